//! Sizes: `64MiB`, `10KB`, `512`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units in the order in which [`ByteSize`] prefers to show itself.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A number of bytes, written `64MiB` (powers of 1024), `10KB` (powers of 1000), or as a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of so many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size of so many kibibytes.
    #[must_use]
    pub const fn kib(kibibytes: u64) -> Self {
        Self(kibibytes << 10)
    }

    /// A size of so many mebibytes.
    #[must_use]
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    /// It does not begin with a number.
    #[error("expected a size such as `64MiB`, found `{0}`")]
    NotANumber(String),
    /// The unit is unknown.
    #[error("unknown unit `{0}` in a size, known are B, KB, MB, GB, TB, KiB, MiB, GiB, TiB")]
    Unit(String),
    /// The number of bytes does not fit.
    #[error("size `{0}` is too large")]
    TooLarge(String),
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let not_a_number = || ByteSizeError::NotANumber(text.to_owned());
        let too_large = || ByteSizeError::TooLarge(text.to_owned());

        let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits_end);
        let unit = unit.trim_start();
        let factor = match unit {
            "" => 1,
            _ => UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .map(|(_, factor)| u128::from(*factor))
                .ok_or_else(|| match number {
                    "" => not_a_number(),
                    _ => ByteSizeError::Unit(unit.to_owned()),
                })?,
        };

        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || fraction.is_empty() || fraction.contains('.') || fraction.len() > 9 {
            return Err(not_a_number());
        }
        let whole: u128 = whole.parse().map_err(|_| too_large())?;
        let tenths = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| not_a_number())?);
        let fraction: u128 = fraction.parse().map_err(|_| not_a_number())?;
        let bytes = whole.checked_mul(factor).ok_or_else(too_large)? + fraction * factor / tenths;
        u64::try_from(bytes).map(Self).map_err(|_| too_large())
    }
}

/// The largest unit that divides the size without a rest.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, u64)| self.0.is_multiple_of(*factor) && self.0 >= *factor;
        let (unit, factor) = UNITS.iter().find(fits).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `64MiB`")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([KMGTkmgt]?[Ii]?[Bb])?\s*$",
            "description": "A size: `64MiB` (powers of 1024), `10KB` (powers of 1000), or a number of bytes.",
            "examples": ["64MiB"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> u64 {
        text.parse::<ByteSize>().unwrap().bytes()
    }

    #[test]
    fn sizes_know_decimal_and_binary_units() {
        assert_eq!(bytes("512"), 512);
        assert_eq!(bytes("10KB"), 10_000);
        assert_eq!(bytes("64 MiB"), 64 << 20);
        assert_eq!(bytes("1.5gib"), 3 << 29);
        assert_eq!(bytes("0"), 0);
    }

    #[test]
    fn a_size_that_cannot_be_says_why() {
        let why = |text: &str| text.parse::<ByteSize>().unwrap_err().to_string();
        assert_eq!(why("lots"), "expected a size such as `64MiB`, found `lots`");
        assert!(why("5 parsecs").starts_with("unknown unit `parsecs`"));
        assert_eq!(why("99999999TiB"), "size `99999999TiB` is too large");
        for bad in ["", ".", "1.", "1..2", "-1", "1.0000000001KB", "KB"] {
            assert!(why(bad).starts_with("expected a size"), "{bad}");
        }
        assert!(why(&"9".repeat(60)).ends_with("is too large"));
    }

    #[test]
    fn a_size_shows_itself_in_its_largest_whole_unit() {
        for text in ["64MiB", "10KB", "513B", "0B", "1TiB"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
    }
}
