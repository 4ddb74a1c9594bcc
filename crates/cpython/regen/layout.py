"""Writes src/v3_*/layout_{release,debug}.rs: offsets and sizes of CPython's private structures.

    python3 regen/layout.py [--check] INTERPRETER...

Each interpreter's headers stand beside it (`<prefix>/bin/python3.14` and `<prefix>/include/python3.14`, with a `d` behind
the version for a `-dbg` one). A C program that includes the internal headers prints every value, so nothing here is
typed by hand; `--check` compares with the files in the tree instead of writing them.
"""

import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent / "src"


def offsets(struct, *fields):
    """(CONSTANT, C expression) for each `field` or `(constant, field)`."""
    result = []
    for field in fields:
        constant, member = field if isinstance(field, tuple) else (field, field)
        result.append((constant.upper().lstrip("_"), f"offsetof({struct}, {member})", "usize", f"`{member}`"))
    return result


def size(struct, constant="SIZE"):
    return [(constant, f"sizeof({struct})", "usize", f"`sizeof({struct})`")]


def value(constant, expression, kind="usize", text=None):
    return [(constant, expression, kind, text or f"`{expression}`")]


SMALL_INTS = "static_objects.singletons.small_ints"
ASCII = "static_objects.singletons.strings.ascii"
LATIN1 = "static_objects.singletons.strings.latin1"
FREELISTS = "object_state.freelists"
FREELIST_NAMES = ["floats", "ints", "tuples", "lists", "list_iters", "tuple_iters", "dicts", "slices", "ranges",
                  "range_iters", "pymethodobjects"]

# module, doc, constants
MODULES = [
    ("object", "`PyObject` and `PyVarObject` (`Include/object.h`).",
     offsets("PyObject", "ob_refcnt", "ob_flags", "ob_type") + offsets("PyVarObject", "ob_size") + size("PyObject")
     + size("PyVarObject", "VAR_SIZE")),
    ("refcount", "Immortality (`Include/refcount.h`).",
     value("IMMORTAL_INITIAL", "_Py_IMMORTAL_INITIAL_REFCNT", "u64",
           "An incref is skipped when the low 32 bits of the count, unsigned, are at least this.")
     + value("IMMORTAL_MINIMUM", "_Py_IMMORTAL_MINIMUM_REFCNT", "u64",
             "A decref is skipped when the low 32 bits are at least this: negative as `i32`.")
     + value("STATIC_IMMORTAL_INITIAL", "_Py_STATIC_IMMORTAL_INITIAL_REFCNT", "u64",
             "What the whole word of a static immortal object holds.")),
    ("gc", "The header in front of an object that the cyclic collector tracks (`pycore_gc.h`).",
     size("PyGC_Head")),
    ("float", "`PyFloatObject`.", offsets("PyFloatObject", "ob_fval") + size("PyFloatObject")),
    ("long", "`PyLongObject`.",
     offsets("PyLongObject", ("lv_tag", "long_value.lv_tag"), ("ob_digit", "long_value.ob_digit"))
     + size("PyLongObject") + size("digit", "DIGIT_SIZE")
     + value("DIGIT_BITS", "PyLong_SHIFT", "u32", "Bits of one digit.")
     + value("NON_SIZE_BITS", "NON_SIZE_BITS", "u32", "`lv_tag >> NON_SIZE_BITS` is the number of digits.")
     + value("SIGN_MASK", "SIGN_MASK", "u64", "Sign of `lv_tag`: 0 positive, 1 zero, 2 negative.")
     + value("COMPACT_LIMIT", "(2 << NON_SIZE_BITS)", "u64",
             "`lv_tag` of a compact int (at most one digit) is below this.")),
    ("list", "`PyListObject`.", offsets("PyListObject", "ob_item", "allocated") + size("PyListObject")),
    ("tuple", "`PyTupleObject`.", offsets("PyTupleObject", "ob_hash", "ob_item")
     + value("HEADER_SIZE", "offsetof(PyTupleObject, ob_item)", "usize", "Size of an empty tuple.")),
    ("dict", "`PyDictObject`.",
     offsets("PyDictObject", "ma_used", ("ma_watcher_tag", "_ma_watcher_tag"), "ma_keys", "ma_values")
     + size("PyDictObject")),
    ("dict_keys", "`PyDictKeysObject` (`pycore_dict.h`).",
     offsets("PyDictKeysObject", "dk_refcnt", "dk_log2_size", "dk_log2_index_bytes", "dk_kind", "dk_version",
             "dk_usable", "dk_nentries", "dk_indices")
     + value("KIND_GENERAL", "DICT_KEYS_GENERAL", "u8") + value("KIND_UNICODE", "DICT_KEYS_UNICODE", "u8")
     + value("KIND_SPLIT", "DICT_KEYS_SPLIT", "u8")
     + offsets("PyDictKeyEntry", ("entry_hash", "me_hash"), ("entry_key", "me_key"), ("entry_value", "me_value"))
     + size("PyDictKeyEntry", "ENTRY_SIZE")
     + offsets("PyDictUnicodeEntry", ("unicode_entry_key", "me_key"), ("unicode_entry_value", "me_value"))
     + size("PyDictUnicodeEntry", "UNICODE_ENTRY_SIZE")
     + value("SHARED_KEYS_MAX_SIZE", "SHARED_KEYS_MAX_SIZE")),
    ("dict_values", "`PyDictValues`: the inline values of an instance start `tp_basicsize` bytes into it.",
     offsets("PyDictValues", "capacity", "size", "embedded", "valid", "values")),
    ("instance", "What stands in front of an instance (`pycore_object.h`).",
     value("MANAGED_DICT", "MANAGED_DICT_OFFSET", "isize", "The materialised dict, or NULL.")
     + value("MANAGED_WEAKREF", "MANAGED_WEAKREF_OFFSET", "isize", "The list of weak references, or NULL.")),
    ("type_object", "`PyTypeObject` and `PyHeapTypeObject`.",
     offsets("PyTypeObject", "tp_name", "tp_basicsize", "tp_itemsize", "tp_dealloc", "tp_as_number", "tp_as_sequence",
             "tp_as_mapping", "tp_hash", "tp_call", "tp_getattro", "tp_setattro", "tp_flags", "tp_richcompare",
             "tp_weaklistoffset", "tp_iter", "tp_iternext", "tp_methods", "tp_members", "tp_getset", "tp_base", "tp_dict",
             "tp_descr_get", "tp_descr_set", "tp_dictoffset", "tp_init", "tp_alloc", "tp_new", "tp_free", "tp_bases", "tp_mro",
             "tp_subclasses", "tp_del", "tp_version_tag", "tp_finalize", "tp_vectorcall", "tp_watched", "tp_versions_used")
     + size("PyTypeObject")
     + offsets("PyHeapTypeObject", "ht_name", "ht_qualname", "ht_cached_keys", "ht_module",
               ("spec_cache_getitem", "_spec_cache.getitem"), ("spec_cache_getitem_version", "_spec_cache.getitem_version"),
               ("spec_cache_init", "_spec_cache.init"))
     + offsets("PyNumberMethods", "nb_bool") + offsets("PyMappingMethods", "mp_length")
     + offsets("PySequenceMethods", "sq_length")),
    ("type_flags", "Bits of `tp_flags`.",
     value("STATIC_BUILTIN", "_Py_TPFLAGS_STATIC_BUILTIN", "u64") + value("INLINE_VALUES", "Py_TPFLAGS_INLINE_VALUES", "u64")
     + value("MANAGED_WEAKREF", "Py_TPFLAGS_MANAGED_WEAKREF", "u64")
     + value("MANAGED_DICT", "Py_TPFLAGS_MANAGED_DICT", "u64") + value("SEQUENCE", "Py_TPFLAGS_SEQUENCE", "u64")
     + value("MAPPING", "Py_TPFLAGS_MAPPING", "u64") + value("IMMUTABLE_TYPE", "Py_TPFLAGS_IMMUTABLETYPE", "u64")
     + value("HEAP_TYPE", "Py_TPFLAGS_HEAPTYPE", "u64") + value("HAVE_VECTORCALL", "Py_TPFLAGS_HAVE_VECTORCALL", "u64")
     + value("HAVE_GC", "Py_TPFLAGS_HAVE_GC", "u64") + value("METHOD_DESCRIPTOR", "Py_TPFLAGS_METHOD_DESCRIPTOR", "u64")
     + value("LONG_SUBCLASS", "Py_TPFLAGS_LONG_SUBCLASS", "u64") + value("LIST_SUBCLASS", "Py_TPFLAGS_LIST_SUBCLASS", "u64")
     + value("TUPLE_SUBCLASS", "Py_TPFLAGS_TUPLE_SUBCLASS", "u64")
     + value("UNICODE_SUBCLASS", "Py_TPFLAGS_UNICODE_SUBCLASS", "u64")
     + value("DICT_SUBCLASS", "Py_TPFLAGS_DICT_SUBCLASS", "u64")
     + value("BASE_EXCEPTION_SUBCLASS", "Py_TPFLAGS_BASE_EXC_SUBCLASS", "u64")
     + value("TYPE_SUBCLASS", "Py_TPFLAGS_TYPE_SUBCLASS", "u64")),
    ("function", "`PyFunctionObject`.",
     offsets("PyFunctionObject", "func_globals", "func_builtins", "func_name", "func_qualname", "func_code", "func_defaults",
             "func_kwdefaults", "func_closure", "func_dict", "func_module", "vectorcall", "func_version")
     + size("PyFunctionObject")),
    ("code", "`PyCodeObject`.",
     offsets("PyCodeObject", "co_consts", "co_names", "co_exceptiontable", "co_flags", "co_argcount", "co_posonlyargcount",
             "co_kwonlyargcount", "co_stacksize", "co_firstlineno", "co_nlocalsplus", "co_framesize", "co_nlocals",
             "co_ncellvars", "co_nfreevars", "co_version", "co_localsplusnames", "co_localspluskinds", "co_filename",
             "co_name", "co_qualname", "co_linetable", "co_executors", ("co_cached", "_co_cached"),
             ("co_instrumentation_version", "_co_instrumentation_version"), ("co_monitoring", "_co_monitoring"),
             ("co_firsttraceable", "_co_firsttraceable"), "co_extra", "co_code_adaptive")
     + offsets("_PyCoMonitoringData", "local_monitors", "active_monitors")
     + size("_Py_LocalMonitors", "MONITORS_SIZE")
     + value("FLAG_OPTIMIZED", "CO_OPTIMIZED", "u32") + value("FLAG_NEWLOCALS", "CO_NEWLOCALS", "u32")
     + value("FLAG_VARARGS", "CO_VARARGS", "u32") + value("FLAG_VARKEYWORDS", "CO_VARKEYWORDS", "u32")
     + value("FLAG_NESTED", "CO_NESTED", "u32")
     + value("FLAG_GENERATOR", "CO_GENERATOR", "u32") + value("FLAG_COROUTINE", "CO_COROUTINE", "u32")
     + value("FLAG_ITERABLE_COROUTINE", "CO_ITERABLE_COROUTINE", "u32")
     + value("FLAG_ASYNC_GENERATOR", "CO_ASYNC_GENERATOR", "u32")
     + value("FAST_CELL", "CO_FAST_CELL", "u8", "Kind of a slot in `co_localspluskinds`: holds a cell.")
     + value("FAST_FREE", "CO_FAST_FREE", "u8", "Holds a cell of the closure.")
     + value("FAST_LOCAL", "CO_FAST_LOCAL", "u8", "Is a local.")
     + value("FAST_HIDDEN", "CO_FAST_HIDDEN", "u8", "Belongs to an inlined comprehension.")),
    ("frame", "`_PyInterpreterFrame` (`pycore_interpframe_structs.h`).",
     offsets("_PyInterpreterFrame", ("executable", "f_executable"), "previous", ("funcobj", "f_funcobj"),
             ("globals", "f_globals"), ("builtins", "f_builtins"), ("locals", "f_locals"), "frame_obj", "instr_ptr",
             "stackpointer", "return_offset", "owner", "localsplus")
     + value("VISITED", "offsetof(_PyInterpreterFrame, owner) + 1", "usize",
             "`visited`; in debug builds the same byte holds `lltrace` in its upper bits.")
     + value("SPECIALS_SIZE", "FRAME_SPECIALS_SIZE", "usize", "Words in front of `localsplus`.")
     + value("OWNED_BY_THREAD", "FRAME_OWNED_BY_THREAD", "u8")
     + value("OWNED_BY_GENERATOR", "FRAME_OWNED_BY_GENERATOR", "u8")
     + value("OWNED_BY_FRAME_OBJECT", "FRAME_OWNED_BY_FRAME_OBJECT", "u8")
     + value("OWNED_BY_INTERPRETER", "FRAME_OWNED_BY_INTERPRETER", "u8",
             "Frames whose owner is at least this are the C entry frames.")),
    ("frame_object", "`PyFrameObject` (`pycore_frame.h`).",
     offsets("PyFrameObject", "f_back", "f_frame", "f_trace", "f_lineno", "f_trace_lines", "f_trace_opcodes",
             "f_extra_locals", "f_locals_cache", "f_overwritten_fast_locals")),
    ("stack_ref", "`_PyStackRef` (`pycore_stackref.h`).",
     value("NULL", "PyStackRef_NULL_BITS", "u64", "The empty slot.")
     + value("TAG_REFCNT", "Py_TAG_REFCNT", "u64", "Set: the slot owns no reference (borrowed or immortal).")
     + value("TAG_INT", "Py_INT_TAG", "u64", "Both bits set: a tagged int, `(i << 2) | 3`.")
     + value("TAG_BITS", "Py_TAG_BITS", "u64", "Mask of the tag.")),
    ("thread_state", "`PyThreadState` and `_PyThreadStateImpl`.",
     offsets("PyThreadState", "prev", "next", "interp", "eval_breaker", "py_recursion_remaining", "py_recursion_limit",
             "recursion_headroom", "tracing", "what_event", "current_frame", "c_profilefunc", "c_tracefunc",
             "current_exception", "exc_info", "async_exc", "thread_id", "datastack_chunk", "datastack_top",
             "datastack_limit", "context", "exc_state", "coroutine_origin_tracking_depth")
     + offsets("_PyThreadStateImpl", "c_stack_top", "c_stack_soft_limit", "c_stack_hard_limit") + size("PyThreadState")
     + offsets("_PyErr_StackItem", ("exc_item_value", "exc_value"), ("exc_item_previous", "previous_item"))),
    ("stack_chunk", "`_PyStackChunk`: a piece of a thread's data stack.",
     offsets("_PyStackChunk", "previous", "size", "top", "data")),
    ("eval_breaker", "Bits of `tstate->eval_breaker` (`pycore_ceval.h`).",
     value("GIL_DROP_REQUEST", "_PY_GIL_DROP_REQUEST_BIT", "u64") + value("SIGNALS_PENDING", "_PY_SIGNALS_PENDING_BIT", "u64")
     + value("CALLS_TO_DO", "_PY_CALLS_TO_DO_BIT", "u64") + value("ASYNC_EXCEPTION", "_PY_ASYNC_EXCEPTION_BIT", "u64")
     + value("GC_SCHEDULED", "_PY_GC_SCHEDULED_BIT", "u64")
     + value("EVENTS_BITS", "_PY_EVAL_EVENTS_BITS", "u32", "Number of bits below the monitoring version.")
     + value("EVENTS_MASK", "_PY_EVAL_EVENTS_MASK", "u64", "The bits; what is above is the monitoring version.")),
    ("adaptive", "Counters of specialisable instructions (`pycore_backoff.h`, `pycore_code.h`).",
     value("BACKOFF_BITS", "BACKOFF_BITS", "u32", "Low bits of a counter: how often specialising failed.")
     + value("WARMUP_BACKOFF", "ADAPTIVE_WARMUP_BACKOFF", "u16", "Their value before the first attempt.")
     + value("WARMUP_VALUE", "ADAPTIVE_WARMUP_VALUE", "u16", "The counter itself before the first execution.")
     + value("COOLDOWN_BACKOFF", "ADAPTIVE_COOLDOWN_BACKOFF", "u16", "Their value after a success.")),
    ("interpreter_state", "`PyInterpreterState` (`pycore_interp_structs.h`).",
     offsets("PyInterpreterState", "id", "next", ("threads_head", "threads.head"), "eval_frame", "builtins", "sysdict",
             ("ceval_instrumentation_version", "ceval.instrumentation_version"), "monitors",
             "monitoring_tool_names", "monitoring_callables",
             ("type_version_cache", "types.type_version_cache"), ("func_version_cache", "func_state.func_version_cache"),
             ("func_next_version", "func_state.next_version"), ("callable_len", "callable_cache.len"),
             ("callable_isinstance", "callable_cache.isinstance"), ("callable_list_append", "callable_cache.list_append"),
             ("callable_object_getattribute", "callable_cache.object__getattribute__"),
             "object_state", "common_consts")
     + [(f"FREELIST_{name.upper()}", f"offsetof(PyInterpreterState, {FREELISTS}.{name})", "usize",
         f"`struct _Py_freelist` of {name}.") for name in FREELIST_NAMES]
     + value("TYPE_VERSION_CACHE_SIZE", "TYPE_VERSION_CACHE_SIZE")
     + value("FUNC_VERSION_CACHE_SIZE", "FUNC_VERSION_CACHE_SIZE")
     + value("FUNC_VERSION_CACHE_ITEM", "sizeof(struct _func_version_cache_item)", "usize", "Size of an item.")
     + offsets("struct _func_version_cache_item", ("func_version_cache_func", "func"),
               ("func_version_cache_code", "code"))),
    ("freelist", "`struct _Py_freelist`: entries are linked through their first word.",
     offsets("struct _Py_freelist", ("head", "freelist"), "size")
     + value("MAX_FLOATS", "Py_floats_MAXFREELIST") + value("MAX_INTS", "Py_ints_MAXFREELIST")
     + value("MAX_TUPLES", "Py_tuple_MAXFREELIST") + value("TUPLE_SIZES", "PyTuple_MAXSAVESIZE")
     + value("MAX_LISTS", "Py_lists_MAXFREELIST") + value("MAX_LIST_ITERS", "Py_list_iters_MAXFREELIST")
     + value("MAX_TUPLE_ITERS", "Py_tuple_iters_MAXFREELIST") + value("MAX_RANGES", "Py_ranges_MAXFREELIST")
     + value("MAX_RANGE_ITERS", "Py_range_iters_MAXFREELIST") + value("MAX_SLICES", "Py_slices_MAXFREELIST")
     + value("MAX_METHODS", "Py_pymethodobjects_MAXFREELIST")),
    ("range_iterator", "`_PyRangeIterObject`.", offsets("_PyRangeIterObject", "start", "step", "len")
     + size("_PyRangeIterObject")),
    ("range", "`rangeobject` (`Objects/rangeobject.c`; not in a header, checked on a live object at import).",
     value("START", "sizeof(PyObject)", "usize", "`start`") + value("STOP", "sizeof(PyObject) + 8", "usize", "`stop`")
     + value("STEP", "sizeof(PyObject) + 16", "usize", "`step`")
     + value("LENGTH", "sizeof(PyObject) + 24", "usize", "`length`")),
    ("list_iterator", "`_PyListIterObject`.", offsets("_PyListIterObject", "it_index", "it_seq")),
    ("tuple_iterator", "`_PyTupleIterObject`.", offsets("_PyTupleIterObject", "it_index", "it_seq")),
    ("cell", "`PyCellObject`.", offsets("PyCellObject", "ob_ref") + size("PyCellObject")),
    ("method", "`PyMethodObject`.", offsets("PyMethodObject", "im_func", "im_self", "im_weakreflist", "vectorcall")
     + size("PyMethodObject")),
    ("builtin_function", "`PyCFunctionObject`.",
     offsets("PyCFunctionObject", "m_ml", "m_self", "m_module", "m_weakreflist", "vectorcall")),
    ("method_def", "`PyMethodDef`.", offsets("PyMethodDef", "ml_name", "ml_meth", "ml_flags", "ml_doc")),
    ("method_descriptor", "`PyMethodDescrObject`.",
     offsets("PyMethodDescrObject", ("d_type", "d_common.d_type"), ("d_name", "d_common.d_name"),
             ("d_qualname", "d_common.d_qualname"), "d_method", "vectorcall")),
    ("member_descriptor", "`PyMemberDescrObject`.",
     offsets("PyMemberDescrObject", "d_member") + offsets("PyMemberDef", ("member_type", "type"),
                                                          ("member_offset", "offset"), ("member_flags", "flags"))),
    ("getset_descriptor", "`PyGetSetDescrObject` and `PyGetSetDef`.",
     offsets("PyGetSetDescrObject", "d_getset") + offsets("PyGetSetDef", ("getset_name", "name"), ("getset_get", "get"),
             ("getset_set", "set"))
     + size("PyGetSetDef", "GETSET_SIZE")),
    ("property", "`propertyobject` (`Objects/descrobject.c`, declared in `pycore_descrobject.h`).",
     offsets("_PyPropertyObject", "prop_get", "prop_set", "prop_del")),
    ("generator", "`PyGenObject`.",
     offsets("PyGenObject", "gi_exc_state", "gi_frame_state", "gi_iframe")
     + value("STATE_CREATED", "FRAME_CREATED", "i8") + value("STATE_SUSPENDED", "FRAME_SUSPENDED", "i8")
     + value("STATE_EXECUTING", "FRAME_EXECUTING", "i8")
     + value("STATE_CLEARED", "FRAME_CLEARED", "i8")),
    ("slice", "`PySliceObject`.", offsets("PySliceObject", "start", "stop", "step")),
    ("bytes", "`PyBytesObject`.", offsets("PyBytesObject", "ob_shash", "ob_sval")),
    ("bytearray", "`PyByteArrayObject`.", offsets("PyByteArrayObject", "ob_alloc", "ob_bytes", "ob_start", "ob_exports")),
    ("unicode", "`PyASCIIObject` and its extensions.",
     offsets("PyASCIIObject", "length", "hash", "state") + size("PyASCIIObject", "ASCII_SIZE")
     + size("PyCompactUnicodeObject", "COMPACT_SIZE")),
    ("set", "`PySetObject`.", offsets("PySetObject", "fill", "used", "mask", "table", "hash")
     + offsets("setentry", ("entry_key", "key"), ("entry_hash", "hash")) + size("setentry", "ENTRY_SIZE")),
    ("module", "`PyModuleObject` (`pycore_moduleobject.h`).", offsets("PyModuleObject", "md_dict")),
    ("runtime", "`_PyRuntime`: objects that are static in it.",
     value("SMALL_INTS", f"offsetof(_PyRuntimeState, {SMALL_INTS})", "usize", "The cached ints, from `-SMALL_NEGATIVE`.")
     + value("SMALL_INT_SIZE", f"sizeof(((_PyRuntimeState *)0)->{SMALL_INTS}[0])", "usize", "Distance of two of them.")
     + value("SMALL_NEGATIVE", "_PY_NSMALLNEGINTS", "i64", "Number of negative ones.")
     + value("SMALL_POSITIVE", "_PY_NSMALLPOSINTS", "i64", "Number of others: the first int that is not cached.")
     + value("ASCII", f"offsetof(_PyRuntimeState, {ASCII})", "usize", "The one-character strings below 128.")
     + value("ASCII_SIZE", f"sizeof(((_PyRuntimeState *)0)->{ASCII}[0])", "usize", "Distance of two of them.")
     + value("LATIN1", f"offsetof(_PyRuntimeState, {LATIN1})", "usize", "Those from 128 to 255.")
     + value("LATIN1_SIZE", f"sizeof(((_PyRuntimeState *)0)->{LATIN1}[0])", "usize", "Distance of two of them.")
     + value("EMPTY_STRING", "offsetof(_PyRuntimeState, static_objects.singletons.strings.literals._py_empty)",
             "usize", "`''`")
     + value("EMPTY_TUPLE", "offsetof(_PyRuntimeState, static_objects.singletons.tuple_empty)", "usize", "`()`")
     + size("_PyRuntimeState")),
]


# Offsets that `_Py_DebugOffsets` of the running interpreter also tells: (its field, our value). The list differs between
# versions, so a field that a version lacks is left out by name. The sizes of the runtime and interpreter states are left
# out: builds with and without CPython's own JIT differ in what stands behind everything used here.
DEBUG = [
    ("interpreter_state.threads_head", None),
    ("interpreter_state.builtins", None), ("interpreter_state.sysdict", None), ("interpreter_state.id", None),
    ("interpreter_state.gc", None), ("interpreter_state.ceval_gil", None),
    ("interpreter_state.code_object_generation", None),
    ("runtime_state.interpreters_head", None), ("thread_state.size", None), ("thread_state.interp", None),
    ("thread_state.current_frame", None), ("thread_state.thread_id", None), ("thread_state.datastack_chunk", None),
    ("thread_state.status", None), ("interpreter_frame.size", None), ("interpreter_frame.previous", None),
    ("interpreter_frame.executable", None), ("interpreter_frame.instr_ptr", None), ("interpreter_frame.localsplus", None),
    ("interpreter_frame.owner", None), ("interpreter_frame.stackpointer", None), ("code_object.size", None),
    ("code_object.filename", None), ("code_object.name", None), ("code_object.qualname", None),
    ("code_object.linetable", None), ("code_object.firstlineno", None), ("code_object.argcount", None),
    ("code_object.localsplusnames", None), ("code_object.localspluskinds", None), ("code_object.co_code_adaptive", None),
    ("pyobject.size", None), ("pyobject.ob_type", None), ("type_object.size", None), ("type_object.tp_name", None),
    ("type_object.tp_flags", None), ("tuple_object.ob_item", None), ("tuple_object.ob_size", None),
    ("list_object.size", None), ("list_object.ob_item", None), ("list_object.ob_size", None), ("set_object.size", None),
    ("set_object.used", None), ("dict_object.size", None), ("dict_object.ma_keys", None), ("dict_object.ma_values", None),
    ("float_object.size", None), ("float_object.ob_fval", None), ("long_object.lv_tag", None), ("long_object.ob_digit", None),
    ("bytes_object.ob_sval", None), ("unicode_object.state", None), ("unicode_object.length", None),
    ("unicode_object.asciiobject_size", None), ("gc.size", None), ("gen_object.size", None), ("gen_object.gi_iframe", None),
    ("gen_object.gi_frame_state", None), ("debugger_support.eval_breaker", None),
]

INCLUDES = """
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#include "internal/pycore_runtime_structs.h"
#include "internal/pycore_debug_offsets.h"
#include "internal/pycore_code.h"
#include "internal/pycore_frame.h"
#include "internal/pycore_interpframe.h"
#include "internal/pycore_genobject.h"
#include "internal/pycore_dict.h"
#include "internal/pycore_list.h"
#include "internal/pycore_tuple.h"
#include "internal/pycore_range.h"
#include "internal/pycore_long.h"
#include "internal/pycore_stackref.h"
#include "internal/pycore_object.h"
#include "internal/pycore_ceval.h"
#include "internal/pycore_tstate.h"
#include "internal/pycore_descrobject.h"
#include "internal/pycore_moduleobject.h"
#include "internal/pycore_freelist_state.h"
#include "internal/pycore_instruments.h"
"""


def include_flags(interpreter):
    interpreter = pathlib.Path(interpreter)
    name = interpreter.name.removesuffix("-dbg") + ("d" if interpreter.name.endswith("-dbg") else "")
    root = interpreter.parent.parent / "include"
    headers = root / name
    if not headers.is_dir():
        raise SystemExit(f"no headers at {headers}")
    return ["-I", str(headers), "-I", str(headers / "internal"), "-idirafter", str(root)]


def run(interpreter, source):
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "probe.c"
        path.write_text(source)
        # Only constants are printed: nothing of the interpreter is linked.
        subprocess.run(["gcc", "-w", "-O0", "-fno-pie", "-no-pie", *include_flags(interpreter), str(path), "-o", f"{directory}/probe",
                        "-Wl,--unresolved-symbols=ignore-all"], check=True)
        return subprocess.run([f"{directory}/probe"], check=True, capture_output=True, text=True).stdout.splitlines()


def extra(version):
    if version == "3.15":
        return {"thread_state": offsets("PyThreadState", "base_frame", "last_profiled_frame", "last_profiled_frame_seq")
                + offsets("_PyThreadStateImpl", "generator_return_kind"),
                "generator": value("STATE_SUSPENDED_YIELD_FROM", "FRAME_SUSPENDED_YIELD_FROM", "i8"),
                "type_object": offsets("PyTypeObject", ("tp_iteritem", "_tp_iteritem"))}
    return {"generator": value("STATE_SUSPENDED_YIELD_FROM", "FRAME_SUSPENDED_YIELD_FROM", "i8")
            + value("STATE_COMPLETED", "FRAME_COMPLETED", "i8")}


def generate(interpreter):
    name = pathlib.Path(interpreter).name
    version = name.removeprefix("python").removesuffix("-dbg")
    added = extra(version)
    modules = [(module, doc, constants + added.get(module, [])) for module, doc, constants in MODULES]
    lines = [INCLUDES, "static const _Py_DebugOffsets debug = _Py_DebugOffsets_INIT(_Py_Debug_Cookie);", "int main(void) {",
             '  printf("%s\\n", PY_VERSION);']
    for _, _, constants in modules:
        for _, expression, kind, _ in constants:
            # isize constants are negative; all others print as unsigned 64 bit.
            if kind in ("isize", "i8", "i64"):
                lines.append(f'  printf("%lld\\n", (long long)({expression}));')
            else:
                lines.append(f'  printf("%llu\\n", (unsigned long long)({expression}));')
    for field, _ in DEBUG:
        lines.append(f'  printf("%zu %llu\\n", offsetof(_Py_DebugOffsets, {field}), (unsigned long long)debug.{field});')
    lines += ["  return 0;", "}"]
    output = iter(run(interpreter, "\n".join(lines)))
    patch = next(output)
    build = "debug" if name.endswith("-dbg") else "release"
    text = [f"//! Layout of CPython {version}, {build} build, GIL, 64 bit. Generated by `regen/layout.py` from the headers of",
            f"//! {patch}; do not edit.", "",
            "/// The patch release whose headers these offsets were read from.",
            f'pub const HEADERS: &str = "{patch}";', ""]
    for module, doc, constants in modules:
        text += [f"/// {doc}", f"pub mod {module} {{"]
        for constant, _, kind, comment in constants:
            number = int(next(output))
            shown = f"0x{number:x}" if kind == "u64" and number > 4096 else str(number)
            text += [f"    /// {comment}", f"    pub const {constant}: {kind} = {shown};"]
        text += ["}", ""]
    text += ["/// What `_Py_DebugOffsets` at the start of `_PyRuntime` must hold: (field, byte offset of the field, value).",
             "pub const DEBUG_OFFSETS: &[(&str, usize, u64)] = &["]
    for field, _ in DEBUG:
        at, number = next(output).split()
        text.append(f'    ("{field}", {at}, {number}),')
    text += ["];", ""]
    return SOURCE / f"v{version.replace('.', '_')}" / f"layout_{build}.rs", "\n".join(text)


def main():
    arguments = sys.argv[1:]
    check = "--check" in arguments
    stale = []
    for interpreter in [argument for argument in arguments if argument != "--check"]:
        path, text = generate(interpreter)
        if check:
            if not path.exists() or path.read_text() != text:
                stale.append(str(path))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale:
        raise SystemExit("not as the headers say: " + ", ".join(stale))


main()
