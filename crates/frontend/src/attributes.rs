//! Attribute access.

use crate::Bailout;
use crate::state::{KnownClasses, Slot};
use crate::translator::Translator;
use coluber_bytecode::{
    AttributeFeedback, ClassFacts, Feedback, INLINE_VALUES_HEADER, Instruction, Kind, ObjectId, ObjectValue,
};
use coluber_ir::{Helper, Op, Type, Value};

impl Translator<'_> {
    pub(crate) fn class_facts(&self, class: ObjectId) -> Option<&ClassFacts> {
        match &self.snapshot.objects.get(class).value {
            ObjectValue::Class(facts) => Some(facts),
            _ => None,
        }
    }

    /// Makes sure the object is an instance of the class with that version; the class's dict cannot have changed
    /// since the snapshot (an invariant).
    pub(crate) fn guard_class(&mut self, object: Value, class: ObjectId) -> Value {
        let object = self.object(object);
        if let Some(kind) = self.class_facts(class).and_then(|facts| facts.kind) {
            return self.guard_kind(object, kind);
        }
        self.rely_on_invariants();
        let known = self.known_classes(object).filter(|known| known.classes == [class]).map(|known| known.present);
        let state = self.before();
        match known {
            Some(true) => {}
            // Cheaper than the class itself, and needed next.
            Some(false) if self.class_facts(class).is_some_and(|facts| facts.inline_values) => {
                self.emit(Op::GuardInlineValues { value: object, class, state });
            }
            _ => {
                self.emit(Op::GuardClass { value: object, class, state });
            }
        }
        self.know_class(object, class);
        object
    }

    /// Notes that a guard or a test established an object's class.
    pub(crate) fn know_class(&mut self, object: Value, class: ObjectId) {
        self.know_classes(object, vec![class]);
    }

    /// Notes that an object is of one of these classes (in the order of their numbers).
    pub(crate) fn know_classes(&mut self, object: Value, classes: Vec<ObjectId>) {
        let object = self.function.root(object);
        self.state.classes.retain(|known| known.object != object);
        let is_fixed = classes.iter().all(|class| self.class_facts(*class).is_some_and(|facts| facts.is_immutable));
        self.state.classes.push(KnownClasses { object, classes, present: true, is_fixed });
    }

    /// What is known of an object's class.
    pub(crate) fn known_classes(&self, object: Value) -> Option<&KnownClasses> {
        let object = self.function.root(object);
        self.state.classes.iter().find(|known| known.object == object)
    }

    /// The class of an object, if it is known and cannot have changed.
    pub(crate) fn known_class(&self, object: Value) -> Option<ObjectId> {
        self.known_classes(object).filter(|known| known.present).and_then(KnownClasses::only)
    }

    /// The class that an object had when it was last looked at.
    pub(crate) fn last_class(&self, object: Value) -> Option<ObjectId> {
        self.known_classes(object).and_then(KnownClasses::only)
    }

    /// Whether an object is known to be of one of several classes, so that guarding for one would be wrong.
    fn is_of_several_classes(&self, object: Value) -> bool {
        self.known_classes(object).is_some_and(|known| known.classes.len() > 1)
    }

    pub(crate) fn load_attr(&mut self, name: ObjectId, method: bool, instruction: &Instruction) -> Result<(), Bailout> {
        if self.settings.speculate
            && let Type::Constant(module, Some(Kind::Module)) = self.ty(self.peek(1)?)
            && let Some(value) = self.snapshot.global(module, name)
        {
            self.rely_on_invariants();
            let value = self.constant(value);
            self.finish_load(value, method)?;
            return Ok(());
        }
        if self.settings.speculate && self.load_attr_of_known(name, method, instruction)? {
            return Ok(());
        }
        if self.settings.speculate
            && !self.gave_up(instruction)
            && !self.is_of_several_classes(self.peek(1)?)
            && let Feedback::Attribute(feedback) = &instruction.feedback
            && self.load_attr_by_feedback(feedback, method)?
        {
            return Ok(());
        }
        if self.load_attr_of_noted(name, method, instruction)? {
            return Ok(());
        }
        self.load_attr_generic(name, method)
    }

    /// The access by the runtime, whatever the object is.
    pub(crate) fn load_attr_generic(&mut self, name: ObjectId, method: bool) -> Result<(), Bailout> {
        let object = self.peek(1)?;
        let constant = self.constant(name);
        if method {
            let object = self.object(object);
            let callable = self.invoke(Helper::LoadMethod, &[object, constant]).expect("a method is a result");
            let receiver = self.emit_value(Op::TakeOutput { index: 0 });
            let object = self.pop()?;
            self.push(callable);
            self.push(receiver);
            self.release(object);
        } else {
            let result = self.invoke(Helper::LoadAttr, &[object, constant]).expect("an attribute is a result");
            let object = self.pop()?;
            self.note_bound(object, name, result);
            self.push(result);
            self.release(object);
        }
        Ok(())
    }

    /// Compiles the access as the feedback says; false if it cannot.
    fn load_attr_by_feedback(&mut self, feedback: &AttributeFeedback, method: bool) -> Result<bool, Bailout> {
        let object = self.peek(1)?;
        match feedback {
            AttributeFeedback::InstanceValue { version, offset } => {
                let Some(class) = self.snapshot.class_by_version(*version) else { return Ok(false) };
                let object = self.guard_class(object, class);
                let state = self.before();
                self.emit(Op::GuardInlineValues { value: object, class, state });
                let value = self.emit_value(Op::LoadField { object, offset: u32::from(*offset), state });
                self.finish_load(value, method)
            }
            AttributeFeedback::Slot { version, offset } => {
                let Some(class) = self.snapshot.class_by_version(*version) else { return Ok(false) };
                let object = self.guard_class(object, class);
                let state = self.before();
                let value = self.emit_value(Op::LoadField { object, offset: u32::from(*offset), state });
                self.finish_load(value, method)
            }
            AttributeFeedback::Method { version, keys_version, value } => {
                let Some(class) = self.snapshot.class_by_version(*version) else { return Ok(false) };
                if !method {
                    return Ok(false);
                }
                self.guard_class_attribute(object, class, *keys_version);
                self.guard_no_own_dict(object, class);
                let object = self.pop()?;
                let callable = self.constant(*value);
                self.push(callable);
                self.push(object);
                Ok(true)
            }
            AttributeFeedback::NonDescriptor { version, keys_version, value } => {
                let Some(class) = self.snapshot.class_by_version(*version) else { return Ok(false) };
                self.guard_class_attribute(object, class, *keys_version);
                let value = self.constant(*value);
                self.finish_load(value, method)
            }
            AttributeFeedback::Class { version, value } => {
                // The receiver is a class: it has to be one the unit knows.
                let Some(class) = self.snapshot.class_by_version(*version) else { return Ok(false) };
                match self.ty(object) {
                    Type::Constant(known, _) if known == class => {}
                    _ => {
                        let receiver = self.object(object);
                        let state = self.before();
                        let refined = self.emit_value(Op::GuardIdentity { value: receiver, object: class, state });
                        self.replace(receiver, refined);
                    }
                }
                self.rely_on_invariants();
                let value = self.constant(*value);
                self.finish_load(value, method)
            }
            AttributeFeedback::Property { version, getter } => {
                let Some(class) = self.snapshot.class_by_version(*version) else { return Ok(false) };
                if method || self.inlinable(*getter, 1).is_none() {
                    return Ok(false);
                }
                self.guard_class(object, class);
                let object = self.pop()?;
                self.inline_call(*getter, vec![object], crate::calls::Continuation::Push)?;
                Ok(true)
            }
            AttributeFeedback::WithHint { .. }
            | AttributeFeedback::Module { .. }
            | AttributeFeedback::GetattributeOverridden { .. } => Ok(false),
        }
    }

    /// Makes sure that a class attribute is what the snapshot saw and no instance attribute hides it.
    pub(crate) fn guard_class_attribute(&mut self, object: Value, class: ObjectId, keys_version: Option<u32>) {
        let object = self.guard_class(object, class);
        if let Some(version) = keys_version {
            let state = self.before();
            self.emit(Op::GuardInlineValues { value: object, class, state });
            self.emit(Op::GuardKeys { class, version, state });
        }
    }

    fn finish_load(&mut self, value: Value, method: bool) -> Result<bool, Bailout> {
        let object = self.pop()?;
        self.push(value);
        if method {
            self.push_slot(Slot::Null);
        }
        self.release(object);
        Ok(true)
    }

    /// Stack: value, object.
    pub(crate) fn store_attr(&mut self, name: ObjectId, instruction: &Instruction) -> Result<(), Bailout> {
        if self.settings.speculate && self.store_attr_of_known(name, instruction)? {
            return Ok(());
        }
        if self.settings.speculate
            && !self.gave_up(instruction)
            && !self.is_of_several_classes(self.peek(1)?)
            && let Feedback::Attribute(feedback) = &instruction.feedback
        {
            match feedback {
                AttributeFeedback::InstanceValue { version, offset } => {
                    if let Some(class) = self.snapshot.class_by_version(*version)
                        && let Some(first) =
                            self.class_facts(class).map(|facts| facts.inline_values_offset + INLINE_VALUES_HEADER)
                        && u32::from(*offset) >= first
                    {
                        let object = self.peek(1)?;
                        self.guard_class(object, class);
                        self.store_inline_value(class, u32::from(*offset))?;
                        return Ok(());
                    }
                }
                AttributeFeedback::Slot { version, offset } => {
                    if let Some(class) = self.snapshot.class_by_version(*version) {
                        let object = self.peek(1)?;
                        self.guard_class(object, class);
                        let (object, value) = (self.pop()?, self.pop()?);
                        let value = self.steal(value);
                        let object = self.object(object);
                        let old = self.emit_value(Op::StoreSlot { object, offset: u32::from(*offset), value });
                        self.release(old);
                        self.release(object);
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        self.store_attr_generic(name)
    }

    /// The store by the runtime, whatever the object is.
    pub(crate) fn store_attr_generic(&mut self, name: ObjectId) -> Result<(), Bailout> {
        let (value, object) = (self.peek(2)?, self.peek(1)?);
        let name = self.constant(name);
        self.invoke(Helper::StoreAttr, &[object, name, value]);
        let (object, value) = (self.pop()?, self.pop()?);
        self.release(value);
        self.release(object);
        Ok(())
    }

    /// Stores into the inline values of an object whose class is guarded. Stack: value, object.
    pub(crate) fn store_inline_value(&mut self, class: ObjectId, offset: u32) -> Result<(), Bailout> {
        let object = self.peek(1)?;
        let first = self.class_facts(class).expect("a guarded class has facts").inline_values_offset;
        let index = (offset - first - INLINE_VALUES_HEADER) / 8;
        let state = self.before();
        self.emit(Op::GuardInlineValues { value: object, class, state });
        self.emit(Op::GuardNoDict { value: object, state });
        let (object, value) = (self.pop()?, self.pop()?);
        let value = self.steal(value);
        let old = self.emit_value(Op::StoreField { object, offset, index, value });
        self.release(old);
        self.release(object);
        Ok(())
    }

    /// The kind a class constant constructs, if instances of it are exactly that builtin type.
    pub(crate) fn constructed_kind(&self, class: ObjectId) -> Option<Kind> {
        self.class_facts(class).and_then(|facts| facts.kind)
    }
}
