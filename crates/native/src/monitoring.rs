//! Calls and back-edges counted by `sys.monitoring`.
//!
//! *Sampling*: the loop door of a unit makes the back-edges of its code heard. Those that lead nowhere are counted: they
//! belong to loops around or beside the one that has code.
//!
//! *Deterministic modes* (`COLUBER_HOT=call:N`, `eager`): global events of the tool id that is reserved for optimizers, so
//! everything that runs is counted, code that was there before as well as code to come.
//!
//! A place whose unit is refused is switched off. The tool id itself is taken and given back by the runtime's doors.

use crate::{heat, road, session};
use coluber_cpython::hooks::{TOOL_ID, make_builtin};
use coluber_cpython::public_ffi::{self as ffi, PyObject};
use coluber_cpython::{Attached, Frame};
use coluber_engine::HeatAction;
use coluber_engine::unit::UnitEntry;
use coluber_runtime::enter::loop_door;
use pyo3::prelude::*;
use pyo3::types::PyModule;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// `sys.monitoring.DISABLE`, which is immortal; NULL before it is known.
static DISABLE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

fn monitoring<'py>(py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    PyModule::import(py, "sys")?.getattr("monitoring")
}

/// An exception as one line.
pub fn one_line(py: Python<'_>, error: &PyErr) -> String {
    let value = error.value(py).str().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
    let kind = error.get_type(py).name().map(|name| name.to_string()).unwrap_or_default();
    format!("{kind}: {value}").replace('\n', " ")
}

/// Puts our callbacks in front of the loop door's. Needs the tool id.
fn register(py: Python<'_>, names: &[(&str, coluber_cpython::hooks::FastCallback)]) -> PyResult<u32> {
    let monitoring = monitoring(py)?;
    DISABLE.store(monitoring.getattr("DISABLE")?.as_ptr(), Ordering::Relaxed);
    let events = monitoring.getattr("events")?;
    let mut all = 0;
    for (name, callback) in names {
        let event: u32 = events.getattr(*name)?.extract()?;
        // SAFETY: PyO3's token says that this thread is attached.
        let builtin = make_builtin(unsafe { Attached::assume() }, c"coluber_event", *callback);
        // SAFETY: a new reference.
        let builtin = unsafe { Bound::from_owned_ptr_or_opt(py, builtin.unwrap_or(ptr::null_mut())) };
        monitoring.call_method1("register_callback", (TOOL_ID, event, builtin))?;
        all |= event;
    }
    Ok(all)
}

/// Counts back-edges of code that has a loop door.
pub fn count_beside_doors(py: Python<'_>) -> PyResult<()> {
    register(py, &[("JUMP", on_jump)]).map(drop)
}

/// Counts every call and back-edge from now on.
pub fn count_everything(py: Python<'_>) -> PyResult<()> {
    let events = register(py, &[("PY_START", on_start), ("JUMP", on_jump)])?;
    monitoring(py)?.call_method1("set_events", (TOOL_ID, events))?;
    // Places that an earlier session switched off count again.
    monitoring(py)?.call_method0("restart_events")?;
    Ok(())
}

/// Callback of `PY_START`: (code, offset).
unsafe extern "C" fn on_start(
    _module: *mut PyObject,
    arguments: *mut *mut PyObject,
    count: ffi::Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: the interpreter passes what it says, attached.
    unsafe {
        let action = if count == 2 { counted(arguments.read(), UnitEntry::Function) } else { HeatAction::Nothing };
        answer(action)
    }
}

/// Callback of `JUMP`: (code, offset, destination), in bytes.
unsafe extern "C" fn on_jump(
    module: *mut PyObject,
    arguments: *mut *mut PyObject,
    count: ffi::Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: the interpreter passes what it says, attached. The answer is a new reference.
    unsafe {
        if count == 3 && road::awaits_loops() {
            let py = Attached::assume();
            let header = (ffi::PyLong_AsLong(arguments.add(2).read()) / 2) as u32;
            if let Some(frame) = heat::current_frame(py).filter(|frame| frame.code().object() == arguments.read()) {
                // A panic must not unwind into the interpreter.
                let _ = std::panic::catch_unwind(|| road::look_at_loop(py, frame, header));
            }
        }
        let through_door = loop_door(module, arguments, count);
        if through_door != DISABLE.load(Ordering::Relaxed) {
            return through_door;
        }
        // No unit begins there. The marker's reference is given back; it is immortal.
        ffi::Py_DECREF(through_door);
        let offset = ffi::PyLong_AsLong(arguments.add(1).read());
        let destination = ffi::PyLong_AsLong(arguments.add(2).read());
        if destination > offset {
            return answer(HeatAction::Refused);
        }
        // A code unit has two bytes.
        answer(counted(arguments.read(), UnitEntry::Loop((destination / 2) as u32)))
    }
}

/// Counts an event of `code`.
unsafe fn counted(code: *mut PyObject, entry: UnitEntry) -> HeatAction {
    // SAFETY: callbacks run attached.
    let py = unsafe { Attached::assume() };
    let Some(frame) = heat::current_frame(py) else { return HeatAction::Nothing };
    // A builtin gets no frame of its own, so the innermost one is that which runs the code.
    let is_its_frame = |frame: Frame| {
        // SAFETY: the frame has a code object.
        unsafe { frame.code() }.object() == code
    };
    if !is_its_frame(frame) {
        return HeatAction::Nothing;
    }
    // A panic must not unwind into the interpreter.
    std::panic::catch_unwind(|| heat::count(py, frame, entry)).unwrap_or(HeatAction::Refused)
}

/// `DISABLE` for places that need not be counted any more, else `None`.
fn answer(action: HeatAction) -> *mut PyObject {
    let is_over = action == HeatAction::Refused || session::with_enabled(|_| ()).is_none();
    let marker = DISABLE.load(Ordering::Relaxed);
    // SAFETY: both are immortal objects; the caller is attached.
    unsafe { ffi::Py_NewRef(if is_over && !marker.is_null() { marker } else { ffi::Py_None() }) }
}
