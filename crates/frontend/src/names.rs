//! Globals, builtins, and the names of a module's own code.
//!
//! A name that keeps its value is a constant of the unit (an invariant). One that changes is read and set where its dict
//! keeps it, as long as it stands where it stood at the time of the snapshot. At module level the frame's namespace is the
//! module's dict, so that names are globals.

use crate::Bailout;
use crate::translator::Translator;
use coluber_bytecode::{GlobalEntry, Instruction, ObjectId, ObjectValue};
use coluber_ir::{Helper, Op};

impl Translator<'_> {
    /// Globals of the executing activation.
    fn globals(&self) -> Result<ObjectId, Bailout> {
        match self.state.top().function {
            Some(function) => match &self.snapshot.objects.get(function).value {
                ObjectValue::Function(facts) => Ok(facts.globals),
                _ => Err(self.malformed("inlined object is no function")),
            },
            None => Ok(self.snapshot.globals),
        }
    }

    /// Whether names of the executing activation are globals of its module.
    fn has_module_namespace(&self) -> bool {
        self.snapshot.is_module && self.state.frames.len() == 1 && !self.code().flags.is_optimized
    }

    fn entry(&self, name: ObjectId, instruction: &Instruction) -> Result<Option<GlobalEntry>, Bailout> {
        if !self.settings.speculate || self.gave_up(instruction) {
            return Ok(None);
        }
        let globals = self.globals()?;
        let mut entries = self.snapshot.global_entries.iter();
        Ok(entries.find(|entry| entry.globals == globals && entry.name == name).cloned())
    }

    pub(crate) fn load_global(&mut self, name: ObjectId, instruction: &Instruction) -> Result<(), Bailout> {
        self.load_by_name(Helper::LoadGlobal, name, instruction)
    }

    pub(crate) fn load_name(&mut self, name: ObjectId, instruction: &Instruction) -> Result<(), Bailout> {
        if self.has_module_namespace() {
            return self.load_by_name(Helper::LoadName, name, instruction);
        }
        self.by_name(Helper::LoadName, name)
    }

    fn load_by_name(&mut self, helper: Helper, name: ObjectId, instruction: &Instruction) -> Result<(), Bailout> {
        if self.settings.speculate {
            let globals = self.globals()?;
            if let Some(value) = self.snapshot.global(globals, name) {
                self.rely_on_invariants();
                let value = self.constant(value);
                self.push(value);
                return Ok(());
            }
        }
        if let Some(entry) = self.entry(name, instruction)? {
            let state = self.before();
            let GlobalEntry { globals: dict, shape, offset, .. } = entry;
            self.emit(Op::GuardDictKey { dict, shape, offset, name, state });
            let value = self.emit_value(Op::LoadDictEntry { dict, offset, state });
            self.push(value);
            return Ok(());
        }
        self.by_name(helper, name)
    }

    /// A name by the runtime; pushes the result if there is one.
    pub(crate) fn by_name(&mut self, helper: Helper, name: ObjectId) -> Result<(), Bailout> {
        let name = self.constant(name);
        if let Some(result) = self.invoke(helper, &[name]) {
            self.push(result);
        }
        Ok(())
    }

    /// Stack: value.
    pub(crate) fn store_by_name(
        &mut self,
        helper: Helper,
        name: ObjectId,
        instruction: &Instruction,
    ) -> Result<(), Bailout> {
        let is_global = helper == Helper::StoreGlobal || self.has_module_namespace();
        if let Some(entry) = self.entry(name, instruction)?.filter(|_| is_global) {
            let GlobalEntry { globals: dict, shape, offset, .. } = entry;
            let state = self.before();
            self.emit(Op::GuardDictKey { dict, shape, offset, name, state });
            self.emit(Op::GuardDictEntry { dict, offset, state });
            let value = self.pop()?;
            let value = self.steal(value);
            let old = self.emit_value(Op::StoreDictEntry { dict, offset, value });
            self.release(old);
            return Ok(());
        }
        let name = self.constant(name);
        let value = self.peek(1)?;
        self.invoke(helper, &[name, value]);
        let value = self.pop()?;
        self.release(value);
        Ok(())
    }

    /// Makes sure that a frame entered at module level is what the snapshot saw.
    pub(crate) fn guard_namespace(&mut self) {
        if self.settings.speculate && self.has_module_namespace() {
            let state = self.before();
            self.emit(Op::GuardModuleNamespace { state });
        }
    }
}
