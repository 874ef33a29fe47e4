//! The dead letter office: refused events on their way to disk, and the receipts that wait for it.

use std::sync::Arc;
use std::time::Duration;

use dpipe_durable::{DeadLetter, DeadLetters};
use dpipe_event::{Batch, EventId, Origin, Receipt, Timestamp};
use tokio::sync::mpsc;

/// Takes letters from lanes and runners, which never wait for the disk.
#[derive(Clone)]
pub(crate) struct DeadOffice {
    sender: mpsc::UnboundedSender<Option<Post>>,
}

struct Post {
    letters: Vec<Letter>,
    receipt: Receipt,
}

impl DeadOffice {
    pub(crate) fn new() -> (Self, DeadClerk) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (DeadOffice { sender }, DeadClerk { receiver })
    }

    /// Posts letters; the receipt is settled when they are on disk. How much can wait here is bounded
    /// by the credits that the receipts hold.
    pub(crate) fn post(&self, letters: Vec<Letter>, receipt: Receipt) {
        // The clerk leaves last, so this fails only when the process is being torn down; the receipt
        // is lost then, as it should be.
        let _ = self.sender.send(Some(Post { letters, receipt }));
    }

    /// Says that nothing more will be posted.
    pub(crate) fn close(&self) {
        let _ = self.sender.send(None);
    }
}

/// Writes what was posted.
pub(crate) struct DeadClerk {
    receiver: mpsc::UnboundedReceiver<Option<Post>>,
}

impl DeadClerk {
    /// Writes until the office is closed. Everything that is waiting goes to disk together.
    pub(crate) async fn run(mut self, store: Arc<DeadLetters>) {
        let mut posts = Vec::new();
        let mut open = true;
        while open && self.receiver.recv_many(&mut posts, 256).await > 0 {
            open = posts.iter().all(Option::is_some);
            let mut letters = Vec::new();
            for post in posts.iter_mut().flatten() {
                letters.append(&mut post.letters);
            }
            if !letters.is_empty() {
                write(&store, letters).await;
            }
            for post in posts.drain(..).flatten() {
                post.receipt.settle();
            }
        }
    }
}

/// Writes letters, for as long as it takes: without them on disk no receipt is given.
async fn write(store: &Arc<DeadLetters>, letters: Vec<Letter>) {
    let letters = Arc::new(letters);
    let mut pause = Duration::from_millis(100);
    loop {
        let (store, letters) = (store.clone(), letters.clone());
        let append = move || {
            let letters: Vec<_> = letters.iter().map(Letter::as_stored).collect();
            store.append(&letters)
        };
        let written = tokio::task::spawn_blocking(append).await;
        match written {
            Ok(Ok(appended)) => {
                if appended.overwritten > 0 {
                    let letters = appended.overwritten;
                    tracing::warn!(letters, "the oldest dead letters made room for new ones");
                }
                return;
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "dead letters cannot be written; inputs will wait");
            }
            Err(panic) => tracing::error!(%panic, "writing dead letters panicked"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

/// A refused event, with all that its dead letter says.
pub(crate) struct Letter {
    pub(crate) time: Timestamp,
    pub(crate) origin: Arc<Origin>,
    pub(crate) id: EventId,
    pub(crate) tag: Arc<str>,
    pub(crate) offset: u64,
    pub(crate) stage: Arc<str>,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(crate) raw: Vec<u8>,
}

impl Letter {
    /// The letter of the event at `index` of a batch.
    pub(crate) fn of(
        batch: &Batch,
        index: usize,
        stage: &Arc<str>,
        reason: String,
        now: Timestamp,
    ) -> Self {
        let event = batch.get(index);
        Letter {
            time: now,
            origin: batch.origin().clone(),
            id: event.id(),
            tag: batch.tag().clone(),
            offset: event.offset(),
            stage: stage.clone(),
            reason,
            attempts: 1,
            raw: event.raw().to_vec(),
        }
    }

    fn as_stored(&self) -> DeadLetter<'_> {
        DeadLetter {
            time: self.time,
            tenant: &self.origin.tenant,
            id: self.id,
            input: &self.origin.input,
            tag: &self.tag,
            file: &self.origin.file,
            offset: self.offset,
            stage: &self.stage,
            reason: &self.reason,
            attempts: self.attempts,
            raw: &self.raw,
        }
    }
}
