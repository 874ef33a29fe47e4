//! Access logs of web servers: the combined and the common log format of Apache and nginx.
//!
//! | member | of |
//! |---|---|
//! | `remote_addr`, `ident`, `user` | the client; `-` is left out |
//! | `time` | the time as it is written; it is the event's time as well |
//! | `method`, `path`, `protocol` | the request line; one that is none is kept whole as `request` |
//! | `code` | the status, a number |
//! | `size` | the bytes sent, a number; `-` is 0, which it means |
//! | `referer`, `user_agent` | the combined format only; `-` is left out |
//!
//! What follows is named by `more`, in order: quoted, bracketed or bare, digits as numbers, `-` left
//! out. What is left then is the member `rest`. Escapes in quotes (`\"`, `\x22`) are undone.
//!
//! Decode errors: `missing_field`, `unclosed_quote`, `bad_time`, `bad_code`, `bad_size`.
//!
//! ```yaml
//! type: combined
//! more: [forwarded_for, request_time]
//! ```

use dpipe_event::{RecordKey, RecordWriter, Timestamp};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, DecoderConfig, DecoderSpec, Parsed, Parser,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access_log::{AccessLine, Quoted, word_or_rest};
use crate::times::{TimeFormat, Zone};

/// How to read access logs.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decode {
    /// What becomes of escapes in quotes, such as `\x22`.
    escapes: Escapes,
    /// The names of what follows the user agent (or the size, in the common format).
    more: Vec<String>,
}

/// What becomes of escapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Escapes {
    /// They become what they stand for.
    #[default]
    Undo,
    /// They stay as they are.
    Keep,
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "combined";
}

impl DecoderSpec for Decode {
    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(Combined::new(self)))
    }
}

struct Combined {
    escapes: Escapes,
    format: TimeFormat,
    remote_addr: RecordKey,
    ident: RecordKey,
    user: RecordKey,
    time: RecordKey,
    method: RecordKey,
    path: RecordKey,
    protocol: RecordKey,
    request: RecordKey,
    code: RecordKey,
    size: RecordKey,
    referer: RecordKey,
    agent: RecordKey,
    more: Box<[RecordKey]>,
    rest: RecordKey,
    /// A text without its escapes.
    plain: Vec<u8>,
}

impl Parser for Combined {
    fn parse(
        &mut self,
        text: &[u8],
        now: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        let line = AccessLine::cut(text)?;
        let moment = self.format.read(line.time, now, &Zone::UTC);
        let moment = moment.map_err(|_| bad("bad_time", "time", line.time))?;
        record.string(&self.remote_addr, line.remote_addr);
        bare(&self.ident, line.ident, record);
        bare(&self.user, line.user, record);
        record.string(&self.time, line.time);
        self.request(line.request, record);
        match line.code {
            [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] => record.number(&self.code, line.code),
            // nginx says so of connections that were closed before a request.
            b"000" => record.integer(&self.code, 0),
            b"-" => {}
            _ => return Err(bad("bad_code", "status code", line.code)),
        }
        match line.size {
            b"-" => record.integer(&self.size, 0),
            size if size.iter().all(u8::is_ascii_digit) => record.number(&self.size, size),
            _ => return Err(bad("bad_size", "size", line.size)),
        }
        if let Some(referer) = line.referer {
            quoted(&self.referer, referer, self.escapes, &mut self.plain, record);
        }
        if let Some(agent) = line.agent {
            quoted(&self.agent, agent, self.escapes, &mut self.plain, record);
        }
        if !line.rest.is_empty() {
            self.more(line.rest, record);
        }
        Ok(Parsed { time: Some(moment.time), flag: None })
    }
}

impl Combined {
    fn new(config: &Decode) -> Self {
        let key = RecordKey::new;
        Combined {
            escapes: config.escapes,
            format: TimeFormat::parse_config("httpd").expect("httpd is a format"),
            remote_addr: key("remote_addr"),
            ident: key("ident"),
            user: key("user"),
            time: key("time"),
            method: key("method"),
            path: key("path"),
            protocol: key("protocol"),
            request: key("request"),
            code: key("code"),
            size: key("size"),
            referer: key("referer"),
            agent: key("user_agent"),
            more: config.more.iter().map(|name| key(name)).collect(),
            rest: key("rest"),
            plain: Vec::new(),
        }
    }

    /// `GET /path HTTP/1.1`, or without the protocol, as HTTP/0.9 had it.
    fn request(&mut self, request: Quoted<'_>, record: &mut RecordWriter<'_>) {
        let Combined { escapes, plain, .. } = self;
        let Some((method, path, protocol)) = request_line(request.text) else {
            return quoted(&self.request, request, *escapes, plain, record);
        };
        record.string(&self.method, method);
        let path = Quoted { text: path, is_escaped: request.is_escaped };
        quoted(&self.path, path, *escapes, plain, record);
        if !protocol.is_empty() {
            record.string(&self.protocol, protocol);
        }
    }

    fn more(&mut self, mut rest: &[u8], record: &mut RecordWriter<'_>) {
        for name in &self.more {
            if rest.is_empty() {
                return;
            }
            if let [b'"', text @ ..] = rest
                && let Some((text, after)) = Quoted::cut(text)
            {
                quoted(name, text, self.escapes, &mut self.plain, record);
                rest = after;
                continue;
            }
            let word;
            (word, rest) = word_or_rest(rest);
            match word.strip_prefix(b"[").and_then(|word| word.strip_suffix(b"]")) {
                Some(inner) => bare(name, inner, record),
                None if word.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.')) => {
                    // What is no number after all, such as an address, is written as a text.
                    record.number(name, word);
                }
                None => bare(name, word, record),
            }
        }
        if !rest.is_empty() {
            record.string(&self.rest, rest);
        }
    }
}

/// The method, the path and the protocol, if this looks like a request.
#[inline]
fn request_line(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let letters =
        text.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'-').count();
    let (method, rest) = text.split_at(letters);
    let rest = rest.strip_prefix(b" ").filter(|_| letters > 0)?;
    let end = memchr::memrchr(b' ', rest);
    match end.map(|end| (&rest[..end], &rest[end + 1..])) {
        Some((path, protocol)) if protocol.starts_with(b"HTTP/") => Some((method, path, protocol)),
        _ if rest.starts_with(b"/") => Some((method, rest, &[])),
        _ => None,
    }
}

#[inline]
fn bare(key: &RecordKey, text: &[u8], record: &mut RecordWriter<'_>) {
    if text != b"-" && !text.is_empty() {
        record.string(key, text);
    }
}

#[inline]
fn quoted(
    key: &RecordKey,
    text: Quoted<'_>,
    escapes: Escapes,
    plain: &mut Vec<u8>,
    record: &mut RecordWriter<'_>,
) {
    if text.is_escaped && escapes == Escapes::Undo {
        plain.clear();
        text.unescape(plain);
        record.string(key, plain);
    } else if text.text != b"-" {
        record.string(key, text.text);
    }
}

fn bad(kind: &'static str, what: &str, text: &[u8]) -> DecodeError {
    let shown = String::from_utf8_lossy(&text[..text.len().min(40)]);
    DecodeError::new(kind, format!("{shown:?} is no {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::tests::{parse, parse_any, refuse};

    fn read(options: &str, line: &str) -> String {
        let config = serde_json::from_str(options).unwrap();
        parse(&mut Combined::new(&config), line.as_bytes())
    }

    fn refusal(line: &str) -> String {
        refuse(&mut Combined::new(&Decode::default()), line.as_bytes())
    }

    const HEAD: &str =
        r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326"#;

    #[test]
    fn the_combined_format_is_taken_apart() {
        let line = format!(r#"{HEAD} "http://example.com/" "Mozilla/4.08 [en]""#);
        assert_eq!(
            read("{}", &line),
            "@2000-10-10T20:55:36.000Z {\"remote_addr\":\"127.0.0.1\",\"user\":\"frank\",\
             \"time\":\"10/Oct/2000:13:55:36 -0700\",\"method\":\"GET\",\"path\":\"/a.gif\",\
             \"protocol\":\"HTTP/1.0\",\"code\":200,\"size\":2326,\
             \"referer\":\"http://example.com/\",\"user_agent\":\"Mozilla/4.08 [en]\"}"
        );
    }

    #[test]
    fn the_common_format_ends_at_the_size() {
        let read = read("{}", HEAD);
        assert!(read.ends_with("\"code\":200,\"size\":2326}"), "{read}");
    }

    #[test]
    fn what_is_unknown_is_left_out_and_no_bytes_are_zero() {
        let line = r#"::1 - - [10/Oct/2000:13:55:36 +0000] "-" 408 - "-" "-""#;
        assert_eq!(
            read("{}", line),
            "@2000-10-10T13:55:36.000Z {\"remote_addr\":\"::1\",\
             \"time\":\"10/Oct/2000:13:55:36 +0000\",\"code\":408,\"size\":0}"
        );
    }

    #[test]
    fn a_user_may_have_spaces_in_his_name() {
        let line = r#"h i John Doe [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 1"#;
        assert!(read("{}", line).contains(r#""ident":"i","user":"John Doe","time""#));
    }

    #[test]
    fn what_is_no_request_is_kept_whole() {
        for (request, members) in [
            (r"\x16\x03\x01", r#""request":"\u0016\u0003\u0001","code""#),
            (r"GET /", r#""method":"GET","path":"/","code""#),
            (r"GET /a b HTTP/1.1", r#""method":"GET","path":"/a b","protocol":"HTTP/1.1","code""#),
            (r"quit", r#""request":"quit","code""#),
            (r#"GET /\"x\" HTTP/1.1"#, r#""path":"/\"x\"","protocol":"HTTP/1.1","code""#),
        ] {
            let line = HEAD.replace("GET /a.gif HTTP/1.0", request);
            let read = read("{}", &line);
            assert!(read.contains(members), "{request}: {read}");
        }
    }

    #[test]
    fn escapes_can_be_kept() {
        let line = format!(r#"{HEAD} "-" "a\x22b""#);
        assert!(read("{}", &line).contains(r#""user_agent":"a\"b"}"#));
        assert!(read(r#"{"escapes":"keep"}"#, &line).contains(r#""user_agent":"a\\x22b"}"#));
    }

    #[test]
    fn what_follows_gets_the_names_given_and_the_rest_is_kept() {
        let line = format!(r#"{HEAD} "-" "ua" "10.0.0.1, 10.0.0.2" 0.005 - 10.0.0.9 [up] "x" y"#);
        let read = read(r#"{"more":["forwarded","took","gone","addr","name"]}"#, &line);
        let members = "\"user_agent\":\"ua\",\"forwarded\":\"10.0.0.1, 10.0.0.2\",\"took\":0.005,\
                       \"addr\":\"10.0.0.9\",\"name\":\"up\",\"rest\":\"\\\"x\\\" y\"}";
        assert!(read.ends_with(members), "{read}");
    }

    #[test]
    fn each_broken_line_is_refused_for_its_reason() {
        for (line, why) in [
            ("", "missing_field: there is no host"),
            ("h - -", "missing_field: there is no time in brackets"),
            ("h - - [x", "missing_field: the time has no end"),
            ("h - - [x] GET", "missing_field: there is no request in quotes"),
            ("h - - [x] \"GET", "unclosed_quote: the request has no closing quote"),
            ("h - - [x] \"GET\" 200", "missing_field: there is no status code and size"),
            ("h - - [x] \"GET\" 200 1", "bad_time: \"x\" is no time"),
        ] {
            assert_eq!(refusal(line), why, "{line}");
        }
        assert_eq!(refusal(&HEAD.replace(" 200 ", " 20 ")), "bad_code: \"20\" is no status code");
        assert_eq!(refusal(&HEAD.replace("2326", "2k")), "bad_size: \"2k\" is no size");
        let why = "unclosed_quote: the referer has no closing quote";
        assert_eq!(refusal(&format!("{HEAD} \"x")), why);
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_become_json(
            at in 0..150_usize,
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut line = format!(r#"{HEAD} "http://example.com/" "a\x22b" x 1"#).into_bytes();
            let at = at.min(line.len());
            let end = (at + bytes.len() / 2).min(line.len());
            line.splice(at..end, bytes.iter().copied());
            let config = Decode { more: vec!["m".into()], ..Decode::default() };
            parse_any(&mut Combined::new(&config), &line);
            parse_any(&mut Combined::new(&config), &bytes);
        }
    }
}
