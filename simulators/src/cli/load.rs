//! `venue-sim load`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::load::{self, LoadConfig, Row};

/// Arguments of `load`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 1: something was lost, doubled or out of order, or a part failed. A goal that is missed is \
                        said and is no failure: machines differ."
)]
pub(super) struct LoadArguments {
    /// What to measure; everything without.
    #[arg(value_enum, value_name = "ROW")]
    rows: Vec<Row>,
    /// How often each is measured; medians are shown.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=99))]
    runs: u16,
    /// Events of each run, instead of the row's own number.
    #[arg(long, value_name = "COUNT")]
    events: Option<u64>,
    /// Records that wait for a second receiver meanwhile, half of them in each lane (alge, alge-tls, latency).
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    backlog: u64,
    /// Folder on the disk that is to be measured; the temporary folder if none is given.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// One JSON line a row.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: LoadArguments) -> anyhow::Result<ExitCode> {
    let LoadArguments { rows, runs, events, backlog, dir, json } = arguments;
    let rows = if rows.is_empty() { Row::ALL.to_vec() } else { rows };
    let sound = load::run(LoadConfig { rows, runs: runs.into(), events, backlog, directory: dir, json }).await?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
