//! The options: one table.
//!
//! A row of [`options!`] is a field of [`Options`], an environment variable, an `-X` form, a keyword of
//! `coluber.enable`, an option of `python -m coluber`, a paragraph of the help text and one of the options page.
//! The `-X` form is the variable in lower case with hyphens: `COLUBER_MAX_CODE` is `-X coluber-max-code`.
//!
//! Order of precedence: keywords of `enable`, then `-X`, then the environment, then the default; except that
//! `COLUBER=0` in the environment wins over everything (the caller looks at that).

use std::fmt::{self, Write as _};

/// For whom an option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// People who run programs.
    User,
    /// People who work on Coluber.
    Developer,
}

impl Audience {
    /// As shown.
    pub fn name(self) -> &'static str {
        match self {
            Audience::User => "user",
            Audience::Developer => "developer",
        }
    }
}

/// One row, as data.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Field and keyword.
    pub name: &'static str,
    /// Environment variable.
    pub env: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Default, as text; see [`Row::default_text`].
    pub default: &'static str,
    /// For whom.
    pub audience: Audience,
    /// What values look like.
    pub values: fn(&[&str]) -> String,
}

impl Row {
    /// The key in `sys._xoptions`.
    pub fn x_name(&self) -> String {
        self.env.to_ascii_lowercase().replace('_', "-")
    }

    /// The default as people would write it.
    pub fn default_text<'a>(&self, strategies: &[&'a str]) -> &'a str {
        if self.default == FIRST_STRATEGY { strategies.first().copied().unwrap_or_default() } else { self.default }
    }
}

/// Stands for the first strategy of the registry, whose names are not known here.
const FIRST_STRATEGY: &str = "@first";

/// An option or value that is not understood. The message names what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError(pub String);

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A type of option values.
pub trait Value: Sized {
    /// Reads a value. `strategies` are the names in the registry.
    fn parse(text: &str, strategies: &[&str]) -> Option<Self>;
    /// What values look like, for messages and help.
    fn known(strategies: &[&str]) -> String;
}

impl Value for bool {
    fn parse(text: &str, _: &[&str]) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "on" | "yes" => Some(true),
            "0" | "false" | "off" | "no" => Some(false),
            _ => None,
        }
    }

    fn known(_: &[&str]) -> String {
        "1, 0".into()
    }
}

impl Value for String {
    fn parse(text: &str, _: &[&str]) -> Option<Self> {
        Some(text.into())
    }

    fn known(_: &[&str]) -> String {
        "text".into()
    }
}

/// Name of a strategy in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrategyName(pub String);

impl Value for StrategyName {
    fn parse(text: &str, strategies: &[&str]) -> Option<Self> {
        if text == FIRST_STRATEGY {
            return Some(StrategyName(strategies.first()?.to_string()));
        }
        strategies.contains(&text).then(|| StrategyName(text.into()))
    }

    fn known(strategies: &[&str]) -> String {
        strategies.join(", ")
    }
}

/// When code counts as hot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hot {
    /// When samples find it running.
    Sample,
    /// At the Nth call or back-edge.
    Calls(u32),
}

impl Value for Hot {
    fn parse(text: &str, _: &[&str]) -> Option<Self> {
        match text {
            "sample" => Some(Hot::Sample),
            "eager" => Some(Hot::Calls(1)),
            _ => text.strip_prefix("call:")?.parse().ok().filter(|calls| *calls > 0).map(Hot::Calls),
        }
    }

    fn known(_: &[&str]) -> String {
        "sample, call:N (N > 0), eager".into()
    }
}

/// Exits to be forced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForcedExits {
    /// None.
    Off,
    /// At guards chosen by `seed`, `permille` of a thousand of them.
    Random {
        /// Seed of the choice.
        seed: u64,
        /// How many of a thousand.
        permille: u32,
    },
}

impl Value for ForcedExits {
    fn parse(text: &str, _: &[&str]) -> Option<Self> {
        if text == "off" {
            return Some(ForcedExits::Off);
        }
        let (seed, permille) = text.strip_prefix("random:")?.split_once(':')?;
        let permille = permille.parse().ok().filter(|permille| *permille <= 1000)?;
        Some(ForcedExits::Random { seed: seed.parse().ok()?, permille })
    }

    fn known(_: &[&str]) -> String {
        "off, random:SEED:PERMILLE (0 to 1000)".into()
    }
}

/// Bad luck to be had on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None.
    None,
    /// Every compilation panics.
    Panic,
    /// The Nth allocation of every compilation fails.
    Memory(u64),
}

impl Value for Fault {
    fn parse(text: &str, _: &[&str]) -> Option<Self> {
        match text {
            "none" => Some(Fault::None),
            "panic" => Some(Fault::Panic),
            _ => text.strip_prefix("memory:")?.parse().ok().filter(|number| *number > 0).map(Fault::Memory),
        }
    }

    fn known(_: &[&str]) -> String {
        "none, panic, memory:N (N > 0)".into()
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Value for Bytes {
    fn parse(text: &str, _: &[&str]) -> Option<Self> {
        let (digits, factor) = match text.as_bytes().last()? {
            b'K' | b'k' => (&text[..text.len() - 1], 1 << 10),
            b'M' | b'm' => (&text[..text.len() - 1], 1 << 20),
            b'G' | b'g' => (&text[..text.len() - 1], 1 << 30),
            _ => (text, 1),
        };
        digits.parse::<u64>().ok()?.checked_mul(factor).map(Bytes)
    }

    fn known(_: &[&str]) -> String {
        "a number of bytes, with K, M or G".into()
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $kind:ty, $off:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name(pub Vec<$kind>);

        impl $name {
            /// Whether `word` is chosen.
            pub fn contains(&self, word: $kind) -> bool {
                self.0.contains(&word)
            }
        }

        impl Value for $name {
            fn parse(text: &str, _: &[&str]) -> Option<Self> {
                match text {
                    $off => Some(Self::default()),
                    "all" => Some(Self(<$kind>::ALL.to_vec())),
                    _ => text
                        .split(',')
                        .map(|word| <$kind>::ALL.iter().copied().find(|each| each.name() == word.trim()))
                        .collect::<Option<Vec<_>>>()
                        .map(Self),
                }
            }

            fn known(_: &[&str]) -> String {
                let words: Vec<&str> = <$kind>::ALL.iter().map(|each| each.name()).collect();
                format!("{}, all, or a list of: {}", if $off.is_empty() { "empty" } else { $off }, words.join(", "))
            }
        }
    };
}

/// A form of a unit that can be written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Stage {
    Bytecode,
    Ir,
    Clif,
    Asm,
}

impl Stage {
    const ALL: &[Stage] = &[Stage::Bytecode, Stage::Ir, Stage::Clif, Stage::Asm];

    /// The word in the option and the ending of the files.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Bytecode => "bytecode",
            Stage::Ir => "ir",
            Stage::Clif => "clif",
            Stage::Asm => "asm",
        }
    }
}

words! {
    /// Forms to be dumped.
    Stages: Stage, ""
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logging {
    /// Nothing at all, not even why Coluber is off.
    Silent,
    /// What the user must know (why Coluber is off), and these topics.
    Topics(Vec<crate::log::Topic>),
}

impl Value for Logging {
    fn parse(text: &str, _: &[&str]) -> Option<Self> {
        use crate::log::Topic;
        match text {
            "off" => Some(Logging::Silent),
            "" => Some(Logging::Topics(Vec::new())),
            "all" => Some(Logging::Topics(Topic::ALL.to_vec())),
            _ => text
                .split(',')
                .map(|word| Topic::ALL.iter().copied().find(|topic| topic.name() == word.trim()))
                .collect::<Option<Vec<_>>>()
                .map(Logging::Topics),
        }
    }

    fn known(_: &[&str]) -> String {
        let words: Vec<&str> = crate::log::Topic::ALL.iter().map(|topic| topic.name()).collect();
        format!("off, all, or a list of: {}", words.join(", "))
    }
}

macro_rules! options {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $default:literal, $env:literal, $audience:ident;)*) => {
        /// The settings in force.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Options {
            $($(#[doc = $doc])+ pub $name: $kind,)*
            texts: Vec<(&'static str, String)>,
        }

        /// All options, in the order of the help text.
        pub const ROWS: &[Row] = &[$(Row {
            name: stringify!($name),
            env: $env,
            doc: concat!($($doc, "\n"),+),
            default: $default,
            audience: Audience::$audience,
            values: <$kind as Value>::known,
        }),*];

        impl Options {
            /// The defaults; the default strategy is the first of `strategies`.
            pub fn new(strategies: &[&str]) -> Result<Self, OptionError> {
                Ok(Options {
                    $($name: match <$kind as Value>::parse($default, strategies) {
                        Some(value) => value,
                        None => return Err(unknown_value(stringify!($name), $default, &<$kind as Value>::known(strategies))),
                    },)*
                    texts: ROWS.iter().map(|row| (row.name, row.default_text(strategies).to_string())).collect(),
                })
            }

            /// Sets the option called `name`. `shown` is what the message calls it.
            fn assign(&mut self, name: &str, shown: &str, text: &str, strategies: &[&str]) -> Result<(), OptionError> {
                match name {
                    $(stringify!($name) => match <$kind as Value>::parse(text, strategies) {
                        Some(value) => self.$name = value,
                        None => return Err(unknown_value(shown, text, &<$kind as Value>::known(strategies))),
                    },)*
                    _ => unreachable!("callers look the name up in the table"),
                }
                if let Some(entry) = self.texts.iter_mut().find(|(each, _)| *each == name) {
                    entry.1 = text.to_string();
                }
                Ok(())
            }
        }
    };
}

options! {
    /// Whether to compile at all. `COLUBER=0` wins over every other switch.
    enabled: bool = "0", "COLUBER", User;
    /// How units are compiled.
    strategy: StrategyName = "@first", "COLUBER_STRATEGY", User;
    /// When code is hot: when samples find it running, at the Nth call or back-edge, or at the first (`eager`).
    hot: Hot = "sample", "COLUBER_HOT", Developer;
    /// Whether compiling happens on a thread of its own beside the program.
    background: bool = "1", "COLUBER_BACKGROUND", User;
    /// Leave compiled code at random guards, the same ones for the same seed. For tests.
    exits: ForcedExits = "off", "COLUBER_EXITS", Developer;
    /// Whether instructions that the interpreter has never executed are left out; reaching one leaves compiled code.
    /// With `COLUBER_HOT=eager` nothing is left out.
    prune: bool = "1", "COLUBER_PRUNE", Developer;
    /// Bad luck of the compiler: every compilation panics, or its Nth allocation fails. For tests.
    fault: Fault = "none", "COLUBER_FAULT", Developer;
    /// Check the IR after every pass, and what the code generator gets. A unit that fails is not compiled and the
    /// report goes to stderr.
    verify: bool = "0", "COLUBER_VERIFY", Developer;
    /// Run only so many optional passes; for finding the one that breaks something.
    pass_limit: String = "", "COLUBER_PASS_LIMIT", Developer;
    /// Compile all exception handlers, also those that no exception was seen to reach. For tests.
    all_handlers: bool = "0", "COLUBER_ALL_HANDLERS", Developer;
    /// Compile only units with a number in FIRST-LAST, counted from 1 in the order in which they are begun; for finding
    /// the one that breaks something.
    units: String = "", "COLUBER_UNITS", Developer;
    /// The most machine code there may be. When it is reached nothing more is compiled.
    max_code: Bytes = "64M", "COLUBER_MAX_CODE", User;
    /// Which forms of a unit to write into files.
    dump: Stages = "", "COLUBER_DUMP", Developer;
    /// Dump only units whose name (`module.qualname`) contains this text.
    dump_for: String = "", "COLUBER_DUMP_FOR", Developer;
    /// Where dumps go.
    dump_dir: String = "coluber-dump", "COLUBER_DUMP_DIR", Developer;
    /// What to say on stderr: topics, or `off` for nothing at all.
    log: Logging = "", "COLUBER_LOG", User;
    /// At exit, write statistics as JSON into this file; `%p` stands for the process id.
    stats_file: String = "", "COLUBER_STATS_FILE", User;
    /// Name compiled units in the map file of the `perf` profiler.
    perf_map: bool = "0", "COLUBER_PERF_MAP", User;
}

fn unknown_value(name: &str, text: &str, known: &str) -> OptionError {
    OptionError(format!("{name}={text} is not understood; known: {known}"))
}

fn unknown_option(name: &str, known: impl Iterator<Item = String>) -> OptionError {
    OptionError(format!("unknown option {name}; known: {}", known.collect::<Vec<_>>().join(", ")))
}

/// Variables with our prefix that are not options of the library: those of the development tool.
const FOREIGN_PREFIXES: &[&str] = &["COLUBER_PYTHON_", "COLUBER_DEV_"];

impl Options {
    /// Takes the options out of environment variables; others are ignored, unknown ones with our prefix refused.
    pub fn read_environment<'a>(
        &mut self,
        variables: impl Iterator<Item = (&'a str, &'a str)>,
        strategies: &[&str],
    ) -> Result<(), OptionError> {
        for (variable, text) in variables {
            if let Some(row) = ROWS.iter().find(|row| row.env == variable) {
                self.assign(row.name, row.env, text, strategies)?;
            } else if variable.starts_with("COLUBER_")
                && !FOREIGN_PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
            {
                return Err(unknown_option(variable, ROWS.iter().map(|row| row.env.to_string())));
            }
        }
        Ok(())
    }

    /// Takes the options out of `sys._xoptions`; a key without a value means 1.
    pub fn read_x_options<'a>(
        &mut self,
        entries: impl Iterator<Item = (&'a str, Option<&'a str>)>,
        strategies: &[&str],
    ) -> Result<(), OptionError> {
        for (key, text) in entries {
            if let Some(row) = ROWS.iter().find(|row| row.x_name() == key) {
                self.assign(row.name, &format!("-X {key}"), text.unwrap_or("1"), strategies)?;
            } else if key.starts_with("coluber-") {
                return Err(unknown_option(&format!("-X {key}"), ROWS.iter().map(Row::x_name)));
            }
        }
        Ok(())
    }

    /// Takes keywords of `coluber.enable`.
    pub fn read_keywords<'a>(
        &mut self,
        keywords: impl Iterator<Item = (&'a str, &'a str)>,
        strategies: &[&str],
    ) -> Result<(), OptionError> {
        for (name, text) in keywords {
            if ROWS.iter().all(|row| row.name != name) {
                return Err(unknown_option(name, ROWS.iter().map(|row| row.name.to_string())));
            }
            self.assign(name, name, text, strategies)?;
        }
        Ok(())
    }

    /// Name and value of each option, as texts.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.texts.iter().map(|(name, text)| (*name, text.as_str()))
    }
}

/// The help text: one paragraph an option.
pub fn help(strategies: &[&str]) -> String {
    let mut text = String::new();
    for row in ROWS {
        let default = row.default_text(strategies);
        let default = if default.is_empty() { "empty" } else { default };
        let _ = writeln!(text, "{} | -X {}  (default: {default})", row.env, row.x_name());
        for line in row.doc.lines() {
            let _ = writeln!(text, "    {}", line.trim());
        }
        let _ = writeln!(text, "    values: {}", (row.values)(strategies));
    }
    text
}

/// `docs/options.md`.
pub fn page(strategies: &[&str]) -> String {
    let mut text = String::from(
        "# Options\n\n*Reference, generated from `crates/engine/src/options.rs`; `cargo test -p coluber-strategies` checks it, with `BLESS=1` it writes it.*\n\n\
         Each option is an environment variable, an `-X` option of Python, a keyword of `coluber.enable()` and an option of\n\
         `python -m coluber`. Keywords win over `-X`, `-X` over the environment; `COLUBER=0` in the environment wins over all.\n",
    );
    for audience in [Audience::User, Audience::Developer] {
        let heading = match audience {
            Audience::User => "For everybody",
            Audience::Developer => "For work on Coluber",
        };
        let _ =
            write!(text, "\n## {heading}\n\n| variable | `-X` | default | values | what |\n|---|---|---|---|---|\n");
        for row in ROWS.iter().filter(|row| row.audience == audience) {
            let doc: Vec<&str> = row.doc.lines().map(str::trim).collect();
            let default = row.default_text(strategies);
            let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
            let _ = writeln!(
                text,
                "| `{}` | `{}` | {default} | {} | {} |",
                row.env,
                row.x_name(),
                (row.values)(strategies),
                doc.join(" ")
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRATEGIES: &[&str] = &["quick", "none"];

    fn options() -> Options {
        Options::new(STRATEGIES).expect("the defaults are valid")
    }

    #[test]
    fn reads_each_source_and_the_later_one_wins() {
        let mut options = options();
        options.read_environment([("PATH", "/bin"), ("COLUBER_HOT", "call:3")].into_iter(), STRATEGIES).unwrap();
        assert_eq!(options.hot, Hot::Calls(3));
        options.read_x_options([("coluber-hot", Some("eager")), ("utf8", None)].into_iter(), STRATEGIES).unwrap();
        assert_eq!(options.hot, Hot::Calls(1));
        options.read_keywords([("strategy", "none"), ("max_code", "2M")].into_iter(), STRATEGIES).unwrap();
        assert_eq!(options.strategy, StrategyName("none".into()));
        assert_eq!(options.max_code, Bytes(2 << 20));
        assert!(options.texts().any(|entry| entry == ("max_code", "2M")));
    }

    #[test]
    fn names_the_known_ones_when_it_refuses() {
        let error = options().read_environment([("COLUBER_HOTT", "1")].into_iter(), STRATEGIES).unwrap_err();
        assert!(error.0.contains("COLUBER_HOTT") && error.0.contains("COLUBER_HOT,"), "{error}");
        let error = options().read_keywords([("strategy", "fast")].into_iter(), STRATEGIES).unwrap_err();
        assert_eq!(error.0, "strategy=fast is not understood; known: quick, none");
        let error = options().read_x_options([("coluber-speed", None)].into_iter(), STRATEGIES).unwrap_err();
        assert!(error.0.contains("coluber-max-code"), "{error}");
        let error = options().read_keywords([("log", "heat,nonsense")].into_iter(), STRATEGIES).unwrap_err();
        assert!(error.0.contains("heat"), "{error}");
    }

    #[test]
    fn leaves_the_development_tools_variables_alone() {
        let variables = [("COLUBER_PYTHON_X", "python")];
        assert!(options().read_environment(variables.into_iter(), STRATEGIES).is_ok());
    }

    #[test]
    fn reads_values() {
        assert_eq!(Hot::parse("call:0", &[]), None);
        assert_eq!(Hot::parse("call:x", &[]), None);
        assert_eq!(ForcedExits::parse("random:7:20", &[]), Some(ForcedExits::Random { seed: 7, permille: 20 }));
        assert_eq!(ForcedExits::parse("random:7:2000", &[]), None);
        assert_eq!(Fault::parse("memory:7", &[]), Some(Fault::Memory(7)));
        assert_eq!(Fault::parse("memory:0", &[]), None);
        assert_eq!(Bytes::parse("12K", &[]), Some(Bytes(12 << 10)));
        assert_eq!(Bytes::parse("99999999999G", &[]), None);
        assert_eq!(Bytes::parse("", &[]), None);
        assert_eq!(Stages::parse("ir, asm", &[]), Some(Stages(vec![Stage::Ir, Stage::Asm])));
        assert_eq!(Stages::parse("ir,x", &[]), None);
        assert_eq!(Logging::parse("off", &[]), Some(Logging::Silent));
    }

    #[test]
    fn documents_every_row() {
        let help = help(STRATEGIES);
        for row in ROWS {
            assert!(!row.doc.trim().is_empty());
            assert!(help.contains(row.env));
        }
    }
}
