//! Every built-in codec, one line each, sorted: decoders and encoders.

use dpipe_plugin::{DecoderSpec, EncoderSpec, Entry};

/// The decoders that come with dpipe.
pub(crate) const DECODERS: &[Entry<dyn DecoderSpec>] = &[];

/// The encoders that come with dpipe.
pub(crate) const ENCODERS: &[Entry<dyn EncoderSpec>] = &[];
