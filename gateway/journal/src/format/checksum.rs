//! CRC-32C over a context and a content.

use venue_schema::{JournalEpoch, v1::Lane};

/// A CRC-32C that already covers where the bytes belong, so that sound bytes of
/// another journal, lane or earlier use of the file do not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checksum(u32);

impl Checksum {
    /// Of a place in a segment: epoch, lane and generation.
    pub(crate) fn of_segment(epoch: JournalEpoch, lane: Lane, generation: u64) -> Self {
        let crc = crc32c::crc32c(epoch.as_bytes());
        let crc = crc32c::crc32c_append(crc, &[lane as u8]);
        Self(crc32c::crc32c_append(crc, &generation.to_le_bytes()))
    }

    /// Of a structure that stands for itself.
    pub(crate) fn plain() -> Self {
        Self(0)
    }

    /// The checksum of the context and these bytes.
    pub(crate) fn over(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, bytes)
    }
}
