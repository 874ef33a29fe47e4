//! Lines of web servers as their patterns would find them, found without the expression.
//!
//! The expression has to try many ways through a line, and takes several times as long. A line is
//! found here only if it is of the plain form that nearly all are of, in which every part can end in
//! one place alone; for any other the expression is asked. What is found here is exactly what the
//! expression finds, which a test sees to.

use memchr::memchr;

use crate::captures::Named;

/// Which of the patterns it is, and the groups of its parts.
#[derive(Clone, Debug)]
pub(super) struct Access {
    ecs: bool,
    combined: bool,
    /// Whether the line ends with it.
    whole: bool,
    /// By part: host, ident, user, time, verb, target, version, status, size, referrer, agent.
    groups: [usize; PARTS],
}

const PARTS: usize = 11;
/// Groups are numbered from 1, and the old names have one more than there are parts.
const GROUPS: usize = PARTS + 2;

/// Where groups lie.
pub(super) type Spans = [Option<(usize, usize)>; GROUPS];

impl Access {
    /// For an expression that is one of the patterns, if their definitions are those that come with
    /// dpipe.
    pub(super) fn of(expression: &str, named: &[Named], ecs: bool) -> Option<Self> {
        let name = expression.strip_prefix('^').unwrap_or(expression);
        let (name, whole) = name.strip_suffix('$').map_or((name, false), |name| (name, true));
        let combined = match name {
            "%{COMBINEDAPACHELOG}" | "%{HTTPD_COMBINEDLOG}" => true,
            "%{COMMONAPACHELOG}" | "%{HTTPD_COMMONLOG}" => false,
            _ => return None,
        };
        let mut groups = [0; PARTS];
        // What is no request has a group of its own, which is never found here.
        let parts = named.iter().filter(|named| named.name != "rawrequest");
        for (group, named) in groups.iter_mut().zip(parts) {
            *group = named.group;
        }
        groups.iter().all(|group| *group < GROUPS).then_some(Access {
            ecs,
            combined,
            whole,
            groups,
        })
    }

    /// The groups in a line of the plain form.
    #[inline]
    pub(super) fn find(&self, line: &[u8]) -> Option<Spans> {
        let mut spans = [None; GROUPS];
        let mut found = |part: usize, start: usize, end: usize| {
            spans[self.groups[part]] = Some((start, end));
        };
        let mut at = host_len(line)?;
        found(0, 0, at);
        for part in [1, 2] {
            let start = at + 1;
            at = start + user_len(&line[start..])?;
            if !self.ecs || line[start..at] != *b"-" {
                found(part, start, at);
            }
        }
        let start = at + 2;
        need(line.get(at..start)? == b" [")?;
        need(is_time(line.get(start..start + TIME_BYTES)?))?;
        at = start + TIME_BYTES;
        found(3, start, at);

        let start = at + 3;
        need(line.get(at..start)? == b"] \"")?;
        at = start + len(&line[start..], |byte| byte.is_ascii_alphanumeric() || byte == b'_');
        need(at > start && line.get(at) == Some(&b' '))?;
        found(4, start, at);
        let start = at + 1;
        at = start + len(&line[start..], |byte| !matches!(byte, b' ' | b'\t'..=b'\r'));
        need(line.get(at) == Some(&b' '))?;
        if line[at - 1] == b'"' {
            // Without a protocol; the space follows the quote.
            at -= 1;
            need(at > start)?;
            found(5, start, at);
        } else {
            need(at > start)?;
            found(5, start, at);
            let start = at + 6;
            need(line.get(at..start)? == b" HTTP/")?;
            at = start + version_len(&line[start..])?;
            found(6, start, at);
        }
        let start = at + 2;
        need(line.get(at..start)? == b"\" ")?;

        let (end, is_given) = number(line, start)?;
        need(line.get(end) == Some(&b' '))?;
        if is_given {
            found(7, start, end);
        }
        let start = end + 1;
        let (end, is_given) = number(line, start)?;
        if is_given {
            found(8, start, end);
        }
        let end = match (self.combined, self.ecs) {
            (false, _) => end,
            (true, false) => {
                // With their quotes, and nothing that could escape one.
                let start = end + 2;
                need(line.get(end..start)? == b" \"")?;
                let end = start + plain_quoted_len(&line[start..])?;
                found(9, start - 1, end);
                let start = end + 2;
                need(line.get(end..start)? == b" \"")?;
                let end = start + plain_quoted_len(&line[start..])?;
                found(10, start - 1, end);
                end
            }
            (true, true) => {
                let start = end + 2;
                need(line.get(end..start)? == b" \"")?;
                // The texts may hold no line end, and end where they first can.
                need(memchr(b'\n', &line[start..]).is_none())?;
                let mut end = start + memchr(b'"', &line[start..])?;
                while !line[end + 1..].starts_with(b" \"") {
                    end += 1 + memchr(b'"', &line[end + 1..])?;
                }
                if line[start..end] != *b"-" {
                    found(9, start, end);
                }
                let start = end + 3;
                let end = start + memchr(b'"', &line[start..])?;
                if line[start..end] != *b"-" {
                    found(10, start, end);
                }
                end + 1
            }
        };
        // A size that goes on is none of digits alone.
        let ends = match line.get(end) {
            None => true,
            Some(b' ') => !self.whole,
            Some(_) => !self.whole && self.combined,
        };
        ends.then_some(spans)
    }
}

/// Gives up, unless this holds.
#[inline]
fn need(holds: bool) -> Option<()> {
    holds.then_some(())
}

/// How many bytes at the front are such ones.
#[inline]
fn len(text: &[u8], is: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| !is(*byte)).unwrap_or(text.len())
}

/// Up to a space: an address, or a name of letters, digits and hyphens, with points between.
#[inline]
fn host_len(line: &[u8]) -> Option<usize> {
    let (mut label, mut has_colon) = (0, false);
    for (at, byte) in line.iter().enumerate() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => label += 1,
            b'-' if label > 0 => label += 1,
            b'.' if label > 0 => label = 0,
            b':' => (label, has_colon) = (0, true),
            b' ' if has_colon => {
                let host = std::str::from_utf8(&line[..at]).ok()?;
                return host.parse::<std::net::Ipv6Addr>().is_ok().then_some(at);
            }
            b' ' if label > 0 => return Some(at),
            _ => return None,
        }
        if label > 63 {
            return None;
        }
    }
    None
}

/// Up to a space: a user of the plain form.
#[inline]
fn user_len(text: &[u8]) -> Option<usize> {
    let end = len(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    (end > 0 && text.get(end) == Some(&b' ')).then_some(end)
}

const TIME_BYTES: usize = 26;

/// `10/Oct/2000:13:55:36 -0700`
#[inline]
fn is_time(text: &[u8]) -> bool {
    const SHAPE: &[u8; TIME_BYTES] = b"00/Aaa/0000:00:00:00 +0000";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'A' | b'a' => byte.is_ascii_alphabetic(),
        b'+' => matches!(byte, b'+' | b'-'),
        other => byte == other,
    };
    let two = |at: usize| (text[at] - b'0') * 10 + (text[at + 1] - b'0');
    text.iter().zip(SHAPE).all(fits)
        && matches!(
            &text[3..6],
            b"Jan"
                | b"Feb"
                | b"Mar"
                | b"Apr"
                | b"May"
                | b"Jun"
                | b"Jul"
                | b"Aug"
                | b"Sep"
                | b"Oct"
                | b"Nov"
                | b"Dec"
        )
        && (1..=31).contains(&two(0))
        && two(12) < 24
        && two(15) < 60
        && two(18) <= 60
}

/// `1`, `1.1`
#[inline]
fn version_len(text: &[u8]) -> Option<usize> {
    let whole = len(text, |byte| byte.is_ascii_digit());
    let end = match text.get(whole) {
        Some(b'.') => {
            let fraction = len(&text[whole + 1..], |byte| byte.is_ascii_digit());
            (fraction > 0).then_some(whole + 1 + fraction)?
        }
        _ => whole,
    };
    (whole > 0).then_some(end)
}

/// Where a number or a hyphen ends, and whether it is a number.
#[inline]
fn number(line: &[u8], start: usize) -> Option<(usize, bool)> {
    let rest = line.get(start..)?;
    match len(rest, |byte| byte.is_ascii_digit()) {
        0 => (rest.first() == Some(&b'-')).then_some((start + 1, false)),
        digits => Some((start + digits, true)),
    }
}

/// The length up to and with the closing quote, if there is no backslash before it.
#[inline]
fn plain_quoted_len(text: &[u8]) -> Option<usize> {
    let end = memchr::memchr2(b'"', b'\\', text)?;
    (text[end] == b'"').then_some(end + 1)
}
