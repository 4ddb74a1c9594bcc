//! Calls that hand their arguments over: to a known function, whose frame is filled in line, and to an unknown callee,
//! if an argument is a temporary whose death can be noticed.
//!
//! An interpreted call moves its operands into the callee's frame. So a temporary dies when the callee rebinds the
//! parameter or ends, not when the caller has got the result.

use crate::Bailout;
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{CodeFacts, FunctionFacts, Instruction, ObjectId, ObjectValue};
use coluber_ir::{Helper, Op, Type, Value};

/// What a parameter gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// The operand with this number.
    Operand(usize),
    /// A default.
    Default(ObjectId),
}

/// Where the values of all parameters come from in a call with so many operands, of which the last have names; `None` if
/// the call is not one of a plain function, or would raise.
fn bind(facts: &FunctionFacts, code: &CodeFacts, operands: usize, names: &[&str]) -> Option<Vec<Source>> {
    let count = code.parameters.len();
    let positional = count - code.keyword_only_count as usize;
    let given = operands - names.len();
    if !code.is_plain || !facts.is_watched || given > positional {
        return None;
    }
    let mut sources: Vec<Option<Source>> =
        (0..count).map(|index| (index < given).then_some(Source::Operand(index))).collect();
    for (index, name) in names.iter().enumerate() {
        let parameter = code.parameters.iter().position(|parameter| parameter == name)?;
        let place = &mut sources[parameter];
        if parameter < code.positional_only_count as usize || place.is_some() {
            return None;
        }
        *place = Some(Source::Operand(given + index));
    }
    let first_default = positional.checked_sub(facts.defaults.len())?;
    for (default, place) in facts.defaults.iter().zip(&mut sources[first_default..positional]) {
        place.get_or_insert(Source::Default(*default));
    }
    // Keyword-only parameters left out have their defaults in a dict, which is not watched item by item.
    sources.into_iter().collect()
}

impl Translator<'_> {
    /// Calls a known function that is not inlined; false if the generic call has to do it. Stack: callable, self or NULL,
    /// arguments, of which the last have the names.
    pub(crate) fn call_directly(&mut self, function: ObjectId, count: u32, names: &[&str]) -> Result<bool, Bailout> {
        let has_self = match self.peek_slot(count + 1)? {
            Slot::Null => false,
            Slot::Value(value) if !self.ty(value).is_nullable() => true,
            _ => return Ok(false),
        };
        let Some(sources) = self.sources(function, count as usize + usize::from(has_self), names) else {
            return Ok(false);
        };
        self.rely_on_invariants();
        // Boxed while they are on the stack, so that the state in front names the boxes.
        for depth in 1..=count + u32::from(has_self) {
            let operand = self.peek(depth)?;
            self.object(operand);
        }
        let operands = self.take_call_operands_only(count)?;
        let callable_slot = self.pop_slot()?;
        let callable = match callable_slot {
            Slot::Value(value) => value,
            _ => return Err(self.malformed("a callable was expected")),
        };
        // It is held until the call has returned.
        self.push(callable);
        let mut arguments = Vec::with_capacity(sources.len());
        for source in sources {
            arguments.push(match source {
                Source::Operand(number) => operands[number],
                Source::Default(object) => self.constant(object),
            });
        }
        let stolen = self.steal_each(&mut arguments);
        let state = self.before_without(&stolen);
        let result = self.emit_value(Op::CallFunction { callable, function, arguments, state });
        self.pop_slot()?;
        self.push(result);
        self.release(callable);
        Ok(true)
    }

    /// Whether a call with so many operands can go to the function directly.
    pub(crate) fn is_directly_callable(&self, function: ObjectId, operands: usize) -> bool {
        self.sources(function, operands, &[]).is_some()
    }

    /// Where the values of a function's parameters come from; `None` if it cannot be called directly.
    fn sources(&self, function: ObjectId, operands: usize, names: &[&str]) -> Option<Vec<Source>> {
        let ObjectValue::Function(facts) = &self.snapshot.objects.get(function).value else { return None };
        let ObjectValue::Code(code) = &self.snapshot.objects.get(facts.code_object).value else { return None };
        bind(facts, code, operands, names).filter(|_| self.settings.speculate)
    }

    /// Calls a class whose `__init__` is called directly. Stack: class, NULL, arguments.
    pub(crate) fn construct_directly(&mut self, class: ObjectId, init: ObjectId, count: u32) -> Result<bool, Bailout> {
        if self.sources(init, count as usize + 1, &[]).is_none() {
            return Ok(false);
        }
        self.rely_on_invariants();
        let constant = self.constant(class);
        let instance = self.invoke(Helper::NewInstance, &[constant]).expect("an instance is a result");
        self.know_class(instance, class);
        let arguments = self.take_call_operands(count)?;
        // From here on the call cannot be repeated, and nothing in the way leaves: the instance waits on the stack.
        self.push(instance);
        let depth = self.state.top().stack.len();
        let function = self.constant(init);
        self.push(function);
        self.push(instance);
        for argument in arguments {
            self.push(argument);
        }
        self.begin_same();
        // An exception finds the instance alone: with it there may be one operand more than the frame has room for.
        self.before.top_mut().stack.truncate(depth);
        let is_called = self.call_directly(init, count, &[])?;
        debug_assert!(is_called);
        self.begin_same();
        let result = self.peek(1)?;
        let condition = self.emit_value(Op::IsNone { value: result });
        let (fine, wrong) = self.branch_on(condition);
        self.function.blocks[wrong].cold = true;
        self.block = Some(wrong);
        self.invoke(Helper::RaiseInitResult, &[result]);
        self.emit(Op::Unreachable {});
        self.block = Some(fine);
        let result = self.pop()?;
        self.release(result);
        Ok(true)
    }

    /// The same as [`Translator::call_directly`] with a tuple of names on top of the stack.
    pub(crate) fn call_directly_kw(
        &mut self,
        count: u32,
        names: Value,
        instruction: &Instruction,
    ) -> Result<bool, Bailout> {
        let snapshot = self.snapshot;
        let (Type::Constant(function, _), Type::Constant(tuple, _)) = (self.ty(self.peek(count + 3)?), self.ty(names))
        else {
            return Ok(false);
        };
        let ObjectValue::Tuple(items) = &snapshot.objects.get(tuple).value else { return Ok(false) };
        let text = |item: &ObjectId| match &snapshot.objects.get(*item).value {
            ObjectValue::Str(Some(text)) => Some(text.as_str()),
            _ => None,
        };
        let Some(texts) = items.iter().map(text).collect::<Option<Vec<_>>>() else { return Ok(false) };
        if self.gave_up(instruction) {
            return Ok(false);
        }
        let names = self.pop()?;
        let is_done = self.call_directly(function, count, &texts)?;
        if !is_done {
            self.push(names);
        }
        Ok(is_done)
    }

    /// Turns values that have left the stack into ones to be given away. Returns those that are given away themselves.
    fn steal_each(&mut self, values: &mut [Value]) -> Vec<Value> {
        let mut stolen: Vec<Value> = Vec::new();
        for value in values {
            let root = self.function.root(*value);
            let taken =
                if stolen.contains(&root) { self.emit_value(Op::Dup { value: *value }) } else { self.steal(*value) };
            if taken == *value {
                stolen.push(root);
            }
            *value = taken;
        }
        stolen
    }

    /// Pops self (if there is one) and the arguments; returns them.
    fn take_call_operands_only(&mut self, count: u32) -> Result<Vec<Value>, Bailout> {
        let mut operands = Vec::new();
        for _ in 0..count {
            operands.push(self.pop()?);
        }
        if let Slot::Value(value) = self.pop_slot()? {
            operands.push(value);
        }
        operands.reverse();
        Ok(operands)
    }

    /// The generic call, if an argument is a temporary whose death can be noticed. The names of the last arguments, if
    /// they have any, lie on top of the stack.
    pub(crate) fn call_moving(&mut self, count: u32, names: Option<Value>) -> Result<bool, Bailout> {
        let above = u32::from(names.is_some());
        let is_temporary = |this: &Self, depth: u32| -> Result<bool, Bailout> {
            let value = this.peek(depth)?;
            Ok(this.is_only_operand(value) && !this.ty(value).dies_silently())
        };
        let mut places: u32 = 0;
        for index in 0..count.min(32) {
            if is_temporary(self, count - index + above)? {
                places |= 1 << index;
            }
        }
        if places == 0 {
            return Ok(false);
        }
        for depth in 1..=count {
            let argument = self.peek(depth + above)?;
            self.object(argument);
        }
        let names = match names {
            Some(_) => self.pop()?,
            None => self.emit_value(Op::NullConstant {}),
        };
        let (mut arguments, mut moved) = (Vec::new(), Vec::new());
        for depth in (1..=count).rev() {
            let is_moved = places.checked_shr(count - depth).is_some_and(|bits| bits & 1 != 0);
            let list = if is_moved { &mut moved } else { &mut arguments };
            list.push(match self.peek_slot(depth)? {
                Slot::Value(value) => value,
                _ => return Err(self.malformed("a value was expected on the operand stack")),
            });
        }
        let self_or_null = self.peek_slot(count + 1)?;
        let self_or_null = self.nullable(self_or_null)?;
        let callable = self.peek(count + 2)?;
        let callable = self.object(callable);
        let state = self.before_without(&moved);
        let result = self.emit_value(Op::CallMoving {
            callable,
            self_or_null,
            arguments,
            moved: moved.clone(),
            places,
            names,
            state,
        });
        self.finish_call_without(count, result, &moved)?;
        self.release(names);
        Ok(true)
    }

    /// Whether the reference of an operand is in one place only, the operand stack.
    pub(crate) fn is_only_operand(&self, value: Value) -> bool {
        let root = self.function.root(value);
        let mut places: u32 = 0;
        for slot in self.state.slots() {
            slot.for_each(|other| places += u32::from(self.function.root(other) == root));
        }
        places == 1 && self.needs_kill(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(defaults: usize) -> FunctionFacts {
        FunctionFacts {
            name: "f".into(),
            version: 0,
            code: None,
            code_object: ObjectId(0),
            globals: ObjectId(0),
            builtins: ObjectId(0),
            defaults: (0..defaults as u32).map(|index| ObjectId(10 + index)).collect(),
            has_kwdefaults: false,
            closure: vec![],
            is_watched: true,
        }
    }

    fn code(parameters: &[&str], positional_only_count: u32, keyword_only_count: u32) -> CodeFacts {
        let parameters = parameters.iter().map(|name| (*name).to_owned()).collect();
        CodeFacts { parameters, positional_only_count, keyword_only_count, frame_words: 20, is_plain: true }
    }

    #[test]
    fn fills_parameters_by_position_name_and_default() {
        use Source::{Default, Operand};
        let abc = code(&["a", "b", "c"], 0, 0);
        assert_eq!(bind(&facts(0), &abc, 3, &[]), Some(vec![Operand(0), Operand(1), Operand(2)]));
        assert_eq!(bind(&facts(0), &abc, 3, &["c", "b"]), Some(vec![Operand(0), Operand(2), Operand(1)]));
        assert_eq!(bind(&facts(2), &abc, 2, &["c"]), Some(vec![Operand(0), Default(ObjectId(10)), Operand(1)]));
        let keyword_only = code(&["a", "b", "c"], 0, 1);
        assert_eq!(
            bind(&facts(1), &keyword_only, 2, &["c"]),
            Some(vec![Operand(0), Default(ObjectId(10)), Operand(1)])
        );
    }

    #[test]
    fn refuses_what_would_raise() {
        let abc = code(&["a", "b", "c"], 1, 0);
        assert_eq!(bind(&facts(0), &abc, 2, &[]), None);
        assert_eq!(bind(&facts(0), &abc, 4, &[]), None);
        assert_eq!(bind(&facts(0), &abc, 3, &["d"]), None);
        assert_eq!(bind(&facts(0), &abc, 4, &["b"]), None);
        assert_eq!(bind(&facts(3), &abc, 1, &["a"]), None);
        assert_eq!(bind(&facts(0), &code(&["a", "b"], 0, 1), 1, &[]), None);
    }

    #[test]
    fn refuses_what_is_not_plain_or_not_watched() {
        let a = code(&["a"], 0, 0);
        assert_eq!(bind(&facts(0), &CodeFacts { is_plain: false, ..a.clone() }, 1, &[]), None);
        assert_eq!(bind(&FunctionFacts { is_watched: false, ..facts(0) }, &a, 1, &[]), None);
    }
}
