//! Where events gather between append and commit: numbers, identities, and bounds.

mod admission;
mod append;
mod batch;
mod due;
mod guard;
mod holes;
mod known;
mod losses;
mod origin;

pub(crate) use admission::Room;
pub use append::{Append, AppendError, Appended, MAX_SOURCE_NAME_BYTES, SourceId};
pub(crate) use batch::{Batch, StagedRecord};
pub(crate) use due::CommitTimes;
pub use due::{CLOSING_COMMIT_DELAY, CommitDue};
pub use guard::StageGuard;
pub(crate) use holes::StagedHole;
pub(crate) use origin::origin_of;

use std::collections::BTreeMap;

use prost::Message;
use venue_schema::{GatewayId, JournalEpoch, Sequence, v1::Lane};

use self::{admission::StageBounds, known::Pending, losses::Losses, origin::OriginRef};
use crate::{
    PerLane,
    config::{JournalConfig, LOSS_RECORD_BYTES, MAX_STAGED_RESULTS_BYTES, MAX_STAGED_TELEMETRY_BYTES},
    format::{RecordHeader, RecordKind, frame_element, varint_bytes},
    gap::{GATEWAY_SOURCE, GapAuthor, Loss},
    identity::{Identity, IdentityRef, LookupMap, SourceKnowledge},
};

/// A lane's part of the stage.
#[derive(Debug)]
pub(crate) struct LaneStage {
    /// The sequence that the next event gets.
    pub(crate) next: Sequence,
    pub(crate) durable: Sequence,
    pub(crate) waiting: Batch,
    /// Room of an earlier batch, for the next.
    spare: Batch,
    /// Bytes waiting or being written, with what their commits cost.
    pub(crate) staged_bytes: u64,
    pub(crate) room: Room,
    /// A batch was taken and could not be written; it goes first.
    pub(crate) must_retry: bool,
    /// It could not be written for want of space.
    pub(crate) no_space: bool,
    /// Records that were deleted before every required cursor had passed them, since the journal was opened.
    pub(crate) shed_records: u64,
}

/// A source's part of the stage.
#[derive(Debug, Default)]
struct StagedSource {
    next_ordinal: u64,
    /// Telemetry of it that waits or is being written, bytes.
    telemetry_bytes: u64,
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
    /// What the largest record so far cost, bytes, with a commit of its own.
    pub(crate) largest_record: u64,
    losses: Losses,
    /// Declarations of holes that are not durable yet.
    holes: Vec<StagedHole>,
}

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
                spare: Batch::starting_at(Sequence::ZERO),
                staged_bytes: 0,
                room: Room::default(),
                must_retry: false,
                no_space: false,
                shed_records: 0,
            }),
            halted: false,
            times: CommitTimes::default(),
            largest_record: 0,
            losses: Losses::default(),
            holes: Vec::new(),
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
            None => self.add_source(SourceKnowledge::beginning_behind(self.passed_by_unknown(), name)),
        })
    }

    /// Gives an event its place. `own`: the gateway itself says it.
    pub(crate) fn append(&mut self, append: Append<'_>, own: bool) -> Result<Appended, AppendError> {
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
        let sequence = self.put(RecordKind::Event, &append, identity, own);
        self.remember_pending(append.lane, append.source, identity, sequence);
        Ok(Appended::Stored { lane: append.lane, sequence })
    }

    /// Stages a record under the next sequence of its lane and the next ordinal of its source.
    fn put(&mut self, kind: RecordKind, append: &Append<'_>, identity: Option<Identity>, own: bool) -> Sequence {
        let sequence = self.lanes[append.lane].next;
        let ordinal = self.staged[append.source.0 as usize].next_ordinal;
        self.staged[append.source.0 as usize].next_ordinal += 1;
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
            own,
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
            received: header.received(),
        });
        lane.staged_bytes += cost;
        lane.next = sequence.next();
        assert!(lane.durable < sequence, "sequence {sequence} is staged at or below the durable {}", lane.durable);
        if append.lane == Lane::Telemetry {
            self.staged[append.source.0 as usize].telemetry_bytes += cost;
        }
        sequence
    }

    /// Stages one of the gateway's own gap events, which no bound but that of loss records holds back.
    /// Its place, or none if there was no room.
    pub(crate) fn append_gap(&mut self, lane: Lane, kind: RecordKind, loss: Loss) -> Option<Sequence> {
        let event = self.author.event(loss).encode_to_vec();
        self.append_gap_event(lane, kind, &event)
    }

    fn append_gap_event(&mut self, lane: Lane, kind: RecordKind, event: &[u8]) -> Option<Sequence> {
        let source = self.source(GATEWAY_SOURCE);
        let append = of_gateway(lane, source, event);
        let stage = &self.lanes[lane];
        let bound = MAX_STAGED_RESULTS_BYTES.max(MAX_STAGED_TELEMETRY_BYTES).min(stage.room.any);
        if stage.staged_bytes + self.cost(&append) > bound.saturating_add(LOSS_RECORD_BYTES) {
            return None;
        }
        Some(self.put(kind, &append, None, true))
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
        self.put(RecordKind::Event, &append, header.identity, header.own);
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
            self.largest_record = self.largest_record.max(u64::from(record.cost));
            self.remember_pending(lane, SourceId(record.source), record.identity, sequence);
            sequence = sequence.next();
        }
        let stage = &mut self.lanes[lane];
        assert_eq!(batch.first, stage.next, "kept records follow what is durable");
        stage.next = sequence;
        stage.waiting.first = sequence;
        stage.must_retry = true;
    }

    /// Takes all that waits into a batch behind records that recovery kept, to be written with them.
    pub(crate) fn take_behind(&mut self, lane: Lane, kept: &mut Batch) {
        let mut waiting = self.take(lane, usize::MAX);
        assert_eq!(waiting.first, kept.last().next(), "what waits follows what was kept");
        kept.bytes.append(&mut waiting.bytes);
        kept.records.append(&mut waiting.records);
        self.lanes[lane].must_retry = true;
    }

    /// Whether anything is not durable yet: staged, or taken by a commit that found no space or failed.
    pub(crate) fn has_waiting(&self) -> bool {
        self.lanes_waiting().next().is_some()
    }

    /// The lanes that have something to write.
    pub(crate) fn lanes_waiting(&self) -> impl Iterator<Item = &LaneStage> {
        let lanes = Lane::ALL.into_iter().map(|lane| &self.lanes[lane]);
        lanes.filter(|lane| lane.must_retry || !lane.waiting.is_empty())
    }

    /// Takes waiting records for a commit, of at most `limit` bytes but at least one.
    pub(crate) fn take(&mut self, lane: Lane, limit: usize) -> Batch {
        if lane == Lane::Telemetry {
            self.times.telemetry_seen = None;
        }
        let lane = &mut self.lanes[lane];
        let taken = lane.waiting.take(limit, lane.next);
        if lane.waiting.is_empty() {
            let first = lane.waiting.first;
            lane.waiting = Batch { first, ..std::mem::replace(&mut lane.spare, Batch::starting_at(first)) };
        }
        taken
    }

    /// Keeps the room of a batch that is durable.
    pub(crate) fn keep_room(&mut self, lane: Lane, batch: Batch) {
        self.lanes[lane].spare = batch.emptied();
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
        self.settle_holes(lane, batch.last());
    }
}

/// An event of the gateway itself, which was not received.
fn of_gateway(lane: Lane, source: SourceId, event: &[u8]) -> Append<'_> {
    Append {
        lane,
        source,
        identity: IdentityRef::None,
        refusable: false,
        event,
        receive_utc_ns: None,
        receive_monotonic_ns: 0,
    }
}
