//! The formats that have a name. Each reads a whole text or nothing.

use super::cursor::Cursor;
use super::parts::{Date, Parts, Written};

/// What a number since 1970 counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

/// ISO 8601 and RFC 3339: `2014-03-01T12:00:00.250Z`, with a space for the `T`, without colons and
/// hyphens, without an offset, or the date alone.
#[inline]
pub(super) fn iso8601(text: &[u8]) -> Option<Parts<'_>> {
    let mut rest = Cursor(text);
    let mut parts = Parts { year: Some(rest.digits(4)?.into()), ..Parts::default() };
    let hyphens = rest.takes(b'-');
    let month = rest.digits(2)?;
    if hyphens {
        rest.byte(b'-')?;
    }
    parts.date = Date::Day(month, rest.digits(2)?);
    if rest.is_at_end() {
        return Some(parts);
    }
    if !rest.takes(b'T') && !rest.takes(b't') && !rest.takes(b'_') {
        rest.some_space()?;
    }
    parts.hour = rest.digits(2)?;
    let colons = rest.takes(b':');
    parts.minute = rest.digits(2)?;
    let seconds = match colons {
        true => rest.takes(b':'),
        false => rest.0.first().is_some_and(u8::is_ascii_digit),
    };
    if seconds {
        parts.second = rest.digits(2)?;
        parts.millisecond = rest.optional_fraction(None)?;
    }
    parts.zone = zone_after_space(&mut rest)?;
    rest.is_at_end().then_some(parts)
}

/// RFC 2822: `Sat, 01 Mar 2014 12:00:00 +0000`; the day of the week and the seconds may be missing.
pub(super) fn rfc2822(text: &[u8]) -> Option<Parts<'_>> {
    let mut rest = Cursor(text);
    if rest.0.first()?.is_ascii_alphabetic() {
        rest.weekday()?;
        rest.takes(b',');
        rest.some_space()?;
    }
    let day = rest.number(2)?;
    rest.some_space()?;
    let month = rest.month()?;
    rest.some_space()?;
    let digits = rest.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let year = match (digits, rest.number(4)?) {
        (4, year) => year,
        // RFC 2822, section 4.3.
        (2, year) if year < 50 => 2000 + year,
        (2 | 3, year) => 1900 + year,
        _ => return None,
    };
    rest.some_space()?;
    let mut parts =
        Parts { year: Some(year.into()), date: Date::Day(month, day), ..Parts::default() };
    parts.hour = rest.number(2)?;
    rest.byte(b':')?;
    parts.minute = rest.digits(2)?;
    if rest.takes(b':') {
        parts.second = rest.digits(2)?;
    }
    parts.zone = zone_after_space(&mut rest)?;
    // A comment: `+0000 (UTC)`.
    rest.space();
    let is_comment = rest.0.starts_with(b"(") && rest.0.ends_with(b")");
    (rest.is_at_end() || is_comment).then_some(parts)
}

/// RFC 3164, the old syslog: `Mar  1 12:00:00`, with a year or a fraction where some write one.
pub(super) fn syslog(text: &[u8]) -> Option<Parts<'_>> {
    let mut rest = Cursor(text);
    let month = rest.month()?;
    rest.some_space()?;
    let day = rest.number(2)?;
    rest.some_space()?;
    let mut parts = Parts { date: Date::Day(month, day), ..Parts::default() };
    if rest.0.get(2) != Some(&b':') {
        parts.year = Some(rest.digits(4)?.into());
        rest.some_space()?;
    }
    time_of_day(&mut rest, &mut parts)?;
    parts.zone = zone_after_space(&mut rest)?;
    rest.is_at_end().then_some(parts)
}

/// The common log format of web servers: `01/Mar/2014:12:00:00 +0000`.
#[inline]
pub(super) fn httpd(text: &[u8]) -> Option<Parts<'_>> {
    let mut rest = Cursor(text);
    let day = rest.number(2)?;
    rest.byte(b'/')?;
    let month = rest.month()?;
    rest.byte(b'/')?;
    let year = Some(rest.digits(4)?.into());
    rest.either(b':', b' ')?;
    let mut parts = Parts { year, date: Date::Day(month, day), ..Parts::default() };
    time_of_day(&mut rest, &mut parts)?;
    parts.zone = zone_after_space(&mut rest)?;
    rest.is_at_end().then_some(parts)
}

/// `12:00:00`, and a fraction if there is one.
#[inline]
fn time_of_day(rest: &mut Cursor<'_>, parts: &mut Parts<'_>) -> Option<()> {
    parts.hour = rest.digits(2)?;
    rest.byte(b':')?;
    parts.minute = rest.digits(2)?;
    rest.byte(b':')?;
    parts.second = rest.digits(2)?;
    parts.millisecond = rest.optional_fraction(None)?;
    Some(())
}

/// An offset or an abbreviation, if the text goes on.
#[inline]
fn zone_after_space<'a>(rest: &mut Cursor<'a>) -> Option<Written<'a>> {
    rest.space();
    match rest.0 {
        [] | [b'(', ..] => Some(Written::Nothing),
        [b'+' | b'-', ..] | [b'Z' | b'z'] => rest.offset().map(Written::Offset),
        _ => rest.letters().map(Written::Name),
    }
}

/// Milliseconds since 1970 of a number of units, with or without a fraction.
#[inline]
pub(super) fn unix(text: &[u8], unit: Unit) -> Option<i64> {
    let mut rest = Cursor(text);
    let whole = rest.integer()?;
    let negative = text.first() == Some(&b'-');
    let fraction = match rest.takes(b'.') {
        true => i64::from(rest.fraction(None)?),
        false => 0,
    };
    if !rest.is_at_end() {
        return unix_by_float(text, unit);
    }
    match unit {
        Unit::Seconds => {
            whole.checked_mul(1000)?.checked_add(if negative { -fraction } else { fraction })
        }
        Unit::Millis => Some(whole),
        Unit::Micros => Some(whole.div_euclid(1000)),
        Unit::Nanos => Some(whole.div_euclid(1_000_000)),
    }
}

/// A number with an exponent, `1.3936752e9`, as some write large ones.
#[cold]
fn unix_by_float(text: &[u8], unit: Unit) -> Option<i64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let millis = match unit {
        Unit::Seconds => number * 1e3,
        Unit::Millis => number,
        Unit::Micros => number / 1e3,
        Unit::Nanos => number / 1e6,
    };
    // Within the years that are read, a double has room for every millisecond.
    (millis.abs() < 1e15).then(|| millis.floor() as i64)
}
