//! Builtin functions and methods as operations of their own: `math`, `list.insert`, `list.pop`, `dict.get`.

use crate::Bailout;
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{Comparison, Kind};
use coluber_ir::helpers::MATH_FUNCTIONS;
use coluber_ir::{Helper, Op, Value};

impl Translator<'_> {
    /// Compiles the call of a builtin by name; false if it has no form of its own.
    pub(crate) fn call_intrinsic(&mut self, name: &str, count: u32, has_self: bool) -> Result<bool, Bailout> {
        if let Some(function) = name.strip_prefix("math.")
            && let Some(number) = MATH_FUNCTIONS.iter().position(|known| *known == function)
            && (count, has_self) == (1, false)
        {
            return self.math_function(number as i64);
        }
        let receiver = match (has_self, self.peek_slot(count + 1)?) {
            (true, Slot::Value(receiver)) => receiver,
            _ => return Ok(false),
        };
        match (name, count, self.kind(receiver)) {
            ("list.insert", 2, Some(Kind::List)) if self.is_int(2)? => {
                let (index, item) = (self.peek(2)?, self.peek(1)?);
                self.rely_on_invariants();
                let index = self.unbox(index, Kind::Int);
                self.invoke(Helper::ListInsert, &[receiver, index, item]);
                let none = self.emit_value(Op::NoneConstant {});
                self.finish_call(count, none)?;
                Ok(true)
            }
            ("list.pop", 0 | 1, Some(Kind::List)) if count == 0 || self.is_int(1)? => {
                self.rely_on_invariants();
                let index = match count {
                    0 => self.int(-1),
                    _ => {
                        let index = self.peek(1)?;
                        self.unbox(index, Kind::Int)
                    }
                };
                let item = self.invoke(Helper::ListPop, &[receiver, index]).expect("an item is a result");
                self.finish_call(count, item)?;
                Ok(true)
            }
            ("dict.get", 1 | 2, Some(Kind::Dict)) => {
                self.rely_on_invariants();
                let (key, default) = match count {
                    1 => (self.peek(1)?, self.emit_value(Op::NoneConstant {})),
                    _ => (self.peek(2)?, self.peek(1)?),
                };
                let value = self.invoke(Helper::DictGetOr, &[receiver, key, default]).expect("a value is a result");
                self.finish_call(count, value)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn is_int(&self, depth: u32) -> Result<bool, Bailout> {
        Ok(self.kind(self.peek(depth)?) == Some(Kind::Int))
    }

    /// A function of the C library; where Python raises, the result is not finite and the unit is left.
    fn math_function(&mut self, number: i64) -> Result<bool, Bailout> {
        let operand = self.peek(1)?;
        let value = match self.kind(operand) {
            Some(Kind::Float) => self.unbox(operand, Kind::Float),
            // `math.log` of an int is a function of its own.
            Some(Kind::Int) if !MATH_FUNCTIONS[number as usize].starts_with("log") => {
                let value = self.unbox(operand, Kind::Int);
                self.emit_value(Op::IntToFloat { value })
            }
            _ => return Ok(false),
        };
        self.rely_on_invariants();
        let number = self.int(number);
        let state = self.before();
        let result = self.emit_value(Op::Invoke { helper: Helper::MathUnary, arguments: vec![value, number], state });
        self.guard_finite(result);
        self.finish_call(1, result)?;
        Ok(true)
    }

    fn guard_finite(&mut self, value: Value) {
        // Of infinities and NaN the difference to themselves is a NaN.
        let difference = self.emit_value(Op::FloatSubtract { left: value, right: value });
        let zero = self.emit_value(Op::FloatConstant { bits: 0 });
        let condition =
            self.emit_value(Op::FloatCompare { comparison: Comparison::Equal, left: difference, right: zero });
        let state = self.before();
        self.emit(Op::GuardTrue { condition, state });
    }
}
