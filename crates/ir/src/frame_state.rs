//! Frame states: what the interpreter would see at a point of the unit.
//!
//! A state names, for one (possibly inlined) activation of a code object, the instruction the interpreter has to
//! resume at, the value of every local slot and the operand stack; an inlined activation also names its caller's state.
//! States live in a side table of the function; instructions refer to them by id. Values in them may be unboxed.

use crate::Value;
use coluber_bytecode::{ObjectId, Offset};
use cranelift_entity::entity_impl;

/// Id of a frame state in its function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameStateId(u32);
entity_impl!(FrameStateId, "fs");

/// How the interpreter goes on in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resume {
    /// Executes the instruction at `start` (whose opcode, behind its `EXTENDED_ARG`s, is at `offset`).
    At {
        /// Code unit the interpreter resumes at.
        start: Offset,
        /// Code unit of the opcode: what a traceback names if the instruction raises.
        offset: Offset,
    },
    /// Waits for the inlined callee entered at `offset`; its result is pushed, then `next` is executed.
    PushResult {
        /// Code unit of the calling opcode.
        offset: Offset,
        /// Code unit behind it, caches included.
        next: Offset,
    },
    /// As `PushResult`, but the result must be None and is dropped (an inlined `__init__`: the instance is already on
    /// the stack).
    DropResult {
        /// Code unit of the calling opcode.
        offset: Offset,
        /// Code unit behind it, caches included.
        next: Offset,
    },
    /// Of a *trial*: code that is translated in line and leaves as if it had not begun. The interpreter goes on in the
    /// caller, whose state is that in front of the trial; the operands are the references that the trial holds, which are dropped.
    Undone,
}

/// One local or operand stack slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotValue {
    /// Unbound local, or NULL on the operand stack.
    Null,
    /// A value; boxed on exit if it is in a register.
    Value(Value),
    /// An index the interpreter keeps on its stack as a tagged integer (an `I64`).
    TaggedInt(Value),
    /// A range iterator whose position is kept in registers; on exit the object's fields are set.
    RangeIterator {
        /// The iterator object.
        object: Value,
        /// Next value (`I64`).
        start: Value,
        /// How many values are left (`I64`).
        length: Value,
    },
    /// A list or tuple iterator whose index is kept in a register; on exit the object's field is set.
    SequenceIterator {
        /// The iterator object.
        object: Value,
        /// Next index (`I64`).
        index: Value,
    },
}

impl SlotValue {
    /// Calls `f` with each value the slot refers to.
    pub fn for_each(&self, mut f: impl FnMut(Value)) {
        let mut copy = *self;
        copy.for_each_mut(|value| f(*value));
    }

    /// The same, to be replaced.
    pub fn for_each_mut(&mut self, mut f: impl FnMut(&mut Value)) {
        match self {
            SlotValue::Null => {}
            SlotValue::Value(value) | SlotValue::TaggedInt(value) => f(value),
            SlotValue::RangeIterator { object, start, length } => {
                f(object);
                f(start);
                f(length);
            }
            SlotValue::SequenceIterator { object, index } => {
                f(object);
                f(index);
            }
        }
    }
}

/// The state of one activation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FrameState {
    /// Index of the code object in the snapshot.
    pub code: usize,
    /// The function object of an inlined activation; `None` for the unit's own frame.
    pub function: Option<ObjectId>,
    /// Where the interpreter goes on.
    pub resume: Resume,
    /// Local slots (`Code::slot_count` of them).
    pub locals: Vec<SlotValue>,
    /// The operand stack, bottom first.
    pub stack: Vec<SlotValue>,
    /// The state of the caller, when inlined.
    pub caller: Option<FrameStateId>,
}

impl FrameState {
    /// All slots: locals, then stack.
    pub fn slots(&self) -> impl Iterator<Item = &SlotValue> {
        self.locals.iter().chain(&self.stack)
    }

    /// All slots, to be changed.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = &mut SlotValue> {
        self.locals.iter_mut().chain(&mut self.stack)
    }
}
