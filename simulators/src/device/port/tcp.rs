//! A device on the network: one that is connected to, and one that connects.

use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use super::{Port, PortError, tty};

/// A device that connects tries this often.
const RETRY: Duration = Duration::from_millis(200);
/// And gives a try this long.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);

/// A device that listens. The newest connection wins: a gateway that comes back does
/// not find its own half-open connection in the way.
#[derive(Debug)]
pub(super) struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    connection: Option<TcpStream>,
}

impl Listening {
    pub(super) fn open(address: SocketAddr) -> Result<Self, PortError> {
        let open = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let mend = "is another program there? `ss -ltnp` tells";
        let failed = |error: std::io::Error| PortError::new("listen on", address, format!("{error}; {mend}"));
        let (listener, address) = open().map_err(failed)?;
        Ok(Self { listener, address, connection: None })
    }
}

impl Port for Listening {
    fn place(&self) -> String {
        self.address.to_string()
    }

    fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.push(PollFd::new(&self.listener, PollFlags::IN));
        fds.extend(self.connection.as_ref().map(|it| PollFd::new(it, PollFlags::IN)));
    }

    fn tick(&self) -> Option<Duration> {
        None
    }

    fn service(&mut self, _now: Duration, input: &mut Vec<u8>) {
        while let Ok((stream, _)) = self.listener.accept() {
            self.connection = prepared(stream);
        }
        read(&mut self.connection, input);
    }

    fn is_heard(&self) -> bool {
        self.connection.is_some()
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        write(&self.connection, bytes)
    }
}

/// A device that connects.
#[derive(Debug)]
pub(super) struct Connecting {
    address: String,
    connection: Option<TcpStream>,
    next_try: Duration,
}

impl Connecting {
    pub(super) fn new(address: String) -> Self {
        Self { address, connection: None, next_try: Duration::ZERO }
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let mut last = std::io::ErrorKind::AddrNotAvailable.into();
        for address in self.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Port for Connecting {
    fn place(&self) -> String {
        self.address.clone()
    }

    fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.extend(self.connection.as_ref().map(|it| PollFd::new(it, PollFlags::IN)));
    }

    fn tick(&self) -> Option<Duration> {
        self.connection.is_none().then_some(RETRY)
    }

    fn service(&mut self, now: Duration, input: &mut Vec<u8>) {
        if self.connection.is_none() && now >= self.next_try {
            self.next_try = now + RETRY;
            match self.connect() {
                Ok(stream) => self.connection = prepared(stream),
                Err(error) => tracing::debug!(address = self.address, %error, "nobody is there yet"),
            }
        }
        read(&mut self.connection, input);
    }

    fn is_heard(&self) -> bool {
        self.connection.is_some()
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        write(&self.connection, bytes)
    }
}

fn prepared(stream: TcpStream) -> Option<TcpStream> {
    let prepared = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
    prepared.is_ok().then_some(stream)
}

fn read(connection: &mut Option<TcpStream>, input: &mut Vec<u8>) {
    if connection.as_ref().is_some_and(|stream| tty::read_available(stream, input).is_err()) {
        *connection = None;
    }
}

fn write(connection: &Option<TcpStream>, bytes: &[u8]) -> bool {
    connection.as_ref().is_some_and(|stream| tty::write_available(stream, bytes) == bytes.len())
}
