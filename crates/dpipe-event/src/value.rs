//! A value of an event, as a view onto the bytes it was read from: nothing is copied, numbers keep
//! their digits, strings are unescaped when somebody asks.

use std::borrow::Cow;

use crate::{EventId, json};

/// A view of one value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, by its digits as they were written.
    Number(&'a str),
    /// A whole number that stands nowhere as digits: a piece of metadata.
    Integer(i64),
    /// A string.
    String(Text<'a>),
    /// An event's id: a string of 32 hexadecimal digits.
    Id(EventId),
    /// An object, as its JSON bytes with braces (owned if steps edited inside it); see
    /// [`Value::entries`].
    Object(Cow<'a, [u8]>),
    /// An array, as its JSON bytes with brackets; see [`Value::entries`].
    Array(Cow<'a, [u8]>),
}

/// The content of a string: bytes, escaped as in JSON or plain.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    bytes: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    /// Plain bytes; need not be UTF-8.
    #[must_use]
    pub fn plain(bytes: &'a [u8]) -> Self {
        Text { bytes, escaped: false }
    }

    /// The inside of a JSON string that holds at least one backslash.
    pub(crate) fn escaped(bytes: &'a [u8]) -> Self {
        Text { bytes, escaped: true }
    }

    /// The content, unescaped.
    #[must_use]
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        if self.escaped { json::unescape(self.bytes) } else { Cow::Borrowed(self.bytes) }
    }

    /// The content as text; bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn to_str(&self) -> Cow<'a, str> {
        match self.bytes() {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        }
    }

    /// The content without a copy, if it holds no escape.
    #[must_use]
    pub fn unescaped(&self) -> Option<&'a [u8]> {
        (!self.escaped).then_some(self.bytes)
    }

    /// The bytes as they lie there: with JSON's escapes, unless it is [`Text::unescaped`].
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.bytes
    }

    /// Appends it as a JSON string, quotes included.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        if self.escaped {
            out.extend_from_slice(self.bytes);
        } else {
            json::write_escaped(out, self.bytes);
        }
        out.push(b'"');
    }
}

impl<'a> Value<'a> {
    /// The value of JSON bytes that were validated before (one value, no space around it).
    #[must_use]
    pub fn of_json(bytes: &'a [u8]) -> Value<'a> {
        match bytes.first() {
            Some(b'{') => Value::Object(Cow::Borrowed(bytes)),
            Some(b'[') => Value::Array(Cow::Borrowed(bytes)),
            Some(b'"') => {
                let inner = &bytes[1..bytes.len() - 1];
                if memchr::memchr(b'\\', inner).is_some() {
                    Value::String(Text::escaped(inner))
                } else {
                    Value::String(Text::plain(inner))
                }
            }
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            Some(b'n') | None => Value::Null,
            Some(_) => Value::Number(std::str::from_utf8(bytes).unwrap_or("0")),
        }
    }

    /// The number it is, or that its text spells; `None` for anything else.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Number(digits) => digits.parse().ok(),
            Value::Integer(n) => Some(*n as f64),
            Value::String(text) => {
                let bytes = text.bytes();
                std::str::from_utf8(&bytes)
                    .ok()?
                    .trim()
                    .parse()
                    .ok()
                    .filter(|n: &f64| n.is_finite())
            }
            _ => None,
        }
    }

    /// The whole number it is, or that its text spells, if it fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Number(digits) => digits.parse().ok(),
            Value::Integer(n) => Some(*n),
            Value::String(text) => std::str::from_utf8(&text.bytes()).ok()?.trim().parse().ok(),
            _ => None,
        }
    }

    /// A scalar as people read it: strings without quotes, numbers by their digits; `None` for
    /// null, objects and arrays.
    #[must_use]
    pub fn as_text(&self) -> Option<Cow<'a, [u8]>> {
        match self {
            Value::String(text) => Some(text.bytes()),
            Value::Number(digits) => Some(Cow::Borrowed(digits.as_bytes())),
            Value::Integer(n) => Some(Cow::Owned(n.to_string().into_bytes())),
            Value::Id(id) => Some(Cow::Owned(id.to_string().into_bytes())),
            Value::Bool(true) => Some(Cow::Borrowed(b"true")),
            Value::Bool(false) => Some(Cow::Borrowed(b"false")),
            Value::Null | Value::Object(_) | Value::Array(_) => None,
        }
    }

    /// Appends it as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Number(digits) => out.extend_from_slice(digits.as_bytes()),
            Value::Integer(n) => out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
            Value::Id(id) => out.extend_from_slice(format!("\"{id}\"").as_bytes()),
            Value::String(text) => text.write_json(out),
            Value::Object(bytes) | Value::Array(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// Appends it as people read it: a string without quotes, everything else as JSON.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self.as_text() {
            Some(text) => out.extend_from_slice(&text),
            None => self.write_json(out),
        }
    }

    /// The children of an object (with their keys) or an array (without); none for a scalar.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        match self {
            Value::Object(bytes) | Value::Array(bytes) => Entries::over(bytes),
            _ => Entries { bytes: b"", at: 0 },
        }
    }

    /// Whether it is an object or an array.
    #[must_use]
    pub fn is_container(&self) -> bool {
        matches!(self, Value::Object(_) | Value::Array(_))
    }
}

/// Walks over the children of a container whose bytes were validated before.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Entries<'a> {
    pub(crate) fn over(container: &'a [u8]) -> Self {
        Entries { bytes: container, at: 1 }
    }
}

impl<'a> Iterator for Entries<'a> {
    /// The key of an object's member, none for an array's element; and the value.
    type Item = (Option<Text<'a>>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.bytes;
        let skip = |mut at: usize| {
            while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')) {
                at += 1;
            }
            at
        };
        let mut at = skip(self.at);
        if matches!(bytes.get(at), None | Some(b'}' | b']')) {
            return None;
        }
        let mut key = None;
        if bytes[0] == b'{' {
            let end = value_end(bytes, at);
            match Value::of_json(&bytes[at..end]) {
                Value::String(text) => key = Some(text),
                _ => return None,
            }
            at = skip(end);
        }
        let end = value_end(bytes, at);
        self.at = end;
        Some((key, Value::of_json(&bytes[at..end])))
    }
}

/// The end of the validated JSON value that starts at `at`.
fn value_end(bytes: &[u8], at: usize) -> usize {
    match bytes[at] {
        b'"' => string_end(bytes, at + 1),
        // Brackets of the other kind nest within, so they need no count.
        b'{' => container_end(bytes, at + 1, b'{', b'}'),
        b'[' => container_end(bytes, at + 1, b'[', b']'),
        _ => (at..bytes.len())
            .find(|&i| matches!(bytes[i], b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'))
            .unwrap_or(bytes.len()),
    }
}

/// Behind the quote that closes the string whose inside starts at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(next) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += next;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// Behind the bracket that closes the container whose inside starts at `at`.
fn container_end(bytes: &[u8], mut at: usize, open: u8, close: u8) -> usize {
    let mut depth = 1;
    while let Some(next) = memchr::memchr3(b'"', open, close, bytes.get(at..).unwrap_or_default()) {
        at += next + 1;
        match bytes[at - 1] {
            b'"' => at = string_end(bytes, at),
            byte if byte == open => depth += 1,
            _ => depth -= 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i32>().prop_map(Json::from),
            "[a\"\\\\\\[\\]{},:é ]{0,6}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
                prop::collection::btree_map("[a-c\"\\\\}\\]]{1,3}", inner, 0..5)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Reads a document by walking over it.
    fn walked(value: &Value<'_>) -> Json {
        match value {
            Value::Null => Json::Null,
            Value::Bool(yes) => Json::from(*yes),
            Value::Number(digits) => serde_json::from_str(digits).unwrap(),
            Value::String(text) => Json::from(text.to_str().into_owned()),
            Value::Array(_) => value.entries().map(|(_, value)| walked(&value)).collect(),
            Value::Object(_) => value
                .entries()
                .map(|(key, value)| (key.unwrap().to_str().into_owned(), walked(&value)))
                .collect(),
            other => panic!("no JSON has {other:?}"),
        }
    }

    proptest! {
        #[test]
        fn a_walk_finds_what_a_parser_does(document in json(), pretty in any::<bool>()) {
            let text = if pretty { format!("{document:#}") } else { document.to_string() };
            prop_assert_eq!(walked(&Value::of_json(text.as_bytes())), document);
        }
    }
}
