//! The header before the records of one commit.

use venue_schema::Sequence;

use super::{Checksum, Fields};
use crate::PerLane;

/// First bytes of a commit header.
pub(crate) const COMMIT_MAGIC: [u8; 4] = *b"VCMT";

/// Size of a commit header, bytes; a multiple of 8.
pub(crate) const COMMIT_HEADER_BYTES: u64 = 48;

/// What stands before the records that went down with one sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitHeader {
    /// Sequence of the first record, or of the next one where there is none.
    pub(crate) first_sequence: Sequence,
    /// Records that follow, of every kind.
    pub(crate) record_count: u32,
    /// Their size with headers and padding.
    pub(crate) payload_bytes: u32,
    /// What was durable in each lane before this commit was written.
    pub(crate) durable_before: PerLane<Sequence>,
    /// Rises with every opening of the journal, and never falls along a segment.
    pub(crate) session: u32,
}

impl CommitHeader {
    /// Its 48 bytes.
    pub(crate) fn encode(&self, checksum: Checksum) -> [u8; COMMIT_HEADER_BYTES as usize] {
        let mut bytes = [0; COMMIT_HEADER_BYTES as usize];
        bytes[..4].copy_from_slice(&COMMIT_MAGIC);
        bytes[8..16].copy_from_slice(&self.first_sequence.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.record_count.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable_before.results.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.durable_before.telemetry.0.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.session.to_le_bytes());
        let crc = checksum.over(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads 48 bytes; none if they are not a commit header of this segment.
    pub(crate) fn decode(bytes: &[u8], checksum: Checksum) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.array()? != COMMIT_MAGIC || fields.u32()? != checksum.over(fields.0) {
            return None;
        }
        Some(Self {
            first_sequence: Sequence(fields.u64()?),
            record_count: fields.u32()?,
            payload_bytes: fields.u32()?,
            durable_before: PerLane { results: Sequence(fields.u64()?), telemetry: Sequence(fields.u64()?) },
            session: fields.u32()?,
        })
    }
}
