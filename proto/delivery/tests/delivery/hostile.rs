//! A peer that says anything at all: no panic, nothing stored or advanced that it did
//! not earn.

use core::time::Duration;
use std::num::NonZeroUsize;

use bytes::Bytes;
use proptest::prelude::*;
use venue_delivery::{
    Code, Receiver, Sender, StreamEnd,
    receiver::{LaneKey, MemoryStore, Peer, StreamId},
    sender::{Action, ConnectionId, SenderConfig, Transmit, Tuning},
};
use venue_schema::v1;

use crate::pair::journal::Journal;

fn journal() -> Journal {
    let mut journal = Journal::new("gw", 7, v1::Lane::Results);
    (1..=20).for_each(|number| journal.append_impulse("timer-a", number));
    journal
}

/// Sequences near everything that matters.
fn sequence() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..25_u64, 1 => Just(u64::MAX), 1 => Just(u64::MAX - 1), 1 => any::<u64>()]
}

/// The digest after one of the journal's records, or any other.
fn digest() -> impl Strategy<Value = Bytes> {
    let chain: Vec<_> = (1..=20)
        .scan(journal().cursor, |mark, sequence| {
            *mark = mark.then(journal().record(sequence));
            Some(Bytes::copy_from_slice(mark.digest.as_bytes()))
        })
        .collect();
    let initial = Bytes::copy_from_slice(journal().cursor.digest.as_bytes());
    prop_oneof![
        Just(initial),
        prop::sample::select(chain),
        prop::collection::vec(any::<u8>(), 31..34).prop_map(Bytes::from),
    ]
}

fn request() -> impl Strategy<Value = v1::DeliverRequest> {
    use v1::deliver_request::Message;
    let hello = (digest(), sequence(), 0..4_i32, 0..3_u32).prop_map(|(digest, sequence, lane, version)| {
        Message::Hello(v1::Hello {
            protocol_version: version,
            gateway_id: "gw".into(),
            journal_epoch: Bytes::from_static(&[7; 16]),
            lane,
            last_acknowledged_sequence: sequence,
            last_acknowledged_digest: digest,
            ..Default::default()
        })
    });
    let event = prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    let batch = (sequence(), prop::collection::vec(event, 0..6))
        .prop_map(|(first_sequence, events)| Message::Batch(v1::Batch { first_sequence, events }));
    let skipped = (sequence(), sequence()).prop_map(|(first_sequence, last_sequence)| {
        Message::Skipped(v1::Skipped { first_sequence, last_sequence, gap_event: Bytes::from_static(b"gap") })
    });
    prop_oneof![3 => hello.prop_map(Some), 5 => batch.prop_map(Some), 2 => skipped.prop_map(Some), 1 => Just(None)]
        .prop_map(|message| v1::DeliverRequest { message })
}

/// A welcome or an acknowledgement of anything.
fn response() -> impl Strategy<Value = v1::DeliverResponse> {
    use v1::deliver_response::Message;
    let welcome =
        (digest(), sequence(), 0..3_u32, any::<bool>()).prop_map(|(digest, last_sequence, version, named)| {
            Message::Welcome(v1::Welcome {
                receiver_id: if named { "centre".into() } else { String::new() },
                last_sequence,
                digest,
                protocol_version: version,
                capabilities: vec!["unheard-of".into()],
            })
        });
    let ack = (digest(), sequence()).prop_map(|(digest, sequence)| Message::Ack(v1::Ack { sequence, digest }));
    prop_oneof![4 => welcome.prop_map(Some), 4 => ack.prop_map(Some), 1 => Just(None)]
        .prop_map(|message| v1::DeliverResponse { message })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Gateways that say anything: the mark of a lane moves only forward.
    #[test]
    fn a_receiver_takes_any_request(requests in prop::collection::vec((0..3_u64, request()), 1..60)) {
        let (mut receiver, mut store) = (Receiver::new("centre"), MemoryStore::with_rows());
        let epoch = journal().epoch;
        let lanes = v1::Lane::ALL.map(|lane| LaneKey::new(journal().gateway_id, epoch, lane));
        (0..3).for_each(|_| { receiver.handle_opened(Duration::ZERO, Peer::Believed); });
        let mut marks = lanes.clone().map(|lane| store.mark(&lane).sequence);
        for (stream, request) in requests {
            receiver.handle_request(StreamId(stream + 1), request, &mut store);
            receiver.commit(&mut store).unwrap();
            while receiver.poll_output().is_some() {}
            let moved = lanes.clone().map(|lane| store.mark(&lane).sequence);
            prop_assert!(marks.iter().zip(&moved).all(|(before, after)| before <= after));
            marks = moved;
        }
        let rows: usize = lanes.iter().map(|lane| store.rows(lane).len()).sum();
        prop_assert_eq!(rows as u64, receiver.totals().stored);
    }

    /// A receiver that says anything: the cursor moves only to places whose digest is the
    /// journal's own, and the sender always comes back.
    #[test]
    fn a_sender_takes_any_response(responses in prop::collection::vec(response(), 1..60)) {
        let mut journal = journal();
        let config = SenderConfig {
            gateway_id: journal.gateway_id.clone(),
            journal_epoch: journal.epoch,
            lane: journal.lane,
            predecessors: Vec::new(),
            software_version: String::new(),
            receiver_id: None,
            endpoints: NonZeroUsize::MIN,
            seed: 3,
            tuning: Tuning::default(),
        };
        let mut sender = Sender::new(config, journal.cursor, journal.last_durable(), Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut ended = false;
        let mut drive = |sender: &mut Sender, now: Duration| loop {
            while let Some(action) = sender.poll_action() {
                match action {
                    Action::Connect { connection, .. } => sender.handle_connected(now, connection),
                    Action::AdvanceCursor { mark } | Action::RewindCursor { mark, .. } => {
                        let chain = (1..=mark.sequence.0).fold(Journal::new("gw", 7, v1::Lane::Results).cursor,
                            |mark, sequence| mark.then(journal.record(sequence)));
                        assert_eq!(mark, chain, "the cursor stands on the journal's own chain");
                    }
                    Action::NewEpoch { receiver_mark } => {
                        assert!(receiver_mark > journal.last_durable());
                        ended = true;
                    }
                    Action::PinReceiver { receiver_id } => assert_eq!(receiver_id, "centre"),
                    Action::Disconnect { .. } => {}
                    Action::DeclareReset { .. } => panic!("all is retained"),
                }
            }
            if sender.poll_transmit(now, &mut journal) == Transmit::Idle {
                break;
            }
        };
        for response in responses {
            now = sender.poll_timeout().unwrap_or(now).max(now);
            sender.handle_timeout(now);
            drive(&mut sender, now);
            if let Some(connection) = sender.connection() {
                sender.handle_response(now, ConnectionId(connection.0 + 1), response.clone());
                sender.handle_response(now, connection, response);
                drive(&mut sender, now);
            }
        }
        if let Some(connection) = sender.connection() {
            sender.handle_ended(now, connection, StreamEnd::new(Code::Unavailable, "over"));
        }
        drive(&mut sender, now);
        prop_assert!(ended || sender.poll_timeout().is_some(), "it comes back: {:?}", sender.status());
    }
}
