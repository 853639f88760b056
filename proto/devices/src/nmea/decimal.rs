//! Decimal numbers as sentences write them.

/// A decimal number that keeps its digits: `13.0` is 130 with one decimal. Exact,
/// so that what is parsed can be emitted as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    digits: i64,
    decimals: u8,
}

impl Decimal {
    /// Zero, without decimals.
    pub const ZERO: Self = Self { digits: 0, decimals: 0 };

    /// Digits and decimals that a double holds exactly: 15 of either at most.
    const MOST: usize = 15;

    /// `digits` with the last `decimals` of them behind the point. None if there
    /// are more than 15 of either.
    pub const fn new(digits: i64, decimals: u8) -> Option<Self> {
        let fits = digits.unsigned_abs() < 10_u64.pow(Self::MOST as u32) && decimals as usize <= Self::MOST;
        if fits { Some(Self { digits, decimals }) } else { None }
    }

    /// Reads an optional sign, digits, and an optional point with more digits;
    /// none if that is not all, or too long.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (mut digits, mut point, mut count) = (0_i64, None, 0);
        for (index, byte) in unsigned.iter().enumerate() {
            match byte {
                b'0'..=b'9' if digits < 10_i64.pow(Self::MOST as u32 - 1) => {
                    digits = digits * 10 + i64::from(byte - b'0');
                    count += 1;
                }
                b'.' if point.is_none() => point = Some(index + 1),
                _ => return None,
            }
        }
        let decimals = point.map_or(0, |point| unsigned.len() - point);
        if count == 0 {
            return None;
        }
        Self::new(if negative { -digits } else { digits }, u8::try_from(decimals).ok()?)
    }

    /// The digits, without the point.
    pub const fn digits(self) -> i64 {
        self.digits
    }

    /// How many of the digits stand behind the point.
    pub const fn decimals(self) -> u8 {
        self.decimals
    }

    /// The double nearest to it.
    pub fn to_f64(self) -> f64 {
        self.divided_by(1.0)
    }

    /// The double nearest to its quotient by a small whole number.
    pub(super) fn divided_by(self, divisor: f64) -> f64 {
        // Both sides are exact, so the one division rounds right.
        self.digits as f64 / (POWERS[usize::from(self.decimals)] * divisor)
    }

    /// Whether it lies within 0 and `most`.
    pub(super) const fn is_within(self, most: u32) -> bool {
        self.digits >= 0 && self.digits as u64 <= most as u64 * 10_u64.pow(self.decimals as u32)
    }
}

const POWERS: [f64; Decimal::MOST + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use core::ops::RangeInclusive;
    use proptest::prelude::*;
    use std::{format, string::String};

    /// Numbers within a range, with up to six decimals.
    pub(in crate::nmea) fn decimals(range: RangeInclusive<i64>) -> impl Strategy<Value = Decimal> {
        (0_u8..=6).prop_flat_map(move |decimals| {
            let unit = 10_i64.pow(decimals.into());
            (range.start() * unit..=range.end() * unit)
                .prop_map(move |digits| Decimal::new(digits, decimals).expect("within 15 digits"))
        })
    }

    /// Numbers as devices write them, and what only looks like one.
    #[test]
    fn numbers_are_read_with_their_digits() {
        for (text, digits, decimals) in
            [("13.0", 130, 1), ("-0.33", -33, 2), ("+108", 108, 0), (".5", 5, 1), ("5.", 5, 0), ("007", 7, 0)]
        {
            assert_eq!(Decimal::parse(text.as_bytes()), Decimal::new(digits, decimals), "{text}");
        }
        for text in ["", "-", ".", "1.2.3", "1e3", " 1", "0x1", "--1", "1234567890123456"] {
            assert_eq!(Decimal::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        /// The double is the one that the standard library reads from the text.
        #[test]
        fn doubles_are_rounded_right(sign in "-?", whole in 0_u32..1_000_000, decimals in "[0-9]{0,9}") {
            let text: String = format!("{sign}{whole}.{decimals}");
            let ours = Decimal::parse(text.as_bytes()).map(Decimal::to_f64);
            prop_assert_eq!(ours, text.parse().ok());
        }

        /// No text, however long, makes it panic.
        #[test]
        fn any_text_is_a_number_or_none(text in "[-+.0-9a]{0,400}") {
            let _ = Decimal::parse(text.as_bytes()).map(Decimal::to_f64);
        }
    }
}
