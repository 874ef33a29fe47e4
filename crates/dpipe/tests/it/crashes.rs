//! Kill -9 at any moment: nothing is lost, and only what was in flight comes twice.

use std::collections::{HashMap, HashSet};

use crate::process::{World, wait_until};

#[test]
fn nothing_is_lost_when_it_is_killed_again_and_again() {
    let world = World::new(
        "
inputs:
  in: { type: file, include: [logs/*.log], read_from: beginning, codec: json }
outputs:
  out: { type: file, match: in, path: got/out.jsonl }
",
    );
    let mut written = 0;
    for round in 0..12 {
        let running = world.start();
        let before = world.lines("got/out.jsonl").len();
        for _ in 0..20 {
            let lines: String =
                (written..written + 50).map(|n| format!("{{\"n\":{n}}}\n")).collect();
            world.append(&format!("logs/{}.log", written % 3), &lines);
            written += 50;
        }
        wait_until("something new was delivered", || world.lines("got/out.jsonl").len() > before);
        std::thread::sleep(std::time::Duration::from_millis(round * 17 % 120));
        running.kill();
    }
    let running = world.start();
    let times = || {
        let mut times: HashMap<String, usize> = HashMap::new();
        for line in world.lines("got/out.jsonl") {
            *times.entry(line).or_default() += 1;
        }
        times
    };
    wait_until("every line has arrived", || times().len() >= written);
    running.stop();
    let times = times();
    for n in 0..written {
        assert!(times.contains_key(&format!("{{\"n\":{n}}}")), "line {n} was lost");
    }
    assert_eq!(times.len(), written, "nothing was made up, no line is torn");
}

#[test]
fn an_archive_goes_on_where_it_was_killed() {
    let world = World::new(
        "
inputs:
  in: { type: archive, include: [logs/*.log], codec: json }
outputs:
  out: { type: file, match: in, path: got/out.jsonl }
",
    );
    let count = 200_000;
    for file in 0..4 {
        let lines: String = (0..count / 4)
            .map(|n| format!("{{\"f\":{file},\"n\":{n},\"pad\":\"{n:0>100}\"}}\n"))
            .collect();
        world.write(&format!("logs/{file}.log"), &lines);
    }
    for _ in 0..3 {
        let before = world.read("got/out.jsonl").len();
        let running = world.start();
        wait_until("something new was delivered", || {
            world.read("got/out.jsonl").len() > before
                || world.lines("got/out.jsonl").len() >= count
        });
        running.kill();
    }
    assert!(world.batch().status.success());
    let mut lines = world.lines("got/out.jsonl");
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), count);
    // Run once more, it finds nothing to do.
    let size = world.read("got/out.jsonl").len();
    assert!(world.batch().status.success());
    assert_eq!(world.read("got/out.jsonl").len(), size);
}

#[test]
fn what_has_arrived_and_was_noted_does_not_come_twice() {
    let world = World::new(
        "
inputs:
  in: { type: file, include: [logs/*.log], read_from: beginning, codec: json }
outputs:
  out: { type: file, match: in, path: got/out.jsonl }
",
    );
    let mut written = String::new();
    for round in 0..10 {
        let running = world.start();
        for n in 0..20 {
            let line = format!("{{\"r\":{round},\"n\":{n}}}\n");
            world.append("logs/a.log", &line);
            written.push_str(&line);
        }
        wait_until("the lines are noted", || world.positions("in") == [written.len() as u64]);
        running.kill();
        assert_eq!(world.read("got/out.jsonl"), written);
    }
}

/// The most bytes that are in flight, and a chunk that may pass the limit; and after how many that were
/// sent positions are noted, and a chunk.
const REPEATED_BYTES_MAX: u64 = (1 << 20) + (4 << 20) + 2 * (256 << 10);

#[test]
fn under_full_load_a_kill_repeats_no_more_than_was_in_flight() {
    for input in ["file, read_from: beginning", "archive"] {
        let world = World::new(&format!(
            "
limits: {{ bytes_in_flight: 1MiB }}
inputs:
  in: {{ type: {input}, include: [logs/*.log], codec: json }}
outputs:
  out: {{ type: file, match: in, path: got/out.jsonl }}
"
        ));
        let count = 100_000;
        let lines: String =
            (0..count).map(|n| format!("{{\"n\":{n},\"pad\":\"{n:0>400}\"}}\n")).collect();
        world.write("logs/a.log", &lines);
        let size = || std::fs::metadata(world.path("got/out.jsonl")).map_or(0, |file| file.len());
        let noted = || world.positions("in").first().copied().unwrap_or(0);
        for _ in 0..3 {
            let (start, before) = (noted(), size());
            let running = world.start();
            wait_until("much was delivered", || size() > before + (10 << 20));
            running.kill();
            // Half a line at the end may have been cut off meanwhile: at the start, and now.
            let delivered = start + size() - before + (1 << 10);
            let repeated = delivered - noted();
            assert!(repeated <= REPEATED_BYTES_MAX, "{input}: {repeated} bytes come twice");
        }
        let running = world.start();
        let end = lines.len() as u64;
        wait_until("everything has arrived", || size() >= end && noted() == end);
        drop(running);
        let got: HashSet<String> = world.lines("got/out.jsonl").into_iter().collect();
        assert_eq!(got.len(), count);
    }
}
