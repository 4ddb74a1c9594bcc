//! Which locals matter at an instruction: those that may be read before they are set again.

use crate::graph::{BytecodeBlock, all_blocks};
use coluber_bytecode::{Code, Op};

/// By slot: whether the code may read it, from the instruction at index `entry` on, before it sets it. Every exception may be
/// raised by every instruction.
pub(crate) fn live_locals(code: &Code, entry: usize) -> Vec<bool> {
    let slots = code.slot_count as usize;
    let (blocks, start) = all_blocks(code, entry);
    let mut live = vec![vec![false; slots]; blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for (index, block) in blocks.iter().enumerate().rev() {
            let found = live_in(code, block, &live, slots);
            changed |= found != live[index];
            live[index] = found;
        }
    }
    live.swap_remove(start)
}

/// What is live at the start of a block, as far as is known of the blocks behind it.
fn live_in(code: &Code, block: &BytecodeBlock, known: &[Vec<bool>], slots: usize) -> Vec<bool> {
    let mut live = vec![false; slots];
    let add = |block: usize, live: &mut Vec<bool>| {
        for (slot, is_live) in known[block].iter().enumerate() {
            live[slot] |= is_live;
        }
    };
    for successor in &block.successors {
        add(*successor, &mut live);
    }
    for instruction in code.instructions[block.first..block.end].iter().rev() {
        match instruction.op {
            Op::StoreFast { local } => live[local as usize] = false,
            Op::LoadFast { local }
            | Op::LoadFastCheck { local }
            | Op::LoadFastAndClear { local }
            | Op::DeleteFast { local }
            | Op::MakeCell { local }
            | Op::LoadDeref { local }
            | Op::StoreDeref { local }
            | Op::DeleteDeref { local }
            | Op::LoadFromDictOrDeref { local } => live[local as usize] = true,
            _ => {}
        }
    }
    if let Some(handler) = block.handler {
        add(handler, &mut live);
    }
    live
}

#[cfg(test)]
mod tests {
    use super::*;
    use coluber_bytecode::{CodeFlags, Feedback, Instruction, ObjectId, Op as O};

    fn code(ops: Vec<Op>) -> Code {
        let instructions = (0..).zip(ops).map(|(number, op)| {
            let start = 2 * number;
            Instruction { start, offset: start, next: start + 2, op, feedback: Feedback::None }
        });
        Code {
            object: ObjectId(0),
            name: "f".into(),
            filename: "m.py".into(),
            first_line: 1,
            argument_count: 0,
            keyword_only_count: 0,
            slot_count: 3,
            local_count: 3,
            slot_names: Vec::new(),
            stack_size: 1,
            flags: CodeFlags::default(),
            iterator_slots: 1,
            indexed_loops: false,
            instructions: instructions.collect(),
            handlers: Vec::new(),
            lines: Vec::new(),
        }
    }

    #[test]
    fn what_is_set_first_is_dead() {
        // while True: x = y; z = x
        let code = code(vec![
            O::LoadFast { local: 1 },
            O::StoreFast { local: 0 },
            O::LoadFast { local: 0 },
            O::StoreFast { local: 2 },
            O::JumpBackward { target: 0, check: true },
        ]);
        assert_eq!(live_locals(&code, 0)[..3], [false, true, false]);
        assert_eq!(live_locals(&code, 2)[..3], [true, true, false]);
    }

    #[test]
    fn what_one_path_reads_is_live() {
        let code = code(vec![
            O::LoadFast { local: 0 },
            O::PopJumpIfFalse { target: 8 },
            O::LoadFast { local: 1 },
            O::StoreFast { local: 2 },
            O::LoadFast { local: 2 },
            O::ReturnValue,
        ]);
        assert_eq!(live_locals(&code, 0)[..3], [true, true, true]);
    }
}
