//! Whether there is room for an event, by the rules of its lane.

use std::time::Duration;

use venue_schema::v1::Lane;

use super::{Append, AppendError, Stage};
use crate::{
    config::{MAX_STAGED_RESULTS_BYTES, MAX_STAGED_TELEMETRY_BYTES},
    format::{COMMIT_HEADER_BYTES, padded},
};

/// Room on disk beyond what is durable, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Room {
    /// For events that their sender keeps.
    pub(crate) refusable: u64,
    /// For all others; loss records may use [`LOSS_RECORD_BYTES`] more.
    pub(crate) any: u64,
}

/// What the configuration bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct StageBounds {
    pub(super) max_event_bytes: usize,
    /// Staged telemetry that one source may hold.
    pub(super) telemetry_share_bytes: u64,
    pub(super) commit_window: Duration,
}

impl Stage {
    /// Whether there is room for an event, by the rules of its lane.
    pub(super) fn admit(&self, append: &Append<'_>) -> Result<(), AppendError> {
        let lane = append.lane;
        let stage = &self.lanes[lane];
        let staged = stage.staged_bytes + self.cost(append);
        let full = if append.refusable { AppendError::Full { lane } } else { AppendError::Lost { lane } };
        if self.halted && append.refusable {
            return Err(AppendError::Halted);
        }
        let (bound, room) = match (lane, append.refusable) {
            (Lane::Results, true) => (MAX_STAGED_RESULTS_BYTES / 2, stage.room.refusable),
            (Lane::Results, false) => (MAX_STAGED_RESULTS_BYTES, stage.room.any),
            (_, true) => (MAX_STAGED_TELEMETRY_BYTES, stage.room.refusable),
            (_, false) => (MAX_STAGED_TELEMETRY_BYTES, stage.room.any),
        };
        let source = &self.staged[append.source.0 as usize];
        let beyond_share =
            lane == Lane::Telemetry && source.telemetry_bytes + self.cost(append) > self.bounds.telemetry_share_bytes;
        if staged > bound || staged > room || beyond_share { Err(full) } else { Ok(()) }
    }

    /// What an event may cost on disk, as if it were alone in its commit.
    pub(super) fn cost(&self, append: &Append<'_>) -> u64 {
        let name = self.known[append.source.0 as usize].name.len();
        // Header with identity, framing, and an origin with its longest numbers.
        let record = 64 + 6 + append.event.len() + 64 + self.gateway_id.as_str().len() + name;
        COMMIT_HEADER_BYTES + padded(record) as u64
    }
}
