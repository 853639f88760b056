//! Joins a lane of an uplink to the journal: records out, marks in.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use venue_delivery::{
    Mark,
    sender::{Read, ReadFault, ReadLimits, RecordSource, Status},
};
use venue_journal::{Cursor, Journal, Limits, ReadError, ReadItem, Reader, Storage};
use venue_schema::{Sequence, v1::Lane};

use crate::{clock::SystemClock, uplink::LaneHost};

/// State of a lane's uplink, as status reads it.
pub(super) type SharedLink = Arc<Mutex<Option<Status>>>;

/// One lane of the journal, as one uplink sees it.
pub(super) struct JournalLane<S: Storage> {
    journal: Journal<S>,
    reader: Reader<S>,
    cursor: Cursor<S>,
    clock: Arc<SystemClock>,
    link: SharedLink,
    /// Tells the telemetry lane whether results wait; on the results lane alone.
    backlog: Option<watch::Sender<bool>>,
    epoch_ended: watch::Sender<bool>,
}

impl<S: Storage> JournalLane<S> {
    /// Joins a cursor of the journal to a lane of an uplink.
    pub(super) fn new(
        journal: Journal<S>,
        cursor: Cursor<S>,
        clock: Arc<SystemClock>,
        link: SharedLink,
        backlog: Option<watch::Sender<bool>>,
        epoch_ended: watch::Sender<bool>,
    ) -> Self {
        let reader = journal.reader(cursor.lane());
        Self { journal, reader, cursor, clock, link, backlog, epoch_ended }
    }

    fn lane(&self) -> Lane {
        self.cursor.lane()
    }

    /// Sets the cursor back; what is no longer stored from there on is declared.
    fn reset(&self, mark: Mark) {
        match self.journal.receiver_reset(&self.cursor, mark.sequence, mark.digest) {
            Ok(0) => {}
            Ok(lost) => tracing::error!(lane = self.lane().name(), lost, "a loss record stands for what is gone"),
            Err(error) => tracing::error!(%error, "the cursor could not be set back"),
        }
    }

    /// Sets damaged records aside and reads what then stands in their place.
    fn quarantine(
        &mut self,
        from: Sequence,
        limits: Limits,
        first: Sequence,
        last: Sequence,
    ) -> Result<Read, ReadFault> {
        tracing::error!(lane = self.lane().name(), %first, %last, "records are damaged on disk and are set aside");
        let declared = self.journal.declare_quarantined(self.lane(), first, last, self.clock.monotonic());
        declared.map_err(|error| ReadFault { at: from, message: error.to_string() })?;
        self.read_once(from, limits).map_err(|error| ReadFault { at: from, message: error.to_string() })
    }

    fn read_once(&mut self, from: Sequence, limits: Limits) -> Result<Read, ReadError> {
        match self.reader.read(from, limits) {
            Ok(ReadItem::Records(run)) => {
                Ok(Read::Records { first_sequence: run.first_sequence, count: run.count, elements: run.elements })
            }
            Ok(ReadItem::Skipped { first, last, gap_event }) => Ok(Read::Skipped { first, last, gap_event }),
            Ok(ReadItem::End) => Ok(Read::End),
            Err(ReadError::NotRetained { first_retained, .. }) => Ok(Read::NotRetained { first_retained }),
            Err(error) => Err(error),
        }
    }
}

impl<S: Storage> RecordSource for JournalLane<S> {
    fn first_retained(&self) -> Sequence {
        self.journal.first_retained(self.lane())
    }

    fn read(&mut self, from: Sequence, limits: ReadLimits) -> Result<Read, ReadFault> {
        let limits = Limits { records: limits.records, bytes: limits.bytes };
        match self.read_once(from, limits) {
            Ok(read) => Ok(read),
            Err(ReadError::Damaged { first, last, .. }) => self.quarantine(from, limits, first, last),
            Err(error) => Err(ReadFault { at: from, message: error.to_string() }),
        }
    }
}

impl<S: Storage> LaneHost for JournalLane<S> {
    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn advance(&mut self, mark: Mark) {
        if mark.sequence > self.cursor.mark().0 {
            self.cursor.advance(mark.sequence, mark.digest);
        }
    }

    fn rewind(&mut self, from: Sequence, mark: Mark) {
        tracing::error!(
            lane = self.lane().name(), had = %from, has = %mark.sequence,
            "the centre forgot what it had acknowledged; it is sent again"
        );
        self.reset(mark);
    }

    fn pin(&mut self, receiver_id: &str) {
        if let Err(error) = self.cursor.pin_receiver(receiver_id) {
            tracing::error!(%error, receiver_id, "the receiver's name could not be kept");
        }
    }

    fn declare_reset(&mut self, first: Sequence, last: Sequence) {
        tracing::error!(
            lane = self.lane().name(), %first, %last,
            "the centre asks for records that are no longer stored here; a loss record stands in their place"
        );
        let (sequence, digest) = self.cursor.mark();
        self.reset(Mark { sequence, digest });
    }

    fn new_epoch(&mut self, receiver_mark: Sequence) {
        tracing::error!(
            lane = self.lane().name(), %receiver_mark,
            "the centre holds more than this journal: a new journal epoch begins"
        );
        self.epoch_ended.send_replace(true);
    }

    fn publish(&mut self, status: Status) {
        if let Some(backlog) = &self.backlog {
            let waiting = status.backlog() > 0;
            backlog.send_if_modified(|known| std::mem::replace(known, waiting) != waiting);
        }
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }
}
