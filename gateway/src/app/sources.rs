//! The sources of a configuration, running, started again after a panic, and changed while the others run.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use venue_devices::Device;
use venue_journal::{Journal, Storage};
use venue_schema::v1::GatewayState;

use super::{
    commit::CommitSignal,
    intake::{SharedCounters, SourceIntake},
    restart::Restart,
    status::{SourceStatus, rfc3339},
};
use crate::{
    clock::{Received, SystemClock},
    config::{self, Config, TransportConfig},
    pipeline::{Counters, SourceSettings},
    source::{self, SourceHandle, SourceSnapshot, SourceWaker, Stamp},
};

/// All sources.
#[derive(Default)]
pub(super) struct Sources {
    /// In the order of the configuration.
    running: RwLock<Vec<Arc<Running>>>,
    /// Held while sources are looked after, started and stopped, so that none is
    /// started behind the back of the stop.
    changing: Mutex<Changing>,
}

#[derive(Default)]
struct Changing {
    /// They are to stay stopped.
    stopped: bool,
    /// Of sources that a configuration had no longer, or otherwise: what they lost must not be forgotten.
    gone: BTreeMap<String, Earlier>,
}

/// Starts a source, with a new conversation and a new pipeline.
type Start = Box<dyn Fn(SharedCounters) -> io::Result<SourceHandle> + Send + Sync>;

struct Running {
    config: config::SourceConfig,
    start: Start,
    life: Mutex<Life>,
}

/// A source from one start to its end.
struct Life {
    /// None once it is stopped.
    handle: Option<SourceHandle>,
    waker: SourceWaker,
    state: Arc<source::SourceState>,
    counters: SharedCounters,
    earlier: Earlier,
    restart: Restart,
}

/// What earlier lives of a source add to what status shows.
#[derive(Debug, Clone, Default)]
struct Earlier {
    counters: Counters,
    bytes: u64,
    connects: u64,
    line_errors: u64,
    last_byte: Option<Received>,
}

impl Sources {
    /// Starts every source of a configuration that does not run yet, on a thread of its own. Those that run go on.
    ///
    /// # Errors
    /// If the system gives no thread for one of them; the others run.
    pub(super) fn start_missing<S: Storage>(
        &self,
        config: &Config,
        journal: &Journal<S>,
        clock: &Arc<SystemClock>,
        commits: &CommitSignal,
    ) -> io::Result<()> {
        let mut changing = self.changing();
        if changing.stopped {
            return Ok(());
        }
        let running = self.running();
        let mut result = Ok(());
        let mut all = Vec::new();
        for source in &config.sources {
            let started = match running.iter().find(|it| it.config == *source) {
                Some(runs) => Ok(Arc::clone(runs)),
                None => {
                    let start = starter(config, source, journal, clock, commits);
                    let earlier = changing.gone.remove(&source.name).unwrap_or_default();
                    Running::start(source.clone(), start, earlier, clock.monotonic()).map(Arc::new)
                }
            };
            match started {
                Ok(source) => all.push(source),
                Err(error) => {
                    let text = format!("the source {} cannot be started: {error}", source.name);
                    result = Err(io::Error::new(error.kind(), text));
                }
            }
        }
        self.replace(all);
        // What became durable since a source was started and before it was to be found here.
        self.wake();
        result
    }

    /// Stops every source that a configuration does not have as it runs, and waits for it. What its line held is read first.
    pub(super) fn stop_but(&self, config: &Config) {
        let mut changing = self.changing();
        let (kept, gone): (Vec<_>, Vec<_>) =
            self.running().into_iter().partition(|source| config.sources.contains(&source.config));
        self.replace(kept);
        stop(&gone);
        changing.gone.extend(gone.iter().map(|source| (source.config.name.clone(), source.life().in_all())));
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Vec<Arc<Running>> {
        self.running.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, running: Vec<Arc<Running>>) {
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = running;
    }

    /// Tells every source that something became durable.
    pub(super) fn wake(&self) {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.iter().for_each(|source| source.life().waker.wake());
    }

    /// Starts sources again whose thread panicked, each after its back-off; the others
    /// go on meanwhile. `tell` passes on what the centre must know. To be called often.
    ///
    /// A panic is a bug of the program. The line that hit it is lost, unless its device
    /// repeats it, and the new pipeline declares the time in which nobody listened; the
    /// lines after it are heard.
    pub(super) fn look_after(&self, now: Duration, tell: &dyn Fn(GatewayState, &str)) {
        let _changing = self.changing();
        self.running().iter().for_each(|source| source.look_after(now, tell));
    }

    /// Stops every source for good and waits for it.
    pub(super) fn stop(&self) {
        let mut changing = self.changing();
        changing.stopped = true;
        stop(&self.running());
    }

    /// State of every source at `now`.
    pub(super) fn status(&self, now: Duration) -> Vec<SourceStatus> {
        self.running().iter().map(|source| source.status(now)).collect()
    }

    /// Sources of results that are not heard: name, and since when in UTC ns.
    pub(super) fn dark(&self) -> Vec<(String, Option<i64>)> {
        self.of_results(|source| source.life().dark_since())
    }

    /// Sources of results that are heard, and what their devices said before is not read yet: name, and since when in
    /// UTC ns.
    pub(super) fn unread(&self) -> Vec<(String, Option<i64>)> {
        self.of_results(|source| {
            let life = source.life();
            life.counters().gap_since.filter(|_| life.dark_since().is_none())
        })
    }

    fn of_results<T>(&self, what: impl Fn(&Running) -> Option<T>) -> Vec<(String, T)> {
        let running = self.running();
        let of_results = running.iter().filter(|source| source.carries_results());
        of_results.filter_map(|source| Some((source.config.name.clone(), what(source)?))).collect()
    }

    /// Sources of results that lost events since the start: name, and how many.
    pub(super) fn lost(&self) -> Vec<(String, u64)> {
        self.of_results(|source| Some(source.life().counters().lost).filter(|count| *count > 0))
    }
}

/// Stops sources and waits for them.
fn stop(sources: &[Arc<Running>]) {
    sources.iter().for_each(|source| source.life().waker.stop());
    for source in sources {
        let handle = source.life().handle.take();
        if let Some(Err(_)) = handle.map(SourceHandle::stop) {
            tracing::error!(source = source.config.name, "the source had ended by a panic");
        }
    }
}

/// How one source of a configuration is started.
fn starter<S: Storage>(
    gateway: &Config,
    config: &config::SourceConfig,
    journal: &Journal<S>,
    clock: &Arc<SystemClock>,
    commits: &CommitSignal,
) -> Start {
    let (settings, config) = (settings(gateway, config), config.clone());
    let (journal, clock, commits) = (journal.clone(), Arc::clone(clock), commits.clone());
    Box::new(move |counters| {
        let conversation = Device::new(config.device.name, config.role)
            .map_err(|error| io::Error::other(format!("{}: {error}", config.device.name)))?;
        let intake =
            SourceIntake::new(journal.clone(), settings.clone(), Arc::clone(&clock), commits.clone(), counters);
        let stamp: Arc<dyn Stamp> = Arc::<SystemClock>::clone(&clock);
        source::start((&config).into(), SourceWaker::new()?, conversation, intake, stamp)
    })
}

impl Running {
    fn start(config: config::SourceConfig, start: Start, earlier: Earlier, now: Duration) -> io::Result<Self> {
        let counters = SharedCounters::default();
        let handle = start(Arc::clone(&counters))?;
        let life = Life::new(handle, counters, earlier, Restart::new(now));
        Ok(Self { config, start, life: Mutex::new(life) })
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_after(&self, now: Duration, tell: &dyn Fn(GatewayState, &str)) {
        let name = &self.config.name;
        let mut life = self.life();
        if !life.has_panicked() {
            return;
        }
        if let Some(wait) = life.restart.noticed(now) {
            drop(life);
            let wait_ms = wait.as_millis();
            let text =
                format!("the source {name} stopped by a fault of the program; it is started again in {wait_ms} ms");
            tracing::error!(source = name, "{text}; report the panic above as a bug");
            tell(GatewayState::Fault, &text);
            return;
        }
        if !life.restart.is_due(now) {
            return;
        }
        // Not under the lock: a start appends to the journal, and the commit thread takes the lock to wake.
        drop(life);
        let counters = SharedCounters::default();
        match (self.start)(Arc::clone(&counters)) {
            Ok(handle) => {
                let text = format!("the source {name} runs again after a fault of the program");
                tracing::warn!(source = name, "{text}");
                tell(GatewayState::Running, &text);
                let mut life = self.life();
                let (earlier, restart) = (life.in_all(), life.restart.started(now));
                *life = Life::new(handle, counters, earlier, restart);
            }
            Err(error) => {
                tracing::error!(source = name, %error, "the source could not be started again; tried once more");
                self.life().restart.failed(now);
            }
        }
    }

    fn carries_results(&self) -> bool {
        match self.config.lane {
            Some(lane) => lane == venue_schema::v1::Lane::Results,
            None => self.config.device.timing,
        }
    }

    fn status(&self, now: Duration) -> SourceStatus {
        let life = self.life();
        let state = life.state.snapshot();
        let Earlier { counters, bytes, connects, line_errors, last_byte } = life.in_all();
        SourceStatus {
            name: self.config.name.clone(),
            device: self.config.device.name.to_owned(),
            device_id: self.config.device_id.clone(),
            carries_results: self.carries_results(),
            state: word(&state).to_owned(),
            peer: state.connected.as_ref().map(|it| it.peer.clone()),
            last_byte_age_s: last_byte.map(|it| now.saturating_sub(it.monotonic).as_secs_f64()),
            last_byte_at: last_byte.and_then(|it| it.utc_ns).map(|ns| rfc3339(Some(ns))),
            bytes,
            connects,
            line_errors,
            frames: counters.frames,
            events: counters.events,
            known: counters.known,
            possible_duplicates: 0,
            bad: counters.bad.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
            refused: counters.refused,
            lost: counters.lost,
            gap_since: counters.gap_since.map(rfc3339),
            faults: life.restart.faults(),
            last_error: state.last_error,
        }
    }
}

impl Life {
    fn new(handle: SourceHandle, counters: SharedCounters, earlier: Earlier, restart: Restart) -> Self {
        let (waker, state) = (handle.waker().clone(), Arc::clone(handle.state()));
        Self { handle: Some(handle), waker, state, counters, earlier, restart }
    }

    fn has_panicked(&self) -> bool {
        self.handle.as_ref().is_some_and(|handle| !handle.is_running())
    }

    /// Since when it is not heard, UTC ns where that is known; none if it is.
    fn dark_since(&self) -> Option<Option<i64>> {
        let state = self.state.snapshot();
        let last = state.last_byte.or(self.earlier.last_byte).and_then(|it| it.utc_ns);
        (state.connected.is_none() || state.silent).then_some(last)
    }

    /// What came of the items, earlier lives included.
    fn counters(&self) -> Counters {
        let mut sum = self.earlier.counters.clone();
        let now = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        sum.frames += now.frames;
        sum.events += now.events;
        sum.known += now.known;
        sum.skipped_bytes += now.skipped_bytes;
        sum.refused += now.refused;
        sum.lost += now.lost;
        sum.gap_since = now.gap_since;
        now.bad.iter().for_each(|(kind, count)| *sum.bad.entry(kind).or_default() += count);
        sum
    }

    /// This life and the earlier ones.
    fn in_all(&self) -> Earlier {
        let state = self.state.snapshot();
        let errors = &state.errors;
        let line_errors = errors.parity + errors.framing + errors.overrun + errors.buffer_overrun;
        Earlier {
            counters: self.counters(),
            bytes: self.earlier.bytes + state.bytes_received,
            connects: self.earlier.connects + state.connects,
            line_errors: self.earlier.line_errors + line_errors,
            last_byte: state.last_byte.or(self.earlier.last_byte),
        }
    }
}

/// The state of a source in a word or a few.
fn word(state: &SourceSnapshot) -> &'static str {
    match (state.faulted, &state.connected, state.silent) {
        (true, _, _) => "stopped by a fault",
        (false, None, _) => "disconnected",
        (false, Some(_), true) => "silent",
        (false, Some(_), false) => "connected",
    }
}

fn settings(gateway: &Config, config: &config::SourceConfig) -> SourceSettings {
    let principal = match &config.transport {
        TransportConfig::Serial { port, .. } => format!("serial:{}", port.display()),
        TransportConfig::TcpConnect { address } => format!("tcp:{address}"),
        TransportConfig::TcpListen { address, .. } => format!("tcp:{address}"),
    };
    SourceSettings {
        venue_id: gateway.gateway.venue.clone(),
        name: config.name.clone(),
        device: config.device,
        device_id: config.device_id.clone(),
        principal,
        role: config.role,
        lane: config.lane,
        labels: config.labels.clone(),
        zone: gateway.gateway.timezone.clone(),
    }
}

#[cfg(test)]
mod tests;
