//! The contract between the engine and its plugins.
pub mod settings;
