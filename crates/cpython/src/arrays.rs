//! `array.array`: a type of an extension module whose layout is in no header.
//!
//! It is recognised when a snapshot first meets it, and believed only after an array made for the purpose had its numbers
//! where they are expected.

use crate::raw::{TypeRef, type_of};
use crate::{layout, text};

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// `ob_item` of `arrayobject` (`Modules/arraymodule.c`, 3.14 and 3.15): pointer to the numbers.
pub const ITEMS: usize = 24;
/// `ob_descr`: pointer to the description of the format, which begins with the type code.
pub const DESCRIPTION: usize = 40;
/// `sizeof(arrayobject)`.
const SIZE: isize = 64;

/// The type, once recognised. Owns a reference: the address must not become another type's.
static ARRAY_TYPE: AtomicPtr<u8> = AtomicPtr::new(null_mut());

/// The type `array.array` of the main interpreter; NULL before anybody met it.
pub fn array_type() -> TypeRef {
    TypeRef(ARRAY_TYPE.load(Ordering::Relaxed))
}

/// Address of the word that holds [`array_type`].
pub fn type_cell() -> u64 {
    ARRAY_TYPE.as_ptr() as u64
}

/// The type code of an exact `array.array`.
pub fn type_code(object: *mut pyo3_ffi::PyObject) -> Option<u8> {
    if array_type().0.is_null() || type_of(object).0 != array_type().0 {
        return None;
    }
    // SAFETY: an object of the type whose layout was checked.
    Some(unsafe { object.cast::<u8>().add(DESCRIPTION).cast::<*const u8>().read().read() })
}

/// Notes the class if it is `array.array`. The thread is attached.
pub(crate) fn recognise(class: TypeRef) {
    let needed = layout::type_flags::HEAP_TYPE | layout::type_flags::IMMUTABLE_TYPE;
    // SAFETY: a valid class, as for all callers of this crate.
    unsafe {
        if !array_type().0.is_null()
            || class.flags() & needed != needed
            || class.basic_size() != SIZE
            || text::class_name(class) != "array"
            || !is_laid_out_as_expected(class)
        {
            return;
        }
        pyo3_ffi::Py_INCREF(class.object());
    }
    ARRAY_TYPE.store(class.0, Ordering::Relaxed);
}

/// Makes `array('d', (1.5, -2.5))` and looks at it.
unsafe fn is_laid_out_as_expected(class: TypeRef) -> bool {
    // SAFETY: calling an immutable C type runs no Python code; the object is of the size that was tested, so all offsets lie within
    // it; the pointers are followed only when the number of items is right.
    unsafe {
        let array = pyo3_ffi::PyObject_CallFunction(class.object(), c"s(dd)".as_ptr(), c"d".as_ptr(), 1.5f64, -2.5f64);
        if array.is_null() {
            pyo3_ffi::PyErr_Clear();
            return false;
        }
        let field = |offset: usize| array.cast::<u8>().add(offset).cast::<*const u8>().read();
        let is_right = type_of(array).0 == class.0
            && array.cast::<u8>().add(layout::object::OB_SIZE).cast::<isize>().read() == 2
            && !field(ITEMS).is_null()
            && !field(DESCRIPTION).is_null()
            && field(ITEMS).cast::<[f64; 2]>().read_unaligned() == [1.5, -2.5]
            && field(DESCRIPTION).read() == b'd';
        pyo3_ffi::Py_DECREF(array);
        is_right
    }
}
