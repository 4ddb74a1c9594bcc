//! A small world of objects for tests, in which every reference is counted and every misuse noticed.
//!
//! It knows the objects that ops handle themselves (ints, floats, lists, tuples, instances with fields, cells,
//! iterators) and the helpers that make and combine them; all other helpers raise `NotImplementedError`. Nothing in it
//! runs Python code. A use of an object that is gone panics, as does a reference that was never given back
//! ([`Model::check_balance`]).

use super::{Datum, Frame, FrameSlot, Host, PackedItem, Raised, scalars};
use crate::ops::{IteratorField, Packed, Walker};
use crate::{Function, Helper, Kind, ObjectId};
use coluber_bytecode::{Comparison, ObjectValue};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// An object of a [`Model`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object(usize);

/// What an object is.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelValue {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// An int that fits.
    Int(i64),
    /// Another int; nothing is known of its value.
    BigInt,
    /// A float.
    Float(f64),
    /// A str.
    Str(String),
    /// A list.
    List(Vec<Object>),
    /// A tuple.
    Tuple(Vec<Object>),
    /// A sequence of plain numbers.
    Packed(Packed, Vec<PackedItem>),
    /// A cell.
    Cell(Option<Object>),
    /// An iterator over a range.
    RangeIterator {
        /// Next value.
        start: i64,
        /// Step.
        step: i64,
        /// Values left.
        length: i64,
    },
    /// An iterator over a list or tuple.
    SequenceIterator {
        /// The list or tuple.
        sequence: Option<Object>,
        /// Next index.
        index: i64,
    },
    /// An instance of a class of the object table.
    Instance {
        /// The class.
        class: ObjectId,
        /// Fields by offset.
        fields: BTreeMap<u32, Object>,
        /// Whether the attributes are in a dict, so that inline values are not valid.
        has_dict: bool,
    },
    /// An entry of the object table that is none of the above.
    Other(ObjectId, Option<Kind>),
    /// What `IterNext` gives at the end.
    Exhausted,
}

/// The world.
#[derive(Clone, Debug)]
pub struct Model {
    /// Objects that live, with their reference counts; `None` behind immortal ones.
    objects: Vec<Option<(ModelValue, Option<u64>)>>,
    constants: Vec<Object>,
    /// Values of names, by dict and offset.
    pub entries: BTreeMap<(ObjectId, u32), Object>,
    none: Object,
    bools: [Object; 2],
    exhausted: Object,
    outputs: Vec<Option<Object>>,
    /// Locals and operand stack of the frame that is entered.
    pub locals: Vec<Option<Object>>,
    /// Operand stack of the frame that is entered.
    pub stack: Vec<Option<Object>>,
    /// How many safe points are passed before one says that the interpreter is wanted; `None` for never.
    pub safe_points: Option<u64>,
    /// The exception that was raised last.
    pub exception: Option<String>,
    /// The exception that is being handled.
    handled: Object,
}

impl Model {
    /// A world with the constants of a function.
    pub fn new(function: &Function) -> Model {
        let mut model = Model {
            objects: Vec::new(),
            constants: Vec::new(),
            entries: BTreeMap::new(),
            none: Object(0),
            bools: [Object(1), Object(2)],
            exhausted: Object(3),
            outputs: Vec::new(),
            locals: Vec::new(),
            stack: Vec::new(),
            safe_points: None,
            exception: None,
            handled: Object(0),
        };
        for value in [ModelValue::None, ModelValue::Bool(false), ModelValue::Bool(true), ModelValue::Exhausted] {
            model.objects.push(Some((value, None)));
        }
        for (id, facts) in function.objects.iter() {
            let value = match &facts.value {
                ObjectValue::None => {
                    model.constants.push(model.none);
                    continue;
                }
                ObjectValue::Bool(value) => {
                    model.constants.push(model.bools[usize::from(*value)]);
                    continue;
                }
                ObjectValue::Int(value) => ModelValue::Int(*value),
                ObjectValue::BigInt => ModelValue::BigInt,
                ObjectValue::Float(value) => ModelValue::Float(*value),
                ObjectValue::Str(Some(text)) => ModelValue::Str(text.clone()),
                // An item that comes later in the table is not there yet.
                ObjectValue::Tuple(items) if items.iter().all(|item| item.0 < id.0) => {
                    let items = items.iter().map(|item| model.constants[item.0 as usize]).collect::<Vec<_>>();
                    items.iter().for_each(|item| model.incref(*item));
                    ModelValue::Tuple(items)
                }
                other => ModelValue::Other(id, other.kind()),
            };
            let object = model.new_object(value);
            if facts.immortal {
                model.entry(object).1 = None;
            }
            model.constants.push(object);
        }
        model
    }

    fn entry(&mut self, object: Object) -> &mut (ModelValue, Option<u64>) {
        match &mut self.objects[object.0] {
            Some(entry) => entry,
            None => panic!("a use of {object:?}, which is gone"),
        }
    }

    /// What an object is.
    pub fn value(&self, object: Object) -> &ModelValue {
        match &self.objects[object.0] {
            Some((value, _)) => value,
            None => panic!("a use of {object:?}, which is gone"),
        }
    }

    fn value_mut(&mut self, object: Object) -> &mut ModelValue {
        &mut self.entry(object).0
    }

    /// A new object with one reference.
    pub fn new_object(&mut self, value: ModelValue) -> Object {
        // Numbers are not used again, so that a use of an object that is gone is noticed.
        self.objects.push(Some((value, Some(1))));
        Object(self.objects.len() - 1)
    }

    /// The object of a register's contents, with a reference; `None` for NULL.
    pub fn boxed(&mut self, datum: Datum<Object>) -> Option<Object> {
        Some(match datum {
            Datum::Null => return None,
            Datum::Object(object) => object,
            Datum::Int(value) => self.new_int(value),
            Datum::Float(value) => self.new_float(value),
            Datum::Bool(value) => self.bool_object(value),
        })
    }

    /// Drops the references of frames that were left to the interpreter.
    pub fn drop_frames(&mut self, frames: &[Frame<Object>]) {
        for slot in frames.iter().flat_map(|frame| frame.locals.iter().chain(&frame.stack)) {
            match slot {
                FrameSlot::Value(Datum::Object(object))
                | FrameSlot::RangeIterator { object, .. }
                | FrameSlot::SequenceIterator { object, .. } => self.decref(*object),
                FrameSlot::Value(_) | FrameSlot::TaggedInt(_) => {}
            }
        }
    }

    /// Panics unless the constants are all that is left, with the references they had.
    pub fn check_balance(&mut self) {
        for object in std::mem::take(&mut self.constants) {
            self.decref(object);
        }
        let left: Vec<_> = self.objects.iter().flatten().filter(|(_, count)| count.is_some()).collect();
        assert!(left.is_empty(), "objects that were never released: {left:?}");
    }

    /// The object as Python prints it.
    pub fn repr(&self, object: Object) -> String {
        let list = |items: &[Object]| items.iter().map(|item| self.repr(*item)).collect::<Vec<_>>().join(", ");
        match self.value(object) {
            ModelValue::None => "None".to_string(),
            ModelValue::Bool(false) => "False".to_string(),
            ModelValue::Bool(true) => "True".to_string(),
            ModelValue::Int(value) => value.to_string(),
            ModelValue::Float(value) => float_repr(*value),
            ModelValue::Str(text) => format!("{text:?}"),
            ModelValue::List(items) => format!("[{}]", list(items)),
            ModelValue::Tuple(items) if items.len() == 1 => format!("({},)", list(items)),
            ModelValue::Tuple(items) => format!("({})", list(items)),
            ModelValue::Packed(format, items) => format!("{format:?}{items:?}"),
            ModelValue::Cell(None) => "cell()".to_string(),
            ModelValue::Cell(Some(contents)) => format!("cell({})", self.repr(*contents)),
            ModelValue::Instance { class, fields, has_dict } => {
                let mut text = format!("{class:?}{{");
                for (index, (offset, value)) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(text, "{comma}{offset}: {}", self.repr(*value)).expect("writing to a string does not fail");
                }
                text.push_str(if *has_dict { "} with dict" } else { "}" });
                text
            }
            ModelValue::Other(id, _) => format!("{id:?}"),
            ModelValue::RangeIterator { start, step, length } => format!("range_iterator({start}, {step}, {length})"),
            ModelValue::SequenceIterator { sequence: Some(sequence), index } => {
                format!("iterator({}, {index})", self.repr(*sequence))
            }
            ModelValue::SequenceIterator { sequence: None, .. } => "iterator()".to_string(),
            ModelValue::BigInt => "BigInt".to_string(),
            ModelValue::Exhausted => "exhausted".to_string(),
        }
    }

    fn raise<T>(&mut self, exception: &str) -> Result<T, Raised> {
        self.exception = Some(exception.to_string());
        Err(Raised)
    }

    fn new_reference(&mut self, object: Object) -> Object {
        self.incref(object);
        object
    }

    fn sequence_kind(&self, object: Object) -> Option<(&[Object], Kind)> {
        match self.value(object) {
            ModelValue::List(items) => Some((items, Kind::List)),
            ModelValue::Tuple(items) => Some((items, Kind::Tuple)),
            _ => None,
        }
    }

    /// A number as a float, and as an int if it is one.
    fn number(&self, object: Object) -> Option<(f64, Option<i64>)> {
        match self.value(object) {
            ModelValue::Int(value) => Some((*value as f64, Some(*value))),
            ModelValue::Bool(value) => Some((f64::from(*value), Some(i64::from(*value)))),
            ModelValue::Float(value) => Some((*value, None)),
            _ => None,
        }
    }

    fn truth(&self, object: Object) -> bool {
        match self.value(object) {
            ModelValue::None => false,
            ModelValue::Bool(value) => *value,
            ModelValue::Int(value) => *value != 0,
            ModelValue::Float(value) => *value != 0.0,
            ModelValue::Str(text) => !text.is_empty(),
            ModelValue::List(items) | ModelValue::Tuple(items) => !items.is_empty(),
            ModelValue::Packed(_, items) => !items.is_empty(),
            _ => true,
        }
    }

    fn compare(&self, left: Object, right: Object) -> Option<Ordering> {
        match (self.value(left), self.value(right)) {
            (ModelValue::Str(left), ModelValue::Str(right)) => Some(left.cmp(right)),
            _ => match (self.number(left)?, self.number(right)?) {
                ((_, Some(left)), (_, Some(right))) => Some(left.cmp(&right)),
                ((left, _), (right, _)) => left.partial_cmp(&right),
            },
        }
    }

    /// Numbers of `BinaryOp`: those of [`coluber_bytecode::BinaryKind`], in place or not.
    fn binary(&mut self, left: Object, right: Object, operator: i64) -> Result<Object, Raised> {
        use coluber_bytecode::BinaryKind as Kind;
        let operator = operator % 13;
        let is = |kind: Kind| operator == kind as i64;
        if let (ModelValue::Str(left), ModelValue::Str(right), true) =
            (self.value(left), self.value(right), is(Kind::Add))
        {
            let text = format!("{left}{right}");
            return Ok(self.new_object(ModelValue::Str(text)));
        }
        let (Some(left), Some(right)) = (self.number(left), self.number(right)) else {
            return self.raise("TypeError");
        };
        let value = match (left, right) {
            ((_, Some(left)), (_, Some(right))) if is(Kind::Add) => left.checked_add(right).map(ModelValue::Int),
            ((_, Some(left)), (_, Some(right))) if is(Kind::Subtract) => left.checked_sub(right).map(ModelValue::Int),
            ((_, Some(left)), (_, Some(right))) if is(Kind::Multiply) => left.checked_mul(right).map(ModelValue::Int),
            ((left, _), (right, _)) if is(Kind::Add) => Some(ModelValue::Float(left + right)),
            ((left, _), (right, _)) if is(Kind::Subtract) => Some(ModelValue::Float(left - right)),
            ((left, _), (right, _)) if is(Kind::Multiply) => Some(ModelValue::Float(left * right)),
            _ => return self.raise("NotImplementedError"),
        };
        Ok(self.new_object(value.unwrap_or(ModelValue::BigInt)))
    }

    fn next(&mut self, iterator: Object) -> Result<Object, Raised> {
        match *self.value(iterator) {
            ModelValue::RangeIterator { length: 0, .. } | ModelValue::SequenceIterator { sequence: None, .. } => {
                Ok(self.exhausted)
            }
            ModelValue::RangeIterator { start, step, length } => {
                let rest = ModelValue::RangeIterator { start: start.wrapping_add(step), step, length: length - 1 };
                *self.value_mut(iterator) = rest;
                Ok(self.new_int(start))
            }
            ModelValue::SequenceIterator { sequence: Some(sequence), index } => {
                let (items, _) = self.sequence_kind(sequence).expect("an iterator is over a list or tuple");
                let item = items.get(index as usize).copied();
                let rest = item.map(|_| sequence);
                *self.value_mut(iterator) = ModelValue::SequenceIterator { sequence: rest, index: index + 1 };
                match item {
                    Some(item) => Ok(self.new_reference(item)),
                    None => {
                        self.decref(sequence);
                        Ok(self.exhausted)
                    }
                }
            }
            _ => self.raise("TypeError"),
        }
    }
}

/// As Python prints it.
pub fn float_repr(value: f64) -> String {
    if value.is_nan() { "nan".to_string() } else { format!("{value:?}") }
}

impl Host for Model {
    type Object = Object;

    fn incref(&mut self, object: Object) {
        if let Some(count) = &mut self.entry(object).1 {
            *count += 1;
        }
    }

    fn decref(&mut self, object: Object) {
        let Some(count) = &mut self.entry(object).1 else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        let (value, _) = self.objects[object.0].take().expect("it lived");
        match value {
            ModelValue::List(items) | ModelValue::Tuple(items) => items.into_iter().for_each(|item| self.decref(item)),
            ModelValue::Cell(contents) => contents.into_iter().for_each(|item| self.decref(item)),
            ModelValue::SequenceIterator { sequence, .. } => sequence.into_iter().for_each(|item| self.decref(item)),
            ModelValue::Instance { fields, .. } => fields.into_values().for_each(|item| self.decref(item)),
            _ => {}
        }
    }

    fn constant(&mut self, object: ObjectId) -> Object {
        self.constants[object.0 as usize]
    }

    fn none(&mut self) -> Object {
        self.none
    }

    fn local(&mut self, slot: u32) -> Option<Object> {
        self.locals.get_mut(slot as usize)?.take()
    }

    fn stack(&mut self, index: u32) -> Option<Object> {
        self.stack.get_mut(index as usize)?.take()
    }

    fn stack_int(&mut self, _: u32) -> Option<i64> {
        None
    }

    fn stands_at(&mut self, offset: u32) -> bool {
        offset == 0
    }

    fn function(&mut self) -> Object {
        self.none
    }

    fn int_value(&mut self, object: Object) -> Option<i64> {
        match self.value(object) {
            ModelValue::Int(value) => Some(*value),
            ModelValue::BigInt => None,
            other => panic!("{other:?} is no int"),
        }
    }

    fn float_value(&mut self, object: Object) -> f64 {
        match self.value(object) {
            ModelValue::Float(value) => *value,
            other => panic!("{other:?} is no float"),
        }
    }

    fn bool_value(&mut self, object: Object) -> bool {
        match self.value(object) {
            ModelValue::Bool(value) => *value,
            other => panic!("{other:?} is no bool"),
        }
    }

    fn new_int(&mut self, value: i64) -> Object {
        self.new_object(ModelValue::Int(value))
    }

    fn new_float(&mut self, value: f64) -> Object {
        self.new_object(ModelValue::Float(value))
    }

    fn bool_object(&mut self, value: bool) -> Object {
        self.bools[usize::from(value)]
    }

    fn kind(&mut self, object: Object) -> Option<Kind> {
        Some(match self.value(object) {
            ModelValue::None => Kind::None,
            ModelValue::Bool(_) => Kind::Bool,
            ModelValue::Int(_) | ModelValue::BigInt => Kind::Int,
            ModelValue::Float(_) => Kind::Float,
            ModelValue::Str(_) => Kind::Str,
            ModelValue::List(_) => Kind::List,
            ModelValue::Tuple(_) => Kind::Tuple,
            ModelValue::Packed(Packed::Bytes, _) => Kind::Bytes,
            ModelValue::Packed(Packed::ByteArray, _) => Kind::ByteArray,
            ModelValue::Packed(..) => Kind::Array,
            ModelValue::Cell(_) => Kind::Cell,
            ModelValue::RangeIterator { .. } => Kind::RangeIterator,
            ModelValue::SequenceIterator { sequence, .. } => match sequence.map(|sequence| self.value(sequence)) {
                Some(ModelValue::Tuple(_)) => Kind::TupleIterator,
                _ => Kind::ListIterator,
            },
            ModelValue::Other(_, kind) => return *kind,
            ModelValue::Instance { .. } | ModelValue::Exhausted => return None,
        })
    }

    fn is_instance(&mut self, object: Object, class: ObjectId) -> bool {
        matches!(self.value(object), ModelValue::Instance { class: other, .. } if *other == class)
    }

    fn has_version(&mut self, _: ObjectId, _: u32) -> bool {
        true
    }

    fn has_keys_version(&mut self, _: ObjectId, _: u32) -> bool {
        true
    }

    fn has_inline_values(&mut self, object: Object, _: ObjectId) -> bool {
        !self.has_dict(object)
    }

    fn has_dict(&mut self, object: Object) -> bool {
        matches!(self.value(object), ModelValue::Instance { has_dict: true, .. })
    }

    fn has_code(&mut self, _: Object, _: ObjectId) -> bool {
        true
    }

    fn is_unique(&mut self, object: Object) -> bool {
        self.entry(object).1 == Some(1)
    }

    fn is_shared_pair(&mut self, object: Object) -> bool {
        self.entry(object).1 == Some(2)
    }

    fn is_interrupted(&mut self) -> bool {
        match &mut self.safe_points {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    fn is_frame_held(&mut self) -> bool {
        false
    }

    fn invariants_hold(&mut self) -> bool {
        true
    }

    fn list_length(&mut self, list: Object) -> i64 {
        match self.value(list) {
            ModelValue::List(items) => items.len() as i64,
            other => panic!("{other:?} is no list"),
        }
    }

    fn list_item(&mut self, list: Object, index: i64) -> Object {
        match self.value(list) {
            ModelValue::List(items) => items[index as usize],
            other => panic!("{other:?} is no list"),
        }
    }

    fn list_swap(&mut self, list: Object, index: i64, item: Object) -> Object {
        match self.value_mut(list) {
            ModelValue::List(items) => std::mem::replace(&mut items[index as usize], item),
            other => panic!("{other:?} is no list"),
        }
    }

    fn has_dict_key(&mut self, _: ObjectId, _: u32, _: u32, _: ObjectId) -> bool {
        true
    }

    fn dict_entry(&mut self, dict: ObjectId, offset: u32) -> Option<Object> {
        self.entries.get(&(dict, offset)).copied()
    }

    fn set_dict_entry(&mut self, dict: ObjectId, offset: u32, value: Object) -> Option<Object> {
        self.entries.insert((dict, offset), value)
    }

    fn is_module_namespace(&mut self) -> bool {
        true
    }

    fn packed(&mut self, sequence: Object) -> Option<Packed> {
        match self.value(sequence) {
            ModelValue::Packed(format, _) => Some(*format),
            _ => None,
        }
    }

    fn packed_length(&mut self, sequence: Object) -> i64 {
        match self.value(sequence) {
            ModelValue::Packed(_, items) => items.len() as i64,
            other => panic!("{other:?} holds no plain numbers"),
        }
    }

    fn packed_item(&mut self, sequence: Object, index: i64) -> PackedItem {
        match self.value(sequence) {
            ModelValue::Packed(_, items) => items[index as usize],
            other => panic!("{other:?} holds no plain numbers"),
        }
    }

    fn set_packed_item(&mut self, sequence: Object, index: i64, item: PackedItem) {
        match self.value_mut(sequence) {
            ModelValue::Packed(_, items) => items[index as usize] = item,
            other => panic!("{other:?} holds no plain numbers"),
        }
    }

    fn tuple_length(&mut self, tuple: Object) -> i64 {
        match self.value(tuple) {
            ModelValue::Tuple(items) => items.len() as i64,
            other => panic!("{other:?} is no tuple"),
        }
    }

    fn tuple_item(&mut self, tuple: Object, index: i64) -> Object {
        match self.value(tuple) {
            ModelValue::Tuple(items) => items[index as usize],
            other => panic!("{other:?} is no tuple"),
        }
    }

    fn field(&mut self, object: Object, offset: u32) -> Option<Object> {
        match self.value(object) {
            ModelValue::Instance { fields, .. } => fields.get(&offset).copied(),
            other => panic!("{other:?} has no fields"),
        }
    }

    fn set_field(&mut self, object: Object, offset: u32, _: Option<u32>, value: Object) -> Option<Object> {
        match self.value_mut(object) {
            ModelValue::Instance { fields, .. } => fields.insert(offset, value),
            other => panic!("{other:?} has no fields"),
        }
    }

    fn cell(&mut self, cell: Object) -> Option<Object> {
        match self.value(cell) {
            ModelValue::Cell(contents) => *contents,
            other => panic!("{other:?} is no cell"),
        }
    }

    fn set_cell(&mut self, cell: Object, value: Option<Object>) -> Option<Object> {
        match self.value_mut(cell) {
            ModelValue::Cell(contents) => std::mem::replace(contents, value),
            other => panic!("{other:?} is no cell"),
        }
    }

    fn new_iterator(&mut self, walker: Walker, parts: Vec<Datum<Object>>) -> Object {
        let value = match (walker, &parts[..]) {
            (Walker::Range, &[Datum::Int(start), Datum::Int(length), Datum::Int(step)]) => {
                ModelValue::RangeIterator { start, step, length }
            }
            (Walker::List | Walker::Tuple, &[Datum::Object(sequence), Datum::Int(index)]) => {
                ModelValue::SequenceIterator { sequence: Some(sequence), index }
            }
            _ => panic!("{walker:?} of {parts:?} is not modelled"),
        };
        self.new_object(value)
    }

    fn iterator_field(&mut self, iterator: Object, field: IteratorField) -> i64 {
        match (self.value(iterator), field) {
            (ModelValue::RangeIterator { start, .. }, IteratorField::RangeStart) => *start,
            (ModelValue::RangeIterator { step, .. }, IteratorField::RangeStep) => *step,
            (ModelValue::RangeIterator { length, .. }, IteratorField::RangeLength) => *length,
            (ModelValue::SequenceIterator { index, .. }, IteratorField::SequenceIndex) => *index,
            (other, _) => panic!("{other:?} has no {field:?}"),
        }
    }

    fn set_iterator_field(&mut self, iterator: Object, field: IteratorField, new: i64) {
        match (self.value_mut(iterator), field) {
            (ModelValue::RangeIterator { start, .. }, IteratorField::RangeStart) => *start = new,
            (ModelValue::RangeIterator { step, .. }, IteratorField::RangeStep) => *step = new,
            (ModelValue::RangeIterator { length, .. }, IteratorField::RangeLength) => *length = new,
            (ModelValue::SequenceIterator { index, .. }, IteratorField::SequenceIndex) => *index = new,
            (other, _) => panic!("{other:?} has no {field:?}"),
        }
    }

    fn iterator_sequence(&mut self, iterator: Object) -> Option<Object> {
        match self.value(iterator) {
            ModelValue::SequenceIterator { sequence, .. } => *sequence,
            other => panic!("{other:?} is no iterator over a sequence"),
        }
    }

    fn take_sequence(&mut self, iterator: Object) -> Option<Object> {
        match self.value_mut(iterator) {
            ModelValue::SequenceIterator { sequence, .. } => sequence.take(),
            other => panic!("{other:?} is no iterator over a sequence"),
        }
    }

    fn is_exhausted(&mut self, item: Object) -> bool {
        item == self.exhausted
    }

    fn catch(&mut self, ended: Vec<Frame<Object>>) -> Object {
        self.drop_frames(&ended);
        let exception = self.exception.take().expect("an exception was raised");
        self.new_object(ModelValue::Str(exception))
    }

    fn swap_exception(&mut self, exception: Object) -> Object {
        std::mem::replace(&mut self.handled, exception)
    }

    fn invoke(&mut self, helper: Helper, arguments: &[Datum<Object>]) -> Result<Option<Datum<Object>>, Raised> {
        let object = |index: usize| match arguments[index] {
            Datum::Object(object) => object,
            other => panic!("argument {index} is {other:?}"),
        };
        let int = |index: usize| match arguments[index] {
            Datum::Int(int) => int,
            other => panic!("argument {index} is {other:?}"),
        };
        let float = |index: usize| match arguments[index] {
            Datum::Float(float) => float,
            other => panic!("argument {index} is {other:?}"),
        };
        let objects = || (0..arguments.len()).map(object).collect::<Vec<_>>();
        let result = match helper {
            Helper::BinaryOp => Datum::Object(self.binary(object(0), object(1), int(2))?),
            Helper::Compare | Helper::CompareBool => {
                let comparison = comparison(int(2));
                let is_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
                let ordering = self.compare(object(0), object(1));
                let truth = match ordering {
                    None if is_equality => (object(0) == object(1)) == (comparison == Comparison::Equal),
                    None if self.number(object(0)).is_none() => return self.raise("TypeError"),
                    // A NaN.
                    None => comparison == Comparison::NotEqual,
                    Some(ordering) => scalars::int_compare(comparison, ordering as i64, 0),
                };
                match helper {
                    Helper::CompareBool => Datum::Bool(truth),
                    _ => Datum::Object(self.bool_object(truth)),
                }
            }
            Helper::IsTrue | Helper::BuiltinIsTrue => Datum::Bool(self.truth(object(0))),
            Helper::BuildTuple => Datum::Object(self.new_object(ModelValue::Tuple(objects()))),
            Helper::BuildList => Datum::Object(self.new_object(ModelValue::List(objects()))),
            Helper::MakePair => Datum::Object(self.new_object(ModelValue::Tuple(objects()))),
            Helper::MakeCell => {
                let contents = match arguments[0] {
                    Datum::Object(object) => Some(self.new_reference(object)),
                    _ => None,
                };
                Datum::Object(self.new_object(ModelValue::Cell(contents)))
            }
            Helper::ListAppend => {
                match self.value_mut(object(0)) {
                    ModelValue::List(items) => items.push(object(1)),
                    other => panic!("{other:?} is no list"),
                }
                return Ok(None);
            }
            Helper::NewInstance => {
                let class = match self.value(object(0)) {
                    ModelValue::Other(class, _) => *class,
                    other => panic!("{other:?} is no class"),
                };
                let instance = ModelValue::Instance { class, fields: BTreeMap::new(), has_dict: false };
                Datum::Object(self.new_object(instance))
            }
            Helper::GetIter => {
                if self.sequence_kind(object(0)).is_none() {
                    return self.raise("TypeError");
                }
                let sequence = self.new_reference(object(0));
                let iterator = ModelValue::SequenceIterator { sequence: Some(sequence), index: 0 };
                Datum::Object(self.new_object(iterator))
            }
            Helper::IterNext => Datum::Object(self.next(object(0))?),
            Helper::UnpackSequence => {
                let Some((items, _)) = self.sequence_kind(object(0)) else {
                    return self.raise("TypeError");
                };
                let items = items.to_vec();
                if items.len() as i64 != int(1) {
                    return self.raise("ValueError");
                }
                self.outputs = items.into_iter().map(|item| Some(self.new_reference(item))).collect();
                return Ok(None);
            }
            Helper::BuiltinLength => match self.value(object(0)) {
                ModelValue::Str(text) => Datum::Int(text.chars().count() as i64),
                other => panic!("{other:?} has no length here"),
            },
            Helper::StrEqual => Datum::Bool(self.value(object(0)) == self.value(object(1))),
            Helper::FloatRemainder => Datum::Float(scalars::float_remainder(float(0), float(1))),
            Helper::FloatFloorDivide => Datum::Float(scalars::float_floor_divide(float(0), float(1))),
            Helper::Raise => return self.raise("Exception"),
            Helper::RaiseUnboundLocal => return self.raise("UnboundLocalError"),
            other => {
                // What it steals is gone, also when it fails.
                for (index, argument) in arguments.iter().enumerate() {
                    if let (Datum::Object(stolen), true) = (argument, other.steals(index)) {
                        self.decref(*stolen);
                    }
                }
                return self.raise("NotImplementedError");
            }
        };
        Ok(Some(result))
    }

    fn output(&mut self, index: u32) -> Option<Object> {
        self.outputs.get_mut(index as usize)?.take()
    }

    fn call(&mut self, _: Object, _: &[Object], _: Option<Object>) -> Result<Object, Raised> {
        self.raise("TypeError")
    }
}

fn comparison(number: i64) -> Comparison {
    use Comparison::*;
    [Less, LessEqual, Equal, NotEqual, Greater, GreaterEqual]
        .into_iter()
        .find(|comparison| *comparison as i64 == number)
        .expect("a comparison has this number")
}
