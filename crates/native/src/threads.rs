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

/// Gives back the memory in which the library's own code and constants are, 5 MB after a compilation: what is used again is
/// mapped again from the file.
pub fn unmap_code() {
    /// Ends the walk at the object that the address in `data` lies in, its read-only pages dropped.
    unsafe extern "C" fn visit(
        object: *mut libc::dl_phdr_info,
        _: libc::size_t,
        data: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader hands over a valid description of an object that stays mapped meanwhile.
        let (base, headers) = unsafe {
            let object = &*object;
            (object.dlpi_addr, std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)))
        };
        let segments = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
        let bounds = |header: &libc::Elf64_Phdr| (base + header.p_vaddr, base + header.p_vaddr + header.p_memsz);
        let own = data as u64;
        if !segments.clone().map(bounds).any(|(start, end)| (start..end).contains(&own)) {
            return 0;
        }
        // SAFETY: asks for a constant.
        let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(65536);
        // The loader writes into writable segments only, so these are as they are in the file.
        for header in segments.filter(|header| header.p_flags & libc::PF_W == 0) {
            let (start, end) = bounds(header);
            let (first, last) = (start.next_multiple_of(page), end / page * page);
            if first < last {
                // SAFETY: whole pages of a private mapping of a file, never written: a later access reads the file again.
                unsafe { libc::madvise(first as *mut libc::c_void, (last - first) as usize, libc::MADV_DONTNEED) };
            }
        }
        1
    }
    let own = unmap_code as *const () as *mut libc::c_void;
    // SAFETY: `visit` keeps to the loader's contract; the data is an address to compare with.
    unsafe { libc::dl_iterate_phdr(Some(visit), own) };
}

/// Processor time of the calling thread, in nanoseconds.
pub fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the structure.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
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
