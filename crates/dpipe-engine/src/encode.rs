//! Encoding for outputs: each distinct encoder runs once per batch, however many outputs want its
//! bytes; the first runner that comes does it.

use std::sync::{Arc, OnceLock};

use dpipe_event::Batch;
use dpipe_plugin::{Encoded, Encoder, Refusal};

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

    /// The batch by this encoder, made now if nobody made it yet.
    pub(crate) fn get(&self, number: usize, encoder: &dyn Encoder, batch: &Batch) -> &Made {
        self.slots[number].get_or_init(|| encode(encoder, batch))
    }
}

fn encode(encoder: &dyn Encoder, batch: &Batch) -> Made {
    if encoder.is_verbatim(batch) && batch.verbatim().is_some() {
        return Made { encoded: Arc::new(Encoded::Verbatim), refused: Vec::new() };
    }
    let mut bytes = Vec::with_capacity(batch.raw_bytes() + batch.len() * 64);
    let mut ends = Vec::with_capacity(batch.len());
    let mut refused = Vec::new();
    for (index, event) in batch.iter().enumerate() {
        let start = bytes.len();
        match encoder.encode(&event, &mut bytes) {
            Ok(()) => bytes.push(b'\n'),
            Err(error) => {
                bytes.truncate(start);
                let (kind, reason) = ("not_encodable", error.to_string());
                refused.push(Refusal { index, kind, reason });
            }
        }
        ends.push(bytes.len() as u32);
    }
    Made { encoded: Arc::new(Encoded::Own { bytes, ends }), refused }
}
