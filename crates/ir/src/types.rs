//! What is known of a value: its representation and, for objects, its exact builtin type or identity.
//!
//! Only facts that hold as long as the value lives are types (design 3.9): the class of an instance of a heap type can
//! change under our hands, so it is never one; such facts are established by guards and end at every op that may run
//! Python.

use coluber_bytecode::{Kind, ObjectId};

/// The type of an SSA value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A Python object or NULL.
    Nullable,
    /// An object of exactly this builtin type, or NULL.
    NullableExact(Kind),
    /// A Python object.
    Object,
    /// A Python object whose type is exactly this builtin type.
    Exact(Kind),
    /// This very object.
    Constant(ObjectId, Option<Kind>),
    /// A signed 64-bit integer in a register.
    I64,
    /// A double in a register.
    F64,
    /// A truth value in a register.
    Bool,
}

impl Type {
    /// Whether the value is a pointer to an object (or NULL).
    pub fn is_object(self) -> bool {
        matches!(self, Type::Nullable | Type::NullableExact(_) | Type::Object | Type::Exact(_) | Type::Constant(..))
    }

    /// The exact builtin type, if known.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Type::Exact(kind) => Some(kind),
            Type::Constant(_, kind) => kind,
            _ => None,
        }
    }

    /// Whether nobody can notice when an object of this type dies.
    pub fn dies_silently(self) -> bool {
        match self {
            Type::NullableExact(kind) => kind.dies_silently(),
            Type::Constant(..) | Type::I64 | Type::F64 | Type::Bool => true,
            _ => self.kind().is_some_and(Kind::dies_silently),
        }
    }

    /// Whether the value can be NULL.
    pub fn is_nullable(self) -> bool {
        matches!(self, Type::Nullable | Type::NullableExact(_))
    }

    /// The builtin type of the object the value is, or would be if it were boxed; of a nullable value, if it is one.
    pub fn boxed_kind(self) -> Option<Kind> {
        match self {
            Type::I64 => Some(Kind::Int),
            Type::F64 => Some(Kind::Float),
            Type::Bool => Some(Kind::Bool),
            Type::NullableExact(kind) => Some(kind),
            other => other.kind(),
        }
    }

    /// The type of the same value as an object.
    pub fn boxed(self) -> Type {
        match self {
            Type::I64 => Type::Exact(Kind::Int),
            Type::F64 => Type::Exact(Kind::Float),
            Type::Bool => Type::Exact(Kind::Bool),
            other => other,
        }
    }

    /// The same, or NULL.
    pub fn or_null(self) -> Type {
        match self.boxed_kind() {
            Some(kind) => Type::NullableExact(kind),
            None => Type::Nullable,
        }
    }

    /// The least type that contains both; values of different representation have to be boxed.
    pub fn join(self, other: Type) -> Type {
        if self == other {
            return self;
        }
        let nullable = self.is_nullable() || other.is_nullable();
        match (self.boxed_kind(), other.boxed_kind()) {
            (Some(left), Some(right)) if left == right => {
                if nullable {
                    Type::NullableExact(left)
                } else {
                    Type::Exact(left)
                }
            }
            _ if nullable => Type::Nullable,
            _ => Type::Object,
        }
    }
}
