//! Takes a text apart from its front: numbers, names, offsets.

const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];

const WEEKDAYS: [&[u8]; 7] =
    [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];

/// What is left of a text. Each method takes what it names, or gives nothing; the rest is of no use
/// then, as a format that does not fit is given up.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this byte came next; it is taken then.
    #[inline]
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// This byte.
    #[inline]
    pub(super) fn byte(&mut self, byte: u8) -> Option<()> {
        self.takes(byte).then_some(())
    }

    /// One of two bytes.
    #[inline]
    pub(super) fn either(&mut self, one: u8, other: u8) -> Option<()> {
        (self.takes(one) || self.takes(other)).then_some(())
    }

    /// Any space; also none.
    pub(super) fn space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// Space, at least one.
    pub(super) fn some_space(&mut self) -> Option<()> {
        self.0.first().filter(|byte| byte.is_ascii_whitespace())?;
        self.space();
        Some(())
    }

    /// Exactly so many digits.
    #[inline]
    pub(super) fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let mut number = 0;
        for digit in digits {
            number = number * 10 + digit_value(*digit)?;
        }
        self.0 = rest;
        Some(number)
    }

    /// As many digits as there are, one at least, `max` at most.
    #[inline]
    pub(super) fn number(&mut self, max: usize) -> Option<u32> {
        let digits = self.0.iter().take(max).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 { None } else { self.digits(digits) }
    }

    /// A whole number with its sign, of at most 19 digits.
    pub(super) fn integer(&mut self) -> Option<i64> {
        let negative = self.takes(b'-');
        if !negative {
            self.takes(b'+');
        }
        let mut number = 0_i64;
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (text, rest) = self.0.split_at(digits);
        for digit in text {
            number = number.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
        }
        self.0 = rest;
        (digits > 0).then_some(if negative { -number } else { number })
    }

    /// The digits behind a decimal point, as whole milliseconds; what is finer is cut off.
    #[inline]
    pub(super) fn fraction(&mut self, count: Option<usize>) -> Option<u32> {
        let max = count.unwrap_or(usize::MAX);
        let digits = self.0.iter().take(max).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || count.is_some_and(|count| count != digits) {
            return None;
        }
        let (text, rest) = self.0.split_at(digits);
        self.0 = rest;
        let place = |at: usize| text.get(at).map_or(0, |digit| u32::from(digit - b'0'));
        Some(place(0) * 100 + place(1) * 10 + place(2))
    }

    /// A decimal point or comma and the digits behind it, if one stands there; else 0.
    #[inline]
    pub(super) fn optional_fraction(&mut self, count: Option<usize>) -> Option<u32> {
        if self.takes(b'.') || self.takes(b',') { self.fraction(count) } else { Some(0) }
    }

    /// An offset from UTC in seconds: `Z`, `+02`, `+0200`, `+02:00`.
    #[inline]
    pub(super) fn offset(&mut self) -> Option<i32> {
        if self.takes(b'Z') || self.takes(b'z') {
            return Some(0);
        }
        let negative = self.takes(b'-');
        if !negative {
            self.byte(b'+')?;
        }
        let hours = self.digits(2)?;
        let minutes = match self.0 {
            [b':', b'0'..=b'9', ..] => {
                self.takes(b':');
                self.digits(2)?
            }
            [b'0'..=b'9', ..] => self.digits(2)?,
            _ => 0,
        };
        let seconds = (hours * 3600 + minutes * 60) as i32;
        (hours < 24 && minutes < 60).then_some(if negative { -seconds } else { seconds })
    }

    /// The name of a month, whole or its first three letters, in either case: from 1.
    #[inline]
    pub(super) fn month(&mut self) -> Option<u32> {
        self.name(&MONTHS)
    }

    /// The name of a day of the week, whole or its first three letters, in either case.
    pub(super) fn weekday(&mut self) -> Option<u32> {
        self.name(&WEEKDAYS)
    }

    fn name(&mut self, names: &[&[u8]]) -> Option<u32> {
        let (short, rest) = self.0.split_at_checked(3)?;
        let at = names.iter().position(|name| name[..3].eq_ignore_ascii_case(short))?;
        let long = &names[at][3..];
        self.0 = match rest.split_at_checked(long.len()) {
            Some((more, rest)) if more.eq_ignore_ascii_case(long) => rest,
            _ => rest,
        };
        Some(at as u32 + 1)
    }

    /// `AM` or `PM`, in either case: whether it is after noon.
    pub(super) fn is_after_noon(&mut self) -> Option<bool> {
        let (half, rest) = self.0.split_at_checked(2)?;
        self.0 = rest;
        match half {
            [b'A' | b'a', b'M' | b'm'] => Some(false),
            [b'P' | b'p', b'M' | b'm'] => Some(true),
            _ => None,
        }
    }

    /// Letters, one at least.
    pub(super) fn letters(&mut self) -> Option<&'a [u8]> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (letters, rest) = self.0.split_at(count);
        self.0 = rest;
        (count > 0).then_some(letters)
    }
}

#[inline]
fn digit_value(byte: u8) -> Option<u32> {
    byte.is_ascii_digit().then(|| u32::from(byte - b'0'))
}
