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
//! A message that is sent again need not be marked so: brokers forward without DUP. It is told by packet id, topic and
//! payload, among the first messages of a connection that resumes its session, and only if the broker may not have read
//! its acknowledgement. It has read all that was sent before a ping that it answered, and all but those of the last
//! messages that it can have on their way. What comes again comes in order and before anything new: with the first new
//! message none is expected any more. Ids recur, so later equal messages are new ones.
//!
//! Some brokers count ids from 1 on each connection. Where only topic and payload are those of a message that may come
//! again, it is taken in with the doubt.
//!
//! What a process that was killed had taken in is not known here: as many messages of a session that it left are taken
//! in with the doubt.

use std::collections::VecDeque;

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
    /// It is, as [`New`](Self::New), though a process before this one may have taken it in, or this one under another id.
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

impl Delivery {
    fn is_on_disk(&self, durable: Watermarks) -> bool {
        Lane::ALL.into_iter().all(|lane| durable[lane] >= self.until[lane])
    }
}

/// The deliveries of one session.
#[derive(Debug)]
pub struct Deliveries {
    /// The most messages that the broker has on their way at a time.
    receive_maximum: u16,
    connected: bool,
    /// Of this connection, in the order of receipt; not acknowledged.
    waiting: VecDeque<Delivery>,
    /// The last of this connection, in the order of receipt: the broker may not have read their acknowledgement.
    unproven: VecDeque<Delivery>,
    /// So many of this connection came before those.
    before_unproven: u64,
    /// What the connections before left unproven, in the order in which the broker sends it again, before anything new.
    earlier: VecDeque<Delivery>,
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
            unproven: VecDeque::new(),
            before_unproven: 0,
            earlier: VecDeque::new(),
            of_earlier_process: receive_maximum,
        }
    }

    /// A connection stands. `session_present`: the broker goes on with the session that it kept.
    pub fn connected(&mut self, session_present: bool) {
        self.disconnected();
        (self.connected, self.before_unproven) = (true, 0);
        if !session_present {
            self.earlier.clear();
            self.of_earlier_process = 0;
        }
    }

    /// The connection is gone: nothing of it is acknowledged any more.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.waiting.clear();
        // What is left of the earlier ones was to come again behind these.
        self.unproven.append(&mut self.earlier);
        std::mem::swap(&mut self.unproven, &mut self.earlier);
    }

    /// A message came at QoS 1.
    pub fn received(&mut self, message: Fingerprint) -> Receipt {
        let last_of_id = self.earlier.iter().rposition(|it| it.message.packet_id == message.packet_id);
        if let Some(index) = last_of_id.filter(|index| self.earlier[*index].message == message) {
            let delivery = self.earlier.drain(..=index).next_back();
            self.remember(delivery.expect("it was found"));
            return Receipt::Resend;
        }
        let is_in_doubt = self.of_earlier_process > 0 || self.earlier_of_content(message).is_some();
        if is_in_doubt { Receipt::PerhapsResend } else { Receipt::New }
    }

    /// The message that was received last was taken in, and lies at or before these places.
    pub fn taken(&mut self, message: Fingerprint, until: Watermarks) {
        self.of_earlier_process = self.of_earlier_process.saturating_sub(1);
        match self.earlier_of_content(message) {
            Some(index) => drop(self.earlier.drain(..=index)),
            None => self.earlier.clear(),
        }
        self.remember(Delivery { message, until });
    }

    /// The broker has read so many acknowledgements of this connection, and sends none of their messages again.
    pub fn proven(&mut self, acknowledgements: u64) {
        while self.before_unproven < acknowledgements && self.unproven.pop_front().is_some() {
            self.before_unproven += 1;
        }
    }

    fn earlier_of_content(&self, message: Fingerprint) -> Option<usize> {
        self.earlier.iter().position(|it| it.message.content == message.content)
    }

    fn remember(&mut self, delivery: Delivery) {
        if !self.connected {
            return;
        }
        self.waiting.push_back(delivery);
        if self.unproven.len() >= usize::from(self.receive_maximum) {
            self.proven(self.before_unproven + 1);
        }
        self.unproven.push_back(delivery);
    }

    /// The packet id of the next message to be acknowledged, once it is on disk.
    pub fn poll_acknowledge(&mut self, durable: Watermarks) -> Option<u16> {
        self.waiting.pop_front_if(|next| next.is_on_disk(durable)).map(|delivery| delivery.message.packet_id)
    }

    /// Whether messages of this connection are not on disk.
    pub fn wait_for_disk(&self, durable: Watermarks) -> bool {
        self.waiting.back().is_some_and(|last| !last.is_on_disk(durable))
    }

    /// Messages of this connection that are not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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

    /// Ids recur: an equal value under an equal id is a new one if the session was lost, if another message had the id
    /// last, once a message came that is new, or once as many messages came as can be on their way.
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
        take(&mut resumed, 2, "20.5", 2);
        resumed.connected(true);
        assert_eq!(take(&mut resumed, 1, "22.0", 3), Receipt::New, "another value");
        assert_eq!(take(&mut resumed, 2, "20.5", 4), Receipt::New, "what comes again comes first");

        let mut many = Deliveries::new(2);
        many.connected(false);
        for (id, payload) in [(1, "20.0"), (2, "20.5"), (3, "21.0")] {
            take(&mut many, id, payload, 1);
        }
        many.connected(true);
        assert_eq!(take(&mut many, 1, "20.0", 2), Receipt::New, "two are on their way at most");
    }

    /// A broker that counts ids from 1 on each connection, and a rain gauge that says the same every ten seconds. The
    /// broker has read the acknowledgements, for it answered a ping that was sent after them: each message of the next
    /// connection is a new one, and so is each of the one after.
    #[test]
    fn what_the_broker_knows_to_be_acknowledged_does_not_come_again() {
        let mut deliveries = Deliveries::new(1_024);
        deliveries.connected(false);
        for _ in 0..3 {
            for id in 1..=50 {
                assert_eq!(take(&mut deliveries, id, "dry", 1), Receipt::New);
                assert_eq!(deliveries.poll_acknowledge(at(1)), Some(id));
            }
            deliveries.proven(50);
            deliveries.connected(true);
        }
    }

    /// The ping was sent after the first acknowledgement and before the second, which is lost.
    #[test]
    fn what_a_ping_does_not_prove_may_come_again() {
        let mut deliveries = Deliveries::new(10);
        deliveries.connected(false);
        take(&mut deliveries, 1, "20.0", 1);
        take(&mut deliveries, 2, "20.5", 1);
        assert_eq!((deliveries.poll_acknowledge(at(1)), deliveries.poll_acknowledge(at(1))), (Some(1), Some(2)));
        deliveries.proven(1);
        deliveries.connected(true);
        assert_eq!(take(&mut deliveries, 2, "20.5", 2), Receipt::Resend);
        assert_eq!(take(&mut deliveries, 1, "20.0", 2), Receipt::New);
    }

    /// A broker that counts anew sends again what was not acknowledged, under other ids: it is taken in with the doubt,
    /// also if at first there is no room for it. What follows is new.
    #[test]
    fn a_resend_under_another_id_is_in_doubt() {
        let mut deliveries = Deliveries::new(10);
        deliveries.connected(false);
        for (id, payload) in [(1, "20.0"), (2, "20.5"), (3, "21.0")] {
            take(&mut deliveries, id, payload, 5);
        }
        assert_eq!(deliveries.poll_acknowledge(at(5)), Some(1));
        deliveries.connected(true);
        assert_eq!(deliveries.received(message(1, "20.5")), Receipt::PerhapsResend, "and there is no room for it");
        deliveries.connected(true);
        assert_eq!(take(&mut deliveries, 1, "20.5", 6), Receipt::PerhapsResend);
        assert_eq!(take(&mut deliveries, 2, "21.0", 6), Receipt::PerhapsResend);
        assert_eq!(take(&mut deliveries, 3, "21.0", 6), Receipt::New);
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

        /// A broker that keeps what is not acknowledged, sends it again in order at each resumption, loses any
        /// acknowledgement that was on its way, and answers pings: every message is taken in once, whatever the cuts, and
        /// none is acknowledged before it is on disk.
        #[test]
        fn every_message_is_taken_in_once(steps in prop::collection::vec((0..5_u8, 0..6_u64), 1..120)) {
            const RECEIVE_MAXIMUM: usize = 4;
            let mut deliveries = Deliveries::new(RECEIVE_MAXIMUM as u16);
            let (mut next_message, mut next_id, mut durable, mut places) = (0_u64, 1_u16, 0_u64, 0_u64);
            // On the broker: message and id, in order, not known to be acknowledged; acknowledgements that it read.
            let (mut in_flight, mut read): (VecDeque<(u64, u16)>, u64) = (VecDeque::new(), 0);
            let mut taken: BTreeMap<u64, u64> = BTreeMap::new();
            let mut deliver = |deliveries: &mut Deliveries, number: u64, id: u16| {
                // Payloads repeat, as temperatures do.
                let message = message(id, &format!("{}", number % 3));
                if deliveries.received(message) == Receipt::Resend {
                    prop_assert!(taken.contains_key(&number), "message {} was never taken in", number);
                } else {
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
                        read += 1;
                    },
                    3 => {
                        // Acknowledgements that left, and never arrived.
                        for _ in 0..amount {
                            deliveries.poll_acknowledge(at(durable));
                        }
                        deliveries.disconnected();
                        deliveries.connected(true);
                        read = 0;
                        for &(number, id) in &in_flight {
                            deliver(&mut deliveries, number, id)?;
                        }
                    }
                    4 => deliveries.proven(read),
                    _ => {}
                }
            }
            prop_assert_eq!(taken.len() as u64, next_message);
        }
    }
}
