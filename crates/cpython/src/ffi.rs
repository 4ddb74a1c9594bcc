//! Functions and data that CPython exports without documenting them, with the signatures of the version in use.
//!
//! Sources are the installed headers of 3.14.10 and 3.15.2, named at each group. Every name here is a dynamic symbol of
//! the interpreters of both versions (release and debug) unless a `cfg` says otherwise; `regen/exports.py` checks that.
//! Pointers to private structures are `*mut u8` wrapped in the newtypes of [`crate::raw`].

use crate::raw::{Frame, StackRef};
use pyo3_ffi::{Py_hash_t, Py_ssize_t, PyObject, PyThreadState, PyTypeObject, vectorcallfunc};
use std::ffi::{c_char, c_int, c_uint, c_void};

/// An unsized piece of data that is only used by address.
#[repr(C)]
pub struct Opaque {
    _data: [u8; 0],
}

/// Callback of `_PyEval_AddPendingCall`: returns -1 with an exception set, or 0.
pub type PendingCall = unsafe extern "C" fn(argument: *mut c_void) -> c_int;
/// Element of [`_PyEval_BinaryOps`], indexed by the operand of `BINARY_OP`.
pub type BinaryFunction = unsafe extern "C" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;
/// Element of [`_PyEval_ConversionFuncs`], indexed by the operand of `CONVERT_VALUE`.
pub type ConversionFunction = unsafe extern "C" fn(*mut PyObject) -> *mut PyObject;

/// Element of [`_PyIntrinsics_UnaryFunctions`] (`pycore_intrinsics.h`). Borrows its argument.
#[repr(C)]
pub struct UnaryIntrinsic {
    /// The function.
    pub function: unsafe extern "C" fn(*mut PyThreadState, *mut PyObject) -> *mut PyObject,
    /// Its name.
    pub name: *const c_char,
}

/// Element of [`_PyIntrinsics_BinaryFunctions`] (`pycore_intrinsics.h`). Borrows its arguments.
#[repr(C)]
pub struct BinaryIntrinsic {
    /// The function; arguments in stack order (deeper one first).
    pub function: unsafe extern "C" fn(*mut PyThreadState, *mut PyObject, *mut PyObject) -> *mut PyObject,
    /// Its name.
    pub name: *const c_char,
}

/// Element of [`_Py_SpecialMethods`] (`pycore_ceval.h`), indexed by the operand of `LOAD_SPECIAL`.
#[repr(C)]
pub struct SpecialMethodInfo {
    /// Interned name, such as `__enter__`.
    pub name: *mut PyObject,
    /// Message of the TypeError, with `%T` for the owner.
    pub error: *const c_char,
    /// The message when the asynchronous or synchronous twin exists.
    pub error_suggestion: *const c_char,
}

/// Dict watcher (`cpython/dictobject.h`): event is one of [`dict_event`].
pub type DictWatcher =
    unsafe extern "C" fn(event: c_int, dict: *mut PyObject, key: *mut PyObject, new_value: *mut PyObject) -> c_int;
/// Type watcher (`cpython/object.h`).
pub type TypeWatcher = unsafe extern "C" fn(kind: *mut PyTypeObject) -> c_int;
/// Function watcher (`cpython/funcobject.h`): event is one of [`function_event`].
pub type FunctionWatcher =
    unsafe extern "C" fn(event: c_int, function: *mut PyObject, new_value: *mut PyObject) -> c_int;
/// Code watcher (`cpython/code.h`): event is one of [`code_event`].
pub type CodeWatcher = unsafe extern "C" fn(event: c_int, code: *mut PyObject) -> c_int;

/// `PyDict_WatchEvent`.
#[allow(missing_docs)]
pub mod dict_event {
    pub const ADDED: i32 = 0;
    pub const MODIFIED: i32 = 1;
    pub const DELETED: i32 = 2;
    pub const CLONED: i32 = 3;
    pub const CLEARED: i32 = 4;
    pub const DEALLOCATED: i32 = 5;
}

/// `PyFunction_WatchEvent`.
#[allow(missing_docs)]
pub mod function_event {
    pub const CREATE: i32 = 0;
    pub const DESTROY: i32 = 1;
    pub const MODIFY_CODE: i32 = 2;
    pub const MODIFY_DEFAULTS: i32 = 3;
    pub const MODIFY_KWDEFAULTS: i32 = 4;
    #[cfg(Py_3_15)]
    pub const MODIFY_QUALNAME: i32 = 5;
}

/// `PyCodeEvent`.
#[allow(missing_docs)]
pub mod code_event {
    pub const CREATE: i32 = 0;
    pub const DESTROY: i32 = 1;
}

#[allow(missing_docs)]
unsafe extern "C" {
    /// Starts with `_Py_DebugOffsets`; see [`crate::layout::runtime`].
    pub static mut _PyRuntime: Opaque;

    // -- Evaluation: cpython/ceval.h, pycore_ceval.h, pycore_interpframe.h
    pub fn _PyEval_EvalFrameDefault(tstate: *mut PyThreadState, frame: Frame, throw: c_int) -> *mut PyObject;
    /// Clears locals and stack of `frame` (which must be the current one or unlinked) and pops it off the data stack.
    pub fn _PyEval_FrameClearAndPop(tstate: *mut PyThreadState, frame: Frame);
    pub fn _PyThreadState_PopFrame(tstate: *mut PyThreadState, frame: Frame);
    /// Consumes the references in `function`, `locals` and `arguments`; NULL with an exception set when binding fails.
    pub fn _PyEvalFramePushAndInit(
        tstate: *mut PyThreadState,
        function: StackRef,
        locals: *mut PyObject,
        arguments: *const StackRef,
        count: usize,
        keyword_names: *mut PyObject,
        previous: Frame,
    ) -> Frame;
    /// `size` in words. NULL (no exception set) when memory is exhausted.
    #[cfg(Py_3_15)]
    pub fn _PyThreadState_PushFrame(tstate: *mut PyThreadState, size: usize) -> Frame;
    #[cfg(Py_3_15)]
    pub fn _PyFrame_MakeAndSetFrameObject(frame: Frame) -> *mut PyObject;
    #[cfg(Py_3_15)]
    pub fn _PyFrame_ClearExceptCode(frame: Frame);
    #[cfg(Py_3_15)]
    pub fn _PyFrame_ClearLocals(frame: Frame);
    #[cfg(Py_3_15)]
    pub fn _PyTraceBack_FromFrame(next: *mut PyObject, frame: *mut PyObject) -> *mut PyObject;
    pub fn _Py_HandlePending(tstate: *mut PyThreadState) -> c_int;
    /// `flags` 0: whichever thread of the interpreter attaches next runs it. Returns 0, or -1 when the queue is full.
    pub fn _PyEval_AddPendingCall(
        interpreter: *mut c_void,
        function: PendingCall,
        argument: *mut c_void,
        flags: c_int,
    ) -> c_int;
    /// The slow path of entering a recursive C call; `text` is appended to the message.
    pub fn _Py_CheckRecursiveCall(tstate: *mut PyThreadState, text: *const c_char) -> c_int;
    #[cfg(Py_3_15)]
    pub fn _Py_CheckRecursiveCallPy(tstate: *mut PyThreadState) -> c_int;
    pub fn _Py_CheckFunctionResult(
        tstate: *mut PyThreadState,
        callable: *mut PyObject,
        result: *mut PyObject,
        text: *const c_char,
    ) -> *mut PyObject;
    pub fn _Py_MakeCoro(function: *mut PyObject) -> *mut PyObject;
    pub static _PyEval_BinaryOps: [BinaryFunction; 0];
    pub static _PyEval_ConversionFuncs: [ConversionFunction; 0];
    pub static _Py_SpecialMethods: [SpecialMethodInfo; 0];
    /// Offsets into the function object of `SET_FUNCTION_ATTRIBUTE`'s operands.
    pub static _Py_FunctionAttributeOffsets: [usize; 0];
    pub static _PyIntrinsics_UnaryFunctions: [UnaryIntrinsic; 0];
    pub static _PyIntrinsics_BinaryFunctions: [BinaryIntrinsic; 0];

    // -- Names and imports: pycore_ceval.h, pycore_dict.h
    /// Needs a frame with locals, globals and builtins. New reference; NameError when there is none.
    pub fn _PyEval_LoadName(tstate: *mut PyThreadState, frame: Frame, name: *mut PyObject) -> *mut PyObject;
    /// Writes [`StackRef::NULL`] with an exception set when it fails.
    pub fn _PyEval_LoadGlobalStackRef(
        globals: *mut PyObject,
        builtins: *mut PyObject,
        name: *mut PyObject,
        result: *mut StackRef,
    );
    #[cfg(not(Py_3_15))]
    pub fn _PyEval_ImportName(
        tstate: *mut PyThreadState,
        frame: Frame,
        name: *mut PyObject,
        from_list: *mut PyObject,
        level: *mut PyObject,
    ) -> *mut PyObject;
    #[cfg(Py_3_15)]
    pub fn _PyEval_ImportName(
        tstate: *mut PyThreadState,
        builtins: *mut PyObject,
        globals: *mut PyObject,
        locals: *mut PyObject,
        name: *mut PyObject,
        from_list: *mut PyObject,
        level: *mut PyObject,
    ) -> *mut PyObject;
    #[cfg(Py_3_15)]
    pub fn _PyEval_LazyImportName(
        tstate: *mut PyThreadState,
        builtins: *mut PyObject,
        globals: *mut PyObject,
        locals: *mut PyObject,
        name: *mut PyObject,
        from_list: *mut PyObject,
        level: *mut PyObject,
        lazy: c_int,
    ) -> *mut PyObject;
    pub fn _PyEval_ImportFrom(tstate: *mut PyThreadState, module: *mut PyObject, name: *mut PyObject) -> *mut PyObject;
    #[cfg(Py_3_15)]
    pub fn _PyEval_LazyImportFrom(
        tstate: *mut PyThreadState,
        frame: Frame,
        module: *mut PyObject,
        name: *mut PyObject,
    ) -> *mut PyObject;
    pub fn _PyEval_GetBuiltin(name: *mut PyObject) -> *mut PyObject;
    /// The type of a not yet resolved lazy import; globals may hold one (PEP 810).
    #[cfg(Py_3_15)]
    pub static mut PyLazyImport_Type: PyTypeObject;

    // -- Matching, unpacking, exceptions: pycore_ceval.h
    /// Tuple of values, `None` when a key is missing, NULL on error.
    pub fn _PyEval_MatchKeys(tstate: *mut PyThreadState, map: *mut PyObject, keys: *mut PyObject) -> *mut PyObject;
    /// Tuple of attributes; NULL without an exception: no match.
    pub fn _PyEval_MatchClass(
        tstate: *mut PyThreadState,
        subject: *mut PyObject,
        class: *mut PyObject,
        positional: Py_ssize_t,
        keyword_names: *mut PyObject,
    ) -> *mut PyObject;
    /// Writes the items downwards from `sp` (one past the topmost slot to fill): the first item ends up topmost. `after` is -1 without a star. 1 on
    /// success, 0 with an exception.
    pub fn _PyEval_UnpackIterableStackRef(
        tstate: *mut PyThreadState,
        iterable: *mut PyObject,
        count: c_int,
        after: c_int,
        sp: *mut StackRef,
    ) -> c_int;
    pub fn _PyEval_CheckExceptTypeValid(tstate: *mut PyThreadState, right: *mut PyObject) -> c_int;
    pub fn _PyEval_CheckExceptStarTypeValid(tstate: *mut PyThreadState, right: *mut PyObject) -> c_int;
    pub fn _PyEval_ExceptionGroupMatch(
        frame: Frame,
        value: *mut PyObject,
        match_type: *mut PyObject,
        matched: *mut *mut PyObject,
        rest: *mut *mut PyObject,
    ) -> c_int;
    /// Sets `exception` with `format` (one `%.200s`) and, for NameError, its `name`.
    pub fn _PyEval_FormatExcCheckArg(
        tstate: *mut PyThreadState,
        exception: *mut PyObject,
        format: *const c_char,
        name: *mut PyObject,
    );
    /// NameError or UnboundLocalError of a cell or free variable.
    pub fn _PyEval_FormatExcUnbound(tstate: *mut PyThreadState, code: *mut PyObject, slot: c_int);
    #[cfg(not(Py_3_15))]
    pub fn _PyEval_FormatKwargsError(tstate: *mut PyThreadState, function: *mut PyObject, kwargs: *mut PyObject);
    #[cfg(Py_3_15)]
    pub fn _PyEval_FormatKwargsError(
        tstate: *mut PyThreadState,
        function: *mut PyObject,
        kwargs: *mut PyObject,
        duplicate: *mut PyObject,
    );
    pub fn _PyEval_FormatAwaitableError(tstate: *mut PyThreadState, kind: *mut PyTypeObject, argument: c_int);
    pub fn _PyEval_MonitorRaise(tstate: *mut PyThreadState, frame: Frame, instruction: *mut u16);
    #[cfg(not(Py_3_15))]
    pub fn _PyEval_NoToolsForUnwind(tstate: *mut PyThreadState) -> bool;
    #[cfg(Py_3_15)]
    pub fn _PyEval_NoToolsForUnwind(tstate: *mut PyThreadState, frame: Frame) -> bool;
    pub fn _Py_Check_ArgsIterable(
        tstate: *mut PyThreadState,
        function: *mut PyObject,
        arguments: *mut PyObject,
    ) -> c_int;
    pub fn _PyEval_SpecialMethodCanSuggest(owner: *mut PyObject, argument: c_int) -> c_int;
    pub fn _PyEval_GetANext(iterator: *mut PyObject) -> *mut PyObject;
    pub fn _PyEval_GetAwaitable(iterable: *mut PyObject, argument: c_int) -> *mut PyObject;
    pub fn PyUnstable_Exc_PrepReraiseStar(original: *mut PyObject, exceptions: *mut PyObject) -> *mut PyObject;

    // -- Generators: pycore_genobject.h
    pub fn _PyGen_SetStopIterationValue(value: *mut PyObject) -> c_int;
    pub fn _PyGen_FetchStopIterationValue(value: *mut *mut PyObject) -> c_int;

    // -- Errors: pycore_pyerrors.h
    pub fn _PyErr_GetRaisedException(tstate: *mut PyThreadState) -> *mut PyObject;
    pub fn _PyErr_SetRaisedException(tstate: *mut PyThreadState, exception: *mut PyObject);
    pub fn _PyErr_ExceptionMatches(tstate: *mut PyThreadState, exception: *mut PyObject) -> c_int;
    pub fn _PyErr_Clear(tstate: *mut PyThreadState);
    pub fn _PyErr_SetString(tstate: *mut PyThreadState, exception: *mut PyObject, text: *const c_char);
    pub fn _PyErr_SetKeyError(key: *mut PyObject);
    pub fn _PyErr_Format(
        tstate: *mut PyThreadState,
        exception: *mut PyObject,
        format: *const c_char,
        ...
    ) -> *mut PyObject;

    // -- Attributes and types: pycore_object.h, pycore_typeobject.h, cpython/object.h
    /// 1 and the function (new reference) when `object.name` is a method to be called with `object` as first argument;
    /// 0 and the attribute (NULL with an exception on error) otherwise.
    pub fn _PyObject_GetMethod(object: *mut PyObject, name: *mut PyObject, method: *mut *mut PyObject) -> c_int;
    /// `[0]` NULL on entry, `[1]` the owner (consumed or kept as self): fills (method, self or NULL). 1, 0 if missing, -1.
    pub fn _PyObject_LookupSpecialMethod(name: *mut PyObject, method_and_self: *mut StackRef) -> c_int;
    /// Borrowed reference, no exception when missing.
    pub fn _PyType_Lookup(kind: *mut PyTypeObject, name: *mut PyObject) -> *mut PyObject;
    /// New reference, no exception when missing.
    pub fn _PyType_LookupRef(kind: *mut PyTypeObject, name: *mut PyObject) -> *mut PyObject;
    /// `meth_found` may be NULL; else 1 is stored when the result is an unbound method.
    pub fn _PySuper_Lookup(
        class: *mut PyTypeObject,
        object: *mut PyObject,
        name: *mut PyObject,
        meth_found: *mut c_int,
    ) -> *mut PyObject;
    pub fn PyUnstable_Type_AssignVersionTag(kind: *mut PyTypeObject) -> c_int;
    pub fn PyType_GetDict(kind: *mut PyTypeObject) -> *mut PyObject;
    pub fn _PyType_NewManagedObject(kind: *mut PyTypeObject) -> *mut PyObject;
    /// Makes a call through `tp_call` of a callable without vectorcall.
    pub fn _PyObject_MakeTpCall(
        tstate: *mut PyThreadState,
        callable: *mut PyObject,
        arguments: *const *mut PyObject,
        count: Py_ssize_t,
        keywords: *mut PyObject,
    ) -> *mut PyObject;

    pub static mut PyTupleIter_Type: PyTypeObject;
    pub static mut PyProperty_Type: PyTypeObject;
    pub static mut PyMethod_Type: PyTypeObject;

    // -- Functions and code: cpython/funcobject.h, pycore_function.h, cpython/code.h
    pub fn PyFunction_New(code: *mut PyObject, globals: *mut PyObject) -> *mut PyObject;
    /// Also clears the function's version.
    pub fn PyFunction_SetVectorcall(function: *mut PyObject, vectorcall: vectorcallfunc);
    pub fn _PyFunction_SetVersion(function: *mut PyObject, version: u32);
    #[cfg(Py_3_15)]
    pub fn _PyFunction_Vectorcall(
        function: *mut PyObject,
        arguments: *const *mut PyObject,
        count: usize,
        keyword_names: *mut PyObject,
    ) -> *mut PyObject;
    pub fn PyUnstable_WritePerfMapEntry(address: *const c_void, size: c_uint, name: *const c_char) -> c_int;
    /// New reference: `co_code`.
    pub fn PyCode_GetCode(code: *mut PyObject) -> *mut PyObject;
    pub fn PyUnstable_Code_SetExtra(code: *mut PyObject, index: Py_ssize_t, extra: *mut c_void) -> c_int;
    pub fn PyUnstable_Code_GetExtra(code: *mut PyObject, index: Py_ssize_t, extra: *mut *mut c_void) -> c_int;
    pub fn PyUnstable_GC_VisitObjects(
        callback: unsafe extern "C" fn(*mut PyObject, *mut c_void) -> c_int,
        argument: *mut c_void,
    );

    // -- Watchers: cpython/dictobject.h, cpython/object.h, cpython/funcobject.h, cpython/code.h
    pub fn PyDict_AddWatcher(callback: DictWatcher) -> c_int;
    pub fn PyDict_ClearWatcher(id: c_int) -> c_int;
    pub fn PyDict_Watch(id: c_int, dict: *mut PyObject) -> c_int;
    pub fn PyDict_Unwatch(id: c_int, dict: *mut PyObject) -> c_int;
    pub fn PyType_AddWatcher(callback: TypeWatcher) -> c_int;
    pub fn PyType_ClearWatcher(id: c_int) -> c_int;
    pub fn PyType_Watch(id: c_int, kind: *mut PyObject) -> c_int;
    pub fn PyType_Unwatch(id: c_int, kind: *mut PyObject) -> c_int;
    pub fn PyFunction_AddWatcher(callback: FunctionWatcher) -> c_int;
    pub fn PyFunction_ClearWatcher(id: c_int) -> c_int;
    pub fn PyCode_AddWatcher(callback: CodeWatcher) -> c_int;
    pub fn PyCode_ClearWatcher(id: c_int) -> c_int;

    // -- Containers: cpython/dictobject.h and the pycore headers of the types
    /// Borrowed reference; NULL with or without an exception.
    pub fn _PyDict_GetItem_KnownHash(dict: *mut PyObject, key: *mut PyObject, hash: Py_hash_t) -> *mut PyObject;
    pub fn _PyDict_SetItem_KnownHash(
        dict: *mut PyObject,
        key: *mut PyObject,
        value: *mut PyObject,
        hash: Py_hash_t,
    ) -> c_int;
    pub fn _PyDict_DelItem_KnownHash(dict: *mut PyObject, key: *mut PyObject, hash: Py_hash_t) -> c_int;
    /// Steals key and value.
    pub fn _PyDict_SetItem_Take2(dict: *mut PyObject, key: *mut PyObject, value: *mut PyObject) -> c_int;
    /// Offsets are distances in the arrays (1, or 2 when keys and values alternate). Borrows.
    pub fn _PyDict_FromItems(
        keys: *const *mut PyObject,
        keys_offset: Py_ssize_t,
        values: *const *mut PyObject,
        values_offset: Py_ssize_t,
        count: Py_ssize_t,
    ) -> *mut PyObject;
    pub fn _PyDict_NewPresized(count: Py_ssize_t) -> *mut PyObject;
    /// `override_`: 0 keeps, 1 replaces, 2 raises KeyError on duplicates.
    #[cfg(not(Py_3_15))]
    pub fn _PyDict_MergeEx(dict: *mut PyObject, other: *mut PyObject, override_: c_int) -> c_int;
    /// None on success.
    pub fn _PyList_Extend(list: *mut PyObject, iterable: *mut PyObject) -> *mut PyObject;
    /// Steals `item`; grows the list.
    pub fn _PyList_AppendTakeRefListResize(list: *mut PyObject, item: *mut PyObject) -> c_int;
    pub fn _PyList_FromStackRefStealOnSuccess(items: *const StackRef, count: Py_ssize_t) -> *mut PyObject;
    pub fn _PyTuple_FromStackRefStealOnSuccess(items: *const StackRef, count: Py_ssize_t) -> *mut PyObject;
    /// Steals the items even when it fails.
    pub fn _PyTuple_FromArraySteal(items: *const *mut PyObject, count: Py_ssize_t) -> *mut PyObject;
    pub fn _PySet_Update(set: *mut PyObject, iterable: *mut PyObject) -> c_int;
    /// Steals `key`.
    pub fn _PySet_AddTakeRef(set: *mut PyObject, key: *mut PyObject) -> c_int;
    pub fn _PySet_Contains(set: *mut PyObject, key: *mut PyObject) -> c_int;
    /// Borrows the items.
    pub fn _PyUnicode_JoinArray(
        separator: *mut PyObject,
        items: *const *mut PyObject,
        count: Py_ssize_t,
    ) -> *mut PyObject;
    pub fn _PyUnicode_Equal(left: *mut PyObject, right: *mut PyObject) -> c_int;
    pub fn _PyUnicode_ExactDealloc(object: *mut PyObject);
    pub fn _PyFloat_ExactDealloc(object: *mut PyObject);
    pub fn _PyLong_ExactDealloc(object: *mut PyObject);
    #[cfg(not(Py_3_15))]
    pub fn _PyLong_Add(left: *mut PyObject, right: *mut PyObject) -> *mut PyObject;
    #[cfg(not(Py_3_15))]
    pub fn _PyLong_Subtract(left: *mut PyObject, right: *mut PyObject) -> *mut PyObject;
    #[cfg(not(Py_3_15))]
    pub fn _PyLong_Multiply(left: *mut PyObject, right: *mut PyObject) -> *mut PyObject;

    // -- Templates (PEP 750): pycore_template.h, pycore_interpolation.h
    pub fn _PyTemplate_Build(strings: *mut PyObject, interpolations: *mut PyObject) -> *mut PyObject;
    pub fn _PyInterpolation_Build(
        value: *mut PyObject,
        text: *mut PyObject,
        conversion: c_int,
        format: *mut PyObject,
    ) -> *mut PyObject;

    // -- Reference counts: refcount.h
    pub fn _Py_Dealloc(object: *mut PyObject);
    pub fn _Py_IncRef(object: *mut PyObject);
    pub fn _Py_DecRef(object: *mut PyObject);
    /// Sets the count of a new object to one (and registers it in debug builds).
    pub fn _Py_NewReference(object: *mut PyObject);
}
