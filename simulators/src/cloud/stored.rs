//! One event as a cloud holds it.

use bytes::Bytes;
use venue_schema::{Message as _, v1};

/// A row of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Number of the row, in the order of arrival, from 1; not dense.
    pub row: u64,
    /// The gateway that delivered it.
    pub gateway_id: String,
    /// Its journal, 16 bytes.
    pub journal_epoch: Vec<u8>,
    /// The lane.
    pub lane: v1::Lane,
    /// First sequence that it stands for.
    pub first_sequence: u64,
    /// Last sequence that it stands for; the same for an event.
    pub sequence: u64,
    /// Whether it stands for a skipped range.
    pub gap: bool,
    /// The event as it crossed the wire.
    pub bytes: Bytes,
    /// When its transaction began to be written, UTC ns by this machine's clock.
    pub arrived_utc_ns: i64,
}

impl StoredEvent {
    /// Decodes the event.
    ///
    /// # Errors
    /// If the bytes are no `venue.v1.Event`.
    pub fn event(&self) -> Result<v1::Event, prost::DecodeError> {
        v1::Event::decode(self.bytes.clone())
    }
}
