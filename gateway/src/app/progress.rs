//! What the commit thread tells of itself. Whoever reads it does not wait for the disk, as a look into the journal may.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::histogram::Histogram;
use venue_journal::{Committed, PerLane};
use venue_schema::v1::Lane;

/// Upper bounds of the buckets of commit durations in seconds: from an NVMe disk's sync to an SD card's that collects
/// garbage.
const BUCKETS: [f64; 13] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Progress of the commit thread since the gateway's start.
#[derive(Debug)]
pub(super) struct CommitProgress {
    /// When it last came round, on the clock of `now`, ns.
    came_round_ns: AtomicU64,
    halted: Mutex<Option<String>>,
    halts: AtomicU64,
    records: PerLane<AtomicU64>,
    duration: Histogram,
}

impl CommitProgress {
    /// Nothing committed yet at `now`.
    pub(super) fn new(now: Duration) -> Self {
        let progress = Self {
            came_round_ns: AtomicU64::new(0),
            halted: Mutex::default(),
            halts: AtomicU64::new(0),
            records: PerLane::from_fn(|_| AtomicU64::new(0)),
            duration: Histogram::new(BUCKETS),
        };
        progress.came_round(now);
        progress
    }

    /// The thread begins something anew.
    pub(super) fn came_round(&self, now: Duration) {
        self.came_round_ns.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Something became durable; writing and syncing it took so long.
    pub(super) fn committed(&self, committed: &Committed, took: Duration) {
        self.duration.observe(took.as_secs_f64());
        self.records.results.fetch_add(committed.results_count, Ordering::Relaxed);
        self.records.telemetry.fetch_add(committed.telemetry_count, Ordering::Relaxed);
    }

    /// The disk failed.
    pub(super) fn halted(&self, reason: &str) {
        self.halts.fetch_add(1, Ordering::Relaxed);
        *self.halted.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }

    /// The journal can be written again.
    pub(super) fn reopened(&self) {
        *self.halted.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long it has been at what it began last.
    pub(super) fn busy_for(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_nanos(self.came_round_ns.load(Ordering::Relaxed)))
    }

    /// Why the journal cannot be written, if it cannot.
    pub(super) fn halt_reason(&self) -> Option<String> {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Times that the disk failed.
    pub(super) fn halts(&self) -> u64 {
        self.halts.load(Ordering::Relaxed)
    }

    /// Records of a lane that became durable.
    pub(super) fn records(&self, lane: Lane) -> u64 {
        self.records[lane].load(Ordering::Relaxed)
    }

    /// How long commits took, seconds.
    pub(super) fn duration(&self) -> &Histogram {
        &self.duration
    }
}
