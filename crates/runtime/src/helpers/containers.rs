//! Building, changing and unpacking containers.

use super::{Object, object_or_null, tstate, type_name};
use coluber_cpython::differences;
use coluber_cpython::raw::StackRef;
use coluber_cpython::{ffi, layout};
use pyo3_ffi::*;
use std::ptr;
use std::slice;

/// The arguments of a `V` or `SV` row.
unsafe fn vector<'a>(items: *const Object, count: i64) -> &'a [Object] {
    if count == 0 {
        return &[];
    }
    // SAFETY: compiled code passes the address of that many objects.
    unsafe { slice::from_raw_parts(items, count as usize) }
}

/// # Safety
/// As for every helper: called by compiled code with the arguments of its row, attached.
pub unsafe extern "C" fn helper_build_tuple(items: *const Object, count: i64) -> Object {
    // SAFETY: steals the items, also when it fails.
    unsafe { ffi::_PyTuple_FromArraySteal(items, count as isize) }
}

/// A tuple of the items, whose references it takes. Compiled code has no way to go on without one: see
/// [`crate::shortage`].
///
/// # Safety
/// See [`helper_build_tuple`].
pub unsafe extern "C" fn make_tuple(items: *const Object, count: i64) -> Object {
    // SAFETY: promised by the caller; attached.
    unsafe {
        let tuple = PyTuple_New(count as isize);
        if tuple.is_null() {
            return crate::shortage::tuple(vector(items, count));
        }
        for (index, item) in vector(items, count).iter().enumerate() {
            PyTuple_SET_ITEM(tuple, index as isize, *item);
        }
        tuple
    }
}

/// # Safety
/// See [`helper_build_tuple`].
pub unsafe extern "C" fn helper_build_list(items: *const Object, count: i64) -> Object {
    // SAFETY: the new list has room for the items and takes over their references.
    unsafe {
        let list = PyList_New(count as isize);
        for (index, item) in vector(items, count).iter().enumerate() {
            if list.is_null() {
                Py_DECREF(*item);
            } else {
                PyList_SET_ITEM(list, index as isize, *item);
            }
        }
        list
    }
}

/// # Safety
/// See [`helper_build_tuple`].
pub unsafe extern "C" fn helper_build_set(items: *const Object, count: i64) -> Object {
    // SAFETY: objects.
    unsafe {
        let set = PySet_New(ptr::null_mut());
        if set.is_null() {
            return set;
        }
        for item in vector(items, count) {
            if PySet_Add(set, *item) != 0 {
                Py_DECREF(set);
                return ptr::null_mut();
            }
        }
        set
    }
}

/// # Safety
/// See [`helper_build_tuple`]; `items` are keys and values in turn.
pub unsafe extern "C" fn helper_build_map(items: *const Object, count: i64) -> Object {
    // SAFETY: with a count of 0 nothing is read.
    unsafe { ffi::_PyDict_FromItems(items, 2, items.wrapping_add(1), 2, (count / 2) as isize) }
}

/// # Safety
/// See [`helper_build_tuple`].
pub unsafe extern "C" fn helper_new_dict() -> Object {
    // SAFETY: attached.
    unsafe { PyDict_New() }
}

/// # Safety
/// See [`helper_build_tuple`].
pub unsafe extern "C" fn helper_new_set() -> Object {
    // SAFETY: attached; no iterable is an empty set.
    unsafe { pyo3_ffi::PySet_New(std::ptr::null_mut()) }
}

/// # Safety
/// See [`helper_build_tuple`]; the items are str objects.
pub unsafe extern "C" fn helper_build_string(items: *const Object, count: i64) -> Object {
    // SAFETY: str objects; the separator is immortal.
    unsafe { ffi::_PyUnicode_JoinArray(layout::empty_string(), items, count as isize) }
}

/// # Safety
/// See [`helper_build_tuple`]; two or three items.
pub unsafe extern "C" fn helper_build_slice(items: *const Object, count: i64) -> Object {
    // SAFETY: a NULL step means None.
    unsafe {
        let items = vector(items, count);
        PySlice_New(items[0], items[1], items.get(2).copied().unwrap_or(ptr::null_mut()))
    }
}

/// # Safety
/// See [`helper_build_tuple`]; an exact list.
pub unsafe extern "C" fn helper_list_append(list: Object, item: Object) -> i64 {
    // SAFETY: within its allocation a list may be grown in place; the item's reference moves into it.
    unsafe {
        let base = list.cast::<u8>();
        let size = base.add(layout::object::OB_SIZE).cast::<isize>();
        let allocated = base.add(layout::list::ALLOCATED).cast::<isize>().read();
        let length = size.read();
        if length < allocated {
            let items = base.add(layout::list::OB_ITEM).cast::<*mut Object>().read();
            items.add(length as usize).write(item);
            size.write(length + 1);
            return 0;
        }
        i64::from(ffi::_PyList_AppendTakeRefListResize(list, item))
    }
}

/// # Safety
/// See [`helper_build_tuple`]; an exact list.
pub unsafe extern "C" fn helper_list_extend(list: Object, iterable: Object) -> i64 {
    // SAFETY: objects; None is immortal, so the result needs no release.
    unsafe {
        if !ffi::_PyList_Extend(list, iterable).is_null() {
            return 0;
        }
        let is_no_iterable = (*Py_TYPE(iterable)).tp_iter.is_none() && PySequence_Check(iterable) == 0;
        if PyErr_ExceptionMatches(PyExc_TypeError) != 0 && is_no_iterable {
            PyErr_Clear();
            let format = c"Value after * must be an iterable, not %.200s";
            PyErr_Format(PyExc_TypeError, format.as_ptr(), type_name(iterable));
        }
        -1
    }
}

/// # Safety
/// See [`helper_build_tuple`]; an exact set.
pub unsafe extern "C" fn helper_set_add(set: Object, item: Object) -> i64 {
    // SAFETY: objects.
    i64::from(unsafe { PySet_Add(set, item) })
}

/// # Safety
/// See [`helper_build_tuple`]; an exact set.
pub unsafe extern "C" fn helper_set_update(set: Object, iterable: Object) -> i64 {
    // SAFETY: objects.
    i64::from(unsafe { ffi::_PySet_Update(set, iterable) })
}

/// # Safety
/// See [`helper_build_tuple`]; an exact dict.
pub unsafe extern "C" fn helper_dict_set(dict: Object, key: Object, value: Object) -> i64 {
    // SAFETY: objects.
    i64::from(unsafe { PyDict_SetItem(dict, key, value) })
}

/// # Safety
/// See [`helper_build_tuple`]; an exact dict.
pub unsafe extern "C" fn helper_dict_update(dict: Object, mapping: Object) -> i64 {
    // SAFETY: objects.
    unsafe {
        if PyDict_Update(dict, mapping) >= 0 {
            return 0;
        }
        if PyErr_ExceptionMatches(PyExc_AttributeError) != 0 {
            differences::raise_not_a_mapping(mapping);
        }
        -1
    }
}

/// # Safety
/// See [`helper_build_tuple`]; an exact dict.
pub unsafe extern "C" fn helper_dict_merge(dict: Object, mapping: Object, callable: Object) -> i64 {
    // SAFETY: objects.
    unsafe { differences::merge_keywords(tstate(), dict, mapping, callable) }
}

/// Unpacks into `total` output words, leftmost first; clears them on failure.
unsafe fn unpack(sequence: Object, before: i32, after: i32, total: usize, out: *mut Object) -> i64 {
    // SAFETY: the outputs have room; the interpreter fills them downwards from one past the last with owned references.
    unsafe {
        let words = slice::from_raw_parts_mut(out, total);
        words.fill(StackRef::NULL.0 as Object);
        let top = out.cast::<StackRef>().add(total);
        if ffi::_PyEval_UnpackIterableStackRef(tstate(), sequence, before, after, top) == 0 {
            words.fill(ptr::null_mut());
            return -1;
        }
        for word in words.iter_mut() {
            *word = object_or_null(StackRef(*word as u64));
        }
        words.reverse();
    }
    0
}

/// # Safety
/// See [`helper_build_tuple`]; `out` has room for `count` words.
pub unsafe extern "C" fn helper_unpack_sequence(sequence: Object, count: i64, out: *mut Object) -> i64 {
    // SAFETY: the items of an exact tuple or list of the right length are there to be copied.
    unsafe {
        let items = if PyTuple_CheckExact(sequence) != 0 && PyTuple_GET_SIZE(sequence) == count as isize {
            sequence.cast::<u8>().add(layout::tuple::OB_ITEM).cast::<Object>()
        } else if PyList_CheckExact(sequence) != 0 && PyList_GET_SIZE(sequence) == count as isize {
            sequence.cast::<u8>().add(layout::list::OB_ITEM).cast::<*mut Object>().read()
        } else {
            return unpack(sequence, count as i32, -1, count as usize, out);
        };
        for index in 0..count as usize {
            *out.add(index) = Py_NewRef(*items.add(index));
        }
    }
    0
}

/// # Safety
/// See [`helper_build_tuple`]; `out` has room for `before + 1 + after` words.
pub unsafe extern "C" fn helper_unpack_ex(sequence: Object, before: i64, after: i64, out: *mut Object) -> i64 {
    // SAFETY: promised by the caller.
    unsafe { unpack(sequence, before as i32, after as i32, (before + 1 + after) as usize, out) }
}

/// # Safety
/// See [`helper_build_tuple`]; an exact dict.
pub unsafe extern "C" fn helper_dict_get(dict: Object, key: Object) -> Object {
    // SAFETY: objects.
    unsafe {
        let mut value = ptr::null_mut();
        if PyDict_GetItemRef(dict, key, &raw mut value) == 0 {
            ffi::_PyErr_SetKeyError(key);
        }
        value
    }
}

/// # Safety
/// See [`helper_build_tuple`].
pub unsafe extern "C" fn helper_make_pair(first: Object, second: Object) -> Object {
    let items = [first, second];
    // SAFETY: steals both.
    unsafe { ffi::_PyTuple_FromArraySteal(items.as_ptr(), 2) }
}

/// # Safety
/// See [`helper_build_tuple`]; an exact str, list, tuple, dict, set or int.
pub unsafe extern "C" fn helper_builtin_is_true(value: Object) -> i64 {
    // SAFETY: an object of a builtin type: no Python code runs.
    i64::from(unsafe { PyObject_IsTrue(value) })
}

/// # Safety
/// See [`helper_build_tuple`]; exact str objects.
pub unsafe extern "C" fn helper_str_equal(left: Object, right: Object) -> i64 {
    // SAFETY: str objects.
    i64::from(unsafe { ffi::_PyUnicode_Equal(left, right) })
}

/// # Safety
/// See [`helper_build_tuple`]; an exact str and an index in range.
pub unsafe extern "C" fn helper_str_get(text: Object, index: i64) -> Object {
    // SAFETY: the index is in range.
    unsafe {
        let character = PyUnicode_ReadChar(text, index as isize);
        match u8::try_from(character) {
            Ok(character) => layout::latin1_character(character),
            Err(_) => PyUnicode_FromOrdinal(character as i32),
        }
    }
}

/// # Safety
/// See [`helper_build_tuple`]; an exact str, dict, set, bytes or bytearray.
pub unsafe extern "C" fn helper_builtin_length(value: Object) -> i64 {
    // SAFETY: an object of a builtin type with a length.
    unsafe { PyObject_Size(value) as i64 }
}
