//! Opening and closing doors: which functions and loops lead into which unit.
//!
//! *Function door*: all functions of a unit's code, globals and builtins get the unit's stub as vectorcall; those made
//! later through the function watcher. Setting a vectorcall takes the function's version away, so call sites ask for it;
//! closing restores both. While a door is open the code's `co_version` is zero, or warm call sites would not ask
//! functions made later. Functions are not kept alive: the watcher tells when one dies.
//!
//! *Loop door*: JUMP events of our monitoring tool on the code.

use crate::address_filter;
use crate::arena::Arena;
use crate::enter::{ATTENTION, attention, function_door, loop_door};
use crate::gil::UnderGil;
use crate::links;
use crate::stub::stub;
use crate::unit::UnitRecord;
use coluber_bytecode::Entry;
use coluber_cpython::ffi::{self, function_event};
use coluber_cpython::hooks::{self, Monitoring, event};
use coluber_cpython::raw::{Attached, CodeRef, FunctionRef};
use pyo3_ffi::{PyObject, vectorcallfunc};
use std::collections::HashMap;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Versions below this mean "never had one" (0) and "lost it" (1).
const FIRST_VALID_VERSION: u32 = 2;

/// The open function doors of one code object.
struct CodeDoors {
    /// What `co_version` was.
    version: u32,
    units: Vec<*const UnitRecord>,
}

/// A function that has a stub.
struct StubbedFunction {
    unit: *const UnitRecord,
    /// The version it had, 0 if it must not come back.
    version: u32,
}

#[derive(Default)]
struct Table {
    /// By code object.
    codes: HashMap<usize, CodeDoors>,
    /// By function object.
    functions: HashMap<usize, StubbedFunction>,
    /// Function by the version it had.
    versions: HashMap<u32, usize>,
    /// By code object and header.
    loops: HashMap<(usize, u32), *const UnitRecord>,
    /// Of generators, by code object. One of several with different globals is as good as none.
    generators: HashMap<usize, Vec<*const UnitRecord>>,
    /// Units whose function doors were closed because the C stack was half full, with their functions.
    deep: Vec<(*const UnitRecord, Vec<usize>)>,
    /// Units whose doors were closed by [`suspend`], with their functions.
    suspended: Vec<(*const UnitRecord, Vec<usize>)>,
    is_suspended: bool,
    monitoring: Option<Monitoring>,
    disable: usize,
}

static TABLE: UnderGil<Option<Table>> = UnderGil::new(None);
static DEFAULT: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// The vectorcall of functions without a door.
#[inline]
pub fn default_vectorcall() -> vectorcallfunc {
    let address = DEFAULT.load(Ordering::Relaxed);
    debug_assert!(!address.is_null());
    // SAFETY: `start` stored a function of that type before any door was opened.
    unsafe { std::mem::transmute::<*mut (), vectorcallfunc>(address) }
}

fn with<'py, R>(py: Attached<'py>, work: impl FnOnce(&mut Table) -> R) -> R {
    work(TABLE.borrow(py).get_or_insert_default())
}

/// Takes what doors need: the default vectorcall, and the monitoring tool for loops. The error says what is missing; when
/// it is only the tool, function doors still work.
pub fn start(py: Attached) -> Result<(), String> {
    let default = hooks::default_vectorcall(py).ok_or("cannot find the vectorcall of functions")?;
    DEFAULT.store(default as *mut (), Ordering::Relaxed);
    let monitoring = Monitoring::acquire(py)?;
    let disable = monitoring.disable_marker(py).ok_or("sys.monitoring.DISABLE is missing")?;
    let callback = hooks::make_builtin(py, c"coluber_loop_door", loop_door).ok_or("cannot make the loop callback")?;
    let registered = monitoring.register(py, event::JUMP, Some(callback));
    // SAFETY: the reference is ours; the registration has its own.
    unsafe { pyo3_ffi::Py_DECREF(callback) };
    if let Err(message) = registered {
        monitoring.release(py);
        return Err(message);
    }
    crate::generators::start(py);
    with(py, |table| {
        table.disable = disable as usize;
        table.monitoring = Some(monitoring);
    });
    Ok(())
}

/// Gives everything back: all doors are closed.
pub fn stop(py: Attached) {
    let units: Vec<_> = with(py, |table| {
        let functions = table.codes.values().flat_map(|doors| doors.units.iter().copied());
        let closed = table.deep.iter().chain(&table.suspended).map(|(unit, _)| *unit);
        let functions = functions.chain(table.generators.values().flatten().copied());
        functions.chain(table.loops.values().copied()).chain(closed).collect()
    });
    for unit in units {
        // SAFETY: units in the table are alive.
        close_door(py, unsafe { &*unit });
    }
    crate::generators::stop(py);
    if let Some(monitoring) = with(py, |table| table.monitoring.take()) {
        monitoring.release(py);
    }
}

/// Opens the unit's door: for `Entry::Function`, to the functions given (those of other code, globals or builtins are left
/// alone); for a loop, at its header.
///
/// # Safety
/// The unit is installed; the functions are function objects.
pub unsafe fn open_door(
    py: Attached,
    arena: &mut Arena,
    unit: &UnitRecord,
    functions: &[*mut PyObject],
) -> Result<(), String> {
    if unit.entry == Entry::Function && unit.stub.get().is_none() {
        let code = stub((&raw const *unit) as u64, function_door as *const () as u64);
        unit.stub.set(Some(arena.allocate(&code, &format!("{} [door]", unit.name))?));
    }
    let is_suspended = with(py, |table| {
        if table.is_suspended {
            let functions = functions.iter().map(|function| *function as usize).collect();
            table.suspended.push((unit, functions));
        }
        table.is_suspended
    });
    if is_suspended {
        return Ok(());
    }
    // SAFETY: promised by the caller.
    unsafe { open(py, unit, functions) }
}

/// The part of [`open_door`] that [`resume`] does again.
unsafe fn open(py: Attached, unit: &UnitRecord, functions: &[*mut PyObject]) -> Result<(), String> {
    match unit.entry {
        Entry::Loop { header, .. } => return open_loop(py, unit, header),
        Entry::Generator => {
            change_generators(py, unit, true);
            return Ok(());
        }
        Entry::Function => {}
    }
    address_filter::add(unit.code.0 as usize);
    with(py, |table| {
        let doors = table.codes.entry(unit.code.0 as usize).or_insert_with(|| {
            // SAFETY: the unit keeps the code alive.
            let version = unsafe { unit.code.version() };
            CodeDoors { version, units: Vec::new() }
        });
        let unit: *const UnitRecord = unit;
        if !doors.units.contains(&unit) {
            doors.units.push(unit);
        }
    });
    links::opened(py, unit);
    // In debug builds MAKE_FUNCTION asserts that the version is a real one.
    if !coluber_cpython::IS_DEBUG_BUILD {
        // SAFETY: as above.
        unsafe { unit.code.set_version(0) };
    }
    for function in functions {
        // SAFETY: promised by the caller.
        unsafe { give_stub(py, unit, FunctionRef(function.cast())) };
    }
    Ok(())
}

/// Sets the unit's stub as the function's vectorcall, if it is one of the unit's and has the default one.
unsafe fn give_stub(py: Attached, unit: &UnitRecord, function: FunctionRef) {
    // SAFETY: a function object; setting the vectorcall only writes two fields.
    unsafe {
        let Some(stub) = unit.stub.get() else { return };
        let is_default = function.vectorcall().map(|call| call as usize) == Some(default_vectorcall() as usize);
        if unit.is_invalid()
            || !is_default
            || function.code() != unit.code
            || function.globals() != unit.globals
            || function.builtins() != unit.builtins
        {
            return;
        }
        let version = function.version();
        address_filter::add(function.0 as usize);
        with(py, |table| {
            table.functions.insert(function.0 as usize, StubbedFunction { unit, version });
            if version >= FIRST_VALID_VERSION {
                table.versions.insert(version, function.0 as usize);
            }
        });
        let call = std::mem::transmute::<*mut u8, vectorcallfunc>(stub.address.as_ptr());
        ffi::PyFunction_SetVectorcall(function.object(), call);
    }
}

/// Gives a function its own vectorcall and version back.
unsafe fn take_stub(function: FunctionRef, version: u32) {
    // SAFETY: a function object that has one of our stubs.
    unsafe {
        ffi::PyFunction_SetVectorcall(function.object(), default_vectorcall());
        if version >= FIRST_VALID_VERSION {
            // `_PyFunction_SetVersion` wants a function that never had one.
            let field = function.0.add(coluber_cpython::layout::function::FUNC_VERSION).cast::<u32>();
            field.write(0);
            ffi::_PyFunction_SetVersion(function.object(), version);
        }
    }
}

/// Closes the unit's doors: calls and loops are the interpreter's again. Returns the functions that had the stub.
pub fn close_door(py: Attached, unit: &UnitRecord) -> Vec<*mut PyObject> {
    let key: *const UnitRecord = unit;
    with(py, |table| table.suspended.retain(|(suspended, _)| *suspended != key));
    match unit.entry {
        Entry::Loop { header, .. } => {
            close_loop(py, unit, header);
            return Vec::new();
        }
        Entry::Generator => {
            change_generators(py, unit, false);
            return Vec::new();
        }
        Entry::Function => {}
    }
    links::closed(py, unit);
    let (functions, code_version) = with(py, |table| {
        table.deep.retain(|(deep, _)| *deep != key);
        let mut functions = Vec::new();
        table.functions.retain(|function, stubbed| {
            if stubbed.unit == key {
                functions.push((*function, stubbed.version));
            }
            stubbed.unit != key
        });
        for (function, version) in &functions {
            if table.versions.get(version) == Some(function) {
                table.versions.remove(version);
            }
        }
        let mut code_version = None;
        let code = unit.code.0 as usize;
        if let Some(doors) = table.codes.get_mut(&code) {
            doors.units.retain(|open| *open != key);
            if doors.units.is_empty() {
                code_version = Some(doors.version);
                table.codes.remove(&code);
            }
        }
        (functions, code_version)
    });
    if let Some(version) = code_version {
        // SAFETY: the unit keeps the code alive.
        unsafe { unit.code.set_version(version) };
    }
    let mut closed = Vec::new();
    for (function, version) in functions {
        let function = FunctionRef(function as *mut u8);
        // SAFETY: the watcher removes dead functions from the table.
        unsafe { take_stub(function, version) };
        closed.push(function.object());
    }
    closed
}

/// Closes a unit's function doors until the C stack has room again.
#[cold]
pub fn close_because_deep(py: Attached, unit: &UnitRecord) {
    let functions: Vec<_> = close_door(py, unit).into_iter().map(|function| function as usize).collect();
    if !functions.is_empty() {
        with(py, |table| table.deep.push((unit, functions)));
        ATTENTION.fetch_or(attention::DEEP, Ordering::Relaxed);
    }
}

/// Opens what [`close_because_deep`] closed.
#[cold]
pub fn reopen_after_depth(py: Attached) {
    ATTENTION.fetch_and(!attention::DEEP, Ordering::Relaxed);
    let deep = with(py, |table| std::mem::take(&mut table.deep));
    for (unit, functions) in deep {
        // SAFETY: a unit in the list is alive: closing its door for good removes it.
        let unit = unsafe { &*unit };
        if !unit.is_invalid() {
            let functions: Vec<_> = functions.into_iter().map(|function| function as *mut PyObject).collect();
            // SAFETY: the watcher removes dead functions from the list.
            let _ = unsafe { open(py, unit, &functions) };
        }
    }
}

/// Closes all doors until [`resume`]; those that would be opened meanwhile stay closed.
pub fn suspend(py: Attached) {
    let units: Vec<_> = with(py, |table| {
        table.is_suspended = true;
        table
            .codes
            .values()
            .flat_map(|doors| doors.units.iter().copied())
            .chain(table.loops.values().copied())
            .chain(table.generators.values().flatten().copied())
            .collect()
    });
    for unit in units {
        // SAFETY: units in the table are alive.
        let functions = close_door(py, unsafe { &*unit });
        let functions = functions.into_iter().map(|function| function as usize).collect();
        with(py, |table| table.suspended.push((unit, functions)));
    }
}

/// Opens what [`suspend`] closed.
pub fn resume(py: Attached) {
    let suspended = with(py, |table| {
        table.is_suspended = false;
        std::mem::take(&mut table.suspended)
    });
    for (unit, functions) in suspended {
        // SAFETY: a unit in the list is alive: closing its door for good removes it.
        let unit = unsafe { &*unit };
        if !unit.is_invalid() {
            let functions: Vec<_> = functions.into_iter().map(|function| function as *mut PyObject).collect();
            // SAFETY: the watcher removes dead functions from the list. A loop that cannot be opened stays interpreted.
            let _ = unsafe { open(py, unit, &functions) };
        }
    }
}

/// Function watcher: called for functions that are made, changed or die, if [`address_filter`] knows the code of a new one,
/// or else the function. Runs no Python code.
/// Returns whether it was known.
pub fn on_function(py: Attached, what: i32, function: FunctionRef) -> bool {
    let address = function.0 as usize;
    match what {
        function_event::CREATE => {
            // SAFETY: the new function is complete.
            let code = unsafe { function.code() };
            let units = with(py, |table| table.codes.get(&(code.0 as usize)).map(|doors| doors.units.clone()));
            let is_known = units.is_some();
            for unit in units.into_iter().flatten() {
                // SAFETY: units in the table are alive.
                unsafe { give_stub(py, &*unit, function) };
            }
            is_known
        }
        function_event::DESTROY => with(py, |table| table.forget(address)),
        function_event::MODIFY_CODE => {
            let had_stub = with(py, |table| table.forget(address));
            if had_stub {
                // SAFETY: the function is alive; its version goes away with its code.
                unsafe { take_stub(function, 0) };
            }
            had_stub
        }
        // Call sites that know the old version must not find it again.
        _ => with(py, |table| {
            let Some(stubbed) = table.functions.get_mut(&address) else { return false };
            table.versions.remove(&stubbed.version);
            stubbed.version = 0;
            true
        }),
    }
}

/// Addresses that [`on_function`] wants to hear of.
pub fn known_addresses(py: Attached) -> Vec<usize> {
    with(py, |table| {
        let closed = table.deep.iter().chain(&table.suspended).flat_map(|(_, functions)| functions);
        table.codes.keys().chain(table.functions.keys()).chain(closed).copied().collect()
    })
}

impl Table {
    /// Removes a function; true if it had a stub.
    fn forget(&mut self, function: usize) -> bool {
        for (_, functions) in self.deep.iter_mut().chain(&mut self.suspended) {
            functions.retain(|deep| *deep != function);
        }
        let Some(stubbed) = self.functions.remove(&function) else { return false };
        if self.versions.get(&stubbed.version) == Some(&function) {
            self.versions.remove(&stubbed.version);
        }
        true
    }
}

/// The version by which a function can be found again; 0 if it has none. That of a function with a stub is ours.
pub(crate) fn version_of(py: Attached, function: FunctionRef) -> u32 {
    // SAFETY: the caller passes a valid function.
    let version = unsafe { function.version() };
    if version >= FIRST_VALID_VERSION {
        return version;
    }
    let stubbed = with(py, |table| table.functions.get(&(function.0 as usize)).map(|stubbed| stubbed.version));
    stubbed.filter(|version| *version >= FIRST_VALID_VERSION).unwrap_or(0)
}

/// The function whose version a door has taken: what `coluber_cpython::snapshot::Request::functions` asks for.
pub fn function_behind_door(py: Attached, version: u32) -> Option<*mut PyObject> {
    with(py, |table| table.versions.get(&version).map(|function| *function as *mut PyObject))
}

/// The unit whose door is open for functions of this code, globals and builtins, or NULL.
pub(crate) fn open_unit(
    py: Attached,
    code: CodeRef,
    globals: *mut PyObject,
    builtins: *mut PyObject,
) -> *const UnitRecord {
    with(py, |table| {
        let units = table.codes.get(&(code.0 as usize)).map_or(&[][..], |doors| &doors.units);
        // SAFETY: units in the table are alive.
        let is_its =
            |unit: &&*const UnitRecord| unsafe { (***unit).globals == globals && (***unit).builtins == builtins };
        units.iter().find(is_its).copied().unwrap_or(std::ptr::null())
    })
}

/// A function that has the unit's stub, if there is one.
pub fn any_function(py: Attached, unit: &UnitRecord) -> Option<*mut PyObject> {
    let key: *const UnitRecord = unit;
    with(py, |table| {
        let mut functions = table.functions.iter();
        functions.find(|(_, stubbed)| stubbed.unit == key).map(|(function, _)| *function as *mut PyObject)
    })
}

/// All functions of a code object, found by looking at every object the collector knows. Costs milliseconds.
pub fn find_functions(_py: Attached, code: CodeRef) -> Vec<*mut PyObject> {
    struct Search {
        code: CodeRef,
        found: Vec<*mut PyObject>,
    }
    unsafe extern "C" fn visit(object: *mut PyObject, search: *mut std::ffi::c_void) -> i32 {
        // SAFETY: the argument passed below; the collector's objects are valid.
        unsafe {
            let search = &mut *search.cast::<Search>();
            if coluber_cpython::raw::is_exactly(object, &raw mut pyo3_ffi::PyFunction_Type)
                && FunctionRef(object.cast()).code() == search.code
            {
                search.found.push(object);
            }
        }
        1
    }
    let mut search = Search { code, found: Vec::new() };
    // SAFETY: the callback runs no Python code and changes nothing.
    unsafe { ffi::PyUnstable_GC_VisitObjects(visit, (&raw mut search).cast()) };
    search.found
}

/// Whether loops can have doors: their tool id is ours.
pub fn has_loop_doors(py: Attached) -> bool {
    with(py, |table| table.monitoring.is_some())
}

/// What a jump leads to.
pub enum FoundLoop {
    /// A unit.
    Unit(*const UnitRecord),
    /// Nothing, and the location may be silenced by returning this object (borrowed).
    Disable(*mut PyObject),
    /// Nothing.
    Nothing,
}

/// Looks up the unit for a jump to `destination`.
pub fn find_loop(py: Attached, code: CodeRef, destination: u32) -> FoundLoop {
    with(py, |table| match table.loops.get(&(code.0 as usize, destination)) {
        Some(unit) => FoundLoop::Unit(*unit),
        None if table.disable != 0 => FoundLoop::Disable(table.disable as *mut PyObject),
        None => FoundLoop::Nothing,
    })
}

/// Opens or closes the door of a generator's unit.
fn change_generators(py: Attached, unit: &UnitRecord, opens: bool) {
    let key: *const UnitRecord = unit;
    let open = with(py, |table| {
        let units = table.generators.entry(unit.code.0 as usize).or_default();
        units.retain(|other| *other != key);
        if opens {
            units.push(key);
        }
        table.generators.retain(|_, units| !units.is_empty());
        table.generators.len()
    });
    crate::generators::doors_changed(py, open);
}

/// The unit for generators of a code object.
pub fn find_generator(py: Attached, code: CodeRef) -> Option<*const UnitRecord> {
    with(py, |table| match table.generators.get(&(code.0 as usize))?[..] {
        [unit] => Some(unit),
        _ => None,
    })
}

/// Changes our local events of a code object and changes them back, which instruments it for all that is listened to. Nothing
/// else that every interpreter exports does.
pub(crate) fn renew_events(py: Attached, code: CodeRef) {
    let (monitoring, has_loops) =
        with(py, |table| (table.monitoring.take(), table.loops.keys().any(|(other, _)| *other == code.0 as usize)));
    let Some(monitoring) = monitoring else { return };
    let events = [0, event::JUMP];
    // One of them changes nothing if memory is short; then the interpreter goes on with what it has.
    let _ = monitoring.set_local_events(py, code, events[usize::from(!has_loops)]);
    let _ = monitoring.set_local_events(py, code, events[usize::from(has_loops)]);
    with(py, |table| table.monitoring = Some(monitoring));
}

fn open_loop(py: Attached, unit: &UnitRecord, header: u32) -> Result<(), String> {
    let monitoring = with(py, |table| table.monitoring.take());
    let Some(monitoring) = monitoring else {
        return Err("sys.monitoring.OPTIMIZER_ID is not ours".into());
    };
    // Off and on again, so that locations that were silenced speak.
    let result = monitoring
        .set_local_events(py, unit.code, 0)
        .and_then(|()| monitoring.set_local_events(py, unit.code, event::JUMP));
    with(py, |table| {
        table.monitoring = Some(monitoring);
        if result.is_ok() {
            table.loops.insert((unit.code.0 as usize, header), unit);
        }
    });
    result
}

fn close_loop(py: Attached, unit: &UnitRecord, header: u32) {
    let code = unit.code.0 as usize;
    let (monitoring, others) = with(py, |table| {
        let key: *const UnitRecord = unit;
        if table.loops.get(&(code, header)) == Some(&key) {
            table.loops.remove(&(code, header));
        }
        (table.monitoring.take(), table.loops.keys().any(|(other, _)| *other == code))
    });
    if let Some(monitoring) = monitoring {
        if !others {
            // The events cost time only; nothing is wrong if they stay.
            let _ = monitoring.set_local_events(py, unit.code, 0);
        }
        with(py, |table| table.monitoring = Some(monitoring));
    }
}
