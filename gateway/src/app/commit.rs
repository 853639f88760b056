//! The commit thread: what waits in the journal's stage goes to disk.
//!
//! It sleeps until a source pokes it or the journal's commit window ends. While it
//! syncs, the next batch gathers. After a failed write or sync the journal is
//! reopened with back-off; until that succeeds nothing is acknowledged.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use venue_journal::{CommitDue, CommitError, Journal, Storage};

use super::progress::CommitProgress;
use crate::clock::SystemClock;

/// Delay before the first attempt to reopen a failed journal, and the longest.
const REOPEN_MIN: Duration = Duration::from_millis(100);
const REOPEN_MAX: Duration = Duration::from_secs(5);
/// Looks again after this time though nobody poked: space may have come back.
const IDLE: Duration = Duration::from_secs(1);

/// A commit of so many records was one of many on a fast disk: the next one begins no sooner than [`PACE`] after it began.
const CROWD: u64 = 32;
const PACE: Duration = Duration::from_millis(1);

/// Wakes the commit thread.
#[derive(Debug, Clone, Default)]
pub(super) struct CommitSignal(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    poked: Mutex<bool>,
    condition: Condvar,
    stop: AtomicBool,
}

impl CommitSignal {
    /// Something was staged.
    pub(super) fn poke(&self) {
        *self.0.poked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.condition.notify_one();
    }

    /// Ends the thread once all that is staged is on disk, or cannot be.
    pub(super) fn stop(&self) {
        self.0.stop.store(true, Ordering::Release);
        self.poke();
    }

    fn stopping(&self) -> bool {
        self.0.stop.load(Ordering::Acquire)
    }

    /// Waits for a poke, at most for `timeout`.
    fn wait(&self, timeout: Option<Duration>) {
        let mut poked = self.0.poked.lock().unwrap_or_else(PoisonError::into_inner);
        while !*poked {
            poked = match timeout {
                None => self.0.condition.wait(poked).unwrap_or_else(PoisonError::into_inner),
                Some(timeout) => {
                    let (guard, result) =
                        self.0.condition.wait_timeout(poked, timeout).unwrap_or_else(PoisonError::into_inner);
                    if result.timed_out() {
                        return;
                    }
                    guard
                }
            };
        }
        *poked = false;
    }

    /// Waits for a while, whoever pokes; no longer than until the gateway stops.
    fn pause(&self, delay: Duration) {
        let poked = self.0.poked.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.condition.wait_timeout_while(poked, delay, |_| !self.stopping()));
    }
}

/// Commits until told to stop.
pub(super) fn run<S: Storage>(
    journal: &Journal<S>,
    clock: &SystemClock,
    signal: &CommitSignal,
    progress: &CommitProgress,
) {
    // Told once, and not at each try: a log must not fill what is left of the disk.
    let mut without_space = None;
    loop {
        let now = clock.monotonic();
        progress.came_round(now);
        let due = journal.wants_commit(now);
        match due {
            CommitDue::Now => match journal.commit(now) {
                Ok(committed) => {
                    let took = clock.monotonic().saturating_sub(now);
                    progress.committed(&committed, took);
                    if committed.results_count + committed.telemetry_count >= CROWD && took < PACE {
                        signal.pause(PACE - took);
                    }
                    if let Some(lane) = without_space.take() {
                        tracing::info!(lane, "there is space on disk again");
                    }
                }
                Err(CommitError::NoSpace { lane }) => {
                    if without_space.replace(lane.name()) != Some(lane.name()) {
                        tracing::warn!(lane = lane.name(), "no space on disk: what can be refused is not acknowledged");
                    }
                }
                Err(CommitError::Halted { reason }) => {
                    if !reopen(journal, clock, signal, progress, &reason) {
                        return;
                    }
                }
            },
            // A lane of an uplink wrote a loss record, and the disk failed.
            CommitDue::Idle if journal.is_halted() => {
                let reason = journal.status().halted.unwrap_or_default();
                if !reopen(journal, clock, signal, progress, &reason) {
                    return;
                }
            }
            CommitDue::At(at) if !signal.stopping() => signal.wait(Some(at.saturating_sub(now))),
            CommitDue::Idle if !signal.stopping() => signal.wait(Some(IDLE)),
            CommitDue::At(_) | CommitDue::Idle => {
                if let Err(error) = journal.close(clock.monotonic()) {
                    tracing::error!(%error, "the journal's last commit failed");
                }
                return;
            }
        }
    }
}

/// Reopens a failed journal, with back-off; false if the gateway stops and the last attempt failed, too.
fn reopen<S: Storage>(
    journal: &Journal<S>,
    clock: &SystemClock,
    signal: &CommitSignal,
    progress: &CommitProgress,
    reason: &str,
) -> bool {
    tracing::error!(reason, "the journal cannot be written: nothing is acknowledged until it can");
    progress.halted(reason);
    let mut delay = REOPEN_MIN;
    loop {
        signal.pause(delay);
        let last = signal.stopping();
        progress.came_round(clock.monotonic());
        match journal.reopen(clock.monotonic()) {
            Ok(()) => {
                progress.reopened();
                tracing::warn!("the journal can be written again; nothing that was taken in is lost");
                return true;
            }
            Err(error) if last => {
                tracing::error!(%error, "the journal cannot be written, and the gateway stops; what devices keep is heard again");
                return false;
            }
            Err(error) => {
                delay = (delay * 2).min(REOPEN_MAX);
                tracing::error!(%error, retry_in = ?delay, "the journal still cannot be written");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use venue_journal::{
        Append, IdentityRef, JournalConfig,
        simulated::{Fault, MemoryStorage},
    };
    use venue_schema::{GatewayId, JournalEpoch, Sequence, v1::Lane};

    use super::*;

    /// A condition that does not come true within this fails the test.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// The disk fails while somebody else than this thread writes: it reopens the journal all the same, and what was
    /// taken in becomes durable.
    #[test]
    fn a_journal_that_another_thread_found_failed_is_reopened() {
        let (disk, clock) = (MemoryStorage::new(), SystemClock::new(true));
        let config =
            JournalConfig::new(GatewayId::new("stade-1-a").unwrap(), "stade-1", JournalEpoch::from_bytes([7; 16]));
        let (journal, _) = Journal::open(disk.clone(), config, clock.monotonic()).unwrap();
        let append = Append {
            lane: Lane::Results,
            source: journal.source("timer-a"),
            identity: IdentityRef::None,
            refusable: false,
            event: &[],
            receive_utc_ns: None,
            receive_monotonic_ns: 0,
        };
        journal.append(append).unwrap();
        disk.fail_at(disk.operations() + 1, Fault::Refused);
        journal.commit(clock.monotonic()).unwrap_err();

        let (signal, progress) = (CommitSignal::default(), CommitProgress::new(clock.monotonic()));
        std::thread::scope(|scope| {
            scope.spawn(|| run(&journal, &clock, &signal, &progress));
            let give_up_at = clock.monotonic() + PATIENCE;
            while journal.watermarks().results < Sequence(1) && clock.monotonic() < give_up_at {
                std::thread::yield_now();
            }
            signal.stop();
        });
        assert_eq!((journal.watermarks().results, journal.is_halted()), (Sequence(1), false));
        assert_eq!((progress.halts(), progress.halt_reason()), (1, None));
    }
}
