//! Cases C, E and F: what is at or below the mark and not there.

use std::io;

use venue_schema::{Sequence, v1::Lane};

use super::{
    Finding, OpenError,
    replay::{Replay, walk_found},
    scan::FoundSegment,
};
use crate::{
    config::{COMMIT_LOOKAHEAD_BYTES, MAX_EVENT_BYTES, MAX_SEGMENT_BYTES},
    format::{COMMIT_HEADER_BYTES, FileName, SegmentNote},
    interval::IntervalSet,
    segment::{CommitAt, Met, SegmentFile, WalkEnd},
    storage::Storage,
};

/// The smallest record, with its origin.
const LEAST_RECORD_BYTES: u64 = 80;
/// More than the largest record has, with its origin.
const MAX_RECORD_BYTES: u64 = MAX_EVENT_BYTES as u64 + 2048;
/// More records than the largest segment holds.
const MAX_RECORDS_PER_SEGMENT: u64 = 1 << 20;

const _: () = assert!(MAX_SEGMENT_BYTES / LEAST_RECORD_BYTES < MAX_RECORDS_PER_SEGMENT);

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

    /// Case M at the end of a lane, from where its last sound commit starts: what cannot be read there may have been durable, and what
    /// would prove it may stand in the same sector. As many sequences as fit count as durable, so that none is given again.
    pub(super) fn miss_end<S: Storage>(
        &mut self,
        storage: &S,
        found: &FoundSegment,
        last_commit: u64,
        next: Sequence,
        end: &WalkEnd,
    ) -> Result<(), OpenError> {
        let lane = found.entry.lane;
        let bytes = end.unread.intervals();
        // The header of the next commit may begin before the bad page.
        let next_header_end = end.offset + COMMIT_HEADER_BYTES;
        let spoiled = bytes.iter().rfind(|(first, last)| *first < next_header_end && last_commit <= *last);
        let Some(&(_, bad)) = spoiled else { return Ok(()) };
        let mut last = next.previous().plus(most_records(end.offset, bad));
        if end.offset <= bad {
            last = last.max(last_behind(storage, found, bad + 1, next, &end.unread)?);
        }
        if last > self.mark[lane] {
            self.mark[lane] = last;
            self.unread_end[lane] = true;
        }
        Ok(())
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
        // A checkpoint of the other lane may be younger than a segment that is lost.
        let first = self.lost_newest[lane].map_or(first, |note| first.min(note.first));
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

/// As many records as there may be from one byte to another.
fn most_records(first: u64, last: u64) -> u64 {
    (last + 1).saturating_sub(first).div_ceil(LEAST_RECORD_BYTES)
}

/// The last sequence that a commit from `next` on may have, whose header cannot be read, by its records from a place behind the
/// header on: by those that are sound, and by what fits where they run into what cannot be read either.
fn last_behind<S: Storage>(
    storage: &S,
    found: &FoundSegment,
    from: u64,
    next: Sequence,
    unread: &IntervalSet,
) -> Result<Sequence, OpenError> {
    let mut last = next.previous();
    let mut run = || -> io::Result<()> {
        let file = storage.open_read_only(&found.entry.name().to_string())?;
        let mut segment = SegmentFile::new(file, found.entry.checksum())?;
        let commit = CommitAt::without_header(next, from, found.size.min(from + COMMIT_LOOKAHEAD_BYTES));
        let mut offset = from;
        while let Some(at) = segment.find_record(offset, &commit)? {
            let Some(record) = segment.record_at(at, commit.end)? else { break };
            offset = record.end;
            last = last.max(record.header.sequence);
            let reach = offset + MAX_RECORD_BYTES;
            if let Some(&(_, bad)) = unread.intervals().iter().rfind(|(first, bad)| *first < reach && offset <= *bad) {
                last = last.max(record.header.sequence.plus(most_records(offset, bad)));
            }
        }
        Ok(())
    };
    run().map_err(OpenError::io("read", found.entry.name()))?;
    Ok(last)
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
