//! The objects a unit refers to: ids for the compiler, strong references for everybody else.
//!
//! An [`ObjectPool`] gives every object one [`ObjectId`], keeps it alive, and records what the compiler may know about
//! it ([`ObjectFacts`]) when it is interned. The facts go to the compiler ([`ObjectPool::take_table`]), the references
//! stay here until [`ObjectPool::release`]. A pool that is dropped on a thread that is not attached leaves its
//! references in a queue that [`release_deferred`] empties.
//!
//! Computing facts runs no Python code.

use crate::layout;
use crate::raw::{Attached, CodeRef, FunctionRef, TypeRef, is_exactly, type_of};
use crate::{ffi, text};
use coluber_bytecode::{
    BuiltinFacts, ClassFacts, CodeFacts, FunctionFacts, Kind, ObjectFacts, ObjectId, ObjectTable, ObjectValue,
    SliceBounds,
};
use pyo3_ffi::PyObject;
use std::collections::HashMap;
use std::sync::Mutex;

/// Longest text of a string constant that the facts repeat, in bytes.
const MAX_TEXT_BYTES: usize = 256;
/// How deep facts follow tuples, defaults and closures.
const MAX_DEPTH: u32 = 8;

const _: () = assert!(layout::dict_values::VALUES == coluber_bytecode::INLINE_VALUES_HEADER as usize);
const _: () = assert!(layout::method::IM_FUNC == coluber_bytecode::BOUND_METHOD_FUNCTION as usize);
const _: () = assert!(layout::method::IM_SELF == coluber_bytecode::BOUND_METHOD_SELF as usize);

/// References of pools that were dropped on threads that were not attached.
static DEFERRED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// See the module's description.
#[derive(Default)]
pub struct ObjectPool {
    table: ObjectTable,
    pointers: Vec<*mut PyObject>,
    ids: HashMap<usize, ObjectId>,
}

// SAFETY: the pointers are only dereferenced by functions that ask for an attached thread.
unsafe impl Send for ObjectPool {}

impl ObjectPool {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of `object`, which must be a valid object. Takes a strong reference the first time.
    pub fn intern(&mut self, py: Attached, object: *mut PyObject) -> ObjectId {
        self.intern_at(py, object, 0)
    }

    /// The id of an object that is already in the pool.
    pub fn find(&self, object: *mut PyObject) -> Option<ObjectId> {
        self.ids.get(&(object as usize)).copied()
    }

    /// The object of an id, borrowed from the pool.
    pub fn pointer(&self, id: ObjectId) -> *mut PyObject {
        self.pointers[id.0 as usize]
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.pointers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pointers.is_empty()
    }

    /// What is known of the objects.
    pub fn table(&self) -> &ObjectTable {
        &self.table
    }

    /// The same, to be completed.
    pub fn table_mut(&mut self) -> &mut ObjectTable {
        &mut self.table
    }

    /// Moves the facts out: for the snapshot. Nothing may be interned afterwards.
    pub fn take_table(&mut self) -> ObjectTable {
        std::mem::take(&mut self.table)
    }

    /// Gives all references back.
    pub fn release(mut self, _py: Attached) {
        for object in std::mem::take(&mut self.pointers) {
            // SAFETY: the pool owns one reference; the thread is attached.
            unsafe { pyo3_ffi::Py_DECREF(object) };
        }
    }

    fn intern_at(&mut self, py: Attached, object: *mut PyObject, depth: u32) -> ObjectId {
        if let Some(id) = self.find(object) {
            return id;
        }
        debug_assert_eq!(self.table.len(), self.pointers.len(), "interned after the table was taken");
        // SAFETY: the caller passes a valid object and the thread is attached.
        let immortal = unsafe {
            pyo3_ffi::Py_INCREF(object);
            is_immortal(object)
        };
        let label = text::type_name(type_of(object));
        let id = self.table.push(ObjectFacts { label, value: ObjectValue::Instance, immortal });
        self.pointers.push(object);
        self.ids.insert(object as usize, id);
        // The id exists before its facts do: objects refer to each other in circles.
        // SAFETY: as above.
        let (label, value) = unsafe { self.describe(py, object, depth) };
        let facts = self.table.get_mut(id);
        facts.value = value;
        if let Some(label) = label {
            facts.label = label;
        }
        id
    }

    unsafe fn describe(&mut self, py: Attached, object: *mut PyObject, depth: u32) -> (Option<String>, ObjectValue) {
        // SAFETY: `object` is valid, the thread attached, and each read goes to a field of the exact
        // type that was just tested.
        unsafe {
            if object == pyo3_ffi::Py_None() {
                return (Some("None".into()), ObjectValue::None);
            }
            if object == pyo3_ffi::Py_True() || object == pyo3_ffi::Py_False() {
                let value = object == pyo3_ffi::Py_True();
                return (Some(if value { "True" } else { "False" }.into()), ObjectValue::Bool(value));
            }
            if is_exactly(object, &raw mut pyo3_ffi::PyLong_Type) {
                let mut overflow = 0;
                let value = pyo3_ffi::PyLong_AsLongLongAndOverflow(object, &mut overflow);
                return match overflow {
                    0 => (Some(value.to_string()), ObjectValue::Int(value)),
                    _ => (Some("big int".into()), ObjectValue::BigInt),
                };
            }
            if is_exactly(object, &raw mut pyo3_ffi::PyFloat_Type) {
                let value = object.cast::<u8>().add(layout::float::OB_FVAL).cast::<f64>().read();
                return (Some(format!("{value:?}")), ObjectValue::Float(value));
            }
            if is_exactly(object, &raw mut pyo3_ffi::PyUnicode_Type) {
                let value = text::to_string(object).filter(|text| text.len() <= MAX_TEXT_BYTES);
                let label = value.as_ref().map_or_else(|| "str".into(), |text| format!("{text:?}"));
                return (Some(label), ObjectValue::Str(value));
            }
            if is_exactly(object, &raw mut pyo3_ffi::PyTuple_Type) {
                if depth >= MAX_DEPTH {
                    return (None, ObjectValue::Other(Kind::Tuple));
                }
                let items = (0..pyo3_ffi::PyTuple_GET_SIZE(object))
                    .map(|index| pyo3_ffi::PyTuple_GET_ITEM(object, index))
                    .collect::<Vec<_>>();
                let ids = items.into_iter().map(|item| self.intern_at(py, item, depth + 1)).collect();
                return (None, ObjectValue::Tuple(ids));
            }
            if is_exactly(object, &raw mut pyo3_ffi::PySlice_Type) {
                let value = slice_bounds(object).map_or(ObjectValue::Other(Kind::Slice), ObjectValue::Slice);
                return (None, value);
            }
            if is_exactly(object, &raw mut pyo3_ffi::PyFunction_Type) {
                return self.describe_function(py, FunctionRef(object.cast()), depth);
            }
            if is_exactly(object, &raw mut pyo3_ffi::PyModule_Type) {
                let name = text::module_name(object).unwrap_or_default();
                return (Some(format!("module {name}")), ObjectValue::Module(name));
            }
            if is_exactly(object, &raw mut pyo3_ffi::PyCode_Type) {
                let name = text::to_string(CodeRef(object.cast()).qualname()).unwrap_or_default();
                return (Some(format!("code {name}")), ObjectValue::Code(Box::new(code_facts(CodeRef(object.cast())))));
            }
            if is_exactly(object, &raw mut pyo3_ffi::PyCell_Type) {
                let content = object.cast::<u8>().add(layout::cell::OB_REF).cast::<*mut PyObject>().read();
                let content = holds_class(object).then(|| self.intern_at(py, content, depth + 1));
                return (None, ObjectValue::Cell(content));
            }
            if let Some(name) = text::builtin_name(object) {
                let owner = crate::natives::owner(object).map(|class| self.intern_at(py, class.object(), depth + 1));
                let convention = crate::natives::find(object).map(|native| native.convention);
                let facts = BuiltinFacts { name: name.clone(), convention, owner };
                return (Some(name), ObjectValue::Builtin(Box::new(facts)));
            }
            if type_of(object).flags() & layout::type_flags::TYPE_SUBCLASS != 0 {
                return self.describe_class(py, TypeRef(object.cast()), depth);
            }
            match kind_of_type(type_of(object)) {
                Some(kind) => (None, ObjectValue::Other(kind)),
                None => (None, ObjectValue::Instance),
            }
        }
    }

    unsafe fn describe_function(
        &mut self,
        py: Attached,
        function: FunctionRef,
        depth: u32,
    ) -> (Option<String>, ObjectValue) {
        // SAFETY: the caller passes a valid function; its fields are valid objects or NULL.
        unsafe {
            let name = text::to_string(function.qualname()).unwrap_or_default();
            let items = |tuple: *mut PyObject| -> Vec<*mut PyObject> {
                if tuple.is_null() || depth >= MAX_DEPTH {
                    return Vec::new();
                }
                (0..pyo3_ffi::PyTuple_GET_SIZE(tuple)).map(|index| pyo3_ffi::PyTuple_GET_ITEM(tuple, index)).collect()
            };
            let (mut defaults, mut closure) = (items(function.defaults()), items(function.closure()));
            // What a function made by a call holds must be able to die with it: only what nobody sees die is looked at.
            if name.contains("<locals>") {
                let dies_silently =
                    |item: &*mut PyObject| kind_of_type(type_of(*item)).is_some_and(Kind::dies_silently);
                if !defaults.iter().all(dies_silently) {
                    defaults.clear();
                }
                if !closure.iter().all(|cell| holds_class(*cell)) {
                    closure.clear();
                }
            }
            let facts = FunctionFacts {
                name: name.clone(),
                // Below 2: never had one, or lost it to a door or a change.
                version: if function.version() < 2 { 0 } else { function.version() },
                code: None,
                code_object: self.intern_at(py, function.code().object(), depth + 1),
                globals: self.intern_at(py, function.globals(), depth + 1),
                builtins: self.intern_at(py, function.builtins(), depth + 1),
                defaults: defaults.into_iter().map(|item| self.intern_at(py, item, depth + 1)).collect(),
                has_kwdefaults: !function.keyword_defaults().is_null(),
                closure: closure.into_iter().map(|cell| self.intern_at(py, cell, depth + 1)).collect(),
                is_watched: false,
            };
            (Some(format!("function {name}")), ObjectValue::Function(Box::new(facts)))
        }
    }

    unsafe fn describe_class(&mut self, py: Attached, class: TypeRef, depth: u32) -> (Option<String>, ObjectValue) {
        // SAFETY: the caller passes a valid class.
        unsafe {
            let name = text::class_name(class);
            if class.version() == 0 {
                // May fail when the class has used up its tags: then the version stays 0.
                ffi::PyUnstable_Type_AssignVersionTag(class.0.cast());
            }
            let flags = class.flags();
            let inline_values = flags & layout::type_flags::INLINE_VALUES != 0;
            let is_heap = flags & layout::type_flags::HEAP_TYPE != 0;
            let (keys_version, keys) = if inline_values { shared_keys(class) } else { (0, Vec::new()) };
            let init = if depth < MAX_DEPTH { plain_init(class) } else { None };
            let facts = ClassFacts {
                name: name.clone(),
                version: class.version(),
                bases: bases(class),
                kind: kind_of_type(class),
                is_heap,
                is_immutable: is_immutable(class),
                dict_offset: dict_offset(class),
                inline_values,
                inline_values_offset: class.basic_size() as u32,
                keys_version,
                keys,
                init: init.map(|function| self.intern_at(py, function, depth + 1)),
                has_finalizer: !class.finalize().is_null() || !class.del().is_null(),
                always_true: is_always_true(class),
                plain_reads: class.getattro() == pyo3_ffi::PyObject_GenericGetAttr as *mut u8,
                plain_writes: class.setattro() == pyo3_ffi::PyObject_GenericSetAttr as *mut u8,
                plain_class: lookup(class, c"__class__")
                    .is_some_and(|found| Some(found) == lookup(object_type(), c"__class__")),
                plain_metaclass: is_exactly(class.object(), &raw mut pyo3_ffi::PyType_Type),
                attributes: Vec::new(),
            };
            (Some(format!("class {name}")), ObjectValue::Class(Box::new(facts)))
        }
    }
}

/// The parts of a slice, if they are None or ints.
unsafe fn slice_bounds(slice: *mut PyObject) -> Option<SliceBounds> {
    // SAFETY: the caller passes a slice, whose parts are objects.
    let part = |offset: usize| unsafe {
        let part = slice.cast::<u8>().add(offset).cast::<*mut PyObject>().read();
        if part == pyo3_ffi::Py_None() {
            return Some(None);
        }
        if !is_exactly(part, &raw mut pyo3_ffi::PyLong_Type) {
            return None;
        }
        let mut overflow = 0;
        let value = pyo3_ffi::PyLong_AsLongLongAndOverflow(part, &mut overflow);
        (overflow == 0).then_some(Some(value))
    };
    use layout::slice::{START, STEP, STOP};
    SliceBounds::new(part(START)?, part(STOP)?, part(STEP)?)
}

/// Whether a cell holds a class.
unsafe fn holds_class(cell: *mut PyObject) -> bool {
    // SAFETY: the caller passes a cell.
    unsafe {
        let content = cell.cast::<u8>().add(layout::cell::OB_REF).cast::<*mut PyObject>().read();
        !content.is_null() && type_of(content).flags() & layout::type_flags::TYPE_SUBCLASS != 0
    }
}

impl Drop for ObjectPool {
    fn drop(&mut self) {
        if self.pointers.is_empty() {
            return;
        }
        let mut deferred = DEFERRED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        deferred.extend(self.pointers.drain(..).map(|pointer| pointer as usize));
    }
}

/// Gives back the references of pools that were dropped on other threads.
pub fn release_deferred(_py: Attached) {
    let taken = {
        let mut deferred = DEFERRED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        std::mem::take(&mut *deferred)
    };
    for object in taken {
        // SAFETY: the queue owns the references; the thread is attached.
        unsafe { pyo3_ffi::Py_DECREF(object as *mut PyObject) };
    }
}

/// Whether an object is immortal.
///
/// # Safety
/// `object` must be valid and the thread attached.
pub unsafe fn is_immortal(object: *mut PyObject) -> bool {
    // SAFETY: the low half of the first word is the reference count.
    (unsafe { object.cast::<u8>().add(layout::object::OB_REFCNT).cast::<i32>().read() }) < 0
}

/// The kind whose exact type `class` is.
pub fn kind_of_type(class: TypeRef) -> Option<Kind> {
    crate::arrays::recognise(class);
    let kinds = Kind::ALL;
    kinds.into_iter().find(|kind| type_of_kind(*kind).0 == class.0)
}

/// The exact type of a kind.
pub fn type_of_kind(kind: Kind) -> TypeRef {
    // SAFETY: only addresses of static type objects are taken; the singletons are always valid.
    let class = unsafe {
        match kind {
            Kind::None => return type_of(pyo3_ffi::Py_None()),
            Kind::Ellipsis => return type_of(pyo3_ffi::Py_Ellipsis()),
            Kind::Bool => &raw mut pyo3_ffi::PyBool_Type,
            Kind::Int => &raw mut pyo3_ffi::PyLong_Type,
            Kind::Float => &raw mut pyo3_ffi::PyFloat_Type,
            Kind::Complex => &raw mut pyo3_ffi::PyComplex_Type,
            Kind::Str => &raw mut pyo3_ffi::PyUnicode_Type,
            Kind::Bytes => &raw mut pyo3_ffi::PyBytes_Type,
            Kind::ByteArray => &raw mut pyo3_ffi::PyByteArray_Type,
            Kind::Tuple => &raw mut pyo3_ffi::PyTuple_Type,
            Kind::List => &raw mut pyo3_ffi::PyList_Type,
            Kind::Dict => &raw mut pyo3_ffi::PyDict_Type,
            Kind::Set => &raw mut pyo3_ffi::PySet_Type,
            Kind::FrozenSet => &raw mut pyo3_ffi::PyFrozenSet_Type,
            Kind::Slice => &raw mut pyo3_ffi::PySlice_Type,
            Kind::Range => &raw mut pyo3_ffi::PyRange_Type,
            Kind::RangeIterator => &raw mut pyo3_ffi::PyRangeIter_Type,
            Kind::ListIterator => &raw mut pyo3_ffi::PyListIter_Type,
            Kind::TupleIterator => &raw mut ffi::PyTupleIter_Type,
            Kind::Enumerate => &raw mut pyo3_ffi::PyEnum_Type,
            Kind::Zip => &raw mut pyo3_ffi::PyZip_Type,
            Kind::Reversed => &raw mut pyo3_ffi::PyReversed_Type,
            Kind::ReverseIterator => &raw mut pyo3_ffi::PyListRevIter_Type,
            Kind::DictKeys => &raw mut pyo3_ffi::PyDictKeys_Type,
            Kind::DictValues => &raw mut pyo3_ffi::PyDictValues_Type,
            Kind::DictItems => &raw mut pyo3_ffi::PyDictItems_Type,
            Kind::DictKeyIterator => &raw mut pyo3_ffi::PyDictIterKey_Type,
            Kind::DictValueIterator => &raw mut pyo3_ffi::PyDictIterValue_Type,
            Kind::DictItemIterator => &raw mut pyo3_ffi::PyDictIterItem_Type,
            Kind::AsciiIterator => return crate::iterators::ascii_iterator_type(),
            Kind::Function => &raw mut pyo3_ffi::PyFunction_Type,
            Kind::BoundMethod => &raw mut ffi::PyMethod_Type,
            Kind::BuiltinFunction => &raw mut pyo3_ffi::PyCFunction_Type,
            Kind::MethodDescriptor => &raw mut pyo3_ffi::PyMethodDescr_Type,
            Kind::Class => &raw mut pyo3_ffi::PyType_Type,
            Kind::Cell => &raw mut pyo3_ffi::PyCell_Type,
            Kind::Module => &raw mut pyo3_ffi::PyModule_Type,
            Kind::Generator => &raw mut pyo3_ffi::PyGen_Type,
            Kind::Code => &raw mut pyo3_ffi::PyCode_Type,
            Kind::Array => return crate::arrays::array_type(),
        }
    };
    TypeRef(class.cast())
}

/// Version and names of the shared keys of a class whose instances have inline values.
///
/// # Safety
/// `class` must be a valid heap type and the thread attached.
pub unsafe fn shared_keys(class: TypeRef) -> (u32, Vec<String>) {
    // SAFETY: a heap type with inline values has cached keys; entries follow the index table.
    unsafe {
        let keys = class.cached_keys();
        if keys.is_null() {
            return (0, Vec::new());
        }
        let version = keys.add(layout::dict_keys::DK_VERSION).cast::<u32>().read();
        let count = keys.add(layout::dict_keys::DK_NENTRIES).cast::<isize>().read();
        let index_bytes = 1usize << keys.add(layout::dict_keys::DK_LOG2_INDEX_BYTES).read();
        let entries = keys.add(layout::dict_keys::DK_INDICES + index_bytes);
        let names = (0..count as usize)
            .map(|index| {
                let entry = entries.add(index * layout::dict_keys::UNICODE_ENTRY_SIZE);
                let key = entry.add(layout::dict_keys::UNICODE_ENTRY_KEY).cast::<*mut PyObject>().read();
                if key.is_null() { String::new() } else { text::to_string(key).unwrap_or_default() }
            })
            .collect();
        (version, names)
    }
}

/// The type `object`.
fn object_type() -> TypeRef {
    TypeRef((&raw mut pyo3_ffi::PyBaseObject_Type).cast())
}

/// Version tags of the classes behind a class in its method resolution order.
unsafe fn bases(class: TypeRef) -> Vec<u32> {
    // SAFETY: `tp_mro` of a ready class is a tuple of classes, of which it is the first.
    unsafe {
        let mro = class.mro();
        if mro.is_null() || class.version() == 0 {
            return Vec::new();
        }
        (1..pyo3_ffi::PyTuple_GET_SIZE(mro))
            .map(|index| TypeRef(pyo3_ffi::PyTuple_GET_ITEM(mro, index).cast()).version())
            .filter(|version| *version != 0)
            .collect()
    }
}

/// `__init__` of a class whose call means: allocate by the default allocator, then call that Python function.
///
/// # Safety
/// `class` must be a valid type and the thread attached.
pub unsafe fn plain_init(class: TypeRef) -> Option<*mut PyObject> {
    /// `Py_TPFLAGS_IS_ABSTRACT`: `object.__new__` refuses to make an instance.
    const IS_ABSTRACT: u64 = 1 << 20;
    // SAFETY: the class is valid; `_PyType_Lookup` returns a borrowed reference and runs no Python code.
    unsafe {
        let flags = class.flags();
        if flags & layout::type_flags::HEAP_TYPE == 0
            || flags & IS_ABSTRACT != 0
            || !is_exactly(class.object(), &raw mut pyo3_ffi::PyType_Type)
            || class.constructor() != object_type().constructor()
            || class.alloc() != pyo3_ffi::PyType_GenericAlloc as *mut u8
            || class.item_size() != 0
        {
            return None;
        }
        let init = lookup(class, c"__init__")?;
        is_exactly(init, &raw mut pyo3_ffi::PyFunction_Type).then_some(init)
    }
}

/// A class attribute, looked up along the method resolution order. Borrowed.
///
/// # Safety
/// `class` must be a valid type and the thread attached.
pub unsafe fn lookup(class: TypeRef, name: &std::ffi::CStr) -> Option<*mut PyObject> {
    // SAFETY: interning a name allocates at most; a failure leaves an exception that is cleared.
    unsafe {
        let name = pyo3_ffi::PyUnicode_InternFromString(name.as_ptr());
        if name.is_null() {
            pyo3_ffi::PyErr_Clear();
            return None;
        }
        let found = ffi::_PyType_Lookup(class.0.cast(), name);
        pyo3_ffi::Py_DECREF(name);
        (!found.is_null()).then_some(found)
    }
}

/// Whether a class never changes, and its instances never get another one (`object_set_class`, Objects/typeobject.c, 3.14 and
/// 3.15).
unsafe fn is_immutable(class: TypeRef) -> bool {
    // SAFETY: the caller passes a valid type.
    unsafe {
        let is_module = pyo3_ffi::PyType_IsSubtype(class.0.cast(), &raw mut pyo3_ffi::PyModule_Type) != 0;
        class.flags() & layout::type_flags::IMMUTABLE_TYPE != 0 && !is_module
    }
}

/// `tp_dictoffset`.
///
/// # Safety
/// `class` must be a valid type.
pub unsafe fn dict_offset(class: TypeRef) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { class.0.add(layout::type_object::TP_DICTOFFSET).cast::<isize>().read() as i32 }
}

unsafe fn is_always_true(class: TypeRef) -> bool {
    // SAFETY: the method tables of a valid type are valid or NULL.
    unsafe {
        let slot = |table: *mut u8, offset: usize| {
            if table.is_null() { std::ptr::null_mut() } else { table.add(offset).cast::<*mut u8>().read() }
        };
        slot(class.as_number(), layout::type_object::NB_BOOL).is_null()
            && slot(class.as_mapping(), layout::type_object::MP_LENGTH).is_null()
            && slot(class.as_sequence(), layout::type_object::SQ_LENGTH).is_null()
    }
}

/// What callers of a code have to know.
unsafe fn code_facts(code: CodeRef) -> CodeFacts {
    use layout::code::*;
    // SAFETY: the caller passes a valid code object; its names are a tuple of str.
    unsafe {
        let keyword_only_count = code.keyword_only_count() as u32;
        let count = code.argument_count() as u32 + keyword_only_count;
        let names = code.slot_names();
        let other = FLAG_GENERATOR | FLAG_COROUTINE | FLAG_ASYNC_GENERATOR | FLAG_VARARGS | FLAG_VARKEYWORDS;
        CodeFacts {
            parameters: (0..count as isize)
                .map(|index| text::to_string(pyo3_ffi::PyTuple_GET_ITEM(names, index)).unwrap_or_default())
                .collect(),
            positional_only_count: code.positional_only_count() as u32,
            keyword_only_count,
            frame_words: code.frame_size() as u32,
            is_plain: code.flags() & other == 0 && code.flags() & FLAG_OPTIMIZED != 0,
        }
    }
}
