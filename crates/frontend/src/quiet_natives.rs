//! C functions that run no Python code, given what they are given, and what they return.
//!
//! A call of one needs no frame, ends no fact, and is followed by no check. The claims are about CPython 3.14 and 3.15: such a
//! function looks at objects of these exact types by itself, calls no method of theirs, and lets no object die whose death
//! somebody could notice. It may raise, and so may allocate.

use coluber_bytecode::Kind;

/// What arguments may be, self not counted.
enum Arguments {
    /// Anything.
    Any,
    /// Objects of these exact types.
    Of(&'static [Kind]),
}
use Arguments::{Any, Of};

const NOTHING: Arguments = Of(&[]);
const TEXT: Arguments = Of(&[Kind::Str]);
const TEXT_AND_INT: Arguments = Of(&[Kind::Str, Kind::Int]);
const TEXT_OR_NONE: Arguments = Of(&[Kind::Str, Kind::None]);

const QUIET: &[(&str, Arguments, Kind)] = &[
    ("builtins.id", Any, Kind::Int),
    ("builtins.ord", Of(&[Kind::Str, Kind::Bytes, Kind::ByteArray]), Kind::Int),
    ("builtins.chr", Of(&[Kind::Int]), Kind::Str),
    ("_io.BytesIO.tell", NOTHING, Kind::Int),
    ("_io.BytesIO.write", Of(&[Kind::Bytes]), Kind::Int),
    ("_io.BytesIO.read", Of(&[Kind::Int, Kind::None]), Kind::Bytes),
    ("_io.BytesIO.getvalue", NOTHING, Kind::Bytes),
    ("_struct.pack", Of(&[Kind::Str, Kind::Int, Kind::Float, Kind::Bytes]), Kind::Bytes),
    ("int.bit_length", NOTHING, Kind::Int),
    ("int.to_bytes", TEXT_AND_INT, Kind::Bytes),
    ("str.find", TEXT_AND_INT, Kind::Int),
    ("str.rfind", TEXT_AND_INT, Kind::Int),
    ("str.startswith", TEXT_AND_INT, Kind::Bool),
    ("str.endswith", TEXT_AND_INT, Kind::Bool),
    ("str.replace", TEXT_AND_INT, Kind::Str),
    ("str.partition", TEXT, Kind::Tuple),
    ("str.split", Of(&[Kind::Str, Kind::None, Kind::Int]), Kind::List),
    ("str.strip", TEXT_OR_NONE, Kind::Str),
    ("str.lstrip", TEXT_OR_NONE, Kind::Str),
    ("str.rstrip", TEXT_OR_NONE, Kind::Str),
    ("str.lower", NOTHING, Kind::Str),
    ("str.upper", NOTHING, Kind::Str),
    ("str.isdigit", NOTHING, Kind::Bool),
    ("str.isalpha", NOTHING, Kind::Bool),
    ("str.isspace", NOTHING, Kind::Bool),
];

/// The type of what the function returns, if it runs no Python code for arguments of these types.
pub(crate) fn quiet_result(name: &str, arguments: &[Option<Kind>]) -> Option<Kind> {
    let (_, allowed, result) = QUIET.iter().find(|(known, ..)| *known == name)?;
    let fits = |argument: &Option<Kind>| match allowed {
        Any => true,
        Of(kinds) => argument.is_some_and(|kind| kinds.contains(&kind)),
    };
    arguments.iter().all(fits).then_some(*result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_the_types_of_all_arguments() {
        let (int, text, bytes) = (Some(Kind::Int), Some(Kind::Str), Some(Kind::Bytes));
        assert_eq!(quiet_result("_struct.pack", &[text, int]), bytes);
        assert_eq!(quiet_result("_struct.pack", &[text, None]), None);
        assert_eq!(quiet_result("_io.BytesIO.write", &[Some(Kind::ByteArray)]), None);
        assert_eq!(quiet_result("_io.BytesIO.tell", &[]), int);
        assert_eq!(quiet_result("builtins.id", &[None]), int);
        assert_eq!(quiet_result("builtins.hash", &[int]), None);
    }
}
