//! The parts of a URL, by the generic syntax of RFC 3986, read leniently.

use std::ops::Range;

/// What there is of each.
#[derive(Debug, Default)]
pub(super) struct Parts<'a> {
    scheme: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    host: &'a [u8],
    port: Option<u16>,
    path: &'a [u8],
    query: Option<&'a [u8]>,
    fragment: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// The parts of a text; none if it cannot be a URL.
    pub(super) fn of(text: &'a [u8]) -> Option<Parts<'a>> {
        if text.is_empty() || text.iter().any(|byte| byte.is_ascii_control() || *byte == b' ') {
            return None;
        }
        let mut parts = Parts::default();
        let (text, fragment) = cut(text, b'#');
        let (text, query) = cut(text, b'?');
        (parts.fragment, parts.query) = (fragment, query);
        let mut rest = text;
        if let Some(end) = scheme_end(text) {
            let behind = &text[end + 1..];
            // `example.com:443` is a host, not a scheme.
            if !behind.is_empty() && behind.iter().all(u8::is_ascii_digit) {
                parts.authority(text)?;
                return Some(parts);
            }
            parts.scheme = Some(&text[..end]);
            rest = behind;
        }
        if let Some(behind) = rest.strip_prefix(b"//") {
            let end = memchr::memchr(b'/', behind).unwrap_or(behind.len());
            parts.authority(&behind[..end])?;
            rest = &behind[end..];
        }
        parts.path = rest;
        Some(parts)
    }

    /// `user:password@host:port`.
    fn authority(&mut self, text: &'a [u8]) -> Option<()> {
        let mut host = text;
        if let Some(at) = memchr::memrchr(b'@', text) {
            let user = cut(&text[..at], b':').0;
            self.user = Some(user);
            host = &text[at + 1..];
        }
        let port = match host.strip_prefix(b"[") {
            Some(inside) => {
                let end = memchr::memchr(b']', inside)?;
                self.host = &inside[..end];
                match &inside[end + 1..] {
                    [] => None,
                    [b':', port @ ..] => Some(port),
                    _ => return None,
                }
            }
            None => {
                let (host, port) = cut(host, b':');
                self.host = host;
                port
            }
        };
        if let Some(port) = port.filter(|port| !port.is_empty()) {
            let is_number = port.iter().all(u8::is_ascii_digit);
            self.port = Some(std::str::from_utf8(port).ok()?.parse().ok().filter(|_| is_number)?);
        }
        Some(())
    }

    /// Writes them as a JSON object; tells whether every parameter of the query is in it.
    pub(super) fn write_json(&self, parameters: &mut Parameters, out: &mut Vec<u8>) -> bool {
        out.push(b'{');
        if let Some(scheme) = self.scheme {
            lower_case(out, "scheme", scheme);
        }
        if let Some(user) = self.user.filter(|user| !user.is_empty()) {
            string(out, "user", user);
        }
        if !self.host.is_empty() {
            lower_case(out, "host", self.host);
        }
        if let Some(port) = self.port {
            key(out, b"port");
            out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
        }
        if !self.path.is_empty() {
            string(out, "path", self.path);
        }
        let mut whole = true;
        if let Some(query) = self.query {
            whole = parameters.read(query);
            key(out, b"query");
            parameters.write_json(out);
        }
        if let Some(fragment) = self.fragment {
            string(out, "fragment", fragment);
        }
        out.push(b'}');
        whole
    }
}

/// What is before a byte, and what is behind it, if it is there.
fn cut(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(at, text) {
        Some(place) => (&text[..place], Some(&text[place + 1..])),
        None => (text, None),
    }
}

/// Where the scheme's colon is, if there is one.
fn scheme_end(text: &[u8]) -> Option<usize> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let end = text.iter().position(|byte| !is_part(byte))?;
    (text[0].is_ascii_alphabetic() && text[end] == b':').then_some(end)
}

fn key(out: &mut Vec<u8>, name: &[u8]) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
}

fn string(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(out, name.as_bytes());
    quoted(out, value);
}

fn lower_case(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(out, name.as_bytes());
    let start = out.len();
    quoted(out, value);
    // Escapes of JSON are in lower case but for their digits, which may be in either.
    out[start..].make_ascii_lowercase();
}

fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    dpipe_event::write_escaped(out, text);
    out.push(b'"');
}

/// The parameters of a query, decoded. The memory is used again.
pub(super) struct Parameters {
    max: usize,
    text: Vec<u8>,
    /// Name and value of each, in the text.
    pairs: Vec<(Range<usize>, Range<usize>)>,
}

impl Parameters {
    pub(super) fn new(max: usize) -> Self {
        Parameters { max, text: Vec::new(), pairs: Vec::new() }
    }

    /// Reads `name=value&…`; tells whether there was room for all.
    fn read(&mut self, query: &[u8]) -> bool {
        self.text.clear();
        self.pairs.clear();
        for parameter in query.split(|byte| *byte == b'&').filter(|text| !text.is_empty()) {
            if self.pairs.len() == self.max {
                return false;
            }
            let (name, value) = cut(parameter, b'=');
            let name = self.decode(name);
            let value = self.decode(value.unwrap_or_default());
            self.pairs.push((name, value));
        }
        true
    }

    /// Appends what a text stands for; what is no code stands for itself.
    fn decode(&mut self, coded: &[u8]) -> Range<usize> {
        let start = self.text.len();
        let mut rest = coded;
        while let Some(at) = memchr::memchr2(b'%', b'+', rest) {
            self.text.extend_from_slice(&rest[..at]);
            let (byte, taken) = match rest[at..] {
                [b'%', high, low, ..] => match (hex(high), hex(low)) {
                    (Some(high), Some(low)) => (high << 4 | low, 3),
                    _ => (b'%', 1),
                },
                [b'+', ..] => (b' ', 1),
                _ => (b'%', 1),
            };
            self.text.push(byte);
            rest = &rest[at + taken..];
        }
        self.text.extend_from_slice(rest);
        start..self.text.len()
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        let text = |range: &Range<usize>| &self.text[range.clone()];
        out.push(b'{');
        for (at, (name, value)) in self.pairs.iter().enumerate() {
            let alike = |(other, _): &&(Range<usize>, Range<usize>)| text(other) == text(name);
            if self.pairs[..at].iter().any(|pair| alike(&pair)) {
                continue;
            }
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            quoted(out, text(name));
            out.push(b':');
            let mut others = self.pairs[at + 1..].iter().filter(alike).peekable();
            if others.peek().is_none() {
                quoted(out, text(value));
                continue;
            }
            out.push(b'[');
            quoted(out, text(value));
            for (_, other) in others {
                out.push(b',');
                quoted(out, text(other));
            }
            out.push(b']');
        }
        out.push(b'}');
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
