//! The one place where the bench reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that never steps, counted from its creation, and the wall clock beside it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that counts from now.
    pub fn start() -> Self {
        Self { origin: instant() }
    }

    /// Time since the clock was started.
    pub fn now(&self) -> Duration {
        instant().duration_since(self.origin)
    }

    /// The instant of a reading of [`Clock::now`], for timers of the runtime.
    pub fn deadline(&self, at: Duration) -> tokio::time::Instant {
        (self.origin + at).into()
    }
}

#[expect(clippy::disallowed_methods, reason = "the rim of the bench reads the clock here and nowhere else")]
fn instant() -> Instant {
    Instant::now()
}

/// UTC by the machine's wall clock, ns since 1970.
#[expect(clippy::disallowed_methods, reason = "the rim of the bench reads the clock here and nowhere else")]
pub fn utc_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
