//! The contract held still: bytes and JSON of every message, frozen when v1 was made.
//!
//! The files under `v1/` come from another implementation of protobuf (see
//! `v1/README.md`). Each is described here once more as a Rust value, written
//! out field by field. When a test fails, the code is wrong, not the file; a new
//! field of the schema is added here with its default value and changes no file.

mod content;
mod event;
mod service;

use std::{collections::BTreeSet, fmt::Debug, fs, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use venue_schema::{Digest, JournalEpoch, Message, ORIGIN_FIELD, v1};

/// A frozen message: the stem of its files, and what they must mean.
type Expected<M> = (&'static str, M);

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/frozen/v1")
}

fn read(file: &str) -> String {
    let path = directory().join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()))
}

/// The bytes of `v1/NAME.hex`: hex digits, line ends ignored.
fn frozen_bytes(name: &str) -> Vec<u8> {
    let digits: Vec<u8> = read(&format!("{name}.hex")).bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("two hex digits"))
        .collect()
}

fn check_bytes<M: Message + Default + PartialEq + Debug>((name, expected): &Expected<M>) {
    let frozen = frozen_bytes(name);
    let decoded = M::decode(&frozen[..]).expect(name);
    assert_eq!(&decoded, expected, "{name}.hex decodes to something else");
    assert_eq!(expected.encode_to_vec(), frozen, "{name} encodes to other bytes");
}

fn check_json<M: Serialize + DeserializeOwned + PartialEq + Debug>((name, expected): &Expected<M>) {
    let frozen = read(&format!("{name}.json"));
    let value: serde_json::Value = serde_json::from_str(&frozen).expect(name);
    assert_eq!(serde_json::to_value(expected).expect(name), value, "{name} has another JSON form");
    assert_eq!(&serde_json::from_str::<M>(&frozen).expect(name), expected, "{name}.json reads as something else");
}

/// A gateway years old sends these bytes: they must mean the same for ever, and
/// a relay that decodes and encodes must not change one of them.
#[test]
fn frozen_bytes_mean_what_they_meant() {
    event::all().iter().for_each(check_bytes);
    service::requests().iter().for_each(check_bytes);
    service::responses().iter().for_each(check_bytes);
}

/// The JSON form is proto3 JSON with original field names: 64-bit integers as
/// text, bytes as base64, enums by name, defaults left out.
#[test]
fn json_is_that_of_another_implementation() {
    event::all().iter().for_each(check_json);
    service::requests().iter().for_each(check_json);
    service::responses().iter().for_each(check_json);
}

/// A frozen file that nothing compares with would prove nothing.
#[test]
fn every_frozen_file_is_compared() {
    let events = event::all().into_iter().map(|(name, _)| name);
    let requests = service::requests().into_iter().map(|(name, _)| name);
    let responses = service::responses().into_iter().map(|(name, _)| name);
    let expected: BTreeSet<String> = events
        .chain(requests)
        .chain(responses)
        .flat_map(|name| [format!("{name}.hex"), format!("{name}.json")])
        .chain(["README.md".to_owned()])
        .collect();
    let found: BTreeSet<String> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().expect("a UTF-8 name"))
        .collect();
    assert_eq!(found, expected);
}

/// The journal appends `origin` to bytes that are already encoded; the result
/// must be the bytes that an encoder gives for the whole event.
#[test]
fn origin_can_be_appended_to_encoded_bytes() {
    for (name, mut event) in event::all() {
        let origin = event.origin.take().expect("every frozen event has an origin");
        let mut bytes = event.encode_to_vec();
        prost::encoding::message::encode(ORIGIN_FIELD, &origin, &mut bytes);
        assert_eq!(bytes, frozen_bytes(name), "{name}: origin is not the last field");
    }
}

/// The digest that a receiver acknowledges, computed by another SHA-256 over the
/// elements of the frozen batch and skipped range.
#[test]
fn the_digest_follows_from_the_frozen_elements() {
    let start = Digest::initial(JournalEpoch::from_bytes(event::JOURNAL_EPOCH), v1::Lane::Results);
    let end = ["impulse", "passing", "gap_lane"].iter().fold(start, |d, name| d.then(&frozen_bytes(name)));
    assert_eq!(start.to_string(), service::DIGEST_BEFORE);
    assert_eq!(end.to_string(), service::DIGEST_AFTER);
}

/// A content kind of a later version (field 40) leaves who, when and where readable.
#[test]
fn a_later_content_kind_leaves_the_rest_readable() {
    let (_, expected) = event::all().swap_remove(0);
    let mut known = v1::Event { content: None, ..expected };
    let origin = known.origin.take().expect("every frozen event has an origin");
    let mut bytes = known.encode_to_vec();
    prost::encoding::bytes::encode(40, &b"\x0a\x03new".to_vec(), &mut bytes);
    prost::encoding::message::encode(ORIGIN_FIELD, &origin, &mut bytes);
    known.origin = Some(origin);
    assert_eq!(v1::Event::decode(&bytes[..]).unwrap(), known);
}
