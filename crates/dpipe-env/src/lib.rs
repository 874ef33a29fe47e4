//! What dpipe asks of the outside world: files, the wall clock, randomness, names in the network.
//!
//! Everything that must hold through a crash goes through [`Env`], so that a simulator can take the
//! place of the machine: one seed, one thread, files that lose what was not synced. Timers need no
//! part in it: they are tokio's, which can be paused and simulated as they are.

mod beneath;
mod files;
mod names;
mod real;
mod watch;

pub use files::{Entry, EntryKind, File, FileId, Files, Open, Space, Stat};
pub use names::Names;
pub use real::RealEnv;
pub use watch::{Change, Watch};

/// The outside world, as the core of dpipe sees it.
pub trait Env: Send + Sync + 'static {
    /// The wall clock: milliseconds since 1970. It may jump.
    fn now_millis(&self) -> i64;
    /// 64 random bits, from the operating system or from the simulator's seed.
    fn random(&self) -> u64;
    /// The files.
    fn files(&self) -> &dyn Files;
    /// A way to be told of changes in folders.
    ///
    /// # Errors
    /// If there is none; whoever wants to know then has to look for himself.
    fn watch(&self) -> std::io::Result<Box<dyn Watch>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
    /// The names of machines in the network; unsupported where there is none.
    fn names(&self) -> &dyn Names {
        &names::NoNames
    }
    /// The name of this machine.
    fn host_name(&self) -> String;
}
