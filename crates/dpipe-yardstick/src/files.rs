//! The files of the workloads: the same events as JSON and as ALS lines, in one file, in eight, and
//! in a folder for each of a thousand tenants; and access logs, in one file and in eight.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use dpipe_event::Timestamp;
use dpipe_plugins::game_events::{AREAS, GameEvents};

use crate::access;

/// 2014-03-01; an event comes every millisecond.
const FIRST_EVENT_MILLIS: i64 = 1_393_632_000_000;
/// Written last. It names what was written, so that other events replace it.
const STAMP: &str = "stamp";
const STAMPED_EVENTS: u64 = 1000;
const TENANTS: usize = 1000;

pub(crate) fn write(folder: &Path, events: u64, seed: u64) -> Result<()> {
    let game = GameEvents::new(seed, &AREAS);
    let stamp = stamp(&game, seed, events)?;
    if fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found == stamp) {
        return Ok(());
    }
    let numbered = |folder: &'static str, count: usize| {
        (0..count).map(move |number| PathBuf::from(format!("{folder}/{number}.log")))
    };
    let tenants = (0..TENANTS).map(|number| PathBuf::from(format!("tenants/t{number}/game.log")));
    let json = |index, out: &mut Vec<u8>| game.write_json(index, out);
    let als = |index, out: &mut Vec<u8>| {
        let time = Timestamp::from_millis(FIRST_EVENT_MILLIS + index as i64);
        game.write_als(index, time, out);
    };
    spread(folder, numbered("json-1", 1).collect(), events, json)?;
    spread(folder, numbered("json-8", 8).collect(), events, json)?;
    spread(folder, numbered("als-1", 1).collect(), events, als)?;
    spread(folder, numbered("als-8", 8).collect(), events, als)?;
    spread(folder, tenants.collect(), events, json)?;
    let access = |index, out: &mut Vec<u8>| access::write_line(seed, index, out);
    spread(folder, numbered("access-1", 1).collect(), events, access)?;
    spread(folder, numbered("access-8", 8).collect(), events, access)?;
    fs::write(folder.join(STAMP), stamp)?;
    Ok(())
}

/// The first file gets the first events, and so on, all alike but for the rest of the division.
pub(crate) fn share(events: u64, files: usize, file: usize) -> std::ops::Range<u64> {
    let cut = |file: usize| events * file as u64 / files as u64;
    cut(file)..cut(file + 1)
}

fn spread(
    folder: &Path,
    paths: Vec<PathBuf>,
    events: u64,
    line: impl Fn(u64, &mut Vec<u8>),
) -> Result<()> {
    for (file, path) in paths.iter().enumerate() {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("the path has a folder"))?;
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut text = Vec::new();
        for index in share(events, paths.len(), file) {
            text.clear();
            line(index, &mut text);
            out.write_all(&text)?;
        }
        out.flush()?;
    }
    Ok(())
}

fn stamp(game: &GameEvents, seed: u64, events: u64) -> Result<String> {
    let mut first = Vec::new();
    for index in 0..STAMPED_EVENTS {
        game.write_als(index, Timestamp::from_millis(FIRST_EVENT_MILLIS), &mut first);
    }
    first.extend_from_slice(&access::sample(seed, STAMPED_EVENTS)?);
    Ok(format!("{events} events {}", blake3::hash(&first)))
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_follow_each_other_and_leave_nothing_out() {
        let shares: Vec<_> = (0..3).map(|file| share(10, 3, file)).collect();
        assert_eq!(shares, [0..3, 3..6, 6..10]);
    }
}
