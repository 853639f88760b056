//! Links that go silent instead of breaking, and links of which there are two.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../hill/mod.rs"]
mod hill;
mod namespace;

use std::time::Duration;

use serde_json::Value;
use venue_schema::v1::{GapCause, GapState, event};
use venue_sim::{
    clock::Clock,
    cloud::{Cloud, CloudConfig, CloudHandle, StoreConfig, StoredEvent},
    gateway::{self, text},
    link::{Link, LinkConfig},
};

use hill::{Hill, LAST_ERROR, STATE, centre, timer, uplink, uplink_to};
use namespace::Namespace;

/// A dead peer is noticed within this, as the product promises; a second is given to
/// the test itself.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(1);
/// The endpoint of the results lane, within a status.
const ENDPOINT: &str = "/uplinks/0/lanes/0/endpoint";

/// A hill whose gateway is on a host of its own; chronometer and centre are out here.
async fn apart(namespace: &Namespace) -> (Hill, CloudHandle) {
    let mut hill = Hill::new();
    hill.timer = timer((namespace.outside, 0).into());
    let config = CloudConfig::local(StoreConfig::Sqlite(hill.path("centre.sqlite")));
    let centre = Cloud::start(CloudConfig { listen: (namespace.outside, 0).into(), ..config }).await.unwrap();
    hill.configure(&uplink_to(&centre));
    hill.gateway.set_wrapper(namespace.wrapper());
    hill.start().await;
    hill.until(is_delivering).await;
    (hill, centre)
}

fn is_delivering(status: &Value) -> bool {
    status["uplinks"][0]["lanes"].as_array().unwrap().iter().all(|lane| lane["delivering"] == true)
}

/// Waits for what a cut must lead to, and asserts that it came in time.
async fn assert_noticed(hill: &Hill, noticed: impl Fn(&Value) -> bool) -> Value {
    let clock = Clock::start();
    let status = hill.until(noticed).await;
    let took = clock.now();
    assert!(took < NOTICED_WITHIN + MARGIN, "noticed only after {took:?}");
    status
}

/// The path to the centre swallows every packet, once while nothing is to be sent and
/// once with results on the way. The gateway does not wait for a connection that leads
/// nowhere: it says so within ten seconds, tries again, and loses and doubles nothing.
#[tokio::test]
async fn a_half_open_uplink() {
    let Some(namespace) = Namespace::new() else { return };
    let (hill, centre) = apart(&namespace).await;
    hill.impulses(5);
    hill.assert_exactly_once(&centre).await;
    for on_the_way in [0, 6] {
        namespace.cut(centre.address().port());
        hill.impulses(on_the_way);
        let status = assert_noticed(&hill, |status| !text(status, STATE).starts_with("delivering")).await;
        assert!(text(&status, LAST_ERROR).contains("the link fell silent"), "{status:#}");
        hill.impulses(4);
        hill.until_kept(u64::from(on_the_way) + 4).await;
        // It tries, and a connection that does not come to stand is given up too.
        hill.until_it_says(&["no connection"]).await;
        namespace.restore();
        hill.until(is_delivering).await;
        hill.assert_exactly_once(&centre).await;
    }
}

/// The path to the chronometer swallows every packet. The gateway notices, and says from
/// when on it did not hear the device; when packets pass again it asks for the memory,
/// which holds what was printed into the void.
#[tokio::test]
async fn a_half_open_device() {
    let Some(namespace) = Namespace::new() else { return };
    let (hill, centre) = apart(&namespace).await;
    hill.impulses(5);
    hill.assert_exactly_once(&centre).await;

    let place: std::net::SocketAddr = hill.timer.report().place.unwrap().parse().unwrap();
    namespace.cut(place.port());
    hill.impulses(6);
    let status = assert_noticed(&hill, |status| text(status, "/sources/0/state") == "disconnected").await;
    assert!(text(&status, "/headline").contains("BUT timer-a IS NOT HEARD SINCE"), "{status:#}");
    let asked = hill.timer.report().bytes_received;
    namespace.restore();
    hill.until(gateway::all_connected).await;
    hill.asked_again(asked).await;
    let events = hill.assert_exactly_once(&centre).await;
    let states = hill::eventually("the healed gap", async || {
        let states = dark(&centre.events(0, usize::MAX).await.unwrap());
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
    let mut hill = Hill::new();
    let centre = centre(hill.directory.path()).await;
    let ways = [0, 1].map(|_| Link::start(LinkConfig::to(centre.address())).unwrap());
    let endpoints = ways.each_ref().map(|way| format!("http://{}", way.address()));
    hill.configure(&uplink(&endpoints));
    hill.start().await;
    let takes = |way: usize| {
        let endpoint = endpoints[way].clone();
        move |status: &Value| is_delivering(status) && text(status, ENDPOINT) == endpoint
    };
    hill.until(takes(0)).await;
    hill.impulses(5);
    hill.assert_exactly_once(&centre).await;
    for (cut, taken) in [(0, 1), (1, 0), (0, 1)] {
        ways[taken].restore();
        ways[cut].cut();
        hill.impulses(5);
        hill.until(takes(taken)).await;
        hill.assert_exactly_once(&centre).await;
    }
    // Both are cut: everything is kept, until either is back.
    ways.iter().for_each(venue_sim::link::LinkHandle::cut);
    hill.impulses(5);
    hill.until(|status| text(status, STATE) == "no connection to the centre").await;
    hill.until_kept(5).await;
    ways[0].restore();
    hill.assert_exactly_once(&centre).await;
}
