//! Planted bugs, which the books must find. Built with the feature `mutants`; which bug is chosen by
//! `DPIPE_MUTANT`, for the whole process, so this test runs alone.

use dpipe_engine::Role;

use crate::world::{World, collected, term};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_lost_batch_is_reported() {
    if std::env::var("DPIPE_MUTANT").as_deref() != Ok("lose_batch") {
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
    let faults = report.ledger.faults.join("\n");
    assert!(!report.ledger.balances());
    assert!(faults.contains("`out` of tenant `default`: took 10 events of the 20"), "{faults}");
    assert!(faults.contains("1 receipts were lost"), "{faults}");
}
