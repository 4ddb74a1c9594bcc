//! Small analyses that several passes share.

use coluber_ir::ops::Refs;
use coluber_ir::verify::balance::{is_permanent, outliving_borrows};
use coluber_ir::{Block, Function, Inst, Op, Value};
use cranelift_entity::SecondaryMap;
use rustc_hash::FxHashSet as HashSet;

/// Where values are used by instructions (not by frame states).
pub struct Uses {
    users: SecondaryMap<Value, Vec<(Block, Inst)>>,
    state_users: SecondaryMap<Value, u32>,
}

impl Uses {
    /// Collects the uses of all values.
    pub fn new(function: &Function) -> Uses {
        let mut users: SecondaryMap<Value, Vec<(Block, Inst)>> = SecondaryMap::new();
        let mut state_users: SecondaryMap<Value, u32> = SecondaryMap::new();
        let mut seen_states = SecondaryMap::<coluber_ir::FrameStateId, bool>::new();
        for &block in &function.layout {
            for &inst in &function.blocks[block].insts {
                let op = &function.insts[inst].op;
                op.for_each_operand(|value| users[value].push((block, inst)));
                let mut next = op.state();
                while let Some(state) = next {
                    if std::mem::replace(&mut seen_states[state], true) {
                        break;
                    }
                    for slot in function.states[state].slots() {
                        slot.for_each(|value| state_users[value] += 1);
                    }
                    next = function.states[state].caller;
                }
            }
        }
        Uses { users, state_users }
    }

    /// Instructions that have the value as an operand.
    pub fn of(&self, value: Value) -> &[(Block, Inst)] {
        &self.users[value]
    }

    /// Whether a frame state that is in use names the value.
    pub fn in_states(&self, value: Value) -> bool {
        self.state_users[value] > 0
    }
}

/// Whether the op may end the life of an object: then a borrowed reference may dangle behind it.
pub fn may_release(function: &Function, op: &Op) -> bool {
    let effects = op.effects(function);
    matches!(op, Op::Kill { .. } | Op::Decref { .. })
        || effects.runs_python
        || matches!(op, Op::Invoke { .. }) && effects.writes != 0
}

/// The object a value refers to, refinements and reloads looked through.
pub fn pointer(function: &Function, value: Value) -> Value {
    let mut value = function.root(value);
    while let Some(Op::SameObject { value: same }) = function.def_op(value) {
        value = function.root(*same);
    }
    value
}

/// Roots whose reference an instruction steals or a block parameter takes over.
pub fn given_away(function: &Function) -> HashSet<Value> {
    let mut roots = HashSet::default();
    for &block in &function.layout {
        for &inst in &function.blocks[block].insts {
            let op = &function.insts[inst].op;
            op.for_each_stolen(|value| {
                roots.insert(function.root(value));
            });
            op.for_each_target(|target| {
                let objects = target.arguments.iter().filter(|value| function.ty(**value).is_object());
                roots.extend(objects.map(|value| function.root(*value)));
            });
        }
    }
    roots
}

/// Roots whose reference something consumes: an op, the end of a life ([`Op::Kill`]), or leaving compiled code.
pub fn consumed_roots(function: &Function) -> HashSet<Value> {
    let mut consumed = given_away(function);
    for &block in &function.layout {
        for &inst in &function.blocks[block].insts {
            if let Op::Kill { value, .. } = function.insts[inst].op {
                consumed.insert(function.root(value));
            }
        }
    }
    let borrowed = |root: Value| !consumed.contains(&root);
    let outliving = outliving_borrows(function, function.layout.iter().copied(), borrowed);
    consumed.extend(outliving);
    consumed
}

/// Whether nothing is ever done with references to it: a borrowed result that lives as long as the unit or its frame.
pub fn is_held_anyway(function: &Function, value: Value) -> bool {
    function.def_op(function.root(value)).is_some_and(|op| op.refs() == Refs::Borrowed && is_permanent(function, op))
}
