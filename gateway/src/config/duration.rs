//! Durations with their units: `"2ms"`, `"1h30m"`.

use std::fmt;
use std::time::Duration;

use toml::de::DeValue;

use super::setting::{Complaint, Setting};

/// Units, largest first, in ns.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// A part does not start with digits.
    #[error("`{0}` is not a duration: a number is missing")]
    Number(String),
    /// A decimal fraction.
    #[error("`{0}` is not a duration: it has a fraction")]
    Fraction(String),
    /// A part has no unit.
    #[error("`{0}` is not a duration: it has no unit")]
    NoUnit(String),
    /// A unit is not known.
    #[error("`{text}` is not a duration: there is no unit `{unit}`")]
    Unit {
        /// The whole text.
        text: String,
        /// The unit.
        unit: String,
    },
    /// Units do not go from large to small, each once.
    #[error("`{0}` is not a duration: its units do not go from large to small")]
    Order(String),
    /// More than 2⁶⁴ − 1 seconds.
    #[error("`{0}` is too long")]
    TooLong(String),
}

/// Reads whole numbers with units (`d h m s ms us ns`), largest first: `1h30m`.
/// Zero needs no unit.
///
/// # Errors
/// [`InvalidDuration`] if the text is anything else.
///
/// ```
/// use std::time::Duration;
/// use venue_gateway::config::parse_duration;
///
/// assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
/// assert_eq!(parse_duration("2ms"), Ok(Duration::from_millis(2)));
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let owned = || text.to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut units, mut total_ns) = (text, &UNITS[..], 0u128);
    if rest.is_empty() {
        return Err(InvalidDuration::Number(owned()));
    }
    while !rest.is_empty() {
        let (count, unit);
        (count, unit, rest) = first_part(text, rest)?;
        let Some(at) = units.iter().position(|(name, _)| *name == unit) else {
            let known = UNITS.iter().any(|(name, _)| *name == unit);
            let unit = unit.to_owned();
            return Err(if known {
                InvalidDuration::Order(owned())
            } else {
                InvalidDuration::Unit { text: owned(), unit }
            });
        };
        // 2⁶⁴ days in ns and their sum with all smaller parts fit into 128 bits.
        total_ns += u128::from(count) * units[at].1;
        units = &units[at + 1..];
    }
    let seconds = u64::try_from(total_ns / 1_000_000_000).map_err(|_| InvalidDuration::TooLong(owned()))?;
    Ok(Duration::new(seconds, (total_ns % 1_000_000_000) as u32))
}

/// Number and unit that `rest` starts with, and what follows them.
fn first_part<'a>(text: &str, rest: &'a str) -> Result<(u64, &'a str, &'a str), InvalidDuration> {
    let owned = || text.to_owned();
    let (digits, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    let (unit, rest) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
    if digits.is_empty() {
        return Err(InvalidDuration::Number(owned()));
    }
    if unit.starts_with(['.', ',']) {
        return Err(InvalidDuration::Fraction(owned()));
    }
    if unit.is_empty() {
        return Err(InvalidDuration::NoUnit(owned()));
    }
    let count = digits.parse().map_err(|_| InvalidDuration::TooLong(owned()))?;
    Ok((count, unit.trim(), rest))
}

/// Shows a duration as [`parse_duration`] reads it: `1h30m`, `0s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisplayDuration(pub Duration);

impl fmt::Display for DisplayDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, ns) in UNITS {
            if rest >= ns {
                write!(f, "{}{unit}", rest / ns)?;
                rest %= ns;
            }
        }
        Ok(())
    }
}

impl Setting for Duration {
    const KIND: &'static str = "a duration";
    const EXAMPLE: &'static str = "\"30s\"";

    fn from_text(text: &str) -> Result<Self, Complaint> {
        parse_duration(text).map_err(|error| {
            let help = match &error {
                InvalidDuration::Unit { unit, .. } => match spelled_out(unit) {
                    Some(short) => format!("write the unit as `{short}`"),
                    None => "use the units d, h, m, s, ms, us and ns".to_owned(),
                },
                InvalidDuration::NoUnit(text) => format!("give the unit, for example \"{text}s\""),
                InvalidDuration::Fraction(_) => "use the next smaller unit: \"1500ms\" for one and a half s".to_owned(),
                InvalidDuration::TooLong(_) => "no competition is that long".to_owned(),
                InvalidDuration::Number(_) | InvalidDuration::Order(_) => {
                    "write whole numbers with units, largest first, for example \"30s\" or \"1h30m\"".to_owned()
                }
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

/// The short form of a unit that people write out.
fn spelled_out(unit: &str) -> Option<&'static str> {
    match unit.to_lowercase().as_str() {
        "day" | "days" | "d" => Some("d"),
        "hour" | "hours" | "hr" | "h" => Some("h"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "sec" | "secs" | "second" | "seconds" | "s" => Some("s"),
        "msec" | "millis" | "ms" => Some("ms"),
        "µs" | "μs" | "usec" | "us" => Some("us"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One unit or several, from days to nanoseconds.
    #[test]
    fn durations_are_read_with_their_units() {
        for (text, ns) in [
            ("2ms", 2_000_000),
            ("30s", 30_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1d 1ns", 86_400_000_000_001),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text).map(|duration| duration.as_nanos()), Ok(ns), "{text}");
        }
    }

    /// Each way to get it wrong has its own words.
    #[test]
    fn wrong_durations_are_told_apart() {
        for (text, message, help) in [
            ("30", "`30` is not a duration: it has no unit", "give the unit, for example \"30s\""),
            ("", "`` is not a duration: a number is missing", "write whole numbers"),
            ("soon", "`soon` is not a duration: a number is missing", "write whole numbers"),
            ("1.5s", "`1.5s` is not a duration: it has a fraction", "use the next smaller unit"),
            ("5min", "`5min` is not a duration: there is no unit `min`", "write the unit as `m`"),
            ("5 weeks", "`5 weeks` is not a duration: there is no unit `weeks`", "use the units"),
            ("30m1h", "`30m1h` is not a duration: its units do not go from large to small", "write whole numbers"),
            ("1s1s", "`1s1s` is not a duration: its units do not go from large to small", "write whole numbers"),
            ("99999999999999999999s", "`99999999999999999999s` is too long", "no competition"),
            ("9999999999999999999d", "`9999999999999999999d` is too long", "no competition"),
        ] {
            let complaint = Duration::from_text(text).expect_err(text);
            assert_eq!(complaint.message, message);
            assert!(complaint.help.starts_with(help), "{}", complaint.help);
        }
    }

    proptest! {
        /// What is shown can be pasted into a file and means the same.
        #[test]
        fn a_duration_is_read_back_from_its_text(seconds: u64, nanos in 0..1_000_000_000u32, shift in 0..64u32) {
            let duration = Duration::new(seconds >> shift, nanos);
            prop_assert_eq!(parse_duration(&DisplayDuration(duration).to_string()), Ok(duration));
        }

        /// No text, however odd, panics.
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-zµ ., ]*") {
            let _ = parse_duration(&text);
        }
    }
}
