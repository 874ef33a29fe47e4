//! The commands, one file each. Each returns the exit code of the process.

pub(crate) mod check;
pub(crate) mod explain;
pub(crate) mod graph;
pub(crate) mod plugins;
pub(crate) mod reference;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod test;
