//! Facts about instances end at every op that may run Python code (design 3.9).
//!
//! What an instance looks like inside (its class, whether it has inline values, whether its dict exists) is known from
//! guards, and only until something writes `Memory::Shape`: Python code may change an object's class, or its class. So
//! each access by offset must stand behind its guards on every path, with no such op in between:
//!
//! * `LoadField`, `StoreField`, `StoreSlot`, `GuardInlineValues`, `GuardNoDict`: behind `GuardClass` of the object (or
//!   the object is of an exact builtin type, or was made by `NewInstance`);
//! * an access to inline values also behind `GuardInlineValues`; a store to them also behind `GuardNoDict`.
//!
//! A fact is about the object, so it holds for all refinements of the value and where it was read again (`SameObject`),
//! but not for a block parameter the value is passed to.

use super::Report;
use super::flow::{self, Flow};
use crate::ops::Memory;
use crate::{Cfg, Function, Helper, Inst, ObjectId, Op, Value};
use coluber_bytecode::{ClassFacts, ObjectValue};
use std::collections::BTreeSet;

/// Something known of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    /// It is an instance of the class.
    Class(Value, ObjectId),
    /// Its inline values are valid.
    InlineValues(Value),
    /// It has no materialised dict.
    NoDict(Value),
}

struct Facts<'a> {
    function: &'a Function,
}

impl Flow for Facts<'_> {
    type State = BTreeSet<Fact>;

    fn entry(&self) -> Self::State {
        BTreeSet::new()
    }

    fn pass(&self, inst: Inst, state: &mut Self::State) {
        let data = &self.function.insts[inst];
        if data.op.effects(self.function).writes & Memory::Shape as u8 != 0 {
            state.clear();
        }
        let root = |value: Value| object(self.function, value);
        match &data.op {
            Op::GuardClass { value, class, .. } => {
                state.insert(Fact::Class(root(*value), *class));
            }
            Op::GuardInlineValues { value, .. } => {
                state.insert(Fact::InlineValues(root(*value)));
            }
            Op::GuardNoDict { value, .. } => {
                state.insert(Fact::NoDict(root(*value)));
            }
            Op::Invoke { helper: Helper::NewInstance, arguments, .. } => {
                if let (Some(result), Some(class)) = (data.result, constant(self.function, arguments.first())) {
                    state.extend([Fact::Class(result, class), Fact::InlineValues(result), Fact::NoDict(result)]);
                }
            }
            Op::MakeInstance { class, .. } => {
                if let Some(result) = data.result {
                    state.extend([Fact::Class(result, *class), Fact::InlineValues(result), Fact::NoDict(result)]);
                }
            }
            _ => {}
        }
    }

    fn jump(&self, _: Inst, _: usize, _: &mut Self::State) {}

    fn join(&self, state: &mut Self::State, other: &Self::State) {
        state.retain(|fact| other.contains(fact));
    }
}

/// The first value that refers to the object.
fn object(function: &Function, value: Value) -> Value {
    let mut root = function.root(value);
    while let Some(Op::SameObject { value }) = function.def_op(root) {
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

fn check_inst(inst: Inst, facts: &BTreeSet<Fact>, report: &mut Report) {
    let function = report.function;
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
    let class = facts.iter().find_map(|fact| match fact {
        Fact::Class(object, class) if *object == root => Some(*class),
        _ => None,
    });
    let Some(class) = class else {
        report.inst(inst, format!("the class of {value} is not guarded here"));
        return;
    };
    if let (Some(offset), ObjectValue::Class(class)) = (offset, &function.objects.get(class).value)
        && is_inline_value(class, offset)
    {
        if !facts.contains(&Fact::InlineValues(root)) {
            report.inst(inst, format!("it is not guarded here that the inline values of {value} are valid"));
        }
        if is_store && !facts.contains(&Fact::NoDict(root)) {
            report.inst(inst, format!("it is not guarded here that {value} has no dict"));
        }
    }
}

fn is_inline_value(class: &ClassFacts, offset: u32) -> bool {
    class.inline_values && offset >= class.inline_values_offset
}
