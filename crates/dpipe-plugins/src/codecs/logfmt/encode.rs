//! Events as `key=value` pairs.

use dpipe_event::{EventRef, Text, Value};
use dpipe_plugin::{EncodeError, Encoder};

use super::is_numeric;

pub(super) struct LogfmtEncoder;

impl Encoder for LogfmtEncoder {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        write_members(&event.body(), &mut Vec::new(), start, out);
        Ok(())
    }
}

/// Writes the members of an object under their keys, after those of the objects around it.
fn write_members(object: &Value<'_>, path: &mut Vec<u8>, start: usize, out: &mut Vec<u8>) {
    let outer = path.len();
    for (key, value) in object.entries() {
        let Some(key) = key else { continue };
        if outer > 0 {
            path.push(b'.');
        }
        push_key(&key, path);
        if matches!(value, Value::Object(_)) && value.entries().next().is_some() {
            write_members(&value, path, start, out);
        } else {
            if out.len() > start {
                out.push(b' ');
            }
            out.extend_from_slice(path);
            out.push(b'=');
            write_value(&value, out);
        }
        path.truncate(outer);
    }
}

fn push_key(key: &Text<'_>, path: &mut Vec<u8>) {
    let bytes = key.bytes();
    let can_be = |byte: u8| byte > b' ' && !matches!(byte, b'=' | b'"' | 0x7f);
    path.extend(bytes.iter().map(|byte| if can_be(*byte) { *byte } else { b'_' }));
    if bytes.is_empty() {
        path.push(b'_');
    }
}

fn write_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => {
            let text = text.bytes();
            if is_word(&text) {
                out.extend_from_slice(&text);
            } else {
                quote(&text, out);
            }
        }
        // The decoder takes this for a number only if its exponent has a sign.
        Value::Number(digits) if !is_numeric(digits.as_bytes()) => {
            let at = digits.find(['e', 'E']).map_or(digits.len(), |at| at + 1);
            out.extend_from_slice(&digits.as_bytes()[..at]);
            out.push(b'+');
            out.extend_from_slice(&digits.as_bytes()[at..]);
        }
        Value::Array(json) => quote(json, out),
        value => value.write_json(out),
    }
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    dpipe_event::write_escaped(out, text);
    out.push(b'"');
}

/// Whether a text needs no quotes to be read as the same.
fn is_word(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| *byte > b' ' && !matches!(byte, b'=' | b'"' | 0x7f);
    let is_else = match text {
        [] | b"true" | b"false" | b"null" => true,
        [b'0'..=b'9' | b'-', ..] => is_numeric(text),
        _ => false,
    };
    !is_else && text.iter().all(is_plain)
}
