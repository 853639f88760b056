//! The bytes of version 1. If one of these fails, the code is wrong, not the bytes.

use core::time::Duration;
use std::num::NonZeroUsize;

use bytes::{Bytes, BytesMut};
use venue_delivery::{
    Frame, Mark, Receiver, Sender,
    frame::push_element,
    receiver::{MemoryStore, Output, Peer},
    sender::{Action, Read, ReadFault, ReadLimits, RecordSource, SenderConfig, Transmit},
};
use venue_schema::{GatewayId, JournalEpoch, Message as _, Sequence, v1};

const NOW: Duration = Duration::from_secs(1);

/// Two records, `one` and `two`.
struct TwoRecords;

impl RecordSource for TwoRecords {
    fn first_retained(&self) -> Sequence {
        Sequence(1)
    }

    fn read(&mut self, from: Sequence, _: ReadLimits) -> Result<Read, ReadFault> {
        let mut elements = BytesMut::new();
        push_element(b"one", &mut elements);
        push_element(b"two", &mut elements);
        Ok(Read::Records { first_sequence: from, count: 2, elements: elements.freeze() })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of sixteen bytes 0x07 and the lane number 1, by coreutils.
const INITIAL: &str = "cdeddf77afd377f4de7cdecb61b0eb63b93473bc8ec8152472df9fe89ef0bb34";
/// SHA-256 of the above and `one`, then of that and `two`, by coreutils.
const AFTER_TWO: &str = "a8dde1a935370b4447e1a01e10361cc00e6d481a9112fa70dfa1a4a53a7ba371";

/// Hello, batch, welcome and acknowledgement as they cross the wire.
#[test]
fn a_conversation_has_these_bytes() {
    let epoch = JournalEpoch::from_bytes([7; 16]);
    let config = SenderConfig {
        gateway_id: GatewayId::new("gw-1").unwrap(),
        journal_epoch: epoch,
        lane: v1::Lane::Results,
        predecessors: vec![JournalEpoch::from_bytes([6; 16])],
        software_version: "1.2.3".into(),
        receiver_id: None,
        endpoints: NonZeroUsize::MIN,
        seed: 0,
        tuning: Default::default(),
    };
    let mut sender = Sender::new(config, Mark::initial(epoch, v1::Lane::Results), Sequence(2), NOW);
    let (mut receiver, mut store) = (Receiver::new("centre"), MemoryStore::new());
    let stream = receiver.handle_opened(NOW, Peer::Believed);
    sender.handle_timeout(NOW);
    let Some(Action::Connect { connection, .. }) = sender.poll_action() else { panic!("the first attempt is due") };
    sender.handle_connected(NOW, connection);

    let mut say = |sender: &mut Sender| {
        let frame = loop {
            match sender.poll_transmit(NOW, &mut TwoRecords) {
                Transmit::Frame(frame) => break frame.to_bytes(),
                Transmit::Again => {}
                Transmit::Idle => panic!("there is something to say"),
            }
        };
        receiver.handle_request(stream, v1::DeliverRequest::decode(frame.clone()).unwrap(), &mut store);
        receiver.commit(&mut store).unwrap();
        let Some(Output::Respond { response, .. }) = receiver.poll_output() else { panic!("it is answered") };
        (hex(&frame), response)
    };
    let (hello, welcome) = say(&mut sender);
    let hello_expected = [
        "0a5b",
        "0801",
        "1a0467772d31",
        "221007070707070707070707070707070707",
        "2801",
        "3a20",
        INITIAL,
        "4001",
        "4802",
        "521006060606060606060606060606060606",
        "5a05312e322e33",
    ];
    assert_eq!(hello, hello_expected.concat());
    assert_eq!(hex(&welcome.encode_to_vec()), ["0a2c", "0a0663656e747265", "1a20", INITIAL, "2001"].concat());

    sender.handle_response(NOW, connection, welcome);
    let (batch, ack) = say(&mut sender);
    assert_eq!(batch, "120c080112036f6e65120374776f");
    assert_eq!(hex(&ack.encode_to_vec()), ["1224", "0802", "1220", AFTER_TWO].concat());
    sender.handle_response(NOW, connection, ack);
    assert!(!sender.has_unacknowledged());
}

/// A skipped range as it crosses the wire.
#[test]
fn a_skipped_range_has_these_bytes() {
    let frame = Frame::skipped(Sequence(3), Sequence(300), Bytes::from_static(b"gap"));
    assert_eq!(hex(&frame.to_bytes()), "1a0a080310ac021a03676170");
}
