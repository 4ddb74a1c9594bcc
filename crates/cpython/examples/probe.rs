//! A library that `tests/probe.py` loads inside an interpreter (through `ctypes.PyDLL`, which keeps the thread attached)
//! to compare what this crate reads with what the interpreter's own modules say.

use coluber_cpython::decode::decode;
use coluber_cpython::pool::ObjectPool;
use coluber_cpython::raw::{Attached, CodeRef};
use pyo3_ffi::PyObject;

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
        let mut out = format!(
            "code\t{}\t{}\t{}\t{}\n",
            decoded.name, decoded.slot_count, decoded.stack_size, decoded.first_line
        );
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
