//! What outlives the process: the data directory, checkpoints and dead letters.
//!
//! ```text
//! data_dir/             0700; one dpipe at a time
//!   lock                held while a dpipe runs, with its process id
//!   format              the version of this layout
//!   id.key              32 random bytes, from which stream ids are derived
//!   admin.token         what admin commands show
//!   checkpoints/INPUT   where an input goes on reading
//!   dead/TENANT.jsonl   events that were refused for good, and TENANT.1.jsonl before them
//! ```
//!
//! Whatever is written here is safe from a crash when the call returns, and a crash in the middle of
//! a call leaves what was there before it. The same holds for power failures, but for checkpoints that
//! were noted and not yet saved.

mod checkpoint_file;
mod data_dir;
mod dead_letters;
mod file_name;
mod replace;

#[cfg(test)]
mod crashing;

pub use checkpoint_file::CheckpointFile;
pub use data_dir::{DataDir, DataDirError};
pub use dead_letters::{Appended, DeadLetter, DeadLetters};
