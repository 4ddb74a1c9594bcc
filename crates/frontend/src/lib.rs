//! From a snapshot to IR.
//!
//! [`translate`] interprets bytecode abstractly, block by block in reverse post order, and emits IR for what each
//! instruction does. Speculation is decided here, from feedback, live values and the exit profile: what the front end
//! emits is already typed and unboxed where it can be. The parts, in reading order:
//!
//! * [`graph`]: bytecode blocks, loops, peeled first iterations;
//! * [`state`]: which SSA value stands in which slot;
//! * [`translator`]: blocks, edges, joins, loop headers, frame states, references;
//! * `locals`: locals whose object identity no instruction can observe;
//! * `generators`: where generators are resumed and suspended;
//! * `operators`: operators of user-defined classes;
//! * `handlers`: ways of exceptions to their handlers; `quiet`: handlers for which no exception is made;
//! * `walks`: loops over `enumerate`, `zip`, dicts and other builtin iterators;
//! * `loop_targets`: whether the targets of a loop keep what it gives them;
//! * `trials`: generator expressions in their consumers' code; `consumers`: what takes their items; `plain`: their operators;
//! * `polymorphic`: a path per class where several were seen;
//! * `instructions`, `numbers`, `attributes`, `calls`, `iteration`, `sequences`: what each instruction becomes.
//!
//! A loop header needs types of values before the loop body has been seen. The front end assumes those of the entry;
//! where a back-edge brings something else, the assumption is weakened and the unit translated again. Assumptions only
//! ever get weaker, so this ends.
#![forbid(unsafe_code)]

mod attributes;
mod bailout;
mod bound;
mod callees;
mod calls;
mod closures;
mod consumers;
mod direct;
mod entry;
mod generators;
pub mod graph;
mod handlers;
mod instances;
mod instructions;
mod intrinsics;
mod iteration;
mod known_class;
mod liveness;
mod locals;
mod loop_targets;
mod names;
mod natives;
mod numbers;
mod operators;
mod packed;
mod paths;
mod plain;
mod polymorphic;
mod quiet;
mod quiet_natives;
mod ranges;
mod sequences;
mod slices;
pub mod state;
mod translator;
mod trials;
mod walks;

pub use bailout::{Bailout, BailoutReason};

use coluber_bytecode::Snapshot;
use coluber_ir::Function;
use translator::{Assumptions, Translator};

/// Which exception handlers are compiled; elsewhere an exception leaves compiled code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handlers {
    /// Where the exit profile has exceptions.
    Seen,
    /// All.
    All,
}

/// What the front end may do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Use feedback: guards, unboxed values, invariants.
    pub speculate: bool,
    /// Translate callees in line.
    pub inline: bool,
    /// Peel the first iteration of loops.
    pub peel: bool,
    /// Leave out what the interpreter has never executed: reaching it is an exit.
    pub prune: bool,
    /// An object of a class not seen at a polymorphic access leaves, for the next version to know the class.
    pub learn_classes: bool,
    /// Which exception handlers are compiled.
    pub handlers: Handlers,
    /// Most bytecode instructions translated for one unit, copies by peeling and inlining counted.
    pub max_instructions: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            speculate: true,
            inline: true,
            peel: true,
            prune: false,
            learn_classes: true,
            handlers: Handlers::Seen,
            max_instructions: 6_000,
        }
    }
}

/// How often a unit is translated with weaker assumptions before it is given up.
const MAX_ATTEMPTS: usize = 40;

/// Translates a unit.
///
/// # Errors
/// A [`Bailout`] says why the unit is not compiled and at which bytecode offset.
pub fn translate(snapshot: &Snapshot, settings: &Settings) -> Result<Function, Bailout> {
    let mut assumptions = Assumptions::default();
    let mut attempts = 0;
    // Attempts that find resume points of a generator settle, too.
    while attempts < MAX_ATTEMPTS + assumptions.resume_points.len() {
        let translator = Translator::new(snapshot, settings, &mut assumptions);
        if let Some(function) = translator.run()? {
            return Ok(function);
        }
        attempts += 1;
    }
    Err(Bailout::new(BailoutReason::TooManyAttempts, 0))
}
