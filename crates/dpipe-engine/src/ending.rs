//! How a run ends: inputs stop, lanes drain, outputs flush and close. Each has until the end of the
//! grace; what has not arrived by then is abandoned, counted, and read again at the next start.
//!
//! An input returns when what it sent has arrived and its checkpoints are saved, so lanes and outputs
//! work on until then, and outputs flush what they hold as soon as nothing more waits for them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dpipe_plugin::Ended;
use tokio::task::JoinError;
use tokio::time::{Instant, timeout, timeout_at};

use crate::books::Role;
use crate::engine::{Engine, Report};
use crate::left::{Left, Undelivered};
use crate::runner::RunnerEnd;

/// How long whoever is told that there is no more time has to stop.
const LAST_MOMENT: Duration = Duration::from_secs(2);

type TaskEnd<T> = Result<(usize, Result<T, String>), JoinError>;

impl Engine {
    /// Ends the run in order.
    pub(crate) async fn end(mut self) -> Report {
        self.core.stop.give();
        self.stop_runners.give();
        let closed = self.core.closed.load(Ordering::Acquire);
        // What waits for an output that nobody reads, or for a part that failed, never arrives:
        // inputs need not wait for it.
        let grace =
            if closed || !self.broken.is_empty() { Duration::ZERO } else { self.options.grace };
        let deadline = Instant::now() + grace;
        let inputs_ended = self.end_inputs(deadline).await;
        tracing::info!("the inputs have stopped, and their checkpoints are saved");
        let lanes_ended = self.end_lanes(deadline).await;
        // The other outputs can still deliver what they have.
        let deadline = if grace.is_zero() { Instant::now() + self.options.grace } else { deadline };
        let outputs_ended = self.end_outputs(deadline).await;
        let left = self.abandon_rest();
        let unwritten_letters = self.end_clerk(deadline).await;
        let undelivered = self.undelivered(&left);
        // What a part that failed had in hand is in nobody's hands now.
        let has_arrived = undelivered.is_empty() && self.broken.is_empty();
        let is_quiet = lanes_ended && outputs_ended && self.broken.is_empty();
        let ledger = if is_quiet { self.core.last_ledger(&left) } else { self.core.ledger() };
        Report {
            ledger,
            drained: inputs_ended && has_arrived && unwritten_letters == 0,
            undelivered,
            unwritten_letters,
            closed,
            failed: self.failed,
            broken: self.broken,
            elapsed: self.started.elapsed(),
        }
    }

    /// Waits until every input has returned; whether they did before they had to be told that there
    /// is no more time.
    async fn end_inputs(&mut self, deadline: Instant) -> bool {
        while let Ok(Some(ended)) = timeout_at(deadline, self.inputs.join_next()).await {
            self.note_input(ended);
        }
        if self.inputs.is_empty() {
            return true;
        }
        self.core.stop.abandon();
        let last_moment = Instant::now() + LAST_MOMENT;
        while let Ok(Some(ended)) = timeout_at(last_moment, self.inputs.join_next()).await {
            self.note_input(ended);
        }
        if !self.inputs.is_empty() {
            tracing::error!(inputs = self.inputs.len(), "not every input has stopped in time");
            self.inputs.abort_all();
            let all = async { while self.inputs.join_next().await.is_some() {} };
            let _ = timeout(LAST_MOMENT, all).await;
        }
        false
    }

    /// Waits until the lanes have worked on everything that was sent.
    async fn end_lanes(&mut self, deadline: Instant) -> bool {
        self.stop_lanes.give();
        let deadline = deadline.max(Instant::now() + LAST_MOMENT);
        while let Ok(Some(ended)) = timeout_at(deadline, self.lanes.join_next()).await {
            self.note_lane(ended, true);
        }
        let ended = self.lanes.is_empty();
        if ended {
            tracing::info!("the lanes have drained");
        } else {
            tracing::error!(
                "{} lanes are not done in time: a step takes too long",
                self.lanes.len()
            );
        }
        ended
    }

    /// Waits until the outputs have delivered everything, and are closed.
    async fn end_outputs(&mut self, deadline: Instant) -> bool {
        for queue in &self.core.queues {
            queue.close();
        }
        while let Ok(Some(ended)) = timeout_at(deadline, self.runners.join_next()).await {
            self.note_runner(ended, true);
        }
        if self.runners.is_empty() {
            tracing::info!("the outputs have flushed and closed");
            return true;
        }
        tracing::warn!(outputs = self.runners.len(), "not every output is done in time");
        self.stop_runners.abandon();
        let last_moment = Instant::now() + LAST_MOMENT;
        while let Ok(Some(ended)) = timeout_at(last_moment, self.runners.join_next()).await {
            self.note_runner(ended, true);
        }
        let ended = self.runners.is_empty();
        // One that does not even notice hangs in a call to the system. Nobody waits for it.
        self.runners.detach_all();
        ended
    }

    /// Gives up what has not arrived: its positions stay where they are.
    fn abandon_rest(&self) -> Vec<(usize, Vec<Left>)> {
        let core = &self.core;
        let mut left = Vec::new();
        for (number, queue) in core.queues.iter().enumerate() {
            left.push((core.numbers.output(number), queue.abandon()));
        }
        for rest in std::mem::take(&mut *core.rests.lock()) {
            left.push((core.numbers.filter(rest.filter), rest.abandon()));
        }
        left
    }

    /// Waits until the dead letters are on disk; returns how many are not.
    async fn end_clerk(&mut self, deadline: Instant) -> usize {
        if self.clerk_ended {
            return self.core.dead.depth().amount;
        }
        self.core.dead.close();
        let deadline = deadline.max(Instant::now() + LAST_MOMENT);
        let mut ended = timeout_at(deadline, &mut self.clerk).await;
        if ended.is_err() {
            tracing::error!("dead letters could not be written before the end");
            self.stop_clerk.abandon();
            ended = timeout(LAST_MOMENT, &mut self.clerk).await;
        }
        match ended {
            Ok(Ok(unwritten)) => unwritten,
            Ok(ended) => {
                self.note_clerk(ended);
                self.core.dead.depth().amount
            }
            Err(_) => self.core.dead.depth().amount,
        }
    }

    fn undelivered(&self, left: &[(usize, Vec<Left>)]) -> Vec<Undelivered> {
        let (core, plan) = (&self.core, &self.core.plan);
        let filters = plan.filters.iter().enumerate();
        let filters = filters.map(|(i, f)| (core.numbers.filter(i), &f.name, Role::Filter));
        let outputs = plan.outputs.iter().enumerate();
        let outputs = outputs.map(|(i, o)| (core.numbers.output(i), &o.name, Role::Output));
        let of = |(number, name, role): (usize, &Arc<str>, Role)| {
            let here = left.iter().filter(|(node, _)| *node == number);
            Undelivered::of(plan, name, role, here.flat_map(|(_, left)| left))
        };
        filters.chain(outputs).filter_map(of).collect()
    }

    pub(crate) fn note_input(&mut self, ended: TaskEnd<Option<Ended>>) {
        match ended {
            Ok((number, Ok(Some(how)))) => {
                let input = &*self.core.plan.inputs[number].name;
                tracing::info!(input, ?how, "the input has ended");
            }
            Ok((number, Ok(None))) => self.failed.push(self.core.plan.inputs[number].name.clone()),
            Ok((number, Err(panic))) => {
                let name = self.core.plan.inputs[number].name.clone();
                self.broke(format!("what watches over the input `{name}` panicked: {panic}"));
            }
            Err(error) => self.broke(format!("what watches over an input failed: {error}")),
        }
    }

    pub(crate) fn note_lane(&mut self, ended: TaskEnd<()>, is_time: bool) {
        match ended {
            Ok((_, Ok(()))) if is_time => {}
            Ok((number, Ok(()))) => self.broke(format!("lane {number} ended before its time")),
            Ok((number, Err(panic))) => self.broke(format!("lane {number} panicked: {panic}")),
            Err(error) => self.broke(format!("a lane failed: {error}")),
        }
    }

    pub(crate) fn note_runner(&mut self, ended: TaskEnd<RunnerEnd>, is_time: bool) {
        let name = |number: usize| self.core.plan.outputs[number].name.clone();
        match ended {
            Ok((_, Ok(RunnerEnd::Closed))) => {}
            Ok((_, Ok(_))) if is_time => {}
            Ok((number, Ok(_))) => {
                let name = name(number);
                self.broke(format!("the runner of the output `{name}` ended before its time"));
            }
            Ok((number, Err(panic))) => {
                let name = name(number);
                self.broke(format!("the runner of the output `{name}` panicked: {panic}"));
            }
            Err(error) => self.broke(format!("the runner of an output failed: {error}")),
        }
    }

    pub(crate) fn note_clerk(&mut self, ended: Result<usize, JoinError>) {
        self.clerk_ended = true;
        self.broke(match ended {
            Ok(_) => "the clerk of the dead letters ended before its time".into(),
            Err(error) => format!("the clerk of the dead letters failed: {error}"),
        });
    }

    /// Something that nobody can mend: the run ends.
    fn broke(&mut self, what: String) {
        tracing::error!("{what}; dpipe stops");
        self.broken.push(what);
    }
}
