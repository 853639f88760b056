//! The identity of an event, read from its bytes without decoding the rest.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use venue_schema::ORIGIN_FIELD;

/// What makes an event the same event when it comes a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Identity<'a> {
    /// The venue.
    pub venue_id: &'a [u8],
    /// The device.
    pub device_id: &'a [u8],
    /// The device's own epoch, 0 if it gives none.
    pub device_epoch: u64,
    /// What is unique within the three above.
    pub key: Key<'a>,
    /// The place where the event was first stored.
    pub origin: Option<OriginKey<'a>>,
}

/// The part of an identity that counts or names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Key<'a> {
    /// The device's own number.
    Sequence(u64),
    /// A key made from the content, and which of its kind.
    Content {
        /// The canonical text.
        key: &'a [u8],
        /// From 1.
        occurrence: u64,
    },
    /// Neither: the origin is the identity, and the event is never merged with
    /// one of another origin.
    #[default]
    Origin,
}

/// The place of an event in the journal that first stored it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OriginKey<'a> {
    /// The gateway.
    pub gateway_id: &'a [u8],
    /// Its journal, 16 bytes.
    pub journal_epoch: &'a [u8],
    /// Number of the lane.
    pub lane: u64,
    /// Number in the lane.
    pub sequence: u64,
}

/// Bytes that are no protobuf message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no venue.v1.Event: broken at byte {offset}")]
pub struct BrokenEvent {
    /// Where, in bytes from the start of the message.
    pub offset: usize,
}

impl<'a> Identity<'a> {
    /// Reads the identity of a serialized `venue.v1.Event`.
    ///
    /// # Errors
    /// If the bytes are no protobuf message. A field of an unexpected wire type is
    /// passed over, as any protobuf reader does.
    pub fn parse(event: &'a [u8]) -> Result<Self, BrokenEvent> {
        let mut identity = Self::default();
        for_each_field(event, |field| match field {
            (1, Value::Bytes(text)) => identity.venue_id = text,
            (2, Value::Bytes(text)) => identity.device_id = text,
            (4, Value::Varint(epoch)) => identity.device_epoch = epoch,
            (5, Value::Varint(number)) => identity.key = Key::Sequence(number),
            (6, Value::Bytes(message)) => identity.key = content_key(message),
            (ORIGIN_FIELD, Value::Bytes(message)) => identity.origin = Some(origin(message)),
            _ => {}
        })?;
        Ok(identity)
    }
}

fn content_key(message: &[u8]) -> Key<'_> {
    let (mut key, mut occurrence) = (&[][..], 0);
    let parsed = for_each_field(message, |field| match field {
        (1, Value::Bytes(text)) => key = text,
        (2, Value::Varint(number)) => occurrence = number,
        _ => {}
    });
    // A broken key identifies nothing; the event is then known by its origin.
    if parsed.is_ok() { Key::Content { key, occurrence } } else { Key::Origin }
}

fn origin(message: &[u8]) -> OriginKey<'_> {
    let mut origin = OriginKey::default();
    let parsed = for_each_field(message, |field| match field {
        (1, Value::Bytes(text)) => origin.gateway_id = text,
        (2, Value::Bytes(bytes)) => origin.journal_epoch = bytes,
        (3, Value::Varint(lane)) => origin.lane = lane,
        (4, Value::Varint(sequence)) => origin.sequence = sequence,
        _ => {}
    });
    if parsed.is_ok() { origin } else { OriginKey::default() }
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

/// Goes through the varint and length-delimited fields of one message.
fn for_each_field<'a>(message: &'a [u8], mut visit: impl FnMut((u32, Value<'a>))) -> Result<(), BrokenEvent> {
    let mut rest = message;
    while !rest.is_empty() {
        let offset = message.len() - rest.len();
        next_field(&mut rest).ok_or(BrokenEvent { offset })?.into_iter().for_each(&mut visit);
    }
    Ok(())
}

/// Takes one field off the front: none if it is broken, `Some(None)` if it is of
/// a wire type without interest.
fn next_field<'a>(rest: &mut &'a [u8]) -> Option<Option<(u32, Value<'a>)>> {
    let (tag, wire_type) = decode_key(rest).ok()?;
    match wire_type {
        WireType::Varint => Some(Some((tag, Value::Varint(decode_varint(rest).ok()?)))),
        WireType::LengthDelimited => {
            let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            Some(Some((tag, Value::Bytes(bytes))))
        }
        _ => {
            skip_field(wire_type, tag, rest, DecodeContext::default()).ok()?;
            Some(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use venue_schema::{Message as _, v1};

    use super::*;

    fn event(identity: Option<v1::event::Identity>) -> v1::Event {
        v1::Event {
            venue_id: "stade-1".into(),
            device_id: "timer-a".into(),
            device_epoch: 9,
            identity,
            time: Some(v1::EventTime { utc_ns: Some(5), ..Default::default() }),
            content: Some(v1::event::Content::Raw(v1::Raw::default())),
            origin: Some(v1::Origin {
                gateway_id: "gw".into(),
                journal_epoch: vec![7; 16].into(),
                lane: 2,
                sequence: 41,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// Every kind of identity is read back from what protobuf encodes.
    #[test]
    fn identities_are_read_from_encoded_events() {
        let check = |identity, key: Key<'_>| {
            let bytes = event(identity).encode_to_vec();
            let origin = OriginKey { gateway_id: b"gw", journal_epoch: &[7; 16], lane: 2, sequence: 41 };
            let expected =
                Identity { venue_id: b"stade-1", device_id: b"timer-a", device_epoch: 9, key, origin: Some(origin) };
            assert_eq!(Identity::parse(&bytes), Ok(expected));
        };
        check(None, Key::Origin);
        check(Some(v1::event::Identity::DeviceSequence(0)), Key::Sequence(0));
        let content = v1::ContentKey { key: "C1|09:17".into(), occurrence: 3 };
        check(Some(v1::event::Identity::ContentKey(content)), Key::Content { key: b"C1|09:17", occurrence: 3 });
    }

    proptest! {
        /// Whatever comes over the wire, reading ends in an identity or an error.
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..60_usize) {
            let _ = Identity::parse(&bytes);
            let whole = event(None).encode_to_vec();
            let cut = cut.min(whole.len());
            prop_assert_eq!(Identity::parse(&whole[..cut]).is_ok(), v1::Event::decode(&whole[..cut]).is_ok());
        }
    }
}
