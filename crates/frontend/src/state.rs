//! The abstract state of the interpreter while bytecode is translated: which SSA value stands in which slot.

use crate::trials::Trial;
use coluber_bytecode::ObjectId;
use coluber_ir::{Resume, SlotValue, Value};
use std::rc::Rc;

/// One local or stack slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slot {
    /// Unbound, or NULL.
    Null,
    /// A value, boxed or not.
    Value(Value),
    /// An index kept as a tagged integer (`I64`).
    TaggedInt(Value),
    /// A range iterator in registers.
    Range {
        /// The iterator object.
        object: Value,
        /// Next value (`I64`).
        start: Value,
        /// Values left (`I64`).
        length: Value,
        /// Distance between values (`I64`).
        step: Value,
    },
    /// A list or tuple iterator with its index in a register.
    Sequence {
        /// The iterator object.
        object: Value,
        /// Next index (`I64`).
        index: Value,
    },
    /// In a trial: the function of a generator expression, for which there is no object.
    Function {
        /// Index of its code in the snapshot.
        code: usize,
        /// Its closure.
        closure: Option<Value>,
    },
    /// In a trial: a generator that has not begun, for which there is no object.
    Generator {
        /// Index of its code in the snapshot.
        code: usize,
        /// The closure of its function.
        closure: Option<Value>,
        /// What it is over.
        argument: Value,
    },
}

impl Slot {
    /// Calls `f` with each value in it.
    pub fn for_each(&self, mut f: impl FnMut(Value)) {
        let mut copy = *self;
        copy.for_each_mut(|value| f(*value));
    }

    /// The same, to be replaced.
    pub fn for_each_mut(&mut self, mut f: impl FnMut(&mut Value)) {
        match self {
            Slot::Null => {}
            Slot::Value(value) | Slot::TaggedInt(value) => f(value),
            Slot::Range { object, start, length, step } => {
                f(object);
                f(start);
                f(length);
                f(step);
            }
            Slot::Sequence { object, index } => {
                f(object);
                f(index);
            }
            Slot::Function { closure, .. } => closure.iter_mut().for_each(f),
            Slot::Generator { closure, argument, .. } => {
                f(argument);
                closure.iter_mut().for_each(f);
            }
        }
    }

    /// The objects that it holds, as far as they may need to be dropped.
    pub fn held(&self) -> impl Iterator<Item = Value> {
        let (first, second) = match *self {
            Slot::Null | Slot::TaggedInt(_) => (None, None),
            Slot::Value(object) | Slot::Range { object, .. } | Slot::Sequence { object, .. } => (Some(object), None),
            Slot::Function { closure, .. } => (closure, None),
            Slot::Generator { closure, argument, .. } => (Some(argument), closure),
        };
        first.into_iter().chain(second)
    }

    /// The form that frame states use.
    pub fn to_state(self) -> SlotValue {
        match self {
            Slot::Null => SlotValue::Null,
            Slot::Value(value) => SlotValue::Value(value),
            Slot::TaggedInt(value) => SlotValue::TaggedInt(value),
            Slot::Range { object, start, length, .. } => SlotValue::RangeIterator { object, start, length },
            Slot::Sequence { object, index } => SlotValue::SequenceIterator { object, index },
            Slot::Function { .. } | Slot::Generator { .. } => unreachable!("states of a trial do not name its slots"),
        }
    }
}

/// One activation: the unit's own code or an inlined callee.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    /// Index of the code in the snapshot.
    pub code: usize,
    /// The function object of an inlined activation.
    pub function: Option<ObjectId>,
    /// Locals.
    pub locals: Vec<Slot>,
    /// Operand stack.
    pub stack: Vec<Slot>,
    /// How it goes on when the activation above it returns; set while there is one.
    pub waiting: Option<Resume>,
}

impl Activation {
    /// All slots.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.locals.iter().chain(&self.stack)
    }

    /// All slots, to be changed.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.locals.iter_mut().chain(&mut self.stack)
    }
}

/// All activations, outermost first; the last one is executing.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct State {
    /// The activations.
    pub frames: Vec<Activation>,
    /// Whether Python code may have run since invariants were last known to hold.
    pub unchecked: bool,
    /// Whether a call may have run Python code that turned to the frames.
    pub unobserved: bool,
    /// What guards and tests established of the classes of objects.
    pub classes: Vec<KnownClasses>,
    /// The trial that has begun.
    pub trial: Option<Rc<Trial>>,
}

/// The classes one of which an object has, or had.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownClasses {
    /// The object's root.
    pub object: Value,
    /// The classes, in the order of their numbers.
    pub classes: Vec<ObjectId>,
    /// Whether no Python code can have run since. If it has, valid inline values prove that the class is what it was.
    pub present: bool,
    /// Whether Python code changes nothing about that: objects of these classes keep them.
    pub is_fixed: bool,
}

impl KnownClasses {
    /// The class, if it can be only one.
    pub fn only(&self) -> Option<ObjectId> {
        match self.classes[..] {
            [class] => Some(class),
            _ => None,
        }
    }
}

impl State {
    /// The executing activation.
    pub fn top(&self) -> &Activation {
        self.frames.last().expect("there is always an activation")
    }

    /// The executing activation, to be changed.
    pub fn top_mut(&mut self) -> &mut Activation {
        self.frames.last_mut().expect("there is always an activation")
    }

    /// Python code may have run: classes are what they were if the inline values still are valid.
    pub fn doubt_classes(&mut self) {
        self.classes.iter_mut().for_each(|known| known.present &= known.is_fixed);
    }

    /// Keeps of the knowledge about classes what holds in both states: an object has a class of one or of the other.
    pub fn join_classes(&mut self, other: &State) {
        self.classes.retain_mut(|known| {
            let Some(other) = other.classes.iter().find(|other| other.object == known.object) else { return false };
            known.classes.extend(&other.classes);
            known.classes.sort_unstable();
            known.classes.dedup();
            known.present &= other.present;
            known.is_fixed &= other.is_fixed;
            known.classes.len() <= crate::polymorphic::MAX_CLASSES
        });
    }

    /// All slots of all activations.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.frames.iter().flat_map(Activation::slots)
    }

    /// All slots of all activations, to be changed.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.frames.iter_mut().flat_map(Activation::slots_mut)
    }

    /// Replaces a value everywhere.
    pub fn replace(&mut self, old: Value, new: Value) {
        for slot in self.slots_mut() {
            slot.for_each_mut(|value| {
                if *value == old {
                    *value = new;
                }
            });
        }
    }
}
