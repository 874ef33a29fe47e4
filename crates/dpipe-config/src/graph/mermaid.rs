//! A Mermaid flowchart.

use std::fmt::Write as _;

use super::{CardKind, Drawing};

pub(super) fn draw(drawing: &Drawing) -> String {
    let mut out = "flowchart LR\n".to_owned();
    for (n, card) in drawing.cards.iter().enumerate() {
        let (open, close, class) = match card.kind {
            CardKind::Input => ("([", "])", "input"),
            CardKind::Filter => ("[", "]", "filter"),
            CardKind::Output => ("[/", "/]", "output"),
            CardKind::Unmatched => ("[", "]", "unmatched"),
        };
        let mut label = format!("<b>{}</b>", escaped(&card.title));
        for line in [card.subtitle.clone(), card.detail.join(" → ")] {
            if !line.is_empty() {
                let _ = write!(label, "<br/>{}", escaped(&line));
            }
        }
        let _ = writeln!(out, "  n{n}{open}\"{label}\"{close}:::{class}");
    }
    for arrow in &drawing.arrows {
        let line = if drawing.is_unmatched(arrow) { "-.->" } else { "-->" };
        let label = match arrow.label.as_str() {
            "" => String::new(),
            label => format!("|\"{}\"|", escaped(label)),
        };
        let _ = writeln!(out, "  n{} {line}{label} n{}", arrow.from, arrow.to);
    }
    out.push_str(
        "  classDef input fill:#e6f4f1,stroke:#0f766e,color:#134e4a\n\
         \x20 classDef filter fill:#eef0fb,stroke:#4f5bd5,color:#312e81\n\
         \x20 classDef output fill:#fdf1e3,stroke:#b45309,color:#713f12\n\
         \x20 classDef unmatched fill:#ffffff,stroke:#9ca3af,color:#4b5563,stroke-dasharray:4 3\n",
    );
    out
}

/// Mermaid's own entities: a label may hold neither quotes nor markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '#' => out.push_str("#35;"),
            '"' => out.push_str("#quot;"),
            '&' => out.push_str("#amp;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '`' => out.push_str("#96;"),
            _ => out.push(c),
        }
    }
    out
}
