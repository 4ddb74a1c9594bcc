//! `cargo dev`: the one door for developers.
//!
//! Each subcommand is one module. Answers (a path, a table) go to stdout, progress goes to stderr, so that the
//! commands compose: `$(cargo dev python) script.py`.

mod apps;
mod bench;
mod cargo_tests;
mod check;
mod compare;
mod context;
mod environment;
mod fuzz;
mod process;
mod provision;
mod run;
mod source;
mod stdlib;
mod tidy;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use context::Context;
use environment::Environment;
use provision::{Version, Wanted};

#[derive(Parser)]
#[command(name = "cargo dev", about = "Build, run, test and measure Coluber.", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find or fetch the interpreters (CPython 3.14 and 3.15, and their debug builds) and print their paths.
    Provision {
        /// Only this version.
        version: Option<Version>,
    },
    /// Print the path of an interpreter that has the current release build of Coluber installed.
    Python {
        #[arg(default_value_t = Version::DEFAULT)]
        version: Version,
        /// The debug build of the interpreter.
        #[arg(long)]
        debug: bool,
        /// Without building and installing Coluber.
        #[arg(long)]
        bare: bool,
    },
    /// Print shell commands after which plain `cargo test` and `cargo clippy` know the interpreter:
    /// `eval "$(cargo dev env)"`.
    Env {
        #[arg(default_value_t = Version::DEFAULT)]
        version: Version,
    },
    /// Run a program with Coluber, then say what Coluber did.
    Run(run::Arguments),
    /// Check the rules of the architecture.
    Tidy,
    /// Formatting, lints, tidy, the tests of the crates, the stub.
    Check(check::CheckArguments),
    /// Run every test, on every supported version of Python.
    Test(check::TestArguments),
    /// Measure pyperformance's programs with and without Coluber.
    Bench(bench::Arguments),
    /// Run CPython's own tests with Coluber and compare with the same interpreter without.
    Stdlib(stdlib::Arguments),
    /// Run the tests of packages from PyPI with Coluber and compare with the same interpreter without.
    Apps(apps::Arguments),
    /// Run generated programs with and without Coluber and compare.
    Fuzz(fuzz::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("coluber-dev: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    let cx = Context::new()?;
    match command {
        Command::Provision { version } => {
            for version in Version::ALL.into_iter().filter(|known| version.is_none_or(|one| one == *known)) {
                for debug in [false, true] {
                    let path = provision::interpreter(&cx, Wanted { version, debug, testsuite: true })?;
                    println!("{}", path.display());
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Python { version, debug, bare } => {
            let open = if bare { Environment::open } else { Environment::with_coluber };
            println!("{}", open(&cx, version, debug, false)?.python.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Env { version } => {
            for (name, value) in cargo_tests::variables(&cx, version)? {
                println!("export {name}='{value}'");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(arguments) => run::run(&cx, &arguments),
        Command::Tidy => Ok(if tidy::tidy(&cx)? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Command::Check(arguments) => check::check(&cx, &arguments),
        Command::Test(arguments) => check::test(&cx, &arguments),
        Command::Bench(arguments) => bench::bench(&cx, &arguments),
        Command::Stdlib(arguments) => stdlib::stdlib(&cx, &arguments),
        Command::Apps(arguments) => apps::apps(&cx, &arguments),
        Command::Fuzz(arguments) => fuzz::fuzz(&cx, &arguments),
    }
}
