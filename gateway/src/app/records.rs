//! One lane of the journal, as one uplink sees it: records out, marks in. Sans-io
//! but for the journal's storage: `now` is a parameter.

use std::time::Duration;

use venue_delivery::{
    Mark,
    sender::{Read, ReadFault, ReadLimits, RecordSource},
};
use venue_journal::{Cursor, CursorError, Journal, Limits, ReadError, ReadItem, Reader, Storage};
use venue_schema::{Sequence, v1::Lane};

/// A lane with its reader and its cursor.
pub struct LaneRecords<S: Storage> {
    journal: Journal<S>,
    reader: Reader<S>,
    cursor: Cursor<S>,
}

impl<S: Storage> LaneRecords<S> {
    /// The lane of a cursor.
    pub fn new(journal: Journal<S>, cursor: Cursor<S>) -> Self {
        let reader = journal.reader(cursor.lane());
        Self { journal, reader, cursor }
    }

    /// The lane.
    pub fn lane(&self) -> Lane {
        self.cursor.lane()
    }

    /// How far the receiver is known to be.
    pub fn mark(&self) -> Mark {
        let (sequence, digest) = self.cursor.mark();
        Mark { sequence, digest }
    }

    /// The records as a sender reads them at `now`.
    pub fn at(&mut self, now: Duration) -> RecordsAt<'_, S> {
        RecordsAt { records: self, now }
    }

    /// First sequence that is still stored.
    pub fn first_retained(&self) -> Sequence {
        self.journal.first_retained(self.lane())
    }

    /// Everything up to the mark is at the receiver.
    pub fn advance(&self, mark: Mark) {
        // After a reset that could not be written down the cursor stands ahead.
        if mark.sequence > self.cursor.mark().0 {
            self.cursor.advance(mark.sequence, mark.digest);
        }
    }

    /// The receiver forgot: the cursor goes back to `mark`, and what is no longer
    /// stored from there on is declared lost. Says how many sequences that are.
    ///
    /// # Errors
    /// If the declaration cannot be made durable.
    pub fn reset(&self, mark: Mark) -> Result<u64, venue_journal::CommitError> {
        self.journal.receiver_reset(&self.cursor, mark.sequence, mark.digest)
    }

    /// Keeps the receiver's name.
    ///
    /// # Errors
    /// If the cursor is another receiver's, or the name cannot be kept.
    pub fn pin(&self, receiver_id: &str) -> Result<(), CursorError> {
        self.cursor.pin_receiver(receiver_id)
    }

    /// Reads what stands at a place; damage there is set aside and declared first.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn read(&mut self, from: Sequence, limits: ReadLimits, now: Duration) -> Result<Read, ReadFault> {
        let fault = |message: String| ReadFault { at: from, message };
        let limits = Limits { records: limits.records, bytes: limits.bytes };
        match self.read_once(from, limits) {
            Err(ReadError::Damaged { first, last, .. }) => {
                tracing::error!(lane = self.lane().name(), %first, %last, "records are damaged on disk and are set aside");
                let declared = self.journal.declare_quarantined(self.lane(), first, last, now);
                declared.map_err(|error| fault(error.to_string()))?;
                self.read_once(from, limits).map_err(|error| fault(error.to_string()))
            }
            read => read.map_err(|error| fault(error.to_string())),
        }
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

/// [`LaneRecords`] at a moment.
pub struct RecordsAt<'a, S: Storage> {
    records: &'a mut LaneRecords<S>,
    now: Duration,
}

impl<S: Storage> RecordSource for RecordsAt<'_, S> {
    fn first_retained(&self) -> Sequence {
        self.records.first_retained()
    }

    fn read(&mut self, from: Sequence, limits: ReadLimits) -> Result<Read, ReadFault> {
        self.records.read(from, limits, self.now)
    }
}
