//! What outlives the process: checkpoints and dead letters.
