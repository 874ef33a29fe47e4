//! How languages print stack traces, as small state machines over lines.
//!
//! A trace belongs to the line before it, where a logger wrote it below its message; one that the
//! runtime prints by itself, such as Java's `Exception in thread`, is an event of its own.

use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

/// The state of an event that is no trace yet.
pub(super) const PLAIN: u8 = 1;
/// Within a trace.
const TRACE: u8 = 2;
/// After a line that may have been the last of a trace.
const AFTER: u8 = 4;
const ANY: u8 = PLAIN | TRACE | AFTER;

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Name {
    /// Java and others on its machine.
    Java,
    /// Python.
    Python,
    /// Go: panics with their goroutines.
    Go,
    /// PHP.
    Php,
    /// Ruby.
    Ruby,
    /// C# and others on .NET.
    Dotnet,
}

/// A language's rules, compiled.
#[derive(Clone, Debug)]
pub(super) struct Preset {
    /// A line that begins an event leads to the first of these that it matches.
    begins: Vec<(Regex, u8)>,
    /// In one of these states, a line that matches continues the event, and leads to a state.
    joins: Vec<(u8, Regex, u8)>,
}

impl Preset {
    pub(super) fn begins(&self, line: &[u8]) -> u8 {
        let found = self.begins.iter().find(|(pattern, _)| pattern.is_match(line));
        found.map_or(PLAIN, |&(_, state)| state)
    }

    pub(super) fn joins(&self, state: u8, line: &[u8]) -> Option<u8> {
        let mut rules = self.joins.iter().filter(|(from, ..)| from & state != 0);
        rules.find(|(_, pattern, _)| pattern.is_match(line)).map(|&(_, _, to)| to)
    }
}

impl From<Name> for Preset {
    fn from(name: Name) -> Preset {
        let (begins, joins) = match name {
            Name::Java => (JAVA_BEGINS, JAVA),
            Name::Python => (PYTHON_BEGINS, PYTHON),
            Name::Go => (GO_BEGINS, GO),
            Name::Php => (PHP_BEGINS, PHP),
            Name::Ruby => (RUBY_BEGINS, RUBY),
            Name::Dotnet => (DOTNET_BEGINS, DOTNET),
        };
        let compile = |source: &str| Regex::new(source).expect("the table holds valid expressions");
        Preset {
            begins: begins.iter().map(|&(source, to)| (compile(source), to)).collect(),
            joins: joins.iter().map(|&(from, source, to)| (from, compile(source), to)).collect(),
        }
    }
}

type Begins = &'static [(&'static str, u8)];
type Joins = &'static [(u8, &'static str, u8)];

const JAVA_BEGINS: Begins =
    &[(r"^Exception in thread |^(?:[\w$]+\.)+[\w$]*(?:Exception|Error|Throwable)\b", TRACE)];
const JAVA: Joins = &[
    (
        ANY,
        r"^\s+(?:at\s|\.\.\. \d+ |Caused by:|Suppressed:|\[CIRCULAR REFERENCE|- (?:locked|waiting|parking))",
        TRACE,
    ),
    (ANY, r"^(?:Caused by|Suppressed): |^\[CIRCULAR REFERENCE", TRACE),
    // The exception that a logger prints below its message.
    (PLAIN, r"^(?:[\w$]+\.)+[\w$]*(?:Exception|Error|Throwable)\b", TRACE),
    // The rest of an exception's message that has several lines, and the blank line that
    // java.util.logging writes below a trace.
    (TRACE, r"^\t|^$", TRACE),
];

const PYTHON_BEGINS: Begins =
    &[(r"^\s*(?:\+ Exception Group )?Traceback \(most recent call last\):", TRACE)];
const PYTHON: Joins = &[
    (PLAIN, r"^\s*(?:\+ Exception Group )?Traceback \(most recent call last\):", TRACE),
    (TRACE, r"^\s+\S", TRACE),
    // The exception itself ends the trace, unless another one was raised while it was handled.
    (TRACE, r"^[\w.]+(?::|$)|^\S*$", AFTER),
    (
        AFTER,
        r"^$|^During handling of the above exception|^The above exception was the direct cause",
        AFTER,
    ),
    (AFTER, r"^Traceback \(most recent call last\):", TRACE),
    (AFTER, r"^\s+[|+]", AFTER),
];

const GO_BEGINS: Begins = &[(r"^(?:panic|fatal error): |^goroutine \d+ \[", TRACE)];
const GO: Joins = &[
    (PLAIN, r"^goroutine \d+ \[", TRACE),
    (
        TRACE,
        r"^$|^\s|^goroutine \d+ |^\[signal |^created by |^(?:[\w./*()\[\]{}·,@-]+)\(.*\)$|^\.\.\.",
        TRACE,
    ),
    (
        TRACE,
        r"^(?:panic: |\[recovered\]|exit status \d+$|rax |r[a-z0-9]{1,2}\s+0x|rip |rflags |[cfg]s\s+0x)",
        TRACE,
    ),
];

const PHP_BEGINS: Begins = &[(r"^(?:\[[^\]]*\] )?PHP (?:Fatal error|Warning|Notice)", TRACE)];
const PHP: Joins = &[
    (ANY, r"^(?:\[[^\]]*\] )?(?:PHP )?(?:Stack trace:|\s*#?\d+[. ]\s)|^Stack trace:|^#\d+ ", TRACE),
    (ANY, r"^\s+thrown in |^  thrown in |^Next \S+: ", TRACE),
    (TRACE, r"^\s+\S", TRACE),
];

const RUBY_BEGINS: Begins = &[(r":\d+:in [`'].*': ", TRACE)];
const RUBY: Joins = &[
    (ANY, r"^\s+(?:\d+: )?from ", TRACE),
    (ANY, r"^\s*\S+:\d+:in [`'][^']*'$", TRACE),
    (TRACE, r"^\s+\S", TRACE),
];

const DOTNET_BEGINS: Begins = &[(r"^(?:Unhandled exception\. )?(?:\w+\.)+\w*Exception\b", TRACE)];
const DOTNET: Joins = &[
    (ANY, r"^\s+(?:at|in|bei|à|en|в) |^\s*---> |^\s*--- End of ", TRACE),
    // The exception that a logger prints below its message.
    (PLAIN, r"^(?:\w+\.)+\w*Exception\b", TRACE),
    (TRACE, r"^\s+\S", TRACE),
];
