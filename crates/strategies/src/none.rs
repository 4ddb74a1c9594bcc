//! `none`: compiles nothing. Shows what finding heat costs, and that the seam works without a compiler.

use coluber_engine::strategy::Osr;
use coluber_engine::{Artifact, Bailout, BailoutReason, CompileInput, Decision, Services, Strategy, UnitView};

/// See the module.
pub struct None;

impl Strategy for None {
    fn name(&self) -> &'static str {
        "none"
    }

    fn doc(&self) -> &'static str {
        "compiles nothing"
    }

    fn consider(&self, _: &UnitView<'_>) -> Decision {
        Decision::Ignore
    }

    fn compile(&self, _: &CompileInput, _: &Services) -> Result<Artifact, Bailout> {
        Err(Bailout::new(BailoutReason::Ignored))
    }

    fn osr(&self) -> Option<&dyn Osr> {
        Option::None
    }
}
