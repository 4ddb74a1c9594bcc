//! The Python module `coluber._native`: wires the engine, the strategies and the runtime to an interpreter.
//!
//! - [`session`]: what exists between `enable()` and `disable()`,
//! - [`start`]: options, checks, and taking the interpreter's hooks,
//! - [`sampler`]: the thread that asks the program, now and then, what it is doing,
//! - [`heat`]: what a sample or a counted event says,
//! - [`monitoring`]: calls and back-edges counted by `sys.monitoring`,
//! - [`point`]: which places of a code object can be entered,
//! - [`road`]: snapshot, compile, install, and out of use again,
//! - [`memory`]: the allocator,
//! - [`threads`]: threads that no signal reaches, and forks,
//! - [`report`]: what people ask for.
//!
//! Invariant: the session's lock is only taken while attached, and never held across a call that may run Python code or
//! release the GIL. So it is never waited for.

mod heat;
mod identity;
mod memory;
mod monitoring;
mod point;
mod report;
mod road;
mod sampler;
mod session;
mod start;
mod threads;

use pyo3::prelude::*;

/// The compiled library of Coluber. Private: use the functions of `coluber`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::report::{explain, help, is_compiled, options, reset, stats, status, unit_facts};
    #[pymodule_export]
    use super::start::{disable, enable, pause, resume};
}
