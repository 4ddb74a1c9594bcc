//! Functions, blocks, instructions, values.

use crate::{FrameState, FrameStateId, Op, Resume, Type};
use coluber_bytecode::ObjectTable;
use cranelift_entity::{PrimaryMap, entity_impl};

/// An SSA value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(u32);
entity_impl!(Value, "v");

/// A basic block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block(u32);
entity_impl!(Block, "b");

/// An instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Inst(u32);
entity_impl!(Inst, "i");

/// A jump target with the values of its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockCall {
    /// The block.
    pub block: Block,
    /// One value per parameter.
    pub arguments: Vec<Value>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueDef {
    /// Parameter `index` of a block.
    Parameter(Block, usize),
    /// Result of an instruction.
    Result(Inst),
    /// Replaced by another value (see [`Function::replace`]).
    Alias(Value),
}

/// A value's definition and type.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueData {
    /// Its definition.
    pub def: ValueDef,
    /// Its type.
    pub ty: Type,
    /// Whether the compiled code holds a reference for it; set by `insert_refcounts`.
    pub owned: bool,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct InstData {
    /// The operation.
    pub op: Op,
    /// Its result, if it has one.
    pub result: Option<Value>,
    /// Source: (code index, `offset`), for dumps, counters and line tables.
    pub source: (u32, u32),
}

/// A block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockData {
    /// Its parameters.
    pub parameters: Vec<Value>,
    /// Its instructions; the last one is the terminator.
    pub insts: Vec<Inst>,
    /// Whether it is expected to be executed rarely.
    pub cold: bool,
    /// The state in which a loop starts over, for loop headers: guards hoisted in front of the loop use it.
    pub loop_state: Option<FrameStateId>,
}

/// How far a function has come. Ops say in which phases they may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Phase {
    /// Made by the front end: `Kill` and `Dup` mark references, no `Incref` or `Decref`.
    #[default]
    Built,
    /// References are explicit: no `Kill` or `Dup`.
    Counted,
}

/// A unit's code in SSA form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Function {
    /// For people.
    pub name: String,
    /// All blocks; the first is the entry.
    pub blocks: PrimaryMap<Block, BlockData>,
    /// Order of the blocks that are in the function; blocks not listed are unreachable.
    pub layout: Vec<Block>,
    /// All instructions.
    pub insts: PrimaryMap<Inst, InstData>,
    /// All values.
    pub values: PrimaryMap<Value, ValueData>,
    /// All frame states.
    pub states: PrimaryMap<FrameStateId, FrameState>,
    /// The objects that constants refer to.
    pub objects: ObjectTable,
    /// How far it has come.
    pub phase: Phase,
}

impl Function {
    /// An empty function.
    pub fn new(name: impl Into<String>, objects: ObjectTable) -> Function {
        Function { name: name.into(), objects, ..Function::default() }
    }

    /// The entry block.
    pub fn entry(&self) -> Block {
        self.layout[0]
    }

    /// A new block at the end of the layout.
    pub fn add_block(&mut self) -> Block {
        let block = self.blocks.push(BlockData::default());
        self.layout.push(block);
        block
    }

    /// A new parameter of a block.
    pub fn add_parameter(&mut self, block: Block, ty: Type) -> Value {
        let index = self.blocks[block].parameters.len();
        let value = self.values.push(ValueData { def: ValueDef::Parameter(block, index), ty, owned: false });
        self.blocks[block].parameters.push(value);
        value
    }

    /// Makes an instruction (with its result value, if the op has one) without placing it.
    pub fn make(&mut self, op: Op, source: (u32, u32)) -> Inst {
        let ty = self.result_type(&op);
        let inst = self.insts.push(InstData { op, result: None, source });
        if let Some(ty) = ty {
            let value = self.values.push(ValueData { def: ValueDef::Result(inst), ty, owned: false });
            self.insts[inst].result = Some(value);
        }
        inst
    }

    /// Makes an instruction and appends it to a block; returns its result.
    pub fn append(&mut self, block: Block, op: Op, source: (u32, u32)) -> Option<Value> {
        let inst = self.make(op, source);
        self.blocks[block].insts.push(inst);
        self.insts[inst].result
    }

    /// Appends an op that has a result.
    pub fn append_value(&mut self, block: Block, op: Op, source: (u32, u32)) -> Value {
        self.append(block, op, source).expect("the op has a result")
    }

    /// Type of a value.
    pub fn ty(&self, value: Value) -> Type {
        self.values[value].ty
    }

    /// The instruction that defines a value, unless it is a parameter.
    pub fn def_inst(&self, value: Value) -> Option<Inst> {
        match self.values[value].def {
            ValueDef::Result(inst) => Some(inst),
            _ => None,
        }
    }

    /// The op that defines a value, unless it is a parameter.
    pub fn def_op(&self, value: Value) -> Option<&Op> {
        self.def_inst(value).map(|inst| &self.insts[inst].op)
    }

    /// Follows replacements to the value that stands now.
    pub fn resolve(&self, mut value: Value) -> Value {
        while let ValueDef::Alias(other) = self.values[value].def {
            value = other;
        }
        value
    }

    /// The value this one is a refinement of: follows ops whose result is their operand (`refs = alias`).
    pub fn root(&self, mut value: Value) -> Value {
        loop {
            value = self.resolve(value);
            match self.def_op(value).map(Op::refs) {
                Some(crate::ops::Refs::Alias(operand)) => value = operand,
                _ => return value,
            }
        }
    }

    /// Declares that `old` is to be replaced by `new` everywhere; takes effect at [`Function::resolve_aliases`].
    pub fn replace(&mut self, old: Value, new: Value) {
        let new = self.resolve(new);
        debug_assert_ne!(old, new, "a value cannot replace itself");
        self.values[old].def = ValueDef::Alias(new);
    }

    /// Rewrites all operands, block arguments and frame states so that no replaced value occurs any more.
    pub fn resolve_aliases(&mut self) {
        let values = &self.values;
        let resolve = |value: &mut Value| {
            while let ValueDef::Alias(other) = values[*value].def {
                *value = other;
            }
        };
        for &block in &self.layout {
            for &inst in &self.blocks[block].insts {
                self.insts[inst].op.for_each_operand_mut(resolve);
            }
        }
        for state in self.states.values_mut() {
            for slot in state.slots_mut() {
                slot.for_each_mut(resolve);
            }
        }
    }

    /// The terminator of a block.
    pub fn terminator(&self, block: Block) -> Inst {
        *self.blocks[block].insts.last().expect("a block ends with a terminator")
    }

    /// The op in front of the [`Op::BranchRaised`] that ends a block, if it ends so: the one whose exception it is about.
    pub fn raising_inst(&self, block: Block) -> Option<Inst> {
        match self.blocks[block].insts[..] {
            [.., raising, last] if matches!(self.insts[last].op, Op::BranchRaised { .. }) => Some(raising),
            _ => None,
        }
    }

    /// Successors of a block, in order.
    pub fn successors(&self, block: Block) -> Vec<Block> {
        let mut result = Vec::new();
        if let Some(&inst) = self.blocks[block].insts.last() {
            self.insts[inst].op.for_each_target(|call| result.push(call.block));
        }
        result
    }

    /// Whether a state lies in a trial, which leaves as if it had not begun.
    pub fn is_trial(&self, state: FrameStateId) -> bool {
        self.states[state].resume == Resume::Undone
    }

    /// The state that the interpreter goes on with: of a trial, that in front of it.
    pub fn leaving_state(&self, state: FrameStateId) -> FrameStateId {
        match self.states[state].caller {
            Some(caller) if self.is_trial(state) => caller,
            _ => state,
        }
    }

    /// Calls `f` with each value that a state and its callers refer to; for an object that does not exist yet with what
    /// it is to be made of.
    pub fn for_each_state_value(&self, state: FrameStateId, mut f: impl FnMut(Value)) {
        let mut next = Some(state);
        while let Some(id) = next {
            for slot in self.states[id].slots() {
                slot.for_each(|value| self.for_each_real_value(value, &mut f));
            }
            next = self.states[id].caller;
        }
    }

    /// Calls `f` with the value, or with what it is to be made of if it does not exist yet.
    pub fn for_each_real_value(&self, value: Value, f: &mut dyn FnMut(Value)) {
        match self.def_op(value) {
            Some(op) if op.refs() == crate::ops::Refs::Virtual => {
                op.for_each_operand(|operand| self.for_each_real_value(operand, f));
            }
            _ => f(value),
        }
    }

    /// Whether a value is an object that does not exist yet.
    pub fn is_virtual(&self, value: Value) -> bool {
        self.def_op(value).is_some_and(|op| op.refs() == crate::ops::Refs::Virtual)
    }

    /// Result type of an op, `None` if it has no result.
    pub fn result_type(&self, op: &Op) -> Option<Type> {
        op.result_type(self)
    }
}
