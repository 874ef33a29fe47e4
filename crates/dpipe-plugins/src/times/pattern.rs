//! Patterns of `%` directives, as strptime(3) has them.

use super::TimeFormatError;
use super::cursor::Cursor;
use super::parts::{Date, Parts, Written};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Box<[Item]>);

/// One thing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    /// This byte.
    Byte(u8),
    /// Space, or none.
    Space,
    Year,
    /// A year's last two digits: 69 to 99 are of 1900.
    ShortYear,
    Month,
    MonthName,
    Day,
    DayOfYear,
    Weekday,
    Hour,
    /// An hour from 1 to 12.
    HalfHour,
    AfterNoon,
    Minute,
    Second,
    /// The digits of a fraction of a second: so many, or all.
    Fraction(Option<u8>),
    /// The same with the point or comma before it, if it is there.
    PointAndFraction(Option<u8>),
    Epoch,
    Offset,
    Zone,
}

const LETTERS: &str = "YymbBhdejaAHkIlpMSfLNszZFTDRrcnt%";

impl Pattern {
    pub(super) fn compile(text: &str) -> Result<Pattern, TimeFormatError> {
        let mut items = Vec::new();
        compile(text, &mut items)?;
        complete(&items).map_err(|message| TimeFormatError { message, range: 0..text.len() })?;
        Ok(Pattern(items.into()))
    }

    /// Reads a whole text.
    pub(super) fn parts<'a>(&self, text: &'a [u8]) -> Option<Parts<'a>> {
        let mut rest = Cursor(text);
        let mut parts = Parts::default();
        let (mut month, mut day) = (0, 0);
        for item in &self.0 {
            match *item {
                Item::Byte(byte) => rest.byte(byte)?,
                Item::Space => rest.space(),
                Item::Year => parts.year = Some(rest.number(4)?.into()),
                Item::ShortYear => {
                    let year = i64::from(rest.digits(2)?);
                    parts.year = Some(year + if year < 69 { 2000 } else { 1900 });
                }
                Item::Month => month = padded(&mut rest, 2)?,
                Item::MonthName => month = rest.month()?,
                Item::Day => day = padded(&mut rest, 2)?,
                Item::DayOfYear => parts.date = Date::OfYear(padded(&mut rest, 3)?),
                Item::Weekday => _ = rest.weekday()?,
                Item::Hour | Item::HalfHour => parts.hour = padded(&mut rest, 2)?,
                Item::AfterNoon => parts.after_noon = Some(rest.is_after_noon()?),
                Item::Minute => parts.minute = padded(&mut rest, 2)?,
                Item::Second => parts.second = padded(&mut rest, 2)?,
                Item::Fraction(count) => {
                    parts.millisecond = rest.fraction(count.map(usize::from))?;
                }
                Item::PointAndFraction(count) => {
                    parts.millisecond = rest.optional_fraction(count.map(usize::from))?;
                }
                Item::Epoch => parts.epoch = Some(rest.integer()?),
                Item::Offset => parts.zone = Written::Offset(rest.offset()?),
                Item::Zone => parts.zone = Written::Name(rest.letters()?),
            }
        }
        if day != 0 {
            parts.date = Date::Day(month, day);
        }
        rest.is_at_end().then_some(parts)
    }
}

/// A number, which may have spaces in place of zeros before it.
#[inline]
fn padded(rest: &mut Cursor<'_>, digits: usize) -> Option<u32> {
    rest.space();
    rest.number(digits)
}

fn compile(text: &str, items: &mut Vec<Item>) -> Result<(), TimeFormatError> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += 1;
        match bytes[start] {
            b'%' => {
                let point = bytes.get(at) == Some(&b'.');
                at += usize::from(point);
                // `%:z` is `%z` in other libraries' words.
                while bytes.get(at) == Some(&b':') {
                    at += 1;
                }
                let count = bytes.get(at).filter(|byte| matches!(byte, b'1'..=b'9'));
                at += usize::from(count.is_some());
                let count = count.map(|digit| digit - b'0');
                let letter = text[at..].chars().next();
                at += letter.map_or(0, char::len_utf8);
                let directive = directive(letter, point, count, items);
                directive.map_err(|message| TimeFormatError { message, range: start..at })?;
            }
            byte if byte.is_ascii_whitespace() => items.push(Item::Space),
            byte => items.push(Item::Byte(byte)),
        }
    }
    Ok(())
}

fn directive(
    letter: Option<char>,
    point: bool,
    count: Option<u8>,
    items: &mut Vec<Item>,
) -> Result<(), String> {
    let fraction = matches!(letter, Some('f' | 'L' | 'N'));
    if (point || count.is_some()) && !fraction {
        return Err("only a fraction (`%f`) has a point or a number of digits".into());
    }
    items.push(match letter {
        Some('f' | 'L' | 'N') if point => Item::PointAndFraction(count),
        Some('f' | 'L' | 'N') => Item::Fraction(count),
        Some('Y') => Item::Year,
        Some('y') => Item::ShortYear,
        Some('m') => Item::Month,
        Some('b' | 'B' | 'h') => Item::MonthName,
        Some('d' | 'e') => Item::Day,
        Some('j') => Item::DayOfYear,
        Some('a' | 'A') => Item::Weekday,
        Some('H' | 'k') => Item::Hour,
        Some('I' | 'l') => Item::HalfHour,
        Some('p' | 'P') => Item::AfterNoon,
        Some('M') => Item::Minute,
        Some('S') => Item::Second,
        Some('s') => Item::Epoch,
        Some('z') => Item::Offset,
        Some('Z') => Item::Zone,
        Some('n' | 't') => Item::Space,
        Some('%') => Item::Byte(b'%'),
        Some(letter @ ('F' | 'T' | 'D' | 'R' | 'r' | 'c')) => {
            let long = match letter {
                'F' => "%Y-%m-%d",
                'T' => "%H:%M:%S",
                'D' => "%m/%d/%y",
                'R' => "%H:%M",
                'r' => "%I:%M:%S %p",
                _ => "%a %b %e %H:%M:%S %Y",
            };
            return compile(long, items).map_err(|error| error.message);
        }
        Some(other) => {
            let letters: Vec<String> = LETTERS.chars().map(|letter| format!("%{letter}")).collect();
            return Err(format!("unknown directive `%{other}` (there is {})", letters.join(" ")));
        }
        None => return Err("a `%` that stands for itself is written `%%`".into()),
    });
    Ok(())
}

/// Whether what is read makes a time.
fn complete(items: &[Item]) -> Result<(), String> {
    let has = |item| items.contains(&item);
    if has(Item::Epoch) {
        return Ok(());
    }
    let month = has(Item::Month) || has(Item::MonthName);
    let hour = has(Item::Hour) || has(Item::HalfHour);
    let date = (month && has(Item::Day)) || has(Item::DayOfYear);
    let year = has(Item::Year) || has(Item::ShortYear);
    let missing = if month != has(Item::Day) {
        if month { "a month without its day (`%d`)" } else { "a day without its month (`%m`)" }
    } else if year && !date {
        "a year without month (`%m`) and day (`%d`)"
    } else if has(Item::HalfHour) != has(Item::AfterNoon) {
        "only one of `%I` and `%p`, which make an hour together"
    } else if !hour && (has(Item::Minute) || has(Item::Second)) {
        "minutes or seconds without the hour (`%H`)"
    } else if !date && !hour {
        "neither a date nor a time of day"
    } else {
        return Ok(());
    };
    Err(format!("the pattern has {missing}"))
}
