//! Switching on and off.

use crate::session::{self, STATS, Session};
use crate::{monitoring, road, sampler, threads};
use coluber_cpython::Attached;
use coluber_cpython::check::check_layout;
use coluber_cpython::public_ffi as ffi;
use coluber_engine::log::LOG;
use coluber_engine::options::{Hot, OptionError};
use coluber_engine::policy::{Period, Policy};
use coluber_engine::queue::{Calls, Queue};
use coluber_engine::{Engine, Options};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyModule, PyTuple};
use std::collections::HashMap;
use std::sync::Arc;

/// Why Coluber is not on after `enable()`.
enum Refusal {
    /// The caller's mistake: raised.
    Keyword(OptionError),
    /// One line on stderr; the program goes on interpreted.
    Off(String),
}

/// Switch on, with keywords that override the options of the same name; says whether Coluber is on.
#[pyfunction]
#[pyo3(pass_module, signature = (settings, /))]
pub fn enable(module: &Bound<'_, PyModule>, settings: HashMap<String, String>) -> PyResult<bool> {
    let py = module.py();
    LOG.mute(!has_stderr(py));
    if session::with_enabled(|_| ()).is_some() {
        if settings.is_empty() {
            return Ok(true);
        }
        // New settings begin afresh.
        disable(py);
    }
    match open(module, &settings) {
        Ok(()) => {
            session::set_off_reason(None);
            Ok(true)
        }
        Err(Refusal::Keyword(error)) => Err(PyValueError::new_err(error.0)),
        Err(Refusal::Off(reason)) => {
            LOG.notice(&format!("off: {reason}"));
            session::set_off_reason(Some(reason));
            Ok(false)
        }
    }
}

/// Whether the interpreter found a usable stderr.
fn has_stderr(py: Python<'_>) -> bool {
    PyModule::import(py, "sys").and_then(|sys| sys.getattr("stderr")).is_ok_and(|stderr| !stderr.is_none())
}

fn open(module: &Bound<'_, PyModule>, settings: &HashMap<String, String>) -> Result<(), Refusal> {
    let py = module.py();
    // SAFETY: PyO3's token says that this thread is attached.
    let attached = unsafe { Attached::assume() };
    let registry = coluber_strategies::registry();
    let options = read_options(py, &registry.names(), settings)?;
    LOG.configure(&options.log);
    check_layout(attached).map_err(Refusal::Off)?;
    coluber_cpython::iterators::prepare(attached);
    let strategy = registry.get(&options.strategy).ok_or_else(|| Refusal::Off("the strategy is gone".into()))?;
    let services = Arc::new(road::services(attached, &options));
    let without = road::open(attached, &options).map_err(Refusal::Off)?;
    let is_sampling = options.hot == Hot::Sample;
    let calls =
        Calls { notify: sampler::post, trim: threads::trim_memory, rest: threads::unmap_code, cpu_ns: threads::cpu_ns };
    let queue = Queue::new(!options.background, threads::spawn, calls);
    let session = Session {
        is_enabled: true,
        engine: Engine::new(Policy::new(&options), strategy, STATS.clone()),
        queue,
        services,
        in_flight: HashMap::new(),
        paused: 0,
        period: Period::default(),
        sampler: sampler::Sampler::default(),
        options,
    };
    drop(session::open(session));
    // SAFETY: attached.
    sampler::set_interpreter(unsafe { ffi::PyInterpreterState_Get() }.cast());
    stop_at_exit(module);
    threads::watch_forks();
    let counting = match without {
        None if is_sampling => monitoring::count_beside_doors(py),
        None => monitoring::count_everything(py),
        Some(why) if is_sampling => {
            LOG.notice(&format!("running loops are not entered: {why}"));
            Ok(())
        }
        Some(why) => {
            close(attached);
            return Err(Refusal::Off(format!("calls cannot be counted: {why}")));
        }
    };
    if let Err(error) = counting {
        let reason = monitoring::one_line(py, &error);
        close(attached);
        return Err(Refusal::Off(format!("calls cannot be counted: {reason}")));
    }
    session::with_enabled(|session| {
        session.sampler.is_wanted = is_sampling;
        sampler::set_period(session.period.us());
        session.sampler.ensure_running();
    });
    Ok(())
}

/// The settings: keywords over `-X` over the environment.
fn read_options(py: Python<'_>, strategies: &[&str], settings: &HashMap<String, String>) -> Result<Options, Refusal> {
    let off = |error: OptionError| Refusal::Off(error.0);
    let internal = |error: PyErr| Refusal::Off(monitoring::one_line(py, &error));
    let mut options = Options::new(strategies).map_err(off)?;
    let sys = PyModule::import(py, "sys").map_err(internal)?;
    // What says how much to say comes first, for the line about what is not understood.
    if let Ok(logging) = std::env::var("COLUBER_LOG")
        && options.read_environment([("COLUBER_LOG", logging.as_str())].into_iter(), strategies).is_ok()
    {
        LOG.configure(&options.log);
    }
    let ignores_environment =
        sys.getattr("flags").and_then(|flags| flags.getattr("ignore_environment")).and_then(|flag| flag.is_truthy());
    if !ignores_environment.unwrap_or(false) {
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
            .collect();
        let variables = variables.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        // The switch itself has been looked at by whoever calls.
        options.read_environment(variables.filter(|(name, _)| *name != "COLUBER"), strategies).map_err(off)?;
    }
    let mut entries: Vec<(String, Option<String>)> = Vec::new();
    if let Ok(x_options) = sys.getattr("_xoptions")
        && let Ok(x_options) = x_options.cast::<PyDict>()
    {
        for (key, value) in x_options.iter() {
            let Ok(key) = key.extract::<String>() else {
                continue;
            };
            entries.push((key, value.extract::<String>().ok()));
        }
    }
    let entries = entries.iter().map(|(key, text)| (key.as_str(), text.as_deref()));
    options.read_x_options(entries.filter(|(key, _)| *key != "coluber"), strategies).map_err(off)?;
    let keywords = settings.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    options.read_keywords(keywords, strategies).map_err(Refusal::Keyword)?;
    Ok(options)
}

/// Makes something stop the threads before the interpreter ends.
fn stop_at_exit(module: &Bound<'_, PyModule>) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let py = module.py();
        let registered = (|| {
            let close = PyCFunction::new_closure(
                py,
                Some(c"_close"),
                None,
                |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| disable(arguments.py()),
            )?;
            PyModule::import(py, "atexit")?.call_method1("register", (close,))
        })();
        if let Err(error) = registered {
            LOG.notice(&format!("atexit: {}", monitoring::one_line(py, &error)));
        }
    });
}

/// Stops the threads and gives everything back.
fn close(py: Attached) {
    let was_enabled = session::with_enabled(|session| {
        session.is_enabled = false;
        session.sampler.is_wanted = false;
    });
    if was_enabled.is_none() {
        return;
    }
    sampler::set_interpreter(std::ptr::null_mut());
    // The threads wait neither for the session nor for the GIL, so they can be waited for here.
    session::with(|session| {
        session.sampler.stop();
        session.queue.stop(threads::FORK_WAITS);
        session.queue.clear();
    });
    road::drop_in_flight(py);
    road::close(py);
    coluber_cpython::versions::forget_classes(py);
}

/// Switch off: stops the threads, leaves compiled code, gives every hook back.
#[pyfunction]
pub fn disable(_py: Python<'_>) {
    session::set_off_reason(Some("switched off".into()));
    // SAFETY: PyO3's token says that this thread is attached.
    close(unsafe { Attached::assume() });
}

/// Do not enter compiled code and look for no heat until `resume()`; nestable.
#[pyfunction]
pub fn pause(_py: Python<'_>) {
    let depth = session::with(|session| {
        session.paused += 1;
        session.paused
    });
    if depth == Some(1) {
        // SAFETY: PyO3's token says that this thread is attached.
        road::pause(unsafe { Attached::assume() });
    }
}

/// Undo one `pause()`.
#[pyfunction]
pub fn resume(_py: Python<'_>) {
    let was_last = session::with(|session| {
        let was_paused = session.paused > 0;
        session.paused = session.paused.saturating_sub(1);
        was_paused && session.paused == 0
    });
    if was_last == Some(true) {
        // SAFETY: PyO3's token says that this thread is attached.
        road::resume(unsafe { Attached::assume() });
    }
}
