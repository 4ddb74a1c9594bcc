//! The table of units and what happens to them.
//!
//! All methods are quick and call nothing outside this crate, so the caller may hold one lock around them. The caller
//! reports what it saw (heat, results, exits, invalidations) and does what the answer says.

use crate::bailout::{Bailout, BailoutReason};
use crate::log::{LOG, Topic};
use crate::policy::{Policy, Reaction};
use crate::stats::{Counter, Stats};
use crate::strategy::{Decision, ExitEvent, Strategy, UnitView, consider};
use crate::unit::{self, Event, State, Unit, UnitEntry, UnitId, UnitKey};
use coluber_bytecode::ExitFact;
use std::collections::HashMap;
use std::sync::Arc;

/// What people call a unit; asked for once, when it is first seen.
#[derive(Clone, Debug, Default)]
pub struct UnitIdentity {
    /// `module.qualname`.
    pub name: String,
    /// Source file.
    pub file: String,
    /// First line.
    pub line: u32,
    /// Code units of the code object.
    pub code_units: usize,
}

/// What to do after heat was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeatAction {
    /// Nothing, and nothing was new.
    Nothing,
    /// Nothing yet; the unit is on its way.
    Warming,
    /// Take a snapshot and submit it, or report a bailout.
    Compile(UnitId),
    /// It has code.
    Installed,
    /// It never will have code: this place need not be counted any more.
    Refused,
}

/// Facts of an installation.
#[derive(Clone, Copy, Debug)]
pub struct InstalledFacts {
    /// Bytes of code.
    pub code_bytes: u64,
    /// Bytecode instructions, inlined ones included.
    pub bytecodes: u64,
}

/// Units of dead code that stay in the statistics.
const MAX_REMEMBERED: usize = 500;

struct Entry {
    unit: Unit,
    code_units: usize,
    /// Extra heat the strategy asked to wait for.
    later: u32,
}

/// The units of one interpreter.
pub struct Engine {
    units: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_code: HashMap<u64, Vec<UnitId>>,
    policy: Policy,
    strategy: Arc<dyn Strategy>,
    stats: Arc<Stats>,
    samples: u64,
    /// Units of dead code in the table.
    remembered: usize,
    /// What exits of all units taught, by code and offset: a callee inlined into several units is learned about once.
    sites: HashMap<(usize, u32), Vec<ExitFact>>,
    /// What was said to the user.
    notified: Vec<&'static str>,
}

impl Engine {
    /// An engine without units.
    pub fn new(policy: Policy, strategy: Arc<dyn Strategy>, stats: Arc<Stats>) -> Self {
        Engine {
            units: Vec::new(),
            free: Vec::new(),
            by_code: HashMap::new(),
            policy,
            strategy,
            stats,
            samples: 0,
            remembered: 0,
            sites: HashMap::new(),
            notified: Vec::new(),
        }
    }

    /// The thresholds.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What compiles.
    pub fn strategy(&self) -> Arc<dyn Strategy> {
        self.strategy.clone()
    }

    /// Time goes by, counted in samples.
    pub fn tick(&mut self) {
        self.samples += 1;
    }

    /// The unit with this key.
    pub fn find(&self, key: &UnitKey) -> Option<UnitId> {
        self.by_code.get(&key.code)?.iter().copied().find(|id| self.get(*id).is_some_and(|unit| unit.key == *key))
    }

    /// All units of a code object.
    pub fn of_code(&self, code: u64) -> impl Iterator<Item = (UnitId, &Unit)> {
        let ids = self.by_code.get(&code).map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// A unit, unless it is gone.
    pub fn get(&self, id: UnitId) -> Option<&Unit> {
        Some(&self.units.get(id.0 as usize)?.as_ref()?.unit)
    }

    fn entry(&mut self, id: UnitId) -> Option<&mut Entry> {
        self.units.get_mut(id.0 as usize)?.as_mut()
    }

    /// All units.
    pub fn iter(&self) -> impl Iterator<Item = (UnitId, &Unit)> {
        self.units.iter().enumerate().filter_map(|(index, entry)| Some((UnitId(index as u32), &entry.as_ref()?.unit)))
    }

    fn find_or_add(&mut self, key: &UnitKey, describe: impl FnOnce() -> UnitIdentity) -> UnitId {
        if let Some(id) = self.find(key) {
            return id;
        }
        let identity = describe();
        let unit = Unit::new(key.clone(), identity.name, identity.file, identity.line);
        let entry = Some(Entry { unit, code_units: identity.code_units, later: 0 });
        let id = match self.free.pop() {
            Some(index) => {
                self.units[index as usize] = entry;
                UnitId(index)
            }
            None => {
                self.units.push(entry);
                UnitId(u32::try_from(self.units.len() - 1).expect("fewer than 2^32 units"))
            }
        };
        self.by_code.entry(key.code).or_default().push(id);
        id
    }

    /// A unit was seen running or starting, `amount` times.
    pub fn heat(&mut self, key: &UnitKey, amount: u32, describe: impl FnOnce() -> UnitIdentity) -> HeatAction {
        let id = self.find_or_add(key, describe);
        let samples = self.samples;
        let policy = &self.policy;
        let Some(Some(entry)) = self.units.get_mut(id.0 as usize) else {
            return HeatAction::Nothing;
        };
        let unit = &mut entry.unit;
        match unit.state() {
            State::Cold | State::Invalidated => {}
            State::Hot | State::Queued => return HeatAction::Nothing,
            State::Installed(_) => return HeatAction::Installed,
            State::Refused(_) => return HeatAction::Refused,
        }
        unit.heat = policy.cooled(unit.heat, samples.saturating_sub(unit.heated_at)).saturating_add(amount);
        unit.heated_at = samples;
        let threshold = match key.entry {
            UnitEntry::Function => policy.function_heat,
            UnitEntry::Loop(_) => policy.loop_heat,
        };
        LOG.line(Topic::Heat, || format!("{} ({}): {}", unit.name, key.entry, unit.heat));
        if unit.heat < threshold.saturating_add(entry.later) {
            return HeatAction::Warming;
        }
        let refusal = if entry.code_units > policy.max_instructions {
            Some(BailoutReason::TooLarge { instructions: entry.code_units, limit: policy.max_instructions })
        } else {
            let view = UnitView {
                name: &unit.name,
                file: &unit.file,
                entry: key.entry,
                code_units: entry.code_units,
                versions: unit.versions,
            };
            match consider(&*self.strategy, &view) {
                Decision::Compile => None,
                Decision::Ignore => Some(BailoutReason::Ignored),
                Decision::Later(more) => {
                    entry.later = entry.later.saturating_add(more.max(1));
                    return HeatAction::Warming;
                }
            }
        };
        self.stats.add(Counter::UnitsHot, 1);
        self.advance(id, Event::BecameHot);
        if let Some(reason) = refusal {
            self.bailed_out(id, Bailout::new(reason));
            return HeatAction::Refused;
        }
        HeatAction::Compile(id)
    }

    /// Moves a unit on. An impossible event is a bug, counted and survived.
    fn advance(&mut self, id: UnitId, event: Event) -> bool {
        let Some(entry) = self.entry(id) else {
            return false;
        };
        let result = entry.unit.advance(event);
        debug_assert!(result.is_ok(), "{result:?}");
        result.is_ok()
    }

    /// A snapshot goes to the compiler. Returns the number of the version.
    pub fn submitted(&mut self, id: UnitId) -> Option<u32> {
        self.advance(id, Event::Submitted);
        let unit = self.get(id)?;
        LOG.line(Topic::Compile, || format!("{} ({}), version {}", unit.name, unit.key.entry, unit.versions));
        Some(unit.versions)
    }

    /// It was decided not to compile a unit.
    pub fn bailed_out(&mut self, id: UnitId, mut bailout: Bailout) {
        let invalidations = self.get(id).map_or(0, |unit| unit.invalidations);
        if bailout.reason == BailoutReason::Invalidated && invalidations >= self.policy.max_invalidations {
            bailout = Bailout::new(BailoutReason::DoesNotPay);
        }
        self.stats.count_bailout(&bailout);
        self.notify(id, &bailout);
        if let Some(unit) = self.get(id) {
            let place = bailout.offset.map_or(String::new(), |_| format!(" in {}", unit.file));
            LOG.line(Topic::Bailout, || format!("{} ({}): {bailout}{place}", unit.name, unit.key.entry));
        }
        self.advance(id, Event::BailedOut(bailout));
    }

    /// Says once of each sort what the user has to know.
    fn notify(&mut self, id: UnitId, bailout: &Bailout) {
        let Some(notice) = bailout.reason.notice() else { return };
        if self.notified.contains(&notice) {
            return;
        }
        self.notified.push(notice);
        let name = self.get(id).map_or("", |unit| unit.name.as_str());
        let what = bailout.to_string().replace('\n', " ");
        LOG.notice(&format!("{notice}: {name}: {what}"));
    }

    /// A unit's newest version is in use.
    pub fn installed(&mut self, id: UnitId, facts: InstalledFacts) {
        let Some(entry) = self.entry(id) else { return };
        let is_first = entry.unit.installed.is_none() && entry.unit.code_bytes == 0;
        entry.unit.code_bytes = facts.code_bytes;
        entry.unit.bytecodes = facts.bytecodes;
        self.stats.add(Counter::UnitsCompiled, u64::from(is_first));
        self.stats.add(Counter::VersionsInstalled, 1);
        self.stats.add(Counter::CodeBytes, facts.code_bytes);
        self.stats.add(Counter::CompiledBytecodes, facts.bytecodes);
        self.advance(id, Event::Installed);
        if let Some(unit) = self.get(id) {
            LOG.line(Topic::Install, || {
                format!("{} ({}), version {}: {} bytes", unit.name, unit.key.entry, unit.versions, facts.code_bytes)
            });
        }
    }

    /// An assumption of the installed version broke. `true`: the unit is given up.
    pub fn invalidated(&mut self, id: UnitId) -> bool {
        if self.get(id).is_none_or(|unit| unit.installed.is_none()) {
            return false;
        }
        self.stats.add(Counter::Invalidations, 1);
        self.advance(id, Event::Invalidated);
        let Some(unit) = self.get(id) else {
            return false;
        };
        LOG.line(Topic::Invalidate, || format!("{} ({})", unit.name, unit.key.entry));
        if unit.invalidations > self.policy.max_invalidations && *unit.state() == State::Invalidated {
            self.advance(id, Event::Retired(Bailout::new(BailoutReason::DoesNotPay)));
            self.stats.add(Counter::Retired, 1);
            return true;
        }
        false
    }

    /// The code of a unit was taken out of use because another tool listens to what it runs. It may come back.
    pub fn stood_back(&mut self, id: UnitId) -> bool {
        if let Some(unit) = self.get(id) {
            LOG.line(Topic::Retire, || format!("{} ({}): another tool listens", unit.name, unit.key.entry));
        }
        let is_installed = self.get(id).is_some_and(|unit| matches!(unit.state(), State::Installed(_)));
        self.advance(id, if is_installed { Event::Evicted } else { Event::Invalidated })
    }

    /// Whether the code of a unit may be taken out of use because nobody used it; if so, it counts as done.
    pub fn evict(&mut self, id: UnitId) -> bool {
        if !self.get(id).is_some_and(|unit| matches!(unit.state(), State::Installed(_))) {
            return false;
        }
        self.stats.add(Counter::Evictions, 1);
        if let Some(unit) = self.get(id) {
            LOG.line(Topic::Retire, || format!("{} ({}): not used for long", unit.name, unit.key.entry));
        }
        self.advance(id, Event::Evicted)
    }

    /// Guards of the installed version failed often. `Recompile`: take a snapshot (with the unit's exits) and submit
    /// it; `Retire`: close the doors.
    pub fn exited(&mut self, id: UnitId, event: &ExitEvent<'_>, facts: impl IntoIterator<Item = ExitFact>) -> Reaction {
        let Some(unit) = self.get(id) else {
            return Reaction::Keep;
        };
        if *unit.state() != State::Installed(event.version) {
            return Reaction::Keep;
        }
        let name = unit.name.clone();
        let next_is_last = self.policy.is_last(event.version + 1);
        let reaction = self
            .strategy
            .on_exit(event)
            .unwrap_or_else(|| self.policy.on_exit(event.version, event.entries, event.exits));
        match reaction {
            Reaction::Keep => {}
            Reaction::Recompile => {
                self.stats.add(Counter::Recompilations, 1);
                let mut facts: Vec<ExitFact> = facts.into_iter().collect();
                if next_is_last {
                    // However rare, what failed is not tried again.
                    for fact in &mut facts {
                        fact.count = fact.count.max(self.policy.exits_to_recompile);
                    }
                }
                for fact in &facts {
                    unit::learn(self.sites.entry((fact.code, fact.offset)).or_default(), fact.clone());
                }
                if let Some(entry) = self.entry(id) {
                    entry.unit.learn(facts);
                }
                LOG.line(Topic::Exit, || {
                    let (exits, entries, count) = (event.exits, event.entries, event.count);
                    format!("{name}: {exits} exits in {entries} entries, {} {count} times: again", event.reason)
                });
            }
            Reaction::Retire => {
                self.stats.add(Counter::Retired, 1);
                self.advance(id, Event::Retired(Bailout::new(BailoutReason::DoesNotPay)));
                LOG.line(Topic::Retire, || format!("{name}: {} exits in {} entries", event.exits, event.entries));
            }
        }
        reaction
    }

    /// What exits of all units taught; codes by address.
    pub fn exit_profile(&self) -> Vec<ExitFact> {
        self.sites.values().flatten().cloned().collect()
    }

    /// A code object died: its units are gone, but the first ones that had code stay in the statistics.
    pub fn forget_code(&mut self, code: u64) -> Vec<UnitId> {
        let ids = self.by_code.remove(&code).unwrap_or_default();
        self.sites.retain(|(known, _), _| *known as u64 != code);
        let mut remembered = self.remembered;
        for id in &ids {
            let Some(entry) = self.entry(*id) else {
                continue;
            };
            if entry.unit.versions > 0 && remembered < MAX_REMEMBERED {
                entry.unit.key.code = 0;
                entry.unit.installed = None;
                // What only a next version would need.
                entry.unit.exits = Vec::new();
                remembered += 1;
            } else {
                self.units[id.0 as usize] = None;
                self.free.push(id.0);
            }
        }
        self.remembered = remembered;
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::strategy::{Artifact, CompileInput, Osr, Services};

    struct Willing;
    impl Strategy for Willing {
        fn name(&self) -> &'static str {
            "willing"
        }
        fn doc(&self) -> &'static str {
            "compiles functions, not loops named otherwise"
        }
        fn consider(&self, unit: &UnitView<'_>) -> Decision {
            match unit.name {
                "m.ignored" => Decision::Ignore,
                "m.later" if unit.code_units == 10 => Decision::Later(33),
                _ => Decision::Compile,
            }
        }
        fn compile(&self, _: &CompileInput, _: &Services) -> Result<Artifact, Bailout> {
            unreachable!("not compiled in these tests")
        }
        fn osr(&self) -> Option<&dyn Osr> {
            None
        }
    }

    fn engine() -> Engine {
        let policy = Policy::new(&Options::new(&["quick"]).unwrap());
        Engine::new(policy, Arc::new(Willing), Arc::default())
    }

    fn key(code: u64, entry: UnitEntry) -> UnitKey {
        UnitKey { code, globals: 1, builtins: 2, entry }
    }

    fn identity(name: &str) -> UnitIdentity {
        UnitIdentity { name: name.into(), file: "m.py".into(), line: 1, code_units: 10 }
    }

    #[test]
    fn a_unit_becomes_hot_once() {
        let mut engine = engine();
        let key = key(1, UnitEntry::Function);
        assert_eq!(engine.heat(&key, 16, || identity("m.f")), HeatAction::Warming);
        let HeatAction::Compile(id) = engine.heat(&key, 16, || unreachable!()) else { panic!("not hot") };
        assert_eq!(engine.heat(&key, 16, || unreachable!()), HeatAction::Nothing);
        assert_eq!(engine.submitted(id), Some(1));
        engine.installed(id, InstalledFacts { code_bytes: 100, bytecodes: 10 });
        assert_eq!(engine.heat(&key, 16, || unreachable!()), HeatAction::Installed);
        assert!(!engine.invalidated(id));
        assert_eq!(engine.heat(&key, 16, || unreachable!()), HeatAction::Warming);
    }

    #[test]
    fn different_globals_are_different_units() {
        let mut engine = engine();
        engine.heat(&key(1, UnitEntry::Function), 1, || identity("m.f"));
        let mut other = key(1, UnitEntry::Function);
        other.globals = 9;
        assert_eq!(engine.heat(&other, 1, || identity("m.f")), HeatAction::Warming);
        assert_eq!(engine.of_code(1).count(), 2);
    }

    #[test]
    fn what_the_strategy_ignores_is_refused_and_loops_need_the_ability() {
        let mut engine = engine();
        assert_eq!(engine.heat(&key(1, UnitEntry::Function), 32, || identity("m.ignored")), HeatAction::Refused);
        assert_eq!(engine.heat(&key(2, UnitEntry::Loop(4)), 32, || identity("m.f")), HeatAction::Refused);
        assert_eq!(engine.stats.bailouts()["ignored"], 2);
    }

    #[test]
    fn later_means_more_heat() {
        let mut engine = engine();
        assert_eq!(engine.heat(&key(1, UnitEntry::Function), 32, || identity("m.later")), HeatAction::Warming);
        assert_eq!(engine.heat(&key(1, UnitEntry::Function), 32, || unreachable!()), HeatAction::Warming);
    }

    #[test]
    fn exits_lead_to_another_version_that_knows_them() {
        let mut engine = engine();
        let HeatAction::Compile(id) = engine.heat(&key(1, UnitEntry::Function), 32, || identity("m.f")) else {
            panic!("not hot")
        };
        engine.submitted(id);
        engine.installed(id, InstalledFacts { code_bytes: 1, bytecodes: 1 });
        let event = ExitEvent { reason: "GuardInt", count: 200, version: 1, entries: 300, exits: 200 };
        let fact = ExitFact { code: 0, offset: 3, reason: "GuardInt".into(), count: 200, classes: Vec::new() };
        assert_eq!(engine.exited(id, &event, [fact]), Reaction::Recompile);
        assert_eq!(engine.get(id).unwrap().exits.len(), 1);
        assert_eq!(engine.submitted(id), Some(2));
        assert_eq!(engine.exited(id, &event, []), Reaction::Keep);
    }

    #[test]
    fn what_dies_while_it_is_compiled_is_given_up_in_the_end() {
        let mut engine = engine();
        let policy = engine.policy.clone();
        for _ in 0..policy.max_invalidations {
            let HeatAction::Compile(id) = engine.heat(&key(1, UnitEntry::Function), 1000, || identity("m.f")) else {
                panic!("it is hot again")
            };
            engine.bailed_out(id, Bailout::new(BailoutReason::Invalidated));
        }
        let HeatAction::Compile(id) = engine.heat(&key(1, UnitEntry::Function), 1000, || identity("m.f")) else {
            panic!("it is hot for the last time")
        };
        engine.bailed_out(id, Bailout::new(BailoutReason::Invalidated));
        assert!(matches!(engine.get(id).unwrap().state(), State::Refused(_)));
    }

    #[test]
    fn a_dead_code_object_makes_room() {
        let mut engine = engine();
        engine.heat(&key(1, UnitEntry::Function), 1, || identity("m.f"));
        engine.forget_code(1);
        assert_eq!(engine.iter().count(), 0);
        engine.heat(&key(2, UnitEntry::Function), 1, || identity("m.g"));
        assert_eq!(engine.units.len(), 1);
    }
}
