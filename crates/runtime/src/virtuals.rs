//! Objects that compiled code did without, made because it is left or because somebody looks at its locals.
//!
//! Such an object exists as the values of its fields, in words of the exit buffer. An exit makes it, out of the
//! references that compiled code held for the fields. If somebody looks at a local that holds one, it is made at once,
//! with references of its own, and kept; the activation is told to leave when the present call has returned, and the exit
//! then uses what was kept, because somebody may hold it.
//!
//! Nothing here runs Python code: references to the fields that turn out to be superfluous are handed back to the caller.

use crate::exits::fill_value;
use crate::gil::UnderGil;
use crate::helpers;
use crate::plan::{Fill, Make};
use crate::unit::UnitRecord;
use coluber_cpython::raw::{Attached, StackRef};
use coluber_ir::exit_table::VirtualShape;
use pyo3_ffi::{Py_DECREF, Py_NewRef, PyErr_Clear, PyLong_AsLongLong, PyObject};
use std::ptr;

/// An object made for an observer.
struct Kept {
    /// The unit's own frame.
    own: usize,
    /// The object's number in the unit.
    id: u32,
    object: usize,
}

static KEPT: UnderGil<Vec<Kept>> = UnderGil::new(Vec::new());

/// The objects that were made for observers of an activation, by number, with their references.
pub fn take_kept(py: Attached, own: usize) -> Vec<(u32, *mut PyObject)> {
    let mut taken = Vec::new();
    KEPT.borrow(py).retain(|kept| {
        if kept.own == own {
            taken.push((kept.id, kept.object as *mut PyObject));
        }
        kept.own != own
    });
    taken
}

/// Makes the objects of an exit, in order; NULL where memory is exhausted. Each comes with a reference, to be given back
/// by [`release`]. Objects in `kept` are used instead of new ones; what their fields were to be goes to `superfluous`.
///
/// # Safety
/// See [`fill_value`]; references that the exit takes are taken once.
pub unsafe fn make(
    buffer: *const u64,
    unit: &UnitRecord,
    plan: &[Make],
    mut kept: Vec<(u32, *mut PyObject)>,
    superfluous: &mut Vec<StackRef>,
) -> Vec<*mut PyObject> {
    let mut made: Vec<*mut PyObject> = Vec::with_capacity(plan.len());
    for make in plan {
        // SAFETY: promised by the caller; what a field refers to stands in front of it.
        let fill = |fill: &Fill| unsafe { fill_value(buffer, unit, &[], &made, *fill) };
        let object = match make {
            Make::Number(number) => fill(number).map_or(ptr::null_mut(), StackRef::object),
            Make::Object { id, shape, fields } => {
                let mut values = Vec::with_capacity(fields.len());
                let mut is_complete = true;
                for field in fields {
                    let value = fill(field);
                    is_complete &= value.is_some();
                    values.push(value.unwrap_or(StackRef::NULL));
                }
                if let Some(place) = kept.iter().position(|(known, _)| known == id) {
                    superfluous.extend(values);
                    kept.swap_remove(place).1
                } else if is_complete {
                    let values: Vec<*mut PyObject> = values.into_iter().map(StackRef::object).collect();
                    // SAFETY: the values come with references.
                    unsafe { new_object(unit, shape, &values) }
                } else {
                    superfluous.extend(values);
                    ptr::null_mut()
                }
            }
        };
        made.push(object);
    }
    // What nothing names any more was only seen by observers.
    for (_, object) in kept {
        // SAFETY: what was kept comes with a reference.
        superfluous.push(unsafe { StackRef::owned(object) });
    }
    made
}

/// Gives back the references of [`make`]; every object has found its place. False if one could not be made.
///
/// # Safety
/// What [`make`] returned, after the frames were filled.
pub unsafe fn release(made: Vec<*mut PyObject>) -> bool {
    let mut is_complete = true;
    for object in made {
        is_complete &= !object.is_null();
        if !object.is_null() {
            // SAFETY: a slot or another object holds it too.
            unsafe { Py_DECREF(object) };
        }
    }
    is_complete
}

/// A new tuple, instance or iterator that takes the references.
unsafe fn new_object(unit: &UnitRecord, shape: &VirtualShape, values: &[*mut PyObject]) -> *mut PyObject {
    // SAFETY: the values come with references; the class is one whose instances the default allocator makes, and its
    // layout was checked when the unit was compiled.
    unsafe {
        match shape {
            VirtualShape::Tuple => helpers::make_tuple(values.as_ptr(), values.len() as i64),
            VirtualShape::Instance { class, offsets } => {
                let class = unit.objects[class.0 as usize];
                helpers::make_instance(class, offsets, values)
            }
            VirtualShape::Iterator(walker) => {
                // Numbers have been boxed on the way.
                let open = |(number, &value): (usize, &*mut PyObject)| {
                    if walker.is_number(number as u32) {
                        let word = PyLong_AsLongLong(value) as u64;
                        Py_DECREF(value);
                        word
                    } else {
                        value as u64
                    }
                };
                let words: Vec<u64> = values.iter().enumerate().map(open).collect();
                helpers::make_iterator(*walker as u64, words.as_ptr())
            }
        }
    }
}

/// The object in a slot of an activation, for an observer: made now if it was not before. NULL (no exception) if memory is
/// exhausted; else borrowed.
///
/// # Safety
/// The buffer's words hold what the plan says, which is that of the activation's present call; `own` is its frame.
pub unsafe fn show(
    py: Attached,
    own: usize,
    buffer: *const u64,
    unit: &UnitRecord,
    plan: &[Make],
    place: u32,
) -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        let Make::Object { id, shape, fields } = &plan[place as usize] else { return ptr::null_mut() };
        let known = KEPT.borrow(py).iter().find(|kept| kept.own == own && kept.id == *id).map(|kept| kept.object);
        if let Some(object) = known {
            return object as *mut PyObject;
        }
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            values.push(match *field {
                Fill::Made(inner) => match &plan[inner as usize] {
                    Make::Object { .. } => {
                        let object = show(py, own, buffer, unit, plan, inner);
                        if object.is_null() { object } else { Py_NewRef(object) }
                    }
                    Make::Number(number) => {
                        fill_value(buffer, unit, &[], &[], *number).map_or(ptr::null_mut(), StackRef::object)
                    }
                },
                // Compiled code goes on holding its reference.
                Fill::Take(word) => {
                    fill_value(buffer, unit, &[], &[], Fill::Share(word)).map_or(ptr::null_mut(), StackRef::object)
                }
                other => fill_value(buffer, unit, &[], &[], other).map_or(ptr::null_mut(), StackRef::object),
            });
        }
        if values.contains(&ptr::null_mut()) {
            values.into_iter().filter(|value| !value.is_null()).for_each(|value| Py_DECREF(value));
            PyErr_Clear();
            return ptr::null_mut();
        }
        let object = new_object(unit, shape, &values);
        if object.is_null() {
            PyErr_Clear();
        } else {
            KEPT.borrow(py).push(Kept { own, id: *id, object: object as usize });
        }
        object
    }
}
