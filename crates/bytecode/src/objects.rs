//! What the compiler knows of the Python objects a unit refers to.

/// Index into an [`ObjectTable`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub u32);

impl std::fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// The exact builtin types the compiler reasons about. All are immutable types: an instance cannot change to or from
/// them through `__class__`, so a check holds as long as the value lives (design 3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    None,
    Bool,
    Int,
    Float,
    Complex,
    Str,
    Bytes,
    ByteArray,
    Tuple,
    List,
    Dict,
    Set,
    FrozenSet,
    Slice,
    Range,
    RangeIterator,
    ListIterator,
    TupleIterator,
    Enumerate,
    Zip,
    /// Of sequences that have no `__reversed__`.
    Reversed,
    /// Of `reversed(list)`.
    ReverseIterator,
    DictKeys,
    DictValues,
    DictItems,
    DictKeyIterator,
    DictValueIterator,
    DictItemIterator,
    /// Of a str of ASCII characters only.
    AsciiIterator,
    Function,
    BoundMethod,
    BuiltinFunction,
    MethodDescriptor,
    Class,
    Cell,
    Module,
    Generator,
    Code,
    Ellipsis,
    /// `array.array`, once somebody imported it.
    Array,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 40] = [
        Kind::None,
        Kind::Bool,
        Kind::Int,
        Kind::Float,
        Kind::Complex,
        Kind::Str,
        Kind::Bytes,
        Kind::ByteArray,
        Kind::Tuple,
        Kind::List,
        Kind::Dict,
        Kind::Set,
        Kind::FrozenSet,
        Kind::Slice,
        Kind::Range,
        Kind::RangeIterator,
        Kind::ListIterator,
        Kind::TupleIterator,
        Kind::Enumerate,
        Kind::Zip,
        Kind::Reversed,
        Kind::ReverseIterator,
        Kind::DictKeys,
        Kind::DictValues,
        Kind::DictItems,
        Kind::DictKeyIterator,
        Kind::DictValueIterator,
        Kind::DictItemIterator,
        Kind::AsciiIterator,
        Kind::Function,
        Kind::BoundMethod,
        Kind::BuiltinFunction,
        Kind::MethodDescriptor,
        Kind::Class,
        Kind::Cell,
        Kind::Module,
        Kind::Generator,
        Kind::Code,
        Kind::Ellipsis,
        Kind::Array,
    ];

    /// Whether the death of such an object can be noticed by nobody: it owns no reference to anything that can run
    /// Python when it dies, and it has no weak references.
    pub fn dies_silently(self) -> bool {
        matches!(
            self,
            Kind::None
                | Kind::Bool
                | Kind::Int
                | Kind::Float
                | Kind::Complex
                | Kind::Str
                | Kind::Bytes
                | Kind::ByteArray
                | Kind::Range
                | Kind::RangeIterator
                | Kind::AsciiIterator
                | Kind::Ellipsis
        )
    }
}

/// Bytes of the header in front of the first of an instance's inline values (`PyDictValues` up to `values`, the same
/// in all supported versions; checked against the interpreter with the rest of the layout).
pub const INLINE_VALUES_HEADER: u32 = 8;
/// Where a bound method has its function, in bytes from its start.
pub const BOUND_METHOD_FUNCTION: u32 = 16;
/// Where it has the object it is bound to.
pub const BOUND_METHOD_SELF: u32 = 24;

/// Where an `enumerate` has the iterator it counts the items of.
pub const ENUMERATE_ITERATOR: u32 = 24;
/// Where a `zip` has the tuple of its iterators.
pub const ZIP_ITERATORS: u32 = 24;

/// What is known about one object of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectFacts {
    /// For people: `repr` of simple values, the qualified name of functions and classes, else the type's name.
    pub label: String,
    /// The object's value or structure, as far as the compiler can use it.
    pub value: ObjectValue,
    /// Whether the object is immortal (needs no reference counting).
    pub immortal: bool,
}

/// The part of an object that the compiler can reason about.
#[derive(Clone, Debug, PartialEq)]
pub enum ObjectValue {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An exact int that fits.
    Int(i64),
    /// An exact int that does not fit.
    BigInt,
    /// An exact float.
    Float(f64),
    /// An exact str; its text where it is valid UTF-8 and short.
    Str(Option<String>),
    /// An exact tuple of known objects.
    Tuple(Vec<ObjectId>),
    /// A slice whose parts are None or ints that fit, as [`SliceBounds`].
    Slice(SliceBounds),
    /// A Python function.
    Function(Box<FunctionFacts>),
    /// A class.
    Class(Box<ClassFacts>),
    /// A function or method of a builtin module or type.
    Builtin(Box<BuiltinFacts>),
    /// A module, by name.
    Module(String),
    /// A closure cell, with the class it held when the snapshot was taken (`__class__`); other contents are not looked
    /// at. What a cell holds can change.
    Cell(Option<ObjectId>),
    /// A code object.
    Code(Box<CodeFacts>),
    /// Any other object of an exact builtin type.
    Other(Kind),
    /// An object of some other type.
    Instance,
}

/// Start, stop and step of a slice, where None has been replaced by the number that means the same for sequences of any
/// length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceBounds {
    /// The first index.
    pub start: i64,
    /// The index behind the last one.
    pub stop: i64,
    /// Not 0, and small enough to be negated.
    pub step: i64,
}

impl SliceBounds {
    /// The bounds that the parts of a slice stand for.
    pub fn new(start: Option<i64>, stop: Option<i64>, step: Option<i64>) -> Option<SliceBounds> {
        let step = step.unwrap_or(1);
        let (first, last) = Self::defaults(step);
        let is_usual = step != 0 && step.unsigned_abs() < 1 << 32;
        is_usual.then(|| SliceBounds { start: start.unwrap_or(first), stop: stop.unwrap_or(last), step })
    }

    /// What None means as start and as stop.
    pub fn defaults(step: i64) -> (i64, i64) {
        if step > 0 { (0, i64::MAX) } else { (i64::MAX, i64::MIN) }
    }
}

impl ObjectValue {
    /// The exact builtin type, if it is one of [`Kind`].
    pub fn kind(&self) -> Option<Kind> {
        Some(match self {
            ObjectValue::None => Kind::None,
            ObjectValue::Bool(_) => Kind::Bool,
            ObjectValue::Int(_) | ObjectValue::BigInt => Kind::Int,
            ObjectValue::Float(_) => Kind::Float,
            ObjectValue::Str(_) => Kind::Str,
            ObjectValue::Tuple(_) => Kind::Tuple,
            ObjectValue::Slice(_) => Kind::Slice,
            ObjectValue::Function(_) => Kind::Function,
            ObjectValue::Class(_) => return None,
            ObjectValue::Builtin(_) => return None,
            ObjectValue::Module(_) => Kind::Module,
            ObjectValue::Cell(_) => Kind::Cell,
            ObjectValue::Code(_) => Kind::Code,
            ObjectValue::Other(kind) => *kind,
            ObjectValue::Instance => return None,
        })
    }
}

/// A function written in C as a callee.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltinFacts {
    /// `module.qualname`, such as `builtins.len` or `list.append`.
    pub name: String,
    /// How the C function is called, if compiled code can call it.
    pub convention: Option<NativeConvention>,
    /// The class whose instances it is a method of; they come first.
    pub owner: Option<ObjectId>,
}

/// How a C function gets its arguments, behind self (`METH_...`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeConvention {
    /// None.
    NoArguments,
    /// One.
    One,
    /// Any number, in memory.
    Vector,
    /// The same and the names of the last ones, which are none.
    VectorAndNames,
}

impl NativeConvention {
    /// All of them, with their names in text.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::NoArguments, "no_arguments"),
        (Self::One, "one_argument"),
        (Self::Vector, "vector"),
        (Self::VectorAndNames, "vector_and_names"),
    ];

    /// Whether a call can have so many arguments, self not counted.
    pub fn takes(self, count: usize) -> bool {
        match self {
            Self::NoArguments => count == 0,
            Self::One => count == 1,
            Self::Vector | Self::VectorAndNames => true,
        }
    }
}

/// A Python function as a callee.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionFacts {
    /// Qualified name.
    pub name: String,
    /// `func_version` at the time of the snapshot; 0 if it has none.
    pub version: u32,
    /// Index of its code in [`crate::Snapshot::codes`], when the snapshot contains it (it may be inlined).
    pub code: Option<usize>,
    /// The code object.
    pub code_object: ObjectId,
    /// `__globals__`.
    pub globals: ObjectId,
    /// Its builtins.
    pub builtins: ObjectId,
    /// `__defaults__`, in order.
    pub defaults: Vec<ObjectId>,
    /// Whether it has keyword-only defaults or a closure.
    pub has_kwdefaults: bool,
    /// The cells of its closure; empty if there is none.
    pub closure: Vec<ObjectId>,
    /// Whether the unit is invalidated when its code or its defaults change.
    pub is_watched: bool,
}

/// A code object as that of a callee: what its callers have to know.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CodeFacts {
    /// Names of its parameters, keyword-only ones last; the locals of these numbers.
    pub parameters: Vec<String>,
    /// How many of them are positional-only.
    pub positional_only_count: u32,
    /// How many of them are keyword-only.
    pub keyword_only_count: u32,
    /// `co_framesize`.
    pub frame_words: u32,
    /// Whether a call runs it at once (no generator), with its parameters as its only input (no `*args`, `**kwargs`).
    pub is_plain: bool,
}

/// A class as the type of instances, or as a callee.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassFacts {
    /// Qualified name.
    pub name: String,
    /// `tp_version_tag` at the time of the snapshot; 0 if it has none.
    pub version: u32,
    /// Version tags of the classes it inherits from: its method resolution order without itself.
    pub bases: Vec<u32>,
    /// The builtin type it is, if it is one.
    pub kind: Option<Kind>,
    /// Whether it is a heap type.
    pub is_heap: bool,
    /// Whether it never changes, and its instances never get another class.
    pub is_immutable: bool,
    /// Where instances have the address of their dict, in bytes, which is NULL until they need one; 0: they have none.
    /// Negative: elsewhere.
    pub dict_offset: i32,
    /// Whether instances have inline values.
    pub inline_values: bool,
    /// Byte offset of the inline values in an instance: its basic size.
    pub inline_values_offset: u32,
    /// Version of the shared keys, 0 if there is none.
    pub keys_version: u32,
    /// Names in the shared keys, in order: slot `i` of the inline values is attribute `keys[i]`.
    pub keys: Vec<String>,
    /// `__init__` when calling the class means: allocate by the default allocator, then call this Python function.
    pub init: Option<ObjectId>,
    /// Whether the class (not `type`) defines what runs when an instance dies (`__del__`), directly or inherited.
    pub has_finalizer: bool,
    /// Whether its instances always are true: neither `__bool__` nor `__len__`.
    pub always_true: bool,
    /// Whether reading an attribute of an instance is what `object.__getattribute__` does.
    pub plain_reads: bool,
    /// Whether setting an attribute of an instance is what `object.__setattr__` does.
    pub plain_writes: bool,
    /// Whether `__class__` of an instance is what `object` says: its type.
    pub plain_class: bool,
    /// Whether the class's own class is exactly `type`: nothing but the class itself says what its attributes are.
    pub plain_metaclass: bool,
    /// Attributes found on the class when the snapshot asked for them: methods, class attributes.
    pub attributes: Vec<ClassAttribute>,
}

impl ClassFacts {
    /// An attribute that the snapshot looked up along the method resolution order.
    pub fn attribute(&self, name: &str) -> Option<&ClassAttribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// Whether it is this class or inherits from it.
    pub fn is_subclass_of(&self, class: &ClassFacts) -> bool {
        class.version != 0 && (self.version == class.version || self.bases.contains(&class.version))
    }
}

/// What a class has under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassAttribute {
    /// The name.
    pub name: String,
    /// The object in the dict of the class or of one of its bases.
    pub value: ObjectId,
    /// What becomes of it when it is reached through an instance or the class.
    pub binding: Binding,
}

/// How a class attribute binds (its type's `__get__`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It does not: the attribute is the object itself.
    Plain,
    /// As a method: a Python function or a method of a builtin type.
    Method,
    /// `classmethod` of this function: the class comes first.
    ClassMethod(ObjectId),
    /// `staticmethod` of this object.
    StaticMethod(ObjectId),
    /// `property` with this getter. Wins over an instance attribute of that name.
    Property(ObjectId),
    /// `object.__class__`: the instance's class.
    OwnClass,
    /// In a way the compiler does not know; may win over an instance attribute.
    Other,
}

/// All objects a unit refers to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectTable {
    objects: Vec<ObjectFacts>,
}

impl ObjectTable {
    /// Adds an object and returns its id. The caller makes sure that one object gets one id.
    pub fn push(&mut self, facts: ObjectFacts) -> ObjectId {
        self.objects.push(facts);
        ObjectId(u32::try_from(self.objects.len() - 1).expect("fewer than 2^32 objects in a unit"))
    }

    /// What is known about an object.
    pub fn get(&self, id: ObjectId) -> &ObjectFacts {
        &self.objects[id.0 as usize]
    }

    /// The same, to be completed.
    pub fn get_mut(&mut self, id: ObjectId) -> &mut ObjectFacts {
        &mut self.objects[id.0 as usize]
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// All ids with their facts.
    pub fn iter(&self) -> impl Iterator<Item = (ObjectId, &ObjectFacts)> {
        self.objects.iter().enumerate().map(|(index, facts)| (ObjectId(index as u32), facts))
    }
}
