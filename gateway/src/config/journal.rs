//! `[journal]`: how much disk the two lanes may take, and for how long.

use std::time::Duration;

use super::section::{Given, Section};
use super::size::ByteSize;

/// The smallest quota of a lane: eight of the smallest segments.
pub const QUOTA_MIN: ByteSize = ByteSize::mib(2);

/// The smallest reserve: one of the smallest segments.
pub const RESERVE_MIN: ByteSize = ByteSize::kib(256);

/// The longest that telemetry waits for company.
pub const COMMIT_WINDOW_MAX: Duration = Duration::from_secs(1);

/// How the journal uses the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalSettings {
    /// The results lane.
    pub results: ResultsSettings,
    /// The telemetry lane.
    pub telemetry: TelemetrySettings,
}

/// The results lane: nothing undelivered is ever deleted from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultsSettings {
    /// What its segments may take.
    pub quota: ByteSize,
    /// What is kept on top of the quota for devices that cannot wait.
    pub reserve: ByteSize,
    /// How long delivered events stay readable, if the quota allows it.
    pub keep: Duration,
}

/// The telemetry lane: sheds its oldest at its quota, with a loss record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// What its segments may take.
    pub quota: ByteSize,
    /// How long a commit may wait for more events under load; zero for never.
    pub commit_window: Duration,
    /// How long delivered events stay readable, if the quota allows it.
    pub keep: Duration,
}

impl JournalSettings {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let results = ResultsSettings::read(&section.section("results"));
        let telemetry = TelemetrySettings::read(&section.section("telemetry"));
        Some(Self { results: results?, telemetry: telemetry? })
    }
}

impl ResultsSettings {
    fn read(section: &Section<'_>) -> Option<Self> {
        let quota = at_least(section, "quota", QUOTA_MIN);
        let reserve = at_least(section, "reserve", RESERVE_MIN);
        let keep = section.required("keep");
        Some(Self { quota: quota?, reserve: reserve?, keep: keep?.value })
    }
}

impl TelemetrySettings {
    fn read(section: &Section<'_>) -> Option<Self> {
        let quota = at_least(section, "quota", QUOTA_MIN);
        let window = section.required::<Duration>("commit_window");
        let keep = section.required("keep");
        if let Some(window) = window.as_ref().filter(|window| window.value > COMMIT_WINDOW_MAX) {
            let help = "use a few milliseconds, or \"0s\" to commit every event at once";
            section.error(&window.place, "`commit_window` is longer than 1s", help);
        }
        Some(Self { quota: quota?, commit_window: window?.value, keep: keep?.value })
    }
}

/// Reads a size and notes when it is below its minimum.
fn at_least(section: &Section<'_>, key: &'static str, minimum: ByteSize) -> Option<ByteSize> {
    let Given { value, place } = section.required::<ByteSize>(key)?;
    if value < minimum {
        let message = format!("`{key}` is {value}, less than the journal can work with");
        section.error(&place, message, format!("give it {minimum} or more"));
    }
    Some(value)
}
