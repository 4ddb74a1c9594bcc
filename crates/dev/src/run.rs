//! `cargo dev run`: a program with Coluber, then what Coluber did, then the same program without it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::context::Context;
use crate::environment::Environment;
use crate::provision::Version;

/// How many units the summary names.
const UNITS_NAMED: usize = 5;

#[derive(clap::Args)]
pub struct Arguments {
    /// The Python version.
    #[arg(long, default_value_t = Version::DEFAULT)]
    python: Version,
    /// Use the debug build of the interpreter.
    #[arg(long)]
    debug: bool,
    /// Do not run the program a second time without Coluber.
    #[arg(long)]
    no_compare: bool,
    /// The program and its arguments, as for Python itself.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

/// The file that Coluber writes at exit. A key that is missing is not shown.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Stats {
    pub units_compiled: Option<u64>,
    pub code_bytes: Option<u64>,
    pub units: Vec<Unit>,
    pub compiled_time_share: Option<f64>,
    pub bailouts: BTreeMap<String, u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Unit {
    pub name: String,
    pub bytes: Option<u64>,
    pub entries: Option<u64>,
}

impl Stats {
    /// Reads what there is; a missing or foreign file gives nothing.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
    }

    pub fn code_bytes(&self) -> u64 {
        self.code_bytes.unwrap_or_else(|| self.units.iter().filter_map(|unit| unit.bytes).sum())
    }
}

pub fn run(cx: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let environment = Environment::with_coluber(cx, arguments.python, arguments.debug, false)?;
    let scratch = tempfile::tempdir()?;
    let stats_file = scratch.path().join("stats.json");
    let here = std::env::current_dir()?;
    let program = |switch: &str| {
        let mut command = cx.command(&environment.python);
        command.args(&arguments.program).env("COLUBER", switch).current_dir(&here);
        command
    };
    let mut with = program("1");
    with.env("COLUBER_STATS_FILE", &stats_file);
    let (status, time_with) = timed(&mut with)?;
    let stats = Stats::read(&stats_file);
    match &stats {
        Some(stats) => summarize(stats),
        None => eprintln!("coluber: nothing known: the program did not write its statistics"),
    }
    if status.success() && !arguments.no_compare {
        let mut without = program("0");
        without.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (second, time_without) = timed(&mut without)?;
        if second.success() {
            let ratio = time_without.as_secs_f64() / time_with.as_secs_f64();
            eprintln!(
                "coluber: {:.2} s with Coluber, {:.2} s without: {ratio:.2}x",
                time_with.as_secs_f64(),
                time_without.as_secs_f64(),
            );
        }
    }
    Ok(exit_code(status))
}

fn timed(command: &mut Command) -> Result<(ExitStatus, Duration)> {
    let start = Instant::now();
    let status = command.status().context("cannot start the interpreter")?;
    Ok((status, start.elapsed()))
}

/// As a shell has it: the program's own code, or 128 and the signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let code = status.code().unwrap_or_else(|| 128 + signal.unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn summarize(stats: &Stats) {
    let count = stats.units_compiled.unwrap_or(stats.units.len() as u64);
    let mut units: Vec<&Unit> = stats.units.iter().collect();
    units.sort_by_key(|unit| std::cmp::Reverse(unit.entries.unwrap_or(0)));
    let names: Vec<&str> = units.iter().take(UNITS_NAMED).map(|unit| unit.name.as_str()).collect();
    let more = units.len().saturating_sub(UNITS_NAMED);
    let mut line = format!("{count} units compiled");
    if !names.is_empty() {
        line += &format!(" ({} bytes of code): {}", stats.code_bytes(), names.join(", "));
    }
    if more > 0 {
        line += &format!(" and {more} more");
    }
    eprintln!("coluber: {line}");
    if let Some(share) = stats.compiled_time_share {
        eprintln!("coluber: {:.0} % of the time in compiled code", share * 100.0);
    }
    if !stats.bailouts.is_empty() {
        let reasons: Vec<String> = stats.bailouts.iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
        eprintln!("coluber: not compiled: {}", reasons.join(", "));
    }
}
