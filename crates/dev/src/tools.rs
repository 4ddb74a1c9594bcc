//! Tools from PyPI that are not Python packages of an environment: `uv`.

use std::path::PathBuf;

use anyhow::Result;

use crate::context::{Context, Lock};
use crate::process::{progress, run_captured, run_quiet};
use crate::provision;

const UV_VERSION: &str = "0.13.8";
const FETCH_TOOL: &str = include_str!("scripts/fetch_tool.py");

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
        run_quiet(cx.command(python).args(["-I", "-c", FETCH_TOOL, "uv", UV_VERSION]).arg(&path))?;
    }
    Ok(path)
}
