//! `await`, and consumers of generators that have not begun.

use super::Object;
use crate::generators::{self, Resumed};
use coluber_cpython::ffi;
use coluber_cpython::raw::ThreadState;
use pyo3_ffi::*;
use std::ffi::c_int;
use std::ptr;

/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_get_awaitable(iterable: Object, argument: i64) -> Object {
    // SAFETY: an object.
    unsafe { ffi::_PyEval_GetAwaitable(iterable, argument as c_int) }
}

/// `SEND`.
///
/// # Safety
/// See [`super::helper_binary_op`]; `out` has room for one output.
pub unsafe extern "C" fn helper_send(receiver: Object, value: Object, out: *mut Object) -> Object {
    // SAFETY: objects; what was returned is marked by an immortal object.
    unsafe {
        out.write(ptr::null_mut());
        let is_plain = generators::is_generator(receiver) || generators::is_coroutine(receiver);
        if is_plain {
            match generators::send(ThreadState(PyThreadState_GetUnchecked().cast()), receiver, value) {
                Some(Resumed::Yielded(item)) => return item,
                Some(Resumed::Raised) => return ptr::null_mut(),
                Some(Resumed::Returned(result)) => {
                    out.write(Py_True());
                    return result;
                }
                None => {}
            }
            let mut result = ptr::null_mut();
            return match PyIter_Send(receiver, value, &raw mut result) {
                PySendResult::PYGEN_NEXT => result,
                PySendResult::PYGEN_RETURN => {
                    out.write(Py_True());
                    result
                }
                PySendResult::PYGEN_ERROR => ptr::null_mut(),
            };
        }
        let result = match (*Py_TYPE(receiver)).tp_iternext {
            Some(next) if value == Py_None() && PyIter_Check(receiver) != 0 => next(receiver),
            _ => {
                let name = PyUnicode_InternFromString(c"send".as_ptr());
                if name.is_null() {
                    return name;
                }
                let result = PyObject_CallMethodOneArg(receiver, name, value);
                Py_DECREF(name);
                result
            }
        };
        if !result.is_null() {
            return result;
        }
        let mut returned = ptr::null_mut();
        if ffi::_PyGen_FetchStopIterationValue(&raw mut returned) < 0 {
            return ptr::null_mut();
        }
        out.write(Py_True());
        returned
    }
}

/// What a consumer that gives a generator its accumulator has to do next.
enum Drained {
    /// The generator has ended.
    Completely,
    /// This item was yielded, and more may come.
    UpTo(Object),
    /// An exception is set.
    Raised,
    /// It did not run.
    NotAtAll,
}

unsafe fn drain(iterator: Object, accumulator: Object) -> Drained {
    // SAFETY: an object, and an accumulator that the caller holds.
    unsafe {
        if !generators::may_drain(iterator) {
            return Drained::NotAtAll;
        }
        let tstate = ThreadState(PyThreadState_GetUnchecked().cast());
        match generators::drain(tstate, iterator, accumulator) {
            Some(Resumed::Yielded(item)) => Drained::UpTo(item),
            Some(Resumed::Returned(value)) => {
                Py_DECREF(value);
                Drained::Completely
            }
            Some(Resumed::Raised) => Drained::Raised,
            None => Drained::NotAtAll,
        }
    }
}

/// # Safety
/// See [`super::helper_binary_op`]; the accumulator is an exact list or set, or a bool.
pub unsafe extern "C" fn helper_iter_next_into(iterator: Object, accumulator: Object) -> Object {
    // SAFETY: promised by the caller.
    unsafe {
        // Items that were there may have an `__eq__` of their own.
        let is_fit = PySet_CheckExact(accumulator) == 0 || PySet_Size(accumulator) == 0;
        if is_fit {
            match drain(iterator, accumulator) {
                Drained::Completely => return super::exhausted(),
                Drained::UpTo(item) => return item,
                Drained::Raised => return super::end_of_iteration(),
                Drained::NotAtAll => {}
            }
        }
        super::helper_iter_next(iterator)
    }
}

/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_collect(iterable: Object, is_set: i64) -> Object {
    // SAFETY: an object; the new collection is nobody else's until it is returned.
    unsafe {
        let is_set = is_set != 0;
        if !generators::is_generator(iterable) {
            return if is_set { PySet_New(iterable) } else { PySequence_List(iterable) };
        }
        let collection = if is_set { PySet_New(ptr::null_mut()) } else { PyList_New(0) };
        if collection.is_null() {
            return collection;
        }
        let put = |item: Object| {
            let status = if is_set { PySet_Add(collection, item) } else { PyList_Append(collection, item) };
            Py_DECREF(item);
            status == 0
        };
        let is_complete = match drain(iterable, collection) {
            Drained::Completely => true,
            Drained::Raised => false,
            Drained::UpTo(item) => put(item) && put_rest(iterable, put),
            Drained::NotAtAll => put_rest(iterable, put),
        };
        if is_complete {
            return collection;
        }
        Py_DECREF(collection);
        ptr::null_mut()
    }
}

/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_collect_away(iterable: Object) -> Object {
    // SAFETY: an object whose reference moves here.
    unsafe {
        let list = helper_collect(iterable, 0);
        Py_DECREF(iterable);
        list
    }
}

/// Takes what an iterator has left. `false`: an exception is set.
unsafe fn put_rest(iterator: Object, put: impl Fn(Object) -> bool) -> bool {
    // SAFETY: an iterator.
    unsafe {
        loop {
            let item = super::helper_iter_next(iterator);
            if item.is_null() {
                return false;
            }
            if item == super::exhausted() {
                return true;
            }
            if !put(item) {
                return false;
            }
        }
    }
}

/// `sum`, the function, of what is behind it. A generator that adds for itself does so in the eight bytes of a bytearray.
///
/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_sum(sum: Object, iterable: Object) -> Object {
    // SAFETY: objects; the bytearray is nobody else's.
    unsafe {
        if !generators::may_drain(iterable) {
            return PyObject_CallOneArg(sum, iterable);
        }
        let sink = PyByteArray_FromStringAndSize([0; 8].as_ptr(), 8);
        if sink.is_null() {
            return sink;
        }
        let drained = drain(iterable, sink);
        let partial = PyByteArray_AsString(sink).cast::<i64>().read_unaligned();
        Py_DECREF(sink);
        match drained {
            Drained::NotAtAll => PyObject_CallOneArg(sum, iterable),
            Drained::Raised => ptr::null_mut(),
            Drained::Completely => PyLong_FromLongLong(partial),
            Drained::UpTo(item) => {
                let stays_fast = fits_sum(partial, item);
                let partial = PyLong_FromLongLong(partial);
                if partial.is_null() {
                    Py_DECREF(item);
                    return partial;
                }
                let start = PyNumber_Add(partial, item);
                Py_DECREF(partial);
                Py_DECREF(item);
                if start.is_null() { start } else { sum_rest(sum, iterable, start, stays_fast) }
            }
        }
    }
}

/// Whether `sum` goes on in its fast ways behind this item. When ints do not fit a word it goes the slow way for ever after, in which
/// floats are added as they come, without account of what was rounded.
unsafe fn fits_sum(partial: i64, item: Object) -> bool {
    // SAFETY: an object; `PyLong_AsLongLongAndOverflow` raises nothing for an int.
    unsafe {
        if PyLong_CheckExact(item) == 0 {
            return true;
        }
        let mut overflow = 0;
        let number = PyLong_AsLongLongAndOverflow(item, &raw mut overflow);
        overflow == 0 && partial.checked_add(number).is_some()
    }
}

/// Goes on with `sum` from a partial sum, which is stolen.
unsafe fn sum_rest(sum: Object, iterator: Object, start: Object, stays_fast: bool) -> Object {
    // SAFETY: objects.
    unsafe {
        let is_number =
            PyLong_CheckExact(start) != 0 || PyFloat_CheckExact(start) != 0 || PyComplex_CheckExact(start) != 0;
        if stays_fast && is_number {
            // What it does from such a start depends on the start alone.
            let arguments = [iterator, start];
            let result = PyObject_Vectorcall(sum, arguments.as_ptr(), 2, ptr::null_mut());
            Py_DECREF(start);
            return result;
        }
        let mut total = start;
        loop {
            let item = super::helper_iter_next(iterator);
            if item == super::exhausted() {
                return total;
            }
            let next = if item.is_null() { item } else { PyNumber_Add(total, item) };
            Py_XDECREF(item);
            Py_DECREF(total);
            if next.is_null() {
                return next;
            }
            total = next;
        }
    }
}

/// # Safety
/// The bytearray that [`helper_sum`] made.
pub unsafe extern "C" fn helper_add_to_sum(sink: Object, number: i64) -> i64 {
    // SAFETY: it has eight bytes.
    unsafe {
        let total = PyByteArray_AsString(sink).cast::<i64>();
        match total.read_unaligned().checked_add(number) {
            Some(next) => {
                total.write_unaligned(next);
                1
            }
            None => 0,
        }
    }
}
