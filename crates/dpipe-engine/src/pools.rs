//! The room that events take, and who has them: on a lane, put aside for a filter, with an output,
//! or on the way to the dead letters.

use std::sync::Arc;

use serde::Serialize;

use crate::core::Core;
use crate::rest::Rest;

/// The room that events take, and who has them.
#[derive(Clone, Debug, Serialize)]
pub struct Pools {
    /// Raw bytes in flight.
    pub bytes_in_flight: usize,
    /// The most there may be.
    pub bytes_in_flight_max: usize,
    /// The same by tenant.
    pub tenants: Vec<TenantPool>,
    /// What lanes have yet to decode and filter.
    pub lanes: Vec<LanePool>,
    /// What was put aside for filters that panic over one event after the other.
    pub filters: Vec<FilterPool>,
    /// What outputs have not delivered.
    pub outputs: Vec<OutputPool>,
    /// What is on the way to the dead letters.
    pub dead_letters: DeadPool,
}

/// A tenant's part of the bytes in flight.
#[derive(Clone, Debug, Serialize)]
pub struct TenantPool {
    /// The tenant.
    pub tenant: Arc<str>,
    /// Raw bytes in flight.
    pub bytes_in_flight: usize,
    /// The most there may be.
    pub bytes_in_flight_max: usize,
}

/// What a lane has yet to decode and filter; that which it is at is part of it.
#[derive(Clone, Debug, Serialize)]
pub struct LanePool {
    /// The lane.
    pub lane: usize,
    /// Chunks.
    pub chunks: usize,
    /// Their bytes.
    pub bytes: usize,
    /// How long the oldest has been there.
    pub oldest_millis: u64,
}

/// What was put aside for a filter, of one tenant.
#[derive(Clone, Debug, Serialize)]
pub struct FilterPool {
    /// The filter.
    pub filter: Arc<str>,
    /// The tenant.
    pub tenant: Arc<str>,
    /// Batches.
    pub batches: usize,
    /// Their events.
    pub events: usize,
    /// How long the oldest has waited.
    pub oldest_millis: u64,
    /// How long the filter has been panicking over its first event.
    pub failing_millis: u64,
    /// How often it did.
    pub attempts: u32,
    /// Its last panic.
    pub last_error: String,
}

/// What an output has not delivered.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OutputPool {
    /// The output.
    pub output: Arc<str>,
    /// Batches, in all.
    pub batches: usize,
    /// Their events.
    pub events: usize,
    /// Their raw bytes.
    pub bytes: usize,
    /// Of these, batches that the output has: it is at them, or holds them until its next flush.
    pub in_hand_batches: usize,
    /// Their events.
    pub in_hand_events: usize,
    /// Their raw bytes.
    pub in_hand_bytes: usize,
    /// How long the oldest batch has been here.
    pub oldest_millis: u64,
    /// How long the output has been at what it was asked to do last; 0 if it is asked nothing.
    pub unanswered_millis: u64,
    /// How long its attempts have been failing; 0 if the last one did not.
    pub failing_millis: u64,
    /// How many attempts have failed since.
    pub attempts: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// Whether the inputs behind it wait for it.
    pub full: bool,
}

/// What is on the way to the dead letters.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DeadPool {
    /// Letters that are not on disk.
    pub letters: usize,
    /// How long the oldest has waited.
    pub oldest_millis: u64,
    /// Why they cannot be written, if they cannot.
    pub last_error: Option<String>,
}

impl Core {
    pub(crate) fn pools(&self) -> Pools {
        let tenants = self.tenants.all().into_iter().map(|tenant| TenantPool {
            tenant: tenant.name.clone(),
            bytes_in_flight: tenant.bytes.used(),
            bytes_in_flight_max: tenant.bytes.limit(),
        });
        let lanes = self.lanes.iter().enumerate().map(|(lane, lineup)| {
            let depth = lineup.depth();
            LanePool {
                lane,
                chunks: depth.count,
                bytes: depth.amount,
                oldest_millis: depth.oldest_millis,
            }
        });
        let filter = |rest: &Arc<Rest>| {
            let depth = rest.depth();
            FilterPool {
                filter: self.plan.filters[rest.filter].name.clone(),
                tenant: rest.tenant.name.clone(),
                batches: depth.batches,
                events: depth.events,
                oldest_millis: depth.oldest_millis,
                failing_millis: depth.failing_millis,
                attempts: depth.attempts,
                last_error: depth.last_error,
            }
        };
        let outputs = self.plan.outputs.iter().zip(&self.queues).map(|(plan, queue)| {
            let depth = queue.depth();
            OutputPool {
                output: plan.name.clone(),
                batches: depth.batches,
                events: depth.events,
                bytes: depth.bytes,
                in_hand_batches: depth.in_hand_batches,
                in_hand_events: depth.in_hand_events,
                in_hand_bytes: depth.in_hand_bytes,
                oldest_millis: depth.oldest_millis,
                unanswered_millis: depth.unanswered_millis,
                failing_millis: depth.failing_millis,
                attempts: depth.attempts,
                last_error: depth.last_error,
                full: queue.is_full(),
            }
        });
        let letters = self.dead.depth();
        Pools {
            bytes_in_flight: self.bytes.used(),
            bytes_in_flight_max: self.bytes.limit(),
            tenants: tenants.collect(),
            lanes: lanes.collect(),
            filters: self.rests.lock().iter().map(filter).collect(),
            outputs: outputs.collect(),
            dead_letters: DeadPool {
                letters: letters.amount,
                oldest_millis: letters.oldest_millis,
                last_error: self.dead.last_error(),
            },
        }
    }
}
