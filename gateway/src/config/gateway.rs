//! `[gateway]`: which gateway this is, and where it keeps things.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use venue_schema::GatewayId;

use super::DEFAULTS_FILE;
use super::section::{Given, Section};

/// Which gateway this is.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayConfig {
    /// Its name, also a DNS name in its certificate.
    pub id: GatewayId,
    /// The venue, as it stands in every event.
    pub venue: String,
    /// Time zone of devices that say local time of day.
    pub timezone: TimeZone,
    /// IANA name of [`timezone`](Self::timezone).
    pub timezone_name: String,
    /// Whether the date is believed before the kernel is in step with UTC.
    pub clock: ClockTrust,
    /// Folder of the journal and the control socket.
    pub data_dir: PathBuf,
}

/// When the wall clock's date is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClockTrust {
    /// Once the kernel was in step with UTC in this boot, or with a sound RTC.
    #[default]
    Auto,
    /// From the start.
    Trusted,
}

impl GatewayConfig {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let id = section.required("id");
        let venue = section.required_as("venue", "\"stade-1\"");
        let timezone = section.required::<TimeZone>("timezone");
        let clock = section.required("clock");
        let data_dir = section.required("data_dir");
        warn_of_default_zone(section, timezone.as_ref());
        let timezone = timezone?.value;
        Some(Self {
            id: id?.value,
            venue: venue?.value,
            timezone_name: timezone.iana_name().unwrap_or("UTC").to_owned(),
            timezone,
            clock: clock?.value,
            data_dir: data_dir?.value,
        })
    }
}

/// The default zone is right for hardly any venue, and its error shows only in times.
fn warn_of_default_zone(section: &Section<'_>, timezone: Option<&Given<TimeZone>>) {
    if timezone.is_some_and(|given| given.place.file() == Some(DEFAULTS_FILE.as_ref())) {
        let message = "`gateway.timezone` is not given: local times of devices are taken for UTC";
        section.warning(section.place(), message, "add `timezone = \"Europe/Paris\"`, or \"UTC\" if that is meant");
    }
}
