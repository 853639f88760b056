//! Segments that go, and those that begin, on a disk that fails in between: whatever fails, and wherever the power goes after it, the next start misses
//! nothing, for nothing is lost.

use super::scene::*;
use venue_journal::{
    Appended, Cursor, Journal, JournalConfig, Recovery, Storage as _,
    simulated::{Fault, MemoryStorage},
};
use venue_schema::{Digest, Sequence, v1::GapCause};

/// Large enough that a few fill a segment.
const SIZE: usize = 60_000;
/// Starts that draw what is kept of a few unsynced changes: each subset of them comes up.
const SEEDS: u64 = 4;

/// Delivered segments go at once.
fn config_of_test() -> JournalConfig {
    let mut config = config();
    config.results.keep = at(0);
    config
}

fn start(disk: &MemoryStorage) -> (Journal<MemoryStorage>, Cursor<MemoryStorage>, Recovery) {
    let (journal, recovery) = Journal::open(disk.clone(), config_of_test(), at(0)).expect("a journal always opens");
    let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
    (journal, cursor, recovery)
}

/// Appends and commits results, reopening the journal where it halts.
fn write(journal: &Journal<MemoryStorage>, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        append(journal, RESULTS, journal.source("finish"), number, SIZE, false).unwrap();
        if journal.commit(at(number)).is_err() {
            journal.reopen(at(number)).expect("a planned fault fails once");
        }
    }
}

fn deliver(cursor: &Cursor<MemoryStorage>, mark: u64) {
    cursor.advance(Sequence(mark), Digest::initial(EPOCH, RESULTS));
}

/// After a power cut all that is not delivered is there, and nothing is missed.
fn check_start(disk: &MemoryStorage, delivered: u64, last: u64, case: &str) {
    for seed in 0..SEEDS {
        let disk = disk.copy();
        disk.cut_power();
        disk.restart(seed);
        let (journal, _cursor, recovery) = start(&disk);
        let missed = recovery.findings.iter().any(|finding| "CDEFM".contains(finding.case));
        assert!(recovery.lanes.results.quarantined.is_empty() && !missed, "{case}, seed {seed}: {recovery:?}");
        let kept = numbers(&read_from(&journal, RESULTS, delivered + 1));
        assert_eq!(kept, (delivered + 1..=last).collect::<Vec<_>>(), "{case}, seed {seed}");
    }
}

/// The oldest segment is retired, with a fault at one of its operations; then it is tried again, and two younger ones go. The power may
/// be cut in an operation of that. Says how many operations the second part has.
fn retire_twice(failing: u64, cut: Option<u64>, with_spares: bool) -> u64 {
    let disk = MemoryStorage::new();
    let (journal, cursor, _) = start(&disk);
    write(&journal, 1..=20);
    let before = files(&disk, "results");
    assert_eq!(before.len(), 5);
    if with_spares {
        journal.housekeep(at(50)).unwrap();
    }
    deliver(&cursor, 4);
    disk.fail_at(disk.operations() + failing, Fault::Refused);
    let outcome = journal.housekeep(at(100)).map(|done| done.segments_retired);
    let case = format!("operation {failing} failed, which gave {outcome:?}, then cut {cut:?}");
    deliver(&cursor, 12);
    let begun = disk.operations();
    if let Some(cut) = cut {
        disk.cut_power_at(begun + cut);
    }
    let again = journal.housekeep(at(200));
    let operations = disk.operations() - begun;
    if cut.is_none() {
        again.expect("a planned fault fails once");
        assert_eq!(files(&disk, "results"), before[3..], "{case}");
        assert_eq!(journal.first_retained(RESULTS), Sequence(13));
    }
    drop((journal, cursor));
    check_start(&disk, 12, 20, &case);
    operations
}

/// Each operation of a retirement fails once. The same segment goes first when it is tried again, also if only the sync of the directory
/// had failed: were a younger one gone while a power cut may still undo the older one's going, it would be missed in the middle.
#[test]
fn a_retirement_that_fails_is_ended_before_a_younger_segment_goes() {
    for with_spares in [false, true] {
        for failing in 1..=4 {
            let operations = retire_twice(failing, None, with_spares);
            for cut in 1..=operations {
                retire_twice(failing, Some(cut), with_spares);
            }
        }
    }
}

/// Each operation of beginning a segment fails once, also after it has its name. What is left of that goes in its turn: later, when
/// all but the newest segment are delivered and gone, it is not missed between them.
#[test]
fn a_segment_that_was_not_wholly_begun_goes_in_its_turn() {
    for failing in 1..=16 {
        let disk = MemoryStorage::new();
        let (journal, cursor, _) = start(&disk);
        write(&journal, 1..=8);
        assert_eq!(files(&disk, "results").len(), 2);
        disk.fail_at(disk.operations() + failing, Fault::Refused);
        write(&journal, 9..=9);
        check_start(&disk, 0, 9, &format!("{failing}"));
        write(&journal, 10..=28);
        // One after another goes, and at each of them the power may be cut.
        for mark in 1..=28 {
            deliver(&cursor, mark);
            journal.housekeep(at(100 + mark)).unwrap();
            if [9, 13].contains(&mark) {
                check_start(&disk, mark, 28, &format!("{failing}, delivered {mark}"));
            }
        }
        let left = files(&disk, "results");
        assert!(left.len() <= 2, "{failing}: {left:?}");
    }
}

/// Everything is delivered when a segment cannot be wholly begun, and housekeeping goes on while the journal is halted: the
/// segment that is still the written one does not go.
#[test]
fn the_written_segment_stays_until_the_next_is_wholly_begun() {
    // Those before the first record is written into it.
    for failing in 1..=14 {
        let disk = MemoryStorage::new();
        let (journal, cursor, _) = start(&disk);
        write(&journal, 1..=4);
        deliver(&cursor, 4);
        let written = files(&disk, "results");
        append(&journal, RESULTS, journal.source("finish"), 5, SIZE, false).unwrap();
        disk.fail_at(disk.operations() + failing, Fault::Refused);
        if journal.commit(at(5)).is_err() {
            journal.housekeep(at(100)).unwrap();
            assert!(files(&disk, "results").starts_with(&written), "{failing}");
            check_start(&disk, 4, 4, &format!("{failing}, halted"));
            journal.reopen(at(101)).unwrap();
        }
        journal.housekeep(at(102)).unwrap();
        assert!(!files(&disk, "results").starts_with(&written), "{failing}");
        check_start(&disk, 4, 5, &format!("{failing}"));
    }
}

/// Delivered segments have gone when a cursor begins to count that has not passed them: a new one, one that did not count until now,
/// or the same again after the file of cursors was damaged. The next start does not miss what it lacks, and knows all that it knew;
/// what is lost then is still missed.
#[test]
fn what_went_before_a_cursor_counted_is_not_missed() {
    for case in ["new", "counts from now on", "damaged"] {
        let disk = MemoryStorage::new();
        let (mut journal, cursor, _) = start(&disk);
        if case == "counts from now on" {
            journal.cursor("second", None, RESULTS, false).unwrap();
        }
        write(&journal, 1..=20);
        deliver(&cursor, 12);
        journal.housekeep(at(100)).unwrap();
        let first = journal.first_retained(RESULTS);
        assert_eq!(first, Sequence(13));
        drop(cursor);
        if case == "damaged" {
            drop(journal);
            disk.kill();
            // Both slots of the first cursor, and nothing behind them.
            disk.put("cursors", &[1; 1024]);
            journal = start(&disk).0;
        } else {
            journal.cursor("second", None, RESULTS, true).unwrap();
        }
        journal.close(at(101)).unwrap();
        drop(journal);
        disk.cut_power();
        disk.restart(1);
        let (journal, cursor, recovery) = start(&disk);
        assert_eq!(recovery.findings[0].case, 'A', "{case}: {recovery:?}");
        let known = append(&journal, RESULTS, journal.source("finish"), 3, SIZE, false);
        assert!(matches!(known, Ok(Appended::Known { .. })), "{case}: {known:?}");
        let elements = read(&journal, RESULTS);
        assert_eq!(elements[&1].gap().unwrap().cause(), GapCause::ReceiverReset, "{case}");
        assert_eq!(numbers(&elements), (13..=20).collect::<Vec<_>>(), "{case}");
        drop((journal, cursor));
        disk.kill();
        disk.remove(&files(&disk, "results")[0]).unwrap();
        disk.sync_directory().unwrap();
        let (_, _, recovery) = start(&disk);
        let [(missed, _)] = recovery.lanes.results.quarantined[..] else {
            panic!("{case}: one range, not {recovery:?}")
        };
        assert_eq!(missed, first, "{case}");
    }
}

/// The sync of the directory, with which a spare's making or a segment's going ends, fails again and again. The next attempt uses what the last one
/// left, or it is gone: the disk holds no more files than the quotas and the reserve say.
#[test]
fn a_sync_of_the_directory_that_fails_leaks_no_file() {
    let disk = MemoryStorage::new();
    let (journal, cursor, _) = start(&disk);
    write(&journal, 1..=4);
    for round in 1..=10 {
        let last = 4 + 4 * round;
        write(&journal, last - 3..=last);
        deliver(&cursor, last - 4);
        // Marks are written and synced, the segment gets another name, and the directory is synced.
        disk.fail_at(disk.operations() + 4, Fault::Refused);
        assert!(journal.housekeep(at(100 * round)).is_err(), "round {round}");
        while journal.housekeep(at(100 * round + 1)).unwrap().segments_retired > 0 {}
        let spares = files(&disk, "spare");
        // The reserve, and one that is ready.
        assert!(spares.len() <= 2, "round {round}: {spares:?}");
    }
    // A spare is created, filled with zeros in four writes, synced and renamed, and then the directory is synced.
    write(&journal, 45..=52);
    let before = files(&disk, "spare");
    for attempt in 1..=5 {
        disk.fail_at(disk.operations() + 8, Fault::Refused);
        assert!(journal.housekeep(at(2_000 + attempt)).is_err());
        assert_eq!(files(&disk, "spare"), before, "attempt {attempt}");
    }
    journal.housekeep(at(3_000)).unwrap();
    assert_eq!(files(&disk, "spare").len(), 2);
}
