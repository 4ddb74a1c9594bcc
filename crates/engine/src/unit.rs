//! The life of one unit.
//!
//! ```text
//!            hot enough            submitted               installed
//!     Cold ────────────▶ Hot ────────────────▶ Queued ────────────────▶ Installed(n)
//!      ▲                  │                     │  ▲                     │   │   │
//!      │ a reason of      │ bailout             │  │ a better version    │   │   │ an assumption broke
//!      │ the moment       ▼                     ▼  │ is wanted (n stays  │   │   ▼
//!      └───────────── Refused(why) ◀──────────── ──┴─ in use meanwhile) ─┘   │  Invalidated ── hot enough ──▶ Hot
//!                          ▲                                                 │      │
//!                          └───────────── does not pay ──────────────────────┘──────┘ too often
//! ```
//!
//! `Refused` is final for the code object, never for the process. While a unit with an installed version is
//! `Queued` again, [`Unit::installed`] says which version is in use.

use crate::Bailout;
use coluber_bytecode::{Entry, ExitFact};
use std::fmt;

/// Index of a unit in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitId(pub u32);

/// What makes a unit this one. The numbers are identities given by the caller (addresses), never looked behind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnitKey {
    /// The code object.
    pub code: u64,
    /// Its globals.
    pub globals: u64,
    /// Its builtins.
    pub builtins: u64,
    /// Where it is entered.
    pub entry: UnitEntry,
}

/// [`Entry`] without what only the snapshot knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnitEntry {
    /// At the start of the function.
    Function,
    /// At the loop header at this offset (code units).
    Loop(u32),
}

impl UnitEntry {
    /// Whether a snapshot's entry is this one.
    pub fn matches(self, entry: &Entry) -> bool {
        match (self, entry) {
            (UnitEntry::Function, Entry::Function) => true,
            (UnitEntry::Loop(offset), Entry::Loop { header, .. }) => offset == *header,
            _ => false,
        }
    }
}

impl fmt::Display for UnitEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnitEntry::Function => f.write_str("function"),
            UnitEntry::Loop(offset) => write!(f, "loop at offset {offset}"),
        }
    }
}

/// Where in its life a unit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Being watched.
    Cold,
    /// To be compiled, as soon as a snapshot is taken.
    Hot,
    /// A snapshot is with the compiler.
    Queued,
    /// This version (the first is 1) is in use.
    Installed(u32),
    /// An assumption broke; watched again.
    Invalidated,
    /// Will not be compiled.
    Refused(Bailout),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Cold => f.write_str("cold"),
            State::Hot => f.write_str("hot"),
            State::Queued => f.write_str("queued"),
            State::Installed(version) => write!(f, "installed (version {version})"),
            State::Invalidated => f.write_str("invalidated"),
            State::Refused(bailout) => write!(f, "refused: {bailout}"),
        }
    }
}

/// Something that happened to a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its heat reached the threshold.
    BecameHot,
    /// Its snapshot went to the compiler.
    Submitted,
    /// Its code is in use.
    Installed,
    /// It was decided not to compile it.
    BailedOut(Bailout),
    /// An assumption of its installed code broke.
    Invalidated,
    /// Its installed code was not used and made room for other code.
    Evicted,
    /// Its installed code was taken out of use for good.
    Retired(Bailout),
}

/// An event that cannot happen in the state: a bug of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IllegalEvent {
    /// The state.
    pub state: State,
    /// The event.
    pub event: Event,
}

/// One unit.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What makes it this one.
    pub key: UnitKey,
    /// `module.qualname`.
    pub name: String,
    /// Source file.
    pub file: String,
    /// First line.
    pub line: u32,
    /// Heat so far.
    pub heat: u32,
    /// Sample count at which `heat` was last brought up to date.
    pub heated_at: u64,
    /// Versions compiled so far; the number of the newest.
    pub versions: u32,
    /// The version in use.
    pub installed: Option<u32>,
    /// How often its assumptions broke.
    pub invalidations: u32,
    /// Bytes of code of the version in use.
    pub code_bytes: u64,
    /// Bytecode instructions of the version in use, inlined ones included.
    pub bytecodes: u64,
    /// What earlier versions learned.
    pub exits: Vec<ExitFact>,
    state: State,
}

impl Unit {
    /// A unit nobody knows anything about.
    pub fn new(key: UnitKey, name: String, file: String, line: u32) -> Self {
        Unit {
            key,
            name,
            file,
            line,
            heat: 0,
            heated_at: 0,
            versions: 0,
            installed: None,
            invalidations: 0,
            code_bytes: 0,
            bytecodes: 0,
            exits: Vec::new(),
            state: State::Cold,
        }
    }

    /// Where in its life it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Moves on. An event that a state does not know leaves everything as it was.
    pub fn advance(&mut self, event: Event) -> Result<(), IllegalEvent> {
        let next = match (&self.state, &event) {
            (State::Cold | State::Invalidated, Event::BecameHot) => State::Hot,
            (State::Hot | State::Installed(_), Event::Submitted) => {
                self.versions += 1;
                State::Queued
            }
            (State::Queued, Event::Installed) => {
                self.installed = Some(self.versions);
                State::Installed(self.versions)
            }
            (State::Hot | State::Queued, Event::BailedOut(bailout)) => {
                match (self.installed, bailout.reason.is_passing()) {
                    // A better version was wanted and is not to be had: the one in use stays.
                    (Some(version), _) => State::Installed(version),
                    (None, true) => {
                        self.heat = 0;
                        self.invalidations += u32::from(bailout.reason == crate::BailoutReason::Invalidated);
                        State::Cold
                    }
                    (None, false) => State::Refused(bailout.clone()),
                }
            }
            (State::Installed(_), Event::BailedOut(_)) => self.state.clone(),
            (State::Installed(_), Event::Invalidated) => {
                self.close();
                State::Invalidated
            }
            (State::Installed(_), Event::Evicted) => {
                self.installed = None;
                self.heat = 0;
                State::Cold
            }
            (State::Queued, Event::Invalidated) if self.installed.is_some() => {
                self.close();
                State::Queued
            }
            (State::Installed(_) | State::Invalidated | State::Queued, Event::Retired(bailout)) => {
                self.installed = None;
                State::Refused(bailout.clone())
            }
            _ => {
                return Err(IllegalEvent { state: self.state.clone(), event });
            }
        };
        self.state = next;
        Ok(())
    }

    fn close(&mut self) {
        self.installed = None;
        self.invalidations += 1;
        self.heat = 0;
    }

    /// Adds what a version learned at its exits.
    pub fn learn(&mut self, facts: impl IntoIterator<Item = ExitFact>) {
        for fact in facts {
            learn(&mut self.exits, fact);
        }
    }
}

/// Adds a fact to a profile: counts of the same site and reason add up, classes are united.
pub fn learn(profile: &mut Vec<ExitFact>, fact: ExitFact) {
    let same =
        |known: &&mut ExitFact| known.code == fact.code && known.offset == fact.offset && known.reason == fact.reason;
    match profile.iter_mut().find(same) {
        Some(known) => {
            known.count += fact.count;
            for class in fact.classes {
                if !known.classes.contains(&class) {
                    known.classes.push(class);
                }
            }
        }
        None => profile.push(fact),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BailoutReason;

    fn unit() -> Unit {
        let key = UnitKey { code: 1, globals: 2, builtins: 3, entry: UnitEntry::Function };
        Unit::new(key, "m.f".into(), "m.py".into(), 1)
    }

    fn installed() -> Unit {
        let mut unit = unit();
        for event in [Event::BecameHot, Event::Submitted, Event::Installed] {
            unit.advance(event).unwrap();
        }
        unit
    }

    #[test]
    fn goes_from_cold_to_installed_and_through_another_version() {
        let mut unit = installed();
        assert_eq!(unit.state(), &State::Installed(1));
        unit.advance(Event::Submitted).unwrap();
        assert_eq!((unit.state(), unit.installed), (&State::Queued, Some(1)));
        unit.advance(Event::Installed).unwrap();
        assert_eq!((unit.state(), unit.installed), (&State::Installed(2), Some(2)));
    }

    #[test]
    fn keeps_the_version_in_use_when_a_better_one_is_not_to_be_had() {
        let mut unit = installed();
        unit.advance(Event::Submitted).unwrap();
        unit.advance(Event::BailedOut(Bailout::new(BailoutReason::Ignored))).unwrap();
        assert_eq!(unit.state(), &State::Installed(1));
    }

    #[test]
    fn is_refused_for_good_but_not_for_a_reason_of_the_moment() {
        let mut first = unit();
        first.advance(Event::BecameHot).unwrap();
        first.advance(Event::BailedOut(Bailout::new(BailoutReason::Invalidated))).unwrap();
        assert_eq!((first.state(), first.invalidations), (&State::Cold, 1));
        first.advance(Event::BecameHot).unwrap();
        first.advance(Event::BailedOut(Bailout::new(BailoutReason::Ignored))).unwrap();
        assert!(matches!(first.state(), State::Refused(_)));
        assert!(first.advance(Event::BecameHot).is_err());
    }

    #[test]
    fn is_watched_again_after_an_eviction() {
        let mut unit = installed();
        unit.advance(Event::Evicted).unwrap();
        assert_eq!((unit.state(), unit.installed, unit.invalidations), (&State::Cold, None, 0));
        unit.advance(Event::BecameHot).unwrap();
    }

    #[test]
    fn becomes_hot_again_after_an_invalidation() {
        let mut unit = installed();
        unit.advance(Event::Invalidated).unwrap();
        assert_eq!((unit.state(), unit.installed, unit.invalidations), (&State::Invalidated, None, 1));
        unit.advance(Event::BecameHot).unwrap();
        assert_eq!(unit.state(), &State::Hot);
    }

    #[test]
    fn an_invalidation_while_queued_closes_the_version_in_use() {
        let mut unit = installed();
        unit.advance(Event::Submitted).unwrap();
        unit.advance(Event::Invalidated).unwrap();
        assert_eq!((unit.state(), unit.installed), (&State::Queued, None));
    }

    #[test]
    fn refuses_events_out_of_order() {
        let error = unit().advance(Event::Installed).unwrap_err();
        assert_eq!(error.state, State::Cold);
    }

    #[test]
    fn sums_up_exits_of_several_versions() {
        let mut unit = installed();
        let fact = ExitFact { code: 0, offset: 7, reason: "GuardInt".into(), count: 200, classes: Vec::new() };
        unit.learn([fact.clone()]);
        unit.learn([fact, ExitFact { code: 0, offset: 9, reason: "GuardInt".into(), count: 1, classes: Vec::new() }]);
        assert_eq!(unit.exits.len(), 2);
        assert_eq!(unit.exits[0].count, 400);
    }
}
