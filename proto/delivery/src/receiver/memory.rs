//! A store in memory: marks, digests and identities, and the rows if asked for.
//! For load and for tests; nothing of it survives the process.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use venue_schema::{GatewayId, JournalEpoch, Sequence};

use super::{
    identity::{Identity, Key, OriginKey},
    store::{Append, Appended, Element, ElementKind, LaneKey, LaneRecord, Store, StoreFault},
};
use crate::Mark;

/// One stored element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Last sequence that it stands for.
    pub sequence: Sequence,
    /// The event as it crossed the wire.
    pub bytes: Bytes,
}

/// A [`Store`] in memory, with knobs for faults.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    marks: BTreeMap<LaneKey, Mark>,
    closed: BTreeSet<(GatewayId, JournalEpoch)>,
    known: KnownIdentities,
    totals: Appended,
    keeps_rows: bool,
    rows: BTreeMap<LaneKey, Vec<Row>>,
    unavailable: bool,
}

impl MemoryStore {
    /// An empty store that keeps marks, digests and identities only.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that keeps every stored element as well.
    pub fn with_rows() -> Self {
        Self { keeps_rows: true, ..Self::default() }
    }

    /// The lanes that anything is held of, with their marks.
    pub fn marks(&self) -> impl Iterator<Item = (&LaneKey, Mark)> {
        self.marks.iter().map(|(lane, mark)| (lane, *mark))
    }

    /// The mark of a lane; the initial one if nothing is held.
    pub fn mark(&self, lane: &LaneKey) -> Mark {
        self.marks.get(lane).copied().unwrap_or_else(|| lane.initial_mark())
    }

    /// The elements stored of a lane, in the order in which they came; empty unless
    /// the store was made by [`MemoryStore::with_rows`].
    pub fn rows(&self, lane: &LaneKey) -> &[Row] {
        self.rows.get(lane).map_or(&[], Vec::as_slice)
    }

    /// Totals since the store was made.
    pub fn totals(&self) -> Appended {
        self.totals
    }

    /// Events whose content key sorts before that of the event before them, of the same device in the same lane: of a device whose
    /// keys count up, those that came out of order.
    pub fn descending(&self) -> u64 {
        self.known.descending
    }

    /// Lets every operation fail as unavailable, or work again: the store elects a
    /// leader.
    pub fn set_available(&mut self, available: bool) {
        self.unavailable = !available;
    }

    /// Forgets the marks of all lanes but keeps events and identities.
    pub fn forget_marks(&mut self) {
        self.marks.clear();
    }

    /// Sets the mark of a lane back, as a store does that was restored from a backup
    /// of its marks.
    pub fn restore_mark(&mut self, lane: &LaneKey, mark: Mark) {
        self.marks.insert(lane.clone(), mark);
    }

    fn check_available(&self) -> Result<(), StoreFault> {
        match self.unavailable {
            true => Err(StoreFault::Unavailable("it was told to be".to_owned())),
            false => Ok(()),
        }
    }

    fn take(&mut self, lane: &LaneKey, element: &Element) {
        if !self.known.insert(lane, element) {
            self.totals.seen_again += 1;
            return;
        }
        self.totals.stored += 1;
        if self.keeps_rows {
            let row = Row { sequence: element.last, bytes: element.bytes.clone() };
            self.rows.entry(lane.clone()).or_default().push(row);
        }
    }
}

impl Store for MemoryStore {
    fn lane(&mut self, lane: &LaneKey) -> Result<LaneRecord, StoreFault> {
        self.check_available()?;
        let closed = self.closed.contains(&(lane.gateway_id.clone(), lane.journal_epoch));
        Ok(LaneRecord { mark: self.marks.get(lane).copied(), closed })
    }

    fn close_epochs(&mut self, gateway_id: &GatewayId, epochs: &[JournalEpoch]) -> Result<(), StoreFault> {
        self.check_available()?;
        self.closed.extend(epochs.iter().map(|epoch| (gateway_id.clone(), *epoch)));
        Ok(())
    }

    fn append(&mut self, appends: &[Append<'_>]) -> Result<Appended, StoreFault> {
        self.check_available()?;
        if let Some(moved) = appends.iter().find(|append| self.mark(append.lane) != append.before) {
            return Err(StoreFault::MarkMoved(moved.lane.clone()));
        }
        let before = self.totals;
        for append in appends {
            append.elements.iter().for_each(|element| self.take(append.lane, element));
            self.marks.insert(append.lane.clone(), append.after);
        }
        Ok(Appended {
            stored: self.totals.stored - before.stored,
            seen_again: self.totals.seen_again - before.seen_again,
        })
    }
}

/// Every identity seen. Numbers are kept as intervals, so that a lane or a device
/// that counts densely costs one entry.
#[derive(Debug, Clone, Default)]
struct KnownIdentities {
    numbers: BTreeMap<Vec<u8>, IntervalSet>,
    /// 128-bit hashes: two keys that share one are not to be expected before 2⁶⁰ are held.
    keys: HashSet<u128>,
    /// Reused for look-ups.
    scratch: Vec<u8>,
    /// Device and key of the last event with a content key, by lane.
    last: BTreeMap<LaneKey, (Vec<u8>, Vec<u8>)>,
    descending: u64,
}

impl KnownIdentities {
    /// Adds the identity of an element; false if it was there. Bytes that are no
    /// event have none and are always taken: a receiver must not block a lane over
    /// what it cannot read.
    fn insert(&mut self, lane: &LaneKey, element: &Element) -> bool {
        if element.kind == ElementKind::Gap {
            return self.insert_gap(lane, element);
        }
        let Ok(identity) = Identity::parse(&element.bytes) else { return true };
        match (identity.key, identity.origin) {
            (Key::Sequence(number), _) => self.insert_number(b'd', &identity, number),
            (Key::Content { key, occurrence }, _) => {
                self.note_order(lane, identity.device_id, key);
                self.insert_key(&identity, key, occurrence)
            }
            (Key::Origin, Some(origin)) => self.insert_origin(origin),
            (Key::Origin, None) => true,
        }
    }

    fn insert_number(&mut self, kind: u8, identity: &Identity<'_>, number: u64) -> bool {
        self.begin_key(kind, &[identity.venue_id, identity.device_id, &identity.device_epoch.to_le_bytes()]);
        self.insert_scratch_number(number)
    }

    fn insert_origin(&mut self, origin: OriginKey<'_>) -> bool {
        self.begin_key(b'o', &[origin.gateway_id, origin.journal_epoch, &origin.lane.to_le_bytes()]);
        self.insert_scratch_number(origin.sequence)
    }

    fn note_order(&mut self, lane: &LaneKey, device_id: &[u8], key: &[u8]) {
        let Some((last_device, last_key)) = self.last.get_mut(lane) else {
            self.last.insert(lane.clone(), (device_id.to_vec(), key.to_vec()));
            return;
        };
        self.descending += u64::from(last_device == device_id && key < &last_key[..]);
        for (held, new) in [(last_device, device_id), (last_key, key)] {
            held.clear();
            held.extend_from_slice(new);
        }
    }

    fn insert_key(&mut self, identity: &Identity<'_>, key: &[u8], occurrence: u64) -> bool {
        let (epoch, occurrence) = (identity.device_epoch.to_le_bytes(), occurrence.to_le_bytes());
        self.begin_key(b'k', &[identity.venue_id, identity.device_id, &epoch, key, &occurrence]);
        self.insert_scratch()
    }

    /// A gap is the same gap if it stands for the same range with the same bytes.
    fn insert_gap(&mut self, lane: &LaneKey, element: &Element) -> bool {
        let (number, last) = ((lane.lane() as i32).to_le_bytes(), element.last.0.to_le_bytes());
        let gateway = lane.gateway_id.as_str().as_bytes();
        self.begin_key(b'g', &[gateway, lane.journal_epoch.as_bytes(), &number, &last, &element.bytes]);
        self.insert_scratch()
    }

    fn insert_scratch(&mut self) -> bool {
        self.keys.insert(xxhash_rust::xxh3::xxh3_128(&self.scratch))
    }

    /// Joins parts with their lengths, so that no two lists of parts are alike.
    fn begin_key(&mut self, kind: u8, parts: &[&[u8]]) {
        self.scratch.clear();
        self.scratch.push(kind);
        for part in parts {
            self.scratch.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.scratch.extend_from_slice(part);
        }
    }

    fn insert_scratch_number(&mut self, number: u64) -> bool {
        match self.numbers.get_mut(&self.scratch) {
            Some(set) => set.insert(number),
            None => self.numbers.entry(self.scratch.clone()).or_default().insert(number),
        }
    }
}

/// A set of numbers as intervals: first → last.
#[derive(Debug, Clone, Default)]
struct IntervalSet(BTreeMap<u64, u64>);

impl IntervalSet {
    /// Adds a number; false if it was there.
    fn insert(&mut self, number: u64) -> bool {
        let below = self.0.range(..=number).next_back().map(|(first, last)| (*first, *last));
        if below.is_some_and(|(_, last)| last >= number) {
            return false;
        }
        let first = below.filter(|(_, last)| *last + 1 == number).map_or(number, |(first, _)| first);
        let last = number.checked_add(1).and_then(|above| self.0.remove(&above)).unwrap_or(number);
        self.0.insert(first, last);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use venue_schema::{Message as _, v1};

    use super::*;

    proptest! {
        /// Intervals behave as the plain set of numbers would.
        #[test]
        fn intervals_are_a_set(numbers in prop::collection::vec(prop_oneof![0..40_u64, Just(u64::MAX)], 0..120)) {
            let (mut intervals, mut model) = (IntervalSet::default(), BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(intervals.insert(number), model.insert(number));
            }
            let runs = model.iter().filter(|&&n| n == 0 || !model.contains(&(n - 1))).count();
            prop_assert_eq!(intervals.0.len(), runs);
        }
    }

    fn lane(gateway: &str) -> LaneKey {
        let gateway_id = GatewayId::new(gateway).unwrap();
        LaneKey::new(gateway_id, JournalEpoch::from_bytes([1; 16]), v1::Lane::Results)
    }

    fn append(store: &mut MemoryStore, lane: &LaneKey, events: &[v1::Event]) -> Result<Appended, StoreFault> {
        let before = store.mark(lane);
        let mut after = before;
        let mut elements = Vec::new();
        for event in events {
            let bytes = Bytes::from(event.encode_to_vec());
            after = after.then(&bytes);
            let kind = ElementKind::Event;
            elements.push(Element { first: after.sequence, last: after.sequence, kind, bytes });
        }
        store.append(&[Append { lane, before, after, elements: &elements }])
    }

    fn event(identity: Option<v1::event::Identity>, origin: u64) -> v1::Event {
        let origin = v1::Origin { gateway_id: "gw".into(), sequence: origin, ..Default::default() };
        v1::Event { device_id: "timer".into(), identity, origin: Some(origin), ..Default::default() }
    }

    /// Two gateways hear one device: what both deliver is stored once, by number
    /// and by content; what has no identity of its own is never merged.
    #[test]
    fn an_event_heard_by_two_gateways_is_stored_once() {
        let mut store = MemoryStore::with_rows();
        let key = |occurrence| v1::ContentKey { key: "C1|10:00".into(), occurrence };
        let events = |offset: u64| {
            [
                event(Some(v1::event::Identity::DeviceSequence(0)), 1 + offset),
                event(Some(v1::event::Identity::ContentKey(key(1))), 2 + offset),
                event(Some(v1::event::Identity::ContentKey(key(2))), 3 + offset),
                event(None, 4 + offset),
            ]
        };
        let (a, b) = (lane("gw-a"), lane("gw-b"));
        assert_eq!(append(&mut store, &a, &events(0)), Ok(Appended { stored: 4, seen_again: 0 }));
        assert_eq!(append(&mut store, &b, &events(10)), Ok(Appended { stored: 1, seen_again: 3 }));
        assert_eq!(store.mark(&b).sequence, Sequence(4), "a repeat advances the mark");
        assert_eq!((store.rows(&a).len(), store.rows(&b).len()), (4, 1));
    }

    /// Marks are compared before anything is written, in every lane of a transaction.
    #[test]
    fn a_moved_mark_stops_the_whole_transaction() {
        let mut store = MemoryStore::with_rows();
        let (a, b) = (lane("gw-a"), lane("gw-b"));
        append(&mut store, &a, &[event(None, 1)]).unwrap();
        let stale = a.initial_mark();
        let bytes = Bytes::from_static(b"");
        let element = Element { first: Sequence(1), last: Sequence(1), kind: ElementKind::Event, bytes };
        let elements = [element];
        let after = stale.then(b"");
        let good =
            Append { lane: &b, before: b.initial_mark(), after: b.initial_mark().then(b""), elements: &elements };
        let bad = Append { lane: &a, before: stale, after, elements: &elements };
        assert_eq!(store.append(&[good, bad]), Err(StoreFault::MarkMoved(a.clone())));
        assert_eq!(store.mark(&b), b.initial_mark());
        assert_eq!(store.totals().stored, 1);
    }
}
