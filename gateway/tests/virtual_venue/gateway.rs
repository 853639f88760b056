//! The gateway: the parts that `run` joins, stepped by hand.

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

use venue_delivery::{
    Sender,
    sender::{Action, SenderConfig, Transmit, Tuning},
};
use venue_devices::{Conversation as _, Device, DeviceType, Item, Role};
use venue_gateway::{
    app::records::LaneRecords,
    clock::{BootId, Quality, Received},
    pipeline::{Arrival, LineEvent, SourcePipeline, SourceSettings},
};
use venue_journal::{CommitDue, CommitError, Journal, JournalConfig, ResultsConfig, simulated::MemoryStorage};
use venue_schema::{
    GatewayId, JournalEpoch,
    v1::{self, Lane},
};

use super::centre::{Centre, Message};

/// 2026-11-28T08:00:00Z, when virtual time is zero.
pub(crate) const START_UTC_NS: i64 = 1_795_852_800_000_000_000;
/// Delay before a failed journal is reopened.
const REOPEN_AFTER: Duration = Duration::from_millis(100);

/// A running gateway with one source and one uplink.
pub(crate) struct Gateway {
    journal: Journal<MemoryStorage>,
    conversation: Device,
    pipeline: SourcePipeline<MemoryStorage>,
    lanes: Vec<LaneUplink>,
    boot_id: BootId,
    reopen_at: Option<Duration>,
    housekeep_at: Duration,
}

struct LaneUplink {
    sender: Sender,
    records: LaneRecords<MemoryStorage>,
}

impl Gateway {
    /// Opens the journal and joins the parts; none if the disk fails while it does.
    pub(crate) fn start(disk: &MemoryStorage, now: Duration, boot: u8, draw: u64) -> Option<Self> {
        let epoch = JournalEpoch::from_bytes([u8::try_from(draw % 251).expect("small"); 16]);
        let (journal, _) = Journal::open(disk.clone(), config(epoch), now).ok()?;
        let boot_id = BootId([boot; 16]);
        let pipeline = SourcePipeline::new(journal.clone(), settings(), &arrival(now, boot_id));
        let lane = |lane: Lane| {
            let cursor = journal.cursor("centre", None, lane, true).ok()?;
            let receiver_id = cursor.receiver_id();
            let records = LaneRecords::new(journal.clone(), cursor);
            let config = SenderConfig {
                gateway_id: journal.gateway_id(),
                journal_epoch: journal.epoch(),
                lane,
                predecessors: journal.predecessor_epochs(),
                software_version: "test".to_owned(),
                receiver_id,
                endpoints: NonZeroUsize::MIN,
                seed: draw,
                tuning: Tuning::default(),
            };
            let sender = Sender::new(config, records.mark(), journal.watermarks()[lane], now);
            Some(LaneUplink { sender, records })
        };
        let lanes = Lane::ALL.into_iter().map(lane).collect::<Option<Vec<_>>>()?;
        let conversation = Device::new("alge-timy", Role::Active).expect("a known device");
        Some(Self { journal, conversation, pipeline, lanes, boot_id, reopen_at: None, housekeep_at: now })
    }

    /// The line came up.
    pub(crate) fn plug(&mut self, now: Duration) {
        let arrival = arrival(now, self.boot_id);
        self.pipeline.line(&arrival, &LineEvent::Connected { peer: "virtual" });
        let pipeline = &mut self.pipeline;
        self.conversation.handle_connected(now, &mut |item| pipeline.item(&arrival, &item));
        pipeline.flush(&arrival);
    }

    /// The line went away.
    pub(crate) fn unplug(&mut self, now: Duration) {
        let arrival = arrival(now, self.boot_id);
        let pipeline = &mut self.pipeline;
        self.conversation.handle_disconnected(now, &mut |item: Item<'_>| pipeline.item(&arrival, &item));
        pipeline.line(&arrival, &LineEvent::Disconnected { reason: "unplugged" });
        pipeline.flush(&arrival);
    }

    /// Bytes came.
    pub(crate) fn read(&mut self, now: Duration, bytes: &[u8]) {
        let arrival = arrival(now, self.boot_id);
        let pipeline = &mut self.pipeline;
        self.conversation.handle_bytes(now, bytes, &mut |item| pipeline.item(&arrival, &item));
        pipeline.flush(&arrival);
    }

    /// What is to be written to the line.
    pub(crate) fn write(&mut self, now: Duration) -> Vec<u8> {
        let durable = self.pipeline.durable_items();
        self.conversation.handle_durable(now, durable);
        let (mut written, mut buffer) = (Vec::new(), [0; 256]);
        loop {
            match self.conversation.poll_transmit(now, &mut buffer) {
                0 => return written,
                count => written.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// A message from the network.
    pub(crate) fn receive(&mut self, now: Duration, message: Message) {
        match message {
            Message::Connected(lane, id) => self.sender(lane).handle_connected(now, id),
            Message::Response(lane, id, response) => self.sender(lane).handle_response(now, id, response),
            Message::Ended(lane, id, end) => self.sender(lane).handle_ended(now, id, end),
        }
    }

    fn sender(&mut self, lane: Lane) -> &mut Sender {
        let uplink = self.lanes.iter_mut().find(|uplink| uplink.records.lane() == lane);
        &mut uplink.expect("both lanes are delivered").sender
    }

    /// Does all that is due at `now`: timers, commits, housekeeping, delivery.
    pub(crate) fn work(&mut self, now: Duration, centre: &mut Centre) {
        let arrival = arrival(now, self.boot_id);
        let pipeline = &mut self.pipeline;
        if self.conversation.poll_timeout().is_some_and(|at| at <= now) {
            self.conversation.handle_timeout(now, &mut |item| pipeline.item(&arrival, &item));
            pipeline.flush(&arrival);
        }
        if pipeline.poll_timeout().is_some_and(|at| at <= now) {
            pipeline.flush(&arrival);
        }
        self.commit(now);
        if self.housekeep_at <= now {
            // A disk that fails here fails the next commit too, which is looked at.
            let _ = self.journal.housekeep(now);
            self.housekeep_at = now + Duration::from_secs(1);
        }
        self.deliver(now, centre);
    }

    fn commit(&mut self, now: Duration) {
        if let Some(at) = self.reopen_at {
            if at > now {
                return;
            }
            self.reopen_at = self.journal.reopen(now).err().map(|_| now + REOPEN_AFTER);
        }
        while self.reopen_at.is_none() && self.journal.wants_commit(now) == CommitDue::Now {
            match self.journal.commit(now) {
                Ok(_) => {}
                Err(CommitError::Halted { .. }) => self.reopen_at = Some(now + REOPEN_AFTER),
                Err(CommitError::NoSpace { .. }) => return,
            }
        }
    }

    fn deliver(&mut self, now: Duration, centre: &mut Centre) {
        let marks = self.journal.watermarks();
        let mut results_wait = false;
        for uplink in &mut self.lanes {
            let lane = uplink.records.lane();
            uplink.sender.handle_durable(marks[lane]);
            uplink.sender.handle_results_backlog(results_wait);
            uplink.sender.handle_timeout(now);
            loop {
                while let Some(action) = uplink.sender.poll_action() {
                    act(uplink, action, now, centre);
                }
                match uplink.sender.poll_transmit(now, &mut uplink.records.at(now)) {
                    Transmit::Frame(frame) => centre.send(now, lane, frame.to_request().expect("a sound frame")),
                    Transmit::Again => {}
                    Transmit::Idle => break,
                }
            }
            results_wait = uplink.sender.has_unacknowledged();
        }
    }

    /// When something is due next, if nothing else happens.
    pub(crate) fn next(&self, now: Duration) -> Duration {
        let commit = match (self.reopen_at, self.journal.wants_commit(now)) {
            (Some(at), _) => Some(at),
            (None, CommitDue::Now) => Some(now),
            (None, CommitDue::At(at)) => Some(at),
            (None, CommitDue::Idle) => None,
        };
        let senders = self.lanes.iter().filter_map(|uplink| uplink.sender.poll_timeout());
        let fixed = [self.conversation.poll_timeout(), self.pipeline.poll_timeout(), commit, Some(self.housekeep_at)];
        senders.chain(fixed.into_iter().flatten()).min().unwrap_or(self.housekeep_at)
    }

    /// Whether all that was taken in is on disk and at the centre.
    pub(crate) fn is_drained(&self) -> bool {
        let stage = self.journal.stage();
        let marks = self.journal.watermarks();
        let durable = Lane::ALL.into_iter().all(|lane| stage.staged_end(lane) == marks[lane]);
        drop(stage);
        durable && self.lanes.iter().all(|uplink| !uplink.sender.has_unacknowledged())
    }

    /// One line for the trace.
    pub(crate) fn describe(&self) -> String {
        let marks = self.journal.watermarks();
        let acked: Vec<u64> = self.lanes.iter().map(|uplink| uplink.records.mark().sequence.0).collect();
        format!("durable {}/{} acknowledged {acked:?}", marks.results, marks.telemetry)
    }
}

fn act(uplink: &mut LaneUplink, action: Action, now: Duration, centre: &mut Centre) {
    let lane = uplink.records.lane();
    match action {
        Action::Connect { connection, .. } => centre.connect(now, lane, connection),
        Action::Disconnect { connection, .. } => centre.disconnect(connection, lane),
        Action::PinReceiver { receiver_id } => uplink.records.pin(&receiver_id).expect("one receiver"),
        Action::AdvanceCursor { mark } => uplink.records.advance(mark),
        Action::RewindCursor { .. } | Action::DeclareReset { .. } => panic!("this centre never forgets"),
        Action::NewEpoch { receiver_mark } => {
            panic!(
                "the centre holds {receiver_mark} of the {} lane: something was sent before it was durable",
                lane.name()
            )
        }
    }
}

fn arrival(now: Duration, boot_id: BootId) -> Arrival {
    let utc_ns = START_UTC_NS + i64::try_from(now.as_nanos()).expect("virtual time is short");
    let quality = Quality {
        sync_state: v1::SyncState::Synchronized,
        maximum_error: Some(Duration::from_millis(1)),
        date_known: true,
    };
    Arrival { received: Received { monotonic: now, utc_ns: Some(utc_ns) }, quality, boot_id }
}

fn settings() -> SourceSettings {
    SourceSettings {
        venue_id: "stade-1".to_owned(),
        name: "finish".to_owned(),
        device: DeviceType::find("alge-timy").expect("in the table"),
        device_id: "timer-a".to_owned(),
        principal: "serial:virtual".to_owned(),
        role: Role::Active,
        lane: None,
        labels: BTreeMap::new(),
        zone: jiff::tz::TimeZone::UTC,
    }
}

fn config(epoch: JournalEpoch) -> JournalConfig {
    let gateway_id = GatewayId::new("stade-1-a").expect("a DNS name");
    let defaults = JournalConfig::new(gateway_id, "stade-1", epoch);
    JournalConfig {
        results: ResultsConfig { quota: 4 << 20, reserve: 512 << 10, ..defaults.results },
        telemetry: venue_journal::TelemetryConfig { quota: 4 << 20, ..defaults.telemetry },
        segment_bytes: 512 << 10,
        ..defaults
    }
}
