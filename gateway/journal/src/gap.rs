//! Events that say what was lost, and the ranges of a lane that are skipped for good.

use bytes::Bytes;
use prost::Message;
use venue_schema::{
    GatewayId, JournalEpoch, Sequence,
    v1::{self, GapCause, GapState, Lane, gap::Scope},
};

/// Name of the gateway's own source.
pub const GATEWAY_SOURCE: &str = "gateway";

/// Whose losses these are.
#[derive(Debug, Clone)]
pub(crate) struct GapAuthor {
    pub(crate) venue_id: String,
    pub(crate) gateway_id: GatewayId,
}

/// How much was lost, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LossExtent {
    /// Events; none if unknown.
    pub count: Option<u64>,
    /// Bytes; none if unknown.
    pub bytes: Option<u64>,
    /// UTC receive times of the first and the last of them, ns; none if unknown.
    pub receive_utc_ns: Option<(i64, i64)>,
    /// The same on the clock that counts since the boot, ns.
    pub receive_monotonic_ns: Option<(u64, u64)>,
}

impl LossExtent {
    /// Counts one more lost event.
    pub(crate) fn count_event(&mut self, bytes: u64, receive_utc_ns: Option<i64>, receive_monotonic_ns: u64) {
        self.count = Some(self.count.unwrap_or(0) + 1);
        self.bytes = Some(self.bytes.unwrap_or(0) + bytes);
        if let Some(utc) = receive_utc_ns {
            self.receive_utc_ns = Some((self.receive_utc_ns.map_or(utc, |(first, _)| first), utc));
        }
        let first = self.receive_monotonic_ns.map_or(receive_monotonic_ns, |(first, _)| first);
        self.receive_monotonic_ns = Some((first, receive_monotonic_ns));
    }
}

/// A loss, ready to be told.
#[derive(Debug, Clone)]
pub(crate) struct Loss {
    pub(crate) cause: GapCause,
    pub(crate) state: GapState,
    pub(crate) scope: Scope,
    pub(crate) extent: LossExtent,
    pub(crate) gap_id: String,
    pub(crate) text: String,
}

/// Why a range of a lane is missing for good.
#[derive(Debug, Clone)]
pub(crate) struct RangeLoss {
    pub(crate) cause: GapCause,
    /// The same for people.
    pub(crate) reason: String,
    /// Each sequence of the range was an event, so that they are counted by it.
    pub(crate) is_full: bool,
    /// All that is known but the count.
    pub(crate) extent: LossExtent,
}

impl RangeLoss {
    pub(crate) fn of(cause: GapCause) -> Self {
        Self { cause, reason: reason(cause).to_owned(), is_full: true, extent: LossExtent::default() }
    }
}

impl GapAuthor {
    /// The event of a loss, without origin.
    pub(crate) fn event(&self, loss: Loss) -> v1::Event {
        let extent = loss.extent;
        v1::Event {
            venue_id: self.venue_id.clone(),
            device_id: GATEWAY_SOURCE.to_owned(),
            principal: GATEWAY_SOURCE.to_owned(),
            content: Some(v1::event::Content::Gap(v1::Gap {
                cause: loss.cause.into(),
                state: loss.state.into(),
                scope: Some(loss.scope),
                count: extent.count,
                bytes: extent.bytes,
                first_receive_utc_ns: extent.receive_utc_ns.map(|(first, _)| first),
                last_receive_utc_ns: extent.receive_utc_ns.map(|(_, last)| last),
                first_receive_monotonic_ns: extent.receive_monotonic_ns.map(|(first, _)| first),
                last_receive_monotonic_ns: extent.receive_monotonic_ns.map(|(_, last)| last),
                gap_id: loss.gap_id,
                text: loss.text,
            })),
            ..v1::Event::default()
        }
    }

    /// A range of a lane that is missing for good.
    pub(crate) fn skip(&self, epoch: JournalEpoch, lane: Lane, range: (Sequence, Sequence), loss: &RangeLoss) -> Skip {
        let (first, last) = range;
        let count = loss.is_full.then(|| last.0 - first.0 + 1);
        assert!(Sequence::ZERO < first && first <= last, "a skipped range {first}..{last} has its ends in order");
        let mut event = self.event(Loss {
            cause: loss.cause,
            state: GapState::Closed,
            scope: Scope::LaneRange(v1::LaneRange {
                lane: lane.into(),
                first_sequence: first.0,
                last_sequence: last.0,
                journal_epoch: Bytes::copy_from_slice(epoch.as_bytes()),
            }),
            extent: LossExtent { count, ..loss.extent },
            gap_id: format!("{}-{}-{first}-{last}", &epoch.to_string()[..8], lane.name()),
            text: format!("{} {first} to {last}: {}", lane.name(), loss.reason),
        });
        event.origin = Some(v1::Origin {
            gateway_id: self.gateway_id.as_str().to_owned(),
            journal_epoch: Bytes::copy_from_slice(epoch.as_bytes()),
            lane: lane.into(),
            sequence: last.0,
            source: GATEWAY_SOURCE.to_owned(),
            source_ordinal: 0,
        });
        Skip { first, last, gap_event: event.encode_to_vec().into() }
    }
}

fn reason(cause: GapCause) -> &'static str {
    match cause {
        GapCause::Shed => "deleted to stay within the quota",
        GapCause::Quarantined => "damaged on disk and set aside",
        GapCause::ReserveFull => "quota and reserve were full",
        GapCause::ReceiverReset => "no longer stored here when the receiver asked for it again",
        GapCause::NeverDurable => "not yet durable when the gateway stopped",
        GapCause::DeviceOverflow | GapCause::DeviceDark | GapCause::Unspecified => "lost",
    }
}

/// A range of a lane that is missing for good, and the event that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The first sequence missing.
    pub first: Sequence,
    /// The last sequence missing.
    pub last: Sequence,
    /// A serialized `Event` with content `gap`; stored, so that it is the same whenever it is sent.
    pub gap_event: Bytes,
}

impl Skip {
    /// What its event says; none if it says nothing of a gap.
    pub(crate) fn gap(&self) -> Option<v1::Gap> {
        match v1::Event::decode(self.gap_event.clone()).ok()?.content? {
            v1::event::Content::Gap(gap) => Some(gap),
            _ => None,
        }
    }

    /// Why the range is missing.
    pub(crate) fn cause(&self) -> GapCause {
        self.gap().map_or(GapCause::Unspecified, |gap| gap.cause())
    }

    /// The part of the range from `first` on, with an event that says so; the
    /// same bytes whenever it is asked for.
    pub(crate) fn from(&self, first: Sequence) -> Self {
        if first <= self.first {
            return self.clone();
        }
        let Ok(mut event) = v1::Event::decode(self.gap_event.clone()) else { return self.clone() };
        if let Some(v1::event::Content::Gap(gap)) = &mut event.content {
            gap.count = gap.count.map(|_| self.last.0 - first.0 + 1);
            if let Some(Scope::LaneRange(range)) = &mut gap.scope {
                range.first_sequence = first.0;
            }
        }
        Self { first, last: self.last, gap_event: event.encode_to_vec().into() }
    }
}
