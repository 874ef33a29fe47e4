//! Reads the standard input: a pipe, a file or a terminal.
//!
//! It ends when that ends. What was read and not delivered is lost in a crash, because nobody can
//! read it again: its level is `memory`. A line longer than the limit is cut, and what follows it is
//! read on from the next line.
//!
//! ```yaml
//! type: stdin
//! ```

use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::Duration;

use dpipe_event::{Room, StreamId};
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Ended, Input, InputConfig, InputContext, InputError,
    InputSpec, Level, StreamStart,
};
use rustix::event::{PollFd, PollFlags, poll};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::arrival::wait_for_arrival;
use crate::framer::{Framer, Framing};

/// Reads the standard input; there is nothing to configure.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {}

impl InputConfig for Config {
    const NAME: &'static str = "stdin";
}

impl InputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        Ok(Box::new(Stdin { source: io::stdin() }))
    }

    fn level(&self) -> Level {
        Level::Memory
    }

    fn reads_lines(&self) -> bool {
        true
    }

    fn ends(&self) -> bool {
        true
    }
}

struct Stdin<S> {
    source: S,
}

impl<S: AsFd + Send + 'static> Input for Stdin<S> {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(run(self.source, context))
    }
}

async fn run(
    source: impl AsFd + Send + 'static,
    context: InputContext,
) -> Result<Ended, InputError> {
    let InputContext { env, door, pool, id_key, mut shutdown, node, .. } = context;
    let failed = |error| InputError::caused("cannot read the standard input", error);
    // Its offsets begin anew with every start, so the start is part of its identity.
    let start = env.random().to_le_bytes();
    let id = StreamId::derive(&id_key, &[b"stdin", node.as_bytes(), &start]);
    let stream =
        door.open(StreamStart { file: String::new(), host: String::new(), id, position: 0 })?;
    let reader = Reader::start(source).map_err(failed)?;
    let event_timeout = context.multiline.as_ref().map_or(Duration::ZERO, |rule| rule.timeout());
    let mut lines = Framer::new(Framing::Newline, context.line_bytes_max, context.multiline);
    let mut last_read = Instant::now();
    let ended = loop {
        // Credits are taken when there is something to read, so that a terminal holds none.
        tokio::select! {
            biased;
            () = shutdown.given() => break Ended::Stopped,
            ready = reader.readable() => ready.map_err(failed)?,
            () = sleep_until(last_read + event_timeout), if lines.has_open_event() => {
                let credit = tokio::select! {
                    credit = stream.reserve(lines.kept()) => credit,
                    () = shutdown.given() => break Ended::Stopped,
                };
                if let Some(event) = lines.open_event() {
                    stream.send(event, credit).await;
                }
                last_read = Instant::now();
                continue;
            }
        }
        let mut credit = tokio::select! {
            credit = stream.reserve(lines.wants(&pool, pool.room_bytes())) => credit,
            () = shutdown.given() => break Ended::Stopped,
        };
        let (room, from) = lines.room(&pool, pool.room_bytes());
        // Somebody else may have read what there was.
        let (room, read) = tokio::select! {
            read = reader.read(room, from) => read.map_err(failed)?,
            () = shutdown.abandoned() => break Ended::Stopped,
        };
        let chunk = if read == 0 { lines.rest() } else { lines.take(room, from + read, &pool) };
        if let Some(chunk) = chunk {
            credit.shrink(chunk.buffer.len());
            stream.send(chunk, credit).await;
        }
        // The time that it took to send is none in which a line could have come.
        last_read = Instant::now();
        if read == 0 {
            break Ended::Exhausted;
        }
    };
    // A stop ends the event whose lines have come, if there is time for that.
    if lines.has_open_event() {
        tokio::select! {
            credit = stream.reserve(lines.kept()) => {
                if let Some(event) = lines.open_event() {
                    stream.send(event, credit).await;
                }
            }
            () = shutdown.abandoned() => {}
        }
    }
    if lines.kept() > 0 {
        door.skipped("unfinished_frame", 1);
    }
    wait_for_arrival(&*door, &*stream, lines.offset(), &mut shutdown).await?;
    Ok(ended)
}

/// Reads in a thread of its own, because not everything that can be a standard input can be waited
/// for otherwise, and a read cannot be called off. It waits without reading, and reads when it is
/// asked to: an input that stops leaves the rest to whoever reads next.
struct Reader {
    requests: mpsc::Sender<Request>,
}

enum Request {
    Wait(oneshot::Sender<io::Result<()>>),
    Read(Room, usize, oneshot::Sender<io::Result<(Room, usize)>>),
}

impl Reader {
    fn start(source: impl AsFd + Send + 'static) -> io::Result<Reader> {
        let (requests, asked) = mpsc::channel();
        // Nobody waits for its end: it may wait for a terminal until the process ends. An answer
        // that nobody wants any more is no failure.
        std::thread::Builder::new().name("stdin".into()).spawn(move || {
            for request in asked {
                match request {
                    Request::Wait(answer) => drop(answer.send(wait(&source))),
                    Request::Read(room, from, answer) => {
                        drop(answer.send(read(&source, room, from)))
                    }
                }
            }
        })?;
        Ok(Reader { requests })
    }

    /// Waits until there is something to read, or the end.
    async fn readable(&self) -> io::Result<()> {
        self.ask(Request::Wait).await
    }

    /// Reads into the room from a position on; the number of bytes is 0 at the end.
    async fn read(&self, room: Room, from: usize) -> io::Result<(Room, usize)> {
        self.ask(|answer| Request::Read(room, from, answer)).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<io::Result<T>>) -> Request,
    ) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("the reading thread is gone");
        self.requests.send(request(answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn wait(source: &impl AsFd) -> io::Result<()> {
    let mut one = [PollFd::new(source, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| poll(&mut one, None)).map(drop)?)
}

fn read(source: &impl AsFd, mut room: Room, from: usize) -> io::Result<(Room, usize)> {
    let read = rustix::io::retry_on_intr(|| rustix::io::read(source, &mut room[from..]))?;
    Ok((room, read))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use dpipe_testkit::InputWorld as World;

    use super::*;

    fn input(source: impl AsFd + Send + 'static) -> Box<dyn Input> {
        Box::new(Stdin { source })
    }

    async fn read_all(text: &[u8], line_bytes_max: usize) -> (World, Ended) {
        let (reader, mut writer) = io::pipe().unwrap();
        let text = text.to_vec();
        // A pipe holds less than some of the texts here.
        let writing = std::thread::spawn(move || writer.write_all(&text).unwrap());
        let mut world = World::new();
        world.line_bytes_max = line_bytes_max;
        let ended = world.run(input(reader)).await.unwrap();
        writing.join().unwrap();
        (world, ended)
    }

    #[tokio::test]
    async fn a_pipe_is_read_to_its_end() {
        let (world, ended) = read_all(b"one\ntwo\n\nlast", 1000).await;
        assert_eq!(ended, Ended::Exhausted);
        assert_eq!(world.lines(), ["one", "two", "", "last"]);
        assert_eq!(world.gap(), None);
    }

    #[tokio::test]
    async fn an_empty_input_ends_without_events() {
        let (world, ended) = read_all(b"", 1000).await;
        assert_eq!((world.lines().len(), ended), (0, Ended::Exhausted));
    }

    #[tokio::test]
    async fn a_regular_file_can_be_the_standard_input() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one\ntwo\n").unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let world = World::new();
        world.run(input(file)).await.unwrap();
        assert_eq!(world.lines(), ["one", "two"]);
    }

    #[tokio::test]
    async fn lines_of_any_length_come_whole_up_to_the_limit_and_cut_over_it() {
        let short = [3, 0, 5, 6, 99, 100, 101, 250, 4];
        let long = [29_999, 0, 30_000, 30_001, 69_999, 5, 200_000, 4];
        let cases =
            [(1, &short[..]), (5, &short), (100, &short), (30_000, &long), (300_000, &long)];
        for (limit, lengths) in cases {
            let lines: Vec<String> = lengths.iter().map(|&n| "x".repeat(n)).collect();
            let (world, _) = read_all((lines.join("\n") + "\n").as_bytes(), limit).await;
            let expected: Vec<String> =
                lines.iter().map(|line| line[..line.len().min(limit)].to_owned()).collect();
            assert_eq!(world.lines(), expected, "limit {limit}");
            let over: Vec<usize> = lengths.iter().copied().filter(|&n| n > limit).collect();
            assert_eq!(world.cut(), over, "limit {limit}");
            assert_eq!(world.gap(), None, "limit {limit}");
        }
    }

    #[tokio::test]
    async fn a_last_line_over_the_limit_is_cut_though_it_has_no_end() {
        let (world, _) = read_all(b"abcdefgh", 5).await;
        assert_eq!(world.lines(), ["abcde"]);
        assert_eq!(world.cut(), [8]);
    }

    #[tokio::test]
    async fn it_stops_when_told_though_nothing_comes() {
        let (reader, _writer) = io::pipe().unwrap();
        let world = World::new();
        world.stop();
        assert_eq!(world.run(input(reader)).await.unwrap(), Ended::Stopped);
    }

    #[tokio::test]
    async fn nothing_is_read_without_credit() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"one\n").unwrap();
        let world = World::without_credit();
        let source = reader.try_clone().unwrap();
        let running = world.run(input(source));
        let stopping = async {
            world.asked_for_credit().await;
            world.stop();
        };
        let (ended, ()) = tokio::join!(running, stopping);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        drop(writer);
        assert_eq!(io::read_to_string(reader).unwrap(), "one\n");
    }

    #[tokio::test]
    async fn a_stop_gives_out_the_event_whose_lines_have_come_and_counts_the_rest() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"one\n two\n thr").unwrap();
        let rule = serde_json::json!({ "continuation": "^ ", "timeout": "1h" });
        let mut world = World::new();
        world.multiline = Some(std::sync::Arc::new(serde_json::from_value(rule).unwrap()));
        let source = reader.try_clone().unwrap();
        let running = world.run(input(source));
        let stopping = async {
            // Nothing is left in the pipe once it was read.
            let is_read = || rustix::io::ioctl_fionread(&reader).unwrap() == 0;
            while !is_read() {
                tokio::task::yield_now().await;
            }
            world.stop();
        };
        let (ended, ()) = tokio::join!(running, stopping);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        assert_eq!(world.lines(), ["one\n two"]);
        assert_eq!(world.skipped()["unfinished_frame"], 1);
    }

    #[tokio::test]
    async fn its_end_waits_for_what_it_sent() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"one\n").unwrap();
        drop(writer);
        let world = World::holding_receipts();
        let running = world.run(input(reader));
        tokio::pin!(running);
        // No more is lent than was read, but for the moment in which the end is looked for.
        let lent_what_was_read = async {
            world.sent(1).await;
            while world.lent() != 4 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            ended = &mut running => panic!("it ended before: {ended:?}"),
            () = lent_what_was_read => {}
        }
        world.settle();
        assert_eq!(running.await.unwrap(), Ended::Exhausted);
    }
}
