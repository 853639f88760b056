//! The machine's clocks: the one place of the gateway that reads them.

use std::{
    fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::time::{ClockId, Timespec, clock_gettime};

use super::{BootId, ClockModel, ClockRecord, ClockSample, Discipline, Quality, Received};

/// An RTC that shows a time before this has lost its battery.
/// 2026-01-01T00:00:00Z, before the first release.
const NOT_BEFORE_UTC_NS: i64 = 1_767_225_600_000_000_000;

/// Where `chrony`, `ptp4l` and `timesyncd` leave a trace while they run.
const DAEMONS: [(&str, &str); 3] = [
    ("chrony", "/run/chrony/chronyd.pid"),
    ("ptp4l", "/run/ptp4l"),
    ("timesyncd", "/run/systemd/timesync/synchronized"),
];

/// The machine's clocks, shared by every thread of the gateway.
#[derive(Debug)]
pub struct SystemClock {
    model: Mutex<ClockModel>,
}

impl SystemClock {
    /// Reads the boot id and what disciplines the clock. `trusted`: the
    /// configuration says that the wall clock can be believed without discipline.
    pub fn new(trusted: bool) -> Self {
        let model = ClockModel::new(boot_id(), trusted || rtc_is_plausible(), discipline_name());
        Self { model: Mutex::new(model) }
    }

    /// Time since the boot, suspended time included.
    pub fn monotonic(&self) -> Duration {
        monotonic()
    }

    /// A receive stamp, now.
    pub fn stamp(&self) -> Received {
        let (monotonic, utc_ns) = (monotonic(), utc_ns());
        self.model().stamp(monotonic, utc_ns)
    }

    /// A receive stamp, now, with how good it is.
    pub fn arrival(&self) -> crate::pipeline::Arrival {
        crate::pipeline::Arrival { received: self.stamp(), quality: self.quality(), boot_id: self.boot_id() }
    }

    /// How well the wall clock is known now.
    pub fn quality(&self) -> Quality {
        let now = monotonic();
        self.model().quality(now)
    }

    /// The boot that monotonic time counts from.
    pub fn boot_id(&self) -> BootId {
        self.model().boot_id()
    }

    /// Samples both clocks and returns what is to be written. Call it about once
    /// a second.
    pub fn observe(&self) -> Vec<ClockRecord> {
        let sample = ClockSample { monotonic: monotonic(), utc_ns: utc_ns(), discipline: Discipline::read() };
        self.model().observe(sample)
    }

    fn model(&self) -> MutexGuard<'_, ClockModel> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wall clock as it is, believed or not: a certificate ends by it.
pub fn wall_clock() -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(utc_ns().into()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// Time since the boot without suspended time: what systemd counts by.
pub fn time_awake() -> Duration {
    duration(clock_gettime(ClockId::Monotonic))
}

fn monotonic() -> Duration {
    duration(clock_gettime(ClockId::Boottime))
}

fn duration(time: Timespec) -> Duration {
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The wall clock through the C library, which `faketime` can stand in for.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn utc_ns() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

/// The kernel's boot id; where it is not to be had, the boot's time of birth,
/// which is as stable while the clock is not stepped.
fn boot_id() -> BootId {
    let parse = |text: String| {
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        u128::from_str_radix(&digits, 16).ok()
    };
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().and_then(parse);
    let born = || i128::from(utc_ns()).unsigned_abs() - monotonic().as_nanos();
    BootId(id.unwrap_or_else(born).to_be_bytes())
}

fn rtc_is_plausible() -> bool {
    let seconds =
        fs::read_to_string("/sys/class/rtc/rtc0/since_epoch").ok().and_then(|text| text.trim().parse::<i64>().ok());
    seconds.is_some_and(|seconds| seconds.saturating_mul(1_000_000_000) >= NOT_BEFORE_UTC_NS)
}

fn discipline_name() -> &'static str {
    DAEMONS.iter().find(|(_, path)| Path::new(path).exists()).map_or("kernel", |(name, _)| name)
}
