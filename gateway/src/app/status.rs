//! What `status` shows: one line in the venue's words, then the detail.
//!
//! [`Status`] is also the documented shape of `status --json` and of the answer on
//! the control socket.

use std::{collections::BTreeMap, fmt};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use venue_journal::CursorSummary;
use venue_schema::{Sequence, v1::Lane};

use crate::config::Config;

/// State of a gateway at a moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Status {
    /// The first line.
    pub headline: String,
    /// Whether every result is at the centre, with nothing unheard or lost; the
    /// headline begins with `ALL RESULTS` exactly then.
    pub all_results_delivered: bool,
    /// Whether a process runs; false if this was read from the journal alone.
    pub running: bool,
    /// The gateway.
    pub gateway_id: String,
    /// The venue.
    pub venue_id: String,
    /// Version of the software; empty if no process runs.
    pub version: String,
    /// When this was taken, RFC 3339; empty while no date is known.
    pub taken_at: String,
    /// The configuration.
    pub configuration: ConfigurationStatus,
    /// The clock.
    pub clock: ClockStatus,
    /// The journal.
    pub journal: JournalStatus,
    /// Devices, in the order of the configuration.
    pub sources: Vec<SourceStatus>,
    /// Uplinks, in the order of the configuration.
    pub uplinks: Vec<UplinkStatus>,
    /// Uplinks that the configuration has no longer, and for which records are kept, by name.
    #[serde(default)]
    pub former_uplinks: Vec<FormerUplinkStatus>,
}

/// How the configuration file stands to what the gateway runs by.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// The file.
    pub file: String,
    /// When it was taken last, at the start or while the gateway runs, RFC 3339; empty while no date was known.
    pub taken_at: String,
    /// Why the file as it is now is refused, and what was taken before stays in force: the place, what is wrong, how to
    /// mend it. Empty if it is in force.
    pub refused: Vec<String>,
    /// Keys that have other values in the file, and take them at the next start.
    pub needs_restart: Vec<String>,
}

/// How well the gateway's clock is known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClockStatus {
    /// `synchronized`, `holdover` or `unsynchronized`.
    pub state: String,
    /// Bound of its error in seconds; absent if nothing bounds it.
    pub maximum_error_s: Option<f64>,
    /// Whether a date is known.
    pub date_known: bool,
}

/// State of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct JournalStatus {
    /// Its epoch, 32 hex digits.
    pub epoch: String,
    /// The lanes, results first.
    pub lanes: Vec<LaneStatus>,
    /// Why nothing can be made durable at the moment; absent if all is well.
    pub halted: Option<String>,
}

/// State of a lane of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LaneStatus {
    /// `results` or `telemetry`.
    pub lane: String,
    /// First sequence still stored.
    pub first_retained: u64,
    /// Last sequence on disk.
    pub last_durable: u64,
    /// Taken in and not yet on disk.
    pub staged: u64,
    /// Bytes used on disk, of the quota.
    pub used_bytes: u64,
    /// The quota.
    pub quota_bytes: u64,
    /// Bytes left of the reserve.
    pub reserve_left_bytes: u64,
    /// The quota or the disk is full.
    pub full: bool,
}

/// State of a source.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// Protocol.
    pub device: String,
    /// The device's id.
    pub device_id: String,
    /// Whether the headline counts on it: it carries results.
    pub carries_results: bool,
    /// `connected`, `disconnected`, `silent`, or `stopped by a fault` until it is
    /// started again by itself.
    pub state: String,
    /// The port or address that it is connected to.
    pub peer: Option<String>,
    /// Seconds since the last byte; absent if none came.
    pub last_byte_age_s: Option<f64>,
    /// When the last byte came, RFC 3339.
    pub last_byte_at: Option<String>,
    /// Bytes received.
    pub bytes: u64,
    /// Times that the line came up.
    pub connects: u64,
    /// Parity, framing and overrun errors of the line.
    pub line_errors: u64,
    /// Verified frames.
    pub frames: u64,
    /// Events appended.
    pub events: u64,
    /// Events that came again and were dropped.
    pub known: u64,
    /// Messages of a broker that may be stored twice: they have no key, and a process before this one may have stored
    /// them.
    pub possible_duplicates: u64,
    /// Rejected frames by kind.
    pub bad: std::collections::BTreeMap<String, u64>,
    /// Events not taken because the disk is full; the device keeps them.
    pub refused: u64,
    /// Events lost because even the reserve was full.
    pub lost: u64,
    /// What the device said from then on is not accounted for yet, RFC 3339, empty while no date was known; absent if
    /// all of it is.
    pub gap_since: Option<String>,
    /// Times that a fault of the program stopped it; it is started again by itself.
    pub faults: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// State of an uplink.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// Its name.
    pub name: String,
    /// Whether results are kept until its receiver has them.
    pub required: bool,
    /// The receiver that it is pinned to.
    pub receiver_id: Option<String>,
    /// Its lanes, results first.
    pub lanes: Vec<UplinkLaneStatus>,
}

/// An uplink that the configuration has no longer: what it has not received is kept for it until it comes back or is let go.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FormerUplinkStatus {
    /// Its name.
    pub name: String,
    /// What is kept for it of each lane.
    pub lanes: Vec<FormerLaneStatus>,
    /// How to mend it.
    pub help: String,
}

/// What is kept of a lane for a former uplink.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FormerLaneStatus {
    /// `results` or `telemetry`.
    pub lane: String,
    /// Durable here, and never acknowledged by it.
    pub backlog: u64,
    /// Disk that they hold, by whole segments, bytes; absent if no process runs.
    pub backlog_disk_bytes: Option<u64>,
}

impl FormerUplinkStatus {
    /// Those among a journal's cursors, by name. `last` is the last durable sequence of a lane, `disk_bytes` what all from one on holds.
    pub fn among(
        cursors: &[CursorSummary],
        config: &Config,
        last: impl Fn(Lane) -> Sequence,
        disk_bytes: impl Fn(Lane, Sequence) -> Option<u64>,
    ) -> Vec<Self> {
        let is_former =
            |cursor: &&CursorSummary| cursor.required && config.uplinks.iter().all(|uplink| uplink.name != cursor.name);
        let mut former: BTreeMap<&str, Vec<FormerLaneStatus>> = BTreeMap::new();
        for lane in Lane::ALL {
            for cursor in cursors.iter().filter(|cursor| cursor.lane == lane).filter(is_former) {
                let backlog = last(lane).0.saturating_sub(cursor.mark.0);
                let backlog_disk_bytes = if backlog > 0 { disk_bytes(lane, cursor.mark.next()) } else { Some(0) };
                let lane = lane.name().to_owned();
                former.entry(&cursor.name).or_default().push(FormerLaneStatus { lane, backlog, backlog_disk_bytes });
            }
        }
        let data_dir = config.gateway.data_dir.display();
        let help =
            |name: &str| format!("put it back, or let it go with `venue-gateway journal release {data_dir} {name}`");
        former.into_iter().map(|(name, lanes)| Self { name: name.to_owned(), lanes, help: help(name) }).collect()
    }
}

impl fmt::Display for FormerUplinkStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept: Vec<String> = self.lanes.iter().map(|it| format!("{} {}", it.backlog, it.lane)).collect();
        write!(f, "{} is no longer configured; kept for it: {}; {}", self.name, kept.join(", "), self.help)
    }
}

/// State of one lane of an uplink.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UplinkLaneStatus {
    /// `results` or `telemetry`.
    pub lane: String,
    /// In words.
    pub state: String,
    /// Whether records flow.
    pub delivering: bool,
    /// The receiver refuses, or is not the one it should be.
    pub refused: bool,
    /// The endpoint in use or tried next.
    pub endpoint: String,
    /// Last sequence that the receiver acknowledged.
    pub acknowledged: u64,
    /// Durable here and not acknowledged.
    pub backlog: u64,
    /// Disk that they hold, by whole segments, bytes; absent if no process runs.
    pub backlog_disk_bytes: Option<u64>,
    /// Receive time of the oldest of them, RFC 3339.
    pub oldest_waiting_at: Option<String>,
    /// Seconds since then, on the clock that never steps where it reaches back so far. Where no time tells, since the
    /// gateway started: it waits at least as long.
    pub oldest_waiting_age_s: Option<f64>,
    /// Sent and not acknowledged.
    pub in_flight: u64,
    /// Seconds since the last acknowledgement.
    pub last_acknowledgement_age_s: Option<f64>,
    /// What went wrong last, and how to mend it.
    pub last_error: Option<String>,
}

/// While records flow, one that has waited no longer than this is on its way, ns.
const ON_ITS_WAY_NS: i64 = 5_000_000_000;

/// What is wrong with a clock without a date, and how to mend it.
const DATE_NOT_KNOWN: &str =
    ", DATE NOT KNOWN: let chrony, ptp4l or timesyncd set it, or say `clock = \"trusted\"` if it is right";

/// What the headline is made from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// No gateway runs: this is what its journal tells.
    pub stopped: bool,
    /// Now, UTC ns, if a date is known; of a stopped gateway, when its last result came.
    pub now_utc_ns: Option<i64>,
    /// Results on disk, delivered or not.
    pub stored: u64,
    /// Results that are durable and not acknowledged.
    pub waiting: u64,
    /// Results taken in and not yet durable.
    pub staged: u64,
    /// Receive time of the oldest waiting result, UTC ns.
    pub oldest_waiting_utc_ns: Option<i64>,
    /// Why they wait; of a stopped gateway that is clear.
    pub link: String,
    /// Records flow: what waits is on its way.
    pub delivering: bool,
    /// Why nothing can be made durable.
    pub halted: Option<String>,
    /// There is no more room for results: the quota or the disk is full.
    pub full: bool,
    /// Sources of results that lost events since the start for want of room: name, and how many.
    pub lost: Vec<(String, u64)>,
    /// Sources of results that are not heard: name, and since when in UTC ns.
    pub dark: Vec<(String, Option<i64>)>,
    /// Sources of results that are heard, and what their devices said before is not read yet: name, and since when in
    /// UTC ns.
    pub unread: Vec<(String, Option<i64>)>,
    /// No uplink is configured.
    pub no_uplink: bool,
}

impl Facts {
    /// The first line, and whether all results are delivered: exactly then does it
    /// begin with `ALL RESULTS`. What a device says to nobody, and what was lost, is
    /// not delivered.
    pub fn headline(&self, zone: &TimeZone) -> (String, bool) {
        if let Some(why) = &self.halted {
            return (format!("RESULTS CANNOT BE MADE SAFE SINCE THE DISK FAILED: {why}"), false);
        }
        let troubles = self.troubles(zone);
        let delivered = !self.no_uplink && self.waiting + self.staged == 0;
        if delivered && troubles.is_empty() && !self.stopped {
            return (format!("ALL RESULTS {} ARE AT THE CENTRE{}", self.up_to_now(zone), self.without_a_date()), true);
        }
        let stopped = if self.stopped { "THE GATEWAY IS NOT RUNNING — " } else { "" };
        let but = match (troubles.is_empty(), self.stored + self.staged) {
            (true, _) => "",
            (false, 0) => " — ",
            (false, _) => " — BUT ",
        };
        (format!("{stopped}{}{but}{}", self.whereabouts(zone), troubles.join(", ")), false)
    }

    /// Where the results are, where that is not simply the centre.
    fn whereabouts(&self, zone: &TimeZone) -> String {
        let waiting = self.waiting + self.staged;
        let one = waiting == 1;
        if self.stored + self.staged == 0 {
            return "NO RESULT WAS HEARD YET".to_owned();
        }
        if self.no_uplink {
            return format!("{} STORED HERE; NO UPLINK IS CONFIGURED", are(waiting));
        }
        if waiting == 0 {
            return format!("RESULTS HEARD {} ARE AT THE CENTRE{}", self.up_to_now(zone), self.without_a_date());
        }
        if self.is_on_its_way() {
            let up_to = clock_face(zone, self.oldest_waiting_utc_ns);
            let verb = if one { "IS ON ITS" } else { "ARE ON THEIR" };
            return format!("RESULTS UP TO {up_to} ARE AT THE CENTRE, {waiting} {verb} WAY");
        }
        let verb = if one { "WAITS" } else { "WAIT" };
        let why = if self.stopped { String::new() } else { format!(": {}", self.link) };
        format!("{} {verb} HERE{}{why}", results(waiting), since(zone, self.oldest_waiting_utc_ns))
    }

    fn troubles(&self, zone: &TimeZone) -> Vec<String> {
        let full = self.full.then(|| "THE ROOM FOR RESULTS ON DISK IS FULL".to_owned());
        let lost = self.lost.iter().map(|(name, count)| {
            let were = if *count == 1 { "1 EVENT".to_owned() } else { format!("{count} EVENTS") };
            format!("{were} OF {name} LOST FOR WANT OF ROOM")
        });
        let dark = self.dark.iter().map(|(name, utc_ns)| format!("{name} IS NOT HEARD{}", since(zone, *utc_ns)));
        let unread = |(name, utc_ns): &(String, Option<i64>)| {
            format!("WHAT {name} SAID{} IS NOT READ YET", since(zone, *utc_ns))
        };
        full.into_iter().chain(lost).chain(dark).chain(self.unread.iter().map(unread)).collect()
    }

    fn up_to_now(&self, zone: &TimeZone) -> String {
        match self.now_utc_ns {
            Some(_) => format!("UP TO {}", clock_face(zone, self.now_utc_ns)),
            None if self.stopped => "BEFORE".to_owned(),
            None => "UP TO NOW".to_owned(),
        }
    }

    fn without_a_date(&self) -> &'static str {
        if self.now_utc_ns.is_some() { "" } else { " (THE TIME OF DAY IS NOT KNOWN)" }
    }

    /// Whether what waits is young, and records flow.
    fn is_on_its_way(&self) -> bool {
        match (self.delivering, self.now_utc_ns, self.oldest_waiting_utc_ns) {
            (true, Some(now), Some(oldest)) => now.saturating_sub(oldest) <= ON_ITS_WAY_NS,
            _ => false,
        }
    }
}

fn results(count: u64) -> String {
    if count == 1 { "1 RESULT".to_owned() } else { format!("{count} RESULTS") }
}

fn are(count: u64) -> String {
    format!("{} {}", results(count), if count == 1 { "IS" } else { "ARE" })
}

fn since(zone: &TimeZone, utc_ns: Option<i64>) -> String {
    utc_ns.map_or_else(String::new, |utc_ns| format!(" SINCE {}", clock_face(zone, Some(utc_ns))))
}

/// Local time of day of an instant, `hh:mm:ss`; `--:--:--` if there is none.
pub fn clock_face(zone: &TimeZone, utc_ns: Option<i64>) -> String {
    let timestamp = utc_ns.and_then(|ns| Timestamp::from_nanosecond(i128::from(ns)).ok());
    timestamp.map_or_else(|| "--:--:--".to_owned(), |it| zone.to_datetime(it).strftime("%H:%M:%S").to_string())
}

/// An instant in RFC 3339; empty if there is none.
pub fn rfc3339(utc_ns: Option<i64>) -> String {
    let timestamp = utc_ns.and_then(|ns| Timestamp::from_nanosecond(i128::from(ns)).ok());
    timestamp.map_or_else(String::new, |it| it.to_string())
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline)?;
        let running = if self.running { format!("version {}", self.version) } else { "NOT RUNNING".to_owned() };
        writeln!(f, "\ngateway   {} at {}, {running}", self.gateway_id, self.venue_id)?;
        if self.running {
            let bound =
                self.clock.maximum_error_s.map_or_else(|| "no bound".to_owned(), |s| format!("within {s:.3} s"));
            let date = if self.clock.date_known { "" } else { DATE_NOT_KNOWN };
            writeln!(f, "clock     {}, {bound}{date}", self.clock.state)?;
        }
        self.configuration.lines(f)?;
        for lane in &self.journal.lanes {
            let full = if lane.full { ", FULL" } else { "" };
            let held = match lane.last_durable {
                last if last < lane.first_retained => "nothing".to_owned(),
                last => format!("{} to {last}", lane.first_retained),
            };
            let (used, quota) = (bytes(lane.used_bytes), bytes(lane.quota_bytes));
            writeln!(f, "journal   {:<9}  {held} on disk, {used} of {quota}{full}", lane.lane)?;
        }
        self.sources.iter().try_for_each(|source| source.line(f))?;
        self.uplinks.iter().try_for_each(|uplink| uplink.lines(f))?;
        self.former_uplinks.iter().try_for_each(|former| writeln!(f, "uplink    {former}"))
    }
}

impl ConfigurationStatus {
    /// Nothing if all is well.
    fn lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, taken_at, refused, needs_restart } = self;
        if !refused.is_empty() {
            let taken_at = if taken_at.is_empty() { "before" } else { taken_at };
            writeln!(f, "config    {file} IS REFUSED; what was taken {taken_at} is in force")?;
            refused.iter().try_for_each(|why| writeln!(f, "          {why}"))?;
        }
        match needs_restart[..] {
            [] => Ok(()),
            _ => writeln!(f, "config    needs a restart: {}", needs_restart.join(", ")),
        }
    }
}

impl SourceStatus {
    fn line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = self.last_byte_age_s.map_or_else(|| "never heard".to_owned(), |age| format!("heard {age:.1} s ago"));
        let bad: u64 = self.bad.values().sum();
        write!(f, "source    {:<16} {:<12} {}, {age}, {} events", self.name, self.device, self.state, self.events)?;
        if self.known > 0 {
            write!(f, ", {} came again", self.known)?;
        }
        if self.possible_duplicates > 0 {
            write!(f, ", {} perhaps stored twice", self.possible_duplicates)?;
        }
        if bad > 0 {
            write!(f, ", {bad} broken frames")?;
        }
        if self.line_errors > 0 {
            write!(f, ", {} line errors", self.line_errors)?;
        }
        if self.lost > 0 {
            write!(f, ", {} LOST", self.lost)?;
        }
        if self.gap_since.is_some() {
            write!(f, ", not read to the end")?;
        }
        if self.faults > 0 {
            write!(f, ", {} FAULTS OF THE PROGRAM", self.faults)?;
        }
        writeln!(f)?;
        match &self.last_error {
            Some(error) if self.state != "connected" => writeln!(f, "          {error}"),
            _ => Ok(()),
        }
    }
}

impl UplinkStatus {
    fn lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for lane in &self.lanes {
            writeln!(
                f,
                "uplink    {:<16} {:<9} {}, acknowledged {}, {} waiting{}",
                self.name,
                lane.lane,
                lane.state,
                lane.acknowledged,
                lane.backlog,
                if lane.endpoint.is_empty() { String::new() } else { format!(" ({})", lane.endpoint) }
            )?;
            if let Some(error) = lane.last_error.as_ref().filter(|_| !lane.delivering) {
                writeln!(f, "          {error}")?;
            }
        }
        Ok(())
    }
}

fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS.into_iter().find(|(_, size)| count >= *size);
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    unit.map_or_else(|| format!("{count} B"), |(name, size)| format!("{:.1} {name}", count as f64 / size as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_859_137_000_000_000; // 2026-11-28T09:45:37Z

    fn headline(facts: &Facts) -> (String, bool) {
        facts.headline(&TimeZone::get("Europe/Paris").expect("bundled"))
    }

    /// The line that a results manager reads at 3 in the morning. It begins with
    /// `ALL RESULTS` exactly when scripts are told that all results are delivered.
    #[test]
    fn the_headline_says_what_the_venue_must_know() {
        let ago = |seconds: i64| Some(NOW - seconds * 1_000_000_000);
        let well = Facts { now_utc_ns: Some(NOW), stored: 40, ..Facts::default() };
        let cut = Facts {
            waiting: 12,
            oldest_waiting_utc_ns: ago(60),
            link: "no connection to the centre".to_owned(),
            ..well.clone()
        };
        let dark = vec![("finish-timer-a".to_owned(), ago(5))];
        let never = vec![("finish-timer-a".to_owned(), None), ("start-timer".to_owned(), ago(9))];
        let stopped = Facts { stopped: true, ..well.clone() };
        let states = [
            (well.clone(), "ALL RESULTS UP TO 10:45:37 ARE AT THE CENTRE"),
            (Facts { stored: 0, ..well.clone() }, "ALL RESULTS UP TO 10:45:37 ARE AT THE CENTRE"),
            (
                Facts { now_utc_ns: None, ..well.clone() },
                "ALL RESULTS UP TO NOW ARE AT THE CENTRE (THE TIME OF DAY IS NOT KNOWN)",
            ),
            (
                Facts { waiting: 2, oldest_waiting_utc_ns: ago(1), delivering: true, ..well.clone() },
                "RESULTS UP TO 10:45:36 ARE AT THE CENTRE, 2 ARE ON THEIR WAY",
            ),
            (
                Facts { staged: 1, oldest_waiting_utc_ns: ago(0), delivering: true, ..well.clone() },
                "RESULTS UP TO 10:45:37 ARE AT THE CENTRE, 1 IS ON ITS WAY",
            ),
            (cut.clone(), "12 RESULTS WAIT HERE SINCE 10:44:37: no connection to the centre"),
            (
                Facts { waiting: 1, stored: 1, oldest_waiting_utc_ns: None, ..cut.clone() },
                "1 RESULT WAITS HERE: no connection to the centre",
            ),
            (
                Facts { dark: dark.clone(), ..cut.clone() },
                "12 RESULTS WAIT HERE SINCE 10:44:37: no connection to the centre \
                 — BUT finish-timer-a IS NOT HEARD SINCE 10:45:32",
            ),
            (
                Facts { dark: dark.clone(), ..well.clone() },
                "RESULTS HEARD UP TO 10:45:37 ARE AT THE CENTRE — BUT finish-timer-a IS NOT HEARD SINCE 10:45:32",
            ),
            (
                Facts { unread: dark.clone(), ..well.clone() },
                "RESULTS HEARD UP TO 10:45:37 ARE AT THE CENTRE — BUT WHAT finish-timer-a SAID SINCE 10:45:32 IS NOT READ YET",
            ),
            (
                Facts { dark: never, stored: 0, ..well.clone() },
                "NO RESULT WAS HEARD YET — finish-timer-a IS NOT HEARD, start-timer IS NOT HEARD SINCE 10:45:28",
            ),
            (
                Facts { lost: vec![("finish-timer-a".to_owned(), 3)], full: true, ..well.clone() },
                "RESULTS HEARD UP TO 10:45:37 ARE AT THE CENTRE \
                 — BUT THE ROOM FOR RESULTS ON DISK IS FULL, 3 EVENTS OF finish-timer-a LOST FOR WANT OF ROOM",
            ),
            (
                Facts { no_uplink: true, waiting: 40, ..well.clone() },
                "40 RESULTS ARE STORED HERE; NO UPLINK IS CONFIGURED",
            ),
            (
                Facts { halted: Some("fdatasync: Input/output error".to_owned()), dark, ..cut },
                "RESULTS CANNOT BE MADE SAFE SINCE THE DISK FAILED: fdatasync: Input/output error",
            ),
            (stopped.clone(), "THE GATEWAY IS NOT RUNNING — RESULTS HEARD UP TO 10:45:37 ARE AT THE CENTRE"),
            (
                Facts { now_utc_ns: None, ..stopped.clone() },
                "THE GATEWAY IS NOT RUNNING — RESULTS HEARD BEFORE ARE AT THE CENTRE (THE TIME OF DAY IS NOT KNOWN)",
            ),
            (Facts { stored: 0, ..stopped.clone() }, "THE GATEWAY IS NOT RUNNING — NO RESULT WAS HEARD YET"),
            (
                Facts { waiting: 12, oldest_waiting_utc_ns: ago(60), ..stopped.clone() },
                "THE GATEWAY IS NOT RUNNING — 12 RESULTS WAIT HERE SINCE 10:44:37",
            ),
            (
                Facts { no_uplink: true, waiting: 1, stored: 1, ..stopped },
                "THE GATEWAY IS NOT RUNNING — 1 RESULT IS STORED HERE; NO UPLINK IS CONFIGURED",
            ),
        ];
        for (facts, expected) in states {
            let (line, delivered) = headline(&facts);
            assert_eq!(line, expected);
            assert_eq!(delivered, line.starts_with("ALL RESULTS"), "{line}");
        }
    }
}
