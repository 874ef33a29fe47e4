//! Makes an event of each element of an array; the other fields go with each.
//!
//! The element takes the array's place. With `into:` it goes there instead, and the array's field is
//! removed; with `merge: true` the fields of an element that is an object become fields of the event,
//! in the place of those with the same names, and the array's field is removed. Events stay in order.
//! Each has an id of its own, the same at every reading, and the raw line of the event it came from.
//!
//! An event without the field, with `null` or an empty array there is left as it is. Flagged, and left
//! as they are: `not_an_array`, for any other value; `too_many_elements`, for more than
//! `elements_max`; `too_large`, where the new events together would take more than `bytes_max`;
//! `unwritable`, where something else than an object is in the way of `into` or `index_into`.
//!
//! ```yaml
//! split: { field: Records, merge: true, index_into: record_number }
//! ```

use dpipe_event::{Batch, EventMut, EventRef, NewValue, Parts, Selection, Value};
use dpipe_plugin::settings::{ByteSize, Problem};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::target::Target;

/// What to split, and where the elements go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field that holds the array.
    field: Target,
    /// The field that gets the element; the default is the array's own.
    into: Option<Target>,
    /// Whether the fields of an element become fields of the event.
    #[serde(default)]
    merge: bool,
    /// The field that gets the number of the element, from 0.
    index_into: Option<Target>,
    /// How many elements an array may have.
    #[serde(default = "default_elements_max")]
    elements_max: usize,
    /// How much memory the events of one event may take.
    #[serde(default = "default_bytes_max")]
    bytes_max: ByteSize,
}

fn default_elements_max() -> usize {
    1000
}

fn default_bytes_max() -> ByteSize {
    ByteSize::new(16 << 20)
}

/// With more, ids are no longer sure to differ.
const ELEMENTS_MAX: usize = 65_535;

impl StepConfig for Config {
    const NAME: &'static str = "split";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let bytes_max = usize::try_from(self.bytes_max.bytes()).unwrap_or(usize::MAX);
        Ok(Box::new(Split { config: self.clone(), bytes_max, json: Vec::new() }))
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.merge && self.into.is_some() {
            let message = "`merge` and `into` are two places for the element; name one";
            problems.push(Problem::error(message));
        }
        if !(1..=ELEMENTS_MAX).contains(&self.elements_max) {
            let message = format!("`elements_max` is not between 1 and {ELEMENTS_MAX}");
            problems.push(Problem::error(message));
        }
        problems
    }
}

struct Split {
    config: Config,
    bytes_max: usize,
    /// The body of a new event.
    json: Vec<u8>,
}

impl Step for Split {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let Split { config, bytes_max, json } = self;
        let (mut not_an_array, mut too_many, mut too_large) = (0, 0, 0);
        let divided = batch.split(
            selection,
            |event, parts| {
                let array = match event.get(&config.field) {
                    None | Some(Value::Null) => return,
                    Some(array @ Value::Array(_)) => array,
                    Some(_) => return not_an_array += 1,
                };
                let elements = array.entries().count();
                if elements > config.elements_max {
                    too_many += 1;
                } else if bytes_of(event, &array, elements) > *bytes_max {
                    too_large += 1;
                } else {
                    cut(&array, parts);
                }
            },
            |event, number, element| config.edit(event, number, element, json),
        );
        context.flagged("not_an_array", not_an_array);
        context.flagged("too_many_elements", too_many);
        context.flagged("too_large", too_large);
        context.flagged("unwritable", divided.unsplit);
        context.born(divided.born);
    }
}

/// What the new events would take, each with all but the array, and all elements once.
fn bytes_of(event: &EventRef<'_>, array: &Value<'_>, elements: usize) -> usize {
    let array = match array {
        Value::Array(bytes) => bytes.len(),
        _ => 0,
    };
    // Edits count little beside a body that is worth a limit.
    let others = event.raw().len().saturating_sub(array);
    others.saturating_mul(elements).saturating_add(array)
}

fn cut(array: &Value<'_>, parts: &mut Parts) {
    for (_, element) in array.entries() {
        parts.push(|out| element.write_json(out));
    }
}

impl Config {
    /// Makes a copy of the event the one of its element; tells whether it could.
    fn edit(
        &self,
        event: &mut EventMut<'_>,
        number: u32,
        element: &[u8],
        json: &mut Vec<u8>,
    ) -> bool {
        let written = match &self.into {
            Some(into) if **into != *self.field => {
                event.remove(&self.field);
                event.set(into, NewValue::Json(element))
            }
            _ if self.merge && element.starts_with(b"{") => {
                event.remove(&self.field);
                merge(&event.as_ref(), element, json);
                event.set_body(json).is_ok()
            }
            _ => event.set(&self.field, NewValue::Json(element)),
        };
        let index = NewValue::Integer(number.into());
        written && self.index_into.as_ref().is_none_or(|target| event.set(target, index))
    }
}

/// Writes the event's body with the members of an object in it.
fn merge(event: &EventRef<'_>, object: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.push(b'{');
    let (body, object) = (event.body(), Value::of_json(object));
    let mut member = |name: dpipe_event::Text<'_>, value: Value<'_>| {
        if out.len() > 1 {
            out.push(b',');
        }
        name.write_json(out);
        out.push(b':');
        value.write_json(out);
    };
    for (name, value) in body.entries() {
        let Some(name) = name else { continue };
        let is_there = |other: dpipe_event::Text<'_>| other.bytes() == name.bytes();
        if !object.entries().any(|(other, _)| other.is_some_and(is_there)) {
            member(name, value);
        }
    }
    for (name, value) in object.entries() {
        if let Some(name) = name {
            member(name, value);
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{check_step, step_mistake};

    use super::Config;

    #[test]
    fn each_element_takes_the_arrays_place_in_an_event_of_its_own() {
        check_step::<Config>(
            "split: { field: a.list }",
            r#"
            {"n":1,"a":{"list":[1.10,"\u00e9",{"b":[2]}],"x":0}}
            {"n":2}
            {"n":3,"a":{"list":[]}}
            {"n":4,"a":{"list":[null]}}
            "#,
            r#"
            {"n":1,"a":{"list":1.10,"x":0}}
            {"n":1,"a":{"list":"\u00e9","x":0}}
            {"n":1,"a":{"list":{"b":[2]},"x":0}}
            {"n":2}
            {"n":3,"a":{"list":[]}}
            {"n":4,"a":{"list":null}}
            "#,
        );
    }

    #[test]
    fn an_element_may_go_elsewhere_with_its_number() {
        check_step::<Config>(
            "split: { field: list, into: item.value, index_into: item.index }",
            r#"
            {"list":["x","y"],"n":1}
            {"list":["x","y"],"item":1}
            "#,
            r#"
            {"n":1,"item":{"value":"x","index":0}}
            {"n":1,"item":{"value":"y","index":1}}
            {"list":["x","y"],"item":1}
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn objects_may_become_part_of_the_event() {
        check_step::<Config>(
            "split: { field: a.list, merge: true, index_into: i }",
            r#"{"n":1,"a":{"list":[{"n":2,"\"m":{"x":1}},7,{}],"b":1},"c":"\n"}"#,
            r#"
            {"a":{"b":1},"c":"\n","n":2,"\"m":{"x":1},"i":0}
            {"n":1,"a":{"list":7,"b":1},"c":"\n","i":1}
            {"n":1,"a":{"b":1},"c":"\n","i":2}
            "#,
        );
    }

    #[test]
    fn what_is_no_array_or_too_much_stays_whole_and_is_flagged() {
        check_step::<Config>(
            "split: { field: a, elements_max: 2, bytes_max: 30B }",
            r#"
            {"a":"x"}
            {"a":{"b":1}}
            {"a":null}
            {"a":[1,2,3]}
            {"a":[1,2],"b":"long enough"}
            {"a":[1,2]}
            "#,
            r#"
            {"a":"x"}
            {"a":{"b":1}}
            {"a":null}
            {"a":[1,2,3]}
            {"a":[1,2],"b":"long enough"}
            {"a":1}
            {"a":2}
            flagged not_an_array 2
            flagged too_many_elements 1
            flagged too_large 1
            "#,
        );
    }

    #[test]
    fn only_selected_events_are_split() {
        check_step::<Config>(
            "split: { field: a, when: 'x:1' }",
            r#"
            {"a":[1,2],"x":2}
            {"a":[1,2],"x":1}
            "#,
            r#"
            {"a":[1,2],"x":2}
            {"a":1,"x":1}
            {"a":2,"x":1}
            "#,
        );
    }

    #[test]
    fn places_and_limits_that_do_not_fit_are_mistakes() {
        let mistake = step_mistake::<Config>;
        assert!(mistake("split: { field: a, into: b, merge: true }").contains("name one"));
        assert!(mistake("split: { field: a, elements_max: 0 }").contains("between 1 and 65535"));
        assert!(mistake("split: { field: a, elements_max: 70000 }").contains("1 and 65535"));
        assert!(mistake("split: { field: _time }").contains("is metadata"));
    }
}
