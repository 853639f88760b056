//! When a source that panicked is started again. Sans-io: time comes in as a parameter.

use std::time::Duration;

/// Wait after the first fault: a finish timer must not be silent for long.
const FIRST: Duration = Duration::from_millis(200);
/// Longest wait: a device that sends the same line again and again costs no more.
const LONGEST: Duration = Duration::from_secs(10);
/// Whoever ran this long without a fault begins with the first wait again.
const SOUND_AFTER: Duration = Duration::from_secs(60);

/// The faults of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Restart {
    faults: u64,
    started_at: Duration,
    wait: Duration,
    due_at: Option<Duration>,
}

impl Restart {
    /// It was started at `now`, for the first time.
    pub(super) fn new(now: Duration) -> Self {
        Self { faults: 0, started_at: now, wait: FIRST, due_at: None }
    }

    /// Times that it panicked.
    pub(super) fn faults(&self) -> u64 {
        self.faults
    }

    /// Its thread is seen to have ended. Says how long it waits, once a fault.
    pub(super) fn noticed(&mut self, now: Duration) -> Option<Duration> {
        if self.due_at.is_some() {
            return None;
        }
        if now.saturating_sub(self.started_at) >= SOUND_AFTER {
            self.wait = FIRST;
        }
        self.faults += 1;
        self.due_at = Some(now + self.wait);
        Some(self.wait)
    }

    /// Whether it is to be started now.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.due_at.is_some_and(|at| at <= now)
    }

    /// What holds from now on, when it runs again.
    pub(super) fn started(self, now: Duration) -> Self {
        Self { started_at: now, wait: (self.wait * 2).min(LONGEST), due_at: None, ..self }
    }

    /// It could not be started, for want of a thread or of descriptors.
    pub(super) fn failed(&mut self, now: Duration) {
        self.due_at = Some(now + LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Faults that follow each other wait ever longer, to a bound; after a minute
    /// without one the next is short again.
    #[test]
    fn waits_grow_with_faults_that_follow_each_other() {
        let mut now = Duration::from_secs(1_000);
        let mut restart = Restart::new(now);
        for wait_ms in [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
            let wait = Duration::from_millis(wait_ms);
            assert_eq!(restart.noticed(now), Some(wait));
            assert_eq!(restart.noticed(now), None, "a fault is told once");
            assert!(!restart.is_due(now + wait - Duration::from_millis(1)));
            now += wait;
            assert!(restart.is_due(now));
            restart = restart.started(now);
            assert!(!restart.is_due(now));
        }
        assert_eq!(restart.noticed(now + SOUND_AFTER), Some(FIRST));
        assert_eq!(restart.faults(), 9);
        restart.failed(now);
        assert!(!restart.is_due(now) && restart.is_due(now + LONGEST));
    }
}
