//! A filter at run time: its steps on one lane, and what happens when one of them panics.

use std::sync::Arc;

use dpipe_event::{Batch, Selection, Timestamp};
use dpipe_plugin::{BuildContext, BuildError, Condition, Refused, Step, StepContext};

use crate::backoff::CONDEMNED_AT_ONCE;
use crate::books::{Tally, count};
use crate::core::Core;
use crate::dead::Letter;
use crate::panics::{build, catch};

/// The steps of a filter on one lane.
pub(crate) struct LiveFilter {
    number: usize,
    steps: Vec<LiveStep>,
    context: StepContext,
    /// Of tenants whose last event panicked: how many did so in a row. Almost always empty.
    panics_in_a_row: Vec<(Arc<str>, u32)>,
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
    pub(crate) born: u64,
    pub(crate) filtered: Tally,
    pub(crate) dead: Tally,
    pub(crate) flagged: Tally,
    pub(crate) letters: Vec<Letter>,
    /// What was not run, because its first event panics and so did those before it; and the panic.
    pub(crate) stuck: Option<(Batch, String)>,
    /// Whether events were run one by one, and one of them well.
    pub(crate) moved: bool,
}

impl LiveFilter {
    pub(crate) fn build(core: &Core, number: usize) -> Result<Self, BuildError> {
        let plan = &core.plan.filters[number];
        let name = &plan.name;
        let build = |(step, plan): (usize, &dpipe_config::plan::StepPlan)| {
            let decoder = plan.decoder.as_deref();
            let context = BuildContext { step, decoder, ..core.build_context(name) };
            let built = plan.spec.build(&context).map_err(|error| error.placed(&plan.written))?;
            Ok(LiveStep { step: built, when: plan.when.clone() })
        };
        let steps = plan.steps.iter().enumerate().map(build).collect::<Result<_, BuildError>>()?;
        let panics_in_a_row = Vec::new();
        Ok(LiveFilter { number, steps, context: StepContext::default(), panics_in_a_row })
    }

    /// Runs the steps over a batch. If one panics, the batch as it was is run again event by event:
    /// the culprit becomes a dead letter, the rest go on. After too many culprits in a row, the rest
    /// is left for later; `is_last_chance` condemns one more.
    pub(crate) fn run(
        &mut self,
        core: &Core,
        batch: Batch,
        now: Timestamp,
        is_last_chance: bool,
    ) -> Filtered {
        let mut done = Filtered::default();
        // Edits are recorded beside the shared bytes, so this copies the list of events, no more.
        let before = batch.clone();
        self.context.now = now;
        match catch(|| run_steps(&mut self.steps, batch, &mut self.context)) {
            Ok(rest) => {
                if !self.panics_in_a_row.is_empty() {
                    self.forget_panics(&before.origin().tenant);
                }
                self.collect(core, rest, &mut done);
            }
            Err(panic) => {
                self.panicked(core, &panic);
                self.run_each(core, before, is_last_chance, &mut done);
            }
        }
        done
    }

    fn run_each(&mut self, core: &Core, all: Batch, is_last_chance: bool, done: &mut Filtered) {
        let name = &core.plan.filters[self.number].name;
        let tenant = all.origin().tenant.clone();
        let mut condemned_in_any_case = is_last_chance;
        for index in 0..all.len() {
            let one = all.one(index);
            let panic = match catch(|| run_steps(&mut self.steps, one, &mut self.context)) {
                Ok(rest) => {
                    done.moved = true;
                    self.forget_panics(&tenant);
                    self.collect(core, rest, done);
                    continue;
                }
                Err(panic) => panic,
            };
            self.panicked(core, &panic);
            if self.count_panic(&tenant) > CONDEMNED_AT_ONCE && !condemned_in_any_case {
                done.stuck = Some((all_from(all, index), panic));
                return;
            }
            condemned_in_any_case = false;
            count(&mut done.dead, "panic", 1);
            let why = ("panic", format!("a step panicked: {panic}"));
            done.letters.push(Letter::of(&all, index, name, why, self.context.now));
        }
    }

    /// Returns how many events of the tenant have panicked in a row.
    fn count_panic(&mut self, tenant: &Arc<str>) -> u32 {
        match self.panics_in_a_row.iter_mut().find(|(known, _)| known == tenant) {
            Some((_, times)) => {
                *times += 1;
                *times
            }
            None => {
                self.panics_in_a_row.push((tenant.clone(), 1));
                1
            }
        }
    }

    fn forget_panics(&mut self, tenant: &Arc<str>) {
        self.panics_in_a_row.retain(|(known, _)| known != tenant);
    }

    /// Takes what the steps left in the context, and the batch that came out at the end.
    fn collect(&mut self, core: &Core, rest: Batch, done: &mut Filtered) {
        done.published.append(&mut self.context.published);
        done.born += std::mem::take(&mut self.context.born);
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
            let letter = |index| Letter::of(&events, index, name, (kind, reason.clone()), now);
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
    fn panicked(&mut self, core: &Core, panic: &str) {
        let plan = &core.plan.filters[self.number];
        let node = core.numbers.filter(self.number);
        core.mending.panicked(node, "step", panic);
        core.mending.restarted(node);
        self.context = StepContext { now: self.context.now, ..StepContext::default() };
        // What plugins do when they are dropped is theirs too.
        match build(|| LiveFilter::build(core, self.number)) {
            Ok(mut fresh) => {
                std::mem::swap(&mut self.steps, &mut fresh.steps);
                let _ = catch(|| drop(fresh));
            }
            Err(error) => {
                let filter = &*plan.name;
                tracing::error!(
                    filter,
                    "the steps cannot be built anew, the old ones go on: {error}"
                );
            }
        }
    }

    pub(crate) fn tick(&mut self, core: &Core) {
        self.context.now = Timestamp::from_millis(core.env.now_millis());
        let (steps, context) = (&mut self.steps, &mut self.context);
        let ticked = catch(|| steps.iter_mut().for_each(|live| live.step.tick(context)));
        self.pass_on_complaints(core);
        if let Err(panic) = ticked {
            self.panicked(core, &panic);
        }
    }

    pub(crate) fn close(&mut self, core: &Core) {
        for live in &mut self.steps {
            if let Err(panic) = catch(|| live.step.close(&mut self.context)) {
                core.mending.panicked(core.numbers.filter(self.number), "step", &panic);
            }
        }
        self.pass_on_complaints(core);
    }

    /// The steps and their context, for `explain`.
    pub(crate) fn parts(&mut self) -> (&mut [LiveStep], &mut StepContext) {
        (&mut self.steps, &mut self.context)
    }
}

/// The events of a batch from one on.
fn all_from(mut batch: Batch, first: usize) -> Batch {
    let mut words = vec![u64::MAX; first / 64];
    words.resize(batch.len().div_ceil(64), 0);
    words[first / 64] |= (1 << (first % 64)) - 1;
    batch.discard(&Selection::Bits(words));
    batch
}

fn run_steps(steps: &mut [LiveStep], mut batch: Batch, context: &mut StepContext) -> Batch {
    #[cfg(feature = "mutants")]
    if crate::mutants::is("lose_in_step") && batch.len() > 1 {
        batch = batch.one(0);
    }
    #[cfg(feature = "mutants")]
    if crate::mutants::is("duplicate_batch") {
        context.published.push((0, batch.clone()));
    }
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
