//! Callees that the interpreter's feedback names: functions that come as arguments, out of containers and closures, bound
//! methods that were kept. A guard makes the callable a constant; the call then is like any other of a known function.

use crate::Bailout;
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{
    BOUND_METHOD_FUNCTION, BOUND_METHOD_SELF, CALLED_METHOD, CallFeedback, Feedback, Instruction, Kind, ObjectId,
};
use coluber_ir::{Op, Type, Value};

impl Translator<'_> {
    /// What the callable is: a constant, or what the feedback says and a guard makes sure of, if that helps. Stack:
    /// callable, self or NULL, arguments; a bound method becomes its function and its object.
    pub(crate) fn callee(&mut self, count: u32, instruction: &Instruction) -> Result<Option<ObjectId>, Bailout> {
        let callable = self.peek(count + 2)?;
        if !self.settings.speculate || self.gave_up(instruction) {
            return Ok(None);
        }
        if let Type::Constant(object, _) = self.ty(callable) {
            return Ok(Some(object));
        }
        if let Some(method) = self.unbind_builtin(count)? {
            return Ok(Some(method));
        }
        let Some(feedback) = self.called(instruction) else { return Ok(None) };
        // Who was wrong once will be again: callables that change do so all the time.
        if self.snapshot.has_exited(self.state.top().code, instruction.start, "GuardIdentity", 1) {
            return Ok(None);
        }
        let receiver = self.peek_slot(count + 1)?;
        match feedback {
            CallFeedback::Python { function: Some(function), .. } => {
                let operands = match receiver {
                    Slot::Null => count,
                    Slot::Value(value) if !self.ty(value).is_nullable() => count + 1,
                    _ => return Ok(None),
                };
                if !self.is_callable(callable, function, operands) {
                    return Ok(None);
                }
                self.guard_callee(callable, function);
                Ok(Some(function))
            }
            CallFeedback::BoundMethod { function: Some(function), .. }
                if receiver == Slot::Null && self.is_directly_callable(function, count as usize + 1) =>
            {
                self.unbind(count, callable, function)?;
                Ok(Some(function))
            }
            CallFeedback::ClassWithInit { version } if receiver == Slot::Null && !self.is_only_operand(callable) => {
                let class = self.snapshot.class_by_version(version);
                if let Some(class) = class {
                    self.guard_callee(callable, class);
                }
                Ok(class)
            }
            _ => Ok(None),
        }
    }

    /// What the interpreter saw being called, or an earlier version of the unit: the interpreter does not specialise calls of
    /// functions that have a door.
    fn called(&self, instruction: &Instruction) -> Option<CallFeedback> {
        let is_named = |feedback: &CallFeedback| match feedback {
            CallFeedback::Python { function, .. } | CallFeedback::BoundMethod { function, .. } => function.is_some(),
            CallFeedback::ClassWithInit { .. } => true,
            _ => false,
        };
        match &instruction.feedback {
            Feedback::Call(feedback) if is_named(feedback) => Some(*feedback),
            _ => self.noted_callee(instruction),
        }
    }

    fn noted_callee(&self, instruction: &Instruction) -> Option<CallFeedback> {
        let code = self.state.top().code;
        let mut facts = self.snapshot.exits.iter().filter(|fact| fact.is_callee());
        let fact = facts.find(|fact| fact.code == code && fact.offset == instruction.start)?;
        let [version] = fact.classes[..] else { return None };
        let (_, function) = self.snapshot.functions.iter().find(|(known, _)| *known == version)?;
        let function = Some(*function);
        Some(match fact.reason == CALLED_METHOD {
            true => CallFeedback::BoundMethod { version, function },
            false => CallFeedback::Python { version, function },
        })
    }

    /// Notes what is called at run time, unless that was done or something is known, for the next version.
    pub(crate) fn note_callee(&mut self, callable: Value, instruction: &Instruction) {
        let code = self.state.top().code;
        let is_noted = || {
            let mut facts = self.snapshot.exits.iter().filter(|fact| fact.is_callee());
            facts.any(|fact| fact.code == code && fact.offset == instruction.start)
        };
        if !self.settings.speculate
            || self.state.frames.len() > 3
            || matches!(self.ty(callable), Type::Constant(..))
            || self.called(instruction).is_some()
            || self.gave_up(instruction)
            || is_noted()
        {
            return;
        }
        let callable = self.object(callable);
        self.emit(Op::ProfileCallee { callable, code: code as u32, offset: instruction.start });
    }

    /// Whether a call of the function is better than a generic one.
    fn is_callable(&self, callable: Value, function: ObjectId, operands: u32) -> bool {
        let is_inlinable =
            self.inlinable_call(function, operands as usize).is_some() && !self.is_only_operand(callable);
        is_inlinable || self.is_directly_callable(function, operands as usize)
    }

    fn guard_callee(&mut self, callable: Value, object: ObjectId) {
        let value = self.object(callable);
        let state = self.before();
        let refined = self.emit_value(Op::GuardIdentity { value, object, state });
        self.replace(value, refined);
    }

    /// Takes a method of this function apart, as `CALL` does before anything else.
    fn unbind(&mut self, count: u32, callable: Value, function: ObjectId) -> Result<(), Bailout> {
        let method = self.guard_kind(callable, Kind::BoundMethod);
        let state = self.before();
        let value = self.emit_value(Op::LoadPart { object: method, offset: BOUND_METHOD_FUNCTION });
        self.emit(Op::GuardIdentity { value, object: function, state });
        // Read again, so that what is held from here on is not held in front of the guard.
        let callable = self.emit_value(Op::LoadPart { object: method, offset: BOUND_METHOD_FUNCTION });
        let receiver = self.emit_value(Op::LoadPart { object: method, offset: BOUND_METHOD_SELF });
        let stack = &mut self.state.top_mut().stack;
        let depth = stack.len() - count as usize;
        (stack[depth - 2], stack[depth - 1]) = (Slot::Value(callable), Slot::Value(receiver));
        // The interpreter could do the call from here too.
        self.begin_again(|this| this.release(method));
        Ok(())
    }
}
