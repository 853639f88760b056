//! One commit after another: what is staged becomes durable, and whoever waits for it is told.

use std::{sync::atomic::Ordering, time::Duration};

use venue_schema::v1::Lane;

use super::{WriteFailure, Writer};
use crate::{
    Journal,
    config::{MAX_TELEMETRY_COMMIT_BYTES, SEGMENT_MARGIN_BYTES},
    format::RecordHeader,
    journal::lock,
    stage::{Batch, CommitDue},
    storage::Storage,
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
    /// The lane's quota, its reserve, or the file system is full, or what is remembered of all sources fills a segment, which
    /// is an eighth of the smaller quota at most. What was staged stays in memory.
    #[error("no space for another segment of the {} lane; free the disk, reach the centre or raise its quota", .lane.name())]
    NoSpace {
        /// The lane.
        lane: Lane,
    },
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
        writer.check_running()?;
        let results = self.commit_lane(&mut writer, Lane::Results, usize::MAX, now);
        let telemetry = match &results {
            Err(WriteFailure::Failed(..)) => Ok(0),
            _ => self.commit_lane(&mut writer, Lane::Telemetry, MAX_TELEMETRY_COMMIT_BYTES, now),
        };
        // A lane without space is idle, too: what is durable in it must be proven all the same.
        let idle = |lane: &Result<u64, WriteFailure>| matches!(lane, Ok(0) | Err(WriteFailure::NoSpace(_)));
        let closed = match idle(&results) && idle(&telemetry) {
            true => self.close_if_idle(&mut writer, now),
            false => Ok(()),
        };
        self.update_room(&writer);
        let outcomes = (results, telemetry, closed);
        let (Ok(results_count), Ok(telemetry_count), Ok(())) = outcomes else {
            let failures = [outcomes.0.err(), outcomes.1.err(), outcomes.2.err()];
            // A failed disk halts the journal, whichever lane found no space before.
            let worst =
                failures.into_iter().flatten().min_by_key(|failure| matches!(failure, WriteFailure::NoSpace(_)));
            return Err(self.fail(&mut writer, worst.expect("one of them failed")));
        };
        Ok(Committed { results_count, telemetry_count, next: self.wants_commit(now) })
    }

    /// Ends what is still being counted as lost, and writes closing commits now, so that the last commit of each lane is
    /// proven, and then marks of cursors: part of an orderly stop. A lane without space keeps nothing else from that.
    ///
    /// # Errors
    /// [`CommitError`]. With [`CommitError::NoSpace`] all is done but what found no space.
    pub fn close(&self, now: Duration) -> Result<(), CommitError> {
        lock(&self.inner.stage).end_losses();
        let mut outcome = Ok(());
        let waits = |any: bool| lock(&self.inner.stage).lanes_waiting().any(|lane| any || !lane.no_space);
        while waits(outcome.is_ok()) {
            match self.commit(now) {
                Err(full @ CommitError::NoSpace { .. }) => outcome = Err(full),
                committed => drop(committed?),
            }
        }
        let closed = {
            let mut writer = lock(&self.inner.writer);
            writer.check_running()?;
            self.put_closing_commit(&mut writer, now).map_err(|failure| self.fail(&mut writer, failure))
        };
        self.sync_cursors_now(now).map_err(|error| CommitError::Halted { reason: format!("cursors: {error}") })?;
        closed.and(outcome)
    }

    pub(crate) fn has_waiting(&self) -> bool {
        lock(&self.inner.stage).has_waiting()
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
        writer.carries[lane] = false;
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
            let mut nothing = Batch::starting_at(batch.first);
            let carried = if writer.carries[lane] { batch } else { &mut nothing };
            return self.rotate_with(writer, lane, carried, now);
        }
        writer.put_commit(lane, batch.first, count, &batch.bytes[..bytes])?;
        let durable = if count == batch.records.len() {
            let rest = Batch::starting_at(batch.first.plus(count as u64));
            std::mem::replace(batch, rest)
        } else {
            batch.split_front(count, bytes)
        };
        self.publish(writer, lane, &durable, now);
        lock(&self.inner.stage).keep_room(lane, durable);
        Ok(count as u64)
    }

    /// Takes in that a batch is durable, and tells those who wait for it.
    pub(super) fn publish(&self, writer: &mut Writer<S::File>, lane: Lane, batch: &Batch, now: Duration) {
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
        {
            let mut stage = lock(&self.inner.stage);
            if !stage.times.unproven || now < stage.times.last + crate::stage::CLOSING_COMMIT_DELAY {
                return Ok(());
            }
            // If it finds no space either, it is not due again at once.
            stage.times.last = now;
        }
        self.put_closing_commit(writer, now)
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
}
