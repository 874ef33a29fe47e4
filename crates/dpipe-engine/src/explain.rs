//! What happens to one line: the event after every step, and who takes it. Nothing is delivered.

use std::sync::Arc;

use dpipe_config::plan::{DEFAULT_TENANT, Plan, Producer, TenantSource};
use dpipe_env::Env;
use dpipe_event::{Batch, Buffer, Builder, Origin, StreamId, Timestamp, logfile_name};
use dpipe_plugin::{Chunk, Cut};

use crate::core::Core;
use crate::dead::DeadOffice;
use crate::door::tenant_in_path;
use crate::engine::StartError;
use crate::lane::Lane;

/// The way of one line through the pipeline.
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
        /// The tag it is published under.
        tag: Arc<str>,
        /// Its metadata, by name, as text.
        metadata: Vec<(&'static str, String)>,
        /// Its body as JSON.
        body: String,
    },
    /// The codec refused it: it would be a dead letter.
    Refused {
        /// Why.
        reason: String,
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
    },
    /// It was published under a tag.
    Published {
        /// The tag.
        tag: Arc<str>,
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
    /// The event's body now.
    Changed(String),
    /// The event goes on under the step's own tags.
    Routed,
    /// The event ends here, for this reason.
    Removed(String),
    /// The event would be a dead letter, for this reason.
    Refused(String),
}

/// Why a line could not be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is no input of this name.
    #[error("no input publishes the tag `{tag}`; there is {known}")]
    UnknownTag {
        /// What was asked for.
        tag: String,
        /// What there is.
        known: String,
    },
    /// The plan cannot be built.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Follows one line, as it would come from `file`, from the input that publishes `tag`.
///
/// # Errors
/// If there is no such input, or a plugin lacks what it needs.
pub fn explain(
    plan: Plan,
    env: Arc<dyn Env>,
    tag: &str,
    line: &[u8],
    file: &str,
) -> Result<Explanation, ExplainError> {
    let found = plan.tags.iter().find_map(|candidate| match candidate.producer {
        Producer::Input(input) if *candidate.name == *tag => Some(input),
        _ => None,
    });
    let Some(input) = found else {
        let names: Vec<_> = plan.inputs.iter().map(|input| format!("`{}`", input.name)).collect();
        return Err(ExplainError::UnknownTag { tag: tag.into(), known: names.join(", ") });
    };
    let (dead, _clerk) = DeadOffice::new();
    let (stop, _) = dpipe_plugin::Shutdown::new();
    let core = Arc::new(Core::new(plan, env, dead, stop, 0));
    let fault = |(node, source)| StartError::Build { node, source };
    let lane = Lane::new(core.clone(), 0).map_err(fault)?;
    let input_plan = &core.plan.inputs[input];
    let decoder = input_plan.decoder.build(&core.build_context(&input_plan.name));
    let mut decoder = decoder.map_err(|source| fault((input_plan.name.clone(), source)))?;

    let now = Timestamp::from_millis(core.env.now_millis());
    let buffer = Buffer::from([line, b"\n"].concat());
    let end = buffer.len() as u64;
    let chunk = Chunk { buffer: buffer.clone(), offset: 0, end, cut: Cut::Lines };
    let mut builder = Builder::new();
    builder.begin(buffer, 0, now);
    let mut walk = Walk { core: core.clone(), lane, now, told: Explanation::default() };
    for frame in chunk.frames() {
        if let Err(error) = decoder.decode(&frame, &mut builder) {
            walk.told.stages.push(Stage::Refused { reason: error.to_string() });
        }
    }
    let tenant = match &input_plan.tenant {
        TenantSource::Named(name) => name.clone(),
        TenantSource::FromPath(pattern) => {
            tenant_in_path(pattern, file).unwrap_or(DEFAULT_TENANT).into()
        }
    };
    let origin = Arc::new(Origin {
        tenant,
        input: input_plan.name.clone(),
        file: file.into(),
        logfile: logfile_name(file).into(),
        host: core.host.clone(),
        stream: StreamId::default(),
    });
    let number = core.route.input_tag(input);
    let batch = builder.finish(origin, core.route.tags[number].name.clone());
    for index in 0..batch.len() {
        let one = batch.one(index);
        walk.decoded(&one);
        walk.publish(number, one);
    }
    Ok(walk.told)
}

struct Walk {
    core: Arc<Core>,
    lane: Lane,
    now: Timestamp,
    told: Explanation,
}

impl Walk {
    fn decoded(&mut self, batch: &Batch) {
        let event = batch.get(0);
        let text = |value: dpipe_event::Value<'_>| {
            let mut out = Vec::new();
            value.write_text(&mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        let metadata = dpipe_event::Meta::ALL.into_iter().filter_map(|meta| {
            let shown = match meta {
                dpipe_event::Meta::Time => event.time().to_string(),
                dpipe_event::Meta::Received => event.received().to_string(),
                _ => text(event.meta(meta)?),
            };
            Some((meta.name(), shown))
        });
        let metadata = metadata.collect();
        self.told.stages.push(Stage::Decoded {
            tag: batch.tag().clone(),
            metadata,
            body: body(batch),
        });
    }

    fn publish(&mut self, tag: usize, mut batch: Batch) {
        let core = self.core.clone();
        let route = &core.route.tags[tag];
        batch.set_tag(route.name.clone());
        self.told.stages.push(Stage::Published {
            tag: route.name.clone(),
            outputs: route.outputs.iter().map(|&o| core.plan.outputs[o].name.clone()).collect(),
            filters: route.filters.iter().map(|&f| core.plan.filters[f].name.clone()).collect(),
        });
        for &filter in &route.filters {
            self.filter(filter, batch.clone());
        }
    }

    fn filter(&mut self, number: usize, mut batch: Batch) {
        let core = self.core.clone();
        let plan = &core.plan.filters[number];
        let (steps, context) = self.lane.filters_mut()[number].parts();
        context.now = self.now;
        let mut published = Vec::new();
        for (index, live) in steps.iter_mut().enumerate() {
            let before = body(&batch);
            let selected =
                live.when.as_ref().is_none_or(|when| batch.iter().all(|e| when.matches(&e)));
            live.run(&mut batch, context);
            let routed = !context.published.is_empty();
            published.append(&mut context.published);
            let effect = if routed {
                Effect::Routed
            } else if let Some(refused) = context.refused.pop() {
                Effect::Refused(refused.reason)
            } else if batch.is_empty() {
                let reason = context.filtered.last().map_or("removed", |(reason, _)| reason);
                Effect::Removed(reason.to_owned())
            } else if !selected {
                Effect::NotSelected
            } else if body(&batch) == before {
                Effect::Unchanged
            } else {
                Effect::Changed(body(&batch))
            };
            context.filtered.clear();
            context.flagged.clear();
            context.refused.clear();
            context.born = 0;
            self.told.stages.push(Stage::Step {
                filter: plan.name.clone(),
                step: plan.steps[index].plugin,
                number: index + 1,
                effect,
            });
            if batch.is_empty() {
                break;
            }
        }
        if !batch.is_empty() {
            published.push((0, batch));
        }
        for (port, batch) in published {
            self.publish(core.route.filter_tag(number, port), batch);
        }
    }
}

/// The event, or a line for each of those that it was split into.
fn body(batch: &Batch) -> String {
    let mut out = Vec::new();
    for (index, event) in batch.iter().enumerate() {
        if index > 0 {
            out.push(b'\n');
        }
        event.write_json(&mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}
