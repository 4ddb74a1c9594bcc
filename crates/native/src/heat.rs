//! What a sample or a counted event says about the program.

use crate::point::{self, Point};
use crate::session::{self, STATS};
use crate::{identity, road, sampler};
use coluber_cpython::layout::code::{FLAG_COROUTINE, FLAG_GENERATOR, FLAG_OPTIMIZED};
use coluber_cpython::{Attached, Frame, hooks};
use coluber_engine::log::LOG;
use coluber_engine::unit::UnitEntry;
use coluber_engine::{Counter, HeatAction};
use coluber_runtime::doors;
use std::sync::atomic::{AtomicBool, Ordering};

/// A pending call runs: installs what was compiled, takes out of use what broke, starts threads that a fork ended; and
/// when sampling, looks at the innermost frame.
pub fn on_sample() {
    // SAFETY: the interpreter runs pending calls on an attached thread.
    let py = unsafe { Attached::assume() };
    let state = session::with_enabled(|session| {
        session.sampler.ensure_running();
        session.queue.ensure_running();
        session.engine.tick();
        (session.sampler.is_wanted, session.paused > 0)
    });
    let Some((is_sampling, is_paused)) = state else { return };
    road::attend(py);
    if is_paused || is_evaluated_elsewhere(py) {
        return;
    }
    road::install_finished(py);
    if !is_sampling {
        return;
    }
    STATS.add(Counter::Samples, 1);
    let mut has_news = road::look_at_noisy(py);
    if let Some(frame) = current_frame(py) {
        has_news |= road::look_at_exits(py, frame);
        has_news |= attribute(py, frame);
    }
    let period = session::with_enabled(|session| {
        if has_news {
            session.period.on_news();
        } else {
            session.period.on_nothing_new();
        }
        session.period.us()
    });
    if let Some(period_us) = period {
        sampler::set_period(period_us);
    }
}

/// Whether frames are evaluated by somebody else, whom compiled code would leave out (PEP 523). Says so once.
fn is_evaluated_elsewhere(py: Attached) -> bool {
    static SAID: AtomicBool = AtomicBool::new(false);
    let is_so = hooks::has_frame_evaluator(py);
    if is_so && !SAID.swap(true, Ordering::Relaxed) {
        LOG.notice("a frame evaluator is installed: code is interpreted as long as it is there");
    }
    is_so
}

/// The innermost frame of this thread, if it runs a code object.
pub fn current_frame(py: Attached) -> Option<Frame> {
    // SAFETY: the token says that this thread is attached; its state and innermost frame are valid.
    unsafe {
        let frame = py.thread_state().current_frame();
        (!frame.is_null() && !frame.code().is_null()).then_some(frame)
    }
}

/// Whether code with these flags makes generators or coroutines: all of one is one unit, loops included.
fn is_resumed(flags: u32) -> bool {
    flags & (FLAG_GENERATOR | FLAG_COROUTINE) != 0
}

/// Attributes a sample. `true`: something was new.
fn attribute(py: Attached, frame: Frame) -> bool {
    // SAFETY: the frame is the innermost one of this attached thread and has a code object.
    let (mut point, flags) = unsafe { (point::at(frame), frame.code().flags()) };
    let is_function = flags & FLAG_OPTIMIZED != 0;
    if is_resumed(flags) && point != Point::Elsewhere {
        point = Point::Start;
    }
    let weights = session::with_enabled(|session| {
        let policy = session.engine.policy();
        (policy.seen_heat, policy.enclosing_heat)
    });
    let Some((seen, enclosing)) = weights else { return false };
    match point {
        Point::Start => {
            let news = is_news(heat(py, frame, UnitEntry::Function, seen, true));
            // The caller would call it in compiled code, or inline it: a hot callee makes a warm caller. Generators gain
            // most where compiled code resumes them.
            let weight = if flags & FLAG_GENERATOR != 0 { seen } else { enclosing };
            let above =
                caller(frame).is_some_and(|caller| is_news(heat(py, caller, UnitEntry::Function, weight, false)));
            news || above
        }
        Point::BackEdge(header) => {
            let news = doors::has_loop_doors(py) && is_news(heat(py, frame, UnitEntry::Loop(header), seen, true));
            // Bodies of modules and classes are entered once only.
            let above = is_function && is_news(heat(py, frame, UnitEntry::Function, enclosing, false));
            news || above
        }
        Point::Elsewhere => {
            STATS.add(Counter::SamplesElsewhere, 1);
            false
        }
    }
}

/// The frame of the function that called the one of `frame` from Python code, or consumes a generator by a C function.
fn caller(frame: Frame) -> Option<Frame> {
    // SAFETY: frames of this attached thread are valid from the innermost one outwards.
    unsafe {
        let mut previous = frame.previous();
        if frame.code().flags() & FLAG_GENERATOR != 0
            && !previous.is_null()
            && previous.owner() == coluber_cpython::layout::frame::OWNED_BY_INTERPRETER
        {
            previous = previous.previous();
        }
        (!previous.is_null()
            && previous.owner() == coluber_cpython::layout::frame::OWNED_BY_THREAD
            && !previous.code().is_null()
            // The frame that cleans up behind an `__init__` runs no function and has no globals.
            && pyo3::ffi::PyFunction_Check(previous.function().object()) != 0
            && previous.code().flags() & FLAG_OPTIMIZED != 0)
            .then_some(previous)
    }
}

fn is_news(action: HeatAction) -> bool {
    matches!(action, HeatAction::Warming | HeatAction::Compile(_))
}

/// A call or back-edge was counted. Without a sampler this is also when units that are left often are looked at.
pub fn count(py: Attached, frame: Frame, entry: UnitEntry) -> HeatAction {
    road::attend(py);
    if is_evaluated_elsewhere(py) {
        return HeatAction::Nothing;
    }
    // SAFETY: the frame has a code object.
    let flags = unsafe { frame.code().flags() };
    let entry = if is_resumed(flags) { UnitEntry::Function } else { entry };
    road::look_at_noisy(py);
    let amount =
        session::with_enabled(|session| if session.paused > 0 { 0 } else { session.engine.policy().event_heat });
    match amount {
        None | Some(0) => HeatAction::Nothing,
        Some(amount) => heat(py, frame, entry, amount, true),
    }
}

/// Adds heat to the unit that `frame` runs; takes its snapshot when it becomes hot. `is_at_entry`: the frame stands
/// where the unit is entered.
fn heat(py: Attached, frame: Frame, entry: UnitEntry, amount: u32, is_at_entry: bool) -> HeatAction {
    // SAFETY: callers pass the innermost frame of this attached thread, which has a code object.
    let key = unsafe { identity::key(frame, entry) };
    let is_known = session::with_enabled(|session| session.engine.find(&key).is_some());
    let identity = match is_known {
        None => return HeatAction::Nothing,
        Some(true) => None,
        // SAFETY: as above.
        Some(false) => Some(unsafe { identity::describe(frame.code(), frame.globals()) }),
    };
    let action = session::with_enabled(|session| session.engine.heat(&key, amount, || identity.unwrap_or_default()));
    if let Some(HeatAction::Compile(unit)) = action {
        // SAFETY: as above.
        road::begin(py, unit, &unsafe { road::Origin::of_frame(frame, is_at_entry) });
    }
    action.unwrap_or(HeatAction::Nothing)
}
