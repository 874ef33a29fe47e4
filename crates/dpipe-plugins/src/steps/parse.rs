//! Reads a field by a codec: JSON within a string, a logfmt line, an access log.
//!
//! The members that the codec finds become fields of the event, next to those that are there; with
//! `into:` they become one object. A field that is there already is replaced. The time that the
//! codec finds becomes the event's time, unless `time: false`. An event without the field, or with
//! `null`, is left as it is.
//!
//! A text that the codec refuses leaves the event as it is. It is flagged with the codec's reason
//! (`bad_json`, for one), and `error_into:` names a field that says it in words. Flagged as well:
//! `not_a_text`, for objects and lists; `unwritable`, where something else than an object is in the
//! way of `into`; and what the codec flags, such as `ambiguous_time`.
//!
//! ```yaml
//! parse: { field: message, codec: json, into: app, remove: true }
//! ```

use dpipe_event::{EventMut, NewValue, Path, Record, Selection, Value};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, FieldPath, Parsed, Parser, Step, StepConfig,
    StepContext, StepSpec,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::target::Target;

/// What to read, and where to put what it says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field with the text.
    #[serde(default = "message")]
    field: FieldPath,
    /// The field that becomes an object of what was found; without it, the event itself does.
    into: Option<Target>,
    /// Whether the field goes when its text was read.
    #[serde(default)]
    remove: bool,
    /// Whether the time that the text gives becomes the event's time.
    #[serde(default = "yes")]
    time: bool,
    /// The field that says why a text could not be read.
    error_into: Option<Target>,
}

fn message() -> FieldPath {
    FieldPath("message".parse().expect("a plain word is a path"))
}

fn yes() -> bool {
    true
}

impl StepConfig for Config {
    const NAME: &'static str = "parse";
    const TAKES_CODEC: bool = true;
}

impl StepSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let codec = context.decoder.ok_or_else(|| BuildError::new("no codec was lent"))?;
        let path = |target: &Option<Target>| target.as_deref().cloned();
        Ok(Box::new(Parse {
            field: self.field.0.clone(),
            into: path(&self.into),
            remove: self.remove,
            time: self.time,
            error_into: path(&self.error_into),
            parser: codec.parser(context)?,
            record: Record::new(),
        }))
    }
}

struct Parse {
    field: Path,
    into: Option<Path>,
    remove: bool,
    time: bool,
    error_into: Option<Path>,
    parser: Box<dyn Parser>,
    record: Record,
}

impl Step for Parse {
    fn run(
        &mut self,
        batch: &mut dpipe_event::Batch,
        selection: &Selection,
        context: &mut StepContext,
    ) {
        let now = batch.received();
        batch.each(selection, |event| {
            let found = match event.as_ref().get(&self.field) {
                None | Some(Value::Null) => return,
                Some(value) => value
                    .as_text()
                    .map(|text| self.record.fill(|record| self.parser.parse(&text, now, record))),
            };
            match found {
                None => context.flagged("not_a_text", 1),
                Some(Ok(parsed)) => self.apply(event, parsed, context),
                Some(Err(error)) => self.refuse(event, &error, context),
            }
        });
    }
}

impl Parse {
    fn apply(&self, event: &mut EventMut<'_>, parsed: Parsed, context: &mut StepContext) {
        match &self.into {
            // Removed first, so that a member of the same name stays.
            None => {
                if self.remove {
                    event.remove(&self.field);
                }
                event.merge(&self.record, None);
            }
            Some(into) => {
                if !event.merge(&self.record, Some(into)) {
                    context.flagged("unwritable", 1);
                } else if self.remove && !is_along(&self.field, into) {
                    event.remove(&self.field);
                }
            }
        }
        if let Some(time) = parsed.time.filter(|_| self.time) {
            event.set_time(time);
        }
        if let Some(flag) = parsed.flag {
            context.flagged(flag, 1);
        }
    }

    fn refuse(&self, event: &mut EventMut<'_>, error: &DecodeError, context: &mut StepContext) {
        context.flagged(error.kind, 1);
        if let Some(path) = &self.error_into
            && !event.set(path, NewValue::String(error.reason.as_bytes()))
        {
            context.flagged("unwritable", 1);
        }
    }
}

/// Whether one is the other or above it: what was written to the one is all that there is of both.
fn is_along(field: &Path, into: &Path) -> bool {
    let (field, into) = (field.segments(), into.segments());
    field.starts_with(into) || into.starts_with(field)
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::check_step_with_codecs;

    use super::*;
    use crate::codecs::DECODERS;

    #[track_caller]
    fn check(settings: &str, input: &str, expected: &str) {
        check_step_with_codecs::<Config>(DECODERS, settings, input, expected);
    }

    #[test]
    fn what_a_text_holds_becomes_fields() {
        check(
            "parse: { codec: json }",
            r#"{"message":"{\"a\":1,\"m\":{\"b\":\"x\\n\"}}","a":0}
               {"other":1}
               {"message":null}"#,
            r#"{"message":"{\"a\":1,\"m\":{\"b\":\"x\\n\"}}","a":1,"m":{"b":"x\n"}}
               {"other":1}
               {"message":null}"#,
        );
    }

    #[test]
    fn the_text_makes_room_for_a_member_of_its_own_name() {
        check(
            "parse: { codec: json, remove: true }",
            r#"{"message":"{\"message\":\"inner\",\"n\":12345678901234567890}","z":1}"#,
            r#"{"message":"inner","z":1,"n":12345678901234567890}"#,
        );
    }

    #[test]
    fn members_can_be_put_below_a_field() {
        check(
            "parse: { field: log.text, codec: als, into: log.parsed, remove: true }",
            r#"{"log":{"text":"us,1700000000,{\"uid\":7}"}}"#,
            r#"{"log":{"parsed":{"uid":7}}}"#,
        );
    }

    #[test]
    fn a_text_stays_when_what_it_holds_cannot_be_put_where_it_should() {
        check(
            "parse: { codec: json, into: a.b, remove: true }",
            r#"{"message":"{\"n\":1}","a":"in the way"}
               {"message":"{\"n\":1}","a":{}}"#,
            r#"{"message":"{\"n\":1}","a":"in the way"}
               {"a":{"b":{"n":1}}}
               flagged unwritable 1"#,
        );
    }

    #[test]
    fn what_a_text_holds_can_take_its_place() {
        check(
            "parse: { codec: json, into: message, remove: true }",
            r#"{"message":"{\"n\":1}"}"#,
            r#"{"message":{"n":1}}"#,
        );
        check(
            "parse: { field: log.text, codec: json, into: log, remove: true }",
            r#"{"log":{"text":"{\"text\":1}","z":1}}"#,
            r#"{"log":{"text":1}}"#,
        );
    }

    #[test]
    fn plain_text_is_a_message_too() {
        check("parse: { codec: als, remove: true }", r#"us,1700000000,{"a":1}"#, r#"{"a":1}"#);
    }

    #[test]
    fn what_the_codec_refuses_is_left_and_said() {
        check(
            "parse: { field: m, codec: json, error_into: why }",
            r#"{"m":"{broken"}
               {"m":{"a":1}}
               {"m":12}"#,
            r#"{"m":"{broken","why":"the body is not a JSON object: expected a key at byte 1"}
               {"m":{"a":1}}
               {"m":12,"why":"the body is not a JSON object: expected an object at byte 0"}
               flagged bad_json 2
               flagged not_a_text 1"#,
        );
    }
}
