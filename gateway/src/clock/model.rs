//! From samples of both clocks to the records that tell how good they are.

use std::time::Duration;

use super::{BootId, Discipline, Received};
use venue_schema::v1::{self, ClockChange, SyncState};

/// How often a clock state is written while nothing changes.
const PERIOD: Duration = Duration::from_secs(10);

/// A jump of wall minus monotonic time is a step if it exceeds this, plus what a
/// daemon may slew: adjtimex slews at most 500 ppm, plus as much again of drift.
const STEP_THRESHOLD: Duration = Duration::from_millis(2);
const SLEW_PER_MILLION: u128 = 1_000;

/// Drift assumed of a clock in holdover, on top of the last bound: 50 ppm, half
/// again the worst of ordinary crystals over temperature.
const HOLDOVER_DRIFT_PER_MILLION: u128 = 50;

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSample {
    /// Since the boot.
    pub monotonic: Duration,
    /// Wall clock, UTC ns.
    pub utc_ns: i64,
    /// What the kernel says of the wall clock.
    pub discipline: Discipline,
}

impl ClockSample {
    fn offset_ns(&self) -> i128 {
        i128::from(self.utc_ns) - duration_ns(self.monotonic)
    }
}

/// How well the wall clock is known at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    /// In step, in holdover, or neither.
    pub sync_state: SyncState,
    /// Bound of the wall clock's error; none if nothing bounds it.
    pub maximum_error: Option<Duration>,
    /// Whether the date can be believed.
    pub date_known: bool,
}

/// A span of this boot whose events were stamped without a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorrectedSpan {
    /// From, since the boot.
    pub first: Duration,
    /// To, since the boot.
    pub last: Duration,
}

/// A record for the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum ClockRecord {
    /// State of the clock.
    State(v1::ClockState),
    /// Better time for events of a span.
    Correction(v1::ClockCorrection),
}

/// Follows the gateway's clock. Fed with samples about once a second.
#[derive(Debug)]
pub struct ClockModel {
    boot_id: BootId,
    trusted: bool,
    discipline_name: String,
    last: Option<ClockSample>,
    last_written: Option<Duration>,
    /// Bound when the clock was last in step, and when that was.
    in_step: Option<(Duration, Duration)>,
    undated: Option<CorrectedSpan>,
}

impl ClockModel {
    /// A model that has seen nothing. `trusted`: the date counts as known even
    /// before the kernel is in step. `discipline_name`: what disciplines the clock.
    pub fn new(boot_id: BootId, trusted: bool, discipline_name: &str) -> Self {
        Self {
            boot_id,
            trusted,
            discipline_name: discipline_name.to_owned(),
            last: None,
            last_written: None,
            in_step: None,
            undated: None,
        }
    }

    /// The boot that monotonic time counts from.
    pub fn boot_id(&self) -> BootId {
        self.boot_id
    }

    /// How well the wall clock is known at `now`.
    pub fn quality(&self, now: Duration) -> Quality {
        let Some(last) = self.last else {
            return Quality { sync_state: SyncState::Unsynchronized, maximum_error: None, date_known: self.trusted };
        };
        let (sync_state, maximum_error) = match self.in_step {
            _ if last.discipline.synchronized => (SyncState::Synchronized, Some(last.discipline.maximum_error)),
            Some((bound, when)) => (SyncState::Holdover, Some(bound + drift(now.saturating_sub(when)))),
            None => (SyncState::Unsynchronized, None),
        };
        Quality { sync_state, maximum_error, date_known: self.trusted || self.in_step.is_some() }
    }

    /// A receive stamp from both clocks, read together.
    pub fn stamp(&self, monotonic: Duration, utc_ns: i64) -> Received {
        let date_known = self.trusted || self.in_step.is_some();
        Received { monotonic, utc_ns: date_known.then_some(utc_ns) }
    }

    /// Takes a sample and returns what is to be written, in order.
    pub fn observe(&mut self, sample: ClockSample) -> Vec<ClockRecord> {
        let change = self.change(&sample);
        let step_ns = match (change, self.last) {
            (Some(ClockChange::Stepped), Some(last)) => i64::try_from(sample.offset_ns() - last.offset_ns()).ok(),
            _ => None,
        };
        if change == Some(ClockChange::Stepped) && !sample.discipline.synchronized {
            // Somebody set the clock: what was known of its error is void.
            self.in_step = None;
        }
        if sample.discipline.synchronized {
            self.in_step = Some((sample.discipline.maximum_error, sample.monotonic));
        }
        self.last = Some(sample);
        let mut records = Vec::new();
        if let Some(change) = change {
            self.last_written = Some(sample.monotonic);
            records.push(ClockRecord::State(self.state(&sample, change, step_ns)));
        }
        records.extend(self.correction(&sample));
        records
    }

    fn change(&self, sample: &ClockSample) -> Option<ClockChange> {
        let Some(last) = self.last else { return Some(ClockChange::Started) };
        let elapsed = sample.monotonic.saturating_sub(last.monotonic);
        let moved = (sample.offset_ns() - last.offset_ns()).unsigned_abs();
        let slew = elapsed.as_nanos() * SLEW_PER_MILLION / 1_000_000;
        if moved > STEP_THRESHOLD.as_nanos() + slew {
            Some(ClockChange::Stepped)
        } else if sample.discipline.synchronized != last.discipline.synchronized {
            Some(if sample.discipline.synchronized { ClockChange::Synchronized } else { ClockChange::Unsynchronized })
        } else {
            let due = self.last_written.is_none_or(|when| sample.monotonic.saturating_sub(when) >= PERIOD);
            due.then_some(ClockChange::Periodic)
        }
    }

    fn state(&self, sample: &ClockSample, change: ClockChange, step_ns: Option<i64>) -> v1::ClockState {
        let quality = self.quality(sample.monotonic);
        let nanoseconds = |value: Duration| u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        v1::ClockState {
            boot_id: self.boot_id.0.to_vec().into(),
            monotonic_ns: nanoseconds(sample.monotonic),
            utc_ns: sample.utc_ns,
            sync_state: quality.sync_state.into(),
            maximum_error_ns: quality.maximum_error.map(nanoseconds),
            estimated_error_ns: sample.discipline.synchronized.then(|| nanoseconds(sample.discipline.estimated_error)),
            discipline: self.discipline_name.clone(),
            change: change.into(),
            step_ns,
        }
    }

    /// Remembers the span without a date, and once the date is known says what
    /// that span's events should have carried.
    fn correction(&mut self, sample: &ClockSample) -> Option<ClockRecord> {
        let now = sample.monotonic;
        if !(self.trusted || self.in_step.is_some()) {
            let first = self.undated.map_or(Duration::ZERO, |span| span.first);
            self.undated = Some(CorrectedSpan { first, last: now });
            return None;
        }
        let span = self.undated.take()?;
        let nanoseconds = |value: Duration| u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        Some(ClockRecord::Correction(v1::ClockCorrection {
            boot_id: self.boot_id.0.to_vec().into(),
            first_monotonic_ns: nanoseconds(span.first),
            last_monotonic_ns: nanoseconds(now),
            utc_minus_monotonic_ns: i64::try_from(sample.offset_ns()).unwrap_or(i64::MAX),
            uncertainty_ns: self
                .quality(now)
                .maximum_error
                .map(|bound| nanoseconds(bound + drift(now.saturating_sub(span.first)))),
        }))
    }
}

fn drift(elapsed: Duration) -> Duration {
    let ns = elapsed.as_nanos() * HOLDOVER_DRIFT_PER_MILLION / 1_000_000;
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

fn duration_ns(value: Duration) -> i128 {
    i128::try_from(value.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: BootId = BootId([7; 16]);
    const UTC: i64 = 1_790_000_000_000_000_000;

    fn sample(second: u64, utc_ns: i64, synchronized: bool) -> ClockSample {
        let maximum_error = if synchronized { Duration::from_millis(3) } else { Duration::from_secs(16) };
        ClockSample {
            monotonic: Duration::from_secs(second),
            utc_ns,
            discipline: Discipline { synchronized, maximum_error, estimated_error: Duration::from_micros(40) },
        }
    }

    fn at(second: u64) -> i64 {
        UTC + i64::try_from(second).expect("small") * 1_000_000_000
    }

    fn changes(records: &[ClockRecord]) -> Vec<ClockChange> {
        let change = |record: &ClockRecord| match record {
            ClockRecord::State(state) => Some(state.change()),
            ClockRecord::Correction(_) => None,
        };
        records.iter().filter_map(change).collect()
    }

    /// A quiet clock is written at the start and every ten seconds.
    #[test]
    fn a_quiet_clock_is_written_every_ten_seconds() {
        let mut model = ClockModel::new(BOOT, false, "chrony");
        let written: Vec<u64> =
            (0..25).filter(|&second| !model.observe(sample(second, at(second), true)).is_empty()).collect();
        assert_eq!(written, [0, 10, 20]);
        assert_eq!(model.quality(Duration::from_secs(25)).maximum_error, Some(Duration::from_millis(3)));
    }

    /// Booted without time: no date, until the daemon finds it and the clock jumps
    /// by years; then one correction covers everything since the boot.
    #[test]
    fn a_boot_without_time_is_corrected_once() {
        let mut model = ClockModel::new(BOOT, false, "timesyncd");
        for second in 0..30 {
            let records = model.observe(sample(second, 1_000_000_000 * second.cast_signed(), false));
            assert!(records.iter().all(|record| matches!(record, ClockRecord::State(_))));
            assert_eq!(model.stamp(Duration::from_secs(second), 5).utc_ns, None);
        }
        let records = model.observe(sample(30, at(30), true));
        assert_eq!(changes(&records), [ClockChange::Stepped]);
        let Some(ClockRecord::Correction(correction)) = records.last() else { panic!("{records:?}") };
        assert_eq!(correction.first_monotonic_ns, 0);
        assert_eq!(correction.last_monotonic_ns, 30_000_000_000);
        assert_eq!(correction.utc_minus_monotonic_ns, UTC);
        // 3 ms of the clock and 50 ppm of 30 s.
        assert_eq!(correction.uncertainty_ns, Some(4_500_000));
        assert_eq!(model.stamp(Duration::from_secs(31), 5).utc_ns, Some(5));
        assert!(model.observe(sample(31, at(31), true)).is_empty());
    }

    /// An hour's step is noticed with its size; a slew at the kernel's limit is not one.
    #[test]
    fn a_step_is_noticed_and_a_slew_is_not() {
        let mut model = ClockModel::new(BOOT, true, "kernel");
        model.observe(sample(0, at(0), true));
        assert!(model.observe(sample(1, at(1) + 500_000, true)).is_empty());
        let records = model.observe(sample(2, at(2) + 3_600_000_000_000, true));
        let [ClockRecord::State(state)] = &records[..] else { panic!("{records:?}") };
        assert_eq!((state.change(), state.step_ns), (ClockChange::Stepped, Some(3_599_999_500_000)));
    }

    /// Without its reference the clock is in holdover with a growing bound; set by
    /// hand in that state, nothing bounds it any more.
    #[test]
    fn holdover_widens_the_bound_and_a_step_voids_it() {
        let mut model = ClockModel::new(BOOT, false, "ptp4l");
        model.observe(sample(0, at(0), true));
        assert_eq!(changes(&model.observe(sample(1, at(1), false))), [ClockChange::Unsynchronized]);
        let quality = model.quality(Duration::from_secs(1_000));
        assert_eq!(quality.sync_state, SyncState::Holdover);
        assert_eq!(quality.maximum_error, Some(Duration::from_millis(53)));
        model.observe(sample(2, at(900), false));
        let quality = model.quality(Duration::from_secs(3));
        assert_eq!((quality.sync_state, quality.maximum_error), (SyncState::Unsynchronized, None));
    }
}
