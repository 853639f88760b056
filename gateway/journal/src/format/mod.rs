//! The bytes on disk, version 1: frozen. The crate's page draws them.
//!
//! Nothing here reads or writes a file; each structure is encoded and decoded side by side.

mod checksum;
mod commit;
mod cursor_slot;
mod fields;
mod meta_slot;
mod name;
mod record;
mod segment_header;

pub(crate) use checksum::Checksum;
pub(crate) use commit::{COMMIT_HEADER_BYTES, COMMIT_MAGIC, CommitHeader};
pub(crate) use cursor_slot::{CURSOR_SLOT_BYTES, CursorSlot, MAX_CURSOR_NAME_BYTES, MAX_RECEIVER_ID_BYTES};
pub(crate) use fields::Fields;
pub(crate) use meta_slot::{META_SLOT_BYTES, MetaSlot, SegmentNote};
pub(crate) use name::FileName;
pub(crate) use record::{RecordHeader, RecordKind, SkipPayload, frame_element, padded, unframe_element, varint_bytes};
pub(crate) use segment_header::SegmentHeader;

/// Version of every structure.
pub(crate) const VERSION: u32 = 1;

/// Size of a segment's header, and the unit of alignment of what follows it, bytes.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Not this structure, or damaged.
    Damaged,
    /// Sound, of a version that this software does not know.
    Later(u32),
}
