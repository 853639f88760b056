//! A place in a lane together with the digest of everything up to it.

use venue_schema::{Digest, JournalEpoch, Sequence, v1::Lane};

/// How far a lane has come, and the digest that proves it.
///
/// The two always move together: a mark is made from the start of a lane, from
/// another mark and one more element, or from what a peer or a disk states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Last sequence covered; [`Sequence::ZERO`] before the first.
    pub sequence: Sequence,
    /// Digest after the element that ends at `sequence`.
    pub digest: Digest,
}

impl Mark {
    /// The start of a lane: sequence 0 and D₀.
    pub fn initial(epoch: JournalEpoch, lane: Lane) -> Self {
        Self { sequence: Sequence::ZERO, digest: Digest::initial(epoch, lane) }
    }

    /// The mark after one more event, given as it crosses the wire.
    ///
    /// # Panics
    /// Past sequence 2⁶⁴ − 1.
    #[must_use]
    pub fn then(self, event: &[u8]) -> Self {
        Self { sequence: self.sequence.next(), digest: self.digest.then(event) }
    }

    /// The mark after a range that ends at `last` and is missing for good. The
    /// gap event that stands for it is one element of the digest.
    #[must_use]
    pub fn then_skipped(self, last: Sequence, gap_event: &[u8]) -> Self {
        assert!(last > self.sequence, "a skipped range ends at {last}, at or before the mark {}", self.sequence);
        Self { sequence: last, digest: self.digest.then(gap_event) }
    }
}
