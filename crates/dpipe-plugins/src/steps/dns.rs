//! Looks up the name of an address, or the addresses of a name, in the DNS.
//!
//! It never waits for an answer. The first event with an address goes on without its name, and is
//! flagged `dns_pending`, while the question is asked on another thread; events that come after the
//! answer get it. Answers are shared by all lanes and kept for `ttl:`; after that the old one is given
//! until there is a new one. The system's resolver is asked, so `/etc/hosts` counts as well.
//!
//! With `ask: name` (the default) the field holds an address, and `into:` gets its name; with
//! `ask: addresses` it holds a name, and `into:` gets the list of its addresses. An event without the
//! field, or with `null`, is left as it is.
//!
//! Flagged, and left as they are: `dns_pending`, while there is no answer, also where more than
//! `outstanding_max` questions wait for one; `dns_unknown`, where there is no such name; `dns_failed`,
//! where nobody answered; `bad_ip` and `bad_name`, where the field holds none; `unwritable`, where
//! something else than an object is in the way of `into`.
//!
//! ```yaml
//! dns: { field: client.ip, into: client.name, ttl: 6h }
//! ```

mod resolver;

use std::net::IpAddr;
use std::sync::Arc;

use dpipe_event::{Batch, NewValue, Path, Selection, Value};
use dpipe_plugin::settings::{Period, Problem};
use dpipe_plugin::{BuildContext, BuildError, FieldPath, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use self::resolver::{Answer, Limits, Question, Resolver};
use crate::keys::Keys;
use crate::target::Target;

/// What to look up, and where to put it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field that holds the address, or the name.
    field: FieldPath,
    /// The field that gets the answer.
    into: Target,
    /// What to ask for.
    #[serde(default)]
    ask: Ask,
    /// How long an answer holds.
    #[serde(default = "default_ttl")]
    ttl: Period,
    /// How long it holds that there is no answer.
    #[serde(default = "default_negative_ttl")]
    negative_ttl: Period,
    /// How many answers are kept, at about 200 bytes each.
    #[serde(default = "default_cache_max")]
    cache_max: usize,
    /// How many questions may wait for their answers.
    #[serde(default = "default_outstanding_max")]
    outstanding_max: usize,
    /// How many of them are asked at once, by a thread each.
    #[serde(default = "default_threads")]
    threads: usize,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Ask {
    /// The name of an address.
    #[default]
    Name,
    /// The addresses of a name.
    Addresses,
}

fn default_ttl() -> Period {
    Period::seconds(3600)
}

fn default_negative_ttl() -> Period {
    Period::seconds(300)
}

fn default_cache_max() -> usize {
    10_000
}

fn default_outstanding_max() -> usize {
    1000
}

fn default_threads() -> usize {
    4
}

impl StepConfig for Config {
    const NAME: &'static str = "dns";
}

impl StepSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let millis =
            |period: Period| i64::try_from(period.duration().as_millis()).unwrap_or(i64::MAX);
        let resolver = context.own(|| {
            let limits = Limits {
                ttl_ms: millis(self.ttl),
                negative_ttl_ms: millis(self.negative_ttl),
                cache_max: self.cache_max,
                outstanding_max: self.outstanding_max,
                threads: self.threads,
            };
            Resolver::new(context.env.clone(), limits)
        });
        Ok(Box::new(Dns {
            field: self.field.0.clone(),
            into: self.into.clone(),
            ask: self.ask,
            keys: Keys::new(resolver.seed()),
            found: Vec::new(),
            told: Vec::new(),
            resolver,
        }))
    }

    fn check(&self) -> Vec<Problem> {
        const THREADS_MAX: usize = 64;

        let mut problems = Vec::new();
        for (name, value) in
            [("cache_max", self.cache_max), ("outstanding_max", self.outstanding_max)]
        {
            if value == 0 {
                problems.push(Problem::error(format!("`{name}` is 0")));
            }
        }
        if !(1..=THREADS_MAX).contains(&self.threads) {
            problems.push(Problem::error(format!("`threads` is not between 1 and {THREADS_MAX}")));
        }
        problems
    }
}

struct Dns {
    field: Path,
    into: Target,
    ask: Ask,
    resolver: Arc<Resolver>,
    keys: Keys,
    /// The keys of a batch, and the events that have them.
    found: Vec<(u128, u32)>,
    /// Answers in JSON, and the events that get them.
    told: Vec<(u32, Arc<[u8]>)>,
}

impl Step for Dns {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let mut bad = 0;
        self.found.clear();
        for (index, event) in batch.iter().enumerate().filter(|(at, _)| selection.contains(*at)) {
            match event.get(&self.field) {
                None | Some(Value::Null) => {}
                Some(value) if question(&value, self.ask).is_some() => {
                    let key = self.keys.of(&event, std::slice::from_ref(&self.field));
                    self.found.extend(key.map(|key| (key, index as u32)));
                }
                Some(_) => bad += 1,
            }
        }
        let (mut pending, mut unknown, mut failed, mut unwritable) = (0, 0, 0, 0);
        self.told.clear();
        let asked = self.resolver.look_up(
            &mut self.found,
            context.now,
            // Asked for again, so that nothing is copied for an answer that is known.
            |index| question(&batch.get(index as usize).get(&self.field)?, self.ask),
            |index, answer| match answer {
                None => pending += 1,
                Some(Answer::Nothing) => unknown += 1,
                Some(Answer::Failed) => failed += 1,
                Some(Answer::Told(json)) => self.told.push((index, json.clone())),
            },
        );
        if let Err(error) = asked {
            context.complain(format!("no thread can be started to ask the DNS: {error}"));
        }
        for (index, json) in self.told.drain(..) {
            let written = batch.edit(index as usize).set(&self.into, NewValue::Json(&json));
            unwritable += usize::from(!written);
        }
        context.flagged("dns_pending", pending);
        context.flagged("dns_unknown", unknown);
        context.flagged("dns_failed", failed);
        context.flagged(if self.ask == Ask::Name { "bad_ip" } else { "bad_name" }, bad);
        context.flagged("unwritable", unwritable);
    }
}

/// What a value asks for; nothing if that cannot be asked.
fn question(value: &Value<'_>, ask: Ask) -> Option<Question> {
    let Value::String(text) = value else { return None };
    let text = text.bytes();
    let text = std::str::from_utf8(&text).ok()?.trim_ascii();
    match ask {
        Ask::Name => {
            text.parse::<IpAddr>().ok().map(|address| Question::NameOf(address.to_canonical()))
        }
        Ask::Addresses => is_name(text).then(|| Question::AddressesOf(text.into())),
    }
}

/// Whether a text can be a name in the DNS, by its length and letters (RFC 1035; `_` is in use).
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = (1..=63).contains(&label.len());
        fits && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

#[cfg(test)]
mod tests;
