//! From version tags in inline caches back to classes and functions.
//!
//! CPython keeps small tables indexed by `version % size`: an entry is the right one if the object in it still has the
//! version. A class that another one displaced is found by walking all classes, which programs of thousands of classes cannot
//! afford at every snapshot: what a walk found is kept, and walked again only for versions given since.

use crate::layout::interpreter_state as interpreter;
use crate::raw::{Attached, FunctionRef, TypeRef};
use pyo3_ffi::PyObject;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Version tags from here on are those of classes that programs make; below, static types have theirs
/// (`_Py_TYPE_BASE_VERSION_TAG`, CPython 3.14, Include/internal/pycore_interp_structs.h).
const FIRST_OF_HEAP_TYPES: u32 = 2 << 16;

/// What walks have found.
#[derive(Default)]
struct Walked {
    /// Weak references to classes, owned, by version.
    classes: HashMap<u32, usize>,
    /// The newest version of a static type and of another class that a walk has met. Tags are given in ascending order, so an
    /// older one that is not here belongs to nobody any more.
    newest: [u32; 2],
}

static WALKED: Mutex<Option<Walked>> = Mutex::new(None);

fn walked() -> MutexGuard<'static, Option<Walked>> {
    WALKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The class with that version, borrowed.
pub(crate) fn class_by_version(py: Attached, version: u32) -> Option<TypeRef> {
    if version == 0 {
        return None;
    }
    // SAFETY: the table has that many entries; they are valid types or NULL (a dying type removes itself).
    let class = unsafe {
        let table = py.thread_state().interpreter().add(interpreter::TYPE_VERSION_CACHE).cast::<TypeRef>();
        table.add(version as usize % interpreter::TYPE_VERSION_CACHE_SIZE).read()
    };
    // SAFETY: as above.
    if !class.is_null() && unsafe { class.version() } == version {
        return Some(class);
    }
    let mut walked = walked();
    let walked = walked.get_or_insert_default();
    let family = usize::from(version >= FIRST_OF_HEAP_TYPES);
    if !walked.classes.contains_key(&version) && version > walked.newest[family] {
        walked.walk(py);
        // Found or not, nobody will get an older one.
        walked.newest[family] = version.max(walked.newest[family]);
    }
    let reference = *walked.classes.get(&version)? as *mut PyObject;
    let mut class = std::ptr::null_mut();
    // SAFETY: a weak reference that the index owns. A class is held by its own method resolution order: nothing dies here.
    unsafe {
        if pyo3_ffi::PyWeakref_GetRef(reference, &raw mut class) != 1 {
            return None;
        }
        pyo3_ffi::Py_DECREF(class);
        let class = TypeRef(class.cast());
        (class.version() == version).then_some(class)
    }
}

/// Gives back what walks have found.
pub fn forget_classes(_py: Attached) {
    if let Some(mut walked) = walked().take() {
        walked.clear();
    }
}

impl Walked {
    fn clear(&mut self) {
        for (_, reference) in self.classes.drain() {
            // SAFETY: owned. The death of a weak reference runs no Python code.
            unsafe { pyo3_ffi::Py_DECREF(reference as *mut PyObject) };
        }
    }

    /// Finds all classes that have a version.
    fn walk(&mut self, _py: Attached) {
        self.clear();
        // SAFETY: `type.__subclasses__` returns a new list of new references and runs no Python code. The list is dropped
        // while every class in it is still referred to by its own method resolution order.
        unsafe {
            let method = crate::text::attribute((&raw mut pyo3_ffi::PyType_Type).cast(), c"__subclasses__");
            if method.is_null() {
                pyo3_ffi::PyErr_Clear();
                return;
            }
            let mut seen = std::collections::HashSet::new();
            let mut pending = vec![(&raw mut pyo3_ffi::PyBaseObject_Type).cast::<PyObject>()];
            while let Some(class) = pending.pop() {
                if !seen.insert(class as usize) {
                    continue;
                }
                self.note(class);
                let list = pyo3_ffi::PyObject_CallOneArg(method, class);
                if list.is_null() {
                    pyo3_ffi::PyErr_Clear();
                    continue;
                }
                for index in 0..pyo3_ffi::PyList_Size(list) {
                    pending.push(pyo3_ffi::PyList_GetItem(list, index));
                }
                pyo3_ffi::Py_DECREF(list);
            }
            pyo3_ffi::Py_DECREF(method);
        }
    }

    unsafe fn note(&mut self, class: *mut PyObject) {
        // SAFETY: the caller passes a class. Without a callback the reference is the one that its bases have of it.
        unsafe {
            let version = TypeRef(class.cast()).version();
            if version == 0 {
                return;
            }
            let newest = &mut self.newest[usize::from(version >= FIRST_OF_HEAP_TYPES)];
            *newest = version.max(*newest);
            let reference = pyo3_ffi::PyWeakref_NewRef(class, std::ptr::null_mut());
            if reference.is_null() {
                pyo3_ffi::PyErr_Clear();
            } else if let Some(other) = self.classes.insert(version, reference as usize) {
                pyo3_ffi::Py_DECREF(other as *mut PyObject);
            }
        }
    }
}

/// The function that has `version`, borrowed. Of several closures with one version, the newest.
pub fn function_by_version(py: Attached, version: u32) -> Option<FunctionRef> {
    if version == 0 {
        return None;
    }
    // SAFETY: the table has that many items; a function that dies or loses its version removes itself.
    unsafe {
        let table = py.thread_state().interpreter().add(interpreter::FUNC_VERSION_CACHE);
        let item =
            table.add((version as usize % interpreter::FUNC_VERSION_CACHE_SIZE) * interpreter::FUNC_VERSION_CACHE_ITEM);
        let function = item.add(interpreter::FUNC_VERSION_CACHE_FUNC).cast::<FunctionRef>().read();
        (!function.is_null() && function.version() == version).then_some(function)
    }
}
