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

    /// The class behind which `super` starts: a constant, or what was read from the cell `__class__` at the time of the
    /// snapshot. Nobody sets that cell twice, but functions made from the same code have cells of their own: to be guarded.
    fn defining_class(&self, value: Value) -> Option<ObjectId> {
        if let Type::Constant(class, _) = self.ty(value) {
            return Some(class);
        }
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
        if !self.settings.speculate {
            return Ok(false);
        }
        let (callable, start, object) = (self.peek(3)?, self.peek(2)?, self.peek(1)?);
        let Type::Constant(callable, _) = self.ty(callable) else { return Ok(false) };
        let Some(start_class) = self.defining_class(start) else { return Ok(false) };
        let is_super = self.class_facts(callable).is_some_and(|facts| facts.name == "super" && !facts.is_heap);
        let classes = self.classes_of_super(object, instruction);
        let Some(method) = self.super_method(start_class, name, &classes).filter(|_| is_super) else {
            return Ok(false);
        };
        self.rely_on_invariants();
        if !matches!(self.ty(start), Type::Constant(..)) {
            let state = self.before();
            self.emit(Op::GuardIdentity { value: start, object: start_class, state });
        }
        if !self.guard_one_of(&classes, instruction)? {
            return Ok(false);
        }
        let (object, start, callable) = (self.pop()?, self.pop()?, self.pop()?);
        let method = self.constant(method);
        self.push(method);
        self.push(object);
        self.release_all(&[start, callable]);
        Ok(true)
    }

    /// Classes that `self` of a `super` may have: known, or seen when an argument was looked at or a guard failed.
    fn classes_of_super(&self, object: Value, instruction: &Instruction) -> Vec<ObjectId> {
        match self.known_classes(object) {
            Some(known) => known.classes.clone(),
            None if self.gave_up(instruction) => self.seen_classes(self.state.top().code, instruction),
            None => self.live_class(object).into_iter().collect(),
        }
    }

    /// The function that all of the classes have behind `start`.
    fn super_method(&self, start: ObjectId, name: ObjectId, classes: &[ObjectId]) -> Option<ObjectId> {
        let ObjectValue::Str(Some(text)) = &self.snapshot.objects.get(name).value else { return None };
        let mut methods = classes.iter().map(|class| {
            let mut all = self.snapshot.super_attributes.iter();
            let found =
                all.find(|found| found.class == *class && found.start == start && found.attribute.name == *text);
            found.map(|found| &found.attribute).filter(|attribute| attribute.binding == Binding::Method)
        });
        let first = methods.next()??;
        let is_same = methods.all(|method| method.is_some_and(|method| method.value == first.value));
        is_same.then_some(first.value)
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
