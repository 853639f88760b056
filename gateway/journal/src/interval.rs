//! A set of numbers as intervals, small while the numbers are nearly dense.

/// A set of numbers, kept as sorted intervals that neither touch nor overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct IntervalSet {
    intervals: Vec<(u64, u64)>,
}

impl IntervalSet {
    /// Takes intervals that are sorted and apart; none if they are not.
    pub(crate) fn from_intervals(intervals: Vec<(u64, u64)>) -> Option<Self> {
        let sound = intervals.iter().all(|(first, last)| first <= last);
        let apart = intervals.windows(2).all(|pair| pair[0].1 < u64::MAX && pair[0].1 + 1 < pair[1].0);
        (sound && apart).then_some(Self { intervals })
    }

    /// The intervals, first and last number of each, ascending.
    pub(crate) fn intervals(&self) -> &[(u64, u64)] {
        &self.intervals
    }

    /// Whether the set holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Whether the set holds a number.
    pub(crate) fn contains(&self, number: u64) -> bool {
        let after = self.intervals.partition_point(|&(first, _)| first <= number);
        after > 0 && number <= self.intervals[after - 1].1
    }

    /// The largest number, or none.
    pub(crate) fn last(&self) -> Option<u64> {
        self.intervals.last().map(|&(_, last)| last)
    }

    /// Adds a number.
    pub(crate) fn insert(&mut self, number: u64) {
        match self.intervals.last_mut() {
            // Nearly every call: the next number.
            Some((_, last)) if *last < u64::MAX && number == *last + 1 => *last = number,
            _ => self.insert_range(number, number),
        }
    }

    /// Adds the numbers from `first` to `last`.
    pub(crate) fn insert_range(&mut self, first: u64, last: u64) {
        debug_assert!(first <= last, "an interval has its first number first");
        let start = self.intervals.partition_point(|&(_, end)| end < first.saturating_sub(1));
        let end = self.intervals.partition_point(|&(begin, _)| begin <= last.saturating_add(1));
        let merged = self.intervals[start..end].iter().fold((first, last), |sum, i| (sum.0.min(i.0), sum.1.max(i.1)));
        self.intervals.splice(start..end, [merged]);
    }

    /// The ranges from `first` to `last` that the set does not hold, ascending.
    pub(crate) fn holes(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut holes = Vec::new();
        let mut next = first;
        for &(begin, end) in &self.intervals {
            if begin > last {
                break;
            }
            if begin > next {
                holes.push((next, begin - 1));
            }
            next = next.max(end.saturating_add(1));
        }
        if next <= last {
            holes.push((next, last));
        }
        holes
    }

    /// Forgets the lowest intervals beyond `limit` of them; says how many went.
    pub(crate) fn trim(&mut self, limit: usize) -> usize {
        let surplus = self.intervals.len().saturating_sub(limit);
        self.intervals.drain(..surplus);
        surplus
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain set: the same members, the same holes, intervals that stay apart.
        #[test]
        fn agrees_with_a_plain_set(ranges in prop::collection::vec((0_u64..60, 0_u64..6), 0..30)) {
            let mut plain = BTreeSet::new();
            let mut set = IntervalSet::default();
            for (first, length) in ranges {
                if length == 0 { set.insert(first) } else { set.insert_range(first, first + length) }
                plain.extend(first..=first + length);
            }
            for number in 0..70 {
                prop_assert_eq!(set.contains(number), plain.contains(&number));
            }
            let holes: BTreeSet<u64> = set.holes(3, 64).into_iter().flat_map(|(a, b)| a..=b).collect();
            let expected: BTreeSet<u64> = (3..=64).filter(|n| !plain.contains(n)).collect();
            prop_assert_eq!(holes, expected);
            prop_assert_eq!(set.last(), plain.last().copied());
            prop_assert!(IntervalSet::from_intervals(set.intervals().to_vec()).is_some());
        }
    }
}
