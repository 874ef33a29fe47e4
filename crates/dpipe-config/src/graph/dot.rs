//! The language of Graphviz.

use std::fmt::Write as _;

use super::{CardKind, Drawing};

pub(super) fn draw(drawing: &Drawing) -> String {
    let mut out = "digraph pipeline {\n  rankdir=LR;\n  \
        node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11];\n  \
        edge [color=\"#6b7280\", fontname=\"Helvetica\", fontsize=10, arrowsize=0.7];\n"
        .to_owned();
    for (n, card) in drawing.cards.iter().enumerate() {
        let style = match card.kind {
            CardKind::Input => "color=\"#0f766e\", fillcolor=\"#e6f4f1\"",
            CardKind::Filter => "color=\"#4f5bd5\", fillcolor=\"#eef0fb\"",
            CardKind::Output => "color=\"#b45309\", fillcolor=\"#fdf1e3\"",
            CardKind::Unmatched => {
                "color=\"#9ca3af\", fillcolor=\"#ffffff\", style=\"rounded,dashed\""
            }
        };
        let lines = [card.title.clone(), card.subtitle.clone(), card.detail.join(" → ")];
        let lines: Vec<_> =
            lines.iter().filter(|line| !line.is_empty()).map(|line| escaped(line)).collect();
        let _ = writeln!(out, "  n{n} [label=\"{}\", {style}];", lines.join("\\n"));
    }
    for (rank, kinds) in [
        ("source", [CardKind::Input, CardKind::Input]),
        ("sink", [CardKind::Output, CardKind::Unmatched]),
    ] {
        let cards = drawing.cards.iter().enumerate().filter(|(_, card)| kinds.contains(&card.kind));
        let names: String = cards.map(|(n, _)| format!(" n{n};")).collect();
        if !names.is_empty() {
            let _ = writeln!(out, "  {{ rank={rank};{names} }}");
        }
    }
    for arrow in &drawing.arrows {
        let mut attributes = Vec::new();
        if !arrow.label.is_empty() {
            attributes.push(format!("label=\"{}\"", escaped(&arrow.label)));
        }
        if drawing.is_unmatched(arrow) {
            attributes.push("style=dashed".to_owned());
        }
        let attributes = match attributes.len() {
            0 => String::new(),
            _ => format!(" [{}]", attributes.join(", ")),
        };
        let _ = writeln!(out, "  n{} -> n{}{attributes};", arrow.from, arrow.to);
    }
    out.push_str("}\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
