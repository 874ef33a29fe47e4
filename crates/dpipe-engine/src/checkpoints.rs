//! Lends an input's checkpoint file to the input.

use std::io;

use dpipe_durable::CheckpointFile;
use dpipe_plugin::Checkpoints;
use tokio::runtime::{Handle, RuntimeFlavor};

/// The positions of one input.
pub(crate) struct InputCheckpoints(CheckpointFile);

impl InputCheckpoints {
    pub(crate) fn new(file: CheckpointFile) -> Self {
        InputCheckpoints(file)
    }
}

impl Checkpoints for InputCheckpoints {
    fn load(&self) -> Vec<(String, String)> {
        self.0.load()
    }

    fn note(&self, changes: &[(String, Option<String>)]) -> io::Result<()> {
        self.0.note(changes)
    }

    fn save(&self, changes: &[(String, Option<String>)]) -> io::Result<()> {
        // A disk may take its time, which the other tasks of this thread need not wait for.
        match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| self.0.save(changes)),
            _ => self.0.save(changes),
        }
    }
}
