//! Which segments go, which files become the next ones, and how much room that leaves.

use std::{io, sync::atomic::Ordering, time::Duration};

use venue_schema::{
    Sequence,
    v1::{GapCause, Lane},
};

use crate::{
    Journal, PerLane,
    catalog::SegmentEntry,
    config::LOSS_RECORD_BYTES,
    format::FileName,
    gap::{LossExtent, RangeLoss, Skip},
    journal::lock,
    skips,
    stage::Room,
    storage::{Storage, StorageFile as _, is_full, is_unreadable},
    writer::{WriteFailure, Writer, preallocate},
};

/// Spares kept ready beyond the reserve, so that a new segment is not waited for.
const READY_SPARES: u64 = 1;
/// Telemetry keeps so many segments even where the file system is full and results need them.
const LEAST_TELEMETRY_SEGMENTS: u64 = 2;

/// Files that are ready to become segments.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    pub(crate) ready: Vec<FileName>,
    /// Those that were segments, and may be again after a power cut: nothing is written into them before the directory is synced.
    pub(crate) renamed: Vec<FileName>,
    pub(crate) next_number: u64,
    /// The file system refused the last creation.
    pub(crate) disk_full: bool,
}

/// What housekeeping did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Housekeeping {
    /// Spare segments written.
    pub spares_created: u64,
    /// Segments whose records are gone: delivered, or shed.
    pub segments_retired: u64,
    /// The file system had no space for a spare.
    pub disk_full: bool,
}

/// Why housekeeping could not do its work.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} {name}: {source}")]
pub struct HousekeepError {
    what: &'static str,
    name: String,
    source: io::Error,
}

impl HousekeepError {
    pub(crate) fn of(what: &'static str, name: impl ToString) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { what, name: name.to_string(), source }
    }
}

impl<S: Storage> Journal<S> {
    /// Works ahead: writes cursor marks down, lets delivered records go that are older than
    /// they need be kept or in the way, refills the reserve, and then keeps a spare segment ready. Writing a
    /// spare takes long; this may run on another thread than [`commit`](Self::commit), which it does not hold up.
    ///
    /// # Errors
    /// [`HousekeepError`] where the disk fails; a full disk is no error.
    pub fn housekeep(&self, now: Duration) -> Result<Housekeeping, HousekeepError> {
        let _alone = lock(&self.inner.housekeeping);
        let mut done = Housekeeping::default();
        self.sync_cursors(now).map_err(HousekeepError::of("sync", FileName::CURSORS))?;
        done.segments_retired = self.retire_old(now)?;
        done.spares_created = self.fill_spares()?;
        done.disk_full = lock(&self.inner.spares).disk_full;
        let writer = lock(&self.inner.writer);
        self.update_room(&writer);
        let mut stage = lock(&self.inner.stage);
        for lane in Lane::ALL {
            stage.lanes[lane].no_space = false;
        }
        stage.close_losses();
        Ok(done)
    }

    /// Lets delivered segments go: those older than they need be kept, and those over the quota.
    fn retire_old(&self, now: Duration) -> Result<u64, HousekeepError> {
        let mut retired = 0;
        for lane in Lane::ALL {
            loop {
                let mut writer = lock(&self.inner.writer);
                let Some(entry) = self.oldest_delivered(&writer, lane) else { break };
                let kept = now.saturating_sub(entry.sealed_at.unwrap_or(now));
                let crowded = self.segment_count(lane) >= self.limit(lane) || self.reserve_is_short();
                if kept < self.inner.keep[lane] && !crowded {
                    break;
                }
                match self.retire(&mut writer, &entry, now) {
                    Ok(_) => retired += 1,
                    Err(WriteFailure::Failed(what, name, error)) => return Err(HousekeepError::of(what, name)(error)),
                    Err(WriteFailure::NoSpace(_)) => break,
                }
            }
        }
        Ok(retired)
    }

    /// Writes spares until the reserve is whole and one more is ready, as far as the quotas let them be used.
    fn fill_spares(&self) -> Result<u64, HousekeepError> {
        let mut created = 0;
        loop {
            let may_grow = Lane::ALL.into_iter().any(|lane| self.segment_count(lane) < self.limit(lane));
            let wanted = self.reserve_left() + if may_grow { READY_SPARES } else { 0 };
            let number = {
                let mut spares = lock(&self.inner.spares);
                if spares.ready.len() as u64 >= wanted {
                    spares.disk_full = false;
                    return Ok(created);
                }
                spares.next_number += 1;
                spares.next_number
            };
            match preallocate(&*self.inner.storage, number, self.inner.geometry.segment_bytes) {
                Ok(spare) => {
                    lock(&self.inner.spares).ready.push(spare);
                    created += 1;
                }
                Err(error) if is_full(&error) => {
                    lock(&self.inner.spares).disk_full = true;
                    return Ok(created);
                }
                Err(error) => return Err(HousekeepError::of("write", FileName::Spare(number))(error)),
            }
        }
    }

    /// What results have not taken of the reserve, in segments: those beyond their quota are of it, and a spare in
    /// their place would let the lane grow without end.
    pub(crate) fn reserve_left(&self) -> u64 {
        let taken = self.segment_count(Lane::Results).saturating_sub(self.limit(Lane::Results));
        self.inner.geometry.reserve_segments.saturating_sub(taken)
    }

    fn reserve_is_short(&self) -> bool {
        (lock(&self.inner.spares).ready.len() as u64) < self.inner.geometry.reserve_segments
    }

    pub(crate) fn segment_count(&self, lane: Lane) -> u64 {
        self.inner.catalog.read().expect("no thread panics while it holds the catalog").segments[lane].len() as u64
    }

    pub(crate) fn limit(&self, lane: Lane) -> u64 {
        match lane {
            Lane::Results => self.inner.geometry.results_segments,
            _ => self.inner.geometry.telemetry_segments,
        }
    }

    /// The oldest closed segment, if every required cursor has passed it.
    fn oldest_delivered(&self, writer: &Writer<S::File>, lane: Lane) -> Option<SegmentEntry> {
        let passed = self.passed(lane);
        let (entry, last) = self.oldest_closed(writer, lane)?;
        (last <= passed).then_some(entry)
    }

    /// The oldest segment that is no longer written, and its last sequence.
    fn oldest_closed(&self, writer: &Writer<S::File>, lane: Lane) -> Option<(SegmentEntry, Sequence)> {
        let catalog = self.inner.catalog.read().expect("no thread panics while it holds the catalog");
        let [oldest, next, ..] = &catalog.segments[lane][..] else { return None };
        // One that could not be wholly begun may stand behind the one that is written.
        (oldest.generation != writer.lanes[lane].generation).then(|| (oldest.clone(), next.first.previous()))
    }

    /// A file for the next segment of a lane, and whether telemetry has borrowed it. In this order: what is ready beyond the
    /// reserve, a new file within the quota, the oldest delivered segment; then telemetry
    /// sheds, and results go into the reserve.
    ///
    /// Telemetry says what it sheds in the segment that is written. Where that has no room for it, it borrows a spare of the reserve for the
    /// next one, and gives back the oldest segment once that is declared there ([`Self::give_back`]).
    pub(crate) fn take_spare(
        &self,
        writer: &mut Writer<S::File>,
        lane: Lane,
        now: Duration,
    ) -> Result<(FileName, bool), WriteFailure> {
        if self.segment_count(lane) < self.limit(lane) {
            if let Some(spare) = self.pop_spare(self.inner.geometry.reserve_segments) {
                return Ok((spare, false));
            }
            if let Some(spare) = self.create_spare()? {
                return Ok((spare, false));
            }
        }
        let mut borrows = false;
        let mut freed = None;
        if let Some(entry) = self.oldest_delivered(writer, lane) {
            freed = Some(self.retire(writer, &entry, now)?);
        } else if lane == Lane::Telemetry {
            match self.shed_oldest(writer, now) {
                Err(WriteFailure::NoSpace(_)) if self.segment_count(lane) > 1 => borrows = true,
                shed => freed = Some(shed?),
            }
        } else if self.segment_count(lane) < self.limit(lane)
            && self.segment_count(Lane::Telemetry) > LEAST_TELEMETRY_SEGMENTS
        {
            // The file system is full, not the quota: telemetry makes way for results.
            freed = self.make_way(writer, now)?;
        }
        if lane == Lane::Results && self.segment_count(lane) >= self.limit(lane) && self.reserve_left() == 0 {
            // What is ready then is there for telemetry.
            return Err(WriteFailure::NoSpace(lane));
        }
        let reserve = if borrows || freed == Some(true) { 0 } else { self.inner.geometry.reserve_segments };
        if let Some(spare) = self.pop_spare(reserve) {
            return Ok((spare, borrows));
        }
        // The file of what went had another size, or could not be read: it is no spare, but a new one has its space.
        if freed == Some(false)
            && let Some(spare) = self.create_spare()?
        {
            return Ok((spare, false));
        }
        // Results may take the last spares.
        let last = if lane == Lane::Results { self.pop_spare(0) } else { None };
        Ok((last.ok_or(WriteFailure::NoSpace(lane))?, false))
    }

    /// Sheds the oldest telemetry segment for results, if it can be declared: where the segment that is written has no room for that,
    /// in the next. As [`shed_oldest`](Self::shed_oldest), or none if it cannot be declared.
    fn make_way(&self, writer: &mut Writer<S::File>, now: Duration) -> Result<Option<bool>, WriteFailure> {
        let shed = match self.shed_oldest(writer, now) {
            Err(WriteFailure::NoSpace(_)) => {
                self.rotate(writer, Lane::Telemetry, now).and_then(|()| self.shed_oldest(writer, now))
            }
            shed => shed,
        };
        shed.map(Some).or_else(|failure| failure.unless_no_space().map(|()| None))
    }

    /// Sheds the oldest telemetry segment for a spare of the reserve that the newest was begun with. If it cannot be declared there
    /// in one piece, the next one borrows again, and goes on with it.
    pub(crate) fn give_back(&self, writer: &mut Writer<S::File>, now: Duration) -> Result<(), WriteFailure> {
        self.shed_oldest(writer, now).map(drop).or_else(WriteFailure::unless_no_space)
    }

    /// Takes a spare if more than `kept` are ready.
    fn pop_spare(&self, kept: u64) -> Option<FileName> {
        let mut spares = lock(&self.inner.spares);
        if spares.ready.len() as u64 > kept { spares.ready.pop() } else { None }
    }

    /// Writes a spare on the spot, for housekeeping has not kept up; none if the file system is full.
    fn create_spare(&self) -> Result<Option<FileName>, WriteFailure> {
        let number = {
            let mut spares = lock(&self.inner.spares);
            if spares.disk_full {
                return Ok(None);
            }
            spares.next_number += 1;
            spares.next_number
        };
        match preallocate(&*self.inner.storage, number, self.inner.geometry.segment_bytes) {
            Ok(spare) => Ok(Some(spare)),
            Err(error) if is_full(&error) => {
                lock(&self.inner.spares).disk_full = true;
                Ok(None)
            }
            Err(error) => Err(WriteFailure::Failed("write", FileName::Spare(number).to_string(), error)),
        }
    }

    /// Deletes the oldest telemetry segment; what no required cursor has passed is
    /// declared first, durably. Whether its file is a spare now.
    fn shed_oldest(&self, writer: &mut Writer<S::File>, now: Duration) -> Result<bool, WriteFailure> {
        let lane = Lane::Telemetry;
        let passed = self.passed(lane);
        let Some((entry, last)) = self.oldest_closed(writer, lane) else { return Err(WriteFailure::NoSpace(lane)) };
        let first = entry.first.max(passed.next());
        if first <= last {
            let extent = LossExtent { receive_utc_ns: entry.receive_utc_ns, ..LossExtent::default() };
            let loss = RangeLoss { extent, ..RangeLoss::of(GapCause::Shed) };
            let declared = self.declare(writer, lane, (first, last), &loss)?;
            lock(&self.inner.stage).lanes[lane].shed_records += declared;
        }
        self.retire(writer, &entry, now)
    }

    /// Makes skip records of the parts of a range that have none yet.
    pub(crate) fn declare(
        &self,
        writer: &mut Writer<S::File>,
        lane: Lane,
        range: (Sequence, Sequence),
        loss: &RangeLoss,
    ) -> Result<u64, WriteFailure> {
        let mut declared = 0;
        for skip in self.skips_of(lane, range, loss) {
            declared += skip.last.0 - skip.first.0 + 1;
            self.put_skip(writer, lane, skip)?;
        }
        Ok(declared)
    }

    /// The parts of a range that are not skipped yet, as skipped ranges.
    pub(crate) fn skips_of(&self, lane: Lane, range: (Sequence, Sequence), loss: &RangeLoss) -> Vec<Skip> {
        let parts = {
            let catalog = self.inner.catalog.read().expect("no thread panics while it holds the catalog");
            catalog.unskipped(lane, range.0, range.1)
        };
        let stage = lock(&self.inner.stage);
        parts.into_iter().map(|part| stage.author.skip(stage.epoch, lane, part, loss)).collect()
    }

    /// Takes in a skipped range that is durable.
    pub(crate) fn add_skip(&self, lane: Lane, skip: Skip) {
        let passed = self.passed(lane);
        let mut catalog = self.inner.catalog.write().expect("no thread panics while it holds the catalog");
        let first_retained = catalog.first_retained(lane);
        let stage = lock(&self.inner.stage);
        let added = skip.first;
        catalog.skips[lane].insert(added, skip);
        // Below everything stored, and passed by all that count.
        let gone = |skip: &Skip| skip.last < first_retained && skip.last <= passed;
        skips::bound(&mut catalog.skips[lane], added, gone, |one, next| {
            stage.author.join(stage.epoch, lane, one, next)
        });
    }

    /// Takes a segment out of the catalog and keeps its file as a spare, where one is wanted.
    /// Marks of cursors are durable before it goes. Whether its file is a spare now.
    fn retire(&self, writer: &mut Writer<S::File>, entry: &SegmentEntry, now: Duration) -> Result<bool, WriteFailure> {
        self.sync_cursors_now(now).map_err(WriteFailure::of("sync", FileName::CURSORS))?;
        assert_ne!(entry.generation, writer.lanes[entry.lane].generation, "a segment that is written does not go");
        {
            let mut catalog = self.inner.catalog.write().expect("no thread panics while it holds the catalog");
            catalog.segments[entry.lane].retain(|kept| kept.generation != entry.generation);
        }
        let name = entry.name();
        self.reuse(name).map_err(|error| {
            // It is retired first when it is tried again, even if only the sync of the directory is left: were a younger one
            // gone before this one is gone for good, a start might miss that one in the middle of the lane.
            let mut catalog = self.inner.catalog.write().expect("no thread panics while it holds the catalog");
            catalog.segments[entry.lane].insert(0, entry.clone());
            WriteFailure::of("retire", name)(error)
        })
    }

    /// Makes a spare of a file that holds nothing of value, or removes it where none is wanted. One that is gone already is made
    /// sure to stay so.
    pub(crate) fn recycle(&self, name: FileName) -> io::Result<()> {
        self.reuse(name).map(drop)
    }

    /// The same; whether it is a spare now.
    fn reuse(&self, name: FileName) -> io::Result<bool> {
        let storage = &*self.inner.storage;
        let number = {
            let mut spares = lock(&self.inner.spares);
            spares.next_number += 1;
            spares.next_number
        };
        let wanted =
            (lock(&self.inner.spares).ready.len() as u64) < self.inner.geometry.reserve_segments + READY_SPARES;
        let size = storage.open_read_only(&name.to_string()).and_then(|file| file.size());
        let fits = match size {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.settle_renamed(),
            Err(error) if is_unreadable(&error) => false,
            size => size? == self.inner.geometry.segment_bytes,
        };
        if !(wanted && fits) {
            storage.remove(&name.to_string())?;
            storage.sync_directory()?;
            lock(&self.inner.spares).disk_full = false;
            return Ok(false);
        }
        let spare = FileName::Spare(number);
        storage.rename(&name.to_string(), &spare.to_string())?;
        lock(&self.inner.spares).renamed.push(spare);
        self.settle_renamed()
    }

    /// Makes the names of spares durable that were segments; then they are ready. Whether there were any.
    fn settle_renamed(&self) -> io::Result<bool> {
        let renamed = std::mem::take(&mut lock(&self.inner.spares).renamed);
        let synced = self.inner.storage.sync_directory().map(|()| !renamed.is_empty());
        let mut spares = lock(&self.inner.spares);
        if synced.is_ok() {
            spares.ready.extend(renamed)
        } else {
            spares.renamed.extend(renamed)
        }
        synced
    }

    /// Everything up to here is at every consumer that counts. With no required cursor,
    /// nothing is.
    pub(crate) fn passed(&self, lane: Lane) -> Sequence {
        lock(&self.inner.cursors).lowest_required(lane).unwrap_or(Sequence::ZERO)
    }

    /// Room on disk beyond what is durable.
    pub(crate) fn room(&self, writer: &Writer<S::File>) -> PerLane<Room> {
        PerLane { results: self.results_room(writer), telemetry: self.telemetry_room(writer) }
    }

    fn results_room(&self, writer: &Writer<S::File>) -> Room {
        let (count, limit) = (self.segment_count(Lane::Results), self.limit(Lane::Results));
        let (ready, disk_full) = {
            let spares = lock(&self.inner.spares);
            (spares.ready.len() as u64, spares.disk_full)
        };
        let reserve = self.inner.geometry.reserve_segments;
        let largest = lock(&self.inner.stage).largest_record;
        let each = self.inner.geometry.usable_bytes().saturating_sub(largest);
        let within_quota =
            limit.saturating_sub(count).min(if disk_full { ready.saturating_sub(reserve) } else { u64::MAX });
        let normal = within_quota + self.delivered_count(Lane::Results);
        let current = writer.lanes.results.room();
        let in_reserve = count > limit || (disk_full && ready < reserve);
        self.inner.in_reserve.store(in_reserve, Ordering::Relaxed);
        let held_back = ready.min(self.reserve_left());
        Room {
            refusable: if in_reserve && normal == 0 { 0 } else { current + normal * each },
            any: (current + (normal + held_back) * each).saturating_sub(LOSS_RECORD_BYTES),
        }
    }

    /// Telemetry makes its own room by shedding.
    fn telemetry_room(&self, writer: &Writer<S::File>) -> Room {
        let can_shed = self.segment_count(Lane::Telemetry) > 1 || !lock(&self.inner.spares).disk_full;
        let current = writer.lanes.telemetry.room();
        let room = if can_shed { u64::MAX } else { current };
        Room { refusable: room, any: room }
    }

    /// Closed segments that every required cursor has passed.
    fn delivered_count(&self, lane: Lane) -> u64 {
        let passed = self.passed(lane);
        let catalog = self.inner.catalog.read().expect("no thread panics while it holds the catalog");
        catalog.segments[lane].windows(2).take_while(|pair| pair[1].first.previous() <= passed).count() as u64
    }

    pub(crate) fn update_room(&self, writer: &Writer<S::File>) {
        let room = self.room(writer);
        let mut stage = lock(&self.inner.stage);
        for lane in Lane::ALL {
            stage.lanes[lane].room = room[lane];
        }
    }
}
