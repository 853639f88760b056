//! Disks that were copied or restored, and centres that forgot: who is refused, what
//! begins a new journal epoch, and that no result is lost or doubled by any of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
mod stage;

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::json;
use venue_schema::v1::{GapCause, Lane, event, gap};
use venue_sim::{
    cloud::{Amnesia, Fault, StoredEvent},
    gateway::{self, number, text},
};

use stage::{
    ACKNOWLEDGED, BACKLOG, GATEWAY, LAST_DURABLE, SMALL, STATE, Stage, eventually, is_delivering, timer::Timer, uplink,
};

const EPOCH: &str = "/journal/epoch";
const TWO_GATEWAYS: &str = "two gateways with one identity, or a restored disk";

/// Copies a data directory with all its attributes, as an administrator would.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// A gateway that has delivered some results and is stopped.
async fn delivered(count: u16) -> (Stage, Timer) {
    let mut stage = Stage::set().await;
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &timer.source());
    stage.start(&timer).await;
    timer.impulses(count);
    stage.assert_exactly_once(&timer).await;
    stage.gateway.stop().await.unwrap();
    (stage, timer)
}

/// The journals that the centre holds results of.
fn epochs(events: &[StoredEvent]) -> BTreeSet<Vec<u8>> {
    events.iter().filter(|it| it.lane == Lane::Results).map(|it| it.journal_epoch.clone()).collect()
}

/// The disk of a gateway was cloned for a second one, and both run. The clone is refused
/// and says why; what it hears it keeps. `journal new-epoch` makes it a gateway of its
/// own, and from then on it is the first one that is refused.
#[tokio::test]
async fn a_cloned_gateway_is_refused_until_it_begins_an_epoch() {
    let (mut first, timer) = delivered(10).await;
    let (mut clone, other) = (Stage::set().await, Timer::start("timer-b"));
    copy(&first.data_dir(), &clone.data_dir());

    // The clone hears its own chronometer for a while before it finds the stage.cloud.
    clone.configure_uplink(SMALL, &other.source(), &uplink(&["http://127.0.0.1:9".to_owned()]));
    other.impulses(8);
    first.start(&timer).await;
    timer.impulses(5);
    first.assert_exactly_once(&timer).await;
    // Its telemetry, too, is longer than what the first one delivered since the copy.
    let held = || first.cloud.snapshot().sequence(GATEWAY, "telemetry");
    loop {
        clone.start(&other).await;
        let status = clone.until_kept(8).await;
        clone.gateway.kill().await.unwrap();
        if number(&status, "/journal/lanes/1/last_durable") > held() + 5 {
            break;
        }
    }

    clone.configure_uplink(SMALL, &other.source(), &uplink(&[format!("http://{}", first.cloud.address())]));
    clone.start(&other).await;
    let status = clone.until_it_says(&[TWO_GATEWAYS, "stop the other gateway, or run `journal new-epoch`"]).await;
    assert_eq!(text(&status, STATE), "refused; everything is kept here");
    clone.until(|status| text(status, "/headline").contains(TWO_GATEWAYS)).await;
    assert!(clone.log().contains(TWO_GATEWAYS));
    other.impulses(2);
    let kept = number(&clone.until_kept(10).await, BACKLOG);
    // The first one is not disturbed for longer than it takes to connect again.
    timer.impulses(5);
    first.assert_exactly_once(&timer).await;
    first.gateway.stop().await.unwrap();

    clone.gateway.stop().await.unwrap();
    let (data, config) = (clone.data_dir(), clone.gateway.config());
    let words = ["journal", "new-epoch", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let (code, said, errors) = clone.gateway.command(&words).await.unwrap();
    assert_eq!(code, Some(0), "{errors}");
    let again = format!("results   {kept} events not yet acknowledged are sent under the new epoch");
    assert!(said.contains(&again), "{said}");
    clone.start(&other).await;
    let events = clone.assert_exactly_once_at(&first.cloud, &other).await;
    assert_eq!(epochs(&events).len(), 2);
    assert_eq!(timer.records_in(&events), timer.records());

    first.start(&timer).await;
    timer.impulses(3);
    let status = first.until_it_says(&["FAILED_PRECONDITION", TWO_GATEWAYS, "everything is kept here"]).await;
    assert_eq!(text(&status, STATE), "refused; everything is kept here");
    first.until_kept(3).await;
}

/// A disk is restored from last week's copy: the centre has more than the journal, which
/// therefore begins a new epoch by itself. The chronometer's memory fills the journal
/// again, and the centre knows what it has seen.
#[tokio::test]
async fn a_restored_disk_begins_an_epoch_by_itself() {
    let (mut stage, timer) = delivered(10).await;
    copy(&stage.data_dir(), &stage.path("backup"));
    stage.start(&timer).await;
    timer.impulses(10);
    let before = stage.until(|status| gateway::results_delivered(status) && number(status, ACKNOWLEDGED) >= 20).await;
    stage.gateway.stop().await.unwrap();

    std::fs::remove_dir_all(stage.data_dir()).unwrap();
    copy(&stage.path("backup"), &stage.data_dir());
    stage.start(&timer).await;
    let after = stage.until(|status| text(status, EPOCH) != text(&before, EPOCH)).await;
    timer.impulses(5);
    let events = stage.assert_exactly_once(&timer).await;
    assert_eq!(epochs(&events).len(), 2);
    // What the memory repeats is recognised, now or in a moment.
    eventually("the memory's repeat", async || (stage.cloud.snapshot().seen_again >= 10).then_some(())).await;
    stage.assert_exactly_once(&timer).await;
    let inspected = stage.inspect().await;
    assert_eq!(inspected["journal_epoch"], text(&after, EPOCH));
    assert_eq!(inspected["predecessor_epochs"], json!([text(&before, EPOCH)]), "the successor names its predecessor");
    assert!(stage.log().contains("the centre holds more than this journal: a new journal epoch begins"));
}

/// The centre's store is put back by a few events, then by all: what it forgot is sent
/// again without being asked, and no more than that.
#[tokio::test]
async fn what_the_centre_forgot_is_sent_again() {
    let (mut stage, timer) = delivered(30).await;
    stage.start(&timer).await;
    stage.until(is_delivering).await;
    for amnesia in [Amnesia::Last(7), Amnesia::Whole] {
        stage.cloud.forget(amnesia).await.unwrap();
        assert!(stage.cloud.events(0, usize::MAX).await.unwrap().len() < 30);
        stage.cloud.fault(Fault::Reset).await.unwrap();
        eventually("the journal's end at the centre", async || {
            (stage.cloud.snapshot().sequence(GATEWAY, "results") >= 30).then_some(())
        })
        .await;
        let events = stage.assert_exactly_once(&timer).await;
        assert_eq!(epochs(&events).len(), 1);
    }
    assert!(stage.log().contains("the centre forgot what it had acknowledged; it is sent again"));
    timer.impulses(3);
    stage.assert_exactly_once(&timer).await;
}

/// The centre forgot everything, and the gateway's disk is too small for all that it ever
/// delivered. What is gone is declared in its place, by one event for the whole range.
#[tokio::test]
async fn what_is_gone_at_both_ends_is_declared() {
    const RESULTS: u16 = 700;
    let (mut stage, timer) = (Stage::set().await, Timer::start("timer-a"));
    // 8 KiB of labels an event, so that 700 are more than the disk may hold.
    let labels: Vec<String> = (0..32).map(|index| format!("l{index} = \"{}\"", "x".repeat(250))).collect();
    let labels = format!("labels = {{ {} }}\n", labels.join(", "));
    stage.configure(&SMALL.replace("16MiB", "2MiB"), &(timer.source() + &labels));
    stage.start(&timer).await;
    for _ in 0..RESULTS / 50 {
        timer.impulses(50);
        stage.assert_exactly_once(&timer).await;
    }
    let retained = |status: &serde_json::Value| number(status, "/journal/lanes/0/first_retained");
    let status = stage.until(|status| retained(status) > 1).await;

    stage.cloud.forget(Amnesia::Whole).await.unwrap();
    stage.cloud.fault(Fault::Reset).await.unwrap();
    let end = number(&status, LAST_DURABLE);
    eventually("the journal's end at the centre", async || {
        (stage.cloud.snapshot().sequence(GATEWAY, "results") >= end).then_some(())
    })
    .await;
    stage.until(gateway::results_delivered).await;

    let mut lane = stage.stored(Lane::Results).await;
    lane.sort_by_key(|it| it.first_sequence);
    let gone = &lane[0];
    assert!(gone.gap && gone.first_sequence == 1 && gone.sequence > 1, "{gone:?}");
    let Some(event::Content::Gap(declared)) = gone.event().unwrap().content else { panic!("no gap: {gone:?}") };
    assert_eq!(declared.cause(), GapCause::ReceiverReset);
    assert_eq!(declared.count, Some(gone.sequence));
    assert!(matches!(declared.scope, Some(gap::Scope::LaneRange(range)) if range.last_sequence == gone.sequence));
    // Behind it the lane is whole.
    assert!(lane.windows(2).all(|two| two[1].first_sequence == two[0].sequence + 1));
    assert!(stage.log().contains("a loss record stands for them"));
}
