//! What a sender says about itself, for people and for metrics.

use core::time::Duration;
use std::fmt;

use venue_schema::{Sequence, v1::Lane};

/// Where the conversation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Waits for the next attempt.
    Waiting {
        /// When it will be made.
        until: Duration,
    },
    /// A connection is being made.
    Connecting,
    /// Connected; the hello is not answered yet.
    Greeting,
    /// The receiver's mark is another than ours; the histories are compared.
    Comparing,
    /// Records flow, or there are none to send.
    Delivering,
    /// The receiver forgot records that are no longer stored here; the journal is
    /// to write a skip record for them.
    AwaitingReset,
    /// The journal cannot be read.
    JournalUnreadable,
    /// The receiver refuses, or is not the one it should be. Everything is kept.
    Refused {
        /// When it will be asked again.
        until: Duration,
    },
    /// A new journal epoch is needed; this sender has done its work.
    EpochEnded,
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting { .. } => "no connection to the centre",
            Self::Connecting => "connecting to the centre",
            Self::Greeting => "connected, waiting for the centre's welcome",
            Self::Comparing => "comparing what the centre has with the journal",
            Self::Delivering => "delivering",
            Self::AwaitingReset => "the centre lost records that are no longer stored here",
            Self::JournalUnreadable => "the journal cannot be read",
            Self::Refused { .. } => "refused; everything is kept here",
            Self::EpochEnded => "the centre has more than this journal; a new journal epoch begins",
        })
    }
}

/// The last thing that went wrong. Times are on the clock of `now`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// When.
    pub at: Duration,
    /// What, and how to mend it.
    pub message: String,
}

/// Totals since the sender was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Streams whose welcome was accepted.
    pub streams: u64,
    /// Batches and skipped ranges sent.
    pub frames: u64,
    /// Records sent, repeats included.
    pub records: u64,
    /// Bytes of encoded frames.
    pub bytes: u64,
    /// Acknowledgements received.
    pub acknowledgements: u64,
    /// Sequences acknowledged, each once unless the receiver forgot it.
    pub acknowledged: u64,
}

/// A snapshot. Times are on the clock of `now`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The lane.
    pub lane: Lane,
    /// Where the conversation stands.
    pub state: LinkState,
    /// Since when it has stood there.
    pub since: Duration,
    /// Index of the endpoint in use or to be tried next.
    pub endpoint: usize,
    /// Attempts that failed since the last acknowledgement.
    pub failed_attempts: u32,
    /// The receiver, once known.
    pub receiver_id: Option<String>,
    /// Everything up to here is at the receiver.
    pub acknowledged: Sequence,
    /// Everything up to here is durable in the journal.
    pub last_durable: Sequence,
    /// Sequences sent and not acknowledged.
    pub in_flight: u64,
    /// The same in bytes.
    pub in_flight_bytes: usize,
    /// When the last acknowledgement came.
    pub last_acknowledgement: Option<Duration>,
    /// The last thing that went wrong; kept after it is mended.
    pub last_error: Option<LastError>,
    /// Totals.
    pub counters: Counters,
}

impl Status {
    /// How many sequences are durable here and not acknowledged.
    pub fn backlog(&self) -> u64 {
        self.last_durable.0.saturating_sub(self.acknowledged.0)
    }
}
