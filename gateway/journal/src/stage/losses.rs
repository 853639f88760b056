//! Events that nobody keeps and that found no room: counted, and told by gap events.

use std::collections::BTreeMap;

use venue_schema::v1::{self, GapCause, GapState, Lane, gap::Scope};

use super::{Append, SourceId, Stage};
use crate::{
    config::{MAX_STAGED_RESULTS_BYTES, MAX_STAGED_TELEMETRY_BYTES},
    format::RecordKind,
    gap::{GATEWAY_SOURCE, Loss, LossExtent},
};

/// Losses that are told apart by source at a time; further sources are counted as the gateway's.
const MAX_OPEN_LOSSES: usize = 64;

/// A loss that goes on.
#[derive(Debug, Clone)]
struct OpenLoss {
    gap_id: String,
    extent: LossExtent,
    /// The record that opens it is staged.
    opened: bool,
}

/// Losses that go on, by lane and source.
#[derive(Debug, Default)]
pub(super) struct Losses {
    open: BTreeMap<(i32, u32), OpenLoss>,
}

impl Stage {
    /// Counts an event that is lost; the first of a loss is told at once.
    pub(super) fn count_loss(&mut self, append: &Append<'_>) {
        let mut key = (i32::from(append.lane), append.source.0);
        if !self.losses.open.contains_key(&key) && self.losses.open.len() >= MAX_OPEN_LOSSES {
            key.1 = self.source(GATEWAY_SOURCE).0;
        }
        let gap_id =
            format!("{}-lost-{}-{}", &self.epoch.to_string()[..8], append.lane.name(), self.lanes[append.lane].next);
        let fresh = || OpenLoss { gap_id: format!("{gap_id}-{}", key.1), extent: LossExtent::default(), opened: false };
        let loss = self.losses.open.entry(key).or_insert_with(fresh);
        loss.extent.count_event(append.event.len() as u64, append.receive_utc_ns, append.receive_monotonic_ns);
        self.tell_openings();
    }

    /// Tells of losses whose opening found no room so far.
    fn tell_openings(&mut self) {
        let untold: Vec<_> = self.losses.open.iter().filter(|(_, loss)| !loss.opened).map(|(key, _)| *key).collect();
        for key in untold {
            let told = self.tell(key, GapState::Open);
            if let Some(loss) = self.losses.open.get_mut(&key) {
                loss.opened = told;
            }
        }
    }

    /// Closes the losses of lanes that have room again. Called after each commit and by housekeeping.
    pub(crate) fn close_losses(&mut self) {
        if self.losses.open.is_empty() {
            return;
        }
        self.tell_openings();
        for lane in Lane::ALL {
            if self.has_room_again(lane) {
                let of_lane = |key: &&(i32, u32)| key.0 == i32::from(lane);
                for key in self.losses.open.keys().filter(of_lane).copied().collect::<Vec<_>>() {
                    if self.tell(key, GapState::Closed) {
                        self.losses.open.remove(&key);
                    }
                }
            }
        }
    }

    /// Room for a good deal more than one event, so that a loss is not closed and opened by turns.
    fn has_room_again(&self, lane: Lane) -> bool {
        let stage = &self.lanes[lane];
        let bound = if lane == Lane::Results { MAX_STAGED_RESULTS_BYTES } else { MAX_STAGED_TELEMETRY_BYTES };
        let wanted = stage.staged_bytes + 4 * self.largest_record.max(4096);
        !self.halted && stage.staged_bytes <= bound / 2 && wanted <= stage.room.any
    }

    fn tell(&mut self, key: (i32, u32), state: GapState) -> bool {
        let (lane, source) = (Lane::try_from(key.0).expect("keys are made of lanes"), SourceId(key.1));
        let Some(loss) = self.losses.open.get(&key).cloned() else { return false };
        let name = self.known[source.0 as usize].name.clone();
        let cause = if lane == Lane::Results { GapCause::ReserveFull } else { GapCause::Shed };
        let text = match state {
            GapState::Open => format!("no room for what {name} says: it is being lost"),
            _ => format!("{} events of {name} were lost for want of room", loss.extent.count.unwrap_or(0)),
        };
        let scope = Scope::SourceRange(v1::SourceRange { source: name, first_ordinal: 0, last_ordinal: 0 });
        let loss = Loss { cause, state, scope, extent: loss.extent, gap_id: loss.gap_id, text };
        self.append_gap(lane, RecordKind::Event, loss)
    }

    /// Whether events of a lane are being lost now.
    pub(crate) fn is_losing(&self, lane: Lane) -> bool {
        self.losses.open.keys().any(|key| key.0 == i32::from(lane))
    }
}
