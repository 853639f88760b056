//! Sources: the lines to the devices, and the threads that own them.
//!
//! A source is a transport (a serial port, a TCP connection made or awaited), the
//! conversation of a device, and an [`Intake`] that takes what the device said.
//!
//! ```text
//!                 ┌───────────── a thread a source ─────────────┐
//!   tty, socket ─►│ Line ─► Conversation ─► Intake::item, flush │─► pipeline
//!               ◄─│ poll_transmit ◄─ handle_durable ◄───────────│◄─ SourceWaker::wake
//!                 └─────────────────────────────────────────────┘   (the commit loop)
//! ```
//!
//! # One blocking thread a source
//!
//! Every transport is driven by the same loop (`driver.rs`): poll(2) on the line,
//! on an eventfd that durability and shutdown poke, and on a listening or
//! connecting socket. A venue has tens of sources, so threads are cheap; a read is
//! stamped on the thread that made it, with no executor in between; a slow source
//! delays nobody; and a tty, a PTY and a socket are one concept. An async reactor
//! was rejected: it would own the sockets only, and stamp what it gets to late.
//!
//! # What it never does
//!
//! It knows no date, no lane, no event. It drops no byte but those that the tty
//! marked as damaged, and counts those. It acknowledges nothing by itself: the
//! conversation does, and only what [`Intake::durable_items`] covers.

pub(crate) mod back_off;
mod dialogue;
mod driver;
mod line;
mod parmrk;
mod serial;
mod state;
mod tcp_connect;
mod tcp_listen;
mod tcp_options;
mod transport;
mod tty_ioctl;
mod waker;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use venue_devices::{Conversation, Item};

use crate::clock::SystemClock;
use crate::config::{SourceConfig, TransportConfig};

pub(crate) use line::{Line, ReadOutcome};
pub(crate) use serial::open_line;

pub use crate::clock::Received;
pub use state::{ConnectedSince, LineErrors, SourceSnapshot, SourceState};
pub use waker::SourceWaker;

/// The clock that sources stamp by.
pub trait Stamp: Send + Sync {
    /// The present moment. Its monotonic part never goes back.
    fn now(&self) -> Received;
}

impl Stamp for SystemClock {
    fn now(&self) -> Received {
        self.stamp()
    }
}

/// Takes what one source received. Called from the source's thread alone.
///
/// Items are numbered from 1 in the order of the calls of [`item`](Intake::item),
/// over all connections; [`durable_items`](Intake::durable_items) speaks of that
/// number. Line events are not counted.
pub trait Intake: Send {
    /// Takes an item out of bytes stamped straight after the read.
    fn item(&mut self, received: &Received, item: Item<'_>);

    /// Takes something that happened to the line itself.
    fn line(&mut self, received: &Received, event: LineEvent<'_>);

    /// All of a burst was handed over: stage it. Called once after the items and
    /// line events of one read, and of anything else that made some.
    fn flush(&mut self, received: &Received);

    /// When [`handle_timeout`](Intake::handle_timeout) wants to be called, by the
    /// monotonic clock; none for never. Asked at every turn of the source's loop.
    fn poll_timeout(&self) -> Option<Duration>;

    /// That time has come. No flush follows.
    fn handle_timeout(&mut self, received: &Received);

    /// How many items, from the first, are on disk now. Asked at every turn of the
    /// source's loop; whoever raises it calls [`SourceWaker::wake`] afterwards.
    fn durable_items(&mut self) -> u64;

    /// Whether an item of this connection found no room, so that its device keeps it. The line is then given up:
    /// on the next one the device says again what was not acknowledged. [`LineEvent::Connected`] clears it.
    fn has_refused(&self) -> bool;

    /// Whether the disk is behind: the line is then left unread for a moment, until [`SourceWaker::wake`].
    fn is_behind(&self) -> bool;
}

/// Something that happened to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEvent<'a> {
    /// The port was opened, the connection stands.
    Connected {
        /// The tty or the address at the other end.
        peer: &'a str,
    },
    /// The line went away.
    Disconnected {
        /// For people.
        reason: &'a str,
    },
    /// The source is stopped and leaves a line that stands: the device is there, but
    /// nobody listens from now on.
    Left,
    /// The line cannot be brought up. Said once until the reason changes.
    Failed {
        /// What, where, and how to mend it.
        error: &'a str,
    },
    /// The tty counted errors since the last such event; at most one a second.
    Errors(LineErrors),
    /// Peers were turned away because no allow-list has them.
    Refused {
        /// The last one's address.
        peer: &'a str,
        /// How many since the last such event.
        count: u64,
    },
    /// No byte came for the time of the silence alarm. Said once a silence.
    Silent {
        /// Time since the last byte, or since the start.
        silence: Duration,
    },
    /// The first byte after a [`LineEvent::Silent`].
    HeardAgain {
        /// How long it was silent.
        silence: Duration,
    },
}

/// What a source needs beside its conversation and its intake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOptions {
    /// The name, for logs and for the thread.
    pub name: String,
    /// How the device is reached.
    pub transport: TransportConfig,
    /// Alarm after this time without a byte; none for never.
    pub silence_alarm: Option<Duration>,
}

impl From<&SourceConfig> for SourceOptions {
    fn from(config: &SourceConfig) -> Self {
        let SourceConfig { name, transport, silence_alarm, .. } = config;
        Self { name: name.clone(), transport: transport.clone(), silence_alarm: *silence_alarm }
    }
}

/// A running source. Dropped, it stops without being waited for.
#[derive(Debug)]
pub struct SourceHandle {
    state: Arc<SourceState>,
    waker: SourceWaker,
    thread: Option<JoinHandle<()>>,
}

/// Starts a source on a thread of its own. The line is brought up there, and
/// brought up again for as long as the source runs, so a device that is absent is
/// no error here.
///
/// `waker` is made beforehand so that the commit loop can hold it before the first
/// item is handed over.
///
/// # Errors
/// If the system gives no thread.
pub fn start<C, I>(
    options: SourceOptions,
    waker: SourceWaker,
    conversation: C,
    intake: I,
    stamp: Arc<dyn Stamp>,
) -> io::Result<SourceHandle>
where
    C: Conversation + Send + 'static,
    I: Intake + 'static,
{
    let state = Arc::new(SourceState::default());
    let transport = driver::transport(options.transport.clone(), &waker);
    // The kernel cuts a thread's name at 15 bytes; std wants it without a NUL.
    let name = options.name.replace('\0', "");
    let now = stamp.now();
    let seed = back_off::seed(&options.name, now.monotonic);
    let dialogue = dialogue::Dialogue::new(&options, conversation, intake, Arc::clone(&state), now);
    let driver = driver::Driver::new(transport, dialogue, waker.clone(), stamp, seed);
    let fault = FaultNote(Arc::clone(&state));
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let _fault = fault;
        driver.run();
    })?;
    Ok(SourceHandle { state, waker, thread: Some(thread) })
}

impl SourceHandle {
    /// The state that status shows.
    pub fn state(&self) -> &Arc<SourceState> {
        &self.state
    }

    /// The waker of the source.
    pub fn waker(&self) -> &SourceWaker {
        &self.waker
    }

    /// Whether its thread runs; if not, and nobody stopped it, it panicked.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops the source and waits for its thread: what the line already holds is
    /// read and handed over first. To stop many, call [`SourceWaker::stop`] on each
    /// before.
    ///
    /// # Errors
    /// [`SourcePanicked`] if the thread had ended by a panic.
    pub fn stop(mut self) -> Result<(), SourcePanicked> {
        self.waker.stop();
        self.thread.take().map_or(Ok(()), JoinHandle::join).map_err(|_| SourcePanicked)
    }
}

impl Drop for SourceHandle {
    fn drop(&mut self) {
        self.waker.stop();
    }
}

/// Notes in the state that the thread ended by a panic, which also closed the line.
struct FaultNote(Arc<SourceState>);

impl Drop for FaultNote {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.update(|state| {
                (state.connected, state.listening, state.faulted) = (None, None, true);
                state.last_error = Some(SourcePanicked.to_string());
            });
        }
    }
}

/// A source's thread had ended by a panic; the log holds its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the source's thread panicked; the log holds its message")]
pub struct SourcePanicked;
