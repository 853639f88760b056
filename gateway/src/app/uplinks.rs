//! The uplinks of a configuration, on a thread of their own.

use std::{
    io,
    num::NonZeroUsize,
    sync::{Arc, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet};
use venue_delivery::{
    Sender,
    sender::{LinkState, SenderConfig, Status, Tuning},
};
use venue_journal::{Journal, Storage, Watermarks};
use venue_schema::{Sequence, v1::Lane};

use super::{
    host::{Ending, JournalLane, SharedLink},
    pulse::Beat,
    random_epoch,
    records::LaneRecords,
    spawn,
    status::{UplinkLaneStatus, UplinkStatus},
};
use crate::{
    clock::SystemClock,
    config::{Config, UplinkConfig},
    uplink::{self, LaneSignals, LaneUplink},
};

/// Delay before an uplink that could not be set up is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What waits in a lane, from its oldest record on.
pub(super) struct Waiting {
    /// When that was received, RFC 3339.
    pub(super) since: Option<String>,
    /// How long ago that is, or at least is.
    pub(super) age: Duration,
    /// Disk that it all holds, by whole segments.
    pub(super) disk_bytes: u64,
}

/// All uplinks, as status reads them.
pub(super) struct Uplinks(watch::Sender<Vec<Arc<Link>>>);

struct Link {
    config: UplinkConfig,
    results: SharedLink,
    telemetry: SharedLink,
}

impl Link {
    fn new(config: UplinkConfig) -> Self {
        Self { config, results: SharedLink::default(), telemetry: SharedLink::default() }
    }

    fn lane(&self, lane: Lane) -> &SharedLink {
        match lane {
            Lane::Telemetry => &self.telemetry,
            Lane::Results | Lane::Unspecified => &self.results,
        }
    }

    fn snapshot(&self, lane: Lane) -> Option<Status> {
        self.lane(lane).lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn results_behind(&self, durable: Sequence) -> Behind {
        let Some(status) = self.snapshot(Lane::Results) else { return Behind::entirely(durable) };
        Behind {
            // Counted from the journal: the uplink may not yet know of what became durable just now.
            waiting: durable.0.saturating_sub(status.acknowledged.0),
            acknowledged: status.acknowledged,
            delivering: status.state == LinkState::Delivering,
            link: describe(&status),
        }
    }
}

impl Uplinks {
    /// The uplinks of a configuration; they run once [`start`] was called.
    pub(super) fn new(config: &Config) -> Self {
        let uplinks = Self(watch::Sender::default());
        uplinks.configure(config);
        uplinks
    }

    /// Those of another configuration from now on. What is the same in both goes on.
    pub(super) fn configure(&self, config: &Config) {
        self.0.send_modify(|links| {
            let link = |config: &UplinkConfig| {
                let same = links.iter().find(|link| link.config == *config).map(Arc::clone);
                same.unwrap_or_else(|| Arc::new(Link::new(config.clone())))
            };
            *links = config.uplinks.iter().map(link).collect();
        });
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.0.borrow().clone()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Whether every uplink has acknowledged what `durable` says of each lane.
    pub(super) fn delivered(&self, durable: impl Fn(Lane) -> Sequence) -> bool {
        let lane_is =
            |link: &Link, lane| link.snapshot(lane).is_some_and(|status| status.acknowledged >= durable(lane));
        self.links().iter().all(|link| Lane::ALL.into_iter().all(|lane| lane_is(link, lane)))
    }

    /// The results lane's state that is furthest behind of what is `durable`, among
    /// required uplinks if there are any: how many wait, and why. Without an uplink
    /// everything waits.
    pub(super) fn results_behind(&self, durable: Sequence) -> Behind {
        let links = self.links();
        let any_required = links.iter().any(|link| link.config.required);
        let counts = |link: &&Arc<Link>| link.config.required || !any_required;
        let behind = links.iter().filter(counts).map(|link| link.results_behind(durable));
        behind.max_by_key(|behind| behind.waiting).unwrap_or_else(|| Behind::entirely(durable))
    }

    /// State of every uplink at `now`, behind what `durable` says of each lane; `waiting` tells what waits from a record
    /// on.
    pub(super) fn status(
        &self,
        now: Duration,
        durable: impl Fn(Lane) -> Sequence,
        waiting: impl Fn(Lane, Sequence) -> Waiting,
    ) -> Vec<UplinkStatus> {
        let lane_status = |link: &Link, lane: Lane| {
            let status = link.snapshot(lane)?;
            // As the headline counts: what became durable since is of the next status.
            let backlog = durable(lane).0.saturating_sub(status.acknowledged.0);
            let waiting = (backlog > 0).then(|| waiting(lane, status.acknowledged.next()));
            Some(UplinkLaneStatus {
                lane: lane.name().to_owned(),
                state: status.state.to_string(),
                delivering: status.state == LinkState::Delivering,
                refused: matches!(status.state, LinkState::Refused { .. }),
                endpoint: link.config.endpoints.get(status.endpoint).map(ToString::to_string).unwrap_or_default(),
                acknowledged: status.acknowledged.0,
                backlog,
                backlog_disk_bytes: Some(waiting.as_ref().map_or(0, |it| it.disk_bytes)),
                oldest_waiting_age_s: waiting.as_ref().map(|it| it.age.as_secs_f64()),
                oldest_waiting_at: waiting.and_then(|it| it.since),
                in_flight: status.in_flight,
                last_acknowledgement_age_s: status.last_acknowledgement.map(|at| now.saturating_sub(at).as_secs_f64()),
                last_error: status.last_error.map(|error| error.message),
            })
        };
        let uplink = |link: &Arc<Link>| UplinkStatus {
            name: link.config.name.clone(),
            required: link.config.required,
            receiver_id: link.snapshot(Lane::Results).and_then(|status| status.receiver_id),
            lanes: Lane::ALL.into_iter().filter_map(|lane| lane_status(link, lane)).collect(),
        };
        self.links().iter().map(uplink).collect()
    }
}

/// How far the results of an uplink are behind.
pub(super) struct Behind {
    /// Durable here and not acknowledged.
    pub(super) waiting: u64,
    /// Last sequence that is acknowledged.
    pub(super) acknowledged: Sequence,
    /// Whether records flow.
    pub(super) delivering: bool,
    /// Where the link stands, and why.
    pub(super) link: String,
}

impl Behind {
    /// Nothing is acknowledged yet, as far as is known.
    fn entirely(durable: Sequence) -> Self {
        Self {
            waiting: durable.0,
            acknowledged: Sequence::ZERO,
            delivering: false,
            link: "the uplink starts".to_owned(),
        }
    }
}

fn describe(status: &Status) -> String {
    match (&status.state, &status.last_error) {
        // Somebody has to do something: the line says what.
        (state @ LinkState::Refused { .. }, Some(error)) => format!("{state}: {}", error.message),
        (state, _) => state.to_string(),
    }
}

/// Starts the thread that delivers, and shows by `beat` that it comes round. `last_found` is what opening the journal
/// found.
///
/// # Errors
/// If the system gives none.
pub(super) fn start<S: Storage>(
    uplinks: Arc<Uplinks>,
    journal: Journal<S>,
    clock: Arc<SystemClock>,
    durable: watch::Receiver<Watermarks>,
    last_found: Watermarks,
    beat: Arc<Beat>,
    stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    spawn("uplink", move || {
        runtime.block_on(async {
            tokio::select! {
                () = deliver(&uplinks, &journal, &clock, &durable, last_found, &beat, stop) => {}
                () = beat.keep(&clock) => {}
            }
        });
        // A look-up of a name that nobody answers is not waited for.
        runtime.shutdown_background();
    })
}

/// Delivers under one journal epoch after another until told to stop.
async fn deliver<S: Storage>(
    uplinks: &Uplinks,
    journal: &Journal<S>,
    clock: &Arc<SystemClock>,
    durable: &watch::Receiver<Watermarks>,
    mut last_found: Watermarks,
    beat: &Beat,
    mut stop: watch::Receiver<bool>,
) {
    let mut configured = uplinks.0.subscribe();
    while !*stop.borrow() {
        let (ending, mut ended) = watch::channel(Ending::No);
        let mut tasks = JoinSet::new();
        let lanes = Lanes::follow(durable.clone(), last_found, &mut tasks);
        let mut running = Vec::new();
        while !*stop.borrow() && *ended.borrow() == Ending::No {
            let links = configured.borrow_and_update().clone();
            // First those that are gone: one that takes its place has its cursor.
            keep(&mut running, &links).await;
            let mut failed = false;
            for link in links {
                if running.iter().any(|(runs, _)| Arc::ptr_eq(runs, &link)) {
                    continue;
                }
                match lanes.deliver(&link, journal, clock, &stop, &ending) {
                    Ok(tasks) => running.push((link, tasks)),
                    Err(error) => {
                        tracing::error!(uplink = link.config.name, %error, "the uplink's cursor cannot be used");
                        failed = true;
                    }
                }
            }
            tokio::select! {
                _ = ended.changed() => {}
                _ = stop.changed() => {}
                Ok(()) = configured.changed() => {}
                () = tokio::time::sleep(RETRY), if failed => {}
            }
        }
        keep(&mut running, &[]).await;
        tasks.shutdown().await;
        let ended = *ended.borrow();
        match ended {
            _ if *stop.borrow() => {}
            Ending::No => {}
            Ending::AwaitRoom => tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                _ = stop.changed() => {}
            },
            Ending::NewEpoch => {
                beat.excuse();
                begin_epoch(journal, clock).await;
                last_found = Watermarks::default();
            }
        }
    }
}

/// Ends the tasks of all links but these.
async fn keep(running: &mut Vec<(Arc<Link>, JoinSet<()>)>, links: &[Arc<Link>]) {
    let is_gone = |(link, _): &mut (Arc<Link>, _)| !links.iter().any(|kept| Arc::ptr_eq(kept, link));
    for (_, mut tasks) in running.extract_if(.., is_gone).collect::<Vec<_>>() {
        tasks.shutdown().await;
    }
}

/// Begins a new journal epoch; what no receiver acknowledged is sent under it.
async fn begin_epoch<S: Storage>(journal: &Journal<S>, clock: &SystemClock) {
    let begun = random_epoch()
        .map_err(|error| error.to_string())
        .and_then(|epoch| journal.new_epoch(epoch, clock.monotonic()).map_err(|error| error.to_string()));
    match begun {
        Ok(_) => tracing::warn!(epoch = %journal.epoch(), "a new journal epoch has begun"),
        Err(error) => {
            tracing::error!(error, "a new journal epoch could not be begun; tried again");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// What the lanes of all uplinks listen to.
struct Lanes {
    results: watch::Receiver<Sequence>,
    telemetry: watch::Receiver<Sequence>,
    last_found: Watermarks,
}

impl Lanes {
    /// Splits the watermarks, so that a lane wakes only for its own.
    fn follow(mut durable: watch::Receiver<Watermarks>, last_found: Watermarks, tasks: &mut JoinSet<()>) -> Self {
        let marks = *durable.borrow_and_update();
        let (results, results_seen) = watch::channel(marks.results);
        let (telemetry, telemetry_seen) = watch::channel(marks.telemetry);
        tasks.spawn(async move {
            while durable.changed().await.is_ok() {
                let marks = *durable.borrow_and_update();
                let moved = |lane: &watch::Sender<Sequence>, mark| {
                    lane.send_if_modified(|known| std::mem::replace(known, mark) != mark);
                };
                moved(&results, marks.results);
                moved(&telemetry, marks.telemetry);
            }
        });
        Self { results: results_seen, telemetry: telemetry_seen, last_found }
    }

    /// Starts both lanes of an uplink.
    fn deliver<S: Storage>(
        &self,
        link: &Link,
        journal: &Journal<S>,
        clock: &Arc<SystemClock>,
        stop: &watch::Receiver<bool>,
        ending: &watch::Sender<Ending>,
    ) -> Result<JoinSet<()>, venue_journal::CursorError> {
        let mut tasks = JoinSet::new();
        let (waiting, results_backlog) = watch::channel(false);
        let mut waiting = Some(waiting);
        for lane in Lane::ALL {
            let cursor =
                journal.cursor(&link.config.name, link.config.receiver_id.as_deref(), lane, link.config.required)?;
            let config = sender_config(link, journal, lane, cursor.receiver_id());
            let records = LaneRecords::new(journal.clone(), cursor);
            let (durable, results_backlog) = match lane {
                Lane::Telemetry => (self.telemetry.clone(), Some(results_backlog.clone())),
                Lane::Results | Lane::Unspecified => (self.results.clone(), None),
            };
            let sender = Sender::new(config, records.mark(), *durable.borrow(), clock.monotonic());
            let host = JournalLane {
                records,
                clock: Arc::clone(clock),
                link: Arc::clone(link.lane(lane)),
                backlog: if lane == Lane::Results { waiting.take() } else { None },
                last_found: self.last_found[lane],
                ending: ending.clone(),
            };
            let target = LaneUplink { endpoints: link.config.endpoints.clone(), tls: link.config.tls.clone() };
            let signals = LaneSignals { durable, results_backlog, stop: stop.clone() };
            tasks.spawn(uplink::run(target, sender, host, signals));
        }
        Ok(tasks)
    }
}

fn sender_config<S: Storage>(
    link: &Link,
    journal: &Journal<S>,
    lane: Lane,
    receiver_id: Option<String>,
) -> SenderConfig {
    let gateway_id = journal.gateway_id();
    SenderConfig {
        journal_epoch: journal.epoch(),
        lane,
        predecessors: journal.predecessor_epochs(),
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        receiver_id,
        endpoints: NonZeroUsize::new(link.config.endpoints.len()).unwrap_or(NonZeroUsize::MIN),
        seed: seed(gateway_id.as_str(), &link.config.name, lane),
        gateway_id,
        tuning: Tuning::default(),
    }
}

/// A seed of the back-off's jitter that two gateways, and two lanes, do not share.
fn seed(gateway_id: &str, uplink: &str, lane: Lane) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    (gateway_id, uplink, lane as i32).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of two uplinks changes: its deliveries end before those of the one in its place begin, and the other's go on.
    #[tokio::test]
    async fn an_uplink_that_is_the_same_goes_on() {
        let config = |port: u16| {
            let uplink = |name: &str, port: u16| {
                format!("[[uplink]]\nname = \"{name}\"\nendpoints = [\"http://127.0.0.1:{port}\"]\n")
            };
            let text =
                "gateway = { id = \"g\", venue = \"v\" }\n".to_owned() + &uplink("centre", port) + &uplink("second", 2);
            Config::parse("site.toml", &text, []).unwrap()
        };
        let uplinks = Uplinks::new(&config(1));
        let delivers = |link: Arc<Link>| {
            let mut tasks = JoinSet::new();
            tasks.spawn(std::future::pending());
            (link, tasks)
        };
        let mut running: Vec<_> = uplinks.links().into_iter().map(delivers).collect();
        let second = Arc::clone(&running[1].0);
        uplinks.configure(&config(3));
        keep(&mut running, &uplinks.links()).await;
        let [(link, tasks)] = &mut running[..] else { panic!("{} run", running.len()) };
        assert!(Arc::ptr_eq(link, &second) && tasks.len() == 1 && tasks.try_join_next().is_none());
        let names: Vec<_> = uplinks.links().iter().map(|link| link.config.name.clone()).collect();
        assert_eq!(names, ["centre", "second"]);
        keep(&mut running, &[]).await;
        assert!(running.is_empty());
    }
}
