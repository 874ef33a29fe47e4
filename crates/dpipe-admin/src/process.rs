//! What the system says of this process. Outside Linux it says nothing.

use std::fs;

use serde::Serialize;

/// The parts of a second that `/proc` counts processor time in: fixed for programs, whatever the
/// kernel counts in (`USER_HZ`, see proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// A process as it was read.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Process {
    /// Memory in use.
    pub(crate) resident_bytes: Option<u64>,
    /// Processor time used since the start.
    pub(crate) cpu_seconds: Option<f64>,
    /// Its threads.
    pub(crate) threads: Option<u64>,
    /// Its open files and connections.
    pub(crate) open_fds: Option<u64>,
}

impl Process {
    /// Reads what there is about this process.
    pub(crate) fn read() -> Process {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Process {
            resident_bytes: status_number(&status, "VmRSS:").map(|kibibytes| kibibytes * 1024),
            cpu_seconds: cpu_seconds(&stat),
            threads: status_number(&status, "Threads:"),
            // The folder itself is open while it is read.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as u64 - 1),
        }
    }
}

/// The number behind a key of `/proc/PID/status`.
fn status_number(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time of `/proc/PID/stat`: the fields 14 and 15. The second is the program's name in
/// parentheses, and may contain anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_in_bytes_and_seconds() {
        let status = "Name:\tdpipe\nVmHWM:\t   999 kB\nVmRSS:\t   2048 kB\nThreads:\t7\n";
        assert_eq!(status_number(status, "VmRSS:"), Some(2048));
        assert_eq!(status_number(status, "Threads:"), Some(7));
        assert_eq!(status_number(status, "Nothing:"), None);
        let stat = "12 (a ) b) S 1 1 1 0 -1 4194560 5 0 0 0 150 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_threads_and_files() {
        let process = Process::read();
        assert!(process.resident_bytes > Some(0));
        assert!(process.threads > Some(0));
        assert!(process.open_fds > Some(0));
        assert!(process.cpu_seconds.is_some());
    }
}
