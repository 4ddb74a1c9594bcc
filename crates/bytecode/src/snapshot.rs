//! The snapshot: everything a strategy may know about a unit.

use crate::{ClassAttribute, Instruction, Kind, ObjectId, ObjectTable, Offset, Op};

/// Where compiled code is entered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// At the start of the function; arguments are bound in their locals.
    Function,
    /// At the `start` of a loop header (the target of a back-edge), with the operand stack `depth` deep.
    #[allow(missing_docs)]
    Loop { header: Offset, depth: u32 },
    /// Of a generator or coroutine: where its frame stands, in front of its first instruction or behind a yield.
    Generator,
}

/// Flags of a code object that matter to the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CodeFlags {
    /// `CO_GENERATOR`, `CO_COROUTINE` or `CO_ASYNC_GENERATOR`.
    pub is_generator: bool,
    /// `CO_VARARGS`.
    pub has_varargs: bool,
    /// `CO_VARKEYWORDS`.
    pub has_varkeywords: bool,
    /// `CO_OPTIMIZED`: locals are fast locals (false for module and class bodies).
    pub is_optimized: bool,
}

/// One range of the exception table: `[start, end)` in code units is covered by `handler`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandlerRange {
    /// First covered code unit.
    pub start: Offset,
    /// First code unit not covered any more.
    pub end: Offset,
    /// The handler.
    pub handler: Offset,
    /// Operand stack depth to unwind to.
    pub depth: u32,
    /// Whether the offset of the raising instruction is pushed before the exception.
    pub push_offset: bool,
}

/// A decoded code object.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// The code object itself.
    pub object: ObjectId,
    /// `co_qualname`.
    pub name: String,
    /// `co_filename`.
    pub filename: String,
    /// `co_firstlineno`.
    pub first_line: u32,
    /// Positional parameters (with positional-only ones).
    pub argument_count: u32,
    /// Keyword-only parameters.
    pub keyword_only_count: u32,
    /// Locals, cells and free variables: the slots in front of the operand stack.
    pub slot_count: u32,
    /// How many of them are fast locals proper (`co_nlocals`).
    pub local_count: u32,
    /// Name of each slot.
    pub slot_names: Vec<String>,
    /// Operand stack size.
    pub stack_size: u32,
    /// Flags.
    pub flags: CodeFlags,
    /// Stack slots an iterator takes in a `for` loop: 1, or 2 when the second is NULL or a tagged index.
    pub iterator_slots: u32,
    /// Whether a loop over an exact list or tuple keeps the container itself and a tagged index on the stack instead
    /// of an iterator object.
    pub indexed_loops: bool,
    /// The instructions, in order of offset.
    pub instructions: Vec<Instruction>,
    /// The exception table, in order of start.
    pub handlers: Vec<HandlerRange>,
    /// Line of each instruction (parallel to `instructions`), 0 if it has none.
    pub lines: Vec<u32>,
}

impl Code {
    /// The handler that covers the instruction at `offset`.
    pub fn handler_at(&self, offset: Offset) -> Option<&HandlerRange> {
        self.handlers.iter().find(|range| (range.start..range.end).contains(&offset))
    }

    /// The local whose attribute the instruction at index `index` reads or writes, if it was pushed just before.
    fn accessed_local(&self, index: usize) -> Option<u32> {
        let before = &self.instructions[index.checked_sub(1)?];
        match (&self.instructions[index].op, &before.op) {
            (Op::LoadAttr { .. } | Op::StoreAttr { .. }, Op::LoadFast { local }) => Some(*local),
            _ => None,
        }
    }

    /// Index into `instructions` of the first neutral instruction whose `start` is `start`.
    pub fn index_of(&self, start: Offset) -> Option<usize> {
        let index = self.instructions.partition_point(|instruction| instruction.start < start);
        (self.instructions.get(index)?.start == start).then_some(index)
    }
}

/// A live value seen when the snapshot of a running loop was taken, or an argument of the call that made it hot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveType {
    /// The slot is unbound.
    Unbound,
    /// An object of an exact builtin type.
    Kind(Kind),
    /// An iterator, and the kinds of the iterators that it walks.
    Walk(Kind, [Option<Kind>; 2]),
    /// An instance of this class (in the object table).
    Class(ObjectId),
    /// An operand stack slot that holds a tagged integer (the index of a loop over a list or tuple).
    TaggedInt,
    /// Something else, or not looked at.
    Unknown,
}

/// A module global or builtin whose value the snapshot promises not to change without an invalidation.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalFact {
    /// The globals dict (the `Function::globals` of the code that reads it), or the module whose attribute it is.
    pub globals: ObjectId,
    /// The name (an interned str object).
    pub name: ObjectId,
    /// Its value.
    pub value: ObjectId,
}

/// Where a global that changes stands in its dict.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalEntry {
    /// The dict.
    pub globals: ObjectId,
    /// The name.
    pub name: ObjectId,
    /// Shape of the dict's keys (sizes and kind) for which the offset holds.
    pub shape: u32,
    /// Bytes from the start of the keys to the value.
    pub offset: u32,
}

/// What `super().name` finds for instances of `class` behind `start` in its method resolution order.
#[derive(Clone, Debug, PartialEq)]
pub struct SuperAttribute {
    /// The class of the instance.
    pub class: ObjectId,
    /// The class whose method looks further: `__class__`.
    pub start: ObjectId,
    /// What was found.
    pub attribute: ClassAttribute,
}

/// Instead of a version tag in [`ExitFact::classes`]: an `array.array` whose type code is the low byte.
pub const ARRAY_FORMAT: u32 = 0xffff_ff00;

/// Name of the facts that say which function was called at an instruction: by itself.
pub const CALLED_FUNCTION: &str = "CalledFunction";
/// The same as a bound method.
pub const CALLED_METHOD: &str = "CalledMethod";
/// Name of the facts that say that something else was called, or several functions.
pub const CALLED_OTHERS: &str = "CalledOthers";

/// What an earlier version of the unit learned from its exits at one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitFact {
    /// Index of the code in [`Snapshot::codes`]; between versions of a unit, the address of the code object.
    pub code: usize,
    /// `start` of the instruction whose speculation failed.
    pub offset: Offset,
    /// Name of the exit reason.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// Version tags of the classes of the objects that failed the guard, or versions of functions that were called.
    pub classes: Vec<u32>,
}

impl ExitFact {
    /// Whether it is about what was called.
    pub fn is_callee(&self) -> bool {
        [CALLED_FUNCTION, CALLED_METHOD, CALLED_OTHERS].contains(&self.reason.as_str())
    }
}

/// The input of a compilation.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// For people: `module.qualname` with file and line.
    pub name: String,
    /// Where the unit is entered.
    pub entry: Entry,
    /// The unit's code first, then those of callees that may be inlined.
    pub codes: Vec<Code>,
    /// A function that `codes[0]` belongs to, if it can be known: functions made by calls come and go.
    pub function: Option<ObjectId>,
    /// Globals of `codes[0]`.
    pub globals: ObjectId,
    /// Types of the slots of `codes[0]` at the entry (OSR: of the running frame), then of the operand stack.
    pub live: Vec<LiveType>,
    /// Names that are constant.
    pub global_facts: Vec<GlobalFact>,
    /// Where names stand that are not constant.
    pub global_entries: Vec<GlobalEntry>,
    /// Whether the namespace of `codes[0]` is its module's dict: names are globals.
    pub is_module: bool,
    /// Classes by type version tag, for the versions that occur in the feedback.
    pub classes: Vec<(u32, ObjectId)>,
    /// Functions by version, for those that earlier versions noted.
    pub functions: Vec<(u32, ObjectId)>,
    /// Attributes reached through `super()`.
    pub super_attributes: Vec<SuperAttribute>,
    /// The exit profile of earlier versions of the unit.
    pub exits: Vec<ExitFact>,
    /// All objects.
    pub objects: ObjectTable,
}

impl Snapshot {
    /// The class that has this version tag, if the snapshot knows it.
    pub fn class_by_version(&self, version: u32) -> Option<ObjectId> {
        self.classes.iter().find(|(tag, _)| *tag == version).map(|(_, class)| *class)
    }

    /// The constant value of a global of `globals`.
    pub fn global(&self, globals: ObjectId, name: ObjectId) -> Option<ObjectId> {
        self.global_facts.iter().find(|fact| fact.globals == globals && fact.name == name).map(|fact| fact.value)
    }

    /// Extends the exit profile. An object of another class that makes the first access to a local's attributes fail would
    /// make the others fail too, but they are only heard of in the version in which the first succeeds: what one taught
    /// is taught to all.
    pub fn spread_exits(&mut self) {
        let mut more = Vec::new();
        for exit in self.exits.iter().filter(|exit| !exit.classes.is_empty() && !exit.is_callee()) {
            let code = &self.codes[exit.code];
            let accesses =
                || (0..code.instructions.len()).filter_map(|index| Some((index, code.accessed_local(index)?)));
            let Some((_, local)) = accesses().find(|(index, _)| code.instructions[*index].start == exit.offset) else {
                continue;
            };
            let others =
                accesses().filter(|(_, other)| *other == local).map(|(index, _)| code.instructions[index].start);
            more.extend(others.map(|offset| ExitFact { offset, ..exit.clone() }));
        }
        for fact in more {
            let known = self
                .exits
                .iter_mut()
                .find(|known| (known.code, known.offset, &known.reason) == (fact.code, fact.offset, &fact.reason));
            match known {
                Some(known) => {
                    known.count = known.count.max(fact.count);
                    for class in fact.classes {
                        if !known.classes.contains(&class) {
                            known.classes.push(class);
                        }
                    }
                }
                None => self.exits.push(fact),
            }
        }
    }

    /// Whether an earlier version left compiled code at this instruction for this reason at least `times` times.
    pub fn has_exited(&self, code: usize, offset: Offset, reason: &str, times: u64) -> bool {
        self.exits
            .iter()
            .any(|exit| exit.code == code && exit.offset == offset && exit.reason == reason && exit.count >= times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Feedback;

    fn snapshot(ops: Vec<Op>, exits: Vec<ExitFact>) -> Snapshot {
        let instructions = ops.into_iter().enumerate().map(|(index, op)| {
            let start = 2 * index as Offset;
            Instruction { start, offset: start, next: start + 2, op, feedback: Feedback::None }
        });
        let code = Code {
            name: "f".into(),
            filename: "m.py".into(),
            first_line: 1,
            object: ObjectId(0),
            argument_count: 0,
            keyword_only_count: 0,
            slot_count: 2,
            local_count: 2,
            slot_names: vec!["a".into(), "b".into()],
            stack_size: 2,
            flags: CodeFlags::default(),
            iterator_slots: 1,
            indexed_loops: false,
            lines: Vec::new(),
            instructions: instructions.collect(),
            handlers: Vec::new(),
        };
        Snapshot {
            name: "m.f".into(),
            entry: Entry::Function,
            codes: vec![code],
            function: None,
            globals: ObjectId(0),
            live: Vec::new(),
            global_facts: Vec::new(),
            global_entries: Vec::new(),
            is_module: false,
            classes: Vec::new(),
            functions: Vec::new(),
            super_attributes: Vec::new(),
            exits,
            objects: ObjectTable::default(),
        }
    }

    #[test]
    fn spreads_exits_to_accesses_of_the_same_local() {
        let load = |local| Op::LoadFast { local };
        let attribute = || Op::LoadAttr { name: ObjectId(0), method: false };
        let ops = vec![load(0), attribute(), load(1), attribute(), load(0), attribute(), attribute()];
        let fact = ExitFact { code: 0, offset: 2, reason: "GuardClass".into(), count: 30, classes: vec![7] };
        let mut taught = snapshot(ops.clone(), vec![fact.clone()]);
        taught.spread_exits();
        assert_eq!(taught.exits, [fact.clone(), ExitFact { offset: 10, ..fact.clone() }]);
        let mut silent = snapshot(ops, vec![ExitFact { classes: vec![], ..fact }]);
        silent.spread_exits();
        assert_eq!(silent.exits.len(), 1);
    }
}
