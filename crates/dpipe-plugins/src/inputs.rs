//! Every built-in input, one line each, sorted.

use dpipe_plugin::{Entry, InputSpec};

/// The inputs that come with dpipe.
pub(crate) const INPUTS: &[Entry<dyn InputSpec>] = &[];
