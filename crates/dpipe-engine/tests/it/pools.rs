//! Who has the events that are in flight, and since when.

use std::time::Duration;

use dpipe_engine::RunOptions;

use crate::world::{World, assert_balanced, collected, until};

const FOREVER: RunOptions = RunOptions { batch: false, grace: Duration::from_millis(100) };

#[tokio::test(start_paused = true)]
async fn a_parcel_that_an_output_does_not_answer_for_is_seen_in_its_hands() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 8, per_chunk: 4, endless: true } }
outputs: { out: { type: collect, match: in, stuck: true } }
";
    let engine = world.start(config, FOREVER);
    let handle = engine.handle();
    let run = tokio::spawn(engine.run());
    until(|| handle.pools().outputs[0].events == 8).await;
    tokio::time::sleep(Duration::from_secs(67)).await;
    let pools = handle.pools();
    let out = &pools.outputs[0];
    assert_eq!((out.batches, out.in_hand_batches, out.in_hand_events), (2, 1, 4));
    assert!(out.oldest_millis >= 67_000 && out.unanswered_millis >= 67_000, "{out:?}");
    assert_eq!((out.failing_millis, out.attempts, &out.last_error), (0, 0, &None));
    assert!(pools.lanes.iter().all(|lane| lane.chunks == 0), "{pools:?}");
    handle.shutdown();
    assert_balanced(&run.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn attempts_that_fail_are_counted_with_their_reason_until_one_goes_well() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 4, endless: true } }
outputs: { out: { type: collect, match: in, into: at-last, retry_first: 1000 } }
";
    let engine = world.start(config, FOREVER);
    let handle = engine.handle();
    let run = tokio::spawn(engine.run());
    until(|| handle.pools().outputs[0].attempts > 500).await;
    let out = handle.pools().outputs.remove(0);
    assert_eq!((out.in_hand_events, out.last_error.as_deref()), (4, Some("not yet")));
    assert!(out.failing_millis >= 500 && out.oldest_millis >= out.failing_millis, "{out:?}");
    assert!(handle.mended().nodes[1].retries > 500);
    until(|| collected("at-last").len() == 4).await;
    until(|| handle.pools().outputs[0].events == 0).await;
    let out = handle.pools().outputs.remove(0);
    assert_eq!((out.attempts, out.failing_millis, out.last_error), (0, 0, None));
    handle.shutdown();
    assert_balanced(&run.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_an_output_holds_is_seen_until_it_is_flushed() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 8, per_chunk: 4, endless: true } }
outputs: { out: { type: collect, match: in, into: held-long, hold: true, hold_millis: 600000 } }
";
    let engine = world.start(config, FOREVER);
    let handle = engine.handle();
    let run = tokio::spawn(engine.run());
    until(|| handle.pools().outputs[0].in_hand_events == 8).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let out = handle.pools().outputs.remove(0);
    assert!(out.oldest_millis >= 300_000);
    assert_eq!((out.unanswered_millis, out.failing_millis), (0, 0), "it is not late: {out:?}");
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(collected("held-long").len(), 8);
    assert_eq!(handle.pools().outputs[0].events, 0);
    handle.shutdown();
    assert_balanced(&run.await.unwrap());
}
