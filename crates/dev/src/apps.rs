//! `cargo dev apps`: the test suites of packages from PyPI with Coluber, compared test by test with the same interpreter without.
//!
//! `tests/apps/packages.toml` says what is run. Each package has an environment of its own, with the wheel that users get; its
//! tests come from its source archive, unpacked anew for each run. pytest is the runner for all. Results are written as JSON into
//! the folder `apps` of the target directory, beside what the processes said.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::compare::{self, Difference, Mode, Outcome, Report, Run};
use crate::context::Context;
use crate::environment::Environment;
use crate::process::{progress, run_quiet};
use crate::provision::Version;
use crate::tools;

const TABLE: &str = include_str!("../../../tests/apps/packages.toml");
/// The versions of what is installed beside the packages.
const CONSTRAINTS: &str = include_str!("../../../tests/apps/constraints.txt");
/// Seconds that a suite may take where the table says nothing.
const TIMEOUT: u64 = 300;

#[derive(clap::Args)]
pub struct Arguments {
    /// Packages of tests/apps/packages.toml; all, if none is named.
    names: Vec<String>,
    /// The Python version.
    #[arg(long, default_value_t = Version::DEFAULT)]
    python: Version,
    /// The debug build of the interpreter.
    #[arg(long)]
    debug: bool,
    /// How Coluber is made to compile.
    #[arg(long, value_enum, default_value = "second-call")]
    mode: Mode,
    /// Packages that are tested at the same time.
    #[arg(long)]
    jobs: Option<usize>,
    /// Run the suites without Coluber again, instead of remembering.
    #[arg(long)]
    fresh: bool,
    /// Passed on to pytest.
    #[arg(last = true)]
    pytest: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The runner, in every environment.
    runner: Vec<String>,
    package: Vec<Package>,
}

/// What is run of one package. Reasons stand beside everything that is left out.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Package {
    name: String,
    version: String,
    /// Checksum of the source archive that the tests come from. Without it they are in the package.
    sha256: Option<String>,
    /// What else the tests need; tests/apps/constraints.txt has the versions.
    #[serde(default)]
    requires: Vec<String>,
    /// Files, folders and options for pytest.
    #[serde(default)]
    tests: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    timeout: Option<u64>,
    /// Versions of Python for which it cannot be had or tested, or `all`, with the reason.
    #[serde(default)]
    unavailable: BTreeMap<String, String>,
    /// Tests that are not run, as pytest's --deselect names them, with the reason: they come out now this way, now that.
    #[serde(default)]
    deselected: BTreeMap<String, String>,
    /// Tests that may come out otherwise, with the reason; names as in the results. Not for `Mode::Sample`.
    #[serde(default)]
    excepted: BTreeMap<String, String>,
}

impl Package {
    fn why_not(&self, version: Version) -> Option<&str> {
        let version = version.to_string();
        self.unavailable.get("all").or_else(|| self.unavailable.get(&version)).map(String::as_str)
    }
}

/// One package's row in the file of results.
#[derive(Serialize)]
struct Row<'a> {
    version: &'a str,
    tests: usize,
    passed: usize,
    skipped: usize,
    seconds: f64,
    seconds_without: f64,
    death: Option<&'a str>,
    differences: &'a [Difference],
    unsteady: usize,
    defects: &'a [String],
}

pub fn apps(cx: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let table: Table = toml::from_str(TABLE).context("tests/apps/packages.toml")?;
    let chosen = choose(&table, &arguments.names)?;
    let (unavailable, wanted): (Vec<&Package>, Vec<&Package>) =
        chosen.into_iter().partition(|package| package.why_not(arguments.python).is_some());
    for package in unavailable {
        println!(
            "{:<24} not on {}: {}",
            package.name,
            arguments.python,
            package.why_not(arguments.python).unwrap_or_default()
        );
    }
    let base = Environment::with_coluber(cx, arguments.python, arguments.debug, false)?;
    let results = cx.target.join("apps");
    fs::create_dir_all(&results)?;
    let mut prepared = BTreeMap::new();
    for package in wanted {
        prepared.insert(package.name.clone(), Prepared::new(cx, &base, &table.runner, package)?);
    }
    arguments.mode.require_on(cx, &base.python)?;
    let scratch = tempfile::tempdir()?;
    let suite = Suite { cx, arguments, prepared: &prepared, scratch: scratch.path(), results: &results };
    let names: Vec<String> = prepared.keys().cloned().collect();
    let reports = compare::compare_all(&suite, &names, arguments.jobs)?;
    let sound = compare::summarize(&reports, "packages");
    if arguments.pytest.is_empty() {
        let path = results.join(format!("{}.json", suite.label(Some(arguments.mode))));
        write_results(&path, &prepared, &reports)?;
        println!("results are in {}", path.display());
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn choose<'a>(table: &'a Table, names: &[String]) -> Result<Vec<&'a Package>> {
    if names.is_empty() {
        return Ok(table.package.iter().collect());
    }
    let find = |name: &String| {
        let found = table.package.iter().find(|package| package.name == *name);
        found.with_context(|| format!("{name} is not in tests/apps/packages.toml"))
    };
    names.iter().map(find).collect()
}

/// Replaces the rows of the packages that ran and keeps the others.
fn write_results(path: &Path, prepared: &BTreeMap<String, Prepared>, reports: &BTreeMap<String, Report>) -> Result<()> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut rows: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
    for (name, report) in reports {
        let row = Row {
            version: &prepared[name].package.version,
            tests: report.with.tests.len(),
            passed: report.with.count(Outcome::Passed),
            skipped: report.with.count(Outcome::Skipped),
            seconds: report.with.seconds,
            seconds_without: report.without.seconds,
            death: report.with.death.as_deref(),
            differences: &report.differences,
            unsteady: report.unsteady,
            defects: &report.with.defects,
        };
        rows.insert(name.clone(), serde_json::to_value(row)?);
    }
    fs::write(path, serde_json::to_string_pretty(&rows)? + "\n")?;
    Ok(())
}

/// A package with all that its runs need.
struct Prepared<'a> {
    package: &'a Package,
    environment: Environment,
    archive: Option<PathBuf>,
    /// What the outcome without Coluber depends on.
    key: String,
}

impl<'a> Prepared<'a> {
    fn new(cx: &Context, base: &Environment, runner: &[String], package: &'a Package) -> Result<Self> {
        let environment = base.for_package(cx, &package.name)?;
        let itself = format!("{}=={}", package.name, package.version);
        let mut requirements: Vec<&str> = vec![&itself];
        requirements.extend(runner.iter().chain(&package.requires).map(String::as_str));
        environment.require_within(cx, "tests", &requirements, CONSTRAINTS)?;
        let archive = match &package.sha256 {
            Some(checksum) => Some(tools::sdist(cx, &package.name, &package.version, checksum)?),
            None => None,
        };
        let python = run_quiet(cx.command(&environment.python).args(["-I", "-c", "import sys; print(sys.version)"]))?;
        let key = format!("{python}{}", serde_json::to_string(&(runner, package, CONSTRAINTS))?);
        Ok(Self { package, environment, archive, key })
    }
}

struct Suite<'a> {
    cx: &'a Context,
    arguments: &'a Arguments,
    prepared: &'a BTreeMap<String, Prepared<'a>>,
    scratch: &'a Path,
    results: &'a Path,
}

impl Suite<'_> {
    /// For names of files.
    fn label(&self, mode: Option<Mode>) -> String {
        use clap::ValueEnum as _;

        let mode = mode.and_then(|mode| mode.to_possible_value());
        let mode = mode.as_ref().map_or("without", clap::builder::PossibleValue::get_name);
        format!("{}{}-{mode}", self.arguments.python, if self.arguments.debug { "-dbg" } else { "" })
    }
}

impl compare::Suite for Suite<'_> {
    fn mode(&self) -> Mode {
        self.arguments.mode
    }

    fn is_excepted(&self, name: &str, test: &str) -> bool {
        self.arguments.mode != Mode::Sample && self.prepared[name].package.excepted.contains_key(test)
    }

    fn run_without(&self, name: &str) -> Result<Run> {
        if !self.arguments.pytest.is_empty() {
            return self.run(name, None);
        }
        let prepared = &self.prepared[name];
        let path = prepared.environment.folder.join("apps").join(format!("{name}.json"));
        Run::remembered(&path, &prepared.key, self.arguments.fresh, || self.run(name, None))
    }

    fn run(&self, name: &str, mode: Option<Mode>) -> Result<Run> {
        let Prepared { package, environment, archive, .. } = &self.prepared[name];
        let scratch = tempfile::tempdir_in(self.scratch)?;
        let (source, temporary) = (scratch.path().join("source"), scratch.path().join("tmp"));
        fs::create_dir(&source)?;
        fs::create_dir(&temporary)?;
        if let Some(archive) = archive {
            unpack(self.cx, archive, &source)?;
        }
        let junit = scratch.path().join("junit.xml");
        let log = self.results.join(format!("{}-{name}.log", self.label(mode)));
        let mut command = self.cx.command(&environment.python);
        command
            .args(["-m", "pytest", "-v", "--color=no", "-p", "no:cacheprovider", "-o", "console_output_style=classic"])
            .arg(format!("--junitxml={}", junit.display()))
            .args(&package.tests)
            .args(package.deselected.keys().flat_map(|test| ["--deselect", test]))
            .args(&self.arguments.pytest)
            .current_dir(&source)
            .env("TMPDIR", &temporary)
            // A home of its own: nothing of the user's is read or written.
            .env("HOME", &temporary)
            .envs(&package.environment);
        Mode::apply(mode, &mut command);
        progress(format!("{name}, {}", self.label(mode)));
        Run::of(&mut command, &junit, &log, Duration::from_secs(package.timeout.unwrap_or(TIMEOUT)))
    }
}

/// The content of an archive's one folder.
fn unpack(cx: &Context, archive: &Path, folder: &Path) -> Result<()> {
    let mut command = cx.command("tar");
    command.arg("-xzf").arg(archive).arg("-C").arg(folder).args(["--strip-components=1", "--no-same-owner"]);
    run_quiet(&mut command)?;
    if fs::read_dir(folder)?.next().is_none() {
        bail!("{} is empty", archive.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_pinned_and_gives_reasons() {
        let table: Table = toml::from_str(TABLE).unwrap();
        let mut names: Vec<&str> = table.package.iter().map(|package| package.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), table.package.len(), "a package is listed twice");
        for package in &table.package {
            for requirement in package.requires.iter().chain(&table.runner) {
                let pinned = CONSTRAINTS.lines().any(|line| line.split("==").next() == Some(requirement));
                assert!(pinned || requirement.contains("=="), "{}: {requirement} is not pinned", package.name);
            }
            if let Some(checksum) = &package.sha256 {
                assert!(checksum.len() == 64, "{}: checksum", package.name);
            }
            let reasons = [&package.unavailable, &package.deselected, &package.excepted];
            assert!(
                reasons.into_iter().flatten().all(|(_, why)| !why.is_empty()),
                "{}: a reason is missing",
                package.name
            );
            let is_run = !package.unavailable.contains_key("all");
            assert!(is_run != package.tests.is_empty(), "{}: what is run?", package.name);
        }
    }

    #[test]
    fn a_package_that_is_not_listed_is_an_error() {
        let table: Table = toml::from_str(TABLE).unwrap();
        assert!(choose(&table, &["no-such-package".to_owned()]).is_err());
        assert_eq!(choose(&table, &[]).unwrap().len(), table.package.len());
    }
}
