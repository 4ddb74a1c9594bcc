//! What people ask for.

use crate::session::{self, STATS};
use crate::{identity, road, sampler};
use coluber_bytecode::ExitFact;
use coluber_cpython::{Attached, FunctionRef};
use coluber_engine::options::ROWS;
use coluber_engine::unit::UnitKey;
use coluber_engine::{Counter, State, Unit, UnitId};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::fmt::Write as _;

/// Whether Coluber is on, why not, and the settings in force.
#[pyfunction]
pub fn status(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    let known = session::with(|session| {
        let settings: Vec<(&'static str, String)> =
            session.options.texts().map(|(name, text)| (name, text.to_string())).collect();
        (session.is_enabled, settings, session.paused > 0, session.period.us(), session.queue.waiting())
    });
    let is_enabled = known.as_ref().is_some_and(|known| known.0);
    dict.set_item("enabled", is_enabled)?;
    let reason =
        if is_enabled { None } else { Some(session::off_reason().unwrap_or_else(|| "not switched on".into())) };
    dict.set_item("reason", reason)?;
    dict.set_item("version", env!("CARGO_PKG_VERSION"))?;
    if let Some((_, settings, is_paused, period_us, waiting)) = known {
        dict.set_item("paused", is_paused)?;
        dict.set_item("sampling", sampler::is_running())?;
        dict.set_item("sampling_period_us", period_us)?;
        dict.set_item("waiting_compilations", waiting)?;
        let values = PyDict::new(py);
        for (name, text) in settings {
            values.set_item(name, text)?;
        }
        values.set_item("enabled", if is_enabled { "1" } else { "0" })?;
        dict.set_item("settings", values)?;
    }
    Ok(dict)
}

/// What is known of one unit, taken out of the session's lock.
struct UnitReport {
    id: UnitId,
    unit: Unit,
    entries: u64,
    exits: u64,
    /// Exits of the version in use.
    facts: Vec<ExitFact>,
}

fn attached<'a>() -> Attached<'a> {
    // SAFETY: everything here is called from Python.
    unsafe { Attached::assume() }
}

fn reports(wanted: impl Fn(&Unit) -> bool) -> Vec<UnitReport> {
    let units = session::with(|session| {
        let units = session.engine.iter().filter(|(_, unit)| wanted(unit));
        units.map(|(id, unit)| (id, unit.clone())).collect::<Vec<_>>()
    });
    let units = units.unwrap_or_default().into_iter();
    units
        .map(|(id, unit)| {
            let (entries, exits, facts) = road::exit_report(attached(), id);
            UnitReport { id, unit, entries, exits, facts }
        })
        .collect()
}

fn unit_dict<'py>(py: Python<'py>, report: &UnitReport) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let unit = &report.unit;
    dict.set_item("name", &unit.name)?;
    dict.set_item("file", &unit.file)?;
    dict.set_item("line", unit.line)?;
    dict.set_item("entry", unit.key.entry.to_string())?;
    dict.set_item("state", unit.state().to_string())?;
    dict.set_item("version", unit.installed)?;
    dict.set_item("versions", unit.versions)?;
    dict.set_item("bytes", unit.code_bytes)?;
    dict.set_item("bytecodes", unit.bytecodes)?;
    dict.set_item("entries", report.entries)?;
    dict.set_item("exits", report.exits)?;
    dict.set_item("invalidations", unit.invalidations)?;
    dict.set_item("id", report.id.0)?;
    let profile = PyList::empty(py);
    for exit in unit.exits.iter().chain(&report.facts) {
        let entry = PyDict::new(py);
        entry.set_item("reason", &exit.reason)?;
        entry.set_item("code", exit.code)?;
        entry.set_item("offset", exit.offset)?;
        entry.set_item("count", exit.count)?;
        profile.append(entry)?;
    }
    dict.set_item("exit_profile", profile)?;
    Ok(dict)
}

/// Counters, most important first; then the units that were compiled, and bailouts by reason.
#[pyfunction]
pub fn stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("compiled_time_share", STATS.compiled_time_share())?;
    for counter in Counter::ALL {
        dict.set_item(counter.name(), STATS.get(*counter))?;
    }
    let mut total_exits = 0;
    let units = PyList::empty(py);
    for report in reports(|unit| unit.versions > 0 && unit.code_bytes > 0) {
        total_exits += report.exits;
        units.append(unit_dict(py, &report)?)?;
    }
    dict.set_item("units", units)?;
    dict.set_item("exits", total_exits)?;
    let (mapped, used) = road::code_memory(attached());
    dict.set_item("code_memory_mapped_bytes", mapped)?;
    dict.set_item("code_memory_used_bytes", used)?;
    let bailouts = PyDict::new(py);
    for (reason, count) in STATS.bailouts() {
        bailouts.set_item(reason, count)?;
    }
    dict.set_item("bailouts", bailouts)?;
    Ok(dict)
}

/// The function behind a function or method.
fn function_of<'py>(callable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let function = match callable.getattr_opt("__func__")? {
        Some(function) => function,
        None => callable.clone(),
    };
    // SAFETY: the type check only reads the object's type.
    if unsafe { ffi::PyFunction_Check(function.as_ptr()) } == 0 {
        let kind = callable.get_type().name()?.to_string();
        return Err(PyTypeError::new_err(format!("a Python function is needed, not {kind}")));
    }
    Ok(function)
}

fn key_of(callable: &Bound<'_, PyAny>) -> PyResult<UnitKey> {
    let function = function_of(callable)?;
    // SAFETY: it is a Python function, and PyO3's token says that this thread is attached.
    Ok(unsafe { identity::key_of_function(FunctionRef(function.as_ptr().cast())) })
}

/// Whether calls of `function` enter compiled code now.
#[pyfunction]
#[pyo3(signature = (function, /))]
pub fn is_compiled(function: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(road::is_open(attached(), &key_of(function)?))
}

fn reports_of(function: &Bound<'_, PyAny>) -> PyResult<Vec<UnitReport>> {
    let key = key_of(function)?;
    Ok(reports(|unit| (unit.key.code, unit.key.globals, unit.key.builtins) == (key.code, key.globals, key.builtins)))
}

/// What is known of the units of `function`: one dictionary for its start and each of its loops that was seen.
#[pyfunction]
#[pyo3(signature = (function, /))]
pub fn unit_facts<'py>(function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(function.py());
    for report in reports_of(function)? {
        list.append(unit_dict(function.py(), &report)?)?;
    }
    Ok(list)
}

/// The life of `function`, for people.
#[pyfunction]
#[pyo3(signature = (function, /))]
pub fn explain(function: &Bound<'_, PyAny>) -> PyResult<String> {
    let reports = reports_of(function)?;
    let name = function_of(function)?.getattr("__qualname__")?.to_string();
    if reports.is_empty() {
        return Ok(format!("{name}: never seen running"));
    }
    let mut text = String::new();
    for report in reports {
        let unit = &report.unit;
        let _ = writeln!(text, "{} ({}:{}), {}: {}", unit.name, unit.file, unit.line, unit.key.entry, unit.state());
        if let State::Cold | State::Invalidated = unit.state() {
            let _ = writeln!(text, "  heat {}", unit.heat);
        }
        if unit.code_bytes > 0 {
            let _ = writeln!(
                text,
                "  {} bytes of code from {} instructions; {} entries, {} exits",
                unit.code_bytes, unit.bytecodes, report.entries, report.exits
            );
        }
        for exit in &report.facts {
            let _ = writeln!(text, "  left {} times by {} at offset {}", exit.count, exit.reason, exit.offset);
        }
        for exit in &unit.exits {
            let _ = writeln!(
                text,
                "  earlier versions left {} times by {} at offset {}",
                exit.count, exit.reason, exit.offset
            );
        }
    }
    Ok(text.trim_end().to_string())
}

/// Every option as a dictionary.
#[pyfunction]
pub fn options(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let registry = coluber_strategies::registry();
    let names = registry.names();
    let list = PyList::empty(py);
    for row in ROWS {
        let dict = PyDict::new(py);
        dict.set_item("name", row.name)?;
        dict.set_item("env", row.env)?;
        dict.set_item("x", row.x_name())?;
        let doc: Vec<&str> = row.doc.lines().map(str::trim).collect();
        dict.set_item("doc", doc.join("\n"))?;
        dict.set_item("values", (row.values)(&names))?;
        dict.set_item("default", row.default_text(&names))?;
        dict.set_item("audience", row.audience.name())?;
        list.append(dict)?;
    }
    Ok(list)
}

/// The options for people.
#[pyfunction]
pub fn help() -> String {
    coluber_engine::options::help(&coluber_strategies::registry().names())
}

/// Set all counters to zero.
#[pyfunction]
pub fn reset() {
    STATS.reset();
}
