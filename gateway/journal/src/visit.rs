//! Going through a stored lane element by element, with what only the disk knows of each.

use std::{io, ops::ControlFlow};

use venue_schema::Sequence;

use crate::{
    catalog::SegmentEntry,
    format::{RecordHeader, unframe_element},
    gap::Skip,
    segment::{Met, SegmentFile, walk},
    skips::{self, Skips},
    storage::{Storage, is_unreadable},
};

/// What stands at a place of a lane.
#[derive(Debug)]
pub(crate) enum Visited<'a> {
    /// A sound record.
    Record { header: &'a RecordHeader, event: &'a [u8] },
    /// A range that is missing for good.
    Skip(&'a Skip),
    /// A range that cannot be read.
    Damaged { first: Sequence, last: Sequence },
}

/// Goes through a lane from `from` to `to`, in order. Needs no catalog: a segment that
/// vanished meanwhile, and what cannot be read, shows as a damaged range.
pub(crate) fn visit<S: Storage>(
    storage: &S,
    segments: &[SegmentEntry],
    skips: &Skips,
    from: Sequence,
    to: Sequence,
    mut each: impl FnMut(Visited<'_>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut lane = LaneVisit { skips, next: from, to, each: &mut each, stopped: false };
    for (index, entry) in segments.iter().enumerate() {
        let end = segments.get(index + 1).map_or(Sequence(u64::MAX), |next| next.first);
        if end <= lane.next || lane.stopped || entry.first > to {
            continue;
        }
        let file = match storage.open_read_only(&entry.name().to_string()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_unreadable(&error) => continue,
            Err(error) => return Err(error),
        };
        let mut segment = SegmentFile::new(file, entry.checksum())?;
        walk(&mut segment, entry.data_start, u64::MAX, |met| {
            if let Met::Record(record) = met
                && record.header.kind.takes_sequence()
                && record.header.sequence < end
            {
                lane.record(&record.header, record.element);
            }
        })?;
    }
    lane.fill_up_to(Sequence(to.0.saturating_add(1)));
    Ok(())
}

/// A place in a lane while it is gone through.
struct LaneVisit<'a> {
    skips: &'a Skips,
    next: Sequence,
    to: Sequence,
    each: &'a mut dyn FnMut(Visited<'_>) -> ControlFlow<()>,
    stopped: bool,
}

impl LaneVisit<'_> {
    fn record(&mut self, header: &RecordHeader, element: &[u8]) {
        self.fill_up_to(header.sequence);
        if header.sequence != self.next || header.sequence > self.to || self.stopped {
            return;
        }
        if let Some((event, _)) = unframe_element(element) {
            self.tell(Visited::Record { header, event });
            self.next = header.sequence.next();
        }
    }

    /// Tells of skipped and damaged ranges before a sequence.
    fn fill_up_to(&mut self, before: Sequence) {
        let before = before.min(Sequence(self.to.0.saturating_add(1)));
        while self.next < before && !self.stopped {
            if let Some(skip) = skips::at(self.skips, self.next) {
                let skip = skip.from(self.next);
                self.next = skip.last.next();
                self.tell(Visited::Skip(&skip));
                continue;
            }
            let next_skip = self.skips.range(self.next..).next().map_or(before, |(first, _)| *first);
            let end = before.min(next_skip);
            self.tell(Visited::Damaged { first: self.next, last: end.previous() });
            self.next = end;
        }
    }

    fn tell(&mut self, visited: Visited<'_>) {
        self.stopped |= (self.each)(visited).is_break();
    }
}
