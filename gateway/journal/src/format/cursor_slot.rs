//! A slot of the file `cursors`: how far one consumer has come.

use venue_schema::{Digest, JournalEpoch, Sequence, v1::Lane};

use super::{Checksum, Fields, Unreadable, VERSION, fields::put_short_text};

const MAGIC: &[u8; 8] = b"VENUECUR";

/// Size of a slot, bytes. Each cursor has two.
pub(crate) const CURSOR_SLOT_BYTES: u64 = 512;
/// Longest name of a cursor, bytes.
pub(crate) const MAX_CURSOR_NAME_BYTES: usize = 64;
/// Longest id of a receiver, bytes.
pub(crate) const MAX_RECEIVER_ID_BYTES: usize = 200;

/// How far one consumer has come in one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CursorSlot {
    /// Rises with every writing; the sound slot with the higher one counts.
    pub(crate) revision: u64,
    pub(crate) epoch: JournalEpoch,
    pub(crate) lane: Lane,
    /// Whether retention asks it.
    pub(crate) required: bool,
    /// Everything up to here is at the consumer.
    pub(crate) mark: Sequence,
    /// The digest after it.
    pub(crate) digest: Digest,
    pub(crate) name: String,
    /// Empty until a receiver is pinned.
    pub(crate) receiver_id: String,
}

impl CursorSlot {
    /// 512 bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut slot = Vec::with_capacity(CURSOR_SLOT_BYTES as usize);
        slot.extend_from_slice(MAGIC);
        slot.extend_from_slice(&VERSION.to_le_bytes());
        slot.extend_from_slice(&[self.lane as u8, u8::from(self.required), 0, 0]);
        slot.extend_from_slice(&self.revision.to_le_bytes());
        slot.extend_from_slice(self.epoch.as_bytes());
        slot.extend_from_slice(&self.mark.0.to_le_bytes());
        slot.extend_from_slice(self.digest.as_bytes());
        put_short_text(&mut slot, &self.name, MAX_CURSOR_NAME_BYTES);
        put_short_text(&mut slot, &self.receiver_id, MAX_RECEIVER_ID_BYTES);
        slot.resize(CURSOR_SLOT_BYTES as usize - 4, 0);
        let crc = Checksum::plain().over(&slot);
        slot.extend_from_slice(&crc.to_le_bytes());
        slot
    }

    /// Reads 512 bytes.
    pub(crate) fn decode(slot: &[u8]) -> Result<Self, Unreadable> {
        let (content, crc) = slot.split_last_chunk::<4>().ok_or(Unreadable::Damaged)?;
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
        let [lane, required, ..] = fields.array::<4>()?;
        let lane = match Lane::try_from(i32::from(lane)) {
            Ok(lane @ (Lane::Results | Lane::Telemetry)) => lane,
            _ => return None,
        };
        Some(Self {
            lane,
            required: required == 1,
            revision: fields.u64()?,
            epoch: JournalEpoch::from_bytes(fields.array()?),
            mark: Sequence(fields.u64()?),
            digest: Digest::from_bytes(fields.array()?),
            name: fields.short_text(MAX_CURSOR_NAME_BYTES)?.to_owned(),
            receiver_id: fields.short_text(MAX_RECEIVER_ID_BYTES)?.to_owned(),
        })
    }
}
