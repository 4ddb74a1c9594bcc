//! Exceptions without objects.
//!
//! ```text
//! try:
//!     total += table[key]        # no such key: a branch to `missing += 1`
//! except KeyError:
//!     missing += 1
//! ```
//!
//! Where it can be told without raising that an instruction raises a builtin exception, and the handler matches that exception
//! and does nothing but count and assign until it is over, nobody can see the exception: neither it nor its traceback is
//! made, and `sys.exception()` is not set. All that the handler does is part of the instruction: a guard in it goes back to the
//! instruction's start, in which nothing has been changed and all operands are still held, and the interpreter raises.
//! That is possible only if executing it again does the same again; else there must be no guard in the handler.
//!
//! What the handler drops dies behind it. "Does not fire": a handler with a name (`as error`), with calls, with
//! attributes; `keeps_exceptions_that_are_looked_at` and others in `tests/python/cases/quiet_exceptions.py`.

use crate::Bailout;
use crate::graph::Graph;
use crate::handlers::Way;
use crate::state::Slot;
use crate::translator::{Edge, Translator};
use coluber_bytecode::{BinaryKind, Code, Instruction, ObjectId, ObjectValue, Op as Bytecode};
use coluber_ir::{Op, Overflow, Type, Value};
use std::rc::Rc;

/// What an instruction raises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Error {
    /// KeyError of a dict.
    Key,
    /// IndexError of a list.
    Index,
    /// StopIteration of `next`.
    Stop,
}

impl Error {
    /// Builtin classes that match it.
    fn classes(self) -> [&'static str; 4] {
        let own = match self {
            Error::Key => ["KeyError", "LookupError"],
            Error::Index => ["IndexError", "LookupError"],
            Error::Stop => ["StopIteration", "StopIteration"],
        };
        [own[0], own[1], "Exception", "BaseException"]
    }

    /// Whether the instruction raises again when it is executed again, and does nothing else.
    fn repeats(self) -> bool {
        match self {
            Error::Key | Error::Index => true,
            Error::Stop => false,
        }
    }
}

/// A handler that can be executed without the exception.
#[derive(Clone)]
pub(crate) struct QuietHandler {
    way: Way,
    /// What it does: indices of instructions.
    steps: Vec<usize>,
    /// Where it goes on: a node of the graph.
    target: usize,
}

/// A place of the operand stack above the depth of the handler, while the handler is looked at.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// The exception.
    Exception,
    /// The one that was handled before.
    Before,
    /// A class or classes, and whether they match.
    Classes(bool),
    /// Whether the classes matched.
    Matched(bool),
    /// A value.
    Plain(Known),
}

/// What is known of a value.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    Int,
    Float,
    Other,
}

/// Instructions that a handler may have.
const LONGEST: usize = 40;

impl Translator<'_> {
    /// The handler of the present instruction, if it can be executed without the exception.
    pub(crate) fn quiet_handler(&self, error: Error) -> Option<QuietHandler> {
        if !self.settings.speculate
            || self.state.frames.len() != 1
            || self.is_inside_instruction
            || self.state.trial.is_some()
        {
            return None;
        }
        let way = self.way_of_exception()?;
        let graph = Rc::clone(&self.runs[0].graph);
        let code = &self.snapshot.codes[self.state.top().code];
        Look { translator: self, code, graph: &graph, error, locals: Vec::new() }.follow(way)
    }

    fn known(&self, value: Value) -> Known {
        let is_int = |object: ObjectId| matches!(self.snapshot.objects.get(object).value, ObjectValue::Int(_));
        let is_float = |object: ObjectId| matches!(self.snapshot.objects.get(object).value, ObjectValue::Float(_));
        match self.ty(value) {
            Type::I64 => Known::Int,
            Type::F64 => Known::Float,
            Type::Constant(object, _) if is_int(object) => Known::Int,
            Type::Constant(object, _) if is_float(object) => Known::Float,
            ty if ty.is_nullable() => Known::Other,
            ty => match ty.kind() {
                Some(coluber_ir::Kind::Int) => Known::Int,
                Some(coluber_ir::Kind::Float) => Known::Float,
                _ => Known::Other,
            },
        }
    }

    /// Executes the handler of the present instruction, which has found out that it would raise; ends the block.
    pub(crate) fn handle_quietly(&mut self, handler: &QuietHandler) -> Result<(), Bailout> {
        let present = std::mem::replace(&mut self.state, self.before.clone());
        (self.state.unchecked, self.state.unobserved) = (present.unchecked, present.unobserved);
        self.state.classes = present.classes;
        let mut dropped: Vec<Slot> = Vec::new();
        let depth = handler.way.range.depth as usize;
        while self.state.top().stack.len() > depth {
            dropped.extend(self.state.top_mut().stack.pop());
        }
        let code = &self.snapshot.codes[self.state.top().code];
        for &index in &handler.steps {
            let instruction = &code.instructions[index];
            match instruction.op {
                Bytecode::LoadFast { local } | Bytecode::LoadFastCheck { local } => {
                    let slot = self.state.top().locals[local as usize];
                    self.push_slot(slot);
                }
                Bytecode::LoadConst { value } => {
                    let value = self.constant(value);
                    self.push(value);
                }
                Bytecode::StoreFast { local } => {
                    let value = self.pop_slot()?;
                    dropped.push(std::mem::replace(&mut self.state.top_mut().locals[local as usize], value));
                }
                Bytecode::PopTop => dropped.push(self.pop_slot()?),
                Bytecode::BinaryOp { kind, .. } => {
                    let (right, left) = (self.pop()?, self.pop()?);
                    let result = self.quiet_binary(kind, left, right)?;
                    self.push(result);
                }
                _ => return Err(self.malformed("step of a handler")),
            }
        }
        // From here on it cannot be repeated.
        let graph = Rc::clone(&self.runs[0].graph);
        let start = code.instructions[graph.blocks[graph.nodes[handler.target].block].first].start;
        let resume = self.resume_at(code, start);
        let after = std::mem::replace(&mut self.after_resume, resume);
        let values: Vec<Value> = dropped.iter().flat_map(Slot::held).collect();
        self.release_all(&values);
        self.after_resume = after;
        let block = self.block.take().expect("a handler is an open block");
        let state = self.state.clone();
        self.runs[0].add_edge(handler.target, Edge { block, state });
        Ok(())
    }

    /// The register of a number.
    fn quiet_number(&mut self, value: Value) -> Result<Value, Bailout> {
        let known = self.known(value);
        let wanted = if known == Known::Float { Type::F64 } else { Type::I64 };
        if self.ty(value) == wanted {
            return Ok(value);
        }
        if let Some(constant) = self.unboxed_constant(value, wanted) {
            return Ok(constant);
        }
        Ok(match known {
            Known::Float => self.emit_value(Op::UnboxFloat { value }),
            Known::Int => {
                let state = self.before();
                self.emit_value(Op::UnboxInt { value, state })
            }
            Known::Other => return Err(self.malformed("number of a handler")),
        })
    }

    fn quiet_binary(&mut self, kind: BinaryKind, left: Value, right: Value) -> Result<Value, Bailout> {
        let (left, right) = (self.quiet_number(left)?, self.quiet_number(right)?);
        let state = self.before();
        let overflow = Overflow::Checked;
        let op = match (kind, self.ty(left)) {
            (BinaryKind::Add, Type::F64) => Op::FloatAdd { left, right },
            (BinaryKind::Subtract, Type::F64) => Op::FloatSubtract { left, right },
            (BinaryKind::Multiply, Type::F64) => Op::FloatMultiply { left, right },
            (BinaryKind::Add, _) => Op::IntAdd { left, right, overflow, state },
            (BinaryKind::Subtract, _) => Op::IntSubtract { left, right, overflow, state },
            (BinaryKind::Multiply, _) => Op::IntMultiply { left, right, overflow, state },
            _ => return Err(self.malformed("operator of a handler")),
        };
        Ok(self.emit_value(op))
    }
}

/// Looks at a handler before anything is emitted.
struct Look<'l, 'a> {
    translator: &'l Translator<'a>,
    code: &'a Code,
    graph: &'l Graph,
    error: Error,
    /// Locals that the handler has set.
    locals: Vec<(u32, Known)>,
}

impl Look<'_, '_> {
    fn follow(&mut self, way: Way) -> Option<QuietHandler> {
        let mut stack = vec![Place::Exception];
        let (mut steps, mut node, mut passed) = (Vec::new(), way.node, 0);
        loop {
            let block = &self.graph.blocks[self.graph.nodes[node].block];
            let mut way_out = 0;
            for index in block.first..block.end {
                passed += 1;
                if passed > LONGEST {
                    return None;
                }
                let instruction = &self.code.instructions[index];
                if let Bytecode::PopExcept = instruction.op {
                    // What is below stays for the code behind.
                    let is_over = stack.pop()? == Place::Before && index + 1 == block.end;
                    let is_over = is_over && stack.iter().all(|place| matches!(place, Place::Plain(_)));
                    let target = *self.graph.nodes[node].successors.first()?;
                    return is_over.then_some(QuietHandler { way, steps, target });
                }
                way_out = self.step(instruction, index, &mut stack, &mut steps)?;
            }
            node = *self.graph.nodes[node].successors.get(way_out)?;
        }
    }

    /// Passes an instruction; which way it goes on.
    fn step(
        &mut self,
        instruction: &Instruction,
        index: usize,
        stack: &mut Vec<Place>,
        steps: &mut Vec<usize>,
    ) -> Option<usize> {
        match instruction.op {
            Bytecode::Nop | Bytecode::Jump { .. } | Bytecode::JumpBackward { check: false, .. } => {}
            Bytecode::PushExcInfo if *stack == [Place::Exception] => stack.insert(0, Place::Before),
            Bytecode::LoadGlobal { name, push_null: false } => stack.push(Place::Classes(self.matches(name)?)),
            Bytecode::BuildTuple { count } if count > 0 => {
                let mut any = false;
                for _ in 0..count {
                    let Place::Classes(matches) = stack.pop()? else { return None };
                    any |= matches;
                }
                stack.push(Place::Classes(any));
            }
            Bytecode::CheckExcMatch => {
                let Place::Classes(matches) = stack.pop()? else { return None };
                stack.push(Place::Matched(matches));
            }
            Bytecode::PopJumpIfFalse { .. } => {
                let Place::Matched(matches) = stack.pop()? else { return None };
                return Some(usize::from(!matches));
            }
            Bytecode::PopTop => match stack.pop()? {
                Place::Exception => {}
                Place::Plain(_) => steps.push(index),
                _ => return None,
            },
            // Only plain values are on the stack when the handler is executed.
            Bytecode::Swap { depth: 2 } => {
                let top = stack.len().checked_sub(2)?;
                if let [Place::Plain(_), Place::Plain(_)] = stack[top..] {
                    return None;
                }
                stack.swap(top, top + 1);
            }
            Bytecode::LoadFast { local } | Bytecode::LoadFastCheck { local } => {
                let known = match self.locals.iter().rev().find(|(known, _)| *known == local) {
                    Some((_, known)) => *known,
                    None => match self.translator.before.top().locals[local as usize] {
                        Slot::Value(value) if !self.translator.ty(value).is_nullable() => self.translator.known(value),
                        _ => return None,
                    },
                };
                stack.push(Place::Plain(known));
                steps.push(index);
            }
            Bytecode::LoadConst { value } => {
                let known = match self.translator.snapshot.objects.get(value).value {
                    ObjectValue::Int(_) => Known::Int,
                    ObjectValue::Float(_) => Known::Float,
                    _ => Known::Other,
                };
                stack.push(Place::Plain(known));
                steps.push(index);
            }
            Bytecode::StoreFast { local } => {
                let Place::Plain(known) = stack.pop()? else { return None };
                // What dies in the handler sees what is being handled.
                let dies_seen = match self.translator.before.top().locals[local as usize] {
                    Slot::Null => false,
                    Slot::Value(value) => {
                        let ty = self.translator.ty(value);
                        self.translator.needs_kill(value) && !ty.dies_silently()
                    }
                    _ => true,
                };
                if dies_seen && !self.locals.iter().any(|(known, _)| *known == local) {
                    return None;
                }
                self.locals.push((local, known));
                steps.push(index);
            }
            Bytecode::BinaryOp { kind: BinaryKind::Add | BinaryKind::Subtract | BinaryKind::Multiply, .. } => {
                let (Place::Plain(right), Place::Plain(left)) = (stack.pop()?, stack.pop()?) else { return None };
                let is_float = left == Known::Float;
                if left == Known::Other || left != right || !(is_float || self.error.repeats()) {
                    return None;
                }
                stack.push(Place::Plain(left));
                steps.push(index);
            }
            _ => return None,
        }
        Some(0)
    }

    /// Whether a global is a builtin class of exceptions that matches; `None` if it is no builtin class.
    fn matches(&self, name: ObjectId) -> Option<bool> {
        let object = self.translator.snapshot.global(self.translator.snapshot.globals, name)?;
        let ObjectValue::Class(facts) = &self.translator.snapshot.objects.get(object).value else { return None };
        let is_exception = facts.name.ends_with("Error") || BASES.contains(&facts.name.as_str());
        (is_exception && !facts.is_heap).then(|| self.error.classes().contains(&facts.name.as_str()))
    }
}

/// Builtin classes of exceptions whose names do not say so.
const BASES: [&str; 3] = ["Exception", "BaseException", "StopIteration"];
