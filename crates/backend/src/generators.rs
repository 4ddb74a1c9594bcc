//! Frames of generators: where one stands, and what it holds when it is suspended.
//!
//! The frame of a generator lies inside the generator object and outlives each activation, and the garbage collector looks
//! into it while compiled code runs it. What a suspended frame holds are owned references as the interpreter wants them:
//! addresses, with the borrowed bit set for immortal objects.

use crate::lower::Lowerer;
use crate::slots::untouched;
use coluber_ir::ops::Suspension;
use coluber_ir::{Op, Type, Value};
use cranelift_codegen::ir::{self as clif, BlockArg, InstBuilder, condcodes::IntCC, types};

/// Bits of a tagged integer.
const INTEGER_TAG: i64 = 3;

impl Lowerer<'_> {
    /// Whether the frame's instruction pointer is at an offset of the unit's own code.
    pub fn is_suspended_at(&mut self, offset: u32) -> clif::Value {
        let instruction = self.load(types::I64, self.frame, self.layout().frame_instr_ptr);
        let expected = self.iconst(self.addresses.codes[0].0 + 2 * u64::from(offset));
        self.builder.ins().icmp(IntCC::Equal, instruction, expected)
    }

    /// Fills the generator's frame and returns.
    pub fn suspend(&mut self, how: Suspension, offset: u32, value: Value, slots: &[Value]) {
        let frame = self.frame;
        for (index, &slot) in slots.iter().enumerate() {
            // What the slot held at the entry is still there, with the reference.
            let is_there = self.slot_memory.get(&untouched(index)) == Some(&Some(self.function.root(slot)));
            if !is_there {
                let word = self.owned_reference(slot);
                let place = self.slot_offset(index as u32);
                self.store(word, frame, place);
            }
        }
        let layout = self.layout();
        let end = i64::from(self.slot_offset(slots.len() as u32));
        let top = self.builder.ins().iadd_imm_s(frame, end);
        self.store(top, frame, layout.frame_stackpointer);
        let instruction = self.iconst(self.addresses.codes[0].0 + 2 * u64::from(offset));
        self.store(instruction, frame, layout.frame_instr_ptr);
        let state = match how {
            Suspension::Yield => Some(layout.generator_suspended),
            Suspension::YieldFrom => Some(layout.generator_suspended_yield_from),
            Suspension::Return => None,
        };
        if let Some(state) = state {
            let state = self.builder.ins().iconst(types::I8, state);
            self.store(state, frame, layout.generator_state_from_frame);
        }
        let result = self.value(value);
        self.builder.ins().return_(&[result]);
    }

    /// The bits of a stack reference that owns its object.
    fn owned_reference(&mut self, value: Value) -> clif::Value {
        let layout = self.layout();
        if self.function.ty(value) == Type::I64 {
            let raw = self.value(value);
            let shifted = self.builder.ins().ishl_imm_u(raw, 2);
            return self.builder.ins().bor_imm_s(shifted, INTEGER_TAG);
        }
        if matches!(self.function.def_op(value), Some(Op::NullConstant {})) {
            return self.iconst(layout.null_stackref as u64);
        }
        let object = self.value(value);
        let next = self.builder.create_block();
        self.builder.append_block_param(next, types::I64);
        if self.function.ty(value).is_nullable() {
            let bound = self.builder.create_block();
            let null = self.iconst(layout.null_stackref as u64);
            self.builder.ins().brif(object, bound, &[], next, &[BlockArg::Value(null)]);
            self.builder.switch_to_block(bound);
        }
        let flags = self.builder.ins().uload16(types::I64, clif::MemFlagsData::trusted(), object, layout.ob_flags);
        let bit = self.builder.ins().band_imm_s(flags, layout.borrowed_bit);
        let word = self.builder.ins().bor(object, bit);
        self.builder.ins().jump(next, &[BlockArg::Value(word)]);
        self.builder.switch_to_block(next);
        self.builder.block_params(next)[0]
    }

    /// Puts the address of the buffer into the frame of a generator, where observers look for it: in the place of its
    /// first operand, which nobody else looks at while compiled code runs.
    pub fn show_buffer(&mut self) {
        if self.is_generator && !self.slot_memory.contains_key(&BUFFER) {
            let place = self.slot_offset(self.slot_count());
            let (frame, buffer) = (self.frame, self.word_address(0));
            self.store(buffer, frame, place);
        }
    }
}

/// Whether the operands of a resumed generator have been taken in front of the op.
pub(crate) fn is_behind_entry(op: &Op) -> bool {
    !op.is_entry_only() && !op.is_terminator()
}

/// Key of the buffer's place in the map of slots.
pub(crate) const BUFFER: usize = usize::MAX;
