//! Deciding not to compile, and why.

use std::fmt;

/// Why a unit is not compiled. The name is the counter's key and what `explain` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BailoutReason {
    /// A part of the pipeline does not exist in this build.
    NotBuilt(&'static str),
    /// The strategy does not want the unit.
    Ignored,
    /// The front end, by the name of its reason.
    Frontend(String),
    /// A pass, by its name.
    Pass(String),
    /// The back end, by its message.
    Backend(String),
    /// No snapshot could be taken, by its message.
    Snapshot(String),
    /// The code cap is reached, or executable memory is refused.
    CodeMemory(String),
    /// A fact changed between the snapshot and the installation.
    Invalidated,
    /// The compiler has had all memory that it may have, or the system has no more.
    Memory,
    /// Very much waits for the compiler already; what waits keeps its objects alive.
    Busy,
    /// Another tool watches this code.
    OtherTool,
    /// The code is larger than the strategy's limit: actual and limit, in bytecode instructions.
    TooLarge {
        /// Instructions of the unit.
        instructions: usize,
        /// The limit.
        limit: usize,
    },
    /// The option `units` leaves it out.
    LeftOut,
    /// The unit was compiled as often as is allowed and did not pay.
    DoesNotPay,
    /// A bug in the compiler: the message of the panic or of the verifier.
    Internal(String),
}

impl BailoutReason {
    /// Key of the counter. One word or a few, without the unit's own facts.
    pub fn name(&self) -> String {
        match self {
            BailoutReason::NotBuilt(part) => format!("not built: {part}"),
            BailoutReason::Ignored => "ignored".into(),
            BailoutReason::Frontend(reason) => reason.clone(),
            BailoutReason::Pass(pass) => format!("pass {pass}"),
            BailoutReason::Backend(_) => "back end".into(),
            BailoutReason::Snapshot(_) => "snapshot".into(),
            BailoutReason::CodeMemory(_) => "code memory".into(),
            BailoutReason::Invalidated => "invalidated while compiling".into(),
            BailoutReason::Memory => "out of memory".into(),
            BailoutReason::Busy => "the compiler is busy".into(),
            BailoutReason::OtherTool => "watched by another tool".into(),
            BailoutReason::TooLarge { .. } => "too large".into(),
            BailoutReason::LeftOut => "left out".into(),
            BailoutReason::DoesNotPay => "does not pay".into(),
            BailoutReason::Internal(_) => "internal error".into(),
        }
    }

    /// What the user has to be told, if it is not about this unit alone.
    pub fn notice(&self) -> Option<&'static str> {
        match self {
            BailoutReason::Internal(_) => Some("a bug in Coluber, please report it"),
            BailoutReason::Memory => Some("memory is short, hot code stays interpreted"),
            BailoutReason::CodeMemory(_) => Some("there is no room for more code, hot code stays interpreted"),
            _ => None,
        }
    }

    /// Whether the unit may be tried again when it is hot again: the reason was of the moment, not of the code.
    pub fn is_passing(&self) -> bool {
        matches!(self, BailoutReason::Invalidated | BailoutReason::OtherTool | BailoutReason::Busy)
    }
}

/// A unit will not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bailout {
    /// Why.
    pub reason: BailoutReason,
    /// Code unit of the instruction at fault, if there is one.
    pub offset: Option<u32>,
}

impl Bailout {
    /// A bailout that no single instruction is to blame for.
    pub fn new(reason: BailoutReason) -> Self {
        Bailout { reason, offset: None }
    }

    /// A bailout because of the instruction at `offset`.
    pub fn at(reason: BailoutReason, offset: u32) -> Self {
        Bailout { reason, offset: Some(offset) }
    }
}

impl fmt::Display for Bailout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason.name())?;
        match &self.reason {
            BailoutReason::Backend(message)
            | BailoutReason::Snapshot(message)
            | BailoutReason::CodeMemory(message)
            | BailoutReason::Internal(message) => write!(f, ": {message}")?,
            BailoutReason::TooLarge { instructions, limit } => {
                write!(f, ": {instructions} instructions, the limit is {limit}")?;
            }
            _ => {}
        }
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        Ok(())
    }
}
