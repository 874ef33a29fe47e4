//! Plain text, one event a line.
//!
//! Decoding: the line is the field `message`; it need not be UTF-8, and nothing is refused. The
//! event's time is when it was received.
//!
//! Encoding: the line that `template` makes of the event; line ends in its values are written as
//! `\n` and `\r`, so that an event stays one line. Without a template it is the body: plain text as
//! it is, and everything else as JSON.
//!
//! ```yaml
//! type: text
//! ```

use dpipe_event::{Batch, Builder, EventRef, Frame, RecordKey, RecordWriter, Timestamp};
use dpipe_plugin::template::{Escaping, Template};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, Decoder, DecoderConfig, DecoderSpec, EncodeError,
    Encoder, EncoderConfig, EncoderSpec, Parsed, Parser,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reads plain text; there is nothing to configure.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decode {}

/// How to write plain text.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Encode {
    /// The line, such as `%F %T {level} {message}`; the event's body if it is left out.
    template: Option<Template>,
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "text";
}

impl DecoderSpec for Decode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Decoder>, BuildError> {
        Ok(Box::new(TextDecoder))
    }

    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(TextParser { message: RecordKey::new("message") }))
    }
}

impl EncoderConfig for Encode {
    const NAME: &'static str = "text";
}

impl EncoderSpec for Encode {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        let template = self.template.as_ref().map(|template| template.bind(context));
        Ok(Box::new(TextEncoder { template }))
    }
}

pub(super) struct TextDecoder;

impl Decoder for TextDecoder {
    fn decode(&mut self, frame: &Frame<'_>, events: &mut Builder) -> Result<(), DecodeError> {
        events.push_text(frame);
        Ok(())
    }
}

/// The text as the field `message`, where it comes out of another field.
struct TextParser {
    message: RecordKey,
}

impl Parser for TextParser {
    fn parse(
        &mut self,
        text: &[u8],
        _: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        record.string(&self.message, text);
        Ok(Parsed::default())
    }
}

struct TextEncoder {
    template: Option<Template>,
}

impl Encoder for TextEncoder {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match &self.template {
            Some(template) => template
                .render(event, Escaping::Line, out)
                .map_err(|error| EncodeError { reason: error.to_string().into() }),
            None if event.is_text() => {
                out.extend_from_slice(&event.body_text());
                Ok(())
            }
            None => {
                event.write_json(out);
                Ok(())
            }
        }
    }

    fn is_verbatim(&self, batch: &Batch) -> bool {
        self.template.is_none()
            && batch
                .iter()
                .all(|event| event.is_untouched() && event.body_text().len() == event.raw().len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::json::JsonDecoder;
    use crate::codecs::tests::{batch_of, decode_lines, encode, verbatim};

    fn templated(text: &str) -> TextEncoder {
        TextEncoder { template: Some(Template::parse(text).unwrap()) }
    }

    #[test]
    fn a_line_is_the_message() {
        let batch = batch_of(&mut TextDecoder, "hello \"you\"\n");
        let message = batch.get(0).get(&"message".parse().unwrap()).unwrap();
        assert_eq!(&*message.as_text().unwrap(), b"hello \"you\"");
    }

    #[test]
    fn untouched_lines_are_written_as_they_were_read() {
        let encoder = TextEncoder { template: None };
        let text = "one\n\ntwo\n";
        let batch = batch_of(&mut TextDecoder, text);
        assert!(encoder.is_verbatim(&batch));
        assert_eq!(verbatim(&batch), text);
        assert!(!templated("{message}").is_verbatim(&batch));
        let edited = {
            let mut batch = batch;
            batch.edit(0).set(&"a".parse().unwrap(), dpipe_event::NewValue::Integer(1));
            encode(&encoder, &batch).unwrap()
        };
        assert_eq!(edited, b"{\"message\":\"one\",\"a\":1}\n\ntwo\n");
    }

    #[test]
    fn an_event_stays_one_line_whatever_its_values_hold() {
        let batch = batch_of(&mut JsonDecoder::default(), "{\"m\":\"a\\nb\\r\"}\n");
        let encoded = encode(&templated("%F {_tenant}: {m}"), &batch).unwrap();
        assert_eq!(encoded, b"2014-03-01 rs: a\\nb\\r\n");
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_the_same(lines in prop::collection::vec("[^\r\n]{0,30}", 1..5)) {
            let text = lines.join("\n") + "\n";
            let batch = batch_of(&mut TextDecoder, &text);
            let encoded = encode(&TextEncoder { template: None }, &batch).unwrap();
            let (again, errors) = decode_lines(&mut TextDecoder, &encoded);
            prop_assert_eq!(errors, vec![]);
            let seen: Vec<_> = again.iter().map(|e| e.body_text().into_owned()).collect();
            let lines: Vec<_> = lines.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(seen, lines);
        }
    }
}
