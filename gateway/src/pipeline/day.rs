//! The date of a time of day that comes without one.
//!
//! Devices on a venue floor say `09:17:08.0298` and no date. Live, the date is the
//! one that puts that time nearest to the receive time, so a clock that is minutes
//! off still falls on its own day across midnight. In a replay from memory it is
//! the latest date that does not put the time in the future. Both are worked out
//! in the venue's time zone; an hour that a daylight-saving change shows twice is
//! resolved the same way, and an hour that it skips is read as if the clock had
//! not been put forward yet.

use std::cell::Cell;

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

/// How far a device's clock may run ahead of ours before its replayed times are
/// taken for yesterday's.
const AHEAD_NS: i128 = 600 * 1_000_000_000;

/// Nanoseconds in a day of a clock face.
pub const DAY_NS: u64 = 86_400 * 1_000_000_000;

/// A zone's days round the present one, so that a live time of day needs no look into the zone's rules.
#[derive(Debug)]
pub struct Calendar {
    zone: TimeZone,
    present: Cell<Option<Present>>,
}

/// A local day and its neighbours, each of which has 24 hours and one offset.
#[derive(Debug, Clone, Copy)]
struct Present {
    /// Yesterday, today, tomorrow.
    dates: [Date; 3],
    /// UTC ns at which today began.
    began_utc_ns: i64,
}

impl Calendar {
    /// Of a zone.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, present: Cell::new(None) }
    }

    /// Its zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// As [`nearest`].
    pub fn nearest(&self, time_of_day_ns: u64, receive_utc_ns: i64) -> Option<Dated> {
        const DAY: i64 = DAY_NS as i64;
        let present = self.present.get().filter(|it| (0..DAY).contains(&receive_utc_ns.wrapping_sub(it.began_utc_ns)));
        let Some(present) = present else {
            self.present.set(Present::of(&self.zone, receive_utc_ns));
            return nearest(&self.zone, time_of_day_ns, receive_utc_ns);
        };
        let of_day = i64::try_from(time_of_day_ns).ok().filter(|ns| *ns < DAY)?;
        let days = present.dates.into_iter().zip([-DAY, 0, DAY]);
        let dated = days.map(|(date, day)| Dated { date, utc_ns: present.began_utc_ns + day + of_day });
        dated.min_by_key(|dated| (dated.utc_ns - receive_utc_ns).abs())
    }
}

impl Present {
    /// The days round an instant; none if their clocks are put forward or back, or it stands at the end of the calendar.
    fn of(zone: &TimeZone, utc_ns: i64) -> Option<Self> {
        let today = date_of(zone, utc_ns)?;
        let dates = [today.checked_sub(1.day()).ok()?, today, today.checked_add(1.day()).ok()?];
        let midnights = [dates[0], today, dates[2], dates[2].checked_add(1.day()).ok()?];
        let [first, began, .., last] = midnights.map(|date| on(zone, date, 0).map(|midnight| midnight.utc_ns));
        let changes = zone.following(Timestamp::from_nanosecond(i128::from(first?)).ok()?);
        let next_change = changes.map(|change| change.timestamp().as_nanosecond()).next();
        let is_plain = next_change.is_none_or(|change| change > i128::from(last.unwrap_or(i64::MAX)));
        is_plain.then_some(Self { dates, began_utc_ns: began? })
    }
}

/// A time of day with its date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dated {
    /// The local date.
    pub date: Date,
    /// The instant, UTC ns.
    pub utc_ns: i64,
}

/// The date that puts `time_of_day_ns` nearest to `receive_utc_ns`; none for a
/// time that no clock shows, or outside the calendar.
pub fn nearest(zone: &TimeZone, time_of_day_ns: u64, receive_utc_ns: i64) -> Option<Dated> {
    around(zone, time_of_day_ns, receive_utc_ns)
        .min_by_key(|dated| (i128::from(dated.utc_ns) - i128::from(receive_utc_ns)).abs())
}

/// The latest date that does not put `time_of_day_ns` after `receive_utc_ns`, ten
/// minutes of a fast device clock allowed for.
pub fn latest_past(zone: &TimeZone, time_of_day_ns: u64, receive_utc_ns: i64) -> Option<Dated> {
    around(zone, time_of_day_ns, receive_utc_ns)
        .filter(|dated| i128::from(dated.utc_ns) <= i128::from(receive_utc_ns) + AHEAD_NS)
        .max_by_key(|dated| dated.utc_ns)
}

/// The same time of day on another date.
pub fn on(zone: &TimeZone, date: Date, time_of_day_ns: u64) -> Option<Dated> {
    instants(zone, date, time_of_day_ns).next()
}

/// The local date of an instant.
pub fn date_of(zone: &TimeZone, utc_ns: i64) -> Option<Date> {
    let timestamp = Timestamp::from_nanosecond(i128::from(utc_ns)).ok()?;
    Some(zone.to_datetime(timestamp).date())
}

/// A local date and time of day as an instant.
pub fn local(zone: &TimeZone, year: u16, month: u8, day: u8, time_of_day_ns: u64) -> Option<Dated> {
    let date = Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()?;
    on(zone, date, time_of_day_ns)
}

fn around(zone: &TimeZone, time_of_day_ns: u64, receive_utc_ns: i64) -> impl Iterator<Item = Dated> {
    let today = date_of(zone, receive_utc_ns);
    let dates = [-1, 0, 1].into_iter().filter_map(move |days: i64| today?.checked_add(days.days()).ok());
    dates.flat_map(move |date| instants(zone, date, time_of_day_ns))
}

/// The instants at which a local clock shows a time on a date: two in the hour
/// that is shown twice.
fn instants(zone: &TimeZone, date: Date, time_of_day_ns: u64) -> impl Iterator<Item = Dated> + use<> {
    let time = time(time_of_day_ns);
    let pair = time.map(|time| {
        let ambiguous = zone.to_ambiguous_timestamp(DateTime::from_parts(date, time));
        let is_fold = matches!(ambiguous.offset(), jiff::tz::AmbiguousOffset::Fold { .. });
        let first = ambiguous.compatible().ok();
        let second = if is_fold { ambiguous.later().ok() } else { None };
        [first, second]
    });
    pair.into_iter()
        .flatten()
        .flatten()
        .filter_map(move |timestamp| Some(Dated { date, utc_ns: i64::try_from(timestamp.as_nanosecond()).ok()? }))
}

fn time(time_of_day_ns: u64) -> Option<Time> {
    if time_of_day_ns >= DAY_NS {
        return None;
    }
    let seconds = time_of_day_ns / 1_000_000_000;
    let part = |value: u64| i8::try_from(value).ok();
    Time::new(
        part(seconds / 3600)?,
        part(seconds / 60 % 60)?,
        part(seconds % 60)?,
        i32::try_from(time_of_day_ns % 1_000_000_000).ok()?,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paris() -> TimeZone {
        TimeZone::get("Europe/Paris").expect("bundled time zones")
    }

    fn utc(text: &str) -> i64 {
        let timestamp: Timestamp = text.parse().expect("RFC 3339");
        i64::try_from(timestamp.as_nanosecond()).expect("a time of ours")
    }

    fn tod(hour: u64, minute: u64, second: u64) -> u64 {
        (hour * 3600 + minute * 60 + second) * 1_000_000_000
    }

    #[track_caller]
    fn check(dated: Option<Dated>, date: &str, instant: &str) {
        let dated = dated.expect("a date");
        assert_eq!((dated.date.to_string().as_str(), dated.utc_ns), (date, utc(instant)));
    }

    /// Live, across midnight, with the device's clock fast or slow.
    #[test]
    fn a_live_time_falls_on_the_nearest_date() {
        let zone = paris();
        check(nearest(&zone, tod(9, 17, 8), utc("2026-11-28T08:17:08.2Z")), "2026-11-28", "2026-11-28T08:17:08Z");
        // 00:00:03 local; the device still shows 23:59:58.
        check(nearest(&zone, tod(23, 59, 58), utc("2026-11-28T23:00:03Z")), "2026-11-28", "2026-11-28T22:59:58Z");
        // 23:59:58 local; the device is fast and shows 00:00:03.
        check(nearest(&zone, tod(0, 0, 3), utc("2026-11-28T22:59:58Z")), "2026-11-29", "2026-11-28T23:00:03Z");
    }

    /// In a replay nothing lies in the future, but for a clock that is a little fast.
    #[test]
    fn a_replayed_time_is_the_latest_that_is_past() {
        let zone = paris();
        let now = utc("2026-11-28T09:00:00Z"); // 10:00 local
        check(latest_past(&zone, tod(9, 59, 0), now), "2026-11-28", "2026-11-28T08:59:00Z");
        check(latest_past(&zone, tod(17, 0, 0), now), "2026-11-27", "2026-11-27T16:00:00Z");
        check(latest_past(&zone, tod(10, 0, 5), now), "2026-11-28", "2026-11-28T09:00:05Z");
    }

    /// The hour that autumn shows twice goes to the nearer instant; the hour that
    /// spring skips is read as if the clock had not been put forward.
    #[test]
    fn daylight_saving_changes_are_resolved_by_the_receive_time() {
        let zone = paris();
        check(nearest(&zone, tod(2, 30, 0), utc("2026-10-25T00:30:01Z")), "2026-10-25", "2026-10-25T00:30:00Z");
        check(nearest(&zone, tod(2, 30, 0), utc("2026-10-25T01:30:01Z")), "2026-10-25", "2026-10-25T01:30:00Z");
        check(latest_past(&zone, tod(2, 30, 0), utc("2026-10-25T06:00:00Z")), "2026-10-25", "2026-10-25T01:30:00Z");
        check(nearest(&zone, tod(2, 30, 0), utc("2026-03-29T01:30:02Z")), "2026-03-29", "2026-03-29T01:30:00Z");
    }

    /// Every half hour of a year with its two changes, a calendar that remembers says what the zone's rules say, whatever
    /// time a device shows.
    #[test]
    fn a_calendar_says_what_the_zone_says() {
        for zone in [paris(), TimeZone::UTC, TimeZone::get("Australia/Lord_Howe").expect("bundled")] {
            let calendar = Calendar::new(zone.clone());
            let begin = utc("2026-01-01T00:00:00Z");
            for half_hour in 0..2 * 24 * 365_i64 {
                let received = begin + half_hour * 1_800_000_000_000 + 7;
                for ns in [0, tod(2, 30, 0), tod(11, 59, 59), DAY_NS - 1, DAY_NS] {
                    assert_eq!(calendar.nearest(ns, received), nearest(&zone, ns, received), "{ns} at {received}");
                }
            }
        }
    }

    #[test]
    fn a_time_that_no_clock_shows_has_no_date() {
        assert_eq!(nearest(&paris(), DAY_NS, utc("2026-11-28T09:00:00Z")), None);
        assert_eq!(local(&paris(), 2026, 2, 30, 0), None);
    }
}
