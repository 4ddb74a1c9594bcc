//! Makes references explicit: `Kill` becomes `Decref`, `Dup` becomes `Incref`, borrowed values that are consumed get an
//! `Incref` behind their definition. Sets [`coluber_ir::ValueData::owned`], which exits need.
//!
//! ```text
//! v3 = ListGet v1, v2                v3 = ListGet v1, v2
//! v4 = Call v0, ...             =>   Incref v3
//! Kill v3                            v4 = Call v0, ...
//!                                    Decref v3
//! ```
//!
//! Required. Afterwards the function is in phase `Counted`.

use crate::manager::{Changed, Pass};
use coluber_ir::function::Phase;
use coluber_ir::ops::Refs;
use coluber_ir::{Function, Op, Value, ValueDef};
use std::collections::HashSet;

/// See the module.
pub struct InsertRefcounts;

impl Pass for InsertRefcounts {
    fn name(&self) -> &'static str {
        "insert_refcounts"
    }

    fn is_required(&self) -> bool {
        true
    }

    fn run(&self, function: &mut Function) -> Changed {
        let consumed = consumed_roots(function);
        let values: Vec<Value> = function.values.keys().collect();
        for value in values {
            if !function.ty(value).is_object() {
                continue;
            }
            function.values[value].owned = match function.values[value].def {
                ValueDef::Parameter(..) => true,
                ValueDef::Alias(_) => false,
                ValueDef::Result(inst) => match function.insts[inst].op.refs() {
                    Refs::Owned => true,
                    Refs::Borrowed => consumed.contains(&value),
                    Refs::Alias(_) | Refs::None => false,
                },
            };
        }
        // A refinement is owned as its root is.
        let values: Vec<Value> = function.values.keys().collect();
        for value in values {
            let root = function.root(value);
            if root != value && function.ty(value).is_object() {
                function.values[value].owned = function.values[root].owned;
            }
        }
        for index in 0..function.layout.len() {
            let block = function.layout[index];
            let insts = std::mem::take(&mut function.blocks[block].insts);
            let mut result = Vec::with_capacity(insts.len() + 8);
            for inst in insts {
                let source = function.insts[inst].source;
                match function.insts[inst].op.clone() {
                    Op::Kill { value, state } => {
                        if function.values[value].owned {
                            result.push(function.make(Op::Decref { value, state }, source));
                        }
                    }
                    Op::Dup { value } => {
                        let copy = function.insts[inst].result.expect("a copy is a result");
                        function.replace(copy, value);
                        result.push(function.make(Op::Incref { value }, source));
                    }
                    op => {
                        result.push(inst);
                        if op.refs() == Refs::Borrowed
                            && let Some(value) = function.insts[inst].result
                            && consumed.contains(&value)
                        {
                            result.push(function.make(Op::Incref { value }, source));
                        }
                    }
                }
            }
            function.blocks[block].insts = result;
        }
        function.resolve_aliases();
        function.phase = Phase::Counted;
        true
    }
}

/// Roots whose reference something consumes.
fn consumed_roots(function: &Function) -> HashSet<Value> {
    let mut consumed = HashSet::new();
    for &block in &function.layout {
        for &inst in &function.blocks[block].insts {
            let op = &function.insts[inst].op;
            if let Op::Kill { value, .. } = op {
                consumed.insert(function.root(*value));
            }
            op.for_each_stolen(|value| {
                consumed.insert(function.root(value));
            });
            op.for_each_target(|target| {
                for value in &target.arguments {
                    if function.ty(*value).is_object() {
                        consumed.insert(function.root(*value));
                    }
                }
            });
        }
    }
    consumed
}
