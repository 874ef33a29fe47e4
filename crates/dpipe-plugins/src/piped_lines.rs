//! Lines that come through a pipe from another process, read when there is leave to.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use dpipe_event::Pool;
use dpipe_plugin::{Chunk, Multiline};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::framer::{Framer, Framing};

/// The reading end of a pipe, and what is left of the last line.
pub(crate) struct PipedLines {
    pipe: Receiver,
    lines: Framer,
    event_timeout: Duration,
    last_read: Instant,
}

/// What a read gave.
pub(crate) enum Read {
    /// There was nothing after all.
    Nothing,
    /// Whole lines, unless the line is still to end.
    Some(Option<Chunk>),
    /// There will be no more; the last line may lack its end.
    End(Option<Chunk>),
}

impl PipedLines {
    /// Reads lines of at most so many bytes, joined to events where that is wanted.
    ///
    /// # Errors
    /// If it is no pipe.
    pub(crate) fn new(
        pipe: OwnedFd,
        line_bytes_max: usize,
        multiline: Option<Arc<Multiline>>,
    ) -> io::Result<PipedLines> {
        let event_timeout = multiline.as_ref().map_or(Duration::ZERO, |rule| rule.timeout());
        Ok(PipedLines {
            pipe: Receiver::from_owned_fd(pipe)?,
            lines: Framer::new(Framing::Newline, line_bytes_max, multiline),
            event_timeout,
            last_read: Instant::now(),
        })
    }

    /// Waits until the event whose lines have come counts as complete; for ever if there is none.
    pub(crate) async fn event_is_due(&self) {
        match self.lines.has_open_event() {
            true => sleep_until(self.last_read + self.event_timeout).await,
            false => std::future::pending().await,
        }
    }

    /// The event whose lines have come.
    pub(crate) fn open_event(&mut self) -> Option<Chunk> {
        self.lines.open_event()
    }

    /// The position up to which lines were given out.
    pub(crate) fn offset(&self) -> u64 {
        self.lines.offset()
    }

    /// Waits until there is something to read, or the end. Nothing is read: a silent process holds no
    /// credit.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.pipe.readable().await
    }

    /// For how many bytes leave is needed before the next read.
    pub(crate) fn wants(&self, pool: &Pool) -> usize {
        self.lines.wants(pool, pool.room_bytes())
    }

    /// Notes that what was given out has been sent: meanwhile no line could come.
    pub(crate) fn was_sent(&mut self) {
        self.last_read = Instant::now();
    }

    /// The bytes that it keeps of an event whose end has not come.
    pub(crate) fn kept(&self) -> usize {
        self.lines.kept()
    }

    /// Reads what there is.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn read(&mut self, pool: &Pool) -> io::Result<Read> {
        let (mut room, from) = self.lines.room(pool, pool.room_bytes());
        match self.pipe.try_read(&mut room[from..]) {
            Ok(0) => {
                pool.give_back(room);
                Ok(Read::End(self.lines.rest()))
            }
            Ok(read) => {
                self.last_read = Instant::now();
                Ok(Read::Some(self.lines.take(room, from + read, pool)))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                pool.give_back(room);
                Ok(Read::Nothing)
            }
            Err(error) => Err(error),
        }
    }
}
