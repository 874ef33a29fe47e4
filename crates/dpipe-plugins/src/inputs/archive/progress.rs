//! Tells on a terminal how far reading came.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use dpipe_env::FileId;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use super::desk::Job;

/// Draws a second, at most.
const DRAWS_PER_SECOND: u8 = 5;

/// A bar on the standard error output, if that is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    files: usize,
    ended: AtomicUsize,
    /// How far the files came that are being read.
    read: Mutex<HashMap<FileId, u64>>,
}

impl Progress {
    pub(super) fn new(node: &str, jobs: &[Job]) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bytes = jobs.iter().map(|job| job.len).sum();
        let bar = ProgressBar::with_draw_target(Some(bytes), target);
        let style = "{prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {msg} eta {eta}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
        bar.set_prefix(node.to_owned());
        let (ended, read) = (AtomicUsize::new(0), Mutex::default());
        let progress = Progress { bar, files: jobs.len(), ended, read };
        progress.tell_files();
        progress
    }

    /// So much of a file was read.
    pub(super) fn file_read(&self, job: &Job, position: u64) {
        let before = self.read.lock().insert(job.file, position).unwrap_or_default();
        self.bar.inc(position.saturating_sub(before));
    }

    /// A file is not read any more.
    pub(super) fn file_ended(&self, job: &Job) {
        let before = self.read.lock().remove(&job.file).unwrap_or_default();
        self.bar.inc(job.len.saturating_sub(before));
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.tell_files();
    }

    fn tell_files(&self) {
        let ended = self.ended.load(Ordering::Relaxed);
        self.bar.set_message(format!("{ended}/{} files", self.files));
    }

    /// Leaves the bar as it is, or takes it away if it had not come to its end.
    pub(super) fn finish(&self, stopped: bool) {
        if stopped { self.bar.finish_and_clear() } else { self.bar.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_files_add_up() {
        let job = |inode, len| {
            let file = FileId { inode, ..FileId::default() };
            Job { number: 0, path: "x".into(), file, len }
        };
        let jobs = [job(1, 100), job(2, 50)];
        let progress = Progress::new("history", &jobs);
        assert_eq!((progress.bar.position(), progress.bar.length()), (0, Some(150)));
        progress.file_read(&jobs[0], 30);
        progress.file_read(&jobs[0], 60);
        progress.file_ended(&jobs[1]);
        assert_eq!(progress.bar.position(), 110);
        assert_eq!(progress.bar.message(), "1/2 files");
        progress.file_ended(&jobs[0]);
        assert_eq!(progress.bar.position(), 150);
        assert_eq!(progress.bar.message(), "2/2 files");
    }
}
