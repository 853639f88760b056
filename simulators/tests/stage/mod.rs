//! The stage of an end-to-end test: a folder, a cloud, a link to it, and the real gateway
//! as a process that has not started yet.

pub(crate) mod printer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use venue_schema::v1::{Event, Lane};
use venue_sim::{
    cloud::{Cloud, CloudConfig, CloudHandle, StoreConfig, StoredEvent},
    gateway::GatewayProcess,
    link::{Link, LinkConfig, LinkHandle},
};

/// Name of the gateway under test.
pub(crate) const GATEWAY: &str = "gateway-under-test";
/// How long a condition is waited for: far longer than it takes, for the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Everything round the gateway. Dropped, it is killed and all of it is gone.
pub(crate) struct Stage {
    /// The gateway.
    pub(crate) gateway: GatewayProcess,
    /// Between gateway and cloud.
    pub(crate) link: LinkHandle,
    /// The receiver.
    pub(crate) cloud: CloudHandle,
    directory: TempDir,
}

impl Stage {
    /// A stage whose cloud stores every event in a file.
    pub(crate) async fn set() -> Self {
        Self::set_with(|directory| StoreConfig::Sqlite(directory.join("cloud.sqlite"))).await
    }

    /// A stage with a store of the test's choice.
    pub(crate) async fn set_with(store: impl FnOnce(&Path) -> StoreConfig) -> Self {
        let directory = TempDir::with_prefix("venue-stage-").expect("a folder for the test");
        let cloud = Cloud::start(CloudConfig::local(store(directory.path()))).await.expect("a cloud");
        let link = Link::start(LinkConfig::to(cloud.address())).expect("a link");
        let gateway = GatewayProcess::new(env!("CARGO_BIN_EXE_venue-sim"), directory.path());
        Self { gateway, link, cloud, directory }
    }

    /// The folder of the test.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The gateway's data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// Writes a configuration: `journal` stands below `[journal]`, `sources` are `[[source]]`s.
    pub(crate) fn configure(&self, journal: &str, sources: &str) {
        let text = format!(
            "[gateway]\nid = \"{GATEWAY}\"\nvenue = \"test-venue\"\ntimezone = \"UTC\"\nclock = \"trusted\"\n\
             data_dir = \"{}\"\n\n[journal]\n{journal}\n\n{sources}\n\
             [[uplink]]\nname = \"centre\"\nendpoints = [\"http://{}\"]\n",
            self.data_dir().display(),
            self.link.address()
        );
        self.gateway.configure(&text).expect("a configuration");
    }

    /// What `journal export` prints of a lane from a sequence on, whether or not the gateway runs.
    pub(crate) async fn export(&self, lane: Lane, from: u64) -> Vec<Event> {
        let (data, from) = (self.data_dir(), from.to_string());
        let words = ["journal", "export", data.to_str().expect("a path"), "--lane", lane.name(), "--from", &from];
        let (code, output, errors) = self.gateway.command(&words).await.expect("venue-sim");
        assert_eq!(code, Some(0), "journal export failed: {errors}\n{}", self.gateway.log_tail());
        output.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect()
    }

    /// What the cloud stored of a lane, in the order of arrival.
    pub(crate) async fn stored(&self, lane: Lane) -> Vec<StoredEvent> {
        let events = self.cloud.events(0, usize::MAX).await.expect("the cloud's events");
        events.into_iter().filter(|event| event.lane == lane).collect()
    }
}

/// Place of an event in its lane.
pub(crate) fn sequence(event: &Event) -> u64 {
    event.origin.as_ref().expect("an event of a journal has a place").sequence
}
