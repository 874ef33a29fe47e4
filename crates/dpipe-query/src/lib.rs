//! The query language: parsed once, compiled to a matcher over events.
