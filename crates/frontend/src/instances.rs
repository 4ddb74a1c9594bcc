//! `isinstance`: what is known of the object's class, or was noted by an earlier version, says the answer without a call.
//!
//! `PyObject_IsInstance` says yes to an object of exactly that class before it asks anybody. A class whose own class is `type`
//! has no `__instancecheck__`: then the method resolution order decides, and where it says no, `__class__` of the object,
//! which is its type again unless the object's class says otherwise.

use crate::Bailout;
use crate::translator::Translator;
use coluber_bytecode::{ClassFacts, Instruction, Kind, ObjectId, ObjectValue};
use coluber_ir::{Op, Type, Value};

impl Translator<'_> {
    /// Compiles `isinstance(object, class)`; false if the class is not known. Stack: callable, NULL, object, class.
    pub(crate) fn is_instance(&mut self, instruction: &Instruction) -> Result<bool, Bailout> {
        let (object, class) = (self.peek(2)?, self.peek(1)?);
        let Type::Constant(class, _) = self.ty(class) else { return Ok(false) };
        if let ObjectValue::Tuple(classes) = &self.snapshot.objects.get(class).value {
            return self.is_instance_of_any(object, classes, instruction);
        }
        if self.class_facts(class).is_none() {
            return Ok(false);
        }
        self.rely_on_invariants();
        if let Some(answer) = self.known_instance(object, class) {
            self.finish_is_instance(answer)?;
            return Ok(true);
        }
        let value = self.object(object);
        let mut tested = vec![(class, true)];
        if let Some((noted, _)) = self.operand_classes(instruction)
            && noted != class
            && let Some(answer) = self.is_instance_of(noted, class)
        {
            tested.insert(0, (noted, answer));
        }
        let (before, after) = self.resumes();
        let mut edges = Vec::new();
        for (class, answer) in tested {
            let kind = self.class_facts(class).and_then(|facts| facts.kind);
            let condition = match kind {
                Some(kind) => self.emit_value(Op::IsKind { value, kind }),
                None => self.emit_value(Op::IsClass { value, class }),
            };
            let (exact, other) = self.branch_on(condition);
            let state = self.state.clone();
            self.block = Some(exact);
            self.begin(before, after);
            if kind.is_none() {
                self.know_class(value, class);
            }
            self.finish_is_instance(answer)?;
            edges.push(self.end_path());
            self.block = Some(other);
            self.state = state;
            self.begin(before, after);
        }
        let operands = [self.peek(4)?, self.peek(2)?, self.peek(1)?].map(|operand| self.object(operand));
        self.note_classes(operands[1], operands[2], instruction);
        let self_or_null = self.emit_value(Op::NullConstant {});
        let state = self.before();
        let result =
            self.emit_value(Op::Call { callable: operands[0], self_or_null, arguments: operands[1..].to_vec(), state });
        self.function.values[result].ty = Type::Exact(Kind::Bool);
        let result = self.emit_value(Op::UnboxBool { value: result });
        self.finish_call(2, result)?;
        edges.push(self.end_path());
        self.merge(edges, after)?;
        Ok(true)
    }

    /// `isinstance` with a tuple of classes, for an object of one class: known, or noted by an earlier version.
    fn is_instance_of_any(
        &mut self,
        object: Value,
        classes: &[ObjectId],
        instruction: &Instruction,
    ) -> Result<bool, Bailout> {
        if classes.iter().any(|class| self.class_facts(*class).is_none()) || self.gave_up(instruction) {
            return Ok(false);
        }
        // One after the other, up to the first that says yes or has to be asked.
        let answer = |answers: Vec<Option<bool>>| match answers.iter().find(|answer| **answer != Some(false)) {
            Some(answer) => *answer,
            None => Some(false),
        };
        self.rely_on_invariants();
        if let Some(answer) = answer(classes.iter().map(|class| self.known_instance(object, *class)).collect()) {
            self.finish_is_instance(answer)?;
            return Ok(true);
        }
        let Some((noted, _)) = self.operand_classes(instruction) else {
            self.note_classes(object, object, instruction);
            return Ok(false);
        };
        let Some(answer) = answer(classes.iter().map(|class| self.is_instance_of(noted, *class)).collect()) else {
            return Ok(false);
        };
        self.guard_class(object, noted);
        self.finish_is_instance(answer)?;
        Ok(true)
    }

    fn finish_is_instance(&mut self, answer: bool) -> Result<(), Bailout> {
        let result = self.emit_value(Op::BoolConstant { value: answer });
        self.finish_call(2, result)
    }

    /// The answer, if what is known of the object says it.
    fn known_instance(&self, object: Value, class: ObjectId) -> Option<bool> {
        match self.kind(object) {
            Some(kind) => is_kind_instance(kind, self.class_facts(class)?),
            None => self.is_instance_of(self.known_class(object)?, class),
        }
    }

    /// The answer for an object of exactly the class `own`.
    fn is_instance_of(&self, own: ObjectId, class: ObjectId) -> Option<bool> {
        if own == class {
            return Some(true);
        }
        let (own, class) = (self.class_facts(own)?, self.class_facts(class)?);
        if let Some(kind) = own.kind {
            return is_kind_instance(kind, class);
        }
        let is_subclass = own.is_subclass_of(class);
        let is_known =
            class.plain_metaclass && own.version != 0 && class.version != 0 && (is_subclass || own.plain_class);
        is_known.then_some(is_subclass)
    }
}

/// The answer for an object of exactly a builtin type.
fn is_kind_instance(kind: Kind, class: &ClassFacts) -> Option<bool> {
    match class.kind {
        Some(asked) => Some(asked == kind || (kind, asked) == (Kind::Bool, Kind::Int)),
        // No builtin type inherits from a class made by `class`.
        None => (class.is_heap && class.plain_metaclass).then_some(false),
    }
}
