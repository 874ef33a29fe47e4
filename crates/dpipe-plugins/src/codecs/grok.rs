//! Lines that grok expressions take apart, with the patterns of Logstash.
//!
//! `%{PATTERN:field}` finds what the pattern describes and makes it a member. A field is `name`,
//! `a.b` or `[a][b]`, the latter two within an object; `:int`, `:float` and `:bool` behind it give a
//! type. A field that was found more than once is a list. Expressions are tried in order, and the
//! first that matches somewhere in the line counts; `^` in front binds it to the start, which is
//! faster. Groups such as `(?<name>…)` become members, too.
//!
//! There are the patterns for words, numbers, addresses, paths and times, those of Apache, HAProxy,
//! Squid, S3, ELB, syslog, cron, BIND, Java, Catalina, Tomcat, Redis, MongoDB, PostgreSQL, Ruby and
//! Maven, each with the fields of the Elastic Common Schema or with the older names; `patterns` adds
//! to them or replaces some. What a pattern finds may not depend on look-around, atomic groups or
//! back-references: expressions take time in proportion to the line, and those that would take too
//! much memory are refused. Characters are bytes: `\w`, `\d` and `\s` are ASCII's.
//!
//! Decode errors: `no_match`. Flagged: `unconvertible`, a value that is not of its type, which stays a
//! text; `bad_timestamp`, `ambiguous_time` and `nonexistent_time`.
//!
//! ```yaml
//! type: grok
//! match: '^%{COMBINEDAPACHELOG}'
//! time: { field: timestamp, formats: httpd }
//! ```

mod access;
mod expand;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use dpipe_event::{RecordWriter, Timestamp};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, DecoderConfig, DecoderSpec, Parsed, Parser, Pattern,
};
use regex::bytes::CaptureLocations;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use self::access::Access;
use self::expand::Patterns;
use crate::captures::{Clash, Members, Named, TimeOf};
use crate::types::Type;

/// How to take lines apart.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decode {
    /// The expressions, tried in this order; or a single one.
    r#match: Expressions,
    /// More patterns, by name: `{ QUEUE: '[0-9A-F]{10}' }`.
    #[serde(default)]
    patterns: BTreeMap<String, String>,
    /// Which names the fields of the patterns have.
    #[serde(default)]
    ecs_compatibility: Ecs,
    /// The field that holds the event's time.
    time: Option<TimeOf>,
    /// The expressions, compiled once: streams share them, and the memory to search with.
    #[serde(skip)]
    compiled: OnceLock<Result<Arc<[Expression]>, String>>,
}

/// Which names fields have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Ecs {
    /// Those of the Elastic Common Schema: `[source][address]`.
    #[default]
    V8,
    /// The older ones: `clientip`.
    Disabled,
}

/// One expression or several.
#[derive(Clone, Debug)]
struct Expressions(Vec<String>);

impl<'de> Deserialize<'de> for Expressions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExpressionsVisitor)
    }
}

struct ExpressionsVisitor;

impl<'de> Visitor<'de> for ExpressionsVisitor {
    type Value = Expressions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of expressions")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Expressions, E> {
        Ok(Expressions(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Expressions, A::Error> {
        let mut expressions = Vec::new();
        while let Some(expression) = items.next_element()? {
            expressions.push(expression);
        }
        if expressions.is_empty() {
            return Err(A::Error::custom("the list has no expression"));
        }
        Ok(Expressions(expressions))
    }
}

impl JsonSchema for Expressions {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GrokExpressions".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let many = json_schema!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
        json_schema!({
            "description": "The expressions, tried in this order; or a single one.",
            "anyOf": [{ "type": "string" }, many]
        })
    }
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "grok";
}

impl DecoderSpec for Decode {
    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        self.grok().map(|grok| Box::new(grok) as _).map_err(BuildError::new)
    }

    fn check(&self) -> Vec<Problem> {
        self.grok().err().map(Problem::error).into_iter().collect()
    }
}

impl Decode {
    fn grok(&self) -> Result<Grok, String> {
        let expressions = self.compiled.get_or_init(|| self.compile_all()).clone()?;
        let found = expressions.iter().map(|one| one.pattern.capture_locations()).collect();
        Ok(Grok { expressions, found })
    }

    fn compile_all(&self) -> Result<Arc<[Expression]>, String> {
        let mut is_timed = self.time.is_none();
        let mut expressions = Vec::new();
        for text in &self.r#match.0 {
            let compiled = self.compile(text).map_err(|why| format!("in `{text}`: {why}"))?;
            is_timed |= compiled.1;
            expressions.push(compiled.0);
        }
        match &self.time {
            Some(time) if !is_timed => Err(Clash::Unknown(time.field().to_owned()).to_string()),
            _ => Ok(expressions.into()),
        }
    }

    /// An expression, and whether it finds the time.
    fn compile(&self, text: &str) -> Result<(Expression, bool), String> {
        let ecs = self.ecs_compatibility == Ecs::V8;
        let patterns = Patterns { custom: &self.patterns, ecs };
        let expanded = patterns.expand(text).map_err(|fault| fault.to_string())?;
        if let Some(what) = foreign(&expanded.source) {
            return Err(what.to_owned());
        }
        let pattern =
            Pattern::parse(&format!("(?-u){}", expanded.source)).map_err(|error| error.message)?;
        let named = |(group, name): (usize, Option<&str>)| {
            let name = name?;
            let number = name.strip_prefix("__").and_then(|number| number.parse::<usize>().ok());
            let (name, to) = match number.and_then(|number| expanded.fields.get(number)) {
                Some(field) => field.clone(),
                None => (name.to_owned(), Type::String),
            };
            Some(Named { name, group, to })
        };
        let named: Vec<Named> = pattern.capture_names().enumerate().filter_map(named).collect();
        let access = if self.patterns.is_empty() { Access::of(text, &named, ecs) } else { None };
        let (members, is_timed) = match Members::new(&named, self.time.as_ref()) {
            Err(Clash::Unknown(_)) => (Members::new(&named, None), false),
            members => (members, true),
        };
        let members = members.map_err(|clash| clash.to_string())?;
        Ok((Expression { access, pattern, members }, is_timed))
    }
}

/// What other engines have and this one has not, and what to do about it.
fn foreign(source: &str) -> Option<&'static str> {
    const LOOK_AROUND: &str = "look-around (`(?=`, `(?!`, `(?<=`, `(?<!`) is not supported, as it \
                               takes more than linear time; `\\b` bounds words";
    const ATOMIC: &str =
        "atomic groups `(?>` are not supported; write `(?:`, which takes linear time here";
    const POSSESSIVE: &str =
        "possessive repetitions (`++`, `*+`, `?+`) are not supported; leave the last `+` out";
    let mut rest = source.as_bytes();
    let mut in_class = false;
    loop {
        rest = match rest {
            [] => return None,
            [b'\\', _, rest @ ..] => rest,
            [b'[', b'^', b']', rest @ ..] | [b'[', b']', rest @ ..] if !in_class => {
                in_class = true;
                rest
            }
            [byte @ (b'[' | b']'), rest @ ..] => {
                in_class = *byte == b'[';
                rest
            }
            [_, rest @ ..] if in_class => rest,
            [b'(', b'?', b'=' | b'!', ..] | [b'(', b'?', b'<', b'=' | b'!', ..] => {
                return Some(LOOK_AROUND);
            }
            [b'(', b'?', b'>', ..] => return Some(ATOMIC),
            [b'+' | b'*' | b'?', b'+', ..] => return Some(POSSESSIVE),
            [_, rest @ ..] => rest,
        };
    }
}

struct Grok {
    expressions: Arc<[Expression]>,
    /// What each of them found.
    found: Box<[CaptureLocations]>,
}

#[derive(Debug)]
struct Expression {
    access: Option<Access>,
    pattern: Pattern,
    members: Members,
}

impl Parser for Grok {
    fn parse(
        &mut self,
        text: &[u8],
        now: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        for (expression, found) in self.expressions.iter().zip(&mut self.found) {
            let Expression { access, pattern, members } = expression;
            if let Some(spans) = access.as_ref().and_then(|access| access.find(text)) {
                let span = |group: usize| spans.get(group).copied().flatten();
                return Ok(members.write(text, span, now, record));
            }
            if pattern.captures_read(found, text).is_some() {
                return Ok(members.write(text, |group| found.get(group), now, record));
            }
        }
        let reason = match &*self.expressions {
            [_] => "the expression does not match",
            _ => "none of the expressions matches",
        };
        Err(DecodeError::new("no_match", reason))
    }
}
