//! Opening: what the disk holds is found out, case by case, and the process always starts.
//!
//! ```text
//! A  clean: every commit is proven by a later header or by a closing commit
//! B  torn tail above the mark: cut; what is sound of it is written again, into a new segment; records whose commit header
//!    never reached the disk are cut as well
//! C  invalid records at or below the mark: quarantined, declared by a skip record; reading
//!    goes on at the next sound record or commit
//! D  damaged header of a segment: without sound commits it is a spare, else it is read without its header
//! E  a segment is missing, or cannot be opened or read where its records were, and is left alone then: its range is quarantined; if it is the newest of its lane, which `meta` notes, every sequence
//!    that it may have held is, and none of them is given again
//! F  a cursor's mark is beyond the last record: as C, for that mark proves what was durable
//! G  a segment of another journal: left alone and reported; another gateway's journal is refused
//! H  a structure of a later version: refused before anything is written
//! I  damaged checkpoint: an older one and a longer replay
//! J  damaged `meta`: the other slot, or else what the newest segment's header says
//! K  an epoch that was being begun: undone, to be begun again
//! L  damaged cursors: they start again at the oldest record
//! M  bad sectors: what cannot be read counts as damaged, and is C, D, I, J or L as well by what stood there; at the end of a
//!    lane, where nothing tells a tear from rot, all that may have stood there is quarantined (C) and not cut (B)
//! ```
//!
//! The *mark* of a lane is the highest sequence that something proves was durable: a commit header of either lane, the
//! first sequence of a segment, a cursor.
//!
//! What is lost (C, E) may have held ordinals that nothing else tells of. Each source that no later record of the lane tells
//! of goes on behind all that it may have had there, one that is new behind all that a source nobody knows may have had; a
//! gap declares the range between.

mod missing;
mod open;
pub(crate) mod replay;
pub(crate) mod scan;

use std::io;

use venue_schema::{JournalEpoch, Sequence};

use crate::{PerLane, cursor::CursorError};

/// What opening found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// There was no journal, and one was created.
    pub created: bool,
    /// The epoch of the journal.
    pub epoch: JournalEpoch,
    /// Each lane.
    pub lanes: PerLane<LaneRecovery>,
    /// Holes in sources' ordinals, left by records that never became durable or were lost. Each is declared already, by a
    /// gap event (`never_durable` or `quarantined`) in the results lane.
    pub declared_holes: Vec<OrdinalHole>,
    /// Everything that was not as it should be, for people.
    pub findings: Vec<Finding>,
}

/// What opening found in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneRecovery {
    /// First sequence that is stored.
    pub first_retained: Sequence,
    /// Last sequence that is durable.
    pub last_durable: Sequence,
    /// Last sequence that was found. Beyond `last_durable` where there was no room to write sound records again: they wait
    /// in memory, and a receiver may hold them already.
    pub last_found: Sequence,
    /// Records above the mark that were sound, and were written again.
    pub rewritten_count: u64,
    /// Torn bytes that were cut off.
    pub torn_bytes: u64,
    /// Ranges set aside as damaged or missing.
    pub quarantined: Vec<(Sequence, Sequence)>,
}

/// Ordinals of a source that are in no record, from the first to the last; others may be between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrdinalHole {
    /// The source; empty for every source of which no other record tells.
    pub source: String,
    /// First ordinal missing.
    pub first: u64,
    /// Last ordinal missing.
    pub last: u64,
    /// How many of them were given; none if lost records may have any of them.
    pub count: Option<u64>,
}

/// Something that was not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The case, by its letter in the documentation of recovery.
    pub case: char,
    /// What was found and done, one line.
    pub text: String,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the journal is in use by another process; stop that one first")]
    Locked,
    /// There are segments, and nothing of them can be read, or nothing that says whose they are.
    #[error(
        "the disk reads nothing of the journal's segments, and nothing of it was touched; check the disk and its cable and start again, or move the journal's files away to begin without them"
    )]
    Unreadable,
    /// There is none, and it was only to be read.
    #[error("there is no journal in the directory; name a gateway's data directory")]
    NoJournal,
    /// It belongs to another gateway.
    #[error(
        "the journal belongs to gateway `{found}`, the configuration says `{configured}`; use that gateway's own data directory"
    )]
    ForeignGateway {
        /// The gateway of the configuration.
        configured: String,
        /// The gateway of the journal.
        found: String,
    },
    /// It was written by a later version.
    #[error(
        "{name} has format version {version}, and this software knows up to {}; install the newer software",
        crate::format::VERSION
    )]
    LaterVersion {
        /// The file.
        name: String,
        /// Its version.
        version: u32,
    },
    /// The disk failed.
    #[error("failed to {what} {name}: {source}")]
    Io {
        /// What was done.
        what: &'static str,
        /// The file.
        name: String,
        /// Why it failed.
        source: io::Error,
    },
    /// What was found could not be written down again.
    #[error("failed to complete recovery: {0}")]
    Commit(#[from] crate::writer::CommitError),
    /// The cursors could not be brought up to date.
    #[error("failed to bring cursors up to date: {0}")]
    Cursor(#[from] CursorError),
}

impl OpenError {
    pub(crate) fn io(what: &'static str, name: impl ToString) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, name: name.to_string(), source }
    }
}
