//! Putting records on disk: one segment a lane, a sync for each commit.

use std::{io, sync::atomic::Ordering, time::Duration};

use venue_schema::{Sequence, v1::Lane};

use crate::{
    Journal, PerLane,
    catalog::SegmentEntry,
    checkpoint,
    config::{MAX_TELEMETRY_COMMIT_BYTES, SEGMENT_MARGIN_BYTES},
    format::{
        COMMIT_HEADER_BYTES, Checksum, CommitHeader, FileName, RecordHeader, RecordKind, SegmentHeader, SegmentNote,
        SkipPayload,
    },
    gap::Skip,
    journal::lock,
    stage::{Batch, CommitDue},
    storage::{Storage, StorageFile, is_full},
};

/// What a commit brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Results that became durable.
    pub results_count: u64,
    /// Telemetry events that became durable.
    pub telemetry_count: u64,
    /// When to call again.
    pub next: CommitDue,
}

/// Why a commit did not bring everything down.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A write or sync failed before, or now. Nothing is accepted until [`Journal::reopen`].
    #[error("the journal is halted: {reason}; it must be reopened")]
    Halted {
        /// What failed, and how.
        reason: String,
    },
    /// The lane's quota, its reserve, or the file system is full. What was staged stays in memory.
    #[error("no space for another segment of the {} lane; free the disk or reach the centre", .lane.name())]
    NoSpace {
        /// The lane.
        lane: Lane,
    },
}

/// The segment of a lane that is being written.
#[derive(Debug)]
pub(crate) struct LaneWriter<F> {
    pub(crate) file: F,
    pub(crate) generation: u64,
    pub(crate) checksum: Checksum,
    pub(crate) size: u64,
    /// Where the next commit goes.
    pub(crate) offset: u64,
}

impl<F> LaneWriter<F> {
    /// Room for the records of one more commit, bytes.
    pub(crate) fn room(&self) -> u64 {
        self.margin().saturating_sub(SEGMENT_MARGIN_BYTES)
    }

    /// The same with the margin that is kept for skip records and closing commits.
    pub(crate) fn margin(&self) -> u64 {
        self.size.saturating_sub(self.offset + COMMIT_HEADER_BYTES)
    }
}

/// All that only the committing side touches.
#[derive(Debug)]
pub(crate) struct Writer<F> {
    pub(crate) lanes: PerLane<LaneWriter<F>>,
    pub(crate) next_generation: u64,
    pub(crate) session: u32,
    pub(crate) durable: PerLane<Sequence>,
    /// What durable commit headers say was durable before them.
    pub(crate) proven: PerLane<Sequence>,
    /// Taken from the stage and not known to be durable.
    pub(crate) unsynced: PerLane<Option<Batch>>,
    pub(crate) halted: Option<String>,
    pub(crate) scratch: Vec<u8>,
    pub(crate) trimmed_keys: u64,
}

/// Why something could not be put on disk.
#[derive(Debug)]
pub(crate) enum WriteFailure {
    NoSpace(Lane),
    /// What was done, on which file.
    Failed(&'static str, String, io::Error),
}

impl WriteFailure {
    pub(crate) fn of(what: &'static str, name: impl ToString) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Failed(what, name.to_string(), error)
    }
}

impl<F: StorageFile> Writer<F> {
    /// Writes one commit to a lane's segment and syncs it.
    fn put_commit(
        &mut self,
        lane: Lane,
        first: Sequence,
        record_count: usize,
        records: &[u8],
    ) -> Result<(), WriteFailure> {
        let (durable_before, session) = (self.durable, self.session);
        let header = commit_header(first, record_count, records, durable_before, session);
        self.lanes[lane].put_commit(lane, &header, records, &mut self.scratch)?;
        self.proven = durable_before;
        Ok(())
    }

    /// The same into a segment that is being begun.
    fn put_commit_into(
        &mut self,
        segment: &mut LaneWriter<F>,
        lane: Lane,
        first: Sequence,
        record_count: usize,
        records: &[u8],
    ) -> Result<(), WriteFailure> {
        let header = commit_header(first, record_count, records, self.durable, self.session);
        segment.put_commit(lane, &header, records, &mut self.scratch)
    }
}

fn commit_header(
    first: Sequence,
    record_count: usize,
    records: &[u8],
    durable_before: PerLane<Sequence>,
    session: u32,
) -> CommitHeader {
    CommitHeader {
        first_sequence: first,
        record_count: u32::try_from(record_count).expect("a commit is bounded in bytes"),
        payload_bytes: u32::try_from(records.len()).expect("a commit is bounded in bytes"),
        durable_before,
        session,
    }
}

impl<F: StorageFile> LaneWriter<F> {
    fn put_commit(
        &mut self,
        lane: Lane,
        header: &CommitHeader,
        records: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(), WriteFailure> {
        scratch.clear();
        scratch.extend_from_slice(&header.encode(self.checksum));
        scratch.extend_from_slice(records);
        let mut offset = COMMIT_HEADER_BYTES as usize;
        while offset < scratch.len() {
            offset += RecordHeader::seal(&mut scratch[offset..], self.checksum);
        }
        assert!(self.offset + scratch.len() as u64 <= self.size, "a commit ends within its segment");
        let name = FileName::segment(lane, self.generation);
        self.file.write_all_at(scratch, self.offset).map_err(WriteFailure::of("write", name))?;
        self.file.sync_data().map_err(WriteFailure::of("sync", name))?;
        self.offset += scratch.len() as u64;
        Ok(())
    }
}

impl<S: Storage> Journal<S> {
    /// Makes what is staged durable: all waiting results with one sync, then at most one telemetry
    /// commit of [`MAX_TELEMETRY_COMMIT_BYTES`]. Where nothing waits and the lanes have been idle,
    /// writes the closing commit. Events can be appended meanwhile.
    ///
    /// # Errors
    /// [`CommitError`]. What was staged stays staged, with its sequences.
    pub fn commit(&self, now: Duration) -> Result<Committed, CommitError> {
        let mut writer = lock(&self.inner.writer);
        if let Some(reason) = &writer.halted {
            return Err(CommitError::Halted { reason: reason.clone() });
        }
        let results = self.commit_lane(&mut writer, Lane::Results, usize::MAX, now);
        let telemetry = match &results {
            Err(WriteFailure::Failed(..)) => Ok(0),
            _ => self.commit_lane(&mut writer, Lane::Telemetry, MAX_TELEMETRY_COMMIT_BYTES, now),
        };
        let closed = match (&results, &telemetry) {
            (Ok(0), Ok(0)) => self.close_if_idle(&mut writer, now),
            _ => Ok(()),
        };
        self.update_room(&writer);
        let both = results.and_then(|results| telemetry.map(|telemetry| (results, telemetry)));
        match both.and_then(|both| closed.map(|()| both)) {
            Ok((results_count, telemetry_count)) => {
                Ok(Committed { results_count, telemetry_count, next: self.wants_commit(now) })
            }
            Err(failure) => Err(self.fail(&mut writer, failure)),
        }
    }

    /// Ends what is still being counted as lost, and writes closing commits now, so that the last commit of each lane is
    /// proven: part of an orderly stop.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn close(&self, now: Duration) -> Result<(), CommitError> {
        lock(&self.inner.stage).end_losses();
        while self.wants_commit(now) == CommitDue::Now || self.has_waiting() {
            self.commit(now)?;
        }
        let mut writer = lock(&self.inner.writer);
        self.put_closing_commit(&mut writer, now).map_err(|failure| self.fail(&mut writer, failure))?;
        self.sync_cursors_now(now).map_err(|error| CommitError::Halted { reason: format!("cursors: {error}") })
    }

    pub(crate) fn has_waiting(&self) -> bool {
        let stage = lock(&self.inner.stage);
        Lane::ALL.into_iter().any(|lane| !stage.lanes[lane].waiting.is_empty() || stage.lanes[lane].must_retry)
    }

    /// Turns a failure into what the caller sees; all but a full disk halts the journal.
    pub(crate) fn fail(&self, writer: &mut Writer<S::File>, failure: WriteFailure) -> CommitError {
        match failure {
            WriteFailure::NoSpace(lane) => CommitError::NoSpace { lane },
            WriteFailure::Failed(what, name, error) => {
                let reason = format!("failed to {what} {name}: {error}");
                writer.halted = Some(reason.clone());
                lock(&self.inner.stage).halted = true;
                CommitError::Halted { reason }
            }
        }
    }

    fn commit_lane(
        &self,
        writer: &mut Writer<S::File>,
        lane: Lane,
        limit: usize,
        now: Duration,
    ) -> Result<u64, WriteFailure> {
        let mut batch = match writer.unsynced[lane].take() {
            Some(batch) => batch,
            None => lock(&self.inner.stage).take(lane, limit),
        };
        let mut count = 0;
        while !batch.is_empty() {
            match self.write_front(writer, lane, &mut batch, now) {
                Ok(written) => count += written,
                Err(failure) => {
                    let mut stage = lock(&self.inner.stage);
                    stage.lanes[lane].must_retry = true;
                    stage.lanes[lane].no_space = matches!(failure, WriteFailure::NoSpace(_));
                    writer.unsynced[lane] = Some(batch);
                    return Err(failure);
                }
            }
        }
        lock(&self.inner.stage).lanes[lane].must_retry = false;
        Ok(count)
    }

    /// Writes as much of a batch as the segment holds, or goes on to the next segment.
    fn write_front(
        &self,
        writer: &mut Writer<S::File>,
        lane: Lane,
        batch: &mut Batch,
        now: Duration,
    ) -> Result<u64, WriteFailure> {
        let (count, bytes) = batch.prefix(usize::try_from(writer.lanes[lane].room()).unwrap_or(usize::MAX));
        if count == 0 {
            return self.rotate(writer, lane, now).map(|()| 0);
        }
        writer.put_commit(lane, batch.first, count, &batch.bytes[..bytes])?;
        let durable = if count == batch.records.len() {
            let rest = Batch::starting_at(batch.first.plus(count as u64));
            std::mem::replace(batch, rest)
        } else {
            batch.split_front(count, bytes)
        };
        self.publish(writer, lane, &durable, now);
        Ok(count as u64)
    }

    /// Takes in that a batch is durable, and tells those who wait for it.
    fn publish(&self, writer: &mut Writer<S::File>, lane: Lane, batch: &Batch, now: Duration) {
        assert_eq!(batch.first, writer.durable[lane].next(), "a commit follows what is durable");
        writer.durable[lane] = batch.last();
        self.note_receive_times(lane, batch);
        let room = self.room(writer);
        {
            let mut stage = lock(&self.inner.stage);
            stage.publish(lane, batch);
            stage.lanes[lane].no_space = false;
            for each in Lane::ALL {
                stage.lanes[each].room = room[each];
            }
            stage.times.last = now;
            stage.times.unproven = writer.proven != writer.durable;
            if lane == Lane::Telemetry {
                stage.times.last_telemetry = Some(now);
            }
            stage.close_losses();
        }
        self.inner.watermarks[lane].store(batch.last().0, Ordering::Release);
        self.tell_listener();
    }

    fn note_receive_times(&self, lane: Lane, batch: &Batch) {
        let last_start = batch.bytes.len() - batch.records.last().map_or(0, |record| record.bytes as usize);
        let utc = |start: usize| RecordHeader::parse(&batch.bytes[start..]).and_then(|header| header.receive_utc_ns);
        let (Some(first), Some(last)) = (utc(0), utc(last_start)) else { return };
        let mut catalog = self.inner.catalog.write().expect("no thread panics while it holds the catalog");
        if let Some(entry) = catalog.segments[lane].last_mut() {
            entry.receive_utc_ns = Some((entry.receive_utc_ns.map_or(first, |(first, _)| first), last));
        }
    }

    fn close_if_idle(&self, writer: &mut Writer<S::File>, now: Duration) -> Result<(), WriteFailure> {
        let due = {
            let stage = lock(&self.inner.stage);
            stage.times.unproven && now >= stage.times.last + crate::stage::CLOSING_COMMIT_DELAY
        };
        if due { self.put_closing_commit(writer, now) } else { Ok(()) }
    }

    /// An empty commit: its header proves the last commit of both lanes, unless a later one has.
    fn put_closing_commit(&self, writer: &mut Writer<S::File>, now: Duration) -> Result<(), WriteFailure> {
        if writer.proven != writer.durable {
            let has_room = |lane: &Lane| writer.lanes[*lane].margin() > SEGMENT_MARGIN_BYTES / 2;
            let lane = match Lane::ALL.into_iter().find(has_room) {
                Some(lane) => lane,
                None => self.rotate(writer, Lane::Results, now).map(|()| Lane::Results)?,
            };
            writer.put_commit(lane, writer.durable[lane].next(), 0, &[])?;
        }
        lock(&self.inner.stage).times.unproven = false;
        Ok(())
    }

    /// Makes a skipped range durable and known to readers.
    pub(crate) fn put_skip(&self, writer: &mut Writer<S::File>, lane: Lane, skip: Skip) -> Result<(), WriteFailure> {
        let payload = SkipPayload { first: skip.first, gap_event: &skip.gap_event }.encode();
        let header = RecordHeader {
            element_bytes: u32::try_from(payload.len()).expect("a gap event is short"),
            sequence: skip.last,
            kind: RecordKind::Skip,
            identity: None,
            origin_bytes: 0,
            receive_utc_ns: None,
            receive_monotonic_ns: 0,
        };
        let mut record = Vec::with_capacity(header.record_bytes());
        header.put(&mut record);
        record.extend_from_slice(&payload);
        record.resize(header.record_bytes(), 0);
        if writer.lanes[lane].margin() < record.len() as u64 {
            return Err(WriteFailure::NoSpace(lane));
        }
        writer.put_commit(lane, writer.durable[lane].next(), 1, &record)?;
        self.add_skip(lane, skip);
        Ok(())
    }

    /// Begins the next segment of a lane: everything staged before is durable or still in a batch behind it.
    pub(crate) fn rotate(&self, writer: &mut Writer<S::File>, lane: Lane, now: Duration) -> Result<(), WriteFailure> {
        let mut nothing = Batch::starting_at(writer.durable[lane].next());
        self.rotate_with(writer, lane, &mut nothing, now)
    }

    /// Begins the next segment of a lane with records that may be durable in an older one, which the
    /// new one supersedes: they are in it before it has its name. What does not fit is left in the batch.
    pub(crate) fn rotate_with(
        &self,
        writer: &mut Writer<S::File>,
        lane: Lane,
        carried: &mut Batch,
        now: Duration,
    ) -> Result<(), WriteFailure> {
        let spare = self.take_spare(writer, lane, now)?;
        let (entry, lane_writer, count) = self.begin_segment(writer, lane, spare, carried)?;
        self.note_segment(&entry)?;
        let mut catalog = self.inner.catalog.write().expect("no thread panics while it holds the catalog");
        if let Some(last) = catalog.segments[lane].last_mut() {
            last.sealed_at = Some(now);
        }
        catalog.segments[lane].push(entry);
        drop(catalog);
        writer.lanes[lane] = lane_writer;
        if count > 0 {
            let (_, bytes) = carried.prefix_of(count);
            let durable = carried.split_front(count, bytes);
            self.publish(writer, lane, &durable, now);
        }
        Ok(())
    }

    /// Turns a spare into a segment: header, checkpoint and carried records are durable before the
    /// name is. Also says how many records it carries.
    fn begin_segment(
        &self,
        writer: &mut Writer<S::File>,
        lane: Lane,
        spare: FileName,
        carried: &Batch,
    ) -> Result<(SegmentEntry, LaneWriter<S::File>, usize), WriteFailure> {
        let storage = &*self.inner.storage;
        let generation = writer.next_generation;
        writer.next_generation += 1;
        let (epoch, gateway_id, checkpoint) = self.encode_checkpoint(writer, lane, generation);
        let header = SegmentHeader {
            lane,
            generation,
            previous_generation: writer.lanes[lane].generation,
            first_sequence: writer.durable[lane].next(),
            segment_bytes: self.inner.geometry.segment_bytes,
            checkpoint_bytes: checkpoint.len() as u64,
            epoch,
            gateway_id,
        };
        let entry = SegmentEntry {
            lane,
            generation,
            epoch,
            first: header.first_sequence,
            data_start: header.data_start(),
            sealed_at: None,
            receive_utc_ns: None,
        };
        let file = storage.open(&spare.to_string()).map_err(WriteFailure::of("open", spare))?;
        let head = [header.encode(), checkpoint].concat();
        file.write_all_at(&head, 0).map_err(WriteFailure::of("write", spare))?;
        let size = header.segment_bytes;
        let mut begun = LaneWriter { file, generation, checksum: entry.checksum(), size, offset: header.data_start() };
        let (count, bytes) = carried.prefix(usize::try_from(begun.room()).unwrap_or(usize::MAX));
        let written = match count {
            0 => begun.file.sync_data().map_err(WriteFailure::of("sync", spare)),
            _ => writer.put_commit_into(&mut begun, lane, carried.first, count, &carried.bytes[..bytes]),
        };
        written?;
        let name = entry.name();
        storage.rename(&spare.to_string(), &name.to_string()).map_err(WriteFailure::of("rename", spare))?;
        storage.sync_directory().map_err(WriteFailure::of("sync the directory of", name))?;
        Ok((entry, begun, count))
    }

    /// Notes in `meta` that a segment was begun, before anything in it is acknowledged.
    fn note_segment(&self, entry: &SegmentEntry) -> Result<(), WriteFailure> {
        if self.inner.held.is_none() {
            return Ok(());
        }
        let mut meta = lock(&self.inner.meta);
        let mut slot = meta.slot.clone();
        slot.newest[entry.lane] = SegmentNote { generation: entry.generation, first: entry.first };
        meta.write(slot).map_err(WriteFailure::of("write", FileName::META))
    }

    /// The segments that were begun last.
    pub(crate) fn newest_segments(&self) -> PerLane<SegmentNote> {
        let catalog = self.inner.catalog.read().expect("no thread panics while it holds the catalog");
        PerLane::from_fn(|lane| {
            let newest = catalog.segments[lane].last();
            newest.map_or_else(SegmentNote::default, |entry| SegmentNote {
                generation: entry.generation,
                first: entry.first,
            })
        })
    }

    fn encode_checkpoint(
        &self,
        writer: &mut Writer<S::File>,
        lane: Lane,
        generation: u64,
    ) -> (venue_schema::JournalEpoch, String, Vec<u8>) {
        let catalog = self.inner.catalog.read().expect("no thread panics while it holds the catalog");
        let stage = lock(&self.inner.stage);
        let checksum = Checksum::of_segment(stage.epoch, lane, generation);
        let budget = self.inner.geometry.checkpoint_budget() as usize;
        let losses = stage.open_losses();
        let (bytes, trimmed) =
            checkpoint::encode(writer.durable, &stage.known, &catalog.skips, &losses, budget, checksum);
        writer.trimmed_keys += trimmed as u64;
        (stage.epoch, stage.gateway_id.as_str().to_owned(), bytes)
    }
}

/// Writes a file of zeros, so that later writes into it need no space and no metadata.
pub(crate) fn preallocate<S: Storage>(storage: &S, number: u64, bytes: u64) -> io::Result<FileName> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let (unfinished, spare) = (FileName::Unfinished(number), FileName::Spare(number));
    let write = || -> io::Result<()> {
        let file = storage.create(&unfinished.to_string())?;
        for offset in (0..bytes).step_by(ZEROS.len()) {
            let chunk = ZEROS.len().min((bytes - offset) as usize);
            file.write_all_at(&ZEROS[..chunk], offset)?;
        }
        file.sync_data()?;
        storage.rename(&unfinished.to_string(), &spare.to_string())?;
        storage.sync_directory()
    };
    write().inspect_err(|error| {
        if is_full(error) {
            // Gives the space back; if even that fails, opening removes the file.
            let _ = storage.remove(&unfinished.to_string());
        }
    })?;
    Ok(spare)
}
