//! The other end of the control socket.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::Context as _;

use crate::app::{Request, socket_path};

/// A running gateway answers within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends a request to the gateway of a data directory; none if none runs.
///
/// # Errors
/// If the socket is there and cannot be used, for example for want of permission.
pub(super) fn ask(data_dir: &Path, request: &Request) -> anyhow::Result<Option<BufReader<UnixStream>>> {
    let path = socket_path(data_dir);
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(error)
                .with_context(|| format!("failed to connect to {}; ask as the gateway's user", path.display()));
        }
        Err(error) => return Err(error).with_context(|| format!("failed to connect to {}", path.display())),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).context("failed to ask the gateway")?;
    if let Request::Tail { follow: true, .. } = request {
        stream.set_read_timeout(None)?;
    }
    Ok(Some(BufReader::new(stream)))
}

/// The next line of an answer; none at its end.
///
/// # Errors
/// If the gateway does not answer in time, or went away in the middle of a line.
pub(super) fn line(answer: &mut BufReader<UnixStream>) -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    match answer.read_line(&mut line).context("the gateway does not answer")? {
        0 => Ok(None),
        _ => Ok(Some(line)),
    }
}
