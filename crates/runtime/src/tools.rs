//! Other tools that look at the program: where compiled code stands back although nothing tells safe points so.
//!
//! - *Local events*. A tool that listens to one code object (`sys.monitoring.set_local_events`; `pdb` and `breakpoint()` do)
//!   changes no version that safe points look at. So the builtin is interposed: units of that code, and those it was inlined
//!   into, are taken out of use, and their activations on all threads leave when the present call has returned. They become
//!   hot again; while the tool listens, doors and snapshots leave the code alone.
//! - *Calls*. For a function with a door the interpreter reports C_RETURN where it reports nothing for others (and PY_RETURN
//!   for both), so all doors are closed while anybody listens to CALL events.
//! - *`tracemalloc`* wants to know the line of every allocation, which compiled code stores in front of observable calls only:
//!   all doors are closed while it traces.
//! - *Single instructions*. `frame.f_trace_opcodes` makes the interpreter listen to instructions. When it does so in code to
//!   which nobody but us is listening and a second tool comes later, it forgets about the instructions
//!   (`update_instrumentation_data` makes an empty table of their tools, 3.14 and 3.15). `pdb.set_trace` asks in this order; so
//!   the table is made before.
//! - *Who listens*. In the modes that count calls we listen to all code, which is nobody's business: `get_events` and
//!   `_all_events` leave our tool out, which listens to no global events where heat is sampled.
//! - *Code that nobody has interpreted since others began or ceased to listen.* The interpreter brings a function's code up to date
//!   when it begins to run it, and all code that is running at that moment. Compiled code that is left begins in the middle, so
//!   its code is brought up to date there.
//!
//! Deliberately not here: global events of other sorts, which change the version.

use crate::exits::unit_of_buffer;
use crate::gil::UnderGil;
use crate::unit::{NATIVE_MARK, UnitRecord};
use crate::{doors, invariants, observers};
use coluber_cpython::hooks::{self, Interposed, TOOL_ID, event, interpose_builtin, interpose_setter};
use coluber_cpython::layout;
use coluber_cpython::raw::{Attached, CodeRef, Frame, ThreadState, TypeRef, is_exactly};
use pyo3_ffi::{
    METH_FASTCALL, METH_NOARGS, METH_O, Py_DECREF, Py_INCREF, Py_XDECREF, Py_ssize_t, PyCode_Type, PyDict_New,
    PyDict_Next, PyDict_SetItem, PyErr_Clear, PyErr_GetRaisedException, PyErr_SetRaisedException, PyLong_AsLong,
    PyLong_FromLong, PyObject,
};
use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

type SetLocalEvents = unsafe extern "C" fn(*mut PyObject, *const *mut PyObject, Py_ssize_t) -> *mut PyObject;

static ORIGINAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static INTERPOSED: UnderGil<Vec<Interposed>> = UnderGil::new(Vec::new());

/// Puts our function in front.
pub fn start(py: Attached) -> Result<(), String> {
    let builtins: [(&CStr, &CStr, c_int, *mut c_void, &AtomicPtr<c_void>); 6] = [
        (c"sys.monitoring", c"set_local_events", METH_FASTCALL, set_local_events as *mut c_void, &ORIGINAL),
        (c"sys.monitoring", c"set_events", METH_FASTCALL, set_events as *mut c_void, &SET_EVENTS),
        (c"sys.monitoring", c"get_events", METH_O, get_events as *mut c_void, &GET_EVENTS),
        (c"sys.monitoring", c"_all_events", METH_NOARGS, all_events as *mut c_void, &ALL_EVENTS),
        (c"_tracemalloc", c"start", METH_FASTCALL, start_tracing as *mut c_void, &START_TRACING),
        (c"_tracemalloc", c"stop", METH_NOARGS, stop_tracing as *mut c_void, &STOP_TRACING),
    ];
    let mut all = Vec::new();
    let mut missing = Vec::new();
    for (module, name, flags, replacement, original) in builtins {
        // SAFETY: the replacements pass on whatever registers they were called with, or fit the convention.
        match unsafe { interpose_builtin(py, module, name, flags, replacement) } {
            Some(interposed) => {
                original.store(interposed.original(), Ordering::Relaxed);
                all.push(interposed);
            }
            None => missing.push(name.to_string_lossy().into_owned()),
        }
    }
    let frames = TypeRef((&raw mut pyo3_ffi::PyFrame_Type).cast());
    let setters: [(_, unsafe extern "C" fn(_, _, _) -> _, _); 2] =
        [(c"f_trace", set_trace, &TRACE), (c"f_trace_opcodes", set_trace_opcodes, &TRACE_OPCODES)];
    for (name, replacement, original) in setters {
        // SAFETY: the replacements are setters; frames are a static type with a table. Without them one sort of events of
        // one sort of tool is lost.
        if let Some(interposed) = unsafe { interpose_setter(py, frames, name, replacement as *mut c_void) } {
            original.store(interposed.original(), Ordering::Relaxed);
            all.push(interposed);
        }
    }
    INTERPOSED.borrow(py).extend(all);
    if !missing.is_empty() {
        stop(py);
        return Err(format!("cannot observe {}", missing.join(", ")));
    }
    IS_TRACING_MEMORY.store(hooks::is_tracing_memory(py), Ordering::Relaxed);
    update(py);
    Ok(())
}

/// Puts the original back.
pub fn stop(py: Attached) {
    let interposed = std::mem::take(&mut *INTERPOSED.borrow(py));
    for one in interposed {
        one.restore(py);
    }
    IS_TRACING_MEMORY.store(false, Ordering::Relaxed);
    let heard = std::mem::take(&mut *HEARD.borrow(py));
    for code in heard {
        // SAFETY: the reference was held by the list.
        unsafe { Py_DECREF(code.object()) };
    }
    if IS_SUSPENDED.swap(false, Ordering::Relaxed) {
        doors::resume(py);
    }
}

/// Instruments a code object for what is listened to now.
pub(crate) fn bring_up_to_date(py: Attached, code: CodeRef) {
    // SAFETY: the exception that may be set stays; no Python code runs.
    unsafe {
        let raised = PyErr_GetRaisedException();
        doors::renew_events(py, code);
        PyErr_SetRaisedException(raised);
    }
}

unsafe extern "C" fn set_local_events(
    module: *mut PyObject,
    arguments: *const *mut PyObject,
    count: Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: called as the builtin; it has checked its arguments when it returns something.
    unsafe {
        let original = std::mem::transmute::<*mut c_void, SetLocalEvents>(ORIGINAL.load(Ordering::Relaxed));
        let result = original(module, arguments, count);
        if !result.is_null() && count == 3 && !IS_PREPARING.load(Ordering::Relaxed) {
            let (tool, code) = (arguments.read(), arguments.add(1).read());
            if is_exactly(code, &raw mut PyCode_Type) && PyLong_AsLong(tool) != i64::from(TOOL_ID) {
                let py = Attached::assume();
                let code = CodeRef(code.cast());
                if code.active_tools(1 << TOOL_ID) != 0 {
                    stand_back(py, code);
                }
                if hears_calls(code) && !HEARD.borrow(py).contains(&code) {
                    Py_INCREF(code.object());
                    HEARD.borrow(py).push(code);
                }
                update(py);
            }
            // An argument that is an int in its own way was converted without an error before.
            PyErr_Clear();
        }
        result
    }
}

type Setter = unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut c_void) -> c_int;

/// A second tool of our own comes and goes.
static IS_PREPARING: AtomicBool = AtomicBool::new(false);
static TRACE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static TRACE_OPCODES: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

unsafe extern "C" fn set_trace(frame: *mut PyObject, value: *mut PyObject, closure: *mut c_void) -> c_int {
    // SAFETY: called as the setter of frame objects.
    unsafe { set_with_table(&TRACE, frame, value, closure) }
}

unsafe extern "C" fn set_trace_opcodes(frame: *mut PyObject, value: *mut PyObject, closure: *mut c_void) -> c_int {
    // SAFETY: called as the setter of frame objects.
    unsafe { set_with_table(&TRACE_OPCODES, frame, value, closure) }
}

/// Calls a setter that may make the interpreter listen to single instructions, while two tools listen to the code: then it
/// makes the table that it needs.
unsafe fn set_with_table(
    original: &AtomicPtr<c_void>,
    frame: *mut PyObject,
    value: *mut PyObject,
    closure: *mut c_void,
) -> c_int {
    // SAFETY: frame objects have a frame with a code object; the original has this type.
    unsafe {
        let original = std::mem::transmute::<*mut c_void, Setter>(original.load(Ordering::Relaxed));
        let py = Attached::assume();
        let code = frame.cast::<u8>().add(layout::frame_object::F_FRAME).cast::<Frame>().read().code();
        let is_ours = code.active_tools(!(1 << TOOL_ID)) != 0;
        IS_PREPARING.store(true, Ordering::Relaxed);
        let second = if is_ours { hooks::SecondTool::listen(py, code) } else { None };
        let result = original(frame, value, closure);
        // Going, the second tool calls builtins, which must not see the setter's exception.
        let error = PyErr_GetRaisedException();
        drop(second);
        PyErr_SetRaisedException(error);
        IS_PREPARING.store(false, Ordering::Relaxed);
        result
    }
}

static GET_EVENTS: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static ALL_EVENTS: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static SET_EVENTS: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static START_TRACING: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static STOP_TRACING: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// Whether `tracemalloc` traces.
static IS_TRACING_MEMORY: AtomicBool = AtomicBool::new(false);
/// Codes to whose calls somebody listened when last looked at; references are held.
static HEARD: UnderGil<Vec<CodeRef>> = UnderGil::new(Vec::new());
/// Whether all doors are closed.
static IS_SUSPENDED: AtomicBool = AtomicBool::new(false);

/// A builtin with at most four arguments, all in registers.
type AnyBuiltin = unsafe extern "C" fn(usize, usize, usize, usize) -> *mut PyObject;

unsafe fn call(original: &AtomicPtr<c_void>, arguments: [usize; 4]) -> *mut PyObject {
    let [first, second, third, fourth] = arguments;
    // SAFETY: called as the builtin; the original takes its arguments from the same registers.
    unsafe {
        let original = std::mem::transmute::<*mut c_void, AnyBuiltin>(original.load(Ordering::Relaxed));
        original(first, second, third, fourth)
    }
}

unsafe extern "C" fn set_events(first: usize, second: usize, third: usize, fourth: usize) -> *mut PyObject {
    // SAFETY: called as the builtin, attached.
    unsafe {
        let result = call(&SET_EVENTS, [first, second, third, fourth]);
        if !result.is_null() {
            update(Attached::assume());
        }
        result
    }
}

unsafe extern "C" fn get_events(first: usize, second: usize, third: usize, fourth: usize) -> *mut PyObject {
    // SAFETY: called as the builtin with one argument, which it has converted to an int when it returns something.
    unsafe {
        let result = call(&GET_EVENTS, [first, second, third, fourth]);
        if result.is_null() {
            return result;
        }
        let is_ours = PyLong_AsLong(second as *mut PyObject) == i64::from(TOOL_ID);
        // An argument that is an int in its own way was converted without an error before.
        PyErr_Clear();
        if is_ours {
            Py_DECREF(result);
            return PyLong_FromLong(0);
        }
        result
    }
}

unsafe extern "C" fn all_events(first: usize, second: usize, third: usize, fourth: usize) -> *mut PyObject {
    // SAFETY: called as the builtin, which returns a new dict of tools by event, as bits.
    unsafe {
        let all = call(&ALL_EVENTS, [first, second, third, fourth]);
        if all.is_null() {
            return all;
        }
        let others = PyDict_New();
        let mut position = 0;
        let (mut event, mut tools) = (std::ptr::null_mut(), std::ptr::null_mut());
        while !others.is_null() && PyDict_Next(all, &raw mut position, &raw mut event, &raw mut tools) != 0 {
            let tools = PyLong_AsLong(tools) & !(1 << TOOL_ID);
            if tools != 0 {
                let tools = PyLong_FromLong(tools);
                let is_set = !tools.is_null() && PyDict_SetItem(others, event, tools) == 0;
                Py_XDECREF(tools);
                if !is_set {
                    Py_DECREF(others);
                    Py_DECREF(all);
                    return std::ptr::null_mut();
                }
            }
        }
        Py_DECREF(all);
        others
    }
}

unsafe extern "C" fn start_tracing(first: usize, second: usize, third: usize, fourth: usize) -> *mut PyObject {
    // SAFETY: called as the builtin, attached.
    unsafe {
        let result = call(&START_TRACING, [first, second, third, fourth]);
        if !result.is_null() {
            IS_TRACING_MEMORY.store(true, Ordering::Relaxed);
            update(Attached::assume());
        }
        result
    }
}

unsafe extern "C" fn stop_tracing(first: usize, second: usize, third: usize, fourth: usize) -> *mut PyObject {
    // SAFETY: called as the builtin, attached.
    unsafe {
        let result = call(&STOP_TRACING, [first, second, third, fourth]);
        IS_TRACING_MEMORY.store(false, Ordering::Relaxed);
        update(Attached::assume());
        result
    }
}

/// Index of CALL in the tables of tools by event.
const CALL: usize = event::CALL.trailing_zeros() as usize;

/// Whether another tool listens to calls made by a code.
unsafe fn hears_calls(code: CodeRef) -> bool {
    // SAFETY: the monitoring data, when there, hold one byte of tools per event.
    unsafe {
        let data = code.monitoring();
        !data.is_null() && data.add(layout::code::LOCAL_MONITORS + CALL).read() & !(1 << TOOL_ID) != 0
    }
}

/// Opens the doors again when nobody is left for whom they were closed: some tools end without our seeing it.
pub fn attend(py: Attached) {
    if IS_SUSPENDED.load(Ordering::Relaxed) {
        update(py);
    }
}

/// Closes all doors, or opens them again.
fn update(py: Attached) {
    let mut given_up = Vec::new();
    // SAFETY: references to the codes are held; fields of the interpreter state.
    let is_heard = unsafe {
        HEARD.borrow(py).retain(|code| {
            let stays = hears_calls(*code) && pyo3_ffi::Py_REFCNT(code.object()) > 1;
            if !stays {
                given_up.push(*code);
            }
            stays
        });
        let monitors = py.thread_state().interpreter().add(layout::interpreter_state::MONITORS);
        monitors.add(CALL).read() & !(1 << TOOL_ID) != 0 || !HEARD.borrow(py).is_empty()
    };
    for code in given_up {
        // SAFETY: the reference was held by the list.
        unsafe { Py_DECREF(code.object()) };
    }
    let wanted = is_heard || IS_TRACING_MEMORY.load(Ordering::Relaxed);
    if wanted == IS_SUSPENDED.swap(wanted, Ordering::Relaxed) {
        return;
    }
    if wanted {
        doors::suspend(py);
        // SAFETY: attached.
        unsafe { leave_everywhere(py, |_| true) };
    } else {
        doors::resume(py);
    }
}

/// Takes compiled code out of the way of a tool that listens to `code`.
unsafe fn stand_back(py: Attached, code: CodeRef) {
    let units = invariants::stand_back(py, code);
    // SAFETY: attached.
    unsafe { leave_everywhere(py, |unit| units.contains(&unit)) };
}

/// Activations of units leave when their present call has returned, on all threads.
unsafe fn leave_everywhere(py: Attached, is_meant: impl Fn(*const UnitRecord) -> bool) {
    // SAFETY: attached, so no thread of the interpreter runs, and all their frames are linked; a unit's own frame has its
    // buffer behind it.
    unsafe {
        let interpreter = py.thread_state().interpreter();
        let mut thread = ThreadState(interpreter.add(layout::interpreter_state::THREADS_HEAD).cast::<*mut u8>().read());
        while !thread.0.is_null() {
            let mut frame = thread.current_frame();
            while !frame.is_null() {
                if frame.visited() == NATIVE_MARK && is_meant(unit_of(frame)) {
                    observers::leave_soon(frame);
                }
                frame = frame.previous();
            }
            thread = ThreadState(thread.0.add(layout::thread_state::NEXT).cast::<*mut u8>().read());
        }
    }
}

unsafe fn unit_of(own: Frame) -> *const UnitRecord {
    // SAFETY: promised by the caller: the own frame of a running unit.
    unsafe { unit_of_buffer(observers::buffer_of(own)).0 }
}
