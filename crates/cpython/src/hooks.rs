//! The interpreter's hooks: monitoring, vectorcall doors, watchers, pending calls, and methods under other functions.
//!
//! Everything that is taken here can be given back. Nothing here decides when to use a hook.

use crate::layout;
use crate::raw::{Attached, CodeRef, FunctionRef, TypeRef, is_exactly};
use crate::{ffi, text};
use pyo3_ffi::{Py_ssize_t, PyMethodDef, PyMethodDefPointer, PyObject, vectorcallfunc};
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

/// `sys.monitoring.OPTIMIZER_ID`.
pub const TOOL_ID: i32 = 5;

/// `sys.monitoring.events`: the same in both versions.
#[allow(missing_docs)]
pub mod event {
    pub const PY_START: u32 = 1;
    pub const PY_RESUME: u32 = 2;
    pub const CALL: u32 = 16;
    pub const JUMP: u32 = 128;
}

/// A builtin called as `METH_FASTCALL`.
pub type FastCallback = unsafe extern "C" fn(*mut PyObject, *mut *mut PyObject, Py_ssize_t) -> *mut PyObject;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The message of the exception that is set, which is cleared.
fn take_error() -> String {
    // SAFETY: callers are attached and an exception is set; `str` of CPython's own exceptions runs no foreign code.
    unsafe {
        let exception = pyo3_ffi::PyErr_GetRaisedException();
        if exception.is_null() {
            return "unknown error".into();
        }
        let shown = pyo3_ffi::PyObject_Str(exception);
        let text = text::to_string(shown).unwrap_or_default();
        pyo3_ffi::Py_XDECREF(shown);
        pyo3_ffi::Py_DECREF(exception);
        pyo3_ffi::PyErr_Clear();
        text
    }
}

/// A builtin function object around `function`. New reference. The method definition is never freed.
pub fn make_builtin(_py: Attached, name: &'static CStr, function: FastCallback) -> Option<*mut PyObject> {
    let definition = Box::leak(Box::new(PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: PyMethodDefPointer { PyCFunctionFast: function },
        ml_flags: pyo3_ffi::METH_FASTCALL,
        ml_doc: std::ptr::null(),
    }));
    // SAFETY: the definition lives forever.
    let object = unsafe { pyo3_ffi::PyCFunction_NewEx(definition, std::ptr::null_mut(), std::ptr::null_mut()) };
    if object.is_null() {
        take_error();
        return None;
    }
    Some(object)
}

/// Our tool id in `sys.monitoring`. Give it back with [`Monitoring::release`].
pub struct Monitoring {
    module: *mut PyObject,
    set_local_events: *mut PyObject,
}

// SAFETY: the pointers are only used with an attached thread.
unsafe impl Send for Monitoring {}

impl Monitoring {
    /// Takes the optimizer's tool id; the error names who has it.
    pub fn acquire(_py: Attached) -> Result<Monitoring, String> {
        // SAFETY: borrowed and new references are used as documented.
        unsafe {
            let module = pyo3_ffi::PySys_GetObject(c"monitoring".as_ptr());
            if module.is_null() {
                return Err("sys.monitoring is missing".into());
            }
            let result = pyo3_ffi::PyObject_CallMethod(
                module,
                c"use_tool_id".as_ptr(),
                c"is".as_ptr(),
                TOOL_ID,
                c"coluber".as_ptr(),
            );
            if result.is_null() {
                take_error();
                let owner = pyo3_ffi::PyObject_CallMethod(module, c"get_tool".as_ptr(), c"i".as_ptr(), TOOL_ID);
                let name = text::to_string(owner).unwrap_or_else(|| "another tool".into());
                pyo3_ffi::Py_XDECREF(owner);
                pyo3_ffi::PyErr_Clear();
                return Err(format!("sys.monitoring.OPTIMIZER_ID is in use by {name}"));
            }
            pyo3_ffi::Py_DECREF(result);
            let set_local_events = pyo3_ffi::PyObject_GetAttrString(module, c"set_local_events".as_ptr());
            if set_local_events.is_null() {
                return Err(take_error());
            }
            pyo3_ffi::Py_INCREF(module);
            Ok(Monitoring { module, set_local_events })
        }
    }

    /// Registers the callable for one event; `None` unregisters.
    pub fn register(&self, _py: Attached, event: u32, callback: Option<*mut PyObject>) -> Result<(), String> {
        // SAFETY: the module is owned, the callback valid.
        unsafe {
            let callback = callback.unwrap_or_else(|| pyo3_ffi::Py_None());
            let result = pyo3_ffi::PyObject_CallMethod(
                self.module,
                c"register_callback".as_ptr(),
                c"iIO".as_ptr(),
                TOOL_ID,
                event,
                callback,
            );
            if result.is_null() {
                return Err(take_error());
            }
            pyo3_ffi::Py_DECREF(result);
            Ok(())
        }
    }

    /// Sets our local events of a code object; 0 gives them all back.
    pub fn set_local_events(&self, _py: Attached, code: CodeRef, events: u32) -> Result<(), String> {
        // SAFETY: three new or borrowed references for a vectorcall.
        unsafe {
            let tool = layout::small_int(i64::from(TOOL_ID)).expect("a cached int");
            let events = pyo3_ffi::PyLong_FromUnsignedLongLong(u64::from(events));
            if events.is_null() {
                return Err(take_error());
            }
            let arguments = [tool, code.object(), events];
            let result =
                pyo3_ffi::PyObject_Vectorcall(self.set_local_events, arguments.as_ptr(), 3, std::ptr::null_mut());
            pyo3_ffi::Py_DECREF(events);
            if result.is_null() {
                return Err(take_error());
            }
            pyo3_ffi::Py_DECREF(result);
            Ok(())
        }
    }

    /// `sys.monitoring.DISABLE`, borrowed: what a callback returns to silence its location.
    pub fn disable_marker(&self, _py: Attached) -> Option<*mut PyObject> {
        // SAFETY: the marker is immortal, so the reference may be given back at once.
        unsafe {
            let marker = pyo3_ffi::PyObject_GetAttrString(self.module, c"DISABLE".as_ptr());
            if marker.is_null() {
                take_error();
                return None;
            }
            pyo3_ffi::Py_DECREF(marker);
            Some(marker)
        }
    }

    /// Gives the tool id back (callbacks and events of it end).
    pub fn release(self, _py: Attached) {
        // SAFETY: both references are owned.
        unsafe {
            for method in [c"clear_tool_id", c"free_tool_id"] {
                let result = pyo3_ffi::PyObject_CallMethod(self.module, method.as_ptr(), c"i".as_ptr(), TOOL_ID);
                if result.is_null() {
                    take_error();
                } else {
                    pyo3_ffi::Py_DECREF(result);
                }
            }
            pyo3_ffi::Py_DECREF(self.set_local_events);
            pyo3_ffi::Py_DECREF(self.module);
        }
    }
}

/// A tool id that nobody uses, listening to the jumps of one code object and hearing nothing; given back when dropped.
pub struct SecondTool {
    code: CodeRef,
    tool: c_int,
}

impl SecondTool {
    /// Begins to listen; `None` if there is no free id.
    pub fn listen(_py: Attached, code: CodeRef) -> Option<SecondTool> {
        let tool = (0..TOOL_ID).find(|tool| SecondTool::call(c"use_tool_id", c"is", *tool, c"coluber".as_ptr()))?;
        let second = SecondTool { code, tool };
        second.set_events(event::JUMP);
        Some(second)
    }

    /// Calls a function of `sys.monitoring` with one argument or two; false if it raised.
    fn call<T>(function: &CStr, format: &CStr, tool: c_int, argument: T) -> bool {
        // SAFETY: attached, as the callers are; the format fits the arguments.
        unsafe {
            let function = text::attribute(pyo3_ffi::PySys_GetObject(c"monitoring".as_ptr()), function);
            let result = match function.is_null() {
                true => function,
                false => pyo3_ffi::PyObject_CallFunction(function, format.as_ptr(), tool, argument),
            };
            pyo3_ffi::Py_XDECREF(function);
            if result.is_null() {
                take_error();
                return false;
            }
            pyo3_ffi::Py_DECREF(result);
            true
        }
    }

    fn set_events(&self, events: u32) {
        // SAFETY: as in `call`.
        unsafe {
            let function = text::attribute(pyo3_ffi::PySys_GetObject(c"monitoring".as_ptr()), c"set_local_events");
            let code = self.code.object();
            let result = match function.is_null() {
                true => function,
                false => pyo3_ffi::PyObject_CallFunction(function, c"iOI".as_ptr(), self.tool, code, events),
            };
            pyo3_ffi::Py_XDECREF(function);
            if result.is_null() { drop(take_error()) } else { pyo3_ffi::Py_DECREF(result) }
        }
    }
}

impl Drop for SecondTool {
    fn drop(&mut self) {
        self.set_events(0);
        SecondTool::call(c"free_tool_id", c"i", self.tool, 0);
    }
}

/// Lets other tools see events during a monitoring callback: the interpreter marks the thread as tracing meanwhile.
pub struct CallbackScope {
    state: crate::raw::ThreadState,
    tracing: c_int,
    what_event: c_int,
}

impl CallbackScope {
    /// Clears the marks until the scope is dropped.
    pub fn enter(py: Attached) -> Self {
        let state = py.thread_state();
        // SAFETY: an attached thread has a thread state.
        unsafe {
            let scope = CallbackScope { state, tracing: state.tracing(), what_event: state.what_event() };
            state.set_tracing(0);
            state.set_what_event(-1);
            scope
        }
    }
}

impl Drop for CallbackScope {
    fn drop(&mut self) {
        // SAFETY: the scope does not outlive the callback.
        unsafe {
            self.state.set_tracing(self.tracing);
            self.state.set_what_event(self.what_event);
        }
    }
}

/// Versions that doors have taken.
#[derive(Default)]
struct DoorTable {
    /// Function by the version it had.
    functions: HashMap<u32, usize>,
    /// By code object: the version it had and how many doors took it.
    codes: HashMap<usize, (u32, usize)>,
}

static DOORS: OnceLock<Mutex<DoorTable>> = OnceLock::new();

fn doors() -> MutexGuard<'static, DoorTable> {
    lock(DOORS.get_or_init(Mutex::default))
}

/// An open vectorcall door: calls of the function go to us. Holds the function and its code.
#[derive(Debug)]
pub struct Door {
    function: FunctionRef,
    code: CodeRef,
    original: Option<vectorcallfunc>,
    version: u32,
    takes_code_version: bool,
}

// SAFETY: the pointers are only used with an attached thread.
unsafe impl Send for Door {}

/// Versions below this mean "never had one" (0) and "lost it" (1).
const FIRST_VALID_VERSION: u32 = 2;

impl Door {
    /// Opens a door. With `takes_code_version`, functions made from the same code while it is open get no version, so that
    /// a warm call site asks for their vectorcall (needed for closures).
    pub fn open(_py: Attached, function: FunctionRef, entry: vectorcallfunc, takes_code_version: bool) -> Door {
        // SAFETY: the function is valid.
        unsafe {
            let code = function.code();
            pyo3_ffi::Py_INCREF(function.object());
            pyo3_ffi::Py_INCREF(code.object());
            let door = Door {
                function,
                code,
                original: function.vectorcall(),
                version: function.version(),
                takes_code_version,
            };
            let mut table = doors();
            if door.version >= FIRST_VALID_VERSION {
                table.functions.insert(door.version, function.0 as usize);
            }
            if takes_code_version {
                let taken = table.codes.entry(code.0 as usize).or_insert((code.version(), 0));
                taken.1 += 1;
                code.set_version(0);
            }
            drop(table);
            ffi::PyFunction_SetVectorcall(function.object(), entry);
            door
        }
    }

    /// The function behind it.
    pub fn function(&self) -> FunctionRef {
        self.function
    }

    /// The version the function had: what call sites still hold.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The function changed (code or defaults): call sites that hold its old version must never hit again.
    pub fn forget_version(&mut self) {
        doors().functions.remove(&self.version);
        self.version = 0;
    }

    /// Closes the door: the function is called as before, and call sites that know its version find it again.
    pub fn close(self, _py: Attached) {
        // SAFETY: the door owns references to both.
        unsafe {
            let mut table = doors();
            if table.functions.get(&self.version) == Some(&(self.function.0 as usize)) {
                table.functions.remove(&self.version);
            }
            if self.takes_code_version
                && let Some(taken) = table.codes.get_mut(&(self.code.0 as usize))
            {
                taken.1 -= 1;
                if taken.1 == 0 {
                    self.code.set_version(taken.0);
                    table.codes.remove(&(self.code.0 as usize));
                }
            }
            drop(table);
            if let Some(original) = self.original {
                ffi::PyFunction_SetVectorcall(self.function.object(), original);
            }
            if self.version >= FIRST_VALID_VERSION && self.function.code() == self.code {
                // `_PyFunction_SetVersion` wants a function that never had one.
                self.function.0.add(layout::function::FUNC_VERSION).cast::<u32>().write(0);
                ffi::_PyFunction_SetVersion(self.function.object(), self.version);
            }
            pyo3_ffi::Py_DECREF(self.function.object());
            pyo3_ffi::Py_DECREF(self.code.object());
        }
    }
}

/// The function whose version a door has taken: the finder that [`crate::snapshot::Request`] asks for.
pub fn function_behind_door(version: u32) -> Option<*mut PyObject> {
    doors().functions.get(&version).map(|function| *function as *mut PyObject)
}

/// Whether `tracemalloc` traces allocations.
pub fn is_tracing_memory(_py: Attached) -> bool {
    // SAFETY: attached; new references are given back.
    unsafe {
        let module = pyo3_ffi::PyImport_ImportModule(c"_tracemalloc".as_ptr());
        let answer = match module.is_null() {
            true => std::ptr::null_mut(),
            false => pyo3_ffi::PyObject_CallMethod(module, c"is_tracing".as_ptr(), std::ptr::null()),
        };
        let is_tracing = answer == pyo3_ffi::Py_True();
        if answer.is_null() {
            take_error();
        }
        pyo3_ffi::Py_XDECREF(answer);
        pyo3_ffi::Py_XDECREF(module);
        is_tracing
    }
}

/// Whether somebody evaluates frames in the interpreter's place (PEP 523).
pub fn has_frame_evaluator(py: Attached) -> bool {
    // SAFETY: a field of the interpreter state.
    unsafe { py.thread_state().interpreter().add(layout::interpreter_state::EVAL_FRAME).cast::<usize>().read() != 0 }
}

/// The vectorcall that every function starts with, taken from a fresh one.
pub fn default_vectorcall(_py: Attached) -> Option<vectorcallfunc> {
    // SAFETY: new references that are given back.
    unsafe {
        let code = pyo3_ffi::PyCode_NewEmpty(c"".as_ptr(), c"".as_ptr(), 1).cast::<PyObject>();
        let globals = pyo3_ffi::PyDict_New();
        if code.is_null() || globals.is_null() {
            take_error();
            return None;
        }
        let function = ffi::PyFunction_New(code, globals);
        let found = if function.is_null() { None } else { FunctionRef(function.cast()).vectorcall() };
        pyo3_ffi::Py_XDECREF(function);
        pyo3_ffi::Py_DECREF(globals);
        pyo3_ffi::Py_DECREF(code);
        found
    }
}

/// What is called when something watched changes. All run attached, in the middle of somebody's operation: they must not
/// run Python code, and must not fail.
#[derive(Clone, Copy)]
pub struct WatchCallbacks {
    /// A watched dict is about to change; `event` is one of [`ffi::dict_event`]. The key is NULL for CLONED, CLEARED and
    /// DEALLOCATED.
    pub dict: fn(event: i32, dict: *mut PyObject, key: *mut PyObject, value: *mut PyObject),
    /// A watched type was modified: its version tag is gone, and it is not watched again before it has a new one.
    pub class: fn(class: TypeRef),
    /// Any function is created, changed or destroyed; `event` is one of [`ffi::function_event`].
    pub function: fn(event: i32, function: FunctionRef),
    /// Any code object is created or destroyed; `event` is one of [`ffi::code_event`].
    pub code: fn(event: i32, code: CodeRef),
}

/// Points to leaked callbacks, or NULL. No lock: function creation goes through here.
static CALLBACKS: AtomicPtr<WatchCallbacks> = AtomicPtr::new(std::ptr::null_mut());

fn callbacks() -> Option<WatchCallbacks> {
    // SAFETY: what was stored is never freed.
    unsafe { CALLBACKS.load(Ordering::Acquire).as_ref() }.copied()
}

unsafe extern "C" fn on_dict(event: c_int, dict: *mut PyObject, key: *mut PyObject, value: *mut PyObject) -> c_int {
    if let Some(callbacks) = callbacks() {
        (callbacks.dict)(event, dict, key, value);
    }
    0
}

unsafe extern "C" fn on_class(class: *mut pyo3_ffi::PyTypeObject) -> c_int {
    if let Some(callbacks) = callbacks() {
        (callbacks.class)(TypeRef(class.cast()));
    }
    0
}

unsafe extern "C" fn on_function(event: c_int, function: *mut PyObject, _value: *mut PyObject) -> c_int {
    if let Some(callbacks) = callbacks() {
        (callbacks.function)(event, FunctionRef(function.cast()));
    }
    0
}

unsafe extern "C" fn on_code(event: c_int, code: *mut PyObject) -> c_int {
    if let Some(callbacks) = callbacks() {
        (callbacks.code)(event, CodeRef(code.cast()));
    }
    0
}

/// Bits of the dict watchers (low byte of `_ma_watcher_tag`) that are not ours.
static FOREIGN_DICT_WATCHERS: AtomicU64 = AtomicU64::new(0xff);

/// Address of the word with [`FOREIGN_DICT_WATCHERS`].
pub fn foreign_dict_watchers() -> u64 {
    FOREIGN_DICT_WATCHERS.as_ptr() as u64
}

/// Our watcher ids. Give them back with [`Watchers::release`].
#[derive(Debug)]
pub struct Watchers {
    dict: c_int,
    class: c_int,
    function: c_int,
    code: c_int,
}

impl Watchers {
    /// Takes one id of each sort; the error says which is used up.
    pub fn acquire(py: Attached, callbacks: WatchCallbacks) -> Result<Watchers, String> {
        CALLBACKS.store(Box::leak(Box::new(callbacks)), Ordering::Release);
        // SAFETY: the callbacks are functions of this library, which is never unloaded.
        let watchers = unsafe {
            Watchers {
                dict: ffi::PyDict_AddWatcher(on_dict),
                class: ffi::PyType_AddWatcher(on_class),
                function: ffi::PyFunction_AddWatcher(on_function),
                code: ffi::PyCode_AddWatcher(on_code),
            }
        };
        let ids = [
            (watchers.dict, "dict"),
            (watchers.class, "type"),
            (watchers.function, "function"),
            (watchers.code, "code"),
        ];
        if let Some((_, sort)) = ids.into_iter().find(|(id, _)| *id < 0) {
            take_error();
            watchers.release(py);
            return Err(format!("all {sort} watcher ids are in use"));
        }
        FOREIGN_DICT_WATCHERS.store(0xff & !(1 << watchers.dict), Ordering::Relaxed);
        Ok(watchers)
    }

    /// Watches a dict. False when it cannot be.
    ///
    /// # Safety
    /// `dict` must be a valid dict.
    pub unsafe fn watch_dict(&self, _py: Attached, dict: *mut PyObject) -> bool {
        // SAFETY: promised by the caller.
        let done = unsafe { ffi::PyDict_Watch(self.dict, dict) } == 0;
        if !done {
            take_error();
        }
        done
    }

    /// Ends watching a dict.
    ///
    /// # Safety
    /// `dict` must be a valid dict.
    pub unsafe fn unwatch_dict(&self, _py: Attached, dict: *mut PyObject) {
        // SAFETY: promised by the caller.
        if unsafe { ffi::PyDict_Unwatch(self.dict, dict) } != 0 {
            take_error();
        }
    }

    /// Watches a class and makes sure that it has a version, without which the watcher would not fire. False when it has
    /// used up its versions.
    pub fn watch_class(&self, _py: Attached, class: TypeRef) -> bool {
        // SAFETY: the class is valid.
        unsafe {
            if ffi::PyUnstable_Type_AssignVersionTag(class.0.cast()) == 0 || class.version() == 0 {
                return false;
            }
            let done = ffi::PyType_Watch(self.class, class.object()) == 0;
            if !done {
                take_error();
            }
            done
        }
    }

    /// Gives the ids back.
    pub fn release(self, _py: Attached) {
        // SAFETY: ids below 0 were never taken.
        unsafe {
            let all: [(c_int, unsafe extern "C" fn(c_int) -> c_int); 4] = [
                (self.dict, ffi::PyDict_ClearWatcher),
                (self.class, ffi::PyType_ClearWatcher),
                (self.function, ffi::PyFunction_ClearWatcher),
                (self.code, ffi::PyCode_ClearWatcher),
            ];
            for (id, clear) in all {
                if id >= 0 && clear(id) != 0 {
                    take_error();
                }
            }
        }
        CALLBACKS.store(std::ptr::null_mut(), Ordering::Release);
    }
}

/// Posts a call that runs on whichever thread of the interpreter comes to a safe point first. False: the queue is full.
///
/// May be called by a thread that is not attached.
///
/// # Safety
/// `interpreter` must be alive; `argument` must be what `function` expects.
pub unsafe fn post_pending(interpreter: *mut u8, function: ffi::PendingCall, argument: *mut c_void) -> bool {
    // SAFETY: promised by the caller.
    unsafe { ffi::_PyEval_AddPendingCall(interpreter.cast(), function, argument, 0) == 0 }
}

/// A C function pointer in somebody's table that points to ours; [`Interposed::restore`] puts the old one back.
#[derive(Debug)]
pub struct Interposed {
    place: *mut *mut c_void,
    original: *mut c_void,
    replacement: *mut c_void,
}

// SAFETY: the place is only written with an attached thread.
unsafe impl Send for Interposed {}

impl Interposed {
    unsafe fn install(place: *mut *mut c_void, replacement: *mut c_void) -> Interposed {
        // SAFETY: the caller passes a valid place.
        unsafe {
            let original = place.read();
            place.write(replacement);
            Interposed { place, original, replacement }
        }
    }

    /// What the replacement must call.
    pub fn original(&self) -> *mut c_void {
        self.original
    }

    /// Puts the original back, unless somebody else has replaced ours meanwhile: then false, and ours must stay loaded.
    pub fn restore(self, _py: Attached) -> bool {
        // SAFETY: the tables of builtin types and modules live as long as the interpreter.
        unsafe {
            let is_ours = self.place.read() == self.replacement;
            if is_ours {
                self.place.write(self.original);
            }
            is_ours
        }
    }
}

/// Replaces the getter of a getset descriptor of a builtin type, for example `f_locals` of frames.
///
/// # Safety
/// `replacement` must have the signature of a getter; `class` must be a static type with such a table.
pub unsafe fn interpose_getter(
    py: Attached,
    class: TypeRef,
    name: &CStr,
    replacement: *mut c_void,
) -> Option<Interposed> {
    // SAFETY: promised by the caller.
    unsafe { interpose_descriptor(py, class, name, layout::getset_descriptor::GETSET_GET, replacement) }
}

/// Replaces the setter of a getset descriptor of a builtin type.
///
/// # Safety
/// `replacement` must have the signature of a setter; `class` must be a static type with such a table.
pub unsafe fn interpose_setter(
    py: Attached,
    class: TypeRef,
    name: &CStr,
    replacement: *mut c_void,
) -> Option<Interposed> {
    // SAFETY: promised by the caller.
    unsafe { interpose_descriptor(py, class, name, layout::getset_descriptor::GETSET_SET, replacement) }
}

unsafe fn interpose_descriptor(
    _py: Attached,
    class: TypeRef,
    name: &CStr,
    field: usize,
    replacement: *mut c_void,
) -> Option<Interposed> {
    // SAFETY: the table ends with an entry without a name.
    unsafe {
        let mut entry = class.0.add(layout::type_object::TP_GETSET).cast::<*mut u8>().read();
        if entry.is_null() {
            return None;
        }
        loop {
            let found = entry.add(layout::getset_descriptor::GETSET_NAME).cast::<*const c_char>().read();
            if found.is_null() {
                return None;
            }
            if CStr::from_ptr(found) == name {
                let place = entry.add(field).cast();
                return Some(Interposed::install(place, replacement));
            }
            entry = entry.add(layout::getset_descriptor::GETSET_SIZE);
        }
    }
}

/// Replaces the C function behind `module.name`, whatever other names it has; also gives the calling convention.
///
/// # Safety
/// `replacement` must have the signature that the method's flags ask for: the caller checks them.
pub unsafe fn interpose_builtin(
    _py: Attached,
    module: &CStr,
    name: &CStr,
    expected_flags: c_int,
    replacement: *mut c_void,
) -> Option<Interposed> {
    // SAFETY: the definition of a builtin function is valid as long as the function, and static in CPython.
    unsafe {
        let owner = if module == c"sys.monitoring" {
            let owner = pyo3_ffi::PySys_GetObject(c"monitoring".as_ptr());
            pyo3_ffi::Py_XINCREF(owner);
            owner
        } else {
            pyo3_ffi::PyImport_ImportModule(module.as_ptr())
        };
        if owner.is_null() {
            take_error();
            return None;
        }
        let function = pyo3_ffi::PyObject_GetAttrString(owner, name.as_ptr());
        pyo3_ffi::Py_DECREF(owner);
        if function.is_null() {
            take_error();
            return None;
        }
        let definition = if is_exactly(function, &raw mut pyo3_ffi::PyCFunction_Type) {
            function.cast::<u8>().add(layout::builtin_function::M_ML).cast::<*mut u8>().read()
        } else {
            std::ptr::null_mut()
        };
        pyo3_ffi::Py_DECREF(function);
        if definition.is_null() || definition.add(layout::method_def::ML_FLAGS).cast::<c_int>().read() != expected_flags
        {
            return None;
        }
        Some(Interposed::install(definition.add(layout::method_def::ML_METH).cast(), replacement))
    }
}
