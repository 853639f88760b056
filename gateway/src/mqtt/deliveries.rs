//! What a broker delivered at QoS 1 over one connection after another: which messages are new, and which may be
//! acknowledged. Sans-io.
//!
//! ```text
//! PUBLISH ─► new? ─► pipeline ─► on disk? ─► PUBACK, in the order of receipt
//!             └─ no: sent again, for the connection before may not have delivered its PUBACK
//! ```
//!
//! A packet id means a message only within its connection. So an acknowledgement that was not sent when the connection
//! ended is never sent: the broker sends the message again, and a late acknowledgement would confirm another message
//! that has the same id by then.
//!
//! A message that is sent again need not be marked so: brokers forward without DUP, and some count ids from 1. It is
//! told by packet id, topic and payload, among the first messages of a connection that resumes its session, as many
//! as can have been on their way. Ids recur, so later equal messages are new ones.
//!
//! What a process that was killed had taken in is not known here: as many messages of a session that it left are taken
//! in with the doubt.

use std::collections::{BTreeMap, VecDeque};

use venue_journal::Watermarks;
use venue_schema::v1::Lane;
use xxhash_rust::xxh3::Xxh3;

/// What makes a message the same message when it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// The broker's number for it on this connection.
    pub packet_id: u16,
    content: u128,
}

impl Fingerprint {
    /// Of a message.
    pub fn of(packet_id: u16, topic: &[u8], payload: &[u8]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&(topic.len() as u64).to_le_bytes());
        hash.update(topic);
        hash.update(payload);
        Self { packet_id, content: hash.digest128() }
    }
}

/// Whether a message is to be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is; [`Deliveries::taken`] tells where it lies.
    New,
    /// It is, as [`New`](Self::New), though a process before this one may have taken it in.
    PerhapsResend,
    /// It was taken in when an earlier connection brought it; its acknowledgement follows.
    Resend,
}

/// A message that was taken in.
#[derive(Debug, Clone, Copy)]
struct Delivery {
    message: Fingerprint,
    /// It is on disk when the lanes have reached this.
    until: Watermarks,
}

/// The deliveries of one session.
#[derive(Debug)]
pub struct Deliveries {
    /// The most messages that the broker has on their way at a time.
    receive_maximum: u16,
    connected: bool,
    /// Of this connection, in the order of receipt; not acknowledged.
    waiting: VecDeque<Delivery>,
    /// The last of this connection, acknowledged or not: the broker may not know of the acknowledgement.
    recent: VecDeque<Delivery>,
    /// The last of the connection before, by packet id, and of those before it as long as nothing new came since: a
    /// broker sends again in order, so whatever is new comes after all that is not.
    earlier: BTreeMap<u16, Delivery>,
    /// Something new came on this connection.
    has_new: bool,
    /// So many more messages of this connection may be of the one before.
    may_resend: u16,
    /// So many more that are taken in may have been by a process before this one.
    of_earlier_process: u16,
}

impl Deliveries {
    /// No connection yet. `receive_maximum` is what the broker was or will be told, or its own bound.
    pub fn new(receive_maximum: u16) -> Self {
        Self {
            receive_maximum,
            connected: false,
            waiting: VecDeque::new(),
            recent: VecDeque::new(),
            earlier: BTreeMap::new(),
            has_new: false,
            may_resend: 0,
            of_earlier_process: receive_maximum,
        }
    }

    /// A connection stands. `session_present`: the broker goes on with the session that it kept.
    pub fn connected(&mut self, session_present: bool) {
        self.disconnected();
        (self.connected, self.has_new) = (true, false);
        self.may_resend = if session_present { self.receive_maximum } else { 0 };
        if !session_present {
            self.earlier.clear();
            self.of_earlier_process = 0;
        }
    }

    /// The connection is gone: nothing of it is acknowledged any more.
    pub fn disconnected(&mut self) {
        if !std::mem::take(&mut self.connected) {
            return;
        }
        self.waiting.clear();
        if self.has_new {
            self.earlier.clear();
        }
        self.earlier.extend(self.recent.drain(..).map(|delivery| (delivery.message.packet_id, delivery)));
    }

    /// A message came at QoS 1.
    pub fn received(&mut self, message: Fingerprint) -> Receipt {
        if self.may_resend == 0 {
            return self.not_known();
        }
        self.may_resend -= 1;
        let known = self.earlier.get(&message.packet_id).filter(|earlier| earlier.message == message).copied();
        if self.may_resend == 0 {
            self.earlier.clear();
        }
        let Some(delivery) = known else { return self.not_known() };
        self.earlier.remove(&message.packet_id);
        self.remember(delivery);
        Receipt::Resend
    }

    fn not_known(&mut self) -> Receipt {
        self.has_new = true;
        if self.of_earlier_process > 0 { Receipt::PerhapsResend } else { Receipt::New }
    }

    /// The message that was received last was taken in, and lies at or before these places.
    pub fn taken(&mut self, message: Fingerprint, until: Watermarks) {
        self.of_earlier_process = self.of_earlier_process.saturating_sub(1);
        self.remember(Delivery { message, until });
    }

    fn remember(&mut self, delivery: Delivery) {
        if !self.connected {
            return;
        }
        self.waiting.push_back(delivery);
        if self.recent.len() >= usize::from(self.receive_maximum) {
            self.recent.pop_front();
        }
        self.recent.push_back(delivery);
    }

    /// The packet id of the next message to be acknowledged, once it is on disk.
    pub fn poll_acknowledge(&mut self, durable: Watermarks) -> Option<u16> {
        let next = self.waiting.front()?;
        if Lane::ALL.into_iter().any(|lane| durable[lane] < next.until[lane]) {
            return None;
        }
        self.waiting.pop_front().map(|delivery| delivery.message.packet_id)
    }

    /// Messages of this connection that are not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use venue_schema::Sequence;

    use super::*;

    fn message(packet_id: u16, payload: &str) -> Fingerprint {
        Fingerprint::of(packet_id, b"venue/a/temperature", payload.as_bytes())
    }

    fn at(telemetry: u64) -> Watermarks {
        Watermarks { results: Sequence::ZERO, telemetry: Sequence(telemetry) }
    }

    fn take(deliveries: &mut Deliveries, packet_id: u16, payload: &str, until: u64) -> Receipt {
        let message = message(packet_id, payload);
        let receipt = deliveries.received(message);
        if receipt != Receipt::Resend {
            deliveries.taken(message, at(until));
        }
        receipt
    }

    /// Acknowledgements wait for the disk, and leave in the order in which messages came, though a later one may lie in
    /// the other lane and be on disk before.
    #[test]
    fn acknowledgements_follow_the_disk_in_order() {
        let mut deliveries = Deliveries::new(10);
        deliveries.connected(false);
        take(&mut deliveries, 1, "20.0", 5);
        let second = message(2, "20.5");
        assert_eq!(deliveries.received(second), Receipt::New);
        deliveries.taken(second, Watermarks { results: Sequence(1), telemetry: Sequence::ZERO });
        assert_eq!(deliveries.poll_acknowledge(Watermarks { results: Sequence(1), telemetry: Sequence(4) }), None);
        let both = Watermarks { results: Sequence(1), telemetry: Sequence(5) };
        assert_eq!(deliveries.poll_acknowledge(both), Some(1));
        assert_eq!(deliveries.poll_acknowledge(both), Some(2));
        assert_eq!((deliveries.poll_acknowledge(both), deliveries.unacknowledged()), (None, 0));
    }

    /// The connection ends while a message waits for the disk. On the next one the session is gone and id 1 is another
    /// message: the old one's disk confirms nothing of it.
    #[test]
    fn a_late_acknowledgement_confirms_no_other_message() {
        let mut deliveries = Deliveries::new(10);
        deliveries.connected(false);
        take(&mut deliveries, 1, "20.0", 5);
        deliveries.disconnected();
        assert_eq!(deliveries.poll_acknowledge(at(5)), None);
        deliveries.connected(false);
        assert_eq!(take(&mut deliveries, 1, "21.0", 6), Receipt::New);
        assert_eq!(deliveries.poll_acknowledge(at(5)), None, "what is on disk is the old message");
        assert_eq!(deliveries.poll_acknowledge(at(6)), Some(1));
    }

    /// A message whose acknowledgement was on its way comes again on the resumed session, without DUP: it is
    /// acknowledged once the first copy is on disk, and not taken in twice.
    #[test]
    fn a_resend_is_acknowledged_and_not_taken_in_twice() {
        let mut deliveries = Deliveries::new(10);
        deliveries.connected(false);
        take(&mut deliveries, 1, "20.0", 5);
        take(&mut deliveries, 2, "20.5", 6);
        assert_eq!(deliveries.poll_acknowledge(at(5)), Some(1));
        deliveries.disconnected();
        deliveries.connected(true);
        assert_eq!(take(&mut deliveries, 1, "20.0", 7), Receipt::Resend, "its PUBACK may be lost");
        assert_eq!(take(&mut deliveries, 2, "20.5", 7), Receipt::Resend);
        assert_eq!(take(&mut deliveries, 3, "20.5", 7), Receipt::New, "another id");
        assert_eq!(deliveries.poll_acknowledge(at(5)), Some(1));
        assert_eq!(deliveries.poll_acknowledge(at(5)), None);
        assert_eq!(deliveries.poll_acknowledge(at(7)), Some(2));
        assert_eq!(deliveries.poll_acknowledge(at(7)), Some(3));
    }

    /// Ids recur: an equal value under an equal id is a new one if the session was lost, if another message had the id,
    /// or once as many messages came as can have been on their way.
    #[test]
    fn a_second_equal_value_is_a_new_one() {
        let mut lost = Deliveries::new(2);
        lost.connected(true);
        take(&mut lost, 1, "20.0", 1);
        lost.connected(false);
        assert_eq!(take(&mut lost, 1, "20.0", 2), Receipt::New, "the session is another");

        let mut resumed = Deliveries::new(2);
        resumed.connected(false);
        take(&mut resumed, 1, "20.0", 1);
        take(&mut resumed, 2, "20.0", 2);
        resumed.connected(true);
        assert_eq!(take(&mut resumed, 1, "22.0", 3), Receipt::New, "another value");
        assert_eq!(take(&mut resumed, 3, "20.0", 4), Receipt::New, "another id");
        assert_eq!(take(&mut resumed, 2, "20.0", 5), Receipt::New, "two were on their way at most");
    }

    /// A process goes on with the session of one that was killed: it cannot tell what that one took in, so the messages
    /// that can have been on their way are taken in with the doubt, over as many connections as they need. One that finds
    /// no room comes again, in doubt as before; one that this process took in is known.
    #[test]
    fn what_an_earlier_process_may_have_taken_in_is_in_doubt() {
        let mut deliveries = Deliveries::new(3);
        deliveries.connected(true);
        assert_eq!(take(&mut deliveries, 1, "20.0", 1), Receipt::PerhapsResend);
        assert_eq!(deliveries.received(message(2, "20.5")), Receipt::PerhapsResend, "and there is no room for it");
        deliveries.connected(true);
        assert_eq!(take(&mut deliveries, 1, "20.0", 2), Receipt::Resend);
        assert_eq!(take(&mut deliveries, 2, "20.5", 2), Receipt::PerhapsResend);
        assert_eq!(take(&mut deliveries, 3, "20.5", 3), Receipt::PerhapsResend);
        assert_eq!(take(&mut deliveries, 4, "20.5", 4), Receipt::New, "three were on their way at most");

        let mut forgotten = Deliveries::new(3);
        forgotten.connected(true);
        assert_eq!(take(&mut forgotten, 1, "20.0", 1), Receipt::PerhapsResend);
        forgotten.connected(false);
        assert_eq!(take(&mut forgotten, 1, "20.0", 2), Receipt::New, "with its session the broker forgot what it sent");
    }

    /// A resend that is cut off again is a resend on the connection after, too.
    #[test]
    fn a_resend_may_be_sent_a_third_time() {
        let mut deliveries = Deliveries::new(4);
        deliveries.connected(false);
        take(&mut deliveries, 1, "20.0", 5);
        take(&mut deliveries, 2, "20.5", 6);
        for _ in 0..3 {
            deliveries.disconnected();
            deliveries.connected(true);
            assert_eq!(take(&mut deliveries, 1, "20.0", 9), Receipt::Resend);
        }
        assert_eq!(take(&mut deliveries, 2, "20.5", 9), Receipt::Resend, "it had not come again before");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// A broker that keeps what is not acknowledged, sends it again in order at each resumption, and loses any
        /// acknowledgement that was on its way: every message is taken in once, whatever the cuts, and none is
        /// acknowledged before it is on disk.
        #[test]
        fn every_message_is_taken_in_once(steps in prop::collection::vec((0..4_u8, 0..6_u64), 1..120)) {
            const RECEIVE_MAXIMUM: usize = 4;
            let mut deliveries = Deliveries::new(RECEIVE_MAXIMUM as u16);
            let (mut next_message, mut next_id, mut durable, mut places) = (0_u64, 1_u16, 0_u64, 0_u64);
            // On the broker: message and id, in order, not known to be acknowledged.
            let mut in_flight: VecDeque<(u64, u16)> = VecDeque::new();
            let mut taken: BTreeMap<u64, u64> = BTreeMap::new();
            let mut deliver = |deliveries: &mut Deliveries, number: u64, id: u16| {
                // Payloads repeat, as temperatures do.
                let message = message(id, &format!("{}", number % 3));
                if deliveries.received(message) == Receipt::New {
                    places += 1;
                    prop_assert_eq!(taken.insert(number, places), None, "message {} was taken in twice", number);
                    deliveries.taken(message, at(places));
                }
                Ok(())
            };
            deliveries.connected(false);
            for (step, amount) in steps {
                match step {
                    0 if in_flight.len() < RECEIVE_MAXIMUM => {
                        in_flight.push_back((next_message, next_id));
                        deliver(&mut deliveries, next_message, next_id)?;
                        next_message += 1;
                        next_id = next_id % 9 + 1;
                    }
                    1 => durable += amount,
                    2 => while let Some(id) = deliveries.poll_acknowledge(at(durable)) {
                        let (_, expected) = in_flight.pop_front().expect("it was delivered");
                        prop_assert_eq!(id, expected, "in order");
                    },
                    3 => {
                        // Acknowledgements that left, and never arrived.
                        for _ in 0..amount {
                            deliveries.poll_acknowledge(at(durable));
                        }
                        deliveries.disconnected();
                        deliveries.connected(true);
                        for &(number, id) in &in_flight {
                            deliver(&mut deliveries, number, id)?;
                        }
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(taken.len() as u64, next_message);
        }
    }
}
