//! From version tags in inline caches back to classes and functions.
//!
//! CPython keeps small tables indexed by `version % size`: an entry is the right one if the object in it still has the
//! version. A class that another one displaced is found by walking all classes, once per pool.

use crate::layout::interpreter_state as interpreter;
use crate::raw::{Attached, FunctionRef, TypeRef};
use pyo3_ffi::PyObject;
use std::collections::HashMap;

/// Classes by version tag.
#[derive(Default)]
pub(crate) struct ClassIndex {
    walked: Option<HashMap<u32, usize>>,
}

impl ClassIndex {
    /// The class with that version, borrowed.
    pub(crate) fn find(&mut self, py: Attached, version: u32) -> Option<TypeRef> {
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
        let walked = self.walked.get_or_insert_with(|| walk_classes(py));
        let class = TypeRef(*walked.get(&version)? as *mut u8);
        // SAFETY: the walk found it in this attached section; a snapshot does not let classes die.
        (unsafe { class.version() } == version).then_some(class)
    }
}

/// All classes that have a version, by version.
fn walk_classes(_py: Attached) -> HashMap<u32, usize> {
    let mut found = HashMap::new();
    // SAFETY: `type.__subclasses__` returns a new list of new references and runs no Python code. The list is dropped
    // while every class in it is still referred to by its own method resolution order.
    unsafe {
        let method = crate::text::attribute((&raw mut pyo3_ffi::PyType_Type).cast(), c"__subclasses__");
        if method.is_null() {
            pyo3_ffi::PyErr_Clear();
            return found;
        }
        let mut seen = std::collections::HashSet::new();
        let mut pending = vec![(&raw mut pyo3_ffi::PyBaseObject_Type).cast::<PyObject>()];
        while let Some(class) = pending.pop() {
            if !seen.insert(class as usize) {
                continue;
            }
            let version = TypeRef(class.cast()).version();
            if version != 0 {
                found.insert(version, class as usize);
            }
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
    found
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
