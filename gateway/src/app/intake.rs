//! Joins a source to its pipeline: stamps, and wakes the commit thread.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use venue_devices::Item;
use venue_journal::{Journal, Storage};

use super::commit::CommitSignal;
use crate::{
    clock::{Received, SystemClock},
    pipeline::{Arrival, Counters, SourcePipeline, SourceSettings},
    source::{Intake, LineEvent},
};

/// What came of a source's items, as status reads it.
pub(super) type SharedCounters = Arc<Mutex<Counters>>;

/// The pipeline of one source, on the source's thread.
pub(super) struct SourceIntake<S: Storage> {
    pipeline: SourcePipeline<S>,
    clock: Arc<SystemClock>,
    commits: CommitSignal,
    counters: SharedCounters,
    /// All that one read brought has one arrival.
    arrival: Arrival,
}

impl<S: Storage> SourceIntake<S> {
    /// Makes the pipeline of a source.
    pub(super) fn new(
        journal: Journal<S>,
        settings: SourceSettings,
        clock: Arc<SystemClock>,
        commits: CommitSignal,
        counters: SharedCounters,
    ) -> Self {
        let arrival = clock.arrival();
        let pipeline = SourcePipeline::new(journal, settings, &arrival);
        commits.poke();
        Self { pipeline, clock, commits, counters, arrival }
    }

    fn arrival(&mut self, received: &Received) -> Arrival {
        if self.arrival.received != *received {
            self.arrival = Arrival { received: *received, quality: self.clock.quality(), ..self.arrival };
        }
        self.arrival
    }
}

impl<S: Storage> Intake for SourceIntake<S> {
    fn item(&mut self, received: &Received, item: Item<'_>) {
        let arrival = self.arrival(received);
        self.pipeline.item(&arrival, &item);
    }

    fn line(&mut self, received: &Received, event: LineEvent<'_>) {
        let arrival = self.arrival(received);
        self.pipeline.line(&arrival, &event);
    }

    fn flush(&mut self, received: &Received) {
        let arrival = self.arrival(received);
        self.pipeline.flush(&arrival);
        self.commits.poke();
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone_from(self.pipeline.counters());
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.pipeline.poll_timeout()
    }

    fn handle_timeout(&mut self, received: &Received) {
        self.flush(received);
    }

    fn durable_items(&mut self) -> u64 {
        self.pipeline.durable_items()
    }

    fn has_refused(&self) -> bool {
        self.pipeline.has_refused()
    }

    fn is_behind(&self) -> bool {
        self.pipeline.is_behind()
    }
}

#[cfg(test)]
mod tests;
