//! Beginning a new epoch: everything not yet delivered is appended again, under new numbers.
//!
//! The new epoch is written beside the old one, and `meta` names it as *coming* until all of it is durable; a crash
//! before that undoes it, a crash after it only leaves old segments to be dropped. Meanwhile
//! appends wait, and the disk holds the backlog twice.

use std::{
    ops::ControlFlow,
    sync::{
        Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use prost::Message;
use venue_schema::{
    JournalEpoch, Sequence,
    v1::{self, GapCause, Lane},
};

use crate::{
    Journal, PerLane,
    catalog::{Catalog, SegmentEntry},
    config::{Geometry, MAX_STAGED_RESULTS_BYTES},
    cursor::CursorTable,
    format::{Checksum, FileName, MetaSlot, RecordHeader},
    gap::{GATEWAY_SOURCE, RangeLoss},
    identity::SourceKnowledge,
    journal::{Inner, lock},
    stage::{Stage, origin_of},
    storage::Storage,
    visit::{Visited, visit},
    writer::{CommitError, LaneWriter, WriteFailure, Writer},
};

/// What beginning an epoch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochChange {
    /// The epoch before.
    pub predecessor: JournalEpoch,
    /// Events that were appended again, in each lane.
    pub appended_again: PerLane<u64>,
}

impl<S: Storage> Journal<S> {
    /// Begins a new epoch, named by 16 bytes that the caller draws at random. All that lies past the lowest mark of a
    /// required cursor is appended again under it; cursors start at its beginning. Readers start again too.
    ///
    /// # Errors
    /// [`CommitError`]: the old epoch then goes on as if nothing had been tried. After a failure of the disk
    /// in the last step the journal is halted, and opening it anew settles which epoch counts.
    pub fn new_epoch(&self, epoch: JournalEpoch, now: Duration) -> Result<EpochChange, CommitError> {
        while self.has_waiting() {
            self.commit(now)?;
        }
        self.switch_to(epoch, now)
    }

    /// Begins an epoch where nothing waits.
    fn switch_to(&self, epoch: JournalEpoch, now: Duration) -> Result<EpochChange, CommitError> {
        let _alone = lock(&self.inner.housekeeping);
        let mut writer = lock(&self.inner.writer);
        let mut stage = lock(&self.inner.stage);
        if stage.halted || stage.has_waiting() {
            return Err(CommitError::Halted {
                reason: "events were appended while a new epoch was begun; try again".to_owned(),
            });
        }
        let predecessor = stage.epoch;
        let old = lock(&self.inner.meta).slot.clone();
        self.write_meta(MetaSlot { coming: Some(epoch), ..old.clone() })?;
        let coming = self.beside(&writer, &stage, epoch)?;
        let copied = coming.begin(now).and_then(|()| self.copy_into(&coming, now));
        let appended_again = match copied {
            Ok(count) => count,
            Err(error) => {
                coming.withdraw();
                self.take_spares_back(&coming);
                self.write_meta(old)?;
                return Err(error);
            }
        };
        let mut predecessors = vec![predecessor];
        predecessors.extend(&old.predecessors);
        let newest = coming.newest_segments();
        let switched = self.write_meta(MetaSlot { epoch, coming: None, predecessors, newest, ..old });
        switched.inspect_err(|error| {
            writer.halted = Some(error.to_string());
            stage.halted = true;
        })?;
        let old_segments = self.become_like(&coming, &mut writer, &mut stage);
        lock(&self.inner.cursors).begin_epoch(epoch);
        self.take_spares_back(&coming);
        drop((writer, stage));
        self.settle(&old_segments, now)?;
        Ok(EpochChange { predecessor, appended_again })
    }

    fn write_meta(&self, slot: MetaSlot) -> Result<(), CommitError> {
        let mut meta = lock(&self.inner.meta);
        meta.write(slot).map_err(|error| CommitError::Halted { reason: format!("failed to write meta: {error}") })
    }

    /// An empty journal in the same directory, that knows what this one knows.
    fn beside(&self, writer: &Writer<S::File>, stage: &Stage, epoch: JournalEpoch) -> Result<Self, CommitError> {
        let inner = &self.inner;
        let failed = |error: std::io::Error| CommitError::Halted { reason: format!("failed to open meta: {error}") };
        let open = || inner.storage.open(FileName::META).map_err(failed);
        let no_segment = |file| LaneWriter { file, generation: 0, checksum: Checksum::plain(), size: 0, offset: 0 };
        let known = stage.known.iter().map(SourceKnowledge::for_new_epoch).collect();
        let meta = crate::meta::Meta::open(&*inner.storage, lock(&inner.meta).slot.clone()).map_err(failed)?;
        // The old marks count other sequences: nothing of the new epoch is delivered, whatever they say.
        let cursors = CursorTable::empty(open()?);
        // The reserve may be full of what is copied, so that none of it is left for the copies: they get as much once more.
        let results_segments = inner.geometry.results_segments + inner.geometry.reserve_segments;
        let spares = std::mem::take(&mut *lock(&inner.spares));
        Ok(Self {
            inner: std::sync::Arc::new(Inner {
                storage: inner.storage.clone(),
                geometry: Geometry { results_segments, ..inner.geometry },
                keep: inner.keep,
                housekeeping: Mutex::new(()),
                writer: Mutex::new(Writer {
                    lanes: PerLane { results: no_segment(open()?), telemetry: no_segment(open()?) },
                    next_generation: writer.next_generation,
                    session: writer.session,
                    durable: PerLane::default(),
                    proven: PerLane::default(),
                    unsynced: PerLane::default(),
                    carries: PerLane::default(),
                    halted: None,
                    scratch: Vec::new(),
                    trimmed_keys: 0,
                }),
                catalog: RwLock::new(Catalog::default()),
                stage: Mutex::new(stage.beside(epoch, known)),
                cursors: Mutex::new(cursors),
                spares: Mutex::new(spares),
                meta: Mutex::new(meta),
                watermarks: PerLane::from_fn(|_| AtomicU64::new(0)),
                in_reserve: AtomicBool::new(false),
                listener: RwLock::new(None),
                held: None,
            }),
        })
    }

    /// Begins a segment in each lane, so that what is known stands in a checkpoint.
    fn begin(&self, now: Duration) -> Result<(), CommitError> {
        let mut writer = lock(&self.inner.writer);
        for lane in Lane::ALL {
            self.rotate(&mut writer, lane, now).map_err(|failure| self.fail(&mut writer, failure))?;
        }
        Ok(())
    }

    /// Appends everything past the lowest required mark to another journal.
    fn copy_into(&self, coming: &Self, now: Duration) -> Result<PerLane<u64>, CommitError> {
        let mut count = PerLane::<u64>::default();
        let mut damaged = false;
        for lane in Lane::ALL {
            let (segments, skips) = {
                let catalog = self.inner.catalog.read().expect("no thread panics while it holds the catalog");
                (catalog.segments[lane].clone(), catalog.skips[lane].clone())
            };
            let (from, to) = (self.passed(lane).next(), self.watermarks()[lane]);
            let mut outcome = Ok(());
            visit(&*self.inner.storage, &segments, &skips, from, to, |visited| {
                count[lane] += 1;
                damaged |= matches!(visited, Visited::Damaged { .. });
                outcome = coming.append_again(lane, &visited, now);
                if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .map_err(|error| CommitError::Halted {
                reason: format!("failed to read the {} lane: {error}", lane.name()),
            })?;
            outcome?;
        }
        while coming.has_waiting() {
            coming.commit(now)?;
        }
        if damaged {
            // The checkpoints it began with call identities stored that are lost.
            coming.begin(now)?;
        }
        Ok(count)
    }

    /// Appends an element of another epoch; a range that is missing there becomes a gap event here.
    fn append_again(&self, lane: Lane, visited: &Visited<'_>, now: Duration) -> Result<(), CommitError> {
        {
            let mut stage = lock(&self.inner.stage);
            match visited {
                Visited::Record { header, event } => stage.append_copy(lane, header, event),
                Visited::Skip(skip) => stage.append_foreign_gap(lane, &skip.gap_event),
                Visited::Damaged { first, last } => {
                    stage.forget_identities();
                    let skip =
                        stage.author.skip(stage.epoch, lane, (*first, *last), &RangeLoss::of(GapCause::Quarantined));
                    stage.append_foreign_gap(lane, &skip.gap_event);
                }
            }
            if stage.lanes[lane].staged_bytes < MAX_STAGED_RESULTS_BYTES / 2 {
                return Ok(());
            }
        }
        self.commit(now).map(|_| ())
    }

    /// Takes over what another journal has become; says which segments are of no use any longer.
    fn become_like(&self, coming: &Self, writer: &mut Writer<S::File>, stage: &mut Stage) -> Vec<SegmentEntry> {
        std::mem::swap(writer, &mut lock(&coming.inner.writer));
        std::mem::swap(stage, &mut lock(&coming.inner.stage));
        let mut catalog = self.inner.catalog.write().expect("no thread panics while it holds the catalog");
        let old = std::mem::replace(
            &mut *catalog,
            std::mem::take(&mut *coming.inner.catalog.write().expect("no thread panics while it holds the catalog")),
        );
        for lane in Lane::ALL {
            let durable = coming.inner.watermarks[lane].load(Ordering::Acquire);
            self.inner.watermarks[lane].store(durable, Ordering::Release);
        }
        let PerLane { results, telemetry } = old.segments;
        results.into_iter().chain(telemetry).collect()
    }

    fn take_spares_back(&self, coming: &Self) {
        *lock(&self.inner.spares) = std::mem::take(&mut *lock(&coming.inner.spares));
    }

    /// Removes the segments of an epoch that did not come about; what is left, opening drops.
    fn withdraw(&self) {
        let catalog =
            std::mem::take(&mut *self.inner.catalog.write().expect("no thread panics while it holds the catalog"));
        for entry in Lane::ALL.into_iter().flat_map(|lane| &catalog.segments[lane]) {
            let _ = self.recycle(entry.name());
        }
    }

    /// Writes down that cursors are at the new beginning, and lets the old segments go.
    fn settle(&self, old_segments: &[SegmentEntry], now: Duration) -> Result<(), CommitError> {
        let outcome = self.sync_cursors_now(now).map_err(WriteFailure::of("sync", FileName::CURSORS));
        // The other slot of `meta` still calls the epoch a coming one. Were this one lost, a start would drop all of it.
        let slot = lock(&self.inner.meta).slot.clone();
        let outcome = outcome
            .and_then(|()| lock(&self.inner.meta).write(slot).map_err(WriteFailure::of("write", FileName::META)));
        let outcome = outcome.and_then(|()| {
            old_segments
                .iter()
                .try_for_each(|entry| self.recycle(entry.name()).map_err(WriteFailure::of("retire", entry.name())))
        });
        let mut writer = lock(&self.inner.writer);
        self.update_room(&writer);
        self.tell_listener();
        outcome.map_err(|failure| self.fail(&mut writer, failure))
    }
}

impl Stage {
    /// An empty stage of another epoch with the same bounds.
    fn beside(&self, epoch: JournalEpoch, known: Vec<SourceKnowledge>) -> Self {
        let mut stage = self.empty(epoch, PerLane::default());
        for source in known {
            stage.add_source(source);
        }
        self.carry_losses_to(&mut stage);
        stage
    }

    /// Appends a record of another epoch, with its identity and receive times.
    fn append_copy(&mut self, lane: Lane, header: &RecordHeader, event: &[u8]) {
        let Some(origin) = origin_of(event, header.origin_bytes) else { return };
        let without_origin = &event[..event.len() - usize::from(header.origin_bytes)];
        self.append_unconditionally(lane, &origin.source, header, without_origin);
    }

    /// Appends the gap event of a range of another epoch; the range keeps saying which epoch it means.
    fn append_foreign_gap(&mut self, lane: Lane, gap_event: &[u8]) {
        let Ok(event) = v1::Event::decode(gap_event) else { return };
        let event = v1::Event { origin: None, ..event }.encode_to_vec();
        let header = RecordHeader {
            element_bytes: 0,
            sequence: Sequence::ZERO,
            kind: crate::format::RecordKind::Event,
            identity: None,
            origin_bytes: 0,
            receive_utc_ns: None,
            receive_monotonic_ns: 0,
            own: true,
        };
        self.append_unconditionally(lane, GATEWAY_SOURCE, &header, &event);
    }
}

#[cfg(test)]
mod tests {
    use venue_schema::GatewayId;

    use super::*;
    use crate::{Append, IdentityRef, JournalConfig, simulated::MemoryStorage};

    /// Between the last look whether something waits and the beginning of an epoch another thread takes a batch and finds no
    /// space for it. It is still there.
    #[test]
    fn a_batch_that_waits_for_space_is_not_left_behind() {
        let disk = MemoryStorage::new();
        let epoch = JournalEpoch::from_bytes([1; 16]);
        let mut config = JournalConfig::new(GatewayId::new("stade-1-a").unwrap(), "stade-1", epoch);
        config.segment_bytes = crate::MIN_SEGMENT_BYTES;
        config.results.reserve = crate::MIN_SEGMENT_BYTES;
        let (journal, _) = Journal::open(disk.clone(), config, Duration::ZERO).unwrap();
        let append = Append {
            lane: Lane::Results,
            source: journal.source("finish"),
            identity: IdentityRef::None,
            refusable: false,
            event: &[0; 100_000],
            receive_utc_ns: None,
            receive_monotonic_ns: 0,
        };
        let taken = 20;
        for _ in 0..taken {
            journal.append(append).unwrap();
        }
        disk.set_capacity(Some(disk.used_bytes()));
        assert!(matches!(journal.commit(Duration::ZERO), Err(CommitError::NoSpace { .. })));
        disk.set_capacity(None);
        journal.housekeep(Duration::ZERO).unwrap();
        assert!(journal.switch_to(JournalEpoch::from_bytes([2; 16]), Duration::ZERO).is_err());
        let change = journal.new_epoch(JournalEpoch::from_bytes([3; 16]), Duration::ZERO).unwrap();
        assert_eq!(change.appended_again.results, taken);
    }
}
