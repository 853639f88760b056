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
                disk.fail_at(disk.operations() + step, fault);
                assert!(journal.sync_cursors(at(now)).is_err());
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
