//! The ALGE Timy as a whole: streams of bytes become items, and a device and a
//! gateway that talk over a line which fails lose nothing and double nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use venue_devices::alge_timy::{
    Channel, Checks, Code, Emulator, Flag, LineBuffer, LineEnd, Message, NumberSource, PrintStyle, PrintedTime,
    PrintedValue, Record, ResultCode, StartNumber, Timy, Title,
};
use venue_devices::{
    CivilDate, Content, Conversation as _, CorrectionKind, Day, Identity, Item, Monotonic, Reading, ResultKind, Role,
    TimeValue,
};

/// What a sink was handed, in words that can be kept and compared. Skipped runs
/// are joined, as their pieces may be of any size.
fn read(pieces: &[&[u8]], checks: Checks) -> Vec<String> {
    let mut timy = Timy::with_checks(Role::ListenOnly, checks);
    let mut items = Vec::new();
    let mut skipped: Option<(u64, Vec<u8>)> = None;
    let mut sink = |item: Item<'_>| {
        if let Item::Skipped { offset, bytes } = item {
            match &mut skipped {
                Some((start, run)) if *start + run.len() as u64 == offset => run.extend_from_slice(bytes),
                _ => items.extend(skipped.replace((offset, bytes.to_vec())).map(|run| format!("{run:?}"))),
            }
        } else {
            items.extend(skipped.take().map(|run| format!("{run:?}")));
            items.push(format!("{item:?}"));
        }
    };
    timy.handle_connected(Duration::ZERO, &mut sink);
    pieces.iter().for_each(|piece| timy.handle_bytes(Duration::ZERO, piece, &mut sink));
    timy.handle_disconnected(Duration::ZERO, &mut sink);
    items.extend(skipped.map(|run| format!("{run:?}")));
    items
}

/// Calls `check` with the only reading of a line.
fn with_reading(line: &str, check: impl FnOnce(&Reading<'_>)) {
    let mut check = Some(check);
    let mut timy = Timy::new(Role::ListenOnly);
    timy.handle_bytes(Duration::ZERO, format!("{line}\r").as_bytes(), &mut |item| {
        if let Item::Reading(reading) = item {
            assert_eq!(reading.evidence, line.as_bytes());
            check.take().expect("one reading")(&reading);
        }
    });
    assert!(check.is_none(), "no reading of {line}");
}

fn content_key(identity: &Identity) -> (&str, Day, Option<&str>) {
    match identity {
        Identity::Content { epoch: 0, key, day, stands_for } => (key, *day, stands_for.as_deref()),
        other => panic!("no content key: {other:?}"),
    }
}

/// An impulse says when, where, for whom and how it came about.
#[test]
fn an_impulse_is_read_with_all_that_its_line_says() {
    with_reading("?0412bC3M 23:59:59.98   07", |reading| {
        let Content::Impulse(impulse) = &reading.content else { panic!("{reading:?}") };
        assert_eq!((impulse.channel.to_string(), impulse.start_number.to_string()), ("C3".into(), "412".into()));
        assert_eq!((impulse.group.to_string(), impulse.course), ("07".into(), "blue"));
        assert!(impulse.manual && impulse.no_valid_start_number && !impulse.memory && impulse.flag.is_empty());
        let ns = 86_399_980_000_000;
        assert_eq!((reading.time.value, reading.time.resolution_ns), (TimeValue::TimeOfDay(ns), 10_000_000));
        assert_eq!(reading.time.text.to_string(), "23:59:59.98");
        let expected = ("C3|23:59:59.98|07|blue", Day::OfTimeOfDay(ns), None);
        assert_eq!(content_key(&reading.identity), expected);
    });
    with_reading("t0004 C1  14:20:09.1188 00", |reading| {
        assert!(matches!(&reading.content, Content::Impulse(impulse) if impulse.flag.bytes() == b"t"));
    });
    with_reading("m0004 C1  14:20:09.1188 00", |reading| {
        assert!(matches!(&reading.content, Content::Impulse(impulse) if impulse.memory));
    });
}

/// A correction names what it corrects, and is that thing's place in a repeat.
#[test]
fn a_correction_names_what_it_corrects() {
    for (flag, kind) in [
        ("c", CorrectionKind::Cleared),
        ("b", CorrectionKind::Cleared),
        ("d", CorrectionKind::Disqualified),
        ("i", CorrectionKind::Manual),
        ("n", CorrectionKind::Renumbered),
        ("p", CorrectionKind::Penalty),
    ] {
        with_reading(&format!("{flag}0007 C1  07:59:30.0071 00"), |reading| {
            let Content::Correction(correction) = &reading.content else { panic!("{reading:?}") };
            assert_eq!((correction.kind, correction.target_key.as_str()), (kind, "C1|07:59:30.00|00"));
            assert_eq!((correction.flag.to_string(), correction.start_number.to_string()), (flag.into(), "7".into()));
            let (key, day, stands_for) = content_key(&reading.identity);
            assert_eq!(key, format!("{flag}|0007|C1|07:59:30.00|00"));
            assert_eq!(day, Day::OfTimeOfDay(28_770_007_100_000));
            assert_eq!(stands_for, Some("C1|07:59:30.00|00"));
        });
    }
    with_reading("d0007 RT  00:01:12.40   00", |reading| {
        let Content::Correction(correction) = &reading.content else { panic!("{reading:?}") };
        assert_eq!((correction.result_kind, correction.duration_ns), (ResultKind::RunTime, Some(72_400_000_000)));
        assert_eq!(correction.target_key, "RT|0007|00:01:12.40|00");
        assert_eq!(content_key(&reading.identity).1, Day::OfReceipt);
    });
}

/// Results of every kind carry their value in the unit of the contract.
#[test]
fn results_are_durations_and_speeds() {
    for (line, kind, duration_ns) in [
        (" 0007 RT  00:01:12.40   00", ResultKind::RunTime, 72_400_000_000),
        (" 0007 TT  00:02:24.9    00", ResultKind::TotalTime, 144_900_000_000),
        (" 0007 MT  00:00:41.08   00", ResultKind::MemoryTime, 41_080_000_000),
        (" 0007 SQ  00:00:31,117  03", ResultKind::Lap, 31_117_000_000),
        (" 0022rDTR 00:00:02.17   11", ResultKind::Difference, 2_170_000_000),
        (" 0022bDTT 00:00:02.1788 11", ResultKind::TotalDifference, 2_178_800_000),
        (" 0007 RT  00:00:41.08   00 0003", ResultKind::Classification, 41_080_000_000),
    ] {
        with_reading(line, |reading| {
            let Content::LaneResult(result) = &reading.content else { panic!("{reading:?}") };
            assert_eq!((result.kind, result.duration_ns), (kind, Some(duration_ns)), "{line}");
            assert_eq!(result.rank, line.ends_with(" 0003").then_some(3));
            assert_eq!(reading.identity == Identity::None, result.rank.is_some(), "a list is printed anew at will");
        });
    }
    for (line, speed_m_per_s) in [
        (" 0007 kmh 090.00        00", 25.0),
        (" 0007 m/s 12.5          00", 12.5),
        (" 0007 mph 100           00", 44.704),
    ] {
        with_reading(line, |reading| {
            let Content::LaneResult(result) = &reading.content else { panic!("{reading:?}") };
            let speed = result.speed_m_per_s.expect("a speed");
            assert!((speed - speed_m_per_s).abs() < 1e-12, "{line}: {speed}");
        });
    }
}

/// After midnight a run time belongs to the day of its own finish.
#[test]
fn a_run_time_is_of_the_day_of_its_finish() {
    let mut timy = Timy::new(Role::ListenOnly);
    let mut days = Vec::new();
    let race = b" 0007 C0  23:59:10.0000 00\r 0007 C1  00:00:09.5000 00\r 0008 C0  00:00:30.0000 00\r\
                 \x200007 RT  00:00:59.50   00\r";
    timy.handle_bytes(Duration::ZERO, race, &mut |item| match item {
        Item::Reading(reading) => days.push(content_key(&reading.identity).1),
        Item::Frame { .. } => (),
        other => panic!("midnight is no repeat: {other:?}"),
    });
    assert_eq!(days.last(), Some(&Day::OfTimeOfDay(9_500_000_000)));
}

/// A stream with a line of every kind, noise and damage.
fn mixed_stream() -> Vec<u8> {
    let mut stream = b"\0\0\0n0007\r 0007 C0  07:48:11.4200 00\r\n\r\n".to_vec();
    stream.extend_from_slice(b" 0007 C1  07:48:\x0752.5011 00\r 0007 RT  00:00:41.08   00\n00:01:12.4\r");
    stream.extend_from_slice(b"                                \rCLASSEMENT:\rALL\rRUN TIME\r");
    stream.extend_from_slice(b" 0007 RT  00:00:41.08   00 0001\r  ALGE TIMING\r   TdC  8001\r  DEU V 20.11\r");
    stream.extend_from_slice(b"26-11-28  17:04\rPULSE HOLD:][\rZ\x84hler\r");
    stream.extend_from_slice(&[b'x'; 150]);
    stream.extend_from_slice(b"\rs0008 C0  07:50:00.0000 00\r 0007 C1  25:61:00.0000 00\r\0\0 0008 C0  07:5");
    stream
}

/// However it is cut, a stream gives the same items.
#[test]
fn any_split_gives_the_same_items() {
    let stream = mixed_stream();
    let whole = read(&[&stream], Checks::Detected);
    for (head, count) in [("Frame", 16), ("Reading", 13), ("Unknown", 2), ("Bad", 4), ("(", 3)] {
        let found = whole.iter().filter(|item| item.starts_with(head)).count();
        assert_eq!(found, count, "{head} in {whole:#?}");
    }
    for size in [1, 2, 3, 7, 26, 61, 62, 63] {
        let pieces: Vec<&[u8]> = stream.chunks(size).collect();
        assert_eq!(read(&pieces, Checks::Detected), whole, "pieces of {size}");
    }
}

proptest! {
    /// Garbage panics nothing, splits or not, and every item names where it stood.
    #[test]
    fn garbage_is_read_the_same_in_any_split(
        stream in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"\r\n 0:.CnRT"[..])], 0..400),
        size in 1_usize..70,
    ) {
        let pieces: Vec<&[u8]> = stream.chunks(size).collect();
        prop_assert_eq!(read(&pieces, Checks::Detected), read(&[&stream], Checks::Detected));
    }

    /// In checksum mode a flipped bit costs its own line and, if it made or broke
    /// a terminator, the one after it; every other reading stays.
    #[test]
    fn a_flipped_bit_costs_its_line_alone(place in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let style = PrintStyle { checksum: true, end: LineEnd::Cr };
        let lines: Vec<LineBuffer> = (0..9_u16).map(|n| printed(impulse(n + 1, 0, u64::from(n) * 10_000), style)).collect();
        let mut stream: Vec<u8> = lines.concat();
        let index = place.index(stream.len());
        let in_terminator = stream[index] == b'\r';
        stream[index] ^= 1 << bit;
        let items = read(&[&stream], Checks::Required);
        let readings: Vec<&String> = items.iter().filter(|item| item.starts_with("Reading(Reading")).collect();
        let hit = index / lines[0].len();
        for (number, line) in lines.iter().enumerate() {
            let text = format!("evidence: {:?}", &line[..line.len() - 1]);
            let kept = readings.iter().any(|reading| reading.contains(&text));
            let neighbour = in_terminator && number == hit + 1;
            prop_assert!(kept || number == hit || neighbour, "line {} was lost, bit in line {}", number, hit);
        }
        prop_assert!(readings.len() <= lines.len() && readings.len() >= lines.len() - 2);
        prop_assert!(items.iter().any(|item| item.starts_with("Bad")) || in_terminator);
    }
}

/// The conversation holds one line and 64 start numbers, whatever comes.
#[test]
fn memory_is_bounded_by_the_type() {
    assert!(size_of::<Timy>() < 4096, "{}", size_of::<Timy>());
}

fn printed(record: Record, style: PrintStyle) -> LineBuffer {
    let mut out = LineBuffer::new();
    Message::Record(record).emit(style, &mut out);
    out
}

/// An impulse at so many ms since midnight, which may be past the next one.
fn impulse(start_number: u16, channel: u8, ms: u64) -> Record {
    let code = Code::Impulse(Channel::new(channel).expect("a channel"));
    Record::impulse(start_number, code, ms % 86_400_000 * 1_000_000).expect("within a day")
}

// ---- device and gateway, over a line that fails -----------------------------

/// A line of 27 characters at 9600 baud.
const LINE_TIME: Duration = Duration::from_millis(28);

/// What the pipeline keeps: which occurrence of which key is already stored.
#[derive(Default)]
struct Store {
    live: BTreeMap<String, u32>,
    replay: Option<BTreeMap<String, u32>>,
    events: Vec<(String, u32)>,
    replays: Vec<bool>,
}

impl Store {
    fn take(&mut self, item: &Item<'_>) {
        match item {
            Item::ReplayStarted => {
                assert!(self.replay.replace(BTreeMap::new()).is_none(), "a repeat within a repeat");
            }
            Item::ReplayEnded { complete } => {
                assert!(self.replay.take().is_some(), "an end without a beginning");
                self.replays.push(*complete);
            }
            Item::Reading(Reading { identity: Identity::Content { key, stands_for, .. }, .. }) => {
                if let (Some(target), true) = (stands_for, self.replay.is_some()) {
                    self.count(target);
                }
                if let Some(occurrence) = self.count(key) {
                    self.events.push((key.to_string(), occurrence));
                }
            }
            _ => (),
        }
    }

    /// Counts a key, and returns its occurrence if it is a new one.
    fn count(&mut self, key: &str) -> Option<u32> {
        let stored = self.live.entry(key.to_owned()).or_default();
        let occurrence = match &mut self.replay {
            None => *stored + 1,
            Some(counts) => {
                let count = counts.entry(key.to_owned()).or_default();
                *count += 1;
                *count
            }
        };
        let new = occurrence > *stored;
        *stored = occurrence.max(*stored);
        new.then_some(occurrence)
    }
}

/// A device, a gateway, and perhaps a twin that only listens, on one virtual clock.
struct Pair {
    now: Monotonic,
    device: Box<Emulator<4096>>,
    gateway: Timy,
    store: Store,
    twin: Option<(Timy, Store)>,
    up: bool,
    /// Commands on their way to the device, and when they arrive.
    commands: Vec<(Monotonic, Vec<u8>)>,
    sent: Vec<Monotonic>,
    /// The line that is being printed: when it is whole, and its bytes.
    printing: Option<(Monotonic, LineBuffer)>,
    /// Flips a bit of the next line that is printed.
    damage: bool,
    deaf: bool,
    device_day_ms: u64,
}

impl Pair {
    fn new(role: Role) -> Self {
        let clock = (CivilDate::new(2026, 11, 28).expect("a date"), 1024);
        let device = Box::new(Emulator::new(PrintStyle::default(), clock));
        Self {
            now: Duration::from_secs(1),
            device,
            gateway: Timy::new(role),
            store: Store::default(),
            twin: None,
            up: false,
            commands: Vec::new(),
            sent: Vec::new(),
            printing: None,
            damage: false,
            deaf: false,
            device_day_ms: 36_000_000,
        }
    }

    fn connect(&mut self) {
        self.up = true;
        let (now, store) = (self.now, &mut self.store);
        self.gateway.handle_connected(now, &mut |item| store.take(&item));
        if let Some((twin, store)) = &mut self.twin {
            twin.handle_connected(now, &mut |item| store.take(&item));
        }
    }

    /// Cuts the line, in the middle of what is being printed.
    fn cut(&mut self) {
        if let Some((_, line)) = self.printing.take() {
            self.deliver(&line[..line.len() / 2]);
        }
        self.up = false;
        self.commands.clear();
        let (now, store) = (self.now, &mut self.store);
        self.gateway.handle_disconnected(now, &mut |item| store.take(&item));
        if let Some((twin, store)) = &mut self.twin {
            twin.handle_disconnected(now, &mut |item| store.take(&item));
        }
    }

    fn deliver(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(9).filter(|_| self.up) {
            let store = &mut self.store;
            self.gateway.handle_bytes(self.now, piece, &mut |item| store.take(&item));
            if let Some((twin, store)) = &mut self.twin {
                twin.handle_bytes(self.now, piece, &mut |item| store.take(&item));
            }
        }
    }

    /// Time of day of the device's clock, ms since midnight.
    fn device_ms(&self) -> u64 {
        self.device_day_ms + self.now.as_millis() as u64
    }

    fn trigger(&mut self, start_number: u16, channel: u8) {
        let record = impulse(start_number, channel, self.device_ms());
        assert!(self.device.record(record), "the memory has room");
    }

    /// Lets time pass, from one thing that happens to the next.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.start_printing();
            let wakes = self.up.then(|| self.gateway.poll_timeout()).flatten().filter(|at| *at > self.now);
            let twin_wakes = self.twin.as_ref().and_then(|(twin, _)| twin.poll_timeout()).filter(|at| *at > self.now);
            let printed = self.printing.as_ref().map(|(at, _)| *at);
            let heard = self.commands.first().map(|(at, _)| *at);
            let next = [wakes, twin_wakes, printed, heard].into_iter().flatten().min();
            self.now = next.map_or(end, |at| at.min(end)).max(self.now);
            self.happen();
            if self.now >= end {
                return;
            }
        }
    }

    fn start_printing(&mut self) {
        let mut line = LineBuffer::new();
        if self.printing.is_none() && self.device.poll_line(&mut line) {
            if std::mem::take(&mut self.damage) {
                line[12] ^= 0x08; // a colon becomes a two
            }
            self.printing = Some((self.now + LINE_TIME, line));
        }
    }

    fn happen(&mut self) {
        let now = self.now;
        if self.printing.as_ref().is_some_and(|(at, _)| *at <= now) {
            let (_, line) = self.printing.take().expect("it was there");
            self.deliver(&line);
        }
        while self.commands.first().is_some_and(|(at, _)| *at <= now) {
            let (_, command) = self.commands.remove(0);
            self.device.handle_bytes(if self.deaf { b"" } else { &command });
        }
        if let Some((twin, store)) = &mut self.twin {
            twin.handle_timeout(now, &mut |item| store.take(&item));
            assert_eq!(twin.poll_transmit(now, &mut [0; 256]), 0, "a twin never sends");
        }
        if self.up {
            let store = &mut self.store;
            self.gateway.handle_timeout(now, &mut |item| store.take(&item));
            let mut buffer = [0; 256];
            let count = self.gateway.poll_transmit(now, &mut buffer);
            if count > 0 {
                self.sent.push(now);
                self.commands.push((now + Duration::from_millis(35), buffer[..count].to_vec()));
            }
        }
    }

    /// Asserts that of everything in the memory one event is stored, and of no
    /// impulse a second.
    fn assert_stored_once(&self, store: &Store) {
        let stored: Vec<&str> = store.events.iter().map(|(key, _)| key.as_str()).collect();
        for record in self.device.memory() {
            let impulse = key_of(record);
            let key = match record.flag.correction() {
                Some(_) => format!("{}|{:04}|{impulse}", record.flag.text(), record.start_number),
                None => impulse,
            };
            assert!(stored.contains(&key.as_str()), "{key} is lost; stored: {stored:#?}");
        }
        let doubled: Vec<_> = store.events.iter().filter(|(_, occurrence)| *occurrence > 1).collect();
        assert!(doubled.is_empty(), "doubled: {doubled:?}");
    }
}

/// The key of a record's impulse, made anew from its parts.
fn key_of(record: &Record) -> String {
    let PrintedValue::Time(time) = record.value else { panic!("no time: {record:?}") };
    format!("{}|{}|00", record.code.name(), time.cut_to(2))
}

const SECOND: Duration = Duration::from_secs(1);

/// The line is away while two competitors finish, one is renumbered and an old
/// start is cleared; the memory brings all of it, and none of it twice.
#[test]
fn what_happened_while_the_line_was_away_is_fetched() {
    let mut pair = Pair::new(Role::Active);
    pair.connect();
    pair.run(SECOND);
    // What comes before the memory is asked for counts as repeated, and that is not complete.
    assert_eq!(pair.store.replays, [false, true], "an empty memory has an end too");
    pair.trigger(7, 0);
    pair.run(SECOND * 30);
    pair.cut();
    for (start_number, channel) in [(7, 1), (8, 0), (8, 1)] {
        pair.run(SECOND * 10);
        pair.trigger(start_number, channel);
    }
    assert!(pair.device.correct(0, Flag::Cleared, 7));
    assert!(pair.device.correct(3, Flag::Renumbered, 9));
    pair.run(SECOND * 10);
    pair.connect();
    pair.run(SECOND);
    assert_eq!(pair.store.replays, [false, true, false, true]);
    pair.assert_stored_once(&pair.store);
    let keys: Vec<&str> = pair.store.events.iter().map(|(key, _)| &key[..7]).collect();
    assert_eq!(keys, ["C0|10:0", "c|0007|", "C1|10:0", "C0|10:0", "n|0009|"]);
}

/// A line cut within a repeat makes it incomplete. What the device still prints of
/// it is recognised as old, and the memory is asked for again.
#[test]
fn a_repeat_that_was_cut_is_asked_for_again() {
    let mut pair = Pair::new(Role::Active);
    for start_number in 1..=80 {
        pair.trigger(start_number, 0);
        pair.run(SECOND);
    }
    pair.connect();
    pair.run(SECOND);
    pair.cut();
    pair.run(SECOND / 10);
    pair.connect();
    pair.run(SECOND * 20);
    assert_eq!(pair.store.replays.first(), Some(&false));
    assert_eq!(pair.store.replays.last(), Some(&true));
    pair.assert_stored_once(&pair.store);
}

/// A device that does not answer is asked at growing distances and never left
/// alone; a listener asks nothing.
#[test]
fn a_silent_device_is_asked_again_with_back_off() {
    let mut pair = Pair::new(Role::Active);
    pair.deaf = true;
    pair.connect();
    pair.run(SECOND * 300);
    let distances: Vec<u64> = pair.sent.windows(2).map(|two| (two[1] - two[0]).as_secs()).collect();
    assert_eq!(distances, [10, 15, 25, 45, 65, 65, 65]);
    assert!(pair.store.replays.iter().all(|complete| !complete));
    pair.deaf = false;
    pair.run(SECOND * 60);
    assert_eq!(pair.store.replays.last(), Some(&true), "it woke up");

    let mut listener = Pair::new(Role::ListenOnly);
    listener.connect();
    listener.run(SECOND * 300);
    assert!(listener.sent.is_empty() && listener.gateway.poll_timeout().is_none());
}

/// A live line that came damaged is fetched from the memory without being asked
/// for; a repeat with a damaged line is repeated.
#[test]
fn damage_heals_by_itself() {
    let mut pair = Pair::new(Role::Active);
    pair.connect();
    pair.run(SECOND);
    for start_number in 1..=3 {
        pair.damage = start_number == 2;
        pair.trigger(start_number, 0);
        pair.run(SECOND * 10);
    }
    assert_eq!(pair.store.events.len(), 2);
    pair.run(SECOND * 60);
    pair.assert_stored_once(&pair.store);
    assert_eq!(pair.store.replays, [false, true, true]);

    pair.gateway.request_replay(pair.now);
    pair.run(SECOND / 4);
    pair.damage = true;
    pair.run(SECOND * 10);
    assert_eq!(pair.store.replays, [false, true, true, false, true]);
}

/// A twin hears the repeat that the active gateway asked for, knows it by its
/// going back in time, and stores the same events.
#[test]
fn a_listening_twin_doubles_nothing() {
    let mut pair = Pair::new(Role::Active);
    pair.twin = Some((Timy::new(Role::ListenOnly), Store::default()));
    pair.connect();
    for start_number in 1..=5 {
        pair.trigger(start_number, 0);
        pair.run(SECOND * 4);
    }
    pair.gateway.request_replay(pair.now);
    pair.run(SECOND * 2);
    pair.trigger(6, 0);
    pair.run(SECOND * 2);
    let (_, twin) = pair.twin.as_ref().expect("it is there");
    assert_eq!(twin.replays, [true, true], "one at the beginning, one on request");
    pair.assert_stored_once(twin);
    assert_eq!(twin.events, pair.store.events);
}

/// The line cuts a repeat apart, behind impulses that nobody had heard before. Another repeat begins with corrected records, and
/// its first impulse is one of those: a twin knows it for an older one.
#[test]
fn a_listening_twin_remembers_what_it_heard_of_a_repeat_that_was_cut() {
    let mut pair = Pair::new(Role::Active);
    pair.twin = Some((Timy::new(Role::ListenOnly), Store::default()));
    pair.connect();
    pair.trigger(1, 0);
    pair.run(SECOND);
    pair.cut();
    for start_number in 2..=4 {
        pair.trigger(start_number, 0);
        pair.run(SECOND);
    }
    pair.connect();
    while pair.twin.as_ref().is_some_and(|(_, twin)| twin.events.len() < 3) {
        pair.run(Duration::from_millis(1));
    }
    pair.cut();
    pair.device.correct(0, Flag::Renumbered, 11);
    pair.device.correct(1, Flag::Renumbered, 12);
    pair.run(SECOND);
    pair.connect();
    pair.run(SECOND * 10);
    let (_, twin) = pair.twin.as_ref().expect("it is there");
    let impulses: Vec<_> = twin.events.iter().filter(|(key, _)| key.starts_with('C')).collect();
    assert!(impulses.iter().all(|(_, occurrence)| *occurrence == 1), "doubled at the twin: {impulses:?}");
    assert_eq!(impulses.len(), 4, "{impulses:?}");
}

/// A list printed while the memory is wanted ends with a trailer of its own, which
/// is not the end of the repeat.
#[test]
fn the_trailer_of_a_list_ends_no_repeat() {
    let mut pair = Pair::new(Role::Active);
    for start_number in 1..=3 {
        pair.trigger(start_number, 1);
        pair.run(SECOND);
    }
    pair.connect();
    pair.run(Duration::from_millis(205));
    assert_eq!(pair.sent.len(), 1);
    let rank = Record { rank: Some(1), code: Code::Result(ResultCode::RunTime), ..impulse(3, 1, 59_760) };
    let mut line = LineBuffer::new();
    for message in [Message::Title(Title::Classement), Message::Record(rank)] {
        message.emit(PrintStyle::default(), &mut line);
        pair.deliver(&line);
    }
    pair.deliver(b"  ALGE TIMING\r   TdC  8001\r  DEU V 20.11\r26-11-28  17:04\r");
    assert!(pair.store.replays.is_empty());
    pair.run(SECOND * 10);
    assert_eq!(pair.store.replays, [false, true]);
    pair.assert_stored_once(&pair.store);
}

/// The device obeys: checksum mode, precision, running time, erasing.
#[test]
fn the_emulated_device_obeys() {
    let mut pair = Pair::new(Role::Active);
    pair.device.handle_bytes(b"CHK1\rPRE4\rEMU1\rNOISE\rDTF00.35\r");
    let time = PrintedTime::cut(59_760_900_000, 4).expect("below 100 hours");
    let run_time =
        Record { code: Code::Result(ResultCode::RunTime), value: PrintedValue::Time(time), ..impulse(7, 1, 0) };
    pair.device.record(run_time);
    pair.device.choose(StartNumber { source: NumberSource::Keyboard, number: 42, course: Default::default() });
    pair.device.show_running_time(12_300_000_000);
    pair.device.handle_bytes(b"TIMYINIT\rNSF?\rPROG?\rCLR\rRSM\r");
    pair.device.record(run_time);
    let mut printed = Vec::new();
    let mut line = LineBuffer::new();
    while pair.device.poll_line(&mut line) {
        printed.push(String::from_utf8(line.to_vec()).expect("ASCII"));
    }
    // Settings hold from the moment they come: what waited is printed without digits.
    assert_eq!(printed[0], " 0007 RT  00:00:59.7609 00\r");
    assert_eq!(printed[1..3], ["n0042\r", "00:00:12.3\r"]);
    assert_eq!(printed[3..7], ["NSF 22A4\r", "HW_SN 2210417\r", "PROG: Backup\r", "CLR\r"]);
    assert_eq!(printed[7..10], ["  ALGE-TIMING\r", "  TIMY V 2210\r", "26-11-28  17:04\r"]);
    assert_eq!(printed[10..], [" 0007 RT  00:00:59.76   00\r"]);
}

/// What may happen at a venue.
#[derive(Debug, Clone)]
enum Act {
    Trigger(u16, u8),
    Correct(prop::sample::Index, bool),
    Cut,
    Connect,
    Request,
    Damage,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0_u16..40, 0_u8..3).prop_map(|(start_number, channel)| Act::Trigger(start_number, channel)),
        2 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(index, cleared)| Act::Correct(index, cleared)),
        1 => Just(Act::Cut),
        2 => Just(Act::Connect),
        1 => Just(Act::Request),
        1 => Just(Act::Damage),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Through cuts, damage, corrections and repeats at any moment, across
    /// midnight, everything in the memory is stored once in the end; and a twin that
    /// only listens stores no impulse twice (a correction it may, where a repeat
    /// begins with a corrected record).
    #[test]
    fn nothing_is_lost_and_nothing_doubled(
        start_ms in prop::sample::select(vec![36_000_000_u64, 86_370_000]),
        acts in prop::collection::vec((any_act(), 11_u64..4000), 1..80),
    ) {
        let mut pair = Pair::new(Role::Active);
        pair.device_day_ms = start_ms;
        pair.twin = Some((Timy::new(Role::ListenOnly), Store::default()));
        let (mut renumbered, mut already_cleared) = (0, BTreeSet::new());
        for (act, pause_ms) in acts {
            match act {
                Act::Trigger(start_number, channel) => pair.trigger(start_number, channel),
                Act::Correct(index, cleared) if !pair.device.memory().is_empty() => {
                    let index = index.index(pair.device.memory().len());
                    let start_number = pair.device.memory()[index].start_number;
                    if cleared && already_cleared.insert(index) {
                        pair.device.correct(index, Flag::Cleared, start_number);
                    } else if !already_cleared.contains(&index) {
                        renumbered += 1; // each correction is another one
                        pair.device.correct(index, Flag::Renumbered, 1000 + renumbered);
                    }
                }
                Act::Cut if pair.up => pair.cut(),
                Act::Connect if !pair.up => pair.connect(),
                Act::Request => pair.gateway.request_replay(pair.now),
                Act::Damage => pair.damage = true,
                _ => (),
            }
            pair.run(Duration::from_millis(pause_ms));
        }
        if !pair.up {
            pair.connect();
        }
        pair.damage = false;
        pair.run(SECOND * 600);
        prop_assert_eq!(pair.store.replays.last(), Some(&true));
        pair.assert_stored_once(&pair.store);
        let (_, twin) = pair.twin.as_ref().expect("it is there");
        let doubled: Vec<_> = twin.events.iter().filter(|(key, k)| key.starts_with('C') && *k > 1).collect();
        prop_assert!(doubled.is_empty(), "doubled at the twin: {doubled:?}");
    }
}
