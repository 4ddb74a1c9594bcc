//! `for` loops over `range(...)`: the iterator is made at once, without the range, of its parts.

use crate::Bailout;
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{Code, Kind, ObjectValue, Op as Bytecode};
use coluber_ir::ops::{Overflow, Walker};
use coluber_ir::{Op, Type, Value};

/// Bounds smaller than this cannot make a position overflow, whatever the step (which is smaller than [`STEPS`]).
const BOUNDS: i64 = 1 << 61;
/// See [`BOUNDS`].
const STEPS: u64 = 1 << 31;

impl Translator<'_> {
    /// Compiles the call of `range`, that of `reversed` perhaps, and the `GET_ITER` behind it as one; says how many
    /// instructions that are, none if they are something else. Stack: callable, NULL, one to three ints.
    pub(crate) fn range_iterator(&mut self, code_index: usize, index: usize, end: usize) -> Result<usize, Bailout> {
        let code: &Code = &self.snapshot.codes[code_index];
        let [call, rest @ ..] = &code.instructions[index..end] else { return Ok(0) };
        let Bytecode::Call { count: count @ 1..=3 } = call.op else { return Ok(0) };
        let (last, is_reversed) = match rest {
            [get_iter, ..] if get_iter.op == Bytecode::GetIter => (get_iter, false),
            [reversed, get_iter, ..]
                if reversed.op == (Bytecode::Call { count: 1 }) && get_iter.op == Bytecode::GetIter =>
            {
                (get_iter, true)
            }
            // The iterator of a generator expression that is tried.
            [next, ..] if next.op == (Bytecode::Call { count: 0 }) && self.is_argument_of_tried(count + 3) => {
                (call, false)
            }
            _ => return Ok(0),
        };
        let has_get_iter = last.op == Bytecode::GetIter;
        if !self.settings.speculate || self.gave_up(call) || !self.is_builtin_class(self.peek(count + 2)?, Kind::Range)
        {
            return Ok(0);
        }
        if is_reversed
            && (self.peek_slot(count + 3)? != Slot::Null
                || !self.is_builtin_class(self.peek(count + 4)?, Kind::Reversed))
        {
            return Ok(0);
        }
        let step = if count == 3 { self.constant_step(self.peek(1)?) } else { Some(1) };
        let Some(step) = step.filter(|step| *step != 0 && step.unsigned_abs() < STEPS) else { return Ok(0) };
        let start = if count == 1 { None } else { Some(self.peek(count)?) };
        let stop = self.peek(if count == 1 { 1 } else { count - 1 })?;
        let may_be_int = |this: &Self, value: Value| matches!(this.kind(value), None | Some(Kind::Int));
        if self.peek_slot(count + 1)? != Slot::Null
            || !may_be_int(self, stop)
            || start.is_some_and(|start| !may_be_int(self, start))
        {
            return Ok(0);
        }
        self.source = (code_index as u32, call.offset);
        self.begin(self.resume_at(code, call.start), self.resume_at(code, last.next));
        self.check_observed();
        self.rely_on_invariants();
        let mut start = match start {
            Some(start) => self.range_bound(start),
            None => self.int(0),
        };
        let stop = self.range_bound(stop);
        // If there is nothing to walk, the number of what is left is not positive.
        let (left, right) = if step > 0 { (stop, start) } else { (start, stop) };
        let (overflow, state) = (Overflow::Impossible, self.before());
        let mut length = self.emit_value(Op::IntSubtract { left, right, overflow, state });
        if step.abs() > 1 {
            let (more, right) = (self.int(step.abs() - 1), self.int(step.abs()));
            let left = self.emit_value(Op::IntAdd { left: length, right: more, overflow, state });
            length = self.emit_value(Op::IntFloorDivide { left, right, state });
        }
        let mut step = self.int(step);
        if is_reversed {
            let minus_one = self.int(-1);
            let steps = self.emit_value(Op::IntAdvance { left: length, right: minus_one });
            let distance = self.emit_value(Op::IntMultiply { left: steps, right: step, overflow, state });
            start = self.emit_value(Op::IntAdd { left: start, right: distance, overflow, state });
            step = self.emit_value(Op::IntMultiply { left: step, right: minus_one, overflow, state });
        }
        let iterator = self.emit_value(Op::MakeIterator { walker: Walker::Range, parts: vec![start, length, step] });
        let mut popped = Vec::new();
        for _ in 0..count {
            popped.push(self.pop()?);
        }
        for _ in 0..if is_reversed { 2 } else { 1 } {
            self.pop_slot()?;
            popped.push(self.pop()?);
        }
        self.push(iterator);
        if has_get_iter {
            for _ in 1..code.iterator_slots {
                self.push_slot(Slot::Null);
            }
        }
        self.release_all(&popped);
        Ok(1 + usize::from(is_reversed) + usize::from(has_get_iter))
    }

    /// Whether a call that has its callable above this depth makes what a generator expression that is tried is over, where the
    /// expression itself gets the iterator.
    fn is_argument_of_tried(&self, depth: u32) -> bool {
        matches!(self.peek_slot(depth), Ok(Slot::Function { .. }))
    }

    fn is_builtin_class(&self, callable: Value, kind: Kind) -> bool {
        let Type::Constant(object, _) = self.ty(callable) else { return false };
        matches!(&self.snapshot.objects.get(object).value, ObjectValue::Class(facts) if facts.kind == Some(kind))
    }

    /// An int that may be a bound of a range; exits if it is too large.
    fn range_bound(&mut self, value: Value) -> Value {
        let bound = self.unbox(value, Kind::Int);
        let is_small = |int: i64| int.unsigned_abs() < BOUNDS.unsigned_abs();
        if !matches!(self.function.def_op(bound), Some(Op::IntConstant { value }) if is_small(*value)) {
            self.guard_magnitude(bound, BOUNDS);
        }
        bound
    }
}
