//! Interpreter frames on the thread's data stack: made, filled, linked, unwound, run.
//!
//! A frame lies in `co_framesize` words; a unit's buffer lies behind its own frame. Frames are freed in reverse order by
//! setting the top of the data stack back, so nothing here ever makes a new piece of the data stack: doors reserve room
//! for everything that an exit may need.

use crate::ffi_extra::close;
use crate::gil::UnderGil;
use crate::observers;
use crate::plan::find_handler;
use coluber_cpython::differences;
use coluber_cpython::raw::{Attached, CodeRef, Frame, FunctionRef, StackRef, ThreadState};
use coluber_cpython::{ffi, layout};
use pyo3_ffi::{Py_NewRef, PyObject, PyThreadState};
use std::ffi::c_void;
use std::ptr;

/// Reads the frame's `return_offset`, `owner` and `visited` as one number.
const OWNER_WORD: usize = layout::frame::RETURN_OFFSET;

/// `offsetof(_PyStackChunk, data)`, both versions.
const PIECE_HEADER: usize = 24;

/// The thread state as the interpreter's functions want it.
pub fn raw(tstate: ThreadState) -> *mut PyThreadState {
    tstate.0.cast()
}

/// Whether the current piece of the data stack has room for `words` more.
///
/// # Safety
/// Attached.
pub unsafe fn has_room(tstate: ThreadState, words: usize) -> bool {
    // SAFETY: the calling thread's own state.
    unsafe {
        let (top, limit) = (tstate.datastack_top() as usize, tstate.datastack_limit() as usize);
        top != 0 && 8 * words < limit - top
    }
}

/// Whether there is room for `words` from a frame on.
///
/// # Safety
/// Attached; the frame lies in the current piece of the data stack.
pub unsafe fn has_room_above(tstate: ThreadState, frame: Frame, words: usize) -> bool {
    // SAFETY: the calling thread's own state.
    unsafe { 8 * words < tstate.datastack_limit() as usize - frame.0 as usize }
}

/// The current piece of the data stack, if the frame is its first; else NULL.
///
/// # Safety
/// Attached.
pub unsafe fn piece_that_begins_with(tstate: ThreadState, frame: Frame) -> *mut u8 {
    // SAFETY: the calling thread's own state.
    let piece = unsafe { tstate.0.add(layout::thread_state::DATASTACK_CHUNK).cast::<*mut u8>().read() };
    if frame.0 == piece.wrapping_add(PIECE_HEADER) { piece } else { ptr::null_mut() }
}

/// Fills the fixed part of a frame for a function; slots and operand stack are the caller's business. The code
/// and the function are borrowed.
///
/// # Safety
/// `frame` has room for the code's frame; the function is valid and `code` its code.
#[inline]
pub unsafe fn initialize(frame: Frame, function: FunctionRef, code: CodeRef, slots: usize, previous: Frame, mark: u8) {
    // SAFETY: promised by the caller.
    unsafe {
        frame.set_executable(StackRef::borrowed(code.object()));
        frame.set_previous(previous);
        frame.set_function(StackRef::borrowed(function.object()));
        frame.set_globals(function.globals());
        frame.set_builtins(function.builtins());
        frame.set_locals(ptr::null_mut());
        frame.set_frame_object(ptr::null_mut());
        frame.set_instr_ptr(code.units());
        frame.set_stackpointer(frame.slot(slots));
        let owner = u32::from(layout::frame::OWNED_BY_THREAD) << 16 | u32::from(mark) << 24;
        frame.0.add(OWNER_WORD).cast::<u32>().write(owner);
    }
}

/// Makes the references of a frame's fixed part owned, as the interpreter has them.
///
/// # Safety
/// A valid frame whose code and function are alive.
pub unsafe fn own_fixed_part(frame: Frame) {
    // SAFETY: promised by the caller.
    unsafe {
        let executable = frame.executable();
        if !executable.owns() {
            frame.set_executable(StackRef::owned(Py_NewRef(executable.object())));
        }
        let function = frame.function();
        if !function.owns() {
            frame.set_function(StackRef::owned(Py_NewRef(function.object())));
        }
    }
}

/// Unlinks a frame: `previous` becomes current.
///
/// # Safety
/// The frame is the current one.
#[inline]
pub unsafe fn unlink(tstate: ThreadState, frame: Frame, previous: Frame) {
    // SAFETY: promised by the caller.
    unsafe {
        tstate.set_current_frame(previous);
        differences::update_last_profiled_frame(tstate, frame, previous);
    }
}

/// Which of the lowest operands are NULL and which are tagged integers, two bits each. On 3.15 the same loop may walk an
/// iterator or, by an index, a list.
///
/// # Safety
/// A valid frame with `depth` operands behind `slots` locals.
pub unsafe fn stack_shape(frame: Frame, slots: usize, depth: usize) -> u64 {
    let mut shape = 0;
    for index in (0..depth.min(31)).rev() {
        // SAFETY: promised by the caller.
        let operand = unsafe { frame.slot(slots + index).read() };
        shape = shape << 2 | u64::from(operand.is_null()) | u64::from(operand.is_tagged_int()) << 1;
    }
    shape
}

/// Gives the room of the last frame back. A frame that was the first of its piece of the data stack takes the piece along.
///
/// # Safety
/// The frame is unlinked, owns nothing and is the last one on the data stack.
#[inline]
pub unsafe fn pop(tstate: ThreadState, frame: Frame) {
    // SAFETY: the calling thread's own state; a piece begins with three words.
    unsafe {
        if !piece_that_begins_with(tstate, frame).is_null() {
            ffi::_PyThreadState_PopFrame(raw(tstate), frame);
        } else {
            tstate.set_datastack_top(frame.0);
        }
    }
}

/// A piece of the data stack of our own: begins with the words of `_PyStackChunk` (`previous`, `size`, `top`), and has
/// one word more in front of its first frame, so that the interpreter never takes that for the end of the piece.
#[derive(Clone, Copy)]
pub struct Piece(*mut usize);

/// Size of such a piece: room for some thousand frames.
const PIECE_BYTES: usize = 256 << 10;
/// One that is not in use: recursion to and fro over the end of a piece makes and frees none.
static SPARE: UnderGil<usize> = UnderGil::new(0);

impl Piece {
    const PREVIOUS: usize = 0;
    const SIZE: usize = 1;
    const TOP: usize = 2;
    const HEADER: usize = 3;

    /// Makes a piece the current one. `None` if there is no memory.
    ///
    /// # Safety
    /// Attached; the thread has a data stack.
    pub unsafe fn push(py: Attached, tstate: ThreadState) -> Option<Piece> {
        let spare = std::mem::take(&mut *SPARE.borrow(py));
        // SAFETY: the interpreter's own allocator of pieces; the words are those of the piece.
        unsafe {
            let piece = if spare != 0 { spare as *mut usize } else { allocate_piece()? };
            let current = tstate.0.add(layout::thread_state::DATASTACK_CHUNK).cast::<*mut usize>();
            let previous = current.read();
            let used = (tstate.datastack_top() as usize - previous.add(Piece::HEADER) as usize) / 8;
            previous.add(Piece::TOP).write(used);
            piece.add(Piece::PREVIOUS).write(previous as usize);
            piece.add(Piece::SIZE).write(PIECE_BYTES);
            piece.add(Piece::TOP).write(0);
            current.write(piece);
            set_limit(tstate, piece);
            let piece = Piece(piece);
            tstate.set_datastack_top(piece.first_frame().0);
            Some(piece)
        }
    }

    /// Where its first frame lies.
    pub fn first_frame(self) -> Frame {
        Frame(self.0.wrapping_add(Piece::HEADER + 1).cast())
    }

    /// Makes the piece before the current one again.
    ///
    /// # Safety
    /// The piece is the current one and empty.
    pub unsafe fn pop(self, py: Attached, tstate: ThreadState) {
        // SAFETY: as for `push`.
        unsafe {
            let previous = self.0.add(Piece::PREVIOUS).read() as *mut usize;
            tstate.0.add(layout::thread_state::DATASTACK_CHUNK).cast::<*mut usize>().write(previous);
            set_limit(tstate, previous);
            tstate.set_datastack_top(previous.add(Piece::HEADER + previous.add(Piece::TOP).read()).cast());
            let spare = std::mem::replace(&mut *SPARE.borrow(py), self.0 as usize);
            if spare != 0 {
                let allocator = arena_allocator();
                if let Some(free) = allocator.free {
                    free(allocator.ctx, spare as *mut c_void, PIECE_BYTES);
                }
            }
        }
    }
}

unsafe fn set_limit(tstate: ThreadState, piece: *mut usize) {
    // SAFETY: a piece of the data stack and the calling thread's own state.
    unsafe {
        let limit = piece.cast::<u8>().add(piece.add(Piece::SIZE).read());
        tstate.0.add(layout::thread_state::DATASTACK_LIMIT).cast::<*mut u8>().write(limit);
    }
}

/// What the interpreter allocates pieces of the data stack with.
fn arena_allocator() -> pyo3_ffi::PyObjectArenaAllocator {
    let mut allocator = pyo3_ffi::PyObjectArenaAllocator { ctx: ptr::null_mut(), alloc: None, free: None };
    // SAFETY: it is filled in.
    unsafe { pyo3_ffi::PyObject_GetArenaAllocator(&mut allocator) };
    allocator
}

fn allocate_piece() -> Option<*mut usize> {
    let allocator = arena_allocator();
    let allocate = allocator.alloc?;
    let piece = allocate(allocator.ctx, PIECE_BYTES);
    (!piece.is_null()).then_some(piece.cast())
}

/// Gives up a frame's reference to its frame object, as the interpreter does when it clears the frame.
///
/// # Safety
/// A valid frame that has an object.
pub unsafe fn drop_object(frame: Frame) {
    // SAFETY: promised by the caller; nobody finds the object in the frame any more when it dies.
    unsafe {
        let object = frame.frame_object();
        frame.set_frame_object(ptr::null_mut());
        pyo3_ffi::Py_DECREF(object);
    }
}

/// Clears and pops an unlinked frame that owns its references. Runs Python code; keeps the exception that is set.
///
/// # Safety
/// The frame is the last one on the data stack.
pub unsafe fn clear_and_pop(tstate: ThreadState, frame: Frame, frame_words: usize) {
    // SAFETY: promised by the caller; the function wants the frame to end at the top of the data stack.
    unsafe {
        tstate.set_datastack_top(frame.0.add(8 * frame_words));
        ffi::_PyEval_FrameClearAndPop(raw(tstate), frame);
    }
}

/// Runs a filled, unlinked frame to its end and pops it. NULL if it raised.
///
/// # Safety
/// The frame is the last one on the data stack and owns its references; the current frame is its caller.
pub unsafe fn run(tstate: ThreadState, frame: Frame, frame_words: usize) -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        tstate.set_datastack_top(frame.0.add(8 * frame_words));
        ffi::_PyEval_EvalFrameDefault(raw(tstate), frame, 0)
    }
}

/// Pushes on the frame's operand stack.
///
/// # Safety
/// There is room; `stackpointer` is valid.
pub unsafe fn push(frame: Frame, value: StackRef) {
    // SAFETY: promised by the caller.
    unsafe {
        let top = frame.stackpointer();
        top.write(value);
        frame.set_stackpointer(top.add(1));
    }
}

/// Adds the traceback entry of the current frame to the exception that is set.
///
/// # Safety
/// The frame is linked and its `instr_ptr` is the raising instruction.
pub unsafe fn add_traceback() {
    // SAFETY: an exception is set; PyEval_GetFrame makes the frame object if there is none yet, or clears the exception that
    // says that it cannot.
    unsafe {
        let exception = pyo3_ffi::PyErr_GetRaisedException();
        let object = pyo3_ffi::PyEval_GetFrame();
        pyo3_ffi::PyErr_SetRaisedException(exception);
        if !object.is_null() {
            pyo3_ffi::PyTraceBack_Here(object);
        }
    }
}

/// The exception table of a code object.
///
/// # Safety
/// A valid code object.
pub unsafe fn exception_table<'a>(code: CodeRef) -> &'a [u8] {
    // SAFETY: the table is a bytes object that lives as long as the code.
    unsafe {
        let table = code.exception_table().cast::<u8>();
        let size = table.add(layout::object::OB_SIZE).cast::<isize>().read();
        std::slice::from_raw_parts(table.add(layout::bytes::OB_SVAL), size as usize)
    }
}

/// Whether a handler covers the instruction.
///
/// # Safety
/// A valid code object.
pub unsafe fn has_handler(code: CodeRef, offset: u32) -> bool {
    // SAFETY: promised by the caller.
    find_handler(unsafe { exception_table(code) }, offset).is_some()
}

/// Goes on at the handler that covers `offset`, with the exception that is set on the operand stack
/// (`exception_unwind` of `Python/bytecodes.c`). False: there is none. Runs Python code when operands die.
///
/// # Safety
/// The frame is filled and owns its references.
pub unsafe fn enter_handler(tstate: ThreadState, frame: Frame, offset: u32) -> bool {
    // SAFETY: promised by the caller; the depth is within the operand stack.
    unsafe {
        let code = frame.code();
        let Some(handler) = find_handler(exception_table(code), offset) else { return false };
        drop_operands(frame, handler.depth as usize);
        if handler.push_offset {
            // Not `offset` where the exception was raised again.
            push(frame, StackRef::tagged_int(i64::from(frame.offset())));
        }
        let exception = ffi::_PyErr_GetRaisedException(raw(tstate));
        push(frame, StackRef::owned(exception));
        frame.set_instr_ptr(code.units().add(handler.target as usize));
        true
    }
}

/// Drops all but `depth` operands, the topmost first, as the interpreter does before it leaves a frame with an exception: one
/// left there would be kept by the traceback, and it may be the exception itself. Runs Python code.
///
/// # Safety
/// The frame is filled and owns its references.
pub unsafe fn drop_operands(frame: Frame, depth: usize) {
    // SAFETY: promised by the caller.
    unsafe {
        let floor = frame.slot(frame.code().slot_count() as usize + depth);
        while frame.stackpointer() > floor {
            let top = frame.stackpointer().sub(1);
            frame.set_stackpointer(top);
            close(top.read());
        }
    }
}

/// Whether a frame object has a trace function or was told what to trace.
///
/// # Safety
/// It is a frame object.
unsafe fn traces(object: *mut pyo3_ffi::PyObject) -> bool {
    use layout::frame_object::{F_TRACE, F_TRACE_LINES, F_TRACE_OPCODES};
    // SAFETY: promised by the caller; the fields lie in the object.
    unsafe {
        let object = object.cast::<u8>();
        !object.add(F_TRACE).cast::<*mut pyo3_ffi::PyObject>().read().is_null()
            || object.add(F_TRACE_LINES).read() == 0
            || object.add(F_TRACE_OPCODES).read() != 0
    }
}

/// Ends a frame of an inlined call of which somebody made a frame object: called by compiled code after the call, when the
/// frame is unlinked and its `frame_obj` is not NULL. A frame object that somebody holds, through which locals were handed
/// out, or that was told to trace, is set aside until the activation leaves, which it is told to do.
///
/// # Safety
/// The frame is unlinked and not used again before it is initialised anew; its slots own nothing.
pub unsafe extern "C" fn finish_inlined_frame(tstate: ThreadState, frame: Frame) {
    // SAFETY: promised by the caller; the top of the data stack is put back, as the frame lies inside a unit's buffer.
    unsafe {
        let py = Attached::assume();
        let object = frame.frame_object();
        let is_held = pyo3_ffi::Py_REFCNT(object) > 1 || observers::is_shown(py, frame) || traces(object);
        if is_held && observers::set_aside(py, frame) {
            return;
        }
        let code = frame.code();
        let slots = code.slot_count() as usize;
        for slot in 0..slots {
            frame.slot(slot).write(StackRef::NULL);
        }
        frame.set_stackpointer(frame.slot(slots));
        frame.set_visited(0);
        let top = tstate.datastack_top();
        clear_and_pop(tstate, frame, code.frame_size() as usize);
        tstate.set_datastack_top(top);
    }
}
