//! Iterators: made with their positions; steps over dicts and other iterators without the tuples these make.

use super::{Object, exhausted, helper_iter_next};
use coluber_bytecode::Kind;
use coluber_cpython::iterators::{dict_iterator, enumerate, inner_iterators, zip};
use coluber_cpython::layout;
use coluber_cpython::pool::kind_of_type;
use coluber_cpython::raw::{ThreadState, type_of};
use coluber_ir::fields::Immediate;
use coluber_ir::ops::Walker;
use pyo3_ffi::*;
use std::ptr;

/// A place in an object.
pub(crate) unsafe fn part<T>(object: Object, offset: usize) -> *mut T {
    // SAFETY: the callers pass offsets inside the object.
    unsafe { object.cast::<u8>().add(offset).cast() }
}

/// A new iterator of its parts: numbers, or objects whose references it takes. Compiled code has no way to go on without
/// one: see [`crate::shortage`]. An exception that is set stays so.
///
/// # Safety
/// Called by compiled code only, attached; `parts` has the words that the walker says.
pub unsafe extern "C" fn make_iterator(walker: u64, parts: *const u64) -> Object {
    // SAFETY: promised by the caller. Calls are not made with an exception set.
    unsafe {
        let walker = Walker::samples()[walker as usize];
        let raised = PyErr_GetRaisedException();
        let word = |index: usize| parts.add(index).read();
        let iterator = new_iterator(walker, word);
        let iterator = if iterator.is_null() { crate::shortage::iterator(walker, word) } else { iterator };
        if !raised.is_null() {
            PyErr_SetRaisedException(raised);
        }
        iterator
    }
}

/// NULL if there is no memory; the references were not taken then.
unsafe fn new_iterator(walker: Walker, word: impl Fn(usize) -> u64) -> Object {
    // SAFETY: promised by the caller; calling these classes with such objects runs no Python code.
    unsafe {
        let object = word(0) as Object;
        let call = |class: *mut PyTypeObject, arguments: &[Object]| {
            PyObject_Vectorcall(class.cast(), arguments.as_ptr(), arguments.len(), ptr::null_mut())
        };
        let is_over = |object: Object| object == Py_None();
        let iterator = match walker {
            Walker::Range => {
                let iterator = pop_range_iterator();
                if iterator.is_null() { PyObject_New::<PyObject>(&raw mut PyRangeIter_Type) } else { iterator }
            }
            // What it walked has been taken.
            Walker::Tuple if is_over(object) => return PyObject_GetIter(layout::empty_tuple()),
            Walker::List | Walker::Reversed if is_over(object) => {
                let list = PyList_New(0);
                let iterator = match walker {
                    _ if list.is_null() => list,
                    Walker::List => PyObject_GetIter(list),
                    _ => call(&raw mut PyReversed_Type, &[list]),
                };
                Py_XDECREF(list);
                return iterator;
            }
            Walker::List | Walker::Tuple => PyObject_GetIter(object),
            Walker::Reversed => call(&raw mut PyReversed_Type, &[object]),
            Walker::Enumerate => call(&raw mut PyEnum_Type, &[object]),
            Walker::Zip => call(&raw mut PyZip_Type, &[PyTuple_GET_ITEM(object, 0), PyTuple_GET_ITEM(object, 1)]),
        };
        if iterator.is_null() {
            return iterator;
        }
        match walker {
            Walker::Range => set_range(iterator, word),
            Walker::List | Walker::Tuple | Walker::Reversed => {
                part::<u64>(iterator, layout::list_iterator::IT_INDEX).write(word(1));
            }
            Walker::Enumerate => part::<u64>(iterator, enumerate::INDEX).write(word(1)),
            Walker::Zip => {}
        }
        if walker != Walker::Range {
            Py_DECREF(object);
        }
        iterator
    }
}

/// A range iterator off the interpreter's list of free ones, as `_Py_FREELIST_POP` takes it (CPython 3.14,
/// Include/internal/pycore_freelist.h): all but its count is as it was when it died. NULL if there is none.
unsafe fn pop_range_iterator() -> Object {
    // The debug interpreter counts references.
    if coluber_cpython::IS_DEBUG_BUILD {
        return ptr::null_mut();
    }
    // SAFETY: attached; the list is the interpreter's, its first word links to the next object.
    unsafe {
        let list =
            ThreadState(super::tstate().cast()).interpreter().add(layout::interpreter_state::FREELIST_RANGE_ITERS);
        let head = list.add(layout::freelist::HEAD).cast::<Object>();
        let size = list.add(layout::freelist::SIZE).cast::<isize>();
        let object = head.read();
        if !object.is_null() {
            head.write(object.cast::<Object>().read());
            size.write(size.read() - 1);
            object.cast::<u8>().add(layout::object::OB_REFCNT).cast::<u64>().write(1);
        }
        object
    }
}

/// Sets the fields of a range iterator to its parts.
pub(crate) unsafe fn set_range(iterator: Object, word: impl Fn(usize) -> u64) {
    use layout::range_iterator::{LEN, START, STEP};
    // SAFETY: it has these fields.
    unsafe {
        part::<u64>(iterator, START).write(word(0));
        part::<i64>(iterator, LEN).write((word(1) as i64).max(0));
        part::<u64>(iterator, STEP).write(word(2));
    }
}

/// # Safety
/// See [`super::helper_binary_op`]; an iterator of a builtin type.
pub unsafe extern "C" fn helper_end_iteration(iterator: Object) -> i64 {
    // SAFETY: promised by the caller.
    unsafe {
        let item = helper_iter_next(iterator);
        if item == exhausted() {
            return 0;
        }
        if !item.is_null() {
            Py_DECREF(item);
            PyErr_SetString(PyExc_SystemError, c"an iterator went on behind its end".as_ptr());
        }
        -1
    }
}

/// The outputs of a step that gives no item.
unsafe fn no_items(out: *mut Object, count: usize) {
    for index in 0..count {
        // SAFETY: there is room for so many; None is immortal.
        unsafe { out.add(index).write(Py_None()) };
    }
}

/// # Safety
/// See [`super::helper_binary_op`]; an iterator over a dict of the sort that `what` says, and room for its outputs.
pub unsafe extern "C" fn helper_dict_step(iterator: Object, what: i64, out: *mut Object) -> i64 {
    // SAFETY: the iterator has these parts; it holds its dict, which holds keys and values.
    unsafe {
        no_items(out, if what == 2 { 2 } else { 1 });
        let dict = part::<Object>(iterator, dict_iterator::DICT).read();
        let left = part::<isize>(iterator, dict_iterator::LENGTH);
        if dict.is_null()
            || part::<isize>(iterator, dict_iterator::USED).read() != part::<isize>(dict, layout::dict::MA_USED).read()
            || left.read() == 0
        {
            return 0;
        }
        let position = part::<isize>(iterator, dict_iterator::POSITION);
        let (mut next, mut key, mut value) = (position.read(), ptr::null_mut(), ptr::null_mut());
        if PyDict_Next(dict, &raw mut next, &raw mut key, &raw mut value) == 0 {
            return 0;
        }
        position.write(next);
        left.write(left.read() - 1);
        match what {
            0 => out.write(Py_NewRef(key)),
            1 => out.write(Py_NewRef(value)),
            _ => {
                out.write(Py_NewRef(key));
                out.add(1).write(Py_NewRef(value));
            }
        }
    }
    1
}

/// # Safety
/// See [`super::helper_binary_op`]; an exact `enumerate` or a `zip` of two, and room for two outputs.
pub unsafe extern "C" fn helper_pair_next(iterator: Object, out: *mut Object) -> i64 {
    // SAFETY: promised by the caller; the iterators inside are held by the outer one.
    unsafe {
        no_items(out, 2);
        let is_count = Py_TYPE(iterator) == &raw mut PyEnum_Type;
        let count = part::<isize>(iterator, enumerate::INDEX);
        let kind = if is_count { Kind::Enumerate } else { Kind::Zip };
        let [first, second] = inner_iterators(iterator, kind);
        let is_plain =
            if is_count { count.read() < isize::MAX } else { part::<i32>(iterator, zip::STRICT).read() == 0 };
        if !is_plain {
            return unpack_next(iterator, out);
        }
        let item = helper_iter_next(first);
        if item.is_null() || item == exhausted() {
            return if item.is_null() { -1 } else { 0 };
        }
        if is_count {
            let number = PyLong_FromSsize_t(count.read());
            if number.is_null() {
                Py_DECREF(item);
                return -1;
            }
            count.write(count.read().saturating_add(1));
            out.write(number);
            out.add(1).write(item);
            return 1;
        }
        let other = helper_iter_next(second);
        if other.is_null() || other == exhausted() {
            Py_DECREF(item);
            return if other.is_null() { -1 } else { 0 };
        }
        out.write(item);
        out.add(1).write(other);
        1
    }
}

/// The same by the tuple that the iterator makes.
unsafe fn unpack_next(iterator: Object, out: *mut Object) -> i64 {
    // SAFETY: as for the caller; such iterators make tuples of two.
    unsafe {
        let pair = helper_iter_next(iterator);
        if pair.is_null() || pair == exhausted() {
            return if pair.is_null() { -1 } else { 0 };
        }
        for index in 0..2 {
            out.add(index).write(Py_NewRef(PyTuple_GET_ITEM(pair, index as isize)));
        }
        Py_DECREF(pair);
        1
    }
}

/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_take_pair(iterator: Object) -> Object {
    // SAFETY: an object; iterators of these kinds hold a pair there, which is not in use if nobody else has it.
    unsafe {
        let place = match kind_of_type(type_of(iterator)) {
            Some(Kind::Enumerate) => part::<Object>(iterator, enumerate::RESULT),
            Some(Kind::Zip) if part::<isize>(iterator, zip::COUNT).read() == 2 => part(iterator, zip::RESULT),
            Some(Kind::DictItemIterator) => part(iterator, dict_iterator::RESULT),
            _ => return Py_None(),
        };
        let pair = place.read();
        if pair.is_null() || Py_REFCNT(pair) != 1 || PyTuple_GET_ITEM(pair, 0) == Py_None() {
            return Py_None();
        }
        let empty = PyTuple_New(2);
        if empty.is_null() {
            return empty;
        }
        for index in 0..2 {
            PyTuple_SET_ITEM(empty, index, Py_None());
        }
        place.write(empty);
        pair
    }
}

/// # Safety
/// See [`super::helper_binary_op`].
pub unsafe extern "C" fn helper_iterator_part(iterator: Object, index: i64) -> Object {
    // SAFETY: an object; its iterators are held by it.
    unsafe {
        let inner = match kind_of_type(type_of(iterator)) {
            Some(kind @ (Kind::Enumerate | Kind::Zip)) => inner_iterators(iterator, kind)[index as usize],
            _ => ptr::null_mut(),
        };
        Py_NewRef(if inner.is_null() { iterator } else { inner })
    }
}
