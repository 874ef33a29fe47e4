//! The admin API: what a running dpipe tells of itself.
//!
//! ```text
//!  connection ─▶ server: limits ─▶ api: guard, endpoint ─▶ what `Running` says, as JSON or metrics
//! ```
//!
//! The server has a thread and a runtime of its own, so it answers when the pipeline is saturated. It
//! listens on the loopback only. `docs/admin-api.md` lists the endpoints.

mod api;
mod catalog;
mod exposition;
mod guard;
mod health;
mod metrics;
mod outline;
mod picture;
mod process;
mod rates;
mod reply;
mod running;
mod server;
mod stat;

#[cfg(test)]
mod fake;

pub use api::{About, PluginNames};
pub use catalog::{Metric, catalog};
pub use outline::{NodeOutline, Outline, TagOutline};
pub use running::Running;
pub use server::{AdminServer, BindError, Serving};
