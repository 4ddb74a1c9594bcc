//! Finding, or else fetching, the CPython interpreters that Coluber is built for.
//!
//! Order: the interpreter named by `COLUBER_PYTHON_3_14` / `COLUBER_PYTHON_3_15` (with `_DEBUG` appended for the debug
//! build); one already fetched into the user's cache; one on `PATH`, from pyenv or from uv, if it has what is asked
//! for; Debian's packages unpacked into the cache; `uv python install`. Any patch release is accepted.

mod debian;

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use crate::context::{Context, Lock};
use crate::process::{progress, run_captured, run_quiet};

/// A supported feature release of CPython.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl Version {
    pub const ALL: [Self; 2] = [Self { major: 3, minor: 14 }, Self { major: 3, minor: 15 }];
    /// What commands use when no version is named.
    pub const DEFAULT: Self = Self::ALL[0];
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|version| version.to_string() == text).ok_or_else(|| {
            anyhow!("unknown Python version {text}; known: {}", Self::ALL.map(|v| v.to_string()).join(", "))
        })
    }
}

/// Which build of CPython, and what has to come with it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub version: Version,
    pub debug: bool,
    pub testsuite: bool,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPython {}{}", self.version, if self.debug { " (debug build)" } else { "" })?;
        write!(f, " with headers{}", if self.testsuite { " and testsuite" } else { "" })
    }
}

/// What an interpreter says about itself.
#[derive(Deserialize)]
struct Probe {
    version: String,
    implementation: String,
    debug: bool,
    free_threaded: bool,
    headers: bool,
    testsuite: bool,
}

const PROBE: &str = r#"
import importlib.util, json, os, sys, sysconfig
paths = sysconfig.get_paths()
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "implementation": sys.implementation.name,
    "debug": hasattr(sys, "gettotalrefcount"),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "headers": os.path.isfile(os.path.join(paths["include"], "Python.h")),
    "testsuite": importlib.util.find_spec("test.test_dict") is not None,
}))
"#;

/// The path of an interpreter as wanted, fetched if there is none.
pub fn interpreter(cx: &Context, wanted: Wanted) -> Result<PathBuf> {
    let variable = variable_name(wanted);
    if let Some(named) = env::var_os(&variable).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(named);
        if let Err(reason) = fits(cx, &path, wanted) {
            bail!("{variable}={} is not {wanted}: {reason}", path.display());
        }
        return Ok(path);
    }
    let fetched = debian::Prefix::new(cx, wanted.version);
    if fetched.is_complete() {
        return Ok(fetched.interpreter(wanted.debug));
    }
    if let Some(path) = candidates(wanted).into_iter().find(|path| fits(cx, path, wanted).is_ok()) {
        return Ok(path);
    }
    let mut reasons = Vec::new();
    let _lock = Lock::acquire(&cx.cache.join("provision.lock"))?;
    if fetched.is_complete() {
        return Ok(fetched.interpreter(wanted.debug));
    }
    match fetched.fetch() {
        Ok(()) => return Ok(fetched.interpreter(wanted.debug)),
        Err(error) => reasons.push(format!("Debian packages: {error:#}")),
    }
    if !wanted.debug {
        match install_with_uv(cx, wanted) {
            Ok(path) => return Ok(path),
            Err(error) => reasons.push(format!("uv python install: {error:#}")),
        }
    }
    bail!("no {wanted} found; set {variable} to one\n{}", reasons.join("\n"))
}

/// The prefix with Debian's packages, if it has been fetched.
pub fn debian_prefix(cx: &Context, version: Version) -> Option<debian::Prefix> {
    let prefix = debian::Prefix::new(cx, version);
    prefix.is_complete().then_some(prefix)
}

fn variable_name(wanted: Wanted) -> String {
    let Version { major, minor } = wanted.version;
    format!("COLUBER_PYTHON_{major}_{minor}{}", if wanted.debug { "_DEBUG" } else { "" })
}

/// Why `path` is not what is wanted.
fn fits(cx: &Context, path: &Path, wanted: Wanted) -> Result<()> {
    let output = run_quiet(cx.command(path).args(["-I", "-c", PROBE]))?;
    let probe: Probe = serde_json::from_str(&output).context("the interpreter's answer is not understood")?;
    let version = wanted.version.to_string();
    let checks = [
        (probe.implementation == "cpython", "not CPython"),
        (probe.version == version, "of another version"),
        (probe.debug == wanted.debug, if wanted.debug { "not a debug build" } else { "a debug build" }),
        (!probe.free_threaded, "free-threaded"),
        (probe.headers, "without headers"),
        (probe.testsuite || !wanted.testsuite, "without the testsuite"),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, problem)) => Err(anyhow!("it is {problem}")),
        None => Ok(()),
    }
}

/// Places where people keep interpreters.
fn candidates(wanted: Wanted) -> Vec<PathBuf> {
    let version = wanted.version;
    let names = if wanted.debug {
        vec![format!("python{version}-dbg"), format!("python{version}d")]
    } else {
        vec![format!("python{version}")]
    };
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    if let Some(home) = env::var_os("HOME").map(PathBuf::from) {
        let pyenv = env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from);
        folders.extend(installations(&pyenv.join("versions"), &format!("{version}.")));
        let uv = home.join(".local/share/uv/python");
        folders.extend(installations(&uv, &format!("cpython-{version}.")));
    }
    let paths = folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    paths.filter(|path| path.is_file()).collect()
}

fn installations(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join("bin"))
        .collect();
    found.sort();
    found.reverse();
    found
}

fn install_with_uv(cx: &Context, wanted: Wanted) -> Result<PathBuf> {
    let version = wanted.version.to_string();
    progress(format!("asking uv for CPython {version}"));
    run_quiet(cx.command("uv").args(["python", "install", &version]))?;
    let path = PathBuf::from(run_quiet(cx.command("uv").args(["python", "find", &version]))?.trim());
    fits(cx, &path, wanted)?;
    Ok(path)
}

/// Any working interpreter that can fetch files; used before an environment exists.
pub fn any_python(cx: &Context) -> Result<PathBuf> {
    for version in Version::ALL {
        let prefix = debian::Prefix::new(cx, version);
        if prefix.is_complete() {
            return Ok(prefix.interpreter(false));
        }
    }
    let mut probe = Command::new("python3");
    probe.args(["-c", "import ssl"]);
    if run_captured(&mut probe).is_ok_and(|output| output.status.success()) {
        return Ok(PathBuf::from("python3"));
    }
    interpreter(cx, Wanted { version: Version::DEFAULT, debug: false, testsuite: false })
}
