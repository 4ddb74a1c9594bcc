//! Exit tables: frame states in the form the runtime decodes when compiled code is left.
//!
//! The back end makes one [`Exit`] for each (frame state, reason) that an instruction can leave by. Before it leaves,
//! compiled code puts every value that is not a constant into the unit's exit buffer (an array of 64-bit words); the
//! exit says which word is what. The runtime makes interpreter frames from it, outermost first.
//!
//! References: an [`ExitValue::Object`] with `owned` carries one reference for all its occurrences in the exit: the
//! first place that is filled takes it, the others add one. A borrowed one adds a reference in each place.

use crate::Resume;
use coluber_bytecode::ObjectId;
use std::sync::Arc;

/// Why an exit is taken, which decides what the runtime does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitKind {
    /// A guard failed: the interpreter resumes at the state.
    Guard,
    /// An exception is set: it is raised at the state's instruction.
    Raise,
}

/// Where a slot's value comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ExitValue {
    /// Unbound or NULL.
    Null,
    /// An object of the unit's pool.
    Constant(ObjectId),
    /// An object pointer (or NULL) in a word of the buffer.
    Object {
        /// Word of the buffer.
        word: u32,
        /// Whether compiled code held a reference.
        owned: bool,
    },
    /// An integer in a word of the buffer, to be boxed.
    Int(u32),
    /// A constant integer, to be boxed.
    IntConstant(i64),
    /// A float in a word of the buffer, to be boxed.
    Float(u32),
    /// A constant float (bits), to be boxed.
    FloatConstant(u64),
    /// A truth value (0 or 1) in a word of the buffer.
    Bool(u32),
    /// A constant truth value.
    BoolConstant(bool),
    /// An integer in a word of the buffer, to be stored as a tagged integer.
    TaggedInt(u32),
    /// A constant tagged integer.
    TaggedIntConstant(i64),
    /// A range iterator (in word `object`) whose fields are to be set first.
    RangeIterator {
        /// Word with the iterator object.
        object: u32,
        /// Whether compiled code held a reference.
        owned: bool,
        /// Word with the next value.
        start: u32,
        /// Word with the number of values left.
        length: u32,
    },
    /// A list or tuple iterator whose index is to be set first.
    SequenceIterator {
        /// Word with the iterator object.
        object: u32,
        /// Whether compiled code held a reference.
        owned: bool,
        /// Word with the next index.
        index: u32,
    },
}

/// One frame to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct ExitFrame {
    /// Index of the code in the snapshot.
    pub code: usize,
    /// The function object of an inlined activation; `None` for the unit's own frame.
    pub function: Option<ObjectId>,
    /// Where the interpreter goes on.
    pub resume: Resume,
    /// Local slots.
    pub locals: Vec<ExitValue>,
    /// Operand stack, bottom first.
    pub stack: Vec<ExitValue>,
}

/// One exit.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// What the runtime has to do.
    pub kind: ExitKind,
    /// Name of the op (or of the `ExitReason`) that leaves: counted and shown.
    pub reason: &'static str,
    /// Whether leaving here says nothing against the code (safe points).
    pub benign: bool,
    /// Word of the buffer with the guilty object, for the profile.
    pub guilty: Option<u32>,
    /// The frames, innermost first; the last one is the unit's own. Exits of one state share the list, and states with
    /// the same caller share the caller's frames: there is an exit for nearly every instruction.
    pub frames: Arc<[Arc<ExitFrame>]>,
}

/// All exits of a unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExitTable {
    /// Exits by id.
    pub exits: Vec<Exit>,
    /// Size of the exit buffer in words.
    pub buffer_words: u32,
}
