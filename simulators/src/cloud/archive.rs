//! What a cloud keeps, on disk or in memory, and how it forgets.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use venue_delivery::Mark;
use venue_delivery::receiver::{
    Append, Appended, Element, ElementKind, LaneKey, LaneRecord, MemoryStore, Store, StoreFault,
};
use venue_schema::{GatewayId, JournalEpoch, v1};

use super::sqlite::{SqliteError, SqliteStore};
use super::stored::StoredEvent;

/// The most marks that a store in memory remembers of a lane, to be set back to.
const MOST_MARKS: usize = 4096;

/// Where a cloud keeps what it takes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// Events, marks and digests in an SQLite file, in one transaction.
    Sqlite(PathBuf),
    /// Marks, counts, digests and the duplicate check only, in memory.
    Memory,
}

impl std::str::FromStr for StoreConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("sqlite", file)) if !file.is_empty() => Ok(Self::Sqlite(file.into())),
            _ => Err(format!("`{text}` is no store: write sqlite:FILE or memory")),
        }
    }
}

/// How much a cloud forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amnesia {
    /// Everything.
    Whole,
    /// At least this many sequences at the end of each lane, to the end of a
    /// transaction, and the events in them. A store in memory forgets the marks and
    /// still knows the events.
    Last(u64),
}

/// A store with its faults.
#[derive(Debug)]
pub(super) struct Archive {
    kind: Kind,
    /// Events of the results lane that are still to be dropped in silence.
    sabotage: u64,
}

#[derive(Debug)]
enum Kind {
    Sqlite(SqliteStore),
    Memory { store: MemoryStore, marks: BTreeMap<LaneKey, VecDeque<Mark>> },
}

impl Archive {
    pub(super) fn open(config: &StoreConfig, receiver_id: &str) -> Result<Self, SqliteError> {
        let kind = match config {
            StoreConfig::Sqlite(file) => Kind::Sqlite(SqliteStore::open(file, receiver_id)?),
            StoreConfig::Memory => Kind::Memory { store: MemoryStore::new(), marks: BTreeMap::new() },
        };
        Ok(Self { kind, sabotage: 0 })
    }

    /// Drops the next events of the results lane but counts them in mark and digest.
    pub(super) fn sabotage(&mut self, events: u64) {
        self.sabotage += events;
    }

    /// Whether an identity is stored once. A store in memory always does.
    pub(super) fn merge_repeats(&mut self, merges: bool) {
        if let Kind::Sqlite(store) = &mut self.kind {
            store.set_merges(merges);
        }
    }

    /// Events that came out of their device's order, as far as a store in memory can tell.
    pub(super) fn out_of_order(&self) -> u64 {
        match &self.kind {
            Kind::Sqlite(_) => 0,
            Kind::Memory { store, .. } => store.descending(),
        }
    }

    /// Marks of all lanes.
    pub(super) fn marks(&mut self) -> Result<Vec<(LaneKey, Mark)>, StoreFault> {
        match &mut self.kind {
            Kind::Sqlite(store) => store.marks(),
            Kind::Memory { store, .. } => Ok(store.marks().map(|(lane, mark)| (lane.clone(), mark)).collect()),
        }
    }

    pub(super) fn forget(&mut self, amnesia: Amnesia) -> Result<(), StoreFault> {
        match (&mut self.kind, amnesia) {
            (Kind::Sqlite(store), Amnesia::Whole) => store.forget_all(),
            (Kind::Sqlite(store), Amnesia::Last(count)) => store.forget_last(count),
            (Kind::Memory { store, marks }, Amnesia::Whole) => {
                (*store, *marks) = (MemoryStore::new(), BTreeMap::new());
                Ok(())
            }
            (Kind::Memory { store, marks }, Amnesia::Last(count)) => {
                marks.iter_mut().for_each(|(lane, marks)| set_back(store, lane, marks, count));
                Ok(())
            }
        }
    }

    /// Stored events behind a row, in the order of arrival.
    pub(super) fn events(&mut self, after_row: u64, most: usize) -> Result<Vec<StoredEvent>, StoreFault> {
        match &mut self.kind {
            Kind::Sqlite(store) => store.events(after_row, most),
            Kind::Memory { .. } => Ok(Vec::new()),
        }
    }

    /// The UTC instant that rows of the next transaction carry, ns.
    pub(super) fn set_arrival(&mut self, utc_ns: i64) {
        if let Kind::Sqlite(store) = &mut self.kind {
            store.set_arrival(utc_ns);
        }
    }

    fn append_to_store(&mut self, appends: &[Append<'_>]) -> Result<Appended, StoreFault> {
        match &mut self.kind {
            Kind::Sqlite(store) => store.append(appends),
            Kind::Memory { store, marks } => {
                let appended = store.append(appends)?;
                for append in appends {
                    let marks = marks.entry(append.lane.clone()).or_default();
                    marks.push_back(append.after);
                    if marks.len() > MOST_MARKS {
                        marks.pop_front();
                    }
                }
                Ok(appended)
            }
        }
    }

    /// The appends without the events to be dropped, and how many those are.
    fn sabotaged(&self, append: &Append<'_>, left: &mut u64) -> Vec<Element> {
        let mut kept = Vec::with_capacity(append.elements.len());
        for element in append.elements {
            if *left > 0 && append.lane.lane() == v1::Lane::Results && element.kind == ElementKind::Event {
                *left -= 1;
            } else {
                kept.push(element.clone());
            }
        }
        kept
    }
}

/// Sets the mark of a lane back by at least `count`, to one that was held.
fn set_back(store: &mut MemoryStore, lane: &LaneKey, marks: &mut VecDeque<Mark>, count: u64) {
    let wanted = store.mark(lane).sequence.0.saturating_sub(count);
    while marks.back().is_some_and(|mark| mark.sequence.0 > wanted) {
        marks.pop_back();
    }
    store.restore_mark(lane, marks.back().copied().unwrap_or_else(|| lane.initial_mark()));
}

impl Store for Archive {
    fn lane(&mut self, lane: &LaneKey) -> Result<LaneRecord, StoreFault> {
        match &mut self.kind {
            Kind::Sqlite(store) => store.lane(lane),
            Kind::Memory { store, .. } => store.lane(lane),
        }
    }

    fn close_epochs(&mut self, gateway_id: &GatewayId, epochs: &[JournalEpoch]) -> Result<(), StoreFault> {
        match &mut self.kind {
            Kind::Sqlite(store) => store.close_epochs(gateway_id, epochs),
            Kind::Memory { store, .. } => store.close_epochs(gateway_id, epochs),
        }
    }

    fn append(&mut self, appends: &[Append<'_>]) -> Result<Appended, StoreFault> {
        if self.sabotage == 0 {
            return self.append_to_store(appends);
        }
        let mut left = self.sabotage;
        let kept: Vec<_> = appends.iter().map(|append| self.sabotaged(append, &mut left)).collect();
        let appends: Vec<_> =
            appends.iter().zip(&kept).map(|(append, elements)| Append { elements, ..*append }).collect();
        let mut appended = self.append_to_store(&appends)?;
        appended.stored += self.sabotage - left;
        self.sabotage = left;
        Ok(appended)
    }
}
