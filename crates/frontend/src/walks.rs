//! Loops over builtin iterators whose objects keep their positions: `enumerate` and `zip` of lists, tuples and ranges,
//! `reversed(list)`, dicts and their views, ASCII strings; and iterators in registers that somebody else holds, too.
//!
//! Each step loads the positions out of the iterators and stores the next ones, so an exit has nothing to bring up to date,
//! and whoever else holds an iterator sees what it should. All tests come before the first store: a step that cannot be made
//! here is left to the iterator itself, which then is exhausted or raises. The tuples that `enumerate`, `zip` and `items()`
//! make are emitted as such, and `remove_allocations` does without those that are unpacked at once.
//!
//! Iterators that a loop makes for itself are emitted with what they are made of ([`Op::MakeIterator`]), so that the same pass
//! does without them: their positions then are registers.
//!
//! What an iterator walks is known where it was made in the unit or by the snapshot of a running loop; else the first
//! version of the unit notes it ([`Op::ProfileOperands`]). Iterators that walk something else are asked for both items by
//! one call.

use crate::Bailout;
use crate::paths::Path;
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{
    Comparison, ENUMERATE_ITERATOR, Feedback, Instruction, Kind, ObjectValue, Op as Bytecode, Seen, ZIP_ITERATORS,
};
use coluber_ir::ops::{IteratorField, Walker};
use coluber_ir::{Block, BlockCall, Helper, Op, Type, Value};

/// Kinds of the iterators that an iterator walks, as far as known.
pub(crate) type Inner = [Option<Kind>; 2];

/// What a call makes.
#[derive(Clone, Copy)]
pub(crate) struct Made {
    kind: Kind,
    inner: Inner,
}

/// An iterator that has another item, and how to go on behind it.
struct Position {
    iterator: Value,
    place: Place,
    /// The blocks where it has none.
    over: Vec<Block>,
}

#[derive(Clone, Copy)]
enum Place {
    Sequence { sequence: Value, kind: Kind, index: Value },
    Range { start: Value, length: Value, step: Value },
}

impl Translator<'_> {
    /// A step of a `for` loop over an iterator in an object; false if it has no form of its own.
    pub(crate) fn walk(&mut self, instruction: &Instruction) -> Result<bool, Bailout> {
        let slots = self.code().iterator_slots;
        let Slot::Value(iterator) = self.peek_slot(slots)? else { return Ok(false) };
        if !self.settings.speculate || (slots == 2 && self.peek_slot(1)? != Slot::Null) {
            return Ok(false);
        }
        let Some((kind, inner)) = self.walked(iterator, instruction) else { return Ok(false) };
        let gives_pairs = matches!(kind, Kind::Enumerate | Kind::Zip | Kind::DictItemIterator);
        if gives_pairs && !self.targets_keep_pairs(instruction) {
            return Ok(false);
        }
        match kind {
            Kind::DictKeyIterator | Kind::DictValueIterator | Kind::DictItemIterator => {
                let iterator = self.guard_kind(iterator, kind);
                self.step_of_dict(iterator, kind)?;
            }
            // Real ones have something to say at their end, which a trial cannot hear.
            Kind::Enumerate | Kind::Zip if self.is_new(iterator) && !self.is_fresh(iterator) => return Ok(false),
            Kind::Enumerate | Kind::Zip => match (kind, inner) {
                (Kind::Enumerate, [Some(first), _]) if is_walkable(first) => {
                    let iterator = self.guard_kind(iterator, kind);
                    self.step_of_enumerate(iterator, first)?;
                }
                (Kind::Zip, [Some(first), Some(second)]) if is_zippable(first) && is_zippable(second) => {
                    let iterator = self.guard_kind(iterator, kind);
                    self.step_of_zip(iterator, [first, second])?;
                }
                _ => self.step_of_pair(iterator, kind)?,
            },
            _ if is_walkable(kind) => {
                let iterator = self.guard_kind(iterator, kind);
                let is_fresh = self.is_fresh(iterator);
                let position = self.position(iterator, kind, is_fresh);
                let path = self.path();
                let item = self.item(&position);
                self.advance(&position);
                self.push(item);
                self.edge(0)?;
                self.end_walk(iterator, &path, vec![position])?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Kind of an iterator and of those that it walks: known, or noted by an earlier version.
    fn walked(&self, iterator: Value, instruction: &Instruction) -> Option<(Kind, Inner)> {
        let known = self.kind(iterator);
        let inner = self.inner_kinds.get(&self.function.root(iterator)).copied().unwrap_or_default();
        if self.gave_up(instruction) {
            if self.gave_up_only(instruction, &["GuardUnique"]) {
                // Somebody else holds it.
                let seen = match instruction.feedback {
                    Feedback::Seen(Seen::Range) => Some(Kind::RangeIterator),
                    Feedback::Seen(Seen::List) if !self.code().indexed_loops => Some(Kind::ListIterator),
                    Feedback::Seen(Seen::Tuple) if !self.code().indexed_loops => Some(Kind::TupleIterator),
                    _ => None,
                };
                return Some((known.or(seen)?, inner));
            }
            if known == Some(Kind::Zip) && !self.gave_up_only(instruction, &["GuardKind"]) {
                return None;
            }
            return match (known?, self.noted_walk(instruction), &self.failed_kinds(instruction)[..]) {
                // What the first version noted of a zip is its first iterator; this is the second.
                (Kind::Zip, Some((Kind::Zip, first)), &[second]) if first != Some(second) && inner[0].is_none() => {
                    Some((Kind::Zip, [first, Some(second)]))
                }
                (known, ..) => Some((known, Inner::default())),
            };
        }
        let noted = self.noted_walk(instruction);
        let kind = known.or(noted.map(|(kind, _)| kind))?;
        let first = noted.filter(|(outer, _)| *outer == kind).and_then(|(_, first)| first);
        Some((kind, [inner[0].or(first), inner[1].or(first)]))
    }

    /// What an earlier version noted: the kind of the iterator and of the first one that it walks.
    fn noted_walk(&self, instruction: &Instruction) -> Option<(Kind, Option<Kind>)> {
        let (outer, first) = self.operand_classes(instruction)?;
        Some((self.class_facts(outer)?.kind?, self.class_facts(first)?.kind))
    }

    /// Kinds of iterators that were not what they were expected to be.
    fn failed_kinds(&self, instruction: &Instruction) -> Vec<Kind> {
        let code = self.state.top().code;
        let facts = self.snapshot.exits.iter();
        let here =
            facts.filter(|fact| fact.code == code && fact.offset == instruction.start && fact.reason == "GuardKind");
        here.flat_map(|fact| &fact.classes)
            .filter_map(|version| self.class_facts(self.snapshot.class_by_version(*version)?)?.kind)
            .collect()
    }

    /// In front of a loop that was begun elsewhere: an iterator lets go of the pair it gave there, which would else live until
    /// the loop ends.
    pub(crate) fn take_over_iterator(&mut self, instruction: &Instruction) -> Result<(), Bailout> {
        let Slot::Value(iterator) = self.peek_slot(self.code().iterator_slots)? else { return Ok(()) };
        let is_loaded = matches!(
            self.function.def_op(self.function.root(iterator)),
            Some(Op::LoadStack { .. } | Op::LoadLocal { .. } | Op::LoadArgument { .. }) | None
        );
        let gives_pairs = |kind| matches!(kind, Kind::Enumerate | Kind::Zip | Kind::DictItemIterator);
        if !is_loaded
            || !self.walked(iterator, instruction).is_some_and(|(kind, _)| gives_pairs(kind))
            || !self.targets_keep_pairs(instruction)
        {
            return Ok(());
        }
        let pair = self.invoke(Helper::TakePair, &[iterator]).expect("an object is a result");
        self.release(pair);
        Ok(())
    }

    /// In front of a loop: notes what the iterator is and what it walks, for the next version.
    pub(crate) fn profile_iterator(&mut self, instruction: &Instruction) -> Result<(), Bailout> {
        let slots = self.code().iterator_slots;
        let Slot::Value(iterator) = self.peek_slot(slots)? else { return Ok(()) };
        let unknown = match self.kind(iterator) {
            Some(Kind::Enumerate | Kind::Zip) => self.unknown_part(iterator),
            None => Some(0),
            Some(_) => None,
        };
        let Some(unknown) = unknown else { return Ok(()) };
        if !self.may_note_classes(instruction)
            || (slots == 2 && self.peek_slot(1)? != Slot::Null)
            || !matches!(instruction.feedback, Feedback::Generic | Feedback::None | Feedback::Unexecuted)
        {
            return Ok(());
        }
        let number = self.int(unknown);
        let part = self.invoke(Helper::IteratorPart, &[iterator, number]).expect("an object is a result");
        self.note_classes(iterator, part, instruction);
        self.release(part);
        Ok(())
    }

    /// The number of the first part of an `enumerate` or `zip` that is not known, if there is one.
    fn unknown_part(&self, iterator: Value) -> Option<i64> {
        let inner = self.inner_kinds.get(&self.function.root(iterator)).copied().unwrap_or_default();
        let parts = if self.kind(iterator) == Some(Kind::Enumerate) { 1 } else { 2 };
        (0..).zip(&inner[..parts]).find(|(_, kind)| kind.is_none()).map(|(number, _)| number)
    }

    fn step_of_enumerate(&mut self, iterator: Value, kind: Kind) -> Result<(), Bailout> {
        let state = self.before();
        let inner = self.emit_value(Op::LoadPart { object: iterator, offset: ENUMERATE_ITERATOR });
        let inner = self.emit_value(Op::GuardKind { value: inner, kind, state });
        let number = self.emit_value(Op::LoadIterator { iterator, field: IteratorField::EnumerateIndex });
        let is_fresh = self.is_fresh(iterator);
        if !is_fresh {
            // From there on it counts in objects.
            let end = self.int(i64::MAX);
            let condition = self.emit_value(Op::IntCompare { comparison: Comparison::Less, left: number, right: end });
            self.emit(Op::GuardTrue { condition, state });
        }
        let position = self.position(inner, kind, is_fresh);
        let path = self.path();
        let item = self.item(&position);
        let pair = self.invoke(Helper::BuildTuple, &[number, item]).expect("a tuple is a result");
        let one = self.int(1);
        self.store_advanced(iterator, IteratorField::EnumerateIndex, number, one);
        self.advance(&position);
        self.push(pair);
        self.edge(0)?;
        self.end_walk(iterator, &path, vec![position])
    }

    /// The tuple of the iterators of a `zip`; exits unless they are two.
    fn zipped(&mut self, iterator: Value) -> Value {
        let iterators = self.emit_value(Op::LoadPart { object: iterator, offset: ZIP_ITERATORS });
        let iterators = self.emit_value(Op::AssumeKind { value: iterators, kind: Kind::Tuple });
        let (count, two) = (self.emit_value(Op::TupleLength { tuple: iterators }), self.int(2));
        if !self.is_fresh(iterator) {
            let condition = self.emit_value(Op::IntCompare { comparison: Comparison::Equal, left: count, right: two });
            let state = self.before();
            self.emit(Op::GuardTrue { condition, state });
        }
        iterators
    }

    fn step_of_zip(&mut self, iterator: Value, kinds: [Kind; 2]) -> Result<(), Bailout> {
        let state = self.before();
        let iterators = self.zipped(iterator);
        let inner: Vec<Value> = (0..)
            .zip(kinds)
            .map(|(index, kind)| {
                let index = self.int(index);
                let value = self.emit_value(Op::TupleGet { tuple: iterators, index });
                self.emit_value(Op::GuardKind { value, kind, state })
            })
            .collect();
        let is_fresh = self.is_fresh(iterator);
        if kinds[0] == kinds[1] && !is_fresh {
            // `zip(iterator, iterator)`: the first one's step is seen by the second.
            let condition = self.emit_value(Op::IsIdentical { left: inner[0], right: inner[1] });
            self.emit(Op::GuardFalse { condition, state });
        }
        let positions = [0, 1].map(|index| self.position(inner[index], kinds[index], is_fresh));
        let path = self.path();
        let items = [0, 1].map(|index| self.item(&positions[index]));
        let pair = self.invoke(Helper::BuildTuple, &items).expect("a tuple is a result");
        positions.iter().for_each(|position| self.advance(position));
        self.push(pair);
        self.edge(0)?;
        self.end_walk(iterator, &path, positions.into())
    }

    fn step_of_dict(&mut self, iterator: Value, kind: Kind) -> Result<(), Bailout> {
        let is_item = kind == Kind::DictItemIterator;
        let what = self.int(match kind {
            Kind::DictKeyIterator => 0,
            Kind::DictValueIterator => 1,
            _ => 2,
        });
        let found = self.invoke(Helper::DictStep, &[iterator, what]).expect("a number is a result");
        let outputs = self.take_items(1 + u32::from(is_item));
        let zero = self.int(0);
        let condition = self.emit_value(Op::IntCompare { comparison: Comparison::Greater, left: found, right: zero });
        self.hand_out(&outputs, condition, is_item)?;
        // One that a trial has made has nothing to say.
        if !self.is_new(iterator) {
            self.invoke(Helper::EndIteration, &[iterator]);
        }
        self.edge(1)
    }

    /// Both items by one call, whatever the iterator walks.
    fn step_of_pair(&mut self, iterator: Value, kind: Kind) -> Result<(), Bailout> {
        let iterator = self.guard_kind(iterator, kind);
        if kind == Kind::Zip {
            self.zipped(iterator);
        }
        let more = self.invoke(Helper::PairNext, &[iterator]).expect("a truth value is a result");
        let outputs = self.take_items(2);
        self.hand_out(&outputs, more, true)?;
        self.edge(1)
    }

    /// Outputs of a helper that gives None where there is no item.
    fn take_items(&mut self, count: u32) -> Vec<Value> {
        let outputs: Vec<Value> = (0..count).map(|index| self.emit_value(Op::TakeOutput { index })).collect();
        outputs.iter().for_each(|&output| self.function.values[output].ty = Type::Object);
        outputs
    }

    /// The loop's body with the outputs of a helper if a condition holds; leaves open the path on which there are none.
    fn hand_out(&mut self, outputs: &[Value], condition: Value, is_pair: bool) -> Result<(), Bailout> {
        let (body, over) = self.branch_on(condition);
        let path = self.path();
        self.block = Some(body);
        let item = match is_pair {
            true => self.invoke(Helper::BuildTuple, outputs).expect("a tuple is a result"),
            false => outputs[0],
        };
        self.push(item);
        self.edge(0)?;
        self.take(&path, over);
        outputs.iter().for_each(|&value| self.release(value));
        Ok(())
    }

    /// Goes on only where the iterator has another item.
    fn position(&mut self, iterator: Value, kind: Kind, is_fresh: bool) -> Position {
        let mut over = Vec::new();
        if kind == Kind::RangeIterator {
            let start = self.emit_value(Op::LoadIterator { iterator, field: IteratorField::RangeStart });
            let length = self.emit_value(Op::LoadIterator { iterator, field: IteratorField::RangeLength });
            let step = self.emit_value(Op::LoadIterator { iterator, field: IteratorField::RangeStep });
            let zero = self.int(0);
            self.require(Comparison::Greater, length, zero, &mut over);
            return Position { iterator, place: Place::Range { start, length, step }, over };
        }
        let sequence = self.emit_value(Op::IteratorSequence { iterator });
        if !is_fresh {
            let is_exhausted = self.emit_value(Op::IsNull { value: sequence });
            let goes_on = self.emit_value(Op::BoolNot { value: is_exhausted });
            self.require_true(goes_on, &mut over);
        }
        let sequence = self.emit_value(Op::AssumeKind { value: sequence, kind: sequence_of(kind) });
        let index = self.emit_value(Op::LoadIterator { iterator, field: IteratorField::SequenceIndex });
        let length = self.sequence_length(sequence, sequence_of(kind));
        if kind == Kind::ReverseIterator {
            let zero = self.int(0);
            self.require(Comparison::GreaterEqual, index, zero, &mut over);
        }
        self.require(Comparison::Less, index, length, &mut over);
        Position { iterator, place: Place::Sequence { sequence, kind, index }, over }
    }

    fn require(&mut self, comparison: Comparison, left: Value, right: Value, over: &mut Vec<Block>) {
        let condition = self.emit_value(Op::IntCompare { comparison, left, right });
        self.require_true(condition, over);
    }

    fn require_true(&mut self, condition: Value, over: &mut Vec<Block>) {
        let (then, otherwise) = self.branch_on(condition);
        self.block = Some(then);
        over.push(otherwise);
    }

    fn item(&mut self, position: &Position) -> Value {
        match position.place {
            Place::Range { start, .. } => start,
            Place::Sequence { sequence, kind, index } => self.sequence_item(sequence, sequence_of(kind), index),
        }
    }

    fn advance(&mut self, position: &Position) {
        let iterator = position.iterator;
        match position.place {
            Place::Range { start, length, step } => {
                self.store_advanced(iterator, IteratorField::RangeStart, start, step);
                let minus_one = self.int(-1);
                self.store_advanced(iterator, IteratorField::RangeLength, length, minus_one);
            }
            Place::Sequence { kind, index, .. } => {
                let step = self.int(if kind == Kind::ReverseIterator { -1 } else { 1 });
                self.store_advanced(iterator, IteratorField::SequenceIndex, index, step);
            }
        }
    }

    fn store_advanced(&mut self, iterator: Value, field: IteratorField, left: Value, right: Value) {
        let value = self.emit_value(Op::IntAdvance { left, right });
        self.emit(Op::StoreIterator { iterator, field, value });
    }

    /// Where an iterator, or one that it walks, has no item.
    fn end_walk(&mut self, iterator: Value, path: &Path, positions: Vec<Position>) -> Result<(), Bailout> {
        if !self.is_fresh(iterator) {
            let over = positions.into_iter().flat_map(|position| position.over).collect();
            let block = self.one_of(over);
            self.take(path, block);
            // It does what it does then.
            self.invoke(Helper::EndIteration, &[iterator]);
            return self.edge(1);
        }
        for Position { iterator, place, over } in positions {
            let block = self.one_of(over);
            self.take(path, block);
            if let Place::Sequence { .. } = place {
                // An iterator that is exhausted drops what it walked.
                let sequence = self.emit_value(Op::TakeSequence { iterator });
                self.release(sequence);
            }
            self.edge(1)?;
        }
        Ok(())
    }

    /// A block that others lead to.
    fn one_of(&mut self, blocks: Vec<Block>) -> Block {
        if let [block] = blocks[..] {
            return block;
        }
        let target = self.function.add_block();
        for block in blocks {
            self.block = Some(block);
            self.emit(Op::Jump { target: BlockCall { block: target, arguments: Vec::new() } });
        }
        target
    }

    /// Whether an iterator was made in the unit for this loop, with all that it walks.
    pub(crate) fn is_fresh(&self, iterator: Value) -> bool {
        matches!(self.function.def_op(self.function.root(iterator)), Some(Op::MakeIterator { .. }))
    }

    /// Items of the tuple that `FOR_ITER` has just made: nobody has seen them as objects of a tuple.
    pub(crate) fn items_of_step(&mut self, tuple: Value, count: u32, instruction: &Instruction) -> Option<Vec<Value>> {
        let code = self.code();
        let index = code.index_of(instruction.start)?;
        let Bytecode::ForIter { .. } = code.instructions[index.checked_sub(1)?].op else { return None };
        let Some(Op::Invoke { helper: Helper::BuildTuple, arguments, .. }) = self.function.def_op(tuple) else {
            return None;
        };
        if arguments.len() != count as usize {
            return None;
        }
        let items = arguments.clone();
        let unpacked = items.into_iter().zip(0..).map(|(item, index)| match self.function.def_op(item) {
            Some(Op::BoxInt { value }) => *value,
            _ => {
                let index = self.int(index);
                self.emit_value(Op::TupleGet { tuple, index })
            }
        });
        Some(unpacked.collect())
    }

    // ---- what calls and GET_ITER make

    /// What the call of a builtin class or method makes, if it is an iterator or a view.
    pub(crate) fn made_by_call(&self, count: u32, above: u32) -> Result<Option<Made>, Bailout> {
        let Slot::Value(callable) = self.peek_slot(count + above + 2)? else { return Ok(None) };
        let Type::Constant(object, _) = self.ty(callable) else { return Ok(None) };
        if let ObjectValue::Builtin(facts) = &self.snapshot.objects.get(object).value {
            let kind = match facts.name.as_str() {
                "dict.keys" => Kind::DictKeys,
                "dict.values" => Kind::DictValues,
                "dict.items" => Kind::DictItems,
                _ => return Ok(None),
            };
            return Ok(Some(Made { kind, inner: Inner::default() }));
        }
        if !matches!(self.peek_slot(count + above + 1)?, Slot::Null) {
            return Ok(None);
        }
        let argument = |index: u32| -> Option<Kind> {
            match self.peek_slot(count + above - index) {
                Ok(Slot::Value(value)) if index < count => self.kind(value),
                _ => None,
            }
        };
        let iterator = |index: u32| -> Option<Kind> { iterator_of(argument(index)?, true) };
        Ok(match self.constructed_kind(object) {
            Some(Kind::Enumerate) => Some(Made { kind: Kind::Enumerate, inner: [iterator(0), None] }),
            Some(Kind::Zip) => {
                let is_pair = (count, above) == (2, 0);
                let inner = if is_pair { [iterator(0), iterator(1)] } else { Inner::default() };
                Some(Made { kind: Kind::Zip, inner })
            }
            Some(Kind::Reversed) => match argument(0) {
                Some(Kind::List) => Some(Made { kind: Kind::ReverseIterator, inner: Inner::default() }),
                _ => None,
            },
            _ => None,
        })
    }

    /// Notes what the call whose result is on the stack has made.
    pub(crate) fn note_made(&mut self, made: Option<Made>) -> Result<(), Bailout> {
        if let Some(Made { kind, inner }) = made {
            let result = self.peek(1)?;
            self.function.values[result].ty = Type::Exact(kind);
            if inner != Inner::default() {
                self.inner_kinds.insert(result, inner);
            }
        }
        Ok(())
    }

    /// The call of a builtin class in the head of a loop, as the iterator that the loop walks; false if it is another one.
    pub(crate) fn make_for_loop(
        &mut self,
        kind: Option<Kind>,
        count: u32,
        instruction: &Instruction,
    ) -> Result<bool, Bailout> {
        let code = self.code();
        let next = code.index_of(instruction.start).and_then(|index| code.instructions.get(index + 1));
        let Some(get_iter) = next.filter(|next| next.op == Bytecode::GetIter) else { return Ok(false) };
        let Some(head) = self.loop_behind(get_iter) else { return Ok(false) };
        if !self.settings.speculate || self.gave_up(instruction) {
            return Ok(false);
        }
        if matches!(kind, Some(Kind::Enumerate | Kind::Zip)) && !self.targets_keep_pairs(head) {
            return Ok(false);
        }
        match (kind, count) {
            (Some(Kind::Enumerate), 1 | 2) => self.make_enumerate(count, head),
            (Some(Kind::Zip), 2) => self.make_zip(head),
            (Some(Kind::Reversed), 1) if self.kind(self.peek(1)?) == Some(Kind::List) => {
                self.rely_on_invariants();
                let list = self.peek(1)?;
                let (length, one) = (self.emit_value(Op::ListLength { list }), self.int(-1));
                let last = self.emit_value(Op::IntAdvance { left: length, right: one });
                let mut operands = self.take_call_operands(count)?;
                let list = operands.pop().expect("there is one");
                let list = self.steal(list);
                let iterator = self.emit_value(Op::MakeIterator { walker: Walker::Reversed, parts: vec![list, last] });
                self.push(iterator);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// What an argument must be so that the loop can make its iterator, and whether it is certain.
    fn walked_sequence(&self, depth: u32, noted: Option<Kind>) -> Option<Kind> {
        let value = self.peek(depth).ok().filter(|value| !self.ty(*value).is_nullable())?;
        match (self.kind(value), noted) {
            (Some(kind @ (Kind::List | Kind::Tuple)), _) => Some(kind),
            (None, Some(Kind::ListIterator)) => Some(Kind::List),
            (None, Some(Kind::TupleIterator)) => Some(Kind::Tuple),
            _ => None,
        }
    }

    fn make_enumerate(&mut self, count: u32, head: &Instruction) -> Result<bool, Bailout> {
        let noted = self.noted_walk(head).filter(|(outer, _)| *outer == Kind::Enumerate).and_then(|(_, first)| first);
        let Some(kind) = self.walked_sequence(count, noted) else { return Ok(false) };
        if count == 2 && self.kind(self.peek(1)?) != Some(Kind::Int) {
            return Ok(false);
        }
        self.rely_on_invariants();
        let sequence = self.peek(count)?;
        self.guard_kind(sequence, kind);
        let number = match count {
            2 => {
                let start = self.peek(1)?;
                let start = self.unbox(start, Kind::Int);
                let far = self.int(1 << 62);
                let condition =
                    self.emit_value(Op::IntCompare { comparison: Comparison::Less, left: start, right: far });
                let state = self.before();
                self.emit(Op::GuardTrue { condition, state });
                start
            }
            _ => self.int(0),
        };
        let mut operands = self.take_call_operands(count)?;
        let sequence = operands.remove(0);
        let inner = self.make_sequence_iterator(sequence, kind, &[]);
        let parts = vec![inner, number];
        let iterator = self.emit_value(Op::MakeIterator { walker: Walker::Enumerate, parts });
        self.inner_kinds.insert(iterator, [iterator_of(kind, false), None]);
        self.push(iterator);
        self.release_all(&operands);
        Ok(true)
    }

    fn make_zip(&mut self, head: &Instruction) -> Result<bool, Bailout> {
        let noted = self.noted_walk(head).filter(|(outer, _)| *outer == Kind::Zip).and_then(|(_, first)| first);
        let (Some(first), Some(second)) = (self.walked_sequence(2, noted), self.walked_sequence(1, noted)) else {
            return Ok(false);
        };
        self.rely_on_invariants();
        for (depth, kind) in [(2, first), (1, second)] {
            let sequence = self.peek(depth)?;
            self.guard_kind(sequence, kind);
        }
        let operands = self.take_call_operands(2)?;
        let left = self.make_sequence_iterator(operands[0], first, &[]);
        let right = self.make_sequence_iterator(operands[1], second, &operands[..1]);
        let iterators = self.emit_value(Op::MakeTuple { items: vec![left, right] });
        let iterator = self.emit_value(Op::MakeIterator { walker: Walker::Zip, parts: vec![iterators] });
        self.inner_kinds.insert(iterator, [iterator_of(first, false), iterator_of(second, false)]);
        self.push(iterator);
        Ok(true)
    }

    /// The iterator over a list or tuple that was taken off the stack; `given` were given away before.
    fn make_sequence_iterator(&mut self, sequence: Value, kind: Kind, given: &[Value]) -> Value {
        let is_given = given.iter().any(|other| self.function.root(*other) == self.function.root(sequence));
        let sequence = match is_given {
            true => self.emit_value(Op::Dup { value: sequence }),
            false => self.steal(sequence),
        };
        let walker = if kind == Kind::List { Walker::List } else { Walker::Tuple };
        let first = self.int(0);
        self.emit_value(Op::MakeIterator { walker, parts: vec![sequence, first] })
    }

    /// `iter(object)` of a kind for which no Python code runs; false if it may.
    pub(crate) fn get_builtin_iterator(&mut self, instruction: &Instruction) -> Result<bool, Bailout> {
        let iterable = self.peek(1)?;
        if !self.settings.speculate {
            return Ok(false);
        }
        let head = self.loop_behind(instruction);
        let expected =
            match head.filter(|head| !self.gave_up(head) && !self.gave_up(instruction)).map(|head| &head.feedback) {
                Some(Feedback::Seen(Seen::List)) => Some(Kind::List),
                Some(Feedback::Seen(Seen::Tuple)) => Some(Kind::Tuple),
                // A trial is only passed if it is known what is walked.
                Some(Feedback::Seen(Seen::Range)) if self.state.trial.is_some() => Some(Kind::Range),
                _ => None,
            };
        let is_for_loop = head.is_some() && !self.code().indexed_loops;
        if is_for_loop
            && !self.ty(iterable).is_nullable()
            && let Some(kind @ (Kind::List | Kind::Tuple)) = self.kind(iterable).or(expected)
        {
            self.guard_kind(iterable, kind);
            let sequence = self.pop()?;
            let iterator = self.make_sequence_iterator(sequence, kind, &[]);
            self.push(iterator);
            return Ok(true);
        }
        if expected == Some(Kind::Range) && self.kind(iterable).is_none() {
            self.guard_kind(iterable, Kind::Range);
        }
        let iterable = self.peek(1)?;
        let Some(kind) = self.kind(iterable) else { return Ok(false) };
        if !is_iterator(kind) {
            // A guard on what was made can go back in a trial only.
            let in_trial = self.state.trial.is_some();
            let Some(iterator_kind) = iterator_of(kind, in_trial) else { return Ok(false) };
            let mut iterator = self.invoke(Helper::BuiltinIterator, &[iterable]).expect("an iterator is a result");
            if iterator_of(kind, false).is_some() {
                self.function.values[iterator].ty = Type::Exact(iterator_kind);
            } else {
                self.push(iterator);
                self.begin_same();
                self.guard_kind(iterator, iterator_kind);
                iterator = self.pop()?;
            }
            let iterable = self.pop()?;
            self.push(iterator);
            self.push_nulls();
            self.release(iterable);
            return Ok(true);
        }
        self.push_nulls();
        Ok(true)
    }

    fn push_nulls(&mut self) {
        for _ in 1..self.code().iterator_slots {
            self.push_slot(Slot::Null);
        }
    }
}

impl<'a> Translator<'a> {
    /// The loop that an instruction begins which pushes what it walks: nobody else gets that.
    pub(crate) fn loop_behind(&self, instruction: &Instruction) -> Option<&'a Instruction> {
        let code = self.code();
        if let Ok(Slot::Function { code, .. }) = self.peek_slot(2) {
            // The outermost loop of a generator expression that is tried.
            let body = &self.snapshot.codes[code].instructions;
            return body.iter().find(|next| matches!(next.op, Bytecode::ForIter { .. }));
        }
        let index = code.index_of(instruction.start)?;
        let is_tried = self.is_tried();
        // What comprehensions set up lies between, or what begins a generator.
        let mut rest = code.instructions[index + 1..].iter().skip_while(|next| {
            matches!(next.op, Bytecode::ReturnGenerator | Bytecode::PopTop | Bytecode::Resume { .. } if is_tried)
                || matches!(
                    next.op,
                    Bytecode::Nop
                        | Bytecode::LoadFastAndClear { .. }
                        | Bytecode::Swap { .. }
                        | Bytecode::BuildList { count: 0 }
                        | Bytecode::BuildSet { count: 0 }
                        | Bytecode::BuildMap { count: 0 }
                )
        });
        rest.next().filter(|next| matches!(next.op, Bytecode::ForIter { .. }))
    }
}

/// Whether steps of an iterator are made in line.
fn is_walkable(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::ListIterator | Kind::TupleIterator | Kind::RangeIterator | Kind::ReverseIterator | Kind::AsciiIterator
    )
}

/// Whether two of them are walked at once: getting an item takes no call.
fn is_zippable(kind: Kind) -> bool {
    is_walkable(kind) && kind != Kind::AsciiIterator
}

/// Whether `iter` of such an object is the object itself.
fn is_iterator(kind: Kind) -> bool {
    is_walkable(kind)
        || matches!(
            kind,
            Kind::Enumerate
                | Kind::Zip
                | Kind::Reversed
                | Kind::DictKeyIterator
                | Kind::DictValueIterator
                | Kind::DictItemIterator
        )
}

/// Kind of the iterator over an object of a kind; `likely`: the one that most of them have.
fn iterator_of(kind: Kind, likely: bool) -> Option<Kind> {
    Some(match kind {
        Kind::List => Kind::ListIterator,
        Kind::Tuple => Kind::TupleIterator,
        Kind::Dict | Kind::DictKeys => Kind::DictKeyIterator,
        Kind::DictValues => Kind::DictValueIterator,
        Kind::DictItems => Kind::DictItemIterator,
        // Those of large numbers have another one.
        Kind::Range if likely => Kind::RangeIterator,
        Kind::Str if likely => Kind::AsciiIterator,
        _ if is_iterator(kind) => kind,
        _ => return None,
    })
}

/// The kind of what an iterator over a list, tuple or str walks.
fn sequence_of(iterator: Kind) -> Kind {
    match iterator {
        Kind::TupleIterator => Kind::Tuple,
        Kind::AsciiIterator => Kind::Str,
        _ => Kind::List,
    }
}
