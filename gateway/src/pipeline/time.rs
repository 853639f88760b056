//! When it happened: from the device's words, the receive stamp and the clock's
//! quality to an event's time with an honest bound.

use std::time::Duration;

use jiff::tz::TimeZone;
use venue_devices::{DeviceTime, TimeValue};
use venue_schema::v1::{ClockSource, DateSource, EventTime, SyncState, TimeBase};

use super::content::shown;
use super::day::{self, Calendar, Dated};
use crate::clock::{BootId, Quality, Received};

/// The longest that a live line is taken to be under way from the device's input to
/// our receive stamp: 64 characters at 2,400 baud, a radio modem and a USB adapter.
/// It is all that ties a device's own clock to UTC, so it is part of the bound.
pub const LIVE_DELAY: Duration = Duration::from_millis(500);

/// What is known of the moment at which bytes arrived.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The receive stamp.
    pub received: Received,
    /// How good the gateway's clock was.
    pub quality: Quality,
    /// The boot that monotonic time counts from.
    pub boot_id: BootId,
}

impl Arrival {
    /// The time of an event that has no time of its own but this.
    pub fn event_time(&self) -> EventTime {
        EventTime {
            utc_ns: self.received.utc_ns,
            uncertainty_ns: self.known_error().map(nanoseconds),
            clock_source: ClockSource::GatewayReceive.into(),
            sync_state: self.quality.sync_state.into(),
            ..self.stamp()
        }
    }

    fn stamp(&self) -> EventTime {
        EventTime {
            receive_utc_ns: self.received.utc_ns,
            receive_monotonic_ns: nanoseconds(self.received.monotonic),
            boot_id: self.boot_id.0.to_vec().into(),
            ..EventTime::default()
        }
    }

    /// Bound of the receive stamp's error, where there is a stamp and a bound.
    fn known_error(&self) -> Option<Duration> {
        self.received.utc_ns.and(self.quality.maximum_error)
    }
}

/// How a time of day gets its date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dating {
    /// As it happens: the nearest date.
    Live,
    /// From memory: the date that the replay worked out, if it has.
    Replay(Option<Dated>),
}

/// The time of an event from what its device said.
pub fn event_time(said: &DeviceTime<'_>, dating: Dating, arrival: &Arrival, calendar: &Calendar) -> EventTime {
    let base = EventTime { device_time: shown(said.text), resolution_ns: said.resolution_ns, ..arrival.stamp() };
    match said.value {
        TimeValue::None => {
            EventTime { device_time: base.device_time, resolution_ns: base.resolution_ns, ..received_only(arrival) }
        }
        TimeValue::TimeOfDay(ns) => of_day(base, TimeBase::TimeOfDay, ns, dating, arrival, calendar),
        TimeValue::UtcTimeOfDay(ns) => {
            of_day(base, TimeBase::UtcTimeOfDay, ns, dating, arrival, &Calendar::new(TimeZone::UTC))
        }
        TimeValue::Local(date, ns) => {
            let dated = day::local(calendar.zone(), date.year, date.month, date.day, ns);
            let base = EventTime { date_source: DateSource::Device.into(), ..base };
            by_device(
                EventTime { time_base: TimeBase::Local.into(), ..base },
                dated.map(|it| it.utc_ns),
                dating,
                arrival,
            )
        }
        TimeValue::Utc(utc_ns) => EventTime {
            time_base: TimeBase::Utc.into(),
            date_source: DateSource::Device.into(),
            utc_ns: Some(utc_ns),
            uncertainty_ns: Some(said.resolution_ns),
            clock_source: ClockSource::Gnss.into(),
            sync_state: SyncState::Synchronized.into(),
            ..base
        },
        TimeValue::UtcByOwnClock(utc_ns) => {
            let base = EventTime { time_base: TimeBase::Utc.into(), date_source: DateSource::Device.into(), ..base };
            by_device(base, Some(utc_ns), dating, arrival)
        }
        TimeValue::Elapsed(_) => EventTime {
            time_base: TimeBase::Elapsed.into(),
            device_time: base.device_time,
            resolution_ns: base.resolution_ns,
            ..received_only(arrival)
        },
    }
}

/// The receive time stands in for the event's; it is late by what was under way.
fn received_only(arrival: &Arrival) -> EventTime {
    let error = arrival.known_error().map(|error| nanoseconds(error + LIVE_DELAY));
    EventTime { uncertainty_ns: error, ..arrival.event_time() }
}

fn of_day(
    base: EventTime,
    time_base: TimeBase,
    ns: u64,
    dating: Dating,
    arrival: &Arrival,
    calendar: &Calendar,
) -> EventTime {
    let (dated, source) = match (dating, arrival.received.utc_ns) {
        (Dating::Replay(Some(dated)), _) => (Some(dated), DateSource::LatestPast),
        (Dating::Replay(None), Some(utc_ns)) => (day::latest_past(calendar.zone(), ns, utc_ns), DateSource::LatestPast),
        (Dating::Live, Some(utc_ns)) => (calendar.nearest(ns, utc_ns), DateSource::NearestReceive),
        (_, None) => (None, DateSource::BootId),
    };
    let base = EventTime { time_base: time_base.into(), date_source: source.into(), ..base };
    by_device(base, dated.map(|it| it.utc_ns), dating, arrival)
}

/// A time by the device's own clock. Live, its distance from the receive stamp
/// bounds what the device's clock may be off by; from memory nothing does.
fn by_device(base: EventTime, utc_ns: Option<i64>, dating: Dating, arrival: &Arrival) -> EventTime {
    let uncertainty = match (dating, utc_ns, arrival.received.utc_ns, arrival.known_error()) {
        (Dating::Live, Some(said), Some(received), Some(error)) => {
            let apart = i128::from(said) - i128::from(received);
            let apart = u64::try_from(apart.unsigned_abs()).unwrap_or(u64::MAX);
            Some(apart.saturating_add(nanoseconds(error + LIVE_DELAY)).saturating_add(base.resolution_ns))
        }
        _ => None,
    };
    EventTime {
        utc_ns,
        uncertainty_ns: uncertainty,
        clock_source: ClockSource::Device.into(),
        sync_state: SyncState::Unspecified.into(),
        ..base
    }
}

/// Whole nanoseconds; a time that does not fit stands at the end of the range.
pub(super) fn nanoseconds(value: Duration) -> u64 {
    u64::try_from(value.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use venue_devices::Text;

    const NOW_NS: i64 = 1_795_853_828_200_000_000; // 2026-11-28T08:17:08.2Z

    fn arrival(utc_ns: Option<i64>, maximum_error: Option<Duration>) -> Arrival {
        Arrival {
            received: Received { monotonic: Duration::from_secs(100), utc_ns },
            quality: Quality { sync_state: SyncState::Synchronized, maximum_error, date_known: utc_ns.is_some() },
            boot_id: BootId([1; 16]),
        }
    }

    fn said(value: TimeValue) -> DeviceTime<'static> {
        DeviceTime { text: Text::ascii(b"09:17:08.0298"), value, resolution_ns: 100_000 }
    }

    fn calendar() -> Calendar {
        Calendar::new(TimeZone::get("Europe/Paris").expect("bundled time zones"))
    }

    const TOD_NS: u64 = (9 * 3600 + 17 * 60 + 8) * 1_000_000_000 + 29_800_000;

    /// A live impulse: the device's time on today's date, bounded by its distance
    /// from the receive stamp (170.2 ms), the line (500 ms), our clock (2 ms) and
    /// the text's resolution (0.1 ms).
    #[test]
    fn a_live_time_of_day_is_dated_and_bounded_by_the_receive_stamp() {
        let arrival = arrival(Some(NOW_NS), Some(Duration::from_millis(2)));
        let time = event_time(&said(TimeValue::TimeOfDay(TOD_NS)), Dating::Live, &arrival, &calendar());
        assert_eq!(time.utc_ns, Some(NOW_NS - 170_200_000));
        assert_eq!(time.uncertainty_ns, Some(672_300_000));
        assert_eq!(time.date_source(), DateSource::NearestReceive);
        assert_eq!((time.clock_source(), time.device_time.as_str()), (ClockSource::Device, "09:17:08.0298"));
    }

    /// From memory the same line has the same instant, but nothing bounds it.
    #[test]
    fn a_replayed_time_of_day_has_no_bound() {
        let arrival = arrival(Some(NOW_NS + 3_600_000_000_000), Some(Duration::from_millis(2)));
        let time = event_time(&said(TimeValue::TimeOfDay(TOD_NS)), Dating::Replay(None), &arrival, &calendar());
        assert_eq!((time.utc_ns, time.uncertainty_ns), (Some(NOW_NS - 170_200_000), None));
        assert_eq!(time.date_source(), DateSource::LatestPast);
    }

    /// Without a date nothing is invented: raw time and monotonic stamp are kept.
    #[test]
    fn without_a_date_the_raw_time_is_kept_alone() {
        let time = event_time(&said(TimeValue::TimeOfDay(TOD_NS)), Dating::Live, &arrival(None, None), &calendar());
        assert_eq!((time.utc_ns, time.uncertainty_ns, time.receive_utc_ns), (None, None, None));
        assert_eq!((time.date_source(), time.receive_monotonic_ns), (DateSource::BootId, 100_000_000_000));
    }

    /// A sensor's UTC is its own clock's: it does not pass for a satellite receiver's, and
    /// is bounded by its distance from the receive stamp as any device's time.
    #[test]
    fn utc_by_a_sensors_own_clock_is_bounded_by_the_receive_stamp() {
        let arrival = arrival(Some(NOW_NS), Some(Duration::from_millis(2)));
        let said = said(TimeValue::UtcByOwnClock(NOW_NS - 170_200_000));
        let time = event_time(&said, Dating::Live, &arrival, &calendar());
        assert_eq!((time.utc_ns, time.uncertainty_ns), (Some(NOW_NS - 170_200_000), Some(672_300_000)));
        assert_eq!((time.clock_source(), time.sync_state()), (ClockSource::Device, SyncState::Unspecified));
        assert_eq!((time.time_base(), time.date_source()), (TimeBase::Utc, DateSource::Device));
    }

    /// A sensor that says no time is stamped on arrival, late by what was under way.
    #[test]
    fn a_reading_without_time_has_the_receive_time() {
        let arrival = arrival(Some(NOW_NS), Some(Duration::from_millis(2)));
        let time = event_time(&DeviceTime::default(), Dating::Live, &arrival, &calendar());
        assert_eq!((time.utc_ns, time.uncertainty_ns), (Some(NOW_NS), Some(502_000_000)));
        assert_eq!(time.clock_source(), ClockSource::GatewayReceive);
    }
}
