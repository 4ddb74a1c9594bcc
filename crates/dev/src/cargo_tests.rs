//! Running the crates' own tests.
//!
//! Most crates link no libpython. The few whose tests boot an interpreter need one to link and to load: with an
//! interpreter fetched from Debian's packages their test programs use the loader and libraries of its prefix, because its
//! libpython is newer than the system's C library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::process::{run_captured, run_quiet, run_status};
use crate::provision::{self, Version, Wanted};
use crate::tidy::dependencies_in;

/// Runs the tests of the crates against one interpreter; of all crates, or of those only that know one.
pub fn run(cx: &Context, version: Version, only_python_crates: bool, filter: Option<&str>) -> Result<bool> {
    let mut command = cx.command("cargo");
    let has_nextest =
        run_captured(cx.command("cargo").args(["nextest", "--version"])).is_ok_and(|out| out.status.success());
    if has_nextest {
        command.args(["nextest", "run", "--no-fail-fast", "--no-tests=pass", "--status-level=fail"]);
    } else {
        command.args(["test", "--no-fail-fast", "--quiet"]);
    }
    if only_python_crates {
        for package in python_crates(cx)? {
            command.arg("--package").arg(package);
        }
    } else {
        command.arg("--workspace");
    }
    command.arg("--lib").arg("--bins").arg("--tests");
    prepare(cx, &mut command, version)?;
    command.args(filter);
    Ok(run_status(&mut command)?.success())
}

/// Tells cargo which interpreter the crates are built for, and how its library is found.
pub fn prepare(cx: &Context, command: &mut Command, version: Version) -> Result<()> {
    command.envs(variables(cx, version)?);
    Ok(())
}

/// The environment variables that say it; `cargo dev env` prints them for plain cargo commands.
pub fn variables(cx: &Context, version: Version) -> Result<Vec<(&'static str, String)>> {
    let python = provision::interpreter(cx, Wanted { version, debug: false, testsuite: false })?;
    let answer = run_quiet(cx.command(&python).args(["-I", "-c", "import sys; print(sys.base_prefix)"]))?;
    let home = PathBuf::from(answer.trim());
    let mut variables = vec![("PYO3_PYTHON", python.display().to_string()), ("PYTHONHOME", home.display().to_string())];
    if !provision::debian_prefix(cx, version).is_some_and(|prefix| home.starts_with(prefix.root())) {
        return Ok(variables);
    }
    // The flags are the same whatever the version, or everything would be built again for each: so all must be there.
    for other in Version::ALL {
        provision::interpreter(cx, Wanted { version: other, debug: false, testsuite: false })?;
    }
    let prefixes: Vec<Prefix> = Version::ALL.into_iter().filter_map(|version| Prefix::of(cx, version)).collect();
    // One folder with nothing but the libpythons: the linker must not see the prefixes' newer C libraries.
    let link = cx.target.join("libpython");
    fs::create_dir_all(&link)?;
    for prefix in &prefixes {
        let name = format!("libpython{}.so", prefix.version);
        let (from, to) = (prefix.libraries.join(&name), link.join(&name));
        if fs::read_link(&to).ok().as_deref() != Some(&from) {
            let _ = fs::remove_file(&to);
            std::os::unix::fs::symlink(&from, &to).with_context(|| format!("cannot link {}", to.display()))?;
        }
    }
    let loader = prefixes.last().context("one prefix at least is there")?;
    let mut search: Vec<String> = vec![loader.libraries.display().to_string()];
    search.extend(prefixes.iter().map(|prefix| prefix.libraries.display().to_string()));
    let flags = [
        format!("-Lnative={}", link.display()),
        "-Clink-arg=-Wl,--allow-shlib-undefined".to_owned(),
        format!("-Clink-arg=-Wl,--dynamic-linker={}", loader.loader.display()),
        format!("-Clink-arg=-Wl,--disable-new-dtags,-rpath,{}", search.join(":")),
    ];
    variables.push(("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")));
    // With a named target the flags reach the tests, and not the build scripts and macros that the system runs.
    variables.push(("CARGO_BUILD_TARGET", host_triple(cx)?));
    Ok(variables)
}

struct Prefix {
    version: Version,
    libraries: PathBuf,
    loader: PathBuf,
}

impl Prefix {
    fn of(cx: &Context, version: Version) -> Option<Self> {
        let prefix = provision::debian_prefix(cx, version)?;
        Some(Self { version, libraries: prefix.libraries(), loader: prefix.loader() })
    }
}

fn host_triple(cx: &Context) -> Result<String> {
    let text = run_quiet(cx.command("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// Packages that depend on PyO3, directly or through a crate of ours.
fn python_crates(cx: &Context) -> Result<Vec<String>> {
    let mut manifests = Vec::new();
    for entry in fs::read_dir(cx.root.join("crates"))? {
        let folder = entry?.path();
        if let Ok(text) = fs::read_to_string(folder.join("Cargo.toml")) {
            manifests.push((package_name(&folder), dependencies_in(&text)?));
        }
    }
    let mut found: Vec<String> = vec!["pyo3".to_owned(), "pyo3-ffi".to_owned()];
    loop {
        let before = found.len();
        for (package, dependencies) in &manifests {
            if !found.contains(package) && dependencies.iter().any(|dependency| found.contains(dependency)) {
                found.push(package.clone());
            }
        }
        if found.len() == before {
            break;
        }
    }
    Ok(found.split_off(2))
}

fn package_name(folder: &Path) -> String {
    format!("coluber-{}", folder.file_name().unwrap_or_default().to_string_lossy())
}
