//! `tail`: events as they become durable.

use anyhow::bail;
use venue_schema::v1::{self, Lane};

use super::{control_client, event_line, offline, output};
use crate::{
    app::Request,
    cli::{Exit, Tail},
    config::Config,
};

/// Prints events of the running gateway, or the last ones of the journal where
/// none runs.
///
/// # Errors
/// If a filter names nothing that exists, or the gateway does not answer.
pub fn run(config: &Config, tail: &Tail) -> anyhow::Result<Exit> {
    check_filters(tail)?;
    let request = Request::Tail { last: tail.last, follow: !tail.no_follow, lane: tail.lane.clone() };
    let Some(mut answer) = control_client::ask(&config.gateway.data_dir, &request)? else {
        eprintln!("no gateway runs on {}; these are the last events of its journal", config.gateway.data_dir.display());
        for event in offline::tail(config, tail.lane.as_deref(), tail.last)? {
            if !print(config, tail, &event)? {
                break;
            }
        }
        return Ok(Exit::NotRunning);
    };
    while let Some(line) = control_client::line(&mut answer)? {
        let event: v1::Event = serde_json::from_str(&line)?;
        if !print(config, tail, &event)? {
            break;
        }
    }
    Ok(Exit::Success)
}

fn check_filters(tail: &Tail) -> anyhow::Result<()> {
    if let Some(lane) = &tail.lane
        && !Lane::ALL.iter().any(|known| known.name() == lane)
    {
        bail!("there is no lane `{lane}`: write `results` or `telemetry`");
    }
    if let Some(kind) = &tail.kind
        && !event_line::KINDS.contains(&kind.as_str())
    {
        bail!("there is no kind `{kind}`: write one of {}", event_line::KINDS.join(", "));
    }
    Ok(())
}

/// Prints an event that passes the filters; false once nobody reads any more.
fn print(config: &Config, tail: &Tail, event: &v1::Event) -> anyhow::Result<bool> {
    let device_matches = tail.device.as_ref().is_none_or(|wanted| *wanted == event.device_id);
    let kind_matches = tail.kind.as_ref().is_none_or(|wanted| *wanted == event_line::kind(event));
    if !(device_matches && kind_matches) {
        return Ok(true);
    }
    let line =
        if tail.json { serde_json::to_string(event)? } else { event_line::line(event, &config.gateway.timezone) };
    Ok(output::print(&line)?)
}
