//! An address that a device listens at, or a serial device server.

use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use venue_devices::DEVICES;

use super::listen::listen;
use super::score::Heard;
use super::{OnProgress, Options, holder};
use crate::source::Line;

/// For the name, and again for each address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects and listens. With [`Options::ask`] a silent device is then asked, each request
/// on a connection of its own. What came is in `heard` however this ends.
///
/// # Errors
/// Why there is no connection, and how to mend it.
pub async fn probe(
    address: &str,
    options: &Options,
    heard: &mut Vec<Heard>,
    on_progress: OnProgress<'_>,
) -> Result<(), String> {
    attempt(address, b"", options, heard, on_progress).await?;
    for device in DEVICES.iter().filter(|device| options.ask && !device.identify.is_empty()) {
        if heard.iter().any(|heard| !heard.is_silent()) {
            break;
        }
        attempt(address, device.identify, options, heard, on_progress).await?;
    }
    Ok(())
}

async fn attempt(
    address: &str,
    request: &[u8],
    options: &Options,
    heard: &mut Vec<Heard>,
    on_progress: OnProgress<'_>,
) -> Result<(), String> {
    let line = connect(address).await?;
    heard.push(Heard::at(None));
    let heard = heard.last_mut().expect("just pushed");
    let doing = if request.is_empty() { "listens" } else { "asks" };
    match listen(line, request, options.listen, heard, doing, on_progress).await {
        // It spoke and hung up, or does not like to be asked: what it said is what counts.
        Err(_) if !heard.is_silent() || !request.is_empty() => Ok(()),
        ended => ended.map_err(|reason| format!("{address}: {reason}")),
    }
}

async fn connect(address: &str) -> Result<Line, String> {
    let found = timeout(CONNECT_TIMEOUT, lookup_host(address)).await;
    let found = found.map_err(|_| format!("resolve {address}: no answer; use an address instead of a name"))?;
    let found: Vec<_> = found.map_err(|error| format!("resolve {address}: {error}; is the name right?"))?.collect();
    if let Some(peer) = found.iter().find(|peer| holder::is_connected_to(**peer)) {
        return Err(format!(
            "{peer} is in use: this machine (a running gateway?) is connected to it already, and a device that \
             serves one client would drop it; stop that, then probe again"
        ));
    }
    let mut failure = format!("resolve {address}: the name has no address");
    for peer in found {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(peer)).await {
            Ok(Ok(stream)) => {
                // The kernel connects a client to itself where nobody listens at a port of its own range.
                if stream.local_addr().is_ok_and(|local| local == peer) {
                    failure = format!("connect to {peer}: nothing listens there");
                    continue;
                }
                let stream = stream.into_std().map_err(|error| error.to_string())?;
                return Ok(Line::socket(stream.into(), peer.to_string()));
            }
            Ok(Err(error)) => {
                failure = format!("connect to {peer}: {error}; is the device on, and its port right?");
            }
            Err(_) => {
                failure = format!("connect to {peer}: no answer; is the device on, and on this network?");
            }
        }
    }
    Err(failure)
}
