//! Attributes of objects whose class is known, resolved by the compiler as `object.__getattribute__` and
//! `type.__getattribute__` would: no inline cache has to have seen the access.
//!
//! The class's dict and those of its bases are invariants of the unit; what an instance has of its own is guarded.

use crate::Bailout;
use crate::calls::Continuation;
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{Binding, INLINE_VALUES_HEADER, Instruction, ObjectId, ObjectValue, Op as Bytecode};
use coluber_ir::{Op, Type, Value};

/// What an attribute access becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Access {
    /// A field in the inline values, so many bytes from the object's start.
    Field(u32),
    /// A function of the class that is about to be called: the object comes first.
    Method(ObjectId),
    /// A function that is about to be called with this class first.
    ClassMethod(ObjectId, ObjectId),
    /// Something of the class that does not bind.
    Constant(ObjectId),
    /// The result of this getter.
    Property(ObjectId),
    /// The class itself.
    OwnClass(ObjectId),
}

impl Translator<'_> {
    /// How instances of a class have an attribute, if the snapshot knows enough.
    pub(crate) fn access(&self, class: ObjectId, name: &str, method: bool) -> Option<Access> {
        let facts = self.class_facts(class)?;
        if facts.kind.is_some() || facts.version == 0 || !facts.inline_values || !facts.plain_reads {
            return None;
        }
        let field = self.field(class, name);
        let Some(attribute) = facts.attribute(name) else { return field };
        match attribute.binding {
            // Data descriptors come before what the instance has.
            Binding::Property(getter) => {
                (!method && self.inlinable(getter, 1).is_some()).then_some(Access::Property(getter))
            }
            Binding::OwnClass => Some(Access::OwnClass(class)),
            Binding::Other => None,
            _ if field.is_some() => field,
            _ if facts.keys_version == 0 => None,
            Binding::Plain => Some(Access::Constant(attribute.value)),
            Binding::StaticMethod(function) => Some(Access::Constant(function)),
            Binding::Method => method.then_some(Access::Method(attribute.value)),
            Binding::ClassMethod(function) => method.then_some(Access::ClassMethod(function, class)),
        }
    }

    /// How an attribute of instances of a class is set.
    pub(crate) fn store_access(&self, class: ObjectId, name: &str) -> Option<Access> {
        let facts = self.class_facts(class)?;
        if facts.kind.is_some() || facts.version == 0 || !facts.inline_values || !facts.plain_writes {
            return None;
        }
        match facts.attribute(name).map(|attribute| attribute.binding) {
            Some(Binding::Property(_) | Binding::OwnClass | Binding::Other) => None,
            _ => self.field(class, name),
        }
    }

    /// The field that the shared keys of a class have for a name.
    fn field(&self, class: ObjectId, name: &str) -> Option<Access> {
        let facts = self.class_facts(class)?;
        let slot = facts.keys.iter().position(|key| key == name)?;
        Some(Access::Field(facts.inline_values_offset + INLINE_VALUES_HEADER + 8 * slot as u32))
    }

    /// How a class has an attribute of its own.
    fn access_on_class(&self, class: ObjectId, name: &str, method: bool) -> Option<Access> {
        let facts = self.class_facts(class)?;
        // Names with two underscores may be data descriptors of `type`.
        if facts.version == 0 || !facts.plain_metaclass || name.starts_with("__") {
            return None;
        }
        let attribute = facts.attribute(name)?;
        match attribute.binding {
            Binding::Plain | Binding::Method | Binding::Property(_) => Some(Access::Constant(attribute.value)),
            Binding::StaticMethod(function) => Some(Access::Constant(function)),
            Binding::ClassMethod(function) => method.then_some(Access::ClassMethod(function, class)),
            Binding::OwnClass | Binding::Other => None,
        }
    }

    /// Compiles the access if the object is a class, or an instance of a class, that the compiler knows; false if it cannot.
    pub(crate) fn load_attr_of_known(
        &mut self,
        name: ObjectId,
        method: bool,
        instruction: &Instruction,
    ) -> Result<bool, Bailout> {
        let ObjectValue::Str(Some(text)) = &self.snapshot.objects.get(name).value else { return Ok(false) };
        let object = self.peek(1)?;
        if let Type::Constant(class, _) = self.ty(object) {
            let Some(access) = self.access_on_class(class, text, method) else { return Ok(false) };
            self.rely_on_invariants();
            self.pop()?;
            match access {
                Access::Constant(value) => {
                    let value = self.constant(value);
                    self.push(value);
                    if method {
                        self.push_slot(Slot::Null);
                    }
                    self.release(object);
                }
                Access::ClassMethod(function, _) => {
                    let function = self.constant(function);
                    self.push(function);
                    self.push(object);
                }
                _ => unreachable!("classes have no fields"),
            }
            return Ok(true);
        }
        let Some(class) = self.last_class(object) else { return Ok(false) };
        if self.is_unlike_its_class(self.state.top().code, instruction) {
            return Ok(false);
        }
        let Some(access) = self.access(class, text, method) else {
            return self.load_of_native_class(class, text, method);
        };
        if matches!(access, Access::OwnClass(_)) && !self.is_class_used_at_once(object, instruction) {
            return Ok(false);
        }
        self.load_as(&[class], access, method)?;
        Ok(true)
    }

    /// Compiles the store if the object is an instance of a class that the compiler knows; false if it cannot.
    pub(crate) fn store_attr_of_known(&mut self, name: ObjectId, instruction: &Instruction) -> Result<bool, Bailout> {
        let ObjectValue::Str(Some(text)) = &self.snapshot.objects.get(name).value else { return Ok(false) };
        let Some(class) = self.last_class(self.peek(1)?) else { return Ok(false) };
        if self.is_unlike_its_class(self.state.top().code, instruction) {
            return Ok(false);
        }
        let Some(access) = self.store_access(class, text) else { return Ok(false) };
        self.store_as(&[class], access)?;
        Ok(true)
    }

    /// Whether a class that an object led to is only looked at while the object lives: compiled code holds no reference to
    /// constants, and a class that nothing else refers to dies with its instances.
    pub(crate) fn is_class_used_at_once(&self, object: Value, instruction: &Instruction) -> bool {
        let code = self.code();
        let held =
            self.state.top().locals.iter().any(
                |slot| matches!(slot, Slot::Value(value) if self.function.root(*value) == self.function.root(object)),
            );
        let next = code.index_of(instruction.next).map_or(&[][..], |index| &code.instructions[index..]);
        held && matches!(
            next,
            [Instruction { op: Bytecode::LoadAttr { .. }, .. }, ..]
                | [
                    Instruction {
                        op: Bytecode::LoadGlobal { .. } | Bytecode::LoadFast { .. } | Bytecode::LoadConst { .. },
                        ..
                    },
                    Instruction { op: Bytecode::Is { .. }, .. },
                    ..
                ]
        )
    }

    /// Whether objects at this access often are not what their class says: an attribute is unset, the instance has a dict.
    pub(crate) fn is_unlike_its_class(&self, code: usize, instruction: &Instruction) -> bool {
        ["LoadField", "GuardInlineValues", "GuardKeys", "GuardNoDict"]
            .iter()
            .any(|reason| self.snapshot.has_exited(code, instruction.start, reason, crate::translator::GIVE_UP_AFTER))
    }

    /// The access of an instruction for classes that have it in common. If they are several, they have been tested.
    pub(crate) fn access_as(
        &mut self,
        instruction: &Instruction,
        classes: &[ObjectId],
        access: Access,
    ) -> Result<(), Bailout> {
        match instruction.op {
            Bytecode::LoadAttr { method, .. } => self.load_as(classes, access, method),
            _ => self.store_as(classes, access),
        }
    }

    /// Stack: value, object.
    fn store_as(&mut self, classes: &[ObjectId], access: Access) -> Result<(), Bailout> {
        let Access::Field(offset) = access else { unreachable!("only fields are stored") };
        let object = self.peek(1)?;
        if let [class] = *classes {
            self.guard_class(object, class);
        }
        self.store_inline_value(classes[0], offset)
    }

    /// Makes sure that no attribute of the instance hides one of its class.
    pub(crate) fn guard_keys(&mut self, class: ObjectId) {
        let version = self.class_facts(class).expect("an access has facts").keys_version;
        let state = self.before();
        self.emit(Op::GuardKeys { class, version, state });
    }

    fn load_as(&mut self, classes: &[ObjectId], access: Access, method: bool) -> Result<(), Bailout> {
        self.rely_on_invariants();
        let object = self.peek(1)?;
        let class = classes[0];
        if classes.len() == 1 {
            self.guard_class(object, class);
        }
        if let Access::Property(getter) = access {
            let object = self.pop()?;
            return self.inline_call(getter, vec![object], Continuation::Push);
        }
        let state = self.before();
        if !matches!(access, Access::OwnClass(_)) {
            self.emit(Op::GuardInlineValues { value: object, class, state });
        }
        let result = match access {
            Access::OwnClass(class) => self.constant(class),
            Access::Field(offset) => self.emit_value(Op::LoadField { object, offset, state }),
            Access::Method(value) | Access::Constant(value) | Access::ClassMethod(value, _) => {
                if classes.len() == 1 {
                    self.guard_keys(class);
                }
                self.constant(value)
            }
            Access::Property(_) => unreachable!("returned above"),
        };
        let object = self.pop()?;
        self.push(result);
        match access {
            Access::Method(_) => self.push(object),
            Access::ClassMethod(_, class) => {
                let class = self.constant(class);
                self.push(class);
                self.release(object);
            }
            _ => {
                if method {
                    self.push_slot(Slot::Null);
                }
                self.release(object);
            }
        }
        Ok(())
    }
}
