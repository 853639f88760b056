//! Reading a segment: commits and records by position, and where to go on behind damage.

use std::{io, ops::Range};

use venue_schema::Sequence;

use crate::{
    PerLane,
    format::{COMMIT_HEADER_BYTES, COMMIT_MAGIC, Checksum, CommitHeader, RecordHeader},
    interval::IntervalSet,
    storage::{StorageFile, read_over},
};

/// Bytes that are read at a time.
const WINDOW_BYTES: usize = 256 << 10;

/// A segment's file behind a window of bytes.
#[derive(Debug)]
pub(crate) struct SegmentFile<F> {
    file: F,
    checksum: Checksum,
    size: u64,
    window: Vec<u8>,
    window_start: u64,
    /// The file may have been written since the window was read.
    is_stale: bool,
    /// Bytes that could not be read.
    pub(crate) unread: IntervalSet,
}

/// One commit, by its place in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommitAt {
    pub(crate) header: CommitHeader,
    /// Where its records start.
    pub(crate) records_start: u64,
    /// Where the next commit starts.
    pub(crate) end: u64,
}

impl CommitAt {
    /// Stands for a commit from a sequence on whose header is not known, by where its records may be.
    pub(crate) fn without_header(first_sequence: Sequence, records_start: u64, end: u64) -> Self {
        let header = CommitHeader {
            first_sequence,
            record_count: u32::MAX,
            payload_bytes: 0,
            durable_before: PerLane::default(),
            session: 0,
        };
        Self { header, records_start, end }
    }
}

/// One sound record.
#[derive(Debug)]
pub(crate) struct RecordAt<'a> {
    pub(crate) header: RecordHeader,
    pub(crate) element: &'a [u8],
    /// Where the next record starts.
    pub(crate) end: u64,
}

impl<F: StorageFile> SegmentFile<F> {
    pub(crate) fn new(file: F, checksum: Checksum) -> io::Result<Self> {
        let size = file.size()?;
        Ok(Self {
            file,
            checksum,
            size,
            window: Vec::new(),
            window_start: 0,
            is_stale: false,
            unread: IntervalSet::default(),
        })
    }

    /// The file may have been written since: what was read ahead holds only as far as it is sound.
    pub(crate) fn may_have_been_written(&mut self) {
        self.is_stale = true;
    }

    /// Forgets what was read ahead, if the file may have been written since. Says whether it may.
    fn forget_stale(&mut self) -> bool {
        let is_stale = std::mem::take(&mut self.is_stale);
        if is_stale {
            self.window.clear();
        }
        is_stale
    }

    /// Up to `bytes` bytes from `offset` on; fewer only at the end of the file.
    fn bytes(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let end = self.size.min(offset.saturating_add(bytes as u64));
        let window_end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || end > window_end {
            let wanted = self.size.saturating_sub(offset).min(bytes.max(WINDOW_BYTES) as u64);
            self.window.resize(wanted as usize, 0);
            self.is_stale = false;
            let got = read_over(&self.file, &mut self.window, offset, &mut self.unread);
            self.window.truncate(*got.as_ref().unwrap_or(&0));
            self.window_start = offset;
            got?;
        }
        let start = ((offset - self.window_start) as usize).min(self.window.len());
        let stop = (start + bytes).min(self.window.len());
        Ok(&self.window[start..stop])
    }

    /// All that is read ahead from `offset` on: at least `bytes` bytes, fewer only at the end of the file.
    fn bytes_ahead(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        self.bytes(offset, bytes)?;
        let start = ((offset - self.window_start) as usize).min(self.window.len());
        Ok(&self.window[start..])
    }

    /// The commit at `offset`, of `session` or a later one; none if there is none.
    pub(crate) fn commit_at(&mut self, offset: u64, session: u32) -> io::Result<Option<CommitAt>> {
        match self.commit_in_window(offset, session)? {
            None if self.forget_stale() => self.commit_in_window(offset, session),
            commit => Ok(commit),
        }
    }

    fn commit_in_window(&mut self, offset: u64, session: u32) -> io::Result<Option<CommitAt>> {
        let (checksum, size) = (self.checksum, self.size);
        let bytes = self.bytes(offset, COMMIT_HEADER_BYTES as usize)?;
        let Some(header) = CommitHeader::decode(bytes, checksum) else { return Ok(None) };
        let records_start = offset + COMMIT_HEADER_BYTES;
        let end = records_start + u64::from(header.payload_bytes);
        let sound = header.session >= session && end <= size;
        Ok(sound.then_some(CommitAt { header, records_start, end }))
    }

    /// The first commit at or behind `from` and before `limit`: where reading goes on behind damage.
    pub(crate) fn find_commit(&mut self, from: u64, limit: u64, session: u32) -> io::Result<Option<(u64, CommitAt)>> {
        let mut offset = from.next_multiple_of(8);
        let limit = limit.min(self.size);
        while offset + COMMIT_HEADER_BYTES <= limit {
            let bytes = self.bytes_ahead(offset, COMMIT_HEADER_BYTES as usize)?;
            let Some(index) = bytes.chunks_exact(8).position(|chunk| chunk.starts_with(&COMMIT_MAGIC)) else {
                offset += (bytes.len() as u64 / 8 * 8).max(8);
                continue;
            };
            offset += 8 * index as u64;
            if let Some(commit) = self.commit_at(offset, session)? {
                return Ok(Some((offset, commit)));
            }
            offset += 8;
        }
        Ok(None)
    }

    /// The record at `offset` in a commit that ends at `end`; none if it is damaged.
    pub(crate) fn record_at(&mut self, offset: u64, end: u64) -> io::Result<Option<RecordAt<'_>>> {
        let found = match self.sound_in_window(offset, end)? {
            None if self.forget_stale() => self.sound_in_window(offset, end)?,
            found => found,
        };
        let Some((header, element)) = found else { return Ok(None) };
        let record_end = offset + header.record_bytes() as u64;
        let bytes = self.bytes(offset, header.record_bytes())?;
        Ok(Some(RecordAt { header, element: &bytes[element], end: record_end }))
    }

    /// The header of a sound record, and where in it the element stands.
    fn sound_in_window(&mut self, offset: u64, end: u64) -> io::Result<Option<(RecordHeader, Range<usize>)>> {
        let checksum = self.checksum;
        let room = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let head = self.bytes(offset, room.min(64))?;
        let Some(record_bytes) = RecordHeader::parse(head).map(|header| header.record_bytes()) else { return Ok(None) };
        if record_bytes > room {
            return Ok(None);
        }
        let bytes = self.bytes(offset, record_bytes)?;
        Ok(RecordHeader::verify(bytes, checksum).map(|(header, element)| {
            let start = element.as_ptr().addr() - bytes.as_ptr().addr();
            (header, start..start + element.len())
        }))
    }
}

impl<F: StorageFile> SegmentFile<F> {
    /// Where the first sound record of a commit stands at or behind `from`.
    pub(crate) fn find_record(&mut self, from: u64, commit: &CommitAt) -> io::Result<Option<u64>> {
        let first = commit.header.first_sequence;
        let expected = first.previous()..=first.plus(u64::from(commit.header.record_count));
        for offset in (from..commit.end).step_by(8) {
            let head = self.bytes(offset, 64)?;
            // Nearly everything is told apart by its sequence, before a checksum is computed.
            let plausible = RecordHeader::parse(head).is_some_and(|header| expected.contains(&header.sequence));
            if plausible && self.record_at(offset, commit.end)?.is_some() {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }
}

impl<F: StorageFile> SegmentFile<F> {
    /// Where the first sound record at or behind `from` and before `limit` ends, whatever its place in the lane; none if there is none.
    pub(crate) fn find_any_record(&mut self, from: u64, limit: u64) -> io::Result<Option<u64>> {
        let limit = limit.min(self.size);
        let mut offset = from.next_multiple_of(8);
        while offset + RecordHeader::LEAST_BYTES as u64 <= limit {
            let bytes = self.bytes_ahead(offset, RecordHeader::MOST_BYTES)?;
            let starts = (0..bytes.len() / 8).map(|index| &bytes[8 * index..]);
            let Some(index) = starts.into_iter().position(RecordHeader::may_start) else {
                // The last few bytes may be the beginning of a header.
                offset += (bytes.len().saturating_sub(RecordHeader::MOST_BYTES) as u64 / 8 * 8).max(8);
                continue;
            };
            offset += 8 * index as u64;
            if let Some(record) = self.record_at(offset, limit)? {
                return Ok(Some(record.end));
            }
            offset += 8;
        }
        Ok(None)
    }
}

/// What a walk meets.
pub(crate) enum Met<'a> {
    /// A commit, before its records.
    Commit(&'a CommitAt),
    /// A sound record.
    Record(RecordAt<'a>),
}

/// Where a walk through a segment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalkEnd {
    /// Behind the last commit: where the next one may be written.
    pub(crate) offset: u64,
    /// Bytes of damaged records in the last commit.
    pub(crate) torn_bytes: u64,
    /// Damage that sound commits follow was met, or bytes that cannot be read, wherever they are.
    pub(crate) damaged: bool,
    /// Bytes that could not be read.
    pub(crate) unread: IntervalSet,
    /// Highest session of a commit.
    pub(crate) session: u32,
}

/// Walks through all commits of a segment, over damage where sound commits follow
/// within `lookahead` bytes.
pub(crate) fn walk<F: StorageFile>(
    segment: &mut SegmentFile<F>,
    data_start: u64,
    lookahead: u64,
    mut visit: impl FnMut(Met<'_>),
) -> io::Result<WalkEnd> {
    let mut end =
        WalkEnd { offset: data_start, torn_bytes: 0, damaged: false, unread: IntervalSet::default(), session: 0 };
    loop {
        let commit = match segment.commit_at(end.offset, end.session)? {
            Some(commit) => commit,
            None => match segment.find_commit(end.offset, end.offset.saturating_add(lookahead), end.session)? {
                Some((_, commit)) => {
                    end.damaged = true;
                    commit
                }
                None => break,
            },
        };
        end.damaged |= end.torn_bytes > 0;
        end.session = commit.header.session;
        visit(Met::Commit(&commit));
        end.torn_bytes = walk_records(segment, &commit, &mut visit)?;
        end.offset = commit.end;
    }
    end.unread.clone_from(&segment.unread);
    end.damaged |= !end.unread.is_empty();
    Ok(end)
}

/// Visits the sound records of a commit; says how many bytes are damaged.
fn walk_records<F: StorageFile>(
    segment: &mut SegmentFile<F>,
    commit: &CommitAt,
    visit: &mut impl FnMut(Met<'_>),
) -> io::Result<u64> {
    let mut offset = commit.records_start;
    let mut damaged_bytes = 0;
    while offset < commit.end {
        if let Some(record) = segment.record_at(offset, commit.end)? {
            let next = record.end;
            visit(Met::Record(record));
            offset = next;
        } else {
            let next = segment.find_record(offset + 8, commit)?.unwrap_or(commit.end);
            damaged_bytes += next - offset;
            offset = next;
        }
    }
    Ok(damaged_bytes)
}
