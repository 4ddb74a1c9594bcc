//! Locals that are only calculated with.
//!
//! A number that has been an object keeps it, so that `x is l[0]` stays true after `x = l[0]`: the identity of objects
//! is visible. But where every load of a local is consumed by arithmetic or a comparison of values, no instruction
//! of the code can tell whether the local still holds the same object, or only an equal one; such a local can keep the
//! register alone.

use coluber_bytecode::{Code, Op};

/// For each slot of the code: whether all its loads are operands of arithmetic or comparisons.
pub(crate) fn numeric_locals(code: &Code) -> Vec<bool> {
    let mut numeric = vec![true; code.slot_count as usize];
    // Which local each simulated stack slot came from. Unknown instructions end the simulation: what is on the stack
    // then counts as used in another way.
    let mut stack: Vec<Option<u32>> = Vec::new();
    let flush = |stack: &mut Vec<Option<u32>>, numeric: &mut Vec<bool>| {
        for local in stack.drain(..).flatten() {
            numeric[local as usize] = false;
        }
    };
    let escape = |popped: Option<Option<u32>>, numeric: &mut Vec<bool>| {
        if let Some(Some(local)) = popped {
            numeric[local as usize] = false;
        }
    };
    for instruction in &code.instructions {
        match instruction.op {
            Op::LoadFast { local } | Op::LoadFastCheck { local } => stack.push(Some(local)),
            Op::LoadConst { .. } => stack.push(None),
            Op::BinaryOp { .. } | Op::Compare { .. } => {
                stack.pop();
                stack.pop();
                stack.push(None);
            }
            Op::UnaryNegative => {
                stack.pop();
                stack.push(None);
            }
            Op::StoreFast { .. } => {
                escape(stack.pop(), &mut numeric);
            }
            Op::BinarySubscript => {
                // A key is hashed or converted to an index; neither keeps it when the container is a sequence, but
                // a dict may: containers are not known here.
                escape(stack.pop(), &mut numeric);
                escape(stack.pop(), &mut numeric);
                stack.push(None);
            }
            Op::Nop | Op::Resume { .. } => {}
            Op::Swap { depth } => {
                let top = stack.len();
                match top.checked_sub(depth as usize) {
                    Some(other) if top > 0 => stack.swap(top - 1, other),
                    _ => flush(&mut stack, &mut numeric),
                }
            }
            _ => flush(&mut stack, &mut numeric),
        }
    }
    flush(&mut stack, &mut numeric);
    numeric
}
