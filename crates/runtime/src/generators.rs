//! Resuming generators and coroutines in compiled code: from compiled loops and `await`s, and from C through the slots of
//! their types.
//!
//! A generator's frame lies in the generator object. It is linked as `gen_send_ex2` (`Objects/genobject.c`) does it: the sent
//! value on the operand stack, the exception state in the thread's chain, the frame state set to executing. The unit's
//! buffer lies on the data stack. When compiled code suspends the generator it has filled the frame and set the state;
//! when it ends it, the frame is cleared here; when it leaves, the interpreter runs the frame on.

use crate::doors;
use crate::enter::{self, ATTENTION};
use crate::frames;
use crate::unit::{DEOPT, EntryFunction, LEAVE_WORD, NATIVE_MARK, UnitRecord};
use coluber_cpython::raw::{Attached, CodeRef, Frame, StackRef, ThreadState, type_of};
use coluber_cpython::{ffi, layout};
use pyo3_ffi::{Py_DECREF, Py_NewRef, PyAsyncMethods, PyObject, PySendResult, PyTypeObject, iternextfunc, sendfunc};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Units of generators by code object, as they were last looked up. Entries without a unit are kept, too.
struct Cache([[AtomicUsize; 2]; CACHE_SIZE]);

const CACHE_SIZE: usize = 256;

static CACHE: Cache = Cache([const { [AtomicUsize::new(0), AtomicUsize::new(0)] }; CACHE_SIZE]);
/// How many units of generators have their doors open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// To be called when the doors of such units change: there are `open` of them now.
pub fn doors_changed(_py: Attached, open: usize) {
    OPEN.store(open, Ordering::Relaxed);
    for entry in &CACHE.0 {
        entry[0].store(0, Ordering::Relaxed);
    }
}

#[inline]
unsafe fn unit_of_code<'a>(py: Attached, code: CodeRef) -> Option<&'a UnitRecord> {
    let address = code.0 as usize;
    let entry = &CACHE.0[(address >> 5) % CACHE_SIZE];
    if entry[0].load(Ordering::Relaxed) != address {
        let unit = doors::find_generator(py, code).unwrap_or(ptr::null());
        entry[1].store(unit as usize, Ordering::Relaxed);
        entry[0].store(address, Ordering::Relaxed);
    }
    // SAFETY: entries are forgotten when a door closes, and a unit lives as long as its door is open.
    unsafe { (entry[1].load(Ordering::Relaxed) as *const UnitRecord).as_ref() }
}

unsafe fn state(generator: *mut PyObject) -> i8 {
    // SAFETY: a generator or coroutine.
    unsafe { generator.cast::<i8>().add(layout::generator::GI_FRAME_STATE).read() }
}

unsafe fn set_state(generator: *mut PyObject, state: i8) {
    // SAFETY: a generator or coroutine.
    unsafe { generator.cast::<i8>().add(layout::generator::GI_FRAME_STATE).write(state) }
}

/// Unit and machine code for a suspended generator, if it can be resumed there now.
#[inline]
unsafe fn unit_to_resume<'a>(
    tstate: ThreadState,
    generator: *mut PyObject,
    argument: *mut PyObject,
) -> Option<(&'a UnitRecord, EntryFunction)> {
    use layout::generator::*;
    // SAFETY: a generator or coroutine and an object; the frame of one that has not ended has a code object.
    unsafe {
        let state = state(generator);
        if OPEN.load(Ordering::Relaxed) == 0
            || state >= STATE_EXECUTING
            || (state == STATE_CREATED && argument != pyo3_ffi::Py_None())
        {
            return None;
        }
        let frame = Frame(generator.cast::<u8>().add(GI_IFRAME));
        let unit = unit_of_code(Attached::assume(), CodeRef(frame.executable().object().cast()))?;
        let entry = unit.entry_function.get()?;
        let is_plain = frame.globals() == unit.globals
            && frame.builtins() == unit.builtins
            && enter::may_enter(tstate, unit)
            && tstate.py_recursion_remaining() > 1
            && frames::has_room(tstate, unit.reserved_words.get())
            && !enter::is_deep(tstate);
        is_plain.then_some((unit, entry))
    }
}

/// Resumes a generator. Its state says whether it has yielded the result, returned it, or raised (NULL).
#[inline]
unsafe fn resume(
    tstate: ThreadState,
    generator: *mut PyObject,
    unit: &UnitRecord,
    entry: EntryFunction,
    argument: StackRef,
) -> *mut PyObject {
    use layout::generator::*;
    use layout::thread_state::EXC_ITEM_PREVIOUS;
    // SAFETY: the generator is suspended and held by the caller; the data stack has room for the buffer.
    unsafe {
        let frame = Frame(generator.cast::<u8>().add(GI_IFRAME));
        let previous = tstate.current_frame();
        let base = frame.slot(unit.slot_count);
        let top = frame.stackpointer();
        let mut slot = frame.slot(0);
        while slot < top {
            own_slot(slot);
            slot = slot.add(1);
        }
        top.write(argument);
        let exceptions = generator.cast::<u8>().add(GI_EXC_STATE);
        exceptions.add(EXC_ITEM_PREVIOUS).cast::<*mut u8>().write(tstate.exc_info());
        tstate.set_exc_info(exceptions);
        let is_created = state(generator) == STATE_CREATED;
        set_state(generator, STATE_EXECUTING);
        frame.set_previous(previous);
        frame.set_stackpointer(base);
        frame.set_visited(NATIVE_MARK);
        let buffer = tstate.datastack_top().cast::<u64>();
        buffer.write(0);
        buffer.add(1).write(ptr::from_ref(unit) as u64);
        buffer.add(LEAVE_WORD).write(0);
        tstate.set_datastack_top(buffer.cast::<u8>().add(8 * (unit.total_words.get() - unit.frame_words)));
        tstate.set_current_frame(frame);
        tstate.set_py_recursion_remaining(tstate.py_recursion_remaining() - 1);
        unit.entries.set(unit.entries.get() + 1);
        let result = entry(frames::raw(tstate), frame, buffer);
        unit.let_go();
        tstate.set_py_recursion_remaining(tstate.py_recursion_remaining() + 1);
        tstate.set_datastack_top(buffer.cast());
        if result > DEOPT && state(generator) != STATE_EXECUTING && ATTENTION.load(Ordering::Relaxed) == 0 {
            frames::unlink(tstate, frame, previous);
            tstate.set_exc_info(exceptions.add(EXC_ITEM_PREVIOUS).cast::<*mut u8>().read());
            exceptions.add(EXC_ITEM_PREVIOUS).cast::<*mut u8>().write(ptr::null_mut());
            frame.set_previous(Frame(ptr::null_mut()));
            frame.set_visited(0);
            return result as *mut PyObject;
        }
        finish(tstate, generator, frame, previous, result, top.add(1), is_created)
    }
}

/// The end of an activation that did not simply yield.
#[cold]
#[inline(never)]
unsafe fn finish(
    tstate: ThreadState,
    generator: *mut PyObject,
    frame: Frame,
    previous: Frame,
    result: u64,
    top: *mut StackRef,
    was_created: bool,
) -> *mut PyObject {
    use layout::generator::*;
    use layout::thread_state::EXC_ITEM_PREVIOUS;
    // SAFETY: the frame is the current one. The unit may be freed as soon as Python code runs.
    unsafe {
        let is_untouched = result == DEOPT && frame.visited() == NATIVE_MARK;
        frames::unlink(tstate, frame, previous);
        frame.set_visited(0);
        let result = if result > DEOPT {
            if state(generator) == STATE_EXECUTING {
                ffi::_PyEval_FrameClearAndPop(frames::raw(tstate), frame);
            } else {
                let exceptions = generator.cast::<u8>().add(GI_EXC_STATE);
                tstate.set_exc_info(exceptions.add(EXC_ITEM_PREVIOUS).cast::<*mut u8>().read());
                exceptions.add(EXC_ITEM_PREVIOUS).cast::<*mut u8>().write(ptr::null_mut());
                frame.set_previous(Frame(ptr::null_mut()));
            }
            let result = result as *mut PyObject;
            if crate::shortage::raise(tstate) {
                Py_DECREF(result);
                ptr::null_mut()
            } else {
                result
            }
        } else if result == DEOPT {
            if is_untouched {
                if was_created {
                    // There may stand what it was to drain into.
                    top.sub(1).write(StackRef::owned(Py_NewRef(pyo3_ffi::Py_None())));
                }
                frame.set_stackpointer(top);
            }
            // Links the frame anew, and leaves it as it has to be.
            ffi::_PyEval_EvalFrameDefault(frames::raw(tstate), frame, 0)
        } else {
            ffi::_PyEval_FrameClearAndPop(frames::raw(tstate), frame);
            ptr::null_mut()
        };
        if ATTENTION.load(Ordering::Relaxed) != 0 {
            enter::attend(tstate, frame);
        }
        result
    }
}

/// Slots of a suspended frame may be borrowed: operands from its locals, locals from the constants. Compiled code takes
/// references.
#[inline]
unsafe fn own_slot(slot: *mut StackRef) {
    // SAFETY: a valid slot.
    unsafe {
        let value = slot.read();
        if !value.owns() && !value.is_null() && !value.is_tagged_int() {
            slot.write(StackRef::owned(Py_NewRef(value.object())));
        }
    }
}

/// How a generator that was resumed in compiled code went on.
pub enum Resumed {
    /// It yielded this (a new reference).
    Yielded(*mut PyObject),
    /// It returned this (a new reference).
    Returned(*mut PyObject),
    /// An exception is set.
    Raised,
}

/// Resumes an exact generator or coroutine in compiled code; `None` if that cannot be.
///
/// # Safety
/// The state of the calling thread; the object is what is said and is held by the caller.
#[inline]
pub unsafe fn send(tstate: ThreadState, generator: *mut PyObject, argument: *mut PyObject) -> Option<Resumed> {
    // SAFETY: promised by the caller.
    unsafe {
        let (unit, entry) = unit_to_resume(tstate, generator, argument)?;
        let result = resume(tstate, generator, unit, entry, StackRef::owned(Py_NewRef(argument)));
        Some(how_it_went(generator, result))
    }
}

/// Whether the object is a generator that has not begun.
///
/// # Safety
/// A valid object.
#[inline]
pub unsafe fn may_drain(object: *mut PyObject) -> bool {
    // SAFETY: promised by the caller; a generator.
    is_generator(object) && unsafe { state(object) } == layout::generator::STATE_CREATED
}

/// Resumes a generator that has not begun and may put its items itself into an exact list or set, add them to the int in a
/// bytearray of 8 bytes, or throw away those that are not a bool; items that it yields nevertheless are for the caller to put
/// there. `None` if that cannot be.
///
/// # Safety
/// As for [`send`]; the caller holds the accumulator. The items of a set are exact ints, floats, strs and bools.
pub unsafe fn drain(tstate: ThreadState, generator: *mut PyObject, accumulator: *mut PyObject) -> Option<Resumed> {
    // SAFETY: promised by the caller.
    unsafe {
        if state(generator) != layout::generator::STATE_CREATED {
            return None;
        }
        let (unit, entry) = unit_to_resume(tstate, generator, pyo3_ffi::Py_None())?;
        let result = resume(tstate, generator, unit, entry, StackRef::borrowed(accumulator));
        Some(how_it_went(generator, result))
    }
}

#[inline]
unsafe fn how_it_went(generator: *mut PyObject, result: *mut PyObject) -> Resumed {
    // SAFETY: a generator or coroutine that was resumed.
    unsafe {
        if result.is_null() {
            Resumed::Raised
        } else if state(generator) == layout::generator::STATE_CLEARED {
            Resumed::Returned(result)
        } else {
            Resumed::Yielded(result)
        }
    }
}

/// Whether the object is exactly a generator.
#[inline]
pub fn is_generator(object: *mut PyObject) -> bool {
    type_of(object).0 == (&raw mut pyo3_ffi::PyGen_Type).cast()
}

/// Whether the object is exactly a coroutine.
#[inline]
pub fn is_coroutine(object: *mut PyObject) -> bool {
    type_of(object).0 == (&raw mut pyo3_ffi::PyCoro_Type).cast()
}

static ITERNEXT: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static SEND_GENERATOR: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static SEND_COROUTINE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// `tp_iternext` of generators.
unsafe extern "C" fn next_of_generator(generator: *mut PyObject) -> *mut PyObject {
    // SAFETY: called attached, with a generator that the caller holds.
    unsafe {
        let tstate = ThreadState(pyo3_ffi::PyThreadState_GetUnchecked().cast());
        match send(tstate, generator, pyo3_ffi::Py_None()) {
            Some(Resumed::Yielded(item)) => item,
            Some(Resumed::Raised) => ptr::null_mut(),
            Some(Resumed::Returned(value)) => {
                if value != pyo3_ffi::Py_None() {
                    ffi::_PyGen_SetStopIterationValue(value);
                }
                Py_DECREF(value);
                ptr::null_mut()
            }
            None => next_interpreted(generator),
        }
    }
}

/// `tp_iternext` of generators as it was.
///
/// # Safety
/// Attached, with a generator that the caller holds.
#[inline]
pub unsafe fn next_interpreted(generator: *mut PyObject) -> *mut PyObject {
    // SAFETY: promised by the caller; the slot held a function of this type when we were put in, as we were if anybody gets here.
    unsafe {
        let original = std::mem::transmute::<*mut (), iternextfunc>(ITERNEXT.load(Ordering::Relaxed));
        original(generator)
    }
}

unsafe fn send_or(
    original: &AtomicPtr<()>,
    generator: *mut PyObject,
    argument: *mut PyObject,
    result: *mut *mut PyObject,
) -> PySendResult {
    // SAFETY: called attached, with a generator or coroutine that the caller holds.
    unsafe {
        let tstate = ThreadState(pyo3_ffi::PyThreadState_GetUnchecked().cast());
        match send(tstate, generator, argument) {
            Some(Resumed::Yielded(item)) => {
                result.write(item);
                PySendResult::PYGEN_NEXT
            }
            Some(Resumed::Returned(value)) => {
                result.write(value);
                PySendResult::PYGEN_RETURN
            }
            Some(Resumed::Raised) => {
                result.write(ptr::null_mut());
                PySendResult::PYGEN_ERROR
            }
            None => {
                let original = std::mem::transmute::<*mut (), sendfunc>(original.load(Ordering::Relaxed));
                original(generator, argument, result)
            }
        }
    }
}

/// `am_send` of generators.
unsafe extern "C" fn send_to_generator(
    generator: *mut PyObject,
    argument: *mut PyObject,
    result: *mut *mut PyObject,
) -> PySendResult {
    // SAFETY: the slot's caller keeps its contract.
    unsafe { send_or(&SEND_GENERATOR, generator, argument, result) }
}

/// `am_send` of coroutines.
unsafe extern "C" fn send_to_coroutine(
    generator: *mut PyObject,
    argument: *mut PyObject,
    result: *mut *mut PyObject,
) -> PySendResult {
    // SAFETY: the slot's caller keeps its contract.
    unsafe { send_or(&SEND_COROUTINE, generator, argument, result) }
}

unsafe fn asynchronous_methods(class: *mut PyTypeObject) -> *mut PyAsyncMethods {
    // SAFETY: a static type.
    unsafe { (*class).tp_as_async }
}

/// Puts our functions into the slots of generators and coroutines.
pub fn start(_py: Attached) {
    // SAFETY: attached; static types, whose slots hold functions of these types.
    unsafe {
        let (generators, coroutines) = (&raw mut pyo3_ffi::PyGen_Type, &raw mut pyo3_ffi::PyCoro_Type);
        if let Some(original) = (*generators).tp_iternext.replace(next_of_generator) {
            ITERNEXT.store(original as *mut (), Ordering::Relaxed);
        }
        if let Some(original) = (*asynchronous_methods(generators)).am_send.replace(send_to_generator) {
            SEND_GENERATOR.store(original as *mut (), Ordering::Relaxed);
        }
        if let Some(original) = (*asynchronous_methods(coroutines)).am_send.replace(send_to_coroutine) {
            SEND_COROUTINE.store(original as *mut (), Ordering::Relaxed);
        }
    }
}

/// Puts the originals back, where nobody has put something else meanwhile.
pub fn stop(_py: Attached) {
    // SAFETY: as for `start`.
    unsafe {
        let (generators, coroutines) = (&raw mut pyo3_ffi::PyGen_Type, &raw mut pyo3_ffi::PyCoro_Type);
        if (*generators)
            .tp_iternext
            .is_some_and(|function| function as usize == next_of_generator as *const () as usize)
        {
            (*generators).tp_iternext =
                Some(std::mem::transmute::<*mut (), iternextfunc>(ITERNEXT.load(Ordering::Relaxed)));
        }
        for (class, ours, original) in [
            (generators, send_to_generator as *const () as usize, &SEND_GENERATOR),
            (coroutines, send_to_coroutine as *const () as usize, &SEND_COROUTINE),
        ] {
            let methods = asynchronous_methods(class);
            if (*methods).am_send.is_some_and(|function| function as usize == ours) {
                (*methods).am_send = Some(std::mem::transmute::<*mut (), sendfunc>(original.load(Ordering::Relaxed)));
            }
        }
    }
}
