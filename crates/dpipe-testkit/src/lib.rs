//! Checks for plugins: one call a contract.

mod codec;
mod env;
mod faults;
mod input;
mod mmdb;
mod output;
mod step;

pub use codec::{decoder, encoder};
pub use env::MemoryEnv;
pub use faults::{Fault, Faults};
pub use input::{InputWorld, TestTelemetry};
pub use mmdb::{Mmdb, mmdb};
pub use output::{OutputCheck, check_output, output_mistake, parcel};
pub use step::{StepCheck, batch, check_step, check_step_with_codecs, step_mistake};
