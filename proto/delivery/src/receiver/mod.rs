//! The cloud's end: all streams of all gateways, over one store.
//!
//! ```text
//!              hello                        element      commit
//! AwaitingHello ───► (checked) ──► Open ───► pending ───► stored ──► ack
//!       │                │          │ newer hello, broken message, moved mark
//!       └── no hello ────┴──────────┴──► ended with a gRPC code
//! ```
//!
//! Drive it like this: [`Receiver::handle_opened`] for every stream, then
//! [`Receiver::handle_request`] for what comes, as long as
//! [`Receiver::wants_input`]; [`Receiver::commit`] when nothing more is at hand at
//! once, so that one transaction takes what gathered; outputs with
//! [`Receiver::poll_output`] after each of them.

mod hello;
mod identity;
mod lane;
mod memory;
mod store;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use venue_schema::{GatewayId, JournalEpoch, v1};

use self::{hello::Opening, lane::OpenLane};
pub use self::{
    hello::Peer,
    identity::{BrokenEvent, Identity, Key, OriginKey},
    lane::MAX_PENDING_BYTES,
    memory::{MemoryStore, Row},
    store::{Append, Appended, Element, ElementKind, LaneKey, LaneRecord, Store, StoreFault},
};
use crate::{Code, Mark, StreamEnd};

/// Most streams at a time; a further one is refused.
pub const MAX_STREAMS: usize = 4096;

/// A stream that says no hello within this time is ended.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Names one stream of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a message on a stream.
    Respond {
        /// The stream.
        stream: StreamId,
        /// The message.
        response: v1::DeliverResponse,
    },
    /// End a stream with a status. The receiver has forgotten it.
    End {
        /// The stream.
        stream: StreamId,
        /// The status.
        end: StreamEnd,
    },
}

#[derive(Debug)]
enum Stream {
    AwaitingHello { peer: Peer, deadline: Duration },
    Open(OpenLane),
}

/// The receiving end, without I/O. The [module](self) tells how to drive it.
#[derive(Debug)]
pub struct Receiver {
    receiver_id: String,
    streams: BTreeMap<StreamId, Stream>,
    opened: u64,
    /// A welcome or an end a stream, and an acknowledgement a stream and commit.
    outputs: VecDeque<Output>,
    totals: Appended,
}

impl Receiver {
    /// Makes a receiver; `receiver_id` names the store behind it, and every
    /// endpoint that leads to this store says the same.
    pub fn new(receiver_id: impl Into<String>) -> Self {
        Self {
            receiver_id: receiver_id.into(),
            streams: BTreeMap::new(),
            opened: 0,
            outputs: VecDeque::new(),
            totals: Appended::default(),
        }
    }

    /// A stream was opened by a peer.
    pub fn handle_opened(&mut self, now: Duration, peer: Peer) -> StreamId {
        self.opened += 1;
        let stream = StreamId(self.opened);
        if self.streams.len() < MAX_STREAMS {
            self.streams.insert(stream, Stream::AwaitingHello { peer, deadline: now + HELLO_TIMEOUT });
        } else {
            self.end(stream, StreamEnd::new(Code::ResourceExhausted, format!("{MAX_STREAMS} streams are open")));
        }
        stream
    }

    /// A message came on a stream. One on a stream that has ended is ignored, as is
    /// one of a kind that a later version added.
    pub fn handle_request(&mut self, stream: StreamId, request: v1::DeliverRequest, store: &mut dyn Store) {
        use v1::deliver_request::Message;
        let taken = match (self.streams.get_mut(&stream), request.message) {
            (None, _) | (_, None) => Ok(()),
            (Some(Stream::AwaitingHello { peer, .. }), Some(Message::Hello(hello))) => {
                Opening::parse(&hello, peer).and_then(|opening| self.welcome(stream, &opening, store))
            }
            (Some(Stream::AwaitingHello { .. }), Some(_)) => Err(broken("a stream begins with a hello")),
            (Some(Stream::Open(_)), Some(Message::Hello(_))) => Err(broken("a second hello on one stream")),
            (Some(Stream::Open(lane)), Some(Message::Batch(batch))) => lane.take_batch(batch),
            (Some(Stream::Open(lane)), Some(Message::Skipped(skipped))) => lane.take_skipped(skipped),
        };
        if let Err(end) = taken {
            self.end(stream, end);
        }
    }

    /// A stream was closed or lost by the peer. What of it is not stored is
    /// forgotten; the gateway sends it again.
    pub fn handle_ended(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// Whether a stream may be read: false while much of it waits for the store.
    pub fn wants_input(&self, stream: StreamId) -> bool {
        !matches!(self.streams.get(&stream), Some(Stream::Open(lane)) if lane.is_full())
    }

    /// Whether anything waits for [`Receiver::commit`].
    pub fn has_pending(&self) -> bool {
        self.lanes().any(|(_, lane)| lane.append().is_some())
    }

    /// Stores what waits, of all streams, in one transaction, and acknowledges it.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`]: everything is kept; call again later. The
    /// streams stay open, since gateways hold their windows.
    pub fn commit(&mut self, store: &mut dyn Store) -> Result<Appended, StoreFault> {
        loop {
            let appends: Vec<_> = self.lanes().filter_map(|(_, lane)| lane.append()).collect();
            let appended = if appends.is_empty() { Ok(Appended::default()) } else { store.append(&appends) };
            match appended {
                Ok(appended) => {
                    self.totals += appended;
                    self.acknowledge();
                    return Ok(appended);
                }
                Err(StoreFault::MarkMoved(key)) => self.end_moved(&key),
                Err(fault @ StoreFault::Unavailable(_)) => return Err(fault),
            }
        }
    }

    /// Time went by.
    pub fn handle_timeout(&mut self, now: Duration) {
        let silent = |stream: &Stream| matches!(stream, Stream::AwaitingHello { deadline, .. } if *deadline <= now);
        let late: Vec<_> = self.streams.iter().filter(|(_, stream)| silent(stream)).map(|(id, _)| *id).collect();
        for stream in late {
            self.end(stream, StreamEnd::new(Code::DeadlineExceeded, format!("no hello within {HELLO_TIMEOUT:?}")));
        }
    }

    /// When [`Receiver::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let deadline = |stream: &Stream| match stream {
            Stream::AwaitingHello { deadline, .. } => Some(*deadline),
            Stream::Open(_) => None,
        };
        self.streams.values().filter_map(deadline).min()
    }

    /// The next thing for the driver to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What became of all elements since the receiver was made.
    pub fn totals(&self) -> Appended {
        self.totals
    }

    /// The streams on which a lane is being received.
    pub fn open_lanes(&self) -> impl Iterator<Item = (StreamId, &LaneKey)> {
        self.lanes().map(|(stream, lane)| (stream, &lane.key))
    }

    fn lanes(&self) -> impl Iterator<Item = (StreamId, &OpenLane)> {
        self.streams.iter().filter_map(|(id, stream)| match stream {
            Stream::Open(lane) => Some((*id, lane)),
            Stream::AwaitingHello { .. } => None,
        })
    }

    fn welcome(&mut self, stream: StreamId, opening: &Opening, store: &mut dyn Store) -> Result<(), StreamEnd> {
        let record = store.lane(&opening.lane).map_err(unavailable)?;
        if record.closed {
            let message = format!("journal {} is closed: a successor has been named", opening.lane.journal_epoch);
            return Err(StreamEnd::new(Code::FailedPrecondition, message));
        }
        let held = record.mark.unwrap_or_else(|| opening.lane.initial_mark());
        opening.check_digest(held)?;
        self.close_predecessors(&opening.lane.gateway_id, &opening.predecessors, store)?;
        self.fence(&opening.lane);
        self.respond(stream, v1::deliver_response::Message::Welcome(self.greeting(held, opening.protocol_version)));
        self.streams.insert(stream, Stream::Open(OpenLane::new(opening.lane.clone(), held)));
        Ok(())
    }

    fn greeting(&self, held: Mark, protocol_version: u32) -> v1::Welcome {
        v1::Welcome {
            receiver_id: self.receiver_id.clone(),
            last_sequence: held.sequence.0,
            digest: Bytes::copy_from_slice(held.digest.as_bytes()),
            protocol_version,
            capabilities: Vec::new(),
        }
    }

    fn close_predecessors(
        &mut self,
        gateway_id: &GatewayId,
        epochs: &[JournalEpoch],
        store: &mut dyn Store,
    ) -> Result<(), StreamEnd> {
        if epochs.is_empty() {
            return Ok(());
        }
        store.close_epochs(gateway_id, epochs).map_err(unavailable)?;
        let of_closed = |key: &LaneKey| key.gateway_id == *gateway_id && epochs.contains(&key.journal_epoch);
        self.end_lanes(of_closed, &StreamEnd::new(Code::Aborted, "a successor of its journal took over"));
        Ok(())
    }

    /// The newest hello of a gateway and lane takes over.
    fn fence(&mut self, newer: &LaneKey) {
        let same = |key: &LaneKey| key.gateway_id == newer.gateway_id && key.lane() == newer.lane();
        self.end_lanes(same, &StreamEnd::new(Code::Aborted, "a newer hello of the same gateway and lane took over"));
    }

    /// Another process took the lane over behind the same store.
    fn end_moved(&mut self, moved: &LaneKey) {
        let ended = self.end_lanes(
            |key| key == moved,
            &StreamEnd::new(Code::Aborted, "the lane was taken over through another endpoint"),
        );
        assert!(ended > 0, "the store refused {moved}, of which nothing was offered");
    }

    fn end_lanes(&mut self, concerned: impl Fn(&LaneKey) -> bool, end: &StreamEnd) -> usize {
        let ended: Vec<_> = self.lanes().filter(|(_, lane)| concerned(&lane.key)).map(|(id, _)| id).collect();
        ended.iter().for_each(|stream| self.end(*stream, end.clone()));
        ended.len()
    }

    fn acknowledge(&mut self) {
        for (stream, lane) in &mut self.streams {
            let Stream::Open(lane) = lane else { continue };
            lane.commit();
            if let Some(ack) = lane.poll_ack() {
                let response = v1::DeliverResponse { message: Some(v1::deliver_response::Message::Ack(ack)) };
                self.outputs.push_back(Output::Respond { stream: *stream, response });
            }
        }
    }

    fn respond(&mut self, stream: StreamId, message: v1::deliver_response::Message) {
        let response = v1::DeliverResponse { message: Some(message) };
        self.outputs.push_back(Output::Respond { stream, response });
    }

    fn end(&mut self, stream: StreamId, end: StreamEnd) {
        self.streams.remove(&stream);
        self.outputs.push_back(Output::End { stream, end });
    }
}

fn broken(what: &str) -> StreamEnd {
    StreamEnd::new(Code::InvalidArgument, what)
}

fn unavailable(fault: StoreFault) -> StreamEnd {
    StreamEnd::new(Code::Unavailable, fault.to_string())
}
