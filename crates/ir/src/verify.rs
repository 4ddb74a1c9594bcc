//! Checks that a function is well formed: what every pass may assume and must keep.
//!
//! [`verify`] runs after the front end and after each pass in debug and test builds. An error is a bug of ours, never of
//! the Python program. The checks, in this order (each group only if the ones before found nothing):
//!
//! * *structure*: blocks end with their only terminator, every value has one definition, objects and helpers' arguments
//!   are there, ops occur in the phases and places they may, exceptions are caught where they are led to (`raises`);
//! * *types*: operands are what ops take, block arguments fit parameters;
//! * *dominance*: definitions dominate uses, frame states included;
//! * *states*: frame states are well formed; an exit does not repeat an instruction that already ran Python code;
//! * *balance*: every reference is given away exactly once on every path, and exits name all that are held
//!   ([`balance`] has the rules);
//! * *borrows*: no borrowed reference is used behind an op that may have released the object ([`borrows`]);
//! * *facts*: loads and stores by offset stand behind guards of the object's class, with nothing in between that may
//!   change it ([`facts`], design 3.9).
//!
//! Blocks that cannot be reached are only checked for structure.

pub mod balance;
pub mod borrows;
pub mod facts;
mod flow;
mod raises;
mod states;
mod structure;
mod types;

use crate::{Block, Cfg, FrameStateId, Function, Inst};
use std::fmt;

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entity {
    /// The function as a whole.
    Function,
    /// A block.
    Block(Block),
    /// An instruction.
    Inst(Inst),
    /// A frame state.
    State(FrameStateId),
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// What it is about.
    pub entity: Entity,
    /// That, printed.
    pub line: String,
    /// What is wrong.
    pub message: String,
}

/// All that is wrong with a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyErrors(pub Vec<VerifyError>);

impl fmt::Display for VerifyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.0 {
            writeln!(f, "{}\n    {}", error.message, error.line)?;
        }
        Ok(())
    }
}

impl std::error::Error for VerifyErrors {}

/// Checks a function.
pub fn verify(function: &Function) -> Result<(), VerifyErrors> {
    let mut report = Report { function, errors: Vec::new() };
    structure::check(&mut report);
    report.finish()?;
    types::check(&mut report);
    report.finish()?;
    let cfg = Cfg::new(function);
    structure::check_dominance(&cfg, &mut report);
    report.finish()?;
    states::check(&cfg, &mut report);
    let releases = balance::check(&cfg, &mut report);
    report.finish()?;
    borrows::check(&cfg, &releases, &mut report);
    facts::check(&cfg, &mut report);
    report.finish()
}

/// The errors found so far.
struct Report<'a> {
    function: &'a Function,
    errors: Vec<VerifyError>,
}

impl<'a> Report<'a> {
    fn inst(&mut self, inst: Inst, message: impl Into<String>) {
        self.add(Entity::Inst(inst), self.function.inst_text(inst), message.into());
    }

    fn block(&mut self, block: Block, message: impl Into<String>) {
        self.add(Entity::Block(block), self.function.block_text(block), message.into());
    }

    fn state(&mut self, state: FrameStateId, message: impl Into<String>) {
        self.add(Entity::State(state), self.function.state_text(state), message.into());
    }

    fn function(&mut self, message: impl Into<String>) {
        self.add(Entity::Function, format!("fn {}", self.function.name), message.into());
    }

    fn add(&mut self, entity: Entity, line: String, message: String) {
        let error = VerifyError { entity, line, message };
        // A block that is looked at twice says things twice.
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Ends a group of checks.
    fn finish(&mut self) -> Result<(), VerifyErrors> {
        if self.errors.is_empty() { Ok(()) } else { Err(VerifyErrors(std::mem::take(&mut self.errors))) }
    }
}
