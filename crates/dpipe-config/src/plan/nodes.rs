//! Reads the sections of a configuration into nodes: resolves the plugin of each, and hands it the
//! settings that are its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use dpipe_plugin::settings::{
    Node, NodeValue, Problem, Problems, Reading, Span, deserialize, error_in_text, nearest,
    read_all, suggest,
};
use dpipe_plugin::template::TenantSetting;
use dpipe_plugin::{Condition, DecoderSpec, Entry, InputSpec, Multiline, Registry};
use regex::bytes::Regex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::{
    Buffer, DEFAULT_TENANT, EncoderPlan, FilterPlan, InputPlan, OutputPlan, StepPlan, TenantConfig,
    TenantPlan, TenantSource,
};
use crate::notation;
use crate::tag_pattern::TagPattern;

/// The sections that hold nodes, by their keys.
pub(crate) const SECTIONS: &[&str] = &["tenants", "inputs", "filters", "outputs"];

/// A node's plan with what only checking needs.
pub(crate) struct Read<P> {
    pub(crate) plan: P,
    pub(crate) name_span: Span,
    pub(crate) matches: Vec<Match>,
    /// Something is wrong with it that may hide tags which it publishes.
    pub(crate) is_broken: bool,
}

/// What a node takes, as written.
pub(crate) struct Match {
    pub(crate) pattern: TagPattern,
    pub(crate) span: Span,
    /// The pattern, fit to be shown.
    pub(crate) shown: String,
}

/// The configuration taken apart.
pub(crate) struct Sections {
    nodes: Vec<(&'static str, Node)>,
    pub(crate) rest: Node,
}

impl Sections {
    pub(crate) fn split(root: &Node, problems: &mut Problems) -> Option<Sections> {
        if root.as_map().is_none() {
            problems.push(root.problem("expected a map with `inputs:`, `filters:` and `outputs:`"));
            return None;
        }
        let mut nodes = Vec::new();
        for &section in SECTIONS {
            match root.get(section) {
                Some(node) if node.as_map().is_some() => nodes.push((section, node.clone())),
                Some(node) if !node.is_null() => {
                    problems
                        .push(node.problem(format!("expected `{section}` to be a map of names")));
                }
                _ => {}
            }
        }
        Some(Sections { nodes, rest: root.without(SECTIONS) })
    }

    /// Whether a section names no nodes.
    pub(crate) fn is_empty(&self, section: &str) -> bool {
        self.entries(section).next().is_none()
    }

    /// The names of a section that are not among these.
    pub(crate) fn names_without(&self, section: &str, read: &[Arc<str>]) -> Vec<Arc<str>> {
        self.entries(section).map(|(name, ..)| name).filter(|name| !read.contains(name)).collect()
    }

    fn entries(&self, section: &str) -> impl Iterator<Item = (Arc<str>, &Node, Span)> {
        let found = self.nodes.iter().find(|(name, _)| *name == section);
        let entries = found.and_then(|(_, node)| node.as_map()).unwrap_or_default();
        entries.iter().map(|e| (Arc::from(e.key.as_str()), &e.value, e.key_span().clone()))
    }
}

pub(crate) struct Reader<'a> {
    pub(crate) registry: &'a Registry,
}

impl Reader<'_> {
    pub(crate) fn tenants(&self, sections: &Sections, problems: &mut Problems) -> Vec<TenantPlan> {
        let mut tenants = Vec::new();
        for (name, node, span) in sections.entries("tenants") {
            problems.note(check_name(&name, &span));
            // One that is wrong is there all the same: who names it is not wrong too.
            let TenantConfig { limits, index_prefix, retention } =
                whole(node, &[], problems).unwrap_or_default();
            let mut settings = BTreeMap::new();
            settings.extend(index_prefix.map(|prefix| (TenantSetting::IndexPrefix, prefix)));
            if let (Some(_), Some(written)) = (retention, node.get("retention")) {
                let text = written.as_str().unwrap_or_default().to_owned();
                settings.insert(TenantSetting::Retention, text);
                let message = "`retention` is for templates only: nothing is deleted by it yet";
                problems.push(Problem::warning(message).at(written.span.clone()));
            }
            tenants.push(TenantPlan { name, limits, settings });
        }
        tenants
    }

    pub(crate) fn inputs(
        &self,
        sections: &Sections,
        tenants: &[TenantPlan],
        problems: &mut Problems,
    ) -> Vec<Read<InputPlan>> {
        let mut inputs = Vec::new();
        for (name, node, name_span) in sections.entries("inputs") {
            problems.note(check_name(&name, &name_span));
            let own = ["type", "tenant", "codec", "multiline"];
            let Some(entry) = problems.note(plugin(node, self.registry.inputs, "input")) else {
                continue;
            };
            let reading = (entry.read_all)(&node.without(&own), &own);
            let spec = checked(reading, node, problems, |spec| spec.check());
            let tenant = problems.note(tenant_source(node.get("tenant"), tenants));
            let default = spec.as_ref().map_or("text", |spec| spec.default_codec());
            let decoder = self.decoder(node, default, problems);
            let multiline =
                node.get("multiline").map(|node| whole::<Multiline>(node, &[], problems));
            let (Some(spec), Some(tenant), Some((decoder_plugin, decoder))) =
                (spec, tenant, decoder)
            else {
                continue;
            };
            self.check_input(entry, node, &*spec, &tenant, problems);
            let multiline = multiline.flatten().map(Arc::new);
            let plugin = entry.name;
            let written = node.clone();
            let plan = InputPlan {
                name,
                plugin,
                spec,
                decoder_plugin,
                decoder,
                tenant,
                multiline,
                written,
            };
            inputs.push(Read::new(plan, name_span));
        }
        inputs
    }

    /// What only the engine's own keys and the plugin together can get wrong.
    fn check_input(
        &self,
        entry: &Entry<dyn InputSpec>,
        node: &Node,
        spec: &dyn InputSpec,
        tenant: &TenantSource,
        problems: &mut Problems,
    ) {
        let what = entry.name;
        if let Some(written) = node.get("multiline").filter(|_| !spec.reads_lines()) {
            problems.push(written.problem(format!("`{what}` reads no lines that can be joined")));
        }
        if let (TenantSource::FromPath(_), Some(written)) = (tenant, node.get("tenant"))
            && !spec.has_paths()
        {
            let problem =
                written.problem(format!("`{what}` has no paths that could name a tenant"));
            let help = notation::setting(&written.span, "tenant", DEFAULT_TENANT);
            problems.push(problem.help(format!("name the tenant itself: {help}")));
        }
    }

    pub(crate) fn filters(
        &self,
        sections: &Sections,
        problems: &mut Problems,
    ) -> Vec<Read<FilterPlan>> {
        let mut filters = Vec::new();
        for (name, node, name_span) in sections.entries("filters") {
            problems.note(check_name(&name, &name_span));
            only_keys(node, &["match", "steps"], "a filter", problems);
            let matches = matches(node, problems);
            let mut steps = Vec::new();
            let mut is_broken = false;
            let mut publishes = vec![name.clone()];
            let written = node.get("steps").and_then(Node::as_list).unwrap_or_default();
            if written.is_empty() {
                problems.push(node.problem(format!("the filter `{name}` has no steps")));
            }
            for (index, step) in written.iter().enumerate() {
                let Some(plan) = self.step(step, problems) else {
                    is_broken = true;
                    continue;
                };
                let ports = plan.spec.ports();
                if !ports.is_empty() {
                    if index + 1 < written.len() {
                        problems.push(step.problem(format!(
                            "`{}` publishes tags of its own, so it must be the last step",
                            plan.plugin
                        )));
                    }
                    publishes =
                        ports.iter().map(|port| Arc::from(format!("{name}.{port}"))).collect();
                }
                steps.push(plan);
            }
            let plan = FilterPlan { name, steps, publishes };
            filters.push(Read { matches, is_broken, ..Read::new(plan, name_span) });
        }
        filters
    }

    pub(crate) fn outputs(
        &self,
        sections: &Sections,
        problems: &mut Problems,
    ) -> Vec<Read<OutputPlan>> {
        let mut outputs = Vec::new();
        for (name, node, name_span) in sections.entries("outputs") {
            problems.note(check_name(&name, &name_span));
            let own = ["type", "match", "codec", "buffer"];
            let matches = matches(node, problems);
            let Some(entry) = problems.note(plugin(node, self.registry.outputs, "output")) else {
                continue;
            };
            let reading = (entry.read_all)(&node.without(&own), &own);
            let spec = checked(reading, node, problems, |spec| spec.check());
            let buffer = match node.get("buffer") {
                Some(buffer) => whole(buffer, &[], problems).unwrap_or_default(),
                None => Buffer::default(),
            };
            let Some(spec) = spec else { continue };
            let encoder = self.encoder(node, spec.default_encoder(), problems);
            let plan = OutputPlan {
                name,
                plugin: entry.name,
                spec,
                encoder,
                buffer,
                written: node.clone(),
            };
            outputs.push(Read { matches, ..Read::new(plan, name_span) });
        }
        outputs
    }

    fn step(&self, node: &Node, problems: &mut Problems) -> Option<StepPlan> {
        let empty = |span: &Span| Node::new(span.clone(), NodeValue::Map(Vec::new()));
        // `- drop` is short for `- drop: {}`.
        let (name, named_at, settings) = match (node.as_str(), node.as_map()) {
            (Some(name), _) => (name, node.span.clone(), &empty(&node.span)),
            (None, Some([written])) => {
                (written.key.as_str(), written.key_span().clone(), &written.value)
            }
            _ => {
                let help = notation::step(&node.span, "remove", "trace");
                let problem = node.problem("expected one step by its name");
                let help = format!("write each step as an item of its own: {help}");
                problems.push(problem.help(help));
                return None;
            }
        };
        let found = find(self.registry.steps, name, "step", node);
        let entry = problems.note(found.map_err(|problem| problem.at(named_at)))?;
        let when = settings.get("when").map(deserialize::<Condition>).transpose();
        let when = problems.note(when).flatten();
        let known: &[&str] = if entry.takes_codec { &["when", "codec"] } else { &["when"] };
        let decoder = if !entry.takes_codec {
            None
        } else if settings.get("codec").is_none() {
            let problem = settings.problem(format!("`{}` needs a `codec`", entry.name));
            let help = notation::setting(&settings.span, "codec", "json");
            problems.push(problem.help(format!("the codec that reads the text: {help}")));
            None
        } else {
            self.decoder(settings, "text", problems).map(|(_, decoder)| decoder)
        };
        let own = if settings.is_null() { empty(&settings.span) } else { settings.without(known) };
        let reading = (entry.read_all)(&own, known);
        let spec = checked(reading, settings, problems, |spec| spec.check())?;
        Some(StepPlan { plugin: entry.name, spec, when, decoder, written: settings.clone() })
    }

    fn decoder(
        &self,
        node: &Node,
        default: &'static str,
        problems: &mut Problems,
    ) -> Option<(&'static str, Arc<dyn DecoderSpec>)> {
        let codec = codec(node, self.registry.decoders, default, "codec");
        let (entry, settings) = problems.note(codec)?;
        let reading = (entry.read_all)(&settings, &["type"]);
        let spec = checked(reading, &settings, problems, |spec| spec.check())?;
        Some((entry.name, spec))
    }

    fn encoder(
        &self,
        node: &Node,
        default: Option<&'static str>,
        problems: &mut Problems,
    ) -> Option<EncoderPlan> {
        let Some(default) = default else {
            if let Some(codec) = node.get("codec") {
                problems.push(codec.problem("this output writes no encoded bytes"));
            }
            return None;
        };
        let codec = codec(node, self.registry.encoders, default, "codec");
        let (entry, settings) = problems.note(codec)?;
        let reading = (entry.read_all)(&settings, &["type"]);
        let spec = checked(reading, &settings, problems, |_| Vec::new())?;
        Some(EncoderPlan { plugin: entry.name, spec })
    }
}

impl<P> Read<P> {
    fn new(plan: P, name_span: Span) -> Self {
        Read { plan, name_span, matches: Vec::new(), is_broken: false }
    }
}

/// The settings of something that is no plugin, and everything that is wrong with them.
fn whole<T: DeserializeOwned>(node: &Node, also: &[&str], problems: &mut Problems) -> Option<T> {
    let reading = read_all(node, also);
    problems.extend(reading.problems);
    reading.value
}

/// What a plugin made of its settings, and everything that is wrong with them.
fn checked<S: ?Sized>(
    reading: Reading<Arc<S>>,
    node: &Node,
    problems: &mut Problems,
    check: impl FnOnce(&S) -> Vec<Problem>,
) -> Option<Arc<S>> {
    let found = reading.value.as_ref().map(|spec| check(spec)).unwrap_or_default();
    let found = reading.sifted(found);
    problems.extend(reading.problems);
    place_all(found, node, problems);
    reading.value
}

/// The entry of the plugin that the node's `type:` names.
fn plugin<S: ?Sized>(
    node: &Node,
    list: &'static [Entry<S>],
    role: &str,
) -> Result<&'static Entry<S>, Problem> {
    if node.as_map().is_none() {
        return Err(node.problem(format!("expected the settings of an {role}")));
    }
    let Some(written) = node.get("type") else {
        return Err(node.problem("`type` is missing").maybe_help(suggest("", names(list).iter())));
    };
    let name: String = deserialize(written)?;
    find(list, &name, role, written)
}

fn find<S: ?Sized>(
    list: &'static [Entry<S>],
    name: &str,
    role: &str,
    at: &Node,
) -> Result<&'static Entry<S>, Problem> {
    list.iter().find(|entry| entry.name == name).ok_or_else(|| {
        at.problem(format!("there is no {role} `{name}`"))
            .maybe_help(suggest(name, names(list).iter()))
    })
}

fn names<S: ?Sized>(list: &[Entry<S>]) -> Vec<&'static str> {
    list.iter().map(|entry| entry.name).collect()
}

/// The codec of a node: `codec: als`, or `codec: { type: als, … }`.
fn codec<S: ?Sized>(
    node: &Node,
    list: &'static [Entry<S>],
    default: &'static str,
    role: &str,
) -> Result<(&'static Entry<S>, Node), Problem> {
    let empty = |at: &Node| Node::new(at.span.clone(), NodeValue::Map(Vec::new()));
    match node.get("codec") {
        None => Ok((find(list, default, role, node)?, empty(node))),
        Some(written) if written.as_map().is_some() => {
            Ok((plugin(written, list, role)?, written.without(&["type"])))
        }
        Some(written) => {
            let name: String = deserialize(written)?;
            Ok((find(list, &name, role, written)?, empty(written)))
        }
    }
}

fn matches(node: &Node, problems: &mut Problems) -> Vec<Match> {
    let Some(written) = node.get("match") else {
        // A misspelled `match` is said once, as the unknown key that it is.
        let keys = node.as_map().unwrap_or_default().iter().map(|entry| entry.key.as_str());
        if keys.into_iter().any(|key| nearest(key, ["match"]).is_some()) {
            return Vec::new();
        }
        let help = notation::setting(&node.span, "match", "[my_input]");
        let problem = node.problem("`match` is missing");
        problems.push(problem.help(format!("name the tags to take: {help}")));
        return Vec::new();
    };
    let items = match written.as_list() {
        Some([]) => {
            problems.push(written.problem("`match` names no tags"));
            return Vec::new();
        }
        Some(items) => items,
        None => std::slice::from_ref(written),
    };
    let mut one = |node: &Node| {
        let text: String = problems.note(deserialize(node))?;
        let shown = node.redact(&text);
        Some(Match { pattern: TagPattern::new(&text), span: node.span.clone(), shown })
    };
    items.iter().filter_map(&mut one).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromPath {
    #[expect(dead_code, reason = "only its presence and value matter")]
    from: FromWhat,
    pattern: PathPattern,
}

/// An expression as it is written: paths are full of slashes, so one around it is meant as one.
struct PathPattern(Regex);

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let compiled = dpipe_query::compile_expression(&text);
        compiled.map(PathPattern).map_err(|error| error_in_text(error.span, error.message))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum FromWhat {
    Path,
}

fn tenant_source(node: Option<&Node>, tenants: &[TenantPlan]) -> Result<TenantSource, Problem> {
    let Some(node) = node else { return Ok(TenantSource::Named(DEFAULT_TENANT.into())) };
    if node.as_map().is_none() {
        let name: String = deserialize(node)?;
        if name != DEFAULT_TENANT && !tenants.iter().any(|tenant| *tenant.name == *name) {
            let known = tenants.iter().map(|tenant| &*tenant.name).collect::<Vec<_>>();
            let help = suggest(&name, known.iter().copied()).unwrap_or_else(|| {
                let entry = notation::setting(&node.span, &name, "{}");
                format!("add {entry} under `tenants`")
            });
            let problem = Problem::error(format!("there is no tenant `{name}`")).at(node.place());
            return Err(problem.help(help).redacted(node));
        }
        return Ok(TenantSource::Named(name.into()));
    }
    let FromPath { pattern: PathPattern(regex), .. } = deserialize(node)?;
    let at = node.get("pattern").unwrap_or(node);
    if !regex.capture_names().flatten().any(|name| name == "tenant") {
        return Err(at
            .problem("the pattern has no group named `tenant`")
            .help("write `(?<tenant>…)` around the part of the path that names it"));
    }
    Ok(TenantSource::FromPath(regex))
}

/// Reads the prefix of a tenant's names: a word, so that it can stand in any of them as it is.
pub(super) fn index_prefix<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) || text.starts_with('.') {
        let message = "a prefix has letters, digits, `_`, `-` and `.`, at most 64 of them, and does \
                       not start with a dot";
        return Err(error_in_text(0..text.len(), message));
    }
    Ok(Some(text))
}

/// A name is a word: it stands in tags, metrics, paths and URLs.
fn check_name(name: &str, span: &Span) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(Problem::error(format!("`{name}` is not a name"))
            .at(span.clone())
            .help("a name has letters, digits, `_` and `-`, and at most 64 of them"));
    }
    Ok(())
}

fn only_keys(node: &Node, known: &[&str], what: &str, problems: &mut Problems) {
    let Some(entries) = node.as_map() else {
        problems.push(node.problem(format!("expected the settings of {what}")));
        return;
    };
    for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let problem = Problem::error(format!("unknown key `{}` in {what}", entry.key));
        let help = suggest(&entry.key, known.iter().copied());
        problems.push(problem.at(entry.key_span().clone()).maybe_help(help));
    }
}

/// A name is used once, whatever the section: it is the name of a tag or of a node in the books.
pub(crate) fn check_names(
    inputs: &[Read<InputPlan>],
    filters: &[Read<FilterPlan>],
    outputs: &[Read<OutputPlan>],
    problems: &mut Problems,
) {
    let inputs = inputs.iter().map(|node| (&node.plan.name, &node.name_span));
    let filters = filters.iter().map(|node| (&node.plan.name, &node.name_span));
    let outputs = outputs.iter().map(|node| (&node.plan.name, &node.name_span));
    let mut seen: Vec<(&Arc<str>, &Span)> = Vec::new();
    for (name, span) in inputs.chain(filters).chain(outputs) {
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == name) {
            let problem = Problem::error(format!("the name `{name}` is used twice"));
            problems.push(problem.at(span.clone()).help(format!("it is also at {first}")));
        }
        seen.push((name, span));
    }
}

/// Gives problems without a place the one of the setting that they begin with, else the node's.
fn place_all(found: Vec<Problem>, node: &Node, problems: &mut Problems) {
    for problem in found {
        let placed = match &problem.span {
            Some(_) => problem,
            None => {
                let key = problem.message.strip_prefix('`').and_then(|rest| rest.split('`').next());
                let setting = key.and_then(|key| node.get(key));
                let place = setting.map_or_else(|| node.span.clone(), Node::place);
                problem.at(place)
            }
        };
        problems.push(placed.redacted(node));
    }
}
