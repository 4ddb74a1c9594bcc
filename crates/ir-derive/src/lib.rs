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

/// Derives the methods `name`, `for_each_operand(_mut)`, `state`, `set_state`, `for_each_target(_mut)`, `result_type`,
/// `refs`, `for_each_stolen`, `effects` and `is_terminator` of the enum of operations.
///
/// The crate that uses it provides, at its root, `Value`, `FrameStateId`, `BlockCall`, `Function`, `Type` and `Kind`, and
/// in its module `ops` the types `Effects`, `Memory` and `Refs`; the enum itself provides `custom_result_type` and
/// `custom_effects`.
#[proc_macro_derive(OpTable, attributes(op))]
pub fn derive_op_table(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    match declaration::read(&input) {
        Ok(declarations) => generate::methods(&input.ident, &declarations).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
