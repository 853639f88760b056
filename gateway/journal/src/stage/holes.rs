//! Holes in the ordinals of sources: declared by events, and known once those are durable.

use prost::Message;
use venue_schema::{
    Sequence,
    v1::{self, GapCause, GapState, Lane, gap::Scope},
};

use super::{Stage, of_gateway};
use crate::{
    format::RecordKind,
    gap::{GATEWAY_SOURCE, Loss, LossExtent},
    identity::UNKNOWN_SOURCES,
    recovery::OrdinalHole,
};

/// A staged record that declares a hole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StagedHole {
    pub(crate) lane: Lane,
    pub(crate) sequence: Sequence,
    pub(crate) source: u32,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Stage {
    /// Sees to it that no ordinal of these holes is given again, and stages the events that declare them, past all
    /// bounds: there are at most two a source. `damaged`: stored records were lost.
    pub(crate) fn declare_holes(&mut self, holes: &[OrdinalHole], damaged: bool) {
        // Also the gateway's own, which these events take.
        for hole in holes {
            let source = self.source(&hole.source).0;
            self.pass(source, hole.last);
        }
        for hole in holes {
            let event = self.author.event(self.loss_of(hole, damaged)).encode_to_vec();
            let source = self.source(GATEWAY_SOURCE);
            let lane = Lane::Results;
            let sequence = self.put(RecordKind::OrdinalGap, &of_gateway(lane, source, &event), None, true);
            let source = self.source(&hole.source).0;
            self.note_hole(StagedHole { lane, sequence, source, first: hole.first, last: hole.last });
        }
    }

    fn loss_of(&self, hole: &OrdinalHole, damaged: bool) -> Loss {
        let OrdinalHole { source, first, last, count } = hole;
        let (cause, text) = match (count, damaged) {
            (None, _) => {
                let whose = if source == UNKNOWN_SOURCES { "each source that has no other record" } else { source };
                let at_most = last - first + 1;
                (GapCause::Quarantined, format!("up to {at_most} events of {whose} may have been in damaged records"))
            }
            (Some(count), true) => {
                let reason = "in damaged records, or not yet durable when the gateway stopped";
                (GapCause::Quarantined, format!("{count} events of {source} were {reason}"))
            }
            (Some(count), false) => {
                let reason = "taken in and not yet durable when the gateway stopped";
                (GapCause::NeverDurable, format!("{count} events of {source} were {reason}"))
            }
        };
        let (source, first_ordinal, last_ordinal) = (source.clone(), *first, *last);
        Loss {
            cause,
            state: GapState::Closed,
            gap_id: format!("{}-hole-{source}-{first}", &self.epoch.to_string()[..8]),
            scope: Scope::SourceRange(v1::SourceRange { source, first_ordinal, last_ordinal }),
            extent: LossExtent { count: *count, ..LossExtent::default() },
            text,
        }
    }

    /// Takes in that a staged record declares a hole.
    pub(crate) fn note_hole(&mut self, hole: StagedHole) {
        self.pass(hole.source, hole.last);
        self.holes.push(hole);
    }

    fn pass(&mut self, source: u32, ordinal: u64) {
        let next = &mut self.staged[source as usize].next_ordinal;
        *next = (ordinal + 1).max(*next);
    }

    /// Takes in that a lane is durable up to a place: holes that are declared up to there are none any longer.
    pub(super) fn settle_holes(&mut self, lane: Lane, durable: Sequence) {
        for hole in self.holes.extract_if(.., |hole| hole.lane == lane && hole.sequence <= durable) {
            self.known[hole.source as usize].ordinals.insert_range(hole.first, hole.last);
        }
    }

    /// The last ordinal that a source which is not known may have.
    pub(super) fn passed_by_unknown(&self) -> u64 {
        self.by_name.get(UNKNOWN_SOURCES).map_or(0, |&index| self.staged[index as usize].next_ordinal - 1)
    }
}
