//! Masks the strings of a JSON text, in one pass over its bytes, whatever its depth.

use dpipe_event::Value;

use super::masker::Masker;

/// Masks every string value, and every number that is a card's; if something was found, `out` has the
/// text with it masked. The JSON was validated before.
pub(super) fn mask(json: &[u8], masker: &mut Masker, out: &mut Vec<u8>) -> bool {
    out.clear();
    // So far it is copied.
    let mut copied = 0;
    let mut changed = false;
    let mut at = 0;
    loop {
        let open = memchr::memchr(b'"', &json[at..]).map_or(json.len(), |quote| at + quote);
        if masker.wants_numbers() {
            changed |= mask_numbers(json, at..open, masker, &mut copied, out);
        }
        if open == json.len() {
            break;
        }
        let end = end_of_string(json, open);
        at = end;
        if is_name(json, end) {
            continue;
        }
        // A copy is made of strings with escapes only.
        let Value::String(text) = Value::of_json(&json[open..end]) else { continue };
        if masker.mask(&text.bytes()) {
            changed = true;
            out.extend_from_slice(&json[copied..open]);
            write_string(out, masker.text());
            copied = end;
        }
    }
    if changed {
        out.extend_from_slice(&json[copied..]);
    }
    changed
}

/// Masks numbers that are cards' between two strings.
fn mask_numbers(
    json: &[u8],
    between: std::ops::Range<usize>,
    masker: &mut Masker,
    copied: &mut usize,
    out: &mut Vec<u8>,
) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let mut changed = false;
    let mut at = between.start;
    while at < between.end {
        if !json[at].is_ascii_digit() && json[at] != b'-' {
            at += 1;
            continue;
        }
        let start = at;
        at += json[at..between.end].iter().take_while(|byte| is_part(byte)).count();
        if masker.mask_number(&json[start..at]) {
            changed = true;
            out.extend_from_slice(&json[*copied..start]);
            write_string(out, masker.text());
            *copied = at;
        }
    }
    changed
}

fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    dpipe_event::write_escaped(out, text);
    out.push(b'"');
}

/// Behind the closing quote.
fn end_of_string(json: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(next) = memchr::memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
        at += next;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// Whether the string that ends here is the name of a member.
fn is_name(json: &[u8], end: usize) -> bool {
    json[end..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}
