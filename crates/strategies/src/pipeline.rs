//! The steps of a compilation, each one call into the crate that does it: snapshot to IR, passes, IR to machine code,
//! with dumps in between.

use coluber_backend::CompiledCode;
use coluber_bytecode::Snapshot;
use coluber_engine::dump::Dump;
use coluber_engine::options::Stage;
use coluber_engine::{Artifact, Bailout, BailoutReason, CompileInput, Services};
use coluber_ir::Function;
use std::fmt::Write as _;

/// Whether feedback is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speculation {
    /// Operations are generic.
    Off,
    /// Operations are as the feedback says, behind guards.
    On,
}

/// A list of passes, run in order.
pub type Passes = fn(&mut Function, &CompileInput, &Services, &mut Dump<'_>) -> Result<(), Bailout>;

/// Compiles a unit.
pub fn run(
    input: &CompileInput,
    services: &Services,
    speculation: Speculation,
    passes: Passes,
) -> Result<Artifact, Bailout> {
    let snapshot = &input.snapshot;
    let mut dump = services.dump.open(&snapshot.name, input.version);
    dump.write(Stage::Bytecode, "snapshot", || bytecode_text(snapshot));
    let mut function = translate(snapshot, speculation, services)?;
    passes(&mut function, input, services, &mut dump)?;
    let code = lower(&function, input, services)?;
    dump.write(Stage::Clif, "lowered", || {
        code.clif.clone().unwrap_or_default()
    });
    let bytecodes = snapshot
        .codes
        .iter()
        .map(|code| code.instructions.len() as u64)
        .sum();
    Ok(Artifact { code, bytecodes })
}

/// Snapshot to IR.
fn translate(_: &Snapshot, _: Speculation, _: &Services) -> Result<Function, Bailout> {
    Err(Bailout::new(BailoutReason::NotBuilt("front end")))
}

/// Only what correctness needs.
pub fn required_passes(
    _: &mut Function,
    _: &CompileInput,
    _: &Services,
    _: &mut Dump<'_>,
) -> Result<(), Bailout> {
    Err(Bailout::new(BailoutReason::NotBuilt("required passes")))
}

/// Everything.
pub fn all_passes(
    _: &mut Function,
    _: &CompileInput,
    _: &Services,
    _: &mut Dump<'_>,
) -> Result<(), Bailout> {
    Err(Bailout::new(BailoutReason::NotBuilt("passes")))
}

/// IR to machine code.
fn lower(_: &Function, _: &CompileInput, _: &Services) -> Result<CompiledCode, Bailout> {
    Err(Bailout::new(BailoutReason::NotBuilt("back end")))
}

/// The snapshot for people: its instructions with their feedback.
fn bytecode_text(snapshot: &Snapshot) -> String {
    let mut text = format!("{}\nentry {:?}\n", snapshot.name, snapshot.entry);
    for (index, code) in snapshot.codes.iter().enumerate() {
        let _ = writeln!(
            text,
            "\ncode {index}: {} ({}:{})",
            code.name, code.filename, code.first_line
        );
        for (instruction, line) in code.instructions.iter().zip(&code.lines) {
            let _ = writeln!(
                text,
                "  {line:>5} {:>5}  {:?}  {:?}",
                instruction.offset, instruction.op, instruction.feedback
            );
        }
        for range in &code.handlers {
            let _ = writeln!(
                text,
                "  {}..{} -> {} depth {}",
                range.start, range.end, range.handler, range.depth
            );
        }
    }
    let _ = writeln!(text, "\nobjects");
    for (id, facts) in snapshot.objects.iter() {
        let _ = writeln!(text, "  {id:?} {}", facts.label);
    }
    text
}
