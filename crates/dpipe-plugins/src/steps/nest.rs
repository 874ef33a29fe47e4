//! Gathers fields into objects, by their names: `{"a.b":1,"a.c":2}` into `{"a":{"b":1,"c":2}}`.
//!
//! Without more, each name is cut at the separator, and each piece but the last becomes an object (the
//! reverse of `flatten`). Objects of such a name that are there already get the fields added. With
//! `prefix:`, the fields whose names start with it are moved into the object at `into:`, without the
//! prefix; what stood at `into:` is replaced.
//!
//! It looks at the names of the body, or of the object that `field:` names, and not within other
//! objects. Names with nothing before or behind a separator stay as they are. An event without the
//! field, or with something else than an object there, is left as it is.
//!
//! Flagged, and left as they are: `unwritable`, for fields in whose way something else than an object
//! stands.
//!
//! ```yaml
//! nest: { prefix: http_, into: http }
//! ```

use std::borrow::Cow;

use dpipe_event::{Batch, EventMut, NewValue, Selection, Value};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::target::Target;

/// What to gather, and where.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The object whose names are looked at; the default is the whole body.
    field: Option<Target>,
    /// What stands between the pieces of a name.
    #[serde(default = "default_separator")]
    separator: String,
    /// How the names start that are gathered in one object; instead of `separator`.
    prefix: Option<String>,
    /// The object for the fields with the prefix.
    into: Option<Target>,
    /// Into how many pieces a name is cut; the last one keeps the rest.
    #[serde(default = "default_depth_max")]
    depth_max: usize,
}

fn default_separator() -> String {
    ".".into()
}

fn default_depth_max() -> usize {
    16
}

impl StepConfig for Config {
    const NAME: &'static str = "nest";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let config = self.clone();
        Ok(Box::new(Nest { config, json: Vec::new(), gathered: Vec::new() }))
    }

    fn check(&self) -> Vec<Problem> {
        /// The deepest that a body may be.
        const DEPTH_MAX: usize = 100;

        let mut problems = Vec::new();
        if self.prefix.is_some() != self.into.is_some() {
            problems.push(Problem::error("`prefix` and `into` belong together"));
        }
        if self.separator.is_empty() || self.prefix.as_ref().is_some_and(String::is_empty) {
            problems.push(Problem::error("an empty text is at the start of every name"));
        }
        if !(2..=DEPTH_MAX).contains(&self.depth_max) {
            let message = format!("`depth_max` is not between 2 and {DEPTH_MAX}");
            problems.push(Problem::error(message));
        }
        problems
    }
}

struct Nest {
    config: Config,
    /// The object as it becomes.
    json: Vec<u8>,
    /// The fields with the prefix.
    gathered: Vec<u8>,
}

impl Step for Nest {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let mut unwritable = 0;
        batch.each(selection, |event| {
            unwritable += match &self.config.prefix {
                None => self.cut(event),
                Some(_) => usize::from(!self.gather(event)),
            };
        });
        context.flagged("unwritable", unwritable);
    }
}

impl Nest {
    /// Cuts the names; returns how many had to stay.
    fn cut(&mut self, event: &mut EventMut<'_>) -> usize {
        let tree =
            Tree { separator: self.config.separator.as_bytes(), depth_max: self.config.depth_max };
        let mut stayed = 0;
        {
            let event = event.as_ref();
            let object = match &self.config.field {
                None => event.body(),
                Some(field) => match event.get(field) {
                    Some(object @ Value::Object(_)) => object,
                    _ => return 0,
                },
            };
            // A list an event, as what it holds is borrowed from the event.
            let names: Vec<_> = names(&object).collect();
            let members: Vec<_> = names
                .iter()
                .map(|(name, value)| Member { name, value, whole: false, depth: 1 })
                .collect();
            if members.iter().all(|member| tree.cut(member).1.is_none()) {
                return 0;
            }
            self.json.clear();
            tree.write(&members, &mut self.json, &mut stayed);
        }
        stayed + usize::from(!self.put(event))
    }

    /// Moves the fields with the prefix; returns whether it could.
    fn gather(&mut self, event: &mut EventMut<'_>) -> bool {
        let (Some(prefix), Some(into)) = (&self.config.prefix, &self.config.into) else {
            return true;
        };
        let mut original = Vec::new();
        {
            let event = event.as_ref();
            let object = match &self.config.field {
                None => event.body(),
                Some(field) => match event.get(field) {
                    Some(object @ Value::Object(_)) => object,
                    _ => return true,
                },
            };
            self.json.clear();
            self.json.push(b'{');
            self.gathered.clear();
            self.gathered.push(b'{');
            for (name, value) in names(&object) {
                let short = name.strip_prefix(prefix.as_bytes()).filter(|short| !short.is_empty());
                match short {
                    Some(short) => write_member(&mut self.gathered, short, &value),
                    None => write_member(&mut self.json, &name, &value),
                }
            }
            if self.gathered.len() == 1 {
                return true;
            }
            self.json.push(b'}');
            self.gathered.push(b'}');
            event.write_json(&mut original);
        }
        if self.put(event) && event.set(into, NewValue::Json(&self.gathered)) {
            return true;
        }
        // It was a body before, so it is one again.
        let restored = event.set_body(&original);
        debug_assert!(restored.is_ok());
        false
    }

    fn put(&self, event: &mut EventMut<'_>) -> bool {
        match &self.config.field {
            None => event.set_body(&self.json).is_ok(),
            Some(field) => event.set(field, NewValue::Json(&self.json)),
        }
    }
}

/// The members of an object, with their names unescaped.
fn names<'a>(object: &'a Value<'_>) -> impl Iterator<Item = (Cow<'a, [u8]>, Value<'a>)> {
    object.entries().filter_map(|(name, value)| Some((name?.bytes(), value)))
}

/// Writes a member behind those that are there.
fn write_member(out: &mut Vec<u8>, name: &[u8], value: &Value<'_>) {
    write_name(out, name);
    value.write_json(out);
}

fn write_name(out: &mut Vec<u8>, name: &[u8]) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    dpipe_event::write_escaped(out, name);
    out.extend_from_slice(b"\":");
}

/// How names are cut.
#[derive(Clone, Copy)]
struct Tree<'a> {
    separator: &'a [u8],
    depth_max: usize,
}

/// What becomes a member of an object.
#[derive(Clone, Copy)]
struct Member<'a> {
    name: &'a [u8],
    value: &'a Value<'a>,
    /// Stood in an object already, so its name is not cut.
    whole: bool,
    /// Which piece of its name it is at.
    depth: usize,
}

impl Tree<'_> {
    /// The first piece of the name, and the rest of it.
    fn cut<'a>(&self, member: &Member<'a>) -> (&'a [u8], Option<&'a [u8]>) {
        if member.whole || member.depth >= self.depth_max {
            return (member.name, None);
        }
        let rest_of = |at: usize| &member.name[at + self.separator.len()..];
        match memchr::memmem::find(member.name, self.separator) {
            Some(at) if at > 0 && self.is_clean(rest_of(at)) => {
                (&member.name[..at], Some(rest_of(at)))
            }
            _ => (member.name, None),
        }
    }

    /// Whether there is something between all the separators.
    fn is_clean(&self, rest: &[u8]) -> bool {
        !rest.is_empty() && !rest.starts_with(self.separator)
    }

    fn write(&self, members: &[Member<'_>], out: &mut Vec<u8>, stayed: &mut usize) {
        // Those of one piece together, each group at the place of its first one.
        let mut order: Vec<_> = (0..members.len()).collect();
        order.sort_by_key(|at| self.cut(&members[*at]).0);
        let mut groups: Vec<&[usize]> =
            order.chunk_by(|a, b| self.cut(&members[*a]).0 == self.cut(&members[*b]).0).collect();
        groups.sort_by_key(|group| group[0]);
        out.push(b'{');
        for group in groups {
            let group = || group.iter().map(|at| &members[*at]);
            let Some(first) = group().next() else { continue };
            let (piece, _) = self.cut(first);
            // Of two with the same name, the last one counts.
            let there = group().rfind(|member| self.cut(member).1.is_none());
            let cut = || {
                let rests = group().filter_map(|member| Some((member, self.cut(member).1?)));
                rests.map(|(member, name)| Member { name, depth: member.depth + 1, ..*member })
            };
            match there {
                Some(there) if cut().next().is_none() => write_member(out, piece, there.value),
                Some(there) if !matches!(there.value, Value::Object(_)) => {
                    write_member(out, piece, there.value);
                    for member in group().filter(|member| self.cut(member).1.is_some()) {
                        write_member(out, member.name, member.value);
                        *stayed += 1;
                    }
                }
                Some(there) => {
                    let inside: Vec<_> = names(there.value).collect();
                    let inside = inside.iter().map(|(name, value)| Member {
                        name,
                        value,
                        whole: true,
                        depth: 1,
                    });
                    write_name(out, piece);
                    self.write(&inside.chain(cut()).collect::<Vec<_>>(), out, stayed);
                }
                None => {
                    write_name(out, piece);
                    self.write(&cut().collect::<Vec<_>>(), out, stayed);
                }
            }
        }
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{StepCheck, check_step, step_mistake};
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json};

    use super::Config;

    #[test]
    fn names_are_cut_into_objects() {
        check_step::<Config>(
            "nest: {}",
            r#"
            {"a.b.c":1.10,"x":1,"a.b.d":"\u00e9","a.e":[1]}
            {"a":1}
            {"a":{"b":{"x":1}},"a.b.y":2,"a.c.d":3}
            "#,
            r#"
            {"a":{"b":{"c":1.10,"d":"\u00e9"},"e":[1]},"x":1}
            {"a":1}
            {"a":{"b":{"x":1,"y":2},"c":{"d":3}}}
            "#,
        );
    }

    #[test]
    fn what_is_no_object_is_in_the_way_and_empty_pieces_are_none() {
        check_step::<Config>(
            "nest: {}",
            r#"
            {"a":1,"a.b":2,"c.d":3}
            {".a":1,"b.":2,"c..d":3,".":4,"e.f":5}
            "#,
            r#"
            {"a":1,"a.b":2,"c":{"d":3}}
            {".a":1,"b.":2,"c..d":3,".":4,"e":{"f":5}}
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn a_single_object_is_nested_in_its_place_and_no_deeper_than_said() {
        check_step::<Config>(
            "nest: { field: x, separator: __, depth_max: 2, when: 'NOT n:1' }",
            r#"
            {"x":{"a__b__c":1,"d__e":{"f__g":2}},"y__z":3}
            {"x":{"a__b":1},"n":1}
            {"x":1}
            "#,
            r#"
            {"x":{"a":{"b__c":1},"d":{"e":{"f__g":2}}},"y__z":3}
            {"x":{"a__b":1},"n":1}
            {"x":1}
            "#,
        );
    }

    #[test]
    fn fields_with_a_prefix_are_gathered() {
        check_step::<Config>(
            "nest: { prefix: http_, into: request.http }",
            r#"
            {"http_method":"GET","x":1,"http_\u0063ode":200,"http_":0}
            {"x":1}
            {"http_a":1,"request":2}
            "#,
            r#"
            {"x":1,"http_":0,"request":{"http":{"method":"GET","code":200}}}
            {"x":1}
            {"http_a":1,"request":2}
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn a_name_of_many_separators_makes_no_deep_object() {
        let event = format!("{{\"{}\":1}}", "a.".repeat(100_000) + "a");
        let found = StepCheck::new::<Config>("nest: {}", &[]).run(&event);
        assert!(found.starts_with(r#"{"a":{"a":{"#));
        assert_eq!(found.matches('{').count(), 16);
    }

    #[test]
    fn options_that_do_not_go_together_are_mistakes() {
        let mistake = step_mistake::<Config>;
        assert_eq!(mistake("nest: { prefix: a }"), "error: `prefix` and `into` belong together");
        assert!(mistake("nest: { separator: '' }").contains("an empty text"));
        assert!(mistake("nest: { depth_max: 1 }").contains("between 2 and 100"));
    }

    fn naive(object: &Map<String, Json>) -> Map<String, Json> {
        let mut out = Map::new();
        for (name, value) in object {
            let mut pieces: Vec<_> = name.split('.').collect();
            let last = pieces.pop().unwrap();
            let mut at = &mut out;
            for piece in pieces {
                let inner = at.entry(piece).or_insert_with(|| Json::Object(Map::new()));
                at = inner.as_object_mut().unwrap();
            }
            at.insert(last.to_owned(), value.clone());
        }
        out
    }

    proptest! {
        #[test]
        fn it_nests_as_a_naive_one_does(
            // Leaves are in upper case, so that none is in another's way.
            names in prop::collection::btree_set("([a-c\"]\\.){0,3}[A-C]", 0..10),
        ) {
            let flat: Map<String, Json> =
                names.into_iter().enumerate().map(|(n, name)| (name, Json::from(n))).collect();
            let expected = naive(&flat);
            let found =
                StepCheck::new::<Config>("nest: {}", &[]).run(&Json::Object(flat).to_string());
            let found: Json = serde_json::from_str(&found).unwrap();
            prop_assert_eq!(found, Json::Object(expected));
        }
    }
}
