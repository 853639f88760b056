//! Median and tail of what was timed.

use std::time::Duration;

use serde_json::{Value, json};

/// Median, 99th percentile and maximum.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Spread {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) max: Duration,
}

impl Spread {
    /// Of any number of times; zero of none.
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at =
            |per_cent: usize| times.get(times.len().saturating_sub(1) * per_cent / 100).copied().unwrap_or_default();
        Self { p50: at(50), p99: at(99), max: at(100) }
    }

    /// In ms, with the keys `p50`, `p99`, `max`.
    pub(super) fn json(&self) -> Value {
        json!({ "p50": ms(self.p50), "p99": ms(self.p99), "max": ms(self.max) })
    }
}

/// Milliseconds, to the microsecond.
pub(super) fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

/// The middle one; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}
