//! A backlog of millions, drained in order.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
mod stage;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use stage::{
    BACKLOG, GATEWAY, LAST_DURABLE, PATIENCE, Stage,
    printer::{self, Pace, Printer},
    sequence,
};
use venue_delivery::Mark;
use venue_schema::{
    JournalEpoch, Message as _,
    v1::{Event, Lane},
};
use venue_sim::{
    clock::Clock,
    cloud::{CloudConfig, LaneSnapshot, StoreConfig},
    gateway::{self, number},
};

/// Says how many events the backlog has.
const EVENTS: &str = "BACKLOG_EVENTS";
/// Without it: fewer where nothing is optimised.
const EVENTS_BY_DEFAULT: u64 = if cfg!(debug_assertions) { 100_000 } else { 5_000_000 };
/// A busy machine drains at least so many events a second.
const SLOWEST: u64 = 1_000;
/// The gateway may hold this much memory, however long the backlog.
const MOST_MEMORY_KIB: u64 = 256 * 1024;

/// The uplink is away while millions of impulses come. When it returns the whole backlog
/// drains within bounded memory; the cloud's digest is the one that the journal's events,
/// read in their order, give: so it has every event once, and in that order, which is the
/// order in which the chronometer printed them.
#[tokio::test]
async fn a_long_backlog_drains_in_order_within_bounded_memory() {
    let count = std::env::var(EVENTS).map_or(EVENTS_BY_DEFAULT, |text| text.parse().expect("a number of events"));
    let patience = PATIENCE + Duration::from_secs(count / SLOWEST);
    let mut stage = Stage::set_with(|_| CloudConfig::local(StoreConfig::Memory)).await;
    let timer = Printer::start(Pace { burst: 100, every: Duration::from_millis(1) });
    let journal = "results = { quota = \"8GiB\", reserve = \"64MiB\" }\ntelemetry = { quota = \"64MiB\" }";
    stage.configure(journal, &timer.source("timer", "results"));
    stage.link.cut();
    stage.gateway.start().unwrap();
    let clock = Clock::start();
    let status = stage.print(&[&timer], count).await;
    let filled_in = clock.now();
    assert_eq!(number(&status, "/sources/0/lost"), 0, "{status:#}");
    let last = number(&status, LAST_DURABLE);
    assert!(last >= count && number(&status, BACKLOG) == last, "all of it waits: {status:#}");

    let clock = Clock::start();
    stage.link.restore();
    let drained = stage.cloud.until(|cloud| cloud.sequence(GATEWAY, "results") >= last);
    let cloud = tokio::time::timeout(patience, drained).await.expect("the backlog drains").unwrap();
    let drained_in = clock.now();
    stage.gateway.until(patience, gateway::results_delivered).await.unwrap();
    let memory = most_memory_kib(stage.gateway.id().expect("it runs"));
    stage.gateway.stop().await.unwrap();

    let lane = cloud.lanes.into_iter().find(|lane| lane.lane == "results").expect("results came");
    assert_eq!(lane.sequence, last);
    assert_eq!(cloud.seen_again, 0, "no event was taken for another");
    let data = stage.data_dir();
    tokio::task::spawn_blocking(move || assert_order(&data, &lane, count)).await.unwrap();
    println!(
        "{count} events taken in within {:.1} s, drained within {:.1} s ({:.0} events/s), memory at most {:.1} MiB, \
         order proved by digest",
        filled_in.as_secs_f64(),
        drained_in.as_secs_f64(),
        count as f64 / drained_in.as_secs_f64(),
        memory as f64 / 1024.0
    );
    assert!(memory < MOST_MEMORY_KIB, "{memory} KiB");
}

/// Reads the whole lane from the journal: impulses stand in the order of printing, and the
/// digest over the events is the cloud's.
fn assert_order(data: &std::path::Path, cloud: &LaneSnapshot, count: u64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_venue-sim"));
    command.args(["gateway", "journal", "export", "--lane", "results"]).arg(data);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut mark: Option<Mark> = None;
    let mut impulses = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Event = serde_json::from_str(&line.unwrap()).unwrap();
        let before = mark.unwrap_or_else(|| Mark::initial(epoch(&event), Lane::Results));
        let mark = mark.insert(before.then(&event.encode_to_vec()));
        assert_eq!(mark.sequence.0, sequence(&event), "the lane is dense");
        if let Some(number) = printer::number(&event.evidence) {
            assert_eq!(number, impulses, "impulses stand in the order of printing");
            impulses += 1;
        }
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(impulses, count);
    let mark = mark.expect("events");
    assert_eq!((mark.sequence.0, mark.digest.to_string()), (cloud.sequence, cloud.digest.clone()));
}

fn epoch(event: &Event) -> JournalEpoch {
    let epoch = &event.origin.as_ref().expect("a place").journal_epoch;
    JournalEpoch::from_bytes(epoch[..].try_into().expect("16 bytes"))
}

/// The most memory that a process has had, KiB.
fn most_memory_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
