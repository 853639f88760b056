use std::os::fd::OwnedFd;
use std::sync::Mutex;

use venue_devices::{Item, LineSettings};

use super::*;
use crate::source::state::{LineErrors, SourceState};
use crate::source::{LineEvent, SourceOptions};

/// A tty played by pipes: each comes up once.
struct Pipes(Vec<OwnedFd>);

impl Transport for Pipes {
    fn open(&mut self, _now: Duration) -> Opening {
        self.0.pop().map_or(Opening::Pending, |fd| Opening::Ready(Line::tty(fd, "pipe".to_owned())))
    }

    fn back_off(&self, seed: u64) -> BackOff {
        BackOff::new(Duration::from_millis(1), Duration::from_millis(1), seed)
    }
}

/// A transport that always fails, notes when it was asked, and has had enough after
/// five times.
struct Failing {
    asked_at: Arc<Mutex<Vec<Duration>>>,
    waker: SourceWaker,
}

impl Transport for Failing {
    fn open(&mut self, now: Duration) -> Opening {
        let mut asked_at = self.asked_at.lock().unwrap();
        asked_at.push(now);
        if asked_at.len() == 5 {
            self.waker.stop();
        }
        Opening::Failed(format!("attempt {}", asked_at.len()))
    }

    fn back_off(&self, seed: u64) -> BackOff {
        BackOff::new(Duration::from_secs(60), Duration::from_secs(60), seed)
    }
}

/// Says each byte as a frame, and always wants to be called at once.
struct Bytes {
    timeouts: u32,
}

impl Conversation for Bytes {
    fn handle_connected(&mut self, _now: Duration, _sink: &mut dyn FnMut(Item<'_>)) {}
    fn handle_bytes(&mut self, _now: Duration, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        bytes.chunks(1).for_each(|bytes| sink(Item::Frame { offset: 0, bytes }));
    }
    fn handle_disconnected(&mut self, _now: Duration, _sink: &mut dyn FnMut(Item<'_>)) {}
    fn handle_timeout(&mut self, _now: Duration, sink: &mut dyn FnMut(Item<'_>)) {
        self.timeouts += 1;
        sink(Item::ReplayStarted);
    }
    fn handle_durable(&mut self, _now: Duration, _items: u64) {}
    fn poll_transmit(&mut self, _now: Duration, _buffer: &mut [u8]) -> usize {
        0
    }
    fn poll_timeout(&self) -> Option<Duration> {
        (self.timeouts < 10_000).then_some(Duration::ZERO)
    }
}

/// What the intake was given, in words; has no room for a frame `!`, is behind from a frame `~` on,
/// and stops the source at the end of a line that it did not give up.
struct Words {
    said: Arc<Mutex<Vec<String>>>,
    waker: SourceWaker,
    refused: bool,
    behind_since: Option<Duration>,
}

impl Intake for Words {
    fn item(&mut self, received: &Received, item: Item<'_>) {
        if let Item::Frame { bytes, .. } = item {
            self.said.lock().unwrap().push(String::from_utf8_lossy(bytes).into_owned());
            self.refused |= bytes == b"!";
            if bytes == b"~" && self.behind_since.is_none() {
                self.behind_since = Some(received.monotonic);
            }
            if bytes == b"a"
                && let Some(since) = self.behind_since
            {
                let waited = received.monotonic - since;
                self.said.lock().unwrap().push(format!("waited for {} s", waited.as_secs()));
            }
        }
    }
    fn line(&mut self, _received: &Received, event: LineEvent<'_>) {
        let word = match event {
            LineEvent::Errors(errors) => errors.to_string(),
            LineEvent::Failed { error } => error.to_owned(),
            LineEvent::Connected { .. } => {
                self.refused = false;
                "up".to_owned()
            }
            LineEvent::Disconnected { .. } if self.refused => "given up".to_owned(),
            LineEvent::Disconnected { .. } => {
                self.waker.stop();
                "down".to_owned()
            }
            other => panic!("{other:?}"),
        };
        self.said.lock().unwrap().push(word);
    }
    fn flush(&mut self, _received: &Received) {}
    fn poll_timeout(&self) -> Option<Duration> {
        None
    }
    fn handle_timeout(&mut self, _received: &Received) {}
    fn durable_items(&mut self) -> u64 {
        0
    }
    fn has_refused(&self) -> bool {
        self.refused
    }
    fn is_behind(&self) -> bool {
        self.behind_since.is_some()
    }
}

/// A clock that goes on by so much each time it is read.
struct FastClock(Duration, Mutex<Duration>);

impl Stamp for FastClock {
    fn now(&self) -> Received {
        let mut now = self.1.lock().unwrap();
        *now += self.0;
        Received { monotonic: *now, utc_ns: None }
    }
}

/// Runs a source over that transport to its end; returns what the intake was given.
fn run(transport: impl Transport + 'static, waker: SourceWaker) -> (Vec<String>, Arc<SourceState>) {
    run_by(FastClock(Duration::from_millis(100), Mutex::default()), transport, waker)
}

fn run_by(
    clock: FastClock,
    transport: impl Transport + 'static,
    waker: SourceWaker,
) -> (Vec<String>, Arc<SourceState>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let intake = Words { said: Arc::clone(&said), waker: waker.clone(), refused: false, behind_since: None };
    let stamp: Arc<dyn Stamp> = Arc::new(clock);
    // What the options say of the transport is not used: it is given.
    let unused = TransportConfig::Serial { port: "pipe".into(), line: LineSettings::eight_n_one(9600) };
    let options = SourceOptions { name: "pipe".to_owned(), transport: unused, silence_alarm: None };
    let state = Arc::<SourceState>::default();
    let dialogue = Dialogue::new(&options, Bytes { timeouts: 0 }, intake, Arc::clone(&state), stamp.now());
    Driver::new(Box::new(transport), dialogue, waker, stamp, 1).run();
    let said = std::mem::take(&mut *said.lock().unwrap());
    (said, state)
}

/// Damaged bytes are told once, after the bytes that came with them and before the
/// end of the line, however soon that comes; and a conversation that wants to be
/// called for ever does not keep the line from being read.
#[test]
fn damaged_bytes_are_told_before_the_line_ends() {
    let (read, write) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&read, true).unwrap();
    rustix::io::write(&write, b"a\xff\x00xb\xff\x00yc").unwrap();
    drop(write);
    let (said, state) = run(Pipes(vec![read.into()]), SourceWaker::new().unwrap());
    assert_eq!(said, ["up", "a", "b", "c", "2 dropped bytes", "down"]);
    let snapshot = state.snapshot();
    assert_eq!(snapshot.errors, LineErrors { dropped_bytes: 2, ..LineErrors::default() });
    assert_eq!((snapshot.bytes_received, snapshot.connected, snapshot.stopped), (3, None, true));
}

/// A line whose device said what found no room is given up with all that was read, and the next one taken up, on
/// which the device says it again.
#[test]
fn a_line_is_given_up_when_something_was_refused() {
    let (first, again) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
    rustix::io::ioctl_fionbio(&first.0, true).unwrap();
    rustix::io::ioctl_fionbio(&again.0, true).unwrap();
    rustix::io::write(&first.1, b"a!b").unwrap();
    rustix::io::write(&again.1, b"ab").unwrap();
    drop(again.1);
    let (said, _) = run(Pipes(vec![again.0.into(), first.0.into()]), SourceWaker::new().unwrap());
    assert_eq!(said, ["up", "a", "!", "b", "given up", "up", "a", "b", "down"]);
}

/// While the disk is behind, the line is left unread, though its device goes on: what it says meanwhile stays in the pipe. That
/// has an end, for what stands between holds only so much.
#[test]
fn a_line_is_left_unread_for_a_moment_while_the_disk_is_behind() {
    let (read, write) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&read, true).unwrap();
    rustix::io::write(&write, &[b"~".repeat(READ_BYTES), b"ab".to_vec()].concat()).unwrap();
    drop(write);
    let clock = FastClock(Duration::from_millis(1), Mutex::default());
    let (said, _) = run_by(clock, Pipes(vec![read.into()]), SourceWaker::new().unwrap());
    assert_eq!(said[said.len() - 4..], ["a", "waited for 1 s", "b", "down"]);
}

/// However often the source is woken meanwhile, it leaves the device alone for the
/// time of its back-off, less the random quarter; each new reason is told.
#[test]
fn wake_ups_do_not_shorten_the_back_off() {
    let (waker, asked_at) = (SourceWaker::new().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let (said, _) = run(Failing { asked_at: Arc::clone(&asked_at), waker: waker.clone() }, waker);
    assert_eq!(said, [1, 2, 3, 4, 5].map(|number| format!("attempt {number}")));
    let asked_at = asked_at.lock().unwrap();
    for pair in asked_at.windows(2) {
        let wait = pair[1] - pair[0];
        assert!(wait >= Duration::from_secs(45) && wait <= Duration::from_secs(61), "{asked_at:?}");
    }
}
