//! What the interpreter asks of the world of objects.

use super::{Datum, Frame};
use crate::ops::{IteratorField, Packed, Walker};
use crate::{Helper, Kind, ObjectId};

/// An exception was set; the host knows which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised;

/// A number of a sequence of plain numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PackedItem {
    /// An int.
    Int(i64),
    /// A float.
    Float(f64),
}

/// Objects, as the ops see them.
///
/// A host object is a pointer: it can be copied freely, and references are counted by `incref` and `decref`. Where an op
/// takes or gives a reference (`refs = owned`, `steals(...)` in [`crate::ops`]), the method does too: a method that stands
/// for a stealing operand keeps the reference, one that stands for an owned result makes one.
pub trait Host {
    /// A pointer to an object.
    type Object: Copy + PartialEq + std::fmt::Debug;

    // ---- references and the entry
    /// Adds a reference.
    fn incref(&mut self, object: Self::Object);
    /// Drops a reference; may run Python code.
    fn decref(&mut self, object: Self::Object);
    /// An object of the unit's table, borrowed.
    fn constant(&mut self, object: ObjectId) -> Self::Object;
    /// `None`, borrowed.
    fn none(&mut self) -> Self::Object;
    /// A local of the frame, with its reference; `None` if it is unbound.
    fn local(&mut self, slot: u32) -> Option<Self::Object>;
    /// A slot of the operand stack, with its reference; `None` if it is NULL.
    fn stack(&mut self, index: u32) -> Option<Self::Object>;
    /// The tagged integer in a slot of the operand stack; `None` if there is none.
    fn stack_int(&mut self, index: u32) -> Option<i64>;
    /// Whether the frame of a generator stands at the instruction.
    fn stands_at(&mut self, offset: u32) -> bool;
    /// The function the frame runs, borrowed.
    fn function(&mut self) -> Self::Object;

    // ---- boxes
    /// The value of an exact int, if it fits.
    fn int_value(&mut self, object: Self::Object) -> Option<i64>;
    /// The value of an exact float.
    fn float_value(&mut self, object: Self::Object) -> f64;
    /// The value of an exact bool.
    fn bool_value(&mut self, object: Self::Object) -> bool;
    /// A new int.
    fn new_int(&mut self, value: i64) -> Self::Object;
    /// A new float.
    fn new_float(&mut self, value: f64) -> Self::Object;
    /// `True` or `False`, borrowed.
    fn bool_object(&mut self, value: bool) -> Self::Object;

    // ---- guards: what is true
    /// The exact builtin type.
    fn kind(&mut self, object: Self::Object) -> Option<Kind>;
    /// Whether it is an instance of exactly the class.
    fn is_instance(&mut self, object: Self::Object, class: ObjectId) -> bool;
    /// Whether the class has the version tag.
    fn has_version(&mut self, class: ObjectId, version: u32) -> bool;
    /// Whether the shared keys of the class have the version.
    fn has_keys_version(&mut self, class: ObjectId, version: u32) -> bool;
    /// Whether the inline values of an instance are valid.
    fn has_inline_values(&mut self, object: Self::Object, class: ObjectId) -> bool;
    /// Whether an instance has a materialised dict.
    fn has_dict(&mut self, object: Self::Object) -> bool;
    /// Whether a function has the code.
    fn has_code(&mut self, function: Self::Object, code: ObjectId) -> bool;
    /// Whether there is one reference to the object.
    fn is_unique(&mut self, object: Self::Object) -> bool;
    /// Whether there are exactly two references to the object.
    fn is_shared_pair(&mut self, object: Self::Object) -> bool;
    /// Whether the interpreter's attention is wanted.
    fn is_interrupted(&mut self) -> bool;
    /// Whether somebody holds a frame object of the unit's frame.
    fn is_frame_held(&mut self) -> bool;
    /// Whether all invariants hold.
    fn invariants_hold(&mut self) -> bool;

    // ---- sequences
    /// Length of an exact list.
    fn list_length(&mut self, list: Self::Object) -> i64;
    /// Item of an exact list, borrowed.
    fn list_item(&mut self, list: Self::Object, index: i64) -> Self::Object;
    /// Puts an item into a list, with its reference; the one that was there, with its reference.
    fn list_swap(&mut self, list: Self::Object, index: i64, item: Self::Object) -> Self::Object;
    /// Length of an exact tuple.
    fn tuple_length(&mut self, tuple: Self::Object) -> i64;
    /// Item of an exact tuple, borrowed.
    fn tuple_item(&mut self, tuple: Self::Object, index: i64) -> Self::Object;

    /// Format of an exact bytes, bytearray or `array.array`.
    fn packed(&mut self, sequence: Self::Object) -> Option<Packed>;
    /// How many numbers it has.
    fn packed_length(&mut self, sequence: Self::Object) -> i64;
    /// One of its numbers.
    fn packed_item(&mut self, sequence: Self::Object, index: i64) -> PackedItem;
    /// Sets a number that fits.
    fn set_packed_item(&mut self, sequence: Self::Object, index: i64, item: PackedItem);

    // ---- names in dicts
    /// Whether the keys of a dict of the unit's table have that shape and the entry at an offset that name.
    fn has_dict_key(&mut self, dict: ObjectId, shape: u32, offset: u32, name: ObjectId) -> bool;
    /// The value at an offset in the keys of a dict, borrowed; `None` if the name was deleted.
    fn dict_entry(&mut self, dict: ObjectId, offset: u32) -> Option<Self::Object>;
    /// Sets it, with its reference; what was there, with its reference.
    fn set_dict_entry(&mut self, dict: ObjectId, offset: u32, value: Self::Object) -> Option<Self::Object>;
    /// Whether the frame's namespace is its module's dict.
    fn is_module_namespace(&mut self) -> bool;

    // ---- attributes, cells, iterators
    /// The attribute at an offset, borrowed; `None` if it is unset.
    fn field(&mut self, object: Self::Object, offset: u32) -> Option<Self::Object>;
    /// Sets an inline value (by its number) or, without a number, a slot; what was there. References go both ways.
    fn set_field(
        &mut self,
        object: Self::Object,
        offset: u32,
        index: Option<u32>,
        value: Self::Object,
    ) -> Option<Self::Object>;
    /// Contents of a cell, borrowed.
    fn cell(&mut self, cell: Self::Object) -> Option<Self::Object>;
    /// Sets a cell or empties it; what was there. References go both ways.
    fn set_cell(&mut self, cell: Self::Object, value: Option<Self::Object>) -> Option<Self::Object>;
    /// A new iterator of its parts, objects with their references.
    fn new_iterator(&mut self, walker: Walker, parts: Vec<Datum<Self::Object>>) -> Self::Object;
    /// A field of an iterator.
    fn iterator_field(&mut self, iterator: Self::Object, field: IteratorField) -> i64;
    /// Sets a field of an iterator.
    fn set_iterator_field(&mut self, iterator: Self::Object, field: IteratorField, value: i64);
    /// The list or tuple of an iterator, borrowed; `None` if it is exhausted.
    fn iterator_sequence(&mut self, iterator: Self::Object) -> Option<Self::Object>;
    /// The same, with its reference; the iterator is exhausted.
    fn take_sequence(&mut self, iterator: Self::Object) -> Option<Self::Object>;
    /// Whether a result of `IterNext` says that there is no next item.
    fn is_exhausted(&mut self, item: Self::Object) -> bool;

    // ---- exceptions
    /// The exception that was raised, with its reference; it is no longer set. `ended` are the inlined activations that
    /// it came out of, innermost first, with their references.
    fn catch(&mut self, ended: Vec<Frame<Self::Object>>) -> Self::Object;
    /// Makes the object the exception that is being handled (None: there is none); the one that was, or None. References go
    /// both ways.
    fn swap_exception(&mut self, exception: Self::Object) -> Self::Object;

    // ---- calls
    /// Calls a helper; `None` if it has no result.
    fn invoke(
        &mut self,
        helper: Helper,
        arguments: &[Datum<Self::Object>],
    ) -> Result<Option<Datum<Self::Object>>, Raised>;
    /// Output of the helper called last, with its reference.
    fn output(&mut self, index: u32) -> Option<Self::Object>;
    /// Calls an object; the last of the arguments are named by the tuple `names`.
    fn call(
        &mut self,
        callable: Self::Object,
        arguments: &[Self::Object],
        names: Option<Self::Object>,
    ) -> Result<Self::Object, Raised>;
}
