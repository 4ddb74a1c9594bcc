//! Neutral instructions with their feedback.
//!
//! A CPython superinstruction (`LOAD_FAST_LOAD_FAST`, ...) becomes several [`Instruction`]s with the same offsets;
//! none of their parts but the last can exit in a way that needs the state in between.

use crate::ObjectId;

/// Index of a code unit (2 bytes) in a code object.
pub type Offset = u32;

/// One neutral instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// Where the interpreter must resume to execute it again: its first `EXTENDED_ARG`, if it has any.
    pub start: Offset,
    /// The opcode itself: what `instr_ptr` holds while it runs, and what tracebacks name.
    pub offset: Offset,
    /// The instruction behind it, inline caches skipped.
    pub next: Offset,
    /// What it does.
    pub op: Op,
    /// What the interpreter's inline cache learned.
    pub feedback: Feedback,
}

/// A binary operator. `inplace` forms call the in-place slot first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinaryKind {
    Add,
    And,
    FloorDivide,
    LeftShift,
    MatrixMultiply,
    Multiply,
    Remainder,
    Or,
    Power,
    RightShift,
    Subtract,
    TrueDivide,
    Xor,
}

/// A rich comparison, numbered as `Py_LT..Py_GE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Comparison {
    Less = 0,
    LessEqual = 1,
    Equal = 2,
    NotEqual = 3,
    Greater = 4,
    GreaterEqual = 5,
}

/// Operand of `LOAD_SPECIAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum SpecialMethod {
    Enter = 0,
    Exit = 1,
    AsyncEnter = 2,
    AsyncExit = 3,
}

/// What one instruction does to the operand stack and the world. Stack effects are those of CPython's documentation
/// of the `dis` module for the opcode of the same name, except where a variant says otherwise.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Op {
    // -- locals and constants
    Nop,
    /// Start of a function or resume point after a yield; a safe point when entered from outside.
    Resume {
        argument: u32,
    },
    /// Pushes a local that is known to be bound.
    LoadFast {
        local: u32,
    },
    LoadFastCheck {
        local: u32,
    },
    LoadFastAndClear {
        local: u32,
    },
    StoreFast {
        local: u32,
    },
    DeleteFast {
        local: u32,
    },
    /// `LOAD_CONST`, `LOAD_SMALL_INT` and `LOAD_COMMON_CONSTANT`.
    LoadConst {
        value: ObjectId,
    },
    PopTop,
    PushNull,
    Copy {
        depth: u32,
    },
    Swap {
        depth: u32,
    },
    // -- names
    LoadName {
        name: ObjectId,
    },
    StoreName {
        name: ObjectId,
    },
    DeleteName {
        name: ObjectId,
    },
    LoadGlobal {
        name: ObjectId,
        push_null: bool,
    },
    StoreGlobal {
        name: ObjectId,
    },
    DeleteGlobal {
        name: ObjectId,
    },
    MakeCell {
        local: u32,
    },
    CopyFreeVars {
        count: u32,
    },
    LoadDeref {
        local: u32,
    },
    StoreDeref {
        local: u32,
    },
    DeleteDeref {
        local: u32,
    },
    LoadFromDictOrDeref {
        local: u32,
    },
    LoadFromDictOrGlobals {
        name: ObjectId,
    },
    LoadLocals,
    LoadBuildClass,
    // -- attributes
    /// With `method`, pushes (callable, self or NULL) as `LOAD_ATTR` with the low bit set does.
    LoadAttr {
        name: ObjectId,
        method: bool,
    },
    StoreAttr {
        name: ObjectId,
    },
    DeleteAttr {
        name: ObjectId,
    },
    /// Stack: global super, class, self.
    LoadSuperAttr {
        name: ObjectId,
        method: bool,
        two_arguments: bool,
    },
    /// `LOAD_SPECIAL`: pops the owner, pushes (method, self or NULL).
    LoadSpecial {
        method: SpecialMethod,
    },
    // -- operators
    BinaryOp {
        kind: BinaryKind,
        inplace: bool,
    },
    BinarySubscript,
    BinarySlice,
    StoreSlice,
    StoreSubscript,
    DeleteSubscript,
    UnaryNegative,
    UnaryInvert,
    /// Operand is an exact bool.
    UnaryNot,
    ToBool,
    /// With `to_bool`, the result is converted to an exact bool.
    Compare {
        comparison: Comparison,
        to_bool: bool,
    },
    Is {
        invert: bool,
    },
    Contains {
        invert: bool,
    },
    // -- building
    BuildTuple {
        count: u32,
    },
    BuildList {
        count: u32,
    },
    BuildSet {
        count: u32,
    },
    BuildMap {
        count: u32,
    },
    BuildString {
        count: u32,
    },
    BuildSlice {
        count: u32,
    },
    BuildTemplate,
    BuildInterpolation {
        argument: u32,
    },
    ListAppend {
        depth: u32,
    },
    ListExtend {
        depth: u32,
    },
    SetAdd {
        depth: u32,
    },
    SetUpdate {
        depth: u32,
    },
    MapAdd {
        depth: u32,
    },
    DictUpdate {
        depth: u32,
    },
    DictMerge {
        depth: u32,
    },
    UnpackSequence {
        count: u32,
    },
    UnpackEx {
        before: u32,
        after: u32,
    },
    ConvertValue {
        conversion: u32,
    },
    FormatSimple,
    FormatWithSpec,
    // -- calls. Stack: callable, self or NULL, arguments...
    Call {
        count: u32,
    },
    /// As `Call`, with a tuple of keyword names on top.
    CallKw {
        count: u32,
    },
    /// Stack: callable, NULL, positional tuple, mapping or NULL.
    CallFunctionEx,
    CallIntrinsic1 {
        function: u32,
    },
    CallIntrinsic2 {
        function: u32,
    },
    MakeFunction,
    SetFunctionAttribute {
        attribute: u32,
    },
    // -- control flow; targets are the `start` of instructions
    Jump {
        target: Offset,
    },
    /// `check` is false for `JUMP_BACKWARD_NO_INTERRUPT`.
    JumpBackward {
        target: Offset,
        check: bool,
    },
    PopJumpIfFalse {
        target: Offset,
    },
    PopJumpIfTrue {
        target: Offset,
    },
    PopJumpIfNone {
        target: Offset,
    },
    PopJumpIfNotNone {
        target: Offset,
    },
    /// `sync` of GET_ITER: pops the iterable, pushes [`crate::Code::iterator_slots`] slots.
    GetIter,
    /// `for` over what `GetIter` pushed: pushes the next item, or jumps to `exhausted` (a `PopIter` or `EndFor`
    /// instruction) with the iterator still there and nothing pushed.
    ForIter {
        exhausted: Offset,
    },
    /// Pops the value above the iterator; reached only through instrumentation or `ForIter` of generators.
    EndFor,
    /// Pops the iterator's slots.
    PopIter,
    ReturnValue,
    // -- generators and coroutines
    ReturnGenerator,
    YieldValue {
        argument: u32,
    },
    Send {
        target: Offset,
    },
    EndSend,
    CleanupThrow,
    GetYieldFromIter,
    GetAwaitable {
        argument: u32,
    },
    GetAiter,
    GetAnext,
    EndAsyncFor,
    // -- exceptions
    Raise {
        count: u32,
    },
    Reraise {
        argument: u32,
    },
    PushExcInfo,
    PopExcept,
    CheckExcMatch,
    CheckEgMatch,
    WithExceptStart,
    ExitInitCheck,
    // -- imports, matching, others
    ImportName {
        name: ObjectId,
    },
    ImportFrom {
        name: ObjectId,
    },
    GetLen,
    MatchMapping,
    MatchSequence,
    MatchKeys,
    MatchClass {
        count: u32,
    },
    SetupAnnotations,
    InterpreterExit,
    /// An opcode the decoder has no neutral form for. Its CPython name, for the bailout message.
    Unsupported {
        name: &'static str,
    },
}

/// How an instance attribute was found.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum AttributeFeedback {
    /// In the inline values, `offset` bytes from the object's start.
    InstanceValue { version: u32, offset: u16 },
    /// In a `__slots__` member, `offset` bytes from the object's start.
    Slot { version: u32, offset: u16 },
    /// In the instance's dict, at entry `hint`.
    WithHint { version: u32, hint: u16 },
    /// In a module's dict (its keys have `keys_version`).
    Module { keys_version: u32, index: u16 },
    /// The receiver is a class with that version; the attribute is `value`.
    Class { version: u32, value: ObjectId },
    /// A method (or other non-data descriptor that binds) of the receiver's class. `keys_version` is that of the
    /// shared keys when instances have inline values (it must be guarded: facts J), `None` when they have no dict.
    Method { version: u32, keys_version: Option<u32>, value: ObjectId },
    /// A class attribute that does not bind.
    NonDescriptor { version: u32, keys_version: Option<u32>, value: ObjectId },
    /// A property with a Python getter.
    Property { version: u32, getter: ObjectId },
    /// `__getattribute__` is a Python function.
    GetattributeOverridden { version: u32, function: ObjectId },
}

/// How a call was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CallFeedback {
    /// A Python function with that `func_version`.
    Python {
        version: u32,
        function: Option<ObjectId>,
    },
    /// A bound method whose function has that version.
    BoundMethod {
        version: u32,
        function: Option<ObjectId>,
    },
    /// A class with a Python `__init__` that can be entered in line.
    ClassWithInit {
        version: u32,
    },
    /// Builtins by specialised form.
    Type1,
    Str1,
    Tuple1,
    Len,
    IsInstance,
    ListAppend,
    BuiltinClass,
    Builtin,
    MethodDescriptor,
    /// Anything else that is not a Python function.
    NonPython,
}

/// The builtin type that an instruction saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Seen {
    Int,
    Float,
    Bool,
    Str,
    List,
    Tuple,
    TwoTuple,
    Dict,
    Set,
    None,
    Range,
    Generator,
    /// `list[slice]`.
    ListSlice,
    /// Always true: an object without `__bool__` and `__len__`.
    AlwaysTrue,
}

/// What an inline cache learned. `None`: still warming up, or nothing to learn.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Feedback {
    /// Nothing known.
    #[default]
    None,
    /// The interpreter has never executed the instruction.
    Unexecuted,
    /// The instruction tried to specialise and failed: it saw types it has no form for.
    Generic,
    /// Operands (both of a binary operator, the container of a subscript, the iterable of a loop) had this type.
    Seen(Seen),
    /// The left and right operand of a binary operator had these different types.
    SeenPair(Seen, Seen),
    /// Attribute access.
    Attribute(AttributeFeedback),
    /// `container[i]` through a Python `__getitem__`.
    GetItem,
    /// `LOAD_GLOBAL` found it in the module's dict.
    GlobalModule,
    /// `LOAD_GLOBAL` found it in the builtins.
    GlobalBuiltin,
    /// A call.
    Call(CallFeedback),
    /// `LOAD_SUPER_ATTR` specialised.
    Super,
}
