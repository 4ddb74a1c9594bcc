//! `baseline`: translates and lowers, with nothing in between but what correctness needs. No speculation, cheap to
//! compile; the second opinion in differential tests.

use crate::pipeline::{self, Speculation};
use coluber_engine::strategy::{Osr, Setting};
use coluber_engine::{Artifact, Bailout, CompileInput, Decision, Services, Strategy, UnitView};
use coluber_passes::insert_refcounts::InsertRefcounts;

/// See the module.
pub struct Baseline;

impl Strategy for Baseline {
    fn name(&self) -> &'static str {
        "baseline"
    }

    fn doc(&self) -> &'static str {
        "one pass, no speculation, quick to compile"
    }

    fn settings(&self) -> &[Setting] {
        &[Setting { name: "speculation", doc: "whether feedback is believed", value: "off" }]
    }

    fn consider(&self, _: &UnitView<'_>) -> Decision {
        Decision::Compile
    }

    fn compile(&self, input: &CompileInput, services: &Services) -> Result<Artifact, Bailout> {
        pipeline::run(input, services, Speculation::Off, &[&InsertRefcounts])
    }

    fn osr(&self) -> Option<&dyn Osr> {
        Some(self)
    }
}

impl Osr for Baseline {
    fn consider_loop(&self, _: &UnitView<'_>) -> Decision {
        Decision::Compile
    }
}
