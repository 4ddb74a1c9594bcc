//! What the inline cache of an instruction learned.
//!
//! The layouts of the caches (`pycore_code.h`, both versions): word 0 is the counter, behind it stand versions (two
//! words), keys versions or offsets, and a borrowed object in four words. Word `k` here is the code unit `k` behind the
//! opcode, so that word 1 is the counter.

use crate::current::opcodes as op;
use crate::decode::FunctionFinder;
use crate::layout;
use crate::pool::ObjectPool;
use crate::raw::{Attached, CodeRef, FunctionRef, TypeRef, is_exactly};
use crate::versions::{class_by_version, function_by_version};
use coluber_bytecode::{AttributeFeedback, CallFeedback, Feedback, ObjectId, Offset, Op, Seen};
use pyo3_ffi::PyObject;

pub(crate) struct Reader<'a, 'py> {
    pub(crate) py: Attached<'py>,
    pub(crate) adaptive: &'a [u16],
    pub(crate) functions: FunctionFinder<'a>,
    pub(crate) code: CodeRef,
}

/// Start of `_PyBinaryOpSpecializationDescr` (`pycore_code.h`): the same in both versions.
#[repr(C)]
struct BinaryOpDescription {
    operand: i32,
    guard: Option<unsafe extern "C" fn(*mut PyObject, *mut PyObject) -> i32>,
}

impl Reader<'_, '_> {
    fn word(&self, offset: Offset, index: usize) -> u16 {
        self.adaptive.get(offset as usize + index).copied().unwrap_or(0)
    }

    fn long(&self, offset: Offset, index: usize) -> u32 {
        u32::from(self.word(offset, index)) | u32::from(self.word(offset, index + 1)) << 16
    }

    fn pointer(&self, offset: Offset, index: usize) -> *mut PyObject {
        let low = u64::from(self.long(offset, index));
        (low | u64::from(self.long(offset, index + 2)) << 32) as *mut PyObject
    }

    /// The feedback of the instruction at `offset`, whose base opcode is `base`.
    ///
    /// # Safety
    /// The code object must be valid and the adaptive units its own.
    pub(crate) unsafe fn read(
        &mut self,
        pool: &mut ObjectPool,
        base: u16,
        operand: u32,
        offset: Offset,
        decoded: &Op,
    ) -> Feedback {
        let opcode = self.word(offset, 0) & 0xff;
        if opcode == base {
            return self.unspecialised(base, offset);
        }
        if u16::from(op::DEOPT[opcode as usize]) != base {
            // Instrumented, or a tier-2 entry.
            return Feedback::None;
        }
        let version = || self.long(offset, 2);
        let seen = |seen| Feedback::Seen(seen);
        match opcode {
            op::BINARY_OP_ADD_INT | op::BINARY_OP_SUBTRACT_INT | op::BINARY_OP_MULTIPLY_INT => seen(Seen::Int),
            op::BINARY_OP_ADD_FLOAT | op::BINARY_OP_SUBTRACT_FLOAT | op::BINARY_OP_MULTIPLY_FLOAT => seen(Seen::Float),
            op::BINARY_OP_ADD_UNICODE | op::BINARY_OP_INPLACE_ADD_UNICODE => seen(Seen::Str),
            op::BINARY_OP_SUBSCR_LIST_INT => seen(Seen::List),
            op::BINARY_OP_SUBSCR_LIST_SLICE => seen(Seen::ListSlice),
            op::BINARY_OP_SUBSCR_TUPLE_INT => seen(Seen::Tuple),
            op::BINARY_OP_SUBSCR_STR_INT | op::BINARY_OP_SUBSCR_USTR_INT => seen(Seen::Str),
            op::BINARY_OP_SUBSCR_DICT => seen(Seen::Dict),
            op::BINARY_OP_SUBSCR_GETITEM => Feedback::GetItem,
            // SAFETY: the cache of this opcode holds the address of an entry of a static table.
            op::BINARY_OP_EXTEND => unsafe { extended(self.pointer(offset, 2).cast(), operand) },
            op::COMPARE_OP_INT | op::TO_BOOL_INT => seen(Seen::Int),
            op::COMPARE_OP_FLOAT => seen(Seen::Float),
            op::COMPARE_OP_STR | op::TO_BOOL_STR => seen(Seen::Str),
            op::TO_BOOL_BOOL => seen(Seen::Bool),
            op::TO_BOOL_LIST => seen(Seen::List),
            op::TO_BOOL_NONE => seen(Seen::None),
            op::TO_BOOL_ALWAYS_TRUE => seen(Seen::AlwaysTrue),
            op::FOR_ITER_RANGE => seen(Seen::Range),
            op::FOR_ITER_LIST => seen(Seen::List),
            op::FOR_ITER_TUPLE => seen(Seen::Tuple),
            op::FOR_ITER_GEN | op::SEND_GEN => seen(Seen::Generator),
            op::CONTAINS_OP_SET => seen(Seen::Set),
            op::CONTAINS_OP_DICT | op::STORE_SUBSCR_DICT => seen(Seen::Dict),
            op::STORE_SUBSCR_LIST_INT => seen(Seen::List),
            op::UNPACK_SEQUENCE_TWO_TUPLE => seen(Seen::TwoTuple),
            op::UNPACK_SEQUENCE_TUPLE => seen(Seen::Tuple),
            op::UNPACK_SEQUENCE_LIST => seen(Seen::List),
            op::LOAD_GLOBAL_MODULE => Feedback::GlobalModule,
            op::LOAD_GLOBAL_BUILTIN => Feedback::GlobalBuiltin,
            op::LOAD_SUPER_ATTR_ATTR | op::LOAD_SUPER_ATTR_METHOD => Feedback::Super,
            op::CALL_PY_EXACT_ARGS | op::CALL_PY_GENERAL | op::CALL_KW_PY => {
                let version = version();
                Feedback::Call(CallFeedback::Python { version, function: self.function(pool, version) })
            }
            op::CALL_BOUND_METHOD_EXACT_ARGS | op::CALL_BOUND_METHOD_GENERAL | op::CALL_KW_BOUND_METHOD => {
                let version = version();
                Feedback::Call(CallFeedback::BoundMethod { version, function: self.function(pool, version) })
            }
            op::CALL_ALLOC_AND_ENTER_INIT => Feedback::Call(CallFeedback::ClassWithInit { version: version() }),
            op::CALL_TYPE_1 => Feedback::Call(CallFeedback::Type1),
            op::CALL_STR_1 => Feedback::Call(CallFeedback::Str1),
            op::CALL_TUPLE_1 => Feedback::Call(CallFeedback::Tuple1),
            op::CALL_LEN => Feedback::Call(CallFeedback::Len),
            op::CALL_ISINSTANCE => Feedback::Call(CallFeedback::IsInstance),
            op::CALL_LIST_APPEND => Feedback::Call(CallFeedback::ListAppend),
            op::CALL_BUILTIN_CLASS => Feedback::Call(CallFeedback::BuiltinClass),
            op::CALL_BUILTIN_O | op::CALL_BUILTIN_FAST | op::CALL_BUILTIN_FAST_WITH_KEYWORDS => {
                Feedback::Call(CallFeedback::Builtin)
            }
            op::CALL_METHOD_DESCRIPTOR_O
            | op::CALL_METHOD_DESCRIPTOR_FAST
            | op::CALL_METHOD_DESCRIPTOR_FAST_WITH_KEYWORDS
            | op::CALL_METHOD_DESCRIPTOR_NOARGS => Feedback::Call(CallFeedback::MethodDescriptor),
            op::CALL_NON_PY_GENERAL | op::CALL_KW_NON_PY | op::CALL_EX_NON_PY_GENERAL => {
                Feedback::Call(CallFeedback::NonPython)
            }
            op::STORE_ATTR_INSTANCE_VALUE => Feedback::Attribute(AttributeFeedback::InstanceValue {
                version: version(),
                offset: self.word(offset, 4),
            }),
            op::STORE_ATTR_SLOT => {
                Feedback::Attribute(AttributeFeedback::Slot { version: version(), offset: self.word(offset, 4) })
            }
            op::STORE_ATTR_WITH_HINT => {
                Feedback::Attribute(AttributeFeedback::WithHint { version: version(), hint: self.word(offset, 4) })
            }
            _ => {
                if let Op::LoadAttr { name, .. } = decoded {
                    // SAFETY: promised by the caller.
                    let attribute = unsafe { self.attribute(pool, opcode, offset, *name) };
                    return attribute.map_or(Feedback::None, Feedback::Attribute);
                }
                Feedback::None
            }
        }
    }

    /// An instruction that is not specialised: never ran, or failed to.
    fn unspecialised(&self, base: u16, offset: Offset) -> Feedback {
        let is_family = matches!(
            base,
            op::TO_BOOL
                | op::STORE_SUBSCR
                | op::SEND
                | op::FOR_ITER
                | op::UNPACK_SEQUENCE
                | op::STORE_ATTR
                | op::LOAD_GLOBAL
                | op::LOAD_SUPER_ATTR
                | op::LOAD_ATTR
                | op::COMPARE_OP
                | op::CONTAINS_OP
                | op::CALL
                | op::CALL_KW
                | op::BINARY_OP
        );
        let unreachable = (1 << layout::adaptive::BACKOFF_BITS) - 1;
        let backoff = self.word(offset, 1) & unreachable;
        let untouched =
            layout::adaptive::WARMUP_VALUE << layout::adaptive::BACKOFF_BITS | layout::adaptive::WARMUP_BACKOFF;
        if is_family && self.word(offset, 1) == untouched {
            return Feedback::Unexecuted;
        }
        if is_family && backoff > layout::adaptive::WARMUP_BACKOFF && backoff != unreachable {
            Feedback::Generic
        } else {
            Feedback::None
        }
    }

    fn function(&self, pool: &mut ObjectPool, version: u32) -> Option<ObjectId> {
        let function = match function_by_version(self.py, version) {
            Some(function) => function.object(),
            None => (self.functions)(version)?,
        };
        // SAFETY: a function that is alive.
        let is_made_here = unsafe { self.makes(FunctionRef(function.cast())) };
        (!is_made_here).then(|| pool.intern(self.py, function))
    }

    /// Whether the code itself makes functions like this one: the next call is of another one.
    unsafe fn makes(&self, function: FunctionRef) -> bool {
        // SAFETY: the constants of a code object are a tuple.
        unsafe {
            let (constants, made) = (self.code.consts(), function.code().object());
            (0..pyo3_ffi::PyTuple_GET_SIZE(constants)).any(|index| pyo3_ffi::PyTuple_GET_ITEM(constants, index) == made)
        }
    }

    /// The class attribute `name` of the class that has `version`, if it still is `cached`.
    ///
    /// # Safety
    /// The name must be in the pool.
    unsafe fn verified(
        &self,
        pool: &mut ObjectPool,
        version: u32,
        name: ObjectId,
        cached: *mut PyObject,
    ) -> Option<ObjectId> {
        let class = class_by_version(self.py, version)?;
        // SAFETY: the class and the name are valid; the lookup runs no Python code.
        let found = unsafe { crate::ffi::_PyType_Lookup(class.0.cast(), pool.pointer(name)) };
        (found == cached && !found.is_null()).then(|| pool.intern(self.py, found))
    }

    /// # Safety
    /// The instruction must be a specialised LOAD_ATTR of `name`.
    unsafe fn attribute(
        &self,
        pool: &mut ObjectPool,
        opcode: u16,
        offset: Offset,
        name: ObjectId,
    ) -> Option<AttributeFeedback> {
        let version = self.long(offset, 2);
        let object = self.pointer(offset, 6);
        // SAFETY: the name is in the pool; cached objects are compared, not read, before `verified` finds
        // them alive.
        unsafe {
            Some(match opcode {
                op::LOAD_ATTR_INSTANCE_VALUE => {
                    AttributeFeedback::InstanceValue { version, offset: self.word(offset, 4) }
                }
                op::LOAD_ATTR_SLOT => AttributeFeedback::Slot { version, offset: self.word(offset, 4) },
                op::LOAD_ATTR_WITH_HINT => AttributeFeedback::WithHint { version, hint: self.word(offset, 4) },
                op::LOAD_ATTR_MODULE => {
                    AttributeFeedback::Module { keys_version: version, index: self.word(offset, 4) }
                }
                op::LOAD_ATTR_CLASS | op::LOAD_ATTR_CLASS_WITH_METACLASS_CHECK => {
                    AttributeFeedback::Class { version, value: self.verified(pool, version, name, object)? }
                }
                op::LOAD_ATTR_METHOD_WITH_VALUES => AttributeFeedback::Method {
                    version,
                    keys_version: Some(self.long(offset, 4)),
                    value: self.verified(pool, version, name, object)?,
                },
                op::LOAD_ATTR_METHOD_NO_DICT => AttributeFeedback::Method {
                    version,
                    keys_version: None,
                    value: self.verified(pool, version, name, object)?,
                },
                op::LOAD_ATTR_NONDESCRIPTOR_WITH_VALUES => AttributeFeedback::NonDescriptor {
                    version,
                    keys_version: Some(self.long(offset, 4)),
                    value: self.verified(pool, version, name, object)?,
                },
                op::LOAD_ATTR_NONDESCRIPTOR_NO_DICT => AttributeFeedback::NonDescriptor {
                    version,
                    keys_version: None,
                    value: self.verified(pool, version, name, object)?,
                },
                op::LOAD_ATTR_PROPERTY => {
                    let class = class_by_version(self.py, version)?;
                    let getter = property_getter(class, pool.pointer(name)).filter(|getter| *getter == object)?;
                    AttributeFeedback::Property { version, getter: pool.intern(self.py, getter) }
                }
                op::LOAD_ATTR_GETATTRIBUTE_OVERRIDDEN => {
                    let class = class_by_version(self.py, version)?;
                    let function =
                        crate::pool::lookup(class, c"__getattribute__").filter(|function| *function == object)?;
                    AttributeFeedback::GetattributeOverridden { version, function: pool.intern(self.py, function) }
                }
                op::LOAD_ATTR_METHOD_LAZY_DICT => {
                    let class = class_by_version(self.py, version)?;
                    if crate::pool::dict_offset(class) <= 0 {
                        return None;
                    }
                    let value = self.verified(pool, version, name, object)?;
                    AttributeFeedback::Method { version, keys_version: None, value }
                }
                _ => return None,
            })
        }
    }
}

/// The getter of the property `name` of `class`, borrowed.
///
/// # Safety
/// Both must be valid and the thread attached.
unsafe fn property_getter(class: TypeRef, name: *mut PyObject) -> Option<*mut PyObject> {
    // SAFETY: the type of what was found is tested before its field is read.
    unsafe {
        let found = crate::ffi::_PyType_Lookup(class.0.cast(), name);
        if found.is_null() || !is_exactly(found, &raw mut crate::ffi::PyProperty_Type) {
            return None;
        }
        let getter = crate::snapshot::attributes::getter(found);
        (!getter.is_null()).then_some(getter)
    }
}

/// Operand types of `BINARY_OP_EXTEND`, asked of the table entry's own guard, which only looks at exact types.
///
/// # Safety
/// `description` must be an entry of CPython's static table.
unsafe fn extended(description: *const BinaryOpDescription, operand: u32) -> Feedback {
    if description.is_null() {
        return Feedback::None;
    }
    // SAFETY: promised by the caller; the samples are valid objects of their exact types.
    unsafe {
        let description = &*description;
        let (Some(guard), true) = (description.guard, description.operand as u32 == operand) else {
            return Feedback::None;
        };
        let int = layout::small_int(2).expect("2 is a cached int");
        let float = pyo3_ffi::PyFloat_FromDouble(1.5);
        if float.is_null() {
            pyo3_ffi::PyErr_Clear();
            return Feedback::None;
        }
        let text = layout::latin1_character(b'a');
        let samples = [(int, Seen::Int), (float, Seen::Float), (text, Seen::Str)];
        let mut found = Feedback::None;
        'search: for (left, left_type) in samples {
            for (right, right_type) in samples {
                if guard(left, right) != 0 {
                    found = if left_type == right_type {
                        Feedback::Seen(left_type)
                    } else {
                        Feedback::SeenPair(left_type, right_type)
                    };
                    break 'search;
                }
            }
        }
        pyo3_ffi::Py_DECREF(float);
        found
    }
}
