//! Orderly ends, and ends at once.

use rustix::process::Signal;

use crate::process::{World, text, wait_until};

const FOLLOW: &str = "
inputs:
  in: { type: file, include: [logs/*.log], read_from: beginning, codec: json }
outputs:
  out: { type: file, match: in, path: got/out.jsonl }
";

#[test]
fn a_signal_ends_the_run_in_order_with_everything_delivered() {
    let world = World::new(FOLLOW);
    let wanted: String = (0..5000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    world.write("logs/a.log", &wanted);
    let running = world.start();
    wait_until("something was delivered", || !world.read("got/out.jsonl").is_empty());
    running.stop();
    let first = world.read("got/out.jsonl");
    assert!(wanted.starts_with(&first));
    // The rest comes with the next run, and nothing comes twice.
    let running = world.start();
    wait_until("everything was delivered", || world.lines("got/out.jsonl").len() >= 5000);
    running.stop();
    assert_eq!(world.read("got/out.jsonl"), wanted);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    // A pipe that nobody reads keeps the output from ever finishing.
    let world = World::new(
        "
inputs: { in: { type: generate, events_per_second: 0 } }
outputs:
  copy: { type: file, match: in, path: got/out.jsonl }
  out: { type: stdout, match: in }
",
    );
    let running = world.start();
    wait_until("more than a pipe has room for", || world.read("got/out.jsonl").len() > 1 << 20);
    running.signal(Signal::INT);
    running.wait_for("stopping: inputs stop");
    running.signal(Signal::INT);
    let ended = running.ended();
    assert_eq!(ended.status.code(), Some(130), "{}", ended.said);
}

#[test]
fn two_on_one_data_directory_are_refused() {
    let world = World::new(FOLLOW);
    world.write("logs/a.log", "{\"n\":1}\n");
    let running = world.start();
    wait_until("it runs", || world.lines("got/out.jsonl").len() == 1);
    let second = world.batch();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another dpipe"), "{}", text(&second.stderr));
    running.stop();
}
