//! `venue-sim link`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::console::{Bench, Console};
use crate::link::{Command, Conditions, Link, LinkConfig, LinkHandle, Stall};
use crate::quantity::{self, Rate};

/// Arguments of `link`.
#[derive(Debug, Args)]
#[command(
    after_help = "Control lines on stdin: cut, black-hole, restore, reset, latency 50ms, jitter 5ms, rate 1Mbit|none, \
                        stall 2s/30s|none, status, quit."
)]
pub(super) struct LinkArguments {
    /// Where clients connect; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the link leads.
    #[arg(long, value_name = "HOST:PORT")]
    connect: String,
    /// Delay each way.
    #[arg(long, value_parser = quantity::duration, default_value = "0ms")]
    latency: Duration,
    /// Most that is added to it at random.
    #[arg(long, value_parser = quantity::duration, default_value = "0ms")]
    jitter: Duration,
    /// Limit each way, for example 1Mbit.
    #[arg(long, default_value = "none")]
    rate: Rate,
    /// Stands still, for example 2s in each 30s: 2s/30s.
    #[arg(long, value_name = "LASTING/EVERY")]
    stall: Option<Stall>,
    /// Repeats the jitter.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Says all as JSON lines.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: LinkArguments) -> anyhow::Result<()> {
    let LinkArguments { listen, connect, latency, jitter, rate, stall, seed, json } = arguments;
    let conditions = Conditions { latency, jitter, rate, stall, ..Conditions::default() };
    let link = Link::start(LinkConfig { listen, connect: connect.clone(), conditions, seed })?;
    let mut console = Console::open(json);
    let address = link.address();
    console.started(json!({ "listen": address, "connect": connect }), &format!("{address} leads to {connect}"))?;
    console.drive(&mut LinkBench(link)).await?;
    Ok(())
}

struct LinkBench(LinkHandle);

impl Bench for LinkBench {
    async fn obey(&mut self, line: &str) -> Result<(), String> {
        let command: Command = line.parse().map_err(|error: crate::link::UnknownCommand| error.to_string())?;
        command.apply(&self.0);
        Ok(())
    }

    fn state(&self) -> Value {
        let mut state = json!(self.0.report());
        state["passage"] = self.0.conditions().passage.name().into();
        state
    }

    fn describe(&self) -> String {
        let report = self.0.report();
        format!(
            "{}: {} connections, {} bytes up, {} down, {} held, {} connections reset",
            self.0.conditions().passage.name(),
            report.open,
            report.bytes_up,
            report.bytes_down,
            report.held_bytes,
            report.reset
        )
    }
}
