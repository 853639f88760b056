//! A wind gauge on a socket, its source and its pipeline, over a journal in memory.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::{TcpListener, TcpStream},
};

use jiff::tz::TimeZone;
use venue_devices::{Device, DeviceType, Role};
use venue_journal::{JournalConfig, Limits, ReadItem, simulated::MemoryStorage};
use venue_schema::{
    GatewayId, JournalEpoch, Message as _, Sequence,
    v1::{self, Lane, event::Content},
};

use super::*;
use crate::{
    config::TransportConfig,
    source::{self, SourceHandle, SourceOptions, SourceWaker, Stamp},
};

/// A condition that does not come true within this fails the test.
const PATIENCE: Duration = Duration::from_secs(20);
/// Wind from straight ahead, 1.3 m/s.
const SENTENCE: &[u8] = b"$WIMWV,000.0,R,1.3,M,A*22\r\n";

/// One start of a gateway with one source, whose device has connected.
struct Run {
    journal: Journal<MemoryStorage>,
    clock: Arc<SystemClock>,
    counters: SharedCounters,
    source: SourceHandle,
    device: TcpStream,
}

impl Run {
    fn start(disk: &MemoryStorage) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let clock = Arc::new(SystemClock::new(true));
        let (journal, _) = Journal::open(disk.clone(), journal_config(), clock.monotonic()).unwrap();
        let (commits, counters) = (CommitSignal::default(), SharedCounters::default());
        let intake = SourceIntake::new(journal.clone(), settings(), Arc::clone(&clock), commits, Arc::clone(&counters));
        let transport = TransportConfig::TcpConnect { address: listener.local_addr().unwrap().to_string() };
        let options = SourceOptions { name: "wind".to_owned(), transport, silence_alarm: None };
        let conversation = Device::new("nmea", Role::Active).unwrap();
        let stamp: Arc<dyn Stamp> = Arc::<SystemClock>::clone(&clock);
        let source = source::start(options, SourceWaker::new().unwrap(), conversation, intake, stamp).unwrap();
        let (device, _) = listener.accept().unwrap();
        Self { journal, clock, counters, source, device }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.device.write_all(bytes).unwrap();
    }

    /// Waits until what came of the items fulfils the condition.
    fn wait(&self, what: &str, condition: impl Fn(&Counters) -> bool) {
        let give_up_at = self.clock.monotonic() + PATIENCE;
        loop {
            let counters = self.counters.lock().unwrap().clone();
            if condition(&counters) {
                return;
            }
            assert!(self.clock.monotonic() < give_up_at, "no {what}: {counters:#?}");
            std::thread::yield_now();
        }
    }

    /// The line goes away, and once that is on disk the process is killed, or the power
    /// goes with what is not.
    fn crash(self, disk: &MemoryStorage, power_goes: bool) {
        let Self { journal, clock, source, device, .. } = self;
        drop(device);
        let give_up_at = clock.monotonic() + PATIENCE;
        while journal.open_gaps().is_empty() {
            assert!(clock.monotonic() < give_up_at, "no gap is opened");
            std::thread::yield_now();
        }
        journal.commit(clock.monotonic()).unwrap();
        source.stop().unwrap();
        drop(journal);
        if power_goes {
            disk.cut_power();
            disk.restart(1);
        } else {
            disk.kill();
        }
    }

    /// Stops the source as planned and returns all that the journal has.
    fn stop(self) -> Vec<v1::Event> {
        self.source.stop().unwrap();
        self.journal.close(self.clock.monotonic()).unwrap();
        Lane::ALL.into_iter().flat_map(|lane| events(&self.journal, lane)).collect()
    }
}

fn events(journal: &Journal<MemoryStorage>, lane: Lane) -> Vec<v1::Event> {
    let (mut reader, mut from, mut events) = (journal.reader(lane), Sequence(1), Vec::new());
    while let ReadItem::Records(run) = reader.read(from, Limits { records: 100, bytes: 1 << 20 }).unwrap() {
        from = Sequence(run.last_sequence().0 + 1);
        events.extend(run.events().map(|event| v1::Event::decode(event).unwrap()));
    }
    events
}

fn settings() -> SourceSettings {
    SourceSettings {
        venue_id: "stade-1".to_owned(),
        name: "wind".to_owned(),
        device: DeviceType::find("nmea").unwrap(),
        device_id: "gauge".to_owned(),
        principal: "tcp:loopback".to_owned(),
        role: Role::Active,
        lane: Some(Lane::Results),
        labels: BTreeMap::new(),
        zone: TimeZone::UTC,
    }
}

fn journal_config() -> JournalConfig {
    JournalConfig::new(GatewayId::new("stade-1-a").unwrap(), "stade-1", JournalEpoch::from_bytes([7; 16]))
}

fn gaps(events: &[v1::Event]) -> Vec<v1::Gap> {
    let gap = |event: &v1::Event| if let Some(Content::Gap(gap)) = &event.content { Some(gap.clone()) } else { None };
    events.iter().filter_map(gap).collect()
}

fn receive_ns(event: &v1::Event) -> u64 {
    event.time.as_ref().unwrap().receive_monotonic_ns
}

/// A gauge powers up with garbage and says nothing more: a second later the garbage
/// is one event, though no further byte came and the source goes on.
#[test]
fn noise_on_a_silent_line_becomes_an_event() {
    let mut run = Run::start(&MemoryStorage::new());
    run.say(b"\x00\xfe\x00garbage\r\n");
    run.wait("noise", |counters| counters.skipped_bytes == 10);
    run.wait("summary", |counters| counters.events == 2);
    let events = run.stop();
    let [connected, noise] = &events[..] else { panic!("{events:#?}") };
    assert!(matches!(connected.content, Some(Content::DeviceStatus(_))), "{connected:#?}");
    let Some(Content::Raw(raw)) = &noise.content else { panic!("{noise:#?}") };
    assert_eq!((raw.reason(), raw.bytes), (v1::RawReason::Noise, 10));
    let after = Duration::from_nanos(receive_ns(noise) - receive_ns(connected));
    assert!(after >= Duration::from_secs(1) && after < PATIENCE, "{after:?}");
}

/// A planned stop says nothing of the device, which is as it was. The next start
/// declares the time in which nobody listened, from what the device said last on, as one
/// gap, and the first frame closes it. Garbage on the line is not what it said.
#[test]
fn a_planned_stop_is_one_gap_declared_by_the_next_start() {
    let disk = MemoryStorage::new();
    let mut run = Run::start(&disk);
    run.say(SENTENCE);
    run.wait("wind", |counters| counters.frames == 1);
    run.say(b"\x00\xfe\x00garbage\r\n");
    run.wait("noise", |counters| counters.skipped_bytes == 10);
    let before = run.stop();
    let [wind, connected, noise] = &before[..] else { panic!("{before:#?}") };
    assert!(matches!(&noise.content, Some(Content::Raw(_))), "{noise:#?}");
    assert!(matches!(&wind.content, Some(Content::Wind(_))), "{wind:#?}");
    let Some(Content::DeviceStatus(status)) = &connected.content else { panic!("{connected:#?}") };
    assert_eq!(status.state(), v1::DeviceState::Online);

    let mut run = Run::start(&disk);
    run.wait("gap to be told to status", |counters| counters.gap_since.is_some());
    run.say(SENTENCE);
    run.wait("wind", |counters| counters.frames == 1 && counters.gap_since.is_none());
    let after = run.stop();
    let gaps = gaps(&after);
    let [open, closed] = &gaps[..] else { panic!("{after:#?}") };
    assert_eq!((open.state(), closed.state()), (v1::GapState::Open, v1::GapState::Closed));
    assert_eq!(open.gap_id, closed.gap_id);
    assert_eq!(open.first_receive_monotonic_ns, Some(receive_ns(wind)));
}

/// A gauge is unplugged, and then the gateway crashes, twice. However that happens, the
/// gap that was opened is closed under its name by the first frame that is heard again,
/// and covers all of the time.
#[test]
fn a_gap_that_is_open_at_a_crash_is_closed_under_its_name() {
    for power_goes in [false, true] {
        let disk = MemoryStorage::new();
        let mut run = Run::start(&disk);
        run.say(SENTENCE);
        run.wait("wind", |counters| counters.frames == 1);
        run.crash(&disk, power_goes);
        Run::start(&disk).crash(&disk, power_goes);

        let mut run = Run::start(&disk);
        run.say(SENTENCE);
        run.wait("wind", |counters| counters.frames == 1);
        let all = run.stop();
        let winds: Vec<_> =
            all.iter().filter(|it| matches!(it.content, Some(Content::Wind(_)))).map(receive_ns).collect();
        let gaps = gaps(&all);
        let ([open, closed], [before, after]) = (&gaps[..], &winds[..]) else { panic!("{all:#?}") };
        assert_eq!((open.state(), closed.state()), (v1::GapState::Open, v1::GapState::Closed));
        assert_eq!(open.gap_id, closed.gap_id);
        for gap in [open, closed] {
            assert_eq!((gap.cause(), gap.first_receive_monotonic_ns), (v1::GapCause::DeviceDark, Some(*before)));
        }
        assert_eq!(closed.last_receive_monotonic_ns, Some(*after));
    }
}
