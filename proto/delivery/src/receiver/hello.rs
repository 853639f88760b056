//! A hello, checked.

use venue_schema::{Digest, GatewayId, JournalEpoch, Sequence, v1};

use super::store::LaneKey;
use crate::{Code, Mark, PROTOCOL_VERSION, StreamEnd};

/// Who is at the other end of a stream, as the transport proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// The DNS names of its client certificate. The gateway's id must be one of them.
    Certified(Vec<String>),
    /// There is no certificate; the hello's name is believed. For the bench only.
    Believed,
}

/// A hello whose fields have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) lane: LaneKey,
    pub(super) acknowledged: Mark,
    pub(super) predecessors: Vec<JournalEpoch>,
    /// The version that both ends speak.
    pub(super) protocol_version: u32,
}

impl Opening {
    /// Checks the fields of a hello, and that the peer may speak for the gateway.
    pub(super) fn parse(hello: &v1::Hello, peer: &Peer) -> Result<Self, StreamEnd> {
        let gateway_id = GatewayId::new(&hello.gateway_id).map_err(broken)?;
        permit(&gateway_id, peer)?;
        if hello.protocol_version == 0 {
            return Err(broken("the hello names no protocol version"));
        }
        let journal_epoch = JournalEpoch::from_slice(&hello.journal_epoch).map_err(broken)?;
        let lane = match hello.lane() {
            v1::Lane::Unspecified => return Err(broken(format!("no lane has the number {}", hello.lane))),
            lane => lane,
        };
        let predecessors = hello.predecessor_epochs.iter().map(|epoch| JournalEpoch::from_slice(epoch));
        let predecessors = predecessors.collect::<Result<Vec<_>, _>>().map_err(broken)?;
        if predecessors.contains(&journal_epoch) {
            return Err(broken("a journal cannot succeed itself"));
        }
        let digest = Digest::from_slice(&hello.last_acknowledged_digest)
            .ok_or_else(|| broken("the digest of a hello has 32 bytes"))?;
        let acknowledged = Mark { sequence: Sequence(hello.last_acknowledged_sequence), digest };
        let protocol_version = hello.protocol_version.min(PROTOCOL_VERSION);
        let lane = LaneKey::new(gateway_id, journal_epoch, lane);
        Ok(Self { lane, acknowledged, predecessors, protocol_version })
    }

    /// Checks that both ends agree wherever both know a digest: at the start of
    /// the lane, and at the receiver's mark.
    pub(super) fn check_digest(&self, held: Mark) -> Result<(), StreamEnd> {
        let known = [self.lane.initial_mark(), held];
        match known.into_iter().find(|known| known.sequence == self.acknowledged.sequence) {
            Some(known) if known.digest != self.acknowledged.digest => Err(StreamEnd::new(
                Code::FailedPrecondition,
                format!(
                    "the digests of {} differ at sequence {}: here {}, there {}",
                    self.lane, known.sequence, known.digest, self.acknowledged.digest
                ),
            )),
            _ => Ok(()),
        }
    }
}

fn permit(gateway_id: &GatewayId, peer: &Peer) -> Result<(), StreamEnd> {
    match peer {
        Peer::Certified(names) if !names.iter().any(|name| name == gateway_id.as_str()) => {
            let message = format!("`{gateway_id}` is not among the DNS names of the certificate: {}", names.join(", "));
            Err(StreamEnd::new(Code::PermissionDenied, message))
        }
        Peer::Certified(_) | Peer::Believed => Ok(()),
    }
}

fn broken(what: impl ToString) -> StreamEnd {
    StreamEnd::new(Code::InvalidArgument, what.to_string())
}
