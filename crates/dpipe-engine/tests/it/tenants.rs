//! Tenants: whose events are whose, and that one does not hurt another.

use std::time::Duration;

use dpipe_engine::RunOptions;
use tokio::time::Instant;

use crate::world::{World, assert_balanced, collected};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_taken_from_the_path_of_its_file() {
    let world = World::new();
    let config = "
inputs:
  in:
    type: lines
    tenant: { from: path, pattern: '/fp_(?<tenant>\\w+)/' }
    files: [/logs/fp_rs/a.log, /logs/fp_ff/b.log]
outputs: { out: { type: collect, match: in, into: by-path } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    let mut tenants: Vec<_> =
        report.ledger.lines.iter().map(|line| (line.tenant.to_string(), line.taken)).collect();
    tenants.sort();
    tenants.dedup();
    assert_eq!(tenants, [("ff".to_owned(), 10), ("rs".to_owned(), 10)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_whose_output_is_stuck_costs_the_others_nothing() {
    let world = World::new();
    let config = "
limits: { bytes_in_flight: 4000 }
tenants: { a: {}, b: {} }
inputs:
  in_a: { type: lines, tenant: a, count: 5000, files: [a] }
  in_b: { type: lines, tenant: b, count: 5000, files: [b] }
outputs:
  out_a: { type: collect, match: in_a, stuck: true }
  out_b: { type: collect, match: in_b, into: neighbor }
";
    let options = RunOptions { batch: true, grace: Duration::from_millis(100) };
    let engine = world.start(config, options);
    let handle = engine.handle();
    let run = tokio::spawn(engine.run());
    while collected("neighbor").len() < 5000 {
        tokio::task::yield_now().await;
    }
    let pools = handle.pools();
    let a = pools.tenants.iter().find(|t| &*t.tenant == "a").unwrap();
    assert!(a.bytes_in_flight > 0 && a.bytes_in_flight <= 2100, "{pools:?}");
    handle.shutdown();
    run.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rate_holds_a_tenant_back() {
    let world = World::new();
    let config = "
tenants: { slow: { limits: { events_per_second: 1000 } } }
inputs: { in: { type: lines, tenant: slow, count: 6000, per_chunk: 100 } }
outputs: { out: { type: collect, match: in, into: rated } }
";
    let start = Instant::now();
    assert_balanced(&world.batch(config).await);
    assert_eq!(collected("rated").len(), 6000);
    // The first second's worth, and what is read ahead of the counting, come at once; the clock is
    // simulated.
    assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_rate_counts_lines_that_are_no_events_too() {
    let world = World::new();
    let config = "
tenants: { slow: { limits: { events_per_second: 1000 } } }
inputs: { in: { type: lines, tenant: slow, count: 6000, per_chunk: 100, broken_every: 1 } }
outputs: { out: { type: collect, match: in, into: rated-broken } }
";
    let start = Instant::now();
    assert_balanced(&world.batch(config).await);
    assert_eq!(world.dead("slow").len(), 6000);
    assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_rate_counts_each_event_that_a_line_gives() {
    let world = World::new();
    let config = "
tenants: { slow: { limits: { events_per_second: 1000 } } }
inputs:
  in:
    type: lines
    tenant: slow
    count: 3000
    per_chunk: 100
    codec: { type: json_lines, twice: true }
outputs: { out: { type: collect, match: in, into: rated-twice } }
";
    let start = Instant::now();
    assert_balanced(&world.batch(config).await);
    assert_eq!(collected("rated-twice").len(), 6000);
    assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
}
