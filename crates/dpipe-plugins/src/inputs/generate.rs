//! Synthetic events of an online game, at a set rate: for demos and load.
//!
//! The events are als lines of about 500 bytes, made from `seed` alone; with `start_time` their
//! times are, too, and every run gives the same bytes. It goes on where it stopped, also after a
//! crash, and with `count` it ends when so many are delivered. With `tenants` there is a stream for
//! each, whose file is `TENANT/pv.log`, and `tenant: { from: path, pattern: "(?<tenant>\\w+)/" }`
//! beside it tells whose they are.
//!
//! ```yaml
//! type: generate
//! events_per_second: 200
//! seed: 7
//! ```

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dpipe_event::{Buffer, Pool, StreamId, Timestamp};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Chunk, Cut, Ended, Input, InputConfig, InputContext,
    InputError, InputSpec, Level, Shutdown, Stream, StreamStart,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, interval_at, sleep_until};

use crate::arrival::wait_for_arrival;
use crate::game_events::{GameEvents, LINE_BYTES_MAX};
use crate::rhythm::{Rhythm, SAVE_EVERY};

/// What events to make, and how fast.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// How many events there are in a second; 0 for as many as are taken.
    events_per_second: u32,
    /// What the events are made from: another seed, other events.
    seed: u64,
    /// After how many events it ends; never, if left out.
    count: Option<u64>,
    /// The areas that they come from, the busiest first; ten of its own, if left out.
    areas: Vec<String>,
    /// The tenants that they are for, in turn; a single stream `pv.log`, if left out.
    tenants: Vec<String>,
    /// The time of the first event, in milliseconds since 1970; those after it follow at
    /// `events_per_second`, or at one a millisecond. The time of day, if left out.
    start_time: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            events_per_second: 100,
            seed: 0,
            count: None,
            areas: Vec::new(),
            tenants: Vec::new(),
            start_time: None,
        }
    }
}

impl InputConfig for Config {
    const NAME: &'static str = "generate";
}

impl InputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        Ok(Box::new(Generate { config: self.clone() }))
    }

    fn level(&self) -> Level {
        Level::EndToEnd
    }

    fn ends(&self) -> bool {
        self.count.is_some()
    }

    fn default_codec(&self) -> &'static str {
        "als"
    }

    fn has_paths(&self) -> bool {
        !self.tenants.is_empty()
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let bad_area = |area: &&String| {
            area.is_empty() || area.len() > 255 || area.contains([',', '\n', '\r'])
        };
        if let Some(area) = self.areas.iter().find(bad_area) {
            let wanted = "1 to 255 bytes, no comma and no line end";
            problems.push(Problem::error(format!("{area:?} is no area: {wanted}")));
        }
        let bad_tenant = |name: &&String| name.is_empty() || name.contains(['/', '\n']);
        if let Some(name) = self.tenants.iter().find(bad_tenant) {
            problems.push(Problem::error(format!("{name:?} is no name of a tenant")));
        }
        if let Some(start) = self.start_time.filter(|start| !START_TIMES.contains(start)) {
            let message = format!("the start_time {start} is not within the years 2000 to 2099");
            problems.push(Problem::error(message).help("it counts milliseconds since 1970"));
        }
        problems
    }
}

/// Milliseconds since 1970 of 2000-01-01 and of 2100-01-01.
const START_TIMES: Range<u64> = 946_684_800_000..4_102_444_800_000;

struct Generate {
    config: Config,
}

impl Input for Generate {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(async move { Run::open(self.config, context)?.run().await })
    }
}

/// A checkpoint: where a stream goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// The index of its next event, among those of all streams.
    next: u64,
    /// The bytes before it.
    offset: u64,
}

/// The events of one tenant: those whose index is `first`, `first + streams`, and so on.
struct Feed {
    key: String,
    stream: Arc<dyn Stream>,
    next: Position,
    saved: Position,
    /// Where the chunks end that were sent and are not known to be settled.
    sent: VecDeque<Position>,
}

struct Run {
    config: Config,
    context: InputContext,
    events: GameEvents,
    feeds: Vec<Feed>,
    lines: Vec<u8>,
    rhythm: Rhythm,
}

impl Run {
    fn open(config: Config, context: InputContext) -> Result<Run, InputError> {
        let saved = context.checkpoints.load();
        let files = match config.tenants.as_slice() {
            [] => vec!["pv.log".to_owned()],
            tenants => tenants.iter().map(|tenant| format!("{tenant}/pv.log")).collect(),
        };
        let mut feeds = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let id = identity(&config, &context.id_key, index, file);
            let key = id.to_string();
            let position = saved.iter().find(|(saved, _)| *saved == key);
            let position = position.and_then(|(_, json)| serde_json::from_str(json).ok());
            let next = position.unwrap_or(Position { next: index as u64, offset: 0 });
            let start =
                StreamStart { file: file.clone(), host: String::new(), id, position: next.offset };
            let stream = context.door.open(start)?;
            feeds.push(Feed { key, stream, next, saved: next, sent: VecDeque::new() });
        }
        let events = GameEvents::new(config.seed, &config.areas);
        Ok(Run { config, context, events, feeds, lines: Vec::new(), rhythm: Rhythm::new() })
    }

    async fn run(mut self) -> Result<Ended, InputError> {
        let mut shutdown = self.context.shutdown.clone();
        let count = self.config.count.unwrap_or(u64::MAX);
        let mut at = self.feeds.iter().map(|feed| feed.next.next).min().unwrap_or(0);
        let mut pace = Pace::new(self.config.events_per_second);
        let mut save = interval_at(Instant::now() + SAVE_EVERY, SAVE_EVERY);
        let mut unnoted = false;
        let ended = loop {
            if at >= count {
                break Ended::Exhausted;
            }
            let due = tokio::select! {
                biased;
                () = shutdown.given() => break Ended::Stopped,
                _ = save.tick() => {
                    self.save()?;
                    continue;
                }
                () = self.context.door.some_settled(), if !unnoted => {
                    unnoted = true;
                    continue;
                }
                () = sleep_until(self.rhythm.next()), if unnoted => {
                    self.note()?;
                    unnoted = false;
                    continue;
                }
                due = pace.due(self.feeds.len() as u64 * events_max(&self.context.pool)) => due,
            };
            let to = at.saturating_add(due).min(count);
            if !self.send(at, to, &mut shutdown).await {
                break Ended::Stopped;
            }
            at = to;
            if self.rhythm.is_due(Instant::now()) {
                self.note()?;
            }
        };
        for feed in &self.feeds {
            let door = &*self.context.door;
            wait_for_arrival(door, &*feed.stream, feed.next.offset, &mut shutdown).await?;
        }
        self.save()?;
        Ok(ended)
    }

    /// Sends the events of these indexes, of each feed those that it did not send before. Returns
    /// false if it was told to stop before it came to the end.
    async fn send(&mut self, from: u64, to: u64, shutdown: &mut Shutdown) -> bool {
        let now = Timestamp::from_millis(self.context.env.now_millis());
        let feeds = self.feeds.len() as u64;
        for (first, feed) in self.feeds.iter_mut().enumerate() {
            self.lines.clear();
            let mut next = feed.next.next.max(first_from(from, first as u64, feeds));
            while next < to {
                let time = time_of(&self.config, next).unwrap_or(now);
                self.events.write_als(next, time, &mut self.lines);
                next += feeds;
            }
            if self.lines.is_empty() {
                continue;
            }
            let credit = tokio::select! {
                credit = feed.stream.reserve(self.lines.len()) => credit,
                () = shutdown.given() => return false,
            };
            let offset = feed.next.offset;
            let end = offset + self.lines.len() as u64;
            let buffer = buffer_of(&self.lines, &self.context.pool);
            self.rhythm.sent(self.lines.len());
            feed.stream.send(Chunk { buffer, offset, end, cut: Cut::Lines }, credit).await;
            feed.next = Position { next, offset: end };
            feed.sent.push_back(feed.next);
        }
        true
    }

    /// Notes what has arrived, so that it survives a crash.
    fn note(&mut self) -> Result<(), InputError> {
        let changes = self.changes();
        self.context.checkpoints.note(&changes).map_err(not_saved)
    }

    /// Saves what has arrived, so that it survives a power failure.
    fn save(&mut self) -> Result<(), InputError> {
        let changes = self.changes();
        self.context.checkpoints.save(&changes).map_err(not_saved)
    }

    /// The checkpoints that have moved.
    fn changes(&mut self) -> Vec<(String, Option<String>)> {
        let mut changes = Vec::new();
        for feed in &mut self.feeds {
            let settled = feed.stream.settled();
            let before = feed.saved;
            while let Some(position) = feed.sent.pop_front_if(|sent| sent.offset <= settled) {
                feed.saved = position;
            }
            if feed.saved != before {
                let json = serde_json::to_string(&feed.saved).expect("numbers are JSON");
                changes.push((feed.key.clone(), Some(json)));
            }
        }
        self.rhythm.noted(Instant::now(), self.feeds.len(), changes.len());
        changes
    }
}

fn not_saved(error: io::Error) -> InputError {
    InputError::caused("cannot save a checkpoint", error)
}

/// What tells a stream from those that have other events.
fn identity(config: &Config, id_key: &[u8; 32], index: usize, file: &str) -> StreamId {
    let rate = config.start_time.map(|start| (start, config.events_per_second));
    let made_from = (config.seed, &config.areas, rate, index, config.tenants.len());
    let made_from = serde_json::to_vec(&made_from).expect("numbers and texts are JSON");
    StreamId::derive(id_key, &[b"generate", file.as_bytes(), &made_from])
}

/// The time of an event, if the configuration says so.
fn time_of(config: &Config, index: u64) -> Option<Timestamp> {
    let per_second = u64::from(config.events_per_second);
    let after = match per_second {
        0 => index,
        rate => index / rate * 1000 + index % rate * 1000 / rate,
    };
    let millis = config.start_time?.saturating_add(after);
    Some(Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)))
}

/// The first index from `from` on that is `first` modulo `feeds`.
fn first_from(from: u64, first: u64, feeds: u64) -> u64 {
    from + (feeds + first - from % feeds) % feeds
}

/// How many events a room holds for certain.
fn events_max(pool: &Pool) -> u64 {
    (pool.room_bytes() / LINE_BYTES_MAX).max(1) as u64
}

fn buffer_of(lines: &[u8], pool: &Pool) -> Buffer {
    let mut room = pool.room();
    if room.len() < lines.len() {
        pool.give_back(room);
        return Buffer::from(lines.to_vec());
    }
    room[..lines.len()].copy_from_slice(lines);
    pool.freeze(room, lines.len())
}

/// How often the clock is looked at, at most: fewer and larger chunks at high rates.
const TICK: Duration = Duration::from_millis(10);

/// Keeps to a rate.
struct Pace {
    per_second: u64,
    start: Instant,
    /// Since the start.
    made: u64,
}

impl Pace {
    fn new(per_second: u32) -> Pace {
        let now = Instant::now();
        Pace { per_second: per_second.into(), start: now, made: 0 }
    }

    /// Waits until events are due; returns how many, at most `most`.
    async fn due(&mut self, most: u64) -> u64 {
        if self.per_second == 0 {
            // There may be nothing else to wait for, and others have to run.
            tokio::task::yield_now().await;
            return most;
        }
        loop {
            let elapsed = self.start.elapsed();
            let due = (elapsed.as_nanos() * u128::from(self.per_second) / 1_000_000_000) as u64;
            let due = due.saturating_sub(self.made);
            if due > self.per_second.max(1) {
                // What could not be sent for a second is not made up for.
                (self.start, self.made) = (Instant::now(), 0);
            }
            if due > 0 {
                let due = due.min(most);
                self.made += due;
                return due;
            }
            let next = Duration::from_nanos(1_000_000_000 * (self.made + 1) / self.per_second);
            let next = next.max(elapsed + TICK) + Duration::from_nanos(1);
            tokio::time::sleep_until(self.start + next).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::InputWorld;

    use super::*;

    fn config(yaml_like: serde_json::Value) -> Config {
        serde_json::from_value(yaml_like).unwrap()
    }

    async fn run(config: &Config, world: &InputWorld) -> Ended {
        world.run(Box::new(Generate { config: config.clone() })).await.unwrap()
    }

    /// A thousand events, as fast as they are taken.
    fn thousand() -> Config {
        config(serde_json::json!({
            "events_per_second": 0, "seed": 3, "count": 1000, "start_time": 1_401_580_800_000u64
        }))
    }

    #[tokio::test]
    async fn it_ends_after_its_count_and_every_run_gives_the_same_lines() {
        let world = InputWorld::new();
        assert_eq!(run(&thousand(), &world).await, Ended::Exhausted);
        let lines = world.lines();
        assert_eq!((lines.len(), world.gap()), (1000, None));
        assert!(lines[999].contains(",1401580800999,{"), "{}", lines[999]);
        let other = InputWorld::new();
        run(&thousand(), &other).await;
        assert_eq!(other.lines(), lines);
        let seeded = InputWorld::new();
        run(&Config { seed: 4, ..thousand() }, &seeded).await;
        assert_ne!(seeded.lines(), lines);
    }

    #[tokio::test]
    async fn each_tenant_has_a_file_with_its_share_of_the_same_events() {
        let tenants = ["rs", "ffs", "dw"].map(str::to_owned).to_vec();
        let world = InputWorld::new();
        run(&Config { tenants, ..thousand() }, &world).await;
        let files = world.lines_by_file();
        let counts: Vec<_> = files.iter().map(|(file, lines)| (&**file, lines.len())).collect();
        assert_eq!(counts, [("dw/pv.log", 333), ("ffs/pv.log", 333), ("rs/pv.log", 334)]);
        assert_eq!(world.gap(), None);
        let whole = InputWorld::new();
        run(&thousand(), &whole).await;
        let mut one_by_one = whole.lines();
        let mut together: Vec<_> = files.into_values().flatten().collect();
        one_by_one.sort();
        together.sort();
        assert_eq!(together, one_by_one);
    }

    #[tokio::test]
    async fn it_goes_on_after_what_was_settled() {
        let tenants = ["rs", "ffs"].map(str::to_owned).to_vec();
        let all = Config { tenants, ..thousand() };
        let world = InputWorld::new();
        run(&Config { count: Some(301), ..all.clone() }, &world).await;
        assert_eq!(world.lines().len(), 301);
        assert_eq!(run(&all, &world).await, Ended::Exhausted);
        assert_eq!((world.lines().len(), world.gap()), (1000, None));
        // Everything is settled: there is nothing more to do.
        run(&all, &world).await;
        assert_eq!(world.lines().len(), 1000);
        let whole = InputWorld::new();
        run(&all, &whole).await;
        assert_eq!(world.lines_by_file(), whole.lines_by_file());
    }

    #[tokio::test]
    async fn nothing_is_saved_that_was_not_settled() {
        let world = InputWorld::holding_receipts();
        let endless = Config { count: None, ..thousand() };
        let running = run(&endless, &world);
        let crash = async {
            world.sent(2).await;
            world.stop();
            world.abandon();
        };
        let (ended, ()) = tokio::join!(running, crash);
        assert_eq!(ended, Ended::Stopped);
        assert_eq!(world.checkpoints().len(), 0);
    }

    #[tokio::test]
    async fn its_end_waits_for_what_it_sent_and_then_saves() {
        let world = InputWorld::holding_receipts();
        let config = Config { count: Some(10), ..thousand() };
        let running = run(&config, &world);
        tokio::pin!(running);
        tokio::select! {
            biased;
            ended = &mut running => panic!("it ended before: {ended:?}"),
            () = world.sent(1) => {}
        }
        assert_eq!(world.checkpoints().len(), 0);
        world.settle();
        assert_eq!(running.await, Ended::Exhausted);
        assert!(world.checkpoints().into_values().all(|json| json.starts_with("{\"next\":10,")));
    }

    #[tokio::test]
    async fn events_lost_on_the_way_are_an_error_so_that_it_starts_anew() {
        let world = InputWorld::holding_receipts();
        let config = Config { count: Some(10), ..thousand() };
        let running = world.run(Box::new(Generate { config }));
        let losing = async {
            world.sent(1).await;
            world.lose();
        };
        let (ended, ()) = tokio::join!(running, losing);
        assert_eq!(ended.unwrap_err().message, "events were lost on their way to an output");
    }

    #[tokio::test(start_paused = true)]
    async fn it_keeps_to_its_rate() {
        for rate in [3, 200, 20_000] {
            let world = InputWorld::new();
            let config = Config { count: None, events_per_second: rate, ..thousand() };
            let running = run(&config, &world);
            let stopping = async {
                tokio::time::sleep(Duration::from_millis(2005)).await;
                world.stop();
            };
            tokio::join!(running, stopping);
            let made = world.lines().len();
            // It looks at the clock a hundred times a second.
            let due = |millis| rate as usize * millis / 1000;
            assert!((due(1990)..=due(2005)).contains(&made), "{made} at {rate} a second");
        }
    }

    #[tokio::test]
    async fn it_stops_when_told_though_there_is_no_room() {
        let world = InputWorld::without_credit();
        let config = thousand();
        let stopping = async {
            world.asked_for_credit().await;
            world.stop();
        };
        let (ended, ()) = tokio::join!(run(&config, &world), stopping);
        assert_eq!(ended, Ended::Stopped);
    }

    #[test]
    fn mistakes_are_found_before_anything_runs() {
        let wrong = |json| {
            let problems = InputSpec::check(&config(json));
            problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
        };
        assert!(wrong(serde_json::json!({})).is_empty());
        assert_eq!(
            wrong(
                serde_json::json!({ "areas": ["us", "a,b"], "tenants": ["a/b"], "start_time": 5 })
            ),
            [
                "\"a,b\" is no area: 1 to 255 bytes, no comma and no line end",
                "\"a/b\" is no name of a tenant",
                "the start_time 5 is not within the years 2000 to 2099",
            ]
        );
    }
}
