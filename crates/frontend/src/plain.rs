//! Operators and builtins in trials on objects of unknown types: helpers that do them for plain objects only.

use crate::Bailout;
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{Comparison, Kind, ObjectId, ObjectValue};
use coluber_ir::{Helper, Op, Value};

impl Translator<'_> {
    /// In a trial: an operator on objects of unknown types, for plain ones only. `None` if there is no such form of it.
    pub(crate) fn invoke_plain(&mut self, helper: Helper, operands: &[Value]) -> Option<Value> {
        let (plain, extra) = match helper {
            Helper::IterNext if self.is_new(operands[0]) => {
                return self.invoke(Helper::PlainNext, operands);
            }
            Helper::GetIter => (Helper::PlainIterator, None),
            Helper::BinaryOp => (Helper::PlainBinary, None),
            Helper::Negative => (Helper::PlainUnary, Some(0)),
            Helper::Invert => (Helper::PlainUnary, Some(1)),
            Helper::Compare | Helper::CompareBool => (Helper::PlainCompare, None),
            Helper::IsTrue => (Helper::PlainTruth, None),
            Helper::Contains => (Helper::PlainContains, None),
            Helper::Subscript => (Helper::PlainSubscript, None),
            _ => return None,
        };
        let mut arguments = operands.to_vec();
        arguments.extend(extra.map(|number| self.int(number)));
        let answer = self.invoke(plain, &arguments).expect("a number is a result");
        if !plain.has_outputs() {
            let (zero, one) = (self.int(0), self.int(1));
            let comparison = Comparison::GreaterEqual;
            let condition = self.emit_value(Op::IntCompare { comparison, left: answer, right: zero });
            let state = self.before();
            self.emit(Op::GuardTrue { condition, state });
            return Some(self.emit_value(Op::IntCompare { comparison: Comparison::Equal, left: answer, right: one }));
        }
        let result = self.take_plain(plain);
        if helper != Helper::CompareBool {
            return Some(result);
        }
        let value = self.emit_value(Op::AssumeKind { value: result, kind: Kind::Bool });
        Some(self.emit_value(Op::UnboxBool { value }))
    }

    /// The output of a helper that has one if it was done; else the trial is undone.
    fn take_plain(&mut self, helper: Helper) -> Value {
        let result = self.emit_value(Op::TakeOutput { index: 0 });
        // What a builtin returns that is no plain object is new.
        if matches!(helper, Helper::PlainIterator | Helper::PlainCall) {
            self.made.insert(result);
        }
        // The state has to name it.
        self.push(result);
        self.begin_same();
        let state = self.before();
        let result = self.emit_value(Op::GuardBound { value: result, state });
        self.state.top_mut().stack.pop();
        result
    }

    /// In a trial: the call of a builtin that does nothing but compute, if its arguments turn out to be plain.
    pub(crate) fn call_plain(&mut self, callee: ObjectId, count: u32) -> Result<bool, Bailout> {
        let facts = self.snapshot.objects.get(callee);
        let takes_containers = match &facts.value {
            _ if self.state.trial.is_none() => return Ok(false),
            ObjectValue::Builtin(facts) => match plain_builtin(&facts.name) {
                Some(takes_containers) => takes_containers,
                None => return Ok(false),
            },
            ObjectValue::Class(facts) if !facts.is_heap => match facts.kind {
                Some(Kind::Int | Kind::Float | Kind::Str | Kind::Bool) => false,
                Some(Kind::Range | Kind::List | Kind::Tuple | Kind::Enumerate | Kind::Zip | Kind::Reversed) => true,
                _ => return Ok(false),
            },
            _ => return Ok(false),
        };
        let receiver = self.peek_slot(count + 1)?;
        let total = count + u32::from(receiver != Slot::Null);
        if total == 0 || total > 3 {
            return Ok(false);
        }
        // Of operands of known types there are better forms.
        let is_known = total == 1 && self.kind(self.peek(1)?).is_some();
        let has_forms = match &facts.value {
            ObjectValue::Builtin(facts) => matches!(facts.name.as_str(), "builtins.len" | "builtins.abs"),
            _ => !takes_containers,
        };
        if is_known && has_forms && self.kind(self.peek(1)?) != Some(Kind::Str) {
            return Ok(false);
        }
        self.rely_on_invariants();
        let made = self.made_by_call(count, 0)?;
        let mut arguments = vec![self.constant(callee)];
        for depth in (1..=total).rev() {
            let argument = self.peek(depth)?;
            arguments.push(self.object(argument));
        }
        while arguments.len() < 4 {
            arguments.push(self.emit_value(Op::NullConstant {}));
        }
        arguments.push(self.int(i64::from(takes_containers)));
        self.invoke(Helper::PlainCall, &arguments);
        let result = self.take_plain(Helper::PlainCall);
        self.finish_call(count, result)?;
        self.note_made(made)?;
        Ok(true)
    }
}

/// Whether a builtin function or method does nothing but compute from plain arguments, and then whether it may have builtin containers,
/// into which it does not look.
fn plain_builtin(name: &str) -> Option<bool> {
    Some(match name {
        "builtins.len" | "dict.keys" | "dict.values" | "dict.items" => true,
        "builtins.abs" | "builtins.ord" | "builtins.chr" | "builtins.round" | "builtins.divmod" | "builtins.hash" => {
            false
        }
        "builtins.repr" | "builtins.min" | "builtins.max" | "math.floor" | "math.ceil" | "math.isnan" => false,
        "int.bit_length" | "int.bit_count" | "float.is_integer" => false,
        _ => match name.strip_prefix("str.")? {
            "upper" | "lower" | "strip" | "lstrip" | "rstrip" | "startswith" | "endswith" | "split" | "replace" => {
                false
            }
            "find" | "count" | "isdigit" | "isalpha" | "isalnum" | "isspace" | "isupper" | "islower" | "title" => false,
            "capitalize" | "partition" | "rpartition" | "zfill" | "casefold" => false,
            _ => return None,
        },
    })
}
