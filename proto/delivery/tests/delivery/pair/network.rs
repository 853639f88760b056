//! The network between the two ends, and the drivers that a rim would have.

use core::time::Duration;
use std::collections::VecDeque;

use venue_delivery::{
    Code, StreamEnd,
    receiver::{Output, Peer, StreamId},
    sender::{Action, ConnectionId, Transmit},
};
use venue_schema::v1;

use super::Pair;

/// Frames that a connection holds between sender and receiver.
const PIPE_FRAMES: usize = 64;

/// What travels, and when it arrives.
#[derive(Debug)]
pub(super) enum Packet {
    Open,
    Request(v1::DeliverRequest),
    Opened,
    Response(v1::DeliverResponse),
    End(StreamEnd),
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) endpoint: usize,
    pub(super) stream: Option<StreamId>,
    pub(super) up: VecDeque<(Duration, Packet)>,
    pub(super) down: VecDeque<(Duration, Packet)>,
}

impl Pair {
    /// Every connection of a gateway breaks; what is on the way is lost. Both ends
    /// learn of it.
    pub(crate) fn cut_all(&mut self, gateway: usize) {
        let names: Vec<_> =
            self.connections.keys().filter(|name| name.0 == gateway && !is_orphan(name.1)).copied().collect();
        for name in names {
            self.drop_connection(name);
            let end = StreamEnd::new(Code::Unavailable, "connection reset");
            self.gateways[gateway].sender.handle_ended(self.now, name.1, end);
        }
        self.settle();
    }

    /// Every connection of a gateway breaks, and the receiver does not learn of it:
    /// what is on the way up still arrives, this much later.
    pub(crate) fn half_cut_all(&mut self, gateway: usize, late: Duration) {
        let names: Vec<_> =
            self.connections.keys().filter(|name| name.0 == gateway && !is_orphan(name.1)).copied().collect();
        for name in names {
            if let Some(mut connection) = self.connections.remove(&name) {
                self.orphans += 1;
                connection.up.iter_mut().for_each(|packet| packet.0 += late);
                self.connections.insert((gateway, ConnectionId(u64::MAX - self.orphans)), connection);
            }
            let end = StreamEnd::new(Code::Unavailable, "keep-alive timed out");
            self.gateways[gateway].sender.handle_ended(self.now, name.1, end);
        }
        self.settle();
    }

    /// What a gateway has given up ends at the other end, too: nothing of it arrives any more.
    pub(crate) fn end_half_cut(&mut self) {
        let names: Vec<_> = self.connections.keys().filter(|name| is_orphan(name.1)).copied().collect();
        names.into_iter().for_each(|name| self.drop_connection(name));
    }

    fn drop_connection(&mut self, name: (usize, ConnectionId)) {
        if let Some(connection) = self.connections.remove(&name)
            && let Some(stream) = connection.stream
        {
            self.receivers[connection.endpoint].handle_ended(stream);
        }
    }

    pub(super) fn deliver(&mut self) -> bool {
        let mut moved = false;
        let names: Vec<_> = self.connections.keys().copied().collect();
        for name in names {
            while let Some(packet) = self.arrived(name, |connection| &mut connection.up) {
                moved = true;
                self.arrive_up(name, packet);
            }
            while let Some(packet) = self.arrived(name, |connection| &mut connection.down) {
                moved = true;
                self.arrive_down(name, packet);
            }
        }
        moved
    }

    fn arrived(
        &mut self,
        name: (usize, ConnectionId),
        way: impl Fn(&mut Connection) -> &mut VecDeque<(Duration, Packet)>,
    ) -> Option<Packet> {
        let connection = self.connections.get_mut(&name)?;
        if self.silent[connection.endpoint] {
            return None;
        }
        let way = way(connection);
        let due = way.front().is_some_and(|packet| packet.0 <= self.now);
        due.then(|| way.pop_front())?.map(|packet| packet.1)
    }

    fn arrive_up(&mut self, name: (usize, ConnectionId), packet: Packet) {
        let (now, at) = (self.now, self.now + self.latency);
        let Some(connection) = self.connections.get_mut(&name) else { return };
        let receiver = &mut self.receivers[connection.endpoint];
        match packet {
            Packet::Open if self.refusing[connection.endpoint] => {
                let end = StreamEnd::new(Code::Unavailable, "connection refused");
                connection.down.push_back((at, Packet::End(end)));
            }
            Packet::Open => {
                connection.stream = Some(receiver.handle_opened(now, Peer::Believed));
                connection.down.push_back((at, Packet::Opened));
            }
            Packet::Request(request) => {
                if let Some(stream) = connection.stream {
                    receiver.handle_request(stream, request, &mut self.store);
                }
            }
            Packet::Opened | Packet::Response(_) | Packet::End(_) => unreachable!("these travel down"),
        }
    }

    fn arrive_down(&mut self, name: (usize, ConnectionId), packet: Packet) {
        let sender = &mut self.gateways[name.0].sender;
        match packet {
            Packet::Opened => sender.handle_connected(self.now, name.1),
            Packet::Response(response) => sender.handle_response(self.now, name.1, response),
            Packet::End(end) => {
                self.drop_connection(name);
                self.gateways[name.0].ends.extend((!is_orphan(name.1)).then_some(end.code));
                self.gateways[name.0].sender.handle_ended(self.now, name.1, end);
            }
            Packet::Open | Packet::Request(_) => unreachable!("these travel up"),
        }
    }

    pub(super) fn drive_sender(&mut self, index: usize) -> bool {
        let mut moved = false;
        loop {
            while let Some(action) = self.gateways[index].sender.poll_action() {
                moved = true;
                self.act(index, action);
            }
            let Some(name) = self.writable(index) else { return moved };
            let gateway = &mut self.gateways[index];
            match gateway.sender.poll_transmit(self.now, &mut gateway.journal) {
                Transmit::Frame(frame) => {
                    self.frames += 1;
                    let request = frame.to_request().expect("a frame is a message");
                    let at = self.now + self.latency;
                    if let Some(connection) = self.connections.get_mut(&name) {
                        connection.up.push_back((at, Packet::Request(request)));
                    }
                    let in_flight = gateway.sender.status().in_flight_bytes;
                    self.peak_in_flight_bytes = self.peak_in_flight_bytes.max(in_flight);
                }
                Transmit::Again => {}
                Transmit::Idle => return moved,
            }
            moved = true;
        }
    }

    /// The newest connection of a gateway, if it has room for a frame.
    fn writable(&self, gateway: usize) -> Option<(usize, ConnectionId)> {
        let name = (gateway, self.gateways[gateway].sender.connection()?);
        (self.connections.get(&name)?.up.len() < PIPE_FRAMES).then_some(name)
    }

    fn act(&mut self, index: usize, action: Action) {
        let at = self.now + self.latency;
        let gateway = &mut self.gateways[index];
        match action {
            Action::Connect { connection, endpoint } => {
                gateway.connects.push(endpoint);
                let (up, down) = (VecDeque::from([(at, Packet::Open)]), VecDeque::new());
                let connection_state = Connection { endpoint, stream: None, up, down };
                self.connections.insert((index, connection), connection_state);
            }
            Action::Disconnect { connection, reason } => {
                gateway.disconnects.push(reason);
                self.drop_connection((index, connection));
            }
            Action::PinReceiver { receiver_id } => gateway.journal.receiver_id = Some(receiver_id),
            Action::AdvanceCursor { mark } => {
                assert!(mark.sequence > gateway.journal.cursor.sequence, "advances go forward");
                gateway.journal.cursor = mark;
            }
            Action::RewindCursor { from, mark } => {
                assert_eq!(gateway.journal.cursor.sequence, from);
                gateway.rewinds += 1;
                gateway.journal.cursor = mark;
            }
            Action::DeclareReset { first, last } => {
                gateway.resets.push((first.0, last.0));
                if gateway.declares_resets {
                    gateway.journal.skip(first.0, last.0, v1::GapCause::ReceiverReset);
                    gateway.sender.handle_reset_declared(self.now);
                }
            }
            Action::NewEpoch { receiver_mark } => gateway.ended_epoch = Some(receiver_mark.0),
        }
    }

    pub(super) fn drive_receivers(&mut self) -> bool {
        let mut moved = false;
        for endpoint in 0..self.receivers.len() {
            // A store that cannot work keeps everything waiting; it is asked again.
            let _ = self.receivers[endpoint].commit(&mut self.store);
            while let Some(output) = self.receivers[endpoint].poll_output() {
                moved = true;
                let (stream, packet) = match output {
                    Output::Respond { stream, response } => (stream, Packet::Response(response)),
                    Output::End { stream, end } => (stream, Packet::End(end)),
                };
                let at = self.now + self.latency;
                let connection = self
                    .connections
                    .values_mut()
                    .find(|connection| connection.endpoint == endpoint && connection.stream == Some(stream));
                if let Some(connection) = connection {
                    connection.down.push_back((at, packet));
                }
            }
        }
        moved
    }
}

/// Whether a connection is one that its sender has forgotten.
fn is_orphan(connection: ConnectionId) -> bool {
    connection.0 > u64::MAX / 2
}
