//! The rules of the architecture that no compiler checks.
//!
//! - The compiler crates and `engine` forbid unsafe code, and need neither PyO3 nor a crate that needs it.
//! - Words for a version of CPython occur only in the code of `cpython` and of this crate.
//! - `engine` names no strategy.
//! - No file knows the machine it was written on.
//! - Files stay small enough to be read; crates say what they are; documents name files that exist.
//!
//! A rule looks at [`Tree`] and reports problems; it never changes a file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::source::{Keep, strip};

/// Crates that compile: no unsafe code, nothing of CPython.
const SAFE_CRATES: [&str; 7] = ["ir", "bytecode", "frontend", "passes", "backend", "engine", "strategies"];
/// Crates that may know which version of CPython runs.
const VERSIONED_CRATES: [&str; 2] = ["cpython", "dev"];
/// What a safe crate must not need.
const FORBIDDEN_DEPENDENCIES: [&str; 7] =
    ["pyo3", "pyo3-ffi", "pyo3-build-config", "libc", "coluber-cpython", "coluber-runtime", "coluber-native"];
const STRATEGY_WORDS: [&str; 2] = ["optimizing", "baseline"];
/// Lines of a file: a longer one needs a reason, and is an error.
const LINES_NOTED: usize = 800;
const LINES_ALLOWED: usize = 1500;
/// A file with this mark in its first lines is written by a program.
const GENERATED_MARK: &str = concat!("@", "generated");

/// One finding.
#[derive(Debug)]
pub struct Problem {
    file: PathBuf,
    line: usize,
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

/// The text files of the checkout.
struct Tree {
    files: BTreeMap<PathBuf, String>,
    problems: Vec<Problem>,
}

impl Tree {
    fn read(cx: &Context) -> Result<Self> {
        let mut files = BTreeMap::new();
        for file in cx.tracked_files()? {
            // What is no text has nothing to check.
            if let Ok(text) = fs::read_to_string(cx.root.join(&file)) {
                files.insert(file, text);
            }
        }
        Ok(Self { files, problems: Vec::new() })
    }

    /// Rust sources of one crate.
    fn sources(&self, name: &str) -> Vec<(PathBuf, String)> {
        let folder = Path::new("crates").join(name);
        self.files
            .iter()
            .filter(|(file, _)| file.starts_with(&folder) && has_extension(file, "rs"))
            .map(|(file, text)| (file.clone(), text.clone()))
            .collect()
    }

    fn crates(&self) -> Vec<String> {
        let manifests = self.files.keys().filter(|file| file.ends_with("Cargo.toml"));
        let names = manifests.filter_map(|file| {
            let folder = file.strip_prefix("crates").ok()?.parent()?;
            (folder.components().count() == 1).then(|| folder.to_string_lossy().into_owned())
        });
        names.collect()
    }

    fn report(&mut self, file: impl Into<PathBuf>, line: usize, message: impl Into<String>) {
        self.problems.push(Problem { file: file.into(), line, message: message.into() });
    }
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

/// Checks every rule; prints what it finds and says whether all hold.
pub fn tidy(cx: &Context) -> Result<bool> {
    let mut tree = Tree::read(cx)?;
    safe_crates_forbid_unsafe_code(&mut tree);
    safe_crates_need_nothing_of_cpython(&mut tree)?;
    version_words_stay_at_home(&mut tree);
    engine_names_no_strategy(&mut tree)?;
    no_path_of_a_machine(&mut tree);
    crates_say_what_they_are(&mut tree);
    todos_name_an_issue(&mut tree);
    documents_name_files_that_exist(cx, &mut tree);
    let long = files_are_readable(&mut tree);
    for (file, lines) in &long {
        eprintln!("tidy: note: {} has {lines} lines (over {LINES_NOTED})", file.display());
    }
    for problem in &tree.problems {
        eprintln!("tidy: {problem}");
    }
    println!("tidy: {} files, {} problems, {} long files", tree.files.len(), tree.problems.len(), long.len());
    Ok(tree.problems.is_empty())
}

fn safe_crates_forbid_unsafe_code(tree: &mut Tree) {
    for name in SAFE_CRATES {
        let root = Path::new("crates").join(name).join("src/lib.rs");
        if let Some(text) = tree.files.get(&root) {
            if !strip(text, Keep::Code).contains("#![forbid(unsafe_code)]") {
                tree.report(root, 1, "lacks #![forbid(unsafe_code)]");
            }
        } else if tree.crates().iter().any(|known| known == name) {
            tree.report(root, 1, "is missing");
        }
    }
}

/// Direct dependencies of a crate, build dependencies included, tests' own dependencies not.
fn dependencies(tree: &Tree, name: &str) -> Result<Vec<String>> {
    let manifest = Path::new("crates").join(name).join("Cargo.toml");
    let Some(text) = tree.files.get(&manifest) else {
        return Ok(Vec::new());
    };
    dependencies_in(text).with_context(|| format!("in {}", manifest.display()))
}

pub fn dependencies_in(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse()?;
    let tables = ["dependencies", "build-dependencies"].into_iter().filter_map(|key| manifest.get(key)?.as_table());
    Ok(tables.flat_map(|table| table.keys().cloned()).collect())
}

fn safe_crates_need_nothing_of_cpython(tree: &mut Tree) -> Result<()> {
    for name in SAFE_CRATES {
        for dependency in dependencies(tree, name)? {
            if FORBIDDEN_DEPENDENCIES.contains(&dependency.as_str()) {
                let manifest = Path::new("crates").join(name).join("Cargo.toml");
                tree.report(manifest, 1, format!("depends on {dependency}, which knows CPython"));
            }
        }
    }
    Ok(())
}

fn version_words_stay_at_home(tree: &mut Tree) {
    for name in tree.crates() {
        if VERSIONED_CRATES.contains(&name.as_str()) {
            continue;
        }
        for (file, text) in tree.sources(&name) {
            for (number, line) in strip(&text, Keep::CodeAndStrings).lines().enumerate() {
                if let Some(word) = version_word(line) {
                    tree.report(&file, number + 1, format!("`{word}`: versions of CPython are known in cpython only"));
                }
            }
        }
    }
}

/// The first word in a line that names a version of CPython.
fn version_word(line: &str) -> Option<&str> {
    let starts = ["Py_3_", "v3_", "3.14", "3.15", "3_14", "3_15", "cp314", "cp315", "python3.", "0x030E", "0x030F"];
    starts.into_iter().find(|start| {
        line.match_indices(start).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + start.len()..].chars().next();
            let ends_in_digit = start.ends_with(|c: char| c.is_ascii_digit());
            // 3.14159 and 13.14 are numbers.
            let continues = ends_in_digit && !start.starts_with("0x") && after.is_some_and(|c| c.is_ascii_digit());
            !(continues || before.is_some_and(|c| c.is_alphanumeric() || c == '.'))
        })
    })
}

fn engine_names_no_strategy(tree: &mut Tree) -> Result<()> {
    if dependencies(tree, "engine")?.iter().any(|dependency| dependency == "coluber-strategies") {
        tree.report("crates/engine/Cargo.toml", 1, "engine depends on the strategies");
    }
    for (file, text) in tree.sources("engine") {
        for (number, line) in strip(&text, Keep::Code).lines().enumerate() {
            let lower = line.to_lowercase();
            if let Some(word) = STRATEGY_WORDS.into_iter().find(|word| lower.contains(word)) {
                tree.report(&file, number + 1, format!("engine names the strategy `{word}`"));
            }
        }
    }
    Ok(())
}

fn no_path_of_a_machine(tree: &mut Tree) {
    let needles = ["work", "root", "home/user"].map(|name| format!("/{name}/"));
    let mut found = Vec::new();
    for (file, text) in &tree.files {
        for (number, line) in text.lines().enumerate() {
            for needle in &needles {
                let foreign = line
                    .match_indices(needle.as_str())
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-$}>*".contains(c)));
                if foreign {
                    found.push((file.clone(), number + 1, format!("path of a machine: {needle}")));
                }
            }
        }
    }
    for (file, line, message) in found {
        tree.report(file, line, message);
    }
}

fn crates_say_what_they_are(tree: &mut Tree) {
    for name in tree.crates() {
        for root in ["lib.rs", "main.rs"] {
            let file = Path::new("crates").join(&name).join("src").join(root);
            if tree.files.get(&file).is_some_and(|text| !text.starts_with("//!")) {
                tree.report(file, 1, "does not begin with a `//!` header");
            }
        }
    }
}

fn todos_name_an_issue(tree: &mut Tree) {
    let mark = concat!("TO", "DO");
    let mut found = Vec::new();
    for (file, text) in &tree.files {
        if !(has_extension(file, "rs") || has_extension(file, "py")) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let nameless = line.match_indices(mark).any(|(at, _)| !line[at + mark.len()..].starts_with("(#"));
            if nameless {
                found.push((file.clone(), number + 1));
            }
        }
    }
    for (file, line) in found {
        tree.report(file, line, format!("{mark} without an issue: write {mark}(#number)"));
    }
}

fn documents_name_files_that_exist(cx: &Context, tree: &mut Tree) {
    let mut found = Vec::new();
    for (file, text) in &tree.files {
        if !has_extension(file, "md") {
            continue;
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        for (number, line) in text.lines().enumerate() {
            for target in link_targets(line) {
                if !cx.root.join(folder).join(&target).exists() {
                    found.push((file.clone(), number + 1, format!("link to {target}, which does not exist")));
                }
            }
            for path in code_paths(line) {
                if !cx.root.join(&path).exists() {
                    found.push((file.clone(), number + 1, format!("names {path}, which does not exist")));
                }
            }
        }
    }
    for (file, line, message) in found {
        tree.report(file, line, message);
    }
}

/// Targets of links to files, without anchors.
fn link_targets(line: &str) -> Vec<String> {
    let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = links.filter(|target| !target.contains("://") && !target.starts_with(['#', '<']));
    let paths = files.map(|target| target.split('#').next().unwrap_or_default().to_owned());
    paths.filter(|path| !path.is_empty() && !path.starts_with("mailto:")).collect()
}

/// Paths of this checkout in code quotes.
fn code_paths(line: &str) -> Vec<String> {
    const ROOMS: [&str; 8] = ["crates/", "python/", "tests/", "benches/", "docs/", "examples/", "fuzz/", ".ci/"];
    let quoted = line.split('`').skip(1).step_by(2);
    let paths = quoted.filter(|text| ROOMS.iter().any(|room| text.starts_with(room)));
    let plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    paths.filter(|text| text.chars().all(plain)).map(str::to_owned).collect()
}

/// Reports files that are too long and returns those that are long.
fn files_are_readable(tree: &mut Tree) -> Vec<(PathBuf, usize)> {
    let mut long = Vec::new();
    for (file, text) in &tree.files {
        let is_code = has_extension(file, "rs") || has_extension(file, "py");
        let is_generated = text.lines().take(5).any(|line| line.contains(GENERATED_MARK));
        if is_code && !is_generated && text.lines().count() > LINES_NOTED {
            long.push((file.clone(), text.lines().count()));
        }
    }
    for (file, lines) in long.iter().filter(|(_, lines)| *lines > LINES_ALLOWED) {
        tree.problems.push(Problem {
            file: file.clone(),
            line: *lines,
            message: format!("has {lines} lines; split it (at most {LINES_ALLOWED})"),
        });
    }
    long
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let files = files.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect();
        Tree { files, problems: Vec::new() }
    }

    #[test]
    fn finds_version_words_in_code_only() {
        assert_eq!(version_word("if version == v3_14 {"), Some("v3_"));
        assert_eq!(version_word(r#"let name = "Python 3.15";"#), Some("3.15"));
        assert_eq!(version_word("let pi = 3.14159;"), None);
        assert_eq!(version_word("let x = 13.14;"), None);
        let mut tree = tree(&[
            ("crates/ir/Cargo.toml", ""),
            ("crates/ir/src/lib.rs", "//! As CPython 3.14 does.\nlet x = 1; // v3_14\n"),
            ("crates/engine/Cargo.toml", ""),
            ("crates/engine/src/lib.rs", "//! E\nuse v3_14::X;\n"),
        ]);
        version_words_stay_at_home(&mut tree);
        assert_eq!(tree.problems.len(), 1);
        assert_eq!(tree.problems[0].line, 2);
    }

    #[test]
    fn demands_the_ban_of_unsafe_code() {
        let mut tree = tree(&[
            ("crates/ir/Cargo.toml", ""),
            ("crates/ir/src/lib.rs", "//! x\n// #![forbid(unsafe_code)]\n"),
            ("crates/passes/Cargo.toml", ""),
            ("crates/passes/src/lib.rs", "//! x\n#![forbid(unsafe_code)]\n"),
        ]);
        safe_crates_forbid_unsafe_code(&mut tree);
        assert_eq!(tree.problems.len(), 1);
    }

    #[test]
    fn lets_the_engine_have_a_default_but_no_name() {
        let mut tree = tree(&[
            ("crates/engine/Cargo.toml", "[dependencies]\n"),
            ("crates/engine/src/options.rs", "const DEFAULT: &str = \"optimizing\"; // optimizing\n"),
            ("crates/engine/src/policy.rs", "if strategy.is_baseline() {}\n"),
        ]);
        engine_names_no_strategy(&mut tree).unwrap();
        assert_eq!(tree.problems.len(), 1);
    }

    #[test]
    fn reads_links_and_quoted_paths() {
        assert_eq!(link_targets("[a](b.md#c) [d](https://e) [f](#g)"), ["b.md"]);
        assert_eq!(code_paths("see `crates/dev/src` and `tests/*.py` and `x/y`"), ["crates/dev/src"]);
    }
}
