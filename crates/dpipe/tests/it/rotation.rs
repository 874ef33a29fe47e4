//! Rotation in all its modes, under a running dpipe.

use std::fs;

use crate::process::{World, wait_until};

const FOLLOW: &str = "
inputs:
  in: { type: file, include: [logs/app.log*], read_from: beginning, codec: json }
outputs:
  out: { type: file, match: in, path: got/out.jsonl }
";

/// Writes 20 rounds of 25 lines, rotating after each, and sees that each arrives exactly once.
fn rotate(rotate: impl Fn(&World, usize)) {
    let world = World::new(FOLLOW);
    let running = world.start();
    let mut written = Vec::new();
    for round in 0..20 {
        let lines: Vec<String> = (0..25).map(|n| format!("{{\"r\":{round},\"n\":{n}}}")).collect();
        world.append("logs/app.log", &format!("{}\n", lines.join("\n")));
        written.extend(lines);
        rotate(&world, round);
    }
    wait_until("every line has arrived", || world.lines("got/out.jsonl").len() >= written.len());
    running.stop();
    let mut got = world.lines("got/out.jsonl");
    got.sort_unstable();
    written.sort_unstable();
    assert_eq!(got, written);
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_start() {
    rotate(|world, round| {
        let old = world.path(&format!("logs/app.log.{round}"));
        fs::rename(world.path("logs/app.log"), old).unwrap();
    });
}

#[test]
fn a_file_renamed_out_of_the_pattern_is_read_to_its_end() {
    rotate(|world, round| {
        let already = world.lines("got/out.jsonl").len();
        wait_until("the file was seen", || {
            world.lines("got/out.jsonl").len() > already || already == (round + 1) * 25
        });
        let old = world.path(&format!("logs/old-{round}"));
        fs::rename(world.path("logs/app.log"), old).unwrap();
    });
}

#[test]
fn a_file_that_is_copied_and_truncated_is_read_once() {
    rotate(|world, round| {
        // The writer pauses while the copy is made, and until it was read: what comes between copy
        // and truncation is lost by the method itself.
        wait_until("the round was read", || world.lines("got/out.jsonl").len() >= (round + 1) * 25);
        let log = world.path("logs/app.log");
        fs::copy(&log, world.path(&format!("logs/app.log.{round}"))).unwrap();
        fs::File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    });
}

#[test]
fn a_deleted_file_is_read_to_its_end() {
    rotate(|world, round| {
        wait_until("the file was opened", || world.lines("got/out.jsonl").len() > round * 25);
        fs::remove_file(world.path("logs/app.log")).unwrap();
    });
}

#[test]
fn a_symbolic_link_that_moves_on_is_followed() {
    let world = World::new(&FOLLOW.replace("app.log*", "current"));
    fs::create_dir_all(world.path("logs")).unwrap();
    let running = world.start();
    for round in 0..5 {
        let file = format!("data/{round}.log");
        let lines: String = (0..25).map(|n| format!("{{\"r\":{round},\"n\":{n}}}\n")).collect();
        world.write(&file, &lines);
        let link = world.path("logs/next");
        std::os::unix::fs::symlink(world.path(&file), &link).unwrap();
        fs::rename(&link, world.path("logs/current")).unwrap();
        wait_until("the round was read", || world.lines("got/out.jsonl").len() >= (round + 1) * 25);
    }
    running.stop();
    assert_eq!(world.lines("got/out.jsonl").len(), 125);
}
