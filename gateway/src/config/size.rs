//! Sizes of memory and disk, with their unit: `"8GiB"`.

use std::fmt;
use std::str::FromStr;

use toml::de::DeValue;

use super::setting::{Complaint, Setting};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

/// Units, largest first; the binary ones are what sizes are shown in.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSize {
    /// It does not start with digits.
    #[error("`{0}` is not a size: it has no number")]
    Number(String),
    /// A decimal fraction.
    #[error("`{0}` is not a size: it has a fraction")]
    Fraction(String),
    /// There is no unit.
    #[error("`{0}` is not a size: it has no unit")]
    NoUnit(String),
    /// The unit is not known.
    #[error("`{text}` is not a size: there is no unit `{unit}`")]
    Unit {
        /// The whole text.
        text: String,
        /// Its unit.
        unit: String,
    },
    /// More than 2⁶⁴ − 1 bytes.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

impl ByteSize {
    /// That many bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// That many KiB (1,024 bytes).
    ///
    /// # Panics
    /// At 2⁵⁴ KiB and more.
    pub const fn kib(count: u64) -> Self {
        assert!(count < 1 << 54, "more KiB than 64 bits of bytes hold");
        Self(count << 10)
    }

    /// That many MiB (1,024 KiB).
    ///
    /// # Panics
    /// At 2⁴⁴ MiB and more.
    pub const fn mib(count: u64) -> Self {
        assert!(count < 1 << 44, "more MiB than 64 bits of bytes hold");
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = InvalidSize;

    /// Reads a whole number and a unit (`B`, `KiB` … `TiB`, `kB` … `TB`), with or
    /// without a blank between.
    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let owned = || text.to_owned();
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        if digits.is_empty() {
            return Err(InvalidSize::Number(owned()));
        }
        if unit.starts_with(['.', ',']) {
            return Err(InvalidSize::Fraction(owned()));
        }
        let factor = match UNITS.iter().find(|(name, _)| *name == unit.trim_start()) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() => return Err(InvalidSize::NoUnit(owned())),
            None => return Err(InvalidSize::Unit { text: owned(), unit: unit.trim().to_owned() }),
        };
        let count = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(factor));
        count.map(Self).ok_or_else(|| InvalidSize::TooLarge(owned()))
    }
}

/// In the largest binary unit that divides it; reads back as the same size.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |(_, factor): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*factor);
        let (unit, factor) = UNITS[..4].iter().find(divides).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Setting for ByteSize {
    const KIND: &'static str = "a size";
    const EXAMPLE: &'static str = "\"8GiB\"";

    fn from_text(text: &str) -> Result<Self, Complaint> {
        text.parse().map_err(|error: InvalidSize| {
            let help = match &error {
                InvalidSize::Unit { unit, .. } => {
                    match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
                        Some((name, _)) => format!("write the unit as `{name}`"),
                        None => "use one of B, KiB, MiB, GiB, TiB, kB, MB, GB, TB".to_owned(),
                    }
                }
                InvalidSize::NoUnit(text) => format!("give the unit, for example \"{text}MiB\""),
                InvalidSize::Fraction(_) => "use the next smaller unit: \"1536MiB\" for one and a half GiB".to_owned(),
                InvalidSize::TooLarge(_) => "no disk is that large".to_owned(),
                InvalidSize::Number(_) => "write a whole number and a unit, for example \"8GiB\"".to_owned(),
            };
            Complaint::new(error.to_string(), help)
        })
    }

    fn from_value(value: &DeValue<'_>) -> Option<Result<Self, Complaint>> {
        match value {
            DeValue::Integer(number) => Some(Self::from_text(&number.to_string())),
            _ => value.as_str().map(Self::from_text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Both families of units, and where binary and decimal differ.
    #[test]
    fn sizes_are_read_with_their_unit() {
        for (text, bytes) in
            [("8GiB", 8_589_934_592), ("64 MiB", 67_108_864), ("1kB", 1000), ("2TB", 2_000_000_000_000), ("0B", 0)]
        {
            assert_eq!(text.parse(), Ok(ByteSize::bytes(bytes)), "{text}");
        }
    }

    /// Each way to get it wrong has its own words.
    #[test]
    fn wrong_sizes_are_told_apart() {
        for (text, message, help) in [
            ("8", "`8` is not a size: it has no unit", "give the unit, for example \"8MiB\""),
            ("8gib", "`8gib` is not a size: there is no unit `gib`", "write the unit as `GiB`"),
            ("1.5GiB", "`1.5GiB` is not a size: it has a fraction", "use the next smaller unit"),
            ("much", "`much` is not a size: it has no number", "write a whole number and a unit"),
            ("17000000TiB", "`17000000TiB` is too large", "no disk"),
            ("1PiB", "`1PiB` is not a size: there is no unit `PiB`", "use one of B,"),
        ] {
            let complaint = ByteSize::from_text(text).expect_err(text);
            assert_eq!(complaint.message, message);
            assert!(complaint.help.starts_with(help), "{}", complaint.help);
        }
    }

    proptest! {
        /// What is shown can be pasted into a file and means the same.
        #[test]
        fn a_size_is_read_back_from_its_text(count: u64, shift in 0..64u32) {
            let size = ByteSize::bytes(count >> shift << (shift / 2));
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        /// No text, however odd, panics.
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
