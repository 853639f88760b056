//! When connections are made and given up: back-off, failing over to another
//! endpoint, and the way back to the preferred one.

use core::time::Duration;

use super::{
    Action, Reason, Sender,
    reason::Retry,
    state::{ConnectionId, FailBack, State, Streaming},
    status::LastError,
};

impl Sender {
    fn next_connection(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId(self.connections)
    }

    pub(super) fn connect(&mut self, now: Duration) {
        let connection = self.next_connection();
        self.actions.push_back(Action::Connect { connection, endpoint: self.endpoints.current() });
        self.enter(now, State::Connecting { connection, deadline: now + self.config.tuning.connect_timeout });
    }

    /// Ends the connection from this side.
    pub(super) fn give_up(&mut self, now: Duration, reason: Reason) {
        if let Some(connection) = self.state.connection() {
            self.actions.push_back(Action::Disconnect { connection, reason: reason.clone() });
        }
        self.lose(now, reason);
    }

    /// Notes that the connection is gone and plans the next attempt.
    pub(super) fn lose(&mut self, now: Duration, reason: Reason) {
        if let Some(connection) = self.state.fail_back_connection() {
            self.actions.push_back(Action::Disconnect { connection, reason: Reason::NotNeeded });
        }
        if matches!(&self.state, State::Streaming(s) if now.saturating_sub(s.since) >= self.config.tuning.backoff_max) {
            self.backoff.reset();
            self.endpoints.prove();
        }
        self.endpoints.fail();
        let delay = self.backoff.failed(self.endpoints.count());
        self.last_error = Some(LastError { at: now, message: reason.to_string() });
        let state = match reason.retry() {
            Retry::Soon => State::Disconnected { until: now + delay },
            Retry::Seldom => State::Refused { until: now + self.backoff.jittered(self.config.tuning.refused_retry) },
        };
        self.enter(now, state);
    }

    /// Begins, or gives up, the attempt to return to the preferred endpoint.
    pub(super) fn fail_back(&mut self, now: Duration) {
        let State::Streaming(Streaming { fail_back, .. }) = &self.state else { return };
        match *fail_back {
            FailBack::Due(at) if at <= now => {
                let connection = self.next_connection();
                self.actions.push_back(Action::Connect { connection, endpoint: 0 });
                let deadline = now + self.config.tuning.connect_timeout;
                self.plan_fail_back(FailBack::Connecting { connection, deadline });
            }
            FailBack::Connecting { connection, deadline } if deadline <= now => {
                let reason = Reason::ConnectTimedOut(self.config.tuning.connect_timeout);
                self.actions.push_back(Action::Disconnect { connection, reason });
                self.postpone_fail_back(now);
            }
            _ => {}
        }
    }

    pub(super) fn postpone_fail_back(&mut self, now: Duration) {
        self.plan_fail_back(FailBack::Due(now + self.config.tuning.fail_back));
    }

    fn plan_fail_back(&mut self, plan: FailBack) {
        if let State::Streaming(streaming) = &mut self.state {
            streaming.fail_back = plan;
        }
    }
}
