//! Slices of exact lists and str by ints, without slice objects.

use crate::Bailout;
use crate::translator::Translator;
use coluber_bytecode::{Code, Feedback, Instruction, Kind, ObjectValue, Op as Bytecode, Seen};
use coluber_ir::{Helper, Op, Type, Value};

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
        if !self.settings.speculate || !is_list || self.gave_up(built) || self.gave_up(subscript) {
            return Ok(false);
        }
        let step = if count == 3 { self.constant_step(self.peek(1)?) } else { Some(1) };
        let (start, stop) = (self.peek(count)?, self.peek(count - 1)?);
        let Some(step) = step.filter(|step| *step != 0 && step.unsigned_abs() < 1 << 32) else { return Ok(false) };
        let (first, last) = if step > 0 { (0, i64::MAX) } else { (i64::MAX, i64::MIN) };
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
