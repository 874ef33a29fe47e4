//! Periods of time: `250ms`, `5s`, `1h30m`, `7d`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECOND: u128 = 1_000_000_000;

/// Units in nanoseconds, largest first: the order in which a period is shown.
const UNITS: [(&str, u128); 8] = [
    ("w", 7 * 86_400 * SECOND),
    ("d", 86_400 * SECOND),
    ("h", 3_600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A length of time, written as numbers with units: `250ms`, `5s`, `1h30m`, `7d`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

impl Period {
    /// A period of that length.
    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// A period of so many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A period of so many milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Its length.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

/// Why a text is not a period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// It is not a row of numbers with units.
    #[error("expected a duration such as `5s` or `1h30m`, found `{0}`")]
    Form(String),
    /// A number stands alone.
    #[error("duration `{0}` has no unit, write `{0}s` or `{0}ms`")]
    NoUnit(String),
    /// A unit is unknown.
    #[error("unknown unit `{0}` in a duration, known are ns, us, ms, s, m, h, d, w")]
    Unit(String),
    /// It is longer than can be counted.
    #[error("duration `{0}` is too long")]
    TooLong(String),
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let form = || PeriodError::Form(text.to_owned());
        let too_long = || PeriodError::TooLong(text.to_owned());

        let mut total: u128 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let number_end =
                rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, after) = rest.split_at(number_end);
            let unit_end =
                after.find(|c: char| c.is_ascii_digit() || c == ' ').unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            rest = after.trim_start();

            let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
            if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
                return Err(form());
            }
            if unit.is_empty() {
                return Err(PeriodError::NoUnit(number.to_owned()));
            }
            let unit = if unit == "µs" { "us" } else { unit };
            let (_, nanos) = UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(|| PeriodError::Unit(unit.to_owned()))?;
            // A fraction finer than a nanosecond of the unit is cut off.
            let fraction = &fraction[..fraction.len().min(9)];
            let parts = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| form())?);
            let fraction: u128 = fraction.parse().map_err(|_| form())?;
            let whole: u128 = whole.parse().map_err(|_| too_long())?;
            total = whole
                .checked_mul(*nanos)
                .and_then(|whole| whole.checked_add(total))
                .and_then(|sum| sum.checked_add(fraction * nanos / parts))
                .ok_or_else(too_long)?;
        }
        if text.is_empty() {
            return Err(form());
        }
        let seconds = u64::try_from(total / SECOND).map_err(|_| too_long())?;
        let nanos = u32::try_from(total % SECOND).map_err(|_| too_long())?;
        Ok(Self(Duration::new(seconds, nanos)))
    }
}

/// The shortest row of whole units, for example `1h30m`.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        // Weeks are read, but days are what people count in.
        for (unit, nanos) in &UNITS[1..] {
            if rest >= *nanos {
                write!(f, "{}{unit}", rest / nanos)?;
                rest %= nanos;
            }
        }
        Ok(())
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as `5s` or `1h30m`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Reader)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\s*([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d|w)\s*)+$",
            "description": "A length of time: `250ms`, `5s`, `1h30m`, `7d`.",
            "examples": ["5s"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(text: &str) -> Duration {
        text.parse::<Period>().unwrap().duration()
    }

    #[test]
    fn periods_are_rows_of_numbers_with_units() {
        assert_eq!(period("250ms"), Duration::from_millis(250));
        assert_eq!(period("1h30m"), Duration::from_secs(5_400));
        assert_eq!(period("1d 2h"), Duration::from_secs(93_600));
        assert_eq!(period("1.5s"), Duration::from_millis(1_500));
        assert_eq!(period("2w"), Duration::from_secs(14 * 86_400));
        assert_eq!(period("0s"), Duration::ZERO);
    }

    #[test]
    fn a_period_that_cannot_be_says_why() {
        let why = |text: &str| text.parse::<Period>().unwrap_err().to_string();
        assert_eq!(why("5"), "duration `5` has no unit, write `5s` or `5ms`");
        assert!(why("5 s").starts_with("duration `5` has no unit"));
        assert!(why("5y").starts_with("unknown unit `y`"));
        for bad in ["", "s", "-1s", "1.s", "soon"] {
            assert!(why(bad).starts_with("expected a duration"), "{bad}");
        }
        assert!(why("99999999999999999999w").ends_with("is too long"));
        assert!(why(&format!("{}s", "9".repeat(60))).ends_with("is too long"));
    }

    #[test]
    fn a_period_shows_itself_in_whole_units() {
        for text in ["1h30m", "7d", "250ms", "1s500ms", "0s", "3us"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
    }
}
