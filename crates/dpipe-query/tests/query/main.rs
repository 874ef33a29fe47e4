//! The language as its users see it: what matches, what is refused and where, what prints.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a test ends it")]

mod agreement;
mod event;
mod mistakes;
mod printing;
mod reference;
mod semantics;
