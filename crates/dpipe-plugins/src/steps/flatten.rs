//! Turns objects within objects into one flat object: `{"a":{"b":1}}` into `{"a.b":1}`.
//!
//! The whole body is flattened, or the object that `field:` names, which stays where it is. Arrays stay
//! as they are, unless `arrays: true` says that their elements become fields as well, named by their
//! places: `tags.0`. Empty objects and arrays stay. Values are not touched. Where two fields come to the
//! same name, the last one counts.
//!
//! An event without the field, or with something else than an object there, is left as it is. Flagged:
//! `key_too_long`, where what names begin with would be longer than `prefix_bytes_max`: what is within
//! stays an object.
//!
//! ```yaml
//! flatten: { field: _log_info, separator: "_" }
//! ```

use dpipe_event::{Batch, NewValue, Selection, Value};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::target::Target;

/// What to flatten, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The object; the default is the whole body.
    field: Option<Target>,
    /// What stands between the names.
    #[serde(default = "default_separator")]
    separator: String,
    /// Whether elements of arrays become fields.
    #[serde(default)]
    arrays: bool,
    /// How long a name may become before its last piece.
    #[serde(default = "default_prefix_bytes_max")]
    prefix_bytes_max: usize,
}

fn default_separator() -> String {
    ".".into()
}

fn default_prefix_bytes_max() -> usize {
    1024
}

impl StepConfig for Config {
    const NAME: &'static str = "flatten";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let mut separator = Vec::new();
        dpipe_event::write_escaped(&mut separator, self.separator.as_bytes());
        let field = self.field.clone();
        let (arrays, prefix_bytes_max) = (self.arrays, self.prefix_bytes_max);
        let flat = Flat { separator, arrays, prefix_bytes_max, ..Flat::default() };
        Ok(Box::new(Flatten { field, flat }))
    }

    fn check(&self) -> Vec<Problem> {
        if self.prefix_bytes_max == 0 {
            return vec![Problem::error("`prefix_bytes_max` is 0")];
        }
        Vec::new()
    }
}

struct Flatten {
    field: Option<Target>,
    flat: Flat,
}

impl Step for Flatten {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let flat = &mut self.flat;
        let mut too_long = 0;
        batch.each(selection, |event| {
            let changed = match &self.field {
                None => flat.write(&event.as_ref().body()),
                Some(field) => match event.as_ref().get(field) {
                    Some(object @ Value::Object(_)) => flat.write(&object),
                    _ => return,
                },
            };
            too_long += usize::from(flat.too_long);
            if !changed {
                return;
            }
            // A flat object is no deeper than it was, and a field that is there can be set.
            match &self.field {
                None => _ = event.set_body(&flat.json),
                Some(field) => _ = event.set(field, NewValue::Json(&flat.json)),
            }
        });
        context.flagged("key_too_long", too_long);
    }
}

/// Writes flat objects.
#[derive(Default)]
struct Flat {
    /// As it stands in JSON.
    separator: Vec<u8>,
    arrays: bool,
    prefix_bytes_max: usize,
    /// The names on the way down, as they stand in JSON.
    key: Vec<u8>,
    json: Vec<u8>,
    changed: bool,
    too_long: bool,
}

impl Flat {
    /// Leaves the flat object in `self.json`; tells whether that is another one.
    fn write(&mut self, object: &Value<'_>) -> bool {
        (self.changed, self.too_long) = (false, false);
        self.key.clear();
        self.json.clear();
        self.json.push(b'{');
        self.members(object);
        self.json.push(b'}');
        self.changed
    }

    fn members(&mut self, container: &Value<'_>) {
        let before = self.key.len();
        for (at, (key, value)) in container.entries().enumerate() {
            if before > 0 {
                self.key.extend_from_slice(&self.separator);
            }
            match key {
                // Either way these bytes stand in JSON as they are.
                Some(key) => self.key.extend_from_slice(key.raw()),
                None => self.key.extend_from_slice(itoa::Buffer::new().format(at).as_bytes()),
            }
            if self.goes_into(&value) {
                self.changed = true;
                self.members(&value);
            } else {
                if self.json.len() > 1 {
                    self.json.push(b',');
                }
                self.json.push(b'"');
                self.json.extend_from_slice(&self.key);
                self.json.extend_from_slice(b"\":");
                value.write_json(&mut self.json);
            }
            self.key.truncate(before);
        }
    }

    fn goes_into(&mut self, value: &Value<'_>) -> bool {
        let bytes = match value {
            Value::Object(bytes) => bytes,
            Value::Array(bytes) if self.arrays => bytes,
            _ => return false,
        };
        let is_empty = matches!(bytes[1..].trim_ascii_start(), [b'}' | b']']);
        // A field without a name would lose the separator behind it.
        if is_empty || self.key.is_empty() {
            return false;
        }
        let fits = self.key.len() + self.separator.len() <= self.prefix_bytes_max;
        self.too_long |= !fits;
        fits
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{StepCheck, check_step, step_mistake};
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json};

    use super::Config;

    #[test]
    fn objects_within_objects_become_fields_and_arrays_stay() {
        check_step::<Config>(
            "flatten: {}",
            r#"
            {"a":{"b":{"c":1.10},"d":"\u00e9"},"e":[{"f":1}],"g":{},"h":null}
            {"a":1}
            plain
            "#,
            r#"
            {"a.b.c":1.10,"a.d":"\u00e9","e":[{"f":1}],"g":{},"h":null}
            {"a":1}
            {"message":"plain"}
            "#,
        );
    }

    #[test]
    fn a_single_object_is_flattened_in_its_place() {
        check_step::<Config>(
            "flatten: { field: x.y, separator: _, arrays: true, when: 'NOT n:1' }",
            r#"
            {"x":{"y":{"a":{"b":1},"l":[1,{"c":2},[]]},"z":{"a":{"b":1}}}}
            {"x":{"y":7}}
            {"n":1,"x":{"y":{"a":{"b":1}}}}
            {"n":2}
            "#,
            r#"
            {"x":{"y":{"a_b":1,"l_0":1,"l_1_c":2,"l_2":[]},"z":{"a":{"b":1}}}}
            {"x":{"y":7}}
            {"n":1,"x":{"y":{"a":{"b":1}}}}
            {"n":2}
            "#,
        );
    }

    #[test]
    fn names_and_separators_are_escaped() {
        check_step::<Config>(
            r#"flatten: { separator: '"' }"#,
            r#"{"a\n":{"b\"":1}}"#,
            r#"{"a\n\"b\"":1}"#,
        );
    }

    #[test]
    fn a_name_that_would_be_too_long_stays_an_object() {
        check_step::<Config>(
            "flatten: { prefix_bytes_max: 5 }",
            r#"{"ab":{"cd":{"e":1},"f":{}},"long":{"abcdef":1},"long_name":{"a":1}}"#,
            r#"
            {"ab.cd":{"e":1},"ab.f":{},"long.abcdef":1,"long_name":{"a":1}}
            flagged key_too_long 1
            "#,
        );
        assert_eq!(
            step_mistake::<Config>("flatten: { prefix_bytes_max: 0 }"),
            "error: `prefix_bytes_max` is 0"
        );
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<i32>().prop_map(Json::from),
            "[a\"é]{0,3}".prop_map(Json::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
                prop::collection::btree_map("[a-c\"]{1,2}", inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    fn naive(prefix: &str, object: &Map<String, Json>, out: &mut Map<String, Json>) {
        for (key, value) in object {
            let name = format!("{prefix}{key}");
            match value {
                Json::Object(inner) if !inner.is_empty() => naive(&format!("{name}."), inner, out),
                value => _ = out.insert(name, value.clone()),
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_flat_as_a_naive_one_makes_it(
            object in prop::collection::btree_map("[a-c\"]{1,2}", json(), 0..4),
        ) {
            let object: Map<String, Json> = object.into_iter().collect();
            let mut expected = Map::new();
            naive("", &object, &mut expected);
            let found = StepCheck::new::<Config>("flatten: {}", &[])
                .run(&Json::Object(object).to_string());
            let found: Json = serde_json::from_str(&found).unwrap();
            prop_assert_eq!(found, Json::Object(expected));
        }
    }
}
