//! The plan in short: what may be told to anyone who may read the API. Settings of plugins are left
//! out, because secrets are among them.

use std::path::PathBuf;
use std::sync::Arc;

use dpipe_config::plan::{Consumer, Plan, Producer, TenantSource, WhenFull};
use dpipe_engine::Role;
use serde::Serialize;

/// A plan in short.
#[derive(Clone, Debug, Serialize)]
pub struct Outline {
    /// The configuration's file.
    pub config: PathBuf,
    /// Where dpipe keeps its own files.
    pub data_dir: PathBuf,
    /// Workers that decode and filter; 0 is one per processor.
    pub lanes: usize,
    /// The most raw bytes between inputs and outputs.
    pub bytes_in_flight_max: u64,
    /// The longest line.
    pub line_bytes_max: u64,
    /// Dead letters kept per tenant.
    pub dead_bytes_max: u64,
    /// Tenants that may be taken from paths.
    pub tenants_max: usize,
    /// The configured nodes.
    pub nodes: Vec<NodeOutline>,
    /// The tags, and who takes them.
    pub tags: Vec<TagOutline>,
    /// The tenants that the configuration names.
    pub tenants: Vec<Arc<str>>,
}

/// A node in short.
#[derive(Clone, Debug, Serialize)]
pub struct NodeOutline {
    /// Its name.
    pub node: Arc<str>,
    /// What it is.
    pub role: Role,
    /// The plugins in it: the input's, the steps' in order, or the output's.
    pub plugins: Vec<&'static str>,
    /// The decoder of an input, or the encoder of an output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<&'static str>,
    /// Whose events an input reads; `from path` if their files' paths say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// Raw bytes that may wait in front of an output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_bytes_max: Option<u64>,
    /// What an output does when they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_full: Option<&'static str>,
}

/// A tag in short.
#[derive(Clone, Debug, Serialize)]
pub struct TagOutline {
    /// The tag.
    pub tag: Arc<str>,
    /// The node that publishes it.
    pub from: Arc<str>,
    /// The nodes that take it; none for a tag that ends as unmatched.
    pub to: Vec<Arc<str>>,
}

impl Outline {
    /// The outline of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Outline {
        let inputs = plan.inputs.iter().map(|input| NodeOutline {
            codec: Some(input.decoder_plugin),
            tenant: Some(match &input.tenant {
                TenantSource::Named(name) => name.clone(),
                TenantSource::FromPath(_) => "from path".into(),
            }),
            ..NodeOutline::new(&input.name, Role::Input, vec![input.plugin])
        });
        let filters = plan.filters.iter().map(|filter| {
            let steps = filter.steps.iter().map(|step| step.plugin).collect();
            NodeOutline::new(&filter.name, Role::Filter, steps)
        });
        let outputs = plan.outputs.iter().map(|output| NodeOutline {
            codec: output.encoder.as_ref().map(|encoder| encoder.plugin),
            buffer_bytes_max: Some(output.buffer.memory.bytes()),
            when_full: Some(match output.buffer.when_full {
                WhenFull::Block => "block",
                WhenFull::DropOldest => "drop_oldest",
            }),
            ..NodeOutline::new(&output.name, Role::Output, vec![output.plugin])
        });
        let tags = plan.tags.iter().map(|tag| TagOutline {
            tag: tag.name.clone(),
            from: match tag.producer {
                Producer::Input(input) => plan.inputs[input].name.clone(),
                Producer::Filter(filter, _) => plan.filters[filter].name.clone(),
            },
            to: tag.consumers.iter().map(|consumer| consumer_name(plan, *consumer)).collect(),
        });
        Outline {
            config: plan.file.clone(),
            data_dir: plan.data_dir.clone(),
            lanes: plan.limits.lanes,
            bytes_in_flight_max: plan.limits.bytes_in_flight.bytes(),
            line_bytes_max: plan.limits.line_bytes.bytes(),
            dead_bytes_max: plan.limits.dead_bytes.bytes(),
            tenants_max: plan.limits.tenants_max,
            nodes: inputs.chain(filters).chain(outputs).collect(),
            tags: tags.collect(),
            tenants: plan.tenants.iter().map(|tenant| tenant.name.clone()).collect(),
        }
    }
}

impl NodeOutline {
    fn new(node: &Arc<str>, role: Role, plugins: Vec<&'static str>) -> Self {
        NodeOutline {
            node: node.clone(),
            role,
            plugins,
            codec: None,
            tenant: None,
            buffer_bytes_max: None,
            when_full: None,
        }
    }
}

fn consumer_name(plan: &Plan, consumer: Consumer) -> Arc<str> {
    match consumer {
        Consumer::Filter(filter) => plan.filters[filter].name.clone(),
        Consumer::Output(output) => plan.outputs[output].name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dpipe_config::plan::{Api, FilterPlan, Limits, TagPlan};

    #[test]
    fn an_outline_names_nodes_instead_of_numbering_them() {
        let filter = |name: &str| FilterPlan {
            name: name.into(),
            steps: Vec::new(),
            publishes: vec![name.into()],
        };
        let tag = |name: &str, number, consumers| TagPlan {
            name: name.into(),
            producer: Producer::Filter(number, 0),
            consumers,
        };
        let plan = Plan {
            file: "a.yaml".into(),
            config_dir: ".".into(),
            data_dir: "data".into(),
            api: Api::default(),
            limits: Limits::default(),
            tenants: Vec::new(),
            inputs: Vec::new(),
            filters: vec![filter("one"), filter("two")],
            outputs: Vec::new(),
            tags: vec![tag("one", 0, vec![Consumer::Filter(1)]), tag("two", 1, Vec::new())],
            secrets: Default::default(),
        };
        let outline = serde_json::to_value(Outline::of(&plan)).unwrap();
        assert_eq!(
            outline["nodes"],
            serde_json::json!([
                { "node": "one", "role": "filter", "plugins": [] },
                { "node": "two", "role": "filter", "plugins": [] },
            ])
        );
        assert_eq!(
            outline["tags"],
            serde_json::json!([
                { "tag": "one", "from": "one", "to": ["two"] },
                { "tag": "two", "from": "two", "to": [] },
            ])
        );
    }
}
