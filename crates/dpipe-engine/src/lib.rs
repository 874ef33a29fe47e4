//! Runs a plan: lanes, runners, buffers, supervision, the ledger.
//!
//! ```text
//!  input ─ credit? ─ chunk ─▶ lane: decode, filters ─▶ queue ─▶ runner: encode, write ─▶ receipt
//!    ▲                                                                                    │
//!    └────────────────────── progress: everything before here has arrived ◀──────────────┘
//! ```
//!
//! The engine knows no concrete plugin: plugins come with the plan.

mod backoff;
mod books;
mod checkpoints;
mod core;
mod dead;
mod door;
mod encode;
mod ending;
mod engine;
mod explain;
mod filter;
mod handle;
mod lane;
mod ledger;
mod left;
mod lineup;
mod mended;
#[cfg(feature = "mutants")]
mod mutants;
mod panics;
mod pools;
mod queue;
mod rehearsal;
mod rest;
mod route;
mod runner;
mod supervise;
mod telemetry;
mod tenant;

pub use books::{Ledger, Line, Role, Tally};
pub use engine::{Engine, Report, RunOptions, StartError};
pub use explain::{Change, Effect, ExplainError, Explanation, Stage, explain};
pub use handle::Handle;
pub use left::Undelivered;
pub use mended::{Mended, NodeMended, Noted};
pub use panics::panic_is_caught;
pub use pools::{DeadPool, FilterPool, LanePool, OutputPool, Pools, TenantPool};
pub use rehearsal::{Arrival, Read, Refused, Rehearsal, RehearsalError, Script, rehearse};
