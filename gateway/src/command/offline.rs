//! A journal read without its gateway: what `status`, `tail` and `journal` show.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use venue_journal::{CursorSummary, Directory, OpenError, ReadOnlyJournal, StoredElement, Summary};
use venue_schema::{
    Sequence,
    v1::{self, Lane},
};

use crate::{
    app::{
        journal_path,
        status::{
            Facts, FormerUplinkStatus, JournalStatus, LaneStatus, Status, UplinkLaneStatus, UplinkStatus, rfc3339,
        },
    },
    config::{Config, UplinkConfig},
    event_json::{self, Instead},
};

/// The journal's directory: in a data directory, or itself.
pub(super) fn path(dir: &Path) -> PathBuf {
    let inner = journal_path(dir);
    if inner.is_dir() { inner } else { dir.to_owned() }
}

/// Opens the journal of a data directory, or the journal's own directory, for
/// reading. Takes no lock.
///
/// # Errors
/// If there is none, or it cannot be read.
pub(super) fn open(dir: &Path) -> anyhow::Result<ReadOnlyJournal<Directory>> {
    let path = path(dir);
    let directory = Directory::existing(&path)
        .with_context(|| format!("failed to open {}: name the gateway's data directory", path.display()))?;
    match ReadOnlyJournal::open(directory) {
        Ok(journal) => Ok(journal),
        Err(OpenError::NoJournal) => bail!("{} holds no journal: name the gateway's data directory", path.display()),
        Err(error) => Err(error).with_context(|| format!("failed to read the journal in {}", path.display())),
    }
}

/// The journal of a configuration.
fn open_configured(config: &Config) -> anyhow::Result<ReadOnlyJournal<Directory>> {
    let data_dir = &config.gateway.data_dir;
    if !journal_path(data_dir).is_dir() {
        bail!(
            "no gateway runs on {0}, and none ever stored anything there: start one with `venue-gateway run`, or \
             correct `gateway.data_dir`",
            data_dir.display()
        );
    }
    open(data_dir)
}

/// The state that the journal alone tells.
///
/// # Errors
/// If there is no journal, or it cannot be read.
pub(super) fn status(config: &Config) -> anyhow::Result<Status> {
    let journal = open_configured(config)?;
    let summary = journal.summary();
    let last_of = |lane| summary.lanes[lane].last;
    let former_uplinks = FormerUplinkStatus::among(&summary.cursors, config, last_of, |_, _| None);
    let is_present = |name: &&UplinkConfig| summary.cursors.iter().any(|cursor| cursor.name == name.name);
    let present = config.uplinks.iter().filter(is_present);
    let uplinks: Vec<UplinkStatus> = present.map(|of| uplink(&journal, &of.name)).collect();
    let mark = results_mark(config, summary);
    let last = summary.lanes.results.last;
    let waiting = last.0.saturating_sub(mark.0);
    let facts = Facts {
        stopped: true,
        now_utc_ns: received_at(&journal, Lane::Results, last),
        stored: last.0,
        waiting,
        oldest_waiting_utc_ns: (waiting > 0).then(|| received_at(&journal, Lane::Results, mark.next())).flatten(),
        no_uplink: config.uplinks.is_empty(),
        ..Facts::default()
    };
    let (headline, all_results_delivered) = facts.headline(&config.gateway.timezone);
    Ok(Status {
        headline,
        all_results_delivered,
        running: false,
        gateway_id: summary.gateway_id.clone(),
        venue_id: config.gateway.venue.clone(),
        version: String::new(),
        taken_at: String::new(),
        configuration: Default::default(),
        clock: Default::default(),
        journal: JournalStatus {
            epoch: summary.epoch.to_string(),
            lanes: Lane::ALL.into_iter().map(|lane| lane_status(config, summary, lane)).collect(),
            halted: None,
        },
        sources: Vec::new(),
        uplinks,
        former_uplinks,
    })
}

/// How far the results are at the receivers of the configuration, at the required ones
/// if there are any; 0 if one of them was never reached under this epoch.
fn results_mark(config: &Config, summary: &Summary) -> Sequence {
    let any_required = config.uplinks.iter().any(|uplink| uplink.required);
    let mark = |uplink: &UplinkConfig| {
        let is_its = |cursor: &&CursorSummary| {
            cursor.name == uplink.name && cursor.lane == Lane::Results && is_current(summary, cursor)
        };
        summary.cursors.iter().find(is_its).map_or(Sequence::ZERO, |cursor| cursor.mark)
    };
    let counted = config.uplinks.iter().filter(|uplink| uplink.required || !any_required);
    counted.map(mark).min().unwrap_or(Sequence::ZERO)
}

/// The last events of each lane, and what stands for those that cannot be shown.
///
/// # Errors
/// If there is no journal, or it cannot be read.
pub(super) fn tail(config: &Config, only: Option<&str>, last: u64) -> anyhow::Result<Vec<Result<v1::Event, Instead>>> {
    let journal = open_configured(config)?;
    let mut events = Vec::new();
    for lane in Lane::ALL.into_iter().filter(|lane| only.is_none_or(|name| name == lane.name())) {
        let end = journal.summary().lanes[lane].last;
        journal.visit(lane, Sequence(end.0.saturating_sub(last) + 1), end, |element| {
            events.push(event_json::read_element(lane, &element));
            ControlFlow::Continue(())
        })?;
    }
    Ok(events)
}

/// The bytes of an element's event: the record's own, or the one that stands for a
/// skipped range; none for damage.
pub(super) fn event_bytes(element: &StoredElement) -> Option<&[u8]> {
    match element {
        StoredElement::Record { event, .. } => Some(event),
        StoredElement::Skipped { gap_event, .. } => Some(gap_event),
        StoredElement::Damaged { .. } => None,
    }
}

fn is_current(summary: &Summary, cursor: &CursorSummary) -> bool {
    cursor.epoch == summary.epoch
}

fn uplink(journal: &ReadOnlyJournal<Directory>, name: &str) -> UplinkStatus {
    let summary = journal.summary();
    let cursors = summary.cursors.iter().filter(|cursor| cursor.name == name && is_current(summary, cursor));
    let lane = |cursor: &CursorSummary| {
        let backlog = summary.lanes[cursor.lane].last.0.saturating_sub(cursor.mark.0);
        let oldest = (backlog > 0).then(|| received_at(journal, cursor.lane, cursor.mark.next())).flatten();
        UplinkLaneStatus {
            lane: cursor.lane.name().to_owned(),
            state: "not running".to_owned(),
            acknowledged: cursor.mark.0,
            backlog,
            oldest_waiting_at: oldest.map(|utc_ns| rfc3339(Some(utc_ns))),
            ..UplinkLaneStatus::default()
        }
    };
    let receiver = summary.cursors.iter().find(|cursor| cursor.name == name);
    UplinkStatus {
        name: name.to_owned(),
        required: receiver.is_some_and(|cursor| cursor.required),
        receiver_id: receiver.and_then(|cursor| cursor.receiver_id.clone()),
        lanes: cursors.map(lane).collect(),
    }
}

fn lane_status(config: &Config, summary: &Summary, lane: Lane) -> LaneStatus {
    let of = &summary.lanes[lane];
    let quota = match lane {
        Lane::Telemetry => config.journal.telemetry.quota,
        Lane::Results | Lane::Unspecified => config.journal.results.quota,
    };
    LaneStatus {
        lane: lane.name().to_owned(),
        first_retained: of.first.0,
        last_durable: of.last.0,
        used_bytes: of.segments.iter().map(|segment| segment.bytes).sum(),
        quota_bytes: quota.as_bytes(),
        ..LaneStatus::default()
    }
}

fn received_at(journal: &ReadOnlyJournal<Directory>, lane: Lane, sequence: Sequence) -> Option<i64> {
    let mut received = None;
    let visited = journal.visit(lane, sequence, sequence, |element| {
        if let StoredElement::Record { receive_utc_ns, .. } = element {
            received = receive_utc_ns;
        }
        ControlFlow::Break(())
    });
    visited.ok().and(received)
}
