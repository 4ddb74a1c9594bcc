//! IR to machine code, with Cranelift. The only crate that knows Cranelift.
//!
//! The back end translates, it never decides: every speculation is already an op with a frame state. What it needs to
//! know of the interpreter's memory layout comes in as data ([`Target`]).
#![forbid(unsafe_code)]

mod target;

pub use target::{Addresses, CompiledCode, Layout, Target};
