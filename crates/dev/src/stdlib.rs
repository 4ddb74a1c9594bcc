//! `cargo dev stdlib`: CPython's own test files with Coluber, compared test by test with the same interpreter without.
//!
//! Each file is an item of a [`compare::Suite`]; regrtest runs it. What the interpreter does alone is remembered beside its
//! environment.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::compare::{self, Mode, Run};
use crate::context::Context;
use crate::environment::Environment;
use crate::process::run_quiet;
use crate::provision::Version;

const DEFAULT_FILES: &str = "tests/stdlib/files.txt";
/// Tests that assert what a JIT need not keep, with reasons; not for `Mode::Sample`.
const EXCEPTIONS: &str = include_str!("../../../tests/stdlib/exceptions.txt");

#[derive(clap::Args)]
pub struct Arguments {
    /// Test files, as `test_dict`; those listed in tests/stdlib/files.txt, if none is named.
    files: Vec<String>,
    /// The Python version.
    #[arg(long, default_value_t = Version::DEFAULT)]
    python: Version,
    /// The debug build of the interpreter.
    #[arg(long)]
    debug: bool,
    /// How Coluber is made to compile.
    #[arg(long, value_enum, default_value = "second-call")]
    mode: Mode,
    /// Seconds that a file may take.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
    /// Files that run at the same time.
    #[arg(long)]
    jobs: Option<usize>,
    /// Run the files without Coluber again, instead of remembering.
    #[arg(long)]
    fresh: bool,
    /// Only tests that match this pattern, as regrtest's --match has it.
    #[arg(long = "match")]
    pattern: Option<String>,
}

pub fn stdlib(cx: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let files = if arguments.files.is_empty() { default_files(cx)? } else { arguments.files.clone() };
    let environment = Environment::with_coluber(cx, arguments.python, arguments.debug, true)?;
    let version = run_quiet(cx.command(&environment.python).args(["-I", "-c", "import sys; print(sys.version)"]))?;
    arguments.mode.require_on(cx, &environment.python)?;
    let scratch = tempfile::tempdir()?;
    let suite = Suite { cx, environment: &environment, arguments, version, scratch: scratch.path() };
    let reports = compare::compare_all(&suite, &files, arguments.jobs)?;
    let sound = compare::summarize(&reports, "files");
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn default_files(cx: &Context) -> Result<Vec<String>> {
    let text =
        fs::read_to_string(cx.root.join(DEFAULT_FILES)).with_context(|| format!("cannot read {DEFAULT_FILES}"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

struct Suite<'a> {
    cx: &'a Context,
    environment: &'a Environment,
    arguments: &'a Arguments,
    version: String,
    scratch: &'a Path,
}

impl compare::Suite for Suite<'_> {
    fn mode(&self) -> Mode {
        self.arguments.mode
    }

    fn is_excepted(&self, _file: &str, test: &str) -> bool {
        let mut excepted = EXCEPTIONS.lines().filter_map(|line| line.split_once(": "));
        self.arguments.mode != Mode::Sample && excepted.any(|(name, _)| name == test)
    }

    /// The remembered run of the interpreter alone, or a new one.
    fn run_without(&self, file: &str) -> Result<Run> {
        if self.arguments.pattern.is_some() {
            return self.run(file, None);
        }
        let path = self.environment.folder.join("stdlib").join(format!("{file}.json"));
        Run::remembered(&path, &self.version, self.arguments.fresh, || self.run(file, None))
    }

    fn run(&self, file: &str, mode: Option<Mode>) -> Result<Run> {
        let scratch = tempfile::tempdir_in(self.scratch)?;
        let (junit, log) = (scratch.path().join("junit.xml"), scratch.path().join("log"));
        let mut command = self.cx.command(&self.environment.python);
        command
            .args(["-m", "test", "-v", "--randseed=20"])
            .arg("--junit-xml")
            .arg(&junit)
            .args(self.arguments.pattern.iter().flat_map(|pattern| ["--match", pattern]))
            .arg(file)
            .current_dir(scratch.path())
            .env("TMPDIR", scratch.path());
        Mode::apply(mode, &mut command);
        Run::of(&mut command, &junit, &log, Duration::from_secs(self.arguments.timeout))
    }
}
