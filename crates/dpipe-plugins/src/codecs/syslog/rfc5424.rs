//! RFC 5424: `1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG`, after the priority.

use dpipe_event::{RecordKey, RecordWriter, Timestamp};
use dpipe_plugin::Parsed;
use memchr::{memchr, memchr2};

use super::{Syslog, parsed};

/// The parts of a message up to its structured data.
pub(super) struct Header<'a> {
    time: &'a [u8],
    host: &'a [u8],
    app: &'a [u8],
    pid: &'a [u8],
    msgid: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Header<'a> {
    /// Cuts what follows the priority; none if it is not of this form.
    #[inline]
    pub(super) fn cut(text: &'a [u8]) -> Option<Self> {
        let rest = text.strip_prefix(b"1 ")?;
        let (time, rest) = field(rest)?;
        if time != b"-" && time.get(4) != Some(&b'-') {
            return None;
        }
        let (host, rest) = field(rest)?;
        let (app, rest) = field(rest)?;
        let (pid, rest) = field(rest)?;
        // Where the structured data is left out, the message id may be the end.
        let (msgid, rest) = field(rest).unwrap_or((rest, &[]));
        Some(Header { time, host, app, pid, msgid, rest })
    }
}

/// Up to the next space; not empty.
#[inline]
fn field(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b' ').filter(|end| *end > 0)?;
    Some((&text[..end], &text[end + 1..]))
}

impl Syslog {
    pub(super) fn rfc5424(
        &mut self,
        header: &Header<'_>,
        now: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Parsed {
        let mut outcome = match header.time {
            b"-" => Parsed::default(),
            time => match self.iso8601.read(time, now, &self.zone) {
                Ok(moment) => parsed(moment),
                Err(_) => Parsed { time: None, flag: Some("bad_timestamp") },
            },
        };
        let keys = &self.keys;
        given(&keys.host, header.host, record);
        given(&keys.app, header.app, record);
        if header.pid != b"-" {
            record.number(&keys.pid, header.pid);
        }
        given(&keys.msgid, header.msgid, record);
        let message = match header.rest {
            [b'-'] | [] => &[][..],
            [b'-', b' ', message @ ..] => message,
            elements @ [b'[', ..] => match structured_data(elements) {
                Some(end) => {
                    let plain = &mut self.plain;
                    record
                        .object(&keys.sd, |record| write_elements(&elements[..end], plain, record));
                    elements[end..].strip_prefix(b" ").unwrap_or_default()
                }
                None => {
                    outcome.flag = outcome.flag.or(Some("bad_structured_data"));
                    elements
                }
            },
            message => message,
        };
        let message = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
        if !message.is_empty() {
            record.string(&keys.message, message);
        }
        outcome
    }
}

#[inline]
fn given(key: &RecordKey, text: &[u8], record: &mut RecordWriter<'_>) {
    if text != b"-" {
        record.string(key, text);
    }
}

/// Where the structured data ends, if it is some: `[id name="value" …][…]`, then a space or the end.
#[inline]
fn structured_data(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while text.get(at) == Some(&b'[') {
        let id = name(&text[at + 1..])?;
        at += 1 + id;
        while text.get(at) == Some(&b' ') {
            let name = name(&text[at + 1..])?;
            at += 1 + name;
            if text.get(at..at + 2)? != b"=\"" {
                return None;
            }
            at += 2 + value(&text[at + 2..])?;
        }
        if text.get(at) != Some(&b']') {
            return None;
        }
        at += 1;
    }
    matches!(text.get(at), None | Some(b' ')).then_some(at)
}

/// The length of a name; not 0.
#[inline]
fn name(text: &[u8]) -> Option<usize> {
    let is_end = |byte: &u8| matches!(byte, b'=' | b' ' | b']' | b'"' | 0..0x20);
    text.iter().position(is_end).filter(|len| *len > 0)
}

/// The length of a value with its closing quote.
#[inline]
fn value(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Writes the elements of structured data that was checked before.
fn write_elements(mut text: &[u8], plain: &mut Vec<u8>, record: &mut RecordWriter<'_>) {
    while let [b'[', rest @ ..] = text {
        let id = name(rest).unwrap_or_default();
        let (id, mut rest) = rest.split_at(id);
        record.object_named(id, |record| {
            while let [b' ', after @ ..] = rest {
                let (name, after) = after.split_at(name(after).unwrap_or_default());
                let after = after.get(2..).unwrap_or_default();
                let (quoted, after) = after.split_at(value(after).unwrap_or_default());
                let raw = quoted.strip_suffix(b"\"").unwrap_or_default();
                record.string_named(name, unescaped(raw, plain));
                rest = after;
            }
        });
        text = rest.strip_prefix(b"]").unwrap_or_default();
    }
}

/// A value without its escapes: `\"`, `\\` and `\]`. Any other backslash is one (section 6.3.3).
#[inline]
fn unescaped<'a>(raw: &'a [u8], plain: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(first) = memchr(b'\\', raw) else { return raw };
    plain.clear();
    let (mut before, mut rest) = raw.split_at(first);
    loop {
        plain.extend_from_slice(before);
        rest = match rest {
            [b'\\', byte @ (b'"' | b'\\' | b']'), rest @ ..] => {
                plain.push(*byte);
                rest
            }
            [byte, rest @ ..] => {
                plain.push(*byte);
                rest
            }
            [] => return plain,
        };
        (before, rest) = rest.split_at(memchr(b'\\', rest).unwrap_or(rest.len()));
    }
}
