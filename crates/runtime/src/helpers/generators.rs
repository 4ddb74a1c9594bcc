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
    // SAFETY: an object, and a list, set or bool that the caller holds.
    unsafe {
        if !generators::is_generator(iterator) {
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
