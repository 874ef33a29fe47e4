//! Codecs: a decoder turns frames into events, an encoder turns events into bytes. Framing (lines,
//! lengths) is not theirs.

use std::borrow::Cow;
use std::fmt;

use dpipe_event::{Batch, Builder, EventRef, Frame, RecordWriter, Timestamp};

use crate::settings::Problem;
use crate::{BuildContext, BuildError};

/// A configured decoder.
pub trait DecoderSpec: Send + Sync + fmt::Debug {
    /// Builds the decoder of one stream. A codec that finds the members of one event in each frame
    /// gives its [`DecoderSpec::parser`] and leaves this as it is.
    ///
    /// # Errors
    /// If something that the config names is not there.
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Decoder>, BuildError> {
        Ok(Box::new(Parsing(self.parser(context)?)))
    }

    /// Builds what reads one text, for the step `parse` and for [`DecoderSpec::build`].
    ///
    /// # Errors
    /// If something that the config names is not there, or the codec reads no single texts.
    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Err(BuildError::new("this codec reads whole streams and not single texts"))
    }

    /// Mistakes that types cannot tell; pure, no I/O. A problem without a place gets the codec's.
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// Finds the members of one event in one text: most formats of a line. Neither knows nor cares
/// whether the text is a frame or a field of an event.
pub trait Parser: Send {
    /// Writes what the text holds into the record. `now` is when the text was received, which
    /// dates without a year are near to.
    ///
    /// # Errors
    /// If the text is not what the codec expects. What was written by then does not count.
    fn parse(
        &mut self,
        text: &[u8],
        now: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError>;
}

/// What a text said besides the members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// When the event happened; if it says nothing, when it was received.
    pub time: Option<Timestamp>,
    /// What was odd about it, such as `ambiguous_time`; the event lives, and it is counted.
    pub flag: Option<&'static str>,
}

/// A decoder that reads each frame by a parser; empty frames are blank lines.
struct Parsing(Box<dyn Parser>);

impl Decoder for Parsing {
    fn decode(&mut self, frame: &Frame<'_>, events: &mut Builder) -> Result<(), DecodeError> {
        if frame.bytes.is_empty() {
            return Ok(());
        }
        let now = events.received();
        let (mut draft, parsed) =
            events.push_record(frame, |record| self.0.parse(frame.bytes, now, record))?;
        if let Some(time) = parsed.time {
            draft.time(time);
        }
        if let Some(flag) = parsed.flag {
            events.flag(flag);
        }
        Ok(())
    }
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
