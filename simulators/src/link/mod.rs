//! A bad network on request: a TCP link in user space, between gateway and cloud or
//! between device and gateway.
//!
//! ```text
//!            ┌──────────────── Link ────────────────┐
//! client ──► │ listener ──► pipe up   (≤ 1 MiB)   ──► │ ──► target
//!        ◄── │          ◄── pipe down (≤ 1 MiB)   ◄── │ ◄──
//!            └────────── Conditions (knobs) ────────┘
//! ```
//!
//! Bytes are held for the latency, leave no faster than the rate, and wait while the
//! link stalls or is a black hole. What is held is bounded, and a full pipe does not
//! read: the sender feels it as it feels a slow network. No byte is ever lost or
//! changed within a connection, as TCP promises; connections are what breaks.
//!
//! What it never does: look into the bytes, or drop packets (a TCP user sees a lost
//! packet as delay: use a stall).

mod conditions;
mod connection;
mod control;
mod listener;
mod pipe;
mod report;

pub use conditions::{Conditions, Passage, Stall};
pub use control::{Command, UnknownCommand};
pub use pipe::PIPE_BYTES;
pub use report::LinkReport;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::quantity::Rate;
use conditions::Knobs;
use report::Reporter;

/// Most connections at a time; more wait in the kernel's queue of the listener.
pub const MOST_CONNECTIONS: usize = 256;

/// Where a link listens and leads, and how bad it is at first.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// Where clients connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the link leads, `host:port`; resolved at each connection.
    pub connect: String,
    /// How bad it is at first.
    pub conditions: Conditions,
    /// Repeats the jitter.
    pub seed: u64,
}

impl LinkConfig {
    /// A perfect link from a free port of this machine.
    pub fn to(connect: impl ToString) -> Self {
        Self {
            listen: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
            connect: connect.to_string(),
            conditions: Conditions::default(),
            seed: 0,
        }
    }
}

/// Why a link could not be started.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}: {cause}; is another program there? `ss -ltnp` tells, port 0 takes a free one")]
pub struct LinkError {
    address: SocketAddr,
    cause: std::io::Error,
}

/// A user-space TCP link.
#[derive(Debug)]
pub struct Link;

impl Link {
    /// Listens, and serves until the handle is dropped. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn start(config: LinkConfig) -> Result<LinkHandle, LinkError> {
        let failed = |cause| LinkError { address: config.listen, cause };
        let port = listener::Port::reserve(config.listen).map_err(failed)?;
        let listening = port.listen().map_err(failed)?;
        let (knobs, observed) = watch::channel(Knobs { conditions: config.conditions, resets: 0 });
        let reporter = Reporter::default();
        let shared = Arc::new(listener::Shared {
            connect: config.connect,
            knobs: observed,
            reporter: reporter.clone(),
            clock: Clock::start(),
            seed: config.seed,
        });
        let address = port.address();
        let task = tokio::spawn(listener::serve(port, listening, shared));
        Ok(LinkHandle { address, knobs, reporter, task })
    }
}

/// The knobs of a running link. Each takes effect at once for the bytes that are held
/// and those to come; [`LinkHandle::until`] waits until the effect is seen. Dropping
/// the handle ends the link and closes its connections.
#[derive(Debug)]
pub struct LinkHandle {
    address: SocketAddr,
    knobs: watch::Sender<Knobs>,
    reporter: Reporter,
    task: JoinHandle<()>,
}

impl LinkHandle {
    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Delays each byte by this much, in each direction.
    pub fn set_latency(&self, latency: Duration) {
        self.knobs.send_modify(|it| it.conditions.latency = latency);
    }

    /// Delays each piece by up to this much more, at random.
    pub fn set_jitter(&self, jitter: Duration) {
        self.knobs.send_modify(|it| it.conditions.jitter = jitter);
    }

    /// Limits each direction of each connection.
    pub fn set_rate(&self, rate: Rate) {
        self.knobs.send_modify(|it| it.conditions.rate = rate);
    }

    /// Lets the link stand still from time to time.
    pub fn set_stall(&self, stall: Option<Stall>) {
        self.knobs.send_modify(|it| it.conditions.stall = stall);
    }

    /// Resets all connections and refuses new ones. The port stays reserved.
    pub fn cut(&self) {
        self.knobs.send_modify(|it| it.conditions.passage = Passage::Cut);
    }

    /// Lets nothing pass, neither bytes nor the end of a connection, while connections
    /// stay: both ends believe in a link that is gone. New connections are accepted,
    /// for a kernel cannot be told not to, and lead nowhere until the end of it. What
    /// is held passes then, as TCP would send it again.
    pub fn black_hole(&self, on: bool) {
        self.knobs.send_modify(|it| it.conditions.passage = if on { Passage::BlackHole } else { Passage::Open });
    }

    /// Ends a cut or a black hole.
    pub fn restore(&self) {
        self.knobs.send_modify(|it| it.conditions.passage = Passage::Open);
    }

    /// Resets all connections; new ones are welcome.
    pub fn reset_connections(&self) {
        self.knobs.send_modify(|it| it.resets += 1);
    }

    /// The conditions that hold now.
    pub fn conditions(&self) -> Conditions {
        self.knobs.borrow().conditions.clone()
    }

    /// Counters and state.
    pub fn report(&self) -> LinkReport {
        self.reporter.report()
    }

    /// Waits until the report satisfies a condition, and returns it.
    pub async fn until(&self, condition: impl FnMut(&LinkReport) -> bool) -> LinkReport {
        self.reporter.until(condition).await
    }
}

impl Drop for LinkHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
