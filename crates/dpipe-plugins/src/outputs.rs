//! Every built-in output, one line each, sorted.

use dpipe_plugin::{Entry, OutputSpec};

/// The outputs that come with dpipe.
pub(crate) const OUTPUTS: &[Entry<dyn OutputSpec>] = &[];
