//! Types of operands and block arguments.

use super::Report;
use super::structure::{same_representation, used_states};
use crate::ops::Takes;
use crate::{BlockCall, FrameStateId, Inst, SlotValue, Type, Value};

/// Checks all operands, block arguments and slots of states.
pub fn check(report: &mut Report) {
    let function = report.function;
    for &block in &function.layout {
        for &inst in &function.blocks[block].insts {
            let op = &function.insts[inst].op;
            op.for_each_taken(|name, value, takes| {
                if function.values.is_valid(value) && !takes.accepts(function.ty(value)) {
                    let ty = function.ty(value);
                    report.inst(inst, format!("{name} {value} is {ty}, {} is expected", describe(takes)));
                }
            });
            op.for_each_target(|call| check_call(inst, call, report));
            if op.refs() != crate::ops::Refs::Virtual {
                op.for_each_operand(|value| {
                    if function.values.is_valid(value) && function.is_virtual(function.root(value)) {
                        report.inst(inst, format!("{value} does not exist yet: only states can name it"));
                    }
                });
            }
        }
    }
    for state in used_states(function) {
        let mut next = Some(state);
        while let Some(id) = next {
            for slot in function.states[id].slots() {
                check_slot(id, slot, report);
            }
            next = function.states[id].caller;
        }
    }
}

fn check_call(inst: Inst, call: &BlockCall, report: &mut Report) {
    let function = report.function;
    let parameters = &function.blocks[call.block].parameters;
    if parameters.len() != call.arguments.len() {
        let [expected, found] = [parameters.len(), call.arguments.len()];
        report.inst(inst, format!("{} has {expected} parameters, not {found}", call.block));
        return;
    }
    for (&parameter, &argument) in parameters.iter().zip(&call.arguments) {
        let [expected, found] = [parameter, argument].map(|value| function.ty(value));
        // NULL is of every type that may be NULL.
        let is_null = expected.is_nullable() && matches!(function.def_op(argument), Some(crate::Op::NullConstant {}));
        if !is_null && (!same_representation(expected, found) || expected.join(found) != expected) {
            report.inst(inst, format!("{argument} is {found}, parameter {parameter} of {} is {expected}", call.block));
        }
    }
}

fn check_slot(state: FrameStateId, slot: &SlotValue, report: &mut Report) {
    let function = report.function;
    let mut expect = |value: Value, takes: Takes| {
        if function.values.is_valid(value) && !takes.accepts(function.ty(value)) {
            let ty = function.ty(value);
            report.state(state, format!("{value} is {ty}, {} is expected", describe(takes)));
        }
    };
    match *slot {
        SlotValue::Null | SlotValue::Value(_) => {}
        SlotValue::TaggedInt(value) => expect(value, Takes::I64),
        SlotValue::RangeIterator { object, start, length } => {
            expect(object, Takes::Object);
            expect(start, Takes::I64);
            expect(length, Takes::I64);
        }
        SlotValue::SequenceIterator { object, index } => {
            expect(object, Takes::Object);
            expect(index, Takes::I64);
        }
    }
}

fn describe(takes: Takes) -> String {
    match takes {
        Takes::Object => "an object".to_string(),
        Takes::Nullable => "an object or NULL".to_string(),
        Takes::Exact(kind) => Type::Exact(kind).to_string(),
        other => format!("{other:?}"),
    }
}
