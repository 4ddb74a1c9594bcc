//! The counters: one table, most important first.
//!
//! Counters are added to from any thread. Bailouts and exits are counted by reason, beside the table.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)*) => {
        /// A counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Counter {
            /// All counters, most important first.
            pub const ALL: &[Counter] = &[$(Counter::$variant),*];

            /// The key in the statistics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Counter::$variant => $name,)*
                }
            }

            /// What it counts.
            pub fn doc(self) -> &'static str {
                match self {
                    $(Counter::$variant => concat!($($doc),+),)*
                }
            }
        }
    };
}

counters! {
    /// Units whose code was installed (each once, however many versions).
    UnitsCompiled = "units_compiled";
    /// Installations, all versions.
    VersionsInstalled = "versions_installed";
    /// Bytes of machine code installed.
    CodeBytes = "code_bytes";
    /// Decisions not to compile a unit.
    Bailouts = "bailouts_total";
    /// Panics of the compiler: bugs.
    Panics = "panics";
    /// Installed units whose assumptions broke.
    Invalidations = "invalidations";
    /// Compilations thrown away because an assumption broke before they were installed.
    StaleArtifacts = "stale_artifacts";
    /// Units compiled again because of their exits.
    Recompilations = "recompilations";
    /// Units taken out of use because they did not pay.
    Retired = "retired";
    /// Units whose code was not used and made room for other code.
    Evictions = "evictions";
    /// Samples taken.
    Samples = "samples";
    /// Samples that interrupted compiled code.
    SamplesInCompiledCode = "samples_in_compiled_code";
    /// Samples that found nothing to attribute heat to.
    SamplesElsewhere = "samples_elsewhere";
    /// Samples that were not taken because the one before had not run.
    SamplesSkipped = "samples_skipped";
    /// Units that became hot.
    UnitsHot = "units_hot";
    /// Time spent compiling, in nanoseconds.
    CompileNs = "compile_ns";
    /// The same in processor time: what it takes when the machine is busy with other things too.
    CompileCpuNs = "compile_cpu_ns";
    /// Bytecode instructions compiled, inlined ones included.
    CompiledBytecodes = "compiled_bytecodes";
    /// Time under the GIL for snapshots, in nanoseconds.
    SnapshotNs = "snapshot_ns";
    /// Time under the GIL for installing, in nanoseconds.
    InstallNs = "install_ns";
}

/// The counters of a process.
pub struct Stats {
    counters: [AtomicU64; Counter::ALL.len()],
    bailouts: Mutex<BTreeMap<String, u64>>,
}

impl Default for Stats {
    fn default() -> Self {
        Stats { counters: std::array::from_fn(|_| AtomicU64::new(0)), bailouts: Mutex::default() }
    }
}

impl Stats {
    /// Adds to a counter.
    pub fn add(&self, counter: Counter, amount: u64) {
        self.counters[counter as usize].fetch_add(amount, Ordering::Relaxed);
    }

    /// The counter's value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].load(Ordering::Relaxed)
    }

    /// Counts a bailout.
    pub fn count_bailout(&self, bailout: &crate::Bailout) {
        self.add(Counter::Bailouts, 1);
        if matches!(bailout.reason, crate::BailoutReason::Internal(_)) {
            self.add(Counter::Panics, 1);
        }
        let mut bailouts = self.bailouts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *bailouts.entry(bailout.reason.name()).or_default() += 1;
    }

    /// Bailouts by reason.
    pub fn bailouts(&self) -> BTreeMap<String, u64> {
        self.bailouts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Share of the samples that interrupted compiled code; `None` before the first sample.
    pub fn compiled_time_share(&self) -> Option<f64> {
        let samples = self.get(Counter::Samples);
        (samples > 0).then(|| self.get(Counter::SamplesInCompiledCode) as f64 / samples as f64)
    }

    /// Back to zero.
    pub fn reset(&self) {
        for counter in &self.counters {
            counter.store(0, Ordering::Relaxed);
        }
        self.bailouts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bailout, BailoutReason};

    #[test]
    fn names_are_unique_and_documented() {
        let names: std::collections::BTreeSet<&str> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        assert_eq!(names.len(), Counter::ALL.len());
        assert!(Counter::ALL.iter().all(|counter| !counter.doc().is_empty()));
    }

    #[test]
    fn counts_bailouts_by_reason() {
        let stats = Stats::default();
        stats.count_bailout(&Bailout::new(BailoutReason::Internal("index out of bounds".into())));
        stats.count_bailout(&Bailout::new(BailoutReason::Ignored));
        stats.count_bailout(&Bailout::new(BailoutReason::Ignored));
        assert_eq!(stats.get(Counter::Panics), 1);
        assert_eq!(stats.bailouts()["ignored"], 2);
        assert_eq!(stats.compiled_time_share(), None);
    }
}
