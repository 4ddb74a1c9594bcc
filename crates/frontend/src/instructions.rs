//! What each bytecode instruction becomes.

use crate::state::Slot;
use crate::translator::Translator;
use crate::{Bailout, BailoutReason};
use coluber_bytecode::{Code, Entry, Instruction, Op as Bytecode};
use coluber_ir::ops::ExitReason;
use coluber_ir::{BlockCall, Helper, Op, Type, Value};

impl Translator<'_> {
    pub(crate) fn translate_instruction(&mut self, code_index: usize, index: usize) -> Result<(), Bailout> {
        let code: &Code = &self.snapshot.codes[code_index];
        let instruction = &code.instructions[index];
        self.source = (code_index as u32, instruction.offset);
        let before = self.resume_at(code, instruction.start);
        let after = self.resume_at(code, instruction.next);
        self.begin(before, after);
        // The interpreter executes what a superinstruction was split into as one.
        self.is_inside_instruction = index > 0 && code.instructions[index - 1].start == instruction.start;
        if !self.is_inside_instruction {
            self.check_observed();
        }
        if self.is_pruned(code_index, instruction) {
            let state = self.before();
            self.emit(Op::Exit { reason: ExitReason::NeverExecuted, state });
            return Ok(());
        }
        self.begin_trial(code, index, instruction);
        self.translate_op(code, instruction)
    }

    fn translate_op(&mut self, code: &Code, instruction: &Instruction) -> Result<(), Bailout> {
        let bail = |reason| Err(Bailout::new(reason, instruction.offset));
        match instruction.op {
            Bytecode::Nop => {}
            Bytecode::Resume { .. } => {
                if self.state.frames.len() == 1 {
                    let state = self.before();
                    self.emit(Op::CheckSafePoint { state });
                }
            }
            Bytecode::LoadFast { local } => {
                let slot = self.state.top().locals[local as usize];
                match slot {
                    Slot::Value(value) if self.ty(value).is_nullable() => {
                        // The compiler of the bytecode proved that the local is bound.
                        let bound = self.emit_value(Op::AssumeBound { value });
                        self.replace(value, bound);
                        self.push(bound);
                    }
                    Slot::Value(_) => self.push_slot(slot),
                    _ => return Err(self.malformed("unbound local where none can be")),
                }
            }
            Bytecode::LoadFastCheck { local } => self.load_fast_check(local)?,
            Bytecode::LoadFastAndClear { local } => {
                let slot = std::mem::replace(&mut self.state.top_mut().locals[local as usize], Slot::Null);
                self.push_slot(slot);
            }
            Bytecode::StoreFast { local } => {
                self.unbox_as_before(local, instruction)?;
                let value = self.pop_slot()?;
                let old = std::mem::replace(&mut self.state.top_mut().locals[local as usize], value);
                self.release_slot(old);
            }
            Bytecode::DeleteFast { local } => {
                self.load_fast_check(local)?;
                if self.block.is_some() {
                    self.pop_slot()?;
                    let old = std::mem::replace(&mut self.state.top_mut().locals[local as usize], Slot::Null);
                    self.release_slot(old);
                }
            }
            Bytecode::LoadConst { value } => {
                let value = self.constant(value);
                self.push(value);
            }
            Bytecode::PopTop => {
                let slot = self.pop_slot()?;
                self.release_slot(slot);
            }
            Bytecode::PushNull => self.push_slot(Slot::Null),
            Bytecode::Copy { depth } => {
                let slot = self.peek_slot(depth)?;
                self.push_slot(slot);
            }
            Bytecode::Swap { depth } => {
                let stack = &mut self.state.top_mut().stack;
                let top = stack.len() - 1;
                let Some(other) = stack.len().checked_sub(depth as usize) else {
                    return Err(self.malformed("depth"));
                };
                stack.swap(top, other);
            }
            Bytecode::LoadName { name } => self.load_name(name, instruction)?,
            Bytecode::StoreName { name } => self.store_by_name(Helper::StoreName, name, instruction)?,
            Bytecode::DeleteName { name } => self.by_name(Helper::DeleteName, name)?,
            Bytecode::LoadGlobal { name, push_null } => {
                self.load_global(name, instruction)?;
                if push_null {
                    self.push_slot(Slot::Null);
                }
            }
            Bytecode::StoreGlobal { name } => self.store_by_name(Helper::StoreGlobal, name, instruction)?,
            Bytecode::DeleteGlobal { name } => self.by_name(Helper::DeleteGlobal, name)?,
            Bytecode::MakeCell { local } => {
                let slot = self.state.top().locals[local as usize];
                let content = self.nullable(slot)?;
                let cell = self.invoke(Helper::MakeCell, &[content]).expect("a cell is a result");
                self.state.top_mut().locals[local as usize] = Slot::Value(cell);
                self.release(content);
            }
            // Its cells are where they belong.
            Bytecode::CopyFreeVars { .. } if self.is_tried() => {}
            Bytecode::ReturnGenerator if self.is_tried() => {
                let none = self.emit_value(Op::NoneConstant {});
                self.push(none);
            }
            Bytecode::CopyFreeVars { count } => {
                let first = code.slot_count - count;
                let known = self.state.top().function.map(|function| self.closure_of(function));
                for index in 0..count {
                    if let Some(cell) = known.as_ref().and_then(|cells| cells.get(index as usize)) {
                        let cell = self.constant(*cell);
                        self.state.top_mut().locals[(first + index) as usize] = Slot::Value(cell);
                        continue;
                    }
                    let number = self.int(i64::from(index));
                    let cell = self.invoke(Helper::LoadClosureCell, &[number]).expect("a cell is a result");
                    self.function.values[cell].ty = Type::Exact(coluber_ir::Kind::Cell);
                    self.state.top_mut().locals[(first + index) as usize] = Slot::Value(cell);
                    self.begin_same();
                }
            }
            Bytecode::LoadDeref { local } => {
                let cell = self.local(local)?;
                // Rarely empty: the interpreter executes the instruction again and raises.
                let state = self.before();
                let value = self.emit_value(Op::LoadCell { cell, state });
                self.push(value);
            }
            Bytecode::StoreDeref { local } => {
                let cell = self.local(local)?;
                let value = self.pop()?;
                let value = self.steal(value);
                let old = self.emit_value(Op::StoreCell { cell, value });
                self.release(old);
            }
            Bytecode::DeleteDeref { local } => {
                let cell = self.local(local)?;
                let state = self.before();
                self.emit(Op::LoadCell { cell, state });
                let value = self.emit_value(Op::NullConstant {});
                let old = self.emit_value(Op::StoreCell { cell, value });
                self.release(old);
            }
            Bytecode::LoadFromDictOrDeref { local } => {
                let mapping = self.peek(1)?;
                let cell = self.local(local)?;
                let number = self.int(i64::from(local));
                let result =
                    self.invoke(Helper::LoadFromDictOrDeref, &[mapping, cell, number]).expect("a value is a result");
                let mapping = self.pop()?;
                self.push(result);
                self.release(mapping);
            }
            Bytecode::LoadFromDictOrGlobals { name } => {
                let name = self.constant(name);
                self.plain(Helper::LoadFromDictOrGlobals, 1, &[name])?;
            }
            Bytecode::LoadLocals => self.plain(Helper::LoadLocals, 0, &[])?,
            Bytecode::LoadBuildClass => self.plain(Helper::LoadBuildClass, 0, &[])?,
            Bytecode::LoadAttr { name, method } => self.load_attr(name, method, instruction)?,
            Bytecode::StoreAttr { name } => self.store_attr(name, instruction)?,
            Bytecode::DeleteAttr { name } => {
                let name = self.constant(name);
                self.plain(Helper::DeleteAttr, 1, &[name])?;
            }
            Bytecode::LoadSuperAttr { name, method, two_arguments } => {
                if method && self.load_super_method(name, instruction)? {
                    return Ok(());
                }
                let name = self.constant(name);
                let flag = self.int(i64::from(two_arguments));
                let helper = if method { Helper::LoadSuperMethod } else { Helper::LoadSuperAttr };
                let operands = [self.peek(3)?, self.peek(2)?, self.peek(1)?, name, flag];
                let result = self.invoke(helper, &operands).expect("an attribute is a result");
                let receiver = method.then(|| self.emit_value(Op::TakeOutput { index: 0 }));
                let popped = [self.pop()?, self.pop()?, self.pop()?];
                self.push(result);
                if let Some(receiver) = receiver {
                    self.push(receiver);
                }
                self.release_all(&popped);
            }
            Bytecode::LoadSpecial { method } => {
                let owner = self.peek(1)?;
                let number = self.int(method as i64);
                let callable = self.invoke(Helper::LoadSpecial, &[owner, number]).expect("a method is a result");
                let receiver = self.emit_value(Op::TakeOutput { index: 0 });
                let owner = self.pop()?;
                self.push(callable);
                self.push(receiver);
                self.release(owner);
            }
            Bytecode::BinaryOp { kind, inplace } => self.binary(kind, inplace, instruction)?,
            Bytecode::BinarySubscript => self.subscript(instruction)?,
            Bytecode::BinarySlice => self.slice(instruction)?,
            Bytecode::StoreSlice => self.store_slice(instruction)?,
            Bytecode::StoreSubscript => self.store_subscript(instruction)?,
            Bytecode::DeleteSubscript => self.plain(Helper::DeleteSubscript, 2, &[])?,
            Bytecode::UnaryNegative => self.unary(Helper::Negative, instruction)?,
            Bytecode::UnaryInvert => self.unary(Helper::Invert, instruction)?,
            Bytecode::UnaryNot => {
                let operand = self.pop()?;
                let raw = self.exact_bool(operand);
                let result = self.emit_value(Op::BoolNot { value: raw });
                self.push(result);
            }
            Bytecode::ToBool => {
                let operand = self.peek(1)?;
                let truth = self.truth(operand, instruction);
                let operand = self.pop()?;
                self.push(truth);
                self.release(operand);
            }
            Bytecode::Compare { comparison, to_bool } => self.compare(comparison, to_bool, instruction)?,
            Bytecode::Is { invert } => {
                let (left, right) = (self.peek(2)?, self.peek(1)?);
                let result = self.identical(left, right);
                let result = if invert { self.emit_value(Op::BoolNot { value: result }) } else { result };
                let popped = [self.pop()?, self.pop()?];
                self.push(result);
                self.release_all(&popped);
            }
            Bytecode::Contains { invert } => {
                // Stack: item, container.
                let (item, container) = (self.peek(2)?, self.peek(1)?);
                let result = self.invoke(Helper::Contains, &[container, item]).expect("a truth value is a result");
                let result = if invert { self.emit_value(Op::BoolNot { value: result }) } else { result };
                let popped = [self.pop()?, self.pop()?];
                self.push(result);
                self.release_all(&popped);
            }
            Bytecode::BuildTuple { count } => self.build(Helper::BuildTuple, count)?,
            Bytecode::BuildList { count } => self.build(Helper::BuildList, count)?,
            Bytecode::BuildSet { count: 0 } => {
                let set = self.invoke(Helper::NewSet, &[]).expect("a set is a result");
                self.push(set);
            }
            Bytecode::BuildSet { count } => self.build(Helper::BuildSet, count)?,
            Bytecode::BuildMap { count } => self.build(Helper::BuildMap, 2 * count)?,
            Bytecode::BuildString { count } => self.build(Helper::BuildString, count)?,
            Bytecode::BuildSlice { count } => self.build(Helper::BuildSlice, count)?,
            Bytecode::ListAppend { depth } => self.add_to(Helper::ListAppend, depth)?,
            Bytecode::ListExtend { depth } => self.add_to(Helper::ListExtend, depth)?,
            Bytecode::SetAdd { depth } => self.add_to(Helper::SetAdd, depth)?,
            Bytecode::SetUpdate { depth } => self.add_to(Helper::SetUpdate, depth)?,
            Bytecode::DictUpdate { depth } => self.add_to(Helper::DictUpdate, depth)?,
            Bytecode::DictMerge { depth } => {
                let mapping = self.pop()?;
                let dict = self.peek(depth)?;
                let callable = self.peek(depth + 3)?;
                self.invoke(Helper::DictMerge, &[dict, mapping, callable]);
                self.release(mapping);
            }
            Bytecode::MapAdd { depth } => {
                let (value, key) = (self.pop()?, self.pop()?);
                let (value, key) = (self.object(value), self.object(key));
                let dict = self.peek(depth)?;
                self.invoke(Helper::DictSet, &[dict, key, value]);
                self.release_all(&[key, value]);
            }
            Bytecode::UnpackSequence { count } => self.unpack_sequence(count, instruction)?,
            Bytecode::UnpackEx { before, after } => self.unpack_ex(before, after)?,
            Bytecode::ConvertValue { conversion } => {
                let number = self.int(i64::from(conversion));
                self.plain(Helper::ConvertValue, 1, &[number])?;
            }
            Bytecode::FormatSimple => self.plain(Helper::FormatSimple, 1, &[])?,
            Bytecode::FormatWithSpec => self.plain(Helper::FormatWithSpec, 2, &[])?,
            Bytecode::Call { count } if self.state.trial.is_some() && self.call_tried(count, instruction)? => {}
            Bytecode::Call { count } => self.call(count, instruction)?,
            Bytecode::CallKw { count } => {
                let names = self.peek(1)?;
                if self.call_directly_kw(count, names, instruction)? {
                    return Ok(());
                }
                let made = self.made_by_call(count, 1)?;
                if self.call_moving(count, Some(names))? {
                    return self.note_made(made);
                }
                let callable = self.peek(count + 3)?;
                let mut arguments = Vec::new();
                for depth in (2..count + 2).rev() {
                    let argument = self.peek(depth)?;
                    arguments.push(self.object(argument));
                }
                let self_or_null = self.peek_slot(count + 2)?;
                let self_or_null = self.nullable(self_or_null)?;
                let callable = self.object(callable);
                let state = self.before();
                let result = self.emit_value(Op::CallKw { callable, self_or_null, arguments, names, state });
                let names = self.pop()?;
                self.finish_call(count, result)?;
                self.note_made(made)?;
                self.release(names);
            }
            Bytecode::CallFunctionEx => {
                let (callable, arguments) = (self.peek(4)?, self.peek(2)?);
                let mapping = self.peek_slot(1)?;
                let mapping = self.nullable(mapping)?;
                let callable = self.object(callable);
                let arguments = self.object(arguments);
                let state = self.before();
                let result = self.emit_value(Op::Invoke {
                    helper: Helper::CallFunctionEx,
                    arguments: vec![callable, arguments, mapping],
                    state,
                });
                self.finish_call(2, result)?;
            }
            Bytecode::CallIntrinsic1 { function } => {
                let number = self.int(i64::from(function));
                self.plain(Helper::CallIntrinsic1, 1, &[number])?;
            }
            Bytecode::CallIntrinsic2 { function } => {
                let number = self.int(i64::from(function));
                self.plain(Helper::CallIntrinsic2, 2, &[number])?;
            }
            Bytecode::MakeFunction if self.make_tried_function()? => {}
            Bytecode::SetFunctionAttribute { attribute } if self.set_tried_closure(attribute)? => {}
            Bytecode::MakeFunction => self.plain(Helper::MakeFunction, 1, &[])?,
            Bytecode::SetFunctionAttribute { attribute } => {
                // Stack: value, function.
                let function = self.pop()?;
                let value = self.pop()?;
                let number = self.int(i64::from(attribute));
                self.push(function);
                self.invoke(Helper::SetFunctionAttribute, &[function, value, number]);
            }
            Bytecode::Jump { .. } => self.edge(0)?,
            Bytecode::JumpBackward { check, .. } => {
                // A generator that is resumed looks around; what is no loop in compiled code need not.
                if check && (self.snapshot.entry != Entry::Generator || self.leads_back(0)) {
                    let state = self.before();
                    self.emit(Op::CheckSafePoint { state });
                }
                self.edge(0)?;
            }
            Bytecode::PopJumpIfFalse { .. } => self.branch(false)?,
            Bytecode::PopJumpIfTrue { .. } => self.branch(true)?,
            Bytecode::PopJumpIfNone { .. } => self.branch_none(true)?,
            Bytecode::PopJumpIfNotNone { .. } => self.branch_none(false)?,
            Bytecode::GetIter => self.get_iter(instruction)?,
            Bytecode::ForIter { .. } if self.state.trial.is_some() && self.loop_over_tried(instruction)? => {}
            Bytecode::ForIter { .. } => self.for_iter(instruction)?,
            Bytecode::EndFor => {
                let slot = self.pop_slot()?;
                self.release_slot(slot);
            }
            Bytecode::PopIter => self.pop_iter()?,
            Bytecode::ReturnValue if self.is_tried() => {
                let value = self.pop()?;
                self.release(value);
                self.return_tried()?;
            }
            Bytecode::ReturnValue if self.state.frames.len() == 1 && code.flags.is_generator => {
                self.end_generator(instruction)?
            }
            Bytecode::ReturnValue => self.return_value()?,
            Bytecode::Raise { count } => {
                let cause = if count == 2 { self.peek_slot(1)? } else { Slot::Null };
                let exception = if count >= 1 { self.peek_slot(count)? } else { Slot::Null };
                let exception = self.nullable(exception)?;
                let cause = self.nullable(cause)?;
                self.invoke(Helper::Raise, &[exception, cause]);
                self.emit(Op::Unreachable {});
            }
            Bytecode::ImportName { name } => {
                // Stack: level, fromlist.
                let (level, fromlist) = (self.peek(2)?, self.peek(1)?);
                let name = self.constant(name);
                let module = self.invoke(Helper::ImportName, &[name, fromlist, level]).expect("a module is a result");
                let popped = [self.pop()?, self.pop()?];
                self.push(module);
                self.release_all(&popped);
            }
            Bytecode::ImportFrom { name } => {
                let module = self.peek(1)?;
                let name = self.constant(name);
                let result = self.invoke(Helper::ImportFrom, &[module, name]).expect("an import is a result");
                self.push(result);
            }
            Bytecode::GetLen => {
                let operand = self.peek(1)?;
                let length = self.invoke(Helper::GetLen, &[operand]).expect("a length is a result");
                self.push(length);
            }
            Bytecode::MatchMapping | Bytecode::MatchSequence => {
                let helper = match instruction.op {
                    Bytecode::MatchMapping => Helper::MatchMapping,
                    _ => Helper::MatchSequence,
                };
                let operand = self.peek(1)?;
                let result = self.invoke(helper, &[operand]).expect("a truth value is a result");
                self.push(result);
            }
            Bytecode::MatchKeys => {
                let (subject, keys) = (self.peek(2)?, self.peek(1)?);
                let result = self.invoke(Helper::MatchKeys, &[subject, keys]).expect("values are a result");
                self.push(result);
            }
            Bytecode::MatchClass { count } => {
                let number = self.int(i64::from(count));
                self.plain(Helper::MatchClass, 3, &[number])?;
            }
            Bytecode::SetupAnnotations => self.plain(Helper::SetupAnnotations, 0, &[])?,
            Bytecode::PushExcInfo => self.push_exc_info()?,
            Bytecode::PopExcept => self.pop_except()?,
            Bytecode::CheckExcMatch => self.check_exc_match()?,
            Bytecode::WithExceptStart => self.with_except_start()?,
            Bytecode::Reraise { argument } => self.reraise(argument, instruction)?,
            Bytecode::CheckEgMatch | Bytecode::ExitInitCheck => {
                let state = self.before();
                self.emit(Op::Exit { reason: ExitReason::Handler, state });
            }
            Bytecode::YieldValue { .. } if self.is_tried() => {
                let item = self.pop()?;
                self.consume_item(item)?;
            }
            Bytecode::YieldValue { argument } => self.yield_value(argument, instruction)?,
            Bytecode::Send { .. } => self.send()?,
            Bytecode::EndSend => self.end_send()?,
            Bytecode::GetAwaitable { argument } => {
                let number = self.int(i64::from(argument));
                self.plain(Helper::GetAwaitable, 1, &[number])?;
            }
            Bytecode::BuildTemplate
            | Bytecode::BuildInterpolation { .. }
            | Bytecode::ReturnGenerator
            | Bytecode::GetYieldFromIter
            | Bytecode::CleanupThrow
            | Bytecode::GetAiter
            | Bytecode::GetAnext
            | Bytecode::EndAsyncFor
            | Bytecode::InterpreterExit
            | Bytecode::Unsupported { .. } => {
                if self.state.frames.len() > 1 {
                    return bail(BailoutReason::Opcode("in an inlined callee"));
                }
                let state = self.before();
                self.emit(Op::Exit { reason: ExitReason::NotCompiled, state });
            }
        }
        Ok(())
    }

    /// A local that is only calculated with and held a number in a register gets the next one as a register, too:
    /// the object it comes as is then not kept.
    fn unbox_as_before(&mut self, local: u32, instruction: &Instruction) -> Result<(), Bailout> {
        let (Slot::Value(new), Slot::Value(old)) = (self.peek_slot(1)?, self.state.top().locals[local as usize]) else {
            return Ok(());
        };
        let kind = match self.ty(old) {
            Type::I64 => coluber_ir::Kind::Int,
            Type::F64 => coluber_ir::Kind::Float,
            _ => return Ok(()),
        };
        // What may be unbound (a comprehension gives its variable back) is no number to be sure of.
        let is_bound = self.ty(new).is_object() && !self.ty(new).is_nullable();
        let is_unknown = is_bound && self.kind(new).is_none_or(|known| known == kind);
        let may_guard = self.settings.speculate && !self.is_inside_instruction && !self.gave_up(instruction);
        if may_guard && is_unknown && self.is_numeric_local(local) {
            self.unbox(new, kind);
        }
        Ok(())
    }

    /// A bound local as an object.
    fn local(&mut self, local: u32) -> Result<Value, Bailout> {
        match self.state.top().locals[local as usize] {
            Slot::Value(value) if self.kind(value) != Some(coluber_ir::Kind::Cell) => {
                // A frame that was entered in the middle: the compiler of the bytecode knows which locals are cells.
                let cell = self.emit_value(Op::AssumeKind { value, kind: coluber_ir::Kind::Cell });
                self.replace(value, cell);
                Ok(cell)
            }
            Slot::Value(value) => Ok(value),
            _ => Err(self.malformed("unbound cell")),
        }
    }

    fn load_fast_check(&mut self, local: u32) -> Result<(), Bailout> {
        match self.state.top().locals[local as usize] {
            Slot::Null => {
                let number = self.int(i64::from(local));
                self.invoke(Helper::RaiseUnboundLocal, &[number]);
                self.emit(Op::Unreachable {});
            }
            Slot::Value(value) if self.ty(value).is_nullable() => {
                // Rarely unbound: the interpreter raises.
                let state = self.before();
                let bound = self.emit_value(Op::GuardBound { value, state });
                self.replace(value, bound);
                self.push(bound);
            }
            slot => self.push_slot(slot),
        }
        Ok(())
    }

    /// The register form of an object that is an exact bool.
    fn exact_bool(&mut self, value: Value) -> Value {
        match self.ty(value) {
            Type::Bool => value,
            ty if ty.kind() == Some(coluber_ir::Kind::Bool) => self.unbox(value, coluber_ir::Kind::Bool),
            _ => {
                // The bytecode's compiler put a TO_BOOL or a comparison in front.
                let value = self.object(value);
                let known = self.emit_value(Op::AssumeKind { value, kind: coluber_ir::Kind::Bool });
                self.replace(value, known);
                self.unbox(known, coluber_ir::Kind::Bool)
            }
        }
    }

    /// Whether two values are the same object.
    fn identical(&mut self, left: Value, right: Value) -> Value {
        let is_none = |this: &Self, value| this.kind(value) == Some(coluber_ir::Kind::None);
        if is_none(self, right) {
            return self.is_none(left);
        }
        if is_none(self, left) {
            return self.is_none(right);
        }
        let left = self.object(left);
        let right = self.object(right);
        self.emit_value(Op::IsIdentical { left, right })
    }

    fn is_none(&mut self, value: Value) -> Value {
        match self.kind(value) {
            Some(kind) => self.emit_value(Op::BoolConstant { value: kind == coluber_ir::Kind::None }),
            None => self.emit_value(Op::IsNone { value }),
        }
    }

    fn branch(&mut self, jump_if: bool) -> Result<(), Bailout> {
        let operand = self.pop()?;
        let condition = self.exact_bool(operand);
        self.split_edges(condition, !jump_if)
    }

    fn branch_none(&mut self, jump_if_none: bool) -> Result<(), Bailout> {
        let operand = self.pop()?;
        let condition = self.is_none(operand);
        self.release(operand);
        self.split_edges(condition, !jump_if_none)
    }

    /// Branches to the fall-through if the condition is `fall_through_if`, else to the jump's target.
    fn split_edges(&mut self, condition: Value, fall_through_if: bool) -> Result<(), Bailout> {
        let constant = match self.function.def_op(condition) {
            Some(Op::BoolConstant { value }) => Some(*value),
            _ => None,
        };
        if let Some(value) = constant {
            return self.edge(usize::from(value != fall_through_if));
        }
        let next = self.function.add_block();
        let jump = self.function.add_block();
        let target = |block| BlockCall { block, arguments: Vec::new() };
        let (then, otherwise) = if fall_through_if { (next, jump) } else { (jump, next) };
        self.emit(Op::Branch { condition, then: target(then), otherwise: target(otherwise) });
        let state = self.state.clone();
        self.block = Some(next);
        self.edge(0)?;
        self.block = Some(jump);
        self.state = state;
        self.edge(1)
    }

    /// Whether somebody may notice the death of something that stands in a slot besides the result, which is on top.
    fn is_death_visible(&self) -> bool {
        let top = self.state.top();
        let others = top.locals.iter().chain(top.stack.iter().rev().skip(1));
        let mut is_visible = false;
        for slot in others {
            slot.for_each(|value| is_visible |= self.needs_kill(value) && !self.ty(value).dies_silently());
        }
        is_visible
    }

    fn return_value(&mut self) -> Result<(), Bailout> {
        if self.state.frames.len() > 1 {
            return self.return_inlined();
        }
        let state = self.before();
        let is_loop = !matches!(self.snapshot.entry, Entry::Function);
        if is_loop && self.is_death_visible() {
            // The frame is the interpreter's, and has to be gone when they die.
            self.emit(Op::Exit { reason: ExitReason::Returns, state });
            return Ok(());
        }
        self.emit(Op::CheckFrame { state });
        let value = self.pop()?;
        let value = self.object(value);
        // Nothing but the result is left; locals die in order, in a frame that nobody sees any more.
        self.push(value);
        let slots = self.end_activation();
        if !is_loop {
            self.emit(Op::EndFrame {});
        }
        self.release_each(slots);
        self.pop_slot()?;
        let value = self.steal(value);
        self.emit(Op::Return { value });
        Ok(())
    }
}
