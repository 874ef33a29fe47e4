//! Takes a URL, or the target of a request, apart.
//!
//! The field at `into:` becomes an object of what there is:
//!
//! | key | of `https://ann@Example.com:8443/a%20b?x=1&y=%C3%A9&x=2#top` |
//! |---|---|
//! | `scheme` | `https`, in lower case |
//! | `user` | `ann`; a password is left out |
//! | `host` | `example.com`, in lower case; an IPv6 address without its brackets |
//! | `port` | `8443`; only what is written |
//! | `path` | `/a%20b`, as written |
//! | `query` | `{"x":["1","2"],"y":"é"}`: names and values decoded (`%C3%A9`, and `+` for a space); more than one value of a name become an array |
//! | `fragment` | `top`, as written |
//!
//! Also read are what lacks the front (`//host/path`, `/path?x=1`), a host with a port
//! (`example.com:443`), and `*`. An event without the field, or with `null`, is left as it is.
//!
//! Flagged: `too_many_parameters`, where the query has more than `parameters_max`, and the rest is not
//! taken apart. Flagged, and left as they are: `bad_url`, for what has spaces or control characters in
//! it, a port that is none, or nothing in it; `not_a_string`, for any other value; `unwritable`, where
//! something else than an object is in the way of `into`.
//!
//! ```yaml
//! url: { field: request.target, into: request.url }
//! ```

mod parts;

use dpipe_event::{Batch, NewValue, Path, Selection, Value};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{BuildContext, BuildError, FieldPath, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use self::parts::{Parameters, Parts};
use crate::target::Target;

/// What to take apart, and where to put it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field that holds the URL.
    field: FieldPath,
    /// The field that gets the object.
    into: Target,
    /// How many parameters of a query are taken apart.
    #[serde(default = "default_parameters_max")]
    parameters_max: usize,
}

fn default_parameters_max() -> usize {
    100
}

impl StepConfig for Config {
    const NAME: &'static str = "url";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(Url {
            field: self.field.0.clone(),
            into: self.into.clone(),
            parameters: Parameters::new(self.parameters_max),
            json: Vec::new(),
        }))
    }

    fn check(&self) -> Vec<Problem> {
        /// Parameters of one name are looked for among all.
        const PARAMETERS_MAX: usize = 1000;

        if self.parameters_max > PARAMETERS_MAX {
            let message = format!("`parameters_max` is more than {PARAMETERS_MAX}");
            return vec![Problem::error(message)];
        }
        Vec::new()
    }
}

struct Url {
    field: Path,
    into: Target,
    parameters: Parameters,
    json: Vec<u8>,
}

impl Step for Url {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let (mut bad, mut not_a_string, mut too_many, mut unwritable) = (0, 0, 0, 0);
        batch.each(selection, |event| {
            match event.as_ref().get(&self.field) {
                None | Some(Value::Null) => return,
                Some(Value::String(text)) => {
                    let text = text.bytes();
                    let Some(parts) = Parts::of(text.trim_ascii()) else { return bad += 1 };
                    self.json.clear();
                    let whole = parts.write_json(&mut self.parameters, &mut self.json);
                    too_many += usize::from(!whole);
                }
                Some(_) => return not_a_string += 1,
            }
            unwritable += usize::from(!event.set(&self.into, NewValue::Json(&self.json)));
        });
        context.flagged("bad_url", bad);
        context.flagged("not_a_string", not_a_string);
        context.flagged("too_many_parameters", too_many);
        context.flagged("unwritable", unwritable);
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{StepCheck, check_step, step_mistake};
    use proptest::prelude::*;

    use super::Config;

    /// The object of a URL, or what was flagged.
    fn parts(url: &str) -> String {
        let event = serde_json::json!({ "u": url }).to_string();
        let found = StepCheck::new::<Config>("url: { field: u, into: p }", &[]).run(&event);
        match found.split_once(",\"p\":") {
            Some((_, parts)) => parts.strip_suffix('}').unwrap().to_owned(),
            None => found.lines().last().unwrap().to_owned(),
        }
    }

    #[test]
    fn a_url_is_taken_apart() {
        assert_eq!(
            parts("https://ann:secret@Example.com:8443/a%20b?x=1&y=%C3%A9+%26&x=2#top"),
            r#"{"scheme":"https","user":"ann","host":"example.com","port":8443,"path":"/a%20b","query":{"x":["1","2"],"y":"é &"},"fragment":"top"}"#
        );
        assert_eq!(
            parts(" HTTP://[2001:DB8::1]?q "),
            r#"{"scheme":"http","host":"2001:db8::1","query":{"q":""}}"#
        );
        assert_eq!(parts("mailto:a@b.c"), r#"{"scheme":"mailto","path":"a@b.c"}"#);
        assert_eq!(parts("file:///etc/passwd"), r#"{"scheme":"file","path":"/etc/passwd"}"#);
    }

    #[test]
    fn the_target_of_a_request_is_taken_apart() {
        assert_eq!(parts("/"), r#"{"path":"/"}"#);
        assert_eq!(
            parts("/a:b/c?d=http://e/f?g&&=h&i=j=k"),
            r#"{"path":"/a:b/c","query":{"d":"http://e/f?g","":"h","i":"j=k"}}"#
        );
        assert_eq!(parts("//cdn.example/x"), r#"{"host":"cdn.example","path":"/x"}"#);
        assert_eq!(parts("example.com:443"), r#"{"host":"example.com","port":443}"#);
        assert_eq!(parts("*"), r#"{"path":"*"}"#);
        assert_eq!(parts("index.html#a"), r#"{"path":"index.html","fragment":"a"}"#);
        assert_eq!(parts("?a=1"), r#"{"query":{"a":"1"}}"#);
    }

    #[test]
    fn what_is_coded_wrongly_stays_as_it_is_written() {
        assert_eq!(
            parts("/?a=%&b=%4&c=%zz&%41=%ff"),
            r#"{"path":"/","query":{"a":"%","b":"%4","c":"%zz","A":"�"}}"#
        );
        assert_eq!(parts(r#"/\"?q="'\"#), r#"{"path":"/\\\"","query":{"q":"\"'\\"}}"#);
    }

    #[test]
    fn what_is_no_url_is_flagged_and_left() {
        for url in
            ["", " ", "a b", "/a\nb", "http://h:99999/", "http://h:x/", "http://[::1", "\u{0}"]
        {
            assert_eq!(parts(url), "flagged bad_url 1", "{url}");
        }
        check_step::<Config>(
            "url: { field: u, into: p.q, when: 'NOT x:1' }",
            r#"
            {"u":7}
            {"u":null}
            {"n":1}
            {"u":"/","x":1}
            {"u":"/","p":1}
            "#,
            r#"
            {"u":7}
            {"u":null}
            {"n":1}
            {"u":"/","x":1}
            {"u":"/","p":1}
            flagged not_a_string 1
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn a_query_of_too_many_parameters_is_flagged() {
        check_step::<Config>(
            "url: { field: u, into: p, parameters_max: 2 }",
            r#"
            {"u":"?a=1&b=2"}
            {"u":"?a=1&a=2&c=3"}
            "#,
            r#"
            {"u":"?a=1&b=2","p":{"query":{"a":"1","b":"2"}}}
            {"u":"?a=1&a=2&c=3","p":{"query":{"a":["1","2"]}}}
            flagged too_many_parameters 1
            "#,
        );
        let mistake = step_mistake::<Config>("url: { field: a, into: b, parameters_max: 5000 }");
        assert_eq!(mistake, "error: `parameters_max` is more than 1000");
    }

    fn coded(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    proptest! {
        #[test]
        fn what_was_put_together_comes_apart_the_same(
            scheme in "[a-z][a-z0-9+.-]{0,5}",
            host in "[a-z][a-z0-9.-]{0,10}",
            port in prop::option::of(any::<u16>()),
            path in "(/[a-zA-Z0-9:@%_~-]{0,5}){0,3}",
            query in prop::collection::btree_map("\\PC{1,4}", "\\PC{0,4}", 0..4),
            fragment in prop::option::of("[a-z?/]{0,4}"),
        ) {
            let mut url = format!("{scheme}://{host}");
            let mut expected = serde_json::json!({ "scheme": scheme, "host": host });
            if let Some(port) = port {
                url += &format!(":{port}");
                expected["port"] = port.into();
            }
            url += &path;
            if !path.is_empty() {
                expected["path"] = path.into();
            }
            if !query.is_empty() {
                let pairs = query.iter().map(|(k, v)| format!("{}={}", coded(k), coded(v)));
                url += &format!("?{}", pairs.collect::<Vec<_>>().join("&"));
                expected["query"] = serde_json::json!(query);
            }
            if let Some(fragment) = fragment {
                url += &format!("#{fragment}");
                expected["fragment"] = fragment.into();
            }
            let found: serde_json::Value = serde_json::from_str(&parts(&url)).unwrap();
            prop_assert_eq!(found, expected, "{}", url);
        }

        #[test]
        fn no_text_breaks_the_event(text in "[a:/?#@%&=\\[\\]0-9é\" -]{0,24}") {
            let found = parts(&text);
            let is_json = serde_json::from_str::<serde_json::Value>(&found).is_ok();
            prop_assert!(is_json || found == "flagged bad_url 1", "{}", found);
        }
    }
}
