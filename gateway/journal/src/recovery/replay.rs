//! Second look: the tails behind the newest checkpoint, and what they prove.

use std::collections::BTreeMap;

use prost::Message;
use venue_schema::{
    Sequence,
    v1::{self, GapCause, GapState, Lane, event::Content, gap::Scope},
};

use super::{
    Finding, OpenError, OrdinalHole,
    scan::{FoundSegment, end_of},
};
use crate::{
    PerLane,
    checkpoint::Checkpoint,
    config::{COMMIT_LOOKAHEAD_BYTES, LOSS_RECORD_BYTES},
    format::{COMMIT_HEADER_BYTES, RecordKind, SegmentNote, SkipPayload, unframe_element},
    gap::{GATEWAY_SOURCE, Skip},
    identity::SourceKnowledge,
    interval::IntervalSet,
    loss::OpenLoss,
    segment::{Met, RecordAt, SegmentFile, WalkEnd, walk},
    skips::Skips,
    stage::{Batch, StagedRecord, origin_of},
    storage::Storage,
};

/// What a replay finds out.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The highest sequence of each lane that something proves was durable.
    pub(crate) mark: PerLane<Sequence>,
    /// What was durable when the checkpoint was written: up to here, only the checkpoint says which identities are stored.
    pub(crate) checkpointed: PerLane<Sequence>,
    pub(crate) sources: Vec<SourceKnowledge>,
    by_name: BTreeMap<String, u32>,
    pub(crate) skips: PerLane<Skips>,
    /// Losses that were still counted when the process stopped, by their gap's name.
    pub(crate) losses: BTreeMap<String, OpenLoss>,
    /// Sound records above the mark, which nothing proves.
    pub(crate) tails: PerLane<Batch>,
    /// Holes that records of the tails declare: source and ordinals.
    tail_holes: Vec<(u32, u64, u64)>,
    /// Where the newest segment's commits end.
    pub(crate) ends: PerLane<Option<WalkEnd>>,
    /// Where a newest segment began that is missing, if one is.
    pub(crate) lost_newest: PerLane<Option<SegmentNote>>,
    /// Damaged or missing ranges at or below the mark.
    pub(crate) missing: PerLane<Vec<(Sequence, Sequence)>>,
    pub(crate) session: u32,
    pub(crate) findings: Vec<Finding>,
}

const _: () = assert!(LOSS_RECORD_BYTES < COMMIT_LOOKAHEAD_BYTES);

impl Replay {
    /// Begins with a checkpoint and the marks of cursors.
    pub(crate) fn new(checkpoint: Checkpoint, cursor_marks: PerLane<Sequence>) -> Self {
        let mark = PerLane::from_fn(|lane| checkpoint.durable[lane].max(cursor_marks[lane]));
        let by_name = (0..).zip(&checkpoint.sources).map(|(index, source)| (source.name.clone(), index)).collect();
        Self {
            mark,
            checkpointed: checkpoint.durable,
            sources: checkpoint.sources,
            by_name,
            skips: checkpoint.skips,
            losses: checkpoint.losses.into_iter().map(|loss| (loss.gap_id.clone(), loss)).collect(),
            tails: PerLane::from_fn(|_| Batch::starting_at(Sequence(1))),
            tail_holes: Vec::new(),
            ends: PerLane::default(),
            lost_newest: PerLane::default(),
            missing: PerLane::default(),
            session: 0,
            findings: Vec::new(),
        }
    }

    /// Replays the tails of both lanes behind what the checkpoint says is durable. `noted` are the segments that must be there.
    pub(crate) fn run<S: Storage>(
        &mut self,
        storage: &S,
        segments: &PerLane<Vec<FoundSegment>>,
        noted: PerLane<SegmentNote>,
    ) -> Result<(), OpenError> {
        for lane in Lane::ALL {
            if let Some(newest) = segments[lane].last() {
                self.mark[lane] = self.mark[lane].max(newest.entry.first.previous());
            }
        }
        for lane in Lane::ALL {
            self.find_marks(storage, lane, &segments[lane])?;
        }
        for lane in Lane::ALL {
            let newest = segments[lane].last().map_or(0, |found| found.entry.generation);
            if newest < noted[lane].generation {
                self.miss_newest(lane, noted[lane]);
            }
        }
        for lane in Lane::ALL {
            self.replay_lane(storage, lane, &segments[lane])?;
        }
        Ok(())
    }

    /// Raises the marks to what commit headers prove, and takes in skipped ranges, before anything is learned.
    fn find_marks<S: Storage>(&mut self, storage: &S, lane: Lane, segments: &[FoundSegment]) -> Result<(), OpenError> {
        for found in &segments[tail_start(segments, self.checkpointed[lane])..] {
            walk_found(storage, found, COMMIT_LOOKAHEAD_BYTES, |met| match met {
                Met::Commit(commit) => {
                    for lane in Lane::ALL {
                        self.mark[lane] = self.mark[lane].max(commit.header.durable_before[lane]);
                    }
                    self.session = commit.header.session.max(self.session);
                }
                Met::Record(record) if record.header.kind == RecordKind::Skip => self.take_skip(lane, &record),
                Met::Record(_) => {}
            })?;
        }
        Ok(())
    }

    fn replay_lane<S: Storage>(&mut self, storage: &S, lane: Lane, segments: &[FoundSegment]) -> Result<(), OpenError> {
        let checkpointed = self.checkpointed[lane];
        let mut sound = IntervalSet::default();
        self.tails[lane] = Batch::starting_at(self.mark[lane].next());
        let start = tail_start(segments, checkpointed);
        for (index, found) in segments.iter().enumerate().skip(start) {
            let end = end_of(segments, index).min(self.lost_newest[lane].map_or(Sequence(u64::MAX), |note| note.first));
            let mut beyond = None;
            let walked = walk_found(storage, found, COMMIT_LOOKAHEAD_BYTES, |met| match met {
                Met::Record(record) => self.take_record(lane, &record, end, checkpointed, &mut sound),
                Met::Commit(commit) => beyond = Some(commit.header.first_sequence),
            })?;
            let proven_missing = beyond.is_none_or(|first| first <= self.mark[lane])
                && sound.last().is_none_or(|last| last < self.mark[lane].0);
            let walked = if index + 1 == segments.len() && proven_missing && self.mark[lane] > checkpointed {
                // Something at or below the mark is missing: sound commits are looked for to the end of the segment.
                walk_found(storage, found, u64::MAX, |met| {
                    if let Met::Record(record) = met {
                        self.take_record(lane, &record, end, checkpointed, &mut sound);
                    }
                })?
            } else {
                walked
            };
            self.ends[lane] = Some(walked);
        }
        self.note_missing(storage, lane, segments, checkpointed, &sound)
    }

    fn take_record(
        &mut self,
        lane: Lane,
        record: &RecordAt<'_>,
        end: Sequence,
        checkpointed: Sequence,
        sound: &mut IntervalSet,
    ) {
        let sequence = record.header.sequence;
        if record.header.kind == RecordKind::Skip {
            self.take_skip(lane, record);
        } else if sequence >= end {
            // The next segment supersedes it.
        } else if sequence > self.mark[lane] {
            self.take_unproven(lane, record);
        } else if !sound.contains(sequence.0) {
            sound.insert(sequence.0);
            if sequence > checkpointed {
                self.learn(lane, record);
            }
        }
    }

    fn take_skip(&mut self, lane: Lane, record: &RecordAt<'_>) {
        if let Some(payload) = SkipPayload::decode(record.element) {
            let gap_event = bytes::Bytes::copy_from_slice(payload.gap_event);
            let skip = Skip { first: payload.first, last: record.header.sequence, gap_event };
            self.add_skip(lane, skip);
        }
    }

    /// Takes in a skipped range of a tail. If it was set aside after the checkpoint was written, the
    /// checkpoint calls identities stored that are lost.
    fn add_skip(&mut self, lane: Lane, skip: Skip) {
        let covering = self.skips[lane].range(..=skip.first).next_back();
        if covering.is_some_and(|(_, known)| skip.last <= known.last) {
            return;
        }
        if skip.first <= self.checkpointed[lane] && skip.cause() == GapCause::Quarantined {
            self.sources.iter_mut().for_each(SourceKnowledge::forget_identities);
        }
        self.skips[lane].insert(skip.first, skip);
    }

    /// Keeps a record above the mark to be written again, if it follows the one before.
    fn take_unproven(&mut self, lane: Lane, record: &RecordAt<'_>) {
        if record.header.sequence != self.tails[lane].first.plus(self.tails[lane].records.len() as u64) {
            return;
        }
        let Some((source, ordinal)) = self.origin(record) else { return };
        if record.header.kind == RecordKind::OrdinalGap {
            let hole = self.declared_hole(record);
            self.tail_holes.extend(hole);
        }
        self.note_loss(lane, source, record);
        let tail = &mut self.tails[lane];
        let start = tail.bytes.len();
        record.header.put(&mut tail.bytes);
        tail.bytes.extend_from_slice(record.element);
        tail.bytes.resize(start + record.header.record_bytes(), 0);
        let bytes = record.header.record_bytes() as u32;
        tail.records.push(StagedRecord {
            bytes,
            cost: bytes + COMMIT_HEADER_BYTES as u32,
            source,
            ordinal,
            identity: record.header.identity,
            received: (record.header.receive_utc_ns, record.header.receive_monotonic_ns),
        });
    }

    /// Takes in a record that was durable.
    fn learn(&mut self, lane: Lane, record: &RecordAt<'_>) {
        if let Some((source, ordinal)) = self.origin(record) {
            self.note_loss(lane, source, record);
            let received = (record.header.receive_utc_ns, record.header.receive_monotonic_ns);
            self.sources[source as usize].learn(ordinal, record.header.identity, received);
        }
        if record.header.kind == RecordKind::OrdinalGap {
            // A hole that is declared is none any longer.
            if let Some((source, first, last)) = self.declared_hole(record) {
                self.sources[source as usize].ordinals.insert_range(first, last);
            }
        }
    }

    /// Takes in that a loss began or ended.
    fn note_loss(&mut self, lane: Lane, source: u32, record: &RecordAt<'_>) {
        if record.header.identity.is_some() || self.sources[source as usize].name != GATEWAY_SOURCE {
            return;
        }
        let Some((event, _)) = unframe_element(record.element) else { return };
        match OpenLoss::read(lane, event) {
            Some((loss, GapState::Open)) => drop(self.losses.insert(loss.gap_id.clone(), loss)),
            Some((loss, _)) => drop(self.losses.remove(&loss.gap_id)),
            None => {}
        }
    }

    /// The hole that a record declares: source and ordinals.
    fn declared_hole(&mut self, record: &RecordAt<'_>) -> Option<(u32, u64, u64)> {
        let (event, _) = unframe_element(record.element)?;
        let Content::Gap(gap) = v1::Event::decode(event).ok()?.content? else { return None };
        let Scope::SourceRange(range) = gap.scope? else { return None };
        let sound = 0 < range.first_ordinal && range.first_ordinal <= range.last_ordinal;
        sound.then(|| (self.source(&range.source), range.first_ordinal, range.last_ordinal))
    }

    fn origin(&mut self, record: &RecordAt<'_>) -> Option<(u32, u64)> {
        let (event, _) = unframe_element(record.element)?;
        let origin = origin_of(event, record.header.origin_bytes)?;
        Some((self.source(&origin.source), origin.source_ordinal))
    }

    fn source(&mut self, name: &str) -> u32 {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let index = u32::try_from(self.sources.len()).expect("sources come from a configuration, not by the billion");
        self.by_name.insert(name.to_owned(), index);
        self.sources.push(SourceKnowledge::named(name));
        index
    }

    /// Holes by source and ordinals: those that are declared now, and those that records of the tails declare.
    pub(crate) fn declared_holes(&self, now: &[OrdinalHole]) -> Vec<(String, u64, u64)> {
        let in_tails = self
            .tail_holes
            .iter()
            .map(|&(source, first, last)| (self.sources[source as usize].name.clone(), first, last));
        in_tails.chain(now.iter().map(|hole| (hole.source.clone(), hole.first, hole.last))).collect()
    }

    /// Ordinals that no durable or kept record has.
    pub(crate) fn ordinal_holes(&self) -> Vec<OrdinalHole> {
        let mut ordinals: Vec<IntervalSet> = self.sources.iter().map(|source| source.ordinals.clone()).collect();
        for record in Lane::ALL.iter().flat_map(|&lane| &self.tails[lane].records) {
            if record.ordinal > 0 {
                ordinals[record.source as usize].insert(record.ordinal);
            }
        }
        for &(source, first, last) in &self.tail_holes {
            ordinals[source as usize].insert_range(first, last);
        }
        let mut holes = Vec::new();
        for (source, set) in self.sources.iter().zip(ordinals) {
            let of_source = set.holes(1, set.last().unwrap_or(0)).into_iter();
            holes.extend(of_source.map(|(first, last)| OrdinalHole { source: source.name.clone(), first, last }));
        }
        holes
    }
}

/// Index of the segment that holds the first sequence behind a checkpoint.
fn tail_start(segments: &[FoundSegment], checkpointed: Sequence) -> usize {
    segments.partition_point(|found| found.entry.first <= checkpointed.next()).saturating_sub(1)
}

pub(super) fn walk_found<S: Storage>(
    storage: &S,
    found: &FoundSegment,
    lookahead: u64,
    visit: impl FnMut(Met<'_>),
) -> Result<WalkEnd, OpenError> {
    let name = found.entry.name();
    let run = || -> std::io::Result<WalkEnd> {
        let file = storage.open_read_only(&name.to_string())?;
        let mut segment = SegmentFile::new(file, found.entry.checksum())?;
        walk(&mut segment, found.entry.data_start, lookahead, visit)
    };
    run().map_err(OpenError::io("read", name))
}
