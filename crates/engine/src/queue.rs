//! Compiling: on a thread beside the program, or at once.
//!
//! The thread is started by the first job and ends when there was none for [`IDLE_BEFORE_EXIT`]; [`Queue::stop`] ends
//! it now (before a fork, at exit). It needs nothing of the interpreter. Its lock is held for moments only, never while
//! compiling, and never while calling out.
//!
//! A panic of a strategy ends that compilation: the unit gets a bailout with the message and place of the panic.

use crate::memory::{self, Compilation};
use crate::options::Fault;
use crate::strategy::{Artifact, CompileInput, Services, Strategy};
use crate::unit::UnitId;
use crate::{Bailout, BailoutReason};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the thread waits for a job before it ends.
pub const IDLE_BEFORE_EXIT: Duration = Duration::from_millis(500);
/// How long it waits before it gives the memory of the last compilations back.
const IDLE_BEFORE_TRIM: Duration = Duration::from_millis(20);
/// How much it compiles before it does so without waiting.
const COMPILED_BEFORE_TRIM_NS: u64 = 200_000_000;

/// Starts a thread. The caller decides how (it blocks all signals in it).
pub type Spawn = fn(&str, Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>>;

/// A compilation to be done.
pub struct Job {
    /// The unit.
    pub unit: UnitId,
    /// What compiles it.
    pub strategy: Arc<dyn Strategy>,
    /// The process.
    pub services: Arc<Services>,
    /// The snapshot.
    pub input: CompileInput,
}

/// A compilation done.
pub struct Finished {
    /// The unit.
    pub unit: UnitId,
    /// The version.
    pub version: u32,
    /// Code, or why there is none.
    pub result: Result<Artifact, Bailout>,
    /// How long it took.
    pub compile_ns: u64,
    /// What it took of a processor.
    pub compile_cpu_ns: u64,
}

thread_local! {
    /// While compiling: what a panic said and where.
    static PANIC: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

/// Makes panics of compilations silent; others are reported as ever.
fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let caught = PANIC.with(|slot| match &mut *slot.borrow_mut() {
                Some(message) => {
                    *message = Some(info.to_string().replace('\n', " "));
                    true
                }
                None => false,
            });
            if !caught {
                previous(info);
            }
        }));
    });
}

/// Does a compilation on this thread, whose processor time `cpu_ns` tells.
fn compile(job: &Job, cpu_ns: fn() -> u64) -> Finished {
    install_panic_hook();
    let (start, cpu_start) = (Instant::now(), cpu_ns());
    PANIC.set(Some(None));
    let fails_at = if let Fault::Memory(number) = job.services.fault { Some(number) } else { None };
    let compilation = Compilation::begin(fails_at);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        assert!(job.services.fault != Fault::Panic, "asked for by COLUBER_FAULT");
        let artifact = job.strategy.compile(&job.input, &job.services)?;
        memory::check().map(|()| artifact)
    }));
    drop(compilation);
    let message = PANIC.take().flatten();
    let result = outcome.unwrap_or_else(|payload| {
        // The payload's own destructor must not be a second panic.
        std::mem::forget(payload);
        let message = message.unwrap_or_else(|| "panic without a message".into());
        Err(Bailout::new(BailoutReason::Internal(message)))
    });
    Finished {
        unit: job.unit,
        version: job.input.version,
        result,
        compile_ns: u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
        compile_cpu_ns: cpu_ns().saturating_sub(cpu_start),
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    finished: Vec<Finished>,
    is_running: bool,
    must_stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Jobs and their results.
pub struct Queue {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    is_synchronous: bool,
    spawn: Spawn,
    calls: Calls,
}

/// What the thread calls.
#[derive(Clone, Copy)]
pub struct Calls {
    /// There is a result.
    pub notify: fn(),
    /// There has been nothing to do for a moment: the memory of the compilations can be given back.
    pub trim: fn(),
    /// There has been nothing to do for so long that the thread ends: nothing will be compiled soon.
    pub rest: fn(),
    /// Processor time of the calling thread, in nanoseconds.
    pub cpu_ns: fn() -> u64,
}

impl Queue {
    /// Compiles on threads that `spawn` starts and that make the calls. If it is to be synchronous, [`Queue::submit`]
    /// waits for the result; the thread is there because the program's may have little of its stack left.
    pub fn new(is_synchronous: bool, spawn: Spawn, calls: Calls) -> Self {
        Queue { shared: Arc::default(), thread: None, is_synchronous, spawn, calls }
    }

    /// Whether compiling has happened when [`Queue::submit`] returns.
    pub fn is_synchronous(&self) -> bool {
        self.is_synchronous
    }

    /// Adds a job. A thread that cannot be started is not an error: the job is done on this one.
    pub fn submit(&mut self, job: Job) {
        if self.is_synchronous {
            let job = Arc::new(job);
            let (there, shared, cpu_ns) = (job.clone(), self.shared.clone(), self.calls.cpu_ns);
            let body = move || {
                let finished = compile(&there, cpu_ns);
                shared.lock().finished.push(finished);
            };
            match (self.spawn)("coluber-compile", Box::new(body)) {
                // The body catches panics.
                Ok(thread) => drop(thread.join()),
                Err(_) => {
                    let finished = compile(&job, self.calls.cpu_ns);
                    self.shared.lock().finished.push(finished);
                }
            }
            return;
        }
        self.shared.lock().jobs.push_back(job);
        self.shared.changed.notify_all();
        self.ensure_running();
    }

    /// Starts the thread if there is work and no thread.
    pub fn ensure_running(&mut self) {
        if self.is_synchronous {
            return;
        }
        {
            let mut state = self.shared.lock();
            if state.is_running || state.jobs.is_empty() {
                return;
            }
            state.is_running = true;
            state.must_stop = false;
        }
        self.join();
        let (shared, calls) = (self.shared.clone(), self.calls);
        match (self.spawn)("coluber-compile", Box::new(move || work(&shared, calls))) {
            Ok(thread) => self.thread = Some(thread),
            Err(_) => {
                self.shared.lock().is_running = false;
                while let Some(job) = self.take_job() {
                    let finished = compile(&job, self.calls.cpu_ns);
                    self.shared.lock().finished.push(finished);
                }
            }
        }
    }

    fn take_job(&self) -> Option<Job> {
        self.shared.lock().jobs.pop_front()
    }

    /// Results so far.
    pub fn take_finished(&mut self) -> Vec<Finished> {
        std::mem::take(&mut self.shared.lock().finished)
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> usize {
        self.shared.lock().jobs.len()
    }

    /// Forgets jobs and results; the one being compiled still finishes.
    pub fn clear(&mut self) -> Vec<UnitId> {
        let mut state = self.shared.lock();
        let finished = std::mem::take(&mut state.finished);
        state.jobs.drain(..).map(|job| job.unit).chain(finished.into_iter().map(|finished| finished.unit)).collect()
    }

    /// Ends the thread after the compilation it is at; jobs stay. `false`: it took longer than `bound`.
    pub fn stop(&mut self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        let mut state = self.shared.lock();
        state.must_stop = true;
        self.shared.changed.notify_all();
        while state.is_running {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        self.join();
        true
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread catches panics; its result says nothing.
            let _ = thread.join();
        }
    }

    /// In the child of a fork that did not wait for the thread: there is no such thread here, and what it shared
    /// with this side is in an unknown state.
    pub fn abandon(&mut self) {
        std::mem::forget(self.thread.take());
        std::mem::forget(std::mem::take(&mut self.shared));
    }
}

fn work(shared: &Shared, calls: Calls) {
    let mut untrimmed_ns = 0;
    let mut state = shared.lock();
    loop {
        if state.must_stop {
            break;
        }
        let Some(job) = state.jobs.pop_front() else {
            let patience = if untrimmed_ns == 0 { IDLE_BEFORE_EXIT } else { IDLE_BEFORE_TRIM };
            let (next, timeout) = shared.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() && state.jobs.is_empty() {
                if untrimmed_ns == 0 {
                    drop(state);
                    (calls.rest)();
                    state = shared.lock();
                    if state.jobs.is_empty() {
                        break;
                    }
                    continue;
                }
                untrimmed_ns = 0;
                drop(state);
                (calls.trim)();
                state = shared.lock();
            }
            continue;
        };
        drop(state);
        let finished = compile(&job, calls.cpu_ns);
        drop(job);
        untrimmed_ns += finished.compile_ns.max(1);
        if untrimmed_ns > COMPILED_BEFORE_TRIM_NS {
            untrimmed_ns = 0;
            (calls.trim)();
        }
        state = shared.lock();
        state.finished.push(finished);
        drop(state);
        (calls.notify)();
        state = shared.lock();
    }
    state.is_running = false;
    shared.changed.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::{Decision, UnitView};
    use std::sync::atomic::{AtomicU32, Ordering};

    const NO_CALLS: Calls = Calls { notify: || {}, trim: || {}, rest: || {}, cpu_ns: || 0 };

    struct Panics;
    impl Strategy for Panics {
        fn name(&self) -> &'static str {
            "panics"
        }
        fn doc(&self) -> &'static str {
            "panics"
        }
        fn consider(&self, _: &UnitView<'_>) -> Decision {
            Decision::Compile
        }
        fn compile(&self, _: &CompileInput, _: &Services) -> Result<Artifact, Bailout> {
            panic!("index 3 of 2");
        }
    }

    fn job(unit: u32) -> Job {
        use coluber_bytecode::{Entry, ObjectId, ObjectTable, Snapshot};
        let snapshot = Snapshot {
            name: "m.f".into(),
            entry: Entry::Function,
            codes: vec![],
            function: None,
            globals: ObjectId(0),
            live: vec![],
            global_facts: vec![],
            global_entries: vec![],
            is_module: false,
            functions: vec![],
            super_attributes: vec![],
            classes: vec![],
            exits: vec![],
            objects: ObjectTable::default(),
        };
        let target = Target::default();
        Job {
            unit: UnitId(unit),
            strategy: Arc::new(Panics),
            services: Arc::new(Services {
                target,
                dump: Default::default(),
                forced_exits: crate::options::ForcedExits::Off,
                fault: Fault::None,
                prune: true,
                verify: false,
                pass_limit: None,
                all_handlers: false,
                units: None,
            }),
            input: CompileInput { snapshot, addresses: Default::default(), version: 1 },
        }
    }
    use coluber_backend::Target;

    fn spawn(_: &str, body: Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().spawn(body)
    }

    #[test]
    fn a_panic_becomes_a_bailout() {
        let mut queue = Queue::new(true, spawn, NO_CALLS);
        queue.submit(job(1));
        let finished = queue.take_finished();
        let Err(Bailout { reason: BailoutReason::Internal(message), .. }) = &finished[0].result else {
            panic!("not an internal bailout")
        };
        assert!(message.contains("index 3 of 2") && message.contains("queue.rs"), "{message}");
    }

    #[test]
    fn compiles_in_the_background_stops_and_starts_again() {
        static NOTIFIED: AtomicU32 = AtomicU32::new(0);
        let notify = || {
            NOTIFIED.fetch_add(1, Ordering::SeqCst);
        };
        let mut queue = Queue::new(false, spawn, Calls { notify, trim: || {}, rest: || {}, cpu_ns: || 0 });
        for round in 1..=2 {
            queue.submit(job(round));
            while NOTIFIED.load(Ordering::SeqCst) < round {
                std::thread::yield_now();
            }
            assert_eq!(queue.take_finished().len(), 1);
            assert!(queue.stop(Duration::from_secs(10)));
        }
    }

    #[test]
    fn says_that_it_rests_before_it_ends() {
        static RESTED: AtomicU32 = AtomicU32::new(0);
        let rest = || {
            RESTED.fetch_add(1, Ordering::SeqCst);
        };
        let mut queue = Queue::new(false, spawn, Calls { notify: || {}, trim: || {}, rest, cpu_ns: || 0 });
        queue.submit(job(1));
        let deadline = Instant::now() + Duration::from_secs(30);
        while queue.shared.lock().is_running && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(RESTED.load(Ordering::SeqCst), 1);
        assert_eq!(queue.take_finished().len(), 1);
    }

    #[test]
    fn does_jobs_at_once_when_no_thread_can_be_had() {
        let refuse: Spawn = |_, _| Err(std::io::Error::other("refused"));
        let mut queue = Queue::new(false, refuse, NO_CALLS);
        queue.submit(job(1));
        assert_eq!(queue.take_finished().len(), 1);
    }
}
