//! Makes events of what was read, and keeps the counters of the last report to find rates.

use std::collections::HashMap;
use std::path::Path;

use dpipe_env::Files;
use serde_json::{Map, Number, Value};

use super::Kind;
use super::proc::{self, Cpu, Mount, SECTOR_BYTES, TICKS_PER_SECOND};

/// Reports again and again.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    /// When the last report was, in seconds since the machine's start.
    at: Option<f64>,
    cpu: Option<Cpu>,
    devices: HashMap<String, [f64; 5]>,
    interfaces: HashMap<String, [f64; 6]>,
    own_ticks: Option<f64>,
}

/// An event in the making.
struct Event(Map<String, Value>);

impl Event {
    fn of(kind: &str) -> Event {
        Event([("kind".to_owned(), kind.into())].into_iter().collect())
    }

    fn text(&mut self, name: &str, text: &str) {
        self.0.insert(name.into(), text.into());
    }

    fn count(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.0.insert(name.into(), number.into());
        }
    }

    /// A number to two places.
    fn number(&mut self, name: &str, number: Option<f64>) {
        let rounded = number.and_then(|number| Number::from_f64((number * 100.0).round() / 100.0));
        if let Some(number) = rounded {
            self.0.insert(name.into(), number.into());
        }
    }

    /// More than which kind it is.
    fn says_something(&self) -> bool {
        self.0.len() > 1
    }
}

impl Reporter {
    pub(super) fn events(
        &mut self,
        files: &dyn Files,
        kinds: &[Kind],
        mounts: &[String],
    ) -> Vec<Map<String, Value>> {
        let now = proc::uptime(&text(files, "/proc/uptime"));
        let seconds = self.at.zip(now).map(|(before, now)| now - before).filter(|s| *s > 0.0);
        let mut events = Vec::new();
        for kind in kinds {
            match kind {
                Kind::System => events.push(self.system(files, now)),
                Kind::Disk => events.extend(disks(files, mounts)),
                Kind::BlockDevice => events.extend(self.devices(files, seconds)),
                Kind::Network => events.extend(self.interfaces(files, seconds)),
                Kind::Dpipe => events.push(self.dpipe(files, seconds)),
            }
        }
        self.at = now;
        events.into_iter().filter(Event::says_something).map(|event| event.0).collect()
    }

    fn system(&mut self, files: &dyn Files, uptime: Option<f64>) -> Event {
        let mut event = Event::of("system");
        let stat = text(files, "/proc/stat");
        let cpu = proc::cpu(&stat);
        if let (Some(before), Some(now)) = (self.cpu, cpu)
            && now.all > before.all
        {
            let percent = |part: fn(&Cpu) -> f64| {
                Some((part(&now) - part(&before)).max(0.0) / (now.all - before.all) * 100.0)
            };
            event.number("cpu_percent", percent(|cpu| cpu.all - cpu.idle - cpu.iowait));
            event.number("cpu_user_percent", percent(|cpu| cpu.user));
            event.number("cpu_system_percent", percent(|cpu| cpu.system));
            event.number("cpu_iowait_percent", percent(|cpu| cpu.iowait));
            event.number("cpu_steal_percent", percent(|cpu| cpu.steal));
        }
        self.cpu = cpu;
        event.count("cpu_count", cpu.map(|_| proc::cpu_count(&stat) as u64));
        let load = proc::load(&text(files, "/proc/loadavg"));
        for (place, name) in ["load_1m", "load_5m", "load_15m"].into_iter().enumerate() {
            event.number(name, load.map(|(averages, _)| averages[place]));
        }
        let memory = text(files, "/proc/meminfo");
        let total = proc::bytes(&memory, "MemTotal:");
        let available = proc::bytes(&memory, "MemAvailable:");
        let used = total.zip(available).map(|(total, available)| total.saturating_sub(available));
        event.count("memory_total_bytes", total);
        event.count("memory_used_bytes", used);
        event.count("memory_available_bytes", available);
        event.number("memory_used_percent", used.zip(total).map(|(used, all)| percent(used, all)));
        let swap = proc::bytes(&memory, "SwapTotal:");
        let free = proc::bytes(&memory, "SwapFree:");
        event.count("swap_total_bytes", swap);
        event.count("swap_used_bytes", swap.zip(free).map(|(all, free)| all.saturating_sub(free)));
        event.count("processes_count", load.map(|(_, processes)| processes));
        event.count("processes_running_count", proc::number(&stat, "procs_running"));
        event.number("uptime_seconds", uptime);
        event
    }

    fn devices(&mut self, files: &dyn Files, seconds: Option<f64>) -> Vec<Event> {
        let text = text(files, "/proc/diskstats");
        let mut events = Vec::new();
        let mut now = HashMap::new();
        for (name, counters) in proc::devices(&text) {
            // Partitions are not there, and what never did anything is of no interest.
            let folder = Path::new("/sys/block").join(name.replace('/', "!"));
            if counters == [0.0; 5] || files.stat(&folder).is_err() {
                continue;
            }
            let before = self.devices.get(name);
            let mut event = Event::of("block_device");
            event.text("device", name);
            let rate = |place: usize| rate(before, &counters, place, seconds);
            event.number("read_bytes_per_second", rate(1).map(|sectors| sectors * SECTOR_BYTES));
            event.number("written_bytes_per_second", rate(3).map(|sectors| sectors * SECTOR_BYTES));
            event.number("reads_per_second", rate(0));
            event.number("writes_per_second", rate(2));
            // Milliseconds in a second, of a thousand.
            event.number("busy_percent", rate(4).map(|busy| (busy / 10.0).min(100.0)));
            if event.0.len() > 2 {
                events.push(event);
            }
            now.insert(name.to_owned(), counters);
        }
        self.devices = now;
        events
    }

    fn interfaces(&mut self, files: &dyn Files, seconds: Option<f64>) -> Vec<Event> {
        let text = text(files, "/proc/net/dev");
        let mut events = Vec::new();
        let mut now = HashMap::new();
        for (name, counters) in proc::interfaces(&text) {
            if name == "lo" || counters == [0.0; 6] {
                continue;
            }
            let before = self.interfaces.get(name);
            let mut event = Event::of("network");
            event.text("interface", name);
            let rate = |place: usize| rate(before, &counters, place, seconds);
            event.number("received_bytes_per_second", rate(0));
            event.number("sent_bytes_per_second", rate(2));
            event.number("received_packets_per_second", rate(1));
            event.number("sent_packets_per_second", rate(3));
            event.number("errors_per_second", rate(4));
            event.number("drops_per_second", rate(5));
            event.count("received_bytes", Some(counters[0] as u64));
            event.count("sent_bytes", Some(counters[2] as u64));
            events.push(event);
            now.insert(name.to_owned(), counters);
        }
        self.interfaces = now;
        events
    }

    fn dpipe(&mut self, files: &dyn Files, seconds: Option<f64>) -> Event {
        let mut event = Event::of("dpipe");
        let ticks = proc::process_ticks(&text(files, "/proc/self/stat"));
        if let (Some(before), Some(now), Some(seconds)) = (self.own_ticks, ticks, seconds) {
            let used = (now - before).max(0.0) / TICKS_PER_SECOND;
            event.number("cpu_percent", Some(used / seconds * 100.0));
        }
        self.own_ticks = ticks;
        let status = text(files, "/proc/self/status");
        event.count("resident_bytes", proc::bytes(&status, "VmRSS:"));
        event.count("virtual_bytes", proc::bytes(&status, "VmSize:"));
        event.count("threads_count", proc::number(&status, "Threads:"));
        // The folder itself is open while it is read.
        let open = files.read_dir(Path::new("/proc/self/fd")).ok().filter(|all| !all.is_empty());
        event.count("open_files_count", open.map(|all| all.len() as u64 - 1));
        let limits = text(files, "/proc/self/limits");
        event.count("open_files_max_count", proc::number(&limits, "Max open files"));
        event
    }
}

fn disks(files: &dyn Files, wanted: &[String]) -> Vec<Event> {
    let text = text(files, "/proc/mounts");
    let mut events = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for Mount { device, folder, file_system } in proc::mounts(&text) {
        if !wanted.is_empty() || !device.starts_with("/dev/") || seen.contains(&device) {
            continue;
        }
        seen.push(device);
        events.extend(disk(files, &folder, Some((device, file_system))));
    }
    for folder in wanted {
        // The last one mounted there hides those before.
        let mount = proc::mounts(&text).filter(|mount| mount.folder == **folder).last();
        events.extend(disk(files, folder, mount.map(|mount| (mount.device, mount.file_system))));
    }
    events
}

fn disk(files: &dyn Files, folder: &str, on: Option<(&str, &str)>) -> Option<Event> {
    let space = files.space(Path::new(folder)).ok().filter(|space| space.total > 0)?;
    let mut event = Event::of("disk");
    event.text("mount", folder);
    if let Some((device, file_system)) = on {
        event.text("device", device);
        event.text("file_system", file_system);
    }
    let used = space.total.saturating_sub(space.free);
    event.count("total_bytes", Some(space.total));
    event.count("used_bytes", Some(used));
    event.count("available_bytes", Some(space.available));
    event.number("used_percent", Some(percent(used, used + space.available)));
    Some(event)
}

/// How fast a counter grew; nothing where it began anew.
fn rate<const N: usize>(
    before: Option<&[f64; N]>,
    now: &[f64; N],
    place: usize,
    seconds: Option<f64>,
) -> Option<f64> {
    let grown = now[place] - before?[place];
    (grown >= 0.0).then_some(grown / seconds?)
}

fn percent(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 * 100.0 }
}

/// The text of a file; empty if it cannot be read.
fn text(files: &dyn Files, path: &str) -> String {
    let bytes = files.read(Path::new(path)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
