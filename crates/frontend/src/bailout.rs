//! Why a unit is not compiled.

use coluber_bytecode::Offset;

/// A reason, for counters and people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BailoutReason {
    /// A loop in a generator, an asynchronous generator, or one of an unknown form.
    Generator,
    /// A generator with `yield from`: each item would pass through every level of a chain, which the interpreter does faster.
    YieldFrom,
    /// An opcode without a translation.
    Opcode(&'static str),
    /// Control flow with two ways into a loop, or too many copies of it.
    ControlFlow,
    /// More instructions than [`crate::Settings::max_instructions`].
    TooLarge,
    /// Types in loops did not settle.
    TooManyAttempts,
    /// The entry is not where an instruction starts.
    Entry,
    /// A loop over something else than a list or tuple that the interpreter walks by an index, or a loop in a handler.
    TaggedInt,
    /// The code's shape contradicts what CPython's compiler emits.
    Malformed(&'static str),
}

impl std::fmt::Display for BailoutReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BailoutReason::Generator => write!(f, "generator"),
            BailoutReason::YieldFrom => write!(f, "yield from"),
            BailoutReason::Opcode(name) => write!(f, "opcode {name}"),
            BailoutReason::ControlFlow => write!(f, "control flow"),
            BailoutReason::TooLarge => write!(f, "too large"),
            BailoutReason::TooManyAttempts => write!(f, "types in loops do not settle"),
            BailoutReason::Entry => write!(f, "entry is no instruction"),
            BailoutReason::TaggedInt => write!(f, "tagged integer on the operand stack"),
            BailoutReason::Malformed(what) => write!(f, "malformed code: {what}"),
        }
    }
}

/// The decision not to compile a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bailout {
    /// Why.
    pub reason: BailoutReason,
    /// Where, in code units.
    pub offset: Offset,
}

impl Bailout {
    /// A bailout at an offset.
    pub fn new(reason: BailoutReason, offset: Offset) -> Bailout {
        Bailout { reason, offset }
    }
}
