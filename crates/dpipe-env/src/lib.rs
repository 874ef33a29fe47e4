//! What dpipe asks of the outside world: files, clock, randomness.
