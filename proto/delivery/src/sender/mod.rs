//! The gateway's end: one lane of one uplink.
//!
//! ```text
//!             ┌──────────── back-off, next endpoint ◄───────────┐ stream ends, time runs out
//!             ▼                                                 │
//!       Disconnected ──► Connecting ──► AwaitingWelcome ──► (judged) ──► Streaming
//!             ▲                                              │  │ marks differ  ▲
//!             │ seldom                                       │  └─► Comparing ──┘ one history
//!          Refused ◄──── digest differs, foreign receiver ───┤           │
//!                                                            │           └─► Refused
//!                                                            └─► EpochEnded   receiver holds more
//! ```
//!
//! Drive it like this: after every `handle_*`, take actions with [`Sender::poll_action`]
//! until there are none; then, as long as the transport has room for a frame,
//! call [`Sender::poll_transmit`], and take actions again after each. Call
//! [`Sender::handle_timeout`] when [`Sender::poll_timeout`] says so.

mod action;
mod attempts;
mod backoff;
mod config;
mod endpoints;
mod reason;
mod source;
mod state;
mod status;
mod transmit;
mod welcome;
mod window;

use core::time::Duration;
use std::collections::VecDeque;

use venue_schema::{Digest, Sequence, v1};

pub use self::{
    action::{Action, Transmit},
    config::{SenderConfig, Tuning},
    reason::Reason,
    source::{Read, ReadFault, ReadLimits, RecordSource},
    state::ConnectionId,
    status::{Counters, LastError, LinkState, Status},
    window::MAX_FRAMES_IN_FLIGHT,
};
use self::{
    backoff::Backoff,
    endpoints::Endpoints,
    state::{FailBack, Hold, State, Streaming},
    welcome::Greeting,
    window::AckFault,
};
use crate::{Mark, StreamEnd};

/// One lane of one uplink, without I/O. The [module](self) tells how to drive it.
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    state: State,
    /// When what [`Status`] calls the state last changed.
    since: Duration,
    /// What the receiver is known to hold.
    cursor: Mark,
    last_durable: Sequence,
    results_backlog: bool,
    endpoints: Endpoints,
    backoff: Backoff,
    connections: u64,
    /// At most a handful: time stands still until they are taken, and advances merge.
    actions: VecDeque<Action>,
    last_acknowledgement: Option<Duration>,
    last_error: Option<LastError>,
    counters: Counters,
}

impl Sender {
    /// Makes a sender whose first attempt is due at once. `cursor` is how far the
    /// receiver is known to be ([`Mark::initial`] if it is not), `last_durable` how
    /// far the journal is.
    pub fn new(config: SenderConfig, cursor: Mark, last_durable: Sequence, now: Duration) -> Self {
        Self {
            state: State::Disconnected { until: now },
            since: now,
            cursor,
            last_durable,
            results_backlog: false,
            endpoints: Endpoints::new(config.endpoints.get()),
            backoff: Backoff::new(config.tuning.backoff_min, config.tuning.backoff_max, config.seed),
            connections: 0,
            actions: VecDeque::new(),
            last_acknowledgement: None,
            last_error: None,
            counters: Counters::default(),
            config,
        }
    }

    /// A connection stands and its stream is open.
    pub fn handle_connected(&mut self, now: Duration, connection: ConnectionId) {
        if self.state.fail_back_connection() == Some(connection) {
            if let Some(former) = self.state.connection() {
                self.actions.push_back(Action::Disconnect { connection: former, reason: Reason::MovedToPreferred });
            }
            self.endpoints.prefer();
        } else if !matches!(self.state, State::Connecting { connection: current, .. } if current == connection) {
            return;
        }
        let deadline = now + self.config.tuning.welcome_timeout;
        self.enter(now, State::AwaitingWelcome { connection, hello_sent: false, deadline });
    }

    /// The receiver said something. A message of a kind that a later version added
    /// is ignored, as is one on a connection that is no longer in use.
    pub fn handle_response(&mut self, now: Duration, connection: ConnectionId, response: v1::DeliverResponse) {
        if self.state.connection() != Some(connection) {
            return;
        }
        match response.message {
            Some(v1::deliver_response::Message::Welcome(welcome)) => self.take_welcome(now, connection, welcome),
            Some(v1::deliver_response::Message::Ack(ack)) => self.take_ack(now, &ack),
            None => {}
        }
    }

    /// A connection failed, or its stream ended.
    pub fn handle_ended(&mut self, now: Duration, connection: ConnectionId, end: StreamEnd) {
        if self.state.fail_back_connection() == Some(connection) {
            self.postpone_fail_back(now);
        } else if self.state.connection() == Some(connection) {
            self.lose(now, Reason::Ended(end));
        }
    }

    /// The journal has made everything up to a sequence durable.
    pub fn handle_durable(&mut self, last_durable: Sequence) {
        self.last_durable = self.last_durable.max(last_durable);
    }

    /// Whether results of the same gateway wait for their acknowledgement. While
    /// they do, a telemetry lane keeps a few packets' worth in flight, for both
    /// may share one radio. Has no effect on a results lane.
    pub fn handle_results_backlog(&mut self, waiting: bool) {
        self.results_backlog = waiting;
    }

    /// Somebody mended what attempts may have failed by, such as a certificate. An
    /// attempt that waits for its time is due at once, and delays begin anew.
    pub fn handle_mended(&mut self, now: Duration) {
        if let State::Disconnected { until } | State::Refused { until } = &mut self.state {
            *until = now.min(*until);
            self.backoff.reset();
        }
    }

    /// The skip record that [`Action::DeclareReset`] asked for is durable.
    pub fn handle_reset_declared(&mut self, now: Duration) {
        if let State::Streaming(Streaming { hold: hold @ Hold::Reset, .. }) = &mut self.state {
            *hold = Hold::Nothing;
            self.since = now;
        }
    }

    /// Time went by. While actions wait to be taken nothing happens.
    pub fn handle_timeout(&mut self, now: Duration) {
        if !self.actions.is_empty() {
            return;
        }
        let tuning = self.config.tuning;
        match &mut self.state {
            State::Disconnected { until } | State::Refused { until } if *until <= now => self.connect(now),
            State::Connecting { deadline, .. } if *deadline <= now => {
                self.give_up(now, Reason::ConnectTimedOut(tuning.connect_timeout));
            }
            State::AwaitingWelcome { deadline, .. } if *deadline <= now => {
                self.give_up(now, Reason::WelcomeTimedOut(tuning.welcome_timeout));
            }
            State::Comparing { retry, .. } if retry.is_some_and(|retry| retry <= now) => *retry = None,
            State::Streaming(streaming) => {
                if streaming.stalled_at(tuning.stall_timeout).is_some_and(|at| at <= now) {
                    self.give_up(now, Reason::Stalled(tuning.stall_timeout));
                } else {
                    self.resume_reading(now);
                    self.fail_back(now);
                }
            }
            _ => {}
        }
    }

    /// The next thing for the driver to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Sender::handle_timeout`] wants to be called next; none if only a
    /// message or the journal can change anything.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Disconnected { until } | State::Refused { until } => Some(*until),
            State::Connecting { deadline, .. } | State::AwaitingWelcome { deadline, .. } => Some(*deadline),
            State::Comparing { retry, .. } => *retry,
            State::Welcomed { .. } | State::EpochEnded => None,
            State::Streaming(streaming) => {
                let stalled = streaming.stalled_at(self.config.tuning.stall_timeout);
                let read = match streaming.hold {
                    Hold::ReadFault { retry } => Some(retry),
                    Hold::Nothing | Hold::Reset => None,
                };
                let fail_back = match streaming.fail_back {
                    FailBack::NotNeeded => None,
                    FailBack::Due(at) | FailBack::Connecting { deadline: at, .. } => Some(at),
                };
                [stalled, read, fail_back].into_iter().flatten().min()
            }
        }
    }

    /// The connection that frames of [`Sender::poll_transmit`] go to; none while
    /// there is none to write to.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self.state {
            State::Connecting { .. } => None,
            _ => self.state.connection(),
        }
    }

    /// Whether something is durable that the receiver has not acknowledged. What
    /// a results lane says goes to the telemetry lane's
    /// [`handle_results_backlog`](Self::handle_results_backlog).
    pub fn has_unacknowledged(&self) -> bool {
        self.cursor.sequence < self.last_durable
    }

    /// A snapshot for people and metrics.
    pub fn status(&self) -> Status {
        let (in_flight, in_flight_bytes) = match &self.state {
            State::Streaming(streaming) => (streaming.window.sequences(), streaming.window.bytes()),
            _ => (0, 0),
        };
        Status {
            lane: self.config.lane,
            state: self.state.describe(),
            since: self.since,
            endpoint: self.endpoints.current(),
            failed_attempts: self.backoff.attempts(),
            receiver_id: self.config.receiver_id.clone(),
            acknowledged: self.cursor.sequence,
            last_durable: self.last_durable,
            in_flight,
            in_flight_bytes,
            last_acknowledgement: self.last_acknowledgement,
            last_error: self.last_error.clone(),
            counters: self.counters,
        }
    }

    fn enter(&mut self, now: Duration, state: State) {
        if std::mem::discriminant(&state.describe()) != std::mem::discriminant(&self.state.describe()) {
            self.since = now;
        }
        self.state = state;
    }

    fn take_welcome(&mut self, now: Duration, connection: ConnectionId, welcome: v1::Welcome) {
        if !matches!(self.state, State::AwaitingWelcome { hello_sent: true, .. }) {
            return self.give_up(now, Reason::Broken("a welcome that answers no hello".to_owned()));
        }
        match Greeting::parse(welcome) {
            Ok(greeting) => self.enter(now, State::Welcomed { connection, greeting }),
            Err(reason) => self.give_up(now, reason),
        }
    }

    fn take_ack(&mut self, now: Duration, ack: &v1::Ack) {
        let State::Streaming(streaming) = &mut self.state else {
            return self.give_up(now, Reason::Broken("an acknowledgement before anything was sent".to_owned()));
        };
        let Some(digest) = Digest::from_slice(&ack.digest) else {
            return self.give_up(now, Reason::Broken("an acknowledgement without a digest of 32 bytes".to_owned()));
        };
        let theirs = Mark { sequence: Sequence(ack.sequence), digest };
        match streaming.window.acknowledge(theirs) {
            Ok(moved) => {
                streaming.heard = now;
                self.acknowledged(now, moved);
            }
            Err(AckFault::NeverSent(tip)) => {
                let text = format!("it acknowledges {}, and {} was the last one sent", theirs.sequence, tip.sequence);
                self.give_up(now, Reason::Broken(text));
            }
            Err(AckFault::DigestDiffers(ours)) => self.give_up(now, welcome::differs(ours, theirs)),
        }
    }

    fn acknowledged(&mut self, now: Duration, moved: Option<Mark>) {
        self.last_acknowledgement = Some(now);
        self.counters.acknowledgements += 1;
        self.backoff.reset();
        self.endpoints.prove();
        if let Some(mark) = moved {
            assert!(
                mark.sequence > self.cursor.sequence,
                "an acknowledgement moves the cursor back to {}",
                mark.sequence
            );
            self.counters.acknowledged += mark.sequence.0 - self.cursor.sequence.0;
            self.cursor = mark;
            self.push_advance(mark);
        }
    }

    /// Only the last of several advances in a row matters.
    fn push_advance(&mut self, mark: Mark) {
        match self.actions.back_mut() {
            Some(Action::AdvanceCursor { mark: waiting }) => *waiting = mark,
            _ => self.actions.push_back(Action::AdvanceCursor { mark }),
        }
    }

    fn resume_reading(&mut self, now: Duration) {
        if let State::Streaming(Streaming { hold: hold @ Hold::ReadFault { .. }, .. }) = &mut self.state
            && matches!(hold, Hold::ReadFault { retry } if *retry <= now)
        {
            *hold = Hold::Nothing;
            self.since = now;
        }
    }
}
