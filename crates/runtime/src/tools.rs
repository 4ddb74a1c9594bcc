//! Other tools' local events.
//!
//! A tool that listens to one code object (`sys.monitoring.set_local_events`; `pdb` and `breakpoint()` do) changes no version
//! that safe points look at. So the builtin is interposed: units of that code, and those it was inlined into, are taken
//! out of use, and their activations on all threads leave when the present call has returned. They become hot again;
//! while the tool listens, doors and snapshots leave the code alone.
//!
//! Deliberately not here: global events, which change the version, and C code that uses `_PyMonitoring_SetLocalEvents`,
//! which is not exported.

use crate::exits::unit_of_buffer;
use crate::gil::UnderGil;
use crate::unit::NATIVE_MARK;
use crate::{invariants, observers};
use coluber_cpython::hooks::{Interposed, TOOL_ID, interpose_builtin};
use coluber_cpython::layout;
use coluber_cpython::raw::{Attached, CodeRef, Frame, ThreadState, is_exactly};
use pyo3_ffi::{METH_FASTCALL, Py_ssize_t, PyCode_Type, PyErr_Clear, PyLong_AsLong, PyObject};
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering};

type SetLocalEvents = unsafe extern "C" fn(*mut PyObject, *const *mut PyObject, Py_ssize_t) -> *mut PyObject;

static ORIGINAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static INTERPOSED: UnderGil<Option<Interposed>> = UnderGil::new(None);

/// Puts our function in front.
pub fn start(py: Attached) -> Result<(), String> {
    let replacement = set_local_events as *mut c_void;
    // SAFETY: the replacement is a METH_FASTCALL function.
    let interposed =
        unsafe { interpose_builtin(py, c"sys.monitoring", c"set_local_events", METH_FASTCALL, replacement) };
    let interposed = interposed.ok_or("cannot observe sys.monitoring.set_local_events")?;
    ORIGINAL.store(interposed.original(), Ordering::Relaxed);
    *INTERPOSED.borrow(py) = Some(interposed);
    Ok(())
}

/// Puts the original back.
pub fn stop(py: Attached) {
    let interposed = INTERPOSED.borrow(py).take();
    if let Some(interposed) = interposed {
        interposed.restore(py);
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
        if !result.is_null() && count == 3 {
            let (tool, code) = (arguments.read(), arguments.add(1).read());
            if is_exactly(code, &raw mut PyCode_Type) && PyLong_AsLong(tool) != i64::from(TOOL_ID) {
                let code = CodeRef(code.cast());
                if code.active_tools(1 << TOOL_ID) != 0 {
                    stand_back(Attached::assume(), code);
                }
            }
            // An argument that is an int in its own way was converted without an error before.
            PyErr_Clear();
        }
        result
    }
}

/// Takes compiled code out of the way of a tool that listens to `code`.
unsafe fn stand_back(py: Attached, code: CodeRef) {
    let units = invariants::stand_back(py, code);
    if units.is_empty() {
        return;
    }
    // SAFETY: attached, so no thread of the interpreter runs, and all their frames are linked; a unit's own frame has its
    // buffer behind it.
    unsafe {
        let interpreter = py.thread_state().interpreter();
        let mut thread = ThreadState(interpreter.add(layout::interpreter_state::THREADS_HEAD).cast::<*mut u8>().read());
        while !thread.0.is_null() {
            let mut frame = thread.current_frame();
            while !frame.is_null() {
                if frame.visited() == NATIVE_MARK && units.contains(&unit_of(frame)) {
                    observers::leave_soon(frame);
                }
                frame = frame.previous();
            }
            thread = ThreadState(thread.0.add(layout::thread_state::NEXT).cast::<*mut u8>().read());
        }
    }
}

unsafe fn unit_of(own: Frame) -> *const crate::unit::UnitRecord {
    // SAFETY: promised by the caller: the buffer lies behind the frame.
    unsafe { unit_of_buffer(own.0.add(8 * own.code().frame_size() as usize).cast()).0 }
}
