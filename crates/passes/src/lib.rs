//! Passes over the IR, and the manager that runs them.
//!
//! A pass is one file named as the pass. Pipelines are literal lists in the strategies, with a comment wherever order
//! matters. In debug and test builds the verifier runs after every pass.
#![forbid(unsafe_code)]

pub mod analysis;
pub mod elide_kills;
pub mod eliminate_dead_code;
pub mod insert_refcounts;
mod manager;
pub mod merge_copies;
pub mod number_values;
pub mod remove_allocations;
pub mod remove_guards;

pub use manager::{Changed, Pass, PassContext, PassRecord, run_pipeline};

/// Runs one pass by its name; for tests and bisection. `None` if there is no such pass.
pub fn by_name(name: &str) -> Option<Box<dyn Pass>> {
    all().into_iter().find(|pass| pass.name() == name)
}

/// All passes.
pub fn all() -> Vec<Box<dyn Pass>> {
    vec![
        Box::new(number_values::NumberValues),
        Box::new(remove_allocations::RemoveAllocations),
        Box::new(merge_copies::MergeCopies),
        Box::new(remove_guards::RemoveGuards),
        Box::new(eliminate_dead_code::EliminateDeadCode),
        Box::new(elide_kills::ElideKills),
        Box::new(insert_refcounts::InsertRefcounts),
    ]
}
