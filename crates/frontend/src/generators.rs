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
use coluber_bytecode::{Code, Feedback, Instruction, Offset, Op as Bytecode, Seen};
use coluber_ir::ops::{ExitReason, Suspension};
use coluber_ir::{BlockCall, Helper, Op, Value};
use std::collections::HashSet;
use std::rc::Rc;

/// Most resume points of a unit. At others it is not entered.
const MAX_RESUME_POINTS: usize = 24;

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
        self.block = Some(self.function.add_block());
        let locals: Vec<Slot> =
            (0..code.slot_count).map(|slot| Slot::Value(self.emit_value(Op::LoadLocal { slot }))).collect();
        for point in &points {
            self.source = (0, point.offset);
            let condition = self.emit_value(Op::IsSuspendedAt { offset: point.offset });
            let (here, next) = (self.function.add_block(), self.function.add_block());
            let target = |block| BlockCall { block, arguments: Vec::new() };
            self.emit(Op::Branch { condition, then: target(here), otherwise: target(next) });
            self.block = Some(here);
            self.enter_resumed(code, point, locals.clone())?;
            let block = self.block.take().expect("the entry is open");
            edges.push(Edge { block, state: std::mem::take(&mut self.state) });
            self.block = Some(next);
        }
        self.emit(Op::Decline {});
        self.translate_edges(Rc::new(graph), 0, edges)?;
        if self.assumptions.resume_points != points {
            // Loop headers have other numbers in the next attempt.
            self.assumptions.forget_types();
            self.retry = true;
        }
        Ok(())
    }

    /// Takes over what the frame holds at a resume point.
    fn enter_resumed(&mut self, code: &Code, point: &ResumePoint, locals: Vec<Slot>) -> Result<(), Bailout> {
        if code.indexed_loops {
            for (index, form) in point.stack.iter().enumerate() {
                self.emit(Op::GuardStackTag { index: index as u32, tagged: *form == Form::TaggedInt });
            }
        }
        let mut stack = Vec::new();
        for (index, form) in point.stack.iter().enumerate() {
            let index = index as u32;
            stack.push(match form {
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
        Ok(())
    }

    /// `yield`: the item goes to whoever resumed the generator.
    pub(crate) fn yield_value(&mut self, argument: u32, instruction: &Instruction) -> Result<(), Bailout> {
        let value = self.pop()?;
        let form = |slot: &Slot| match slot {
            Slot::Null => Form::Null,
            Slot::Value(value) if self.ty(*value).is_nullable() => Form::Nullable,
            Slot::TaggedInt(_) => Form::TaggedInt,
            Slot::Value(_) | Slot::Range { .. } | Slot::Sequence { .. } => Form::Object,
        };
        let stack = self.state.top().stack.iter().map(form).chain([Form::Object]).collect();
        self.assumptions.add_resume_point(ResumePoint { offset: instruction.next, stack });
        let how = if argument == 0 { Suspension::Yield } else { Suspension::YieldFrom };
        self.suspend(how, instruction.next, value);
        Ok(())
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
        let mut given = HashSet::new();
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
        let (yields, returns) = (self.function.add_block(), self.function.add_block());
        let target = |block| BlockCall { block, arguments: Vec::new() };
        self.emit(Op::Branch { condition, then: target(yields), otherwise: target(returns) });
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
                return Ok(ResumePoint { offset: instruction.next, stack });
            }
            _ => break,
        }
    }
    Err(Bailout::new(BailoutReason::Generator, 0))
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
