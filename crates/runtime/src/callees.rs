//! Calls out of compiled code: of functions it knows (see [`crate::links`]), and of others with arguments that move.

use crate::creation;
use crate::doors;
use crate::enter::{bound_count, callers_operands, enter_by_door, has_evaluator};
use crate::frames;
use crate::links::Link;
use crate::stub;
use coluber_cpython::raw::{Frame, FunctionRef, StackRef, ThreadState, is_exactly};
use coluber_cpython::{ffi, layout};
use pyo3_ffi::{Py_DECREF, Py_NewRef, PyObject};
use std::ffi::c_int;
use std::ptr;

/// Runs a callee in the interpreter.
///
/// # Safety
/// As for [`crate::links::Callee`].
pub unsafe extern "C" fn interpret(tstate: ThreadState, frame: Frame, _link: *const Link) -> *mut PyObject {
    // SAFETY: the frame has room for the code's, and holds the function and a value for each parameter.
    unsafe {
        let function = FunctionRef(frame.function().object().cast());
        let code = function.code();
        let (bound, slots) = (bound_count(code), code.slot_count() as usize);
        frames::initialize(frame, function, code, slots, tstate.current_frame(), 0);
        frames::own_fixed_part(frame);
        for index in 0..bound {
            let argument = frame.slot(index).cast::<*mut PyObject>().read();
            frame.slot(index).write(StackRef::owned(argument));
        }
        for index in bound..slots {
            frame.slot(index).write(StackRef::NULL);
        }
        let evaluator = tstate.interpreter().add(layout::interpreter_state::EVAL_FRAME);
        match evaluator.cast::<Option<Evaluator>>().read() {
            None => frames::run(tstate, frame, code.frame_size() as usize),
            Some(evaluator) => {
                tstate.set_datastack_top(frame.0.add(8 * code.frame_size() as usize));
                evaluator(tstate, frame, 0)
            }
        }
    }
}

/// A frame evaluator (PEP 523).
type Evaluator = unsafe extern "C" fn(ThreadState, Frame, c_int) -> *mut PyObject;

/// `PyObject_Vectorcall(callable, arguments, count_and_flag, keyword_names)` without looking at the result: jumps to what
/// the callable's type says, as the specialised calls of the interpreter do.
///
/// # Safety
/// Called by compiled code only, with the arguments of a vectorcall.
#[unsafe(naked)]
pub unsafe extern "C" fn call_any() {
    core::arch::naked_asm!(
        "endbr64",
        "mov rax, [rdi + {ob_type}]",
        "test dword ptr [rax + {flags}], {has_vectorcall}",
        "jz 2f",
        "mov rax, [rax + {offset}]",
        "mov rax, [rdi + rax]",
        "test rax, rax",
        "jz 2f",
        "jmp rax",
        "2:",
        "jmp qword ptr [rip + PyObject_Vectorcall@GOTPCREL]",
        ob_type = const layout::object::OB_TYPE,
        flags = const layout::type_object::TP_FLAGS,
        has_vectorcall = const layout::type_flags::HAVE_VECTORCALL as i32,
        offset = const std::mem::offset_of!(pyo3_ffi::PyTypeObject, tp_vectorcall_offset),
    )
}

/// Calls an object by the vectorcall protocol. Arguments whose bit is set in `places` are given away: they move into the
/// frame of a Python function, as in an interpreted call; another callee borrows them, and they are dropped when it has
/// returned, the last one first.
///
/// # Safety
/// Called by compiled code: the arguments lie in its own memory, with a word in front of them that may be used.
pub unsafe extern "C" fn call_moving(
    mut callable: *mut PyObject,
    mut arguments: *mut *mut PyObject,
    mut count_and_flag: usize,
    keyword_names: *mut PyObject,
    mut places: u64,
) -> *mut PyObject {
    // SAFETY: promised by the caller; a bound method keeps what it binds alive, and the caller holds the method.
    unsafe {
        if is_exactly(callable, &raw mut ffi::PyMethod_Type) {
            let field = |offset: usize| callable.cast::<u8>().add(offset).cast::<*mut PyObject>().read();
            let (function, receiver) = (field(layout::method::IM_FUNC), field(layout::method::IM_SELF));
            if is_exactly(function, &raw mut pyo3_ffi::PyFunction_Type) {
                arguments = arguments.sub(1);
                arguments.write(receiver);
                callable = function;
                (count_and_flag, places) = ((count_and_flag & !(1 << 63)) + 1, places << 1);
            }
        }
        let result = call_moving_function(callable, arguments, count_and_flag, keyword_names, &mut places);
        while places != 0 {
            let last = u64::BITS - 1 - places.leading_zeros();
            places &= !(1 << last);
            Py_DECREF(arguments.add(last as usize).read());
        }
        result
    }
}

/// The call; takes the bits of arguments that have moved out of `places`.
unsafe fn call_moving_function(
    callable: *mut PyObject,
    arguments: *mut *mut PyObject,
    count_and_flag: usize,
    keyword_names: *mut PyObject,
    places: &mut u64,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        if is_exactly(callable, &raw mut pyo3_ffi::PyFunction_Type) {
            let function = FunctionRef(callable.cast());
            let tstate = ThreadState(pyo3_ffi::PyThreadState_GetUnchecked().cast());
            let call = function.vectorcall().map_or(0, |call| call as usize);
            if let Some(unit) = stub::unit_of(call as *const u8) {
                return enter_by_door(tstate, function, arguments, count_and_flag, keyword_names, &*unit, places);
            }
            if call == doors::default_vectorcall() as usize && !has_evaluator(tstate) {
                if keyword_names.is_null() {
                    let made = creation::make_generator(function, arguments, count_and_flag, places);
                    if !made.is_null() {
                        return made;
                    }
                }
                return interpret_moving(tstate, function, arguments, count_and_flag, keyword_names, places);
            }
        }
        pyo3_ffi::PyObject_Vectorcall(callable, arguments, count_and_flag, keyword_names)
    }
}

/// Calls a Python function in the interpreter.
///
/// # Safety
/// As for a vectorcall of it.
pub(crate) unsafe fn interpret_moving(
    tstate: ThreadState,
    function: FunctionRef,
    arguments: *const *mut PyObject,
    count_and_flag: usize,
    keyword_names: *mut PyObject,
    places: &mut u64,
) -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        let words = function.code().frame_size() as usize;
        let count = count_and_flag & !(1 << (usize::BITS - 1));
        let previous = tstate.current_frame();
        let frame = bind_any(tstate, function, arguments, count, keyword_names, previous, places);
        if frame.is_null() { ptr::null_mut() } else { frames::run(tstate, frame, words) }
    }
}

/// Binds arguments as the interpreter does. NULL with an exception set if they do not fit.
///
/// # Safety
/// The arguments are as many as the count and the names say.
#[cold]
pub(crate) unsafe fn bind_any(
    tstate: ThreadState,
    function: FunctionRef,
    arguments: *const *mut PyObject,
    count: usize,
    keyword_names: *mut PyObject,
    previous: Frame,
    places: &mut u64,
) -> Frame {
    // SAFETY: promised by the caller; the function called takes over all references.
    unsafe {
        let keywords = if keyword_names.is_null() { 0 } else { pyo3_ffi::PyTuple_GET_SIZE(keyword_names) as usize };
        let moved = std::mem::take(places);
        let operands = callers_operands(previous, function.object(), arguments, count + keywords, keyword_names);
        let reference = |index: usize| {
            let argument = arguments.add(index).read();
            let is_moved = operands.take(index) || index < 64 && moved >> index & 1 != 0;
            StackRef::owned(if is_moved { argument } else { Py_NewRef(argument) })
        };
        let references: Vec<StackRef> = (0..count + keywords).map(reference).collect();
        ffi::_PyEvalFramePushAndInit(
            frames::raw(tstate),
            StackRef::owned(Py_NewRef(function.object())),
            ptr::null_mut(),
            references.as_ptr(),
            count,
            keyword_names,
            previous,
        )
    }
}
