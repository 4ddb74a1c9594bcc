//! `cargo dev fuzz`: generated programs, with Coluber in several modes against without.

use std::process::ExitCode;

use anyhow::Result;

use crate::context::Context;
use crate::environment::Environment;
use crate::process::run_status;
use crate::provision::Version;

#[derive(clap::Args)]
pub struct Arguments {
    /// How long to look for failures.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// The Python version.
    #[arg(long, default_value_t = Version::DEFAULT)]
    python: Version,
    /// Use the debug build of the interpreter.
    #[arg(long)]
    debug: bool,
    /// Passed on to `fuzz/programs.py`.
    #[arg(last = true)]
    rest: Vec<String>,
}

pub fn fuzz(cx: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let environment = Environment::with_coluber(cx, arguments.python, arguments.debug, false)?;
    let mut command = cx.command(&environment.python);
    command
        .args(["-W", "ignore", "fuzz/programs.py", "--minutes"])
        .arg(arguments.minutes.to_string())
        .arg("--out")
        .arg(cx.target.join("fuzz"))
        .args(&arguments.rest);
    Ok(if run_status(&mut command)?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
