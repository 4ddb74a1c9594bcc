//! Slices of exact lists and str by ints, without slice objects.

use crate::Bailout;
use crate::translator::Translator;
use coluber_bytecode::{Code, Comparison, Feedback, Instruction, Kind, ObjectValue, Op as Bytecode, Seen, SliceBounds};
use coluber_ir::ops::Refs;
use coluber_ir::{FrameStateId, Helper, Inst, Op, Overflow, Resume, Type, Value};

/// Why `list[:stop] = list[last::-1]` is left: it is no reversal.
const NOT_REVERSED: [&str; 2] = ["GuardTrue", "GuardIndex"];

/// A bound of a slice, before anything is emitted for it.
#[derive(Clone, Copy)]
enum Bound {
    /// `None`, which means this number.
    Default(i64),
    /// An int.
    Value(Value),
}

impl Translator<'_> {
    /// Whether a value can be `None` or an int as the bound of a slice. `None` means `default`.
    fn bound(&self, value: Value, default: i64) -> Option<Bound> {
        match self.kind(value) {
            Some(Kind::None) => Some(Bound::Default(default)),
            Some(Kind::Int) | None => Some(Bound::Value(value)),
            _ => None,
        }
    }

    fn bound_value(&mut self, bound: Bound) -> Value {
        match bound {
            Bound::Default(value) => self.int(value),
            Bound::Value(value) => self.unbox(value, Kind::Int),
        }
    }

    /// The kind of the container that an instruction slices: known, or noted by an earlier version.
    fn sliced_kind(&self, container: Value, instruction: &Instruction) -> Option<Kind> {
        if !self.settings.speculate || self.gave_up(instruction) {
            return None;
        }
        self.met_kind(container, instruction)
    }

    /// Stack: container, start, stop.
    pub(crate) fn slice(&mut self, instruction: &Instruction) -> Result<(), Bailout> {
        let (container, start, stop) = (self.peek(3)?, self.peek(2)?, self.peek(1)?);
        let kind = self.sliced_kind(container, instruction);
        let bounds = self.bound(start, 0).zip(self.bound(stop, i64::MAX));
        let result = match (kind, bounds) {
            (Some(kind @ (Kind::List | Kind::Str)), Some((start, stop))) => {
                let container = self.guard_kind(container, kind);
                let (start, stop) = (self.bound_value(start), self.bound_value(stop));
                match kind {
                    Kind::List => {
                        let step = self.int(1);
                        self.invoke(Helper::ListSlice, &[container, start, stop, step])
                    }
                    _ => self.invoke(Helper::StrSlice, &[container, start, stop]),
                }
            }
            _ => {
                self.profile_operands(container, start, instruction);
                let (container, start, stop) = (self.peek(3)?, self.peek(2)?, self.peek(1)?);
                self.invoke(Helper::Slice, &[container, start, stop])
            }
        };
        let popped = [self.pop()?, self.pop()?, self.pop()?];
        self.push(result.expect("a slice is a result"));
        self.release_all(&popped);
        Ok(())
    }

    /// Stack: value, container, start, stop.
    pub(crate) fn store_slice(&mut self, instruction: &Instruction) -> Result<(), Bailout> {
        let (value, container, start, stop) = (self.peek(4)?, self.peek(3)?, self.peek(2)?, self.peek(1)?);
        let kind = self.sliced_kind(container, instruction);
        let bounds = self.bound(start, 0).zip(self.bound(stop, i64::MAX));
        if kind == Some(Kind::List)
            && self.kind(value) == Some(Kind::List)
            && let Some((start, stop)) = bounds
        {
            let list = self.guard_kind(container, Kind::List);
            let (start, stop) = (self.bound_value(start), self.bound_value(stop));
            if self.reverse_in_place(list, start, stop)? {
                return Ok(());
            }
            let bounds = [self.pop()?, self.pop()?];
            let (container, value) = (self.pop()?, self.pop()?);
            // The list must stay alive for the call.
            self.push(container);
            self.invoke(Helper::ListSetSlice, &[list, start, stop, value]);
            let container = self.pop()?;
            self.release_all(&bounds);
            self.release(container);
            return Ok(());
        }
        self.profile_operands(container, start, instruction);
        let (value, container, start, stop) = (self.peek(4)?, self.peek(3)?, self.peek(2)?, self.peek(1)?);
        self.invoke(Helper::StoreSlice, &[container, start, stop, value]);
        let popped = [self.pop()?, self.pop()?, self.pop()?, self.pop()?];
        self.release_all(&popped);
        Ok(())
    }

    /// Compiles `BUILD_SLICE` and the subscript behind it as one, for an exact list; false if they are something else.
    /// Stack: container, start, stop, perhaps step.
    pub(crate) fn slice_of_list(&mut self, code_index: usize, index: usize) -> Result<bool, Bailout> {
        let code: &Code = &self.snapshot.codes[code_index];
        let (Some(built), Some(subscript)) = (code.instructions.get(index), code.instructions.get(index + 1)) else {
            return Ok(false);
        };
        let (Bytecode::BuildSlice { count }, Bytecode::BinarySubscript) = (&built.op, &subscript.op) else {
            return Ok(false);
        };
        let count = *count;
        let container = self.peek(count + 1)?;
        let is_list = self
            .kind(container)
            .map_or(subscript.feedback == Feedback::Seen(Seen::ListSlice), |kind| kind == Kind::List);
        // What exits because of these is `reverse_in_place`.
        let is_hopeless = self.gave_up(built) && !self.gave_up_only(built, &NOT_REVERSED);
        if !self.settings.speculate || !is_list || is_hopeless || self.gave_up(subscript) {
            return Ok(false);
        }
        let step = if count == 3 { self.constant_step(self.peek(1)?) } else { Some(1) };
        let (start, stop) = (self.peek(count)?, self.peek(count - 1)?);
        let Some(step) = step.filter(|step| SliceBounds::new(None, None, Some(*step)).is_some()) else {
            return Ok(false);
        };
        let (first, last) = SliceBounds::defaults(step);
        let Some((start, stop)) = self.bound(start, first).zip(self.bound(stop, last)) else { return Ok(false) };
        self.source = (code_index as u32, subscript.offset);
        self.begin(self.resume_at(code, built.start), self.resume_at(code, subscript.next));
        self.is_inside_instruction = false;
        self.check_observed();
        let list = self.guard_kind(container, Kind::List);
        let (start, stop) = (self.bound_value(start), self.bound_value(stop));
        let step = self.int(step);
        let result = self.invoke(Helper::ListSlice, &[list, start, stop, step]).expect("a slice is a result");
        let mut popped = Vec::new();
        for _ in 0..=count {
            popped.push(self.pop()?);
        }
        self.push(result);
        self.release_all(&popped);
        Ok(true)
    }

    /// A subscript whose key is a constant slice; false if the container has no form of its own. Stack: container, slice.
    pub(crate) fn subscript_by_constant_slice(&mut self, instruction: &Instruction) -> Result<bool, Bailout> {
        let (container, key) = (self.peek(2)?, self.peek(1)?);
        let Type::Constant(slice, Some(Kind::Slice)) = self.ty(key) else { return Ok(false) };
        let ObjectValue::Slice(bounds) = self.snapshot.objects.get(slice).value else { return Ok(false) };
        let seen = match instruction.feedback {
            Feedback::Seen(Seen::ListSlice) if self.settings.speculate && !self.gave_up(instruction) => {
                Some(Kind::List)
            }
            _ => self.sliced_kind(container, instruction),
        };
        let helper = match seen {
            Some(Kind::List) => Helper::ListSlice,
            Some(Kind::Str) if bounds.step == 1 => Helper::StrSlice,
            _ => return Ok(false),
        };
        let container = self.guard_kind(container, seen.expect("it has a form"));
        let (start, stop) = (self.int(bounds.start), self.int(bounds.stop));
        let result = match helper {
            Helper::ListSlice => {
                let step = self.int(bounds.step);
                self.invoke(helper, &[container, start, stop, step])
            }
            _ => self.invoke(helper, &[container, start, stop]),
        };
        let popped = [self.pop()?, self.pop()?];
        self.push(result.expect("a slice is a result"));
        self.release_all(&popped);
        Ok(true)
    }

    /// `list[:stop] = list[last::-1]` where `stop` is `last + 1`: the first items change places in the list, and the slice,
    /// which nobody else has seen, is not made. Stack: slice, list, start, stop.
    ///
    /// Guards between the two instructions and those of this one go back in front of the first one: nothing that they
    /// passed did anything.
    fn reverse_in_place(&mut self, list: Value, start: Value, stop: Value) -> Result<bool, Bailout> {
        let slice = self.peek(4)?;
        let Some((made, state, last)) = self.reversed_slice(slice, list) else { return Ok(false) };
        let is_other = |reason: &&str| {
            let Resume::At { start, .. } = self.function.states[state].resume else { return true };
            self.snapshot.has_exited(self.state.top().code, start, reason, 1)
        };
        let is_end = self.int_value(stop) == Some(i64::MAX);
        if self.int_value(start) != Some(0) || is_end || NOT_REVERSED.iter().any(is_other) {
            return Ok(false);
        }
        if !self.can_take_back(made, slice) {
            return Ok(false);
        }
        let popped = [self.pop()?, self.pop()?, self.pop()?, self.pop()?];
        if self.is_alive(slice) {
            popped.iter().rev().for_each(|value| self.push(*value));
            return Ok(false);
        }
        self.take_back(made, state);
        let length = self.emit_value(Op::ListLength { list });
        let last = self.emit_value(Op::GuardIndex { index: last, length, state });
        let one = self.int(1);
        let end = self.emit_value(Op::IntAdd { left: last, right: one, overflow: Overflow::Impossible, state });
        let condition = self.emit_value(Op::IntCompare { comparison: Comparison::Equal, left: stop, right: end });
        self.emit(Op::GuardTrue { condition, state });
        self.emit(Op::ReverseItems { list, first: start, last });
        self.release_all(&popped[..3]);
        Ok(true)
    }

    /// The instruction, state and first index of a slice `list[first::-1]` of that list.
    fn reversed_slice(&self, slice: Value, list: Value) -> Option<(Inst, FrameStateId, Value)> {
        let made = self.function.def_inst(slice)?;
        let Op::Invoke { helper: Helper::ListSlice, arguments, state } = &self.function.insts[made].op else {
            return None;
        };
        let [from, first, stop, step] = arguments[..] else { return None };
        let is_reversed = self.int_value(step) == Some(-1) && self.int_value(stop) == Some(i64::MIN);
        let is_same = self.function.root(from) == self.function.root(list);
        // No index at all means the last one.
        (is_reversed && is_same && self.int_value(first) != Some(i64::MAX)).then_some((made, *state, first))
    }

    fn int_value(&self, value: Value) -> Option<i64> {
        match self.function.def_op(value) {
            Some(Op::IntConstant { value }) => Some(*value),
            _ => None,
        }
    }

    /// Whether what stands behind an instruction in the present block neither uses its result nor does anything.
    fn can_take_back(&self, made: Inst, result: Value) -> bool {
        let Some(behind) = self.insts_behind(made) else { return false };
        behind.iter().all(|inst| {
            let op = &self.function.insts[*inst].op;
            let effects = op.effects(&self.function);
            let mut uses = false;
            op.for_each_operand(|operand| uses |= self.function.root(operand) == result);
            let is_idle = effects.writes == 0 && !effects.raises && !effects.runs_python && !effects.terminator;
            is_idle && !uses && op.refs() != Refs::Owned && !matches!(op, Op::Kill { .. })
        })
    }

    /// Removes an instruction; exits behind it go back to its state.
    fn take_back(&mut self, made: Inst, state: FrameStateId) {
        for inst in self.insts_behind(made).unwrap_or_default() {
            let op = &mut self.function.insts[inst].op;
            if op.state().is_some() {
                op.set_state(state);
            }
        }
        let block = self.block.expect("an instruction is in an open block");
        self.function.blocks[block].insts.retain(|inst| *inst != made);
    }

    /// What stands behind an instruction in the present block; `None` if that is another block.
    fn insts_behind(&self, made: Inst) -> Option<Vec<Inst>> {
        let insts = &self.function.blocks[self.block?].insts;
        let place = insts.iter().position(|inst| *inst == made)?;
        Some(insts[place + 1..].to_vec())
    }

    /// The step of a slice or range, if it is a constant.
    pub(crate) fn constant_step(&self, value: Value) -> Option<i64> {
        match (self.ty(value), self.function.def_op(value)) {
            (_, Some(Op::IntConstant { value })) => Some(*value),
            (Type::Constant(object, _), _) => match self.snapshot.objects.get(object).value {
                ObjectValue::Int(step) => Some(step),
                ObjectValue::None => Some(1),
                _ => None,
            },
            _ => None,
        }
    }
}
