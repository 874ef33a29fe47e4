//! Syslog messages: RFC 5424, and RFC 3164 as devices write it.
//!
//! Which of the two a message is, it says itself. Decoding gives the members `facility` (a name),
//! `severity` (a number), `level` (its name), `host`, `app`, `pid`, `msgid`, `sd` (an object for each
//! element of the structured data) and `message`, as far as the message has them; `-` stands for
//! nothing. Its time becomes the event's time.
//!
//! Of RFC 3164 everything may be missing: the priority, as in files; the time; the host, as on
//! `/dev/log`; the tag. The time may have a year, a fraction or a zone, or be written as RFC 3339 has
//! it. Without a year, the one is meant that is nearest to the arrival; without a zone, `timezone`.
//! Sequence numbers, as switches write them, become `sequence`.
//!
//! Decode errors: `bad_priority` (above 191), `empty`. Flagged, and kept: `ambiguous_time` and
//! `nonexistent_time`, where clocks of the zone showed the time twice or never; `bad_timestamp` and
//! `bad_structured_data`, which stay part of the message; `no_header`, a text without priority and
//! time.
//!
//! Encoding: the same members make the message, the event's time its time. An event without
//! `message` is written as JSON. What a header cannot hold is written as `_`, line ends in the
//! message as `\n` and `\r`.
//!
//! ```yaml
//! type: syslog
//! ```

mod encode;
mod names;
mod rfc3164;
mod rfc5424;
#[cfg(test)]
mod tests;

use dpipe_event::{RecordKey, RecordWriter, Timestamp};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, DecoderConfig, DecoderSpec, Encoder, EncoderConfig,
    EncoderSpec, Parsed, Parser,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::encode::SyslogEncoder;
use self::names::{FACILITIES, Facility, LEVELS, Level};
use crate::times::{Clock, Moment, TimeFormat, Zone};

/// How to read syslog messages.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decode {
    /// The zone of times that say none: an IANA name or an offset; the default is UTC.
    timezone: Zone,
}

/// How to write syslog messages.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Encode {
    /// The form of the messages.
    format: Format,
    /// The facility of events that say none.
    facility: Facility,
    /// The level of events that say none.
    level: Level,
    /// The app of events that say none.
    app: Option<String>,
    /// The zone of the times of RFC 3164, which do not say it; the default is UTC.
    timezone: Zone,
}

/// The form of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// `<13>1 2014-03-01T12:00:00.250Z host app pid msgid [sd] message`
    #[default]
    Rfc5424,
    /// `<13>Mar  1 12:00:00 host app[pid]: message`
    Rfc3164,
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "syslog";
}

impl DecoderSpec for Decode {
    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(Syslog::new(self)))
    }
}

impl EncoderConfig for Encode {
    const NAME: &'static str = "syslog";
}

impl EncoderSpec for Encode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        Ok(Box::new(SyslogEncoder::new(self)))
    }
}

struct Syslog {
    keys: Keys,
    iso8601: TimeFormat,
    syslog: TimeFormat,
    zone: Zone,
    /// A text without its escapes.
    plain: Vec<u8>,
}

/// The keys of the members.
struct Keys {
    facility: RecordKey,
    severity: RecordKey,
    level: RecordKey,
    sequence: RecordKey,
    host: RecordKey,
    app: RecordKey,
    pid: RecordKey,
    msgid: RecordKey,
    sd: RecordKey,
    message: RecordKey,
}

impl Parser for Syslog {
    fn parse(
        &mut self,
        text: &[u8],
        now: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        // Some send the end of a C string, or of a line, even where a frame has its own.
        let end = text.iter().rposition(|byte| !matches!(byte, b'\0' | b'\n' | b'\r'));
        let text = &text[..end.map_or(0, |last| last + 1)];
        if text.is_empty() {
            return Err(DecodeError::new("empty", "the message is empty"));
        }
        let (priority, rest) = match priority(text) {
            Some((priority @ 0..=191, rest)) => (Some(priority), rest),
            Some((priority, _)) => {
                let reason = format!("the priority is {priority}, the highest is 191");
                return Err(DecodeError::new("bad_priority", reason));
            }
            None => (None, text),
        };
        if let Some(priority) = priority {
            let severity = usize::from(priority & 7);
            record.string(&self.keys.facility, FACILITIES[usize::from(priority >> 3)].as_bytes());
            record.number(&self.keys.severity, &[b'0' + severity as u8]);
            record.string(&self.keys.level, LEVELS[severity].as_bytes());
        }
        match rfc5424::Header::cut(rest).filter(|_| priority.is_some()) {
            Some(header) => Ok(self.rfc5424(&header, now, record)),
            None => Ok(self.rfc3164(rest, priority.is_some(), now, record)),
        }
    }
}

impl Syslog {
    fn new(config: &Decode) -> Self {
        let format = |name| TimeFormat::parse_config(name).expect("the format has a name");
        Syslog {
            keys: Keys::new(),
            iso8601: format("iso8601"),
            syslog: format("syslog"),
            zone: config.timezone.clone(),
            plain: Vec::new(),
        }
    }
}

impl Keys {
    fn new() -> Self {
        let key = RecordKey::new;
        Keys {
            facility: key("facility"),
            severity: key("severity"),
            level: key("level"),
            sequence: key("sequence"),
            host: key("host"),
            app: key("app"),
            pid: key("pid"),
            msgid: key("msgid"),
            sd: key("sd"),
            message: key("message"),
        }
    }
}

/// The number at the front, `<13>`, and what follows.
#[inline]
fn priority(text: &[u8]) -> Option<(u16, &[u8])> {
    let rest = text.strip_prefix(b"<")?;
    let digits = rest.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let after = rest[digits..].strip_prefix(b">")?;
    let number = rest[..digits].iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
    (1..=3).contains(&digits).then_some((number, after))
}

fn parsed(moment: Moment) -> Parsed {
    let flag = match moment.clock {
        Clock::Once => None,
        Clock::Twice => Some("ambiguous_time"),
        Clock::Never => Some("nonexistent_time"),
    };
    Parsed { time: Some(moment.time), flag }
}
