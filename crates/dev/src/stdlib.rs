//! `cargo dev stdlib`: CPython's own test files with Coluber, compared test by test with the same interpreter without.
//!
//! Each file runs in a process of its own under a time-out. Outcomes come from regrtest's JUnit file; a process that dies
//! leaves none, and then every test of the file counts as missing. What the interpreter does alone is remembered
//! beside its environment. A difference is shown only if it comes again when the file runs once more, alone. The compiler's
//! verifiers are on, but where heat is sampled as users have it; what they refuse counts as a failure of the file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::environment::Environment;
use crate::process::{progress, run_quiet};
use crate::provision::Version;

const DEFAULT_FILES: &str = "tests/stdlib/files.txt";
/// Tests that assert what a JIT need not keep, with reasons; not for `Mode::Sample`.
const EXCEPTIONS: &str = include_str!("../../../tests/stdlib/exceptions.txt");
/// Lines of a dead process's output that are shown.
const LINES_SHOWN: usize = 12;

/// How Coluber is made to compile.
#[derive(Clone, Copy, clap::ValueEnum, PartialEq)]
enum Mode {
    /// As users have it.
    Sample,
    /// Every unit at its second call.
    SecondCall,
    /// The same, leaving at random guards.
    Exits,
    /// Every unit at its second call, by the simple strategy.
    Baseline,
}

impl Mode {
    fn variables(self) -> &'static [(&'static str, &'static str)] {
        const SECOND_CALL: (&str, &str) = ("COLUBER_HOT", "call:2");
        const NOT_BESIDE: (&str, &str) = ("COLUBER_BACKGROUND", "0");
        const VERIFIED: (&str, &str) = ("COLUBER_VERIFY", "1");
        match self {
            Self::Sample => &[],
            Self::SecondCall => &[SECOND_CALL, NOT_BESIDE, VERIFIED],
            Self::Exits => &[SECOND_CALL, NOT_BESIDE, VERIFIED, ("COLUBER_EXITS", "random:1:20")],
            Self::Baseline => &[SECOND_CALL, NOT_BESIDE, VERIFIED, ("COLUBER_STRATEGY", "baseline")],
        }
    }
}

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

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
enum Outcome {
    Passed,
    Skipped,
    Failed,
    Error,
    /// The test did not come to an end.
    Missing,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Missing => "missing",
        })
    }
}

/// One file's run.
#[derive(Serialize, Deserialize, Default, Clone)]
struct Run {
    tests: BTreeMap<String, Outcome>,
    seconds: f64,
    /// How the process died, if it did.
    death: Option<String>,
    /// The end of its output.
    tail: Vec<String>,
    /// What the compiler said of defects of its own.
    #[serde(default)]
    defects: Vec<String>,
}

/// How the compiler speaks of its own defects.
const DEFECTS: [&str; 3] = ["coluber: internal error", "coluber: a bug in Coluber", "panicked at crates/"];

impl Run {
    fn outcome(&self, test: &str) -> Outcome {
        self.tests.get(test).copied().unwrap_or(Outcome::Missing)
    }
}

/// A test that came out otherwise.
struct Difference {
    test: String,
    without: Outcome,
    with: Outcome,
}

impl Difference {
    fn is_worse(&self) -> bool {
        self.with > self.without
    }
}

struct Report {
    without: Run,
    with: Run,
    differences: Vec<Difference>,
    /// Differences of the first run that did not come again.
    unsteady: usize,
}

impl Report {
    fn is_sound(&self) -> bool {
        !self.has_new_death() && self.with.defects.is_empty() && !self.differences.iter().any(Difference::is_worse)
    }

    fn has_new_death(&self) -> bool {
        self.with.death.is_some() && self.without.death.is_none()
    }
}

pub fn stdlib(cx: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let files = if arguments.files.is_empty() { default_files(cx)? } else { arguments.files.clone() };
    let environment = Environment::with_coluber(cx, arguments.python, arguments.debug, true)?;
    let version = run_quiet(cx.command(&environment.python).args(["-I", "-c", "import sys; print(sys.version)"]))?;
    let probe = "import coluber, sys; status = coluber.status(); sys.exit(not status['enabled'] and str(status))";
    let mut is_on = cx.command(&environment.python);
    is_on.args(["-c", probe]).env("COLUBER", "1").envs(arguments.mode.variables().iter().copied());
    run_quiet(&mut is_on).context("Coluber is off: there is nothing to compare")?;
    let scratch = tempfile::tempdir()?;
    let suite = Suite { cx, environment: &environment, arguments, version, scratch: scratch.path() };
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let reports = suite.run_all(&files, jobs)?;
    let sound = summarize(&reports);
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

impl Suite<'_> {
    /// All files, several at a time; then, alone, those with differences.
    fn run_all(&self, files: &[String], jobs: usize) -> Result<BTreeMap<String, Report>> {
        let next = AtomicUsize::new(0);
        let reports = Mutex::new(BTreeMap::new());
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..jobs.clamp(1, files.len().max(1)) {
                scope.spawn(|| {
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        match self.compare(file) {
                            Ok(report) => {
                                print_file(file, &report);
                                reports.lock().unwrap().insert(file.clone(), report);
                            }
                            Err(error) => *failure.lock().unwrap() = Some(error.context(file.clone())),
                        }
                    }
                });
            }
        });
        if let Some(error) = failure.into_inner().unwrap() {
            return Err(error);
        }
        let mut reports: BTreeMap<String, Report> = reports.into_inner().unwrap();
        for (file, report) in &mut reports {
            if !report.is_sound() {
                progress(format!("{file} again, alone"));
                self.confirm(file, report)?;
            }
        }
        Ok(reports)
    }

    fn compare(&self, file: &str) -> Result<Report> {
        let without = self.without_coluber(file)?;
        let with = self.run(file, Some(self.arguments.mode))?;
        let mut differences = differences(&without, &with);
        differences.retain(|difference| !self.is_excepted(&difference.test));
        Ok(Report { without, with, differences, unsteady: 0 })
    }

    fn is_excepted(&self, test: &str) -> bool {
        let mut excepted = EXCEPTIONS.lines().filter_map(|line| line.split_once(": "));
        self.arguments.mode != Mode::Sample && excepted.any(|(name, _)| name == test)
    }

    /// Keeps the differences that come again, in the interpreter alone and with Coluber.
    fn confirm(&self, file: &str, report: &mut Report) -> Result<()> {
        let without = self.run(file, None)?;
        let with = self.run(file, Some(self.arguments.mode))?;
        let before = report.differences.len() + usize::from(report.has_new_death());
        let again = differences(&without, &with);
        let first = std::mem::take(&mut report.differences);
        report.differences = again.into_iter().filter(|one| first.iter().any(|other| other.test == one.test)).collect();
        report.without.death = report.without.death.take().or(without.death);
        // A crash that does not come again is a crash.
        report.with.death = report.with.death.take().or(with.death);
        report.with.defects.extend(with.defects);
        let after = report.differences.len() + usize::from(report.has_new_death());
        report.unsteady = before.saturating_sub(after);
        Ok(())
    }

    /// The remembered run of the interpreter alone, or a new one.
    fn without_coluber(&self, file: &str) -> Result<Run> {
        #[derive(Serialize, Deserialize)]
        struct Remembered {
            version: String,
            run: Run,
        }
        let folder = self.environment.folder.join("stdlib");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{file}.json"));
        let memorable = self.arguments.pattern.is_none();
        if memorable && !self.arguments.fresh {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if let Ok(remembered) = serde_json::from_str::<Remembered>(&text)
                && remembered.version == self.version
            {
                return Ok(remembered.run);
            }
        }
        let run = self.run(file, None)?;
        if memorable {
            let remembered = Remembered { version: self.version.clone(), run: run.clone() };
            fs::write(&path, serde_json::to_string(&remembered)?)?;
        }
        Ok(run)
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
            .env("TMPDIR", scratch.path())
            .env("PYTHONHASHSEED", "0")
            .env("COLUBER", if mode.is_some() { "1" } else { "0" })
            // Some tests look at what processes leave on stderr.
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .env_remove("PYTHONUNBUFFERED")
            .envs(mode.iter().flat_map(|mode| mode.variables().iter().copied()));
        let start = Instant::now();
        let death = run_to_file(&mut command, &log, Duration::from_secs(self.arguments.timeout))?;
        let output = fs::read(&log).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        let lines: Vec<&str> = output.lines().collect();
        let text = fs::read_to_string(&junit).unwrap_or_default();
        Ok(Run {
            tests: outcomes(&text).unwrap_or_default(),
            seconds: start.elapsed().as_secs_f64(),
            death,
            defects: lines.iter().filter(|line| is_about_a_defect(line)).map(|line| (*line).to_owned()).collect(),
            tail: lines[lines.len().saturating_sub(LINES_SHOWN)..].iter().map(|line| (*line).to_owned()).collect(),
        })
    }
}

fn is_about_a_defect(line: &str) -> bool {
    DEFECTS.iter().any(|words| line.contains(words))
}

/// Runs a command to its end or the time-out, with its output in a file; says how it died, if it did.
///
/// The process gets a group of its own, so that what it has started ends with it.
fn run_to_file(command: &mut Command, log: &Path, timeout: Duration) -> Result<Option<String>> {
    use std::os::unix::process::CommandExt as _;

    let file = fs::File::create(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
    let mut child = command.spawn().context("cannot start the interpreter")?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.signal().map(|signal| format!("killed by signal {signal}")));
        }
        if start.elapsed() > timeout {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            child.wait()?;
            return Ok(Some(format!("not done after {} s", timeout.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads regrtest's JUnit file; a test with several entries (subtests) has its worst outcome.
fn outcomes(text: &str) -> Result<BTreeMap<String, Outcome>> {
    let document = roxmltree::Document::parse(text)?;
    let mut tests = BTreeMap::new();
    for case in document.descendants().filter(|node| node.has_tag_name("testcase")) {
        let has = |name: &str| case.children().any(|child| child.has_tag_name(name));
        let outcome = if has("error") {
            Outcome::Error
        } else if has("failure") {
            Outcome::Failed
        } else if has("skipped") || case.attribute("result") == Some("skipped") {
            Outcome::Skipped
        } else {
            Outcome::Passed
        };
        let worst: &mut Outcome = tests.entry(case.attribute("name").unwrap_or_default().to_owned()).or_insert(outcome);
        *worst = outcome.max(*worst);
    }
    Ok(tests)
}

fn differences(without: &Run, with: &Run) -> Vec<Difference> {
    let mut names: Vec<&String> = without.tests.keys().chain(with.tests.keys()).collect();
    names.sort();
    names.dedup();
    let compared = names.into_iter().map(|test| Difference {
        test: test.clone(),
        without: without.outcome(test),
        with: with.outcome(test),
    });
    compared.filter(|difference| difference.without != difference.with).collect()
}

fn print_file(file: &str, report: &Report) {
    let verdict = match (&report.with.death, report.differences.len()) {
        (Some(death), _) => death.clone(),
        (None, _) if !report.with.defects.is_empty() => "the compiler refused its own work".to_owned(),
        (None, 0) => "equal".to_owned(),
        (None, count) => format!("{count} differences"),
    };
    println!(
        "{file:<24} {:>5} tests  {:>7.1} s  ({:.1} s without)  {verdict}",
        report.with.tests.len(),
        report.with.seconds,
        report.without.seconds,
    );
}

fn summarize(reports: &BTreeMap<String, Report>) -> bool {
    for (file, report) in reports {
        if report.is_sound() && report.differences.is_empty() && report.unsteady == 0 {
            continue;
        }
        println!("\n{file}");
        if report.has_new_death() {
            println!("  the process was {}; it last said:", report.with.death.as_deref().unwrap_or_default());
            for line in &report.with.tail {
                println!("    {line}");
            }
        } else {
            for difference in &report.differences {
                println!("  {}: {} without, {} with", difference.test, difference.without, difference.with);
            }
        }
        for line in report.with.defects.iter().take(LINES_SHOWN) {
            println!("  {line}");
        }
        if report.unsteady > 0 {
            println!("  {} differences did not come again", report.unsteady);
        }
    }
    let tests: usize = reports.values().map(|report| report.with.tests.len()).sum();
    let deaths = reports.values().filter(|report| report.has_new_death()).count();
    let refusals = reports.values().filter(|report| !report.with.defects.is_empty()).count();
    let alive = || reports.values().filter(|report| !report.has_new_death());
    let worse = alive().flat_map(|report| &report.differences).filter(|one| one.is_worse()).count();
    let better = alive().flat_map(|report| &report.differences).count() - worse;
    let names = reports.iter().filter(|(_, report)| !report.is_sound()).map(|(file, _)| file.as_str());
    println!(
        "\n{} files, {tests} tests: {deaths} files died, {worse} new failures, {better} other differences, {refusals} files \
         with units that the compiler refused",
        reports.len()
    );
    let names: Vec<&str> = names.collect();
    if !names.is_empty() {
        println!("to look at: {}", names.join(" "));
    }
    names.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_outcomes_and_keeps_the_worst() {
        let text = r#"<testsuites><testsuite>
            <testcase name="a" result="completed"/>
            <testcase name="b"><failure type="x">no</failure></testcase>
            <testcase name="b" result="completed"/>
            <testcase name="c" result="skipped"><skipped>why</skipped></testcase>
            <testcase name="d"><error>e</error></testcase>
        </testsuite></testsuites>"#;
        let found: Vec<Outcome> = outcomes(text).unwrap().into_values().collect();
        assert_eq!(found, [Outcome::Passed, Outcome::Failed, Outcome::Skipped, Outcome::Error]);
    }

    #[test]
    fn a_refusal_of_the_compiler_is_no_sound_report() {
        let line = "coluber: internal error, f (file:1) is not compiled: after built: v1 is still held";
        assert!(is_about_a_defect(line) && !is_about_a_defect("SystemError: internal error"));
        let with = Run { defects: vec![line.to_owned()], ..Run::default() };
        let report = Report { without: Run::default(), with, differences: vec![], unsteady: 0 };
        assert!(!report.is_sound());
    }

    #[test]
    fn a_test_that_disappears_is_a_difference_for_the_worse() {
        let run = |tests: &[(&str, Outcome)]| Run {
            tests: tests.iter().map(|(name, outcome)| ((*name).to_owned(), *outcome)).collect(),
            ..Run::default()
        };
        let without = run(&[("a", Outcome::Passed), ("b", Outcome::Failed)]);
        let with = run(&[("b", Outcome::Passed)]);
        let found = differences(&without, &with);
        assert_eq!(found.len(), 2);
        assert!(found[0].is_worse() && !found[1].is_worse());
    }
}
