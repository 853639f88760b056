//! What is appended, and what becomes of it.

use venue_schema::{Sequence, v1::Lane};

use crate::identity::IdentityRef;

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
