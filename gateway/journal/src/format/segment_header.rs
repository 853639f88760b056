//! The first page of a segment.

use venue_schema::{JournalEpoch, Sequence, v1::Lane};

use super::{Checksum, Fields, PAGE_BYTES, Unreadable, VERSION, fields::put_short_text};

const MAGIC: &[u8; 8] = b"VENUESEG";

/// Room for a gateway id, the longest DNS name.
pub(super) const GATEWAY_ID_BYTES: usize = 253;

/// What a segment says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) lane: Lane,
    /// Rises with every segment of the journal, whatever its lane.
    pub(crate) generation: u64,
    /// Generation of the segment before it in the lane, 0 for the first.
    pub(crate) previous_generation: u64,
    /// Sequence of its first record. It supersedes what an older segment holds from here on.
    pub(crate) first_sequence: Sequence,
    /// Size of the file.
    pub(crate) segment_bytes: u64,
    /// Size of the checkpoint behind this header.
    pub(crate) checkpoint_bytes: u64,
    pub(crate) epoch: JournalEpoch,
    pub(crate) gateway_id: String,
}

impl SegmentHeader {
    /// Where the first commit stands: behind header and checkpoint, at a page.
    pub(crate) fn data_start(&self) -> u64 {
        PAGE_BYTES + self.checkpoint_bytes.next_multiple_of(PAGE_BYTES)
    }

    /// One page of bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE_BYTES as usize);
        page.extend_from_slice(MAGIC);
        page.extend_from_slice(&VERSION.to_le_bytes());
        page.extend_from_slice(&[self.lane as u8, 0, 0, 0]);
        page.extend_from_slice(&self.generation.to_le_bytes());
        page.extend_from_slice(&self.previous_generation.to_le_bytes());
        page.extend_from_slice(&self.first_sequence.0.to_le_bytes());
        page.extend_from_slice(&self.segment_bytes.to_le_bytes());
        page.extend_from_slice(&self.checkpoint_bytes.to_le_bytes());
        page.extend_from_slice(self.epoch.as_bytes());
        put_short_text(&mut page, &self.gateway_id, GATEWAY_ID_BYTES);
        page.resize(PAGE_BYTES as usize - 4, 0);
        let crc = Checksum::plain().over(&page);
        page.extend_from_slice(&crc.to_le_bytes());
        page
    }

    /// Reads one page of bytes.
    pub(crate) fn decode(page: &[u8]) -> Result<Self, Unreadable> {
        let (content, crc) = page.split_last_chunk::<4>().ok_or(Unreadable::Damaged)?;
        if Checksum::plain().over(content) != u32::from_le_bytes(*crc) || !content.starts_with(MAGIC) {
            return Err(Unreadable::Damaged);
        }
        let mut fields = Fields(&content[MAGIC.len()..]);
        match fields.u32().ok_or(Unreadable::Damaged)? {
            VERSION => Self::decode_fields(&mut fields).ok_or(Unreadable::Damaged),
            later => Err(Unreadable::Later(later)),
        }
    }

    fn decode_fields(fields: &mut Fields<'_>) -> Option<Self> {
        let lane = match Lane::try_from(i32::from(fields.array::<4>()?[0])) {
            Ok(lane @ (Lane::Results | Lane::Telemetry)) => lane,
            _ => return None,
        };
        Some(Self {
            lane,
            generation: fields.u64()?,
            previous_generation: fields.u64()?,
            first_sequence: Sequence(fields.u64()?),
            segment_bytes: fields.u64()?,
            checkpoint_bytes: fields.u64()?,
            epoch: JournalEpoch::from_bytes(fields.array()?),
            gateway_id: fields.short_text(GATEWAY_ID_BYTES)?.to_owned(),
        })
    }
}
