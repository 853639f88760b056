//! The loop of a source's thread: the same for every transport.

use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use venue_devices::Conversation;

use super::back_off::BackOff;
use super::dialogue::Dialogue;
use super::line::{Line, ReadOutcome};
use super::serial::Serial;
use super::tcp_connect::TcpConnect;
use super::tcp_listen::TcpListen;
use super::transport::{Opening, Transport};
use super::waker::SourceWaker;
use super::{Intake, Received, Stamp};
use crate::config::TransportConfig;

/// Bytes taken from the line at once, under one stamp.
const READ_BYTES: usize = 16 * 1024;
/// Bytes to send that are held; more is asked of the conversation when they are out.
const SEND_BYTES: usize = 1024;
/// A line that is replaced is read out first, up to what a socket's buffer holds.
const DRAIN_ON_REPLACEMENT: usize = 8 * 1024 * 1024;
/// A line that is closed by us is read out first, so far that stopping stays prompt.
const DRAIN_ON_STOP: usize = 256 * 1024;
/// Line errors are taken, after bytes came, at this interval.
const ERRORS_INTERVAL: Duration = Duration::from_secs(1);
/// A line that lasted this long, or that said anything, was sound.
const SOUND_AFTER: Duration = Duration::from_secs(5);
/// Times that the conversation is asked in one turn for something to send.
const SENDS_PER_TURN: usize = 64;
/// A line is left unread for so long at the most while the disk is behind: what stands between, a socket, a tty, a converter,
/// holds it. A disk that stands still for longer costs what the journal then counts as lost, and no more than that.
const LONGEST_HOLD: Duration = Duration::from_secs(1);
/// Wait after a poll that failed for want of memory.
const POLL_RETRY: Duration = Duration::from_millis(100);

/// The transport of a configuration.
pub(super) fn transport(config: TransportConfig, waker: &SourceWaker) -> Box<dyn Transport> {
    match config {
        TransportConfig::Serial { port, line } => Box::new(Serial::new(port, line)),
        TransportConfig::TcpConnect { address } => Box::new(TcpConnect::new(address, waker.clone())),
        TransportConfig::TcpListen { address, allow } => Box::new(TcpListen::new(address, allow)),
    }
}

/// Owns a source's line and all that hangs on it.
pub(super) struct Driver<C, I> {
    transport: Box<dyn Transport>,
    dialogue: Dialogue<C, I>,
    waker: SourceWaker,
    stamp: Arc<dyn Stamp>,
    up: Option<Up>,
    back_off: BackOff,
    /// When the next attempt begins, and until when the transport is left alone;
    /// none while one goes on, or the line is up.
    open_at: Option<Duration>,
    /// Since when the disk is behind.
    behind_since: Option<Duration>,
    buffer: Vec<u8>,
}

/// A line that is up.
struct Up {
    line: Line,
    since: Duration,
    heard: bool,
    /// When errors are to be taken; none if no byte came since they were.
    errors_at: Option<Duration>,
    outgoing: Outgoing,
}

/// Bytes on their way to the device.
struct Outgoing {
    bytes: [u8; SEND_BYTES],
    start: usize,
    end: usize,
}

/// What a wait ended with.
#[derive(Default)]
struct Ready {
    woken: bool,
    line: bool,
    transport: bool,
}

impl<C: Conversation, I: Intake> Driver<C, I> {
    pub(super) fn new(
        transport: Box<dyn Transport>,
        dialogue: Dialogue<C, I>,
        waker: SourceWaker,
        stamp: Arc<dyn Stamp>,
        seed: u64,
    ) -> Self {
        let back_off = transport.back_off(seed);
        let open_at = Some(Duration::ZERO);
        let (behind_since, buffer) = (None, Vec::with_capacity(READ_BYTES));
        Self { transport, dialogue, waker, stamp, up: None, back_off, open_at, behind_since, buffer }
    }

    /// Runs until the waker says stop.
    pub(super) fn run(mut self) {
        while !self.waker.is_stopped() {
            let ready = self.wait();
            if ready.woken {
                self.waker.clear();
            }
            if ready.line && self.held_until().is_none() {
                self.read();
            }
            self.open(ready.transport);
            self.tick();
            self.send();
            self.give_up_refused();
            self.look_behind();
        }
        self.close();
    }

    fn now(&self) -> Received {
        self.stamp.now()
    }

    fn look_behind(&mut self) {
        let now = self.now().monotonic;
        self.behind_since = self.dialogue.is_behind().then(|| self.behind_since.unwrap_or(now));
    }

    /// Until when the line is left unread.
    fn held_until(&self) -> Option<Duration> {
        let until = self.behind_since? + LONGEST_HOLD;
        Some(until).filter(|until| self.now().monotonic < *until)
    }

    /// Sleeps until something is ready or due.
    fn wait(&self) -> Ready {
        let held_until = self.held_until();
        let deadline = [self.deadline(), held_until].into_iter().flatten().min();
        let timeout = deadline.map(|at| timespec(at.saturating_sub(self.now().monotonic)));
        let mut fds = vec![PollFd::from_borrowed_fd(self.waker.fd(), PollFlags::IN)];
        let is_held = held_until.is_some();
        // A line that is held is not asked at all, for its end would show again and again.
        let line_at = self.up.as_ref().filter(|up| !is_held || !up.outgoing.is_empty()).map(|up| {
            let read = if is_held { PollFlags::empty() } else { PollFlags::IN };
            let wanted = if up.outgoing.is_empty() { read } else { read | PollFlags::OUT };
            fds.push(PollFd::from_borrowed_fd(up.line.fd(), wanted));
            fds.len() - 1
        });
        let interest = self.transport.interest().filter(|_| self.open_at.is_none());
        let transport_at = interest.map(|(fd, wanted)| {
            fds.push(PollFd::from_borrowed_fd(fd, wanted));
            fds.len() - 1
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ready::default(),
            Err(error) => {
                tracing::error!(%error, "poll failed");
                std::thread::sleep(POLL_RETRY);
                return Ready::default();
            }
        }
        let is_ready = |at: usize| !fds[at].revents().is_empty();
        Ready { woken: is_ready(0), line: line_at.is_some_and(is_ready), transport: transport_at.is_some_and(is_ready) }
    }

    /// When something is due although nothing happens.
    fn deadline(&self) -> Option<Duration> {
        let errors_at = self.up.as_ref().and_then(|up| up.errors_at);
        [self.dialogue.deadline(), errors_at, self.open_deadline()].into_iter().flatten().min()
    }

    fn open_deadline(&self) -> Option<Duration> {
        self.open_at.or_else(|| self.transport.deadline())
    }

    /// Lets the transport go on, if there is anything for it to do.
    fn open(&mut self, is_ready: bool) {
        let now = self.now();
        let is_due = self.open_deadline().is_some_and(|at| at <= now.monotonic);
        let goes_on = self.open_at.is_none() && (is_ready || self.up.is_none());
        if !is_due && !goes_on {
            return;
        }
        self.open_at = None;
        match self.transport.open(now.monotonic) {
            Opening::Pending => {}
            Opening::Ready(line) => self.take_up(line),
            Opening::Listening(address) => {
                self.back_off.reset();
                self.dialogue.listening(address);
            }
            Opening::Refused { peer, count } => self.dialogue.refused(now, &peer, count),
            Opening::Failed(error) => {
                self.dialogue.failed(now, &error);
                self.open_at = Some(now.monotonic + self.back_off.next());
            }
        }
    }

    /// A line came up, perhaps in the place of another.
    fn take_up(&mut self, line: Line) {
        if self.up.is_some() {
            self.drain(DRAIN_ON_REPLACEMENT);
            self.end_line(&format!("replaced by a newer connection from {}", line.peer()));
            self.open_at = None;
        }
        let now = self.now();
        let errors_at = None;
        self.dialogue.connected(now, line.peer());
        self.up = Some(Up { line, since: now.monotonic, heard: false, errors_at, outgoing: Outgoing::new() });
    }

    /// Reads once.
    fn read(&mut self) -> ReadOutcome {
        let Some(up) = &mut self.up else { return ReadOutcome::WouldBlock };
        let outcome = up.line.read(&mut self.buffer);
        let received = self.stamp.now();
        match &outcome {
            ReadOutcome::Bytes => {
                if up.line.is_tty() {
                    up.errors_at.get_or_insert(received.monotonic + ERRORS_INTERVAL);
                }
                if !self.buffer.is_empty() {
                    up.heard = true;
                    self.dialogue.bytes(received, &self.buffer);
                }
            }
            ReadOutcome::WouldBlock => {}
            ReadOutcome::Closed(reason) => self.end_line(reason),
        }
        outcome
    }

    /// Reads what the line already holds, at most about `most_bytes`.
    fn drain(&mut self, most_bytes: usize) {
        let mut drained = 0;
        while drained < most_bytes && self.read() == ReadOutcome::Bytes {
            drained += self.buffer.len().max(1);
        }
    }

    /// Gives the line up.
    fn end_line(&mut self, reason: &str) {
        let is_sound = |up: &Up| up.heard || self.now().monotonic.saturating_sub(up.since) >= SOUND_AFTER;
        if self.up.as_ref().is_some_and(is_sound) {
            self.back_off.reset();
        }
        self.leave_line(reason);
    }

    /// Gives up a line whose device has said what found no room. It says it again on the next line, which is not
    /// taken up the sooner for this one's having been sound.
    fn give_up_refused(&mut self) {
        if self.up.is_some() && self.dialogue.has_refused() {
            self.leave_line("the journal is full: what the device keeps is asked for again");
        }
    }

    fn leave_line(&mut self, reason: &str) {
        let Some(mut up) = self.up.take() else { return };
        let now = self.now();
        self.dialogue.errors(now, up.line.take_errors());
        self.dialogue.disconnected(now, reason);
        let wait = if self.transport.is_awaited() { Duration::ZERO } else { self.back_off.next() };
        self.open_at = Some(now.monotonic + wait);
    }

    /// Does what time and durability ask for.
    fn tick(&mut self) {
        let now = self.now();
        self.dialogue.tick(now);
        if let Some(up) = &mut self.up
            && up.errors_at.take_if(|at| *at <= now.monotonic).is_some()
        {
            self.dialogue.errors(now, up.line.take_errors());
        }
    }

    /// Sends what the conversation has to say, as far as the line takes it.
    fn send(&mut self) {
        for _ in 0..SENDS_PER_TURN {
            let now = self.stamp.now();
            let Some(up) = &mut self.up else { return };
            match up.outgoing.write(&mut up.line) {
                Ok(sent) => self.dialogue.sent(sent),
                Err(reason) => return self.end_after_failed_write(&reason),
            }
            if !up.outgoing.is_empty() {
                return;
            }
            up.outgoing.fill(|buffer| self.dialogue.transmit(now, buffer));
            if up.outgoing.is_empty() {
                return;
            }
        }
    }

    /// The other end takes nothing any more, but what it said before is still there.
    fn end_after_failed_write(&mut self, reason: &str) {
        self.drain(DRAIN_ON_REPLACEMENT);
        self.end_line(reason);
    }

    fn close(mut self) {
        self.drain(DRAIN_ON_STOP);
        if let Some(mut up) = self.up.take() {
            let now = self.now();
            self.dialogue.errors(now, up.line.take_errors());
            self.dialogue.left(now);
        }
        self.dialogue.stopped();
    }
}

impl Outgoing {
    const fn new() -> Self {
        Self { bytes: [0; SEND_BYTES], start: 0, end: 0 }
    }

    const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Asks for more, when all is sent.
    fn fill(&mut self, source: impl FnOnce(&mut [u8]) -> usize) {
        (self.start, self.end) = (0, source(&mut self.bytes).min(SEND_BYTES));
    }

    /// Sends what the line takes and returns how many bytes.
    fn write(&mut self, line: &mut Line) -> Result<usize, String> {
        if self.is_empty() {
            return Ok(0);
        }
        let sent = line.write(&self.bytes[self.start..self.end])?;
        self.start += sent;
        Ok(sent)
    }
}

fn timespec(wait: Duration) -> Timespec {
    let tv_sec = wait.as_secs().try_into().unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: wait.subsec_nanos().into() }
}

#[cfg(test)]
mod tests;
