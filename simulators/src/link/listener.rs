//! The listening side of a link: accepts while the link is not cut.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::conditions::Knobs;
use super::connection::{self, Outcome};
use super::report::Reporter;
use super::{MOST_CONNECTIONS, Passage};
use crate::clock::Clock;

/// What the tasks of a link share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) connect: String,
    pub(super) knobs: watch::Receiver<Knobs>,
    pub(super) reporter: Reporter,
    pub(super) clock: Clock,
    pub(super) seed: u64,
}

/// A port that is ours whether or not anybody listens on it: bound, so that a client
/// is refused while the link is cut and no other program takes the port meanwhile.
#[derive(Debug)]
pub(super) struct Port {
    address: SocketAddr,
    _bound: TcpSocket,
}

impl Port {
    /// Length of the kernel's queue of connections that wait to be accepted.
    const BACKLOG: u32 = 64;

    pub(super) fn reserve(address: SocketAddr) -> io::Result<Self> {
        let bound = bind(address)?;
        Ok(Self { address: bound.local_addr()?, _bound: bound })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        bind(self.address)?.listen(Self::BACKLOG)
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Two sockets of ours stand on the port: this one and the listening one.
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Serves a link until the task is aborted.
pub(super) async fn serve(port: Port, listener: TcpListener, shared: Arc<Shared>) {
    let mut knobs = shared.knobs.clone();
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        if knobs.borrow_and_update().conditions.passage == Passage::Cut {
            listener = None;
        } else if listener.is_none() {
            listener = listen_again(&port).await;
        }
        shared.reporter.update(|it| it.listening = listener.is_some());
        tokio::select! {
            changed = knobs.changed() => if changed.is_err() { return },
            accepted = accept(listener.as_ref()), if connections.len() < MOST_CONNECTIONS => {
                let number = count_accepted(&shared.reporter);
                connections.spawn(run(accepted, number, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Fails only if the machine is out of descriptors: tried again at the next turn.
async fn listen_again(port: &Port) -> Option<TcpListener> {
    match port.listen() {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(address = %port.address(), %error, "cannot listen again");
            tokio::task::yield_now().await;
            None
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => tracing::debug!(%error, "a client was gone before it was accepted"),
        }
    }
}

fn count_accepted(reporter: &Reporter) -> u64 {
    reporter.update(|it| {
        it.accepted += 1;
        it.open += 1;
    });
    reporter.report().accepted
}

async fn run(client: TcpStream, number: u64, shared: Arc<Shared>) {
    let outcome = connection::run(client, number, &shared).await;
    shared.reporter.update(|it| {
        it.open -= 1;
        it.reset += u64::from(outcome == Outcome::Reset);
    });
}
