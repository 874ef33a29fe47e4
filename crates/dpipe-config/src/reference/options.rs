//! What a JSON Schema says of options, as a list that people read.

use serde_json::{Map, Value};

/// An option, or a value that one may have.
pub(super) struct Item {
    name: String,
    /// What it takes; nothing, for a value.
    kind: String,
    /// Required, or what holds if it is left out.
    note: String,
    words: String,
    within: Vec<Item>,
}

/// What a schema takes.
#[derive(Default)]
struct Kind {
    words: String,
    /// The options of a map, or the values of a choice.
    within: Vec<Item>,
}

/// Types that have a word of their own.
const WORDS: [(&str, &str); 9] = [
    ("ByteSize", "size"),
    ("Condition", "condition"),
    ("FieldPath", "field path"),
    ("Glob", "glob"),
    ("Period", "duration"),
    ("Permissions", "octal permissions"),
    ("Regex", "regular expression"),
    ("Secret", "secret"),
    ("Template", "template"),
];

pub(super) struct Options<'a> {
    pub(super) definitions: &'a Map<String, Value>,
}

impl Options<'_> {
    /// The options of a schema that is a map, or has forms that are. Text before them says what is
    /// taken besides.
    pub(super) fn of(&self, schema: &Value) -> (Option<String>, Vec<Item>) {
        let (schema, _) = self.resolve(schema);
        let kind = self.kind(schema);
        let is_plain = schema["properties"].is_object() || kind.words == "nothing";
        ((!is_plain).then_some(kind.words), kind.within)
    }

    /// One option by itself.
    pub(super) fn item(&self, name: &str, schema: &Value, is_required: bool) -> Item {
        let (target, _) = self.resolve(schema);
        let mut kind = self.kind(schema);
        if name == "codec" {
            // The codecs have pages of their own.
            kind = Kind { words: "codec".into(), within: Vec::new() };
        }
        let is_null = |form: &Value| form["type"] == "null";
        let may_be_left_out =
            target["anyOf"].as_array().is_some_and(|forms| forms.iter().any(is_null));
        let default = schema.get("default").or_else(|| target.get("default"));
        let note = match default {
            _ if is_required => "required".into(),
            Some(Value::Null) | None if may_be_left_out => "optional".into(),
            None | Some(Value::Null) if kind.words == "map" => String::new(),
            None | Some(Value::Null) => "optional".into(),
            Some(Value::Object(entries)) if entries.is_empty() => "default none".into(),
            // Each of the options within tells its own.
            Some(Value::Object(_)) => String::new(),
            Some(Value::Array(items)) if items.is_empty() => "default none".into(),
            Some(Value::String(text)) if text.is_empty() => "default empty".into(),
            Some(Value::String(text)) => format!("default `{text}`"),
            Some(value) => format!("default `{value}`"),
        };
        let words = schema["description"].as_str().or_else(|| target["description"].as_str());
        let words = words.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        Item { name: name.to_owned(), kind: kind.words, note, words, within: kind.within }
    }

    /// The schema that a reference leads to, and its name.
    fn resolve<'a>(&'a self, mut schema: &'a Value) -> (&'a Value, Option<&'a str>) {
        let mut name = None;
        loop {
            let next = match (schema["allOf"].as_array().map(Vec::as_slice), &schema["anyOf"]) {
                (Some([only]), _) => Some(only),
                _ => None,
            };
            if let Some(next) = next {
                schema = next;
                continue;
            }
            let reference = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/definitions/"));
            match reference.and_then(|name| Some((name, self.definitions.get(name)?))) {
                Some((found, target)) => (schema, name) = (target, Some(found)),
                None => return (schema, name),
            }
        }
    }

    fn kind(&self, schema: &Value) -> Kind {
        let (schema, name) = self.resolve(schema);
        let word = |words: &str| Kind { words: words.to_owned(), within: Vec::new() };
        if let Some((_, words)) = WORDS.iter().find(|(known, _)| Some(*known) == name) {
            return word(words);
        }
        for forms in [&schema["anyOf"], &schema["oneOf"]] {
            if let Some(forms) = forms.as_array() {
                return self.choice(forms);
            }
        }
        if let Some(names) = schema["enum"].as_array() {
            return word(&one_of(names.iter().filter_map(Value::as_str)));
        }
        if let Some(value) = schema.get("const") {
            return word(&format!("`{}`", value.as_str().unwrap_or_default()));
        }
        match &schema["type"] {
            Value::Array(types) => {
                let types = types.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
                let types: Vec<_> = types.collect();
                let kinds = types.iter().map(|kind| self.simple(kind, schema).words);
                word(&kinds.collect::<Vec<_>>().join(" or "))
            }
            Value::String(kind) => self.simple(kind, schema),
            _ => word("any value"),
        }
    }

    fn simple(&self, kind: &str, schema: &Value) -> Kind {
        let word = |words: &str| Kind { words: words.to_owned(), within: Vec::new() };
        match kind {
            "integer" => word("whole number"),
            "number" => word("number"),
            "boolean" => word("`true` or `false`"),
            "string" => word("text"),
            "array" => {
                let item = self.kind(&schema["items"]);
                let words = if item.words.contains([' ', '`']) && item.words != "field path" {
                    format!("list, each {}", item.words)
                } else {
                    format!("list of {}s", item.words)
                };
                Kind { words, within: item.within }
            }
            "object" => match (&schema["properties"], &schema["additionalProperties"]) {
                (Value::Object(properties), _) if !properties.is_empty() => {
                    Kind { words: "map".into(), within: self.properties(schema, properties) }
                }
                (_, Value::Object(inner)) => {
                    let inner = self.kind(&Value::Object(inner.clone()));
                    Kind { words: format!("map from names to {}", inner.words), ..inner }
                }
                _ => word("nothing"),
            },
            "null" => word("nothing"),
            other => word(other),
        }
    }

    fn properties(&self, schema: &Value, properties: &Map<String, Value>) -> Vec<Item> {
        let required = schema["required"].as_array();
        let is_required =
            |name: &str| required.is_some_and(|list| list.iter().any(|key| key == name));
        let item = |(name, schema): (&String, &Value)| self.item(name, schema, is_required(name));
        properties.iter().map(item).collect()
    }

    fn choice(&self, forms: &[Value]) -> Kind {
        let forms: Vec<&Value> = forms.iter().filter(|form| form["type"] != "null").collect();
        if forms.iter().all(|form| form["const"].is_string()) {
            let names = forms.iter().filter_map(|form| form["const"].as_str());
            let value = |form: &&Value| Item {
                name: form["const"].as_str().unwrap_or_default().to_owned(),
                kind: String::new(),
                note: String::new(),
                words: form["description"].as_str().unwrap_or_default().replace('\n', " "),
                within: Vec::new(),
            };
            let within = forms.iter().filter(|form| form["description"].is_string()).map(value);
            return Kind { words: one_of(names.clone()), within: within.collect() };
        }
        let kinds: Vec<Kind> = forms.iter().map(|form| self.kind(form)).collect();
        let words: Vec<&str> = kinds.iter().map(|kind| kind.words.as_str()).collect();
        let words = words.join(", or ");
        // The values of a choice among others stand in its words.
        let within = kinds.into_iter().flat_map(|kind| kind.within);
        Kind { words, within: within.filter(|item| !item.kind.is_empty()).collect() }
    }
}

fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.join(""),
    }
}

/// The items as a Markdown list.
pub(super) fn list(items: &[Item]) -> String {
    let mut text = String::new();
    write(items, 0, &mut text);
    text
}

fn write(items: &[Item], depth: usize, text: &mut String) {
    for item in items {
        let about: Vec<&str> =
            [item.kind.as_str(), &item.note].into_iter().filter(|part| !part.is_empty()).collect();
        let about =
            if about.is_empty() { String::new() } else { format!(" ({})", about.join("; ")) };
        let line = format!("- `{}`{about}: {}", item.name, item.words);
        text.push_str(&wrapped(line.trim_end_matches([':', ' ']), depth * 2));
        write(&item.within, depth + 1, text);
    }
}

/// The text in lines of a bearable length, those after the first indented below the item.
fn wrapped(text: &str, indent: usize) -> String {
    /// As the documentation that people write.
    const WIDTH: usize = 100;

    let mut out = String::new();
    let mut line = " ".repeat(indent);
    let mut is_new = true;
    for word in text.split(' ') {
        if !is_new && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = " ".repeat(indent + 2);
            is_new = true;
        }
        if !is_new {
            line.push(' ');
        }
        line.push_str(word);
        is_new = false;
    }
    out.push_str(&line);
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_option_tells_what_it_takes_and_what_holds_without_it() {
        let definitions = json!({
            "ByteSize": { "type": "string" },
            "Mode": { "oneOf": [
                { "const": "fast", "description": "Be fast." },
                { "const": "slow", "description": "Be slow." }
            ] },
            "Inner": { "type": "object", "properties": {
                "depth": { "type": "integer", "default": 3, "description": "How deep." }
            } }
        });
        let schema = json!({
            "type": "object",
            "properties": {
                "size": { "$ref": "#/definitions/ByteSize", "description": "How much." },
                "mode": { "allOf": [{ "$ref": "#/definitions/Mode" }], "default": "fast", "description": "How." },
                "names": { "type": "array", "items": { "type": "string" }, "default": [], "description": "Who." },
                "inner": { "anyOf": [{ "$ref": "#/definitions/Inner" }, { "type": "null" }], "description": "What." },
                "any": { "anyOf": [{ "type": "boolean" }, { "type": "object", "additionalProperties": { "type": "number" } }] }
            },
            "required": ["size"]
        });
        let options = Options { definitions: definitions.as_object().unwrap() };
        let (words, items) = options.of(&schema);
        assert_eq!(words, None);
        let expected = "\
- `size` (size; required): How much.
- `mode` (`fast` or `slow`; default `fast`): How.
  - `fast`: Be fast.
  - `slow`: Be slow.
- `names` (list of texts; default none): Who.
- `inner` (map; optional): What.
  - `depth` (whole number; default `3`): How deep.
- `any` (`true` or `false`, or map from names to number; optional)
";
        assert_eq!(list(&items), expected);
    }

    #[test]
    fn long_words_are_wrapped_below_their_item() {
        let text = wrapped(&format!("- `a`: {}", "word ".repeat(30).trim()), 2);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.len() <= 100), "{text}");
        assert!(lines[1].starts_with("    word"), "{text}");
    }
}
