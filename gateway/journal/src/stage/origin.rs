//! What the journal adds to an event: its place.

use prost::Message;
use venue_schema::{
    Sequence,
    v1::{self, Lane},
};

use super::Stage;
use crate::format::varint_bytes;

/// Tag of `Event.origin`, as a varint.
const ORIGIN_TAG: [u8; 2] = [0xA2, 0x06];

/// What the journal adds to an event: its place.
pub(super) struct OriginRef<'a> {
    pub(super) stage: &'a Stage,
    pub(super) lane: Lane,
    pub(super) sequence: Sequence,
    pub(super) source: &'a str,
    pub(super) ordinal: u64,
}

impl OriginRef<'_> {
    fn content_bytes(&self) -> usize {
        let text = |text: &str| 1 + varint_bytes(text.len() as u64) + text.len();
        text(self.stage.gateway_id.as_str())
            + 18
            + 2
            + (1 + varint_bytes(self.sequence.0))
            + text(self.source)
            + (1 + varint_bytes(self.ordinal))
    }

    /// Size of the whole field, bytes.
    pub(super) fn field_bytes(&self) -> usize {
        let content = self.content_bytes();
        ORIGIN_TAG.len() + varint_bytes(content as u64) + content
    }

    pub(super) fn put(&self, into: &mut Vec<u8>) {
        let put_bytes = |into: &mut Vec<u8>, tag: u8, bytes: &[u8]| {
            into.push(tag);
            prost::encoding::encode_varint(bytes.len() as u64, into);
            into.extend_from_slice(bytes);
        };
        let put_number = |into: &mut Vec<u8>, tag: u8, number: u64| {
            into.push(tag);
            prost::encoding::encode_varint(number, into);
        };
        into.extend_from_slice(&ORIGIN_TAG);
        prost::encoding::encode_varint(self.content_bytes() as u64, into);
        put_bytes(into, 0x0A, self.stage.gateway_id.as_str().as_bytes());
        put_bytes(into, 0x12, self.stage.epoch.as_bytes());
        put_number(into, 0x18, self.lane as u64);
        put_number(into, 0x20, self.sequence.0);
        put_bytes(into, 0x2A, self.source.as_bytes());
        put_number(into, 0x30, self.ordinal);
    }
}

/// The origin in the last bytes of an event.
pub(crate) fn origin_of(event: &[u8], origin_bytes: u16) -> Option<v1::Origin> {
    let field = &event[event.len().checked_sub(usize::from(origin_bytes))?..];
    let mut content = field.strip_prefix(&ORIGIN_TAG)?;
    let length = usize::try_from(prost::encoding::decode_varint(&mut content).ok()?).ok()?;
    (length == content.len()).then(|| v1::Origin::decode(content).ok())?
}
