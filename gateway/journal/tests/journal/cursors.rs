//! Marks of consumers on a disk that fails: the last one written down is never destroyed by the attempt to write the next.

use super::scene::*;
use venue_journal::{
    Cursor, CursorError, Journal, MAX_CURSORS, PerLane,
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

/// A receiver after another takes over under one name, more of them than there are cursors. Those that took its place are forgotten, the oldest first;
/// the present one, other names' cursors and any that is still held are not. After a start the same are there.
#[test]
fn cursors_of_former_receivers_make_place_for_new_ones() {
    let disk = MemoryStorage::new();
    let (journal, required) = with_a_mark(&disk);
    let tail = journal.cursor("tail", None, RESULTS, false).unwrap();
    advance(&tail, 2);
    drop(tail);
    let held = journal.cursor("second", Some("receiver-0"), RESULTS, true).unwrap();
    advance(&held, 3);
    for receiver in 1..=2 * MAX_CURSORS {
        journal.cursor("second", Some(&format!("receiver-{receiver}")), RESULTS, true).unwrap();
    }
    assert_eq!((held.mark().0, held.receiver_id().as_deref()), (Sequence(3), Some("receiver-0")));
    drop((journal, required, held));
    disk.kill();
    let (journal, _) = open(&disk);
    let mark = |name: &str, receiver: Option<&str>| {
        let cursor = journal.cursor(name, receiver, RESULTS, true).unwrap();
        (cursor.mark().0, cursor.receiver_id())
    };
    assert_eq!(mark("centre", None), (Sequence(1), None));
    assert_eq!(mark("tail", None), (Sequence(2), None));
    let last = format!("receiver-{}", 2 * MAX_CURSORS);
    assert_eq!(mark("second", None), (Sequence::ZERO, Some(last)));
    assert_eq!(mark("second", Some("receiver-0")), (Sequence(3), Some("receiver-0".to_owned())));
}

/// Cursors that count are never forgotten for another one; once one is released, it makes place.
#[test]
fn cursors_that_count_are_not_forgotten() {
    let (journal, _) = open(&MemoryStorage::new());
    for number in 0..MAX_CURSORS {
        journal.cursor(&format!("uplink-{number}"), None, RESULTS, true).unwrap();
    }
    assert!(matches!(journal.cursor("another", None, RESULTS, true), Err(CursorError::TooMany)));
    assert_eq!(journal.release_cursor("uplink-5").unwrap(), PerLane::default());
    journal.cursor("another", None, RESULTS, true).unwrap();
    assert!(matches!(journal.cursor("uplink-5", None, RESULTS, true), Err(CursorError::TooMany)));
}

/// A consumer that is gone for good holds its records back until its cursor is released: then they may go, and it says how many it has
/// not passed. A cursor that is being used is not released, nor is one that holds nothing back; the error names those that do.
#[test]
fn a_released_cursor_holds_nothing_back() {
    let disk = MemoryStorage::new();
    let (journal, gone) = with_a_mark(&disk);
    let present = journal.cursor("second", None, RESULTS, true).unwrap();
    advance(&present, 3);
    assert!(matches!(journal.release_cursor("centre"), Err(CursorError::InUse(name)) if name == "centre"));
    drop(gone);
    assert_eq!(journal.release_cursor("centre").unwrap(), PerLane { results: 2, telemetry: 0 });
    let again = journal.release_cursor("centre").unwrap_err().to_string();
    assert_eq!(again, "no cursor that holds records back is called `centre`; there are second");
    drop((journal, present));
    disk.cut_power();
    disk.restart(1);
    let (journal, _) = open(&disk);
    let required = |journal: &Journal<MemoryStorage>| {
        journal.cursors().into_iter().filter(|cursor| cursor.required).map(|cursor| cursor.name).collect::<Vec<_>>()
    };
    assert_eq!(required(&journal), ["second"]);
    // More than the quota holds: nobody waits for what "second" has passed.
    let present = journal.cursor("second", None, RESULTS, true).unwrap();
    for number in 4..=150 {
        append(&journal, RESULTS, journal.source("finish"), number, 30_000, false).unwrap();
        commit_all(&journal, at(20 + number));
        advance(&present, journal.watermarks().results.0);
        journal.housekeep(at(20 + number)).unwrap();
    }
}
