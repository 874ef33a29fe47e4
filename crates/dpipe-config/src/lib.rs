//! From the configuration file as written to a checked plan.
pub mod load;
