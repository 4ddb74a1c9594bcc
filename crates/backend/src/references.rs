//! Reference counts, boxes and unboxing, in line where the interpreter does it in line.
//!
//! A reference count is the 32-bit word at `ob_refcnt`; a negative one is immortal and stays (`Include/refcount.h`, 3.14
//! and 3.15). Free lists are the interpreter's own (`pycore_freelist.h`). Debug interpreters count all references:
//! there everything goes through exported functions.

use crate::entry::Shown;
use crate::lower::Lowerer;
use coluber_ir::exit_table::ExitKind;
use coluber_ir::{FrameStateId, Kind, Op, Type, Value};
use cranelift_codegen::ir::{self as clif, BlockArg, InstBuilder, MemFlagsData, condcodes::IntCC, types};

impl Lowerer<'_> {
    /// Whether the value is an object that is certainly immortal.
    fn is_immortal(&self, value: Value) -> bool {
        match self.function.ty(value) {
            Type::Constant(object, _) => self.function.objects.get(object).immortal,
            Type::Exact(Kind::None | Kind::Bool) => true,
            _ => false,
        }
    }

    /// The interpreter state. Loaded where it is used: one register less to keep all over the unit.
    fn interpreter(&mut self) -> clif::Value {
        self.load(types::I64, self.tstate, self.layout().tstate_interp)
    }

    pub fn incref(&mut self, value: Value) {
        if self.is_immortal(value) {
            return;
        }
        let object = self.value(value);
        let next = self.function.ty(value).is_nullable().then(|| {
            let (bound, next) = (self.builder.create_block(), self.builder.create_block());
            self.builder.ins().brif(object, bound, &[], next, &[]);
            self.builder.switch_to_block(bound);
            next
        });
        if self.target.debug_refcounts {
            self.call_address(self.target.incref, &[object], &[]);
        } else {
            let offset = self.layout().ob_refcnt;
            // 1 for a mortal object, 0 for an immortal one: a branch would cost two blocks at one of the most frequent ops.
            let count = self.load(types::I32, object, offset);
            let sign = self.builder.ins().sshr_imm_u(count, 31);
            let count = self.builder.ins().iadd_imm_s(count, 1);
            let count = self.builder.ins().iadd(count, sign);
            self.store(count, object, offset);
        }
        if let Some(next) = next {
            self.builder.ins().jump(next, &[]);
            self.builder.switch_to_block(next);
        }
    }

    pub fn decref(&mut self, value: Value, state: FrameStateId) {
        if self.is_immortal(value) {
            return;
        }
        let ty = self.function.ty(value);
        let object = self.value(value);
        let next = self.builder.create_block();
        if ty.is_nullable() {
            let bound = self.builder.create_block();
            self.builder.ins().brif(object, bound, &[], next, &[]);
            self.builder.switch_to_block(bound);
        }
        if self.target.debug_refcounts {
            if ty.dies_silently() || self.shown == Shown::Ended {
                self.call_address(self.target.decref, &[object], &[]);
            } else {
                self.dealloc_seen(object, state);
            }
            self.builder.ins().jump(next, &[]);
            self.builder.switch_to_block(next);
            return;
        }
        let offset = self.layout().ob_refcnt;
        let count = self.load(types::I32, object, offset);
        // An immortal object's count stays what it is, see `incref`.
        let sign = self.builder.ins().sshr_imm_u(count, 31);
        let count = self.builder.ins().iadd_imm_s(count, -1);
        let count = self.builder.ins().isub(count, sign);
        self.store(count, object, offset);
        let dead = self.builder.create_block();
        if ty.boxed_kind() != Some(Kind::Float) {
            self.builder.set_cold_block(dead);
        }
        self.builder.ins().brif(count, next, &[], dead, &[]);
        self.builder.switch_to_block(dead);
        if ty.boxed_kind() == Some(Kind::Float) {
            self.free_float(object, next);
        } else {
            if ty.dies_silently() || self.shown == Shown::Ended {
                self.call_preserving(self.target.dealloc, &[object]);
            } else {
                self.dealloc_seen(object, state);
            }
            self.builder.ins().jump(next, &[]);
        }
        self.builder.switch_to_block(next);
    }

    /// Puts a dead float on the free list, or gives its memory back if that is full.
    fn free_float(&mut self, object: clif::Value, next: clif::Block) {
        let (head, size) = self.layout().float_freelist;
        let limit = self.layout().freelist_limit;
        let interpreter = self.interpreter();
        let length = self.load(types::I64, interpreter, size);
        let room = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, length, i64::from(limit));
        let (keep, full) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(full);
        self.builder.ins().brif(room, keep, &[], full, &[]);
        self.builder.switch_to_block(full);
        self.call_preserving(self.target.dealloc, &[object]);
        self.builder.ins().jump(next, &[]);
        self.builder.switch_to_block(keep);
        let first = self.load(types::I64, interpreter, head);
        self.store(first, object, 0);
        self.store(object, interpreter, head);
        let length = self.builder.ins().iadd_imm_s(length, 1);
        self.store(length, interpreter, size);
        self.builder.ins().jump(next, &[]);
    }

    /// Boxes by the runtime. A float is passed by its bits.
    fn call_box(&mut self, function: u64, raw: clif::Value) -> clif::Value {
        let raw = match self.builder.func.dfg.value_type(raw) {
            types::F64 => self.builder.ins().bitcast(types::I64, MemFlagsData::new(), raw),
            _ => raw,
        };
        self.call_preserving(function, &[raw]);
        self.preserving_result(0)
    }

    pub fn box_float(&mut self, value: Value) -> clif::Value {
        let raw = self.value(value);
        if self.target.debug_refcounts {
            return self.call_box(self.target.box_float, raw);
        }
        let offset = self.layout().float_value;
        let freelist = self.layout().float_freelist;
        self.allocate(freelist, self.target.box_float, raw, |this, object| this.store(raw, object, offset))
    }

    /// Takes an object off a free list and initialises it, or calls the runtime if the list is empty.
    fn allocate(
        &mut self,
        (head, size): (i32, i32),
        slow_path: u64,
        raw: clif::Value,
        initialise: impl FnOnce(&mut Self, clif::Value),
    ) -> clif::Value {
        let (fast, slow, done) =
            (self.builder.create_block(), self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(slow);
        let result = self.builder.append_block_param(done, types::I64);
        let interpreter = self.interpreter();
        let object = self.load(types::I64, interpreter, head);
        self.builder.ins().brif(object, fast, &[], slow, &[]);
        self.builder.switch_to_block(slow);
        let made = self.call_box(slow_path, raw);
        self.builder.ins().jump(done, &[BlockArg::Value(made)]);
        self.builder.switch_to_block(fast);
        let rest = self.load(types::I64, object, 0);
        self.store(rest, interpreter, head);
        let length = self.load(types::I64, interpreter, size);
        let length = self.builder.ins().iadd_imm_s(length, -1);
        self.store(length, interpreter, size);
        let one = self.iconst(1);
        self.store(one, object, self.layout().ob_refcnt);
        initialise(self, object);
        self.builder.ins().jump(done, &[BlockArg::Value(object)]);
        self.builder.switch_to_block(done);
        result
    }

    pub fn box_int(&mut self, value: Value) -> clif::Value {
        let raw = self.value(value);
        let (table, object_size, lowest, highest) = self.target.small_ints;
        if let Some(Op::IntConstant { value }) = self.function.def_op(value)
            && (lowest..=highest).contains(value)
        {
            return self.iconst(table + (value - lowest) as u64 * u64::from(object_size));
        }
        if self.target.debug_refcounts {
            return self.call_box(self.target.box_int, raw);
        }
        let (small, large, compact, slow, done) = (
            self.builder.create_block(),
            self.builder.create_block(),
            self.builder.create_block(),
            self.builder.create_block(),
            self.builder.create_block(),
        );
        self.builder.set_cold_block(slow);
        let result = self.builder.append_block_param(done, types::I64);
        let index = self.builder.ins().iadd_imm_s(raw, -lowest);
        let is_small = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, index, highest - lowest);
        self.builder.ins().brif(is_small, small, &[], large, &[]);
        self.builder.switch_to_block(small);
        let offset = self.builder.ins().imul_imm_s(index, i64::from(object_size));
        let base = self.iconst(table);
        let object = self.builder.ins().iadd(base, offset);
        self.builder.ins().jump(done, &[BlockArg::Value(object)]);
        self.builder.switch_to_block(large);
        let limit = (1i64 << 30) - 1;
        let shifted = self.builder.ins().iadd_imm_s(raw, limit);
        let one_digit = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, shifted, 2 * limit);
        self.builder.ins().brif(one_digit, compact, &[], slow, &[]);
        self.builder.switch_to_block(slow);
        let made = self.call_box(self.target.box_int, raw);
        self.builder.ins().jump(done, &[BlockArg::Value(made)]);
        self.builder.switch_to_block(compact);
        let (tag_offset, digit_offset) = (self.layout().long_tag, self.layout().long_digit);
        let object = self.allocate(self.layout().int_freelist, self.target.box_int, raw, |this, object| {
            // One digit: 1 << 3, sign 0 for positive, 2 for negative (zero is a small int).
            let sign = this.builder.ins().ushr_imm_u(raw, 63);
            let sign = this.builder.ins().ishl_imm_u(sign, 1);
            let tag = this.builder.ins().bor_imm_s(sign, 8);
            this.store(tag, object, tag_offset);
            let magnitude = this.builder.ins().iabs(raw);
            let digit = this.builder.ins().ireduce(types::I32, magnitude);
            this.store(digit, object, digit_offset);
        });
        self.builder.ins().jump(done, &[BlockArg::Value(object)]);
        self.builder.switch_to_block(done);
        result
    }

    /// The value of a float or of an int of one digit.
    pub fn unbox_number(&mut self, value: Value, state: FrameStateId) -> clif::Value {
        let object = self.value(value);
        let (float, other, done) =
            (self.builder.create_block(), self.builder.create_block(), self.builder.create_block());
        let result = self.builder.append_block_param(done, types::F64);
        let is_float = self.is_kind(object, Kind::Float);
        self.builder.ins().brif(is_float, float, &[], other, &[]);
        self.builder.switch_to_block(other);
        let is_int = self.is_kind(object, Kind::Int);
        self.exit_unless_object(is_int, value, state, "UnboxNumber");
        let tag = self.load(types::I64, object, self.layout().long_tag);
        let is_compact = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, tag, 16);
        self.exit_unless(is_compact, state, "UnboxNumber");
        let number = self.compact_value(object, tag);
        let converted = self.builder.ins().fcvt_from_sint(types::F64, number);
        self.builder.ins().jump(done, &[BlockArg::Value(converted)]);
        self.builder.switch_to_block(float);
        let loaded = self.load(types::F64, object, self.layout().float_value);
        self.builder.ins().jump(done, &[BlockArg::Value(loaded)]);
        self.builder.switch_to_block(done);
        result
    }

    /// The value of an int of one digit with this tag.
    fn compact_value(&mut self, object: clif::Value, tag: clif::Value) -> clif::Value {
        let digit = self.load(types::I32, object, self.layout().long_digit);
        let digit = self.builder.ins().uextend(types::I64, digit);
        self.signed(digit, tag)
    }

    /// A magnitude with the sign that an int's tag says.
    fn signed(&mut self, magnitude: clif::Value, tag: clif::Value) -> clif::Value {
        // The tag's low bits are 0 (positive), 1 (zero) or 2 (negative): the factor is 1, 0 or -1.
        let sign = self.builder.ins().band_imm_s(tag, 3);
        let one = self.iconst(1);
        let factor = self.builder.ins().isub(one, sign);
        self.builder.ins().imul(factor, magnitude)
    }

    pub fn unbox_int(&mut self, value: Value, state: FrameStateId) -> clif::Value {
        let object = self.value(value);
        let tag = self.load(types::I64, object, self.layout().long_tag);
        // Every int has a digit, so this can be done before it is known to be all.
        let number = self.compact_value(object, tag);
        let is_compact = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, tag, 16);
        let [long, two, longer, wide, done] = std::array::from_fn(|_| self.builder.create_block());
        for block in [long, two, longer, wide] {
            self.builder.set_cold_block(block);
        }
        let result = self.builder.append_block_param(done, types::I64);
        self.builder.ins().brif(is_compact, done, &[BlockArg::Value(number)], long, &[]);
        self.builder.switch_to_block(long);
        let has_two_digits = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, tag, 24);
        self.builder.ins().brif(has_two_digits, two, &[], longer, &[]);
        self.builder.switch_to_block(two);
        let digits = self.load(types::I64, object, self.layout().long_digit);
        let low = self.builder.ins().band_imm_s(digits, i64::from(u32::MAX));
        let high = self.builder.ins().ushr_imm_u(digits, 32);
        let high = self.builder.ins().ishl_imm_u(high, 30);
        let magnitude = self.builder.ins().bor(low, high);
        let number = self.signed(magnitude, tag);
        self.builder.ins().jump(done, &[BlockArg::Value(number)]);
        self.builder.switch_to_block(longer);
        self.call_preserving(self.target.unbox_int, &[object]);
        let fits = self.preserving_result(1);
        let exit = self.exit_block(state, ExitKind::Guard, "UnboxInt");
        self.builder.ins().brif(fits, wide, &[], exit, &[]);
        self.builder.switch_to_block(wide);
        let number = self.preserving_result(0);
        self.builder.ins().jump(done, &[BlockArg::Value(number)]);
        self.builder.switch_to_block(done);
        result
    }
}
