//! The engine with plugins made for the purpose: what it delivers, what it counts, what it survives.

mod delivery;
#[cfg(feature = "mutants")]
mod planted;
mod plugins;
mod supervision;
mod tenants;
mod world;
