//! Leaving compiled code: objects are made real, frames filled, inlined activations run to their end.
//!
//! [`leave`] gets the unit's own frame, its buffer and the exit's number. Inlined frames are pushed behind the unit's
//! room on the data stack, outermost first; then the innermost is run by the interpreter, its result pushed on its
//! caller's operand stack, and so on until only the own frame is left, which the door runs on (or returns into).
//!
//! An exception (a raising exit, or a callee that raised) is unwound here, frame by frame, as the interpreter's
//! `exception_unwind` does: traceback entry, handler in the exception table, else the frame ends.

use crate::enter::version_of;
use crate::ffi_extra::close;
use crate::frames;
use crate::helpers;
use crate::observers;
use crate::plan::{Fill, PlannedExit, PlannedFrame, Update};
use crate::shortage;
use crate::tools;
use crate::unit::{DEOPT, GUILTY_TYPES, GuiltyType, LEAVE_WORD, TakenExit, UnitRecord, door_bits};
use crate::virtuals;
use coluber_cpython::layout;
use coluber_cpython::raw::{self, Attached, Frame, FunctionRef, StackRef, ThreadState};
use coluber_ir::Resume;
use coluber_ir::exit_table::ExitKind;
use pyo3_ffi::{Py_DECREF, Py_NewRef, PyErr_NoMemory, PyObject};
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};

/// The exception that a bare `raise` or the end of a handler has just set again: its frame gets no second traceback entry.
/// Only compared.
static RERAISED: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
/// The instruction that raised it first, where the frame has to say so; else -1.
static RAISED_AT: AtomicI64 = AtomicI64::new(-1);

/// Notes that the exception that is set was raised again; `raised_at` is the instruction that the frame then names, or -1
/// for the present one.
pub(crate) fn note_reraise(exception: *mut PyObject, raised_at: i64) {
    RERAISED.store(exception, Ordering::Relaxed);
    RAISED_AT.store(raised_at, Ordering::Relaxed);
}

/// Whether the exception that is set was raised again, and then which instruction the frame names, if it is not the present
/// one.
pub(crate) unsafe fn take_reraise(tstate: ThreadState) -> Option<Option<u32>> {
    let reraised = RERAISED.swap(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: the calling thread's own state.
    let is_reraise = !reraised.is_null() && reraised == unsafe { tstate.current_exception() };
    is_reraise.then(|| u32::try_from(RAISED_AT.load(Ordering::Relaxed)).ok())
}

/// What [`leave`] puts into buffer word 0 with result 0 in a loop: the traceback needs no entry for the frame.
pub const NO_TRACEBACK: u64 = u64::MAX;

/// The unit whose record the buffer names, and whether the loop door entered it.
///
/// # Safety
/// A buffer that a door prepared.
pub unsafe fn unit_of_buffer<'a>(buffer: *const u64) -> (&'a UnitRecord, bool) {
    // SAFETY: word 1 is the address of a record that lives as long as somebody is inside.
    unsafe {
        let word = buffer.add(1).read();
        (&*((word & !door_bits::LOOP) as *const UnitRecord), word & door_bits::LOOP != 0)
    }
}

/// Leaves compiled code; see `ARCHITECTURE.md`. Returns [`DEOPT`], or 0 with an exception that no frame handles.
///
/// # Safety
/// Called by compiled code only, with its frame and buffer and an exit of its table whose words are filled.
pub unsafe extern "C" fn leave(tstate: ThreadState, frame: Frame, buffer: *mut u64, exit_id: u64) -> u64 {
    // SAFETY: the door wrote the record's address; the table does not change while the unit is entered.
    unsafe {
        let (unit, by_loop) = unit_of_buffer(buffer);
        let exit = unit.exit(exit_id as usize).expect("an exit of the unit's table");
        unit.count_exit(exit);
        let plan = &exit.plan;
        if let Some(word) = plan.guilty {
            record_guilty_type(exit, buffer.add(word as usize).read() as *mut PyObject);
        }
        leave_at(tstate, frame, buffer, unit, plan, by_loop)
    }
}

unsafe fn record_guilty_type(exit: &TakenExit, object: *mut PyObject) {
    if object.is_null() {
        return;
    }
    let class = raw::type_of(object);
    let mut types = exit.guilty.borrow_mut();
    // Arrays of one class differ in their format.
    if let Some(code) = coluber_cpython::arrays::type_code(object) {
        let version = coluber_bytecode::ARRAY_FORMAT | u32::from(code);
        if let Some(known) = types.iter_mut().find(|known| known.version == version) {
            known.count += 1;
        } else if types.len() < GUILTY_TYPES {
            let name = format!("array of {}", char::from(code));
            types.push(GuiltyType { address: 0, version, name, count: 1 });
        }
    } else if let Some(known) = types.iter_mut().find(|known| known.address == class.0 as usize) {
        known.count += 1;
    } else if types.len() < GUILTY_TYPES {
        // SAFETY: `tp_name` is a C string.
        let name = unsafe { std::ffi::CStr::from_ptr((*class.0.cast::<pyo3_ffi::PyTypeObject>()).tp_name) };
        let name = name.to_string_lossy().into_owned();
        // SAFETY: a valid class; assigning a tag runs no Python code.
        let version = unsafe {
            coluber_cpython::ffi::PyUnstable_Type_AssignVersionTag(class.0.cast());
            class.version()
        };
        types.push(GuiltyType { address: class.0 as usize, version, name, count: 1 });
    }
}

unsafe fn leave_at(
    tstate: ThreadState,
    own: Frame,
    buffer: *const u64,
    unit: &UnitRecord,
    exit: &PlannedExit,
    by_loop: bool,
) -> u64 {
    // SAFETY: see `leave`. Frames lie behind each other on the data stack, in room that the door reserved.
    unsafe {
        for update in &exit.updates {
            apply_update(buffer, update);
        }
        let mut requests = if buffer.add(LEAVE_WORD).read() == 0 {
            observers::Requests::default()
        } else {
            observers::take_requests(Attached::assume(), own, 0)
        };
        let count = exit.frames.len();
        for plan in &exit.frames {
            let code = unit.codes[plan.code].code;
            if code.instrumentation_version() as u64 != version_of(tstate) {
                tools::bring_up_to_date(Attached::assume(), code);
            }
        }
        let frames = push_inlined_frames(tstate, unit, &exit.frames, own);
        adopt_frame_objects(tstate, own, &frames);
        if exit.forgets_exception {
            pyo3_ffi::PyErr_Clear();
        }
        let mut raised = exit.kind == ExitKind::Raise;
        let reraise = if raised { take_reraise(tstate) } else { None };
        let mut is_reraise = reraise.is_some();
        let mut overwritten = Vec::new();
        let made = virtuals::make(buffer, unit, &exit.made, std::mem::take(&mut requests.made), &mut overwritten);
        let is_filled = fill_frames(buffer, unit, &exit.frames, &frames, &made);
        let is_made = virtuals::release(made);
        if shortage::raise(tstate) {
            raised = true;
        } else if !is_filled || !is_made {
            // An object could not be made: the exception replaces what was to happen.
            PyErr_NoMemory();
            raised = true;
        }
        overwritten.extend(grant_requests(requests, &frames));
        frames::own_fixed_part(own);
        own.set_visited(0);
        tstate.set_current_frame(own);
        if raised {
            // A traceback names the opcode itself, behind its EXTENDED_ARGs.
            let plan = &exit.frames[0];
            let offset = reraise.flatten().unwrap_or(raising_offset(plan.resume));
            frames[0].set_instr_ptr(unit.codes[plan.code].units.add(offset as usize));
        }
        close_all(overwritten);
        for word in &exit.dropped {
            match buffer.add(*word as usize).read() as *mut PyObject {
                object if object.is_null() => {}
                object => Py_DECREF(object),
            }
        }
        for number in 0..count - 1 {
            let inner = frames[number];
            let plan = &exit.frames[number];
            let words = unit.codes[plan.code].frame_words;
            if raised {
                tstate.set_current_frame(inner);
                if !std::mem::take(&mut is_reraise) {
                    frames::add_traceback();
                }
                raised = !frames::enter_handler(tstate, inner, raising_offset(plan.resume));
                tstate.set_current_frame(frames[number + 1]);
                if raised {
                    frames::drop_operands(inner, 0);
                    frames::clear_and_pop(tstate, inner, words);
                }
            }
            if !raised {
                // The frames between this one and the own count as recursion levels, as they would interpreted.
                let levels = (count - 2 - number) as i32;
                tstate.set_current_frame(frames[number + 1]);
                tstate.set_py_recursion_remaining(tstate.py_recursion_remaining() - levels);
                let result = frames::run(tstate, inner, words);
                tstate.set_py_recursion_remaining(tstate.py_recursion_remaining() + levels);
                raised = result.is_null() || !resume_with(frames[number + 1], &exit.frames[number + 1], unit, result);
            }
        }
        tstate.set_current_frame(own);
        if !raised {
            return DEOPT;
        }
        let offset = raising_offset(exit.frames[count - 1].resume);
        let handled = frames::has_handler(unit.code, offset);
        // The interpreter makes the entry itself when the loop door returns NULL.
        if !is_reraise && (handled || !by_loop) {
            frames::add_traceback();
        }
        buffer.cast_mut().write(if is_reraise { NO_TRACEBACK } else { 0 });
        if handled && frames::enter_handler(tstate, own, offset) {
            return DEOPT;
        }
        frames::drop_operands(own, 0);
        0
    }
}

/// The instruction that a traceback names when an exception comes out of the frame's present state.
pub(crate) fn raising_offset(resume: Resume) -> u32 {
    match resume {
        Resume::At { offset, .. } | Resume::PushResult { offset, .. } | Resume::DropResult { offset, .. } => offset,
        Resume::Undone => unreachable!("a trial has no frame"),
    }
}

pub(crate) unsafe fn apply_update(buffer: *const u64, update: &Update) {
    // SAFETY: the words hold an iterator of the kind and its fields.
    unsafe {
        let word = |word: u32| buffer.add(word as usize).read();
        match *update {
            Update::Range { object, start, length } => {
                let iterator = word(object) as *mut u8;
                iterator.add(layout::range_iterator::START).cast::<u64>().write(word(start));
                iterator.add(layout::range_iterator::LEN).cast::<u64>().write(word(length));
            }
            Update::Sequence { object, index } => {
                let iterator = word(object) as *mut u8;
                iterator.add(layout::list_iterator::IT_INDEX).cast::<u64>().write(word(index));
            }
        }
    }
}

/// Real frames for the inlined calls of an exit, in its order: the last is the own frame.
pub(crate) unsafe fn push_inlined_frames(
    tstate: ThreadState,
    unit: &UnitRecord,
    plans: &[PlannedFrame],
    own: Frame,
) -> Vec<Frame> {
    let mut frames = vec![own; plans.len()];
    for number in (0..plans.len() - 1).rev() {
        // SAFETY: outermost first; the door made sure that there is room.
        frames[number] = unsafe { push_inlined_frame(tstate, unit, &plans[number], frames[number + 1]) };
    }
    frames
}

/// Gives frames (outermost last) the frame objects that were set aside, and what was written through `f_locals`. What was in
/// those slots is returned.
pub(crate) unsafe fn grant_requests(requests: observers::Requests, frames: &[Frame]) -> Vec<StackRef> {
    let at_depth = |depth: usize| (frames.len() - 1).checked_sub(depth).map(|index| frames[index]);
    let mut overwritten = Vec::new();
    // SAFETY: the frames are filled; the objects belong to them.
    unsafe {
        for (depth, object) in requests.frame_objects {
            if let Some(frame) = at_depth(depth)
                && frame.frame_object().is_null()
            {
                frame.set_frame_object(object);
                object.cast::<u8>().add(layout::frame_object::F_FRAME).cast::<Frame>().write(frame);
            }
        }
        for (depth, place, value) in requests.written {
            if let Some(frame) = at_depth(depth) {
                overwritten.push(frame.slot(place).read());
                frame.slot(place).write(value);
            }
        }
    }
    overwritten
}

/// Releases what [`grant_requests`] took out of slots. Runs Python code.
pub(crate) unsafe fn close_all(values: Vec<StackRef>) {
    for value in values {
        // SAFETY: taken out of filled slots.
        unsafe { close(value) };
    }
}

unsafe fn push_inlined_frame(tstate: ThreadState, unit: &UnitRecord, plan: &PlannedFrame, caller: Frame) -> Frame {
    // SAFETY: the door made sure that there is room.
    unsafe {
        let code = &unit.codes[plan.code];
        let frame = Frame(tstate.datastack_top());
        tstate.set_datastack_top(frame.0.add(8 * code.frame_words));
        let function = plan.function.expect("an inlined activation has a function");
        let function = FunctionRef(unit.objects[function.0 as usize].cast());
        frames::initialize(frame, function, code.code, code.slot_count, caller, 0);
        frames::own_fixed_part(frame);
        frame
    }
}

/// Frames of inlined calls that are still linked may have frame objects: they move to the real frames.
pub(crate) unsafe fn adopt_frame_objects(tstate: ThreadState, own: Frame, frames: &[Frame]) {
    // SAFETY: the chain of linked frames leads to the own one.
    unsafe {
        let mut linked = Vec::new();
        let mut light = tstate.current_frame();
        while light != own && !light.is_null() && linked.len() < frames.len() {
            linked.push(light);
            light = light.previous();
        }
        if light != own || linked.len() >= frames.len() {
            return;
        }
        for (light, frame) in linked.iter().rev().zip(frames[..frames.len() - 1].iter().rev()) {
            let object = light.frame_object();
            if !object.is_null() {
                light.set_frame_object(ptr::null_mut());
                frame.set_frame_object(object);
                object.cast::<u8>().add(layout::frame_object::F_FRAME).cast::<Frame>().write(*frame);
            }
        }
    }
}

/// Fills locals, operand stacks and instruction pointers. False if memory was exhausted (the slot is then empty).
pub(crate) unsafe fn fill_frames(
    buffer: *const u64,
    unit: &UnitRecord,
    plans: &[PlannedFrame],
    frames: &[Frame],
    made: &[*mut PyObject],
) -> bool {
    let mut complete = true;
    // SAFETY: see `leave`.
    unsafe {
        for (plan, frame) in plans.iter().zip(frames) {
            for (place, fill) in plan.fills.iter().enumerate() {
                let value = fill_value(buffer, unit, frames, made, *fill).unwrap_or_else(|| {
                    complete = false;
                    StackRef::NULL
                });
                frame.slot(place).write(value);
            }
            let code = &unit.codes[plan.code];
            frame.set_stackpointer(frame.slot(plan.fills.len().max(code.slot_count)));
            let offset = match plan.resume {
                Resume::At { start, .. } => start,
                Resume::PushResult { offset, .. } | Resume::DropResult { offset, .. } => offset,
                Resume::Undone => unreachable!("a trial has no frame"),
            };
            frame.set_instr_ptr(code.units.add(offset as usize));
            set_return_offset(*frame, plan.resume);
        }
    }
    complete
}

unsafe fn set_return_offset(frame: Frame, resume: Resume) {
    if let Resume::PushResult { offset, next } | Resume::DropResult { offset, next } = resume {
        // SAFETY: a valid frame.
        unsafe { frame.set_return_offset((next - offset) as u16) };
    }
}

/// What comes into a place; `None` if memory is exhausted.
///
/// # Safety
/// The buffer's words hold what the exit table says; all that `fill` refers to is filled or made already.
pub(crate) unsafe fn fill_value(
    buffer: *const u64,
    unit: &UnitRecord,
    frames: &[Frame],
    made: &[*mut PyObject],
    fill: Fill,
) -> Option<StackRef> {
    // SAFETY: the words hold what the exit table says.
    unsafe {
        let word = |word: u32| buffer.add(word as usize).read();
        let owned = |object: *mut PyObject| StackRef::owned(object);
        Some(match fill {
            Fill::Null => StackRef::NULL,
            Fill::Constant(id) => owned(Py_NewRef(unit.objects[id.0 as usize])),
            Fill::Take(number) => match word(number) as *mut PyObject {
                object if object.is_null() => StackRef::NULL,
                object => owned(object),
            },
            Fill::Share(number) => match word(number) as *mut PyObject {
                object if object.is_null() => StackRef::NULL,
                object => owned(Py_NewRef(object)),
            },
            // Bytecode believes that locals are bound, so numbers are always made, see `shortage`.
            Fill::Int(number) => owned(helpers::box_int(word(number) as i64)),
            Fill::IntConstant(value) => owned(helpers::box_int(value)),
            Fill::Float(number) => owned(helpers::box_float(f64::from_bits(word(number)))),
            Fill::FloatConstant(bits) => owned(helpers::box_float(f64::from_bits(bits))),
            Fill::Bool(number) => owned(truth(word(number) & 0xff != 0)),
            Fill::BoolConstant(value) => owned(truth(value)),
            Fill::TaggedInt(number) => StackRef::tagged_int(word(number) as i64),
            Fill::TaggedIntConstant(value) => StackRef::tagged_int(value),
            Fill::Made(place) => match made[place as usize] {
                object if object.is_null() => return None,
                object => owned(Py_NewRef(object)),
            },
            Fill::Same(frame, place) => {
                let first = frames[frame as usize].slot(place as usize).read();
                if first.is_null() {
                    return None;
                }
                owned(Py_NewRef(first.object()))
            }
        })
    }
}

fn truth(value: bool) -> *mut PyObject {
    // SAFETY: addresses of immortal objects.
    unsafe { if value { pyo3_ffi::Py_True() } else { pyo3_ffi::Py_False() } }
}

/// Gives a callee's result to the frame that waits for it. False if that raised.
unsafe fn resume_with(frame: Frame, plan: &PlannedFrame, unit: &UnitRecord, result: *mut PyObject) -> bool {
    // SAFETY: the frame is filled; the operand stack has room for a result.
    unsafe {
        let next = match plan.resume {
            Resume::PushResult { next, .. } => {
                frames::push(frame, StackRef::owned(result));
                next
            }
            Resume::DropResult { next, .. } => {
                if result != pyo3_ffi::Py_None() {
                    helpers::helper_raise_init_result(result);
                    Py_DECREF(result);
                    return false;
                }
                Py_DECREF(result);
                next
            }
            Resume::At { .. } | Resume::Undone => unreachable!("only frames that wait for a callee have one"),
        };
        frame.set_instr_ptr(unit.codes[plan.code].units.add(next as usize));
        frame.set_return_offset(0);
        true
    }
}
