//! One `Deliver` stream: frames out, responses and the end in.

use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use venue_delivery::{Code, Frame, StreamEnd, sender::ConnectionId};
use venue_schema::v1::DeliverResponse;

use super::{codec::FrameCodec, connect};
use crate::config::{Endpoint, TlsFiles};

/// Frames handed to the transport and not yet taken by it. The conversation's
/// window bounds their bytes; beyond this many it is not asked for more.
pub(super) const QUEUED_FRAMES: usize = 32;
/// Responses not yet taken by the conversation; beyond it the transport waits.
pub(super) const QUEUED_RESPONSES: usize = 256;

const DELIVER: &str = "/venue.v1.EventIngestService/Deliver";

/// What a connection says, under its name.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The connection stands; frames go in here.
    Connected(ConnectionId, mpsc::Sender<Frame>),
    /// The receiver said something.
    Response(ConnectionId, DeliverResponse),
    /// The connection failed, or its stream ended.
    Ended(ConnectionId, StreamEnd),
}

/// Makes a connection, opens the stream and passes on what comes, until it ends
/// or the task is aborted.
pub(super) async fn run(
    connection: ConnectionId,
    endpoint: Endpoint,
    files: Option<TlsFiles>,
    incoming: mpsc::Sender<Incoming>,
) {
    let end = match connect::connect(&endpoint, files.as_ref()).await {
        Ok(channel) => converse(connection, channel, &incoming).await,
        Err(failure) => StreamEnd::new(Code::Unavailable, failure.to_string()),
    };
    // If nobody listens any more, nobody wants to know.
    let _ = incoming.send(Incoming::Ended(connection, end)).await;
}

async fn converse(connection: ConnectionId, channel: Channel, incoming: &mpsc::Sender<Incoming>) -> StreamEnd {
    let (frames, queue) = mpsc::channel(QUEUED_FRAMES);
    if incoming.send(Incoming::Connected(connection, frames)).await.is_err() {
        return StreamEnd::new(Code::Ok, "no longer wanted");
    }
    let mut grpc = Grpc::new(channel);
    if let Err(error) = grpc.ready().await {
        return StreamEnd::new(Code::Unavailable, describe(&error, error.to_string()));
    }
    let path = PathAndQuery::from_static(DELIVER);
    let request = Request::new(ReceiverStream::new(queue));
    let mut responses = match grpc.streaming(request, path, FrameCodec).await {
        Ok(response) => response.into_inner(),
        Err(status) => return end(&status),
    };
    loop {
        match responses.next().await {
            Some(Ok(response)) => {
                if incoming.send(Incoming::Response(connection, response)).await.is_err() {
                    return StreamEnd::new(Code::Ok, "no longer wanted");
                }
            }
            Some(Err(status)) => return end(&status),
            None => return StreamEnd::new(Code::Ok, "the receiver closed the stream"),
        }
    }
}

fn end(status: &Status) -> StreamEnd {
    let code = match Code::from_grpc(i32::from(status.code())) {
        // The library says UNKNOWN of a transport that broke.
        Code::Other(2) | Code::Internal if std::error::Error::source(status).is_some() => Code::Unavailable,
        code => code,
    };
    StreamEnd::new(code, describe(status, status.message().to_owned()))
}

fn describe(error: &(dyn std::error::Error + 'static), message: String) -> String {
    connect::late_alert(error).unwrap_or(message)
}
