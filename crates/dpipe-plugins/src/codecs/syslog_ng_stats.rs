//! The statistics that syslog-ng writes about itself: `Log statistics; processed='center(queued)=1', …`.
//!
//! Each counter becomes a number in an object by kind, source and instance:
//! `{"processed":{"center":{"queued":1}}}`, the kinds and sources sorted. What stands before `Log
//! statistics;`, such as the header of a file's line, does not count.
//!
//! Decode errors: `not_statistics`, `bad_counter`, `too_many_fields`.
//!
//! ```yaml
//! type: syslog_ng_stats
//! ```

use std::ops::Range;

use dpipe_event::{RecordWriter, Timestamp};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, DecoderConfig, DecoderSpec, Parsed, Parser,
};
use memchr::{memchr, memmem, memrchr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to read the statistics.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decode {
    /// The most counters in a text.
    fields_max: usize,
}

impl Default for Decode {
    fn default() -> Self {
        Decode { fields_max: 10_000 }
    }
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "syslog_ng_stats";
}

impl DecoderSpec for Decode {
    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(SyslogNgStats { fields_max: self.fields_max, counters: Vec::new() }))
    }
}

struct SyslogNgStats {
    fields_max: usize,
    counters: Vec<Counter>,
}

/// Where the parts of a counter lie.
struct Counter {
    kind: Range<usize>,
    source: Range<usize>,
    instance: Range<usize>,
    value: Range<usize>,
}

const START: &[u8] = b"Log statistics;";

impl Parser for SyslogNgStats {
    fn parse(
        &mut self,
        text: &[u8],
        _: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        let start = memmem::find(text, START).ok_or_else(|| {
            DecodeError::new("not_statistics", "there is no `Log statistics;` in the text")
        })?;
        self.counters.clear();
        let mut at = start + START.len();
        while let Some(from) = text[at..].iter().position(|byte| !matches!(byte, b' ' | b',')) {
            at += from;
            let (counter, end) = Counter::cut(text, at).ok_or_else(|| {
                let shown =
                    String::from_utf8_lossy(&text[at..text.len().min(at + 40)]).into_owned();
                let reason = format!("{shown:?} is no counter, as `kind='source(instance)=1'` is");
                DecodeError::new("bad_counter", reason)
            })?;
            if self.counters.len() == self.fields_max {
                let reason = format!("the text has more than {} counters", self.fields_max);
                return Err(DecodeError::new("too_many_fields", reason));
            }
            self.counters.push(counter);
            at = end;
        }
        let part = |range: &Range<usize>| &text[range.clone()];
        self.counters.sort_by_key(|counter| (part(&counter.kind), part(&counter.source)));
        for kind in self.counters.chunk_by(|a, b| part(&a.kind) == part(&b.kind)) {
            record.object_named(part(&kind[0].kind), |record| {
                for source in kind.chunk_by(|a, b| part(&a.source) == part(&b.source)) {
                    record.object_named(part(&source[0].source), |record| {
                        for counter in source {
                            record.number_named(part(&counter.instance), part(&counter.value));
                        }
                    });
                }
            });
        }
        Ok(Parsed::default())
    }
}

impl Counter {
    /// Cuts the counter that starts at a place; gives where it ends, too.
    fn cut(text: &[u8], start: usize) -> Option<(Counter, usize)> {
        let kind = start..start + memchr(b'=', &text[start..])?;
        let open = kind.end + 1;
        (text.get(open) == Some(&b'\'')).then_some(())?;
        // Names may hold apostrophes, but hardly one before a comma.
        let inner = &text[open + 1..];
        let end = memmem::find(inner, b"',").or_else(|| {
            let end = inner.trim_ascii_end();
            end.ends_with(b"'").then(|| end.len() - 1)
        })?;
        let inner = &inner[..end];
        let at = |offset: usize| open + 1 + offset;
        let equals = memrchr(b'=', inner)?;
        let (name, value) = (&inner[..equals], at(equals + 1)..at(end));
        let source = memchr(b'(', name).filter(|_| name.ends_with(b")")).unwrap_or(name.len());
        let instance = (source + 1).min(name.len())..name.len().saturating_sub(1);
        let instance = instance.start..instance.end.max(instance.start);
        let counter = Counter {
            kind,
            source: at(0)..at(source),
            instance: at(instance.start)..at(instance.end),
            value,
        };
        Some((counter, at(end) + 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::tests::{parse, parse_any, refuse};

    fn stats() -> SyslogNgStats {
        SyslogNgStats { fields_max: 4, counters: Vec::new() }
    }

    #[test]
    fn counters_stand_by_kind_source_and_instance() {
        assert_eq!(
            parse(
                &mut stats(),
                b"Mar  1 12:00:00 h syslog-ng[1]: Log statistics; processed='center(queued)=1234', \
                  dropped='dst.tcp(d#0,tcp,10.0.0.1:514)=0', processed='src.internal(s(x)#1)=5', \
                  processed='center(received)=18446744073709551616'"
            ),
            r#"{"dropped":{"dst.tcp":{"d#0,tcp,10.0.0.1:514":0}},"processed":{"center":{"queued":1234,"received":18446744073709551616},"src.internal":{"s(x)#1":5}}}"#
        );
        assert_eq!(parse(&mut stats(), b"Log statistics;"), "{}");
        assert_eq!(parse(&mut stats(), b"Log statistics; a='b=x'"), r#"{"a":{"b":{"":"x"}}}"#);
    }

    #[test]
    fn each_broken_text_is_refused_for_its_reason() {
        let refusal = |text: &str| refuse(&mut stats(), text.as_bytes());
        assert_eq!(refusal("x"), "not_statistics: there is no `Log statistics;` in the text");
        assert_eq!(
            refusal("Log statistics; a=1"),
            "bad_counter: \"a=1\" is no counter, as `kind='source(instance)=1'` is"
        );
        let many = format!("Log statistics; {}", "a='b(c)=1', ".repeat(5));
        assert_eq!(refusal(&many), "too_many_fields: the text has more than 4 counters");
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_become_json(
            text in "[a-c='(), 1]{0,40}",
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            parse_any(&mut stats(), format!("Log statistics;{text}").as_bytes());
            parse_any(&mut stats(), &[START, &bytes[..]].concat());
        }
    }
}
