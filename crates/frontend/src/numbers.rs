//! Arithmetic, comparisons and truth on registers.
//!
//! An operation on numbers is compiled for registers when the kinds of its operands are known or the feedback says what
//! they were; otherwise the helper does it, exactly as the interpreter would.

use crate::Bailout;
use crate::translator::Translator;
use coluber_bytecode::{BinaryKind, Comparison, Feedback, Instruction, Kind, Seen};
use coluber_ir::{Helper, Op, Overflow, Type, Value};

/// Up to here every int is a float (IEEE 754, 53 bits of precision).
const LARGEST_EXACT: i64 = 1 << 53;

/// The kinds an arithmetic operation is compiled for.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Operands {
    Ints,
    Floats,
}

fn seen_kind(seen: Seen) -> Option<Kind> {
    match seen {
        Seen::Int => Some(Kind::Int),
        Seen::Float => Some(Kind::Float),
        _ => None,
    }
}

impl Translator<'_> {
    /// Kinds of two operands: known, or as the feedback says, or as an earlier version noted.
    fn operand_kinds(&self, left: Value, right: Value, instruction: &Instruction) -> Option<(Kind, Kind)> {
        if !self.settings.speculate {
            return None;
        }
        let known = (self.kind(left), self.kind(right));
        let (seen_left, seen_right) = match &instruction.feedback {
            _ if self.gave_up(instruction) => (None, None),
            Feedback::Seen(seen) => (seen_kind(*seen), seen_kind(*seen)),
            Feedback::SeenPair(left, right) => (seen_kind(*left), seen_kind(*right)),
            _ => match self.operand_classes(instruction) {
                Some((left, right)) => (self.constructed_kind(left), self.constructed_kind(right)),
                // The interpreter has no form for some operators on floats: one operand tells of the other.
                None if known.0 == Some(Kind::Float) || known.1 == Some(Kind::Float) => {
                    (Some(Kind::Float), Some(Kind::Float))
                }
                None => (None, None),
            },
        };
        let left = known.0.or(seen_left)?;
        let right = known.1.or(seen_right)?;
        let number = |kind| matches!(kind, Kind::Int | Kind::Float | Kind::Bool);
        (number(left) && number(right)).then_some((left, right))
    }

    /// The operand as an integer register; a bool counts as 0 or 1.
    fn as_int(&mut self, value: Value, kind: Kind) -> Value {
        let raw = self.unbox(value, kind);
        if self.ty(raw) == Type::Bool { self.emit_value(Op::BoolToInt { value: raw }) } else { raw }
    }

    /// An int register as the float that is equal to it: exits if there is none.
    fn as_equal_float(&mut self, value: Value) -> Value {
        if !self.is_exact_as_float(value) {
            self.guard_magnitude(value, LARGEST_EXACT);
        }
        self.emit_value(Op::IntToFloat { value })
    }

    /// Exits unless an int register holds at least `-limit` and less than `limit`.
    pub(crate) fn guard_magnitude(&mut self, value: Value, limit: i64) {
        let length = self.int(limit);
        let condition = self.emit_value(Op::IsInRange { index: value, length });
        let state = self.before();
        self.emit(Op::GuardTrue { condition, state });
    }

    /// The operand as a float register.
    fn as_float(&mut self, value: Value, kind: Kind) -> Value {
        if kind == Kind::Float {
            return self.unbox(value, kind);
        }
        let value = self.as_int(value, kind);
        self.emit_value(Op::IntToFloat { value })
    }

    pub(crate) fn binary(&mut self, kind: BinaryKind, inplace: bool, instruction: &Instruction) -> Result<(), Bailout> {
        let (left, right) = (self.peek(2)?, self.peek(1)?);
        if let Some((left_kind, right_kind)) = self.operand_kinds(left, right, instruction)
            && let Some(result) = self.binary_on_registers(kind, (left, left_kind), (right, right_kind))
        {
            return self.finish_binary(result);
        }
        if self.mixes_numbers(instruction) && self.binary_on_mixed_numbers(kind)? {
            return Ok(());
        }
        if self.binary_by_method(kind, inplace, instruction)? {
            return Ok(());
        }
        self.profile_operands(left, right, instruction);
        self.binary_generic(kind, inplace)
    }

    /// The operator by the runtime, whatever the operands are.
    fn binary_generic(&mut self, kind: BinaryKind, inplace: bool) -> Result<(), Bailout> {
        let (left, right) = (self.peek(2)?, self.peek(1)?);
        let number = self.int(kind as i64 + if inplace { 13 } else { 0 });
        let result = self.invoke(Helper::BinaryOp, &[left, right, number]).expect("a binary operator has a result");
        self.finish_binary(result)
    }

    /// Whether guards at an instruction failed because ints and floats meet there.
    fn mixes_numbers(&self, instruction: &Instruction) -> bool {
        let code = self.state.top().code;
        let is_number = |version: &u32| {
            self.snapshot
                .class_by_version(*version)
                .and_then(|class| self.constructed_kind(class))
                .is_some_and(|kind| matches!(kind, Kind::Int | Kind::Float))
        };
        let mut facts = self
            .snapshot
            .exits
            .iter()
            .filter(|fact| {
                fact.code == code
                    && fact.offset == instruction.start
                    && fact.count >= 20
                    && fact.reason != crate::operators::OPERANDS
            })
            .peekable();
        self.settings.speculate
            && facts.peek().is_some()
            && facts.all(|fact| {
                fact.reason == "GuardKind" && !fact.classes.is_empty() && fact.classes.iter().all(is_number)
            })
    }

    /// An int or float as a float register, the nearest one.
    fn as_number(&mut self, value: Value) -> Value {
        match self.kind(value) {
            Some(kind @ (Kind::Int | Kind::Float | Kind::Bool)) => self.as_float(value, kind),
            _ => {
                let value = self.object(value);
                let state = self.before();
                self.emit_value(Op::UnboxNumber { value, state })
            }
        }
    }

    /// Arithmetic where ints and floats meet. With one operand certainly a float the result is one. Else a path for two
    /// ints leaves that of floats.
    fn binary_on_mixed_numbers(&mut self, kind: BinaryKind) -> Result<bool, Bailout> {
        use BinaryKind as B;
        if !matches!(kind, B::Add | B::Subtract | B::Multiply | B::TrueDivide) {
            return Ok(false);
        }
        let (left, right) = (self.peek(2)?, self.peek(1)?);
        let float = |this: &Self, value| this.kind(value) == Some(Kind::Float);
        if float(self, left) || float(self, right) {
            let left = self.as_number(left);
            let right = self.as_number(right);
            let result = self.float_operation(kind, left, right);
            self.finish_binary(result)?;
            return Ok(true);
        }
        let (left, right) = (self.object(left), self.object(right));
        let (before, after) = self.resumes();
        let mut floats = Vec::new();
        for value in [left, right] {
            if self.kind(value) == Some(Kind::Int) {
                continue;
            }
            let condition = self.emit_value(Op::IsKind { value, kind: Kind::Float });
            let (is_float, is_other) = self.branch_on(condition);
            let state = self.state.clone();
            self.block = Some(is_float);
            self.open_numbers(left, right, value)?;
            floats.push(self.end_path());
            self.state = state;
            self.block = Some(is_other);
            self.begin(before, after);
        }
        if floats.is_empty() {
            return Err(self.malformed("two ints mix"));
        }
        let ints = self.binary_on_registers(kind, (left, Kind::Int), (right, Kind::Int));
        self.finish_binary(ints.expect("a form for ints"))?;
        let ints = self.end_path();
        self.merge(floats, before)?;
        self.begin(before, after);
        let (left, right) = (self.peek(2)?, self.peek(1)?);
        let result = self.float_operation(kind, left, right);
        self.finish_binary(result)?;
        let floats = self.end_path();
        self.merge(vec![floats, ints], after)?;
        Ok(true)
    }

    /// Puts two operands into float registers; `float` is the one that is known to be a float.
    fn open_numbers(&mut self, left: Value, right: Value, float: Value) -> Result<(), Bailout> {
        let registers = [left, right].map(|value| {
            if value == float {
                let value = self.emit_value(Op::AssumeKind { value, kind: Kind::Float });
                self.emit_value(Op::UnboxFloat { value })
            } else {
                self.as_number(value)
            }
        });
        let operands = [self.pop()?, self.pop()?];
        registers.into_iter().for_each(|register| self.push(register));
        // The interpreter could go on with floats too.
        self.begin_again(|this| this.release_all(&operands));
        Ok(())
    }

    fn float_operation(&mut self, kind: BinaryKind, left: Value, right: Value) -> Value {
        match kind {
            BinaryKind::Add => self.emit_value(Op::FloatAdd { left, right }),
            BinaryKind::Subtract => self.emit_value(Op::FloatSubtract { left, right }),
            BinaryKind::Multiply => self.emit_value(Op::FloatMultiply { left, right }),
            _ => {
                let state = self.before();
                self.emit_value(Op::FloatDivide { left, right, state })
            }
        }
    }

    /// Replaces the two operands on the stack by the result.
    fn finish_binary(&mut self, result: Value) -> Result<(), Bailout> {
        let (right, left) = (self.pop()?, self.pop()?);
        self.push(result);
        self.release_all(&[left, right]);
        Ok(())
    }

    fn binary_on_registers(
        &mut self,
        kind: BinaryKind,
        (left, left_kind): (Value, Kind),
        (right, right_kind): (Value, Kind),
    ) -> Option<Value> {
        let operands =
            if left_kind == Kind::Float || right_kind == Kind::Float { Operands::Floats } else { Operands::Ints };
        if operands == Operands::Ints && left_kind == Kind::Bool && right_kind == Kind::Bool {
            // `True & False` is a bool; rare enough for the helper.
            return None;
        }
        use BinaryKind as B;
        match operands {
            Operands::Floats => {
                if !matches!(
                    kind,
                    B::Add | B::Subtract | B::Multiply | B::TrueDivide | B::Power | B::FloorDivide | B::Remainder
                ) {
                    return None;
                }
                let left = self.as_float(left, left_kind);
                let right = self.as_float(right, right_kind);
                let state = self.before();
                Some(match kind {
                    B::Add => self.emit_value(Op::FloatAdd { left, right }),
                    B::Subtract => self.emit_value(Op::FloatSubtract { left, right }),
                    B::Multiply => self.emit_value(Op::FloatMultiply { left, right }),
                    B::TrueDivide => self.emit_value(Op::FloatDivide { left, right, state }),
                    B::Power => self.emit_value(Op::FloatPower { left, right, state }),
                    _ => {
                        let zero = self.emit_value(Op::FloatConstant { bits: 0 });
                        let condition = self.emit_value(Op::FloatCompare {
                            comparison: Comparison::Equal,
                            left: right,
                            right: zero,
                        });
                        self.emit(Op::GuardFalse { condition, state });
                        let helper =
                            if kind == B::Remainder { Helper::FloatRemainder } else { Helper::FloatFloorDivide };
                        self.emit_value(Op::Invoke { helper, arguments: vec![left, right], state })
                    }
                })
            }
            Operands::Ints => {
                if matches!(kind, B::Power | B::MatrixMultiply) {
                    return None;
                }
                let left = self.as_int(left, left_kind);
                let right = self.as_int(right, right_kind);
                let state = self.before();
                let overflow = Overflow::Checked;
                let op = match kind {
                    B::Add => Op::IntAdd { left, right, overflow, state },
                    B::Subtract => Op::IntSubtract { left, right, overflow, state },
                    B::Multiply => Op::IntMultiply { left, right, overflow, state },
                    B::FloorDivide => Op::IntFloorDivide { left, right, state },
                    B::Remainder => Op::IntRemainder { left, right, state },
                    B::TrueDivide => Op::IntTrueDivide { left, right, state },
                    B::And => Op::IntAnd { left, right },
                    B::Or => Op::IntOr { left, right },
                    B::Xor => Op::IntXor { left, right },
                    B::LeftShift => Op::IntShiftLeft { left, right, state },
                    B::RightShift => Op::IntShiftRight { left, right, state },
                    B::Power | B::MatrixMultiply => return None,
                };
                Some(self.emit_value(op))
            }
        }
    }

    pub(crate) fn compare(
        &mut self,
        comparison: Comparison,
        to_bool: bool,
        instruction: &Instruction,
    ) -> Result<(), Bailout> {
        let (left, right) = (self.peek(2)?, self.peek(1)?);
        let result = if let Some((left_kind, right_kind)) = self.operand_kinds(left, right, instruction) {
            self.compare_numbers(comparison, (left, left_kind), (right, right_kind), instruction)
        } else {
            None
        };
        let result = match result {
            Some(result) => result,
            None if self.mixes_numbers(instruction) => {
                let left = self.as_comparable(left);
                let right = self.as_comparable(right);
                self.emit_value(Op::FloatCompare { comparison, left, right })
            }
            None if self.is_str_equality(comparison, left, right, instruction) => {
                let left = self.guard_kind(left, Kind::Str);
                let right = self.guard_kind(right, Kind::Str);
                let equal = self.invoke(Helper::StrEqual, &[left, right]).expect("a comparison has a result");
                if comparison == Comparison::Equal { equal } else { self.emit_value(Op::BoolNot { value: equal }) }
            }
            None => {
                self.profile_operands(left, right, instruction);
                let number = self.int(comparison as i64);
                let helper = if to_bool { Helper::CompareBool } else { Helper::Compare };
                self.invoke(helper, &[left, right, number]).expect("a comparison has a result")
            }
        };
        let (right, left) = (self.pop()?, self.pop()?);
        self.push(result);
        self.release(left);
        self.release(right);
        Ok(())
    }

    fn is_str_equality(&self, comparison: Comparison, left: Value, right: Value, instruction: &Instruction) -> bool {
        if !self.settings.speculate || !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            return false;
        }
        (self.kind(left) == Some(Kind::Str) && self.kind(right) == Some(Kind::Str))
            || (instruction.feedback == Feedback::Seen(Seen::Str) && !self.gave_up(instruction))
    }

    fn compare_numbers(
        &mut self,
        comparison: Comparison,
        (left, left_kind): (Value, Kind),
        (right, right_kind): (Value, Kind),
        instruction: &Instruction,
    ) -> Option<Value> {
        if left_kind == Kind::Float && right_kind == Kind::Float {
            let left = self.unbox(left, Kind::Float);
            let right = self.unbox(right, Kind::Float);
            return Some(self.emit_value(Op::FloatCompare { comparison, left, right }));
        }
        if left_kind == Kind::Float || right_kind == Kind::Float {
            if self.gave_up(instruction) {
                return None;
            }
            let left = self.as_comparable_kind(left, left_kind);
            let right = self.as_comparable_kind(right, right_kind);
            return Some(self.emit_value(Op::FloatCompare { comparison, left, right }));
        }
        let left = self.as_int(left, left_kind);
        let right = self.as_int(right, right_kind);
        Some(self.emit_value(Op::IntCompare { comparison, left, right }))
    }

    /// An int or float as a float register that compares as it does.
    fn as_comparable(&mut self, value: Value) -> Value {
        match self.kind(value) {
            Some(kind @ (Kind::Int | Kind::Float | Kind::Bool)) => self.as_comparable_kind(value, kind),
            // Ints of one digit are exact as floats.
            _ => self.as_number(value),
        }
    }

    fn as_comparable_kind(&mut self, value: Value, kind: Kind) -> Value {
        if kind == Kind::Float {
            return self.unbox(value, kind);
        }
        let value = self.as_int(value, kind);
        self.as_equal_float(value)
    }

    /// Whether an int register certainly holds what a float can.
    fn is_exact_as_float(&self, value: Value) -> bool {
        match self.function.def_op(value) {
            Some(Op::IntConstant { value }) => value.unsigned_abs() <= LARGEST_EXACT.unsigned_abs(),
            Some(Op::BoolToInt { .. }) => true,
            _ => false,
        }
    }

    pub(crate) fn unary(&mut self, helper: Helper, instruction: &Instruction) -> Result<(), Bailout> {
        let operand = self.peek(1)?;
        let result = match (helper, self.kind(operand)) {
            _ if !self.settings.speculate => None,
            (Helper::Negative, Some(Kind::Int)) if !self.gave_up(instruction) => {
                let value = self.unbox(operand, Kind::Int);
                let state = self.before();
                Some(self.emit_value(Op::IntNegate { value, state }))
            }
            (Helper::Negative, Some(Kind::Float)) => {
                let value = self.unbox(operand, Kind::Float);
                Some(self.emit_value(Op::FloatNegate { value }))
            }
            (Helper::Invert, Some(Kind::Int)) if !self.gave_up(instruction) => {
                let value = self.unbox(operand, Kind::Int);
                Some(self.emit_value(Op::IntInvert { value }))
            }
            _ => None,
        };
        let result = match result {
            Some(result) => result,
            None => self.invoke(helper, &[operand]).expect("a unary operator has a result"),
        };
        let operand = self.pop()?;
        self.push(result);
        self.release(operand);
        Ok(())
    }

    /// Truth of a value as a `Bool` register.
    pub(crate) fn truth(&mut self, operand: Value, instruction: &Instruction) -> Value {
        match self.ty(operand) {
            Type::Bool => return operand,
            Type::I64 => {
                let right = self.int(0);
                return self.emit_value(Op::IntCompare { comparison: Comparison::NotEqual, left: operand, right });
            }
            Type::F64 => {
                let right = self.emit_value(Op::FloatConstant { bits: 0 });
                return self.emit_value(Op::FloatCompare { comparison: Comparison::NotEqual, left: operand, right });
            }
            _ => {}
        }
        if self.settings.speculate {
            let seen = match &instruction.feedback {
                _ if self.gave_up(instruction) => None,
                Feedback::Seen(Seen::Int) => Some(Kind::Int),
                Feedback::Seen(Seen::Bool) => Some(Kind::Bool),
                Feedback::Seen(Seen::Str) => Some(Kind::Str),
                Feedback::Seen(Seen::List) => Some(Kind::List),
                _ => None,
            };
            match self.kind(operand).or(seen) {
                Some(Kind::None) => return self.emit_value(Op::BoolConstant { value: false }),
                Some(Kind::Bool) => return self.unbox(operand, Kind::Bool),
                Some(Kind::Int) => {
                    let operand = self.guard_kind(operand, Kind::Int);
                    return self.invoke(Helper::BuiltinIsTrue, &[operand]).expect("truth is a result");
                }
                Some(Kind::Float) => {
                    let left = self.unbox(operand, Kind::Float);
                    let right = self.emit_value(Op::FloatConstant { bits: 0 });
                    return self.emit_value(Op::FloatCompare { comparison: Comparison::NotEqual, left, right });
                }
                Some(Kind::List) => {
                    let list = self.guard_kind(operand, Kind::List);
                    let left = self.emit_value(Op::ListLength { list });
                    let right = self.int(0);
                    return self.emit_value(Op::IntCompare { comparison: Comparison::NotEqual, left, right });
                }
                Some(Kind::Tuple) => {
                    let tuple = self.guard_kind(operand, Kind::Tuple);
                    let left = self.emit_value(Op::TupleLength { tuple });
                    let right = self.int(0);
                    return self.emit_value(Op::IntCompare { comparison: Comparison::NotEqual, left, right });
                }
                Some(kind @ (Kind::Str | Kind::Dict | Kind::Set | Kind::FrozenSet | Kind::Bytes | Kind::ByteArray)) => {
                    let operand = self.guard_kind(operand, kind);
                    return self.invoke(Helper::BuiltinIsTrue, &[operand]).expect("truth is a result");
                }
                _ => {}
            }
            let is_noted = self.operand_classes(instruction).is_some();
            if instruction.feedback == Feedback::Seen(Seen::None) && !self.gave_up(instruction) && !is_noted {
                self.guard_kind(operand, Kind::None);
                return self.emit_value(Op::BoolConstant { value: false });
            }
            if let Some(truth) = self.truth_of_noted(operand, instruction) {
                return truth;
            }
        }
        self.invoke(Helper::IsTrue, &[operand]).expect("truth is a result")
    }
}
