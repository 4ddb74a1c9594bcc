//! Operators, attributes and calls: what runs arbitrary Python code through an object's type.

use super::{Object, object_or_null, tstate, type_name};
use crate::generators::{self, Resumed};
use coluber_cpython::raw::{self, StackRef, ThreadState};
use coluber_cpython::{ffi, layout};
use pyo3_ffi::*;
use std::ptr;

/// # Safety
/// As for every helper: called by compiled code with the arguments of its row, attached.
pub unsafe extern "C" fn helper_binary_op(left: Object, right: Object, kind: i64) -> Object {
    // SAFETY: the number is below 26, the size of the interpreter's table.
    let operator =
        unsafe { (&raw const ffi::_PyEval_BinaryOps).cast::<ffi::BinaryFunction>().add(kind as usize).read() };
    // SAFETY: the operands are objects.
    unsafe { operator(left, right) }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_compare(left: Object, right: Object, comparison: i64) -> Object {
    // SAFETY: `Comparison` is numbered as `Py_LT..Py_GE`.
    unsafe { PyObject_RichCompare(left, right, comparison as i32) }
}

/// Not `PyObject_RichCompareBool`, which takes identity for equality.
///
/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_compare_bool(left: Object, right: Object, comparison: i64) -> i64 {
    // SAFETY: as above; the result is ours to release.
    unsafe {
        let result = PyObject_RichCompare(left, right, comparison as i32);
        if result.is_null() {
            return -1;
        }
        let truth = PyObject_IsTrue(result);
        Py_DECREF(result);
        i64::from(truth)
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_is_true(value: Object) -> i64 {
    // SAFETY: an object.
    i64::from(unsafe { PyObject_IsTrue(value) })
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_negative(value: Object) -> Object {
    // SAFETY: an object.
    unsafe { PyNumber_Negative(value) }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_invert(value: Object) -> Object {
    // SAFETY: an object.
    unsafe { PyNumber_Invert(value) }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_subscript(container: Object, key: Object) -> Object {
    // SAFETY: objects.
    unsafe { PyObject_GetItem(container, key) }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_store_subscript(container: Object, key: Object, value: Object) -> i64 {
    // SAFETY: objects.
    i64::from(unsafe { PyObject_SetItem(container, key, value) })
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_delete_subscript(container: Object, key: Object) -> i64 {
    // SAFETY: objects.
    i64::from(unsafe { PyObject_DelItem(container, key) })
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_slice(container: Object, start: Object, stop: Object) -> Object {
    // SAFETY: objects; a NULL step means None.
    unsafe {
        let slice = PySlice_New(start, stop, ptr::null_mut());
        if slice.is_null() {
            return slice;
        }
        let result = PyObject_GetItem(container, slice);
        Py_DECREF(slice);
        result
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_store_slice(container: Object, start: Object, stop: Object, value: Object) -> i64 {
    // SAFETY: as for `helper_slice`.
    unsafe {
        let slice = PySlice_New(start, stop, ptr::null_mut());
        if slice.is_null() {
            return -1;
        }
        let result = PyObject_SetItem(container, slice, value);
        Py_DECREF(slice);
        i64::from(result)
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_contains(container: Object, item: Object) -> i64 {
    // SAFETY: objects.
    unsafe {
        match super::search::list_contains(container, item) {
            Some(found) => i64::from(found),
            None => i64::from(PySequence_Contains(container, item)),
        }
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_load_attr(object: Object, name: Object) -> Object {
    // SAFETY: objects.
    unsafe { PyObject_GetAttr(object, name) }
}

/// # Safety
/// See [`helper_binary_op`]; `out` has room for one word.
pub unsafe extern "C" fn helper_load_method(object: Object, name: Object, out: *mut Object) -> Object {
    // SAFETY: objects; the output is written once.
    unsafe {
        let mut method = ptr::null_mut();
        let unbound = ffi::_PyObject_GetMethod(object, name, &raw mut method);
        *out = if unbound != 0 { Py_NewRef(object) } else { ptr::null_mut() };
        method
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_store_attr(object: Object, name: Object, value: Object) -> i64 {
    // SAFETY: objects.
    i64::from(unsafe { PyObject_SetAttr(object, name, value) })
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_delete_attr(object: Object, name: Object) -> i64 {
    // SAFETY: a NULL value deletes.
    i64::from(unsafe { PyObject_SetAttr(object, name, ptr::null_mut()) })
}

/// The `super` object of the call, or NULL with an exception set.
unsafe fn call_super(global_super: Object, class: Object, receiver: Object, explicit: bool) -> Object {
    let arguments = [class, receiver];
    // SAFETY: objects; without explicit arguments `super` looks at the current frame.
    unsafe { PyObject_Vectorcall(global_super, arguments.as_ptr(), if explicit { 2 } else { 0 }, ptr::null_mut()) }
}

/// Whether the attribute can be looked up without making a `super` object.
unsafe fn is_plain_super(global_super: Object, class: Object) -> bool {
    // SAFETY: objects.
    global_super == (&raw mut PySuper_Type).cast() && unsafe { PyType_Check(class) } != 0
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_load_super_attr(
    global_super: Object,
    class: Object,
    receiver: Object,
    name: Object,
    explicit: i64,
) -> Object {
    // SAFETY: objects.
    unsafe {
        if is_plain_super(global_super, class) {
            return ffi::_PySuper_Lookup(class.cast(), receiver, name, ptr::null_mut());
        }
        let object = call_super(global_super, class, receiver, explicit != 0);
        if object.is_null() {
            return object;
        }
        let result = PyObject_GetAttr(object, name);
        Py_DECREF(object);
        result
    }
}

/// # Safety
/// See [`helper_binary_op`]; `out` has room for one word.
pub unsafe extern "C" fn helper_load_super_method(
    global_super: Object,
    class: Object,
    receiver: Object,
    name: Object,
    explicit: i64,
    out: *mut Object,
) -> Object {
    // SAFETY: objects; the output is written once on each path.
    unsafe {
        *out = ptr::null_mut();
        if !is_plain_super(global_super, class) {
            return helper_load_super_attr(global_super, class, receiver, name, explicit);
        }
        let mut found = 0;
        let generic = ptr::eq(raw::type_of(receiver).getattro().cast(), PyObject_GenericGetAttr as *const ());
        let result =
            ffi::_PySuper_Lookup(class.cast(), receiver, name, if generic { &raw mut found } else { ptr::null_mut() });
        if !result.is_null() && found != 0 {
            *out = Py_NewRef(receiver);
        }
        result
    }
}

/// # Safety
/// See [`helper_binary_op`]; `out` has room for one word.
pub unsafe extern "C" fn helper_load_special(owner: Object, number: i64, out: *mut Object) -> Object {
    // SAFETY: the number is an operand of LOAD_SPECIAL, the look-up takes over one reference to the owner.
    unsafe {
        *out = ptr::null_mut();
        let special = (&raw const ffi::_Py_SpecialMethods).cast::<ffi::SpecialMethodInfo>().add(number as usize);
        let mut pair = [StackRef::NULL, StackRef::owned(Py_NewRef(owner))];
        let found = ffi::_PyObject_LookupSpecialMethod((*special).name, pair.as_mut_ptr());
        if found > 0 {
            *out = object_or_null(pair[1]);
            return object_or_null(pair[0]);
        }
        if found == 0 {
            let suggest = ffi::_PyEval_SpecialMethodCanSuggest(owner, number as i32) != 0;
            let format = if suggest { (*special).error_suggestion } else { (*special).error };
            PyErr_Format(PyExc_TypeError, format, owner);
        }
        Py_DECREF(owner);
        ptr::null_mut()
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_get_iter(iterable: Object) -> Object {
    // SAFETY: an object.
    unsafe { PyObject_GetIter(iterable) }
}

/// What [`helper_iter_next`] returns at the end. Only its address matters.
#[repr(align(16))]
pub struct ExhaustedMark(#[allow(dead_code)] [u64; 2]);
/// See [`ExhaustedMark`].
pub static EXHAUSTED: ExhaustedMark = ExhaustedMark([0; 2]);

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_iter_next(iterator: Object) -> Object {
    // SAFETY: an object; that of a generator expression may have been replaced through `f_locals` by one that is no iterator.
    unsafe {
        if generators::is_generator(iterator) {
            let tstate = ThreadState(PyThreadState_GetUnchecked().cast());
            match generators::send(tstate, iterator, Py_None()) {
                Some(Resumed::Yielded(item)) => return item,
                Some(Resumed::Raised) => return end_of_iteration(),
                Some(Resumed::Returned(value)) => {
                    Py_DECREF(value);
                    return exhausted();
                }
                None => {
                    let item = generators::next_interpreted(iterator);
                    return if item.is_null() { end_of_iteration() } else { item };
                }
            }
        }
        let class = Py_TYPE(iterator);
        let Some(next) = (*class).tp_iternext else {
            PyErr_Format(PyExc_TypeError, c"'%.100s' object is not an iterator".as_ptr(), (*class).tp_name);
            return ptr::null_mut();
        };
        let item = next(iterator);
        if item.is_null() { end_of_iteration() } else { item }
    }
}

/// The result of [`helper_iter_next`] when there is no item.
pub(super) unsafe fn end_of_iteration() -> Object {
    // SAFETY: attached.
    unsafe {
        if !PyErr_Occurred().is_null() {
            if PyErr_ExceptionMatches(PyExc_StopIteration) == 0 {
                return ptr::null_mut();
            }
            PyErr_Clear();
        }
        exhausted()
    }
}

pub(super) fn exhausted() -> Object {
    (&raw const EXHAUSTED).cast_mut().cast()
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_convert_value(value: Object, conversion: i64) -> Object {
    // SAFETY: the number is an operand of CONVERT_VALUE.
    unsafe {
        let table = (&raw const ffi::_PyEval_ConversionFuncs).cast::<ffi::ConversionFunction>();
        (table.add(conversion as usize).read())(value)
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_format_simple(value: Object) -> Object {
    // SAFETY: an object; a NULL format is the empty one.
    unsafe {
        if PyUnicode_CheckExact(value) != 0 {
            return Py_NewRef(value);
        }
        PyObject_Format(value, ptr::null_mut())
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_format_with_spec(value: Object, spec: Object) -> Object {
    // SAFETY: objects.
    unsafe { PyObject_Format(value, spec) }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_call_function_ex(callable: Object, arguments: Object, keywords: Object) -> Object {
    // SAFETY: objects; `keywords` is NULL or the dict that `BUILD_MAP` and `DICT_MERGE` made.
    unsafe {
        if PyTuple_CheckExact(arguments) != 0 {
            return PyObject_Call(callable, arguments, keywords);
        }
        if ffi::_Py_Check_ArgsIterable(tstate(), callable, arguments) < 0 {
            return ptr::null_mut();
        }
        let tuple = PySequence_Tuple(arguments);
        if tuple.is_null() {
            return tuple;
        }
        let result = PyObject_Call(callable, tuple, keywords);
        Py_DECREF(tuple);
        result
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_call_intrinsic_1(value: Object, number: i64) -> Object {
    // SAFETY: the number is an operand of CALL_INTRINSIC_1.
    unsafe {
        let table = (&raw const ffi::_PyIntrinsics_UnaryFunctions).cast::<ffi::UnaryIntrinsic>();
        ((*table.add(number as usize)).function)(tstate(), value)
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_call_intrinsic_2(left: Object, right: Object, number: i64) -> Object {
    // SAFETY: the number is an operand of CALL_INTRINSIC_2.
    unsafe {
        let table = (&raw const ffi::_PyIntrinsics_BinaryFunctions).cast::<ffi::BinaryIntrinsic>();
        ((*table.add(number as usize)).function)(tstate(), left, right)
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_get_len(value: Object) -> Object {
    // SAFETY: an object.
    unsafe {
        let length = PyObject_Size(value);
        if length < 0 { ptr::null_mut() } else { PyLong_FromSsize_t(length) }
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_match_mapping(subject: Object) -> i64 {
    // SAFETY: an object.
    i64::from(unsafe { raw::type_of(subject).flags() } & layout::type_flags::MAPPING != 0)
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_match_sequence(subject: Object) -> i64 {
    // SAFETY: an object.
    i64::from(unsafe { raw::type_of(subject).flags() } & layout::type_flags::SEQUENCE != 0)
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_match_keys(subject: Object, keys: Object) -> Object {
    // SAFETY: a mapping and a tuple.
    unsafe { ffi::_PyEval_MatchKeys(tstate(), subject, keys) }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_match_class(subject: Object, class: Object, names: Object, positional: i64) -> Object {
    // SAFETY: objects; NULL without an exception means "does not match".
    unsafe {
        let attributes = ffi::_PyEval_MatchClass(tstate(), subject, class, positional as isize, names);
        if attributes.is_null() && PyErr_Occurred().is_null() {
            return Py_NewRef(Py_None());
        }
        attributes
    }
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_raise_init_result(result: Object) -> i64 {
    // SAFETY: the format takes one C string.
    unsafe {
        PyErr_Format(PyExc_TypeError, c"__init__() should return None, not '%.200s'".as_ptr(), type_name(result));
    }
    -1
}

/// # Safety
/// See [`helper_binary_op`].
pub unsafe extern "C" fn helper_new_instance(class: Object) -> Object {
    // SAFETY: a class whose instances the default allocator makes.
    unsafe { PyType_GenericAlloc(class.cast(), 0) }
}

/// A new instance without attributes. Compiled code has no way to go on without one: see [`crate::shortage`].
///
/// # Safety
/// A class whose instances the default allocator makes.
pub unsafe extern "C" fn make_empty_instance(class: Object) -> Object {
    // SAFETY: promised by the caller.
    unsafe {
        let object = PyType_GenericAlloc(class.cast(), 0);
        if object.is_null() { crate::shortage::instance(class) } else { object }
    }
}

/// A new instance whose inline values and `__slots__` members at `offsets` are the values, whose references it takes; they
/// were set in this order.
///
/// # Safety
/// A class whose instances the default allocator makes, and that has values or members at these offsets.
pub unsafe fn make_instance(class: Object, offsets: &[u32], values: &[Object]) -> Object {
    // SAFETY: promised by the caller; fresh inline values are valid and empty, and stand behind all members.
    unsafe {
        let object = make_empty_instance(class);
        let header = (*class.cast::<pyo3_ffi::PyTypeObject>()).tp_basicsize as usize;
        let first = header + layout::dict_values::VALUES;
        let header = object.cast::<u8>().add(header);
        let mut count = 0;
        for (offset, value) in offsets.iter().map(|offset| *offset as usize).zip(values) {
            object.cast::<u8>().add(offset).cast::<Object>().write(*value);
            if offset >= first {
                let capacity = header.add(layout::dict_values::CAPACITY).read() as usize;
                let order = header.add(layout::dict_values::VALUES + 8 * capacity);
                order.add(count).write(((offset - first) / 8) as u8);
                count += 1;
                header.add(layout::dict_values::SIZE).write(count as u8);
            }
        }
        object
    }
}
