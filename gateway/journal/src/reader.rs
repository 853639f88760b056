//! Reading a lane in order, as batches ready for the wire.

use std::{io, sync::atomic::Ordering, time::Duration};

use bytes::{Bytes, BytesMut};
use venue_schema::{
    Sequence,
    v1::{GapCause, Lane},
};

use crate::{
    Journal,
    catalog::SegmentEntry,
    format::unframe_element,
    gap::RangeLoss,
    journal::lock,
    segment::{CommitAt, Met, SegmentFile, walk},
    storage::{Storage, is_unreadable},
    writer::CommitError,
};

/// How much one reading returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Records.
    pub records: usize,
    /// Bytes of elements; the first record is returned even if it is larger.
    pub bytes: usize,
}

impl Limits {
    /// What a batch may hold: 512 records and 256 KiB.
    pub const BATCH: Self = Self { records: 512, bytes: 256 << 10 };
}

/// What stands next in a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadItem {
    /// Consecutive records.
    Records(RecordRun),
    /// A range that is missing for good.
    Skipped {
        /// First sequence missing.
        first: Sequence,
        /// Last sequence missing.
        last: Sequence,
        /// A serialized `Event` with content `gap`, the same whenever it is read.
        gap_event: Bytes,
    },
    /// Nothing durable yet.
    End,
}

/// Consecutive records of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRun {
    /// Sequence of the first.
    pub first_sequence: Sequence,
    /// Records.
    pub count: usize,
    /// The records as `repeated bytes events = 2` of a `Batch`: each with tag and length.
    pub elements: Bytes,
}

impl RecordRun {
    /// Sequence of the last record.
    pub fn last_sequence(&self) -> Sequence {
        Sequence(self.first_sequence.0 + self.count as u64 - 1)
    }

    /// The serialized events.
    pub fn events(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut rest = &self.elements[..];
        std::iter::from_fn(move || {
            let (event, behind) = unframe_element(rest)?;
            rest = behind;
            Some(self.elements.slice_ref(event))
        })
    }
}

/// Why a lane cannot be read at some place.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Records below the watermark are damaged, or the disk cannot read them; [`Journal::declare_quarantined`] sets them aside.
    #[error("records {first} to {last} of the {} lane are damaged on disk", .lane.name())]
    Damaged {
        /// The lane.
        lane: Lane,
        /// First sequence that cannot be read.
        first: Sequence,
        /// Last sequence that cannot be read.
        last: Sequence,
    },
    /// The records are deleted, and no skipped range says so yet; see [`Journal::receiver_reset`].
    #[error("the {} lane is stored from {first_retained} on; what stood before is deleted", .lane.name())]
    NotRetained {
        /// The lane.
        lane: Lane,
        /// First sequence that is stored.
        first_retained: Sequence,
    },
    /// The disk failed.
    #[error("failed to read {name}: {source}")]
    Io {
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// Reads one lane; remembers its place, so that reading on costs no search.
#[derive(Debug)]
pub struct Reader<S: Storage> {
    journal: Journal<S>,
    lane: Lane,
    place: Option<Place<S::File>>,
    /// Bytes that the last reading returned: the next is likely to be as long.
    last_bytes: usize,
}

/// An open segment and a place in it.
#[derive(Debug)]
struct Place<F> {
    entry: SegmentEntry,
    file: SegmentFile<F>,
    /// Sequence that stands at the offset, or behind it.
    next: Sequence,
    /// Where a commit starts, or a record within one.
    offset: u64,
    /// The commit that the offset is in.
    within: Option<CommitAt>,
    session: u32,
}

impl<S: Storage> Journal<S> {
    /// A reader of a lane. Any number may read at the same time as the journal is written.
    pub fn reader(&self, lane: Lane) -> Reader<S> {
        Reader { journal: self.clone(), lane, place: None, last_bytes: 0 }
    }

    /// Sets damaged records aside: from now on the range is read as skipped, and is told by a gap event. Identities that may
    /// have been in it are forgotten, which are those of all sources: what a device repeats is taken again, and the receiver
    /// merges what it has.
    ///
    /// # Errors
    /// [`CommitError`]: the skipped range is durable before it is read.
    ///
    /// # Panics
    /// If the range is not below the watermark.
    pub fn declare_quarantined(
        &self,
        lane: Lane,
        first: Sequence,
        last: Sequence,
        now: Duration,
    ) -> Result<(), CommitError> {
        assert!(last <= self.watermarks()[lane], "only what was durable can be quarantined");
        let mut writer = lock(&self.inner.writer);
        writer.check_running()?;
        let outcome = self.declare_with_room(&mut writer, lane, (first, last), now);
        outcome.map_err(|failure| self.fail(&mut writer, failure))
    }

    fn declare_with_room(
        &self,
        writer: &mut crate::writer::Writer<S::File>,
        lane: Lane,
        range: (Sequence, Sequence),
        now: Duration,
    ) -> Result<(), crate::writer::WriteFailure> {
        let loss = RangeLoss::of(GapCause::Quarantined);
        if self.skips_of(lane, range, &loss).is_empty() {
            // Another reader met it first.
            return Ok(());
        }
        // Before any later checkpoint calls them known.
        lock(&self.inner.stage).forget_identities();
        if writer.lanes[lane].margin() < crate::config::SEGMENT_MARGIN_BYTES / 2 {
            self.rotate(writer, lane, now)?;
        }
        self.declare(writer, lane, range, &loss).map(|_| ())
    }
}

impl<S: Storage> Reader<S> {
    /// The lane that it reads.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Reads what stands at `from`, never beyond the watermark.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Panics
    /// For sequence 0: the first record has 1.
    pub fn read(&mut self, from: Sequence, limits: Limits) -> Result<ReadItem, ReadError> {
        assert!(from > Sequence::ZERO, "the first record of a lane has sequence 1");
        let durable = Sequence(self.journal.inner.watermarks[self.lane].load(Ordering::Acquire));
        if from > durable {
            return Ok(ReadItem::End);
        }
        let (stop, segment) = {
            let catalog = self.journal.inner.catalog.read().expect("no thread panics while it holds the catalog");
            if let Some(skip) = catalog.skip_at(self.lane, from) {
                let skip = skip.from(from);
                return Ok(ReadItem::Skipped { first: skip.first, last: skip.last, gap_event: skip.gap_event });
            }
            let segment = catalog.segment_of(self.lane, from).map(|(entry, next)| (entry.clone(), next));
            let Some((entry, next)) = segment else {
                return Err(ReadError::NotRetained {
                    lane: self.lane,
                    first_retained: catalog.first_retained(self.lane),
                });
            };
            let stop = [Some(durable.next()), next, catalog.next_skip(self.lane, from)].into_iter().flatten().min();
            (stop.unwrap_or(durable.next()), entry)
        };
        self.read_segment(segment, from, stop, limits)
    }

    /// Reads records from `from` on and below `stop` out of one segment.
    fn read_segment(
        &mut self,
        entry: SegmentEntry,
        from: Sequence,
        stop: Sequence,
        limits: Limits,
    ) -> Result<ReadItem, ReadError> {
        let name = entry.name();
        let failed = |source| ReadError::Io { name: name.to_string(), source };
        let generation = entry.generation;
        let elements = BytesMut::with_capacity(self.last_bytes);
        let attempt = (|| -> io::Result<_> {
            let place = self.place_in(entry, from)?;
            let mut run = Run { first: from, count: 0, elements };
            place.collect(&mut run, stop, limits)?;
            let resume = if run.count == 0 { Some(place.resume_behind(from)?) } else { None };
            Ok((run, resume))
        })();
        let (run, resume) = match attempt {
            Ok(found) => found,
            Err(error) => {
                self.place = None;
                return Err(match () {
                    () if self.is_gone(generation) => self.not_retained(),
                    () if is_unreadable(&error) => {
                        ReadError::Damaged { lane: self.lane, first: from, last: stop.previous() }
                    }
                    () => failed(error),
                });
            }
        };
        if run.count > 0 {
            self.last_bytes = run.elements.len();
            return Ok(ReadItem::Records(run.done()));
        }
        self.place = None;
        if self.is_gone(generation) {
            // The file became a spare while it was read.
            return Err(self.not_retained());
        }
        let last = resume.flatten().map_or(stop.previous(), |next| next.previous().min(stop.previous()));
        Err(ReadError::Damaged { lane: self.lane, first: from, last: last.max(from) })
    }

    fn is_gone(&self, generation: u64) -> bool {
        let catalog = self.journal.inner.catalog.read().expect("no thread panics while it holds the catalog");
        !catalog.segments[self.lane].iter().any(|entry| entry.generation == generation)
    }

    fn not_retained(&self) -> ReadError {
        ReadError::NotRetained { lane: self.lane, first_retained: self.journal.first_retained(self.lane) }
    }

    /// The remembered place if reading goes on there, else the start of the segment.
    fn place_in(&mut self, entry: SegmentEntry, from: Sequence) -> io::Result<&mut Place<S::File>> {
        let goes_on =
            self.place.as_ref().is_some_and(|place| place.entry.generation == entry.generation && place.next <= from);
        let place = match self.place.take().filter(|_| goes_on) {
            Some(mut place) => {
                place.file.may_have_been_written();
                place
            }
            None => {
                let file = self.journal.inner.storage.open_read_only(&entry.name().to_string())?;
                let file = SegmentFile::new(file, entry.checksum())?;
                Place { next: entry.first, offset: entry.data_start, within: None, session: 0, file, entry }
            }
        };
        Ok(self.place.insert(place))
    }
}

/// Records that are being collected.
struct Run {
    first: Sequence,
    count: usize,
    elements: BytesMut,
}

impl Run {
    fn next(&self) -> Sequence {
        self.first.plus(self.count as u64)
    }

    fn done(self) -> RecordRun {
        RecordRun { first_sequence: self.first, count: self.count, elements: self.elements.freeze() }
    }
}

/// How far behind damage sound commits are looked for while reading, bytes: the whole segment.
const LOOKAHEAD: u64 = u64::MAX;

impl<F: crate::storage::StorageFile> Place<F> {
    /// Collects records into the run.
    fn collect(&mut self, run: &mut Run, stop: Sequence, limits: Limits) -> io::Result<()> {
        while run.next() < stop && run.count < limits.records {
            let Some(commit) = self.within else {
                if !self.enter_commit(run.next(), stop)? {
                    return Ok(());
                }
                continue;
            };
            if self.offset >= commit.end {
                (self.offset, self.within) = (commit.end, None);
                continue;
            }
            let Some(record) = self.file.record_at(self.offset, commit.end)? else {
                if run.count > 0 {
                    return Ok(());
                }
                // Another copy may stand further on; if not, the caller finds out.
                self.offset = self.file.find_record(self.offset + 8, &commit)?.unwrap_or(commit.end);
                continue;
            };
            let wanted = record.header.kind.takes_sequence() && record.header.sequence == run.next();
            if record.header.kind.takes_sequence() && record.header.sequence > run.next() {
                return Ok(());
            }
            if wanted {
                if run.count > 0 && run.elements.len() + record.element.len() > limits.bytes {
                    return Ok(());
                }
                run.elements.extend_from_slice(record.element);
                run.count += 1;
            }
            self.offset = record.end;
            self.next = run.next();
        }
        Ok(())
    }

    /// Enters the commit at the offset, or the next sound one that can hold `wanted`; passes by those that end before.
    fn enter_commit(&mut self, wanted: Sequence, stop: Sequence) -> io::Result<bool> {
        let commit = match self.file.commit_at(self.offset, self.session)? {
            Some(commit) => Some((self.offset, commit)),
            None => self.file.find_commit(self.offset, self.offset.saturating_add(LOOKAHEAD), self.session)?,
        };
        let Some((_, commit)) = commit.filter(|(_, commit)| commit.header.first_sequence < stop) else {
            return Ok(false);
        };
        self.session = commit.header.session;
        let behind = commit.header.first_sequence.plus(u64::from(commit.header.record_count));
        if behind <= wanted {
            (self.offset, self.within) = (commit.end, None);
        } else {
            (self.offset, self.within) = (commit.records_start, Some(commit));
        }
        Ok(true)
    }

    /// First sequence behind `from` that can be read in this segment; looks only forward.
    fn resume_behind(&mut self, from: Sequence) -> io::Result<Option<Sequence>> {
        let mut first: Option<Sequence> = None;
        walk(&mut self.file, self.entry.data_start, LOOKAHEAD, |met| {
            if let Met::Record(record) = met
                && record.header.kind.takes_sequence()
                && record.header.sequence > from
            {
                first = Some(first.map_or(record.header.sequence, |known| known.min(record.header.sequence)));
            }
        })?;
        Ok(first)
    }
}
