//! The rows of the table: what each measures, and what it is to reach.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use venue_schema::v1::Lane;

use super::{
    LoadConfig, Run, backlog,
    figure::{Figure, Goal},
    lines::Pace,
    mosquitto,
    rig::{GATEWAY, Rig, Setting, journal_dir},
    spread::{Spread, ms},
    usage::Usage,
};
use crate::{link::Conditions, quantity::Rate};

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Row {
    /// Lines of 27 bytes over TCP, results lane, to the acknowledgement of the centre.
    Alge,
    /// The same with TLS to the centre.
    AlgeTls,
    /// Through mosquitto, against a bare subscriber.
    Mqtt,
    /// Device byte to acknowledgement at 1,000 lines a second.
    Latency,
    /// Results on a thin radio while telemetry drains.
    Radio,
    /// A backlog over loopback.
    Drain,
    /// A backlog over a round trip of 100 ms.
    DrainFar,
    /// From the start with a backlog of 1 GB to its first record on the wire.
    Open,
    /// Resident memory, idle and with a backlog.
    Memory,
}

impl std::fmt::Display for Row {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self);
        formatter.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// One way of a round trip of 100 ms.
const FAR: Duration = Duration::from_millis(50);

impl Row {
    /// All rows, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::Alge,
        Self::AlgeTls,
        Self::Mqtt,
        Self::Latency,
        Self::Radio,
        Self::Drain,
        Self::DrainFar,
        Self::Open,
        Self::Memory,
    ];

    /// What it measures, for people.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Alge => "ALGE lines of 27 bytes over TCP, results lane, fsync, to the acknowledgement of the centre",
            Self::AlgeTls => "the same, TLS with certificates on both ends of the uplink",
            Self::Mqtt => "from mosquitto, QoS 1, telemetry lane, against a bare rumqttc subscriber",
            Self::Latency => "device byte to acknowledgement at 1,000 lines a second",
            Self::Radio => "results at 10 a second, 1 Mbit/s and 100 ms round trip, while telemetry drains",
            Self::Drain => "a backlog of results drains over loopback",
            Self::DrainFar => "a backlog of results drains over a round trip of 100 ms",
            Self::Open => "the gateway starts with a backlog of 1 GB: its first record at the centre",
            Self::Memory => "resident memory of the gateway",
        }
    }

    /// Measures it once.
    pub(super) async fn measure(self, folder: &Path, config: &LoadConfig, synced: Spread) -> anyhow::Result<Run> {
        let events = |own| config.events.unwrap_or(own);
        match self {
            Self::Alge => throughput(folder, config, false, 300_000.0).await,
            Self::AlgeTls => throughput(folder, config, true, 200_000.0).await,
            Self::Mqtt => mosquitto::measure(folder, events(200_000)).await,
            Self::Latency => latency(folder, config, synced).await,
            Self::Radio => radio(folder, events(5_000_000)).await,
            Self::Drain => drain(folder, events(1_000_000), None, 500_000.0).await,
            Self::DrainFar => {
                let network = Conditions { latency: FAR, ..Conditions::default() };
                drain(folder, events(1_000_000), Some(network), 50_000.0).await
            }
            Self::Open => open(folder, events(3_500_000)).await,
            Self::Memory => memory(folder, events(5_000_000)).await,
        }
    }
}

/// A setting with the backlog that the configuration asks for, which stays.
async fn with_backlog(folder: &Path, config: &LoadConfig, setting: Setting) -> anyhow::Result<Rig> {
    fill(folder, Lane::Results, config.backlog / 2).await?;
    fill(folder, Lane::Telemetry, config.backlog / 2).await?;
    let second_receiver = config.backlog > 0;
    Rig::set(folder, &Setting { second_receiver, ..setting }).await
}

async fn fill(folder: &Path, lane: Lane, count: u64) -> anyhow::Result<()> {
    let journal = journal_dir(folder);
    tokio::task::spawn_blocking(move || backlog::fill(&journal, lane, count)).await?
}

async fn throughput(folder: &Path, config: &LoadConfig, tls: bool, goal: f64) -> anyhow::Result<Run> {
    let mut rig = with_backlog(folder, config, Setting { tls, ..Setting::default() }).await?;
    let chronometer = rig.start().await?;
    rig.until_drained().await?;
    let pace = Pace { lines: config.events.unwrap_or(1_500_000), per_second: None };
    let drive = rig.drive(chronometer, pace).await?;
    rig.strike().await?;
    let mut cpu = Figure::new("gateway CPU per 100,000 events", "s", drive.cpu_s_per_100k());
    if !tls {
        cpu = cpu.with(Goal::AtMost(0.2));
    }
    let figures = vec![
        Figure::new("events", "per s", drive.events_per_second()).with(Goal::AtLeast(goal)),
        cpu,
        Figure::new("peak resident memory", "MiB", mib(drive.rss_peak)),
    ];
    Ok(Run { figures, drives: vec![drive], ..Run::default() })
}

async fn latency(folder: &Path, config: &LoadConfig, synced: Spread) -> anyhow::Result<Run> {
    let mut rig = with_backlog(folder, config, Setting::default()).await?;
    let chronometer = rig.start().await?;
    rig.until_drained().await?;
    let pace = Pace { lines: config.events.unwrap_or(10_000), per_second: Some(1_000) };
    let drive = rig.drive(chronometer, pace).await?;
    rig.strike().await?;
    let figures = vec![
        Figure::new("p50", "ms", ms(drive.latency.p50)).with(Goal::AtMost(1.0 + ms(synced.p50))),
        Figure::new("p99", "ms", ms(drive.latency.p99)).with(Goal::AtMost(5.0 + ms(synced.p99))),
        Figure::new("max", "ms", ms(drive.latency.max)),
    ];
    Ok(Run { figures, drives: vec![drive], ..Run::default() })
}

async fn radio(folder: &Path, backlog: u64) -> anyhow::Result<Run> {
    fill(folder, Lane::Telemetry, backlog).await?;
    let rate = Rate::bits_per_second(1_000_000).unwrap_or_default();
    let network = Conditions { latency: FAR, rate, ..Conditions::default() };
    let mut rig = Rig::set(folder, &Setting { network: Some(network), ..Setting::default() }).await?;
    let chronometer = rig.start().await?;
    let drive = rig.drive(chronometer, Pace { lines: 600, per_second: Some(10) }).await?;
    let telemetry = rig.centre.snapshot().sequence(GATEWAY, "telemetry");
    rig.strike().await?;
    let figures = vec![
        Figure::new("results p99", "ms", ms(drive.latency.p99)).with(Goal::AtMost(1_000.0)),
        Figure::new("results p50", "ms", ms(drive.latency.p50)),
        Figure::new("telemetry meanwhile", "per s", telemetry as f64 / drive.took.as_secs_f64()),
    ];
    Ok(Run { figures, drives: vec![drive], ..Run::default() })
}

async fn drain(folder: &Path, count: u64, network: Option<Conditions>, goal: f64) -> anyhow::Result<Run> {
    fill(folder, Lane::Results, count).await?;
    let mut rig = Rig::set(folder, &Setting { network, ..Setting::default() }).await?;
    rig.gateway.start()?;
    rig.until_first_result().await?;
    let (begun, first) = (rig.clock.now(), rig.centre.snapshot().sequence(GATEWAY, "results"));
    let last = rig.until_result(count).await?;
    let took = rig.clock.now() - begun;
    anyhow::ensure!(last >= count, "only {last} of {count} came");
    let used = rig.usage()?;
    rig.strike().await?;
    let figures = vec![
        Figure::new("events", "per s", (last - first) as f64 / took.as_secs_f64()).with(Goal::AtLeast(goal)),
        Figure::new("gateway CPU per 100,000 events", "s", used.cpu.as_secs_f64() / (count as f64 / 100_000.0)),
    ];
    Ok(Run { figures, ..Run::default() })
}

async fn open(folder: &Path, count: u64) -> anyhow::Result<Run> {
    fill(folder, Lane::Results, count).await?;
    let bytes = folder_bytes(&journal_dir(folder))?;
    let mut rig = Rig::set(folder, &Setting::default()).await?;
    let begun = rig.clock.now();
    rig.gateway.start()?;
    rig.until_first_result().await?;
    let took = rig.clock.now() - begun;
    rig.gateway.kill().await?;
    rig.centre.shutdown().await;
    let figures = vec![
        Figure::new("start to first record", "s", took.as_secs_f64()).with(Goal::AtMost(1.0)),
        Figure::new("journal on disk", "MiB", mib(bytes)),
    ];
    Ok(Run { figures, ..Run::default() })
}

async fn memory(folder: &Path, count: u64) -> anyhow::Result<Run> {
    let mut rig = Rig::set(folder, &Setting::default()).await?;
    let chronometer = rig.start().await?;
    rig.until_drained().await?;
    let idle = rig.usage()?;
    drop(chronometer);
    rig.gateway.stop().await?;
    fill(folder, Lane::Results, count).await?;
    rig.gateway.start()?;
    let last = rig.until_result(count).await?;
    anyhow::ensure!(last >= count, "only {last} of {count} came");
    let Usage { rss_peak, .. } = rig.usage()?;
    rig.strike().await?;
    let figures = vec![
        Figure::new("idle", "MiB", mib(idle.rss)).with(Goal::AtMost(20.0)),
        Figure::new("peak while the backlog drains", "MiB", mib(rss_peak)).with(Goal::AtMost(32.0)),
    ];
    Ok(Run { figures, ..Run::default() })
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("look into {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
