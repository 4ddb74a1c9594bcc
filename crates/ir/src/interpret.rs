//! The reference interpreter: what a function means, op by op.
//!
//! It runs the same IR that the back end compiles, slowly, with objects behind a [`Host`]: tests use the [`model`], the
//! runtime implements it over real objects. Where compiled code and this interpreter differ, the code is wrong; where
//! this interpreter and CPython differ, the IR is.
//!
//! References are counted as compiled code counts them. In phase `Counted` that is as written. In phase `Built` it is
//! what `insert_refcounts` will make of it (see [`crate::verify::balance`]): a borrowed result that is given away
//! somewhere gets a reference behind its definition, `Kill` drops one, `Dup` adds one, an exit takes what is held.

mod host;
mod leaving;
pub mod model;
pub mod runs;
pub mod scalars;

pub use host::{Host, PackedItem, Raised};

use crate::ops::{Packed, Refs, Suspension};
use crate::verify::balance::References;
use crate::{Block, BlockCall, Cfg, Function, Inst, ObjectId, Op, Overflow, Resume, Type, Value};
use cranelift_entity::SecondaryMap;
use std::fmt;

/// The contents of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Datum<O> {
    /// NULL.
    Null,
    /// An object.
    Object(O),
    /// An integer in a register.
    Int(i64),
    /// A float in a register.
    Float(f64),
    /// A truth value in a register.
    Bool(bool),
}

/// A slot of a frame that compiled code left to the interpreter. Objects come with a reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FrameSlot<O> {
    /// A value, to be boxed if it is none.
    Value(Datum<O>),
    /// A tagged integer.
    TaggedInt(i64),
    /// A range iterator and what its fields are to be.
    RangeIterator {
        /// The iterator.
        object: O,
        /// Next value.
        start: i64,
        /// Values left.
        length: i64,
    },
    /// A list or tuple iterator and what its index is to be.
    SequenceIterator {
        /// The iterator.
        object: O,
        /// Next index.
        index: i64,
    },
}

/// A frame that compiled code left to the interpreter.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame<O> {
    /// Index of the code in the snapshot.
    pub code: usize,
    /// The function object of an inlined activation.
    pub function: Option<ObjectId>,
    /// Where the interpreter goes on.
    pub resume: Resume,
    /// Local slots.
    pub locals: Vec<FrameSlot<O>>,
    /// Operand stack, bottom first.
    pub stack: Vec<FrameSlot<O>>,
}

/// How a function ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<O> {
    /// With a result, and its reference.
    Returned(O),
    /// By an exit: the interpreter goes on in the frames, innermost first.
    Exited {
        /// The instruction that left.
        inst: Inst,
        /// The frames, innermost first.
        frames: Vec<Frame<O>>,
    },
    /// With an exception, which is raised in the frames.
    Raised {
        /// The instruction that raised.
        inst: Inst,
        /// The frames, innermost first.
        frames: Vec<Frame<O>>,
    },
    /// Before anything was done: the frame is not as the unit needs it.
    NotEntered,
    /// A generator was suspended or has ended.
    Suspended {
        /// Which of it.
        how: Suspension,
        /// Where its frame stands.
        offset: u32,
        /// The result, with its reference.
        value: O,
        /// Locals and operand stack, with their references.
        slots: Vec<FrameSlot<O>>,
    },
}

/// Why a function could not be run to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterpretError {
    /// It took more than the given number of instructions.
    OutOfFuel,
    /// The IR is wrong: the instruction, printed, and what is wrong with it.
    Broken(String, String),
}

impl fmt::Display for InterpretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InterpretError::OutOfFuel => f.write_str("out of fuel"),
            InterpretError::Broken(line, message) => write!(f, "{message}\n    {line}"),
        }
    }
}

impl std::error::Error for InterpretError {}

/// Runs a function.
///
/// `arguments` are the parameters of the entry block, objects with a reference each. (Units have none: they take what
/// they need from the frame.) `fuel` is how many instructions may be executed.
pub fn interpret<H: Host>(
    function: &Function,
    host: &mut H,
    arguments: &[Datum<H::Object>],
    fuel: u64,
) -> Result<Outcome<H::Object>, InterpretError> {
    let cfg = Cfg::new(function);
    let references = References::new(function, &cfg);
    let mut interpreter = Interpreter { function, references, host, values: SecondaryMap::new() };
    interpreter.run(arguments, fuel)
}

/// What comes after an instruction.
enum Next<O> {
    /// The next one, with the result of this one.
    Continue(Option<Datum<O>>),
    Jump(Block, Vec<(Value, Datum<O>)>),
    End(Outcome<O>),
}

/// Why an instruction has no result.
enum Stop {
    Exit,
    Raise,
    NotEntered,
    Broken(String),
}

impl From<Raised> for Stop {
    fn from(_: Raised) -> Stop {
        Stop::Raise
    }
}

struct Interpreter<'a, 'h, H: Host> {
    function: &'a Function,
    references: References<'a>,
    host: &'h mut H,
    values: SecondaryMap<Value, Option<Datum<H::Object>>>,
}

impl<H: Host> Interpreter<'_, '_, H> {
    fn run(&mut self, arguments: &[Datum<H::Object>], mut fuel: u64) -> Result<Outcome<H::Object>, InterpretError> {
        let function = self.function;
        let mut block = function.entry();
        for (&parameter, &argument) in function.blocks[block].parameters.iter().zip(arguments) {
            self.values[parameter] = Some(argument);
        }
        'blocks: loop {
            let raising = function.raising_inst(block);
            for &inst in &function.blocks[block].insts {
                fuel = fuel.checked_sub(1).ok_or(InterpretError::OutOfFuel)?;
                let handler = if raising == Some(inst) { function.successors(block).get(1).copied() } else { None };
                match self.step(inst, handler)? {
                    Next::Continue(result) => self.define(inst, result)?,
                    Next::End(outcome) => return Ok(outcome),
                    Next::Jump(target, parameters) => {
                        for (parameter, datum) in parameters {
                            self.values[parameter] = Some(datum);
                        }
                        block = target;
                        continue 'blocks;
                    }
                }
            }
            return Err(InterpretError::Broken(function.block_text(block), "the block has no terminator".to_string()));
        }
    }

    fn broken<T>(&self, inst: Inst, message: impl Into<String>) -> Result<T, InterpretError> {
        Err(InterpretError::Broken(self.function.inst_text(inst), message.into()))
    }

    /// `handler`: where the instruction's exception goes, if it stays in the function.
    fn step(&mut self, inst: Inst, handler: Option<Block>) -> Result<Next<H::Object>, InterpretError> {
        let op = &self.function.insts[inst].op;
        match (self.execute(op), handler) {
            (Err(Stop::Raise), Some(handler)) => Ok(Next::Jump(handler, Vec::new())),
            (result, _) => self.leave(inst, result),
        }
    }

    fn leave(&mut self, inst: Inst, result: Result<Next<H::Object>, Stop>) -> Result<Next<H::Object>, InterpretError> {
        let op = &self.function.insts[inst].op;
        match result {
            Ok(next) => Ok(next),
            Err(Stop::Broken(message)) => self.broken(inst, message),
            Err(Stop::NotEntered) => Ok(Next::End(Outcome::NotEntered)),
            Err(stop) => {
                let Some(state) = op.state() else {
                    return self.broken(inst, "the op has no state to leave by");
                };
                let frames = match self.frames(state) {
                    Ok(frames) => frames,
                    Err(Stop::Broken(message)) => return self.broken(inst, message),
                    Err(_) => return self.broken(inst, "a state cannot be left"),
                };
                Ok(Next::End(match stop {
                    // A trial that raises has not begun.
                    Stop::Raise if !self.function.is_trial(state) => Outcome::Raised { inst, frames },
                    _ => Outcome::Exited { inst, frames },
                }))
            }
        }
    }

    fn define(&mut self, inst: Inst, datum: Option<Datum<H::Object>>) -> Result<(), InterpretError> {
        let data = &self.function.insts[inst];
        match (data.result, datum) {
            (Some(_), None) if data.op.refs() == Refs::Virtual => Ok(()),
            (Some(result), Some(datum)) => {
                if !has_type(datum, self.function.ty(result)) {
                    return self.broken(inst, format!("the result is {datum:?}"));
                }
                let is_held_borrow = data.op.refs() == Refs::Borrowed && self.references.makes_reference(result);
                if let (Datum::Object(object), true) = (datum, is_held_borrow) {
                    self.host.incref(object);
                }
                self.values[result] = Some(datum);
                Ok(())
            }
            (Some(_), None) => self.broken(inst, "the op gave no result"),
            (None, _) => Ok(()),
        }
    }

    // ---- values

    fn datum(&self, value: Value) -> Result<Datum<H::Object>, Stop> {
        let value = self.function.resolve(value);
        self.values[value].ok_or_else(|| Stop::Broken(format!("{value} was not computed")))
    }

    fn object(&self, value: Value) -> Result<H::Object, Stop> {
        match self.datum(value)? {
            Datum::Object(object) => Ok(object),
            other => Err(Stop::Broken(format!("{value} is {other:?}, not an object"))),
        }
    }

    fn nullable(&self, value: Value) -> Result<Option<H::Object>, Stop> {
        match self.datum(value)? {
            Datum::Object(object) => Ok(Some(object)),
            Datum::Null => Ok(None),
            other => Err(Stop::Broken(format!("{value} is {other:?}, not an object or NULL"))),
        }
    }

    fn int(&self, value: Value) -> Result<i64, Stop> {
        match self.datum(value)? {
            Datum::Int(int) => Ok(int),
            other => Err(Stop::Broken(format!("{value} is {other:?}, not an integer"))),
        }
    }

    fn float(&self, value: Value) -> Result<f64, Stop> {
        match self.datum(value)? {
            Datum::Float(float) => Ok(float),
            other => Err(Stop::Broken(format!("{value} is {other:?}, not a float"))),
        }
    }

    fn truth(&self, value: Value) -> Result<bool, Stop> {
        match self.datum(value)? {
            Datum::Bool(truth) => Ok(truth),
            other => Err(Stop::Broken(format!("{value} is {other:?}, not a truth value"))),
        }
    }

    /// The object of an operand that the op steals, with a reference.
    fn given(&mut self, value: Value) -> Result<H::Object, Stop> {
        let object = self.object(value)?;
        self.give(value, Datum::Object(object));
        Ok(object)
    }

    /// A part of an iterator: a number, or an object with a reference.
    fn given_part(&mut self, value: Value) -> Result<Datum<H::Object>, Stop> {
        let datum = self.datum(value)?;
        self.give(value, datum);
        Ok(datum)
    }

    /// What a suspended frame holds in a slot.
    fn suspended_slot(&mut self, value: Value) -> Result<FrameSlot<H::Object>, Stop> {
        let datum = self.datum(value)?;
        self.give(value, datum);
        Ok(match datum {
            Datum::Int(int) => FrameSlot::TaggedInt(int),
            datum => FrameSlot::Value(datum),
        })
    }

    /// Makes a reference to give away if the value has none of its own.
    fn give(&mut self, value: Value, datum: Datum<H::Object>) {
        if let Datum::Object(object) = datum
            && self.references.must_make_reference_to_give(value)
        {
            self.host.incref(object);
        }
    }

    // ---- ops

    fn jump(&mut self, call: &BlockCall) -> Result<Next<H::Object>, Stop> {
        let parameters = &self.function.blocks[call.block].parameters;
        let mut data = Vec::with_capacity(parameters.len());
        for (&parameter, &argument) in parameters.iter().zip(&call.arguments) {
            let datum = self.datum(argument)?;
            if self.references.takes_reference(parameter) {
                self.give(argument, datum);
            }
            data.push((parameter, datum));
        }
        Ok(Next::Jump(call.block, data))
    }

    fn execute(&mut self, op: &Op) -> Result<Next<H::Object>, Stop> {
        let result = match op {
            // ---- control flow
            Op::Jump { target } => return self.jump(target),
            Op::Branch { condition, then, otherwise } => {
                let target = if self.truth(*condition)? { then } else { otherwise };
                return self.jump(target);
            }
            // An op that raised has gone to the handler.
            Op::BranchRaised { next, .. } => return self.jump(next),
            Op::CatchException { given, state } => {
                // The references go to the frames of the activations that end here.
                for &value in given {
                    let datum = self.datum(value)?;
                    self.give(value, datum);
                }
                let ended = self.ended_frames(*state)?;
                Some(Datum::Object(self.host.catch(ended)))
            }
            Op::SwapException { value } => {
                let value = self.given(*value)?;
                Some(Datum::Object(self.host.swap_exception(value)))
            }
            Op::Return { value } => return Ok(Next::End(Outcome::Returned(self.given(*value)?))),
            Op::Decline {} => return Err(Stop::NotEntered),
            Op::Suspend { how, offset, value, slots } => {
                let value = self.given(*value)?;
                let slots = slots.iter().map(|slot| self.suspended_slot(*slot)).collect::<Result<_, _>>()?;
                return Ok(Next::End(Outcome::Suspended { how: *how, offset: *offset, value, slots }));
            }
            Op::Exit { .. } => return Err(Stop::Exit),
            Op::Unreachable {} => return Err(Stop::Broken("it was reached".to_string())),

            // ---- constants and the entry
            Op::Constant { object } => Some(Datum::Object(self.host.constant(*object))),
            Op::NullConstant {} => Some(Datum::Null),
            Op::NoneConstant {} => Some(Datum::Object(self.host.none())),
            Op::IntConstant { value } => Some(Datum::Int(*value)),
            Op::FloatConstant { bits } => Some(Datum::Float(f64::from_bits(*bits))),
            Op::BoolConstant { value } => Some(Datum::Bool(*value)),
            Op::LoadLocal { slot } | Op::LoadArgument { slot } => Some(or_null(self.host.local(*slot))),
            Op::LoadSent { index } | Op::LoadStack { index } => Some(or_null(self.host.stack(*index))),
            Op::LoadStackInt { index } => match self.host.stack_int(*index) {
                Some(int) => Some(Datum::Int(int)),
                None => return Err(Stop::Broken("there is no tagged integer".to_string())),
            },
            Op::GuardStackTag { index, tagged } => {
                if self.host.stack_int(*index).is_some() != *tagged {
                    return Err(Stop::NotEntered);
                }
                None
            }
            Op::IsSuspendedAt { offset } => Some(Datum::Bool(self.host.stands_at(*offset))),
            Op::LoadFunction {} => Some(Datum::Object(self.host.function())),

            // ---- boxes
            Op::UnboxInt { value, .. } => {
                let object = self.object(*value)?;
                Some(Datum::Int(self.host.int_value(object).ok_or(Stop::Exit)?))
            }
            Op::UnboxFloat { value } => {
                let object = self.object(*value)?;
                Some(Datum::Float(self.host.float_value(object)))
            }
            Op::UnboxNumber { value, .. } => {
                let object = self.object(*value)?;
                match self.host.kind(object) {
                    Some(crate::Kind::Float) => Some(Datum::Float(self.host.float_value(object))),
                    Some(crate::Kind::Int) => match self.host.int_value(object) {
                        Some(int) if int.unsigned_abs() < 1 << 30 => Some(Datum::Float(int as f64)),
                        _ => return Err(Stop::Exit),
                    },
                    _ => return Err(Stop::Exit),
                }
            }
            Op::UnboxBool { value } => {
                let object = self.object(*value)?;
                Some(Datum::Bool(self.host.bool_value(object)))
            }
            Op::BoxInt { value } => {
                let int = self.int(*value)?;
                Some(Datum::Object(self.host.new_int(int)))
            }
            Op::BoxFloat { value } => {
                let float = self.float(*value)?;
                Some(Datum::Object(self.host.new_float(float)))
            }
            Op::BoxBool { value } => {
                let truth = self.truth(*value)?;
                Some(Datum::Object(self.host.bool_object(truth)))
            }

            // ---- guards
            Op::GuardKind { value, kind, .. } => {
                let object = self.object(*value)?;
                exit_unless(self.host.kind(object) == Some(*kind))?;
                Some(Datum::Object(object))
            }
            Op::GuardClass { value, class, .. } => {
                let object = self.object(*value)?;
                exit_unless(self.host.is_instance(object, *class))?;
                None
            }
            Op::GuardVersion { class, version, .. } => {
                exit_unless(self.host.has_version(*class, *version))?;
                None
            }
            Op::GuardKeys { class, version, .. } => {
                exit_unless(self.host.has_keys_version(*class, *version))?;
                None
            }
            Op::GuardInlineValues { value, class, .. } => {
                let object = self.object(*value)?;
                exit_unless(self.host.has_inline_values(object, *class))?;
                None
            }
            Op::GuardNoneOrClass { value, class, .. } => {
                let object = self.object(*value)?;
                let is_fine = object == self.host.none() || self.host.is_instance(object, *class);
                exit_unless(is_fine)?;
                None
            }
            Op::GuardNoDict { value, .. } | Op::GuardNoOwnDict { value, .. } => {
                let object = self.object(*value)?;
                exit_unless(!self.host.has_dict(object))?;
                None
            }
            Op::GuardIdentity { value, object, .. } => {
                let found = self.nullable(*value)?;
                let expected = self.host.constant(*object);
                exit_unless(found == Some(expected))?;
                Some(Datum::Object(expected))
            }
            Op::GuardFunctionCode { function, code, .. } => {
                let function = self.object(*function)?;
                exit_unless(self.host.has_code(function, *code))?;
                None
            }
            Op::GuardBound { value, .. } => Some(Datum::Object(self.nullable(*value)?.ok_or(Stop::Exit)?)),
            Op::GuardTrue { condition, .. } => {
                exit_unless(self.truth(*condition)?)?;
                None
            }
            Op::GuardFalse { condition, .. } => {
                exit_unless(!self.truth(*condition)?)?;
                None
            }
            Op::GuardUnique { value, .. } => {
                let object = self.object(*value)?;
                exit_unless(self.host.is_unique(object))?;
                None
            }
            Op::IsInRange { index, length } => {
                let index = scalars::index(self.int(*index)?, self.int(*length)?);
                Some(Datum::Bool(index.is_some()))
            }
            Op::GuardSharedPair { value, other, .. } => {
                let (object, other) = (self.object(*value)?, self.object(*other)?);
                exit_unless(object == other && self.host.is_shared_pair(object))?;
                None
            }
            Op::GuardIndex { index, length, .. } => {
                let index = scalars::index(self.int(*index)?, self.int(*length)?);
                Some(Datum::Int(index.ok_or(Stop::Exit)?))
            }
            Op::CheckSafePoint { .. } => {
                exit_unless(!self.host.is_interrupted())?;
                None
            }
            Op::CheckObserved { .. } => {
                exit_unless(!self.host.is_interrupted())?;
                None
            }
            Op::EndFrame {} => None,
            Op::CheckFrame { .. } => {
                exit_unless(!self.host.is_frame_held())?;
                None
            }
            Op::CheckInvariants { .. } => {
                exit_unless(self.host.invariants_hold())?;
                None
            }

            // ---- integers
            Op::IntAdd { left, right, overflow, .. } => {
                Some(self.arithmetic(*left, *right, *overflow, i64::checked_add)?)
            }
            Op::IntSubtract { left, right, overflow, .. } => {
                Some(self.arithmetic(*left, *right, *overflow, i64::checked_sub)?)
            }
            Op::IntMultiply { left, right, overflow, .. } => {
                Some(self.arithmetic(*left, *right, *overflow, i64::checked_mul)?)
            }
            Op::IntFloorDivide { left, right, .. } => self.int_or_exit(*left, *right, scalars::int_floor_divide)?,
            Op::IntRemainder { left, right, .. } => self.int_or_exit(*left, *right, scalars::int_remainder)?,
            Op::IntShiftLeft { left, right, .. } => self.int_or_exit(*left, *right, scalars::int_shift_left)?,
            Op::IntShiftRight { left, right, .. } => self.int_or_exit(*left, *right, scalars::int_shift_right)?,
            Op::IntTrueDivide { left, right, .. } => {
                let quotient = scalars::int_true_divide(self.int(*left)?, self.int(*right)?);
                Some(Datum::Float(quotient.ok_or(Stop::Exit)?))
            }
            Op::IntAnd { left, right } => Some(Datum::Int(self.int(*left)? & self.int(*right)?)),
            Op::IntOr { left, right } => Some(Datum::Int(self.int(*left)? | self.int(*right)?)),
            Op::IntXor { left, right } => Some(Datum::Int(self.int(*left)? ^ self.int(*right)?)),
            Op::IntNegate { value, .. } => Some(Datum::Int(self.int(*value)?.checked_neg().ok_or(Stop::Exit)?)),
            Op::IntInvert { value } => Some(Datum::Int(!self.int(*value)?)),
            Op::IntCompare { comparison, left, right } => {
                Some(Datum::Bool(scalars::int_compare(*comparison, self.int(*left)?, self.int(*right)?)))
            }
            Op::IntToFloat { value } => Some(Datum::Float(self.int(*value)? as f64)),
            Op::BoolToInt { value } => Some(Datum::Int(i64::from(self.truth(*value)?))),
            Op::IntAdvance { left, right } => match self.int(*left)?.checked_add(self.int(*right)?) {
                Some(sum) => Some(Datum::Int(sum)),
                None => return Err(Stop::Broken("an iterator went too far".to_string())),
            },

            // ---- floats
            Op::FloatAdd { left, right } => Some(Datum::Float(self.float(*left)? + self.float(*right)?)),
            Op::FloatSubtract { left, right } => Some(Datum::Float(self.float(*left)? - self.float(*right)?)),
            Op::FloatMultiply { left, right } => Some(Datum::Float(self.float(*left)? * self.float(*right)?)),
            Op::FloatDivide { left, right, .. } => {
                let quotient = scalars::float_divide(self.float(*left)?, self.float(*right)?);
                Some(Datum::Float(quotient.ok_or(Stop::Exit)?))
            }
            Op::FloatNegate { value } => Some(Datum::Float(-self.float(*value)?)),
            Op::FloatAbsolute { value } => Some(Datum::Float(self.float(*value)?.abs())),
            Op::FloatSqrt { value, .. } => {
                Some(Datum::Float(scalars::float_sqrt(self.float(*value)?).ok_or(Stop::Exit)?))
            }
            Op::FloatPower { left, right, .. } => {
                let power = scalars::float_power(self.float(*left)?, self.float(*right)?);
                Some(Datum::Float(power.ok_or(Stop::Exit)?))
            }
            Op::FloatCompare { comparison, left, right } => {
                Some(Datum::Bool(scalars::float_compare(*comparison, self.float(*left)?, self.float(*right)?)))
            }
            Op::FloatToInt { value, .. } => {
                Some(Datum::Int(scalars::float_to_int(self.float(*value)?).ok_or(Stop::Exit)?))
            }

            // ---- truth and identity
            Op::BoolNot { value } => Some(Datum::Bool(!self.truth(*value)?)),
            Op::IsIdentical { left, right } => Some(Datum::Bool(self.nullable(*left)? == self.nullable(*right)?)),
            Op::IsClass { value, class } => {
                let object = self.object(*value)?;
                Some(Datum::Bool(self.host.is_instance(object, *class)))
            }
            Op::IsKind { value, kind } => {
                let object = self.object(*value)?;
                Some(Datum::Bool(self.host.kind(object) == Some(*kind)))
            }
            Op::IsNone { value } => {
                let (object, none) = (self.object(*value)?, self.host.none());
                Some(Datum::Bool(object == none))
            }
            Op::IsNull { value } => Some(Datum::Bool(self.nullable(*value)?.is_none())),
            Op::IsExhausted { value } => Some(Datum::Bool(match self.nullable(*value)? {
                None => true,
                Some(item) => self.host.is_exhausted(item),
            })),
            Op::AssumeKind { value, kind } => {
                let object = self.object(*value)?;
                if self.host.kind(object) != Some(*kind) {
                    return Err(Stop::Broken(format!("{value} is not of that kind")));
                }
                Some(Datum::Object(object))
            }
            Op::AssumeBound { value } => Some(Datum::Object(self.object(*value)?)),
            Op::SameObject { value } => Some(self.datum(*value)?),

            // ---- sequences
            Op::ListLength { list } => {
                let list = self.object(*list)?;
                Some(Datum::Int(self.host.list_length(list)))
            }
            Op::ListGet { list, index } => {
                let (list, index) = self.list_position(*list, *index)?;
                Some(Datum::Object(self.host.list_item(list, index)))
            }
            Op::ListSwap { list, index, value } => {
                let (list, index) = self.list_position(*list, *index)?;
                let item = self.given(*value)?;
                Some(Datum::Object(self.host.list_swap(list, index, item)))
            }
            Op::ReverseItems { list, first, last } => {
                let (list, mut low) = self.list_position(*list, *first)?;
                let mut high = self.int(*last)?;
                in_range(high, self.host.list_length(list))?;
                while low < high {
                    let (one, other) = (self.host.list_item(list, low), self.host.list_item(list, high));
                    // Each reference goes from one place to the other.
                    self.host.list_swap(list, low, other);
                    self.host.list_swap(list, high, one);
                    (low, high) = (low + 1, high - 1);
                }
                None
            }
            Op::TupleLength { tuple } => {
                let tuple = self.object(*tuple)?;
                Some(Datum::Int(self.host.tuple_length(tuple)))
            }
            Op::TupleGet { tuple, index } => {
                let (tuple, index) = (self.object(*tuple)?, self.int(*index)?);
                in_range(index, self.host.tuple_length(tuple))?;
                Some(Datum::Object(self.host.tuple_item(tuple, index)))
            }

            Op::GuardArrayFormat { array, format, .. } => {
                let array = self.object(*array)?;
                if self.host.packed(array) != Some(*format) {
                    return Err(Stop::Exit);
                }
                None
            }
            Op::PackedLength { sequence } => {
                let sequence = self.object(*sequence)?;
                Some(Datum::Int(self.host.packed_length(sequence)))
            }
            Op::PackedInt { sequence, index, format } | Op::PackedFloat { sequence, index, format } => {
                let (sequence, index) = self.packed_position(*sequence, *index, *format)?;
                Some(match self.host.packed_item(sequence, index) {
                    PackedItem::Int(value) => Datum::Int(value),
                    PackedItem::Float(value) => Datum::Float(value),
                })
            }
            Op::SetPackedInt { sequence, index, value, format, .. } => {
                let (sequence, index) = self.packed_position(*sequence, *index, *format)?;
                let value = self.int(*value)?;
                let (lowest, highest) = format.bounds().ok_or(Stop::Broken("an int among floats".into()))?;
                if !(lowest..=highest).contains(&value) {
                    return Err(Stop::Exit);
                }
                self.host.set_packed_item(sequence, index, PackedItem::Int(value));
                None
            }
            Op::SetPackedFloat { sequence, index, value, format } => {
                let (sequence, index) = self.packed_position(*sequence, *index, *format)?;
                let value = self.float(*value)?;
                self.host.set_packed_item(sequence, index, PackedItem::Float(value));
                None
            }

            // ---- names in dicts
            Op::GuardDictKey { dict, shape, offset, name, .. } => {
                if !self.host.has_dict_key(*dict, *shape, *offset, *name) {
                    return Err(Stop::Exit);
                }
                None
            }
            Op::LoadDictEntry { dict, offset, .. } => {
                Some(Datum::Object(self.host.dict_entry(*dict, *offset).ok_or(Stop::Exit)?))
            }
            Op::GuardDictEntry { dict, offset, .. } => {
                self.host.dict_entry(*dict, *offset).ok_or(Stop::Exit)?;
                None
            }
            Op::StoreDictEntry { dict, offset, value } => {
                let value = self.given(*value)?;
                Some(or_null(self.host.set_dict_entry(*dict, *offset, value)))
            }
            Op::GuardModuleNamespace { .. } => {
                if !self.host.is_module_namespace() {
                    return Err(Stop::Exit);
                }
                None
            }

            // ---- objects that do not exist yet, and how they come to exist
            // Only states name them: see `place_virtual`.
            Op::VirtualTuple { .. } | Op::VirtualInstance { .. } | Op::VirtualIterator { .. } => {
                return Ok(Next::Continue(None));
            }
            Op::MakeTuple { items } => {
                let items = items.iter().map(|item| self.given(*item)).collect::<Result<_, _>>()?;
                Some(Datum::Object(self.make_tuple(items)?))
            }
            Op::MakeInstance { class, offsets, values } => {
                let values = values.iter().map(|value| self.given(*value)).collect::<Result<_, _>>()?;
                Some(Datum::Object(self.make_instance(*class, &offsets.0, values)?))
            }
            Op::MakeIterator { walker, parts } => {
                let parts = parts.iter().map(|part| self.given_part(*part)).collect::<Result<_, _>>()?;
                Some(Datum::Object(self.host.new_iterator(*walker, parts)))
            }

            // ---- attributes, cells, iterators
            Op::LoadField { object, offset, .. } => {
                let object = self.object(*object)?;
                Some(Datum::Object(self.host.field(object, *offset).ok_or(Stop::Exit)?))
            }
            Op::LoadPart { object, offset } => {
                let part = self.object(*object)?;
                let part = self.host.field(part, *offset);
                Some(Datum::Object(part.ok_or_else(|| Stop::Broken(format!("{object} lacks a part")))?))
            }
            Op::StoreField { object, offset, index, value } => {
                let object = self.object(*object)?;
                let value = self.given(*value)?;
                Some(or_null(self.host.set_field(object, *offset, Some(*index), value)))
            }
            Op::StoreSlot { object, offset, value } => {
                let object = self.object(*object)?;
                let value = self.given(*value)?;
                Some(or_null(self.host.set_field(object, *offset, None, value)))
            }
            Op::LoadCell { cell, .. } => {
                let cell = self.object(*cell)?;
                Some(Datum::Object(self.host.cell(cell).ok_or(Stop::Exit)?))
            }
            Op::StoreCell { cell, value } => {
                let cell = self.object(*cell)?;
                let contents = self.nullable(*value)?;
                self.give(*value, or_null(contents));
                Some(or_null(self.host.set_cell(cell, contents)))
            }
            Op::LoadIterator { iterator, field } => {
                let iterator = self.object(*iterator)?;
                Some(Datum::Int(self.host.iterator_field(iterator, *field)))
            }
            Op::StoreIterator { iterator, field, value } => {
                let (iterator, value) = (self.object(*iterator)?, self.int(*value)?);
                self.host.set_iterator_field(iterator, *field, value);
                None
            }
            Op::IteratorSequence { iterator } => {
                let iterator = self.object(*iterator)?;
                Some(or_null(self.host.iterator_sequence(iterator)))
            }

            Op::TakeSequence { iterator } => {
                let iterator = self.object(*iterator)?;
                Some(or_null(self.host.take_sequence(iterator)))
            }
            Op::ProfileOperands { .. } | Op::ProfileCallee { .. } => None,

            // ---- calls
            Op::Invoke { helper, arguments, .. } => {
                let mut data = Vec::with_capacity(arguments.len());
                for (index, &argument) in arguments.iter().enumerate() {
                    let datum = self.datum(argument)?;
                    if helper.steals(index) {
                        self.give(argument, datum);
                    }
                    data.push(datum);
                }
                self.host.invoke(*helper, &data)?
            }
            Op::TakeOutput { index } => Some(or_null(self.host.output(*index))),
            Op::Call { callable, self_or_null, arguments, .. } => {
                Some(self.call(*callable, *self_or_null, arguments, None)?)
            }
            Op::CallKw { callable, self_or_null, arguments, names, .. } => {
                Some(self.call(*callable, *self_or_null, arguments, Some(*names))?)
            }
            Op::CallNative { function, arguments, .. } => {
                let callable = self.host.constant(*function);
                let objects = arguments.iter().map(|argument| self.object(*argument)).collect::<Result<Vec<_>, _>>()?;
                Some(Datum::Object(self.host.call(callable, &objects, None)?))
            }
            Op::CallFunction { callable, arguments, .. } => {
                let callable = self.object(*callable)?;
                let objects = arguments.iter().map(|argument| self.given(*argument)).collect::<Result<Vec<_>, _>>()?;
                let result = self.host.call(callable, &objects, None);
                objects.into_iter().for_each(|object| self.host.decref(object));
                Some(Datum::Object(result?))
            }
            Op::CallMoving { callable, self_or_null, arguments, moved, places, names, .. } => {
                let (mut borrowed, mut given) = (arguments.iter(), moved.iter());
                let is_moved = |index: usize| index < 32 && places >> index & 1 != 0;
                let all: Vec<Value> = (0..arguments.len() + moved.len())
                    .map_while(|index| if is_moved(index) { given.next() } else { borrowed.next() }.copied())
                    .collect();
                let moved = moved.iter().map(|value| self.given(*value)).collect::<Result<Vec<_>, _>>()?;
                let has_names = self.nullable(*names)?.is_some();
                let result = self.call(*callable, *self_or_null, &all, has_names.then_some(*names));
                moved.into_iter().rev().for_each(|object| self.host.decref(object));
                Some(result?)
            }

            // ---- references
            Op::Kill { value, .. } => {
                if self.references.needs_holding(self.function.root(*value)) {
                    self.drop_reference(*value)?;
                }
                None
            }
            Op::Decref { value, .. } => {
                self.drop_reference(*value)?;
                None
            }
            Op::Dup { value } => {
                self.add_reference(*value)?;
                Some(self.datum(*value)?)
            }
            Op::Incref { value } => {
                self.add_reference(*value)?;
                None
            }
        };
        Ok(Next::Continue(result))
    }

    fn arithmetic(
        &self,
        left: Value,
        right: Value,
        overflow: Overflow,
        operation: fn(i64, i64) -> Option<i64>,
    ) -> Result<Datum<H::Object>, Stop> {
        match (operation(self.int(left)?, self.int(right)?), overflow) {
            (Some(result), _) => Ok(Datum::Int(result)),
            (None, Overflow::Checked) => Err(Stop::Exit),
            (None, Overflow::Impossible) => Err(Stop::Broken("an impossible overflow".to_string())),
        }
    }

    fn int_or_exit(
        &self,
        left: Value,
        right: Value,
        operation: fn(i64, i64) -> Option<i64>,
    ) -> Result<Option<Datum<H::Object>>, Stop> {
        let result = operation(self.int(left)?, self.int(right)?);
        Ok(Some(Datum::Int(result.ok_or(Stop::Exit)?)))
    }

    fn list_position(&mut self, list: Value, index: Value) -> Result<(H::Object, i64), Stop> {
        let (list, index) = (self.object(list)?, self.int(index)?);
        in_range(index, self.host.list_length(list))?;
        Ok((list, index))
    }

    fn packed_position(&mut self, sequence: Value, index: Value, format: Packed) -> Result<(H::Object, i64), Stop> {
        let (sequence, index) = (self.object(sequence)?, self.int(index)?);
        if self.host.packed(sequence) != Some(format) {
            return Err(Stop::Broken(format!("{sequence:?} does not hold {format:?}")));
        }
        in_range(index, self.host.packed_length(sequence))?;
        Ok((sequence, index))
    }

    fn call(
        &mut self,
        callable: Value,
        self_or_null: Value,
        arguments: &[Value],
        names: Option<Value>,
    ) -> Result<Datum<H::Object>, Stop> {
        let callable = self.object(callable)?;
        let mut objects: Vec<_> = self.nullable(self_or_null)?.into_iter().collect();
        for &argument in arguments {
            objects.push(self.object(argument)?);
        }
        let names = names.map(|names| self.object(names)).transpose()?;
        Ok(Datum::Object(self.host.call(callable, &objects, names)?))
    }

    fn add_reference(&mut self, value: Value) -> Result<(), Stop> {
        if let Some(object) = self.nullable(value)? {
            self.host.incref(object);
        }
        Ok(())
    }

    fn drop_reference(&mut self, value: Value) -> Result<(), Stop> {
        if let Some(object) = self.nullable(value)? {
            self.host.decref(object);
        }
        Ok(())
    }
}

fn or_null<O>(object: Option<O>) -> Datum<O> {
    object.map_or(Datum::Null, Datum::Object)
}

fn exit_unless(condition: bool) -> Result<(), Stop> {
    if condition { Ok(()) } else { Err(Stop::Exit) }
}

fn in_range(index: i64, length: i64) -> Result<(), Stop> {
    if (0..length).contains(&index) {
        Ok(())
    } else {
        Err(Stop::Broken(format!("index {index} is out of range, the length is {length}")))
    }
}

fn has_type<O>(datum: Datum<O>, ty: Type) -> bool {
    match datum {
        Datum::Null => ty.is_nullable(),
        Datum::Object(_) => ty.is_object(),
        Datum::Int(_) => ty == Type::I64,
        Datum::Float(_) => ty == Type::F64,
        Datum::Bool(_) => ty == Type::Bool,
    }
}
