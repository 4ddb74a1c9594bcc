//! Links: where calls of a function of known code, globals and builtins lead at present.
//!
//! Compiled code that calls such a function begins its frame, puts the arguments into it, and calls what the link names:
//! the unit whose function door is open, else [`interpret`]. A link lives as long as a unit that was
//! compiled with its address.

use crate::callees::interpret;
use crate::doors;
use crate::gil::UnderGil;
use crate::unit::{EntryFunction, UnitRecord};
use coluber_cpython::raw::{Attached, Frame, FunctionRef, ThreadState};
use pyo3_ffi::PyObject;
use std::cell::Cell;
use std::collections::HashMap;

/// What a link names. The frame begins at the top of the data stack and has arguments (owned, untagged) and function
/// (borrowed) filled in; it is gone when the call returns. NULL: an exception is set.
pub type Callee = unsafe extern "C" fn(ThreadState, Frame, *const Link) -> *mut PyObject;

/// See the module. Compiled code reads the first word.
#[repr(C)]
pub struct Link {
    target: Cell<Callee>,
    unit: Cell<*const UnitRecord>,
    users: Cell<usize>,
}

impl Link {
    /// The unit whose code is the target, or NULL.
    #[inline]
    pub fn unit(&self) -> *const UnitRecord {
        self.unit.get()
    }
}

/// Code, globals and builtins, by address. Units that have the link keep them alive.
type Key = (usize, usize, usize);

/// A link that a unit was compiled with.
#[derive(Clone, Copy)]
pub struct Use {
    key: Key,
    /// Its address.
    pub link: *const Link,
}

static LINKS: UnderGil<Option<HashMap<Key, Box<Link>>>> = UnderGil::new(None);

fn with<'py, R>(py: Attached<'py>, work: impl FnOnce(&mut HashMap<Key, Box<Link>>) -> R) -> R {
    work(LINKS.borrow(py).get_or_insert_default())
}

fn key_of_unit(unit: &UnitRecord) -> Key {
    (unit.code.0 as usize, unit.globals as usize, unit.builtins as usize)
}

/// The link for calls of functions like this one, with one more user.
///
/// # Safety
/// A valid function.
pub unsafe fn acquire(py: Attached, function: FunctionRef) -> Use {
    // SAFETY: promised by the caller.
    let (code, globals, builtins) = unsafe { (function.code(), function.globals(), function.builtins()) };
    let key = (code.0 as usize, globals as usize, builtins as usize);
    let unit = doors::open_unit(py, code, globals, builtins);
    let link = with(py, |links| {
        let link = links.entry(key).or_insert_with(|| {
            let link = Link { target: Cell::new(interpret), unit: Cell::new(std::ptr::null()), users: Cell::new(0) };
            point_at(&link, unit);
            Box::new(link)
        });
        link.users.set(link.users.get() + 1);
        std::ptr::from_ref(&**link)
    });
    Use { key, link }
}

/// Ends a use.
pub fn release(py: Attached, link: Use) {
    let key = link.key;
    with(py, |links| {
        if let Some(link) = links.get(&key) {
            link.users.set(link.users.get() - 1);
            if link.users.get() == 0 {
                links.remove(&key);
            }
        }
    });
}

fn point_at(link: &Link, unit: *const UnitRecord) {
    link.unit.set(unit);
    // SAFETY: a unit whose door is open is alive; a function's unit is entered like that.
    let entry = unsafe { unit.as_ref() }.and_then(|unit| unit.entry_function.get());
    link.target.set(match entry {
        // SAFETY: the types differ in what the third parameter points at, which a function's unit does not look at, and in
        // the result, which is the object.
        Some(entry) => unsafe { std::mem::transmute::<EntryFunction, Callee>(entry) },
        None => interpret,
    });
}

/// The unit's function door was opened: calls lead into it.
pub(crate) fn opened(py: Attached, unit: &UnitRecord) {
    with(py, |links| {
        if let Some(link) = links.get(&key_of_unit(unit)) {
            point_at(link, unit);
        }
    });
}

/// The unit's function door was closed: calls are the interpreter's.
pub(crate) fn closed(py: Attached, unit: &UnitRecord) {
    with(py, |links| {
        if let Some(link) = links.get(&key_of_unit(unit)).filter(|link| std::ptr::eq(link.unit(), unit)) {
            point_at(link, std::ptr::null());
        }
    });
}
