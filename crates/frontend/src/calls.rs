//! Calls: inlined Python functions, constructors, intrinsics of builtins, and the generic call.

use crate::Bailout;
use crate::quiet::Error;
use crate::state::{Activation, Slot};
use crate::translator::{Edge, Translator};
use coluber_bytecode::{Code, FunctionFacts, Instruction, Kind, ObjectId, ObjectValue, Op as Bytecode};
use coluber_ir::{Helper, Op, Resume, Type, Value};
use std::rc::Rc;

/// What happens to the result of an inlined call.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Continuation {
    /// It is pushed.
    Push,
    /// It must be None and is dropped: `__init__`, with the new instance already on the stack.
    DropNone,
    /// It is pushed, and must certainly not be `NotImplemented`: a binary operator.
    Operator,
    /// It is dropped, and must certainly be None: `__setitem__`.
    DropProvenNone,
}

/// Deepest nesting of inlined calls.
const MAX_DEPTH: usize = 6;
/// No more inlining when a unit has grown to so many instructions.
const MAX_TRANSLATED: usize = 1200;
/// Largest callee that is inlined, in instructions.
const MAX_CALLEE: usize = 120;
/// Longest distance between the function of a generator expression and its call, in instructions.
const MAX_EXPRESSION: usize = 24;

impl Translator<'_> {
    fn function_facts(&self, object: ObjectId) -> Option<&FunctionFacts> {
        match &self.snapshot.objects.get(object).value {
            ObjectValue::Function(facts) => Some(facts),
            _ => None,
        }
    }

    /// The code to inline for a function that is run with `count` positional arguments, or `None`.
    pub(crate) fn inlinable(&self, function: ObjectId, count: usize) -> Option<usize> {
        self.inlinable_call(function, count).filter(|index| {
            let flags = &self.snapshot.codes[*index].flags;
            !flags.has_varargs && !flags.has_varkeywords
        })
    }

    /// The same for a `CALL`, whose operands leave room on the stack for what `*args` and `**kwargs` are made of.
    pub(crate) fn inlinable_call(&self, function: ObjectId, count: usize) -> Option<usize> {
        if !self.settings.inline || !self.settings.speculate || self.state.frames.len() > MAX_DEPTH {
            return None;
        }
        let facts = self.function_facts(function)?;
        let index = facts.code?;
        let code = &self.snapshot.codes[index];
        let positional = code.argument_count as usize;
        let fits = (count <= positional || code.flags.has_varargs) && positional <= count + facts.defaults.len();
        let plain = !code.flags.is_generator
            && code.flags.is_optimized
            && code.keyword_only_count == 0
            && code.instructions.len() <= (MAX_CALLEE >> self.forks)
            && self.translated <= MAX_TRANSLATED
            && self.compiled_handlers(index).is_empty();
        let recursive = self.state.frames.iter().any(|frame| frame.code == index);
        let has_cells = code.instructions.iter().any(|instruction| match instruction.op {
            coluber_bytecode::Op::MakeCell { .. } => true,
            // The cells must be known.
            coluber_bytecode::Op::CopyFreeVars { count } => facts.closure.len() != count as usize,
            _ => false,
        });
        (fits && plain && !recursive && !has_cells).then_some(index)
    }

    /// Translates the body of a function in place of a call whose operands have been taken off the stack.
    pub(crate) fn inline_call(
        &mut self,
        function: ObjectId,
        arguments: Vec<Value>,
        continuation: Continuation,
    ) -> Result<(), Bailout> {
        let index = self.inlinable_call(function, arguments.len()).expect("the caller asked");
        self.rely_on_invariants();
        let code = &self.snapshot.codes[index];
        let defaults = self.function_facts(function).expect("a function").defaults.clone();
        let mut locals = vec![Slot::Null; code.slot_count as usize];
        let positional = code.argument_count as usize;
        let mut arguments = arguments;
        let rest = arguments.split_off(positional.min(arguments.len()));
        let missing = positional - arguments.len();
        let given = arguments.len();
        for (slot, argument) in arguments.iter().enumerate() {
            locals[slot] = Slot::Value(*argument);
        }
        for (offset, default) in defaults[defaults.len() - missing..].iter().enumerate() {
            let value = self.constant(*default);
            locals[given + offset] = Slot::Value(value);
        }
        if code.flags.has_varargs || code.flags.has_varkeywords {
            self.collect_arguments(code, &mut locals, &arguments, &rest);
        }
        let Some(graph) = self.build_graph(index, 0) else {
            return Err(self.malformed("control flow of a callee"));
        };
        let (offset, next) = self.offsets();
        let waiting = match continuation {
            Continuation::Push | Continuation::Operator => Resume::PushResult { offset, next },
            Continuation::DropNone | Continuation::DropProvenNone => Resume::DropResult { offset, next },
        };
        self.state.top_mut().waiting = Some(waiting);
        self.state.frames.push(Activation {
            code: index,
            function: Some(function),
            locals,
            stack: Vec::new(),
            waiting: None,
        });
        let (source, path_length) = (self.source, self.path.len());
        let node = self.run_mut().node as u32;
        self.path.extend([node, offset]);
        let edge = Edge { block: self.block.take().expect("a call is in an open block"), state: self.state.clone() };
        self.continuations.push(continuation);
        let returns = self.translate_graph(Rc::new(graph), index, edge)?;
        self.continuations.pop();
        self.path.truncate(path_length);
        self.source = source;
        if returns.is_empty() {
            // The callee never returns here: it always raises or leaves.
            self.block = None;
            return Ok(());
        }
        let code = self.snapshot.codes.get(returns[0].state.top().code).expect("the caller's code");
        let resume = self.resume_at(code, next);
        self.merge(returns, resume)?;
        self.begin(resume, resume);
        Ok(())
    }

    /// Makes what the parameters `*args` and `**kwargs` of a callee hold: the `rest` of the given arguments, and nothing.
    fn collect_arguments(&mut self, code: &Code, locals: &mut [Slot], given: &[Value], rest: &[Value]) {
        let positional = code.argument_count as usize;
        // Should memory run out, the operand stack holds what has to be dropped. Defaults need not be: there might be no room.
        let depth = self.state.top().stack.len();
        given.iter().chain(rest).for_each(|value| self.push(*value));
        self.begin_same();
        if code.flags.has_varkeywords {
            let dict = self.invoke(Helper::NewDict, &[]).expect("a dict is a result");
            locals[positional + usize::from(code.flags.has_varargs)] = Slot::Value(dict);
            self.push(dict);
            self.begin_same();
        }
        self.state.top_mut().stack.truncate(depth);
        if code.flags.has_varargs {
            let tuple = self.invoke(Helper::BuildTuple, rest).expect("a tuple is a result");
            locals[positional] = Slot::Value(tuple);
        }
    }

    /// A return inside an inlined callee: continues behind the call.
    pub(crate) fn return_inlined(&mut self) -> Result<(), Bailout> {
        let mut value = self.pop()?;
        let continuation = *self.continuations.last().expect("an inlined call is being translated");
        if continuation == Continuation::DropNone {
            let is_none = matches!(self.ty(value), Type::Constant(_, Some(Kind::None)) | Type::Exact(Kind::None));
            if !is_none {
                value = self.object(value);
                let state = self.before();
                let condition = self.emit_value(Op::IsNone { value });
                self.emit(Op::GuardTrue { condition, state });
            }
        }
        let is_none = self.kind(value) == Some(Kind::None);
        let is_unfit = match continuation {
            Continuation::Operator => !self.is_certainly_implemented(value),
            Continuation::DropProvenNone => !is_none,
            Continuation::Push | Continuation::DropNone => false,
        };
        if is_unfit {
            self.refuse_operator();
        }
        if matches!(continuation, Continuation::DropNone | Continuation::DropProvenNone) {
            // It is None, whatever else stands for it: from here on None itself waits on the stack, which nobody has to drop.
            self.after_return();
            let none = self.emit_value(Op::NoneConstant {});
            self.push(none);
            self.release(value);
            value = self.pop()?;
        }
        // The result has left the callee's stack but must survive the end of its locals.
        self.push(value);
        let slots = self.end_activation();
        self.release_each(slots);
        let value = self.pop()?;
        self.state.frames.pop();
        self.state.top_mut().waiting = None;
        match continuation {
            Continuation::Push | Continuation::Operator => self.push(value),
            Continuation::DropNone | Continuation::DropProvenNone => {}
        }
        let block = self.block.take().expect("a return is in an open block");
        let state = self.state.clone();
        self.run_mut().returns.push(Edge { block, state });
        Ok(())
    }

    /// Whether a value cannot be `NotImplemented`.
    fn is_certainly_implemented(&self, value: Value) -> bool {
        let root = self.function.root(value);
        self.ty(value).boxed_kind().is_some()
            || self.known_class(value).is_some()
            || matches!(self.function.def_op(root), Some(Op::Invoke { helper: Helper::NewInstance, .. }))
    }

    /// Empties all slots of the executing activation but the topmost stack slot, its result.
    pub(crate) fn end_activation(&mut self) -> Vec<Slot> {
        self.after_return();
        let top = self.state.top_mut();
        let result = top.stack.pop().expect("the result is on the stack");
        let locals = vec![Slot::Null; top.locals.len()];
        let mut slots = std::mem::replace(&mut top.locals, locals);
        slots.append(&mut top.stack);
        top.stack.push(result);
        slots
    }

    /// Releases what slots held, each object once, in the order of `_PyFrame_ClearLocals`: the last one first.
    pub(crate) fn release_each(&mut self, slots: Vec<Slot>) {
        let values: Vec<Value> = slots.iter().rev().flat_map(Slot::held).collect();
        self.release_all(&values);
    }

    /// Stack: callable, self or NULL, arguments.
    pub(crate) fn call(&mut self, count: u32, instruction: &Instruction) -> Result<(), Bailout> {
        let callee = self.callee(count, instruction)?;
        let callable = self.peek(count + 2)?;
        let receiver = self.peek_slot(count + 1)?;
        if let Some(object) = callee {
            let receiver_known = match receiver {
                Slot::Null => true,
                Slot::Value(value) => !self.ty(value).is_nullable(),
                _ => false,
            };
            if receiver_known && (self.call_plain(object, count)? || self.call_known(object, count, instruction)?) {
                return Ok(());
            }
        }
        self.note_callee(callable, instruction);
        let made = self.made_by_call(count, 0)?;
        if self.call_moving(count, None)? {
            return self.note_made(made);
        }
        let mut arguments = Vec::new();
        for depth in (1..=count).rev() {
            let argument = self.peek(depth)?;
            arguments.push(self.object(argument));
        }
        let self_or_null = self.peek_slot(count + 1)?;
        let self_or_null = self.nullable(self_or_null)?;
        let callable = self.object(callable);
        let state = self.before();
        let result = self.emit_value(Op::Call { callable, self_or_null, arguments, state });
        if let Type::Constant(object, _) = self.ty(callable)
            && let Some(kind) = self.constructed_kind(object)
            && matches!(receiver, Slot::Null)
            && builtin_constructs_exactly(kind)
        {
            self.function.values[result].ty = Type::Exact(kind);
        }
        self.finish_call(count, result)?;
        self.note_made(made)
    }

    /// Takes a call's operands off the stack, pushes its result, releases the operands.
    pub(crate) fn finish_call(&mut self, count: u32, result: Value) -> Result<(), Bailout> {
        self.finish_call_without(count, result, &[])
    }

    /// The same; some operands were given away.
    pub(crate) fn finish_call_without(&mut self, count: u32, result: Value, moved: &[Value]) -> Result<(), Bailout> {
        let mut slots = Vec::new();
        for _ in 0..count + 2 {
            slots.push(self.pop_slot()?);
        }
        self.push(result);
        slots.reverse();
        slots.retain(|slot| !matches!(slot, Slot::Value(value) if moved.contains(value)));
        self.release_each(slots);
        Ok(())
    }

    /// Compiles a call of a known object; false if the generic call has to do it.
    fn call_known(&mut self, object: ObjectId, count: u32, instruction: &Instruction) -> Result<bool, Bailout> {
        let has_self = matches!(self.peek_slot(count + 1)?, Slot::Value(_));
        let total = count as usize + usize::from(has_self);
        match self.snapshot.objects.get(object).value.clone() {
            ObjectValue::Function(_) => {
                // While its body runs in line a function has to be held by something else than the operand stack.
                let callable = self.peek(count + 2)?;
                if self.inlinable_call(object, total).is_none() || self.is_only_operand(callable) {
                    return self.call_directly(object, count, &[]);
                }
                self.rely_on_invariants();
                let arguments = self.take_call_operands(count)?;
                self.inline_call(object, arguments, Continuation::Push)?;
                Ok(true)
            }
            ObjectValue::Class(facts) if !has_self => {
                let Some(init) = facts.init else { return self.construct_builtin(facts.kind, count, instruction) };
                if facts.has_finalizer || self.is_only_operand(self.peek(count + 2)?) {
                    return Ok(false);
                }
                if self.inlinable(init, total + 1).is_none() {
                    return self.construct_directly(object, init, count);
                }
                self.rely_on_invariants();
                let class = self.constant(object);
                let instance = self.invoke(Helper::NewInstance, &[class]).expect("an instance is a result");
                self.know_class(instance, object);
                // From here on the call cannot be repeated: the instance waits on the caller's stack.
                let mut arguments = vec![instance];
                arguments.extend(self.take_call_operands(count)?);
                self.push(instance);
                self.begin_same();
                self.inline_call(init, arguments, Continuation::DropNone)?;
                Ok(true)
            }
            ObjectValue::Builtin(facts) => self.call_of_builtin(object, &facts, count, instruction),
            _ => Ok(false),
        }
    }

    /// Pops callable, self or NULL and arguments; returns self (if there is one) and the arguments.
    pub(crate) fn take_call_operands(&mut self, count: u32) -> Result<Vec<Value>, Bailout> {
        let mut operands = Vec::new();
        for _ in 0..count {
            operands.push(self.pop()?);
        }
        match self.pop_slot()? {
            Slot::Null => {}
            Slot::Value(value) => operands.push(value),
            _ => return Err(self.malformed("iterator as self")),
        }
        self.pop_slot()?;
        operands.reverse();
        Ok(operands)
    }

    fn construct_builtin(
        &mut self,
        kind: Option<Kind>,
        count: u32,
        instruction: &Instruction,
    ) -> Result<bool, Bailout> {
        if self.make_for_loop(kind, count, instruction)? {
            return Ok(true);
        }
        if count != 1 {
            return Ok(false);
        }
        let operand = self.peek(1)?;
        if kind == Some(Kind::Class) {
            let Some(class) = self.last_class(operand).filter(|_| self.is_class_used_at_once(operand, instruction))
            else {
                return Ok(false);
            };
            self.guard_class(operand, class);
            let result = self.constant(class);
            self.finish_call(count, result)?;
            return Ok(true);
        }
        let result = match (kind, self.ty(operand)) {
            (Some(Kind::Float), Type::I64) => self.emit_value(Op::IntToFloat { value: operand }),
            (Some(Kind::Float), Type::F64) => operand,
            (Some(Kind::Float), ty) if ty.kind() == Some(Kind::Float) => operand,
            (Some(Kind::Int), Type::I64) => operand,
            (Some(Kind::Int), Type::F64) => {
                let state = self.before();
                self.emit_value(Op::FloatToInt { value: operand, state })
            }
            (Some(Kind::Int), ty) if ty.kind() == Some(Kind::Float) => {
                let value = self.unbox(operand, Kind::Float);
                let state = self.before();
                self.emit_value(Op::FloatToInt { value, state })
            }
            (Some(Kind::Str), _) => {
                let operand = self.object(operand);
                self.rely_on_invariants();
                let to_str = self.int(1);
                let text = self.invoke(Helper::ConvertValue, &[operand, to_str]).expect("a str is a result");
                self.finish_call(count, text)?;
                return Ok(true);
            }
            (Some(kind @ (Kind::List | Kind::Set)), _) if self.is_behind_expression() => {
                let operand = self.object(operand);
                self.rely_on_invariants();
                let sort = self.int(i64::from(kind == Kind::Set));
                let collection = self.invoke(Helper::Collect, &[operand, sort]).expect("a collection is a result");
                self.function.values[collection].ty = Type::Exact(kind);
                self.finish_call(count, collection)?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.rely_on_invariants();
        self.finish_call(count, result)?;
        Ok(true)
    }

    /// Whether the last operand is most likely a generator expression, made in front of this call.
    fn is_behind_expression(&self) -> bool {
        let code = self.code();
        let end = code.instructions.partition_point(|other| other.offset < self.source.1);
        let Some((call, before)) = code.instructions[..end].split_last() else { return false };
        let is_on_iterator = code.iterator_slots > 1 || before.last().is_some_and(|last| last.op == Bytecode::GetIter);
        call.op == Bytecode::Call { count: 0 }
            && is_on_iterator
            && before.iter().rev().take(MAX_EXPRESSION).any(|other| other.op == Bytecode::MakeFunction)
    }

    /// Builtin functions and methods that have a form of their own.
    pub(crate) fn call_builtin(&mut self, name: &str, count: u32, has_self: bool) -> Result<bool, Bailout> {
        match (name, count, has_self) {
            ("object.__init__", 0, true) => {
                self.rely_on_invariants();
                let none = self.emit_value(Op::NoneConstant {});
                self.finish_call(count, none)?;
                Ok(true)
            }
            ("list.append", 1, true) => {
                let Slot::Value(list) = self.peek_slot(2)? else { return Ok(false) };
                if self.kind(list) != Some(Kind::List) {
                    return Ok(false);
                }
                self.rely_on_invariants();
                let value = self.pop()?;
                let list = self.pop()?;
                self.pop_slot()?;
                // The list must stay alive for the call; it is still in `before`.
                self.push(list);
                self.invoke(Helper::ListAppend, &[list, value]);
                let list = self.pop()?;
                let none = self.emit_value(Op::NoneConstant {});
                self.push(none);
                self.release(list);
                Ok(true)
            }
            ("builtins.next", 1, false) => {
                let Some(handler) = self.quiet_handler(Error::Stop) else { return Ok(false) };
                self.rely_on_invariants();
                let iterator = self.peek(1)?;
                let item = self.invoke(Helper::Next, &[iterator]).expect("an item is a result");
                let is_over = self.emit_value(Op::IsExhausted { value: item });
                let goes_on = self.emit_value(Op::BoolNot { value: is_over });
                self.split_off_handler(goes_on, &handler)?;
                self.finish_call(count, item)?;
                Ok(true)
            }
            ("builtins.len", 1, false) => {
                let operand = self.peek(1)?;
                let op = match self.kind(operand) {
                    Some(Kind::List) => Op::ListLength { list: operand },
                    Some(Kind::Tuple) => Op::TupleLength { tuple: operand },
                    Some(Kind::Str | Kind::Dict | Kind::Set | Kind::Bytes | Kind::ByteArray) => {
                        let state = self.before();
                        Op::Invoke { helper: Helper::BuiltinLength, arguments: vec![operand], state }
                    }
                    _ => return Ok(false),
                };
                self.rely_on_invariants();
                let result = self.emit_value(op);
                self.finish_call(count, result)?;
                Ok(true)
            }
            ("builtins.sum", 1, false) if self.is_behind_expression() => {
                self.rely_on_invariants();
                let (sum, operand) = (self.peek(3)?, self.peek(1)?);
                let total = self.invoke(Helper::Sum, &[sum, operand]).expect("a sum is a result");
                self.finish_call(count, total)?;
                Ok(true)
            }
            // These make a list or tuple of what they get before they do anything with it.
            ("str.join", 1, true) | ("builtins.sorted", 1, false)
                if self.is_behind_expression() && self.ty(self.peek(1)?) == Type::Object =>
            {
                self.rely_on_invariants();
                let iterable = self.pop()?;
                let list = self.invoke(Helper::CollectAway, &[iterable]).expect("a list is a result");
                self.function.values[list].ty = Type::Exact(Kind::List);
                self.push(list);
                // Going back to the call now is to call it with the list.
                self.begin_same();
                Ok(false)
            }
            ("builtins.abs", 1, false) => {
                let operand = self.peek(1)?;
                if self.kind(operand) != Some(Kind::Float) {
                    return Ok(false);
                }
                self.rely_on_invariants();
                let value = self.unbox(operand, Kind::Float);
                let result = self.emit_value(Op::FloatAbsolute { value });
                self.finish_call(count, result)?;
                Ok(true)
            }
            ("math.sqrt", 1, false) => {
                let operand = self.peek(1)?;
                let value = match self.kind(operand) {
                    Some(Kind::Float) => self.unbox(operand, Kind::Float),
                    Some(Kind::Int) => {
                        let value = self.unbox(operand, Kind::Int);
                        self.emit_value(Op::IntToFloat { value })
                    }
                    _ => return Ok(false),
                };
                self.rely_on_invariants();
                let state = self.before();
                let result = self.emit_value(Op::FloatSqrt { value, state });
                self.finish_call(count, result)?;
                Ok(true)
            }
            _ => self.call_intrinsic(name, count, has_self),
        }
    }
}

/// Whether calling this builtin class always gives an instance of exactly that type.
fn builtin_constructs_exactly(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Range
            | Kind::List
            | Kind::Tuple
            | Kind::Dict
            | Kind::Set
            | Kind::Enumerate
            | Kind::Zip
            | Kind::Float
            | Kind::Int
            | Kind::Bool
            | Kind::ByteArray
            | Kind::Slice
    )
}
