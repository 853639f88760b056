//! How long to wait before the next attempt.

use std::time::Duration;

/// Doubling waits between two bounds, each shortened by a random part, so that
/// sources that lost one switch together do not come back in step.
#[derive(Debug, Clone)]
pub(crate) struct BackOff {
    first: Duration,
    longest: Duration,
    next: Duration,
    /// State of a xorshift generator; never 0.
    random: u64,
}

impl BackOff {
    /// Waits from `first` to `longest`. Equal seeds give equal waits.
    pub(crate) fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self { first, longest, next: first, random: seed | 1 }
    }

    /// The wait before the next attempt: at least three quarters of the step.
    pub(crate) fn next(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.longest);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        step - step.mul_f64((self.random % 1024) as f64 / 4096.0)
    }

    /// The line proved sound: begin with the first wait again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A seed of a source's own (FNV-1a over its name, and when it started).
pub(crate) fn seed(name: &str, started_at: Duration) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let nanos = started_at.subsec_nanos().to_le_bytes();
    name.bytes().chain(nanos).fold(0xcbf2_9ce4_8422_2325, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits double up to the bound, stay within a quarter of their step, and begin
    /// anew after a reset; two seeds differ.
    #[test]
    fn waits_double_and_are_spread() {
        let (first, longest) = (Duration::from_millis(200), Duration::from_secs(5));
        let mut back_off = BackOff::new(first, longest, 7);
        for step_ms in [200_u64, 400, 800, 1600, 3200, 5000, 5000] {
            let (step, wait) = (Duration::from_millis(step_ms), back_off.next());
            assert!(wait <= step && wait >= step * 3 / 4, "{wait:?} for {step:?}");
        }
        back_off.reset();
        assert!(back_off.next() <= first);
        let waits = |seed| {
            let mut it = BackOff::new(first, longest, seed);
            (0..5).map(|_| it.next()).collect::<Vec<_>>()
        };
        assert_ne!(waits(1), waits(99));
    }
}
