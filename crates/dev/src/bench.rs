//! `cargo dev bench`: pyperformance's programs, unmodified, with and without Coluber.
//!
//! Every round starts one process per mode, one after the other, so that what the machine does meanwhile hits all
//! modes. `benches/runner.py` times the iterations of one process; here they become a row. Speed-ups are ratios of the steady
//! state, the geometric mean is over all rows, and rows that lose are shown like the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::environment::Environment;
use crate::process::{run_captured, run_quiet};
use crate::provision::Version;
use crate::run::Stats;

/// The programs and what they import.
const REQUIREMENTS: [&str; 7] = [
    "--no-deps",
    "pyperformance==1.14.0",
    "pyaes==1.6.1",
    "html5lib==1.1",
    "six==1.16.0",
    "webencodings==0.5.1",
    "tomli==2.0.1",
];

/// (row, folder of the program after `bm_`, arguments of the program); the row is also the name that the program gives
/// to its benchmark.
const ROWS: [(&str, &str, &[&str]); 39] = [
    ("richards", "richards", &[]),
    ("deltablue", "deltablue", &[]),
    ("nbody", "nbody", &[]),
    ("fannkuch", "fannkuch", &[]),
    ("spectral_norm", "spectral_norm", &[]),
    ("float", "float", &[]),
    ("chaos", "chaos", &[]),
    ("raytrace", "raytrace", &[]),
    ("go", "go", &[]),
    ("hexiom", "hexiom", &[]),
    ("nqueens", "nqueens", &[]),
    ("pyflate", "pyflate", &[]),
    ("crypto_pyaes", "crypto_pyaes", &[]),
    ("scimark_sor", "scimark", &["sor"]),
    ("scimark_lu", "scimark", &["lu"]),
    ("scimark_fft", "scimark", &["fft"]),
    ("scimark_sparse_mat_mult", "scimark", &["sparse_mat_mult"]),
    ("scimark_monte_carlo", "scimark", &["monte_carlo"]),
    ("mdp", "mdp", &[]),
    ("telco", "telco", &[]),
    ("deepcopy", "deepcopy", &[]),
    ("deepcopy_reduce", "deepcopy", &[]),
    ("deepcopy_memo", "deepcopy", &[]),
    ("logging_format", "logging", &["format"]),
    ("logging_simple", "logging", &["simple"]),
    ("logging_silent", "logging", &["silent"]),
    ("pickle_pure_python", "pickle", &["--pure-python", "pickle"]),
    ("unpickle_pure_python", "pickle", &["--pure-python", "unpickle"]),
    ("html5lib", "html5lib", &[]),
    ("tomli_loads", "tomli_loads", &[]),
    ("json_dumps", "json_dumps", &[]),
    ("regex_compile", "regex_compile", &[]),
    ("generators", "generators", &[]),
    ("coroutines", "coroutines", &[]),
    ("comprehensions", "comprehensions", &[]),
    ("pathlib", "pathlib", &[]),
    ("typing_runtime_protocols", "typing_runtime_protocols", &[]),
    ("richards_super", "richards_super", &[]),
    ("unpack_sequence", "unpack_sequence", &[]),
];

/// Iterations that every process runs, whatever the time: what they compute is compared.
const COMPARED_ITERATIONS: usize = 10;
/// The smallest number of iterations that a steady state is the median of.
const STEADY_ITERATIONS: usize = 5;

#[derive(clap::Args)]
pub struct Arguments {
    /// Which rows; a name that ends in `*` stands for all that begin so. All, if none is named.
    rows: Vec<String>,
    /// The Python version.
    #[arg(long, default_value_t = Version::DEFAULT)]
    python: Version,
    /// Processes per mode and row.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Seconds before an iteration counts for the steady state.
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
    /// Seconds of steady state that are measured.
    #[arg(long, default_value_t = 1.5)]
    measure: f64,
    /// Give the processes only this processor, so that compiling cannot happen beside the program.
    #[arg(long)]
    pin: Option<usize>,
    /// Also measure CPython's own JIT, if the interpreter has it.
    #[arg(long)]
    cpython_jit: bool,
    /// Write everything measured to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The names of the rows, and nothing else.
    #[arg(long)]
    list: bool,
}

#[derive(Deserialize)]
struct Calibration {
    loops: u64,
    seconds: f64,
}

/// What one process reports.
#[derive(Deserialize, Serialize)]
struct Report {
    starts: Vec<f64>,
    times: Vec<f64>,
    checksum: Option<String>,
    consistent: bool,
    rss_bytes: u64,
    stats: Option<serde_json::Value>,
}

impl Report {
    /// Median of the iterations after the warm-up.
    fn steady(&self, warmup: f64) -> f64 {
        let late: Vec<f64> =
            self.starts.iter().zip(&self.times).filter(|(s, _)| **s >= warmup).map(|(_, t)| *t).collect();
        let count = self.times.len();
        let enough = if late.len() >= STEADY_ITERATIONS {
            late
        } else {
            self.times[count.saturating_sub(STEADY_ITERATIONS).max(count / 2)..].to_vec()
        };
        median(enough)
    }

    /// When an iteration first came within 90 % of the steady speed.
    fn time_to_peak(&self, warmup: f64) -> f64 {
        let enough = self.steady(warmup) / 0.9;
        let reached = self.times.iter().position(|time| *time <= enough);
        reached.map_or(f64::NAN, |at| self.starts[at])
    }
}

/// One mode of one row: the median over its processes.
#[derive(Serialize)]
struct Measured {
    steady_seconds: f64,
    first_seconds: f64,
    seconds_to_peak: f64,
    rss_bytes: u64,
    /// Largest distance of a process from the median, relative.
    spread: f64,
    reports: Vec<Report>,
}

impl Measured {
    fn new(reports: Vec<Report>, warmup: f64) -> Self {
        let of = |value: &dyn Fn(&Report) -> f64| median(reports.iter().map(value).collect());
        let steady_seconds = of(&|report| report.steady(warmup));
        let distances = reports.iter().map(|report| (report.steady(warmup) / steady_seconds - 1.0).abs());
        Self {
            steady_seconds,
            first_seconds: of(&|report| report.times[0]),
            seconds_to_peak: of(&|report| report.time_to_peak(warmup)),
            rss_bytes: of(&|report| report.rss_bytes as f64) as u64,
            spread: distances.fold(0.0, f64::max),
            reports,
        }
    }
}

#[derive(Serialize)]
struct Row {
    name: String,
    loops: u64,
    interpreter: Measured,
    coluber: Measured,
    cpython_jit: Option<Measured>,
    speedup: f64,
    first_iteration_ratio: f64,
    code_bytes: u64,
    /// Whether both computed the same; absent where the interpreter alone does not either.
    same_output: Option<bool>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

pub fn bench(cx: &Context, arguments: &Arguments) -> Result<ExitCode> {
    if arguments.list {
        for (name, ..) in ROWS {
            println!("{name}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows = select(&arguments.rows)?;
    let environment = Environment::with_coluber(cx, arguments.python, false, false)?;
    environment.require(cx, "bench", &REQUIREMENTS)?;
    let bench = Bench {
        cx,
        programs: programs(cx, &environment)?,
        environment: &environment,
        arguments,
        scratch: tempfile::tempdir()?,
    };
    print_header(arguments.cpython_jit);
    let mut measured = Vec::new();
    let mut failed = Vec::new();
    for row in rows {
        match bench.row(row) {
            Ok(row) => {
                print_row(&row);
                measured.push(row);
            }
            Err(error) => {
                println!("{:<25} failed: {}", row.0, format!("{error:#}").lines().last().unwrap_or_default());
                eprintln!("{error:#}");
                failed.push(row.0);
            }
        }
    }
    print_summary(&measured, &failed);
    if let Some(path) = &arguments.json {
        let record = serde_json::json!({
            "machine": machine(),
            "commit": run_quiet(cx.command("git").args(["rev-parse", "HEAD"])).unwrap_or_default().trim(),
            "python": run_quiet(cx.command(&environment.python).args(["-c", "import sys; print(sys.version)"]))?.trim(),
            "pinned": arguments.pin,
            "warmup_seconds": arguments.warmup,
            "measured_seconds": arguments.measure,
            "rounds": arguments.rounds,
            "rows": measured,
            "failed": failed,
        });
        fs::write(path, serde_json::to_string_pretty(&record)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let sound = failed.is_empty() && measured.iter().all(|row| row.same_output != Some(false));
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Program = (&'static str, &'static str, &'static [&'static str]);

fn select(names: &[String]) -> Result<Vec<Program>> {
    let matches = |pattern: &str, row: &str| match pattern.strip_suffix('*') {
        Some(start) => row.starts_with(start),
        None => row == pattern,
    };
    for name in names {
        if !ROWS.iter().any(|row| matches(name, row.0)) {
            bail!("unknown row {name}; `cargo dev bench --list` names them");
        }
    }
    let chosen = |row: &Program| names.is_empty() || names.iter().any(|name| matches(name, row.0));
    Ok(ROWS.into_iter().filter(chosen).collect())
}

fn programs(cx: &Context, environment: &Environment) -> Result<PathBuf> {
    let code = "import importlib.util; print(importlib.util.find_spec('pyperformance').submodule_search_locations[0])";
    let folder = run_quiet(cx.command(&environment.python).args(["-I", "-c", code]))?;
    Ok(Path::new(folder.trim()).join("data-files/benchmarks"))
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Interpreter,
    Coluber,
    CpythonJit,
}

struct Bench<'a> {
    cx: &'a Context,
    environment: &'a Environment,
    arguments: &'a Arguments,
    programs: PathBuf,
    scratch: tempfile::TempDir,
}

impl Bench<'_> {
    fn row(&self, program: Program) -> Result<Row> {
        let calibration: Calibration = self.process(program, Mode::Interpreter, &["--calibrate".to_owned()])?;
        let seconds = self.arguments.warmup + self.arguments.measure;
        // Long iterations are compared less often.
        let count = ((seconds / calibration.seconds) as usize).clamp(2, COMPARED_ITERATIONS);
        let settings =
            [format!("--loops={}", calibration.loops), format!("--count={count}"), format!("--seconds={seconds}")];
        let mut modes = vec![(Mode::Interpreter, Vec::new()), (Mode::Coluber, Vec::new())];
        if self.arguments.cpython_jit {
            modes.push((Mode::CpythonJit, Vec::new()));
        }
        for _ in 0..self.arguments.rounds.max(1) {
            for (mode, reports) in &mut modes {
                reports.push(self.process::<Report>(program, *mode, &settings)?);
            }
        }
        if let Some(reason) = off_reason(&modes[1].1) {
            bail!("Coluber is off: {reason}");
        }
        let mut measured = modes.into_iter().map(|(_, reports)| Measured::new(reports, self.arguments.warmup));
        let (interpreter, coluber) = measured.next().zip(measured.next()).context("two modes are always measured")?;
        Ok(Row {
            name: program.0.to_owned(),
            loops: calibration.loops,
            speedup: interpreter.steady_seconds / coluber.steady_seconds,
            first_iteration_ratio: coluber.first_seconds / interpreter.first_seconds,
            code_bytes: code_bytes(&coluber.reports),
            same_output: same_output(&interpreter.reports, &coluber.reports),
            cpython_jit: measured.next(),
            interpreter,
            coluber,
        })
    }

    fn process<T: for<'de> Deserialize<'de>>(&self, program: Program, mode: Mode, settings: &[String]) -> Result<T> {
        let (name, folder, words) = program;
        let out = self.scratch.path().join("report.json");
        let _ = fs::remove_file(&out);
        let mut command = match self.arguments.pin {
            Some(processor) => {
                let mut command = self.cx.command("taskset");
                command.arg("-c").arg(processor.to_string()).arg(&self.environment.python);
                command
            }
            None => self.cx.command(&self.environment.python),
        };
        command
            .arg(self.cx.root.join("benches/runner.py"))
            .arg(format!("--benchmark={name}"))
            .args(settings)
            .arg("--out")
            .arg(&out)
            .arg(self.programs.join(format!("bm_{folder}")).join("run_benchmark.py"))
            .args(words)
            .env("PYTHONHASHSEED", "0")
            .env("COLUBER", if mode == Mode::Coluber { "1" } else { "0" })
            .env("PYTHON_JIT", if mode == Mode::CpythonJit { "1" } else { "0" });
        let output = run_captured(&mut command)?;
        if !output.status.success() {
            bail!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
        }
        let text = fs::read_to_string(&out).with_context(|| format!("{name} has written no report"))?;
        serde_json::from_str(&text).with_context(|| format!("the report of {name} is not understood"))
    }
}

fn code_bytes(reports: &[Report]) -> u64 {
    let stats = reports.last().and_then(|report| report.stats.clone());
    let stats: Stats = stats.and_then(|stats| serde_json::from_value(stats).ok()).unwrap_or_default();
    stats.code_bytes()
}

/// Why Coluber was not on in one of the processes that were to measure it.
fn off_reason(reports: &[Report]) -> Option<String> {
    reports.iter().find_map(|report| {
        let status = report.stats.as_ref().map(|stats| &stats["status"]);
        let is_on = status.is_some_and(|status| status["enabled"] == true);
        (!is_on).then(|| status.map_or_else(|| "not loaded".to_owned(), |status| status["reason"].to_string()))
    })
}

fn same_output(interpreter: &[Report], coluber: &[Report]) -> Option<bool> {
    let expected = &interpreter.first()?.checksum;
    let stable = interpreter.iter().all(|report| &report.checksum == expected && report.consistent);
    stable.then(|| coluber.iter().all(|report| &report.checksum == expected && report.consistent))
}

fn print_header(cpython_jit: bool) {
    let own_jit = if cpython_jit { "  own JIT" } else { "" };
    println!(
        "row                       interp ms   coluber speed-up  spread first x   peak s  RSS +MB  code kB  output{own_jit}"
    );
}

fn print_row(row: &Row) {
    let rss = (row.coluber.rss_bytes as f64 - row.interpreter.rss_bytes as f64) / 1e6;
    let output = match row.same_output {
        Some(true) => "equal",
        Some(false) => "DIFFERS",
        None => "-",
    };
    let jit = row
        .cpython_jit
        .as_ref()
        .map_or_else(String::new, |jit| format!("  {:>6.2}x", row.interpreter.steady_seconds / jit.steady_seconds));
    println!(
        "{:<25} {:>9.2} {:>9.2} {:>7.2}x {:>6.1}% {:>7.2} {:>8.2} {:>8.1} {:>8.1}  {output:<7}{jit}",
        row.name,
        row.interpreter.steady_seconds * 1e3,
        row.coluber.steady_seconds * 1e3,
        row.speedup,
        row.interpreter.spread.max(row.coluber.spread) * 100.0,
        row.first_iteration_ratio,
        row.coluber.seconds_to_peak,
        rss,
        row.code_bytes as f64 / 1e3,
    );
}

fn print_summary(rows: &[Row], failed: &[&str]) {
    if rows.is_empty() {
        return;
    }
    let mean = geometric_mean(rows.iter().map(|row| row.speedup));
    let first = geometric_mean(rows.iter().map(|row| row.first_iteration_ratio));
    let losers: Vec<&str> = rows.iter().filter(|row| row.speedup < 0.95).map(|row| row.name.as_str()).collect();
    println!("{:<25} {:>9} {:>9} {mean:>7.2}x {:>7} {first:>7.2}", "geometric mean", "", "", "");
    println!("{} rows, {} below 0.95x: {}", rows.len(), losers.len(), losers.join(" "));
    if !failed.is_empty() {
        println!("failed: {}", failed.join(" "));
    }
}

fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = values.map(f64::ln).collect();
    (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}

/// What the numbers were measured on.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let processors = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("{} ({processors} processors)", model.unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(times: &[f64]) -> Report {
        let mut starts = vec![0.0];
        for time in times {
            starts.push(starts[starts.len() - 1] + time);
        }
        starts.pop();
        Report { starts, times: times.to_vec(), checksum: None, consistent: true, rss_bytes: 0, stats: None }
    }

    #[test]
    fn steady_state_leaves_the_warm_up_out() {
        let report = report(&[4.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(report.steady(6.0), 1.0);
        assert_eq!(report.time_to_peak(6.0), 6.0);
    }

    #[test]
    fn few_long_iterations_still_have_a_steady_state() {
        assert_eq!(report(&[9.0, 3.0]).steady(2.0), 3.0);
    }

    #[test]
    fn selects_rows_by_name_and_by_beginning() {
        assert_eq!(select(&["scimark*".to_owned()]).unwrap().len(), 5);
        assert!(select(&["nope".to_owned()]).is_err());
        assert_eq!(select(&[]).unwrap().len(), ROWS.len());
    }

    #[test]
    fn output_is_not_judged_where_the_interpreter_alone_differs() {
        let sum = |text: &str| Report { checksum: Some(text.to_owned()), ..report(&[1.0]) };
        assert_eq!(same_output(&[sum("a"), sum("b")], &[sum("a")]), None);
        assert_eq!(same_output(&[sum("a"), sum("a")], &[sum("c")]), Some(false));
        assert_eq!(same_output(&[sum("a")], &[sum("a")]), Some(true));
    }
}
