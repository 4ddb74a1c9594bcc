//! Leaving compiled code: cold blocks that store live values into the exit buffer and call the runtime.
//!
//! Exits with the same frame state share the block that stores; each has its own id in front of it.

use crate::lower::Lowerer;
use coluber_ir::exit_table::{Exit, ExitFrame, ExitKind, ExitValue};
use coluber_ir::{FrameStateId, Op, SlotValue, Type, Value};
use cranelift_codegen::ir::{self as clif, BlockArg, InstBuilder, MemFlagsData, condcodes::IntCC, types};

/// An exit whose block is filled at the end.
pub(crate) struct PendingExit {
    pub block: clif::Block,
    pub state: FrameStateId,
    pub id: u32,
}

/// Words being collected for one exit.
#[derive(Default)]
struct Words {
    values: Vec<Value>,
}

impl Words {
    fn word(&mut self, first: u32, value: Value) -> u32 {
        let position = match self.values.iter().position(|other| *other == value) {
            Some(position) => position,
            None => {
                self.values.push(value);
                self.values.len() - 1
            }
        };
        first + position as u32
    }
}

impl Lowerer<'_> {
    /// Leaves if the condition (0 or 1) holds.
    pub fn exit_if(&mut self, condition: clif::Value, state: FrameStateId, reason: &'static str) {
        let exit = self.exit_block(state, ExitKind::Guard, reason);
        let next = self.builder.create_block();
        self.builder.ins().brif(condition, exit, &[], next, &[]);
        self.builder.switch_to_block(next);
    }

    /// Leaves unless the condition holds.
    pub fn exit_unless(&mut self, condition: clif::Value, state: FrameStateId, reason: &'static str) {
        let exit = self.exit_block(state, ExitKind::Guard, reason);
        let next = self.builder.create_block();
        self.builder.ins().brif(condition, next, &[], exit, &[]);
        self.builder.switch_to_block(next);
        self.force_exit(exit);
    }

    /// Under forced exits: now and then a guard that holds leaves all the same.
    fn force_exit(&mut self, exit: clif::Block) {
        if let Some((seed, permille)) = self.options.forced_exits {
            self.forced = self.forced.wrapping_add(1);
            let mut x = seed ^ self.forced.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.function.insts.len() as u64;
            x ^= x >> 31;
            x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x ^= x >> 29;
            if x % 1000 < u64::from(permille) {
                self.builder.ins().jump(exit, &[]);
                let dead = self.builder.create_block();
                self.builder.switch_to_block(dead);
            }
        }
    }

    /// The exit for a guard, or for an exception raised at the state.
    pub fn exit_block(&mut self, state: FrameStateId, kind: ExitKind, reason: &'static str) -> clif::Block {
        if let Some(block) = self.exit_blocks.get(&(state, kind, reason)) {
            return *block;
        }
        let block = self.builder.create_block();
        self.builder.set_cold_block(block);
        let id = self.exits.exits.len() as u32;
        let exit = self.describe(state, kind, reason);
        self.exits.exits.push(exit);
        self.exit_blocks.insert((state, kind, reason), block);
        self.pending_exits.push(PendingExit { block, state, id });
        block
    }

    /// Id of the raise exit of a state, made if there is none.
    pub fn raise_exit_id(&mut self, state: FrameStateId) -> u32 {
        let block = self.exit_block(state, ExitKind::Raise, "Raise");
        self.pending_exits.iter().find(|exit| exit.block == block).expect("just made").id
    }

    fn describe(&mut self, state: FrameStateId, kind: ExitKind, reason: &'static str) -> Exit {
        let mut words = Words::default();
        let mut frames = Vec::new();
        let mut next = Some(state);
        while let Some(id) = next {
            let frame = self.function.states[id].clone();
            let locals = frame.locals.iter().map(|slot| self.exit_value(&mut words, *slot)).collect();
            let stack = frame.stack.iter().map(|slot| self.exit_value(&mut words, *slot)).collect();
            frames.push(ExitFrame { code: frame.code, function: frame.function, resume: frame.resume, locals, stack });
            next = frame.caller;
        }
        let needed = self.first_exit_word + words.values.len() as u32;
        self.exits.buffer_words = self.exits.buffer_words.max(needed);
        self.state_words.insert(state, words.values);
        let benign = matches!(reason, "CheckSafePoint" | "CheckFrame" | "Handler" | "NotCompiled" | "NeverExecuted");
        Exit { kind, reason, benign, guilty: None, frames }
    }

    fn exit_value(&self, words: &mut Words, slot: SlotValue) -> ExitValue {
        let first = self.first_exit_word;
        match slot {
            SlotValue::Null => ExitValue::Null,
            SlotValue::Value(value) => {
                let root = self.function.root(value);
                match (self.function.ty(root), self.function.def_op(root)) {
                    (_, Some(Op::Constant { object })) => ExitValue::Constant(*object),
                    (_, Some(Op::NullConstant {})) => ExitValue::Null,
                    (_, Some(Op::IntConstant { value })) => ExitValue::IntConstant(*value),
                    (_, Some(Op::FloatConstant { bits })) => ExitValue::FloatConstant(*bits),
                    (_, Some(Op::BoolConstant { value })) => ExitValue::BoolConstant(*value),
                    (Type::I64, _) => ExitValue::Int(words.word(first, root)),
                    (Type::F64, _) => ExitValue::Float(words.word(first, root)),
                    (Type::Bool, _) => ExitValue::Bool(words.word(first, root)),
                    _ => ExitValue::Object {
                        word: words.word(first, root),
                        owned: self.function.values[root].owned,
                    },
                }
            }
            SlotValue::TaggedInt(value) => match self.function.def_op(value) {
                Some(Op::IntConstant { value }) => ExitValue::TaggedIntConstant(*value),
                _ => ExitValue::TaggedInt(words.word(first, value)),
            },
            SlotValue::RangeIterator { object, start, length } => {
                let object = self.function.root(object);
                ExitValue::RangeIterator {
                    object: words.word(first, object),
                    owned: self.function.values[object].owned,
                    start: words.word(first, start),
                    length: words.word(first, length),
                }
            }
            SlotValue::SequenceIterator { object, index } => {
                let object = self.function.root(object);
                ExitValue::SequenceIterator {
                    object: words.word(first, object),
                    owned: self.function.values[object].owned,
                    index: words.word(first, index),
                }
            }
        }
    }

    /// Fills the exit blocks.
    pub fn finish_exits(&mut self) {
        let mut stores: std::collections::HashMap<FrameStateId, clif::Block> = std::collections::HashMap::new();
        for exit in std::mem::take(&mut self.pending_exits) {
            self.builder.switch_to_block(exit.block);
            let id = self.builder.ins().iconst(types::I64, i64::from(exit.id));
            let shared = match stores.get(&exit.state) {
                Some(block) => *block,
                None => {
                    let block = self.builder.create_block();
                    self.builder.set_cold_block(block);
                    self.builder.append_block_param(block, types::I64);
                    stores.insert(exit.state, block);
                    block
                }
            };
            self.builder.ins().jump(shared, &[BlockArg::Value(id)]);
        }
        let mut states: Vec<_> = stores.into_iter().collect();
        states.sort_by_key(|(state, _)| *state);
        for (state, block) in states {
            self.builder.switch_to_block(block);
            let id = self.builder.block_params(block)[0];
            self.store_words(state);
            let leave = self.target.leave;
            let (tstate, frame, buffer) = (self.tstate, self.frame, self.buffer);
            let result = self.call_address(leave, &[tstate, frame, buffer, id], &[types::I64]);
            self.builder.ins().return_(&result);
        }
    }

    /// Stores the words of a state into the exit buffer.
    pub fn store_words(&mut self, state: FrameStateId) {
        let values = self.state_words[&state].clone();
        for (position, value) in values.into_iter().enumerate() {
            let offset = (self.first_exit_word + position as u32) as i32 * 8;
            let mut raw = self.value(value);
            if self.function.ty(value) == Type::Bool {
                raw = self.builder.ins().uextend(types::I64, raw);
            }
            let buffer = self.buffer;
            self.builder.ins().store(MemFlagsData::trusted(), raw, buffer, offset);
        }
    }

    /// Leaves for the exception that a call has set if its result says so.
    pub fn raise_if(&mut self, condition: clif::Value, state: FrameStateId) {
        let exit = self.exit_block(state, ExitKind::Raise, "Raise");
        let next = self.builder.create_block();
        self.builder.ins().brif(condition, exit, &[], next, &[]);
        self.builder.switch_to_block(next);
    }

    /// Compares a loaded word with zero.
    pub fn is_zero(&mut self, value: clif::Value) -> clif::Value {
        self.builder.ins().icmp_imm_s(IntCC::Equal, value, 0)
    }
}
