//! `await`.

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
