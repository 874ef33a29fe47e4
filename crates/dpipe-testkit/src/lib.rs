//! Checks for plugins: one call a contract.

mod env;
mod mmdb;
mod step;

pub use env::MemoryEnv;
pub use mmdb::{Mmdb, mmdb};
pub use step::{StepCheck, batch, check_step, step_mistake};
