//! The engine with plugins made for the purpose: what it delivers, what it counts, what it survives.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod delivery;
#[cfg(feature = "mutants")]
mod planted;
mod plugins;
mod supervision;
mod tenants;
mod world;
