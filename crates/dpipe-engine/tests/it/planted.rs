//! Planted bugs, which the books must find. Built with the feature `mutants`; which bug is chosen by
//! `DPIPE_MUTANT`, for the whole process, so each of these tests does something only when its bug is
//! chosen.

use dpipe_engine::{Report, Role};

use crate::world::{World, collected, term};

fn is_planted(mutant: &str) -> bool {
    std::env::var("DPIPE_MUTANT").as_deref() == Ok(mutant)
}

/// What the books find.
fn faults(report: &Report) -> String {
    assert!(!report.ledger.balances());
    report.ledger.faults.join("\n")
}

const FILTERED: &str = "
inputs: { in: { type: lines, count: 20, per_chunk: 10 } }
filters: { f: { match: in, steps: [drop_odd] } }
outputs: { out: { type: collect, match: f, into: planted } }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_lost_batch_is_reported() {
    if !is_planted("lose_batch") {
        return;
    }
    let world = World::new();
    let config = "
inputs: { in: { type: lines, count: 20, per_chunk: 10 } }
outputs: { out: { type: collect, match: in, into: planted } }
";
    let report = world.batch(config).await;
    assert_eq!(collected("planted").len(), 10);
    assert_eq!(term(&report, "in", Role::Input, |line| line.out), 20);
    let faults = faults(&report);
    assert!(faults.contains("`out` of tenant `default`: took 10 events of the 20"), "{faults}");
    assert!(faults.contains("1 receipt was lost"), "{faults}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_duplicated_batch_is_reported() {
    if !is_planted("duplicate_batch") {
        return;
    }
    let report = World::new().batch(FILTERED).await;
    assert_eq!(collected("planted").len(), 30, "all 20 before the step, and 10 after it");
    let faults = faults(&report);
    let wanted = "filter `f` of tenant `default`: 20 events more are in its book than came";
    assert!(faults.contains(wanted), "{faults}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_batch_that_is_delivered_twice_is_reported() {
    if !is_planted("deliver_twice") {
        return;
    }
    let report = World::new().batch(FILTERED).await;
    assert_eq!(collected("planted").len(), 20);
    let faults = faults(&report);
    assert!(faults.contains("`out` of tenant `default`: took 20 events of the 10"), "{faults}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_loss_in_a_step_is_reported() {
    if !is_planted("lose_in_step") {
        return;
    }
    let report = World::new().batch(FILTERED).await;
    let faults = faults(&report);
    let wanted = "filter `f` of tenant `default`: 18 events are missing from its book";
    assert!(faults.contains(wanted), "{faults}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_panic_of_a_lane_or_a_runner_ends_the_run_and_is_said() {
    let (mutant, wanted) = match std::env::var("DPIPE_MUTANT").as_deref() {
        Ok("panic_in_lane") => ("panic_in_lane", "lane 0 panicked: planted"),
        Ok("panic_in_runner") => {
            ("panic_in_runner", "the runner of the output `out` panicked: planted")
        }
        _ => return,
    };
    let world = World::new();
    let config = "
limits: { lanes: 1 }
inputs: { in: { type: lines, count: 20, per_chunk: 10, endless: true } }
outputs: { out: { type: collect, match: in, into: planted-panic } }
";
    // Nobody tells it to stop.
    let report = world.start(config, dpipe_engine::RunOptions::default()).run().await;
    assert_eq!(report.broken, [wanted], "{mutant}");
    assert!(!report.drained);
}
