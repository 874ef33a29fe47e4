//! The bound on the names that events can make dpipe create.

use std::collections::HashMap;
use std::sync::Arc;

const HOUR_MS: i64 = 3_600_000;

/// Why an event is refused when the bound is reached.
pub(super) const REFUSED: &str =
    "the event names a new file, and its tenant has had `new_files_per_hour` of them in this hour";

/// Counts new names by tenant and hour.
pub(super) struct NewFiles {
    per_hour: u64,
    hour: i64,
    counts: HashMap<Arc<str>, u64>,
}

impl NewFiles {
    pub(super) fn new(per_hour: u64) -> Self {
        NewFiles { per_hour, hour: 0, counts: HashMap::new() }
    }

    /// Takes one more name for a tenant; false if there is none left in this hour.
    pub(super) fn take(&mut self, tenant: &Arc<str>, now_millis: i64) -> bool {
        let hour = now_millis.div_euclid(HOUR_MS);
        if hour != self.hour {
            self.hour = hour;
            self.counts.clear();
        }
        let count = self.counts.entry(tenant.clone()).or_default();
        *count += 1;
        *count <= self.per_hour
    }
}
