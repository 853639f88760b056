//! A broker that says what a test has it say, by MQTT 3.1.1 or 5, one connection at a time.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use super::broker::PATIENCE;

pub(crate) const CONNECT: u8 = 1;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const PINGREQ: u8 = 12;
pub(crate) const DISCONNECT: u8 = 14;

/// A listener on loopback.
pub(crate) struct Scripted(TcpListener);

/// A connection to it.
pub(crate) struct Conversation(TcpStream);

/// A packet of the gateway.
pub(crate) struct Packet {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

impl Scripted {
    pub(crate) fn new() -> (Self, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (Self(listener), port)
    }

    /// Awaits a connection and its CONNECT.
    pub(crate) fn accept(&self) -> (Conversation, Packet) {
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut conversation = Conversation(stream);
        let connect = conversation.expect(CONNECT);
        (conversation, connect)
    }

    /// Takes one up by MQTT 3.1.1 with a new session, and grants its subscription.
    pub(crate) fn serve(&self) -> Conversation {
        let mut conversation = self.accept().0;
        conversation.say(&[0x20, 2, 0, 0]);
        let subscribe = conversation.expect(SUBSCRIBE);
        conversation.say(&[0x90, 3, subscribe.body[0], subscribe.body[1], 1]);
        conversation
    }

    /// Takes one up by MQTT 3.1.1 and goes on with its session, in which it had subscribed.
    pub(crate) fn resume(&self) -> Conversation {
        let mut conversation = self.accept().0;
        conversation.say(&[0x20, 2, 1, 0]);
        conversation
    }
}

impl Conversation {
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Publishes by MQTT 3.1.1 at QoS 1.
    pub(crate) fn publish(&mut self, packet_id: u8, payload: &str) {
        let topic = "venue/a/rain";
        let length = u8::try_from(2 + topic.len() + 2 + payload.len()).unwrap();
        let topic_length = u8::try_from(topic.len()).unwrap();
        self.say(&[&[0x32, length, 0, topic_length], topic.as_bytes(), &[0, packet_id], payload.as_bytes()].concat());
    }

    /// The next packet of this kind; others are passed over.
    pub(crate) fn expect(&mut self, kind: u8) -> Packet {
        loop {
            let packet = self.next().unwrap_or_else(|| panic!("the connection ended before a packet of kind {kind}"));
            if packet.kind == kind {
                return packet;
            }
        }
    }

    /// The next packet; none if the connection has ended.
    pub(crate) fn next(&mut self) -> Option<Packet> {
        let mut byte = [0];
        self.0.read_exact(&mut byte).ok()?;
        let kind = byte[0] >> 4;
        let mut length = 0;
        for digit in 0..4 {
            self.0.read_exact(&mut byte).ok()?;
            length |= usize::from(byte[0] & 0x7f) << (7 * digit);
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some(Packet { kind, body })
    }
}
