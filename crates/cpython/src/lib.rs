//! The only crate that knows CPython's private layout and opcode numbers.
//!
//! It is compiled for one minor version of CPython and one kind of build (release or debug) at a time: the interpreter
//! that `PYO3_PYTHON` names at build time. The tables of each version live in `v3_14/` and `v3_15/`, generated from the
//! installed headers by `regen/`; [`current`] is the one in use. Everything else here is written once and says what
//! differs with `cfg(Py_3_15)`.
//!
//! What is where:
//! - [`layout`]: byte offsets, sizes and constants that the runtime and compiled code use,
//! - [`raw`]: pointers to interpreter structures with accessors,
//! - [`ffi`]: functions that CPython exports but does not document.
//!
//! Invariant: everything that touches the interpreter's state needs an [`Attached`] token or is `unsafe` and asks for
//! an attached thread.

#[cfg(not(any(Py_3_15, Py_LIMITED_API, Py_GIL_DISABLED)))]
#[path = "v3_14/mod.rs"]
pub mod current;
#[cfg(all(Py_3_15, not(Py_GIL_DISABLED)))]
#[path = "v3_15/mod.rs"]
pub mod current;
#[cfg(Py_GIL_DISABLED)]
compile_error!("free-threaded builds are not supported yet");
#[cfg(not(Py_3_14))]
compile_error!("CPython 3.14 or 3.15 is needed");

pub mod arrays;
pub mod check;
pub mod decode;
pub mod differences;
mod feedback;
pub mod ffi;
pub mod hooks;
pub mod iterators;
pub mod layout;
pub mod natives;
pub mod pool;
pub mod raw;
pub mod snapshot;
pub mod text;
pub mod versions;

pub use pyo3_ffi as public_ffi;
pub use raw::{Attached, CodeRef, Frame, FunctionRef, StackRef, ThreadState, TypeRef};

/// Minor version that this was built for: 14 or 15.
pub const MINOR_VERSION: u8 = if cfg!(Py_3_15) { 15 } else { 14 };
/// Whether this was built for a debug build of CPython.
pub const IS_DEBUG_BUILD: bool = cfg!(Py_DEBUG);
