//! `%Y` and its kin: pieces of the event's time, as strftime(3) names them.

use std::cell::OnceCell;

use dpipe_event::{Civil, Timestamp};

/// A piece of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(char);

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From 0, as [`dpipe_event::Civil::weekday`] counts.
const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Moment {
    /// The letters that there are.
    pub(super) const LETTERS: &'static str = "YymbBdjHIpMSLsaAuGVFT";

    pub(super) fn named(letter: char) -> Option<Moment> {
        Self::LETTERS.contains(letter).then_some(Moment(letter))
    }

    pub(super) fn letter(self) -> char {
        self.0
    }

    /// How long it stays the same at least, counted from 1970.
    pub(super) fn granularity_ms(self) -> i64 {
        match self.0 {
            'L' => 1,
            'S' | 's' | 'T' => 1000,
            'M' => 60_000,
            'H' | 'I' | 'p' => 3_600_000,
            _ => 86_400_000,
        }
    }

    pub(super) fn write(self, clock: &Clock, out: &mut Vec<u8>) {
        let c = match self.0 {
            'G' => return year(clock.week().0, out),
            'V' => return two(clock.week().1, out),
            's' => return text(&clock.time.millis().div_euclid(1000).to_string(), out),
            _ => clock.civil(),
        };
        match self.0 {
            'Y' => year(c.year, out),
            'y' => two(c.year.rem_euclid(100) as u32, out),
            'm' => two(c.month, out),
            'b' => text(&MONTHS[c.month as usize - 1][..3], out),
            'B' => text(MONTHS[c.month as usize - 1], out),
            'd' => two(c.day, out),
            'j' => three(c.day_of_year, out),
            'H' => two(c.hour, out),
            'I' => two((c.hour + 11) % 12 + 1, out),
            'p' => text(if c.hour < 12 { "AM" } else { "PM" }, out),
            'M' => two(c.minute, out),
            'S' => two(c.second, out),
            'L' => three(c.millisecond, out),
            'a' => text(&WEEKDAYS[c.weekday as usize][..3], out),
            'A' => text(WEEKDAYS[c.weekday as usize], out),
            'u' => out.push(digit(c.weekday + 1)),
            'F' => {
                year(c.year, out);
                out.push(b'-');
                two(c.month, out);
                out.push(b'-');
                two(c.day, out);
            }
            _ => {
                two(c.hour, out);
                out.push(b':');
                two(c.minute, out);
                out.push(b':');
                two(c.second, out);
            }
        }
    }
}

/// The time of an event, taken apart when a moment asks, and once.
pub(super) struct Clock {
    time: Timestamp,
    civil: OnceCell<Civil>,
    week: OnceCell<(i64, u32)>,
}

impl Clock {
    #[inline]
    pub(super) fn new(time: Timestamp) -> Self {
        Clock { time, civil: OnceCell::new(), week: OnceCell::new() }
    }

    fn civil(&self) -> &Civil {
        self.civil.get_or_init(|| self.time.civil())
    }

    fn week(&self) -> (i64, u32) {
        *self.week.get_or_init(|| self.time.iso_week())
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

/// Two digits; the number is below 100.
fn two(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[digit(number / 10), digit(number)]);
}

/// Three digits; the number is below 1000.
fn three(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[digit(number / 100), digit(number / 10), digit(number)]);
}

/// Four digits, or what a year takes that is not one of four digits.
fn year(year: i64, out: &mut Vec<u8>) {
    match u32::try_from(year) {
        Ok(year @ 0..10_000) => {
            two(year / 100, out);
            two(year % 100, out);
        }
        _ => text(&format!("{year:04}"), out),
    }
}
