//! Opening a journal: both looks, and then the writes that make it whole again.

use std::{
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use venue_schema::{
    Sequence,
    v1::{GapCause, Lane},
};

use super::{
    Finding, LaneRecovery, OpenError, OrdinalHole, Recovery,
    replay::Replay,
    scan::{Scan, scan},
};
use crate::{
    Journal, PerLane,
    catalog::Catalog,
    config::{JournalConfig, SEGMENT_MARGIN_BYTES},
    cursor::CursorTable,
    format::{Checksum, FileName, MetaSlot},
    gap::{RangeLoss, Skip},
    journal::{Inner, lock},
    meta::Meta,
    retention::Spares,
    stage::{Batch, CommitDue, Stage},
    storage::{Storage, StorageFile, is_unreadable},
    writer::{CommitError, LaneWriter, WriteFailure, Writer},
};

impl<S: Storage> Journal<S> {
    /// Opens the journal in a directory, or creates it where there is none. `now` is the
    /// time on the monotonic clock that later calls use.
    ///
    /// Damage is set aside and declared, never a reason not to start; [`Recovery`] says what was found.
    ///
    /// # Errors
    /// [`OpenError`]: another process, another gateway, a later version, or a disk that fails.
    pub fn open(storage: S, config: JournalConfig, now: Duration) -> Result<(Self, Recovery), OpenError> {
        let held =
            storage.lock().map_err(OpenError::io("lock", "the journal's directory"))?.ok_or(OpenError::Locked)?;
        let mut scan = scan(&storage, now)?;
        let created = scan.meta.is_none();
        let meta = open_meta(&storage, &config, &mut scan)?;
        let cursors = open_cursors(&storage, &meta.slot, &mut scan)?;
        let checkpoint = scan.newest_checkpoint(&storage)?;
        let marks = PerLane::from_fn(|lane| cursors.highest_mark(meta.slot.epoch, lane));
        let mut replay = Replay::new(checkpoint, marks, std::mem::take(&mut scan.unread));
        replay.run(&storage, &scan.segments, meta.slot.newest)?;
        // A process that was killed between a rename and the sync of the directory leaves a name that everybody
        // sees and a power cut takes away. What is built on it must wait until the name is durable.
        storage.sync_directory().map_err(OpenError::io("sync", "the journal's directory"))?;
        let journal = assemble(storage, held, &config, &scan, &mut replay, meta, cursors)?;
        let recovery = journal.complete(scan, replay, created, now)?;
        Ok((journal, recovery))
    }
}

/// Checks whose journal it is, and writes `meta` where it is missing or says more than holds (cases G, J, K).
fn open_meta<S: Storage>(storage: &S, config: &JournalConfig, scan: &mut Scan) -> Result<Meta<S::File>, OpenError> {
    let fresh = || MetaSlot {
        revision: 0,
        epoch: config.fresh_epoch,
        coming: None,
        predecessors: Vec::new(),
        newest: PerLane::default(),
        gateway_id: config.gateway_id.as_str().to_owned(),
    };
    let slot = scan.meta.clone().unwrap_or_else(fresh);
    if slot.gateway_id != config.gateway_id.as_str() {
        let configured = config.gateway_id.as_str().to_owned();
        return Err(OpenError::ForeignGateway { configured, found: slot.gateway_id });
    }
    let failed = || OpenError::io("write", FileName::META);
    let unopenable = || storage.open_read_only(FileName::META).is_err_and(|error| is_unreadable(&error));
    if (scan.meta.is_none() || scan.meta_rebuilt) && unopenable() {
        storage.remove(FileName::META).map_err(OpenError::io("remove", FileName::META))?;
    }
    let mut meta = Meta::open(storage, slot.clone()).map_err(failed())?;
    if scan.meta.is_none() || scan.meta_rebuilt || slot.coming.is_some() {
        // Segments of an epoch that was being begun go before `meta` forgets it.
        for name in scan.discarded.drain(..) {
            storage.remove(&name.to_string()).map_err(OpenError::io("remove", name))?;
        }
        storage.sync_directory().map_err(failed())?;
        meta.write(MetaSlot { coming: None, ..slot }).map_err(failed())?;
        storage.sync_directory().map_err(failed())?;
    }
    Ok(meta)
}

fn open_cursors<S: Storage>(storage: &S, meta: &MetaSlot, scan: &mut Scan) -> Result<CursorTable<S::File>, OpenError> {
    let found = CursorTable::open(storage, &mut scan.unread).map_err(|(error, version)| match version {
        Some(version) => OpenError::LaterVersion { name: FileName::CURSORS.to_owned(), version },
        None => OpenError::io("open", FileName::CURSORS)(error),
    })?;
    if found.damaged_count > 0 {
        let count = found.damaged_count;
        scan.find('L', format!("up to {count} cursors are damaged; they start again at the oldest record"));
    }
    let mut table = found.table;
    table.begin_epoch(meta.epoch);
    Ok(table)
}

/// Puts the parts together, as they stood on disk.
fn assemble<S: Storage>(
    storage: S,
    held: S::Lock,
    config: &JournalConfig,
    scan: &Scan,
    replay: &mut Replay,
    meta: Meta<S::File>,
    cursors: CursorTable<S::File>,
) -> Result<Journal<S>, OpenError> {
    let lanes = PerLane {
        results: lane_writer(&storage, scan, replay, Lane::Results)?,
        telemetry: lane_writer(&storage, scan, replay, Lane::Telemetry)?,
    };
    let writer = Writer {
        lanes,
        next_generation: scan.next_generation,
        session: replay.session + 1,
        durable: replay.mark,
        proven: replay.mark,
        unsynced: PerLane::default(),
        carries: PerLane::default(),
        halted: None,
        scratch: Vec::new(),
        trimmed_keys: 0,
    };
    let catalog = Catalog {
        segments: PerLane::from_fn(|lane| scan.segments[lane].iter().map(|found| found.entry.clone()).collect()),
        skips: std::mem::take(&mut replay.skips),
    };
    let mut stage = Stage::new(config, meta.slot.epoch, replay.mark, replay.sources.clone());
    stage.remember_losses(std::mem::take(&mut replay.losses).into_values());
    replay.tail_gaps.drain(..).for_each(|(sequence, gap, state)| stage.note_gap(gap, state, sequence));
    replay.tail_holes.iter().for_each(|hole| stage.note_hole(*hole));
    Ok(Journal {
        inner: Arc::new(Inner {
            geometry: config.geometry(),
            keep: PerLane { results: config.results.keep, telemetry: config.telemetry.keep },
            housekeeping: Mutex::new(()),
            writer: Mutex::new(writer),
            catalog: RwLock::new(catalog),
            stage: Mutex::new(stage),
            cursors: Mutex::new(cursors),
            spares: Mutex::new(Spares { next_number: scan.next_spare, ..Spares::default() }),
            meta: Mutex::new(meta),
            watermarks: PerLane::from_fn(|lane| AtomicU64::new(replay.mark[lane].0)),
            in_reserve: AtomicBool::new(false),
            listener: RwLock::new(None),
            storage: Arc::new(storage),
            held: Some(held),
        }),
    })
}

/// Goes on in the newest segment if all of it is sound; otherwise in none, so that a new one is begun (cases B and D).
fn lane_writer<S: Storage>(
    storage: &S,
    scan: &Scan,
    replay: &Replay,
    lane: Lane,
) -> Result<LaneWriter<S::File>, OpenError> {
    let newest = scan.segments[lane].last();
    let name = newest.map_or(FileName::META.to_owned(), |found| found.entry.name().to_string());
    let file = storage.open(&name).map_err(OpenError::io("open", &name))?;
    let end = replay.ends[lane].as_ref();
    let lost = replay.lost_newest[lane];
    let sound = newest.zip(end).filter(|(found, end)| {
        lost.is_none()
            && found.header.is_some()
            && end.torn_bytes == 0
            && !end.damaged
            && found.entry.first <= replay.mark[lane].next()
    });
    // The next one names a lost one as the one before it, so that what lies between is missed also later.
    let generation = lost.map_or(newest.map_or(0, |found| found.entry.generation), |note| note.generation);
    let checksum = newest.map_or(Checksum::plain(), |found| found.entry.checksum());
    if replay.unread_end[lane] {
        // What counts as durable now may be in the cache only.
        file.sync_data().map_err(OpenError::io("sync", &name))?;
    }
    Ok(match sound {
        Some((found, end)) => LaneWriter { file, generation, checksum, size: found.size, offset: end.offset },
        // No room: the first commit begins a new segment.
        None => LaneWriter { file, generation, checksum, size: 0, offset: 0 },
    })
}

impl<S: Storage> Journal<S> {
    /// Writes down what recovery decided: files, segments, quarantined ranges, kept records, holes.
    fn complete(&self, mut scan: Scan, replay: Replay, created: bool, now: Duration) -> Result<Recovery, OpenError> {
        self.sort_files(&mut scan)?;
        if created {
            self.housekeep(now).map_err(|error| OpenError::io("write", "the reserve")(std::io::Error::other(error)))?;
        }
        let holes = replay.ordinal_holes();
        let kept = self.stage_kept(&replay, &holes);
        let mut lanes = PerLane::<LaneRecovery>::default();
        for lane in Lane::ALL {
            lanes[lane] = self.look_over(lane, &replay, &mut scan);
        }
        let skips = PerLane::from_fn(|lane| self.skips_of_quarantined(lane, &lanes[lane].quarantined, &replay));
        self.write_down(kept, skips, now)?;
        lock(&self.inner.stage).close_losses();
        self.commit_all(now)?;
        self.update_room(&lock(&self.inner.writer));
        for lane in Lane::ALL {
            lanes[lane].first_retained = self.first_retained(lane);
            lanes[lane].last_durable = self.watermarks()[lane];
        }
        let mut findings = scan.findings;
        findings.extend(replay.findings);
        if findings.is_empty() {
            findings.push(Finding { case: 'A', text: "everything is as it was left".to_owned() });
        }
        Ok(Recovery { created, epoch: self.epoch(), lanes, declared_holes: holes, findings })
    }

    /// Stages what recovery kept and what declares holes; the records that are to be written first in each lane.
    ///
    /// Where lost records may have ordinals that nothing else tells of, results go on in a new segment: with its name
    /// the declarations become durable together with the checkpoint that sees no loss any longer, and before
    /// telemetry has a skip record for its part.
    fn stage_kept(&self, replay: &Replay, holes: &[OrdinalHole]) -> PerLane<Batch> {
        let mut kept = replay.tails.clone();
        let mut writer = lock(&self.inner.writer);
        let mut stage = lock(&self.inner.stage);
        for lane in Lane::ALL {
            if !kept[lane].is_empty() {
                stage.adopt(lane, &kept[lane]);
            }
        }
        stage.declare_holes(holes, replay.has_lost());
        if holes.iter().any(|hole| hole.count.is_none()) {
            writer.lanes.results.leave();
            stage.take_behind(Lane::Results, &mut kept.results);
        }
        kept
    }

    /// Removes what a crash left unfinished, and takes stock of spares.
    fn sort_files(&self, scan: &mut Scan) -> Result<(), OpenError> {
        let storage = &*self.inner.storage;
        for name in scan.unfinished.drain(..) {
            storage.remove(&name.to_string()).map_err(OpenError::io("remove", name))?;
        }
        for name in scan.spares.drain(..) {
            let fits = match storage.open(&name.to_string()) {
                Err(error) if is_unreadable(&error) => false,
                file => {
                    let size = file.map_err(OpenError::io("open", name))?.size();
                    size.map_err(OpenError::io("read", name))? == self.inner.geometry.segment_bytes
                }
            };
            if fits {
                lock(&self.inner.spares).ready.push(name);
            } else {
                storage.remove(&name.to_string()).map_err(OpenError::io("remove", name))?;
            }
        }
        for name in scan.discarded.drain(..) {
            self.recycle(name).map_err(OpenError::io("retire", name))?;
        }
        Ok(())
    }

    fn look_over(&self, lane: Lane, replay: &Replay, scan: &mut Scan) -> LaneRecovery {
        let mut recovery = LaneRecovery::default();
        // What may have been durable is quarantined, and not cut.
        let end = replay.ends[lane].as_ref().filter(|_| !replay.unread_end[lane]);
        recovery.torn_bytes = end.map_or(0, |end| end.torn_bytes);
        if recovery.torn_bytes > 0 {
            scan.find(
                'B',
                format!("the {} lane ends in {} torn bytes; they are cut off", lane.name(), recovery.torn_bytes),
            );
        }
        recovery.rewritten_count = replay.tails[lane].records.len() as u64;
        recovery.last_found = replay.mark[lane].plus(recovery.rewritten_count);
        recovery.quarantined.clone_from(&replay.missing[lane]);
        if let Some(range) = self.missing_front(lane) {
            scan.find('E', format!("the {} lane starts at {}, past an undelivered range", lane.name(), range.1.next()));
            recovery.quarantined.insert(0, range);
        }
        for (first, last) in &recovery.quarantined {
            scan.find('C', format!("{} {first} to {last} cannot be read; they are quarantined", lane.name()));
        }
        if recovery.quarantined.iter().any(|(first, _)| *first <= replay.checkpointed[lane]) {
            // Behind the checkpoint only what is sound was learned; up to it, it cannot be told what is lost.
            lock(&self.inner.stage).forget_identities();
        }
        recovery
    }

    fn skips_of_quarantined(&self, lane: Lane, ranges: &[(Sequence, Sequence)], replay: &Replay) -> Vec<Skip> {
        let mut skips = Vec::new();
        for &range in ranges {
            let mut loss = RangeLoss::of(GapCause::Quarantined);
            if range.1 == replay.mark[lane] {
                let doubt = match (replay.lost_newest[lane], replay.unread_end[lane]) {
                    (Some(_), _) => Some("the newest segment is missing, which may have held them"),
                    (None, true) => Some("the disk cannot read where they may have stood"),
                    (None, false) => None,
                };
                loss.is_full = doubt.is_none();
                loss.reason = doubt.map_or(loss.reason, str::to_owned);
            }
            skips.extend(self.skips_of(lane, range, &loss));
        }
        skips
    }

    fn write_down(&self, kept: PerLane<Batch>, skips: PerLane<Vec<Skip>>, now: Duration) -> Result<(), OpenError> {
        let mut writer = lock(&self.inner.writer);
        if Lane::ALL.into_iter().any(|lane| writer.lanes[lane].is_left()) {
            // The checkpoint of a new segment, which calls both lanes durable, names them already; where there is no space for
            // it, that of the next will.
            for lane in Lane::ALL {
                skips[lane].iter().for_each(|skip| self.add_skip(lane, skip.clone()));
            }
        }
        let PerLane { results, telemetry } = kept;
        for (lane, kept) in [(Lane::Results, results), (Lane::Telemetry, telemetry)] {
            writer.carries[lane] = !kept.is_empty();
            writer.unsynced[lane] = Some(kept).filter(|kept| !kept.is_empty());
            match self.write_lane(&mut writer, lane, &skips[lane], now) {
                // With no space to say so, the range is found and declared at the next opening.
                Ok(()) | Err(WriteFailure::NoSpace(_)) => {}
                Err(failure) => return Err(self.fail(&mut writer, failure).into()),
            }
        }
        Ok(())
    }

    fn write_lane(
        &self,
        writer: &mut Writer<S::File>,
        lane: Lane,
        skips: &[Skip],
        now: Duration,
    ) -> Result<(), WriteFailure> {
        if writer.lanes[lane].is_left() {
            self.rotate(writer, lane, now)?;
        }
        for skip in skips {
            if writer.lanes[lane].margin() < SEGMENT_MARGIN_BYTES / 2 {
                self.rotate(writer, lane, now)?;
            }
            self.put_skip(writer, lane, skip.clone())?;
        }
        Ok(())
    }

    /// Case E at the front: records that a required cursor has not passed, and that are not there.
    fn missing_front(&self, lane: Lane) -> Option<(Sequence, Sequence)> {
        let passed = lock(&self.inner.cursors).lowest_required(lane)?;
        let catalog = self.inner.catalog.read().expect("no thread panics while it holds the catalog");
        let first_retained = catalog.first_retained(lane);
        let missing = catalog.unskipped(lane, passed.next(), first_retained.previous());
        Some((missing.first()?.0, missing.last()?.1))
    }

    /// Commits until nothing waits; a full disk leaves the rest in memory.
    fn commit_all(&self, now: Duration) -> Result<(), OpenError> {
        self.update_room(&lock(&self.inner.writer));
        while self.has_waiting() || self.wants_commit(now) == CommitDue::Now {
            match self.commit(now) {
                Ok(_) => {}
                Err(CommitError::NoSpace { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
