//! The bound on the names that events can make dpipe create.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const HOUR_MS: i64 = 3_600_000;

/// Why an event is refused when the bound is reached.
pub(super) const REFUSED: &str =
    "the event names a new file, and its tenant has had `new_files_per_hour` of them in this hour";

/// Counts new names by tenant and hour.
pub(super) struct NewFiles {
    output: Arc<str>,
    per_hour: u64,
    hour: i64,
    tenants: HashMap<Arc<str>, Count>,
    /// Names that were taken since the last success. They may not be files yet, and come again if
    /// the write is tried again.
    fresh: HashSet<Box<[u8]>>,
}

/// The names of a tenant in this hour.
#[derive(Default)]
struct Count {
    taken: u64,
    /// Whether it was said that there are no more.
    said: bool,
}

impl NewFiles {
    pub(super) fn new(output: &str, per_hour: u64) -> Self {
        NewFiles {
            output: output.into(),
            per_hour,
            hour: 0,
            tenants: HashMap::new(),
            fresh: HashSet::new(),
        }
    }

    /// Takes one more name for a tenant; false if there is none left in this hour.
    pub(super) fn take(&mut self, key: &[u8], tenant: &Arc<str>, now_millis: i64) -> bool {
        if self.fresh.contains(key) {
            return true;
        }
        let hour = now_millis.div_euclid(HOUR_MS);
        if hour != self.hour {
            self.hour = hour;
            self.tenants.clear();
        }
        let count = self.tenants.entry(tenant.clone()).or_default();
        if count.taken < self.per_hour {
            count.taken += 1;
            self.fresh.insert(key.into());
            return true;
        }
        if !std::mem::replace(&mut count.said, true) {
            tracing::error!(
                output = &*self.output,
                tenant = &**tenant,
                new_files_per_hour = self.per_hour,
                "events name too many new files; until the hour ends, more become dead letters"
            );
        }
        false
    }

    /// The names that were taken are files now.
    pub(super) fn commit(&mut self) {
        self.fresh.clear();
    }
}
