//! Raising, and what handlers do.

use super::{Object, tstate};
use crate::{exits, ffi_extra};
use coluber_cpython::ffi;
use pyo3_ffi::*;

/// `raise`, `raise exception`, `raise exception from cause` (`do_raise` of `Python/ceval.c`, same on 3.14 and 3.15).
///
/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_raise(exception: Object, cause: Object) -> i64 {
    // SAFETY: objects or NULL.
    unsafe { ffi_extra::raise(exception, cause) };
    -1
}

/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_reraise(exception: Object, raised_at: i64) -> i64 {
    // SAFETY: an exception.
    unsafe { ffi::_PyErr_SetRaisedException(tstate(), Py_NewRef(exception)) };
    exits::note_reraise(exception, raised_at);
    -1
}

/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_matches_exception(exception: Object, classes: Object) -> i64 {
    // SAFETY: objects.
    unsafe {
        if ffi::_PyEval_CheckExceptTypeValid(tstate(), classes) < 0 {
            return -1;
        }
        i64::from(PyErr_GivenExceptionMatches(exception, classes))
    }
}

/// `WITH_EXCEPT_START` (`Python/bytecodes.c`, same on 3.14 and 3.15).
///
/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_call_exit(method: Object, receiver: Object, exception: Object) -> Object {
    // SAFETY: objects, the receiver or NULL; the word in front of the arguments is the callee's to use.
    unsafe {
        let made = PyException_GetTraceback(exception);
        let traceback = if made.is_null() { Py_None() } else { made };
        let class = Py_TYPE(exception).cast::<PyObject>();
        let stack = [std::ptr::null_mut(), receiver, class, exception, traceback];
        let with_self = usize::from(!receiver.is_null());
        let arguments = stack.as_ptr().add(2 - with_self);
        let count = (3 + with_self) | PY_VECTORCALL_ARGUMENTS_OFFSET;
        let result = PyObject_Vectorcall(method, arguments, count, std::ptr::null_mut());
        Py_XDECREF(made);
        result
    }
}
