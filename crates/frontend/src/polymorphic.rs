//! Several classes at one attribute access: a path for each.
//!
//! Where guards at an access failed for objects of other classes, the next version tests for each class that was seen
//! and compiles the access for it. For a method the paths stay apart until the call is done, so that each callee is known
//! and can be inlined; then they join. Whatever is none of the classes takes the generic path.

use crate::Bailout;
use crate::known_class::Access;
use crate::state::State;
use crate::translator::{Edge, Translator};
use coluber_bytecode::{AttributeFeedback, Code, Feedback, Instruction, ObjectId, ObjectValue, Op as Bytecode};
use coluber_ir::{BlockCall, Op};

/// Most classes told apart at one access.
const MAX_CLASSES: usize = 4;
/// No more forks when a unit has grown to so many instructions.
const MAX_TRANSLATED: usize = 1500;
/// Longest distance between a method look-up and its call, in instructions.
const MAX_DISTANCE: usize = 24;

impl Translator<'_> {
    /// Translates instructions one after the other, forking where an access is polymorphic.
    pub(crate) fn translate_range(&mut self, code_index: usize, first: usize, end: usize) -> Result<(), Bailout> {
        let mut index = first;
        while index < end && self.block.is_some() {
            if index + 1 < end && self.slice_of_list(code_index, index)? {
                index += 2;
                continue;
            }
            match self.fork_at(code_index, index, end) {
                // Only one class is possible: an access like any other.
                Some((classes, _)) if self.is_known(&classes) => {
                    let code: &Code = &self.snapshot.codes[code_index];
                    self.begin_path(&code.instructions[index], code_index);
                    self.access_as(&code.instructions[index], classes[0].0, classes[0].1)?;
                    index += 1;
                }
                Some((classes, behind)) => {
                    self.fork(code_index, index, behind, &classes)?;
                    index = behind;
                }
                None => {
                    self.translate_instruction(code_index, index)?;
                    index += 1;
                }
            }
        }
        Ok(())
    }

    /// The classes to tell apart at an instruction with the access for each, and where the paths join.
    fn fork_at(&self, code_index: usize, index: usize, end: usize) -> Option<(Vec<(ObjectId, Access)>, usize)> {
        let code: &Code = &self.snapshot.codes[code_index];
        let instruction = &code.instructions[index];
        let (name, method, stores) = match instruction.op {
            Bytecode::LoadAttr { name, method } => (name, method, false),
            Bytecode::StoreAttr { name } => (name, false, true),
            _ => return None,
        };
        if !self.settings.speculate || !self.gave_up(instruction) || self.is_unlike_its_class(code_index, instruction) {
            return None;
        }
        let known = self.peek(1).ok().and_then(|object| self.known_class(object));
        if known.is_none() && self.translated > MAX_TRANSLATED {
            return None;
        }
        let ObjectValue::Str(Some(text)) = &self.snapshot.objects.get(name).value else { return None };
        let classes: Vec<(ObjectId, Access)> = self
            .seen_classes(code_index, instruction)
            .into_iter()
            .filter(|class| known.is_none_or(|known| known == *class))
            .filter_map(|class| {
                let access = if stores { self.store_access(class, text) } else { self.access(class, text, method) };
                Some((class, access?))
            })
            .collect();
        if classes.is_empty() || classes.len() > MAX_CLASSES {
            return None;
        }
        let behind = if method { call_of(code, index, end)? } else { index + 1 };
        Some((classes, behind))
    }

    /// Classes seen at an access: by the interpreter, and by guards that failed.
    fn seen_classes(&self, code_index: usize, instruction: &Instruction) -> Vec<ObjectId> {
        let mut classes = Vec::new();
        if let Feedback::Attribute(
            AttributeFeedback::InstanceValue { version, .. }
            | AttributeFeedback::Method { version, .. }
            | AttributeFeedback::NonDescriptor { version, .. },
        ) = instruction.feedback
        {
            classes.extend(self.snapshot.class_by_version(version));
        }
        for fact in &self.snapshot.exits {
            if fact.code == code_index && fact.offset == instruction.start && fact.reason != crate::operators::OPERANDS
            {
                for version in &fact.classes {
                    if let Some(class) = self.snapshot.class_by_version(*version)
                        && !classes.contains(&class)
                    {
                        classes.push(class);
                    }
                }
            }
        }
        classes
    }

    /// Translates instructions `index..behind` once for each class and once for all others.
    fn fork(
        &mut self,
        code_index: usize,
        index: usize,
        behind: usize,
        classes: &[(ObjectId, Access)],
    ) -> Result<(), Bailout> {
        let code: &Code = &self.snapshot.codes[code_index];
        let instruction = &code.instructions[index];
        self.begin_path(instruction, code_index);
        self.rely_on_invariants();
        let object = self.peek(1)?;
        self.object(object);
        let mut edges: Vec<Edge> = Vec::new();
        let target = |block| BlockCall { block, arguments: Vec::new() };
        for &(class, access) in classes {
            let value = self.peek(1)?;
            let condition = self.emit_value(Op::IsClass { value, class });
            let (matches, other) = (self.function.add_block(), self.function.add_block());
            self.emit(Op::Branch { condition, then: target(matches), otherwise: target(other) });
            let state = self.state.clone();
            self.block = Some(matches);
            self.begin_path(instruction, code_index);
            self.access_as(instruction, class, access)?;
            self.finish_path(code_index, index + 1, behind, &mut edges)?;
            self.block = Some(other);
            self.state = state;
        }
        let generic = self.block.expect("the last test leaves the generic path open");
        self.function.blocks[generic].cold = true;
        self.begin_path(instruction, code_index);
        match instruction.op {
            Bytecode::LoadAttr { name, method } => self.load_attr_generic(name, method)?,
            Bytecode::StoreAttr { name } => self.store_attr_generic(name)?,
            _ => unreachable!("the caller looked"),
        }
        self.finish_path(code_index, index + 1, behind, &mut edges)?;
        if edges.is_empty() {
            return Ok(());
        }
        let start = code.instructions.get(behind).map_or(instruction.next, |next| next.start);
        let resume = self.resume_at(code, start);
        self.merge(edges, resume)
    }

    fn is_known(&self, classes: &[(ObjectId, Access)]) -> bool {
        let object = self.peek(1).ok();
        classes.len() == 1 && object.and_then(|object| self.known_class(object)) == Some(classes[0].0)
    }

    fn begin_path(&mut self, instruction: &Instruction, code_index: usize) {
        let code: &Code = &self.snapshot.codes[code_index];
        self.source = (code_index as u32, instruction.offset);
        self.begin(self.resume_at(code, instruction.start), self.resume_at(code, instruction.next));
        self.check_observed();
    }

    fn finish_path(
        &mut self,
        code_index: usize,
        first: usize,
        behind: usize,
        edges: &mut Vec<Edge>,
    ) -> Result<(), Bailout> {
        self.forks += 1;
        self.translate_range(code_index, first, behind)?;
        self.forks -= 1;
        if let Some(block) = self.block.take() {
            let state: State = self.state.clone();
            edges.push(Edge { block, state });
        }
        Ok(())
    }
}

/// Index behind the call that belongs to the method look-up at `index`, if only plain instructions lie in between.
fn call_of(code: &Code, index: usize, end: usize) -> Option<usize> {
    // Values on the stack above the callable and self.
    let mut depth: i64 = 0;
    for (distance, instruction) in code.instructions[index + 1..end].iter().enumerate() {
        if distance > MAX_DISTANCE {
            return None;
        }
        depth += match instruction.op {
            Bytecode::Call { count } if i64::from(count) == depth => return Some(index + distance + 2),
            Bytecode::Call { count } => -i64::from(count) - 1,
            Bytecode::LoadFast { .. }
            | Bytecode::LoadFastCheck { .. }
            | Bytecode::LoadConst { .. }
            | Bytecode::LoadDeref { .. }
            | Bytecode::PushNull
            | Bytecode::Copy { .. } => 1,
            Bytecode::LoadGlobal { push_null, .. } => 1 + i64::from(push_null),
            Bytecode::LoadAttr { method, .. } => i64::from(method),
            Bytecode::BinaryOp { .. }
            | Bytecode::BinarySubscript
            | Bytecode::Compare { .. }
            | Bytecode::Is { .. }
            | Bytecode::Contains { .. } => -1,
            Bytecode::UnaryNegative | Bytecode::UnaryInvert | Bytecode::UnaryNot | Bytecode::ToBool | Bytecode::Nop => {
                0
            }
            Bytecode::BuildTuple { count } | Bytecode::BuildList { count } => 1 - i64::from(count),
            _ => return None,
        };
        if depth < 0 {
            return None;
        }
    }
    None
}
