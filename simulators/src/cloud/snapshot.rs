//! Where a cloud stands.

use venue_delivery::{Mark, receiver::LaneKey};

/// Where one lane of one journal of one gateway stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LaneSnapshot {
    /// The gateway.
    pub gateway_id: String,
    /// Its journal, 32 hex digits.
    pub journal_epoch: String,
    /// `results` or `telemetry`.
    pub lane: &'static str,
    /// Last sequence held.
    pub sequence: u64,
    /// Digest after it, 64 hex digits.
    pub digest: String,
    /// Whether a stream is open for it.
    pub connected: bool,
}

impl LaneSnapshot {
    pub(super) fn new(lane: &LaneKey, mark: Mark, connected: bool) -> Self {
        Self {
            gateway_id: lane.gateway_id.to_string(),
            journal_epoch: lane.journal_epoch.to_string(),
            lane: lane.lane().name(),
            sequence: mark.sequence.0,
            digest: mark.digest.to_string(),
            connected,
        }
    }
}

/// Where a cloud stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// Every lane that anything is held of.
    pub lanes: Vec<LaneSnapshot>,
    /// Elements stored since the start.
    pub stored: u64,
    /// Events that came although their identity was held, since the start.
    pub seen_again: u64,
    /// Events that came before one that their device said earlier, as far as their keys tell; only a store in memory looks.
    pub out_of_order: u64,
    /// Whether anything has come that is not stored yet.
    pub pending: bool,
    /// Streams that stand, one a lane.
    pub streams: u64,
    /// How often connections were reset on request.
    pub connections_reset: u64,
}

impl Snapshot {
    /// The highest mark of a gateway's lane by name, over its journals; 0 if nothing is
    /// held.
    pub fn sequence(&self, gateway_id: &str, lane: &str) -> u64 {
        let of = |it: &&LaneSnapshot| it.gateway_id == gateway_id && it.lane == lane;
        self.lanes.iter().filter(of).map(|it| it.sequence).max().unwrap_or(0)
    }
}
