//! Losses that go on. Events that nobody keeps and that found no room are counted and told by gap events; gaps that
//! others open for a source are remembered until they are ended.

use std::collections::BTreeMap;

use prost::Message;
use venue_schema::{
    Sequence,
    v1::{self, GapState, Lane, event::Content, gap::Scope},
};

use super::{Append, AppendError, Appended, SourceId, Stage};
use crate::{
    config::{MAX_STAGED_RESULTS_BYTES, MAX_STAGED_TELEMETRY_BYTES},
    format::RecordKind,
    gap::{GATEWAY_SOURCE, Loss, LossExtent},
    loss::{MAX_REMEMBERED_LOSSES, OpenGap, cause_in},
};

/// Losses that are told apart by source at a time; further sources are counted as the gateway's.
const MAX_OPEN_LOSSES: usize = 64;

/// A loss that goes on.
#[derive(Debug, Clone)]
struct Running {
    gap_id: String,
    extent: LossExtent,
    /// The record that opens it is staged.
    opened: bool,
}

/// A loss whose last record is staged: until that is durable, a checkpoint must still name it.
#[derive(Debug, Clone)]
struct Closing {
    loss: OpenGap,
    sequence: Sequence,
}

/// A record, not durable yet, that opens or ends a gap of a source.
#[derive(Debug, Clone)]
struct StagedGap {
    gap: OpenGap,
    state: GapState,
    sequence: Sequence,
}

/// Losses by what became of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Losses {
    /// Those that go on, by lane and source.
    running: BTreeMap<(i32, u32), Running>,
    /// Those that went on when a process before this one stopped.
    cut_short: Vec<OpenGap>,
    closing: Vec<Closing>,
    /// Gaps of sources that a durable record opens and none ends, oldest first.
    of_sources: Vec<OpenGap>,
    /// What will change them once it is durable.
    staged: Vec<StagedGap>,
}

impl Stage {
    /// Counts an event that is lost; the first of a loss is told at once.
    pub(super) fn count_loss(&mut self, append: &Append<'_>) {
        let mut key = (i32::from(append.lane), append.source.0);
        if !self.losses.running.contains_key(&key) && self.losses.running.len() >= MAX_OPEN_LOSSES {
            key.1 = self.source(GATEWAY_SOURCE).0;
        }
        let gap_id =
            format!("{}-lost-{}-{}", &self.epoch.to_string()[..8], append.lane.name(), self.lanes[append.lane].next);
        let fresh = || Running { gap_id: format!("{gap_id}-{}", key.1), extent: LossExtent::default(), opened: false };
        let loss = self.losses.running.entry(key).or_insert_with(fresh);
        loss.extent.count_event(append.event.len() as u64, append.receive_utc_ns, append.receive_monotonic_ns);
        self.tell_openings();
    }

    /// Takes in losses that a process before this one could not end. Those for want of room are ended as soon as there is
    /// room to say so; those of sources are left to whoever hears the source.
    pub(crate) fn remember_losses(&mut self, losses: impl IntoIterator<Item = OpenGap>) {
        let (cut_short, of_sources) = losses.into_iter().partition(OpenGap::is_for_want_of_room);
        (self.losses.cut_short, self.losses.of_sources) = (cut_short, of_sources);
        self.losses.cut_short.truncate(MAX_REMEMBERED_LOSSES);
        self.losses.of_sources.truncate(MAX_REMEMBERED_LOSSES);
    }

    /// Losses that no durable record ends yet, for a checkpoint.
    pub(crate) fn open_losses(&self) -> Vec<OpenGap> {
        let running = self.losses.running.iter().map(|(key, loss)| self.as_open(*key, loss));
        let closing = self.losses.closing.iter().map(|closing| closing.loss.clone());
        let for_want_of_room = self.losses.cut_short.iter().cloned().chain(closing).chain(running);
        for_want_of_room.chain(self.losses.of_sources.iter().cloned()).take(MAX_REMEMBERED_LOSSES).collect()
    }

    /// Gaps of sources that are not ended, durable or not, oldest first.
    pub(crate) fn open_gaps(&self) -> Vec<OpenGap> {
        let mut open = self.losses.of_sources.clone();
        self.losses.staged.iter().for_each(|staged| staged.apply_to(&mut open));
        open
    }

    /// Appends an event that opens or ends a gap of its source.
    pub(super) fn append_source_gap(&mut self, append: Append<'_>, gap: &v1::Gap) -> Result<Appended, AppendError> {
        let (lane, source, state) = (append.lane, append.source, gap.state());
        let appended = self.append(append, state == GapState::Open)?;
        if let Appended::Stored { sequence, .. } = appended {
            let gap = OpenGap::of(lane, &self.known[source.0 as usize].name, gap);
            self.note_gap(gap, state, sequence);
        }
        Ok(appended)
    }

    /// Takes in that a staged record opens or ends a gap of a source.
    pub(crate) fn note_gap(&mut self, gap: OpenGap, state: GapState, sequence: Sequence) {
        self.losses.staged.push(StagedGap { gap, state, sequence });
    }

    /// The same losses for a stage of another epoch, in which nothing is staged yet.
    pub(crate) fn carry_losses_to(&self, other: &mut Self) {
        other.losses = Losses { closing: Vec::new(), ..self.losses.clone() };
    }

    fn as_open(&self, key: (i32, u32), loss: &Running) -> OpenGap {
        OpenGap {
            lane: lane_of(key),
            source: self.known[key.1 as usize].name.clone(),
            gap_id: loss.gap_id.clone(),
            cause: cause_in(lane_of(key)),
            count: loss.extent.count.unwrap_or(0),
            first_receive_utc_ns: loss.extent.receive_utc_ns.map(|(first, _)| first),
            first_receive_monotonic_ns: loss.extent.receive_monotonic_ns.map(|(first, _)| first),
        }
    }

    /// Tells of losses whose opening found no room so far.
    fn tell_openings(&mut self) {
        let untold: Vec<_> = self.losses.running.iter().filter(|(_, loss)| !loss.opened).map(|(key, _)| *key).collect();
        for key in untold {
            let told = self.tell(key, GapState::Open).is_some();
            if let Some(loss) = self.losses.running.get_mut(&key) {
                loss.opened = told;
            }
        }
    }

    /// Closes the losses of lanes that have room again, and those of processes before this one. Called at open, after
    /// each commit and by housekeeping.
    pub(crate) fn close_losses(&mut self) {
        self.close_cut_short();
        if self.losses.running.is_empty() {
            return;
        }
        self.tell_openings();
        for lane in Lane::ALL {
            if self.has_room_again(lane) {
                self.close_running(lane);
            }
        }
    }

    /// Closes all losses, for this process counts no longer. What finds no room is ended by the next one.
    pub(crate) fn end_losses(&mut self) {
        self.close_cut_short();
        Lane::ALL.into_iter().for_each(|lane| self.close_running(lane));
    }

    fn close_running(&mut self, lane: Lane) {
        let keys: Vec<_> = self.losses.running.keys().filter(|key| key.0 == i32::from(lane)).copied().collect();
        for key in keys {
            if let Some(sequence) = self.tell(key, GapState::Closed)
                && let Some(loss) = self.losses.running.remove(&key)
            {
                let loss = self.as_open(key, &loss);
                self.losses.closing.push(Closing { loss, sequence });
            }
        }
    }

    /// Ends losses that were still counted when a process stopped: how many events went, and until when, is not known.
    fn close_cut_short(&mut self) {
        for loss in std::mem::take(&mut self.losses.cut_short) {
            let event = self.end_of_cut_short(&loss);
            match self.append_gap_event(loss.lane, RecordKind::Event, &event) {
                Some(sequence) => self.losses.closing.push(Closing { loss, sequence }),
                None => self.losses.cut_short.push(loss),
            }
        }
    }

    fn end_of_cut_short(&self, loss: &OpenGap) -> Vec<u8> {
        let source = loss.source.clone();
        let text = format!(
            "events of {source} were lost for want of room, at least {}; the gateway stopped before it had counted them",
            loss.count
        );
        let mut event = self.author.event(Loss {
            cause: cause_in(loss.lane),
            state: GapState::Closed,
            scope: Scope::SourceRange(v1::SourceRange { source, first_ordinal: 0, last_ordinal: 0 }),
            extent: LossExtent::default(),
            gap_id: loss.gap_id.clone(),
            text,
        });
        if let Some(Content::Gap(gap)) = &mut event.content {
            gap.first_receive_utc_ns = loss.first_receive_utc_ns;
            gap.first_receive_monotonic_ns = loss.first_receive_monotonic_ns;
        }
        event.encode_to_vec()
    }

    /// Takes in that a lane is durable up to a place: losses that begin or end up to there have begun or are over.
    pub(super) fn settle_losses(&mut self, lane: Lane, durable: Sequence) {
        self.losses.closing.retain(|closing| closing.loss.lane != lane || closing.sequence > durable);
        let settled = |staged: &mut StagedGap| staged.gap.lane == lane && staged.sequence <= durable;
        for staged in self.losses.staged.extract_if(.., settled) {
            staged.apply_to(&mut self.losses.of_sources);
        }
    }

    /// Room for a good deal more than one event, so that a loss is not closed and opened by turns.
    fn has_room_again(&self, lane: Lane) -> bool {
        let stage = &self.lanes[lane];
        let bound = if lane == Lane::Results { MAX_STAGED_RESULTS_BYTES } else { MAX_STAGED_TELEMETRY_BYTES };
        let wanted = stage.staged_bytes + 4 * self.largest_record.max(4096);
        !self.halted && stage.staged_bytes <= bound / 2 && wanted <= stage.room.any
    }

    /// Stages the record of a loss; its place, or none if there is no room for it.
    fn tell(&mut self, key: (i32, u32), state: GapState) -> Option<Sequence> {
        let (lane, source) = (lane_of(key), SourceId(key.1));
        let loss = self.losses.running.get(&key).cloned()?;
        let name = self.known[source.0 as usize].name.clone();
        let text = match state {
            GapState::Open => format!("no room for what {name} says: it is being lost"),
            _ => format!("{} events of {name} were lost for want of room", loss.extent.count.unwrap_or(0)),
        };
        let scope = Scope::SourceRange(v1::SourceRange { source: name, first_ordinal: 0, last_ordinal: 0 });
        let loss = Loss { cause: cause_in(lane), state, scope, extent: loss.extent, gap_id: loss.gap_id, text };
        self.append_gap(lane, RecordKind::Event, loss)
    }

    /// Whether events of a lane are being lost now.
    pub(crate) fn is_losing(&self, lane: Lane) -> bool {
        self.losses.running.keys().any(|key| key.0 == i32::from(lane))
    }
}

impl StagedGap {
    fn apply_to(&self, open: &mut Vec<OpenGap>) {
        open.retain(|gap| gap.gap_id != self.gap.gap_id);
        if self.state == GapState::Open && open.len() < MAX_REMEMBERED_LOSSES {
            open.push(self.gap.clone());
        }
    }
}

fn lane_of(key: (i32, u32)) -> Lane {
    Lane::try_from(key.0).expect("keys are made of lanes")
}

#[cfg(test)]
mod tests {
    use venue_schema::{GatewayId, JournalEpoch};

    use super::*;
    use crate::{IdentityRef, JournalConfig, PerLane, stage::Room};

    /// A checkpoint that is written between the staging of a loss's last record and its commit still names the loss.
    #[test]
    fn a_loss_is_open_until_its_end_is_durable() {
        let epoch = JournalEpoch::from_bytes([1; 16]);
        let config = JournalConfig::new(GatewayId::new("stade-1-a").unwrap(), "stade-1", epoch);
        let mut stage = Stage::new(&config, epoch, PerLane::default(), Vec::new());
        let source = stage.source("serial");
        let lost = Append {
            lane: Lane::Results,
            source,
            identity: IdentityRef::None,
            refusable: false,
            event: b"",
            receive_utc_ns: Some(5),
            receive_monotonic_ns: 6,
        };
        // No room but that for loss records.
        assert!(stage.append(lost, false).is_err() && stage.append(lost, false).is_err());
        let open = stage.open_losses();
        assert_eq!((open.len(), open[0].count, open[0].first_receive_utc_ns), (1, 2, Some(5)));
        let opening = stage.take(Lane::Results, usize::MAX);
        stage.publish(Lane::Results, &opening);
        stage.lanes.results.room = Room { refusable: u64::MAX, any: u64::MAX };
        stage.close_losses();
        assert!(!stage.is_losing(Lane::Results));
        assert_eq!(stage.open_losses(), open);
        let ending = stage.take(Lane::Results, usize::MAX);
        assert_eq!(ending.records.len(), 1);
        stage.publish(Lane::Results, &ending);
        assert_eq!(stage.open_losses(), []);
    }
}
