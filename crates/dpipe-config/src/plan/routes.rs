//! The route: which tag goes where. Compiled once; at run time nothing is looked up by name.

use std::collections::VecDeque;
use std::sync::Arc;

use dpipe_plugin::settings::{Problem, Problems, Span, suggest};

use super::nodes::Read;
use super::{FilterPlan, InputPlan, OutputPlan};
use crate::tag_pattern::TagPattern;

/// A tag, who publishes it, and who takes it.
#[derive(Clone, Debug)]
pub struct TagPlan {
    /// The tag.
    pub name: Arc<str>,
    /// Who publishes it.
    pub producer: Producer,
    /// Who takes it; nobody, for a tag that ends as unmatched.
    pub consumers: Vec<Consumer>,
}

/// Who publishes a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Producer {
    /// The input of this number.
    Input(usize),
    /// The filter of this number, by the port of this number.
    Filter(usize, usize),
}

/// Who takes a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// The filter of this number.
    Filter(usize),
    /// The output of this number.
    Output(usize),
}

/// `broken` are the names of nodes that could not be read: whoever matches them is not wrong too.
pub(crate) fn compile(
    inputs: &[Read<InputPlan>],
    broken: &[Arc<str>],
    filters: &[Read<FilterPlan>],
    outputs: &[Read<OutputPlan>],
    problems: &mut Problems,
) -> Vec<TagPlan> {
    let tag =
        |name: &Arc<str>, producer| TagPlan { name: name.clone(), producer, consumers: Vec::new() };
    let mut tags = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        tags.push(tag(&input.plan.name, Producer::Input(index)));
    }
    for (index, filter) in filters.iter().enumerate() {
        for (port, name) in filter.plan.publishes.iter().enumerate() {
            tags.push(tag(name, Producer::Filter(index, port)));
        }
    }
    let mut finder = Finder { broken, filters, problems };
    for (index, filter) in filters.iter().enumerate() {
        finder.connect(&mut tags, filter, &filter.plan.name, Consumer::Filter(index));
    }
    for (index, output) in outputs.iter().enumerate() {
        finder.connect(&mut tags, output, &output.plan.name, Consumer::Output(index));
    }
    let cyclic = report_cycles(&tags, filters, problems);
    if !cyclic && !problems.has_errors() {
        report_unreachable(&tags, filters, outputs, problems);
        report_both_copies(&tags, filters, outputs, problems);
        if !outputs.is_empty() {
            report_unmatched(&tags, inputs, filters, problems);
        }
    }
    tags
}

/// Finds the tags that nodes take.
struct Finder<'a> {
    broken: &'a [Arc<str>],
    filters: &'a [Read<FilterPlan>],
    problems: &'a mut Problems,
}

impl Finder<'_> {
    /// Enters a node as a consumer of every tag that it matches.
    fn connect<P>(
        &mut self,
        tags: &mut [TagPlan],
        node: &Read<P>,
        name: &Arc<str>,
        consumer: Consumer,
    ) {
        let own = |tag: &TagPlan| match (tag.producer, consumer) {
            (Producer::Filter(producer, _), Consumer::Filter(filter)) => producer == filter,
            _ => false,
        };
        for matched in &node.matches {
            let pattern = &matched.pattern;
            let mut found = false;
            for tag in tags.iter_mut().filter(|tag| pattern.matches(&tag.name)) {
                // A filter never matches itself by a glob; by name that is a plain cycle.
                if own(tag) && pattern.is_glob() {
                    continue;
                }
                found = true;
                if !tag.consumers.contains(&consumer) {
                    tag.consumers.push(consumer);
                }
            }
            if found || self.may_be_of_broken(pattern) {
                continue;
            }
            let shown = &matched.shown;
            let splits = self.filters.iter().find(|filter| *filter.plan.name == *pattern.as_str());
            let (message, help) = match splits {
                Some(filter) => {
                    let published: Vec<_> =
                        filter.plan.publishes.iter().map(|tag| format!("`{tag}`")).collect();
                    let published = match published.split_last() {
                        Some((last, rest)) if !rest.is_empty() => {
                            format!("{} and {last}", rest.join(", "))
                        }
                        _ => published.join(", "),
                    };
                    (format!("there is no tag `{shown}`: the filter publishes {published}"), None)
                }
                None => {
                    let others = tags.iter().filter(|tag| !own(tag)).map(|tag| &*tag.name);
                    let names: Vec<&str> =
                        others.chain(self.broken.iter().map(|name| &**name)).collect();
                    let message = if pattern.is_glob() {
                        format!("`{name}` matches nothing: no tag is like `{shown}`")
                    } else {
                        format!("there is no tag `{shown}`")
                    };
                    (message, suggest(pattern.as_str(), names.iter().copied()))
                }
            };
            self.problems.push(Problem::error(message).at(matched.span.clone()).maybe_help(help));
        }
    }

    /// Whether a node that could not be read may publish such a tag.
    fn may_be_of_broken(&self, pattern: &TagPattern) -> bool {
        let of_filter = |filter: &Read<FilterPlan>| {
            let name = &*filter.plan.name;
            let inner = pattern.as_str().strip_prefix(name);
            filter.is_broken && (pattern.is_glob() || inner.is_some_and(|s| s.starts_with('.')))
        };
        self.broken.iter().any(|name| pattern.matches(name)) || self.filters.iter().any(of_filter)
    }
}

/// The filters that take what a filter publishes.
fn next_filters(tags: &[TagPlan], filter: usize) -> impl Iterator<Item = usize> {
    let published =
        tags.iter().filter(move |t| matches!(t.producer, Producer::Filter(f, _) if f == filter));
    published.flat_map(|tag| &tag.consumers).filter_map(|consumer| match consumer {
        Consumer::Filter(next) => Some(*next),
        Consumer::Output(_) => None,
    })
}

fn report_cycles(tags: &[TagPlan], filters: &[Read<FilterPlan>], problems: &mut Problems) -> bool {
    // 0: not seen, 1: on the path, 2: done. Recursion is as deep as the chain of filters.
    fn walk(at: usize, tags: &[TagPlan], state: &mut [u8], path: &mut Vec<usize>) -> bool {
        state[at] = 1;
        path.push(at);
        for next in next_filters(tags, at) {
            if state[next] == 1 {
                let start = path.iter().position(|&f| f == next).unwrap_or(0);
                path.drain(..start);
                return true;
            }
            if state[next] == 0 && walk(next, tags, state, path) {
                return true;
            }
        }
        path.pop();
        state[at] = 2;
        false
    }
    let mut state = vec![0; filters.len()];
    for filter in 0..filters.len() {
        let mut path = Vec::new();
        if state[filter] == 0 && walk(filter, tags, &mut state, &mut path) {
            let mut names: Vec<&str> = path.iter().map(|&f| &*filters[f].plan.name).collect();
            names.push(names[0]);
            let first = &filters[path[0]];
            let message = format!("filters feed each other in a circle: {}", names.join(" -> "));
            problems.push(Problem::error(message).at(first.name_span.clone()));
            return true;
        }
    }
    false
}

fn report_unreachable(
    tags: &[TagPlan],
    filters: &[Read<FilterPlan>],
    outputs: &[Read<OutputPlan>],
    problems: &mut Problems,
) {
    let mut reached = vec![false; filters.len()];
    let mut reached_outputs = vec![false; outputs.len()];
    let mut queue: VecDeque<&TagPlan> =
        tags.iter().filter(|tag| matches!(tag.producer, Producer::Input(_))).collect();
    while let Some(tag) = queue.pop_front() {
        for consumer in &tag.consumers {
            match *consumer {
                Consumer::Output(output) => reached_outputs[output] = true,
                Consumer::Filter(filter) if !reached[filter] => {
                    reached[filter] = true;
                    queue.extend(
                        tags.iter().filter(
                            |t| matches!(t.producer, Producer::Filter(f, _) if f == filter),
                        ),
                    );
                }
                Consumer::Filter(_) => {}
            }
        }
    }
    let mut report = |kind: &str, name: &str, span: &Span| {
        let message = format!("no input reaches the {kind} `{name}`");
        problems.push(Problem::error(message).at(span.clone()));
    };
    for (filter, _) in filters.iter().zip(&reached).filter(|(_, reached)| !**reached) {
        report("filter", &filter.plan.name, &filter.name_span);
    }
    for (output, _) in outputs.iter().zip(&reached_outputs).filter(|(_, reached)| !**reached) {
        report("output", &output.plan.name, &output.name_span);
    }
}

/// Warns of an output that takes both a tag and what a filter made of it: it gets every event twice.
fn report_both_copies(
    tags: &[TagPlan],
    filters: &[Read<FilterPlan>],
    outputs: &[Read<OutputPlan>],
    problems: &mut Problems,
) {
    for (index, output) in outputs.iter().enumerate() {
        let direct = |tag: &&TagPlan| tag.consumers.contains(&Consumer::Output(index));
        for raw in tags.iter().filter(direct) {
            for filter in raw.consumers.iter().filter_map(|consumer| match consumer {
                Consumer::Filter(filter) => Some(*filter),
                Consumer::Output(_) => None,
            }) {
                let decorated = tags
                    .iter()
                    .filter(direct)
                    .find(|tag| matches!(tag.producer, Producer::Filter(f, _) if f == filter));
                if let Some(decorated) = decorated {
                    let message = format!(
                        "`{}` takes `{}` and also `{}`, which the filter `{}` makes of it: events \
                         arrive twice",
                        output.plan.name, raw.name, decorated.name, filters[filter].plan.name
                    );
                    let at = output.name_span.clone();
                    problems.push(Problem::warning(message).at(at));
                }
            }
        }
    }
}

fn report_unmatched(
    tags: &[TagPlan],
    inputs: &[Read<InputPlan>],
    filters: &[Read<FilterPlan>],
    problems: &mut Problems,
) {
    for tag in tags.iter().filter(|tag| tag.consumers.is_empty()) {
        // The rest of a split is often meant to end.
        if tag.name.ends_with(".other") {
            continue;
        }
        let at = match tag.producer {
            Producer::Input(input) => &inputs[input].name_span,
            Producer::Filter(filter, _) => &filters[filter].name_span,
        };
        let message = format!("nothing takes the tag `{}`: its events end as unmatched", tag.name);
        problems.push(Problem::warning(message).at(at.clone()));
    }
}

pub(crate) fn outputs_behind(tags: &[TagPlan], filters: &[FilterPlan], tag: usize) -> Vec<usize> {
    let mut outputs = Vec::new();
    let mut seen = vec![false; filters.len()];
    let mut queue = vec![tag];
    while let Some(at) = queue.pop() {
        for consumer in &tags[at].consumers {
            match *consumer {
                Consumer::Output(output) if !outputs.contains(&output) => outputs.push(output),
                Consumer::Filter(filter) if !seen[filter] => {
                    seen[filter] = true;
                    queue.extend((0..tags.len()).filter(
                        |&t| matches!(tags[t].producer, Producer::Filter(f, _) if f == filter),
                    ));
                }
                _ => {}
            }
        }
    }
    outputs.sort_unstable();
    outputs
}

pub(crate) fn inputs_before(tags: &[TagPlan], tag: usize) -> Vec<usize> {
    let mut inputs = Vec::new();
    let mut seen = vec![false; tags.len()];
    let mut queue = vec![tag];
    while let Some(at) = queue.pop() {
        if std::mem::replace(&mut seen[at], true) {
            continue;
        }
        match tags[at].producer {
            Producer::Input(input) => inputs.push(input),
            Producer::Filter(filter, _) => {
                let takes = |t: &usize| tags[*t].consumers.contains(&Consumer::Filter(filter));
                queue.extend((0..tags.len()).filter(takes));
            }
        }
    }
    inputs.sort_unstable();
    inputs
}
