//! Exit tables in the form that [`crate::exits`] executes: who takes a reference and what is boxed once is decided when
//! an exit is taken for the first time.
//!
//! Also here: looking up a handler in CPython's exception table. Nothing here touches the interpreter.

use coluber_ir::exit_table::{Exit, ExitKind, ExitValue};
use coluber_ir::{ObjectId, Resume};

/// How one slot is filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// Unbound or NULL.
    Null,
    /// An object of the unit's pool.
    Constant(ObjectId),
    /// The object in the word, with the reference that compiled code held.
    Take(u32),
    /// The object in the word, with a new reference.
    Share(u32),
    /// The integer in the word, boxed.
    Int(u32),
    /// An integer, boxed.
    IntConstant(i64),
    /// The float in the word, boxed.
    Float(u32),
    /// A float (bits), boxed.
    FloatConstant(u64),
    /// `True` or `False` by the word.
    Bool(u32),
    /// `True` or `False`.
    BoolConstant(bool),
    /// The integer in the word, tagged.
    TaggedInt(u32),
    /// An integer, tagged.
    TaggedIntConstant(i64),
    /// The object that was boxed for an earlier slot of the exit: (frame, place in it).
    Same(u32, u32),
}

/// A field of an iterator that has to be set.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// Words of a range iterator, its next value and its length.
    Range { object: u32, start: u32, length: u32 },
    /// Words of a list or tuple iterator and its index.
    Sequence { object: u32, index: u32 },
}

/// One frame to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedFrame {
    /// Index of the code in the unit.
    pub code: usize,
    /// The function of an inlined activation.
    pub function: Option<ObjectId>,
    /// Where the interpreter goes on.
    pub resume: Resume,
    /// Locals, then the operand stack from the bottom.
    pub fills: Vec<Fill>,
}

/// One exit.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedExit {
    /// Guard or exception.
    pub kind: ExitKind,
    /// For people and the profile.
    pub reason: &'static str,
    /// Whether leaving says nothing against the code.
    pub benign: bool,
    /// Word with the guilty object.
    pub guilty: Option<u32>,
    /// Iterators to be brought up to date first.
    pub updates: Vec<Update>,
    /// Innermost first; the last one is the unit's own.
    pub frames: Vec<PlannedFrame>,
}

#[derive(PartialEq)]
enum Box {
    Int(u32),
    IntConstant(i64),
    Float(u32),
    FloatConstant(u64),
}

/// Decides who takes what.
pub fn plan_exit(exit: &Exit) -> PlannedExit {
    let mut taken: Vec<u32> = Vec::new();
    let mut boxes: Vec<(Box, (u32, u32))> = Vec::new();
    let mut updates = Vec::new();
    let mut object = |word: u32, owned: bool| {
        if owned && !taken.contains(&word) {
            taken.push(word);
            Fill::Take(word)
        } else {
            Fill::Share(word)
        }
    };
    let mut boxed = |what: Box, fill: Fill, place: (u32, u32)| match boxes.iter().find(|(seen, _)| *seen == what) {
        Some((_, (frame, place))) => Fill::Same(*frame, *place),
        None => {
            boxes.push((what, place));
            fill
        }
    };
    let mut frames = Vec::new();
    for (number, frame) in exit.frames.iter().enumerate() {
        let values = frame.locals.iter().chain(&frame.stack).enumerate();
        let fills = values.map(|(place, value)| {
            let place = (number as u32, place as u32);
            match *value {
                ExitValue::Null => Fill::Null,
                ExitValue::Constant(id) => Fill::Constant(id),
                ExitValue::Object { word, owned } => object(word, owned),
                ExitValue::Int(word) => boxed(Box::Int(word), Fill::Int(word), place),
                ExitValue::IntConstant(value) => boxed(Box::IntConstant(value), Fill::IntConstant(value), place),
                ExitValue::Float(word) => boxed(Box::Float(word), Fill::Float(word), place),
                ExitValue::FloatConstant(bits) => boxed(Box::FloatConstant(bits), Fill::FloatConstant(bits), place),
                ExitValue::Bool(word) => Fill::Bool(word),
                ExitValue::BoolConstant(value) => Fill::BoolConstant(value),
                ExitValue::TaggedInt(word) => Fill::TaggedInt(word),
                ExitValue::TaggedIntConstant(value) => Fill::TaggedIntConstant(value),
                ExitValue::RangeIterator { object: word, owned, start, length } => {
                    updates.push(Update::Range { object: word, start, length });
                    object(word, owned)
                }
                ExitValue::SequenceIterator { object: word, owned, index } => {
                    updates.push(Update::Sequence { object: word, index });
                    object(word, owned)
                }
            }
        });
        let fills = fills.collect();
        frames.push(PlannedFrame { code: frame.code, function: frame.function, resume: frame.resume, fills });
    }
    PlannedExit { kind: exit.kind, reason: exit.reason, benign: exit.benign, guilty: exit.guilty, updates, frames }
}

/// A handler found in an exception table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Code unit to go on at.
    pub target: u32,
    /// Depth of the operand stack to unwind to.
    pub depth: u32,
    /// Whether the raising offset is pushed in front of the exception.
    pub push_offset: bool,
}

/// The handler that covers `offset` (`get_exception_handler` of `Python/ceval.c`, 3.14 and 3.15; format in
/// `InternalDocs/exception_handling.md`).
pub fn find_handler(table: &[u8], offset: u32) -> Option<Handler> {
    let mut position = 0;
    let mut next = || {
        let mut value = 0;
        loop {
            let byte = *table.get(position)?;
            position += 1;
            value = value << 6 | u32::from(byte & 63);
            if byte & 64 == 0 {
                return Some(value);
            }
        }
    };
    loop {
        let (start, size, target, depth_and_flag) = (next()?, next()?, next()?, next()?);
        if start > offset {
            return None;
        }
        if offset < start + size {
            return Some(Handler { target, depth: depth_and_flag >> 1, push_offset: depth_and_flag & 1 != 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coluber_ir::exit_table::ExitFrame;
    use std::sync::Arc;

    fn exit(frames: Vec<(Vec<ExitValue>, Vec<ExitValue>)>) -> Exit {
        let frames = frames.into_iter().map(|(locals, stack)| {
            let resume = Resume::At { start: 0, offset: 0 };
            Arc::new(ExitFrame { code: 0, function: None, resume, locals, stack })
        });
        Exit {
            kind: ExitKind::Guard,
            reason: "Test",
            benign: false,
            guilty: None,
            frames: frames.collect::<Vec<_>>().into(),
        }
    }

    #[test]
    fn one_place_takes_an_owned_reference() {
        let owned = ExitValue::Object { word: 2, owned: true };
        let borrowed = ExitValue::Object { word: 3, owned: false };
        let plan = plan_exit(&exit(vec![(vec![owned, borrowed], vec![]), (vec![borrowed], vec![owned])]));
        assert_eq!(plan.frames[0].fills, [Fill::Take(2), Fill::Share(3)]);
        assert_eq!(plan.frames[1].fills, [Fill::Share(3), Fill::Share(2)]);
    }

    #[test]
    fn boxes_a_value_once() {
        let int = ExitValue::Int(2);
        let plan =
            plan_exit(&exit(vec![(vec![int], vec![ExitValue::Float(2)]), (vec![int, ExitValue::Int(3)], vec![])]));
        assert_eq!(plan.frames[0].fills, [Fill::Int(2), Fill::Float(2)]);
        assert_eq!(plan.frames[1].fills, [Fill::Same(0, 0), Fill::Int(3)]);
    }

    #[test]
    fn updates_iterators_before_filling() {
        let range = ExitValue::RangeIterator { object: 2, owned: true, start: 3, length: 4 };
        let plan = plan_exit(&exit(vec![(vec![], vec![range])]));
        assert_eq!(plan.updates, [Update::Range { object: 2, start: 3, length: 4 }]);
        assert_eq!(plan.frames[0].fills, [Fill::Take(2)]);
    }

    #[test]
    fn finds_the_innermost_handler() {
        // 4..6 -> 20 depth 1 with offset; 6..80 -> 70 depth 0.
        let table = [128 | 4, 2, 20, 1 << 1 | 1, 128 | 6, 64 | 1, 10, 64 | 1, 6, 0];
        assert_eq!(find_handler(&table, 3), None);
        assert_eq!(find_handler(&table, 5), Some(Handler { target: 20, depth: 1, push_offset: true }));
        assert_eq!(find_handler(&table, 6), Some(Handler { target: 70, depth: 0, push_offset: false }));
        assert_eq!(find_handler(&table, 79), Some(Handler { target: 70, depth: 0, push_offset: false }));
        assert_eq!(find_handler(&table, 80), None);
        assert_eq!(find_handler(&[], 0), None);
    }
}
