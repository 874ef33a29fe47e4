//! Tenants at run time: their credits, their rate, their books.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dpipe_config::plan::{DEFAULT_TENANT, Plan, TenantLimits, TenantSource};
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use crate::books::Book;

/// A tenant that has, or may have, events in the pipeline.
pub(crate) struct Tenant {
    pub(crate) name: Arc<str>,
    pub(crate) bytes: Budget,
    pub(crate) turns: Turns,
    rate: Option<Rate>,
    /// By node: inputs, filters, outputs, and then the tags that nobody takes.
    books: Box<[Book]>,
    /// By filter: how many lanes have put aside what it should do for this tenant.
    rests: Box<[AtomicUsize]>,
}

impl Tenant {
    pub(crate) fn book(&self, node: usize) -> &Book {
        &self.books[node]
    }

    /// Whether the inputs that feed this filter should wait, because it does nothing for this tenant
    /// at the moment.
    pub(crate) fn rests_at(&self, filter: usize) -> bool {
        self.rests[filter].load(Ordering::Acquire) > 0
    }

    pub(crate) fn begin_rest(&self, filter: usize) {
        self.rests[filter].fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn end_rest(&self, filter: usize) {
        self.rests[filter].fetch_sub(1, Ordering::AcqRel);
    }

    /// A tenant with nothing around it.
    #[cfg(test)]
    pub(crate) fn alone(name: &str) -> Self {
        let (name, limits) = (name.into(), TenantLimits::default());
        Tenant::new(name, &limits, usize::MAX, 1, 1)
    }

    fn new(
        name: Arc<str>,
        limits: &TenantLimits,
        bytes: usize,
        nodes: usize,
        filters: usize,
    ) -> Self {
        Tenant {
            name,
            bytes: Budget::new(bytes),
            turns: Turns::default(),
            rate: (limits.events_per_second > 0).then(|| Rate::new(limits.events_per_second)),
            books: (0..nodes).map(|_| Book::default()).collect(),
            rests: (0..filters).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// Whether the rate allows reading now.
    pub(crate) fn rate_allows(&self) -> bool {
        self.rate.as_ref().is_none_or(|rate| rate.wait(Instant::now()).is_zero())
    }

    /// How long until the rate allows reading.
    pub(crate) fn rate_wait(&self) -> Duration {
        self.rate.as_ref().map_or(Duration::ZERO, |rate| rate.wait(Instant::now()))
    }

    /// Charges events to the rate. How many a read brings is known only afterwards, so the bucket
    /// may go into debt; then reading waits until the debt is paid.
    pub(crate) fn charge(&self, events: u64) {
        if let Some(rate) = &self.rate {
            rate.charge(events, Instant::now());
        }
    }
}

/// Counts the chunks that lanes began to work on, and those that they are done with. What one node's
/// book says was published is in the next one's only when the chunk is done.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Turns {
    /// Begins a turn; it ends when what is returned is dropped, by a panic too.
    pub(crate) fn begin(&self) -> Turn<'_> {
        self.begun.fetch_add(1, Ordering::AcqRel);
        Turn(self)
    }

    /// How many have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether no chunk was on a lane at any moment since `ended` was asked for.
    pub(crate) fn none_since(&self, ended: u64) -> bool {
        self.begun.load(Ordering::Acquire) == ended
    }
}

/// A chunk on a lane.
pub(crate) struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// A bound on bytes. It may be passed by one reservation, so that a large one finds its way too.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Budget { limit, used: AtomicUsize::new(0) }
    }

    pub(crate) fn try_take(&self, bytes: usize) -> bool {
        let take = |used: usize| (used == 0 || used + bytes <= self.limit).then(|| used + bytes);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

/// A token bucket that holds one second's worth and may go into debt.
struct Rate {
    per_second: f64,
    state: Mutex<(f64, Instant)>,
}

impl Rate {
    fn new(per_second: u64) -> Self {
        let per_second = per_second as f64;
        Rate { per_second, state: Mutex::new((per_second, Instant::now())) }
    }

    fn refill(&self, state: &mut (f64, Instant), now: Instant) {
        let passed = now.saturating_duration_since(state.1).as_secs_f64();
        state.0 = (state.0 + passed * self.per_second).min(self.per_second);
        state.1 = now;
    }

    fn charge(&self, events: u64, now: Instant) {
        let mut state = self.state.lock();
        self.refill(&mut state, now);
        state.0 -= events as f64;
    }

    fn wait(&self, now: Instant) -> Duration {
        let mut state = self.state.lock();
        self.refill(&mut state, now);
        if state.0 > 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(-state.0 / self.per_second).max(Duration::from_millis(1))
    }
}

/// Every tenant there is. Tenants taken from paths join when their first file is seen.
pub(crate) struct Tenants {
    nodes: usize,
    filters: usize,
    default_bytes: usize,
    configured: HashMap<Arc<str>, TenantLimits>,
    /// How many may join by paths: each has books, metrics and dead letters.
    from_paths_max: usize,
    joined: RwLock<Joined>,
}

#[derive(Default)]
struct Joined {
    by_name: HashMap<Arc<str>, Arc<Tenant>>,
    from_paths: usize,
    /// Whether it was said that there are too many.
    said: bool,
}

impl Tenants {
    pub(crate) fn new(plan: &Plan, nodes: usize) -> Self {
        let half = plan.limits.bytes_in_flight.bytes() as usize / 2;
        let configured: HashMap<_, _> =
            plan.tenants.iter().map(|t| (t.name.clone(), t.limits.clone())).collect();
        // Of one tenant alone there is nobody to protect.
        let alone = configured.len() <= 1
            && plan.inputs.iter().all(|input| matches!(&input.tenant, TenantSource::Named(_)));
        let default_bytes = if alone { half * 2 } else { half };
        let tenants = Tenants {
            nodes,
            filters: plan.filters.len(),
            default_bytes,
            configured,
            from_paths_max: plan.limits.tenants_max,
            joined: RwLock::default(),
        };
        for tenant in &plan.tenants {
            tenants.get(&tenant.name);
        }
        for input in &plan.inputs {
            if let TenantSource::Named(name) = &input.tenant {
                tenants.get(name);
            }
        }
        tenants
    }

    /// The tenant of this name, which the configuration gave; it joins now if it is new.
    pub(crate) fn get(&self, name: &str) -> Arc<Tenant> {
        if let Some(tenant) = self.joined.read().by_name.get(name) {
            return tenant.clone();
        }
        let mut joined = self.joined.write();
        if let Some(tenant) = joined.by_name.get(name) {
            return tenant.clone();
        }
        self.join(&mut joined, name)
    }

    /// The tenant of this name, which a path gave; nothing if it is new, and one too many.
    pub(crate) fn of_path(&self, name: &str) -> Option<Arc<Tenant>> {
        if let Some(tenant) = self.joined.read().by_name.get(name) {
            return Some(tenant.clone());
        }
        let mut joined = self.joined.write();
        if let Some(tenant) = joined.by_name.get(name) {
            return Some(tenant.clone());
        }
        if joined.from_paths >= self.from_paths_max {
            if !std::mem::replace(&mut joined.said, true) {
                let tenants_max = self.from_paths_max;
                tracing::error!(
                    tenant = name,
                    tenants_max,
                    "paths name more tenants than `limits.tenants_max`; files of others are left out"
                );
            }
            return None;
        }
        joined.from_paths += 1;
        Some(self.join(&mut joined, name))
    }

    fn join(&self, joined: &mut Joined, name: &str) -> Arc<Tenant> {
        let name: Arc<str> = name.into();
        let limits = self.configured.get(&name).cloned().unwrap_or_default();
        let bytes = limits.bytes_in_flight.map_or(self.default_bytes, |b| b.bytes() as usize);
        let tenant = Tenant::new(name.clone(), &limits, bytes, self.nodes, self.filters);
        let tenant = Arc::new(tenant);
        joined.by_name.insert(name, tenant.clone());
        tenant
    }

    /// Every tenant, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Tenant>> {
        let mut all: Vec<_> = self.joined.read().by_name.values().cloned().collect();
        all.sort_by(|a, b| {
            (&*a.name != DEFAULT_TENANT, &a.name).cmp(&(&*b.name != DEFAULT_TENANT, &b.name))
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_on_a_lane_at_any_moment_is_noticed() {
        let turns = Turns::default();
        assert!(turns.none_since(turns.ended()));
        let before = turns.ended();
        let turn = turns.begin();
        assert!(!turns.none_since(before));
        let during = turns.ended();
        drop(turn);
        assert!(!turns.none_since(before) && !turns.none_since(during));
        assert!(turns.none_since(turns.ended()));
    }

    #[test]
    fn a_budget_is_kept_but_for_one_that_alone_is_too_large() {
        let budget = Budget::new(100);
        assert!(budget.try_take(150));
        assert!(!budget.try_take(1));
        budget.give_back(150);
        assert!(budget.try_take(60));
        assert!(!budget.try_take(60));
        assert!(budget.try_take(40));
        assert_eq!(budget.used(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_in_debt_waits_until_it_is_paid() {
        let rate = Rate::new(100);
        rate.charge(300, Instant::now());
        assert_eq!(rate.wait(Instant::now()), Duration::from_secs(2));
        tokio::time::advance(Duration::from_millis(2001)).await;
        assert!(rate.wait(Instant::now()).is_zero());
    }
}
