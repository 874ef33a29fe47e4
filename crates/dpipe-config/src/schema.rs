//! The JSON Schema of the configuration, from the types: editors complete and check by it.

use dpipe_plugin::settings::ByteSize;
use dpipe_plugin::{Condition, Entry, Multiline, Registry};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::plan::{Buffer, TenantConfig, Top};

/// The schema of a configuration file.
#[must_use]
pub fn schema(registry: &Registry) -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let keys = EngineKeys::new(registry, &mut generator);
    let of = |list: Vec<(&'static str, Value)>, keys: &[(&'static str, Value)]| -> Vec<Value> {
        list.into_iter().map(|(name, own)| node(own, name, keys)).collect()
    };
    let inputs = of(own_schemas(registry.inputs, &mut generator), &keys.input);
    let outputs = of(own_schemas(registry.outputs, &mut generator), &keys.output);
    let mut steps: Vec<Value> = own_schemas(registry.steps, &mut generator)
        .into_iter()
        .zip(registry.steps)
        .map(|((name, own), entry)| step(name, own, keys.step(entry.takes_codec)))
        .collect();
    // A step that needs no settings is written as its name.
    let bare = |step: &Value| {
        let (name, own) = step["properties"].as_object()?.iter().next()?;
        takes_nothing(own).then(|| name.clone())
    };
    let bare: Vec<String> = steps.iter().filter_map(bare).collect();
    steps.push(json!({ "enum": bare }));
    let top = value_of(generator.root_schema_for::<Top>());
    let tenants = value_of(generator.subschema_for::<TenantConfig>());
    let mut properties = top["properties"].as_object().cloned().unwrap_or_default();
    properties.insert("include".into(), include());
    let tenants = json!({ "anyOf": [tenants, { "type": "null" }] });
    properties.insert("tenants".into(), map_of(&tenants));
    properties.insert("inputs".into(), map_of(&json!({ "oneOf": inputs })));
    properties.insert(
        "filters".into(),
        map_of(&json!({
            "type": "object",
            "properties": { "match": tags(), "steps": { "type": "array", "items": { "anyOf": steps } } },
            "required": ["match", "steps"],
            "additionalProperties": false
        })),
    );
    properties.insert("outputs".into(), map_of(&json!({ "oneOf": outputs })));
    let mut definitions = generator.take_definitions(true);
    definitions.insert(
        SUBSTITUTED.into(),
        json!({
            "description": "A value from the environment or a file: `${VAR}`, `${file:/path}`.",
            "type": "string",
            "pattern": r"\$\{"
        }),
    );
    // The size is everywhere; without this an unused definition would be dropped by editors.
    definitions.entry("ByteSize").or_insert_with(|| value_of(schemars::schema_for!(ByteSize)));
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "dpipe",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "definitions": definitions
    });
    allow_substitution(&mut schema);
    schema
}

const SUBSTITUTED: &str = "Substituted";

/// Lets `${…}` stand wherever something else than any text is wanted.
fn allow_substitution(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(allow_substitution),
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                match (key.as_str(), inner) {
                    ("default" | "enum" | "const", _) => {}
                    // Here the keys are names, whatever they are called.
                    ("properties" | "definitions", Value::Object(named)) => named
                        .iter_mut()
                        .filter(|(name, _)| *name != SUBSTITUTED)
                        .for_each(|(_, inner)| allow_substitution(inner)),
                    (_, inner) => allow_substitution(inner),
                }
            }
            let is_scalar =
                |kind: &Value| matches!(kind.as_str(), Some("integer" | "number" | "boolean"));
            let wanted = map.get("type").is_some_and(|kind| match kind.as_array() {
                Some(kinds) => kinds.iter().any(is_scalar),
                // A list of properties may have a `type` and a `pattern` too; those are schemas.
                None => is_scalar(kind) || (kind == "string" && map.contains_key("pattern")),
            });
            if wanted {
                let mut outer = Map::new();
                for key in ["description", "default", "examples"] {
                    outer.extend(map.remove(key).map(|value| (key.to_owned(), value)));
                }
                let reference = json!({ "$ref": format!("#/definitions/{SUBSTITUTED}") });
                let inner = Value::Object(std::mem::replace(map, outer));
                map.insert("anyOf".into(), json!([inner, reference]));
            }
        }
        _ => {}
    }
}

/// The keys that the engine reads itself, beside those of a plugin, each with its schema.
pub(crate) struct EngineKeys {
    pub(crate) input: Vec<(&'static str, Value)>,
    pub(crate) output: Vec<(&'static str, Value)>,
    /// The last one is for steps that take a codec.
    step: [(&'static str, Value); 2],
}

impl EngineKeys {
    pub(crate) fn new(registry: &Registry, generator: &mut SchemaGenerator) -> Self {
        let decoders = codec(
            "The codec that makes events of what is read: its name, or a map with `type` and its options.",
            own_schemas(registry.decoders, generator),
        );
        let encoders = codec(
            "The codec that writes the events: its name, or a map with `type` and its options.",
            own_schemas(registry.encoders, generator),
        );
        let multiline = value_of(generator.subschema_for::<Multiline>());
        let buffer = value_of(generator.subschema_for::<Buffer>());
        let when = value_of(generator.subschema_for::<Condition>());
        let described =
            |schema: Value, words: &str| json!({ "allOf": [schema], "description": words });
        let multiline = described(
            multiline,
            "Which lines are joined to one event, for inputs that read lines: the name of a language \
             whose stack traces are meant, or a map.",
        );
        let buffer = described(buffer, "The room for what the output has not taken yet.");
        let when = described(when, "The step acts on the events that meet this condition only.");
        EngineKeys {
            input: vec![
                ("tenant", tenant()),
                ("codec", decoders.clone()),
                ("multiline", multiline),
            ],
            output: vec![("match", tags()), ("codec", encoders), ("buffer", buffer)],
            step: [("when", when), ("codec", decoders)],
        }
    }

    pub(crate) fn step(&self, takes_codec: bool) -> &[(&'static str, Value)] {
        &self.step[..if takes_codec { 2 } else { 1 }]
    }
}

fn codec(words: &str, list: Vec<(&str, Value)>) -> Value {
    let names: Vec<&str> = list.iter().map(|(name, _)| *name).collect();
    let maps = list.iter().map(|(name, own)| node(own.clone(), name, &[]));
    let mut choices = vec![json!({ "enum": names })];
    choices.extend(maps);
    json!({ "description": words, "anyOf": choices })
}

fn tags() -> Value {
    json!({
        "description": "The tags to take: names of inputs and filters. `*` stands for any characters \
                        but a dot, `**` for any at all.",
        "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
    })
}

fn tenant() -> Value {
    json!({
        "description": "Whose events these are: a name of the section `tenants`, or a map that takes \
                        it from the path of the file.",
        "default": "default",
        "anyOf": [
            { "type": "string" },
            {
                "type": "object",
                "properties": {
                    "from": { "const": "path", "description": "The path of the file." },
                    "pattern": {
                        "type": "string",
                        "description": "A regular expression, as it is written, with a group \
                                        `(?<tenant>…)` around what is the tenant's name."
                    }
                },
                "required": ["from", "pattern"],
                "additionalProperties": false
            }
        ]
    })
}

pub(crate) fn include() -> Value {
    json!({
        "description": "Other files that belong to this configuration; globs are allowed.",
        "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
    })
}

pub(crate) fn value_of(schema: schemars::Schema) -> Value {
    schema.to_value()
}

fn map_of(item: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": item })
}

/// The schema of each plugin's own settings, without references on top.
pub(crate) fn own_schemas<S: ?Sized>(
    list: &'static [Entry<S>],
    generator: &mut SchemaGenerator,
) -> Vec<(&'static str, Value)> {
    let own = |entry: &'static Entry<S>| {
        let (mut value, about) = resolved(value_of((entry.schema)(generator)), generator);
        if let Some(map) = value.as_object_mut() {
            if let Some(about) = about {
                map.insert("$comment".into(), about);
            }
            map.insert("description".into(), entry.summary().into());
        }
        (entry.name, value)
    };
    list.iter().map(own).collect()
}

/// The schema that a reference leads to, and what the first type on the way to it says of itself; a
/// new type refers to what it holds by `allOf`.
fn resolved(mut value: Value, generator: &SchemaGenerator) -> (Value, Option<Value>) {
    let mut about = None;
    loop {
        about = about.or_else(|| value.get("description").cloned());
        let reference = match value["allOf"].as_array().map(Vec::as_slice) {
            Some([only]) => &only["$ref"],
            _ => &value["$ref"],
        };
        let name = reference.as_str().and_then(|r| r.strip_prefix("#/definitions/"));
        match name.and_then(|name| generator.definitions().get(name)) {
            Some(definition) => value = definition.clone(),
            None => return (value, about),
        }
    }
}

/// A plugin's settings with the engine's own keys.
fn node(mut own: Value, name: &str, keys: &[(&str, Value)]) -> Value {
    let Some(map) = own.as_object_mut() else { return own };
    let properties = map.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("type".into(), json!({ "const": name }));
        for (key, schema) in keys {
            properties.insert((*key).to_owned(), schema.clone());
        }
    }
    let required = map.entry("required").or_insert_with(|| json!([]));
    if let Some(required) = required.as_array_mut() {
        required.push("type".into());
        if keys.iter().any(|(key, _)| *key == "match") {
            required.push("match".into());
        }
    }
    map.insert("type".into(), "object".into());
    own
}

/// A step: its name and its settings, which take the engine's keys where they are a map.
fn step(name: &str, mut own: Value, keys: &[(&str, Value)]) -> Value {
    add_keys(&mut own, keys);
    if takes_nothing(&own) {
        own["type"] = json!(["object", "null"]);
    }
    let mut properties = Map::new();
    properties.insert(name.to_owned(), own);
    json!({ "type": "object", "properties": properties, "required": [name], "additionalProperties": false })
}

/// Adds the keys that every step has to the forms of its settings that are maps.
fn add_keys(own: &mut Value, keys: &[(&str, Value)]) {
    if let Some(forms) = own.get_mut("anyOf").and_then(Value::as_array_mut) {
        forms.iter_mut().for_each(|form| add_keys(form, keys));
        return;
    }
    let Some(map) = own.as_object_mut().filter(|map| map.get("type") == Some(&json!("object")))
    else {
        return;
    };
    let properties = map.entry("properties").or_insert_with(|| json!({}));
    for (key, schema) in keys {
        properties[*key] = schema.clone();
    }
    if keys.iter().any(|(key, _)| *key == "codec") {
        let required = map.entry("required").or_insert_with(|| json!([]));
        required.as_array_mut().into_iter().for_each(|required| required.push("codec".into()));
    }
}

/// Whether a step can be written without settings.
fn takes_nothing(own: &Value) -> bool {
    own.get("properties").is_some()
        && own.get("required").and_then(Value::as_array).is_none_or(Vec::is_empty)
        && own.get("minProperties").is_none()
}
