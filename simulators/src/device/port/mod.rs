//! Where a device is plugged in: PTY, serial port or TCP.

mod pty;
mod serial;
mod tcp;
mod tty;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::PollFd;
use venue_devices::LineSettings;

/// Where a device is plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// A pseudo terminal; the gateway opens its near end as it opens a serial port.
    Pty {
        /// A symlink that always leads to it, as /dev/serial/by-id does.
        link: Option<PathBuf>,
    },
    /// A real serial port, wired to one of the gateway.
    Serial {
        /// The port.
        port: PathBuf,
    },
    /// TCP, the gateway connects. The newest connection wins.
    Listen(SocketAddr),
    /// TCP, the device connects to `host:port` and tries again for ever.
    Connect(String),
}

/// Why a device could not be plugged in. Says how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{what} {place}: {why}")]
pub struct PortError {
    what: &'static str,
    place: String,
    why: String,
}

impl PortError {
    fn new(what: &'static str, place: impl ToString, why: impl ToString) -> Self {
        Self { what, place: place.to_string(), why: why.to_string() }
    }
}

/// Bytes read at one time.
const READ_BYTES: usize = 4096;

/// A plugged-in port. Nothing in it blocks for longer than a TCP connection takes to
/// be refused.
pub(super) trait Port: Send {
    /// What the other side is to open or connect to.
    fn place(&self) -> String;

    /// What to wait for; readiness calls for [`Port::service`].
    fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>);

    /// How often [`Port::service`] wants to be called without any readiness.
    fn tick(&self) -> Option<Duration>;

    /// Accepts, connects, and reads what is there into `input`.
    fn service(&mut self, now: Duration, input: &mut Vec<u8>);

    /// Whether somebody listens.
    fn is_heard(&self) -> bool;

    /// Writes what the port takes at once; the rest is lost, as on a line. Returns
    /// whether all of it went to somebody.
    fn write(&mut self, bytes: &[u8]) -> bool;

    /// The settings of the other side, where they can be known.
    fn far_settings(&self) -> Option<LineSettings> {
        None
    }
}

/// Plugs a device in.
pub(super) fn open(attachment: &Attachment, line: LineSettings) -> Result<Box<dyn Port>, PortError> {
    Ok(match attachment {
        Attachment::Pty { link } => Box::new(pty::Pty::open(link.clone())?),
        Attachment::Serial { port } => Box::new(serial::Serial::open(port, line)?),
        Attachment::Listen(address) => Box::new(tcp::Listening::open(*address)?),
        Attachment::Connect(address) => Box::new(tcp::Connecting::new(address.clone())),
    })
}
