//! The road of one unit: snapshot, compile, install, and back.
//!
//! Everything that needs the runtime is here, each step in one function.

use crate::session::{self, STATS};
use coluber_cpython::{Attached, Frame};
use coluber_engine::engine::InstalledFacts;
use coluber_engine::queue::{Finished, Job};
use coluber_engine::{
    Artifact, Bailout, BailoutReason, CompileInput, Counter, Options, Services, UnitEntry, UnitId,
    UnitKey,
};
use std::sync::Arc;
use std::time::Instant;

/// What installing a unit needs besides its code: the objects it refers to and what it assumes.
pub struct Ticket {}

/// What strategies are told of the process.
pub fn services(_: Attached, options: &Options) -> Result<Services, String> {
    Ok(Services {
        target: target()?,
        dump: coluber_engine::dump::DumpSettings::new(options),
        forced_exits: options.exits,
    })
}

fn target() -> Result<coluber_backend::Target, String> {
    Ok(coluber_backend::Target {
        helpers: Vec::new(),
        leave: 0,
        dealloc: 0,
        box_int: 0,
        box_float: 0,
        unbox_int: 0,
        float_power: 0,
        record_first_store: 0,
        vectorcall: 0,
        types: Vec::new(),
        true_object: 0,
        false_object: 0,
        none_object: 0,
        exhausted_mark: 0,
        small_ints: (0, 0, 0, 0),
        debug_refcounts: coluber_cpython::IS_DEBUG_BUILD,
        incref: 0,
        decref: 0,
        layout: coluber_backend::Layout::default(),
    })
}

/// Whether the pending call that runs now interrupted compiled code.
pub fn was_in_compiled_code() -> bool {
    false
}

/// Takes a snapshot of a hot unit that `frame` runs.
fn snapshot(_: Attached, _: &UnitKey, _: Frame) -> Result<(CompileInput, Ticket), Bailout> {
    Err(Bailout::new(BailoutReason::NotBuilt("snapshot")))
}

/// Puts compiled code into use.
fn install(_: Attached, _: UnitId, _: Ticket, _: Artifact) -> Result<InstalledFacts, Bailout> {
    Err(Bailout::new(BailoutReason::NotBuilt("installing")))
}

/// A unit became hot: snapshot, then to the compiler.
pub fn begin(py: Attached, unit: UnitId, frame: Frame) {
    let Some(Some(key)) =
        session::with_enabled(|session| session.engine.get(unit).map(|unit| unit.key.clone()))
    else {
        return;
    };
    let start = Instant::now();
    let taken = snapshot(py, &key, frame);
    STATS.add(Counter::SnapshotNs, start.elapsed().as_nanos() as u64);
    match taken {
        Ok((mut input, ticket)) => {
            debug_assert!(key.entry.matches(&input.snapshot.entry));
            session::with_enabled(|session| {
                let Some(version) = session.engine.submitted(unit) else {
                    return;
                };
                input.version = version;
                session.in_flight.insert(unit, ticket);
                let strategy = session.engine.strategy();
                let services = Arc::clone(&session.services);
                session.queue.submit(Job {
                    unit,
                    strategy,
                    services,
                    input,
                });
            });
            // Nothing is finished yet unless compiling happens at once.
            install_finished(py);
        }
        Err(bailout) => {
            session::with_enabled(|session| session.engine.bailed_out(unit, bailout));
        }
    }
}

/// Puts into use what was compiled meanwhile.
pub fn install_finished(py: Attached) {
    let finished =
        session::with_enabled(|session| session.queue.take_finished()).unwrap_or_default();
    for Finished {
        unit,
        result,
        compile_ns,
        ..
    } in finished
    {
        STATS.add(Counter::CompileNs, compile_ns);
        let ticket = session::with_enabled(|session| session.in_flight.remove(&unit)).flatten();
        let start = Instant::now();
        let installed = match (result, ticket) {
            (Ok(artifact), Some(ticket)) => install(py, unit, ticket, artifact),
            (Err(bailout), _) => Err(bailout),
            // The unit died meanwhile.
            (Ok(_), None) => continue,
        };
        STATS.add(Counter::InstallNs, start.elapsed().as_nanos() as u64);
        session::with_enabled(|session| match installed {
            Ok(facts) => session.engine.installed(unit, facts),
            Err(bailout) => {
                if bailout.reason == BailoutReason::Invalidated {
                    STATS.add(Counter::StaleArtifacts, 1);
                }
                session.engine.bailed_out(unit, bailout);
            }
        });
    }
}

/// A unit's code object died.
pub fn forget(unit: UnitId) {
    let ticket = session::with(|session| session.in_flight.remove(&unit)).flatten();
    drop(ticket);
}

/// Takes all compiled code out of use and gives back what the runtime holds.
pub fn close(_: Attached) {}

/// Whether calls of a function of this unit enter compiled code now.
pub fn is_open(key: &UnitKey) -> bool {
    session::with_enabled(|session| {
        session
            .engine
            .find(key)
            .and_then(|unit| session.engine.get(unit))
            .is_some_and(|unit| unit.installed.is_some())
    })
    .unwrap_or(false)
        && key.entry == UnitEntry::Function
}

/// Entries and exits of a unit's version in use.
pub fn entries_and_exits(_: UnitId) -> (u64, u64) {
    (0, 0)
}
