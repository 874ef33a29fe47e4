//! Sets the event's time from a field.
//!
//! The formats are tried in the order written, and the first that reads the whole value (but for
//! space around it) gives the time. Strings and numbers are read, the latter by their digits.
//!
//! | format | reads |
//! |---|---|
//! | `iso8601` | `2014-03-01T12:00:00.250Z` (also RFC 3339), with a space for the `T`, without hyphens and colons, without offset or time |
//! | `rfc2822` | `Sat, 01 Mar 2014 12:00:00 +0000` |
//! | `syslog` | `Mar  1 12:00:00`; the year is the one that is nearest to the arrival |
//! | `httpd` | `01/Mar/2014:12:00:00 +0000` |
//! | `unix`, `unix_ms`, `unix_us`, `unix_ns` | seconds since 1970 (with a fraction), or thousandths, millionths, billionths of them |
//! | a pattern | as strptime(3) has them: `%Y %y %m %b %d %e %j %H %I %p %M %S %s %z %Z %a %F %T %D %R %r %c`; `%f` is a fraction of a second (`%3f`: of three digits), `%.f` the same with its point, if there is one; a space is any space |
//!
//! A time that says no offset and no zone is one of `timezone:`. Where clocks were set back there and
//! showed it twice, the earlier time is taken, and the event is flagged `ambiguous_time`; where they
//! were set forward and never showed it, it is read as if they had not been, and flagged
//! `nonexistent_time`. Times are kept to the millisecond; `_received` stays what it was.
//!
//! An event without the field, or with `null`, is left as it is. Flagged, and left as they are:
//! `bad_timestamp`, where no format fits; `unwritable`, where something else than an object is in
//! the way of `into`.
//!
//! ```yaml
//! timestamp:
//!   field: request.time
//!   formats: [iso8601, "%d/%b/%Y:%H:%M:%S %z", unix_ms]
//!   timezone: Europe/Berlin
//! ```

use std::io::Write;

use dpipe_event::{Batch, NewValue, Selection, Value};
use dpipe_plugin::{BuildContext, BuildError, FieldPath, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::target::Target;
use crate::times::{Clock, TimeFormats, Zone};

/// What to read, and how it is written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field that holds the time.
    field: FieldPath,
    /// How it is written: one format or several, tried in this order.
    formats: TimeFormats,
    /// The zone of times that say none: an IANA name or an offset; the default is UTC.
    #[serde(default)]
    timezone: Zone,
    /// A field that gets the time, in UTC as RFC 3339 has it; the event's own time then stays.
    into: Option<Target>,
}

impl StepConfig for Config {
    const NAME: &'static str = "timestamp";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(Timestamp { config: self.clone(), text: Vec::new() }))
    }
}

struct Timestamp {
    config: Config,
    /// The text of a time.
    text: Vec<u8>,
}

impl Step for Timestamp {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let Config { field, formats, timezone, into } = &self.config;
        let received = batch.received();
        let (mut bad, mut ambiguous, mut nonexistent, mut unwritable) = (0, 0, 0, 0);
        batch.each(selection, |event| {
            let moment = match event.as_ref().get(field) {
                None | Some(Value::Null) => return,
                Some(value) => formats.read_value(&value, received, timezone),
            };
            let Ok(moment) = moment else { return bad += 1 };
            match into {
                None => event.set_time(moment.time),
                Some(into) => {
                    self.text.clear();
                    // Writing to a vector cannot fail.
                    let _ = write!(self.text, "{}", moment.time);
                    if !event.set(into, NewValue::String(&self.text)) {
                        return unwritable += 1;
                    }
                }
            }
            ambiguous += usize::from(moment.clock == Clock::Twice);
            nonexistent += usize::from(moment.clock == Clock::Never);
        });
        context.flagged("bad_timestamp", bad);
        context.flagged("ambiguous_time", ambiguous);
        context.flagged("nonexistent_time", nonexistent);
        context.flagged("unwritable", unwritable);
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{StepCheck, batch, check_step, step_mistake};

    use super::Config;

    /// The times of the events after the step.
    fn times(settings: &str, events: &str) -> Vec<String> {
        let mut batch = batch(events);
        StepCheck::new::<Config>(settings, &[]).run_batch(&mut batch);
        batch.iter().map(|event| event.time().to_string()).collect()
    }

    #[test]
    fn the_first_format_that_fits_gives_the_events_time() {
        let settings = "timestamp: { field: log.ts, formats: [httpd, '%d.%m.%Y %H:%M', unix_ms] }";
        let events = r#"
            {"log":{"ts":"01/Mar/2014:12:00:00 +0200"}}
            {"log":{"ts":"1.3.2014 12:07"}}
            {"log":{"ts":1393675200250}}
            {"log":{"ts":"1393675200250"}}
            "#;
        assert_eq!(
            times(settings, events),
            [
                "2014-03-01T10:00:00.000Z",
                "2014-03-01T12:07:00.000Z",
                "2014-03-01T12:00:00.250Z",
                "2014-03-01T12:00:00.250Z",
            ]
        );
        check_step::<Config>(settings, events, events);
    }

    #[test]
    fn what_cannot_be_read_keeps_its_time_and_is_flagged() {
        let settings = "timestamp: { field: ts, formats: iso8601 }";
        let events = r#"
            @2014-06-01 {"ts":"yesterday"}
            @2014-06-01 {"ts":[1]}
            @2014-06-01 {"ts":null}
            @2014-06-01 {"x":1}
            "#;
        assert_eq!(times(settings, events), ["2014-06-01T12:00:00.000Z"; 4]);
        check_step::<Config>(
            settings,
            events,
            r#"
            {"ts":"yesterday"}
            {"ts":[1]}
            {"ts":null}
            {"x":1}
            flagged bad_timestamp 2
            "#,
        );
    }

    #[test]
    fn the_arrival_stays_what_it_was() {
        let mut batch = batch(r#"{"ts":"2014-03-01"}"#);
        let before = batch.get(0).received();
        let mut step = StepCheck::new::<Config>("timestamp: { field: ts, formats: iso8601 }", &[]);
        step.run_batch(&mut batch);
        assert_ne!(batch.get(0).time(), before);
        assert_eq!(batch.get(0).received(), before);
    }

    #[test]
    fn times_that_clocks_showed_twice_or_never_are_flagged() {
        check_step::<Config>(
            "timestamp: { field: t, formats: iso8601, timezone: Europe/Berlin, into: at.utc }",
            r#"
            {"t":"2014-10-26T02:30:00"}
            {"t":"2014-03-30T02:30:00"}
            {"t":"2014-03-30T12:30:00"}
            {"t":"2014-03-30T12:30:00","at":1}
            "#,
            r#"
            {"t":"2014-10-26T02:30:00","at":{"utc":"2014-10-26T00:30:00.000Z"}}
            {"t":"2014-03-30T02:30:00","at":{"utc":"2014-03-30T01:30:00.000Z"}}
            {"t":"2014-03-30T12:30:00","at":{"utc":"2014-03-30T10:30:00.000Z"}}
            {"t":"2014-03-30T12:30:00","at":1}
            flagged ambiguous_time 1
            flagged nonexistent_time 1
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn with_into_the_events_own_time_stays() {
        let settings = "timestamp: { field: t, formats: iso8601, into: u }";
        assert_eq!(
            times(settings, r#"@2014-06-01 {"t":"2001-01-01"}"#),
            ["2014-06-01T12:00:00.000Z"]
        );
    }

    #[test]
    fn only_selected_events_get_a_time() {
        let settings = "timestamp: { field: t, formats: iso8601, when: 'x:1' }";
        let events = r#"
            @2014-06-01 {"t":"2001-01-01","x":1}
            @2014-06-01 {"t":"2001-01-01","x":2}
            "#;
        let expected = ["2001-01-01T00:00:00.000Z", "2014-06-01T12:00:00.000Z"];
        assert_eq!(times(settings, events), expected);
    }

    #[test]
    fn mistakes_are_placed_where_they_stand() {
        let mistake = step_mistake::<Config>;
        assert_eq!(
            mistake("timestamp: { field: t, formats: [iso8601, rfc822] }"),
            "step.yaml:1:43: error: unknown format `rfc822` (did you mean `rfc2822`?)"
        );
        assert!(
            mistake("timestamp: { field: t, formats: '%Y-%m-%d %Q' }")
                .starts_with("step.yaml:1:43: error: unknown directive `%Q`")
        );
        assert_eq!(
            mistake("timestamp: { field: t, formats: [] }"),
            "step.yaml:1:33: error: the list names no format"
        );
        assert_eq!(
            mistake("timestamp: { field: t, formats: unix, timezone: Mars/Utopia }"),
            "step.yaml:1:49: error: unknown time zone `Mars/Utopia` (zones are named as \
             `Europe/Berlin`, or are offsets as `+02:00`)"
        );
    }
}
