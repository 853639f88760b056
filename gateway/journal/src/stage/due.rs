//! When the next commit is due.

use std::time::Duration;

use super::{LaneStage, Stage};
use crate::config::MAX_TELEMETRY_COMMIT_BYTES;

/// Time between commits below which telemetry waits for company: 200 a second.
const LONE_TELEMETRY_INTERVAL: Duration = Duration::from_millis(5);

/// How long a lane is idle before a closing commit proves its last one.
pub const CLOSING_COMMIT_DELAY: Duration = Duration::from_millis(500);

/// When the next commit is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitDue {
    /// At once.
    Now,
    /// At this time, unless something is appended before.
    At(Duration),
    /// Not before something is appended, or the journal is reopened or has space again.
    Idle,
}

/// When commits were made, as far as the next one depends on it.
#[derive(Debug, Default)]
pub(crate) struct CommitTimes {
    pub(crate) last: Duration,
    pub(crate) last_telemetry: Option<Duration>,
    /// When waiting telemetry was first seen.
    pub(crate) telemetry_seen: Option<Duration>,
    /// The last commit of some lane is not yet proven by a later header.
    pub(crate) unproven: bool,
}

impl Stage {
    /// When the next commit is due.
    pub(crate) fn wants_commit(&mut self, now: Duration) -> CommitDue {
        if self.halted {
            return CommitDue::Idle;
        }
        let wants = |lane: &LaneStage| !lane.no_space && (lane.must_retry || !lane.waiting.is_empty());
        if wants(&self.lanes.results) || self.lanes.telemetry.must_retry && wants(&self.lanes.telemetry) {
            return CommitDue::Now;
        }
        if wants(&self.lanes.telemetry) {
            return self.telemetry_due(now);
        }
        match self.times.unproven {
            true if now >= self.times.last + CLOSING_COMMIT_DELAY => CommitDue::Now,
            true => CommitDue::At(self.times.last + CLOSING_COMMIT_DELAY),
            false => CommitDue::Idle,
        }
    }

    fn telemetry_due(&mut self, now: Duration) -> CommitDue {
        let seen = *self.times.telemetry_seen.get_or_insert(now);
        let lone = self.times.last_telemetry.is_none_or(|last| seen >= last + LONE_TELEMETRY_INTERVAL);
        let due = seen + self.bounds.commit_window;
        let enough = self.lanes.telemetry.waiting.bytes.len() >= MAX_TELEMETRY_COMMIT_BYTES;
        if lone || enough || now >= due { CommitDue::Now } else { CommitDue::At(due) }
    }
}
