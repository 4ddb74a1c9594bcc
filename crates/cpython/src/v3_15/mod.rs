//! Tables of CPython 3.15, generated from its headers by `regen/`.

/// Offsets and sizes of private structures.
#[cfg_attr(Py_DEBUG, path = "layout_debug.rs")]
#[cfg_attr(not(Py_DEBUG), path = "layout_release.rs")]
pub mod layout;

/// Opcode numbers and their tables.
pub mod opcodes;
