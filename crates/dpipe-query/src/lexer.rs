//! Reads the pieces of a query: words, quoted texts, regular expressions, names of fields.

use dpipe_event::Path;

use crate::QueryError;
use crate::ast::Glyph;

/// A place in a query.
#[derive(Debug)]
pub(crate) struct Lexer<'q> {
    query: &'q str,
    chars: Vec<char>,
    pub(crate) at: usize,
}

/// A word that joins or turns around what stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    And,
    Or,
    Not,
    /// `+`
    Must,
    /// `-`
    MustNot,
}

/// The name before a colon.
#[derive(Debug)]
pub(crate) enum FieldName {
    Path(Path),
    /// `_exists_`
    Exists,
    /// `*`
    Any,
}

impl<'q> Lexer<'q> {
    pub(crate) fn new(query: &'q str) -> Self {
        Lexer { query, chars: query.chars().collect(), at: 0 }
    }

    /// An error about the characters `from..to`.
    pub(crate) fn error(&self, message: impl Into<String>, from: usize, to: usize) -> QueryError {
        let length = to.min(self.chars.len()).saturating_sub(from);
        QueryError { message: message.into(), at: from, length, query: self.query.to_owned() }
    }

    /// An error about the character at hand.
    pub(crate) fn error_here(&self, message: impl Into<String>) -> QueryError {
        self.error(message, self.at, self.at + 1)
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.peek_at(0)
    }

    /// The character `ahead` of the one at hand.
    pub(crate) fn peek_at(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn looks_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c))
    }

    /// Takes this text, if it is at hand.
    pub(crate) fn eat(&mut self, text: &str) -> bool {
        let found = self.looks_at(text);
        if found {
            self.at += text.chars().count();
        }
        found
    }

    pub(crate) fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// What was taken since `from`.
    pub(crate) fn taken(&self, from: usize) -> String {
        self.chars[from..self.at].iter().collect()
    }

    /// The operator at hand and its length, not taken.
    pub(crate) fn operator(&self) -> Option<(Operator, usize)> {
        let words = [("AND", Operator::And), ("OR", Operator::Or), ("NOT", Operator::Not)];
        for (word, operator) in words {
            let after = self.chars.get(self.at + word.len());
            let ends = after.is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '"'));
            if ends && self.looks_at(word) {
                return Some((operator, word.len()));
            }
        }
        match self.peek()? {
            '&' if self.looks_at("&&") => Some((Operator::And, 2)),
            '|' if self.looks_at("||") => Some((Operator::Or, 2)),
            '!' => Some((Operator::Not, 1)),
            '+' => Some((Operator::Must, 1)),
            '-' => Some((Operator::MustNot, 1)),
            _ => None,
        }
    }

    /// Whether what is at hand ends a word.
    pub(crate) fn at_end_of_word(&self) -> bool {
        self.peek().is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')'))
            || self.looks_at("&&")
            || self.looks_at("||")
    }

    /// A text in quotes; a backslash takes the next character as it is.
    pub(crate) fn quoted(&mut self) -> Result<String, QueryError> {
        let open = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(self.error("this quote is never closed", open, open + 1)),
                Some('"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some('\\') => text.push(self.escaped()?),
                Some(c) => {
                    text.push(c);
                    self.at += 1;
                }
            }
        }
    }

    /// The character behind the backslash at hand.
    fn escaped(&mut self) -> Result<char, QueryError> {
        let c = self.chars.get(self.at + 1).copied();
        let c = c.ok_or_else(|| self.error_here("a backslash with nothing behind it"))?;
        self.at += 2;
        Ok(c)
    }

    /// A regular expression between slashes; `\/` is a slash in it.
    pub(crate) fn regex(&mut self) -> Result<String, QueryError> {
        let open = self.at;
        self.at += 1;
        let mut source = String::new();
        loop {
            match self.peek() {
                None => {
                    let message = "this regular expression is never closed; \
                                   a text with slashes needs quotes";
                    return Err(self.error(message, open, open + 1));
                }
                Some('/') => {
                    self.at += 1;
                    return Ok(source);
                }
                Some('\\') if self.looks_at("\\/") => {
                    source.push('/');
                    self.at += 2;
                }
                Some('\\') => {
                    source.push('\\');
                    source.push(self.escaped()?);
                }
                Some(c) => {
                    source.push(c);
                    self.at += 1;
                }
            }
        }
    }

    /// A term without quotes, with wildcards and escapes.
    pub(crate) fn term(&mut self) -> Result<Vec<Glyph>, QueryError> {
        let mut glyphs = Vec::new();
        while !self.at_end_of_word() {
            let Some(c) = self.peek() else { break };
            glyphs.push(match c {
                '\\' => {
                    glyphs.push(Glyph::Char(self.escaped()?));
                    continue;
                }
                '*' => Glyph::Many,
                '?' => Glyph::One,
                '~' | '^' | ':' => break, // the parser says what is wrong with them
                '"' | '[' | ']' | '{' | '}' | '|' => {
                    let message = format!("`{c}` in a term: write `\\{c}`, or quote the term");
                    return Err(self.error_here(message));
                }
                c => Glyph::Char(c),
            });
            self.at += 1;
        }
        Ok(glyphs)
    }

    /// A value that is taken by its letters, up to a space or one of `ends`; or a quoted one.
    pub(crate) fn literal(&mut self, ends: &[char]) -> Result<String, QueryError> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if c.is_whitespace() || ends.contains(&c) {
                break;
            }
            if c == '\\' {
                text.push(self.escaped()?);
            } else {
                text.push(c);
                self.at += 1;
            }
        }
        if text.is_empty() { Err(self.error_here("expected a value")) } else { Ok(text) }
    }

    /// The name of a field and its colon, if that is at hand.
    pub(crate) fn field(&mut self) -> Result<Option<FieldName>, QueryError> {
        let start = self.at;
        let name = self.name().filter(|name| !name.text.is_empty());
        let Some(name) = name.filter(|_| self.peek() == Some(':')) else {
            self.at = start;
            return Ok(None);
        };
        let field = match name.text.as_str() {
            "_exists_" => FieldName::Exists,
            "*" => FieldName::Any,
            _ => FieldName::Path(self.path(&name, start)?),
        };
        self.at += 1;
        Ok(Some(field))
    }

    /// The name of a field where a value stands, as in `_exists_:name`.
    pub(crate) fn field_as_value(&mut self) -> Result<Path, QueryError> {
        let start = self.at;
        match self.name().filter(|name| !name.text.is_empty()) {
            Some(name) => self.path(&name, start),
            None => Err(self.error("expected the name of a field", start, start + 1)),
        }
    }

    /// Takes what may be the name of a field; `None` if it has a quote that is never closed.
    fn name(&mut self) -> Option<Name> {
        let mut name = Name::default();
        let mut key = String::new();
        let mut escaped = false;
        loop {
            let c = self.peek();
            match c {
                Some('\\') => {
                    key.push(self.escaped().ok()?);
                    escaped = true;
                    continue;
                }
                Some('"') if key.is_empty() && !name.text.ends_with(['"', ']']) => {
                    let start = self.at;
                    name.push_quoted(&self.quoted().ok()?);
                    name.rewritten |= self.chars[start..self.at].contains(&'\\');
                    continue;
                }
                Some('*' | '?') => name.wildcard = name.wildcard.or(Some(self.at)),
                _ => {}
            }
            let ends = self.at_end_of_word()
                || c.is_some_and(|c| matches!(c, ':' | '"' | '{' | '}' | '^' | '~' | '|'));
            if ends || matches!(c, Some('.' | '[' | ']')) {
                if escaped {
                    name.push_quoted(&key);
                    name.rewritten = true;
                } else {
                    name.text.push_str(&key);
                }
                key.clear();
                escaped = false;
            }
            match c {
                Some(c) if !ends => {
                    if matches!(c, '.' | '[' | ']') { &mut name.text } else { &mut key }.push(c);
                    self.at += 1;
                }
                _ => return Some(name),
            }
        }
    }

    /// The path of the name that was taken since `start`.
    fn path(&self, name: &Name, start: usize) -> Result<Path, QueryError> {
        if let Some(at) = name.wildcard {
            let message = "the name of a field takes no wildcard; quote it if it is meant so";
            return Err(self.error(message, at, at + 1));
        }
        Path::parse(&name.text).map_err(|error| {
            let message = format!("{} in the name of a field", error.reason);
            if name.rewritten {
                return self.error(message, start, self.at);
            }
            self.error(message, start + error.at, start + error.at + 1)
        })
    }
}

/// The name of a field, written as [`Path::parse`] takes it.
#[derive(Debug, Default)]
struct Name {
    text: String,
    /// Whether a backslash was in it, so that places in `text` are not those in the query.
    rewritten: bool,
    wildcard: Option<usize>,
}

impl Name {
    fn push_quoted(&mut self, key: &str) {
        self.text.push('"');
        self.text.push_str(&key.replace('\\', "\\\\").replace('"', "\\\""));
        self.text.push('"');
    }
}
