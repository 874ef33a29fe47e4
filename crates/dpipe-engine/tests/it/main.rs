//! The engine with plugins made for the purpose: what it delivers, what it counts, what it survives.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod books;
mod delivery;
mod ending;
mod panics;
#[cfg(feature = "mutants")]
mod planted;
mod plugins;
mod pools;
mod supervision;
mod tenants;
mod world;
