//! Events as syslog messages.

use std::io::Write;

use dpipe_event::{EventRef, Meta, Path, Timestamp, Value};
use dpipe_plugin::{EncodeError, Encoder};

use super::names::{facility, severity};
use super::{Encode, Format};
use crate::times::Zone;

/// The longest parts of a header (RFC 5424, section 6).
const HOST_BYTES_MAX: usize = 255;
const APP_BYTES_MAX: usize = 48;
const PID_BYTES_MAX: usize = 128;
const MSGID_BYTES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 32;

pub(super) struct SyslogEncoder {
    format: Format,
    facility: u8,
    severity: u8,
    app: Option<String>,
    zone: Zone,
    paths: Paths,
}

struct Paths {
    facility: Path,
    severity: Path,
    level: Path,
    host: Path,
    app: Path,
    pid: Path,
    msgid: Path,
    sd: Path,
    message: Path,
}

impl SyslogEncoder {
    pub(super) fn new(config: &Encode) -> Self {
        let path = |name: &str| name.parse().expect("a plain word is a path");
        SyslogEncoder {
            format: config.format,
            facility: config.facility as u8,
            severity: config.level as u8,
            app: config.app.clone(),
            zone: config.timezone.clone(),
            paths: Paths {
                facility: path("facility"),
                severity: path("severity"),
                level: path("level"),
                host: path("host"),
                app: path("app"),
                pid: path("pid"),
                msgid: path("msgid"),
                sd: path("sd"),
                message: path("message"),
            },
        }
    }

    fn priority(&self, event: &EventRef<'_>) -> u8 {
        let of = |path: &Path, named: fn(&str) -> Option<u8>, max: i64| {
            let value = event.get(path)?;
            match value.as_i64() {
                Some(number) => {
                    u8::try_from(number).ok().filter(|number| i64::from(*number) <= max)
                }
                None => named(std::str::from_utf8(&value.as_text()?).ok()?),
            }
        };
        let from = of(&self.paths.facility, facility, 23).unwrap_or(self.facility);
        let how_bad = of(&self.paths.severity, severity, 7)
            .or_else(|| of(&self.paths.level, severity, 7))
            .unwrap_or(self.severity);
        from * 8 + how_bad
    }

    /// A part of the header; `-` if the event has none.
    fn part(&self, event: &EventRef<'_>, path: &Path, max: usize, out: &mut Vec<u8>) {
        let text = event.get(path).and_then(|value| value.as_text());
        match (text, path) {
            (Some(text), _) if !text.is_empty() => word(&text, max, out),
            (_, path) if *path == self.paths.host => match event.meta(Meta::Host) {
                Some(Value::String(host)) => word(&host.bytes(), max, out),
                _ => out.push(b'-'),
            },
            (_, path) if *path == self.paths.app => match &self.app {
                Some(app) => word(app.as_bytes(), max, out),
                None => out.push(b'-'),
            },
            _ => out.push(b'-'),
        }
    }

    fn message(&self, event: &EventRef<'_>, out: &mut Vec<u8>) {
        match event.get(&self.paths.message) {
            Some(message) => {
                let start = out.len();
                message.write_text(out);
                escape_line_ends(start, out);
            }
            None => event.write_json(out),
        }
    }

    /// Whether there is anything to write after the header.
    fn has_message(&self, event: &EventRef<'_>) -> bool {
        let Paths { facility, severity, level, host, app, pid, msgid, sd, message } = &self.paths;
        let known = [facility, severity, level, host, app, pid, msgid, sd];
        // An event that was read without a message has nothing but these.
        event.get(message).is_some() || known.iter().all(|path| event.get(path).is_none())
    }

    fn rfc5424(&self, event: &EventRef<'_>, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = write!(out, "<{}>1 {} ", self.priority(event), event.time());
        for (path, max) in [
            (&self.paths.host, HOST_BYTES_MAX),
            (&self.paths.app, APP_BYTES_MAX),
            (&self.paths.pid, PID_BYTES_MAX),
            (&self.paths.msgid, MSGID_BYTES_MAX),
        ] {
            self.part(event, path, max, out);
            out.push(b' ');
        }
        let start = out.len();
        if let Some(elements @ Value::Object(_)) = event.get(&self.paths.sd) {
            for (id, params) in elements.entries() {
                if let Some(id) = id {
                    element(&id.bytes(), &params, out);
                }
            }
        }
        if out.len() == start {
            out.push(b'-');
        }
        if self.has_message(event) {
            out.push(b' ');
            self.message(event, out);
        }
    }

    fn rfc3164(&self, event: &EventRef<'_>, out: &mut Vec<u8>) {
        let time = event.time();
        let local = Timestamp::from_millis(time.millis() + self.zone.offset_ms(time));
        let c = local.civil();
        let month = &"JanFebMarAprMayJunJulAugSepOctNovDec"[c.month as usize * 3 - 3..][..3];
        // Writing to a vector cannot fail.
        let _ = write!(
            out,
            "<{}>{month} {:2} {:02}:{:02}:{:02} ",
            self.priority(event),
            c.day,
            c.hour,
            c.minute,
            c.second
        );
        self.part(event, &self.paths.host, HOST_BYTES_MAX, out);
        let start = out.len();
        out.push(b' ');
        self.part(event, &self.paths.app, APP_BYTES_MAX, out);
        if out[start..] == *b" -" {
            out.truncate(start);
        } else {
            if event.get(&self.paths.pid).is_some() {
                out.push(b'[');
                self.part(event, &self.paths.pid, PID_BYTES_MAX, out);
                out.push(b']');
            }
            out.push(b':');
        }
        out.push(b' ');
        if self.has_message(event) {
            self.message(event, out);
        }
    }
}

impl Encoder for SyslogEncoder {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self.format {
            Format::Rfc5424 => self.rfc5424(event, out),
            Format::Rfc3164 => self.rfc3164(event, out),
        }
        Ok(())
    }
}

/// A text as a word of printable ASCII.
fn word(text: &[u8], max: usize, out: &mut Vec<u8>) {
    let printable = |byte: &u8| if byte.is_ascii_graphic() { *byte } else { b'_' };
    out.extend(text.iter().take(max).map(printable));
}

fn name(text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    word(text, NAME_BYTES_MAX, out);
    for byte in &mut out[start..] {
        if matches!(byte, b'=' | b']' | b'"') {
            *byte = b'_';
        }
    }
    if out.len() == start {
        out.push(b'_');
    }
}

fn element(id: &[u8], params: &Value<'_>, out: &mut Vec<u8>) {
    out.push(b'[');
    name(id, out);
    for (key, value) in params.entries() {
        let Some(key) = key else { continue };
        out.push(b' ');
        name(&key.bytes(), out);
        out.extend_from_slice(b"=\"");
        let mut text = Vec::new();
        value.write_text(&mut text);
        escape_line_ends(0, &mut text);
        for byte in text {
            if matches!(byte, b'"' | b'\\' | b']') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.push(b']');
}

/// Line ends as `\n` and `\r`: a message is a line for most who receive it.
fn escape_line_ends(start: usize, out: &mut Vec<u8>) {
    let Some(first) = memchr::memchr2(b'\n', b'\r', &out[start..]) else { return };
    let tail = out.split_off(start + first);
    for byte in tail {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            byte => out.push(byte),
        }
    }
}
