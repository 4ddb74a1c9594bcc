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
//! Correct: the container's reference is dropped only by an op that may release, and the container is not given away. A
//! kill in between of a value of another exact builtin type that dies silently cannot be the borrowed object, if a guard in
//! front of it says so. Left alone: consumers in several blocks. "Does not fire": `keeps_reference_across_a_call`,
//! `keeps_reference_across_a_kill_of_the_same_type`, `keeps_reference_that_is_guarded_too_late`,
//! `keeps_reference_of_what_a_tuple_held_that_was_given_away`, `keeps_reference_that_is_given_away`.

use crate::analysis::{Uses, given_away, may_release};
use crate::manager::{Changed, Pass};
use coluber_ir::ops::Refs;
use coluber_ir::{Function, Inst, Kind, Op, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

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
        let consumed_elsewhere = given_away(function);
        let mut dead: HashSet<Inst> = HashSet::default();
        for &block in &function.layout {
            // Kills of the borrowed values of this block, by root.
            let insts = &function.blocks[block].insts;
            let mut kills: HashMap<Value, Vec<usize>> = HashMap::default();
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
                let between = insts[position + 1..last]
                    .iter()
                    .enumerate()
                    .filter(|(offset, between)| !ends.contains(&(position + 1 + offset)) && !dead.contains(between));
                let releases = may_be_released(function, value, between.map(|(_, between)| *between));
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

/// Whether one of the instructions between the definition of a borrowed value and its end may release the object.
fn may_be_released(function: &Function, value: Value, between: impl Iterator<Item = Inst>) -> bool {
    let containers = containers(function, value);
    // What guards have said so far; one behind a release comes too late.
    let mut kind = function.ty(value).kind();
    for inst in between {
        let data = &function.insts[inst];
        let mut gives_container = false;
        data.op.for_each_stolen(|stolen| gives_container |= containers.contains(&function.root(stolen)));
        if gives_container || may_release_kind(function, &data.op, kind) {
            return true;
        }
        if let (Refs::Alias(operand), Some(result)) = (data.op.refs(), data.result)
            && function.root(operand) == value
        {
            kind = kind.or(function.ty(result).kind());
        }
    }
    false
}

/// Whether the op may release an object of that exact builtin type, or of an unknown type.
fn may_release_kind(function: &Function, op: &Op, kind: Option<Kind>) -> bool {
    if let Op::Kill { value, .. } = op {
        let ty = function.ty(*value);
        if ty.dies_silently()
            && let Some(other) = ty.boxed_kind()
        {
            return kind.is_none_or(|kind| kind == other);
        }
    }
    may_release(function, op)
}

/// The immutable objects that the value came out of, one out of the other. (What came out of memory is still there when
/// its container was given away.)
fn containers(function: &Function, value: Value) -> HashSet<Value> {
    let mut found = HashSet::default();
    let mut work = vec![value];
    while let Some(value) = work.pop() {
        let Some(op) = function.def_op(value) else { continue };
        if op.refs() != Refs::Borrowed || op.effects(function).reads != 0 || matches!(op, Op::SameObject { .. }) {
            continue;
        }
        op.for_each_operand(|operand| {
            let root = function.root(operand);
            if function.ty(root).is_object() && found.insert(root) {
                work.push(root);
            }
        });
    }
    found
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
