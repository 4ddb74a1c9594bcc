//! A library that `tests/probe.py` loads inside an interpreter (through `ctypes.PyDLL`, which keeps the thread attached)
//! to compare what this crate reads with what the interpreter's own modules say.

use coluber_bytecode::Entry;
use coluber_cpython::decode::decode;
use coluber_cpython::hooks;
use coluber_cpython::pool::ObjectPool;
use coluber_cpython::raw::{Attached, CodeRef, FunctionRef, TypeRef};
use coluber_cpython::snapshot::{Dependency, Limits, Request, take_snapshot};
use pyo3_ffi::PyObject;
use std::sync::Mutex;

unsafe fn text(text: &str) -> *mut PyObject {
    // SAFETY: the thread is attached; the bytes are UTF-8.
    unsafe { pyo3_ffi::PyUnicode_FromStringAndSize(text.as_ptr().cast(), text.len() as isize) }
}

/// The decoded code object as text: a header line, then one line per instruction (tab-separated), then handlers.
///
/// # Safety
/// `code` must be a code object and the thread attached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_decode(code: *mut PyObject) -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        let py = Attached::assume();
        let mut pool = ObjectPool::new();
        let decoded = match decode(py, CodeRef(code.cast()), &mut pool, &|_| None) {
            Ok(decoded) => decoded,
            Err(error) => return text(&format!("error\t{error}")),
        };
        let mut out =
            format!("code\t{}\t{}\t{}\t{}\n", decoded.name, decoded.slot_count, decoded.stack_size, decoded.first_line);
        for (instruction, line) in decoded.instructions.iter().zip(&decoded.lines) {
            out += &format!(
                "op\t{}\t{}\t{}\t{line}\t{:?}\t{:?}\n",
                instruction.start, instruction.offset, instruction.next, instruction.op, instruction.feedback
            );
        }
        for range in &decoded.handlers {
            out += &format!(
                "handler\t{}\t{}\t{}\t{}\t{}\n",
                range.start, range.end, range.handler, range.depth, range.push_offset
            );
        }
        for (id, facts) in pool.table().iter() {
            out += &format!("object\t{id:?}\t{:?}\t{:?}\n", facts.label, facts.value);
        }
        pool.release(py);
        text(&out)
    }
}

/// `None` when the layout fits, else the message.
///
/// # Safety
/// The thread must be attached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_check() -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        match coluber_cpython::check::check_layout(Attached::assume()) {
            Ok(()) => pyo3_ffi::Py_None(),
            Err(message) => text(&message),
        }
    }
}

/// The snapshot of a function about to be called with a tuple of arguments, as text.
///
/// # Safety
/// As the types say; the thread must be attached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_snapshot(function: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        let py = Attached::assume();
        let function = FunctionRef(function.cast());
        let arguments: Vec<_> =
            (0..pyo3_ffi::PyTuple_Size(arguments)).map(|index| pyo3_ffi::PyTuple_GetItem(arguments, index)).collect();
        let request = Request {
            code: function.code(),
            function: Some(function),
            globals: function.globals(),
            builtins: function.builtins(),
            entry: Entry::Function,
            frame: None,
            arguments: &arguments,
            exits: Vec::new(),
            limits: Limits::default(),
            functions: &hooks::function_behind_door,
            is_volatile: &|_, _| false,
        };
        let started = std::time::Instant::now();
        let taken = match take_snapshot(py, request) {
            Ok(taken) => taken,
            Err(error) => return text(&format!("error\t{error}")),
        };
        let micros = started.elapsed().as_micros();
        let snapshot = &taken.snapshot;
        let label = |id| &snapshot.objects.get(id).label;
        let mut out = format!("name\t{}\nmicros\t{micros}\n", snapshot.name);
        for code in &snapshot.codes {
            out += &format!("code\t{}\t{}\n", code.name, code.instructions.len());
        }
        for fact in &snapshot.global_facts {
            out += &format!("global\t{}\t{}\n", label(fact.name), label(fact.value));
        }
        for (version, class) in &snapshot.classes {
            out += &format!("class\t{version}\t{}\n", label(*class));
        }
        for live in &snapshot.live {
            out += &format!("live\t{live:?}\n");
        }
        for dependency in &taken.dependencies {
            let shown = match dependency {
                Dependency::Name { dict, name } => format!("name {} {}", label(*dict), label(*name)),
                Dependency::Store { dict, name } => format!("store {} {}", label(*dict), label(*name)),
                Dependency::Class { class, .. } => label(*class).clone(),
                Dependency::Function { function } => label(*function).clone(),
            };
            out += &format!("dependency\t{shown}\n");
        }
        for (id, facts) in snapshot.objects.iter() {
            out += &format!("object\t{id:?}\t{}\t{:?}\n", facts.label, facts.value);
        }
        taken.pool.release(py);
        text(&out)
    }
}

static DOOR: Mutex<Option<hooks::Door>> = Mutex::new(None);

unsafe extern "C" fn door_entry(
    _function: *mut PyObject,
    _arguments: *const *mut PyObject,
    _count: usize,
    _names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe { pyo3_ffi::PyLong_FromLong(4242) }
}

/// Opens a door of a function that answers 4242.
///
/// # Safety
/// `function` must be a function, the thread attached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_open_door(function: *mut PyObject) -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        let door = hooks::Door::open(Attached::assume(), FunctionRef(function.cast()), door_entry, true);
        *DOOR.lock().expect("one thread") = Some(door);
        pyo3_ffi::Py_None()
    }
}

/// Closes it.
///
/// # Safety
/// The thread must be attached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_close_door() -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        if let Some(door) = DOOR.lock().expect("one thread").take() {
            door.close(Attached::assume());
        }
        pyo3_ffi::Py_None()
    }
}

static EVENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn record(event: String) {
    EVENTS.lock().expect("one thread").push(event);
}

unsafe extern "C" fn on_start(_: *mut PyObject, _: *mut *mut PyObject, _: isize) -> *mut PyObject {
    record("start".into());
    // SAFETY: None is immortal.
    unsafe { pyo3_ffi::Py_None() }
}

unsafe extern "C" fn on_pending(_: *mut std::ffi::c_void) -> i32 {
    record("pending".into());
    0
}

/// Takes all hooks, lets `action(code)` run, gives all back and returns what was seen.
///
/// # Safety
/// As the types say; the thread must be attached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_hooks(
    dict: *mut PyObject,
    class: *mut PyObject,
    function: *mut PyObject,
    action: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        let py = Attached::assume();
        let callbacks = hooks::WatchCallbacks {
            dict: |event, _, _, _| record(format!("dict {event}")),
            class: |class| record(format!("class {}", coluber_cpython::text::type_name(class))),
            function: |event, function| {
                let name = coluber_cpython::text::to_string(function.qualname()).unwrap_or_default();
                record(format!("function {event} {name}"));
            },
            code: |_, _| {},
        };
        let watchers = match hooks::Watchers::acquire(py, callbacks) {
            Ok(watchers) => watchers,
            Err(message) => return text(&message),
        };
        let monitoring = match hooks::Monitoring::acquire(py) {
            Ok(monitoring) => monitoring,
            Err(message) => {
                watchers.release(py);
                return text(&message);
            }
        };
        let mut log = String::new();
        log += &format!("dict watched {}\n", watchers.watch_dict(py, dict));
        log += &format!("class watched {}\n", watchers.watch_class(py, TypeRef(class.cast())));
        let callback = hooks::make_builtin(py, c"coluber_start", on_start).expect("memory");
        log += &format!("{:?}\n", monitoring.register(py, hooks::event::PY_START, Some(callback)));
        let code = FunctionRef(function.cast()).code();
        log += &format!("{:?}\n", monitoring.set_local_events(py, code, hooks::event::PY_START));
        hooks::post_pending(py.thread_state().interpreter(), on_pending, std::ptr::null_mut());
        let result = pyo3_ffi::PyObject_CallNoArgs(action);
        log += &format!("action {}\n", !result.is_null());
        log += &format!("{:?}\n", monitoring.set_local_events(py, code, 0));
        watchers.unwatch_dict(py, dict);
        monitoring.release(py);
        watchers.release(py);
        pyo3_ffi::Py_DECREF(callback);
        for event in EVENTS.lock().expect("one thread").drain(..) {
            log += &format!("event {event}\n");
        }
        text(&log)
    }
}

static GETTER: Mutex<Option<hooks::Interposed>> = Mutex::new(None);

unsafe extern "C" fn frame_locals(frame: *mut PyObject, closure: *mut std::ffi::c_void) -> *mut PyObject {
    record("f_locals".into());
    let original = GETTER.lock().expect("one thread").as_ref().map(hooks::Interposed::original);
    type Getter = unsafe extern "C" fn(*mut PyObject, *mut std::ffi::c_void) -> *mut PyObject;
    // SAFETY: the original is a getter.
    unsafe { std::mem::transmute::<*mut std::ffi::c_void, Getter>(original.expect("installed"))(frame, closure) }
}

/// Interposes `f_locals`, lets `action` run, and returns how often it was asked and whether it was restored.
///
/// # Safety
/// The thread must be attached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_frame_locals(action: *mut PyObject) -> *mut PyObject {
    // SAFETY: promised by the caller.
    unsafe {
        let py = Attached::assume();
        let class = TypeRef((&raw mut pyo3_ffi::PyFrame_Type).cast());
        *GETTER.lock().expect("one thread") =
            hooks::interpose_getter(py, class, c"f_locals", frame_locals as *mut std::ffi::c_void);
        let result = pyo3_ffi::PyObject_CallNoArgs(action);
        let restored = GETTER.lock().expect("one thread").take().is_some_and(|getter| getter.restore(py));
        pyo3_ffi::Py_XDECREF(result);
        let count = EVENTS.lock().expect("one thread").drain(..).count();
        text(&format!("{count} {restored}"))
    }
}
