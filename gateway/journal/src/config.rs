//! What a journal is given: whose it is, and how much disk it may use.

use std::time::Duration;

use venue_schema::{GatewayId, JournalEpoch};

use crate::format::{COMMIT_HEADER_BYTES, PAGE_BYTES};

/// Largest segment, bytes.
pub const MAX_SEGMENT_BYTES: u64 = 64 << 20;
/// Smallest segment, bytes.
pub const MIN_SEGMENT_BYTES: u64 = 256 << 10;
/// A lane has at least so many segments, so that one at a time can go.
pub const MIN_SEGMENTS: u64 = 8;
/// Largest event without origin, bytes: with it, it fits into one batch of 256 KiB.
pub const MAX_EVENT_BYTES: usize = 252 << 10;
/// Staged results, waiting or being written, bytes. Refusable ones are refused at half of it;
/// beyond it even others are lost, and that is recorded.
pub const MAX_STAGED_RESULTS_BYTES: u64 = 8 << 20;
/// Staged bytes of a lane at which whoever can leave its line unread for a moment does; far below what is lost.
pub(crate) const BEHIND_STAGED_BYTES: u64 = 2 << 20;
/// Staged telemetry, bytes. Beyond it refusable events are refused, others lost and that is recorded.
pub const MAX_STAGED_TELEMETRY_BYTES: u64 = 8 << 20;
/// Largest telemetry commit, bytes.
pub const MAX_TELEMETRY_COMMIT_BYTES: usize = 1 << 20;
/// End of the reserve that only loss records may use, bytes; the stage keeps as much on top of its bounds.
pub const LOSS_RECORD_BYTES: u64 = 64 << 10;
/// End of every segment that is kept for skip records and closing commits, bytes.
pub(crate) const SEGMENT_MARGIN_BYTES: u64 = 4 << 10;

/// How far behind damage opening looks for the next commit where nothing proves that there is
/// one, bytes: further than the largest commit reaches.
pub(crate) const COMMIT_LOOKAHEAD_BYTES: u64 = 2 * MAX_STAGED_RESULTS_BYTES;

/// What a journal is given.
#[derive(Debug, Clone)]
pub struct JournalConfig {
    /// The gateway, as it stands in every event's origin.
    pub gateway_id: GatewayId,
    /// The venue, as it stands in the journal's own gap events.
    pub venue_id: String,
    /// 16 random bytes, drawn by the caller; used only where there is no journal yet.
    pub fresh_epoch: JournalEpoch,
    /// The results lane.
    pub results: ResultsConfig,
    /// The telemetry lane.
    pub telemetry: TelemetryConfig,
    /// Segments are at most this big, bytes.
    pub segment_bytes: u64,
}

/// The results lane.
#[derive(Debug, Clone)]
pub struct ResultsConfig {
    /// Disk for the lane, bytes.
    pub quota: u64,
    /// Disk on top of the quota for what no sender can keep, bytes.
    pub reserve: u64,
    /// How long delivered records stay readable, as long as the quota allows.
    pub keep: Duration,
}

/// The telemetry lane.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// Disk for the lane, bytes.
    pub quota: u64,
    /// How long delivered records stay readable, as long as the quota allows.
    pub keep: Duration,
    /// How long telemetry may wait for company once more than 200 commits a second are asked for; 0 = never.
    pub commit_window: Duration,
    /// Part of the stage that one source may hold, percent.
    pub source_share_percent: u8,
}

impl JournalConfig {
    /// The defaults of a gateway: 8 GiB for results and 64 MiB of reserve, 4 GiB for telemetry.
    pub fn new(gateway_id: GatewayId, venue_id: impl Into<String>, fresh_epoch: JournalEpoch) -> Self {
        const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
        Self {
            gateway_id,
            venue_id: venue_id.into(),
            fresh_epoch,
            results: ResultsConfig { quota: 8 << 30, reserve: 64 << 20, keep: WEEK },
            telemetry: TelemetryConfig {
                quota: 4 << 30,
                keep: WEEK,
                commit_window: Duration::from_millis(2),
                source_share_percent: 50,
            },
            segment_bytes: MAX_SEGMENT_BYTES,
        }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        let smallest_quota = self.results.quota.min(self.telemetry.quota);
        let wanted = self.segment_bytes.min(MAX_SEGMENT_BYTES).min(smallest_quota / MIN_SEGMENTS);
        let segment_bytes = wanted.max(MIN_SEGMENT_BYTES) / PAGE_BYTES * PAGE_BYTES;
        Geometry {
            segment_bytes,
            results_segments: (self.results.quota / segment_bytes).max(MIN_SEGMENTS),
            telemetry_segments: (self.telemetry.quota / segment_bytes).max(MIN_SEGMENTS),
            reserve_segments: self.results.reserve.div_ceil(segment_bytes).max(1),
        }
    }
}

/// How the quotas divide into segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) segment_bytes: u64,
    pub(crate) results_segments: u64,
    pub(crate) telemetry_segments: u64,
    pub(crate) reserve_segments: u64,
}

impl Geometry {
    /// Most that a checkpoint takes, bytes; only skips, losses, and the names and ordinals of very many sources may take more.
    pub(crate) fn checkpoint_budget(self) -> u64 {
        self.segment_bytes / 4
    }

    /// What a segment surely holds of commits beside such a checkpoint, bytes.
    pub(crate) fn usable_bytes(self) -> u64 {
        self.segment_bytes - 2 * PAGE_BYTES - self.checkpoint_budget() - SEGMENT_MARGIN_BYTES
    }

    /// Largest event without origin, bytes: it must fit into a segment.
    pub(crate) fn max_event_bytes(self) -> usize {
        let overhead = 1024 + COMMIT_HEADER_BYTES;
        MAX_EVENT_BYTES.min((self.usable_bytes() - overhead) as usize)
    }
}
