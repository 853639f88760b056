//! Two timers on sockets, one of which finds a bug of its decoder.

use std::{
    cell::RefCell,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use venue_devices::{Conversation, Item, Role};
use venue_journal::{JournalConfig, simulated::MemoryStorage};
use venue_schema::{GatewayId, JournalEpoch};

use super::*;

/// A condition that does not come true within this fails the test.
const PATIENCE: Duration = Duration::from_secs(20);
const SENTENCE: &[u8] = b"$WIMWV,000.0,R,1.3,M,A*22\r\n";

/// The conversation of a real device, but for a line that its decoder panics at.
struct Buggy(Device);

impl Conversation for Buggy {
    fn handle_connected(&mut self, now: Duration, sink: &mut dyn FnMut(Item<'_>)) {
        self.0.handle_connected(now, sink);
    }

    fn handle_bytes(&mut self, now: Duration, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        assert!(!bytes.starts_with(b"unlucky"), "a bug in the decoder");
        self.0.handle_bytes(now, bytes, sink);
    }

    fn handle_disconnected(&mut self, now: Duration, sink: &mut dyn FnMut(Item<'_>)) {
        self.0.handle_disconnected(now, sink);
    }

    fn handle_timeout(&mut self, now: Duration, sink: &mut dyn FnMut(Item<'_>)) {
        self.0.handle_timeout(now, sink);
    }

    fn handle_durable(&mut self, now: Duration, items: u64) {
        self.0.handle_durable(now, items);
    }

    fn poll_transmit(&mut self, now: Duration, buffer: &mut [u8]) -> usize {
        self.0.poll_transmit(now, buffer)
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.0.poll_timeout()
    }
}

/// The sources of a gateway, with the far ends of their lines.
struct Venue {
    sources: Sources,
    journal: Journal<MemoryStorage>,
    names: Vec<String>,
    listeners: Vec<TcpListener>,
    clock: Arc<SystemClock>,
    /// What the centre was told.
    told: RefCell<Vec<(GatewayState, String)>>,
}

impl Venue {
    fn start(names: &[&str]) -> Self {
        let clock = Arc::new(SystemClock::new(true));
        let epoch = JournalEpoch::from_bytes([7; 16]);
        let config = JournalConfig::new(GatewayId::new("stade-1-a").unwrap(), "stade-1", epoch);
        let (journal, _) = Journal::open(MemoryStorage::new(), config, clock.monotonic()).unwrap();
        let listeners: Vec<_> = names.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let (sources, told) = (Sources::default(), RefCell::default());
        let venue = Self { sources, journal, names, listeners, clock, told };
        let config = venue.config(&(0..venue.names.len()).collect::<Vec<_>>());
        let (journal, clock) = (&venue.journal, &venue.clock);
        let start = |source: &config::SourceConfig| {
            let (settings, source, journal, clock) =
                (settings(&config, source), source.clone(), journal.clone(), Arc::clone(clock));
            let options = source::SourceOptions::from(&source);
            let now = clock.monotonic();
            let start: Start = Box::new(move |counters| {
                let conversation = Buggy(Device::new("nmea", Role::Active).unwrap());
                let commits = CommitSignal::default();
                let intake =
                    SourceIntake::new(journal.clone(), settings.clone(), Arc::clone(&clock), commits, counters);
                let stamp: Arc<dyn Stamp> = Arc::<SystemClock>::clone(&clock);
                source::start(options.clone(), SourceWaker::new()?, conversation, intake, stamp)
            });
            Running::start(source, start, Earlier::default(), now).unwrap()
        };
        venue.sources.replace(config.sources.iter().map(|source| Arc::new(start(source))).collect());
        venue
    }

    /// A configuration with these of the sources, in this order.
    fn config(&self, indices: &[usize]) -> Config {
        let mut text = "[gateway]\nid = \"stade-1-a\"\nvenue = \"stade-1\"\n".to_owned();
        for &index in indices {
            let (name, address) = (&self.names[index], self.listeners[index].local_addr().unwrap());
            text += &format!("[[source]]\nname = \"{name}\"\ndevice = \"nmea\"\nlane = \"results\"\n");
            text += &format!("tcp = {{ connect = \"{address}\" }}\n");
        }
        Config::parse("site.toml", &text, []).unwrap()
    }

    /// Runs by another configuration.
    fn change(&self, config: &Config) {
        self.sources.stop_but(config);
        self.sources.start_missing(config, &self.journal, &self.clock, &CommitSignal::default()).unwrap();
    }

    fn states(&self) -> Vec<(String, u64, u64)> {
        let status = self.sources.status(self.clock.monotonic());
        status.into_iter().map(|it| (it.name, it.connects, it.frames)).collect()
    }

    /// Events that are staged in the results lane.
    fn staged(&self) -> u64 {
        self.journal.stage().staged_end(venue_schema::v1::Lane::Results).0
    }

    /// The far end of a source's line, when the source has connected.
    fn device(&self, index: usize) -> TcpStream {
        self.listeners[index].set_nonblocking(true).unwrap();
        let give_up_at = self.clock.monotonic() + PATIENCE;
        loop {
            match self.listeners[index].accept() {
                Ok((device, _)) => {
                    device.set_nonblocking(false).unwrap();
                    return device;
                }
                Err(error) if self.clock.monotonic() > give_up_at => panic!("no connection: {error}"),
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    fn look_after(&self, now: Duration) {
        self.sources.look_after(now, &|state, text| self.told.borrow_mut().push((state, text.to_owned())));
    }

    /// Waits until a source fulfils the condition.
    fn wait(&self, index: usize, what: &str, condition: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
        let give_up_at = self.clock.monotonic() + PATIENCE;
        loop {
            let now = self.clock.monotonic();
            let status = self.sources.status(now).swap_remove(index);
            if condition(&status) {
                return status;
            }
            assert!(now < give_up_at, "no {what}: {status:#?}");
            std::thread::yield_now();
        }
    }

    /// Waits until a source's thread has ended, and for its socket to be closed.
    fn wait_for_fault(&self, index: usize, mut device: TcpStream) {
        // A socket that is closed with bytes unread is reset.
        let _ = device.read(&mut [0]);
        let give_up_at = self.clock.monotonic() + PATIENCE;
        while !self.sources.running()[index].life().has_panicked() {
            assert!(self.clock.monotonic() < give_up_at, "the thread goes on");
            std::thread::yield_now();
        }
    }
}

/// A line that the decoder panics at silences its source for a moment only: status
/// says so, the centre is told, the source is started again, and its counters go on.
/// The other source hears what is said meanwhile.
#[test]
fn a_source_that_panicked_is_told_and_started_again() {
    let venue = Venue::start(&["finish-timer-a", "start-timer"]);
    let (mut finish, mut start) = (venue.device(0), venue.device(1));
    finish.write_all(SENTENCE).unwrap();
    venue.wait(0, "first line", |status| status.frames == 1);
    finish.write_all(b"unlucky\r\n").unwrap();
    venue.wait_for_fault(0, finish);

    let now = venue.clock.monotonic();
    venue.look_after(now);
    let faulted = venue.wait(0, "fault", |status| status.faults == 1);
    assert_eq!(faulted.state, "stopped by a fault");
    assert_eq!(venue.sources.dark()[0].0, "finish-timer-a");
    let text = "the source finish-timer-a stopped by a fault of the program; it is started again in 200 ms";
    assert_eq!(*venue.told.borrow(), [(GatewayState::Fault, text.to_owned())]);

    start.write_all(SENTENCE).unwrap();
    venue.wait(1, "line of the other source", |status| status.frames == 1 && status.faults == 0);
    venue.look_after(now);
    assert_eq!(venue.told.borrow().len(), 1, "a fault is told once");

    venue.look_after(now + Duration::from_millis(200));
    let mut finish = venue.device(0);
    finish.write_all(SENTENCE).unwrap();
    let again = venue.wait(0, "line after the fault", |status| status.frames == 2);
    assert_eq!((again.state.as_str(), again.connects, again.faults), ("connected", 2, 1));
    let text = "the source finish-timer-a runs again after a fault of the program";
    assert_eq!(venue.told.borrow()[1], (GatewayState::Running, text.to_owned()));
    assert!(venue.sources.dark().is_empty());
    venue.sources.stop();
}

/// Sources that are stopped stay stopped, one that had panicked included.
#[test]
fn nothing_is_started_again_after_the_stop() {
    let venue = Venue::start(&["finish-timer-a"]);
    let mut device = venue.device(0);
    device.write_all(b"unlucky\r\n").unwrap();
    venue.wait_for_fault(0, device);
    let now = venue.clock.monotonic();
    venue.look_after(now);
    venue.sources.stop();
    venue.look_after(now + Duration::from_secs(60));
    assert_eq!(venue.told.borrow().len(), 1);
    assert!(venue.sources.running()[0].life().handle.is_none());
}

/// One of three sources is taken out of the configuration, its last words still on the line: they are stored. Another
/// changes and is started anew; the third keeps its line, and stands first from now on. What was taken out comes back. What
/// each counted is not forgotten.
#[test]
fn a_change_touches_only_what_changed() {
    let venue = Venue::start(&["start-timer", "finish-timer-a", "wind"]);
    let mut devices: Vec<_> = (0..3).map(|index| venue.device(index)).collect();
    for (index, device) in devices.iter_mut().enumerate() {
        device.write_all(SENTENCE).unwrap();
        venue.wait(index, "first line", |status| status.frames == 1);
    }
    let stored = venue.staged();
    devices[0].write_all(SENTENCE).unwrap();
    let mut next = venue.config(&[2, 1]);
    next.sources[1].silence_alarm = Some(Duration::from_secs(30));
    venue.change(&next);
    assert_eq!(venue.staged(), stored + 1, "the last word of the source that is gone");
    for index in [0, 1] {
        assert_eq!(devices[index].read(&mut [0]).unwrap(), 0, "its line is left");
    }
    devices[1] = venue.device(1);
    devices[1].write_all(SENTENCE).unwrap();
    devices[2].write_all(SENTENCE).unwrap();
    venue.wait(0, "line of the untouched source", |status| status.frames == 2);
    venue.wait(1, "line of the changed source", |status| status.frames == 2);
    assert_eq!(venue.states(), [("wind".to_owned(), 1, 2), ("finish-timer-a".to_owned(), 2, 2)]);

    venue.change(&venue.config(&[0, 1, 2]));
    devices[0] = venue.device(0);
    devices[0].write_all(SENTENCE).unwrap();
    venue.wait(0, "line of the source that is back", |status| status.frames == 3);
    venue.sources.stop();
    venue.change(&next);
    let starts = venue.sources.running().iter().any(|source| source.life().handle.is_some());
    assert!(!starts, "nothing is started after the stop");
}

/// A fault is not mistaken for a device that is away.
#[test]
fn a_fault_has_its_own_word() {
    let silent = SourceSnapshot { silent: true, ..SourceSnapshot::default() };
    assert_eq!(word(&silent), "disconnected");
    assert_eq!(word(&SourceSnapshot { faulted: true, ..silent }), "stopped by a fault");
}
