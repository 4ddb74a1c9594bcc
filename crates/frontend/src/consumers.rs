//! Consumers of generator expressions in trials: what takes the items, and the body that gives them.

use crate::Bailout;
use crate::BailoutReason;
use crate::graph::Graph;
use crate::state::{Activation, Slot};
use crate::translator::{Edge, Translator};
use coluber_bytecode::{Comparison, Instruction, Kind, ObjectValue, Op as Bytecode};
use coluber_ir::ops::{ExitReason, Overflow};
use coluber_ir::{Helper, Op, Resume, Value};
use std::rc::Rc;

/// Part of the inline path of loop headers in a trial.
const IN_TRIAL: u32 = u32::MAX - 1;

/// What the items of a `sum` are.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Summands {
    Ints,
    Floats,
    /// These are collected in a list, which is added up by the call.
    Any,
}

/// What is done with the items.
#[derive(Clone)]
enum Taking {
    /// Collected in the list, or set, at this place of the consumer's operand stack.
    Collected { place: usize, kind: Kind },
    /// Ints that are added to the sum at this place.
    Summed { place: usize },
    /// Floats that are added to the sum at this place. Behind it stand what got lost in rounding, and whether there was an item.
    SummedFloats { place: usize },
    /// Looked at, up to the first one with this truth value, as the instruction does.
    Tested { wanted: bool, by: Instruction },
}

/// A generator expression that is being translated in its consumer.
pub(crate) struct Consumer {
    taking: Taking,
    /// How many activations there are while its body is translated.
    depth: usize,
    /// Paths on which the item was found.
    found: Vec<Edge>,
}

impl Translator<'_> {
    /// CALL of a consumer. False if the call goes on with a list in place of the generator.
    pub(crate) fn call_consumer(&mut self) -> Result<bool, Bailout> {
        let unknown = self.malformed("unknown consumer of a generator expression");
        let (callable, receiver) = (self.peek(3)?, self.peek_slot(2)?);
        let coluber_ir::Type::Constant(callable, _) = self.ty(callable) else { return Err(unknown) };
        let has_self = receiver != Slot::Null;
        self.rely_on_invariants();
        let place = self.state.top().stack.len();
        let (taking, is_result) = match &self.snapshot.objects.get(callable).value {
            ObjectValue::Class(facts) if !has_self => match facts.kind {
                Some(Kind::Set) => (Taking::Collected { place, kind: Kind::Set }, true),
                Some(Kind::List) => (Taking::Collected { place, kind: Kind::List }, true),
                Some(Kind::Tuple | Kind::Dict | Kind::Bytes | Kind::ByteArray) => {
                    (Taking::Collected { place, kind: Kind::List }, false)
                }
                _ if facts.name == "frozenset" && !facts.is_heap => {
                    (Taking::Collected { place, kind: Kind::List }, false)
                }
                _ => return Err(unknown),
            },
            ObjectValue::Builtin(facts) => match (facts.name.as_str(), has_self) {
                ("builtins.sum", false) if self.summands() == Summands::Ints => (Taking::Summed { place }, true),
                ("builtins.sum", false) if self.summands() == Summands::Floats => {
                    (Taking::SummedFloats { place }, true)
                }
                (
                    "builtins.sum" | "builtins.min" | "builtins.max" | "builtins.sorted" | "builtins.any"
                    | "builtins.all" | "math.prod" | "math.fsum",
                    false,
                )
                | ("str.join" | "bytes.join", true) => (Taking::Collected { place, kind: Kind::List }, false),
                _ => return Err(unknown),
            },
            _ => return Err(unknown),
        };
        match &taking {
            Taking::Collected { kind, .. } => self.push_collection(*kind),
            Taking::Summed { .. } => {
                let zero = self.int(0);
                self.push(zero);
            }
            Taking::SummedFloats { .. } => self.push_float_sum(),
            Taking::Tested { .. } => unreachable!("only loops test items"),
        }
        let sums_floats = matches!(taking, Taking::SummedFloats { .. });
        let generator = self.state.top().stack[place - 1];
        let (resume, after) = self.resumes();
        let (ends, _) = self.consume(generator, taking)?;
        if ends.is_empty() {
            self.block = None;
            return Ok(true);
        }
        self.merge(ends, resume)?;
        self.begin(resume, after);
        if sums_floats {
            self.end_float_sum(resume, after)?;
        }
        // Stack: callable, self or NULL, generator, result.
        let result = self.pop_slot()?;
        let generator = self.pop_slot()?;
        self.push_slot(result);
        self.end_trial();
        self.begin_same();
        if is_result {
            let Slot::Value(result) = result else { return Err(unknown) };
            self.finish_call(1, result)?;
        }
        self.release_slot(generator);
        if !is_result {
            // Going back to the call now is to call it with the list.
            self.begin_same();
        }
        Ok(is_result)
    }

    fn push_collection(&mut self, kind: Kind) {
        let helper = if kind == Kind::Set { Helper::NewSet } else { Helper::BuildList };
        let collection = self.invoke(helper, &[]).expect("a collection is a result");
        self.push(collection);
    }

    /// FOR_ITER over an expression that is tried. False if there is none.
    pub(crate) fn loop_over_tried(&mut self, instruction: &Instruction) -> Result<bool, Bailout> {
        let code = self.code();
        let generator = self.peek_slot(code.iterator_slots)?;
        if !matches!(generator, Slot::Generator { .. }) {
            return Ok(false);
        }
        let unknown = self.malformed("a loop over a generator expression");
        let Some(start) = code.index_of(instruction.offset) else { return Err(unknown) };
        let mut rest = code.instructions[start + 1..].iter().filter(|next| next.op != Bytecode::Nop);
        let first = rest.next();
        let taking = match first.map(|first| &first.op) {
            Some(Bytecode::ListAppend { depth } | Bytecode::SetAdd { depth }) => {
                let place = self.state.top().stack.len().checked_sub(*depth as usize);
                let (Some(place), Some(kind)) = (place, self.kind(self.peek(*depth)?)) else { return Err(unknown) };
                Taking::Collected { place, kind }
            }
            Some(Bytecode::ToBool) => {
                let wanted = match rest.next().map(|next| &next.op) {
                    Some(Bytecode::PopJumpIfTrue { .. }) => true,
                    Some(Bytecode::PopJumpIfFalse { .. }) => false,
                    _ => return Err(unknown),
                };
                Taking::Tested { wanted, by: first.expect("matched above").clone() }
            }
            _ => return Err(unknown),
        };
        match rest.next().map(|next| &next.op) {
            Some(Bytecode::JumpBackward { target, .. }) if code.index_of(*target) == Some(start) => {}
            _ => return Err(unknown),
        }
        let (resume, after) = self.resumes();
        let (ends, found) = self.consume(generator, taking)?;
        if !found.is_empty() {
            self.merge(found, resume)?;
            self.begin(resume, after);
            // Where the jump behind the test goes.
            let run = self.run_mut();
            let body = run.graph.nodes[run.node].successors[0];
            let target = run.graph.nodes[body].successors[1];
            let edge = self.end_path();
            self.run_mut().add_edge(target, edge);
        }
        if ends.is_empty() {
            self.block = None;
            return Ok(true);
        }
        self.merge(ends, resume)?;
        self.begin(resume, after);
        self.edge(1)?;
        Ok(true)
    }

    /// Translates the body of a generator. Edges behind it, and those on which an item was found; its activation has ended.
    fn consume(&mut self, generator: Slot, taking: Taking) -> Result<(Vec<Edge>, Vec<Edge>), Bailout> {
        let Slot::Generator { code: index, closure, argument } = generator else {
            return Err(self.malformed("no generator expression"));
        };
        let code = &self.snapshot.codes[index];
        let mut locals = vec![Slot::Null; code.slot_count as usize];
        locals[0] = Slot::Value(argument);
        let cells = code.instructions.iter().find_map(|instruction| match instruction.op {
            Bytecode::CopyFreeVars { count } => Some(count),
            _ => None,
        });
        if let Some(count) = cells {
            let tuple = closure.ok_or_else(|| self.malformed("no closure"))?;
            for number in 0..count {
                let index = self.int(i64::from(number));
                let cell = self.emit_value(Op::TupleGet { tuple, index });
                let cell = self.emit_value(Op::AssumeKind { value: cell, kind: Kind::Cell });
                locals[(code.slot_count - count + number) as usize] = Slot::Value(cell);
            }
        }
        let graph = Graph::build_draining(code, 0, self.settings.peel)
            .ok_or_else(|| Bailout::new(BailoutReason::ControlFlow, 0))?;
        let (offset, next) = self.offsets();
        let function = self.state.top().function;
        self.state.top_mut().waiting = Some(Resume::PushResult { offset, next });
        self.state.frames.push(Activation { code: index, function, locals, stack: Vec::new(), waiting: None });
        let (source, path_length) = (self.source, self.path.len());
        let node = self.run_mut().node as u32;
        self.path.extend([node, offset, IN_TRIAL]);
        self.consumers.push(Consumer { taking, depth: self.state.frames.len(), found: Vec::new() });
        let edge = self.end_path();
        let ends = self.translate_graph(Rc::new(graph), index, edge)?;
        let consumer = self.consumers.pop().expect("pushed above");
        self.path.truncate(path_length);
        self.source = source;
        Ok((ends, consumer.found))
    }

    /// Whether the executing activation is that of an expression that is tried.
    pub(crate) fn is_tried(&self) -> bool {
        self.consumers.last().is_some_and(|consumer| consumer.depth == self.state.frames.len())
    }

    /// `yield` in it. The item has been taken off the stack.
    pub(crate) fn consume_item(&mut self, item: Value) -> Result<(), Bailout> {
        let taking = self.consumers.last().expect("an expression is tried").taking.clone();
        let outer = self.state.frames.len() - 2;
        match taking {
            Taking::Collected { place, kind } => {
                let Slot::Value(collection) = self.state.frames[outer].stack[place] else {
                    return Err(self.malformed("no collection"));
                };
                if kind == Kind::List {
                    self.invoke(Helper::ListAppend, &[collection, item]);
                } else if matches!(self.kind(item), Some(Kind::Int | Kind::Float | Kind::Str | Kind::Bool)) {
                    let item = self.object(item);
                    // It is held until it is in the set.
                    self.push(item);
                    self.invoke(Helper::SetAddPlain, &[collection, item]);
                    let item = self.pop()?;
                    self.release(item);
                } else {
                    self.refuse_trial();
                }
            }
            Taking::Summed { place } => {
                let Slot::Value(sum) = self.state.frames[outer].stack[place] else {
                    return Err(self.malformed("no sum"));
                };
                let number = match self.kind(item) {
                    Some(Kind::Int) => self.unbox(item, Kind::Int),
                    Some(Kind::Bool) => {
                        let value = self.unbox(item, Kind::Bool);
                        self.emit_value(Op::BoolToInt { value })
                    }
                    Some(Kind::Float) => return self.add_up_instead(Summands::Floats),
                    _ => return self.add_up_instead(Summands::Any),
                };
                let sum = self.unbox(sum, Kind::Int);
                let state = self.before();
                let overflow = Overflow::Checked;
                let sum = self.emit_value(Op::IntAdd { left: sum, right: number, overflow, state });
                self.state.frames[outer].stack[place] = Slot::Value(sum);
                let item = self.current(item);
                self.release(item);
            }
            Taking::SummedFloats { place } => {
                if self.kind(item) != Some(Kind::Float) {
                    return self.add_up_instead(Summands::Any);
                }
                let float = self.unbox(item, Kind::Float);
                self.add_float(outer, place, float)?;
                let item = self.current(item);
                self.release(item);
            }
            Taking::Tested { wanted, by } => {
                let truth = match self.kind(item) {
                    Some(Kind::Bool) => self.unbox(item, Kind::Bool),
                    _ => self.truth(item, &by),
                };
                let item = self.current(item);
                let start = self.path();
                let (is_true, is_false) = self.branch_on(truth);
                let (found, goes_on) = if wanted { (is_true, is_false) } else { (is_false, is_true) };
                self.take(&start, found);
                self.release(item);
                let edge = self.end_tried()?;
                self.consumers.last_mut().expect("an expression is tried").found.push(edge);
                self.take(&start, goes_on);
                self.release(item);
            }
        }
        self.go_on_behind_yield()
    }

    fn go_on_behind_yield(&mut self) -> Result<(), Bailout> {
        let none = self.emit_value(Op::NoneConstant {});
        self.push(none);
        Ok(())
    }

    /// The end of its body, by a `return`: the result has been taken off the stack.
    pub(crate) fn return_tried(&mut self) -> Result<(), Bailout> {
        let edge = self.end_tried()?;
        self.run_mut().returns.push(edge);
        Ok(())
    }

    fn end_tried(&mut self) -> Result<Edge, Bailout> {
        let top = self.state.top_mut();
        let mut slots: Vec<Slot> = top.locals.iter_mut().map(|slot| std::mem::replace(slot, Slot::Null)).collect();
        slots.append(&mut top.stack);
        self.release_each(slots);
        self.state.frames.pop();
        self.state.top_mut().waiting = None;
        Ok(self.end_path())
    }

    fn summands(&self) -> Summands {
        let trial = self.state.trial.as_ref().expect("a trial has begun");
        self.assumptions.summands.get(&trial.place).copied().unwrap_or(Summands::Ints)
    }

    /// The items of the present trial are others than those it was begun for: it is begun again.
    fn add_up_instead(&mut self, summands: Summands) -> Result<(), Bailout> {
        let trial = self.state.trial.as_ref().expect("a trial has begun");
        self.assumptions.summands.insert(trial.place.clone(), summands);
        self.retry = true;
        self.go_on_behind_yield()
    }

    /// The sum of no floats: zero, nothing lost, no item.
    fn push_float_sum(&mut self) {
        for _ in 0..2 {
            let zero = self.emit_value(Op::FloatConstant { bits: 0 });
            self.push(zero);
        }
        let has_items = self.emit_value(Op::BoolConstant { value: false });
        self.push(has_items);
    }

    /// Adds a float to the sum at a place as `sum` does (`cs_add` of `Python/bltinmodule.c`, 3.14 and 3.15). What gets lost
    /// is computed without a branch (Knuth's TwoSum): it is the same where both are finite, and not finite where the other is not.
    fn add_float(&mut self, frame: usize, place: usize, float: Value) -> Result<(), Bailout> {
        let [Slot::Value(sum), Slot::Value(lost), _] = self.state.frames[frame].stack[place..place + 3] else {
            return Err(self.malformed("no sum"));
        };
        let total = self.emit_value(Op::FloatAdd { left: sum, right: float });
        let added = self.emit_value(Op::FloatSubtract { left: total, right: sum });
        let kept = self.emit_value(Op::FloatSubtract { left: total, right: added });
        let lost_of_sum = self.emit_value(Op::FloatSubtract { left: sum, right: kept });
        let lost_of_item = self.emit_value(Op::FloatSubtract { left: float, right: added });
        let lost_now = self.emit_value(Op::FloatAdd { left: lost_of_sum, right: lost_of_item });
        let lost = self.emit_value(Op::FloatAdd { left: lost, right: lost_now });
        let has_items = self.emit_value(Op::BoolConstant { value: true });
        for (index, value) in [total, lost, has_items].into_iter().enumerate() {
            self.state.frames[frame].stack[place + index] = Slot::Value(value);
        }
        Ok(())
    }

    /// Makes one float of a sum: what got lost is added if it is finite. That of no items is an int; the interpreter makes it.
    fn end_float_sum(&mut self, resume: Resume, after: Resume) -> Result<(), Bailout> {
        let (has_items, lost, sum) = (self.pop()?, self.pop()?, self.pop()?);
        let (some, none) = self.branch_on(has_items);
        let start = self.path();
        self.take(&start, none);
        let state = self.before();
        self.emit(Op::Exit { reason: ExitReason::NotCompiled, state });
        self.take(&start, some);
        let difference = self.emit_value(Op::FloatSubtract { left: lost, right: lost });
        let zero = self.emit_value(Op::FloatConstant { bits: 0 });
        let comparison = Comparison::Equal;
        let is_finite = self.emit_value(Op::FloatCompare { comparison, left: difference, right: zero });
        let (finite, not_finite) = self.branch_on(is_finite);
        let start = self.path();
        self.take(&start, finite);
        let total = self.emit_value(Op::FloatAdd { left: sum, right: lost });
        self.push(total);
        let mut edges = vec![self.end_path()];
        self.take(&start, not_finite);
        self.push(sum);
        edges.push(self.end_path());
        self.merge(edges, resume)?;
        self.begin(resume, after);
        Ok(())
    }
}
