//! Reports on this machine and on dpipe's use of it, as events, every ten seconds.
//!
//! Each report is one event for the system, one for each disk, block device and network interface,
//! and one for dpipe itself. The field `kind` tells them apart; all others are numbers with their
//! unit last, or names. Rates and percentages are those since the report before, so the first report
//! has none. Linux only: it reads `/proc`. Events that are not delivered are lost in a crash: the
//! level is `memory`. When the pipeline is full, reports are left out.
//!
//! - `system`: `cpu_percent` (busy, of all cores), `cpu_user_percent`, `cpu_system_percent`,
//!   `cpu_iowait_percent`, `cpu_steal_percent`, `cpu_count`; `load_1m`, `load_5m`, `load_15m`;
//!   `memory_total_bytes`, `memory_used_bytes`, `memory_available_bytes`, `memory_used_percent`,
//!   `swap_total_bytes`, `swap_used_bytes`; `processes_count`, `processes_running_count`,
//!   `uptime_seconds`
//! - `disk`, by `mount`, `device` and `file_system`: `total_bytes`, `used_bytes`, `available_bytes`,
//!   `used_percent` (of what is not kept for the administrator)
//! - `block_device`, by `device`: `read_bytes_per_second`, `written_bytes_per_second`,
//!   `reads_per_second`, `writes_per_second`, `busy_percent`
//! - `network`, by `interface`: `received_bytes_per_second`, `sent_bytes_per_second`,
//!   `received_packets_per_second`, `sent_packets_per_second`, `errors_per_second`,
//!   `drops_per_second`, and since the machine's start `received_bytes`, `sent_bytes`
//! - `dpipe`: `cpu_percent` (of one core), `resident_bytes`, `virtual_bytes`, `threads_count`,
//!   `open_files_count`, `open_files_max_count`
//!
//! ```yaml
//! type: host
//! every: 10s
//! ```

mod proc;
mod report;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dpipe_env::Env;
use dpipe_event::StreamId;
use dpipe_plugin::settings::{Period, Problem};
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Chunk, Cut, Ended, Input, InputConfig, InputContext,
    InputError, InputSpec, Level, StreamStart,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::arrival::wait_for_arrival;
use report::Reporter;

/// What to report on, and how often.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// How often there is a report.
    every: Period,
    /// What is reported on; everything, if left out.
    kinds: Vec<Kind>,
    /// The folders whose file systems are reported as disks; those on devices, if left out.
    mounts: Vec<String>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Processors, memory and load.
    System,
    /// Room on file systems.
    Disk,
    /// What is read from and written to devices.
    BlockDevice,
    /// What goes over network interfaces.
    Network,
    /// What dpipe itself uses.
    Dpipe,
}

const ALL: [Kind; 5] = [Kind::System, Kind::Disk, Kind::BlockDevice, Kind::Network, Kind::Dpipe];

impl Default for Config {
    fn default() -> Self {
        Config { every: Period::seconds(10), kinds: ALL.to_vec(), mounts: Vec::new() }
    }
}

impl InputConfig for Config {
    const NAME: &'static str = "host";
}

impl InputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        let stat = Path::new("/proc/stat");
        context.env.files().read(stat).map_err(|error| {
            BuildError::caused("cannot read /proc/stat; this input knows Linux only", error)
        })?;
        Ok(Box::new(Host { config: self.clone() }))
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
        if self.kinds.is_empty() {
            problems.push(Problem::error("`kinds` names nothing to report on"));
        }
        problems
    }
}

struct Host {
    config: Config,
}

impl Input for Host {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(run(self.config, context))
    }
}

async fn run(config: Config, context: InputContext) -> Result<Ended, InputError> {
    let InputContext { env, door, id_key, mut shutdown, node, .. } = context;
    // Its offsets begin anew with every start, so the start is part of its identity.
    let start = env.random().to_le_bytes();
    let id = StreamId::derive(&id_key, &[b"host", node.as_bytes(), &start]);
    let stream =
        door.open(StreamStart { file: String::new(), host: String::new(), id, position: 0 })?;
    let mut tick = tokio::time::interval(config.every.duration());
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut reporter = Reporter::default();
    let mut offset = 0;
    loop {
        tokio::select! {
            biased;
            () = shutdown.given() => break,
            _ = tick.tick() => {}
        }
        let (env, config) = (env.clone(), config.clone());
        // Somebody else's thread waits for a file system that does not answer.
        let reading = tokio::task::spawn_blocking(move || {
            let lines = report(&mut reporter, &env, &config);
            (reporter, lines)
        });
        let read = tokio::select! {
            read = reading => read,
            () = shutdown.given() => break,
        };
        let (back, lines) = read.map_err(|error| InputError::caused("cannot report", error))?;
        reporter = back;
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

/// One report: a JSON object a line.
fn report(reporter: &mut Reporter, env: &Arc<dyn Env>, config: &Config) -> Vec<u8> {
    let mut lines = Vec::new();
    for event in reporter.events(env.files(), &config.kinds, &config.mounts) {
        serde_json::to_writer(&mut lines, &event).expect("texts and numbers are JSON");
        lines.push(b'\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use dpipe_env::Space;
    use dpipe_testkit::{InputWorld, MemoryEnv};
    use serde_json::{Value, json};

    use super::*;

    /// A machine at two moments, ten seconds apart.
    fn machine(moment: u64) -> MemoryEnv {
        let env = MemoryEnv::new();
        let later = |from: u64, more: u64| from + moment * more;
        let put = |path: &str, text: String| env.put(path, text);
        put("/proc/uptime", format!("{}.50 9.0\n", later(1000, 10)));
        put(
            "/proc/stat",
            format!(
                "cpu  {} 0 {} {} {} 0 0 {} 0 0\ncpu0 1 2 3 4\ncpu1 1 2 3 4\nintr 5\n\
                 processes 9\nprocs_running 3\n",
                later(100, 1000),
                later(50, 200),
                later(500, 700),
                later(9, 60),
                later(1, 40)
            ),
        );
        put(
            "/proc/meminfo",
            "MemTotal: 8000 kB\nMemFree: 1 kB\nMemAvailable: 6000 kB\nSwapTotal: 100 kB\n\
             SwapFree: 75 kB\n"
                .into(),
        );
        put("/proc/loadavg", "0.50 0.25 0.10 2/345 6789\n".into());
        put(
            "/proc/mounts",
            "proc /proc proc rw 0 0\n/dev/sda1 / ext4 rw 0 0\n/dev/sda1 /again ext4 rw 0 0\n\
             /dev/sdb /my\\040disk xfs rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n"
                .into(),
        );
        env.set_space(Space { total: 1000, free: 300, available: 200 });
        put(
            "/proc/diskstats",
            format!(
                " 7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n 8 0 sda {} 0 {} 0 {} 0 {} 0 0 {} 0 0\n \
                 8 1 sda1 9 0 9 0 9 0 9 0 0 9 0\n",
                later(5, 100),
                later(7, 2000),
                later(3, 50),
                later(2, 400),
                later(1, 2500)
            ),
        );
        put("/sys/block/sda/size", String::new());
        put("/sys/block/loop0/size", String::new());
        put(
            "/proc/net/dev",
            format!(
                "Inter-| Receive | Transmit\n face |bytes packets errs drop fifo frame compressed \
                 multicast|bytes\n    lo: 5 5 0 0 0 0 0 0 5 5 0 0 0 0 0 0\n  idle: 0 0 0 0 0 0 0 0 0 0 \
                 0 0 0 0 0 0\n  eth0:{} {} {} {} 0 0 0 0 {} {} 0 0 0 0 0 0\n",
                later(100, 5000),
                later(10, 50),
                later(0, 10),
                later(0, 20),
                later(200, 1000),
                later(20, 10)
            ),
        );
        put(
            "/proc/self/stat",
            format!("12 (d) pipe) S 1 1 1 0 -1 4 5 0 0 0 {} {} 0 0 20 0 1 0", later(10, 300), 20),
        );
        put("/proc/self/status", "VmSize:\t 900 kB\nVmRSS:\t 400 kB\nThreads:\t7\n".into());
        put(
            "/proc/self/limits",
            "Limit Soft Hard Units\nMax open files  1024  4096  files\n".into(),
        );
        for fd in 0..5 {
            put(&format!("/proc/self/fd/{fd}"), String::new());
        }
        env
    }

    fn events(reporter: &mut Reporter, env: MemoryEnv, config: &Config) -> Vec<Value> {
        let env: Arc<dyn Env> = Arc::new(env);
        let lines = String::from_utf8(report(reporter, &env, config)).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_second_report_has_rates_since_the_first() {
        let mut reporter = Reporter::default();
        let config = Config::default();
        events(&mut reporter, machine(0), &config);
        assert_eq!(
            events(&mut reporter, machine(1), &config),
            [
                json!({
                    "kind": "system",
                    "cpu_percent": 62.0, "cpu_user_percent": 50.0, "cpu_system_percent": 10.0,
                    "cpu_iowait_percent": 3.0, "cpu_steal_percent": 2.0, "cpu_count": 2,
                    "load_1m": 0.5, "load_5m": 0.25, "load_15m": 0.1,
                    "memory_total_bytes": 8_192_000, "memory_used_bytes": 2_048_000,
                    "memory_available_bytes": 6_144_000, "memory_used_percent": 25.0,
                    "swap_total_bytes": 102_400, "swap_used_bytes": 25_600,
                    "processes_count": 345, "processes_running_count": 3,
                    "uptime_seconds": 1010.5
                }),
                json!({
                    "kind": "disk", "mount": "/", "device": "/dev/sda1", "file_system": "ext4",
                    "total_bytes": 1000, "used_bytes": 700, "available_bytes": 200,
                    "used_percent": 77.78
                }),
                json!({
                    "kind": "disk", "mount": "/my disk", "device": "/dev/sdb",
                    "file_system": "xfs", "total_bytes": 1000, "used_bytes": 700,
                    "available_bytes": 200, "used_percent": 77.78
                }),
                json!({
                    "kind": "block_device", "device": "sda", "read_bytes_per_second": 102_400.0,
                    "written_bytes_per_second": 20_480.0, "reads_per_second": 10.0,
                    "writes_per_second": 5.0, "busy_percent": 25.0
                }),
                json!({
                    "kind": "network", "interface": "eth0",
                    "received_bytes_per_second": 500.0, "sent_bytes_per_second": 100.0,
                    "received_packets_per_second": 5.0, "sent_packets_per_second": 1.0,
                    "errors_per_second": 1.0, "drops_per_second": 2.0,
                    "received_bytes": 5100, "sent_bytes": 1200
                }),
                json!({
                    "kind": "dpipe", "cpu_percent": 30.0, "resident_bytes": 409_600,
                    "virtual_bytes": 921_600, "threads_count": 7, "open_files_count": 4,
                    "open_files_max_count": 1024
                }),
            ]
        );
    }

    #[test]
    fn the_first_report_has_no_rates_and_what_cannot_be_read_is_left_out() {
        let config = Config { kinds: vec![Kind::System, Kind::Network], ..Config::default() };
        let first = events(&mut Reporter::default(), machine(0), &config);
        assert_eq!(first[0]["cpu_count"], 2);
        assert!(first[0].get("cpu_percent").is_none());
        assert_eq!(
            first[1],
            json!({ "kind": "network", "interface": "eth0", "received_bytes": 100, "sent_bytes": 200 })
        );
        assert_eq!(events(&mut Reporter::default(), MemoryEnv::new(), &config), [] as [Value; 0]);
    }

    #[test]
    fn mounts_that_are_named_are_reported_and_no_others() {
        let config = Config {
            kinds: vec![Kind::Disk],
            mounts: vec!["/tmp".into(), "/nowhere".into()],
            ..Config::default()
        };
        let found = events(&mut Reporter::default(), machine(0), &config);
        assert_eq!((found.len(), &found[0]["device"]), (2, &json!("tmpfs")));
        assert_eq!(found[1]["mount"], "/nowhere");
    }

    #[tokio::test]
    async fn there_is_a_report_at_once_and_then_one_every_time() {
        let mut world = InputWorld::new();
        world.env = Arc::new(machine(0));
        let config =
            Config { every: Period::millis(1), kinds: vec![Kind::System], ..Config::default() };
        let running = world.run(Box::new(Host { config }));
        let stopping = async {
            world.sent(3).await;
            world.stop();
        };
        let (ended, ()) = tokio::join!(running, stopping);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        assert!(world.lines().iter().all(|line| line.starts_with("{\"kind\":\"system\"")));
        assert_eq!(world.gap(), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_can_be_reported_on() {
        let env: Arc<dyn Env> = Arc::new(dpipe_env::RealEnv);
        let lines = report(&mut Reporter::default(), &env, &Config::default());
        let lines = String::from_utf8(lines).unwrap();
        let events: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let field = |kind: &str, field: &str| {
            let event = events.iter().find(|event| event["kind"] == kind);
            event.and_then(|event| event[field].as_f64()).unwrap_or_default()
        };
        assert!(field("system", "memory_total_bytes") > 0.0);
        assert!(field("dpipe", "resident_bytes") > 0.0);
        assert!(field("dpipe", "open_files_count") > 0.0);
        assert!(field("dpipe", "open_files_max_count") > 0.0);
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
            wrong(json!({ "every": "1ms", "kinds": [] })),
            ["`every` is less than a tenth of a second", "`kinds` names nothing to report on"]
        );
    }
}
