//! `status`: whether all results are at the centre.

use anyhow::Context as _;

use super::{control_client, offline, output};

use crate::{
    app::{Request, status::Status},
    cli::Exit,
    config::Config,
};

/// Asks the running gateway, or reads the journal where none runs, and prints.
///
/// # Errors
/// If the gateway does not answer, or there is no journal to read.
pub fn run(config: &Config, json: bool) -> anyhow::Result<Exit> {
    let (status, exit) = match control_client::ask(&config.gateway.data_dir, &Request::Status)? {
        Some(mut answer) => {
            let line = control_client::line(&mut answer)?.context("the gateway went away while it answered")?;
            let status: Status = serde_json::from_str(&line).context("the gateway's answer cannot be read")?;
            (status, Exit::Success)
        }
        None => (offline::status(config)?, Exit::NotRunning),
    };
    let text = if json { serde_json::to_string_pretty(&status)? } else { status.to_string() };
    output::print(&text)?;
    Ok(exit)
}
