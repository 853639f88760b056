//! `venue-sim cloud`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::console::{Bench, Console};
use crate::cloud::{Cloud, CloudConfig, CloudHandle, Fault, StoreConfig, TlsConfig};
use crate::quantity;

/// Arguments of `cloud`.
#[derive(Debug, Args)]
#[command(
    after_help = "Control lines on stdin: slow-acks 2s, refuse unavailable|none, reset, reset-after 10, forget all|100, \
                        stall on|off, drop-silently 1, maintenance 30s, heal, status, quit."
)]
pub(super) struct CloudArguments {
    /// Where gateways connect; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// sqlite:FILE (events and marks in one transaction) or memory (marks and counts only).
    #[arg(long, default_value = "sqlite:venue-sim-cloud.db")]
    store: StoreConfig,
    /// The name of the store, which gateways pin.
    #[arg(long, default_value = "venue-sim-cloud")]
    receiver_id: String,
    /// Certificate of this server, PEM, with its chain.
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "client_ca"])]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Who signs gateways' certificates, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// Sends acknowledgements this much later.
    #[arg(long, value_parser = quantity::duration, value_name = "DURATION")]
    slow_acks: Option<Duration>,
    /// Resets connections when this many batches have come, once.
    #[arg(long, value_name = "BATCHES")]
    reset_after: Option<u64>,
    /// Drops this many events of the results lane and counts them all the same.
    #[arg(long, value_name = "COUNT")]
    drop_silently: Option<u64>,
    /// Takes what comes and acknowledges nothing, from the start.
    #[arg(long)]
    stall: bool,
    /// Says all as JSON lines.
    #[arg(long)]
    json: bool,
}

impl CloudArguments {
    fn config(&self) -> CloudConfig {
        let files = self.tls_cert.clone().zip(self.tls_key.clone()).zip(self.client_ca.clone());
        CloudConfig {
            listen: self.listen,
            tls: files.map(|((certificate, key), client_ca)| TlsConfig { certificate, key, client_ca }),
            store: self.store.clone(),
            receiver_id: self.receiver_id.clone(),
        }
    }

    fn faults(&self) -> Vec<Fault> {
        let stall = self.stall.then_some(Fault::Stall(true));
        let slow_acks = self.slow_acks.map(Fault::SlowAcks);
        let reset_after = self.reset_after.map(Fault::ResetAfter);
        let drop_silently = self.drop_silently.map(Fault::DropSilently);
        [stall, slow_acks, reset_after, drop_silently].into_iter().flatten().collect()
    }
}

pub(super) async fn run(arguments: CloudArguments) -> anyhow::Result<()> {
    let cloud = Cloud::start(arguments.config()).await?;
    for fault in arguments.faults() {
        cloud.fault(fault).await?;
    }
    let mut console = Console::open(arguments.json);
    let scheme = if arguments.tls_cert.is_some() { "https" } else { "http" };
    let endpoint = format!("{scheme}://{}", cloud.address());
    let people = format!("receiver `{}` at {endpoint}", arguments.receiver_id);
    console.started(json!({ "endpoint": endpoint, "receiver_id": arguments.receiver_id }), &people)?;
    let mut bench = CloudBench(cloud);
    console.drive(&mut bench).await?;
    bench.0.shutdown().await;
    Ok(())
}

struct CloudBench(CloudHandle);

impl Bench for CloudBench {
    async fn obey(&mut self, line: &str) -> Result<(), String> {
        if line.trim() == "status" {
            return Ok(());
        }
        let fault: Fault = line.parse().map_err(|error: crate::cloud::UnknownFault| error.to_string())?;
        self.0.fault(fault).await.map_err(|error| error.to_string())
    }

    fn state(&self) -> Value {
        json!(self.0.snapshot())
    }

    fn describe(&self) -> String {
        let snapshot = self.0.snapshot();
        let lanes = snapshot.lanes.iter().map(|lane| format!(" {} {} {};", lane.gateway_id, lane.lane, lane.sequence));
        let lanes: String = lanes.collect();
        format!("{} streams, {} stored, {} seen again;{lanes}", snapshot.streams, snapshot.stored, snapshot.seen_again)
    }
}
