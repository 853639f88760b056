//! The conversation of a device, between the line's bytes and the intake.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use venue_devices::Conversation;

use super::state::{ConnectedSince, LineErrors, SourceState};
use super::{Intake, LineEvent, Received, SourceOptions};

/// A conversation or intake that wants to be called again at once, for ever, gets
/// this much time between two calls instead of a whole processor.
const TIMEOUT_RESOLUTION: Duration = Duration::from_millis(1);

/// Keeps a conversation, its intake and the source's state in step. Knows no
/// descriptor.
pub(super) struct Dialogue<C, I> {
    name: String,
    conversation: C,
    intake: I,
    state: Arc<SourceState>,
    durable_items: u64,
    earliest_timeout: Duration,
    earliest_intake_timeout: Duration,
    silence: Silence,
    last_failure: Option<String>,
}

/// The silence alarm.
struct Silence {
    alarm: Option<Duration>,
    /// Of the last byte, or of the start.
    heard_at: Duration,
    is_on: bool,
}

impl<C: Conversation, I: Intake> Dialogue<C, I> {
    pub(super) fn new(
        options: &SourceOptions,
        conversation: C,
        intake: I,
        state: Arc<SourceState>,
        now: Received,
    ) -> Self {
        Self {
            name: options.name.clone(),
            conversation,
            intake,
            state,
            durable_items: 0,
            earliest_timeout: Duration::ZERO,
            earliest_intake_timeout: Duration::ZERO,
            silence: Silence { alarm: options.silence_alarm, heard_at: now.monotonic, is_on: false },
            last_failure: None,
        }
    }

    /// The line came up.
    pub(super) fn connected(&mut self, received: Received, peer: &str) {
        tracing::info!(source = self.name, peer, "connected");
        self.last_failure = None;
        self.state.update(|state| {
            state.connected = Some(ConnectedSince { since: received, peer: peer.to_owned() });
            state.connects += 1;
        });
        self.intake.line(&received, LineEvent::Connected { peer });
        let intake = &mut self.intake;
        self.conversation.handle_connected(received.monotonic, &mut |item| intake.item(&received, item));
        intake.flush(&received);
    }

    /// Bytes came; there is at least one.
    pub(super) fn bytes(&mut self, received: Received, bytes: &[u8]) {
        self.heard(received);
        self.state.update(|state| {
            state.last_byte = Some(received);
            state.bytes_received += bytes.len() as u64;
        });
        let intake = &mut self.intake;
        self.conversation.handle_bytes(received.monotonic, bytes, &mut |item| intake.item(&received, item));
        intake.flush(&received);
    }

    /// The line went away.
    pub(super) fn disconnected(&mut self, received: Received, reason: &str) {
        tracing::warn!(source = self.name, reason, "disconnected");
        self.state.update(|state| {
            state.connected = None;
            state.last_error = Some(reason.to_owned());
        });
        self.end(received, LineEvent::Disconnected { reason });
    }

    /// The source is stopped and leaves its line.
    pub(super) fn left(&mut self, received: Received) {
        self.state.update(|state| state.connected = None);
        self.end(received, LineEvent::Left);
    }

    /// The line cannot be brought up. Logged and handed on once until the reason
    /// changes or the line was up.
    pub(super) fn failed(&mut self, received: Received, error: &str) {
        if self.last_failure.as_deref() == Some(error) {
            return;
        }
        self.last_failure = Some(error.to_owned());
        tracing::warn!(source = self.name, error, "cannot connect");
        self.state.update(|state| state.last_error = Some(error.to_owned()));
        self.line(received, LineEvent::Failed { error });
    }

    pub(super) fn listening(&mut self, address: SocketAddr) {
        tracing::info!(source = self.name, %address, "waits for the device");
        self.state.update(|state| state.listening = Some(address));
    }

    pub(super) fn refused(&mut self, received: Received, peer: &str, count: u64) {
        tracing::warn!(source = self.name, peer, count, "refused: the allow-list does not have it");
        self.state.update(|state| state.refused += count);
        self.line(received, LineEvent::Refused { peer, count });
    }

    pub(super) fn errors(&mut self, received: Received, errors: LineErrors) {
        if errors.is_zero() {
            return;
        }
        tracing::warn!(source = self.name, %errors, "line errors");
        self.state.update(|state| state.errors += errors);
        self.line(received, LineEvent::Errors(errors));
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.state.update(|state| state.bytes_sent += bytes as u64);
    }

    /// Does what time and durability ask for.
    pub(super) fn tick(&mut self, received: Received) {
        let now = received.monotonic;
        let durable_items = self.intake.durable_items();
        if durable_items != self.durable_items {
            self.durable_items = durable_items;
            self.conversation.handle_durable(now, durable_items);
        }
        if self.timeout().is_some_and(|at| at <= now) {
            self.earliest_timeout = now + TIMEOUT_RESOLUTION;
            let intake = &mut self.intake;
            self.conversation.handle_timeout(now, &mut |item| intake.item(&received, item));
            intake.flush(&received);
        }
        if self.intake_timeout().is_some_and(|at| at <= now) {
            self.earliest_intake_timeout = now + TIMEOUT_RESOLUTION;
            self.intake.handle_timeout(&received);
        }
        if self.silence.deadline().is_some_and(|at| at <= now) {
            self.fell_silent(received);
        }
    }

    /// Whether the device must say something again.
    pub(super) fn has_refused(&self) -> bool {
        self.intake.has_refused()
    }

    /// Whether the disk is behind.
    pub(super) fn is_behind(&self) -> bool {
        self.intake.is_behind()
    }

    /// When [`tick`](Dialogue::tick) has something to do next.
    pub(super) fn deadline(&self) -> Option<Duration> {
        [self.timeout(), self.intake_timeout(), self.silence.deadline()].into_iter().flatten().min()
    }

    /// What is to be sent next: the count of bytes put into `buffer`.
    pub(super) fn transmit(&mut self, received: Received, buffer: &mut [u8]) -> usize {
        self.conversation.poll_transmit(received.monotonic, buffer)
    }

    pub(super) fn stopped(&mut self) {
        tracing::info!(source = self.name, "stopped");
        self.state.update(|state| state.stopped = true);
    }

    fn timeout(&self) -> Option<Duration> {
        self.conversation.poll_timeout().map(|at| at.max(self.earliest_timeout))
    }

    fn intake_timeout(&self) -> Option<Duration> {
        self.intake.poll_timeout().map(|at| at.max(self.earliest_intake_timeout))
    }

    /// Ends the conversation, and then tells why.
    fn end(&mut self, received: Received, event: LineEvent<'_>) {
        let intake = &mut self.intake;
        self.conversation.handle_disconnected(received.monotonic, &mut |item| intake.item(&received, item));
        intake.line(&received, event);
        intake.flush(&received);
    }

    fn fell_silent(&mut self, received: Received) {
        let silence = received.monotonic.saturating_sub(self.silence.heard_at);
        tracing::warn!(source = self.name, ?silence, "silent");
        self.silence.is_on = true;
        self.state.update(|state| state.silent = true);
        self.line(received, LineEvent::Silent { silence });
    }

    fn heard(&mut self, received: Received) {
        let silence = received.monotonic.saturating_sub(self.silence.heard_at);
        self.silence.heard_at = received.monotonic;
        if std::mem::take(&mut self.silence.is_on) {
            tracing::info!(source = self.name, ?silence, "heard again");
            self.state.update(|state| state.silent = false);
            // Flushed together with the items that follow.
            self.intake.line(&received, LineEvent::HeardAgain { silence });
        }
    }

    fn line(&mut self, received: Received, event: LineEvent<'_>) {
        self.intake.line(&received, event);
        self.intake.flush(&received);
    }
}

impl Silence {
    fn deadline(&self) -> Option<Duration> {
        self.alarm.filter(|_| !self.is_on).and_then(|alarm| self.heard_at.checked_add(alarm))
    }
}
