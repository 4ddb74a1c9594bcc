//! The driver: makes the Cranelift function, lowers block by block, compiles.

use crate::lower::Lowerer;
use crate::target::{Addresses, CompiledCode, Target};
use coluber_ir::Function;
use coluber_ir::exit_table::PackedExits;
use cranelift_codegen::ir::{AbiParam, Signature, UserFuncName, types};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{CodegenError, Context, control::ControlPlane};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use std::sync::OnceLock;

/// What to produce besides the code.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keep Cranelift's text form.
    pub clif: bool,
    /// Run Cranelift's verifier.
    pub verify: bool,
    /// Force guards to exit at random: seed and how many of 1,000 guards do.
    pub forced_exits: Option<(u64, u32)>,
}

fn isa() -> Result<OwnedTargetIsa, String> {
    static ISA: OnceLock<Result<OwnedTargetIsa, String>> = OnceLock::new();
    ISA.get_or_init(|| {
        let mut flags = settings::builder();
        let set = |flags: &mut settings::Builder, name: &str, value: &str| {
            flags.set(name, value).map_err(|error| format!("Cranelift setting {name}: {error}"))
        };
        set(&mut flags, "opt_level", "none")?;
        set(&mut flags, "preserve_frame_pointers", "true")?;
        set(&mut flags, "enable_verifier", "false")?;
        set(&mut flags, "unwind_info", "false")?;
        set(&mut flags, "enable_probestack", "false")?;
        let builder = cranelift_native::builder().map_err(|error| format!("unsupported processor: {error}"))?;
        builder.finish(settings::Flags::new(flags)).map_err(|error| error.to_string())
    })
    .clone()
}

/// Why there is no code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The processor is not supported, or the function passes a limit of Cranelift's.
    Refused(String),
    /// A bug of ours: what was lowered is not what Cranelift takes.
    Defect(String),
}

impl From<CodegenError> for Failure {
    fn from(error: CodegenError) -> Failure {
        match error {
            CodegenError::ImplLimitExceeded | CodegenError::CodeTooLarge | CodegenError::Unsupported(_) => {
                Failure::Refused(format!("Cranelift: {error:?}"))
            }
            other => Failure::Defect(format!("Cranelift: {other:?}")),
        }
    }
}

/// Compiles a function in phase `Counted`.
///
/// # Errors
/// [`Failure`]; the unit is not compiled.
pub fn compile(
    function: &Function,
    target: &Target,
    addresses: &Addresses,
    options: &Options,
) -> Result<CompiledCode, Failure> {
    let isa = isa().map_err(Failure::Refused)?;
    let mut signature = Signature::new(CallConv::SystemV);
    for _ in 0..3 {
        signature.params.push(AbiParam::new(types::I64));
    }
    signature.returns.push(AbiParam::new(types::I64));
    let mut context = Context::new();
    context.func = cranelift_codegen::ir::Function::with_name_signature(UserFuncName::user(0, 0), signature);
    let mut builder_context = FunctionBuilderContext::new();
    let builder = FunctionBuilder::new(&mut context.func, &mut builder_context);
    let lowered = Lowerer::new(function, target, addresses, options, builder)
        .run(isa.frontend_config())
        .map_err(Failure::Defect)?;
    if options.verify {
        cranelift_codegen::verify_function(&context.func, &*isa)
            .map_err(|errors| Failure::Defect(format!("Cranelift's verifier: {errors}\n{}", context.func.display())))?;
    }
    let clif = options.clif.then(|| context.func.display().to_string());
    let code = context.compile(&*isa, &mut ControlPlane::default()).map_err(|error| Failure::from(error.inner))?;
    if !code.buffer.relocs().is_empty() {
        return Err(Failure::Defect("the code has relocations".to_owned()));
    }
    let sources = code
        .buffer
        .get_srclocs_sorted()
        .iter()
        .filter(|location| !location.loc.is_default())
        .map(|location| (location.start, location.loc.bits() >> 20, location.loc.bits() & 0xf_ffff))
        .collect();
    Ok(CompiledCode {
        bytes: code.code_buffer().to_vec(),
        alignment: code.buffer.alignment.max(64),
        exits: PackedExits::new(&lowered.exits),
        extra_words: 0,
        callee_words: crate::python_calls::callee_words(function),
        output_word: lowered.output_word,
        profile_sites: lowered.profile_sites,
        clif,
        sources,
    })
}
