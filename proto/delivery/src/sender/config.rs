//! What a sender is told when it is made.

use core::time::Duration;
use std::num::NonZeroUsize;

use venue_schema::{GatewayId, JournalEpoch, v1::Lane};

/// Who the sender speaks for and to whom.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// The gateway.
    pub gateway_id: GatewayId,
    /// The journal whose lane is sent.
    pub journal_epoch: JournalEpoch,
    /// The lane.
    pub lane: Lane,
    /// Epochs that this journal succeeds, newest first.
    pub predecessors: Vec<JournalEpoch>,
    /// Version of the gateway's software, for people.
    pub software_version: String,
    /// The receiver that the cursor is pinned to; none until the first welcome.
    pub receiver_id: Option<String>,
    /// How many endpoints lead to the receiver. The first is preferred.
    pub endpoints: NonZeroUsize,
    /// Seed of the jitter. Two gateways, and two lanes, should not share one.
    pub seed: u64,
    /// Times and sizes.
    pub tuning: Tuning,
}

/// Times and sizes of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Most bytes sent and not yet acknowledged; exceeded by less than one record.
    pub window_bytes: usize,
    /// The same while results are unacknowledged, for a telemetry lane.
    pub trickle_bytes: usize,
    /// A connection must stand within this time.
    pub connect_timeout: Duration,
    /// A hello must be answered within this time.
    pub welcome_timeout: Duration,
    /// Reconnect if something is in flight and no acknowledgement came for this
    /// long. Well above the 10 s or so that a receiver's store may take to elect a
    /// leader: until then the window is held.
    pub stall_timeout: Duration,
    /// Delay before the first retry.
    pub backoff_min: Duration,
    /// Delay that repeated retries grow to.
    pub backoff_max: Duration,
    /// Delay before a receiver that refused is asked again.
    pub refused_retry: Duration,
    /// How long another endpoint is used before the first is tried again.
    pub fail_back: Duration,
    /// Delay before the journal is read again after a failed read.
    pub read_retry: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            window_bytes: 4 * 1024 * 1024,
            trickle_bytes: 8 * 1024,
            connect_timeout: Duration::from_secs(10),
            welcome_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            refused_retry: Duration::from_secs(60),
            fail_back: Duration::from_secs(300),
            read_retry: Duration::from_secs(1),
        }
    }
}
