//! A filter at run time: its steps on one lane, and what happens when one of them panics.

use dpipe_event::{Batch, Selection, Timestamp};
use dpipe_plugin::{BuildContext, BuildError, Condition, Refused, Step, StepContext};

use crate::books::{Tally, count};
use crate::core::Core;
use crate::dead::Letter;
use crate::panics::catch;

/// The steps of a filter on one lane.
pub(crate) struct LiveFilter {
    number: usize,
    steps: Vec<LiveStep>,
    context: StepContext,
}

pub(crate) struct LiveStep {
    pub(crate) step: Box<dyn Step>,
    pub(crate) when: Option<Condition>,
}

/// What a filter made of a batch.
#[derive(Default)]
pub(crate) struct Filtered {
    /// Batches to publish, by port.
    pub(crate) published: Vec<(usize, Batch)>,
    pub(crate) filtered: Tally,
    pub(crate) dead: Tally,
    pub(crate) flagged: Tally,
    pub(crate) letters: Vec<Letter>,
}

impl LiveFilter {
    pub(crate) fn build(core: &Core, number: usize) -> Result<Self, BuildError> {
        let plan = &core.plan.filters[number];
        let name = &plan.name;
        let build = |(step, plan): (usize, &dpipe_config::plan::StepPlan)| {
            let decoder = plan.decoder.as_deref();
            let context = BuildContext { step, decoder, ..core.build_context(name) };
            Ok(LiveStep { step: plan.spec.build(&context)?, when: plan.when.clone() })
        };
        let steps = plan.steps.iter().enumerate().map(build).collect::<Result<_, BuildError>>()?;
        Ok(LiveFilter { number, steps, context: StepContext::default() })
    }

    /// Runs the steps over a batch. If one panics, the batch as it was is run again event by event:
    /// the culprit becomes a dead letter, the rest go on.
    pub(crate) fn run(&mut self, core: &Core, batch: Batch, now: Timestamp) -> Filtered {
        let mut done = Filtered::default();
        // Edits are recorded beside the shared bytes, so this copies the list of events, no more.
        let before = batch.clone();
        self.context.now = now;
        match catch(|| run_steps(&mut self.steps, batch, &mut self.context)) {
            Ok(rest) => self.collect(core, rest, &mut done),
            Err(panic) => {
                let name = &core.plan.filters[self.number].name;
                core.panicked("step", name, &panic);
                self.rebuild(core);
                for index in 0..before.len() {
                    let one = before.one(index);
                    match catch(|| run_steps(&mut self.steps, one, &mut self.context)) {
                        Ok(rest) => self.collect(core, rest, &mut done),
                        Err(panic) => {
                            count(&mut done.dead, "panic", 1);
                            let reason = format!("a step panicked: {panic}");
                            done.letters.push(Letter::of(&before, index, name, reason, now));
                            self.rebuild(core);
                        }
                    }
                }
            }
        }
        done
    }

    /// Takes what the steps left in the context, and the batch that came out at the end.
    fn collect(&mut self, core: &Core, rest: Batch, done: &mut Filtered) {
        done.published.append(&mut self.context.published);
        // A step with ports publishes everything by them; what is left is of a filter without.
        if !rest.is_empty() {
            done.published.push((0, rest));
        }
        for (reason, n) in self.context.filtered.drain(..) {
            count(&mut done.filtered, reason, n);
        }
        for (what, n) in self.context.flagged.drain(..) {
            count(&mut done.flagged, what, n);
        }
        let name = &core.plan.filters[self.number].name;
        let now = self.context.now;
        for Refused { events, kind, reason } in self.context.refused.drain(..) {
            count(&mut done.dead, kind, events.len() as u64);
            let letter = |index| Letter::of(&events, index, name, reason.clone(), now);
            done.letters.extend((0..events.len()).map(letter));
        }
        self.pass_on_complaints(core);
    }

    fn pass_on_complaints(&mut self, core: &Core) {
        let filter = &*core.plan.filters[self.number].name;
        for complaint in self.context.complaints.drain(..) {
            tracing::warn!(filter, "{complaint}");
        }
    }

    /// A step that panicked may be half changed: all of them are built anew.
    fn rebuild(&mut self, core: &Core) {
        core.restarted();
        self.context = StepContext { now: self.context.now, ..StepContext::default() };
        match LiveFilter::build(core, self.number) {
            Ok(fresh) => self.steps = fresh.steps,
            Err(error) => {
                let filter = &*core.plan.filters[self.number].name;
                tracing::error!(filter, %error, "the steps cannot be built anew; the old ones go on");
            }
        }
    }

    pub(crate) fn tick(&mut self, core: &Core) {
        self.context.now = Timestamp::from_millis(core.env.now_millis());
        for live in &mut self.steps {
            if let Err(panic) = catch(|| live.step.tick(&mut self.context)) {
                core.panicked("step", &core.plan.filters[self.number].name, &panic);
            }
        }
        self.pass_on_complaints(core);
    }

    pub(crate) fn close(&mut self, core: &Core) {
        for live in &mut self.steps {
            if let Err(panic) = catch(|| live.step.close(&mut self.context)) {
                core.panicked("step", &core.plan.filters[self.number].name, &panic);
            }
        }
        self.pass_on_complaints(core);
    }

    /// The steps and their context, for `explain`.
    pub(crate) fn parts(&mut self) -> (&mut [LiveStep], &mut StepContext) {
        (&mut self.steps, &mut self.context)
    }
}

fn run_steps(steps: &mut [LiveStep], mut batch: Batch, context: &mut StepContext) -> Batch {
    for live in steps {
        if batch.is_empty() {
            break;
        }
        live.run(&mut batch, context);
    }
    batch
}

impl LiveStep {
    pub(crate) fn run(&mut self, batch: &mut Batch, context: &mut StepContext) {
        let selection = match &self.when {
            None => Selection::All,
            Some(when) => Selection::of(batch, |event| when.matches(event)),
        };
        self.step.run(batch, &selection, context);
    }
}
