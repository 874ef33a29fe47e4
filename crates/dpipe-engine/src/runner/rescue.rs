//! What a runner does about an output that panics: it finds the event whose fault it is, condemns it
//! or lets it wait (see [`crate::backoff`] for the reasons), and builds the output anew.

use dpipe_plugin::Refusal;

use super::Runner;
use super::hand::Load;
use crate::backoff::{Backoff, CONDEMNED_AT_ONCE};
use crate::panics::build;

impl Runner {
    /// The output panicked over the first parcel in hand. One of many events is split, so that the
    /// culprit goes alone.
    pub(super) async fn panicked_over_write(&mut self, panic: &str) {
        self.say_panic(false, panic);
        let Some(mut load) = self.hand.pop() else { return };
        let mut must_wait = false;
        if self.panics_in_a_row > CONDEMNED_AT_ONCE && !load.is_last_chance {
            load.is_last_chance = self.rests.is_longest();
            must_wait = true;
            self.hand.put_back(load);
        } else if load.is_single() {
            self.condemn(load, panic);
        } else {
            self.hand.put_back_split(load, false);
        }
        // What the output held went with it.
        self.hand.take_back();
        if must_wait {
            tokio::time::sleep(self.rests.take()).await;
        }
        self.rebuild().await;
    }

    /// The output panicked while it made safe what it held. Once that may be bad luck; then events
    /// are flushed one by one.
    pub(super) async fn panicked_over_flush(&mut self, panic: &str) {
        self.say_panic(true, panic);
        self.flush_owed = true;
        let mut held = self.hand.let_go();
        match held.pop() {
            Some(mut load) if held.is_empty() && load.is_single() => {
                if self.panics_in_a_row > CONDEMNED_AT_ONCE && !load.is_last_chance {
                    load.is_last_chance = self.rests.is_longest();
                    load.alone = true;
                    self.hand.put_back(load);
                } else {
                    self.condemn(load, panic);
                }
            }
            last => {
                let split = self.panics_in_a_row > 1;
                for load in held.into_iter().chain(last).rev() {
                    if split {
                        self.hand.put_back_split(load, true);
                    } else {
                        self.hand.put_back(load);
                    }
                }
            }
        }
        tokio::time::sleep(self.rests.take()).await;
        self.rebuild().await;
    }

    /// The output panicked between parcels; what it held went with it.
    pub(super) async fn panicked_over_nothing(&mut self, panic: &str) {
        self.core.mending.panicked(self.node(), "output", panic);
        self.hand.take_back();
        self.rebuild().await;
    }

    fn say_panic(&mut self, in_flush: bool, panic: &str) {
        self.panics_in_a_row += 1;
        self.core.mending.panicked(self.node(), "output", panic);
        self.queue().failed(in_flush, &format!("it panicked: {panic}"));
    }

    fn condemn(&self, load: Load, panic: &str) {
        let (kind, reason) = ("panic", format!("the output panicked: {panic}"));
        self.settle(load, vec![Refusal { index: 0, kind, reason }]);
    }

    /// Builds the output anew, waiting longer each time that fails.
    async fn rebuild(&mut self) {
        let core = self.core.clone();
        let plan = &core.plan.outputs[self.number];
        let mut pauses = Backoff::brief();
        loop {
            core.mending.restarted(self.node());
            match build(|| plan.spec.build(&core.build_context(&plan.name))) {
                Ok(fresh) => {
                    self.output = fresh;
                    return;
                }
                Err(error) => {
                    let attempts = self.queue().failed(false, &error);
                    if attempts.is_power_of_two() {
                        let output = &*plan.name;
                        tracing::error!(output, "the output cannot be built anew: {error}");
                    }
                }
            }
            tokio::time::sleep(pauses.take()).await;
        }
    }
}
