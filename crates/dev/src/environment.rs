//! Managed environments: one per interpreter, under the target directory, with the current release build of Coluber
//! in it; and others beside it, with the same build, for packages that do not get on with each other.
//!
//! Installing is incremental: cargo decides what to build again, and only files that differ are copied. The layout in
//! `site-packages` is the one that the wheel has.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::context::{Context, Lock};
use crate::process::{describe, progress, run_quiet};
use crate::provision::{self, Version, Wanted};
use crate::tools;

/// The package that holds the module `coluber._native`.
const NATIVE_PACKAGE: &str = "coluber-native";

pub struct Environment {
    /// The interpreter of the environment.
    pub python: PathBuf,
    /// For messages and file names: `3.14` or `3.14-dbg`.
    pub name: String,
    /// Holds the environment, its build and its records.
    pub folder: PathBuf,
    venv: PathBuf,
    /// The module that is installed in it.
    library: Option<PathBuf>,
    version: Version,
}

impl Environment {
    /// The environment for one interpreter, made if there is none; Coluber is not necessarily in it.
    pub fn open(cx: &Context, version: Version, debug: bool, testsuite: bool) -> Result<Self> {
        Self::open_at(cx, Wanted { version, debug, testsuite }, "venv")
    }

    fn open_at(cx: &Context, wanted: Wanted, place: &str) -> Result<Self> {
        let Wanted { version, debug, .. } = wanted;
        let interpreter = provision::interpreter(cx, wanted)?;
        let name = format!("{version}{}", if debug { "-dbg" } else { "" });
        let folder = cx.target.join(format!("py{name}"));
        let venv = folder.join(place);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let environment = Self { python: venv.join("bin/python"), name, folder, venv, library: None, version };
        let _lock = environment.lock()?;
        let origin = environment.venv.join("made-for");
        let recorded = fs::read_to_string(&origin).unwrap_or_default();
        if recorded != interpreter.to_string_lossy() || !environment.python.exists() {
            progress(format!("making an environment for Python {}", environment.name));
            if environment.venv.exists() {
                fs::remove_dir_all(&environment.venv)?;
            }
            run_quiet(cx.command(&interpreter).args(["-I", "-m", "venv", "--without-pip"]).arg(&environment.venv))?;
            fs::write(&origin, interpreter.to_string_lossy().as_bytes())?;
        }
        Ok(environment)
    }

    /// An environment of its own for one package, for the same interpreter and with the same build.
    pub fn for_package(&self, cx: &Context, package: &str) -> Result<Self> {
        let wanted = Wanted { version: self.version, debug: self.name.ends_with("-dbg"), testsuite: false };
        let other = Self::open_at(cx, wanted, &format!("packages/{package}"))?;
        let library = self.library.as_ref().context("nothing was built for this environment")?;
        other.install_coluber(cx, library)?;
        Ok(other)
    }

    /// As [`Environment::open`], with the current build of Coluber installed.
    pub fn with_coluber(cx: &Context, version: Version, debug: bool, testsuite: bool) -> Result<Self> {
        let mut environment = Self::open(cx, version, debug, testsuite)?;
        let library = environment.build_native(cx)?;
        environment.install_coluber(cx, &library)?;
        environment.library = Some(library);
        Ok(environment)
    }

    fn lock(&self) -> Result<Lock> {
        Lock::acquire(&self.folder.join("lock"))
    }

    fn site_packages(&self) -> PathBuf {
        self.venv.join(format!("lib/python{}/site-packages", self.version))
    }

    /// Makes sure that packages from PyPI are there; `requirements` are exact pins.
    pub fn require(&self, cx: &Context, set: &str, requirements: &[&str]) -> Result<()> {
        self.require_within(cx, set, requirements, "")
    }

    /// As [`Environment::require`], with pins for whatever is needed besides: the text of a file of constraints.
    pub fn require_within(&self, cx: &Context, set: &str, requirements: &[&str], constraints: &str) -> Result<()> {
        let _lock = self.lock()?;
        let stamp = self.venv.join(format!("requirements-{set}"));
        let wanted = format!("{}{constraints}", requirements.join("\n"));
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        progress(format!("installing {} into the environment for Python {}", requirements.join(" "), self.name));
        let uv = tools::uv(cx)?;
        let pins = self.venv.join(format!("constraints-{set}.txt"));
        fs::write(&pins, constraints)?;
        run_quiet(
            cx.command(uv)
                .args(["pip", "install", "--quiet", "--compile-bytecode", "--python"])
                .arg(&self.python)
                .arg("--constraint")
                .arg(&pins)
                .args(requirements),
        )?;
        fs::write(stamp, wanted)?;
        Ok(())
    }

    fn install_coluber(&self, cx: &Context, library: &Path) -> Result<()> {
        let _lock = self.lock()?;
        let suffix = run_quiet(cx.command(&self.python).args([
            "-I",
            "-c",
            "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))",
        ]))?;
        let site = self.site_packages();
        let mut installer = Installer::default();
        let package = site.join("coluber");
        installer.copy_tree(&cx.root.join("python/coluber"), &package)?;
        installer.copy(library, &package.join(format!("_native{}", suffix.trim())))?;
        installer.copy_tree(&cx.root.join("python/hook/purelib"), &site)?;
        let version = env!("CARGO_PKG_VERSION");
        let record = site.join(format!("coluber-{version}.dist-info"));
        let metadata = format!("Metadata-Version: 2.4\nName: coluber\nVersion: {version}\n");
        installer.write(metadata.as_bytes(), &record.join("METADATA"))?;
        installer.write(b"cargo dev\n", &record.join("INSTALLER"))?;
        installer.remove_others(&package)?;
        if installer.changed > 0 {
            // Plain installers write bytecode too; without it every start would compile the package.
            run_quiet(
                cx.command(&self.python)
                    .env_remove("PYTHONDONTWRITEBYTECODE")
                    .args(["-I", "-m", "compileall", "-q"])
                    .arg(&package)
                    .arg(site.join("_coluber_autoload.py")),
            )?;
        }
        Ok(())
    }

    /// Builds the module for this interpreter and returns the shared library.
    fn build_native(&self, cx: &Context) -> Result<PathBuf> {
        let _lock = self.lock()?;
        let mut command = cx.command("cargo");
        command
            .args(["build", "--release", "--package", NATIVE_PACKAGE, "--message-format=json-render-diagnostics"])
            .arg("--target-dir")
            .arg(&self.folder)
            .env("PYO3_PYTHON", &self.python)
            // An extension module must not link libpython; maturin says so in the same way.
            .env("PYO3_BUILD_EXTENSION_MODULE", "1")
            .stderr(std::process::Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot start `{}`", describe(&command)))?;
        if !output.status.success() {
            bail!("building for Python {} failed: `{}`", self.name, describe(&command));
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let library = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| message["reason"] == "compiler-artifact")
            .filter(|message| message["manifest_path"].as_str().is_some_and(|path| path.ends_with("native/Cargo.toml")))
            .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
            .filter_map(|name| name.as_str().map(PathBuf::from))
            .find(|path| path.extension().is_some_and(|extension| extension == "so"));
        library.with_context(|| format!("{NATIVE_PACKAGE} has built no shared library (crate-type cdylib)"))
    }
}

/// Copies what differs and remembers what belongs there.
#[derive(Default)]
struct Installer {
    installed: Vec<PathBuf>,
    changed: usize,
}

impl Installer {
    fn copy_tree(&mut self, from: &Path, to: &Path) -> Result<()> {
        let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
        for entry in entries {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if entry.file_name() == "__pycache__" {
                continue;
            }
            if source.is_dir() {
                self.copy_tree(&source, &target)?;
            } else {
                self.copy(&source, &target)?;
            }
        }
        Ok(())
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.write(&content, to)
    }

    fn write(&mut self, content: &[u8], to: &Path) -> Result<()> {
        self.installed.push(to.to_path_buf());
        if fs::read(to).is_ok_and(|present| present == content) {
            return Ok(());
        }
        self.changed += 1;
        let parent = to.parent().context("a file has a folder")?;
        fs::create_dir_all(parent)?;
        // A running interpreter may have the old file mapped: replace it, never write into it.
        let mut scratch = tempfile::NamedTempFile::new_in(parent)?;
        std::io::Write::write_all(&mut scratch, content)?;
        let file = scratch.persist(to).with_context(|| format!("cannot write {}", to.display()))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.set_permissions(mode)?;
        Ok(())
    }

    /// Removes what an earlier build put into the package and the current one does not have.
    fn remove_others(&mut self, package: &Path) -> Result<()> {
        for entry in fs::read_dir(package)? {
            let path = entry?.path();
            let belongs = self.installed.iter().any(|installed| installed.starts_with(&path));
            if path.ends_with("__pycache__") || belongs {
                continue;
            }
            self.changed += 1;
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}
