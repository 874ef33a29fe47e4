//! Reads one file from where it was left to its end.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use dpipe_env::{FileId, Open};
use dpipe_plugin::{Chunk, Credit, InputContext, Stream, StreamStart};
use parking_lot::Mutex;

use super::Job;
use super::progress::Progress;
use crate::reading::content::{Decompression, Fault};
use crate::reading::identity::{Identity, Saved};
use crate::reading::lines::{Lines, Step};
use crate::reading::position::Position;

/// The positions of all files.
#[derive(Default)]
pub(super) struct Shelf {
    positions: Mutex<HashMap<FileId, (Identity, Position)>>,
    /// Whether saving failed, which was said.
    failed: Mutex<bool>,
}

impl Shelf {
    pub(super) fn put(&self, positions: impl Iterator<Item = (Identity, Position)>) {
        let positions = positions.map(|(identity, position)| (identity.file, (identity, position)));
        self.positions.lock().extend(positions);
    }

    /// Saves what has arrived since the last time.
    pub(super) fn save(&self, context: &InputContext) {
        let mut positions = self.positions.lock();
        let mut changes = Vec::new();
        for (identity, position) in positions.values_mut() {
            position.settle();
            if position.stale {
                changes.push((identity.key(), Some(position.json())));
            }
        }
        let mut failed = self.failed.lock();
        if !changes.is_empty()
            && let Err(error) = context.checkpoints.save(&changes)
        {
            if !*failed {
                tracing::error!(input = %context.node, %error, "cannot save positions; trying on");
            }
            *failed = true;
            return;
        }
        *failed = false;
        positions.values_mut().for_each(|(_, position)| position.stale = false);
    }

    /// Whether everything has arrived and is saved.
    pub(super) fn is_settled(&self) -> bool {
        !*self.failed.lock() && self.positions.lock().values().all(|(_, at)| at.is_settled())
    }

    /// A file of which something got lost on the way.
    pub(super) fn lost(&self) -> Option<String> {
        let positions = self.positions.lock();
        let lost = positions.values().find(|(_, position)| position.is_lost());
        lost.map(|(_, position)| position.saved.path.clone())
    }
}

/// Reads a file.
pub(super) struct Reader {
    pub(super) context: Arc<InputContext>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) progress: Arc<Progress>,
    pub(super) decompression: Decompression,
}

impl Reader {
    /// Reads the file to its end, or until the signal to stop.
    pub(super) async fn read(self, job: Job) {
        if let Err(fault) = self.read_lines(&job).await {
            let (path, error) = (job.path.display(), &fault as &dyn std::error::Error);
            let offset = self.with(job.file, |_, position| position.sent).unwrap_or_default();
            tracing::error!(input = %self.context.node, %path, offset, error, "cannot read a file on");
            self.context.door.skipped_of(&job.path.to_string_lossy(), fault.reason(), 1);
        }
        self.progress.file_ended(&job);
    }

    async fn read_lines(&self, job: &Job) -> Result<(), Fault> {
        if self.with(job.file, |_, position| position.done) == Some(Some(job.len)) {
            return Ok(());
        }
        let Some(mut lines) = self.open(job).await? else { return Ok(()) };
        let mut shutdown = self.context.shutdown.clone();
        let mut stream = None;
        while !shutdown.is_given() {
            let stream = match &mut stream {
                Some(stream) => stream,
                None => match self.stream(job) {
                    Some(opened) => stream.insert(opened),
                    None => return Ok(()),
                },
            };
            // A compressed file does not say how much is left.
            let more = if lines.is_plain() { lines.unread(job.len).max(1) } else { u64::MAX };
            let most = lines.wants(&self.context.pool, more);
            let credit = tokio::select! {
                credit = stream.reserve(most) => credit,
                () = shutdown.given() => break,
            };
            match lines.next(&self.context.pool, most)? {
                Step::Chunk(chunk) => self.send(job, &mut lines, &**stream, chunk, credit).await?,
                Step::More => {}
                Step::End => {
                    let torn = lines.torn();
                    if let Some(rest) = lines.rest()? {
                        self.send(job, &mut lines, &**stream, rest, credit).await?;
                    }
                    if let Some(fault) = torn {
                        return Err(fault);
                    }
                    self.with(job.file, |_, position| position.done = Some(job.len));
                    return Ok(());
                }
            }
            self.progress.file_read(job, lines.file_position());
            // Reading is not waiting, as far as the runtime can see.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Opens the file where it was left; nothing if it was told to stop before it got there.
    async fn open(&self, job: &Job) -> Result<Option<Lines>, Fault> {
        let mut lines = self.lines(&job.path)?;
        let sent = self.with(job.file, |_, position| position.sent).unwrap_or_default();
        while lines.pass(sent, &self.context.pool)? == Some(false) {
            self.progress.file_read(job, lines.file_position());
            if self.context.shutdown.is_given() {
                return Ok(None);
            }
            tokio::task::yield_now().await;
        }
        let key = &self.context.id_key;
        let is_known = self.with(job.file, |_, position| position.is_of(key, &mut lines));
        let is_known = is_known.transpose()?;
        if is_known != Some(true) {
            // A file that was changed from the start holds another stream.
            let last = self.with(job.file, |identity, _| identity.generation);
            let generation = last.map_or(0, |last| last + 1);
            let identity = Identity { file: job.file, generation };
            let position = Position::new(Saved::at_start(&job.path));
            self.shelf.put([(identity, position)].into_iter());
            if is_known.is_some() {
                lines = self.lines(&job.path)?;
            }
        }
        Ok(Some(lines))
    }

    fn lines(&self, path: &Path) -> Result<Lines, Fault> {
        let file = self.context.env.files().open(path, Open::Read)?;
        let lines = Lines::new(file, self.context.line_bytes_max, self.decompression)?;
        lines.read_ahead();
        Ok(lines.joined_by(self.context.multiline.clone()))
    }

    /// Opens the way into the pipeline, unless the file is to be left out.
    fn stream(&self, job: &Job) -> Option<Arc<dyn Stream>> {
        let (identity, position) = self.with(job.file, |identity, at| (*identity, at.sent))?;
        let opened = self.context.door.open(StreamStart {
            file: job.path.to_string_lossy().into_owned(),
            host: String::new(),
            id: identity.stream(&self.context.id_key, &self.context.node),
            position,
        });
        match opened {
            Ok(stream) => {
                self.with(job.file, |_, position| position.stream = Some(stream.clone()));
                Some(stream)
            }
            Err(error) => {
                let path = job.path.display();
                tracing::warn!(input = %self.context.node, %path, %error, "a file is left out");
                None
            }
        }
    }

    async fn send(
        &self,
        job: &Job,
        lines: &mut Lines,
        stream: &dyn Stream,
        chunk: Chunk,
        credit: Credit,
    ) -> Result<(), Fault> {
        let key = &self.context.id_key;
        let noted = self.with(job.file, |_, position| {
            let head = position.note(key, lines)?;
            position.saved.head = head.unwrap_or(position.saved.head);
            Ok::<_, std::io::Error>(())
        });
        noted.transpose()?;
        stream.send(chunk, credit).await;
        Ok(())
    }

    /// Does something with the position of a file, if there is one.
    fn with<T>(&self, file: FileId, act: impl FnOnce(&Identity, &mut Position) -> T) -> Option<T> {
        let mut positions = self.shelf.positions.lock();
        positions.get_mut(&file).map(|(identity, position)| act(identity, position))
    }
}
