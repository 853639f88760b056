//! The journal as its users hold it: a cheap handle to one stage, one writer, and the catalog.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use venue_schema::{GatewayId, JournalEpoch, Sequence, v1::Lane};

use crate::{
    PerLane,
    catalog::Catalog,
    config::Geometry,
    cursor::CursorTable,
    format::FileName,
    loss::OpenGap,
    retention::Spares,
    stage::{Append, AppendError, Appended, CommitDue, SourceId, Stage, StageGuard},
    storage::Storage,
    writer::{CommitError, WriteFailure, Writer},
};

/// What is durable in each lane.
pub type Watermarks = PerLane<Sequence>;

/// Called after each commit.
type Listener = Arc<dyn Fn(Watermarks) + Send + Sync>;

/// The durable log of one gateway. Cloning gives another handle to the same journal.
///
/// Methods may be called from any thread. Locks are taken in this order: housekeeping,
/// writer, then one at a time for a moment only: catalog before stage; cursors and spares alone.
#[derive(Debug)]
pub struct Journal<S: Storage> {
    pub(crate) inner: Arc<Inner<S>>,
}

impl<S: Storage> Clone for Journal<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// What all handles share.
pub(crate) struct Inner<S: Storage> {
    pub(crate) storage: Arc<S>,
    pub(crate) geometry: Geometry,
    pub(crate) keep: PerLane<Duration>,
    pub(crate) housekeeping: Mutex<()>,
    pub(crate) writer: Mutex<Writer<S::File>>,
    pub(crate) catalog: RwLock<Catalog>,
    pub(crate) stage: Mutex<Stage>,
    pub(crate) cursors: Mutex<CursorTable<S::File>>,
    pub(crate) spares: Mutex<Spares>,
    pub(crate) meta: Mutex<crate::meta::Meta<S::File>>,
    pub(crate) watermarks: PerLane<AtomicU64>,
    pub(crate) in_reserve: AtomicBool,
    pub(crate) listener: RwLock<Option<Listener>>,
    /// The lock of the directory; none for an epoch that is written beside the present one, which alone writes `meta`.
    pub(crate) held: Option<S::Lock>,
}

impl<S: Storage> std::fmt::Debug for Inner<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("geometry", &self.geometry)
            .field("watermarks", &self.watermarks)
            .finish_non_exhaustive()
    }
}

/// Locks what no thread leaves locked by a panic, save where an invariant was broken.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("an invariant of the journal was broken on another thread")
}

/// State of the journal, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Each lane.
    pub lanes: PerLane<LaneStatus>,
    /// Results go into the reserve; what can be refused is.
    pub in_reserve: bool,
    /// Part of the reserve that is ready, bytes.
    pub reserve_left_bytes: u64,
    /// The reserve when it is whole, bytes.
    pub reserve_bytes: u64,
    /// The file system had no space for a spare segment.
    pub disk_full: bool,
    /// Why nothing is written until the journal is reopened.
    pub halted: Option<String>,
    /// Content keys that did not fit into checkpoints since the journal was opened.
    pub trimmed_keys: u64,
}

/// State of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneStatus {
    /// First sequence that is stored.
    pub first_retained: Sequence,
    /// Last sequence that is durable.
    pub last_durable: Sequence,
    /// Last sequence that was given.
    pub last_staged: Sequence,
    /// What waits or is being written, bytes.
    pub staged_bytes: u64,
    /// Disk in use, bytes.
    pub used_bytes: u64,
    /// Disk that the lane may use, bytes.
    pub quota_bytes: u64,
    /// Segments in use.
    pub segment_count: u64,
    /// Lowest mark of a required cursor; none if there is no such cursor.
    pub lowest_required_mark: Option<Sequence>,
    /// Nothing that can be refused is taken.
    pub full: bool,
    /// Events are being lost, and counted, for want of room.
    pub losing: bool,
    /// Records that were deleted for want of room before every required cursor had passed them, since the journal was
    /// opened. Each is within a skipped range that says so.
    pub shed_records: u64,
}

impl<S: Storage> Journal<S> {
    /// Registers a source by its name, which is not empty; the same name gives the same source for the life of the journal.
    pub fn source(&self, name: &str) -> SourceId {
        lock(&self.inner.stage).source(name)
    }

    /// When a source was last heard, as far as its durable records tell: UTC ns if a date was known then, and
    /// time since the boot of that time. None if it never was. What the gateway itself said of it
    /// ([`StageGuard::append_own`]) does not count.
    pub fn last_received(&self, source: SourceId) -> Option<(Option<i64>, Duration)> {
        let (utc_ns, monotonic_ns) = lock(&self.inner.stage).known[source.0 as usize].last_received?;
        Some((utc_ns, Duration::from_nanos(monotonic_ns)))
    }

    /// Gaps that were opened for a source ([`StageGuard::append_gap`]) and not ended, by this process or one before
    /// it, oldest first. At most 128 are remembered over a restart; beyond that, the youngest are not.
    pub fn open_gaps(&self) -> Vec<OpenGap> {
        lock(&self.inner.stage).open_gaps()
    }

    /// Holds the stage, to append one event or several in a row. Keep it for a moment only:
    /// every other source and the commit wait meanwhile.
    pub fn stage(&self) -> StageGuard<'_> {
        StageGuard(lock(&self.inner.stage))
    }

    /// Whether so much of a lane waits for the disk, 2 MiB, that more had
    /// better wait where it is.
    pub fn is_behind(&self, lane: Lane) -> bool {
        lock(&self.inner.stage).lanes[lane].staged_bytes >= crate::config::BEHIND_STAGED_BYTES
    }

    /// Appends one event; see [`StageGuard::append`].
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(&self, append: Append<'_>) -> Result<Appended, AppendError> {
        self.stage().append(append)
    }

    /// When the next commit is due: results at once, telemetry after its window, and a closing commit once the lanes are idle.
    pub fn wants_commit(&self, now: Duration) -> CommitDue {
        lock(&self.inner.stage).wants_commit(now)
    }

    /// What is durable.
    pub fn watermarks(&self) -> Watermarks {
        PerLane::from_fn(|lane| Sequence(self.inner.watermarks[lane].load(Ordering::Acquire)))
    }

    /// Sets what is called after each commit, on the committing thread. It must not call
    /// anything of this journal that commits.
    pub fn set_watermark_listener(&self, listener: Box<dyn Fn(Watermarks) + Send + Sync>) {
        *self.inner.listener.write().expect("no thread panics while it sets a listener") = Some(listener.into());
    }

    pub(crate) fn tell_listener(&self) {
        let listener = self.inner.listener.read().expect("no thread panics while it sets a listener").clone();
        if let Some(listener) = listener {
            listener(self.watermarks());
        }
    }

    /// Whether nothing is written until [`reopen`](Self::reopen). Unlike [`status`](Self::status) it does not wait for a
    /// write that is under way.
    pub fn is_halted(&self) -> bool {
        lock(&self.inner.stage).halted
    }

    /// Disk that the segments take in which a sequence and all behind it are stored, or will be, bytes. What lies before it
    /// in the first of them counts, too.
    pub fn disk_bytes_from(&self, lane: Lane, from: Sequence) -> u64 {
        let catalog = self.inner.catalog.read().expect("no thread panics while it holds the catalog");
        let segments = &catalog.segments[lane];
        let passed = segments.partition_point(|entry| entry.first <= from).saturating_sub(1);
        segments[passed..].iter().map(|entry| entry.file_bytes).sum()
    }

    /// The gateway whose journal it is.
    pub fn gateway_id(&self) -> GatewayId {
        lock(&self.inner.stage).gateway_id.clone()
    }

    /// The present epoch.
    pub fn epoch(&self) -> JournalEpoch {
        lock(&self.inner.stage).epoch
    }

    /// Epochs before the present one, newest first.
    pub fn predecessor_epochs(&self) -> Vec<JournalEpoch> {
        lock(&self.inner.meta).slot.predecessors.clone()
    }

    /// First sequence of a lane that is stored.
    pub fn first_retained(&self, lane: Lane) -> Sequence {
        self.inner.catalog.read().expect("no thread panics while it holds the catalog").first_retained(lane)
    }

    /// After a failed write or sync: what no sync covered is written from memory into a new segment, under the sequences it has, and the
    /// tail that it failed in is left alone. A lane whose tail is sound goes on in it. The caller waits between attempts.
    ///
    /// # Errors
    /// [`CommitError::Halted`] if the disk fails again: the journal stays halted. With [`CommitError::NoSpace`] it is reopened,
    /// and what found no space waits for it as ever. Nothing is lost from memory.
    pub fn reopen(&self, now: Duration) -> Result<(), CommitError> {
        {
            let mut writer = lock(&self.inner.writer);
            if writer.halted.is_none() {
                return Ok(());
            }
            self.begin_where_left(&mut writer, now).map_err(|failure| self.fail(&mut writer, failure))?;
            writer.halted = None;
            let mut stage = lock(&self.inner.stage);
            stage.halted = false;
            stage.lanes.results.no_space = false;
            stage.lanes.telemetry.no_space = false;
        }
        self.commit(now).map(|_| ())
    }

    /// Begins a segment in each lane whose last one was left. A disk that does not even take a name and `meta` again, which also settles
    /// what a failure left of them, is spared that: attempts that fail use up no segments.
    fn begin_where_left(&self, writer: &mut Writer<S::File>, now: Duration) -> Result<(), WriteFailure> {
        self.inner.storage.sync_directory().map_err(WriteFailure::of("sync", "the journal's directory"))?;
        {
            let mut meta = lock(&self.inner.meta);
            let slot = meta.slot.clone();
            meta.write(slot).map_err(WriteFailure::of("write", FileName::META))?;
        }
        for lane in Lane::ALL {
            if writer.lanes[lane].is_left() {
                // Without space the first commit that finds some begins it.
                self.rotate(writer, lane, now).or_else(WriteFailure::unless_no_space)?;
            }
        }
        Ok(())
    }

    /// State for people and metrics.
    pub fn status(&self) -> Status {
        let (halted, trimmed_keys) = {
            let writer = lock(&self.inner.writer);
            (writer.halted.clone(), writer.trimmed_keys)
        };
        let (ready, disk_full) = {
            let spares = lock(&self.inner.spares);
            (spares.ready.len() as u64, spares.disk_full)
        };
        let geometry = self.inner.geometry;
        Status {
            lanes: PerLane::from_fn(|lane| self.lane_status(lane)),
            in_reserve: self.inner.in_reserve.load(Ordering::Relaxed),
            reserve_left_bytes: ready.min(self.reserve_left()) * geometry.segment_bytes,
            reserve_bytes: geometry.reserve_segments * geometry.segment_bytes,
            disk_full,
            halted,
            trimmed_keys,
        }
    }

    fn lane_status(&self, lane: Lane) -> LaneStatus {
        let segment_count = self.segment_count(lane);
        let used_bytes = self.disk_bytes_from(lane, Sequence::ZERO);
        let first_retained = self.first_retained(lane);
        let lowest_required_mark = lock(&self.inner.cursors).lowest_required(lane);
        let stage = lock(&self.inner.stage);
        let of = &stage.lanes[lane];
        LaneStatus {
            first_retained,
            last_durable: of.durable,
            last_staged: of.next.previous(),
            staged_bytes: of.staged_bytes,
            used_bytes,
            quota_bytes: self.limit(lane) * self.inner.geometry.segment_bytes,
            segment_count,
            lowest_required_mark,
            full: of.no_space || of.room.refusable < of.staged_bytes + stage.largest_record,
            losing: stage.is_losing(lane),
            shed_records: of.shed_records,
        }
    }
}
