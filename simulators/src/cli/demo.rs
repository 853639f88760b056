//! `venue-sim demo`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::demo::{self, DemoConfig, Sabotage};

/// Arguments of the demo.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Competitors.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=200))]
    runners: u16,
    /// Folder for configuration, journal, log and the centre's store; must be new or
    /// empty. A new one in the temporary folder if none is given.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print the verdict as one JSON line on standard output.
    #[arg(long)]
    json: bool,
    /// Break something on purpose, to see that the verdict finds it.
    #[arg(long, value_enum, value_name = "WHAT")]
    sabotage: Option<Sabotage>,
}

pub(super) async fn run(arguments: DemoArguments) -> anyhow::Result<ExitCode> {
    let DemoArguments { runners, dir, json, sabotage } = arguments;
    demo::run(DemoConfig { runners, directory: dir, json, sabotage }).await
}
