//! `/metrics`: the state of the gateway for Prometheus, in its text format and by its naming conventions.
//!
//! What `status` says and what is counted here is the same: all but the commit thread's figures, the certificates and the
//! process is made from a [`Status`]. Each metric has its row in docs/operations.md.

pub(super) mod certificates;
mod families;
mod process;

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, prometheus_text},
    registry::Registry,
};
use venue_devices::ErrorKind;
use venue_journal::LaneStatus;
use venue_schema::v1::Lane;

use self::{certificates::Certificate, families::Families, process::Process};
use super::{
    control::Control,
    progress::CommitProgress,
    status::{ConfigurationStatus, SourceStatus, Status, UplinkLaneStatus},
};

/// Kinds of bad frames that are there from the start, so that the first of a kind is seen as a rise.
const BAD: [ErrorKind; 7] = [
    ErrorKind::BadChecksum,
    ErrorKind::Truncated,
    ErrorKind::TooLong,
    ErrorKind::BadField,
    ErrorKind::BadTime,
    ErrorKind::BadLength,
    ErrorKind::BadEscape,
];

/// A metric's name, what it is, and its value for one of many things.
type Metric<T, V> = (&'static str, &'static str, fn(&T) -> V);

/// Everything at one moment.
#[derive(Debug)]
pub(super) struct Scrape {
    status: Status,
    journal: venue_journal::Status,
    commits: Arc<CommitProgress>,
    certificates: Vec<Certificate>,
    process: Option<Process>,
}

impl Scrape {
    /// What [`encode`](Self::encode) writes, as a media type.
    pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

    /// Looks at everything. Waits for a write of the journal that is under way.
    pub(super) fn take(control: &Control, commits: Arc<CommitProgress>) -> Self {
        let journal = control.journal.status();
        Self {
            status: control.status_of(&journal),
            journal,
            commits,
            certificates: certificates::of(&control.config()),
            process: Process::read(),
        }
    }

    /// What `status` shows.
    pub(super) fn status(&self) -> &Status {
        &self.status
    }

    /// The text that Prometheus reads.
    pub(super) fn encode(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("a text takes all that is written");
        text
    }

    fn gateway(&self, to: &mut Families<'_>) -> fmt::Result {
        let Status { gateway_id, venue_id, version, clock, .. } = &self.status;
        let labels = [("gateway", gateway_id.as_str()), ("venue", venue_id), ("version", version)];
        to.gauge("venue_build_info", "Which gateway this is; always 1", [(labels, 1_u64)])?;
        let delivered = u64::from(self.status.all_results_delivered);
        let help = "1 if every result is at the centre, every source of results is heard, and nothing was lost";
        to.gauge("venue_all_results_delivered", help, [([], delivered)])?;
        let in_step = u64::from(clock.state == "synchronized");
        to.gauge("venue_clock_synchronized", "1 if the kernel's clock is in step with UTC", [([], in_step)])?;
        let bound = clock.maximum_error_s.map(|seconds| ([], seconds));
        to.gauge(
            "venue_clock_maximum_error_seconds",
            "Bound of the clock's error; absent if nothing bounds it",
            bound,
        )?;
        let known = u64::from(clock.date_known);
        to.gauge("venue_clock_date_known", "1 if the date is known, and events carry it", [([], known)])
    }

    /// As Prometheus names them of its own configuration.
    fn configuration(&self, to: &mut Families<'_>) -> fmt::Result {
        let ConfigurationStatus { taken_at, refused, needs_restart, .. } = &self.status.configuration;
        let help = "1 if the configuration file is in force, 0 if it is refused and what was taken before stays";
        to.gauge("venue_config_last_reload_successful", help, [([], u64::from(refused.is_empty()))])?;
        let taken = taken_at.parse().ok().map(|at: Timestamp| ([], at.as_duration().as_secs_f64()));
        let help = "When the file was taken last; absent if no date was known";
        to.gauge("venue_config_last_reload_success_timestamp_seconds", help, taken)?;
        let help = "1 while the file has values that are taken at the next start";
        to.gauge("venue_config_restart_needed", help, [([], u64::from(!needs_restart.is_empty()))])
    }

    fn journal(&self, to: &mut Families<'_>) -> fmt::Result {
        let journal = &self.journal;
        let lanes = |of: &dyn Fn(Lane) -> u64| Lane::ALL.map(|lane| ([("lane", lane.name())], of(lane)));
        to.counter(
            "venue_journal_committed_records",
            "Records that became durable since the start",
            lanes(&|lane| self.commits.records(lane)),
        )?;
        to.histogram(
            "venue_journal_commit_duration_seconds",
            "Time to write and sync what waited: one fdatasync for each lane that had something",
            self.commits.duration(),
        )?;
        to.counter(
            "venue_journal_shed_records",
            "Records deleted for want of room before every required uplink had them; gaps declare them",
            lanes(&|lane| journal.lanes[lane].shed_records),
        )?;
        to.counter("venue_journal_halts", "Times that the disk failed", [([], self.commits.halts())])?;
        let of_lanes: [Metric<LaneStatus, u64>; 8] = [
            ("venue_journal_staged_records", "Records taken in and not yet on disk", |it| {
                it.last_staged.0 - it.last_durable.0
            }),
            ("venue_journal_staged_bytes", "The same in bytes", |it| it.staged_bytes),
            ("venue_journal_last_durable_sequence", "Last sequence on disk", |it| it.last_durable.0),
            ("venue_journal_first_retained_sequence", "First sequence that is still stored", |it| it.first_retained.0),
            ("venue_journal_used_bytes", "Disk in use, delivered records that are kept included", |it| it.used_bytes),
            ("venue_journal_quota_bytes", "Disk that the lane may use", |it| it.quota_bytes),
            ("venue_journal_full", "1 while senders that keep what is not acknowledged are refused", |it| {
                it.full.into()
            }),
            ("venue_journal_losing", "1 while events are lost, and counted, for want of room", |it| it.losing.into()),
        ];
        for (name, help, of) in of_lanes {
            to.gauge(name, help, lanes(&|lane| of(&journal.lanes[lane])))?;
        }
        for (name, help, value) in [
            ("venue_journal_reserve_bytes", "The reserve of the results lane when it is whole", journal.reserve_bytes),
            ("venue_journal_reserve_left_bytes", "What is ready of it", journal.reserve_left_bytes),
            ("venue_journal_in_reserve", "1 while results go into the reserve", u64::from(journal.in_reserve)),
            ("venue_journal_disk_full", "1 if the file system had no space", u64::from(journal.disk_full)),
            ("venue_journal_halted", "1 while nothing can be made durable", u64::from(journal.halted.is_some())),
        ] {
            to.gauge(name, help, [([], value)])?;
        }
        Ok(())
    }

    fn sources(&self, to: &mut Families<'_>) -> fmt::Result {
        let sources = || self.status.sources.iter();
        let info = sources().map(|it| {
            let results = if it.carries_results { "true" } else { "false" };
            let labels = [
                ("source", it.name.as_str()),
                ("device", &it.device),
                ("device_id", &it.device_id),
                ("results", results),
            ];
            (labels, 1_u64)
        });
        to.gauge("venue_source_info", "What the source is; always 1", info)?;
        let counters: [Metric<SourceStatus, u64>; 9] = [
            ("venue_source_received_bytes", "Bytes that came", |it| it.bytes),
            ("venue_source_frames", "Frames found and verified", |it| it.frames),
            ("venue_source_events", "Events stored", |it| it.events),
            ("venue_source_known_events", "Events that came again, and were dropped", |it| it.known),
            ("venue_source_refused_events", "Events not taken for want of room; the device keeps them", |it| {
                it.refused
            }),
            ("venue_source_lost_events", "Events lost for want of room; a gap declares them", |it| it.lost),
            ("venue_source_line_errors", "Parity, framing and overrun errors of the line", |it| it.line_errors),
            ("venue_source_connects", "Times that the line came up", |it| it.connects),
            ("venue_source_faults", "Times that a fault of the program stopped the source", |it| it.faults),
        ];
        for (name, help, of) in counters {
            to.counter(name, help, sources().map(|it| ([("source", it.name.as_str())], of(it))))?;
        }
        let possible_duplicates = |lane: Lane| {
            let of_lane = sources().filter(|it| it.carries_results == (lane == Lane::Results));
            ([("lane", lane.name())], of_lane.map(|it| it.possible_duplicates).sum::<u64>())
        };
        let help = "MQTT messages without a key that may be stored twice after a kill of the gateway";
        to.counter("venue_mqtt_possible_duplicates", help, Lane::ALL.map(possible_duplicates))?;
        let bad = sources().flat_map(|it| {
            let mut kinds: BTreeMap<_, _> = BAD.map(|kind| (kind.name(), 0)).into();
            kinds.extend(it.bad.iter().map(|(kind, count)| (kind.as_str(), *count)));
            kinds.into_iter().map(|(kind, count)| ([("source", it.name.as_str()), ("kind", kind)], count))
        });
        to.counter("venue_source_bad_frames", "Frames that were rejected, by kind", bad)?;
        let heard = sources().filter_map(|it| {
            let at: Timestamp = it.last_byte_at.as_ref()?.parse().ok()?;
            Some(([("source", it.name.as_str())], at.as_duration().as_secs_f64()))
        });
        let help = "When the last byte came; absent if none did, or no date was known";
        to.gauge("venue_source_last_heard_timestamp_seconds", help, heard)?;
        let states: [Metric<SourceStatus, bool>; 3] = [
            ("venue_source_connected", "1 if the line is up; of an MQTT topic, if it is subscribed", |it| {
                matches!(it.state.as_str(), "connected" | "silent")
            }),
            ("venue_source_silent", "1 if it was silent for longer than its silence_alarm", |it| it.state == "silent"),
            ("venue_source_gap_open", "1 while what the device said is not all accounted for", |it| {
                it.gap_since.is_some()
            }),
        ];
        for (name, help, of) in states {
            to.gauge(name, help, sources().map(|it| ([("source", it.name.as_str())], u64::from(of(it)))))?;
        }
        Ok(())
    }

    fn uplinks(&self, to: &mut Families<'_>) -> fmt::Result {
        let info = self.status.uplinks.iter().map(|it| {
            let required = if it.required { "true" } else { "false" };
            ([("uplink", it.name.as_str()), ("required", required)], 1_u64)
        });
        to.gauge("venue_uplink_info", "What the uplink is; always 1", info)?;
        let lanes = || {
            self.status.uplinks.iter().flat_map(|uplink| {
                let name = uplink.name.as_str();
                uplink.lanes.iter().map(move |lane| ([("uplink", name), ("lane", lane.lane.as_str())], lane))
            })
        };
        // What a former uplink has not received takes up the journal's room as well.
        let backlogs = || {
            let former = self.status.former_uplinks.iter().flat_map(|uplink| {
                let labels = |lane| [("uplink", uplink.name.as_str()), ("lane", lane)];
                uplink.lanes.iter().map(move |it| (labels(it.lane.as_str()), it.backlog, it.backlog_disk_bytes))
            });
            lanes().map(|(labels, it)| (labels, it.backlog, it.backlog_disk_bytes)).chain(former)
        };
        to.gauge(
            "venue_uplink_backlog_records",
            "Records that are durable here and not acknowledged",
            backlogs().map(|(labels, records, _)| (labels, records)),
        )?;
        to.gauge(
            "venue_uplink_backlog_disk_bytes",
            "Disk that they hold, by whole segments",
            backlogs().map(|(labels, _, bytes)| (labels, bytes.unwrap_or(0))),
        )?;
        let of_lanes: [Metric<UplinkLaneStatus, u64>; 4] = [
            ("venue_uplink_in_flight_records", "Records sent and not acknowledged", |it| it.in_flight),
            ("venue_uplink_acknowledged_sequence", "Last sequence that the receiver has", |it| it.acknowledged),
            ("venue_uplink_delivering", "1 if records may flow", |it| it.delivering.into()),
            ("venue_uplink_refused", "1 if the receiver refuses; everything is kept", |it| it.refused.into()),
        ];
        for (name, help, of) in of_lanes {
            to.gauge(name, help, lanes().map(|(labels, lane)| (labels, of(lane))))?;
        }
        to.gauge(
            "venue_uplink_backlog_age_seconds",
            "How long the oldest record that is not acknowledged has waited; 0 if none waits",
            lanes().map(|(labels, lane)| (labels, lane.oldest_waiting_age_s.unwrap_or(0.0))),
        )?;
        let certificates = || self.certificates.iter().map(|it| (it, it.ends_utc_s as f64));
        let of_uplinks = certificates()
            .filter_map(|(it, ends)| Some(([("uplink", it.uplink.as_deref()?), ("certificate", it.which)], ends)));
        let of_broker = certificates().filter(|(it, _)| it.uplink.is_none());
        let of_broker = of_broker.map(|(it, ends)| ([("certificate", it.which)], ends));
        let help = "When the first certificate of the file ends; absent if the file cannot be read";
        to.gauge("venue_uplink_certificate_expiry_timestamp_seconds", help, of_uplinks)?;
        to.gauge("venue_mqtt_certificate_expiry_timestamp_seconds", help, of_broker)
    }

    fn process(&self, to: &mut Families<'_>) -> fmt::Result {
        let Some(process) = &self.process else { return Ok(()) };
        to.counter("process_cpu_seconds", "CPU time, of user and system", [([], process.cpu_seconds)])?;
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory in use", process.resident_bytes as f64),
            ("process_open_fds", "Open file descriptors", process.open_fds as f64),
            ("process_start_time_seconds", "When the process started, since 1970", process.started_utc_s),
        ] {
            to.gauge(name, help, [([], value)])?;
        }
        let most = process.max_fds.map(|most| ([], most));
        to.gauge("process_max_fds", "Most file descriptors that may be open", most)
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        self.gateway(&mut families)?;
        self.configuration(&mut families)?;
        self.journal(&mut families)?;
        self.sources(&mut families)?;
        self.uplinks(&mut families)?;
        self.process(&mut families)
    }
}

#[cfg(test)]
mod tests;
