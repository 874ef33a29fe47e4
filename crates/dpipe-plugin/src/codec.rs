//! Codecs: a decoder turns frames into events, an encoder turns events into bytes. Framing (lines,
//! lengths) is not theirs.

use std::borrow::Cow;
use std::fmt;

use dpipe_event::{Batch, Builder, EventRef, Frame};

use crate::{BuildContext, BuildError};

/// A configured decoder.
pub trait DecoderSpec: Send + Sync + fmt::Debug {
    /// Builds the decoder of one stream.
    ///
    /// # Errors
    /// If something that the config names is not there.
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Decoder>, BuildError>;
}

/// Turns frames into events. One per stream, so it may keep state between frames.
pub trait Decoder: Send {
    /// Pushes the events of one frame.
    ///
    /// # Errors
    /// If the frame is not what the codec expects; it becomes a dead letter with this reason.
    fn decode(&mut self, frame: &Frame<'_>, events: &mut Builder) -> Result<(), DecodeError>;
}

/// A configured encoder. Two outputs whose encoders print alike (`Debug`) share encoded bytes.
pub trait EncoderSpec: Send + Sync + fmt::Debug {
    /// Builds the encoder.
    ///
    /// # Errors
    /// If something that the config names is not there.
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError>;
}

/// Turns an event into bytes.
pub trait Encoder: Send + Sync {
    /// Appends the event, without a line end.
    ///
    /// # Errors
    /// If the event has not what the encoder needs; it becomes a dead letter with this reason. What
    /// was appended is cut off again.
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Whether this batch, encoded event by event with a newline after each, is exactly
    /// [`Batch::verbatim`], where that is given.
    fn is_verbatim(&self, _batch: &Batch) -> bool {
        false
    }
}

/// Why a frame could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    /// The reason in words; ends up in the dead letter.
    pub reason: Cow<'static, str>,
    /// The reason as a metric label: a few fixed words such as `bad_timestamp`.
    pub kind: &'static str,
}

impl DecodeError {
    /// An error of a kind, with its reason in words.
    pub fn new(kind: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        DecodeError { kind, reason: reason.into() }
    }
}

/// Why an event could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EncodeError {
    /// The reason in words; ends up in the dead letter.
    pub reason: Cow<'static, str>,
}
