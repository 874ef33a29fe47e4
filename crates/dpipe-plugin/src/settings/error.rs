//! Mistakes on the way from a tree of values to a typed configuration.

use std::fmt;
use std::ops::Range;

use serde::de::{Expected, Unexpected};

use super::node::shortened;
use super::{Entry, Node, NodeValue, Problem, Span, suggest};

/// Frames the byte range that [`error_in_text`] hides in a message; never in a written text.
const RANGE_MARK: char = '\u{f8ff}';

/// An error of a `Deserialize` implementation that points into the text it was given, by byte
/// offsets: a query language can so show the character at which it stopped.
pub fn error_in_text<E: serde::de::Error>(bytes: Range<usize>, message: impl fmt::Display) -> E {
    // serde lets nothing but a message through.
    let Range { start, end } = bytes;
    E::custom(format_args!("{RANGE_MARK}{start} {end}{RANGE_MARK}{message}"))
}

/// A mistake found while a [`Node`] is read; a [`Problem`] once it is known where.
#[derive(Debug)]
pub struct SettingsError {
    kind: Kind,
    place: Option<Place>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Type { expected: String, found: String },
    UnknownKey { key: String, known: &'static [&'static str] },
    UnknownName { name: String, known: &'static [&'static str] },
    Missing(&'static str),
    InText(Range<usize>, String),
    Other(String),
}

/// What a mistake needs to know of the innermost value around it.
#[derive(Debug)]
struct Place {
    /// Which value of the tree that is; see [`identity`].
    value: usize,
    span: Span,
    message: String,
    help: Option<String>,
}

impl SettingsError {
    pub(super) fn wrong_type(expected: impl Into<String>, found: &Node) -> Self {
        let kind = Kind::Type { expected: expected.into(), found: found.describe() };
        Self { kind, place: None }.at(found)
    }

    /// The mistake at a value, unless a value within already claimed it.
    pub(super) fn at(mut self, node: &Node) -> Self {
        if self.place.is_none() {
            self.place = Some(self.locate(node));
        }
        self
    }

    /// The mistake at the key of an entry.
    pub(super) fn at_key(mut self, entry: &Entry) -> Self {
        if self.place.is_none() {
            let (message, help) = self.words(None);
            let (value, span) = (identity(&entry.value), entry.key_span().clone());
            self.place = Some(Place { value, span, message, help });
        }
        self
    }

    /// The value that claimed the mistake, or the one behind the key that did.
    pub(super) fn value(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.value)
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The key that a map does not know.
    pub(super) fn unknown_key(&self) -> Option<&str> {
        match &self.kind {
            Kind::UnknownKey { key, .. } => Some(key),
            Kind::Other(text) => unknown_field(text),
            _ => None,
        }
    }

    fn locate(&self, node: &Node) -> Place {
        let (message, help) = self.words(Some(node));
        let message = node.redact(&message);
        let span = match &self.kind {
            Kind::InText(bytes, _) => node.span_in_text(bytes.clone()),
            Kind::Missing(_) => head(node),
            // `flatten` loses the place of an unknown key, but not its name.
            Kind::Other(text) => unknown_field(text)
                .and_then(|key| node.get(key))
                .and_then(|value| value.key_span.clone())
                .unwrap_or_else(|| node.place()),
            _ => node.place(),
        };
        Place { value: identity(node), span, message, help }
    }

    fn words(&self, node: Option<&Node>) -> (String, Option<String>) {
        match &self.kind {
            Kind::Type { expected, found } => {
                let found = match node {
                    Some(node) if matches!(node.value, NodeValue::Scalar(_)) => node.describe(),
                    _ => found.clone(),
                };
                (format!("expected {expected}, found {found}"), type_help(expected, node))
            }
            Kind::UnknownKey { key, known } => {
                (format!("unknown key `{}`", shortened(key)), suggest(key, known.iter().copied()))
            }
            Kind::UnknownName { name, known } => {
                let found = match node.and_then(Node::as_scalar) {
                    // Only a part of it would fit, which could not be told from a secret.
                    Some(scalar) if scalar.is_substituted() => node.map(Node::describe),
                    _ => None,
                };
                let found = found.unwrap_or_else(|| format!("name `{}`", shortened(name)));
                (format!("unknown {found}"), suggest(name, known.iter().copied()))
            }
            Kind::Missing(key) => (format!("missing key `{key}`"), None),
            Kind::InText(_, message) => (message.clone(), None),
            Kind::Other(message) => (in_our_words(message, node), None),
        }
    }

    /// The finished problem; `root` is blamed for what no value within has claimed. `also` are
    /// keys of the root that were read before, and may be what a misspelled key meant.
    pub(super) fn into_problem(self, root: &Node, also: &[&str]) -> Problem {
        let Self { kind, place } = self.at(root);
        let Place { span, message, mut help, .. } =
            place.expect("the root claims what nobody else did");
        if let Kind::UnknownKey { key, known } = &kind {
            let of_root = root
                .as_map()
                .is_some_and(|entries| entries.iter().any(|entry| *entry.key_span() == span));
            if of_root && !also.is_empty() {
                let known: Vec<&str> = known.iter().chain(also).copied().collect();
                help = suggest(key, known.iter().copied());
            }
        }
        Problem::error(message).at(span).maybe_help(help)
    }
}

/// Tells a value from all others of its tree, as long as that is not changed.
pub(super) fn identity(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

/// The key in serde's own words about one that is not known.
fn unknown_field(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// The part of a map that stands for all of it: itself if it is on one line, else its key.
fn head(node: &Node) -> Span {
    match &node.key_span {
        Some(key) if node.span.text().trim_end().contains('\n') => key.clone(),
        _ => node.place(),
    }
}

fn type_help(expected: &str, node: Option<&Node>) -> Option<String> {
    let NodeValue::Scalar(scalar) = &node?.value else { return None };
    let text = scalar.text.as_str();
    let number = expected.contains("number") && text.parse::<f64>().is_ok_and(f64::is_finite);
    if scalar.is_substituted() {
        None
    } else if scalar.quoted && (number || matches!(text, "true" | "false") && expected == BOOL) {
        Some(format!("write {text} without quotes"))
    } else if expected == BOOL {
        match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "1" => Some("write `true`".to_owned()),
            "no" | "off" | "0" => Some("write `false`".to_owned()),
            _ => None,
        }
    } else if expected == "a list" {
        Some(format!("write `[{}]`", shortened(text))).filter(|_| !text.is_empty())
    } else {
        None
    }
}

const BOOL: &str = "`true` or `false`";

/// serde's words for what it wanted, in words for people who write configurations.
fn expected_words(expected: &str) -> String {
    match expected {
        "a boolean" => BOOL.to_owned(),
        "a sequence" => "a list".to_owned(),
        "unit" => "nothing".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "path string" | "a borrowed string" => "a string".to_owned(),
        _ if expected.starts_with("struct ") || expected.starts_with("enum ") => "a map".to_owned(),
        _ => expected.to_owned(),
    }
}

fn unexpected_words(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Str(text) => format!("the string `{}`", shortened(text)),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

fn in_our_words(message: &str, node: Option<&Node>) -> String {
    let found = || node.map_or_else(|| "it".to_owned(), Node::describe);
    if message.starts_with("data did not match any variant of untagged enum") {
        format!("{} has none of the forms that are allowed here", found())
    } else if let Some(rest) = message.strip_prefix("unknown field") {
        format!("unknown key{rest}")
    } else {
        message.to_owned()
    }
}

impl serde::de::Error for SettingsError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        let kind = hidden_range(&message).unwrap_or(Kind::Other(message));
        Self { kind, place: None }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected_words(&expected.to_string());
        Self { kind: Kind::Type { expected, found: unexpected_words(&unexpected) }, place: None }
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}, found {len} items"))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self { kind: Kind::UnknownName { name: variant.to_owned(), known }, place: None }
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self { kind: Kind::UnknownKey { key: field.to_owned(), known }, place: None }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { kind: Kind::Missing(field), place: None }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format_args!("key `{field}` is given twice"))
    }
}

fn hidden_range(message: &str) -> Option<Kind> {
    let (range, message) = message.strip_prefix(RANGE_MARK)?.split_once(RANGE_MARK)?;
    let (start, end) = range.split_once(' ')?;
    Some(Kind::InText(start.parse().ok()?..end.parse().ok()?, message.to_owned()))
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => f.write_str(&place.message),
            None => f.write_str(&self.words(None).0),
        }
    }
}

impl std::error::Error for SettingsError {}
