//! Fields of operations one by one: what printing, parsing and generating operations have in common.
//!
//! `#[derive(OpTable)]` gives [`crate::Op`] the methods `write_fields` and `read_fields`, which pass each field of an op,
//! in the order of declaration, to a [`FieldWriter`] or take it from a [`FieldReader`]. The printer and the parser are
//! such a writer and reader; so is the generator of random ops in the tests. Immediates (fields that are neither
//! operand, state nor target) have a text form of one word, see [`Immediate`].

use crate::{BlockCall, FrameStateId, Helper, Kind, ObjectId, Value};
use coluber_bytecode::Comparison;

/// An op as it was declared.
#[derive(Clone, Copy, Debug)]
pub struct OpInfo {
    /// Its name.
    pub name: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// What `#[op(...)]` says.
    pub attribute: &'static str,
    /// Names and types of its fields.
    pub fields: &'static [(&'static str, &'static str)],
}

/// Receives the fields of an op.
pub trait FieldWriter {
    /// An operand.
    fn operand(&mut self, name: &'static str, value: Value);
    /// A list of operands.
    fn operands(&mut self, name: &'static str, values: &[Value]);
    /// The state.
    fn state(&mut self, name: &'static str, state: FrameStateId);
    /// A jump target.
    fn target(&mut self, name: &'static str, target: &BlockCall);
    /// An immediate.
    fn immediate<T: Immediate>(&mut self, name: &'static str, immediate: &T);
}

/// Supplies the fields of an op.
pub trait FieldReader {
    /// Why a field could not be had.
    type Error;
    /// An operand.
    fn operand(&mut self, name: &'static str) -> Result<Value, Self::Error>;
    /// A list of operands.
    fn operands(&mut self, name: &'static str) -> Result<Vec<Value>, Self::Error>;
    /// The state.
    fn state(&mut self, name: &'static str) -> Result<FrameStateId, Self::Error>;
    /// A jump target.
    fn target(&mut self, name: &'static str) -> Result<BlockCall, Self::Error>;
    /// An immediate.
    fn immediate<T: Immediate>(&mut self, name: &'static str) -> Result<T, Self::Error>;
}

/// A field of an op that is part of the instruction: a number, a name. Its text is one word: letters, digits, and the
/// characters `_.+-`.
///
/// Enums without fields derive it (`#[derive(Immediate)]` of `coluber-ir-derive`).
pub trait Immediate: Sized {
    /// The word.
    fn to_text(&self) -> String;
    /// The value of a word.
    fn from_text(text: &str) -> Option<Self>;
    /// Values to test with, the extreme ones among them.
    fn samples() -> Vec<Self>;
    /// The entry of the object table it refers to.
    fn object(&self) -> Option<ObjectId> {
        None
    }
}

/// The bits of a float, written as a number: `1.5`, `-0.0`, `inf`, `nan`; NaNs with another payload by their bits, `0x...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatBits(pub u64);

impl Immediate for FloatBits {
    fn to_text(&self) -> String {
        let float = f64::from_bits(self.0);
        if !float.is_nan() {
            format!("{float:?}")
        } else if self.0 == f64::NAN.to_bits() {
            "nan".to_string()
        } else {
            format!("{:#x}", self.0)
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok().map(FloatBits),
            None => text.parse::<f64>().ok().map(|float| FloatBits(float.to_bits())),
        }
    }

    fn samples() -> Vec<Self> {
        let floats =
            [0.0, -0.0, 1.5, -2.0, f64::MIN_POSITIVE / 4.0, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        floats.iter().map(|float| float.to_bits()).chain([0x7ff8_0000_0000_0001]).map(FloatBits).collect()
    }
}

/// Byte offsets of fields, in the order in which they were set: `24.40.32`, or `none`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offsets(pub Vec<u32>);

impl Immediate for Offsets {
    fn to_text(&self) -> String {
        if self.0.is_empty() {
            return "none".to_string();
        }
        self.0.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    }

    fn from_text(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Offsets::default());
        }
        text.split('.').map(|offset| offset.parse().ok()).collect::<Option<Vec<u32>>>().map(Offsets)
    }

    fn samples() -> Vec<Self> {
        vec![Offsets::default(), Offsets(vec![24]), Offsets(vec![48, 24, 32])]
    }
}

macro_rules! number_immediates {
    ($($ty:ty),*) => {$(
        impl Immediate for $ty {
            fn to_text(&self) -> String {
                self.to_string()
            }

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn samples() -> Vec<Self> {
                vec![<$ty>::MIN, 0, 1, 24, <$ty>::MAX]
            }
        }
    )*};
}
number_immediates!(i8, i16, i32, i64, u8, u16, u32);

impl Immediate for bool {
    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn samples() -> Vec<Self> {
        vec![false, true]
    }
}

impl Immediate for ObjectId {
    fn to_text(&self) -> String {
        format!("{self:?}")
    }

    fn from_text(text: &str) -> Option<Self> {
        text.strip_prefix('c')?.parse().ok().map(ObjectId)
    }

    fn samples() -> Vec<Self> {
        vec![ObjectId(0)]
    }

    fn object(&self) -> Option<ObjectId> {
        Some(*self)
    }
}

impl Immediate for Kind {
    fn to_text(&self) -> String {
        format!("{self:?}")
    }

    fn from_text(text: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.to_text() == text)
    }

    fn samples() -> Vec<Self> {
        Kind::ALL.to_vec()
    }
}

impl Immediate for Helper {
    fn to_text(&self) -> String {
        self.name().to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        Helper::ALL.iter().copied().find(|helper| helper.name() == text)
    }

    fn samples() -> Vec<Self> {
        Helper::ALL.to_vec()
    }
}

impl Immediate for Comparison {
    fn to_text(&self) -> String {
        format!("{self:?}")
    }

    fn from_text(text: &str) -> Option<Self> {
        Comparison::samples().into_iter().find(|comparison| comparison.to_text() == text)
    }

    fn samples() -> Vec<Self> {
        use Comparison::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
        vec![Less, LessEqual, Equal, NotEqual, Greater, GreaterEqual]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{ExitReason, IteratorField, Overflow};

    fn round_trips<T: Immediate + PartialEq + std::fmt::Debug>() {
        for sample in T::samples() {
            let text = sample.to_text();
            assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c)), "{text} is one word");
            assert_eq!(T::from_text(&text), Some(sample), "{text}");
        }
        assert_eq!(T::from_text("no such thing"), None);
    }

    #[test]
    fn immediates_round_trip() {
        round_trips::<FloatBits>();
        round_trips::<Offsets>();
        round_trips::<i64>();
        round_trips::<u32>();
        round_trips::<bool>();
        round_trips::<ObjectId>();
        round_trips::<Kind>();
        round_trips::<Helper>();
        round_trips::<Comparison>();
        round_trips::<Overflow>();
        round_trips::<IteratorField>();
        round_trips::<ExitReason>();
    }
}
