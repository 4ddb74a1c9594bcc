//! The test files under `tests/ir`: all of them are printed, parsed and verified.

use coluber_ir::filetest::run_directory;
use std::path::Path;

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/ir"))
}

#[test]
fn functions_are_as_well_formed_as_they_say() {
    run_directory(
        directory(),
        |file| {
            let test = file.directive("test").unwrap_or_default();
            let is_known = matches!(test, "verify" | "run") || test.starts_with("pass ");
            assert!(is_known, "{}: `; test: verify | run | pass <name>` is missing", file.path.display());
            true
        },
        // Outputs are for the runner of the pass to compare.
        |_, case| Ok(case.expected.clone()),
    );
}
