//! YAML 1.2, from the events of the parser to the tree.

mod mistakes;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span as Place, StructureStyle, Tag, options};

use dpipe_plugin::settings::{
    Entry, Node, NodeValue, Problem, Problems, Scalar, ScalarKind, SourceFile, Span,
};

use super::{DEPTH_MAX, duplicate_key, too_deep};

/// Aliases may make so many values out of a file; without a bound, ten lines make a billion.
const VALUES_MAX: usize = 100_000;
/// `<<: *base` takes over the entries of another map.
const MERGE_KEY: &str = "<<";

pub(super) fn parse(file: &Arc<SourceFile>) -> Result<Node, Problems> {
    let options = options! { emit_comments: false };
    let mut builder = Builder::new(Arc::clone(file));
    for event in Parser::new_from_str_with_options(file.text(), options) {
        let event = event.map_err(|error| mistakes::explain(file, &error))?;
        builder.take(event)?;
    }
    builder.finish()
}

/// A list or map that is not closed yet.
struct Open {
    span: Span,
    block: bool,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: HashSet<String>,
        merged: Vec<Node>,
        key: Option<(String, Span)>,
    },
}

/// A value that aliases can refer to.
struct Anchored {
    node: Node,
    values: usize,
    depth: usize,
}

struct Builder {
    file: Arc<SourceFile>,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    anchors: HashMap<usize, Anchored>,
    values: usize,
    problems: Problems,
}

impl Builder {
    fn new(file: Arc<SourceFile>) -> Self {
        Self {
            file,
            open: Vec::new(),
            root: None,
            documents: 0,
            anchors: HashMap::new(),
            values: 0,
            problems: Problems::new(),
        }
    }

    fn take(&mut self, (event, place): (Event<'_>, Place)) -> Result<(), Problem> {
        let span = self.file.span(place.byte_range().unwrap_or_default());
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Problem::error("a second document begins here")
                        .at(span)
                        .help("a configuration is one document; use `include` to split it"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = scalar(&text, style, tag.as_deref(), &span)?;
                self.put(Node::scalar(span, scalar), anchor, 1)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.begin(span, style, anchor, tag.as_deref(), Content::List(Vec::new()))?;
            }
            Event::MappingStart(style, anchor, tag) => {
                let content = Content::Map {
                    entries: Vec::new(),
                    seen: HashSet::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.begin(span, style, anchor, tag.as_deref(), content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(&span)?,
            Event::Alias(id) => {
                let Some(Anchored { node, values, depth }) = self.anchors.get(&id) else {
                    return Err(Problem::error("this alias is part of what it refers to").at(span));
                };
                if self.open.len() + depth > DEPTH_MAX {
                    return Err(too_deep().at(span));
                }
                let (mut node, values) = (node.clone(), *values);
                node.span = span;
                self.put(node, 0, values)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        span: Span,
        style: StructureStyle,
        anchor: usize,
        tag: Option<&Tag>,
        content: Content,
    ) -> Result<(), Problem> {
        if tag.is_some_and(|tag| !matches!(tag.core_suffix(), Some("seq" | "map"))) {
            return Err(unknown_tag(&span));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep().at(span));
        }
        self.open.push(Open { span, block: style == StructureStyle::Block, anchor, content });
        Ok(())
    }

    fn end(&mut self, end: &Span) -> Result<(), Problem> {
        let Open { mut span, block, anchor, content } =
            self.open.pop().expect("the parser closes only what it opened");
        let value = match content {
            Content::List(items) => NodeValue::List(items),
            Content::Map { entries, seen, merged, .. } => {
                NodeValue::Map(merge(entries, seen, merged))
            }
        };
        // A block ends, for the parser, where the next begins; for a reader, with its last value.
        span.end = match &value {
            _ if !block => end.end,
            NodeValue::List(items) => items.last().map_or(span.end, |last| last.span.end),
            NodeValue::Map(entries) => {
                let own = entries.iter().filter(|entry| entry.key_span().start >= span.start);
                own.map(|entry| entry.value.span.end.max(entry.key_span().end))
                    .max()
                    .unwrap_or(span.end)
            }
            NodeValue::Scalar(_) => span.end,
        };
        self.put(Node::new(span, value), anchor, 1)
    }

    /// Puts a finished value where it belongs; `values` is how many values it adds to the tree.
    fn put(&mut self, node: Node, anchor: usize, values: usize) -> Result<(), Problem> {
        self.values += values;
        if self.values > VALUES_MAX {
            let message = format!("more than {VALUES_MAX} values, with what the aliases repeat");
            return Err(Problem::error(message).at(node.span));
        }
        if anchor != 0 {
            let (values, depth) = measure(&node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), values, depth });
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { key: key @ None, .. }) => *key = Some(key_text(&node)?),
            Some(Content::Map { entries, seen, merged, key }) => {
                let (key, key_span) = key.take().expect("matched above");
                if key == MERGE_KEY {
                    return take_merge(merged, node);
                }
                if !seen.insert(key.clone()) {
                    self.problems.push(duplicate_key(entries, &key).at(key_span));
                    return Ok(());
                }
                entries.push(Entry { key, value: Node { key_span: Some(key_span), ..node } });
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Node, Problems> {
        let empty = || Node::scalar(self.file.span(0..0), Scalar::plain(""));
        let root = self.root.unwrap_or_else(empty);
        self.problems.into_result(root).map(|(root, _)| root)
    }
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    span: &Span,
) -> Result<Scalar, Problem> {
    let plain = style == ScalarStyle::Plain;
    match tag.map(Tag::core_suffix) {
        // The parser says `~` where nothing is written.
        None if plain && span.text().is_empty() => Ok(Scalar::plain("")),
        None if plain => Ok(Scalar::plain(text)),
        None | Some(Some("str")) => Ok(Scalar::quoted(text)),
        Some(Some("int" | "float" | "bool" | "null")) => {
            let scalar = Scalar::plain(text);
            match scalar.kind {
                ScalarKind::String => {
                    Err(Problem::error("this is not what its tag says").at(span.clone()))
                }
                _ => Ok(scalar),
            }
        }
        Some(_) => Err(unknown_tag(span)),
    }
}

fn unknown_tag(span: &Span) -> Problem {
    Problem::error("tags (`!…`) mean nothing in a configuration")
        .at(span.clone())
        .help("put the value in quotes if it is meant to begin with `!`")
}

fn key_text(node: &Node) -> Result<(String, Span), Problem> {
    match &node.value {
        NodeValue::Scalar(scalar) => Ok((scalar.text.clone(), node.span.clone())),
        _ => Err(Problem::error(format!("a key must be a name, found {}", node.describe()))
            .at(node.span.clone())),
    }
}

fn take_merge(merged: &mut Vec<Node>, node: Node) -> Result<(), Problem> {
    match node.value {
        NodeValue::Map(_) => merged.push(node),
        NodeValue::List(items)
            if items.iter().all(|item| matches!(item.value, NodeValue::Map(_))) =>
        {
            merged.extend(items);
        }
        _ => {
            let message =
                format!("`<<` takes over the entries of a map, found {}", node.describe());
            return Err(Problem::error(message).at(node.span));
        }
    }
    Ok(())
}

/// What is written in the map itself comes before what it takes over.
fn merge(mut entries: Vec<Entry>, mut seen: HashSet<String>, merged: Vec<Node>) -> Vec<Entry> {
    for node in merged {
        let NodeValue::Map(taken) = node.value else { continue };
        entries.extend(taken.into_iter().filter(|entry| seen.insert(entry.key.clone())));
    }
    entries
}

/// How many values a tree has, and how deep it is.
fn measure(node: &Node) -> (usize, usize) {
    let children: Vec<&Node> = match &node.value {
        NodeValue::Scalar(_) => return (1, 0),
        NodeValue::List(items) => items.iter().collect(),
        NodeValue::Map(entries) => entries.iter().map(|entry| &entry.value).collect(),
    };
    let measured = children.into_iter().map(measure);
    measured.fold((1, 1), |(values, depth), (more, deep)| (values + more, depth.max(deep + 1)))
}
