//! A bench for sources: a conversation of lines, an intake that remembers, and a
//! clock that a test can move.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use venue_devices::{Conversation, DecodeError, ErrorKind, Item, LineSettings, Monotonic};
use venue_gateway::config::TransportConfig;
use venue_gateway::source::{
    self, Intake, LineErrors, LineEvent, Received, SourceHandle, SourceOptions, SourceSnapshot, SourceWaker, Stamp,
};

/// A condition that does not come true within this fails the test.
const PATIENCE: Duration = Duration::from_secs(20);

/// What an intake was given, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Connected(String),
    Disconnected(String),
    Left,
    Failed(String),
    Errors(LineErrors),
    Refused(u64),
    Silent(Duration),
    HeardAgain(Duration),
    /// A line of the device, without its end.
    Line(String),
    /// A line that the connection cut.
    Truncated(String),
}

/// The far side of a source: what it took, and what it says is durable.
#[derive(Debug, Default)]
pub(crate) struct Record {
    seen: Mutex<Vec<Seen>>,
    changed: Condvar,
    durable_items: AtomicU64,
    /// Held by a test that wants the intake to be busy.
    gate: Mutex<()>,
}

impl Record {
    /// Waits until what was flushed fulfils the condition, and returns it.
    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        let (seen, timeout) = self.changed.wait_timeout_while(seen, PATIENCE, |seen| !condition(seen)).unwrap();
        assert!(!timeout.timed_out(), "no {what}; seen: {seen:#?}");
        seen.clone()
    }

    /// Waits until the device said that line.
    pub(crate) fn wait_line(&self, line: &str) -> Vec<Seen> {
        self.wait(line, |seen| seen.contains(&Seen::Line(line.to_owned())))
    }

    /// Waits until the line came up so many times.
    pub(crate) fn wait_connected(&self, times: usize) -> Vec<Seen> {
        let connects = |seen: &[Seen]| seen.iter().filter(|it| matches!(it, Seen::Connected(_))).count();
        self.wait("connection", |seen| connects(seen) == times)
    }

    /// Keeps the intake busy as long as the guard lives.
    pub(crate) fn block(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |seen| if let Seen::Line(text) = seen { Some(text) } else { None };
        self.seen().into_iter().filter_map(line).collect()
    }
}

/// The intake of a [`Record`]: shows only what was flushed.
struct Recorder {
    record: Arc<Record>,
    staged: Vec<Seen>,
}

impl Intake for Recorder {
    fn item(&mut self, _received: &Received, item: Item<'_>) {
        drop(self.record.gate.lock().unwrap());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match item {
            Item::Frame { bytes, .. } => self.staged.push(Seen::Line(text(bytes))),
            Item::Bad { bytes, .. } => self.staged.push(Seen::Truncated(text(bytes))),
            other => panic!("the conversation of lines hands out no {other:?}"),
        }
    }

    fn line(&mut self, _received: &Received, event: LineEvent<'_>) {
        self.staged.push(match event {
            LineEvent::Connected { peer } => Seen::Connected(peer.to_owned()),
            LineEvent::Disconnected { reason } => Seen::Disconnected(reason.to_owned()),
            LineEvent::Left => Seen::Left,
            LineEvent::Failed { error } => Seen::Failed(error.to_owned()),
            LineEvent::Errors(errors) => Seen::Errors(errors),
            LineEvent::Refused { count, .. } => Seen::Refused(count),
            LineEvent::Silent { silence } => Seen::Silent(silence),
            LineEvent::HeardAgain { silence } => Seen::HeardAgain(silence),
        });
    }

    fn flush(&mut self, _received: &Received) {
        self.record.seen.lock().unwrap().append(&mut self.staged);
        self.record.changed.notify_all();
    }

    fn poll_timeout(&self) -> Option<Duration> {
        None
    }

    fn handle_timeout(&mut self, _received: &Received) {
        panic!("not asked for");
    }

    fn durable_items(&mut self) -> u64 {
        self.record.durable_items.load(Ordering::Acquire)
    }

    fn has_refused(&self) -> bool {
        false
    }

    fn is_behind(&self) -> bool {
        false
    }
}

/// A device that says lines, is greeted with `hello`, polled each minute, and told
/// how many lines are safe.
#[derive(Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    outgoing: Vec<u8>,
    poll_at: Option<Monotonic>,
    /// Never ceases to send.
    floods: bool,
    /// Does not survive a byte.
    is_fragile: bool,
}

impl Lines {
    pub(crate) fn flooding() -> Self {
        Self { floods: true, ..Self::default() }
    }

    pub(crate) fn fragile() -> Self {
        Self { is_fragile: true, ..Self::default() }
    }
}

impl Conversation for Lines {
    fn handle_connected(&mut self, now: Monotonic, _sink: &mut dyn FnMut(Item<'_>)) {
        self.partial.clear();
        self.outgoing = b"hello\n".to_vec();
        self.poll_at = Some(now + Duration::from_secs(60));
    }

    fn handle_bytes(&mut self, _now: Monotonic, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        assert!(!self.is_fragile, "a fault of the conversation");
        for &byte in bytes {
            if byte == b'\n' {
                sink(Item::Frame { offset: 0, bytes: &self.partial });
                self.partial.clear();
            } else {
                self.partial.push(byte);
            }
        }
    }

    fn handle_disconnected(&mut self, _now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) {
        if !self.partial.is_empty() {
            let error = DecodeError::new(ErrorKind::Truncated, self.partial.len());
            sink(Item::Bad { offset: 0, bytes: &self.partial, error });
            self.partial.clear();
        }
    }

    fn handle_timeout(&mut self, now: Monotonic, _sink: &mut dyn FnMut(Item<'_>)) {
        self.outgoing.extend(b"poll\n");
        self.poll_at = Some(now + Duration::from_secs(60));
    }

    fn handle_durable(&mut self, _now: Monotonic, items: u64) {
        self.outgoing.extend(format!("safe {items}\n").bytes());
    }

    fn poll_transmit(&mut self, _now: Monotonic, buffer: &mut [u8]) -> usize {
        if self.floods {
            buffer.fill(b'x');
            return buffer.len();
        }
        let count = self.outgoing.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.outgoing[..count]);
        self.outgoing.drain(..count);
        count
    }

    fn poll_timeout(&self) -> Option<Monotonic> {
        self.poll_at
    }
}

/// The machine's clock, and what the test added to it.
#[derive(Debug, Default)]
pub(crate) struct BenchClock {
    added_ms: AtomicU64,
}

impl Stamp for BenchClock {
    fn now(&self) -> Received {
        let now = clock_gettime(ClockId::Boottime);
        let since_boot = Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec.try_into().unwrap());
        let monotonic = since_boot + Duration::from_millis(self.added_ms.load(Ordering::Acquire));
        Received { monotonic, utc_ns: None }
    }
}

/// A source that runs, and all that a test wants to do to it.
pub(crate) struct Bench {
    pub(crate) source: SourceHandle,
    pub(crate) record: Arc<Record>,
    pub(crate) clock: Arc<BenchClock>,
}

impl Bench {
    pub(crate) fn start(transport: TransportConfig) -> Self {
        Self::start_with(transport, None, Lines::default())
    }

    pub(crate) fn start_with(transport: TransportConfig, silence_alarm: Option<Duration>, lines: Lines) -> Self {
        let options = SourceOptions { name: "finish".to_owned(), transport, silence_alarm };
        let (record, clock) = (Arc::<Record>::default(), Arc::<BenchClock>::default());
        let recorder = Recorder { record: Arc::clone(&record), staged: Vec::new() };
        let stamp: Arc<dyn Stamp> = Arc::<BenchClock>::clone(&clock);
        let source = source::start(options, SourceWaker::new().unwrap(), lines, recorder, stamp).unwrap();
        Self { source, record, clock }
    }

    /// Lets time pass at once.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.added_ms.fetch_add(time.as_millis().try_into().unwrap(), Ordering::AcqRel);
        self.source.waker().wake();
    }

    /// Waits until the source's state fulfils the condition.
    pub(crate) fn wait_state(&self, what: &str, condition: impl Fn(&SourceSnapshot) -> bool) -> SourceSnapshot {
        // Not by the source's clock, which the condition may move.
        let clock = BenchClock::default();
        let give_up_at = clock.now().monotonic + PATIENCE;
        loop {
            let state = self.source.state().snapshot();
            if condition(&state) {
                return state;
            }
            assert!(clock.now().monotonic < give_up_at, "no {what}: {state:#?}");
            std::thread::yield_now();
        }
    }

    /// Says that so many items are on disk.
    pub(crate) fn make_durable(&self, items: u64) {
        self.record.durable_items.store(items, Ordering::Release);
        self.source.waker().wake();
    }

    /// Stops the source and returns how long that took.
    pub(crate) fn stop(self) -> Duration {
        let before = self.clock.now().monotonic;
        self.source.stop().unwrap();
        self.clock.now().monotonic - before
    }
}

/// A serial port of usual settings.
pub(crate) fn serial(port: impl Into<PathBuf>) -> TransportConfig {
    TransportConfig::Serial { port: port.into(), line: LineSettings::eight_n_one(19_200) }
}
