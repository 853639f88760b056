//! `venue-sim`: see [`venue_sim::cli`].

use std::process::ExitCode;

use clap::Parser as _;
use venue_sim::cli::Cli;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("VENUE_SIM_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Cli::parse().run()
}
