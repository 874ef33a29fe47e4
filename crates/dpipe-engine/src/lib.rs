//! Runs a plan: lanes, runners, buffers, supervision, the ledger.
//!
//! ```text
//!  input ─ credit? ─ chunk ─▶ lane: decode, filters ─▶ queue ─▶ runner: encode, write ─▶ receipt
//!    ▲                                                                                    │
//!    └────────────────────── progress: everything before here has arrived ◀──────────────┘
//! ```
//!
//! The engine knows no concrete plugin: plugins come with the plan.

mod books;
mod checkpoints;
mod core;
mod dead;
mod door;
mod encode;
mod engine;
mod explain;
mod filter;
mod handle;
mod lane;
#[cfg(feature = "mutants")]
mod mutants;
mod panics;
mod queue;
mod route;
mod runner;
mod telemetry;
mod tenant;

pub use books::{Ledger, Line, Role, Tally};
pub use engine::{Engine, Report, RunOptions, StartError};
pub use explain::{Effect, ExplainError, Explanation, Stage, explain};
pub use handle::{Handle, Mended, Noted, OutputPool, Pools, TenantPool};
