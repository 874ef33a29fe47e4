//! How runs end: what has not arrived is abandoned and counted, and is no loss.

use std::time::Duration;

use dpipe_engine::{Role, RunOptions, Undelivered};

use crate::plugins::{heal, logged};
use crate::world::{World, assert_balanced, collected, term, until};

const BRIEF: RunOptions = RunOptions { batch: true, grace: Duration::from_millis(100) };

fn waits_for(node: &str, again: u64, lost: u64) -> Undelivered {
    Undelivered { node: node.into(), role: Role::Output, again, lost }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_stuck_output_is_told_and_the_books_balance() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 20 } }
outputs:
  well: { type: collect, match: in, into: ending-well }
  out: { type: collect, match: in, stuck: true }
";
    let engine = world.start(config, BRIEF);
    let handle = engine.handle();
    let run = tokio::spawn(engine.run());
    until(|| collected("ending-well").len() == 20).await;
    handle.shutdown();
    let report = run.await.unwrap();
    assert_balanced(&report);
    assert!(!report.drained && report.broken.is_empty());
    assert_eq!(report.undelivered, [waits_for("out", 20, 0)]);
    assert_eq!(term(&report, "out", Role::Output, |line| line.in_flight), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_input_that_cannot_read_again_they_are_lost_and_counted() {
    let world = World::new();
    let config = "
inputs:
  file: { type: lines, count: 20 }
  pipe: { type: lines, count: 6, volatile: true }
outputs:
  out: { type: collect, match: [file, pipe], stuck: true }
";
    let engine = world.start(config, BRIEF);
    let handle = engine.handle();
    let run = tokio::spawn(engine.run());
    until(|| handle.pools().outputs[0].events == 26).await;
    handle.shutdown();
    let report = run.await.unwrap();
    assert_balanced(&report);
    assert_eq!(report.undelivered, [waits_for("out", 20, 6)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_nobody_reads_an_output_any_more_the_run_ends_and_nothing_is_lost() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 1000, per_chunk: 10 } }
outputs:
  out: { type: collect, match: in, into: ending-head, closes: true }
  copy: { type: collect, match: in, into: ending-copy, hold: true, hold_millis: 3600000 }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert!(report.closed && report.broken.is_empty());
    assert_eq!(collected("ending-head").len(), 10);
    // What the other output has, it delivers.
    let taken = term(&report, "copy", Role::Output, |line| line.taken);
    assert_eq!(collected("ending-copy").len() as u64, taken);
    let rest = term(&report, "out", Role::Output, |line| line.in_flight);
    assert_eq!(report.undelivered, [waits_for("out", rest, 0)]);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_is_given_up_loses_nothing() {
    let world = World::new();
    let config = "
inputs:
  in: { type: lines, count: 20, fail_after: 7 }
  other: { type: lines, count: 20 }
outputs:
  out: { type: collect, match: [in, other], into: given-up, hold: true, hold_millis: 2000 }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(report.failed.iter().map(|name| &**name).collect::<Vec<_>>(), ["in"]);
    assert!(report.drained && report.undelivered.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_its_input_does_not_send_after_all_is_read_again_and_is_no_loss() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 20, drops_sends: true, endless: true } }
outputs: { out: { type: collect, match: in, into: unsent } }
";
    let engine = world.start(config, BRIEF);
    let handle = engine.handle();
    let run = tokio::spawn(engine.run());
    handle.shutdown();
    assert_balanced(&run.await.unwrap());
    let config = config.replace("drops_sends: true, endless: true", "");
    assert_balanced(&world.batch(&config).await);
    assert_eq!(collected("unsent"), (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_and_could_not_be_kept_is_read_again() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 10, broken_every: 5, waits_for: no-folder } }
outputs: { out: { type: collect, match: in, into: letters-unwritten } }
";
    let (folder, aside) = (world.path("dpipe-data/dead"), world.path("aside"));
    let engine = world.start(config, BRIEF);
    let handle = engine.handle();
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "a file in the place of the folder").unwrap();
    heal("no-folder");
    let run = tokio::spawn(engine.run());
    until(|| handle.pools().dead_letters.last_error.is_some()).await;
    assert!(handle.pools().dead_letters.letters > 0);
    until(|| collected("letters-unwritten").len() == 8).await;
    handle.shutdown();
    let report = run.await.unwrap();
    assert_balanced(&report);
    assert_eq!((report.unwritten_letters, report.drained), (2, false));
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    assert_balanced(&world.batch(config).await);
    assert_eq!(world.dead("default").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_ends_from_its_beginning_to_its_end() {
    let world = World::new();
    let config = "
limits: { lanes: 1 }
inputs: { order_in: { type: lines, count: 20, endless: true } }
filters: { order_f: { match: order_in, steps: [panic_on] } }
outputs:
  order_out: { type: collect, match: order_f, into: in-order, hold: true, hold_millis: 3600000 }
";
    let engine = world.start(config, RunOptions::default());
    let handle = engine.handle();
    let run = tokio::spawn(engine.run());
    until(|| handle.pools().outputs[0].in_hand_events == 20).await;
    assert!(!handle.is_stopping() && logged("order").is_empty());
    handle.shutdown();
    assert!(handle.is_stopping());
    assert_balanced(&run.await.unwrap());
    assert_eq!(
        logged("order"),
        [
            "the input is told to stop",
            "the output is flushed",
            "the checkpoint is saved",
            "the step is closed",
            "the output is closed",
        ]
    );
    assert_eq!(collected("in-order").len(), 20);
}
