//! Code memory, the doors into compiled code, the ways out of it, and the functions it calls.
//!
//! In reading order:
//! - [`unit`]: the record of a unit; what the back end is told of the process,
//! - [`arena`], [`stub`]: memory for machine code,
//! - [`doors`], [`enter`]: opening and closing doors, and what happens when somebody goes through,
//! - [`links`], [`callees`]: calls of functions out of compiled code,
//! - [`generators`], [`creation`]: resuming generators and coroutines, making them,
//! - [`frames`]: interpreter frames,
//! - [`plan`], [`exits`], [`virtuals`]: leaving compiled code; [`catch`]: exceptions that stay in it,
//! - [`helpers`]: functions that compiled code calls; [`preserving`]: thunks for its rare calls,
//! - [`shortage`]: no memory for a number,
//! - [`observers`]: making the locals of running compiled code visible,
//! - [`tools`]: other tools that listen to a code object,
//! - [`invariants`], [`retire`]: what units assume, and how they end,
//! - [`gil`]: state under the GIL; [`address_filter`]: what the function watcher need not look up,
//! - [`ffi_extra`]: interpreter functions that `coluber-cpython` does not declare.
//!
//! The contract between compiled code and this crate is in `ARCHITECTURE.md`.

pub mod address_filter;
pub mod arena;
pub mod callees;
pub mod catch;
pub mod creation;
pub mod doors;
pub mod enter;
pub mod exits;
pub mod ffi_extra;
pub mod frames;
pub mod generators;
pub mod gil;
pub mod helpers;
pub mod invariants;
pub mod links;
pub mod observers;
pub mod plan;
pub mod preserving;
mod profile;
pub mod retire;
pub mod shortage;
pub mod stub;
pub mod tools;
pub mod unit;
pub mod virtuals;
