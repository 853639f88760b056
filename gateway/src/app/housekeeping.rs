//! The housekeeping thread: spares ahead of need, retention, cursor marks.

use std::{io, sync::Arc, thread::JoinHandle, time::Duration};

use tokio::sync::watch;
use venue_journal::{Journal, Storage};

use super::{commit::CommitSignal, spawn, stopped};
use crate::clock::SystemClock;

/// Housekeeping is done this often.
const PERIOD: Duration = Duration::from_millis(100);
/// A failure that goes on is told this often.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Starts the thread.
///
/// # Errors
/// If the system gives none.
pub(super) fn start<S: Storage>(
    journal: Journal<S>,
    clock: Arc<SystemClock>,
    commits: CommitSignal,
    stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    spawn("housekeeping", move || {
        let mut told: Option<Duration> = None;
        loop {
            let now = clock.monotonic();
            match journal.housekeep(now) {
                Ok(done) if done.segments_retired > 0 || done.spares_created > 0 => commits.poke(),
                Ok(_) => {}
                Err(error) if told.is_none_or(|when| now.saturating_sub(when) >= TOLD_EVERY) => {
                    told = Some(now);
                    tracing::error!(%error, "housekeeping of the journal failed");
                }
                Err(_) => {}
            }
            if stopped(&stop, PERIOD) {
                return;
            }
        }
    })
}
