//! What makes a reading the same reading: its complete key and occurrence.
//!
//! A device without dates repeats its memory. The pipeline adds the date to the
//! device's key and counts occurrences, so that the k-th equal line of a replay is
//! the k-th of the live stream.
//!
//! Live, the date is the nearest one and the occurrence the next. In a replay
//! occurrences count from 1, and the date is found in this order:
//!
//! 1. a date on which the journal knows this very line: the latest first, never
//!    before the date of the line before it, seven days back at most (a memory that
//!    nobody cleared overnight still matches what was heard on its own day);
//! 2. the boot id, for lines heard in this boot before the gateway had a date;
//! 3. else the latest date that is not in the future.

use std::collections::BTreeMap;

use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use venue_devices::Day;

use super::day::{self, Calendar, Dated};
use crate::clock::{BootId, Received};

/// Days that a replay looks back for a line it knows.
pub(super) const DAYS_BACK: i64 = 7;
/// Different keys that a replay counts occurrences of; the same as the journal
/// remembers for a source. Beyond, each further key counts as seen once.
pub(super) const REPLAYED_KEYS: usize = 65_536;

/// What the journal knows of a source's keys.
pub trait KnownKeys {
    /// How many occurrences of a complete key of a device are known, in the epoch that the device names.
    fn occurrences(&self, device_id: &str, epoch: u64, key: &str) -> u32;
}

/// The key as the device gives it, and what goes with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceKey<'a> {
    /// The device.
    pub(super) device_id: &'a str,
    /// Its epoch.
    pub(super) epoch: u64,
    /// The device's part of the key.
    pub(super) key: &'a str,
    /// Key of what a correction line stands for.
    pub(super) stands_for: Option<&'a str>,
    /// Which day is appended.
    pub(super) day: Day,
}

/// The complete identity of a reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Key with its date.
    pub(super) key: String,
    /// Which of that key.
    pub(super) occurrence: u32,
    /// Key with its date, and occurrence, of what it corrects.
    pub(super) target: Option<(String, u32)>,
    /// The date that a replay worked out.
    pub(super) dated: Option<Dated>,
}

/// Works out identities for one source.
#[derive(Debug)]
pub(super) struct IdentityResolver {
    boot: String,
    /// The last date that was written out.
    written: Option<(Date, String)>,
    replay: Option<Replay>,
}

#[derive(Debug, Default)]
struct Replay {
    counts: BTreeMap<String, u32>,
    last: Option<Date>,
}

impl IdentityResolver {
    /// For a source in a boot.
    pub(super) fn new(boot_id: BootId) -> Self {
        Self { boot: format!("boot-{boot_id}"), written: None, replay: None }
    }

    /// The device begins to repeat its memory.
    pub(super) fn replay_started(&mut self) {
        self.replay = Some(Replay::default());
    }

    /// The replay is over.
    pub(super) fn replay_ended(&mut self) {
        self.replay = None;
    }

    /// Whether a replay goes on.
    pub(super) fn replaying(&self) -> bool {
        self.replay.is_some()
    }

    /// The identity of a reading received at `received`.
    pub(super) fn resolve(
        &mut self,
        device: &DeviceKey<'_>,
        received: &Received,
        calendar: &Calendar,
        known: &impl KnownKeys,
    ) -> Resolved {
        match self.replay.take() {
            None => self.resolve_live(device, received, calendar, known),
            Some(mut replay) => {
                let resolved = self.resolve_replayed(&mut replay, device, received, calendar.zone(), known);
                self.replay = Some(replay);
                resolved
            }
        }
    }

    fn resolve_live(
        &mut self,
        device: &DeviceKey<'_>,
        received: &Received,
        calendar: &Calendar,
        known: &impl KnownKeys,
    ) -> Resolved {
        let date = match device.day {
            Day::None => None,
            Day::OfTimeOfDay(ns) => received.utc_ns.and_then(|utc| calendar.nearest(ns, utc)).map(|it| it.date),
            Day::OfReceipt => received.utc_ns.and_then(|utc| day::date_of(calendar.zone(), utc)),
        };
        if let Some(date) = date
            && self.written.as_ref().is_none_or(|(written, _)| *written != date)
        {
            self.written = Some((date, date.to_string()));
        }
        let dated = date.and(self.written.as_ref()).map_or(self.boot.as_str(), |(_, text)| text);
        let day = (device.day != Day::None).then_some(dated);
        let key = complete(device.key, day);
        let occurrence = known.occurrences(device.device_id, device.epoch, &key).saturating_add(1);
        let target = device.stands_for.map(|target| {
            let target = complete(target, day);
            let count = known.occurrences(device.device_id, device.epoch, &target);
            (target, count)
        });
        Resolved { key, occurrence, target, dated: None }
    }

    fn resolve_replayed(
        &self,
        replay: &mut Replay,
        device: &DeviceKey<'_>,
        received: &Received,
        zone: &TimeZone,
        known: &impl KnownKeys,
    ) -> Resolved {
        let candidates = self.candidates(replay.last, device.day, received, zone);
        let chosen =
            candidates.iter().find(|it| replay.knows(device, it.text.as_deref(), known)).or(candidates.first());
        let text = chosen.and_then(|it| it.text.clone());
        let date = chosen.and_then(|it| it.date);
        replay.last = date.or(replay.last);
        let dated = match device.day {
            Day::OfTimeOfDay(ns) => date.and_then(|date| dated(zone, date, ns, received)),
            Day::None | Day::OfReceipt => None,
        };
        let key = complete(device.key, text.as_deref());
        let occurrence = replay.count(&key);
        let target = device.stands_for.map(|target| {
            let target = complete(target, text.as_deref());
            let count = replay.count(&target);
            (target, count)
        });
        Resolved { key, occurrence, target, dated }
    }

    /// The days that a replayed line can be of, the likeliest first.
    fn candidates(&self, last: Option<Date>, day: Day, received: &Received, zone: &TimeZone) -> Vec<Candidate> {
        let latest = match (day, received.utc_ns) {
            (Day::None, _) => return vec![Candidate { text: None, date: None }],
            (Day::OfTimeOfDay(ns), Some(utc)) => day::latest_past(zone, ns, utc).map(|it| it.date),
            (Day::OfReceipt, Some(utc)) => last.or_else(|| day::date_of(zone, utc)),
            (_, None) => None,
        };
        let boot = Candidate { text: Some(self.boot.clone()), date: None };
        let Some(latest) = latest else { return vec![boot] };
        let dates = (0..=DAYS_BACK).filter_map(|days| latest.checked_sub(days.days()).ok());
        let dates = dates.take_while(|&date| date == latest || last.is_none_or(|last| date >= last));
        let dated = dates.map(|date| Candidate { text: Some(self.day_text(Some(date))), date: Some(date) });
        dated.chain([boot]).collect()
    }

    fn day_text(&self, date: Option<Date>) -> String {
        date.map_or_else(|| self.boot.clone(), |date| date.to_string())
    }
}

fn dated(zone: &TimeZone, date: Date, ns: u64, received: &Received) -> Option<Dated> {
    let latest = received.utc_ns.and_then(|utc| day::latest_past(zone, ns, utc));
    latest.filter(|it| it.date == date).or_else(|| day::on(zone, date, ns))
}

struct Candidate {
    text: Option<String>,
    date: Option<Date>,
}

impl Replay {
    /// Whether the journal knows this line, or what it stands for, on that day.
    fn knows(&self, device: &DeviceKey<'_>, day: Option<&str>, known: &impl KnownKeys) -> bool {
        let is_known = |key: &str| {
            let key = complete(key, day);
            let next = self.counts.get(&key).copied().unwrap_or(0).saturating_add(1);
            next <= known.occurrences(device.device_id, device.epoch, &key)
        };
        is_known(device.key) || device.stands_for.is_some_and(is_known)
    }

    fn count(&mut self, key: &str) -> u32 {
        if let Some(count) = self.counts.get_mut(key) {
            *count = count.saturating_add(1);
            return *count;
        }
        if self.counts.len() < REPLAYED_KEYS {
            self.counts.insert(key.to_owned(), 1);
        }
        1
    }
}

fn complete(key: &str, day: Option<&str>) -> String {
    day.map_or_else(|| key.to_owned(), |day| [key, "|", day].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn paris() -> Calendar {
        Calendar::new(TimeZone::get("Europe/Paris").expect("bundled"))
    }

    /// Stands in for the journal.
    #[derive(Default)]
    struct Heard(BTreeMap<String, u32>);

    impl KnownKeys for Heard {
        fn occurrences(&self, _device_id: &str, _epoch: u64, key: &str) -> u32 {
            self.0.get(key).copied().unwrap_or(0)
        }
    }

    impl Heard {
        /// Appends unless known, as the journal does; tells whether it was new.
        fn append(&mut self, resolved: &Resolved) -> bool {
            let is_new = resolved.occurrence > self.occurrences("timer", 0, &resolved.key);
            if is_new {
                self.0.insert(resolved.key.clone(), resolved.occurrence);
            }
            is_new
        }
    }

    fn resolver() -> IdentityResolver {
        IdentityResolver::new(BootId([0xab; 16]))
    }

    fn at(text: &str) -> Received {
        let utc: jiff::Timestamp = text.parse().expect("RFC 3339");
        Received { monotonic: Duration::ZERO, utc_ns: i64::try_from(utc.as_nanosecond()).ok() }
    }

    fn tod(hour: u64, minute: u64) -> Day {
        Day::OfTimeOfDay((hour * 3600 + minute * 60) * 1_000_000_000)
    }

    fn impulse(key: &str, day: Day) -> DeviceKey<'_> {
        DeviceKey { device_id: "timer", epoch: 0, key, stands_for: None, day }
    }

    /// Two impulses fall on the same hundredth; the replay shows both, and only
    /// one was heard.
    #[test]
    fn the_kth_line_of_a_replay_is_the_kth_of_the_live_stream() {
        let (mut resolver, mut heard) = (resolver(), Heard::default());
        let line = impulse("C1|09:17:08.02|00", tod(9, 17));
        let live = resolver.resolve(&line, &at("2026-11-28T08:17:08Z"), &paris(), &heard);
        assert_eq!((live.key.as_str(), live.occurrence), ("C1|09:17:08.02|00|2026-11-28", 1));
        assert!(heard.append(&live));
        resolver.replay_started();
        let now = at("2026-11-28T08:20:00Z");
        let first = resolver.resolve(&line, &now, &paris(), &heard);
        assert!(!heard.append(&first), "heard live");
        let second = resolver.resolve(&line, &now, &paris(), &heard);
        assert_eq!(second.occurrence, 2);
        assert!(heard.append(&second), "missed live");
    }

    /// The memory was not cleared overnight: yesterday's lines match yesterday,
    /// though today's clock is already past their time of day; what was missed
    /// this morning is dated today.
    #[test]
    fn a_memory_kept_overnight_matches_its_own_day() {
        let (mut resolver, mut heard) = (resolver(), Heard::default());
        let (a, b) = (impulse("C0|10:00:00.00|00", tod(10, 0)), impulse("C0|10:05:00.00|00", tod(10, 5)));
        for (line, when) in [(&a, "2026-11-27T09:00:00Z"), (&b, "2026-11-27T09:05:00Z")] {
            let live = resolver.resolve(line, &at(when), &paris(), &heard);
            assert!(heard.append(&live));
        }
        resolver.replay_started();
        let now = at("2026-11-28T11:00:00Z");
        for line in [&a, &b] {
            let replayed = resolver.resolve(line, &now, &paris(), &heard);
            assert!(!heard.append(&replayed), "{replayed:?}");
        }
        let missed = resolver.resolve(&impulse("C0|09:30:00.00|00", tod(9, 30)), &now, &paris(), &heard);
        assert_eq!(missed.key, "C0|09:30:00.00|00|2026-11-28");
        assert!(heard.append(&missed));
    }

    /// A time cleared while the gateway was away: the replay shows the correction
    /// in the place of the impulse, and a twin of the impulse stays the second.
    #[test]
    fn a_correction_line_counts_as_the_impulse_it_stands_for() {
        let (mut resolver, mut heard) = (resolver(), Heard::default());
        let line = impulse("C0|10:00:00.00|00", tod(10, 0));
        for _ in 0..2 {
            let live = resolver.resolve(&line, &at("2026-11-28T09:00:00Z"), &paris(), &heard);
            assert!(heard.append(&live));
        }
        resolver.replay_started();
        let now = at("2026-11-28T09:10:00Z");
        let cleared =
            DeviceKey { stands_for: Some("C0|10:00:00.00|00"), ..impulse("c|0001|C0|10:00:00.00|00", tod(10, 0)) };
        let correction = resolver.resolve(&cleared, &now, &paris(), &heard);
        assert_eq!(correction.target, Some(("C0|10:00:00.00|00|2026-11-28".to_owned(), 1)));
        assert!(heard.append(&correction), "the correction was missed");
        let twin = resolver.resolve(&line, &now, &paris(), &heard);
        assert_eq!(twin.occurrence, 2);
        assert!(!heard.append(&twin), "both impulses were heard");
    }

    /// Heard before the gateway had a date, replayed after it got one.
    #[test]
    fn lines_of_an_undated_boot_match_within_the_boot() {
        let (mut resolver, mut heard) = (resolver(), Heard::default());
        let line = impulse("C1|09:17:08.02|00", tod(9, 17));
        let live = resolver.resolve(&line, &Received::default(), &paris(), &heard);
        assert_eq!(live.key, format!("C1|09:17:08.02|00|boot-{}", "ab".repeat(16)));
        assert!(heard.append(&live));
        resolver.replay_started();
        let replayed = resolver.resolve(&line, &at("2026-11-28T08:30:00Z"), &paris(), &heard);
        assert!(!heard.append(&replayed));
    }
}
