//! Encoding for outputs: each distinct encoder runs once per batch, however many outputs want its
//! bytes; the first runner that comes does it.

use std::sync::{Arc, OnceLock};

use dpipe_event::{Batch, EventRef};
use dpipe_plugin::{EncodeError, Encoded, Encoder, Refusal};

use crate::panics::catch;

/// What an encoder made of a batch.
pub(crate) struct Made {
    pub(crate) encoded: Arc<Encoded>,
    /// Events that it refused; their bytes are empty.
    pub(crate) refused: Vec<Refusal>,
}

/// The encodings of one batch, by the number of the encoder.
#[derive(Default)]
pub(crate) struct Encodings {
    slots: Box<[OnceLock<Made>]>,
}

impl Encodings {
    pub(crate) fn new(encoders: usize) -> Self {
        Encodings { slots: (0..encoders).map(|_| OnceLock::new()).collect() }
    }

    /// The batch by this encoder, made now if nobody made it yet. A panic of the encoder is told to
    /// `panicked`; the event that it panics over is refused, and the others are encoded.
    pub(crate) fn get(
        &self,
        number: usize,
        encoder: &dyn Encoder,
        batch: &Batch,
        panicked: impl Fn(&str),
    ) -> &Made {
        self.slots[number].get_or_init(|| match catch(|| encode(encoder, batch)) {
            Ok(made) => made,
            Err(panic) => {
                panicked(&panic);
                encode_each(encoder, batch)
            }
        })
    }
}

fn encode(encoder: &dyn Encoder, batch: &Batch) -> Made {
    if encoder.is_verbatim(batch) && batch.verbatim().is_some() {
        return Made { encoded: Arc::new(Encoded::Verbatim), refused: Vec::new() };
    }
    encode_by(batch, |event, bytes| encoder.encode(event, bytes).map_err(not_encodable))
}

/// Encodes event by event, so that the one that makes the encoder panic goes alone.
fn encode_each(encoder: &dyn Encoder, batch: &Batch) -> Made {
    encode_by(batch, |event, bytes| match catch(|| encoder.encode(event, bytes)) {
        Ok(encoded) => encoded.map_err(not_encodable),
        Err(panic) => Err(("panic", format!("the encoder panicked: {panic}"))),
    })
}

/// Why an event was refused: a word, and the reason in words.
type Why = (&'static str, String);

fn not_encodable(error: EncodeError) -> Why {
    ("not_encodable", error.to_string())
}

#[inline]
fn encode_by(
    batch: &Batch,
    encode: impl Fn(&EventRef<'_>, &mut Vec<u8>) -> Result<(), Why>,
) -> Made {
    let mut bytes = Vec::with_capacity(batch.raw_bytes() + batch.len() * 64);
    let mut ends = Vec::with_capacity(batch.len());
    let mut refused = Vec::new();
    for (index, event) in batch.iter().enumerate() {
        let start = bytes.len();
        match encode(&event, &mut bytes) {
            Ok(()) => bytes.push(b'\n'),
            Err((kind, reason)) => {
                bytes.truncate(start);
                refused.push(Refusal { index, kind, reason });
            }
        }
        ends.push(bytes.len() as u32);
    }
    Made { encoded: Arc::new(Encoded::Own { bytes, ends }), refused }
}
