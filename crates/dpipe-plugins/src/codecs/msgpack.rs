//! MessagePack: one map a frame.
//!
//! Decoding: the map becomes the body. Keys that are numbers, `true`, `false` or `nil` become their
//! texts. Texts that are not UTF-8 are repaired by U+FFFD; binary values become texts by the option
//! `binary`. Timestamps become texts as RFC 3339 has them, also those of Fluentd (type 0); other
//! extensions an object of their `type` and, in Base64, their `data`. Numbers that JSON lacks become
//! `null`. No length is believed before its bytes are there.
//!
//! Decode errors: `not_a_map`, `truncated`, `trailing_bytes`, `bad_key`, `unknown_byte`, `too_deep`,
//! `too_many_fields`.
//!
//! Encoding: the body as a map. Whole numbers of up to 64 bits stay such, all others become doubles.
//!
//! ```yaml
//! type: msgpack
//! ```

mod read;
#[cfg(test)]
mod tests;
mod write;

use dpipe_event::{EventRef, JsonLimits, RecordWriter, Timestamp};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, DecoderConfig, DecoderSpec, EncodeError, Encoder,
    EncoderConfig, EncoderSpec, Parsed, Parser,
};
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use self::read::Reader;

/// How to read MessagePack.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decode {
    /// What becomes of binary values.
    binary: Binary,
    /// The nesting at which a map is refused; at most 64.
    #[serde(deserialize_with = "depth_max")]
    depth_max: u32,
    /// The most values in a map, those within it included.
    fields_max: u32,
}

/// Writes MessagePack; there is nothing to configure.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Encode {}

/// What becomes of binary values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Binary {
    /// Those that are UTF-8 become texts, the others Base64.
    #[default]
    Text,
    /// All become Base64.
    Base64,
}

const DEPTH_MAX: u32 = 64;

impl Default for Decode {
    fn default() -> Self {
        let JsonLimits { fields, .. } = JsonLimits::default();
        Decode { binary: Binary::default(), depth_max: DEPTH_MAX, fields_max: fields }
    }
}

fn depth_max<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        depth if (1..=DEPTH_MAX).contains(&depth) => Ok(depth),
        depth => Err(D::Error::custom(format_args!("{depth} is not between 1 and {DEPTH_MAX}"))),
    }
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "msgpack";
}

impl DecoderSpec for Decode {
    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(MsgPack::new(self)))
    }
}

impl EncoderConfig for Encode {
    const NAME: &'static str = "msgpack";
}

impl EncoderSpec for Encode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        Ok(Box::new(MsgPackEncoder))
    }
}

struct MsgPack {
    binary: Binary,
    limits: JsonLimits,
    /// The map as JSON.
    json: Vec<u8>,
}

impl MsgPack {
    fn new(config: &Decode) -> Self {
        let limits = JsonLimits { depth: config.depth_max, fields: config.fields_max };
        MsgPack { binary: config.binary, limits, json: Vec::new() }
    }
}

impl Parser for MsgPack {
    fn parse(
        &mut self,
        bytes: &[u8],
        _: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        self.json.clear();
        let mut reader = Reader::new(bytes, self.binary, self.limits);
        reader.map(&mut self.json)?;
        // What was written is JSON within the limits, so this is nothing but its tape.
        let limits = JsonLimits { depth: self.limits.depth + 1, fields: u32::MAX };
        record.members_of(&self.json, &limits).map_err(|error| {
            DecodeError::new("too_many_fields", format!("the map cannot be held: {error}"))
        })?;
        Ok(Parsed::default())
    }
}

struct MsgPackEncoder;

impl Encoder for MsgPackEncoder {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write::value(&event.body(), out);
        Ok(())
    }
}
