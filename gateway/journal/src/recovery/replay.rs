//! Second look: the tails behind the newest checkpoint, and what they prove.

use std::collections::{BTreeMap, BTreeSet};

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
    gap::Skip,
    identity::{SourceKnowledge, UNKNOWN_SOURCES},
    interval::IntervalSet,
    loss::OpenGap,
    segment::{Met, RecordAt, SegmentFile, WalkEnd, walk},
    skips::{self, Skips},
    stage::{Batch, StagedHole, StagedRecord, origin_of},
    storage::{Storage, UnreadPages},
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
    /// Losses that had not ended when the process stopped, by their gap's name.
    pub(crate) losses: BTreeMap<String, OpenGap>,
    /// Names of gaps that were ended: a source may have opened its own in the other lane, which is read later.
    ended: BTreeSet<String>,
    /// Gaps of sources that records of the tails open or end.
    pub(crate) tail_gaps: Vec<(Sequence, OpenGap, GapState)>,
    /// Sound records above the mark, which nothing proves.
    pub(crate) tails: PerLane<Batch>,
    /// Holes that records of the tails declare.
    pub(crate) tail_holes: Vec<StagedHole>,
    /// What was read and learned behind the checkpoint.
    learned: PerLane<IntervalSet>,
    /// The last record of each source that was.
    last_learned: PerLane<BTreeMap<u32, Sequence>>,
    /// Where the newest segment's commits end.
    pub(crate) ends: PerLane<Option<WalkEnd>>,
    /// Where a newest segment began that is missing, if one is.
    pub(crate) lost_newest: PerLane<Option<SegmentNote>>,
    /// The newest segment ends in what cannot be read, and the mark is behind all that may have stood there.
    pub(crate) unread_end: PerLane<bool>,
    /// Damaged or missing ranges at or below the mark.
    pub(crate) missing: PerLane<Vec<(Sequence, Sequence)>>,
    pub(crate) session: u32,
    pub(crate) findings: Vec<Finding>,
    /// Where the disk could not be read.
    unread: UnreadPages,
}

const _: () = assert!(LOSS_RECORD_BYTES < COMMIT_LOOKAHEAD_BYTES);

impl Replay {
    /// Begins with a checkpoint, the marks of cursors, and what could not be read until now.
    pub(crate) fn new(checkpoint: Checkpoint, cursor_marks: PerLane<Sequence>, unread: UnreadPages) -> Self {
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
            ended: BTreeSet::new(),
            tail_gaps: Vec::new(),
            tail_holes: Vec::new(),
            learned: PerLane::default(),
            last_learned: PerLane::default(),
            ends: PerLane::default(),
            lost_newest: PerLane::default(),
            unread_end: PerLane::default(),
            missing: PerLane::default(),
            session: 0,
            findings: Vec::new(),
            unread,
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
        if self.has_lost() {
            self.source(UNKNOWN_SOURCES);
        }
        self.findings.extend(self.unread.ranges().map(|(name, first, last)| Finding {
            case: 'M',
            text: format!("the disk cannot read bytes {first} to {last} of {name}; replace it soon"),
        }));
        Ok(())
    }

    /// Raises the marks to what commit headers prove, and takes in skipped ranges, before anything is learned.
    fn find_marks<S: Storage>(&mut self, storage: &S, lane: Lane, segments: &[FoundSegment]) -> Result<(), OpenError> {
        for (index, found) in segments.iter().enumerate().skip(tail_start(segments, self.checkpointed[lane])) {
            let (mut last_commit, mut next) = (found.entry.data_start, found.entry.first);
            let end = walk_found(storage, found, COMMIT_LOOKAHEAD_BYTES, |met| match met {
                Met::Commit(commit) => {
                    last_commit = commit.records_start;
                    next = next.max(commit.header.first_sequence.plus(u64::from(commit.header.record_count)));
                    for lane in Lane::ALL {
                        self.mark[lane] = self.mark[lane].max(commit.header.durable_before[lane]);
                    }
                    self.session = commit.header.session.max(self.session);
                }
                Met::Record(record) if record.header.kind == RecordKind::Skip => self.take_skip(lane, &record),
                Met::Record(_) => {}
            })?;
            if index + 1 == segments.len() {
                self.miss_end(storage, found, last_commit, next, &end)?;
            }
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
            let walked = if index + 1 == segments.len() { with_remains(storage, found, walked)? } else { walked };
            self.unread.note(found.entry.name(), &walked.unread);
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
            // A sector that reads again does not undo that its records were set aside.
            let skip = skips::at(&self.skips[lane], sequence);
            if sequence > checkpointed && skip.is_none_or(|skip| skip.cause() != GapCause::Quarantined) {
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
            let hole = self.declared_hole(lane, record);
            self.tail_holes.extend(hole);
        }
        self.last_learned[lane].insert(source, record.header.sequence);
        self.note_loss(lane, source, record, false);
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
            received: record.header.received(),
        });
    }

    /// Takes in a record that was durable.
    fn learn(&mut self, lane: Lane, record: &RecordAt<'_>) {
        if let Some((source, ordinal)) = self.origin(record) {
            self.note_loss(lane, source, record, true);
            self.sources[source as usize].learn(ordinal, record.header.identity, record.header.received());
            self.learned[lane].insert(record.header.sequence.0);
            let last = self.last_learned[lane].entry(source).or_default();
            *last = record.header.sequence.max(*last);
        }
        if record.header.kind == RecordKind::OrdinalGap {
            // A hole that is declared is none any longer.
            if let Some(hole) = self.declared_hole(lane, record) {
                self.sources[hole.source as usize].ordinals.insert_range(hole.first, hole.last);
            }
        }
    }

    /// Takes in that a loss began or ended. `durable`: the record was; if not, it counts once it is.
    fn note_loss(&mut self, lane: Lane, source: u32, record: &RecordAt<'_>, durable: bool) {
        if record.header.identity.is_some() {
            return;
        }
        let Some((event, _)) = unframe_element(record.element) else { return };
        let Some((gap, state)) = OpenGap::read(lane, &self.sources[source as usize].name, event) else { return };
        if !durable && !gap.is_for_want_of_room() {
            self.tail_gaps.push((record.header.sequence, gap, state));
        } else if state != GapState::Open {
            self.losses.remove(&gap.gap_id);
            self.ended.insert(gap.gap_id);
        } else if !self.ended.contains(&gap.gap_id) {
            self.losses.insert(gap.gap_id.clone(), gap);
        }
    }

    /// The hole that a record declares.
    fn declared_hole(&mut self, lane: Lane, record: &RecordAt<'_>) -> Option<StagedHole> {
        let (event, _) = unframe_element(record.element)?;
        let Content::Gap(gap) = v1::Event::decode(event).ok()?.content? else { return None };
        let Scope::SourceRange(range) = gap.scope? else { return None };
        let sound = 0 < range.first_ordinal && range.first_ordinal <= range.last_ordinal;
        sound.then(|| StagedHole {
            lane,
            sequence: record.header.sequence,
            source: self.source(&range.source),
            first: range.first_ordinal,
            last: range.last_ordinal,
        })
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
        let passed = self.by_name.get(UNKNOWN_SOURCES).and_then(|&index| self.sources[index as usize].ordinals.last());
        self.by_name.insert(name.to_owned(), index);
        self.sources.push(SourceKnowledge::beginning_behind(passed.unwrap_or(0), name));
        index
    }

    /// Ranges behind the checkpoint, at or below the mark, of which nothing was learned.
    fn lost(&self, lane: Lane) -> Vec<(u64, u64)> {
        self.learned[lane].holes(self.checkpointed[lane].next().0, self.mark[lane].0)
    }

    /// Whether there is any such range.
    pub(crate) fn has_lost(&self) -> bool {
        Lane::ALL.into_iter().any(|lane| !self.lost(lane).is_empty())
    }

    /// How many ordinals of a source, behind the last that is known, lost records may have: all those records that no
    /// known one of the source follows in their lane.
    fn lost_behind(&self, source: u32) -> u64 {
        let of_lane = |lane| {
            let last = self.last_learned[lane].get(&source).map_or(0, |last| last.0);
            self.lost(lane).into_iter().filter(move |range| last < range.1)
        };
        Lane::ALL.into_iter().flat_map(of_lane).map(|(first, last)| last - first + 1).sum()
    }

    /// Ordinals that no durable or kept record has, and those that lost records may have: at most one range of each for a source.
    pub(crate) fn ordinal_holes(&self) -> Vec<OrdinalHole> {
        let mut ordinals: Vec<IntervalSet> = self.sources.iter().map(|source| source.ordinals.clone()).collect();
        for record in Lane::ALL.iter().flat_map(|&lane| &self.tails[lane].records) {
            if record.ordinal > 0 {
                ordinals[record.source as usize].insert(record.ordinal);
            }
        }
        for hole in &self.tail_holes {
            ordinals[hole.source as usize].insert_range(hole.first, hole.last);
        }
        let mut holes = Vec::new();
        for (index, set) in (0..).zip(&ordinals) {
            let source = &self.sources[index as usize].name;
            let hole = |first, last, count| OrdinalHole { source: source.clone(), first, last, count };
            let known = set.last().unwrap_or(0);
            // One for all of them, however its records in the two lanes alternate: their number has no bound.
            let within = set.holes(1, known);
            if let (Some((first, _)), Some((_, last))) = (within.first(), within.last()) {
                let count = within.iter().map(|(first, last)| last - first + 1).sum();
                holes.push(hole(*first, *last, Some(count)));
            }
            let behind = self.lost_behind(index);
            holes.extend((behind > 0).then(|| hole(known + 1, known + behind, None)));
        }
        holes
    }
}

/// Index of the segment that holds the first sequence behind a checkpoint.
fn tail_start(segments: &[FoundSegment], checkpointed: Sequence) -> usize {
    segments.partition_point(|found| found.entry.first <= checkpointed.next()).saturating_sub(1)
}

/// Counts as torn what is left of a commit whose header never reached the disk: were a later one written over it and torn in turn,
/// these records would be taken for its own.
fn with_remains<S: Storage>(storage: &S, found: &FoundSegment, walked: WalkEnd) -> Result<WalkEnd, OpenError> {
    if walked.torn_bytes > 0 || walked.damaged {
        return Ok(walked);
    }
    let (name, from) = (found.entry.name(), walked.offset);
    let run = || -> std::io::Result<WalkEnd> {
        let file = storage.open_read_only(&name.to_string())?;
        let mut segment = SegmentFile::new(file, found.entry.checksum())?;
        let end = segment.find_any_record(from, from.saturating_add(COMMIT_LOOKAHEAD_BYTES))?;
        let damaged = !segment.unread.is_empty();
        Ok(WalkEnd { torn_bytes: end.map_or(0, |end| end - from), damaged, unread: segment.unread, ..walked })
    };
    run().map_err(OpenError::io("read", name))
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
