//! What to compile, when, how, and what became of it; without knowing the interpreter.
//!
//! In comes heat ([`Engine::heat`]), exits and invalidations, all as opaque numbers and names; out go compile jobs
//! and, from them, artifacts. The native module supplies what needs the interpreter: snapshots, threads, installing.
//!
//! - [`options`]: THE table of options,
//! - [`stats`]: THE table of counters,
//! - [`unit`]: the life of one unit, a small state machine,
//! - [`policy`]: the numbers behind every decision,
//! - [`strategy`]: the seam to what compiles,
//! - [`queue`]: compiling beside the program, or at once,
//! - [`engine`]: the table of units that ties these together,
//! - [`dump`], [`log`]: what people see.
//!
//! Invariants: no strategy is named here; nothing here calls into the interpreter, so the engine's lock can be held
//! while the GIL is.
#![forbid(unsafe_code)]

pub mod bailout;
pub mod dump;
pub mod engine;
pub mod log;
pub mod memory;
pub mod options;
pub mod policy;
pub mod queue;
pub mod stats;
pub mod strategy;
pub mod unit;

pub use bailout::{Bailout, BailoutReason};
pub use engine::{Engine, HeatAction, UnitIdentity};
pub use log::{Log, Topic};
pub use options::Options;
pub use policy::Policy;
pub use stats::{Counter, Stats};
pub use strategy::{Artifact, CompileInput, Decision, Registry, Services, Strategy, UnitView};
pub use unit::{State, Unit, UnitEntry, UnitId, UnitKey};
