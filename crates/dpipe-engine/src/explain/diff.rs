//! What a step changed: field by field.

use dpipe_event::{EventRef, Meta, Value as EventValue};
use serde_json::Value;

/// A field that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path of the field, or the name of the metadata.
    pub field: String,
    /// What it was, as JSON; nothing, if it was not there.
    pub before: Option<String>,
    /// What it is, as JSON; nothing, if it is gone.
    pub after: Option<String>,
}

/// An event at one moment.
pub(super) struct Snapshot {
    pub(super) metadata: Vec<(&'static str, String)>,
    /// As JSON.
    pub(super) body: String,
}

impl Snapshot {
    pub(super) fn of(event: &EventRef<'_>) -> Self {
        let text = |value: EventValue<'_>| {
            let mut out = Vec::new();
            value.write_text(&mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        let metadata = Meta::ALL.into_iter().filter_map(|meta| {
            let shown = match meta {
                Meta::Time => event.time().to_string(),
                Meta::Received => event.received().to_string(),
                _ => text(event.meta(meta)?),
            };
            Some((meta.name(), shown))
        });
        let metadata = metadata.collect();
        let mut body = Vec::new();
        event.write_json(&mut body);
        Snapshot { metadata, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// What is different in a later one.
    pub(super) fn changes(&self, after: &Snapshot) -> Vec<Change> {
        let mut changes = Vec::new();
        let names = self.metadata.iter().chain(&after.metadata).map(|(name, _)| *name);
        let mut seen = Vec::new();
        for name in names {
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let of = |snapshot: &Snapshot| {
                snapshot.metadata.iter().find(|(known, _)| *known == name).map(|(_, v)| v.clone())
            };
            note(name.to_owned(), of(self), of(after), &mut changes);
        }
        let parse = |body: &str| serde_json::from_str(body).unwrap_or(Value::Null);
        compare("", Some(&parse(&self.body)), Some(&parse(&after.body)), &mut changes);
        changes
    }
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    if let (Some(Value::Object(before)), Some(Value::Object(after))) = (before, after) {
        let new = after.keys().filter(|key| !before.contains_key(*key));
        for key in before.keys().chain(new) {
            compare(&joined(path, key), before.get(key), after.get(key), changes);
        }
        return;
    }
    let text = |value: Option<&Value>| value.map(Value::to_string);
    note(path.to_owned(), text(before), text(after), changes);
}

fn note(field: String, before: Option<String>, after: Option<String>, changes: &mut Vec<Change>) {
    if before != after {
        changes.push(Change { field, before, after });
    }
}

/// The path of a member, written as configurations have it.
fn joined(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '$');
    let key = if !key.is_empty() && key.chars().all(plain) {
        key.to_owned()
    } else {
        Value::from(key).to_string()
    };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: &str, after: &str) -> Vec<String> {
        let snapshot = |body: &str| Snapshot { metadata: Vec::new(), body: body.to_owned() };
        let shown = |change: &Change| {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
            format!("{} {} {}", change.field, text(&change.before), text(&change.after))
        };
        snapshot(before).changes(&snapshot(after)).iter().map(shown).collect()
    }

    #[test]
    fn fields_that_came_went_or_changed_are_found_at_every_depth() {
        let before = r#"{"a":1,"b":{"c":[1,2],"d":"x"},"gone":{"x":1},"same":1.10}"#;
        let after = r#"{"a":"1","b":{"c":[1],"d":"x","a.b":true},"same":1.10,"new":{}}"#;
        assert_eq!(
            changes(before, after),
            [r#"a 1 "1""#, "b.c [1,2] [1]", r#"b."a.b" - true"#, r#"gone {"x":1} -"#, "new - {}"]
        );
        assert!(changes(before, before).is_empty());
    }

    #[test]
    fn metadata_counts_and_the_order_of_keys_does_not() {
        let snapshot = |time: &str, body: &str| Snapshot {
            metadata: vec![("_time", time.into())],
            body: body.into(),
        };
        let changes = snapshot("1", r#"{"a":1,"b":2}"#).changes(&snapshot("2", r#"{"b":2,"a":1}"#));
        let time = |text: &str| Some(text.to_owned());
        assert_eq!(
            changes,
            [Change { field: "_time".into(), before: time("1"), after: time("2") }]
        );
    }
}
