//! Entries of the systemd journal as `journalctl -o json` prints them, one a line.
//!
//! Well-known fields get plain names and come first: `MESSAGE` is `message`, `PRIORITY` is `level`
//! (`emerg`, `alert`, `crit`, `error`, `warning`, `notice`, `info`, `debug`), `SYSLOG_IDENTIFIER` is
//! `program`, `_SYSTEMD_UNIT` is `unit`, `_HOSTNAME` is `host`, `_PID` is `pid` (a number, as are
//! `uid`, `gid`, `facility` and `code_line`), `_COMM` is `process`, `_EXE` is `executable`, `_CMDLINE`
//! is `command_line`, `_TRANSPORT` is `transport`, `_BOOT_ID` is `boot_id`, `_MACHINE_ID` is
//! `machine_id`, and `CODE_FILE`, `CODE_LINE` and `CODE_FUNC` are `code_file`, `code_line` and
//! `code_function`. All others keep their names and come after these, sorted, except for those that
//! start with `__`, which tell of the journal and not of the entry.
//!
//! The event's time is when the journal got the entry. Values that are not UTF-8, which journalctl
//! gives as lists of bytes, become texts in which U+FFFD stands for what is wrong.
//!
//! Decode errors: `bad_json`.
//!
//! ```yaml
//! type: journald
//! ```

use std::collections::BTreeMap;

use dpipe_event::{RecordKey, RecordWriter, Timestamp};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, DecoderConfig, DecoderSpec, Parsed, Parser,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Reads entries of the journal; there is nothing to configure.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decode {}

impl DecoderConfig for Decode {
    const NAME: &'static str = "journald";
}

impl DecoderSpec for Decode {
    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(JournaldParser::new()))
    }
}

/// What becomes of a value.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
    /// A number of syslog's severities.
    Level,
}

const KNOWN: [(&str, &str, Kind); 18] = [
    ("MESSAGE", "message", Kind::Text),
    ("PRIORITY", "level", Kind::Level),
    ("SYSLOG_IDENTIFIER", "program", Kind::Text),
    ("_SYSTEMD_UNIT", "unit", Kind::Text),
    ("_HOSTNAME", "host", Kind::Text),
    ("_PID", "pid", Kind::Integer),
    ("_UID", "uid", Kind::Integer),
    ("_GID", "gid", Kind::Integer),
    ("_COMM", "process", Kind::Text),
    ("_EXE", "executable", Kind::Text),
    ("_CMDLINE", "command_line", Kind::Text),
    ("_TRANSPORT", "transport", Kind::Text),
    ("SYSLOG_FACILITY", "facility", Kind::Integer),
    ("_BOOT_ID", "boot_id", Kind::Text),
    ("_MACHINE_ID", "machine_id", Kind::Text),
    ("CODE_FILE", "code_file", Kind::Text),
    ("CODE_LINE", "code_line", Kind::Integer),
    ("CODE_FUNC", "code_function", Kind::Text),
];

/// The severities of RFC 5424, by their numbers.
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"];

struct JournaldParser {
    known: Vec<(&'static str, RecordKey, Kind)>,
}

impl JournaldParser {
    fn new() -> Self {
        let known = KNOWN.iter().map(|&(field, name, kind)| (field, RecordKey::new(name), kind));
        JournaldParser { known: known.collect() }
    }
}

impl Parser for JournaldParser {
    fn parse(
        &mut self,
        text: &[u8],
        _: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        let bad =
            |error| DecodeError::new("bad_json", format!("not an entry of a journal: {error}"));
        // journalctl writes the fields in another order each time.
        let mut fields: BTreeMap<String, &RawValue> = serde_json::from_slice(text).map_err(bad)?;
        let time = fields.get("__REALTIME_TIMESTAMP");
        let micros = time.and_then(|time| serde_json::from_str::<String>(time.get()).ok());
        let micros = micros.and_then(|micros| micros.parse::<i64>().ok());
        fields.retain(|name, _| !name.starts_with("__"));
        for (field, key, kind) in &self.known {
            let Some(value) = fields.remove(*field) else { continue };
            // Of several, the first is the one that the sender meant.
            let Some(text) = texts(value).map_err(bad)?.into_iter().next() else {
                record.null(key);
                continue;
            };
            match kind {
                Kind::Text => record.string(key, &text),
                Kind::Integer => record.number(key, &text),
                Kind::Level => {
                    let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                    let level = number.and_then(|number: usize| LEVELS.get(number));
                    record.string(key, level.map_or(&text, |level| level.as_bytes()));
                }
            }
        }
        for (name, value) in fields {
            let texts = texts(value).map_err(bad)?;
            match texts.as_slice() {
                [] => record.null_named(name.as_bytes()),
                [text] => record.string_named(name.as_bytes(), text),
                texts => record.list(&RecordKey::new(&name), |list| {
                    texts.iter().for_each(|text| list.element(text));
                }),
            }
        }
        let time = micros.map(|micros| Timestamp::from_millis(micros.div_euclid(1000)));
        Ok(Parsed { time, flag: None })
    }
}

/// The values of a field, as journalctl writes them (see `journalctl(1)`, "json"): a text; a list of
/// bytes, for what is not UTF-8; a list of either, for a field that stands there more than once; or
/// nothing, for a value that is longer than it was told to write.
fn texts(value: &RawValue) -> serde_json::Result<Vec<Vec<u8>>> {
    let text = |value: Value| match value {
        Value::String(text) => text.into_bytes(),
        value => bytes(&value).unwrap_or_else(|| value.to_string().into_bytes()),
    };
    Ok(match serde_json::from_str(value.get())? {
        Value::Null => Vec::new(),
        Value::Array(values) if bytes(&Value::Array(values.clone())).is_none() => {
            values.into_iter().map(text).collect()
        }
        value => vec![text(value)],
    })
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    let byte = |value: &Value| u8::try_from(value.as_u64()?).ok();
    value.as_array()?.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use dpipe_event::Record;

    use super::*;

    fn read(line: &str) -> Result<(String, Parsed), DecodeError> {
        let mut record = Record::new();
        let mut parser = JournaldParser::new();
        let now = Timestamp::default();
        let parsed = record.fill(|record| parser.parse(line.as_bytes(), now, record))?;
        Ok((String::from_utf8(record.json().to_vec()).unwrap(), parsed))
    }

    #[test]
    fn known_fields_come_first_under_plain_names_and_the_others_sorted() {
        let line = r#"{"ZONE":"a","_PID":"12","PRIORITY":"3","__CURSOR":"s=1","ORDER":"42",
            "_SYSTEMD_UNIT":"shop.service","__REALTIME_TIMESTAMP":"1717243200250999","MESSAGE":"no \"x\"",
            "_HOSTNAME":"h","SYSLOG_IDENTIFIER":"shop","SYSLOG_FACILITY":"3","_UID":"0"}"#;
        let (body, parsed) = read(line).unwrap();
        assert_eq!(
            body,
            r#"{"message":"no \"x\"","level":"error","program":"shop","unit":"shop.service","#
                .to_owned()
                + r#""host":"h","pid":12,"uid":0,"facility":3,"ORDER":"42","ZONE":"a"}"#
        );
        assert_eq!(parsed.time, Some(Timestamp::from_millis(1_717_243_200_250)));
    }

    #[test]
    fn bytes_lists_and_values_that_are_missing_are_read() {
        let line = r#"{"MESSAGE":[99,97,102,233],"TAG":["a",[98,10]],"BIG":null,"ONE":[104],"PRIORITY":"9",
            "EMPTY":""}"#;
        let (body, parsed) = read(line).unwrap();
        assert_eq!(
            body,
            "{\"message\":\"caf\u{fffd}\",\"level\":\"9\",\"BIG\":null,\"EMPTY\":\"\",\"ONE\":\"h\",\
             \"TAG\":[\"a\",\"b\\n\"]}"
        );
        assert_eq!(parsed.time, None);
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for line in ["hello", "[]", "{\"a\":", "1"] {
            assert_eq!(read(line).unwrap_err().kind, "bad_json", "{line}");
        }
    }
}
