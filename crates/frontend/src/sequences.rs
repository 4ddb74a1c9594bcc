//! Subscripts, unpacking, building of containers.

use crate::Bailout;
use crate::quiet::{Error, QuietHandler};
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{Comparison, Feedback, Instruction, Kind, Seen};
use coluber_ir::{Helper, Op, Value};

impl Translator<'_> {
    /// The builtin container kind an instruction works on: known, or as the feedback says.
    fn container_kind(&self, container: Value, instruction: &Instruction) -> Option<Kind> {
        if !self.settings.speculate || self.gave_up_but_for_index(instruction) {
            return None;
        }
        self.kind(container).or(match instruction.feedback {
            Feedback::Seen(Seen::List) => Some(Kind::List),
            Feedback::Seen(Seen::Tuple | Seen::TwoTuple) => Some(Kind::Tuple),
            Feedback::Seen(Seen::Str) => Some(Kind::Str),
            Feedback::Seen(Seen::Dict) => Some(Kind::Dict),
            Feedback::Seen(Seen::ListSlice) => None,
            _ => None,
        })
    }

    /// Whether speculation failed; indices out of range are none where their handler is executed without an exception.
    fn gave_up_but_for_index(&self, instruction: &Instruction) -> bool {
        let is_quiet = || {
            matches!(instruction.op, coluber_bytecode::Op::BinarySubscript)
                && self.quiet_handler(Error::Index).is_some()
        };
        self.gave_up(instruction) && !(self.gave_up_only(instruction, &["GuardIndex"]) && is_quiet())
    }

    pub(crate) fn subscript(&mut self, instruction: &Instruction) -> Result<(), Bailout> {
        if self.packed_subscript(instruction)? {
            return Ok(());
        }
        if self.subscript_by_constant_slice(instruction)? {
            return Ok(());
        }
        let (container, key) = (self.peek(2)?, self.peek(1)?);
        let kind = self.container_kind(container, instruction);
        // The key is an int unless the feedback says nothing and neither does its type.
        let has_int_key = self.kind(key) == Some(Kind::Int)
            || (self.kind(key).is_none()
                && matches!(
                    instruction.feedback,
                    Feedback::Seen(Seen::List | Seen::Tuple | Seen::TwoTuple | Seen::Str)
                ));
        let result = match kind {
            Some(Kind::List) if has_int_key => {
                let quiet = self.quiet_handler(Error::Index);
                let list = self.guard_kind(container, Kind::List);
                let index = self.unbox(key, Kind::Int);
                let length = self.emit_value(Op::ListLength { list });
                if let Some(handler) = quiet {
                    self.rely_on_invariants();
                    let is_inside = self.emit_value(Op::IsInRange { index, length });
                    self.split_off_handler(is_inside, &handler)?;
                }
                let state = self.before();
                let index = self.emit_value(Op::GuardIndex { index, length, state });
                self.emit_value(Op::ListGet { list, index })
            }
            Some(Kind::Tuple) if has_int_key => {
                let tuple = self.guard_kind(container, Kind::Tuple);
                let index = self.unbox(key, Kind::Int);
                let length = self.emit_value(Op::TupleLength { tuple });
                let state = self.before();
                let index = self.emit_value(Op::GuardIndex { index, length, state });
                self.emit_value(Op::TupleGet { tuple, index })
            }
            Some(Kind::Str) if has_int_key => {
                let text = self.guard_kind(container, Kind::Str);
                let index = self.unbox(key, Kind::Int);
                let length = self.invoke(Helper::BuiltinLength, &[text]).expect("a length is a result");
                let state = self.before();
                let index = self.emit_value(Op::GuardIndex { index, length, state });
                self.emit_value(Op::Invoke { helper: Helper::StrGet, arguments: vec![text, index], state })
            }
            Some(Kind::Dict) => match self.quiet_handler(Error::Key) {
                Some(handler) => self.find_or_handle(container, key, &handler)?,
                None => {
                    let dict = self.guard_kind(container, Kind::Dict);
                    self.invoke(Helper::DictGet, &[dict, key]).expect("a subscript has a result")
                }
            },
            _ if self.subscript_by_method(instruction)? => return Ok(()),
            _ => {
                self.profile_operands(container, key, instruction);
                let (container, key) = (self.peek(2)?, self.peek(1)?);
                self.invoke(Helper::Subscript, &[container, key]).expect("a subscript has a result")
            }
        };
        let (key, container) = (self.pop()?, self.pop()?);
        self.push(result);
        self.release(container);
        self.release(key);
        Ok(())
    }

    /// `dict[key]` whose KeyError is handled without an exception: what was found.
    fn find_or_handle(&mut self, container: Value, key: Value, handler: &QuietHandler) -> Result<Value, Bailout> {
        let dict = self.guard_kind(container, Kind::Dict);
        let key = self.object(key);
        self.rely_on_invariants();
        let found = self.invoke(Helper::DictFind, &[dict, key]).expect("a number is a result");
        let value = self.emit_value(Op::TakeOutput { index: 0 });
        let is_null = self.emit_value(Op::IsNull { value });
        let is_there = self.emit_value(Op::BoolNot { value: is_null });
        let zero = self.int(0);
        let (present, absent) = self.branch_on(is_there);
        let state = self.state.clone();
        self.block = Some(absent);
        let is_certain = self.emit_value(Op::IntCompare { comparison: Comparison::Equal, left: found, right: zero });
        let before = self.before();
        self.emit(Op::GuardTrue { condition: is_certain, state: before });
        self.handle_quietly(handler)?;
        self.block = Some(present);
        self.state = state;
        Ok(self.emit_value(Op::AssumeBound { value }))
    }

    /// Goes on if a condition holds; else a handler is executed without the exception.
    pub(crate) fn split_off_handler(&mut self, condition: Value, handler: &QuietHandler) -> Result<(), Bailout> {
        let (next, raised) = self.branch_on(condition);
        let state = self.state.clone();
        self.block = Some(raised);
        self.handle_quietly(handler)?;
        self.block = Some(next);
        self.state = state;
        Ok(())
    }

    /// Stack: value, container, key.
    pub(crate) fn store_subscript(&mut self, instruction: &Instruction) -> Result<(), Bailout> {
        if self.store_packed_subscript(instruction)? {
            return Ok(());
        }
        let (value, container, key) = (self.peek(3)?, self.peek(2)?, self.peek(1)?);
        let kind = self.container_kind(container, instruction);
        let has_int_key = self.kind(key) == Some(Kind::Int)
            || (self.kind(key).is_none() && instruction.feedback == Feedback::Seen(Seen::List));
        match kind {
            Some(Kind::List) if has_int_key => {
                let list = self.guard_kind(container, Kind::List);
                let index = self.unbox(key, Kind::Int);
                let length = self.emit_value(Op::ListLength { list });
                let state = self.before();
                let index = self.emit_value(Op::GuardIndex { index, length, state });
                let (key, container, value_slot) = (self.pop()?, self.pop()?, self.pop()?);
                debug_assert_eq!(self.function.root(value_slot), self.function.root(value));
                let stored = self.steal(value_slot);
                let old = self.emit_value(Op::ListSwap { list, index, value: stored });
                self.release(old);
                self.release(container);
                self.release(key);
                return Ok(());
            }
            Some(Kind::Dict) => {
                let dict = self.guard_kind(container, Kind::Dict);
                self.invoke(Helper::DictSet, &[dict, key, value]);
            }
            _ if self.store_subscript_by_method(instruction)? => return Ok(()),
            _ => {
                self.profile_operands(container, key, instruction);
                let (value, container, key) = (self.peek(3)?, self.peek(2)?, self.peek(1)?);
                self.invoke(Helper::StoreSubscript, &[container, key, value]);
            }
        }
        let (key, container, value) = (self.pop()?, self.pop()?, self.pop()?);
        self.release(value);
        self.release(container);
        self.release(key);
        Ok(())
    }

    pub(crate) fn unpack_sequence(&mut self, count: u32, instruction: &Instruction) -> Result<(), Bailout> {
        let sequence = self.peek(1)?;
        let kind = self.container_kind(sequence, instruction);
        let made = self.items_of_step(sequence, count, instruction);
        let items: Vec<Value> = match kind {
            _ if made.is_some() => made.unwrap_or_default(),
            Some(kind @ (Kind::Tuple | Kind::List)) => {
                let sequence = self.guard_kind(sequence, kind);
                let is_list = kind == Kind::List;
                let left = self.emit_value(if is_list {
                    Op::ListLength { list: sequence }
                } else {
                    Op::TupleLength { tuple: sequence }
                });
                let right = self.int(i64::from(count));
                let condition = self.emit_value(Op::IntCompare { comparison: Comparison::Equal, left, right });
                let state = self.before();
                self.emit(Op::GuardTrue { condition, state });
                (0..count)
                    .map(|index| {
                        let index = self.int(i64::from(index));
                        self.emit_value(if is_list {
                            Op::ListGet { list: sequence, index }
                        } else {
                            Op::TupleGet { tuple: sequence, index }
                        })
                    })
                    .collect()
            }
            _ => {
                let number = self.int(i64::from(count));
                self.invoke(Helper::UnpackSequence, &[sequence, number]);
                self.take_outputs(count)
            }
        };
        let sequence = self.pop()?;
        for item in items.into_iter().rev() {
            self.push(item);
        }
        self.release(sequence);
        Ok(())
    }

    /// Outputs of the helper just called, none of them NULL.
    fn take_outputs(&mut self, count: u32) -> Vec<Value> {
        (0..count)
            .map(|index| {
                let value = self.emit_value(Op::TakeOutput { index });
                self.emit_value(Op::AssumeBound { value })
            })
            .collect()
    }

    pub(crate) fn unpack_ex(&mut self, before: u32, after: u32) -> Result<(), Bailout> {
        let sequence = self.peek(1)?;
        let (first, second) = (self.int(i64::from(before)), self.int(i64::from(after)));
        self.invoke(Helper::UnpackEx, &[sequence, first, second]);
        let items = self.take_outputs(before + 1 + after);
        let sequence = self.pop()?;
        for item in items.into_iter().rev() {
            self.push(item);
        }
        self.release(sequence);
        Ok(())
    }

    /// Builds a container of the `count` topmost values by a helper that steals or borrows them.
    pub(crate) fn build(&mut self, helper: Helper, count: u32) -> Result<(), Bailout> {
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        if helper.steals(0) {
            // One value may stand in several of the places: each needs a reference of its own.
            let mut operands: Vec<Value> = Vec::new();
            let mut stolen = Vec::new();
            for item in items {
                let object = self.object(item);
                let taken = operands.iter().any(|other| self.function.root(*other) == self.function.root(object));
                if taken || !self.needs_kill(object) || self.is_alive(object) {
                    operands.push(self.emit_value(Op::Dup { value: object }));
                } else {
                    stolen.push(object);
                    operands.push(object);
                }
            }
            let state = self.before_without(&stolen);
            let result = self.emit_value(Op::Invoke { helper, arguments: operands, state });
            self.push(result);
            return Ok(());
        }
        let operands: Vec<Value> = items.into_iter().map(|item| self.object(item)).collect();
        let state = self.before();
        let result = self.emit_value(Op::Invoke { helper, arguments: operands.clone(), state });
        self.push(result);
        self.release_all(&operands);
        Ok(())
    }

    /// Releases values taken out of their slots, each once.
    pub(crate) fn release_all(&mut self, values: &[Value]) {
        let mut done: Vec<Value> = Vec::new();
        for &value in values {
            let root = self.function.root(value);
            if !done.contains(&root) {
                done.push(root);
                self.release(value);
            }
        }
    }

    /// Adds the topmost value to the container `depth` below it.
    pub(crate) fn add_to(&mut self, helper: Helper, depth: u32) -> Result<(), Bailout> {
        let value = self.pop()?;
        let value = self.object(value);
        let container = self.peek(depth)?;
        self.invoke(helper, &[container, value]);
        if !helper.steals(1) {
            self.release(value);
        }
        Ok(())
    }

    /// Pops `count` plain values and calls a helper on them (bottom first), pushing its result if it has one.
    pub(crate) fn plain(&mut self, helper: Helper, count: u32, extra: &[Value]) -> Result<(), Bailout> {
        let mut operands = Vec::new();
        for depth in (1..=count).rev() {
            operands.push(self.peek(depth)?);
        }
        operands.extend_from_slice(extra);
        let result = self.invoke(helper, &operands);
        let mut popped = Vec::new();
        for _ in 0..count {
            popped.push(self.pop()?);
        }
        if let Some(result) = result {
            self.push(result);
        }
        self.release_all(&popped);
        Ok(())
    }

    /// `Slot::Null` or a value, as an operand that may be NULL.
    pub(crate) fn nullable(&mut self, slot: Slot) -> Result<Value, Bailout> {
        match slot {
            Slot::Null => Ok(self.emit_value(Op::NullConstant {})),
            Slot::Value(value) => Ok(self.object(value)),
            _ => Err(self.malformed("iterator as an operand")),
        }
    }
}
