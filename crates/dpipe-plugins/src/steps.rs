//! Every built-in step, one line each, sorted.

use dpipe_plugin::{Entry, StepSpec};

/// The steps that come with dpipe.
pub(crate) const STEPS: &[Entry<dyn StepSpec>] = &[];
