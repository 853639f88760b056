//! `tail`: events as they become durable.

use anyhow::Context as _;
use venue_schema::v1;

use super::{control_client, event_line, offline, output};
use crate::{
    app::Request,
    cli::{Exit, Tail},
    config::Config,
    event_json::{self, Instead},
};

/// Prints events of the running gateway, or the last ones of the journal where
/// none runs.
///
/// # Errors
/// If the gateway does not answer, or there is no journal to read.
pub fn run(config: &Config, tail: &Tail) -> anyhow::Result<Exit> {
    let request = Request::Tail { last: tail.last, follow: !tail.no_follow, lane: tail.lane.clone() };
    let Some(mut answer) = control_client::ask(&config.gateway.data_dir, &request)? else {
        let events = offline::tail(config, tail.lane.as_deref(), tail.last)?;
        let data_dir = config.gateway.data_dir.display();
        output::tell(&format!("no gateway runs on {data_dir}; these are the last events of its journal"));
        for shown in events {
            if !print(config, tail, &shown)? {
                break;
            }
        }
        return Ok(Exit::NotRunning);
    };
    while let Some(line) = control_client::line(&mut answer)? {
        let shown = match serde_json::from_str::<Instead>(&line) {
            Ok(instead) => Err(instead),
            Err(_) => Ok(serde_json::from_str(&line).context("the gateway's answer cannot be read")?),
        };
        if !print(config, tail, &shown)? {
            break;
        }
    }
    Ok(Exit::Success)
}

/// Prints an event that passes the filters, and what stands for one that cannot be
/// shown, which may be any; false once nobody reads any more.
fn print(config: &Config, tail: &Tail, shown: &Result<v1::Event, Instead>) -> anyhow::Result<bool> {
    let line = match shown {
        Ok(event) if !passes(tail, event) => return Ok(true),
        _ if tail.json => event_json::line(shown),
        Ok(event) => event_line::line(event, &config.gateway.timezone),
        Err(instead) => instead.to_string(),
    };
    Ok(output::print(&line)?)
}

fn passes(tail: &Tail, event: &v1::Event) -> bool {
    let device_matches = tail.device.as_ref().is_none_or(|wanted| *wanted == event.device_id);
    let kind_matches = tail.kind.as_ref().is_none_or(|wanted| *wanted == event_line::kind(event));
    device_matches && kind_matches
}
