//! Failed writes and syncs: nothing more is accepted until the journal is reopened, and nothing is trusted that no sync covered.

use super::scene::*;
use venue_journal::{
    AppendError, Appended, CommitDue, CommitError, ReadOnlyJournal,
    simulated::{Fault, MemoryStorage},
};
use venue_schema::{Digest, Sequence};

/// A sync fails and drops its pages, while reads still return them. Reopened, everything staged goes into a new segment under
/// the sequences it had, and outlives a power cut that takes the dropped pages away.
#[test]
fn after_a_failed_sync_all_is_written_again() {
    for (step, fault) in [(2, Fault::Dropped), (1, Fault::Partial), (1, Fault::Refused)] {
        let disk = MemoryStorage::new();
        let (journal, _) = open(&disk);
        let finish = journal.source("finish");
        append(&journal, RESULTS, finish, 1, 5_000, true).unwrap();
        commit_all(&journal, at(0));
        append(&journal, RESULTS, finish, 2, 5_000, true).unwrap();
        let old = files(&disk, "results").pop().unwrap();
        disk.fail_at(disk.operations() + step, fault);
        assert!(matches!(journal.commit(at(1)), Err(CommitError::Halted { .. })), "{fault:?}");
        assert_eq!(journal.watermarks().results, Sequence(1));
        // What its sender keeps is refused; what nobody keeps is taken.
        assert_eq!(append(&journal, RESULTS, finish, 3, 5_000, true), Err(AppendError::Halted));
        let taken = append(&journal, RESULTS, finish, 4, 5_000, false).unwrap();
        assert_eq!(taken, Appended::Stored { lane: RESULTS, sequence: Sequence(3) });
        assert_eq!(journal.wants_commit(at(1)), CommitDue::Idle);
        assert!(matches!(journal.commit(at(1)), Err(CommitError::Halted { .. })));
        assert!(journal.status().halted.is_some());
        let left = disk.contents(&old);
        journal.reopen(at(2)).unwrap();
        commit_all(&journal, at(2));
        assert!(disk.contents(&old) == left, "{fault:?}: nothing is written into the old tail");
        assert_eq!(journal.watermarks().results, Sequence(3));
        let before = read(&journal, RESULTS);
        assert_eq!(numbers(&before), [1, 2, 4]);
        drop(journal);
        disk.cut_power();
        disk.restart(9);
        let (journal, recovery) = open(&disk);
        assert!(recovery.lanes.results.quarantined.is_empty(), "{recovery:?}");
        assert_eq!(read(&journal, RESULTS), before, "{fault:?}");
    }
}

/// A disk that fails for a while: each attempt to reopen fails, nothing is lost from memory, and the first that succeeds brings all down.
#[test]
fn reopening_is_tried_until_it_succeeds() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let finish = journal.source("finish");
    for number in 1..=3 {
        append(&journal, RESULTS, finish, number, 5_000, false).unwrap();
    }
    let from = disk.operations() + 1;
    (from..from + 6).for_each(|operation| disk.fail_at(operation, Fault::Refused));
    assert!(journal.commit(at(0)).is_err());
    let failures = (1..20).take_while(|&second| journal.reopen(at(second)).is_err()).count();
    assert!((1..=6).contains(&failures), "{failures}");
    commit_all(&journal, at(30));
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2, 3]);
    drop(journal);
    let (journal, _) = open(&disk);
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2, 3]);
}

/// Results are asked for at once, a lone telemetry event too; at more than 200 commits a second telemetry waits for company.
#[test]
fn telemetry_waits_for_company_only_when_there_is_much_of_it() {
    let (journal, _) = open(&MemoryStorage::new());
    let wind = journal.source("wind");
    let ms = std::time::Duration::from_millis;
    append(&journal, TELEMETRY, wind, 1, 10, true).unwrap();
    assert_eq!(journal.wants_commit(ms(1_000)), CommitDue::Now);
    journal.commit(ms(1_000)).unwrap();
    append(&journal, TELEMETRY, wind, 2, 10, true).unwrap();
    assert_eq!(journal.wants_commit(ms(1_001)), CommitDue::At(ms(1_003)));
    append(&journal, RESULTS, wind, 3, 10, true).unwrap();
    assert_eq!(journal.wants_commit(ms(1_001)), CommitDue::Now);
    let committed = journal.commit(ms(1_002)).unwrap();
    assert_eq!((committed.results_count, committed.telemetry_count), (1, 1));
    append(&journal, TELEMETRY, wind, 4, 10, true).unwrap();
    assert_eq!(journal.wants_commit(ms(1_010)), CommitDue::Now);
}

/// Where a skip record has already proven the last commit, no closing commit is written, and none is asked for for ever.
#[test]
fn a_closing_commit_that_is_not_needed_is_not_asked_for_again() {
    let (journal, _) = open(&MemoryStorage::new());
    append(&journal, RESULTS, journal.source("finish"), 1, 10, false).unwrap();
    journal.commit(at(1)).unwrap();
    journal.declare_quarantined(RESULTS, Sequence(1), Sequence(1), at(1)).unwrap();
    journal.commit(at(2)).unwrap();
    assert_eq!(journal.wants_commit(at(2)), CommitDue::Idle);
    journal.close(at(3)).unwrap();
}

/// A journal whose results wait in memory, for the disk is full, and that has proven all that is durable.
fn without_space(disk: &MemoryStorage) -> venue_journal::Journal<MemoryStorage> {
    let (journal, _) = open(disk);
    let serial = journal.source("serial");
    append(&journal, TELEMETRY, serial, 1, 100, false).unwrap();
    append(&journal, RESULTS, serial, 1, 30_000, false).unwrap();
    commit_all(&journal, at(1));
    // More than the segment and every spare hold.
    for number in 2..80 {
        let _ = append(&journal, RESULTS, serial, number, 30_000, false);
    }
    disk.set_capacity(Some(disk.used_bytes()));
    for second in 2..6 {
        while journal.wants_commit(at(second)) == CommitDue::Now {
            let _ = journal.commit(at(second));
        }
    }
    assert!(journal.status().lanes.results.full);
    journal
}

/// While results wait for space, the sync of a telemetry commit fails, or that of a closing commit: this halts the journal all the
/// same. Nothing goes into that tail any more, and what is acknowledged later outlives a power cut that takes its dropped pages away.
#[test]
fn a_failed_sync_halts_also_while_a_lane_waits_for_space() {
    for closing in [false, true] {
        let disk = MemoryStorage::new();
        let journal = without_space(&disk);
        let serial = journal.source("serial");
        append(&journal, TELEMETRY, serial, 2, 100, false).unwrap();
        if closing {
            assert!(matches!(journal.commit(at(10)), Err(CommitError::NoSpace { lane: RESULTS })));
        }
        disk.fail_at(disk.operations() + 2, Fault::Dropped);
        assert!(matches!(journal.commit(at(20)), Err(CommitError::Halted { .. })), "closing {closing}");
        assert!(matches!(journal.commit(at(20)), Err(CommitError::Halted { .. })), "closing {closing}");
        disk.set_capacity(None);
        journal.housekeep(at(30)).unwrap();
        journal.reopen(at(30)).unwrap();
        append(&journal, TELEMETRY, serial, 3, 100, false).unwrap();
        commit_all(&journal, at(30));
        let before = both(&journal);
        assert_eq!(numbers(&before.telemetry), [1, 2, 3]);
        drop(journal);
        disk.cut_power();
        disk.restart(9);
        let (journal, _) = open(&disk);
        assert_eq!(both(&journal), before, "closing {closing}");
    }
}

/// The sync of a closing commit fails, and the gateway is stopped before it has reopened the journal: nothing is written into that tail.
#[test]
fn an_orderly_stop_writes_nothing_into_a_halted_journal() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    append(&journal, RESULTS, journal.source("finish"), 1, 100, false).unwrap();
    journal.commit(at(1)).unwrap();
    disk.fail_at(disk.operations() + 2, Fault::Dropped);
    assert!(matches!(journal.close(at(2)), Err(CommitError::Halted { .. })));
    let operations = disk.operations();
    assert!(matches!(journal.close(at(3)), Err(CommitError::Halted { .. })));
    assert_eq!(disk.operations(), operations);
}

/// A gateway is stopped in good order while results find no space. What its other lane has goes down and is proven, and marks are
/// written down; the stop says that results were left.
#[test]
fn an_orderly_stop_without_space_ends_all_else_well() {
    let disk = MemoryStorage::new();
    let journal = without_space(&disk);
    let serial = journal.source("serial");
    let cursor = journal.cursor("centre", None, RESULTS, false).unwrap();
    cursor.advance(Sequence(3), Digest::initial(EPOCH, RESULTS));
    for number in 2..=5 {
        append(&journal, TELEMETRY, serial, number, 30_000, false).unwrap();
    }
    assert!(matches!(journal.close(at(10)), Err(CommitError::NoSpace { lane: RESULTS })));
    let durable = journal.watermarks();
    assert_eq!(durable.telemetry, Sequence(5));
    let summary = ReadOnlyJournal::open(disk).unwrap().summary().clone();
    assert_eq!((summary.lanes.results.proven, summary.lanes.telemetry.proven), (durable.results, durable.telemetry));
    assert_eq!(summary.cursors[0].mark, Sequence(3));
}

/// Telemetry has filled its quota, and a page of its segment goes bad where the next commit ends. The first attempt to reopen succeeds: telemetry
/// goes on in another segment, and sheds from there. Results, whose segment is sound, go on in it, and the reserve stays whole.
#[test]
fn a_bad_page_in_telemetry_costs_results_nothing() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let _cursors = [RESULTS, TELEMETRY].map(|lane| journal.cursor("centre", None, lane, true).unwrap());
    append(&journal, RESULTS, journal.source("finish"), 1, 100, false).unwrap();
    for number in 1..=60 {
        append(&journal, TELEMETRY, journal.source("wind"), number, 30_000, true).unwrap();
        commit_all(&journal, at(number));
        journal.housekeep(at(number)).unwrap();
    }
    let results = files(&disk, "results");
    let name = files(&disk, "telemetry").pop().unwrap();
    let end = disk.contents(&name).unwrap().iter().rposition(|&byte| byte != 0).unwrap() as u64;
    // Where the commit ends, for a page that is written whole is no longer bad.
    disk.unreadable(&name, end + 30_100, end + 30_100);
    append(&journal, TELEMETRY, journal.source("wind"), 61, 30_000, true).unwrap();
    append(&journal, RESULTS, journal.source("finish"), 2, 100, false).unwrap();
    assert!(matches!(journal.commit(at(100)), Err(CommitError::Halted { .. })));
    journal.reopen(at(101)).unwrap();
    append(&journal, RESULTS, journal.source("finish"), 3, 100, false).unwrap();
    commit_all(&journal, at(102));
    assert_eq!(files(&disk, "results"), results);
    let status = journal.status();
    assert_eq!(status.reserve_left_bytes, status.reserve_bytes);
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2, 3]);
    assert_eq!(numbers(&read(&journal, TELEMETRY)).last(), Some(&61));
}

/// A disk that is full, and on which a sync of results fails. Reopened, results go on in the reserve; another lane without space for a segment
/// is no reason to stay halted.
#[test]
fn a_full_disk_does_not_keep_a_journal_halted() {
    // Results fail a third time when the reserve is used up; the reserve is never telemetry's.
    for (failing, other, times) in [(RESULTS, TELEMETRY, 3), (TELEMETRY, RESULTS, 1)] {
        let disk = MemoryStorage::new();
        let (journal, _) = open(&disk);
        disk.set_capacity(Some(disk.used_bytes()));
        journal.housekeep(at(1)).unwrap();
        for number in 1..=times {
            append(&journal, failing, journal.source("serial"), number, 100, false).unwrap();
            disk.fail_at(disk.operations() + 2, Fault::Dropped);
            assert!(matches!(journal.commit(at(number)), Err(CommitError::Halted { .. })));
            let reopened = journal.reopen(at(10 + number));
            assert!(
                matches!(reopened, Ok(()) | Err(CommitError::NoSpace { .. })),
                "{failing:?}, {number}: {reopened:?}"
            );
            assert_eq!(reopened.is_err(), number == times, "{failing:?}, {number}: {reopened:?}");
            append(&journal, other, journal.source("other"), number, 100, false).unwrap();
            let _ = journal.commit(at(20 + number));
            assert_eq!(journal.watermarks()[other], Sequence(number), "{failing:?}");
        }
        disk.set_capacity(None);
        journal.housekeep(at(30)).unwrap();
        commit_all(&journal, at(30));
        let all: Vec<_> = (1..=times).collect();
        assert_eq!([failing, other].map(|lane| numbers(&read(&journal, lane))), [all.clone(), all], "{failing:?}");
    }
}

/// A disk that takes nothing for a long time, or no changes of names, or not the file `meta`: attempts to reopen fail and fail. They use up neither
/// quota nor reserve, so that all goes on when the disk is well again.
#[test]
fn failed_attempts_to_reopen_use_up_nothing() {
    // Each of the first operations of an attempt.
    for step in 1..=6 {
        let disk = MemoryStorage::new();
        let (journal, _) = open(&disk);
        let finish = journal.source("finish");
        append(&journal, RESULTS, finish, 1, 100, false).unwrap();
        disk.fail_at(disk.operations() + 2, Fault::Dropped);
        assert!(journal.commit(at(1)).is_err());
        let before = (files(&disk, "results"), journal.status().reserve_left_bytes);
        for attempt in 1..=20 {
            disk.fail_at(disk.operations() + step, Fault::Refused);
            assert!(journal.reopen(at(attempt)).is_err(), "operation {step}");
            journal.housekeep(at(attempt)).unwrap();
        }
        assert_eq!((files(&disk, "results"), journal.status().reserve_left_bytes), before, "operation {step}");
        journal.reopen(at(30)).unwrap();
        assert_eq!(files(&disk, "results").len(), 2);
        assert_eq!(numbers(&read(&journal, RESULTS)), [1]);
    }
}
