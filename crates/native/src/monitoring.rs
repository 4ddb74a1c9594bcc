//! Calls and back-edges counted by `sys.monitoring`, for the deterministic modes (`COLUBER_HOT=call:N`, `eager`).
//!
//! The events are global ones of the tool id that is reserved for optimizers: everything that runs is counted, code that
//! was there before as well as code to come. A place whose unit is settled is switched off.

use crate::heat;
use crate::session;
use coluber_cpython::Attached;
use coluber_engine::HeatAction;
use coluber_engine::unit::UnitEntry;
use pyo3::prelude::*;
use pyo3::types::PyModule;

/// `sys.monitoring.OPTIMIZER_ID`.
pub const TOOL_ID: u8 = 5;
const TOOL_NAME: &str = "coluber";

fn monitoring<'py>(py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    PyModule::import(py, "sys")?.getattr("monitoring")
}

/// Takes the tool id. `Err`: somebody else has it, with its name.
pub fn claim(py: Python<'_>) -> Result<(), String> {
    let result = (|| {
        let monitoring = monitoring(py)?;
        let holder = monitoring.call_method1("get_tool", (TOOL_ID,))?;
        if holder.is_none() {
            monitoring.call_method1("use_tool_id", (TOOL_ID, TOOL_NAME))?;
            return Ok(None);
        }
        holder.extract::<String>().map(Some)
    })();
    match result {
        Ok(None) => Ok(()),
        Ok(Some(holder)) => Err(format!("{holder:?} holds sys.monitoring.OPTIMIZER_ID")),
        Err(error) => Err(one_line(py, &error)),
    }
}

/// An exception as one line.
pub fn one_line(py: Python<'_>, error: &PyErr) -> String {
    let value = error
        .value(py)
        .str()
        .map(|text| text.to_string_lossy().into_owned())
        .unwrap_or_default();
    let kind = error
        .get_type(py)
        .name()
        .map(|name| name.to_string())
        .unwrap_or_default();
    format!("{kind}: {value}").replace('\n', " ")
}

/// Counts every call and back-edge from now on.
pub fn count_everything(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let monitoring = monitoring(py)?;
    let events = monitoring.getattr("events")?;
    let start: u32 = events.getattr("PY_START")?.extract()?;
    let jump: u32 = events.getattr("JUMP")?.extract()?;
    monitoring.call_method1(
        "register_callback",
        (TOOL_ID, start, module.getattr("on_start")?),
    )?;
    monitoring.call_method1(
        "register_callback",
        (TOOL_ID, jump, module.getattr("on_jump")?),
    )?;
    monitoring.call_method1("set_events", (TOOL_ID, start | jump))?;
    // Places that an earlier session switched off count again.
    monitoring.call_method0("restart_events")?;
    Ok(())
}

/// Gives the tool id back, with its events and callbacks.
pub fn release(py: Python<'_>) -> PyResult<()> {
    let monitoring = monitoring(py)?;
    let events = monitoring.getattr("events")?;
    monitoring.call_method1("set_events", (TOOL_ID, 0))?;
    for name in ["PY_START", "JUMP"] {
        monitoring.call_method1(
            "register_callback",
            (TOOL_ID, events.getattr(name)?, py.None()),
        )?;
    }
    monitoring.call_method1("free_tool_id", (TOOL_ID,))?;
    Ok(())
}

/// Callback of `PY_START`. Private.
#[pyfunction]
pub fn on_start(py: Python<'_>, code: &Bound<'_, PyAny>, offset: i64) -> PyResult<Py<PyAny>> {
    let _ = offset;
    answer(py, count(code, UnitEntry::Function))
}

/// Callback of `JUMP`. Private.
#[pyfunction]
pub fn on_jump(
    py: Python<'_>,
    code: &Bound<'_, PyAny>,
    offset: i64,
    destination: i64,
) -> PyResult<Py<PyAny>> {
    if destination > offset {
        return answer(py, HeatAction::Settled);
    }
    // Byte offsets; a code unit has two bytes.
    answer(py, count(code, UnitEntry::Loop((destination / 2) as u32)))
}

fn count(code: &Bound<'_, PyAny>, entry: UnitEntry) -> HeatAction {
    // SAFETY: the token of PyO3 says that this thread is attached.
    let py = unsafe { Attached::assume() };
    if session::with_enabled(|session| session.paused > 0) != Some(false) {
        return HeatAction::Nothing;
    }
    let Some(frame) = heat::current_frame(py) else {
        return HeatAction::Nothing;
    };
    // SAFETY: the frame is the innermost one of this thread and has a code object. A builtin callback gets no frame of
    // its own, so it is the one that runs the code; unless somebody calls us by hand.
    if unsafe { frame.code() }.object() != code.as_ptr() {
        return HeatAction::Nothing;
    }
    heat::heat(py, frame, entry, 1)
}

/// DISABLE for places that need not be counted any more.
fn answer(py: Python<'_>, action: HeatAction) -> PyResult<Py<PyAny>> {
    match action {
        HeatAction::Settled => Ok(monitoring(py)?.getattr("DISABLE")?.unbind()),
        _ => Ok(py.None()),
    }
}
