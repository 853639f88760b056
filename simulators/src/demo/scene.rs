//! The stage of the demo: devices, gateway, link and centre, and what is done to them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};
use venue_schema::v1::Lane;

use super::{
    Sabotage, Teller,
    sabotage::EarlierJournal,
    verdict::{self, Disturbances, Fleet, Stored, Verdict, Witness},
};
use crate::{
    broker, clock,
    cloud::{Cloud, CloudConfig, CloudHandle, Snapshot, StoreConfig},
    device::{Attachment, DeviceConfig, DeviceKind, NmeaConfig, SimulatedDevice},
    gateway::{self, GatewayProcess, number, text},
    link::{Link, LinkConfig, LinkHandle},
    sensors::{FleetConfig, SensorFleet},
};

/// After the last incident everything must be at the centre within this.
const DRAINS_WITHIN: Duration = Duration::from_secs(60);
/// What follows a cut for so long still counts as disturbed.
const AFTERMATH_NS: i64 = 2_500_000_000;
/// From sample to sample of one sensor.
const SENSOR_INTERVAL: Duration = Duration::from_millis(500);
/// What a sensor's message takes from the broker to the centre at the end, at most.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);

/// Names of the topics in the gateway's configuration.
const OFFICIAL_WIND: &str = "official-wind";
const SENSORS: &str = "sensors";

/// Everything on the stage.
pub(super) struct Scene {
    pub(super) teller: Teller,
    pub(super) timer_a: SimulatedDevice,
    pub(super) timer_b: SimulatedDevice,
    wind: SimulatedDevice,
    sensors: SensorFleet,
    gateway: GatewayProcess,
    link: LinkHandle,
    centre: CloudHandle,
    acknowledgements: JoinHandle<Acknowledgements>,
    end: watch::Sender<bool>,
    disturbances: Disturbances,
    listened_to_since_utc_ns: i64,
    directory: PathBuf,
    sabotage: Option<Sabotage>,
    earlier: Option<EarlierJournal>,
}

impl Scene {
    /// Builds the stage and waits until the gateway hears its devices.
    pub(super) async fn set(directory: &Path, sabotage: Option<Sabotage>, teller: Teller) -> anyhow::Result<Self> {
        let store = StoreConfig::Sqlite(directory.join("centre.sqlite"));
        let centre = Cloud::start(CloudConfig::local(store)).await.context("start the centre")?;
        centre.merge_repeats(sabotage != Some(Sabotage::NoRecognition)).await?;
        let link = Link::start(LinkConfig::to(centre.address())).context("start the link")?;
        let timer = |name: &str| {
            let attachment = Attachment::Pty { link: Some(directory.join(name)) };
            SimulatedDevice::start(DeviceConfig { attachment, ..DeviceConfig::alge_timy() })
                .context("start a chronometer")
        };
        let (timer_a, timer_b) = (timer("timer-a")?, timer("timer-b")?);
        let gauge = NmeaConfig { wind_hz: 4, clock: false, seed: 1 };
        let wind = SimulatedDevice::start(DeviceConfig {
            kind: DeviceKind::Nmea(gauge),
            attachment: Attachment::Pty { link: Some(directory.join("wind")) },
            ..DeviceConfig::nmea()
        })
        .context("start the wind gauge")?;
        let broker = format!("mqtt://{}", broker::start().await?);
        let executable = std::env::current_exe().context("find this program's own file")?;
        let gateway = GatewayProcess::new(executable, directory);
        gateway.configure(&configuration(directory, &link, &broker, sabotage))?;
        let (end, ended) = watch::channel(false);
        let acknowledgements = tokio::spawn(Acknowledgements::follow(centre.watch(), ended));
        let mut scene = Self {
            teller,
            timer_a,
            timer_b,
            wind,
            sensors: SensorFleet::start(&FleetConfig {
                interval: SENSOR_INTERVAL,
                seed: 1,
                ..FleetConfig::new(broker.parse()?)
            }),
            gateway,
            link,
            centre,
            acknowledgements,
            end,
            disturbances: Vec::new(),
            listened_to_since_utc_ns: i64::MAX,
            directory: directory.to_owned(),
            sabotage,
            earlier: None,
        };
        scene.gateway.start()?;
        scene.until_heard().await?;
        scene.listened_to_since_utc_ns = clock::utc_ns();
        scene.teller.tell(&format!(
            "the gateway runs: two chronometers and a wind gauge on serial lines, {} sensors over MQTT, the centre over gRPC",
            scene.sensors.report().running
        ));
        Ok(scene)
    }

    /// Waits until the gateway has every line open and has heard of both lanes' sensors: what they publish before it
    /// has subscribed the broker keeps for nobody.
    async fn until_heard(&self) -> anyhow::Result<()> {
        let hears = |status: &Value| gateway::all_connected(status) && hears_sensors(status);
        let ready = self.gateway.until(Duration::from_secs(60), hears).await;
        ready.map(drop).context("start the race: the gateway does not hear its devices")
    }

    /// Waits until the chronometers have printed everything.
    async fn printed_out(&self) {
        let deadline = self.teller.elapsed() + Duration::from_secs(5);
        let idle = || self.timer_a.report().idle && self.timer_b.report().idle;
        while !idle() && self.teller.elapsed() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // What has left a device is on its line for some milliseconds yet.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// Tells the line that the results manager would read.
    pub(super) async fn tell_status(&self) {
        match self.gateway.status().await {
            Some(status) => self.teller.tell(&format!("status: {}", text(&status, "/headline"))),
            None => self.teller.tell("status: the gateway is not running"),
        }
    }

    /// Remembers the journal as it is, for the sabotage that puts it back.
    pub(super) fn remember_journal(&mut self) -> anyhow::Result<()> {
        if self.sabotage == Some(Sabotage::CutJournal) {
            self.earlier = Some(EarlierJournal::of(&self.journal()).context("copy the journal")?);
        }
        Ok(())
    }

    /// The centre drops a result, if it is to.
    pub(super) async fn maybe_forget(&self) -> anyhow::Result<()> {
        if self.sabotage == Some(Sabotage::CentreForgets) {
            self.centre.drop_silently(1).await?;
        }
        Ok(())
    }

    /// Kills the gateway.
    pub(super) async fn kill_gateway(&mut self) -> anyhow::Result<()> {
        self.teller.tell("SIGKILL: the gateway is gone, with whatever it had in memory");
        self.disturb();
        self.gateway.kill().await?;
        if let Some(earlier) = self.earlier.take() {
            earlier.restore(&self.journal()).context("put the earlier journal back")?;
        }
        if self.sabotage == Some(Sabotage::NoRecognition) {
            fs::remove_dir_all(self.journal()).context("remove the journal")?;
        }
        Ok(())
    }

    /// Starts the gateway again.
    pub(super) fn start_gateway(&mut self) -> anyhow::Result<()> {
        self.gateway.start()?;
        self.teller.tell("the gateway is started again; it asks the chronometers for what it missed");
        self.calm();
        Ok(())
    }

    /// Cuts the uplink.
    pub(super) fn cut_uplink(&mut self) {
        self.teller.tell("the uplink is cut");
        self.link.cut();
        self.disturb();
    }

    /// Brings the uplink back.
    pub(super) fn restore_uplink(&mut self) {
        self.teller.tell("the uplink is back");
        self.link.restore();
        self.calm();
    }

    /// Pulls the cable of system A in the middle of the next line.
    pub(super) fn pull_cable(&mut self) -> anyhow::Result<()> {
        self.teller.tell("the cable of timer A is pulled, nine bytes into a line");
        self.disturb();
        Ok(self.timer_a.unplug_after_bytes(9)?)
    }

    /// Plugs the cable of system A again.
    pub(super) fn plug_cable(&mut self) -> anyhow::Result<()> {
        self.teller.tell("the cable is plugged again");
        self.timer_a.replug()?;
        self.calm();
        Ok(())
    }

    fn fleet(&self) -> Fleet {
        Fleet {
            topics: [OFFICIAL_WIND, SENSORS],
            samples: self.sensors.ledger().samples,
            subscribed_since_utc_ns: self.listened_to_since_utc_ns,
        }
    }

    /// Waits until what the broker acknowledged is at the centre. The gateway cannot say it, for it does not know what
    /// the broker still holds; the verdict says what is missing.
    async fn sensors_settled(&self) -> anyhow::Result<()> {
        let deadline = self.teller.elapsed() + SETTLES_WITHIN;
        while self.teller.elapsed() < deadline {
            let stored = Acknowledgements::default().join(self.centre.events(0, usize::MAX).await?)?;
            if self.fleet().is_at_the_centre(&stored) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    fn disturb(&mut self) {
        self.disturbances.push((clock::utc_ns(), i64::MAX));
    }

    /// The disturbance that began last is over.
    fn calm(&mut self) {
        if let Some(last) = self.disturbances.iter_mut().rev().find(|(_, to)| *to == i64::MAX) {
            last.1 = clock::utc_ns() + AFTERMATH_NS;
        }
    }

    fn journal(&self) -> PathBuf {
        self.directory.join("data").join("journal")
    }

    /// Waits until everything is at the centre, stops the gateway, and judges.
    pub(super) async fn close(mut self) -> anyhow::Result<Verdict> {
        self.teller.tell("the race is over; waiting until everything is at the centre");
        self.printed_out().await;
        self.sensors.finish();
        self.sensors.until(|report| report.running == 0).await;
        let drained = self.gateway.until(DRAINS_WITHIN, gateway::results_delivered).await;
        self.sensors_settled().await?;
        self.tell_status().await;
        if drained.is_err() {
            self.teller.tell("it does not drain; the verdict says what is missing");
        }
        // The gauge goes on for ever: it is unplugged, so that its last sample counts.
        let witness = |device_id, device: &SimulatedDevice, has_memory| Witness {
            device_id,
            ledger: device.ledger(),
            has_memory,
            listened_to_since_utc_ns: self.listened_to_since_utc_ns,
        };
        let fleet = self.fleet();
        self.wind.unplug()?;
        if self.sabotage == Some(Sabotage::UncleanEnd) {
            self.gateway.crash()?;
        }
        let ended = self.gateway.terminate().await?;
        self.teller.tell(&format!("SIGTERM: the gateway ended with {ended}"));
        let witnesses = [
            witness("timer-a", &self.timer_a, true),
            witness("timer-b", &self.timer_b, true),
            witness("wind", &self.wind, false),
        ];
        self.end.send_replace(true);
        let acknowledgements = self.acknowledgements.await.context("follow the centre")?;
        let stored = acknowledgements.join(self.centre.events(0, usize::MAX).await?)?;
        let mut verdict = verdict::judge(&witnesses, &fleet, &stored, &self.disturbances);
        if !ended.success() {
            verdict.violate(format!("asked to stop, the gateway ended with {ended}"));
        }
        Ok(verdict)
    }
}

/// Whether something has come of every topic.
fn hears_sensors(status: &Value) -> bool {
    let sources = status["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut topics = sources.iter().filter(|source| source["device"] == "json");
    topics.all(|topic| number(topic, "/frames") > 0)
}

/// When the centre had acknowledged what, as its own marks show it.
#[derive(Default)]
struct Acknowledgements {
    /// Lane, journal, sequence, and UTC ns when the mark was first at or beyond it.
    marks: Vec<(String, String, u64, i64)>,
}

impl Acknowledgements {
    async fn follow(mut snapshots: watch::Receiver<Snapshot>, mut end: watch::Receiver<bool>) -> Self {
        let mut marks = Vec::new();
        loop {
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { break },
                _ = end.changed() => break,
            }
            let now = clock::utc_ns();
            for lane in &snapshots.borrow_and_update().lanes {
                marks.push((lane.lane.to_owned(), lane.journal_epoch.clone(), lane.sequence, now));
            }
        }
        Self { marks }
    }

    /// Joins the centre's events with the times of their acknowledgement.
    fn join(&self, events: Vec<crate::cloud::StoredEvent>) -> anyhow::Result<Vec<Stored>> {
        let join = |it: crate::cloud::StoredEvent| {
            let event = it.event().context("read an event of the centre")?;
            let acknowledged_utc_ns = self.when(it.lane, &it.journal_epoch, it.sequence);
            Ok(Stored { epoch: it.journal_epoch, lane: it.lane, sequence: it.sequence, event, acknowledged_utc_ns })
        };
        events.into_iter().map(join).collect()
    }

    fn when(&self, lane: Lane, epoch: &[u8], sequence: u64) -> Option<i64> {
        let epoch: String = epoch.iter().map(|byte| format!("{byte:02x}")).collect();
        let covers = |it: &&(String, String, u64, i64)| it.0 == lane.name() && it.1 == epoch && it.2 >= sequence;
        self.marks.iter().find(covers).map(|it| it.3)
    }
}

fn configuration(directory: &Path, link: &LinkHandle, broker: &str, sabotage: Option<Sabotage>) -> String {
    let role = if sabotage == Some(Sabotage::NoReplay) { "listen-only" } else { "active" };
    let shown = directory.display();
    format!(
        r#"# Made by `venue-sim demo`.
[gateway]
id = "demo-gateway"
venue = "demo-hill"
timezone = "UTC"
clock = "trusted"                   # the demo does not wait for NTP
data_dir = "{shown}/data"

[journal]
results = {{ quota = "64MiB", reserve = "8MiB" }}
telemetry = {{ quota = "64MiB" }}

[[source]]
name = "timer-a"
device = "alge-timy"
role = "{role}"
serial = {{ port = "{shown}/timer-a", baud = 9600 }}
labels = {{ system = "A" }}

[[source]]
name = "timer-b"
device = "alge-timy"
role = "{role}"
serial = {{ port = "{shown}/timer-b", baud = 9600 }}
labels = {{ system = "B" }}

[[source]]
name = "wind"
device = "nmea"
serial = {{ port = "{shown}/wind", baud = 4800 }}

[mqtt]
broker = "{broker}"                 # this demo's own; a venue's would be mqtts

[[mqtt.topic]]
name = "{OFFICIAL_WIND}"
filter = "venue/+/wind"
lane = "results"

[mqtt.topic.mapping]
device_id = "{{1}}"
time = {{ pointer = "/at", format = "ms" }}
key = ["/boot", "/seq"]             # the broker may send a message twice
wind = {{ speed = {{ pointer = "/speed", unit = "m/s" }}, direction = {{ pointer = "/direction" }} }}

[[mqtt.topic]]
name = "{SENSORS}"
filter = "venue/+/state"

[mqtt.topic.mapping]
device_id = "{{1}}"
time = {{ pointer = "/at", format = "ms" }}
key = ["/boot", "/seq"]
measurement = [
    {{ pointer = "/temperature", unit = "Cel", optional = true }},
    {{ pointer = "/humidity", unit = "%", optional = true }},
    {{ pointer = "/in", unit = "{{person}}", optional = true }},
    {{ pointer = "/out", unit = "{{person}}", optional = true }},
    {{ pointer = "/charge", unit = "%", optional = true }},
    {{ pointer = "/voltage", unit = "V", optional = true }},
]

[[uplink]]
name = "centre"
endpoints = ["http://{}"]
"#,
        link.address()
    )
}
