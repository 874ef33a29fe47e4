//! Lines that a regular expression takes apart.
//!
//! Each named group that was found becomes a member, in the order of the expression; `a.b` is a member
//! `b` of an object `a`. Values are texts, but for those of `types`. The group that `time` names gives
//! the event's time, and stays a member. The expression may match anywhere in the line, unless it is
//! anchored by `^` and `$`, which is faster as well.
//!
//! Expressions take time in proportion to the line, so there is no look-around and no back-reference;
//! they are over bytes, and those that take too much memory are refused.
//!
//! Decode errors: `no_match`. Flagged: `unconvertible`, a value that is not of its type, which stays a
//! text; `bad_timestamp`, `ambiguous_time` and `nonexistent_time`.
//!
//! ```yaml
//! type: regex
//! pattern: '^(?<ip>\S+) \[(?<at>[^\]]+)\] (?<status>\d+)$'
//! types: { status: int }
//! time: { field: at, formats: httpd }
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use dpipe_event::{RecordWriter, Timestamp};
use dpipe_plugin::settings::{Problem, nearest};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, DecoderConfig, DecoderSpec, Parsed, Parser, Pattern,
};
use regex::bytes::CaptureLocations;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::captures::{Members, Named, TimeOf};
use crate::types::Type;

/// How to take lines apart.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decode {
    /// The expression, with groups such as `(?<status>\d+)`.
    pattern: Arc<Pattern>,
    /// The types of groups that are no texts: `{ status: int }`.
    #[serde(default)]
    types: BTreeMap<String, Type>,
    /// The group that holds the event's time.
    time: Option<TimeOf>,
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "regex";
}

impl DecoderSpec for Decode {
    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(self.parser()?))
    }

    fn check(&self) -> Vec<Problem> {
        let names = self.names();
        let mut problems = Vec::new();
        if names.is_empty() {
            let problem = Problem::error("the expression has no named group");
            problems.push(problem.help("groups are named as in `(?<status>\\d+)`"));
        }
        let known: Vec<&str> = names.iter().map(|named| &*named.name).collect();
        for name in self.types.keys().filter(|name| !known.contains(&&***name)) {
            let problem = Problem::error(format!("`types` names `{name}`, which is no group"));
            let help = nearest(name, &known).map(|name| format!("did you mean `{name}`?"));
            problems.push(problem.maybe_help(help));
        }
        let clash = Members::new(&names, self.time.as_ref()).err();
        problems.extend(clash.map(|clash| Problem::error(clash.to_string())));
        problems
    }
}

impl Decode {
    fn names(&self) -> Vec<Named> {
        let named = |(group, name): (usize, Option<&str>)| {
            let name = name?.to_owned();
            let to = self.types.get(&name).copied().unwrap_or(Type::String);
            Some(Named { name, group, to })
        };
        self.pattern.capture_names().enumerate().filter_map(named).collect()
    }

    fn parser(&self) -> Result<RegexParser, BuildError> {
        let members = Members::new(&self.names(), self.time.as_ref());
        Ok(RegexParser {
            members: members.map_err(|clash| BuildError::new(clash.to_string()))?,
            found: self.pattern.capture_locations(),
            pattern: self.pattern.clone(),
        })
    }
}

struct RegexParser {
    /// Streams share it: each copy would have memory of its own to search with.
    pattern: Arc<Pattern>,
    found: CaptureLocations,
    members: Members,
}

impl Parser for RegexParser {
    fn parse(
        &mut self,
        text: &[u8],
        now: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        let RegexParser { pattern, found, members } = self;
        match pattern.captures_read(found, text) {
            Some(_) => Ok(members.write(text, |group| found.get(group), now, record)),
            None => Err(DecodeError::new("no_match", "the expression does not match")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::tests::{parse, parse_any, refuse};

    fn regex(options: &str) -> RegexParser {
        let config: Decode = serde_json::from_str(options).unwrap();
        assert_eq!(config.check(), []);
        config.parser().unwrap()
    }

    fn problems(options: &str) -> String {
        let config: Decode = serde_json::from_str(options).unwrap();
        config.check().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn groups_become_members_with_their_types_and_the_time() {
        let mut parser = regex(
            r#"{"pattern":"^(?<ip>\\S+) \\[(?<at>[^\\]]+)\\] (?<http.status>\\d+)(?: (?<http.body>.+))?$",
                "types":{"http.status":"int"},"time":{"field":"at","formats":"httpd"}}"#,
        );
        assert_eq!(
            parse(&mut parser, b"::1 [10/Oct/2000:13:55:36 +0000] 0200"),
            "@2000-10-10T13:55:36.000Z {\"ip\":\"::1\",\"at\":\"10/Oct/2000:13:55:36 +0000\",\
             \"http\":{\"status\":200}}"
        );
        let late = parse(&mut parser, b"::1 [today] 1 x");
        assert_eq!(
            late,
            r#"{"ip":"::1","at":"today","http":{"status":1,"body":"x"}} !bad_timestamp"#
        );
        assert_eq!(refuse(&mut parser, b"nothing"), "no_match: the expression does not match");
    }

    #[test]
    fn an_object_of_which_nothing_was_found_is_left_out() {
        let mut parser = regex(r#"{"pattern":"(?<a>x)|(?<b.c>y)|(?<b.d>z)"}"#);
        assert_eq!(parse(&mut parser, b"x"), r#"{"a":"x"}"#);
        assert_eq!(parse(&mut parser, b"-z-"), r#"{"b":{"d":"z"}}"#);
    }

    #[test]
    fn a_value_of_another_type_stays_a_text() {
        let mut parser = regex(r#"{"pattern":"(?<n>\\S+)","types":{"n":"float"}}"#);
        assert_eq!(parse(&mut parser, b"1.5"), r#"{"n":1.5}"#);
        assert_eq!(parse(&mut parser, b"1,5"), r#"{"n":"1,5"} !unconvertible"#);
    }

    #[test]
    fn options_that_cannot_be_are_refused() {
        assert_eq!(
            problems(r#"{"pattern":"(a)"}"#),
            "error: the expression has no named group (groups are named as in `(?<status>\\d+)`)"
        );
        assert_eq!(
            problems(r#"{"pattern":"(?<status>a)","types":{"statu":"int"}}"#),
            "error: `types` names `statu`, which is no group (did you mean `status`?)"
        );
        assert_eq!(
            problems(r#"{"pattern":"(?<a>a)(?<a.b>b)"}"#),
            "error: `a` cannot be a value and hold others"
        );
        assert_eq!(
            problems(r#"{"pattern":"(?<a>a)","time":{"field":"b","formats":"httpd"}}"#),
            "error: there is no part called `b`"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_become_json(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut parser = regex(
                r#"{"pattern":"(?s-u)(?<a>.*?)(?<b.c>[0-9]+)?(?<b.d>[^0-9]*)$","types":{"b.c":"int"}}"#,
            );
            prop_assert!(parse_any(&mut parser, &bytes).is_some());
        }
    }
}
