//! Several classes at one attribute access.
//!
//! Where guards at an access failed for objects of other classes, the next version tests for each class that was seen.
//! Classes that have the attribute at the same place, or the same function, share a path: the object is then known to
//! be of one of them, and the next access to it needs no test. For a method the paths stay apart until the call is done,
//! so that each callee is known and can be inlined; then they join. An object of a class not seen yet leaves, for the next
//! version to know the class; the last version, and an access that met too many classes, has a generic path for it.

use crate::Bailout;
use crate::known_class::Access;
use crate::state::State;
use crate::translator::{Edge, Translator};
use coluber_bytecode::{AttributeFeedback, Code, Feedback, Instruction, ObjectId, ObjectValue, Op as Bytecode};
use coluber_ir::Op;

/// Most classes told apart at one access.
pub(crate) const MAX_CLASSES: usize = 4;
/// No more forks when a unit has grown to so many instructions.
const MAX_TRANSLATED: usize = 1500;
/// Longest distance between a method look-up and its call, in instructions.
const MAX_DISTANCE: usize = 24;

/// Classes that have an attribute in the same way.
struct Group {
    classes: Vec<ObjectId>,
    access: Access,
    /// Where their inline values are.
    layout: u32,
}

/// How an access to objects of several classes is translated.
struct Fork {
    groups: Vec<Group>,
    /// Whether the object can be of no other class.
    is_closed: bool,
    /// Index of the instruction where the paths join.
    behind: usize,
}

impl Fork {
    fn classes(&self) -> impl Iterator<Item = ObjectId> {
        self.groups.iter().flat_map(|group| group.classes.iter().copied())
    }
}

impl Translator<'_> {
    /// Translates instructions one after the other, forking where an access is polymorphic.
    pub(crate) fn translate_range(&mut self, code_index: usize, first: usize, end: usize) -> Result<(), Bailout> {
        let mut index = first;
        while index < end && self.block.is_some() {
            if index + 1 < end && self.slice_of_list(code_index, index)? {
                index += 2;
                continue;
            }
            let range = self.range_iterator(code_index, index, end)?;
            if range > 0 {
                index += range;
                continue;
            }
            match self.fork_at(code_index, index, end) {
                Some(fork) => {
                    self.fork(code_index, index, &fork)?;
                    index = fork.behind;
                }
                None => {
                    self.translate_instruction(code_index, index)?;
                    index += 1;
                }
            }
        }
        Ok(())
    }

    /// The paths for an access, if its object may be of several classes.
    fn fork_at(&self, code_index: usize, index: usize, end: usize) -> Option<Fork> {
        let code: &Code = &self.snapshot.codes[code_index];
        let instruction = &code.instructions[index];
        let (name, method, stores) = match instruction.op {
            Bytecode::LoadAttr { name, method } => (name, method, false),
            Bytecode::StoreAttr { name } => (name, false, true),
            _ => return None,
        };
        if !self.settings.speculate || self.is_unlike_its_class(code_index, instruction) {
            return None;
        }
        let known = self.peek(1).ok().and_then(|object| self.known_classes(object));
        let candidates = match known {
            Some(known) => known.classes.clone(),
            None if self.gave_up(instruction) => self.seen_classes(code_index, instruction),
            None => return None,
        };
        if candidates.len() > MAX_CLASSES || (known.is_some() && candidates.len() == 1) {
            return None;
        }
        let ObjectValue::Str(Some(text)) = &self.snapshot.objects.get(name).value else { return None };
        let mut groups: Vec<Group> = Vec::new();
        let mut is_closed = known.is_some();
        for class in candidates {
            let access = if stores { self.store_access(class, text) } else { self.access(class, text, method) };
            let Some(access) = access.filter(|access| !matches!(access, Access::OwnClass(_))) else {
                is_closed = false;
                continue;
            };
            let layout = self.class_facts(class)?.inline_values_offset;
            match groups.iter_mut().find(|group| group.access == access && group.layout == layout) {
                Some(group) => group.classes.push(class),
                None => groups.push(Group { classes: vec![class], access, layout }),
            }
        }
        let stays_together = is_closed && groups.len() == 1;
        if groups.is_empty() || (self.translated > MAX_TRANSLATED && !stays_together) {
            return None;
        }
        let behind = if method && !stays_together { call_of(code, index, end)? } else { index + 1 };
        Some(Fork { groups, is_closed, behind })
    }

    /// Classes seen at an access: by the interpreter, and by guards that failed.
    pub(crate) fn seen_classes(&self, code_index: usize, instruction: &Instruction) -> Vec<ObjectId> {
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

    /// Translates instructions up to where the paths join, once for each group of classes and once for all others.
    fn fork(&mut self, code_index: usize, index: usize, fork: &Fork) -> Result<(), Bailout> {
        let code: &Code = &self.snapshot.codes[code_index];
        let instruction = &code.instructions[index];
        self.begin_path(instruction, code_index);
        self.rely_on_invariants();
        let object = self.peek(1)?;
        self.object(object);
        self.confirm_classes()?;
        // A class not seen yet is learned, as long as there are versions to come.
        let learns = !fork.is_closed && self.settings.learn_classes && fork.classes().count() < MAX_CLASSES;
        let last = fork.classes().last().filter(|_| fork.is_closed || learns);
        let is_one_path = fork.groups.len() == 1;
        let mut edges: Vec<Edge> = Vec::new();
        for group in &fork.groups {
            let is_tested = fork.is_closed && is_one_path && !needs_keys(group.access);
            let others = match is_tested {
                true => None,
                false => self.test_classes(code_index, instruction, &group.classes, needs_keys(group.access), last)?,
            };
            self.forks += usize::from(!is_one_path);
            self.begin_path(instruction, code_index);
            self.access_as(instruction, &group.classes, group.access)?;
            self.finish_path(code_index, index + 1, fork.behind, &mut edges)?;
            self.forks -= usize::from(!is_one_path);
            if let Some(edge) = others {
                (self.block, self.state) = (Some(edge.block), edge.state);
            }
        }
        if last.is_none() {
            let generic = self.block.expect("the last test leaves the generic path open");
            self.function.blocks[generic].cold = true;
            self.begin_path(instruction, code_index);
            match instruction.op {
                Bytecode::LoadAttr { name, method } => self.load_attr_generic(name, method)?,
                Bytecode::StoreAttr { name } => self.store_attr_generic(name)?,
                _ => unreachable!("the caller looked"),
            }
            self.forks += 1;
            self.finish_path(code_index, index + 1, fork.behind, &mut edges)?;
            self.forks -= 1;
        }
        if edges.is_empty() {
            return Ok(());
        }
        let start = code.instructions.get(fork.behind).map_or(instruction.next, |next| next.start);
        let resume = self.resume_at(code, start);
        self.merge(edges, resume)
    }

    /// Exits unless the object on top of the stack is of one of the classes, which are all that is known of it or were seen;
    /// false if that would be too many tests.
    pub(crate) fn guard_one_of(&mut self, classes: &[ObjectId], instruction: &Instruction) -> Result<bool, Bailout> {
        let object = self.peek(1)?;
        if let [class] = *classes {
            self.guard_class(object, class);
            return Ok(true);
        }
        self.confirm_classes()?;
        if self.known_classes(object).is_some_and(|known| known.present && known.classes == classes) {
            return Ok(true);
        }
        if classes.len() > MAX_CLASSES {
            return Ok(false);
        }
        self.test_classes(self.state.top().code, instruction, classes, false, classes.last().copied())?;
        Ok(true)
    }

    /// Makes what was known of the class of the object on top of the stack present knowledge, if that is cheap.
    fn confirm_classes(&mut self) -> Result<(), Bailout> {
        let object = self.peek(1)?;
        let Some(known) = self.known_classes(object).filter(|known| !known.present) else { return Ok(()) };
        let classes = known.classes.clone();
        let layout = |class: &ObjectId| {
            let facts = self.class_facts(*class).filter(|facts| facts.inline_values);
            facts.map(|facts| facts.inline_values_offset)
        };
        let first = layout(&classes[0]);
        if first.is_some() && classes.iter().all(|class| layout(class) == first) {
            let state = self.before();
            self.emit(Op::GuardInlineValues { value: object, class: classes[0], state });
            self.know_classes(object, classes);
        }
        Ok(())
    }

    /// Tests for each of some classes; the present block goes on for them, with their keys guarded if several have to share
    /// that. The edge is for all other classes; there is none if the `last` class that the object can have is among them.
    fn test_classes(
        &mut self,
        code_index: usize,
        instruction: &Instruction,
        classes: &[ObjectId],
        guards_keys: bool,
        last: Option<ObjectId>,
    ) -> Result<Option<Edge>, Bailout> {
        let mut edges: Vec<Edge> = Vec::new();
        let mut others = None;
        for &class in classes {
            let value = self.peek(1)?;
            if Some(class) == last {
                self.begin_path(instruction, code_index);
                self.guard_class(value, class);
                others = None;
            } else {
                let condition = self.emit_value(Op::IsClass { value, class });
                let (matches, other) = self.branch_on(condition);
                others = Some(Edge { block: other, state: self.state.clone() });
                self.block = Some(matches);
                self.begin_path(instruction, code_index);
                self.know_class(value, class);
            }
            if classes.len() > 1 && guards_keys {
                self.guard_keys(class);
            }
            edges.push(self.end_path());
            if let Some(other) = &others {
                (self.block, self.state) = (Some(other.block), other.state.clone());
            }
        }
        let code: &Code = &self.snapshot.codes[code_index];
        let resume = self.resume_at(code, instruction.start);
        self.merge(edges, resume)?;
        Ok(others)
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
        self.translate_range(code_index, first, behind)?;
        if let Some(block) = self.block.take() {
            let state: State = self.state.clone();
            edges.push(Edge { block, state });
        }
        Ok(())
    }
}

/// Whether an access relies on what keys instances have.
fn needs_keys(access: Access) -> bool {
    matches!(access, Access::Method(_) | Access::ClassMethod(..) | Access::Constant(_))
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
