//! What a load runs through: a chronometer on TCP, the real gateway as a process, a link if wanted, a centre in memory.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    lines::{self, Pace, Written},
    spread::Spread,
    usage::Usage,
};
use crate::{
    authority::Authority,
    clock::Clock,
    cloud::{Cloud, CloudConfig, CloudHandle, Snapshot, StoreConfig, TlsConfig},
    gateway::{self, GatewayProcess, number},
    link::{Conditions, Link, LinkConfig, LinkHandle},
};

/// Name of the gateway under load.
pub(super) const GATEWAY: &str = "load-gateway";
pub(super) const VENUE: &str = "bench";
/// Disk for each lane.
pub(super) const QUOTA_BYTES: u64 = 16 << 30;

/// What a row needs beside the gateway.
#[derive(Debug, Clone, Default)]
pub(super) struct Setting {
    /// TLS, both ends with certificates, between gateway and centre.
    pub(super) tls: bool,
    /// How bad the network to the centre is; none for no link at all.
    pub(super) network: Option<Conditions>,
    /// A second, required receiver that cannot be reached, so that the journal keeps all that it has.
    pub(super) second_receiver: bool,
    /// What else stands in the configuration.
    pub(super) more: String,
}

/// Everything that a load runs through.
pub(super) struct Rig {
    pub(super) clock: Clock,
    pub(super) gateway: GatewayProcess,
    pub(super) centre: CloudHandle,
    _link: Option<LinkHandle>,
    chronometer: TcpListener,
}

impl Rig {
    /// Sets it up in an empty folder; the gateway does not run yet.
    ///
    /// # Errors
    /// If a part cannot be started.
    pub(super) async fn set(folder: &Path, setting: &Setting) -> anyhow::Result<Self> {
        let tls = match setting.tls {
            true => {
                let authority = Authority::new("bench").context("make an authority")?;
                authority.equip(folder, GATEWAY).context("write certificates")?;
                Some(TlsConfig {
                    certificate: folder.join("centre.pem"),
                    key: folder.join("centre.key"),
                    client_ca: folder.join("clients-ca.pem"),
                })
            }
            false => None,
        };
        let centre = Cloud::start(CloudConfig { tls, ..CloudConfig::local(StoreConfig::Memory) }).await?;
        let link = setting.network.clone().map(|conditions| {
            Link::start(LinkConfig { conditions, ..LinkConfig::to(centre.address()) }).context("start the link")
        });
        let link = link.transpose()?;
        let port = link.as_ref().map_or(centre.address(), LinkHandle::address).port();
        let chronometer = TcpListener::bind("127.0.0.1:0").context("listen for the gateway")?;
        let executable = std::env::current_exe().context("find this program's own file")?;
        let gateway = GatewayProcess::new(executable, folder);
        gateway.configure(&configuration(folder, setting, port, chronometer.local_addr()?.port()))?;
        Ok(Self { clock: Clock::start(), gateway, centre, _link: link, chronometer })
    }

    /// Starts the gateway and takes up its connection to the chronometer.
    ///
    /// # Errors
    /// If it does not come.
    pub(super) async fn start(&mut self) -> anyhow::Result<TcpStream> {
        self.gateway.start()?;
        let listener = self.chronometer.try_clone()?;
        let accepted = tokio::task::spawn_blocking(move || listener.accept());
        let accepted = tokio::time::timeout(Duration::from_secs(60), accepted).await;
        let (stream, _) = accepted.context("wait for the gateway, which does not connect")???;
        let ready = |status: &Value| gateway::all_connected(status) && is_delivering(status);
        self.gateway.until(Duration::from_secs(60), ready).await.context("wait for the gateway")?;
        Ok(stream)
    }

    /// What the gateway's process has used.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.gateway.id().context("look at a gateway that does not run")?)
    }

    /// The last result that the gateway has on disk.
    pub(super) async fn last_result(&self) -> anyhow::Result<u64> {
        let status = self.gateway.status().await.context("ask a gateway that does not answer")?;
        Ok(number(&status, "/journal/lanes/0/last_durable") + number(&status, "/journal/lanes/0/staged"))
    }

    /// Prints lines, and waits until the centre has them all or nothing has come for a while.
    ///
    /// # Errors
    /// If a part fails.
    pub(super) async fn drive(&self, chronometer: TcpStream, pace: Pace) -> anyhow::Result<Drive> {
        let base = self.last_result().await?;
        let before = self.centre.snapshot();
        let usage = self.usage()?;
        let written = Written::default();
        let acknowledged = Acknowledged::follow(&self.centre, self.clock);
        let (clock, into) = (self.clock, Written::clone(&written));
        let printer = std::thread::spawn(move || lines::print(&chronometer, clock, pace, &into).map(|()| chronometer));
        let begun = self.clock.now();
        let reached = self.until_result(base + pace.lines).await?;
        let ended = self.clock.now();
        let took = ended - begun;
        let used = self.usage()?;
        let chronometer = match reached >= base + pace.lines {
            true => Some(join(printer).await?),
            // It may still be blocked: the process ends with it.
            false => None,
        };
        drop(chronometer);
        let after = self.centre.snapshot();
        let marks = acknowledged.stop(ended, reached);
        let written = std::mem::take(&mut *written.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let telemetry = after.sequence(GATEWAY, "telemetry") - before.sequence(GATEWAY, "telemetry");
        let repeated = after.seen_again - before.seen_again;
        let arrived = (after.stored + repeated - before.stored).saturating_sub(telemetry).saturating_sub(repeated);
        Ok(Drive {
            lines: pace.lines,
            took,
            lost: pace.lines.saturating_sub(arrived),
            duplicated: repeated,
            out_of_order: after.out_of_order - before.out_of_order,
            latency: latency(base, &written, &marks),
            cpu: used.cpu - usage.cpu,
            rss_peak: used.rss_peak,
        })
    }

    /// Waits until the centre has results up to `last`, as long as any come. Returns the last that it has.
    pub(super) async fn until_result(&self, last: u64) -> anyhow::Result<u64> {
        const PATIENCE: Duration = Duration::from_secs(20);
        let reached = |it: &Snapshot| it.sequence(GATEWAY, "results");
        loop {
            let now = reached(&self.centre.snapshot());
            if now >= last {
                return Ok(now);
            }
            let more = self.centre.until(|it| reached(it) >= last || reached(it) > now);
            match tokio::time::timeout(PATIENCE, more).await {
                Ok(more) => drop(more?),
                Err(_) => return Ok(now),
            }
        }
    }

    /// Waits for the first result at the centre.
    ///
    /// # Errors
    /// If none comes.
    pub(super) async fn until_first_result(&self) -> anyhow::Result<()> {
        let first = self.centre.until(|it| it.sequence(GATEWAY, "results") > 0);
        let first = tokio::time::timeout(Duration::from_secs(60), first).await;
        first.context("wait for a result, of which none comes")?.map(drop)?;
        Ok(())
    }

    /// Waits until the first receiver has all of both lanes.
    ///
    /// # Errors
    /// If it does not come to that.
    pub(super) async fn until_drained(&self) -> anyhow::Result<()> {
        let backlog = |status: &Value, lane| number(status, &format!("/uplinks/0/lanes/{lane}/backlog"));
        let drained = |status: &Value| backlog(status, 0) == 0 && backlog(status, 1) == 0;
        self.gateway.until(Duration::from_secs(600), drained).await.map(drop)
    }

    /// Stops the gateway, and ends the rest.
    ///
    /// # Errors
    /// If the gateway does not stop well.
    pub(super) async fn strike(mut self) -> anyhow::Result<()> {
        self.gateway.stop().await?;
        self.centre.shutdown().await;
        Ok(())
    }
}

/// What a number of lines made.
#[derive(Debug, Clone)]
pub(super) struct Drive {
    pub(super) lines: u64,
    pub(super) took: Duration,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) out_of_order: u64,
    /// From a line's being handed to the network until its acknowledgement leaves the centre.
    pub(super) latency: Spread,
    pub(super) cpu: Duration,
    pub(super) rss_peak: u64,
}

async fn join<T: Send + 'static>(thread: std::thread::JoinHandle<std::io::Result<T>>) -> anyhow::Result<T> {
    let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
    joined.map_err(|_| anyhow::anyhow!("print lines: the thread panicked"))?.context("print lines")
}

/// Whether results may flow to the first uplink.
fn is_delivering(status: &Value) -> bool {
    status["uplinks"][0]["lanes"].as_array().is_some_and(|lanes| lanes.iter().all(|lane| lane["delivering"] == true))
}

/// When the centre had acknowledged results up to where.
type Marks = Vec<(Duration, u64)>;

struct Acknowledged {
    task: JoinHandle<()>,
    marks: std::sync::Arc<std::sync::Mutex<Marks>>,
}

impl Acknowledged {
    fn follow(centre: &CloudHandle, clock: Clock) -> Self {
        let marks = std::sync::Arc::<std::sync::Mutex<Marks>>::default();
        let (mut watch, into) = (centre.watch(), std::sync::Arc::clone(&marks));
        let task = tokio::spawn(async move {
            while watch.changed().await.is_ok() {
                let at = clock.now();
                let sequence = watch.borrow_and_update().sequence(GATEWAY, "results");
                let mut marks = into.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if marks.last().is_none_or(|(_, last)| *last < sequence) {
                    marks.push((at, sequence));
                }
            }
        });
        Self { task, marks }
    }

    /// Ends it. The last mark is known: whoever follows may not have come to it yet.
    fn stop(self, at: Duration, sequence: u64) -> Marks {
        self.task.abort();
        let mut marks = std::mem::take(&mut *self.marks.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if marks.last().is_none_or(|(_, last)| *last < sequence) {
            marks.push((at, sequence));
        }
        marks
    }
}

fn latency(base: u64, written: &[Duration], marks: &Marks) -> Spread {
    let mut next = 0;
    let mut times = Vec::with_capacity(written.len());
    for (at, sequence) in marks {
        let reached = written.len().min(usize::try_from(sequence.saturating_sub(base)).unwrap_or(usize::MAX));
        times.extend(written[next.min(reached)..reached].iter().map(|written| at.saturating_sub(*written)));
        next = next.max(reached);
    }
    Spread::of(times)
}

/// Where the gateway's journal is.
pub(super) fn journal_dir(folder: &Path) -> PathBuf {
    venue_gateway::app::journal_path(&folder.join("data"))
}

fn configuration(folder: &Path, setting: &Setting, uplink_port: u16, chronometer_port: u16) -> String {
    let data = folder.join("data");
    let (scheme, tls) = match setting.tls {
        true => ("https", "tls = { ca = \"ca.pem\", cert = \"gateway.pem\", key = \"gateway.key\" }\n"),
        false => ("http", ""),
    };
    let second = match setting.second_receiver {
        // The discard port: nobody listens there.
        true => "[[uplink]]\nname = \"second\"\nendpoints = [\"http://127.0.0.1:9\"]\n",
        false => "",
    };
    format!(
        "# Made by `venue-sim load`.\n\
         [gateway]\nid = \"{GATEWAY}\"\nvenue = \"{VENUE}\"\ntimezone = \"UTC\"\nclock = \"trusted\"\ndata_dir = \"{}\"\n\
         [journal]\nresults = {{ quota = \"{QUOTA_BYTES}B\" }}\ntelemetry = {{ quota = \"{QUOTA_BYTES}B\" }}\n\
         [[source]]\nname = \"timer\"\ndevice = \"alge-timy\"\nrole = \"listen-only\"\n\
         tcp = {{ connect = \"127.0.0.1:{chronometer_port}\" }}\n\
         [[uplink]]\nname = \"centre\"\nendpoints = [\"{scheme}://localhost:{uplink_port}\"]\n{tls}{second}{}",
        data.display(),
        setting.more
    )
}
