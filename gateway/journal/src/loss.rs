//! Losses that have begun and not ended: what a later process must know to end them under their names.

use prost::Message;
use venue_schema::v1::{self, GapCause, GapState, Lane, gap::Scope};

use crate::{format::Fields, gap::GATEWAY_SOURCE};

/// Losses that are remembered from process to process; more than go on at a time. Beyond it the youngest are not.
pub(crate) const MAX_REMEMBERED_LOSSES: usize = 128;

const HAS_UTC: u8 = 1;
const HAS_MONOTONIC: u8 = 2;

/// A gap that was opened and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenGap {
    /// The lane that it was opened in.
    pub lane: Lane,
    /// The source that it concerns.
    pub source: String,
    /// Its name, under which it is to be ended.
    pub gap_id: String,
    /// Why something is lost.
    pub cause: GapCause,
    /// Events counted so far.
    pub count: u64,
    /// When it began, UTC ns.
    pub first_receive_utc_ns: Option<i64>,
    /// The same on the clock that counts since the boot, ns.
    pub first_receive_monotonic_ns: Option<u64>,
}

/// An event of which nothing but a gap is read.
#[derive(Clone, PartialEq, Message)]
struct GapEvent {
    #[prost(message, optional, tag = "19")]
    gap: Option<v1::Gap>,
}

/// Why events are lost that find no room in a lane.
pub(crate) fn cause_in(lane: Lane) -> GapCause {
    if lane == Lane::Results { GapCause::ReserveFull } else { GapCause::Shed }
}

impl OpenGap {
    /// What a gap says that is filed under a source.
    pub(crate) fn of(lane: Lane, source: &str, gap: &v1::Gap) -> Self {
        let concerned = match &gap.scope {
            // A loss for want of room: the gateway tells of it, and it concerns another.
            Some(Scope::SourceRange(range)) if source == GATEWAY_SOURCE => &range.source,
            _ => source,
        };
        Self {
            lane,
            source: concerned.to_owned(),
            gap_id: gap.gap_id.clone(),
            cause: gap.cause(),
            count: gap.count.unwrap_or(0),
            first_receive_utc_ns: gap.first_receive_utc_ns,
            first_receive_monotonic_ns: gap.first_receive_monotonic_ns,
        }
    }

    /// Reads a serialized event that is filed under a source, if it is one that tells of a gap.
    pub(crate) fn read(lane: Lane, source: &str, event: &[u8]) -> Option<(Self, GapState)> {
        let gap = GapEvent::decode(event).ok()?.gap?;
        Some((Self::of(lane, source, &gap), gap.state()))
    }

    /// Whether it is for want of room in the journal, which opens and ends such a gap by itself.
    pub(crate) fn is_for_want_of_room(&self) -> bool {
        self.cause == cause_in(self.lane)
    }

    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        let has_utc = if self.first_receive_utc_ns.is_some() { HAS_UTC } else { 0 };
        let has_monotonic = if self.first_receive_monotonic_ns.is_some() { HAS_MONOTONIC } else { 0 };
        let cause = if self.is_for_want_of_room() { 0 } else { self.cause as u8 };
        into.extend_from_slice(&[self.lane as u8, has_utc | has_monotonic, cause, 0]);
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
        let [lane, known, cause, _] = fields.array::<4>()?;
        let lane = Lane::try_from(i32::from(lane)).ok().filter(|lane| Lane::ALL.contains(lane))?;
        let cause = match cause {
            0 => cause_in(lane),
            // One that a later version knows is still a gap that must be ended.
            cause => GapCause::try_from(i32::from(cause)).unwrap_or_default(),
        };
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
            cause,
            count,
            first_receive_utc_ns: (known & HAS_UTC != 0).then_some(utc_ns),
            first_receive_monotonic_ns: (known & HAS_MONOTONIC != 0).then_some(monotonic_ns),
        })
    }
}

#[cfg(test)]
mod tests {
    use venue_schema::v1::event::Content;

    use super::*;

    fn gap(cause: GapCause) -> OpenGap {
        OpenGap {
            lane: Lane::Telemetry,
            source: "wind".into(),
            gap_id: "g-1".into(),
            cause,
            count: 258,
            first_receive_utc_ns: None,
            first_receive_monotonic_ns: Some(7),
        }
    }

    /// The bytes in a checkpoint are frozen, and read back; the third says the cause where it is not want of room.
    #[test]
    fn a_loss_is_written_as_it_was_frozen() {
        let rest = b"\0\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x04\0\0\0wind\x03\0\0\0g-1";
        for (cause, byte) in [(GapCause::Shed, 0), (GapCause::DeviceDark, 5)] {
            let mut bytes = Vec::new();
            gap(cause).put(&mut bytes);
            assert_eq!(bytes, [b"\x02\x02", &[byte][..], rest].concat());
            assert_eq!(OpenGap::take(&mut Fields(&bytes)), Some(gap(cause)));
            assert_eq!(OpenGap::take(&mut Fields(&bytes[..bytes.len() - 1])), None);
            bytes[2] = 200;
            assert_eq!(OpenGap::take(&mut Fields(&bytes)), Some(gap(GapCause::Unspecified)));
        }
    }

    /// A gap is found in an event among its other fields.
    #[test]
    fn a_gap_is_read_out_of_its_event() {
        let said = v1::Gap {
            cause: GapCause::DeviceDark.into(),
            state: GapState::Open.into(),
            count: Some(258),
            first_receive_monotonic_ns: Some(7),
            gap_id: "g-1".into(),
            ..v1::Gap::default()
        };
        let event = |content| v1::Event { device_id: "gauge".into(), content: Some(content), ..v1::Event::default() };
        let read = OpenGap::read(Lane::Telemetry, "wind", &event(Content::Gap(said)).encode_to_vec());
        assert_eq!(read, Some((gap(GapCause::DeviceDark), GapState::Open)));
        let wind = event(Content::Wind(v1::Wind::default())).encode_to_vec();
        assert_eq!(OpenGap::read(Lane::Telemetry, "wind", &wind), None);
    }
}
