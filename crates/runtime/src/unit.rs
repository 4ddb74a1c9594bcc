//! The runtime's record of a unit, and what the back end is told of the process.
//!
//! A record is made before the unit is compiled (its invalid flag is compiled in) and lives until [`crate::retire`] frees
//! it: when its doors are closed and nobody is inside. It holds references to its code objects and to every object of
//! its pool, never to its function: that may die, and its door with it.

use crate::arena::{Arena, Place};
use crate::exits::raising_offset;
use crate::frames;
use crate::helpers;
use crate::links;
use crate::plan::{PlannedExit, plan_exit};
use crate::preserving;
use crate::profile::{self, PROFILE_SITES, SiteProfile};
use coluber_backend::{
    Addresses, CompiledCode, Layout, NativeAddresses, ProfileSite, RecordOffsets, Target, UnitAddresses,
};
use coluber_bytecode::{Entry, ExitFact, Kind, ObjectId};
use coluber_cpython::raw::{Attached, CodeRef, Frame, FunctionRef, is_exactly};
use coluber_cpython::{layout, pool};
use coluber_ir::Resume;
use coluber_ir::exit_table::{ExitKind, PackedExits};
use pyo3_ffi::{Py_DECREF, Py_INCREF, PyObject, PyThreadState};
use std::cell::{Cell, OnceCell, RefCell};
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering};

/// The machine code of a unit; see `ARCHITECTURE.md`. That of a function takes no buffer.
pub type EntryFunction = unsafe extern "C" fn(*mut PyThreadState, Frame, *mut u64) -> u64;
/// Result of compiled code: the frame is filled and the interpreter has to run it on.
pub const DEOPT: u64 = 1;
/// What `visited` holds while compiled code runs a frame.
pub const NATIVE_MARK: u8 = 0xc5;
/// The same for the frame of an inlined call, while it is linked.
pub const INLINED_MARK: u8 = 0xc6;
/// First buffer word that is free for exits: see [`door_bits`].
pub const FIRST_EXIT_WORD: u32 = 3;
/// Buffer word that tells the activation to leave after the present call.
pub const LEAVE_WORD: usize = 2;
/// What buffer word 0 holds when the frame is shown but no call is described: no exit has that number.
pub const NOT_DESCRIBED: u64 = u32::MAX as u64;
/// Bit of the word [`LEAVE_WORD`]: the end of the activation is to be looked after.
pub const LOOK_AFTER: u64 = 1 << 32;
/// Frames with their buffers must fit a fresh piece of the data stack.
pub const MAX_FRAME_WORDS: usize = 1500;

/// Low bit of buffer word 1: set when the loop door entered the unit.
pub mod door_bits {
    /// Entered by the loop door.
    pub const LOOP: u64 = 1;
}

/// A code object of a unit.
pub struct UnitCode {
    /// The code object; the unit has a reference.
    pub code: CodeRef,
    /// Its first instruction.
    pub units: *mut u16,
    /// `co_framesize`.
    pub frame_words: usize,
    /// Slots in front of the operand stack.
    pub slot_count: usize,
}

/// An exit that was taken.
pub struct TakenExit {
    /// What leaving does.
    pub plan: PlannedExit,
    /// How often it was taken.
    pub count: Cell<u64>,
    /// Types that made its guard fail, at most [`GUILTY_TYPES`].
    pub guilty: RefCell<Vec<GuiltyType>>,
}

/// The exits of an installed unit. Most are never taken, so each is worked out when it is.
#[derive(Default)]
pub struct UnitExits {
    packed: PackedExits,
    taken: Box<[OnceCell<Box<TakenExit>>]>,
}

impl UnitExits {
    fn new(packed: PackedExits) -> UnitExits {
        let taken = (0..packed.len()).map(|_| OnceCell::new()).collect();
        UnitExits { packed, taken }
    }

    /// An exit by its id.
    #[inline]
    pub fn get(&self, id: usize, codes: &[UnitCode]) -> Option<&TakenExit> {
        let taken = self.taken.get(id)?;
        Some(taken.get_or_init(|| {
            let mut plan = plan_exit(&self.packed.exit(id));
            // An exception that nobody in the unit handles costs here what it costs the interpreter.
            plan.benign |= plan.kind == ExitKind::Raise && handling_frame(&plan, codes).is_none();
            Box::new(TakenExit { plan, count: Cell::new(0), guilty: RefCell::default() })
        }))
    }

    /// Those that were worked out.
    pub fn taken(&self) -> impl Iterator<Item = &TakenExit> {
        self.taken.iter().filter_map(|taken| taken.get()).map(|taken| &**taken)
    }
}

/// How many types are told apart.
pub const GUILTY_TYPES: usize = 4;

/// A type that made a guard fail. Its class may be gone: the address is only good for comparing.
pub struct GuiltyType {
    /// Address of the type object.
    pub address: usize,
    /// Its version tag, by which it can be found again while it lives unchanged; 0 if it had none.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// What a unit is made from.
pub struct UnitParts<'a> {
    /// For people.
    pub name: String,
    /// Where it is entered.
    pub entry: Entry,
    /// Globals and builtins of its code: part of its identity.
    pub globals: *mut PyObject,
    /// See `globals`.
    pub builtins: *mut PyObject,
    /// The objects of the pool by id.
    pub objects: &'a [*mut PyObject],
    /// The code objects of the snapshot, its own first.
    pub codes: &'a [ObjectId],
    /// The classes that the unit depends on.
    pub watched_classes: &'a [*mut PyObject],
}

/// The record. Its address is in buffer word 1 and in the unit's stub.
#[repr(C, align(16))]
pub struct UnitRecord {
    /// Not zero as soon as an invariant is broken, or the unit retired for another reason.
    pub invalid: AtomicU64,
    /// Whether it was invalidated for the sake of another tool, which says nothing against it.
    pub stands_back: Cell<bool>,
    /// The machine code, once installed.
    pub entry_function: Cell<Option<EntryFunction>>,
    /// How often it was entered.
    pub entries: Cell<u64>,
    /// How many activations have ended.
    pub returns: Cell<u64>,
    /// Part of `eval_breaker` that was found to mean "no tool interested in this code"; `u64::MAX`, which is none, while
    /// the unit cannot be entered at all. So a door compares one word.
    pub checked_version: Cell<u64>,
    /// The own code.
    pub code: CodeRef,
    /// Its globals.
    pub globals: *mut PyObject,
    /// Its builtins.
    pub builtins: *mut PyObject,
    /// Size of its frame.
    pub frame_words: usize,
    /// Frame, buffer, outputs, inlined frames.
    pub total_words: Cell<usize>,
    /// `total_words` and the frames that an exit makes.
    pub reserved_words: Cell<usize>,
    /// The same in bytes, for compiled code.
    total_bytes: Cell<usize>,
    reserved_bytes: Cell<usize>,
    /// `co_argcount`.
    pub argument_count: usize,
    /// The number of positional arguments that fit without further ado; none if others are possible.
    pub exact_count: usize,
    /// Slots in front of the operand stack.
    pub slot_count: usize,
    /// Whether arguments can be bound by position alone.
    pub is_simple: bool,
    /// Where it is entered.
    pub entry: Entry,
    /// [`crate::frames::stack_shape`] at the loop that it was compiled for; `u64::MAX`: any will do.
    pub stack_shape: Cell<u64>,
    /// Offset of a RETURN_VALUE of the own code, if there is one.
    pub return_offset: Option<u32>,
    /// For people.
    pub name: String,
    /// All codes.
    pub codes: Vec<UnitCode>,
    /// The objects of the pool by id; references are held, but for `weak` ones and the cells of closures among them.
    pub objects: Vec<*mut PyObject>,
    /// What the unit refers to without keeping it alive. Its death breaks the unit.
    pub weak: WeakObjects,
    /// Links of the functions among the objects, by id.
    links: Vec<Option<links::Use>>,
    /// The C functions behind the objects, by id.
    natives: Vec<NativeAddresses>,
    /// The objects that references are held to, not counting those of [`UnitRecord::hold`].
    references: Vec<*mut PyObject>,
    /// References to `weak` objects that [`UnitRecord::hold`] took.
    held: RefCell<Vec<*mut PyObject>>,
    /// Exits by id, once installed.
    pub exits: OnceCell<UnitExits>,
    /// Exits that speak against the code, and how many more of them until somebody has to look at the unit.
    pub exits_against: Cell<u64>,
    /// See [`UnitRecord::look_after`].
    look_at: Cell<u64>,
    /// Its machine code.
    pub place: Cell<Option<Place>>,
    /// Its door's stub.
    pub stub: Cell<Option<Place>>,
    /// What compiled code notes of operands.
    pub profile: Box<[SiteProfile; PROFILE_SITES]>,
    /// Each site in use.
    pub profile_sites: OnceCell<Vec<ProfileSite>>,
}

/// Objects whose death is told, so that a unit need not keep them alive: see [`UnitRecord::hold`].
#[derive(Default)]
pub struct WeakObjects {
    /// Functions: the function watcher tells.
    pub functions: Vec<*mut PyObject>,
    /// Globals and builtins: the dict watcher tells.
    pub dicts: Vec<*mut PyObject>,
    /// Watched classes: they die by garbage collection only, which modifies them first (`type_clear`, 3.14 and 3.15).
    pub classes: Vec<*mut PyObject>,
}

impl WeakObjects {
    fn iter(&self) -> impl Iterator<Item = *mut PyObject> {
        self.functions.iter().chain(&self.dicts).chain(&self.classes).copied()
    }
}

/// Which objects a unit refers to weakly, and the others but for the cells of closures, which are held by these.
unsafe fn split_references(parts: &UnitParts) -> (WeakObjects, Vec<*mut PyObject>) {
    let mut weak = WeakObjects::default();
    let mut strong = Vec::new();
    let mut cells = Vec::new();
    // SAFETY: valid objects; a closure is a tuple of cells.
    unsafe {
        let all = parts.objects.iter().copied().chain([parts.globals, parts.builtins]);
        for object in all {
            if pool::is_immortal(object) {
                continue;
            }
            let list = if is_exactly(object, &raw mut pyo3_ffi::PyFunction_Type) {
                let closure = FunctionRef(object.cast()).closure();
                if !closure.is_null() {
                    let count = pyo3_ffi::PyTuple_GET_SIZE(closure);
                    cells.extend((0..count).map(|index| pyo3_ffi::PyTuple_GET_ITEM(closure, index)));
                }
                &mut weak.functions
            } else if parts.watched_classes.contains(&object) {
                &mut weak.classes
            } else if object == parts.globals || object == parts.builtins {
                &mut weak.dicts
            } else {
                &mut strong
            };
            if !list.contains(&object) {
                list.push(object);
            }
        }
    }
    strong.retain(|object| !cells.contains(object));
    (weak, strong)
}

impl UnitRecord {
    /// A record for a unit that will be compiled.
    ///
    /// # Safety
    /// The objects must be valid; those named by `codes` must be code objects.
    pub unsafe fn new(py: Attached, parts: UnitParts) -> Result<*mut UnitRecord, String> {
        use layout::code::*;
        // SAFETY: promised by the caller.
        unsafe {
            let codes: Vec<_> = parts.codes.iter().map(|id| CodeRef(parts.objects[id.0 as usize].cast())).collect();
            let code = codes[0];
            let flags = code.flags();
            let is_generator = flags & (FLAG_GENERATOR | FLAG_COROUTINE | FLAG_ASYNC_GENERATOR) != 0;
            if is_generator != (parts.entry == Entry::Generator) || flags & FLAG_ASYNC_GENERATOR != 0 {
                return Err("asynchronous generators, and loops of generators, are not entered".into());
            }
            let (weak, references) = split_references(&parts);
            for object in &references {
                Py_INCREF(*object);
            }
            let codes = codes.into_iter().map(|code| UnitCode {
                code,
                units: code.units(),
                frame_words: code.frame_size() as usize,
                slot_count: code.slot_count() as usize,
            });
            let is_simple = flags & (FLAG_VARARGS | FLAG_VARKEYWORDS) == 0
                && flags & FLAG_OPTIMIZED != 0
                && code.keyword_only_count() == 0;
            let record = UnitRecord {
                invalid: AtomicU64::new(0),
                stands_back: Cell::new(false),
                entry_function: Cell::new(None),
                entries: Cell::new(0),
                returns: Cell::new(0),
                checked_version: Cell::new(u64::MAX),
                code,
                globals: parts.globals,
                builtins: parts.builtins,
                frame_words: code.frame_size() as usize,
                total_words: Cell::new(0),
                reserved_words: Cell::new(0),
                total_bytes: Cell::new(0),
                reserved_bytes: Cell::new(0),
                argument_count: code.argument_count() as usize,
                exact_count: if is_simple { code.argument_count() as usize } else { usize::MAX },
                slot_count: code.slot_count() as usize,
                is_simple,
                entry: parts.entry,
                stack_shape: Cell::new(u64::MAX),
                return_offset: find_return(code),
                name: parts.name,
                codes: codes.collect(),
                objects: parts.objects.to_vec(),
                links: acquire_links(py, parts.objects),
                natives: parts.objects.iter().map(|object| native_addresses(*object)).collect(),
                references,
                weak,
                held: RefCell::default(),
                exits: OnceCell::new(),
                exits_against: Cell::new(0),
                look_at: Cell::new(u64::MAX),
                place: Cell::new(None),
                stub: Cell::new(None),
                profile: profile::new_sites(),
                profile_sites: OnceCell::new(),
            };
            Ok(Box::into_raw(Box::new(record)))
        }
    }

    /// For the back end.
    pub fn addresses(&self) -> Addresses {
        let offsets = RecordOffsets {
            checked_version: offset_of!(UnitRecord, checked_version) as i32,
            entries: offset_of!(UnitRecord, entries) as i32,
            returns: offset_of!(UnitRecord, returns) as i32,
            total_bytes: offset_of!(UnitRecord, total_bytes) as i32,
            reserved_bytes: offset_of!(UnitRecord, reserved_bytes) as i32,
        };
        let unit = UnitAddresses {
            is_function: self.entry == Entry::Function,
            record: std::ptr::from_ref(self) as u64,
            offsets,
            code: self.code.0 as u64,
            globals: self.globals as u64,
            builtins: self.builtins as u64,
            slot_count: self.slot_count as u32,
        };
        Addresses {
            unit,
            objects: self.objects.iter().map(|object| *object as u64).collect(),
            invalid_flag: (&raw const self.invalid) as u64,
            profile: self.profile.as_ptr() as u64,
            profile_sites: PROFILE_SITES as u32,
            codes: self.codes.iter().map(|code| (code.units as u64, code.frame_words as u32)).collect(),
            natives: self.natives.clone(),
            links: self.links.iter().map(|link| link.map_or(0, |link| link.link as u64)).collect(),
        }
    }

    /// Puts machine code into memory. Doors are opened afterwards.
    pub fn install(&self, _py: Attached, arena: &mut Arena, code: CompiledCode) -> Result<(), String> {
        let total =
            self.frame_words + code.exits.buffer_words.max(FIRST_EXIT_WORD) as usize + code.extra_words as usize;
        let inlined = code.exits.inlined.iter();
        let inlined = inlined.map(|codes| codes.iter().map(|code| self.codes[*code].frame_words).sum::<usize>());
        let reserved = total + inlined.max().unwrap_or(0).max(code.callee_words as usize);
        if reserved > MAX_FRAME_WORDS {
            return Err(format!("needs {reserved} words of the data stack, at most {MAX_FRAME_WORDS} are possible"));
        }
        let place = arena.allocate(&code.bytes, &self.name)?;
        let sites = self.profile_sites.set(code.profile_sites);
        debug_assert!(sites.is_ok(), "installed once");
        self.total_words.set(total);
        self.reserved_words.set(reserved);
        self.total_bytes.set(8 * total);
        self.reserved_bytes.set(8 * reserved);
        let exits = self.exits.set(UnitExits::new(code.exits));
        debug_assert!(exits.is_ok(), "installed once");
        self.place.set(Some(place));
        // SAFETY: the place holds a function of that type, made for this record.
        let entry = unsafe { std::mem::transmute::<*mut u8, EntryFunction>(place.address.as_ptr()) };
        self.entry_function.set(Some(entry));
        Ok(())
    }

    /// Keeps everything alive from now on for those inside, who may name it in the states they leave with. Called when the
    /// world begins to change, in front of the change; `dying` is beyond help. Nobody enters a broken unit, so without
    /// anybody inside it needs nothing any more.
    pub(crate) fn hold(&self, dying: usize) {
        let mut held = self.held.borrow_mut();
        if !self.is_entered() || !held.is_empty() {
            return;
        }
        for object in self.weak.iter().filter(|object| *object as usize != dying) {
            // SAFETY: the death of any of them would have broken the unit, and with that ended up here, before.
            unsafe { Py_INCREF(object) };
            held.push(object);
        }
    }

    /// Keeps the unit from being freed, as an activation inside would.
    pub fn pin(&self) {
        self.returns.set(self.returns.get().wrapping_sub(1));
    }

    /// Ends an activation, or what [`UnitRecord::pin`] began.
    pub fn let_go(&self) {
        self.returns.set(self.returns.get().wrapping_add(1));
    }

    /// Whether an activation is inside.
    pub fn is_entered(&self) -> bool {
        self.entries.get() != self.returns.get()
    }

    /// Whether new activations are refused.
    pub fn is_invalid(&self) -> bool {
        self.invalid.load(Ordering::Relaxed) != 0
    }

    /// Stops new activations; those inside leave at their next check.
    pub fn invalidate(&self) {
        self.invalid.store(1, Ordering::Relaxed);
        self.checked_version.set(u64::MAX);
    }

    /// An exit by its id; none before the unit is installed.
    #[inline]
    pub fn exit(&self, id: usize) -> Option<&TakenExit> {
        self.exits.get()?.get(id, &self.codes)
    }

    fn taken_exits(&self) -> impl Iterator<Item = &TakenExit> {
        self.exits.get().into_iter().flat_map(UnitExits::taken).filter(|exit| exit.count.get() > 0)
    }

    /// Counts an exit. Every so many exits that speak against the code somebody is asked to look at the unit.
    #[inline]
    pub fn count_exit(&self, exit: &TakenExit) {
        exit.count.set(exit.count.get() + 1);
        if !exit.plan.benign {
            let against = self.exits_against.get() + 1;
            self.exits_against.set(against);
            if against >= self.look_at.get() && !self.is_invalid() {
                self.look_at.set(u64::MAX);
                crate::retire::note_noisy(self);
            }
        }
    }

    /// Asks for the unit to be noted (see [`crate::retire::take_noisy`]) after so many more exits.
    pub fn look_after(&self, exits: u64) {
        self.look_at.set(self.exits_against.get().saturating_add(exits.max(1)));
    }

    /// What its exits say to the next compilation.
    pub fn exit_facts(&self) -> Vec<ExitFact> {
        let facts = self.taken_exits().filter(|exit| !exit.plan.benign).flat_map(|taken| {
            let plan = &taken.plan;
            // An exception is heard of in each activation that it passed.
            let last = if plan.kind == ExitKind::Raise { handling_frame(plan, &self.codes) } else { None };
            plan.frames[..=last.unwrap_or(0)].iter().map(|frame| {
                let offset = match frame.resume {
                    Resume::At { start, .. } => start,
                    Resume::PushResult { offset, .. } | Resume::DropResult { offset, .. } => offset,
                    Resume::Undone => unreachable!("a trial has no frame"),
                };
                ExitFact {
                    code: self.codes[frame.code].code.0 as usize,
                    offset,
                    reason: plan.reason.into(),
                    count: taken.count.get(),
                    classes: taken.guilty.borrow().iter().map(|known| known.version).collect(),
                }
            })
        });
        facts.chain(self.operand_facts()).collect()
    }

    /// How often it was left by an exception that a handler in it covers.
    pub fn exceptions_left(&self) -> u64 {
        let exceptions = self.taken_exits().filter(|exit| exit.plan.kind == ExitKind::Raise && !exit.plan.benign);
        exceptions.map(|exit| exit.count.get()).sum()
    }

    /// What it noted of operands and callees.
    fn operand_facts(&self) -> impl Iterator<Item = ExitFact> {
        let sites = self.profile_sites.get().into_iter().flatten();
        sites.zip(self.profile.iter()).filter(|(_, profile)| profile.count() > 0).map(|(site, profile)| {
            let (reason, classes) = match site.is_call {
                true => profile.callee(),
                false => ("Operands", profile.classes()),
            };
            ExitFact {
                code: self.codes[site.code as usize].code.0 as usize,
                offset: site.offset,
                reason: reason.into(),
                count: profile.count(),
                classes,
            }
        })
    }

    /// How many operands it has noted.
    pub fn operands_noted(&self) -> u64 {
        self.operand_facts().map(|fact| fact.count).sum()
    }

    /// How often it was left, and how often of these for something that speaks against the code.
    pub fn exit_totals(&self) -> (u64, u64) {
        (self.taken_exits().map(|exit| exit.count.get()).sum(), self.exits_against.get())
    }

    /// Frees the record, its code and its references.
    ///
    /// # Safety
    /// Nobody is inside, no door or registry leads to it, and the pointer is not used again. Runs Python code.
    pub unsafe fn free(record: *mut UnitRecord, py: Attached, arena: &mut Arena) -> Vec<*mut PyObject> {
        // SAFETY: made by `new`, given up by the caller.
        let record = unsafe { Box::from_raw(record) };
        for link in record.links.iter().flatten() {
            links::release(py, *link);
        }
        for place in [record.place.get(), record.stub.get()].into_iter().flatten() {
            // SAFETY: nobody is inside, and no function has the stub any more.
            unsafe { arena.free(place) };
        }
        let mut references = record.references;
        references.append(&mut record.held.borrow_mut());
        references
    }
}

/// Releases what [`UnitRecord::free`] returned, outside of all borrows: it may run Python code.
///
/// # Safety
/// Owned references.
pub unsafe fn release(_py: Attached, references: Vec<*mut PyObject>) {
    for object in references {
        // SAFETY: promised by the caller.
        unsafe { Py_DECREF(object) };
    }
}

/// What compiled code calls for an object of a unit.
fn native_addresses(object: *mut PyObject) -> NativeAddresses {
    // SAFETY: the caller passes valid objects.
    match unsafe { coluber_cpython::natives::find(object) } {
        Some(native) => NativeAddresses { function: native.function as u64, receiver: native.receiver as u64 },
        None => NativeAddresses::default(),
    }
}

/// Links for the functions among the objects.
unsafe fn acquire_links(py: Attached, objects: &[*mut PyObject]) -> Vec<Option<links::Use>> {
    let link = |object: &*mut PyObject| {
        let is_function = is_exactly(*object, &raw mut pyo3_ffi::PyFunction_Type);
        // SAFETY: the caller passes valid objects.
        is_function.then(|| unsafe { links::acquire(py, FunctionRef((*object).cast())) })
    };
    objects.iter().map(link).collect()
}

/// Index of the frame of an exit that handles an exception raised there.
fn handling_frame(plan: &PlannedExit, codes: &[UnitCode]) -> Option<usize> {
    plan.frames.iter().position(|frame| {
        // SAFETY: the unit holds its codes.
        unsafe { frames::has_handler(codes[frame.code].code, raising_offset(frame.resume)) }
    })
}

/// Offset of a RETURN_VALUE of a code object.
unsafe fn find_return(code: CodeRef) -> Option<u32> {
    use coluber_cpython::current::opcodes;
    // SAFETY: `co_code` is a bytes object with the base opcodes, two bytes per unit; it is released at the end.
    unsafe {
        let bytes = coluber_cpython::text::attribute(code.object(), c"co_code");
        if bytes.is_null() {
            pyo3_ffi::PyErr_Clear();
            return None;
        }
        let data = bytes.cast::<u8>().add(layout::bytes::OB_SVAL);
        let count = code.unit_count();
        let mut offset = 0;
        let mut found = None;
        while offset < count && found.is_none() {
            let opcode = data.add(2 * offset).read();
            if u16::from(opcode) == opcodes::RETURN_VALUE {
                found = Some(offset as u32);
            }
            offset += 1 + usize::from(opcodes::CACHES[usize::from(opcode)]);
        }
        Py_DECREF(bytes);
        found
    }
}

/// Addresses and offsets for the back end. Reads nothing but constants.
pub fn target(thread: Attached) -> Target {
    let types = Kind::ALL.iter().map(|kind| pool::type_of_kind(*kind).0 as u64).collect();
    // SAFETY: addresses of static objects.
    let (true_object, false_object, none_object) =
        unsafe { (pyo3_ffi::Py_True() as u64, pyo3_ffi::Py_False() as u64, pyo3_ffi::Py_None() as u64) };
    // SAFETY: the thread's own state.
    let interpreter = unsafe { thread.thread_state().interpreter() };
    let lowest = -layout::runtime::SMALL_NEGATIVE;
    let (in_call, in_loop) = if coluber_cpython::IS_DEBUG_BUILD {
        (preserving::dealloc_any_in_call as *const (), preserving::dealloc_any_in_loop as *const ())
    } else {
        (preserving::dealloc_in_call as *const (), preserving::dealloc_in_loop as *const ())
    };
    Target {
        helpers: helpers::address_table(),
        leave: crate::exits::leave as *const () as u64,
        leave_call: crate::enter::leave_call as *const () as u64,
        enter_slowly: crate::enter::enter_slowly as *const () as u64,
        drop_frame_object: preserving::drop_frame_object as *const () as u64,
        end_frame: preserving::end_frame as *const () as u64,
        finish_call: crate::enter::finish_call as *const () as u64,
        catch: crate::catch::catch as *const () as u64,
        dealloc: preserving::dealloc as *const () as u64,
        dealloc_in_call: in_call as u64,
        dealloc_in_loop: in_loop as u64,
        results: preserving::prepare(interpreter),
        box_int: preserving::box_int as *const () as u64,
        box_float: preserving::box_float as *const () as u64,
        make_tuple: helpers::make_tuple as *const () as u64,
        make_instance: helpers::make_empty_instance as *const () as u64,
        make_iterator: helpers::make_iterator as *const () as u64,
        unbox_int: preserving::unbox_int as *const () as u64,
        float_power: helpers::float_power as *const () as u64,
        power_exit_bits: helpers::POWER_EXIT_BITS,
        record_first_store: preserving::record_first_store as *const () as u64,
        finish_inlined_frame: preserving::finish_frame as *const () as u64,
        inlined_frame_word: u64::from(INLINED_MARK) << (8 * (layout::frame::VISITED - layout::frame::RETURN_OFFSET)),
        own_frame_word: u64::from(NATIVE_MARK) << (8 * (layout::frame::VISITED - layout::frame::RETURN_OFFSET)),
        note_callee: profile::note_callee as *const () as u64,
        call_moving: crate::callees::call_moving as *const () as u64,
        vectorcall: crate::creation::call as *const () as u64,
        types,
        foreign_dict_watchers: coluber_cpython::hooks::foreign_dict_watchers(),
        array_type_cell: coluber_cpython::arrays::type_cell(),
        true_object,
        false_object,
        none_object,
        exhausted_mark: (&raw const helpers::EXHAUSTED) as u64,
        small_ints: (
            layout::small_int(lowest).expect("the lowest small int") as u64,
            layout::runtime::SMALL_INT_SIZE as u32,
            lowest,
            layout::runtime::SMALL_POSITIVE - 1,
        ),
        debug_refcounts: coluber_cpython::IS_DEBUG_BUILD,
        incref: helpers::incref as *const () as u64,
        decref: helpers::decref as *const () as u64,
        layout: interpreter_layout(),
    }
}

fn interpreter_layout() -> Layout {
    use layout::*;
    Layout {
        ob_refcnt: object::OB_REFCNT as i32,
        ob_type: object::OB_TYPE as i32,
        ob_flags: object::OB_FLAGS as i32,
        float_value: float::OB_FVAL as i32,
        long_tag: long::LV_TAG as i32,
        long_digit: long::OB_DIGIT as i32,
        list_size: object::OB_SIZE as i32,
        list_items: list::OB_ITEM as i32,
        str_length: unicode::LENGTH as i32,
        dict_used: dict::MA_USED as i32,
        set_used: set::USED as i32,
        tuple_size: object::OB_SIZE as i32,
        tuple_items: tuple::OB_ITEM as i32,
        bytes_data: bytes::OB_SVAL as i32,
        bytearray_start: bytearray::OB_START as i32,
        array_items: coluber_cpython::arrays::ITEMS as i32,
        array_description: coluber_cpython::arrays::DESCRIPTION as i32,
        cell_ref: cell::OB_REF as i32,
        dict_keys: dict::MA_KEYS as i32,
        dict_watchers: dict::MA_WATCHER_TAG as i32,
        type_version_tag: type_object::TP_VERSION_TAG as i32,
        type_cached_keys: type_object::HT_CACHED_KEYS as i32,
        keys_version: dict_keys::DK_VERSION as i32,
        keys_shape: dict_keys::DK_LOG2_SIZE as i32,
        values_valid: dict_values::VALID as i32,
        values_capacity: dict_values::CAPACITY as i32,
        values_size: dict_values::SIZE as i32,
        managed_dict: instance::MANAGED_DICT as i32,
        function_code: function::FUNC_CODE as i32,
        range_iterator_start: range_iterator::START as i32,
        range_iterator_step: range_iterator::STEP as i32,
        range_iterator_length: range_iterator::LEN as i32,
        sequence_iterator_index: list_iterator::IT_INDEX as i32,
        enumerate_index: coluber_cpython::iterators::enumerate::INDEX as i32,
        sequence_iterator_sequence: list_iterator::IT_SEQ as i32,
        frame_executable: frame::EXECUTABLE as i32,
        frame_previous: frame::PREVIOUS as i32,
        frame_function: frame::FUNCOBJ as i32,
        frame_globals: frame::GLOBALS as i32,
        frame_builtins: frame::BUILTINS as i32,
        frame_locals_dict: frame::LOCALS as i32,
        frame_object: frame::FRAME_OBJ as i32,
        frame_instr_ptr: frame::INSTR_PTR as i32,
        frame_stackpointer: frame::STACKPOINTER as i32,
        frame_return_offset: frame::RETURN_OFFSET as i32,
        frame_owner: frame::OWNER as i32,
        frame_visited: frame::VISITED as i32,
        frame_localsplus: frame::LOCALSPLUS as i32,
        tstate_current_frame: thread_state::CURRENT_FRAME as i32,
        tstate_eval_breaker: thread_state::EVAL_BREAKER as i32,
        tstate_interp: thread_state::INTERP as i32,
        tstate_datastack_top: thread_state::DATASTACK_TOP as i32,
        tstate_datastack_limit: thread_state::DATASTACK_LIMIT as i32,
        tstate_c_stack_soft_limit: thread_state::C_STACK_SOFT_LIMIT as i32,
        tstate_py_recursion_remaining: thread_state::PY_RECURSION_REMAINING as i32,
        tstate_last_profiled_frame: coluber_cpython::differences::LAST_PROFILED_FRAME as i32,
        interpreter_eval_frame: interpreter_state::EVAL_FRAME as i32,
        tstate_exc_info: thread_state::EXC_INFO as i32,
        exc_item_value: thread_state::EXC_ITEM_VALUE as i32,
        code_bytes: code::CO_CODE_ADAPTIVE as i32,
        generator_state_from_frame: generator::GI_FRAME_STATE as i32 - generator::GI_IFRAME as i32,
        generator_suspended: i64::from(generator::STATE_SUSPENDED),
        generator_suspended_yield_from: i64::from(generator::STATE_SUSPENDED_YIELD_FROM),
        float_freelist: freelist_offsets(interpreter_state::FREELIST_FLOATS),
        int_freelist: freelist_offsets(interpreter_state::FREELIST_INTS),
        freelist_limit: freelist::MAX_FLOATS as i32,
        null_stackref: stack_ref::NULL as i64,
        borrowed_bit: stack_ref::TAG_REFCNT as i64,
        pending_bits: eval_breaker::EVENTS_MASK as i64,
    }
}

fn freelist_offsets(list: usize) -> (i32, i32) {
    ((list + layout::freelist::HEAD) as i32, (list + layout::freelist::SIZE) as i32)
}
