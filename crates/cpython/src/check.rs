//! Does the running interpreter look like the one this was built for?
//!
//! `_Py_DebugOffsets` at the start of `_PyRuntime` tells many offsets of the running binary; the others that are used are
//! tried on live objects. Anything that does not fit gives one line that says what, and Coluber stays off.

use crate::layout::{self, DEBUG_OFFSETS};
use crate::raw::{Attached, CodeRef, FunctionRef, TypeRef};
use crate::{IS_DEBUG_BUILD, MINOR_VERSION, ffi};
use pyo3_ffi::PyObject;

/// `_Py_DebugOffsets`: cookie, version, whether threads are free.
const COOKIE: &[u8; 8] = b"xdebugpy";

/// Compares the layout in use with the running interpreter.
pub fn check_layout(py: Attached) -> Result<(), String> {
    let runtime = layout::runtime_address();
    // SAFETY: every supported CPython has at least the cookie, version and free-threaded fields there; later fields are
    // only read after these fit.
    unsafe {
        let running = (&raw const pyo3_ffi::Py_Version).read();
        let (major, minor) = (running >> 24, (running >> 16) & 0xff);
        if (major, minor) != (3, u64::from(MINOR_VERSION)) {
            return Err(format!("built for CPython 3.{MINOR_VERSION}, this is {major}.{minor}"));
        }
        if runtime.cast::<[u8; 8]>().read() != *COOKIE {
            return Err("the interpreter has no debug offsets to check its layout with".into());
        }
        let word = |offset: usize| runtime.add(offset).cast::<u64>().read();
        if word(8) != running {
            return Err(format!("the debug offsets are those of another version ({:#x})", word(8)));
        }
        if word(16) != 0 {
            return Err("free-threaded interpreters are not supported yet".into());
        }
        if pyo3_ffi::PySys_GetObject(c"gettotalrefcount".as_ptr()).is_null() == IS_DEBUG_BUILD {
            let built = if IS_DEBUG_BUILD { "a debug" } else { "a release" };
            return Err(format!("built for {built} build of CPython, this is the other kind"));
        }
        for (name, at, expected) in DEBUG_OFFSETS {
            if word(*at) != *expected {
                return Err(format!("{name} is {} in this interpreter, {expected} in {}", word(*at), layout::HEADERS));
            }
        }
        for (name, probe) in PROBES {
            if !probe(py) {
                pyo3_ffi::PyErr_Clear();
                return Err(format!("{name} does not look as in CPython {}", layout::HEADERS));
            }
        }
    }
    Ok(())
}

type Probe = unsafe fn(Attached) -> bool;

const PROBES: &[(&str, Probe)] = &[
    ("the table of small ints", small_ints),
    ("the table of characters", characters),
    ("the free lists", free_lists),
    ("the thread state", thread_state),
    ("a function object", function),
    ("a range object", range),
    ("an iterator", crate::iterators::are_laid_out_as_expected),
    ("the common constants", common_constants),
    ("a new class", new_class),
];

unsafe fn field<T>(object: *mut PyObject, offset: usize) -> T {
    // SAFETY: the callers pass offsets inside the object.
    unsafe { object.cast::<u8>().add(offset).cast::<T>().read() }
}

unsafe fn small_ints(_: Attached) -> bool {
    let last = layout::runtime::SMALL_POSITIVE - 1;
    // SAFETY: only compares addresses of new references.
    unsafe {
        [-layout::runtime::SMALL_NEGATIVE, 0, 1, last].into_iter().all(|value| {
            let object = pyo3_ffi::PyLong_FromLongLong(value);
            let same = Some(object) == layout::small_int(value);
            pyo3_ffi::Py_DECREF(object);
            same
        }) && {
            let object = pyo3_ffi::PyLong_FromLongLong(last + 1);
            let new = !crate::pool::is_immortal(object);
            pyo3_ffi::Py_DECREF(object);
            new
        }
    }
}

unsafe fn characters(_: Attached) -> bool {
    // SAFETY: only compares addresses; the objects are immortal.
    unsafe {
        [b'\0', b'a', 127, 128, 255].into_iter().all(|character| {
            let object = pyo3_ffi::PyUnicode_FromOrdinal(i32::from(character));
            let same = object == layout::latin1_character(character);
            pyo3_ffi::Py_DECREF(object);
            same
        }) && pyo3_ffi::PyTuple_New(0) == layout::empty_tuple()
            && pyo3_ffi::PyUnicode_FromStringAndSize(c"".as_ptr(), 0) == layout::empty_string()
    }
}

unsafe fn free_lists(py: Attached) -> bool {
    // SAFETY: an object that was just freed is the head of its free list; it is not read.
    unsafe {
        let interpreter = py.thread_state().interpreter();
        let pushed = |offset: usize, object: *mut PyObject| {
            let head = interpreter.add(offset + layout::freelist::HEAD).cast::<*mut PyObject>();
            let size = interpreter.add(offset + layout::freelist::SIZE).cast::<isize>();
            let before = size.read();
            pyo3_ffi::Py_DECREF(object);
            head.read() == object && size.read() == before + 1
        };
        pushed(layout::interpreter_state::FREELIST_FLOATS, pyo3_ffi::PyFloat_FromDouble(1.5))
            && pushed(layout::interpreter_state::FREELIST_INTS, pyo3_ffi::PyLong_FromLong(1 << 29))
    }
}

unsafe fn thread_state(py: Attached) -> bool {
    // SAFETY: an attached thread has a thread state.
    unsafe {
        let state = py.thread_state();
        let limit = state.0.add(layout::thread_state::PY_RECURSION_LIMIT).cast::<i32>().read();
        let here = &raw const limit as usize;
        state.interpreter() == pyo3_ffi::PyInterpreterState_Get().cast()
            && limit == pyo3_ffi::Py_GetRecursionLimit()
            && (0..=limit).contains(&state.py_recursion_remaining())
            && state.datastack_top() <= state.datastack_limit()
            && state.c_stack_soft_limit() < here
            && here < state.c_stack_top()
            && state.current_exception().is_null()
    }
}

unsafe fn function(_: Attached) -> bool {
    // SAFETY: all objects are new references that are given back.
    unsafe {
        let code = pyo3_ffi::PyCode_NewEmpty(c"file".as_ptr(), c"name".as_ptr(), 7).cast::<PyObject>();
        let globals = pyo3_ffi::PyDict_New();
        if code.is_null() || globals.is_null() {
            return false;
        }
        let object = ffi::PyFunction_New(code, globals);
        if object.is_null() {
            return false;
        }
        let (function, reference) = (FunctionRef(object.cast()), CodeRef(code.cast()));
        let fits = function.code() == reference
            && function.globals() == globals
            && function.vectorcall().is_some()
            && function.version() == 0
            && reference.first_line() == 7
            && reference.unit_count() > 0
            && crate::text::to_string(reference.filename()).as_deref() == Some("file")
            && crate::text::to_string(reference.qualname()).as_deref() == Some("name")
            && function.closure().is_null();
        pyo3_ffi::Py_DECREF(object);
        pyo3_ffi::Py_DECREF(globals);
        pyo3_ffi::Py_DECREF(code);
        fits
    }
}

unsafe fn range(_: Attached) -> bool {
    // SAFETY: all objects are new references that are given back.
    unsafe {
        let arguments = [2, 9, 3].map(|value| layout::small_int(value).expect("a cached int"));
        let class = (&raw mut pyo3_ffi::PyRange_Type).cast::<PyObject>();
        let object = pyo3_ffi::PyObject_Vectorcall(class, arguments.as_ptr(), 3, std::ptr::null_mut());
        if object.is_null() {
            return false;
        }
        let fits = field::<*mut PyObject>(object, layout::range::START) == arguments[0]
            && field::<*mut PyObject>(object, layout::range::STOP) == arguments[1]
            && field::<*mut PyObject>(object, layout::range::STEP) == arguments[2]
            && Some(field::<*mut PyObject>(object, layout::range::LENGTH)) == layout::small_int(3);
        let iterator = pyo3_ffi::PyObject_GetIter(object);
        let fits = fits
            && !iterator.is_null()
            && field::<i64>(iterator, layout::range_iterator::START) == 2
            && field::<i64>(iterator, layout::range_iterator::STEP) == 3
            && field::<i64>(iterator, layout::range_iterator::LEN) == 3;
        pyo3_ffi::Py_XDECREF(iterator);
        pyo3_ffi::Py_DECREF(object);
        fits
    }
}

unsafe fn common_constants(py: Attached) -> bool {
    // SAFETY: the first entry is compared, not read.
    unsafe {
        let table = py.thread_state().interpreter().add(layout::interpreter_state::COMMON_CONSTS);
        table.cast::<*mut PyObject>().read() == pyo3_ffi::PyExc_AssertionError
    }
}

unsafe fn new_class(py: Attached) -> bool {
    // SAFETY: a small class and an instance are made and given back; no Python code runs.
    unsafe {
        let class = pyo3_ffi::PyObject_CallFunction(
            (&raw mut pyo3_ffi::PyType_Type).cast(),
            c"s(){}".as_ptr(),
            c"coluber_layout_check".as_ptr(),
        );
        if class.is_null() {
            return false;
        }
        let instance = pyo3_ffi::PyObject_CallNoArgs(class);
        let mut fits = !instance.is_null();
        if fits {
            let value = pyo3_ffi::Py_None();
            fits = pyo3_ffi::PyObject_SetAttrString(instance, c"first".as_ptr(), value) == 0;
            let reference = TypeRef(class.cast());
            let values = reference.basic_size() as usize;
            fits = fits
                && reference.flags() & layout::type_flags::INLINE_VALUES != 0
                && crate::pool::shared_keys(reference).1 == ["first"]
                && field::<u8>(instance, values + layout::dict_values::VALID) == 1
                && field::<u8>(instance, values + layout::dict_values::SIZE) == 1
                && field::<*mut PyObject>(instance, values + layout::dict_values::VALUES) == value
                && instance.cast::<u8>().offset(layout::instance::MANAGED_DICT).cast::<usize>().read() == 0;
            pyo3_ffi::Py_DECREF(instance);
            // A version that was just given stands in the table.
            let table = py.thread_state().interpreter().add(layout::interpreter_state::TYPE_VERSION_CACHE);
            ffi::PyUnstable_Type_AssignVersionTag(class.cast());
            let slot = reference.version() as usize % layout::interpreter_state::TYPE_VERSION_CACHE_SIZE;
            fits = fits && reference.version() != 0 && table.cast::<TypeRef>().add(slot).read() == reference;
        }
        pyo3_ffi::Py_DECREF(class);
        fits
    }
}
