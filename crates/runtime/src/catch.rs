//! Exceptions that a handler of the unit itself takes: compiled code goes on.
//!
//! What the interpreter does between the instruction that raises and the handler (`error` and `exception_unwind` of
//! `Python/bytecodes.c`, 3.14 and 3.15) is divided: here the traceback gets its entries and the frames of inlined calls end;
//! operands of the own frame that the handler does not want are dropped by compiled code.

use crate::exits::{self, raising_offset, unit_of_buffer};
use crate::frames;
use crate::observers;
use crate::plan::PlannedExit;
use crate::unit::{LEAVE_WORD, UnitRecord};
use coluber_cpython::ffi;
use coluber_cpython::raw::{Attached, Frame, ThreadState};
use pyo3_ffi::{PyErr_NoMemory, PyObject};

/// Takes the exception that is set, raised in the state that the exit describes: an owned reference. Runs Python code if
/// inlined calls end.
///
/// # Safety
/// Called by compiled code only, with its frame and buffer and an exit of its table that is marked as caught; the words of
/// its inlined frames are filled.
pub unsafe extern "C" fn catch(tstate: ThreadState, own: Frame, buffer: *mut u64, exit_id: u64) -> *mut PyObject {
    // SAFETY: the door wrote the record's address; the table does not change while the unit is entered.
    unsafe {
        let (unit, _) = unit_of_buffer(buffer);
        let plan = &unit.exit(exit_id as usize).expect("an exit of the unit's table").plan;
        let mut is_reraise = exits::take_reraise(tstate).is_some();
        if plan.frames.len() > 1 {
            end_inlined(tstate, own, buffer, unit, plan, &mut is_reraise);
        }
        let place = plan.frames.last().expect("an exit has the own frame");
        own.set_instr_ptr(unit.codes[place.code].units.add(raising_offset(place.resume) as usize));
        tstate.set_current_frame(own);
        if !is_reraise {
            frames::add_traceback();
        }
        ffi::_PyErr_GetRaisedException(frames::raw(tstate))
    }
}

/// Makes real frames of the inlined calls that the exception comes out of, and ends them.
unsafe fn end_inlined(
    tstate: ThreadState,
    own: Frame,
    buffer: *const u64,
    unit: &UnitRecord,
    plan: &PlannedExit,
    is_reraise: &mut bool,
) {
    // SAFETY: see `catch`. The frames lie behind the unit's room on the data stack, which the door reserved.
    unsafe {
        for update in &plan.updates {
            exits::apply_update(buffer, update);
        }
        let requests = if buffer.add(LEAVE_WORD).read() == 0 {
            observers::Requests::default()
        } else {
            observers::take_requests(Attached::assume(), own, 1)
        };
        let count = plan.frames.len();
        let frames = exits::push_inlined_frames(tstate, unit, &plan.frames, own);
        exits::adopt_frame_objects(tstate, own, &frames);
        // Objects that do not exist are made before the call from which the exception comes.
        if !exits::fill_frames(buffer, unit, &plan.frames[..count - 1], &frames[..count - 1], &[]) {
            PyErr_NoMemory();
        }
        let overwritten = exits::grant_requests(requests, &frames);
        let first = &plan.frames[0];
        frames[0].set_instr_ptr(unit.codes[first.code].units.add(raising_offset(first.resume) as usize));
        exits::close_all(overwritten);
        for number in 0..count - 1 {
            let inner = frames[number];
            tstate.set_current_frame(inner);
            if !std::mem::take(is_reraise) {
                frames::add_traceback();
            }
            tstate.set_current_frame(frames[number + 1]);
            frames::drop_operands(inner, 0);
            frames::clear_and_pop(tstate, inner, unit.codes[plan.frames[number].code].frame_words);
        }
    }
}
