//! `/health`: whether somebody should look.

use std::time::Duration;

use dpipe_engine::{Ledger, Pools};

/// An output that has been full for this long is not merely slow.
const FULL_MAX: Duration = Duration::from_secs(60);

/// Why this dpipe is not well; empty if it is.
///
/// The books must balance, and no output may be full while its oldest batch has waited for more than
/// a minute: then its inputs stand still.
pub(crate) fn reasons(ledger: &Ledger, pools: &Pools) -> Vec<String> {
    let stuck = pools.outputs.iter().filter_map(|output| {
        let waited = Duration::from_millis(output.oldest_millis);
        (output.full && waited > FULL_MAX).then(|| {
            format!(
                "the output `{}` is full, and its oldest batch has waited for {} s",
                output.output,
                waited.as_secs()
            )
        })
    });
    ledger.faults.iter().map(|fault| format!("ledger: {fault}")).chain(stuck).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn a_dpipe_whose_books_balance_and_whose_outputs_move_is_well() {
        assert!(reasons(&fake::ledger(), &fake::pools()).is_empty());
    }

    #[test]
    fn a_fault_of_the_ledger_is_a_reason() {
        let mut ledger = fake::ledger();
        ledger.faults.push("3 receipts were lost".into());
        assert_eq!(reasons(&ledger, &fake::pools()), ["ledger: 3 receipts were lost"]);
    }

    #[test]
    fn an_output_that_is_full_for_more_than_a_minute_is_a_reason() {
        let with = |full, oldest_millis| {
            let mut pools = fake::pools();
            (pools.outputs[0].full, pools.outputs[0].oldest_millis) = (full, oldest_millis);
            reasons(&fake::ledger(), &pools)
        };
        assert!(with(true, 60_000).is_empty());
        assert!(with(false, 61_000).is_empty());
        let reason = "the output `copy` is full, and its oldest batch has waited for 61 s";
        assert_eq!(with(true, 61_000), [reason]);
    }
}
