//! Leaving compiled code: cold blocks that store live values into the exit buffer and call the runtime.
//!
//! Exits with the same frame state share the block that stores; each has its own id in front of it.

use crate::lower::Lowerer;
use coluber_ir::exit_table::{Exit, ExitFrame, ExitKind, ExitValue, ExitVirtual, VirtualShape};
use coluber_ir::ops::Refs;
use coluber_ir::{FrameStateId, Op, SlotValue, Type, Value};
use cranelift_codegen::ir::{self as clif, InstBuilder, condcodes::IntCC, types};
use std::sync::Arc;

/// An exit whose block is filled at the end.
pub(crate) struct PendingExit {
    pub block: clif::Block,
    pub state: FrameStateId,
    pub id: u32,
}

/// Values of one exit with the buffer words they go to. A value's word is that of the first slot that holds it, so
/// states that differ in few slots agree in most of their words.
pub(crate) type StateWords = Vec<(u32, Value)>;

/// The frames of a state, innermost first, and the first word that its callees may use.
#[derive(Clone)]
pub(crate) struct Described {
    frames: Arc<[Arc<ExitFrame>]>,
    next_word: u32,
}

/// Collects the words of one state.
struct Words {
    values: StateWords,
    /// Word of the next slot.
    next: u32,
    /// Word of the next field of an object that the exit makes: behind those of the slots, so that states that differ
    /// in such an object agree in the slots.
    next_field: u32,
}

/// Words an operand stack slot can need: an iterator object and two fields.
const WORDS_PER_STACK_SLOT: u32 = 3;

impl Words {
    fn word(&mut self, value: Value, part: u32) -> u32 {
        if let Some((word, _)) = self.values.iter().find(|(_, other)| *other == value) {
            return *word;
        }
        let word = self.next + part;
        self.values.push((word, value));
        word
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
        let is_cold = self.builder.current_block().is_some_and(|block| self.builder.func.layout.is_cold(block));
        self.builder.ins().brif(condition, next, &[], exit, &[]);
        if is_cold {
            self.builder.set_cold_block(next);
        }
        self.builder.switch_to_block(next);
        self.force_exit(exit);
    }

    /// Leaves unless the condition holds; `guilty` is the object whose type decides.
    pub fn exit_unless_object(
        &mut self,
        condition: clif::Value,
        guilty: Value,
        state: FrameStateId,
        reason: &'static str,
    ) {
        self.exit_unless(condition, state, reason);
        let root = self.function.root(guilty);
        let word = self.state_words[&state].iter().find(|(_, value)| *value == root).map(|(word, _)| *word);
        let id = self.exit(state, ExitKind::Guard, reason).1;
        self.exits.exits[id as usize].guilty = word;
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
        self.exit(state, kind, reason).0
    }

    /// Block and id of an exit.
    fn exit(&mut self, state: FrameStateId, kind: ExitKind, reason: &'static str) -> (clif::Block, u32) {
        if let Some(exit) = self.exit_blocks.get(&(state, kind, reason)) {
            return *exit;
        }
        let block = self.builder.create_block();
        self.builder.set_cold_block(block);
        let id = self.exits.exits.len() as u32;
        let exit = self.describe(state, kind, reason);
        self.exits.exits.push(exit);
        self.exit_blocks.insert((state, kind, reason), (block, id));
        self.pending_exits.push(PendingExit { block, state, id });
        (block, id)
    }

    /// Id of the raise exit of a state, made if there is none.
    pub fn raise_exit_id(&mut self, state: FrameStateId) -> u32 {
        if self.handler.is_some() {
            return self.caught_exit_id(state);
        }
        self.exit(state, ExitKind::Raise, "Raise").1
    }

    /// Id of the exit that describes a state whose exceptions stay in the unit: nothing leaves by it.
    fn caught_exit_id(&mut self, state: FrameStateId) -> u32 {
        if let Some(id) = self.caught_exits.get(&state) {
            return *id;
        }
        let id = self.exits.exits.len() as u32;
        let exit = self.describe(state, ExitKind::Raise, "Raise");
        self.exits.exits.push(Exit { caught: true, ..exit });
        self.caught_exits.insert(state, id);
        id
    }

    /// Where the exception goes that the present instruction raised in the state.
    pub fn raise_block(&mut self, state: FrameStateId) -> clif::Block {
        match self.handler {
            Some(handler) => handler,
            None => self.exit_block(state, ExitKind::Raise, "Raise"),
        }
    }

    /// Takes the exception that was raised in the state.
    pub fn catch_exception(&mut self, state: FrameStateId) -> clif::Value {
        // What raised has shown the frame.
        self.ensure_shown();
        let id = self.caught_exit_id(state);
        if self.function.states[state].caller.is_some() {
            let words = self.state_words[&state].clone();
            self.store_words(&words);
        }
        let id = self.iconst(u64::from(id));
        let (tstate, frame, buffer) = (self.tstate, self.frame, self.word_address(0));
        self.call_address(self.target.catch, &[tstate, frame, buffer, id], &[types::I64])[0]
    }

    /// Makes the value the exception that is being handled.
    pub fn swap_exception(&mut self, value: Value) -> clif::Value {
        let (item_offset, value_offset) = (self.layout().tstate_exc_info, self.layout().exc_item_value);
        let none = self.iconst(self.target.none_object);
        let null = self.iconst(0);
        let item = self.load(types::I64, self.tstate, item_offset);
        let old = self.load(types::I64, item, value_offset);
        let new = self.value(value);
        let is_none = self.builder.ins().icmp(IntCC::Equal, new, none);
        let new = self.builder.ins().select(is_none, null, new);
        self.store(new, item, value_offset);
        self.builder.ins().select(old, old, none)
    }

    fn describe(&mut self, state: FrameStateId, kind: ExitKind, reason: &'static str) -> Exit {
        let described = self.described_state(state);
        // What raises in a trial is done again by the interpreter.
        let reason = if kind == ExitKind::Raise && self.function.is_trial(state) { "RaisedInTrial" } else { reason };
        let benign =
            matches!(reason, "CheckSafePoint" | "CheckFrame" | "CheckObserved" | "Handler" | "NotCompiled" | "Returns");
        Exit { kind, reason, benign, caught: false, guilty: None, frames: described.frames }
    }

    /// The frames of a state. Outermost first: what the callers hold stays in its words while a callee runs, so states
    /// with the same caller agree in what they say of it.
    fn described_state(&mut self, state: FrameStateId) -> Described {
        if let Some(described) = self.described.get(&state) {
            return described.clone();
        }
        let frame = self.function.states[state].clone();
        let caller = frame.caller.map(|caller| self.described_state(caller));
        let mut words = match (frame.caller, &caller) {
            (Some(id), Some(caller)) => {
                Words { values: self.state_words[&id].clone(), next: caller.next_word, next_field: 0 }
            }
            _ => Words { values: Vec::new(), next: self.first_exit_word, next_field: 0 },
        };
        words.next_field = words.next + frame.locals.len() as u32 + WORDS_PER_STACK_SLOT * frame.stack.len() as u32;
        let mut locals = Vec::with_capacity(frame.locals.len());
        for slot in &frame.locals {
            locals.push(self.exit_value(&mut words, *slot));
            words.next += 1;
        }
        let mut stack = Vec::with_capacity(frame.stack.len());
        for slot in &frame.stack {
            stack.push(self.exit_value(&mut words, *slot));
            words.next += WORDS_PER_STACK_SLOT;
        }
        let own = ExitFrame { code: frame.code, function: frame.function, resume: frame.resume, locals, stack };
        let callers = caller.iter().flat_map(|caller| caller.frames.iter().cloned());
        let frames = std::iter::once(Arc::new(own)).chain(callers).collect();
        self.exits.buffer_words = self.exits.buffer_words.max(words.next_field);
        let described = Described { frames, next_word: words.next_field };
        words.values.sort_unstable();
        self.state_words.insert(state, words.values);
        self.described.insert(state, described.clone());
        described
    }

    fn exit_virtual(&self, words: &mut Words, op: &Op) -> ExitValue {
        let mut operands = Vec::new();
        op.for_each_operand(|operand| operands.push(operand));
        let (id, shape) = match op {
            Op::VirtualInstance { object, class, offsets, .. } => {
                (*object, VirtualShape::Instance { class: *class, offsets: offsets.0.clone() })
            }
            Op::VirtualTuple { object, .. } => (*object, VirtualShape::Tuple),
            Op::VirtualIterator { object, walker, .. } => (*object, VirtualShape::Iterator(*walker)),
            other => unreachable!("{} promises no object", other.name()),
        };
        let slot = words.next;
        let fields = operands.into_iter().map(|operand| {
            words.next = words.next_field;
            words.next_field += 1;
            self.exit_value(words, SlotValue::Value(operand))
        });
        let fields = fields.collect();
        words.next = slot;
        ExitValue::Virtual(Arc::new(ExitVirtual { id, shape, fields }))
    }

    fn exit_value(&self, words: &mut Words, slot: SlotValue) -> ExitValue {
        match slot {
            SlotValue::Null => ExitValue::Null,
            SlotValue::Value(value) => {
                let root = self.function.root(value);
                match (self.function.ty(root), self.function.def_op(root)) {
                    (_, Some(op)) if op.refs() == Refs::Virtual => self.exit_virtual(words, op),
                    (_, Some(Op::Constant { object })) => ExitValue::Constant(*object),
                    (_, Some(Op::NullConstant {})) => ExitValue::Null,
                    (_, Some(Op::IntConstant { value })) => ExitValue::IntConstant(*value),
                    (_, Some(Op::FloatConstant { bits })) => ExitValue::FloatConstant(*bits),
                    (_, Some(Op::BoolConstant { value })) => ExitValue::BoolConstant(*value),
                    (Type::I64, _) => ExitValue::Int(words.word(root, 0)),
                    (Type::F64, _) => ExitValue::Float(words.word(root, 0)),
                    (Type::Bool, _) => ExitValue::Bool(words.word(root, 0)),
                    _ => ExitValue::Object { word: words.word(root, 0), owned: self.function.values[root].owned },
                }
            }
            SlotValue::TaggedInt(value) => match self.function.def_op(value) {
                Some(Op::IntConstant { value }) => ExitValue::TaggedIntConstant(*value),
                _ => ExitValue::TaggedInt(words.word(value, 0)),
            },
            SlotValue::RangeIterator { object, start, length } => {
                let object = self.function.root(object);
                ExitValue::RangeIterator {
                    object: words.word(object, 0),
                    owned: self.function.values[object].owned,
                    start: words.word(start, 1),
                    length: words.word(length, 2),
                }
            }
            SlotValue::SequenceIterator { object, index } => {
                let object = self.function.root(object);
                ExitValue::SequenceIterator {
                    object: words.word(object, 0),
                    owned: self.function.values[object].owned,
                    index: words.word(index, 1),
                }
            }
        }
    }

    /// Fills the exit blocks. The blocks that store form trees: one whose words contain all words of another stores
    /// only the rest and goes on in the other.
    pub fn finish_exits(&mut self) {
        let exits = std::mem::take(&mut self.pending_exits);
        let mut sets: Vec<StateWords> = exits.iter().map(|exit| self.state_words[&exit.state].clone()).collect();
        sets.sort_unstable_by(|left, right| left.len().cmp(&right.len()).then_with(|| left.cmp(right)));
        sets.dedup();
        let blocks: Vec<clif::Block> = sets
            .iter()
            .map(|_| {
                let block = self.builder.create_block();
                self.builder.set_cold_block(block);
                block
            })
            .collect();
        for exit in exits {
            self.builder.switch_to_block(exit.block);
            let id = self.iconst(u64::from(exit.id));
            self.store_own(id, self.exit_id);
            let words = &self.state_words[&exit.state];
            let position = sets
                .binary_search_by(|other| other.len().cmp(&words.len()).then_with(|| other.cmp(words)))
                .expect("the set was collected above");
            self.builder.ins().jump(blocks[position], &[]);
        }
        let leave = self.builder.create_block();
        self.builder.set_cold_block(leave);
        for (position, words) in sets.iter().enumerate() {
            let base = largest_subset(&sets[..position], words);
            self.builder.switch_to_block(blocks[position]);
            let rest: StateWords = match base {
                Some(base) => words.iter().filter(|pair| sets[base].binary_search(pair).is_err()).copied().collect(),
                None => words.clone(),
            };
            self.store_words(&rest);
            let next = base.map_or(leave, |base| blocks[base]);
            self.builder.ins().jump(next, &[]);
        }
        self.builder.switch_to_block(leave);
        let id = self.load_own(self.exit_id);
        let (tstate, frame, buffer) = (self.tstate, self.frame, self.word_address(0));
        let result = if self.addresses.unit.is_function {
            let record = self.iconst(self.addresses.unit.record);
            self.call_address(self.target.leave_call, &[tstate, frame, buffer, id, record], &[types::I64])
        } else {
            self.call_address(self.target.leave, &[tstate, frame, buffer, id], &[types::I64])
        };
        self.builder.ins().return_(&result);
    }

    /// Stores values into words of the exit buffer.
    pub fn store_words(&mut self, words: &[(u32, Value)]) {
        for &(word, value) in words {
            let mut raw = self.value(value);
            if self.function.ty(value) == Type::Bool {
                raw = self.builder.ins().uextend(types::I64, raw);
            }
            self.store_word(raw, word);
        }
    }

    /// Leaves for the exception that a call has set if its result says so.
    pub fn raise_if(&mut self, condition: clif::Value, state: FrameStateId) {
        let exit = self.raise_block(state);
        let next = self.builder.create_block();
        self.builder.ins().brif(condition, exit, &[], next, &[]);
        self.builder.switch_to_block(next);
    }

    /// Compares a loaded word with zero.
    pub fn is_zero(&mut self, value: clif::Value) -> clif::Value {
        self.builder.ins().icmp_imm_s(IntCC::Equal, value, 0)
    }
}

/// Sets looked at for each set; the closest in size are the most promising.
const SUBSET_CANDIDATES: usize = 64;

/// The largest of the sets (sorted by length) that is contained in `words`.
fn largest_subset(sets: &[StateWords], words: &StateWords) -> Option<usize> {
    let contained = |candidate: &StateWords| {
        let mut rest = words.iter();
        candidate.iter().all(|pair| rest.any(|other| other == pair))
    };
    (0..sets.len()).rev().take(SUBSET_CANDIDATES).find(|index| !sets[*index].is_empty() && contained(&sets[*index]))
}
