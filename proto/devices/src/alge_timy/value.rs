//! The value of a line: characters 10 to 22, a time or a speed.

use core::fmt;

use crate::ErrorKind;

/// Width of the field in characters.
pub(super) const WIDTH: usize = 13;

/// Nanoseconds of the last digit, by number of decimals.
const STEP_NS: [u64; 5] = [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000];

/// A time of day or a duration as the device prints it: `HH:MM:SS.zhtq`, with
/// none to four decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrintedTime {
    ns: u64,
    decimals: u8,
    comma: bool,
}

impl PrintedTime {
    /// A time in ns, cut (never rounded) to so many decimals; none at 100 hours or
    /// above four decimals.
    pub const fn cut(ns: u64, decimals: u8) -> Option<Self> {
        if decimals > 4 || ns >= 360_000 * STEP_NS[0] {
            return None;
        }
        let step = STEP_NS[decimals as usize];
        Some(Self { ns: ns - ns % step, decimals, comma: false })
    }

    /// The same cut to no more than so many decimals, at most four.
    #[must_use]
    pub fn cut_to(self, decimals: u8) -> Self {
        let decimals = self.decimals.min(decimals);
        let step = STEP_NS[usize::from(decimals)];
        Self { ns: self.ns - self.ns % step, decimals, ..self }
    }

    /// The same with a comma for a decimal sign, as some settings print it.
    #[must_use]
    pub const fn with_comma(self) -> Self {
        Self { comma: self.decimals > 0, ..self }
    }

    /// The same with a point for a decimal sign.
    #[must_use]
    pub const fn with_point(self) -> Self {
        Self { comma: false, ..self }
    }

    /// The time in ns.
    pub const fn ns(self) -> u64 {
        self.ns
    }

    /// Nanoseconds of its last digit.
    pub const fn resolution_ns(self) -> u64 {
        STEP_NS[self.decimals as usize]
    }

    /// Reads `HH:MM:SS`, a decimal sign and one to four digits or neither, and
    /// blanks to the end of the field.
    ///
    /// # Errors
    /// The kind of error and the offset within the field: `BadTime` if minutes or
    /// seconds exceed 59, else `BadField`.
    pub(super) fn parse(field: &[u8]) -> Result<Self, (ErrorKind, usize)> {
        let bad_field = |offset| Err((ErrorKind::BadField, offset));
        let pattern = b"00:00:00";
        for (offset, &sample) in pattern.iter().enumerate() {
            let sound = field.get(offset).is_some_and(|byte| match sample {
                b'0' => byte.is_ascii_digit(),
                _ => *byte == sample,
            });
            if !sound {
                return bad_field(offset);
            }
        }
        let two = |offset: usize| u64::from(field[offset] - b'0') * 10 + u64::from(field[offset + 1] - b'0');
        let (hours, minutes, seconds) = (two(0), two(3), two(6));
        if minutes > 59 || seconds > 59 {
            return Err((ErrorKind::BadTime, if minutes > 59 { 3 } else { 6 }));
        }
        let rest = field[8..].trim_ascii_end();
        let comma = rest.first() == Some(&b',');
        let digits = rest.get(1..).unwrap_or_default();
        if !rest.is_empty() && (!matches!(rest[0], b'.' | b',') || digits.is_empty() || digits.len() > 4) {
            return bad_field(8);
        }
        if let Some(offset) = digits.iter().position(|byte| !byte.is_ascii_digit()) {
            return bad_field(9 + offset);
        }
        let fraction = digits.iter().zip(&STEP_NS[1..]).map(|(digit, step)| u64::from(digit - b'0') * step);
        let ns = ((hours * 60 + minutes) * 60 + seconds) * STEP_NS[0] + fraction.sum::<u64>();
        Ok(Self { ns, decimals: digits.len() as u8, comma })
    }
}

/// Digits of a number of a fixed width, the lowest ones of it.
pub(super) fn digits<const N: usize>(mut number: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}

/// Text of characters that are known to be ASCII.
pub(super) fn ascii(characters: &[u8]) -> &str {
    core::str::from_utf8(characters).expect("digits and signs are ASCII")
}

impl fmt::Display for PrintedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.ns / STEP_NS[0];
        let mut text = *b"00:00:00.0000";
        text[..2].copy_from_slice(&digits::<2>(seconds / 3600));
        text[3..5].copy_from_slice(&digits::<2>(seconds / 60 % 60));
        text[6..8].copy_from_slice(&digits::<2>(seconds % 60));
        text[9..].copy_from_slice(&digits::<4>(self.ns % STEP_NS[0] / STEP_NS[4]));
        if self.comma {
            text[8] = b',';
        }
        let end = if self.decimals == 0 { 8 } else { 9 + usize::from(self.decimals) };
        f.write_str(ascii(&text[..end]))
    }
}

/// A speed as the device prints it, a decimal number in the line's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrintedSpeed {
    thousandths: u32,
    decimals: u8,
    comma: bool,
}

impl PrintedSpeed {
    /// A speed in thousandths of the unit, cut to so many decimals; none above
    /// three decimals or 999 999 units.
    pub const fn cut(thousandths: u32, decimals: u8) -> Option<Self> {
        if decimals > 3 || thousandths > 999_999_999 {
            return None;
        }
        let step = 10_u32.pow(3 - decimals as u32);
        Some(Self { thousandths: thousandths - thousandths % step, decimals, comma: false })
    }

    /// The same with a point for a decimal sign.
    #[must_use]
    pub const fn with_point(self) -> Self {
        Self { comma: false, ..self }
    }

    /// The speed, in the line's unit.
    pub fn speed(self) -> f64 {
        f64::from(self.thousandths) / 1000.0
    }

    /// Reads up to six digits, a decimal sign and up to three more or neither,
    /// between blanks.
    ///
    /// # Errors
    /// `BadField` and the offset within the field.
    pub(super) fn parse(field: &[u8]) -> Result<Self, (ErrorKind, usize)> {
        let start = field.iter().take_while(|byte| **byte == b' ').count();
        let number = field[start..].trim_ascii_end();
        let bad = |offset: usize| (ErrorKind::BadField, start + offset);
        let point = number.iter().position(|byte| matches!(byte, b'.' | b','));
        let (whole, fraction) = match point {
            Some(at) if at + 1 < number.len() => (&number[..at], &number[at + 1..]),
            Some(at) => return Err(bad(at)),
            None => (number, &number[..0]),
        };
        if whole.is_empty() || fraction.len() > 3 {
            return Err(bad(0));
        }
        let mut thousandths: u32 = 0;
        for (offset, byte) in number.iter().enumerate().filter(|(offset, _)| Some(*offset) != point) {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9).ok_or(bad(offset))?;
            thousandths = thousandths.checked_mul(10).and_then(|it| it.checked_add(digit.into())).ok_or(bad(offset))?;
        }
        let decimals = fraction.len() as u8;
        let thousandths = thousandths.checked_mul(10_u32.pow(3 - u32::from(decimals))).ok_or(bad(0))?;
        let comma = point.is_some_and(|at| number[at] == b',');
        Self::cut(thousandths, decimals).map(|it| Self { comma, ..it }).ok_or(bad(0))
    }
}

impl fmt::Display for PrintedSpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.thousandths / 1000)?;
        if self.decimals > 0 {
            let sign = if self.comma { ',' } else { '.' };
            let fraction = self.thousandths % 1000 / 10_u32.pow(3 - u32::from(self.decimals));
            write!(f, "{sign}{fraction:0width$}", width = usize::from(self.decimals))?;
        }
        Ok(())
    }
}

/// The value of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrintedValue {
    /// A time of day or a duration.
    Time(PrintedTime),
    /// A speed.
    Speed(PrintedSpeed),
}

impl fmt::Display for PrintedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => time.fmt(f),
            Self::Speed(speed) => speed.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    /// Times by precision, and what no clock shows.
    #[test]
    fn times_are_read_to_their_last_digit() {
        let time = |text: &str| PrintedTime::parse(text.as_bytes());
        for (text, ns, resolution_ns) in [
            ("11:22:33.4455", 40_953_445_500_000, 100_000),
            ("11:22:33.44  ", 40_953_440_000_000, 10_000_000),
            ("11:22:33,445 ", 40_953_445_000_000, 1_000_000),
            ("00:00:07     ", 7_000_000_000, 1_000_000_000),
        ] {
            let read = time(text).expect(text);
            assert_eq!((read.ns(), read.resolution_ns(), read.to_string().as_str()), (ns, resolution_ns, text.trim()));
        }
        assert_eq!(time("25:61:00.0000"), Err((ErrorKind::BadTime, 3)));
        assert_eq!(time("11:22:60.0000"), Err((ErrorKind::BadTime, 6)));
        assert_eq!(time("11:22-33.4455"), Err((ErrorKind::BadField, 5)));
        assert_eq!(time("11:22:33.44 5"), Err((ErrorKind::BadField, 11)));
        assert_eq!(time("11:22:33.    "), Err((ErrorKind::BadField, 8)));
        assert_eq!(time("11:22"), Err((ErrorKind::BadField, 5)));
    }

    /// Cutting never rounds up.
    #[test]
    fn times_are_cut() {
        let time = PrintedTime::cut(59_999_999_999, 4).expect("below 100 hours");
        assert_eq!(time.to_string(), "00:00:59.9999");
        assert_eq!(time.cut_to(2).to_string(), "00:00:59.99");
        assert_eq!(time.cut_to(0).to_string(), "00:00:59");
        assert_eq!(PrintedTime::cut(360_000_000_000_000, 2), None);
    }

    /// Speeds, and what is none.
    #[test]
    fn speeds_are_decimal_numbers() {
        for (text, speed, normal) in
            [("  087.25     ", 87.25, "87.25"), ("104,7        ", 104.7, "104,7"), ("12           ", 12.0, "12")]
        {
            let read = PrintedSpeed::parse(text.as_bytes()).expect(text);
            assert_eq!((read.speed(), read.to_string().as_str()), (speed, normal));
        }
        for wrong in ["             ", "8.           ", ".5           ", "8x.5         ", "9999999999999", "1.2345"] {
            assert!(PrintedSpeed::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
