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

/// Why a journal epoch's deliveries end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// They go on.
    No,
    /// The centre holds what this journal has found and had no room yet to write again. It is as much the centre's as
    /// ours; once there is room, they agree.
    AwaitRoom,
    /// The centre holds more than this journal.
    NewEpoch,
}

/// What a lane of an uplink needs of the gateway.
pub(super) struct JournalLane<S: Storage> {
    pub(super) records: LaneRecords<S>,
    pub(super) clock: Arc<SystemClock>,
    pub(super) link: SharedLink,
    /// Tells the telemetry lane whether results wait; on the results lane alone.
    pub(super) backlog: Option<watch::Sender<bool>>,
    /// Last sequence that opening the journal found.
    pub(super) last_found: Sequence,
    pub(super) ending: watch::Sender<Ending>,
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
        if receiver_mark <= self.last_found {
            tracing::warn!(lane, %receiver_mark, "the centre holds records that wait here for room on disk");
            self.ending.send_replace(Ending::AwaitRoom);
        } else {
            tracing::error!(lane, %receiver_mark, "the centre holds more than this journal: a new journal epoch begins");
            self.ending.send_replace(Ending::NewEpoch);
        }
    }

    fn publish(&mut self, status: Status) {
        if let Some(backlog) = &self.backlog {
            let waiting = status.backlog() > 0;
            backlog.send_if_modified(|known| std::mem::replace(known, waiting) != waiting);
        }
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }
}

#[cfg(test)]
mod tests {
    use venue_journal::{Journal, JournalConfig, simulated::MemoryStorage};
    use venue_schema::{GatewayId, JournalEpoch, v1::Lane};

    use super::*;

    /// The centre holds five records. Where opening found all five, though it had no room to write them again, they
    /// are the same; where it found four, the disk is not the one that they were read from.
    #[test]
    fn what_waits_for_room_is_no_reason_for_a_new_epoch() {
        let config =
            JournalConfig::new(GatewayId::new("stade-1-a").unwrap(), "stade-1", JournalEpoch::from_bytes([7; 16]));
        let (journal, _) = Journal::open(MemoryStorage::new(), config, Duration::ZERO).unwrap();
        for (last_found, expected) in [(5, Ending::AwaitRoom), (4, Ending::NewEpoch)] {
            let (ending, ended) = watch::channel(Ending::No);
            let cursor = journal.cursor("centre", None, Lane::Results, true).unwrap();
            let mut lane = JournalLane {
                records: LaneRecords::new(journal.clone(), cursor),
                clock: Arc::new(SystemClock::new(true)),
                link: SharedLink::default(),
                backlog: None,
                last_found: Sequence(last_found),
                ending,
            };
            lane.new_epoch(Sequence(5));
            assert_eq!(*ended.borrow(), expected);
        }
    }
}
