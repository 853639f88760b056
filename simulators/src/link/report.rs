//! What a link counts and shows.

use tokio::sync::watch;

/// Counters and state of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct LinkReport {
    /// Whether new connections are accepted.
    pub listening: bool,
    /// Connections that stand.
    pub open: u64,
    /// Connections ever accepted.
    pub accepted: u64,
    /// Connections that the link reset, by a knob or because the target was not there.
    pub reset: u64,
    /// Bytes that were read and have not left.
    pub held_bytes: u64,
    /// Bytes passed from clients to the target.
    pub bytes_up: u64,
    /// Bytes passed from the target to clients.
    pub bytes_down: u64,
}

/// The report, shared by the tasks of a link.
#[derive(Debug, Clone, Default)]
pub(super) struct Reporter(watch::Sender<LinkReport>);

impl Reporter {
    pub(super) fn update(&self, change: impl FnOnce(&mut LinkReport)) {
        self.0.send_modify(change);
    }

    pub(super) fn report(&self) -> LinkReport {
        *self.0.borrow()
    }

    pub(super) async fn until(&self, condition: impl FnMut(&LinkReport) -> bool) -> LinkReport {
        let mut receiver = self.0.subscribe();
        let report = receiver.wait_for(condition).await.map(|report| *report);
        report.expect("the sender is held by self")
    }
}
