//! Tells of dpipe itself, as events: figures every ten seconds, and the lines of its log.
//!
//! The field `kind` tells what an event is. Events that are not delivered are lost in a crash: the
//! level is `memory`.
//!
//! - `engine`: `in_flight_bytes`, `in_flight_max_bytes`, `uptime_seconds`, `restarts_count`,
//!   `retries_count`, `panics_count`, `lost_receipts_count`, and by role `panics`
//! - `node`, by `node`, `role` (`input`, `filter`, `output`, `unmatched`) and `tenant`: `in_events`,
//!   `in_bytes`, `born_events`, `out_events`, `delivered_events`, `filtered_events`, `dead_events`,
//!   `dropped_events`, `flagged_events`, `in_flight_events`, and by reason `filtered`, `dead`,
//!   `dropped`, `flagged` and `skipped`
//! - `queue`, by `node`: `queue_batches`, `queue_events`, `queue_bytes`, `queue_max_bytes`,
//!   `queue_oldest_millis`, `queue_full`
//! - `log`: `time` (RFC 3339), `level` (`error`, `warn`, `info`), `target`, `message`, `fields`
//!
//! What counts since the start also comes as a rate since the report before, under the same name with
//! `_per_second` behind it.
//!
//! So that no line leads to the next one for ever, lines about nodes that the events of this input
//! pass through are left out. Of the others, each message comes at most five times in ten seconds, and
//! there are at most `lines_per_second_max`. What is left out is counted in `dpipe_skipped_total` as
//! `log_line_of_own_way`, `log_line_repeated`, `log_line_rate`, and `log_line_lost` (more than 1,000
//! were not read in time).
//!
//! ```yaml
//! type: telemetry
//! every: 10s
//! log: warn
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dpipe_event::{StreamId, Timestamp};
use dpipe_plugin::settings::{Period, Problem};
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Chunk, Cut, Ended, Input, InputConfig, InputContext,
    InputError, InputSpec, Level, LogLevel, LogLine, LogLines, Reading, StreamStart,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use crate::arrival::wait_for_arrival;

/// What to tell, and how often.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// How often figures are told.
    every: Period,
    /// Whether figures are told.
    figures: bool,
    /// The least important lines of the log that are told.
    log: Lines,
    /// The most lines in a second; the others are counted.
    lines_per_second_max: u32,
}

/// Which lines of the log are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Lines {
    /// None.
    Off,
    /// What does not work.
    Error,
    /// And what is odd.
    Warn,
    /// And what happens.
    Info,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            every: Period::seconds(10),
            figures: true,
            log: Lines::Info,
            lines_per_second_max: 100,
        }
    }
}

impl InputConfig for Config {
    const NAME: &'static str = "telemetry";
}

impl InputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        Ok(Box::new(Telemetry { config: self.clone() }))
    }

    fn level(&self) -> Level {
        Level::Memory
    }

    fn default_codec(&self) -> &'static str {
        "json"
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.every.duration() < Duration::from_millis(100) {
            problems.push(Problem::error("`every` is less than a tenth of a second"));
        }
        if self.log == Lines::Off && !self.figures {
            problems.push(Problem::error("neither figures nor log lines are left to tell"));
        }
        problems
    }
}

struct Telemetry {
    config: Config,
}

impl Input for Telemetry {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(run(self.config, context))
    }
}

/// Lines that are taken out of the log at a time.
const LINES_AT_ONCE: usize = 100;

async fn run(config: Config, context: InputContext) -> Result<Ended, InputError> {
    let InputContext { env, door, id_key, mut shutdown, node, telemetry, .. } = context;
    // Its offsets begin anew with every start, so the start is part of its identity.
    let start = env.random().to_le_bytes();
    let id = StreamId::derive(&id_key, &[b"telemetry", node.as_bytes(), &start]);
    let stream =
        door.open(StreamStart { file: String::new(), host: String::new(), id, position: 0 })?;
    let mut tick = tokio::time::interval(config.every.duration());
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut rates = Rates::default();
    let mut sieve = Sieve::new(&config);
    let (mut next, mut offset) = (0, 0);
    loop {
        let mut lines = Vec::new();
        tokio::select! {
            biased;
            () = shutdown.given() => break,
            _ = tick.tick(), if config.figures => {
                for event in rates.events(telemetry.readings(), Instant::now()) {
                    write(&mut lines, &event);
                }
            }
            () = telemetry.log().written(next), if config.log != Lines::Off => {
                let read = telemetry.log().read(next, LINES_AT_ONCE);
                next = read.next;
                let is_own = |line: &LogLine| telemetry.is_of_own_way(line);
                for line in sieve.sift(read, is_own, Instant::now()) {
                    write(&mut lines, &event_of(&line));
                }
                for (reason, count) in sieve.left_out.drain(..) {
                    door.skipped(reason, count);
                }
            }
        }
        if lines.is_empty() {
            continue;
        }
        let credit = tokio::select! {
            credit = stream.reserve(lines.len()) => credit,
            () = shutdown.given() => break,
        };
        let end = offset + lines.len() as u64;
        stream.send(Chunk { buffer: lines.into(), offset, end, cut: Cut::Lines }, credit).await;
        offset = end;
    }
    wait_for_arrival(&*door, &*stream, offset, &mut shutdown).await?;
    Ok(Ended::Stopped)
}

fn write(lines: &mut Vec<u8>, event: &Value) {
    serde_json::to_writer(&mut *lines, event).expect("texts and numbers are JSON");
    lines.push(b'\n');
}

fn event_of(line: &LogLine) -> Value {
    let fields: Map<String, Value> =
        line.fields.iter().map(|(key, value)| ((*key).to_owned(), value.as_str().into())).collect();
    json!({
        "kind": "log",
        "time": Timestamp::from_millis(line.time_millis).to_string(),
        "level": line.level.name(),
        "target": line.target,
        "message": line.message,
        "fields": fields,
    })
}

/// Which thing a reading is of.
type Key = (&'static str, Vec<Arc<str>>);

/// Makes events of figures, and finds rates by those before.
#[derive(Default)]
struct Rates {
    at: Option<Instant>,
    counters: HashMap<Key, Vec<(&'static str, u64)>>,
}

impl Rates {
    fn events(&mut self, readings: Vec<Reading>, now: Instant) -> Vec<Value> {
        let seconds = self.at.map(|at| (now - at).as_secs_f64()).filter(|seconds| *seconds > 0.0);
        self.at = Some(now);
        let mut counters = HashMap::new();
        let mut events = Vec::new();
        for reading in readings {
            let key = (reading.kind, reading.names.iter().map(|(_, name)| name.clone()).collect());
            let before = self.counters.get(&key);
            let rate = |name: &str, count: u64| {
                let (_, before) = before?.iter().find(|(known, _)| *known == name)?;
                let rate = count.checked_sub(*before)? as f64 / seconds?;
                Number::from_f64((rate * 100.0).round() / 100.0)
            };
            let mut event = Map::new();
            event.insert("kind".into(), reading.kind.into());
            for (name, value) in &reading.names {
                event.insert((*name).into(), (&**value).into());
            }
            for &(name, count) in &reading.counters {
                event.insert(name.into(), count.into());
                if let Some(rate) = rate(name, count) {
                    event.insert(format!("{name}_per_second"), rate.into());
                }
            }
            for &(name, number) in &reading.gauges {
                event.insert(name.into(), number.into());
            }
            for (name, tally) in &reading.tallies {
                let tally =
                    tally.iter().map(|(reason, count)| ((*reason).to_owned(), json!(count)));
                event.insert((*name).into(), Value::Object(tally.collect()));
            }
            events.push(Value::Object(event));
            counters.insert(key, reading.counters);
        }
        self.counters = counters;
        events
    }
}

/// Lines of the same message in a window.
const SAME_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);

/// Leaves out lines that are not wanted, or are too many.
struct Sieve {
    least: Option<LogLevel>,
    per_second_max: u32,
    second: Instant,
    in_second: u32,
    window: Instant,
    /// Messages of this window, and how often they came.
    seen: HashMap<String, u32>,
    left_out: Vec<(&'static str, u64)>,
}

impl Sieve {
    fn new(config: &Config) -> Sieve {
        let now = Instant::now();
        Sieve {
            least: match config.log {
                Lines::Off => None,
                Lines::Error => Some(LogLevel::Error),
                Lines::Warn => Some(LogLevel::Warn),
                Lines::Info => Some(LogLevel::Info),
            },
            per_second_max: config.lines_per_second_max,
            second: now,
            in_second: 0,
            window: now,
            seen: HashMap::new(),
            left_out: Vec::new(),
        }
    }

    fn sift(
        &mut self,
        read: LogLines,
        is_own: impl Fn(&LogLine) -> bool,
        now: Instant,
    ) -> Vec<Arc<LogLine>> {
        if now - self.second >= Duration::from_secs(1) {
            (self.second, self.in_second) = (now, 0);
        }
        if now - self.window >= WINDOW {
            self.window = now;
            self.seen.clear();
        }
        self.leave_out("log_line_lost", read.lost);
        let mut kept = Vec::new();
        for line in read.lines {
            if self.least.is_none_or(|least| line.level > least) {
                continue;
            }
            match self.why_not(&line, &is_own) {
                Some(reason) => self.leave_out(reason, 1),
                None => kept.push(line),
            }
        }
        kept
    }

    fn why_not(
        &mut self,
        line: &LogLine,
        is_own: &impl Fn(&LogLine) -> bool,
    ) -> Option<&'static str> {
        if is_own(line) {
            return Some("log_line_of_own_way");
        }
        if self.in_second >= self.per_second_max {
            return Some("log_line_rate");
        }
        let times = self.seen.entry(line.message.clone()).or_default();
        *times += 1;
        if *times > SAME_MAX {
            return Some("log_line_repeated");
        }
        self.in_second += 1;
        None
    }

    fn leave_out(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            self.left_out.push((reason, count));
        }
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::InputWorld;

    use super::*;

    fn line(level: LogLevel, message: &str, node: &str) -> LogLine {
        LogLine {
            time_millis: 1_717_243_200_250,
            level,
            target: "dpipe_engine::runner".into(),
            message: message.into(),
            fields: vec![("node", node.into())],
        }
    }

    fn reading(events: u64) -> Reading {
        Reading {
            kind: "node",
            names: vec![("node", "logs".into()), ("role", "input".into())],
            counters: vec![("in_events", events)],
            gauges: vec![("in_flight_events", 3)],
            tallies: vec![("dead", vec![("bad_json", 2)])],
        }
    }

    #[test]
    fn figures_have_rates_since_the_report_before() {
        let mut rates = Rates::default();
        let start = Instant::now();
        let first = rates.events(vec![reading(100)], start);
        assert_eq!(
            first,
            [json!({
                "kind": "node", "node": "logs", "role": "input", "in_events": 100,
                "in_flight_events": 3, "dead": { "bad_json": 2 }
            })]
        );
        let second = rates.events(vec![reading(125)], start + Duration::from_secs(10));
        assert_eq!(second[0]["in_events_per_second"], json!(2.5));
        // Counters that began anew have no rate.
        let third = rates.events(vec![reading(5)], start + Duration::from_secs(20));
        assert!(third[0].get("in_events_per_second").is_none());
    }

    async fn run(config: Config, world: &InputWorld) -> Ended {
        world.run(Box::new(Telemetry { config })).await.unwrap()
    }

    #[tokio::test]
    async fn figures_and_lines_of_the_log_become_events() {
        let world = InputWorld::new();
        world.telemetry.readings.lock().push(reading(7));
        world.telemetry.log.write(line(LogLevel::Warn, "not delivered", "x"));
        let running = run(Config::default(), &world);
        let stopping = async {
            world.sent(2).await;
            world.telemetry.log.write(line(LogLevel::Info, "later", "x"));
            world.sent(3).await;
            world.stop();
        };
        let (ended, ()) = tokio::join!(running, stopping);
        assert_eq!(ended, Ended::Stopped);
        let mut lines = world.lines();
        // Which of the two comes first is not told.
        lines.sort_by_key(|line| !line.starts_with("{\"kind\":\"node\",\"node\":\"logs\""));
        assert!(lines[0].contains("\"in_events\":7"));
        assert_eq!(
            lines[1],
            "{\"kind\":\"log\",\"time\":\"2024-06-01T12:00:00.250Z\",\"level\":\"warn\",\
             \"target\":\"dpipe_engine::runner\",\"message\":\"not delivered\",\
             \"fields\":{\"node\":\"x\"}}"
        );
        assert!(lines[2].contains("\"message\":\"later\""));
        assert_eq!(world.gap(), None);
    }

    #[tokio::test]
    async fn lines_about_its_own_way_or_below_the_level_are_left_out() {
        let world = InputWorld::new();
        let log = &world.telemetry.log;
        log.write(line(LogLevel::Error, "own output failed", "own"));
        log.write(line(LogLevel::Info, "unimportant", "x"));
        log.write(line(LogLevel::Error, "last", "x"));
        let config = Config { log: Lines::Warn, figures: false, ..Config::default() };
        let running = run(config, &world);
        let stopping = async {
            world.sent(1).await;
            world.stop();
        };
        tokio::join!(running, stopping);
        assert_eq!(world.lines().len(), 1);
        assert!(world.lines()[0].contains("\"last\""));
        assert_eq!(world.skipped(), [("log_line_of_own_way", 1)].into());
    }

    #[test]
    fn a_message_that_comes_again_and_again_and_a_flood_are_counted() {
        let config = Config { lines_per_second_max: 7, ..Config::default() };
        let mut sieve = Sieve::new(&config);
        let start = Instant::now();
        let mut sift = |messages: &[&str], after: u64| {
            let lines = messages.iter().map(|text| Arc::new(line(LogLevel::Info, text, "x")));
            let read = LogLines { lines: lines.collect(), lost: 0, next: 0 };
            let kept = sieve.sift(read, |_| false, start + Duration::from_secs(after)).len();
            (kept, std::mem::take(&mut sieve.left_out))
        };
        assert_eq!(sift(&["same"; 6], 0), (5, vec![("log_line_repeated", 1)]));
        assert_eq!(sift(&["a", "b", "c"], 0), (2, vec![("log_line_rate", 1)]));
        assert_eq!(sift(&["same", "d"], 5), (1, vec![("log_line_repeated", 1)]));
        assert_eq!(sift(&["same"], 11), (1, vec![]));
    }

    #[test]
    fn mistakes_are_found_before_anything_runs() {
        let wrong = |json| {
            let config: Config = serde_json::from_value(json).unwrap();
            let problems = InputSpec::check(&config);
            problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
        };
        assert!(wrong(json!({})).is_empty());
        assert_eq!(
            wrong(json!({ "every": "1ms", "figures": false, "log": "off" })),
            [
                "`every` is less than a tenth of a second",
                "neither figures nor log lines are left to tell"
            ]
        );
    }
}
