//! Marks of consumers on a disk that fails: the last one written down is never destroyed by the attempt to write the next.

use super::scene::*;
use venue_journal::{
    Cursor, Journal,
    simulated::{Fault, MemoryStorage},
};
use venue_schema::{Digest, Sequence};

fn advance(cursor: &Cursor<MemoryStorage>, mark: u64) {
    cursor.advance(Sequence(mark), Digest::initial(EPOCH, RESULTS));
}

/// A journal with three results, and a cursor whose mark 1 is written down.
fn with_a_mark(disk: &MemoryStorage) -> (Journal<MemoryStorage>, Cursor<MemoryStorage>) {
    let (journal, _) = open(disk);
    let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
    for number in 1..=3 {
        append(&journal, RESULTS, journal.source("finish"), number, 10, false).unwrap();
    }
    commit_all(&journal, at(0));
    advance(&cursor, 1);
    journal.sync_cursors(at(10)).unwrap();
    (journal, cursor)
}

/// Writing the next mark fails twice, in each way in which a write or a sync fails. Whatever of it a power cut leaves, one of the two
/// slots is whole: the cursor is there, at the mark that was written down or at the next.
#[test]
fn a_mark_that_cannot_be_written_leaves_the_one_before_it() {
    for (step, fault) in [(1, Fault::Refused), (1, Fault::Partial), (2, Fault::Dropped), (2, Fault::Refused)] {
        for seed in 0..16 {
            let disk = MemoryStorage::new();
            let (journal, cursor) = with_a_mark(&disk);
            advance(&cursor, 2);
            for now in [20, 30] {
                let before = disk.contents("cursors").unwrap();
                disk.fail_at(disk.operations() + step, fault);
                assert!(journal.sync_cursors(at(now)).is_err());
                let after = disk.contents("cursors").unwrap();
                if let Some(place) = (0..after.len()).find(|&place| before[place] != after[place]) {
                    // What was being written when it failed is torn.
                    disk.flip_bit("cursors", place as u64, 0);
                }
            }
            drop((journal, cursor));
            disk.cut_power();
            disk.restart(seed);
            let (journal, recovery) = open(&disk);
            assert!(recovery.findings.iter().all(|finding| finding.case != 'L'), "{fault:?}, {seed}: {recovery:?}");
            let mark = journal.cursor("centre", None, RESULTS, true).unwrap().mark().0;
            assert!([Sequence(1), Sequence(2)].contains(&mark), "{fault:?}, {seed}: {mark}");
        }
    }
}

/// A page of the file of cursors goes bad while the gateway runs. It is written whole, which the disk maps to another place, and not in
/// part, which it could not; so marks are written down, delivered segments go, and nothing halts. All cursors of the page are there at
/// the next start.
#[test]
fn a_page_of_cursors_that_goes_bad_halts_nothing() {
    let disk = MemoryStorage::new();
    let (journal, cursor) = with_a_mark(&disk);
    let other = journal.cursor("second", None, TELEMETRY, false).unwrap();
    append(&journal, TELEMETRY, journal.source("wind"), 1, 10, false).unwrap();
    commit_all(&journal, at(11));
    other.advance(Sequence(1), Digest::initial(EPOCH, TELEMETRY));
    journal.sync_cursors(at(12)).unwrap();
    disk.unreadable("cursors", 0, 0);
    // More than the quota holds.
    for number in 4..=150 {
        append(&journal, RESULTS, journal.source("finish"), number, 30_000, false).unwrap();
        commit_all(&journal, at(20 + number));
        advance(&cursor, journal.watermarks().results.0);
        journal.housekeep(at(20 + number)).unwrap();
    }
    drop((journal, cursor, other));
    disk.cut_power();
    disk.restart(1);
    let (journal, recovery) = open(&disk);
    assert!(recovery.findings.iter().all(|finding| finding.case != 'L' && finding.case != 'M'), "{recovery:?}");
    assert_eq!(journal.cursor("centre", None, RESULTS, true).unwrap().mark().0, Sequence(150));
    assert_eq!(journal.cursor("second", None, TELEMETRY, false).unwrap().mark().0, Sequence(1));
}
