//! C functions as compiled code calls them: past the wrappers that look at the arguments, as the interpreter's specialised
//! calls do.
//!
//! What a function object or method descriptor was made of never changes, so all is read once, when a unit is compiled.

use crate::layout;
use crate::raw::{TypeRef, is_exactly};
use coluber_bytecode::NativeConvention;
use pyo3_ffi::PyObject;
use std::ffi::c_int;

/// A C function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Native {
    /// What it takes besides self.
    pub convention: NativeConvention,
    /// Its address.
    pub function: usize,
    /// Self where it is none of the arguments, borrowed from the function object; may be NULL.
    pub receiver: *mut PyObject,
}

/// The C function behind a function object of a builtin module or a method descriptor, if compiled code can call it.
///
/// # Safety
/// `object` must be valid and the thread attached.
pub unsafe fn find(object: *mut PyObject) -> Option<Native> {
    // SAFETY: fields are read of the exact type that was tested; definitions live as long as what is made of them.
    unsafe {
        let field = |offset: usize| object.cast::<u8>().add(offset).cast::<*mut u8>().read();
        let is_function = is_exactly(object, &raw mut pyo3_ffi::PyCFunction_Type);
        let definition = match is_function {
            true => field(layout::builtin_function::M_ML),
            false => owner(object).map(|_| field(layout::method_descriptor::D_METHOD))?,
        };
        let flags = definition.add(layout::method_def::ML_FLAGS).cast::<c_int>().read();
        let receiver = match is_function && flags & pyo3_ffi::METH_STATIC == 0 {
            true => field(layout::builtin_function::M_SELF).cast(),
            false => std::ptr::null_mut(),
        };
        const KEYWORDS: c_int = pyo3_ffi::METH_FASTCALL | pyo3_ffi::METH_KEYWORDS;
        let convention = match flags & !(pyo3_ffi::METH_CLASS | pyo3_ffi::METH_STATIC | pyo3_ffi::METH_COEXIST) {
            pyo3_ffi::METH_NOARGS => NativeConvention::NoArguments,
            pyo3_ffi::METH_O => NativeConvention::One,
            pyo3_ffi::METH_FASTCALL => NativeConvention::Vector,
            KEYWORDS => NativeConvention::VectorAndNames,
            _ => return None,
        };
        let function = definition.add(layout::method_def::ML_METH).cast::<usize>().read();
        Some(Native { convention, function, receiver })
    }
}

/// The class whose instances a method descriptor is for, borrowed.
///
/// # Safety
/// As for [`find`].
pub unsafe fn owner(object: *mut PyObject) -> Option<TypeRef> {
    // SAFETY: the field is read of the exact type that was tested.
    unsafe {
        let is_method = is_exactly(object, &raw mut pyo3_ffi::PyMethodDescr_Type);
        let class = || object.cast::<u8>().add(layout::method_descriptor::D_TYPE).cast::<*mut u8>().read();
        is_method.then(|| TypeRef(class().cast()))
    }
}
