//! Calls of C functions past the wrappers that look at the arguments, and attributes of instances of classes written in C.
//!
//! A function of a builtin module is known by its identity, a method by the class of its object. Instances of such classes
//! have no inline values: a guard makes sure that they have no dict either, as the interpreter's specialised look-up does.

use crate::Bailout;
use crate::quiet_natives::quiet_result;
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{Binding, BuiltinFacts, Instruction, Kind, ObjectId, ObjectValue};
use coluber_ir::{Op, Type, Value};

impl Translator<'_> {
    /// Compiles the call of a C function; false if the generic call has to do it. Stack: callable, self or NULL, arguments.
    pub(crate) fn call_of_builtin(
        &mut self,
        function: ObjectId,
        facts: &BuiltinFacts,
        count: u32,
        instruction: &Instruction,
    ) -> Result<bool, Bailout> {
        let has_self = matches!(self.peek_slot(count + 1)?, Slot::Value(_));
        if facts.name == "builtins.isinstance" && (count, has_self) == (2, false) && self.is_instance(instruction)? {
            return Ok(true);
        }
        if facts.name == "builtins.len" && (count, has_self) == (1, false) {
            self.guard_noted_kind(self.peek(1)?, instruction);
        }
        if self.call_builtin(&facts.name, count, has_self)? {
            return Ok(true);
        }
        self.call_native(function, facts, count, has_self)
    }

    /// Calls the C function itself, if it takes such arguments and, where it is a method, such an object.
    fn call_native(
        &mut self,
        function: ObjectId,
        facts: &BuiltinFacts,
        count: u32,
        has_self: bool,
    ) -> Result<bool, Bailout> {
        let Some(convention) = facts.convention else { return Ok(false) };
        if !self.settings.speculate || has_self != facts.owner.is_some() || !convention.takes(count as usize) {
            return Ok(false);
        }
        if let Some(owner) = facts.owner
            && !self.fits_owner(self.peek(count + 1)?, owner)
        {
            return Ok(false);
        }
        let mut arguments = Vec::new();
        for depth in (1..=count + u32::from(has_self)).rev() {
            let argument = self.peek(depth)?;
            arguments.push(self.object(argument));
        }
        let given = &arguments[usize::from(has_self)..];
        let kinds: Vec<Option<Kind>> = given.iter().map(|argument| self.kind(*argument)).collect();
        let quiet = quiet_result(&facts.name, &kinds);
        let state = self.before();
        let result = self.emit_value(Op::CallNative { function, arguments, is_quiet: quiet.is_some(), state });
        if let Some(kind) = quiet {
            self.function.values[result].ty = Type::Exact(kind);
        }
        self.finish_call(count, result)?;
        Ok(true)
    }

    /// Whether an object certainly is an instance of a class now.
    fn fits_owner(&self, value: Value, class: ObjectId) -> bool {
        let Some(class) = self.class_facts(class) else { return false };
        if let Some(kind) = self.kind(value) {
            return class.kind == Some(kind);
        }
        let known = self.known_classes(value).filter(|known| known.present);
        let inherits = |known: &ObjectId| self.class_facts(*known).is_some_and(|known| known.is_subclass_of(class));
        known.is_some_and(|known| known.classes.iter().all(inherits))
    }

    /// An attribute of an instance of a known class without inline values that the class has.
    pub(crate) fn load_of_native_class(&mut self, class: ObjectId, name: &str, method: bool) -> Result<bool, Bailout> {
        let Some(facts) = self.class_facts(class) else { return Ok(false) };
        if facts.kind.is_some()
            || facts.version == 0
            || facts.inline_values
            || facts.dict_offset < 0
            || !facts.plain_reads
        {
            return Ok(false);
        }
        let Some(attribute) = facts.attribute(name) else { return Ok(false) };
        let (value, binding) = (attribute.value, attribute.binding);
        match binding {
            Binding::Method if method => {}
            Binding::Plain | Binding::StaticMethod(_) => {}
            _ => return Ok(false),
        }
        let object = self.peek(1)?;
        let object = self.guard_class(object, class);
        self.rely_on_invariants();
        self.guard_no_own_dict(object, class);
        let value = self.constant(if let Binding::StaticMethod(function) = binding { function } else { value });
        let object = self.pop()?;
        self.push(value);
        match binding {
            Binding::Method => self.push(object),
            _ => {
                if method {
                    self.push_slot(Slot::Null);
                }
                self.release(object);
            }
        }
        Ok(true)
    }

    /// Makes sure that an instance of a class, which is guarded, has no attributes of its own, if its class lets it have a dict.
    pub(crate) fn guard_no_own_dict(&mut self, object: Value, class: ObjectId) {
        let facts = self.class_facts(class).expect("a guarded class has facts");
        if facts.dict_offset > 0 && !facts.inline_values {
            let (offset, state) = (facts.dict_offset as u32, self.before());
            self.emit(Op::GuardNoOwnDict { value: object, offset, state });
        }
    }

    /// An attribute of an object whose class an earlier version noted; the first version notes it.
    pub(crate) fn load_attr_of_noted(
        &mut self,
        name: ObjectId,
        method: bool,
        instruction: &Instruction,
    ) -> Result<bool, Bailout> {
        let object = self.peek(1)?;
        if !self.settings.speculate || self.gave_up(instruction) || self.known_classes(object).is_some() {
            return Ok(false);
        }
        let Some((class, _)) = self.operand_classes(instruction) else {
            if self.kind(object).is_none() {
                self.note_classes(object, object, instruction);
            }
            return Ok(false);
        };
        let ObjectValue::Str(Some(text)) = &self.snapshot.objects.get(name).value else { return Ok(false) };
        let text = text.clone();
        self.load_of_native_class(class, &text, method)
    }

    /// Makes sure that an object is of the builtin type that an earlier version noted; the first version notes it.
    pub(crate) fn guard_noted_kind(&mut self, object: Value, instruction: &Instruction) {
        if !self.settings.speculate || self.gave_up(instruction) || self.kind(object).is_some() {
            return;
        }
        match self.operand_classes(instruction) {
            None => self.note_classes(object, object, instruction),
            Some((class, _)) => {
                if let Some(kind) = self.class_facts(class).and_then(|facts| facts.kind) {
                    self.guard_kind(object, kind);
                }
            }
        }
    }

    /// The truth of an object of the class that an earlier version noted, or of None; the first version notes it.
    pub(crate) fn truth_of_noted(&mut self, object: Value, instruction: &Instruction) -> Option<Value> {
        // Where the interpreter saw None alone, the first version guards for it, and hears of what else there is.
        let was_none = self.gave_up_only(instruction, &["GuardKind"]);
        if !self.settings.speculate || (self.gave_up(instruction) && !was_none) {
            return None;
        }
        let noted = self.operand_classes(instruction).map(|(class, _)| class);
        let class =
            match (self.last_class(object).or(noted), &self.seen_classes(self.state.top().code, instruction)[..]) {
                (Some(class), _) => class,
                (None, [class]) => *class,
                (None, _) => {
                    self.note_classes(object, object, instruction);
                    return None;
                }
            };
        let facts = self.class_facts(class)?;
        let (kind, is_always_true) = (facts.kind, facts.always_true && facts.version != 0);
        if let Some(
            kind @ (Kind::Bool
            | Kind::Int
            | Kind::Float
            | Kind::Str
            | Kind::Bytes
            | Kind::ByteArray
            | Kind::Tuple
            | Kind::List
            | Kind::Dict
            | Kind::Set
            | Kind::FrozenSet),
        ) = kind
            && !self.gave_up(instruction)
        {
            let object = self.guard_kind(object, kind);
            return Some(self.truth(object, instruction));
        }
        if kind.is_some() || !is_always_true {
            return None;
        }
        self.rely_on_invariants();
        if self.known_class(object) == Some(class) {
            return Some(self.emit_value(Op::BoolConstant { value: true }));
        }
        let object = self.object(object);
        let state = self.before();
        self.emit(Op::GuardNoneOrClass { value: object, class, state });
        let is_none = self.emit_value(Op::IsNone { value: object });
        Some(self.emit_value(Op::BoolNot { value: is_none }))
    }
}
