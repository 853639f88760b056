//! The receiver's streams one by one: what is refused, what is ignored, who takes over.

use bytes::Bytes;
use v1::deliver_request::Message::{self, Batch, Hello, Skipped};
use venue_delivery::{
    Code, Mark, Receiver,
    receiver::{Appended, LaneKey, MemoryStore, Output, Peer, StreamId},
};
use venue_schema::v1;

use crate::pair::{HOUR, MILLISECOND, journal::Journal};

/// A receiver with its store, spoken to in messages.
struct Centre {
    receiver: Receiver,
    store: MemoryStore,
}

impl Centre {
    fn new() -> Self {
        Self { receiver: Receiver::new("centre"), store: MemoryStore::with_rows() }
    }

    /// Opens a stream and says hello on it.
    fn greet(&mut self, lane: &LaneKey, acknowledged: Mark) -> StreamId {
        let stream = self.receiver.handle_opened(HOUR, Peer::Believed);
        self.say(stream, Hello(hello(lane, acknowledged)));
        stream
    }

    fn say(&mut self, stream: StreamId, message: Message) {
        let request = v1::DeliverRequest { message: Some(message) };
        self.receiver.handle_request(stream, request, &mut self.store);
    }

    /// Commits, and tells which streams were acknowledged or ended how.
    fn commit(&mut self) -> Vec<(StreamId, Result<u64, Code>)> {
        self.receiver.commit(&mut self.store).expect("the store works");
        let outputs = std::iter::from_fn(|| self.receiver.poll_output());
        let told = |output| match output {
            Output::End { stream, end } => Some((stream, Err(end.code))),
            Output::Respond { stream, response } => match response.message {
                Some(v1::deliver_response::Message::Ack(ack)) => Some((stream, Ok(ack.sequence))),
                _ => None,
            },
        };
        outputs.filter_map(told).collect()
    }
}

fn lane(epoch: u8) -> LaneKey {
    let journal = Journal::new("gw", epoch, v1::Lane::Results);
    LaneKey::new(journal.gateway_id, journal.epoch, journal.lane)
}

fn hello(lane: &LaneKey, acknowledged: Mark) -> v1::Hello {
    v1::Hello {
        protocol_version: 1,
        gateway_id: lane.gateway_id.to_string(),
        journal_epoch: Bytes::copy_from_slice(lane.journal_epoch.as_bytes()),
        lane: lane.lane() as i32,
        last_acknowledged_sequence: acknowledged.sequence.0,
        last_acknowledged_digest: Bytes::copy_from_slice(acknowledged.digest.as_bytes()),
        ..Default::default()
    }
}

/// A batch of events, each a byte.
fn bytes(first_sequence: u64, events: &'static [u8]) -> Message {
    Batch(v1::Batch { first_sequence, events: events.chunks(1).map(Bytes::from_static).collect() })
}

/// The newest hello of a gateway and lane takes over; what the older stream brought and is
/// not stored is forgotten, and nothing more of it is taken.
#[test]
fn the_newest_hello_fences_the_older_stream() {
    let (mut centre, lane) = (Centre::new(), lane(1));
    let older = centre.greet(&lane, lane.initial_mark());
    centre.say(older, bytes(1, b"ab"));
    let newer = centre.greet(&lane, lane.initial_mark());
    centre.say(older, bytes(3, b"c"));
    centre.say(newer, bytes(1, b"a"));
    assert_eq!(centre.commit(), [(older, Err(Code::Aborted)), (newer, Ok(1))]);
    assert_eq!(centre.store.mark(&lane), lane.initial_mark().then(b"a"));
}

/// A successor's hello closes its predecessor: the stream of the closed journal is ended,
/// and a later hello of it refused.
#[test]
fn a_successor_closes_its_predecessor() {
    let (mut centre, old, new) = (Centre::new(), lane(1), lane(2));
    let telemetry = LaneKey::new(old.gateway_id.clone(), old.journal_epoch, v1::Lane::Telemetry);
    let older = centre.greet(&telemetry, telemetry.initial_mark());
    let newer = centre.receiver.handle_opened(HOUR, Peer::Believed);
    let predecessor_epochs = vec![Bytes::copy_from_slice(old.journal_epoch.as_bytes())];
    centre.say(newer, Hello(v1::Hello { predecessor_epochs, ..hello(&new, new.initial_mark()) }));
    let ghost = centre.greet(&old, old.initial_mark());
    assert_eq!(centre.commit(), [(older, Err(Code::Aborted)), (ghost, Err(Code::FailedPrecondition))]);
}

/// What is held already is passed over and acknowledged again; what follows it is taken.
#[test]
fn what_is_held_is_passed_over() {
    let (mut centre, lane) = (Centre::new(), lane(1));
    let stream = centre.greet(&lane, lane.initial_mark());
    centre.say(stream, bytes(1, b"abc"));
    assert_eq!(centre.commit(), [(stream, Ok(3))]);
    centre.say(stream, bytes(2, b"bcde"));
    assert_eq!(centre.commit(), [(stream, Ok(5))]);
    centre.say(stream, bytes(1, b"ab"));
    assert_eq!(centre.commit(), [(stream, Ok(5))], "a repeat is told where the lane stands");
    assert_eq!(centre.commit(), [], "once");
    let skipped = |first_sequence, last_sequence| {
        Skipped(v1::Skipped { first_sequence, last_sequence, gap_event: Bytes::from_static(b"gap") })
    };
    centre.say(stream, skipped(4, 5));
    centre.say(stream, skipped(4, 9));
    assert_eq!(centre.commit(), [(stream, Ok(9))]);
    let rows: Vec<_> = centre.store.rows(&lane).iter().map(|row| row.sequence.0).collect();
    assert_eq!(rows, [1, 2, 3, 4, 5, 9]);
    let chain = b"abcde".chunks(1).fold(lane.initial_mark(), |mark, event| mark.then(event));
    assert_eq!(centre.store.mark(&lane).digest, chain.digest.then(b"gap"));
}

/// A store that cannot work fills a stream up to its bound; then the stream is not read,
/// and when the store works again all of it is stored.
#[test]
fn a_stream_is_not_read_while_too_much_waits() {
    let (mut centre, lane) = (Centre::new(), lane(1));
    let stream = centre.greet(&lane, lane.initial_mark());
    centre.store.set_available(false);
    let event = Bytes::from(vec![b'x'; 200 * 1024]);
    let mut sent = 0;
    while centre.receiver.wants_input(stream) {
        sent += 1;
        centre.say(stream, Batch(v1::Batch { first_sequence: sent, events: vec![event.clone()] }));
        centre.receiver.commit(&mut centre.store).unwrap_err();
    }
    assert_eq!(sent, 41, "8 MiB in pieces of 200 KiB");
    centre.store.set_available(true);
    assert_eq!(centre.commit(), [(stream, Ok(sent))]);
    assert!(centre.receiver.wants_input(stream));
}

/// A peer that breaks the conversation is refused with the code of the contract.
#[test]
fn broken_requests_are_refused_by_code() {
    let journal = Journal::new("gw", 1, v1::Lane::Results);
    let digest = Bytes::copy_from_slice(journal.cursor.digest.as_bytes());
    let hello = v1::Hello {
        protocol_version: 1,
        gateway_id: "gw".into(),
        journal_epoch: Bytes::copy_from_slice(journal.epoch.as_bytes()),
        lane: v1::Lane::Results as i32,
        last_acknowledged_digest: digest,
        ..Default::default()
    };
    let check = |peer: Peer, messages: &[v1::deliver_request::Message], expected: Code| {
        let (mut receiver, mut store) = (Receiver::new("centre"), MemoryStore::new());
        let stream = receiver.handle_opened(HOUR, peer);
        for message in messages {
            receiver.handle_request(stream, v1::DeliverRequest { message: Some(message.clone()) }, &mut store);
        }
        receiver.commit(&mut store).unwrap();
        let ends: Vec<_> = std::iter::from_fn(|| receiver.poll_output())
            .filter_map(|output| if let Output::End { end, .. } = output { Some(end) } else { None })
            .collect();
        assert_eq!(ends.iter().map(|end| end.code).collect::<Vec<_>>(), [expected], "{messages:?}: {ends:?}");
        assert_eq!(store.totals(), Appended::default(), "nothing of it is stored");
    };
    let batch = |first_sequence, events: usize, size: usize| {
        Batch(v1::Batch { first_sequence, events: vec![Bytes::from(vec![0; size]); events] })
    };
    let skipped = |first_sequence, last_sequence| {
        Skipped(v1::Skipped { first_sequence, last_sequence, gap_event: Bytes::from_static(b"gap") })
    };
    let greeting = Hello(hello.clone());
    let named = |name: &str| Peer::Certified(vec![name.to_owned()]);
    check(named("another"), std::slice::from_ref(&greeting), Code::PermissionDenied);
    check(Peer::Believed, &[batch(1, 1, 1)], Code::InvalidArgument);
    for broken in [
        batch(2, 1, 1),
        batch(0, 1, 1),
        batch(1, 0, 0),
        batch(1, 513, 1),
        batch(1, 2, 200_000),
        batch(u64::MAX, 1, 1),
        skipped(2, 3),
        skipped(0, 3),
        skipped(1, 0),
        skipped(1, u64::MAX),
        greeting.clone(),
    ] {
        check(named("gw"), &[greeting.clone(), broken], Code::InvalidArgument);
    }
    for broken in [
        v1::Hello { protocol_version: 0, ..hello.clone() },
        v1::Hello { lane: 0, ..hello.clone() },
        v1::Hello { lane: 9, ..hello.clone() },
        v1::Hello { journal_epoch: Bytes::new(), ..hello.clone() },
        v1::Hello { gateway_id: "GW".into(), ..hello.clone() },
        v1::Hello { last_acknowledged_digest: Bytes::new(), ..hello.clone() },
        v1::Hello { predecessor_epochs: vec![hello.journal_epoch.clone()], ..hello.clone() },
    ] {
        check(Peer::Believed, &[Hello(broken)], Code::InvalidArgument);
    }
    let forged = v1::Hello { last_acknowledged_digest: Bytes::from_static(&[7; 32]), ..hello };
    check(Peer::Believed, &[Hello(forged)], Code::FailedPrecondition);
}

/// A stream that never says hello is ended.
#[test]
fn a_stream_without_a_hello_is_ended() {
    let mut receiver = Receiver::new("centre");
    let stream = receiver.handle_opened(HOUR, Peer::Believed);
    let deadline = receiver.poll_timeout().expect("a hello is waited for");
    receiver.handle_timeout(deadline - MILLISECOND);
    assert_eq!(receiver.poll_output(), None);
    receiver.handle_timeout(deadline);
    assert!(matches!(receiver.poll_output(), Some(Output::End { stream: ended, end })
        if ended == stream && end.code == Code::DeadlineExceeded));
    assert_eq!(receiver.poll_timeout(), None);
}
