//! Templates: texts with places that each event fills, such as
//! `{data_dir}/copy/{_tenant}/%Y-%m-%d.jsonl`.
//!
//! | written | becomes |
//! |---|---|
//! | `{_log_info.uid}` | the value of a field path, metadata included |
//! | `{data_dir}` | the data directory |
//! | `{tenant.index_prefix}` | a setting of the event's tenant: see [`TenantSetting`] |
//! | `{{` `}}` `%%` | `{` `}` `%` |
//! | `%Y %y %m %b %B %d %j` | year, its last two digits, month by number and by name, day, day of the year |
//! | `%H %I %p %M %S %L %s` | hour (24, 12), AM or PM, minute, second, millisecond, seconds since 1970 |
//! | `%a %A %u %G %V` | day of the week by name and by number (Monday is 1), ISO week-year and week |
//! | `%F %T` | `%Y-%m-%d`, `%H:%M:%S` |
//!
//! The moments are those of the event's time, in UTC. A field named `tenant` or `data_dir` is
//! reached by quoting it: `{"data_dir"}`.

mod moment;
mod parse;
mod tenant;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use dpipe_event::{EventRef, Meta, Path, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::BuildContext;
use crate::settings::error_in_text;
use moment::{Clock, Moment};

pub use tenant::{TenantSetting, TenantSettings};

/// The most bytes that one value may take in a [`Escaping::PathSegment`]; file systems end there.
const SEGMENT_BYTES_MAX: usize = 255;

/// A text with places that each event fills. Parsed once, at start-up.
#[derive(Clone, Debug)]
pub struct Template {
    text: Arc<str>,
    parts: Arc<[Part]>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Box<str>),
    DataDir,
    Field(Path),
    /// A setting, and which tenants have their own, in the order of their names.
    TenantSetting {
        setting: TenantSetting,
        by_tenant: Box<[(String, String)]>,
    },
    Moment(Moment),
}

/// What is done to a value so that it fits where the text goes. Literal text is never touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// Nothing; a missing value leaves nothing.
    None,
    /// Line ends become `\n` and `\r`, so that the text stays one line; a missing value leaves
    /// nothing.
    Line,
    /// The value is one segment of a path, or a part of one: `/`, `\`, `%`, control characters,
    /// bytes that are not UTF-8, and the dots of a value that is `.` or `..` are percent-encoded.
    /// A missing or empty value is `none`. A value that takes more than 255 bytes is an error.
    PathSegment,
    /// The value is a part of a URL's path or query: everything but letters, digits and `-._~` is
    /// percent-encoded, and so are the dots of a value that is `.` or `..`. A missing value leaves
    /// nothing.
    Url,
}

/// Why a text is not a template; `at` counts characters from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at character {at} of the template", at = .at + 1)]
pub struct TemplateError {
    /// What is wrong.
    pub reason: Cow<'static, str>,
    /// The character, counted from 0.
    pub at: usize,
}

/// Why an event does not fit a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value of `{place}` takes {bytes} bytes of a name, the limit is {SEGMENT_BYTES_MAX}")]
pub struct RenderError {
    /// What stands in the braces.
    pub place: String,
    /// The length of the value, encoded.
    pub bytes: usize,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// Braces without their other half, what is no field path, unknown letters after `%`.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        Ok(Template { text: text.into(), parts: parse::parts(text)?.into() })
    }

    /// A text without places, as it stands.
    #[must_use]
    pub fn literal(text: &str) -> Template {
        Template { text: text.into(), parts: [Part::Literal(text.into())].into() }
    }

    /// The template with the data directory and the tenants' settings put in. Without this, the
    /// former is like a missing value, and no tenant has settings.
    #[must_use]
    pub fn bind(&self, context: &BuildContext<'_>) -> Template {
        let tenants = TenantSettings::lent(context.shared);
        let bound = |part: &Part| match part {
            Part::DataDir => Part::Literal(context.data_dir.to_string_lossy().into()),
            Part::TenantSetting { setting, .. } => {
                let of = |(tenant, settings): (&String, &BTreeMap<_, String>)| {
                    Some((tenant.clone(), settings.get(setting)?.clone()))
                };
                let by_tenant = tenants.0.iter().filter_map(of).collect();
                Part::TenantSetting { setting: *setting, by_tenant }
            }
            part => part.clone(),
        };
        Template { text: self.text.clone(), parts: self.parts.iter().map(bound).collect() }
    }

    /// Appends what the template makes of an event.
    ///
    /// # Errors
    /// If a value is too long for a [`Escaping::PathSegment`]; `out` may have grown then.
    pub fn render(
        &self,
        event: &EventRef<'_>,
        escaping: Escaping,
        out: &mut Vec<u8>,
    ) -> Result<(), RenderError> {
        let clock = Clock::new(event.time());
        for part in &*self.parts {
            let value = match part {
                Part::Literal(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Part::Moment(moment) => {
                    moment.write(&clock, out);
                    continue;
                }
                Part::DataDir => None,
                Part::TenantSetting { setting, by_tenant } => {
                    let tenant = &*event.origin().tenant;
                    let own = by_tenant.binary_search_by(|(name, _)| (**name).cmp(tenant));
                    let value = match own {
                        Ok(at) => Some(&*by_tenant[at].1),
                        Err(_) => setting.of_others(tenant),
                    };
                    value.map(|value| Cow::Borrowed(value.as_bytes()))
                }
                Part::Field(path) => event.get(path).and_then(text_of),
            };
            let start = out.len();
            escape(value.as_deref().unwrap_or_default(), escaping, out);
            let bytes = out.len() - start;
            if escaping == Escaping::PathSegment && bytes > SEGMENT_BYTES_MAX {
                return Err(RenderError { place: part.to_string(), bytes });
            }
        }
        Ok(())
    }

    /// The text before the first place that an event fills. Of a template that is not bound,
    /// `{data_dir}` is part of it, as written.
    #[must_use]
    pub fn literal_prefix(&self) -> String {
        let literal = |part: &&Part| matches!(part, Part::Literal(_) | Part::DataDir);
        self.parts.iter().take_while(literal).map(Part::to_string).collect()
    }

    /// The text after the last place that an event fills.
    #[must_use]
    pub fn literal_suffix(&self) -> String {
        let literal = |part: &&Part| matches!(part, Part::Literal(_) | Part::DataDir);
        let from = self.parts.len() - self.parts.iter().rev().take_while(literal).count();
        self.parts[from..].iter().map(Part::to_string).collect()
    }

    /// A text that it might become: as written, with `0` in each place that an event fills.
    #[must_use]
    pub fn sample(&self) -> String {
        let part = |part: &Part| match part {
            Part::Literal(_) | Part::DataDir => part.to_string(),
            _ => "0".to_owned(),
        };
        self.parts.iter().map(part).collect()
    }

    /// Whether it is the same text for every event.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_) | Part::DataDir))
    }

    /// The text that it is for every event; `None` if events fill it.
    #[must_use]
    pub fn constant(&self) -> Option<String> {
        self.is_constant().then(|| self.literal_prefix())
    }

    /// Whether it depends on more of an event than its tenant and its time.
    #[must_use]
    pub fn uses_event_fields(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Field(_)))
    }

    /// Whether two events of one batch, at the same time, may render differently: whether it reads
    /// more than what all of a batch have in common, such as the tenant and the file.
    #[must_use]
    pub fn varies_within_batch(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Field(path) => !matches!(
                path.meta(),
                Some(
                    Meta::Tenant
                        | Meta::Tag
                        | Meta::Input
                        | Meta::File
                        | Meta::Host
                        | Meta::Logfile
                )
            ),
            _ => false,
        })
    }

    /// The length in milliseconds of the spans, counted from 1970, within which the event's time
    /// makes no difference; `None` if it never does. Times with the same
    /// `millis.div_euclid(granularity)` render alike, if all else is equal.
    #[must_use]
    pub fn time_granularity(&self) -> Option<i64> {
        self.parts
            .iter()
            .filter_map(|part| match part {
                Part::Moment(moment) => Some(moment.granularity_ms()),
                _ => None,
            })
            .min()
    }
}

/// A value as it stands in a text; `null` is like a missing one.
fn text_of(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Null => None,
        Value::Object(json) | Value::Array(json) => Some(json),
        scalar => scalar.as_text(),
    }
}

fn escape(value: &[u8], escaping: Escaping, out: &mut Vec<u8>) {
    match escaping {
        Escaping::None => out.extend_from_slice(value),
        Escaping::Line => {
            for &byte in value {
                match byte {
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\r' => out.extend_from_slice(b"\\r"),
                    _ => out.push(byte),
                }
            }
        }
        Escaping::Url => {
            let dots = value == b"." || value == b"..";
            for &byte in value {
                let plain =
                    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
                if plain && !dots { out.push(byte) } else { percent(byte, out) }
            }
        }
        Escaping::PathSegment if value.is_empty() => out.extend_from_slice(b"none"),
        Escaping::PathSegment => {
            let dots = value == b"." || value == b"..";
            for chunk in value.utf8_chunks() {
                for c in chunk.valid().chars() {
                    let mut bytes = [0; 4];
                    let bytes = c.encode_utf8(&mut bytes).as_bytes();
                    // Control characters are C0, DEL and C1.
                    if dots || c.is_control() || matches!(c, '/' | '\\' | '%') {
                        bytes.iter().for_each(|&byte| percent(byte, out));
                    } else {
                        out.extend_from_slice(bytes);
                    }
                }
                chunk.invalid().iter().for_each(|&byte| percent(byte, out));
            }
        }
    }
}

fn percent(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

/// As written, literal text without its doubled braces.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Literal(text) => f.write_str(text),
            Part::DataDir => f.write_str("{data_dir}"),
            Part::Field(path) => write!(f, "{{{path}}}"),
            Part::TenantSetting { setting, .. } => write!(f, "{{tenant.{}}}", setting.name()),
            Part::Moment(moment) => write!(f, "%{}", moment.letter()),
        }
    }
}

/// The template as it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Template {
    type Err = TemplateError;
    fn from_str(text: &str) -> Result<Template, TemplateError> {
        Template::parse(text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Template::parse(&text).map_err(|error| {
            let start: usize = text.chars().take(error.at).map(char::len_utf8).sum();
            let end = text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
            error_in_text(start..end, error)
        })
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl schemars::JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A text that each event fills: `{field.path}` is a value, \
                            `{tenant.index_prefix}` a setting of the tenant, `{data_dir}` the \
                            data directory, `%Y-%m-%d` the event's day in UTC; `{{`, `}}` and \
                            `%%` stand for themselves."
        })
    }
}

#[cfg(test)]
mod tests;
