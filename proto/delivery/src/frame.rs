//! What goes up the stream, as bytes: frames are laid out by memory copy, and
//! events are never decoded on the way.
//!
//! ```text
//! batch    0x12 len ┬ 0x08 first_sequence
//!                   └ elements: (0x12 len event)*      as the journal holds them
//! skipped  0x1a len ┬ 0x08 first_sequence  0x10 last_sequence
//!                   └ 0x1a len gap_event
//! hello    0x0a len   Hello
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};
use venue_schema::{Message as _, Sequence, v1};

/// Most records in one batch.
pub const MAX_BATCH_RECORDS: usize = 512;

/// Most bytes of elements in one batch, tags and lengths included. A single
/// record that is larger travels alone, so that it never blocks its lane.
pub const MAX_BATCH_BYTES: usize = 256 * 1024;

/// Tag of `DeliverRequest.batch` and of `Batch.events`: field 2, length-delimited.
const FIELD_2_BYTES: u8 = 0x12;
/// Tag of `DeliverRequest.skipped` and of `Skipped.gap_event`: field 3, length-delimited.
const FIELD_3_BYTES: u8 = 0x1a;
/// Tag of `first_sequence`: field 1, varint.
const FIELD_1_VARINT: u8 = 0x08;
/// Tag of `Skipped.last_sequence`: field 2, varint.
const FIELD_2_VARINT: u8 = 0x10;

/// One encoded `DeliverRequest`: a head that was made for it and a body that is
/// shared with the journal's read buffer, so that writing it out is the only copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    head: Bytes,
    body: Bytes,
}

impl Frame {
    /// Encodes a hello.
    pub fn hello(hello: v1::Hello) -> Self {
        let request = v1::DeliverRequest { message: Some(v1::deliver_request::Message::Hello(hello)) };
        Self { head: request.encode_to_vec().into(), body: Bytes::new() }
    }

    /// Encodes a batch from elements that are framed already (`0x12 len event`
    /// each, back to back), without looking into them.
    pub fn batch(first_sequence: Sequence, elements: Bytes) -> Self {
        let inner = 1 + encoded_len_varint(first_sequence.0) + elements.len();
        let mut head = BytesMut::with_capacity(24);
        head.put_u8(FIELD_2_BYTES);
        encode_varint(inner as u64, &mut head);
        head.put_u8(FIELD_1_VARINT);
        encode_varint(first_sequence.0, &mut head);
        Self { head: head.freeze(), body: elements }
    }

    /// Encodes a range that is missing for good, with the gap event that stands for it.
    pub fn skipped(first_sequence: Sequence, last_sequence: Sequence, gap_event: Bytes) -> Self {
        let varints = encoded_len_varint(first_sequence.0) + encoded_len_varint(last_sequence.0);
        let inner = 2 + varints + 1 + encoded_len_varint(gap_event.len() as u64) + gap_event.len();
        let mut head = BytesMut::with_capacity(40);
        head.put_u8(FIELD_3_BYTES);
        encode_varint(inner as u64, &mut head);
        head.put_u8(FIELD_1_VARINT);
        encode_varint(first_sequence.0, &mut head);
        head.put_u8(FIELD_2_VARINT);
        encode_varint(last_sequence.0, &mut head);
        head.put_u8(FIELD_3_BYTES);
        encode_varint(gap_event.len() as u64, &mut head);
        Self { head: head.freeze(), body: gap_event }
    }

    /// Size of the encoded message in bytes.
    pub fn encoded_len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Writes the encoded message; what an encoder of a gRPC codec calls.
    pub fn write_to(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.head);
        buffer.put_slice(&self.body);
    }

    /// The encoded message in one piece.
    pub fn to_bytes(&self) -> Bytes {
        let mut buffer = BytesMut::with_capacity(self.encoded_len());
        self.write_to(&mut buffer);
        buffer.freeze()
    }

    /// The message that a receiver reads from these bytes, for drivers that hand
    /// messages over within one process.
    ///
    /// # Errors
    /// If the elements were not framed as [`Frame::batch`] asks.
    pub fn to_request(&self) -> Result<v1::DeliverRequest, prost::DecodeError> {
        v1::DeliverRequest::decode(self.to_bytes())
    }
}

/// Frames one event as an element of a batch and appends it.
pub fn push_element(event: &[u8], elements: &mut impl BufMut) {
    elements.put_u8(FIELD_2_BYTES);
    encode_varint(event.len() as u64, elements);
    elements.put_slice(event);
}

/// Elements that are not `0x12 len event` back to back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no element of a batch at byte {offset}")]
pub struct BrokenElements {
    /// Where the element that cannot be read begins, in bytes from the start.
    pub offset: usize,
}

/// Goes through the events of framed elements, without copying. After an error
/// it ends.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    whole: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// Begins at the first element.
    pub fn new(elements: &'a [u8]) -> Self {
        Self { whole: elements, rest: elements }
    }

    fn split(&self) -> Option<(&'a [u8], &'a [u8])> {
        let (&tag, mut rest) = self.rest.split_first()?;
        if tag != FIELD_2_BYTES {
            return None;
        }
        let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
        rest.split_at_checked(length)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], BrokenElements>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some((event, rest)) = self.split() else {
            let offset = self.whole.len() - self.rest.len();
            self.rest = &[];
            return Some(Err(BrokenElements { offset }));
        };
        self.rest = rest;
        Some(Ok(event))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The frame laid out by hand is byte for byte what protobuf encodes.
        #[test]
        fn a_batch_by_memory_copy_is_the_encoded_message(
            first in any::<u64>().prop_filter("sequences count from 1", |first| *first > 0),
            events in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
        ) {
            let mut elements = BytesMut::new();
            events.iter().for_each(|event| push_element(event, &mut elements));
            let frame = Frame::batch(Sequence(first), elements.clone().freeze());
            let read: Vec<_> = Elements::new(&elements).map(|event| event.unwrap().to_vec()).collect();
            prop_assert_eq!(&read, &events);

            let batch = v1::Batch { first_sequence: first, events: events.into_iter().map(Bytes::from).collect() };
            let message = v1::DeliverRequest { message: Some(v1::deliver_request::Message::Batch(batch)) };
            prop_assert_eq!(frame.encoded_len(), message.encoded_len());
            prop_assert_eq!(frame.to_bytes(), message.encode_to_vec());
        }

        /// The same for a skipped range.
        #[test]
        fn a_skipped_by_memory_copy_is_the_encoded_message(
            first in 1..u64::MAX / 2, more in 0..u64::MAX / 2, gap in prop::collection::vec(any::<u8>(), 1..300),
        ) {
            let frame = Frame::skipped(Sequence(first), Sequence(first + more), gap.clone().into());
            let skipped = v1::Skipped { first_sequence: first, last_sequence: first + more, gap_event: gap.into() };
            let message = v1::DeliverRequest { message: Some(v1::deliver_request::Message::Skipped(skipped)) };
            prop_assert_eq!(frame.to_bytes(), message.encode_to_vec());
        }

        /// Broken elements end in an error, never in a panic or a wrong length.
        #[test]
        fn any_bytes_can_be_gone_through(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let consumed: usize = Elements::new(&bytes).map_while(Result::ok).map(|event| event.len() + 2).sum();
            prop_assert!(consumed <= bytes.len());
        }
    }

    /// An element that is cut short is named by where it begins.
    #[test]
    fn a_cut_element_is_named_by_its_offset() {
        let mut elements = Elements::new(&[0x12, 1, 7, 0x12, 5, 1]);
        assert_eq!(elements.next(), Some(Ok(&[7][..])));
        assert_eq!(elements.next(), Some(Err(BrokenElements { offset: 3 })));
        assert_eq!(elements.next(), None);
    }
}
