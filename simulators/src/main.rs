//! `venue-sim`: see [`venue_sim::cli`]. Called with `gateway` first it is
//! `venue-gateway`, so that the demo needs no second program.

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;
use venue_sim::cli::Cli;

/// The embedded broker calls it an error when a client hangs up.
const LOGGED: &str = "warn,rumqttd=off";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "gateway") {
        return venue_gateway::cli::main(arguments.into_iter().skip(1)).into();
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("SIM_LOG").unwrap_or_else(|_| LOGGED.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Cli::parse_from(arguments).run()
}
