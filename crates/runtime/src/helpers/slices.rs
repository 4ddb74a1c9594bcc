//! Slices, insertion and removal on exact lists and str, without slice objects.

use super::Object;
use coluber_cpython::layout;
use pyo3_ffi::*;
use std::ptr;

/// Items and length of an exact list.
unsafe fn items_of(list: Object) -> (*mut Object, isize) {
    // SAFETY: the caller passes an exact list; its item array holds at least its length.
    unsafe {
        let base = list.cast::<u8>();
        (base.add(layout::list::OB_ITEM).cast::<*mut Object>().read(), PyList_GET_SIZE(list))
    }
}

/// # Safety
/// See [`super::helper_build_tuple`]; an exact list, a step that is not 0.
pub unsafe extern "C" fn helper_list_slice(list: Object, start: i64, stop: i64, step: i64) -> Object {
    // SAFETY: the adjusted indices are in range; a new list is filled before anybody sees it.
    unsafe {
        let (mut start, mut stop) = (start as isize, stop as isize);
        let (from, length) = items_of(list);
        let count = if (step, start) == (1, 0) && stop >= length {
            length
        } else {
            PySlice_AdjustIndices(length, &raw mut start, &raw mut stop, step as isize)
        };
        let slice = PyList_New(count);
        if slice.is_null() {
            return slice;
        }
        let (to, _) = items_of(slice);
        let mut index = start;
        for place in 0..count {
            let item = from.offset(index).read();
            Py_INCREF(item);
            to.offset(place).write(item);
            index = index.wrapping_add(step as isize);
        }
        slice
    }
}

/// # Safety
/// See [`super::helper_build_tuple`]; exact lists.
pub unsafe extern "C" fn helper_list_set_slice(list: Object, start: i64, stop: i64, other: Object) -> i64 {
    // SAFETY: the adjusted indices are in range.
    unsafe {
        let (mut start, mut stop) = (start as isize, stop as isize);
        let count = PySlice_AdjustIndices(PyList_GET_SIZE(list), &raw mut start, &raw mut stop, 1);
        let (to, _) = items_of(list);
        let (from, length) = items_of(other);
        // A list that nobody else holds dies here: its items change places with those of the slice, which die with it in the
        // order in which they would have.
        if length == count && Py_REFCNT(other) == 1 && list != other {
            for index in 0..count {
                ptr::swap(to.offset(start + index), from.offset(index));
            }
            Py_DECREF(other);
            return 0;
        }
        let status = PyList_SetSlice(list, start, stop.max(start), other);
        Py_DECREF(other);
        i64::from(status)
    }
}

/// # Safety
/// See [`super::helper_build_tuple`]; an exact str.
pub unsafe extern "C" fn helper_str_slice(text: Object, start: i64, stop: i64) -> Object {
    // SAFETY: the adjusted indices are in range.
    unsafe {
        let (mut start, mut stop) = (start as isize, stop as isize);
        PySlice_AdjustIndices(PyUnicode_GET_LENGTH(text), &raw mut start, &raw mut stop, 1);
        PyUnicode_Substring(text, start, stop.max(start))
    }
}

/// # Safety
/// See [`super::helper_build_tuple`]; an exact list.
pub unsafe extern "C" fn helper_list_insert(list: Object, index: i64, item: Object) -> i64 {
    // SAFETY: a list; any index is fine. Where there is neither too little nor too much room the items move in
    // place, as `ins1` and `list_resize` do it.
    unsafe {
        let (items, length) = items_of(list);
        let base = list.cast::<u8>();
        let allocated = base.add(layout::list::ALLOCATED).cast::<isize>().read();
        if length >= allocated || length + 1 < allocated >> 1 {
            return i64::from(PyList_Insert(list, index as isize, item));
        }
        let index = if index < 0 { index.saturating_add(length as i64).max(0) } else { index };
        let place = index.min(length as i64) as isize;
        let from = items.offset(place);
        ptr::copy(from, from.add(1), (length - place) as usize);
        Py_INCREF(item);
        from.write(item);
        base.add(layout::object::OB_SIZE).cast::<isize>().write(length + 1);
        0
    }
}

/// # Safety
/// See [`super::helper_build_tuple`]; an exact list.
pub unsafe extern "C" fn helper_list_pop(list: Object, index: i64) -> Object {
    // SAFETY: the index is tested; within half of its allocation a list shrinks in place, as `list_resize` does it.
    unsafe {
        let (items, length) = items_of(list);
        if length == 0 {
            PyErr_SetString(PyExc_IndexError, c"pop from empty list".as_ptr());
            return ptr::null_mut();
        }
        let index = if index < 0 { index.wrapping_add(length as i64) } else { index };
        if !(0..length as i64).contains(&index) {
            PyErr_SetString(PyExc_IndexError, c"pop index out of range".as_ptr());
            return ptr::null_mut();
        }
        let index = index as isize;
        let item = items.offset(index).read();
        let base = list.cast::<u8>();
        let allocated = base.add(layout::list::ALLOCATED).cast::<isize>().read();
        if length > allocated >> 1 && length > 1 {
            let rest = (length - 1 - index) as usize;
            ptr::copy(items.offset(index + 1), items.offset(index), rest);
            base.add(layout::object::OB_SIZE).cast::<isize>().write(length - 1);
            return item;
        }
        Py_INCREF(item);
        if PyList_SetSlice(list, index, index + 1, ptr::null_mut()) < 0 {
            Py_DECREF(item);
            return ptr::null_mut();
        }
        item
    }
}

/// # Safety
/// See [`super::helper_build_tuple`]; an exact dict.
pub unsafe extern "C" fn helper_dict_get_or(dict: Object, key: Object, default: Object) -> Object {
    // SAFETY: objects.
    unsafe {
        let mut value = ptr::null_mut();
        match PyDict_GetItemRef(dict, key, &raw mut value) {
            0 => Py_NewRef(default),
            _ => value,
        }
    }
}
