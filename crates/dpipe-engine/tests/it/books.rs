//! What the books count, and what they find.

use dpipe_engine::Role;

use crate::world::{World, assert_balanced, collected, term};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_a_step_makes_are_born_if_it_says_so() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 10 } }
filters: { f: { match: in, steps: [double] } }
outputs: { out: { type: collect, match: f, into: doubled } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    assert_eq!(collected("doubled").len(), 20);
    assert_eq!(term(&report, "f", Role::Filter, |line| line.born), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_nobody_says_to_have_made_are_a_fault() {
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 10 } }
filters: { f: { match: in, steps: [{ double: { silently: true } }] } }
outputs: { out: { type: collect, match: f, into: doubled-silently } }
";
    let report = world.batch(config).await;
    assert_eq!(term(&report, "f", Role::Filter, |line| line.born), 0);
    let fault =
        "filter `f` of tenant `default`: 10 events more are in its book than came or were born";
    assert_eq!(report.ledger.faults, [fault]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_a_codec_makes_beyond_one_a_line_are_born() {
    let world = World::new();
    let config = "
inputs:
  in: { type: lines, count: 10, broken_every: 5, codec: { type: json_lines, twice: true } }
outputs: { out: { type: collect, match: in, into: decoded-twice } }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    let count = |of: fn(&dpipe_engine::Line) -> u64| term(&report, "in", Role::Input, of);
    assert_eq!((count(|line| line.taken), count(|line| line.born)), (10, 8));
    assert_eq!(count(|line| line.out), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_nothing_came_to_have_their_lines() {
    let world = World::new();
    let config = "
tenants: { a: {}, b: {} }
inputs:
  in_a: { type: lines, count: 0, tenant: a }
  in_b: { type: lines, count: 0, tenant: b }
  paths: { type: lines, count: 0, files: [], tenant: { from: path, pattern: '/(?<tenant>\\w+)/' } }
filters: { f: { match: in_a, steps: [parity] } }
outputs:
  out: { type: collect, match: [in_a, in_b] }
  odd: { type: collect, match: f.odd }
  rest: { type: collect, match: paths }
";
    let report = world.batch(config).await;
    assert_balanced(&report);
    let mut lines: Vec<_> =
        report.ledger.lines.iter().map(|line| (line.node.as_ref(), line.tenant.as_ref())).collect();
    lines.sort_unstable();
    let wanted = [
        ("f", "a"),
        ("in_a", "a"),
        ("in_b", "b"),
        ("odd", "a"),
        ("out", "a"),
        ("out", "b"),
        ("paths", "a"),
        ("paths", "b"),
        ("rest", "a"),
        ("rest", "b"),
    ];
    assert_eq!(lines, wanted);
    assert!(report.ledger.lines.iter().all(|line| line.taken == 0 && line.delivered == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_tenants_nobody_knows_yet_has_a_line_too() {
    let world = World::new();
    let config = "
inputs:
  in: { type: lines, count: 10, files: [], tenant: { from: path, pattern: '/(?<tenant>\\w+)/' } }
outputs: { out: { type: collect, match: in } }
";
    let report = world.batch(config).await;
    let lines: Vec<_> =
        report.ledger.lines.iter().map(|line| (line.node.as_ref(), line.tenant.as_ref())).collect();
    assert_eq!(lines, [("in", "default"), ("out", "default")]);
}
