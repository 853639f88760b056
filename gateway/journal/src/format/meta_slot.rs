//! A slot of the file `meta`: whose journal this is, and which epoch it is in.

use venue_schema::{JournalEpoch, Sequence, v1::Lane};

use super::{
    Checksum, Fields, PAGE_BYTES, Unreadable, VERSION, fields::put_short_text, segment_header::GATEWAY_ID_BYTES,
};
use crate::PerLane;

const MAGIC: &[u8; 8] = b"VENUEMET";

/// Size of a slot, bytes.
pub(crate) const META_SLOT_BYTES: u64 = PAGE_BYTES;

/// Epochs before the present one that are remembered; older ones are dropped.
pub(crate) const MAX_PREDECESSORS: usize = 16;

/// The segment of a lane that was begun last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SegmentNote {
    /// Its generation, 0 = none was begun.
    pub(crate) generation: u64,
    /// Its first sequence.
    pub(crate) first: Sequence,
}

/// Whose journal this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetaSlot {
    /// Rises with every writing; the sound slot with the higher one counts.
    pub(crate) revision: u64,
    pub(crate) epoch: JournalEpoch,
    /// An epoch that is being begun: its segments do not count yet.
    pub(crate) coming: Option<JournalEpoch>,
    /// Epochs before this one, newest first.
    pub(crate) predecessors: Vec<JournalEpoch>,
    /// Noted before anything in them is acknowledged, so that one that is missing is missed.
    pub(crate) newest: PerLane<SegmentNote>,
    pub(crate) gateway_id: String,
}

impl MetaSlot {
    /// One page of bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let kept = &self.predecessors[..self.predecessors.len().min(MAX_PREDECESSORS)];
        let mut page = Vec::with_capacity(META_SLOT_BYTES as usize);
        page.extend_from_slice(MAGIC);
        page.extend_from_slice(&VERSION.to_le_bytes());
        page.extend_from_slice(&[u8::from(self.coming.is_some()), kept.len() as u8, 0, 0]);
        page.extend_from_slice(&self.revision.to_le_bytes());
        page.extend_from_slice(self.epoch.as_bytes());
        page.extend_from_slice(self.coming.unwrap_or(JournalEpoch::from_bytes([0; 16])).as_bytes());
        for note in Lane::ALL.map(|lane| self.newest[lane]) {
            page.extend_from_slice(&note.generation.to_le_bytes());
            page.extend_from_slice(&note.first.0.to_le_bytes());
        }
        put_short_text(&mut page, &self.gateway_id, GATEWAY_ID_BYTES);
        for epoch in kept {
            page.extend_from_slice(epoch.as_bytes());
        }
        page.resize(META_SLOT_BYTES as usize - 4, 0);
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
        let [has_coming, predecessor_count, ..] = fields.array::<4>()?;
        let revision = fields.u64()?;
        let epoch = JournalEpoch::from_bytes(fields.array()?);
        let coming = JournalEpoch::from_bytes(fields.array()?);
        let mut note = || Some(SegmentNote { generation: fields.u64()?, first: Sequence(fields.u64()?) });
        let newest = PerLane { results: note()?, telemetry: note()? };
        let gateway_id = fields.short_text(GATEWAY_ID_BYTES)?.to_owned();
        let predecessors =
            (0..predecessor_count).map(|_| fields.array().map(JournalEpoch::from_bytes)).collect::<Option<_>>()?;
        Some(Self { revision, epoch, coming: (has_coming == 1).then_some(coming), predecessors, newest, gateway_id })
    }
}
