//! Test files: functions as text with expectations in comments.
//!
//! ```text
//! ; test: pass remove_guards
//!
//! fn keeps_first_guard(Object) {
//! b0(v0: Object):
//!     fs0 = state code0@0 locals[v0] stack[]
//!     v1 = GuardKind v0, Int, fs0
//!     v2 = GuardKind v1, Int, fs0
//!     Return v2
//! }
//! ; run: keeps_first_guard(1) == 1
//! ; ---
//! ; b0(v0: Object):
//! ;     fs0 = state code0@0 locals[v0] stack[]
//! ;     v1 = GuardKind v0, Int, fs0
//! ;     Return v1
//! ```
//!
//! * Directives, `; name: value`, stand in front of the first function; `test` says who runs the file.
//! * `; error: text` at the end of a line expects an error of the verifier on that line whose message contains the text.
//! * `; run: ...` lines follow a function: calls and how they end, see [`crate::interpret::runs`]. They are checked for the
//!   function as it stands; a test that changes it calls [`Case::check_runs`] again.
//! * Comments behind `; ---` are the expected output: what the runner's closure returns, by convention
//!   [`Function::body_text`]. With `BLESS=1` in the environment they are rewritten.
//!
//! [`run_directory`] walks a directory of such files. A name says what is tested, as a sentence; every rewrite has a test
//! that it does not fire when it must not.

use crate::Function;
use crate::interpret::runs::check_run;
use crate::parser::{Parsed, parse_functions};
use crate::verify::{Entity, VerifyError, verify};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A function of a test file with its expectations.
#[derive(Clone, Debug)]
pub struct Case {
    /// The function and its lines.
    pub parsed: Parsed,
    /// `; error:` comments: line and text.
    pub errors: Vec<(u32, String)>,
    /// `; run:` comments: line and text.
    pub runs: Vec<(u32, String)>,
    /// What follows `; ---`, without the comment signs.
    pub expected: Option<String>,
    /// The lines of the expectation, `; ---` included; empty (and where it would be) if there is none.
    expected_lines: std::ops::Range<usize>,
}

/// A test file.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// Where it is.
    pub path: PathBuf,
    /// Directives: name and value.
    pub directives: Vec<(String, String)>,
    /// Its functions.
    pub cases: Vec<Case>,
    lines: Vec<String>,
}

impl TestFile {
    /// Reads the text of a file.
    pub fn parse(path: &Path, text: &str) -> Result<TestFile, String> {
        let parsed = parse_functions(text).map_err(|error| format!("{}: {error}", path.display()))?;
        let lines: Vec<String> = text.lines().map(str::to_string).collect();
        let first = parsed.first().map_or(lines.len(), |parsed| parsed.lines.start as usize - 1);
        let directive = |line: &String| {
            let (name, value) = line.strip_prefix(';')?.split_once(": ")?;
            let is_name = !name.trim().contains(' ');
            is_name.then(|| (name.trim().to_string(), value.trim().to_string()))
        };
        let directives = lines[..first].iter().filter_map(directive).collect();
        let starts: Vec<usize> = parsed.iter().map(|parsed| parsed.lines.start as usize - 1).collect();
        let cases = parsed
            .into_iter()
            .enumerate()
            .map(|(index, parsed)| Case::new(parsed, &lines, starts.get(index + 1).copied().unwrap_or(lines.len())))
            .collect();
        Ok(TestFile { path: path.to_path_buf(), directives, cases, lines })
    }

    /// The value of a directive.
    pub fn directive(&self, name: &str) -> Option<&str> {
        self.directives.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The text of the file with other expected outputs, one per case; `None` keeps what is there.
    pub fn with_expected(&self, outputs: &[Option<String>]) -> String {
        let mut lines = self.lines.clone();
        // From the back, so that line numbers in front stay true.
        for (case, output) in self.cases.iter().zip(outputs).rev() {
            if let Some(output) = output {
                let comment = |line: &str| format!("; {line}").trim_end().to_string();
                let new = std::iter::once("; ---".to_string()).chain(output.lines().map(comment));
                lines.splice(case.expected_lines.clone(), new);
            }
        }
        lines.join("\n") + "\n"
    }
}

impl Case {
    /// The function in front of line number `end` (from 0).
    fn new(parsed: Parsed, lines: &[String], end: usize) -> Case {
        let start = parsed.lines.start as usize - 1;
        let close = parsed.lines.end as usize;
        let mut errors = Vec::new();
        for (index, line) in lines[start..close].iter().enumerate() {
            for text in line.split("; error: ").skip(1) {
                errors.push(((start + index) as u32 + 1, text.trim().to_string()));
            }
        }
        let mut runs = Vec::new();
        let mut expected: Option<String> = None;
        let mut expected_lines = close..close;
        for (index, line) in lines[close..end].iter().enumerate() {
            let number = close + index;
            let Some(comment) = line.strip_prefix(';') else {
                if expected.is_some() {
                    break;
                }
                continue;
            };
            let comment = comment.strip_prefix(' ').unwrap_or(comment);
            if let Some(text) = &mut expected {
                text.push_str(comment);
                text.push('\n');
                expected_lines.end = number + 1;
            } else if comment.trim() == "---" {
                expected = Some(String::new());
                expected_lines = number..number + 1;
            } else if let Some(run) = comment.strip_prefix("run: ") {
                runs.push((number as u32 + 1, run.trim().to_string()));
                expected_lines = number + 1..number + 1;
            }
        }
        Case { parsed, errors, runs, expected, expected_lines }
    }

    /// Compares what the verifier says with the `; error:` comments.
    pub fn check_errors(&self) -> Result<(), String> {
        let found = match verify(&self.parsed.function) {
            Ok(()) => Vec::new(),
            Err(errors) => errors.0,
        };
        let mut expected = self.errors.clone();
        let mut message = String::new();
        for error in found {
            let line = self.line_of(&error);
            match expected.iter().position(|(other, text)| *other == line && error.message.contains(text.as_str())) {
                Some(index) => drop(expected.remove(index)),
                None => writeln!(message, "line {line}: unexpected error: {}\n    {}", error.message, error.line)
                    .expect("writing to a string does not fail"),
            }
        }
        for (line, text) in expected {
            writeln!(message, "line {line}: missing error: {text}").expect("writing to a string does not fail");
        }
        if message.is_empty() { Ok(()) } else { Err(message) }
    }

    /// Interprets what the `; run:` lines say, with this case's function or what became of it.
    pub fn check_runs(&self, function: &Function) -> Result<(), String> {
        let errors: Vec<String> = self.runs.iter().filter_map(|(_, run)| check_run(function, run).err()).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
    }

    /// The line that an error is about.
    fn line_of(&self, error: &VerifyError) -> u32 {
        let lines = &self.parsed.lines;
        let line = match error.entity {
            Entity::Function => Some(&lines.start),
            Entity::Block(block) => lines.blocks.get(&block),
            Entity::Inst(inst) => lines.insts.get(&inst),
            Entity::State(state) => lines.states.get(&state),
        };
        line.copied().unwrap_or(lines.start)
    }

    /// Printing and parsing again changes nothing.
    pub fn check_round_trip(&self) -> Result<(), String> {
        let text = self.parsed.function.to_string();
        let again = parse_functions(&text).map_err(|error| format!("the printed function: {error}\n{text}"))?;
        match again.as_slice() {
            [parsed] if parsed.function.to_string() == text => Ok(()),
            _ => Err(format!("printed and parsed, the function is another one:\n{text}")),
        }
    }
}

/// Runs the files (`*.ir`, in subdirectories too) that `select` chooses, and panics with all that went wrong.
///
/// Each function makes the round trip through text and has exactly the expected errors; one without errors does what
/// its `; run:` lines say. Then `test` is called. What it returns is compared with the expected output, if it is a text.
pub fn run_directory(
    directory: &Path,
    select: impl Fn(&TestFile) -> bool,
    mut test: impl FnMut(&TestFile, &Case) -> Result<Option<String>, String>,
) {
    let mut paths = Vec::new();
    find_files(directory, &mut paths);
    paths.sort();
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let (mut failures, mut count) = (String::new(), 0);
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a test file can be read");
        let file = match TestFile::parse(&path, &text) {
            Ok(file) => file,
            Err(error) => {
                failures.push_str(&error);
                failures.push('\n');
                continue;
            }
        };
        if !select(&file) {
            continue;
        }
        let mut outputs = Vec::new();
        for case in &file.cases {
            count += 1;
            let result = run_case(&file, case, bless, &mut test);
            let output = result.unwrap_or_else(|error| {
                let name = &case.parsed.function.name;
                let line = case.parsed.lines.start;
                writeln!(failures, "{}:{line}: {name}\n{error}", path.display())
                    .expect("writing to a string does not fail");
                None
            });
            outputs.push(output);
        }
        if bless {
            let blessed = file.with_expected(&outputs);
            if blessed != text {
                std::fs::write(&path, blessed).expect("a test file can be written");
            }
        }
    }
    assert!(failures.is_empty(), "{failures}(BLESS=1 rewrites expected outputs)");
    assert!(count > 0, "no test in {}", directory.display());
}

/// Runs one function; returns the output to be blessed.
fn run_case(
    file: &TestFile,
    case: &Case,
    bless: bool,
    test: &mut impl FnMut(&TestFile, &Case) -> Result<Option<String>, String>,
) -> Result<Option<String>, String> {
    case.check_round_trip()?;
    case.check_errors()?;
    if !case.errors.is_empty() {
        return Ok(None);
    }
    case.check_runs(&case.parsed.function)?;
    let output = test(file, case)?;
    match (&output, &case.expected) {
        (Some(output), Some(expected)) if !bless && output.trim_end() != expected.trim_end() => {
            Err(format!("expected:\n{expected}found:\n{output}"))
        }
        (Some(output), None) if !bless => Err(format!("no expected output; found:\n{output}")),
        (None, Some(_)) => Err("an expected output, but this test has none".to_string()),
        _ => Ok(output),
    }
}

fn find_files(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("no tests in {}: {error}", directory.display()));
    for entry in entries {
        let path = entry.expect("a directory can be read").path();
        if path.is_dir() {
            find_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "ir") {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
; test: pass nothing
; about: a file

fn first(I64) {
b0(v0: I64):
    v1 = BoxInt v0
    Return v1
}
; run: first(1) == 1
; run: first(2) == 2
; ---
; old

fn second(I64) {
b0(v0: I64):
    Return v0 ; error: an object ; error: is expected
}
";

    #[test]
    fn reads_directives_and_expectations() {
        let file = TestFile::parse(Path::new("x.ir"), TEXT).expect("it parses");
        assert_eq!(file.directive("test"), Some("pass nothing"));
        assert_eq!(file.cases[0].runs, [(9, "first(1) == 1".to_string()), (10, "first(2) == 2".to_string())]);
        assert_eq!(file.cases[0].expected.as_deref(), Some("old\n"));
        assert_eq!(file.cases[1].expected, None);
        let errors = &file.cases[1].errors;
        assert_eq!(errors[..], [(16, "an object".to_string()), (16, "is expected".to_string())]);
    }

    #[test]
    fn blesses() {
        let file = TestFile::parse(Path::new("x.ir"), TEXT).expect("it parses");
        let blessed = file.with_expected(&[Some("new\n  text\n".to_string()), Some("more\n".to_string())]);
        let expected = TEXT.replace("; old\n", "; new\n;   text\n") + "; ---\n; more\n";
        assert_eq!(blessed, expected);
    }

    #[test]
    fn tells_missing_and_unexpected_errors() {
        let file = TestFile::parse(Path::new("x.ir"), TEXT).expect("it parses");
        assert_eq!(file.cases[0].check_errors(), Ok(()));
        // One error on the line, two expected.
        assert_eq!(file.cases[1].check_errors(), Err("line 16: missing error: is expected\n".to_string()));
        let without = TestFile::parse(Path::new("x.ir"), &TEXT.replace("; error", "; eror")).expect("it parses");
        let message = without.cases[1].check_errors().expect_err("there is an error");
        assert!(message.starts_with("line 16: unexpected error: value v0 is I64, an object is expected"), "{message}");
    }
}
