//! Moments as people write them: RFC 3339, or less of it.

use dpipe_event::Timestamp;

/// The first and the last millisecond of what is written: `2014-03` is a month, `2014-03-01` a day,
/// `2014-03-01T12:30` a minute, `…:05` a second, `…:05.25` ten milliseconds. Without a zone it is
/// UTC. `None` if it is no moment.
pub(crate) fn interval(text: &str) -> Option<(i64, i64)> {
    let mut rest = text;
    let year = i64::from(digits(&mut rest, 4)?);
    eat(&mut rest, &['-'])?;
    let month = digits(&mut rest, 2).filter(|month| (1..=12).contains(month))?;
    if rest.is_empty() {
        let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let end = Timestamp::from_civil(next.0, next.1, 1, 0).millis();
        return Some((Timestamp::from_civil(year, month, 1, 0).millis(), end - 1));
    }
    eat(&mut rest, &['-'])?;
    let day = digits(&mut rest, 2)?;
    let date = Timestamp::from_civil(year, month, day, 0);
    let civil = date.civil();
    if (civil.month, civil.day) != (month, day) {
        return None; // the 30th of February
    }
    let (in_day, length) = if rest.is_empty() { (0, 86_400_000) } else { time(&mut rest)? };
    let start = date.millis() + in_day;
    rest.is_empty().then_some((start, start + length - 1))
}

/// `T12:30:05.25+01:00`: how far into the UTC day it is, and how long, in milliseconds.
fn time(rest: &mut &str) -> Option<(i64, i64)> {
    eat(rest, &['T', 't', ' '])?;
    let hour = digits(rest, 2).filter(|hour| *hour < 24)?;
    eat(rest, &[':'])?;
    let minute = digits(rest, 2).filter(|minute| *minute < 60)?;
    let mut millis = i64::from(hour * 60 + minute) * 60_000;
    let mut length = 60_000;
    if eat(rest, &[':']).is_some() {
        millis += i64::from(digits(rest, 2).filter(|second| *second < 60)?) * 1000;
        length = 1000;
        if eat(rest, &['.']).is_some() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (fraction, after) = rest.split_at(end);
            if fraction.is_empty() {
                return None;
            }
            for digit in fraction.bytes().take(3) {
                length /= 10;
                millis += i64::from(digit - b'0') * length;
            }
            *rest = after;
        }
    }
    if eat(rest, &['Z', 'z']).is_none()
        && let Some(sign) = eat(rest, &['+', '-'])
    {
        let hours = digits(rest, 2).filter(|hours| *hours < 24)?;
        eat(rest, &[':'])?;
        let minutes = digits(rest, 2).filter(|minutes| *minutes < 60)?;
        let ahead = i64::from(hours * 60 + minutes) * 60_000;
        millis += if sign == '+' { -ahead } else { ahead };
    }
    Some((millis, length))
}

fn digits(rest: &mut &str, count: usize) -> Option<u32> {
    let text = rest.get(..count).filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
    *rest = &rest[count..];
    text.parse().ok()
}

fn eat(rest: &mut &str, any: &[char]) -> Option<char> {
    let c = rest.chars().next().filter(|c| any.contains(c))?;
    *rest = &rest[c.len_utf8()..];
    Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match interval(text) {
            None => "none".into(),
            Some((from, to)) => {
                let [from, to] = [from, to].map(Timestamp::from_millis);
                format!("{from} {to}")
            }
        }
    }

    #[test]
    fn a_moment_is_as_long_as_what_is_not_written() {
        for (text, from, to) in [
            ("2014-03", "2014-03-01T00:00:00.000Z", "2014-03-31T23:59:59.999Z"),
            ("2014-12", "2014-12-01T00:00:00.000Z", "2014-12-31T23:59:59.999Z"),
            ("2016-02-29", "2016-02-29T00:00:00.000Z", "2016-02-29T23:59:59.999Z"),
            ("2014-03-01T12:30", "2014-03-01T12:30:00.000Z", "2014-03-01T12:30:59.999Z"),
            ("2014-03-01 12:30:05Z", "2014-03-01T12:30:05.000Z", "2014-03-01T12:30:05.999Z"),
            ("2014-03-01T12:30:05.2", "2014-03-01T12:30:05.200Z", "2014-03-01T12:30:05.299Z"),
            ("2014-03-01T12:30:05.123456Z", "2014-03-01T12:30:05.123Z", "2014-03-01T12:30:05.123Z"),
            ("2014-03-01T00:30:00+01:00", "2014-02-28T23:30:00.000Z", "2014-02-28T23:30:00.999Z"),
            ("2014-03-01T23:30-01:30", "2014-03-02T01:00:00.000Z", "2014-03-02T01:00:59.999Z"),
        ] {
            assert_eq!(shown(text), format!("{from} {to}"), "{text}");
        }
    }

    #[test]
    fn what_no_calendar_has_is_no_moment() {
        for text in [
            "",
            "2014",
            "14-03-01",
            "2014-13",
            "2014-00",
            "2014-02-30",
            "2014-03-00",
            "2014-3-1",
            "2014-03-01T24:00",
            "2014-03-01T12",
            "2014-03-01T12:60",
            "2014-03-01T12:00:60",
            "2014-03-01T12:00:00.",
            "2014-03-01T12:00:00Zx",
            "2014-03-01T12:00+1",
            "2014-03-01Z",
            "now",
            "2014-03-0é",
        ] {
            assert_eq!(shown(text), "none", "{text}");
        }
    }
}
