//! The operations: **the** table.
//!
//! Each variant is declared once. `#[derive(OpTable)]` reads the `#[op(...)]` attribute:
//!
//! * `result = T`: type of the result: a [`Type`] without payload (`Object`, `Nullable`, `I64`, `F64`, `Bool`),
//!   `Exact(Kind)`, `of(field)` (the operand's type), or `custom` (computed in [`Op::custom_result_type`]); absent: none;
//! * `refs = owned | borrowed | none`: whether a result object is owned by the compiled code; required with an object
//!   result. `promised`: there is no object yet, see [`Refs::Virtual`]. `alias(field)`: the result is the operand itself, refined;
//! * `steals(field, ...)`: operands whose reference the op consumes;
//! * `pure`: no effect at all; else any of `reads(Memory...)`, `writes(Memory...)`, `exits` (may leave compiled code by
//!   its `state`), `raises` (may raise; the exception leaves by its `state`), `runs_python`, `terminator`;
//! * an op without any of these is assumed to do everything;
//! * `takes(field: T, ...)`: what the operands must be, a [`Takes`]; `takes(T)` for all of them; an operand that is not
//!   mentioned is an object, not NULL. `custom_takes`: as the helper says;
//! * `phase = P`: the only [`Phase`](crate::function::Phase) the op may occur in; `entry`: only in the entry block.
//!
//! An immediate that has a text form of its own says so: `#[op(text = Newtype)]`, see [`crate::fields`].
//!
//! Fields of type [`Value`] and `Vec<Value>` are operands, [`FrameStateId`] is the state, [`BlockCall`]s are targets,
//! all others are immediates.

use crate::fields::Offsets;
use crate::helpers::HelperFlag;
use crate::{BlockCall, FrameStateId, Function, Helper, Type, Value};
use coluber_bytecode::{Comparison, Kind, ObjectId};
use coluber_ir_derive::{Immediate, OpTable};

/// Parts of memory that ops read and write, for dependence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Classes of objects, type versions, shared-keys versions, the "valid" byte of inline values.
    Shape = 1,
    /// Values of instance attributes in inline values and slots.
    Fields = 2,
    /// Lengths of lists and their item arrays; those of sequences of plain numbers.
    Lists = 4,
    /// Cells of closures.
    Cells = 8,
    /// State of iterators.
    Iterators = 16,
    /// Everything else: dicts, sets, bytearrays, objects of C extensions.
    Other = 32,
}

/// What an op does besides computing its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Effects {
    /// Set of [`Memory`] it reads.
    pub reads: u8,
    /// Set of [`Memory`] it writes.
    pub writes: u8,
    /// May leave compiled code through its state.
    pub exits: bool,
    /// May raise a Python exception.
    pub raises: bool,
    /// May run arbitrary Python code.
    pub runs_python: bool,
    /// Ends a block.
    pub terminator: bool,
}

impl Effects {
    /// The worst case.
    pub const ANY: Effects =
        Effects { reads: 63, writes: 63, exits: true, raises: true, runs_python: true, terminator: false };

    /// Nothing but the result.
    pub const PURE: Effects =
        Effects { reads: 0, writes: 0, exits: false, raises: false, runs_python: false, terminator: false };

    /// Whether an unused result makes the op superfluous.
    pub fn is_removable(self) -> bool {
        self.writes == 0 && !self.exits && !self.raises && !self.runs_python && !self.terminator
    }
}

/// Reference contract of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refs {
    /// No object, or no result.
    None,
    /// The compiled code gets a reference.
    Owned,
    /// Somebody else holds the object.
    Borrowed,
    /// There is no object yet: only frame states and other such values name it. An exit makes it, out of the operands,
    /// whose references it takes over.
    Virtual,
    /// The result is the operand itself.
    Alias(Value),
}

/// What an operand must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A Python object.
    Object,
    /// A Python object or NULL.
    Nullable,
    /// An object known to be of the kind.
    Exact(Kind),
    /// An integer in a register.
    I64,
    /// A float in a register.
    F64,
    /// A truth value in a register.
    Bool,
    /// Anything.
    Any,
}

impl Takes {
    /// Whether a value of this type will do.
    pub fn accepts(self, ty: Type) -> bool {
        match self {
            Takes::Object => ty.is_object() && !ty.is_nullable(),
            Takes::Nullable => ty.is_object(),
            Takes::Exact(kind) => ty.kind() == Some(kind),
            Takes::I64 => ty == Type::I64,
            Takes::F64 => ty == Type::F64,
            Takes::Bool => ty == Type::Bool,
            Takes::Any => true,
        }
    }
}

/// What an integer operation does when the result does not fit 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Immediate)]
pub enum Overflow {
    /// Exits.
    Checked,
    /// Cannot happen: range analysis proved it.
    Impossible,
}

/// Field of an iterator object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Immediate)]
pub enum IteratorField {
    /// Next value of a range iterator.
    RangeStart,
    /// Step of a range iterator.
    RangeStep,
    /// Values left in a range iterator.
    RangeLength,
    /// Next index of an iterator over a sequence.
    SequenceIndex,
    /// Next number of an `enumerate`; the highest one if it counts in objects.
    EnumerateIndex,
}

/// A builtin iterator that compiled code makes itself, or does without: its sort, which says what it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Immediate)]
pub enum Walker {
    /// Over a range: next value, how many are left, step.
    Range,
    /// Over a list: the list, next index.
    List,
    /// Over a tuple: the tuple, next index.
    Tuple,
    /// Over a list from its end: the list, next index.
    Reversed,
    /// `enumerate`: the iterator, next number.
    Enumerate,
    /// `zip`: the tuple of its iterators.
    Zip,
}

impl Walker {
    /// Its builtin type.
    pub fn kind(self) -> Kind {
        match self {
            Walker::Range => Kind::RangeIterator,
            Walker::List => Kind::ListIterator,
            Walker::Tuple => Kind::TupleIterator,
            Walker::Reversed => Kind::ReverseIterator,
            Walker::Enumerate => Kind::Enumerate,
            Walker::Zip => Kind::Zip,
        }
    }

    /// Whether one of its parts is a number.
    pub fn is_number(self, part: u32) -> bool {
        match self {
            Walker::Range => true,
            Walker::Zip => false,
            _ => part == 1,
        }
    }

    /// Which of its parts a field is.
    pub fn part(self, field: IteratorField) -> Option<u32> {
        match (self, field) {
            (Walker::Range, IteratorField::RangeStart) => Some(0),
            (Walker::Range, IteratorField::RangeLength) => Some(1),
            (Walker::Range, IteratorField::RangeStep) => Some(2),
            (Walker::List | Walker::Tuple | Walker::Reversed, IteratorField::SequenceIndex)
            | (Walker::Enumerate, IteratorField::EnumerateIndex) => Some(1),
            _ => None,
        }
    }
}

/// Where and how a sequence of plain numbers keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Immediate)]
pub enum Packed {
    /// In a `bytes` object itself.
    Bytes,
    /// Behind the start pointer of a `bytearray`.
    ByteArray,
    /// `array.array` with type code `b`.
    Int8,
    /// `array.array` with type code `B`.
    UInt8,
    /// `array.array` with type code `h`.
    Int16,
    /// `array.array` with type code `H`.
    UInt16,
    /// `array.array` with type code `i`.
    Int32,
    /// `array.array` with type code `I`.
    UInt32,
    /// `array.array` with type code `l`.
    Int64,
    /// `array.array` with type code `d`.
    Float64,
}

impl Packed {
    /// Formats of `array.array`, in the order in which they are tried.
    pub const ARRAYS: [Packed; 8] = [
        Packed::Float64,
        Packed::UInt8,
        Packed::Int64,
        Packed::Int32,
        Packed::UInt32,
        Packed::UInt16,
        Packed::Int16,
        Packed::Int8,
    ];

    /// `typecode` of such an array.
    pub fn type_code(self) -> Option<char> {
        Some(match self {
            Packed::Bytes | Packed::ByteArray => return None,
            Packed::Int8 => 'b',
            Packed::UInt8 => 'B',
            Packed::Int16 => 'h',
            Packed::UInt16 => 'H',
            Packed::Int32 => 'i',
            Packed::UInt32 => 'I',
            Packed::Int64 => 'l',
            Packed::Float64 => 'd',
        })
    }

    /// Lowest and highest number that fits; `None` for floats.
    pub fn bounds(self) -> Option<(i64, i64)> {
        Some(match self {
            Packed::Bytes | Packed::ByteArray | Packed::UInt8 => (0, 0xff),
            Packed::Int8 => (i8::MIN.into(), i8::MAX.into()),
            Packed::Int16 => (i16::MIN.into(), i16::MAX.into()),
            Packed::UInt16 => (0, 0xffff),
            Packed::Int32 => (i32::MIN.into(), i32::MAX.into()),
            Packed::UInt32 => (0, 0xffff_ffff),
            Packed::Int64 => (i64::MIN, i64::MAX),
            Packed::Float64 => return None,
        })
    }

    /// Bytes of one number.
    pub fn size(self) -> u32 {
        match self {
            Packed::Bytes | Packed::ByteArray | Packed::Int8 | Packed::UInt8 => 1,
            Packed::Int16 | Packed::UInt16 => 2,
            Packed::Int32 | Packed::UInt32 => 4,
            Packed::Int64 | Packed::Float64 => 8,
        }
    }

    /// The reason in the exit profile when an array turns out to have another format.
    pub fn exit_reason(self) -> &'static str {
        match self {
            Packed::Bytes | Packed::ByteArray => "GuardArrayFormat",
            Packed::Int8 => "GuardArrayFormat b",
            Packed::UInt8 => "GuardArrayFormat B",
            Packed::Int16 => "GuardArrayFormat h",
            Packed::UInt16 => "GuardArrayFormat H",
            Packed::Int32 => "GuardArrayFormat i",
            Packed::UInt32 => "GuardArrayFormat I",
            Packed::Int64 => "GuardArrayFormat l",
            Packed::Float64 => "GuardArrayFormat d",
        }
    }
}

/// How compiled code of a generator ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Immediate)]
pub enum Suspension {
    /// `yield`.
    Yield,
    /// `yield from`, `await`: another generator's item is passed on.
    YieldFrom,
    /// `return`: whoever resumed it clears the frame.
    Return,
}

/// An operation.
// Fields, and ops that say all in their name, need no words of their own.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq, Hash, OpTable)]
pub enum Op {
    // ---- constants
    /// The object itself.
    #[op(result = custom, refs = borrowed, pure)]
    Constant { object: ObjectId },
    /// NULL: an unbound local, a missing self.
    #[op(result = Nullable, refs = borrowed, pure)]
    NullConstant {},
    /// None.
    #[op(result = Exact(None), refs = borrowed, pure)]
    NoneConstant {},
    /// An unboxed integer.
    #[op(result = I64, pure)]
    IntConstant { value: i64 },
    /// An unboxed float, by its bits.
    #[op(result = F64, pure)]
    FloatConstant {
        #[op(text = FloatBits)]
        bits: u64,
    },
    /// A truth value.
    #[op(result = Bool, pure)]
    BoolConstant { value: bool },

    // ---- entry: takes over what the interpreter's frame holds. Only in the entry block.
    /// The local in `slot`; its reference moves from the frame to the value. NULL if unbound.
    #[op(entry, result = Nullable, refs = owned, reads(Other))]
    LoadLocal { slot: u32 },
    /// The same for a local that is known to be bound.
    #[op(entry, result = Object, refs = owned, reads(Other))]
    LoadArgument { slot: u32 },
    /// The operand stack slot `index` (from the bottom) of the frame a loop is entered from. NULL possible.
    #[op(entry, result = Nullable, refs = owned, reads(Other))]
    LoadStack { index: u32 },
    /// What is sent to a generator that has not begun, in that slot: None, or where it should put its items itself. Whoever
    /// resumes it holds that.
    #[op(entry, result = Object, refs = borrowed, pure)]
    LoadSent { index: u32 },
    /// The tagged integer in operand stack slot `index`.
    #[op(entry, result = I64, reads(Other))]
    LoadStackInt { index: u32 },
    /// Goes back to the interpreter, nothing changed, unless operand stack slot `index` holds a tagged integer, or does
    /// not, as `tagged` says. In front of all other instructions.
    #[op(entry, reads(Other), writes(Other))]
    GuardStackTag { index: u32, tagged: bool },
    /// Whether the generator's frame stands at the instruction. The blocks that such tests in the entry block choose
    /// between count as entry blocks, too.
    #[op(entry, result = Bool, reads(Other))]
    IsSuspendedAt { offset: u32 },
    /// The function object the frame runs.
    #[op(result = Object, refs = borrowed, pure)]
    LoadFunction {},

    // ---- boxes
    /// The value of an exact int; exits if it does not fit 64 bits.
    #[op(takes(Exact(Int)), result = I64, exits)]
    UnboxInt { value: Value, state: FrameStateId },
    /// The value of an exact float.
    #[op(takes(Exact(Float)), result = F64, pure)]
    UnboxFloat { value: Value },
    /// The value of an exact float or of an exact int of one digit, as a float; exits for all others.
    #[op(result = F64, exits)]
    UnboxNumber { value: Value, state: FrameStateId },
    /// The truth of an exact bool.
    #[op(takes(Exact(Bool)), result = Bool, pure)]
    UnboxBool { value: Value },
    /// An int object. May raise MemoryError only.
    #[op(takes(I64), result = Exact(Int), refs = owned, pure)]
    BoxInt { value: Value },
    /// A new float object.
    #[op(takes(F64), result = Exact(Float), refs = owned, pure)]
    BoxFloat { value: Value },
    /// `True` or `False`.
    #[op(takes(Bool), result = Exact(Bool), refs = borrowed, pure)]
    BoxBool { value: Value },

    // ---- guards
    /// Exits unless the object's type is exactly the builtin type.
    #[op(result = custom, refs = alias(value), exits)]
    GuardKind { value: Value, kind: Kind, state: FrameStateId },
    /// Exits unless the object's class is `class`. Establishes a fact, ends with the next op that may run Python.
    #[op(reads(Shape), exits)]
    GuardClass { value: Value, class: ObjectId, state: FrameStateId },
    /// Exits unless the class still has that version tag.
    #[op(reads(Shape), exits)]
    GuardVersion { class: ObjectId, version: u32, state: FrameStateId },
    /// Exits unless the shared keys of the class's instances have that version: no instance shadows a class attribute.
    #[op(reads(Shape), exits)]
    GuardKeys { class: ObjectId, version: u32, state: FrameStateId },
    /// Exits unless the instance of `class` keeps its attributes in inline values.
    #[op(reads(Shape), exits)]
    GuardInlineValues { value: Value, class: ObjectId, state: FrameStateId },
    /// Exits unless the instance has no materialised dict (needed for stores).
    #[op(reads(Shape), exits)]
    GuardNoDict { value: Value, state: FrameStateId },
    /// Exits if the object has a dict of its own, whose address is `offset` bytes into it.
    #[op(reads(Other), exits)]
    GuardNoOwnDict { value: Value, offset: u32, state: FrameStateId },
    /// Exits unless the value is None or its class is `class`.
    #[op(reads(Shape), exits)]
    GuardNoneOrClass { value: Value, class: ObjectId, state: FrameStateId },
    /// Exits unless the value is this very object.
    #[op(result = custom, refs = alias(value), exits)]
    GuardIdentity { value: Value, object: ObjectId, state: FrameStateId },
    /// Exits if the function's code is not `code` any more (`f.__code__ = ...`).
    #[op(reads(Shape), exits)]
    GuardFunctionCode { function: Value, code: ObjectId, state: FrameStateId },
    /// Exits if the value is NULL (an unbound local).
    #[op(takes(Nullable), result = Object, refs = alias(value), exits)]
    GuardBound { value: Value, state: FrameStateId },
    /// Exits if false.
    #[op(takes(Bool), exits)]
    GuardTrue { condition: Value, state: FrameStateId },
    /// Exits if true.
    #[op(takes(Bool), exits)]
    GuardFalse { condition: Value, state: FrameStateId },
    /// Exits if signals, the GIL, tracing or another thing wants the interpreter's attention (design 3.8). The
    /// interpreter then resumes at the state and attends to it, so nothing runs inside compiled code.
    #[op(exits)]
    CheckSafePoint { state: FrameStateId },
    /// Exits if somebody holds a frame object of the unit's own frame, whose locals must then outlive the unit.
    #[op(reads(Other), exits)]
    CheckFrame { state: FrameStateId },
    /// Takes the unit's own frame out of sight, as the interpreter does before the locals of a frame that returns die. In
    /// units of functions, behind `CheckFrame`; nothing behind it shows a frame or leaves but by `Return`.
    #[op(reads(Other), writes(Other))]
    EndFrame {},
    /// Exits if somebody turned to the frames while a call ran Python code: tracing or monitoring was switched, `f_locals` was
    /// handed out, the frame object of an inlined call is kept. Stands behind each instruction that runs Python code.
    #[op(reads(Other), exits)]
    CheckObserved { state: FrameStateId },
    /// Exits if an invariant the unit relies on was broken by Python code that ran since the last check.
    #[op(reads(Shape), exits)]
    CheckInvariants { state: FrameStateId },

    // ---- integers
    #[op(takes(I64), result = I64, exits)]
    IntAdd { left: Value, right: Value, overflow: Overflow, state: FrameStateId },
    #[op(takes(I64), result = I64, exits)]
    IntSubtract { left: Value, right: Value, overflow: Overflow, state: FrameStateId },
    #[op(takes(I64), result = I64, exits)]
    IntMultiply { left: Value, right: Value, overflow: Overflow, state: FrameStateId },
    /// Floor division; exits on a zero divisor and on overflow.
    #[op(takes(I64), result = I64, exits)]
    IntFloorDivide { left: Value, right: Value, state: FrameStateId },
    /// Remainder with the divisor's sign; exits on a zero divisor.
    #[op(takes(I64), result = I64, exits)]
    IntRemainder { left: Value, right: Value, state: FrameStateId },
    /// True division, correctly rounded; exits on a zero divisor and where an operand has more than 53 bits.
    #[op(takes(I64), result = F64, exits)]
    IntTrueDivide { left: Value, right: Value, state: FrameStateId },
    #[op(takes(I64), result = I64, pure)]
    IntAnd { left: Value, right: Value },
    #[op(takes(I64), result = I64, pure)]
    IntOr { left: Value, right: Value },
    #[op(takes(I64), result = I64, pure)]
    IntXor { left: Value, right: Value },
    /// Exits on a negative or large count and on overflow.
    #[op(takes(I64), result = I64, exits)]
    IntShiftLeft { left: Value, right: Value, state: FrameStateId },
    /// Exits on a negative or large count.
    #[op(takes(I64), result = I64, exits)]
    IntShiftRight { left: Value, right: Value, state: FrameStateId },
    /// Exits on overflow.
    #[op(takes(I64), result = I64, exits)]
    IntNegate { value: Value, state: FrameStateId },
    #[op(takes(I64), result = I64, pure)]
    IntInvert { value: Value },
    #[op(takes(I64), result = Bool, pure)]
    IntCompare { comparison: Comparison, left: Value, right: Value },
    /// The nearest float.
    #[op(takes(I64), result = F64, pure)]
    IntToFloat { value: Value },
    /// 1 or 0.
    #[op(takes(Bool), result = I64, pure)]
    BoolToInt { value: Value },
    /// `left + right` that is known to fit: the next position of an iterator.
    #[op(takes(I64), result = I64, pure)]
    IntAdvance { left: Value, right: Value },

    // ---- floats
    #[op(takes(F64), result = F64, pure)]
    FloatAdd { left: Value, right: Value },
    #[op(takes(F64), result = F64, pure)]
    FloatSubtract { left: Value, right: Value },
    #[op(takes(F64), result = F64, pure)]
    FloatMultiply { left: Value, right: Value },
    /// Exits on a zero divisor.
    #[op(takes(F64), result = F64, exits)]
    FloatDivide { left: Value, right: Value, state: FrameStateId },
    #[op(takes(F64), result = F64, pure)]
    FloatNegate { value: Value },
    #[op(takes(F64), result = F64, pure)]
    FloatAbsolute { value: Value },
    /// Square root; exits on a negative operand.
    #[op(takes(F64), result = F64, exits)]
    FloatSqrt { value: Value, state: FrameStateId },
    /// `left ** right` by the C library; exits where Python raises or returns a complex.
    #[op(takes(F64), result = F64, exits)]
    FloatPower { left: Value, right: Value, state: FrameStateId },
    #[op(takes(F64), result = Bool, pure)]
    FloatCompare { comparison: Comparison, left: Value, right: Value },
    /// Truncation as `int(f)`; exits if the result does not fit 62 bits.
    #[op(takes(F64), result = I64, exits)]
    FloatToInt { value: Value, state: FrameStateId },

    // ---- truth and identity
    #[op(takes(Bool), result = Bool, pure)]
    BoolNot { value: Value },
    /// Whether both are the same object.
    #[op(takes(Nullable), result = Bool, pure)]
    IsIdentical { left: Value, right: Value },
    /// Whether the object's type is exactly the builtin type.
    #[op(result = Bool, pure)]
    IsKind { value: Value, kind: Kind },
    /// Whether the object's class is `class`; says nothing later.
    #[op(result = Bool, reads(Shape))]
    IsClass { value: Value, class: ObjectId },
    /// The same value, known to be of that builtin type (and not NULL) for a reason the compiler cannot express.
    #[op(result = custom, refs = alias(value), pure, takes(value: Nullable))]
    AssumeKind { value: Value, kind: Kind },
    /// The object of another value, read again: something on the heap holds it, whether `value` still does or not.
    #[op(takes(Any), result = of(value), refs = borrowed, pure)]
    SameObject { value: Value },
    /// The same value, known not to be NULL.
    #[op(result = Object, refs = alias(value), pure, takes(value: Nullable))]
    AssumeBound { value: Value },
    /// Whether the object is None.
    #[op(result = Bool, pure)]
    IsNone { value: Value },
    /// Whether the value is NULL.
    #[op(takes(Nullable), result = Bool, pure)]
    IsNull { value: Value },
    /// Whether the result of `IterNext` says that the iterator is exhausted.
    #[op(result = Bool, pure)]
    IsExhausted { value: Value },

    // ---- sequences
    /// Length of an exact list.
    #[op(takes(Exact(List)), result = I64, reads(Lists))]
    ListLength { list: Value },
    /// Item of an exact list; the index is in range.
    #[op(takes(list: Exact(List), index: I64), result = Object, refs = borrowed, reads(Lists))]
    ListGet { list: Value, index: Value },
    /// Puts an item into an exact list and returns the one that was there; the index is in range.
    #[op(takes(list: Exact(List), index: I64), result = Object, refs = owned, steals(value), reads(Lists), writes(Lists))]
    ListSwap { list: Value, index: Value, value: Value },
    /// Reverses the items `first` to `last` of an exact list in place; both are in range.
    #[op(takes(list: Exact(List), first: I64, last: I64), reads(Lists), writes(Lists))]
    ReverseItems { list: Value, first: Value, last: Value },
    /// Length of an exact tuple.
    #[op(takes(Exact(Tuple)), result = I64, pure)]
    TupleLength { tuple: Value },
    /// Item of an exact tuple; the index is in range.
    #[op(takes(tuple: Exact(Tuple), index: I64), result = Object, refs = borrowed, pure)]
    TupleGet { tuple: Value, index: Value },
    /// Exits unless the numbers of an exact `array.array` have that format.
    #[op(takes(Exact(Array)), exits)]
    GuardArrayFormat { array: Value, format: Packed, state: FrameStateId },
    /// How many numbers a sequence of plain numbers has.
    #[op(result = I64, reads(Lists))]
    PackedLength { sequence: Value },
    /// An int of a sequence of plain numbers; the index is in range.
    #[op(takes(sequence: Object, index: I64), result = I64, reads(Lists))]
    PackedInt { sequence: Value, index: Value, format: Packed },
    /// A float of a sequence of plain numbers; the index is in range.
    #[op(takes(sequence: Object, index: I64), result = F64, reads(Lists))]
    PackedFloat { sequence: Value, index: Value, format: Packed },
    /// Sets an int; exits if it does not fit. The index is in range.
    #[op(takes(sequence: Object, index: I64, value: I64), writes(Lists), exits)]
    SetPackedInt { sequence: Value, index: Value, value: Value, format: Packed, state: FrameStateId },
    /// Sets a float; the index is in range.
    #[op(takes(sequence: Object, index: I64, value: F64), writes(Lists))]
    SetPackedFloat { sequence: Value, index: Value, value: Value, format: Packed },
    /// Whether an index, which may count from the back, is in range.
    #[op(takes(I64), result = Bool, pure)]
    IsInRange { index: Value, length: Value },
    /// Makes an index count from the front; exits if it is out of range.
    #[op(takes(I64), result = I64, exits)]
    GuardIndex { index: Value, length: Value, state: FrameStateId },

    // ---- objects that do not exist yet, and how they come to exist
    /// A tuple that frame states name, to be made by the exit that needs it. All values with the number `object` are one
    /// object, at different times.
    #[op(takes(Any), result = Exact(Tuple), refs = promised, pure)]
    VirtualTuple { object: u32, items: Vec<Value> },
    /// The same for an instance of a class: the inline values and `__slots__` members at `offsets` are set, in this order.
    #[op(takes(Any), result = Object, refs = promised, pure)]
    VirtualInstance { object: u32, class: ObjectId, offsets: Offsets, values: Vec<Value> },
    /// The same for an iterator.
    #[op(takes(Any), result = custom, refs = promised, pure)]
    VirtualIterator { object: u32, walker: Walker, parts: Vec<Value> },
    /// A new tuple. May raise MemoryError only.
    #[op(result = Exact(Tuple), refs = owned, steals(items), pure)]
    MakeTuple { items: Vec<Value> },
    /// A new instance of a class: the inline values and `__slots__` members at `offsets` are set, in this order. May raise
    /// MemoryError only.
    #[op(result = Object, refs = owned, steals(values), pure)]
    MakeInstance { class: ObjectId, offsets: Offsets, values: Vec<Value> },
    /// A new iterator. May raise MemoryError only.
    #[op(takes(Any), result = custom, refs = owned, steals(parts), pure)]
    MakeIterator { walker: Walker, parts: Vec<Value> },

    // ---- attributes
    /// The attribute `offset` bytes into the object; exits if it is unset.
    #[op(result = Object, refs = borrowed, reads(Fields), exits)]
    LoadField { object: Value, offset: u32, state: FrameStateId },
    /// What lies `offset` bytes into an object of an exact builtin type, always set and never changed: function and object
    /// of a bound method.
    #[op(result = Object, refs = borrowed, pure)]
    LoadPart { object: Value, offset: u32 },
    /// Sets the inline value number `index` (`offset` bytes into the object) and returns what was there, or NULL; a
    /// first store records the insertion order.
    #[op(result = Nullable, refs = owned, steals(value), reads(Fields), writes(Fields))]
    StoreField { object: Value, offset: u32, index: u32, value: Value },
    /// Sets a `__slots__` member and returns what was there, or NULL.
    #[op(result = Nullable, refs = owned, steals(value), reads(Fields), writes(Fields))]
    StoreSlot { object: Value, offset: u32, value: Value },

    // ---- names in dicts
    /// Exits unless the keys of the dict `dict` have that shape and the entry whose value is `offset` bytes into them is that
    /// of `name`.
    #[op(reads(Other), exits)]
    GuardDictKey { dict: ObjectId, shape: u32, offset: u32, name: ObjectId, state: FrameStateId },
    /// The value of the entry `offset` bytes into the keys of a dict; exits if the name was deleted.
    #[op(result = Object, refs = borrowed, reads(Other), exits)]
    LoadDictEntry { dict: ObjectId, offset: u32, state: FrameStateId },
    /// Exits if the entry's name was deleted, or if somebody else watches the dict and has to hear of a store.
    #[op(reads(Other), exits)]
    GuardDictEntry { dict: ObjectId, offset: u32, state: FrameStateId },
    /// Sets the value of an entry and returns what was there.
    #[op(result = Object, refs = owned, steals(value), reads(Other), writes(Other))]
    StoreDictEntry { dict: ObjectId, offset: u32, value: Value },
    /// Exits unless the frame's namespace is its module's dict.
    #[op(reads(Other), exits)]
    GuardModuleNamespace { state: FrameStateId },

    // ---- cells
    /// Contents of a cell; exits if it is empty.
    #[op(result = Object, refs = borrowed, reads(Cells), exits)]
    LoadCell { cell: Value, state: FrameStateId },
    /// Sets a cell, or empties it with NULL, and returns what was there, or NULL.
    #[op(takes(value: Nullable), result = Nullable, refs = owned, steals(value), reads(Cells), writes(Cells))]
    StoreCell { cell: Value, value: Value },

    // ---- iterators
    /// A field of an iterator object.
    #[op(result = I64, reads(Iterators))]
    LoadIterator { iterator: Value, field: IteratorField },
    /// Sets a field of an iterator object: its position goes back from registers.
    #[op(takes(value: I64), writes(Iterators))]
    StoreIterator { iterator: Value, field: IteratorField, value: Value },
    /// What an iterator over a list, tuple or str walks, from either end; NULL if it is exhausted.
    #[op(result = Nullable, refs = borrowed, reads(Iterators))]
    IteratorSequence { iterator: Value },
    /// Takes what an iterator over a sequence walks out of it, which then is exhausted.
    #[op(result = Nullable, refs = owned, reads(Iterators), writes(Iterators))]
    TakeSequence { iterator: Value },
    /// Exits unless the compiled code holds the only reference, so that nobody sees the object's fields.
    #[op(reads(Iterators), exits)]
    GuardUnique { value: Value, state: FrameStateId },
    /// Exits unless both are one object and the compiled code holds the only two references.
    #[op(reads(Iterators), exits)]
    GuardSharedPair { value: Value, other: Value, state: FrameStateId },

    /// Notes the classes of two operands (their version tags; None is passed over) and counts, for the next version of the
    /// unit.
    #[op(reads(Shape), writes(Other))]
    ProfileOperands { left: Value, right: Value, code: u32, offset: u32 },

    /// Notes what is called, for the next version of the unit.
    #[op(reads(Other), writes(Other))]
    ProfileCallee { callable: Value, code: u32, offset: u32 },

    // ---- calls into the runtime
    /// Calls a runtime helper; signature, result and effects are the helper's.
    #[op(custom_takes, custom_effects, result = custom, refs = owned, custom_steals)]
    Invoke { helper: Helper, arguments: Vec<Value>, state: FrameStateId },
    /// Output `index` of the helper called immediately before (several results).
    #[op(result = Nullable, refs = owned, reads(Other))]
    TakeOutput { index: u32 },
    /// Calls an object with positional arguments; `self_or_null` comes first if it is not NULL.
    #[op(takes(self_or_null: Nullable), result = Object, refs = owned, raises, runs_python)]
    Call { callable: Value, self_or_null: Value, arguments: Vec<Value>, state: FrameStateId },
    /// The same with keyword arguments: the last of `arguments` are named by the tuple `names`.
    #[op(takes(self_or_null: Nullable), result = Object, refs = owned, raises, runs_python)]
    CallKw { callable: Value, self_or_null: Value, arguments: Vec<Value>, names: Value, state: FrameStateId },

    /// The same for an object that may be a Python function: some arguments (`places` has a bit for each, the first the
    /// lowest) are given with their references. These move into the frame of the function, or are dropped when the call
    /// has returned, the last one first. `names` is NULL or as in `CallKw`.
    #[op(takes(self_or_null: Nullable, names: Nullable), result = Object, refs = owned, steals(moved), raises,
    runs_python)]
    CallMoving {
        callable: Value,
        self_or_null: Value,
        arguments: Vec<Value>,
        moved: Vec<Value>,
        places: u32,
        names: Value,
        state: FrameStateId,
    },
    /// Calls a Python function of the code, the globals and the builtins of `function` with a value for each of its
    /// parameters. They move into its frame.
    #[op(result = Object, refs = owned, steals(arguments), raises, runs_python)]
    CallFunction { callable: Value, function: ObjectId, arguments: Vec<Value>, state: FrameStateId },

    /// Calls a C function itself. Self comes first if it is a method, and is an instance of its class. `is_quiet`: with such
    /// arguments the function runs no Python code.
    #[op(custom_effects, result = Object, refs = owned)]
    CallNative { function: ObjectId, arguments: Vec<Value>, is_quiet: bool, state: FrameStateId },

    // ---- references
    /// The interpreter's last reference to the value goes away here. `state` is what a finalizer may see: the state
    /// behind the instruction, without the value.
    #[op(phase = Built, takes(Nullable), custom_effects)]
    Kill { value: Value, state: FrameStateId },
    /// One more reference to the same object, as a value of its own.
    #[op(phase = Built, takes(Nullable), result = of(value), refs = owned, pure)]
    Dup { value: Value },
    /// Adds a reference. Phase `Counted`.
    #[op(phase = Counted, takes(Nullable), reads(Other), writes(Other))]
    Incref { value: Value },
    /// Drops a reference; an object that dies may run Python unless its type dies silently. Phase `Counted`.
    #[op(phase = Counted, takes(Nullable), custom_effects)]
    Decref { value: Value, state: FrameStateId },

    // ---- exceptions
    /// Takes the exception of the op that led here by [`Op::BranchRaised`], whose state this is: its traceback gets the
    /// entries of all activations, and the inlined ones end. `given` are the references that go to their frames: what is
    /// held and named by no slot of the unit's own activation.
    #[op(result = Object, refs = owned, steals(given), takes(Nullable), custom_effects)]
    CatchException { given: Vec<Value>, state: FrameStateId },
    /// Makes the object the exception that is being handled (None: there is none), and returns the one that was, or None.
    #[op(result = Object, refs = owned, steals(value), reads(Other), writes(Other))]
    SwapException { value: Value },

    // ---- control flow
    #[op(terminator)]
    Jump { target: BlockCall },
    /// Ends a block behind an op that may raise: goes to `handler` if it did. Both blocks have no other way in and no
    /// parameters; the handler's begins with [`Op::CatchException`] in the op's state. The op's result exists in `next` only.
    #[op(terminator)]
    BranchRaised { next: BlockCall, handler: BlockCall },
    #[op(takes(Bool), terminator)]
    Branch { condition: Value, then: BlockCall, otherwise: BlockCall },
    /// Leaves the unit with a result.
    #[op(steals(value), terminator)]
    Return { value: Value },
    /// Goes back to the interpreter, nothing changed: the frame stands where the unit is not entered. What was loaded from
    /// it is still there.
    #[op(entry, terminator)]
    Decline {},
    /// Suspends the generator, or ends it, with a result. The slots (locals, then the operand stack from the bottom; an
    /// `I64` is a tagged integer) go into its frame, which then stands at the instruction.
    #[op(takes(slots: Any), steals(value, slots), reads(Other), writes(Other), terminator)]
    Suspend { how: Suspension, offset: u32, value: Value, slots: Vec<Value> },
    /// Leaves compiled code; `reason` is for people and counters.
    #[op(terminator, exits)]
    Exit { reason: ExitReason, state: FrameStateId },
    /// Behind a helper that always raises.
    #[op(terminator)]
    Unreachable {},
}

/// Why an unconditional exit is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Immediate)]
pub enum ExitReason {
    /// The instruction had never been executed when the unit was compiled.
    NeverExecuted,
    /// Exception handlers of this form run in the interpreter.
    Handler,
    /// The values of a running loop are not what they were when the unit was compiled.
    Entry,
    /// The instruction is not compiled.
    NotCompiled,
    /// A running loop's function returns: the interpreter ends its frame, in which locals die that others may know.
    Returns,
}

impl Op {
    /// Result types that depend on immediates.
    fn custom_result_type(&self, function: &Function) -> Option<Type> {
        match self {
            Op::Constant { object } | Op::GuardIdentity { object, .. } => {
                Some(Type::Constant(*object, function.objects.get(*object).value.kind()))
            }
            Op::GuardKind { value, kind, .. } | Op::AssumeKind { value, kind } => Some(match function.ty(*value) {
                ty if ty.kind() == Some(*kind) => ty,
                _ => Type::Exact(*kind),
            }),
            Op::VirtualIterator { walker, .. } | Op::MakeIterator { walker, .. } => Some(Type::Exact(walker.kind())),
            Op::Invoke { helper, .. } => helper.result_type(),
            other => unreachable!("{other:?} has no custom result type"),
        }
    }

    /// Effects that depend on operands.
    fn custom_effects(&self, function: &Function) -> Effects {
        match self {
            Op::Invoke { helper, .. } => helper.effects(),
            Op::CallNative { is_quiet, .. } => HelperFlag::of_call(*is_quiet).effects(),
            // Where inlined activations end, their operands die.
            Op::CatchException { state, .. } => match function.states[*state].caller {
                None => Effects { reads: Memory::Other as u8, writes: Memory::Other as u8, ..Effects::PURE },
                Some(_) => Effects { exits: false, raises: false, ..Effects::ANY },
            },
            Op::Kill { value, .. } | Op::Decref { value, .. } => {
                if function.ty(*value).dies_silently() {
                    Effects { writes: Memory::Other as u8, ..Effects::PURE }
                } else {
                    Effects { exits: false, raises: false, ..Effects::ANY }
                }
            }
            other => unreachable!("{other:?} has no custom effects"),
        }
    }
}
