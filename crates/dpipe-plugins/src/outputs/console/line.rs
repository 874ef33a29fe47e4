//! From an event to the line that shows it.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use dpipe_event::{EventRef, Path, Timestamp, Value};

use super::paint::{Level, QUIET, style_of_name};
use super::{ColorBy, Config};
use crate::terminal::write_clean;

/// Fields in which a level may stand, the first that names one counts.
const LEVEL_FIELDS: [&str; 3] = ["level", "severity", "lvl"];
/// Fields in which the message may stand.
const MESSAGE_FIELDS: [&str; 2] = ["message", "msg"];
/// The tenant of everything that names none.
const DEFAULT_TENANT: &str = "default";
/// The column of tags is as wide as the widest seen, up to this.
const TAG_WIDTH_MAX: usize = 24;
/// Fields below this depth are shown as JSON.
const DEPTH_MAX: usize = 4;
/// More fields than this are only counted.
const FIELDS_MAX: usize = 64;

pub(super) struct Printer {
    color: bool,
    color_by: ColorBy,
    fields: Vec<(String, Path)>,
    value_length_max: usize,
    level_fields: Vec<Path>,
    message_fields: Vec<Path>,
    area: Path,
    tag_width: usize,
    /// A level has been seen, so there is a column for it.
    has_levels: bool,
    /// A time of another day has been seen, so all have their date.
    has_dates: bool,
}

impl Printer {
    pub(super) fn new(config: &Config, color: bool) -> Self {
        let path = |name: &str| Path::parse(name).expect("a bare name is a path");
        Printer {
            color,
            color_by: config.color_by,
            fields: config.fields.iter().map(|f| (f.to_string(), f.0.clone())).collect(),
            value_length_max: config.value_length_max,
            level_fields: LEVEL_FIELDS.map(path).into(),
            message_fields: MESSAGE_FIELDS.map(path).into(),
            area: path("_area"),
            tag_width: 0,
            has_levels: false,
            has_dates: false,
        }
    }

    /// Appends the event's line.
    pub(super) fn print(&mut self, event: &EventRef<'_>, now_millis: i64, out: &mut Vec<u8>) {
        let level = self.level(event);
        let message = self.message(event);
        let tag_style = style_of_name(event.tag());

        self.time(event.time(), now_millis, out);
        self.names(event, tag_style, out);
        if let Some((_, level)) = level {
            self.has_levels = true;
            self.paint(level.style(), level.label(), out);
            out.extend_from_slice(b"  ");
        } else if self.has_levels {
            out.extend_from_slice(b"       ");
        }
        if let Some((_, text)) = &message {
            let style = match (self.color_by, level) {
                (ColorBy::Level, Some((_, level))) => level.message_style(),
                (ColorBy::Tag, _) => tag_style,
                _ => Style::new(),
            };
            self.open(style, out);
            write_clean(text, self.value_length_max, out);
            self.close(style, out);
            out.extend_from_slice(b"  ");
        }
        if self.fields.is_empty() {
            let level_field = level.map(|(at, _)| LEVEL_FIELDS[at]);
            let message_field = message.and_then(|(at, _)| Some(MESSAGE_FIELDS[at?]));
            self.all_fields(event, [level_field, message_field], out);
        } else {
            for (name, path) in &self.fields {
                if let Some(value) = event.get(path) {
                    self.field(name.as_bytes(), &value, out);
                }
            }
        }
        let end = out.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
        out.truncate(end);
        out.push(b'\n');
    }

    fn level(&self, event: &EventRef<'_>) -> Option<(usize, Level)> {
        self.level_fields.iter().enumerate().find_map(|(at, path)| match event.get(path)? {
            Value::String(text) => Some((at, Level::named(&text.bytes())?)),
            _ => None,
        })
    }

    /// The message and, if it is a field, which one.
    fn message<'a>(&self, event: &EventRef<'a>) -> Option<(Option<usize>, Vec<u8>)> {
        if event.is_text() {
            return Some((None, event.body_text().into_owned()));
        }
        self.message_fields
            .iter()
            .enumerate()
            .find_map(|(at, path)| Some((Some(at), event.get(path)?.as_text()?.into_owned())))
    }

    fn time(&mut self, time: Timestamp, now_millis: i64, out: &mut Vec<u8>) {
        self.open(QUIET, out);
        let c = time.civil();
        // Writing to a vector cannot fail.
        self.has_dates |= time.days() != Timestamp::from_millis(now_millis).days();
        if self.has_dates {
            let _ = write!(out, "{:04}-{:02}-{:02} ", c.year, c.month, c.day);
        }
        let (h, m, s, ms) = (c.hour, c.minute, c.second, c.millisecond);
        let _ = write!(out, "{h:02}:{m:02}:{s:02}.{ms:03}");
        self.close(QUIET, out);
        out.extend_from_slice(b"  ");
    }

    /// `tenant/tag`, or just the tag, padded to the column.
    fn names(&mut self, event: &EventRef<'_>, tag_style: Style, out: &mut Vec<u8>) {
        let (tenant, tag) = (&*event.origin().tenant, event.tag());
        let mut room = TAG_WIDTH_MAX;
        if tenant != DEFAULT_TENANT {
            room -= self.name(style_of_name(tenant), tenant, room / 2, out);
            self.paint(QUIET, "/", out);
            room -= 1;
        }
        room -= self.name(tag_style, tag, room, out);
        let width = TAG_WIDTH_MAX - room;
        self.tag_width = self.tag_width.max(width);
        out.resize(out.len() + self.tag_width - width + 2, b' ');
    }

    /// A name in at most `room` characters; returns how many it took.
    fn name(&self, style: Style, name: &str, room: usize, out: &mut Vec<u8>) -> usize {
        let mut shown = Vec::new();
        write_clean(name.as_bytes(), room - 1, &mut shown);
        self.open(style, out);
        out.extend_from_slice(&shown);
        self.close(style, out);
        String::from_utf8_lossy(&shown).chars().count()
    }

    /// The area, and everything in the body that is not shown yet.
    fn all_fields(&self, event: &EventRef<'_>, shown: [Option<&str>; 2], out: &mut Vec<u8>) {
        if let Some(area) = event.get(&self.area) {
            self.field(b"_area", &area, out);
        }
        if event.is_text() {
            return;
        }
        let mut count = 0;
        let body = Value::Object(event.body_text());
        for (key, value) in body.entries() {
            let key = key.map(|key| key.bytes().into_owned()).unwrap_or_default();
            if !shown.iter().flatten().any(|name| name.as_bytes() == key) {
                self.nested(key, &value, 1, &mut count, out);
            }
        }
        if count > FIELDS_MAX {
            self.paint(QUIET, &format!("… {} more fields", count - FIELDS_MAX), out);
        }
    }

    /// A field; of an object each of its fields, by the path that leads there.
    fn nested(
        &self,
        path: Vec<u8>,
        value: &Value<'_>,
        depth: usize,
        count: &mut usize,
        out: &mut Vec<u8>,
    ) {
        if matches!(value, Value::Object(_))
            && depth < DEPTH_MAX
            && value.entries().next().is_some()
        {
            for (key, value) in value.entries() {
                let mut path = path.clone();
                path.push(b'.');
                path.extend_from_slice(&key.map(|key| key.bytes()).unwrap_or_default());
                self.nested(path, &value, depth + 1, count, out);
            }
            return;
        }
        *count += 1;
        if *count <= FIELDS_MAX {
            self.field(&path, value, out);
        }
    }

    fn field(&self, name: &[u8], value: &Value<'_>, out: &mut Vec<u8>) {
        self.open(QUIET, out);
        self.quoted(name, !stands_alone(name), out);
        out.push(b'=');
        self.close(QUIET, out);
        let mut text = Vec::new();
        value.write_text(&mut text);
        let style = match value {
            Value::Null => QUIET,
            Value::Bool(_) | Value::Number(_) | Value::Integer(_) => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        };
        let quote = matches!(value, Value::String(_)) && !stands_alone(&text);
        self.open(style, out);
        self.quoted(&text, quote, out);
        self.close(style, out);
        out.push(b' ');
    }

    fn quoted(&self, text: &[u8], quote: bool, out: &mut Vec<u8>) {
        if !quote {
            return write_clean(text, self.value_length_max, out);
        }
        let mut escaped = Vec::with_capacity(text.len());
        for &byte in text {
            if byte == b'"' {
                escaped.push(b'\\');
            }
            escaped.push(byte);
        }
        out.push(b'"');
        write_clean(&escaped, self.value_length_max, out);
        out.push(b'"');
    }

    fn paint(&self, style: Style, text: &str, out: &mut Vec<u8>) {
        self.open(style, out);
        out.extend_from_slice(text.as_bytes());
        self.close(style, out);
    }

    fn open(&self, style: Style, out: &mut Vec<u8>) {
        if self.color {
            let _ = write!(out, "{}", style.render());
        }
    }

    fn close(&self, style: Style, out: &mut Vec<u8>) {
        if self.color {
            let _ = write!(out, "{}", style.render_reset());
        }
    }
}

/// Whether a string can be told from what stands around it without quotes.
fn stands_alone(text: &[u8]) -> bool {
    !text.is_empty() && !text.iter().any(|byte| matches!(byte, b' ' | b'"' | b'='))
}
