//! IR to machine code, with Cranelift. The only crate that knows Cranelift.
//!
//! The back end translates, it never decides: every speculation is already an op with a frame state. What it needs to
//! know of the interpreter's memory layout comes in as data ([`Target`]), so that the crate links no interpreter.
//!
//! * [`target`]: what comes in and goes out;
//! * `lower`: the driver and one arm per op;
//! * `exits`: leaving compiled code;
//! * `objects`: tuples and instances made with their contents;
//! * `references`: reference counts, boxes, unboxing;
//! * `slots`: what the memory of local slots holds;
//! * `calls`: helpers and Python calls, what must be in memory around them.
//!
//! Rules from measurement: `opt_level=none` with the backtracking allocator (the IR's own passes optimise), cold blocks
//! for everything rare.
#![forbid(unsafe_code)]

mod calls;
mod compile;
mod containers;
mod entry;
mod exits;
mod generators;
mod integers;
mod lower;
mod objects;
mod overwrites;
mod packed;
mod python_calls;
mod references;
mod slots;
pub mod target;

pub use compile::{Failure, Options, compile};
pub use target::{Addresses, CompiledCode, Layout, NativeAddresses, ProfileSite, RecordOffsets, Target, UnitAddresses};
