//! What exists between `enable()` and `disable()`.
//!
//! After `disable()` the session stays, closed, so that statistics can still be asked for.

use crate::road::Ticket;
use crate::sampler::Sampler;
use coluber_engine::policy::Period;
use coluber_engine::queue::Queue;
use coluber_engine::{Engine, Options, Services, Stats, UnitId};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, TryLockError};

/// The state of Coluber in this process.
pub struct Session {
    /// Whether it is between `enable()` and `disable()`.
    pub is_enabled: bool,
    /// The settings.
    pub options: Options,
    /// Units.
    pub engine: Engine,
    /// Compilations.
    pub queue: Queue,
    /// What strategies are told of the process.
    pub services: Arc<Services>,
    /// What installing a compiled unit needs, by unit.
    pub in_flight: HashMap<UnitId, Ticket>,
    /// Depth of `pause()`.
    pub paused: u32,
    /// The sampling period.
    pub period: Period,
    /// The sampling thread.
    pub sampler: Sampler,
}

static SESSION: Mutex<Option<Session>> = Mutex::new(None);

/// Why Coluber is off, if it tried to be on.
pub static OFF_REASON: Mutex<Option<String>> = Mutex::new(None);

/// The counters of the process.
pub static STATS: LazyLock<Arc<Stats>> = LazyLock::new(Arc::default);

/// Sets or clears the reason.
pub fn set_off_reason(reason: Option<String>) {
    *OFF_REASON.lock().unwrap_or_else(PoisonError::into_inner) = reason;
}

/// The reason.
pub fn off_reason() -> Option<String> {
    OFF_REASON.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Works with the session, if there is one (open or closed). `body` must not call into the interpreter in a way that
/// may run Python code, release the GIL, or free an object.
pub fn with<R>(body: impl FnOnce(&mut Session) -> R) -> Option<R> {
    SESSION.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(body)
}

/// The same, only while enabled.
pub fn with_enabled<R>(body: impl FnOnce(&mut Session) -> R) -> Option<R> {
    with(|session| session.is_enabled.then(|| body(session))).flatten()
}

/// The same from a fork handler, which may run on a thread that is not attached: gives up when the lock is taken.
pub fn try_with<R>(body: impl FnOnce(&mut Session) -> R) -> Option<R> {
    match SESSION.try_lock() {
        Ok(mut guard) => guard.as_mut().map(body),
        Err(TryLockError::Poisoned(guard)) => guard.into_inner().as_mut().map(body),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Opens a session; returns the closed one it replaces, to be dropped outside the lock.
pub fn open(session: Session) -> Option<Session> {
    SESSION.lock().unwrap_or_else(PoisonError::into_inner).replace(session)
}
