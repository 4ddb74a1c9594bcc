//! Running other programs: every failure names the command line and shows what the program said.

use std::process::{Command, ExitStatus, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// The command as one would type it.
pub fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| {
        let word = word.to_string_lossy();
        match word.lines().next() {
            // A program given as an argument: its first line will do.
            Some(line) if line.len() < word.trim_end().len() => format!("{line:?}..."),
            _ if word.contains(char::is_whitespace) => format!("{word:?}"),
            _ => word.into_owned(),
        }
    }));
    words.join(" ")
}

/// Runs with stdout going to stderr, because stdout belongs to the answer of our own command.
pub fn run_status(command: &mut Command) -> Result<ExitStatus> {
    command.stdout(Stdio::from(std::io::stderr()));
    command.status().with_context(|| format!("cannot start `{}`", describe(command)))
}

/// Runs with everything captured; a failure shows the captured output.
pub fn run_quiet(command: &mut Command) -> Result<String> {
    let output = run_captured(command)?;
    if !output.status.success() {
        bail!(
            "`{}` failed: {}\n{}{}",
            describe(command),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs with everything captured, whatever the outcome.
pub fn run_captured(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{}`", describe(command)))
}

/// A line of progress on stderr.
pub fn progress(text: impl std::fmt::Display) {
    eprintln!("coluber-dev: {text}");
}
