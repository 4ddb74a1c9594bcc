//! Runs of one set of tests with Coluber and without, compared test by test.
//!
//! What is run is a [`Suite`]'s affair: each of its items is a process of its own that leaves a JUnit file. A process that dies
//! leaves none, and then every test of the item counts as missing. A difference is shown only if it comes again when the item
//! runs once more, alone. The compiler's verifiers are on, but where heat is sampled as users have it; what they refuse counts as
//! a failure of the item.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::process::{progress, run_quiet};

/// Lines of a dead process's output that are shown.
const LINES_SHOWN: usize = 12;
/// How the compiler speaks of its own defects.
const DEFECTS: [&str; 3] = ["coluber: internal error", "coluber: a bug in Coluber", "panicked at crates/"];

/// How Coluber is made to compile.
#[derive(Clone, Copy, clap::ValueEnum, PartialEq)]
pub enum Mode {
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
    pub fn variables(self) -> &'static [(&'static str, &'static str)] {
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

    /// Sets a command's environment for this mode, or for the interpreter alone.
    pub fn apply(mode: Option<Self>, command: &mut Command) {
        command
            .env("PYTHONHASHSEED", "0")
            .env("COLUBER", if mode.is_some() { "1" } else { "0" })
            // Some tests look at what processes leave on stderr, or for bytecode files.
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .env_remove("PYTHONUNBUFFERED")
            .envs(mode.iter().flat_map(|mode| mode.variables().iter().copied()));
    }

    /// Fails if Coluber does not switch itself on in this interpreter: there would be nothing to compare.
    pub fn require_on(self, cx: &Context, python: &Path) -> Result<()> {
        let probe = "import coluber, sys; status = coluber.status(); sys.exit(not status['enabled'] and str(status))";
        let mut is_on = cx.command(python);
        is_on.args(["-c", probe]).env("COLUBER", "1").envs(self.variables().iter().copied());
        run_quiet(&mut is_on).context("Coluber is off: there is nothing to compare").map(drop)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
pub enum Outcome {
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

/// One item's run.
#[derive(Serialize, Deserialize, Default, Clone)]
pub struct Run {
    pub tests: BTreeMap<String, Outcome>,
    pub seconds: f64,
    /// How the process died, if it did.
    pub death: Option<String>,
    /// The end of its output.
    pub tail: Vec<String>,
    /// What the compiler said of defects of its own.
    #[serde(default)]
    pub defects: Vec<String>,
}

impl Run {
    /// Runs a command that leaves a JUnit file, with its output in another.
    pub fn of(command: &mut Command, junit: &Path, log: &Path, timeout: Duration) -> Result<Self> {
        let start = Instant::now();
        let death = run_to_file(command, log, timeout)?;
        let output = fs::read(log).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        let lines: Vec<&str> = output.lines().collect();
        let text = fs::read_to_string(junit).unwrap_or_default();
        Ok(Self {
            tests: outcomes(&text).unwrap_or_default(),
            seconds: start.elapsed().as_secs_f64(),
            death,
            defects: lines.iter().filter(|line| is_about_a_defect(line)).map(|line| (*line).to_owned()).collect(),
            tail: lines[lines.len().saturating_sub(LINES_SHOWN)..].iter().map(|line| (*line).to_owned()).collect(),
        })
    }

    /// The run that was written into a file under the same key, or else a new one, written there.
    ///
    /// The key says all that the outcome depends on. With `fresh` nothing is read.
    pub fn remembered(path: &Path, key: &str, fresh: bool, run: impl FnOnce() -> Result<Self>) -> Result<Self> {
        #[derive(Serialize, Deserialize)]
        struct Remembered {
            key: String,
            run: Run,
        }
        let text = fs::read_to_string(path).unwrap_or_default();
        if !fresh
            && let Ok(remembered) = serde_json::from_str::<Remembered>(&text)
            && remembered.key == key
        {
            return Ok(remembered.run);
        }
        let remembered = Remembered { key: key.to_owned(), run: run()? };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, serde_json::to_string(&remembered)?)?;
        Ok(remembered.run)
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.tests.values().filter(|one| **one == outcome).count()
    }

    fn outcome(&self, test: &str) -> Outcome {
        self.tests.get(test).copied().unwrap_or(Outcome::Missing)
    }
}

/// A test that came out otherwise.
#[derive(Serialize)]
pub struct Difference {
    pub test: String,
    pub without: Outcome,
    pub with: Outcome,
}

impl Difference {
    pub fn is_worse(&self) -> bool {
        self.with > self.without
    }
}

pub struct Report {
    pub without: Run,
    pub with: Run,
    pub differences: Vec<Difference>,
    /// Differences of the first run that did not come again.
    pub unsteady: usize,
}

impl Report {
    /// A run of no test at all proves nothing.
    pub fn is_sound(&self) -> bool {
        let is_worse = self.has_new_death() || self.differences.iter().any(Difference::is_worse);
        !is_worse && self.with.defects.is_empty() && !self.with.tests.is_empty()
    }

    pub fn has_new_death(&self) -> bool {
        self.with.death.is_some() && self.without.death.is_none()
    }
}

/// Items that can be run with Coluber and without.
pub trait Suite: Sync {
    fn mode(&self) -> Mode;

    /// Runs one item, with Coluber if there is a mode.
    fn run(&self, item: &str, mode: Option<Mode>) -> Result<Run>;

    /// The first run without Coluber; a suite may remember an earlier one.
    fn run_without(&self, item: &str) -> Result<Run> {
        self.run(item, None)
    }

    /// Whether a test may come out otherwise.
    fn is_excepted(&self, item: &str, test: &str) -> bool;
}

/// All items, several at a time; then, alone, those with differences.
pub fn compare_all(suite: &impl Suite, items: &[String], jobs: Option<usize>) -> Result<BTreeMap<String, Report>> {
    let jobs = jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(BTreeMap::new());
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match compare(suite, item) {
                        Ok(report) => {
                            print_line(item, &report);
                            reports.lock().unwrap().insert(item.clone(), report);
                        }
                        Err(error) => *failure.lock().unwrap() = Some(error.context(item.clone())),
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().unwrap() {
        return Err(error);
    }
    let mut reports: BTreeMap<String, Report> = reports.into_inner().unwrap();
    for (item, report) in &mut reports {
        if !report.is_sound() {
            progress(format!("{item} again, alone"));
            confirm(suite, item, report)?;
        }
    }
    Ok(reports)
}

fn compare(suite: &impl Suite, item: &str) -> Result<Report> {
    let without = suite.run_without(item)?;
    let with = suite.run(item, Some(suite.mode()))?;
    let mut differences = differences(&without, &with);
    differences.retain(|difference| !suite.is_excepted(item, &difference.test));
    Ok(Report { without, with, differences, unsteady: 0 })
}

/// Keeps the differences that come again, in the interpreter alone and with Coluber.
fn confirm(suite: &impl Suite, item: &str, report: &mut Report) -> Result<()> {
    let without = suite.run(item, None)?;
    let with = suite.run(item, Some(suite.mode()))?;
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

fn is_about_a_defect(line: &str) -> bool {
    DEFECTS.iter().any(|words| line.contains(words))
}

/// Runs a command to its end or the time-out, with its output in a file; says how it died, if it did.
///
/// The process gets a group of its own, so that what it has started ends with it.
fn run_to_file(command: &mut Command, log: &Path, timeout: Duration) -> Result<Option<String>> {
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

/// Reads a JUnit file; a test with several entries (subtests) has its worst outcome.
///
/// regrtest's names are whole; pytest's lack the module and class, which stand beside them.
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
        let name = case.attribute("name").unwrap_or_default();
        let name = match case.attribute("classname") {
            Some(class) if !class.is_empty() => format!("{class}.{name}"),
            _ => name.to_owned(),
        };
        let worst: &mut Outcome = tests.entry(name).or_insert(outcome);
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

fn print_line(item: &str, report: &Report) {
    let verdict = match (&report.with.death, report.differences.len()) {
        (Some(death), _) => death.clone(),
        (None, _) if !report.with.defects.is_empty() => "the compiler refused its own work".to_owned(),
        (None, _) if report.with.tests.is_empty() => "no test ran".to_owned(),
        (None, 0) => "equal".to_owned(),
        (None, count) => format!("{count} differences"),
    };
    println!(
        "{item:<24} {:>5} tests  {:>7.1} s  ({:.1} s without)  {verdict}",
        report.with.tests.len(),
        report.with.seconds,
        report.without.seconds,
    );
}

/// Prints what is worth looking at; `items` is the word for what the suite consists of. True if all is as it should be.
pub fn summarize(reports: &BTreeMap<String, Report>, items: &str) -> bool {
    for (item, report) in reports {
        if report.is_sound() && report.differences.is_empty() && report.unsteady == 0 {
            continue;
        }
        println!("\n{item}");
        if report.with.tests.is_empty() && !report.has_new_death() {
            println!("  no test ran; the process last said:");
            for line in &report.with.tail {
                println!("    {line}");
            }
        } else if report.has_new_death() {
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
    let names = reports.iter().filter(|(_, report)| !report.is_sound()).map(|(item, _)| item.as_str());
    println!(
        "\n{} {items}, {tests} tests: {deaths} {items} died, {worse} new failures, {better} other differences, \
         {refusals} {items} with units that the compiler refused",
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

    fn run(tests: &[(&str, Outcome)]) -> Run {
        Run { tests: tests.iter().map(|(name, outcome)| ((*name).to_owned(), *outcome)).collect(), ..Run::default() }
    }

    fn sound() -> Report {
        let one = run(&[("a", Outcome::Passed)]);
        Report { without: one.clone(), with: one, differences: vec![], unsteady: 0 }
    }

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
    fn tests_of_one_name_in_two_classes_are_two() {
        let text = r#"<testsuites><testsuite>
            <testcase classname="m.A" name="t[1]"/><testcase classname="m.B" name="t[1]"/>
            <testcase classname="" name="m"/>
        </testsuite></testsuites>"#;
        let found: Vec<String> = outcomes(text).unwrap().into_keys().collect();
        assert_eq!(found, ["m", "m.A.t[1]", "m.B.t[1]"]);
    }

    #[test]
    fn a_refusal_of_the_compiler_is_no_sound_report() {
        let line = "coluber: internal error, f (file:1) is not compiled: after built: v1 is still held";
        assert!(is_about_a_defect(line) && !is_about_a_defect("SystemError: internal error"));
        let with = Run { defects: vec![line.to_owned()], ..sound().with };
        assert!(!Report { with, ..sound() }.is_sound());
    }

    #[test]
    fn nothing_that_ran_is_no_sound_report() {
        assert!(sound().is_sound() && !Report { with: Run::default(), ..sound() }.is_sound());
    }

    #[test]
    fn a_test_that_disappears_is_a_difference_for_the_worse() {
        let without = run(&[("a", Outcome::Passed), ("b", Outcome::Failed)]);
        let with = run(&[("b", Outcome::Passed)]);
        let found = differences(&without, &with);
        assert_eq!(found.len(), 2);
        assert!(found[0].is_worse() && !found[1].is_worse());
    }

    /// Fails its test with Coluber as often as it is told.
    struct Scripted {
        failures: AtomicUsize,
        excepted: bool,
    }

    impl Suite for Scripted {
        fn mode(&self) -> Mode {
            Mode::Sample
        }

        fn run(&self, _item: &str, mode: Option<Mode>) -> Result<Run> {
            let left = self.failures.load(Ordering::Relaxed);
            let fails = mode.is_some() && left > 0;
            self.failures.store(left - usize::from(fails), Ordering::Relaxed);
            Ok(run(&[("t", if fails { Outcome::Failed } else { Outcome::Passed })]))
        }

        fn is_excepted(&self, _item: &str, _test: &str) -> bool {
            self.excepted
        }
    }

    fn report(failures: usize, excepted: bool) -> Report {
        let suite = Scripted { failures: AtomicUsize::new(failures), excepted };
        let mut reports = compare_all(&suite, &["item".to_owned()], Some(1)).unwrap();
        reports.remove("item").unwrap()
    }

    #[test]
    fn a_difference_counts_if_it_comes_again() {
        assert!(!report(2, false).is_sound());
        let once = report(1, false);
        assert!(once.is_sound() && once.unsteady == 1);
        assert!(report(2, true).is_sound());
    }
}
