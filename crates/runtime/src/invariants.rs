//! What units assume of the world, and the watchers that notice when it is no longer so.
//!
//! A unit registers its dependencies in the same attached section in which its snapshot was taken. When one changes, the
//! unit's invalid flag is set at once: no new activation begins, and those inside leave at their next check. Closing its
//! doors and freeing its code is [`crate::retire`]'s business, as watchers are called in the middle of somebody's
//! operation.
//!
//! Names are told apart by the hash of the str: a clash invalidates one unit too many, nothing worse.

use crate::address_filter;
use crate::doors;
use crate::gil::UnderGil;
use crate::retire;
use crate::unit::UnitRecord;
use coluber_cpython::ffi::{dict_event, function_event};
use coluber_cpython::hooks::{WatchCallbacks, Watchers};
use coluber_cpython::raw::{Attached, CodeRef, FunctionRef, TypeRef, is_exactly};
use coluber_cpython::snapshot::Dependency;
use pyo3_ffi::PyObject;
use std::collections::HashMap;

type Units = Vec<*const UnitRecord>;

/// How often a name may change before it is not assumed any more.
const MAX_CHANGES: u32 = 3;

#[derive(Default)]
struct Registry {
    watchers: Option<Watchers>,
    /// By dict, then hash of the name.
    dicts: HashMap<usize, HashMap<isize, Units>>,
    classes: HashMap<usize, Units>,
    functions: HashMap<usize, Units>,
    /// Units by functions that they refer to, whatever else they assume of them.
    deaths: HashMap<usize, Units>,
    /// The same for globals and builtins.
    watched: HashMap<usize, Units>,
    /// Units by the codes they are made of.
    codes: HashMap<usize, Units>,
    /// How often a unit was invalidated by (dict, hash of the name).
    changes: HashMap<(usize, isize), u32>,
}

static REGISTRY: UnderGil<Option<Registry>> = UnderGil::new(None);

fn with<'py, R>(py: Attached<'py>, work: impl FnOnce(&mut Registry) -> R) -> R {
    work(REGISTRY.borrow(py).get_or_insert_default())
}

/// Takes watcher ids. Without them nothing may be assumed, and function doors cannot be opened.
pub fn start(py: Attached) -> Result<(), String> {
    let callbacks = WatchCallbacks { dict: on_dict, class: on_class, function: on_function, code: |_, _| {} };
    let watchers = Watchers::acquire(py, callbacks)?;
    with(py, |registry| registry.watchers = Some(watchers));
    Ok(())
}

/// Gives the watcher ids back. All units that assume anything must have been retired.
pub fn stop(py: Attached) {
    if let Some(watchers) = with(py, |registry| registry.watchers.take()) {
        watchers.release(py);
    }
}

/// The hash of an exact str; `None` for other keys.
unsafe fn name_hash(name: *mut PyObject) -> Option<isize> {
    if name.is_null() || !is_exactly(name, &raw mut pyo3_ffi::PyUnicode_Type) {
        return None;
    }
    // SAFETY: a str: no Python code runs, no error is possible.
    Some(unsafe { pyo3_ffi::PyObject_Hash(name) })
}

/// Whether the name changed so often that assuming it does not pay: what `snapshot::Request::is_volatile` asks for.
///
/// # Safety
/// Valid objects.
pub unsafe fn is_volatile(py: Attached, dict: *mut PyObject, name: *mut PyObject) -> bool {
    // SAFETY: promised by the caller.
    let Some(hash) = (unsafe { name_hash(name) }) else { return true };
    with(py, |registry| registry.changes.get(&(dict as usize, hash)).is_some_and(|changes| *changes >= MAX_CHANGES))
}

/// Registers what a unit assumes. After an `Err` it must not be installed (a part may be registered: [`forget`] it).
///
/// # Safety
/// The ids are those of the unit's objects; attached without interruption since the snapshot was taken.
pub unsafe fn add(py: Attached, unit: &UnitRecord, dependencies: &[Dependency]) -> Result<(), String> {
    let object = |id: coluber_bytecode::ObjectId| unit.objects[id.0 as usize];
    let key: *const UnitRecord = unit;
    for dependency in dependencies {
        if let Dependency::Store { dict, name } = *dependency {
            // SAFETY: promised by the caller.
            unsafe { set_volatile(py, object(dict), object(name)) };
        }
    }
    with(py, |registry| {
        let watchers = registry.watchers.as_ref().ok_or("no watcher ids")?;
        for dependency in dependencies {
            match *dependency {
                Dependency::Name { dict, name } => {
                    let (dict, name) = (object(dict), object(name));
                    // SAFETY: promised by the caller.
                    let Some(hash) = (unsafe { name_hash(name) }) else {
                        return Err("a name that is not a str".into());
                    };
                    let names = registry.dicts.entry(dict as usize).or_default();
                    // SAFETY: globals and builtins of a unit are dicts.
                    if names.is_empty() && !unsafe { watchers.watch_dict(py, dict) } {
                        return Err("a dict cannot be watched".into());
                    }
                    names.entry(hash).or_default().push(key);
                }
                Dependency::Class { class, version } => {
                    let class = TypeRef(object(class).cast());
                    // SAFETY: a class of the pool.
                    if !watchers.watch_class(py, class) || unsafe { class.version() } != version {
                        return Err("a class has changed or used up its versions".into());
                    }
                    registry.classes.entry(class.0 as usize).or_default().push(key);
                }
                Dependency::Store { .. } => {}
                Dependency::Function { function } => {
                    address_filter::add(object(function) as usize);
                    registry.functions.entry(object(function) as usize).or_default().push(key);
                }
            }
        }
        for code in &unit.codes {
            registry.codes.entry(code.code.0 as usize).or_default().push(key);
        }
        for function in &unit.weak.functions {
            address_filter::add(*function as usize);
            registry.deaths.entry(*function as usize).or_default().push(key);
        }
        for dict in &unit.weak.dicts {
            // SAFETY: globals and builtins of a unit are dicts.
            if !unsafe { watchers.watch_dict(py, *dict) } {
                return Err("a dict cannot be watched".into());
            }
            registry.watched.entry(*dict as usize).or_default().push(key);
        }
        Ok(())
    })
}

/// From now on nobody assumes the value of a name, which compiled code sets without a word to watchers.
unsafe fn set_volatile(py: Attached, dict: *mut PyObject, name: *mut PyObject) {
    // SAFETY: promised by the caller.
    let Some(hash) = (unsafe { name_hash(name) }) else { return };
    let broken = with(py, |registry| {
        registry.changes.insert((dict as usize, hash), MAX_CHANGES);
        registry.dicts.get_mut(&(dict as usize)).and_then(|names| names.remove(&hash))
    });
    break_units(py, broken.unwrap_or_default(), 0);
}

/// Removes a unit from the registry.
pub fn forget(py: Attached, unit: *const UnitRecord) {
    with(py, |registry| {
        let remove = |units: &mut Units| {
            units.retain(|other| *other != unit);
            !units.is_empty()
        };
        registry.classes.retain(|_, units| remove(units));
        registry.functions.retain(|_, units| remove(units));
        registry.codes.retain(|_, units| remove(units));
        registry.deaths.retain(|_, units| remove(units));
        let mut left = Vec::new();
        registry.dicts.retain(|dict, names| {
            names.retain(|_, units| remove(units));
            if names.is_empty() {
                left.push(*dict);
            }
            !names.is_empty()
        });
        registry.watched.retain(|dict, units| {
            let stays = remove(units);
            if !stays {
                left.push(*dict);
            }
            stays
        });
        if let Some(watchers) = &registry.watchers {
            for dict in left {
                if !registry.dicts.contains_key(&dict) && !registry.watched.contains_key(&dict) {
                    // SAFETY: dicts that died were removed then.
                    unsafe { watchers.unwatch_dict(py, dict as *mut PyObject) };
                }
            }
        }
    });
}

/// Something that the units assume is about to change, or to die.
fn break_units(py: Attached, units: Units, dying: usize) {
    for unit in units {
        // SAFETY: a unit is removed from the registry before it is freed.
        let record = unsafe { &*unit };
        record.invalidate();
        record.hold(dying);
        retire::note(py, unit);
    }
}

/// Breaks all units that run `code`, their own or inlined, because another tool listens to it. Returns them.
pub(crate) fn stand_back(py: Attached, code: CodeRef) -> Vec<*const UnitRecord> {
    let units = with(py, |registry| registry.codes.get(&(code.0 as usize)).cloned()).unwrap_or_default();
    for unit in &units {
        // SAFETY: a unit is removed from the registry before it is freed.
        unsafe { &**unit }.stands_back.set(true);
    }
    break_units(py, units.clone(), 0);
    units
}

fn on_dict(event: i32, dict: *mut PyObject, key: *mut PyObject, _value: *mut PyObject) {
    // SAFETY: watchers run attached.
    let py = unsafe { Attached::assume() };
    let single = matches!(event, dict_event::ADDED | dict_event::MODIFIED | dict_event::DELETED);
    // SAFETY: the key of such an event is an object.
    let hash = if single { unsafe { name_hash(key) } } else { None };
    let broken = with(py, |registry| match hash {
        Some(hash) => {
            let units = registry.dicts.get_mut(&(dict as usize))?.remove(&hash)?;
            *registry.changes.entry((dict as usize, hash)).or_default() += 1;
            Some(units)
        }
        None => {
            let address = dict as usize;
            if event != dict_event::DEALLOCATED {
                let names = registry.dicts.get_mut(&address)?;
                return Some(names.drain().flat_map(|(_, units)| units).collect());
            }
            registry.changes.retain(|(other, _), _| *other != address);
            let names = registry.dicts.remove(&address).into_iter().flatten();
            let mut units: Units = names.flat_map(|(_, units)| units).collect();
            units.extend(registry.watched.remove(&address).into_iter().flatten());
            Some(units)
        }
    });
    let dying = if event == dict_event::DEALLOCATED { dict as usize } else { 0 };
    break_units(py, broken.unwrap_or_default(), dying);
}

fn on_class(class: TypeRef) {
    // SAFETY: watchers run attached.
    let py = unsafe { Attached::assume() };
    let broken = with(py, |registry| registry.classes.remove(&(class.0 as usize)));
    break_units(py, broken.unwrap_or_default(), 0);
}

fn on_function(event: i32, function: FunctionRef) {
    // SAFETY: watchers run attached.
    let py = unsafe { Attached::assume() };
    // SAFETY: a new function is complete.
    let key = if event == function_event::CREATE { unsafe { function.code() }.0 } else { function.0 };
    if !address_filter::may_be_known(key as usize) {
        return;
    }
    let mut is_known = doors::on_function(py, event, function);
    let breaks = matches!(
        event,
        function_event::DESTROY
            | function_event::MODIFY_CODE
            | function_event::MODIFY_DEFAULTS
            | function_event::MODIFY_KWDEFAULTS
    );
    if breaks {
        let is_dying = event == function_event::DESTROY;
        let address = function.0 as usize;
        let broken = with(py, |registry| {
            let mut units = registry.functions.remove(&address).unwrap_or_default();
            if is_dying {
                units.extend(registry.deaths.remove(&address).into_iter().flatten());
            }
            units
        });
        is_known |= !broken.is_empty();
        break_units(py, broken, if is_dying { address } else { 0 });
    }
    if !is_known && address_filter::note_vain() {
        let known = doors::known_addresses(py).into_iter();
        with(py, |registry| {
            let ours = registry.functions.keys().chain(registry.deaths.keys()).copied();
            address_filter::renew(py, known.chain(ours));
        });
    }
}
