//! Making generators and coroutines without running their function.
//!
//! Calling a function of such code makes a frame, runs `RETURN_GENERATOR`, which copies the frame into a new object
//! (`Python/bytecodes.c`), and throws the frame away. A call from compiled code makes the object at once.

use crate::callees;
use crate::doors;
use crate::enter::{enter_by_door, has_evaluator};
use crate::stub;
use coluber_cpython::current::opcodes;
use coluber_cpython::raw::{CodeRef, Frame, FunctionRef, StackRef, ThreadState, is_exactly};
use coluber_cpython::{ffi, layout};
use pyo3_ffi::{Py_NewRef, PyObject};
use std::ptr;

/// Bit of a vectorcall's count.
const ARGUMENTS_OFFSET: usize = 1 << (usize::BITS - 1);

type AnyCall = unsafe extern "C" fn(*mut PyObject, *const *mut PyObject, usize, *mut PyObject) -> *mut PyObject;

/// `PyObject_Vectorcall` for compiled code.
///
/// # Safety
/// The contract of vectorcall; attached.
pub unsafe extern "C" fn call(
    callable: *mut PyObject,
    arguments: *const *mut PyObject,
    count_and_flag: usize,
    keyword_names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: promised by the caller; fields are read after the type was tested.
    unsafe {
        if keyword_names.is_null() && is_exactly(callable, &raw mut pyo3_ffi::PyFunction_Type) {
            let function = FunctionRef(callable.cast());
            let call = function.vectorcall().map_or(0, |call| call as usize);
            if let Some(unit) = stub::unit_of(call as *const u8) {
                let tstate = ThreadState(pyo3_ffi::PyThreadState_GetUnchecked().cast());
                return enter_by_door(tstate, function, arguments, count_and_flag, keyword_names, &*unit, &mut 0);
            }
            let made = make_generator(FunctionRef(callable.cast()), arguments, count_and_flag, &mut 0);
            if !made.is_null() {
                return made;
            }
        }
        let call = std::mem::transmute::<*const (), AnyCall>(callees::call_any as *const ());
        call(callable, arguments, count_and_flag, keyword_names)
    }
}

/// What a call of the function without names returns if it is a generator or coroutine and can be made at once, else NULL
/// without an exception. Arguments whose bit is set in `places` move, and their bits are taken out.
///
/// # Safety
/// As for a vectorcall of the function.
#[inline]
pub(crate) unsafe fn make_generator(
    function: FunctionRef,
    arguments: *const *mut PyObject,
    count_and_flag: usize,
    places: &mut u64,
) -> *mut PyObject {
    use layout::code::{FLAG_COROUTINE, FLAG_GENERATOR};
    // SAFETY: promised by the caller.
    unsafe {
        if function.code().flags() & (FLAG_GENERATOR | FLAG_COROUTINE) == 0 {
            return ptr::null_mut();
        }
        make(function, arguments, count_and_flag & !ARGUMENTS_OFFSET, places)
    }
}

/// The offset of RETURN_GENERATOR and the number of closure cells, if nothing but their copying stands in front of it.
unsafe fn prefix(code: CodeRef) -> Option<(usize, usize)> {
    // SAFETY: code ends with an instruction that is neither.
    unsafe {
        let first = code.units().read();
        let (offset, cells) = match first & 0xff {
            opcodes::COPY_FREE_VARS => (1, usize::from(first >> 8)),
            _ => (0, 0),
        };
        (code.units().add(offset).read() & 0xff == opcodes::RETURN_GENERATOR).then_some((offset, cells))
    }
}

/// See [`make_generator`].
unsafe fn make(
    function: FunctionRef,
    arguments: *const *mut PyObject,
    count: usize,
    places: &mut u64,
) -> *mut PyObject {
    use layout::code::{FLAG_OPTIMIZED, FLAG_VARARGS, FLAG_VARKEYWORDS};
    use layout::generator::{GI_FRAME_STATE, GI_IFRAME, STATE_CREATED};
    // SAFETY: a function of such code; the new object has room for a frame of it.
    unsafe {
        let code = function.code();
        let tstate = ThreadState(pyo3_ffi::PyThreadState_GetUnchecked().cast());
        let is_simple = code.flags() & (FLAG_OPTIMIZED | FLAG_VARARGS | FLAG_VARKEYWORDS) == FLAG_OPTIMIZED
            && code.keyword_only_count() == 0
            && code.argument_count() as usize == count
            && function.vectorcall().map(|call| call as usize) == Some(doors::default_vectorcall() as usize)
            && tstate.coroutine_origin_tracking_depth() == 0
            && !has_evaluator(tstate);
        if !is_simple {
            return ptr::null_mut();
        }
        let Some((offset, cells)) = prefix(code) else { return ptr::null_mut() };
        let closure = function.closure();
        if cells > 0 && (closure.is_null() || pyo3_ffi::PyTuple_GET_SIZE(closure) as usize != cells) {
            return ptr::null_mut();
        }
        let generator = ffi::_Py_MakeCoro(function.object());
        if generator.is_null() {
            // The regular way raises it again.
            pyo3_ffi::PyErr_Clear();
            return generator;
        }
        let frame = Frame(generator.cast::<u8>().add(GI_IFRAME));
        let slots = code.slot_count() as usize;
        frame.set_executable(StackRef::owned(Py_NewRef(code.object())));
        frame.set_previous(Frame(ptr::null_mut()));
        frame.set_function(StackRef::owned(Py_NewRef(function.object())));
        frame.set_globals(function.globals());
        frame.set_builtins(function.builtins());
        frame.set_locals(ptr::null_mut());
        frame.set_frame_object(ptr::null_mut());
        frame.set_instr_ptr(code.units().add(offset + 1));
        frame.set_stackpointer(frame.slot(slots));
        frame.set_return_offset(0);
        frame.set_owner(layout::frame::OWNED_BY_GENERATOR);
        frame.set_visited(0);
        for index in 0..count {
            let argument = arguments.add(index).read();
            let is_moved = index < 64 && *places >> index & 1 != 0;
            frame.slot(index).write(StackRef::owned(if is_moved { argument } else { Py_NewRef(argument) }));
        }
        *places = 0;
        for index in count..slots - cells {
            frame.slot(index).write(StackRef::NULL);
        }
        for index in 0..cells {
            let cell = pyo3_ffi::PyTuple_GET_ITEM(closure, index as isize);
            frame.slot(slots - cells + index).write(StackRef::owned(Py_NewRef(cell)));
        }
        generator.cast::<i8>().add(GI_FRAME_STATE).write(STATE_CREATED);
        generator
    }
}
