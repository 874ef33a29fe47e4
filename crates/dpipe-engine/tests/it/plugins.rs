//! Plugins for the tests of the engine.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dpipe_event::{Batch, Builder, EventRef, Frame, JsonLimits, Path, Selection, StreamId};
use dpipe_plugin::*;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) const REGISTRY: Registry = Registry {
    inputs: &[Entry::input::<Lines>("//! Sends given lines.")],
    decoders: &[Entry::decoder::<JsonLines>("//! JSON.")],
    encoders: &[Entry::encoder::<Bodies>("//! Bodies.")],
    steps: &[
        Entry::step::<DropOdd>("//! Drops odd numbers."),
        Entry::step::<PanicOn>("//! Panics on a number."),
        Entry::step::<Parity>("//! Splits by parity."),
    ],
    outputs: &[Entry::output::<Collect>("//! Collects what it gets.")],
};

/// Sends `count` lines `{"n":i}` in chunks, from where it stood; `files` of them at once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Lines {
    pub(crate) count: u64,
    pub(crate) files: Vec<String>,
    pub(crate) per_chunk: u64,
    pub(crate) broken_every: u64,
    pub(crate) fail_first: usize,
    pub(crate) endless: bool,
}

impl Default for Lines {
    fn default() -> Self {
        let files = vec!["a.log".to_owned()];
        Lines { count: 10, files, per_chunk: 4, broken_every: 0, fail_first: 0, endless: false }
    }
}

/// How often inputs were started, by node.
pub(crate) static STARTS: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);

impl InputConfig for Lines {
    const NAME: &'static str = "lines";
}

impl InputSpec for Lines {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        Ok(Box::new(RunningLines {
            count: self.count,
            files: self.files.clone(),
            per_chunk: self.per_chunk,
            broken_every: self.broken_every,
            fail_first: self.fail_first,
            endless: self.endless,
        }))
    }
    fn level(&self) -> Level {
        Level::EndToEnd
    }
    fn ends(&self) -> bool {
        !self.endless
    }
    fn default_codec(&self) -> &'static str {
        "json_lines"
    }
}

struct RunningLines {
    count: u64,
    files: Vec<String>,
    per_chunk: u64,
    broken_every: u64,
    fail_first: usize,
    endless: bool,
}

impl RunningLines {
    fn line(&self, n: u64) -> String {
        if self.broken_every > 0 && n.is_multiple_of(self.broken_every) {
            format!("broken {n}\n")
        } else {
            format!("{{\"n\":{n}}}\n")
        }
    }

    async fn one(&self, context: &InputContext, file: &str) -> Result<(), InputError> {
        let start = StreamStart {
            file: file.to_owned(),
            host: String::new(),
            id: StreamId::derive(&context.id_key, &[file.as_bytes()]),
            position: 0,
        };
        let stream = context.door.open(start)?;
        let saved: u64 = context
            .checkpoints
            .load()
            .into_iter()
            .find(|(key, _)| key == file)
            .map_or(0, |(_, value)| value.parse().unwrap());
        let mut offset = 0;
        let mut chunk = String::new();
        let mut first = 0;
        let mut shutdown = context.shutdown.clone();
        for n in 0..self.count {
            chunk.push_str(&self.line(n));
            if (n + 1).is_multiple_of(self.per_chunk) || n + 1 == self.count {
                offset += chunk.len() as u64;
                let text = std::mem::take(&mut chunk);
                if offset > saved {
                    let credit = tokio::select! {
                        credit = stream.reserve(text.len()) => credit,
                        () = shutdown.given() => break,
                    };
                    let buffer = text.into_bytes().into();
                    let chunk = Chunk { buffer, offset: first, end: offset, cut: Cut::Lines };
                    stream.send(chunk, credit).await;
                }
                first = offset;
            }
        }
        while stream.progress().open_receipts() > 0 && stream.progress().lost_receipts() == 0 {
            tokio::select! {
                () = context.door.freed() => {}
                () = shutdown.abandoned() => break,
            }
        }
        let settled = stream.settled().max(saved).to_string();
        context.checkpoints.save(&[(file.to_owned(), Some(settled))]).unwrap();
        Ok(())
    }
}

impl Input for RunningLines {
    fn run(
        self: Box<Self>,
        mut context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(async move {
            let starts = {
                let mut starts = STARTS.lock();
                let count = starts.entry(context.node.to_string()).or_default();
                *count += 1;
                *count
            };
            assert!(starts > self.fail_first, "failing on purpose");
            let all = self.files.iter().map(|file| self.one(&context, file));
            for done in join_all(all.collect()).await {
                done?;
            }
            if self.endless {
                context.shutdown.given().await;
                return Ok(Ended::Stopped);
            }
            Ok(Ended::Exhausted)
        })
    }
}

/// Runs futures side by side.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(move |context| {
        let mut pending = false;
        for (future, output) in &mut pinned {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(pinned.iter_mut().filter_map(|(_, output)| output.take()).collect())
    })
    .await
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct JsonLines {
    /// A number that makes the decoder panic.
    pub(crate) panic_on: Option<i64>,
}

impl DecoderConfig for JsonLines {
    const NAME: &'static str = "json_lines";
}

impl DecoderSpec for JsonLines {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Decoder>, BuildError> {
        Ok(Box::new(RunningJson(self.panic_on)))
    }
}

struct RunningJson(Option<i64>);

impl Decoder for RunningJson {
    fn decode(&mut self, frame: &Frame<'_>, events: &mut Builder) -> Result<(), DecodeError> {
        if let Some(n) = self.0 {
            assert_ne!(frame.bytes, format!("{{\"n\":{n}}}").as_bytes(), "a bad line");
        }
        events
            .push_json(frame, 0..frame.bytes.len(), &JsonLimits::default())
            .map(drop)
            .map_err(|error| DecodeError::new("bad_json", error.to_string()))
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bodies {}

impl EncoderConfig for Bodies {
    const NAME: &'static str = "bodies";
}

/// How often the encoder ran.
pub(crate) static ENCODED: AtomicUsize = AtomicUsize::new(0);

impl EncoderSpec for Bodies {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        Ok(Box::new(RunningBodies))
    }
}

struct RunningBodies;

impl Encoder for RunningBodies {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        ENCODED.fetch_add(1, Ordering::Relaxed);
        event.write_json(out);
        Ok(())
    }
}

fn number(event: &EventRef<'_>) -> i64 {
    event.get(&Path::parse("n").unwrap()).and_then(|n| n.as_i64()).unwrap()
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DropOdd {}

impl StepConfig for DropOdd {
    const NAME: &'static str = "drop_odd";
}

impl StepSpec for DropOdd {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(RunningDropOdd))
    }
}

struct RunningDropOdd;

impl Step for RunningDropOdd {
    fn run(&mut self, batch: &mut Batch, _: &Selection, context: &mut StepContext) {
        let dropped = batch.discard(&Selection::of(batch, |event| number(event) % 2 == 1));
        context.filtered("odd", dropped);
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PanicOn {
    pub(crate) n: i64,
}

impl StepConfig for PanicOn {
    const NAME: &'static str = "panic_on";
}

impl StepSpec for PanicOn {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(RunningPanicOn(self.n)))
    }
}

struct RunningPanicOn(i64);

impl Step for RunningPanicOn {
    fn run(&mut self, batch: &mut Batch, _: &Selection, _: &mut StepContext) {
        assert!(batch.iter().all(|event| number(&event) != self.0), "a poisonous event");
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Parity {}

impl StepConfig for Parity {
    const NAME: &'static str = "parity";
}

impl StepSpec for Parity {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(RunningParity))
    }
    fn ports(&self) -> Vec<String> {
        vec!["odd".into(), "even".into()]
    }
}

struct RunningParity;

impl Step for RunningParity {
    fn run(&mut self, batch: &mut Batch, _: &Selection, context: &mut StepContext) {
        let odd = batch.take(&Selection::of(batch, |event| number(event) % 2 == 1));
        let even = batch.take(&Selection::All);
        context.publish(0, odd);
        context.publish(1, even);
    }
}

/// What outputs got, by the name under which they collect.
pub(crate) static COLLECTED: LazyLock<Mutex<HashMap<String, Vec<i64>>>> =
    LazyLock::new(Mutex::default);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Collect {
    /// The name under which it collects.
    pub(crate) into: String,
    /// So many first attempts are answered by a retry.
    pub(crate) retry_first: usize,
    /// A number that is refused.
    pub(crate) refuse: Option<i64>,
    /// A number that makes the output panic.
    pub(crate) panic_on: Option<i64>,
    /// Holds everything until it is flushed.
    pub(crate) hold: bool,
    /// Never answers.
    pub(crate) stuck: bool,
    /// Has its events encoded.
    pub(crate) encoded: bool,
}

impl OutputConfig for Collect {
    const NAME: &'static str = "collect";
}

impl OutputSpec for Collect {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        Ok(Box::new(RunningCollect {
            into: self.into.clone(),
            retry_first: self.retry_first,
            refuse: self.refuse,
            panic_on: self.panic_on,
            hold: self.hold,
            stuck: self.stuck,
            held: Vec::new(),
        }))
    }
    fn default_encoder(&self) -> Option<&'static str> {
        self.encoded.then_some("bodies")
    }
    fn receipt_means(&self) -> String {
        "collected".into()
    }
    fn flush_policy(&self) -> Option<Flush> {
        let age = Duration::from_millis(20);
        self.hold.then_some(Flush { bytes: usize::MAX, age, when_idle: false })
    }
}

struct RunningCollect {
    into: String,
    retry_first: usize,
    refuse: Option<i64>,
    panic_on: Option<i64>,
    hold: bool,
    stuck: bool,
    held: Vec<i64>,
}

impl Output for RunningCollect {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        Box::pin(async move {
            if self.stuck {
                std::future::pending::<()>().await;
            }
            if self.retry_first > 0 {
                self.retry_first -= 1;
                let after = Some(Duration::from_millis(1));
                return Written::Retry { after, reason: "not yet".into() };
            }
            let numbers: Vec<i64> = parcel.batch().iter().map(|event| number(&event)).collect();
            assert!(!numbers.iter().any(|n| Some(*n) == self.panic_on), "a number it cannot bear");
            let refused: Vec<Refusal> = numbers
                .iter()
                .enumerate()
                .filter(|(_, n)| Some(**n) == self.refuse)
                .map(|(index, _)| Refusal { index, kind: "refused", reason: "not this one".into() })
                .collect();
            if self.hold {
                self.held.extend(numbers);
                return Written::Held;
            }
            let taken = numbers.into_iter().filter(|n| Some(*n) != self.refuse);
            COLLECTED.lock().entry(self.into.clone()).or_default().extend(taken);
            if refused.is_empty() { Written::Delivered } else { Written::Refused(refused) }
        })
    }

    fn flush(&mut self) -> BoxFuture<'_, Written> {
        COLLECTED.lock().entry(self.into.clone()).or_default().append(&mut self.held);
        Box::pin(async { Written::Delivered })
    }
}
