//! The seam to what compiles.
//!
//! A strategy gets a snapshot and returns data: machine code with its exit table, or a bailout. It never touches code
//! memory, the interpreter or another strategy, and it runs on any thread. What it needs of the process comes in
//! [`Services`]. Nothing of this is on the path of compiled code.

use crate::Bailout;
use crate::dump::DumpSettings;
use crate::options::{Fault, ForcedExits, StrategyName};
use crate::policy::Reaction;
use crate::unit::UnitEntry;
use coluber_backend::{Addresses, CompiledCode, Target};
use coluber_bytecode::Snapshot;
use std::sync::Arc;

/// A setting of a strategy, for `explain` and help.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Name.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Its value.
    pub value: &'static str,
}

/// A unit as [`Strategy::consider`] sees it: before there is a snapshot.
#[derive(Clone, Debug)]
pub struct UnitView<'a> {
    /// `module.qualname`.
    pub name: &'a str,
    /// Source file.
    pub file: &'a str,
    /// Where it would be entered.
    pub entry: UnitEntry,
    /// Code units of its code object.
    pub code_units: usize,
    /// Versions compiled so far.
    pub versions: u32,
}

/// What a strategy wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Never compile it.
    Ignore,
    /// Ask again at so much more heat.
    Later(u32),
    /// Compile it.
    Compile,
}

/// The input of a compilation.
#[derive(Clone, Debug)]
pub struct CompileInput {
    /// Everything that may be asked about the unit.
    pub snapshot: Snapshot,
    /// Where the unit's objects are.
    pub addresses: Addresses,
    /// Which version this will be; the first is 1.
    pub version: u32,
}

/// The process, for a strategy.
pub struct Services {
    /// Helpers and layout of the interpreter.
    pub target: Target,
    /// What to dump.
    pub dump: DumpSettings,
    /// Exits to be forced.
    pub forced_exits: ForcedExits,
    /// Bad luck to be had on purpose.
    pub fault: Fault,
    /// Whether to verify the IR after every pass.
    pub verify: bool,
    /// How many optional passes to run at most.
    pub pass_limit: Option<usize>,
    /// Whether what the interpreter has never executed may be left out.
    pub prune: bool,
    /// Whether handlers are compiled that no exception was seen to reach.
    pub all_handlers: bool,
    /// Numbers of the first and the last unit to compile.
    pub units: Option<(u64, u64)>,
}

/// The output of a compilation.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Code and exit table.
    pub code: CompiledCode,
    /// Bytecode instructions that went in, inlined ones included.
    pub bytecodes: u64,
}

/// A version whose guards failed often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitEvent<'a> {
    /// Name of the reason of the exit that was taken most often.
    pub reason: &'a str,
    /// How often that one was taken in this version.
    pub count: u64,
    /// The version, the first is 1.
    pub version: u32,
    /// Entries of the version.
    pub entries: u64,
    /// Exits of the version, benign ones not counted.
    pub exits: u64,
}

/// A way to compile.
pub trait Strategy: Send + Sync {
    /// The value of the option.
    fn name(&self) -> &'static str;

    /// One line for people.
    fn doc(&self) -> &'static str;

    /// What can be known about how it is set up.
    fn settings(&self) -> &[Setting] {
        &[]
    }

    /// Whether a hot unit is wanted.
    fn consider(&self, unit: &UnitView<'_>) -> Decision;

    /// Compiles. A panic is caught outside and becomes a bailout.
    fn compile(&self, input: &CompileInput, services: &Services) -> Result<Artifact, Bailout>;

    /// What to do when a guard failed often; `None` leaves it to the policy.
    fn on_exit(&self, _event: &ExitEvent<'_>) -> Option<Reaction> {
        None
    }

    /// The ability to enter running loops, if the strategy has it.
    fn osr(&self) -> Option<&dyn Osr> {
        None
    }
}

/// Entering running loops.
pub trait Osr {
    /// Whether a hot loop is wanted.
    fn consider_loop(&self, unit: &UnitView<'_>) -> Decision;
}

/// Asks a strategy about a unit, by the ability its entry needs.
pub fn consider(strategy: &dyn Strategy, unit: &UnitView<'_>) -> Decision {
    match unit.entry {
        UnitEntry::Function => strategy.consider(unit),
        UnitEntry::Loop(_) => strategy.osr().map_or(Decision::Ignore, |osr| osr.consider_loop(unit)),
    }
}

/// The strategies there are.
#[derive(Clone, Default)]
pub struct Registry(Vec<Arc<dyn Strategy>>);

impl Registry {
    /// From a list; names must be unique.
    pub fn new(strategies: Vec<Arc<dyn Strategy>>) -> Self {
        Registry(strategies)
    }

    /// Names, in order of registration.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|strategy| strategy.name()).collect()
    }

    /// The strategy of an option's value.
    pub fn get(&self, name: &StrategyName) -> Option<Arc<dyn Strategy>> {
        self.0.iter().find(|strategy| strategy.name() == name.0).cloned()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Strategy> {
        self.0.iter().map(|strategy| &**strategy)
    }
}
