//! Looking at a journal without opening it: takes no lock, writes nothing, works beside a running gateway.

use std::{io, ops::ControlFlow, time::Duration};

use bytes::Bytes;
use venue_schema::{Digest, JournalEpoch, Sequence, v1::Lane};

use crate::{
    PerLane,
    catalog::SegmentEntry,
    cursor::{FILE_BYTES, read_slots},
    format::{CursorSlot, FileName, Unreadable},
    interval::IntervalSet,
    recovery::{
        Finding, OpenError,
        replay::Replay,
        scan::{Scan, scan},
    },
    segment::SegmentFile,
    skips::Skips,
    storage::{Storage, StorageFile, UnreadPages, is_unreadable, read_exact},
    visit::{Visited, visit},
};

/// How often the files are looked through again when one of them vanished meanwhile.
const ATTEMPTS: usize = 5;

/// A journal as it stands on disk, seen once. Everything that was written is shown; what a running gateway has
/// written and not yet synced may be among it, behind [`LaneSummary::proven`].
#[derive(Debug)]
pub struct ReadOnlyJournal<S: Storage> {
    storage: S,
    segments: PerLane<Vec<SegmentEntry>>,
    skips: PerLane<Skips>,
    ends: PerLane<Sequence>,
    summary: Summary,
}

/// What a journal is and holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The gateway whose journal it is.
    pub gateway_id: String,
    /// Its epoch.
    pub epoch: JournalEpoch,
    /// Epochs before that, newest first.
    pub predecessor_epochs: Vec<JournalEpoch>,
    /// Each lane.
    pub lanes: PerLane<LaneSummary>,
    /// All cursors.
    pub cursors: Vec<CursorSummary>,
    /// Spare segments, with those of the reserve.
    pub spare_count: usize,
    /// Everything that opening would set right, by the cases of recovery.
    pub findings: Vec<Finding>,
}

/// What a lane holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneSummary {
    /// First sequence stored.
    pub first: Sequence,
    /// Last sequence stored.
    pub last: Sequence,
    /// Last sequence that something proves was durable.
    pub proven: Sequence,
    /// Its segments, oldest first.
    pub segments: Vec<SegmentSummary>,
    /// Ranges that are missing for good: first and last sequence.
    pub skipped: Vec<(Sequence, Sequence)>,
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Name of the file.
    pub name: String,
    /// Its generation.
    pub generation: u64,
    /// First sequence in it.
    pub first: Sequence,
    /// Size of the file, bytes.
    pub bytes: u64,
}

/// A cursor.
#[derive(Debug, Clone, PartialEq)]
pub struct CursorSummary {
    /// Its name.
    pub name: String,
    /// The receiver it belongs to.
    pub receiver_id: Option<String>,
    /// Its lane.
    pub lane: Lane,
    /// Whether retention asks it.
    pub required: bool,
    /// The epoch that its mark counts in.
    pub epoch: JournalEpoch,
    /// Everything up to here is at the consumer.
    pub mark: Sequence,
    /// The digest after it.
    pub digest: Digest,
}

/// An element of a lane as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredElement {
    /// A record.
    Record {
        /// Its place.
        sequence: Sequence,
        /// When it was received, UTC ns.
        receive_utc_ns: Option<i64>,
        /// The serialized event.
        event: Bytes,
    },
    /// A range that is missing for good.
    Skipped {
        /// First sequence missing.
        first: Sequence,
        /// Last sequence missing.
        last: Sequence,
        /// The serialized event that says so.
        gap_event: Bytes,
    },
    /// A range that cannot be read, and that nothing declares yet.
    Damaged {
        /// First sequence.
        first: Sequence,
        /// Last sequence.
        last: Sequence,
    },
}

/// How far verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// The lane.
    pub lane: Lane,
    /// Records verified in it.
    pub record_count: u64,
    /// Share of all segments that is done, percent.
    pub percent: u8,
}

/// What verification found in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Sound records.
    pub record_count: u64,
    /// Their bytes on the wire.
    pub event_bytes: u64,
    /// Ranges that cannot be read and are not declared: first and last sequence.
    pub damaged: Vec<(Sequence, Sequence)>,
}

impl<S: Storage> ReadOnlyJournal<S> {
    /// Looks through the directory once.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::NoJournal`] where there is none.
    pub fn open(storage: S) -> Result<Self, OpenError> {
        let mut attempt = 1;
        loop {
            match Self::look(&storage) {
                // A running gateway may retire a segment between two looks.
                Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {
                    attempt += 1
                }
                Err(error) => return Err(error),
                Ok((segments, skips, ends, summary)) => return Ok(Self { storage, segments, skips, ends, summary }),
            }
        }
    }

    #[expect(
        clippy::type_complexity,
        reason = "the parts of Self but the storage, which the caller keeps for another attempt"
    )]
    fn look(
        storage: &S,
    ) -> Result<(PerLane<Vec<SegmentEntry>>, PerLane<Skips>, PerLane<Sequence>, Summary), OpenError> {
        let mut scan = scan(storage, Duration::ZERO)?;
        let Some(meta) = scan.meta.clone() else { return Err(OpenError::NoJournal) };
        let cursors = read_cursors(storage, &mut scan.unread)?;
        let checkpoint = scan.newest_checkpoint(storage)?;
        let marks = PerLane::from_fn(|lane| {
            let of_lane = cursors.iter().filter(|slot| slot.lane == lane && slot.epoch == meta.epoch);
            of_lane.map(|slot| slot.mark).max().unwrap_or_default()
        });
        let mut replay = Replay::new(checkpoint, marks, std::mem::take(&mut scan.unread));
        replay.run(storage, &scan.segments, meta.newest)?;
        let ends = PerLane::from_fn(|lane| replay.mark[lane].plus(replay.tails[lane].records.len() as u64));
        let lanes = PerLane::from_fn(|lane| summarize(&scan, &replay, lane, ends[lane]));
        let mut findings = std::mem::take(&mut scan.findings);
        findings.append(&mut replay.findings);
        let summary = Summary {
            gateway_id: meta.gateway_id,
            epoch: meta.epoch,
            predecessor_epochs: meta.predecessors,
            lanes,
            cursors: cursors.into_iter().map(CursorSummary::from).collect(),
            spare_count: scan.spares.len(),
            findings,
        };
        let segments = PerLane::from_fn(|lane| scan.segments[lane].iter().map(|found| found.entry.clone()).collect());
        Ok((segments, replay.skips, ends, summary))
    }

    /// What the journal is and holds.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Goes through a lane from `from` to `to` in order, until `each` breaks.
    ///
    /// # Errors
    /// [`OpenError::Io`] where the disk fails; damage is an element.
    pub fn visit(
        &self,
        lane: Lane,
        from: Sequence,
        to: Sequence,
        mut each: impl FnMut(StoredElement) -> ControlFlow<()>,
    ) -> Result<(), OpenError> {
        let from = from.max(Sequence(1));
        let to = to.min(self.ends[lane]);
        let outcome =
            visit(&self.storage, &self.segments[lane], &self.skips[lane], from, to, |visited| each(visited.into()));
        outcome.map_err(OpenError::io("read", lane.name()))
    }

    /// First sequence of a lane that was received at or after a time, UTC ns; none if there is none.
    ///
    /// # Errors
    /// [`OpenError::Io`] where the disk fails.
    pub fn seek(&self, lane: Lane, receive_utc_ns: i64) -> Result<Option<Sequence>, OpenError> {
        let mut start = self.summary.lanes[lane].first;
        for entry in &self.segments[lane] {
            match self.first_receive_utc_ns(entry).map_err(OpenError::io("read", entry.name()))? {
                Some(first) if first < receive_utc_ns => start = start.max(entry.first),
                Some(_) => break,
                None => {}
            }
        }
        let mut found = None;
        self.visit(lane, start, self.ends[lane], |element| match element {
            StoredElement::Record { sequence, receive_utc_ns: Some(utc), .. } if utc >= receive_utc_ns => {
                found = Some(sequence);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        })?;
        Ok(found)
    }

    fn first_receive_utc_ns(&self, entry: &SegmentEntry) -> io::Result<Option<i64>> {
        let file = match self.storage.open_read_only(&entry.name().to_string()) {
            Err(error) if is_unreadable(&error) => return Ok(None),
            file => file?,
        };
        let mut segment = SegmentFile::new(file, entry.checksum())?;
        let mut offset = entry.data_start;
        while let Some(commit) = segment.commit_at(offset, 0)? {
            if let Some(record) = segment.record_at(commit.records_start, commit.end)?
                && let Some(utc) = record.header.receive_utc_ns
            {
                return Ok(Some(utc));
            }
            offset = commit.end;
        }
        Ok(None)
    }

    /// Reads every stored record and checks it.
    ///
    /// # Errors
    /// [`OpenError::Io`] where the disk fails; damage is reported.
    pub fn verify(&self, mut progress: impl FnMut(VerifyProgress)) -> Result<PerLane<Verified>, OpenError> {
        const PROGRESS_RECORDS: u64 = 4096;
        let mut verified = PerLane::<Verified>::default();
        for lane in Lane::ALL {
            let of = &mut verified[lane];
            let (first, last) = (self.summary.lanes[lane].first, self.ends[lane]);
            self.visit(lane, first, last, |element| {
                match element {
                    StoredElement::Record { sequence, event, .. } => {
                        of.record_count += 1;
                        of.event_bytes += event.len() as u64;
                        if of.record_count.is_multiple_of(PROGRESS_RECORDS) || sequence == last {
                            let percent = ((sequence.0 - first.0 + 1) * 100 / (last.0 - first.0 + 1)) as u8;
                            progress(VerifyProgress { lane, record_count: of.record_count, percent });
                        }
                    }
                    StoredElement::Skipped { .. } => {}
                    StoredElement::Damaged { first, last } => of.damaged.push((first, last)),
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(verified)
    }
}

impl From<Visited<'_>> for StoredElement {
    fn from(visited: Visited<'_>) -> Self {
        match visited {
            Visited::Record { header, event } => Self::Record {
                sequence: header.sequence,
                receive_utc_ns: header.receive_utc_ns,
                event: Bytes::copy_from_slice(event),
            },
            Visited::Skip(skip) => {
                Self::Skipped { first: skip.first, last: skip.last, gap_event: skip.gap_event.clone() }
            }
            Visited::Damaged { first, last } => Self::Damaged { first, last },
        }
    }
}

impl From<CursorSlot> for CursorSummary {
    fn from(slot: CursorSlot) -> Self {
        Self {
            name: slot.name,
            receiver_id: Some(slot.receiver_id).filter(|id| !id.is_empty()),
            lane: slot.lane,
            required: slot.required,
            epoch: slot.epoch,
            mark: slot.mark,
            digest: slot.digest,
        }
    }
}

fn summarize(scan: &Scan, replay: &Replay, lane: Lane, end: Sequence) -> LaneSummary {
    let segments = &scan.segments[lane];
    LaneSummary {
        first: segments.first().map_or(Sequence(1), |found| found.entry.first),
        last: end,
        proven: replay.mark[lane],
        segments: segments
            .iter()
            .map(|found| SegmentSummary {
                name: found.entry.name().to_string(),
                generation: found.entry.generation,
                first: found.entry.first,
                bytes: found.size,
            })
            .collect(),
        skipped: replay.skips[lane].values().map(|skip| (skip.first, skip.last)).collect(),
    }
}

fn read_cursors<S: Storage>(storage: &S, unread: &mut UnreadPages) -> Result<Vec<CursorSlot>, OpenError> {
    let mut bytes_unread = IntervalSet::default();
    let mut read = || -> io::Result<Vec<u8>> {
        let file = match storage.open_read_only(FileName::CURSORS) {
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_unreadable(&error) => return Ok(Vec::new()),
            file => file?,
        };
        let bytes = file.size()?.min(FILE_BYTES) as usize;
        Ok(read_exact(&file, 0, bytes, &mut bytes_unread)?.unwrap_or_default())
    };
    let bytes = read().map_err(OpenError::io("read", FileName::CURSORS))?;
    unread.note(FileName::CURSORS, &bytes_unread);
    match read_slots(&bytes) {
        Ok((slots, _)) => Ok(slots.into_iter().flatten().collect()),
        Err(Unreadable::Later(version)) => Err(OpenError::LaterVersion { name: FileName::CURSORS.to_owned(), version }),
        Err(Unreadable::Damaged) => Ok(Vec::new()),
    }
}
