//! Entering units: what runs when a function with an open door is called, or a loop with an open door jumps back.
//!
//! Opening and closing is in [`crate::doors`]. Everything here is on the hot path of a call.

use crate::callees::{bind_any, interpret, interpret_moving};
use crate::doors;
use crate::exits::{NO_TRACEBACK, unit_of_buffer};
use crate::ffi_extra::steal;
use crate::frames;
use crate::unit::{DEOPT, EntryFunction, INLINED_MARK, LEAVE_WORD, NATIVE_MARK, NOT_DESCRIBED, UnitRecord, door_bits};
use coluber_cpython::current::opcodes;
use coluber_cpython::hooks::TOOL_ID;
use coluber_cpython::raw::{Attached, CodeRef, Frame, FunctionRef, StackRef, ThreadState};
use coluber_cpython::{ffi, layout};
use pyo3_ffi::{Py_DECREF, Py_INCREF, Py_NewRef, Py_ssize_t, PyObject};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Not zero when a door has something to look after on its way out: doors closed because of deep recursion, observed
/// frames.
pub static ATTENTION: AtomicU64 = AtomicU64::new(0);
/// The bits of [`ATTENTION`].
pub mod attention {
    /// Doors were closed because the C stack was half full.
    pub const DEEP: u64 = 1;
    /// Objects made for observers wait to be released.
    pub const OBSERVED: u64 = 2;
    /// A number could not be made.
    pub const SHORTAGE: u64 = 4;
}

/// What of the C stack may be used before calls are better made by the interpreter, which needs none.
const STACK_SHARE: usize = 2;
/// Bits of the tools other than ours.
const OUR_TOOL: u8 = 1 << TOOL_ID;
/// `_PyOS_STACK_MARGIN_BYTES` times two, and some: below the soft limit by more than this the limits are somebody else's.
const FOREIGN_STACK_BYTES: usize = 1 << 20;

#[inline]
fn stack_address() -> usize {
    let marker = 0u8;
    ptr::from_ref(&marker) as usize
}

/// Whether so much of the C stack is in use that calls are better made by the interpreter.
#[inline]
pub(crate) unsafe fn is_deep(tstate: ThreadState) -> bool {
    // SAFETY: promised by the caller.
    unsafe { uses_share(tstate, STACK_SHARE) }
}

/// How much of the C stack is in use: true above one `share`-th.
#[inline]
unsafe fn uses_share(tstate: ThreadState, share: usize) -> bool {
    // SAFETY: the calling thread's own state.
    unsafe {
        let (top, soft) = (tstate.c_stack_top(), tstate.c_stack_soft_limit());
        let here = stack_address();
        here < top - top.saturating_sub(soft) / share && here + FOREIGN_STACK_BYTES > soft
    }
}

/// The part of `eval_breaker` that changes when what is watched changes.
#[inline]
pub(crate) unsafe fn version_of(tstate: ThreadState) -> u64 {
    // SAFETY: the calling thread's own state.
    unsafe { tstate.eval_breaker() as u64 & !layout::eval_breaker::EVENTS_MASK }
}

/// Whether somebody has put a frame evaluator in (PEP 523).
#[inline]
pub(crate) unsafe fn has_evaluator(tstate: ThreadState) -> bool {
    // SAFETY: a field of the interpreter state.
    unsafe { tstate.interpreter().add(layout::interpreter_state::EVAL_FRAME).cast::<usize>().read() != 0 }
}

/// Whether a frame evaluator wants to run this code, or another tool listens to this code alone, of which the version says
/// nothing.
#[inline]
pub(crate) unsafe fn is_watched_locally(tstate: ThreadState, unit: &UnitRecord) -> bool {
    // SAFETY: fields of the interpreter state and of the code; the monitoring data hold a byte of tools per event.
    unsafe {
        if has_evaluator(tstate) {
            return true;
        }
        let data = unit.code.monitoring();
        if data.is_null() {
            return false;
        }
        const { assert!(layout::code::MONITORS_SIZE >= 8 && layout::code::MONITORS_SIZE <= 16) };
        let events = data.add(layout::code::ACTIVE_MONITORS);
        let first = events.cast::<u64>().read_unaligned();
        let last = events.add(layout::code::MONITORS_SIZE - 8).cast::<u64>().read_unaligned();
        (first | last) & !(u64::from(OUR_TOOL) * 0x0101_0101_0101_0101) != 0
    }
}

/// Whether another tool (tracer, profiler, debugger) or a frame evaluator wants to see this code run.
#[inline]
pub(crate) unsafe fn is_watched(tstate: ThreadState, unit: &UnitRecord) -> bool {
    // SAFETY: fields of the thread state, the interpreter state and the code.
    unsafe {
        if is_watched_locally(tstate, unit) {
            return true;
        }
        let version = version_of(tstate);
        if unit.checked_version.get() == version {
            return false;
        }
        let monitors = tstate.interpreter().add(layout::interpreter_state::MONITORS);
        let watched = (0..UNGROUPED_EVENTS).any(|event| monitors.add(event).read() & !OUR_TOOL != 0);
        if !watched {
            unit.checked_version.set(version);
        }
        watched
    }
}

/// Whether a unit is valid and nobody wants to see its code run.
#[inline]
pub(crate) unsafe fn may_enter(tstate: ThreadState, unit: &UnitRecord) -> bool {
    // SAFETY: fields of the thread state, the interpreter state and the code. An invalid unit has checked no version.
    unsafe {
        (version_of(tstate) == unit.checked_version.get() && !is_watched_locally(tstate, unit))
            || (!unit.is_invalid() && !is_watched(tstate, unit))
    }
}

/// `_PY_MONITORING_UNGROUPED_EVENTS`, both versions: size of the interpreter's global monitors.
const UNGROUPED_EVENTS: usize = 16;

/// The vectorcall of a function whose unit's stub put the record behind the arguments. A function keeps its code, globals
/// and builtins as long as it has the stub (see [`doors::on_function`]), so they are not looked at.
///
/// # Safety
/// Called by a stub, attached.
pub unsafe extern "C" fn function_door(
    callable: *mut PyObject,
    arguments: *const *mut PyObject,
    count_and_flag: usize,
    keyword_names: *mut PyObject,
    unit: *const UnitRecord,
) -> *mut PyObject {
    // SAFETY: the record lives as long as any function has its stub; the callable is such a function.
    unsafe {
        let tstate = ThreadState(pyo3_ffi::PyThreadState_GetUnchecked().cast());
        let function = FunctionRef(callable.cast());
        enter_by_door(tstate, function, arguments, count_and_flag, keyword_names, &*unit, &mut 0)
    }
}

/// The door. Arguments whose bit is set in `places` are the callee's if the bit is gone afterwards.
///
/// # Safety
/// A vectorcall of a function that has the unit's stub.
#[inline(always)]
pub(crate) unsafe fn enter_by_door(
    tstate: ThreadState,
    function: FunctionRef,
    arguments: *const *mut PyObject,
    count_and_flag: usize,
    keyword_names: *mut PyObject,
    unit: &UnitRecord,
    places: &mut u64,
) -> *mut PyObject {
    let count = count_and_flag & !(1 << (usize::BITS - 1));
    // SAFETY: promised by the caller.
    unsafe {
        let is_plain = count == unit.exact_count
            && keyword_names.is_null()
            && !unit.is_invalid()
            && frames::has_room(tstate, unit.frame_words);
        match unit.entry_function.get() {
            Some(entry) if is_plain => {
                let previous = tstate.current_frame();
                let frame = bind_positional(tstate, unit, function, arguments, count, previous, std::mem::take(places));
                let result = entry(frames::raw(tstate), frame, ptr::null_mut()) as *mut PyObject;
                if ATTENTION.load(Ordering::Relaxed) == 0 { result } else { attend_call(tstate, frame, result) }
            }
            _ => bind_slowly(tstate, function, arguments, count_and_flag, keyword_names, unit, places),
        }
    }
}

/// A call that is out of the ordinary: the unit is invalid, arguments are missing or have names, a piece of the data stack
/// is full.
#[cold]
#[inline(never)]
unsafe fn bind_slowly(
    tstate: ThreadState,
    function: FunctionRef,
    arguments: *const *mut PyObject,
    count_and_flag: usize,
    keyword_names: *mut PyObject,
    unit: &UnitRecord,
    places: &mut u64,
) -> *mut PyObject {
    let count = count_and_flag & !(1 << (usize::BITS - 1));
    // SAFETY: as for the door.
    unsafe {
        let entry = unit.entry_function.get().filter(|_| !unit.is_invalid());
        if unit.is_invalid() {
            // An open door to a broken unit costs more than none.
            doors::close_door(Attached::assume(), unit);
        }
        if has_evaluator(tstate) {
            return doors::default_vectorcall()(function.object(), arguments, count_and_flag, keyword_names);
        }
        let Some(entry) = entry else {
            return interpret_moving(tstate, function, arguments, count_and_flag, keyword_names, places);
        };
        debug_assert!(function.code() == unit.code && function.globals() == unit.globals);
        // From here on the unit cannot be freed, whatever binding the arguments runs.
        unit.pin();
        let previous = tstate.current_frame();
        let missing = unit.argument_count.wrapping_sub(count);
        let no_keywords = keyword_names.is_null() || pyo3_ffi::PyTuple_GET_SIZE(keyword_names) == 0;
        let result = if unit.is_simple
            && no_keywords
            && (missing == 0 || missing <= default_count(function))
            && frames::has_room(tstate, unit.frame_words)
        {
            let frame = bind_positional(tstate, unit, function, arguments, count, previous, std::mem::take(places));
            entry(frames::raw(tstate), frame, ptr::null_mut()) as *mut PyObject
        } else {
            let frame = bind_any(tstate, function, arguments, count, keyword_names, previous, places);
            if frame.is_null() { ptr::null_mut() } else { enter_pushed(tstate, unit, entry, frame) }
        };
        unit.let_go();
        if ATTENTION.load(Ordering::Relaxed) == 0 {
            result
        } else {
            attend_call(tstate, Frame(ptr::null_mut()), result)
        }
    }
}

/// Looks after what compiled code does not look after when it returns. Its result, or NULL.
#[cold]
unsafe fn attend_call(tstate: ThreadState, finished: Frame, result: *mut PyObject) -> *mut PyObject {
    // SAFETY: an owned reference or NULL with an exception set; attached.
    unsafe {
        let result = if result.is_null() { result } else { without_shortage(tstate, result) };
        attend(tstate, finished);
        result
    }
}

/// NULL with an exception instead of a result if this thread has run out of memory.
unsafe fn without_shortage(tstate: ThreadState, result: *mut PyObject) -> *mut PyObject {
    // SAFETY: an owned reference.
    unsafe {
        if !crate::shortage::raise(tstate) {
            return result;
        }
        // The value may be a stand-in or not; it is not returned.
        let exception = ffi::_PyErr_GetRaisedException(frames::raw(tstate));
        Py_DECREF(result);
        ffi::_PyErr_SetRaisedException(frames::raw(tstate), exception);
        ptr::null_mut()
    }
}

/// Enters with a frame that the interpreter has bound the arguments in.
unsafe fn enter_pushed(tstate: ThreadState, unit: &UnitRecord, entry: EntryFunction, frame: Frame) -> *mut PyObject {
    // SAFETY: the frame is complete, not linked, and the last one on the data stack.
    unsafe {
        take_over_slots(frame, unit.slot_count);
        Py_DECREF(unit.code.object());
        // The caller holds the function during the call.
        let function = frame.function().object();
        Py_DECREF(function);
        frame.set_function(StackRef::borrowed(function));
        tstate.set_datastack_top(frame.0);
        let piece = frames::piece_that_begins_with(tstate, frame);
        let result = entry(frames::raw(tstate), frame, ptr::null_mut()) as *mut PyObject;
        if !piece.is_null() && piece == frames::piece_that_begins_with(tstate, frame) {
            ffi::_PyThreadState_PopFrame(frames::raw(tstate), frame);
        }
        result
    }
}

/// What compiled code calls when something speaks against entering a unit. 1: nothing really does. Else the call is done,
/// and that is its result.
///
/// # Safety
/// Called by compiled code, with a frame that was begun and the unit's record.
pub unsafe extern "C" fn enter_slowly(tstate: ThreadState, frame: Frame, unit: *const UnitRecord) -> u64 {
    // SAFETY: promised by the caller; the unit is counted as entered while Python code runs, as its code goes on afterwards.
    unsafe {
        let unit = &*unit;
        let py = Attached::assume();
        let mut may_enter = true;
        if unit.is_invalid() {
            doors::close_door(py, unit);
            may_enter = false;
        } else if is_deep(tstate) {
            doors::close_because_deep(py, unit);
            may_enter = false;
        }
        may_enter = may_enter && tstate.py_recursion_remaining() > 1 && !is_watched(tstate, unit);
        let has_room = frames::has_room_above(tstate, frame, unit.reserved_words.get());
        if may_enter && has_room {
            return 1;
        }
        unit.pin();
        let piece = if may_enter { frames::Piece::push(py, tstate) } else { None };
        let result = match (piece, unit.entry_function.get()) {
            (Some(piece), Some(entry)) => {
                let moved = piece.first_frame();
                moved.set_function(frame.function());
                for index in 0..bound_count(unit.code) {
                    moved.slot(index).write(frame.slot(index).read());
                }
                let result = entry(frames::raw(tstate), moved, ptr::null_mut());
                piece.pop(py, tstate);
                result
            }
            _ => interpret(tstate, frame, ptr::null()) as u64,
        };
        unit.let_go();
        result
    }
}

/// How many slots of a frame that is only begun are filled.
pub(crate) unsafe fn bound_count(code: CodeRef) -> usize {
    use layout::code::{FLAG_VARARGS, FLAG_VARKEYWORDS};
    // SAFETY: the caller passes a valid code object.
    unsafe {
        let flags = code.flags();
        let others = usize::from(flags & FLAG_VARARGS != 0) + usize::from(flags & FLAG_VARKEYWORDS != 0);
        (code.argument_count() + code.keyword_only_count()) as usize + others
    }
}

/// The buffer of an activation of a function's unit.
///
/// # Safety
/// The own frame of a function's unit that is entered.
pub(crate) unsafe fn buffer_of(frame: Frame, unit: &UnitRecord) -> *mut u64 {
    // SAFETY: the room behind the frame is part of what the activation takes of the data stack.
    unsafe { frame.0.add(8 * unit.frame_words).cast() }
}

/// Fills in and links a frame that was only begun, unless that was done. Its slots are the caller's business.
///
/// # Safety
/// The own frame of a function's unit that is entered.
pub(crate) unsafe fn show_frame(tstate: ThreadState, frame: Frame, unit: &UnitRecord) {
    // SAFETY: promised by the caller.
    unsafe {
        let buffer = buffer_of(frame, unit);
        if buffer.read() != 0 {
            return;
        }
        let function = FunctionRef(frame.function().object().cast());
        frames::initialize(frame, function, unit.code, unit.slot_count, tstate.current_frame(), NATIVE_MARK);
        buffer.write(NOT_DESCRIBED);
        buffer.add(1).write(ptr::from_ref(unit) as u64);
        buffer.add(LEAVE_WORD).write(0);
        tstate.set_datastack_top(frame.0.add(8 * unit.total_words.get()));
        tstate.set_current_frame(frame);
    }
}

/// Does around a body what compiled code of a function does itself: for units made by hand. The body gets a frame that is
/// shown.
///
/// # Safety
/// Called as the machine code of a function's unit.
pub unsafe fn enter_by_hand(
    tstate: ThreadState,
    frame: Frame,
    unit: *const UnitRecord,
    body: EntryFunction,
) -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        match enter_slowly(tstate, frame, unit) {
            1 => {}
            result => return result as *mut PyObject,
        }
        let unit = &*unit;
        unit.entries.set(unit.entries.get() + 1);
        tstate.set_py_recursion_remaining(tstate.py_recursion_remaining() - 1);
        let buffer = buffer_of(frame, unit);
        buffer.write(0);
        show_frame(tstate, frame, unit);
        for index in bound_count(unit.code)..unit.slot_count {
            frame.slot(index).write(StackRef::NULL);
        }
        let result = body(frames::raw(tstate), frame, buffer);
        end_call(tstate, unit, frame, result)
    }
}

/// Leaves a function's unit by an exit, and ends the call.
///
/// # Safety
/// As for [`crate::exits::leave`]; the frame may not have been shown.
pub unsafe extern "C" fn leave_call(
    tstate: ThreadState,
    frame: Frame,
    buffer: *mut u64,
    exit_id: u64,
    unit: *const UnitRecord,
) -> *mut PyObject {
    // SAFETY: promised by the caller; the unit is entered until the end.
    unsafe {
        let unit = &*unit;
        show_frame(tstate, frame, unit);
        let result = crate::exits::leave(tstate, frame, buffer, exit_id);
        end_call(tstate, unit, frame, result)
    }
}

/// Returns from a function's unit whose frame somebody has.
///
/// # Safety
/// Called by compiled code with its frame, which was shown, its buffer and its result.
pub unsafe extern "C" fn finish_call(
    tstate: ThreadState,
    frame: Frame,
    buffer: *const u64,
    value: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        let (unit, _) = unit_of_buffer(buffer);
        end_call(tstate, unit, frame, value as u64)
    }
}

unsafe fn end_call(tstate: ThreadState, unit: &UnitRecord, frame: Frame, result: u64) -> *mut PyObject {
    // SAFETY: the frame is linked; compiled code goes on afterwards, so the unit counts as entered until then.
    unsafe {
        tstate.set_py_recursion_remaining(tstate.py_recursion_remaining() + 1);
        frames::unlink(tstate, frame, frame.previous());
        let result = finish_slowly(tstate, unit, frame, result);
        unit.let_go();
        result
    }
}

/// The end of a call that did not simply return.
#[cold]
#[inline(never)]
unsafe fn finish_slowly(tstate: ThreadState, unit: &UnitRecord, frame: Frame, result: u64) -> *mut PyObject {
    // SAFETY: the frame is unlinked and the last one on the data stack.
    unsafe {
        let frame_words = unit.frame_words;
        let result = if result > DEOPT {
            if frame.frame_object().is_null() {
                frames::pop(tstate, frame);
            } else {
                // Somebody keeps a frame object: it lives on without locals.
                empty_slots(frame, unit.slot_count);
                frame.set_stackpointer(frame.slot(unit.slot_count));
                frame.set_visited(0);
                frames::own_fixed_part(frame);
                frames::clear_and_pop(tstate, frame, frame_words);
            }
            without_shortage(tstate, result as *mut PyObject)
        } else if result == DEOPT {
            frames::run(tstate, frame, frame_words)
        } else {
            frames::clear_and_pop(tstate, frame, frame_words);
            ptr::null_mut()
        };
        if ATTENTION.load(Ordering::Relaxed) != 0 {
            attend(tstate, frame);
        }
        result
    }
}

unsafe fn default_count(function: FunctionRef) -> usize {
    // SAFETY: defaults are a tuple or NULL.
    unsafe {
        let defaults = function.defaults();
        if defaults.is_null() { 0 } else { pyo3_ffi::PyTuple_GET_SIZE(defaults) as usize }
    }
}

/// Begins a frame when each argument goes to the local of its position.
#[inline]
unsafe fn bind_positional(
    tstate: ThreadState,
    unit: &UnitRecord,
    function: FunctionRef,
    arguments: *const *mut PyObject,
    count: usize,
    previous: Frame,
    moved: u64,
) -> Frame {
    // SAFETY: there is room; the arguments are alive during the call.
    unsafe {
        let frame = Frame(tstate.datastack_top());
        // The caller holds the function during the call.
        frame.set_function(StackRef::borrowed(function.object()));
        let operands = callers_operands(previous, function.object(), arguments, count, ptr::null_mut());
        for index in 0..count {
            let argument = arguments.add(index).read();
            if !operands.take(index) && (index >= 64 || moved >> index & 1 == 0) {
                Py_INCREF(argument);
            }
            frame.slot(index).write(StackRef(argument as u64));
        }
        if count < unit.argument_count {
            let defaults = function.defaults();
            let first = pyo3_ffi::PyTuple_GET_SIZE(defaults) as usize + count - unit.argument_count;
            for index in count..unit.argument_count {
                let value = pyo3_ffi::PyTuple_GET_ITEM(defaults, (first + index - count) as isize);
                frame.slot(index).write(StackRef(Py_NewRef(value) as u64));
            }
        }
        frame
    }
}

/// Operands of an interpreter frame that executes a call: they may be taken.
pub(crate) struct Operands {
    slots: *mut StackRef,
    /// The first that may be taken.
    first: usize,
}

impl Operands {
    const NONE: Operands = Operands { slots: ptr::null_mut(), first: usize::MAX };

    /// Whether the caller's reference of an argument moves into the callee, as in an interpreted call.
    #[inline]
    pub(crate) unsafe fn take(&self, index: usize) -> bool {
        if index < self.first {
            return false;
        }
        // SAFETY: the caller asks for arguments of the call.
        unsafe {
            let operand = self.slots.add(index);
            let reference = operand.read();
            let owns = reference.owns();
            if owns {
                operand.write(StackRef::borrowed(reference.object()));
            }
            owns
        }
    }
}

/// The operand stack slots of the arguments, if the caller is an interpreter frame that executes a call of this very
/// function. Objects then die when they would interpreted, not when the call has returned. The slot of a method's
/// self may not be taken: the interpreter keeps its content in a register and closes that (`_DO_CALL`, 3.14 and 3.15).
#[inline]
pub(crate) unsafe fn callers_operands(
    caller: Frame,
    callable: *mut PyObject,
    arguments: *const *mut PyObject,
    count: usize,
    keyword_names: *mut PyObject,
) -> Operands {
    // SAFETY: a frame on the stack that is not an entry frame has a code object and a valid instruction pointer; its
    // stack pointer was saved before the call.
    unsafe {
        if caller.is_null()
            || caller.owner() >= layout::frame::OWNED_BY_INTERPRETER
            || matches!(caller.visited(), NATIVE_MARK | INLINED_MARK)
        {
            return Operands::NONE;
        }
        // A specialised form that missed has done what the general one does.
        let instruction = caller.instr_ptr().read();
        let opcode = instruction & 0xff;
        let base = u16::from(opcodes::DEOPT[usize::from(opcode)]);
        let pushed = usize::from(instruction >> 8);
        let mut top = caller.stackpointer();
        let is_call = if keyword_names.is_null() {
            base == opcodes::CALL || opcode == opcodes::INSTRUMENTED_CALL
        } else {
            top = top.sub(1);
            (base == opcodes::CALL_KW || opcode == opcodes::INSTRUMENTED_CALL_KW)
                && top.read().object() == keyword_names
        };
        if !is_call || (pushed != count && pushed + 1 != count) {
            return Operands::NONE;
        }
        let slots = top.sub(count);
        // Callable and NULL in front of the arguments, or callable and self, which is the first argument.
        let plain = slots.sub(1).read().is_null() && slots.sub(2).read().object() == callable;
        let bound = count > 0 && slots.sub(1).read().object() == callable;
        if !plain && !bound {
            return Operands::NONE;
        }
        let same = (0..count).all(|index| slots.add(index).read().object() == arguments.add(index).read());
        if same { Operands { slots, first: usize::from(!plain) } } else { Operands::NONE }
    }
}

/// Makes the first `count` slots what compiled code takes: NULL, a tagged integer, or an owned object without a tag.
unsafe fn take_over_slots(frame: Frame, count: usize) {
    for index in 0..count {
        // SAFETY: the slots are filled.
        unsafe {
            let slot = frame.slot(index);
            let value = slot.read();
            if !value.is_null() && !value.is_tagged_int() {
                slot.write(StackRef(steal(value) as u64));
            }
        }
    }
}

unsafe fn empty_slots(frame: Frame, count: usize) {
    for index in 0..count {
        // SAFETY: the frame has that many slots.
        unsafe { frame.slot(index).write(StackRef::NULL) };
    }
}

#[cold]
pub(crate) unsafe fn attend(tstate: ThreadState, finished: Frame) {
    // SAFETY: attached, with no unit of this activation entered; the exception that may be set is kept.
    unsafe {
        let py = Attached::assume();
        let exception = ffi::_PyErr_GetRaisedException(frames::raw(tstate));
        let what = ATTENTION.load(Ordering::Relaxed);
        if what & attention::OBSERVED != 0 {
            crate::observers::release_finished(py, finished);
        }
        if what & attention::DEEP != 0 && !uses_share(tstate, 2 * STACK_SHARE) {
            doors::reopen_after_depth(py);
        }
        if !exception.is_null() {
            ffi::_PyErr_SetRaisedException(frames::raw(tstate), exception);
        }
    }
}

/// Instructions of our own: `RERAISE 1`, where a frame goes on that has to raise outside of all its handlers.
static RERAISE: [u16; 2] = [opcodes::RERAISE | 1 << 8, opcodes::RERAISE | 1 << 8];

/// Callback of the JUMP events of our tool: (code, offset, destination), in bytes.
///
/// # Safety
/// Called by the interpreter as METH_FASTCALL with three arguments.
pub unsafe extern "C" fn loop_door(
    _module: *mut PyObject,
    arguments: *mut *mut PyObject,
    count: Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: the interpreter passes a code object and two ints.
    unsafe {
        let py = Attached::assume();
        let none = pyo3_ffi::Py_None();
        if count != 3 {
            return Py_NewRef(none);
        }
        let code = CodeRef(arguments.read().cast());
        let destination = pyo3_ffi::PyLong_AsLong(arguments.add(2).read()) / 2;
        let unit = match doors::find_loop(py, code, destination as u32) {
            doors::FoundLoop::Unit(unit) => &*unit,
            doors::FoundLoop::Disable(marker) => return Py_NewRef(marker),
            doors::FoundLoop::Nothing => return Py_NewRef(none),
        };
        if unit.is_invalid() {
            doors::close_door(py, unit);
            return Py_NewRef(none);
        }
        match enter_loop(py.thread_state(), unit, destination as u32) {
            Ok(()) => Py_NewRef(none),
            Err(()) => ptr::null_mut(),
        }
    }
}

/// Enters a unit at its loop header, if the frame and the world allow. `Err`: an exception is set that the interpreter has
/// to raise at the frame's instruction.
unsafe fn enter_loop(tstate: ThreadState, unit: &UnitRecord, destination: u32) -> Result<(), ()> {
    // SAFETY: the current frame executes a jump of the unit's code; its operand stack was saved.
    unsafe {
        let frame = tstate.current_frame();
        let coluber_bytecode::Entry::Loop { depth, .. } = unit.entry else { return Ok(()) };
        let Some(entry) = unit.entry_function.get() else { return Ok(()) };
        let base = frame.slot(unit.slot_count);
        let buffer = frame.0.add(8 * unit.frame_words).cast::<u64>();
        if frame.owner() != layout::frame::OWNED_BY_THREAD
            || frame.executable().object() != unit.code.object()
            || frame.globals() != unit.globals
            || frame.builtins() != unit.builtins
            || frame.stackpointer() != base.add(depth as usize)
            || (unit.stack_shape.get() != u64::MAX
                && unit.stack_shape.get() != frames::stack_shape(frame, unit.slot_count, depth as usize))
            || tstate.datastack_top() != buffer.cast()
            || !frames::has_room(tstate, unit.reserved_words.get() - unit.frame_words)
            || is_deep(tstate)
            || is_traced(tstate)
            || is_watched(tstate, unit)
        {
            return Ok(());
        }
        take_over_slots(frame, unit.slot_count + depth as usize);
        frame.set_stackpointer(base);
        frame.set_visited(NATIVE_MARK);
        buffer.write(0);
        buffer.add(1).write(ptr::from_ref(unit) as u64 | door_bits::LOOP);
        buffer.add(LEAVE_WORD).write(0);
        tstate.set_datastack_top(frame.0.add(8 * unit.total_words.get()));
        let (tracing, what_event) = (tstate.tracing(), tstate.what_event());
        tstate.set_tracing(0);
        tstate.set_what_event(-1);
        unit.entries.set(unit.entries.get() + 1);
        let result = entry(frames::raw(tstate), frame, buffer);
        unit.let_go();
        tstate.set_tracing(tracing);
        tstate.set_what_event(what_event);
        tstate.set_datastack_top(buffer.cast());
        if result == DEOPT && frame.visited() == NATIVE_MARK {
            // Back before anything was taken: the operand stack was of another form.
            frame.set_stackpointer(base.add(depth as usize));
        }
        frame.set_visited(0);
        if ATTENTION.load(Ordering::Relaxed) != 0 {
            attend(tstate, frame);
        }
        if result > DEOPT {
            land_on_return(frame, unit, result as *mut PyObject);
            if crate::shortage::raise(tstate) {
                return raise_at_jump(tstate, frame, unit, destination, true);
            }
        } else if result != DEOPT {
            return raise_at_jump(tstate, frame, unit, destination, buffer.read() != NO_TRACEBACK);
        }
        // A frame that goes on at the jump itself has an unmoved pointer: the interpreter then jumps, which is the same.
        Ok(())
    }
}

/// Whether this thread has a tracer or profiler.
unsafe fn is_traced(tstate: ThreadState) -> bool {
    // SAFETY: fields of the thread state. Our own callback counts once in `tracing`.
    unsafe {
        let function = |offset: usize| tstate.0.add(offset).cast::<usize>().read();
        function(layout::thread_state::C_TRACEFUNC) != 0
            || function(layout::thread_state::C_PROFILEFUNC) != 0
            || tstate.tracing() != 1
    }
}

/// The unit returned from the function: lets the interpreter do the rest of RETURN_VALUE.
unsafe fn land_on_return(frame: Frame, unit: &UnitRecord, value: *mut PyObject) {
    let offset = unit.return_offset.expect("a unit that returns has a RETURN_VALUE");
    // SAFETY: locals are dead; the operand stack has room for a value.
    unsafe {
        empty_slots(frame, unit.slot_count);
        frame.set_stackpointer(frame.slot(unit.slot_count));
        frames::push(frame, StackRef::owned(value));
        frame.set_instr_ptr(unit.code.units().add(offset as usize));
    }
}

/// An exception that no handler of the frame covers. The interpreter, told by NULL, looks for a handler at the jump's
/// *destination* (`INSTRUMENTED_JUMP`, 3.14 and 3.15) and adds a traceback entry; where that has a handler, or the entry
/// is not wanted, the frame goes on at a RERAISE outside of its code instead, which no handler covers.
unsafe fn raise_at_jump(
    tstate: ThreadState,
    frame: Frame,
    unit: &UnitRecord,
    destination: u32,
    with_traceback: bool,
) -> Result<(), ()> {
    // SAFETY: the frame is filled, `instr_ptr` is the raising instruction.
    unsafe {
        if with_traceback && !frames::has_handler(unit.code, destination) {
            return Err(());
        }
        if with_traceback {
            frames::add_traceback();
        }
        frames::drop_operands(frame, 0);
        let exception = ffi::_PyErr_GetRaisedException(frames::raw(tstate));
        if unit.code.stack_size() < 2 {
            // No room for the offset: the wrong handler is the lesser evil than a write behind the frame.
            ffi::_PyErr_SetRaisedException(frames::raw(tstate), exception);
            return Err(());
        }
        frames::push(frame, StackRef::tagged_int(i64::from(frame.offset())));
        frames::push(frame, StackRef::owned(exception));
        frame.set_instr_ptr((&raw const RERAISE).cast_mut().cast());
        Ok(())
    }
}
