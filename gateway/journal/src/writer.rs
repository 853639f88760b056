//! Putting records on disk: one segment a lane, a sync for each commit.

mod commit;
mod rotation;

pub use commit::{CommitError, Committed};
pub(crate) use rotation::preallocate;

use std::io;

use venue_schema::{Sequence, v1::Lane};

use crate::{
    Journal, PerLane,
    config::SEGMENT_MARGIN_BYTES,
    format::{COMMIT_HEADER_BYTES, Checksum, CommitHeader, FileName, RecordHeader, RecordKind, SkipPayload},
    gap::Skip,
    stage::Batch,
    storage::{Storage, StorageFile, is_unreadable},
};

/// The segment of a lane that is being written.
#[derive(Debug)]
pub(crate) struct LaneWriter<F> {
    pub(crate) file: F,
    pub(crate) generation: u64,
    pub(crate) checksum: Checksum,
    /// Size of the file, bytes; 0 if nothing more is written into it.
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
    /// What is unsynced may stand in an older segment, and have been durable: the next segment carries it.
    pub(crate) carries: PerLane<bool>,
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

    /// Passes a failure of the disk on; want of space is none here.
    pub(crate) fn unless_no_space(self) -> Result<(), Self> {
        if let Self::NoSpace(_) = self { Ok(()) } else { Err(self) }
    }

    pub(crate) fn is_bad_sector(&self) -> bool {
        matches!(self, Self::Failed(_, _, error) if is_unreadable(error))
    }
}

impl<F: StorageFile> Writer<F> {
    /// Nothing is written while it is halted.
    pub(crate) fn check_running(&self) -> Result<(), CommitError> {
        match &self.halted {
            Some(reason) => Err(CommitError::Halted { reason: reason.clone() }),
            None => Ok(()),
        }
    }

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
        let written = self.file.write_all_at(scratch, self.offset).map_err(WriteFailure::of("write", name));
        let synced = written.and_then(|()| self.file.sync_data().map_err(WriteFailure::of("sync", name)));
        synced.inspect_err(|_| self.leave())?;
        self.offset += scratch.len() as u64;
        Ok(())
    }

    /// Lets nothing more be written into the segment: the lane goes on in another.
    pub(crate) fn leave(&mut self) {
        (self.size, self.offset) = (0, 0);
    }

    pub(crate) fn is_left(&self) -> bool {
        self.size == 0
    }
}

impl<S: Storage> Journal<S> {
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
            own: false,
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
}
