//! Looking things up without exceptions, and without running Python code.

use super::{Object, helper_iter_next, type_name};
use coluber_cpython::layout::{dict, dict_keys, dict_values};
use pyo3_ffi::*;
use std::ptr;

/// What a look-up found.
pub(super) enum Found {
    /// Borrowed.
    Value(Object),
    Missing,
    /// Only Python code can tell.
    Unknown,
}

/// Bits of a hash that each probe takes in (`PERTURB_SHIFT` of `Objects/dictobject.c`, 3.14 and 3.15).
const PERTURB_SHIFT: u32 = 5;

unsafe fn is_plain(key: Object) -> bool {
    // SAFETY: an object.
    unsafe { PyUnicode_CheckExact(key) != 0 || PyLong_CheckExact(key) != 0 }
}

/// Whether two objects of which one is a plain key are equal; `None` if Python code would be asked.
unsafe fn equals(stored: Object, key: Object) -> Option<bool> {
    // SAFETY: objects; the comparison of exact builtins runs no Python code.
    unsafe {
        if !is_plain(stored) {
            return None;
        }
        Some(Py_TYPE(stored) == Py_TYPE(key) && PyObject_RichCompareBool(stored, key, Py_EQ) == 1)
    }
}

/// The entry of a table of indices, which has one, two, four or eight bytes by the table's size (`dictkeys_get_index`).
unsafe fn index_at(indices: *const u8, log2_size: u8, place: usize) -> isize {
    // SAFETY: the place is within the table.
    unsafe {
        match log2_size {
            0..8 => indices.cast::<i8>().add(place).read() as isize,
            8..16 => indices.cast::<i16>().add(place).read() as isize,
            16..32 => indices.cast::<i32>().add(place).read() as isize,
            _ => indices.cast::<i64>().add(place).read() as isize,
        }
    }
}

/// Looks a plain key up (`unicodekeys_lookup_unicode` and `dictkeys_generic_lookup`).
pub(super) unsafe fn find(dictionary: Object, key: Object) -> Found {
    // SAFETY: an exact dict; the tables are as `pycore_dict.h` says.
    unsafe {
        if !is_plain(key) {
            return Found::Unknown;
        }
        let keys = dictionary.cast::<u8>().add(dict::MA_KEYS).cast::<*const u8>().read();
        let values = dictionary.cast::<u8>().add(dict::MA_VALUES).cast::<*const u8>().read();
        let kind = keys.add(dict_keys::DK_KIND).read();
        if kind != dict_keys::KIND_GENERAL && PyUnicode_CheckExact(key) == 0 {
            // All keys are str objects.
            return Found::Missing;
        }
        let hash = PyObject_Hash(key);
        let log2_size = keys.add(dict_keys::DK_LOG2_SIZE).read();
        let indices = keys.add(dict_keys::DK_INDICES);
        let entries = indices.add(1 << keys.add(dict_keys::DK_LOG2_INDEX_BYTES).read());
        let mask = (1usize << log2_size) - 1;
        let mut perturb = hash as usize;
        let mut place = perturb & mask;
        loop {
            let index = index_at(indices, log2_size, place);
            if index == -1 {
                return Found::Missing;
            }
            if index >= 0 {
                let (stored, stored_hash, entry_value) = if kind == dict_keys::KIND_GENERAL {
                    let entry = entries.add(index as usize * dict_keys::ENTRY_SIZE);
                    let stored = entry.add(dict_keys::ENTRY_KEY).cast::<Object>().read();
                    let stored_hash = entry.add(dict_keys::ENTRY_HASH).cast::<isize>().read();
                    (stored, stored_hash, entry.add(dict_keys::ENTRY_VALUE))
                } else {
                    let entry = entries.add(index as usize * dict_keys::UNICODE_ENTRY_SIZE);
                    let stored = entry.add(dict_keys::UNICODE_ENTRY_KEY).cast::<Object>().read();
                    (stored, PyObject_Hash(stored), entry.add(dict_keys::UNICODE_ENTRY_VALUE))
                };
                let same = match stored == key {
                    true => Some(true),
                    false if stored_hash != hash => Some(false),
                    false => equals(stored, key),
                };
                match same {
                    None => return Found::Unknown,
                    Some(false) => {}
                    Some(true) => {
                        let place = match values.is_null() {
                            true => entry_value,
                            false => values.add(dict_values::VALUES + 8 * index as usize),
                        };
                        let value = place.cast::<Object>().read();
                        return if value.is_null() { Found::Missing } else { Found::Value(value) };
                    }
                }
            }
            perturb >>= PERTURB_SHIFT;
            place = place.wrapping_mul(5).wrapping_add(perturb).wrapping_add(1) & mask;
        }
    }
}

/// # Safety
/// See [`super::helper_binary_op`]; an exact dict.
pub unsafe extern "C" fn helper_dict_find(dictionary: Object, key: Object, out: *mut Object) -> i64 {
    // SAFETY: promised by compiled code.
    unsafe {
        let (answer, value) = match find(dictionary, key) {
            Found::Value(value) => (1, Py_NewRef(value)),
            Found::Missing => (0, ptr::null_mut()),
            Found::Unknown => (-1, ptr::null_mut()),
        };
        out.write(value);
        answer
    }
}

/// `next(object)` (`builtin_next` of `Python/bltinmodule.c`).
///
/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_next(iterator: Object) -> Object {
    // SAFETY: an object.
    unsafe {
        if PyIter_Check(iterator) == 0 {
            PyErr_Format(PyExc_TypeError, c"'%.200s' object is not an iterator".as_ptr(), type_name(iterator));
            return ptr::null_mut();
        }
        helper_iter_next(iterator)
    }
}
