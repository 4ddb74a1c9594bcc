//! Names, cells, functions, imports: what needs the frame.

use super::{Object, object_or_null, tstate};
use coluber_cpython::differences;
use coluber_cpython::ffi;
use coluber_cpython::layout;
use coluber_cpython::raw::{Frame, FunctionRef, StackRef};
use pyo3_ffi::*;
use std::ffi::CStr;
use std::ptr;

const NAME_ERROR: &CStr = c"name '%.200s' is not defined";
const UNBOUND_LOCAL_ERROR: &CStr = c"cannot access local variable '%s' where it is not associated with a value";

unsafe fn raise_name_error(name: Object) {
    // SAFETY: the format takes the name.
    unsafe { ffi::_PyEval_FormatExcCheckArg(tstate(), PyExc_NameError, NAME_ERROR.as_ptr(), name) };
}

/// The name of a slot, borrowed.
unsafe fn slot_name(frame: Frame, slot: i64) -> Object {
    // SAFETY: the slot is one of the code's.
    unsafe { PyTuple_GET_ITEM(frame.code().slot_names(), slot as isize) }
}

/// Looks `name` up in a mapping: a new reference, NULL if it is missing, `Err` with an exception set.
unsafe fn get_optional(mapping: Object, name: Object) -> Result<Object, ()> {
    let mut value = ptr::null_mut();
    // SAFETY: objects.
    match unsafe { PyMapping_GetOptionalItem(mapping, name, &raw mut value) } {
        -1 => Err(()),
        _ => Ok(value),
    }
}

/// # Safety
/// As for every helper with a frame: the frame is linked and has a code object.
pub unsafe extern "C" fn helper_load_global(frame: Frame, name: Object) -> Object {
    let mut result = StackRef::NULL;
    // SAFETY: a running frame has globals and builtins.
    unsafe {
        ffi::_PyEval_LoadGlobalStackRef(frame.globals(), frame.builtins(), name, &raw mut result);
        object_or_null(result)
    }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_store_global(frame: Frame, name: Object, value: Object) -> i64 {
    // SAFETY: globals are a dict.
    i64::from(unsafe { PyDict_SetItem(frame.globals(), name, value) })
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_delete_global(frame: Frame, name: Object) -> i64 {
    // SAFETY: globals are a dict; the removed value is released by the call.
    unsafe {
        match PyDict_Pop(frame.globals(), name, ptr::null_mut()) {
            1 => 0,
            0 => {
                raise_name_error(name);
                -1
            }
            _ => -1,
        }
    }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_load_name(frame: Frame, name: Object) -> Object {
    // SAFETY: the frame has locals (the interpreter checks).
    let value = unsafe { ffi::_PyEval_LoadName(tstate(), frame, name) };
    // SAFETY: objects.
    unsafe { differences::resolve_loaded_name(tstate(), frame, name, value) }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_store_name(frame: Frame, name: Object, value: Object) -> i64 {
    // SAFETY: objects.
    unsafe {
        let locals = frame.locals();
        if locals.is_null() {
            PyErr_Format(PyExc_SystemError, c"no locals found when storing %R".as_ptr(), name);
            return -1;
        }
        i64::from(if PyDict_CheckExact(locals) != 0 {
            PyDict_SetItem(locals, name, value)
        } else {
            PyObject_SetItem(locals, name, value)
        })
    }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_delete_name(frame: Frame, name: Object) -> i64 {
    // SAFETY: objects.
    unsafe {
        let locals = frame.locals();
        if locals.is_null() {
            PyErr_Format(PyExc_SystemError, c"no locals when deleting %R".as_ptr(), name);
            return -1;
        }
        if PyObject_DelItem(locals, name) != 0 {
            raise_name_error(name);
            return -1;
        }
        0
    }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_load_locals(frame: Frame) -> Object {
    // SAFETY: the frame's locals, if it has any, are an object.
    unsafe {
        let locals = frame.locals();
        if locals.is_null() {
            PyErr_SetString(PyExc_SystemError, c"no locals".as_ptr());
            return locals;
        }
        Py_NewRef(locals)
    }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_load_from_dict_or_globals(frame: Frame, mapping: Object, name: Object) -> Object {
    // SAFETY: objects.
    unsafe {
        match get_optional(mapping, name) {
            Err(()) => ptr::null_mut(),
            Ok(value) if value.is_null() => helper_load_global(frame, name),
            Ok(value) => value,
        }
    }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_load_from_dict_or_deref(
    frame: Frame,
    mapping: Object,
    cell: Object,
    slot: i64,
) -> Object {
    // SAFETY: objects; the slot is one of the code's.
    unsafe {
        match get_optional(mapping, slot_name(frame, slot)) {
            Err(()) => return ptr::null_mut(),
            Ok(value) if !value.is_null() => return value,
            Ok(_) => {}
        }
        let value = PyCell_Get(cell);
        if value.is_null() {
            helper_raise_unbound_cell(frame, slot);
        }
        value
    }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_load_build_class(frame: Frame) -> Object {
    // SAFETY: objects; the new string is released.
    unsafe {
        let name = PyUnicode_InternFromString(c"__build_class__".as_ptr());
        if name.is_null() {
            return name;
        }
        let found = get_optional(frame.builtins(), name);
        Py_DECREF(name);
        match found {
            Err(()) => ptr::null_mut(),
            Ok(value) => {
                if value.is_null() {
                    PyErr_SetString(PyExc_NameError, c"__build_class__ not found".as_ptr());
                }
                value
            }
        }
    }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_raise_unbound_local(frame: Frame, slot: i64) -> i64 {
    // SAFETY: the format takes the name.
    unsafe {
        let name = slot_name(frame, slot);
        ffi::_PyEval_FormatExcCheckArg(tstate(), PyExc_UnboundLocalError, UNBOUND_LOCAL_ERROR.as_ptr(), name);
    }
    -1
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_raise_unbound_cell(frame: Frame, slot: i64) -> i64 {
    // SAFETY: the slot is one of the code's.
    unsafe { ffi::_PyEval_FormatExcUnbound(tstate(), frame.code().object(), slot as i32) };
    -1
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_make_cell(value: Object) -> Object {
    // SAFETY: an object or NULL.
    unsafe { PyCell_New(value) }
}

/// # Safety
/// See [`helper_load_global`]; the function has a closure.
pub unsafe extern "C" fn helper_load_closure_cell(frame: Frame, index: i64) -> Object {
    // SAFETY: the closure has as many cells as the code has free variables.
    unsafe {
        let function = FunctionRef(frame.function().object().cast());
        Py_NewRef(PyTuple_GET_ITEM(function.closure(), index as isize))
    }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_make_function(frame: Frame, code: Object) -> Object {
    // SAFETY: a code object and the frame's globals.
    unsafe {
        let function = PyFunction_New(code, frame.globals());
        if !function.is_null() {
            ffi::_PyFunction_SetVersion(function, coluber_cpython::CodeRef(code.cast()).version());
        }
        function
    }
}

/// # Safety
/// See [`helper_load_global`]; the attribute is not set yet.
pub unsafe extern "C" fn helper_set_function_attribute(function: Object, value: Object, attribute: i64) -> i64 {
    // SAFETY: the number is an operand of SET_FUNCTION_ATTRIBUTE; the function takes over the reference.
    unsafe {
        let offset = (&raw const ffi::_Py_FunctionAttributeOffsets).cast::<usize>().add(attribute as usize).read();
        function.cast::<u8>().add(offset).cast::<Object>().write(value);
    }
    0
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_import_name(frame: Frame, name: Object, from_list: Object, level: Object) -> Object {
    // SAFETY: objects.
    unsafe { differences::import_name(tstate(), frame, name, from_list, level) }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_import_from(frame: Frame, module: Object, name: Object) -> Object {
    // SAFETY: objects.
    unsafe { differences::import_from(tstate(), frame, module, name) }
}

/// # Safety
/// See [`helper_load_global`].
pub unsafe extern "C" fn helper_setup_annotations(frame: Frame) -> i64 {
    // SAFETY: objects; what is made is released.
    unsafe {
        let locals = frame.locals();
        if locals.is_null() {
            PyErr_SetString(PyExc_SystemError, c"no locals found when setting up annotations".as_ptr());
            return -1;
        }
        let name = PyUnicode_InternFromString(c"__annotations__".as_ptr());
        if name.is_null() {
            return -1;
        }
        let result = match get_optional(locals, name) {
            Err(()) => -1,
            Ok(found) if !found.is_null() => {
                Py_DECREF(found);
                0
            }
            Ok(_) => {
                let annotations = PyDict_New();
                if annotations.is_null() {
                    -1
                } else {
                    let result = PyObject_SetItem(locals, name, annotations);
                    Py_DECREF(annotations);
                    result
                }
            }
        };
        Py_DECREF(name);
        i64::from(result)
    }
}

const _: () = assert!(layout::frame::LOCALSPLUS == 80, "frames are addressed in words");
