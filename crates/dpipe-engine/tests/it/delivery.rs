//! What arrives, and what the books say of it.

use std::time::Duration;

use dpipe_engine::{Role, RunOptions};

use crate::plugins::ENCODED;
use crate::world::{World, assert_balanced, collected, term};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_once_and_the_books_say_so() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 1000 } }
filters: { even: { match: in, steps: [drop_odd] } }
outputs:
  raw: { type: collect, match: in, into: all-raw }
  kept: { type: collect, match: even, into: all-even }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert!(report.drained);
    assert_eq!(collected("all-raw"), (0..1000).collect::<Vec<_>>());
    assert_eq!(collected("all-even"), (0..1000).step_by(2).collect::<Vec<_>>());
    assert_eq!(term(&report, "in", Role::Input, |line| line.taken), 1000);
    assert_eq!(term(&report, "even", Role::Filter, |line| line.filtered[0].1), 500);
    assert_eq!(term(&report, "kept", Role::Output, |line| line.delivered), 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_goes_to_its_own_tags_and_what_nobody_takes_is_counted() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 10 } }
filters: { split: { match: in, steps: [parity] } }
outputs: { odd: { type: collect, match: split.odd, into: split-odd } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(collected("split-odd"), [1, 3, 5, 7, 9]);
    let unmatched = term(&report, "split.even", Role::Unmatched, |line| line.dropped[0].1);
    assert_eq!(unmatched, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_codec_refuses_is_a_dead_letter_before_the_receipt() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 10, broken_every: 5 } }
outputs: { out: { type: collect, match: in, into: with-broken } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(collected("with-broken").len(), 8);
    let dead = world.dead("default");
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[1]["raw"], "broken 5");
    assert_eq!(dead[1]["stage"], "decode");
    assert_eq!(dead[1]["file"], "a.log");
    assert_eq!(dead[1]["offset"], 9 + 4 * 8);
    assert!(dead[1]["reason"].as_str().unwrap().contains("byte 0"));
    assert_eq!(term(&report, "in", Role::Input, |line| line.dead[0].1), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_has_a_key_twice_is_delivered_and_flagged() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 10, broken_every: 9, twice_every: 4 } }
outputs: { out: { type: collect, match: in, into: with-twice } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(collected("with-twice"), (1..9).collect::<Vec<_>>());
    let flagged = term(&report, "in", Role::Input, |line| {
        assert!(line.flagged.iter().all(|(what, _)| *what == "duplicate_key"));
        line.flagged.iter().map(|(_, events)| events).sum()
    });
    assert_eq!(flagged, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_that_encode_alike_share_the_bytes() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 100 } }
outputs:
  a: { type: collect, match: in, into: enc-a, encoded: true }
  b: { type: collect, match: in, into: enc-b, encoded: true }
  c: { type: collect, match: in, into: enc-c, encoded: true }
";
    assert_balanced(&world.batch(config).await);
    assert_eq!(ENCODED.load(std::sync::atomic::Ordering::Relaxed), 100);
    assert_eq!(collected("enc-c").len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_says_later_gets_everything_again() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 20 } }
outputs: { out: { type: collect, match: in, into: later, retry_first: 3 } }
";
    assert_balanced(&world.batch(config).await);
    assert_eq!(collected("later"), (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_waits_for_the_flush_of_an_output_that_holds_back() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 20 } }
outputs: { out: { type: collect, match: in, into: held, hold: true } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert!(report.drained);
    assert_eq!(collected("held").len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_event_is_a_dead_letter_and_the_others_arrive() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 10 } }
outputs: { out: { type: collect, match: in, into: refusing, refuse: 6 } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(collected("refusing"), [0, 1, 2, 3, 4, 5, 7, 8, 9]);
    assert_eq!(world.dead("default")[0]["reason"], "not this one");
    assert_eq!(world.dead("default")[0]["stage"], "out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_is_not_believed_that_refuses_more_than_it_got() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 10 } }
outputs:
  out: { type: collect, match: in, into: refusing-wrongly, refuse: 6, refuses_wrongly: true }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(term(&report, "out", Role::Output, |line| line.delivered), 9);
    assert_eq!(world.dead("default").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stuck_output_has_not_taken_is_read_again_at_the_next_start() {
    let world = World::new();
    let stuck = "
inputs: { in: { type: lines, count: 20 } }
outputs:
  well: { type: collect, match: in, into: restart-well }
  out: { type: collect, match: in, into: restart, stuck: true }
";
    let options = RunOptions { batch: true, grace: Duration::from_millis(100) };
    let engine = world.start(stuck, options);
    let handle = engine.handle();
    let run = tokio::spawn(engine.run());
    while collected("restart-well").len() < 20 {
        tokio::task::yield_now().await;
    }
    assert!(handle.ledger().balances());
    handle.shutdown();
    let report = run.await.unwrap();
    assert_balanced(&report);
    assert!(!report.drained);
    assert!(collected("restart").is_empty());
    let report = world.batch(&stuck.replace("stuck: true", "stuck: false")).await;
    assert_balanced(&report);
    assert_eq!(collected("restart"), (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_settled_is_not_read_again() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 20 } }
outputs: { out: { type: collect, match: in, into: once } }
";
    world.batch(config).await;
    world.batch(config).await;
    assert_eq!(collected("once"), (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_buffer_that_may_drop_drops_the_oldest_and_counts_them() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 1000 } }
outputs:
  out: { type: collect, match: in, stuck: true, buffer: { memory: 200, when_full: drop_oldest } }
  well: { type: collect, match: in, into: beside-dropping }
";
    let options = RunOptions { batch: true, grace: Duration::from_millis(100) };
    let engine = world.start(config, options);
    let handle = engine.handle();
    let run = tokio::spawn(engine.run());
    while collected("beside-dropping").len() < 1000 {
        tokio::task::yield_now().await;
    }
    handle.shutdown();
    let report = run.await.unwrap();
    assert_balanced(&report);
    let dropped = term(&report, "out", Role::Output, |line| line.dropped[0].1);
    assert!(dropped > 900, "{dropped}");
}
