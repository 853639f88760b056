//! Cases C, E and F: what is at or below the mark and not there.

use venue_schema::{Sequence, v1::Lane};

use super::{
    Finding, OpenError,
    replay::{Replay, walk_found},
    scan::FoundSegment,
};
use crate::{
    config::MAX_SEGMENT_BYTES,
    format::{FileName, SegmentNote},
    interval::IntervalSet,
    segment::Met,
    storage::Storage,
};

/// More records than the largest segment holds: the smallest takes 80 bytes, with its origin.
const MAX_RECORDS_PER_SEGMENT: u64 = 1 << 20;

const _: () = assert!(MAX_SEGMENT_BYTES / 80 < MAX_RECORDS_PER_SEGMENT);

impl Replay {
    /// Case E for the newest segment: what was in it is not known. All that it may have held counts as durable, so
    /// that no sequence of it is ever given again.
    pub(super) fn miss_newest(&mut self, lane: Lane, note: SegmentNote) {
        let last = note.first.plus(MAX_RECORDS_PER_SEGMENT - 1);
        self.mark[lane] = self.mark[lane].max(last);
        self.lost_newest[lane] = Some(note);
        let name = FileName::segment(lane, note.generation);
        let text = format!("{name}, the newest of its lane, is missing; {} to {last} may have been in it", note.first);
        self.findings.push(Finding { case: 'E', text });
    }

    /// Cases C, E and F: what is at or below the mark and not there.
    pub(super) fn note_missing<S: Storage>(
        &mut self,
        storage: &S,
        lane: Lane,
        segments: &[FoundSegment],
        checkpointed: Sequence,
        sound: &IntervalSet,
    ) -> Result<(), OpenError> {
        let mut present = sound.clone();
        for skip in self.skips[lane].values() {
            present.insert_range(skip.first.0, skip.last.0);
        }
        let first_stored = segments.first().map_or(Sequence(1), |found| found.entry.first);
        let first = checkpointed.next().max(first_stored);
        let mut missing = present.holes(first.0, self.mark[lane].0);
        for range in missing_segments(storage, segments, checkpointed, &present)? {
            let holes = present.holes(range.0.0, range.1.0);
            if !holes.is_empty() {
                let text = format!("a segment of the {} lane is missing: {} to {}", lane.name(), range.0, range.1);
                self.findings.push(Finding { case: 'E', text });
            }
            missing.extend(holes);
        }
        let mut union = IntervalSet::default();
        missing.iter().for_each(|&(first, last)| union.insert_range(first, last));
        self.missing[lane] = union.intervals().iter().map(|&(first, last)| (Sequence(first), Sequence(last))).collect();
        Ok(())
    }
}

/// Case E: ranges between segments that do not name one another, where the earlier one ends too early. Those
/// behind the checkpoint are found by their records.
fn missing_segments<S: Storage>(
    storage: &S,
    segments: &[FoundSegment],
    checkpointed: Sequence,
    present: &IntervalSet,
) -> Result<Vec<(Sequence, Sequence)>, OpenError> {
    let mut missing = Vec::new();
    for pair in segments.windows(2) {
        let (earlier, later) = (&pair[0], &pair[1]);
        let linked = later.header.as_ref().is_some_and(|header| header.previous_generation == earlier.entry.generation);
        let before = later.entry.first.previous();
        if linked || before < earlier.entry.first || before > checkpointed || present.contains(before.0) {
            continue;
        }
        let mut last = earlier.entry.first.previous();
        walk_found(storage, earlier, u64::MAX, |met| {
            if let Met::Record(record) = met
                && record.header.kind.takes_sequence()
            {
                last = last.max(record.header.sequence);
            }
        })?;
        if last.next() < later.entry.first {
            missing.push((last.next(), before));
        }
    }
    Ok(missing)
}
