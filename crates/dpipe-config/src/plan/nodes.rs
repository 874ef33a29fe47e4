//! Reads the sections of a configuration into nodes: resolves the plugin of each, and hands it the
//! settings that are its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use dpipe_plugin::settings::{
    Node, NodeValue, Problem, Problems, Span, deserialize, error_in_text, nearest, suggest,
};
use dpipe_plugin::template::TenantSetting;
use dpipe_plugin::{Condition, DecoderSpec, Entry, Multiline, Pattern, Registry};
use serde::{Deserialize, Deserializer};

use super::{
    Buffer, DEFAULT_TENANT, EncoderPlan, FilterPlan, InputPlan, OutputPlan, StepPlan, TenantConfig,
    TenantPlan, TenantSource,
};
use crate::tag_pattern::TagPattern;

/// The sections that hold nodes, by their keys.
pub(crate) const SECTIONS: &[&str] = &["tenants", "inputs", "filters", "outputs"];

/// A node's plan with what only checking needs.
pub(crate) struct Read<P> {
    pub(crate) plan: P,
    pub(crate) name_span: Span,
    pub(crate) matches: Vec<(TagPattern, Span)>,
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
            let config =
                if node.is_null() { Ok(TenantConfig::default()) } else { deserialize(node) };
            // One that is wrong is there all the same: who names it is not wrong too.
            let TenantConfig { limits, index_prefix, retention } =
                problems.note(config).unwrap_or_default();
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
            let spec = problems.note((entry.read)(&node.without(&own), &own));
            let tenant = problems.note(tenant_source(node.get("tenant"), tenants));
            let default = spec.as_ref().map_or("text", |spec| spec.default_codec());
            let decoder = self.decoder(node, default, problems);
            let decoder = problems.note(decoder);
            let multiline = node.get("multiline").map(deserialize::<Multiline>).transpose();
            let multiline = problems.note(multiline);
            let (Some(spec), Some(tenant), Some((decoder_plugin, decoder)), Some(multiline)) =
                (spec, tenant, decoder, multiline)
            else {
                continue;
            };
            place_all(spec.check(), node, problems);
            if let Some(written) = node.get("multiline").filter(|_| !spec.reads_lines()) {
                let what = entry.name;
                problems
                    .push(written.problem(format!("`{what}` reads no lines that can be joined")));
            }
            let multiline = multiline.map(Arc::new);
            let plugin = entry.name;
            let plan = InputPlan { name, plugin, spec, decoder_plugin, decoder, tenant, multiline };
            inputs.push(Read { plan, name_span, matches: Vec::new() });
        }
        inputs
    }

    pub(crate) fn filters(
        &self,
        sections: &Sections,
        problems: &mut Problems,
    ) -> Vec<Read<FilterPlan>> {
        let mut filters = Vec::new();
        for (name, node, name_span) in sections.entries("filters") {
            problems.note(check_name(&name, &name_span));
            problems.note(only_keys(node, &["match", "steps"], "a filter"));
            let matches = problems.note(matches(node)).unwrap_or_default();
            let mut steps = Vec::new();
            let mut publishes = vec![name.clone()];
            let written = node.get("steps").and_then(Node::as_list).unwrap_or_default();
            if written.is_empty() {
                problems.push(node.problem(format!("the filter `{name}` has no steps")));
            }
            for (index, step) in written.iter().enumerate() {
                let plan = self.step(step, problems);
                let Some(plan) = problems.note(plan) else {
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
                place_all(plan.spec.check(), step, problems);
                steps.push(plan);
            }
            filters.push(Read { plan: FilterPlan { name, steps, publishes }, name_span, matches });
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
            let matches = problems.note(matches(node)).unwrap_or_default();
            let Some(entry) = problems.note(plugin(node, self.registry.outputs, "output")) else {
                continue;
            };
            let spec = problems.note((entry.read)(&node.without(&own), &own));
            let buffer = match node.get("buffer") {
                Some(buffer) => problems.note(deserialize(buffer)),
                None => Some(Buffer::default()),
            };
            let (Some(spec), Some(buffer)) = (spec, buffer) else { continue };
            let encoder = problems.note(self.encoder(node, spec.default_encoder()));
            let Some(encoder) = encoder else { continue };
            place_all(spec.check(), node, problems);
            let plan = OutputPlan { name, plugin: entry.name, spec, encoder, buffer };
            outputs.push(Read { plan, name_span, matches });
        }
        outputs
    }

    fn step(&self, node: &Node, problems: &mut Problems) -> Result<StepPlan, Problem> {
        // `- drop` is short for `- drop: {}`.
        if let Some(name) = node.as_str() {
            let entry = find(self.registry.steps, name, "step", node)?;
            let empty = Node::new(node.span.clone(), NodeValue::Map(Vec::new()));
            return Ok(StepPlan {
                plugin: entry.name,
                spec: (entry.read)(&empty, &["when"])?,
                when: None,
                decoder: None,
            });
        }
        let Some([written]) = node.as_map() else {
            return Err(node
                .problem("expected one step by its name")
                .help("write each step as an item of its own: `- remove: [trace]`"));
        };
        let found = find(self.registry.steps, &written.key, "step", node);
        let entry = found.map_err(|problem| problem.at(written.key_span().clone()))?;
        let settings = &written.value;
        let when = match settings.get("when") {
            Some(when) => Some(deserialize::<Condition>(when)?),
            None => None,
        };
        let known: &[&str] = if entry.takes_codec { &["when", "codec"] } else { &["when"] };
        let decoder = if entry.takes_codec {
            if settings.get("codec").is_none() {
                let problem = settings.problem(format!("`{}` needs a `codec`", entry.name));
                return Err(problem.help("the codec that reads the text: `codec: json`"));
            }
            Some(self.decoder(settings, "text", problems)?.1)
        } else {
            None
        };
        let empty;
        let own = if settings.as_map().is_some() {
            empty = settings.without(known);
            &empty
        } else if settings.is_null() {
            empty = Node::new(settings.span.clone(), NodeValue::Map(Vec::new()));
            &empty
        } else {
            settings
        };
        Ok(StepPlan { plugin: entry.name, spec: (entry.read)(own, known)?, when, decoder })
    }

    fn decoder(
        &self,
        node: &Node,
        default: &'static str,
        problems: &mut Problems,
    ) -> Result<(&'static str, Arc<dyn DecoderSpec>), Problem> {
        let (entry, settings) = codec(node, self.registry.decoders, default, "codec")?;
        let spec = (entry.read)(&settings, &["type"])?;
        place_all(spec.check(), &settings, problems);
        Ok((entry.name, spec))
    }

    fn encoder(
        &self,
        node: &Node,
        default: Option<&'static str>,
    ) -> Result<Option<EncoderPlan>, Problem> {
        let Some(default) = default else {
            return match node.get("codec") {
                Some(codec) => Err(codec.problem("this output writes no encoded bytes")),
                None => Ok(None),
            };
        };
        let (entry, settings) = codec(node, self.registry.encoders, default, "codec")?;
        Ok(Some(EncoderPlan { plugin: entry.name, spec: (entry.read)(&settings, &["type"])? }))
    }
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

fn matches(node: &Node) -> Result<Vec<(TagPattern, Span)>, Problem> {
    let Some(written) = node.get("match") else {
        // A misspelled `match` is said once, as the unknown key that it is.
        let keys = node.as_map().unwrap_or_default().iter().map(|entry| entry.key.as_str());
        if keys.into_iter().any(|key| nearest(key, ["match"]).is_some()) {
            return Ok(Vec::new());
        }
        return Err(node
            .problem("`match` is missing")
            .help("name the tags to take: `match: [my_input]`"));
    };
    let one = |node: &Node| {
        let text: String = deserialize(node)?;
        Ok((TagPattern::new(&text), node.span.clone()))
    };
    match written.as_list() {
        Some([]) => Err(written.problem("`match` names no tags")),
        Some(list) => list.iter().map(one).collect(),
        None => Ok(vec![one(written)?]),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromPath {
    #[expect(dead_code, reason = "only its presence and value matter")]
    from: FromWhat,
    pattern: Pattern,
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
            let help = suggest(&name, known.iter().copied())
                .unwrap_or_else(|| format!("add `{name}: {{}}` under `tenants:`"));
            return Err(node.problem(format!("there is no tenant `{name}`")).help(help));
        }
        return Ok(TenantSource::Named(name.into()));
    }
    let FromPath { pattern: Pattern(regex), .. } = deserialize(node)?;
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

fn only_keys(node: &Node, known: &[&str], what: &str) -> Result<(), Problem> {
    let Some(entries) = node.as_map() else {
        return Err(node.problem(format!("expected the settings of {what}")));
    };
    match entries.iter().find(|entry| !known.contains(&entry.key.as_str())) {
        None => Ok(()),
        Some(entry) => Err(Problem::error(format!("unknown key `{}` in {what}", entry.key))
            .at(entry.key_span().clone())
            .maybe_help(suggest(&entry.key, known.iter().copied()))),
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

/// Gives problems without a place the node's.
fn place_all(found: Vec<Problem>, node: &Node, problems: &mut Problems) {
    for problem in found {
        let placed = problem.span.is_some();
        problems.push(if placed { problem } else { problem.at(node.span.clone()) });
    }
}
