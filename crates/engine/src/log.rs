//! One line at a time on stderr.
//!
//! A closed or full stderr is never an error of the program: what cannot be written is dropped. Where the interpreter
//! found no usable stderr the log is muted for good, because the descriptor may by now be somebody else's file.

use crate::options::Logging;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Topic {
    Heat,
    Compile,
    Bailout,
    Install,
    Exit,
    Invalidate,
    Retire,
    Thread,
}

impl Topic {
    /// All topics.
    pub const ALL: &[Topic] = &[
        Topic::Heat,
        Topic::Compile,
        Topic::Bailout,
        Topic::Install,
        Topic::Exit,
        Topic::Invalidate,
        Topic::Retire,
        Topic::Thread,
    ];

    /// The word in the option.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Heat => "heat",
            Topic::Compile => "compile",
            Topic::Bailout => "bailout",
            Topic::Install => "install",
            Topic::Exit => "exit",
            Topic::Invalidate => "invalidate",
            Topic::Retire => "retire",
            Topic::Thread => "thread",
        }
    }
}

/// Where lines go.
pub struct Log {
    topics: AtomicU32,
    silent: AtomicBool,
    muted: AtomicBool,
}

impl Log {
    /// A log that says what the user must know.
    pub const fn new() -> Self {
        Log { topics: AtomicU32::new(0), silent: AtomicBool::new(false), muted: AtomicBool::new(false) }
    }

    /// Applies the option.
    pub fn configure(&self, logging: &Logging) {
        let topics = match logging {
            Logging::Silent => 0,
            Logging::Topics(topics) => topics.iter().fold(0, |bits, topic| bits | 1 << *topic as u32),
        };
        self.topics.store(topics, Ordering::Relaxed);
        self.silent.store(*logging == Logging::Silent, Ordering::Relaxed);
    }

    /// There is no stderr.
    pub fn mute(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    /// Whether lines of this topic are wanted.
    pub fn wants(&self, topic: Topic) -> bool {
        self.topics.load(Ordering::Relaxed) & (1 << topic as u32) != 0
    }

    /// Writes a line, if its topic is wanted.
    pub fn line(&self, topic: Topic, message: impl FnOnce() -> String) {
        if self.wants(topic) {
            self.write(&format!("coluber: {}: {}\n", topic.name(), message()));
        }
    }

    /// Writes a line the user must see, unless the log is off.
    pub fn notice(&self, message: &str) {
        if !self.silent.load(Ordering::Relaxed) {
            self.write(&format!("coluber: {message}\n"));
        }
    }

    fn write(&self, line: &str) {
        if !self.muted.load(Ordering::Relaxed) {
            // A dropped line is better than an error in a program that never asked to write.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

/// The log of the process. Threads of the compiler write here too.
pub static LOG: Log = Log::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wants_only_chosen_topics() {
        let log = Log::new();
        assert!(!log.wants(Topic::Heat));
        log.configure(&Logging::Topics(vec![Topic::Heat, Topic::Exit]));
        assert!(log.wants(Topic::Heat) && log.wants(Topic::Exit) && !log.wants(Topic::Compile));
        log.configure(&Logging::Silent);
        assert!(!log.wants(Topic::Heat));
    }
}
