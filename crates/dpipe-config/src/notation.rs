//! Proposals in the notation of the file that they are for.

use std::path::Path;

use dpipe_plugin::settings::Span;

use crate::load::Format;

/// `key: value`, as it is written in the file of this place.
pub(crate) fn setting(at: &Span, key: &str, value: &str) -> String {
    match format(at) {
        Format::Yaml => format!("`{key}: {value}`"),
        Format::Json => format!("`\"{key}\": {}`", quoted(value)),
        Format::Toml => format!("`{key} = {}`", quoted(value)),
    }
}

/// A step of a filter, as it is written in the file of this place.
pub(crate) fn step(at: &Span, name: &str, field: &str) -> String {
    match format(at) {
        Format::Yaml => format!("`- {name}: [{field}]`"),
        Format::Json => format!("`{{ \"{name}\": [\"{field}\"] }}`"),
        Format::Toml => format!("`{{ {name} = [\"{field}\"] }}`"),
    }
}

fn format(at: &Span) -> Format {
    Format::of(Path::new(at.file.path()))
}

/// A list of one name, an empty map, or a name, with the quotes that YAML does without.
fn quoted(value: &str) -> String {
    match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        Some(name) => format!("[\"{name}\"]"),
        None if value == "{}" => value.to_owned(),
        None => format!("\"{value}\""),
    }
}

#[cfg(test)]
mod tests {
    use dpipe_plugin::settings::SourceFile;

    use super::*;

    #[test]
    fn a_proposal_can_be_copied_into_the_file_that_it_is_for() {
        let said = |file: &str| {
            let span = SourceFile::new(file, "x").span(0..1);
            [
                setting(&span, "match", "[logs]"),
                setting(&span, "rs", "{}"),
                step(&span, "keep", "a"),
            ]
        };
        assert_eq!(said("a.yaml"), ["`match: [logs]`", "`rs: {}`", "`- keep: [a]`"]);
        let json = ["`\"match\": [\"logs\"]`", "`\"rs\": {}`", "`{ \"keep\": [\"a\"] }`"];
        assert_eq!(said("a.json"), json);
        let toml = ["`match = [\"logs\"]`", "`rs = {}`", "`{ keep = [\"a\"] }`"];
        assert_eq!(said("a.toml"), toml);
    }
}
