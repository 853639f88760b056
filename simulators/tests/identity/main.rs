//! Disks that were copied or restored, and centres that forgot: who is refused, what
//! begins a new journal epoch, and that no result is lost or doubled by any of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../hill/mod.rs"]
mod hill;

use std::{collections::BTreeSet, path::Path, process::Command};

use venue_schema::v1::{GapCause, Lane, event, gap};
use venue_sim::{
    cloud::{Amnesia, CloudHandle, Fault, StoredEvent},
    gateway::{self, number, text},
};

use hill::{ACKNOWLEDGED, GATEWAY_ID, Hill, STATE, centre, eventually, results, uplink, uplink_to};

const BACKLOG: &str = "/uplinks/0/lanes/0/backlog";
const EPOCH: &str = "/journal/epoch";
const TWO_GATEWAYS: &str = "two gateways with one identity, or a restored disk";

/// Copies a data directory with all its attributes, as an administrator would.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// A gateway that has delivered some results and is stopped.
async fn delivered(count: u16) -> (Hill, CloudHandle) {
    let mut hill = Hill::new();
    let centre = centre(hill.directory.path()).await;
    hill.configure(&uplink_to(&centre));
    hill.start().await;
    hill.impulses(count);
    hill.assert_exactly_once(&centre).await;
    hill.gateway.stop().await.unwrap();
    (hill, centre)
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
    let (mut first, centre) = delivered(10).await;
    let mut clone = Hill::with("timer-b");
    copy(&first.path("data"), &clone.path("data"));

    // The clone hears its own chronometer for a while before it finds the centre.
    clone.configure(&uplink(&["http://127.0.0.1:9".to_owned()]));
    clone.impulses(8);
    first.start().await;
    first.impulses(5);
    first.assert_exactly_once(&centre).await;
    // Its telemetry, too, is longer than what the first one delivered since the copy.
    let held = || centre.snapshot().sequence(GATEWAY_ID, "telemetry");
    loop {
        clone.start().await;
        let status = clone.until_kept(8).await;
        clone.gateway.kill().await.unwrap();
        if number(&status, "/journal/lanes/1/last_durable") > held() + 5 {
            break;
        }
    }

    clone.configure(&uplink_to(&centre));
    clone.start().await;
    let status = clone.until_it_says(&[TWO_GATEWAYS, "stop the other gateway, or run `journal new-epoch`"]).await;
    assert_eq!(text(&status, STATE), "refused; everything is kept here");
    assert!(text(&status, "/headline").contains(TWO_GATEWAYS), "{status:#}");
    assert!(clone.log().contains(TWO_GATEWAYS));
    clone.impulses(2);
    let kept = number(&clone.until_kept(10).await, BACKLOG);
    // The first one is not disturbed for longer than it takes to connect again.
    first.impulses(5);
    first.assert_exactly_once(&centre).await;
    first.gateway.stop().await.unwrap();

    clone.gateway.stop().await.unwrap();
    let (data, config) = (clone.path("data"), clone.gateway.config());
    let words = ["journal", "new-epoch", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let (code, said, errors) = clone.gateway.command(&words).await.unwrap();
    assert_eq!(code, Some(0), "{errors}");
    let again = format!("results   {kept} events not yet acknowledged are sent under the new epoch");
    assert!(said.contains(&again), "{said}");
    clone.start().await;
    let events = clone.assert_exactly_once(&centre).await;
    assert_eq!(epochs(&events).len(), 2);
    assert_eq!(results(&events, first.device_id), first.records());

    first.start().await;
    first.impulses(3);
    let status = first.until_it_says(&["FAILED_PRECONDITION", TWO_GATEWAYS, "everything is kept here"]).await;
    assert_eq!(text(&status, STATE), "refused; everything is kept here");
    first.until_kept(3).await;
}

/// A disk is restored from last week's copy: the centre has more than the journal, which
/// therefore begins a new epoch by itself. The chronometer's memory fills the journal
/// again, and the centre knows what it has seen.
#[tokio::test]
async fn a_restored_disk_begins_an_epoch_by_itself() {
    let (mut hill, centre) = delivered(10).await;
    copy(&hill.path("data"), &hill.path("backup"));
    hill.start().await;
    hill.impulses(10);
    let before = hill.until(|status| gateway::results_delivered(status) && number(status, ACKNOWLEDGED) >= 20).await;
    hill.gateway.stop().await.unwrap();

    std::fs::remove_dir_all(hill.path("data")).unwrap();
    copy(&hill.path("backup"), &hill.path("data"));
    hill.start().await;
    let after = hill.until(|status| text(status, EPOCH) != text(&before, EPOCH)).await;
    hill.impulses(5);
    let events = hill.assert_exactly_once(&centre).await;
    assert_eq!(epochs(&events).len(), 2);
    // What the memory repeats is recognised, now or in a moment.
    eventually("the memory's repeat", async || (centre.snapshot().seen_again >= 10).then_some(())).await;
    hill.assert_exactly_once(&centre).await;
    let inspected = inspect(&hill, text(&after, EPOCH)).await;
    assert_eq!(inspected, [text(&before, EPOCH)], "the successor names its predecessor");
    assert!(hill.log().contains("the centre holds more than this journal: a new journal epoch begins"));
}

/// The epochs that a journal names as its predecessors.
async fn inspect(hill: &Hill, epoch: &str) -> Vec<String> {
    let data = hill.path("data");
    let (code, output, errors) =
        hill.gateway.command(&["journal", "inspect", data.to_str().unwrap(), "--json"]).await.unwrap();
    assert_eq!(code, Some(0), "{errors}");
    let summary: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(summary["journal_epoch"], epoch);
    serde_json::from_value(summary["predecessor_epochs"].clone()).unwrap()
}

/// The centre's store is put back by a few events, then by all: what it forgot is sent
/// again without being asked, and no more than that.
#[tokio::test]
async fn what_the_centre_forgot_is_sent_again() {
    let (mut hill, centre) = delivered(30).await;
    hill.start().await;
    hill.until(|status| status["uplinks"][0]["lanes"][0]["delivering"] == true).await;
    for amnesia in [Amnesia::Last(7), Amnesia::Whole] {
        centre.forget(amnesia).await.unwrap();
        assert!(centre.events(0, usize::MAX).await.unwrap().len() < 30);
        centre.fault(Fault::Reset).await.unwrap();
        eventually("the journal's end at the centre", async || {
            (centre.snapshot().sequence(GATEWAY_ID, "results") >= 30).then_some(())
        })
        .await;
        let events = hill.assert_exactly_once(&centre).await;
        assert_eq!(epochs(&events).len(), 1);
    }
    assert!(hill.log().contains("the centre forgot what it had acknowledged; it is sent again"));
    hill.impulses(3);
    hill.assert_exactly_once(&centre).await;
}

/// The centre forgot everything, and the gateway's disk is too small for all that it ever
/// delivered. What is gone is declared in its place, by one event for the whole range.
#[tokio::test]
async fn what_is_gone_at_both_ends_is_declared() {
    const RESULTS: u16 = 700;
    let mut hill = Hill::new();
    let centre = centre(hill.directory.path()).await;
    // 8 KiB of labels an event, so that 700 are more than the disk may hold.
    let labels: Vec<String> = (0..32).map(|index| format!("l{index} = \"{}\"", "x".repeat(250))).collect();
    let labels = format!("labels = {{ {} }}\n", labels.join(", "));
    hill.configure(&(labels + &uplink_to(&centre)));
    let small = std::fs::read_to_string(hill.gateway.config()).unwrap().replace("16MiB", "2MiB");
    hill.gateway.configure(&small).unwrap();
    hill.start().await;
    for _ in 0..RESULTS / 50 {
        hill.impulses(50);
        hill.assert_exactly_once(&centre).await;
    }
    let retained = |status: &serde_json::Value| number(status, "/journal/lanes/0/first_retained");
    let status = hill.until(|status| retained(status) > 1).await;

    centre.forget(Amnesia::Whole).await.unwrap();
    centre.fault(Fault::Reset).await.unwrap();
    let end = number(&status, "/journal/lanes/0/last_durable");
    eventually("the journal's end at the centre", async || {
        (centre.snapshot().sequence(GATEWAY_ID, "results") >= end).then_some(())
    })
    .await;
    hill.until(gateway::results_delivered).await;

    let events = centre.events(0, usize::MAX).await.unwrap();
    let mut lane: Vec<_> = events.iter().filter(|it| it.lane == Lane::Results).collect();
    lane.sort_by_key(|it| it.first_sequence);
    let gone = lane[0];
    assert!(gone.gap && gone.first_sequence == 1 && gone.sequence > 1, "{gone:?}");
    let Some(event::Content::Gap(declared)) = gone.event().unwrap().content else { panic!("no gap: {gone:?}") };
    assert_eq!(declared.cause(), GapCause::ReceiverReset);
    assert_eq!(declared.count, Some(gone.sequence));
    assert!(matches!(declared.scope, Some(gap::Scope::LaneRange(range)) if range.last_sequence == gone.sequence));
    // Behind it the lane is whole.
    assert!(lane.windows(2).all(|two| two[1].first_sequence == two[0].sequence + 1));
    assert!(hill.log().contains("a loss record stands for them"));
}
