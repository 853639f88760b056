//! `journal release`: nothing is kept any longer for an uplink that is gone for good.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::{
    super::{control_client, output},
    stopped::{self, Stopped},
};
use crate::{
    app::{self, Released, Request},
    cli::{ConfigFile, Exit},
};

/// Has the running gateway let an uplink go, or does it in the journal of one that does not run.
pub(super) fn run(dir: &Path, uplink: &str, file: &ConfigFile, json: bool) -> anyhow::Result<Exit> {
    let request = Request::Release { uplink: uplink.to_owned() };
    let released = match control_client::ask(dir, &request)? {
        Some(mut answer) => {
            let line = control_client::line(&mut answer)?.context("the gateway went away while it answered")?;
            serde_json::from_str(&line).context("the gateway's answer cannot be read")?
        }
        None => {
            let Stopped { journal, config, clock } = match stopped::open(dir, file)? {
                Ok(stopped) => stopped,
                Err(exit) => return Ok(exit),
            };
            let released = app::release(&journal, &config, uplink);
            journal.close(clock.monotonic())?;
            released
        }
    };
    let (uplink, results, telemetry) = match &released {
        Released::Released { uplink, results, telemetry } => (uplink, results, telemetry),
        Released::Error(why) => bail!("{why}"),
    };
    let text = if json {
        serde_json::json!({ "uplink": uplink, "results": results, "telemetry": telemetry }).to_string()
    } else {
        format!(
            "nothing is kept for `{uplink}` any longer: it has not received {results} results and {telemetry} telemetry events"
        )
    };
    output::print(&text)?;
    Ok(Exit::Success)
}
