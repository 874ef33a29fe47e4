//! The named parts of a text that a regular expression finds, written as members.

use std::fmt;

use dpipe_event::{RecordKey, RecordWriter, Timestamp};
use dpipe_plugin::Parsed;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::times::{Clock, TimeFormats, Zone};
use crate::types::Type;

/// A part that holds the event's time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeOf {
    /// The name of the part.
    field: String,
    /// How the time is written: one format or several, tried in this order.
    formats: TimeFormats,
    /// The zone of times that say none: an IANA name or an offset; the default is UTC.
    #[serde(default)]
    timezone: Zone,
}

impl TimeOf {
    /// The name of the part.
    pub(crate) fn field(&self) -> &str {
        &self.field
    }
}

/// A member and the groups that it comes from: `http.request` or `[http][request]` is one within
/// another.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) group: usize,
    pub(crate) to: Type,
}

/// Why names cannot be members together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    /// One is a value, and another wants to be within it.
    Both(String),
    /// There is no such name.
    Unknown(String),
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clash::Both(name) => write!(f, "`{name}` cannot be a value and hold others"),
            Clash::Unknown(name) => write!(f, "there is no part called `{name}`"),
        }
    }
}

/// Writes what groups found.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    members: Vec<Member>,
    time: Option<(Vec<usize>, TimeOf)>,
}

#[derive(Clone, Debug)]
struct Member {
    name: String,
    key: RecordKey,
    /// All groups within.
    groups: Vec<usize>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Value(Type),
    Object(Vec<Member>),
}

impl Members {
    /// Members of these names.
    pub(crate) fn new(named: &[Named], time: Option<&TimeOf>) -> Result<Self, Clash> {
        let mut members = Vec::new();
        for named in named {
            add(&mut members, &segments(&named.name), named)?;
        }
        let time = match time {
            None => None,
            Some(time) => {
                let path = segments(&time.field);
                let groups: Vec<usize> = named
                    .iter()
                    .filter(|named| segments(&named.name) == path)
                    .map(|named| named.group)
                    .collect();
                if groups.is_empty() {
                    return Err(Clash::Unknown(time.field.clone()));
                }
                Some((groups, time.clone()))
            }
        };
        Ok(Members { members, time })
    }

    /// Writes them; `span` tells where a group lies in the text, if it was found.
    #[inline]
    pub(crate) fn write(
        &self,
        text: &[u8],
        span: impl Fn(usize) -> Option<(usize, usize)>,
        now: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Parsed {
        let part = |group: usize| span(group).map(|(start, end)| &text[start..end]);
        let mut parsed = Parsed::default();
        if !write(&self.members, &part, record) {
            parsed.flag = Some("unconvertible");
        }
        if let Some((groups, time)) = &self.time
            && let Some(text) = groups.iter().find_map(|group| part(*group))
        {
            let flag = match time.formats.read(text, now, &time.timezone) {
                Ok(moment) => {
                    parsed.time = Some(moment.time);
                    match moment.clock {
                        Clock::Once => None,
                        Clock::Twice => Some("ambiguous_time"),
                        Clock::Never => Some("nonexistent_time"),
                    }
                }
                Err(_) => Some("bad_timestamp"),
            };
            parsed.flag = flag.or(parsed.flag);
        }
        parsed
    }
}

/// `a.b` or `[a][b]`.
fn segments(name: &str) -> Vec<&str> {
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inner) => inner.split("][").collect(),
        None => name.split('.').collect(),
    }
}

fn add(members: &mut Vec<Member>, path: &[&str], named: &Named) -> Result<(), Clash> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    let at = members.iter().position(|member| member.name == *first).unwrap_or_else(|| {
        let what = if rest.is_empty() { What::Value(named.to) } else { What::Object(Vec::new()) };
        let (name, key) = ((*first).to_owned(), RecordKey::new(first));
        members.push(Member { name, key, groups: Vec::new(), what });
        members.len() - 1
    });
    members[at].groups.push(named.group);
    match &mut members[at].what {
        What::Value(_) if rest.is_empty() => Ok(()),
        What::Object(inner) if !rest.is_empty() => add(inner, rest, named),
        _ => Err(Clash::Both((*first).to_owned())),
    }
}

/// Whether everything was of its type.
fn write<'t>(
    members: &[Member],
    part: &impl Fn(usize) -> Option<&'t [u8]>,
    record: &mut RecordWriter<'_>,
) -> bool {
    let mut all = true;
    for Member { key, groups, what, .. } in members {
        let mut found = groups.iter().filter_map(|group| part(*group));
        let Some(first) = found.next() else { continue };
        match what {
            What::Object(inner) => {
                record.object(key, |record| all &= write(inner, part, record));
            }
            What::Value(to) => match found.next() {
                None => all &= to.write(key, first, record),
                Some(second) => record.list(key, |record| {
                    for text in [first, second].into_iter().chain(found) {
                        record.element(text);
                    }
                }),
            },
        }
    }
    all
}
