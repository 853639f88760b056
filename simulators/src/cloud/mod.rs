//! A receiver of `venue.v1.EventIngestService`, with faults on request.
//!
//! ```text
//! gateway ══► connection ─► service ─► engine: Receiver ─► Archive (SQLite, memory)
//!         ◄══ (resettable)   (pump) ◄─ outbox ◄──┘  faults ─┘
//! ```
//!
//! The conversation is that of `venue-delivery`; this is its rim: sockets, TLS, a
//! thread with a store, and knobs. Everything that is acknowledged is on disk together
//! with mark and digest, unless a knob was turned that lies about it.
//!
//! What it never does: look into events further than to their identity, or lose
//! anything unasked.

mod archive;
mod connection;
mod engine;
mod fault;
mod outbox;
mod service;
mod snapshot;
mod sqlite;
mod stored;
mod tls;

pub use archive::{Amnesia, StoreConfig};
pub use engine::StoreUnavailable;
pub use fault::{Fault, UnknownFault};
pub use snapshot::{LaneSnapshot, Snapshot};
pub use sqlite::SqliteError;
pub use stored::StoredEvent;
pub use tls::{TlsConfig, TlsError};

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::Stream;
use tonic::transport::Server;
use venue_delivery::Code;
use venue_schema::v1::event_ingest_service_server::EventIngestServiceServer;

use archive::Archive;
use connection::Breakable;
use engine::{Engine, Input, MOST_INPUTS};
use service::Service;

/// How often an idle connection is asked whether it lives, and how long it may take to
/// answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Bytes of a stream that may be on the way unread, and of a connection.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;

/// The largest message: a batch is at most 256 KiB, and a single event may be larger.
const LARGEST_MESSAGE: usize = 16 * 1024 * 1024;

/// Where a cloud listens, and what it keeps.
#[derive(Debug, Clone)]
pub struct CloudConfig {
    /// Where; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Mutual TLS; without it gateways are believed by name.
    pub tls: Option<TlsConfig>,
    /// What it keeps.
    pub store: StoreConfig,
    /// The name of the store, which gateways pin.
    pub receiver_id: String,
}

impl CloudConfig {
    /// A cloud on a free port of this machine, without TLS.
    pub fn local(store: StoreConfig) -> Self {
        Self {
            listen: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
            tls: None,
            store,
            receiver_id: "venue-sim-cloud".into(),
        }
    }
}

/// Why a cloud could not be started, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// Its port.
    #[error("listen on {address}: {cause}; is another program there? `ss -ltnp` tells, port 0 takes a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// Its store's file.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// Its store, later.
    #[error(transparent)]
    Store(#[from] StoreUnavailable),
    /// The files for TLS.
    #[error(transparent)]
    TlsFiles(#[from] TlsError),
    /// What is in them.
    #[error("set up TLS; are certificate, key and authority PEM files that belong together?")]
    Tls(#[from] tonic::transport::Error),
    /// Its thread.
    #[error("start the store's thread")]
    Thread(#[source] std::io::Error),
    /// It has ended.
    #[error("the cloud has ended")]
    Ended,
}

/// A simulated cloud.
#[derive(Debug)]
pub struct Cloud;

impl Cloud {
    /// Opens the store, listens, and serves until the handle is dropped or shut down.
    ///
    /// # Errors
    /// [`CloudError`] if store, TLS or port fail.
    pub async fn start(config: CloudConfig) -> Result<CloudHandle, CloudError> {
        let archive = Archive::open(&config.store, &config.receiver_id)?;
        let tls = config.tls.as_ref().map(TlsConfig::load).transpose()?;
        let address = config.listen;
        let failed = |cause| CloudError::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;

        let (inputs, received) = mpsc::channel(MOST_INPUTS);
        let (snapshots, snapshot) = watch::channel(Snapshot::default());
        let (resets, reset) = watch::channel(0);
        let engine = Engine::new(config.receiver_id, archive, received, snapshots, resets.clone());
        let thread = start_engine(engine)?;
        let service = Service { engine: inputs.clone(), mutual_tls: tls.is_some() };
        let server = tokio::spawn(serve(server(tls)?, service, connection::incoming(listener, reset)));
        Ok(CloudHandle { address, inputs, snapshot, resets, server, thread: Some(thread) })
    }
}

fn server(tls: Option<tonic::transport::ServerTlsConfig>) -> Result<Server, CloudError> {
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW);
    Ok(match tls {
        Some(tls) => server.tls_config(tls)?,
        None => server,
    })
}

async fn serve(server: Server, service: Service, connections: impl Stream<Item = std::io::Result<Breakable>>) {
    let service = EventIngestServiceServer::new(service).max_decoding_message_size(LARGEST_MESSAGE);
    if let Err(error) = server.serve_with_incoming(service, connections).await {
        tracing::error!(%error, "the cloud's server has ended");
    }
}

/// Runs the engine on a thread of its own: a commit blocks, and a server must not.
fn start_engine(engine: Engine) -> Result<JoinHandle<()>, CloudError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(CloudError::Thread)?;
    let run = move || runtime.block_on(engine.run());
    std::thread::Builder::new().name("cloud-store".into()).spawn(run).map_err(CloudError::Thread)
}

/// A running cloud. Every knob returns when it holds. Dropping the handle ends the
/// cloud as if its process were killed: connections break, and what was acknowledged is
/// in the store.
#[derive(Debug)]
pub struct CloudHandle {
    address: SocketAddr,
    inputs: mpsc::Sender<Input>,
    snapshot: watch::Receiver<Snapshot>,
    resets: watch::Sender<u64>,
    server: tokio::task::JoinHandle<()>,
    thread: Option<JoinHandle<()>>,
}

impl CloudHandle {
    /// Where gateways connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Turns any knob.
    ///
    /// # Errors
    /// [`CloudError::Store`] if the store cannot; [`CloudError::Ended`].
    pub async fn fault(&self, fault: Fault) -> Result<(), CloudError> {
        let (done, told) = oneshot::channel();
        self.inputs.send(Input::Fault { fault, done }).await.map_err(|_| CloudError::Ended)?;
        Ok(told.await.map_err(|_| CloudError::Ended)??)
    }

    /// Sends every acknowledgement this much later; zero ends it.
    ///
    /// # Errors
    /// [`CloudError::Ended`].
    pub async fn slow_acks(&self, delay: Duration) -> Result<(), CloudError> {
        self.fault(Fault::SlowAcks(delay)).await
    }

    /// Ends streams and refuses new ones with a status; none ends it.
    ///
    /// # Errors
    /// [`CloudError::Ended`].
    pub async fn refuse(&self, code: Option<Code>) -> Result<(), CloudError> {
        self.fault(Fault::Refuse(code)).await
    }

    /// Resets connections when this many more batches have come; the last of them, and
    /// what waits with it, is not stored.
    ///
    /// # Errors
    /// [`CloudError::Ended`].
    pub async fn reset_after(&self, batches: u64) -> Result<(), CloudError> {
        self.fault(Fault::ResetAfter(batches)).await
    }

    /// Loses marks and events.
    ///
    /// # Errors
    /// [`CloudError::Store`] if the store cannot.
    pub async fn forget(&self, amnesia: Amnesia) -> Result<(), CloudError> {
        self.fault(Fault::Forget(amnesia)).await
    }

    /// Takes what comes, answers keep-alives, and stores and acknowledges nothing.
    ///
    /// # Errors
    /// [`CloudError::Ended`].
    pub async fn stall(&self, on: bool) -> Result<(), CloudError> {
        self.fault(Fault::Stall(on)).await
    }

    /// Drops the next events of the results lane and counts them in mark and digest.
    ///
    /// # Errors
    /// [`CloudError::Ended`].
    pub async fn drop_silently(&self, events: u64) -> Result<(), CloudError> {
        self.fault(Fault::DropSilently(events)).await
    }

    /// Stores an event whose identity is held once, or, broken on purpose, again.
    ///
    /// # Errors
    /// [`CloudError::Ended`].
    pub async fn merge_repeats(&self, on: bool) -> Result<(), CloudError> {
        self.fault(Fault::MergeRepeats(on)).await
    }

    /// Ends streams and refuses new ones as UNAVAILABLE for a while.
    ///
    /// # Errors
    /// [`CloudError::Ended`].
    pub async fn maintenance(&self, duration: Duration) -> Result<(), CloudError> {
        self.fault(Fault::Maintenance(duration)).await
    }

    /// Where it stands.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// Follows where it stands: each commit is seen, unless the next came first.
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.clone()
    }

    /// Waits until it stands where a condition wants it.
    ///
    /// # Errors
    /// [`CloudError::Ended`].
    pub async fn until(&self, condition: impl FnMut(&Snapshot) -> bool) -> Result<Snapshot, CloudError> {
        let mut snapshot = self.snapshot.clone();
        let reached = snapshot.wait_for(condition).await.map_err(|_| CloudError::Ended)?;
        Ok(reached.clone())
    }

    /// Stored events behind a row, at most so many, in the order of arrival; none from a
    /// store in memory.
    ///
    /// # Errors
    /// [`CloudError::Store`] if the store cannot be read.
    pub async fn events(&self, after_row: u64, most: usize) -> Result<Vec<StoredEvent>, CloudError> {
        let (reply, told) = oneshot::channel();
        self.inputs.send(Input::Events { after_row, most, reply }).await.map_err(|_| CloudError::Ended)?;
        Ok(told.await.map_err(|_| CloudError::Ended)??)
    }

    /// Ends the cloud and closes its store.
    pub async fn shutdown(mut self) {
        let thread = self.thread.take();
        drop(self);
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for CloudHandle {
    fn drop(&mut self) {
        self.server.abort();
        // Connections live in tasks of their own; the engine ends with the last of them.
        self.resets.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests;
