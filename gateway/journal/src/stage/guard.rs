//! The stage as its users hold it.

use std::sync::MutexGuard;

use venue_schema::{Sequence, v1::Lane};

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
        self.0.append(append)
    }

    /// The last sequence given in a lane, durable or not.
    pub fn staged_end(&self, lane: Lane) -> Sequence {
        self.0.lanes[lane].next.previous()
    }
}
