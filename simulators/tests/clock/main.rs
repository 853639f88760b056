//! Clocks that jump, and clocks that nobody ever set.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
mod stage;

use std::{fs, path::Path, process::Command};

use venue_schema::v1::{ClockChange, Lane, SyncState, event};
use venue_sim::{
    cloud::{CloudHandle, StoredEvent},
    gateway,
};

use stage::{SMALL, Stage, eventually, timer::Timer};

const HOUR_NS: i64 = 3_600_000_000_000;
/// How far the gateway's two looks at its clocks may be apart on a busy machine.
const APART_NS: i64 = 10_000_000_000;

/// The library by which `faketime` works; CI has it. The program itself stays between a
/// process and its signals, so that it is not used.
fn faketime_library() -> Option<String> {
    let words = ["-m", "-f", "+0s", "sh", "-c", "printf %s \"$LD_PRELOAD\""];
    match Command::new("faketime").args(words).output() {
        Ok(output) => Some(String::from_utf8(output.stdout).unwrap()),
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "scripts/prepare installs faketime: {error}");
            println!("skipped: needs faketime: {error}");
            None
        }
    }
}

/// The gateway's wall clock is the true one plus what a file says, which is read anew at
/// every look; clocks that count since the boot stay.
fn fake_the_clock(stage: &mut Stage, library: &str, file: &Path) {
    set(file, "+0s");
    let gateway = &mut stage.gateway;
    for (name, value) in [("LD_PRELOAD", library), ("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")] {
        gateway.set_variable(name, value);
    }
    gateway.set_variable("FAKETIME_TIMESTAMP_FILE", file);
}

/// Sets the clock at once, for a half-written file would be another time.
fn set(file: &Path, offset: &str) {
    let new = file.with_extension("new");
    fs::write(&new, offset).unwrap();
    fs::rename(new, file).unwrap();
}

/// The steps of the clock that the centre was told of.
async fn steps(cloud: &CloudHandle) -> Vec<i64> {
    let step = |stored: StoredEvent| match stored.event().unwrap().content {
        Some(event::Content::ClockState(state)) if state.change() == ClockChange::Stepped => state.step_ns,
        _ => None,
    };
    cloud.events(0, usize::MAX).await.unwrap().into_iter().filter_map(step).collect()
}

/// Somebody sets the clock forward by an hour in the middle of a race, and back again. The
/// centre is told each time, with the size of the step; results keep their order, their
/// sequences have no hole, and none is lost or doubled.
#[tokio::test]
async fn a_clock_that_is_stepped_by_an_hour() {
    let Some(library) = faketime_library() else { return };
    let mut stage = Stage::set().await;
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &timer.source());
    let clock = stage.path("clock");
    fake_the_clock(&mut stage, &library, &clock);
    stage.start(&timer).await;
    timer.impulses(5);
    stage.assert_exactly_once(&timer).await;
    for (offset, count, direction) in [("+1h", 1, 1), ("+0s", 2, -1)] {
        set(&clock, offset);
        let steps = eventually("the step at the centre", async || {
            let steps = steps(&stage.cloud).await;
            (steps.len() >= count).then_some(steps)
        })
        .await;
        let size = steps[count - 1];
        assert!((size - direction * HOUR_NS).abs() < APART_NS, "{steps:?}");
        assert!(stage.gateway.status().await.is_some(), "it answers");
        timer.impulses(5);
        stage.assert_exactly_once(&timer).await;
    }
    assert_in_order(&stage, &timer).await;
    stage.gateway.stop().await.unwrap();
}

/// The results of the one journal are dense, came in the order of their sequences, and
/// that is the order in which the chronometer printed them.
async fn assert_in_order(stage: &Stage, timer: &Timer) {
    let results = stage.stored(Lane::Results).await;
    let sequences: Vec<u64> = results.iter().map(|it| it.sequence).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    let number = |stored: &StoredEvent| match stored.event().unwrap().content {
        Some(event::Content::Impulse(impulse)) => Some(impulse.start_number.parse().unwrap_or(0)),
        _ => None,
    };
    let numbers: Vec<u64> = results.iter().filter_map(number).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert_eq!(numbers.len(), timer.records().values().sum::<usize>());
    let received = |it: &StoredEvent| it.event().unwrap().time.unwrap().receive_monotonic_ns;
    assert!(results.iter().map(received).is_sorted());
}

/// Whether a gateway that believes its clock only when it has reason to, has one here: the
/// kernel was in step with UTC, or there is a battery-backed clock.
fn clock_is_believed_here() -> bool {
    Path::new("/sys/class/rtc/rtc0/since_epoch").exists() || venue_gateway::clock::Discipline::read().synchronized
}

fn says_that_nobody_set_the_clock(stored: &StoredEvent) -> bool {
    let content = stored.event().unwrap().content;
    matches!(content, Some(event::Content::ClockState(state)) if state.sync_state() == SyncState::Unsynchronized
        && state.maximum_error_ns.is_none())
}

/// The gateway boots where no network tells the time. It does not invent a date: results
/// carry monotonic time and the boot's id instead, also in their keys, so that the
/// chronometer's memory, read again after a restart, doubles nothing.
#[tokio::test]
async fn a_boot_without_a_date() {
    if clock_is_believed_here() {
        println!("skipped: this machine's clock is known to be right");
        return;
    }
    let mut stage = Stage::set().await;
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &timer.source());
    let text = fs::read_to_string(stage.gateway.config()).unwrap();
    stage.gateway.configure(&text.replace("clock = \"trusted\"", "clock = \"auto\"")).unwrap();
    stage.start(&timer).await;
    timer.impulses(6);
    stage.assert_exactly_once(&timer).await;
    let status = stage.until(gateway::results_delivered).await;
    assert_eq!(status["clock"]["date_known"], false);
    assert!(gateway::text(&status, "/headline").contains("(THE TIME OF DAY IS NOT KNOWN)"), "{status:#}");

    stage.gateway.kill().await.unwrap();
    timer.impulses(3);
    stage.start(&timer).await;
    timer.impulses(2);
    let events = stage.assert_exactly_once(&timer).await;

    eventually("the clock's own word", async || {
        let events = stage.cloud.events(0, usize::MAX).await.unwrap();
        events.iter().any(says_that_nobody_set_the_clock).then_some(())
    })
    .await;

    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().replace('-', "");
    let impulses = events.iter().map(|it| it.event().unwrap());
    let impulses: Vec<_> = impulses.filter(|it| matches!(it.content, Some(event::Content::Impulse(_)))).collect();
    assert_eq!(impulses.len(), 11);
    for impulse in impulses {
        let time = impulse.time.unwrap();
        assert_eq!((time.utc_ns, time.receive_utc_ns), (None, None));
        assert!(time.receive_monotonic_ns > 0);
        let hex: String = time.boot_id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, boot_id);
        let Some(event::Identity::ContentKey(key)) = impulse.identity else { panic!("no key") };
        assert!(key.key.ends_with(&format!("|boot-{boot_id}")), "{}", key.key);
    }
}
