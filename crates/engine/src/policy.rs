//! The numbers behind every decision, in one place, and the decisions that are pure arithmetic.

use crate::options::{Hot, Options};

/// What to do with an installed unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Go on.
    Keep,
    /// Compile another version with the exit profile.
    Recompile,
    /// Take it out of use: it does not pay.
    Retire,
}

/// Thresholds.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Heat at which a function is compiled.
    pub function_heat: u32,
    /// Heat at which a loop is compiled.
    pub loop_heat: u32,
    /// Heat of being seen once, at one's own entry. What is compiled has been seen for about as long as compiling it takes, 5 ms:
    /// with half of that, docutils' tests, which run for 3 s, took 8.
    pub seen_heat: u32,
    /// Heat for the function of a loop that was seen: time is spent in the loop, but entering at the start of the
    /// function is better when it is called often.
    pub enclosing_heat: u32,
    /// Heat of one counted call or back-edge. Without the deterministic modes only back-edges of loops around and beside
    /// a loop that has code are counted: its door makes them heard.
    pub event_heat: u32,
    /// After so many samples heat that was not renewed counts half.
    pub heat_half_life_samples: u64,
    /// At so many exits the next version is wanted; five times as many with each version,
    pub exits_to_recompile: u64,
    /// but never more than so many: what an exit costs adds up to a compilation by then.
    pub most_exits_to_recompile: u64,
    /// Fewer exits than this in a thousand entries are no reason for another version.
    pub min_exits_permille: u64,
    /// Most versions of one unit. The last one believes nothing that ever failed.
    pub max_versions: u32,
    /// Exits of the last version after which it is judged.
    pub exits_to_judge: u64,
    /// A unit without versions left that exits in more than this many of a thousand entries does not pay.
    pub max_exits_permille: u64,
    /// Invalidations in a row after which a unit is refused.
    pub max_invalidations: u32,
    /// Code larger than this is not compiled.
    pub max_instructions: usize,
}

impl Policy {
    /// For these settings.
    pub fn new(options: &Options) -> Self {
        let base = Policy {
            function_heat: 32,
            loop_heat: 32,
            seen_heat: 7,
            enclosing_heat: 4,
            event_heat: 1,
            heat_half_life_samples: 2_000,
            exits_to_recompile: 200,
            most_exits_to_recompile: 5_000,
            min_exits_permille: 10,
            max_versions: 8,
            exits_to_judge: 2_000,
            max_exits_permille: 200,
            max_invalidations: 8,
            max_instructions: 20_000,
        };
        match options.hot {
            Hot::Sample => base,
            Hot::Calls(calls) => Policy {
                function_heat: calls,
                loop_heat: calls,
                seen_heat: 0,
                enclosing_heat: 0,
                heat_half_life_samples: u64::MAX,
                ..base
            },
        }
    }

    /// Heat that is left of `heat` after `samples` more samples.
    pub fn cooled(&self, heat: u32, samples: u64) -> u32 {
        let halvings = samples / self.heat_half_life_samples;
        if halvings >= 32 { 0 } else { heat >> halvings }
    }

    /// After how many exits `version` (the first is 1) is looked at.
    pub fn exit_limit(&self, version: u32) -> u64 {
        if self.is_last(version) {
            return self.exits_to_judge;
        }
        let limit = self.exits_to_recompile.saturating_mul(5_u64.saturating_pow(version.max(1) - 1));
        limit.min(self.most_exits_to_recompile)
    }

    /// Whether no version follows this one.
    pub fn is_last(&self, version: u32) -> bool {
        version >= self.max_versions
    }

    /// What follows when `version` was left `exits` times (benign exits not counted) in `entries` entries.
    pub fn on_exit(&self, version: u32, entries: u64, exits: u64) -> Reaction {
        let exceeds = |permille: u64| exits.saturating_mul(1000) > entries.saturating_mul(permille);
        if exits < self.exit_limit(version) {
            Reaction::Keep
        } else if !self.is_last(version) && exceeds(self.min_exits_permille) {
            Reaction::Recompile
        } else if self.is_last(version) && exceeds(self.max_exits_permille) {
            Reaction::Retire
        } else {
            Reaction::Keep
        }
    }
}

/// The sampling period, which adapts to how much there is to find.
///
/// 1 ms while heat is new, doubled after [`PATIENCE_SAMPLES`] samples without news, to 100 ms at most (nothing
/// measurable is left at 5 ms: 3.14.10 and 3.15.2, 2 vCPU, 2026-11-20). News brings it back.
#[derive(Clone, Debug)]
pub struct Period {
    current_us: u64,
    without_news: u32,
}

/// The shortest period.
pub const SHORTEST_PERIOD_US: u64 = 1_000;
/// The longest period.
pub const LONGEST_PERIOD_US: u64 = 100_000;
/// Samples without news before the period doubles.
pub const PATIENCE_SAMPLES: u32 = 150;
/// The same beyond 10 ms, where a sample costs nothing but waiting is long.
const PATIENCE_SLOW_SAMPLES: u32 = 10;

impl Default for Period {
    fn default() -> Self {
        Period { current_us: SHORTEST_PERIOD_US, without_news: 0 }
    }
}

impl Period {
    /// In microseconds.
    pub fn us(&self) -> u64 {
        self.current_us
    }

    /// A unit became hot, or one that nobody knew was seen.
    pub fn on_news(&mut self) {
        *self = Period::default();
    }

    /// A sample found nothing new, or the process was idle.
    pub fn on_nothing_new(&mut self) {
        self.without_news += 1;
        let patience = if self.current_us < 10_000 { PATIENCE_SAMPLES } else { PATIENCE_SLOW_SAMPLES };
        if self.without_news >= patience {
            self.without_news = 0;
            self.current_us = (self.current_us * 2).min(LONGEST_PERIOD_US);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::new(&Options::new(&["quick"]).unwrap())
    }

    #[test]
    fn halves_heat_that_is_not_renewed() {
        let policy = policy();
        assert_eq!(policy.cooled(8, 0), 8);
        assert_eq!(policy.cooled(8, policy.heat_half_life_samples * 2), 2);
        assert_eq!(policy.cooled(8, u64::MAX), 0);
    }

    #[test]
    fn asks_for_a_new_version_later_each_time_and_gives_up() {
        let policy = policy();
        assert_eq!(policy.on_exit(1, 1_000, 199), Reaction::Keep);
        assert_eq!(policy.on_exit(1, 1_000, 200), Reaction::Recompile);
        assert_eq!(policy.on_exit(1, 100_000, 200), Reaction::Keep);
        assert_eq!(policy.on_exit(2, 1_000, 200), Reaction::Keep);
        assert_eq!(policy.on_exit(2, 1_000, 1_000), Reaction::Recompile);
        let last = policy.exit_limit(policy.max_versions);
        assert_eq!(policy.on_exit(policy.max_versions, last, last), Reaction::Retire);
        assert_eq!(policy.on_exit(policy.max_versions, last * 100, last), Reaction::Keep);
    }

    #[test]
    fn backs_off_and_comes_back() {
        let mut period = Period::default();
        for _ in 0..2_000 {
            period.on_nothing_new();
        }
        assert_eq!(period.us(), LONGEST_PERIOD_US);
        period.on_news();
        assert_eq!(period.us(), SHORTEST_PERIOD_US);
    }
}
