//! Plugins that panic or fail: the culprit goes alone, the process lives on.

use dpipe_engine::Role;

use crate::plugins::STARTS;
use crate::world::{World, assert_balanced, collected, term};

fn all_but(n: i64) -> Vec<i64> {
    (0..20).filter(|i| *i != n).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_that_makes_a_step_panic_only_the_culprit_dies() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 20, per_chunk: 10 } }
filters: { f: { match: in, steps: [{ panic_on: { n: 13 } }] } }
outputs: { out: { type: collect, match: f, into: step-panic } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(collected("step-panic"), all_but(13));
    assert_eq!(term(&report, "f", Role::Filter, |line| line.dead[0].1), 1);
    assert_eq!(world.dead("default")[0]["reason"], "a step panicked: a poisonous event");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_chunk_that_makes_a_codec_panic_only_the_culprit_dies() {
    let world = World::new();
    let config = "
inputs:
  in: { type: lines, count: 20, per_chunk: 10, codec: { type: json_lines, panic_on: 13 } }
outputs: { out: { type: collect, match: in, into: codec-panic } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(collected("codec-panic"), all_but(13));
    assert_eq!(world.dead("default")[0]["raw"], r#"{"n":13}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_parcel_that_makes_an_output_panic_only_the_culprit_dies() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 20, per_chunk: 10 } }
outputs: { out: { type: collect, match: in, into: output-panic, panic_on: 13 } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(collected("output-panic"), all_but(13));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_that_panics_is_started_again() {
    let world = World::new();
    let config = "
inputs: { flaky: { type: lines, count: 20, fail_first: 1 } }
outputs: { out: { type: collect, match: flaky, into: flaky } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(STARTS.lock()["flaky"], 2);
    assert_eq!(collected("flaky"), (0..20).collect::<Vec<_>>());
}
