//! One source's way from items to durable events.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use venue_devices::{DecodeError, ErrorKind, Item, Reading, Role};
use venue_journal::{Append, AppendError, Appended, IdentityRef, Journal, SourceId, Storage, Watermarks};
use venue_schema::{
    Message as _, Sequence,
    v1::{self, Lane, event},
};

use super::{
    builder::{EventBuilder, SourceSettings},
    gap::DarkTimes,
    identity::KnownKeys,
    noise::{NoiseGate, RawRecord},
    time::{Arrival, nanoseconds},
};
use crate::clock::Received;
pub use crate::source::LineEvent;

/// Bursts that can wait for durability one by one. Beyond it the newest two are
/// joined: an acknowledgement may be later for it, never earlier.
const WAITING_BURSTS: usize = 1_024;
/// So much of a rejected message is kept, and less where the journal's segments are small.
const REJECTED_BYTES_MAX: usize = 200 * 1024;

/// What came of a source's items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames found and verified.
    pub frames: u64,
    /// Events appended.
    pub events: u64,
    /// Events that were known and dropped.
    pub known: u64,
    /// Frames rejected, by kind.
    pub bad: BTreeMap<&'static str, u64>,
    /// Bytes between frames.
    pub skipped_bytes: u64,
    /// Events not taken because the disk is full; their device keeps them.
    pub refused: u64,
    /// Events lost because even the reserve is full; a gap says so. What is too large for an event is not among them.
    pub lost: u64,
    /// A gap is open: since when, UTC ns where that is known.
    pub gap_since: Option<Option<i64>>,
}

/// The pipeline of one source.
pub struct SourcePipeline<S: Storage> {
    journal: Journal<S>,
    source: SourceId,
    events: EventBuilder,
    noise: NoiseGate,
    dark: DarkTimes,
    counters: Counters,
    items: u64,
    waiting: Waiting,
    /// An event's bytes, for the room that they take.
    encoded: Vec<u8>,
    /// Whoever sent what is read keeps it until it is acknowledged.
    refusable: bool,
}

impl<S: Storage> SourcePipeline<S> {
    /// The pipeline of a source, with what the journal knows of it. `arrival` is
    /// the moment of the start: a gap that was open when the gateway stopped goes on;
    /// else, if the source was heard before, the time since is a dark one and is
    /// declared.
    pub fn new(journal: Journal<S>, settings: SourceSettings, arrival: &Arrival) -> Self {
        let source = journal.source(&settings.name);
        let heals = !settings.device.back_fill.is_empty() && settings.role == Role::Active;
        let last_heard = journal.last_received(source).map(|(utc_ns, monotonic)| Received { monotonic, utc_ns });
        let mut pipeline = Self {
            source,
            noise: NoiseGate::default(),
            dark: DarkTimes::new(&settings.name, &settings.device_id, heals),
            counters: Counters::default(),
            items: 0,
            waiting: Waiting::default(),
            encoded: Vec::new(),
            refusable: settings.device.refusable(),
            events: EventBuilder::new(settings, arrival.boot_id),
            journal,
        };
        let open = pipeline.journal.open_gaps().into_iter().filter(|gap| gap.source == pipeline.events.settings.name);
        let gap = pipeline.dark.started(open.collect(), last_heard);
        pipeline.append_gaps(gap, arrival);
        pipeline
    }

    /// Takes an item of the source's conversation.
    pub fn item(&mut self, arrival: &Arrival, item: &Item<'_>) {
        self.items += 1;
        match item {
            Item::Frame { .. } => {
                self.counters.frames += 1;
                let ended = self.dark.heard(arrival.received);
                self.append_gaps(ended, arrival);
            }
            Item::Reading(reading) => self.reading(arrival, reading),
            Item::Unknown { offset, bytes } => self.unknown(arrival, *offset, bytes),
            Item::Bad { offset, bytes, error } => self.bad(arrival, *offset, bytes, *error),
            Item::Skipped { offset, bytes } => {
                self.counters.skipped_bytes += bytes.len() as u64;
                self.noise.skipped(arrival.received.monotonic, *offset, bytes);
            }
            Item::ReplayStarted => self.events.replay_started(),
            Item::ReplayEnded { complete } => {
                self.events.replay_ended();
                let ended = self.dark.replayed(arrival.received, *complete);
                self.append_gaps(ended, arrival);
            }
        }
    }

    /// The items that follow are of a message from a broker: with labels of its own, naming their whole device, and
    /// `refusable` if the broker keeps it until it is acknowledged. Whether one is refused is asked for each.
    pub fn message(&mut self, labels: BTreeMap<String, String>, refusable: bool) {
        self.events.label(labels);
        (self.events.whole_ids, self.refusable) = (true, refusable);
        self.waiting.renew();
    }

    /// A message is of no use to its mapping: it is kept as it is, with the reason. `kind` is what it is counted by.
    pub fn rejected(&mut self, arrival: &Arrival, kind: &'static str, reason: &str, payload: &[u8]) {
        self.items += 1;
        *self.counters.bad.entry(kind).or_default() += 1;
        let raw = v1::Raw {
            reason: v1::RawReason::BadFrame.into(),
            error: reason.to_owned(),
            bytes: payload.len() as u64,
            count: 1,
            ..v1::Raw::default()
        };
        let shown = &payload[..payload.len().min(REJECTED_BYTES_MAX)];
        self.events.set(event::Content::Raw(raw), shown.to_vec().into(), arrival);
        self.append(Said::ByDevice, self.frame_lane(), arrival);
    }

    /// Whoever sends goes on where it was: nothing is dark any more. `healed`: it kept what it had to say meanwhile.
    pub fn resumed(&mut self, arrival: &Arrival, healed: bool) {
        let ended = self.dark.resumed(arrival.received, healed);
        self.append_gaps(ended, arrival);
    }

    /// The places that all events so far lie at or before.
    pub fn ends(&self) -> Watermarks {
        self.waiting.ends
    }

    /// Takes what happened to the line.
    pub fn line(&mut self, arrival: &Arrival, event: &LineEvent<'_>) {
        if let Some(status) = device_status(event) {
            self.events.set(event::Content::DeviceStatus(status), Bytes::new(), arrival);
            self.append(Said::ByGateway, Lane::Telemetry, arrival);
        }
        match event {
            LineEvent::Connected { .. } => {
                self.waiting.renew();
                self.dark.connected();
            }
            LineEvent::Disconnected { .. } => {
                self.end_line(arrival);
                let gap = self.dark.disconnected(arrival.received);
                self.append_gaps(gap, arrival);
            }
            // No gap: how long nobody listens is known at the next start, which
            // declares the whole dark time and can end what it opened.
            LineEvent::Left => self.end_line(arrival),
            _ => {}
        }
    }

    /// The burst is over: what it must wait for is noted, due summaries are written.
    pub fn flush(&mut self, arrival: &Arrival) {
        let summary = self.noise.due(arrival.received.monotonic);
        self.append_noise(summary, Lane::Telemetry, arrival);
        self.waiting.burst(self.items);
        self.counters.gap_since = self.dark.since();
    }

    /// When [`flush`](Self::flush) wants to be called though nothing came.
    pub fn poll_timeout(&self) -> Option<std::time::Duration> {
        self.noise.due_at()
    }

    /// How many items, from the first, are on disk now.
    pub fn durable_items(&mut self) -> u64 {
        self.waiting.durable(self.journal.watermarks())
    }

    /// Whether an item since the line came up, or the message began, found no room, so that its device must say it again.
    pub fn has_refused(&self) -> bool {
        self.waiting.refused
    }

    /// Whether the lane that the source's events go to waits for the disk. Telemetry holds no result back.
    pub fn is_behind(&self) -> bool {
        self.journal.is_behind(self.frame_lane())
    }

    /// What came of the items so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// No more bytes of this connection come.
    fn end_line(&mut self, arrival: &Arrival) {
        self.events.replay_ended();
        let summary = self.noise.finish();
        self.append_noise(summary, Lane::Telemetry, arrival);
    }

    fn reading(&mut self, arrival: &Arrival, reading: &Reading<'_>) {
        let keys = StagedKeys { journal: &self.journal, source: self.source };
        let lane = self.events.read(reading, arrival, &keys);
        self.append(Said::ByDevice, lane, arrival);
    }

    fn unknown(&mut self, arrival: &Arrival, offset: u64, bytes: &[u8]) {
        let raw = v1::Raw {
            reason: v1::RawReason::UnknownFrame.into(),
            stream_offset: offset,
            bytes: bytes.len() as u64,
            count: 1,
            ..v1::Raw::default()
        };
        self.events.set(event::Content::Raw(raw), bytes.to_vec().into(), arrival);
        self.append(Said::ByDevice, Lane::Telemetry, arrival);
    }

    /// A frame whose check failed was recognised: it may be a result, and goes to
    /// its source's lane. Anything else is noise.
    fn bad(&mut self, arrival: &Arrival, offset: u64, bytes: &[u8], error: DecodeError) {
        *self.counters.bad.entry(error.kind.name()).or_default() += 1;
        let record = self.noise.bad_frame(arrival.received.monotonic, error.kind.name(), error.offset, offset, bytes);
        let lane = match error.kind {
            ErrorKind::BadChecksum => self.frame_lane(),
            _ => Lane::Telemetry,
        };
        self.append_noise(record, lane, arrival);
    }

    /// The lane of a frame whose content is not known.
    fn frame_lane(&self) -> Lane {
        let by_device = if self.events.settings.device.timing { Lane::Results } else { Lane::Telemetry };
        self.events.settings.lane.unwrap_or(by_device)
    }

    /// Noise is no sign of the device: it is what the gateway found on the line.
    fn append_noise(&mut self, record: Option<RawRecord>, lane: Lane, arrival: &Arrival) {
        if let Some(RawRecord { raw, evidence }) = record {
            self.events.set(event::Content::Raw(raw), evidence.into(), arrival);
            self.append(Said::ByGateway, lane, arrival);
        }
    }

    fn append_gaps(&mut self, gaps: impl IntoIterator<Item = v1::Gap>, arrival: &Arrival) {
        for gap in gaps {
            self.events.set(event::Content::Gap(gap.clone()), Bytes::new(), arrival);
            self.append(Said::Gap(&gap), self.frame_lane(), arrival);
        }
    }

    /// Appends the event that was made last. Only what the device said can be refused, and is waited for before the device is answered: what the gateway says
    /// of it has nobody else who keeps it, and may go to another lane.
    fn append(&mut self, said: Said<'_>, lane: Lane, arrival: &Arrival) {
        let by_device = matches!(said, Said::ByDevice);
        let mut appended = self.try_append(said, lane, arrival);
        if let Err(error @ AppendError::TooLarge { limit, .. }) = appended {
            self.cut(&error, limit, arrival);
            appended = self.try_append(said, lane, arrival);
        }
        match appended {
            Ok(stored) => {
                let (Appended::Stored { lane, sequence } | Appended::Known { lane, sequence }) = stored;
                match stored {
                    Appended::Stored { .. } => self.counters.events += 1,
                    Appended::Known { .. } => self.counters.known += 1,
                }
                if by_device {
                    self.waiting.until(lane, sequence);
                }
            }
            Err(AppendError::Lost { .. } | AppendError::TooLarge { .. }) => self.counters.lost += 1,
            Err(AppendError::Full { .. } | AppendError::Halted) => {
                self.counters.refused += 1;
                self.waiting.refuse();
            }
        }
    }

    /// Makes of an event that is too large what is kept of it: its evidence, as far as it fits, with the reason why it is no more.
    fn cut(&mut self, error: &AppendError, limit: usize, arrival: &Arrival) {
        let event = self.events.event();
        let evidence = event.evidence.clone();
        let raw = match &event.content {
            Some(event::Content::Raw(raw)) => raw.clone(),
            _ => {
                *self.counters.bad.entry("too_large").or_default() += 1;
                v1::Raw {
                    reason: v1::RawReason::BadFrame.into(),
                    error: error.to_string(),
                    bytes: evidence.len() as u64,
                    count: 1,
                    ..v1::Raw::default()
                }
            }
        };
        self.events.set(event::Content::Raw(raw.clone()), Bytes::new(), arrival);
        // Behind the evidence's tag and length.
        let room = limit.saturating_sub(self.events.event().encoded_len() + 16);
        self.events.set(event::Content::Raw(raw), evidence.slice(..evidence.len().min(room)), arrival);
    }

    fn try_append(&mut self, said: Said<'_>, lane: Lane, arrival: &Arrival) -> Result<Appended, AppendError> {
        let event = self.events.event();
        self.encoded.clear();
        event.encode(&mut self.encoded).expect("a vector grows");
        let identity = match &event.identity {
            None => IdentityRef::None,
            Some(event::Identity::DeviceSequence(number)) => {
                IdentityRef::Sequence { device_id: &event.device_id, epoch: event.device_epoch, number: *number }
            }
            Some(event::Identity::ContentKey(key)) => IdentityRef::Key {
                device_id: &event.device_id,
                epoch: event.device_epoch,
                key: &key.key,
                occurrence: key.occurrence,
            },
        };
        let append = Append {
            lane,
            source: self.source,
            identity,
            refusable: self.refusable && matches!(said, Said::ByDevice),
            event: &self.encoded,
            receive_utc_ns: arrival.received.utc_ns,
            receive_monotonic_ns: nanoseconds(arrival.received.monotonic),
        };
        let mut stage = self.journal.stage();
        match said {
            Said::ByDevice => stage.append(append),
            Said::ByGateway => stage.append_own(append),
            Said::Gap(gap) => stage.append_gap(append, gap),
        }
    }
}

/// Whose word an event is, by which the journal tells when the source was heard.
#[derive(Clone, Copy)]
enum Said<'a> {
    ByDevice,
    ByGateway,
    /// That something was lost, or is no longer: this is its content.
    Gap(&'a v1::Gap),
}

/// What the receivers are told of a line's event; nothing when it is we who leave,
/// for the device is as it was: the gateway tells of its own stopping.
fn device_status(event: &LineEvent<'_>) -> Option<v1::DeviceStatus> {
    let (state, text) = match event {
        LineEvent::Connected { peer } => (v1::DeviceState::Online, format!("connected: {peer}")),
        LineEvent::Disconnected { reason } => (v1::DeviceState::Offline, format!("disconnected: {reason}")),
        LineEvent::Left => return None,
        LineEvent::Failed { error } => (v1::DeviceState::Offline, (*error).to_owned()),
        LineEvent::Silent { silence } => (v1::DeviceState::Silent, format!("silent for {} s", silence.as_secs())),
        LineEvent::HeardAgain { silence } => {
            (v1::DeviceState::Online, format!("heard again after {} s", silence.as_secs()))
        }
        LineEvent::Errors(errors) => (v1::DeviceState::Fault, format!("line errors: {errors}")),
        LineEvent::Refused { peer, count } => {
            (v1::DeviceState::Unspecified, format!("{count} connections refused, the last from {peer}"))
        }
    };
    Some(v1::DeviceStatus { state: state.into(), text, values: Vec::new() })
}

/// The keys that the journal knows of a source. The stage is not held while an event
/// is made: a panic on the way would take the journal from every other source.
struct StagedKeys<'a, S: Storage> {
    journal: &'a Journal<S>,
    source: SourceId,
}

impl<S: Storage> KnownKeys for StagedKeys<'_, S> {
    fn occurrences(&self, device_id: &str, epoch: u64, key: &str) -> u32 {
        self.journal.stage().occurrences(self.source, device_id, epoch, key)
    }
}

/// What must be durable before how many items are.
#[derive(Debug, Default)]
struct Waiting {
    bursts: VecDeque<(u64, Watermarks)>,
    /// The last places that this source's events have.
    ends: Watermarks,
    durable: u64,
    refused: bool,
}

impl Waiting {
    /// An event of the burst has this place, or one before it.
    fn until(&mut self, lane: Lane, sequence: Sequence) {
        self.ends[lane] = self.ends[lane].max(sequence);
    }

    /// An event was refused: its device must send it again. Counts are cumulative, so nothing
    /// after it is acknowledged either until the device begins anew.
    fn refuse(&mut self) {
        self.refused = true;
    }

    /// The line came up: what was not acknowledged is forgotten, and sent again.
    fn renew(&mut self) {
        self.refused = false;
    }

    /// A burst ended, with so many items since the start.
    fn burst(&mut self, items: u64) {
        if self.refused {
            return;
        }
        let full = self.bursts.len() >= WAITING_BURSTS;
        match self.bursts.back_mut() {
            Some(last) if full || last.1 == self.ends => *last = (items, self.ends),
            _ => self.bursts.push_back((items, self.ends)),
        }
    }

    fn durable(&mut self, marks: Watermarks) -> u64 {
        let reached = |ends: &Watermarks| Lane::ALL.into_iter().all(|lane| marks[lane] >= ends[lane]);
        while let Some((items, _)) = self.bursts.front().filter(|(_, ends)| reached(ends)) {
            self.durable = *items;
            self.bursts.pop_front();
        }
        self.durable
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;
    use venue_devices::DeviceType;
    use venue_journal::{
        JournalConfig,
        simulated::{Fault, MemoryStorage},
    };
    use venue_schema::{GatewayId, JournalEpoch};

    use super::*;
    use crate::{
        clock::{BootId, Quality},
        pipeline::SourceSettings,
    };

    fn marks(results: u64, telemetry: u64) -> Watermarks {
        Watermarks { results: Sequence(results), telemetry: Sequence(telemetry) }
    }

    /// Items count as durable once every event before them is, in whichever lane.
    #[test]
    fn items_are_durable_when_both_lanes_have_reached_them() {
        let mut waiting = Waiting::default();
        waiting.until(Lane::Results, Sequence(5));
        waiting.burst(2);
        waiting.until(Lane::Telemetry, Sequence(9));
        waiting.burst(3);
        assert_eq!(waiting.durable(marks(4, 9)), 0);
        assert_eq!(waiting.durable(marks(5, 8)), 2);
        assert_eq!(waiting.durable(marks(5, 9)), 3);
    }

    /// After a refused event nothing is acknowledged, whatever becomes durable: an acknowledgement
    /// of what follows would cover it. A new connection, on which it is sent again, begins anew.
    #[test]
    fn what_follows_a_refused_event_is_not_acknowledged() {
        let mut waiting = Waiting::default();
        waiting.until(Lane::Results, Sequence(1));
        waiting.burst(1);
        waiting.refuse();
        waiting.burst(4);
        waiting.until(Lane::Results, Sequence(2));
        waiting.burst(5);
        assert_eq!(waiting.durable(marks(100, 100)), 1);
        waiting.renew();
        waiting.until(Lane::Results, Sequence(3));
        waiting.burst(9);
        assert_eq!((waiting.durable(marks(2, 0)), waiting.durable(marks(3, 0))), (1, 9));
    }

    /// However far the disk is behind, what waits is bounded and nothing is
    /// acknowledged early.
    #[test]
    fn waiting_bursts_are_bounded() {
        let mut waiting = Waiting::default();
        for number in 1..=5_000 {
            waiting.until(Lane::Results, Sequence(number));
            waiting.burst(number);
        }
        assert_eq!(waiting.bursts.len(), WAITING_BURSTS);
        assert_eq!(waiting.durable(marks(4_999, 0)), WAITING_BURSTS as u64 - 1);
        assert_eq!(waiting.durable(marks(5_000, 0)), 5_000);
    }

    fn arrival() -> Arrival {
        let quality = Quality { sync_state: v1::SyncState::Unspecified, maximum_error: None, date_known: false };
        let received = Received { monotonic: Duration::from_secs(1), utc_ns: None };
        Arrival { received, quality, boot_id: BootId([1; 16]) }
    }

    /// The broker of a topic is back while the journal takes nothing: what the gateway says of that, and that the gap is over, waits in
    /// memory. It is no message that found no room, which the broker would have to send again.
    #[test]
    fn what_the_gateway_says_itself_is_never_refused() {
        let disk = MemoryStorage::new();
        let config = JournalConfig::new(GatewayId::new("gw-1").unwrap(), "v", JournalEpoch::from_bytes([7; 16]));
        let (journal, _) = Journal::open(disk.clone(), config, Duration::ZERO).unwrap();
        let settings = SourceSettings {
            venue_id: "v".to_owned(),
            name: "gates".to_owned(),
            device: DeviceType::find("nmea").unwrap(),
            device_id: "gates".to_owned(),
            principal: "mqtt:gateway".to_owned(),
            role: Role::ListenOnly,
            lane: Some(Lane::Results),
            labels: BTreeMap::new(),
            zone: TimeZone::UTC,
        };
        let (mut pipeline, now) = (SourcePipeline::new(journal.clone(), settings, &arrival()), arrival());
        pipeline.line(&now, &LineEvent::Connected { peer: "broker" });
        pipeline.line(&now, &LineEvent::Disconnected { reason: "gone" });
        disk.fail_at(disk.operations() + 1, Fault::Refused);
        journal.commit(Duration::ZERO).unwrap_err();

        pipeline.message(BTreeMap::new(), true);
        pipeline.line(&now, &LineEvent::Connected { peer: "broker" });
        pipeline.resumed(&now, true);
        assert!(!pipeline.has_refused());
        let said_by_the_gateway = pipeline.ends();
        assert_eq!(said_by_the_gateway, Watermarks::default(), "no acknowledgement waits for it");
        pipeline.rejected(&now, "bad_value", "no number", b"{}");
        assert!(pipeline.has_refused(), "a message is");

        journal.reopen(Duration::ZERO).unwrap();
        assert!(journal.open_gaps().is_empty());
    }
}
