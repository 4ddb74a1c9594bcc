//! Where things are: the checkout, the build directory, the user's cache.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

pub struct Context {
    /// The checkout.
    pub root: PathBuf,
    /// Cargo's target directory; everything that belongs to one build of Coluber is under it.
    pub target: PathBuf,
    /// What is fetched once per user: interpreters, tools. Shared by all checkouts.
    pub cache: PathBuf,
}

impl Context {
    pub fn new() -> Result<Self> {
        let root = find_root()?;
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => env::current_dir()?.join(dir),
            None => root.join("target"),
        };
        let cache = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
            (Some(dir), _) if Path::new(&dir).is_absolute() => PathBuf::from(dir).join("coluber"),
            (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".cache/coluber"),
            _ => target.join("cache"),
        };
        Ok(Self { root, target, cache })
    }

    /// A command that runs `program` in the checkout, free of what cargo set for this process.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        clean_environment(&mut command);
        command
    }

    /// The files under version control or about to be, relative to the checkout.
    pub fn tracked_files(&self) -> Result<Vec<PathBuf>> {
        let mut command = self.command("git");
        command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listing = crate::process::run_quiet(&mut command)?;
        let mut files: Vec<PathBuf> = listing.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }
}

/// Cargo's own variables would reach nested cargo runs and Python programs; a program measured or tested must not
/// see them either.
fn clean_environment(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let inherited = ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "CARGO_NET_OFFLINE"];
        if text.starts_with("CARGO_") && !inherited.contains(&&*text) && !text.starts_with("CARGO_HTTP_") {
            command.env_remove(&name);
        }
    }
    command.env_remove("LD_LIBRARY_PATH").env_remove("PYTHONHOME").env_remove("PYTHONPATH");
}

fn find_root() -> Result<PathBuf> {
    let start = match env::var_os("CARGO_MANIFEST_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => env::current_dir()?,
    };
    for dir in start.ancestors() {
        if dir.join("crates/dev/Cargo.toml").is_file() {
            return Ok(dir.to_path_buf());
        }
    }
    bail!("not inside a checkout of Coluber: no crates/dev above {}", start.display())
}

/// Held while something shared is being made; other processes wait.
pub struct Lock {
    _file: fs::File,
}

impl Lock {
    pub fn acquire(path: &Path) -> Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        let file = fs::File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self { _file: file })
    }
}
