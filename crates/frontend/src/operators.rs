//! Operators of user-defined classes: `a - b` as a call of `A.__sub__`, inlined.
//!
//! The interpreter's caches say nothing about operands that are no builtin numbers or containers, so the first version of
//! a unit notes the classes it meets ([`Op::ProfileOperands`]) and the next one guards them and inlines the method. The
//! method of the left operand is tried first unless the right one's class could take precedence; a method that might
//! return `NotImplemented` is not inlined.

use crate::Bailout;
use crate::calls::Continuation;
use crate::translator::Translator;
use coluber_bytecode::{BinaryKind, Feedback, Instruction, Kind, ObjectId, ObjectValue};
use coluber_ir::{Op, Value};

/// Name of the facts that [`Op::ProfileOperands`] leaves in the exit profile.
pub(crate) const OPERANDS: &str = "Operands";

/// Method, reflected method, in-place method.
fn names(kind: BinaryKind) -> [&'static str; 3] {
    match kind {
        BinaryKind::Add => ["__add__", "__radd__", "__iadd__"],
        BinaryKind::And => ["__and__", "__rand__", "__iand__"],
        BinaryKind::FloorDivide => ["__floordiv__", "__rfloordiv__", "__ifloordiv__"],
        BinaryKind::LeftShift => ["__lshift__", "__rlshift__", "__ilshift__"],
        BinaryKind::MatrixMultiply => ["__matmul__", "__rmatmul__", "__imatmul__"],
        BinaryKind::Multiply => ["__mul__", "__rmul__", "__imul__"],
        BinaryKind::Remainder => ["__mod__", "__rmod__", "__imod__"],
        BinaryKind::Or => ["__or__", "__ror__", "__ior__"],
        BinaryKind::Power => ["__pow__", "__rpow__", "__ipow__"],
        BinaryKind::RightShift => ["__rshift__", "__rrshift__", "__irshift__"],
        BinaryKind::Subtract => ["__sub__", "__rsub__", "__isub__"],
        BinaryKind::TrueDivide => ["__truediv__", "__rtruediv__", "__itruediv__"],
        BinaryKind::Xor => ["__xor__", "__rxor__", "__ixor__"],
    }
}

impl Translator<'_> {
    /// Classes of the two operands as an earlier version met them.
    pub(crate) fn operand_classes(&self, instruction: &Instruction) -> Option<(ObjectId, ObjectId)> {
        let code = self.state.top().code;
        let fact = self
            .snapshot
            .exits
            .iter()
            .find(|fact| fact.code == code && fact.offset == instruction.start && fact.reason == OPERANDS)?;
        let [left, right] = fact.classes[..] else { return None };
        Some((self.snapshot.class_by_version(left)?, self.snapshot.class_by_version(right)?))
    }

    /// The builtin type of the container that an instruction works on: known, or noted by an earlier version.
    pub(crate) fn met_kind(&self, container: Value, instruction: &Instruction) -> Option<Kind> {
        let noted = || self.operand_classes(instruction).and_then(|(class, _)| self.class_facts(class)?.kind);
        self.kind(container).or_else(noted)
    }

    /// An attribute of a class that the snapshot looked up.
    fn class_attribute(&self, class: ObjectId, name: &str) -> Option<ObjectId> {
        Some(self.class_facts(class)?.attribute(name)?.value)
    }

    /// A special method that is a Python function which can be inlined with so many arguments.
    fn special_method(&self, class: ObjectId, name: &str, arguments: usize) -> Option<ObjectId> {
        let facts = self.class_facts(class)?;
        if facts.kind.is_some() || facts.version == 0 {
            return None;
        }
        let method = self.class_attribute(class, name)?;
        let is_function = matches!(self.snapshot.objects.get(method).value, ObjectValue::Function(_));
        (is_function && self.inlinable(method, arguments).is_some()).then_some(method)
    }

    /// Makes sure that a value has the class it had when it was noted.
    fn guard_noted_class(&mut self, value: Value, class: ObjectId) {
        if self.kind(value).is_none() || self.kind(value) != self.class_facts(class).and_then(|facts| facts.kind) {
            self.guard_class(value, class);
        }
    }

    /// Compiles a binary operator as the inlined method of the left operand's class; false if it cannot.
    pub(crate) fn binary_by_method(
        &mut self,
        kind: BinaryKind,
        inplace: bool,
        instruction: &Instruction,
    ) -> Result<bool, Bailout> {
        if !self.may_inline_operator(instruction) {
            return Ok(false);
        }
        let Some((left_class, right_class)) = self.operand_classes(instruction) else { return Ok(false) };
        let [method, reflected, in_place] = names(kind);
        let Some(function) = self.special_method(left_class, method, 2) else { return Ok(false) };
        let right_is_builtin = self.class_facts(right_class).is_some_and(|facts| facts.kind.is_some());
        let right_yields =
            left_class == right_class || right_is_builtin || self.class_attribute(right_class, reflected).is_none();
        if !right_yields || (inplace && self.class_attribute(left_class, in_place).is_some()) {
            return Ok(false);
        }
        let (left, right) = (self.peek(2)?, self.peek(1)?);
        self.guard_noted_class(left, left_class);
        self.guard_noted_class(right, right_class);
        let (right, left) = (self.pop()?, self.pop()?);
        self.inline_call(function, vec![left, right], Continuation::Operator)?;
        Ok(true)
    }

    /// Compiles `container[key]` as the inlined `__getitem__`; false if it cannot.
    pub(crate) fn subscript_by_method(&mut self, instruction: &Instruction) -> Result<bool, Bailout> {
        if !self.may_inline_operator(instruction) {
            return Ok(false);
        }
        let Some((class, _)) = self.operand_classes(instruction) else { return Ok(false) };
        let Some(function) = self.special_method(class, "__getitem__", 2) else { return Ok(false) };
        let container = self.peek(2)?;
        self.guard_noted_class(container, class);
        let (key, container) = (self.pop()?, self.pop()?);
        self.inline_call(function, vec![container, key], Continuation::Push)?;
        Ok(true)
    }

    /// Compiles `container[key] = value` as the inlined `__setitem__`; false if it cannot. Stack: value, container, key.
    pub(crate) fn store_subscript_by_method(&mut self, instruction: &Instruction) -> Result<bool, Bailout> {
        if !self.may_inline_operator(instruction) {
            return Ok(false);
        }
        let Some((class, _)) = self.operand_classes(instruction) else { return Ok(false) };
        let Some(function) = self.special_method(class, "__setitem__", 3) else { return Ok(false) };
        let container = self.peek(2)?;
        self.guard_noted_class(container, class);
        let (key, container, value) = (self.pop()?, self.pop()?, self.pop()?);
        self.inline_call(function, vec![container, key, value], Continuation::DropProvenNone)?;
        Ok(true)
    }

    fn may_inline_operator(&self, instruction: &Instruction) -> bool {
        self.settings.speculate
            && !self.gave_up(instruction)
            && !self.is_refused_operator(self.state.top().code, instruction.offset)
    }

    /// Notes the classes of two operands at run time, where knowing them could make a better version.
    pub(crate) fn profile_operands(&mut self, left: Value, right: Value, instruction: &Instruction) {
        let is_unseen = matches!(
            instruction.feedback,
            Feedback::Generic | Feedback::GetItem | Feedback::None | Feedback::Unexecuted
        );
        if is_unseen && self.ty(left).boxed_kind().is_none() {
            self.note_classes(left, right, instruction);
        }
    }

    /// Whether classes are to be noted at an instruction: nobody did, and a next version could know them.
    pub(crate) fn may_note_classes(&self, instruction: &Instruction) -> bool {
        self.settings.speculate && self.operand_classes(instruction).is_none() && self.state.frames.len() <= 3
    }

    /// Notes the classes of two objects at run time, unless that was done, for the next version.
    pub(crate) fn note_classes(&mut self, left: Value, right: Value, instruction: &Instruction) {
        if !self.may_note_classes(instruction) {
            return;
        }
        let (left, right) = (self.object(left), self.object(right));
        let code = self.state.top().code as u32;
        self.emit(Op::ProfileOperands { left, right, code, offset: instruction.start });
    }
}
