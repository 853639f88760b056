//! A gateway with one of everything, as Prometheus reads it.

use std::time::Duration;

use venue_journal::Committed;

use super::*;
use crate::app::status::{ClockStatus, ConfigurationStatus, FormerLaneStatus, FormerUplinkStatus, UplinkStatus};

fn scrape() -> Scrape {
    let lane = UplinkLaneStatus {
        lane: "results".to_owned(),
        acknowledged: 40,
        backlog: 2,
        backlog_disk_bytes: Some(4_096),
        oldest_waiting_age_s: Some(61.5),
        in_flight: 1,
        refused: true,
        ..UplinkLaneStatus::default()
    };
    let source = SourceStatus {
        name: "finish".to_owned(),
        device: "alge-timy".to_owned(),
        device_id: "a \"quoted\" \\ name".to_owned(),
        carries_results: true,
        state: "silent".to_owned(),
        peer: Some("/dev/ttyUSB0".to_owned()),
        last_byte_at: Some("2026-11-28T09:45:37.25Z".to_owned()),
        bytes: 270,
        events: 10,
        possible_duplicates: 2,
        bad: [("bad_checksum".to_owned(), 3), ("new_kind".to_owned(), 1)].into(),
        ..SourceStatus::default()
    };
    let commits = CommitProgress::new(Duration::ZERO);
    let committed = Committed { results_count: 3, telemetry_count: 1, next: venue_journal::CommitDue::Idle };
    commits.committed(&committed, Duration::from_millis(250));
    commits.committed(&committed, Duration::from_secs(3));
    let lanes = venue_journal::PerLane::from_fn(|_| venue_journal::LaneStatus::default());
    Scrape {
        status: Status {
            gateway_id: "stade-1-a".to_owned(),
            venue_id: "stade-1".to_owned(),
            version: "0.1.0".to_owned(),
            configuration: ConfigurationStatus {
                taken_at: "2026-11-28T09:45:37Z".to_owned(),
                refused: vec!["site.toml:7:1: unknown key".to_owned()],
                ..ConfigurationStatus::default()
            },
            clock: ClockStatus { state: "holdover".to_owned(), maximum_error_s: None, date_known: true },
            sources: vec![source],
            uplinks: vec![UplinkStatus { name: "centre".to_owned(), lanes: vec![lane], ..UplinkStatus::default() }],
            former_uplinks: vec![FormerUplinkStatus {
                name: "archive".to_owned(),
                lanes: vec![FormerLaneStatus {
                    lane: "results".to_owned(),
                    backlog: 7,
                    backlog_disk_bytes: Some(8_192),
                }],
                ..FormerUplinkStatus::default()
            }],
            ..Status::default()
        },
        journal: venue_journal::Status {
            lanes,
            in_reserve: false,
            reserve_left_bytes: 0,
            reserve_bytes: 1_024,
            disk_full: false,
            halted: Some("fdatasync: Input/output error".to_owned()),
            trimmed_keys: 0,
        },
        commits: Arc::new(commits),
        certificates: vec![
            Certificate { uplink: Some("centre".to_owned()), which: "ca", ends_utc_s: 1_893_456_000 },
            Certificate { uplink: None, which: "ca", ends_utc_s: 1_924_992_000 },
        ],
        process: None,
    }
}

/// Names, types, labels and values of each kind of sample, as the format wants them.
#[test]
fn each_kind_of_sample_is_written_as_the_format_wants_it() {
    let text = scrape().encode();
    for line in [
        "venue_config_last_reload_successful 0",
        "venue_config_last_reload_success_timestamp_seconds 1795859137.0",
        "venue_config_restart_needed 0",
        "# TYPE venue_build_info gauge",
        "venue_build_info{gateway=\"stade-1-a\",venue=\"stade-1\",version=\"0.1.0\"} 1",
        "venue_source_info{source=\"finish\",device=\"alge-timy\",device_id=\"a \\\"quoted\\\" \\\\ name\",results=\"true\"} 1",
        "# HELP venue_source_received_bytes_total Bytes that came",
        "# TYPE venue_source_received_bytes_total counter",
        "venue_source_received_bytes_total{source=\"finish\"} 270",
        "venue_mqtt_possible_duplicates_total{lane=\"results\"} 2",
        "venue_mqtt_possible_duplicates_total{lane=\"telemetry\"} 0",
        "venue_source_bad_frames_total{source=\"finish\",kind=\"bad_checksum\"} 3",
        "venue_source_bad_frames_total{source=\"finish\",kind=\"bad_time\"} 0",
        "venue_source_bad_frames_total{source=\"finish\",kind=\"new_kind\"} 1",
        "venue_source_last_heard_timestamp_seconds{source=\"finish\"} 1795859137.25",
        "venue_source_connected{source=\"finish\"} 1",
        "venue_source_silent{source=\"finish\"} 1",
        "venue_source_gap_open{source=\"finish\"} 0",
        "venue_uplink_backlog_age_seconds{uplink=\"centre\",lane=\"results\"} 61.5",
        "venue_uplink_backlog_disk_bytes{uplink=\"centre\",lane=\"results\"} 4096",
        "venue_uplink_backlog_records{uplink=\"archive\",lane=\"results\"} 7",
        "venue_uplink_backlog_disk_bytes{uplink=\"archive\",lane=\"results\"} 8192",
        "venue_uplink_refused{uplink=\"centre\",lane=\"results\"} 1",
        "venue_uplink_certificate_expiry_timestamp_seconds{uplink=\"centre\",certificate=\"ca\"} 1893456000.0",
        "venue_mqtt_certificate_expiry_timestamp_seconds{certificate=\"ca\"} 1924992000.0",
        "venue_journal_committed_records_total{lane=\"results\"} 6",
        "venue_journal_committed_records_total{lane=\"telemetry\"} 2",
        "# TYPE venue_journal_commit_duration_seconds histogram",
        "venue_journal_commit_duration_seconds_bucket{le=\"0.1\"} 0",
        "venue_journal_commit_duration_seconds_bucket{le=\"0.25\"} 1",
        "venue_journal_commit_duration_seconds_bucket{le=\"1\"} 1",
        "venue_journal_commit_duration_seconds_bucket{le=\"+Inf\"} 2",
        "venue_journal_commit_duration_seconds_count 2",
        "venue_journal_commit_duration_seconds_sum 3.25",
        "venue_journal_halted 1",
        "venue_clock_synchronized 0",
    ] {
        assert!(text.lines().any(|it| it == line), "no line {line}\nin\n{text}");
    }
    // Nothing bounds the clock's error: that is no sample, not a 0.
    assert!(!text.contains("\nvenue_clock_maximum_error_seconds "), "{text}");
}
