//! Reference counts and inline values.

use super::Object;
use coluber_cpython::ffi;

/// Called when a reference count reached zero.
///
/// # Safety
/// The object has no references left. Runs arbitrary code.
pub unsafe extern "C" fn dealloc(object: Object) {
    // SAFETY: promised by the caller.
    unsafe { ffi::_Py_Dealloc(object) };
}

/// Adds a reference, counting it as debug builds do.
///
/// # Safety
/// An object.
pub unsafe extern "C" fn incref(object: Object) {
    // SAFETY: promised by the caller.
    unsafe { ffi::_Py_IncRef(object) };
}

/// Drops a reference, counting it as debug builds do.
///
/// # Safety
/// An object the caller has a reference to. May run arbitrary code.
pub unsafe extern "C" fn decref(object: Object) {
    // SAFETY: promised by the caller.
    unsafe { ffi::_Py_DecRef(object) };
}
