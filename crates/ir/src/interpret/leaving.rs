//! Frames for the interpreter to go on in, and for exceptions to come out of.

use super::{Datum, Frame, FrameSlot, Host, Interpreter, Stop};
use crate::{FrameStateId, Helper, ObjectId, Op, SlotValue, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What an exit has handed out so far.
struct Taken<O> {
    /// Roots whose reference a slot has taken.
    roots: BTreeSet<Value>,
    /// Objects that the exit has made.
    made: BTreeMap<Value, O>,
}

impl<H: Host> Interpreter<'_, '_, H> {
    pub(super) fn frames(&mut self, state: FrameStateId) -> Result<Vec<Frame<H::Object>>, Stop> {
        let mut taken = Taken { roots: BTreeSet::new(), made: BTreeMap::new() };
        let mut frames = Vec::new();
        let mut next = Some(self.function.leaving_state(state));
        while let Some(id) = next {
            frames.push(self.frame(id, &mut taken)?);
            next = self.function.states[id].caller;
        }
        if self.function.is_trial(state) {
            for slot in self.frame(state, &mut taken)?.stack {
                if let FrameSlot::Value(Datum::Object(object)) = slot {
                    self.host.decref(object);
                }
            }
        }
        Ok(frames)
    }

    fn frame(&mut self, id: FrameStateId, taken: &mut Taken<H::Object>) -> Result<Frame<H::Object>, Stop> {
        let state = &self.function.states[id];
        let mut slots =
            |slots: &[SlotValue]| -> Result<Vec<_>, Stop> { slots.iter().map(|slot| self.slot(slot, taken)).collect() };
        Ok(Frame {
            code: state.code,
            function: state.function,
            resume: state.resume,
            locals: slots(&state.locals)?,
            stack: slots(&state.stack)?,
        })
    }

    /// The frames of inlined activations that an exception ends, innermost first. They take the references that the
    /// unit's own frame does not need.
    pub(super) fn ended_frames(&mut self, state: FrameStateId) -> Result<Vec<Frame<H::Object>>, Stop> {
        let (mut own, mut ended) = (state, Vec::new());
        while let Some(caller) = self.function.states[own].caller {
            ended.push(own);
            own = caller;
        }
        let mut taken = Taken { roots: BTreeSet::new(), made: BTreeMap::new() };
        self.function.for_each_state_value(own, |value| {
            taken.roots.insert(self.function.root(value));
        });
        ended.into_iter().map(|id| self.frame(id, &mut taken)).collect()
    }

    fn slot(&mut self, slot: &SlotValue, taken: &mut Taken<H::Object>) -> Result<FrameSlot<H::Object>, Stop> {
        Ok(match *slot {
            SlotValue::Null => FrameSlot::Value(Datum::Null),
            SlotValue::Value(value) => FrameSlot::Value(self.place(value, taken)?),
            SlotValue::TaggedInt(value) => FrameSlot::TaggedInt(self.int(value)?),
            SlotValue::RangeIterator { object, start, length } => FrameSlot::RangeIterator {
                start: self.int(start)?,
                length: self.int(length)?,
                object: self.place_object(object, taken)?,
            },
            SlotValue::SequenceIterator { object, index } => {
                FrameSlot::SequenceIterator { index: self.int(index)?, object: self.place_object(object, taken)? }
            }
        })
    }

    fn place_object(&mut self, value: Value, taken: &mut Taken<H::Object>) -> Result<H::Object, Stop> {
        match self.place(value, taken)? {
            Datum::Object(object) => Ok(object),
            other => Err(Stop::Broken(format!("{value} is {other:?}, not an object"))),
        }
    }

    /// A value for a slot. The first slot takes the reference that is held, all others get one of their own.
    fn place(&mut self, value: Value, taken: &mut Taken<H::Object>) -> Result<Datum<H::Object>, Stop> {
        if self.function.is_virtual(value) {
            return self.place_virtual(value, taken);
        }
        let datum = self.datum(value)?;
        if let Datum::Object(object) = datum {
            let root = self.function.root(value);
            if !self.references.needs_holding(root) || !taken.roots.insert(root) {
                self.host.incref(object);
            }
        }
        Ok(datum)
    }

    /// An object that comes to exist because the function is left.
    fn place_virtual(&mut self, value: Value, taken: &mut Taken<H::Object>) -> Result<Datum<H::Object>, Stop> {
        if let Some(&object) = taken.made.get(&value) {
            self.host.incref(object);
            return Ok(Datum::Object(object));
        }
        let op = self.function.def_op(value).expect("it has a definition");
        let mut operands = Vec::new();
        op.for_each_operand(|operand| operands.push(operand));
        if let Op::VirtualIterator { walker, .. } = op {
            let parts = operands.into_iter().map(|part| self.place(part, taken)).collect::<Result<_, _>>()?;
            let object = self.host.new_iterator(*walker, parts);
            taken.made.insert(value, object);
            return Ok(Datum::Object(object));
        }
        let mut items = Vec::new();
        for operand in operands {
            items.push(match self.place(operand, taken)? {
                Datum::Object(object) => object,
                Datum::Int(int) => self.host.new_int(int),
                Datum::Float(float) => self.host.new_float(float),
                Datum::Bool(truth) => {
                    let object = self.host.bool_object(truth);
                    self.host.incref(object);
                    object
                }
                Datum::Null => return Err(Stop::Broken(format!("{operand} is NULL, not an object"))),
            });
        }
        let object = match op {
            Op::VirtualInstance { class, offsets, .. } => self.make_instance(*class, &offsets.0, items)?,
            _ => self.make_tuple(items)?,
        };
        taken.made.insert(value, object);
        Ok(Datum::Object(object))
    }

    /// A tuple of objects that come with a reference.
    pub(super) fn make_tuple(&mut self, items: Vec<H::Object>) -> Result<H::Object, Stop> {
        let items: Vec<_> = items.into_iter().map(Datum::Object).collect();
        self.made_by(Helper::BuildTuple, &items)
    }

    /// An instance with fields that come with a reference.
    pub(super) fn make_instance(
        &mut self,
        class: ObjectId,
        offsets: &[u32],
        values: Vec<H::Object>,
    ) -> Result<H::Object, Stop> {
        let class = self.host.constant(class);
        let object = self.made_by(Helper::NewInstance, &[Datum::Object(class)])?;
        for (&offset, value) in offsets.iter().zip(values) {
            // The number of the value says nothing that the offset does not.
            self.host.set_field(object, offset, None, value);
        }
        Ok(object)
    }

    fn made_by(&mut self, helper: Helper, arguments: &[Datum<H::Object>]) -> Result<H::Object, Stop> {
        match self.host.invoke(helper, arguments) {
            Ok(Some(Datum::Object(object))) => Ok(object),
            _ => Err(Stop::Broken("out of memory".to_string())),
        }
    }
}
