//! How bad a link is.

use std::time::Duration;

use crate::quantity::{self, InvalidQuantity, Rate};

/// How bad a link is; the same in both directions and for all its connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Delay of each byte, one way.
    pub latency: Duration,
    /// Most that is added to it, at random for each piece read. Order is kept.
    pub jitter: Duration,
    /// Limit of each direction of each connection.
    pub rate: Rate,
    /// Stands still from time to time.
    pub stall: Option<Stall>,
    /// Whether anything passes at all.
    pub passage: Passage,
}

/// The knobs of a link.
#[derive(Debug, Clone, Default)]
pub(super) struct Knobs {
    pub(super) conditions: Conditions,
    /// Raised to reset all connections.
    pub(super) resets: u64,
}

/// Whether a link passes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passage {
    /// It does.
    #[default]
    Open,
    /// Connections are reset, new ones refused.
    Cut,
    /// Connections stay, and nothing passes.
    BlackHole,
}

impl Passage {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cut => "cut",
            Self::BlackHole => "black-hole",
        }
    }
}

/// The last `lasting` of each period of `every` nothing passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    lasting: Duration,
    every: Duration,
}

impl Stall {
    /// A stall of this length in each period; none unless 0 < `lasting` < `every`.
    pub fn new(lasting: Duration, every: Duration) -> Option<Self> {
        (lasting > Duration::ZERO && lasting < every).then_some(Self { lasting, every })
    }

    /// When something that is ready at `at` passes; times since the link's start.
    fn release(self, at: Duration) -> Duration {
        let period = self.every.as_nanos();
        let phase = at.as_nanos() % period;
        let left = if phase < period - self.lasting.as_nanos() { 0 } else { period - phase };
        at + Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
    }
}

impl std::str::FromStr for Stall {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let wrong = || InvalidQuantity::Stall(text.into());
        let (lasting, every) = text.split_once('/').ok_or_else(wrong)?;
        Self::new(quantity::duration(lasting)?, quantity::duration(every)?).ok_or_else(wrong)
    }
}

impl Conditions {
    /// When bytes that arrived at `arrived` with a share of jitter in millionths may
    /// leave a line that is free at `line_free_at`.
    pub(super) fn release(&self, arrived: Duration, jitter_ppm: u32, line_free_at: Duration) -> Duration {
        let jitter = self.jitter.mul_f64(f64::from(jitter_ppm) / 1e6);
        let at = (arrived + self.latency + jitter).max(line_free_at);
        self.stall.map_or(at, |stall| stall.release(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Of each 100 ms the last 20 let nothing pass.
    #[test]
    fn a_stall_holds_until_the_period_ends() {
        let stall: Stall = "20ms/100ms".parse().expect("a stall");
        for (at, expected) in [(0, 0), (79, 79), (80, 100), (99, 100), (100, 100), (285, 300)] {
            assert_eq!(stall.release(ms(at)), ms(expected), "at {at} ms");
        }
        for wrong in ["20ms", "0s/1s", "1s/1s", "2s/1s"] {
            assert_eq!(wrong.parse::<Stall>(), Err(InvalidQuantity::Stall(wrong.into())));
        }
    }

    /// Latency and jitter count from the arrival, the rate from the piece before, and
    /// a stall from whatever is later.
    #[test]
    fn delays_are_not_added_up_but_overlap() {
        let stall = Stall::new(ms(100), ms(1000));
        let conditions = Conditions { latency: ms(50), jitter: ms(10), stall, ..Conditions::default() };
        assert_eq!(conditions.release(ms(100), 500_000, ms(0)), ms(155));
        assert_eq!(conditions.release(ms(100), 500_000, ms(200)), ms(200));
        assert_eq!(conditions.release(ms(100), 500_000, ms(950)), ms(1000));
    }
}
