//! Writes forms of a unit into files: `<dir>/<unit>.v<version>/<number>-<label>.<stage>`.
//!
//! A loop's unit is named for the function and the offset of the loop: `f_m.py_3_-loop24`. The number orders the files of a compilation; labels are pass names, such as `remove_guards.after`.

use crate::options::{Options, Stage, Stages};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// What to dump, of which units, where to.
#[derive(Clone, Debug, Default)]
pub struct DumpSettings {
    stages: Stages,
    filter: String,
    directory: PathBuf,
}

impl DumpSettings {
    /// From the options.
    pub fn new(options: &Options) -> Self {
        DumpSettings {
            stages: options.dump.clone(),
            filter: options.dump_for.clone(),
            directory: PathBuf::from(&options.dump_dir),
        }
    }

    /// The dump of one compilation.
    pub fn open(&self, unit: &str, version: u32) -> Dump<'_> {
        let wanted = !self.stages.0.is_empty() && unit.contains(&self.filter);
        let name: String =
            unit.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
        Dump { settings: self, wanted, directory: self.directory.join(format!("{name}.v{version}")), next: 0 }
    }
}

/// Files of one compilation.
pub struct Dump<'a> {
    settings: &'a DumpSettings,
    wanted: bool,
    directory: PathBuf,
    next: u32,
}

static HAS_COMPLAINED: AtomicBool = AtomicBool::new(false);

impl Dump<'_> {
    /// Whether this stage is to be written: making the text can be expensive.
    pub fn wants(&self, stage: Stage) -> bool {
        self.wanted && self.settings.stages.contains(stage)
    }

    /// Writes one form. Failing to write is said once and never an error.
    pub fn write(&mut self, stage: Stage, label: &str, text: impl FnOnce() -> String) {
        if !self.wants(stage) {
            return;
        }
        let file = self.directory.join(format!("{:02}-{label}.{}", self.next, stage.name()));
        self.next += 1;
        let result = std::fs::create_dir_all(&self.directory).and_then(|()| std::fs::write(&file, text()));
        if let Err(error) = result
            && !HAS_COMPLAINED.swap(true, Ordering::Relaxed)
        {
            crate::log::LOG.notice(&format!("cannot write {}: {error}", file.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_only_what_the_filter_lets_through() {
        let directory = std::env::temp_dir().join(format!("coluber-dump-{}", std::process::id()));
        let settings =
            DumpSettings { stages: Stages(vec![Stage::Ir]), filter: "app.main".into(), directory: directory.clone() };
        settings.open("lib.other", 1).write(Stage::Ir, "built", || unreachable!("not wanted"));
        let mut dump = settings.open("app.main.<locals>.f", 2);
        dump.write(Stage::Clif, "lowered", || unreachable!("not wanted"));
        dump.write(Stage::Ir, "built", || "fn".into());
        let text = std::fs::read_to_string(directory.join("app.main._locals_.f.v2/00-built.ir")).unwrap();
        assert_eq!(text, "fn");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
