//! JSON bodies as decoders read them: within limits, and with a word on bytes that are not UTF-8.

use std::borrow::Cow;
use std::ops::Range;

use dpipe_event::{Builder, Draft, Frame, JsonError, JsonErrorKind, JsonLimits, RecordWriter};
use dpipe_plugin::DecodeError;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// What becomes of a JSON body that is not UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InvalidUtf8 {
    /// It is a decode error: the line becomes a dead letter with its bytes as they are.
    #[default]
    Refuse,
    /// Each wrong sequence becomes U+FFFD in the body, which is flagged as `invalid_utf8`; the raw
    /// line keeps its bytes.
    Replace,
}

/// Reads an option `depth_max`.
///
/// # Errors
/// Beyond 128, the depth up to which a body can be edited.
pub(crate) fn depth_max<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let highest = JsonLimits::default().depth;
    match u32::deserialize(deserializer)? {
        depth if (1..=highest).contains(&depth) => Ok(depth),
        depth => Err(D::Error::custom(format_args!("{depth} is not between 1 and {highest}"))),
    }
}

/// What an event is flagged as that was not UTF-8.
const REPAIRED: &str = "invalid_utf8";

/// Reads JSON bodies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct JsonBody {
    pub(crate) limits: JsonLimits,
    pub(crate) invalid_utf8: InvalidUtf8,
}

impl JsonBody {
    /// Pushes an event whose body is the JSON object at `body` of the frame.
    pub(crate) fn push<'b>(
        &self,
        frame: &Frame<'_>,
        body: Range<usize>,
        events: &'b mut Builder,
    ) -> Result<Draft<'b>, DecodeError> {
        if frame.original_len > frame.bytes.len() {
            let (kept, len) = (frame.bytes.len(), frame.original_len);
            return Err(DecodeError::new(
                "line_too_long",
                format!("the line of {len} bytes was cut to the limit of {kept} bytes"),
            ));
        }
        let may_repair = self.invalid_utf8 == InvalidUtf8::Replace;
        if may_repair && std::str::from_utf8(&frame.bytes[body.clone()]).is_err() {
            let repaired = String::from_utf8_lossy(&frame.bytes[body]);
            let mut draft = events.push_made(frame, repaired.as_bytes(), &self.limits);
            if let Ok(draft) = &mut draft {
                draft.flag(REPAIRED);
            }
            return draft.map_err(refusal);
        }
        events.push_json(frame, body, &self.limits).map_err(refusal)
    }

    /// Writes the members of the JSON object in a text; tells what was odd about it, if anything.
    pub(crate) fn write(
        &self,
        text: &[u8],
        record: &mut RecordWriter<'_>,
    ) -> Result<Option<&'static str>, DecodeError> {
        let may_repair = self.invalid_utf8 == InvalidUtf8::Replace;
        let (text, flag) = match std::str::from_utf8(text) {
            Err(_) if may_repair => {
                let repaired = String::from_utf8_lossy(text).into_owned();
                (Cow::Owned(repaired.into()), Some(REPAIRED))
            }
            _ => (Cow::Borrowed(text), None),
        };
        record.members_of(&text, &self.limits).map_err(refusal)?;
        Ok(flag)
    }
}

fn refusal(error: JsonError) -> DecodeError {
    let kind = match error.kind {
        JsonErrorKind::InvalidUtf8 => "invalid_utf8",
        JsonErrorKind::TooDeep(_) => "json_too_deep",
        JsonErrorKind::TooManyFields(_) => "json_too_many_fields",
        _ => "bad_json",
    };
    DecodeError::new(kind, format!("the body is not a JSON object: {error}"))
}
