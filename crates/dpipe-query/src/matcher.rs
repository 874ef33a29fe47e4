//! A compiled query, and how it is put to an event.

use std::cmp::Ordering;
use std::io::Write;
use std::ops::Bound;

use dpipe_event::{EventRef, Path, Value};

use crate::ast::Glyph;
use crate::expression::Expression;
use crate::number::Number;
use crate::search::{Phrase, json_text};
use crate::tokens::{Text, fold, glob};

/// A test of an event.
#[derive(Debug)]
pub(crate) enum Test {
    /// Every event passes.
    Always,
    Not(Box<Test>),
    All(Box<[Test]>),
    Any(Box<[Test]>),
    /// The field is there and passes.
    Field(Path, Check),
    /// `message` passes; or, without one, the whole body.
    Text(Path, Check),
}

/// A test of a value that is there.
#[derive(Debug)]
pub(crate) enum Check {
    /// It is not null.
    Present,
    Contains(Needle),
    Equals(Exact),
    Between(Range),
    Matches(Expression),
    All(Box<[Check]>),
    Any(Box<[Check]>),
}

/// A term or a phrase, for every kind of value.
#[derive(Debug)]
pub(crate) struct Needle {
    pub(crate) phrase: Phrase,
    /// The term as a number.
    pub(crate) number: Option<Number>,
    /// The whole term, folded, if it has wildcards: what the digits of a number must look like.
    pub(crate) pattern: Option<Box<[Glyph]>>,
}

/// An exact value.
#[derive(Debug)]
pub(crate) struct Exact {
    pub(crate) text: Box<str>,
    pub(crate) number: Option<Number>,
}

/// A range of values.
#[derive(Debug)]
pub(crate) enum Range {
    Numbers(Bound<Number>, Bound<Number>),
    Strings(Bound<Box<str>>, Bound<Box<str>>),
}

/// A value without others inside.
#[derive(Clone, Copy)]
enum Scalar<'a> {
    Bool(bool),
    Number(&'a [u8]),
    String(Text<'a>),
}

impl Test {
    pub(crate) fn passes(&self, event: &EventRef<'_>) -> bool {
        match self {
            Test::Always => true,
            Test::Not(test) => !test.passes(event),
            Test::All(tests) => tests.iter().all(|test| test.passes(event)),
            Test::Any(tests) => tests.iter().any(|test| test.passes(event)),
            Test::Field(path, check) => event.get(path).is_some_and(|value| check.passes(&value)),
            Test::Text(message, check) => match event.get(message) {
                // An event of plain text is its own `message`, so this body is JSON.
                None | Some(Value::Null) => {
                    check.passes_scalar(Scalar::String(json_text(&event.body_text())))
                }
                Some(value) => check.passes(&value),
            },
        }
    }
}

impl Check {
    fn passes(&self, value: &Value<'_>) -> bool {
        let text = |bytes| Scalar::String(Text { bytes, escaped: false });
        match (self, value) {
            (Check::Present, value) => !matches!(value, Value::Null),
            (Check::All(checks), value) => checks.iter().all(|check| check.passes(value)),
            (Check::Any(checks), value) => checks.iter().any(|check| check.passes(value)),
            (_, Value::Null) => false,
            (_, Value::Array(_)) | (Check::Contains(_), Value::Object(_)) => {
                value.entries().any(|(_, inner)| self.passes(&inner))
            }
            (_, Value::Object(_)) => false,
            (_, Value::Bool(yes)) => self.passes_scalar(Scalar::Bool(*yes)),
            (_, Value::Number(digits)) => self.passes_scalar(Scalar::Number(digits.as_bytes())),
            (_, Value::Integer(whole)) => {
                self.passes_scalar(Scalar::Number(itoa::Buffer::new().format(*whole).as_bytes()))
            }
            (_, Value::Id(id)) => {
                let mut digits = [0; 32];
                write!(&mut digits[..], "{id}").expect("an id has 32 digits");
                self.passes_scalar(text(&digits))
            }
            (_, Value::String(string)) => self.passes_scalar(Scalar::String(Text {
                bytes: string.raw(),
                escaped: string.unescaped().is_none(),
            })),
        }
    }

    fn passes_scalar(&self, value: Scalar<'_>) -> bool {
        match self {
            Check::Present => true,
            Check::Contains(needle) => needle.is_in(value),
            Check::Equals(exact) => exact.is(value),
            Check::Between(range) => range.holds(value),
            Check::Matches(expression) => match value {
                Scalar::String(text) if text.escaped => {
                    expression.may_match_decoded(text.bytes)
                        && expression.is_match(text.decoded().as_bytes())
                }
                Scalar::String(text) => expression.is_match(text.bytes),
                Scalar::Number(digits) => expression.is_match(digits),
                Scalar::Bool(yes) => expression.is_match(word(yes)),
            },
            Check::All(checks) => checks.iter().all(|check| check.passes_scalar(value)),
            Check::Any(checks) => checks.iter().any(|check| check.passes_scalar(value)),
        }
    }
}

impl Needle {
    fn is_in(&self, value: Scalar<'_>) -> bool {
        match value {
            Scalar::String(text) => self.phrase.is_in(text),
            Scalar::Bool(yes) => self.phrase.is_in(Text { bytes: word(yes), escaped: false }),
            Scalar::Number(digits) => match (&self.number, &self.pattern) {
                (Some(number), _) => number.compare(digits) == Some(Ordering::Equal),
                (None, Some(pattern)) => glob(pattern, &mut (digits, 0), |(digits, at)| {
                    *at += 1;
                    digits.get(*at - 1).map(|digit| fold(char::from(*digit)))
                }),
                (None, None) => false,
            },
        }
    }
}

impl Exact {
    fn is(&self, value: Scalar<'_>) -> bool {
        match value {
            // An escape is longer than what it stands for.
            Scalar::String(text) if text.escaped => {
                text.bytes.len() > self.text.len() && text.reader(0).eq(self.text.chars())
            }
            Scalar::String(text) => text.bytes == self.text.as_bytes(),
            Scalar::Bool(yes) => word(yes) == self.text.as_bytes(),
            Scalar::Number(digits) => self
                .number
                .as_ref()
                .is_some_and(|number| number.compare(digits) == Some(Ordering::Equal)),
        }
    }
}

impl Range {
    fn holds(&self, value: Scalar<'_>) -> bool {
        match (self, value) {
            (Range::Numbers(lower, upper), Scalar::Number(digits)) => {
                is_between(lower, upper, |number| number.compare(digits))
            }
            (Range::Numbers(lower, upper), Scalar::String(text)) if text.escaped => {
                let text = text.decoded();
                is_between(lower, upper, |number| number.compare(text.as_bytes().trim_ascii()))
            }
            (Range::Numbers(lower, upper), Scalar::String(text)) => {
                let digits = text.bytes.trim_ascii();
                is_between(lower, upper, |number| number.compare(digits))
            }
            (Range::Strings(lower, upper), Scalar::String(text)) if text.escaped => {
                let text = text.decoded();
                is_between(lower, upper, |bound| Some(text.as_str().cmp(bound)))
            }
            (Range::Strings(lower, upper), Scalar::String(text)) => {
                is_between(lower, upper, |bound| Some(text.bytes.cmp(bound.as_bytes())))
            }
            (Range::Strings(..), Scalar::Number(_)) | (_, Scalar::Bool(_)) => false,
        }
    }
}

/// Whether a value that `compare` compares to a bound is within both; not if it cannot be compared.
fn is_between<T>(
    lower: &Bound<T>,
    upper: &Bound<T>,
    compare: impl Fn(&T) -> Option<Ordering>,
) -> bool {
    let holds = |bound: &Bound<T>, inside: Ordering| match bound {
        Bound::Unbounded => true,
        Bound::Included(bound) => compare(bound).is_some_and(|o| o == inside || o.is_eq()),
        Bound::Excluded(bound) => compare(bound) == Some(inside),
    };
    holds(lower, Ordering::Greater) && holds(upper, Ordering::Less)
}

fn word(yes: bool) -> &'static [u8] {
    if yes { b"true" } else { b"false" }
}
