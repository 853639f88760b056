//! The gRPC service: passes messages between streams and the engine.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use venue_delivery::receiver::{Peer, StreamId};
use venue_schema::v1::{self, event_ingest_service_server::EventIngestService};

use super::engine::{Input, MOST_STREAM_MESSAGES};
use super::outbox::{MOST_IN_TRANSPORT, Outbox};
use super::tls;

/// The service, a clone a connection.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) engine: mpsc::Sender<Input>,
    pub(super) mutual_tls: bool,
}

#[tonic::async_trait]
impl EventIngestService for Service {
    type DeliverStream = ReceiverStream<Result<v1::DeliverResponse, Status>>;

    async fn deliver(
        &self,
        request: Request<Streaming<v1::DeliverRequest>>,
    ) -> Result<Response<Self::DeliverStream>, Status> {
        let peer = if self.mutual_tls { tls::peer(&request) } else { Ok(Peer::Believed) };
        let (responses, stream_out) = mpsc::channel(MOST_IN_TRANSPORT);
        let (told, stream) = oneshot::channel();
        let opened = Input::Opened { peer, outbox: Outbox::new(responses.clone()), stream: told };
        self.engine.send(opened).await.map_err(|_| ended())?;
        let stream = stream.await.map_err(|_| ended())?;
        tokio::spawn(pump(stream, request.into_inner(), self.engine.clone(), responses));
        Ok(Response::new(ReceiverStream::new(stream_out)))
    }
}

fn ended() -> Status {
    Status::unavailable("the receiver is ending")
}

/// Reads a stream to its end. A stream whose messages wait is not read: HTTP/2 flow
/// control holds the gateway back.
async fn pump(
    stream: StreamId,
    mut requests: Streaming<v1::DeliverRequest>,
    engine: mpsc::Sender<Input>,
    responses: mpsc::Sender<Result<v1::DeliverResponse, Status>>,
) {
    let room = Arc::new(Semaphore::new(MOST_STREAM_MESSAGES));
    loop {
        let request = tokio::select! {
            // The gateway is gone, or the engine has ended the stream and it was told so.
            () = responses.closed() => break,
            request = requests.message() => request,
        };
        let Ok(Some(request)) = request else { break };
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
        if engine.send(Input::Request { stream, request, permit }).await.is_err() {
            return;
        }
    }
    let _ = engine.send(Input::Ended { stream }).await;
}
