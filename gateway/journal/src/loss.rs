//! Losses for want of room that have begun and not ended: what a later process must know to end them.

use prost::Message;
use venue_schema::v1::{self, GapCause, GapState, Lane, event::Content, gap::Scope};

use crate::format::Fields;

/// Losses that are remembered from process to process; more than go on at a time. Beyond it the youngest are not.
pub(crate) const MAX_REMEMBERED_LOSSES: usize = 128;

const HAS_UTC: u8 = 1;
const HAS_MONOTONIC: u8 = 2;

/// A loss that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenLoss {
    pub(crate) lane: Lane,
    pub(crate) source: String,
    pub(crate) gap_id: String,
    /// Events counted so far.
    pub(crate) count: u64,
    /// When the first of them was received, UTC ns.
    pub(crate) first_receive_utc_ns: Option<i64>,
    /// The same on the clock that counts since the boot, ns.
    pub(crate) first_receive_monotonic_ns: Option<u64>,
}

/// Why events are lost that find no room in a lane.
pub(crate) fn cause_in(lane: Lane) -> GapCause {
    if lane == Lane::Results { GapCause::ReserveFull } else { GapCause::Shed }
}

impl OpenLoss {
    /// Reads one of the gateway's own events, if it is one that tells of a loss for want of room.
    pub(crate) fn read(lane: Lane, event: &[u8]) -> Option<(Self, GapState)> {
        let Content::Gap(gap) = v1::Event::decode(event).ok()?.content? else { return None };
        let (cause, state) = (gap.cause(), gap.state());
        let Scope::SourceRange(v1::SourceRange { source, last_ordinal: 0, .. }) = gap.scope? else { return None };
        let loss = Self {
            lane,
            source,
            gap_id: gap.gap_id,
            count: gap.count.unwrap_or(0),
            first_receive_utc_ns: gap.first_receive_utc_ns,
            first_receive_monotonic_ns: gap.first_receive_monotonic_ns,
        };
        (cause == cause_in(lane)).then_some((loss, state))
    }

    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        let has_utc = if self.first_receive_utc_ns.is_some() { HAS_UTC } else { 0 };
        let has_monotonic = if self.first_receive_monotonic_ns.is_some() { HAS_MONOTONIC } else { 0 };
        into.extend_from_slice(&[self.lane as u8, has_utc | has_monotonic, 0, 0]);
        into.extend_from_slice(&self.count.to_le_bytes());
        into.extend_from_slice(&self.first_receive_utc_ns.unwrap_or(0).to_le_bytes());
        into.extend_from_slice(&self.first_receive_monotonic_ns.unwrap_or(0).to_le_bytes());
        for text in [&self.source, &self.gap_id] {
            let length = u32::try_from(text.len()).expect("names of sources and losses are bounded");
            into.extend_from_slice(&length.to_le_bytes());
            into.extend_from_slice(text.as_bytes());
        }
    }

    pub(crate) fn take(fields: &mut Fields<'_>) -> Option<Self> {
        let [lane, known, ..] = fields.array::<4>()?;
        let lane = Lane::try_from(i32::from(lane)).ok().filter(|lane| Lane::ALL.contains(lane))?;
        let count = fields.u64()?;
        let (utc_ns, monotonic_ns) = (fields.i64()?, fields.u64()?);
        let mut text = || {
            let length = usize::try_from(fields.u32()?).ok()?;
            std::str::from_utf8(fields.bytes(length)?).ok().map(str::to_owned)
        };
        Some(Self {
            lane,
            source: text()?,
            gap_id: text()?,
            count,
            first_receive_utc_ns: (known & HAS_UTC != 0).then_some(utc_ns),
            first_receive_monotonic_ns: (known & HAS_MONOTONIC != 0).then_some(monotonic_ns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes in a checkpoint are frozen, and read back.
    #[test]
    fn a_loss_is_written_as_it_was_frozen() {
        let loss = OpenLoss {
            lane: Lane::Telemetry,
            source: "wind".into(),
            gap_id: "g-1".into(),
            count: 258,
            first_receive_utc_ns: None,
            first_receive_monotonic_ns: Some(7),
        };
        let mut bytes = Vec::new();
        loss.put(&mut bytes);
        let frozen = b"\x02\x02\0\0\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x04\0\0\0wind\x03\0\0\0g-1";
        assert_eq!(bytes, frozen);
        assert_eq!(OpenLoss::take(&mut Fields(&bytes)), Some(loss));
        assert_eq!(OpenLoss::take(&mut Fields(&bytes[..bytes.len() - 1])), None);
    }
}
