//! What is fetched from PyPI and is no Python package of an environment: `uv`, and sources with their tests.

use std::path::PathBuf;

use anyhow::Result;

use crate::context::{Context, Lock};
use crate::process::{progress, run_captured, run_quiet};
use crate::provision;

const UV_VERSION: &str = "0.13.8";
const PYPI: &str = include_str!("scripts/pypi.py");

/// The installer of packages: the one on `PATH`, or else one fetched into the user's cache.
pub fn uv(cx: &Context) -> Result<PathBuf> {
    if run_captured(cx.command("uv").arg("--version")).is_ok_and(|output| output.status.success()) {
        return Ok(PathBuf::from("uv"));
    }
    let path = cx.cache.join("tools").join(format!("uv-{UV_VERSION}")).join("uv");
    let _lock = Lock::acquire(&cx.cache.join("tools.lock"))?;
    if !path.is_file() {
        progress(format!("fetching uv {UV_VERSION} from PyPI"));
        let python = provision::any_python(cx)?;
        run_quiet(cx.command(python).args(["-I", "-c", PYPI, "tool", "uv", UV_VERSION]).arg(&path))?;
    }
    Ok(path)
}

/// The archive of a package's source, fetched into the user's cache once. The checksum is part of the pin.
pub fn sdist(cx: &Context, name: &str, version: &str, sha256: &str) -> Result<PathBuf> {
    // Another checksum is another archive.
    let path = cx.cache.join("sdists").join(format!("{name}-{version}-{}.tar.gz", &sha256[..sha256.len().min(12)]));
    let _lock = Lock::acquire(&cx.cache.join("tools.lock"))?;
    if !path.is_file() {
        progress(format!("fetching the source of {name} {version} from PyPI"));
        let python = provision::any_python(cx)?;
        run_quiet(cx.command(python).args(["-I", "-c", PYPI, "sdist", name, version, sha256]).arg(&path))?;
    }
    Ok(path)
}
