//! Pointers to interpreter structures, with accessors by name.
//!
//! The newtypes are plain addresses: `Copy`, without ownership. Each accessor is `unsafe` and asks for what the type's
//! constructor cannot promise: that the pointer is valid and the thread attached.

use crate::layout;
use pyo3_ffi::{PyObject, PyTypeObject};
use std::ffi::c_int;
use std::marker::PhantomData;

/// Proof that the calling thread is attached to the interpreter (holds the GIL).
#[derive(Clone, Copy)]
pub struct Attached<'py>(PhantomData<*mut &'py ()>);

impl Attached<'_> {
    /// # Safety
    /// The calling thread must be attached for as long as the token is used.
    pub unsafe fn assume() -> Self {
        Attached(PhantomData)
    }

    /// The thread state of the calling thread.
    pub fn thread_state(self) -> ThreadState {
        // SAFETY: an attached thread has a thread state.
        ThreadState(unsafe { pyo3_ffi::PyThreadState_Get() }.cast())
    }
}

macro_rules! structure {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $get:ident $(/ $set:ident)? : $ty:ty = $offset:expr;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(transparent)]
        pub struct $name(pub *mut u8);

        impl $name {
            /// Whether the pointer is NULL.
            pub fn is_null(self) -> bool {
                self.0.is_null()
            }

            $(
                $(#[$field_doc])*
                ///
                /// # Safety
                /// The pointer must be valid and the thread attached.
                #[inline]
                pub unsafe fn $get(self) -> $ty {
                    // SAFETY: the field lies inside the structure, the caller promises that it exists.
                    unsafe { self.0.add($offset).cast::<$ty>().read() }
                }

                $(
                    /// Writes the field that the getter reads.
                    ///
                    /// # Safety
                    /// The pointer must be valid and the thread attached; reference counts are the caller's business.
                    #[inline]
                    pub unsafe fn $set(self, value: $ty) {
                        // SAFETY: as for reading.
                        unsafe { self.0.add($offset).cast::<$ty>().write(value) }
                    }
                )?
            )*
        }
    };
}

structure! {
    /// `_PyInterpreterFrame *`.
    Frame {
        /// Code object (or None), tagged.
        executable / set_executable: StackRef = layout::frame::EXECUTABLE;
        /// The caller's frame.
        previous / set_previous: Frame = layout::frame::PREVIOUS;
        /// Function object, tagged.
        function / set_function: StackRef = layout::frame::FUNCOBJ;
        /// Globals, borrowed.
        globals / set_globals: *mut PyObject = layout::frame::GLOBALS;
        /// Builtins, borrowed.
        builtins / set_builtins: *mut PyObject = layout::frame::BUILTINS;
        /// Locals mapping, owned, NULL for functions.
        locals / set_locals: *mut PyObject = layout::frame::LOCALS;
        /// The frame object, owned, or NULL.
        frame_object / set_frame_object: *mut PyObject = layout::frame::FRAME_OBJ;
        /// Instruction being executed.
        instr_ptr / set_instr_ptr: *mut u16 = layout::frame::INSTR_PTR;
        /// One past the topmost operand; only valid while the frame is not executing.
        stackpointer / set_stackpointer: *mut StackRef = layout::frame::STACKPOINTER;
        /// Code units from the CALL to where the caller goes on.
        return_offset / set_return_offset: u16 = layout::frame::RETURN_OFFSET;
        /// One of `layout::frame::OWNED_BY_*`.
        owner / set_owner: u8 = layout::frame::OWNER;
        /// `visited` (with `lltrace` in debug builds).
        visited / set_visited: u8 = layout::frame::VISITED;
    }
}

impl Frame {
    /// Address of slot `index` of `localsplus`.
    #[inline]
    pub fn slot(self, index: usize) -> *mut StackRef {
        self.0.wrapping_add(layout::frame::LOCALSPLUS + 8 * index).cast()
    }

    /// The frame's code object, borrowed; NULL when it has none (an entry frame).
    ///
    /// # Safety
    /// The frame must be valid and the thread attached.
    pub unsafe fn code(self) -> CodeRef {
        // SAFETY: promised by the caller.
        let object = unsafe { self.executable() }.object();
        if object.is_null() || !is_exactly(object, &raw mut pyo3_ffi::PyCode_Type) {
            return CodeRef(std::ptr::null_mut());
        }
        CodeRef(object.cast())
    }

    /// Code-unit index of the instruction being executed.
    ///
    /// # Safety
    /// As for [`Frame::code`]; the frame must have a code object.
    pub unsafe fn offset(self) -> u32 {
        // SAFETY: promised by the caller; `instr_ptr` points into the code's units.
        unsafe { ((self.instr_ptr() as usize - self.code().units() as usize) / 2) as u32 }
    }
}

structure! {
    /// `PyThreadState *`.
    ThreadState {
        /// The interpreter state.
        interpreter: *mut u8 = layout::thread_state::INTERP;
        /// Pending bits and monitoring version; other threads write it.
        eval_breaker: usize = layout::thread_state::EVAL_BREAKER;
        /// Calls left before RecursionError.
        py_recursion_remaining / set_py_recursion_remaining: c_int = layout::thread_state::PY_RECURSION_REMAINING;
        /// How much of the stack new coroutines note.
        coroutine_origin_tracking_depth: c_int = layout::thread_state::COROUTINE_ORIGIN_TRACKING_DEPTH;
        /// Depth of tracing callbacks.
        tracing / set_tracing: c_int = layout::thread_state::TRACING;
        /// The monitoring event being delivered, -1 if none.
        what_event / set_what_event: c_int = layout::thread_state::WHAT_EVENT;
        /// Innermost frame.
        current_frame / set_current_frame: Frame = layout::thread_state::CURRENT_FRAME;
        /// The exception being raised, owned.
        current_exception / set_current_exception: *mut PyObject = layout::thread_state::CURRENT_EXCEPTION;
        /// The exception being handled: a `_PyErr_StackItem`.
        exc_info / set_exc_info: *mut u8 = layout::thread_state::EXC_INFO;
        /// Free place on the data stack.
        datastack_top / set_datastack_top: *mut u8 = layout::thread_state::DATASTACK_TOP;
        /// End of the current chunk of the data stack.
        datastack_limit: *mut u8 = layout::thread_state::DATASTACK_LIMIT;
        /// Machine stack address below which no call may go.
        c_stack_soft_limit: usize = layout::thread_state::C_STACK_SOFT_LIMIT;
        /// Machine stack address where the stack starts.
        c_stack_top: usize = layout::thread_state::C_STACK_TOP;
    }
}

structure! {
    /// `PyCodeObject *`.
    CodeRef {
        /// Constants tuple.
        consts: *mut PyObject = layout::code::CO_CONSTS;
        /// Names tuple.
        names: *mut PyObject = layout::code::CO_NAMES;
        /// Exception table, bytes.
        exception_table: *mut PyObject = layout::code::CO_EXCEPTIONTABLE;
        /// `co_flags`.
        flags: u32 = layout::code::CO_FLAGS;
        /// Positional parameters.
        argument_count: c_int = layout::code::CO_ARGCOUNT;
        /// Keyword-only parameters.
        keyword_only_count: c_int = layout::code::CO_KWONLYARGCOUNT;
        /// Positional-only parameters, among the positional ones.
        positional_only_count: c_int = layout::code::CO_POSONLYARGCOUNT;
        /// Operand stack size.
        stack_size: c_int = layout::code::CO_STACKSIZE;
        /// First line.
        first_line: c_int = layout::code::CO_FIRSTLINENO;
        /// Locals, cells and free variables.
        slot_count: c_int = layout::code::CO_NLOCALSPLUS;
        /// Size of a frame in words.
        frame_size: c_int = layout::code::CO_FRAMESIZE;
        /// Locals.
        local_count: c_int = layout::code::CO_NLOCALS;
        /// Free variables.
        free_count: c_int = layout::code::CO_NFREEVARS;
        /// The version that `MAKE_FUNCTION` gives to functions made from it.
        version / set_version: u32 = layout::code::CO_VERSION;
        /// Names of the slots.
        slot_names: *mut PyObject = layout::code::CO_LOCALSPLUSNAMES;
        /// Kinds of the slots, bytes.
        slot_kinds: *mut PyObject = layout::code::CO_LOCALSPLUSKINDS;
        /// File name.
        filename: *mut PyObject = layout::code::CO_FILENAME;
        /// Qualified name.
        qualname: *mut PyObject = layout::code::CO_QUALNAME;
        /// Monitoring version it was last instrumented for.
        instrumentation_version: usize = layout::code::CO_INSTRUMENTATION_VERSION;
        /// `_PyCoMonitoringData *`, or NULL.
        monitoring: *mut u8 = layout::code::CO_MONITORING;
        /// Index of the first traceable instruction.
        first_traceable: c_int = layout::code::CO_FIRSTTRACEABLE;
    }
}

impl CodeRef {
    /// Its adaptive code units.
    pub fn units(self) -> *mut u16 {
        self.0.wrapping_add(layout::code::CO_CODE_ADAPTIVE).cast()
    }

    /// Number of code units.
    ///
    /// # Safety
    /// The pointer must be valid and the thread attached.
    pub unsafe fn unit_count(self) -> usize {
        // SAFETY: a code object is a variable-sized object; its size counts code units.
        unsafe { self.0.add(layout::object::OB_SIZE).cast::<isize>().read() as usize }
    }

    /// As an object.
    pub fn object(self) -> *mut PyObject {
        self.0.cast()
    }

    /// Bits of the tools (1 << tool id) with active local or global events in this code, other than `without`.
    ///
    /// # Safety
    /// The pointer must be valid and the thread attached.
    pub unsafe fn active_tools(self, without: u8) -> u8 {
        // SAFETY: the monitoring data, when there, hold one byte of tools per event.
        unsafe {
            let data = self.monitoring();
            if data.is_null() {
                return 0;
            }
            let events = data.add(layout::code::ACTIVE_MONITORS);
            (0..layout::code::MONITORS_SIZE).fold(0, |tools, event| tools | events.add(event).read()) & !without
        }
    }
}

structure! {
    /// `PyFunctionObject *`.
    FunctionRef {
        /// Code object.
        code: CodeRef = layout::function::FUNC_CODE;
        /// Globals.
        globals: *mut PyObject = layout::function::FUNC_GLOBALS;
        /// Builtins.
        builtins: *mut PyObject = layout::function::FUNC_BUILTINS;
        /// Qualified name.
        qualname: *mut PyObject = layout::function::FUNC_QUALNAME;
        /// Tuple of defaults, or NULL.
        defaults: *mut PyObject = layout::function::FUNC_DEFAULTS;
        /// Dict of keyword-only defaults, or NULL.
        keyword_defaults: *mut PyObject = layout::function::FUNC_KWDEFAULTS;
        /// Tuple of cells, or NULL.
        closure: *mut PyObject = layout::function::FUNC_CLOSURE;
        /// Module name.
        module: *mut PyObject = layout::function::FUNC_MODULE;
        /// How C calls it. Written only through `PyFunction_SetVectorcall`.
        vectorcall: Option<pyo3_ffi::vectorcallfunc> = layout::function::VECTORCALL;
        /// Version for call sites; 0 when it has none.
        version: u32 = layout::function::FUNC_VERSION;
    }
}

impl FunctionRef {
    /// As an object.
    pub fn object(self) -> *mut PyObject {
        self.0.cast()
    }
}

structure! {
    /// `PyTypeObject *`.
    TypeRef {
        /// Size of an instance, where inline values start.
        basic_size: isize = layout::type_object::TP_BASICSIZE;
        /// Extra size per item.
        item_size: isize = layout::type_object::TP_ITEMSIZE;
        /// `tp_flags`.
        flags: u64 = layout::type_object::TP_FLAGS;
        /// Version tag, 0 when it has none.
        version: u32 = layout::type_object::TP_VERSION_TAG;
        /// `tp_dict` (NULL for static builtin types in some builds).
        dict: *mut PyObject = layout::type_object::TP_DICT;
        /// Method resolution order.
        mro: *mut PyObject = layout::type_object::TP_MRO;
        /// `tp_new`.
        constructor: *mut u8 = layout::type_object::TP_NEW;
        /// `tp_alloc`.
        alloc: *mut u8 = layout::type_object::TP_ALLOC;
        /// `tp_init`.
        init: *mut u8 = layout::type_object::TP_INIT;
        /// `tp_finalize`.
        finalize: *mut u8 = layout::type_object::TP_FINALIZE;
        /// `tp_del`.
        del: *mut u8 = layout::type_object::TP_DEL;
        /// `tp_dealloc`.
        dealloc: *mut u8 = layout::type_object::TP_DEALLOC;
        /// `tp_getattro`.
        getattro: *mut u8 = layout::type_object::TP_GETATTRO;
        /// `tp_setattro`.
        setattro: *mut u8 = layout::type_object::TP_SETATTRO;
        /// `tp_descr_get`.
        descriptor_get: *mut u8 = layout::type_object::TP_DESCR_GET;
        /// `tp_descr_set`.
        descriptor_set: *mut u8 = layout::type_object::TP_DESCR_SET;
        /// `tp_as_number`.
        as_number: *mut u8 = layout::type_object::TP_AS_NUMBER;
        /// `tp_as_mapping`.
        as_mapping: *mut u8 = layout::type_object::TP_AS_MAPPING;
        /// `tp_as_sequence`.
        as_sequence: *mut u8 = layout::type_object::TP_AS_SEQUENCE;
        /// Bits of the watchers.
        watched: u8 = layout::type_object::TP_WATCHED;
        /// Shared keys of instances (heap types only), or NULL.
        cached_keys: *mut u8 = layout::type_object::HT_CACHED_KEYS;
    }
}

impl TypeRef {
    /// As an object.
    pub fn object(self) -> *mut PyObject {
        self.0.cast()
    }
}

/// `_PyStackRef`: a slot of `localsplus` or of the operand stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct StackRef(pub u64);

impl StackRef {
    /// The empty slot.
    pub const NULL: StackRef = StackRef(layout::stack_ref::NULL);

    /// Takes over one reference. Immortal objects get the tag bit, as the interpreter requires.
    ///
    /// # Safety
    /// `object` must be a valid object.
    pub unsafe fn owned(object: *mut PyObject) -> StackRef {
        // SAFETY: the flags of a valid object are readable.
        let flags = unsafe { object.cast::<u8>().add(layout::object::OB_FLAGS).cast::<u16>().read() };
        StackRef(object as u64 | (u64::from(flags) & layout::stack_ref::TAG_REFCNT))
    }

    /// A reference that owns nothing: the object must outlive the slot's use.
    pub fn borrowed(object: *mut PyObject) -> StackRef {
        StackRef(object as u64 | layout::stack_ref::TAG_REFCNT)
    }

    /// A tagged int: the offset under an exception handler, or the index of a list or tuple loop (3.15).
    pub fn tagged_int(value: i64) -> StackRef {
        StackRef(((value as u64) << 2) | layout::stack_ref::TAG_INT)
    }

    /// Whether the slot is empty.
    pub fn is_null(self) -> bool {
        self == StackRef::NULL
    }

    /// Whether it holds a tagged int.
    pub fn is_tagged_int(self) -> bool {
        self.0 & layout::stack_ref::TAG_BITS == layout::stack_ref::TAG_INT
    }

    /// The tagged int it holds.
    pub fn untag_int(self) -> i64 {
        (self.0 as i64) >> 2
    }

    /// Whether it owns a reference that closing it would give back.
    pub fn owns(self) -> bool {
        self.0 & layout::stack_ref::TAG_REFCNT == 0
    }

    /// The object it refers to; NULL for the empty slot and for a tagged int.
    pub fn object(self) -> *mut PyObject {
        if self.is_tagged_int() {
            return std::ptr::null_mut();
        }
        (self.0 & !layout::stack_ref::TAG_REFCNT) as *mut PyObject
    }
}

/// Whether `object`'s type is exactly `kind`.
pub fn is_exactly(object: *mut PyObject, kind: *mut PyTypeObject) -> bool {
    type_of(object).0 == kind.cast()
}

/// The type of an object.
///
/// The object must be valid; this is not `unsafe` because an invalid object pointer is already a broken promise of
/// whoever made it.
pub fn type_of(object: *mut PyObject) -> TypeRef {
    // SAFETY: a valid object starts with its header.
    TypeRef(unsafe { object.cast::<u8>().add(layout::object::OB_TYPE).cast::<*mut u8>().read() })
}
