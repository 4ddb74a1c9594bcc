//! `optimizing`: believes feedback, guards it, and runs every pass. The default.

use crate::pipeline::{self, Speculation};
use coluber_engine::strategy::{Osr, Setting};
use coluber_engine::{Artifact, Bailout, CompileInput, Decision, Services, Strategy, UnitView};
use coluber_passes::elide_kills::ElideKills;
use coluber_passes::eliminate_dead_code::EliminateDeadCode;
use coluber_passes::insert_refcounts::InsertRefcounts;
use coluber_passes::merge_copies::MergeCopies;
use coluber_passes::number_values::NumberValues;
use coluber_passes::remove_allocations::RemoveAllocations;
use coluber_passes::remove_guards::RemoveGuards;

/// See the module.
pub struct Optimizing;

impl Strategy for Optimizing {
    fn name(&self) -> &'static str {
        "optimizing"
    }

    fn doc(&self) -> &'static str {
        "speculates on types and shapes, inlines, keeps numbers unboxed"
    }

    fn settings(&self) -> &[Setting] {
        &[Setting { name: "speculation", doc: "whether feedback is believed", value: "on" }]
    }

    fn consider(&self, _: &UnitView<'_>) -> Decision {
        Decision::Compile
    }

    fn compile(&self, input: &CompileInput, services: &Services) -> Result<Artifact, Bailout> {
        pipeline::run(
            input,
            services,
            Speculation::On,
            &[
                // First, so that what objects were made of is seen by all others.
                &RemoveAllocations,
                &MergeCopies,
                &NumberValues,
                &RemoveGuards,
                // Loads that became copies show more equal computations.
                &NumberValues,
                &EliminateDeadCode,
                &ElideKills,
                &InsertRefcounts,
            ],
        )
    }

    fn osr(&self) -> Option<&dyn Osr> {
        Some(self)
    }
}

impl Osr for Optimizing {
    fn consider_loop(&self, _: &UnitView<'_>) -> Decision {
        Decision::Compile
    }
}
