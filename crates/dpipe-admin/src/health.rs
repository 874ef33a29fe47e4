//! `/health`: whether somebody should look.

use std::time::Duration;

use dpipe_engine::{Ledger, OutputPool, Pools};

/// Whatever takes longer than this is not merely slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why this dpipe is not well; empty if it is.
///
/// The books must balance. For more than a minute no output may fail, owe an answer, or be full with
/// its oldest batch waiting; no filter may panic over one event; no lane may be at one chunk; and no
/// dead letter may wait for the disk.
pub(crate) fn reasons(ledger: &Ledger, pools: &Pools) -> Vec<String> {
    let faults = ledger.faults.iter().map(|fault| format!("ledger: {fault}"));
    let outputs = pools.outputs.iter().filter_map(stuck);
    let filters = pools.filters.iter().filter_map(|rest| {
        let seconds = too_long(rest.failing_millis)?;
        Some(format!(
            "the filter `{}` has panicked for {seconds} s ({}) over an event of tenant `{}`, and {} \
             for it: {}",
            rest.filter,
            times(rest.attempts),
            rest.tenant,
            wait(rest.events),
            rest.last_error
        ))
    });
    let lanes = pools.lanes.iter().filter_map(|lane| {
        let seconds = too_long(lane.oldest_millis)?;
        Some(format!("lane {} has not been done with a chunk for {seconds} s", lane.lane))
    });
    let dead = too_long(pools.dead_letters.oldest_millis).map(|seconds| {
        let why = pools.dead_letters.last_error.as_deref().unwrap_or("the disk does not answer");
        format!("dead letters have waited for {seconds} s to be written: {why}")
    });
    faults.chain(outputs).chain(filters).chain(lanes).chain(dead).collect()
}

fn stuck(output: &OutputPool) -> Option<String> {
    let name = &output.output;
    let waiting = wait(output.events);
    if let Some(seconds) = too_long(output.failing_millis) {
        let why = output.last_error.as_deref().unwrap_or("it does not say why");
        let times = times(output.attempts);
        return Some(format!(
            "the output `{name}` has failed for {seconds} s ({times}), and {waiting} for it: {why}"
        ));
    }
    if let Some(seconds) = too_long(output.unanswered_millis) {
        return Some(format!(
            "the output `{name}` has not answered for {seconds} s, and {waiting} for it"
        ));
    }
    let seconds = too_long(output.oldest_millis).filter(|_| output.full)?;
    Some(format!("the output `{name}` is full, and its oldest batch has waited for {seconds} s"))
}

/// The seconds, if they are too many.
fn too_long(millis: u64) -> Option<u64> {
    let time = Duration::from_millis(millis);
    (time > PATIENCE).then_some(time.as_secs())
}

fn times(attempts: u32) -> String {
    if attempts == 1 { "1 time".into() } else { format!("{attempts} times") }
}

fn wait(events: usize) -> String {
    if events == 1 { "1 event waits".into() } else { format!("{events} events wait") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    fn with(change: impl Fn(&mut Pools)) -> Vec<String> {
        let mut pools = fake::pools();
        change(&mut pools);
        reasons(&fake::ledger(), &pools)
    }

    #[test]
    fn a_dpipe_whose_books_balance_and_whose_outputs_move_is_well() {
        assert!(with(|_| ()).is_empty());
    }

    #[test]
    fn a_fault_of_the_ledger_is_a_reason() {
        let mut ledger = fake::ledger();
        ledger.faults.push("3 receipts were lost".into());
        assert_eq!(reasons(&ledger, &fake::pools()), ["ledger: 3 receipts were lost"]);
    }

    #[test]
    fn an_output_that_fails_for_more_than_a_minute_is_a_reason() {
        assert!(with(|pools| pools.outputs[0].failing_millis = 60_000).is_empty());
        let reason = "the output `copy` has failed for 67 s (4 times), and 6 events wait for it: \
                      connection refused";
        assert_eq!(with(|pools| pools.outputs[0].failing_millis = 67_000), [reason]);
    }

    #[test]
    fn an_output_that_does_not_answer_for_more_than_a_minute_is_a_reason() {
        let reason = "the output `copy` has not answered for 61 s, and 1 event waits for it";
        let found = with(|pools| {
            (pools.outputs[0].unanswered_millis, pools.outputs[0].events) = (61_000, 1);
        });
        assert_eq!(found, [reason]);
    }

    #[test]
    fn an_output_that_is_full_for_more_than_a_minute_is_a_reason() {
        let with = |full, oldest_millis| {
            with(|pools| {
                (pools.outputs[0].full, pools.outputs[0].oldest_millis) = (full, oldest_millis);
            })
        };
        assert!(with(true, 60_000).is_empty());
        assert!(with(false, 61_000).is_empty());
        let reason = "the output `copy` is full, and its oldest batch has waited for 61 s";
        assert_eq!(with(true, 61_000), [reason]);
    }

    #[test]
    fn whatever_else_stands_still_for_more_than_a_minute_is_a_reason() {
        let found = with(|pools| {
            pools.filters[0].failing_millis = 90_000;
            pools.lanes[0].oldest_millis = 70_000;
            pools.dead_letters.oldest_millis = 80_000;
            pools.dead_letters.last_error = Some("no space left on device".into());
        });
        let wanted = [
            "the filter `thin` has panicked for 90 s (5 times) over an event of tenant `red`, and 4 \
             events wait for it: index out of bounds",
            "lane 0 has not been done with a chunk for 70 s",
            "dead letters have waited for 80 s to be written: no space left on device",
        ];
        assert_eq!(found, wanted);
    }
}
