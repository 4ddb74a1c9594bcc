//! Whether the targets of a loop keep alive what each step gives them.
//!
//! `enumerate`, `zip` and the iterator of `dict.items()` hold the last pair they gave until the next step. Compiled code
//! makes no pair; the items live as long as the targets hold them. Nobody can tell where a pair is unpacked at once into
//! variables that the loop does not bind or delete again.

use crate::translator::Translator;
use coluber_bytecode::{Code, Feedback, Instruction, Op as Bytecode, Seen};

/// A variable that is bound or deleted.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Local(u32),
    Cell(u32),
    Name(coluber_bytecode::ObjectId),
}

impl Translator<'_> {
    /// Whether a `for` loop unpacks pairs into variables that keep the items until the next step.
    pub(crate) fn targets_keep_pairs(&self, instruction: &Instruction) -> bool {
        let code = self.code();
        let Some(index) = code.index_of(instruction.start) else { return false };
        let Bytecode::ForIter { exhausted } = instruction.op else { return false };
        let mut targets = Vec::new();
        let Some(body) = take_target(code, index + 1, &mut targets, true) else { return false };
        let is_repeated = |(number, target)| targets[..number].contains(target);
        if targets.iter().enumerate().any(is_repeated) {
            return false;
        }
        let end = code.instructions.partition_point(|other| other.start < exhausted);
        let handlers = code.handlers.iter().map(|range| range.handler).min().unwrap_or(u32::MAX);
        let handlers = code.instructions.partition_point(|other| other.start < handlers);
        let binds_again = |other: &Instruction| bound(other).is_some_and(|target| targets.contains(&target));
        // Comprehensions put the variables they use back where an exception leaves them.
        let is_own = |target: &Target| {
            let saves = |other: &Instruction| matches!(other.op, Bytecode::LoadFastAndClear { local } if *target == Target::Local(local));
            code.instructions[..index].iter().any(saves)
        };
        let in_handlers = code.instructions.get(end.max(handlers)..).unwrap_or_default();
        !code.instructions[body..end].iter().any(binds_again)
            && (targets.iter().all(is_own) || !in_handlers.iter().any(binds_again))
    }
}

/// The variable an instruction binds or deletes.
fn bound(instruction: &Instruction) -> Option<Target> {
    Some(match instruction.op {
        Bytecode::StoreFast { local } | Bytecode::DeleteFast { local } | Bytecode::LoadFastAndClear { local } => {
            Target::Local(local)
        }
        Bytecode::StoreDeref { local } | Bytecode::DeleteDeref { local } => Target::Cell(local),
        Bytecode::StoreName { name }
        | Bytecode::DeleteName { name }
        | Bytecode::StoreGlobal { name }
        | Bytecode::DeleteGlobal { name } => Target::Name(name),
        _ => return None,
    })
}

/// Collects what stands for a target from an instruction on: a variable, or an unpacked tuple of them. The index behind it.
fn take_target(code: &Code, index: usize, targets: &mut Vec<Target>, is_pair: bool) -> Option<usize> {
    let instruction = code.instructions.get(index)?;
    match instruction.op {
        Bytecode::Nop => take_target(code, index + 1, targets, is_pair),
        Bytecode::UnpackSequence { count } => {
            let is_tuple = matches!(instruction.feedback, Feedback::Seen(Seen::TwoTuple | Seen::Tuple));
            if (is_pair && count != 2) || !(is_pair || is_tuple) {
                return None;
            }
            (0..count).try_fold(index + 1, |next, _| take_target(code, next, targets, false))
        }
        Bytecode::StoreFast { .. }
        | Bytecode::StoreDeref { .. }
        | Bytecode::StoreName { .. }
        | Bytecode::StoreGlobal { .. }
            if !is_pair =>
        {
            targets.extend(bound(instruction));
            Some(index + 1)
        }
        _ => None,
    }
}
