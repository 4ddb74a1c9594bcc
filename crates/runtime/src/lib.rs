//! Code memory, the doors into compiled code, the ways out of it, and the functions it calls.
//!
//! In reading order:
//! - [`arena`]: memory for machine code,
//! - [`helpers`]: functions that compiled code calls,
//! - [`ffi_extra`]: interpreter functions that `coluber-cpython` does not declare.
//!
//! The contract between compiled code and this crate is in `ARCHITECTURE.md`.

pub mod arena;
pub mod ffi_extra;
pub mod helpers;
