//! The grammar: from text to a tree.
//!
//! ```text
//! alternatives = conjunction { ("OR" | "||") conjunction }
//! conjunction  = operand { ["AND" | "&&"] operand }
//! operand      = ("NOT" | "!" | "-" | "+") operand | clause
//! clause       = [field ":"] ( "(" alternatives ")" | value )
//! value        = term | "phrase" | =exact | /regex/ | [a TO b] | {a TO b} | >a | >=a | <a | <=a
//! ```

use std::ops::Bound;

use dpipe_event::{Meta, Path};

use crate::ast::{Clause, Glyph, Node, glyphs_of, text_of};
use crate::lexer::{FieldName, Lexer, Operator};
use crate::number::Number;
use crate::tokens::tokens_of;
use crate::{QueryError, expression, moment};

/// The longest query, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// The most clauses of a query; each may be a look at every event.
const MAX_CLAUSES: usize = 1024;
/// The most regular expressions of a query; each may take [`expression::MAX_BYTES`].
const MAX_REGEXES: usize = 64;
/// How deep parentheses and negations nest.
const MAX_DEPTH: usize = 100;

/// A parsed query, and what in it was probably not meant.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) node: Node,
    pub(crate) warnings: Vec<QueryError>,
}

/// Parses a query.
pub(crate) fn parse(query: &str) -> Result<Parsed, QueryError> {
    if query.len() > MAX_BYTES {
        let message = format!("a query takes at most {} KiB", MAX_BYTES / 1024);
        return Err(QueryError { message, at: 0, length: 0, query: query.to_owned() });
    }
    let mut parser = Parser {
        lexer: Lexer::new(query),
        scope: None,
        depth: 0,
        clauses: 0,
        regexes: 0,
        warnings: Vec::new(),
    };
    parser.lexer.skip_space();
    if parser.lexer.peek().is_none() {
        return Ok(Parsed { node: Node::All, warnings: Vec::new() });
    }
    let node = parser.alternatives()?;
    if parser.lexer.peek().is_some() {
        return Err(parser.lexer.error_here("this `)` closes nothing"));
    }
    Ok(Parsed { node, warnings: parser.warnings })
}

#[derive(Debug)]
struct Parser<'q> {
    lexer: Lexer<'q>,
    /// The field of the group that is being read.
    scope: Option<Path>,
    depth: usize,
    clauses: usize,
    regexes: usize,
    warnings: Vec<QueryError>,
}

impl Parser<'_> {
    fn alternatives(&mut self) -> Result<Node, QueryError> {
        let (first, mut must) = self.conjunction()?;
        let mut nodes = vec![first];
        while let Some((Operator::Or, length)) = self.lexer.operator() {
            self.lexer.at += length;
            let (next, next_must) = self.conjunction()?;
            nodes.push(next);
            must = must.or(next_must);
        }
        if let Some(at) = must.filter(|_| nodes.len() > 1) {
            let message = "`+` asks for a term that `OR` makes optional; use `AND` and parentheses";
            return Err(self.lexer.error(message, at, at + 1));
        }
        Ok(Node::any_of(nodes))
    }

    /// The conjunction, and where its first `+` is.
    fn conjunction(&mut self) -> Result<(Node, Option<usize>), QueryError> {
        let mut must = None;
        let mut nodes = Vec::new();
        let mut small_words = Vec::new();
        loop {
            self.lexer.skip_space();
            let start = self.lexer.at;
            if matches!(self.lexer.operator(), Some((Operator::Must, _))) {
                must = must.or(Some(start));
            }
            nodes.push(self.operand()?);
            let word = self.lexer.taken(start);
            if matches!(word.as_str(), "and" | "or" | "not") {
                small_words.push((nodes.len() - 1, start, word));
            }
            self.lexer.skip_space();
            match self.lexer.operator() {
                Some((Operator::And, length)) => self.lexer.at += length,
                Some((Operator::Or, _)) => break,
                _ if matches!(self.lexer.peek(), None | Some(')')) => break,
                _ => {}
            }
        }
        for (i, at, word) in small_words {
            let has_left = i > 0 || word == "not";
            if has_left && i + 1 < nodes.len() {
                let message = format!(
                    "`{word}` is searched as a word; did you mean `{}`?",
                    word.to_uppercase()
                );
                self.warnings.push(self.lexer.error(message, at, at + word.len()));
            }
        }
        Ok((Node::all_of(nodes), must))
    }

    fn operand(&mut self) -> Result<Node, QueryError> {
        let start = self.lexer.at;
        let Some((operator, length)) = self.lexer.operator() else { return self.clause() };
        self.lexer.at += length;
        let word = self.lexer.taken(start);
        if matches!(operator, Operator::And | Operator::Or) {
            let message = format!("expected a term before `{word}`");
            return Err(self.lexer.error(message, start, start + length));
        }
        let is_sign = matches!(operator, Operator::Must | Operator::MustNot);
        if is_sign && self.lexer.at_end_of_word() && self.lexer.peek() != Some('(') {
            let message =
                format!("`{word}` stands alone; write it right before a term, or quote it");
            return Err(self.lexer.error(message, start, start + length));
        }
        self.lexer.skip_space();
        let node = self.nested(start, Self::operand)?;
        Ok(if operator == Operator::Must { node } else { Node::Not(Box::new(node)) })
    }

    fn clause(&mut self) -> Result<Node, QueryError> {
        let start = self.lexer.at;
        match self.lexer.peek() {
            None => return Err(self.lexer.error_here("expected a term")),
            Some(')') => return Err(self.lexer.error_here("expected a term before `)`")),
            Some('(') => return self.group(),
            // No name of a field begins like this; a regular expression may hold a colon.
            Some('/' | '=' | '<' | '>') => return self.value(),
            Some(_) => {}
        }
        match self.lexer.field()? {
            None => self.value(),
            Some(FieldName::Exists) => {
                self.lexer.skip_space();
                let path = self.lexer.field_as_value()?;
                self.end_of_clause()?;
                self.count_clause(start)?;
                Ok(Node::Exists(path))
            }
            Some(FieldName::Any) => {
                if !self.lexer.eat("*") {
                    let message = "a search in any field has no field: leave out `*:`";
                    return Err(self.lexer.error(message, start, start + 2));
                }
                self.end_of_clause()?;
                Ok(Node::All)
            }
            Some(FieldName::Path(path)) => {
                self.lexer.skip_space();
                self.no_operator()?;
                let outer = self.scope.replace(path);
                let node = if self.lexer.peek() == Some('(') { self.group() } else { self.value() };
                self.scope = outer;
                node
            }
        }
    }

    /// Refuses an operator where the value of a field is expected, but for the sign of a number.
    fn no_operator(&self) -> Result<(), QueryError> {
        let Some((operator, length)) = self.lexer.operator() else { return Ok(()) };
        let start = self.lexer.at;
        let is_number = self.lexer.peek_at(length).is_some_and(|c| c == '.' || c.is_ascii_digit());
        let message = match operator {
            Operator::Must | Operator::MustNot if is_number => return Ok(()),
            Operator::And | Operator::Or => {
                "expected a value for the field; quote the word if it is one"
            }
            _ => "write this before the name of the field; or quote the value",
        };
        Err(self.lexer.error(message, start, start + length))
    }

    fn group(&mut self) -> Result<Node, QueryError> {
        let open = self.lexer.at;
        self.lexer.at += 1;
        self.lexer.skip_space();
        if self.lexer.peek() == Some(')') {
            return Err(self.lexer.error("nothing in the parentheses", open, self.lexer.at + 1));
        }
        let node = self.nested(open, Self::alternatives)?;
        if !self.lexer.eat(")") {
            return Err(self.lexer.error("this `(` is never closed", open, open + 1));
        }
        self.no_suffix()?;
        Ok(node)
    }

    fn nested(
        &mut self,
        at: usize,
        read: impl FnOnce(&mut Self) -> Result<Node, QueryError>,
    ) -> Result<Node, QueryError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("a query nests at most {MAX_DEPTH} deep");
            return Err(self.lexer.error(message, at, at + 1));
        }
        let node = read(self);
        self.depth -= 1;
        node
    }

    fn value(&mut self) -> Result<Node, QueryError> {
        let start = self.lexer.at;
        self.count_clause(start)?;
        let clause = match self.lexer.peek() {
            Some('"') => Clause::Phrase(self.lexer.quoted()?),
            Some('/') => self.regex()?,
            Some('=') => {
                self.needs_field("an exact value", start)?;
                self.lexer.at += 1;
                Clause::Exact(self.lexer.literal(&['(', ')'])?)
            }
            Some('>' | '<') => self.comparison()?,
            Some('[' | '{') => self.range()?,
            _ => {
                let term = self.lexer.term()?;
                if term.is_empty() {
                    self.no_suffix()?;
                    return Err(self.lexer.error_here(self.expected_value()));
                }
                if term.iter().all(|glyph| *glyph == Glyph::Many) {
                    self.end_of_clause()?;
                    return Ok(self.scope.clone().map_or(Node::All, Node::Exists));
                }
                Clause::Term(term)
            }
        };
        self.end_of_clause()?;
        if let Clause::Range(Bound::Unbounded, Bound::Unbounded) = clause {
            return Ok(self.scope.clone().map_or(Node::All, Node::Exists));
        }
        self.check(&clause, start)?;
        Ok(Node::Clause(self.scope.clone(), clause))
    }

    /// Refuses what would parse, but could never match.
    fn check(&self, clause: &Clause, start: usize) -> Result<(), QueryError> {
        let is_moment =
            |text: &String| Number::parse(text).is_some() || moment::interval(text).is_some();
        let is_open_or_moment = |bound: &Bound<String>| match bound {
            Bound::Unbounded => true,
            Bound::Included(text) | Bound::Excluded(text) => is_moment(text),
        };
        let message = if self.scope.as_ref().is_some_and(is_time) {
            let fits = match clause {
                Clause::Term(glyphs) => is_moment(&text_of(glyphs)),
                Clause::Phrase(text) | Clause::Exact(text) => is_moment(text),
                Clause::Range(lower, upper) => [lower, upper].into_iter().all(is_open_or_moment),
                Clause::Regex(_) => true,
            };
            (!fits).then_some(
                "a time is milliseconds since 1970, a date, or RFC 3339 like 2014-03-01T12:30:00Z",
            )
        } else {
            let has_token = match clause {
                Clause::Term(glyphs) => tokens_of(glyphs).is_some(),
                Clause::Phrase(text) => tokens_of(&glyphs_of(text)).is_some(),
                Clause::Exact(_) | Clause::Regex(_) | Clause::Range(..) => true,
            };
            (!has_token).then_some("a search needs a letter or a digit; see `:=` and `:/regex/`")
        };
        message.map_or(Ok(()), |message| Err(self.lexer.error(message, start, self.lexer.at)))
    }

    fn regex(&mut self) -> Result<Clause, QueryError> {
        let start = self.lexer.at;
        let source = self.lexer.regex()?;
        self.regexes += 1;
        if self.regexes > MAX_REGEXES {
            let message = format!("a query takes at most {MAX_REGEXES} regular expressions");
            return Err(self.lexer.error(message, start, self.lexer.at));
        }
        if let Err(fault) = expression::compile_expression(&source) {
            let message = format!("in the regular expression: {}", fault.message);
            // In the query, each slash of the source has a backslash before it.
            let place = |byte: usize| {
                let before = &source[..byte];
                start + 1 + before.chars().count() + before.matches('/').count()
            };
            return Err(self.lexer.error(message, place(fault.span.start), place(fault.span.end)));
        }
        Ok(Clause::Regex(source))
    }

    fn comparison(&mut self) -> Result<Clause, QueryError> {
        let start = self.lexer.at;
        self.needs_field("a comparison", start)?;
        let operator = [">=", "<=", ">", "<"].into_iter().find(|o| self.lexer.eat(o));
        self.lexer.skip_space();
        let value = self.lexer.literal(&['(', ')'])?;
        Ok(match operator {
            Some(">=") => Clause::Range(Bound::Included(value), Bound::Unbounded),
            Some(">") => Clause::Range(Bound::Excluded(value), Bound::Unbounded),
            Some("<=") => Clause::Range(Bound::Unbounded, Bound::Included(value)),
            _ => Clause::Range(Bound::Unbounded, Bound::Excluded(value)),
        })
    }

    fn range(&mut self) -> Result<Clause, QueryError> {
        let open = self.lexer.at;
        self.needs_field("a range", open)?;
        let lower_included = self.lexer.peek() == Some('[');
        self.lexer.at += 1;
        let lower = self.range_end()?;
        let between = self.lexer.at;
        if self.lexer.literal(&[']', '}']).ok().as_deref() != Some("TO") {
            let message = "expected `TO` between the ends of a range";
            return Err(self.lexer.error(message, between, self.lexer.at.max(between + 1)));
        }
        let upper = self.range_end()?;
        let upper_included = self.lexer.peek() == Some(']');
        if !self.lexer.eat("]") && !self.lexer.eat("}") {
            if self.lexer.peek().is_some() {
                return Err(self.lexer.error_here("expected `]` or `}` at the end of a range"));
            }
            return Err(self.lexer.error("this range is never closed", open, open + 1));
        }
        let bound = |value: Option<String>, included| match value {
            None => Bound::Unbounded,
            Some(value) if included => Bound::Included(value),
            Some(value) => Bound::Excluded(value),
        };
        Ok(Clause::Range(bound(lower, lower_included), bound(upper, upper_included)))
    }

    /// An end of a range, with the space around it; `None` for `*`.
    fn range_end(&mut self) -> Result<Option<String>, QueryError> {
        self.lexer.skip_space();
        let start = self.lexer.at;
        let value = self.lexer.literal(&[']', '}'])?;
        let is_open = self.lexer.taken(start) == "*";
        self.lexer.skip_space();
        Ok((!is_open).then_some(value))
    }

    fn needs_field(&self, what: &str, at: usize) -> Result<(), QueryError> {
        if self.scope.is_some() {
            return Ok(());
        }
        let message = format!("{what} needs a field before it, as in `field:…`");
        Err(self.lexer.error(message, at, at + 1))
    }

    fn expected_value(&self) -> &'static str {
        match (self.scope.is_some(), self.lexer.peek()) {
            (_, Some(':')) => "unexpected `:`; write `\\:`, or quote the term",
            (true, _) => "expected a value for the field",
            (false, _) => "expected a term",
        }
    }

    fn end_of_clause(&self) -> Result<(), QueryError> {
        self.no_suffix()?;
        if self.lexer.at_end_of_word() {
            return Ok(());
        }
        Err(self.lexer.error_here(match self.lexer.peek() {
            Some(':') => "unexpected `:`; write `\\:`, or quote the term",
            _ => "expected a space; a text with quotes or slashes in it needs quotes around it",
        }))
    }

    fn no_suffix(&self) -> Result<(), QueryError> {
        match self.lexer.peek() {
            Some('~') => Err(self.lexer.error_here(
                "fuzzy and proximity searches (`~`) are not supported; write `\\~` for the character",
            )),
            Some('^') => Err(self.lexer.error_here(
                "boosts (`^`) are not supported: nothing is ranked; write `\\^` for the character",
            )),
            _ => Ok(()),
        }
    }

    fn count_clause(&mut self, at: usize) -> Result<(), QueryError> {
        self.clauses += 1;
        if self.clauses > MAX_CLAUSES {
            let message = format!("a query takes at most {MAX_CLAUSES} terms");
            return Err(self.lexer.error(message, at, at + 1));
        }
        Ok(())
    }
}

/// Whether a field is a moment, so that dates compare with it.
pub(crate) fn is_time(path: &Path) -> bool {
    matches!(path.meta(), Some(Meta::Time | Meta::Received))
}
