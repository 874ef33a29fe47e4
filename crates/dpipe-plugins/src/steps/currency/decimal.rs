//! Decimals as they are written: digits and a power of ten.

/// `digits × 10^-places`, of at most 18 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: i64,
    places: i32,
}

/// So many digits fit an `i64`, and the product of two of them an `i128`.
const DIGITS_MAX: u32 = 18;
const EXPONENT_MAX: i32 = 30;

impl Decimal {
    /// Parses `[+-]digits[.digits][e[+-]digits]`.
    pub(super) fn parse(text: &[u8]) -> Option<Decimal> {
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (mut digits, mut count, mut places) = (0_i64, 0, 0);
        let (mut any, mut point) = (false, false);
        let mut exponent = 0;
        for (at, &byte) in unsigned.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    any = true;
                    // Zeros at the front take no room.
                    count += u32::from(digits != 0 || byte != b'0');
                    if count > DIGITS_MAX {
                        return None;
                    }
                    digits = digits * 10 + i64::from(byte - b'0');
                    places += i32::from(point);
                }
                b'.' if !point => point = true,
                b'e' | b'E' if any => {
                    exponent = parse_exponent(&unsigned[at + 1..])?;
                    break;
                }
                _ => return None,
            }
        }
        let places = places - exponent;
        if !any || places.abs() > EXPONENT_MAX {
            return None;
        }
        Some(Decimal { digits: if negative { -digits } else { digits }, places })
    }

    pub(super) fn is_positive(self) -> bool {
        self.digits > 0
    }

    /// Hundredths of `self × rate × 10^-scale`, rounded half away from zero; none if they do not fit.
    pub(super) fn cents(self, rate: Decimal, scale: u32) -> Option<i64> {
        let product = i128::from(self.digits) * i128::from(rate.digits);
        let places = self.places + rate.places + scale as i32 - 2;
        let cents = if places <= 0 {
            product.checked_mul(power_of_ten(places.unsigned_abs())?)?
        } else {
            match power_of_ten(places.unsigned_abs()) {
                // |a + half| with the sign of a: half away from zero.
                Some(divisor) => (product + product.signum() * (divisor / 2)) / divisor,
                // A product of 36 digits is far below half of that.
                None => 0,
            }
        };
        i64::try_from(cents).ok()
    }
}

fn power_of_ten(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

fn parse_exponent(text: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().filter(|exponent: &i32| exponent.abs() <= EXPONENT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cents(amount: &str, rate: &str, scale: u32) -> Option<i64> {
        let [amount, rate] = [amount, rate].map(|text| Decimal::parse(text.as_bytes()));
        amount?.cents(rate?, scale)
    }

    #[test]
    fn cents_are_exact_and_rounded_half_away_from_zero() {
        assert_eq!(cents("19.99", "1", 0), Some(1999));
        assert_eq!(cents("1.005", "1", 0), Some(101));
        assert_eq!(cents("-1.005", "1", 0), Some(-101));
        assert_eq!(cents("1.00499999999999999", "1", 0), Some(100));
        assert_eq!(cents("100", "0.0067", 0), Some(67));
        assert_eq!(cents("1e3", "1.08", 0), Some(108_000));
        assert_eq!(cents("15E-1", "2", 0), Some(300));
        assert_eq!(cents("1999", "1.5", 2), Some(2999));
        assert_eq!(cents("0.000000000000000000000000000001", "1", 9), Some(0));
        assert_eq!(cents("00000000000000000000012", "1", 0), Some(1200));
    }

    #[test]
    fn what_does_not_fit_or_is_no_number_is_nothing() {
        for text in ["", "-", ".", "e1", "1e", "1e99", "1..2", "1,5", "0x1", "inf", "1 2"] {
            assert_eq!(Decimal::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(cents("1234567890123456789", "1", 0), None);
        assert_eq!(cents("123456789012345678", "100", 0), None);
        assert_eq!(cents("1e30", "1e30", 0), None);
    }
}
