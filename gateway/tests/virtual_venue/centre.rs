//! The centre and the network before it.

use std::{collections::VecDeque, time::Duration};

use venue_delivery::{
    Code, Receiver, StreamEnd,
    receiver::{LaneKey, MemoryStore, Output, Peer, StreamId},
    sender::ConnectionId,
};
use venue_schema::v1::{self, Lane};

/// One way through the network.
const LATENCY: Duration = Duration::from_millis(20);

/// A message under way. A connection's lane says whose sender it is.
pub(crate) enum Message {
    /// To the gateway: the connection stands.
    Connected(Lane, ConnectionId),
    /// To the gateway: the receiver says.
    Response(Lane, ConnectionId, v1::DeliverResponse),
    /// To the gateway: the stream ended.
    Ended(Lane, ConnectionId, StreamEnd),
}

struct Connection {
    lane: Lane,
    id: ConnectionId,
    stream: StreamId,
}

/// The receiver, its store, and what is under way to and from it.
pub(crate) struct Centre {
    receiver: Receiver,
    store: MemoryStore,
    connections: Vec<Connection>,
    requests: VecDeque<(Duration, StreamId, v1::DeliverRequest)>,
    messages: VecDeque<(Duration, Message)>,
    up: bool,
}

impl Centre {
    /// An empty centre behind a network that works.
    pub(crate) fn new() -> Self {
        Self {
            receiver: Receiver::new("centre"),
            store: MemoryStore::with_rows(),
            connections: Vec::new(),
            requests: VecDeque::new(),
            messages: VecDeque::new(),
            up: true,
        }
    }

    /// A gateway connects; a network that is down answers that it cannot.
    pub(crate) fn connect(&mut self, now: Duration, lane: Lane, id: ConnectionId) {
        if self.up {
            let stream = self.receiver.handle_opened(now, Peer::Believed);
            self.connections.push(Connection { lane, id, stream });
            self.messages.push_back((now + LATENCY, Message::Connected(lane, id)));
        } else {
            let end = StreamEnd::new(Code::Unavailable, "no route");
            self.messages.push_back((now + LATENCY, Message::Ended(lane, id, end)));
        }
    }

    /// A gateway sends.
    pub(crate) fn send(&mut self, now: Duration, lane: Lane, request: v1::DeliverRequest) {
        if let Some(connection) = self.connections.iter().rev().find(|it| it.lane == lane) {
            self.requests.push_back((now + LATENCY, connection.stream, request));
        }
    }

    /// A gateway drops a connection.
    pub(crate) fn disconnect(&mut self, id: ConnectionId, lane: Lane) {
        let (gone, kept): (Vec<_>, Vec<_>) = self.connections.drain(..).partition(|it| it.id == id && it.lane == lane);
        self.connections = kept;
        for connection in gone {
            self.receiver.handle_ended(connection.stream);
        }
    }

    /// The gateway's process is gone with all of its connections.
    pub(crate) fn hang_up(&mut self) {
        for connection in self.connections.drain(..) {
            self.receiver.handle_ended(connection.stream);
        }
        self.requests.clear();
        self.messages.clear();
    }

    /// Takes the network down, with all that is under way, or brings it back.
    pub(crate) fn set_up(&mut self, now: Duration, up: bool) {
        self.up = up;
        if !up {
            self.requests.clear();
            self.messages.clear();
            for connection in self.connections.drain(..) {
                self.receiver.handle_ended(connection.stream);
                let end = StreamEnd::new(Code::Unavailable, "connection reset");
                self.messages.push_back((now, Message::Ended(connection.lane, connection.id, end)));
            }
        }
    }

    /// Takes in what has arrived, stores it and answers.
    pub(crate) fn work(&mut self, now: Duration) {
        while self.requests.front().is_some_and(|(at, ..)| *at <= now) {
            if let Some((_, stream, request)) = self.requests.pop_front() {
                self.receiver.handle_request(stream, request, &mut self.store);
            }
        }
        self.receiver.handle_timeout(now);
        self.receiver.commit(&mut self.store).expect("the store in memory is always there");
        while let Some(output) = self.receiver.poll_output() {
            let (stream, message) = match output {
                Output::Respond { stream, response } => (stream, Ok(response)),
                Output::End { stream, end } => (stream, Err(end)),
            };
            let Some(it) = self.connections.iter().find(|it| it.stream == stream) else { continue };
            let message = match message {
                Ok(response) => Message::Response(it.lane, it.id, response),
                Err(end) => Message::Ended(it.lane, it.id, end),
            };
            self.messages.push_back((now + LATENCY, message));
        }
    }

    /// What has arrived at the gateway.
    pub(crate) fn arrived(&mut self, now: Duration) -> Option<Message> {
        let (at, _) = self.messages.front()?;
        if *at <= now { self.messages.pop_front().map(|(_, message)| message) } else { None }
    }

    /// When something happens next, if nothing else does.
    pub(crate) fn next(&self) -> Option<Duration> {
        let request = self.requests.front().map(|(at, ..)| *at);
        let message = self.messages.front().map(|(at, _)| *at);
        [request, message].into_iter().flatten().min()
    }

    /// All stored events of a lane, of every epoch, in the order of their arrival.
    pub(crate) fn events(&self, lane: Lane) -> Vec<v1::Event> {
        use venue_schema::Message as _;
        let lanes: Vec<&LaneKey> = self.store.marks().map(|(key, _)| key).filter(|key| key.lane() == lane).collect();
        let rows = lanes.into_iter().flat_map(|key| self.store.rows(key));
        rows.map(|row| v1::Event::decode(row.bytes.clone()).expect("the store holds events")).collect()
    }
}
