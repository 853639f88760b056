//! What the frozen messages of the conversation mean.

use bytes::Bytes;
use venue_schema::{
    Digest,
    v1::{
        Ack, Batch, DeliverRequest, DeliverResponse, Hello, Lane, Skipped, Welcome, deliver_request as request,
        deliver_response as response,
    },
};

use crate::{
    Expected,
    event::{BOOT_ID, JOURNAL_EPOCH},
    frozen_bytes,
};

/// D(0) of the frozen lane.
pub(crate) const DIGEST_BEFORE: &str = "74ca5a0b7404802921bcd795afc3050782168ad9c040e636bce564a5910185a7";
/// The digest after the frozen batch and the skipped range.
pub(crate) const DIGEST_AFTER: &str = "f3fa283973c58e087baf13bba443034daf611c93f1a1f4f877f1be51f3a9b376";

/// What a gateway sends, by the name of its files.
pub(crate) fn requests() -> Vec<Expected<DeliverRequest>> {
    let hello = Hello {
        protocol_version: 1,
        capabilities: vec!["one".into(), "two".into()],
        gateway_id: "stade-1-a".into(),
        journal_epoch: Bytes::from_static(&JOURNAL_EPOCH),
        lane: Lane::Results as i32,
        last_acknowledged_sequence: 40,
        last_acknowledged_digest: digest(DIGEST_BEFORE),
        first_retained_sequence: 2,
        last_durable_sequence: (1 << 63) + 5,
        predecessor_epochs: vec![
            Bytes::from_static(b"\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf"),
            Bytes::from_static(BOOT_ID),
        ],
        software_version: "0.1.0".into(),
    };
    let batch =
        Batch { first_sequence: 41, events: vec![frozen_bytes("impulse").into(), frozen_bytes("passing").into()] };
    let skipped = Skipped { first_sequence: 43, last_sequence: 45, gap_event: frozen_bytes("gap_lane").into() };
    vec![
        ("hello", DeliverRequest { message: Some(request::Message::Hello(hello)) }),
        ("batch", DeliverRequest { message: Some(request::Message::Batch(batch)) }),
        ("skipped", DeliverRequest { message: Some(request::Message::Skipped(skipped)) }),
    ]
}

/// What a receiver sends, by the name of its files.
pub(crate) fn responses() -> Vec<Expected<DeliverResponse>> {
    let welcome = Welcome {
        receiver_id: "centre-1".into(),
        last_sequence: 40,
        digest: digest(DIGEST_BEFORE),
        protocol_version: 1,
        capabilities: vec!["one".into()],
    };
    let ack = Ack { sequence: 45, digest: digest(DIGEST_AFTER) };
    vec![
        ("welcome", DeliverResponse { message: Some(response::Message::Welcome(welcome)) }),
        ("ack", DeliverResponse { message: Some(response::Message::Ack(ack)) }),
    ]
}

fn digest(hex: &str) -> Bytes {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("two hex digits");
    }
    Bytes::copy_from_slice(Digest::from_bytes(bytes).as_bytes())
}
