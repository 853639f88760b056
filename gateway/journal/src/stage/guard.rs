//! The stage as its users hold it.

use std::sync::MutexGuard;

use venue_schema::{
    Sequence,
    v1::{self, Lane},
};

use super::{Append, AppendError, Appended, SourceId, Stage};
use crate::identity::key_hash;

/// The stage, held for a moment: several events that belong together are appended under one hold.
#[derive(Debug)]
pub struct StageGuard<'a>(pub(crate) MutexGuard<'a, Stage>);

impl StageGuard<'_> {
    /// How many occurrences of a content key were given, durable or not; 0 = none.
    /// A live event takes this plus one. The k-th equal line of a replay has been seen if k is not above it: appending it
    /// says whether it is stored still, or is taken again because it was lost.
    pub fn occurrences(&self, source: SourceId, device_id: &str, epoch: u64, key: &str) -> u32 {
        self.0.occurrences(source, key_hash(device_id, epoch, key))
    }

    /// Gives an event its place. It is durable once the watermark of its lane has reached that place.
    ///
    /// What is known already gets no number. Staged events are bounded: results at
    /// [`MAX_STAGED_RESULTS_BYTES`](crate::MAX_STAGED_RESULTS_BYTES), telemetry at
    /// [`MAX_STAGED_TELEMETRY_BYTES`](crate::MAX_STAGED_TELEMETRY_BYTES) and, for one source, its share of it.
    ///
    /// # Errors
    /// [`AppendError`]; in each case the event has no number. [`AppendError::Lost`] alone leaves a trace in the journal.
    ///
    /// # Panics
    /// For [`Lane::Unspecified`].
    pub fn append(&mut self, append: Append<'_>) -> Result<Appended, AppendError> {
        self.0.append(append, false)
    }

    /// Appends what the gateway itself says of a source: it gets its place as any other event, and does not count as
    /// heard from the source; see [`Journal::last_received`](crate::Journal::last_received).
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append_own(&mut self, append: Append<'_>) -> Result<Appended, AppendError> {
        self.0.append(append, true)
    }

    /// Appends an event whose content is this gap of its source. One that opens is the gateway's own word, and is
    /// remembered, by later processes too, until one of its name ends it: see
    /// [`Journal::open_gaps`](crate::Journal::open_gaps). One that ends accounts for all time up to it: it counts as heard.
    ///
    /// # Errors
    /// [`AppendError`]; then nothing is remembered.
    pub fn append_gap(&mut self, append: Append<'_>, gap: &v1::Gap) -> Result<Appended, AppendError> {
        self.0.append_source_gap(append, gap)
    }

    /// The last sequence given in a lane, durable or not.
    pub fn staged_end(&self, lane: Lane) -> Sequence {
        self.0.lanes[lane].next.previous()
    }
}
