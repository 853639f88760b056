//! What the tests of the journal share: a small gateway, its events, and a reader of everything.

use std::{collections::BTreeMap, time::Duration};

use venue_journal::{
    Append, AppendError, Appended, CommitDue, IdentityRef, Journal, JournalConfig, Limits, PerLane, ReadItem, Recovery,
    SourceId, simulated::MemoryStorage,
};
use venue_schema::{
    GatewayId, JournalEpoch, Message as _, Sequence,
    v1::{self, Lane},
};

pub(crate) const EPOCH: JournalEpoch = JournalEpoch::from_bytes(*b"0123456789abcdef");
pub(crate) const RESULTS: Lane = Lane::Results;
pub(crate) const TELEMETRY: Lane = Lane::Telemetry;

pub(crate) fn config() -> JournalConfig {
    let mut config = JournalConfig::new(GatewayId::new("stade-1-a").unwrap(), "stade-1", EPOCH);
    config.segment_bytes = 256 << 10;
    config.results.quota = 2 << 20;
    config.results.reserve = 256 << 10;
    config.telemetry.quota = 2 << 20;
    config
}

pub(crate) fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn open(disk: &MemoryStorage) -> (Journal<MemoryStorage>, Recovery) {
    Journal::open(disk.clone(), config(), at(0)).expect("a journal always opens")
}

/// An event of a device with its own numbers, with so many bytes of evidence.
/// Cuts the power at each operation of an opening in turn, and hands over what is opened after it, with the case's name.
pub(crate) fn cut_each_operation_of_opening(prepared: &MemoryStorage, look: impl Fn(&Journal<MemoryStorage>, &str)) {
    let whole = prepared.copy();
    let start = whole.operations();
    drop(open(&whole));
    assert!(whole.operations() > start);
    for cut in start + 1..=whole.operations() {
        let disk = prepared.copy();
        disk.cut_power_at(cut);
        let _ = Journal::open(disk.clone(), config(), at(0));
        disk.cut_power();
        disk.restart(cut);
        look(&open(&disk).0, &format!("cut {cut}"));
    }
}

pub(crate) fn event(number: u64, evidence: usize) -> Vec<u8> {
    v1::Event {
        venue_id: "stade-1".into(),
        device_id: "timer-a".into(),
        identity: Some(v1::event::Identity::DeviceSequence(number)),
        evidence: vec![number as u8; evidence].into(),
        content: Some(v1::event::Content::Impulse(v1::Impulse { channel: "C1".into(), ..Default::default() })),
        ..Default::default()
    }
    .encode_to_vec()
}

/// Appends the event of a number; what a serial line says cannot be refused.
pub(crate) fn append(
    journal: &Journal<MemoryStorage>,
    lane: Lane,
    source: SourceId,
    number: u64,
    evidence: usize,
    refusable: bool,
) -> Result<Appended, AppendError> {
    journal.append(Append {
        lane,
        source,
        identity: IdentityRef::Sequence { device_id: "timer-a", epoch: lane as u64, number },
        refusable,
        event: &event(number, evidence),
        receive_utc_ns: Some(number as i64 * 1_000_000_000),
        receive_monotonic_ns: number,
    })
}

/// Commits until nothing is due.
pub(crate) fn commit_all(journal: &Journal<MemoryStorage>, now: Duration) {
    while journal.wants_commit(now) == CommitDue::Now {
        journal.commit(now).expect("the disk is well");
    }
}

/// One element of a lane, as it crosses the wire.
#[derive(Clone, PartialEq)]
pub(crate) enum Element {
    Event(Box<v1::Event>, Vec<u8>),
    Skipped { first: u64, last: u64, gap_event: Vec<u8> },
}

impl std::fmt::Debug for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self, self.gap()) {
            (Self::Skipped { last, .. }, gap) => write!(f, "skipped up to {last}: {}", gap.unwrap_or_default().text),
            (_, Some(gap)) => write!(f, "gap: {}", gap.text),
            (Self::Event(event, bytes), _) => write!(f, "event {:?} of {} bytes", event.identity, bytes.len()),
        }
    }
}

impl Element {
    /// The device's number, if it is one of the test's own events.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Event(event, _) => match event.identity {
                Some(v1::event::Identity::DeviceSequence(number)) => Some(number),
                _ => None,
            },
            Self::Skipped { .. } => None,
        }
    }

    pub(crate) fn gap(&self) -> Option<v1::Gap> {
        let event = match self {
            Self::Event(event, _) => (**event).clone(),
            Self::Skipped { gap_event, .. } => v1::Event::decode(&gap_event[..]).unwrap(),
        };
        match event.content {
            Some(v1::event::Content::Gap(gap)) => Some(gap),
            _ => None,
        }
    }
}

/// Reads a lane from a sequence to its end, by the sequence of each element's start. Checks on the way
/// that it is dense and that each event says its own place.
pub(crate) fn read_from(journal: &Journal<MemoryStorage>, lane: Lane, from: u64) -> BTreeMap<u64, Element> {
    let mut reader = journal.reader(lane);
    let mut elements = BTreeMap::new();
    let mut next = Sequence(from);
    loop {
        match reader.read(next, Limits { records: 7, bytes: 64 << 10 }).expect("a lane can be read") {
            ReadItem::End => return elements,
            ReadItem::Skipped { first, last, gap_event } => {
                assert_eq!(first, next, "a lane is dense");
                elements
                    .insert(first.0, Element::Skipped { first: first.0, last: last.0, gap_event: gap_event.to_vec() });
                next = last.next();
            }
            ReadItem::Records(run) => {
                assert_eq!(run.first_sequence, next, "a lane is dense");
                for bytes in run.events() {
                    let event = v1::Event::decode(&bytes[..]).unwrap();
                    let origin = event.origin.clone().expect("every record has an origin");
                    assert_eq!((origin.sequence, origin.lane), (next.0, lane as i32));
                    assert_eq!(origin.gateway_id, "stade-1-a");
                    elements.insert(next.0, Element::Event(Box::new(event), bytes.to_vec()));
                    next = next.next();
                }
            }
        }
    }
}

pub(crate) fn read(journal: &Journal<MemoryStorage>, lane: Lane) -> BTreeMap<u64, Element> {
    read_from(journal, lane, 1)
}

/// The test's own numbers in a lane, in order.
pub(crate) fn numbers(elements: &BTreeMap<u64, Element>) -> Vec<u64> {
    elements.values().filter_map(Element::number).collect()
}

pub(crate) fn both(journal: &Journal<MemoryStorage>) -> PerLane<BTreeMap<u64, Element>> {
    PerLane::from_fn(|lane| read(journal, lane))
}

/// Names of files of a kind, sorted.
pub(crate) fn files(disk: &MemoryStorage, kind: &str) -> Vec<String> {
    use venue_journal::Storage as _;
    let mut names: Vec<_> = disk.list().unwrap().into_iter().filter(|name| name.starts_with(kind)).collect();
    names.sort();
    names
}
