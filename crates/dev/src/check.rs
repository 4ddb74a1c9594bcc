//! `cargo dev check`: what a change must pass before it is looked at; and `cargo dev test`, everything.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo_tests;
use crate::context::Context;
use crate::environment::Environment;
use crate::process::{describe, progress, run_status};
use crate::provision::Version;
use crate::tidy;

/// The runner of the Python tests, and a tool that they look at compiled code with.
const PYTEST: [&str; 3] = ["pytest==9.2.0", "pytest-timeout==2.4.0", "coverage==7.17.3"];
const CHECK_STUB: &str = include_str!("scripts/check_stub.py");
/// Folders with Python tests.
const PYTHON_TESTS: [&str; 3] = ["tests/python", "tests/regressions", "tests/golden"];

#[derive(clap::Args)]
pub struct CheckArguments {
    /// Only the parts that run no test: formatting, lints, tidy.
    #[arg(long = "static")]
    only_static: bool,
}

#[derive(clap::Args)]
pub struct TestArguments {
    /// Only this version of Python.
    #[arg(long)]
    python: Option<Version>,
    /// Also on the debug builds of the interpreters.
    #[arg(long)]
    debug: bool,
    /// Only the Python tests.
    #[arg(long)]
    no_cargo: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
    /// Passed on to pytest.
    #[arg(last = true)]
    pytest: Vec<String>,
}

/// Steps that all run, whatever became of the ones before; the closing lines say which failed.
#[derive(Default)]
struct Steps {
    outcomes: Vec<(String, bool)>,
}

impl Steps {
    fn record(&mut self, name: impl Into<String>, passed: Result<bool>) {
        let passed = passed.unwrap_or_else(|error| {
            eprintln!("coluber-dev: {error:#}");
            false
        });
        self.outcomes.push((name.into(), passed));
    }

    fn run(&mut self, name: impl Into<String>, command: &mut Command) {
        progress(describe(command));
        self.record(name, run_status(command).map(|status| status.success()));
    }

    fn finish(self) -> ExitCode {
        for (name, passed) in &self.outcomes {
            println!("{} {name}", if *passed { "ok    " } else { "FAILED" });
        }
        let passed = self.outcomes.iter().all(|(_, passed)| *passed);
        if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

pub fn check(cx: &Context, arguments: &CheckArguments) -> Result<ExitCode> {
    let mut steps = Steps::default();
    steps.run("format", cx.command("cargo").args(["fmt", "--all", "--check"]));
    let mut clippy = cx.command("cargo");
    clippy.args(["clippy", "--workspace", "--all-targets", "--quiet"]);
    cargo_tests::prepare(cx, &mut clippy, Version::DEFAULT)?;
    steps.run("clippy", clippy.args(["--", "-D", "warnings"]));
    steps.record("tidy", tidy::tidy(cx));
    if !arguments.only_static {
        progress("tests of the crates");
        steps.record("crates", cargo_tests::run(cx, Version::DEFAULT, false, None));
        steps.record("stub", check_stub(cx));
    }
    Ok(steps.finish())
}

/// The stub, the module and the package name the same things.
fn check_stub(cx: &Context) -> Result<bool> {
    let environment = Environment::with_coluber(cx, Version::DEFAULT, false, false)?;
    let mut command = cx.command(&environment.python);
    Ok(run_status(command.args(["-I", "-c", CHECK_STUB]))?.success())
}

pub fn test(cx: &Context, arguments: &TestArguments) -> Result<ExitCode> {
    let mut steps = Steps::default();
    let filter = arguments.filter.as_deref();
    let versions = Version::ALL.into_iter().filter(|known| arguments.python.is_none_or(|one| one == *known));
    for (place, version) in versions.enumerate() {
        if !arguments.no_cargo {
            progress(format!("tests of the crates, Python {version}"));
            let passed = cargo_tests::run(cx, version, place > 0, filter);
            steps.record(format!("crates, Python {version}"), passed);
        }
        let builds: &[bool] = if arguments.debug { &[false, true] } else { &[false] };
        for &debug in builds {
            let name = format!("Python tests, Python {version}{}", if debug { " (debug build)" } else { "" });
            progress(&name);
            steps.record(name, python_tests(cx, version, debug, arguments));
        }
    }
    Ok(steps.finish())
}

fn python_tests(cx: &Context, version: Version, debug: bool, arguments: &TestArguments) -> Result<bool> {
    let environment = Environment::with_coluber(cx, version, debug, false)?;
    environment.require(cx, "test", &PYTEST)?;
    let folders: Vec<&str> = PYTHON_TESTS.into_iter().filter(|folder| cx.root.join(folder).is_dir()).collect();
    if folders.is_empty() {
        progress("no Python tests yet");
        return Ok(true);
    }
    let mut command = cx.command(&environment.python);
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).args(folders);
    if let Some(filter) = &arguments.filter {
        command.args(["-k", filter]);
    }
    command.args(&arguments.pytest);
    let status = run_status(&mut command)?;
    // 5: no test has the filter's name.
    Ok(status.success() || (arguments.filter.is_some() && status.code() == Some(5)))
}
