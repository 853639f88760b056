//! One record: a header, its bytes, and padding to a multiple of 8.

use venue_schema::Sequence;

use super::{Checksum, Fields};
use crate::identity::{Identity, Received};

/// Size of a record's header without an identity, bytes.
const PLAIN_BYTES: usize = 40;
/// Size of the identity that may follow it, bytes.
const IDENTITY_BYTES: usize = 24;
/// Stands for a receive time that is not known.
const NO_RECEIVE_UTC: i64 = i64::MIN;
/// The flag of what the gateway itself says.
const OWN: u32 = 1;
/// Tag of `Batch.events`, the first byte of a framed element.
const ELEMENT_TAG: u8 = 0x12;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// An event, framed as an element of a `Batch`.
    Event,
    /// A range of the lane that is missing for good; takes no sequence.
    Skip,
    /// An event that declares a hole in a source's ordinals; framed likewise.
    OrdinalGap,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Event, Self::Skip, Self::OrdinalGap].into_iter().find(|kind| kind.as_byte() == byte)
    }

    fn as_byte(self) -> u8 {
        match self {
            Self::Event => 1,
            Self::Skip => 2,
            Self::OrdinalGap => 3,
        }
    }

    /// Whether it is a place in the lane, rather than a note about one.
    pub(crate) fn takes_sequence(self) -> bool {
        self != Self::Skip
    }
}

/// What stands before a record's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) element_bytes: u32,
    /// Its place; for a skip, the last place that it covers.
    pub(crate) sequence: Sequence,
    pub(crate) kind: RecordKind,
    pub(crate) identity: Option<Identity>,
    /// Size of the `origin` field at the end of the element, with its tag and length.
    pub(crate) origin_bytes: u16,
    pub(crate) receive_utc_ns: Option<i64>,
    pub(crate) receive_monotonic_ns: u64,
    /// The gateway itself says it, and its source was not heard then.
    pub(crate) own: bool,
}

impl RecordHeader {
    /// Size of the smallest header, bytes.
    pub(crate) const LEAST_BYTES: usize = PLAIN_BYTES;
    /// Size of the largest header, bytes.
    pub(crate) const MOST_BYTES: usize = PLAIN_BYTES + IDENTITY_BYTES;

    /// Whether a record may start here, by bytes that tell nearly everything else apart, and zeros above all.
    pub(crate) fn may_start(bytes: &[u8]) -> bool {
        bytes.get(16..24).is_some_and(|bytes| (1..=3).contains(&bytes[0]) && bytes[1] <= 2 && bytes[5..] == [0; 3])
    }

    /// Size of this header, bytes.
    pub(crate) fn header_bytes(&self) -> usize {
        PLAIN_BYTES + if self.identity.is_some() { IDENTITY_BYTES } else { 0 }
    }

    /// Size of the whole record with padding, bytes.
    pub(crate) fn record_bytes(&self) -> usize {
        padded(self.header_bytes() + self.element_bytes as usize)
    }

    /// Writes the header with an empty checksum; [`seal`](Self::seal) fills it in.
    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[0; 4]);
        into.extend_from_slice(&self.element_bytes.to_le_bytes());
        into.extend_from_slice(&self.sequence.0.to_le_bytes());
        let identity_kind = self.identity.map_or(0, Identity::kind);
        into.extend_from_slice(&[self.kind.as_byte(), identity_kind]);
        into.extend_from_slice(&self.origin_bytes.to_le_bytes());
        into.extend_from_slice(&(if self.own { OWN } else { 0 }).to_le_bytes());
        into.extend_from_slice(&self.receive_utc_ns.unwrap_or(NO_RECEIVE_UTC).to_le_bytes());
        into.extend_from_slice(&self.receive_monotonic_ns.to_le_bytes());
        if let Some(identity) = self.identity {
            into.extend_from_slice(&identity.encode());
        }
    }

    /// Fills in the checksum of the record that starts at `record[0]`; says how long it is with padding.
    pub(crate) fn seal(record: &mut [u8], checksum: Checksum) -> usize {
        let header = Self::parse(record).expect("a staged record was written by `put`");
        let end = header.header_bytes() + header.element_bytes as usize;
        let crc = checksum.over(&record[4..end]);
        record[..4].copy_from_slice(&crc.to_le_bytes());
        header.record_bytes()
    }

    /// Reads a header without checking anything but its shape.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        fields.u32()?;
        let element_bytes = fields.u32()?;
        let sequence = Sequence(fields.u64()?);
        let kind = RecordKind::from_byte(fields.u8()?)?;
        let identity_kind = fields.u8()?;
        let origin_bytes = fields.u16()?;
        let own = fields.u32()? & OWN != 0;
        let receive_utc_ns = Some(fields.i64()?).filter(|&utc| utc != NO_RECEIVE_UTC);
        let receive_monotonic_ns = fields.u64()?;
        let identity = match identity_kind {
            0 => None,
            kind => Some(Identity::decode(kind, fields.array::<IDENTITY_BYTES>()?)?),
        };
        Some(Self { element_bytes, sequence, kind, identity, origin_bytes, receive_utc_ns, receive_monotonic_ns, own })
    }

    /// When its source was heard; none if it was not.
    pub(crate) fn received(&self) -> Option<Received> {
        (!self.own).then_some((self.receive_utc_ns, self.receive_monotonic_ns))
    }

    /// Reads a record and checks it; its header and its element, or none.
    pub(crate) fn verify(bytes: &[u8], checksum: Checksum) -> Option<(Self, &[u8])> {
        let header = Self::parse(bytes)?;
        let end = header.header_bytes().checked_add(header.element_bytes as usize)?;
        let content = bytes.get(4..end)?;
        let crc = u32::from_le_bytes(*bytes.first_chunk()?);
        (checksum.over(content) == crc).then(|| (header, &bytes[header.header_bytes()..end]))
    }
}

/// Size with padding to a multiple of 8.
pub(crate) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(8)
}

/// Size of a number as a protobuf varint, bytes.
pub(crate) fn varint_bytes(value: u64) -> usize {
    prost::encoding::encoded_len_varint(value)
}

/// Starts an element of a `Batch`: its tag and the length of the event that follows.
pub(crate) fn frame_element(event_bytes: usize, into: &mut Vec<u8>) {
    into.push(ELEMENT_TAG);
    prost::encoding::encode_varint(event_bytes as u64, into);
}

/// The event in the element at the start of `bytes`, and what follows it.
pub(crate) fn unframe_element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&tag, mut rest) = bytes.split_first()?;
    if tag != ELEMENT_TAG {
        return None;
    }
    let length = prost::encoding::decode_varint(&mut rest).ok()?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// The bytes of a skip record: the first place missing, and the event that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SkipPayload<'a> {
    pub(crate) first: Sequence,
    pub(crate) gap_event: &'a [u8],
}

impl<'a> SkipPayload<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.first.0.to_le_bytes(), self.gap_event].concat()
    }

    pub(crate) fn decode(element: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(element);
        Some(Self { first: Sequence(fields.u64()?), gap_event: fields.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> RecordHeader {
        RecordHeader {
            element_bytes: 5,
            sequence: Sequence(7),
            kind: RecordKind::Event,
            identity: Some(Identity::Key { hash: 9, occurrence: 2 }),
            origin_bytes: 0,
            receive_utc_ns: Some(-1),
            receive_monotonic_ns: 3,
            own: true,
        }
    }

    /// Any single flipped bit is found, in the header as in the element; padding does not matter.
    #[test]
    fn every_flipped_bit_is_found() {
        let segment =
            Checksum::of_segment(venue_schema::JournalEpoch::from_bytes([1; 16]), venue_schema::v1::Lane::Results, 4);
        let mut record = Vec::new();
        header().put(&mut record);
        record.extend_from_slice(b"hello");
        record.resize(padded(record.len()), 0);
        assert_eq!(RecordHeader::seal(&mut record, segment), record.len());
        let (read, element) = RecordHeader::verify(&record, segment).unwrap();
        assert!(RecordHeader::may_start(&record));
        assert_eq!((read, element), (header(), &b"hello"[..]));
        for bit in 0..(header().header_bytes() + 5) * 8 {
            record[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::verify(&record, segment), None, "bit {bit}");
            record[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// A segment's file is used again: what it held under its former generation must not pass.
    #[test]
    fn a_record_of_a_former_use_of_the_file_is_refused() {
        let epoch = venue_schema::JournalEpoch::from_bytes([1; 16]);
        let of = |generation| Checksum::of_segment(epoch, venue_schema::v1::Lane::Results, generation);
        let mut record = Vec::new();
        header().put(&mut record);
        record.extend_from_slice(b"hello\0\0\0");
        RecordHeader::seal(&mut record, of(4));
        assert!(RecordHeader::verify(&record, of(4)).is_some());
        assert!(RecordHeader::verify(&record, of(5)).is_none());
    }
}
