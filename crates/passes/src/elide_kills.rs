//! Lets short-lived borrowed references stay borrowed.
//!
//! ```text
//! v3 = ListGet v1, v2
//! v4 = GuardKind v3, Float, fs5                    v3 = ListGet v1, v2
//! v5 = UnboxFloat v4                         =>    v4 = GuardKind v3, Float, fs5
//! Kill v4                                          v5 = UnboxFloat v4
//! ```
//!
//! A borrowed result whose only consumers are `Kill`s in its own block needs no reference of its own if nothing between
//! its definition and the last of them can release an object: the container still holds it. What is left gets an `Incref`
//! behind its definition (`insert_refcounts`).
//!
//! Correct: the container's reference is dropped only by an op that may release. A kill in between of a value of another
//! exact builtin type that dies silently cannot be the borrowed object. Left alone: consumers in several blocks.
//! "Does not fire": `keeps_reference_across_a_call`, `keeps_reference_across_a_kill_of_the_same_type`.

use crate::analysis::{Uses, may_release};
use crate::manager::{Changed, Pass};
use coluber_ir::ops::Refs;
use coluber_ir::{Function, Inst, Op, Value};
use std::collections::{HashMap, HashSet};

/// See the module.
pub struct ElideKills;

impl Pass for ElideKills {
    fn name(&self) -> &'static str {
        "elide_kills"
    }

    fn is_required(&self) -> bool {
        false
    }

    fn run(&self, function: &mut Function) -> Changed {
        let uses = Uses::new(function);
        let consumed_elsewhere = consumed_values(function, &uses);
        let mut dead: HashSet<Inst> = HashSet::new();
        for &block in &function.layout {
            // Kills of the borrowed values of this block, by root.
            let insts = &function.blocks[block].insts;
            let mut kills: HashMap<Value, Vec<usize>> = HashMap::new();
            for (position, &inst) in insts.iter().enumerate() {
                if let Op::Kill { value, .. } = function.insts[inst].op {
                    kills.entry(function.root(value)).or_default().push(position);
                }
            }
            for (position, &inst) in insts.iter().enumerate() {
                let data = &function.insts[inst];
                if data.op.refs() != Refs::Borrowed {
                    continue;
                }
                let Some(value) = data.result else { continue };
                if consumed_elsewhere.contains(&value) {
                    continue;
                }
                let Some(ends) = kills.get(&value) else { continue };
                let last = *ends.last().expect("kills are not empty");
                if total_kills(function, &uses, value) != ends.len() {
                    continue;
                }
                let releases = insts[position + 1..last].iter().enumerate().any(|(offset, between)| {
                    !ends.contains(&(position + 1 + offset))
                        && !dead.contains(between)
                        && may_be_released_by(function, value, *between)
                });
                if !releases {
                    dead.extend(ends.iter().map(|end| insts[*end]));
                }
            }
        }
        if dead.is_empty() {
            return false;
        }
        for index in 0..function.layout.len() {
            let block = function.layout[index];
            function.blocks[block].insts.retain(|inst| !dead.contains(inst));
        }
        true
    }
}

/// The exact builtin type that the value or a refinement of it is known to have.
fn refined_kind(function: &Function, value: Value) -> Option<coluber_ir::Kind> {
    let mut kind = function.ty(value).kind();
    for data in function.insts.values() {
        if let (Op::GuardKind { value: guarded, kind: known, .. }, Some(_)) = (&data.op, data.result)
            && *guarded == value
        {
            kind = kind.or(Some(*known));
        }
    }
    kind
}

fn may_be_released_by(function: &Function, value: Value, inst: Inst) -> bool {
    let op = &function.insts[inst].op;
    if let Op::Kill { value: other, .. } = op {
        let ty = function.ty(*other);
        if ty.dies_silently()
            && let Some(other_kind) = ty.boxed_kind()
        {
            return refined_kind(function, value).is_none_or(|kind| kind == other_kind);
        }
    }
    may_release(function, op)
}

/// Roots whose reference is consumed by anything but a `Kill`.
fn consumed_values(function: &Function, uses: &Uses) -> HashSet<Value> {
    let _ = uses;
    let mut consumed = HashSet::new();
    for &block in &function.layout {
        for &inst in &function.blocks[block].insts {
            let op = &function.insts[inst].op;
            op.for_each_stolen(|value| {
                consumed.insert(function.root(value));
            });
            op.for_each_target(|target| {
                consumed.extend(target.arguments.iter().map(|value| function.root(*value)));
            });
        }
    }
    consumed
}

fn total_kills(function: &Function, uses: &Uses, root: Value) -> usize {
    // Refinements of the value are values of their own: count the kills of all of them.
    let mut count = 0;
    let mut work = vec![root];
    while let Some(value) = work.pop() {
        for (_, user) in uses.of(value) {
            let data = &function.insts[*user];
            match data.op.refs() {
                Refs::Alias(operand) if operand == value => work.extend(data.result),
                _ if matches!(data.op, Op::Kill { .. }) => count += 1,
                _ => {}
            }
        }
    }
    count
}
