//! skeleton
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
mod meta;
mod reader;
mod recovery;
mod retention;
mod segment;
pub mod simulated;
mod stage;
mod storage;
mod visit;
mod writer;

pub use catalog::MAX_SKIPS_PER_LANE;
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
pub use reader::{Limits, ReadError, ReadItem, Reader, RecordRun};
pub use recovery::{Finding, LaneRecovery, OpenError, OrdinalHole, Recovery};
pub use retention::{HousekeepError, Housekeeping};
pub use stage::{
    Append, AppendError, Appended, CLOSING_COMMIT_DELAY, CommitDue, MAX_SOURCE_NAME_BYTES, SourceId, StageGuard,
};
pub use storage::{Storage, StorageFile};
pub use writer::{CommitError, Committed};
