//! The engine with plugins made for the purpose: what it delivers, what it counts, what it survives.

mod delivery;
mod plugins;
mod supervision;
mod tenants;
mod world;
