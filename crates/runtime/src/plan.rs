//! Exit tables in the form that [`crate::exits`] executes: who takes a reference and what is boxed once is decided when
//! an exit is taken for the first time.
//!
//! Also here: looking up a handler in CPython's exception table. Nothing here touches the interpreter.

use coluber_ir::exit_table::{Exit, ExitFrame, ExitKind, ExitValue, ExitVirtual, VirtualShape};
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
    /// An object that the exit makes, by its place in [`PlannedExit::made`].
    Made(u32),
}

/// An object to be made before frames are filled.
#[derive(Clone, Debug, PartialEq)]
pub enum Make {
    /// A number that is a field of one, and perhaps stands in slots too.
    Number(Fill),
    /// A tuple or an instance that compiled code did without.
    Object {
        /// Its number in the unit.
        id: u32,
        /// What it is.
        shape: VirtualShape,
        /// Its items, or the values of its fields in the order in which they were set.
        fields: Vec<Fill>,
    },
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
    /// Objects to be made first, each behind those it is made of.
    pub made: Vec<Make>,
    /// Innermost first; the last one is the unit's own.
    pub frames: Vec<PlannedFrame>,
    /// Whether an exception is forgotten: that of a trial, which has not begun.
    pub forgets_exception: bool,
    /// Words with references that nobody gets.
    pub dropped: Vec<u32>,
}

/// A number that is boxed once, wherever it stands.
#[derive(PartialEq)]
enum Box {
    Int(u32),
    IntConstant(i64),
    Float(u32),
    FloatConstant(u64),
}

/// What was decided so far about an exit.
#[derive(Default)]
struct Planner {
    /// Words with objects that the own frame goes on with.
    kept: Vec<u32>,
    /// Words whose reference is given to a place.
    taken: Vec<u32>,
    /// Numbers and the fill that gives the object once it was made.
    boxes: Vec<(Box, Fill)>,
    updates: Vec<Update>,
    made: Vec<Make>,
}

impl Planner {
    fn object(&mut self, word: u32, owned: bool) -> Fill {
        if owned && !self.kept.contains(&word) && !self.taken.contains(&word) {
            self.taken.push(word);
            Fill::Take(word)
        } else {
            Fill::Share(word)
        }
    }

    /// A number in a place where `later` gives its object to other places.
    fn number(&mut self, what: Box, fill: Fill, later: Option<Fill>) -> Fill {
        if let Some((_, same)) = self.boxes.iter().find(|(seen, _)| *seen == what) {
            return *same;
        }
        match later {
            Some(same) => {
                self.boxes.push((what, same));
                fill
            }
            None => {
                let made = Fill::Made(self.made.len() as u32);
                self.made.push(Make::Number(fill));
                self.boxes.push((what, made));
                made
            }
        }
    }

    /// How a value comes into its place; `slot` is the place if it is a slot of a frame.
    fn fill(&mut self, value: &ExitValue, slot: Option<(u32, u32)>) -> Fill {
        let later = slot.map(|(frame, place)| Fill::Same(frame, place));
        match *value {
            ExitValue::Null => Fill::Null,
            ExitValue::Constant(id) => Fill::Constant(id),
            ExitValue::Object { word, owned } => self.object(word, owned),
            ExitValue::Int(word) => self.number(Box::Int(word), Fill::Int(word), later),
            ExitValue::IntConstant(value) => self.number(Box::IntConstant(value), Fill::IntConstant(value), later),
            ExitValue::Float(word) => self.number(Box::Float(word), Fill::Float(word), later),
            ExitValue::FloatConstant(bits) => self.number(Box::FloatConstant(bits), Fill::FloatConstant(bits), later),
            ExitValue::Bool(word) => Fill::Bool(word),
            ExitValue::BoolConstant(value) => Fill::BoolConstant(value),
            ExitValue::TaggedInt(word) => Fill::TaggedInt(word),
            ExitValue::TaggedIntConstant(value) => Fill::TaggedIntConstant(value),
            ExitValue::RangeIterator { object, owned, start, length } => {
                self.updates.push(Update::Range { object, start, length });
                self.object(object, owned)
            }
            ExitValue::SequenceIterator { object, owned, index } => {
                self.updates.push(Update::Sequence { object, index });
                self.object(object, owned)
            }
            ExitValue::Virtual(ref object) => self.make(object),
        }
    }

    /// What becomes of the references that a trial holds: those that no frame has taken are dropped.
    fn drop_rest(&mut self, trial: &ExitFrame) -> Vec<u32> {
        let mut dropped = Vec::new();
        for value in &trial.stack {
            if let ExitValue::Object { word, owned: true } = *value
                && !self.kept.contains(&word)
                && !self.taken.contains(&word)
            {
                self.taken.push(word);
                dropped.push(word);
            }
        }
        dropped
    }

    fn make(&mut self, object: &ExitVirtual) -> Fill {
        let known = self.made.iter().position(|make| matches!(make, Make::Object { id, .. } if *id == object.id));
        if let Some(place) = known {
            return Fill::Made(place as u32);
        }
        let fields = object.fields.iter().map(|field| self.fill(field, None)).collect();
        self.made.push(Make::Object { id: object.id, shape: object.shape.clone(), fields });
        Fill::Made(self.made.len() as u32 - 1)
    }
}

/// Decides who takes what.
pub fn plan_exit(exit: &Exit) -> PlannedExit {
    let mut planner = Planner { kept: kept_words(exit), ..Planner::default() };
    // These are made before any frame is filled, so that slots can share what they are made of.
    for value in exit.frames.iter().flat_map(|frame| frame.locals.iter().chain(&frame.stack)) {
        if let ExitValue::Virtual(object) = value {
            planner.make(object);
        }
    }
    let mut frames = Vec::new();
    let (trials, real): (Vec<_>, Vec<_>) = exit.frames.iter().partition(|frame| frame.resume == Resume::Undone);
    for (number, frame) in real.into_iter().enumerate() {
        let values = frame.locals.iter().chain(&frame.stack).enumerate();
        let fills = values.map(|(place, value)| planner.fill(value, Some((number as u32, place as u32))));
        let fills = fills.collect();
        frames.push(PlannedFrame { code: frame.code, function: frame.function, resume: frame.resume, fills });
    }
    let dropped = trials.iter().flat_map(|trial| planner.drop_rest(trial)).collect();
    let Planner { updates, made, .. } = planner;
    PlannedExit {
        kind: if trials.is_empty() { exit.kind } else { ExitKind::Guard },
        reason: exit.reason,
        benign: exit.benign,
        guilty: exit.guilty,
        updates,
        made,
        frames,
        forgets_exception: exit.kind == ExitKind::Raise && !trials.is_empty(),
        dropped,
    }
}

/// Words with objects that the own frame of an exit goes on with.
fn kept_words(exit: &Exit) -> Vec<u32> {
    let own = exit.frames.last().filter(|_| exit.caught);
    let values = own.into_iter().flat_map(|frame| frame.locals.iter().chain(&frame.stack));
    let words = values.filter_map(|value| match *value {
        ExitValue::Object { word, .. }
        | ExitValue::RangeIterator { object: word, .. }
        | ExitValue::SequenceIterator { object: word, .. } => Some(word),
        _ => None,
    });
    words.collect()
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
            caught: false,
            guilty: None,
            frames: frames.collect::<Vec<_>>().into(),
        }
    }

    #[test]
    fn one_place_takes_an_owned_reference() {
        let owned = ExitValue::Object { word: 2, owned: true };
        let borrowed = ExitValue::Object { word: 3, owned: false };
        let plan =
            plan_exit(&exit(vec![(vec![owned.clone(), borrowed.clone()], vec![]), (vec![borrowed], vec![owned])]));
        assert_eq!(plan.frames[0].fills, [Fill::Take(2), Fill::Share(3)]);
        assert_eq!(plan.frames[1].fills, [Fill::Share(3), Fill::Share(2)]);
    }

    #[test]
    fn trials_are_dropped_as_far_as_no_frame_takes_them() {
        let owned = |word| ExitValue::Object { word, owned: true };
        let borrowed = ExitValue::Object { word: 4, owned: false };
        let mut table = exit(vec![(vec![], vec![owned(2), owned(3), borrowed, owned(3)]), (vec![owned(2)], vec![])]);
        table.kind = ExitKind::Raise;
        let trial = ExitFrame { resume: Resume::Undone, ..(*table.frames[0]).clone() };
        table.frames = [Arc::new(trial), Arc::clone(&table.frames[1])].into();
        let plan = plan_exit(&table);
        assert_eq!((plan.kind, plan.forgets_exception), (ExitKind::Guard, true));
        assert_eq!(plan.frames.len(), 1);
        assert_eq!(plan.frames[0].fills, [Fill::Take(2)]);
        assert_eq!(plan.dropped, [3]);
    }

    #[test]
    fn frames_that_end_share_what_the_own_one_keeps() {
        let [kept, given] = [2, 3].map(|word| ExitValue::Object { word, owned: true });
        let mut caught = exit(vec![(vec![kept.clone(), given.clone()], vec![given]), (vec![kept], vec![])]);
        caught.caught = true;
        let plan = plan_exit(&caught);
        assert_eq!(plan.frames[0].fills, [Fill::Share(2), Fill::Take(3), Fill::Share(3)]);
        assert_eq!(plan.frames[1].fills, [Fill::Share(2)]);
    }

    #[test]
    fn boxes_a_value_once() {
        let int = ExitValue::Int(2);
        let plan = plan_exit(&exit(vec![
            (vec![int.clone()], vec![ExitValue::Float(2)]),
            (vec![int, ExitValue::Int(3)], vec![]),
        ]));
        assert_eq!(plan.frames[0].fills, [Fill::Int(2), Fill::Float(2)]);
        assert_eq!(plan.frames[1].fills, [Fill::Same(0, 0), Fill::Int(3)]);
    }

    #[test]
    fn makes_an_object_once_and_its_numbers_with_it() {
        let object = |id, fields| ExitValue::Virtual(Arc::new(ExitVirtual { id, shape: VirtualShape::Tuple, fields }));
        let owned = ExitValue::Object { word: 2, owned: true };
        let inner = object(7, vec![ExitValue::Float(3), owned.clone()]);
        let outer = object(8, vec![inner.clone(), ExitValue::Null]);
        let plan = plan_exit(&exit(vec![
            (vec![ExitValue::Float(3), outer.clone()], vec![owned]),
            (vec![inner, ExitValue::Float(4)], vec![outer]),
        ]));
        let tuple = |id, fields| Make::Object { id, shape: VirtualShape::Tuple, fields };
        assert_eq!(
            plan.made,
            [
                Make::Number(Fill::Float(3)),
                tuple(7, vec![Fill::Made(0), Fill::Take(2)]),
                tuple(8, vec![Fill::Made(1), Fill::Null])
            ]
        );
        assert_eq!(plan.frames[0].fills, [Fill::Made(0), Fill::Made(2), Fill::Share(2)]);
        assert_eq!(plan.frames[1].fills, [Fill::Made(1), Fill::Float(4), Fill::Made(2)]);
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
