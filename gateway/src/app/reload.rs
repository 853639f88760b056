//! Takes the configuration file anew while the gateway runs: when it is asked to, and when the file is another.
//!
//! ```text
//!  SIGHUP ──────────────► read, check ──► refused: what is in force stays
//!  the file is another,        │
//!  and no longer written       └────────► taken: stop what is gone or another, start what is new or another
//! ```
//!
//! A file is taken as a whole or not at all. What cannot change while the gateway runs keeps its value, and status says
//! which keys wait for a restart.

mod settle;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::watch;
use venue_journal::{Directory, Watermarks};
use venue_schema::v1::{GatewayState, Lane};

use self::settle::{Look, Settle, Stamp};
use super::{
    commit::CommitSignal,
    control::Control,
    status::{ConfigurationStatus, rfc3339},
};
use crate::{
    check,
    clock::wall_clock,
    config::{self, Config, Finding},
    pipeline::OwnPipeline,
};

/// The file is looked at so often.
const LOOK: Duration = Duration::from_millis(500);
/// A refused file is tried again so often: what it names may have been mended, a port plugged in.
const AGAIN: Duration = Duration::from_secs(10);
/// What stopped sources said is on disk within this time, unless the disk is in trouble.
const DURABLE: Duration = Duration::from_secs(2);

/// The configuration that the gateway runs by, and how the file stands to it.
#[derive(Debug, Clone)]
pub(super) struct InForce {
    pub(super) config: Arc<Config>,
    pub(super) status: ConfigurationStatus,
}

impl InForce {
    /// What was read at the start, at `utc_ns`.
    pub(super) fn new(config: Arc<Config>, utc_ns: Option<i64>) -> Self {
        let file = config.file().display().to_string();
        let status = ConfigurationStatus { file, taken_at: rfc3339(utc_ns), ..ConfigurationStatus::default() };
        Self { config, status }
    }
}

/// Whoever asks for the file to be read, and hears when that is done.
pub(super) struct Asking {
    asked: watch::Sender<u64>,
    done: watch::Receiver<u64>,
}

impl Asking {
    /// Has the file read anew, and waits until it is taken or refused.
    pub(super) async fn ask(&self) {
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        // Nobody answers any more once the gateway stops.
        let _ = self.done.clone().wait_for(|done| *done >= number).await;
    }
}

/// Takes the file anew. Its thread may wait.
pub(super) struct Reloader {
    control: Control,
    in_force: watch::Sender<InForce>,
    own: Arc<OwnPipeline<Directory>>,
    commits: CommitSignal,
    durable: watch::Receiver<Watermarks>,
    asked: watch::Receiver<u64>,
    done: watch::Sender<u64>,
    look_at: Duration,
    settle: Settle,
    /// When a refused file is tried again.
    again_at: Option<Duration>,
}

impl Reloader {
    /// Over the parts that `control` speaks of; `in_force` is what it reads.
    pub(super) fn new(
        control: Control,
        in_force: watch::Sender<InForce>,
        own: Arc<OwnPipeline<Directory>>,
        commits: CommitSignal,
        durable: watch::Receiver<Watermarks>,
    ) -> (Self, Asking) {
        let ((asked_by, asked), (done, is_done)) = (watch::channel(0), watch::channel(0));
        let (look_at, settle) = (Duration::ZERO, Settle::default());
        let reloader = Self { control, in_force, own, commits, durable, asked, done, look_at, settle, again_at: None };
        (reloader, Asking { asked: asked_by, done: is_done })
    }

    /// Starts sources again whose thread panicked. To be called often.
    pub(super) fn look_after_sources(&self) {
        let Control { sources, clock, .. } = &self.control;
        sources.look_after(clock.monotonic(), &|state, text| self.tell(state, text));
    }

    /// Takes the file anew if that is due. To be called often.
    pub(super) fn poll(&mut self) {
        let now = self.control.clock.monotonic();
        let asked = *self.asked.borrow();
        let is_asked = asked != *self.done.borrow();
        if !is_asked && now < self.look_at {
            return;
        }
        self.look_at = now + LOOK;
        let stamp = Stamp::of(self.in_force.borrow().config.file());
        let is_due = match self.settle.look(now, stamp) {
            Look::Another => true,
            Look::BeingWritten => false,
            Look::AsTaken => self.again_at.is_some_and(|at| at <= now),
        };
        if is_asked || is_due {
            // Before it is read: what is written from now on is seen as another.
            self.settle.taken(stamp);
            self.reload(is_asked);
            self.done.send_replace(asked);
        }
    }

    fn reload(&mut self, is_asked: bool) {
        let InForce { config: running, status } = self.in_force.borrow().clone();
        match read(running.file(), &running) {
            Ok((next, warnings)) => {
                let changes = running.changes_to(&next);
                let next = Arc::new(next.taken_by(&running));
                if let Err(error) = self.apply(&next, !changes.is_empty()) {
                    return self.refuse(&status, vec![error.to_string()], is_asked);
                }
                if is_asked || !changes.is_empty() || !status.refused.is_empty() {
                    warnings.iter().for_each(|it| tracing::warn!("configuration: {it}"));
                    tracing::info!(file = status.file, "the configuration file is in force: {changes}");
                }
                if !changes.is_empty() {
                    self.tell(GatewayState::Running, &format!("the configuration was taken anew: {changes}"));
                }
                if is_asked || !changes.is_empty() {
                    self.control.warn_of_former_uplinks(&next);
                }
                let needs_restart: Vec<String> = changes.needs_restart.iter().map(|&key| key.to_owned()).collect();
                if needs_restart != status.needs_restart && !needs_restart.is_empty() {
                    let keys = needs_restart.join(", ");
                    tracing::warn!(keys, "the file has other values of these, which need a restart; the old ones stay");
                }
                let taken_at = rfc3339(self.control.clock.stamp().utc_ns);
                let status = ConfigurationStatus { taken_at, refused: Vec::new(), needs_restart, ..status };
                self.in_force.send_replace(InForce { config: next, status });
                self.again_at = None;
            }
            Err(refused) => self.refuse(&status, refused, is_asked),
        }
    }

    fn refuse(&mut self, status: &ConfigurationStatus, refused: Vec<String>, is_asked: bool) {
        if is_asked || refused != status.refused {
            tracing::error!(file = status.file, "the configuration file is refused as a whole; the one in force stays");
            refused.iter().for_each(|it| tracing::error!("configuration: {it}"));
        }
        self.in_force.send_modify(|it| it.status.refused = refused);
        self.again_at = Some(self.control.clock.monotonic() + AGAIN);
    }

    /// Stops what the configuration has no longer or has otherwise, then starts what it has and does not run: a port
    /// that went from one source to another is free by then.
    fn apply(&self, config: &Config, changed: bool) -> std::io::Result<()> {
        let Control { sources, sessions, uplinks, journal, clock, .. } = &self.control;
        sources.stop_but(config);
        sessions.stop_but(config);
        if changed {
            self.own.close_gaps_but_of(config.names(), &clock.arrival());
            self.await_durable();
        }
        uplinks.configure(config);
        sources.start_missing(config, journal, clock, &self.commits)?;
        sessions.start_missing(config, journal, clock, &self.commits, &self.durable)
    }

    /// Waits for what stopped sources said to be on disk: by that their next life knows since when nobody listened.
    fn await_durable(&self) {
        let Control { journal, clock, .. } = &self.control;
        self.commits.poke();
        let staged = {
            let stage = journal.stage();
            Watermarks::from_fn(|lane| stage.staged_end(lane))
        };
        let deadline = clock.monotonic() + DURABLE;
        while !Lane::ALL.into_iter().all(|lane| journal.watermarks()[lane] >= staged[lane])
            && clock.monotonic() < deadline
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn tell(&self, state: GatewayState, text: &str) {
        self.own.status(&self.control.clock.arrival(), state, text);
        self.commits.poke();
    }
}

/// The file as `check` sees it, with what is doubtful in it, or why it is refused. What is found of the running
/// configuration as well is no matter of the file: an adapter that is unplugged must not hold up another source.
fn read(file: &Path, running: &Config) -> Result<(Config, Vec<String>), Vec<String>> {
    let errors = |findings: &[Finding]| findings.iter().filter(|it| it.is_error()).map(line).collect();
    let next = Config::load(file, config::environment()).map_err(|refused| errors(refused.findings()))?;
    let now = wall_clock();
    let known = check::check(running, now);
    let mut findings = check::check(&next, now);
    findings.retain(|it| !known.iter().any(|known| (known.severity, &known.message) == (it.severity, &it.message)));
    match findings.iter().any(Finding::is_error) {
        true => Err(errors(&findings)),
        false => Ok((next, findings.iter().map(line).collect())),
    }
}

/// A finding in one line: `site.toml:7:13: unknown key …; did you mean …`.
fn line(Finding { place, message, help, .. }: &Finding) -> String {
    format!("{place}: {message}; {help}")
}
