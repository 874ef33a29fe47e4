//! The tree of values.

use std::ops::Range;

use super::{Problem, Scalar, ScalarKind, Span};

/// A value and the place where it was written.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value as written.
    pub span: Span,
    /// The key under which it stands, if it stands in a map.
    pub key_span: Option<Span>,
    /// What it is.
    pub value: NodeValue,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone)]
pub enum NodeValue {
    /// A single value.
    Scalar(Scalar),
    /// Values in order.
    List(Vec<Node>),
    /// Values by key, in the order written; no key comes twice.
    Map(Vec<Entry>),
}

/// A key of a map and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value; its `key_span` tells where the key was written.
    pub value: Node,
}

impl Entry {
    /// Where the key was written.
    #[must_use]
    pub fn key_span(&self) -> &Span {
        self.value.key_span.as_ref().unwrap_or(&self.value.span)
    }
}

impl Node {
    /// A value at a place.
    #[must_use]
    pub fn new(span: Span, value: NodeValue) -> Self {
        Self { span, key_span: None, value }
    }

    /// A single value at a place.
    #[must_use]
    pub fn scalar(span: Span, scalar: Scalar) -> Self {
        Self::new(span, NodeValue::Scalar(scalar))
    }

    /// Whether nothing is written here.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.value, NodeValue::Scalar(scalar) if scalar.kind == ScalarKind::Null)
    }

    /// The text, if this can be read as a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar(scalar) => scalar.as_text(),
            _ => None,
        }
    }

    /// The items, if this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            NodeValue::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if this is a map; nothing counts as an empty one.
    #[must_use]
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.value {
            NodeValue::Map(entries) => Some(entries),
            _ if self.is_null() => Some(&[]),
            _ => None,
        }
    }

    /// The value under a key, if this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Takes the value under a key out of a map.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let NodeValue::Map(entries) = &mut self.value else { return None };
        let at = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(at).value)
    }

    /// The same map without some keys: what is left for a plugin when the keys that every node of
    /// the pipeline has were read.
    #[must_use]
    pub fn without(&self, keys: &[&str]) -> Node {
        let mut rest = self.clone();
        if let NodeValue::Map(entries) = &mut rest.value {
            entries.retain(|entry| !keys.contains(&entry.key.as_str()));
        }
        rest
    }

    /// An error about this value.
    #[must_use]
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::error(self.redact(&message.into())).at(self.place())
    }

    /// What to point at for this value: itself, or its key if nothing is written behind it.
    #[must_use]
    pub fn place(&self) -> Span {
        match &self.key_span {
            Some(key) if self.span.text().is_empty() => key.clone(),
            _ => self.span.clone(),
        }
    }

    /// Where a piece of this scalar's text (by byte offsets) was written: the exact place if the
    /// text stands in the file as it is, else the whole scalar.
    #[must_use]
    pub fn span_in_text(&self, bytes: Range<usize>) -> Span {
        self.locate(&bytes).unwrap_or_else(|| self.span.clone())
    }

    fn locate(&self, bytes: &Range<usize>) -> Option<Span> {
        let NodeValue::Scalar(scalar) = &self.value else { return None };
        if scalar.is_substituted() {
            return None;
        }
        let written = self.span.text();
        let (mut text_at, mut written_at) = (0, 0);
        for line in scalar.text.split_inclusive('\n') {
            let content = line.trim_end_matches('\n');
            written_at += written.get(written_at..)?.find(content)?;
            let end = text_at + line.len();
            if bytes.start < end || end == scalar.text.len() {
                let from = written_at + bytes.start.min(end) - text_at;
                let to = (from + bytes.len()).min(written_at + content.len());
                return Some(self.span.part(from..to.max(from)));
            }
            text_at = end;
            written_at += content.len();
        }
        None
    }

    /// A message in which every value that came from outside of the file is replaced by the
    /// `${…}` that brought it.
    #[must_use]
    pub fn redact(&self, message: &str) -> String {
        let mut message = message.to_owned();
        self.redact_in(&mut message);
        message
    }

    fn redact_in(&self, message: &mut String) {
        match &self.value {
            NodeValue::Scalar(scalar) => {
                for piece in &scalar.substituted {
                    piece.redact_in(message);
                }
            }
            NodeValue::List(items) => items.iter().for_each(|item| item.redact_in(message)),
            NodeValue::Map(entries) => {
                entries.iter().for_each(|entry| entry.value.redact_in(message));
            }
        }
    }

    /// What this is, in words for a message: "the number `5`", "a list".
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.value {
            NodeValue::List(_) => "a list".to_owned(),
            NodeValue::Map(_) => "a map".to_owned(),
            NodeValue::Scalar(scalar) if scalar.is_substituted() => {
                format!("the value of {}", self.written_substitutions(scalar))
            }
            NodeValue::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => "nothing".to_owned(),
                ScalarKind::Bool => format!("`{}`", scalar.text),
                ScalarKind::Integer | ScalarKind::Float => {
                    format!("the number `{}`", shortened(&scalar.text))
                }
                ScalarKind::String if scalar.text.is_empty() => "an empty string".to_owned(),
                ScalarKind::String => format!("the string `{}`", shortened(&scalar.text)),
            },
        }
    }

    fn written_substitutions(&self, scalar: &Scalar) -> String {
        let written: Vec<_> =
            scalar.substituted.iter().map(|piece| format!("`{}`", piece.written)).collect();
        written.join(" and ")
    }
}

/// A text cut to what fits into a message.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Secrets, SourceFile, Substituted};
    use super::*;

    fn node(written: &str, scalar: Scalar) -> Node {
        let file = SourceFile::new("a.yaml", written);
        let span = file.span(0..written.len());
        Node::scalar(span, scalar)
    }

    #[test]
    fn a_piece_of_a_text_is_found_where_it_was_written() {
        let plain = node("abc def", Scalar::plain("abc def"));
        assert_eq!(plain.span_in_text(4..7).text(), "def");
        let quoted = node("'abc def'", Scalar::quoted("abc def"));
        assert_eq!(quoted.span_in_text(4..7).text(), "def");
        assert_eq!(quoted.span_in_text(7..7).start, 8);
        let block = node("|\n    abc\n    def ghi\n", Scalar::quoted("abc\ndef ghi\n"));
        assert_eq!(block.span_in_text(8..11).text(), "ghi");
    }

    #[test]
    fn a_piece_of_a_text_that_was_escaped_or_substituted_is_the_whole_scalar() {
        let escaped = node(r#""a\tb""#, Scalar::quoted("a\tb"));
        assert_eq!(escaped.span_in_text(2..3).text(), r#""a\tb""#);
        let mut scalar = Scalar::plain("abcd");
        scalar.substituted.push(Substituted { written: "${X}".into(), value: "abcd".into() });
        assert_eq!(node("${X}", scalar).span_in_text(1..2).text(), "${X}");
    }

    #[test]
    fn what_was_substituted_is_never_shown() {
        let mut scalar = Scalar::quoted("token=hunter2\n");
        scalar
            .substituted
            .push(Substituted { written: "${TOKEN}".into(), value: "hunter2\n".into() });
        let node = node("\"token=${TOKEN}\"", scalar);
        assert_eq!(node.redact("bad `token=hunter2`"), "bad `token=${TOKEN}`");
        assert_eq!(node.describe(), "the value of `${TOKEN}`");
        assert!(!format!("{node:?}").contains("hunter2"));
    }

    #[test]
    fn a_piece_of_what_was_substituted_is_not_shown_either() {
        let mut scalar = Scalar::quoted("correct horse battery");
        let value = scalar.text.clone();
        scalar.substituted.push(Substituted { written: "${X}".into(), value });
        let node = node("${X}", scalar);
        assert_eq!(node.redact("no `correct ho…` and no `horse`"), "no `${X}` and no `${X}`");
        let said = Secrets::of(&node).hidden_in("cannot open /x/correct horse battery/y");
        assert_eq!(said, "cannot open /x/${X}/y");
    }

    #[test]
    fn a_default_is_no_secret() {
        let mut scalar = Scalar::plain("file");
        scalar.substituted.push(Substituted { written: "${X:-file}".into(), value: "file".into() });
        assert_eq!(node("${X:-file}", scalar).redact("no such file"), "no such file");
    }

    #[test]
    fn a_short_substituted_value_does_not_eat_the_sentence() {
        let mut scalar = Scalar::plain("e");
        scalar.substituted.push(Substituted { written: "${X}".into(), value: "e".into() });
        assert_eq!(
            node("${X}", scalar).redact("expected `f`, got `e`"),
            "expected `f`, got `${X}`"
        );
    }
}
