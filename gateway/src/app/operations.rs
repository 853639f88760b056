//! `/metrics`, `/healthz` and `/readyz`, on a thread of their own.

use std::{io, net::TcpListener, sync::Arc, thread::JoinHandle, time::Duration};

use hyper::StatusCode;
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{control::Control, health, metrics::Scrape, progress::CommitProgress, spawn};
use crate::http::{self, Page, Pages};

/// The journal's state waits for a write that is under way. Longer than this nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the pages are made from.
pub(super) struct Operations {
    control: Control,
    progress: Arc<CommitProgress>,
    /// One look at a time: a disk that hangs would hold a thread for each.
    looking: Arc<Semaphore>,
}

impl Operations {
    pub(super) fn new(control: Control, progress: Arc<CommitProgress>) -> Self {
        Self { control, progress, looking: Arc::new(Semaphore::new(1)) }
    }

    /// Looks at everything, on a thread that may wait; none if the disk does not answer.
    async fn look(&self) -> Option<Scrape> {
        timeout(PATIENCE, async {
            let place = Arc::clone(&self.looking).acquire_owned().await.ok()?;
            let (control, progress) = (self.control.clone(), Arc::clone(&self.progress));
            let look = tokio::task::spawn_blocking(move || {
                // Given back when the look is done, though nobody waits for it any more.
                let _place = place;
                Scrape::take(&control, progress)
            });
            look.await.ok()
        })
        .await
        .ok()
        .flatten()
    }

    async fn metrics(&self) -> Page {
        match self.look().await {
            Some(scrape) => Page { status: StatusCode::OK, content_type: Scrape::CONTENT_TYPE, body: scrape.encode() },
            None => unavailable(),
        }
    }

    async fn ready(&self) -> Page {
        match self.healthy() {
            page if page.status != StatusCode::OK => page,
            _ => match self.look().await {
                Some(scrape) => verdict(&health::troubles_of_service(scrape.status())),
                None => unavailable(),
            },
        }
    }

    fn healthy(&self) -> Page {
        verdict(&health::troubles_of_process(&self.progress, self.control.clock.monotonic()))
    }
}

impl Pages for Operations {
    async fn page(&self, path: &str) -> Option<Page> {
        match path {
            "/metrics" => Some(self.metrics().await),
            "/healthz" => Some(self.healthy()),
            "/readyz" => Some(self.ready().await),
            _ => None,
        }
    }
}

/// `ok`, or the troubles, one a line.
fn verdict(troubles: &[String]) -> Page {
    match troubles {
        [] => Page::text(StatusCode::OK, "ok\n"),
        _ => Page::text(StatusCode::SERVICE_UNAVAILABLE, troubles.join("\n") + "\n"),
    }
}

fn unavailable() -> Page {
    let text = format!("the disk has not answered for {} s: the journal's state cannot be had\n", PATIENCE.as_secs());
    Page::text(StatusCode::SERVICE_UNAVAILABLE, text)
}

/// Starts the thread.
///
/// # Errors
/// If the system gives none.
pub(super) fn start(
    listener: TcpListener,
    operations: Operations,
    mut stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "serving /metrics, /healthz and /readyz");
    spawn("http", move || {
        runtime.block_on(async {
            tokio::select! {
                served = http::serve(listener, Arc::new(operations)) => {
                    let why = served.err().map(|error| error.to_string()).unwrap_or_default();
                    tracing::error!(why, "nothing is served at the HTTP port any more");
                }
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
        // Not waiting for a look that waits for the disk.
        runtime.shutdown_background();
    })
}
