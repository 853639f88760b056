//! The control socket: `status`, `tail` and `journal release` of a running gateway.
//!
//! A Unix socket in the data directory. The client writes one request as a JSON
//! line; the answer is one JSON line, and a line an event for `tail`.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::watch,
};
use venue_journal::{Directory, Journal, Limits, ReadError, ReadItem, Storage};
use venue_schema::{
    Message as _, Sequence,
    v1::{self, Lane},
};

use super::{
    mqtt::Sessions,
    reload::InForce,
    sources::Sources,
    status::{ClockStatus, Facts, FormerUplinkStatus, JournalStatus, LaneStatus, Status, rfc3339},
    uplinks::{Uplinks, Waiting},
};
use crate::{
    clock::{BootId, Received, SystemClock},
    config::Config,
    event_json::{self, Instead},
};

/// Longest request, bytes.
const REQUEST_BYTES: u64 = 4 * 1024;
/// Clients served at a time; further ones wait in the listener's queue.
const CLIENTS: usize = 16;
/// So long a client may take to say what it asks.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// How often a following `tail` looks for new events.
const FOLLOW: Duration = Duration::from_millis(50);

/// Where the socket of a data directory is.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// What a client may ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// The state of the gateway.
    Status,
    /// Events as they become durable.
    Tail {
        /// Begin with the last so many of each lane.
        last: u64,
        /// Go on with new ones.
        follow: bool,
        /// Only this lane, by its name.
        lane: Option<String>,
    },
    /// Keep nothing for an uplink that the configuration has no longer; answered by [`Released`].
    Release {
        /// The uplink's name.
        uplink: String,
    },
}

/// How an uplink was let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Released {
    /// What it has not received, of each lane, is no longer kept for it.
    Released {
        /// The uplink's name.
        uplink: String,
        /// Durable results that it has not acknowledged.
        results: u64,
        /// Durable telemetry that it has not acknowledged.
        telemetry: u64,
    },
    /// Why it was not.
    Error(String),
}

/// Lets an uplink go that a configuration has no longer: what it has not received need not be kept for it.
pub fn release<S: Storage>(journal: &Journal<S>, config: &Config, uplink: &str) -> Released {
    if config.uplinks.iter().any(|configured| configured.name == uplink) {
        return Released::Error(format!(
            "the configuration has an uplink `{uplink}`, so it is not let go: take it out of the configuration first, or \
             give it `required = false`"
        ));
    }
    match journal.release_cursor(uplink) {
        Ok(waiting) => {
            Released::Released { uplink: uplink.to_owned(), results: waiting.results, telemetry: waiting.telemetry }
        }
        Err(error) => Released::Error(error.to_string()),
    }
}

/// What the control socket answers from.
#[derive(Clone)]
pub struct Control {
    pub(super) in_force: watch::Receiver<InForce>,
    pub(super) clock: Arc<SystemClock>,
    /// When the gateway started, on the clock that never steps.
    pub(super) started_at: Duration,
    pub(super) journal: Journal<Directory>,
    pub(super) sources: Arc<Sources>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) uplinks: Arc<Uplinks>,
}

impl Control {
    /// What the gateway runs by now.
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.in_force.borrow().config)
    }

    /// Makes the socket, in the place of one that a killed gateway left.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn bind(data_dir: &Path) -> io::Result<UnixListener> {
        let path = socket_path(data_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => UnixListener::bind(&path),
        }
    }

    /// Answers clients until dropped.
    pub async fn serve(self, listener: UnixListener) {
        let places = Arc::new(tokio::sync::Semaphore::new(CLIENTS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let control = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = control.answer(stream).await {
                            tracing::debug!(%error, "a client of the control socket went away");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket refused a client");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn answer(&self, stream: UnixStream) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut line = String::new();
        let mut request = BufReader::new(reader.take(REQUEST_BYTES));
        tokio::time::timeout(REQUEST_TIME, request.read_line(&mut line)).await??;
        match serde_json::from_str(&line) {
            Ok(Request::Status) => {
                let control = self.clone();
                let status = tokio::task::spawn_blocking(move || control.status()).await.map_err(io::Error::other)?;
                let mut answer = serde_json::to_vec(&status)?;
                answer.push(b'\n');
                writer.write_all(&answer).await
            }
            Ok(Request::Tail { lane: Some(lane), .. }) if Lane::ALL.iter().all(|it| it.name() != lane) => {
                writer.write_all(format!("{{\"error\":\"no lane is called {lane}\"}}\n").as_bytes()).await
            }
            Ok(Request::Tail { last, follow, lane }) => self.tail(&mut writer, last, follow, lane.as_deref()).await,
            Ok(Request::Release { uplink }) => {
                let control = self.clone();
                let released = move || release(&control.journal, &control.config(), &uplink);
                let released = tokio::task::spawn_blocking(released).await.map_err(io::Error::other)?;
                if let Released::Released { uplink, results, telemetry } = &released {
                    tracing::warn!(uplink, results, telemetry, "told to keep nothing any longer for a former uplink");
                }
                let mut answer = serde_json::to_vec(&released)?;
                answer.push(b'\n');
                writer.write_all(&answer).await
            }
            Err(error) => writer.write_all(format!("{{\"error\":\"not a request: {error}\"}}\n").as_bytes()).await,
        }
    }

    async fn tail(&self, writer: &mut OwnedWriteHalf, last: u64, follow: bool, only: Option<&str>) -> io::Result<()> {
        let wanted = Lane::ALL.into_iter().filter(|lane| only.is_none_or(|name| name == lane.name()));
        let mut lanes: Vec<TailLane> = wanted.map(|lane| TailLane::new(&self.journal, lane, last)).collect();
        loop {
            let mut wrote = false;
            for lane in &mut lanes {
                if let Some(text) = lane.read() {
                    wrote = true;
                    writer.write_all(text.as_bytes()).await?;
                }
            }
            match (wrote, follow) {
                (true, _) => {}
                // A client that is gone is noticed though there is nothing to tell it.
                (false, true) if writer.ready(Interest::WRITABLE).await?.is_write_closed() => return Ok(()),
                (false, true) => tokio::time::sleep(FOLLOW).await,
                (false, false) => return Ok(()),
            }
        }
    }

    /// The state of the gateway now.
    pub fn status(&self) -> Status {
        self.status_of(&self.journal.status())
    }

    /// The same with this state of the journal.
    pub(super) fn status_of(&self, journal: &venue_journal::Status) -> Status {
        let stamp = self.clock.stamp();
        let quality = self.clock.quality();
        let facts = self.facts(journal, stamp.utc_ns);
        let InForce { config, status: configuration } = self.in_force.borrow().clone();
        let (headline, well) = facts.headline(&config.gateway.timezone);
        Status {
            headline,
            all_results_delivered: well,
            running: true,
            gateway_id: config.gateway.id.to_string(),
            venue_id: config.gateway.venue.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taken_at: rfc3339(stamp.utc_ns),
            configuration,
            clock: ClockStatus {
                state: quality.sync_state.as_str_name().trim_start_matches("SYNC_STATE_").to_lowercase(),
                maximum_error_s: quality.maximum_error.map(|bound| bound.as_secs_f64()),
                date_known: quality.date_known,
            },
            journal: JournalStatus {
                epoch: self.journal.epoch().to_string(),
                lanes: Lane::ALL.into_iter().map(|lane| lane_status(lane, journal)).collect(),
                halted: journal.halted.clone(),
            },
            sources: [self.sources.status(stamp.monotonic), self.sessions.status(stamp.monotonic)].concat(),
            uplinks: self.uplinks.status(
                stamp.monotonic,
                |lane| journal.lanes[lane].last_durable,
                |lane, first| self.waiting(lane, first, &stamp),
            ),
            former_uplinks: self.former_uplinks(&config),
        }
    }

    /// Warns of uplinks that a configuration has no longer and that hold records back.
    pub(super) fn warn_of_former_uplinks(&self, config: &Config) {
        self.former_uplinks(config).iter().for_each(|former| tracing::warn!("uplink {former}"));
    }

    fn former_uplinks(&self, config: &Config) -> Vec<FormerUplinkStatus> {
        let durable = self.journal.watermarks();
        let disk_bytes = |lane, first| Some(self.journal.disk_bytes_from(lane, first));
        FormerUplinkStatus::among(&self.journal.cursors(), config, |lane| durable[lane], disk_bytes)
    }

    fn facts(&self, journal: &venue_journal::Status, now_utc_ns: Option<i64>) -> Facts {
        let results = &journal.lanes.results;
        let behind = self.uplinks.results_behind(results.last_durable);
        let oldest = match behind.waiting {
            // What is only staged came just now.
            0 => now_utc_ns,
            _ => self.time_of(Lane::Results, behind.acknowledged.next()).and_then(|time| time.receive_utc_ns),
        };
        Facts {
            stopped: false,
            now_utc_ns,
            stored: results.last_durable.0,
            waiting: behind.waiting,
            staged: results.last_staged.0 - results.last_durable.0,
            oldest_waiting_utc_ns: oldest,
            link: behind.link,
            delivering: behind.delivering,
            halted: journal.halted.clone(),
            full: results.full,
            lost: [self.sources.lost(), self.sessions.lost()].concat(),
            dark: [self.sources.dark(), self.sessions.dark()].concat(),
            unread: self.sources.unread(),
            no_uplink: self.uplinks.is_empty(),
        }
    }

    /// What waits in a lane from a record on.
    fn waiting(&self, lane: Lane, first: Sequence, now: &Received) -> Waiting {
        let time = self.time_of(lane, first);
        Waiting {
            since: time.as_ref().and_then(|time| time.receive_utc_ns).map(|utc_ns| rfc3339(Some(utc_ns))),
            age: age(time.as_ref(), now, &self.clock.boot_id(), self.started_at),
            disk_bytes: self.journal.disk_bytes_from(lane, first),
        }
    }

    /// The time of a record, or of what is declared in its place.
    fn time_of(&self, lane: Lane, sequence: Sequence) -> Option<v1::EventTime> {
        let mut reader = self.journal.reader(lane);
        let limits = Limits { records: 1, bytes: 1 };
        let read = match reader.read(sequence, limits) {
            // An uplink that is not required waits for what is gone, and gets what comes next.
            Err(ReadError::NotRetained { first_retained, .. }) => reader.read(first_retained, limits),
            read => read,
        };
        let event = match read {
            Ok(ReadItem::Records(run)) => run.events().next()?,
            Ok(ReadItem::Skipped { gap_event, .. }) => gap_event,
            Ok(ReadItem::End) | Err(_) => return None,
        };
        v1::Event::decode(event).ok()?.time
    }
}

/// How long ago something was received; where that is not to be known, since when the gateway knows of it.
fn age(time: Option<&v1::EventTime>, now: &Received, boot_id: &BootId, started_at: Duration) -> Duration {
    let by_date = |time: &v1::EventTime| {
        let ns = now.utc_ns?.saturating_sub(time.receive_utc_ns?);
        Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
    };
    match time {
        Some(time) if time.boot_id[..] == boot_id.0 => {
            now.monotonic.saturating_sub(Duration::from_nanos(time.receive_monotonic_ns))
        }
        time => time.and_then(by_date).unwrap_or_else(|| now.monotonic.saturating_sub(started_at)),
    }
}

fn lane_status(lane: Lane, journal: &venue_journal::Status) -> LaneStatus {
    let of = &journal.lanes[lane];
    LaneStatus {
        lane: lane.name().to_owned(),
        first_retained: of.first_retained.0,
        last_durable: of.last_durable.0,
        staged: of.last_staged.0 - of.last_durable.0,
        used_bytes: of.used_bytes,
        quota_bytes: of.quota_bytes,
        reserve_left_bytes: if lane == Lane::Results { journal.reserve_left_bytes } else { 0 },
        full: of.full,
    }
}

/// One lane of a `tail`.
struct TailLane {
    lane: Lane,
    reader: venue_journal::Reader<Directory>,
    next: Sequence,
}

impl TailLane {
    fn new(journal: &Journal<Directory>, lane: Lane, last: u64) -> Self {
        let durable = journal.watermarks()[lane];
        let first = Sequence(durable.0.saturating_sub(last) + 1);
        let next = first.max(journal.first_retained(lane)).max(Sequence(1));
        Self { lane, reader: journal.reader(lane), next }
    }

    /// What stands next, a JSON line an event; none at the end of what is durable.
    fn read(&mut self) -> Option<String> {
        let (lane, first) = (self.lane, self.next);
        let instead = |last, reason| event_json::line(&Err(Instead::range(lane, first, last, reason))) + "\n";
        match self.reader.read(first, Limits::BATCH) {
            Ok(ReadItem::Records(run)) => {
                self.next = run.last_sequence().next();
                let sequences = (run.first_sequence.0..).map(Sequence);
                let line = |(sequence, bytes): (_, Bytes)| event_json::line(&event_json::read(lane, sequence, &bytes));
                Some(sequences.zip(run.events()).map(|event| line(event) + "\n").collect())
            }
            Ok(ReadItem::Skipped { first, last, gap_event }) => {
                self.next = last.next();
                Some(event_json::line(&event_json::read(lane, first, &gap_event)) + "\n")
            }
            Err(ReadError::Damaged { last, .. }) => {
                self.next = last.next();
                Some(instead(last, "damaged on disk; it is set aside, and a gap says so"))
            }
            Err(ReadError::NotRetained { first_retained, .. }) => {
                self.next = first_retained;
                Some(instead(first_retained.previous(), "no longer stored"))
            }
            Ok(ReadItem::End) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was heard in this boot is as old as the clock that never steps says; what was heard before goes by the date;
    /// and where neither tells, it has waited since the gateway started at least.
    #[test]
    fn what_waits_has_an_age_whatever_is_known() {
        const BOOT: BootId = BootId([7; 16]);
        let heard = |boot: BootId, receive_utc_ns| v1::EventTime {
            boot_id: boot.0.to_vec().into(),
            receive_monotonic_ns: 60_000_000_000,
            receive_utc_ns,
            ..v1::EventTime::default()
        };
        let check = |time: Option<v1::EventTime>, utc_ns, seconds| {
            let now = Received { monotonic: Duration::from_secs(100), utc_ns };
            let age = age(time.as_ref(), &now, &BOOT, Duration::from_secs(90));
            assert_eq!(age, Duration::from_secs(seconds), "{time:?} at {utc_ns:?}");
        };
        let (second, before) = (1_000_000_000, BootId([6; 16]));
        // The date was set by an hour meanwhile.
        check(Some(heard(BOOT, Some(10 * second))), Some(3_650 * second), 40);
        check(Some(heard(before, Some(10 * second))), Some(3_650 * second), 3_640);
        check(Some(heard(before, Some(10 * second))), Some(5 * second), 0);
        check(Some(heard(before, Some(10 * second))), None, 10);
        check(Some(heard(before, None)), Some(3_650 * second), 10);
        check(None, Some(3_650 * second), 10);
    }
}
