//! `item in list` without a call per item, where item and list hold what compares without Python code.

use super::Object;
use coluber_cpython::layout;
use coluber_cpython::layout::long::{COMPACT_LIMIT, LV_TAG, OB_DIGIT};
use pyo3_ffi::*;

/// The bit of `lv_tag` that says nothing about the value (`pycore_long.h` of 3.14 and 3.15).
const IMMORTAL_TAG: u64 = 4;

/// Tag and digit of an exact int of one digit; equal for equal ints.
unsafe fn one_digit(object: Object) -> Option<(u64, u32)> {
    // SAFETY: the caller passes an exact int.
    unsafe {
        let tag = object.cast::<u8>().add(LV_TAG).cast::<u64>().read();
        let digit = object.cast::<u8>().add(OB_DIGIT).cast::<u32>().read();
        (tag < COMPACT_LIMIT).then_some((tag & !IMMORTAL_TAG, digit))
    }
}

/// Whether an exact list contains an int of one digit or a str; `None` if that has to be found out in another way.
///
/// # Safety
/// Valid objects; the thread is attached.
pub unsafe fn list_contains(list: Object, item: Object) -> Option<bool> {
    // SAFETY: the types are tested before anything of them is read; no Python code runs, so the list stays what it is.
    unsafe {
        if PyList_CheckExact(list) == 0 {
            return None;
        }
        let items = list.cast::<u8>().add(layout::list::OB_ITEM).cast::<*mut Object>().read();
        let items = (0..PyList_GET_SIZE(list)).map(|index| items.offset(index).read());
        if PyLong_CheckExact(item) != 0 {
            let wanted = one_digit(item)?;
            for candidate in items {
                if candidate == item {
                    return Some(true);
                }
                if PyLong_CheckExact(candidate) == 0 {
                    return None;
                }
                if one_digit(candidate)? == wanted {
                    return Some(true);
                }
            }
            return Some(false);
        }
        if PyUnicode_CheckExact(item) == 0 {
            return None;
        }
        for candidate in items {
            if candidate == item {
                return Some(true);
            }
            if PyUnicode_CheckExact(candidate) == 0 {
                return None;
            }
            if coluber_cpython::ffi::_PyUnicode_Equal(candidate, item) != 0 {
                return Some(true);
            }
        }
        Some(false)
    }
}
