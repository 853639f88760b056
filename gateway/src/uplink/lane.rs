//! One lane of one uplink: the conversation's body.

use std::{collections::BTreeMap, future::pending, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep},
};
use venue_delivery::{
    Frame, Mark, Sender,
    sender::{Action, ConnectionId, LinkState, Reason, RecordSource, Status, Transmit},
};
use venue_schema::Sequence;

use super::{
    files::{LOOK, WatchedFiles},
    stream::{self, Incoming, QUEUED_RESPONSES},
};
use crate::config::{Endpoint, TlsFiles};

/// What the lane needs of the rest of the gateway: its records, its cursor.
pub trait LaneHost: RecordSource {
    /// Time since the boot.
    fn now(&self) -> Duration;
    /// Everything up to the mark is at the receiver.
    fn advance(&mut self, mark: Mark);
    /// The receiver forgot what it had acknowledged.
    fn rewind(&mut self, from: Sequence, mark: Mark);
    /// The receiver's name, at the first welcome.
    fn pin(&mut self, receiver_id: &str);
    /// Makes the skip record of a range that is no longer stored durable.
    fn declare_reset(&mut self, first: Sequence, last: Sequence);
    /// The receiver holds more than this journal.
    fn new_epoch(&mut self, receiver_mark: Sequence);
    /// A snapshot for status and metrics; called after every change.
    fn publish(&mut self, status: Status);
}

/// Where a lane delivers to.
#[derive(Debug, Clone)]
pub struct LaneUplink {
    /// Endpoints that lead to one receiver, the preferred first.
    pub endpoints: Vec<Endpoint>,
    /// TLS, for https endpoints.
    pub tls: Option<TlsFiles>,
}

/// What the lane listens to.
#[derive(Debug, Clone)]
pub struct LaneSignals {
    /// Last durable sequence of the lane.
    pub durable: watch::Receiver<Sequence>,
    /// Whether results of this gateway wait for their acknowledgement; none on the
    /// results lane itself.
    pub results_backlog: Option<watch::Receiver<bool>>,
    /// Becomes true when the gateway stops.
    pub stop: watch::Receiver<bool>,
}

/// Delivers until told to stop, or until the journal's epoch ends.
pub async fn run(uplink: LaneUplink, sender: Sender, mut host: impl LaneHost, mut signals: LaneSignals) {
    let (incoming, mut inbox) = mpsc::channel(QUEUED_RESPONSES);
    let files = WatchedFiles::new(uplink.tls.as_ref());
    let (streams, tasks) = (BTreeMap::new(), JoinSet::new());
    let mut body = Body { uplink, sender, streams, tasks, incoming, waiting: None, files, told: None };
    let mut backlog = signals.results_backlog.take();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let ended = body.work(&mut host);
        if ended || *signals.stop.borrow() {
            return;
        }
        let timeout = body.sender.poll_timeout().map(|at| at.saturating_sub(host.now()));
        tokio::select! {
            Some(message) = inbox.recv() => body.take(host.now(), message),
            Ok(()) = signals.durable.changed() => {
                let durable = *signals.durable.borrow_and_update();
                body.sender.handle_durable(durable);
            }
            waiting = next(&mut backlog) => body.sender.handle_results_backlog(waiting),
            () = room(&body.waiting) => body.waiting = None,
            () = until(timeout) => body.sender.handle_timeout(host.now()),
            _ = look.tick(), if body.waits() => body.look_at_files(host.now()),
            _ = signals.stop.changed() => {}
            Some(_) = body.tasks.join_next() => {}
        }
    }
}

struct Body {
    uplink: LaneUplink,
    sender: Sender,
    /// Connections by name: their task, and once they stand, where frames go.
    streams: BTreeMap<ConnectionId, (AbortHandle, Option<mpsc::Sender<Frame>>)>,
    tasks: JoinSet<()>,
    incoming: mpsc::Sender<Incoming>,
    /// The stream whose queue is full.
    waiting: Option<mpsc::Sender<Frame>>,
    files: WatchedFiles,
    /// Why the last attempt failed, which is told once.
    told: Option<String>,
}

impl Body {
    /// Does all that can be done now; true once the sender has done its work.
    fn work(&mut self, host: &mut impl LaneHost) -> bool {
        loop {
            while let Some(action) = self.sender.poll_action() {
                if self.act(host, action) {
                    return true;
                }
            }
            let Some(room) = self.room() else { break };
            match self.sender.poll_transmit(host.now(), host) {
                Transmit::Frame(frame) => room.send(frame),
                Transmit::Again => {}
                Transmit::Idle => break,
            }
        }
        let status = self.sender.status();
        if status.state == LinkState::Delivering && self.told.take().is_some() {
            tracing::info!(lane = status.lane.name(), "uplink: delivering again");
        }
        host.publish(status);
        false
    }

    fn act(&mut self, host: &mut impl LaneHost, action: Action) -> bool {
        match action {
            Action::Connect { connection, endpoint } => self.connect(connection, endpoint),
            Action::Disconnect { connection, reason } => {
                tracing::info!(lane = self.sender.status().lane.name(), %reason, "uplink disconnects");
                self.drop_stream(connection);
            }
            Action::PinReceiver { receiver_id } => host.pin(&receiver_id),
            Action::AdvanceCursor { mark } => host.advance(mark),
            Action::RewindCursor { from, mark } => host.rewind(from, mark),
            Action::DeclareReset { first, last } => {
                host.declare_reset(first, last);
                self.sender.handle_reset_declared(host.now());
            }
            Action::NewEpoch { receiver_mark } => {
                host.publish(self.sender.status());
                host.new_epoch(receiver_mark);
                return true;
            }
        }
        false
    }

    fn connect(&mut self, connection: ConnectionId, endpoint: usize) {
        let endpoint = self.uplink.endpoints[endpoint].clone();
        tracing::debug!(lane = self.sender.status().lane.name(), %endpoint, "uplink connects");
        self.files.remember();
        let task = stream::run(connection, endpoint, self.uplink.tls.clone(), self.incoming.clone());
        let handle = self.tasks.spawn(task);
        self.streams.insert(connection, (handle, None));
    }

    fn take(&mut self, now: Duration, message: Incoming) {
        match message {
            Incoming::Connected(connection, frames) => {
                if let Some((_, slot)) = self.streams.get_mut(&connection) {
                    *slot = Some(frames);
                    self.sender.handle_connected(now, connection);
                }
            }
            Incoming::Response(connection, response) => self.sender.handle_response(now, connection, response),
            Incoming::Ended(connection, end) => {
                if self.streams.contains_key(&connection) {
                    self.tell(&Reason::Ended(end.clone()));
                }
                self.sender.handle_ended(now, connection, end);
                self.drop_stream(connection);
            }
        }
    }

    /// Logs why a connection ended: loudly when it is news, for an outage has hundreds of attempts.
    fn tell(&mut self, reason: &Reason) {
        let (lane, reason) = (self.sender.status().lane.name(), reason.to_string());
        if self.told.as_ref() == Some(&reason) {
            tracing::debug!(lane, "uplink: {reason}");
        } else {
            tracing::warn!(lane, "uplink: {reason}; tried again until it succeeds");
            self.told = Some(reason);
        }
    }

    /// Whether the next attempt is only a matter of time.
    fn waits(&self) -> bool {
        matches!(self.sender.status().state, LinkState::Waiting { .. } | LinkState::Refused { .. })
    }

    /// Whoever replaced a certificate expects it to be used now.
    fn look_at_files(&mut self, now: Duration) {
        if self.files.have_changed() {
            tracing::info!(lane = self.sender.status().lane.name(), "uplink: a certificate file changed; tried again");
            self.sender.handle_mended(now);
        }
    }

    /// Drops a connection with all that is queued for it.
    fn drop_stream(&mut self, connection: ConnectionId) {
        if let Some((task, _)) = self.streams.remove(&connection) {
            task.abort();
        }
        self.waiting = None;
    }

    /// A place in the queue of the current connection. Without a connection there
    /// is room too: the conversation then has nothing to send but work to do.
    fn room(&mut self) -> Option<Room> {
        let stream = self.sender.connection().and_then(|connection| self.streams.get(&connection));
        let current = stream.and_then(|(_, frames)| frames.clone());
        let Some(frames) = current else { return Some(Room(None)) };
        match frames.clone().try_reserve_owned() {
            Ok(permit) => Some(Room(Some(permit))),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.waiting = Some(frames);
                None
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Some(Room(None)),
        }
    }
}

/// A place for one frame; none if the stream is gone, whose end is on its way.
struct Room(Option<mpsc::OwnedPermit<Frame>>);

impl Room {
    fn send(self, frame: Frame) {
        if let Some(permit) = self.0 {
            permit.send(frame);
        }
    }
}

async fn next(backlog: &mut Option<watch::Receiver<bool>>) -> bool {
    let Some(receiver) = backlog else { return pending().await };
    match receiver.changed().await {
        Ok(()) => *receiver.borrow_and_update(),
        Err(_) => pending().await,
    }
}

async fn room(waiting: &Option<mpsc::Sender<Frame>>) {
    match waiting {
        // Whether room came or the stream went away, it is time to look again.
        Some(frames) => drop(frames.reserve().await),
        None => pending().await,
    }
}

async fn until(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => sleep(timeout).await,
        None => pending().await,
    }
}
