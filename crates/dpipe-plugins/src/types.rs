//! Types that a configuration gives to values, and how a text becomes one of them.

use dpipe_event::{RecordKey, RecordWriter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Type {
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A string.
    String,
    /// `true` or `false`.
    Bool,
}

impl Type {
    /// Writes a text as this type. One that cannot be is written as it is: `false` then.
    pub(crate) fn write(self, key: &RecordKey, text: &[u8], record: &mut RecordWriter<'_>) -> bool {
        let written = match self {
            Type::String => {
                record.string(key, text);
                true
            }
            Type::Int if is_plain(text) => {
                record.number(key, text);
                true
            }
            Type::Int => write_made(write_whole, key, text, record),
            Type::Float => write_made(write_number, key, text, record),
            Type::Bool => match std::str::from_utf8(text).ok().and_then(truth) {
                Some(yes) => {
                    record.bool(key, yes);
                    true
                }
                None => false,
            },
        };
        if !written {
            record.string(key, text);
        }
        written
    }
}

/// Digits that are a JSON number as they stand.
fn is_plain(text: &[u8]) -> bool {
    matches!(text, [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit)) || text == b"0"
}

fn write_made(
    write: fn(&str, &mut Vec<u8>) -> Option<()>,
    key: &RecordKey,
    text: &[u8],
    record: &mut RecordWriter<'_>,
) -> bool {
    // A few bytes on the way to a form that is seldom.
    let mut json = Vec::new();
    let written = std::str::from_utf8(text).ok().and_then(|text| write(text.trim(), &mut json));
    if written.is_some() {
        record.number(key, &json);
    }
    written.is_some()
}

/// Writes `[+-]digits[.digits][e[+-]digits]` as a whole number with every digit, if it is one.
pub(crate) fn write_whole(text: &str, json: &mut Vec<u8>) -> Option<()> {
    /// More zeros than this are not written out.
    const EXPONENT_MAX: i64 = 100;

    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.len() + fraction.len() == 0 || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // The point stands behind so many digits.
    let point = whole.len() as i64 + exponent;
    let behind = digits().skip(usize::try_from(point).unwrap_or(0));
    if exponent.abs() > EXPONENT_MAX || behind.into_iter().any(|digit| digit != b'0') {
        return None;
    }
    let zeros = std::iter::repeat(b'0');
    let before = digits().chain(zeros).take(usize::try_from(point).unwrap_or(0));
    let start = json.len();
    json.extend(before.skip_while(|digit| *digit == b'0'));
    if json.len() == start {
        json.push(b'0');
    } else if negative {
        json.insert(start, b'-');
    }
    Some(())
}

/// Writes a finite number: with the digits it has, if they are JSON, else the nearest double.
pub(crate) fn write_number(text: &str, json: &mut Vec<u8>) -> Option<()> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    if serde_json::from_str::<serde_json::Number>(text).is_ok() {
        json.extend_from_slice(text.as_bytes());
    } else {
        json.extend_from_slice(format!("{number:?}").as_bytes());
    }
    Some(())
}

/// Whether a word means yes or no, in any case; none for other words.
pub(crate) fn truth(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    if is(&["true", "yes", "on", "t", "y", "1"]) {
        Some(true)
    } else if is(&["false", "no", "off", "f", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use dpipe_event::Record;

    use super::*;

    fn written(to: Type, text: &str) -> (String, bool) {
        let mut record = Record::new();
        let key = RecordKey::new("a");
        let fill = |writer: &mut RecordWriter<'_>| {
            Ok::<_, std::convert::Infallible>(to.write(&key, text.as_bytes(), writer))
        };
        let Ok(whole) = record.fill(fill);
        (String::from_utf8(record.json().to_vec()).unwrap(), whole)
    }

    #[test]
    fn a_text_becomes_the_type_that_it_spells() {
        for (to, text, json) in [
            (Type::Int, "12", "12"),
            (Type::Int, "0", "0"),
            (Type::Int, "-007", "-7"),
            (Type::Int, "+3", "3"),
            (Type::Float, "1.50", "1.50"),
            (Type::Float, ".5", "0.5"),
            (Type::Bool, "Yes", "true"),
            (Type::Bool, "0", "false"),
            (Type::String, "12", "\"12\""),
        ] {
            assert_eq!(written(to, text), (format!("{{\"a\":{json}}}"), true), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_of_a_type_stays_a_text() {
        for (to, text) in
            [(Type::Int, "1.5"), (Type::Int, "x"), (Type::Float, "nan"), (Type::Bool, "2")]
        {
            assert_eq!(written(to, text), (format!("{{\"a\":\"{text}\"}}"), false), "{text}");
        }
    }
}
