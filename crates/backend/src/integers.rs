//! Integers in registers: shifts, division, indices, and which of them cannot be negative.

use crate::lower::Lowerer;
use coluber_ir::ops::{IteratorField, Packed};
use coluber_ir::{Comparison, FrameStateId, Function, Helper, Op, Type, Value};
use cranelift_codegen::ir::{self as clif, InstBuilder, condcodes::IntCC, types};
use cranelift_entity::EntitySet;

/// Integer registers that are never negative, by what they are made from. Parameters of blocks are taken to be until an
/// edge brings something else.
pub(crate) fn naturals(function: &Function) -> EntitySet<Value> {
    let mut naturals = EntitySet::new();
    for value in function.values.keys().filter(|value| function.ty(*value) == Type::I64) {
        naturals.insert(value);
    }
    let mut changed = true;
    while changed {
        changed = false;
        let mut refute = |value: Value, naturals: &mut EntitySet<Value>| {
            changed |= naturals.contains(value);
            naturals.remove(value);
        };
        for &block in &function.layout {
            for &inst in &function.blocks[block].insts {
                let data = &function.insts[inst];
                if let Some(result) = data.result
                    && naturals.contains(result)
                    && !is_natural(function, &data.op, &naturals)
                {
                    refute(result, &mut naturals);
                }
                data.op.for_each_target(|target| {
                    let parameters = &function.blocks[target.block].parameters;
                    for (parameter, argument) in parameters.iter().zip(&target.arguments) {
                        if !naturals.contains(*argument) {
                            refute(*parameter, &mut naturals);
                        }
                    }
                });
            }
        }
    }
    naturals
}

/// Whether an op gives a natural number if its operands are what they are taken for.
fn is_natural(function: &Function, op: &Op, naturals: &EntitySet<Value>) -> bool {
    let is = |value: &Value| naturals.contains(*value);
    match op {
        Op::IntConstant { value } => *value >= 0,
        Op::BoolToInt { .. }
        | Op::ListLength { .. }
        | Op::TupleLength { .. }
        | Op::PackedLength { .. }
        | Op::GuardIndex { .. }
        | Op::LoadIterator { field: IteratorField::RangeLength, .. }
        | Op::Invoke { helper: Helper::BuiltinLength, .. } => true,
        Op::PackedInt { format, .. } => {
            matches!(format, Packed::Bytes | Packed::ByteArray | Packed::UInt8 | Packed::UInt16 | Packed::UInt32)
        }
        Op::IntAdd { left, right, .. }
        | Op::IntMultiply { left, right, .. }
        | Op::IntAdvance { left, right }
        | Op::IntFloorDivide { left, right, .. }
        | Op::IntOr { left, right }
        | Op::IntXor { left, right } => is(left) && is(right),
        Op::IntAnd { left, right } => is(left) || is(right),
        // The sign is that of the divisor.
        Op::IntRemainder { right, .. } => is(right),
        Op::IntShiftLeft { left, .. } | Op::IntShiftRight { left, .. } => is(left),
        Op::UnboxInt { value, .. } => match function.def_op(function.root(*value)) {
            Some(Op::BoxInt { value }) => is(value),
            _ => false,
        },
        _ => false,
    }
}

impl Lowerer<'_> {
    pub fn int_constant(&self, value: Value) -> Option<i64> {
        match self.function.def_op(value) {
            Some(Op::IntConstant { value }) => Some(*value),
            _ => None,
        }
    }

    fn are_natural(&self, left: Value, right: Value) -> bool {
        self.naturals.contains(left) && self.naturals.contains(right)
    }

    /// Exits unless a division by the operand is defined and cannot overflow.
    fn check_divisor(&mut self, right: Value, state: FrameStateId, reason: &'static str) {
        if matches!(self.int_constant(right), Some(1..)) {
            return;
        }
        let raw = self.value(right);
        // 0 and -1 are the two values for which `x + 1` is 0 or 1.
        let shifted = self.builder.ins().iadd_imm_s(raw, 1);
        let fine = self.builder.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, shifted, 1);
        self.exit_unless(fine, state, reason);
    }

    fn power_of_two(&self, value: Value) -> Option<u32> {
        self.int_constant(value).filter(|value| *value > 0 && value.count_ones() == 1).map(i64::trailing_zeros)
    }

    pub fn floor_divide(&mut self, left: Value, right: Value, state: FrameStateId) -> clif::Value {
        if let Some(shift) = self.power_of_two(right) {
            let left = self.value(left);
            return self.builder.ins().sshr_imm_u(left, i64::from(shift));
        }
        self.check_divisor(right, state, "IntFloorDivide");
        let is_natural = self.are_natural(left, right);
        let (left, right) = (self.value(left), self.value(right));
        let quotient = self.builder.ins().sdiv(left, right);
        if is_natural {
            return quotient;
        }
        let product = self.builder.ins().imul(quotient, right);
        let rest = self.builder.ins().isub(left, product);
        let signs = self.builder.ins().bxor(rest, right);
        let differ = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, signs, 0);
        let inexact = self.builder.ins().icmp_imm_s(IntCC::NotEqual, rest, 0);
        let adjust = self.builder.ins().band(differ, inexact);
        let adjust = self.builder.ins().uextend(types::I64, adjust);
        self.builder.ins().isub(quotient, adjust)
    }

    pub fn remainder(&mut self, left: Value, right: Value, state: FrameStateId) -> clif::Value {
        if let Some(shift) = self.power_of_two(right) {
            let left = self.value(left);
            return self.builder.ins().band_imm_s(left, (1 << shift) - 1);
        }
        self.check_divisor(right, state, "IntRemainder");
        let is_natural = self.are_natural(left, right);
        let (left, right) = (self.value(left), self.value(right));
        let rest = self.builder.ins().srem(left, right);
        if is_natural {
            return rest;
        }
        let signs = self.builder.ins().bxor(rest, right);
        let differ = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, signs, 0);
        let inexact = self.builder.ins().icmp_imm_s(IntCC::NotEqual, rest, 0);
        let adjust = self.builder.ins().band(differ, inexact);
        let shifted = self.builder.ins().iadd(rest, right);
        self.builder.ins().select(adjust, shifted, rest)
    }

    pub fn shift_left(&mut self, left: Value, right: Value, state: FrameStateId) -> clif::Value {
        self.check_count(right, 63, state, "IntShiftLeft");
        let (left, count) = (self.value(left), self.value(right));
        let result = self.builder.ins().ishl(left, count);
        let back = self.builder.ins().sshr(result, count);
        let same = self.builder.ins().icmp(IntCC::Equal, back, left);
        self.exit_unless(same, state, "IntShiftLeft");
        result
    }

    pub fn shift_right(&mut self, left: Value, right: Value, state: FrameStateId) -> clif::Value {
        self.check_count(right, 64, state, "IntShiftRight");
        let (left, count) = (self.value(left), self.value(right));
        self.builder.ins().sshr(left, count)
    }

    /// Exits unless the machine can shift by so much.
    fn check_count(&mut self, count: Value, limit: i64, state: FrameStateId, reason: &'static str) {
        if self.int_constant(count).is_some_and(|count| (0..limit).contains(&count)) {
            return;
        }
        let count = self.value(count);
        let small = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, count, limit);
        self.exit_unless(small, state, reason);
    }

    /// An index that may count from the back as one that counts from the front; exits if it is out of range.
    pub fn guard_index(&mut self, index: Value, length: Value, state: FrameStateId) -> clif::Value {
        let length = self.value(length);
        let raw = self.value(index);
        let position = if self.naturals.contains(index) {
            raw
        } else {
            let negative = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, raw, 0);
            let wrapped = self.builder.ins().iadd(raw, length);
            self.builder.ins().select(negative, wrapped, raw)
        };
        let inside = self.builder.ins().icmp(IntCC::UnsignedLessThan, position, length);
        self.exit_unless(inside, state, "GuardIndex");
        position
    }
}

/// Cranelift's name of a comparison.
pub(crate) fn int_condition(comparison: Comparison) -> IntCC {
    match comparison {
        Comparison::Less => IntCC::SignedLessThan,
        Comparison::LessEqual => IntCC::SignedLessThanOrEqual,
        Comparison::Equal => IntCC::Equal,
        Comparison::NotEqual => IntCC::NotEqual,
        Comparison::Greater => IntCC::SignedGreaterThan,
        Comparison::GreaterEqual => IntCC::SignedGreaterThanOrEqual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn natural_values(text: &str) -> Vec<String> {
        let function = coluber_ir::parser::parse_function(text).expect("the text is IR");
        let naturals = naturals(&function);
        function.values.keys().filter(|value| naturals.contains(*value)).map(|value| value.to_string()).collect()
    }

    #[test]
    fn loop_counters_from_zero_are_natural() {
        let text = "fn counts() {\nb0:\n    v0 = IntConstant 0\n    v1 = IntConstant 1\n    v2 = IntConstant 9\n    \
                    Jump b1(v0)\nb1(v3: I64):\n    v4 = IntCompare Less, v3, v2\n    Branch v4, b2, b3\nb2:\n    \
                    v5 = IntAdvance v3, v1\n    Jump b1(v5)\nb3:\n    v6 = BoxInt v3\n    Return v6\n}\n";
        assert_eq!(natural_values(text), ["v0", "v1", "v2", "v3", "v5"]);
    }

    #[test]
    fn what_counts_down_is_not() {
        let text = "fn counts() {\nb0:\n    v0 = IntConstant 9\n    v1 = IntConstant -1\n    v2 = IntConstant 7\n    \
                    Jump b1(v0)\nb1(v3: I64):\n    v4 = IntCompare Less, v3, v2\n    Branch v4, b2, b3\nb2:\n    \
                    v5 = IntAdvance v3, v1\n    v6 = IntAnd v5, v2\n    Jump b1(v5)\nb3:\n    v7 = BoxInt v3\n    \
                    Return v7\n}\n";
        assert_eq!(natural_values(text), ["v0", "v2", "v6"]);
    }
}
