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
    let codec = |list: Vec<(&str, Value)>| {
        let names: Vec<&str> = list.iter().map(|(name, _)| *name).collect();
        let maps = list.iter().map(|(name, own)| node(own.clone(), name, &[]));
        let mut choices = vec![json!({ "enum": names })];
        choices.extend(maps);
        json!({ "anyOf": choices })
    };
    let decoders = codec(own_schemas(registry.decoders, &mut generator));
    let encoders = codec(own_schemas(registry.encoders, &mut generator));
    let tags = json!({
        "description": "The tags to take; `*` stands for any characters but a dot.",
        "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
    });
    let tenant = json!({
        "description": "Whose events these are: a tenant's name, or from the path of the file.",
        "anyOf": [
            { "type": "string" },
            {
                "type": "object",
                "properties": { "from": { "const": "path" }, "pattern": { "type": "string" } },
                "required": ["from", "pattern"],
                "additionalProperties": false
            }
        ]
    });
    let multiline = value_of(generator.subschema_for::<Multiline>());
    let inputs: Vec<Value> = own_schemas(registry.inputs, &mut generator)
        .into_iter()
        .map(|(name, own)| {
            let keys = [
                ("tenant", tenant.clone()),
                ("codec", decoders.clone()),
                ("multiline", multiline.clone()),
            ];
            node(own, name, &keys)
        })
        .collect();
    let buffer = value_of(generator.subschema_for::<Buffer>());
    let outputs: Vec<Value> = own_schemas(registry.outputs, &mut generator)
        .into_iter()
        .map(|(name, own)| {
            let keys =
                [("match", tags.clone()), ("codec", encoders.clone()), ("buffer", buffer.clone())];
            node(own, name, &keys)
        })
        .collect();
    let when = value_of(generator.subschema_for::<Condition>());
    let steps: Vec<Value> = own_schemas(registry.steps, &mut generator)
        .into_iter()
        .zip(registry.steps)
        .map(|((name, own), entry)| step(name, own, &when, entry.takes_codec.then_some(&decoders)))
        .collect();
    let top = value_of(generator.root_schema_for::<Top>());
    let tenants = value_of(generator.subschema_for::<TenantConfig>());
    let mut properties = top["properties"].as_object().cloned().unwrap_or_default();
    properties.insert("include".into(), json!({ "type": "array", "items": { "type": "string" } }));
    properties.insert("tenants".into(), map_of(&tenants));
    properties.insert("inputs".into(), map_of(&json!({ "oneOf": inputs })));
    properties.insert(
        "filters".into(),
        map_of(&json!({
            "type": "object",
            "properties": { "match": tags, "steps": { "type": "array", "items": { "anyOf": steps } } },
            "required": ["match", "steps"],
            "additionalProperties": false
        })),
    );
    properties.insert("outputs".into(), map_of(&json!({ "oneOf": outputs })));
    let mut definitions = generator.take_definitions(true);
    // The size is everywhere; without this an unused definition would be dropped by editors.
    definitions.entry("ByteSize").or_insert_with(|| value_of(schemars::schema_for!(ByteSize)));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "dpipe",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "definitions": definitions
    })
}

fn value_of(schema: schemars::Schema) -> Value {
    schema.to_value()
}

fn map_of(item: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": item })
}

/// The schema of each plugin's own settings, with references resolved one level.
fn own_schemas<S: ?Sized>(
    list: &'static [Entry<S>],
    generator: &mut SchemaGenerator,
) -> Vec<(&'static str, Value)> {
    let own = |entry: &'static Entry<S>| {
        let schema = (entry.schema)(generator);
        let mut value = value_of(schema);
        let reference = value["$ref"].as_str().and_then(|r| r.strip_prefix("#/definitions/"));
        if let Some(definition) = reference.and_then(|name| generator.definitions().get(name)) {
            value = definition.clone();
        }
        if let Some(map) = value.as_object_mut() {
            map.insert("description".into(), entry.summary().into());
        }
        (entry.name, value)
    };
    list.iter().map(own).collect()
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
    }
    map.insert("type".into(), "object".into());
    own
}

/// A step: its name and its settings, which take `when:` (and a codec, if it does) where they are a
/// map.
fn step(name: &str, mut own: Value, when: &Value, codec: Option<&Value>) -> Value {
    if let Some(properties) = own.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("when".into(), when.clone());
        if let Some(codec) = codec {
            properties.insert("codec".into(), codec.clone());
        }
    }
    let mut properties = Map::new();
    properties.insert(name.to_owned(), own);
    json!({ "type": "object", "properties": properties, "required": [name], "additionalProperties": false })
}
