//! First look: which files there are, whose they are, and where each segment starts.

use std::{io, time::Duration};

use venue_schema::{JournalEpoch, Sequence, v1::Lane};

use super::{Finding, OpenError};
use crate::{
    PerLane,
    catalog::SegmentEntry,
    checkpoint::{self, Checkpoint},
    format::{Checksum, FileName, MetaSlot, PAGE_BYTES, SegmentHeader, SegmentNote, Unreadable},
    interval::IntervalSet,
    meta,
    segment::SegmentFile,
    storage::{Storage, StorageFile, UnreadPages, is_unreadable, read_exact},
};

/// A segment as it was found.
#[derive(Debug, Clone)]
pub(crate) struct FoundSegment {
    pub(crate) entry: SegmentEntry,
    /// None where the header is damaged.
    pub(crate) header: Option<SegmentHeader>,
    /// Size of the file, bytes.
    pub(crate) size: u64,
}

/// All that a first look shows. Nothing has been written.
#[derive(Debug)]
pub(crate) struct Scan {
    /// None where the journal is empty, or `meta` must be made up from segments.
    pub(crate) meta: Option<MetaSlot>,
    /// `meta` is missing or damaged though there are segments.
    pub(crate) meta_rebuilt: bool,
    pub(crate) segments: PerLane<Vec<FoundSegment>>,
    /// Segments with neither a sound header nor a sound commit, and those of an epoch that does not count.
    pub(crate) discarded: Vec<FileName>,
    pub(crate) spares: Vec<FileName>,
    pub(crate) unfinished: Vec<FileName>,
    pub(crate) next_generation: u64,
    pub(crate) next_spare: u64,
    pub(crate) findings: Vec<Finding>,
    /// Where the disk could not be read.
    pub(crate) unread: UnreadPages,
    /// Something of a segment could be read.
    any_read: bool,
}

type HeaderRead = Result<SegmentHeader, Unreadable>;

/// Looks at all files.
pub(crate) fn scan<S: Storage>(storage: &S, now: Duration) -> Result<Scan, OpenError> {
    // Before the names: what it notes has its name already, also beside a running gateway.
    let mut unread = UnreadPages::default();
    let meta = meta::read(storage, &mut unread).map_err(OpenError::io("read", FileName::META))?;
    let mut names: Vec<FileName> = storage
        .list()
        .map_err(OpenError::io("list", "the journal's directory"))?
        .iter()
        .filter_map(|name| FileName::parse(name))
        .collect();
    names.sort_unstable();
    let mut headers = Vec::new();
    for &name in names.iter().filter(|name| name.lane().is_some()) {
        headers.push((name, read_header(storage, name, &mut unread)?));
    }
    let mut scan = Scan {
        meta: None,
        meta_rebuilt: false,
        segments: PerLane::default(),
        discarded: Vec::new(),
        spares: names.iter().copied().filter(|name| matches!(name, FileName::Spare(_))).collect(),
        unfinished: names.iter().copied().filter(|name| matches!(name, FileName::Unfinished(_))).collect(),
        next_generation: names.iter().filter(|name| name.lane().is_some()).map(|name| name.number()).max().unwrap_or(0)
            + 1,
        next_spare: names.iter().filter(|name| name.lane().is_none()).map(|name| name.number()).max().unwrap_or(0),
        findings: Vec::new(),
        unread,
        any_read: false,
    };
    scan.take_meta(meta.as_deref().unwrap_or_default(), &headers)?;
    let Some(meta) = scan.meta.clone() else {
        return if headers.is_empty() || scan.unread.is_empty() { Ok(scan) } else { Err(OpenError::Unreadable) };
    };
    for lane in Lane::ALL {
        scan.next_generation = scan.next_generation.max(meta.newest[lane].generation + 1);
    }
    let has_segments = !headers.is_empty();
    for (name, header) in headers {
        scan.take_segment(storage, &meta, name, header, now)?;
    }
    if has_segments && !scan.any_read { Err(OpenError::Unreadable) } else { Ok(scan) }
}

/// The segments of an epoch that were begun last, as far as their headers can be read.
fn newest_of(headers: &[(FileName, HeaderRead)], epoch: JournalEpoch) -> PerLane<SegmentNote> {
    PerLane::from_fn(|lane| {
        let of_lane = headers.iter().filter_map(|(_, header)| header.as_ref().ok());
        let of_lane = of_lane.filter(|header| header.epoch == epoch && header.lane == lane);
        let notes = of_lane.map(|it| SegmentNote { generation: it.generation, first: it.first_sequence });
        notes.max_by_key(|note| note.generation).unwrap_or_default()
    })
}

fn read_header<S: Storage>(storage: &S, name: FileName, unread: &mut UnreadPages) -> Result<HeaderRead, OpenError> {
    let mut bytes_unread = IntervalSet::default();
    let mut read = || -> io::Result<_> {
        let file = storage.open_read_only(&name.to_string())?;
        read_exact(&file, 0, PAGE_BYTES as usize, &mut bytes_unread)
    };
    let page = match read() {
        Err(error) if is_unreadable(&error) => None,
        page => page.map_err(OpenError::io("read", name))?,
    };
    unread.note(name, &bytes_unread);
    match page.map_or(Err(Unreadable::Damaged), |page| SegmentHeader::decode(&page)) {
        // Case H.
        Err(Unreadable::Later(version)) => Err(OpenError::LaterVersion { name: name.to_string(), version }),
        read => Ok(read),
    }
}

impl Scan {
    pub(crate) fn find(&mut self, case: char, text: String) {
        self.findings.push(Finding { case, text });
    }

    /// Whose journal it is, from `meta` or, case J, from the newest segment.
    fn take_meta(&mut self, bytes: &[u8], headers: &[(FileName, HeaderRead)]) -> Result<(), OpenError> {
        self.meta = meta::newest_slot(bytes)
            .map_err(|version| OpenError::LaterVersion { name: FileName::META.to_owned(), version })?;
        if self.meta.is_some() {
            return Ok(());
        }
        let newest =
            headers.iter().filter_map(|(_, header)| header.as_ref().ok()).max_by_key(|header| header.generation);
        if let Some(header) = newest {
            self.find(
                'J',
                format!("`meta` is damaged; gateway and epoch are those of generation {}", header.generation),
            );
            self.meta_rebuilt = true;
            self.meta = Some(MetaSlot {
                revision: 0,
                epoch: header.epoch,
                coming: None,
                predecessors: Vec::new(),
                newest: newest_of(headers, header.epoch),
                gateway_id: header.gateway_id.clone(),
            });
        }
        Ok(())
    }

    fn take_segment<S: Storage>(
        &mut self,
        storage: &S,
        meta: &MetaSlot,
        name: FileName,
        header: HeaderRead,
        now: Duration,
    ) -> Result<(), OpenError> {
        let lane = name.lane().expect("only segments come here");
        let file = match storage.open_read_only(&name.to_string()) {
            Err(error) if is_unreadable(&error) => {
                self.find('E', format!("{name} cannot be opened ({error}); it counts as missing and is left alone"));
                return Ok(());
            }
            file => file.map_err(OpenError::io("open", name))?,
        };
        let size = file.size().map_err(OpenError::io("read", name))?;
        self.any_read |= self.unread.of(name).is_empty();
        match header {
            Ok(header) if meta.coming == Some(header.epoch) => {
                self.find('K', format!("{name} belongs to an epoch that was not completely begun; it is dropped"));
                self.discarded.push(name);
            }
            Ok(header) if meta.predecessors.contains(&header.epoch) => {
                self.find('K', format!("{name} belongs to a former epoch, all of which was taken over; it is dropped"));
                self.discarded.push(name);
            }
            Ok(header) if header.epoch != meta.epoch || header.lane != lane || header.generation != name.number() => {
                self.find('G', format!("{name} belongs to another journal (epoch {}); it is left alone", header.epoch));
            }
            Ok(header) => {
                let entry = entry_of(&header, now);
                self.segments[lane].push(FoundSegment { entry, header: Some(header), size });
            }
            Err(_) => self.take_headless(file, meta.epoch, name, lane, size, now)?,
        }
        Ok(())
    }

    /// Case D: a segment whose header is damaged is told by its commits.
    fn take_headless<F: StorageFile>(
        &mut self,
        file: F,
        epoch: JournalEpoch,
        name: FileName,
        lane: Lane,
        size: u64,
        now: Duration,
    ) -> Result<(), OpenError> {
        let checksum = Checksum::of_segment(epoch, lane, name.number());
        let mut segment = SegmentFile::new(file, checksum).map_err(OpenError::io("read", name))?;
        let found = segment.find_commit(PAGE_BYTES, u64::MAX, 0).map_err(OpenError::io("read", name))?;
        self.unread.note(name, &segment.unread);
        self.any_read |= !self.unread.of(name).holes(0, size.saturating_sub(1)).is_empty();
        match found {
            Some((offset, commit)) => {
                self.find('D', format!("{name} has a damaged header and sound records; it is read without its header"));
                let entry = SegmentEntry {
                    lane,
                    generation: name.number(),
                    epoch,
                    first: commit.header.first_sequence,
                    data_start: offset,
                    file_bytes: size,
                    sealed_at: Some(now),
                    receive_utc_ns: None,
                };
                self.segments[lane].push(FoundSegment { entry, header: None, size });
            }
            None if !segment.unread.is_empty() => {
                self.find(
                    'E',
                    format!("{name} cannot be read where its records were; it counts as missing and is left alone"),
                );
            }
            None => {
                self.find('D', format!("{name} has a damaged header and no records; it becomes a spare"));
                self.discarded.push(name);
            }
        }
        Ok(())
    }

    /// The newest checkpoint that is sound; an empty one if none is (case I).
    pub(crate) fn newest_checkpoint<S: Storage>(&mut self, storage: &S) -> Result<Checkpoint, OpenError> {
        let mut headers: Vec<SegmentHeader> = Lane::ALL
            .into_iter()
            .flat_map(|lane| self.segments[lane].iter().filter_map(|found| found.header.clone()))
            .collect();
        headers.sort_unstable_by_key(|header| std::cmp::Reverse(header.generation));
        for header in headers {
            let name = FileName::segment(header.lane, header.generation);
            let mut bytes_unread = IntervalSet::default();
            let checkpoint = read_checkpoint(storage, &header, &mut bytes_unread);
            self.unread.note(name, &bytes_unread);
            if let Some(checkpoint) = checkpoint.map_err(OpenError::io("read", name))? {
                return Ok(checkpoint);
            }
            self.find('I', format!("the checkpoint of {name} is damaged; an older one is used"));
        }
        Ok(Checkpoint::default())
    }
}

/// The checkpoint behind a segment's header; none if it is damaged.
fn read_checkpoint<S: Storage>(
    storage: &S,
    header: &SegmentHeader,
    unread: &mut IntervalSet,
) -> io::Result<Option<Checkpoint>> {
    let name = FileName::segment(header.lane, header.generation);
    let file = storage.open_read_only(&name.to_string())?;
    if header.checkpoint_bytes > file.size()? {
        return Ok(None);
    }
    let bytes = read_exact(&file, PAGE_BYTES, header.checkpoint_bytes as usize, unread)?;
    let checksum = Checksum::of_segment(header.epoch, header.lane, header.generation);
    Ok(bytes.and_then(|bytes| checkpoint::decode(&bytes, checksum)))
}

fn entry_of(header: &SegmentHeader, now: Duration) -> SegmentEntry {
    SegmentEntry {
        lane: header.lane,
        generation: header.generation,
        epoch: header.epoch,
        first: header.first_sequence,
        data_start: header.data_start(),
        file_bytes: header.segment_bytes,
        sealed_at: Some(now),
        receive_utc_ns: None,
    }
}

/// The sequence at which the segment behind `index` starts, or past every sequence for the newest.
pub(crate) fn end_of(segments: &[FoundSegment], index: usize) -> Sequence {
    segments.get(index + 1).map_or(Sequence(u64::MAX), |next| next.entry.first)
}
