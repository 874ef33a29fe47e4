//! Lends an input's checkpoint file to the input.

use dpipe_durable::CheckpointFile;
use dpipe_plugin::Checkpoints;

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

    fn save(&self, changes: &[(String, Option<String>)]) -> std::io::Result<()> {
        self.0.save(changes)
    }
}
