//! Tells the code which interpreter it is built for.

use std::path::Path;
use std::process::Command;

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    link_unwinder_in();
}

/// Takes the unwinder (for panics) from the compiler's static library, where there is one: loading `libgcc_s.so` would
/// be a fifth of loading this one.
fn link_unwinder_in() {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let found = Command::new(compiler).arg("-print-file-name=libgcc_eh.a").output();
    let Ok(output) = found else { return };
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // A name without a folder means that there is none.
    if let Some(folder) = Path::new(&path).parent().filter(|folder| folder.is_absolute()) {
        println!("cargo:rustc-link-search=native={}", folder.display());
        println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
    }
}
