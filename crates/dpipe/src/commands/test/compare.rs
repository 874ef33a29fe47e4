//! What a test expected, beside what it got.

use std::collections::BTreeMap;

use dpipe_engine::{Arrival, Line, Refused, Rehearsal, Tally};
use dpipe_event::{EventRef, Meta, Path};
use serde_json::Value;
use similar::{Algorithm, ChangeTag, DiffOp, TextDiff, capture_diff_slices};

use super::script::{Expected, Fields, Moment, Test};

/// Something that is not as it should be.
#[derive(Debug)]
pub(super) struct Difference {
    /// What it is about.
    pub(super) about: String,
    /// Expected and got, line by line.
    pub(super) lines: Vec<Shown>,
}

/// A line of a difference.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// As it should be.
    Same(String),
    /// Expected, and not there.
    Missing(String),
    /// There, and not expected.
    Extra(String),
}

use Shown::{Extra, Missing, Same};

/// Everything that is not as the test says.
pub(super) fn compare(test: &Test, got: &Rehearsal) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, arrived) in &got.outputs {
        if let Some(expected) = test.outputs.get(&**name) {
            let lines = events(expected, arrived);
            if differs(&lines) {
                let mut about = format!("output `{name}`");
                if expected.len() != arrived.len() {
                    let (wanted, got) = (how_many(expected.len()), arrived.len());
                    about.push_str(&format!(": expected {wanted}, got {got}"));
                }
                found.push(Difference { about, lines });
            }
        }
    }
    let lines = dead(&test.dead, &got.dead);
    if differs(&lines) {
        found.push(Difference { about: "dead letters".into(), lines });
    }
    if let Some(expected) = test.unmatched {
        let unmatched = sum(got, |line| &line.dropped).remove("unmatched").unwrap_or(0);
        if unmatched != expected {
            let about = format!("unmatched: expected {expected}, got {unmatched}");
            found.push(Difference { about, lines: Vec::new() });
        }
    }
    let filtered = (test.filtered.as_ref(), sum(got, |line| &line.filtered));
    let flagged = (test.flagged.as_ref(), sum(got, |line| &line.flagged));
    for (about, (expected, got)) in [("filtered", filtered), ("flagged", flagged)] {
        let lines = expected.map(|expected| counts(expected, &got)).unwrap_or_default();
        if differs(&lines) {
            found.push(Difference { about: about.into(), lines });
        }
    }
    found
}

fn how_many(events: usize) -> String {
    format!("{events} event{}", if events == 1 { "" } else { "s" })
}

fn differs(lines: &[Shown]) -> bool {
    lines.iter().any(|line| !matches!(line, Same(_)))
}

/// A tally over all nodes.
fn sum(got: &Rehearsal, of: impl Fn(&Line) -> &Tally) -> BTreeMap<&'static str, u64> {
    let mut all = BTreeMap::new();
    for (reason, count) in got.ledger.lines.iter().flat_map(of) {
        *all.entry(*reason).or_default() += count;
    }
    all
}

fn counts(expected: &BTreeMap<String, u64>, got: &BTreeMap<&str, u64>) -> Vec<Shown> {
    let mut lines = Vec::new();
    for (reason, count) in expected {
        if *count != got.get(&**reason).copied().unwrap_or(0) {
            lines.push(Missing(format!("{reason}: {count}")));
        }
    }
    for (reason, count) in got {
        if *count != expected.get(*reason).copied().unwrap_or(0) {
            lines.push(Extra(format!("{reason}: {count}")));
        }
    }
    lines
}

fn dead(expected: &[String], got: &[Refused]) -> Vec<Shown> {
    let shown = |letter: &Refused| {
        let raw = String::from_utf8_lossy(&letter.raw);
        format!("{} at {}: {}: {raw}", letter.kind, letter.stage, letter.reason)
    };
    let mut lines = Vec::new();
    for index in 0..expected.len().max(got.len()) {
        let (wanted, letter) = (expected.get(index), got.get(index));
        if let (Some(wanted), Some(letter)) = (wanted, letter)
            && (wanted == letter.kind || letter.reason.contains(wanted))
        {
            lines.push(Same(shown(letter)));
            continue;
        }
        lines.extend(wanted.cloned().map(Missing));
        lines.extend(letter.map(shown).map(Extra));
    }
    lines
}

fn events(expected: &[Expected], got: &[Arrival]) -> Vec<Shown> {
    let texts: Vec<String> =
        got.iter().map(|event| String::from_utf8_lossy(&event.bytes()).into_owned()).collect();
    let whole = |expected: &Expected| match expected {
        Expected::Exactly(text) => Some(text.trim_end_matches('\n').to_owned()),
        Expected::Fields(_) => None,
    };
    // Where every event is given as a whole, one too few does not make all that follow wrong.
    if let Some(whole) = expected.iter().map(whole).collect::<Option<Vec<String>>>() {
        return sequence(&whole, &texts);
    }
    let mut lines = Vec::new();
    let mut came = texts.into_iter().zip(got);
    for expected in expected {
        match (expected, came.next()) {
            (_, None) => lines.push(Missing(describe(expected))),
            (Expected::Exactly(wanted), Some((text, _))) => {
                lines.extend(pair(wanted.trim_end_matches('\n'), &text));
            }
            (Expected::Fields(fields), Some((text, arrival))) => {
                lines.push(Same(text));
                lines.extend(wrong_fields(fields, &arrival.event()));
            }
        }
    }
    lines.extend(came.map(|(text, _)| Extra(text)));
    lines
}

fn describe(expected: &Expected) -> String {
    match expected {
        Expected::Exactly(text) => text.clone(),
        Expected::Fields(Fields { fields, absent }) => {
            let has = fields.iter().map(|(name, value)| format!("{}: {value}", name.written));
            let has_not = absent.iter().map(|name| format!("no {}", name.written));
            format!("an event with {}", has.chain(has_not).collect::<Vec<_>>().join(", "))
        }
    }
}

fn sequence(expected: &[String], got: &[String]) -> Vec<Shown> {
    let mut lines = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, expected, got) {
        let (old, new) = (&expected[op.old_range()], &got[op.new_range()]);
        if matches!(op, DiffOp::Equal { .. }) {
            lines.extend(old.iter().cloned().map(Same));
            continue;
        }
        let pairs = old.len().min(new.len());
        for (old, new) in old.iter().zip(new) {
            lines.extend(pair(old, new));
        }
        lines.extend(old[pairs..].iter().cloned().map(Missing));
        lines.extend(new[pairs..].iter().cloned().map(Extra));
    }
    lines
}

/// An event beside what it should be; field by field, if both are JSON.
fn pair(expected: &str, got: &str) -> Vec<Shown> {
    if expected == got {
        return vec![Same(got.to_owned())];
    }
    let plain = vec![Missing(expected.to_owned()), Extra(got.to_owned())];
    let (Some(expected), Some(got)) = (spread(expected), spread(got)) else { return plain };
    if expected == got {
        return plain;
    }
    let mut lines = Vec::new();
    let diff = TextDiff::from_lines(&expected, &got);
    for change in diff.grouped_ops(1).iter().flatten().flat_map(|op| diff.iter_changes(op)) {
        let line = change.value().trim_end_matches('\n').to_owned();
        lines.push(match change.tag() {
            ChangeTag::Equal => Same(line),
            ChangeTag::Delete => Missing(line),
            ChangeTag::Insert => Extra(line),
        });
    }
    lines
}

/// A JSON object over several lines.
fn spread(text: &str) -> Option<String> {
    let value: serde_json::Map<String, Value> = serde_json::from_str(text).ok()?;
    serde_json::to_string_pretty(&value).ok().map(|text| text + "\n")
}

fn wrong_fields(expected: &Fields, event: &EventRef<'_>) -> Vec<Shown> {
    let mut lines = Vec::new();
    for (name, wanted) in &expected.fields {
        let got = value(event, &name.path);
        let is_right = match (name.path.meta(), &got) {
            (Some(Meta::Time), _) => is_time(wanted, event.time().millis()),
            (Some(Meta::Received), _) => is_time(wanted, event.received().millis()),
            (_, Some(got)) => is_same(wanted, got),
            (_, None) => false,
        };
        if !is_right {
            lines.push(Missing(format!("{}: {wanted}", name.written)));
            lines.push(Extra(match got {
                Some(got) => format!("{}: {got}", name.written),
                None => format!("{} is not there", name.written),
            }));
        }
    }
    for name in &expected.absent {
        if let Some(got) = value(event, &name.path) {
            lines.push(Missing(format!("{} is not there", name.written)));
            lines.push(Extra(format!("{}: {got}", name.written)));
        }
    }
    lines
}

fn value(event: &EventRef<'_>, path: &Path) -> Option<Value> {
    match path.meta() {
        Some(Meta::Time) => return Some(event.time().to_string().into()),
        Some(Meta::Received) => return Some(event.received().to_string().into()),
        _ => {}
    }
    let mut json = Vec::new();
    event.get(path)?.write_json(&mut json);
    let text = String::from_utf8_lossy(&json).into_owned();
    Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Whether a time, in any zone or in milliseconds, is this one.
fn is_time(wanted: &Value, millis: i64) -> bool {
    match serde_json::from_value::<Moment>(wanted.clone()) {
        Ok(Moment(wanted)) => wanted == millis,
        Err(_) => wanted.as_i64() == Some(millis),
    }
}

/// Whether two values are the same: numbers by what they are worth, objects in any order.
fn is_same(wanted: &Value, got: &Value) -> bool {
    match (wanted, got) {
        (Value::Number(wanted), Value::Number(got)) => {
            wanted == got || wanted.as_f64().is_some_and(|wanted| Some(wanted) == got.as_f64())
        }
        (Value::Array(wanted), Value::Array(got)) => {
            wanted.len() == got.len() && wanted.iter().zip(got).all(|(w, g)| is_same(w, g))
        }
        (Value::Object(wanted), Value::Object(got)) => {
            wanted.len() == got.len()
                && wanted
                    .iter()
                    .all(|(key, wanted)| got.get(key).is_some_and(|got| is_same(wanted, got)))
        }
        _ => wanted == got,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_too_few_does_not_make_those_that_follow_wrong() {
        let texts =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let lines = sequence(&texts(&["a", "b", "c"]), &texts(&["a", "c", "d"]));
        let same = |text: &str| Same(text.to_owned());
        assert_eq!(lines, [same("a"), Missing("b".into()), same("c"), Extra("d".into())]);
    }

    #[test]
    fn of_two_json_events_the_fields_that_differ_are_shown() {
        let lines = pair(r#"{"a":1,"b":2,"c":3,"d":4}"#, r#"{"a":1,"b":2,"c":5,"d":4}"#);
        let expected = [
            Same(r#"  "b": 2,"#.into()),
            Missing(r#"  "c": 3,"#.into()),
            Extra(r#"  "c": 5,"#.into()),
            Same(r#"  "d": 4"#.into()),
        ];
        assert_eq!(lines, expected);
        let spaced = pair(r#"{"a": 1}"#, r#"{"a":1}"#);
        assert_eq!(spaced, [Missing(r#"{"a": 1}"#.into()), Extra(r#"{"a":1}"#.into())]);
    }

    #[test]
    fn numbers_are_the_same_if_they_are_worth_the_same() {
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert!(is_same(
            &json("[1.10, {\"a\": 1, \"b\": 2}]"),
            &json("[1.1, {\"b\": 2, \"a\": 1}]")
        ));
        assert!(!is_same(&json("1"), &json("\"1\"")));
        assert!(!is_same(&json("9007199254740993"), &json("9007199254740994.5")));
    }
}
