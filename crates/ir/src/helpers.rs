//! Runtime helpers: operations that compiled code performs by a call, declared once.
//!
//! [`for_each_helper!`] is the table. The back end reads signatures from it, the runtime builds its address table from
//! it (a helper without an implementation does not compile), the reference interpreter calls helpers through its host.
//!
//! A row is `Name(argument, ...) -> result, flags`. Arguments: `O` object (borrowed), `S` object (stolen, also when the
//! helper fails), `N` object or NULL, `I` 64-bit integer, `F` float; `V` (alone) means any number of objects, passed as
//! (pointer to the first, count), `SV` the same stolen. `frame` in front passes the unit's (innermost linked) frame; `out` at the end passes
//! the address of the output words that `TakeOutput` reads.
//! Results: `O` an owned object, NULL if it raised; `B` 0, 1 or -1 (raised); `U` nothing, -1 if it raised; `I`, `F`
//! numbers; `X` always raises. Flags: `python` (may run Python code), `quiet` (neither raises nor runs Python),
//! `raises` (may raise but runs no Python code: MemoryError and the like).

use crate::Type;
use crate::ops::{Effects, Memory, Takes};

/// Functions of Python's `math` that `MathUnary` calls, by number.
pub const MATH_FUNCTIONS: [&str; 23] = [
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "exp2", "expm1", "log1p", "log",
    "log2", "log10", "sqrt", "cbrt", "asinh", "acosh", "atanh", "erf", "erfc",
];

/// Calls the macro `$then` with the table of helpers.
#[macro_export]
macro_rules! for_each_helper {
    ($then:ident) => {
        $then! {
            /// A binary operator by its number in `_PyEval_BinaryOps` order of [`coluber_bytecode::BinaryKind`]; plus 13 if in place.
            BinaryOp(O, O, I) -> O, python;
            /// Rich comparison by [`coluber_bytecode::Comparison`].
            Compare(O, O, I) -> O, python;
            /// Rich comparison converted to a truth value.
            CompareBool(O, O, I) -> B, python;
            /// Truth of an object.
            IsTrue(O) -> B, python;
            /// `-x`.
            Negative(O) -> O, python;
            /// `~x`.
            Invert(O) -> O, python;
            /// `container[key]`.
            Subscript(O, O) -> O, python;
            /// `container[key] = value`.
            StoreSubscript(O, O, O) -> U, python;
            /// `del container[key]`.
            DeleteSubscript(O, O) -> U, python;
            /// `container[start:stop]`.
            Slice(O, O, O) -> O, python;
            /// `container[start:stop] = value`: container, start, stop, value.
            StoreSlice(O, O, O, O) -> U, python;
            /// `item in container`: container, item.
            Contains(O, O) -> B, python;
            /// `object.name`.
            LoadAttr(O, O) -> O, python;
            /// Method look-up: the callable; output 0 is self or NULL.
            LoadMethod(O, O, out) -> O, python;
            /// `object.name = value`: object, name, value.
            StoreAttr(O, O, O) -> U, python;
            /// `del object.name`.
            DeleteAttr(O, O) -> U, python;
            /// `super(class, self).name`: global super, class, self, name, 1 if two explicit arguments.
            LoadSuperAttr(O, O, O, O, I) -> O, python;
            /// The same for a method: output 0 is self or NULL.
            LoadSuperMethod(O, O, O, O, I, out) -> O, python;
            /// `LOAD_SPECIAL` by its number: the callable; output 0 is self or NULL.
            LoadSpecial(O, I, out) -> O, python;
            /// A global or builtin by name.
            LoadGlobal(frame, O) -> O, python;
            /// `global name; name = value`: name, value.
            StoreGlobal(frame, O, O) -> U, python;
            /// `del name` of a global.
            DeleteGlobal(frame, O) -> U, python;
            /// A name in a module or class body.
            LoadName(frame, O) -> O, python;
            /// Binds a name in a module or class body: name, value.
            StoreName(frame, O, O) -> U, python;
            /// Unbinds a name in a module or class body.
            DeleteName(frame, O) -> U, python;
            /// The frame's `locals()` mapping.
            LoadLocals(frame) -> O, raises;
            /// Name in a mapping, else global: mapping, name.
            LoadFromDictOrGlobals(frame, O, O) -> O, python;
            /// Name of the cell in slot in a mapping, else the cell's contents: mapping, cell, slot.
            LoadFromDictOrDeref(frame, O, O, I) -> O, python;
            /// `__build_class__`.
            LoadBuildClass(frame) -> O, python;
            /// Raises UnboundLocalError for a slot.
            RaiseUnboundLocal(frame, I) -> X, raises;
            /// Raises NameError or UnboundLocalError for an empty cell in a slot.
            RaiseUnboundCell(frame, I) -> X, raises;
            /// A new cell that holds the object or nothing.
            MakeCell(N) -> O, raises;
            /// Cell number `index` of the frame's function, a new reference.
            LoadClosureCell(frame, I) -> O, quiet;
            /// A tuple of the objects.
            BuildTuple(SV) -> O, raises;
            /// A list of the objects.
            BuildList(SV) -> O, raises;
            /// A set of the objects.
            BuildSet(V) -> O, python;
            /// A dict of keys and values in turn.
            BuildMap(V) -> O, python;
            /// The concatenation of str objects.
            BuildString(V) -> O, raises;
            /// A slice of two or three objects.
            BuildSlice(V) -> O, raises;
            /// `list[start:stop:step]` of an exact list, bounds as `slice.indices` takes them.
            ListSlice(O, I, I, I) -> O, raises;
            /// `list[start:stop] = other` of exact lists; the other one is stolen.
            ListSetSlice(O, I, I, S) -> U, python;
            /// `text[start:stop]` of an exact str.
            StrSlice(O, I, I) -> O, raises;
            /// `list.insert` of an exact list.
            ListInsert(O, I, O) -> U, raises;
            /// `list.pop` of an exact list; raises IndexError.
            ListPop(O, I) -> O, raises;
            /// `dict.get` of an exact dict: dict, key, default.
            DictGetOr(O, O, O) -> O, python;
            /// Appends to an exact list.
            ListAppend(O, S) -> U, raises;
            /// `list.extend` of `[*iterable]`.
            ListExtend(O, O) -> U, python;
            /// Adds to an exact set.
            SetAdd(O, O) -> U, python;
            /// The same of an exact int, float, str or bool, to a set that has only such items.
            SetAddPlain(O, O) -> U, raises;
            /// `list(iterable)` (0) or `set(iterable)` (1): a generator that has not begun puts its items there itself.
            Collect(O, I) -> O, python;
            /// The same of what is stolen, to a list.
            CollectAway(S) -> O, python;
            /// `sum(iterable)`, function first: a generator that has not begun adds ints itself.
            Sum(O, O) -> O, python;
            /// Adds to the sum that a generator was given. False if it does not fit 64 bits: nothing is added.
            AddToSum(O, I) -> B, quiet;
            /// `IterNext`; a generator that has not begun puts its items itself into a list or set, up to the one it
            /// returns here, or throws those away that are not this bool.
            IterNextInto(O, O) -> O, python;
            /// `{*iterable}`.
            SetUpdate(O, O) -> U, python;
            /// Sets a key of an exact dict: dict, key, value.
            DictSet(O, O, O) -> U, python;
            /// `{**mapping}`.
            DictUpdate(O, O) -> U, python;
            /// `f(**mapping)`: dict, mapping, callable (for the message).
            DictMerge(O, O, O) -> U, python;
            /// Unpacks exactly `count` items into outputs 0.. (leftmost first).
            UnpackSequence(O, I, out) -> U, python;
            /// Unpacks `before` items, a list, `after` items into outputs 0.. (leftmost first).
            UnpackEx(O, I, I, out) -> U, python;
            /// `iter(object)`.
            GetIter(O) -> O, python;
            /// What `await` delegates to; the number is the opcode's argument.
            GetAwaitable(O, I) -> O, python;
            /// Resumes what `yield from` or `await` delegates to: receiver, value sent. Output 0 is NULL if it yielded the
            /// result, else it returned it.
            Send(O, O, out) -> O, python;
            /// Next item, or the mark that `IsExhausted` tests.
            IterNext(O) -> O, python;
            /// `iter(object)` of an exact builtin type for which that runs no Python code.
            BuiltinIterator(O) -> O, raises;
            /// What an iterator does that has no item left, or has to raise.
            EndIteration(O) -> U, python;
            /// Next step of an iterator over an exact dict: 1, and the key (0) or value (1), or the key and the value (2); 0,
            /// and None, if the iterator has to say itself why there is none.
            DictStep(O, I, out) -> I, quiet;
            /// Both items of the next pair of an `enumerate` or `zip`. False, and None: there is none.
            PairNext(O, out) -> B, python;
            /// The pair that an `enumerate`, `zip` or iterator over items gave last, which it holds for its next step; None for
            /// any other object, and if somebody else has the pair. The iterator gets an empty pair.
            TakePair(O) -> O, raises;
            /// Iterator number `index` that an `enumerate` or `zip` walks; the iterator itself
            /// if there is none.
            IteratorPart(O, I) -> O, quiet;
            /// `str`, `repr` or `ascii` by the number in `CONVERT_VALUE`.
            ConvertValue(O, I) -> O, python;
            /// `format(object, '')`, or the object itself if it is a str.
            FormatSimple(O) -> O, python;
            /// `format(object, spec)`.
            FormatWithSpec(O, O) -> O, python;
            /// `f(*args, **kwargs)`: callable, positional arguments (any iterable), mapping or NULL.
            CallFunctionEx(O, O, N) -> O, python;
            /// `_PyIntrinsics_UnaryFunctions`.
            CallIntrinsic1(O, I) -> O, python;
            /// `_PyIntrinsics_BinaryFunctions`.
            CallIntrinsic2(O, O, I) -> O, python;
            /// A function of a code object in the frame's globals.
            MakeFunction(frame, O) -> O, raises;
            /// Sets defaults, annotations or closure: function, value, attribute. The value is stolen.
            SetFunctionAttribute(O, S, I) -> U, raises;
            /// `import`: name, fromlist, level.
            ImportName(frame, O, O, O) -> O, python;
            /// `from module import name`.
            ImportFrom(frame, O, O) -> O, python;
            /// `len(object)` as an int object.
            GetLen(O) -> O, python;
            /// Whether the object matches a mapping pattern.
            MatchMapping(O) -> B, quiet;
            /// Whether the object matches a sequence pattern.
            MatchSequence(O) -> B, quiet;
            /// Values of the keys, or None: subject, keys.
            MatchKeys(O, O) -> O, python;
            /// Attributes of a class pattern, or None: subject, class, keyword names, positional count.
            MatchClass(O, O, O, I) -> O, python;
            /// `__annotations__` of the frame's locals.
            SetupAnnotations(frame) -> U, python;
            /// `raise`, `raise exception`, `raise exception from cause`.
            Raise(N, N) -> X, python;
            /// `RERAISE`: the exception, which is to be raised again, and the instruction that raised it first, or -1.
            Reraise(O, I) -> X, raises;
            /// Whether an exception matches what stands behind `except`: a class or a tuple of classes.
            MatchesException(O, O) -> B, raises;
            /// `__exit__` of a `with` statement in which the exception was raised: method, self or NULL, exception.
            CallExit(O, N, O) -> O, python;
            /// Raises as `GET_ITER` and others do for what must not be: TypeError that `__init__` returned not None.
            RaiseInitResult(O) -> X, raises;
            /// A new, empty dict.
            NewDict() -> O, raises;
            /// A new, empty set.
            NewSet() -> O, raises;
            /// A new, empty instance of a class that uses the default allocator.
            NewInstance(O) -> O, raises;
            /// Truth of an exact str, list, tuple, dict, set or int of any size: no Python code runs.
            BuiltinIsTrue(O) -> B, quiet;
            /// `a == b` of exact str objects.
            StrEqual(O, O) -> B, quiet;
            /// Character at an index of an exact str (index in range).
            StrGet(O, I) -> O, raises;
            /// Length of an exact str, dict, set, bytes, bytearray.
            BuiltinLength(O) -> I, quiet;
            /// `dict[key]` of an exact dict.
            DictGet(O, O) -> O, python;
            /// Looks a str or int up in an exact dict: 1 and output 0 if it is there, 0 if it is not, -1 if that takes Python code.
            DictFind(O, O, out) -> I, quiet;
            /// `BinaryOp` of plain operands, such as numbers and str: 1 and output 0, or 0 if it has not been done, as it might
            /// run Python code or raise.
            PlainBinary(O, O, I, out) -> I, quiet;
            /// The same of `Negative` (0) and `Invert` (1).
            PlainUnary(O, I, out) -> I, quiet;
            /// The same of `Compare`.
            PlainCompare(O, O, I, out) -> I, quiet;
            /// `IsTrue`; -1 if that takes Python code.
            PlainTruth(O) -> I, quiet;
            /// `Contains`; -1 if that takes Python code, or might.
            PlainContains(O, O) -> I, quiet;
            /// `Subscript` of a list, tuple, str or dict: 1 and output 0, or 0 if it has not been done.
            PlainSubscript(O, O, out) -> I, quiet;
            /// `GetIter` of a builtin container: 1 and output 0, a new iterator, or 0 if it is something else.
            PlainIterator(O, out) -> I, quiet;
            /// `IterNext` of an iterator that `PlainIterator` has made.
            PlainNext(O) -> O, quiet;
            /// Calls a builtin with up to three plain arguments: 1 and output 0, or 0 if it has not been done. The number says
            /// whether it may have builtin containers too.
            PlainCall(O, N, N, N, I, out) -> I, quiet;
            /// `next(object)`: the item, or the mark that `IsExhausted` tests.
            Next(O) -> O, python;
            /// `left % right` of floats, divisor not zero.
            FloatRemainder(F, F) -> F, quiet;
            /// `left // right` of floats, divisor not zero.
            FloatFloorDivide(F, F) -> F, quiet;
            /// Starts an enumerate-like pair: tuple of an int object and an item (item stolen).
            MakePair(S, S) -> O, raises;
            /// `sin` and so on of the C library, by number; see the runtime's table.
            MathUnary(F, I) -> F, quiet;
        }
    };
}

/// Kind of an argument or result of a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelperType {
    /// Borrowed object.
    O,
    /// Stolen object.
    S,
    /// Borrowed object or NULL.
    N,
    /// Integer.
    I,
    /// Float.
    F,
    /// Vector of borrowed objects.
    V,
    /// Vector of stolen objects.
    SV,
    /// Truth value or -1.
    B,
    /// Nothing or -1.
    U,
    /// Always raises.
    X,
    /// The frame.
    #[allow(non_camel_case_types)]
    frame,
    /// The address of the output words.
    #[allow(non_camel_case_types)]
    out,
}

/// How much a helper may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum HelperFlag {
    /// Anything.
    python,
    /// Raise, but no Python code.
    raises,
    /// Neither.
    quiet,
}

impl HelperFlag {
    /// That of a C function which runs Python code or is quiet, but may raise.
    pub fn of_call(is_quiet: bool) -> Self {
        if is_quiet { Self::raises } else { Self::python }
    }

    /// What it allows.
    pub fn effects(self) -> Effects {
        match self {
            HelperFlag::python => Effects { exits: false, ..Effects::ANY },
            HelperFlag::raises => Effects {
                reads: 63,
                writes: Memory::Lists as u8 | Memory::Other as u8 | Memory::Cells as u8,
                raises: true,
                ..Effects::PURE
            },
            HelperFlag::quiet => Effects { reads: 63, ..Effects::PURE },
        }
    }
}

macro_rules! declare_helpers {
    ($($(#[doc = $doc:literal])* $name:ident($($argument:ident),*) -> $result:ident, $flag:ident;)*) => {
        /// A runtime helper.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Helper { $($(#[doc = $doc])* $name),* }

        impl Helper {
            /// All helpers, in the order of their numbers.
            pub const ALL: &'static [Helper] = &[$(Helper::$name),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Helper::$name => stringify!($name)),* }
            }

            /// What it does.
            pub fn doc(self) -> &'static str {
                match self { $(Helper::$name => concat!($($doc),*)),* }
            }

            /// Kinds of its arguments.
            pub fn arguments(self) -> &'static [HelperType] {
                match self { $(Helper::$name => &[$(HelperType::$argument),*]),* }
            }

            /// Kind of its result.
            pub fn result(self) -> HelperType {
                match self { $(Helper::$name => HelperType::$result),* }
            }

            /// How much it may do.
            pub fn flag(self) -> HelperFlag {
                match self { $(Helper::$name => HelperFlag::$flag),* }
            }
        }
    };
}
for_each_helper!(declare_helpers);

impl Helper {
    /// Its SSA result type.
    pub fn result_type(self) -> Option<Type> {
        match self.result() {
            HelperType::O => Some(match self {
                Helper::BuildTuple | Helper::MakePair => Type::Exact(crate::Kind::Tuple),
                Helper::BuildList | Helper::ListSlice => Type::Exact(crate::Kind::List),
                Helper::BuildSet | Helper::NewSet => Type::Exact(crate::Kind::Set),
                Helper::BuildMap | Helper::NewDict => Type::Exact(crate::Kind::Dict),
                Helper::BuildString | Helper::StrGet | Helper::StrSlice => Type::Exact(crate::Kind::Str),
                Helper::BuildSlice => Type::Exact(crate::Kind::Slice),
                Helper::MakeCell => Type::Exact(crate::Kind::Cell),
                Helper::MakeFunction => Type::Exact(crate::Kind::Function),
                _ => Type::Object,
            }),
            HelperType::B => Some(Type::Bool),
            HelperType::I => Some(Type::I64),
            HelperType::F => Some(Type::F64),
            HelperType::U | HelperType::X => None,
            other => unreachable!("{other:?} is no result"),
        }
    }

    /// What it may do.
    pub fn effects(self) -> Effects {
        self.flag().effects()
    }

    /// Whether the frame is passed in front.
    pub fn takes_frame(self) -> bool {
        self.arguments().first() == Some(&HelperType::frame)
    }

    /// Whether it has outputs besides its result.
    pub fn has_outputs(self) -> bool {
        self.arguments().last() == Some(&HelperType::out)
    }

    /// What argument number `index` must be.
    pub fn takes(self, index: usize) -> Takes {
        let mut arguments = self.arguments().iter().filter(|kind| !matches!(kind, HelperType::frame | HelperType::out));
        if matches!(arguments.clone().next(), Some(HelperType::V | HelperType::SV)) {
            return Takes::Object;
        }
        match arguments.nth(index) {
            Some(HelperType::O | HelperType::S) => Takes::Object,
            Some(HelperType::N) => Takes::Nullable,
            Some(HelperType::I) => Takes::I64,
            Some(HelperType::F) => Takes::F64,
            _ => Takes::Any,
        }
    }

    /// How many arguments it takes; `None` for any number.
    pub fn argument_count(self) -> Option<usize> {
        let arguments = self.arguments().iter().filter(|kind| !matches!(kind, HelperType::frame | HelperType::out));
        match arguments.clone().next() {
            Some(HelperType::V | HelperType::SV) => None,
            _ => Some(arguments.count()),
        }
    }

    /// Whether argument number `index` is stolen.
    pub fn steals(self, index: usize) -> bool {
        let arguments: Vec<_> = self.arguments().iter().filter(|kind| **kind != HelperType::frame).collect();
        match arguments.first() {
            Some(HelperType::SV) => true,
            Some(HelperType::V) => false,
            _ => matches!(arguments.get(index), Some(HelperType::S)),
        }
    }
}
