//! Quotas that are full, a disk that is full, and segments that rot.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod account;
mod damage;
mod loop_disk;
#[path = "../stage/mod.rs"]
mod stage;

use std::time::Duration;

use account::{Account, gap, missing};
use damage::Segments;
use loop_disk::LoopDisk;
use serde_json::Value;
use stage::{
    LAST_DURABLE, PATIENCE, STAGED, Stage, eventually,
    printer::{self, Pace, Printer},
    sequence,
};
use venue_schema::v1::{Event, GapCause, GapState, Lane};
use venue_sim::gateway::{self, number, text};

const PACE: Pace = Pace { burst: 20, every: Duration::from_millis(1) };
/// More impulses than the smallest quotas hold several times over.
const FLOOD: u64 = 20_000;
/// Impulses that come when there is room again.
const AFTERWARDS: u64 = 2_000;
/// The smallest of both, bytes.
const QUOTA_AND_RESERVE: u64 = (2 << 20) + (256 << 10);

/// The uplink is away until both lanes are full. Devices that keep nothing go on being
/// read: results go into the reserve, and from the first that finds no room even there a
/// durable gap is open; telemetry sheds its oldest, and no result for it. When the uplink
/// returns all of it drains, the gap is closed, and what the records at the cloud say is
/// missing is exactly what is missing.
#[tokio::test]
async fn full_quotas_lose_nothing_undeclared_and_telemetry_evicts_no_result() {
    let mut stage = Stage::set().await;
    let (timer, chatter) = (Printer::start(PACE), Printer::start(PACE));
    let sources = timer.source("timer", "results") + &chatter.source("chatter", "telemetry");
    stage.configure("results = { quota = \"2MiB\", reserve = \"256KiB\" }\ntelemetry = { quota = \"2MiB\" }", &sources);
    stage.link.cut();
    stage.gateway.start().unwrap();
    let full = stage.print(&[&timer, &chatter], FLOOD).await;
    assert_eq!(full.pointer("/journal/lanes/0/full"), Some(&Value::Bool(true)), "{full:#}");
    assert_eq!(number(&full, "/journal/lanes/0/first_retained"), 1, "no result was evicted: {full:#}");
    assert!(number(&full, "/sources/0/lost") > 0, "the reserve was filled: {full:#}");
    assert!(number(&full, "/journal/lanes/0/used_bytes") <= QUOTA_AND_RESERVE, "no byte beyond the reserve: {full:#}");
    assert_eq!(number(&full, "/sources/1/lost"), 0, "telemetry makes its own room: {full:#}");
    assert_open_gap_behind_a_prefix(&stage).await;

    stage.link.restore();
    let drained = |status: &Value| gateway::results_delivered(status) && !is_full(status);
    stage.until(drained).await;
    stage.print(&[&timer], AFTERWARDS).await;
    stage.until(everything_delivered).await;
    stage.gateway.stop().await.unwrap();

    let results = Account::of(stage.stored(Lane::Results).await);
    results.assert_dense();
    assert_eq!(results.skipped(), [], "nothing of the results lane is skipped");
    let impulses = results.impulses();
    let lost = missing(&impulses, FLOOD + AFTERWARDS);
    assert_eq!(results.declared(GapCause::ReserveFull), lost, "what is declared is what is missing");
    assert!(impulses.ends_with(&(FLOOD..FLOOD + AFTERWARDS).collect::<Vec<_>>()), "with room again all is kept");

    let telemetry = Account::of(stage.stored(Lane::Telemetry).await);
    telemetry.assert_dense();
    let shed = telemetry.skipped();
    assert!(!shed.is_empty() && shed.iter().all(|(.., cause)| *cause == GapCause::Shed), "{shed:?}");
    let shed_count: u64 = shed.iter().map(|(first, last, _)| last - first + 1).sum();
    let impulses = telemetry.impulses();
    let gone = missing(&impulses, FLOOD);
    assert_eq!(impulses.first(), Some(&gone), "it is the oldest that went");
    assert!(0 < gone && gone <= shed_count, "{gone} impulses are missing, {shed_count} records were shed");
    println!("results: {lost} of {FLOOD} lost and declared; telemetry: {gone} impulses in {shed_count} shed records");
}

/// The gateway is killed while results are being lost, so that nobody knows how many went.
/// The next process ends the gap under its name without a count, and the cloud has every
/// impulse that comes after it.
#[tokio::test]
async fn a_kill_amid_a_loss_leaves_a_gap_without_a_count() {
    let mut stage = Stage::set().await;
    let timer = Printer::start(PACE);
    let journal = "results = { quota = \"2MiB\", reserve = \"256KiB\" }\ntelemetry = { quota = \"2MiB\" }";
    stage.configure(journal, &timer.source("timer", "results"));
    stage.link.cut();
    stage.gateway.start().unwrap();
    let full = stage.print(&[&timer], FLOOD).await;
    assert!(number(&full, "/sources/0/lost") > 0, "{full:#}");
    assert!(number(&full, "/journal/lanes/0/used_bytes") <= QUOTA_AND_RESERVE, "no byte beyond the reserve: {full:#}");
    assert_open_gap_behind_a_prefix(&stage).await;
    stage.gateway.kill().await.unwrap();
    stage.link.restore();
    stage.gateway.start().unwrap();
    let drained = |status: &Value| gateway::all_connected(status) && everything_delivered(status) && !is_full(status);
    stage.until(drained).await;
    stage.print(&[&timer], AFTERWARDS).await;
    stage.until(everything_delivered).await;
    stage.gateway.stop().await.unwrap();

    let results = Account::of(stage.stored(Lane::Results).await);
    results.assert_dense();
    let impulses = results.impulses();
    assert!(missing(&impulses, FLOOD + AFTERWARDS) > 0, "results were being lost");
    assert!(impulses.ends_with(&(FLOOD..FLOOD + AFTERWARDS).collect::<Vec<_>>()), "with room again all is kept");
    assert_eq!(results.ended_without_count(GapCause::ReserveFull), 1);
}

/// A disk that another program fills, without an uplink: the gateway stays up, goes on
/// reading, and declares what finds no room; when the space comes back it resumes by
/// itself, and in the end the account is exact.
#[tokio::test]
async fn a_full_disk_is_declared_and_resumes_by_itself() {
    let Some((mut stage, disk)) = on_a_disk_of_64_mib().await else { return };
    let timer = Printer::start(PACE);
    let journal = "results = { quota = \"32MiB\", reserve = \"1MiB\" }\ntelemetry = { quota = \"2MiB\" }";
    stage.configure(journal, &timer.source("timer", "results"));
    stage.link.cut();
    stage.gateway.start().unwrap();
    stage.print(&[&timer], AFTERWARDS).await;
    disk.fill(0);
    // Little at a time, until the gateway has seen that the disk is full: what it took in before waits in memory.
    while number(&stage.until_read(&[&timer]).await, "/sources/0/lost") == 0 {
        stage.until(|status| number(status, STAGED) == 0 || is_full(status)).await;
        timer.allow_more(FLOOD / 50);
    }
    timer.allow_more(FLOOD);
    let full = stage.until_read(&[&timer]).await;
    assert!(is_full(&full), "{full:#}");
    assert_eq!(number(&full, "/journal/lanes/0/first_retained"), 1, "no result was evicted: {full:#}");
    assert_open_gap_behind_a_prefix(&stage).await;
    assert!(stage.log().matches("no space on disk").count() <= 1, "it is told once, if at all");

    disk.free();
    let resumed = stage.until(|status| !is_full(status)).await;
    let lost = number(&resumed, "/sources/0/lost");
    let after = stage.print(&[&timer], AFTERWARDS).await;
    assert_eq!(number(&after, "/sources/0/lost"), lost, "with space again nothing is lost");
    stage.link.restore();
    stage.until(everything_delivered).await;
    stage.gateway.stop().await.unwrap();

    let results = Account::of(stage.stored(Lane::Results).await);
    results.assert_dense();
    assert_eq!(missing(&results.impulses(), timer.printed()), lost);
    assert_eq!(results.declared(GapCause::ReserveFull), lost, "what is declared is what is missing");
    println!("{lost} of {} lost and declared while the disk was full", timer.printed());
}

/// The disk is full when the gateway is started for the first time: it says so and how to
/// mend it, and ends with the code of a failure. With room for a part of the reserve it
/// starts, says that the room is full, and keeps results in that part; with room for all
/// of it it goes on by itself.
#[tokio::test]
async fn a_first_start_on_a_full_disk_says_so_and_succeeds_with_room() {
    let Some((mut stage, disk)) = on_a_disk_of_64_mib().await else { return };
    let timer = Printer::start(PACE);
    let journal = "results = { quota = \"8MiB\", reserve = \"16MiB\" }\ntelemetry = { quota = \"2MiB\" }";
    stage.configure(journal, &timer.source("timer", "results"));
    let data = stage.data_dir();
    for left in [0, 128 << 10] {
        disk.fill(left);
        stage.gateway.start().unwrap();
        assert_eq!(stage.gateway.ended(PATIENCE).await.unwrap(), Some(1), "{}", stage.log());
        let told = stage.log();
        let last = told.lines().last().unwrap();
        let words = ["no space on disk", data.to_str().unwrap(), "16MiB", "free the disk, or lower `reserve`"];
        assert!(words.iter().all(|word| last.contains(word)), "{left} bytes left: {told}");
        disk.free();
    }
    disk.fill(12 << 20);
    stage.gateway.start().unwrap();
    timer.allow(AFTERWARDS);
    stage.until_read(&[&timer]).await;
    let full = stage.until(|status| is_full(status) && number(status, LAST_DURABLE) >= AFTERWARDS).await;
    assert!(text(&full, "/headline").contains("THE ROOM FOR RESULTS ON DISK IS FULL"), "{full:#}");
    disk.free();
    stage.until(|status| !is_full(status)).await;
    stage.print(&[&timer], AFTERWARDS).await;
    stage.until(everything_delivered).await;
    stage.gateway.stop().await.unwrap();
    let results = Account::of(stage.stored(Lane::Results).await);
    results.assert_dense();
    assert_eq!(missing(&results.impulses(), 2 * AFTERWARDS), 0, "nothing was lost");
}

/// While the gateway is off, bits flip in an old segment and in the last record, and a
/// piece of another segment is zeroed. `journal verify` fails and names the ranges; the
/// gateway starts, sets them aside, says so to the cloud in their place, and delivers
/// every other record.
#[tokio::test]
async fn rotten_segments_are_named_set_aside_and_declared() {
    let mut stage = Stage::set().await;
    let timer = Printer::start(PACE);
    let journal = "results = { quota = \"32MiB\", reserve = \"256KiB\" }\ntelemetry = { quota = \"2MiB\" }";
    stage.configure(journal, &timer.source("timer", "results"));
    stage.link.cut();
    stage.gateway.start().unwrap();
    stage.print(&[&timer], FLOOD / 2).await;
    stage.gateway.stop().await.unwrap();
    let before: Vec<Event> = stage.export(Lane::Results, 1).await;
    let place = |number: u64| {
        let event = before.iter().find(|event| printer::number(&event.evidence) == Some(number));
        sequence(event.expect("it was printed"))
    };
    let (code, damaged) = verify(&stage).await;
    assert_eq!((code, damaged), (Some(0), Vec::new()), "sound before");

    let segments = Segments::of(&stage.data_dir().join("journal"));
    let hit = [segments.flip_in_the_middle(2), segments.zero_in_the_middle(5), segments.flip_at_the_end()];
    let (code, damaged) = verify(&stage).await;
    assert_eq!(code, Some(1), "verify finds it");
    let hit = hit.map(place);
    for sequence in hit {
        let named = damaged.iter().any(|(first, last)| (*first..=*last).contains(&sequence));
        assert!(named, "{sequence} is rotten, and verify names {damaged:?}");
    }
    let damaged_count: u64 = damaged.iter().map(|(first, last)| last - first + 1).sum();
    assert!(damaged_count < FLOOD / 20, "little was touched, and much given up: {damaged:?}");

    stage.link.restore();
    stage.gateway.start().unwrap();
    stage.until(everything_delivered).await;
    stage.gateway.stop().await.unwrap();
    let results = Account::of(stage.stored(Lane::Results).await);
    results.assert_dense();
    let skipped = results.skipped();
    assert!(skipped.iter().all(|(.., cause)| *cause == GapCause::Quarantined), "{skipped:?}");
    let ranges: Vec<(u64, u64)> = skipped.iter().map(|(first, last, _)| (*first, *last)).collect();
    assert_eq!(ranges, damaged, "what is declared is what verify named");
    let sound =
        before.iter().filter(|event| !damaged.iter().any(|(first, last)| (*first..=*last).contains(&sequence(event))));
    let sound: Vec<u64> = sound.filter_map(|event| printer::number(&event.evidence)).collect();
    assert_eq!(results.impulses(), sound, "every sound impulse came, in order");
    println!("{damaged_count} records in {damaged:?} set aside and declared, {} impulses delivered", sound.len());
}

/// A stage whose data directory is a file system of its own; none, and said why, where there can be none.
async fn on_a_disk_of_64_mib() -> Option<(Stage, LoopDisk)> {
    if let Some(what) = LoopDisk::missing() {
        println!("skipped: needs {what}");
        return None;
    }
    let stage = Stage::set().await;
    let disk = LoopDisk::mount(&stage.path("disk.ext4"), 64 << 20, &stage.data_dir());
    if disk.is_none() {
        println!("skipped: needs loop devices");
    }
    Some((stage, disk?))
}

fn is_full(status: &Value) -> bool {
    status.pointer("/journal/lanes/0/full") == Some(&Value::Bool(true))
}

/// Nothing waits in either lane.
fn everything_delivered(status: &Value) -> bool {
    let waits = |pointer| status.pointer(pointer).and_then(Value::as_u64) != Some(0);
    gateway::results_delivered(status) && !waits("/uplinks/0/lanes/1/backlog") && !waits("/journal/lanes/1/staged")
}

/// On disk stand the impulses up to the first that was lost, and behind them that the
/// loss has begun.
async fn assert_open_gap_behind_a_prefix(stage: &Stage) {
    let is_open_loss = |event: &Event| {
        gap(event).is_some_and(|gap| gap.cause() == GapCause::ReserveFull && gap.state() == GapState::Open)
    };
    let (journal, opened) = eventually("the loss that is open, durably", async || {
        let journal: Vec<Event> = stage.export(Lane::Results, 1).await;
        let opened = journal.iter().find(|event| is_open_loss(event)).map(sequence)?;
        Some((journal, opened))
    })
    .await;
    let before = journal.iter().filter(|event| sequence(event) < opened);
    let before: Vec<u64> = before.filter_map(|event| printer::number(&event.evidence)).collect();
    assert_eq!(missing(&before, before.len() as u64), 0, "nothing was lost before it was opened");
}

/// Runs `journal verify`: its exit code, and the damaged ranges of the results lane.
async fn verify(stage: &Stage) -> (Option<i32>, Vec<(u64, u64)>) {
    let data = stage.data_dir();
    let words = ["journal", "verify", "--json", data.to_str().unwrap()];
    let (code, output, errors) = stage.gateway.command(&words).await.unwrap();
    let verdict: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}{errors}"));
    assert_eq!(verdict["ok"], Value::Bool(code == Some(0)));
    (code, serde_json::from_value(verdict["lanes"][0]["damaged"].clone()).unwrap())
}
