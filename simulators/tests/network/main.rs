//! Links that go silent instead of breaking, and links of which there are two.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod namespace;
#[path = "../stage/mod.rs"]
mod stage;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use venue_schema::v1::{GapCause, GapState, event};
use venue_sim::{
    cloud::{CloudConfig, StoredEvent},
    gateway::{self, text},
    link::{Link, LinkConfig},
};

use namespace::Namespace;
use stage::{SMALL, STATE, Stage, cloud_in, eventually, is_delivering, timer::Timer, uplink};

/// A dead peer is noticed within this, as the product promises, by its own log; the rest
/// is given to a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(5);
/// The endpoint of the results lane, within a status.
const ENDPOINT: &str = "/uplinks/0/lanes/0/endpoint";

/// A stage whose gateway is on a host of its own; chronometer and cloud are out here.
async fn apart(namespace: &Namespace) -> (Stage, Timer) {
    let listen = (namespace.outside, 0).into();
    let mut stage = Stage::set_with(|directory| CloudConfig { listen, ..cloud_in(directory) }).await;
    let timer = Timer::start_on("timer-a", namespace.outside.into());
    let uplink = uplink(&[format!("http://{}", stage.cloud.address())]);
    stage.configure_uplink(SMALL, &timer.source(), &uplink);
    stage.gateway.set_wrapper(namespace.wrapper());
    stage.start(&timer).await;
    stage.until(is_delivering).await;
    (stage, timer)
}

/// Waits until the gateway has told of what a cut must lead to, and asserts that it did so
/// in time.
async fn assert_noticed(stage: &Stage, cut_utc_ns: i64, words: &[&str]) {
    let told_at = |line: &str| line.split(' ').next()?.parse::<Timestamp>().ok()?.as_nanosecond().try_into().ok();
    let told = eventually("what a cut must lead to", async || {
        let log = stage.log();
        let fitting = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        fitting.filter_map(told_at).find(|at: &i64| *at > cut_utc_ns)
    });
    let took = Duration::from_nanos((told.await - cut_utc_ns).unsigned_abs());
    assert!(took < NOTICED_WITHIN + MARGIN, "noticed only after {took:?}");
}

/// The path to the centre swallows every packet, once while nothing is to be sent and
/// once with results on the way. The gateway does not wait for a connection that leads
/// nowhere: it says so within ten seconds, tries again, and loses and doubles nothing.
#[tokio::test]
async fn a_half_open_uplink() {
    let Some(namespace) = Namespace::new() else { return };
    let (stage, timer) = apart(&namespace).await;
    timer.impulses(5);
    stage.assert_exactly_once(&timer).await;
    for on_the_way in [0, 6] {
        let cut_utc_ns = namespace.cut(stage.cloud.address().port());
        timer.impulses(on_the_way);
        assert_noticed(&stage, cut_utc_ns, &["the link fell silent", "lane=\"results\""]).await;
        stage.until(|status| !text(status, STATE).starts_with("delivering")).await;
        timer.impulses(4);
        stage.until_kept(u64::from(on_the_way) + 4).await;
        // It tries, and a connection that does not come to stand is given up too.
        stage.until_it_says(&["no connection"]).await;
        namespace.restore();
        stage.until(is_delivering).await;
        stage.assert_exactly_once(&timer).await;
    }
}

/// The path to the chronometer swallows every packet. The gateway notices, and says from
/// when on it did not hear the device; when packets pass again it asks for the memory,
/// which holds what was printed into the void.
#[tokio::test]
async fn a_half_open_device() {
    let Some(namespace) = Namespace::new() else { return };
    let (stage, timer) = apart(&namespace).await;
    timer.impulses(5);
    stage.assert_exactly_once(&timer).await;

    let place: std::net::SocketAddr = timer.place().parse().unwrap();
    let cut_utc_ns = namespace.cut(place.port());
    timer.impulses(6);
    assert_noticed(&stage, cut_utc_ns, &["disconnected", "source=\"timer-a\""]).await;
    stage.until(|status| text(status, "/headline").contains("BUT timer-a IS NOT HEARD SINCE")).await;
    stage.until(|status| text(status, "/sources/0/state") == "disconnected").await;
    let asked = timer.asked();
    namespace.restore();
    stage.until(gateway::all_connected).await;
    timer.until_asked_again(asked).await;
    let events = stage.assert_exactly_once(&timer).await;
    let states = eventually("the healed gap", async || {
        let states = dark(&stage.cloud.events(0, usize::MAX).await.unwrap());
        states.contains(&GapState::Healed).then_some(states)
    });
    assert_eq!(states.await.first(), Some(&GapState::Open), "{events:?}");
}

/// States of the dark times that were declared, in the order of arrival.
fn dark(events: &[StoredEvent]) -> Vec<GapState> {
    let state = |stored: &StoredEvent| match stored.event().unwrap().content {
        Some(event::Content::Gap(gap)) if gap.cause() == GapCause::DeviceDark => Some(gap.state()),
        _ => None,
    };
    events.iter().filter_map(state).collect()
}

/// Two ways lead to one centre. When one is cut the other is taken, whichever of the two
/// it is, and the results go on where they stopped.
#[tokio::test]
async fn two_ways_to_the_centre() {
    let (mut stage, timer) = (Stage::set().await, Timer::start("timer-a"));
    let ways = [0, 1].map(|_| Link::start(LinkConfig::to(stage.cloud.address())).unwrap());
    let endpoints = ways.each_ref().map(|way| format!("http://{}", way.address()));
    stage.configure_uplink(SMALL, &timer.source(), &uplink(&endpoints));
    stage.start(&timer).await;
    let takes = |way: usize| {
        let endpoint = endpoints[way].clone();
        move |status: &Value| is_delivering(status) && text(status, ENDPOINT) == endpoint
    };
    stage.until(takes(0)).await;
    timer.impulses(5);
    stage.assert_exactly_once(&timer).await;
    for (cut, taken) in [(0, 1), (1, 0), (0, 1)] {
        ways[taken].restore();
        ways[cut].cut();
        timer.impulses(5);
        stage.until(takes(taken)).await;
        stage.assert_exactly_once(&timer).await;
    }
    // Both are cut: everything is kept, until either is back.
    ways.iter().for_each(venue_sim::link::LinkHandle::cut);
    timer.impulses(5);
    stage.until(|status| text(status, STATE) == "no connection to the centre").await;
    stage.until_kept(5).await;
    ways[0].restore();
    stage.assert_exactly_once(&timer).await;
}
