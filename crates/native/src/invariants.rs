//! What installed units assume about the world, and who is told when it changes.
//!
//! Names are told apart by their hash: two names with one hash invalidate more than necessary, never less. Watcher
//! callbacks run in the middle of somebody's operation: they set the units' invalid flags, at once, and leave everything
//! else (closing doors) to a pending call.
//!
//! A dependency is registered, with its watcher armed, in the attached section that took the snapshot, before anything
//! can change.

use crate::sampler;
use coluber_cpython::hooks::{WatchCallbacks, Watchers};
use coluber_cpython::pool::ObjectPool;
use coluber_cpython::public_ffi::{self as ffi, PyObject};
use coluber_cpython::raw::is_exactly;
use coluber_cpython::snapshot::Dependency;
use coluber_cpython::{Attached, CodeRef, FunctionRef, TypeRef};
use coluber_runtime::doors;
use coluber_runtime::gil::UnderGil;
use coluber_runtime::unit::UnitRecord;
use std::collections::{HashMap, HashSet};

type Record = *const UnitRecord;

/// After so many changes a name is not assumed to be constant any more.
const CHANGES_OF_A_VOLATILE_NAME: u32 = 3;
/// Function events that say that something about a function changed lie between these.
const FUNCTION_MODIFIED: std::ops::RangeInclusive<i32> =
    coluber_cpython::ffi::function_event::MODIFY_CODE..=coluber_cpython::ffi::function_event::MODIFY_KWDEFAULTS;

#[derive(Default)]
struct Registry {
    watchers: Option<Watchers>,
    /// By dict and hash of the name.
    names: HashMap<usize, HashMap<isize, HashSet<Record>>>,
    classes: HashMap<usize, HashSet<Record>>,
    functions: HashMap<usize, HashSet<Record>>,
    /// By dict and hash of the name: how often it changed.
    changes: HashMap<(usize, isize), u32>,
    /// Records whose invariants broke since [`take_fired`].
    fired: Vec<Record>,
}

static REGISTRY: UnderGil<Option<Registry>> = UnderGil::new(None);

fn with<R>(py: Attached, work: impl FnOnce(&mut Registry) -> R) -> R {
    work(REGISTRY.borrow(py).get_or_insert_default())
}

/// Takes the watcher ids. The error says which sort is used up.
pub fn start(py: Attached) -> Result<(), String> {
    let callbacks = WatchCallbacks { dict: on_dict, class: on_class, function: on_function, code: on_code };
    let watchers = Watchers::acquire(py, callbacks)?;
    with(py, |registry| registry.watchers = Some(watchers));
    Ok(())
}

/// Gives the watcher ids back. From here on nothing may be assumed: the caller has invalidated all units.
pub fn stop(py: Attached) {
    let registry = with(py, std::mem::take);
    if let Some(watchers) = registry.watchers {
        watchers.release(py);
    }
}

/// The hash of an exact str; `None` for anything else.
fn name_hash(name: *mut PyObject) -> Option<isize> {
    // SAFETY: a key is a valid object; hashing an exact str runs no Python code and cannot fail.
    unsafe { is_exactly(name, &raw mut ffi::PyUnicode_Type).then(|| ffi::PyObject_Hash(name)) }
}

/// Whether a name changes too often to be assumed: for [`coluber_cpython::snapshot::Request`].
pub fn is_volatile(py: Attached, dict: *mut PyObject, name: *mut PyObject) -> bool {
    let Some(hash) = name_hash(name) else { return true };
    with(py, |registry| {
        registry.changes.get(&(dict as usize, hash)).is_some_and(|count| *count >= CHANGES_OF_A_VOLATILE_NAME)
    })
}

/// Registers what a unit assumes. The error says what cannot be watched.
pub fn register(py: Attached, record: Record, pool: &ObjectPool, dependencies: &[Dependency]) -> Result<(), String> {
    let Some(watchers) = with(py, |registry| registry.watchers.take()) else {
        return Err("there are no watchers".into());
    };
    let result = dependencies.iter().try_for_each(|dependency| match dependency {
        Dependency::Name { dict, name } => {
            let dict = pool.pointer(*dict);
            let hash = name_hash(pool.pointer(*name)).ok_or("a name is no str")?;
            // SAFETY: the pool holds the dict.
            if !unsafe { watchers.watch_dict(py, dict) } {
                return Err("a dict cannot be watched".to_string());
            }
            with(py, |registry| {
                registry.names.entry(dict as usize).or_default().entry(hash).or_default().insert(record);
            });
            Ok(())
        }
        Dependency::Class { class, version } => {
            let class = TypeRef(pool.pointer(*class).cast());
            // SAFETY: the pool holds the class.
            if !watchers.watch_class(py, class) || unsafe { class.version() } != *version {
                return Err("a class has used up its versions".to_string());
            }
            with(py, |registry| registry.classes.entry(class.0 as usize).or_default().insert(record));
            Ok(())
        }
        Dependency::Function { function } => {
            let function = pool.pointer(*function) as usize;
            with(py, |registry| registry.functions.entry(function).or_default().insert(record));
            Ok(())
        }
    });
    with(py, |registry| registry.watchers = Some(watchers));
    result
}

/// Forgets a unit; its record is about to be freed. It still holds references to what it depends on.
pub fn unregister(py: Attached, record: Record) {
    with(py, |registry| {
        let Registry { watchers, names, classes, functions, fired, .. } = registry;
        names.retain(|dict, by_hash| {
            by_hash.retain(|_, records| {
                records.remove(&record);
                !records.is_empty()
            });
            if by_hash.is_empty()
                && let Some(watchers) = watchers
            {
                // SAFETY: the record, which was the last to depend on the dict, holds it.
                unsafe { watchers.unwatch_dict(py, *dict as *mut PyObject) };
            }
            !by_hash.is_empty()
        });
        for table in [classes, functions] {
            table.retain(|_, records| {
                records.remove(&record);
                !records.is_empty()
            });
        }
        fired.retain(|each| *each != record);
    });
}

/// Records whose invariants broke since the last call.
pub fn take_fired(py: Attached) -> Vec<Record> {
    with(py, |registry| std::mem::take(&mut registry.fired))
}

impl Registry {
    fn fire(&mut self, records: HashSet<Record>) -> bool {
        let mut is_new = false;
        for record in records {
            // SAFETY: records are unregistered before they are freed.
            let unit = unsafe { &*record };
            if !unit.is_invalid() {
                unit.invalidate();
                self.fired.push(record);
                is_new = true;
            }
        }
        is_new
    }
}

/// Token of a watcher callback.
fn attached<'a>() -> Attached<'a> {
    // SAFETY: watcher callbacks run attached.
    unsafe { Attached::assume() }
}

fn on_dict(event: i32, dict: *mut PyObject, key: *mut PyObject, _value: *mut PyObject) {
    use coluber_cpython::ffi::dict_event::{ADDED, DELETED, MODIFIED};
    let address = dict as usize;
    let hash = if matches!(event, ADDED | MODIFIED | DELETED) && !key.is_null() { name_hash(key) } else { None };
    let fired = with(attached(), |registry| {
        let Some(by_hash) = registry.names.get_mut(&address) else { return false };
        let records = match hash {
            Some(hash) => {
                let Some(records) = by_hash.remove(&hash) else { return false };
                *registry.changes.entry((address, hash)).or_default() += 1;
                records
            }
            // Cleared, copied over or dying, or a key that may equal any name.
            None => by_hash.drain().flat_map(|(_, records)| records).collect(),
        };
        registry.fire(records)
    });
    if fired {
        sampler::post();
    }
}

fn on_class(class: TypeRef) {
    let fired = with(attached(), |registry| {
        let records = registry.classes.remove(&(class.0 as usize));
        records.is_some_and(|records| registry.fire(records))
    });
    if fired {
        sampler::post();
    }
}

fn on_function(event: i32, function: FunctionRef) {
    let py = attached();
    doors::on_function(py, event, function);
    if !FUNCTION_MODIFIED.contains(&event) {
        return;
    }
    let fired = with(py, |registry| {
        let records = registry.functions.remove(&(function.0 as usize));
        records.is_some_and(|records| registry.fire(records))
    });
    if fired {
        sampler::post();
    }
}

fn on_code(event: i32, code: CodeRef) {
    if event == coluber_cpython::ffi::code_event::DESTROY {
        crate::heat::forget_code(code.0 as u64);
    }
}
