//! The road of one unit: snapshot, compile, install, and out of use again.
//!
//! Everything that is needed of the runtime goes through here. A unit's record is made before it is compiled (compiled
//! code names its invalid flag), with its invariants registered; it is freed when no door leads to it and nobody is
//! inside. Records, doors and code memory are only touched while attached.

use crate::identity;
use crate::memory;
use crate::point::{self, Point};
use crate::session::{self, STATS};
use coluber_bytecode::Entry;
use coluber_cpython::ffi::{PyCode_AddWatcher, PyCode_ClearWatcher, code_event};
use coluber_cpython::public_ffi::{self as ffi, PyObject};
use coluber_cpython::raw::is_exactly;
use coluber_cpython::snapshot::{Dependency, Limits, Request, take_snapshot};
use coluber_cpython::{Attached, CodeRef, Frame, FunctionRef, hooks};
use coluber_engine::engine::InstalledFacts;
use coluber_engine::log::{LOG, Topic};
use coluber_engine::policy::Reaction;
use coluber_engine::queue::{Finished, Job};
use coluber_engine::strategy::ExitEvent;
use coluber_engine::{
    Artifact, Bailout, BailoutReason, CompileInput, Counter, Options, Services, UnitEntry, UnitId, UnitKey,
};
use coluber_runtime::arena::{Arena, write_perf_map_entry};
use coluber_runtime::doors;
use coluber_runtime::gil::UnderGil;
use coluber_runtime::unit::{UnitParts, UnitRecord, release, target};
use coluber_runtime::{invariants, observers, retire, tools};
use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// What installing a unit needs besides its code. Owns the record and references to the functions.
pub struct Ticket {
    record: *mut UnitRecord,
    functions: Vec<*mut PyObject>,
}

impl Ticket {
    /// Takes a reference to a function whose door is to be opened, once.
    ///
    /// # Safety
    /// A valid object; attached.
    unsafe fn hold(&mut self, function: *mut PyObject) {
        if !self.functions.contains(&function) {
            // SAFETY: promised by the caller.
            unsafe { ffi::Py_INCREF(function) };
            self.functions.push(function);
        }
    }
}

// SAFETY: a ticket waits in the session; it is only looked into while attached.
unsafe impl Send for Ticket {}

/// A version in use.
struct Installed {
    record: *mut UnitRecord,
    version: u32,
    /// Exits that spoke for nothing (safe points) when last looked at.
    benign_exits: u64,
    /// Its entries, and the number of the look, when it was last seen to be used.
    entries: u64,
    used_at: u64,
}

/// So many units may be installed without being used: what they refer to (a module that nobody else knows any more, for
/// one) stays alive as long as they are.
const MAX_IDLE_UNITS: usize = 200;
/// Most compilations that may wait.
const MAX_WAITING: usize = 100;
/// Installations between two looks at who is used.
const INSTALLATIONS_PER_LOOK: u64 = 50;

#[derive(Default)]
struct Ground {
    arena: Option<Arena>,
    installed: HashMap<UnitId, Installed>,
    /// How often something was installed, and how often it was looked who is used.
    installations: u64,
    looks: u64,
    code_watcher: Option<c_int>,
    /// While paused: units whose doors are closed, with the functions (references are held) that had them.
    paused: Vec<(UnitId, *mut UnitRecord, Vec<*mut PyObject>)>,
}

static GROUND: UnderGil<Option<Ground>> = UnderGil::new(None);

/// Works with the ground. `work` must not run Python code.
fn with<R>(py: Attached, work: impl FnOnce(&mut Ground) -> R) -> R {
    work(GROUND.borrow(py).get_or_insert_default())
}

/// Works with the arena alone, while nothing else of the ground is borrowed: opening doors calls into the interpreter.
fn with_arena<R>(py: Attached, work: impl FnOnce(&mut Arena) -> Result<R, String>) -> Result<R, String> {
    let mut arena = with(py, |ground| ground.arena.take()).ok_or("there is no code memory")?;
    let result = work(&mut arena);
    with(py, |ground| ground.arena = Some(arena));
    result
}

/// Takes what the runtime needs of the interpreter. The error says why nothing can be compiled; the text in `Ok` what has
/// to be done without.
pub fn open(py: Attached, options: &Options) -> Result<Option<String>, String> {
    let has_arena = with(py, |ground| ground.arena.is_some());
    if !has_arena {
        let perf_map = options.perf_map.then_some(write_perf_map_entry as _);
        let arena = Arena::new(usize::try_from(options.max_code.0).unwrap_or(usize::MAX), perf_map)?;
        with(py, |ground| ground.arena = Some(arena));
    }
    invariants::start(py)?;
    if let Err(message) = observers::start(py) {
        invariants::stop(py);
        return Err(format!("locals of compiled code could not be shown: {message}"));
    }
    let tools = tools::start(py);
    if let Err(message) = tools {
        observers::stop(py);
        invariants::stop(py);
        return Err(message);
    }
    if hooks::default_vectorcall(py).is_none() {
        tools::stop(py);
        observers::stop(py);
        invariants::stop(py);
        return Err("cannot find the vectorcall of functions".into());
    }
    let without = doors::start(py).err();
    // SAFETY: attached; the callback is a function of this library, which is never unloaded.
    let id = unsafe { PyCode_AddWatcher(on_code) };
    if id < 0 {
        // Units of dead code are kept then, which is only memory.
        // SAFETY: attached.
        unsafe { ffi::PyErr_Clear() };
    }
    with(py, |ground| ground.code_watcher = (id >= 0).then_some(id));
    Ok(without)
}

unsafe extern "C" fn on_code(event: c_int, code: *mut PyObject) -> c_int {
    if event == code_event::DESTROY {
        // A panic must not unwind into the interpreter.
        let _ = std::panic::catch_unwind(|| session::with(|session| session.engine.forget_code(code as u64)));
    }
    0
}

/// Takes all compiled code out of use and gives back what [`open`] took. Running code leaves at its next check.
pub fn close(py: Attached) {
    let (installed, watcher) = with(py, |ground| (std::mem::take(&mut ground.installed), ground.code_watcher.take()));
    for installed in installed.into_values() {
        // SAFETY: the ground owned the record.
        unsafe { retire::retire(py, installed.record) };
    }
    doors::stop(py);
    // What a pause holds is given back; nothing is in use any more.
    resume(py);
    collect(py);
    invariants::stop(py);
    tools::stop(py);
    observers::stop(py);
    if let Some(id) = watcher {
        // SAFETY: attached; the id is ours.
        unsafe {
            if PyCode_ClearWatcher(id) < 0 {
                ffi::PyErr_Clear();
            }
        }
    }
}

/// What strategies are told of the process.
pub fn services(py: Attached, options: &Options) -> Services {
    Services {
        verify: options.verify || cfg!(debug_assertions),
        pass_limit: options.pass_limit.parse().ok(),
        all_handlers: options.all_handlers,
        units: options.units.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?))),
        target: target(py),
        dump: coluber_engine::dump::DumpSettings::new(options),
        forced_exits: options.exits,
        fault: options.fault,
        prune: options.prune && options.hot != coluber_engine::options::Hot::Calls(1),
    }
}

/// The function that `frame` runs, if it is one.
unsafe fn function_of(frame: Frame) -> Option<FunctionRef> {
    // SAFETY: the frame is valid, its function slot holds an object or NULL.
    unsafe {
        let object = frame.function().object();
        if object.is_null() || !is_exactly(object, &raw mut ffi::PyFunction_Type) {
            return None;
        }
        let function = FunctionRef(object.cast());
        (function.code() == frame.code()).then_some(function)
    }
}

/// What a unit is about to be compiled from. All pointers are alive while the interpreter is not run.
pub struct Origin {
    code: CodeRef,
    function: Option<FunctionRef>,
    globals: *mut PyObject,
    builtins: *mut PyObject,
    /// A frame that stands where the unit would be entered.
    frame: Option<Frame>,
}

impl Origin {
    /// From the innermost frame. `is_at_entry`: the frame stands where the unit would be entered.
    ///
    /// # Safety
    /// A valid frame with a code object, and the thread attached.
    pub unsafe fn of_frame(frame: Frame, is_at_entry: bool) -> Origin {
        // SAFETY: promised by the caller.
        unsafe {
            Origin {
                code: frame.code(),
                function: function_of(frame),
                globals: frame.globals(),
                builtins: frame.builtins(),
                frame: is_at_entry.then_some(frame),
            }
        }
    }

    /// From a unit in use that is entered at its start, or a generator's.
    fn of_record(py: Attached, unit: &UnitRecord) -> Option<Origin> {
        let function = match unit.entry {
            Entry::Generator => None,
            _ => Some(FunctionRef(doors::any_function(py, unit)?.cast())),
        };
        Some(Origin { code: unit.code, function, globals: unit.globals, builtins: unit.builtins, frame: None })
    }
}

/// Whether a code object's functions make generators.
///
/// # Safety
/// A valid code object.
unsafe fn is_generator(code: CodeRef) -> bool {
    use coluber_cpython::layout::code::{FLAG_ASYNC_GENERATOR, FLAG_COROUTINE, FLAG_GENERATOR};
    // SAFETY: promised by the caller.
    unsafe { code.flags() & (FLAG_GENERATOR | FLAG_COROUTINE | FLAG_ASYNC_GENERATOR) != 0 }
}

/// Takes a snapshot of a unit. A loop's needs a frame.
fn snapshot(
    py: Attached,
    key: &UnitKey,
    exits: Vec<coluber_bytecode::ExitFact>,
    origin: &Origin,
) -> Result<(CompileInput, Ticket), Bailout> {
    let failed = |message: String| Bailout::new(BailoutReason::Snapshot(message));
    let Origin { code, function, globals, builtins, frame } = *origin;
    // SAFETY: what the origin names is alive; the pool holds what the snapshot names.
    unsafe {
        if code.active_tools(1 << hooks::TOOL_ID) != 0 {
            return Err(Bailout::new(BailoutReason::OtherTool));
        }
        let entry = match (key.entry, frame) {
            (UnitEntry::Function, _) if is_generator(code) => Entry::Generator,
            (UnitEntry::Function, _) => Entry::Function,
            (UnitEntry::Loop(header), Some(frame)) => {
                let base = frame.slot(code.slot_count() as usize);
                Entry::Loop { header, depth: frame.stackpointer().offset_from(base) as u32 }
            }
            (UnitEntry::Loop(_), None) => return Err(failed("no frame at the loop".into())),
        };
        // The function of a generator may be gone long before its unit (that of a generator expression is).
        let function = function.filter(|_| entry != Entry::Generator);
        let request = Request {
            code,
            function,
            globals,
            builtins,
            entry: entry.clone(),
            // What the locals of a generator hold now says little about where it will be resumed.
            frame: frame.filter(|_| entry != Entry::Generator),
            arguments: &[],
            exits,
            limits: Limits::default(),
            functions: &|version| doors::function_behind_door(py, version),
            is_volatile: &|dict, name| invariants::is_volatile(py, dict, name),
        };
        let mut taken = take_snapshot(py, request).map_err(|error| failed(error.to_string()))?;
        taken.snapshot.spread_exits();
        let objects: Vec<_> =
            (0..taken.pool.len()).map(|id| taken.pool.pointer(coluber_bytecode::ObjectId(id as u32))).collect();
        let codes: Vec<_> = taken.snapshot.codes.iter().map(|code| code.object).collect();
        let watched_classes: Vec<_> = taken
            .dependencies
            .iter()
            .filter_map(|dependency| match dependency {
                Dependency::Class { class, .. } => Some(objects[class.0 as usize]),
                _ => None,
            })
            .collect();
        let parts = UnitParts {
            name: taken.snapshot.name.clone(),
            entry,
            globals,
            builtins,
            objects: &objects,
            codes: &codes,
            watched_classes: &watched_classes,
        };
        let record = match UnitRecord::new(py, parts) {
            Ok(record) => record,
            Err(message) => {
                taken.pool.release(py);
                return Err(failed(message));
            }
        };
        if let (Entry::Loop { depth, .. }, Some(frame)) = (&(*record).entry, frame) {
            let shape = coluber_runtime::frames::stack_shape(frame, code.slot_count() as usize, *depth as usize);
            (*record).stack_shape.set(shape);
        }
        let registered = invariants::add(py, &*record, &taken.dependencies);
        taken.pool.release(py);
        let mut ticket = Ticket { record, functions: Vec::new() };
        // Closures must be able to die while the compiler works: they are looked for when the code is there.
        if (*record).entry == Entry::Function
            && code.free_count() == 0
            && let Some(function) = function
        {
            ticket.hold(function.object());
        }
        if let Err(message) = registered {
            discard(py, ticket);
            return Err(failed(message));
        }
        let addresses = (*record).addresses();
        Ok((CompileInput { snapshot: taken.snapshot, addresses, version: 0 }, ticket))
    }
}

/// Gives a ticket back. May run Python code.
fn discard(py: Attached, ticket: Ticket) {
    // SAFETY: the ticket owns the record and the references.
    unsafe {
        retire::retire(py, ticket.record);
        release(py, ticket.functions);
    }
    collect(py);
}

/// Frees retired units that nobody is inside. May run Python code.
fn collect(py: Attached) {
    retire::collect(py, |work| {
        // Without an arena there never was a unit.
        let _ = with_arena(py, |arena| {
            work(arena);
            Ok(())
        });
    });
}

/// Counts the units that are begun; true for those that the option `units` leaves out.
fn is_left_out() -> bool {
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    let number = BEGUN.fetch_add(1, Ordering::Relaxed) + 1;
    let range = session::with_enabled(|session| session.services.units).flatten();
    range.is_some_and(|(first, last)| !(first..=last).contains(&number))
}

/// A unit became hot, or a better version is wanted: snapshot, then to the compiler.
pub fn begin(py: Attached, unit: UnitId, origin: &Origin) {
    let known = session::with_enabled(|session| {
        let profile = session.engine.exit_profile();
        session.engine.get(unit).map(|unit| (unit.key.clone(), profile))
    });
    let Some(Some((key, exits))) = known else { return };
    if is_left_out() {
        session::with_enabled(|session| session.engine.bailed_out(unit, Bailout::new(BailoutReason::LeftOut)));
        return;
    }
    if memory::is_short() {
        session::with_enabled(|session| session.engine.bailed_out(unit, Bailout::new(BailoutReason::Memory)));
        return;
    }
    if session::with(|session| session.queue.waiting()).is_some_and(|waiting| waiting >= MAX_WAITING) {
        session::with_enabled(|session| session.engine.bailed_out(unit, Bailout::new(BailoutReason::Busy)));
        return;
    }
    let start = Instant::now();
    let taken = snapshot(py, &key, exits, origin);
    STATS.add(Counter::SnapshotNs, start.elapsed().as_nanos() as u64);
    match taken {
        Ok((mut input, ticket)) => {
            let mut waiting = Some(ticket);
            session::with_enabled(|session| {
                let Some(version) = session.engine.submitted(unit) else { return };
                input.version = version;
                session.in_flight.extend(waiting.take().map(|ticket| (unit, ticket)));
                let strategy = session.engine.strategy();
                let services = Arc::clone(&session.services);
                session.queue.submit(Job { unit, strategy, services, input });
            });
            if let Some(ticket) = waiting {
                discard(py, ticket);
            }
            // Nothing is finished yet unless compiling happens at once.
            install_finished(py);
        }
        Err(bailout) => {
            session::with_enabled(|session| session.engine.bailed_out(unit, bailout));
        }
    }
}

/// Puts compiled code into use, instead of the version before.
fn install(
    py: Attached,
    id: UnitId,
    version: u32,
    ticket: &mut Ticket,
    artifact: Artifact,
) -> Result<InstalledFacts, Bailout> {
    // SAFETY: the ticket owns the record.
    let unit = unsafe { &*ticket.record };
    if unit.is_invalid() {
        return Err(Bailout::new(BailoutReason::Invalidated));
    }
    let refused = |message: String| Bailout::new(BailoutReason::CodeMemory(message));
    let facts = InstalledFacts { code_bytes: artifact.code.bytes.len() as u64, bytecodes: artifact.bytecodes };
    make_room(py, facts.code_bytes as usize);
    with_arena(py, |arena| unit.install(py, arena, artifact.code)).map_err(refused)?;
    unit.look_after(session::with(|session| session.engine.policy().exit_limit(version)).unwrap_or(u64::MAX));
    let before = with(py, |ground| ground.installed.remove(&id));
    if let Some(before) = before {
        // SAFETY: installed records are alive.
        for function in doors::close_door(py, unsafe { &*before.record }) {
            // SAFETY: it had a door a moment ago, so it is alive.
            unsafe { ticket.hold(function) };
        }
        // SAFETY: it has just been taken out of the ground, which owned it.
        unsafe { retire::retire(py, before.record) };
    }
    // SAFETY: the unit's code object is alive; what the collector knows is too.
    if unit.entry == Entry::Function && unsafe { unit.code.free_count() } > 0 {
        for function in doors::find_functions(py, unit.code) {
            // SAFETY: as above.
            unsafe { ticket.hold(function) };
        }
    }
    // SAFETY: the unit is installed, the functions are held by the ticket.
    with_arena(py, |arena| unsafe { doors::open_door(py, arena, unit, &ticket.functions) }).map_err(refused)?;
    let record = std::mem::replace(&mut ticket.record, std::ptr::null_mut());
    with(py, |ground| {
        let used_at = ground.looks;
        ground.installed.insert(id, Installed { record, version, benign_exits: 0, entries: 0, used_at });
        ground.installations += 1;
    });
    Ok(facts)
}

/// Notes which units were used since the last time; returns the others, those that have not been used for longest first.
fn look_for_idle(py: Attached) -> Vec<UnitId> {
    with(py, |ground| {
        ground.looks += 1;
        let mut idle = Vec::new();
        for (id, installed) in &mut ground.installed {
            // SAFETY: installed records are alive.
            let unit = unsafe { &*installed.record };
            if unit.is_entered() || unit.entries.get() != installed.entries {
                (installed.entries, installed.used_at) = (unit.entries.get(), ground.looks);
            } else if installed.used_at + 1 < ground.looks {
                idle.push((installed.used_at, *id));
            }
        }
        idle.sort_unstable();
        idle.into_iter().map(|(_, id)| id).collect()
    })
}

/// Takes a unit out of use because it is not used. `false`: it is being compiled anew.
fn evict(py: Attached, id: UnitId) -> bool {
    if session::with(|session| session.engine.evict(id)) != Some(true) {
        return false;
    }
    if let Some(installed) = with(py, |ground| ground.installed.remove(&id)) {
        // SAFETY: it has just been taken out of the ground, which owned it.
        unsafe { retire::retire(py, installed.record) };
    }
    true
}

/// Now and then evicts the units that have not been used for longest, if there are many.
fn evict_idle(py: Attached) {
    let is_time = with(py, |ground| ground.installations / INSTALLATIONS_PER_LOOK > ground.looks);
    if is_time {
        let idle = look_for_idle(py);
        for id in idle.iter().take(idle.len().saturating_sub(MAX_IDLE_UNITS)) {
            evict(py, *id);
        }
        collect(py);
    }
}

/// Evicts units until the code memory has room for so many bytes, or none is idle.
fn make_room(py: Attached, bytes: usize) {
    let has_room = || with(py, |ground| ground.arena.as_ref().is_none_or(|arena| arena.has_room(bytes)));
    if has_room() {
        return;
    }
    for id in look_for_idle(py) {
        if evict(py, id) {
            collect(py);
            if has_room() {
                return;
            }
        }
    }
}

/// Puts into use what was compiled meanwhile.
pub fn install_finished(py: Attached) {
    let finished = session::with_enabled(|session| session.queue.take_finished()).unwrap_or_default();
    for Finished { unit, version, result, compile_ns, compile_cpu_ns } in finished {
        STATS.add(Counter::CompileNs, compile_ns);
        STATS.add(Counter::CompileCpuNs, compile_cpu_ns);
        let Some(Some(mut ticket)) = session::with_enabled(|session| session.in_flight.remove(&unit)) else {
            continue;
        };
        let start = Instant::now();
        let installed = result.and_then(|artifact| install(py, unit, version, &mut ticket, artifact));
        STATS.add(Counter::InstallNs, start.elapsed().as_nanos() as u64);
        session::with_enabled(|session| match installed {
            Ok(facts) => session.engine.installed(unit, facts),
            Err(bailout) => {
                if bailout.reason == BailoutReason::Invalidated {
                    STATS.add(Counter::StaleArtifacts, 1);
                }
                session.engine.bailed_out(unit, bailout);
            }
        });
        if ticket.record.is_null() {
            // SAFETY: the ticket owns the references.
            unsafe { release(py, ticket.functions) };
        } else {
            discard(py, ticket);
        }
        evict_idle(py);
    }
}

/// Takes units out of use whose invariants broke, and frees what can be freed. `true`: there were some.
pub fn attend(py: Attached) -> bool {
    let broken = retire::take_broken(py);
    for record in &broken {
        let owned = with(py, |ground| {
            let mut all = ground.installed.iter();
            let id = *all.find(|(_, each)| each.record.cast_const() == *record)?.0;
            Some((id, ground.installed.remove(&id)?.record))
        });
        // One that is being compiled is dropped when it comes back.
        let Some((id, record)) = owned else { continue };
        // SAFETY: it has just been taken out of the ground, which owned it.
        let stands_back = unsafe {
            let stands_back = (*record).stands_back.get();
            retire::retire(py, record);
            stands_back
        };
        session::with_enabled(|session| match stands_back {
            true => session.engine.stood_back(id),
            false => session.engine.invalidated(id),
        });
    }
    tools::attend(py);
    collect(py);
    coluber_cpython::pool::release_deferred(py);
    !broken.is_empty()
}

/// Closes all doors for a while; code that runs goes on.
pub fn pause(py: Attached) {
    let records = with(py, |ground| ground.installed.iter().map(|(id, each)| (*id, each.record)).collect::<Vec<_>>());
    for (id, record) in records {
        // SAFETY: installed records are alive.
        let functions = doors::close_door(py, unsafe { &*record });
        for function in &functions {
            // SAFETY: it had a door a moment ago, so it is alive.
            unsafe { ffi::Py_INCREF(*function) };
        }
        with(py, |ground| ground.paused.push((id, record, functions)));
    }
}

/// Opens what [`pause`] closed and what still is in use. May run Python code.
pub fn resume(py: Attached) {
    for (id, record, functions) in with(py, |ground| std::mem::take(&mut ground.paused)) {
        let is_in_use = with(py, |ground| ground.installed.get(&id).is_some_and(|each| each.record == record));
        if is_in_use {
            // SAFETY: installed records are alive; the functions are held.
            let opened = with_arena(py, |arena| unsafe { doors::open_door(py, arena, &*record, &functions) });
            if let Err(message) = opened {
                LOG.line(Topic::Install, || format!("a door stays closed: {message}"));
            }
        }
        // SAFETY: the references taken by `pause`.
        unsafe { release(py, functions) };
    }
}

/// Looks at the units of the code that `frame` runs: were they interrupted by the pending call that runs now, and do they
/// leave too often? True if something was done about it.
pub fn look_at_exits(py: Attached, frame: Frame) -> bool {
    // SAFETY: the frame is the innermost one of this attached thread and has a code object.
    let (code, key) = unsafe { (frame.code().0 as u64, identity::key(frame, UnitEntry::Function)) };
    let units = session::with_enabled(|session| {
        let units = session.engine.of_code(code);
        units.filter(|(_, unit)| unit.installed.is_some()).map(|(id, unit)| (id, unit.key.clone())).collect::<Vec<_>>()
    });
    let mut has_news = false;
    for (id, unit_key) in units.unwrap_or_default() {
        // SAFETY: as above.
        let point = unsafe { point::at(frame) };
        let is_at_entry = match (point, unit_key.entry) {
            (Point::Start, UnitEntry::Function) => true,
            (Point::BackEdge(header), UnitEntry::Loop(own)) => header == own,
            _ => false,
        };
        let was_interrupted = with(py, |ground| {
            let installed = ground.installed.get_mut(&id)?;
            // SAFETY: installed records are alive.
            let (all, against) = unsafe { &*installed.record }.exit_totals();
            let was_interrupted = all - against != installed.benign_exits;
            installed.benign_exits = all - against;
            Some(was_interrupted)
        });
        STATS.add(Counter::SamplesInCompiledCode, u64::from(was_interrupted == Some(true)));
        let is_same_world = (unit_key.globals, unit_key.builtins) == (key.globals, key.builtins);
        // SAFETY: as above.
        let origin = is_same_world.then(|| unsafe { Origin::of_frame(frame, is_at_entry) });
        // A snapshot of a loop needs a frame at its header.
        let origin = origin.filter(|_| is_at_entry || unit_key.entry == UnitEntry::Function);
        has_news |= judge(py, id, origin);
    }
    has_news
}

/// Looks at the units that were left often since the last time, whatever runs now. True if something was done about it.
pub fn look_at_noisy(py: Attached) -> bool {
    let mut has_news = false;
    for record in retire::take_noisy(py) {
        let found = with(py, |ground| {
            let mut all = ground.installed.iter();
            all.find(|(_, each)| each.record.cast_const() == record).map(|(id, each)| (*id, each.version))
        });
        let Some((id, version)) = found else { continue };
        // SAFETY: installed records are alive.
        let unit = unsafe { &*record };
        // When it is to be kept, it is looked at again after as many exits as it has had, and some.
        let limit = session::with(|session| session.engine.policy().exit_limit(version)).unwrap_or(u64::MAX);
        unit.look_after(unit.exits_against.get().max(limit));
        let origin = match unit.entry {
            Entry::Function | Entry::Generator => Origin::of_record(py, unit),
            Entry::Loop { .. } => None,
        };
        has_news |= judge(py, id, origin);
    }
    has_news
}

/// Loops that exit too often, to be looked at when one of their jumps is heard: only then a frame stands at the header.
static WANTED_LOOPS: UnderGil<Vec<(usize, u32, UnitId)>> = UnderGil::new(Vec::new());
/// How many there are.
static WANTED_COUNT: AtomicUsize = AtomicUsize::new(0);

fn want_loop(py: Attached, id: UnitId) {
    let place = with(py, |ground| {
        // SAFETY: installed records are alive.
        let unit = unsafe { &*ground.installed.get(&id)?.record };
        match unit.entry {
            Entry::Loop { header, .. } => Some((unit.code.0 as usize, header, id)),
            Entry::Function | Entry::Generator => None,
        }
    });
    let Some(place) = place else { return };
    let mut wanted = WANTED_LOOPS.borrow(py);
    if !wanted.contains(&place) {
        wanted.push(place);
        WANTED_COUNT.store(wanted.len(), Ordering::Relaxed);
    }
}

/// Whether [`look_at_loop`] wants to hear of jumps.
pub fn awaits_loops() -> bool {
    WANTED_COUNT.load(Ordering::Relaxed) > 0
}

/// A jump to a loop header was heard: judges the loop's unit if that was waited for.
pub fn look_at_loop(py: Attached, frame: Frame, header: u32) {
    // SAFETY: the innermost frame of this attached thread, which executes a jump of its code.
    let code = unsafe { frame.code() }.0 as usize;
    let found = {
        let mut wanted = WANTED_LOOPS.borrow(py);
        let found = wanted.iter().position(|(each, at, _)| (*each, *at) == (code, header));
        let found = found.map(|index| wanted.swap_remove(index).2);
        WANTED_COUNT.store(wanted.len(), Ordering::Relaxed);
        found
    };
    if let Some(id) = found {
        // SAFETY: as above.
        let origin = unsafe { Origin::of_frame(frame, true) };
        judge(py, id, Some(origin));
    }
}

/// Does what the engine says about the exits of a unit in use; without an origin it cannot be compiled now.
fn judge(py: Attached, id: UnitId, origin: Option<Origin>) -> bool {
    let seen = with(py, |ground| {
        let installed = ground.installed.get(&id)?;
        // SAFETY: installed records are alive.
        let unit = unsafe { &*installed.record };
        // Operands whose classes were not known cost what an exit costs; a second version knows them.
        let operands = if installed.version == 1 { unit.operands_noted() } else { 0 };
        Some((unit.exits_against.get() + operands, unit.exceptions_left(), unit.entries.get(), installed.version))
    });
    let Some((exits, exceptions, entries, version)) = seen else { return false };
    let is_last = session::with(|session| session.engine.policy().is_last(version)) == Some(true);
    // Exceptions that a next version would handle are reason for one, but none to give the unit up.
    let exits = if is_last { exits - exceptions } else { exits };
    let reaction = session::with_enabled(|session| {
        let reaction = session.engine.policy().on_exit(version, entries, exits);
        let is_possible = reaction != Reaction::Recompile || origin.is_some();
        is_possible && reaction != Reaction::Keep && !session.in_flight.contains_key(&id)
    });
    if reaction != Some(true) {
        if origin.is_none() {
            want_loop(py, id);
        }
        return false;
    }
    let facts = with(py, |ground| {
        // SAFETY: installed records are alive.
        ground.installed.get(&id).map(|installed| unsafe { &*installed.record }.exit_facts())
    });
    let facts = facts.unwrap_or_default();
    let Some(worst) = facts.iter().max_by_key(|fact| fact.count).cloned() else { return false };
    let event = ExitEvent { reason: &worst.reason, count: worst.count, version, entries, exits };
    match session::with_enabled(|session| session.engine.exited(id, &event, facts)) {
        Some(Reaction::Recompile) => {
            if let Some(origin) = origin {
                begin(py, id, &origin);
            }
            true
        }
        Some(Reaction::Retire) => {
            if let Some(installed) = with(py, |ground| ground.installed.remove(&id)) {
                // SAFETY: it has just been taken out of the ground, which owned it.
                unsafe { retire::retire(py, installed.record) };
            }
            true
        }
        Some(Reaction::Keep) | None => false,
    }
}

/// Gives back everything that waits for the compiler.
pub fn drop_in_flight(py: Attached) {
    let tickets = session::with(|session| std::mem::take(&mut session.in_flight)).unwrap_or_default();
    for (_, ticket) in tickets {
        discard(py, ticket);
    }
}

/// Whether calls of a function of this unit enter compiled code now.
pub fn is_open(py: Attached, key: &UnitKey) -> bool {
    let id = session::with_enabled(|session| session.engine.find(key)).flatten();
    // SAFETY: installed records are alive.
    id.is_some_and(|id| {
        with(py, |ground| {
            // SAFETY: installed records are alive.
            ground.installed.get(&id).is_some_and(|each| !unsafe { &*each.record }.is_invalid())
        })
    })
}

/// Entries and exits (benign ones not counted) of a unit's version in use, and its exits by reason.
pub fn exit_report(py: Attached, id: UnitId) -> (u64, u64, Vec<coluber_bytecode::ExitFact>) {
    with(py, |ground| {
        let Some(installed) = ground.installed.get(&id) else { return (0, 0, Vec::new()) };
        // SAFETY: installed records are alive.
        let unit = unsafe { &*installed.record };
        (unit.entries.get(), unit.exit_totals().1, unit.exit_facts())
    })
}

/// Bytes of code memory: mapped and used.
pub fn code_memory(py: Attached) -> (usize, usize) {
    with(py, |ground| ground.arena.as_ref().map_or((0, 0), |arena| arena.size()))
}
