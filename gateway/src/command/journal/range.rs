//! A part of a lane, as the command line names it: by sequence or by receive time.

use std::str::FromStr;

use anyhow::{Context as _, bail};
use venue_journal::{Directory, ReadOnlyJournal};
use venue_schema::{Sequence, v1::Lane};

use crate::cli::Range;

/// A part of a lane, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// The lane.
    pub(super) lane: Lane,
    /// First sequence.
    pub(super) from: Sequence,
    /// Last sequence.
    pub(super) to: Sequence,
}

impl Part {
    /// Finds the part in a journal.
    pub(super) fn of(journal: &ReadOnlyJournal<Directory>, range: &Range) -> anyhow::Result<Self> {
        let lane = Lane::ALL.into_iter().find(|lane| lane.name() == range.lane);
        let lane =
            lane.with_context(|| format!("there is no lane `{}`: write `results` or `telemetry`", range.lane))?;
        let stored = &journal.summary().lanes[lane];
        let from = match range.from {
            None => stored.first,
            Some(Point::Sequence(sequence)) => sequence,
            Some(Point::Time(utc_ns)) => journal.seek(lane, utc_ns)?.unwrap_or_else(|| stored.last.next()),
        };
        let to = match range.to {
            None => stored.last,
            Some(Point::Sequence(sequence)) => sequence,
            Some(Point::Time(utc_ns)) => match journal.seek(lane, utc_ns.saturating_add(1))? {
                Some(first_after) => first_after.previous(),
                None => stored.last,
            },
        };
        if from < stored.first {
            bail!("sequence {from} is no longer stored: the {} lane begins at {}", lane.name(), stored.first);
        }
        Ok(Self { lane, from, to: to.min(stored.last) })
    }
}

/// An end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A place in the lane.
    Sequence(Sequence),
    /// A receive time, UTC ns.
    Time(i64),
}

impl FromStr for Point {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = text.parse::<u64>() {
            return Ok(Self::Sequence(Sequence(number)));
        }
        let time = text.parse().ok().and_then(|time: jiff::Timestamp| i64::try_from(time.as_nanosecond()).ok());
        time.map(Self::Time).ok_or("neither a sequence nor a time: write 1234 or 2026-11-28T10:42:17Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both kinds of end are told apart by their form alone.
    #[test]
    fn an_end_is_a_sequence_or_a_time() {
        assert_eq!("42".parse(), Ok(Point::Sequence(Sequence(42))));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(Point::Time(1_000_000_000)));
        assert_eq!("1970-01-01T01:00:01+01:00".parse(), Ok(Point::Time(1_000_000_000)));
        assert!("yesterday".parse::<Point>().is_err());
    }
}
