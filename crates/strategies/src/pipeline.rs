//! The steps of a compilation, each one call into the crate that does it: snapshot to IR, passes, IR to machine code,
//! with dumps in between.

use coluber_backend::CompiledCode;
use coluber_bytecode::{Entry, Snapshot};
use coluber_engine::dump::Dump;
use coluber_engine::log::LOG;
use coluber_engine::memory;
use coluber_engine::options::{ForcedExits, Stage};
use coluber_engine::{Artifact, Bailout, BailoutReason, CompileInput, Services};
use coluber_frontend::Handlers;
use coluber_ir::Function;
use coluber_passes::{Pass, PassContext};
use std::fmt::Write as _;

/// Whether feedback is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speculation {
    /// Operations are generic.
    Off,
    /// Operations are as the feedback says, behind guards.
    On,
}

/// Later versions compile what was never executed too: discovering path after path would use up the versions.
const LAST_PRUNED_VERSION: u32 = 2;

/// The last version takes objects of classes that nobody has seen as they come.
const LAST_LEARNING_VERSION: u32 = 5;

/// Compiles a unit.
pub fn run(
    input: &CompileInput,
    services: &Services,
    speculation: Speculation,
    passes: &[&dyn Pass],
) -> Result<Artifact, Bailout> {
    let snapshot = &input.snapshot;
    let loop_of = match snapshot.entry {
        Entry::Loop { header, .. } => format!("-loop{header}"),
        Entry::Function | Entry::Generator => String::new(),
    };
    let mut dump = services.dump.open(&format!("{}{loop_of}", snapshot.name), input.version);
    dump.write(Stage::Bytecode, "snapshot", || bytecode_text(snapshot));
    let mut function = translate(input, services, speculation)?;
    memory::check()?;
    optimize(&mut function, passes, services, &mut dump)?;
    memory::check()?;
    let code = lower(&function, input, services, dump.wants(Stage::Clif))?;
    dump.write(Stage::Clif, "lowered", || code.clif.clone().unwrap_or_default());
    dump.write(Stage::Asm, "code", || assembly(&code));
    let bytecodes = snapshot.codes.iter().map(|code| code.instructions.len() as u64).sum();
    Ok(Artifact { code, bytecodes })
}

/// Snapshot to IR.
fn translate(input: &CompileInput, services: &Services, speculation: Speculation) -> Result<Function, Bailout> {
    let believes = speculation == Speculation::On;
    let handlers = if services.all_handlers { Handlers::All } else { Handlers::Seen };
    let settings = coluber_frontend::Settings {
        speculate: believes,
        inline: believes,
        peel: believes,
        prune: believes && services.prune && !services.all_handlers && input.version <= LAST_PRUNED_VERSION,
        learn_classes: input.version <= LAST_LEARNING_VERSION,
        handlers,
        ..coluber_frontend::Settings::default()
    };
    coluber_frontend::translate(&input.snapshot, &settings)
        .map_err(|bailout| Bailout::at(BailoutReason::Frontend(bailout.reason.to_string()), bailout.offset))
}

/// Runs passes in order.
fn optimize(
    function: &mut Function,
    passes: &[&dyn Pass],
    services: &Services,
    dump: &mut Dump<'_>,
) -> Result<(), Bailout> {
    let observes = dump.wants(Stage::Ir);
    let mut context = PassContext { limit: services.pass_limit, verify: services.verify, ..PassContext::default() };
    if observes {
        context.observer = Some(Box::new(|name: &str, function: &Function| {
            dump.write(Stage::Ir, name, || function.to_string());
        }));
    }
    let result = coluber_passes::run_pipeline(function, passes, &mut context);
    result.map_err(|report| defect(&function.name, report, services))
}

/// The bailout for a bug of ours; where things are verified, every one is told.
fn defect(name: &str, report: String, services: &Services) -> Bailout {
    if services.verify {
        LOG.notice(&format!("internal error, {name} is not compiled: {report}"));
    }
    Bailout::new(BailoutReason::Internal(report))
}

/// IR to machine code.
fn lower(function: &Function, input: &CompileInput, services: &Services, clif: bool) -> Result<CompiledCode, Bailout> {
    let forced_exits = match services.forced_exits {
        ForcedExits::Off => None,
        ForcedExits::Random { seed, permille } => Some((seed, permille)),
    };
    let options = coluber_backend::Options { clif, verify: services.verify, forced_exits };
    coluber_backend::compile(function, &services.target, &input.addresses, &options).map_err(|failure| match failure {
        coluber_backend::Failure::Refused(message) => Bailout::new(BailoutReason::Backend(message)),
        coluber_backend::Failure::Defect(message) => defect(&function.name, message, services),
    })
}

/// The machine code as bytes in hexadecimal, sixteen a line; a disassembler takes it from there.
fn assembly(code: &CompiledCode) -> String {
    let mut text = String::new();
    for line in code.bytes.chunks(16) {
        for byte in line {
            let _ = write!(text, "{byte:02x} ");
        }
        text.push('\n');
    }
    text
}

/// The snapshot for people: its instructions with their feedback.
fn bytecode_text(snapshot: &Snapshot) -> String {
    let mut text = format!("{}\nentry {:?}\n", snapshot.name, snapshot.entry);
    for (index, code) in snapshot.codes.iter().enumerate() {
        let _ = writeln!(text, "\ncode {index}: {} ({}:{})", code.name, code.filename, code.first_line);
        for (instruction, line) in code.instructions.iter().zip(&code.lines) {
            let _ = writeln!(
                text,
                "  {line:>5} {:>5}  {:?}  {:?}",
                instruction.offset, instruction.op, instruction.feedback
            );
        }
        for range in &code.handlers {
            let _ = writeln!(text, "  {}..{} -> {} depth {}", range.start, range.end, range.handler, range.depth);
        }
    }
    let _ = writeln!(text, "\nobjects");
    for (id, facts) in snapshot.objects.iter() {
        let _ = writeln!(text, "  {id:?} {}", facts.label);
    }
    text
}
