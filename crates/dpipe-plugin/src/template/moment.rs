//! `%Y` and its kin: pieces of the event's time, as strftime(3) names them.

use std::io::Write;

use dpipe_event::Timestamp;

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

    pub(super) fn write(self, time: Timestamp, out: &mut Vec<u8>) {
        let c = time.civil();
        // Writing to a vector cannot fail.
        let _ = match self.0 {
            'Y' => write!(out, "{:04}", c.year),
            'y' => write!(out, "{:02}", c.year.rem_euclid(100)),
            'm' => write!(out, "{:02}", c.month),
            'b' => write!(out, "{}", &MONTHS[c.month as usize - 1][..3]),
            'B' => write!(out, "{}", MONTHS[c.month as usize - 1]),
            'd' => write!(out, "{:02}", c.day),
            'j' => write!(out, "{:03}", c.day_of_year),
            'H' => write!(out, "{:02}", c.hour),
            'I' => write!(out, "{:02}", (c.hour + 11) % 12 + 1),
            'p' => write!(out, "{}", if c.hour < 12 { "AM" } else { "PM" }),
            'M' => write!(out, "{:02}", c.minute),
            'S' => write!(out, "{:02}", c.second),
            'L' => write!(out, "{:03}", c.millisecond),
            's' => write!(out, "{}", time.millis().div_euclid(1000)),
            'a' => write!(out, "{}", &WEEKDAYS[c.weekday as usize][..3]),
            'A' => write!(out, "{}", WEEKDAYS[c.weekday as usize]),
            'u' => write!(out, "{}", c.weekday + 1),
            'G' => write!(out, "{:04}", time.iso_week().0),
            'V' => write!(out, "{:02}", time.iso_week().1),
            'F' => write!(out, "{:04}-{:02}-{:02}", c.year, c.month, c.day),
            _ => write!(out, "{:02}:{:02}:{:02}", c.hour, c.minute, c.second),
        };
    }
}
