//! Trials: generator expressions in their consumers' code, without function, generator and frame.
//!
//! An expression whose body only computes -- no store, no Python code -- cannot be told from one that has not begun while
//! nobody has got its items. So where a consumer takes all items before it does anything else with them, both are translated
//! in line as a *trial*: each exit out of it, and each exception, goes back in front of the expression, which the
//! interpreter then executes from its start. Frame states of a trial are the state in front of it and the references that
//! it holds, which an exit drops ([`Resume::Undone`]).
//!
//! Whether a body is fit turns out while it is translated. If it is not, the unit is translated again without this trial.

use crate::Bailout;
use crate::state::{Slot, State};
use crate::translator::Translator;
use coluber_bytecode::{Code, Instruction, Offset, Op as Bytecode};
use coluber_ir::ops::Effects;
use coluber_ir::{FrameState, FrameStateId, Helper, Op, Resume, SlotValue, Value};
use rustc_hash::FxHashSet as HashSet;
use std::rc::Rc;

/// Deepest nesting of activations in which a trial begins.
const MAX_DEPTH: usize = 5;
/// Largest body, in instructions.
const MAX_BODY: usize = 100;
/// Where a trial begins: inline path, code, offset.
pub(crate) type TrialPlace = (Vec<u32>, usize, Offset);

/// A trial that has begun.
#[derive(Debug, PartialEq)]
pub struct Trial {
    pub(crate) place: TrialPlace,
    /// The state in front of it.
    state: FrameStateId,
    /// The roots of what that names: these live on.
    named: HashSet<Value>,
    /// How many values there were: those with higher numbers were computed in the trial.
    first: usize,
}

impl Trial {
    /// Whether the state in front of the trial names the value with this root.
    pub(crate) fn names(&self, root: Value) -> bool {
        self.named.contains(&root)
    }
}

impl Translator<'_> {
    /// Begins a trial if the present instruction is the first of what makes a generator expression.
    pub(crate) fn begin_trial(&mut self, code: &Code, index: usize, instruction: &Instruction) {
        if self.state.trial.is_some()
            || !self.settings.speculate
            || !self.settings.inline
            || self.is_inside_instruction
            || self.state.frames.len() > MAX_DEPTH
        {
            return;
        }
        let Some(function) = self.expression_from(code, index).filter(|_| !self.gave_up(instruction)) else { return };
        let place = (self.path.clone(), self.state.top().code, function);
        if self.assumptions.refused_trials.contains(&place) {
            return;
        }
        let state = self.before();
        let mut named = HashSet::default();
        for slot in self.state.slots() {
            slot.for_each(|value| {
                named.insert(self.function.root(value));
            });
        }
        let first = self.function.values.len();
        self.trials.push(place.clone());
        self.state.trial = Some(Rc::new(Trial { place, state, named, first }));
        self.begin_same();
    }

    /// Where the function of a generator expression is made that these instructions, from the one at `index` on, make if its
    /// body may be fit: an empty collection for the items perhaps, the cells of the closure, the function.
    fn expression_from(&self, code: &Code, index: usize) -> Option<Offset> {
        let mut rest = code.instructions[index..].iter().peekable();
        rest.next_if(|next| matches!(next.op, Bytecode::BuildList { count: 0 } | Bytecode::BuildSet { count: 0 }));
        while rest.next_if(|next| matches!(next.op, Bytecode::LoadFast { .. })).is_some() {}
        rest.next_if(|next| matches!(next.op, Bytecode::BuildTuple { .. }));
        let Bytecode::LoadConst { value } = rest.next()?.op else { return None };
        let function = rest.next().filter(|next| next.op == Bytecode::MakeFunction)?;
        let body = self.snapshot.codes.iter().find(|code| code.object == value)?;
        (body.name.ends_with("<genexpr>") && may_be_fit(body)).then_some(function.offset)
    }

    /// The present trial does what cannot be undone: the unit is translated again without it.
    pub(crate) fn refuse_trial(&mut self) {
        if let Some(trial) = &self.state.trial {
            self.assumptions.refused_trials.insert(trial.place.clone());
            self.retry = true;
        }
    }

    /// Whether a trial may do this.
    pub(crate) fn is_repeatable(&self, op: &Op, effects: Effects) -> bool {
        match op {
            // What dies is what the trial has made: all else is held by others, who do nothing meanwhile.
            Op::Kill { .. } | Op::Dup { .. } | Op::ProfileOperands { .. } => true,
            Op::StoreIterator { iterator, .. } | Op::TakeSequence { iterator } => self.is_new(*iterator),
            Op::Invoke { helper, arguments, .. } => match helper {
                Helper::ListAppend | Helper::SetAddPlain => self.is_new(arguments[0]),
                Helper::BuildTuple
                | Helper::BuildList
                | Helper::BuildString
                | Helper::BuildSlice
                | Helper::NewSet
                | Helper::ListSlice
                | Helper::StrSlice
                | Helper::StrGet
                | Helper::BuiltinIterator
                | Helper::MakePair
                | Helper::MatchesException => true,
                // They go on with what the trial has made.
                Helper::DictStep | Helper::PlainNext | Helper::TakePair => self.is_new(arguments[0]),
                Helper::PlainBinary
                | Helper::IteratorPart
                | Helper::PlainIterator
                | Helper::PlainCall
                | Helper::PlainUnary
                | Helper::PlainCompare
                | Helper::PlainTruth
                | Helper::PlainContains
                | Helper::PlainSubscript
                | Helper::BuiltinIsTrue
                | Helper::StrEqual
                | Helper::BuiltinLength
                | Helper::DictFind
                | Helper::FloatRemainder
                | Helper::FloatFloorDivide
                | Helper::MathUnary
                | Helper::MatchMapping
                | Helper::MatchSequence => true,
                _ => false,
            },
            _ => effects.writes == 0 && !effects.runs_python,
        }
    }

    /// Whether the present trial has made the object. A value that the trial has loaded may be any object.
    pub(crate) fn is_new(&self, value: Value) -> bool {
        let root = self.function.root(value);
        let is_later = self.state.trial.as_ref().is_some_and(|trial| root.as_u32() as usize >= trial.first);
        is_later
            && match self.function.def_op(root) {
                Some(Op::MakeIterator { .. }) => true,
                Some(Op::Invoke { helper, .. }) => {
                    matches!(helper, Helper::BuildList | Helper::NewSet | Helper::BuiltinIterator)
                }
                _ => self.made.contains(&root),
            }
    }

    /// The frame state of a trial.
    pub(crate) fn trial_state(&mut self, state: &State, trial: &Trial) -> FrameStateId {
        let mut seen = HashSet::default();
        let mut stack = Vec::new();
        for slot in state.slots() {
            slot.for_each(|value| {
                let root = self.function.root(value);
                if self.needs_kill(root) && !trial.names(root) && seen.insert(root) {
                    stack.push(SlotValue::Value(root));
                }
            });
        }
        let code = self.function.states[trial.state].code;
        self.intern_state(FrameState {
            code,
            function: None,
            resume: Resume::Undone,
            locals: Vec::new(),
            stack,
            caller: Some(trial.state),
        })
    }

    /// MAKE_FUNCTION of an expression that is tried.
    pub(crate) fn make_tried_function(&mut self) -> Result<bool, Bailout> {
        let coluber_ir::Type::Constant(object, _) = self.ty(self.peek(1)?) else { return Ok(false) };
        let Some(code) = self.snapshot.codes.iter().position(|code| code.object == object) else { return Ok(false) };
        if self.state.trial.is_none() || !self.snapshot.codes[code].name.ends_with("<genexpr>") {
            return Ok(false);
        }
        self.pop()?;
        self.push_slot(Slot::Function { code, closure: None });
        Ok(true)
    }

    /// Its SET_FUNCTION_ATTRIBUTE. Stack: closure, function.
    pub(crate) fn set_tried_closure(&mut self, attribute: u32) -> Result<bool, Bailout> {
        let Slot::Function { code, .. } = self.peek_slot(1)? else { return Ok(false) };
        if attribute != CLOSURE {
            return Err(self.malformed("attribute of a generator expression"));
        }
        self.pop_slot()?;
        let closure = Some(self.pop()?);
        self.push_slot(Slot::Function { code, closure });
        Ok(true)
    }

    /// CALL of an expression that is tried, or of its consumer. True if it has been done. Stack: function, iterator; or callable, self or NULL, generator.
    pub(crate) fn call_tried(&mut self, count: u32, instruction: &Instruction) -> Result<bool, Bailout> {
        match (count, self.peek_slot(1)?) {
            (0, Slot::Value(argument)) => {
                let Slot::Function { code, closure } = self.peek_slot(2)? else { return Ok(false) };
                self.pop()?;
                self.pop_slot()?;
                self.push_slot(Slot::Generator { code, closure, argument });
                let code = self.code();
                let next = code.index_of(instruction.next).map(|index| &code.instructions[index..]);
                let mut rest = next.into_iter().flatten().map(|instruction| &instruction.op);
                match rest.find(|op| !matches!(op, Bytecode::Nop | Bytecode::PushNull)) {
                    Some(Bytecode::Call { count: 1 } | Bytecode::ForIter { .. }) => Ok(true),
                    _ => Err(self.malformed("no consumer of a generator expression")),
                }
            }
            (1, Slot::Generator { .. }) => self.call_consumer(),
            _ => Ok(false),
        }
    }

    /// The items are where they are to be: the trial has been passed, unless it is part of another one.
    pub(crate) fn end_trial(&mut self) {
        let is_promise = |slot: &Slot| matches!(slot, Slot::Function { .. } | Slot::Generator { .. });
        if !self.state.slots().any(is_promise) {
            self.state.trial = None;
        }
    }
}

/// Number of a function's closure in SET_FUNCTION_ATTRIBUTE.
const CLOSURE: u32 = 8;

/// Whether nothing in the body of a generator expression says at once that it does more than compute.
fn may_be_fit(code: &Code) -> bool {
    code.instructions.len() <= MAX_BODY
        && code.instructions.iter().all(|instruction| {
            !matches!(
                instruction.op,
                Bytecode::StoreGlobal { .. }
                    | Bytecode::StoreDeref { .. }
                    | Bytecode::StoreAttr { .. }
                    | Bytecode::StoreSubscript
                    | Bytecode::CallKw { .. }
                    | Bytecode::CallFunctionEx
                    | Bytecode::GetYieldFromIter
                    | Bytecode::GetAwaitable { .. }
                    | Bytecode::GetAiter
                    | Bytecode::ImportName { .. }
                    | Bytecode::Unsupported { .. }
            )
        })
}
