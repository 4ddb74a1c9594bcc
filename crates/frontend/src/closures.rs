//! Closures of known functions, and `super()` in methods whose class the closure holds.

use crate::Bailout;
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{Binding, Instruction, LiveType, ObjectId, ObjectValue};
use coluber_ir::{Op, Type, Value};

impl Translator<'_> {
    /// The cells of a function's closure; empty if the compiler does not know them.
    pub(crate) fn closure_of(&self, function: ObjectId) -> Vec<ObjectId> {
        match &self.snapshot.objects.get(function).value {
            ObjectValue::Function(facts) => facts.closure.clone(),
            _ => Vec::new(),
        }
    }

    /// The class that a value read from the cell `__class__` was at the time of the snapshot. Nobody sets that cell twice,
    /// but functions made from the same code have cells of their own: to be guarded.
    fn defining_class(&self, value: Value) -> Option<ObjectId> {
        let Some(Op::LoadCell { cell, .. }) = self.function.def_op(self.function.root(value)) else { return None };
        let cell = self.function.root(*cell);
        let top = self.state.top();
        let is_cell = |slot: &Slot| matches!(slot, Slot::Value(value) if self.function.root(*value) == cell);
        let local = top.locals.iter().position(is_cell)?;
        let function = top.function.or(self.snapshot.function.filter(|_| self.state.frames.len() == 1))?;
        let closure = self.closure_of(function);
        let index = (local + closure.len()).checked_sub(top.locals.len())?;
        match self.snapshot.objects.get(*closure.get(index)?).value {
            ObjectValue::Cell(class) => class,
            _ => None,
        }
    }

    /// Compiles `super().name` about to be called; false if it cannot. Stack: super, class, self.
    pub(crate) fn load_super_method(&mut self, name: ObjectId, instruction: &Instruction) -> Result<bool, Bailout> {
        if !self.settings.speculate || self.gave_up(instruction) {
            return Ok(false);
        }
        let (callable, start, object) = (self.peek(3)?, self.peek(2)?, self.peek(1)?);
        let Type::Constant(callable, _) = self.ty(callable) else { return Ok(false) };
        let Some(start_class) = self.defining_class(start) else { return Ok(false) };
        let is_super = self.class_facts(callable).is_some_and(|facts| facts.name == "super" && !facts.is_heap);
        let Some(class) = self.known_class(object).or_else(|| self.live_class(object)).filter(|_| is_super) else {
            return Ok(false);
        };
        let ObjectValue::Str(Some(text)) = &self.snapshot.objects.get(name).value else { return Ok(false) };
        let attribute = self
            .snapshot
            .super_attributes
            .iter()
            .find(|found| found.class == class && found.start == start_class && found.attribute.name == *text)
            .map(|found| found.attribute.clone());
        let Some(attribute) = attribute.filter(|attribute| attribute.binding == Binding::Method) else {
            return Ok(false);
        };
        let state = self.before();
        self.emit(Op::GuardIdentity { value: start, object: start_class, state });
        self.guard_class(object, class);
        self.rely_on_invariants();
        let (object, start, callable) = (self.pop()?, self.pop()?, self.pop()?);
        let method = self.constant(attribute.value);
        self.push(method);
        self.push(object);
        self.release_all(&[start, callable]);
        Ok(true)
    }

    /// The class of an argument of the unit at the time of the snapshot.
    fn live_class(&self, value: Value) -> Option<ObjectId> {
        let Some(Op::LoadArgument { slot } | Op::LoadLocal { slot }) = self.function.def_op(self.function.root(value))
        else {
            return None;
        };
        match self.snapshot.live.get(*slot as usize)? {
            LiveType::Class(class) => Some(*class),
            _ => None,
        }
    }
}
