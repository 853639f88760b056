//! The verdict: what the devices said against what the centre stored.
//!
//! It knows nothing of the gateway's inside. A chronometer's memory promises its
//! records; the centre holds events with content keys. A gauge without memory
//! promises nothing, but what is missing of it must lie in a declared gap.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use venue_schema::v1::{self, GapCause, event, gap};

use crate::device::Ledger;

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
    /// Distinct events that a device's memory promises.
    pub sent: u64,
    /// Those of them at the centre.
    pub delivered: u64,
    /// The difference, and events of devices without memory that were said once the
    /// gateway had begun to listen, and that no gap covers.
    pub lost: u64,
    /// Rows beyond the first.
    pub duplicated: u64,
    /// Rows against the device's order in a lane, back-fill apart.
    pub out_of_order: u64,
    /// Events of devices without memory that are missing, each covered by a gap.
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
pub(super) fn judge(witnesses: &[Witness], stored: &[Stored], disturbances: &Disturbances) -> Verdict {
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
    let (latency_ms, latency_ms_longest) = latency(witnesses, stored, disturbances);
    Verdict {
        ok: count.lost == 0 && count.duplicated == 0 && count.out_of_order == 0 && count.broken == 0,
        sent: count.sent,
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
            if !disturbances.iter().any(|(from, to)| (*from..=*to).contains(&line.left_utc_ns)) {
                undisturbed.push(milliseconds);
            }
        }
    }
    undisturbed.sort_by(f64::total_cmp);
    (Latency { p50: quantile(&undisturbed, 50), p99: quantile(&undisturbed, 99) }, longest)
}

/// A percentile of sorted values (nearest rank); 0 if there are none.
fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
