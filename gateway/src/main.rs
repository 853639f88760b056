//! The gateway's binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    venue_gateway::cli::main(std::env::args_os()).into()
}
