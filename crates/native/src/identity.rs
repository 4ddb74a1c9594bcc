//! Names and identities of what runs.

use coluber_cpython::{CodeRef, Frame, FunctionRef, text};
use coluber_engine::UnitIdentity;
use coluber_engine::unit::{UnitEntry, UnitKey};
use pyo3::ffi;

/// The key of the unit that `frame` runs, entered at `entry`.
///
/// # Safety
/// `frame` must be a valid frame with a code object, and the thread attached.
pub unsafe fn key(frame: Frame, entry: UnitEntry) -> UnitKey {
    // SAFETY: promised by the caller.
    unsafe {
        UnitKey {
            code: frame.code().0 as u64,
            globals: frame.globals() as u64,
            builtins: frame.builtins() as u64,
            entry,
        }
    }
}

/// The key of the unit of a function.
///
/// # Safety
/// `function` must be a Python function, and the thread attached.
pub unsafe fn key_of_function(function: FunctionRef) -> UnitKey {
    // SAFETY: promised by the caller.
    unsafe {
        UnitKey {
            code: function.code().0 as u64,
            globals: function.globals() as u64,
            builtins: function.builtins() as u64,
            entry: UnitEntry::Function,
        }
    }
}

/// What people call a code object that runs with these globals.
///
/// # Safety
/// The pointers must be valid, `globals` a dict, and the thread attached.
pub unsafe fn describe(code: CodeRef, globals: *mut ffi::PyObject) -> UnitIdentity {
    // SAFETY: promised by the caller. The look-up is by an exact str in a module's dict, so it runs no Python code as
    // long as the keys are strs; the name is borrowed and read at once.
    unsafe {
        let module = if !globals.is_null() && ffi::PyDict_Check(globals) != 0 {
            let name = ffi::PyDict_GetItemString(globals, c"__name__".as_ptr());
            text::to_string(name)
        } else {
            None
        };
        let qualname = text::to_string(code.qualname()).unwrap_or_default();
        UnitIdentity {
            name: match module {
                Some(module) => format!("{module}.{qualname}"),
                None => qualname,
            },
            file: text::to_string(code.filename()).unwrap_or_default(),
            line: u32::try_from(code.first_line()).unwrap_or(0),
            code_units: code.unit_count(),
        }
    }
}
