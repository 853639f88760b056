//! The sources of a configuration, running.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use venue_devices::Device;
use venue_journal::{Journal, Storage};

use super::{
    commit::CommitSignal,
    intake::{SharedCounters, SourceIntake},
    status::{SourceStatus, rfc3339},
};
use crate::{
    clock::SystemClock,
    config::{self, Config, TransportConfig},
    pipeline::SourceSettings,
    source::{self, SourceHandle, SourceSnapshot, SourceWaker, Stamp},
};

/// All sources.
pub(super) struct Sources {
    running: Vec<Running>,
}

struct Running {
    config: config::SourceConfig,
    waker: SourceWaker,
    state: Arc<source::SourceState>,
    counters: SharedCounters,
    handle: Mutex<Option<SourceHandle>>,
}

impl Sources {
    /// Starts every source on a thread of its own.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start<S: Storage>(
        config: &Config,
        journal: &Journal<S>,
        clock: &Arc<SystemClock>,
        commits: &CommitSignal,
    ) -> io::Result<Self> {
        let start = |source: &config::SourceConfig| Running::start(config, source, journal, clock, commits);
        Ok(Self { running: config.sources.iter().map(start).collect::<io::Result<_>>()? })
    }

    /// Tells every source that something became durable.
    pub(super) fn wake(&self) {
        self.running.iter().for_each(|source| source.waker.wake());
    }

    /// Stops every source and waits for it.
    pub(super) fn stop(&self) {
        self.running.iter().for_each(|source| source.waker.stop());
        for source in &self.running {
            let handle = source.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(Err(_)) = handle.map(SourceHandle::stop) {
                tracing::error!(source = source.config.name, "the source had ended by a panic");
            }
        }
    }

    /// State of every source at `now`.
    pub(super) fn status(&self, now: Duration) -> Vec<SourceStatus> {
        self.running.iter().map(|source| source.status(now)).collect()
    }

    /// Sources of results that are not heard: name, and since when in UTC ns.
    pub(super) fn dark(&self) -> Vec<(String, Option<i64>)> {
        let dark = |source: &Running| {
            let state = source.state.snapshot();
            let last = state.last_byte.and_then(|it| it.utc_ns);
            (state.connected.is_none() || state.silent).then(|| (source.config.name.clone(), last))
        };
        self.running.iter().filter(|source| source.carries_results()).filter_map(dark).collect()
    }
}

impl Running {
    fn start<S: Storage>(
        gateway: &Config,
        config: &config::SourceConfig,
        journal: &Journal<S>,
        clock: &Arc<SystemClock>,
        commits: &CommitSignal,
    ) -> io::Result<Self> {
        let conversation = Device::new(config.device.name, config.role)
            .map_err(|error| io::Error::other(format!("{}: {error}", config.device.name)))?;
        let counters = SharedCounters::default();
        let intake = SourceIntake::new(
            journal.clone(),
            settings(gateway, config),
            Arc::clone(clock),
            commits.clone(),
            Arc::clone(&counters),
        );
        let waker = SourceWaker::new()?;
        let stamp: Arc<dyn Stamp> = Arc::<SystemClock>::clone(clock);
        let handle = source::start(config.into(), waker.clone(), conversation, intake, stamp)?;
        Ok(Self {
            config: config.clone(),
            waker,
            state: Arc::clone(handle.state()),
            counters,
            handle: Mutex::new(Some(handle)),
        })
    }

    fn carries_results(&self) -> bool {
        match self.config.lane {
            Some(lane) => lane == venue_schema::v1::Lane::Results,
            None => self.config.device.timing,
        }
    }

    fn status(&self, now: Duration) -> SourceStatus {
        let state = self.state.snapshot();
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let errors = &state.errors;
        SourceStatus {
            name: self.config.name.clone(),
            device: self.config.device.name.to_owned(),
            device_id: self.config.device_id.clone(),
            state: word(&state).to_owned(),
            peer: state.connected.as_ref().map(|it| it.peer.clone()),
            last_byte_age_s: state.last_byte.map(|it| now.saturating_sub(it.monotonic).as_secs_f64()),
            last_byte_at: state.last_byte.and_then(|it| it.utc_ns).map(|ns| rfc3339(Some(ns))),
            bytes: state.bytes_received,
            connects: state.connects,
            line_errors: errors.parity + errors.framing + errors.overrun + errors.buffer_overrun,
            frames: counters.frames,
            events: counters.events,
            known: counters.known,
            bad: counters.bad.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
            refused: counters.refused,
            lost: counters.lost,
            last_error: state.last_error,
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
mod tests {
    use super::*;

    /// A fault is not mistaken for a device that is away.
    #[test]
    fn a_fault_has_its_own_word() {
        let silent = SourceSnapshot { silent: true, ..SourceSnapshot::default() };
        assert_eq!(word(&silent), "disconnected");
        assert_eq!(word(&SourceSnapshot { faulted: true, ..silent }), "stopped by a fault");
    }
}
