//! The dead letter office: refused events on their way to disk, and the receipts that wait for it.

use std::sync::Arc;
use std::time::Duration;

use dpipe_durable::{DeadLetter, DeadLetters};
use dpipe_event::{Batch, EventId, Origin, Receipt, Timestamp};
use dpipe_plugin::Shutdown;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::lineup::{Depth, Lineup};
use crate::panics::chain;

/// Takes letters from lanes and runners, which never wait for the disk.
#[derive(Clone)]
pub(crate) struct DeadOffice {
    sender: mpsc::UnboundedSender<Option<Post>>,
    desk: Arc<Desk>,
}

/// What people may look at.
#[derive(Default)]
struct Desk {
    /// Posts that are not on disk, by their letters.
    posts: Lineup,
    /// Why the last attempt to write failed, if it did.
    last_error: Mutex<Option<String>>,
}

struct Post {
    letters: Vec<Letter>,
    count: usize,
    receipt: Receipt,
}

impl DeadOffice {
    pub(crate) fn new() -> (Self, DeadClerk) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk::default());
        let clerk = DeadClerk { receiver, posts: Vec::new(), desk: desk.clone() };
        (DeadOffice { sender, desk }, clerk)
    }

    /// Posts letters; the receipt is settled when they are on disk. How much can wait here is bounded
    /// by the credits that the receipts hold.
    pub(crate) fn post(&self, letters: Vec<Letter>, receipt: Receipt) {
        self.desk.posts.push(letters.len());
        // The clerk leaves last, so this fails only when the process is being torn down; the receipt
        // is lost then, as it should be.
        let _ = self.sender.send(Some(Post { count: letters.len(), letters, receipt }));
    }

    /// Says that nothing more will be posted.
    pub(crate) fn close(&self) {
        let _ = self.sender.send(None);
    }

    /// The letters that are not on disk yet.
    pub(crate) fn depth(&self) -> Depth {
        self.desk.posts.depth()
    }

    /// Why they are not, if the last attempt failed.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.desk.last_error.lock().clone()
    }
}

/// Writes what was posted.
pub(crate) struct DeadClerk {
    receiver: mpsc::UnboundedReceiver<Option<Post>>,
    /// Those that are being written.
    posts: Vec<Option<Post>>,
    desk: Arc<Desk>,
}

impl DeadClerk {
    /// Everything that was posted and not written, for `rehearse`.
    pub(crate) fn take_all(&mut self) -> Vec<Letter> {
        let mut letters = Vec::new();
        while let Ok(post) = self.receiver.try_recv() {
            if let Some(Post { letters: mut posted, receipt, .. }) = post {
                letters.append(&mut posted);
                receipt.settle();
            }
        }
        letters
    }

    /// Writes until the office is closed, or until there is no more time. Returns how many letters
    /// could not be written; their receipts are abandoned.
    pub(crate) async fn run(mut self, store: Arc<DeadLetters>, mut stop: Shutdown) -> usize {
        tokio::select! {
            () = self.work(&store) => {}
            () = stop.abandoned() => {}
        }
        while let Ok(post) = self.receiver.try_recv() {
            self.posts.push(post);
        }
        let mut unwritten = 0;
        for post in self.posts.drain(..).flatten() {
            unwritten += post.count;
            post.receipt.abandon();
        }
        unwritten
    }

    /// Everything that is waiting goes to disk together.
    async fn work(&mut self, store: &Arc<DeadLetters>) {
        let mut open = true;
        while open && self.receiver.recv_many(&mut self.posts, 256).await > 0 {
            open = self.posts.iter().all(Option::is_some);
            let mut letters = Vec::new();
            for post in self.posts.iter_mut().flatten() {
                letters.append(&mut post.letters);
            }
            if !letters.is_empty() {
                self.write(store, letters).await;
            }
            for post in self.posts.drain(..).flatten() {
                post.receipt.settle();
                self.desk.posts.pop();
            }
        }
    }

    /// Writes letters, for as long as it takes: without them on disk no receipt is given.
    async fn write(&self, store: &Arc<DeadLetters>, letters: Vec<Letter>) {
        let letters = Arc::new(letters);
        let mut pauses = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut attempts = 0_u32;
        loop {
            let (store, letters) = (store.clone(), letters.clone());
            let append = move || {
                let letters: Vec<_> = letters.iter().map(Letter::as_stored).collect();
                store.append(&letters)
            };
            let error = match tokio::task::spawn_blocking(append).await {
                Ok(Ok(appended)) => {
                    if appended.overwritten > 0 {
                        let letters = appended.overwritten;
                        tracing::warn!(letters, "the oldest dead letters made room for new ones");
                    }
                    *self.desk.last_error.lock() = None;
                    return;
                }
                Ok(Err(error)) => chain(&error),
                Err(ended) => ended.to_string(),
            };
            attempts += 1;
            if attempts.is_power_of_two() {
                tracing::error!("dead letters cannot be written; inputs will wait: {error}");
            }
            *self.desk.last_error.lock() = Some(error);
            tokio::time::sleep(pauses.take()).await;
        }
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
    /// The reason as the books have it.
    pub(crate) kind: &'static str,
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
        (kind, reason): (&'static str, String),
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
            kind,
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
