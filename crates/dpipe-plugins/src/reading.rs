//! Reading files, for the inputs that do: which ones, what they contain, which one is which.

pub(crate) mod content;
pub(crate) mod globs;
pub(crate) mod identity;
pub(crate) mod lines;
pub(crate) mod position;
