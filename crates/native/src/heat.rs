//! What a sample or a counted event says about the program.

use crate::point::{self, Point};
use crate::session::{self, STATS, Session};
use crate::{identity, road, sampler};
use coluber_cpython::{Attached, Frame};
use coluber_engine::unit::UnitEntry;
use coluber_engine::{Counter, HeatAction, UnitId};

/// A pending call runs: looks at the innermost frame, installs what was compiled, starts threads that a fork ended.
pub fn on_sample() {
    // SAFETY: the interpreter runs pending calls on an attached thread.
    let py = unsafe { Attached::assume() };
    let is_on = session::with_enabled(|session| {
        session.sampler.ensure_running();
        session.queue.ensure_running();
        session.engine.tick();
        session.paused == 0
    });
    let Some(is_running) = is_on else { return };
    road::install_finished(py);
    if !is_running {
        return;
    }
    STATS.add(Counter::Samples, 1);
    if road::was_in_compiled_code() {
        STATS.add(Counter::SamplesInCompiledCode, 1);
    }
    let frame = py.thread_state().current_frame_of(py);
    let has_news = frame.is_some_and(|frame| look_at(py, frame));
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

trait CurrentFrame {
    fn current_frame_of(self, py: Attached) -> Option<Frame>;
}

impl CurrentFrame for coluber_cpython::ThreadState {
    /// The innermost frame, if it runs a code object.
    fn current_frame_of(self, _: Attached) -> Option<Frame> {
        // SAFETY: the token says that this thread is attached; its state and innermost frame are valid.
        unsafe {
            let frame = self.current_frame();
            (!frame.is_null() && !frame.code().is_null()).then_some(frame)
        }
    }
}

/// The innermost frame of this thread, if it runs a code object.
pub fn current_frame(py: Attached) -> Option<Frame> {
    py.thread_state().current_frame_of(py)
}

/// Attributes a sample. `true`: something was new.
fn look_at(py: Attached, frame: Frame) -> bool {
    // SAFETY: the frame is the innermost one of this attached thread and has a code object.
    let point = unsafe { point::at(frame) };
    let weights = session::with_enabled(|session| {
        let policy = session.engine.policy();
        (policy.seen_heat, policy.enclosing_heat)
    });
    let Some((seen, enclosing)) = weights else {
        return false;
    };
    match point {
        Point::Start => is_news(heat(py, frame, UnitEntry::Function, seen)),
        Point::BackEdge(header) => {
            let mut news = is_news(heat(py, frame, UnitEntry::Loop(header), seen));
            if enclosing > 0 {
                // SAFETY: as above.
                let headers = unsafe { point::enclosing(frame.code(), header) };
                for outer in headers {
                    news |= is_news(heat(py, frame, UnitEntry::Loop(outer), enclosing));
                }
                // SAFETY: as above. Module and class bodies are entered once only.
                if unsafe { frame.code().flags() } & coluber_cpython::layout::code::FLAG_OPTIMIZED
                    != 0
                {
                    news |= is_news(heat(py, frame, UnitEntry::Function, enclosing));
                }
            }
            news
        }
        Point::Elsewhere => {
            STATS.add(Counter::SamplesElsewhere, 1);
            false
        }
    }
}

fn is_news(action: HeatAction) -> bool {
    matches!(action, HeatAction::Warming | HeatAction::Compile(_))
}

/// Adds heat to the unit that `frame` runs; takes its snapshot when it becomes hot.
pub fn heat(py: Attached, frame: Frame, entry: UnitEntry, amount: u32) -> HeatAction {
    // SAFETY: callers pass the innermost frame of this attached thread, which has a code object.
    let key = unsafe { identity::key(frame, entry) };
    let is_known = session::with_enabled(|session| session.engine.find(&key).is_some());
    let identity = match is_known {
        None => return HeatAction::Nothing,
        Some(true) => None,
        // SAFETY: as above.
        Some(false) => Some(unsafe { identity::describe(frame.code(), frame.globals()) }),
    };
    let action = session::with_enabled(|session| {
        session
            .engine
            .heat(&key, amount, || identity.unwrap_or_else(identity_of_nobody))
    });
    match action {
        Some(HeatAction::Compile(unit)) => {
            road::begin(py, unit, frame);
            HeatAction::Compile(unit)
        }
        Some(action) => action,
        None => HeatAction::Nothing,
    }
}

/// A unit that vanished between two looks; cannot happen while attached.
fn identity_of_nobody() -> coluber_engine::UnitIdentity {
    coluber_engine::UnitIdentity {
        name: String::new(),
        file: String::new(),
        line: 0,
        code_units: 0,
    }
}

/// A code object dies.
pub fn forget_code(code: u64) {
    let units: Option<Vec<UnitId>> =
        session::with(|session: &mut Session| session.engine.forget_code(code));
    for unit in units.unwrap_or_default() {
        road::forget(unit);
    }
}
