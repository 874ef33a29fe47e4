//! Reads one file from where it was left to its end, or for as long as its tenant has credit.

use std::sync::Arc;

use dpipe_env::Open;
use dpipe_plugin::{Chunk, Credit, InputContext, InputError, Stream, StreamStart};

use super::desk::{Job, Work};
use super::progress::Progress;
use super::shelf::Shelf;
use crate::reading::content::{Decompression, Fault};
use crate::reading::identity::Done;
use crate::reading::lines::{Lines, Step};

/// Reads files.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) context: Arc<InputContext>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) progress: Arc<Progress>,
    pub(super) decompression: Decompression,
}

impl Reader {
    /// Reads a file to its end, or until the signal to stop. Returns it if its tenant has no more
    /// credit.
    pub(super) async fn read(self, mut work: Work, credit: Credit) -> Option<Work> {
        match self.read_lines(&mut work, credit).await {
            Ok(true) => {}
            Ok(false) => return Some(work),
            Err(fault) => {
                let Job { path, file, .. } = &work.job;
                let error = &fault as &dyn std::error::Error;
                let offset = self.shelf.with(*file, |_, position| position.sent);
                let path = path.to_string_lossy();
                tracing::error!(input = %self.context.node, %path, offset, error, "cannot read a file on");
                self.context.door.skipped_of(&path, fault.reason(), 1);
            }
        }
        self.progress.file_ended(&work.job);
        None
    }

    /// Opens the way into the pipeline, unless the file is to be left out.
    pub(super) fn stream(&self, job: &Job) -> Option<Arc<dyn Stream>> {
        let (identity, position) =
            self.shelf.with(job.file, |identity, position| (*identity, position.sent));
        let opened = self.context.door.open(StreamStart {
            file: job.path.to_string_lossy().into_owned(),
            host: String::new(),
            id: identity.stream(&self.context.id_key, &self.context.node),
            position,
        });
        match opened {
            Ok(stream) => {
                self.shelf.with(job.file, |_, position| {
                    position.stream = Some(stream.clone());
                    position.saved.set_path(&job.path, None);
                });
                Some(stream)
            }
            Err(error) => {
                self.leave_out(job, &error);
                None
            }
        }
    }

    /// Says that a file has no way into the pipeline.
    pub(super) fn leave_out(&self, job: &Job, error: &InputError) {
        let path = job.path.display();
        tracing::warn!(input = %self.context.node, %path, %error, "a file is left out");
        self.progress.file_ended(job);
    }

    /// Reads lines; whether it came to an end.
    async fn read_lines(&self, work: &mut Work, credit: Credit) -> Result<bool, Fault> {
        let Work { job, stream, lines: opened, wanted, .. } = work;
        let mut lines = match opened.take() {
            Some(lines) => lines,
            None if self.is_done(job)? => return Ok(true),
            None => {
                let Some((lines, is_known)) = self.open(job).await? else { return Ok(true) };
                if !is_known {
                    *stream = self.stream(job);
                }
                Box::new(lines)
            }
        };
        let Some(stream) = stream else { return Ok(true) };
        let mut credit = Some((*wanted, credit));
        while !self.context.shutdown.is_given() {
            // A compressed file does not say how much is left.
            let more = if lines.is_plain() { lines.unread(job.len).max(1) } else { u64::MAX };
            let most = lines.wants(&self.context.pool, more);
            let enough = credit.take().filter(|(bytes, _)| *bytes >= most);
            let enough = enough.map(|(_, credit)| credit).or_else(|| stream.try_reserve(most));
            let Some(credit) = enough else {
                (*opened, *wanted) = (Some(lines), most);
                return Ok(false);
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
                    let done = Done::of(&self.context.id_key, lines.file(), job.len)?;
                    self.shelf.with(job.file, |_, position| position.done = Some(done));
                    self.shelf.moves(job.file, 0);
                    return Ok(true);
                }
            }
            self.progress.file_read(job, lines.file_position());
            // Reading is not waiting, as far as the runtime can see.
            tokio::task::yield_now().await;
        }
        Ok(true)
    }

    /// Whether an earlier run read the file to its end, and it is as it was then.
    fn is_done(&self, job: &Job) -> Result<bool, Fault> {
        let done = self.shelf.with(job.file, |_, position| position.done);
        let Some(done) = done.filter(|done| done.len == job.len) else { return Ok(false) };
        let file = self.context.env.files().open(&job.path, Open::Read)?;
        Ok(done.is_of(&self.context.id_key, &*file)?)
    }

    /// Opens the file where it was left, and tells whether it is known that it was read up to there;
    /// if not, it is at its start. Nothing if it was told to stop before it got there.
    async fn open(&self, job: &Job) -> Result<Option<(Lines, bool)>, Fault> {
        let mut lines = self.lines(job)?;
        let sent = self.shelf.with(job.file, |_, position| position.sent);
        while lines.pass(sent, &self.context.pool)? == Some(false) {
            self.progress.file_read(job, lines.file_position());
            if self.context.shutdown.is_given() {
                return Ok(None);
            }
            tokio::task::yield_now().await;
        }
        let key = &self.context.id_key;
        if self.shelf.with(job.file, |_, position| position.is_of(key, &mut lines))? {
            return Ok(Some((lines, true)));
        }
        self.shelf.start_anew(job.file);
        Ok(Some((self.lines(job)?, false)))
    }

    fn lines(&self, job: &Job) -> Result<Lines, Fault> {
        let file = self.context.env.files().open(&job.path, Open::Read)?;
        let lines = Lines::new(file, self.context.line_bytes_max, self.decompression)?;
        lines.read_ahead();
        Ok(lines.joined_by(self.context.multiline.clone()))
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
        self.shelf.with(job.file, |_, position| {
            if let Some(head) = position.note(key, lines)? {
                // Before anything has arrived, too: it tells this stream from the next one of the file.
                (position.saved.head, position.stale) = (head, true);
            }
            Ok::<_, std::io::Error>(())
        })?;
        self.shelf.moves(job.file, chunk.buffer.len());
        stream.send(chunk, credit).await;
        self.shelf.note_if_due(&self.context);
        Ok(())
    }
}
