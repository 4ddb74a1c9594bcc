//! CPython from Debian's newer suites, unpacked into a private prefix: the system is not touched, and no privileges
//! are needed.
//!
//! A private apt configuration downloads (and verifies) the interpreter with everything it depends on, the C library
//! included; `dpkg -x` unpacks; `patchelf` (from the same packages) points the interpreters at the prefix's own
//! loader and libraries, so that they run on an older Debian.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Version;
use crate::context::Context;
use crate::process::{progress, run_captured, run_quiet};

/// The suites that may have the interpreters, in the order they are asked.
const SUITES: [&str; 2] = ["sid", "forky"];
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
/// Packages that nothing here runs.
const SKIPPED: [&str; 7] = [
    "linux-libc-dev_",
    "debconf_",
    "ca-certificates_",
    "net-tools_",
    "python3-setuptools-whl_",
    "fonts-dejavu",
    "sysvinit-utils_",
];
/// What must work before the prefix counts as complete.
const SMOKE: &str = "import ssl, sqlite3, ctypes, lzma, bz2, readline, test.support";

pub struct Prefix {
    version: Version,
    root: PathBuf,
}

impl Prefix {
    pub fn new(cx: &Context, version: Version) -> Self {
        Self { version, root: cx.cache.join("cpython").join(version.to_string()) }
    }

    fn stamp(&self) -> PathBuf {
        self.root.join("provisioned.json")
    }

    pub fn is_complete(&self) -> bool {
        self.stamp().is_file()
    }

    pub fn interpreter(&self, debug: bool) -> PathBuf {
        let suffix = if debug { "-dbg" } else { "" };
        self.root.join(format!("usr/bin/python{}{suffix}", self.version))
    }

    /// The folder with everything.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The shared libraries, the C library among them.
    pub fn libraries(&self) -> PathBuf {
        self.root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH))
    }

    /// The dynamic loader that fits [`Prefix::libraries`].
    pub fn loader(&self) -> PathBuf {
        let name = match std::env::consts::ARCH {
            "aarch64" => "ld-linux-aarch64.so.1",
            _ => "ld-linux-x86-64.so.2",
        };
        self.libraries().join(name)
    }

    /// Downloads, unpacks and patches. The caller holds the provisioning lock.
    pub fn fetch(&self) -> Result<()> {
        let parent = self.root.parent().context("the prefix has a parent")?;
        fs::create_dir_all(parent)?;
        let scratch = tempfile::Builder::new().prefix("fetching-").tempdir_in(parent)?;
        let mut failures = Vec::new();
        for suite in SUITES {
            progress(format!("fetching CPython {} from Debian {suite} (about 150 MB)", self.version));
            let folder = scratch.path().join(suite);
            match self.download(&folder, suite) {
                Ok(archives) => return self.unpack(&archives, &folder, suite),
                Err(error) => failures.push(format!("{suite}: {error:#}")),
            }
        }
        bail!("{}", failures.join("\n"))
    }

    /// Returns the downloaded package files.
    fn download(&self, folder: &Path, suite: &str) -> Result<Vec<PathBuf>> {
        for sub in ["state", "lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        let mirror = mirror();
        fs::write(
            folder.join("sources.list"),
            format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {suite} main\n"),
        )?;
        let at = |name: &str| folder.join(name).display().to_string();
        let configuration = [
            ("Dir::Etc::SourceList", at("sources.list")),
            ("Dir::Etc::SourceParts", "-".into()),
            ("Dir::State", at("state")),
            ("Dir::State::Lists", at("lists")),
            ("Dir::State::status", "/dev/null".into()),
            ("Dir::Cache", at("cache")),
            ("APT::Install-Recommends", "false".into()),
            ("APT::Sandbox::User", "".into()),
            ("Acquire::Languages", "none".into()),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".into()),
            ("Acquire::Retries", "3".into()),
            ("Debug::NoLocking", "1".into()),
        ];
        let text: String = configuration.iter().map(|(key, value)| format!("{key} \"{value}\";\n")).collect();
        let file = folder.join("apt.conf");
        fs::write(&file, text)?;
        let apt = || {
            let mut command = Command::new("apt-get");
            command.env("APT_CONFIG", &file).env("LC_ALL", "C").args(["-q", "-y"]);
            command
        };
        run_quiet(apt().arg("update"))?;
        let version = self.version;
        run_quiet(apt().args(["--download-only", "install", "patchelf"]).args([
            format!("python{version}"),
            format!("python{version}-dev"),
            format!("python{version}-venv"),
            format!("python{version}-dbg"),
            format!("libpython{version}-testsuite"),
        ]))?;
        let mut archives = Vec::new();
        for entry in fs::read_dir(folder.join("cache/archives"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                archives.push(path);
            }
        }
        archives.sort();
        Ok(archives)
    }

    fn unpack(&self, archives: &[PathBuf], folder: &Path, suite: &str) -> Result<()> {
        let unpacked = folder.join("root");
        let mut names = Vec::new();
        for archive in archives {
            let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if SKIPPED.iter().any(|skipped| name.starts_with(skipped)) {
                continue;
            }
            run_quiet(Command::new("dpkg").arg("-x").arg(archive).arg(&unpacked))?;
            names.push(name);
        }
        if self.root.exists() {
            fs::remove_dir_all(&self.root)?;
        }
        fs::rename(&unpacked, &self.root)?;
        for debug in [false, true] {
            self.adopt(&self.interpreter(debug))?;
        }
        self.precompile()?;
        let record = serde_json::json!({ "suite": suite, "packages": names });
        fs::write(self.stamp(), serde_json::to_string_pretty(&record)?)?;
        progress(format!("CPython {} is ready in {}", self.version, self.root.display()));
        Ok(())
    }

    /// Writes the standard library's bytecode, as Debian does when it configures the packages: without it every start
    /// compiles again wherever `PYTHONDONTWRITEBYTECODE` is set.
    fn precompile(&self) -> Result<()> {
        let library = self.root.join(format!("usr/lib/python{}", self.version));
        let mut command = Command::new(self.interpreter(false));
        command.env_remove("PYTHONDONTWRITEBYTECODE").args(["-I", "-m", "compileall", "-q", "-j0"]).arg(library);
        // The testsuite holds files that are wrong on purpose: the exit code says nothing.
        run_captured(&mut command)?;
        Ok(())
    }

    /// Makes one interpreter use the prefix's loader and libraries, and tries it.
    fn adopt(&self, interpreter: &Path) -> Result<()> {
        let interpreter = interpreter.canonicalize()?;
        let (loader, libraries) = (self.loader(), self.libraries());
        let patchelf = || {
            let mut command = Command::new(&loader);
            command.arg("--library-path").arg(&libraries).arg(self.root.join("usr/bin/patchelf"));
            command
        };
        // The order matters, and so does doing it in two steps: patchelf 0.17 and 0.18 write a broken file when they
        // set both at once, or the loader first (checked 2026-11-20 with Debian's non-PIE executables).
        run_quiet(patchelf().args(["--force-rpath", "--set-rpath"]).arg(&libraries).arg(&interpreter))?;
        run_quiet(patchelf().arg("--set-interpreter").arg(&loader).arg(&interpreter))?;
        run_quiet(Command::new(&interpreter).args(["-I", "-c", SMOKE]))
            .context("the unpacked interpreter does not work")?;
        Ok(())
    }
}

/// The Debian mirror this machine already uses.
fn mirror() -> String {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let texts: Vec<String> = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    mirror_in(&texts).unwrap_or_else(|| DEFAULT_MIRROR.to_owned())
}

fn mirror_in(texts: &[String]) -> Option<String> {
    texts
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.starts_with("http") && word.ends_with("/debian"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::mirror_in;

    #[test]
    fn takes_the_mirror_from_either_form_of_sources() {
        let one_line = "# deb http://old/debian x\ndeb http://mirror.example/debian bookworm main".to_owned();
        assert_eq!(mirror_in(&[one_line]).as_deref(), Some("http://mirror.example/debian"));
        let stanza = "Types: deb\nURIs: https://other.example/debian/\nSuites: bookworm".to_owned();
        assert_eq!(mirror_in(&[stanza]).as_deref(), Some("https://other.example/debian"));
    }

    #[test]
    fn ignores_the_security_archive() {
        assert_eq!(mirror_in(&["URIs: http://deb.debian.org/debian-security".to_owned()]), None);
    }
}
