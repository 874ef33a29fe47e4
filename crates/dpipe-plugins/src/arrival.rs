//! Waiting until what an input sent has arrived.

use dpipe_plugin::{Door, InputError, Shutdown, Stream};

/// Waits until everything of the stream before `end` is settled, or until there is no more time for
/// that.
///
/// # Errors
/// If events were lost on the way: they have to be read again.
pub(crate) async fn wait_for_arrival(
    door: &dyn Door,
    stream: &dyn Stream,
    end: u64,
    shutdown: &mut Shutdown,
) -> Result<(), InputError> {
    loop {
        // Asked for before looking, so that nothing that comes free in between is missed.
        let freed = door.freed();
        if stream.settled() >= end {
            return Ok(());
        }
        if stream.progress().lost_receipts() > 0 {
            let message = "events were lost on their way to an output".into();
            return Err(InputError { message, source: None });
        }
        tokio::select! {
            () = freed => {}
            () = shutdown.abandoned() => return Ok(()),
        }
    }
}
