//! Reference counts and inline values.

use super::Object;
use coluber_cpython::{ffi, layout, raw};

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

/// Notes that inline value `index` of the object was stored for the first time: `_PyDictValues_AddToInsertionOrder` of
/// `pycore_dict.h`. The order array lies behind the values.
///
/// # Safety
/// An instance with valid inline values; the value was unset.
pub unsafe extern "C" fn record_first_store(object: Object, index: i64) {
    // SAFETY: the values start where the fixed part of the instance ends; the order array has room for each value.
    unsafe {
        let values = object.cast::<u8>().offset(raw::type_of(object).basic_size());
        let capacity = usize::from(values.add(layout::dict_values::CAPACITY).read());
        let size = values.add(layout::dict_values::SIZE);
        let order = values.add(layout::dict_values::VALUES + 8 * capacity);
        order.add(usize::from(size.read())).write(index as u8);
        size.write(size.read() + 1);
    }
}
