//! Which identities are known: those of durable records, and those of records that wait for it.

use venue_schema::{Sequence, v1::Lane};

use super::{Appended, SourceId, Stage, StagedRecord};
use crate::identity::{Identity, SourceKnowledge};

/// Where an identity that is not durable yet stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) occurrence: u32,
    pub(super) lane: Lane,
    pub(super) sequence: Sequence,
}

impl Stage {
    pub(super) fn occurrences(&self, source: SourceId, hash: u128) -> u32 {
        let durable = self.known[source.0 as usize].keys.occurrences(hash).given;
        self.pending_keys.get(&(source.0, hash)).map_or(durable, |pending| pending.occurrence.max(durable))
    }

    /// Forgets the identities of all sources, for stored records are lost and it cannot be told of which
    /// source they were. What waits for its commit is not among the lost, and stays known.
    pub(crate) fn forget_identities(&mut self) {
        self.known.iter_mut().for_each(SourceKnowledge::forget_identities);
    }

    /// Where an identity is covered, if it is known.
    pub(super) fn find(&self, lane: Lane, source: SourceId, identity: Identity) -> Option<Appended> {
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

    pub(super) fn remember_pending(
        &mut self,
        lane: Lane,
        source: SourceId,
        identity: Option<Identity>,
        sequence: Sequence,
    ) {
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

    pub(super) fn forget_pending(&mut self, record: &StagedRecord, sequence: Sequence) {
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
}
