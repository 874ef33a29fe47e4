//! Plain text behind a mark, one event a line.
//!
//! Decoding: a line begins with `mark`; what follows is the field `message`. The event's time is when
//! it was received. Decode errors: `no_mark`, where a line begins otherwise.
//!
//! Encoding: the mark and the body: plain text as it is, everything else as JSON.
//!
//! ```yaml
//! type: new_plugin
//! mark: ">"
//! ```

use dpipe_event::{Builder, EventRef, Frame};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, Decoder, DecoderConfig, DecoderSpec, EncodeError,
    Encoder, EncoderConfig, EncoderSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to read marked lines.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decode {
    /// What lines begin with.
    mark: String,
}

/// How to write marked lines.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Encode {
    /// What lines begin with.
    mark: String,
}

impl Default for Decode {
    fn default() -> Self {
        Decode { mark: ">".into() }
    }
}

impl Default for Encode {
    fn default() -> Self {
        Encode { mark: ">".into() }
    }
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "new_plugin";
}

impl DecoderSpec for Decode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Decoder>, BuildError> {
        Ok(Box::new(NewPluginDecoder { mark: self.mark.clone() }))
    }
}

impl EncoderConfig for Encode {
    const NAME: &'static str = "new_plugin";
}

impl EncoderSpec for Encode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        Ok(Box::new(NewPluginEncoder { mark: self.mark.clone() }))
    }
}

struct NewPluginDecoder {
    mark: String,
}

impl Decoder for NewPluginDecoder {
    fn decode(&mut self, frame: &Frame<'_>, events: &mut Builder) -> Result<(), DecodeError> {
        let Some(bytes) = frame.bytes.strip_prefix(self.mark.as_bytes()) else {
            return Err(DecodeError::new("no_mark", "the line does not begin with the mark"));
        };
        let start = frame.start + self.mark.len() as u32;
        events.push_text(&Frame { bytes, start, original_len: frame.original_len });
        Ok(())
    }
}

struct NewPluginEncoder {
    mark: String,
}

impl Encoder for NewPluginEncoder {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self.mark.as_bytes());
        if event.is_text() {
            out.extend_from_slice(&event.body_text());
        } else {
            event.write_json(out);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codecs::tests::{batch_of, body, encode, errors_of};

    fn decoder() -> NewPluginDecoder {
        NewPluginDecoder { mark: "> ".into() }
    }

    #[test]
    fn what_was_encoded_is_decoded_again() {
        let batch = batch_of(&mut decoder(), "> a\n> b\n");
        let bodies: Vec<_> = batch.iter().map(|event| body(&event)).collect();
        assert_eq!(bodies, ["a", "b"]);
        let encoder = NewPluginEncoder { mark: "> ".into() };
        assert_eq!(encode(&encoder, &batch).unwrap(), b"> a\n> b\n");
    }

    #[test]
    fn a_line_without_the_mark_is_refused_and_the_others_are_not() {
        let errors = errors_of(&mut decoder(), b"> a\nb\n> c\n");
        assert_eq!(errors.iter().map(|error| error.kind).collect::<Vec<_>>(), ["no_mark"]);
    }
}
