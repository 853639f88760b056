//! The stage of an end-to-end test: a folder, a centre, a link to it, and the real gateway
//! as a process that has not started yet. Who plays on it is the test's choice: a
//! [`printer`] without a memory, a [`timer`] with one.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "shared by several test binaries, of which each needs a part; `expect` would fail in the one that needs all"
)]

pub(crate) mod certificates;
pub(crate) mod printer;
pub(crate) mod timer;

use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use venue_schema::v1::{Event, Lane};
use venue_sim::{
    clock::Clock,
    cloud::{Cloud, CloudConfig, CloudHandle, StoreConfig, StoredEvent},
    gateway::{self, GatewayProcess, number, text},
    link::{Link, LinkConfig, LinkHandle},
};

use printer::Printer;
use timer::Timer;

/// How long a condition is waited for: far longer than it takes, for the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Impulses that the gateway may hold before they are on disk.
const PORTION: u64 = 4_000;
/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// The gateway's id, which its certificate must name.
pub(crate) const GATEWAY: &str = "stade-1-a";
/// Settings of a small journal.
pub(crate) const SMALL: &str = "results = { quota = \"16MiB\", reserve = \"1MiB\" }\ntelemetry = { quota = \"16MiB\" }";

/// State of the results lane's uplink within a status.
pub(crate) const STATE: &str = "/uplinks/0/lanes/0/state";
/// What went wrong last on the results lane's uplink, within a status.
pub(crate) const LAST_ERROR: &str = "/uplinks/0/lanes/0/last_error";
/// Last acknowledged sequence of the results lane, within a status.
pub(crate) const ACKNOWLEDGED: &str = "/uplinks/0/lanes/0/acknowledged";
/// Results that are durable and not acknowledged, within a status.
pub(crate) const BACKLOG: &str = "/uplinks/0/lanes/0/backlog";
/// Results that are not durable yet, within a status.
pub(crate) const STAGED: &str = "/journal/lanes/0/staged";
/// The same of the telemetry lane.
pub(crate) const STAGED_TELEMETRY: &str = "/journal/lanes/1/staged";
/// Last durable sequence of the results lane, within a status.
pub(crate) const LAST_DURABLE: &str = "/journal/lanes/0/last_durable";

/// Everything round the gateway. Dropped, it is killed and all of it is gone.
pub(crate) struct Stage {
    /// The gateway.
    pub(crate) gateway: GatewayProcess,
    /// Between gateway and cloud.
    pub(crate) link: LinkHandle,
    /// The centre.
    pub(crate) cloud: CloudHandle,
    directory: TempDir,
}

impl Stage {
    /// A stage whose cloud stores every event in a file.
    pub(crate) async fn set() -> Self {
        Self::set_with(cloud_in).await
    }

    /// A stage with a cloud of the test's choice, which may keep files in the folder.
    pub(crate) async fn set_with(cloud: impl FnOnce(&Path) -> CloudConfig) -> Self {
        let directory = TempDir::with_prefix("venue-stage-").unwrap();
        let cloud = Cloud::start(cloud(directory.path())).await.unwrap();
        let link = Link::start(LinkConfig::to(cloud.address())).unwrap();
        let gateway = GatewayProcess::new(env!("CARGO_BIN_EXE_venue-sim"), directory.path());
        Self { gateway, link, cloud, directory }
    }

    /// A place in the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The gateway's data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a configuration with the uplink over the link: `journal` stands below
    /// `[journal]`, `sources` are `[[source]]`s.
    pub(crate) fn configure(&self, journal: &str, sources: &str) {
        self.configure_uplink(journal, sources, &uplink(&[format!("http://{}", self.link.address())]));
    }

    /// The same with another uplink.
    pub(crate) fn configure_uplink(&self, journal: &str, sources: &str, uplink: &str) {
        let data = self.data_dir();
        let text = format!(
            "[gateway]\nid = \"{GATEWAY}\"\nvenue = \"stade-1\"\ntimezone = \"UTC\"\nclock = \"trusted\"\n\
             data_dir = \"{}\"\n\n[journal]\n{journal}\n\n{sources}\n{uplink}",
            data.display()
        );
        self.gateway.configure(&text).unwrap();
    }

    /// Starts the gateway and waits until it hears a chronometer, and has asked for its
    /// memory: what comes from then on is printed behind it.
    pub(crate) async fn start(&mut self, timer: &Timer) {
        let asked = timer.asked();
        self.gateway.start().unwrap();
        self.until(gateway::all_connected).await;
        timer.until_asked_again(asked).await;
    }

    /// Waits until the gateway's status is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.gateway.until(PATIENCE, wanted).await.unwrap()
    }

    /// Waits until all that printers may print was read, whatever became of it. They are the
    /// gateway's first sources, in this order.
    pub(crate) async fn until_read(&self, printers: &[&Printer]) -> Value {
        let read = |status: &Value, index| number(status, &format!("/sources/{index}/frames"));
        self.until(|status| printers.iter().enumerate().all(|(index, it)| read(status, index) >= it.due())).await
    }

    /// Has each printer print so many impulses more, and waits until the gateway has read
    /// them and nothing of them waits for the disk: by portions, for no bound on how slow
    /// the disk may be is known, and what is staged is bounded.
    pub(crate) async fn print(&self, printers: &[&Printer], count: u64) -> Value {
        let mut printed = 0;
        loop {
            let portion = PORTION.min(count - printed);
            printers.iter().for_each(|printer| printer.allow_more(portion));
            self.until_read(printers).await;
            let status = self.until(|status| number(status, STAGED) + number(status, STAGED_TELEMETRY) == 0).await;
            printed += portion;
            if printed == count {
                return status;
            }
        }
    }

    /// Waits until at least so many results that were not acknowledged are on the gateway's
    /// disk; records of times when a chronometer was not heard may be among them.
    pub(crate) async fn until_kept(&self, count: u64) -> Value {
        self.until(|status| number(status, BACKLOG) >= count && number(status, STAGED) == 0).await
    }

    /// Waits until the results lane's uplink says that something is wrong, in words that
    /// hold all of these.
    pub(crate) async fn until_it_says(&self, words: &[&str]) -> Value {
        self.until(|status| words.iter().all(|word| text(status, LAST_ERROR).contains(word))).await
    }

    /// Waits until the gateway has nothing left to deliver, and asserts that the cloud
    /// holds each of a chronometer's records exactly once.
    pub(crate) async fn assert_exactly_once(&self, timer: &Timer) -> Vec<StoredEvent> {
        self.assert_exactly_once_at(&self.cloud, timer).await
    }

    /// The same with another cloud.
    pub(crate) async fn assert_exactly_once_at(&self, cloud: &CloudHandle, timer: &Timer) -> Vec<StoredEvent> {
        let wanted = timer.records();
        eventually("every record at the cloud", async || {
            let held = timer.records_in(&cloud.events(0, usize::MAX).await.unwrap());
            wanted.iter().all(|(key, count)| held.get(key) >= Some(count)).then_some(())
        })
        .await;
        self.until(gateway::results_delivered).await;
        let events = cloud.events(0, usize::MAX).await.unwrap();
        assert_eq!(timer.records_in(&events), wanted, "what the cloud holds, and what the chronometer stored");
        events
    }

    /// What the cloud stored of a lane, in the order of arrival.
    pub(crate) async fn stored(&self, lane: Lane) -> Vec<StoredEvent> {
        let events = self.cloud.events(0, usize::MAX).await.unwrap();
        events.into_iter().filter(|event| event.lane == lane).collect()
    }

    /// What `journal inspect` says, whether or not the gateway runs.
    pub(crate) async fn inspect(&self) -> Value {
        serde_json::from_str(&self.journal(&["inspect", "--json"]).await).unwrap()
    }

    /// What `journal export` prints of a lane from a sequence on, whether or not the gateway
    /// runs.
    pub(crate) async fn export<T: serde::de::DeserializeOwned>(&self, lane: Lane, from: u64) -> Vec<T> {
        let output = self.journal(&["export", "--lane", lane.name(), "--from", &from.to_string()]).await;
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn journal(&self, words: &[&str]) -> String {
        let data = self.data_dir();
        let words = [&["journal"], words, &[data.to_str().unwrap()]].concat();
        let (code, output, errors) = self.gateway.command(&words).await.unwrap();
        assert_eq!(code, Some(0), "{words:?}: {errors}\n{}", self.gateway.log_tail());
        output
    }

    /// The whole log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("gateway.log")).unwrap()
    }
}

/// A cloud on this machine that keeps what it gets in a file of a folder.
pub(crate) fn cloud_in(directory: &Path) -> CloudConfig {
    CloudConfig::local(StoreConfig::Sqlite(directory.join("cloud.sqlite")))
}

/// An uplink, by its endpoints.
pub(crate) fn uplink(endpoints: &[String]) -> String {
    format!("[[uplink]]\nname = \"centre\"\nendpoints = {endpoints:?}\n")
}

/// Whether records of both lanes may flow.
pub(crate) fn is_delivering(status: &Value) -> bool {
    status["uplinks"][0]["lanes"].as_array().unwrap().iter().all(|lane| lane["delivering"] == true)
}

/// Place of an event in its lane.
pub(crate) fn sequence(event: &Event) -> u64 {
    event.origin.as_ref().expect("an event of a journal has a place").sequence
}

fn tally(keys: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    counts
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
