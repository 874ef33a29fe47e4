//! RFC 3164, which describes what was seen and binds nobody: `Mar  1 12:00:00 host app[pid]: message`,
//! after the priority, with anything left out.

use dpipe_event::{RecordWriter, Timestamp};
use dpipe_plugin::Parsed;

use super::{Syslog, parsed};
use crate::times::{Moment, Unreadable};

/// Tags and pids are short; what is longer is part of the message.
const TAG_BYTES_MAX: usize = 128;

impl Syslog {
    pub(super) fn rfc3164(
        &mut self,
        text: &[u8],
        has_priority: bool,
        now: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Parsed {
        let keys = &self.keys;
        let mut rest = text;
        // Switches count: `29: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: …`.
        if let Some((digits, after)) = sequence(text) {
            record.number(&keys.sequence, digits);
            rest = after;
        }
        let (outcome, is_dated) = match self.time(rest, now) {
            Some((Ok(moment), after)) => {
                rest = after;
                (parsed(moment), true)
            }
            Some((Err(Unreadable), _)) => {
                (Parsed { time: None, flag: Some("bad_timestamp") }, false)
            }
            None => {
                let flag = (!has_priority).then_some("no_header");
                (Parsed { time: None, flag }, false)
            }
        };
        if is_dated
            && let Some(end) = rest.iter().position(|byte| *byte == b' ')
            && end > 0
            && !is_tag(&rest[..end])
        {
            record.string(&keys.host, &rest[..end]);
            rest = &rest[end + 1..];
        }
        if (is_dated || has_priority)
            && let Some(tag) = Tag::cut(rest)
        {
            record.string(&keys.app, tag.app);
            if !tag.pid.is_empty() {
                record.number(&keys.pid, tag.pid);
            }
            rest = tag.rest;
        }
        if !rest.is_empty() {
            record.string(&keys.message, rest);
        }
        outcome
    }

    /// The time at the front, if something looks like one, and what follows it.
    fn time<'a>(
        &self,
        text: &'a [u8],
        now: Timestamp,
    ) -> Option<(Result<Moment, Unreadable>, &'a [u8])> {
        // Clocks that are not set, or not trusted.
        let text = text.strip_prefix(b"*").or_else(|| text.strip_prefix(b".")).unwrap_or(text);
        let (format, end) = match text {
            [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', ..] => {
                (&self.iso8601, text.iter().position(|byte| *byte == b' ').unwrap_or(text.len()))
            }
            [b'A'..=b'Z', b'a'..=b'z', b'a'..=b'z', b' ', ..] => (&self.syslog, stamp_len(text)?),
            _ => return None,
        };
        let moment = format.read(&text[..end], now, &self.zone);
        let rest = text[end..].strip_prefix(b":").unwrap_or(&text[end..]);
        Some((moment, rest.strip_prefix(b" ").unwrap_or(rest)))
    }
}

/// The length of `Mar  1 12:00:00`, with a year behind the day, a fraction, or the zone of a switch.
fn stamp_len(text: &[u8]) -> Option<usize> {
    let digits = |at: usize| text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let spaces = |at: usize| text[at..].iter().take_while(|byte| **byte == b' ').count();
    let mut at = 3 + spaces(3);
    at += digits(at);
    at += spaces(at);
    if digits(at) == 4 {
        at += 4;
        at += spaces(at);
    }
    let is_clock = |c: &[u8]| c[2] == b':' && c[5] == b':';
    text.get(at..at + 8).filter(|clock| is_clock(clock))?;
    at += 8;
    if let Some(b'.' | b',') = text.get(at)
        && digits(at + 1) > 0
    {
        at += 1 + digits(at + 1);
    }
    // Without `%` it is rather the name of a host, or a tag.
    let zone = text[at..].iter().skip(1).take_while(|byte| byte.is_ascii_uppercase()).count();
    if zone > 0 && text[at] == b' ' && text[at + 1 + zone..].starts_with(b": %") {
        at += 1 + zone;
    }
    Some(at)
}

/// `29: ` before something else than a text.
fn sequence(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text[digits..].strip_prefix(b": ")?;
    let is_start = matches!(rest, [b'*' | b'.' | b'%' | b'A'..=b'Z', ..]);
    (digits > 0 && is_start).then_some((&text[..digits], rest))
}

/// Whether a word is a tag rather than a host: `app:`, `app[1]:`, `app[1]`.
fn is_tag(word: &[u8]) -> bool {
    matches!(word, [_, .., b':' | b']']) && !word.starts_with(b"[")
}

struct Tag<'a> {
    app: &'a [u8],
    pid: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Tag<'a> {
    fn cut(text: &'a [u8]) -> Option<Self> {
        let near = &text[..text.len().min(TAG_BYTES_MAX)];
        let end = near.iter().position(|byte| matches!(byte, b':' | b'[' | b' '))?;
        let (app, mut rest) = text.split_at(end);
        let mut pid = &app[..0];
        if let [b'[', inner @ ..] = rest {
            let near = &inner[..inner.len().min(TAG_BYTES_MAX)];
            let end = near.iter().position(|byte| matches!(byte, b']' | b' '))?;
            (pid, rest) = (&inner[..end], inner[end..].strip_prefix(b"]")?);
            rest = rest.strip_prefix(b":").unwrap_or(rest);
        } else {
            rest = rest.strip_prefix(b":")?;
        }
        // A colon within a word, such as that of an URL, ends no tag.
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix(b" ")? };
        (end > 0).then_some(Tag { app, pid, rest })
    }
}
