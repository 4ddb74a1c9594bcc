//! The test files under `tests/ir/passes/<pass>`: one pass, the function in front of it and behind it.

use coluber_ir::filetest::{Case, TestFile, run_directory};
use coluber_ir::verify::verify;
use coluber_passes::{all, by_name};
use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/ir/passes")).to_path_buf()
}

/// Runs the pass that the directive and the folder name; what came out of it is well formed and does the same.
fn run_pass(file: &TestFile, case: &Case) -> Result<Option<String>, String> {
    let folder = file.path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let directive = file.directive("test").unwrap_or_default();
    let name = directive.strip_prefix("pass ").ok_or("`; test: pass <name>` is missing")?;
    if name != folder {
        return Err(format!("a test of {name} in the folder of {folder}"));
    }
    let pass = by_name(name).ok_or(format!("there is no pass {name}"))?;
    let mut function = case.parsed.function.clone();
    let changed = pass.run(&mut function);
    let output = function.body_text();
    verify(&function).map_err(|errors| format!("after {name}: {errors}{output}"))?;
    if !changed && output != case.parsed.function.body_text() {
        return Err(format!("{name} says it changed nothing:\n{output}"));
    }
    case.check_runs(&function).map_err(|error| format!("after {name}: {error}\n{output}"))?;
    Ok(Some(output))
}

#[test]
fn passes_do_what_the_files_say() {
    run_directory(&directory(), |_| true, run_pass);
}

/// A header promises `keeps_...` files: what the pass must not do.
#[test]
fn files_exist_that_headers_promise() {
    for pass in all() {
        let name = pass.name();
        let path = format!("{}/src/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(&path).expect("a pass is one file named as the pass");
        let header: String = source.lines().take_while(|line| line.starts_with("//!")).collect();
        let promised: Vec<&str> = header.split('`').filter(|word| word.starts_with("keeps_")).collect();
        assert!(!promised.is_empty(), "{name}: the header names no test that it does not fire");
        for promise in promised {
            let file = directory().join(name).join(format!("{promise}.ir"));
            assert!(file.exists(), "{name}: the header promises {promise}");
        }
    }
}
