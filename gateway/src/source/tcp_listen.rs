//! TCP from a device that connects.
//!
//! One peer at a time, and the newest wins: a device that lost power leaves a
//! half-open connection behind, and must not be locked out by it. What the old
//! connection still holds is read first (the driver does that).

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::PollFlags;

use super::back_off::BackOff;
use super::line::Line;
use super::tcp_options;
use super::transport::{Opening, Transport};
use crate::config::IpNetwork;

const FIRST_BACK_OFF: Duration = Duration::from_millis(200);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);
/// Refused peers are reported at most this often, with a count: a port scanner must
/// not fill the log.
const REFUSED_REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// Connections looked at in one turn, so that a flood leaves time for the line.
const ACCEPTS_PER_TURN: usize = 32;

#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error("listen on {0}: {1}; is another source or program on this port, and the address one of this machine?")]
    Bind(SocketAddr, io::Error),
    #[error("accept on {0}: {1}")]
    Accept(SocketAddr, io::Error),
}

/// The transport towards a device that connects.
#[derive(Debug)]
pub(super) struct TcpListen {
    address: SocketAddr,
    allow: Vec<IpNetwork>,
    listener: Option<TcpListener>,
    refused: Option<(String, u64)>,
    next_report_at: Duration,
}

impl TcpListen {
    pub(super) fn new(address: SocketAddr, allow: Vec<IpNetwork>) -> Self {
        Self { address, allow, listener: None, refused: None, next_report_at: Duration::ZERO }
    }

    fn advance(&mut self, now: Duration) -> Result<Opening, ListenError> {
        if self.listener.is_none() {
            return self.bind().map(Opening::Listening).map_err(|error| ListenError::Bind(self.address, error));
        }
        let accepted = self.accept().map_err(|error| ListenError::Accept(self.address, error))?;
        Ok(accepted.map(Opening::Ready).or_else(|| self.report_refused(now)).unwrap_or(Opening::Pending))
    }

    fn bind(&mut self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        self.listener = Some(listener);
        Ok(address)
    }

    /// The next allowed peer that waits; refused ones are counted.
    fn accept(&mut self) -> io::Result<Option<Line>> {
        let Some(listener) = &self.listener else { return Ok(None) };
        for _ in 0..ACCEPTS_PER_TURN {
            match listener.accept() {
                // A socket that takes no options is already dead.
                Ok((stream, peer)) if self.allow.iter().any(|network| network.contains(peer.ip())) => {
                    match line(stream, peer) {
                        Ok(line) => return Ok(Some(line)),
                        Err(error) => tracing::debug!(%peer, %error, "gone before it was looked at"),
                    }
                }
                Ok((_, peer)) => {
                    let (last, count) = self.refused.get_or_insert_default();
                    (*last, *count) = (peer.to_string(), *count + 1);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if is_of_one_peer(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn report_refused(&mut self, now: Duration) -> Option<Opening> {
        if now < self.next_report_at {
            return None;
        }
        let (peer, count) = self.refused.take()?;
        self.next_report_at = now + REFUSED_REPORT_INTERVAL;
        Some(Opening::Refused { peer, count })
    }
}

impl Transport for TcpListen {
    fn open(&mut self, now: Duration) -> Opening {
        self.advance(now).unwrap_or_else(|error| Opening::Failed(error.to_string()))
    }

    fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.listener.as_ref().map(|listener| (listener.as_fd(), PollFlags::IN))
    }

    fn deadline(&self) -> Option<Duration> {
        self.refused.as_ref().map(|_| self.next_report_at)
    }

    fn back_off(&self, seed: u64) -> BackOff {
        BackOff::new(FIRST_BACK_OFF, LONGEST_BACK_OFF, seed)
    }

    fn is_awaited(&self) -> bool {
        true
    }
}

/// Whether an accept failed for the peer's sake alone (accept(2), error handling).
fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::TimedOut
    )
}

fn line(stream: TcpStream, peer: SocketAddr) -> io::Result<Line> {
    stream.set_nonblocking(true)?;
    tcp_options::set(&stream)?;
    Ok(Line::socket(stream.into(), peer.to_string()))
}
