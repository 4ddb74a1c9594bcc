//! Facts about instances end at every op that may run Python code (design 3.9).
//!
//! What an instance looks like inside (its class, whether it has inline values, whether its dict exists) is known from
//! guards, and only until something writes `Memory::Shape`: Python code may change an object's class, or its class. So
//! each access by offset must stand behind its guards on every path, with no such op in between:
//!
//! * `LoadField`, `StoreField`, `StoreSlot`, `GuardNoDict`: behind `GuardClass` of the object, or behind the branch of
//!   `IsClass` that found it (or the object is of an exact builtin type, or was made by `NewInstance`);
//! * `CallNative` of a method: behind `GuardClass` of self, by a class that inherits from the method's;
//! * an access to inline values also behind `GuardInlineValues`; a store to them also behind `GuardNoDict`.
//!
//! Where paths for several classes meet, the object is of one of them.
//!
//! What an object's class *was* outlives Python code, and `GuardInlineValues` makes it present knowledge again: whoever
//! changes the class of an object with inline values invalidates these for good, since their keys are the old class's
//! (`object_set_class`, Objects/typeobject.c of 3.14 and 3.15; tests/python/test_facts.py).
//!
//! A fact is about the object, so it holds for all refinements of the value, where it was read again (`SameObject`), and
//! for a block parameter it is passed to.

use super::Report;
use super::flow::{self, Flow};
use crate::fields::Immediate;
use crate::ops::Memory;
use crate::{BlockCall, Cfg, Function, Helper, Inst, ObjectId, Op, Value};
use coluber_bytecode::{ClassFacts, ObjectValue};
use std::collections::{BTreeMap, BTreeSet};

/// Something known of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    /// Its inline values are valid.
    InlineValues(Value),
    /// It has no materialised dict.
    NoDict(Value),
    /// What this `IsClass` found still holds.
    Tested(Value),
}

/// The classes an object can be of.
#[derive(Clone, Debug, PartialEq)]
struct Classes {
    classes: BTreeSet<ObjectId>,
    /// Whether no Python code can have changed the class since.
    present: bool,
}

/// What is known at a point.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    classes: BTreeMap<Value, Classes>,
    facts: BTreeSet<Fact>,
}

impl Known {
    fn set_class(&mut self, object: Value, class: ObjectId) {
        self.classes.insert(object, Classes { classes: BTreeSet::from([class]), present: true });
    }

    fn set_new(&mut self, instance: Value, class: ObjectId) {
        self.set_class(instance, class);
        self.facts.extend([Fact::InlineValues(instance), Fact::NoDict(instance)]);
    }
}

struct Facts<'a> {
    function: &'a Function,
}

impl Flow for Facts<'_> {
    type State = Known;

    fn entry(&self) -> Known {
        Known::default()
    }

    fn pass(&self, inst: Inst, state: &mut Known) {
        let data = &self.function.insts[inst];
        if data.op.effects(self.function).writes & Memory::Shape as u8 != 0 {
            state.facts.clear();
            for known in state.classes.values_mut() {
                known.present &= known.classes.iter().all(|class| self.is_immutable(*class));
            }
        }
        let root = |value: Value| object(self.function, value);
        match &data.op {
            Op::GuardClass { value, class, .. } => state.set_class(root(*value), *class),
            Op::GuardInlineValues { value, .. } => {
                state.facts.insert(Fact::InlineValues(root(*value)));
                if let Some(known) = state.classes.get_mut(&root(*value)) {
                    known.present = true;
                }
            }
            Op::GuardNoDict { value, .. } => {
                state.facts.insert(Fact::NoDict(root(*value)));
            }
            Op::IsClass { .. } => {
                state.facts.extend(data.result.map(Fact::Tested));
            }
            Op::Invoke { helper: Helper::NewInstance, arguments, .. } => {
                if let (Some(result), Some(class)) = (data.result, constant(self.function, arguments.first())) {
                    state.set_new(result, class);
                }
            }
            Op::MakeInstance { class, .. } => {
                if let Some(result) = data.result {
                    state.set_new(result, *class);
                }
            }
            _ => {}
        }
    }

    fn jump(&self, terminator: Inst, index: usize, state: &mut Known) {
        self.test_class(terminator, index, state);
        let mut number = 0;
        self.function.insts[terminator].op.for_each_target(|call| {
            if number == index {
                self.pass_arguments(call, state);
            }
            number += 1;
        });
    }

    fn join(&self, state: &mut Known, other: &Known) {
        state.facts.retain(|fact| other.facts.contains(fact));
        state.classes.retain(|object, known| {
            let Some(other) = other.classes.get(object) else { return false };
            known.classes.extend(&other.classes);
            known.present &= other.present;
            true
        });
    }
}

impl Facts<'_> {
    /// Whether instances of a class keep it whatever runs.
    fn is_immutable(&self, class: ObjectId) -> bool {
        matches!(&self.function.objects.get(class).value, ObjectValue::Class(facts) if facts.is_immutable)
    }

    /// What an edge says about the class that the branch in front of it tested.
    fn test_class(&self, terminator: Inst, index: usize, state: &mut Known) {
        let Op::Branch { condition, .. } = &self.function.insts[terminator].op else { return };
        let Some(Op::IsClass { value, class }) = self.function.def_op(*condition) else { return };
        if !state.facts.contains(&Fact::Tested(self.function.resolve(*condition))) {
            return;
        }
        let object = object(self.function, *value);
        if index == 0 {
            state.set_class(object, *class);
        } else if let Some(known) = state.classes.get_mut(&object) {
            known.classes.remove(class);
        }
    }

    /// Block parameters are the objects that are passed to them.
    fn pass_arguments(&self, call: &BlockCall, state: &mut Known) {
        if call.arguments.is_empty() {
            return;
        }
        let before = state.clone();
        for (&parameter, &argument) in self.function.blocks[call.block].parameters.iter().zip(&call.arguments) {
            let argument = object(self.function, argument);
            match before.classes.get(&argument) {
                Some(known) => state.classes.insert(parameter, known.clone()),
                None => state.classes.remove(&parameter),
            };
            for fact in [Fact::InlineValues, Fact::NoDict] {
                if before.facts.contains(&fact(argument)) {
                    state.facts.insert(fact(parameter));
                } else {
                    state.facts.remove(&fact(parameter));
                }
            }
        }
    }
}

/// The first value that refers to the object.
fn object(function: &Function, value: Value) -> Value {
    let mut root = function.root(value);
    while let Some(Op::SameObject { value } | Op::Dup { value }) = function.def_op(root) {
        root = function.root(*value);
    }
    root
}

/// The object that a value is, if it is a constant.
fn constant(function: &Function, value: Option<&Value>) -> Option<ObjectId> {
    match function.ty(*value?) {
        crate::Type::Constant(object, _) => Some(object),
        _ => None,
    }
}

/// Checks all accesses by offset.
pub(super) fn check(cfg: &Cfg, report: &mut Report) {
    let function = report.function;
    let flow = Facts { function };
    let starts = flow::solve(function, cfg, &flow);
    for &block in cfg.rpo() {
        let mut state = starts[&block].clone();
        for &inst in &function.blocks[block].insts {
            check_inst(inst, &state, report);
            flow.pass(inst, &mut state);
        }
    }
}

fn check_inst(inst: Inst, known: &Known, report: &mut Report) {
    let function = report.function;
    if let Op::CallNative { function: native, arguments, .. } = &function.insts[inst].op {
        return check_native(inst, *native, arguments, known, report);
    }
    let (value, offset, is_store) = match &function.insts[inst].op {
        Op::LoadField { object, offset, .. } => (*object, Some(*offset), false),
        Op::StoreField { object, offset, .. } => (*object, Some(*offset), true),
        Op::StoreSlot { object, .. } => (*object, None, false),
        Op::GuardInlineValues { value, .. } | Op::GuardNoDict { value, .. } => (*value, None, false),
        _ => return,
    };
    // The layout of a builtin type is known, and its instances keep their class.
    if function.ty(value).kind().is_some() {
        return;
    }
    let root = object(function, value);
    let facts_of = |class: &ObjectId| match &function.objects.get(*class).value {
        ObjectValue::Class(facts) => Some(&**facts),
        _ => None,
    };
    if let Op::GuardInlineValues { class, .. } = &function.insts[inst].op {
        let layout = facts_of(class).map(|facts| facts.inline_values_offset);
        let fits = known.classes.get(&root).is_some_and(|known| {
            let has_layout = |facts: &ClassFacts| facts.inline_values && Some(facts.inline_values_offset) == layout;
            // Of a class without inline values only present knowledge helps.
            known.present || known.classes.iter().filter_map(facts_of).all(has_layout)
        });
        if !fits {
            report.inst(inst, format!("the class of {value} is not guarded here"));
        }
        return;
    }
    let Some(classes) = known.classes.get(&root).filter(|known| known.present) else {
        report.inst(inst, format!("the class of {value} is not guarded here"));
        return;
    };
    if let Some(offset) = offset
        && classes.classes.iter().filter_map(facts_of).any(|class| is_inline_value(class, offset))
    {
        if !known.facts.contains(&Fact::InlineValues(root)) {
            report.inst(inst, format!("it is not guarded here that the inline values of {value} are valid"));
        }
        if is_store && !known.facts.contains(&Fact::NoDict(root)) {
            report.inst(inst, format!("it is not guarded here that {value} has no dict"));
        }
    }
}

/// Checks that a C function gets what it takes.
fn check_native(inst: Inst, native: ObjectId, arguments: &[Value], known: &Known, report: &mut Report) {
    let function = report.function;
    let facts_of = |class: ObjectId| match &function.objects.get(class).value {
        ObjectValue::Class(facts) => Some(&**facts),
        _ => None,
    };
    let ObjectValue::Builtin(facts) = &function.objects.get(native).value else {
        return report.inst(inst, format!("{} is no C function", native.to_text()));
    };
    let count = arguments.len().checked_sub(usize::from(facts.owner.is_some()));
    if !facts.convention.zip(count).is_some_and(|(convention, count)| convention.takes(count)) {
        return report.inst(inst, format!("{} does not take {} arguments", native.to_text(), arguments.len()));
    }
    let Some(owner) = facts.owner else { return };
    let fits = match (function.ty(arguments[0]).kind(), facts_of(owner)) {
        (Some(kind), Some(owner)) => owner.kind == Some(kind),
        (None, Some(owner)) => known.classes.get(&object(function, arguments[0])).is_some_and(|known| {
            let inherits = |class: &ObjectId| facts_of(*class).is_some_and(|class| class.is_subclass_of(owner));
            known.present && known.classes.iter().all(inherits)
        }),
        _ => false,
    };
    if !fits {
        let (value, native) = (arguments[0], native.to_text());
        report.inst(inst, format!("{value} is not guarded to be an instance of the class of {native}"));
    }
}

fn is_inline_value(class: &ClassFacts, offset: u32) -> bool {
    class.inline_values && offset >= class.inline_values_offset
}
