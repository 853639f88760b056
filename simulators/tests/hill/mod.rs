//! The hill of the end-to-end tests: a folder, a chronometer with a memory on TCP, and
//! the real gateway between it and a centre.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "shared by several test binaries, of which each needs a part; `expect` would fail in the one that needs all"
)]

pub(crate) mod certificates;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use venue_schema::v1::event;
use venue_sim::{
    clock::Clock,
    cloud::{Cloud, CloudConfig, CloudHandle, StoreConfig, StoredEvent},
    device::{Attachment, DeviceConfig, SimulatedDevice},
    gateway::{self, GatewayProcess, text},
};

/// How long a condition is waited for: generous, for a test machine is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// The gateway's id, which its certificate must name.
pub(crate) const GATEWAY_ID: &str = "stade-1-a";
/// State of the results lane's uplink within a status.
pub(crate) const STATE: &str = "/uplinks/0/lanes/0/state";
/// What went wrong last on the results lane's uplink, within a status.
pub(crate) const LAST_ERROR: &str = "/uplinks/0/lanes/0/last_error";
/// Last acknowledged sequence of the results lane, within a status.
pub(crate) const ACKNOWLEDGED: &str = "/uplinks/0/lanes/0/acknowledged";

/// A folder with a gateway, and a chronometer that it hears.
pub(crate) struct Hill {
    /// Everything is in here, and goes with the hill.
    pub(crate) directory: TempDir,
    /// Name and device id of the chronometer.
    pub(crate) device_id: &'static str,
    /// On TCP of this machine.
    pub(crate) timer: SimulatedDevice,
    /// Not started yet.
    pub(crate) gateway: GatewayProcess,
}

impl Hill {
    /// A chronometer that runs, `timer-a`, and a gateway that does not.
    pub(crate) fn new() -> Self {
        Self::with("timer-a")
    }

    /// The same with another chronometer.
    pub(crate) fn with(device_id: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let gateway = GatewayProcess::new(env!("CARGO_BIN_EXE_venue-sim"), directory.path());
        Self { timer: timer((std::net::Ipv4Addr::LOCALHOST, 0).into()), gateway, directory, device_id }
    }

    /// A place in the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Configures the gateway for the chronometer and these uplinks and whatever else.
    pub(crate) fn configure(&self, more: &str) {
        let timer = self.timer.report().place.unwrap();
        let data = self.path("data");
        self.gateway.configure(&configuration(&data, &(source(self.device_id, &timer) + more))).unwrap();
    }

    /// Starts the gateway and waits until it hears the chronometer, and has asked for its
    /// memory: what comes from then on is printed behind it.
    pub(crate) async fn start(&mut self) {
        let asked = self.timer.report().bytes_received;
        self.gateway.start().unwrap();
        self.until(gateway::all_connected).await;
        self.asked_again(asked).await;
    }

    /// Waits until the gateway has sent the chronometer more than so many bytes.
    pub(crate) async fn asked_again(&self, bytes: u64) {
        let asked = async || (self.timer.report().bytes_received > bytes).then_some(());
        eventually("the request for the memory", asked).await;
    }

    /// Waits until the gateway's status is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.gateway.until(PATIENCE, wanted).await.unwrap()
    }

    /// Waits until the results lane's uplink says that something is wrong, in words that
    /// hold all of these.
    pub(crate) async fn until_it_says(&self, words: &[&str]) -> Value {
        let says = |status: &Value| words.iter().all(|word| text(status, LAST_ERROR).contains(word));
        self.until(says).await
    }

    /// Triggers the chronometer so many times; each is one result.
    pub(crate) fn impulses(&self, count: u16) {
        let stored = u16::try_from(self.timer.ledger().records().len()).unwrap();
        (stored..stored + count).for_each(|number| self.timer.impulse(1 + (number % 8) as u8, number, None).unwrap());
    }

    /// Waits until at least so many results that were not acknowledged are on the gateway's
    /// disk; records of times when the chronometer was not heard may be among them.
    pub(crate) async fn until_kept(&self, count: u64) -> Value {
        let kept = |status: &Value| {
            gateway::number(status, "/uplinks/0/lanes/0/backlog") >= count
                && gateway::number(status, "/journal/lanes/0/staged") == 0
        };
        self.until(kept).await
    }

    /// Waits until the gateway has nothing left to deliver, and asserts that the centre
    /// holds each of the chronometer's records exactly once.
    pub(crate) async fn assert_exactly_once(&self, centre: &CloudHandle) -> Vec<StoredEvent> {
        let wanted = self.records();
        let events = eventually("every record at the centre", || async {
            let events = centre.events(0, usize::MAX).await.unwrap();
            let held = results(&events, self.device_id);
            wanted.iter().all(|(key, count)| held.get(key) >= Some(count)).then_some(events)
        });
        events.await;
        self.until(gateway::results_delivered).await;
        let events = centre.events(0, usize::MAX).await.unwrap();
        assert_eq!(results(&events, self.device_id), wanted, "what the centre holds, and what the chronometer stored");
        events
    }

    /// How often the chronometer stored each key.
    pub(crate) fn records(&self) -> BTreeMap<String, usize> {
        tally(self.timer.ledger().records().iter().map(|record| record.key.clone()))
    }

    /// The whole log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("gateway.log")).unwrap()
    }
}

/// A chronometer on TCP, which prints as fast as its line takes it.
pub(crate) fn timer(listen: SocketAddr) -> SimulatedDevice {
    let attachment = Attachment::Listen(listen);
    SimulatedDevice::start(DeviceConfig { attachment, pacing: false, ..DeviceConfig::alge_timy() }).unwrap()
}

/// A configuration with a small journal.
pub(crate) fn configuration(data: &Path, more: &str) -> String {
    format!(
        r#"[gateway]
id = "{GATEWAY_ID}"
venue = "stade-1"
timezone = "UTC"
clock = "trusted"
data_dir = "{}"

[journal]
results = {{ quota = "16MiB", reserve = "1MiB" }}
telemetry = {{ quota = "16MiB" }}
{more}"#,
        data.display()
    )
}

/// A Timy that the gateway connects to.
pub(crate) fn source(name: &str, address: &str) -> String {
    format!("\n[[source]]\nname = \"{name}\"\ndevice = \"alge-timy\"\ntcp = {{ connect = \"{address}\" }}\n")
}

/// The uplink, by its endpoints.
pub(crate) fn uplink(endpoints: &[String]) -> String {
    let mut text = "\n[[uplink]]\nname = \"centre\"\nendpoints = [".to_owned();
    endpoints.iter().for_each(|endpoint| write!(text, "\"{endpoint}\", ").unwrap());
    text + "]\n"
}

/// The uplink to a centre without TLS.
pub(crate) fn uplink_to(centre: &CloudHandle) -> String {
    uplink(&[format!("http://{}", centre.address())])
}

/// A centre on this machine that keeps what it gets in a file of a folder.
pub(crate) async fn centre(directory: &Path) -> CloudHandle {
    Cloud::start(CloudConfig::local(StoreConfig::Sqlite(directory.join("centre.sqlite")))).await.unwrap()
}

/// How often the centre holds each key of a device, without its date.
pub(crate) fn results(events: &[StoredEvent], device_id: &str) -> BTreeMap<String, usize> {
    let key = |stored: &StoredEvent| {
        let event = stored.event().unwrap();
        let of_timer = event.device_id == device_id;
        match event.identity {
            Some(event::Identity::ContentKey(key)) if of_timer => Some(without_date(&key.key).to_owned()),
            _ => None,
        }
    };
    tally(events.iter().filter_map(key))
}

fn tally(keys: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

fn without_date(key: &str) -> &str {
    key.rsplit_once('|').map_or(key, |(device, _)| device)
}

/// Asks again until there is an answer.
///
/// # Panics
/// If there is none within [`PATIENCE`].
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let clock = Clock::start();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(clock.now() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(GLANCE).await;
    }
}
