//! Threads that no signal reaches, and what happens to them at a fork.
//!
//! A signal handled on one of our threads would interrupt nothing: CPython expects them on threads of the program. So the
//! mask is set before the thread exists, not inside it.
//!
//! CPython counts threads right after a fork and warns of them (`warn_about_fork_with_threads`, 3.14 and 3.15). So ours
//! are joined before the fork, and a pending call, posted at the same time, starts them again in both processes when
//! the interpreter next attends to pending work, which is after it has counted.

use crate::{sampler, session};
use std::sync::Once;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a fork waits for the compilation that is under way. Longer than any compilation should take
/// (20 us a bytecode instruction); if it is exceeded, the fork goes on with a thread, as CPython will say.
pub const FORK_WAITS: Duration = Duration::from_secs(5);

/// Stack of a thread: what the code generator needs for the largest units, several times over.
const STACK_BYTES: usize = 16 << 20;

/// Starts a thread with all signals blocked.
pub fn spawn(name: &str, body: Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>> {
    let _blocked = BlockedSignals::new();
    std::thread::Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(body)
}

/// Gives freed memory back to the system. A thread that compiles has a heap of its own, which else keeps what its
/// largest compilation needed.
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called from any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// All signals are blocked on this thread as long as it lives.
struct BlockedSignals(libc::sigset_t);

impl BlockedSignals {
    fn new() -> Self {
        // SAFETY: the sets are plain data that the calls fill; the old mask is restored on drop.
        unsafe {
            let mut all = std::mem::zeroed();
            let mut old = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
            BlockedSignals(old)
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: restores the mask that was in force.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// Registers the fork handlers, once in the life of the process: they cannot be taken back, and do nothing while
/// there is no session.
pub fn watch_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handlers are functions of this library, which is never unloaded.
        unsafe { libc::pthread_atfork(Some(before_fork), None, Some(after_fork_in_child)) };
    });
}

static QUEUE_STOPPED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);

extern "C" fn before_fork() {
    session::try_with(|session| {
        if !session.is_enabled {
            return;
        }
        session.sampler.stop();
        let stopped = session.queue.stop(FORK_WAITS);
        QUEUE_STOPPED.store(stopped, std::sync::atomic::Ordering::Relaxed);
        // Both processes inherit it.
        sampler::post();
    });
}

extern "C" fn after_fork_in_child() {
    session::try_with(|session| {
        if !QUEUE_STOPPED.load(std::sync::atomic::Ordering::Relaxed) {
            session.queue.abandon();
        }
    });
}
