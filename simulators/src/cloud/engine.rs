//! The thread that owns receiver and store: takes what streams bring, commits, and
//! answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use venue_delivery::receiver::{Output, Peer, Receiver, StreamId};
use venue_delivery::{Code, StreamEnd};
use venue_schema::v1;

use super::archive::Archive;
use super::fault::Fault;
use super::outbox::Outbox;
use super::snapshot::{LaneSnapshot, Snapshot};
use super::stored::StoredEvent;
use crate::clock::{self, Clock};

/// Messages of all streams and knobs that wait for the engine.
pub(super) const MOST_INPUTS: usize = 256;

/// Messages of one stream that wait for the engine or within it.
pub(super) const MOST_STREAM_MESSAGES: usize = 8;

/// How long until a store that could not work is tried again.
const STORE_RETRY: Duration = Duration::from_millis(200);

/// What the engine is told.
pub(super) enum Input {
    /// A stream was opened.
    Opened { peer: Result<Peer, StreamEnd>, outbox: Outbox, stream: oneshot::Sender<StreamId> },
    /// A message came on it; the permit is held until it is taken.
    Request { stream: StreamId, request: v1::DeliverRequest, permit: OwnedSemaphorePermit },
    /// The peer ended it.
    Ended { stream: StreamId },
    /// A knob is turned.
    Fault { fault: Fault, done: oneshot::Sender<Result<(), StoreUnavailable>> },
    /// Rows are wanted.
    Events { after_row: u64, most: usize, reply: oneshot::Sender<Result<Vec<StoredEvent>, StoreUnavailable>> },
}

/// The store cannot do what a knob or a query asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreUnavailable(String);

impl StoreUnavailable {
    fn new(fault: impl ToString) -> Self {
        Self(fault.to_string())
    }
}

/// Faults that hold on.
#[derive(Debug, Default)]
struct Conditions {
    slow_acks: Duration,
    refuse: Option<Code>,
    maintenance_until: Option<Duration>,
    stalled: bool,
    /// Batches until connections are reset.
    reset_after: Option<u64>,
}

/// One stream, as the engine sees it.
struct Stream {
    outbox: Outbox,
    /// At most [`MOST_STREAM_MESSAGES`].
    waiting: VecDeque<(v1::DeliverRequest, OwnedSemaphorePermit)>,
}

/// Receiver and store with their faults.
pub(super) struct Engine {
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) snapshots: watch::Sender<Snapshot>,
    pub(super) resets: watch::Sender<u64>,
    receiver: Receiver,
    archive: Archive,
    clock: Clock,
    streams: BTreeMap<StreamId, Stream>,
    conditions: Conditions,
    retry_at: Option<Duration>,
}

impl Engine {
    pub(super) fn new(
        receiver_id: String,
        archive: Archive,
        inputs: mpsc::Receiver<Input>,
        snapshots: watch::Sender<Snapshot>,
        resets: watch::Sender<u64>,
    ) -> Self {
        Self {
            inputs,
            snapshots,
            resets,
            receiver: Receiver::new(receiver_id),
            archive,
            clock: Clock::start(),
            streams: BTreeMap::new(),
            conditions: Conditions::default(),
            retry_at: None,
        }
    }

    /// Runs until all that could tell it anything are gone.
    pub(super) async fn run(mut self) {
        self.publish();
        loop {
            let deadline = self.deadline().map(|at| self.clock.deadline(at));
            let sleep = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                input = self.inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                () = sleep => {}
            }
            // One transaction for all that is at hand.
            for _ in 0..MOST_INPUTS {
                let Ok(input) = self.inputs.try_recv() else { break };
                self.take(input);
            }
            self.work();
        }
    }

    fn deadline(&self) -> Option<Duration> {
        let outboxes = self.streams.values().filter_map(|stream| stream.outbox.poll_timeout());
        let fixed = [self.receiver.poll_timeout(), self.retry_at, self.conditions.maintenance_until];
        fixed.into_iter().flatten().chain(outboxes).min()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Opened { peer, outbox, stream } => self.open(peer, outbox, stream),
            Input::Request { stream, request, permit } => {
                // Messages of a stream that has ended are of no interest any more.
                if let Some(open) = self.streams.get_mut(&stream) {
                    open.waiting.push_back((request, permit));
                    self.feed(stream);
                }
            }
            Input::Ended { stream } => {
                // What came whole is stored, as by any receiver that was in time.
                self.commit();
                self.receiver.handle_ended(stream);
                self.streams.remove(&stream);
            }
            Input::Fault { fault, done } => {
                let turned = self.turn(&fault);
                self.publish();
                let _ = done.send(turned);
            }
            Input::Events { after_row, most, reply } => {
                let _ = reply.send(self.archive.events(after_row, most).map_err(StoreUnavailable::new));
            }
        }
    }

    fn open(&mut self, peer: Result<Peer, StreamEnd>, mut outbox: Outbox, told: oneshot::Sender<StreamId>) {
        let now = self.clock.now();
        let refused = self.refusal(now).or_else(|| peer.as_ref().err().cloned());
        let stream = self.receiver.handle_opened(now, peer.unwrap_or(Peer::Believed));
        let _ = told.send(stream);
        if let Some(end) = refused {
            self.receiver.handle_ended(stream);
            outbox.end(&end);
        } else {
            self.streams.insert(stream, Stream { outbox, waiting: VecDeque::new() });
        }
    }

    fn refusal(&self, now: Duration) -> Option<StreamEnd> {
        if self.conditions.maintenance_until.is_some_and(|until| now < until) {
            return Some(StreamEnd::new(Code::Unavailable, "maintenance"));
        }
        self.conditions.refuse.map(|code| StreamEnd::new(code, "refused on request"))
    }

    /// Hands a stream's messages to the receiver, as many as it wants.
    fn feed(&mut self, id: StreamId) {
        while self.receiver.wants_input(id) {
            let Some(stream) = self.streams.get_mut(&id) else { return };
            let Some((request, _permit)) = stream.waiting.pop_front() else { return };
            if self.reset_is_due(&request) {
                return self.reset();
            }
            self.receiver.handle_request(id, request, &mut self.archive);
            self.respond();
        }
    }

    fn reset_is_due(&mut self, request: &v1::DeliverRequest) -> bool {
        let is_batch = matches!(request.message, Some(v1::deliver_request::Message::Batch(_)));
        let Some(left) = self.conditions.reset_after.as_mut().filter(|_| is_batch) else { return false };
        *left -= 1;
        let due = *left == 0;
        self.conditions.reset_after = self.conditions.reset_after.filter(|_| !due);
        due
    }

    /// Breaks all connections; nothing that waits is stored.
    fn reset(&mut self) {
        for stream in std::mem::take(&mut self.streams).into_keys() {
            self.receiver.handle_ended(stream);
        }
        self.resets.send_modify(|count| *count += 1);
    }

    fn turn(&mut self, fault: &Fault) -> Result<(), StoreUnavailable> {
        match *fault {
            Fault::SlowAcks(delay) => self.conditions.slow_acks = delay,
            Fault::Refuse(code) => {
                self.conditions.refuse = code;
                self.end_refused();
            }
            Fault::ResetAfter(batches) => self.conditions.reset_after = Some(batches.max(1)),
            Fault::Reset => self.reset(),
            Fault::Forget(amnesia) => return self.archive.forget(amnesia).map_err(StoreUnavailable::new),
            Fault::Stall(on) => self.conditions.stalled = on,
            Fault::DropSilently(events) => self.archive.sabotage(events),
            Fault::MergeRepeats(on) => self.archive.merge_repeats(on),
            Fault::Maintenance(duration) => {
                self.conditions.maintenance_until = Some(self.clock.now() + duration);
                self.end_refused();
            }
            Fault::Heal => self.conditions = Conditions::default(),
        }
        Ok(())
    }

    /// Ends the streams that would not be opened now.
    fn end_refused(&mut self) {
        let Some(end) = self.refusal(self.clock.now()) else { return };
        for (id, mut stream) in std::mem::take(&mut self.streams) {
            self.receiver.handle_ended(id);
            stream.outbox.end(&end);
        }
    }

    fn work(&mut self) {
        let now = self.clock.now();
        self.conditions.maintenance_until = self.conditions.maintenance_until.filter(|until| now < *until);
        self.receiver.handle_timeout(now);
        self.respond();
        self.commit();
        // What did not fit before the commit may fit now.
        let waiting: Vec<_> = self.streams.iter().filter(|(_, it)| !it.waiting.is_empty()).map(|(id, _)| *id).collect();
        waiting.into_iter().for_each(|stream| self.feed(stream));
        self.commit();
        let now = self.clock.now();
        self.streams.values_mut().for_each(|stream| stream.outbox.flush(now));
        self.publish();
    }

    fn commit(&mut self) {
        if self.conditions.stalled || !self.receiver.has_pending() {
            self.retry_at = None;
            return;
        }
        self.archive.set_arrival(clock::utc_ns());
        self.retry_at = match self.receiver.commit(&mut self.archive) {
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "nothing is stored; tried again");
                Some(self.clock.now() + STORE_RETRY)
            }
        };
        self.respond();
    }

    fn respond(&mut self) {
        while let Some(output) = self.receiver.poll_output() {
            match output {
                Output::Respond { stream, response } => {
                    let is_ack = matches!(response.message, Some(v1::deliver_response::Message::Ack(_)));
                    let delay = if is_ack { self.conditions.slow_acks } else { Duration::ZERO };
                    let due = self.clock.now() + delay;
                    if let Some(stream) = self.streams.get_mut(&stream) {
                        stream.outbox.push(due, response);
                        stream.outbox.flush(due - delay);
                    }
                }
                Output::End { stream, end } => {
                    if let Some(mut stream) = self.streams.remove(&stream) {
                        stream.outbox.end(&end);
                    }
                }
            }
        }
    }

    fn publish(&mut self) {
        let marks = match self.archive.marks() {
            Ok(marks) => marks,
            Err(error) => return tracing::warn!(%error, "the marks cannot be read"),
        };
        let connected: Vec<_> = self.receiver.open_lanes().map(|(_, lane)| lane.clone()).collect();
        let lanes = marks.iter().map(|(lane, mark)| LaneSnapshot::new(lane, *mark, connected.contains(lane)));
        let totals = self.receiver.totals();
        let snapshot = Snapshot {
            lanes: lanes.collect(),
            stored: totals.stored,
            seen_again: totals.seen_again,
            out_of_order: self.archive.out_of_order(),
            pending: self.receiver.has_pending(),
            streams: self.streams.len() as u64,
            connections_reset: *self.resets.borrow(),
        };
        self.snapshots.send_if_modified(|held| {
            let changed = *held != snapshot;
            *held = snapshot;
            changed
        });
    }
}
