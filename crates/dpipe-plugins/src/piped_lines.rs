//! Lines that come through a pipe from another process, read when there is leave to.

use std::io;
use std::os::fd::OwnedFd;

use dpipe_event::{Pool, Room};
use dpipe_plugin::Chunk;
use tokio::net::unix::pipe::Receiver;

use crate::whole_lines::WholeLines;

/// The reading end of a pipe, and what is left of the last line.
pub(crate) struct PipedLines {
    pipe: Receiver,
    lines: WholeLines,
    /// Where the next bytes go, and from where on.
    room: Option<(Room, usize)>,
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
    /// Reads lines of at most so many bytes.
    ///
    /// # Errors
    /// If it is no pipe.
    pub(crate) fn new(pipe: OwnedFd, line_bytes_max: usize) -> io::Result<PipedLines> {
        let lines = WholeLines::new(line_bytes_max);
        Ok(PipedLines { pipe: Receiver::from_owned_fd(pipe)?, lines, room: None })
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

    /// Makes room for the next read; returns for how many bytes leave is needed.
    pub(crate) fn make_room(&mut self, pool: &Pool) -> usize {
        let lines = &self.lines;
        self.room.get_or_insert_with(|| lines.room(pool)).0.len()
    }

    /// Reads what there is.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn read(&mut self, pool: &Pool) -> io::Result<Read> {
        self.make_room(pool);
        let (mut room, from) = self.room.take().expect("there is room");
        match self.pipe.try_read(&mut room[from..]) {
            Ok(0) => {
                pool.give_back(room);
                Ok(Read::End(self.lines.rest()))
            }
            Ok(read) => Ok(Read::Some(self.lines.take(room, from + read, pool))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                pool.give_back(room);
                Ok(Read::Nothing)
            }
            Err(error) => Err(error),
        }
    }
}
