//! What happens when there is no memory for a number, or for a tuple, instance or iterator that compiled code did without for a while.
//!
//! Compiled code makes these objects at places where no exception can be raised. When one cannot be made, a stand-in
//! takes its place: an immortal object in memory of this library, whose allocator has a reserve. The activation is told to
//! leave, and MemoryError is raised at the first place where it can be: after the present call, at the next exit or back-edge, at
//! the end of the activation at the latest. So the exception comes out of the call that ran out of memory, as interpreted.
//!
//! A stand-in is never freed. A program that survives many shortages pays for each.

use crate::enter::{ATTENTION, attention};
use crate::helpers::{part, set_range};
use crate::observers;
use coluber_cpython::iterators::{enumerate, zip};
use coluber_cpython::layout;
use coluber_cpython::pool::type_of_kind;
use coluber_cpython::raw::{Attached, ThreadState, TypeRef};
use coluber_ir::ops::Walker;
use pyo3_ffi::{PyErr_Clear, PyErr_NoMemory, PyFloat_Type, PyLong_Type, PyObject, PyTuple_Type, PyTypeObject};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The thread that has to raise MemoryError, 0 for none. When two run out at the same time, the first one goes on with its
/// stand-ins, which have the right values.
static THREAD: AtomicUsize = AtomicUsize::new(0);

const WORDS: usize = 6;
const _: () = assert!(layout::long::OB_DIGIT + 3 * layout::long::DIGIT_SIZE <= 8 * WORDS);
const _: () = assert!(layout::float::OB_FVAL + 8 <= 8 * WORDS);

/// An immortal object without a value.
unsafe fn immortal(class: *mut PyTypeObject) -> *mut u8 {
    let object = Box::leak(Box::new([0u64; WORDS])).as_mut_ptr().cast::<u8>();
    // SAFETY: the header lies in the words.
    unsafe {
        object.add(layout::object::OB_REFCNT).cast::<u64>().write(layout::refcount::IMMORTAL_INITIAL);
        object.add(layout::object::OB_TYPE).cast::<*mut PyTypeObject>().write(class);
    }
    object
}

/// An int object, when the interpreter has failed to make one (its exception is cleared).
///
/// # Safety
/// Attached.
#[cold]
pub unsafe fn int(value: i64) -> *mut PyObject {
    use layout::long::{DIGIT_BITS, LV_TAG, NON_SIZE_BITS, OB_DIGIT, SIGN_MASK};
    // SAFETY: the object has room for the three digits of 64 bits.
    unsafe {
        note();
        let object = immortal(&raw mut PyLong_Type);
        let mut rest = value.unsigned_abs();
        let mut count = 0;
        while rest != 0 {
            let digit = rest as u32 & ((1 << DIGIT_BITS) - 1);
            object.add(OB_DIGIT).cast::<u32>().add(count).write(digit);
            rest >>= DIGIT_BITS;
            count += 1;
        }
        let sign = match value.signum() {
            0 => 1,
            1 => 0,
            _ => 2 & SIGN_MASK,
        };
        object.add(LV_TAG).cast::<u64>().write((count as u64) << NON_SIZE_BITS | sign);
        object.cast()
    }
}

/// A float object, see [`int`].
///
/// # Safety
/// Attached.
#[cold]
pub unsafe fn float(value: f64) -> *mut PyObject {
    // SAFETY: the object has room for the value.
    unsafe {
        note();
        let object = immortal(&raw mut PyFloat_Type);
        object.add(layout::float::OB_FVAL).cast::<f64>().write(value);
        object.cast()
    }
}

/// Words of the header that the garbage collector keeps in front of an object (`PyGC_Head`); 0: not tracked.
const GC_HEADER_WORDS: usize = 2;

/// An immortal object that the garbage collector does not know, behind `before` words and its header.
unsafe fn immortal_of(class: *mut PyTypeObject, before: usize, bytes: usize) -> *mut u8 {
    let words = before + GC_HEADER_WORDS + bytes.div_ceil(8);
    let memory = Box::leak(vec![0u64; words].into_boxed_slice());
    // SAFETY: the object lies in the words.
    unsafe {
        let object = memory.as_mut_ptr().add(before + GC_HEADER_WORDS).cast::<u8>();
        object.add(layout::object::OB_REFCNT).cast::<u64>().write(layout::refcount::IMMORTAL_INITIAL);
        object.add(layout::object::OB_TYPE).cast::<*mut PyTypeObject>().write(class);
        object
    }
}

/// A tuple of items whose references it takes, see [`int`].
///
/// # Safety
/// Attached.
#[cold]
pub unsafe fn tuple(items: &[*mut PyObject]) -> *mut PyObject {
    use layout::tuple::{HEADER_SIZE, OB_HASH, OB_ITEM};
    // SAFETY: the object has room for the items.
    unsafe {
        note();
        let object = immortal_of(&raw mut PyTuple_Type, 0, HEADER_SIZE + 8 * items.len());
        object.add(layout::object::OB_SIZE).cast::<usize>().write(items.len());
        object.add(OB_HASH).cast::<i64>().write(-1);
        object.add(OB_ITEM).cast::<*mut PyObject>().copy_from_nonoverlapping(items.as_ptr(), items.len());
        object.cast()
    }
}

/// An instance without attributes, see [`int`].
///
/// # Safety
/// Attached; a class whose instances the default allocator makes.
#[cold]
pub unsafe fn instance(class: *mut PyObject) -> *mut PyObject {
    use layout::dict_values::{CAPACITY, EMBEDDED, VALID, VALUES};
    // SAFETY: the keys of the class say how many values its instances have; behind them is a byte for each.
    unsafe {
        note();
        let basic = (*class.cast::<PyTypeObject>()).tp_basicsize as usize;
        let has_values = TypeRef(class.cast()).flags() & layout::type_flags::INLINE_VALUES != 0;
        let mut capacity = 0;
        if has_values {
            let keys = class.cast::<u8>().add(layout::type_object::HT_CACHED_KEYS).cast::<*const u8>().read();
            capacity = keys.add(layout::dict_keys::DK_NENTRIES).cast::<isize>().read() as usize;
        }
        // In front of the header stand the dict and the list of weak references.
        let object = immortal_of(class.cast(), 2, basic + VALUES + 9 * capacity);
        if has_values {
            let values = object.add(basic);
            values.add(CAPACITY).write(capacity as u8);
            values.add(EMBEDDED).write(1);
            values.add(VALID).write(1);
        }
        pyo3_ffi::Py_INCREF(class.cast());
        object.cast()
    }
}

/// An iterator of its parts, the first one of which may be an object whose reference it takes, see [`int`].
///
/// # Safety
/// Attached; the words that the walker says.
#[cold]
pub unsafe fn iterator(walker: Walker, word: impl Fn(usize) -> u64) -> *mut PyObject {
    /// More than any of the structures.
    const SIZE: usize = 64;
    // SAFETY: the fields lie in the words. A tuple that others hold is not used again for the next pair.
    unsafe {
        note();
        let object = Some(word(0) as *mut PyObject).filter(|object| *object != pyo3_ffi::Py_None());
        let object = object.unwrap_or(std::ptr::null_mut());
        let iterator: *mut PyObject = immortal_of(type_of_kind(walker.kind()).0.cast(), 0, SIZE).cast();
        let none = || tuple(&[pyo3_ffi::Py_None(), pyo3_ffi::Py_None()]);
        match walker {
            Walker::Range => set_range(iterator, word),
            Walker::List | Walker::Tuple | Walker::Reversed => {
                part::<u64>(iterator, layout::list_iterator::IT_INDEX).write(word(1));
                part::<*mut PyObject>(iterator, layout::list_iterator::IT_SEQ).write(object);
            }
            Walker::Enumerate => {
                part::<u64>(iterator, enumerate::INDEX).write(word(1));
                part::<*mut PyObject>(iterator, enumerate::ITERATOR).write(object);
                part::<*mut PyObject>(iterator, enumerate::RESULT).write(none());
            }
            Walker::Zip => {
                part::<usize>(iterator, zip::COUNT).write(2);
                part::<*mut PyObject>(iterator, zip::ITERATORS).write(object);
                part::<*mut PyObject>(iterator, zip::RESULT).write(none());
            }
        }
        iterator
    }
}

/// This thread has run out of memory: its innermost activation leaves as soon as it can.
unsafe fn note() {
    // SAFETY: attached; the state's own word.
    unsafe {
        PyErr_Clear();
        let tstate = Attached::assume().thread_state();
        THREAD.store(tstate.0 as usize, Ordering::Relaxed);
        ATTENTION.fetch_or(attention::SHORTAGE, Ordering::Relaxed);
        let frame = tstate.current_frame();
        if !frame.is_null() {
            observers::leave_soon(frame);
        }
        // The safe point of a loop leaves when any bit is set. Without an exception to be raised this one means nothing to
        // the interpreter (`_Py_HandlePending`, 3.14 and 3.15), which clears it.
        let breaker = tstate.0.add(layout::thread_state::EVAL_BREAKER).cast::<AtomicU64>();
        (*breaker).fetch_or(layout::eval_breaker::ASYNC_EXCEPTION, Ordering::Relaxed);
    }
}

/// Raises MemoryError if this thread has run out of memory. With an exception set already that one stays.
///
/// # Safety
/// The state of the calling thread.
#[inline]
pub unsafe fn raise(tstate: ThreadState) -> bool {
    if ATTENTION.load(Ordering::Relaxed) & attention::SHORTAGE == 0 {
        return false;
    }
    // SAFETY: promised by the caller.
    unsafe { raise_slowly(tstate) }
}

#[cold]
unsafe fn raise_slowly(tstate: ThreadState) -> bool {
    if THREAD.compare_exchange(tstate.0 as usize, 0, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return false;
    }
    ATTENTION.fetch_and(!attention::SHORTAGE, Ordering::Relaxed);
    // SAFETY: attached.
    unsafe {
        if !tstate.current_exception().is_null() {
            return false;
        }
        PyErr_NoMemory();
    }
    true
}
