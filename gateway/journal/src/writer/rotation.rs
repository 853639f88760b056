//! Beginning the next segment of a lane.

use std::{io, time::Duration};

use venue_schema::v1::Lane;

use super::{LaneWriter, WriteFailure, Writer};
use crate::{
    Journal, PerLane,
    catalog::SegmentEntry,
    checkpoint,
    config::SEGMENT_MARGIN_BYTES,
    format::{Checksum, FileName, SegmentHeader, SegmentNote},
    journal::lock,
    stage::Batch,
    storage::{Storage, StorageFile},
};

impl<S: Storage> Journal<S> {
    /// Begins the next segment of a lane, with what it must carry.
    pub(crate) fn rotate(&self, writer: &mut Writer<S::File>, lane: Lane, now: Duration) -> Result<(), WriteFailure> {
        let mut nothing = Batch::starting_at(writer.durable[lane].next());
        let Some(mut carried) = writer.unsynced[lane].take_if(|_| writer.carries[lane]) else {
            return self.rotate_with(writer, lane, &mut nothing, now).map(|_| ());
        };
        let rotated = self.rotate_with(writer, lane, &mut carried, now);
        writer.carries[lane] = !carried.is_empty();
        writer.unsynced[lane] = Some(carried).filter(|carried| !carried.is_empty());
        rotated.map(|_| ())
    }

    /// Begins the next segment of a lane with records that may stand, and be durable, in an older one, which the
    /// new one supersedes: they are in it before it has its name. What does not fit is left in the batch. Returns how
    /// many it carries.
    pub(super) fn rotate_with(
        &self,
        writer: &mut Writer<S::File>,
        lane: Lane,
        carried: &mut Batch,
        now: Duration,
    ) -> Result<u64, WriteFailure> {
        let storage = &*self.inner.storage;
        let mut others = lock(&self.inner.spares).ready.len();
        let (spare, is_borrowed, (entry, lane_writer, count)) = loop {
            let (spare, is_borrowed) = self.take_spare(writer, lane, now)?;
            match self.write_segment(writer, lane, spare, carried) {
                Ok(written) => break (spare, is_borrowed, written),
                Err(WriteFailure::NoSpace(lane)) => {
                    lock(&self.inner.spares).ready.push(spare);
                    return Err(WriteFailure::NoSpace(lane));
                }
                Err(failure) => {
                    drop(storage.remove(&spare.to_string()));
                    // A bad sector where nothing stands yet: another spare, or at last a new one, may do.
                    others = others.checked_sub(1).filter(|_| failure.is_bad_sector()).ok_or(failure)?;
                }
            }
        };
        let name = entry.name();
        // Once the new segment has its name, what is written behind its first sequence into the old one is superseded.
        writer.lanes[lane].leave();
        storage.rename(&spare.to_string(), &name.to_string()).map_err(WriteFailure::of("rename", spare))?;
        {
            // It has its name, and goes in its turn even if what follows fails: were younger ones gone before it, the next
            // start would miss them in the middle of the lane.
            let mut catalog = self.inner.catalog.write().expect("no thread panics while it holds the catalog");
            if let Some(last) = catalog.segments[lane].last_mut() {
                last.sealed_at = Some(now);
            }
            catalog.segments[lane].push(entry.clone());
        }
        storage.sync_directory().map_err(WriteFailure::of("sync the directory of", name))?;
        self.note_segment(&entry)?;
        writer.lanes[lane] = lane_writer;
        if count > 0 {
            let (_, bytes) = carried.prefix_of(count);
            let durable = carried.split_front(count, bytes);
            self.publish(writer, lane, &durable, now);
        }
        if is_borrowed {
            self.give_back(writer, now)?;
        }
        Ok(count as u64)
    }

    /// Writes a spare as the next segment: header, checkpoint and carried records are durable before the
    /// name is. Also says how many records it carries. Where its checkpoint would leave no room for a record, the spare is not touched
    /// ([`WriteFailure::NoSpace`]): one such segment after another would be begun, and push out what is stored.
    fn write_segment(
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
            file_bytes: header.segment_bytes,
            sealed_at: None,
            receive_utc_ns: None,
        };
        let largest = lock(&self.inner.stage).largest_record.max(1);
        if header.data_start() + SEGMENT_MARGIN_BYTES + largest > header.segment_bytes {
            return Err(WriteFailure::NoSpace(lane));
        }
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
        written.map(|()| (entry, begun, count))
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
    // Gives the space back, whichever name the file has; if even that fails, opening takes stock of it.
    write().inspect_err(|_| [unfinished, spare].iter().for_each(|name| drop(storage.remove(&name.to_string()))))?;
    Ok(spare)
}
