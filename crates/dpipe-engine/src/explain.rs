//! What happens to lines: each event after every step, what the step costs, and who takes it.
//! Nothing is delivered.

mod cost;
mod diff;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use dpipe_config::plan::{Plan, Producer};
use dpipe_env::Env;
use dpipe_event::{
    Batch, Buffer, Builder, EventRef, Origin, Selection, StreamId, Timestamp, logfile_name,
};
use dpipe_plugin::{Chunk, Cut, Decoder};

pub use diff::Change;

use crate::core::Core;
use crate::dead::DeadOffice;
use crate::engine::StartError;
use crate::lane::Lane;
use crate::panics::catch;
use diff::Snapshot;

/// The way of one line, or of lines that `multiline:` joins, through the pipeline.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// What happened, in order.
    pub stages: Vec<Stage>,
}

/// One thing that happened to the line.
#[derive(Clone, Debug)]
pub enum Stage {
    /// The codec made an event of it.
    Decoded {
        /// The input whose codec that is.
        input: Arc<str>,
        /// The codec.
        codec: &'static str,
        /// The tag it is published under.
        tag: Arc<str>,
        /// Its metadata, by name, as text.
        metadata: Vec<(&'static str, String)>,
        /// Its body as JSON.
        body: String,
        /// What was odd about it.
        flagged: Vec<&'static str>,
        /// What decoding costs.
        cost: Option<Duration>,
    },
    /// The codec refused it: it would be a dead letter.
    Refused {
        /// Why.
        reason: String,
    },
    /// The input takes the tenant from the path, and this path names none: the file is left out.
    NoTenant {
        /// The path.
        file: String,
        /// The pattern that it does not match.
        pattern: String,
    },
    /// A step acted on it, or would have.
    Step {
        /// The filter.
        filter: Arc<str>,
        /// The step.
        step: &'static str,
        /// Its number in the filter, from 1.
        number: usize,
        /// What came of it.
        effect: Effect,
        /// What was odd about the event.
        flagged: Vec<&'static str>,
        /// What the step costs for one event like this, its condition included.
        cost: Option<Duration>,
    },
    /// What follows is about one of the events that it was split into.
    Part {
        /// Which one, from 1.
        number: usize,
        /// Of so many.
        of: usize,
    },
    /// It was published under a tag.
    Published {
        /// The tag.
        tag: Arc<str>,
        /// The body as it is now, as JSON, if it went through a filter.
        body: Option<String>,
        /// The outputs that take it.
        outputs: Vec<Arc<str>>,
        /// The filters that take it.
        filters: Vec<Arc<str>>,
    },
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Its condition does not hold.
    NotSelected,
    /// The event is as it was.
    Unchanged,
    /// What is different about the event.
    Changed(Vec<Change>),
    /// The event became several: their bodies, as JSON.
    Split(Vec<String>),
    /// The event goes on under the step's own tags.
    Routed,
    /// The event ends here, for this reason.
    Removed(String),
    /// The event would be a dead letter, for this reason.
    Refused(String),
}

/// Why lines could not be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is no such tag.
    #[error("nothing publishes the tag `{tag}`; there is {known}")]
    UnknownTag {
        /// What was asked for.
        tag: String,
        /// What there is.
        known: String,
    },
    /// No input's events come to the tag.
    #[error("no input reaches the tag `{0}`")]
    Unreached(String),
    /// The plan cannot be built.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Follows lines, as they would come from `file`, from whoever publishes `tag`: an input, or a
/// filter, for which they are read by the codec of an input before it.
///
/// # Errors
/// If there is no such tag, or a plugin lacks what it needs.
pub fn explain(
    plan: Plan,
    env: Arc<dyn Env>,
    tag: &str,
    lines: &[u8],
    file: &str,
) -> Result<Vec<Explanation>, ExplainError> {
    let Some(number) = plan.tags.iter().position(|candidate| *candidate.name == *tag) else {
        let names: Vec<_> = plan.tags.iter().map(|tag| format!("`{}`", tag.name)).collect();
        return Err(ExplainError::UnknownTag { tag: tag.into(), known: names.join(", ") });
    };
    let input = match plan.tags[number].producer {
        Producer::Input(input) => input,
        Producer::Filter(..) => *plan
            .inputs_before(number)
            .first()
            .ok_or_else(|| ExplainError::Unreached(tag.to_owned()))?,
    };
    let (dead, _clerk) = DeadOffice::new();
    let (stop, _) = dpipe_plugin::Shutdown::new();
    let core = Arc::new(Core::new(plan, env, dead, stop, 0));
    // What cannot be built is said before there is a line.
    lane(&core)?;
    let input_plan = &core.plan.inputs[input];
    let Some(tenant) = input_plan.tenant.tenant_of(file) else {
        let pattern = input_plan.tenant.to_string();
        let stage = Stage::NoTenant { file: file.to_owned(), pattern };
        return Ok(vec![Explanation { stages: vec![stage] }]);
    };
    let origin = Arc::new(Origin {
        tenant: tenant.into(),
        input: input_plan.name.clone(),
        file: file.into(),
        logfile: logfile_name(file).into(),
        host: core.host.clone(),
        stream: StreamId::default(),
    });
    let mut reader = Reader {
        decoder: decoder(&core, input)?,
        probe: decoder(&core, input)?,
        core: core.clone(),
        input,
        tag: number,
        origin,
        now: Timestamp::from_millis(core.env.now_millis()),
        builder: Builder::new(),
    };
    let chunk = chunk(&core, input, lines);
    let mut explanations = Vec::new();
    for frame in chunk.frames().filter(|frame| !frame.bytes.is_empty()) {
        explanations.push(reader.explain(frame.bytes)?);
    }
    Ok(explanations)
}

fn lane(core: &Arc<Core>) -> Result<Lane, StartError> {
    Lane::new(core.clone(), 0).map_err(|(node, source)| StartError::Build { node, source })
}

fn decoder(core: &Core, input: usize) -> Result<Box<dyn Decoder>, StartError> {
    let plan = &core.plan.inputs[input];
    let built = plan.decoder.build(&core.build_context(&plan.name));
    built.map_err(|error| StartError::of(&plan.name, error, &plan.written))
}

/// The lines as the input would cut and join them.
fn chunk(core: &Core, input: usize, lines: &[u8]) -> Chunk {
    let cut = match &core.plan.inputs[input].multiline {
        None => Cut::Lines,
        Some(multiline) => {
            let bytes_max = core.plan.limits.line_bytes.bytes() as usize;
            let mut parts = Vec::new();
            multiline.cut(lines, 0, bytes_max, true, &mut parts);
            Cut::Parts(parts.into())
        }
    };
    Chunk { buffer: Buffer::from(lines.to_vec()), offset: 0, end: lines.len() as u64, cut }
}

/// Reads frames as the input's stream would.
struct Reader {
    core: Arc<Core>,
    input: usize,
    tag: usize,
    origin: Arc<Origin>,
    now: Timestamp,
    builder: Builder,
    decoder: Box<dyn Decoder>,
    /// Sees the same frames, and then copies of each.
    probe: Box<dyn Decoder>,
}

impl Reader {
    fn explain(&mut self, bytes: &[u8]) -> Result<Explanation, ExplainError> {
        let (core, tag) = (self.core.clone(), &self.core.route.tags[self.tag].name);
        let buffer = Buffer::from([bytes, b"\n"].concat());
        let whole = buffer.len() - 1;
        let frame = dpipe_event::Frame { bytes: &buffer[..whole], start: 0, original_len: whole };
        let mut told = Explanation::default();
        self.builder.begin(buffer.clone(), 0, self.now);
        let decoded = catch(|| self.decoder.decode(&frame, &mut self.builder));
        let refused = match decoded {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(format!("the codec panicked: {panic}")),
        };
        told.stages.extend(refused.map(|reason| Stage::Refused { reason }));
        let flagged = self.builder.flagged().iter().map(|(what, _)| *what).collect();
        let batch = self.builder.finish(self.origin.clone(), tag.clone());

        let mut unused = Builder::new();
        unused.begin(buffer.clone(), 0, self.now);
        let _ = catch(|| self.probe.decode(&frame, &mut unused));
        let measured = match batch.len() {
            1 => cost::decode(&mut *self.probe, frame.bytes, self.now),
            _ => None,
        };
        let (crowd, cost) = match measured {
            Some((mut builder, cost)) => {
                (Some(builder.finish(self.origin.clone(), tag.clone())), Some(cost))
            }
            None => (None, None),
        };

        // Each gets steps of its own: what one leaves behind must not explain the next.
        let (lane, probe) = (lane(&core)?, lane(&core)?);
        let mut walk = Walk { core, lane, probe, now: self.now, told };
        for index in 0..batch.len() {
            let one = batch.one(index);
            let Snapshot { metadata, body } = Snapshot::of(&one.get(0));
            let input = &self.core.plan.inputs[self.input];
            walk.told.stages.push(Stage::Decoded {
                input: input.name.clone(),
                codec: input.decoder_plugin,
                tag: tag.clone(),
                metadata,
                body,
                flagged: Vec::clone(&flagged),
                cost,
            });
            let crowd = crowd.clone().filter(|crowd| !crowd.is_empty());
            let crowd = crowd.unwrap_or_else(|| one.clone());
            walk.publish(self.tag, one, crowd, false);
        }
        Ok(walk.told)
    }
}

/// An event on its way, and beside it a crowd of its like that the costs are measured on.
struct Walk {
    core: Arc<Core>,
    lane: Lane,
    probe: Lane,
    now: Timestamp,
    told: Explanation,
}

impl Walk {
    fn publish(&mut self, tag: usize, mut batch: Batch, mut crowd: Batch, is_filtered: bool) {
        let core = self.core.clone();
        let route = &core.route.tags[tag];
        batch.set_tag(route.name.clone());
        crowd.set_tag(route.name.clone());
        self.told.stages.push(Stage::Published {
            tag: route.name.clone(),
            body: is_filtered.then(|| Snapshot::of(&batch.get(0)).body),
            outputs: route.outputs.iter().map(|&o| core.plan.outputs[o].name.clone()).collect(),
            filters: route.filters.iter().map(|&f| core.plan.filters[f].name.clone()).collect(),
        });
        for &filter in &route.filters {
            self.filter(filter, batch.clone(), crowd.clone());
        }
    }

    fn filter(&mut self, number: usize, batch: Batch, crowd: Batch) {
        for (port, batch, crowd) in self.steps(number, 0, batch, crowd) {
            self.publish(self.core.route.filter_tag(number, port), batch, crowd, true);
        }
    }

    /// Runs the steps of a filter from one on; what is to be published, by port.
    fn steps(
        &mut self,
        number: usize,
        first: usize,
        mut batch: Batch,
        mut crowd: Batch,
    ) -> Vec<(usize, Batch, Batch)> {
        let core = self.core.clone();
        let plan = &core.plan.filters[number];
        let mut published = Vec::new();
        for index in first..plan.steps.len() {
            let (steps, context) = self.lane.filters_mut()[number].parts();
            let (probes, probed) = self.probe.filters_mut()[number].parts();
            (context.now, probed.now) = (self.now, self.now);
            let (live, probe) = (&mut steps[index], &mut probes[index]);
            let before = Snapshot::of(&batch.get(0));
            let selected =
                live.when.as_ref().is_none_or(|when| batch.iter().all(|e| when.matches(&e)));
            let ran = catch(|| live.run(&mut batch, context));
            let cost = match &ran {
                Ok(()) if !plan.steps[index].spec.reaches_outside() => {
                    cost::run(probe, &mut crowd, probed)
                }
                _ => {
                    crowd = batch.clone();
                    None
                }
            };
            for (port, batch) in context.published.drain(..) {
                let like = probed.published.iter().position(|(other, _)| *other == port);
                let crowd = like.map_or_else(|| batch.clone(), |at| probed.published.remove(at).1);
                published.push((port, batch, crowd));
            }
            probed.published.clear();
            let panicked = ran.is_err();
            let effect = if let Err(panic) = ran {
                Effect::Refused(format!("the step panicked: {panic}"))
            } else if !published.is_empty() {
                Effect::Routed
            } else if let Some(refused) = context.refused.pop() {
                Effect::Refused(refused.reason)
            } else if batch.is_empty() {
                let reason = context.filtered.last().map_or("removed", |(reason, _)| reason);
                Effect::Removed(reason.to_owned())
            } else if batch.len() > 1 {
                Effect::Split(batch.iter().map(|event| Snapshot::of(&event).body).collect())
            } else if !selected {
                Effect::NotSelected
            } else {
                match before.changes(&Snapshot::of(&batch.get(0))) {
                    changes if changes.is_empty() => Effect::Unchanged,
                    changes => Effect::Changed(changes),
                }
            };
            let flagged = context.flagged.drain(..).map(|(what, _)| what).collect();
            context.filtered.clear();
            context.refused.clear();
            context.complaints.clear();
            context.born = 0;
            self.told.stages.push(Stage::Step {
                filter: plan.name.clone(),
                step: plan.steps[index].plugin,
                number: index + 1,
                effect,
                flagged,
                cost,
            });
            if panicked || batch.is_empty() {
                return published;
            }
            let of = batch.len();
            if of > 1 {
                for part in 0..of {
                    self.told.stages.push(Stage::Part { number: part + 1, of });
                    let one = batch.one(part);
                    let like = every(&mut crowd.clone(), of, part);
                    let crowd = if like.is_empty() { one.clone() } else { like };
                    for (port, batch, crowd) in self.steps(number, index + 1, one, crowd) {
                        self.publish(core.route.filter_tag(number, port), batch, crowd, true);
                    }
                }
                return published;
            }
            if crowd.is_empty() {
                crowd = batch.clone();
            }
        }
        published.push((0, batch, crowd));
        published
    }
}

/// Every `step`th event of a batch, from `first` on.
fn every(batch: &mut Batch, step: usize, first: usize) -> Batch {
    let at = Cell::new(0);
    let is_meant = |_: &EventRef<'_>| at.replace(at.get() + 1) % step == first;
    let meant = Selection::of(batch, is_meant);
    batch.take(&meant)
}
