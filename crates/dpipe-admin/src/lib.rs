//! The admin API: what a running dpipe tells of itself.
