//! Files are rotated, again and again, while dpipe is killed and started again: nothing is lost.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;

use crate::process::{Running, World, wait_until};

const ROUNDS: usize = 16;

/// A line has a hundred bytes, so that a file of a round can be told from others by its content.
const LINES_A_ROUND: usize = 40;

const GOT: &str = "got/out.jsonl";
const LOG: &str = "logs/app.log";

/// One that writes to a log, and a dpipe that follows it for as long as it lives.
struct Storm {
    world: World,
    running: Option<Running>,
    written: Vec<String>,
}

impl Storm {
    fn new(include: &str) -> Self {
        let world = World::new(&format!(
            "
inputs:
  in: {{ type: file, include: [{include}], codec: json }}
outputs:
  out: {{ type: file, match: in, path: {GOT} }}
"
        ));
        fs::create_dir_all(world.path("logs")).unwrap();
        Storm { world, running: None, written: Vec::new() }
    }

    fn start(&mut self) {
        if self.running.is_none() {
            self.running = Some(self.world.start());
        }
    }

    fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    fn write(&mut self, lines: usize) {
        let next = self.written.len();
        let line = |n: usize| format!("{{\"n\":{n},\"pad\":\"{n:0>80}\"}}");
        let new: Vec<String> = (next..next + lines).map(line).collect();
        self.world.append(LOG, &format!("{}\n", new.join("\n")));
        self.written.extend(new);
    }

    /// Waits until everything that was written has arrived.
    fn catch_up(&mut self) {
        self.start();
        let last = self.written.last().unwrap().clone();
        wait_until("what was written has arrived", || self.world.read(GOT).contains(&last));
    }

    /// Writes, rotates, kills and starts, so that each happens before and after each other.
    fn rage(mut self, rotate: impl Fn(&mut Storm, usize)) {
        for round in 0..ROUNDS {
            self.start();
            self.write(LINES_A_ROUND / 4);
            match round % 4 {
                0 => self.write(LINES_A_ROUND / 4),
                // Killed while it reads the round; rotated while it starts.
                1 => {
                    self.kill();
                    self.write(LINES_A_ROUND / 4);
                    self.start();
                }
                // It knows the file, and nothing more.
                2 => {
                    self.catch_up();
                    self.write(LINES_A_ROUND / 4);
                }
                // Killed, and not started again until the file was rotated and the next one begun.
                _ => {
                    self.catch_up();
                    self.write(LINES_A_ROUND / 4);
                    self.kill();
                    self.write(LINES_A_ROUND / 4);
                }
            }
            self.write(LINES_A_ROUND / 4);
            rotate(&mut self, round);
        }
        self.start();
        let written: HashSet<String> = self.written.iter().cloned().collect();
        let got = || self.world.lines(GOT).into_iter().collect::<HashSet<_>>();
        wait_until("everything has arrived", || got().is_superset(&written));
        self.running.take().unwrap().stop();
        assert_eq!(got(), written, "nothing was made up, no line is torn");
    }
}

#[test]
fn renamed_files() {
    Storm::new("logs/app.log*").rage(|storm, round| {
        fs::rename(storm.world.path(LOG), storm.world.path(&format!("{LOG}.{round}"))).unwrap();
    });
}

#[test]
fn files_renamed_out_of_sight() {
    Storm::new(LOG).rage(|storm, round| {
        // What nobody has seen, nobody looks for.
        if storm.running.is_some() {
            storm.catch_up();
        }
        let old = storm.world.path(&format!("logs/old.{round}"));
        fs::rename(storm.world.path(LOG), old).unwrap();
    });
}

#[test]
fn renamed_and_compressed_files() {
    Storm::new("logs/app.log*").rage(|storm, round| {
        let (log, old) = (storm.world.path(LOG), storm.world.path(&format!("{LOG}.{round}")));
        fs::rename(log, &old).unwrap();
        let packed = fs::File::create(storm.world.path(&format!("{LOG}.{round}.gz"))).unwrap();
        let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packed.write_all(&fs::read(&old).unwrap()).unwrap();
        packed.finish().unwrap();
        fs::remove_file(old).unwrap();
    });
}

#[test]
fn deleted_files() {
    Storm::new(LOG).rage(|storm, _| {
        // What is deleted before it was read is lost by the method itself.
        storm.catch_up();
        fs::remove_file(storm.world.path(LOG)).unwrap();
    });
}

#[test]
fn copied_and_truncated_files() {
    Storm::new("logs/app.log*").rage(|storm, round| {
        // The writer pauses: what comes between copy and truncation is lost by the method itself.
        let log = storm.world.path(LOG);
        fs::copy(&log, storm.world.path(&format!("{LOG}.{round}"))).unwrap();
        fs::File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    });
}

#[test]
fn a_link_that_moves_on() {
    let storm = Storm::new(LOG);
    let point_to = |world: &World, round: usize| {
        let target = format!("data/{round}");
        world.write(&target, "");
        let next = world.path("logs/next");
        std::os::unix::fs::symlink(world.path(&target), &next).unwrap();
        fs::rename(next, world.path(LOG)).unwrap();
    };
    point_to(&storm.world, 0);
    storm.rage(|storm, round| {
        // A target that the link left before anybody looked is one that nobody knows.
        if storm.running.is_some() {
            storm.catch_up();
        }
        point_to(&storm.world, round + 1);
    });
}
