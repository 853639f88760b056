//! Durations and rates as people write them on the command line.

use std::time::Duration;

/// A text that is no quantity of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// Not a duration.
    #[error("`{0}` is no duration: write a number and a unit, for example 50ms, 2s or 1m")]
    Duration(String),
    /// Not a rate.
    #[error("`{0}` is no rate: write a number of bits a second and a unit, for example 64kbit or 1Mbit, or `none`")]
    Rate(String),
    /// Not a stall.
    #[error("`{0}` is no stall: write how long and how often, for example 2s/30s")]
    Stall(String),
}

/// Reads a duration such as `50ms` or `1m 30s`.
///
/// # Errors
/// [`InvalidQuantity::Duration`] for any other text and for negative ones.
pub fn duration(text: &str) -> Result<Duration, InvalidQuantity> {
    let signed: jiff::SignedDuration = text.parse().map_err(|_| InvalidQuantity::Duration(text.into()))?;
    signed.try_into().map_err(|_| InvalidQuantity::Duration(text.into()))
}

/// A rate of a line; none is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate(Option<u64>);

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self(None);

    /// A limit in bits a second; none at 0.
    pub const fn bits_per_second(bits: u64) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(Some(bits))) }
    }

    /// The limit in bits a second, if there is one.
    pub const fn limit(self) -> Option<u64> {
        self.0
    }

    /// How long `bytes` take.
    pub fn time_for(self, bytes: usize) -> Duration {
        let ns = self.0.map_or(0, |bits| bytes as u128 * 8 * 1_000_000_000 / u128::from(bits));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

impl std::str::FromStr for Rate {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let wrong = || InvalidQuantity::Rate(text.into());
        if text == "none" {
            return Ok(Self::UNLIMITED);
        }
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = match unit.trim_start().to_ascii_lowercase().as_str() {
            "bit" => 1,
            "kbit" => 1_000,
            "mbit" => 1_000_000,
            "gbit" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        let bits = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
        Self::bits_per_second(bits).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people write, and what says nothing.
    #[test]
    fn quantities_carry_their_unit() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(duration("50").is_err());
        assert!(duration("-1s").is_err());
        assert_eq!("1Mbit".parse(), Ok(Rate(Some(1_000_000))));
        assert_eq!("none".parse(), Ok(Rate::UNLIMITED));
        for wrong in ["1", "Mbit", "0bit", "1MB", "99999999999999999999kbit", "18446744073709551615gbit"] {
            assert_eq!(wrong.parse::<Rate>(), Err(InvalidQuantity::Rate(wrong.into())));
        }
    }

    /// 1,000 bytes at 64 kbit/s take 125 ms.
    #[test]
    fn a_rate_gives_times() {
        let rate = Rate::bits_per_second(64_000).expect("a rate");
        assert_eq!(rate.time_for(1000), Duration::from_millis(125));
        assert_eq!(Rate::UNLIMITED.time_for(1000), Duration::ZERO);
    }
}
