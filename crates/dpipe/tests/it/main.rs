//! The binary from outside, as its users see it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod bad_configs;
mod commands;
mod crashes;
mod endings;
mod examples;
mod explain;
mod golden;
mod laws;
mod limits;
mod neighbor;
mod process;
mod processes;
mod real_programs;
mod reference;
mod rotation;
mod schema;
mod secrets;
mod signals;
mod storm;
mod telemetry;
mod testing;
