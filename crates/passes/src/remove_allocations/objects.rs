//! Objects that do not exist, at a point of the walk.

use coluber_ir::ops::Walker;
use coluber_ir::{ObjectId, Type, Value};
use std::collections::BTreeMap;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// A tuple.
    Tuple,
    /// An instance of a class whose instances the default allocator makes.
    Instance(ObjectId),
    /// A builtin iterator; its parts by number, some of which are registers.
    Iterator(Walker),
    /// An int or float; its only field is the register.
    Number(Type),
}

/// An object that does not exist. It is named by the value that would have been its reference first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    /// What it is.
    pub form: Form,
    /// Items by number, or attributes by offset in the order in which they were set. Each value that is an object holds a
    /// reference.
    pub fields: Vec<(u32, Value)>,
    /// Values that hold a reference to the object: slots, or fields of other such objects.
    pub holders: Vec<Value>,
    /// The value that states name in its place, as long as nothing it is made of changes.
    pub named: Option<Value>,
}

impl Object {
    /// The value of a field.
    pub fn field(&self, key: u32) -> Option<Value> {
        self.fields.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }

    /// Whether both have the same class and the same fields, set in the same order.
    pub fn has_shape_of(&self, other: &Object) -> bool {
        self.form == other.form
            && self.fields.len() == other.fields.len()
            && self.fields.iter().zip(&other.fields).all(|((left, _), (right, _))| left == right)
    }
}

/// What a value is at a point of the walk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// It refers to an object that does not exist.
    Virtual(Value),
    /// This value stands for it.
    Real(Value),
}

/// What is known at a point of the walk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    /// Objects that do not exist.
    pub objects: BTreeMap<Value, Object>,
    /// The object that a holder refers to.
    pub holders: BTreeMap<Value, Value>,
    /// The value that stands for a holder whose object was made.
    pub reals: BTreeMap<Value, Value>,
}

impl State {
    /// What a value (its root) is.
    pub fn place(&self, root: Value) -> Place {
        match (self.holders.get(&root), self.reals.get(&root)) {
            (Some(object), _) => Place::Virtual(*object),
            (None, Some(real)) => Place::Real(*real),
            (None, None) => Place::Real(root),
        }
    }

    /// The object a value refers to, if it does not exist.
    pub fn object(&self, root: Value) -> Option<Value> {
        self.holders.get(&root).copied()
    }

    /// Adds a holder.
    pub fn hold(&mut self, object: Value, holder: Value) {
        self.holders.insert(holder, object);
        self.objects.get_mut(&object).expect("it is there").holders.push(holder);
    }

    /// Takes a holder away; whether it was the last one.
    pub fn drop_holder(&mut self, object: Value, holder: Value) -> bool {
        self.holders.remove(&holder);
        let object = self.objects.get_mut(&object).expect("it is there");
        object.holders.retain(|known| *known != holder);
        object.holders.is_empty()
    }

    /// Something changed that states name.
    pub fn forget_names(&mut self) {
        for object in self.objects.values_mut() {
            object.named = None;
        }
    }

    /// Whether `inner` is `outer` or among what it is made of.
    pub fn contains(&self, outer: Value, inner: Value) -> bool {
        outer == inner
            || self.objects.get(&outer).is_some_and(|object| {
                let fields = object.fields.iter().filter_map(|(_, value)| self.object(*value));
                fields.into_iter().any(|field| self.contains(field, inner))
            })
    }
}
