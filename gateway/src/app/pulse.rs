//! Whether the threads that carry results come round: what a watchdog is fed by.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{health::STUCK_AFTER, progress::CommitProgress};
use crate::clock::SystemClock;

/// How often the uplink's thread shows that it comes round.
const BEAT: Duration = Duration::from_secs(1);
/// In place of a time: something that may take long is under way.
const EXCUSED: u64 = u64::MAX;

/// When a thread came round last.
#[derive(Debug)]
pub(super) struct Beat(AtomicU64);

impl Beat {
    pub(super) fn new(now: Duration) -> Self {
        let beat = Self(AtomicU64::new(0));
        beat.came_round(now);
        beat
    }

    pub(super) fn came_round(&self, now: Duration) {
        self.0.store(u64::try_from(now.as_nanos()).unwrap_or(EXCUSED), Ordering::Relaxed);
    }

    /// The thread begins something that may take as long as it does.
    pub(super) fn excuse(&self) {
        self.0.store(EXCUSED, Ordering::Relaxed);
    }

    /// How long ago it came round; none while it is excused.
    fn age(&self, now: Duration) -> Option<Duration> {
        let at = self.0.load(Ordering::Relaxed);
        (at != EXCUSED).then(|| now.saturating_sub(Duration::from_nanos(at)))
    }

    /// Comes round again and again, on the thread that is watched.
    pub(super) async fn keep(&self, clock: &SystemClock) {
        loop {
            self.came_round(clock.monotonic());
            tokio::time::sleep(BEAT).await;
        }
    }
}

/// The threads without which no result gets through. Reading it waits for nothing.
#[derive(Debug, Clone)]
pub struct Pulse {
    pub(super) clock: Arc<SystemClock>,
    pub(super) commits: Arc<CommitProgress>,
    pub(super) uplink: Arc<Beat>,
}

impl Pulse {
    /// What does not come round any more, if anything: a start of the process may mend it.
    ///
    /// A journal that cannot be written is no such thing. Its thread comes round, tries to reopen it, and holds in memory
    /// what devices without a memory said meanwhile, which a start would lose. A new journal epoch is none either: it
    /// writes all that waits once more, and holds up both threads as long as that takes.
    pub fn stalled(&self) -> Option<String> {
        stalled(&self.commits, &self.uplink, self.clock.monotonic())
    }
}

fn stalled(commits: &CommitProgress, uplink: &Beat, now: Duration) -> Option<String> {
    let uplink_age = uplink.age(now)?;
    let busy = commits.busy_for(now);
    if busy >= STUCK_AFTER {
        return Some(format!("the disk has not answered the journal for {} s", busy.as_secs()));
    }
    (uplink_age >= STUCK_AFTER).then(|| format!("the uplink's thread has stood still for {} s", uplink_age.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each thread is missed by itself; a disk that fails is not missed, nor an uplink that is excused.
    #[test]
    fn a_thread_that_stands_still_is_told() {
        let at = Duration::from_secs;
        let (commits, uplink) = (CommitProgress::new(at(100)), Beat::new(at(100)));
        assert_eq!(stalled(&commits, &uplink, at(109)), None);
        uplink.came_round(at(110));
        assert_eq!(
            stalled(&commits, &uplink, at(110)).as_deref(),
            Some("the disk has not answered the journal for 10 s")
        );
        commits.came_round(at(115));
        assert_eq!(
            stalled(&commits, &uplink, at(120)).as_deref(),
            Some("the uplink's thread has stood still for 10 s")
        );
        uplink.excuse();
        assert_eq!(stalled(&commits, &uplink, at(1000)), None);
        uplink.came_round(at(1000));
        commits.came_round(at(1000));
        commits.halted("fdatasync: Input/output error");
        assert_eq!(stalled(&commits, &uplink, at(1000)), None);
    }
}
