//! Delays between attempts: exponential, capped, half of each drawn at random
//! from a seed, so that forty venues do not return in step after an outage.

use core::time::Duration;

/// Counts failed attempts and says how long to wait before the next.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    attempts: u32,
    random: SplitMix64,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self { min, max, attempts: 0, random: SplitMix64(seed) }
    }

    /// Attempts that failed since the last success.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Forgets the failures: the peer has done something useful.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Counts a failure and gives the delay before the next attempt. The delay
    /// doubles once every endpoint has been tried, so that a spare is reached at once.
    pub(super) fn failed(&mut self, endpoints: usize) -> Duration {
        let round = self.attempts / u32::try_from(endpoints).unwrap_or(u32::MAX).max(1);
        self.attempts = self.attempts.saturating_add(1);
        let delay = self.min.saturating_mul(1 << round.min(20)).min(self.max);
        self.jittered(delay)
    }

    /// Between one half and the whole of a delay.
    pub(super) fn jittered(&mut self, delay: Duration) -> Duration {
        let fraction = (self.random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        delay / 2 + (delay / 2).mul_f64(fraction)
    }
}

/// The generator of Steele, Lea and Flood (2014): one addition, three mixing steps.
#[derive(Debug, Clone)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(250);
    const MAX: Duration = Duration::from_secs(30);

    /// Delays grow from the least to the cap, keep within a half of it, and start
    /// anew after a success.
    #[test]
    fn delays_double_up_to_the_cap() {
        let mut backoff = Backoff::new(MIN, MAX, 7);
        for round in 0..40_u32 {
            let whole = (MIN * (1 << round.min(10))).min(MAX);
            let delay = backoff.failed(1);
            assert!(delay >= whole / 2 && delay <= whole, "round {round}: {delay:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.failed(1) <= MIN);
    }

    /// With two endpoints the second is tried before the delay grows.
    #[test]
    fn a_round_goes_through_all_endpoints() {
        let mut backoff = Backoff::new(MIN, MAX, 7);
        assert!(backoff.failed(2) <= MIN && backoff.failed(2) <= MIN);
        assert!(backoff.failed(2) >= MIN);
    }

    /// One seed gives one sequence of delays; another gives another.
    #[test]
    fn jitter_comes_from_the_seed_alone() {
        let delays = |seed| {
            let mut backoff = Backoff::new(MIN, MAX, seed);
            [backoff.failed(1), backoff.failed(1), backoff.failed(1)]
        };
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }
}
