//! JSON, strictly as RFC 8259 has it.

use std::collections::HashSet;
use std::sync::Arc;

use dpipe_plugin::settings::{Entry, Node, NodeValue, Problem, Scalar, ScalarKind, SourceFile};

use super::{DEPTH_MAX, duplicate_key, too_deep};

pub(super) fn parse(file: &Arc<SourceFile>) -> Result<Node, Problem> {
    let at = if file.text().starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut parser = Parser { file, at, depth: 0 };
    parser.skip_space()?;
    if parser.rest().is_empty() {
        return Ok(Node::scalar(file.span(at..at), Scalar::plain("")));
    }
    let root = parser.value()?;
    parser.skip_space()?;
    match parser.peek() {
        None => Ok(root),
        Some(_) => Err(parser.here("expected the end of the file")),
    }
}

struct Parser<'a> {
    file: &'a Arc<SourceFile>,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.file.text()[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, c: char) -> bool {
        let eaten = self.rest().starts_with(c);
        if eaten {
            self.at += c.len_utf8();
        }
        eaten
    }

    fn problem(&self, from: usize, to: usize, message: impl Into<String>) -> Problem {
        Problem::error(message).at(self.file.span(from..to))
    }

    fn here(&self, message: impl Into<String>) -> Problem {
        let found = self.peek();
        let message = match found {
            Some(c) => format!("{}, found `{c}`", message.into()),
            None => format!("{}, found the end of the file", message.into()),
        };
        self.problem(self.at, self.at + found.map_or(0, char::len_utf8), message)
    }

    fn skip_space(&mut self) -> Result<(), Problem> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        if self.rest().starts_with("//")
            || self.rest().starts_with("/*")
            || self.rest().starts_with('#')
        {
            return Err(self
                .problem(self.at, self.at + 1, "JSON has no comments")
                .help("a configuration with comments can be written in YAML or TOML"));
        }
        Ok(())
    }

    fn value(&mut self) -> Result<Node, Problem> {
        let start = self.at;
        match self.peek() {
            Some('{') => self.nested(Self::map),
            Some('[') => self.nested(Self::list),
            Some('"') => {
                let text = self.string()?;
                Ok(Node::scalar(self.file.span(start..self.at), Scalar::quoted(text)))
            }
            Some(c) if c == '-' || c.is_ascii_digit() => self.number(),
            Some(c) if c.is_alphabetic() => self.word(),
            Some('\'') => Err(self.here("expected a value").help("JSON has double quotes only")),
            _ => Err(self.here("expected a value")),
        }
    }

    fn nested(
        &mut self,
        content: fn(&mut Self) -> Result<NodeValue, Problem>,
    ) -> Result<Node, Problem> {
        let start = self.at;
        if self.depth == DEPTH_MAX {
            return Err(too_deep().at(self.file.span(start..start + 1)));
        }
        self.depth += 1;
        self.at += 1;
        let value = content(self)?;
        self.depth -= 1;
        Ok(Node::new(self.file.span(start..self.at), value))
    }

    fn map(&mut self) -> Result<NodeValue, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = HashSet::new();
        self.skip_space()?;
        if self.eat('}') {
            return Ok(NodeValue::Map(entries));
        }
        loop {
            let start = self.at;
            match self.peek() {
                Some('"') => {}
                Some('}') => return Err(self.trailing_comma()),
                _ => return Err(self.here("expected a key in double quotes")),
            }
            let key = self.string()?;
            let key_span = self.file.span(start..self.at);
            if !seen.insert(key.clone()) {
                return Err(duplicate_key(&entries, &key).at(key_span));
            }
            self.skip_space()?;
            if !self.eat(':') {
                return Err(self.here("expected `:` behind a key"));
            }
            self.skip_space()?;
            let value = self.value()?;
            entries.push(Entry { key, value: Node { key_span: Some(key_span), ..value } });
            self.skip_space()?;
            if self.eat('}') {
                return Ok(NodeValue::Map(entries));
            }
            if !self.eat(',') {
                return Err(self.here("expected `,` or `}`"));
            }
            self.skip_space()?;
        }
    }

    fn list(&mut self) -> Result<NodeValue, Problem> {
        let mut items = Vec::new();
        self.skip_space()?;
        if self.eat(']') {
            return Ok(NodeValue::List(items));
        }
        loop {
            if self.peek() == Some(']') {
                return Err(self.trailing_comma());
            }
            items.push(self.value()?);
            self.skip_space()?;
            if self.eat(']') {
                return Ok(NodeValue::List(items));
            }
            if !self.eat(',') {
                return Err(self.here("expected `,` or `]`"));
            }
            self.skip_space()?;
        }
    }

    fn trailing_comma(&self) -> Problem {
        let comma = self.file.text()[..self.at].rfind(',').unwrap_or(self.at);
        self.problem(comma, comma + 1, "JSON has no comma behind the last value")
    }

    fn string(&mut self) -> Result<String, Problem> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some('\\') => text.push(self.escape()?),
                None | Some('\n' | '\r') => {
                    return Err(self.problem(start, self.at, "this quote is never closed"));
                }
                Some(_) => {
                    let message = "a control character must be escaped in a string";
                    return Err(self.problem(self.at, self.at + 1, message));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Problem> {
        let start = self.at;
        self.at += 1;
        let c = self.peek().unwrap_or('\n');
        self.at += c.len_utf8().min(self.rest().len());
        Ok(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = self.hex4(start)?;
                let code = match unit {
                    0xd800..=0xdbff if self.rest().starts_with("\\u") => {
                        self.at += 2;
                        let low = self.hex4(start)?;
                        match low {
                            0xdc00..=0xdfff => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                            _ => unit,
                        }
                    }
                    _ => unit,
                };
                char::from_u32(code).ok_or_else(|| {
                    self.problem(start, self.at, "half of a surrogate pair is no character")
                })?
            }
            _ => {
                return Err(self
                    .problem(start, self.at, "this escape does not exist")
                    .help("write \\\\ for a backslash"));
            }
        })
    }

    fn hex4(&mut self, start: usize) -> Result<u32, Problem> {
        let digits = self.rest().get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return Err(self.problem(
                start,
                self.at,
                "expected four hexadecimal digits behind \\u",
            ));
        };
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<Node, Problem> {
        let start = self.at;
        let rest = self.rest();
        let len = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-')))
            .unwrap_or(rest.len());
        self.at += len;
        let text = &rest[..len];
        let kind = number_kind(text).ok_or_else(|| {
            self.problem(start, self.at, format!("`{text}` is not a number as JSON writes it"))
        })?;
        Ok(Node::scalar(self.file.span(start..self.at), Scalar::of_kind(kind, text)))
    }

    fn word(&mut self) -> Result<Node, Problem> {
        let start = self.at;
        let rest = self.rest();
        let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += len;
        let kind = match &rest[..len] {
            "true" | "false" => ScalarKind::Bool,
            "null" => ScalarKind::Null,
            word => {
                return Err(self
                    .problem(start, self.at, format!("expected a value, found `{word}`"))
                    .help(format!("write \"{word}\"")));
            }
        };
        Ok(Node::scalar(self.file.span(start..self.at), Scalar::of_kind(kind, &rest[..len])))
    }
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
fn number_kind(text: &str) -> Option<ScalarKind> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let valid = digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)));
    let integer = fraction.is_none() && exponent.is_none();
    valid.then_some(if integer { ScalarKind::Integer } else { ScalarKind::Float })
}
