//! `for` loops: builtin iterators in registers, others through the helper.

use crate::Bailout;
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{Comparison, Feedback, Instruction, Kind, Seen};
use coluber_ir::ops::{ExitReason, IteratorField};
use coluber_ir::{Helper, Op};

impl Translator<'_> {
    pub(crate) fn get_iter(&mut self, instruction: &Instruction) -> Result<(), Bailout> {
        let iterable = self.peek(1)?;
        let code = self.code();
        if code.indexed_loops && matches!(self.kind(iterable), Some(Kind::List | Kind::Tuple)) {
            let index = self.int(0);
            self.push_slot(Slot::TaggedInt(index));
            return Ok(());
        }
        if code.indexed_loops && self.settings.speculate {
            // The interpreter decides by the exact type; feedback of the loop that follows says which it was.
            if let Some(kind) = self.following_loop_kind(instruction) {
                self.guard_kind(iterable, kind);
                let index = self.int(0);
                self.push_slot(Slot::TaggedInt(index));
                return Ok(());
            }
        }
        if self.get_builtin_iterator(instruction)? {
            return Ok(());
        }
        // Of a list or tuple that nobody expected, an iterator object is as good as the pair.
        let iterator = self.invoke(Helper::GetIter, &[iterable]).expect("an iterator is a result");
        let iterable = self.pop()?;
        self.push(iterator);
        for _ in 1..code.iterator_slots {
            self.push_slot(Slot::Null);
        }
        self.release(iterable);
        Ok(())
    }

    fn following_loop_kind(&self, instruction: &Instruction) -> Option<Kind> {
        let next = self.loop_behind(instruction).filter(|next| !self.gave_up(next))?;
        match next.feedback {
            Feedback::Seen(Seen::List) => Some(Kind::List),
            Feedback::Seen(Seen::Tuple) => Some(Kind::Tuple),
            _ => None,
        }
    }

    /// In front of a loop: takes the position of a builtin iterator into registers.
    pub(crate) fn open_iterator(&mut self, instruction: &Instruction) -> Result<(), Bailout> {
        if !self.settings.speculate || self.gave_up(instruction) {
            return Ok(());
        }
        let slots = self.code().iterator_slots;
        let Slot::Value(iterator) = self.peek_slot(slots)? else { return Ok(()) };
        if slots == 2 && self.peek_slot(1)? != Slot::Null {
            return Ok(());
        }
        if self.is_fresh(iterator) {
            return Ok(());
        }
        let known = self.kind(iterator);
        let seen = match instruction.feedback {
            Feedback::Seen(Seen::Range) => Some(Kind::RangeIterator),
            Feedback::Seen(Seen::List) => Some(Kind::ListIterator),
            Feedback::Seen(Seen::Tuple) => Some(Kind::TupleIterator),
            _ => None,
        };
        let Some(kind) = known.or(seen) else { return Ok(()) };
        if !matches!(kind, Kind::RangeIterator | Kind::ListIterator | Kind::TupleIterator) {
            return Ok(());
        }
        if slots == 2 && kind != Kind::RangeIterator {
            return Ok(());
        }
        let iterator = self.guard_kind(iterator, kind);
        let state = self.before();
        match self.other_holder(iterator) {
            Some(other) => self.emit(Op::GuardSharedPair { value: iterator, other, state }),
            None => self.emit(Op::GuardUnique { value: iterator, state }),
        };
        let slot = if kind == Kind::RangeIterator {
            let start = self.emit_value(Op::LoadIterator { iterator, field: IteratorField::RangeStart });
            let length = self.emit_value(Op::LoadIterator { iterator, field: IteratorField::RangeLength });
            let step = self.emit_value(Op::LoadIterator { iterator, field: IteratorField::RangeStep });
            Slot::Range { object: iterator, start, length, step }
        } else {
            let sequence = self.emit_value(Op::IteratorSequence { iterator });
            self.emit(Op::GuardBound { value: sequence, state });
            let index = self.emit_value(Op::LoadIterator { iterator, field: IteratorField::SequenceIndex });
            // `listiter_setstate` of CPython 3.14 and 3.15 lets it be -1, which ends the iterator.
            let zero = self.int(0);
            let condition =
                self.emit_value(Op::IntCompare { comparison: Comparison::GreaterEqual, left: index, right: zero });
            self.emit(Op::GuardTrue { condition, state });
            Slot::Sequence { object: iterator, index }
        };
        let stack = &mut self.state.top_mut().stack;
        let position = stack.len() - slots as usize;
        stack[position] = slot;
        self.begin_same();
        Ok(())
    }

    /// The first local of a generator expression, which holds the iterator of its outermost loop, too: with a reference of
    /// its own if both were loaded from the frame.
    fn other_holder(&mut self, iterator: coluber_ir::Value) -> Option<coluber_ir::Value> {
        let code = self.code();
        let top = self.state.top();
        let is_outermost = top.stack.len() == code.iterator_slots as usize && self.state.frames.len() == 1;
        if !code.flags.is_generator
            || code.indexed_loops
            || !is_outermost
            || code.slot_names.first().is_none_or(|name| name != ".0")
        {
            return None;
        }
        let Slot::Value(other) = top.locals[0] else { return None };
        if self.function.root(other) == self.function.root(iterator) {
            return None;
        }
        let bound = self.emit_value(Op::AssumeBound { value: other });
        self.replace(other, bound);
        Some(bound)
    }

    pub(crate) fn for_iter(&mut self, instruction: &Instruction) -> Result<(), Bailout> {
        let slots = self.code().iterator_slots;
        // A loop that was not entered through its header (an unpeeled copy of it, a jump) opens it here.
        self.open_iterator(instruction)?;
        let position = self.state.top().stack.len() - slots as usize;
        let slot = self.peek_slot(slots)?;
        match slot {
            Slot::Range { object, start, length, step } => {
                let zero = self.int(0);
                let condition =
                    self.emit_value(Op::IntCompare { comparison: Comparison::Greater, left: length, right: zero });
                self.split(condition, |this| {
                    let minus_one = this.int(-1);
                    let rest = this.emit_value(Op::IntAdvance { left: length, right: minus_one });
                    let next = this.emit_value(Op::IntAdvance { left: start, right: step });
                    this.state.top_mut().stack[position] = Slot::Range { object, start: next, length: rest, step };
                    this.push(start);
                    Ok(())
                })
            }
            Slot::Sequence { object, index } => {
                let is_list = self.kind(object) == Some(Kind::ListIterator);
                let kind = if is_list { Kind::List } else { Kind::Tuple };
                let sequence = self.emit_value(Op::IteratorSequence { iterator: object });
                let sequence = self.emit_value(Op::AssumeKind { value: sequence, kind });
                self.indexed_step(sequence, index, kind, move |this, next| {
                    this.state.top_mut().stack[position] = Slot::Sequence { object, index: next };
                })
            }
            Slot::Value(sequence) if slots == 2 && matches!(self.peek_slot(1)?, Slot::TaggedInt(_)) => {
                let Slot::TaggedInt(index) = self.peek_slot(1)? else { unreachable!("matched above") };
                let kind = match (self.kind(sequence), &instruction.feedback) {
                    (Some(Kind::List), _) | (None, Feedback::Seen(Seen::List)) => Kind::List,
                    (Some(Kind::Tuple), _) | (None, Feedback::Seen(Seen::Tuple)) => Kind::Tuple,
                    (Some(Kind::Str), _) => Kind::Str,
                    _ => {
                        // Bytes, in the rest of a loop that was running when the unit was entered.
                        let state = self.before();
                        self.emit(Op::Exit { reason: ExitReason::NotCompiled, state });
                        return Ok(());
                    }
                };
                let sequence = self.guard_kind(sequence, kind);
                self.indexed_step(sequence, index, kind, move |this, next| {
                    this.state.top_mut().stack[position + 1] = Slot::TaggedInt(next);
                })
            }
            Slot::Value(_) if self.walk(instruction)? => Ok(()),
            Slot::Value(iterator) => {
                let item = match self.loop_sink(instruction)? {
                    Some(sink) => self.invoke(Helper::IterNextInto, &[iterator, sink]),
                    None => self.invoke(Helper::IterNext, &[iterator]),
                };
                let item = item.expect("an item is a result");
                let exhausted = self.emit_value(Op::IsExhausted { value: item });
                let condition = self.emit_value(Op::BoolNot { value: exhausted });
                self.split(condition, |this| {
                    this.push(item);
                    Ok(())
                })
            }
            _ => Err(self.malformed("no iterator under a loop")),
        }
    }

    /// One step over a list, tuple or str.
    fn indexed_step(
        &mut self,
        sequence: coluber_ir::Value,
        index: coluber_ir::Value,
        kind: Kind,
        advance: impl FnOnce(&mut Self, coluber_ir::Value),
    ) -> Result<(), Bailout> {
        let length = self.sequence_length(sequence, kind);
        let condition = self.emit_value(Op::IntCompare { comparison: Comparison::Less, left: index, right: length });
        self.split(condition, |this| {
            let item = this.sequence_item(sequence, kind, index);
            let one = this.int(1);
            let next = this.emit_value(Op::IntAdvance { left: index, right: one });
            advance(this, next);
            this.push(item);
            Ok(())
        })
    }

    /// The length of a list, tuple or str.
    pub(crate) fn sequence_length(&mut self, sequence: coluber_ir::Value, kind: Kind) -> coluber_ir::Value {
        match kind {
            Kind::List => self.emit_value(Op::ListLength { list: sequence }),
            Kind::Tuple => self.emit_value(Op::TupleLength { tuple: sequence }),
            _ => self.invoke(Helper::BuiltinLength, &[sequence]).expect("a length is a result"),
        }
    }

    /// An item of a list, tuple or str at an index that is in range.
    pub(crate) fn sequence_item(
        &mut self,
        sequence: coluber_ir::Value,
        kind: Kind,
        index: coluber_ir::Value,
    ) -> coluber_ir::Value {
        match kind {
            Kind::List => self.emit_value(Op::ListGet { list: sequence, index }),
            Kind::Tuple => self.emit_value(Op::TupleGet { tuple: sequence, index }),
            _ => self.invoke(Helper::StrGet, &[sequence, index]).expect("a character is a result"),
        }
    }

    /// Branches: the loop body (prepared by `enter`) if the condition holds, else the exhausted path.
    fn split(
        &mut self,
        condition: coluber_ir::Value,
        enter: impl FnOnce(&mut Self) -> Result<(), Bailout>,
    ) -> Result<(), Bailout> {
        let (body, done) = self.branch_on(condition);
        let state = self.state.clone();
        self.block = Some(body);
        enter(self)?;
        self.edge(0)?;
        self.block = Some(done);
        self.state = state;
        self.edge(1)
    }

    pub(crate) fn pop_iter(&mut self) -> Result<(), Bailout> {
        let mut slots = Vec::new();
        for _ in 0..self.code().iterator_slots {
            slots.push(self.pop_slot()?);
        }
        if slots.iter().any(|slot| matches!(slot, Slot::Generator { .. })) {
            self.end_trial();
        }
        for slot in slots {
            self.release_slot(slot);
        }
        Ok(())
    }
}
