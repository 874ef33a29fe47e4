//! Event time: whole milliseconds since 1970-01-01T00:00:00Z.

use std::fmt;

/// A moment, in milliseconds since the Unix epoch, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A moment taken apart by the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year.
    pub year: i64,
    /// The month, from 1.
    pub month: u32,
    /// The day of the month, from 1.
    pub day: u32,
    /// The hour, 0 to 23.
    pub hour: u32,
    /// The minute, 0 to 59.
    pub minute: u32,
    /// The second, 0 to 59.
    pub second: u32,
    /// The millisecond, 0 to 999.
    pub millisecond: u32,
    /// The day of the week: 0 is Monday.
    pub weekday: u32,
    /// The day of the year, from 1.
    pub day_of_year: u32,
}

const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The number of whole days since 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }

    /// The moment in UTC by the calendar.
    #[must_use]
    pub fn civil(self) -> Civil {
        let days = self.days();
        let in_day = self.0.rem_euclid(DAY_MS);
        let (year, month, day) = civil_from_days(days);
        Civil {
            year,
            month,
            day,
            hour: (in_day / 3_600_000) as u32,
            minute: (in_day / 60_000 % 60) as u32,
            second: (in_day / 1000 % 60) as u32,
            millisecond: (in_day % 1000) as u32,
            weekday: (days + 3).rem_euclid(7) as u32,
            day_of_year: (days - days_from_civil(year, 1, 1) + 1) as u32,
        }
    }

    /// The ISO 8601 week: its year and its number, 1 to 53.
    #[must_use]
    pub fn iso_week(self) -> (i64, u32) {
        // A week belongs to the year that its Thursday is in.
        let thursday = self.days() - (self.days() + 3).rem_euclid(7) + 3;
        let (year, ..) = civil_from_days(thursday);
        let week = (thursday - days_from_civil(year, 1, 1)) / 7 + 1;
        (year, week as u32)
    }

    /// From a UTC date and time of day.
    #[must_use]
    pub fn from_civil(year: i64, month: u32, day: u32, in_day_ms: i64) -> Self {
        Timestamp(days_from_civil(year, month, day) * DAY_MS + in_day_ms)
    }
}

/// Year, month and day of a number of days since 1970-01-01. Algorithm: Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * from_march + 2) / 153;
    let day = (from_march - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month =
        (if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 }) as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970-01-01 of a date; Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = i64::from(month);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// RFC 3339 in UTC, to the millisecond: `2014-03-01T12:00:00.250Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.civil();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            c.year, c.month, c.day, c.hour, c.minute, c.second, c.millisecond
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_right_at_its_edges() {
        let text = |ms| Timestamp::from_millis(ms).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(text(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(1_393_675_200_250), "2014-03-01T12:00:00.250Z");
        assert_eq!(text(4_102_444_799_999), "2099-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_week_belongs_to_the_year_of_its_thursday() {
        let week = |y, m, d| Timestamp::from_civil(y, m, d, 0).iso_week();
        assert_eq!(week(2014, 12, 29), (2015, 1));
        assert_eq!(week(2016, 1, 3), (2015, 53));
        assert_eq!(week(2014, 6, 2), (2014, 23));
        assert_eq!(week(1970, 1, 1), (1970, 1));
    }

    #[test]
    fn days_and_dates_agree_over_two_centuries() {
        for day in -36_525..73_050 {
            let t = Timestamp::from_millis(day * DAY_MS);
            let c = t.civil();
            assert_eq!(Timestamp::from_civil(c.year, c.month, c.day, 0), t);
        }
    }
}
