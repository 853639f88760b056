//! Damages segments of the results lane, and says which impulse was hit.

use std::path::{Path, PathBuf};

use crate::stage::printer;

/// Zeroed in one piece, bytes.
const ZEROED: usize = 8 << 10;
/// What every impulse's line holds, at its sixth byte.
const MARK: &[u8] = b" C1  ";

/// The segments of the results lane, oldest first.
pub(crate) struct Segments(Vec<PathBuf>);

impl Segments {
    /// Of a journal's folder.
    pub(crate) fn of(journal: &Path) -> Self {
        let files = std::fs::read_dir(journal).expect("a journal").map(|file| file.expect("a file").path());
        let is_result =
            |path: &PathBuf| path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("results-"));
        let mut segments: Vec<PathBuf> = files.filter(is_result).collect();
        segments.sort();
        assert!(segments.len() > 8, "a backlog of many segments, not {}", segments.len());
        Self(segments)
    }

    /// Flips a bit of an impulse in the middle of a segment; returns its number.
    pub(crate) fn flip_in_the_middle(&self, segment: usize) -> u64 {
        change(&self.0[segment], |bytes, lines| flip(bytes, lines[lines.len() / 2]))
    }

    /// Flips a bit of the last impulse of all.
    pub(crate) fn flip_at_the_end(&self) -> u64 {
        let holds_impulses = |path: &&PathBuf| !lines(&std::fs::read(path).expect("a segment")).is_empty();
        let last = self.0.iter().rev().find(holds_impulses).expect("a segment with impulses");
        change(last, |bytes, lines| flip(bytes, lines[lines.len() - 1]))
    }

    /// Zeroes a piece of a segment; returns the number of the first impulse in it.
    pub(crate) fn zero_in_the_middle(&self, segment: usize) -> u64 {
        change(&self.0[segment], |bytes, lines| {
            let start = lines[lines.len() / 2];
            bytes[start..start + ZEROED].fill(0);
        })
    }
}

fn flip(bytes: &mut [u8], at: usize) {
    bytes[at + 2] ^= 0x04;
}

/// Changes a file; returns the number of the first impulse that the change touched.
fn change(path: &Path, edit: impl FnOnce(&mut Vec<u8>, &[usize])) -> u64 {
    let before = std::fs::read(path).expect("a segment");
    let (lines, mut after) = (lines(&before), before.clone());
    edit(&mut after, &lines);
    std::fs::write(path, &after).expect("a segment");
    let touched = lines.iter().find(|at| before[**at..**at + 26] != after[**at..**at + 26]).expect("a line was hit");
    printer::number(&before[*touched..*touched + 26]).expect("an impulse")
}

/// Offsets of the lines of impulses, ascending: as evidence stands in an event.
fn lines(bytes: &[u8]) -> Vec<usize> {
    let starts = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let starts = starts.filter_map(|(at, _)| at.checked_sub(5));
    starts.filter(|at| bytes.get(*at..*at + 26).and_then(printer::number).is_some()).collect()
}
