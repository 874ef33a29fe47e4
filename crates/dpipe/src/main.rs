//! The dpipe binary.
fn main() {}
