//! Values as MessagePack, each in its shortest form.

use dpipe_event::Value;

pub(super) fn value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(false) => out.push(0xc2),
        Value::Bool(true) => out.push(0xc3),
        Value::Number(digits) => number(digits, out),
        Value::Integer(integer) => signed(*integer, out),
        Value::String(text) => string(&text.bytes(), out),
        Value::Id(id) => string(id.to_string().as_bytes(), out),
        Value::Object(_) => {
            let len = value.entries().count();
            match len {
                0..=15 => out.push(0x80 | len as u8),
                16..=0xffff => head(0xde, len as u64, 2, out),
                _ => head(0xdf, len as u64, 4, out),
            }
            for (key, member) in value.entries() {
                string(&key.map(|key| key.bytes()).unwrap_or_default(), out);
                self::value(&member, out);
            }
        }
        Value::Array(_) => {
            let len = value.entries().count();
            match len {
                0..=15 => out.push(0x90 | len as u8),
                16..=0xffff => head(0xdc, len as u64, 2, out),
                _ => head(0xdd, len as u64, 4, out),
            }
            for (_, element) in value.entries() {
                self::value(&element, out);
            }
        }
    }
}

/// Whole numbers as they are, if they fit; all others as the nearest double.
fn number(digits: &str, out: &mut Vec<u8>) {
    if let Ok(integer) = digits.parse::<i64>() {
        signed(integer, out);
    } else if let Ok(integer) = digits.parse::<u64>() {
        head(0xcf, integer, 8, out);
    } else {
        let double: f64 = digits.parse().unwrap_or(f64::NAN);
        head(0xcb, double.to_bits(), 8, out);
    }
}

fn signed(integer: i64, out: &mut Vec<u8>) {
    match integer {
        -32..=0x7f => out.push(integer as u8),
        0x80..=0xff => head(0xcc, integer as u64, 1, out),
        0x100..=0xffff => head(0xcd, integer as u64, 2, out),
        0x1_0000..=0xffff_ffff => head(0xce, integer as u64, 4, out),
        0x1_0000_0000.. => head(0xcf, integer as u64, 8, out),
        -0x80..=-33 => head(0xd0, integer as u64, 1, out),
        -0x8000..=-0x81 => head(0xd1, integer as u64, 2, out),
        -0x8000_0000..=-0x8001 => head(0xd2, integer as u64, 4, out),
        ..=-0x8000_0001 => head(0xd3, integer as u64, 8, out),
    }
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    match text.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len @ 32..=0xff => head(0xd9, len as u64, 1, out),
        len @ 0x100..=0xffff => head(0xda, len as u64, 2, out),
        len => head(0xdb, len as u64, 4, out),
    }
    out.extend_from_slice(text);
}

/// A first byte, and the last so many bytes of a number.
fn head(first: u8, number: u64, bytes: usize, out: &mut Vec<u8>) {
    out.push(first);
    out.extend_from_slice(&number.to_be_bytes()[8 - bytes..]);
}
