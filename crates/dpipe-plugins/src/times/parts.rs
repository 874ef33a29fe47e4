//! The pieces of a time as they were written, and which time they make.

use dpipe_event::Timestamp;

use super::{Clock, Moment, Zone};

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts<'a> {
    /// Seconds since 1970; nothing else but the milliseconds counts then.
    pub(super) epoch: Option<i64>,
    pub(super) year: Option<i64>,
    pub(super) date: Date,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
    pub(super) millisecond: u32,
    /// Whether it is after noon, where hours are counted to 12.
    pub(super) after_noon: Option<bool>,
    pub(super) zone: Written<'a>,
}

/// The date within the year.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Date {
    /// None: the day is the nearest.
    #[default]
    Unsaid,
    /// Month and day, from 1.
    Day(u32, u32),
    /// The day of the year, from 1.
    OfYear(u32),
}

/// What the text says of its zone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Written<'a> {
    /// Nothing: it is the configured one.
    #[default]
    Nothing,
    /// Seconds that its clocks are before UTC.
    Offset(i32),
    /// An abbreviation: `CEST`.
    Name(&'a [u8]),
}

const DAY_MS: i64 = 86_400_000;

impl Parts<'_> {
    /// The moment; none if there is no such date or time of day.
    #[inline]
    pub(super) fn resolve(&self, now: Timestamp, zone: &Zone) -> Option<Moment> {
        if let Some(seconds) = self.epoch {
            let millis = seconds.checked_mul(1000)?.checked_add(self.millisecond.into())?;
            return Some(Moment { time: Timestamp::from_millis(millis), clock: Clock::Once });
        }
        let in_day = self.in_day_ms()?;
        // The clock on the wall, as if it were UTC's.
        let wall = match (self.year, self.date) {
            (Some(year), date) => midnight(year, date)? + in_day,
            (None, Date::Unsaid) => nearest_day(in_day, self.wall_of(now, zone)),
            (None, date) => nearest_year(date, in_day, self.wall_of(now, zone))?,
        };
        match self.zone {
            Written::Nothing => zone.moment(wall),
            Written::Offset(seconds) => {
                let time = Timestamp::from_millis(wall - i64::from(seconds) * 1000);
                Some(Moment { time, clock: Clock::Once })
            }
            Written::Name(name) => zone.moment_named(wall, name),
        }
    }

    fn in_day_ms(&self) -> Option<i64> {
        let hour = match self.after_noon {
            None => self.hour,
            Some(after) if (1..=12).contains(&self.hour) => self.hour % 12 + 12 * u32::from(after),
            Some(_) => return None,
        };
        // A leap second is the first of the next minute.
        if hour > 23 || self.minute > 59 || self.second > 60 {
            return None;
        }
        let seconds = hour * 3600 + self.minute * 60 + self.second;
        Some(i64::from(seconds) * 1000 + i64::from(self.millisecond))
    }

    fn wall_of(&self, now: Timestamp, zone: &Zone) -> i64 {
        let offset_ms = match self.zone {
            Written::Offset(seconds) => i64::from(seconds) * 1000,
            // By a few hours nobody mistakes a year, and hardly a day.
            Written::Nothing | Written::Name(_) => zone.offset_ms(now),
        };
        now.millis() + offset_ms
    }
}

/// Midnight of a date, if there is such a date.
#[inline]
fn midnight(year: i64, date: Date) -> Option<i64> {
    let day = |month, day| Timestamp::from_civil(year, month, day, 0).millis();
    match date {
        Date::Day(month, of_month) => {
            let exists = of_month >= 1 && of_month <= days_of(year, month)?;
            exists.then(|| day(month, of_month))
        }
        Date::OfYear(of_year) => {
            let exists = (1..=365 + u32::from(is_leap(year))).contains(&of_year);
            exists.then(|| day(1, 1) + (i64::from(of_year) - 1) * DAY_MS)
        }
        Date::Unsaid => None,
    }
}

fn days_of(year: i64, month: u32) -> Option<u32> {
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap(year)),
        _ => return None,
    })
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The time of this date and time of day that is nearest to `now`; of two as near, the earlier.
fn nearest_year(date: Date, in_day: i64, now: i64) -> Option<i64> {
    /// Leap years are at most so many years from any other.
    const YEARS: i64 = 8;

    let this = Timestamp::from_millis(now).civil().year;
    let nearest = |years: std::ops::RangeInclusive<i64>| {
        let times = years.filter_map(|year| midnight(year, date)).map(|day| day + in_day);
        times.min_by_key(|time| (time - now).abs())
    };
    match date {
        Date::Day(2, 29) | Date::OfYear(366) => nearest(this - YEARS..=this + YEARS),
        _ => nearest(this - 1..=this + 1),
    }
}

/// The time of this time of day that is nearest to `now`; of two as near, the earlier.
fn nearest_day(in_day: i64, now: i64) -> i64 {
    let today = now.div_euclid(DAY_MS) * DAY_MS + in_day;
    let times = [today - DAY_MS, today, today + DAY_MS];
    times.into_iter().min_by_key(|time| (time - now).abs()).unwrap_or(today)
}
