//! What had not arrived when the run ended: who still had it, and whether it comes again.

use std::sync::Arc;

use dpipe_config::plan::Plan;
use dpipe_event::Batch;
use dpipe_plugin::Level;
use serde::Serialize;

use crate::books::Role;
use crate::tenant::Tenant;

/// Events that wait for a node, of one tenant and one input.
pub(crate) struct Left {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) input: Arc<str>,
    pub(crate) events: u64,
}

/// Adds events of a batch to what is left.
pub(crate) fn add(all: &mut Vec<Left>, tenant: &Arc<Tenant>, batch: &Batch, events: usize) {
    let input = &batch.origin().input;
    let same = |left: &&mut Left| left.input == *input && Arc::ptr_eq(&left.tenant, tenant);
    match all.iter_mut().find(same) {
        Some(left) => left.events += events as u64,
        None => {
            let (tenant, input) = (tenant.clone(), input.clone());
            all.push(Left { tenant, input, events: events as u64 });
        }
    }
}

/// Events that a node had not dealt with when the run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Undelivered {
    /// The node that they wait for.
    pub node: Arc<str>,
    /// What the node is.
    pub role: Role,
    /// Events that their inputs read again at the next start.
    pub again: u64,
    /// Events whose inputs cannot read them again.
    pub lost: u64,
}

impl Undelivered {
    /// What is left at a node, in words for people; nothing, if nothing is.
    pub(crate) fn of<'a>(
        plan: &Plan,
        node: &Arc<str>,
        role: Role,
        left: impl Iterator<Item = &'a Left>,
    ) -> Option<Self> {
        let mut undelivered = Undelivered { node: node.clone(), role, again: 0, lost: 0 };
        for left in left {
            let input = plan.inputs.iter().position(|input| input.name == left.input);
            match input.map(|input| plan.level(input)) {
                Some(Level::EndToEnd | Level::Disk) => undelivered.again += left.events,
                Some(Level::Memory) | None => undelivered.lost += left.events,
            }
        }
        (undelivered.again + undelivered.lost > 0).then_some(undelivered)
    }
}
