//! Borrowed references are used only while somebody else certainly holds the object (design 3.5).
//!
//! A borrowed result without a reference of its own (see [`super::balance`]) comes out of something: a list, an
//! instance, a cell. It must not be used, named by a state or given away behind an op that may release the object:
//!
//! * one that may run Python code, or calls a helper that writes memory;
//! * `Kill` or `Decref` of an object that dies silently, unless the borrowed one is known to be of another builtin type
//!   there. (A store is none: it hands out what it replaces as an owned result.)
//!
//! What comes out of an immutable object (`TupleGet`) lives as long as that does: it must not be used behind an op that
//! gives away the tuple, or behind which the tuple itself must not be used.
//!
//! Results of ops that depend on nothing (`Constant`, `LoadFunction`, `BoxBool`) are held by the unit or the frame.

use super::Report;
use super::balance::{References, Releases};
use super::flow::{self, Flow};
use crate::ops::Refs;
use crate::{Cfg, Function, Inst, Kind, Op, Type, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Borrowed values and where they come from.
struct Borrows<'a> {
    function: &'a Function,
    /// Those that come out of memory that can change.
    from_memory: BTreeSet<Value>,
    /// Those that come out of immutable objects, with the objects' roots.
    from_objects: BTreeMap<Value, Vec<Value>>,
    releases: &'a Releases,
}

/// What is known at a point.
#[derive(Clone, PartialEq, Default)]
struct State {
    /// Borrowed values that must not be used any more.
    stale: BTreeSet<Value>,
    /// Builtin types of roots that guards have established.
    kinds: BTreeMap<Value, Kind>,
}

impl<'a> Borrows<'a> {
    fn new(function: &'a Function, cfg: &Cfg, releases: &'a Releases) -> Borrows<'a> {
        let references = References::new(function, cfg);
        let mut borrows = Borrows { function, from_memory: BTreeSet::new(), from_objects: BTreeMap::new(), releases };
        for &inst in cfg.rpo().iter().flat_map(|&block| &function.blocks[block].insts) {
            let data = &function.insts[inst];
            let Some(result) = data.result.filter(|&result| function.ty(result).is_object()) else {
                continue;
            };
            if !references.is_borrowed(result) {
                continue;
            }
            if data.op.effects(function).reads != 0 || matches!(data.op, Op::SameObject { .. }) {
                borrows.from_memory.insert(result);
            } else {
                let mut objects = Vec::new();
                data.op.for_each_operand(|operand| objects.push(function.root(operand)));
                objects.retain(|&root| function.ty(root).is_object());
                borrows.from_objects.insert(result, objects);
            }
        }
        borrows
    }

    /// Declares a value stale, with all that comes out of it.
    fn expire(&self, value: Value, state: &mut State) {
        if state.stale.insert(value) {
            self.release(value, state);
        }
    }

    /// Declares stale what comes out of an object that is gone.
    fn release(&self, root: Value, state: &mut State) {
        for (&value, objects) in &self.from_objects {
            if objects.contains(&root) {
                self.expire(value, state);
            }
        }
    }

    fn known_kind(&self, root: Value, state: &State) -> Option<Kind> {
        self.function.ty(root).kind().or_else(|| state.kinds.get(&root).copied())
    }

    /// Whether the op may release an object of that builtin type, or of an unknown type.
    fn may_release(&self, op: &Op, kind: Option<Kind>) -> bool {
        let effects = op.effects(self.function);
        match op {
            _ if effects.runs_python => true,
            Op::Invoke { .. } => effects.writes != 0,
            Op::Kill { value, .. } | Op::Decref { value, .. } => {
                let killed = self.function.ty(*value).boxed_kind();
                killed.is_none() || kind.is_none() || killed == kind
            }
            _ => false,
        }
    }
}

impl Flow for Borrows<'_> {
    type State = State;

    fn entry(&self) -> State {
        State::default()
    }

    fn pass(&self, inst: Inst, state: &mut State) {
        let data = &self.function.insts[inst];
        // Most ops release nothing at all.
        if self.may_release(&data.op, None) {
            for &value in &self.from_memory {
                if self.may_release(&data.op, self.known_kind(value, state)) {
                    self.expire(value, state);
                }
            }
        }
        for &root in self.releases.insts.get(&inst).into_iter().flatten() {
            self.release(root, state);
        }
        let Some(result) = data.result else {
            return;
        };
        if let (Refs::Alias(_), Some(kind)) = (data.op.refs(), self.function.ty(result).kind()) {
            state.kinds.insert(self.function.root(result), kind);
        } else {
            // A loop makes it anew.
            state.stale.remove(&result);
            state.kinds.remove(&result);
        }
    }

    fn jump(&self, terminator: Inst, index: usize, state: &mut State) {
        for &root in self.releases.edges.get(&(terminator, index)).into_iter().flatten() {
            self.release(root, state);
        }
    }

    fn join(&self, state: &mut State, other: &State) {
        state.stale.extend(&other.stale);
        state.kinds.retain(|root, kind| other.kinds.get(root) == Some(kind));
    }
}

/// Checks all uses of borrowed values.
pub(super) fn check(cfg: &Cfg, releases: &Releases, report: &mut Report) {
    let function = report.function;
    let borrows = Borrows::new(function, cfg, releases);
    let starts = flow::solve(function, cfg, &borrows);
    for &block in cfg.rpo() {
        let mut state = starts[&block].clone();
        for &inst in &function.blocks[block].insts {
            let op = &function.insts[inst].op;
            let mut use_value = |value: Value, place: &str| {
                // A constant that is known to be the value is held by the unit.
                let is_constant = matches!(function.ty(value), Type::Constant(..));
                if state.stale.contains(&function.root(value)) && !is_constant {
                    report.inst(inst, format!("{place}{value} is borrowed and may have been released"));
                }
            };
            if !matches!(op, Op::SameObject { .. }) {
                op.for_each_operand(|value| use_value(value, ""));
            }
            if let Some(state) = op.state() {
                function.for_each_state_value(state, |value| use_value(value, &format!("{state}: ")));
            }
            borrows.pass(inst, &mut state);
        }
    }
}
