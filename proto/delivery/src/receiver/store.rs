//! What a receiver asks of its store: events, mark and digest in one transaction.

use bytes::Bytes;
use venue_schema::{GatewayId, JournalEpoch, Sequence, v1::Lane};

use crate::Mark;

/// Names one lane of one journal of one gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneKey {
    /// The gateway.
    pub gateway_id: GatewayId,
    /// Its journal.
    pub journal_epoch: JournalEpoch,
    /// The lane, by its number in the contract.
    lane: i32,
}

impl LaneKey {
    /// Names a lane.
    pub fn new(gateway_id: GatewayId, journal_epoch: JournalEpoch, lane: Lane) -> Self {
        Self { gateway_id, journal_epoch, lane: lane as i32 }
    }

    /// The lane.
    pub fn lane(&self) -> Lane {
        Lane::try_from(self.lane).unwrap_or(Lane::Unspecified)
    }

    /// The mark of a lane of which nothing is held.
    pub fn initial_mark(&self) -> Mark {
        Mark::initial(self.journal_epoch, self.lane())
    }
}

impl std::fmt::Display for LaneKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} of journal {}", self.gateway_id, self.lane().name(), self.journal_epoch)
    }
}

/// What a store knows of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneRecord {
    /// How far it is held; none if nothing ever was.
    pub mark: Option<Mark>,
    /// The journal epoch has been closed: a successor was named.
    pub closed: bool,
}

/// What one element of the lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementKind {
    /// An event of a batch. It is stored unless its identity is held already.
    Event,
    /// The gap event of a skipped range. It is stored in its place.
    Gap,
}

/// One element of a lane: an event, or the gap event of a skipped range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// First sequence that it stands for.
    pub first: Sequence,
    /// Last sequence that it stands for; the same for an event.
    pub last: Sequence,
    /// What it is.
    pub kind: ElementKind,
    /// A serialized `venue.v1.Event`, as it crossed the wire.
    pub bytes: Bytes,
}

/// Elements of one lane that follow its mark.
#[derive(Debug, Clone, Copy)]
pub struct Append<'a> {
    /// The lane.
    pub lane: &'a LaneKey,
    /// The mark that the store must hold now; [`LaneKey::initial_mark`] if it
    /// holds none. Another one means that somebody else has written.
    pub before: Mark,
    /// The mark to be stored with the elements.
    pub after: Mark,
    /// The elements, in order.
    pub elements: &'a [Element],
}

/// What became of the elements of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Elements stored.
    pub stored: u64,
    /// Events whose identity was held already; neither stored nor an error.
    pub seen_again: u64,
}

impl std::ops::AddAssign for Appended {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.seen_again += other.seen_again;
    }
}

/// Why a store did not do what it was asked. Nothing of the transaction is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// It cannot work now (a leader is being elected, a disk is full). What waits
    /// is kept and offered again.
    #[error("the store cannot work for now: {0}")]
    Unavailable(String),
    /// A lane stands elsewhere than `before`: another process wrote to it.
    #[error("the mark of {0} was moved by somebody else")]
    MarkMoved(LaneKey),
}

/// Where a receiver keeps what it takes in.
///
/// Events are unique on (venue, device, device epoch, key): see
/// [`Identity`](super::Identity), which reads the key from an event's bytes.
pub trait Store {
    /// Looks a lane up.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    fn lane(&mut self, lane: &LaneKey) -> Result<LaneRecord, StoreFault>;

    /// Closes epochs of a gateway for good; known ones and unknown ones alike.
    /// Durable when it returns.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    fn close_epochs(&mut self, gateway_id: &GatewayId, epochs: &[JournalEpoch]) -> Result<(), StoreFault>;

    /// Stores elements of several lanes with their marks, all or none of it.
    /// Durable when it returns.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing was stored.
    fn append(&mut self, appends: &[Append<'_>]) -> Result<Appended, StoreFault>;
}
