//! From a tree to a matcher: everything that can be done once is done here.

use std::ops::Bound;

use dpipe_event::Path;

use crate::ast::{Clause, Glyph, Node, glyphs_of, text_of};
use crate::expression::Expression;
use crate::matcher::{Check, Exact, Needle, Range, Test};
use crate::moment;
use crate::number::Number;
use crate::parser::is_time;
use crate::search::Phrase;
use crate::tokens::{fold_glyph, tokens_of};

/// The field that bare terms search.
const MESSAGE: &str = "message";

/// The test of a tree that the parser made.
pub(crate) fn compile(node: &Node) -> Test {
    match node {
        Node::All => Test::Always,
        Node::Not(node) => Test::Not(Box::new(compile(node))),
        Node::And(nodes) => combine(nodes, Test::All, Check::All),
        Node::Or(nodes) => combine(nodes, Test::Any, Check::Any),
        Node::Exists(path) => Test::Field(path.clone(), Check::Present),
        Node::Clause(None, clause) => {
            let message = Path::parse(MESSAGE).expect("`message` is a path");
            Test::Text(message, check(clause, false))
        }
        Node::Clause(Some(path), clause) => Test::Field(path.clone(), check(clause, is_time(path))),
    }
}

/// Joins tests: those of one field look it up once, and cheap ones go first.
fn combine(
    nodes: &[Node],
    join: fn(Box<[Test]>) -> Test,
    join_checks: fn(Box<[Check]>) -> Check,
) -> Test {
    /// Tests of one field, or one test of another kind.
    enum Part {
        Field(Path, Vec<Check>),
        Text(Path, Vec<Check>),
        Other(Test),
    }
    let mut parts: Vec<Part> = Vec::new();
    for node in nodes {
        let mut test = Some(compile(node));
        for part in &mut parts {
            match (part, test.take()) {
                (Part::Field(field, checks), Some(Test::Field(path, check))) if *field == path => {
                    checks.push(check);
                }
                (Part::Text(_, checks), Some(Test::Text(_, check))) => checks.push(check),
                (_, other) => test = other,
            }
        }
        parts.extend(test.map(|test| match test {
            Test::Field(path, check) => Part::Field(path, vec![check]),
            Test::Text(path, check) => Part::Text(path, vec![check]),
            other => Part::Other(other),
        }));
    }
    let joined = |mut checks: Vec<Check>| {
        checks.sort_by_key(check_cost);
        if checks.len() == 1 { checks.remove(0) } else { join_checks(checks.into()) }
    };
    let mut tests: Vec<Test> = parts
        .into_iter()
        .map(|part| match part {
            Part::Field(path, checks) => Test::Field(path, joined(checks)),
            Part::Text(path, checks) => Test::Text(path, joined(checks)),
            Part::Other(test) => test,
        })
        .collect();
    tests.sort_by_key(cost);
    if tests.len() == 1 { tests.remove(0) } else { join(tests.into()) }
}

/// How dear a test is, by rough classes.
fn cost(test: &Test) -> u32 {
    match test {
        Test::Always => 0,
        Test::Not(test) => cost(test),
        Test::All(tests) | Test::Any(tests) => tests.iter().map(cost).sum(),
        Test::Field(_, check) => 2 + check_cost(check),
        Test::Text(_, check) => 10 + 4 * check_cost(check),
    }
}

fn check_cost(check: &Check) -> u32 {
    match check {
        Check::Present => 0,
        Check::Equals(_) => 1,
        Check::Between(_) => 2,
        Check::Contains(_) => 4,
        Check::Matches(_) => 8,
        Check::All(checks) | Check::Any(checks) => checks.iter().map(check_cost).sum(),
    }
}

fn check(clause: &Clause, is_time: bool) -> Check {
    match clause {
        Clause::Regex(source) => {
            Check::Matches(Expression::new(source).expect("the parser built it before"))
        }
        Clause::Range(lower, upper) if is_time => Check::Between(time_range(lower, upper)),
        Clause::Range(lower, upper) => Check::Between(range(lower, upper)),
        Clause::Term(glyphs) if is_time => Check::Between(moment(text_of(glyphs))),
        Clause::Phrase(text) | Clause::Exact(text) if is_time => {
            Check::Between(moment(text.clone()))
        }
        Clause::Exact(text) => {
            Check::Equals(Exact { text: text.as_str().into(), number: Number::parse(text) })
        }
        Clause::Phrase(text) => Check::Contains(needle(&glyphs_of(text), Number::parse(text))),
        Clause::Term(glyphs) => Check::Contains(needle(glyphs, Number::parse(&text_of(glyphs)))),
    }
}

fn needle(glyphs: &[Glyph], number: Option<Number>) -> Needle {
    let tokens = tokens_of(glyphs).expect("the parser refuses terms without a token");
    let has_wildcard = glyphs.iter().any(|glyph| !matches!(glyph, Glyph::Char(_)));
    Needle {
        phrase: Phrase::new(tokens),
        number,
        pattern: has_wildcard.then(|| glyphs.iter().map(|g| fold_glyph(*g)).collect()),
    }
}

fn range(lower: &Bound<String>, upper: &Bound<String>) -> Range {
    match (number(lower), number(upper)) {
        (Some(lower), Some(upper)) => Range::Numbers(lower, upper),
        _ => {
            let text = |bound: &Bound<String>| bound.as_ref().map(|text| text.as_str().into());
            Range::Strings(text(lower), text(upper))
        }
    }
}

fn number(bound: &Bound<String>) -> Option<Bound<Number>> {
    Some(match bound {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(text) => Bound::Included(Number::parse(text)?),
        Bound::Excluded(text) => Bound::Excluded(Number::parse(text)?),
    })
}

/// All of the time that is written.
fn moment(text: String) -> Range {
    let bound = Bound::Included(text);
    time_range(&bound, &bound)
}

/// A range of moments, in milliseconds. A bound is as long as what is not written of it: after
/// `2014-03-01` is after the end of that day.
fn time_range(lower: &Bound<String>, upper: &Bound<String>) -> Range {
    let moment = |text: &str| match (Number::parse(text), moment::interval(text)) {
        (Some(number), _) => (number.clone(), number),
        (None, Some((first, last))) => (Number::of(first), Number::of(last)),
        (None, None) => unreachable!("the parser refuses what is no moment"),
    };
    let lower = match lower {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(text) => Bound::Included(moment(text).0),
        Bound::Excluded(text) => Bound::Excluded(moment(text).1),
    };
    let upper = match upper {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(text) => Bound::Included(moment(text).1),
        Bound::Excluded(text) => Bound::Excluded(moment(text).0),
    };
    Range::Numbers(lower, upper)
}
