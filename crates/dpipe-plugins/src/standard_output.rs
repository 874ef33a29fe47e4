//! The process's standard output, as the outputs `stdout` and `console` write to it.
//!
//! Whoever reads may be slow or may have stopped reading, so writing happens on a thread that may
//! block. Each parcel is written as a whole: two outputs do not write into each other's lines.

use std::io::{self, Write};
use std::sync::Arc;

use dpipe_plugin::Written;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Where a process prints to.
#[derive(Clone)]
pub(crate) struct StandardOutput {
    sink: Arc<Mutex<Sink>>,
}

struct Sink {
    writer: Box<dyn Write + Send>,
    /// The last write failed in the middle of a line.
    torn: bool,
}

impl StandardOutput {
    /// That of this process.
    pub(crate) fn of_process() -> Self {
        Self::to(Descriptor)
    }

    /// Any other, for tests.
    pub(crate) fn to(writer: impl Write + Send + 'static) -> Self {
        let sink = Sink { writer: Box::new(writer), torn: false };
        StandardOutput { sink: Arc::new(Mutex::new(sink)) }
    }

    /// Writes whole lines; says what became of them.
    pub(crate) async fn write(&self, lines: impl AsRef<[u8]> + Send + 'static) -> Written {
        let sink = self.sink.clone();
        let written = tokio::task::spawn_blocking(move || sink.lock().write(lines.as_ref())).await;
        match written {
            Ok(Ok(())) => Written::Delivered,
            Ok(Err(error)) if is_closed(&error) => Written::Closed,
            Ok(Err(error)) => Written::Retry {
                after: None,
                reason: format!("cannot write to standard output: {error}"),
            },
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => Written::Retry { after: None, reason: "the process ends".into() },
        }
    }
}

impl Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let _whole = io::stdout().lock();
        if self.torn {
            // What could not be finished stays a line of its own; the whole of it follows.
            self.writer.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.writer.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.torn = rest[n - 1] != b'\n';
                    rest = &rest[n..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.writer.flush()
    }
}

/// Whether nobody will ever read what is written.
fn is_closed(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::PIPE | Errno::BADF))
        || error.kind() == io::ErrorKind::BrokenPipe
}

/// Standard output without a buffer in between.
struct Descriptor;

impl Write for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stdout = io::stdout();
        loop {
            match rustix::io::write(&stdout, bytes) {
                // The other end may have made the descriptor non-blocking, for all who share it.
                Err(Errno::AGAIN) => {
                    poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None)?;
                }
                written => return Ok(written?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What was printed.
    #[derive(Clone, Default)]
    pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        /// Takes what was printed since the last call.
        pub(crate) fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock())).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A printer that jams after so many bytes, once, with this error.
    struct Jam(Paper, usize, Option<io::ErrorKind>);

    impl Write for Jam {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1 == 0
                && let Some(kind) = self.2.take()
            {
                return Err(kind.into());
            }
            let n = if self.2.is_some() { bytes.len().min(self.1) } else { bytes.len() };
            self.1 -= n.min(self.1);
            self.0.write(&bytes[..n])
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn print(output: &StandardOutput, lines: &'static str) -> Written {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(output.write(lines))
    }

    #[test]
    fn a_line_that_was_torn_is_ended_before_everything_is_written_again() {
        let paper = Paper::default();
        let output = StandardOutput::to(Jam(paper.clone(), 4, Some(io::ErrorKind::StorageFull)));
        assert!(matches!(print(&output, "one\ntwo\n"), Written::Retry { .. }));
        assert_eq!(print(&output, "one\ntwo\n"), Written::Delivered);
        assert_eq!(paper.take(), "one\none\ntwo\n");

        let output = StandardOutput::to(Jam(paper.clone(), 5, Some(io::ErrorKind::StorageFull)));
        assert!(matches!(print(&output, "one\ntwo\n"), Written::Retry { .. }));
        assert_eq!(print(&output, "one\ntwo\n"), Written::Delivered);
        assert_eq!(paper.take(), "one\nt\none\ntwo\n");
    }

    #[test]
    fn an_interrupted_write_goes_on() {
        let paper = Paper::default();
        let output = StandardOutput::to(Jam(paper.clone(), 5, Some(io::ErrorKind::Interrupted)));
        assert_eq!(print(&output, "one\ntwo\n"), Written::Delivered);
        assert_eq!(paper.take(), "one\ntwo\n");
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_closed_and_not_broken() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert_eq!(print(&StandardOutput::to(writer), "one\n"), Written::Closed);
    }
}
