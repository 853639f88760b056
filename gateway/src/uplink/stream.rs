//! One `Deliver` stream: frames out, responses and the end in.

use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use venue_delivery::{Code, Frame, StreamEnd, sender::ConnectionId};
use venue_schema::v1::DeliverResponse;

use super::{codec::FrameCodec, connect, last_words::LastWords};
use crate::causes::causes;
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
    let words = LastWords::default();
    let end = match connect::connect(&endpoint, files.as_ref(), &words).await {
        Ok(channel) => converse(connection, channel, &incoming, &words).await,
        Err(failure) => StreamEnd::new(Code::Unavailable, failure.to_string()),
    };
    // If nobody listens any more, nobody wants to know.
    let _ = incoming.send(Incoming::Ended(connection, end)).await;
}

async fn converse(
    connection: ConnectionId,
    channel: Channel,
    incoming: &mpsc::Sender<Incoming>,
    words: &LastWords,
) -> StreamEnd {
    let (frames, queue) = mpsc::channel(QUEUED_FRAMES);
    if incoming.send(Incoming::Connected(connection, frames)).await.is_err() {
        return StreamEnd::new(Code::Ok, "no longer wanted");
    }
    let mut grpc = Grpc::new(channel);
    if let Err(error) = grpc.ready().await {
        return StreamEnd::new(Code::Unavailable, words.get().unwrap_or_else(|| silent(&error)));
    }
    let path = PathAndQuery::from_static(DELIVER);
    let request = Request::new(ReceiverStream::new(queue));
    let mut responses = match grpc.streaming(request, path, FrameCodec).await {
        Ok(response) => response.into_inner(),
        Err(status) => return end(&status, words),
    };
    loop {
        match responses.next().await {
            Some(Ok(response)) => {
                if incoming.send(Incoming::Response(connection, response)).await.is_err() {
                    return StreamEnd::new(Code::Ok, "no longer wanted");
                }
            }
            Some(Err(status)) => return end(&status, words),
            None => return StreamEnd::new(Code::Ok, "the receiver closed the stream"),
        }
    }
}

/// What a status means. One that the receiver sent stands as it is; one that the
/// library made of a broken transport says why it broke, as far as the socket knows.
fn end(status: &Status, words: &LastWords) -> StreamEnd {
    let code = Code::from_grpc(i32::from(status.code()));
    let Some(cause) = std::error::Error::source(status) else {
        return StreamEnd::new(code, status.message().to_owned());
    };
    let code = match code {
        // The library says UNKNOWN of a transport that broke.
        Code::Other(2) | Code::Internal => Code::Unavailable,
        code => code,
    };
    StreamEnd::new(code, words.get().unwrap_or_else(|| silent(cause)))
}

/// The socket told nothing: it was given up here, after a keep-alive without answer, or
/// the other end said goodbye.
fn silent(cause: &(dyn std::error::Error + 'static)) -> String {
    format!("the link fell silent or the receiver went away ({})", causes(cause))
}
