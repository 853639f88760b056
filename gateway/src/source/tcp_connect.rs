//! TCP to a device that listens.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, getpeername, getsockname, socket_with, sockopt};

use super::back_off::BackOff;
use super::line::Line;
use super::tcp_options;
use super::transport::{Opening, Transport};
use super::waker::SourceWaker;

const FIRST_BACK_OFF: Duration = Duration::from_millis(200);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);
/// For the name, and again for each address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a name's addresses, this many are tried.
const ADDRESSES: usize = 8;

#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("resolve {0}: {1}; is the name right and the name server reachable?")]
    Resolve(String, io::Error),
    #[error("resolve {0}: no answer within {CONNECT_TIMEOUT:?}; use an address instead of a name")]
    ResolveTimeout(String),
    #[error("resolve {0}: the name has no address")]
    NoAddress(String),
    #[error("connect to {0}: {1}; is the device on, and its port right?")]
    Connect(SocketAddr, io::Error),
    #[error("connect to {0}: no answer within {CONNECT_TIMEOUT:?}; is the device on, and on this network?")]
    Timeout(SocketAddr),
    #[error("connect to {0}: nothing listens there")]
    SelfConnect(SocketAddr),
}

/// What the resolver's thread leaves.
type Answer = Arc<Mutex<Option<io::Result<Vec<SocketAddr>>>>>;

/// The transport towards a device that listens.
#[derive(Debug)]
pub(super) struct TcpConnect {
    /// `host:port`; a name is resolved anew at each attempt.
    target: String,
    waker: SourceWaker,
    attempt: Attempt,
    /// The resolver at work. It blocks for as long as the system's resolver likes, so
    /// it has a thread of its own, and a next attempt waits for the same one.
    resolver: Option<Answer>,
}

#[derive(Debug, Default)]
enum Attempt {
    #[default]
    None,
    Resolving {
        give_up_at: Duration,
    },
    Connecting(Dial),
}

/// A connection on its way, and the addresses that remain.
#[derive(Debug)]
struct Dial {
    socket: OwnedFd,
    address: SocketAddr,
    give_up_at: Duration,
    remaining: std::vec::IntoIter<SocketAddr>,
}

impl TcpConnect {
    pub(super) fn new(target: String, waker: SourceWaker) -> Self {
        Self { target, waker, attempt: Attempt::None, resolver: None }
    }

    fn begin(&mut self, now: Duration) -> Opening {
        if let Ok(address) = self.target.parse() {
            return self.dial(now, vec![address].into_iter());
        }
        if self.resolver.is_none() {
            match self.start_resolver() {
                Ok(answer) => self.resolver = Some(answer),
                Err(error) => return failed(&ConnectError::Resolve(self.target.clone(), error)),
            }
        }
        self.attempt = Attempt::Resolving { give_up_at: now + CONNECT_TIMEOUT };
        Opening::Pending
    }

    fn start_resolver(&self) -> io::Result<Answer> {
        let answer = Answer::default();
        let (slot, waker) = (Arc::clone(&answer), self.waker.clone());
        let target = self.target.clone();
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            let found = target.to_socket_addrs().map(|found| found.take(ADDRESSES).collect());
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            waker.wake();
        })?;
        Ok(answer)
    }

    fn resolving(&mut self, now: Duration, give_up_at: Duration) -> Opening {
        let answer = self.resolver.as_ref().and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        match answer {
            Some(answer) => {
                self.resolver = None;
                match answer {
                    Ok(addresses) => self.dial(now, addresses.into_iter()),
                    Err(error) => failed(&ConnectError::Resolve(self.target.clone(), error)),
                }
            }
            None if now >= give_up_at => failed(&ConnectError::ResolveTimeout(self.target.clone())),
            None => {
                self.attempt = Attempt::Resolving { give_up_at };
                Opening::Pending
            }
        }
    }

    /// Tries the addresses in turn until one is on its way.
    fn dial(&mut self, now: Duration, mut remaining: std::vec::IntoIter<SocketAddr>) -> Opening {
        let mut error = ConnectError::NoAddress(self.target.clone());
        while let Some(address) = remaining.next() {
            match begin_connect(address) {
                Ok(socket) => {
                    let give_up_at = now + CONNECT_TIMEOUT;
                    self.attempt = Attempt::Connecting(Dial { socket, address, give_up_at, remaining });
                    return Opening::Pending;
                }
                Err(reason) => error = ConnectError::Connect(address, reason.into()),
            }
        }
        failed(&error)
    }

    fn connecting(&mut self, now: Duration, dial: Dial) -> Opening {
        let error = match progress(&dial.socket) {
            Ok(true) if is_own_end(&dial.socket) => ConnectError::SelfConnect(dial.address),
            Ok(true) => return Opening::Ready(Line::socket(dial.socket, dial.address.to_string())),
            Ok(false) if now < dial.give_up_at => {
                self.attempt = Attempt::Connecting(dial);
                return Opening::Pending;
            }
            Ok(false) => ConnectError::Timeout(dial.address),
            Err(error) => ConnectError::Connect(dial.address, error.into()),
        };
        if dial.remaining.len() == 0 { failed(&error) } else { self.dial(now, dial.remaining) }
    }
}

impl Transport for TcpConnect {
    fn open(&mut self, now: Duration) -> Opening {
        match std::mem::take(&mut self.attempt) {
            Attempt::None => self.begin(now),
            Attempt::Resolving { give_up_at } => self.resolving(now, give_up_at),
            Attempt::Connecting(dial) => self.connecting(now, dial),
        }
    }

    fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.attempt {
            Attempt::Connecting(dial) => Some((dial.socket.as_fd(), PollFlags::OUT)),
            _ => None,
        }
    }

    fn deadline(&self) -> Option<Duration> {
        match &self.attempt {
            Attempt::None => None,
            Attempt::Resolving { give_up_at } | Attempt::Connecting(Dial { give_up_at, .. }) => Some(*give_up_at),
        }
    }

    fn back_off(&self, seed: u64) -> BackOff {
        BackOff::new(FIRST_BACK_OFF, LONGEST_BACK_OFF, seed)
    }
}

fn failed(error: &ConnectError) -> Opening {
    Opening::Failed(error.to_string())
}

/// A socket that is connecting.
fn begin_connect(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    tcp_options::set(&socket)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// Whether the socket is connected by now.
fn progress(socket: &OwnedFd) -> Result<bool, Errno> {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(Errno::INTR) => Ok(false),
        Ok(_) => sockopt::socket_error(socket)?.map(|()| true),
        Err(error) => Err(error),
    }
}

/// Whether the kernel connected the socket to itself: it may, if the port on this
/// very machine is one of those it gives to clients and nothing listens on it.
fn is_own_end(socket: &OwnedFd) -> bool {
    matches!((getsockname(socket), getpeername(socket)), (Ok(own), Ok(Some(peer))) if own == peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    /// A socket that got itself as peer is known from one that got a device.
    #[test]
    fn a_connection_to_itself_is_recognised() {
        let own = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&own, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
        let address: SocketAddr = getsockname(&own).unwrap().try_into().unwrap();
        connect(&own, &address).unwrap();
        assert!(is_own_end(&own));

        let device = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(device.local_addr().unwrap()).unwrap();
        assert!(!is_own_end(&socket.into()));
    }
}
