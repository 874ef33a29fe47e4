//! Planted bugs, chosen at run time by `DPIPE_MUTANT`; tests show that they are found.

use std::sync::OnceLock;

/// Whether this bug is chosen.
pub(crate) fn is(name: &str) -> bool {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("DPIPE_MUTANT").ok()).as_deref() == Some(name)
}
