//! The plan: what a configuration says once every name is resolved, every plugin's settings are
//! read and every mistake is found. Nothing here does I/O.

mod files;
mod listen;
mod nodes;
mod routes;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use crate::graph::{Graph, GraphEdge, GraphKind, GraphNode, UnmatchedTag};
use dpipe_event::Path;
use dpipe_plugin::settings::{ByteSize, Node, Period, Problems, Secrets, read_all};
use dpipe_plugin::template::TenantSetting;
use dpipe_plugin::{
    Condition, DecoderSpec, EncoderSpec, InputSpec, Level, Multiline, OutputSpec, Registry,
    StepSpec,
};
use regex::bytes::Regex;
use serde::{Deserialize, Serialize};

pub use routes::{Consumer, Producer, TagPlan};

/// The tenant of everything that names none.
pub const DEFAULT_TENANT: &str = "default";

/// A checked configuration.
#[derive(Debug)]
pub struct Plan {
    /// The configuration's own file, for messages.
    pub file: PathBuf,
    /// The folder that relative paths start from.
    pub config_dir: PathBuf,
    /// Where dpipe keeps its own files.
    pub data_dir: PathBuf,
    /// The admin API.
    pub api: Api,
    /// What the process may use.
    pub limits: Limits,
    /// The tenants named in the configuration; tenants taken from paths join at run time.
    pub tenants: Vec<TenantPlan>,
    /// The inputs, in the order written.
    pub inputs: Vec<InputPlan>,
    /// The filters, in the order written.
    pub filters: Vec<FilterPlan>,
    /// The outputs, in the order written.
    pub outputs: Vec<OutputPlan>,
    /// Every tag and who takes it: the compiled route.
    pub tags: Vec<TagPlan>,
    /// What came out of the environment or of secret files, and is not to be shown.
    pub secrets: Secrets,
}

/// The `api:` section.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// The address that the admin API listens on; port 0 picks a free one. `off` turns it off.
    pub listen: String,
}

impl Default for Api {
    fn default() -> Self {
        Api { listen: "127.0.0.1:9876".into() }
    }
}

/// What the longest line can be: places within a chunk are 30 bits wide.
const LINE_BYTES: RangeInclusive<ByteSize> = ByteSize::new(1)..=ByteSize::mib(512);

/// The `limits:` section: what the process as a whole may use.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Workers that decode and filter; 0 is one per processor.
    pub lanes: usize,
    /// Raw bytes between inputs and outputs, all tenants together.
    pub bytes_in_flight: ByteSize,
    /// The longest line; what is longer is cut to this.
    pub line_bytes: ByteSize,
    /// Dead letters kept per tenant, in bytes on disk.
    pub dead_bytes: ByteSize,
    /// How many tenants may be taken from paths, beside those of the `tenants:` section. Files of
    /// more than these are left out.
    pub tenants_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            lanes: 0,
            bytes_in_flight: ByteSize::mib(12),
            line_bytes: ByteSize::mib(1),
            dead_bytes: ByteSize::mib(64),
            tenants_max: 10_000,
        }
    }
}

/// A tenant of the `tenants:` section.
#[derive(Clone, Debug)]
pub struct TenantPlan {
    /// Its name.
    pub name: Arc<str>,
    /// Its limits.
    pub limits: TenantLimits,
    /// What templates may read of it.
    pub settings: BTreeMap<TenantSetting, String>,
}

/// What a tenant may use.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantLimits {
    /// Events a second, over a while; 0 is without limit. Inputs wait when it is reached.
    pub events_per_second: u64,
    /// Raw bytes of this tenant between inputs and outputs; by default half of the process's.
    pub bytes_in_flight: Option<ByteSize>,
}

/// An entry of the `tenants:` section, as written.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TenantConfig {
    /// What the names of its indexes and files begin with, where a template has
    /// `{tenant.index_prefix}`; the tenant's name if it is left out.
    #[serde(deserialize_with = "nodes::index_prefix")]
    index_prefix: Option<String>,
    /// How long its events are to be kept, for templates: `{tenant.retention}`. Nothing is deleted
    /// by it yet.
    retention: Option<Period>,
    /// What the tenant may use.
    limits: TenantLimits,
}

/// Whose events an input reads.
#[derive(Clone, Debug)]
pub enum TenantSource {
    /// This tenant's.
    Named(Arc<str>),
    /// That of the file's path: the group `tenant` of the pattern.
    FromPath(Regex),
}

impl TenantSource {
    /// The tenant of what is read from a file; none if its path names none that could be one.
    #[must_use]
    pub fn tenant_of<'a>(&'a self, file: &'a str) -> Option<&'a str> {
        // A name is part of paths and labels; from a path it is whatever somebody called a folder.
        let is_name = |name: &&str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
        };
        match self {
            TenantSource::Named(name) => Some(name),
            TenantSource::FromPath(pattern) => {
                let name = pattern.captures(file.as_bytes())?.name("tenant")?;
                std::str::from_utf8(name.as_bytes()).ok().filter(is_name)
            }
        }
    }
}

/// The name, or the pattern.
impl fmt::Display for TenantSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TenantSource::Named(name) => f.write_str(name),
            TenantSource::FromPath(pattern) => f.write_str(pattern.as_str()),
        }
    }
}

/// A configured input.
#[derive(Debug)]
pub struct InputPlan {
    /// Its name, which is its tag.
    pub name: Arc<str>,
    /// Its plugin.
    pub plugin: &'static str,
    /// What the plugin made of its settings.
    pub spec: Arc<dyn InputSpec>,
    /// The decoder's plugin.
    pub decoder_plugin: &'static str,
    /// The decoder of its streams.
    pub decoder: Arc<dyn DecoderSpec>,
    /// Whose events it reads.
    pub tenant: TenantSource,
    /// Which of its lines are joined.
    pub multiline: Option<Arc<Multiline>>,
    /// Its settings as written, to say where something is.
    pub written: Node,
}

/// A configured filter.
#[derive(Debug)]
pub struct FilterPlan {
    /// Its name.
    pub name: Arc<str>,
    /// Its steps, in order.
    pub steps: Vec<StepPlan>,
    /// The tags it publishes: its name, or one for each port of its last step.
    pub publishes: Vec<Arc<str>>,
}

/// A configured step.
#[derive(Debug)]
pub struct StepPlan {
    /// Its plugin.
    pub plugin: &'static str,
    /// What the plugin made of its settings.
    pub spec: Arc<dyn StepSpec>,
    /// Which events it acts on; all, without a condition.
    pub when: Option<Condition>,
    /// The codec that it reads texts by, for steps that take one.
    pub decoder: Option<Arc<dyn DecoderSpec>>,
    /// Its settings as written, to say where something is.
    pub written: Node,
}

/// A configured output.
#[derive(Debug)]
pub struct OutputPlan {
    /// Its name.
    pub name: Arc<str>,
    /// Its plugin.
    pub plugin: &'static str,
    /// What the plugin made of its settings.
    pub spec: Arc<dyn OutputSpec>,
    /// The encoder, for outputs that want encoded bytes.
    pub encoder: Option<EncoderPlan>,
    /// Its buffer.
    pub buffer: Buffer,
    /// Its settings as written, to say where something is.
    pub written: Node,
}

/// A configured encoder.
#[derive(Debug)]
pub struct EncoderPlan {
    /// Its plugin.
    pub plugin: &'static str,
    /// What the plugin made of its settings.
    pub spec: Arc<dyn EncoderSpec>,
}

/// The `buffer:` section of an output: the room for what it has not taken yet.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Buffer {
    /// Raw bytes that may wait in memory.
    pub memory: ByteSize,
    /// What happens when that is full.
    pub when_full: WhenFull,
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer { memory: ByteSize::mib(32), when_full: WhenFull::Block }
    }
}

/// What happens when a buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The inputs behind it wait.
    Block,
    /// The oldest events are dropped, and counted.
    DropOldest,
}

impl Plan {
    /// Checks a configuration tree against the plugins there are.
    ///
    /// # Errors
    /// Everything that is wrong with it. Warnings come with the plan.
    pub fn check(
        root: &Node,
        registry: &Registry,
        file: PathBuf,
    ) -> Result<(Plan, Problems), Problems> {
        let mut problems = Problems::new();
        let config_dir = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let Some(sections) = nodes::Sections::split(root, &mut problems) else {
            return Err(problems);
        };
        let top = read_all::<Top>(&sections.rest, nodes::SECTIONS);
        problems.extend(top.problems);
        let top = top.value.unwrap_or_default();
        problems.extend(listen::check(root));
        if !LINE_BYTES.contains(&top.limits.line_bytes)
            && let Some(written) = root.get("limits").and_then(|limits| limits.get("line_bytes"))
        {
            let (least, most) = (LINE_BYTES.start(), LINE_BYTES.end());
            problems.push(written.problem(format!("a line is within {least} and {most}")));
        }
        let reader = nodes::Reader { registry };
        let tenants = reader.tenants(&sections, &mut problems);
        let inputs = reader.inputs(&sections, &tenants, &mut problems);
        let filters = reader.filters(&sections, &mut problems);
        let outputs = reader.outputs(&sections, &mut problems);
        nodes::check_names(&inputs, &filters, &outputs, &mut problems);
        let names: Vec<_> = inputs.iter().map(|node| node.plan.name.clone()).collect();
        let broken = sections.names_without("inputs", &names);
        let tags = routes::compile(&inputs, &broken, &filters, &outputs, &mut problems);
        for section in ["inputs", "outputs"] {
            if sections.is_empty(section) && !problems.has_errors() {
                let problem = root.problem(format!("there are no {section}"));
                problems.push(problem.help(format!("add one under `{section}`")));
            }
        }
        let places = files::Places { config_dir: &config_dir, data_dir: &top.data_dir };
        places.check(&inputs, &outputs, &mut problems);
        let plan = Plan {
            data_dir: config_dir.join(&top.data_dir),
            file,
            config_dir,
            api: top.api,
            limits: top.limits,
            tenants,
            inputs: inputs.into_iter().map(|node| node.plan).collect(),
            filters: filters.into_iter().map(|node| node.plan).collect(),
            outputs: outputs.into_iter().map(|node| node.plan).collect(),
            tags,
            secrets: Secrets::of(root),
        };
        problems.into_result(plan)
    }

    /// How safe the events of an input are on their way to an output: no path is safer than its
    /// input, and buffers are in memory.
    #[must_use]
    pub fn level(&self, input: usize) -> Level {
        match self.inputs[input].spec.level() {
            Level::EndToEnd => Level::EndToEnd,
            Level::Disk | Level::Memory => Level::Memory,
        }
    }

    /// Whether every input ends by itself.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.inputs.iter().all(|input| input.spec.ends())
    }

    /// The outputs that the events of a tag can come to, through whichever filters.
    #[must_use]
    pub fn outputs_behind(&self, tag: usize) -> Vec<usize> {
        routes::outputs_behind(&self.tags, &self.filters, tag)
    }

    /// The inputs whose events come to a tag, through whichever filters.
    #[must_use]
    pub fn inputs_before(&self, tag: usize) -> Vec<usize> {
        routes::inputs_before(&self.tags, tag)
    }

    /// The plan as a graph, to draw.
    #[must_use]
    pub fn graph(&self) -> Graph {
        let node = |name: &Arc<str>, kind, plugin: &str, detail| GraphNode {
            name: name.to_string(),
            kind,
            plugin: plugin.to_owned(),
            detail,
            tenant: None,
        };
        let mut graph = Graph::default();
        for input in &self.inputs {
            let tenant = match &input.tenant {
                TenantSource::Named(name) if **name == *DEFAULT_TENANT => None,
                TenantSource::Named(name) => Some(name.to_string()),
                TenantSource::FromPath(_) => Some("from path".to_owned()),
            };
            let detail = vec![input.decoder_plugin.to_owned()];
            let node = node(&input.name, GraphKind::Input, input.plugin, detail);
            graph.nodes.push(GraphNode { tenant, ..node });
        }
        for filter in &self.filters {
            let steps = filter.steps.iter().map(|step| step.plugin.to_owned()).collect();
            graph.nodes.push(node(&filter.name, GraphKind::Filter, "filter", steps));
        }
        for output in &self.outputs {
            let encoder = output.encoder.iter().map(|e| e.plugin.to_owned()).collect();
            graph.nodes.push(node(&output.name, GraphKind::Output, output.plugin, encoder));
        }
        let (filters, outputs) = (self.inputs.len(), self.inputs.len() + self.filters.len());
        for tag in &self.tags {
            let from = match tag.producer {
                Producer::Input(input) => input,
                Producer::Filter(filter, _) => filters + filter,
            };
            for consumer in &tag.consumers {
                let to = match *consumer {
                    Consumer::Filter(filter) => filters + filter,
                    Consumer::Output(output) => outputs + output,
                };
                graph.edges.push(GraphEdge { from, to, tag: tag.name.to_string() });
            }
            if tag.consumers.is_empty() {
                graph.unmatched.push(UnmatchedTag { from, tag: tag.name.to_string() });
            }
        }
        graph
    }

    /// The fields that conditions of the plan read.
    pub fn condition_fields(&self) -> impl Iterator<Item = &Path> {
        let steps = self.filters.iter().flat_map(|filter| &filter.steps);
        steps.filter_map(|step| step.when.as_ref()).flat_map(|when| when.0.fields())
    }
}

/// The keys at the top that are no sections of nodes.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Top {
    /// Where dpipe keeps its own files: checkpoints, dead letters, the admin token. Relative to the
    /// configuration's folder.
    data_dir: PathBuf,
    /// The admin API.
    api: Api,
    /// What the process as a whole may use.
    limits: Limits,
}

impl Default for Top {
    fn default() -> Self {
        Top { data_dir: "dpipe-data".into(), api: Api::default(), limits: Limits::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(pattern: &str, file: &str) -> Option<String> {
        let source = TenantSource::FromPath(Regex::new(pattern).unwrap());
        source.tenant_of(file).map(str::to_owned)
    }

    #[test]
    fn a_path_names_a_tenant_only_where_the_name_can_be_a_folder_and_a_label() {
        let any = "^/(?<tenant>.*)/";
        assert_eq!(tenant(any, "/rstory/x").as_deref(), Some("rstory"));
        assert_eq!(tenant(any, "/ff_2.de-1/x").as_deref(), Some("ff_2.de-1"));
        let long = "x".repeat(65);
        for bad in ["", "..", ".hidden", "a/b", "a b", "a\"b", "\u{e9}", &long] {
            assert_eq!(tenant(any, &format!("/{bad}/x")), None, "{bad:?}");
        }
        assert_eq!(tenant(any, "x"), None);
    }
}
