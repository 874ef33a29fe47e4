//! From the configuration file as written to a checked plan.
//!
//! [`load`] reads a file and what it includes into one tree of values that know their places;
//! [`plan::Plan::check`] makes a plan of it, or says everything that is wrong; [`graph`] draws it;
//! [`schema`] describes every key for editors, and [`mod@reference`] for readers.

pub mod graph;
pub mod load;
mod notation;
pub mod plan;
pub mod reference;
pub mod schema;
pub mod tag_pattern;
