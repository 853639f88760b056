//! The topics of a broker over a journal in memory, told what the broker does.

use venue_journal::{JournalConfig, Limits, ReadItem, simulated::MemoryStorage};
use venue_schema::{
    GatewayId, JournalEpoch, Message as _, Sequence,
    v1::{self, event::Content},
};

use super::*;

/// A condition that does not come true within this fails the test.
const PATIENCE: Duration = Duration::from_secs(20);
const RAIN: &str = "[[mqtt.topic]]\nname = \"rain\"\nfilter = \"venue/+/rain\"\n\
    mapping = { device_id = \"rain-{1}\", measurement = [{ pointer = \"/rain\", name = \"rain\" }] }\n";

fn config(mqtt: &str, topics: &str) -> Config {
    let text = format!(
        "uplink = []\n[gateway]\nid = \"stade-1-a\"\nvenue = \"stade-1\"\ntimezone = \"UTC\"\n[mqtt]\n{mqtt}\n{topics}"
    );
    Config::parse("site.toml", &text, []).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn journal(change: impl FnOnce(&mut JournalConfig)) -> Journal<MemoryStorage> {
    let epoch = JournalEpoch::from_bytes([7; 16]);
    let mut config = JournalConfig::new(GatewayId::new("stade-1-a").unwrap(), "stade-1", epoch);
    change(&mut config);
    Journal::open(MemoryStorage::new(), config, Duration::ZERO).unwrap().0
}

/// The telemetry's topics of a gateway, as the session's thread has them.
struct Bench {
    journal: Journal<MemoryStorage>,
    intake: LaneIntake<MemoryStorage>,
}

impl Bench {
    fn new(topics: &str) -> Self {
        Self::with(topics, |_| {})
    }

    fn with(topics: &str, change: impl FnOnce(&mut JournalConfig)) -> Self {
        let config = config("broker = \"mqtt://127.0.0.1\"", topics);
        let (journal, clock) = (journal(change), Arc::new(SystemClock::new(true)));
        let arrival = clock.arrival();
        let topics = config.mqtt.as_ref().unwrap().topics.iter();
        let topics = topics.map(|topic| Topic::new(&config, topic, &journal, &arrival)).collect();
        let (peer, commits, strays) = ("mqtt://127.0.0.1".to_owned(), CommitSignal::default(), Strays::default());
        Self { intake: LaneIntake { peer, topics, clock, commits, session_present: false, strays, arrival }, journal }
    }

    fn status(&mut self) -> TopicState {
        self.intake.flush();
        lock(&self.intake.topics[0].state).clone()
    }

    /// Values of all measurements so far.
    fn values(&self) -> Vec<i64> {
        let value = |event: v1::Event| match event.content? {
            Content::Measurement(it) => match it.values[0].value {
                Some(v1::value::Value::Integer(value)) => Some(value),
                ref other => panic!("{other:?}"),
            },
            _ => None,
        };
        self.events().into_iter().filter_map(value).collect()
    }

    /// States of all gaps so far.
    fn gaps(&self) -> Vec<v1::GapState> {
        let contents = self.events().into_iter().filter_map(|event| event.content);
        contents.filter_map(|it| if let Content::Gap(gap) = it { Some(gap.state()) } else { None }).collect()
    }

    /// Takes a message in as often as it takes, each time with the stage empty: how often.
    fn take(&mut self, message: &Message) -> usize {
        let is_refused = |bench: &mut Self| {
            bench.events();
            bench.intake.message(message, false) == Taken::Refused
        };
        (1..100).find(|_| !is_refused(self)).expect("it is taken in at last")
    }

    /// All events so far.
    fn events(&self) -> Vec<v1::Event> {
        self.journal.commit(Duration::ZERO).unwrap();
        let mut events = Vec::new();
        for lane in Lane::ALL {
            let (mut reader, mut from) = (self.journal.reader(lane), Sequence(1));
            while let ReadItem::Records(run) = reader.read(from, Limits { records: 100, bytes: 1 << 20 }).unwrap() {
                from = run.last_sequence().next();
                events.extend(run.events().map(|event| v1::Event::decode(event).unwrap()));
            }
        }
        events
    }
}

fn message(payload: impl Into<bytes::Bytes>) -> Message {
    Message { packet_id: 1, retained: false, topic: "venue/a/rain".to_owned(), payload: payload.into() }
}

/// The broker's authority file is half-written: the gateway starts, says what is wrong with which file, and goes on
/// without that broker until it is mended.
#[test]
fn a_file_that_is_of_no_use_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, "-----BEGIN CERTIFI").unwrap();
    let mqtt = format!("broker = \"mqtts://127.0.0.1:1\"\ntls = {{ ca = \"{}\" }}", ca.display());
    let (config, clock) = (config(&mqtt, RAIN), Arc::new(SystemClock::new(true)));
    let (_durable, watermarks) = watch::channel(Watermarks::default());
    let (sessions, commits) = (Sessions::default(), CommitSignal::default());
    sessions.start_missing(&config, &journal(|_| {}), &clock, &commits, &watermarks).unwrap();
    let last_error = || sessions.status(clock.monotonic())[0].last_error.clone();
    let give_up_at = clock.monotonic() + PATIENCE;
    let told = loop {
        if let Some(told) = last_error() {
            break told;
        }
        assert!(clock.monotonic() < give_up_at, "nothing is told");
        std::thread::yield_now();
    };
    assert!(told.starts_with("no connection to the broker: ") && told.contains("ca.pem"), "{told}");
    sessions.stop();
}

/// Each attempt finds the same fault: it is told once, and another one again.
#[test]
fn a_fault_is_told_once() {
    let mut bench = Bench::new(RAIN);
    for reason in ["denied", "denied", "half a file"] {
        let error = LinkError::File(reason.to_owned());
        bench.intake.event(&Event::Ended { error: &error, stood: false });
    }
    let told = bench.events().into_iter().filter_map(|event| match event.content {
        Some(Content::DeviceStatus(status)) => Some(status.text),
        _ => None,
    });
    let expected = ["denied", "half a file"].map(|it| format!("no connection to the broker: {it}"));
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

/// A message of more readings than there is room for at once. Those that found room are not stored again when the
/// message is tried again, and an equal message after it is another.
#[test]
fn a_message_that_is_stored_in_part_goes_on_where_it_was() {
    let topic = RAIN.replace("device_id", "each = \"\", device_id");
    let mut bench = Bench::with(&topic, |config| config.telemetry.source_share_percent = 1);
    let elements: Vec<_> = (0..1_000).map(|rain| format!("{{\"rain\": {rain}}}")).collect();
    let message = message(format!("[{}]", elements.join(",")));
    let mut expected = Vec::new();
    for _ in 0..2 {
        assert!(bench.take(&message) > 1, "there is room for all of it at once");
        expected.extend(0..1_000);
        assert_eq!(bench.values(), expected);
    }
    assert_eq!(bench.status().counters.frames, 2);
}

/// A payload of almost 200 KiB, and a topic of 60 that would make it more than an event may have. The payload is kept in
/// whole, and the topic as far as a label goes.
#[test]
fn a_long_topic_costs_no_message() {
    let mut bench = Bench::new(&RAIN.replace("+/rain", "+/rain/#"));
    let payload = format!("{{\"rain\": 1, \"note\": \"{}\"}}", "x".repeat(195 << 10));
    let mut message = message(payload.clone());
    message.topic = format!("venue/a/rain/{}", "é".repeat(30 << 10));
    assert_ne!(bench.intake.message(&message, false), Taken::Refused);
    let event = bench.events().pop().unwrap();
    assert_eq!(event.evidence, payload);
    assert!(matches!(event.content, Some(Content::Measurement(_))), "{:?}", event.content);
    let topic = event.labels["mqtt_topic"].strip_suffix('…').unwrap();
    assert!(message.topic.starts_with(topic) && topic.len() > 1_000, "{} bytes", topic.len());
}

/// Segments of a small quota hold less than the largest message that may come. It is kept as far as it fits, whether or
/// not its mapping makes anything of it.
#[test]
fn a_small_journal_keeps_what_it_can_of_a_message() {
    let mut bench = Bench::with(RAIN, |config| config.telemetry.quota = 1 << 20);
    let sound = format!("{{\"rain\": 1, \"note\": \"{}\"}}", "x".repeat(195 << 10));
    for (payload, error) in [(sound, "larger than the "), ("x".repeat(200 << 10), "JSON")] {
        assert_ne!(bench.intake.message(&message(payload.clone()), false), Taken::Refused);
        let event = bench.events().pop().unwrap();
        let kept = event.evidence.len();
        assert!(payload.as_bytes().starts_with(&event.evidence), "another payload");
        assert!(kept > 170 << 10 && kept < payload.len(), "{kept} bytes");
        let Some(Content::Raw(raw)) = &event.content else { panic!("{:?}", event.content) };
        assert!(raw.error.contains(error) && raw.bytes == payload.len() as u64, "{raw:?}");
    }
    let counters = bench.status().counters;
    assert_eq!((counters.lost, counters.bad["too_large"]), (0, 1));
}

/// With its session the broker forgot what it had to send again: an equal message is another, and stored in whole.
#[test]
fn a_message_of_a_new_session_is_stored_in_whole() {
    let topic = RAIN.replace("device_id", "each = \"\", device_id");
    let mut bench = Bench::with(&topic, |config| config.telemetry.source_share_percent = 1);
    let message = message(format!("[{}]", vec!["{\"rain\": 1}"; 1_000].join(",")));
    assert_eq!(bench.intake.message(&message, false), Taken::Refused);
    let before = bench.values().len();
    bench.intake.event(&Event::Connected { version: Version::V5, session_present: false });
    bench.take(&message);
    assert_eq!(bench.values().len(), before + 1_000);
}

const GONE: Event<'_> = Event::Ended { error: &LinkError::Version(Version::V5), stood: true };

fn connected(session_present: bool) -> Event<'static> {
    Event::Connected { version: Version::V5, session_present }
}

/// Whose gap is called healed: the broker went on with the session, which had the filter, and keeps what is published
/// there. It keeps nothing at QoS 0, nor for a filter that it refused.
#[test]
fn a_gap_is_healed_by_what_the_broker_kept() {
    use v1::GapState::{Closed, Healed, Open};
    const GRANTED: Event<'_> = Event::Subscribed { refused: &[] };
    const REFUSED: Event<'_> = Event::Subscribed { refused: &[0] };
    let (kept, new) = (connected(true), connected(false));
    for (what, packet_id, then, expected) in [
        ("the session goes on", 1, vec![&kept, &GRANTED], vec![Open, Healed]),
        ("the session is new", 1, vec![&new, &GRANTED], vec![Open, Closed]),
        ("nobody keeps QoS 0", 0, vec![&kept, &GRANTED], vec![Open, Closed]),
        ("refused", 1, vec![&kept, &REFUSED], vec![Open]),
        ("refused, then granted", 1, vec![&kept, &REFUSED, &GONE, &kept, &GRANTED], vec![Open, Closed]),
    ] {
        let mut bench = Bench::new(RAIN);
        bench.intake.event(&connected(false));
        bench.intake.event(&GRANTED);
        bench.intake.message(&Message { packet_id, ..message("{\"rain\": 1}") }, false);
        bench.intake.event(&GONE);
        then.into_iter().for_each(|event| bench.intake.event(event));
        assert_eq!(bench.gaps(), expected, "{what}");
    }
}

/// What the session kept comes before the subscription is answered, and heals. If the answer is no, nothing more comes.
#[test]
fn a_refused_subscription_opens_a_gap() {
    use v1::GapState::{Healed, Open};
    let mut bench = Bench::new(RAIN);
    bench.intake.event(&connected(false));
    bench.intake.event(&Event::Subscribed { refused: &[] });
    bench.intake.event(&GONE);
    bench.intake.event(&connected(true));
    bench.intake.message(&message("{\"rain\": 1}"), false);
    assert_eq!(bench.gaps(), [Open, Healed]);
    bench.intake.event(&Event::Subscribed { refused: &[0] });
    assert_eq!(bench.gaps(), [Open, Healed, Open]);
    assert!(bench.status().refused);
}

/// A subscription of an older configuration brings messages of topics that nobody knows: each topic is told once, up to a
/// bound, and all of their messages are counted.
#[test]
fn messages_without_a_topic_do_not_flood_the_log() {
    let mut strays = Strays::default();
    let told = |strays: &mut Strays| (0..1_000).filter(|number| strays.is_news(&format!("old/{number}"))).count();
    assert_eq!((told(&mut strays), told(&mut strays)), (STRAYS_TOLD, 0));
    assert_eq!(strays.count, 2_000);
}
