//! The pipeline as a graph, and its pictures.

mod dot;
mod layout;
mod mermaid;
mod svg;
mod text;

/// Which of the three kinds of node it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GraphKind {
    /// Where batches come from.
    Input,
    /// What changes or splits them.
    Filter,
    /// Where they go.
    Output,
}

/// One configured input, filter or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphNode {
    /// Its key in the configuration.
    pub name: String,
    /// What it is.
    pub kind: GraphKind,
    /// The plugin, for example `file`.
    pub plugin: String,
    /// What it does in short, for example the names of its steps.
    pub detail: Vec<String>,
    /// The tenant, unless it is every tenant or the default one.
    pub tenant: Option<String>,
}

/// Batches with a tag that go from one node to another; nodes are meant by their index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphEdge {
    /// Who publishes them.
    pub from: usize,
    /// Who consumes them.
    pub to: usize,
    /// Their tag.
    pub tag: String,
}

/// A tag that nobody consumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmatchedTag {
    /// Who publishes it.
    pub from: usize,
    /// The tag.
    pub tag: String,
}

/// Who feeds whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// All nodes, in the order of the configuration.
    pub nodes: Vec<GraphNode>,
    /// All edges.
    pub edges: Vec<GraphEdge>,
    /// The tags that nobody consumes: their events are counted, and end here.
    pub unmatched: Vec<UnmatchedTag>,
}

impl Graph {
    /// The picture for a terminal: boxes and lines, inputs on the left, outputs on the right.
    #[must_use]
    pub fn text(&self) -> String {
        text::draw(&Drawing::of(self))
    }

    /// The picture as a Mermaid flowchart.
    #[must_use]
    pub fn mermaid(&self) -> String {
        mermaid::draw(&Drawing::of(self))
    }

    /// The picture in the language of Graphviz.
    #[must_use]
    pub fn dot(&self) -> String {
        dot::draw(&Drawing::of(self))
    }

    /// The picture as an image that stands alone, for light and dark pages.
    #[must_use]
    pub fn svg(&self) -> String {
        svg::draw(&Drawing::of(self))
    }
}

/// What all pictures show: cards and arrows, with an extra card for what nobody consumes.
struct Drawing {
    cards: Vec<Card>,
    arrows: Vec<Arrow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CardKind {
    Input,
    Filter,
    Output,
    Unmatched,
}

struct Card {
    kind: CardKind,
    title: String,
    /// Plugin and tenant.
    subtitle: String,
    detail: Vec<String>,
}

struct Arrow {
    from: usize,
    to: usize,
    /// What the tags add to the name of the publisher; empty for its plain name.
    label: String,
}

impl Drawing {
    fn of(graph: &Graph) -> Self {
        let mut cards: Vec<_> = graph.nodes.iter().map(Card::of).collect();
        let mut arrows: Vec<Arrow> = Vec::new();
        let mut connect = |from: usize, to: usize, tag: &str| {
            let Some(source) = graph.nodes.get(from).filter(|_| to != from) else { return };
            let label = match tag.strip_prefix(source.name.as_str()) {
                Some("") => "",
                Some(rest) => rest.strip_prefix('.').unwrap_or(tag),
                None => tag,
            };
            match arrows.iter_mut().find(|arrow| (arrow.from, arrow.to) == (from, to)) {
                Some(arrow) if arrow.label.is_empty() || label.is_empty() => arrow.label.clear(),
                Some(arrow) => arrow.label = format!("{}, {label}", arrow.label),
                None => arrows.push(Arrow { from, to, label: label.to_owned() }),
            }
        };
        for edge in graph.edges.iter().filter(|edge| edge.to < graph.nodes.len()) {
            connect(edge.from, edge.to, &edge.tag);
        }
        for unmatched in &graph.unmatched {
            connect(unmatched.from, graph.nodes.len(), &unmatched.tag);
        }
        if !graph.unmatched.is_empty() {
            cards.push(Card {
                kind: CardKind::Unmatched,
                title: "unmatched".to_owned(),
                subtitle: "counted, not delivered".to_owned(),
                detail: Vec::new(),
            });
        }
        Self { cards, arrows }
    }

    fn is_unmatched(&self, arrow: &Arrow) -> bool {
        self.cards[arrow.to].kind == CardKind::Unmatched
    }
}

impl Card {
    fn of(node: &GraphNode) -> Self {
        let about = [Some(node.plugin.as_str()), node.tenant.as_deref()];
        let about: Vec<_> = about.into_iter().flatten().filter(|text| !text.is_empty()).collect();
        Self {
            kind: match node.kind {
                GraphKind::Input => CardKind::Input,
                GraphKind::Filter => CardKind::Filter,
                GraphKind::Output => CardKind::Output,
            },
            title: visible(&node.name),
            subtitle: visible(&about.join(" · ")),
            detail: node.detail.iter().map(|text| visible(text)).collect(),
        }
    }
}

/// Control characters must neither reach a terminal nor an XML reader.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A text cut to so many characters.
fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some(_) => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// Words in lines that are no wider than `width_max`, by a measure of their width; what does not
/// fit into `lines_max` is counted at the end.
fn wrapped(
    words: &[String],
    separator: &str,
    width_max: usize,
    lines_max: usize,
    width: impl Fn(&str) -> usize,
) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (n, word) in words.iter().enumerate() {
        let joined = lines.last().map(|line| format!("{line}{separator}{word}"));
        match joined.filter(|line| width(line) <= width_max) {
            Some(joined) => {
                lines.pop();
                lines.push(joined);
            }
            None if lines.len() == lines_max => {
                let more = format!("{separator}+{}", words.len() - n);
                if let Some(last) = lines.last_mut() {
                    last.push_str(&more);
                }
                return lines;
            }
            None => lines.push(word.clone()),
        }
    }
    lines
}

#[cfg(test)]
mod tests;
