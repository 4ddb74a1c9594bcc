//! Names of objects as Rust strings. Nothing here runs Python code or leaves an exception set.

use crate::layout;
use crate::raw::{TypeRef, is_exactly, type_of};
use pyo3_ffi::PyObject;
use std::ffi::{CStr, c_char};

/// The text of an exact str; `None` when it is no str or has lone surrogates.
///
/// # Safety
/// `object` must be valid and the thread attached.
pub unsafe fn to_string(object: *mut PyObject) -> Option<String> {
    // SAFETY: the object is a str; encoding to a new bytes object leaves no cache behind in it.
    unsafe {
        if object.is_null() || !is_exactly(object, &raw mut pyo3_ffi::PyUnicode_Type) {
            return None;
        }
        let bytes = pyo3_ffi::PyUnicode_AsUTF8String(object);
        if bytes.is_null() {
            pyo3_ffi::PyErr_Clear();
            return None;
        }
        let slice = std::slice::from_raw_parts(
            pyo3_ffi::PyBytes_AsString(bytes).cast::<u8>(),
            pyo3_ffi::PyBytes_Size(bytes) as usize,
        );
        let text = String::from_utf8(slice.to_vec()).ok();
        pyo3_ffi::Py_DECREF(bytes);
        text
    }
}

/// `tp_name` without its module.
pub fn type_name(class: TypeRef) -> String {
    full_name(class).rsplit('.').next().unwrap_or_default().to_owned()
}

/// `tp_name`.
fn full_name(class: TypeRef) -> String {
    // SAFETY: every type has a name that lives as long as it.
    unsafe {
        let name = class.0.add(layout::type_object::TP_NAME).cast::<*const c_char>().read();
        CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

/// The qualified name of a class.
///
/// # Safety
/// `class` must be a valid type and the thread attached.
pub unsafe fn class_name(class: TypeRef) -> String {
    // SAFETY: only heap types have the field.
    unsafe {
        if class.flags() & layout::type_flags::HEAP_TYPE != 0 {
            let name = class.0.add(layout::type_object::HT_QUALNAME).cast::<*mut PyObject>().read();
            if let Some(name) = to_string(name) {
                return name;
            }
        }
    }
    type_name(class)
}

/// `__name__` of a module.
///
/// # Safety
/// `module` must be a valid module and the thread attached.
pub unsafe fn module_name(module: *mut PyObject) -> Option<String> {
    // SAFETY: the module is valid; the name is a new reference.
    unsafe {
        let name = pyo3_ffi::PyModule_GetNameObject(module);
        if name.is_null() {
            pyo3_ffi::PyErr_Clear();
            return None;
        }
        let text = to_string(name);
        pyo3_ffi::Py_DECREF(name);
        text
    }
}

/// `module.name` of a function of a builtin module, `type.name` of a method descriptor or slot wrapper of a builtin type, with
/// the type's module if it is not `builtins`.
///
/// # Safety
/// `object` must be valid and the thread attached.
pub unsafe fn builtin_name(object: *mut PyObject) -> Option<String> {
    // SAFETY: fields are read of the exact type that was tested.
    unsafe {
        let field = |offset: usize| object.cast::<u8>().add(offset).cast::<*mut PyObject>().read();
        if is_exactly(object, &raw mut pyo3_ffi::PyCFunction_Type) {
            let definition = field(layout::builtin_function::M_ML).cast::<u8>();
            let name = definition.add(layout::method_def::ML_NAME).cast::<*const c_char>().read();
            let name = CStr::from_ptr(name).to_str().ok()?;
            let owner = field(layout::builtin_function::M_SELF);
            if owner.is_null() || is_exactly(owner, &raw mut pyo3_ffi::PyModule_Type) {
                let module = to_string(field(layout::builtin_function::M_MODULE))?;
                return Some(format!("{module}.{name}"));
            }
            if type_of(owner).flags() & layout::type_flags::TYPE_SUBCLASS != 0 {
                return Some(format!("{}.{name}", type_name(TypeRef(owner.cast()))));
            }
            return None;
        }
        if is_exactly(object, &raw mut pyo3_ffi::PyMethodDescr_Type)
            || is_exactly(object, &raw mut pyo3_ffi::PyWrapperDescr_Type)
        {
            let class = TypeRef(field(layout::method_descriptor::D_TYPE).cast());
            let name = to_string(field(layout::method_descriptor::D_NAME))?;
            return Some(format!("{}.{name}", full_name(class)));
        }
        None
    }
}

/// An attribute by its name, a new reference or NULL with an exception set. The name is interned: the interpreter's cache of
/// look-ups keeps names, so every call with a new str would leave one there.
///
/// # Safety
/// A valid object, attached.
pub unsafe fn attribute(object: *mut PyObject, name: &CStr) -> *mut PyObject {
    // SAFETY: promised by the caller; the reference to the name is given back.
    unsafe {
        let name = pyo3_ffi::PyUnicode_InternFromString(name.as_ptr());
        if name.is_null() {
            return name;
        }
        let found = pyo3_ffi::PyObject_GetAttr(object, name);
        pyo3_ffi::Py_DECREF(name);
        found
    }
}
