//! Generators and coroutines: where they are resumed, how they are suspended, and how others are resumed from here.
//!
//! A unit of a generator is entered at any of its *resume points*: in front of the first instruction of its body and
//! behind each yield. What lies on the operand stack there is only known when the yield has been translated, so each
//! attempt finds the resume points that the known ones lead to, and the unit is translated again with them.
//!
//! Locals and operands come out of the frame as objects of unknown type, and go back into it as objects: what is known
//! about values, and registers, last from one yield to the next.

use crate::graph::Graph;
use crate::state::{Activation, Slot};
use crate::translator::{Edge, Translator};
use crate::{Bailout, BailoutReason};
use coluber_bytecode::{Code, Feedback, Instruction, Kind, Offset, Op as Bytecode, Seen};
use coluber_ir::ops::{ExitReason, Suspension};
use coluber_ir::{Helper, Op, Value};
use rustc_hash::FxHashSet as HashSet;
use std::rc::Rc;

/// Most resume points of a unit. At others it is not entered.
const MAX_RESUME_POINTS: usize = 24;

/// Part of the inline path of loop headers in the body that puts its items away itself.
const DRAINING: u32 = u32::MAX;

/// What a slot of the operand stack holds when the generator is resumed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Null,
    Object,
    /// One of both.
    Nullable,
    TaggedInt,
}

impl Form {
    fn join(self, other: Form) -> Form {
        match (self, other) {
            _ if self == other => self,
            // The one that was there first; the unit is not entered with the other.
            (Form::TaggedInt, _) | (_, Form::TaggedInt) => self,
            _ => Form::Nullable,
        }
    }
}

/// Where a generator is resumed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResumePoint {
    offset: Offset,
    /// In front of the first instruction.
    is_first: bool,
    /// The operand stack with the value that is sent on top.
    stack: Vec<Form>,
}

impl Translator<'_> {
    /// Translates the unit of a generator.
    pub(crate) fn translate_generator(&mut self, code: &Code) -> Result<(), Bailout> {
        if self.assumptions.resume_points.is_empty() {
            refuse_what_loses(code)?;
            let first = first_resume_point(code)?;
            self.assumptions.resume_points.push(first);
        }
        let points = self.assumptions.resume_points.clone();
        let entry = |point: &ResumePoint| {
            code.index_of(point.offset).ok_or_else(|| Bailout::new(BailoutReason::Entry, point.offset))
        };
        let entries = points.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let graph = Graph::build_resumable(code, &entries, self.settings.peel)
            .ok_or_else(|| Bailout::new(BailoutReason::ControlFlow, 0))?;
        let mut edges = Vec::new();
        let mut drained = None;
        self.block = Some(self.function.add_block());
        let locals: Vec<Slot> =
            (0..code.slot_count).map(|slot| Slot::Value(self.emit_value(Op::LoadLocal { slot }))).collect();
        for point in &points {
            self.source = (0, point.offset);
            let condition = self.emit_value(Op::IsSuspendedAt { offset: point.offset });
            let (here, next) = self.branch_on(condition);
            self.block = Some(here);
            let sent = self.enter_resumed(code, point, locals.clone())?;
            if let Some(sent) = sent
                && is_expression(code)
            {
                let condition = self.emit_value(Op::IsNone { value: sent });
                let (yielding, draining) = self.branch_on(condition);
                drained = Some((sent, entries[edges.len()], Edge { block: draining, state: self.state.clone() }));
                self.block = Some(yielding);
            }
            let block = self.block.take().expect("the entry is open");
            edges.push(Edge { block, state: std::mem::take(&mut self.state) });
            self.block = Some(next);
        }
        self.emit(Op::Decline {});
        self.translate_edges(Rc::new(graph), 0, edges)?;
        if let Some((sink, entry, edge)) = drained {
            self.translate_draining(code, sink, entry, edge)?;
        }
        if self.assumptions.resume_points != points {
            // Loop headers have other numbers in the next attempt.
            self.assumptions.forget_types();
            self.retry = true;
        }
        Ok(())
    }

    /// The body of a generator expression that puts its items into `sink` itself.
    fn translate_draining(&mut self, code: &Code, sink: Value, entry: usize, edge: Edge) -> Result<(), Bailout> {
        let graph = Graph::build_draining(code, entry, self.settings.peel)
            .ok_or_else(|| Bailout::new(BailoutReason::ControlFlow, 0))?;
        self.path.push(DRAINING);
        self.sink = Some(sink);
        self.translate_graph(Rc::new(graph), 0, edge)?;
        self.sink = None;
        self.path.pop();
        Ok(())
    }

    /// Takes over what the frame holds at a resume point. Where the generator begins, what is sent is returned.
    fn enter_resumed(&mut self, code: &Code, point: &ResumePoint, locals: Vec<Slot>) -> Result<Option<Value>, Bailout> {
        if code.indexed_loops {
            for (index, form) in point.stack.iter().enumerate() {
                self.emit(Op::GuardStackTag { index: index as u32, tagged: *form == Form::TaggedInt });
            }
        }
        let mut stack = Vec::new();
        let mut sent = None;
        for (index, form) in point.stack.iter().enumerate() {
            let index = index as u32;
            stack.push(match form {
                _ if point.is_first && index as usize + 1 == point.stack.len() => {
                    sent = Some(self.emit_value(Op::LoadSent { index }));
                    // The interpreter sends None, whatever stands there.
                    Slot::Value(self.emit_value(Op::NoneConstant {}))
                }
                Form::TaggedInt => Slot::TaggedInt(self.emit_value(Op::LoadStackInt { index })),
                _ => Slot::Value(self.emit_value(Op::LoadStack { index })),
            });
        }
        self.state.frames = vec![Activation { code: 0, function: None, locals, stack, waiting: None }];
        self.state.unchecked = true;
        self.begin(self.resume_at(code, point.offset), self.resume_at(code, point.offset));
        for (index, form) in point.stack.iter().enumerate() {
            let Slot::Value(value) = self.state.top().stack[index] else { continue };
            match form {
                Form::Object if index + 1 == point.stack.len() && point.is_first => {}
                // The interpreter sends a value; NULL is never one.
                Form::Object if index + 1 == point.stack.len() => {
                    let bound = self.emit_value(Op::AssumeBound { value });
                    self.replace(value, bound);
                }
                Form::Object => {
                    let state = self.before();
                    let bound = self.emit_value(Op::GuardBound { value, state });
                    self.replace(value, bound);
                }
                Form::Null => {
                    let condition = self.emit_value(Op::IsNull { value });
                    let state = self.before();
                    self.emit(Op::GuardTrue { condition, state });
                    self.set_slot(code.slot_count as usize + index, Slot::Null);
                }
                Form::Nullable | Form::TaggedInt => {}
            }
        }
        Ok(sent)
    }

    /// `yield`: the item goes to whoever resumed the generator.
    pub(crate) fn yield_value(&mut self, argument: u32, instruction: &Instruction) -> Result<(), Bailout> {
        let value = self.pop()?;
        let form = |slot: &Slot| match slot {
            Slot::Null => Form::Null,
            Slot::Value(value) if self.ty(*value).is_nullable() => Form::Nullable,
            Slot::TaggedInt(_) => Form::TaggedInt,
            Slot::Value(_) | Slot::Range { .. } | Slot::Sequence { .. } => Form::Object,
            Slot::Function { .. } | Slot::Generator { .. } => unreachable!("trials are not suspended"),
        };
        let stack = self.state.top().stack.iter().map(form).chain([Form::Object]).collect();
        self.assumptions.add_resume_point(ResumePoint { offset: instruction.next, is_first: false, stack });
        if let Some(sink) = self.sink {
            return self.hand_over(sink, value, instruction);
        }
        let how = if argument == 0 { Suspension::Yield } else { Suspension::YieldFrom };
        self.suspend(how, instruction.next, value);
        Ok(())
    }

    /// Puts an item into the list or set that the generator was given, adds it to a sum, or compares it with a bool; where that would take
    /// Python code, or is what the consumer waits for, it is yielded.
    fn hand_over(&mut self, sink: Value, item: Value, instruction: &Instruction) -> Result<(), Bailout> {
        let kind = self.kind(item);
        let object = self.object(item);
        let start = self.path();
        let mut edges = Vec::new();
        let is_list = self.emit_value(Op::IsKind { value: sink, kind: Kind::List });
        let mut otherwise = self.go_if(is_list);
        let list = self.emit_value(Op::AssumeKind { value: sink, kind: Kind::List });
        self.invoke(Helper::ListAppend, &[list, object]);
        edges.push(self.handed_over());
        if matches!(kind, Some(Kind::Int | Kind::Float | Kind::Str | Kind::Bool)) {
            self.take(&start, otherwise);
            let is_set = self.emit_value(Op::IsKind { value: sink, kind: Kind::Set });
            otherwise = self.go_if(is_set);
            let set = self.emit_value(Op::AssumeKind { value: sink, kind: Kind::Set });
            self.invoke(Helper::SetAddPlain, &[set, object]);
            self.release(object);
            edges.push(self.handed_over());
        }
        if matches!(kind, Some(Kind::Int | Kind::Bool)) {
            self.take(&start, otherwise);
            let is_sum = self.emit_value(Op::IsKind { value: sink, kind: Kind::ByteArray });
            otherwise = self.go_if(is_sum);
            let number = match kind {
                Some(Kind::Bool) => {
                    let value = self.unbox(item, Kind::Bool);
                    self.emit_value(Op::BoolToInt { value })
                }
                _ => self.unbox(item, Kind::Int),
            };
            let fits = self.invoke(Helper::AddToSum, &[sink, number]).expect("a truth value is a result");
            let does_not_fit = self.go_if(fits);
            let before_addition = self.path();
            // Where the number alone was needed the object is gone already.
            let item = self.current(object);
            self.release(item);
            edges.push(self.handed_over());
            self.take(&before_addition, does_not_fit);
            self.suspend(Suspension::Yield, instruction.next, object);
        }
        if kind == Some(Kind::Bool) {
            self.take(&start, otherwise);
            let is_bool = self.emit_value(Op::IsKind { value: sink, kind: Kind::Bool });
            otherwise = self.go_if(is_bool);
            let is_wanted = self.emit_value(Op::IsIdentical { left: sink, right: object });
            let is_other = self.emit_value(Op::BoolNot { value: is_wanted });
            let wanted = self.go_if(is_other);
            self.release(object);
            edges.push(self.handed_over());
            self.take(&start, wanted);
            self.suspend(Suspension::Yield, instruction.next, object);
        }
        self.take(&start, otherwise);
        self.suspend(Suspension::Yield, instruction.next, object);
        let resume = self.resume_at(self.code(), instruction.next);
        self.merge(edges, resume)?;
        self.begin(resume, resume);
        Ok(())
    }

    /// Goes on if a condition holds; returns the block where it does not.
    fn go_if(&mut self, condition: Value) -> coluber_ir::Block {
        let (then, otherwise) = self.branch_on(condition);
        self.block = Some(then);
        otherwise
    }

    /// Behind a yield that was none, with None sent.
    fn handed_over(&mut self) -> Edge {
        let none = self.emit_value(Op::NoneConstant {});
        self.push(none);
        self.end_path()
    }

    /// The consumer that a loop over a generator is, if it only collects the items, or looks for a true or false one.
    pub(crate) fn loop_sink(&mut self, instruction: &Instruction) -> Result<Option<Value>, Bailout> {
        let code = self.code();
        let Some(start) = code.index_of(instruction.offset) else { return Ok(None) };
        let mut rest =
            code.instructions[start + 1..].iter().filter(|next| next.op != Bytecode::Nop).map(|next| &next.op);
        let leads_back = |op: Option<&Bytecode>| matches!(op, Some(Bytecode::JumpBackward { target, .. }) if code.index_of(*target) == Some(start));
        let (depth, kind) = match rest.next() {
            Some(Bytecode::ListAppend { depth }) => (*depth, Kind::List),
            Some(Bytecode::SetAdd { depth }) => (*depth, Kind::Set),
            Some(Bytecode::ToBool) => {
                let value = match rest.next() {
                    Some(Bytecode::PopJumpIfTrue { .. }) => true,
                    Some(Bytecode::PopJumpIfFalse { .. }) => false,
                    _ => return Ok(None),
                };
                if !leads_back(rest.next()) {
                    return Ok(None);
                }
                let wanted = self.emit_value(Op::BoolConstant { value });
                return Ok(Some(self.emit_value(Op::BoxBool { value: wanted })));
            }
            _ => return Ok(None),
        };
        if !leads_back(rest.next()) {
            return Ok(None);
        }
        let collection = self.peek(depth)?;
        Ok((self.kind(collection) == Some(kind)).then_some(collection))
    }

    /// The rest of a `return`: the frame is cleared by whoever resumed the generator.
    pub(crate) fn end_generator(&mut self, instruction: &Instruction) -> Result<(), Bailout> {
        let value = self.pop()?;
        self.suspend(Suspension::Return, instruction.offset, value);
        Ok(())
    }

    /// Puts all slots back into the frame, each with a reference of its own.
    fn suspend(&mut self, how: Suspension, offset: Offset, value: Value) {
        let (locals, depth) = (self.state.top().locals.len(), self.state.top().stack.len());
        for slot in locals..locals + depth {
            self.close_iterator(0, slot);
        }
        let mut given = HashSet::default();
        let mut give = |this: &mut Self, value: Value| {
            let object = this.object(value);
            if this.needs_kill(object) && given.insert(this.function.root(object)) {
                object
            } else {
                this.emit_value(Op::Dup { value: object })
            }
        };
        let mut slots = Vec::with_capacity(locals + depth);
        for index in 0..locals + depth {
            let top = self.state.top();
            let slot = if index < locals { top.locals[index] } else { top.stack[index - locals] };
            slots.push(match slot {
                Slot::Value(value) => give(self, value),
                Slot::TaggedInt(value) => value,
                _ => self.emit_value(Op::NullConstant {}),
            });
        }
        let value = give(self, value);
        self.emit(Op::Suspend { how, offset, value, slots });
    }

    /// Stack: receiver, NULL where an iterator takes two slots, value.
    pub(crate) fn send(&mut self) -> Result<(), Bailout> {
        let below = self.code().iterator_slots;
        if below > 1 && self.peek_slot(2)? != Slot::Null {
            let state = self.before();
            self.emit(Op::Exit { reason: ExitReason::NotCompiled, state });
            return Ok(());
        }
        let (receiver, value) = (self.peek(1 + below)?, self.peek(1)?);
        let result = self.invoke(Helper::Send, &[receiver, value]).expect("what is yielded or returned is a result");
        let returned = self.emit_value(Op::TakeOutput { index: 0 });
        let sent = self.pop()?;
        self.push(result);
        let condition = self.emit_value(Op::IsNull { value: returned });
        let (yields, returns) = self.branch_on(condition);
        let state = self.state.clone();
        self.block = Some(yields);
        self.release(sent);
        self.edge(0)?;
        self.block = Some(returns);
        self.state = state;
        self.release(returned);
        self.release(sent);
        self.edge(1)
    }

    /// Stack: receiver, NULL or index where an iterator takes two slots, value.
    pub(crate) fn end_send(&mut self) -> Result<(), Bailout> {
        let value = self.pop_slot()?;
        let receiver = (0..self.code().iterator_slots).map(|_| self.pop_slot()).collect::<Result<Vec<_>, _>>()?;
        self.push_slot(value);
        for slot in receiver {
            self.release_slot(slot);
        }
        Ok(())
    }
}

/// Generators that the interpreter resumes at least as fast.
fn refuse_what_loses(code: &Code) -> Result<(), Bailout> {
    let delegation = code.instructions.iter().find(|instruction| instruction.op == Bytecode::GetYieldFromIter);
    if let Some(instruction) = delegation {
        return Err(Bailout::new(BailoutReason::YieldFrom, instruction.offset));
    }
    Ok(())
}

/// In front of the first instruction of the body: behind RETURN_GENERATOR, with `None` sent.
fn first_resume_point(code: &Code) -> Result<ResumePoint, Bailout> {
    let mut stack = Vec::new();
    for (index, instruction) in code.instructions.iter().enumerate() {
        match instruction.op {
            Bytecode::Nop | Bytecode::Resume { .. } | Bytecode::MakeCell { .. } | Bytecode::CopyFreeVars { .. } => {}
            Bytecode::LoadFast { .. } => stack.push(Form::Object),
            Bytecode::GetIter => {
                for _ in 1..code.iterator_slots {
                    stack.push(if is_indexed_loop(code, index) { Form::TaggedInt } else { Form::Null });
                }
            }
            Bytecode::ReturnGenerator => {
                stack.push(Form::Object);
                return Ok(ResumePoint { offset: instruction.next, is_first: true, stack });
            }
            _ => break,
        }
    }
    Err(Bailout::new(BailoutReason::Generator, 0))
}

/// Whether it is a generator expression.
fn is_expression(code: &Code) -> bool {
    code.slot_names.first().is_some_and(|name| name == ".0")
}

/// Whether the loop behind an instruction has seen lists or tuples, which are walked by an index.
fn is_indexed_loop(code: &Code, index: usize) -> bool {
    let following = code.instructions[index..].iter().find(|next| matches!(next.op, Bytecode::ForIter { .. }));
    let seen = following.map(|next| &next.feedback);
    code.indexed_loops && matches!(seen, Some(Feedback::Seen(Seen::List | Seen::Tuple)))
}

impl crate::translator::Assumptions {
    /// A resume point was found.
    fn add_resume_point(&mut self, point: ResumePoint) {
        if let Some(known) = self.resume_points.iter_mut().find(|known| known.offset == point.offset) {
            for (known, found) in known.stack.iter_mut().zip(point.stack) {
                *known = known.join(found);
            }
        } else if self.resume_points.len() < MAX_RESUME_POINTS {
            self.resume_points.push(point);
        }
    }
}
