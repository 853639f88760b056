//! Names of files in a journal's directory.

use venue_schema::v1::Lane;

/// A file of the journal, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileName {
    /// A segment of the results lane, by its generation.
    Results(u64),
    /// A segment of the telemetry lane, by its generation.
    Telemetry(u64),
    /// A file ready to become a segment.
    Spare(u64),
    /// A spare still being written; of no use after a crash.
    Unfinished(u64),
}

/// No journal begins so many segments: a file with a higher number is none of its files, and there is always a next number.
const MAX_NUMBER: u64 = u64::MAX / 2;

impl FileName {
    pub(crate) const META: &'static str = "meta";
    pub(crate) const CURSORS: &'static str = "cursors";

    /// The segment of a lane.
    pub(crate) fn segment(lane: Lane, generation: u64) -> Self {
        match lane {
            Lane::Results => Self::Results(generation),
            Lane::Telemetry => Self::Telemetry(generation),
            Lane::Unspecified => panic!("a segment belongs to a lane"),
        }
    }

    /// Reads a name; none for a file that is not one of these.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (kind, number) = name.strip_suffix(".seg")?.split_once('-')?;
        if number.len() != 20 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = number.parse().ok().filter(|&number| number <= MAX_NUMBER)?;
        match kind {
            "results" => Some(Self::Results(number)),
            "telemetry" => Some(Self::Telemetry(number)),
            "spare" => Some(Self::Spare(number)),
            "unfinished" => Some(Self::Unfinished(number)),
            _ => None,
        }
    }

    /// The number in the name.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Results(number) | Self::Telemetry(number) | Self::Spare(number) | Self::Unfinished(number) => number,
        }
    }

    /// The lane of a segment; none for the others.
    pub(crate) fn lane(self) -> Option<Lane> {
        match self {
            Self::Results(_) => Some(Lane::Results),
            Self::Telemetry(_) => Some(Lane::Telemetry),
            Self::Spare(_) | Self::Unfinished(_) => None,
        }
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::Results(_) => "results",
            Self::Telemetry(_) => "telemetry",
            Self::Spare(_) => "spare",
            Self::Unfinished(_) => "unfinished",
        };
        write!(f, "{kind}-{:020}.seg", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_left_alone() {
        for name in [FileName::Results(1), FileName::Telemetry(MAX_NUMBER), FileName::Spare(0), FileName::Unfinished(7)]
        {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        for other in [
            "results-18446744073709551615.seg",
            "lock",
            "meta",
            "results-1.seg",
            "results-00000000000000000001.seg.bak",
            "foo-00000000000000000001.seg",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
