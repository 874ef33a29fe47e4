//! The JSON Schema holds for what dpipe takes, and not for what it refuses by its keys and types.

use std::fs;
use std::path::{Path, PathBuf};

use dpipe_config::load::{Format, parse};
use dpipe_plugin::settings::{Node, NodeValue, ScalarKind, SourceFile};
use serde_json::{Map, Value, json};

use crate::process::{root, run};
use crate::{examples, laws};

fn schema() -> Value {
    serde_json::from_slice(&run(&["schema"], "").stdout).unwrap()
}

#[test]
fn the_schema_holds_for_every_example_and_golden_pipeline() {
    let validator = Validator(schema());
    let golden = fs::read_dir(root().join("tests/golden")).unwrap();
    let golden = golden.flat_map(|case| configs(&case.unwrap().path(), "pipeline."));
    let all: Vec<PathBuf> = examples::examples().into_iter().chain(golden).collect();
    assert!(all.len() > 5);
    for path in all {
        let problems = validator.check(&read(&path));
        assert!(problems.is_empty(), "{}: {problems:#?}", path.display());
    }
}

#[test]
fn the_schema_holds_for_the_example_of_every_plugin() {
    let validator = Validator(schema());
    for plugin in laws::all() {
        let config = laws::pipeline(&plugin);
        let problems = validator.check(&value_of(&config, Format::Yaml));
        let (role, name) = (plugin.role, plugin.name);
        assert!(problems.is_empty(), "{role} {name}:\n{config}\n{problems:#?}");
    }
}

#[test]
fn every_form_of_a_step_is_in_the_schema() {
    let validator = Validator(schema());
    let wrong = |step: &str| {
        let config = format!(
            "inputs: {{ l: {{ type: stdin }} }}\nfilters:\n  f:\n    match: l\n    steps:\n      - {step}\noutputs: {{ o: {{ type: blackhole, match: f }} }}\n"
        );
        !validator.check(&value_of(&config, Format::Yaml)).is_empty()
    };
    for step in [
        "drop",
        "drop:",
        "drop: { when: 'a:1' }",
        "keep: a",
        "keep: [a, b]",
        "keep: { fields: [a], when: 'a:1' }",
        "remove: { fields: a, when: 'a:1' }",
        "convert: { a: int, when: 'a:1' }",
        "set: { a: [1, { b: ~ }], when: 'a:1' }",
        "normalize: { field: a, with: [digits, { regex: x, as: y }] }",
        "bucket: { field: a, bounds: [1, '${SECOND}'] }",
        "parse: { codec: { type: json }, when: 'a:1' }",
    ] {
        assert!(!wrong(step), "{step}");
    }
    for step in [
        "drop: { wen: 'a:1' }",
        "keep",
        "keep: { fields: [a], whn: 'a:1' }",
        "keep: { when: 'a:1' }",
        "convert: { a: intt }",
        "bucket: { field: a, bounds: 5 }",
        "parse: { field: a }",
        "dorp",
        "geoip: { field: a, into: b, codec: json }",
    ] {
        assert!(wrong(step), "{step}");
    }
}

#[test]
fn the_schema_refuses_unknown_keys_and_names() {
    let validator = Validator(schema());
    let mut seen = 0;
    for path in configs(&root().join("tests/bad_configs"), "") {
        let said = fs::read_to_string(path.with_extension("txt")).unwrap();
        if said.contains("error: unknown ") || said.contains("error: missing ") {
            assert!(!validator.check(&read(&path)).is_empty(), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 3);
}

/// The configurations in a folder whose names begin so.
fn configs(folder: &Path, name: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_config = |path: &PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str());
        let starts = path.file_name().unwrap().to_string_lossy().starts_with(name);
        starts && matches!(extension, Some("yaml" | "json" | "toml"))
    };
    paths.filter(is_config).collect()
}

fn read(path: &Path) -> Value {
    value_of(&fs::read_to_string(path).unwrap(), Format::of(path))
}

fn value_of(text: &str, format: Format) -> Value {
    fn value(node: &Node) -> Value {
        let scalar = match &node.value {
            NodeValue::List(items) => return items.iter().map(value).collect(),
            NodeValue::Map(entries) => {
                let entry = |entry: &dpipe_plugin::settings::Entry| {
                    (entry.key.clone(), value(&entry.value))
                };
                return Value::Object(entries.iter().map(entry).collect::<Map<_, _>>());
            }
            NodeValue::Scalar(scalar) => scalar,
        };
        match scalar.kind {
            ScalarKind::Null => Value::Null,
            ScalarKind::Bool => (scalar.text == "true").into(),
            ScalarKind::String => scalar.text.clone().into(),
            ScalarKind::Integer | ScalarKind::Float => {
                serde_json::from_str(&scalar.text).unwrap_or_else(|_| scalar.text.clone().into())
            }
        }
    }
    let file = SourceFile::new("a", text);
    match parse(&file, format) {
        Ok(root) => value(&root),
        // What cannot be parsed is no configuration by any schema.
        Err(_) => Value::Null,
    }
}

/// As much of draft 7 of JSON Schema as the schema of dpipe uses.
struct Validator(Value);

impl Validator {
    fn check(&self, value: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        self.walk(&self.0, value, "", &mut problems);
        problems
    }

    fn holds(&self, schema: &Value, value: &Value, at: &str) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        self.walk(schema, value, at, &mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn walk(&self, schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
        let keywords = match schema {
            Value::Bool(true) => return,
            Value::Bool(false) => return problems.push(format!("{at}: nothing may be here")),
            schema => schema.as_object().unwrap(),
        };
        let mut wrong = |what: String| problems.push(format!("{at}: {what}"));
        let list = |value: &Value| value.as_array().unwrap().clone();
        let mut inner: Vec<(Value, Value, String)> = Vec::new();
        for (keyword, wanted) in keywords {
            match keyword.as_str() {
                "$comment" | "writeOnly" | "description" | "default" | "examples" | "format"
                | "title" | "$schema" | "definitions" => {}
                "$ref" => {
                    let name = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                    let target = self.0.pointer(name).unwrap_or_else(|| panic!("no {name}"));
                    inner.push((target.clone(), value.clone(), at.to_owned()));
                }
                "allOf" => {
                    let all = list(wanted).into_iter();
                    inner.extend(all.map(|schema| (schema, value.clone(), at.to_owned())));
                }
                "anyOf" | "oneOf" => {
                    let tried: Vec<_> =
                        list(wanted).iter().map(|schema| self.holds(schema, value, at)).collect();
                    let held = tried.iter().filter(|tried| tried.is_ok()).count();
                    if held == 0 || (keyword == "oneOf" && held > 1) {
                        // The form that was most likely meant is the one with the fewest problems.
                        let nearest = tried.iter().filter_map(|tried| tried.as_ref().err());
                        let nearest = nearest.min_by_key(|problems| problems.len());
                        wrong(format!("{held} of the forms hold; the nearest: {nearest:?}"));
                    }
                }
                "type" => {
                    let kinds = if wanted.is_array() { list(wanted) } else { vec![wanted.clone()] };
                    if !kinds.iter().any(|kind| is_of(value, kind.as_str().unwrap())) {
                        wrong(format!("{value} is not of type {wanted}"));
                    }
                }
                "const" if value != wanted => wrong(format!("{value} is not {wanted}")),
                "enum" if !list(wanted).contains(value) => {
                    wrong(format!("{value} not in {wanted}"))
                }
                "pattern" => {
                    let pattern = regex::Regex::new(wanted.as_str().unwrap()).unwrap();
                    if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                        wrong(format!("{value} does not match {pattern}"));
                    }
                }
                "minimum" if value.as_f64() < wanted.as_f64() && value.is_number() => {
                    wrong(format!("{value} is less than {wanted}"));
                }
                "maximum" if value.as_f64() > wanted.as_f64() && value.is_number() => {
                    wrong(format!("{value} is more than {wanted}"));
                }
                "minItems"
                    if value
                        .as_array()
                        .is_some_and(|l| (l.len() as u64) < wanted.as_u64().unwrap()) =>
                {
                    wrong(format!("fewer than {wanted} items"));
                }
                "minProperties"
                    if value
                        .as_object()
                        .is_some_and(|m| (m.len() as u64) < wanted.as_u64().unwrap()) =>
                {
                    wrong(format!("fewer than {wanted} keys"));
                }
                "minLength" | "maxLength" | "maxItems" => {
                    let len = value.as_str().map(|text| text.chars().count());
                    let len = len.filter(|_| keyword != "maxItems");
                    let items = value.as_array().filter(|_| keyword == "maxItems").map(Vec::len);
                    let bound = wanted.as_u64().unwrap() as usize;
                    let is_wrong = |len: usize| match keyword.as_str() {
                        "minLength" => len < bound,
                        _ => len > bound,
                    };
                    if len.or(items).is_some_and(is_wrong) {
                        wrong(format!("{value} against {keyword} {wanted}"));
                    }
                }
                "const" | "enum" | "minimum" | "maximum" | "minItems" | "minProperties" => {}
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        inner.push((wanted.clone(), item.clone(), format!("{at}[{index}]")));
                    }
                }
                "required" => {
                    for key in list(wanted) {
                        let key = key.as_str().unwrap();
                        if value.as_object().is_some_and(|map| !map.contains_key(key)) {
                            wrong(format!("`{key}` is missing"));
                        }
                    }
                }
                "properties" | "additionalProperties" => {
                    let known = keywords.get("properties").unwrap_or(&Value::Null);
                    for (key, value) in value.as_object().into_iter().flatten() {
                        let schema = match (keyword.as_str(), known.get(key)) {
                            ("properties", Some(schema)) => schema,
                            ("additionalProperties", None) => wanted,
                            _ => continue,
                        };
                        inner.push((schema.clone(), value.clone(), format!("{at}.{key}")));
                    }
                }
                other => panic!("this validator does not know `{other}`"),
            }
        }
        for (schema, value, at) in inner {
            self.walk(&schema, &value, &at, problems);
        }
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("this validator does not know the type `{other}`"),
    }
}

#[test]
fn the_validator_itself_refuses() {
    let refuses = |schema: Value, value: Value| !Validator(schema).check(&value).is_empty();
    assert!(refuses(json!({ "type": "string" }), json!(1)));
    assert!(refuses(json!({ "oneOf": [true, true] }), json!(1)));
    assert!(refuses(json!({ "properties": { "a": false } }), json!({ "a": 1 })));
    assert!(refuses(json!({ "additionalProperties": false }), json!({ "a": 1 })));
    assert!(refuses(json!({ "required": ["a"] }), json!({})));
    assert!(refuses(json!({ "items": { "const": 1 } }), json!([1, 2])));
    assert!(!refuses(json!({ "enum": [1, 2] }), json!(2)));
}
