//! The command line: arguments in, a bench that runs until it is told to stop.

mod cloud;
mod console;
mod demo;
mod device;
mod link;
mod load;
mod sensors;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The bench of the Venue Gateway: simulated devices, sensors, cloud and links.
///
/// `venue-sim gateway …` is `venue-gateway …`: the bench carries the real gateway.
///
/// Exit codes: 0 ended as asked (SIGINT, SIGTERM, `quit` on stdin, or done), 1 failed, 2 wrong arguments.
#[derive(Debug, Parser)]
#[command(name = "venue-sim", version, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A small race on this machine: kills, cuts, unplugged cables, and a verdict.
    Demo(demo::DemoArguments),
    /// One simulated device on a PTY, a serial port or TCP.
    Device(device::DeviceArguments),
    /// A receiver with faults on request.
    Cloud(cloud::CloudArguments),
    /// A user-space network link: latency, rate, stalls, cuts, black holes.
    Link(link::LinkArguments),
    /// Load through the real gateway: the numbers.
    Load(load::LoadArguments),
    /// A fleet of MQTT sensors.
    Sensors(sensors::SensorsArguments),
}

impl Cli {
    /// Runs the command and tells what failed on stderr.
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return failed(&error.into()),
        };
        let ran = runtime.block_on(async {
            match self.command {
                Command::Demo(arguments) => return demo::run(arguments).await,
                Command::Load(arguments) => return load::run(arguments).await,
                Command::Device(arguments) => device::run(arguments).await?,
                Command::Cloud(arguments) => cloud::run(arguments).await?,
                Command::Link(arguments) => link::run(arguments).await?,
                Command::Sensors(arguments) => sensors::run(arguments).await?,
            }
            Ok(ExitCode::SUCCESS)
        });
        // A thread that reads stdin cannot be ended; it is not waited for.
        runtime.shutdown_background();
        ran.unwrap_or_else(|error| failed(&error))
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("venue-sim: failed to {error:#}");
    ExitCode::FAILURE
}
