//! Units written by hand, for `tests/probe.py`: doors, frames and exits without a compiler.
//!
//! Every unit leaves by exit 0, which is built from what the test asks for; the "machine code" jumps to [`native`].

use coluber_backend::CompiledCode;
use coluber_bytecode::{Entry, ObjectId};
use coluber_cpython::raw::{Attached, CodeRef, Frame, FunctionRef};
use coluber_cpython::snapshot::Dependency;
use coluber_ir::exit_table::{Exit, ExitFrame, ExitKind, ExitTable, ExitValue, PackedExits};
use coluber_ir::{Helper, Resume};
use coluber_runtime::arena::Arena;
use coluber_runtime::unit::{UnitParts, UnitRecord};
use coluber_runtime::{doors, enter, exits, helpers, invariants, observers, retire, stub};
use pyo3_ffi::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

static ARENA: Mutex<Option<Arena>> = Mutex::new(None);
static LAST: AtomicUsize = AtomicUsize::new(0);

/// # Safety
/// As called by a door; the stub adds the unit.
unsafe extern "C" fn native_call(
    tstate: *mut PyThreadState,
    frame: Frame,
    _link: usize,
    _unused: usize,
    unit: *const UnitRecord,
) -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe { enter::enter_by_hand(coluber_cpython::ThreadState(tstate.cast()), frame, unit, native) }
}

/// # Safety
/// As called by a door.
unsafe extern "C" fn native(tstate: *mut PyThreadState, frame: Frame, buffer: *mut u64) -> u64 {
    // SAFETY: the record and the slots are those of a unit that `probe_open` made.
    unsafe {
        let (unit, _) = exits::unit_of_buffer(buffer);
        let depth = match unit.entry {
            Entry::Loop { depth, .. } => depth as usize,
            Entry::Function | Entry::Generator => 0,
        };
        for slot in 0..unit.slot_count + depth {
            let value = frame.slot(slot).read();
            buffer.add(2 + slot).write(if value.is_null() {
                0
            } else if value.is_tagged_int() {
                value.untag_int() as u64
            } else {
                value.0
            });
        }
        let tstate = coluber_cpython::ThreadState(tstate.cast());
        match unit.name.as_str() {
            "raise" => PyErr_SetString(PyExc_ValueError, c"from compiled code".as_ptr()),
            "reraise" => {
                helpers::helper_raise(std::ptr::null_mut(), std::ptr::null_mut());
            }
            "return" => {
                let result = helpers::box_int(42);
                for slot in 0..unit.slot_count + depth {
                    if !frame.slot(slot).read().is_tagged_int() {
                        Py_XDECREF(buffer.add(2 + slot).read() as *mut PyObject);
                    }
                }
                return result as u64;
            }
            "observe" => {
                // The last local is unboxed: what `observed()` sees must come from exit 0.
                let slot = unit.slot_count - 1;
                buffer.add(2 + slot).write(41);
                buffer.write(1);
                for slot in 0..unit.slot_count - 1 {
                    let value = buffer.add(2 + slot).read();
                    frame.slot(slot).write(coluber_cpython::StackRef(value | 1));
                }
                frame.set_instr_ptr(unit.code.units().add(unit.code.first_traceable() as usize));
                let name = PyUnicode_FromString(c"observed".as_ptr());
                let function = PyDict_GetItem(unit.globals, name);
                Py_DECREF(name);
                let result = PyObject_CallNoArgs(function);
                buffer.write(0);
                if result.is_null() {
                    PyErr_Print();
                } else {
                    Py_DECREF(result);
                }
                // The same value once more, as a real one, for the interpreter.
                buffer.add(2 + slot).write(41);
            }
            _ => {}
        }
        exits::leave(tstate, frame, buffer, 0)
    }
}

unsafe fn text(object: *mut PyObject) -> String {
    // SAFETY: a str.
    unsafe { std::ffi::CStr::from_ptr(PyUnicode_AsUTF8(object)).to_string_lossy().into_owned() }
}

unsafe fn number(tuple: *mut PyObject, index: isize) -> i64 {
    // SAFETY: a tuple of ints.
    unsafe { PyLong_AsLongLong(PyTuple_GetItem(tuple, index)) }
}

fn resume(kind: &str, offset: i64, next: i64) -> Resume {
    let (offset, next) = (offset as u32, next as u32);
    match kind {
        "call" => Resume::PushResult { offset, next },
        "init" => Resume::DropResult { offset, next },
        _ => Resume::At { start: offset, offset },
    }
}

/// `probe_start()`.
///
/// # Safety
/// Called through `ctypes.PyDLL`, like all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_start() -> *mut PyObject {
    // SAFETY: attached.
    unsafe {
        let py = Attached::assume();
        *ARENA.lock().unwrap() = Some(Arena::new(16 << 20, None).unwrap());
        doors::start(py).unwrap();
        observers::start(py).unwrap();
        invariants::start(py).unwrap();
        Py_NewRef(Py_None())
    }
}

/// `probe_open(name, functions, header and depth or (), [(code, kind, offset, next, [slots]), ...])`: a slot is an index into
/// the unit's own slots, or a negative number `-1 - n` for the int constant n; the frames are innermost first, each with its
/// function in the first place of an inlined one.
///
/// # Safety
/// See [`probe_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_open(
    name: *mut PyObject,
    functions: *mut PyObject,
    loop_entry: *mut PyObject,
    frames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: the test passes what the doc says.
    unsafe {
        let py = Attached::assume();
        let name = text(name);
        let function = FunctionRef(PyList_GetItem(functions, 0).cast());
        let code = function.code();
        let entry = if PyTuple_Size(loop_entry) == 0 {
            Entry::Function
        } else {
            Entry::Loop { header: number(loop_entry, 0) as u32, depth: number(loop_entry, 1) as u32 }
        };
        let mut objects = vec![code.object()];
        let mut codes = vec![ObjectId(0)];
        let mut exit_frames = Vec::new();
        let mut own_values = 0;
        for index in 0..PyList_Size(frames) {
            let row = PyList_GetItem(frames, index);
            let inlined = FunctionRef(PyTuple_GetItem(row, 0).cast());
            let is_own = index == PyList_Size(frames) - 1;
            let (frame_code, frame_function) = if is_own {
                (0, None)
            } else {
                objects.push(inlined.code().object());
                codes.push(ObjectId(objects.len() as u32 - 1));
                objects.push(inlined.object());
                (codes.len() - 1, Some(ObjectId(objects.len() as u32 - 1)))
            };
            let slots = PyTuple_GetItem(row, 4);
            let values = (0..PyList_Size(slots)).map(|index| match PyLong_AsLongLong(PyList_GetItem(slots, index)) {
                slot @ 0..1000 => ExitValue::Object { word: 2 + slot as u32, owned: true },
                slot @ 1000..2000 => ExitValue::TaggedInt(2 + slot as u32 - 1000),
                slot @ 2000.. => ExitValue::Int(2 + slot as u32 - 2000),
                -1 => ExitValue::Null,
                constant => ExitValue::IntConstant(-1 - constant),
            });
            let mut values: Vec<_> = values.collect();
            own_values = own_values.max(values.len());
            let code = CodeRef(objects[codes[frame_code].0 as usize].cast());
            let stack = values.split_off(code.slot_count() as usize);
            exit_frames.push(std::sync::Arc::new(ExitFrame {
                code: frame_code,
                function: frame_function,
                resume: resume(&text(PyTuple_GetItem(row, 1)), number(row, 2), number(row, 3)),
                locals: values,
                stack,
            }));
        }
        let kind = if name.ends_with("raise") { ExitKind::Raise } else { ExitKind::Guard };
        let exit =
            Exit { kind, reason: "Probe", benign: false, guilty: Some(2), caught: false, frames: exit_frames.into() };
        let (globals, builtins) = (function.globals(), function.builtins());
        let parts =
            UnitParts { name, entry, globals, builtins, objects: &objects, codes: &codes, watched_classes: &[] };
        let unit = UnitRecord::new(py, parts).unwrap();
        let compiled = CompiledCode {
            callee_words: 0,
            profile_sites: Vec::new(),
            // The fastest unit there is: returns its first argument.
            bytes: if (*unit).name == "identity" {
                vec![0x48, 0x8b, 0x46, 0x50, 0xc3]
            } else if (*unit).entry == Entry::Function {
                stub::stub(unit as u64, native_call as *const () as u64)
            } else {
                stub::stub(0, native as *const () as u64)
            },
            alignment: 16,
            exits: PackedExits::new(&ExitTable { exits: vec![exit], buffer_words: 2 + 64 }),
            extra_words: 0,
            output_word: 0,
            clif: None,
            sources: Vec::new(),
        };
        let mut arena = ARENA.lock().unwrap();
        let arena = arena.as_mut().unwrap();
        (*unit).install(py, arena, compiled).unwrap();
        let functions: Vec<_> = (0..PyList_Size(functions)).map(|index| PyList_GetItem(functions, index)).collect();
        let _ = (LAST.swap(unit as usize, Ordering::Relaxed), own_values);
        if let Err(message) = doors::open_door(py, arena, &*unit, &functions) {
            PyErr_SetString(PyExc_RuntimeError, std::ffi::CString::new(message).unwrap().as_ptr());
            return std::ptr::null_mut();
        }
        PyLong_FromSize_t(unit as usize)
    }
}

/// `probe_entries(unit)`.
///
/// # Safety
/// See [`probe_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_entries(unit: *mut PyObject) -> *mut PyObject {
    // SAFETY: a unit that `probe_open` returned.
    unsafe { PyLong_FromUnsignedLongLong((*(PyLong_AsSize_t(unit) as *const UnitRecord)).entries.get()) }
}

/// `probe_close(unit)`.
///
/// # Safety
/// See [`probe_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_close(unit: *mut PyObject) -> *mut PyObject {
    // SAFETY: a unit that `probe_open` returned.
    unsafe {
        let unit = &*(PyLong_AsSize_t(unit) as *const UnitRecord);
        PyLong_FromSize_t(doors::close_door(Attached::assume(), unit).len())
    }
}

/// `probe_retire(unit)`: (freed, waiting).
///
/// # Safety
/// See [`probe_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_retire(unit: *mut PyObject) -> *mut PyObject {
    // SAFETY: a unit that `probe_open` returned, or 0.
    unsafe {
        let py = Attached::assume();
        let unit = PyLong_AsSize_t(unit) as *mut UnitRecord;
        if !unit.is_null() {
            retire::retire(py, unit);
        }
        let (freed, waiting) = retire::collect(py, |work| work(ARENA.lock().unwrap().as_mut().unwrap()));
        PyLong_FromSize_t(10 * freed + waiting)
    }
}

/// `probe_depend(unit, name)`: on a global name of the unit. `probe_broken()`: how many units broke.
///
/// # Safety
/// See [`probe_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_depend(unit: *mut PyObject, kind: *mut PyObject, what: *mut PyObject) -> *mut PyObject {
    // SAFETY: a unit that `probe_open` returned; its objects get two more for the test.
    unsafe {
        let unit = PyLong_AsSize_t(unit) as *mut UnitRecord;
        let first = (*unit).objects.len() as u32;
        let globals = (*unit).globals;
        (*unit).objects.extend([globals, Py_NewRef(what)]);
        let (dict, what_id) = (ObjectId(first), ObjectId(first + 1));
        let dependency = match text(kind).as_str() {
            "name" => Dependency::Name { dict, name: what_id },
            "class" => Dependency::Class { class: what_id, version: coluber_cpython::TypeRef(what.cast()).version() },
            _ => Dependency::Function { function: what_id },
        };
        match invariants::add(Attached::assume(), &*unit, &[dependency]) {
            Ok(()) => Py_NewRef(Py_None()),
            Err(message) => {
                PyErr_SetString(PyExc_RuntimeError, std::ffi::CString::new(message).unwrap().as_ptr());
                std::ptr::null_mut()
            }
        }
    }
}

/// See [`probe_depend`].
///
/// # Safety
/// See [`probe_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_broken() -> *mut PyObject {
    // SAFETY: attached.
    unsafe { PyLong_FromSize_t(retire::take_broken(Attached::assume()).len()) }
}

/// `probe_helper(name)`: address, arguments and result of a helper.
///
/// # Safety
/// See [`probe_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_helper(name: *mut PyObject) -> *mut PyObject {
    // SAFETY: a str.
    unsafe {
        let name = text(name);
        let helper = Helper::ALL.iter().find(|helper| helper.name() == name).expect("a helper of that name");
        let arguments: String = helper.arguments().iter().map(|kind| format!("{kind:?} ")).collect();
        let line =
            format!("{}\t{}\t{:?}", helpers::address_table()[*helper as usize], arguments.trim(), helper.result());
        PyUnicode_FromStringAndSize(line.as_ptr().cast(), line.len() as isize)
    }
}

/// `probe_frame()`: address of the calling frame, of the mark of exhausted iterators, and of `float_power`.
///
/// # Safety
/// See [`probe_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_frame() -> *mut PyObject {
    // SAFETY: attached.
    unsafe {
        let frame = Attached::assume().thread_state().current_frame();
        let tuple = PyTuple_New(2);
        PyTuple_SET_ITEM(tuple, 0, PyLong_FromSize_t(frame.0 as usize));
        PyTuple_SET_ITEM(tuple, 1, PyLong_FromSize_t((&raw const helpers::EXHAUSTED) as usize));
        tuple
    }
}
