//! The functions that compiled code calls, one per row of [`coluber_ir::for_each_helper`], and those that
//! `coluber_backend::target::Target` names.
//!
//! Each follows its row: objects are borrowed unless the row steals them, NULL or -1 means that an exception is set.
//! A panic in one cannot unwind through compiled code: `extern "C"` makes it abort the process, naming the function.

mod containers;
mod exceptions;
mod generators;
mod look_up;
mod memory;
mod names;
mod numbers;
mod operators;
mod plain;
mod search;
mod slices;
mod walks;

pub use containers::*;
pub use exceptions::*;
pub use generators::*;
pub use look_up::{helper_dict_find, helper_next};
pub use memory::*;
pub use names::*;
pub use numbers::*;
pub use operators::*;
pub use slices::*;
pub use walks::*;

use crate::ffi_extra;
use coluber_cpython::raw::{Frame, StackRef};
use coluber_ir::{Helper, for_each_helper};
use pyo3_ffi::{PyObject, PyThreadState};
use std::ffi::c_char;

/// A Python object, or NULL where the row says so.
pub type Object = *mut PyObject;

fn tstate() -> *mut PyThreadState {
    // SAFETY: helpers run attached.
    unsafe { pyo3_ffi::PyThreadState_Get() }
}

/// The owned object in a stack reference, or NULL if it is empty.
unsafe fn object_or_null(reference: StackRef) -> Object {
    if reference.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: a filled reference holds an object.
    unsafe { ffi_extra::steal(reference) }
}

/// `tp_name` of an object's type.
unsafe fn type_name(object: Object) -> *const c_char {
    // SAFETY: an object.
    unsafe { (*pyo3_ffi::Py_TYPE(object)).tp_name }
}

/// The implementations under the names of their rows.
mod rows {
    pub use super::helper_add_to_sum as AddToSum;
    pub use super::helper_binary_op as BinaryOp;
    pub use super::helper_build_list as BuildList;
    pub use super::helper_build_map as BuildMap;
    pub use super::helper_build_set as BuildSet;
    pub use super::helper_build_slice as BuildSlice;
    pub use super::helper_build_string as BuildString;
    pub use super::helper_build_tuple as BuildTuple;
    pub use super::helper_builtin_is_true as BuiltinIsTrue;
    pub use super::helper_builtin_length as BuiltinLength;
    pub use super::helper_call_exit as CallExit;
    pub use super::helper_call_function_ex as CallFunctionEx;
    pub use super::helper_call_intrinsic_1 as CallIntrinsic1;
    pub use super::helper_call_intrinsic_2 as CallIntrinsic2;
    pub use super::helper_collect as Collect;
    pub use super::helper_collect_away as CollectAway;
    pub use super::helper_compare as Compare;
    pub use super::helper_compare_bool as CompareBool;
    pub use super::helper_contains as Contains;
    pub use super::helper_convert_value as ConvertValue;
    pub use super::helper_delete_attr as DeleteAttr;
    pub use super::helper_delete_global as DeleteGlobal;
    pub use super::helper_delete_name as DeleteName;
    pub use super::helper_delete_subscript as DeleteSubscript;
    pub use super::helper_dict_find as DictFind;
    pub use super::helper_dict_get as DictGet;
    pub use super::helper_dict_get_or as DictGetOr;
    pub use super::helper_dict_merge as DictMerge;
    pub use super::helper_dict_set as DictSet;
    pub use super::helper_dict_step as DictStep;
    pub use super::helper_dict_update as DictUpdate;
    pub use super::helper_end_iteration as EndIteration;
    pub use super::helper_float_floor_divide as FloatFloorDivide;
    pub use super::helper_float_remainder as FloatRemainder;
    pub use super::helper_format_simple as FormatSimple;
    pub use super::helper_format_with_spec as FormatWithSpec;
    pub use super::helper_get_awaitable as GetAwaitable;
    pub use super::helper_get_iter as BuiltinIterator;
    pub use super::helper_get_iter as GetIter;
    pub use super::helper_get_len as GetLen;
    pub use super::helper_import_from as ImportFrom;
    pub use super::helper_import_name as ImportName;
    pub use super::helper_invert as Invert;
    pub use super::helper_is_true as IsTrue;
    pub use super::helper_iter_next as IterNext;
    pub use super::helper_iter_next_into as IterNextInto;
    pub use super::helper_iterator_part as IteratorPart;
    pub use super::helper_list_append as ListAppend;
    pub use super::helper_list_extend as ListExtend;
    pub use super::helper_list_insert as ListInsert;
    pub use super::helper_list_pop as ListPop;
    pub use super::helper_list_set_slice as ListSetSlice;
    pub use super::helper_list_slice as ListSlice;
    pub use super::helper_load_attr as LoadAttr;
    pub use super::helper_load_build_class as LoadBuildClass;
    pub use super::helper_load_closure_cell as LoadClosureCell;
    pub use super::helper_load_from_dict_or_deref as LoadFromDictOrDeref;
    pub use super::helper_load_from_dict_or_globals as LoadFromDictOrGlobals;
    pub use super::helper_load_global as LoadGlobal;
    pub use super::helper_load_locals as LoadLocals;
    pub use super::helper_load_method as LoadMethod;
    pub use super::helper_load_name as LoadName;
    pub use super::helper_load_special as LoadSpecial;
    pub use super::helper_load_super_attr as LoadSuperAttr;
    pub use super::helper_load_super_method as LoadSuperMethod;
    pub use super::helper_make_cell as MakeCell;
    pub use super::helper_make_function as MakeFunction;
    pub use super::helper_make_pair as MakePair;
    pub use super::helper_match_class as MatchClass;
    pub use super::helper_match_keys as MatchKeys;
    pub use super::helper_match_mapping as MatchMapping;
    pub use super::helper_match_sequence as MatchSequence;
    pub use super::helper_matches_exception as MatchesException;
    pub use super::helper_math_unary as MathUnary;
    pub use super::helper_negative as Negative;
    pub use super::helper_new_dict as NewDict;
    pub use super::helper_new_instance as NewInstance;
    pub use super::helper_new_set as NewSet;
    pub use super::helper_next as Next;
    pub use super::helper_pair_next as PairNext;
    pub use super::helper_raise as Raise;
    pub use super::helper_raise_init_result as RaiseInitResult;
    pub use super::helper_raise_unbound_cell as RaiseUnboundCell;
    pub use super::helper_raise_unbound_local as RaiseUnboundLocal;
    pub use super::helper_reraise as Reraise;
    pub use super::helper_send as Send;
    pub use super::helper_set_add as SetAdd;
    pub use super::helper_set_add as SetAddPlain;
    pub use super::helper_set_function_attribute as SetFunctionAttribute;
    pub use super::helper_set_update as SetUpdate;
    pub use super::helper_setup_annotations as SetupAnnotations;
    pub use super::helper_slice as Slice;
    pub use super::helper_store_attr as StoreAttr;
    pub use super::helper_store_global as StoreGlobal;
    pub use super::helper_store_name as StoreName;
    pub use super::helper_store_slice as StoreSlice;
    pub use super::helper_store_subscript as StoreSubscript;
    pub use super::helper_str_equal as StrEqual;
    pub use super::helper_str_get as StrGet;
    pub use super::helper_str_slice as StrSlice;
    pub use super::helper_subscript as Subscript;
    pub use super::helper_sum as Sum;
    pub use super::helper_take_pair as TakePair;
    pub use super::helper_unpack_ex as UnpackEx;
    pub use super::helper_unpack_sequence as UnpackSequence;
    pub use super::plain::helper_plain_binary as PlainBinary;
    pub use super::plain::helper_plain_call as PlainCall;
    pub use super::plain::helper_plain_compare as PlainCompare;
    pub use super::plain::helper_plain_contains as PlainContains;
    pub use super::plain::helper_plain_iterator as PlainIterator;
    pub use super::plain::helper_plain_next as PlainNext;
    pub use super::plain::helper_plain_subscript as PlainSubscript;
    pub use super::plain::helper_plain_truth as PlainTruth;
    pub use super::plain::helper_plain_unary as PlainUnary;
}

/// The Rust type of a row's result.
macro_rules! result_type {
    (O) => {
        Object
    };
    (B) => {
        i64
    };
    (U) => {
        i64
    };
    (X) => {
        i64
    };
    (I) => {
        i64
    };
    (F) => {
        f64
    };
}

/// The function pointer type of a row: `pointer_type!([] arguments... => result)`.
macro_rules! pointer_type {
    ([$($done:ty),*] => $result:ident) => { unsafe extern "C" fn($($done),*) -> result_type!($result) };
    ([$($done:ty),*] O $($rest:tt)*) => { pointer_type!([$($done,)* Object] $($rest)*) };
    ([$($done:ty),*] S $($rest:tt)*) => { pointer_type!([$($done,)* Object] $($rest)*) };
    ([$($done:ty),*] N $($rest:tt)*) => { pointer_type!([$($done,)* Object] $($rest)*) };
    ([$($done:ty),*] I $($rest:tt)*) => { pointer_type!([$($done,)* i64] $($rest)*) };
    ([$($done:ty),*] F $($rest:tt)*) => { pointer_type!([$($done,)* f64] $($rest)*) };
    ([$($done:ty),*] V $($rest:tt)*) => { pointer_type!([$($done,)* *const Object, i64] $($rest)*) };
    ([$($done:ty),*] SV $($rest:tt)*) => { pointer_type!([$($done,)* *const Object, i64] $($rest)*) };
    ([$($done:ty),*] frame $($rest:tt)*) => { pointer_type!([$($done,)* Frame] $($rest)*) };
    ([$($done:ty),*] out $($rest:tt)*) => { pointer_type!([$($done,)* *mut Object] $($rest)*) };
}

macro_rules! build_address_table {
    ($($(#[$doc:meta])* $name:ident($($argument:ident),*) -> $result:ident, $flag:ident;)*) => {
        /// Address of each helper, by number. A row without an implementation, or with one of another signature, does
        /// not compile.
        pub fn address_table() -> Vec<u64> {
            Helper::ALL
                .iter()
                .map(|helper| match helper {
                    $(Helper::$name => {
                        let function: pointer_type!([] $($argument)* => $result) = rows::$name;
                        function as usize as u64
                    })*
                })
                .collect()
        }
    };
}
for_each_helper!(build_address_table);
