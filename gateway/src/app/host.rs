//! Joins a lane of an uplink to the journal, the clock and the status.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use venue_delivery::{
    Mark,
    sender::{Read, ReadFault, ReadLimits, RecordSource, Status},
};
use venue_journal::Storage;
use venue_schema::Sequence;

use super::records::LaneRecords;
use crate::{clock::SystemClock, uplink::LaneHost};

/// State of a lane's uplink, as status reads it.
pub(super) type SharedLink = Arc<Mutex<Option<Status>>>;

/// What a lane of an uplink needs of the gateway.
pub(super) struct JournalLane<S: Storage> {
    pub(super) records: LaneRecords<S>,
    pub(super) clock: Arc<SystemClock>,
    pub(super) link: SharedLink,
    /// Tells the telemetry lane whether results wait; on the results lane alone.
    pub(super) backlog: Option<watch::Sender<bool>>,
    pub(super) epoch_ended: watch::Sender<bool>,
}

impl<S: Storage> JournalLane<S> {
    fn reset(&self, mark: Mark) {
        let lane = self.records.lane().name();
        match self.records.reset(mark) {
            Ok(0) => {}
            Ok(lost) => tracing::error!(
                lane,
                lost,
                "records that the centre asks for are no longer stored; a loss record stands for them"
            ),
            Err(error) => tracing::error!(lane, %error, "the cursor could not be set back"),
        }
    }
}

impl<S: Storage> RecordSource for JournalLane<S> {
    fn first_retained(&self) -> Sequence {
        self.records.first_retained()
    }

    fn read(&mut self, from: Sequence, limits: ReadLimits) -> Result<Read, ReadFault> {
        self.records.read(from, limits, self.clock.monotonic())
    }
}

impl<S: Storage> LaneHost for JournalLane<S> {
    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn advance(&mut self, mark: Mark) {
        self.records.advance(mark);
    }

    fn rewind(&mut self, from: Sequence, mark: Mark) {
        let lane = self.records.lane().name();
        tracing::error!(lane, had = %from, has = %mark.sequence, "the centre forgot what it had acknowledged; it is sent again");
        self.reset(mark);
    }

    fn pin(&mut self, receiver_id: &str) {
        if let Err(error) = self.records.pin(receiver_id) {
            tracing::error!(%error, receiver_id, "the receiver's name could not be kept");
        }
    }

    fn declare_reset(&mut self, _first: Sequence, _last: Sequence) {
        self.reset(self.records.mark());
    }

    fn new_epoch(&mut self, receiver_mark: Sequence) {
        let lane = self.records.lane().name();
        tracing::error!(lane, %receiver_mark, "the centre holds more than this journal: a new journal epoch begins");
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
