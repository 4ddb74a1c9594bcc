//! Byte offsets, sizes and constants of the interpreter this was built for.
//!
//! One module per structure, constants named as CPython's fields. All come from [`crate::current`], which a C program
//! compiled against the installed headers wrote (`regen/layout.py`); `check` compares them with the running interpreter.
//!
//! # Reference counts (both versions, 64 bit, GIL)
//!
//! The count is the low 32 bits of the first word (`ob_refcnt: u32`, little endian); bits 48.. are `ob_flags`.
//! - incref: load `u32`; if it is `>= refcount::IMMORTAL_INITIAL as u32` (unsigned) do nothing; else store `u32 + 1`.
//! - decref: load `u32`; if negative as `i32` do nothing; else store `u32 - 1`, and if that is 0 call `_Py_Dealloc`.
//! - an object is immortal when the `u32` is negative as `i32`.
//!
//! Objects between the two limits are immortal for decref and still move up on incref: harmless, so compiled code may use
//! the sign test for both. In debug builds both also count `_Py_RefTotal` and tracing hooks: there compiled code calls
//! `_Py_IncRef` and `_Py_DecRef` instead.
//!
//! # Ints
//!
//! An int is compact when `lv_tag < long::COMPACT_LIMIT`; its value is then `(1 - (lv_tag & 3)) * ob_digit[0]`, one
//! digit of 30 bits. Cached ints (`-5..=256` on 3.14, `-5..=1024` on 3.15, see [`small_int`]) are always used for values in
//! their range: `is` sees it. A new one-digit int `v` has the tag `(1 << 3) | (v < 0 ? 2 : 0)`; on 3.14 and 3.15 bit 2 of
//! the tag is set for the cached ones only.
//!
//! # Inline values
//!
//! An instance of a class with `type_flags::INLINE_VALUES` has its attributes at `tp_basicsize + dict_values::VALUES + 8 * index`,
//! valid while the byte at `tp_basicsize + dict_values::VALID` is not 0. `instance::MANAGED_DICT` is non-NULL when
//! a dict was materialised (it shares the values while they stay valid).

pub use crate::current::layout::*;
use crate::ffi;
use pyo3_ffi::PyObject;

/// First word of `_PyRuntime`, as bytes.
pub fn runtime_address() -> *mut u8 {
    (&raw mut ffi::_PyRuntime).cast()
}

/// The cached int object of `value`, if there is one. It is immortal.
pub fn small_int(value: i64) -> Option<*mut PyObject> {
    if !(-runtime::SMALL_NEGATIVE..runtime::SMALL_POSITIVE).contains(&value) {
        return None;
    }
    let index = (value + runtime::SMALL_NEGATIVE) as usize;
    Some(runtime_address().wrapping_add(runtime::SMALL_INTS + index * runtime::SMALL_INT_SIZE).cast())
}

/// The one-character string of a Latin-1 character. It is immortal.
pub fn latin1_character(character: u8) -> *mut PyObject {
    let offset = if character < 128 {
        runtime::ASCII + usize::from(character) * runtime::ASCII_SIZE
    } else {
        runtime::LATIN1 + usize::from(character - 128) * runtime::LATIN1_SIZE
    };
    runtime_address().wrapping_add(offset).cast()
}

/// The empty tuple. It is immortal.
pub fn empty_tuple() -> *mut PyObject {
    runtime_address().wrapping_add(runtime::EMPTY_TUPLE).cast()
}

/// The empty string. It is immortal.
pub fn empty_string() -> *mut PyObject {
    runtime_address().wrapping_add(runtime::EMPTY_STRING).cast()
}
