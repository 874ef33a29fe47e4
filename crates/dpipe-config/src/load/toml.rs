//! TOML, by way of the spanned tables of the `toml` crate.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use dpipe_plugin::settings::{
    Entry, Node, NodeValue, Problem, Problems, Scalar, ScalarKind, SourceFile,
};

use super::{DEPTH_MAX, too_deep};

pub(super) fn parse(file: &Arc<SourceFile>) -> Result<Node, Problems> {
    let (root, errors) = DeTable::parse_recoverable(file.text());
    let mut problems = Problems::new();
    for error in errors {
        let span = file.span(error.span().unwrap_or_default());
        problems.push(Problem::error(error.message()).at(span));
    }
    if problems.has_errors() {
        return Err(problems);
    }
    let span = file.span(0..file.text().len());
    Ok(Node::new(span, map(file, root.get_ref(), 1)?))
}

fn map(file: &Arc<SourceFile>, table: &DeTable<'_>, depth: usize) -> Result<NodeValue, Problem> {
    let entry = |(key, value): (&Spanned<_>, _)| {
        let key_span = Some(file.span(key.span()));
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        Ok(Entry { key: key.to_string(), value: Node { key_span, ..node(file, value, depth)? } })
    };
    let mut entries = table.iter().map(entry).collect::<Result<Vec<_>, Problem>>()?;
    // The crate sorts by name; the order written is the order of the steps.
    entries.sort_by_key(|entry| entry.key_span().start);
    Ok(NodeValue::Map(entries))
}

fn node(
    file: &Arc<SourceFile>,
    value: &Spanned<DeValue<'_>>,
    depth: usize,
) -> Result<Node, Problem> {
    let span = file.span(value.span());
    let scalar = |kind, text: String| NodeValue::Scalar(Scalar::of_kind(kind, text));
    let value = match value.get_ref() {
        DeValue::Array(_) | DeValue::Table(_) if depth >= DEPTH_MAX => {
            return Err(too_deep().at(span));
        }
        DeValue::Array(items) => NodeValue::List(
            items.iter().map(|item| node(file, item, depth + 1)).collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => map(file, table, depth + 1)?,
        DeValue::String(text) => NodeValue::Scalar(Scalar::quoted(text.as_ref())),
        DeValue::Datetime(_) => NodeValue::Scalar(Scalar::quoted(span.text())),
        DeValue::Boolean(value) => scalar(ScalarKind::Bool, value.to_string()),
        DeValue::Float(number) => scalar(ScalarKind::Float, number.as_str().to_owned()),
        DeValue::Integer(number) => {
            let prefix = match number.radix() {
                16 => "0x",
                8 => "0o",
                2 => "0b",
                _ => "",
            };
            scalar(ScalarKind::Integer, format!("{prefix}{}", number.as_str()))
        }
    };
    Ok(Node::new(span, value))
}
