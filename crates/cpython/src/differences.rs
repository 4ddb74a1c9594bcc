//! What the supported versions do differently, behind one signature each.
//!
//! The runtime calls these and knows no version. Each function does what the interpreter of its version does at the place
//! its comment names.

use crate::ffi;
use crate::layout;
use crate::raw::{Frame, ThreadState};
use pyo3_ffi::*;
use std::ptr;

#[cfg(Py_3_15)]
unsafe extern "C" {
    /// Merges `other` into `dict`; 0, or -1 with an exception and, for a duplicate, a new reference in `duplicate`.
    fn _PyDict_MergeUniq(dict: *mut PyObject, other: *mut PyObject, duplicate: *mut *mut PyObject) -> i32;
    /// Resolves a lazy import. New reference.
    fn _PyImport_LoadLazyImportTstate(tstate: *mut PyThreadState, lazy: *mut PyObject) -> *mut PyObject;
}

/// `last_profiled_frame` of the thread state, or 0 where there is none.
#[cfg(Py_3_15)]
pub const LAST_PROFILED_FRAME: usize = layout::thread_state::LAST_PROFILED_FRAME;
/// `last_profiled_frame` of the thread state, or 0 where there is none.
#[cfg(not(Py_3_15))]
pub const LAST_PROFILED_FRAME: usize = 0;

/// A frame is unlinked: the remote profiler's mark moves to the one below (`_PyThreadState_UpdateLastProfiledFrame` of
/// `pycore_interpframe.h`, 3.15).
///
/// # Safety
/// The state of the calling thread, and frames of it.
#[inline]
pub unsafe fn update_last_profiled_frame(tstate: ThreadState, frame: Frame, previous: Frame) {
    #[cfg(Py_3_15)]
    // SAFETY: promised by the caller.
    unsafe {
        let last = tstate.0.add(layout::thread_state::LAST_PROFILED_FRAME).cast::<Frame>();
        if last.read() == frame {
            last.write(previous);
            let sequence = tstate.0.add(layout::thread_state::LAST_PROFILED_FRAME_SEQ).cast::<usize>();
            sequence.write(sequence.read().wrapping_add(1));
        }
    }
    #[cfg(not(Py_3_15))]
    let _ = (tstate, frame, previous, layout::frame::PREVIOUS);
}

/// `dict.update` failed with an AttributeError: sets what `{**mapping}` raises (`Python/generated_cases.c.h`,
/// DICT_UPDATE). 3.15 keeps the AttributeError when a `keys` method exists but failed.
///
/// # Safety
/// An exception is set; an object.
pub unsafe fn raise_not_a_mapping(mapping: *mut PyObject) {
    #[cfg(not(Py_3_15))]
    // SAFETY: an object.
    unsafe {
        PyErr_Format(PyExc_TypeError, c"'%.200s' object is not a mapping".as_ptr(), (*Py_TYPE(mapping)).tp_name);
    }
    #[cfg(Py_3_15)]
    // SAFETY: objects; the raised exception is put back or released.
    unsafe {
        let raised = PyErr_GetRaisedException();
        let has_keys = PyObject_HasAttrStringWithError(mapping, c"keys".as_ptr());
        if has_keys == 0 {
            PyErr_Format(PyExc_TypeError, c"'%T' object is not a mapping".as_ptr(), mapping);
            Py_DECREF(raised);
        } else if has_keys > 0 {
            PyErr_SetRaisedException(raised);
        } else {
            Py_DECREF(raised);
        }
    }
}

/// Merges keyword arguments of a call (DICT_MERGE): duplicates raise. -1 with an exception set on failure.
///
/// # Safety
/// The state of the calling thread; objects, `dict` an exact dict.
pub unsafe fn merge_keywords(
    tstate: *mut PyThreadState,
    dict: *mut PyObject,
    mapping: *mut PyObject,
    callable: *mut PyObject,
) -> i64 {
    #[cfg(not(Py_3_15))]
    // SAFETY: promised by the caller.
    unsafe {
        if ffi::_PyDict_MergeEx(dict, mapping, 2) < 0 {
            ffi::_PyEval_FormatKwargsError(tstate, callable, mapping);
            return -1;
        }
    }
    #[cfg(Py_3_15)]
    // SAFETY: promised by the caller; the duplicate key is released.
    unsafe {
        let mut duplicate = ptr::null_mut();
        if _PyDict_MergeUniq(dict, mapping, &raw mut duplicate) < 0 {
            ffi::_PyEval_FormatKwargsError(tstate, callable, mapping, duplicate);
            Py_XDECREF(duplicate);
            return -1;
        }
    }
    0
}

/// A value that LOAD_NAME found: 3.15 resolves a lazy import and stores it. Takes over the reference; a new one or NULL
/// with an exception set.
///
/// # Safety
/// The state of the calling thread, a frame of it, objects (the value may be NULL).
pub unsafe fn resolve_loaded_name(
    tstate: *mut PyThreadState,
    frame: Frame,
    name: *mut PyObject,
    value: *mut PyObject,
) -> *mut PyObject {
    #[cfg(Py_3_15)]
    // SAFETY: promised by the caller.
    unsafe {
        if !value.is_null() && Py_TYPE(value) == &raw mut ffi::PyLazyImport_Type {
            let resolved = _PyImport_LoadLazyImportTstate(tstate, value);
            Py_DECREF(value);
            if resolved.is_null() {
                return resolved;
            }
            if PyDict_SetItem(frame.globals(), name, resolved) < 0 {
                Py_DECREF(resolved);
                return ptr::null_mut();
            }
            return resolved;
        }
    }
    let _ = (tstate, frame, name, ptr::null_mut::<u8>());
    value
}

/// IMPORT_NAME. New reference or NULL with an exception set.
///
/// # Safety
/// The state of the calling thread, a frame of it, objects.
pub unsafe fn import_name(
    tstate: *mut PyThreadState,
    frame: Frame,
    name: *mut PyObject,
    from_list: *mut PyObject,
    level: *mut PyObject,
) -> *mut PyObject {
    #[cfg(not(Py_3_15))]
    // SAFETY: promised by the caller.
    unsafe {
        ffi::_PyEval_ImportName(tstate, frame, name, from_list, level)
    }
    #[cfg(Py_3_15)]
    // SAFETY: promised by the caller.
    unsafe {
        let (builtins, globals, locals) = (frame.builtins(), frame.globals(), frame.locals());
        ffi::_PyEval_ImportName(tstate, builtins, globals, locals, name, from_list, level)
    }
}

/// IMPORT_FROM. New reference or NULL with an exception set.
///
/// # Safety
/// The state of the calling thread, a frame of it, objects.
pub unsafe fn import_from(
    tstate: *mut PyThreadState,
    frame: Frame,
    module: *mut PyObject,
    name: *mut PyObject,
) -> *mut PyObject {
    #[cfg(Py_3_15)]
    // SAFETY: promised by the caller.
    unsafe {
        if Py_TYPE(module) == &raw mut ffi::PyLazyImport_Type {
            return ffi::_PyEval_LazyImportFrom(tstate, frame, module, name);
        }
    }
    let _ = frame;
    // SAFETY: promised by the caller.
    unsafe { ffi::_PyEval_ImportFrom(tstate, module, name) }
}
