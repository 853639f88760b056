//! The verdict: what the devices said against what the centre stored.
//!
//! It knows nothing of the gateway's inside. A chronometer's memory promises its
//! records, a broker what it acknowledged; the centre holds events with content keys.
//! A gauge without memory promises nothing, but what is missing of it must lie in a
//! declared gap.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use venue_schema::v1::{self, GapCause, GapState, event, gap};

use crate::{device::Ledger, sensors::Sample};

/// A device and what it said.
pub(super) struct Witness {
    /// Its id in the events.
    pub(super) device_id: &'static str,
    /// What it said and holds.
    pub(super) ledger: Ledger,
    /// Whether its memory promises its records.
    pub(super) has_memory: bool,
    /// When the gateway was first seen to listen to it, UTC ns. What a device without
    /// memory said before that to nobody is not lost.
    pub(super) listened_to_since_utc_ns: i64,
}

/// Sensors behind a broker, and what it acknowledged of them.
pub(super) struct Fleet {
    /// Names of the gateway's topics; gaps name them.
    pub(super) topics: [&'static str; 2],
    /// What they said.
    pub(super) samples: Vec<Sample>,
    /// When the gateway was first seen to hear them, UTC ns. What the broker acknowledged before that it may have kept
    /// for nobody.
    pub(super) subscribed_since_utc_ns: i64,
}

impl Fleet {
    /// Whether all that is promised is at the centre.
    pub(super) fn is_at_the_centre(&self, stored: &[Stored]) -> bool {
        let arrived: BTreeSet<_> = stored.iter().filter_map(|it| sensor_key(&it.event)).collect();
        let mut promised = self.samples.iter().filter(|sample| self.is_promised(sample));
        promised.all(|sample| arrived.contains(&(sample.sensor.as_str(), sample.key.as_str())))
    }

    fn is_promised(&self, sample: &Sample) -> bool {
        sample.acknowledged_utc_ns.is_some_and(|at| at >= self.subscribed_since_utc_ns)
    }
}

/// One event at the centre.
pub(super) struct Stored {
    /// The journal that delivered it.
    pub(super) epoch: Vec<u8>,
    /// The lane.
    pub(super) lane: v1::Lane,
    /// Its place.
    pub(super) sequence: u64,
    /// The event.
    pub(super) event: v1::Event,
    /// When the centre had acknowledged it, UTC ns.
    pub(super) acknowledged_utc_ns: Option<i64>,
}

/// Times in which something was cut, UTC ns.
pub(super) type Disturbances = Vec<(i64, i64)>;

/// Quantiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// What came of it. The shape of `demo --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether nothing is lost, doubled or out of order, and no invariant was broken.
    pub ok: bool,
    /// Distinct events that a device's memory or a broker's acknowledgement promises.
    pub sent: u64,
    /// Those of them that a broker acknowledged.
    #[serde(skip)]
    pub sent_over_mqtt: u64,
    /// Those of `sent` at the centre.
    pub delivered: u64,
    /// The difference but for what is declared, and events of devices without memory that
    /// were said once the gateway had begun to listen, and that no gap covers.
    pub lost: u64,
    /// Rows beyond the first.
    pub duplicated: u64,
    /// Rows against the device's order in a lane, back-fill apart.
    pub out_of_order: u64,
    /// Events that are missing, each covered by a gap: of devices without memory, and of
    /// sensors whose session the broker lost.
    pub declared: u64,
    /// From the device's last byte to the centre's acknowledgement, while nothing was cut.
    pub latency_ms: Latency,
    /// The longest, through every cut.
    pub latency_ms_longest: f64,
    /// Broken invariants, and the first few events that are lost or doubled.
    pub violations: Vec<String>,
}

impl Verdict {
    /// Counts a further broken invariant.
    pub(super) fn violate(&mut self, what: String) {
        self.ok = false;
        self.violations.push(what);
    }
}

/// How many lost or doubled events are named.
const NAMED: usize = 8;

/// Compares.
pub(super) fn judge(witnesses: &[Witness], fleet: &Fleet, stored: &[Stored], disturbances: &Disturbances) -> Verdict {
    let mut count = Count::default();
    count.lanes(stored);
    for witness in witnesses {
        if witness.has_memory {
            count.promised(witness, stored);
        } else {
            count.heard(witness, stored);
        }
        count.order(witness, stored);
        count.ends(witness, stored);
    }
    let sent_by_devices = count.sent;
    count.acknowledged(fleet, stored);
    let (latency_ms, latency_ms_longest) = latency(witnesses, stored, disturbances);
    Verdict {
        ok: count.lost == 0 && count.duplicated == 0 && count.out_of_order == 0 && count.broken == 0,
        sent: count.sent,
        sent_over_mqtt: count.sent - sent_by_devices,
        delivered: count.delivered,
        lost: count.lost,
        duplicated: count.duplicated,
        out_of_order: count.out_of_order,
        declared: count.declared,
        latency_ms,
        latency_ms_longest,
        violations: count.violations,
    }
}

#[derive(Default)]
struct Count {
    sent: u64,
    delivered: u64,
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
    declared: u64,
    broken: u64,
    violations: Vec<String>,
}

impl Count {
    /// A device with a memory: each record of it exactly once.
    fn promised(&mut self, witness: &Witness, stored: &[Stored]) {
        let mut promised: BTreeMap<&str, u64> = BTreeMap::new();
        for record in witness.ledger.records().iter().filter(|record| record.stored) {
            *promised.entry(&record.key).or_default() += 1;
        }
        let mut arrived: BTreeMap<String, u64> = BTreeMap::new();
        for event in stored.iter().map(|it| &it.event).filter(|event| event.device_id == witness.device_id) {
            if let Some(event::Identity::ContentKey(key)) = &event.identity {
                *arrived.entry(without_date(&key.key).to_owned()).or_default() += 1;
            }
        }
        for (key, wanted) in &promised {
            let got = arrived.remove(*key).unwrap_or(0);
            self.sent += wanted;
            self.delivered += got.min(*wanted);
            self.missing(wanted.saturating_sub(got), || format!("lost: {} {key}", witness.device_id));
            self.doubled(got.saturating_sub(*wanted), || format!("doubled: {} {key}", witness.device_id));
        }
        for (key, got) in arrived {
            self.doubled(got, || format!("invented: {} {key}", witness.device_id));
        }
    }

    /// A device without a memory: what is missing lies in a declared gap.
    fn heard(&mut self, witness: &Witness, stored: &[Stored]) {
        let mut arrived: BTreeMap<&[u8], u64> = BTreeMap::new();
        let of_device = || stored.iter().map(|it| &it.event).filter(|event| event.device_id == witness.device_id);
        for event in of_device().filter(|event| is_reading(event)) {
            *arrived.entry(&event.evidence).or_default() += 1;
        }
        let gaps = dark_gaps(of_device());
        for line in witness.ledger.lines() {
            let text = line.bytes.trim_ascii_end();
            if let Some(count) = arrived.get_mut(text).filter(|count| **count > 0) {
                *count -= 1;
            } else if gaps.iter().any(|(first, last)| (*first..=last.unwrap_or(i64::MAX)).contains(&line.left_utc_ns)) {
                self.declared += 1;
            } else if line.left_utc_ns >= witness.listened_to_since_utc_ns {
                self.missing(1, || format!("lost: {} {}", witness.device_id, text.escape_ascii()));
            }
        }
        for (evidence, count) in arrived {
            self.doubled(count, || format!("doubled: {} {}", witness.device_id, evidence.escape_ascii()));
        }
    }

    /// Sensors: each sample that the broker acknowledged exactly once, in the order of measurement, or in a gap that
    /// says that the broker may have lost it. What it did not acknowledge may be there once, too.
    fn acknowledged(&mut self, fleet: &Fleet, stored: &[Stored]) {
        let sensors: BTreeSet<&str> = fleet.samples.iter().map(|sample| sample.sensor.as_str()).collect();
        let mut arrived: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let mut order: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (sensor, key) in stored.iter().filter_map(|it| sensor_key(&it.event)) {
            if sensors.contains(sensor) {
                *arrived.entry((sensor, key)).or_default() += 1;
                order.entry(sensor).or_default().push(key);
            }
        }
        let of_topic = |event: &&v1::Event| fleet.topics.contains(&event.device_id.as_str());
        let gaps = unhealed(stored.iter().map(|it| &it.event).filter(of_topic));
        for sample in &fleet.samples {
            let got = arrived.remove(&(sample.sensor.as_str(), sample.key.as_str())).unwrap_or(0);
            self.doubled(got.saturating_sub(1), || format!("doubled: {} {}", sample.sensor, sample.key));
            if !fleet.is_promised(sample) {
                continue;
            }
            self.sent += 1;
            self.delivered += got.min(1);
            let is_declared = gaps.iter().any(|(first, last)| (*first..=*last).contains(&sample.measured_utc_ns));
            match (got, is_declared) {
                (0, true) => self.declared += 1,
                (0, false) => self.missing(1, || format!("lost: {} {}", sample.sensor, sample.key)),
                _ => {}
            }
        }
        for ((sensor, key), got) in arrived {
            self.doubled(got, || format!("invented: {sensor} {key}"));
        }
        for (sensor, arrived) in order {
            let said = fleet.samples.iter().filter(|sample| sample.sensor == sensor).map(|sample| sample.key.as_str());
            let places: BTreeMap<&str, usize> = said.enumerate().map(|(place, key)| (key, place)).collect();
            let places: Vec<usize> = arrived.iter().filter_map(|key| places.get(key).copied()).collect();
            let backwards = places.windows(2).filter(|two| two[1] < two[0]).count() as u64;
            self.out_of_order += backwards;
            if backwards > 0 {
                self.name(|| format!("out of order: {backwards} samples of {sensor}"));
            }
        }
    }

    /// Live impulses arrive in the order in which the device gave them.
    fn order(&mut self, witness: &Witness, stored: &[Stored]) {
        let live = |it: &&Stored| {
            let by_wire = matches!(&it.event.content, Some(event::Content::Impulse(impulse)) if !impulse.memory);
            by_wire && it.event.device_id == witness.device_id
        };
        let times: Vec<i64> = stored.iter().filter(live).filter_map(|it| it.event.time.as_ref()?.utc_ns).collect();
        let backwards = times.windows(2).filter(|two| two[1] < two[0]).count() as u64;
        self.out_of_order += backwards;
        if backwards > 0 {
            self.name(|| format!("out of order: {backwards} impulses of {}", witness.device_id));
        }
    }

    /// No dark time goes on in which the device was heard again.
    fn ends(&mut self, witness: &Witness, stored: &[Stored]) {
        let of_device = || stored.iter().map(|it| &it.event).filter(|event| event.device_id == witness.device_id);
        let received = |event: &v1::Event| event.time.as_ref()?.receive_utc_ns;
        let heard = of_device().filter(|event| is_reading(event)).filter_map(received).max();
        let goes_on = |(first, last): &&(i64, Option<i64>)| last.is_none() && heard > Some(*first);
        let open = dark_gaps(of_device()).iter().filter(goes_on).count() as u64;
        if open > 0 {
            self.broken += open;
            self.name(|| format!("never ended: {open} gaps of {}, which was heard again", witness.device_id));
        }
    }

    /// One journal delivered, and its lanes are dense.
    fn lanes(&mut self, stored: &[Stored]) {
        let epochs: BTreeSet<&[u8]> = stored.iter().map(|it| it.epoch.as_slice()).collect();
        if epochs.len() > 1 {
            self.broken += 1;
            self.name(|| {
                "the centre was ahead of the journal: something was sent before it was durable, and a new journal epoch began"
                    .to_owned()
            });
        }
        for epoch in epochs {
            for lane in v1::Lane::ALL {
                let of_lane = stored.iter().filter(|it| it.epoch == epoch && it.lane == lane);
                let highest = of_lane.map(|it| it.sequence).max().unwrap_or(0);
                let origins: BTreeSet<u64> =
                    stored.iter().filter(|it| it.epoch == epoch && it.lane == lane).map(|it| it.sequence).collect();
                // Merged repeats leave no row; what a row has, only one has.
                let rows = stored.iter().filter(|it| it.epoch == epoch && it.lane == lane).count();
                if rows != origins.len() || origins.len() as u64 > highest {
                    self.broken += 1;
                    self.name(|| format!("two events of the {} lane have one sequence", lane.name()));
                }
            }
        }
    }

    fn missing(&mut self, count: u64, what: impl Fn() -> String) {
        self.lost += count;
        (0..count).for_each(|_| self.name(&what));
    }

    fn doubled(&mut self, count: u64, what: impl Fn() -> String) {
        self.duplicated += count;
        (0..count).for_each(|_| self.name(&what));
    }

    fn name(&mut self, what: impl Fn() -> String) {
        if self.violations.len() < NAMED {
            self.violations.push(what());
        }
    }
}

/// The device's part of a key: what stands before the date.
fn without_date(key: &str) -> &str {
    key.rsplit_once('|').map_or(key, |(device, _)| device)
}

/// Whether an event is what its device said, rather than bytes that were not
/// understood or what the gateway says of the device.
fn is_reading(event: &v1::Event) -> bool {
    !event.evidence.is_empty() && !matches!(event.content, Some(event::Content::Raw(_)))
}

/// Device and key of an event, as a sensor's payload says it: what follows `#` tells the parts of a message apart.
fn sensor_key(event: &v1::Event) -> Option<(&str, &str)> {
    let Some(event::Identity::ContentKey(key)) = &event.identity else { return None };
    Some((&event.device_id, key.key.split('#').next().unwrap_or_default()))
}

/// Dark times of a broker after which its session was not the same, UTC ns: it may have lost what came meanwhile.
fn unhealed<'a>(events: impl Iterator<Item = &'a v1::Event>) -> Vec<(i64, i64)> {
    let gap = |event: &'a v1::Event| match &event.content {
        Some(event::Content::Gap(gap)) if gap.state() == GapState::Closed => Some(gap),
        _ => None,
    };
    let times = |gap: &v1::Gap| Some((gap.first_receive_utc_ns?, gap.last_receive_utc_ns?));
    events.filter_map(gap).filter_map(times).collect()
}

/// The dark times that gaps declare, UTC ns. One that was not ended under its name has no end.
fn dark_gaps<'a>(events: impl Iterator<Item = &'a v1::Event>) -> Vec<(i64, Option<i64>)> {
    let mut dark: BTreeMap<&str, (i64, Option<i64>)> = BTreeMap::new();
    for event in events {
        let Some(event::Content::Gap(gap)) = &event.content else { continue };
        let by_device = matches!(gap.scope, Some(gap::Scope::DeviceRange(_))) && gap.cause() == GapCause::DeviceDark;
        if let (true, Some(first)) = (by_device, gap.first_receive_utc_ns) {
            dark.insert(&gap.gap_id, (first, gap.last_receive_utc_ns));
        }
    }
    dark.into_values().collect()
}

/// Latency of lines that were heard live: while nothing was cut, and the longest.
fn latency(witnesses: &[Witness], stored: &[Stored], disturbances: &Disturbances) -> (Latency, f64) {
    let mut acknowledged: BTreeMap<(&str, &[u8]), i64> = BTreeMap::new();
    for it in stored {
        let replayed = matches!(&it.event.content, Some(event::Content::Impulse(impulse)) if impulse.memory);
        if let (false, Some(at)) = (replayed || it.event.evidence.is_empty(), it.acknowledged_utc_ns) {
            acknowledged.entry((&it.event.device_id, &it.event.evidence)).or_insert(at);
        }
    }
    let mut undisturbed = Vec::new();
    let mut longest: f64 = 0.0;
    for witness in witnesses {
        for line in witness.ledger.lines().iter().filter(|line| line.heard) {
            let Some(at) = acknowledged.remove(&(witness.device_id, line.bytes.trim_ascii_end())) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of a demo")]
            let milliseconds = (at - line.left_utc_ns) as f64 / 1e6;
            longest = longest.max(milliseconds);
            if !is_disturbed(disturbances, line.left_utc_ns, at) {
                undisturbed.push(milliseconds);
            }
        }
    }
    undisturbed.sort_by(f64::total_cmp);
    (Latency { p50: quantile(&undisturbed, 50), p99: quantile(&undisturbed, 99) }, longest)
}

/// Whether anything was cut while a line was on its way, also if it left just before.
fn is_disturbed(disturbances: &Disturbances, left_utc_ns: i64, acknowledged_utc_ns: i64) -> bool {
    disturbances.iter().any(|(from, to)| left_utc_ns <= *to && acknowledged_utc_ns >= *from)
}

/// A percentile of sorted values (nearest rank); 0 if there are none.
fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use venue_schema::v1::{ContentKey, DeviceRange, Gap};

    use super::*;

    /// A broker acknowledged these numbers of a wind gauge, each measured at its number in seconds, and one more came
    /// that it did not acknowledge.
    fn fleet(acknowledged: impl IntoIterator<Item = i64>) -> Fleet {
        let sample = |number: i64, acknowledged: bool| Sample {
            sensor: "wind-1".to_owned(),
            topic: "venue/wind-1/wind".to_owned(),
            key: format!("7|{number}"),
            payload: String::new(),
            measured_utc_ns: number * 1_000_000_000,
            acknowledged_utc_ns: acknowledged.then_some(number * 1_000_000_000 + 1),
        };
        let mut samples: Vec<_> = acknowledged.into_iter().map(|number| sample(number, true)).collect();
        samples.push(sample(99, false));
        Fleet { topics: ["official-wind", "sensors"], samples, subscribed_since_utc_ns: 1_000_000_000 }
    }

    /// The centre has an event of the gauge by its number, as the gateway keys it.
    fn wind(sequence: u64, number: i64) -> Stored {
        let key = ContentKey { key: format!("7|{number}#wind"), ..ContentKey::default() };
        stored(
            sequence,
            v1::Event {
                device_id: "wind-1".to_owned(),
                identity: Some(event::Identity::ContentKey(key)),
                ..v1::Event::default()
            },
        )
    }

    /// The gateway says that the official wind was dark from second 2 to second 3.
    fn gap(sequence: u64, state: GapState) -> Stored {
        let scope =
            gap::Scope::DeviceRange(DeviceRange { device_id: "official-wind".to_owned(), ..Default::default() });
        let gap = Gap {
            cause: GapCause::DeviceDark.into(),
            state: state.into(),
            scope: Some(scope),
            first_receive_utc_ns: Some(2_000_000_000),
            last_receive_utc_ns: Some(3_000_000_000),
            ..Gap::default()
        };
        let content = Some(event::Content::Gap(gap));
        stored(sequence, v1::Event { device_id: "official-wind".to_owned(), content, ..v1::Event::default() })
    }

    fn stored(sequence: u64, event: v1::Event) -> Stored {
        Stored { epoch: vec![1; 16], lane: v1::Lane::Results, sequence, event, acknowledged_utc_ns: None }
    }

    /// Sent, delivered, lost, doubled, out of order, declared; and what is named.
    fn judged(fleet: &Fleet, stored: &[Stored]) -> ([u64; 6], Vec<String>) {
        let verdict = judge(&[], fleet, stored, &Vec::new());
        assert_eq!(verdict.sent_over_mqtt, verdict.sent);
        assert_eq!(verdict.ok, verdict.violations.is_empty());
        let counts =
            [verdict.sent, verdict.delivered, verdict.lost, verdict.duplicated, verdict.out_of_order, verdict.declared];
        (counts, verdict.violations)
    }

    fn named(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    /// What the broker acknowledged is there once and in order. What it did not acknowledge may be there or not.
    #[test]
    fn what_a_broker_acknowledged_is_there_once() {
        let fleet = fleet(1..=3);
        let all = [wind(1, 1), wind(2, 2), wind(3, 3)];
        assert_eq!(judged(&fleet, &all), ([3, 3, 0, 0, 0, 0], vec![]));
        assert!(fleet.is_at_the_centre(&all) && !fleet.is_at_the_centre(&all[1..]));
        assert_eq!(judged(&fleet, &[wind(1, 1), wind(2, 2), wind(3, 3), wind(4, 99)]), ([3, 3, 0, 0, 0, 0], vec![]));
    }

    /// Whatever goes wrong with a sample is counted and named.
    #[test]
    fn a_sample_that_is_lost_doubled_or_misplaced_is_named() {
        let fleet = fleet(1..=3);
        let check = |stored: &[Stored], counts, text: &str| assert_eq!(judged(&fleet, stored), (counts, named(text)));
        check(&[wind(1, 1), wind(2, 3)], [3, 2, 1, 0, 0, 0], "lost: wind-1 7|2");
        check(&[wind(1, 1), wind(2, 2), wind(3, 2), wind(4, 3)], [3, 3, 0, 1, 0, 0], "doubled: wind-1 7|2");
        check(
            &[wind(1, 1), wind(2, 2), wind(3, 3), wind(4, 99), wind(5, 99)],
            [3, 3, 0, 1, 0, 0],
            "doubled: wind-1 7|99",
        );
        check(&[wind(1, 2), wind(2, 1), wind(3, 3)], [3, 3, 0, 0, 1, 0], "out of order: 1 samples of wind-1");
        check(&[wind(1, 1), wind(2, 2), wind(3, 3), wind(4, 4)], [3, 3, 0, 1, 0, 0], "invented: wind-1 7|4");
    }

    /// What is missing is declared by a gap that ended without the broker's session, not by one that is said to be
    /// healed; what the broker acknowledged before the gateway had subscribed it kept for nobody.
    #[test]
    fn a_missing_sample_is_declared_or_lost() {
        let fleet = fleet(0..=3);
        let with = |state| judged(&fleet, &[gap(1, state), wind(2, 1), wind(3, 3)]);
        assert_eq!(with(GapState::Closed), ([3, 2, 0, 0, 0, 1], vec![]));
        assert_eq!(with(GapState::Healed), ([3, 2, 1, 0, 0, 0], named("lost: wind-1 7|2")));
        let outside = judged(&fleet, &[gap(1, GapState::Closed), wind(2, 2), wind(3, 3)]);
        assert_eq!(outside, ([3, 2, 1, 0, 0, 0], named("lost: wind-1 7|1")));
    }

    #[test]
    fn a_line_that_left_just_before_a_cut_is_disturbed() {
        let cuts = vec![(100, 200)];
        let times = [(80, 90), (80, 150), (120, 130), (150, 250), (80, 250), (210, 220)];
        let disturbed = times.map(|(left, acknowledged)| is_disturbed(&cuts, left, acknowledged));
        assert_eq!(disturbed, [false, true, true, true, true, false]);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&hundred, 50), quantile(&hundred, 99)), (50.0, 99.0));
        assert_eq!(quantile(&[7.0], 99), 7.0);
        assert_eq!(quantile(&[], 50), 0.0);
    }

    #[test]
    fn the_date_is_no_part_of_a_devices_key() {
        assert_eq!(without_date("C1|09:17:08.02|00|2026-11-28"), "C1|09:17:08.02|00");
    }
}
