//! What a child says on standard error, as lines of the log: bounded in length and in number.

use std::io::{self, PipeReader, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is longer is cut.
const LINE_BYTES_MAX: usize = 1024;
/// Lines that are logged in a second; the rest is counted.
const LINES_A_SECOND: u32 = 20;

/// Logs what comes out of the pipe until its end. On a thread of its own, since a child may be used
/// by somebody who blocks.
pub(super) fn log(stderr: PipeReader, node: Arc<str>) -> io::Result<()> {
    let name = "stderr".into();
    std::thread::Builder::new().name(name).spawn(move || {
        follow(stderr, |line| tracing::warn!(node = &*node, "{line}"));
    })?;
    Ok(())
}

/// Says each line, and what was left out.
fn follow(mut stderr: impl Read, mut say: impl FnMut(&str)) {
    let mut pace = Pace { since: Instant::now(), said: 0, left_out: 0 };
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = match stderr.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for &byte in &chunk[..read] {
            if byte == b'\n' {
                pace.say(&mut line, &mut say);
            } else if line.len() < LINE_BYTES_MAX {
                line.push(byte);
            }
        }
    }
    pace.say(&mut line, &mut say);
    pace.say_left_out(&mut say);
}

/// Keeps to so many lines a second.
struct Pace {
    since: Instant,
    said: u32,
    left_out: u64,
}

impl Pace {
    fn say(&mut self, line: &mut Vec<u8>, say: &mut impl FnMut(&str)) {
        let text = std::mem::take(line);
        if text.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        if self.since.elapsed() >= Duration::from_secs(1) {
            self.say_left_out(say);
            (self.since, self.said) = (Instant::now(), 0);
        }
        if self.said < LINES_A_SECOND {
            self.said += 1;
            say(&printable(&text));
        } else {
            self.left_out += 1;
        }
    }

    fn say_left_out(&mut self, say: &mut impl FnMut(&str)) {
        match std::mem::take(&mut self.left_out) {
            0 => {}
            lines => say(&format!("{lines} more lines of standard error were left out")),
        }
    }
}

/// The text without what would move a terminal's cursor.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.trim_end()
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stderr: &str) -> Vec<String> {
        let mut said = Vec::new();
        follow(stderr.as_bytes(), |line| said.push(line.to_owned()));
        said
    }

    #[test]
    fn lines_are_logged_one_by_one_and_the_last_needs_no_end() {
        assert_eq!(said("one\r\n\n  \ntwo"), ["one", "two"]);
    }

    #[test]
    fn a_long_line_is_cut_and_no_line_moves_the_cursor() {
        let long = format!("{}\n\u{1b}[2Jx", "y".repeat(5000));
        assert_eq!(said(&long), ["y".repeat(LINE_BYTES_MAX), "\u{fffd}[2Jx".to_owned()]);
    }

    #[test]
    fn a_flood_is_counted() {
        let said = said(&"flood\n".repeat(100_000));
        // However slow the machine is, most of it comes within a second.
        assert!(said.len() < 10_000, "{}", said.len());
        assert!(
            said.iter().any(|line| line.ends_with("more lines of standard error were left out"))
        );
    }
}
