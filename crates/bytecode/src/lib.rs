//! Version-neutral bytecode: what the compiler sees of a code object.
//!
//! `coluber-cpython` decodes a code object of one CPython version into these types; `coluber-frontend` translates them
//! into IR. Neither raw pointers nor opcode numbers occur here: objects are [`ObjectId`]s into the snapshot's
//! [`ObjectTable`], offsets are code-unit indices, and everything that differs between CPython versions is either
//! expressed by a neutral [`Op`] or by a field of [`Code`] (for example [`Code::iterator_slots`]).
//!
//! Invariant: a snapshot is complete. The compiler never asks the interpreter anything after it was taken
//! (design 3.3), so it can run on another thread.
#![forbid(unsafe_code)]

mod instruction;
mod objects;
mod snapshot;

pub use instruction::*;
pub use objects::*;
pub use snapshot::*;
