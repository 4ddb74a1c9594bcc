//! Runs passes in order: timing, limits for bisection, dumps, verification.

use coluber_ir::Function;
use std::time::{Duration, Instant};

/// Whether a pass changed anything.
pub type Changed = bool;

/// One pass.
pub trait Pass {
    /// Its name: the file, the flag, the dump, the test folder.
    fn name(&self) -> &'static str;
    /// Needed for correctness, or an optimization?
    fn is_required(&self) -> bool;
    /// Does it.
    fn run(&self, function: &mut Function) -> Changed;
}

/// What happened in a pass.
#[derive(Clone, Debug)]
pub struct PassRecord {
    /// The pass.
    pub name: &'static str,
    /// How long it took.
    pub time: Duration,
    /// Instructions placed in blocks before and after.
    pub instructions: (usize, usize),
}

/// Receives the function before the first and after each pass, for dumps.
pub type Observer<'a> = dyn FnMut(&str, &Function) + 'a;

/// Options and results of a pipeline run.
#[derive(Default)]
pub struct PassContext<'a> {
    /// Optional passes whose number (in the pipeline) is not below this limit are left out; for bisection.
    pub limit: Option<usize>,
    /// Verifies after each pass.
    pub verify: bool,
    /// Sees the function after each pass.
    pub observer: Option<Box<Observer<'a>>>,
    /// What ran.
    pub records: Vec<PassRecord>,
}

fn count(function: &Function) -> usize {
    function.layout.iter().map(|block| function.blocks[*block].insts.len()).sum()
}

/// Runs the passes in order.
///
/// # Errors
/// With `verify`, the verifier's report after the pass that broke the function.
pub fn run_pipeline(
    function: &mut Function,
    passes: &[&dyn Pass],
    context: &mut PassContext<'_>,
) -> Result<(), String> {
    if let Some(observer) = &mut context.observer {
        observer("built", function);
    }
    check(function, "built", context.verify)?;
    for (number, pass) in passes.iter().enumerate() {
        if !pass.is_required() && context.limit.is_some_and(|limit| number >= limit) {
            continue;
        }
        let before = count(function);
        let start = Instant::now();
        pass.run(function);
        context.records.push(PassRecord {
            name: pass.name(),
            time: start.elapsed(),
            instructions: (before, count(function)),
        });
        if let Some(observer) = &mut context.observer {
            observer(pass.name(), function);
        }
        check(function, pass.name(), context.verify)?;
    }
    Ok(())
}

fn check(function: &Function, after: &str, verify: bool) -> Result<(), String> {
    if !verify {
        return Ok(());
    }
    coluber_ir::verify::verify(function).map_err(|errors| format!("after {after}: {errors}"))
}
