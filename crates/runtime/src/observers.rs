//! Making the locals of running compiled code visible to those who ask the frame for them.
//!
//! While compiled code runs a frame, its slots hold borrowed references, and locals that are in registers as numbers are
//! in the unit's buffer (see `ARCHITECTURE.md`). Whoever reads locals through `frame.f_locals`, `locals()`, `vars()`,
//! `dir()`, `eval()` or `exec()` goes through a function of ours first, which makes objects of these numbers and puts them
//! into the slots. The objects are kept until the activation ends.
//!
//! Whoever gets `f_locals` may write through it, and whoever holds the frame object of an inlined call wants it to go on.
//! Such an activation is told to leave when the call has returned ([`LEAVE_WORD`]); what was written meanwhile and the
//! frame objects go into the interpreter's frames ([`take_requests`]).
//!
//! Deliberately not here: `PyFrame_GetLocals` called by other C code.

use crate::enter::{ATTENTION, attention};
use crate::exits::unit_of_buffer;
use crate::gil::UnderGil;
use crate::plan::{Fill, Make};
use crate::unit::{INLINED_MARK, LEAVE_WORD, LOOK_AFTER, NATIVE_MARK};
use crate::virtuals;
use coluber_cpython::hooks::{Interposed, interpose_builtin, interpose_getter};
use coluber_cpython::layout;
use coluber_cpython::raw::{Attached, Frame, StackRef, TypeRef};
use pyo3_ffi::{METH_FASTCALL, METH_KEYWORDS, METH_NOARGS, METH_VARARGS, Py_DECREF, PyObject};
use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// An object made for an observer.
struct Kept {
    /// The unit's own frame: when it ends, the object goes.
    own: usize,
    /// The frame, the slot and the number it was made from.
    frame: usize,
    place: usize,
    bits: u64,
    object: usize,
}

/// The frame object of an inlined call, set aside.
struct SetAside {
    own: usize,
    /// How many activations are below it.
    depth: usize,
    object: usize,
}

/// What a slot showed when `f_locals` was handed out.
struct Shown {
    own: usize,
    depth: usize,
    frame: usize,
    place: usize,
    object: usize,
}

/// What an activation takes along when it leaves. Depths count from the unit's own frame.
#[derive(Default)]
pub struct Requests {
    /// Frame objects of inlined calls.
    pub frame_objects: Vec<(usize, *mut PyObject)>,
    /// Slots that were written through `f_locals`, with what they hold now.
    pub written: Vec<(usize, usize, StackRef)>,
    /// Objects that were made for observers, by their number in the unit.
    pub made: Vec<(u32, *mut PyObject)>,
}

static SET_ASIDE: UnderGil<Vec<SetAside>> = UnderGil::new(Vec::new());
static SHOWN: UnderGil<Vec<Shown>> = UnderGil::new(Vec::new());

/// The unit's own frame under a marked frame, and how many activations lie between.
unsafe fn own_frame(frame: Frame) -> Option<(Frame, usize)> {
    // SAFETY: frames of inlined calls lead to the unit's own.
    unsafe {
        let (mut own, mut depth) = (frame, 0);
        while !own.is_null() && own.visited() == INLINED_MARK {
            own = own.previous();
            depth += 1;
        }
        (!own.is_null() && own.visited() == NATIVE_MARK).then_some((own, depth))
    }
}

/// The buffer of the unit that runs its own frame.
pub(crate) unsafe fn buffer_of(own: Frame) -> *mut u64 {
    // SAFETY: it lies behind a frame on the data stack; in that of a generator compiled code notes it.
    unsafe {
        if own.owner() == layout::frame::OWNED_BY_GENERATOR {
            own.slot(own.code().slot_count() as usize).cast::<*mut u64>().read()
        } else {
            own.0.add(8 * own.code().frame_size() as usize).cast()
        }
    }
}

/// Tells an activation to leave when the present call has returned.
unsafe fn request_leave(own: Frame) {
    // SAFETY: the buffer of a running unit.
    unsafe {
        buffer_of(own).cast::<u32>().add(2 * LEAVE_WORD).write(1);
    }
    ATTENTION.fetch_or(attention::OBSERVED, Ordering::Relaxed);
}

/// Tells the activation that runs a frame, if compiled code does, to leave when its present or next call has returned.
///
/// # Safety
/// A linked frame.
pub(crate) unsafe fn leave_soon(frame: Frame) {
    // SAFETY: promised by the caller.
    unsafe {
        if let Some((own, _)) = own_frame(frame) {
            request_leave(own);
        }
    }
}

/// Keeps the frame object of an inlined call until the activation leaves. False if the frame is none of ours.
///
/// # Safety
/// A frame of an inlined call with a frame object.
pub unsafe fn set_aside(py: Attached, frame: Frame) -> bool {
    // SAFETY: promised by the caller.
    unsafe {
        let Some((own, depth)) = own_frame(frame) else { return false };
        let mut kept = SET_ASIDE.borrow(py);
        if kept.iter().any(|kept| kept.own == own.0 as usize && kept.depth == depth) {
            return false;
        }
        kept.push(SetAside { own: own.0 as usize, depth, object: frame.frame_object() as usize });
        frame.set_frame_object(std::ptr::null_mut());
        request_leave(own);
        true
    }
}

/// Whether `f_locals` of a frame was handed out.
pub fn is_shown(py: Attached, frame: Frame) -> bool {
    SHOWN.borrow(py).iter().any(|shown| shown.frame == frame.0 as usize)
}

/// Remembers what the slots of a frame show, so that writes are noticed.
///
/// Slots that hold what they held at entry still say that they own it, though compiled code does now; who writes through
/// `f_locals` would drop the reference.
unsafe fn watch_slots(py: Attached, frame: Frame) {
    // SAFETY: a marked frame whose slots were brought up to date.
    unsafe {
        let Some((own, depth)) = own_frame(frame) else { return };
        for place in 0..frame.code().slot_count() as usize {
            let value = frame.slot(place).read();
            if value.owns() && !value.is_null() && !value.is_tagged_int() {
                frame.slot(place).write(StackRef::borrowed(value.object()));
            }
        }
        let mut shown = SHOWN.borrow(py);
        if !shown.iter().any(|shown| shown.own == own.0 as usize && shown.frame == frame.0 as usize) {
            for place in 0..frame.code().slot_count() as usize {
                let object = frame.slot(place).read().object() as usize;
                shown.push(Shown { own: own.0 as usize, depth, frame: frame.0 as usize, place, object });
            }
        }
        request_leave(own);
    }
}

/// What is to be taken along by an activation that leaves; to be called before its slots are filled. Of activations less than
/// `depth` above the unit's own nothing is taken.
///
/// # Safety
/// The unit's own frame, running.
pub unsafe fn take_requests(py: Attached, own: Frame, depth: usize) -> Requests {
    let made = if depth == 0 { virtuals::take_kept(py, own.0 as usize) } else { Vec::new() };
    let mut requests = Requests { made, ..Requests::default() };
    SET_ASIDE.borrow(py).retain(|kept| {
        let is_its = kept.own == own.0 as usize && kept.depth >= depth;
        if is_its {
            requests.frame_objects.push((kept.depth, kept.object as *mut PyObject));
        }
        !is_its
    });
    SHOWN.borrow(py).retain(|shown| {
        let is_its = shown.own == own.0 as usize && shown.depth >= depth;
        if is_its {
            // SAFETY: the frame is the own one or lies in its buffer.
            let now = unsafe { Frame(shown.frame as *mut u8).slot(shown.place).read() };
            if now.object() as usize != shown.object {
                requests.written.push((shown.depth, shown.place, now));
            }
        }
        !is_its
    });
    requests
}

static KEPT: UnderGil<Vec<Kept>> = UnderGil::new(Vec::new());
static INTERPOSED: UnderGil<Vec<Interposed>> = UnderGil::new(Vec::new());

/// Brings the slots of a frame up to date, if compiled code runs it.
///
/// # Safety
/// A valid, linked frame.
pub unsafe fn materialize(py: Attached, frame: Frame) {
    // SAFETY: marked frames are linked down to the unit's own, whose buffer lies behind it.
    unsafe {
        let mut own = frame;
        let mut depth = 0;
        while !own.is_null() && own.visited() == INLINED_MARK {
            own = own.previous();
            depth += 1;
        }
        if own.is_null() || own.visited() != NATIVE_MARK {
            return;
        }
        let buffer = buffer_of(own);
        let Some(exit_id) = buffer.read().checked_sub(1) else { return };
        let (unit, _) = unit_of_buffer(buffer);
        let Some(exit) = unit.exit(exit_id as usize) else { return };
        let exit = &exit.plan;
        let Some(number) = exit.frames.len().checked_sub(1 + depth) else { return };
        let plan = &exit.frames[number];
        let slots = unit.codes[plan.code].slot_count;
        for (place, fill) in plan.fills.iter().take(slots).enumerate() {
            let mut source = *fill;
            if let Fill::Same(other, place) = source {
                source = exit.frames[other as usize].fills[place as usize];
            }
            let word = |word: u32| buffer.add(word as usize).read();
            let (bits, is_float) = match source {
                Fill::Int(number) => (word(number), false),
                Fill::IntConstant(value) => (value as u64, false),
                Fill::Float(number) => (word(number), true),
                Fill::FloatConstant(bits) => (bits, true),
                Fill::Bool(number) => {
                    frame.slot(place).write(StackRef::borrowed(truth(word(number) & 0xff != 0)));
                    continue;
                }
                Fill::BoolConstant(value) => {
                    frame.slot(place).write(StackRef::borrowed(truth(value)));
                    continue;
                }
                Fill::Constant(id) => {
                    frame.slot(place).write(StackRef::borrowed(unit.objects[id.0 as usize]));
                    continue;
                }
                Fill::Null => {
                    frame.slot(place).write(StackRef::NULL);
                    continue;
                }
                Fill::Made(number) => {
                    source = match &exit.made[number as usize] {
                        Make::Number(number) => *number,
                        Make::Object { .. } => {
                            let object = virtuals::show(py, own.0 as usize, buffer, unit, &exit.made, number);
                            if !object.is_null() {
                                frame.slot(place).write(StackRef::borrowed(object));
                                request_leave(own);
                            }
                            continue;
                        }
                    };
                    match source {
                        Fill::Int(number) => (word(number), false),
                        Fill::IntConstant(value) => (value as u64, false),
                        Fill::Float(number) => (word(number), true),
                        Fill::FloatConstant(bits) => (bits, true),
                        _ => continue,
                    }
                }
                _ => continue,
            };
            let object = kept_object(py, own, frame, place, bits, is_float);
            frame.slot(place).write(if object.is_null() { StackRef::NULL } else { StackRef::borrowed(object) });
        }
    }
}

fn truth(value: bool) -> *mut PyObject {
    // SAFETY: addresses of immortal objects.
    unsafe { if value { pyo3_ffi::Py_True() } else { pyo3_ffi::Py_False() } }
}

/// The object of a number: the same one as long as the number stays. NULL (no exception) when memory is exhausted.
unsafe fn kept_object(
    py: Attached,
    own: Frame,
    frame: Frame,
    place: usize,
    bits: u64,
    is_float: bool,
) -> *mut PyObject {
    let key = (own.0 as usize, frame.0 as usize, place, bits);
    if let Some(kept) = KEPT.borrow(py).iter().find(|kept| (kept.own, kept.frame, kept.place, kept.bits) == key) {
        return kept.object as *mut PyObject;
    }
    // SAFETY: attached; numbers are made without running Python code.
    unsafe {
        let object = if is_float {
            pyo3_ffi::PyFloat_FromDouble(f64::from_bits(bits))
        } else {
            pyo3_ffi::PyLong_FromLongLong(bits as i64)
        };
        if object.is_null() {
            pyo3_ffi::PyErr_Clear();
            return object;
        }
        KEPT.borrow(py).push(Kept { own: key.0, frame: key.1, place, bits, object: object as usize });
        let requests = buffer_of(own).add(LEAVE_WORD);
        requests.write(requests.read() | LOOK_AFTER);
        ATTENTION.fetch_or(attention::OBSERVED, Ordering::Relaxed);
        object
    }
}

/// Releases what was made for observers of an activation that has ended.
pub fn release_finished(py: Attached, own: Frame) {
    let mut finished: Vec<usize> =
        virtuals::take_kept(py, own.0 as usize).into_iter().map(|(_, object)| object as usize).collect();
    // A finished activation has left or returned; its slots are gone.
    SHOWN.borrow(py).retain(|shown| shown.own != own.0 as usize);
    let mut kept = KEPT.borrow(py);
    kept.retain(|kept| {
        if kept.own == own.0 as usize {
            finished.push(kept.object);
        }
        kept.own != own.0 as usize
    });
    if kept.is_empty() {
        ATTENTION.fetch_and(!attention::OBSERVED, Ordering::Relaxed);
    }
    drop(kept);
    for object in finished {
        // SAFETY: the reference was kept for the frame.
        unsafe { Py_DECREF(object as *mut PyObject) };
    }
}

/// Materialises the frame that the calling C function looks at: the innermost complete one.
unsafe fn materialize_current() {
    // SAFETY: builtins are called attached.
    unsafe {
        let py = Attached::assume();
        let mut frame = py.thread_state().current_frame();
        while !frame.is_null() && frame.owner() >= layout::frame::OWNED_BY_INTERPRETER {
            frame = frame.previous();
        }
        if !frame.is_null() && matches!(frame.visited(), NATIVE_MARK | INLINED_MARK) {
            materialize(py, frame);
        }
    }
}

static F_LOCALS: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

unsafe extern "C" fn frame_locals(frame_object: *mut PyObject, closure: *mut c_void) -> *mut PyObject {
    // SAFETY: called as the getter of frame objects; the original has this type.
    unsafe {
        let frame = frame_object.cast::<u8>().add(layout::frame_object::F_FRAME).cast::<Frame>().read();
        if !frame.is_null() && matches!(frame.visited(), NATIVE_MARK | INLINED_MARK) {
            materialize(Attached::assume(), frame);
            watch_slots(Attached::assume(), frame);
        }
        type Getter = unsafe extern "C" fn(*mut PyObject, *mut c_void) -> *mut PyObject;
        let original = std::mem::transmute::<*mut c_void, Getter>(F_LOCALS.load(Ordering::Relaxed));
        original(frame_object, closure)
    }
}

/// A builtin under ours, whatever its calling convention: at most four arguments, all in registers.
type AnyBuiltin = unsafe extern "C" fn(usize, usize, usize, usize) -> *mut PyObject;

macro_rules! observer {
    ($replacement:ident, $original:ident) => {
        static $original: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

        unsafe extern "C" fn $replacement(first: usize, second: usize, third: usize, fourth: usize) -> *mut PyObject {
            // SAFETY: called as the builtin; the original takes its arguments from the same registers.
            unsafe {
                materialize_current();
                let original = std::mem::transmute::<*mut c_void, AnyBuiltin>($original.load(Ordering::Relaxed));
                original(first, second, third, fourth)
            }
        }
    };
}
observer!(observe_locals, LOCALS);
observer!(observe_vars, VARS);
observer!(observe_dir, DIR);
observer!(observe_eval, EVAL);
observer!(observe_exec, EXEC);

/// Puts our functions in front. The error names what could not be interposed; the others are.
pub fn start(py: Attached) -> Result<(), String> {
    let builtins: [(&CStr, c_int, AnyBuiltin, &AtomicPtr<c_void>); 5] = [
        (c"locals", METH_NOARGS, observe_locals, &LOCALS),
        (c"vars", METH_VARARGS, observe_vars, &VARS),
        (c"dir", METH_VARARGS, observe_dir, &DIR),
        (c"eval", METH_FASTCALL | METH_KEYWORDS, observe_eval, &EVAL),
        (c"exec", METH_FASTCALL | METH_KEYWORDS, observe_exec, &EXEC),
    ];
    let mut missing = Vec::new();
    let mut interposed = Vec::new();
    for (name, flags, replacement, original) in builtins {
        // SAFETY: the replacement passes on whatever registers it was called with, so any convention fits.
        match unsafe { interpose_builtin(py, c"builtins", name, flags, replacement as *mut c_void) } {
            Some(done) => {
                original.store(done.original(), Ordering::Relaxed);
                interposed.push(done);
            }
            None => missing.push(name.to_string_lossy().into_owned()),
        }
    }
    let class = TypeRef((&raw mut pyo3_ffi::PyFrame_Type).cast());
    // SAFETY: the replacement is a getter; frames are a static type with a table.
    match unsafe { interpose_getter(py, class, c"f_locals", frame_locals as *mut c_void) } {
        Some(done) => {
            F_LOCALS.store(done.original(), Ordering::Relaxed);
            interposed.push(done);
        }
        None => missing.push("frame.f_locals".into()),
    }
    INTERPOSED.borrow(py).extend(interposed);
    if missing.is_empty() { Ok(()) } else { Err(format!("cannot observe {}", missing.join(", "))) }
}

/// Puts the originals back. False if somebody has interposed ours meanwhile.
pub fn stop(py: Attached) -> bool {
    let interposed = std::mem::take(&mut *INTERPOSED.borrow(py));
    let mut all_restored = true;
    for one in interposed {
        all_restored &= one.restore(py);
    }
    all_restored
}
