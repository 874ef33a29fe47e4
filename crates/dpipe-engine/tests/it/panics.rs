//! Plugins that panic over one event after the other: they rest, and little is condemned.

use std::time::Duration;

use dpipe_engine::{Handle, Report, Role, RunOptions};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::plugins::heal;
use crate::world::{World, assert_balanced, collected, sum, term, term_of, until};

const BATCH: RunOptions = RunOptions { batch: true, grace: Duration::from_secs(5) };

fn start(world: &World, config: &str) -> (Handle, JoinHandle<Report>) {
    let engine = world.start(config, BATCH);
    (engine.handle(), tokio::spawn(engine.run()))
}

fn dead(handle: &Handle, node: &str, role: Role) -> u64 {
    term_of(&handle.ledger(), node, role, |line| sum(&line.dead))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_that_makes_an_encoder_panic_only_the_culprit_dies() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 20, per_chunk: 10 } }
outputs:
  out:
    { type: collect, match: in, into: encoder-panic, encoded: true, codec: { type: bodies, panic_on: 13 } }
";
    let engine = world.start(config, BATCH);
    let handle = engine.handle();
    let report = engine.run().await;
    assert_balanced(&report);
    assert!(report.drained && report.broken.is_empty());
    assert_eq!(term(&report, "out", Role::Output, |line| line.delivered), 19);
    assert_eq!(term(&report, "out", Role::Output, |line| sum(&line.dead)), 1);
    let reason = "the encoder panicked: assertion `left != right` failed: a number it cannot write";
    let letters = world.dead("default");
    assert!(letters[0]["reason"].as_str().unwrap().starts_with(reason), "{letters:?}");
    assert_eq!(letters[0]["raw"], r#"{"n":13}"#);
    assert_eq!(handle.mended().nodes[1].panics, [("output", 0), ("encoder", 1)]);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_panics_over_everything_rests_and_condemns_few() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 100, per_chunk: 10 } }
outputs: { out: { type: collect, match: in, into: ill-output, panic_until: ill-output } }
";
    let (handle, run) = start(&world, config);
    // Ten minutes: every pause there is has been taken, and the longest many times.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let condemned = dead(&handle, "out", Role::Output);
    assert!((3..30).contains(&condemned), "{condemned}");
    let out = handle.pools().outputs.remove(0);
    assert!(out.failing_millis >= 590_000 && out.attempts > 20, "{out:?}");
    assert_eq!(out.last_error.as_deref(), Some("it panicked: a broken output"));
    let restarts = handle.mended().nodes[1].restarts;
    assert!(restarts < 60, "{restarts}");
    heal("ill-output");
    let report = run.await.unwrap();
    assert_balanced(&report);
    let dead = term(&report, "out", Role::Output, |line| sum(&line.dead));
    assert_eq!(collected("ill-output"), (dead as i64..100).collect::<Vec<_>>());
    assert_eq!(world.dead("default").len() as u64, dead);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_panics_for_a_moment_condemns_nothing_but_what_is_known_by_then() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 100, per_chunk: 10 } }
outputs: { out: { type: collect, match: in, into: ill-briefly, panic_until: ill-briefly } }
";
    let (handle, run) = start(&world, config);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(dead(&handle, "out", Role::Output), 2, "and the first panic was the whole parcel's");
    heal("ill-briefly");
    assert_balanced(&run.await.unwrap());
    assert_eq!(collected("ill-briefly").len(), 98);
}

#[tokio::test(start_paused = true)]
async fn of_what_an_output_holds_only_the_culprit_of_a_panicking_flush_dies() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 40, per_chunk: 10 } }
outputs:
  out: { type: collect, match: in, into: flush-panic, hold: true, in_flush: true, panic_on: 13 }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(collected("flush-panic"), (0..40).filter(|n| *n != 13).collect::<Vec<_>>());
    assert_eq!(world.dead("default")[0]["raw"], r#"{"n":13}"#);
}

#[tokio::test(start_paused = true)]
async fn an_output_whose_every_flush_panics_rests_and_condemns_few() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 100, per_chunk: 10 } }
outputs:
  out: { type: collect, match: in, into: ill-flush, hold: true, in_flush: true, panic_until: ill-flush }
";
    let (handle, run) = start(&world, config);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let condemned = dead(&handle, "out", Role::Output);
    assert!((1..30).contains(&condemned), "{condemned}");
    assert!(handle.pools().outputs[0].failing_millis >= 590_000);
    heal("ill-flush");
    let report = run.await.unwrap();
    assert_balanced(&report);
    assert_eq!(collected("ill-flush").len() + world.dead("default").len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panics_over_everything_rests_and_condemns_few() {
    let world = World::new();
    let config = "
limits: { lanes: 1 }
inputs: { in: { type: lines, count: 1000, per_chunk: 10 } }
filters: { f: { match: in, steps: [{ panic_on: { panic_until: ill-step } }] } }
outputs:
  out: { type: collect, match: f, into: ill-step }
  raw: { type: collect, match: in, into: ill-step-raw }
";
    let (handle, run) = start(&world, config);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let condemned = dead(&handle, "f", Role::Filter);
    assert!((4..30).contains(&condemned), "{condemned}");
    let pools = handle.pools();
    let rest = &pools.filters[0];
    assert_eq!((&*rest.filter, &*rest.tenant), ("f", "default"));
    assert!(rest.failing_millis >= 590_000 && rest.attempts > 20, "{rest:?}");
    assert_eq!(rest.last_error, "a broken step");
    let in_flight = term_of(&handle.ledger(), "f", Role::Filter, |line| line.in_flight);
    assert_eq!(rest.events as u64, in_flight);
    let restarts = handle.mended().nodes[1].restarts;
    assert!(restarts < 100, "{restarts}");
    // The gate is closed: the input has not read on, and so the other output has not got more either.
    let read = collected("ill-step-raw").len();
    assert!(read < 1000, "{read}");
    heal("ill-step");
    let report = run.await.unwrap();
    assert_balanced(&report);
    let dead = term(&report, "f", Role::Filter, |line| sum(&line.dead));
    assert_eq!(collected("ill-step"), (dead as i64..1000).collect::<Vec<_>>());
    assert_eq!(collected("ill-step-raw").len(), 1000);
    assert!(handle.pools().filters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panics_over_one_tenants_events_stops_no_other_tenant() {
    let world = World::new();
    let config = "
limits: { lanes: 1 }
tenants: { a: {}, b: {} }
inputs:
  in_a: { type: lines, count: 1000, per_chunk: 10, tenant: a, files: [a.log] }
  in_b: { type: lines, count: 1000, per_chunk: 10, tenant: b, files: [b.log] }
filters:
  f: { match: 'in_*', steps: [{ panic_on: { panic_until: ill-tenant, tenant: a } }] }
outputs: { out: { type: collect, match: f, into: ill-tenant } }
";
    let (handle, run) = start(&world, config);
    until(|| collected("ill-tenant").len() == 1000).await;
    assert!(handle.pools().filters.iter().all(|rest| &*rest.tenant == "a"));
    handle.shutdown();
    let report = run.await.unwrap();
    assert_balanced(&report);
    let left = &report.undelivered[0];
    assert_eq!((&*left.node, left.role, left.lost), ("f", Role::Filter, 0));
    assert_eq!(left.again, term(&report, "f", Role::Filter, |line| line.in_flight));
    assert!(left.again > 0);
}

#[tokio::test(start_paused = true)]
async fn a_stretch_of_poisonous_events_passes_in_the_end() {
    let world = World::new();
    let config = "
limits: { lanes: 1 }
inputs: { in: { type: lines, count: 12, per_chunk: 6 } }
filters: { f: { match: in, steps: [{ panic_on: { panic_until: never } }] } }
outputs: { out: { type: collect, match: f } }
";
    let start = Instant::now();
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(term(&report, "f", Role::Filter, |line| sum(&line.dead)), 12);
    // Three go at once, and the others one by one after the longest pause.
    assert!(start.elapsed() > Duration::from_secs(8 * 30), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_codec_panics_over_everything_is_read_ever_more_slowly() {
    let world = World::new();
    let config = "
limits: { lanes: 1 }
inputs:
  in:
    type: lines
    count: 200
    per_chunk: 2
    codec: { type: json_lines, panic_until: ill-codec }
outputs: { out: { type: collect, match: in, into: ill-codec } }
";
    let (handle, run) = start(&world, config);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let condemned = dead(&handle, "in", Role::Input);
    assert!((4..50).contains(&condemned), "{condemned}");
    heal("ill-codec");
    assert_balanced(&run.await.unwrap());
    assert_eq!(collected("ill-codec").len() + world.dead("default").len(), 200);
}
