//! Borrowed references are used only while somebody else certainly holds the object (design 3.5).
//!
//! A borrowed result without a reference of its own (see [`super::balance`]) comes out of something: a list, an
//! instance, a cell. It must not be used, named by a state or given away behind an op
//!
//! * that may run Python code or writes the memory it was read from, if its op reads memory;
//! * that gives away the op's operand, or behind which that operand itself must not be used, if its op reads only what
//!   cannot change (`TupleGet`).
//!
//! Results of ops that depend on nothing (`Constant`, `LoadFunction`, `BoxBool`) are held by the unit or the frame.

use super::Report;
use super::balance::{References, Releases};
use super::flow::{self, Flow};
use crate::ops::Effects;
use crate::{Cfg, Function, Inst, Type, Value};
use std::collections::{BTreeMap, BTreeSet};

struct Borrows<'a> {
    function: &'a Function,
    /// Borrowed values with the effects of their ops.
    values: BTreeMap<Value, Effects>,
    releases: &'a Releases,
}

impl Borrows<'_> {
    /// Adds the values that come out of a value that is gone, and those that come out of these.
    fn propagate(&self, gone: Value, stale: &mut BTreeSet<Value>) {
        for &value in self.values.keys() {
            if self.is_immutable_part_of(value, gone) && stale.insert(value) {
                self.propagate(value, stale);
            }
        }
    }

    fn is_immutable_part_of(&self, value: Value, whole: Value) -> bool {
        let mut found = false;
        if self.values[&value].reads == 0
            && let Some(op) = self.function.def_op(value)
        {
            op.for_each_operand(|operand| {
                found |= self.function.ty(operand).is_object() && self.function.root(operand) == whole;
            });
        }
        found
    }
}

impl Flow for Borrows<'_> {
    /// Values that must not be used any more.
    type State = BTreeSet<Value>;

    fn entry(&self) -> Self::State {
        BTreeSet::new()
    }

    fn pass(&self, inst: Inst, stale: &mut Self::State) {
        let data = &self.function.insts[inst];
        let effects = data.op.effects(self.function);
        if effects.runs_python || effects.writes != 0 {
            for (&value, source) in &self.values {
                let reads_what_is_written = source.reads & effects.writes != 0;
                let may_be_released = source.reads != 0 && (effects.runs_python || reads_what_is_written);
                if may_be_released && stale.insert(value) {
                    self.propagate(value, stale);
                }
            }
        }
        for &root in self.releases.insts.get(&inst).into_iter().flatten() {
            self.propagate(root, stale);
        }
        if let Some(result) = data.result {
            stale.remove(&result);
        }
    }

    fn jump(&self, terminator: Inst, index: usize, stale: &mut Self::State) {
        for &root in self.releases.edges.get(&(terminator, index)).into_iter().flatten() {
            self.propagate(root, stale);
        }
    }

    fn join(&self, stale: &mut Self::State, other: &Self::State) {
        stale.extend(other);
    }
}

/// Checks all uses of borrowed values.
pub(super) fn check(cfg: &Cfg, releases: &Releases, report: &mut Report) {
    let function = report.function;
    let references = References::new(function, cfg);
    let mut values = BTreeMap::new();
    for &block in cfg.rpo() {
        for &inst in &function.blocks[block].insts {
            if let Some(result) = function.insts[inst].result
                && function.ty(result).is_object()
                && references.is_borrowed(result)
            {
                values.insert(result, function.insts[inst].op.effects(function));
            }
        }
    }
    let flow = Borrows { function, values, releases };
    let starts = flow::solve(function, cfg, &flow);
    for &block in cfg.rpo() {
        let mut stale = starts[&block].clone();
        for &inst in &function.blocks[block].insts {
            let op = &function.insts[inst].op;
            let mut use_value = |value: Value, place: &str| {
                // A constant that is known to be the value is held by the unit.
                let is_constant = matches!(function.ty(value), Type::Constant(..));
                if stale.contains(&function.root(value)) && !is_constant {
                    report.inst(inst, format!("{place}{value} is borrowed and may have been released"));
                }
            };
            op.for_each_operand(|value| use_value(value, ""));
            if let Some(state) = op.state() {
                function.for_each_state_value(state, |value| use_value(value, &format!("{state}: ")));
            }
            flow.pass(inst, &mut stale);
        }
    }
}
