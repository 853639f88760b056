//! Counts what the cloud has and what its gap records say is missing.

use std::collections::{BTreeMap, BTreeSet};

use venue_schema::v1::{Event, Gap, GapCause, GapState, event};
use venue_sim::cloud::StoredEvent;

use crate::stage::printer;

/// A lane at the cloud.
pub(crate) struct Account {
    rows: Vec<(StoredEvent, Event)>,
}

impl Account {
    /// Of the rows of one lane.
    pub(crate) fn of(rows: Vec<StoredEvent>) -> Self {
        Self { rows: rows.into_iter().map(|row| (row.clone(), row.event().expect("an event"))).collect() }
    }

    /// Asserts that every sequence from 1 is there once and in order, as an event or in a
    /// skipped range, and returns the last.
    pub(crate) fn assert_dense(&self) -> u64 {
        let mut expected = 1;
        for (row, _) in &self.rows {
            assert_eq!(row.first_sequence, expected, "row {} follows what came before", row.row);
            assert!(row.sequence >= row.first_sequence && (row.gap || row.sequence == row.first_sequence));
            expected = row.sequence + 1;
        }
        expected - 1
    }

    /// Numbers of the impulses, in the order of arrival.
    pub(crate) fn impulses(&self) -> Vec<u64> {
        self.rows.iter().filter_map(|(_, event)| printer::number(&event.evidence)).collect()
    }

    /// Skipped ranges with their cause and the count that their record says.
    pub(crate) fn skipped(&self) -> Vec<(u64, u64, GapCause)> {
        let skip = |(row, event): &(StoredEvent, Event)| {
            let gap = gap(event).filter(|_| row.gap)?;
            assert_eq!(gap.count, Some(row.sequence - row.first_sequence + 1), "a skipped range says how much it is");
            Some((row.first_sequence, row.sequence, gap.cause()))
        };
        self.rows.iter().filter_map(skip).collect()
    }

    /// Events that gaps of a cause declare lost. Each must have been opened before it was
    /// closed, and none may be open at the end.
    pub(crate) fn declared(&self, cause: GapCause) -> u64 {
        let mut open = BTreeSet::new();
        let mut closed: BTreeMap<&str, u64> = BTreeMap::new();
        let gaps = self.rows.iter().filter(|(row, _)| !row.gap).filter_map(|(_, event)| gap(event));
        for gap in gaps.filter(|gap| gap.cause() == cause) {
            if gap.state() == GapState::Open {
                assert!(open.insert(&*gap.gap_id), "{} is opened once", gap.gap_id);
            } else {
                assert!(open.remove(&*gap.gap_id), "{} was opened", gap.gap_id);
                closed.insert(&gap.gap_id, gap.count.expect("a closed loss has a count"));
            }
        }
        assert!(open.is_empty(), "{open:?} were never closed");
        assert!(!closed.is_empty(), "nothing was declared");
        closed.values().sum()
    }

    /// Losses of a cause of which it is not known how much went, and that were ended.
    pub(crate) fn ended_without_count(&self, cause: GapCause) -> usize {
        let gaps: Vec<&Gap> = self.rows.iter().filter_map(|(_, event)| gap(event)).collect();
        let of = |state: GapState| gaps.iter().filter(move |gap| gap.cause() == cause && gap.state() == state);
        let opened: Vec<&str> = of(GapState::Open).map(|gap| &*gap.gap_id).collect();
        let ended: Vec<&str> = of(GapState::Closed).map(|gap| &*gap.gap_id).collect();
        assert_eq!(opened, ended, "each loss that was opened was ended");
        of(GapState::Closed).filter(|gap| gap.count.is_none()).count()
    }
}

/// The gap that an event declares.
pub(crate) fn gap(event: &Event) -> Option<&Gap> {
    match &event.content {
        Some(event::Content::Gap(gap)) => Some(gap),
        _ => None,
    }
}

/// Asserts that numbers ascend without repeat, and counts those of a range that are missing.
pub(crate) fn missing(numbers: &[u64], printed: u64) -> u64 {
    assert!(numbers.is_sorted_by(|one, next| one < next), "impulses stand in order, each once");
    assert!(numbers.last().is_none_or(|last| *last < printed), "nothing was invented");
    printed - numbers.len() as u64
}
