//! Where events gather between append and commit: numbers, identities, and bounds.

mod batch;
mod losses;

pub(crate) use batch::{Batch, StagedRecord};

use std::{collections::BTreeMap, sync::MutexGuard, time::Duration};

use prost::Message;
use venue_schema::{GatewayId, JournalEpoch, Sequence, v1, v1::Lane};

use self::losses::Losses;
use crate::{
    PerLane,
    config::{
        JournalConfig, LOSS_RECORD_BYTES, MAX_STAGED_RESULTS_BYTES, MAX_STAGED_TELEMETRY_BYTES,
        MAX_TELEMETRY_COMMIT_BYTES,
    },
    format::{COMMIT_HEADER_BYTES, RecordHeader, RecordKind, frame_element, padded, varint_bytes},
    gap::{GATEWAY_SOURCE, GapAuthor, Loss},
    identity::{Identity, IdentityRef, LookupMap, SourceKnowledge, key_hash},
};

/// Tag of `Event.origin`, as a varint.
const ORIGIN_TAG: [u8; 2] = [0xA2, 0x06];
/// Longest name of a source, bytes; longer ones are cut.
pub const MAX_SOURCE_NAME_BYTES: usize = 255;

/// A source, as [`Journal::source`](crate::Journal::source) named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub(crate) u32);

/// One event to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Append<'a> {
    /// The lane it belongs to.
    pub lane: Lane,
    /// Where it came from.
    pub source: SourceId,
    /// What makes it the same event when it comes a second time; as it stands in `event`.
    pub identity: IdentityRef<'a>,
    /// Whether its sender keeps it until it is acknowledged, so that it may be refused.
    pub refusable: bool,
    /// A serialized `Event` without `origin`.
    pub event: &'a [u8],
    /// When it was received, UTC ns; none while the gateway has no date.
    pub receive_utc_ns: Option<i64>,
    /// The same on the clock that counts since the boot, ns.
    pub receive_monotonic_ns: u64,
}

/// What became of an event that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It has this place, and is durable when the lane's watermark reaches it.
    Stored {
        /// The lane.
        lane: Lane,
        /// Its place.
        sequence: Sequence,
    },
    /// It had been stored before, and is durable when the lane's watermark
    /// reaches this place: [`Sequence::ZERO`] if it is durable already.
    Known {
        /// The lane.
        lane: Lane,
        /// A place at or after its own.
        sequence: Sequence,
    },
}

/// Why an event was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No space for an event that its sender keeps; do not acknowledge it, try again later.
    #[error("the {} lane has no room for an event that its sender keeps; leave it unacknowledged", .lane.name())]
    Full {
        /// The lane.
        lane: Lane,
    },
    /// No space for an event that nobody keeps: it is lost, and counted in a gap event.
    #[error("the {} lane has no room even for an event that nobody keeps; it is counted in a gap event", .lane.name())]
    Lost {
        /// The lane.
        lane: Lane,
    },
    /// The event is larger than a batch can carry.
    #[error(
        "an event of {bytes} bytes is larger than the {limit} bytes that a batch can carry; store its evidence in parts"
    )]
    TooLarge {
        /// Its size, without origin.
        bytes: usize,
        /// The largest there may be.
        limit: usize,
    },
    /// A write or sync failed, and the journal has not been reopened yet.
    #[error("the journal is halted by a failed write; leave the event unacknowledged until it is reopened")]
    Halted,
}

/// When the next commit is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitDue {
    /// At once.
    Now,
    /// At this time, unless something is appended before.
    At(Duration),
    /// Not before something is appended, or the journal is reopened or has space again.
    Idle,
}

/// Room on disk beyond what is durable, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Room {
    /// For events that their sender keeps.
    pub(crate) refusable: u64,
    /// For all others; loss records may use [`LOSS_RECORD_BYTES`] more.
    pub(crate) any: u64,
}

/// A lane's part of the stage.
#[derive(Debug)]
pub(crate) struct LaneStage {
    /// The sequence that the next event gets.
    pub(crate) next: Sequence,
    pub(crate) durable: Sequence,
    pub(crate) waiting: Batch,
    /// Bytes waiting or being written, with what their commits cost.
    pub(crate) staged_bytes: u64,
    pub(crate) room: Room,
    /// A batch was taken and could not be written; it goes first.
    pub(crate) must_retry: bool,
    /// It could not be written for want of space.
    pub(crate) no_space: bool,
}

/// Where an identity that is not durable yet stands.
#[derive(Debug, Clone, Copy)]
struct Pending {
    occurrence: u32,
    lane: Lane,
    sequence: Sequence,
}

/// A source's part of the stage.
#[derive(Debug, Default)]
struct StagedSource {
    next_ordinal: u64,
    /// Telemetry of it that waits or is being written, bytes.
    telemetry_bytes: u64,
}

/// When commits were made, as far as the next one depends on it.
#[derive(Debug, Default)]
pub(crate) struct CommitTimes {
    pub(crate) last: Duration,
    pub(crate) last_telemetry: Option<Duration>,
    /// When waiting telemetry was first seen.
    pub(crate) telemetry_seen: Option<Duration>,
    /// The last commit of some lane is not yet proven by a later header.
    pub(crate) unproven: bool,
}

/// What the configuration bounds.
#[derive(Debug, Clone, Copy)]
struct StageBounds {
    max_event_bytes: usize,
    /// Staged telemetry that one source may hold.
    telemetry_share_bytes: u64,
    commit_window: Duration,
}

/// Events that wait for a commit, and all that decides about the next one.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) epoch: JournalEpoch,
    pub(crate) gateway_id: GatewayId,
    pub(crate) author: GapAuthor,
    bounds: StageBounds,
    /// What is durable, by source.
    pub(crate) known: Vec<SourceKnowledge>,
    staged: Vec<StagedSource>,
    by_name: BTreeMap<String, u32>,
    pending_keys: LookupMap<(u32, u128), Pending>,
    pending_numbers: LookupMap<(u32, u64, u64, u64), Pending>,
    pub(crate) lanes: PerLane<LaneStage>,
    pub(crate) halted: bool,
    pub(crate) times: CommitTimes,
    /// The largest record so far, bytes.
    pub(crate) largest_record: u64,
    losses: Losses,
}

/// Seconds between commits below which telemetry waits for company: 200 a second.
const LONE_TELEMETRY_INTERVAL: Duration = Duration::from_millis(5);
/// How long a lane is idle before a closing commit proves its last one.
pub const CLOSING_COMMIT_DELAY: Duration = Duration::from_millis(500);

impl Stage {
    pub(crate) fn new(
        config: &JournalConfig,
        epoch: JournalEpoch,
        durable: PerLane<Sequence>,
        known: Vec<SourceKnowledge>,
    ) -> Self {
        let author = GapAuthor { venue_id: config.venue_id.clone(), gateway_id: config.gateway_id.clone() };
        let bounds = StageBounds {
            max_event_bytes: config.geometry().max_event_bytes(),
            telemetry_share_bytes: MAX_STAGED_TELEMETRY_BYTES / 100
                * u64::from(config.telemetry.source_share_percent.clamp(1, 100)),
            commit_window: config.telemetry.commit_window,
        };
        let mut stage = Self::with(author, bounds, epoch, durable);
        for source in known {
            stage.add_source(source);
        }
        stage
    }

    /// A stage with the same bounds that has nothing and knows no source.
    pub(crate) fn empty(&self, epoch: JournalEpoch, durable: PerLane<Sequence>) -> Self {
        Self::with(self.author.clone(), self.bounds, epoch, durable)
    }

    fn with(author: GapAuthor, bounds: StageBounds, epoch: JournalEpoch, durable: PerLane<Sequence>) -> Self {
        Self {
            epoch,
            gateway_id: author.gateway_id.clone(),
            author,
            bounds,
            known: Vec::new(),
            staged: Vec::new(),
            by_name: BTreeMap::new(),
            pending_keys: LookupMap::default(),
            pending_numbers: LookupMap::default(),
            lanes: PerLane::from_fn(|lane| LaneStage {
                next: durable[lane].next(),
                durable: durable[lane],
                waiting: Batch::starting_at(durable[lane].next()),
                staged_bytes: 0,
                room: Room::default(),
                must_retry: false,
                no_space: false,
            }),
            halted: false,
            times: CommitTimes::default(),
            largest_record: 0,
            losses: Losses::default(),
        }
    }

    pub(crate) fn add_source(&mut self, source: SourceKnowledge) -> u32 {
        let index = u32::try_from(self.known.len()).expect("sources come from a configuration, not by the billion");
        self.by_name.insert(source.name.clone(), index);
        self.staged.push(StagedSource { next_ordinal: source.ordinals.last().unwrap_or(0) + 1, telemetry_bytes: 0 });
        self.known.push(source);
        index
    }

    /// The source of a name, registered if it is new.
    pub(crate) fn source(&mut self, name: &str) -> SourceId {
        let cut = name.floor_char_boundary(MAX_SOURCE_NAME_BYTES);
        let name = &name[..cut];
        SourceId(match self.by_name.get(name) {
            Some(&index) => index,
            None => self.add_source(SourceKnowledge::named(name)),
        })
    }

    fn occurrences(&self, source: SourceId, hash: u128) -> u32 {
        let durable = self.known[source.0 as usize].keys.occurrences(hash).given;
        self.pending_keys.get(&(source.0, hash)).map_or(durable, |pending| pending.occurrence.max(durable))
    }

    /// Forgets the identities of all sources, for stored records are lost and it cannot be told of which
    /// source they were. What waits for its commit is not among the lost, and stays known.
    pub(crate) fn forget_identities(&mut self) {
        self.known.iter_mut().for_each(SourceKnowledge::forget_identities);
    }

    /// Where an identity is covered, if it is known.
    fn find(&self, lane: Lane, source: SourceId, identity: Identity) -> Option<Appended> {
        if self.known[source.0 as usize].knows(identity) {
            return Some(Appended::Known { lane, sequence: Sequence::ZERO });
        }
        let pending = match identity {
            Identity::Sequence { device, epoch, number } => {
                self.pending_numbers.get(&(source.0, device, epoch, number))
            }
            Identity::Key { hash, occurrence } => {
                self.pending_keys.get(&(source.0, hash)).filter(|pending| occurrence <= pending.occurrence)
            }
        };
        pending.map(|pending| Appended::Known { lane: pending.lane, sequence: pending.sequence })
    }

    pub(crate) fn append(&mut self, append: Append<'_>) -> Result<Appended, AppendError> {
        let identity = Identity::of(append.identity);
        if let Some(known) = identity.and_then(|identity| self.find(append.lane, append.source, identity)) {
            return Ok(known);
        }
        let bytes = append.event.len();
        if bytes > self.bounds.max_event_bytes {
            return Err(AppendError::TooLarge { bytes, limit: self.bounds.max_event_bytes });
        }
        if let Err(refusal) = self.admit(&append) {
            if matches!(refusal, AppendError::Lost { .. }) {
                self.count_loss(&append);
            }
            return Err(refusal);
        }
        let ordinal = self.staged[append.source.0 as usize].next_ordinal;
        let sequence = self.put(RecordKind::Event, &append, identity, ordinal);
        self.staged[append.source.0 as usize].next_ordinal += 1;
        self.remember_pending(append.lane, append.source, identity, sequence);
        Ok(Appended::Stored { lane: append.lane, sequence })
    }

    /// Whether there is room for an event, by the rules of its lane.
    fn admit(&self, append: &Append<'_>) -> Result<(), AppendError> {
        let lane = append.lane;
        let stage = &self.lanes[lane];
        let staged = stage.staged_bytes + self.cost(append);
        let full = if append.refusable { AppendError::Full { lane } } else { AppendError::Lost { lane } };
        if self.halted && append.refusable {
            return Err(AppendError::Halted);
        }
        let (bound, room) = match (lane, append.refusable) {
            (Lane::Results, true) => (MAX_STAGED_RESULTS_BYTES / 2, stage.room.refusable),
            (Lane::Results, false) => (MAX_STAGED_RESULTS_BYTES, stage.room.any),
            (_, true) => (MAX_STAGED_TELEMETRY_BYTES, stage.room.refusable),
            (_, false) => (MAX_STAGED_TELEMETRY_BYTES, stage.room.any),
        };
        let source = &self.staged[append.source.0 as usize];
        let beyond_share =
            lane == Lane::Telemetry && source.telemetry_bytes + self.cost(append) > self.bounds.telemetry_share_bytes;
        if staged > bound || staged > room || beyond_share { Err(full) } else { Ok(()) }
    }

    /// What an event may cost on disk, as if it were alone in its commit.
    fn cost(&self, append: &Append<'_>) -> u64 {
        let name = self.known[append.source.0 as usize].name.len();
        // Header with identity, framing, and an origin with its longest numbers.
        let record = 64 + 6 + append.event.len() + 64 + self.gateway_id.as_str().len() + name;
        COMMIT_HEADER_BYTES + padded(record) as u64
    }

    /// Stages a record under the next sequence of its lane.
    fn put(&mut self, kind: RecordKind, append: &Append<'_>, identity: Option<Identity>, ordinal: u64) -> Sequence {
        let sequence = self.lanes[append.lane].next;
        let name = &self.known[append.source.0 as usize].name;
        let origin = OriginRef { stage: self, lane: append.lane, sequence, source: name, ordinal };
        let origin_bytes = origin.field_bytes();
        let event_bytes = append.event.len() + origin_bytes;
        let header = RecordHeader {
            element_bytes: u32::try_from(1 + varint_bytes(event_bytes as u64) + event_bytes)
                .expect("events are bounded"),
            sequence,
            kind,
            identity,
            origin_bytes: u16::try_from(origin_bytes).expect("names of gateways and sources are bounded"),
            receive_utc_ns: append.receive_utc_ns,
            receive_monotonic_ns: append.receive_monotonic_ns,
        };
        let mut bytes = std::mem::take(&mut self.lanes[append.lane].waiting.bytes);
        let start = bytes.len();
        header.put(&mut bytes);
        frame_element(event_bytes, &mut bytes);
        bytes.extend_from_slice(append.event);
        OriginRef {
            stage: self,
            lane: append.lane,
            sequence,
            source: &self.known[append.source.0 as usize].name,
            ordinal,
        }
        .put(&mut bytes);
        bytes.resize(start + header.record_bytes(), 0);
        let cost = self.cost(append);
        self.largest_record = self.largest_record.max(cost);
        let lane = &mut self.lanes[append.lane];
        lane.waiting.bytes = bytes;
        lane.waiting.records.push(StagedRecord {
            bytes: header.record_bytes() as u32,
            cost: cost as u32,
            source: append.source.0,
            ordinal,
            identity,
            received: (append.receive_utc_ns, append.receive_monotonic_ns),
        });
        lane.staged_bytes += cost;
        lane.next = sequence.next();
        assert!(lane.durable < sequence, "sequence {sequence} is staged at or below the durable {}", lane.durable);
        if append.lane == Lane::Telemetry {
            self.staged[append.source.0 as usize].telemetry_bytes += cost;
        }
        sequence
    }

    fn remember_pending(&mut self, lane: Lane, source: SourceId, identity: Option<Identity>, sequence: Sequence) {
        match identity {
            None => {}
            Some(Identity::Sequence { device, epoch, number }) => {
                let pending = Pending { occurrence: 1, lane, sequence };
                self.pending_numbers.insert((source.0, device, epoch, number), pending);
            }
            Some(Identity::Key { hash, occurrence }) => {
                self.pending_keys.insert((source.0, hash), Pending { occurrence, lane, sequence });
            }
        }
    }

    fn forget_pending(&mut self, record: &StagedRecord, sequence: Sequence) {
        match record.identity {
            None => {}
            Some(Identity::Sequence { device, epoch, number }) => {
                self.pending_numbers.remove(&(record.source, device, epoch, number));
            }
            Some(Identity::Key { hash, .. }) => {
                let key = (record.source, hash);
                // A later occurrence may be pending still.
                if self.pending_keys.get(&key).is_some_and(|pending| pending.sequence <= sequence) {
                    self.pending_keys.remove(&key);
                }
            }
        }
    }

    /// Stages one of the gateway's own gap events, which no bound but that of loss records holds back.
    /// Its place, or none if there was no room.
    pub(crate) fn append_gap(&mut self, lane: Lane, kind: RecordKind, loss: Loss) -> Option<Sequence> {
        let event = self.author.event(loss).encode_to_vec();
        self.append_gap_event(lane, kind, &event)
    }

    fn append_gap_event(&mut self, lane: Lane, kind: RecordKind, event: &[u8]) -> Option<Sequence> {
        let source = self.source(GATEWAY_SOURCE);
        let append = Append {
            lane,
            source,
            identity: IdentityRef::None,
            refusable: false,
            event,
            receive_utc_ns: None,
            receive_monotonic_ns: 0,
        };
        let stage = &self.lanes[lane];
        let bound = MAX_STAGED_RESULTS_BYTES.max(MAX_STAGED_TELEMETRY_BYTES).min(stage.room.any);
        if stage.staged_bytes + self.cost(&append) > bound.saturating_add(LOSS_RECORD_BYTES) {
            return None;
        }
        let ordinal = self.staged[source.0 as usize].next_ordinal;
        let sequence = self.put(kind, &append, None, ordinal);
        self.staged[source.0 as usize].next_ordinal += 1;
        Some(sequence)
    }

    /// Stages a copy of a record of another epoch, past all bounds: the caller commits in between.
    pub(crate) fn append_unconditionally(&mut self, lane: Lane, source: &str, header: &RecordHeader, event: &[u8]) {
        let source = self.source(source);
        let append = Append {
            lane,
            source,
            identity: IdentityRef::None,
            refusable: false,
            event,
            receive_utc_ns: header.receive_utc_ns,
            receive_monotonic_ns: header.receive_monotonic_ns,
        };
        let ordinal = self.staged[source.0 as usize].next_ordinal;
        self.put(RecordKind::Event, &append, header.identity, ordinal);
        self.staged[source.0 as usize].next_ordinal += 1;
    }

    /// Takes in records that recovery kept and that a commit will write again.
    pub(crate) fn adopt(&mut self, lane: Lane, batch: &Batch) {
        let mut sequence = batch.first;
        for record in &batch.records {
            let source = &mut self.staged[record.source as usize];
            source.next_ordinal = source.next_ordinal.max(record.ordinal + 1);
            if lane == Lane::Telemetry {
                source.telemetry_bytes += u64::from(record.cost);
            }
            self.lanes[lane].staged_bytes += u64::from(record.cost);
            self.remember_pending(lane, SourceId(record.source), record.identity, sequence);
            sequence = sequence.next();
        }
        let stage = &mut self.lanes[lane];
        assert_eq!(batch.first, stage.next, "kept records follow what is durable");
        stage.next = sequence;
        stage.waiting.first = sequence;
        stage.must_retry = true;
    }

    /// Takes waiting records for a commit, of at most `limit` bytes but at least one.
    pub(crate) fn take(&mut self, lane: Lane, limit: usize) -> Batch {
        if lane == Lane::Telemetry {
            self.times.telemetry_seen = None;
        }
        let next = self.lanes[lane].next;
        self.lanes[lane].waiting.take(limit, next)
    }

    /// Takes in that a batch is durable.
    pub(crate) fn publish(&mut self, lane: Lane, batch: &Batch) {
        let mut sequence = batch.first;
        for record in &batch.records {
            self.known[record.source as usize].learn(record.ordinal, record.identity, record.received);
            self.forget_pending(record, sequence);
            self.lanes[lane].staged_bytes -= u64::from(record.cost);
            if lane == Lane::Telemetry {
                self.staged[record.source as usize].telemetry_bytes -= u64::from(record.cost);
            }
            sequence = sequence.next();
        }
        let stage = &mut self.lanes[lane];
        assert_eq!(
            batch.first,
            stage.durable.next(),
            "a commit of the {} lane follows the durable records",
            lane.name()
        );
        stage.durable = batch.last();
        assert!(stage.durable < stage.next, "what is durable was staged before");
        self.settle_losses(lane, batch.last());
    }

    /// When the next commit is due.
    pub(crate) fn wants_commit(&mut self, now: Duration) -> CommitDue {
        if self.halted {
            return CommitDue::Idle;
        }
        let wants = |lane: &LaneStage| !lane.no_space && (lane.must_retry || !lane.waiting.is_empty());
        if wants(&self.lanes.results) || self.lanes.telemetry.must_retry && wants(&self.lanes.telemetry) {
            return CommitDue::Now;
        }
        if wants(&self.lanes.telemetry) {
            return self.telemetry_due(now);
        }
        match self.times.unproven {
            true if now >= self.times.last + CLOSING_COMMIT_DELAY => CommitDue::Now,
            true => CommitDue::At(self.times.last + CLOSING_COMMIT_DELAY),
            false => CommitDue::Idle,
        }
    }

    fn telemetry_due(&mut self, now: Duration) -> CommitDue {
        let seen = *self.times.telemetry_seen.get_or_insert(now);
        let lone = self.times.last_telemetry.is_none_or(|last| seen >= last + LONE_TELEMETRY_INTERVAL);
        let due = seen + self.bounds.commit_window;
        let enough = self.lanes.telemetry.waiting.bytes.len() >= MAX_TELEMETRY_COMMIT_BYTES;
        if lone || enough || now >= due { CommitDue::Now } else { CommitDue::At(due) }
    }
}

/// What the journal adds to an event: its place.
struct OriginRef<'a> {
    stage: &'a Stage,
    lane: Lane,
    sequence: Sequence,
    source: &'a str,
    ordinal: u64,
}

impl OriginRef<'_> {
    fn content_bytes(&self) -> usize {
        let text = |text: &str| 1 + varint_bytes(text.len() as u64) + text.len();
        text(self.stage.gateway_id.as_str())
            + 18
            + 2
            + (1 + varint_bytes(self.sequence.0))
            + text(self.source)
            + (1 + varint_bytes(self.ordinal))
    }

    /// Size of the whole field, bytes.
    fn field_bytes(&self) -> usize {
        let content = self.content_bytes();
        ORIGIN_TAG.len() + varint_bytes(content as u64) + content
    }

    fn put(&self, into: &mut Vec<u8>) {
        let put_bytes = |into: &mut Vec<u8>, tag: u8, bytes: &[u8]| {
            into.push(tag);
            prost::encoding::encode_varint(bytes.len() as u64, into);
            into.extend_from_slice(bytes);
        };
        let put_number = |into: &mut Vec<u8>, tag: u8, number: u64| {
            into.push(tag);
            prost::encoding::encode_varint(number, into);
        };
        into.extend_from_slice(&ORIGIN_TAG);
        prost::encoding::encode_varint(self.content_bytes() as u64, into);
        put_bytes(into, 0x0A, self.stage.gateway_id.as_str().as_bytes());
        put_bytes(into, 0x12, self.stage.epoch.as_bytes());
        put_number(into, 0x18, self.lane as u64);
        put_number(into, 0x20, self.sequence.0);
        put_bytes(into, 0x2A, self.source.as_bytes());
        put_number(into, 0x30, self.ordinal);
    }
}

/// The origin in the last bytes of an event.
pub(crate) fn origin_of(event: &[u8], origin_bytes: u16) -> Option<v1::Origin> {
    let field = &event[event.len().checked_sub(usize::from(origin_bytes))?..];
    let mut content = field.strip_prefix(&ORIGIN_TAG)?;
    let length = usize::try_from(prost::encoding::decode_varint(&mut content).ok()?).ok()?;
    (length == content.len()).then(|| v1::Origin::decode(content).ok())?
}

/// The stage, held for a moment: several events that belong together are appended under one hold.
#[derive(Debug)]
pub struct StageGuard<'a>(pub(crate) MutexGuard<'a, Stage>);

impl StageGuard<'_> {
    /// How many occurrences of a content key were given, durable or not; 0 = none.
    /// A live event takes this plus one. The k-th equal line of a replay has been seen if k is not above it: appending it
    /// says whether it is stored still, or is taken again because it was lost.
    pub fn occurrences(&self, source: SourceId, device_id: &str, epoch: u64, key: &str) -> u32 {
        self.0.occurrences(source, key_hash(device_id, epoch, key))
    }

    /// Gives an event its place. It is durable once the watermark of its lane has reached that place.
    ///
    /// What is known already gets no number. Staged events are bounded: results at
    /// [`MAX_STAGED_RESULTS_BYTES`], telemetry at [`MAX_STAGED_TELEMETRY_BYTES`] and, for one source, its share of it.
    ///
    /// # Errors
    /// [`AppendError`]; in each case the event has no number. [`AppendError::Lost`] alone leaves a trace in the journal.
    ///
    /// # Panics
    /// For [`Lane::Unspecified`].
    pub fn append(&mut self, append: Append<'_>) -> Result<Appended, AppendError> {
        self.0.append(append)
    }

    /// The last sequence given in a lane, durable or not.
    pub fn staged_end(&self, lane: Lane) -> Sequence {
        self.0.lanes[lane].next.previous()
    }
}
