//! The application: the parts joined, run and drained.
//!
//! ```text
//!  source threads ──► pipelines ──► journal stage ──► commit thread ──► disk
//!        ▲                                                │ watermarks
//!        └── acknowledgements ◄───────────────────────────┤
//!                                                         ▼
//!  housekeeping thread (spares, retention, marks)    uplink thread ──► centre
//!  clock thread (1 s)                                main thread: signals, control socket
//!  caretaker (a source that panicked, a changed       http thread: metrics, health
//!             configuration file)
//!                                                    alarm thread: command, webhook
//! ```
//!
//! [`App::start`] builds everything from a configuration; [`App::drain`] stops the
//! sources first, brings everything down to disk, gives the uplinks a while to
//! deliver it, and ends.

mod alarms;
mod commit;
mod control;
mod health;
mod host;
mod housekeeping;
mod intake;
mod metrics;
mod mqtt;
mod operations;
mod progress;
mod pulse;
pub mod records;
mod reload;
mod restart;
mod sources;
pub mod status;
mod uplinks;

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::watch;
use venue_journal::{
    Directory, Journal, JournalConfig, OpenError, Recovery, ResultsConfig, TelemetryConfig, Watermarks,
};
use venue_schema::{
    JournalEpoch,
    v1::{GatewayState, Lane},
};

use self::{
    commit::CommitSignal,
    mqtt::Sessions,
    operations::Operations,
    progress::CommitProgress,
    pulse::Beat,
    reload::{Asking, InForce, Reloader},
    sources::Sources,
    uplinks::Uplinks,
};
use crate::{
    clock::SystemClock,
    config::{ByteSize, ClockTrust, Config},
    pipeline::OwnPipeline,
};

pub use control::{Control, Released, Request, release, socket_path};
pub use pulse::Pulse;

/// How long a stopping gateway waits for the centre to acknowledge what is left.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made.
    #[error("failed to create the data directory {path}: {error}; create it, or correct `gateway.data_dir`")]
    DataDirectory {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The disk has no room for the journal's first files.
    #[error(
        "there is no space on disk for the journal in {path}, whose reserve alone takes {reserve}; free the disk, or lower `reserve` of `journal.results`"
    )]
    NoSpace {
        /// Its directory.
        path: PathBuf,
        /// What is written at once when a journal is created.
        reserve: ByteSize,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// Nothing can be served at the HTTP port.
    #[error("failed to listen at {address} for /metrics: {error}; free the port, or correct `http.listen`")]
    Http {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// A thread cannot be started, or the control socket cannot be made.
    #[error("failed to start: {0}")]
    System(#[from] io::Error),
}

/// A running gateway.
pub struct App {
    control: Control,
    asking: Asking,
    pulse: Pulse,
    clock: Arc<SystemClock>,
    journal: Journal<Directory>,
    own: Arc<OwnPipeline<Directory>>,
    commits: CommitSignal,
    sources: Arc<Sources>,
    sessions: Arc<Sessions>,
    uplinks: Arc<Uplinks>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    commit_thread: JoinHandle<()>,
}

impl App {
    /// Opens the journal and starts every part.
    ///
    /// # Errors
    /// [`StartError`]; the process is to end then, for threads may run already.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let clock = Arc::new(SystemClock::new(config.gateway.clock == ClockTrust::Trusted));
        let records = clock.observe();
        if !clock.quality().date_known {
            tracing::warn!(
                "the date is not known: the kernel's clock is not in step with UTC, and there is no battery-backed clock; \
                 events carry the time since the boot until it is (chrony, ptp4l, timesyncd), or say `clock = \"trusted\"`"
            );
        }
        let (journal, recovery) = open_journal(&config, &clock)?;
        report(&recovery);
        // Before anything runs, and after the journal, whose lock says that another gateway holds both.
        let listener = config.http.listen.map(listen).transpose()?;
        let last_found = Watermarks::from_fn(|lane| recovery.lanes[lane].last_found);
        let commits = CommitSignal::default();
        let venue = &config.gateway;
        let own = Arc::new(OwnPipeline::new(journal.clone(), &venue.venue, venue.id.as_str()));
        let arrival = clock.arrival();
        own.status(&arrival, GatewayState::Started, "started");
        own.clock(&arrival, records);
        own.close_gaps_but_of(config.names(), &arrival);

        let (stop, stopping) = watch::channel(false);
        let (durable, watermarks) = watch::channel(journal.watermarks());
        let (sources, sessions) = (Arc::<Sources>::default(), Arc::<Sessions>::default());
        sources.start_missing(&config, &journal, &clock, &commits)?;
        sessions.start_missing(&config, &journal, &clock, &commits, &watermarks)?;
        let woken = Arc::clone(&sources);
        journal.set_watermark_listener(Box::new(move |marks| {
            durable.send_replace(marks);
            woken.wake();
        }));
        let progress = Arc::new(CommitProgress::new(clock.monotonic()));
        let commit_thread = spawn("commit", {
            let (journal, clock, commits) = (journal.clone(), Arc::clone(&clock), commits.clone());
            let progress = Arc::clone(&progress);
            move || commit::run(&journal, &clock, &commits, &progress)
        })?;
        let uplinks = Arc::new(Uplinks::new(&config));
        let uplink = Arc::new(Beat::new(clock.monotonic()));
        let pulse = Pulse { clock: Arc::clone(&clock), commits: Arc::clone(&progress), uplink: Arc::clone(&uplink) };
        let (in_force, configuration) = watch::channel(InForce::new(Arc::clone(&config), arrival.received.utc_ns));
        let control = Control {
            in_force: configuration,
            clock: Arc::clone(&clock),
            started_at: arrival.received.monotonic,
            journal: journal.clone(),
            sources: Arc::clone(&sources),
            sessions: Arc::clone(&sessions),
            uplinks: Arc::clone(&uplinks),
        };
        control.warn_of_former_uplinks(&config);
        let (reloader, asking) =
            Reloader::new(control.clone(), in_force, Arc::clone(&own), commits.clone(), watermarks.clone());
        let mut threads = vec![
            housekeeping::start(journal.clone(), Arc::clone(&clock), commits.clone(), stopping.clone())?,
            clock_thread(Arc::clone(&own), Arc::clone(&clock), commits.clone(), stopping.clone())?,
            caretaker(reloader, stopping.clone())?,
            uplinks::start(
                Arc::clone(&uplinks),
                journal.clone(),
                Arc::clone(&clock),
                watermarks,
                last_found,
                uplink,
                stopping.clone(),
            )?,
            alarms::start(control.clone(), Arc::clone(&progress), stopping.clone())?,
        ];
        if let Some(listener) = listener {
            let operations = Operations::new(control.clone(), progress);
            threads.push(operations::start(listener, operations, stopping)?);
        }
        Ok(Self {
            control,
            asking,
            pulse,
            clock,
            journal,
            own,
            commits,
            sources,
            sessions,
            uplinks,
            stop,
            threads,
            commit_thread,
        })
    }

    /// What the control socket answers from.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Reads the configuration file anew, as it is done by itself when the file is another, and waits until it is taken
    /// or refused; the log and [`Status`](status::Status) say which.
    pub async fn reload(&self) {
        self.asking.ask().await;
    }

    /// Whether what carries results comes round.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Stops the sources, brings everything to disk, waits up to five seconds for
    /// the centre to acknowledge it, and ends every thread.
    pub fn drain(self) {
        tracing::info!("stopping: the sources first");
        self.sources.stop();
        self.sessions.stop();
        self.own.status(&self.clock.arrival(), GatewayState::Stopping, "stopping");
        self.commits.poke();
        let deadline = self.clock.monotonic() + DRAIN;
        while !self.is_delivered() && self.clock.monotonic() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.stop.send_replace(true);
        for thread in self.threads {
            join(thread);
        }
        if let Err(error) = self.journal.sync_cursors(self.clock.monotonic()) {
            tracing::warn!(%error, "the cursors' marks could not be written; some records may be sent twice");
        }
        self.commits.stop();
        join(self.commit_thread);
        tracing::info!("stopped");
    }

    /// Whether all that was taken in is on disk and at every centre.
    fn is_delivered(&self) -> bool {
        let marks = self.journal.watermarks();
        let stage = self.journal.stage();
        let all_durable = Lane::ALL.into_iter().all(|lane| marks[lane] == stage.staged_end(lane));
        drop(stage);
        all_durable && self.uplinks.delivered(|lane| marks[lane])
    }
}

/// Where the journal of a data directory is.
pub fn journal_path(data_dir: &Path) -> PathBuf {
    data_dir.join("journal")
}

/// How a configuration uses the disk.
pub fn journal_config(config: &Config, fresh_epoch: JournalEpoch) -> JournalConfig {
    let settings = &config.journal;
    let defaults = JournalConfig::new(config.gateway.id.clone(), config.gateway.venue.clone(), fresh_epoch);
    JournalConfig {
        results: ResultsConfig {
            quota: settings.results.quota.as_bytes(),
            reserve: settings.results.reserve.as_bytes(),
            keep: settings.results.keep,
        },
        telemetry: TelemetryConfig {
            quota: settings.telemetry.quota.as_bytes(),
            keep: settings.telemetry.keep,
            commit_window: settings.telemetry.commit_window,
            ..defaults.telemetry
        },
        ..defaults
    }
}

/// 16 random bytes from the kernel.
///
/// # Errors
/// If the kernel has none yet.
pub fn random_epoch() -> io::Result<JournalEpoch> {
    let mut bytes = [0; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if filled < bytes.len() {
        return Err(io::Error::other("the kernel gave too few random bytes"));
    }
    Ok(JournalEpoch::from_bytes(bytes))
}

fn open_journal(config: &Config, clock: &SystemClock) -> Result<(Journal<Directory>, Recovery), StartError> {
    let path = journal_path(&config.gateway.data_dir);
    let no_space = || StartError::NoSpace { path: path.clone(), reserve: config.journal.results.reserve };
    let is_full = |error: &io::Error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let unusable = |error| match is_full(&error) {
        true => no_space(),
        false => StartError::DataDirectory { path: path.clone(), error },
    };
    let directory = Directory::create(&path).map_err(unusable)?;
    let fresh_epoch = random_epoch()?;
    Journal::open(directory, journal_config(config, fresh_epoch), clock.monotonic()).map_err(|error| match error {
        OpenError::Io { source, .. } if is_full(&source) => no_space(),
        error => error.into(),
    })
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|error| StartError::Http { address, error })
}

fn report(recovery: &Recovery) {
    for lane in Lane::ALL {
        let found = &recovery.lanes[lane];
        tracing::info!(
            lane = lane.name(), first_retained = %found.first_retained, last_durable = %found.last_durable,
            "the journal is open"
        );
    }
    for finding in recovery.findings.iter().filter(|finding| finding.case != 'A') {
        tracing::warn!(case = %finding.case, "journal: {}", finding.text);
    }
}

fn clock_thread(
    own: Arc<OwnPipeline<Directory>>,
    clock: Arc<SystemClock>,
    commits: CommitSignal,
    stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    spawn("clock", move || {
        while !stopped(&stop, Duration::from_secs(1)) {
            let records = clock.observe();
            if !records.is_empty() {
                own.clock(&clock.arrival(), records);
                commits.poke();
            }
        }
    })
}

/// The thread that starts sources again whose own thread panicked, and those of a configuration that is another.
fn caretaker(mut reloader: Reloader, stop: watch::Receiver<bool>) -> io::Result<JoinHandle<()>> {
    spawn("caretaker", move || {
        while !stopped(&stop, Duration::from_millis(100)) {
            reloader.look_after_sources();
            reloader.poll();
        }
    })
}

/// Waits for a while, in steps short enough for a prompt stop; true if it is to stop.
fn stopped(stop: &watch::Receiver<bool>, wait: Duration) -> bool {
    const STEP: Duration = Duration::from_millis(50);
    let mut left = wait;
    while !left.is_zero() {
        if *stop.borrow() {
            return true;
        }
        let step = left.min(STEP);
        std::thread::sleep(step);
        left -= step;
    }
    *stop.borrow()
}

/// Starts a thread that the gateway cannot do without. If it panics the process ends at once, for whoever supervises it
/// to start it again: a gateway that goes on without its commits or its uplink looks well and is not.
fn spawn(name: &'static str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if std::panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
            tracing::error!(thread = name, "ended by a fault of the program, and so does the gateway; start it again");
            std::process::abort();
        }
    })
}

fn join(thread: JoinHandle<()>) {
    thread.join().expect("a thread that panics ends the process");
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::Command};

    use super::*;

    const CHILD: &str = "APP_TEST_PANICS_HERE";

    /// A fault in the commit thread: the process ends, and does not go on as if it could make anything safe.
    #[test]
    fn a_thread_that_panics_ends_the_process() {
        if std::env::var_os(CHILD).is_some() {
            join(spawn("commit", || panic!("a bug")).expect("a thread"));
            return;
        }
        let test = ["--exact", "app::tests::a_thread_that_panics_ends_the_process", "--nocapture"];
        let this = std::env::current_exe().expect("this test");
        let child = Command::new(this).args(test).env(CHILD, "1").output().expect("it runs");
        assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{child:?}");
    }
}
