//! Which segments there are, and which ranges are skipped for good.

use std::time::Duration;

use venue_schema::{JournalEpoch, Sequence, v1::Lane};

use crate::{
    PerLane,
    format::{Checksum, FileName},
    gap::Skip,
    skips::{self, Skips},
};

/// A segment that holds records of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    pub(crate) lane: Lane,
    pub(crate) generation: u64,
    pub(crate) epoch: JournalEpoch,
    /// Its first sequence; it ends where the next segment starts.
    pub(crate) first: Sequence,
    pub(crate) data_start: u64,
    /// Size of its file, bytes.
    pub(crate) file_bytes: u64,
    /// When it was closed, or the journal opened; none while it is written.
    pub(crate) sealed_at: Option<Duration>,
    /// UTC receive times of its first and last record, as far as known, ns.
    pub(crate) receive_utc_ns: Option<(i64, i64)>,
}

impl SegmentEntry {
    pub(crate) fn name(&self) -> FileName {
        FileName::segment(self.lane, self.generation)
    }

    pub(crate) fn checksum(&self) -> Checksum {
        Checksum::of_segment(self.epoch, self.lane, self.generation)
    }
}

/// The segments and skipped ranges of both lanes.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) segments: PerLane<Vec<SegmentEntry>>,
    pub(crate) skips: PerLane<Skips>,
}

impl Catalog {
    /// The segment that holds a sequence if anything does, and the first sequence behind it.
    pub(crate) fn segment_of(&self, lane: Lane, sequence: Sequence) -> Option<(&SegmentEntry, Option<Sequence>)> {
        let segments = &self.segments[lane];
        let after = segments.partition_point(|entry| entry.first <= sequence);
        let entry = segments.get(after.checked_sub(1)?)?;
        Some((entry, segments.get(after).map(|next| next.first)))
    }

    /// First sequence that is still stored, or 1 where there is no segment.
    pub(crate) fn first_retained(&self, lane: Lane) -> Sequence {
        self.segments[lane].first().map_or(Sequence(1), |entry| entry.first)
    }

    /// The skipped range that holds a sequence.
    pub(crate) fn skip_at(&self, lane: Lane, sequence: Sequence) -> Option<&Skip> {
        skips::at(&self.skips[lane], sequence)
    }

    /// First sequence at or behind `from` that is skipped.
    pub(crate) fn next_skip(&self, lane: Lane, from: Sequence) -> Option<Sequence> {
        self.skips[lane].range(from..).next().map(|(first, _)| *first)
    }

    /// The parts of a range that are not skipped yet.
    pub(crate) fn unskipped(&self, lane: Lane, first: Sequence, last: Sequence) -> Vec<(Sequence, Sequence)> {
        let mut set = crate::interval::IntervalSet::default();
        for skip in self.skips[lane].values() {
            set.insert_range(skip.first.0, skip.last.0);
        }
        set.holes(first.0, last.0).into_iter().map(|(first, last)| (Sequence(first), Sequence(last))).collect()
    }
}
