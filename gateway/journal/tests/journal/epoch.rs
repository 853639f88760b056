//! Beginning a new epoch, and looking at a journal from outside.

use std::ops::ControlFlow;

use super::scene::*;
use venue_journal::{
    Appended, Directory, Journal, OpenError, ReadOnlyJournal, StoredElement, simulated::MemoryStorage,
};
use venue_schema::{Digest, JournalEpoch, Sequence, v1::Lane};

const NEXT: JournalEpoch = JournalEpoch::from_bytes([7; 16]);

/// Twelve results of which five are delivered, and three telemetry events.
fn before(disk: &MemoryStorage) -> Journal<MemoryStorage> {
    let (journal, _) = open(disk);
    let finish = journal.source("finish");
    for number in 1..=12 {
        append(&journal, RESULTS, finish, number, 24_000, false).unwrap();
        if number % 4 == 0 {
            append(&journal, TELEMETRY, finish, number, 100, true).unwrap();
        }
        commit_all(&journal, at(number));
    }
    let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
    cursor.advance(Sequence(5), Digest::initial(EPOCH, RESULTS));
    journal.cursor("centre", None, TELEMETRY, true).unwrap();
    journal
}

fn check_new(journal: &Journal<MemoryStorage>) {
    assert_eq!((journal.epoch(), journal.predecessor_epochs()), (NEXT, vec![EPOCH]));
    let results = read(journal, RESULTS);
    assert_eq!(numbers(&results), (6..=12).collect::<Vec<_>>());
    let Element::Event(event, _) = &results[&1] else { panic!("an event is expected") };
    let origin = event.origin.as_ref().unwrap();
    assert_eq!(
        (&origin.journal_epoch[..], origin.source_ordinal, &origin.source[..]),
        (&NEXT.as_bytes()[..], 1, "finish")
    );
    assert_eq!(numbers(&read(journal, TELEMETRY)), [4, 8, 12]);
    let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
    assert_eq!(cursor.mark(), (Sequence::ZERO, Digest::initial(NEXT, RESULTS)));
    // What was delivered under the old epoch is still known.
    let again = append(journal, RESULTS, journal.source("finish"), 2, 24_000, false);
    assert!(matches!(again, Ok(Appended::Known { .. })), "{again:?}");
}

/// What is past the cursor's mark gets new numbers; cursors start again; the old segments become spares.
#[test]
fn what_is_not_delivered_is_appended_again() {
    let disk = MemoryStorage::new();
    let journal = before(&disk);
    let change = journal.new_epoch(NEXT, at(20)).unwrap();
    assert_eq!((change.predecessor, change.appended_again.results, change.appended_again.telemetry), (EPOCH, 7, 3));
    check_new(&journal);
    append(&journal, RESULTS, journal.source("finish"), 13, 100, false).unwrap();
    commit_all(&journal, at(21));
    drop(journal);
    let (journal, recovery) = open(&disk);
    assert_eq!(recovery.declared_holes, []);
    assert_eq!(numbers(&read(&journal, RESULTS)), (6..=13).collect::<Vec<_>>());
}

/// The power may go at any operation: afterwards either the old epoch holds everything, or the new one does.
#[test]
fn a_cut_at_any_operation_leaves_one_epoch_whole() {
    let whole = MemoryStorage::new();
    let journal = before(&whole);
    let start = whole.operations();
    journal.new_epoch(NEXT, at(20)).unwrap();
    let mut outcomes = [0, 0];
    for cut in start + 1..=whole.operations() {
        let disk = MemoryStorage::new();
        let journal = before(&disk);
        disk.cut_power_at(cut);
        let _ = journal.new_epoch(NEXT, at(20));
        drop(journal);
        disk.restart(cut);
        let (journal, _) = open(&disk);
        if journal.epoch() == NEXT {
            outcomes[1] += 1;
            check_new(&journal);
        } else {
            outcomes[0] += 1;
            assert_eq!(numbers(&read(&journal, RESULTS)), (1..=12).collect::<Vec<_>>(), "cut {cut}");
            journal.new_epoch(NEXT, at(30)).unwrap();
            check_new(&journal);
        }
    }
    assert!(outcomes[0] > 5 && outcomes[1] > 0, "{outcomes:?}");
}

/// From outside, beside the running journal: what it is, all that it holds, by sequence and by time, damage reported and nothing written.
#[test]
fn a_journal_is_read_without_a_lock() {
    let disk = MemoryStorage::new();
    let journal = before(&disk);
    let operations = disk.operations();
    let outside = ReadOnlyJournal::open(disk.clone()).unwrap();
    let summary = outside.summary();
    assert_eq!((summary.gateway_id.as_str(), summary.epoch), ("stade-1-a", EPOCH));
    assert_eq!((summary.lanes.results.first, summary.lanes.results.last), (Sequence(1), Sequence(12)));
    assert_eq!(summary.cursors.len(), 2);
    assert!(summary.lanes.results.segments.len() >= 2 && summary.findings.is_empty());
    let mut seen = Vec::new();
    let each = |element| {
        if let StoredElement::Record { sequence, .. } = element {
            seen.push(sequence.0);
        }
        ControlFlow::Continue(())
    };
    outside.visit(RESULTS, Sequence(3), Sequence(9), each).unwrap();
    assert_eq!(seen, (3..=9).collect::<Vec<_>>());
    assert_eq!(outside.seek(RESULTS, 10_500_000_000).unwrap(), Some(Sequence(11)));
    assert_eq!(outside.seek(RESULTS, 99_000_000_000).unwrap(), None);
    let mut percents = Vec::new();
    let verified = outside.verify(|progress| percents.push(progress.percent)).unwrap();
    assert_eq!((verified.results.record_count, verified.telemetry.record_count), (12, 3));
    assert_eq!(percents.last(), Some(&100));
    let segment = files(&disk, "results").remove(0);
    let place = disk.contents(&segment).unwrap().windows(50).position(|bytes| bytes == [2; 50]).unwrap();
    disk.flip_bit(&segment, place as u64, 3);
    let damaged = ReadOnlyJournal::open(disk.clone()).unwrap().verify(|_| {}).unwrap();
    assert_eq!(damaged[Lane::Results].damaged, [(Sequence(2), Sequence(2))]);
    assert_eq!(disk.operations(), operations, "nothing was written");
    drop(journal);
    assert!(matches!(ReadOnlyJournal::open(MemoryStorage::new()), Err(OpenError::NoJournal)));
}

/// From outside no more is read of the file of cursors than it has, whatever somebody has put there.
#[test]
fn a_file_of_cursors_is_read_to_its_size() {
    const CURSORS_BYTES: usize = 128 << 10;
    let disk = MemoryStorage::new();
    drop(before(&disk));
    let read = |disk: &MemoryStorage| {
        let before = disk.bytes_read();
        assert_eq!(ReadOnlyJournal::open(disk.clone()).unwrap().summary().cursors.len(), 2);
        disk.bytes_read() - before
    };
    let bytes_read = read(&disk);
    let mut longer = disk.contents("cursors").unwrap();
    assert_eq!(longer.len(), CURSORS_BYTES);
    longer.resize(64 * CURSORS_BYTES, 0);
    disk.put("cursors", &longer);
    assert_eq!(read(&disk), bytes_read);
}

/// The same on a real directory, through a restart.
#[test]
fn a_real_directory_holds_a_journal() {
    let place = tempfile::tempdir().unwrap();
    let directory = Directory::create(place.path().join("journal")).unwrap();
    for round in 1..=3_u64 {
        let (journal, recovery) = Journal::open(directory.clone(), config(), at(0)).unwrap();
        assert_eq!(recovery.lanes.results.last_durable, Sequence(round - 1));
        assert!(matches!(Journal::open(directory.clone(), config(), at(0)), Err(OpenError::Locked)));
        let source = journal.source("finish");
        let bytes = event(round, 200);
        let identity = venue_journal::IdentityRef::None;
        let append = venue_journal::Append {
            lane: RESULTS,
            source,
            identity,
            refusable: false,
            event: &bytes,
            receive_utc_ns: None,
            receive_monotonic_ns: 0,
        };
        journal.append(append).unwrap();
        journal.commit(at(1)).unwrap();
        if round == 2 {
            journal.close(at(2)).unwrap();
        }
    }
    let outside = ReadOnlyJournal::open(directory).unwrap();
    assert_eq!(outside.summary().lanes.results.last, Sequence(3));
}

/// Either slot of `meta` is lost right after a new epoch was begun: the other one knows of the epoch, too, and drops nothing of it.
#[test]
fn one_slot_of_meta_is_enough_after_a_new_epoch() {
    let prepared = MemoryStorage::new();
    let (journal, _) = open(&prepared);
    for number in 1..=3 {
        append(&journal, RESULTS, journal.source("finish"), number, 100, false).unwrap();
    }
    commit_all(&journal, at(0));
    journal.new_epoch(JournalEpoch::from_bytes([7; 16]), at(1)).unwrap();
    journal.close(at(2)).unwrap();
    drop(journal);
    for slot in 0..2 {
        for unreadable in [false, true] {
            let disk = prepared.copy();
            if unreadable {
                disk.unreadable("meta", slot * 4096, slot * 4096);
            } else {
                disk.flip_bit("meta", slot * 4096 + 100, 1);
            }
            let (journal, recovery) = open(&disk);
            assert_eq!(recovery.epoch, JournalEpoch::from_bytes([7; 16]), "slot {slot}: {recovery:?}");
            assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2, 3], "slot {slot}: {recovery:?}");
        }
    }
}

/// Results that no consumer has are appended again while the file system has room for so many segments more, or while the old
/// ones fill quota and reserve: either nothing has happened, or each of them is in the new epoch. The old marks say nothing there.
#[test]
fn a_new_epoch_with_little_room_loses_nothing() {
    let mut config = config();
    config.results.reserve = 1 << 20;
    let mut outcomes = [0, 0];
    for (delivered, last, spare_segments) in (0..8).map(|it| (50, 80, Some(it))).chain([(0, 100, None)]) {
        let case = format!("{delivered} of {last} are delivered, room for {spare_segments:?}");
        let disk = MemoryStorage::new();
        let (journal, _) = Journal::open(disk.clone(), config.clone(), at(0)).unwrap();
        let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
        let finish = journal.source("finish");
        let mut taken = 0;
        for number in 1..=last {
            taken = if append(&journal, RESULTS, finish, number, 30_000, false).is_ok() { number } else { break };
            commit_all(&journal, at(number));
            if number == delivered {
                cursor.advance(Sequence(delivered), Digest::initial(EPOCH, RESULTS));
            }
            journal.housekeep(at(number)).unwrap();
        }
        let undelivered: Vec<u64> = (delivered + 1..=taken).collect();
        disk.set_capacity(spare_segments.map(|count| disk.used_bytes() + count * (256 << 10)));
        let outcome = journal.new_epoch(NEXT, at(100));
        let from = if outcome.is_ok() { 1 } else { delivered + 1 };
        assert_eq!(numbers(&read_from(&journal, RESULTS, from)), undelivered, "{case}: {outcome:?}");
        assert!(spare_segments.is_some() || outcome.is_ok(), "{case}: {outcome:?}");
        outcomes[usize::from(outcome.is_ok())] += 1;
        journal.close(at(101)).unwrap();
        drop((journal, cursor));
        disk.cut_power();
        disk.restart(1);
        let (journal, recovery) = Journal::open(disk.clone(), config.clone(), at(0)).unwrap();
        assert_eq!(journal.epoch() == NEXT, outcome.is_ok(), "{case}");
        assert_eq!(recovery.lanes.results.quarantined, [], "{case}");
        assert_eq!(numbers(&read_from(&journal, RESULTS, from)), undelivered, "{case}");
    }
    assert!(outcomes.iter().all(|&count| count > 0), "{outcomes:?}");
}

/// Telemetry that does not fit into its quota under the new epoch is shed as ever, and declared, though the old marks are higher.
#[test]
fn telemetry_shed_while_an_epoch_begins_is_declared() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let cursor = journal.cursor("centre", None, TELEMETRY, true).unwrap();
    for number in 1..=90 {
        append(&journal, TELEMETRY, journal.source("wind"), number, 30_000, false).unwrap();
        commit_all(&journal, at(number));
        if number == 30 {
            cursor.advance(Sequence(30), Digest::initial(EPOCH, TELEMETRY));
        }
    }
    disk.set_capacity(Some(disk.used_bytes() + 3 * (256 << 10)));
    journal.new_epoch(NEXT, at(100)).unwrap();
    let elements = read(&journal, TELEMETRY);
    let shed = elements[&1].gap().map(|gap| gap.cause());
    assert_eq!(shed, Some(venue_schema::v1::GapCause::Shed), "{elements:?}");
    assert_eq!(numbers(&elements).last(), Some(&90));
}
