//! Operators on plain objects, without Python code: what a trial does, which must be able to start over.
//!
//! Each answers that it has not been done where it might run Python code, raise, or take so long that CPython looks for
//! signals in its middle.

use super::Object;
use super::look_up::{Found, find};
use coluber_cpython::layout::long;
use pyo3_ffi::*;
use std::ptr;

/// Number of the first operator of `_PyEval_BinaryOps` that works in place.
const IN_PLACE: i64 = 13;
/// Longest sequence that is looked through.
const MAX_ITEMS: isize = 1_000;
/// Deepest nesting of tuples that are compared.
const MAX_DEPTH: u32 = 3;

/// What operators know of an object.
#[derive(Clone, Copy, PartialEq)]
enum Sort {
    /// An int of one digit, or a bool.
    SmallInt,
    /// Another int.
    BigInt,
    Float,
    Text,
    Bytes,
    None,
    Tuple,
    List,
    Other,
}

impl Sort {
    unsafe fn of(object: Object) -> Sort {
        // SAFETY: an object.
        unsafe {
            let class = Py_TYPE(object);
            if class == &raw mut PyLong_Type || class == &raw mut PyBool_Type {
                let tag = object.cast::<u8>().add(long::LV_TAG).cast::<usize>().read();
                if tag < long::COMPACT_LIMIT as usize { Sort::SmallInt } else { Sort::BigInt }
            } else if class == &raw mut PyFloat_Type {
                Sort::Float
            } else if class == &raw mut PyUnicode_Type {
                Sort::Text
            } else if class == &raw mut PyBytes_Type {
                Sort::Bytes
            } else if object == Py_None() {
                Sort::None
            } else if class == &raw mut PyTuple_Type {
                Sort::Tuple
            } else if class == &raw mut PyList_Type {
                Sort::List
            } else {
                Sort::Other
            }
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Sort::SmallInt | Sort::BigInt | Sort::Float)
    }
}

/// Whether comparing the object with another such one runs no Python code.
unsafe fn is_plain(object: Object, depth: u32) -> bool {
    // SAFETY: an object; a tuple's items do not change.
    unsafe {
        match Sort::of(object) {
            Sort::Tuple if depth < MAX_DEPTH => {
                let count = PyTuple_GET_SIZE(object);
                count <= MAX_ITEMS && (0..count).all(|index| is_plain(PyTuple_GET_ITEM(object, index), depth + 1))
            }
            Sort::Tuple | Sort::List | Sort::Other => false,
            _ => true,
        }
    }
}

/// Hands a result out; an error is forgotten.
unsafe fn done(result: Object, out: *mut Object) -> i64 {
    // SAFETY: the place of an output; a result or NULL with an exception.
    unsafe {
        if result.is_null() {
            PyErr_Clear();
        }
        out.write(result);
        i64::from(!result.is_null())
    }
}

unsafe fn not_done(out: *mut Object) -> i64 {
    // SAFETY: the place of an output.
    unsafe { out.write(ptr::null_mut()) };
    0
}

/// Whether the operator is fit for operands of these sorts. Multiplication, division and powers of large ints look for signals.
fn is_fit(left: Sort, right: Sort, operator: i64) -> bool {
    const ADD: i64 = 0;
    const AND: i64 = 1;
    const MULTIPLY: i64 = 5;
    const OR: i64 = 7;
    const POWER: i64 = 8;
    const SUBTRACT: i64 = 10;
    const XOR: i64 = 12;
    match (left, right, operator % IN_PLACE) {
        (Sort::SmallInt, Sort::SmallInt, POWER) => false,
        (Sort::SmallInt | Sort::Float, Sort::SmallInt | Sort::Float, _) => true,
        (left, right, ADD | SUBTRACT | AND | OR | XOR) if left.is_number() && right.is_number() => true,
        (Sort::Text, Sort::Text, ADD) | (Sort::Bytes, Sort::Bytes, ADD) | (Sort::Tuple, Sort::Tuple, ADD) => true,
        (Sort::List, Sort::List, ADD) => operator < IN_PLACE,
        (Sort::Text | Sort::Bytes, Sort::SmallInt, MULTIPLY) | (Sort::SmallInt, Sort::Text | Sort::Bytes, MULTIPLY) => {
            true
        }
        _ => false,
    }
}

/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_plain_binary(left: Object, right: Object, operator: i64, out: *mut Object) -> i64 {
    // SAFETY: promised by compiled code.
    unsafe {
        match is_fit(Sort::of(left), Sort::of(right), operator) {
            true => done(super::helper_binary_op(left, right, operator), out),
            false => not_done(out),
        }
    }
}

/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_plain_unary(operand: Object, is_inverted: i64, out: *mut Object) -> i64 {
    // SAFETY: promised by compiled code.
    unsafe {
        match (Sort::of(operand), is_inverted) {
            (Sort::SmallInt | Sort::BigInt | Sort::Float, 0) => done(PyNumber_Negative(operand), out),
            // The inversion of a bool warns.
            (Sort::SmallInt | Sort::BigInt, _) if PyLong_CheckExact(operand) != 0 => {
                done(PyNumber_Invert(operand), out)
            }
            _ => not_done(out),
        }
    }
}

/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_plain_compare(left: Object, right: Object, comparison: i64, out: *mut Object) -> i64 {
    // SAFETY: promised by compiled code.
    unsafe {
        match is_plain(left, 0) && is_plain(right, 0) {
            true => done(super::helper_compare(left, right, comparison), out),
            false => not_done(out),
        }
    }
}

/// 1, 0, or -1 if only Python code can tell.
///
/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_plain_truth(object: Object) -> i64 {
    // SAFETY: promised by compiled code; types are valid and their tables are valid or NULL.
    unsafe {
        let class = Py_TYPE(object);
        let builtin = [
            &raw mut PyList_Type,
            &raw mut PyTuple_Type,
            &raw mut PyDict_Type,
            &raw mut PySet_Type,
            &raw mut PyFrozenSet_Type,
            &raw mut PyByteArray_Type,
            &raw mut PyRange_Type,
        ];
        if is_plain(object, MAX_DEPTH) || builtin.contains(&class) {
            return i64::from(PyObject_IsTrue(object));
        }
        let (numbers, mapping, sequence) = ((*class).tp_as_number, (*class).tp_as_mapping, (*class).tp_as_sequence);
        let asks = (!numbers.is_null() && (*numbers).nb_bool.is_some())
            || (!mapping.is_null() && (*mapping).mp_length.is_some())
            || (!sequence.is_null() && (*sequence).sq_length.is_some());
        if asks { -1 } else { 1 }
    }
}

/// 1, 0, or -1 if only Python code can tell.
///
/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_plain_contains(container: Object, item: Object) -> i64 {
    // SAFETY: promised by compiled code; nothing changes a list meanwhile.
    unsafe {
        let answer = match Sort::of(container) {
            Sort::List
                if PyList_GET_SIZE(container) <= MAX_ITEMS
                    && let Some(found) = super::search::list_contains(container, item) =>
            {
                i32::from(found)
            }
            sort @ (Sort::List | Sort::Tuple) if is_plain(item, 0) => {
                let count = if sort == Sort::List { PyList_GET_SIZE(container) } else { PyTuple_GET_SIZE(container) };
                for index in 0..count {
                    let other = match sort {
                        Sort::List => PyList_GET_ITEM(container, index),
                        _ => PyTuple_GET_ITEM(container, index),
                    };
                    if other == item {
                        return 1;
                    }
                    if index >= MAX_ITEMS || !is_plain(other, 0) {
                        return -1;
                    }
                    match PyObject_RichCompareBool(other, item, Py_EQ) {
                        0 => {}
                        1 => return 1,
                        _ => {
                            PyErr_Clear();
                            return -1;
                        }
                    }
                }
                0
            }
            Sort::Text if Sort::of(item) == Sort::Text => PyUnicode_Contains(container, item),
            Sort::Other if PyDict_CheckExact(container) != 0 => match find(container, item) {
                Found::Value(_) => 1,
                Found::Missing => 0,
                Found::Unknown => -1,
            },
            _ => -1,
        };
        if answer < 0 {
            PyErr_Clear();
        }
        i64::from(answer)
    }
}

/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_plain_subscript(container: Object, key: Object, out: *mut Object) -> i64 {
    // SAFETY: promised by compiled code.
    unsafe {
        match (Sort::of(container), Sort::of(key)) {
            (Sort::List | Sort::Tuple | Sort::Text | Sort::Bytes, Sort::SmallInt) => {
                done(PyObject_GetItem(container, key), out)
            }
            (Sort::Other, _) if PyDict_CheckExact(container) != 0 => match find(container, key) {
                Found::Value(value) => done(Py_NewRef(value), out),
                Found::Missing | Found::Unknown => not_done(out),
            },
            _ => not_done(out),
        }
    }
}

/// Exact builtin types that are walked without Python code, and whose iterators are.
unsafe fn is_walked_plainly(object: Object) -> bool {
    // SAFETY: an object; the addresses of builtin types.
    unsafe {
        let class = Py_TYPE(object);
        let known = [
            &raw mut PyList_Type,
            &raw mut PyTuple_Type,
            &raw mut PyDict_Type,
            &raw mut PyDictKeys_Type,
            &raw mut PyDictValues_Type,
            &raw mut PyDictItems_Type,
            &raw mut PySet_Type,
            &raw mut PyFrozenSet_Type,
            &raw mut PyUnicode_Type,
            &raw mut PyBytes_Type,
            &raw mut PyRange_Type,
        ];
        known.contains(&class)
    }
}

/// `iter` of a builtin container: the iterator, which is new.
///
/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_plain_iterator(object: Object, out: *mut Object) -> i64 {
    // SAFETY: promised by compiled code.
    unsafe {
        match is_walked_plainly(object) {
            true => done(PyObject_GetIter(object), out),
            false => not_done(out),
        }
    }
}

/// Next item of an iterator that [`helper_plain_iterator`] has made, or the mark behind the last one. What it walks does not
/// change meanwhile, so it does not raise.
///
/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_plain_next(iterator: Object) -> Object {
    // SAFETY: an iterator; all of them have the slot.
    unsafe {
        let next = (*Py_TYPE(iterator)).tp_iternext.expect("an iterator");
        let item = next(iterator);
        if !item.is_null() {
            return item;
        }
        PyErr_Clear();
        super::exhausted()
    }
}

/// Calls a builtin function, method or class with up to three arguments, NULL if there are fewer. Of numbers, str and such it may be
/// called; `takes_containers` says that it does not look into containers either.
///
/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_plain_call(
    callable: Object,
    first: Object,
    second: Object,
    third: Object,
    takes_containers: i64,
    out: *mut Object,
) -> i64 {
    // SAFETY: promised by compiled code.
    unsafe {
        let arguments = [first, second, third];
        let count = arguments.iter().take_while(|argument| !argument.is_null()).count();
        let is_fit = |argument: &Object| match Sort::of(*argument) {
            // What they calculate takes long.
            Sort::BigInt => false,
            Sort::Tuple | Sort::List | Sort::Other => takes_containers != 0 && is_walked_plainly(*argument),
            _ => true,
        };
        match arguments[..count].iter().all(is_fit) {
            true => done(PyObject_Vectorcall(callable, arguments.as_ptr(), count, ptr::null_mut()), out),
            false => not_done(out),
        }
    }
}
