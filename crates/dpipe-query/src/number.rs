//! Decimal numbers, compared by value and exactly: no digit of a long one is lost to a float.

use std::borrow::Cow;
use std::cmp::Ordering;

/// A number to compare with.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    /// Its value, if that is a whole number of at most 18 digits.
    small: Option<i64>,
    decimal: Decimal<'static>,
}

impl Number {
    /// A number as in JSON; a leading `+` or `.` and a trailing `.` are fine too.
    pub(crate) fn parse(text: &str) -> Option<Number> {
        let decimal = Decimal::parse(text.as_bytes())?;
        let significand = Cow::Owned(decimal.significand.into_owned());
        Some(Number { small: small(text.as_bytes()), decimal: Decimal { significand, ..decimal } })
    }

    pub(crate) fn of(whole: i64) -> Number {
        Number::parse(&whole.to_string()).expect("digits are a number")
    }

    /// How the number that these bytes spell compares to this one; `None` if they spell none.
    pub(crate) fn compare(&self, digits: &[u8]) -> Option<Ordering> {
        if let (Some(theirs), Some(ours)) = (small(digits), self.small) {
            return Some(theirs.cmp(&ours));
        }
        Some(Decimal::parse(digits)?.cmp(&self.decimal))
    }
}

/// The value of a plain whole number of at most 18 digits, which always fit.
fn small(digits: &[u8]) -> Option<i64> {
    let (negative, digits) = match digits {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

/// A decimal number: its sign, the place of its first digit that is not 0, and its digits from
/// there on.
#[derive(Clone, Debug)]
struct Decimal<'a> {
    /// False for zero.
    negative: bool,
    /// The power of ten of the first digit; the smallest there is for zero.
    magnitude: i64,
    /// From the first digit that is not 0; may hold the point, and zeros at its end.
    significand: Cow<'a, [u8]>,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a [u8]) -> Option<Decimal<'a>> {
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let end = unsigned.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(unsigned.len());
        let (digits, exponent) = unsigned.split_at(end);
        let exponent = if exponent.is_empty() { 0 } else { parse_exponent(&exponent[1..])? };

        let mut point = None;
        let mut first = None;
        for (i, byte) in digits.iter().enumerate() {
            match byte {
                b'.' if point.is_none() => point = Some(i),
                b'1'..=b'9' => first = first.or(Some(i)),
                b'0' => {}
                _ => return None,
            }
        }
        if digits.len() == usize::from(point.is_some()) {
            return None; // no digit at all
        }
        let Some(first) = first else {
            let significand = Cow::Borrowed(&b""[..]);
            return Some(Decimal { negative: false, magnitude: i64::MIN, significand });
        };
        let point = point.unwrap_or(digits.len()) as i64;
        let place = first as i64;
        let power = if place < point { point - place - 1 } else { point - place };
        Some(Decimal {
            negative,
            magnitude: power.saturating_add(exponent),
            significand: Cow::Borrowed(&digits[first..]),
        })
    }

    fn cmp(&self, other: &Decimal<'_>) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.cmp_size(other),
            (true, true) => other.cmp_size(self),
        }
    }

    fn cmp_size(&self, other: &Decimal<'_>) -> Ordering {
        self.magnitude.cmp(&other.magnitude).then_with(|| {
            let mut ours = self.significand.iter().filter(|b| **b != b'.');
            let mut theirs = other.significand.iter().filter(|b| **b != b'.');
            loop {
                match (ours.next(), theirs.next()) {
                    (None, None) => return Ordering::Equal,
                    (our, their) => match our.unwrap_or(&b'0').cmp(their.unwrap_or(&b'0')) {
                        Ordering::Equal => {}
                        unequal => return unequal,
                    },
                }
            }
        })
    }
}

/// A whole number, cut to what an `i64` holds with room to add to it.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(i64::MAX / 2)
    });
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(left: &str, right: &str) -> Option<Ordering> {
        Number::parse(right).unwrap().compare(left.as_bytes())
    }

    #[test]
    fn numbers_compare_by_value_however_they_are_written() {
        for (left, right) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("0.001", "1E-3"),
            ("0", "-0.0"),
            ("0e99", "0"),
            ("007", "7"),
            ("+5", "5"),
            (".5", "0.50"),
            ("5.", "5"),
            ("12.50", "0.125e2"),
        ] {
            assert_eq!(compare(left, right), Some(Ordering::Equal), "{left} {right}");
        }
    }

    #[test]
    fn numbers_are_ordered_exactly() {
        let ascending = [
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-1",
            "-0.1",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000000000000001",
            "9",
            "10",
            "9007199254740992",
            "9007199254740992.5",
            "9007199254740993",
            "123456789012345678901234567890",
            "123456789012345678901234567891",
            "1e400",
            "1e99999999999999999999",
        ];
        for (i, left) in ascending.iter().enumerate() {
            for (j, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), Some(i.cmp(&j)), "{left} {right}");
            }
        }
    }

    #[test]
    fn what_is_no_number_compares_to_none() {
        for text in ["", "-", ".", "e5", "1e", "1e+", "1.2.3", "0x10", "nan", "inf", "1_000", " 1"]
        {
            assert_eq!(compare(text, "1"), None, "{text}");
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }
}
