//! Frame states: inlined activations and their callers; exits that would repeat an effect.

use super::Report;
use super::structure::used_states;
use crate::{Cfg, FrameState, FrameStateId, Function, Inst, Op, Resume};

/// Checks all states in use.
pub fn check(cfg: &Cfg, report: &mut Report) {
    for state in used_states(report.function) {
        check_activations(state, report);
    }
    for &block in cfg.rpo() {
        check_effects(&report.function.blocks[block].insts, report);
    }
}

fn check_activations(id: FrameStateId, report: &mut Report) {
    let function = report.function;
    let mut next = Some(id);
    if function.states[id].resume == Resume::Undone {
        let state = &function.states[id];
        if !state.locals.is_empty() || state.function.is_some() || state.caller.is_none() {
            report.state(id, "a trial has no locals and no function, but a caller");
        }
        next = state.caller;
    }
    if let Some(id) = next
        && !matches!(function.states[id].resume, Resume::At { .. })
    {
        report.state(id, "the innermost state resumes at an instruction");
    }
    while let Some(id) = next {
        let state = &function.states[id];
        if state.caller.is_some() != state.function.is_some() {
            report.state(id, "an inlined activation has a function and a caller, the outermost one has neither");
        }
        if let Some(caller) = state.caller
            && matches!(function.states[caller].resume, Resume::At { .. } | Resume::Undone)
        {
            report.state(caller, "the state of a caller waits for its callee");
        }
        next = state.caller;
    }
}

/// An exit resumes in front of an instruction; if that instruction has run Python code already, it would do so again.
/// Within a block, that is: no exit with the place of the state of an op before it that runs Python code.
fn check_effects(insts: &[Inst], report: &mut Report) {
    let function = report.function;
    let mut done: Vec<&FrameState> = Vec::new();
    for &inst in insts {
        let op = &function.insts[inst].op;
        let Some(state) = op.state().map(|state| &function.states[state]) else {
            continue;
        };
        let effects = op.effects(function);
        if effects.exits && done.iter().any(|other| same_place(function, state, other)) {
            report.inst(inst, "the exit repeats an instruction that has run Python code");
        }
        // A drop's state is the one behind its instruction.
        if effects.runs_python && !matches!(op, Op::Kill { .. } | Op::Decref { .. }) {
            done.push(state);
        }
    }
}

/// Whether two states are in the same activation and resume at the same instruction.
fn same_place(function: &Function, left: &FrameState, right: &FrameState) -> bool {
    left.code == right.code
        && left.resume == right.resume
        && match (left.caller, right.caller) {
            (None, None) => true,
            (Some(left), Some(right)) => same_place(function, &function.states[left], &function.states[right]),
            _ => false,
        }
}
