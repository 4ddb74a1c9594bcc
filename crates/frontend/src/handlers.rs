//! Exception handlers.
//!
//! An instruction that raises where a handler of the unit's own code covers it ends its block: `BranchRaised` leads to a
//! block that takes the exception and drops what the handler does not want, and from there to the handler. Handlers
//! are compiled where exceptions were seen ([`Handlers::Seen`]): others cost code and make what joins behind them less
//! known. Elsewhere an exception leaves compiled code, and the runtime unwinds.
//!
//! Inlined callees have no handlers of their own that are compiled: a callee that handles exceptions is called.

use crate::graph::Graph;
use crate::state::Slot;
use crate::translator::{Edge, Translator};
use crate::{Bailout, Handlers};
use coluber_bytecode::{Code, HandlerRange, Instruction, Offset};
use coluber_ir::ops::Effects;
use coluber_ir::{BlockCall, FrameStateId, Helper, Op, Resume, Value};

/// So many exceptions at an instruction are worth a handler.
const WORTH_A_HANDLER: u64 = 20;

/// Guards that fail where the instruction then raises.
const GUARDS_OF_ERRORS: &[&str] = &[
    "GuardIndex",
    "GuardBound",
    "LoadCell",
    "LoadField",
    "IntFloorDivide",
    "IntRemainder",
    "IntTrueDivide",
    "FloatDivide",
];

/// Name of the facts about exceptions in the exit profile.
pub(crate) const RAISE: &str = "Raise";

/// Where an exception goes.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub range: HandlerRange,
    pub node: usize,
    /// The instruction that raises, in the own code.
    offset: Offset,
}

impl Translator<'_> {
    /// Whether exceptions of an instruction (one of its offsets) of a code were seen.
    fn is_raising(&self, code: usize, is_instruction: impl Fn(Offset) -> bool) -> bool {
        match self.settings.handlers {
            Handlers::All => true,
            Handlers::Seen => self.snapshot.exits.iter().any(|fact| {
                fact.code == code
                    && is_instruction(fact.offset)
                    && fact.count >= WORTH_A_HANDLER
                    && (fact.reason == RAISE || GUARDS_OF_ERRORS.contains(&fact.reason.as_str()))
            }),
        }
    }

    fn has_raised(&self, code: usize, instruction: &Instruction) -> bool {
        self.is_raising(code, |offset| offset == instruction.start || offset == instruction.offset)
    }

    /// Handlers of a code that are compiled.
    pub(crate) fn compiled_handlers(&self, index: usize) -> Vec<HandlerRange> {
        let code = &self.snapshot.codes[index];
        if code.flags.is_generator {
            // Their handlers run in the interpreter.
            return Vec::new();
        }
        let is_wanted = |range: &HandlerRange| self.is_raising(index, |offset| covers(code, range, offset));
        code.handlers.iter().filter(|range| is_wanted(range)).copied().collect()
    }

    /// The graph of a code from an instruction.
    pub(crate) fn build_graph(&self, index: usize, entry: usize) -> Option<Graph> {
        let ranges = self.compiled_handlers(index);
        Graph::build(&self.snapshot.codes[index], entry, self.settings.peel, &ranges)
    }

    /// Where an exception of the present instruction goes, if it stays in the unit.
    pub(crate) fn way_of_exception(&self) -> Option<Way> {
        for (number, frame) in self.state.frames.iter().enumerate().rev() {
            let code = &self.snapshot.codes[frame.code];
            let offset = match frame.waiting {
                Some(Resume::PushResult { offset, .. } | Resume::DropResult { offset, .. }) => offset,
                _ => self.source.1,
            };
            let Some(range) = code.handler_at(offset) else { continue };
            // Handlers of inlined calls are not compiled.
            let run = self.runs.first().filter(|_| number == 0)?;
            let node = run.graph.nodes[run.node].handler?;
            let instruction = code.instructions.iter().find(|instruction| instruction.offset == offset)?;
            return self.has_raised(frame.code, instruction).then_some(Way { range: *range, node, offset });
        }
        None
    }

    /// Behind an op that may raise: sends its exception to its handler, if that is compiled.
    pub(crate) fn branch_raised(&mut self, effects: Effects, state: FrameStateId, stolen: &[Value]) {
        // Where inlined calls end Python code may run, for which the frames have to be shown.
        if self.state.frames.len() > 1 && !effects.runs_python {
            return;
        }
        let Some(way) = self.way_of_exception() else { return };
        let block = self.block.expect("the op was emitted into an open block");
        let (next, landing) = (self.function.add_block(), self.function.add_block());
        self.function.blocks[landing].cold = true;
        let call = |block| BlockCall { block, arguments: Vec::new() };
        self.function.append(block, Op::BranchRaised { next: call(next), handler: call(landing) }, self.source);
        let mut raised = self.before.clone();
        (raised.unchecked, raised.unobserved) = (self.state.unchecked, self.state.unobserved);
        raised.classes.clone_from(&self.state.classes);
        let roots: Vec<Value> = stolen.iter().map(|value| self.function.root(*value)).collect();
        for slot in raised.slots_mut() {
            if matches!(slot, Slot::Value(value) if roots.contains(&self.function.root(*value))) {
                *slot = Slot::Null;
            }
        }
        let inlined = raised.frames.split_off(1);
        raised.top_mut().waiting = None;
        let present = std::mem::replace(&mut self.state, raised);
        let mut given: Vec<Value> = Vec::new();
        for slot in inlined.iter().flat_map(|frame| frame.slots()) {
            let (Slot::Value(value) | Slot::Range { object: value, .. } | Slot::Sequence { object: value, .. }) = *slot
            else {
                continue;
            };
            let is_new = !given.iter().any(|other| self.function.root(*other) == self.function.root(value));
            if is_new && self.needs_kill(value) && !self.is_alive(value) {
                given.push(value);
            }
        }
        self.block = Some(landing);
        let (source, after_resume) = (self.source, self.after_resume);
        self.source = (0, way.offset);
        self.after_resume = Resume::At { start: way.offset, offset: way.offset };
        if !inlined.is_empty() {
            (self.state.unchecked, self.state.unobserved) = (true, true);
            self.state.doubt_classes();
        }
        let exception = self.function.append_value(landing, Op::CatchException { given, state }, self.source);
        let at = self.int(i64::from(way.offset));
        self.enter_handler(way, exception, at);
        (self.source, self.after_resume) = (source, after_resume);
        self.state = present;
        self.block = Some(next);
    }

    /// Unwinds the operand stack and goes to a handler; ends the block.
    fn enter_handler(&mut self, way: Way, exception: Value, raised_at: Value) {
        while self.state.top().stack.len() > way.range.depth as usize {
            let slot = self.state.top_mut().stack.pop().expect("it is deeper");
            self.release_slot(slot);
        }
        if way.range.push_offset {
            self.push_slot(Slot::TaggedInt(raised_at));
        }
        self.push(exception);
        let block = self.block.take().expect("the way to a handler is an open block");
        let state = self.state.clone();
        self.runs[0].add_edge(way.node, Edge { block, state });
    }

    /// `RERAISE`.
    pub(crate) fn reraise(&mut self, argument: u32, instruction: &Instruction) -> Result<(), Bailout> {
        let exception = self.peek(1)?;
        let raised_at = match argument {
            0 => None,
            _ => match self.peek_slot(argument + 1)? {
                Slot::TaggedInt(value) => Some(value),
                _ => return Err(self.malformed("no offset under an exception")),
            },
        };
        if let Some(way) = self.way_of_exception() {
            self.pop()?;
            let at = raised_at.unwrap_or_else(|| self.int(i64::from(instruction.offset)));
            self.after_return();
            self.enter_handler(way, exception, at);
            return Ok(());
        }
        let at = raised_at.unwrap_or_else(|| self.int(-1));
        self.invoke(Helper::Reraise, &[exception, at]);
        self.emit(Op::Unreachable {});
        Ok(())
    }

    /// `PUSH_EXC_INFO`. Stack: exception.
    pub(crate) fn push_exc_info(&mut self) -> Result<(), Bailout> {
        let exception = self.pop()?;
        let value = self.emit_value(Op::Dup { value: exception });
        let before = self.emit_value(Op::SwapException { value });
        self.push(before);
        self.push(exception);
        Ok(())
    }

    /// `POP_EXCEPT`. Stack: the exception that was being handled before, or None.
    pub(crate) fn pop_except(&mut self) -> Result<(), Bailout> {
        let before = self.pop()?;
        let value = self.steal(before);
        let handled = self.emit_value(Op::SwapException { value });
        self.release(handled);
        Ok(())
    }

    /// `CHECK_EXC_MATCH`. Stack: exception, class or classes.
    pub(crate) fn check_exc_match(&mut self) -> Result<(), Bailout> {
        let (exception, classes) = (self.peek(2)?, self.peek(1)?);
        let matches = self.invoke(Helper::MatchesException, &[exception, classes]).expect("a truth value is a result");
        let classes = self.pop()?;
        self.push(matches);
        self.release(classes);
        Ok(())
    }

    /// `WITH_EXCEPT_START`. Stack: `__exit__`, self or NULL, offset, exception before, exception.
    pub(crate) fn with_except_start(&mut self) -> Result<(), Bailout> {
        let (method, exception) = (self.peek(5)?, self.peek(1)?);
        let receiver = self.peek_slot(4)?;
        let receiver = self.nullable(receiver)?;
        let result = self.invoke(Helper::CallExit, &[method, receiver, exception]).expect("an object is a result");
        self.push(result);
        Ok(())
    }
}

/// Whether exceptions of an op are worth a way to a handler: not where memory has run out. The frame has been shown.
pub(crate) fn may_be_caught(op: &Op, effects: Effects) -> bool {
    let raises = |helper: &Helper| matches!(helper, Helper::RaiseUnboundCell | Helper::RaiseUnboundLocal);
    effects.runs_python || matches!(op, Op::Invoke { helper, .. } if raises(helper))
}

/// Whether an offset is that of an instruction which a range covers, and no other in front of it.
fn covers(code: &Code, range: &HandlerRange, offset: Offset) -> bool {
    let instruction =
        code.instructions.iter().find(|instruction| instruction.start == offset || instruction.offset == offset);
    instruction.is_some_and(|instruction| code.handler_at(instruction.offset) == Some(range))
}
