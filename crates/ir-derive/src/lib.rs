//! `#[derive(OpTable)]`: turns the enum of operations into everything that is known about them.
//!
//! The enum in `coluber-ir`'s `ops.rs` is the table: a variant's fields and its `#[op(...)]` attribute declare an
//! operation once. The grammar of the attribute is documented there, next to its uses. What comes out are inherent
//! methods of the enum (see [`OpTable`]); nothing else in the compiler lists the operations a second time.
//!
//! * [`declaration`] reads a variant into a [`declaration::Declaration`] and rejects contradictions: an object
//!   result without a reference contract, an exit without a state, a field that is not there.
//! * [`generate`] writes the methods.
//!
//! Rule: what an attribute leaves out means the worst case. An op without any effect attribute does everything.

mod declaration;
mod generate;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives the methods of the enum of operations: `name`; visitors of operands, targets and fields; `state`,
/// `result_type`, `refs`, `for_each_stolen`, `for_each_taken`, `effects`, `is_terminator`, `only_phase`,
/// `is_entry_only`; `write_fields`, `read_fields` and `TABLE`.
///
/// The crate that uses it provides, at its root, `Value`, `FrameStateId`, `BlockCall`, `Function`, `Type` and `Kind`; in
/// its module `ops` the types `Effects`, `Memory`, `Refs` and `Takes`; in `function` the type `Phase`; in `fields` the
/// traits `FieldWriter`, `FieldReader` and `Immediate` and the type `OpInfo`. The enum itself provides
/// `custom_result_type` and `custom_effects`.
#[proc_macro_derive(OpTable, attributes(op))]
pub fn derive_op_table(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    match declaration::read(&input) {
        Ok(declarations) => generate::methods(&input.ident, &declarations).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// Derives `fields::Immediate` for an enum without fields, which an op can then have as an immediate.
#[proc_macro_derive(Immediate)]
pub fn derive_immediate(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    match declaration::read_names(&input) {
        Ok(variants) => generate::immediate(&input.ident, &variants).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
