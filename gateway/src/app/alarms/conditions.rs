//! What is the case, by what `status` shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    alarm::{Alarm, Condition},
    app::{
        control::Control,
        metrics::certificates::{self, Certificate},
        status::{SourceStatus, Status, UplinkStatus},
    },
    config::Config,
};

/// How long before its end a certificate is an alarm, seconds.
const EXPIRES_SOON_S: i64 = 14 * 24 * 3600;

/// The state of the gateway at a moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    pub(super) status: Status,
    /// Results go into the reserve, or the disk is full.
    room_used_up: bool,
    /// Now, UTC seconds, if a date is known.
    now_utc_s: Option<i64>,
    /// Not read at every look.
    certificates: Option<Vec<Certificate>>,
}

impl Look {
    /// Looks at everything. Waits for a write of the journal that is under way.
    pub(super) fn take(control: &Control, with_certificates: bool) -> Self {
        let journal = control.journal.status();
        Self {
            status: control.status_of(&journal),
            room_used_up: journal.in_reserve || journal.disk_full || journal.lanes.results.full,
            now_utc_s: control.clock.stamp().utc_ns.map(|ns| ns / 1_000_000_000),
            certificates: with_certificates.then(|| certificates::of(&control.config())),
        }
    }
}

/// Tells from one look after another what is the case. Of what is only counted it is that the count rose.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    results_wait: Duration,
    /// Sources and topics of which somebody wants to know when they are not heard, whatever they carry.
    watched: BTreeSet<String>,
    lost: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    halts: u64,
    certificates: Vec<Certificate>,
}

impl Watcher {
    /// By this configuration from now on.
    pub(super) fn configure(&mut self, config: &Config) {
        let alarmed = config.sources.iter().filter(|source| source.silence_alarm.is_some()).map(|it| it.name.clone());
        let topics = config.mqtt.iter().flat_map(|mqtt| &mqtt.topics);
        let topics = topics.filter(|topic| topic.silence_alarm.is_some()).map(|it| it.name.clone());
        self.results_wait = config.alarm.results_wait;
        self.watched = alarmed.chain(topics).collect();
    }

    /// Whether the disk failed since the last time that this was asked.
    pub(super) fn halted_anew(&mut self, halts: u64) -> bool {
        std::mem::replace(&mut self.halts, halts) < halts
    }

    /// What is the case.
    pub(super) fn present(&mut self, look: &Look) -> BTreeSet<Alarm> {
        let Look { status, room_used_up, now_utc_s, certificates } = look;
        if let Some(certificates) = certificates {
            self.certificates.clone_from(certificates);
        }
        let mut present = BTreeSet::new();
        let mut note = |is_so: bool, alarm: Alarm| {
            if is_so {
                present.insert(alarm);
            }
        };
        note(status.journal.halted.is_some(), Alarm::new(Condition::JournalHalted));
        note(*room_used_up, Alarm::new(Condition::ResultsRoom));
        note(!status.clock.date_known, Alarm::new(Condition::DateUnknown));
        note(!status.configuration.refused.is_empty(), Alarm::new(Condition::ConfigurationRefused));
        for uplink in &status.uplinks {
            let refused = uplink.lanes.iter().any(|lane| lane.refused);
            note(refused, Alarm::of(Condition::UplinkRefused, &uplink.name));
            let waiting = counts(uplink, &status.uplinks) && self.waits_too_long(uplink);
            note(waiting, Alarm::of(Condition::ResultsWaiting, &uplink.name));
        }
        for source in &status.sources {
            let counts = source.carries_results || self.watched.contains(&source.name);
            let faulted = source.state == "stopped by a fault";
            let heard = source.state == "connected";
            note(counts && !heard && !faulted, Alarm::of(Condition::SourceNotHeard, &source.name));
            let unread = counts && heard && source.gap_since.is_some();
            note(unread, Alarm::of(Condition::SourceUnread, &source.name));
            let fault = rose(&mut self.faults, source, source.faults) || faulted;
            note(fault, Alarm::of(Condition::SourceFault, &source.name));
            note(rose(&mut self.lost, source, source.lost), Alarm::of(Condition::EventsLost, &source.name));
        }
        for Certificate { uplink, which, ends_utc_s } in &self.certificates {
            let soon = now_utc_s.is_some_and(|now| ends_utc_s - now <= EXPIRES_SOON_S);
            // No uplink can have a name with brackets.
            let of = uplink.as_deref().unwrap_or("[mqtt]");
            note(soon, Alarm::of(Condition::CertificateExpires, format!("{of}/{which}")));
        }
        present
    }

    fn waits_too_long(&self, uplink: &UplinkStatus) -> bool {
        let results = uplink.lanes.iter().find(|lane| lane.lane == "results");
        let age = results.and_then(|lane| lane.oldest_waiting_age_s);
        age.is_some_and(|seconds| seconds > self.results_wait.as_secs_f64())
    }
}

/// Whether an uplink's results count, as in the headline: those of required uplinks, if there are any.
fn counts(uplink: &UplinkStatus, all: &[UplinkStatus]) -> bool {
    uplink.required || all.iter().all(|uplink| !uplink.required)
}

fn rose(counts: &mut BTreeMap<String, u64>, source: &SourceStatus, count: u64) -> bool {
    counts.insert(source.name.clone(), count).unwrap_or(0) < count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::status::UplinkLaneStatus;

    const NOW_UTC_S: i64 = 1_795_862_537;

    fn watcher() -> Watcher {
        let text = "gateway = { id = \"gw-1\", venue = \"v\" }
[alarm]
results_wait = \"20s\"
[[source]]
name = \"wind\"
device = \"nmea\"
lane = \"telemetry\"
silence_alarm = \"10s\"
tcp = { connect = \"127.0.0.1:4001\" }
[mqtt]
broker = \"mqtt://127.0.0.1\"
[[mqtt.topic]]
name = \"humidity\"
device = \"ttn-v3\"
lane = \"telemetry\"
silence_alarm = \"1h\"
";
        let mut watcher = Watcher::default();
        watcher.configure(&Config::parse("site.toml", text, []).unwrap());
        watcher
    }

    fn source(name: &str, carries_results: bool) -> SourceStatus {
        SourceStatus {
            name: name.to_owned(),
            carries_results,
            state: "connected".to_owned(),
            ..SourceStatus::default()
        }
    }

    fn uplink(name: &str, required: bool) -> UplinkStatus {
        let lane = |lane: &str| UplinkLaneStatus { lane: lane.to_owned(), ..UplinkLaneStatus::default() };
        UplinkStatus {
            name: name.to_owned(),
            required,
            lanes: vec![lane("results"), lane("telemetry")],
            ..UplinkStatus::default()
        }
    }

    /// All is well.
    fn look() -> Look {
        let mut status = Status {
            sources: vec![
                source("finish", true),
                source("noise", false),
                source("wind", false),
                source("humidity", false),
            ],
            uplinks: vec![uplink("centre", true), uplink("second", false)],
            ..Status::default()
        };
        status.clock.date_known = true;
        let certificate = |ends_utc_s| Certificate { uplink: Some("centre".to_owned()), which: "gateway", ends_utc_s };
        let certificates = Some(vec![certificate(NOW_UTC_S + 15 * 24 * 3600)]);
        Look { status, room_used_up: false, now_utc_s: Some(NOW_UTC_S), certificates }
    }

    fn names(present: &BTreeSet<Alarm>) -> Vec<String> {
        present.iter().map(ToString::to_string).collect()
    }

    /// Each condition is there for what it is meant for, and for nothing else.
    #[test]
    fn each_condition_is_seen() {
        let check = |change: &dyn Fn(&mut Look), expected: &[&str]| {
            let mut look = look();
            change(&mut look);
            assert_eq!(names(&watcher().present(&look)), expected);
        };
        check(&|_| {}, &[]);
        check(&|it| it.status.journal.halted = Some("gone".to_owned()), &["journal_halted"]);
        check(&|it| it.room_used_up = true, &["results_room"]);
        check(&|it| it.status.clock.date_known = false, &["date_unknown"]);
        check(&|it| it.status.configuration.refused = vec!["line 7".to_owned()], &["configuration_refused"]);

        let waiting = |uplink: usize, lane: usize, seconds| {
            move |it: &mut Look| it.status.uplinks[uplink].lanes[lane].oldest_waiting_age_s = Some(seconds)
        };
        check(&waiting(0, 0, 20.0), &[]);
        check(&waiting(0, 0, 20.5), &["results_waiting/centre"]);
        check(&waiting(0, 1, 1000.0), &[]);
        check(&waiting(1, 0, 1000.0), &[]);
        let nothing_required = |it: &mut Look| {
            it.status.uplinks[0].required = false;
            waiting(1, 0, 1000.0)(it);
        };
        check(&nothing_required, &["results_waiting/second"]);
        check(&|it| it.status.uplinks[0].lanes.clear(), &[]);
        check(&|it| it.status.uplinks[1].lanes[1].refused = true, &["uplink_refused/second"]);

        let state = |source: usize, state: &'static str| {
            move |it: &mut Look| state.clone_into(&mut it.status.sources[source].state)
        };
        check(&state(0, "disconnected"), &["source_not_heard/finish"]);
        check(&state(0, "silent"), &["source_not_heard/finish"]);
        check(&state(1, "disconnected"), &[]);
        check(&state(2, "disconnected"), &["source_not_heard/wind"]);
        check(&state(3, "refused by the broker"), &["source_not_heard/humidity"]);
        check(&state(1, "stopped by a fault"), &["source_fault/noise"]);
        let unread = |source: usize| move |it: &mut Look| it.status.sources[source].gap_since = Some(String::new());
        check(&unread(0), &["source_unread/finish"]);
        check(&unread(1), &[]);
        let unread_and_dark = |it: &mut Look| {
            unread(0)(it);
            state(0, "disconnected")(it);
        };
        check(&unread_and_dark, &["source_not_heard/finish"]);

        let ends_in = |days: i64| {
            move |it: &mut Look| {
                it.certificates.as_mut().unwrap()[0].ends_utc_s = NOW_UTC_S + days * 24 * 3600;
            }
        };
        check(&ends_in(14), &["certificate_expires/centre/gateway"]);
        check(&ends_in(-1), &["certificate_expires/centre/gateway"]);
        let of_broker = |it: &mut Look| {
            let ends = Certificate { uplink: None, which: "ca", ends_utc_s: NOW_UTC_S };
            it.certificates.as_mut().unwrap().push(ends);
        };
        check(&of_broker, &["certificate_expires/[mqtt]/ca"]);
        let without_a_date = |it: &mut Look| {
            ends_in(-1)(it);
            it.now_utc_s = None;
        };
        check(&without_a_date, &[]);
    }

    /// A count is a condition while it rises: what was lost an hour ago is not lost now.
    #[test]
    fn a_count_that_rises_is_seen_once() {
        let mut watcher = watcher();
        let mut look = look();
        let mut see = |change: &dyn Fn(&mut SourceStatus)| {
            change(&mut look.status.sources[1]);
            names(&watcher.present(&look))
        };
        assert_eq!(see(&|_| {}), [""; 0]);
        assert_eq!(see(&|it| it.lost = 3), ["events_lost/noise"]);
        assert_eq!(see(&|_| {}), [""; 0]);
        assert_eq!(see(&|it| it.faults = 1), ["source_fault/noise"]);
        assert_eq!(see(&|it| it.lost = 4), ["events_lost/noise"]);
        assert_eq!([0, 1, 1, 2].map(|halts| watcher.halted_anew(halts)), [false, true, false, true]);
    }

    /// Certificates are not read at every look, and are known between.
    #[test]
    fn certificates_are_remembered_between_looks() {
        let mut watcher = watcher();
        let mut look = look();
        watcher.present(&look);
        look.certificates = None;
        look.now_utc_s = Some(NOW_UTC_S + 2 * 24 * 3600);
        assert_eq!(names(&watcher.present(&look)), ["certificate_expires/centre/gateway"]);
    }
}
