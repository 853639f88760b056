//! The durable log of the Venue Gateway: events go in, get their place, and are on disk before anyone is told so.
//!
//! [`Journal`] turns serialized events into records of two lanes, results and telemetry, each dense from 1, and
//! gives them back in order as elements ready for a `Batch`. It never acknowledges before a sync has returned, never gives
//! a sequence to a second event, never deletes results that a required cursor has not passed, and always starts. It
//! reads no clock, starts no thread and waits for nothing: the rim calls [`Journal::commit`] when
//! [`Journal::wants_commit`] says so.
//!
//! ```
//! use std::time::Duration;
//! use venue_journal::{Append, Appended, IdentityRef, Journal, JournalConfig, Limits, ReadItem, simulated::MemoryStorage};
//! use venue_schema::{GatewayId, JournalEpoch, Sequence, v1::Lane};
//!
//! let fresh = JournalEpoch::from_bytes([7; 16]); // drawn at random by the caller
//! let config = JournalConfig::new(GatewayId::new("stade-1-a")?, "stade-1", fresh);
//! let now = Duration::ZERO;
//! let (journal, recovery) = Journal::open(MemoryStorage::new(), config, now)?;
//! assert!(recovery.created);
//!
//! let source = journal.source("finish-timer-a");
//! let appended = journal.append(Append {
//!     lane: Lane::Results,
//!     source,
//!     identity: IdentityRef::Sequence { device_id: "timer-a", epoch: 4, number: 1 },
//!     refusable: false,
//!     event: &[], // a serialized Event without origin
//!     receive_utc_ns: None,
//!     receive_monotonic_ns: 0,
//! })?;
//! assert_eq!(appended, Appended::Stored { lane: Lane::Results, sequence: Sequence(1) });
//! journal.commit(now)?;
//! assert_eq!(journal.watermarks().results, Sequence(1)); // now its source may be acknowledged
//!
//! let ReadItem::Records(run) = journal.reader(Lane::Results).read(Sequence(1), Limits::BATCH)? else { panic!() };
//! assert_eq!((run.first_sequence, run.count), (Sequence(1), 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Files, format version 1 (frozen)
//!
//! Numbers are little-endian; checksums are CRC-32C. *Of the segment* means that a checksum begins with epoch (16 bytes),
//! lane (1) and generation (8), so that what a reused file held before does not pass.
//!
//! ```text
//! lock                  held by flock while a process has the journal open
//! meta                  two pages, overwritten in turn
//! cursors               128 cursors of two slots of 512 bytes, overwritten in turn
//! results-G.seg         segments by generation G (20 digits), which rises over both lanes
//! telemetry-G.seg
//! spare-N.seg           zeros or a retired segment, ready to be the next one; the reserve is among them
//! unfinished-N.seg      a spare being written; removed at open
//!
//! segment:   header (4096) | checkpoint, padded to 4096 | commit | commit | … | margin (4096)
//!
//! header:    0 "VENUESEG"   8 version u32      12 lane u8, 0 0 0      16 generation u64
//!           24 previous generation of the lane u64, 0 = none         32 first sequence u64
//!           40 size of the file u64            48 size of the checkpoint u64
//!           56 epoch (16)   72 length of the gateway id u8, then the id in 253 bytes
//!         4092 checksum of 0..4092
//!
//! checkpoint: 0 "VCPT"  4 last durable results u64  12 last durable telemetry u64
//!            skipped ranges of results, of telemetry: count u32, each first u64, last u64, length u32, gap event
//!            losses that go on: count u32, each lane u8, known u8, cause u8, 0, events so far u64, first received UTC ns i64,
//!            ns since the boot u64, length u32, source, length u32, gap id; known: bit 0 UTC, bit 1 ns since the boot;
//!            cause: that of the gap, 0 = for want of room
//!            sources: count u32, each length u32, name, ordinals, last received, count u32 of (device u64, epoch u64,
//!            numbers); one without a name stands for all that are not named
//!            then for each source: count u32 of (key u128, occurrences given u32, stored u32), oldest first
//!            checksum of the segment over all before
//!            last received: bit 0 known, bit 1 with UTC u8, UTC ns i64, ns since the boot u64
//!            ordinals, numbers: count u32, each first u64, last u64; device: xxh3-64 of its id
//!
//! commit:    0 "VCMT"   4 checksum of the segment over 8..48     8 first sequence u64
//!           16 records u32   20 size of the records u32
//!           24 durable before it: results u64, telemetry u64     40 session u32   44 0 u32
//!           48 records
//!
//! record:    0 checksum of the segment over 4..end of the element
//!            4 size of the element u32    8 sequence u64
//!           16 kind u8 (1 event, 2 skip, 3 event that declares a hole in ordinals)
//!           17 identity u8 (0 none, 1 number, 2 key)    18 size of the origin field u16
//!           20 flags u32: bit 0, the gateway itself says it, its source was not heard
//!           24 receive time UTC ns i64, the least number = unknown     32 receive time monotonic ns u64
//!           40 (1) device xxh3-64, epoch u64, number u64   (2) xxh3-128 of device, epoch and key; occurrence u64
//!           then the element, padded to 8
//! element:   of an event 0x12, length, Event with `origin` last; of a skip first sequence u64, gap event
//!
//! meta:      0 "VENUEMET"  8 version u32  12 an epoch is coming u8, predecessors u8, 0 0   16 revision u64
//!           24 epoch (16)  40 coming epoch (16)
//!           56 newest segment of results: generation u64, first sequence u64    72 the same of telemetry
//!           88 length u8, gateway id in 253 bytes
//!          342 predecessors, newest first, 16 bytes each    4092 checksum of 0..4092
//!
//! cursor:    0 "VENUECUR"  8 version u32  12 lane u8, required u8, 0 0   16 revision u64   24 epoch (16)
//!           40 mark u64    48 digest (32)  80 length u8, name in 64 bytes
//!          145 length u8, receiver id in 200 bytes     508 checksum of 0..508
//! ```
//!
//! A segment supersedes what an older one of its lane holds from its first sequence on. Sessions never fall along a segment, so
//! that what a torn commit left behind is never taken for a later one. Commits are not padded to pages: a
//! disk that tears a page that it overwrites with the same beginning would break what is durable in it; none of
//! those meant here does, and padding would cost a lone result 4 KiB of backlog.
//!
//! Spares are taken, segments begun and the last mark found as [`Recovery`] tells, case by case.

mod catalog;
mod checkpoint;
mod config;
mod cursor;
mod directory;
mod epoch;
mod format;
mod gap;
mod identity;
mod inspect;
mod interval;
mod journal;
mod lane;
mod loss;
mod meta;
mod reader;
mod recovery;
mod retention;
mod segment;
pub mod simulated;
mod skips;
mod stage;
mod storage;
mod visit;
mod writer;

pub use config::{
    JournalConfig, LOSS_RECORD_BYTES, MAX_EVENT_BYTES, MAX_SEGMENT_BYTES, MAX_STAGED_RESULTS_BYTES,
    MAX_STAGED_TELEMETRY_BYTES, MAX_TELEMETRY_COMMIT_BYTES, MIN_SEGMENT_BYTES, MIN_SEGMENTS, ResultsConfig,
    TelemetryConfig,
};
pub use cursor::{CURSOR_SYNC_INTERVAL, Cursor, CursorError, MAX_CURSORS};
pub use directory::Directory;
pub use epoch::EpochChange;
pub use gap::{GATEWAY_SOURCE, LossExtent, Skip};
pub use identity::{
    IdentityRef, MAX_DEVICE_EPOCHS_PER_SOURCE, MAX_EPOCHS_PER_DEVICE, MAX_INTERVALS_PER_EPOCH, MAX_KEYS_PER_SOURCE,
};
pub use inspect::{
    CursorSummary, LaneSummary, ReadOnlyJournal, SegmentSummary, StoredElement, Summary, Verified, VerifyProgress,
};
pub use journal::{Journal, LaneStatus, Status, Watermarks};
pub use lane::PerLane;
pub use loss::OpenGap;
pub use reader::{Limits, ReadError, ReadItem, Reader, RecordRun};
pub use recovery::{Finding, LaneRecovery, OpenError, OrdinalHole, Recovery};
pub use retention::{HousekeepError, Housekeeping};
pub use skips::MAX_SKIPS_PER_LANE;
pub use stage::{
    Append, AppendError, Appended, CLOSING_COMMIT_DELAY, CommitDue, MAX_SOURCE_NAME_BYTES, SourceId, StageGuard,
};
pub use storage::{Storage, StorageFile};
pub use writer::{CommitError, Committed};
