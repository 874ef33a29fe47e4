//! Plugins for the tests of the engine.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dpipe_event::{Batch, Builder, EventRef, Frame, JsonLimits, Parts, Path, Selection, StreamId};
use dpipe_plugin::*;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) const REGISTRY: Registry = Registry {
    inputs: &[Entry::input::<Lines>("//! Sends given lines.")],
    decoders: &[Entry::decoder::<JsonLines>("//! JSON.")],
    encoders: &[Entry::encoder::<Bodies>("//! Bodies.")],
    steps: &[
        Entry::step::<Double>("//! Makes two of each."),
        Entry::step::<DropOdd>("//! Drops odd numbers."),
        Entry::step::<PanicOn>("//! Panics on a number."),
        Entry::step::<Parity>("//! Splits by parity."),
    ],
    outputs: &[Entry::output::<Collect>("//! Collects what it gets.")],
};

/// Sends `count` lines `{"n":i}` in chunks, from where it stood; `files` of them at once. Some may be
/// broken, some may have the key twice.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Lines {
    pub(crate) count: u64,
    pub(crate) files: Vec<String>,
    pub(crate) per_chunk: u64,
    pub(crate) broken_every: u64,
    pub(crate) twice_every: u64,
    pub(crate) fail_first: usize,
    /// Fails each time, once it has sent so many lines.
    pub(crate) fail_after: Option<u64>,
    pub(crate) endless: bool,
    /// Reads nothing until this is healed, if it is named.
    pub(crate) waits_for: String,
    /// Its level is `memory`: nobody can read the lines again.
    pub(crate) volatile: bool,
    /// Gives up sending a chunk before it is sent.
    pub(crate) drops_sends: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Lines {
            count: 10,
            files: vec!["a.log".to_owned()],
            per_chunk: 4,
            broken_every: 0,
            twice_every: 0,
            fail_first: 0,
            fail_after: None,
            endless: false,
            waits_for: String::new(),
            volatile: false,
            drops_sends: false,
        }
    }
}

/// What happened to plugins, in order, by what their node's name begins with, up to a `_`.
static LOGS: LazyLock<Mutex<HashMap<String, Vec<String>>>> = LazyLock::new(Mutex::default);

fn record(node: &str, what: &str) {
    let log = node.split('_').next().unwrap_or_default();
    LOGS.lock().entry(log.to_owned()).or_default().push(what.to_owned());
}

pub(crate) fn logged(log: &str) -> Vec<String> {
    LOGS.lock().get(log).cloned().unwrap_or_default()
}

/// Names of plugins that no longer panic.
static HEALED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Lets plugins that are to panic until this was said work well.
pub(crate) fn heal(name: &str) {
    HEALED.lock().insert(name.to_owned());
}

fn is_ill(panic_until: &str) -> bool {
    !panic_until.is_empty() && !HEALED.lock().contains(panic_until)
}

/// How often inputs were started, by node.
pub(crate) static STARTS: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);

impl InputConfig for Lines {
    const NAME: &'static str = "lines";
}

impl InputSpec for Lines {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        Ok(Box::new(RunningLines(self.clone())))
    }
    fn level(&self) -> Level {
        if self.volatile { Level::Memory } else { Level::EndToEnd }
    }
    fn ends(&self) -> bool {
        !self.endless
    }
    fn default_codec(&self) -> &'static str {
        "json_lines"
    }
    fn has_paths(&self) -> bool {
        true
    }
}

struct RunningLines(Lines);

impl std::ops::Deref for RunningLines {
    type Target = Lines;
    fn deref(&self) -> &Lines {
        &self.0
    }
}

impl RunningLines {
    fn line(&self, n: u64) -> String {
        if self.broken_every > 0 && n.is_multiple_of(self.broken_every) {
            format!("broken {n}\n")
        } else if self.twice_every > 0 && n.is_multiple_of(self.twice_every) {
            format!("{{\"n\":0,\"n\":{n}}}\n")
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
                    let sending = stream.send(chunk, credit);
                    if self.drops_sends {
                        drop(sending);
                    } else {
                        sending.await;
                    }
                }
                first = offset;
            }
            if self.fail_after == Some(n) {
                return Err(InputError { message: "failing on purpose".into(), source: None });
            }
        }
        if self.endless {
            shutdown.given().await;
            record(&context.node, "the input is told to stop");
        }
        while stream.progress().open_receipts() > 0 && stream.progress().lost_receipts() == 0 {
            tokio::select! {
                () = context.door.freed() => {}
                () = shutdown.abandoned() => break,
            }
        }
        let settled = stream.settled().max(saved).to_string();
        context.checkpoints.save(&[(file.to_owned(), Some(settled))]).unwrap();
        record(&context.node, "the checkpoint is saved");
        Ok(())
    }
}

impl Input for RunningLines {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(async move {
            let starts = {
                let mut starts = STARTS.lock();
                let count = starts.entry(context.node.to_string()).or_default();
                *count += 1;
                *count
            };
            assert!(starts > self.fail_first, "failing on purpose");
            while is_ill(&self.waits_for) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let all = self.files.iter().map(|file| self.one(&context, file));
            for done in join_all(all.collect()).await {
                done?;
            }
            if self.endless {
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

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct JsonLines {
    /// A number that makes the decoder panic.
    pub(crate) panic_on: Option<i64>,
    /// Panics over everything until it is healed by this name.
    pub(crate) panic_until: String,
    /// Pushes two events of each line.
    pub(crate) twice: bool,
}

impl DecoderConfig for JsonLines {
    const NAME: &'static str = "json_lines";
}

impl DecoderSpec for JsonLines {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Decoder>, BuildError> {
        Ok(Box::new(RunningJson(self.clone())))
    }
}

struct RunningJson(JsonLines);

impl Decoder for RunningJson {
    fn decode(&mut self, frame: &Frame<'_>, events: &mut Builder) -> Result<(), DecodeError> {
        assert!(!is_ill(&self.0.panic_until), "a broken codec");
        if let Some(n) = self.0.panic_on {
            assert_ne!(frame.bytes, format!("{{\"n\":{n}}}").as_bytes(), "a bad line");
        }
        for _ in 0..=usize::from(self.0.twice) {
            events
                .push_json(frame, 0..frame.bytes.len(), &JsonLimits::default())
                .map(drop)
                .map_err(|error| DecodeError::new("bad_json", error.to_string()))?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bodies {
    /// A number that makes the encoder panic.
    pub(crate) panic_on: Option<i64>,
}

impl EncoderConfig for Bodies {
    const NAME: &'static str = "bodies";
}

/// How often the encoder ran.
pub(crate) static ENCODED: AtomicUsize = AtomicUsize::new(0);

impl EncoderSpec for Bodies {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        Ok(Box::new(RunningBodies(self.clone())))
    }
}

struct RunningBodies(Bodies);

impl Encoder for RunningBodies {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.0.panic_on.is_none() {
            ENCODED.fetch_add(1, Ordering::Relaxed);
        }
        event.write_json(out);
        assert_ne!(Some(number(event)), self.0.panic_on, "a number it cannot write");
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

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PanicOn {
    pub(crate) n: Option<i64>,
    /// Panics over everything until it is healed by this name.
    pub(crate) panic_until: String,
    /// Only over events of this tenant, if one is named.
    pub(crate) tenant: String,
}

impl StepConfig for PanicOn {
    const NAME: &'static str = "panic_on";
}

impl StepSpec for PanicOn {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(RunningPanicOn(self.clone(), context.node.to_owned())))
    }
}

struct RunningPanicOn(PanicOn, String);

impl Step for RunningPanicOn {
    fn run(&mut self, batch: &mut Batch, _: &Selection, _: &mut StepContext) {
        let PanicOn { n, panic_until, tenant } = &self.0;
        if tenant.is_empty() || **tenant == *batch.origin().tenant {
            assert!(!is_ill(panic_until), "a broken step");
        }
        assert!(batch.iter().all(|event| Some(number(&event)) != *n), "a poisonous event");
    }
    fn close(&mut self, _: &mut StepContext) {
        record(&self.1, "the step is closed");
    }
}

/// Makes two of each event, and says so or does not.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Double {
    pub(crate) silently: bool,
}

impl StepConfig for Double {
    const NAME: &'static str = "double";
}

impl StepSpec for Double {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(RunningDouble { silently: self.silently }))
    }
}

struct RunningDouble {
    silently: bool,
}

impl Step for RunningDouble {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let cut = |_: &EventRef<'_>, parts: &mut Parts| (0..2).for_each(|_| parts.push(|_| ()));
        let divided = batch.split(selection, cut, |_, _, _| true);
        if !self.silently {
            context.born(divided.born);
        }
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

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Collect {
    /// The name under which it collects.
    pub(crate) into: String,
    /// So many first attempts are answered by a retry.
    pub(crate) retry_first: usize,
    /// A number that is refused.
    pub(crate) refuse: Option<i64>,
    /// Names what it refuses twice, and an event that there is not.
    pub(crate) refuses_wrongly: bool,
    /// A number that makes the output panic.
    pub(crate) panic_on: Option<i64>,
    /// Panics over everything until it is healed by this name.
    pub(crate) panic_until: String,
    /// Panics when it is flushed and not when it is written to.
    pub(crate) in_flush: bool,
    /// Holds everything until it is flushed.
    pub(crate) hold: bool,
    /// For so long, at most.
    pub(crate) hold_millis: u64,
    /// Never answers.
    pub(crate) stuck: bool,
    /// Nobody reads what it writes, from the second parcel on.
    pub(crate) closes: bool,
    /// Has its events encoded.
    pub(crate) encoded: bool,
}

impl Default for Collect {
    fn default() -> Self {
        Collect {
            into: String::new(),
            retry_first: 0,
            refuse: None,
            refuses_wrongly: false,
            panic_on: None,
            panic_until: String::new(),
            in_flush: false,
            hold: false,
            hold_millis: 20,
            stuck: false,
            closes: false,
            encoded: false,
        }
    }
}

impl OutputConfig for Collect {
    const NAME: &'static str = "collect";
}

impl OutputSpec for Collect {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        Ok(Box::new(RunningCollect {
            config: self.clone(),
            node: context.node.to_owned(),
            held: Vec::new(),
            written: 0,
        }))
    }
    fn default_encoder(&self) -> Option<&'static str> {
        self.encoded.then_some("bodies")
    }
    fn receipt_means(&self) -> String {
        "collected".into()
    }
    fn flush_policy(&self) -> Option<Flush> {
        let age = Duration::from_millis(self.hold_millis);
        self.hold.then_some(Flush { bytes: usize::MAX, age, when_idle: false })
    }
}

struct RunningCollect {
    config: Collect,
    node: String,
    held: Vec<i64>,
    written: usize,
}

impl RunningCollect {
    fn panic_over(&self, numbers: &[i64]) {
        assert!(!is_ill(&self.config.panic_until), "a broken output");
        let is_bad = |n: &i64| Some(*n) == self.config.panic_on;
        assert!(!numbers.iter().any(is_bad), "a number it cannot bear");
    }

    fn collect(&self, numbers: Vec<i64>) {
        COLLECTED.lock().entry(self.config.into.clone()).or_default().extend(numbers);
    }
}

impl Output for RunningCollect {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        Box::pin(async move {
            if self.config.stuck {
                std::future::pending::<()>().await;
            }
            self.written += 1;
            if self.config.closes && self.written > 1 {
                return Written::Closed;
            }
            if self.config.retry_first > 0 {
                self.config.retry_first -= 1;
                let after = Some(Duration::from_millis(1));
                return Written::Retry { after, reason: "not yet".into() };
            }
            let numbers: Vec<i64> = parcel.batch().iter().map(|event| number(&event)).collect();
            if !self.config.in_flush {
                self.panic_over(&numbers);
            }
            let is_refused = |n: i64| Some(n) == self.config.refuse;
            let mut refused: Vec<Refusal> = numbers
                .iter()
                .enumerate()
                .filter(|(_, n)| is_refused(**n))
                .map(|(index, _)| Refusal { index, kind: "refused", reason: "not this one".into() })
                .collect();
            if self.config.refuses_wrongly && !refused.is_empty() {
                refused
                    .insert(0, Refusal { index: 10_000, kind: "refused", reason: "nobody".into() });
                refused.push(refused[1].clone());
            }
            if self.config.hold {
                self.held.extend(numbers);
                return Written::Held;
            }
            self.collect(numbers.into_iter().filter(|n| !is_refused(*n)).collect());
            if refused.is_empty() { Written::Delivered } else { Written::Refused(refused) }
        })
    }

    fn flush(&mut self) -> BoxFuture<'_, Written> {
        Box::pin(async move {
            if self.config.in_flush {
                self.panic_over(&self.held);
            }
            record(&self.node, "the output is flushed");
            let held = std::mem::take(&mut self.held);
            self.collect(held);
            Written::Delivered
        })
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        record(&self.node, "the output is closed");
        Box::pin(async {})
    }
}
