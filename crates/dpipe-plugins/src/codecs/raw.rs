//! The line as it was read, whatever became of the event since.
//!
//! Only an encoder. A line that was longer than the input's limit is written as far as it was kept.
//!
//! ```yaml
//! type: raw
//! ```

use dpipe_event::{Batch, EventRef};
use dpipe_plugin::{BuildContext, BuildError, EncodeError, Encoder, EncoderConfig, EncoderSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes lines as they were read; there is nothing to configure.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Encode {}

impl EncoderConfig for Encode {
    const NAME: &'static str = "raw";
}

impl EncoderSpec for Encode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        Ok(Box::new(RawEncoder))
    }
}

struct RawEncoder;

impl Encoder for RawEncoder {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(event.raw());
        Ok(())
    }

    fn is_verbatim(&self, _: &Batch) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codecs::json::JsonDecoder;
    use crate::codecs::tests::{batch_of, encode, verbatim};

    #[test]
    fn edits_do_not_show() {
        let text = "{\"a\":1}\n{\"a\":2}\n";
        let mut batch = batch_of(&mut JsonDecoder::default(), text);
        assert!(RawEncoder.is_verbatim(&batch));
        assert_eq!(verbatim(&batch), text);
        batch.edit(1).remove(&"a".parse().unwrap());
        assert_eq!(encode(&RawEncoder, &batch).unwrap(), text.as_bytes());
    }
}
