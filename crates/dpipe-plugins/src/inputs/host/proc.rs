//! The texts of `/proc`, read: see proc(5). What is not there, or looks otherwise, is left out.

use std::borrow::Cow;

/// The parts of a second that `/proc` counts processor time in: fixed for programs, whatever the
/// kernel counts in (`USER_HZ`).
pub(super) const TICKS_PER_SECOND: f64 = 100.0;
/// The size of a sector in `/proc/diskstats`, whatever the device's own is.
pub(super) const SECTOR_BYTES: f64 = 512.0;

/// Processor time of all cores since the start, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cpu {
    pub(super) user: f64,
    pub(super) system: f64,
    pub(super) idle: f64,
    pub(super) iowait: f64,
    pub(super) steal: f64,
    pub(super) all: f64,
}

/// The first line of `/proc/stat`.
pub(super) fn cpu(stat: &str) -> Option<Cpu> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<f64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let at = |index: usize| ticks.get(index).copied().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; the time of guests is part of user's.
    Some(Cpu {
        user: at(0) + at(1),
        system: at(2) + at(5) + at(6),
        idle: at(3),
        iowait: at(4),
        steal: at(7),
        all: ticks.iter().take(8).sum(),
    })
}

/// The number of cores that `/proc/stat` tells of.
pub(super) fn cpu_count(stat: &str) -> usize {
    let is_core = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    stat.lines().filter(is_core).count()
}

/// The number behind a key, such as `procs_running` or `MemTotal:`.
pub(super) fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The same, which `/proc` gives in KiB.
pub(super) fn bytes(text: &str, key: &str) -> Option<u64> {
    number(text, key).map(|kibibytes| kibibytes * 1024)
}

/// Three averages of load, and the number of all processes and threads.
pub(super) fn load(loadavg: &str) -> Option<([f64; 3], u64)> {
    let words: Vec<&str> = loadavg.split_whitespace().collect();
    let [one, five, fifteen, tasks, ..] = words.as_slice() else { return None };
    let averages = [one.parse().ok()?, five.parse().ok()?, fifteen.parse().ok()?];
    Some((averages, tasks.split_once('/')?.1.parse().ok()?))
}

/// Seconds since the machine's start.
pub(super) fn uptime(uptime: &str) -> Option<f64> {
    uptime.split_whitespace().next()?.parse().ok()
}

/// A mounted file system.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    pub(super) device: &'a str,
    pub(super) folder: Cow<'a, str>,
    pub(super) file_system: &'a str,
}

/// The lines of `/proc/mounts`.
pub(super) fn mounts(mounts: &str) -> impl Iterator<Item = Mount<'_>> {
    mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, folder, file_system) = (words.next()?, words.next()?, words.next()?);
        Some(Mount { device, folder: unescaped(folder), file_system })
    })
}

/// A name in which blanks are written as `\040`.
fn unescaped(name: &str) -> Cow<'_, str> {
    if !name.contains('\\') {
        return name.into();
    }
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to)).into()
}

/// What a device or an interface has done since the start, by its name.
pub(super) type Counters<'a, const N: usize> = (&'a str, [f64; N]);

/// Reads, sectors read, writes, sectors written, and milliseconds busy, of `/proc/diskstats`.
pub(super) fn devices(diskstats: &str) -> impl Iterator<Item = Counters<'_, 5>> {
    diskstats.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = |index: usize| words.get(index)?.parse().ok();
        Some((*words.get(2)?, [at(3)?, at(5)?, at(7)?, at(9)?, at(12)?]))
    })
}

/// Bytes and packets received, bytes and packets sent, errors and drops, of `/proc/net/dev`.
pub(super) fn interfaces(net: &str) -> impl Iterator<Item = Counters<'_, 6>> {
    net.lines().filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let words: Vec<&str> = counters.split_whitespace().collect();
        let at = |index: usize| words.get(index)?.parse::<f64>().ok();
        let (errors, drops) = (at(2)? + at(10)?, at(3)? + at(11)?);
        Some((name.trim(), [at(0)?, at(1)?, at(8)?, at(9)?, errors, drops]))
    })
}

/// User and system time of `/proc/PID/stat`, in ticks: the fields 14 and 15. The second is the
/// program's name in parentheses, and may contain anything.
pub(super) fn process_ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_processors_are_told_apart() {
        let stat = "cpu  10 1 20 300 4 5 6 7 100 100\ncpu0 1\ncpu11 1\ncpus 1\n";
        let expected =
            Cpu { user: 11.0, system: 31.0, idle: 300.0, iowait: 4.0, steal: 7.0, all: 353.0 };
        assert_eq!((cpu(stat), cpu_count(stat)), (Some(expected), 2));
        assert_eq!((cpu(""), cpu_count("")), (None, 0));
    }

    #[test]
    fn a_name_may_have_blanks_and_backslashes() {
        let mut found = mounts("/dev/sda /a\\040b\\134040 ext4 rw 0 0\nbroken\n");
        let mount = found.next().unwrap();
        assert_eq!(
            (&*mount.folder, mount.device, mount.file_system),
            ("/a b\\040", "/dev/sda", "ext4")
        );
        assert!(found.next().is_none());
    }

    #[test]
    fn what_looks_otherwise_is_left_out() {
        assert_eq!(load("1 2"), None);
        assert_eq!(number("MemTotal: many kB", "MemTotal:"), None);
        assert_eq!(devices("8 0 sda 1 2").count(), 0);
        assert_eq!(interfaces("Inter-| Receive\neth0: 1 2").count(), 0);
        assert_eq!(process_ticks("12 (a) S 1"), None);
    }
}
