//! `status`: whether all results are at the centre.

use std::path::Path;

use anyhow::Context as _;

use super::{control_client, offline, output};

use crate::{
    app::{Request, status::Status},
    cli::Exit,
    config::{self, Config},
};

/// Asks the running gateway, or reads the journal where none runs, and prints. A gateway that runs is asked though its file
/// is wrong now: it says so.
///
/// # Errors
/// If the gateway does not answer, or there is no journal to read.
pub fn run(file: &Path, json: bool) -> anyhow::Result<Exit> {
    let loaded = Config::load(file, config::environment());
    let data_dir = match &loaded {
        Ok(config) => config.gateway.data_dir.clone(),
        Err(_) => config::data_dir(file, config::environment()),
    };
    let (status, exit) = match (control_client::ask(&data_dir, &Request::Status), loaded) {
        (Ok(Some(mut answer)), _) => {
            let line = control_client::line(&mut answer)?.context("the gateway went away while it answered")?;
            let status: Status = serde_json::from_str(&line).context("the gateway's answer cannot be read")?;
            (status, Exit::Success)
        }
        (_, Err(errors)) => {
            output::tell(&errors.to_string());
            return Ok(Exit::Config);
        }
        (Ok(None), Ok(config)) => (offline::status(&config)?, Exit::NotRunning),
        (Err(error), Ok(_)) => return Err(error),
    };
    let text = if json { serde_json::to_string_pretty(&status)? } else { status.to_string() };
    output::print(&text)?;
    Ok(exit)
}
