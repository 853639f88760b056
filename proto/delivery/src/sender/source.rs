//! Where a sender reads the records of its lane.

use bytes::Bytes;
use venue_schema::Sequence;

/// What one read may return at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Most records.
    pub records: usize,
    /// Most bytes of framed elements. The first record is returned even if it
    /// alone is larger, so that a large record never blocks its lane.
    pub bytes: usize,
}

/// What stands at a place in the lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// Consecutive records from the place that was asked for, at least one.
    Records {
        /// The place that was asked for.
        first_sequence: Sequence,
        /// How many records.
        count: usize,
        /// Their events, each framed as `0x12 len event`, back to back.
        elements: Bytes,
    },
    /// The place lies in a range that is missing for good. The same range always
    /// comes with the same bytes, since they are hashed.
    Skipped {
        /// First sequence of the range; it may lie before the place asked for.
        first: Sequence,
        /// Last sequence of the range.
        last: Sequence,
        /// The gap event that stands for it.
        gap_event: Bytes,
    },
    /// The place was deleted after it had been delivered, and no skip record
    /// stands for it (yet).
    NotRetained {
        /// The first sequence after it at which something stands: a record, or a
        /// range that a skip record covers.
        first_retained: Sequence,
    },
    /// Nothing durable stands there yet.
    End,
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the journal at sequence {at}: {message}")]
pub struct ReadFault {
    /// The place that was asked for.
    pub at: Sequence,
    /// What went wrong, for people.
    pub message: String,
}

/// The records of one lane, as the sender reads them; the application adapts the
/// journal's reader to it. Only what is durable may ever be returned.
pub trait RecordSource {
    /// The first sequence that can still be read; the one after the last durable
    /// if there is none.
    fn first_retained(&self) -> Sequence;

    /// Reads what stands at `from`.
    ///
    /// # Errors
    /// If the disk fails. The sender keeps its connection and asks again later.
    fn read(&mut self, from: Sequence, limits: ReadLimits) -> Result<Read, ReadFault>;
}
