//! Builtin iterators whose structures are in no header, the same in 3.14 and 3.15. [`are_laid_out_as_expected`] looks at
//! live ones before anything relies on it.

use crate::pool::kind_of_type;
use crate::raw::{Attached, TypeRef, type_of};
use crate::{ffi, layout};
use coluber_bytecode::Kind;
use pyo3_ffi::*;
use std::ptr::{self, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};

/// `enumobject` (`Objects/enumobject.c`).
pub mod enumerate {
    /// `en_index`: `PY_SSIZE_T_MAX` if it counts in objects.
    pub const INDEX: usize = 16;
    /// `en_sit`
    pub const ITERATOR: usize = 24;
    /// `en_result`: the tuple that is used again if nobody else holds it.
    pub const RESULT: usize = 32;
}

/// `zipobject` (`Python/bltinmodule.c`).
pub mod zip {
    /// `tuplesize`
    pub const COUNT: usize = 16;
    /// `ittuple`
    pub const ITERATORS: usize = 24;
    /// `result`: the tuple that is used again if nobody else holds it.
    pub const RESULT: usize = 32;
    /// `strict`
    pub const STRICT: usize = 40;
}

/// `dictiterobject` (`Objects/dictobject.c`).
pub mod dict_iterator {
    /// `di_dict`: NULL when it is exhausted.
    pub const DICT: usize = 16;
    /// `di_used`
    pub const USED: usize = 24;
    /// `di_pos`
    pub const POSITION: usize = 32;
    /// `di_result`: the pair that is used again if nobody else holds it; NULL unless it gives items.
    pub const RESULT: usize = 40;
    /// `len`: items left.
    pub const LENGTH: usize = 48;
}

const _: () = assert!(enumerate::ITERATOR == coluber_bytecode::ENUMERATE_ITERATOR as usize);
const _: () = assert!(zip::ITERATORS == coluber_bytecode::ZIP_ITERATORS as usize);

/// Kinds of iterators that compiled code tells apart.
const NOTED: [Kind; 10] = [
    Kind::RangeIterator,
    Kind::ListIterator,
    Kind::TupleIterator,
    Kind::Enumerate,
    Kind::Zip,
    Kind::ReverseIterator,
    Kind::DictKeyIterator,
    Kind::DictValueIterator,
    Kind::DictItemIterator,
    Kind::AsciiIterator,
];

/// The type of `iter("")`, which no header names.
static ASCII_ITERATOR_TYPE: AtomicPtr<u8> = AtomicPtr::new(null_mut());

/// The type of iterators over str objects of ASCII characters.
pub fn ascii_iterator_type() -> TypeRef {
    let known = ASCII_ITERATOR_TYPE.load(Ordering::Relaxed);
    if !known.is_null() {
        return TypeRef(known);
    }
    // SAFETY: types are asked for by attached threads; a static type outlives its instance.
    unsafe {
        let iterator = PyObject_GetIter(layout::empty_string());
        if iterator.is_null() {
            PyErr_Clear();
            return TypeRef(null_mut());
        }
        let class = type_of(iterator);
        Py_DECREF(iterator);
        ASCII_ITERATOR_TYPE.store(class.0, Ordering::Relaxed);
        class
    }
}

/// A word of an object.
///
/// # Safety
/// The object has it.
unsafe fn word<T>(object: *mut PyObject, offset: usize) -> T {
    // SAFETY: promised by the caller.
    unsafe { object.cast::<u8>().add(offset).cast::<T>().read() }
}

/// The first and the second iterator that an iterator of a kind walks, borrowed; NULL where there is none.
///
/// # Safety
/// A valid object of exactly that kind.
pub unsafe fn inner_iterators(iterator: *mut PyObject, kind: Kind) -> [*mut PyObject; 2] {
    // SAFETY: the layout was checked; the iterators of a zip are in an exact tuple.
    unsafe {
        match kind {
            Kind::Enumerate => [word(iterator, enumerate::ITERATOR), null_mut()],
            Kind::Zip => {
                let tuple: *mut PyObject = word(iterator, zip::ITERATORS);
                let count = PyTuple_GET_SIZE(tuple);
                [0, 1].map(|index| if index < count { PyTuple_GET_ITEM(tuple, index) } else { null_mut() })
            }
            _ => [null_mut(); 2],
        }
    }
}

/// Kinds of the iterators that an iterator walks; `None` if it is none that walks others, or walks more than two.
pub(crate) fn inner_kinds(iterator: *mut PyObject, kind: Kind) -> Option<[Option<Kind>; 2]> {
    // SAFETY: snapshots are taken attached, of valid objects whose exact type was looked at.
    unsafe {
        if kind != Kind::Enumerate && (kind != Kind::Zip || word::<isize>(iterator, zip::COUNT) != 2) {
            return None;
        }
        let kind_of = |inner: *mut PyObject| if inner.is_null() { None } else { kind_of_type(type_of(inner)) };
        Some(inner_iterators(iterator, kind).map(kind_of))
    }
}

/// Gives the types version tags, by which compiled code notes what it met.
pub fn prepare(_: Attached) {
    for kind in NOTED {
        let class = crate::pool::type_of_kind(kind);
        // SAFETY: a static type; if there is no tag left, it is not noted.
        unsafe { ffi::PyUnstable_Type_AssignVersionTag(class.0.cast()) };
    }
}

/// Calls a builtin class.
unsafe fn make(class: *mut PyTypeObject, arguments: &[*mut PyObject]) -> *mut PyObject {
    // SAFETY: objects; classes that run no Python code.
    unsafe { PyObject_Vectorcall(class.cast(), arguments.as_ptr(), arguments.len(), ptr::null_mut()) }
}

/// Whether it is a tuple of two.
unsafe fn is_pair(object: *mut PyObject) -> bool {
    // SAFETY: an object or NULL.
    unsafe { !object.is_null() && PyTuple_CheckExact(object) != 0 && PyTuple_GET_SIZE(object) == 2 }
}

/// Takes one item.
unsafe fn step(iterator: *mut PyObject) -> bool {
    // SAFETY: an iterator.
    unsafe {
        let item = PyIter_Next(iterator);
        Py_XDECREF(item);
        !item.is_null()
    }
}

/// Whether live iterators have their parts where they are expected.
pub(crate) unsafe fn are_laid_out_as_expected(_: Attached) -> bool {
    // SAFETY: all objects are new references that are given back; words are read inside of them.
    unsafe {
        let list = PyList_New(3);
        let dict = PyDict_New();
        let text = PyUnicode_FromString(c"abc".as_ptr());
        if list.is_null() || dict.is_null() || text.is_null() {
            return false;
        }
        for index in 0..3 {
            PyList_SetItem(list, index, Py_NewRef(Py_None()));
        }
        PyDict_SetItemString(dict, c"a".as_ptr(), Py_None());
        PyDict_SetItemString(dict, c"b".as_ptr(), Py_None());
        let walks = |iterator: *mut PyObject, kind: Kind, sequence: *mut PyObject, index: isize| {
            let fits = !iterator.is_null()
                && kind_of_type(type_of(iterator)) == Some(kind)
                && step(iterator)
                && word::<isize>(iterator, layout::list_iterator::IT_INDEX) == index
                && word::<*mut PyObject>(iterator, layout::list_iterator::IT_SEQ) == sequence;
            Py_XDECREF(iterator);
            fits
        };
        let sequences = walks(PyObject_GetIter(text), Kind::AsciiIterator, text, 1)
            && walks(PyObject_GetIter(list), Kind::ListIterator, list, 1)
            && walks(make(&raw mut PyReversed_Type, &[list]), Kind::ReverseIterator, list, 1);
        let inner = PyObject_GetIter(list);
        let counted = make(&raw mut PyEnum_Type, &[inner]);
        let both = make(&raw mut PyZip_Type, &[inner, inner]);
        let compound = !counted.is_null()
            && !both.is_null()
            && step(counted)
            && word::<isize>(counted, enumerate::INDEX) == 1
            && inner_iterators(counted, Kind::Enumerate) == [inner, null_mut()]
            && word::<isize>(both, zip::COUNT) == 2
            && is_pair(word(both, zip::RESULT))
            && is_pair(word(counted, enumerate::RESULT))
            && word::<i32>(both, zip::STRICT) == 0
            && inner_iterators(both, Kind::Zip) == [inner; 2];
        let keys = PyObject_GetIter(dict);
        let dicts = !keys.is_null()
            && step(keys)
            && word::<*mut PyObject>(keys, dict_iterator::DICT) == dict
            && word::<isize>(keys, dict_iterator::USED) == 2
            && word::<isize>(keys, dict_iterator::POSITION) == 1
            && word::<isize>(keys, dict_iterator::LENGTH) == 1
            && word::<*mut PyObject>(keys, dict_iterator::RESULT).is_null();
        for object in [keys, both, counted, inner, text, dict, list] {
            Py_XDECREF(object);
        }
        sequences && compound && dicts
    }
}
