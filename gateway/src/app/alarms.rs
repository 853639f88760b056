//! Alarms: looks at what `status` shows once a second, and tells a command and a webhook.
//!
//! It runs on a thread of its own, and nothing waits for it. What was told is remembered in a file, so that a restart
//! tells nothing a second time, and tells what ended meanwhile.

mod conditions;
mod memory;

use std::{collections::BTreeMap, io, sync::Arc, thread::JoinHandle, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinHandle as Task, spawn_blocking},
    time::{sleep, timeout},
};

use self::{
    conditions::{Look, Watcher},
    memory::{Memory, Who},
};
use super::{control::Control, health, progress::CommitProgress, spawn, status::rfc3339};
use crate::{
    alarm::{self, Alarm, COMMAND_TIME_LIMIT, Condition, Hold, Limits, Notice, State, Teller, WEBHOOK_TIME_LIMIT},
    config::AlarmConfig,
};

/// How often the gateway's state is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// Certificate files are read at every so many looks.
const CERTIFICATES_EVERY: u64 = 60;
/// The journal's state waits for a write that is under way. Longer than this nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// What was told last is written down, if the disk takes it within this time of the stop.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// What is to be told, and in which words.
#[derive(Debug, Clone, Default)]
struct Picture {
    raised: BTreeMap<Alarm, String>,
    /// The first line of `status`.
    headline: String,
}

/// Starts the thread.
///
/// # Errors
/// If the system gives none.
pub(super) fn start(
    control: Control,
    progress: Arc<CommitProgress>,
    stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    spawn("alarm", move || {
        runtime.block_on(run(&control, &progress, stop));
        // Not waiting for a look that waits for the disk.
        runtime.shutdown_background();
    })
}

async fn run(control: &Control, progress: &CommitProgress, mut stop: watch::Receiver<bool>) {
    let config = control.config();
    let data_dir = &config.gateway.data_dir;
    let memory = Memory::read(data_dir);
    let hold = Hold::resume(control.clock.monotonic(), config.alarm.clear_after, memory.raised());
    let (picture, seen) = watch::channel(Picture { raised: hold.raised().clone(), headline: String::new() });
    let (told, to_write) = watch::channel(memory);
    let run = async |config: &AlarmConfig, notice: &Notice| {
        let Some(path) = &config.command else { return Ok(()) };
        alarm::run(path, notice, COMMAND_TIME_LIMIT).await
    };
    let post = async |config: &AlarmConfig, notice: &Notice| {
        let Some(webhook) = &config.webhook else { return Ok(()) };
        alarm::post(webhook, notice, WEBHOOK_TIME_LIMIT).await
    };
    let command = tell(Who::Command, Limits::COMMAND, control, seen.clone(), &told, run);
    let webhook = tell(Who::Webhook, Limits::WEBHOOK, control, seen.clone(), &told, post);
    let mut writer = tokio::spawn(memory::write_down(data_dir.clone(), to_write));
    tokio::select! {
        ((), (), ()) = async { tokio::join!(look(control, progress, hold, &picture), command, webhook) } => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    drop(told);
    if timeout(STOP_PATIENCE, &mut writer).await.is_err() {
        tracing::warn!("what alarms were told last is not written down; it may be told again");
    }
}

/// Looks at the gateway's state again and again, and shows what is raised.
async fn look(control: &Control, progress: &CommitProgress, mut hold: Hold, picture: &watch::Sender<Picture>) {
    let mut watcher = Watcher::default();
    let mut clear_after = control.config().alarm.clear_after;
    let mut under_way: Option<Task<Look>> = None;
    let mut present = std::collections::BTreeSet::new();
    let mut headline = String::new();
    for count in 0_u64.. {
        let config = control.config();
        if !config.alarm.is_told() {
            sleep(PERIOD).await;
            continue;
        }
        watcher.configure(&config);
        if std::mem::replace(&mut clear_after, config.alarm.clear_after) != config.alarm.clear_after {
            hold = Hold::resume(control.clock.monotonic(), clear_after, hold.raised().clone());
        }
        let with_certificates = count % CERTIFICATES_EVERY == 0;
        let start = || {
            let control = control.clone();
            spawn_blocking(move || Look::take(&control, with_certificates))
        };
        // One look at a time: a disk that hangs would hold a thread for each.
        let mut task = under_way.take().unwrap_or_else(start);
        match timeout(PATIENCE, &mut task).await {
            Ok(look) => {
                let look = look.expect("a look that panics is a fault of the program");
                present = watcher.present(&look);
                headline = look.status.headline;
            }
            // What was seen last holds on.
            Err(_) => under_way = Some(task),
        }
        let now = control.clock.monotonic();
        let halted = Alarm::new(Condition::JournalHalted);
        if watcher.halted_anew(progress.halts()) {
            present.insert(halted.clone());
        }
        if let Some(trouble) = health::troubles_of_process(progress, now).first() {
            present.insert(halted);
            headline = format!("RESULTS CANNOT BE MADE SAFE: {trouble}");
        }
        hold.observe(now, &rfc3339(control.clock.stamp().utc_ns), &present);
        picture.send_replace(Picture { raised: hold.raised().clone(), headline: headline.clone() });
        sleep(PERIOD).await;
    }
}

/// Tells somebody what is raised and what is over, one notice at a time, and notes what was told.
async fn tell<E: std::fmt::Display>(
    who: Who,
    limits: Limits,
    control: &Control,
    mut picture: watch::Receiver<Picture>,
    memory: &watch::Sender<Memory>,
    send: impl AsyncFn(&AlarmConfig, &Notice) -> Result<(), E>,
) {
    let mut teller = Teller::resume(limits, memory.borrow().of(who));
    loop {
        let seen = picture.borrow_and_update().clone();
        let config = control.config();
        let is_told = who.is_told(&config.alarm);
        let change = is_told.then(|| teller.poll(control.clock.monotonic(), &seen.raised)).flatten();
        let Some(change) = change else {
            // Shown anew at each look, so that what failed is tried again in time.
            match picture.changed().await {
                Ok(()) => continue,
                Err(_) => return,
            }
        };
        let gateway = &config.gateway;
        let notice = Notice::new(&change, gateway.id.as_str(), &gateway.venue, &seen.headline);
        let (alarm, state, who_name) = (&change.alarm, change.state.name(), who.name());
        match send(&config.alarm, &notice).await {
            Ok(()) if teller.told(&change) => {
                tracing::warn!(%alarm, state, by = who_name, "alarms can be told again: {}", notice.text);
            }
            Ok(()) if change.state == State::Raised => {
                tracing::warn!(%alarm, state, by = who_name, "told: {}", notice.text);
            }
            Ok(()) => tracing::info!(%alarm, state, by = who_name, "told: {}", notice.text),
            Err(error) => {
                let text = match teller.failed(control.clock.monotonic(), &change) {
                    true => "an alarm could not be told, and is given up",
                    false => "an alarm could not be told; tried again",
                };
                tracing::error!(%alarm, state, by = who_name, %error, "{text}: {}", notice.text);
            }
        }
        memory.send_modify(|memory| memory.note(who, &teller));
    }
}
