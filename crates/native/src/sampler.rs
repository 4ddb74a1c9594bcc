//! The thread that asks the program, now and then, what it is doing.
//!
//! It posts a pending call, at most one at a time, that some attached thread runs at its next function entry or loop
//! back-edge. While the call is not run (the process sleeps or waits) nothing is posted, and after
//! [`IDLE_BEFORE_EXIT`] the thread ends; the call that was left behind starts it again when the process wakes up.

use crate::session::STATS;
use crate::{heat, threads};
use coluber_cpython::ffi::_PyEval_AddPendingCall;
use coluber_engine::log::{LOG, Topic};
use coluber_engine::policy::SHORTEST_PERIOD_US;
use coluber_engine::stats::Counter;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a pending call may wait before the thread ends.
const IDLE_BEFORE_EXIT: Duration = Duration::from_millis(500);

struct Control {
    /// The thread runs.
    is_running: bool,
    /// The thread must end.
    must_stop: bool,
    /// A pending call is on its way.
    is_outstanding: bool,
    period_us: u64,
}

static CONTROL: Mutex<Control> =
    Mutex::new(Control { is_running: false, must_stop: false, is_outstanding: false, period_us: SHORTEST_PERIOD_US });
static CHANGED: Condvar = Condvar::new();

/// The interpreter of the open session, NULL without one.
static INTERPRETER: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// Sets the interpreter that samples go to. Without one (NULL) nothing is posted.
pub fn set_interpreter(interpreter: *mut c_void) {
    INTERPRETER.store(interpreter, Ordering::Release);
}

fn control() -> MutexGuard<'static, Control> {
    CONTROL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's handle.
#[derive(Default)]
pub struct Sampler {
    thread: Option<JoinHandle<()>>,
    /// Whether there should be a thread at all: not in the deterministic modes.
    pub is_wanted: bool,
}

impl Sampler {
    /// Starts the thread unless it runs. A refusal is not an error: the next sample tries again, and without any the
    /// program is interpreted.
    pub fn ensure_running(&mut self) {
        if !self.is_wanted || std::mem::replace(&mut control().is_running, true) {
            return;
        }
        self.join();
        control().must_stop = false;
        match threads::spawn("coluber-sample", Box::new(run)) {
            Ok(thread) => {
                LOG.line(Topic::Thread, || "sampling".into());
                self.thread = Some(thread);
            }
            Err(error) => {
                control().is_running = false;
                LOG.notice(&format!("no thread for finding hot code: {error}"));
            }
        }
    }

    /// Ends the thread and waits for it: microseconds, since it waits for nothing but this.
    pub fn stop(&mut self) {
        control().must_stop = true;
        CHANGED.notify_all();
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // It has no result.
            let _ = thread.join();
        }
    }
}

/// Sets the period, from the next sample on.
pub fn set_period(period_us: u64) {
    control().period_us = period_us;
}

/// Whether the thread runs.
pub fn is_running() -> bool {
    control().is_running
}

/// Posts the pending call, unless there is one on its way. From any thread.
pub fn post() {
    let interpreter = INTERPRETER.load(Ordering::Acquire);
    if interpreter.is_null() || std::mem::replace(&mut control().is_outstanding, true) {
        return;
    }
    // SAFETY: the call may be made from any thread, for an interpreter that lives: closing the session clears the
    // pointer and joins the threads that use it, before the interpreter ends.
    let result = unsafe { _PyEval_AddPendingCall(interpreter, run_sample, std::ptr::null_mut(), 0) };
    if result != 0 {
        control().is_outstanding = false;
    }
}

fn run() {
    let mut waited = Duration::ZERO;
    let mut state = control();
    loop {
        if state.must_stop {
            break;
        }
        let period = Duration::from_micros(state.period_us);
        state = CHANGED.wait_timeout(state, period).unwrap_or_else(PoisonError::into_inner).0;
        if state.must_stop {
            break;
        }
        if state.is_outstanding {
            STATS.add(Counter::SamplesSkipped, 1);
            waited += period;
            if waited >= IDLE_BEFORE_EXIT {
                break;
            }
            continue;
        }
        waited = Duration::ZERO;
        drop(state);
        post();
        state = control();
    }
    state.is_running = false;
}

/// The pending call: runs attached, between two instructions of the program.
unsafe extern "C" fn run_sample(_: *mut c_void) -> c_int {
    control().is_outstanding = false;
    // A panic must not unwind into the interpreter.
    let _ = std::panic::catch_unwind(heat::on_sample);
    0
}
