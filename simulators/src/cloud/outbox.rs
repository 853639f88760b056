//! What is to be sent on a stream, late if so wanted.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tonic::Status;
use venue_delivery::StreamEnd;
use venue_schema::v1;

/// Responses that wait in the transport.
pub(super) const MOST_IN_TRANSPORT: usize = 32;

/// Places of the transport that are kept free for the status at the end.
const KEPT_FREE: usize = 1;

/// Responses that wait for their time; a newer acknowledgement then takes the place of
/// the newest, for it says more.
const MOST_WAITING: usize = 1024;

/// When a transport that is full is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// The sending half of a stream.
#[derive(Debug)]
pub(super) struct Outbox {
    transport: mpsc::Sender<Result<v1::DeliverResponse, Status>>,
    waiting: VecDeque<(Duration, v1::DeliverResponse)>,
    retry_at: Option<Duration>,
}

impl Outbox {
    pub(super) fn new(transport: mpsc::Sender<Result<v1::DeliverResponse, Status>>) -> Self {
        Self { transport, waiting: VecDeque::new(), retry_at: None }
    }

    /// Takes a response that is due at a time.
    pub(super) fn push(&mut self, due: Duration, response: v1::DeliverResponse) {
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_back();
        }
        self.waiting.push_back((due, response));
    }

    /// When [`Outbox::flush`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.retry_at.or_else(|| self.waiting.front().map(|(due, _)| *due))
    }

    /// Sends what is due.
    pub(super) fn flush(&mut self, now: Duration) {
        self.retry_at = None;
        while self.waiting.front().is_some_and(|(due, _)| *due <= now) {
            if self.transport.capacity() <= KEPT_FREE {
                self.retry_at = Some(now + RETRY);
                return;
            }
            let Some((_, response)) = self.waiting.pop_front() else { return };
            if self.transport.try_send(Ok(response)).is_err() {
                // The stream is gone; its end is on the way to the engine.
                return self.waiting.clear();
            }
        }
    }

    /// Ends the stream with a status; what waits is not sent.
    pub(super) fn end(&mut self, end: &StreamEnd) {
        let status = Status::new(tonic::Code::from_i32(end.code.to_grpc()), end.message.clone());
        // It fails only if the peer has gone before.
        let _ = self.transport.try_send(Err(status));
    }
}
