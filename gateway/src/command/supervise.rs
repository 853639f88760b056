//! Tells the supervisor of a running gateway how it goes.

use std::time::Duration;

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};

use crate::{
    app::{Control, Pulse},
    systemd::Supervisor,
};

/// How often the first line of `status` is told; more often if the watchdog asks for it.
const PERIOD: Duration = Duration::from_secs(5);

/// Tells it until dropped. On the loop that answers the control socket, so that it stops when that does: the watchdog
/// is fed only while this loop, the commit thread and the uplink's thread come round.
pub(super) async fn run(supervisor: &Supervisor, control: Control, pulse: Pulse) {
    let period = supervisor.watchdog().map_or(PERIOD, |within| PERIOD.min(within / 4));
    let mut headline = String::new();
    // One look at a time: it waits for a disk that hangs.
    let mut look: Option<JoinHandle<String>> = None;
    let mut stalled = false;
    loop {
        let control = control.clone();
        let mut task = look.take().unwrap_or_else(|| spawn_blocking(move || control.status().headline));
        match timeout(period / 2, &mut task).await {
            Ok(line) => headline = line.unwrap_or_default(),
            Err(_) => look = Some(task),
        }
        match pulse.stalled() {
            None => {
                if std::mem::take(&mut stalled) {
                    tracing::warn!("work goes on, and the watchdog is fed again");
                }
                supervisor.tell(&format!("WATCHDOG=1\nSTATUS={headline}"));
            }
            Some(why) => {
                if !std::mem::replace(&mut stalled, true) {
                    tracing::error!(why, "the watchdog is not fed any more");
                }
                supervisor.tell(&format!("STATUS=RESULTS CANNOT BE MADE SAFE: {why}"));
            }
        }
        sleep(period / 2).await;
    }
}
