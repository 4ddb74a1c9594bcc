//! A code object of CPython as neutral [`coluber_bytecode::Code`].
//!
//! What an instruction does comes from its base opcode, what it has seen from the specialised opcode and the inline
//! cache that stand in the adaptive code units. A code with instrumented opcodes or tier-2 entries hides both; then the
//! base comes from the public `co_code` (which `PyCode_GetCode` reconstructs), and hidden instructions have no feedback.
//!
//! Objects in inline caches are only looked at after the class that had the cached version was found and still has the
//! attribute: a stale cache may hold a dangling pointer.

use crate::current::opcodes as op;
use crate::feedback::Reader;
use crate::layout::{self, code as code_layout};
use crate::pool::ObjectPool;
use crate::raw::{Attached, CodeRef};
use crate::text;
use coluber_bytecode::{
    BinaryKind, Code, CodeFlags, Comparison, Feedback, HandlerRange, Instruction, Offset, Op, SpecialMethod,
};
use pyo3_ffi::PyObject;

/// Why a code object cannot be decoded. Never seen with code that the interpreter's own compiler made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytecode could not be copied: no memory.
    NoMemory,
    /// The operand at this offset is out of range.
    BadOperand {
        /// Code unit.
        offset: Offset,
        /// Opcode name.
        name: &'static str,
        /// The operand.
        operand: u32,
    },
    /// The exception table ends in the middle of an entry.
    BadExceptionTable,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecodeError::NoMemory => write!(f, "no memory for the bytecode"),
            DecodeError::BadOperand { offset, name, operand } => {
                write!(f, "{name} at {offset} has the operand {operand}")
            }
            DecodeError::BadExceptionTable => write!(f, "the exception table is cut off"),
        }
    }
}

/// Finds the function that has a version, when the interpreter's own table has forgotten it (a door took the version).
pub type FunctionFinder<'a> = &'a dyn Fn(u32) -> Option<*mut PyObject>;

/// Decodes `code`, with its feedback.
///
/// # Safety
/// `code` must be a valid code object.
pub unsafe fn decode(
    py: Attached,
    code: CodeRef,
    pool: &mut ObjectPool,
    functions: FunctionFinder,
) -> Result<Code, DecodeError> {
    // SAFETY: the fields of a valid code object are valid objects of the documented types.
    unsafe {
        let adaptive = std::slice::from_raw_parts(code.units(), code.unit_count()).to_vec();
        let base = base_units(code, &adaptive)?;
        let flags = code.flags();
        let slot_count = code.slot_count() as u32;
        let names = code.slot_names();
        let mut decoded = Code {
            object: pool.intern(py, code.object()),
            name: text::to_string(code.qualname()).unwrap_or_default(),
            filename: text::to_string(code.filename()).unwrap_or_default(),
            first_line: code.first_line().max(0) as u32,
            argument_count: code.argument_count() as u32,
            keyword_only_count: code.keyword_only_count() as u32,
            slot_count,
            local_count: code.local_count() as u32,
            slot_names: (0..slot_count as isize)
                .map(|index| text::to_string(pyo3_ffi::PyTuple_GET_ITEM(names, index)).unwrap_or_default())
                .collect(),
            stack_size: code.stack_size() as u32,
            flags: CodeFlags {
                is_generator: flags
                    & (code_layout::FLAG_GENERATOR | code_layout::FLAG_COROUTINE | code_layout::FLAG_ASYNC_GENERATOR)
                    != 0,
                has_varargs: flags & code_layout::FLAG_VARARGS != 0,
                has_varkeywords: flags & code_layout::FLAG_VARKEYWORDS != 0,
                is_optimized: flags & code_layout::FLAG_OPTIMIZED != 0,
            },
            iterator_slots: if cfg!(Py_3_15) { 2 } else { 1 },
            indexed_loops: cfg!(Py_3_15),
            instructions: Vec::new(),
            handlers: handlers(bytes(code.exception_table()))?,
            lines: Vec::new(),
        };
        let mut reader = Reader { py, adaptive: &adaptive, functions, code };
        Decoder { py, code, base: &base }.run(pool, &mut reader, &mut decoded.instructions)?;
        let lines = unit_lines(code, base.len());
        decoded.lines = decoded.instructions.iter().map(|instruction| lines[instruction.offset as usize]).collect();
        Ok(decoded)
    }
}

/// The content of a bytes object.
///
/// # Safety
/// `object` must be an exact bytes object that outlives the result.
unsafe fn bytes<'a>(object: *mut PyObject) -> &'a [u8] {
    // SAFETY: promised by the caller.
    unsafe {
        std::slice::from_raw_parts(
            pyo3_ffi::PyBytes_AsString(object).cast::<u8>(),
            pyo3_ffi::PyBytes_Size(object) as usize,
        )
    }
}

/// Whether an adaptive opcode hides the base opcode and operand.
fn hides_base(opcode: u16) -> bool {
    opcode >= FIRST_INSTRUMENTED || opcode == op::ENTER_EXECUTOR
}

/// The lowest number of an instrumented opcode: they and `ENTER_EXECUTOR`'s kind end the table.
const FIRST_INSTRUMENTED: u16 = {
    let mut first = 255;
    let mut number = 0;
    while number < 256 {
        let name = op::NAMES[number].as_bytes();
        if name.len() > 12 && name[0] == b'I' && name[1] == b'N' && name[2] == b'S' && name[11] == b'D' {
            first = if (number as u16) < first { number as u16 } else { first };
        }
        number += 1;
    }
    first
};

/// Code units with base opcodes.
///
/// # Safety
/// `code` must be valid and `adaptive` its units.
unsafe fn base_units(code: CodeRef, adaptive: &[u16]) -> Result<Vec<u16>, DecodeError> {
    let mut base = adaptive.to_vec();
    let mut index = 0;
    while index < base.len() {
        let opcode = base[index] & 0xff;
        if hides_base(opcode) {
            // SAFETY: the code object is valid; the result is a new bytes object of the same length.
            return unsafe {
                let object = crate::ffi::PyCode_GetCode(code.object());
                if object.is_null() {
                    pyo3_ffi::PyErr_Clear();
                    return Err(DecodeError::NoMemory);
                }
                let units = bytes(object).chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
                pyo3_ffi::Py_DECREF(object);
                Ok(units)
            };
        }
        let opcode = op::DEOPT[opcode as usize];
        base[index] = (base[index] & 0xff00) | u16::from(opcode);
        index += 1 + usize::from(op::CACHES[opcode as usize]);
    }
    Ok(base)
}

fn handlers(table: &[u8]) -> Result<Vec<HandlerRange>, DecodeError> {
    let mut position = 0;
    let mut number = || -> Result<u32, DecodeError> {
        let mut value = 0;
        loop {
            let byte = *table.get(position).ok_or(DecodeError::BadExceptionTable)?;
            position += 1;
            value = (value << 6) | u32::from(byte & 0x3f);
            if byte & 0x40 == 0 {
                return Ok(value);
            }
        }
    };
    let mut ranges = Vec::new();
    while let Ok(start) = number() {
        let length = number()?;
        let handler = number()?;
        let depth = number()?;
        ranges.push(HandlerRange {
            start,
            end: start + length,
            handler,
            depth: depth >> 1,
            push_offset: depth & 1 != 0,
        });
    }
    Ok(ranges)
}

/// Line of every code unit, 0 where there is none (`Objects/codeobject.c`, the format is the same in both versions).
///
/// # Safety
/// `code` must be valid.
pub unsafe fn unit_lines(code: CodeRef, unit_count: usize) -> Vec<u32> {
    // SAFETY: the line table is a bytes object.
    let table = unsafe { bytes(code.0.add(code_layout::CO_LINETABLE).cast::<*mut PyObject>().read()) };
    // SAFETY: promised by the caller.
    let mut line = i64::from(unsafe { code.first_line() });
    let mut lines = Vec::with_capacity(unit_count);
    let mut position = 0;
    let varint = |position: &mut usize| {
        let (mut value, mut shift) = (0_u64, 0);
        while let Some(byte) = table.get(*position) {
            *position += 1;
            value |= u64::from(byte & 0x3f) << shift;
            shift += 6;
            if byte & 0x40 == 0 {
                break;
            }
        }
        value
    };
    let signed = |value: u64| {
        if value & 1 != 0 { -((value >> 1) as i64) } else { (value >> 1) as i64 }
    };
    while position < table.len() {
        let first = table[position];
        position += 1;
        let length = usize::from(first & 7) + 1;
        let kind = (first >> 3) & 15;
        let mut has_line = true;
        match kind {
            15 => has_line = false,
            14 => {
                line += signed(varint(&mut position));
                for _ in 0..3 {
                    varint(&mut position);
                }
            }
            13 => line += signed(varint(&mut position)),
            10..=12 => {
                line += i64::from(kind) - 10;
                position += 2;
            }
            _ => position += 1,
        }
        let shown = if has_line { u32::try_from(line).unwrap_or(0) } else { 0 };
        lines.extend(std::iter::repeat_n(shown, length));
    }
    lines.resize(unit_count, 0);
    lines
}

struct Decoder<'a, 'py> {
    py: Attached<'py>,
    code: CodeRef,
    base: &'a [u16],
}

impl Decoder<'_, '_> {
    /// # Safety
    /// The code object must be valid.
    unsafe fn run(
        &self,
        pool: &mut ObjectPool,
        reader: &mut Reader,
        instructions: &mut Vec<Instruction>,
    ) -> Result<(), DecodeError> {
        let mut index = 0;
        while index < self.base.len() {
            let start = index as Offset;
            let mut operand = u32::from(self.base[index] >> 8);
            while self.base[index] & 0xff == op::EXTENDED_ARG && index + 1 < self.base.len() {
                index += 1;
                operand = (operand << 8) | u32::from(self.base[index] >> 8);
            }
            let opcode = self.base[index] & 0xff;
            let offset = index as Offset;
            let next = offset + 1 + Offset::from(op::CACHES[opcode as usize]);
            let mut push = |op: Op, feedback: Feedback| {
                instructions.push(Instruction { start, offset, next, op, feedback });
            };
            // SAFETY: the code object is valid.
            unsafe {
                match opcode {
                    op::LOAD_FAST_LOAD_FAST | op::LOAD_FAST_BORROW_LOAD_FAST_BORROW => {
                        push(Op::LoadFast { local: operand >> 4 }, Feedback::None);
                        push(Op::LoadFast { local: operand & 15 }, Feedback::None);
                    }
                    op::STORE_FAST_LOAD_FAST => {
                        push(Op::StoreFast { local: operand >> 4 }, Feedback::None);
                        push(Op::LoadFast { local: operand & 15 }, Feedback::None);
                    }
                    op::STORE_FAST_STORE_FAST => {
                        push(Op::StoreFast { local: operand >> 4 }, Feedback::None);
                        push(Op::StoreFast { local: operand & 15 }, Feedback::None);
                    }
                    _ => {
                        let decoded = self.operation(pool, opcode, operand, offset, next)?;
                        let feedback = reader.read(pool, opcode, operand, offset, &decoded);
                        push(decoded, feedback);
                    }
                }
            }
            index = next as usize;
        }
        Ok(())
    }

    /// An element of a tuple of the code object.
    ///
    /// # Safety
    /// `tuple` must be valid.
    unsafe fn item(
        &self,
        pool: &mut ObjectPool,
        tuple: *mut PyObject,
        index: u32,
        bad: DecodeError,
    ) -> Result<coluber_bytecode::ObjectId, DecodeError> {
        // SAFETY: the index is checked.
        unsafe {
            if index as isize >= pyo3_ffi::PyTuple_GET_SIZE(tuple) {
                return Err(bad);
            }
            Ok(pool.intern(self.py, pyo3_ffi::PyTuple_GET_ITEM(tuple, index as isize)))
        }
    }

    /// # Safety
    /// The code object must be valid.
    unsafe fn operation(
        &self,
        pool: &mut ObjectPool,
        opcode: u16,
        operand: u32,
        offset: Offset,
        next: Offset,
    ) -> Result<Op, DecodeError> {
        let opcode_name = op::NAMES[opcode as usize];
        let bad = || DecodeError::BadOperand { offset, name: opcode_name, operand };
        // SAFETY: the code object is valid.
        let (names, constants) = unsafe { (self.code.names(), self.code.consts()) };
        // SAFETY: the names of a valid code object are a tuple.
        let name = |pool: &mut ObjectPool, index| unsafe { self.item(pool, names, index, bad()) };
        // SAFETY: its constants too.
        let constant = |pool: &mut ObjectPool, index| unsafe { self.item(pool, constants, index, bad()) };
        let backward = || next.checked_sub(operand).ok_or_else(bad);
        Ok(match opcode {
            op::NOP | op::NOT_TAKEN | op::CACHE => Op::Nop,
            op::RESUME => Op::Resume { argument: operand },
            op::LOAD_FAST | op::LOAD_FAST_BORROW => Op::LoadFast { local: operand },
            op::LOAD_FAST_CHECK => Op::LoadFastCheck { local: operand },
            op::LOAD_FAST_AND_CLEAR => Op::LoadFastAndClear { local: operand },
            op::STORE_FAST => Op::StoreFast { local: operand },
            op::DELETE_FAST => Op::DeleteFast { local: operand },
            op::LOAD_CONST => Op::LoadConst { value: constant(pool, operand)? },
            op::LOAD_SMALL_INT => {
                let value = layout::small_int(i64::from(operand)).ok_or_else(bad)?;
                Op::LoadConst { value: pool.intern(self.py, value) }
            }
            op::LOAD_COMMON_CONSTANT => {
                // SAFETY: the interpreter holds one object per operand of its compiler.
                let value = unsafe {
                    let table = self.py.thread_state().interpreter().add(layout::interpreter_state::COMMON_CONSTS);
                    table.cast::<*mut PyObject>().add(operand as usize).read()
                };
                Op::LoadConst { value: pool.intern(self.py, value) }
            }
            op::POP_TOP => Op::PopTop,
            op::PUSH_NULL => Op::PushNull,
            op::COPY => Op::Copy { depth: operand },
            op::SWAP => Op::Swap { depth: operand },
            op::LOAD_NAME => Op::LoadName { name: name(pool, operand)? },
            op::STORE_NAME => Op::StoreName { name: name(pool, operand)? },
            op::DELETE_NAME => Op::DeleteName { name: name(pool, operand)? },
            op::LOAD_GLOBAL => Op::LoadGlobal { name: name(pool, operand >> 1)?, push_null: operand & 1 != 0 },
            op::STORE_GLOBAL => Op::StoreGlobal { name: name(pool, operand)? },
            op::DELETE_GLOBAL => Op::DeleteGlobal { name: name(pool, operand)? },
            op::MAKE_CELL => Op::MakeCell { local: operand },
            op::COPY_FREE_VARS => Op::CopyFreeVars { count: operand },
            op::LOAD_DEREF => Op::LoadDeref { local: operand },
            op::STORE_DEREF => Op::StoreDeref { local: operand },
            op::DELETE_DEREF => Op::DeleteDeref { local: operand },
            op::LOAD_FROM_DICT_OR_DEREF => Op::LoadFromDictOrDeref { local: operand },
            op::LOAD_FROM_DICT_OR_GLOBALS => Op::LoadFromDictOrGlobals { name: name(pool, operand)? },
            op::LOAD_LOCALS => Op::LoadLocals,
            op::LOAD_BUILD_CLASS => Op::LoadBuildClass,
            op::LOAD_ATTR => Op::LoadAttr { name: name(pool, operand >> 1)?, method: operand & 1 != 0 },
            op::STORE_ATTR => Op::StoreAttr { name: name(pool, operand)? },
            op::DELETE_ATTR => Op::DeleteAttr { name: name(pool, operand)? },
            op::LOAD_SUPER_ATTR => Op::LoadSuperAttr {
                name: name(pool, operand >> 2)?,
                method: operand & 1 != 0,
                two_arguments: operand & 2 != 0,
            },
            op::LOAD_SPECIAL => Op::LoadSpecial {
                method: match operand {
                    0 => SpecialMethod::Enter,
                    1 => SpecialMethod::Exit,
                    2 => SpecialMethod::AsyncEnter,
                    3 => SpecialMethod::AsyncExit,
                    _ => return Err(bad()),
                },
            },
            op::BINARY_OP => binary(operand).ok_or_else(bad)?,
            op::BINARY_SLICE => Op::BinarySlice,
            op::STORE_SLICE => Op::StoreSlice,
            op::STORE_SUBSCR => Op::StoreSubscript,
            op::DELETE_SUBSCR => Op::DeleteSubscript,
            op::UNARY_NEGATIVE => Op::UnaryNegative,
            op::UNARY_INVERT => Op::UnaryInvert,
            op::UNARY_NOT => Op::UnaryNot,
            op::TO_BOOL => Op::ToBool,
            op::COMPARE_OP => Op::Compare {
                comparison: match operand >> 5 {
                    0 => Comparison::Less,
                    1 => Comparison::LessEqual,
                    2 => Comparison::Equal,
                    3 => Comparison::NotEqual,
                    4 => Comparison::Greater,
                    5 => Comparison::GreaterEqual,
                    _ => return Err(bad()),
                },
                to_bool: operand & 16 != 0,
            },
            op::IS_OP => Op::Is { invert: operand != 0 },
            op::CONTAINS_OP => Op::Contains { invert: operand != 0 },
            op::BUILD_TUPLE => Op::BuildTuple { count: operand },
            op::BUILD_LIST => Op::BuildList { count: operand },
            op::BUILD_SET => Op::BuildSet { count: operand },
            op::BUILD_MAP => Op::BuildMap { count: operand },
            op::BUILD_STRING => Op::BuildString { count: operand },
            op::BUILD_SLICE => Op::BuildSlice { count: operand },
            op::BUILD_TEMPLATE => Op::BuildTemplate,
            op::BUILD_INTERPOLATION => Op::BuildInterpolation { argument: operand },
            op::LIST_APPEND => Op::ListAppend { depth: operand },
            op::LIST_EXTEND => Op::ListExtend { depth: operand },
            op::SET_ADD => Op::SetAdd { depth: operand },
            op::SET_UPDATE => Op::SetUpdate { depth: operand },
            op::MAP_ADD => Op::MapAdd { depth: operand },
            op::DICT_UPDATE => Op::DictUpdate { depth: operand },
            op::DICT_MERGE => Op::DictMerge { depth: operand },
            op::UNPACK_SEQUENCE => Op::UnpackSequence { count: operand },
            op::UNPACK_EX => Op::UnpackEx { before: operand & 0xff, after: operand >> 8 },
            op::CONVERT_VALUE => Op::ConvertValue { conversion: operand },
            op::FORMAT_SIMPLE => Op::FormatSimple,
            op::FORMAT_WITH_SPEC => Op::FormatWithSpec,
            op::CALL => Op::Call { count: operand },
            op::CALL_KW => Op::CallKw { count: operand },
            op::CALL_FUNCTION_EX => Op::CallFunctionEx,
            op::CALL_INTRINSIC_1 => Op::CallIntrinsic1 { function: operand },
            op::CALL_INTRINSIC_2 => Op::CallIntrinsic2 { function: operand },
            op::MAKE_FUNCTION => Op::MakeFunction,
            op::SET_FUNCTION_ATTRIBUTE => Op::SetFunctionAttribute { attribute: operand },
            op::JUMP_FORWARD => Op::Jump { target: next + operand },
            op::JUMP_BACKWARD => Op::JumpBackward { target: backward()?, check: true },
            op::JUMP_BACKWARD_NO_INTERRUPT => Op::JumpBackward { target: backward()?, check: false },
            op::POP_JUMP_IF_FALSE => Op::PopJumpIfFalse { target: next + operand },
            op::POP_JUMP_IF_TRUE => Op::PopJumpIfTrue { target: next + operand },
            op::POP_JUMP_IF_NONE => Op::PopJumpIfNone { target: next + operand },
            op::POP_JUMP_IF_NOT_NONE => Op::PopJumpIfNotNone { target: next + operand },
            // 3.15 says with an operand what 3.14 has GET_YIELD_FROM_ITER for.
            op::GET_ITER if cfg!(Py_3_15) && operand != 0 => Op::GetYieldFromIter,
            op::GET_ITER => Op::GetIter,
            // The operand leads to END_FOR, which the interpreter skips unless it is instrumented.
            op::FOR_ITER => Op::ForIter { exhausted: next + operand + 1 },
            op::END_FOR => Op::EndFor,
            op::POP_ITER => Op::PopIter,
            op::RETURN_VALUE => Op::ReturnValue,
            op::RETURN_GENERATOR => Op::ReturnGenerator,
            op::YIELD_VALUE => Op::YieldValue { argument: operand },
            op::SEND => Op::Send { target: next + operand },
            op::END_SEND => Op::EndSend,
            op::CLEANUP_THROW => Op::CleanupThrow,
            op::GET_YIELD_FROM_ITER => Op::GetYieldFromIter,
            op::GET_AWAITABLE => Op::GetAwaitable { argument: operand },
            op::GET_AITER => Op::GetAiter,
            op::GET_ANEXT => Op::GetAnext,
            op::END_ASYNC_FOR => Op::EndAsyncFor,
            op::RAISE_VARARGS => Op::Raise { count: operand },
            op::RERAISE => Op::Reraise { argument: operand },
            op::PUSH_EXC_INFO => Op::PushExcInfo,
            op::POP_EXCEPT => Op::PopExcept,
            op::CHECK_EXC_MATCH => Op::CheckExcMatch,
            op::CHECK_EG_MATCH => Op::CheckEgMatch,
            op::WITH_EXCEPT_START => Op::WithExceptStart,
            op::EXIT_INIT_CHECK => Op::ExitInitCheck,
            op::IMPORT_NAME if cfg!(Py_3_15) => {
                // The low bits say "lazy" and "eager"; without the second, the import may become a placeholder.
                if operand & 2 == 0 {
                    Op::Unsupported { name: "IMPORT_NAME that may be lazy" }
                } else {
                    Op::ImportName { name: name(pool, operand >> 2)? }
                }
            }
            op::IMPORT_NAME => Op::ImportName { name: name(pool, operand)? },
            op::IMPORT_FROM => Op::ImportFrom { name: name(pool, operand)? },
            op::GET_LEN => Op::GetLen,
            op::MATCH_MAPPING => Op::MatchMapping,
            op::MATCH_SEQUENCE => Op::MatchSequence,
            op::MATCH_KEYS => Op::MatchKeys,
            op::MATCH_CLASS => Op::MatchClass { count: operand },
            op::SETUP_ANNOTATIONS => Op::SetupAnnotations,
            op::INTERPRETER_EXIT => Op::InterpreterExit,
            _ => Op::Unsupported { name: opcode_name },
        })
    }
}

/// The operand of `BINARY_OP`: `NB_ADD..NB_XOR`, the same in place, `NB_SUBSCR`.
fn binary(operand: u32) -> Option<Op> {
    const KINDS: [BinaryKind; 13] = [
        BinaryKind::Add,
        BinaryKind::And,
        BinaryKind::FloorDivide,
        BinaryKind::LeftShift,
        BinaryKind::MatrixMultiply,
        BinaryKind::Multiply,
        BinaryKind::Remainder,
        BinaryKind::Or,
        BinaryKind::Power,
        BinaryKind::RightShift,
        BinaryKind::Subtract,
        BinaryKind::TrueDivide,
        BinaryKind::Xor,
    ];
    match operand {
        0..=12 => Some(Op::BinaryOp { kind: KINDS[operand as usize], inplace: false }),
        13..=25 => Some(Op::BinaryOp { kind: KINDS[operand as usize - 13], inplace: true }),
        26 => Some(Op::BinarySubscript),
        _ => None,
    }
}
