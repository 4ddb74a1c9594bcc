//! Exported or reimplemented interpreter functions that `coluber-cpython` does not declare yet.

use coluber_cpython::layout;
use coluber_cpython::raw::{Attached, StackRef};
use pyo3_ffi::*;
use std::ptr;

unsafe extern "C" {
    /// Of the C library, with its rounding.
    pub fn pow(base: f64, exponent: f64) -> f64;
    /// Of the C library.
    pub fn fmod(left: f64, right: f64) -> f64;
}

/// Converts a stack reference to an owned object pointer.
///
/// # Safety
/// The reference must hold an object; it is consumed.
pub unsafe fn steal(reference: StackRef) -> *mut PyObject {
    let object = reference.object();
    if !reference.owns() && !object.is_null() {
        // SAFETY: a borrowed reference's object is alive.
        unsafe { Py_INCREF(object) };
    }
    object
}

/// Gives back what a slot owns.
///
/// # Safety
/// The slot's content must be valid; it is consumed. May run Python code.
pub unsafe fn close(reference: StackRef) {
    if reference.owns() {
        // SAFETY: an owned reference (the empty slot and tagged integers own nothing).
        unsafe { Py_DECREF(reference.object()) };
    }
}

/// `_PyErr_GetTopmostException`: the exception being handled, borrowed, or NULL.
///
/// # Safety
/// Attached.
pub unsafe fn handled_exception() -> *mut PyObject {
    // SAFETY: the chain of exception items ends with the thread's own.
    unsafe {
        let mut item = Attached::assume().thread_state().exc_info();
        loop {
            let value = item.add(layout::thread_state::EXC_ITEM_VALUE).cast::<*mut PyObject>().read();
            let previous = item.add(layout::thread_state::EXC_ITEM_PREVIOUS).cast::<*mut u8>().read();
            if (!value.is_null() && value != Py_None()) || previous.is_null() {
                return if value == Py_None() { ptr::null_mut() } else { value };
            }
            item = previous;
        }
    }
}

/// `do_raise` (`Python/ceval.c`): sets an exception.
///
/// # Safety
/// Objects or NULL; attached.
pub unsafe fn raise(exception: *mut PyObject, cause: *mut PyObject) {
    // SAFETY: all calls get valid objects; every path releases what it made.
    unsafe {
        if exception.is_null() {
            let handled = handled_exception();
            if handled.is_null() {
                PyErr_SetString(PyExc_RuntimeError, c"No active exception to reraise".as_ptr());
            } else {
                PyErr_SetRaisedException(Py_NewRef(handled));
                crate::exits::note_reraise(handled, -1);
            }
            return;
        }
        let value = if PyExceptionClass_Check(exception) != 0 {
            let value = PyObject_CallNoArgs(exception);
            if value.is_null() {
                return;
            }
            if PyExceptionInstance_Check(value) == 0 {
                wrong_instance(exception, value);
                return;
            }
            value
        } else if PyExceptionInstance_Check(exception) != 0 {
            Py_NewRef(exception)
        } else {
            PyErr_SetString(PyExc_TypeError, c"exceptions must derive from BaseException".as_ptr());
            return;
        };
        let class = Py_TYPE(value).cast::<PyObject>();
        let class = if PyExceptionClass_Check(exception) != 0 { exception } else { class };
        if !cause.is_null() {
            let fixed = if PyExceptionClass_Check(cause) != 0 {
                let fixed = PyObject_CallNoArgs(cause);
                if fixed.is_null() {
                    Py_DECREF(value);
                    return;
                }
                if PyExceptionInstance_Check(fixed) == 0 {
                    wrong_instance(cause, fixed);
                    Py_DECREF(value);
                    return;
                }
                fixed
            } else if PyExceptionInstance_Check(cause) != 0 {
                Py_NewRef(cause)
            } else if cause == Py_None() {
                ptr::null_mut()
            } else {
                PyErr_SetString(PyExc_TypeError, c"exception causes must derive from BaseException".as_ptr());
                Py_DECREF(value);
                return;
            };
            PyException_SetCause(value, fixed);
        }
        PyErr_SetObject(class, value);
        Py_DECREF(value);
    }
}

/// Sets the TypeError about a class that made something else than an exception; releases `made`.
unsafe fn wrong_instance(class: *mut PyObject, made: *mut PyObject) {
    // SAFETY: the format takes two objects.
    unsafe {
        PyErr_Format(
            PyExc_TypeError,
            c"calling %R should have returned an instance of BaseException, not %R".as_ptr(),
            class,
            Py_TYPE(made),
        );
        Py_DECREF(made);
    }
}
