//! Places of a code object where compiled code can be entered, seen from one instruction.

use coluber_cpython::current::opcodes::{CACHES, DEOPT, NAMES};
use coluber_cpython::{CodeRef, Frame};
use std::sync::LazyLock;

/// What is being executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The start of a function (or a generator's resumption).
    Start,
    /// A back-edge to the loop header at this offset.
    BackEdge(u32),
    /// Something else.
    Elsewhere,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Resume,
    JumpBackward,
    ExtendedArg,
    Other,
}

/// Class and cache length by raw opcode.
static TABLE: LazyLock<Vec<(Class, u8)>> = LazyLock::new(|| {
    let number_of = |name: &str| NAMES.iter().position(|each| *each == name);
    (0..256usize)
        .map(|opcode| {
            let name = NAMES[opcode];
            let base = match name.strip_prefix("INSTRUMENTED_") {
                Some("INSTRUCTION" | "LINE") => None,
                Some(base) => number_of(base),
                None if name == "ENTER_EXECUTOR" => None,
                None => Some(usize::from(DEOPT[opcode])),
            };
            let Some(base) = base else {
                return (Class::Other, 0);
            };
            let class = match NAMES[base] {
                "RESUME" => Class::Resume,
                "JUMP_BACKWARD" => Class::JumpBackward,
                "EXTENDED_ARG" => Class::ExtendedArg,
                _ => Class::Other,
            };
            (class, CACHES[base])
        })
        .collect()
});

/// The adaptive code units of a code object.
///
/// # Safety
/// `code` must be valid, the thread attached, and no instruction may run while the slice is used.
unsafe fn units<'a>(code: CodeRef) -> &'a [u16] {
    // SAFETY: a code object's units lie in it, as many as it says.
    unsafe { std::slice::from_raw_parts(code.units(), code.unit_count()) }
}

fn class(unit: u16) -> (Class, u8) {
    TABLE[usize::from(unit & 0xff)]
}

/// The point at which `frame` is.
///
/// # Safety
/// `frame` must be a valid frame with a code object, and the thread attached.
pub unsafe fn at(frame: Frame) -> Point {
    // SAFETY: promised by the caller.
    let (units, offset) = unsafe { (units(frame.code()), frame.offset() as usize) };
    let Some(unit) = units.get(offset) else {
        return Point::Elsewhere;
    };
    match class(*unit).0 {
        Class::Resume => Point::Start,
        Class::JumpBackward => target(units, offset).map_or(Point::Elsewhere, Point::BackEdge),
        _ => Point::Elsewhere,
    }
}

/// Target of the backward jump whose opcode is at `offset`.
fn target(units: &[u16], offset: usize) -> Option<u32> {
    let mut argument = u32::from(units[offset] >> 8);
    let mut shift = 8;
    let mut before = offset;
    // What stands before a jump is never an inline cache, so an EXTENDED_ARG there is one.
    while shift < 32 && before > 0 && class(units[before - 1]).0 == Class::ExtendedArg {
        before -= 1;
        argument |= u32::from(units[before] >> 8) << shift;
        shift += 8;
    }
    let next = offset as u32 + 1 + u32::from(class(units[offset]).1);
    next.checked_sub(argument)
}
