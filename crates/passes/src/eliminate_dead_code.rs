//! Removes instructions without effect whose results nobody uses, and boxes that only frame states and their own end need.
//!
//! ```text
//! v3 = BoxFloat v2
//! v4 = GuardKind v0, Float, fs7      ; fs7 names v3          v4 = GuardKind v0, Float, fs7   ; fs7 names v2
//! Kill v3                                              =>
//! ```
//!
//! Correct: an exit boxes what its state names; a box that nobody but exits saw has no identity to keep. The states in
//! which loops start over are needed too.
//! Left alone: values that only feed block parameters nobody uses (cycles of parameters). "Does not fire":
//! `keeps_box_that_escapes`, `keeps_guard`, `keeps_effects`, `keeps_what_the_state_of_a_loop_names`,
//! `keeps_unused_parameter`, `keeps_helpers_with_outputs`.

use crate::analysis::Uses;
use crate::manager::{Changed, Pass};
use coluber_ir::ops::Refs;
use coluber_ir::{Function, Op, Value};
use cranelift_entity::SecondaryMap;

/// See the module.
pub struct EliminateDeadCode;

impl Pass for EliminateDeadCode {
    fn name(&self) -> &'static str {
        "eliminate_dead_code"
    }

    fn is_required(&self) -> bool {
        false
    }

    fn run(&self, function: &mut Function) -> Changed {
        let boxes = sink_boxes(function);
        let dead = remove_unused(function);
        boxes || dead
    }
}

/// Lets frame states name the register instead of a box that nothing else uses.
fn sink_boxes(function: &mut Function) -> bool {
    let uses = Uses::new(function);
    let mut replaced = Vec::new();
    for &block in &function.layout {
        for &inst in &function.blocks[block].insts {
            let data = &function.insts[inst];
            let (Op::BoxInt { value } | Op::BoxFloat { value } | Op::BoxBool { value }) = data.op else { continue };
            let boxed = data.result.expect("a box is a result");
            let only_ends = uses.of(boxed).iter().all(|(_, user)| {
                let op = &function.insts[*user].op;
                matches!(op, Op::Kill { .. }) || op.refs() == Refs::Virtual
            });
            if only_ends {
                replaced.push((boxed, value, inst));
            }
        }
    }
    if replaced.is_empty() {
        return false;
    }
    let mut dead_boxes = SecondaryMap::<Value, bool>::new();
    for (boxed, value, _) in &replaced {
        dead_boxes[*boxed] = true;
        function.replace(*boxed, *value);
    }
    for index in 0..function.layout.len() {
        let block = function.layout[index];
        let mut insts = std::mem::take(&mut function.blocks[block].insts);
        insts.retain(|inst| match &function.insts[*inst].op {
            Op::Kill { value, .. } => !dead_boxes[*value],
            _ => function.insts[*inst].result.is_none_or(|result| !dead_boxes[result]),
        });
        function.blocks[block].insts = insts;
    }
    function.resolve_aliases();
    true
}

fn remove_unused(function: &mut Function) -> bool {
    // Mark what is needed, from the instructions that must stay.
    let mut needed = SecondaryMap::<Value, bool>::new();
    let mut work: Vec<Value> = Vec::new();
    let mut states = SecondaryMap::<coluber_ir::FrameStateId, bool>::new();
    let mut mark_state = |function: &Function, state: Option<coluber_ir::FrameStateId>, work: &mut Vec<Value>| {
        let mut next = state;
        while let Some(state) = next {
            if std::mem::replace(&mut states[state], true) {
                break;
            }
            for slot in function.states[state].slots() {
                slot.for_each(|value| work.push(value));
            }
            next = function.states[state].caller;
        }
    };
    let mut mark_inst = |function: &Function, inst: coluber_ir::Inst, work: &mut Vec<Value>| {
        let op = &function.insts[inst].op;
        op.for_each_operand(|value| work.push(value));
        mark_state(function, op.state(), work);
    };
    for &block in &function.layout {
        for &inst in &function.blocks[block].insts {
            if !is_removable(function, inst) {
                mark_inst(function, inst, &mut work);
            }
        }
    }
    for &block in &function.layout {
        if let Some(state) = function.blocks[block].loop_state {
            function.for_each_state_value(state, |value| work.push(value));
        }
    }
    while let Some(value) = work.pop() {
        if std::mem::replace(&mut needed[value], true) {
            continue;
        }
        if let Some(inst) = function.def_inst(value) {
            mark_inst(function, inst, &mut work);
        }
    }
    let mut changed = false;
    for index in 0..function.layout.len() {
        let block = function.layout[index];
        let mut insts = std::mem::take(&mut function.blocks[block].insts);
        let before = insts.len();
        insts.retain(|inst| {
            !is_removable(function, *inst) || function.insts[*inst].result.is_some_and(|result| needed[result])
        });
        changed |= insts.len() != before;
        function.blocks[block].insts = insts;
    }
    changed
}

/// Whether the instruction may go when its result is unused. Results that own a reference are ended by a `Kill`, which
/// is a use.
fn is_removable(function: &Function, inst: coluber_ir::Inst) -> bool {
    let op = &function.insts[inst].op;
    let has_outputs = matches!(op, Op::Invoke { helper, .. } if helper.has_outputs());
    op.effects(function).is_removable()
        && !has_outputs
        && !matches!(op, Op::LoadLocal { .. } | Op::LoadArgument { .. } | Op::LoadStack { .. } | Op::TakeOutput { .. })
}
